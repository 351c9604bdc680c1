//! A machine's life with a small script as its init: what does not need systemd. Needs root.
//!
//! The script is process 1 and the test plays systemd's part in the notification protocol. Machines with the real
//! systemd are booted by the tests of the whole.

#[path = "../../sandbox/tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::Fixture;
use regrow_config::model::{Check, CheckKind};
use regrow_host::progress::Silent;
use regrow_machine::{Always, Error, Lower, Machine, Start, Volume, start};
use regrow_sandbox::{Limits, read_only_clone};

const MACHINE_ID: &str = "0123456789abcdef0123456789abcdef";
/// Leaves on SIGRTMIN+3, as systemd does.
const ORDERLY: &str = "trap 'echo bye > /dev/console; exit 0' 37; echo hello > /dev/console; sleep 1000 & wait";

fn fixture(init: &str) -> Fixture {
    let f = Fixture::new();
    std::fs::create_dir_all(f.root().join("usr/sbin")).unwrap();
    std::os::unix::fs::symlink("usr/sbin", f.root().join("sbin")).unwrap();
    let path = f.root().join("usr/sbin/init");
    std::fs::write(&path, format!("#!/bin/sh\n{init}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    f
}

fn run_dir(f: &Fixture, name: &str) -> PathBuf {
    f.dir.path().join("runs").join(name)
}

fn boot_with(f: &Fixture, name: &str, lower: Lower<'_>, volumes: Vec<Volume>) -> regrow_machine::Result<Machine> {
    start(Start {
        lower,
        run_dir: run_dir(f, name),
        volumes,
        hostname: "web1".into(),
        machine_id: MACHINE_ID.into(),
        userns: f.userns.clone(),
        limits: Limits::default(),
        cgroup: format!("test-machine-{}-{name}", std::process::id()),
    })
}

fn boot(f: &Fixture, name: &str) -> regrow_machine::Result<Machine> {
    let lower = read_only_clone(f.root(), Some(&f.userns)).unwrap();
    boot_with(f, name, Lower::Mount(lower), Vec::new())
}

fn say(f: &Fixture, name: &str, words: &str) {
    let socket = UnixDatagram::unbound().unwrap();
    // Through a short name: socket addresses are.
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("n");
    std::os::unix::fs::symlink(run_dir(f, name).join("notify"), &link).unwrap();
    socket.send_to(words.as_bytes(), link).unwrap();
}

fn shell(machine: &Machine, script: &str) -> String {
    let captured = machine.inside().capture(&["sh", "-c", script], Duration::from_secs(20)).unwrap();
    assert!(captured.exit.success(), "{script}: {captured:?}");
    String::from_utf8(captured.stdout).unwrap()
}

#[test]
fn a_machine_boots_says_so_answers_and_stops_in_order_leaving_nothing() {
    let f = fixture(ORDERLY);
    let machine = boot(&f, "order").unwrap();
    assert!(matches!(machine.wait_running(Duration::from_millis(10), &Silent), Err(Error::Timeout { .. })));
    say(&f, "order", "STATUS=Starting \u{1b}[1mall\u{1b}[0m...");
    say(&f, "order", "READY=1\nSTATUS=Ready.");
    let seconds = machine.wait_running(Duration::from_secs(20), &Silent).unwrap();
    assert!(seconds > 0.0 && seconds < 20.0);

    assert_eq!(
        shell(&machine, "cat /etc/machine-id; hostname; echo $container").trim(),
        format!("{MACHINE_ID}\nweb1\nregrow")
    );
    assert_eq!(shell(&machine, "readlink /run/systemd/system/getty@.service"), "/dev/null\n");
    assert_eq!(
        shell(&machine, "ls /sys/class/net; ls -d /sys/fs/cgroup/regrow-exec"),
        "lo\n/sys/fs/cgroup/regrow-exec\n"
    );
    let boot_id = |text: String| text.trim().to_owned();
    let inside = boot_id(shell(&machine, "cat /proc/sys/kernel/random/boot_id"));
    assert_ne!(inside, boot_id(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap()));
    assert!(!f.root().join("etc/machine-id").exists(), "the image is untouched");

    let (group, pid) = (machine.inside().cgroup().clone(), machine.pid());
    let same = regrow_machine::Inside::find(pid, group.name()).unwrap().unwrap();
    assert!(same.capture(&["echo", "x"], Duration::from_secs(20)).unwrap().exit.success());
    assert!(
        regrow_machine::Inside::find(std::process::id() as i32, group.name()).unwrap().is_none(),
        "not that process"
    );
    let stopped = machine.stop(Duration::from_secs(20)).unwrap();
    assert!(stopped.orderly, "{stopped:?}");
    assert!(!group.path().exists());
    assert!(regrow_machine::Inside::find(pid, group.name()).unwrap().is_none());
    let log = std::fs::read_to_string(run_dir(&f, "order").join("console.log")).unwrap();
    assert_eq!(log, "hello\r\nbye\r\n");
}

#[test]
fn a_machine_that_ends_while_starting_shows_its_console_and_exit() {
    let f = fixture("echo the disk is on fire > /dev/console; exit 3");
    let machine = boot(&f, "ended").unwrap();
    let words = machine.wait_running(Duration::from_secs(20), &Silent).unwrap_err().to_string();
    assert!(words.contains("exit status 3") && words.contains("the disk is on fire"), "{words}");
    assert!(machine.ended());
}

#[test]
fn a_machine_that_does_not_listen_is_killed_with_all_inside() {
    let f = fixture("sleep 1000 & sleep 1000 & wait; wait; wait");
    let machine = boot(&f, "deaf").unwrap();
    let group = machine.inside().cgroup().clone();
    let stopped = machine.stop(Duration::from_millis(300)).unwrap();
    assert!(!stopped.orderly && stopped.seconds < 10.0, "{stopped:?}");
    assert!(!group.path().exists());
}

#[test]
fn dropping_a_machine_leaves_no_process_and_no_group() {
    let f = fixture(ORDERLY);
    let machine = boot(&f, "drop").unwrap();
    let group = machine.inside().cgroup().clone();
    assert!(!group.is_empty().unwrap());
    drop(machine);
    assert!(!group.path().exists());
}

#[test]
fn what_is_written_to_volumes_stays_and_belongs_to_the_same_ids() {
    let f = fixture(ORDERLY);
    let volume = f.dir.path().join("state");
    std::fs::create_dir(&volume).unwrap();
    let identity = || vec![Volume { source: volume.clone(), target: "/var/lib/regrow/identity".into() }];
    let lower = || Lower::Mount(read_only_clone(f.root(), Some(&f.userns)).unwrap());
    let machine = boot_with(&f, "one", lower(), identity()).unwrap();
    shell(&machine, "echo k > /var/lib/regrow/identity/key && chown 101:102 /var/lib/regrow/identity/key");
    machine.kill().unwrap();
    let meta = std::fs::metadata(volume.join("key")).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (101, 102));
    let machine = boot_with(&f, "two", lower(), identity()).unwrap();
    assert_eq!(shell(&machine, "stat -c %u:%g /var/lib/regrow/identity/key"), "101:102\n");
}

#[test]
fn an_image_of_the_store_boots_and_its_files_belong_to_root_inside() {
    let f = fixture(ORDERLY);
    let store = regrow_image::Store::open(f.dir.path().join("store")).unwrap();
    let image = store.commit(&store.read_dir(f.root()).unwrap()).unwrap();
    let machine = boot_with(&f, "image", Lower::Image { store: &store, image: &image }, Vec::new()).unwrap();
    assert_eq!(
        shell(&machine, "stat -c %u /usr/bin/sh; cat /etc/motd; echo x > /etc/motd; cat /etc/motd"),
        "0\nhello\nx\n"
    );
    machine.kill().unwrap();
    assert_eq!(std::fs::read_to_string(run_dir(&f, "image").join("upper/etc/motd")).unwrap(), "x\n");
}

#[test]
fn a_hostile_image_is_refused_and_leaves_no_group() {
    let f = fixture(ORDERLY);
    std::fs::remove_dir(f.root().join("proc")).unwrap();
    std::os::unix::fs::symlink("/etc", f.root().join("proc")).unwrap();
    let words = boot(&f, "hostile").unwrap_err().to_string();
    assert!(words.contains("/proc"), "{words}");
    let name = format!("test-machine-{}-hostile", std::process::id());
    assert!(regrow_sandbox::Cgroup::open(&name).unwrap().is_none());
}

fn check(kind: CheckKind, timeout: u64) -> Check {
    Check { kind, timeout }
}

/// Answers requests inside the machine's network for as long as the process lives.
fn web_server(machine: &Machine) {
    let listener =
        regrow_sandbox::in_network_of(machine.inside().as_fd(), || TcpListener::bind("127.0.0.1:80")).unwrap().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 2048]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nwelcome");
        }
    });
}

