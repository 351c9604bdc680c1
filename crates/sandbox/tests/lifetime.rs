//! How sandboxes end, and that nothing is left of them. Needs root.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::Fixture;
use regrow_sandbox::{Cgroup, Exec, Exit, Io, Limits, Profile, Stream, build_environment};

/// Says which part of a test this process plays.
const ROLE: &str = "REGROW_TEST_ROLE";

fn exec(script: &str, cgroup: Option<Cgroup>) -> Exec {
    Exec {
        argv: ["sh", "-c", script].map(Into::into).to_vec(),
        env: build_environment(),
        cwd: "/".into(),
        io: Io { stdout: Stream::Pipe, stderr: Stream::Pipe, ..Io::default() },
        cgroup,
        profile: Profile::Machine,
    }
}

fn output(child: &mut regrow_sandbox::Child) -> (i32, String) {
    let mut text = Vec::new();
    match regrow_sandbox::collect(child, Some(Duration::from_secs(20)), &mut |_, b| text.extend(b)).unwrap() {
        regrow_sandbox::Ended::Exit(exit) => (exit.shell_code(), String::from_utf8_lossy(&text).into_owned()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn kill_nine_of_the_parent_takes_the_sandbox_and_all_in_it() {
    let name = "kill_nine_of_the_parent_takes_the_sandbox_and_all_in_it";
    if std::env::var_os(ROLE).is_some() {
        let f = Fixture::new();
        let mut spec = f.shell(Profile::Machine, "sleep 1000 & sleep 1000 & wait");
        spec.pid1 = true;
        let child = regrow_sandbox::spawn(spec).unwrap();
        let joined = regrow_sandbox::exec_in(child.pidfd(), exec("sleep 1000", None)).unwrap();
        let line = format!("\npids {} {} {}\n", child.pid(), joined.pid(), f.dir.path().display());
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_secs(1000));
        return;
    }
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(ROLE, "parent")
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stderr.take().unwrap()).lines();
    let line = lines.map_while(Result::ok).find(|l| l.starts_with("pids ")).expect("the parent says who runs");
    let words: Vec<_> = line.split(' ').collect();
    let handles: Vec<_> = words[1..3].iter().map(|p| regrow_sandbox::process(p.parse().unwrap()).unwrap()).collect();
    parent.kill().unwrap();
    parent.wait().unwrap();
    for handle in handles {
        let mut fds = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
        let limit = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut fds, Some(&limit)).unwrap(), 1, "a process lives on: {line}");
    }
    std::fs::remove_dir_all(words[3]).unwrap();
}

#[test]
fn kill_nine_at_any_moment_of_starting_leaves_no_process() {
    let name = "kill_nine_at_any_moment_of_starting_leaves_no_process";
    const GROUP: &str = "REGROW_TEST_GROUP";
    if std::env::var_os(ROLE).is_some() {
        let f = Fixture::new();
        let group = Cgroup::open(&std::env::var(GROUP).unwrap()).unwrap().unwrap();
        std::io::stderr().write_all(format!("\ndir {}\n", f.dir.path().display()).as_bytes()).unwrap();
        loop {
            let mut spec = f.shell(Profile::Build, "sleep 1000 & exit 0");
            spec.cgroup = Some(group.clone());
            regrow_sandbox::spawn(spec).unwrap().wait(None).unwrap();
        }
    }
    let group = Cgroup::create(&format!("test-storm-{}", std::process::id())).unwrap();
    for round in 0..20u64 {
        let mut parent = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(ROLE, "parent")
            .env(GROUP, group.name())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(parent.stderr.take().unwrap()).lines();
        let line = lines.map_while(Result::ok).find(|l| l.starts_with("dir ")).expect("the parent says where it works");
        // Moments spread over the first starts; one takes some milliseconds.
        std::thread::sleep(Duration::from_micros(1_700 * round));
        parent.kill().unwrap();
        parent.wait().unwrap();
        let events = std::fs::File::open(group.path().join("cgroup.events")).unwrap();
        let since = std::time::Instant::now();
        while !group.is_empty().unwrap() {
            assert!(since.elapsed() < Duration::from_secs(10), "round {round}: something lives on");
            let mut fds = [rustix::event::PollFd::new(&events, rustix::event::PollFlags::PRI)];
            let limit = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            rustix::event::poll(&mut fds, Some(&limit)).unwrap();
        }
        std::fs::remove_dir_all(line.strip_prefix("dir ").unwrap()).unwrap();
    }
    group.remove().unwrap();
}

