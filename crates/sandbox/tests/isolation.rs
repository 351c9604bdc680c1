//! What a sandbox sees, and what it cannot reach. Needs root.

mod common;

use common::Fixture;
use regrow_sandbox::{Profile, Stream};

#[test]
fn a_build_sees_its_own_root_and_nothing_of_the_host() {
    let f = Fixture::new();
    let script = "id -u; cat /etc/motd; hostname; echo $TZ $LC_ALL; umask; ls / ; echo pid $$; ls /dev; cat /proc/cmdline; ls /sys; \
                  cat /proc/self/mounts";
    let (code, text) = f.output(f.shell(Profile::Build, script));
    assert_eq!(code, 0, "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(&lines[..5], ["0", "hello", "localhost", "UTC C.UTF-8", "0022"], "{text}");
    assert!(text.contains("pid 2\n"), "{text}");
    assert!(!text.contains("cgroup") && !text.contains("sysfs"), "{text}");
    let host = f.dir.path().to_str().unwrap();
    assert!(!text.contains(host), "a path of the host shows: {text}");
    assert!(text.lines().all(|l| !l.contains("ext4")), "a host file system is mounted: {text}");
}

#[test]
fn files_written_inside_lie_unshifted_in_the_upper_directory() {
    use std::os::unix::fs::MetadataExt;
    let f = Fixture::new();
    let (code, text) = f.output(
        f.shell(Profile::Build, "echo x > /etc/new && chown 33:44 /etc/new && rm /etc/motd && stat -c %u:%g /etc/new"),
    );
    assert_eq!((code, text.as_str()), (0, "33:44\n"));
    let meta = std::fs::metadata(f.upper().join("etc/new")).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (33, 44));
    assert!(f.root().join("etc/motd").exists(), "the lower directory is untouched");
}

#[test]
fn exit_status_and_signal_come_through_the_reaper() {
    let f = Fixture::new();
    assert_eq!(f.output(f.shell(Profile::Build, "exit 7")).0, 7);
    assert_eq!(f.output(f.shell(Profile::Build, "kill -9 $$")).0, 128 + 9);
}

#[test]
fn a_missing_program_is_named() {
    let f = Fixture::new();
    let mut spec = f.shell(Profile::Build, "");
    spec.argv = vec!["no-such-program".into()];
    let error = regrow_sandbox::spawn(spec).unwrap_err();
    assert_eq!(error.to_string(), "cannot run no-such-program inside");
}

#[test]
fn builds_cannot_mount_make_devices_or_leave_but_may_sync() {
    let f = Fixture::new();
    for script in ["mount -t tmpfs x /tmp", "mknod /tmp/x b 7 0", "mknod /tmp/null c 1 5", "cat /proc/kcore"] {
        let (code, text) = f.output(f.shell(Profile::Build, script));
        assert!(code != 0 || text.is_empty(), "{script}: {code} {text}");
    }
    assert_eq!(f.output(f.shell(Profile::Build, "sync")).0, 0);
}

#[test]
fn root_inside_is_nobody_to_the_host() {
    let f = Fixture::new();
    let secret = f.dir.path().join("secret");
    std::fs::write(&secret, "s").unwrap();
    let mut perms = std::fs::metadata(&secret).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut perms, 0o600);
    std::fs::set_permissions(&secret, perms).unwrap();
    let mut spec = f.shell(Profile::Build, "cat /run/secret; stat -c %u /run/secret");
    spec.mounts.push(regrow_sandbox::Mount::Bind {
        source: regrow_sandbox::Source::Path(secret),
        target: "/run/secret".into(),
        read_only: true,
        id_mapped: false,
        create: true,
    });
    let (_, text) = f.output(spec);
    assert!(text.contains("Permission denied") && text.ends_with("65534\n"), "{text}");
}

#[test]
fn a_time_limit_ends_all_inside() {
    let f = Fixture::new();
    let spec = f.shell(Profile::Build, "sleep 1000 & sleep 1000");
    let since = std::time::Instant::now();
    let ended = regrow_sandbox::run(spec, Some(std::time::Duration::from_millis(300)), &mut |_, _| {}).unwrap();
    assert_eq!(ended, regrow_sandbox::Ended::TimedOut);
    assert!(since.elapsed().as_secs() < 5);
}

#[test]
fn many_at_once_from_threads_that_end_do_not_disturb_each_other() {
    let f = Fixture::new();
    let f = &f;
    // The thread that starts a sandbox may end before it: death signals are bound to threads.
    let children: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn(move || {
                    let run = f.dir.path().join(format!("run-{n}"));
                    std::fs::create_dir_all(&run).unwrap();
                    let mut spec = f.shell(Profile::Build, &format!("read x; echo {n} $x"));
                    spec.root.upper = run.join("upper");
                    spec.root.work = run.join("work");
                    spec.io.stdin = Stream::Pipe;
                    spec.io.stdout = Stream::Pipe;
                    regrow_sandbox::spawn(spec).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for (n, mut child) in children.into_iter().enumerate() {
        use std::io::{Read, Write};
        assert_eq!(child.wait(Some(std::time::Duration::ZERO)).unwrap(), None, "{n} died with its thread");
        child.stdin.take().unwrap().write_all(b"there\n").unwrap();
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("{n} there\n"));
        assert!(child.wait(None).unwrap().unwrap().success());
    }
}