#[test]
fn checks_of_every_kind_report_what_they_saw() {
    let f = fixture(ORDERLY);
    let machine = boot(&f, "checks").unwrap();
    web_server(&machine);
    let http =
        |status, body: &str| CheckKind::Http { url: "http://localhost/".into(), status, body: Some(body.into()) };
    let command = |argv: &[&str], exit, stdout: Option<&str>| CheckKind::Command {
        argv: argv.iter().map(|a| a.to_string()).collect(),
        exit,
        stdout: stdout.map(Into::into),
    };
    let file = |path: &str, exists, content: Option<&str>, mode| CheckKind::File {
        path: path.into(),
        exists,
        content: content.map(Into::into),
        mode,
    };
    // name, what, passes, part of the detail
    let table: Vec<(&str, CheckKind, bool, &str)> = vec![
        ("http", http(200, "welcome"), true, "answered 200"),
        ("http-body", http(200, "goodbye"), false, "welcome"),
        ("http-status", http(500, "welcome"), false, "answered 200, 7 bytes; expected 500"),
        ("port", CheckKind::Port { port: 80 }, true, "127.0.0.1:80 accepts"),
        ("port-closed", CheckKind::Port { port: 81 }, false, "refused"),
        ("command", command(&["/usr/bin/echo", "forty-two"], 0, Some("two")), true, "forty-two"),
        (
            "command-exit",
            command(&["/usr/bin/sh", "-c", "echo oh >&2; exit 4"], 0, None),
            false,
            "exit status 4, wrote \"oh\"",
        ),
        ("command-missing", command(&["/usr/bin/none"], 0, None), false, "/usr/bin/none"),
        ("command-slow", command(&["/usr/bin/sleep", "1000"], 0, None), false, "did not end"),
        ("file", file("/etc/motd", true, Some("hello"), Some(0o644)), true, "mode 0644"),
        ("file-mode", file("/etc/motd", true, None, Some(0o600)), false, "mode 0644, 6 bytes; expected mode 0600"),
        ("file-content", file("/etc/motd", true, Some("bye"), None), false, "does not contain"),
        ("file-missing", file("/etc/none", true, None, None), false, "/etc/none"),
        ("file-absent", file("/etc/none", false, None, None), true, "does not exist"),
        ("file-present", file("/etc/motd", false, None, None), false, "exists"),
    ];
    let checks: BTreeMap<String, Check> =
        table.iter().map(|(name, kind, ..)| (name.to_string(), check(kind.clone(), 1))).collect();
    let results = machine.inside().run_checks(&checks, Always { timeout: Duration::from_secs(1) });
    let names: Vec<_> = results.iter().map(|r| r.name.as_str()).collect();
    let mut wanted = vec!["system", "failed-units"];
    wanted.extend(checks.keys().map(String::as_str));
    assert_eq!(names, wanted);
    for (name, kind, passes, detail) in &table {
        let result = results.iter().find(|r| r.name == *name).unwrap();
        assert_eq!(result.passed, *passes, "{result:?}");
        assert!(result.detail.contains(detail), "{result:?}");
        assert_eq!(result.kind, kind.name());
        assert!(result.seconds < 8.0, "{result:?}");
    }
    // This init is no systemd, and nobody may think that it is fine.
    assert!(!results[0].passed && results[0].detail.contains("systemctl"), "{:?}", results[0]);
}

