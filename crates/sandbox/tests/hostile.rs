//! Images that try to lead mounts and writes of the set-up out of the sandbox. Needs root.

mod common;

use std::os::unix::fs::symlink;

use common::Fixture;
use regrow_sandbox::{Entry, Mount, Profile, Source};

/// A bind of a directory with one file, to be mounted at `target`.
fn volume(f: &Fixture, target: &str) -> Mount {
    let source = f.dir.path().join("volume");
    std::fs::create_dir_all(&source).unwrap();
    std::fs::write(source.join("state"), "kept\n").unwrap();
    Mount::Bind { source: Source::Path(source), target: target.into(), read_only: false, id_mapped: true, create: true }
}

#[test]
fn fixed_mount_points_that_are_links_are_refused_by_name() {
    for name in ["proc", "dev", "run", "tmp"] {
        let f = Fixture::new();
        std::fs::remove_dir(f.root().join(name)).unwrap();
        symlink("/etc", f.root().join(name)).unwrap();
        let error = regrow_sandbox::spawn(f.shell(Profile::Machine, "exit 0")).unwrap_err().to_string();
        assert!(error.contains(&format!("/{name} of the image")), "{error}");
    }
}

#[test]
fn missing_mount_points_are_made() {
    let f = Fixture::new();
    for name in ["proc", "sys", "dev", "run", "tmp"] {
        std::fs::remove_dir(f.root().join(name)).unwrap();
    }
    let (code, text) = f.output(f.shell(Profile::Machine, "cat /proc/self/comm && ls /dev/null"));
    assert_eq!((code, text.as_str()), (0, "cat\n/dev/null\n"));
}

#[test]
fn a_volume_target_that_leads_up_and_out_lands_inside() {
    let f = Fixture::new();
    // As far up as it goes, and then to a directory that the host has too.
    symlink("../../../../../../../../../../../../../../../../var", f.root().join("var/lib/regrow")).unwrap();
    let mut spec =
        f.shell(Profile::Build, "cat /var/lib/regrow/identity/state; echo new > /var/lib/regrow/identity/key");
    spec.mounts.push(volume(&f, "/var/lib/regrow/identity"));
    let (code, text) = f.output(spec);
    assert_eq!((code, text.as_str()), (0, "kept\n"));
    assert!(f.upper().join("var/identity").is_dir(), "the mount point is made inside");
    assert!(!std::path::Path::new("/var/identity").exists(), "something was made on the host");
    assert_eq!(std::fs::read_to_string(f.dir.path().join("volume/key")).unwrap(), "new\n");
}

#[test]
fn a_dangling_target_is_an_error_and_not_a_new_path_elsewhere() {
    let f = Fixture::new();
    symlink("/nowhere/at/all", f.root().join("var/state")).unwrap();
    let mut spec = f.shell(Profile::Build, "exit 0");
    spec.mounts.push(volume(&f, "/var/state"));
    let error = regrow_sandbox::spawn(spec).unwrap_err().to_string();
    assert!(error.contains("/var/state"), "{error}");
    assert!(!std::path::Path::new("/nowhere").exists());
}

#[test]
fn entries_replace_links_instead_of_writing_through_them() {
    let f = Fixture::new();
    let outside = f.dir.path().join("outside");
    std::fs::write(&outside, "host\n").unwrap();
    symlink(&outside, f.root().join("etc/machine-id")).unwrap();
    symlink("/proc/self/cwd/../../../..", f.root().join("etc/magic")).unwrap();
    let entry = |target: &str| Entry::File { target: target.into(), bytes: b"inside\n".to_vec(), mode: 0o444 };

    let mut spec = f.shell(Profile::Build, "cat /etc/machine-id; stat -c %a:%u /etc/machine-id");
    spec.entries.push(entry("/etc/machine-id"));
    assert_eq!(f.output(spec), (0, "inside\n444:0\n".to_owned()));
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "host\n");

    let mut spec = f.shell(Profile::Build, "exit 0");
    spec.entries.push(entry("/etc/magic/tmp/x"));
    let error = regrow_sandbox::spawn(spec).unwrap_err().to_string();
    assert!(error.contains("/etc/magic"), "magic links are not followed: {error}");
}

#[test]
fn a_fifo_in_the_way_of_an_entry_does_not_block() {
    let f = Fixture::new();
    let path = f.root().join("etc/machine-id");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o644), 0)
        .unwrap();
    let mut spec = f.shell(Profile::Build, "cat /etc/machine-id");
    spec.entries.push(Entry::File { target: "/etc/machine-id".into(), bytes: b"x\n".to_vec(), mode: 0o444 });
    assert_eq!(f.output(spec), (0, "x\n".to_owned()));
}

#[test]
fn links_left_in_the_writable_directory_by_an_earlier_life_lead_nowhere() {
    let f = Fixture::new();
    let outside = f.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    // The first life replaces /etc by a link to a directory of the host.
    let (code, text) = f.output(f.shell(Profile::Build, &format!("rm -r /etc && ln -s {} /etc", outside.display())));
    assert_eq!(code, 0, "{text}");
    let mut spec = f.shell(Profile::Build, "exit 0");
    spec.entries.push(Entry::File { target: "/etc/machine-id".into(), bytes: b"x\n".to_vec(), mode: 0o444 });
    let _ = regrow_sandbox::spawn(spec);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn files_read_from_outside_stay_inside_and_never_block() {
    use std::io::Read;
    let f = Fixture::new();
    symlink("/etc/motd", f.root().join("etc/link")).unwrap();
    symlink("/proc/self/root/etc/motd", f.root().join("etc/magic")).unwrap();
    let path = f.root().join("etc/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o644), 0)
        .unwrap();
    let mut spec = f.shell(Profile::Machine, "exec sleep 1000");
    spec.pid1 = true;
    let child = regrow_sandbox::spawn(spec).unwrap();
    let mut text = String::new();
    regrow_sandbox::open_inside(child.pid(), "/etc/link").unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello\n", "the sandbox's own file, not the host's");
    assert!(regrow_sandbox::open_inside(child.pid(), "/etc/magic").is_err());
    assert!(!regrow_sandbox::open_inside(child.pid(), "/etc/fifo").unwrap().metadata().unwrap().is_file());
    let missing = regrow_sandbox::open_inside(child.pid(), "/../../etc/shadow-of-nothing").unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
}