#[test]
fn dropping_a_child_ends_all_inside() {
    let f = Fixture::new();
    let group = Cgroup::create(&format!("test-drop-{}", std::process::id())).unwrap();
    let mut spec = f.shell(Profile::Build, "sleep 1000 & sleep 1000 & sleep 1000");
    spec.cgroup = Some(group.clone());
    let child = regrow_sandbox::spawn(spec).unwrap();
    assert!(!group.is_empty().unwrap());
    assert!(group.contains(child.pid()).unwrap());
    drop(child);
    assert!(group.is_empty().unwrap());
    group.remove().unwrap();
    assert!(!group.path().exists());
}

#[test]
fn exec_joins_every_namespace_and_reports_its_exit() {
    let f = Fixture::new();
    let group = Cgroup::create(&format!("test-exec-{}", std::process::id())).unwrap();
    let mut spec = f.shell(Profile::Machine, "echo inside > /tmp/mark; exec sleep 1000");
    spec.pid1 = true;
    spec.hostname = "web1".into();
    spec.cgroup = Some(group.clone());
    let child = regrow_sandbox::spawn(spec).unwrap();
    let script = "until cat /tmp/mark; do :; done; id -u; hostname; cat /proc/1/comm; cat /proc/self/cgroup; ls /sys/class/net; exit 5";
    let mut joined = regrow_sandbox::exec_in(child.pidfd(), exec(script, Some(group.clone()))).unwrap();
    let (code, text) = output(&mut joined);
    assert_eq!(code, 5, "{text}");
    let lines: Vec<_> = text.lines().filter(|l| !l.contains("No such file")).collect();
    assert_eq!(&lines[..4], ["inside", "0", "web1", "sleep"], "{text}");
    assert!(lines.contains(&"0::/regrow-exec") && lines.last() == Some(&"lo"), "{text}");
    drop(child);
    let error = regrow_sandbox::exec_in(joined.pidfd(), exec("exit 0", None)).unwrap_err().to_string();
    assert!(error.contains("has it ended"), "{error}");
    group.remove().unwrap();
}

#[test]
fn no_process_inside_has_a_descriptor_of_ours() {
    let f = Fixture::new();
    let secret = f.dir.path().join("secret");
    std::fs::write(&secret, "s").unwrap();
    // Not close-on-exec, as a careless library would leave it.
    let leak = std::fs::File::open(&secret).unwrap();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    let mut spec = f.shell(Profile::Machine, "ls -l /proc/self/fd >&2; exec sleep 1000 2>/dev/null");
    spec.pid1 = true;
    spec.io.stderr = Stream::Pipe;
    let mut child = regrow_sandbox::spawn(spec).unwrap();
    let mut joined = regrow_sandbox::exec_in(child.pidfd(), exec("ls -l /proc/self/fd", None)).unwrap();
    let (_, text) = output(&mut joined);
    assert!(!text.contains("secret") && text.contains("-> "), "{text}");
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    child.signal(9).unwrap();
    assert!(!text.contains("secret") && text.contains("-> "), "{text}");
    assert_eq!(child.wait(None).unwrap(), Some(Exit::Signal(9)));
}