#[test]
fn a_check_passes_as_soon_as_it_holds() {
    let f = fixture(ORDERLY);
    let machine = boot(&f, "late").unwrap();
    let kind = CheckKind::File { path: "/tmp/late".into(), exists: true, content: None, mode: None };
    let checks = BTreeMap::from([("late".to_owned(), check(kind, 60))]);
    let results = std::thread::scope(|scope| {
        let results = scope.spawn(|| machine.inside().run_checks(&checks, Always { timeout: Duration::ZERO }));
        shell(&machine, "echo x > /tmp/late");
        results.join().unwrap()
    });
    let late = results.iter().find(|r| r.name == "late").unwrap();
    assert!(late.passed && late.seconds < 20.0, "{late:?}");
}

#[test]
fn checks_do_not_wait_for_a_machine_that_ended() {
    let f = fixture("exit 0");
    let machine = boot(&f, "gone").unwrap();
    machine.wait(None).unwrap();
    let kind = CheckKind::Port { port: 80 };
    let results = machine.inside().run_checks(
        &BTreeMap::from([("port".to_owned(), check(kind, 60))]),
        Always { timeout: Duration::from_secs(60) },
    );
    for result in results {
        assert!(!result.passed && result.seconds < 20.0 && result.detail.contains("ended"), "{result:?}");
    }
}

#[test]
fn output_of_a_program_that_never_stops_writing_is_bounded() {
    let f = fixture(ORDERLY);
    let machine = boot(&f, "flood").unwrap();
    let flood = ["sh", "-c", "while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done"];
    let error = machine.inside().capture(&flood, Duration::from_secs(1)).unwrap_err().to_string();
    assert!(error.contains("did not end within 1 s"), "{error}");
    let most = machine.inside().capture(&["cat", "/dev/zero"], Duration::from_millis(500));
    assert!(most.is_err());
    assert!(Path::new(&run_dir(&f, "flood")).exists());
}