#[test]
fn code_of_ours_runs_in_the_network_of_a_sandbox() {
    let f = Fixture::new();
    let outside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = outside.local_addr().unwrap().port();
    let mut spec = f.shell(Profile::Machine, "exec sleep 1000");
    spec.pid1 = true;
    let child = regrow_sandbox::spawn(spec).unwrap();
    let connect = || std::net::TcpStream::connect(("127.0.0.1", port));
    assert!(connect().is_ok());
    let inside = regrow_sandbox::in_network_of(child.pidfd(), connect).unwrap();
    assert_eq!(inside.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused, "another loopback answers");
    let bound = regrow_sandbox::in_network_of(child.pidfd(), || std::net::TcpListener::bind(("127.0.0.1", port)));
    assert!(bound.unwrap().is_ok(), "loopback inside is up and free");
}

#[test]
fn the_limit_of_processes_holds() {
    let f = Fixture::new();
    let group = Cgroup::create(&format!("test-limit-{}", std::process::id())).unwrap();
    let unlimited = group.limit(&Limits { processes: Some(20), ..Limits::default() });
    let mut spec = f.shell(Profile::Build, "n=0; while [ $n -lt 100 ]; do sleep 1000 & n=$((n+1)); done; echo all");
    spec.cgroup = Some(group.clone());
    let mut text = String::new();
    regrow_sandbox::run(spec, Some(Duration::from_secs(10)), &mut |_, b| text.push_str(&String::from_utf8_lossy(b)))
        .unwrap();
    group.remove().unwrap();
    // A host without the controller says so, and then the limit is not there.
    assert_eq!(text.contains("all"), !unlimited.is_empty(), "{unlimited:?} {text}");
}

#[test]
fn sweep_takes_groups_without_owner_and_kills_what_is_in_them() {
    let prefix = format!("test-sweep-{}", std::process::id());
    let owned = Cgroup::create(&format!("{prefix}-owned")).unwrap();
    let left = Cgroup::create(&format!("{prefix}-left")).unwrap();
    let mut sleeper = Command::new("sleep").arg("1000").spawn().unwrap();
    std::fs::write(left.path().join("cgroup.procs"), sleeper.id().to_string()).unwrap();
    assert!(Cgroup::create(left.name()).unwrap_err().to_string().contains("in use"));
    let swept = regrow_sandbox::sweep(&prefix, |name| name == owned.name()).unwrap();
    assert_eq!(swept, [left.name()]);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&sleeper.wait().unwrap()), Some(9));
    assert!(owned.path().exists() && !left.path().exists());
    owned.remove().unwrap();
}

#[test]
fn a_program_on_a_terminal_has_one() {
    let f = Fixture::new();
    let mut spec = f.shell(Profile::Machine, "exec sleep 1000");
    spec.pid1 = true;
    let child = regrow_sandbox::spawn(spec).unwrap();
    let mut exec =
        exec("test -t 0 && test -t 1 && test -t 2 && tty && stat -c %u:%g $(tty) && echo to it > /dev/tty", None);
    exec.io = Io { terminal: Some(regrow_sandbox::Pty::inside(child.pid()).unwrap()), ..Io::default() };
    let mut joined = regrow_sandbox::exec_in(child.pidfd(), exec).unwrap();
    let mut text = Vec::new();
    // The end of a terminal is an error of its master.
    let _ = joined.terminal.take().unwrap().read_to_end(&mut text);
    assert_eq!(String::from_utf8_lossy(&text), "/dev/pts/0\r\n0:5\r\nto it\r\n");
    assert!(joined.wait(None).unwrap().unwrap().success());
}

#[test]
fn this_host_has_all_that_is_required() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let found = regrow_sandbox::probe(dir.path());
    for capability in &found.all {
        assert!(capability.ok || !capability.required, "{}: {}", capability.name, capability.words);
        assert!(!capability.words.is_empty());
    }
    assert!(found.ok());
    assert!(
        !dir.path().join("scratch").exists() || std::fs::read_dir(dir.path().join("scratch")).unwrap().count() == 0
    );
}
