//! Packages come whole, verified and once: through broken connections, full disks, kills and company.

mod common;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{World, files_below};
use regrow_archive::{Archive, Error};
use regrow_config::LockFile;
use regrow_host::program::Program;
use regrow_host::progress::{Event, Recorder, Silent};
use regrow_testkit::Fault;

const WEB: &str = "web_2.0-1_amd64.deb";

/// A world whose index is verified, and the lock of a server in it whose packages were thrown away again.
fn prepared() -> (World, LockFile) {
    let world = World::new();
    let lock = world.locked(&["web", "other"]);
    for store in ["archive/debs", "archive/quick"] {
        std::fs::remove_dir_all(world.home().join(store)).unwrap();
    }
    (world, lock)
}

/// Where the store keeps a package as it came, whatever form of it `fetch` tells.
fn original(world: &World, lock: &LockFile, name: &str) -> std::path::PathBuf {
    let sha256 = &lock.packages[name].sha256;
    world.home().join("archive/debs").join(&sha256[..2]).join(format!("{sha256}.deb"))
}

fn stored(world: &World) -> usize {
    files_below(&world.home().join("archive/debs")).len()
}

#[test]
fn packages_come_in_parallel_and_only_once() {
    let (world, lock) = prepared();
    let before = world.server.count(".deb");
    let recorder = Recorder::default();
    let paths = world.open().fetch(&lock, &recorder).unwrap();
    assert_eq!(paths.len(), 5);
    for name in paths.keys() {
        assert_eq!(std::fs::metadata(original(&world, &lock, name)).unwrap().len(), lock.packages[name].size, "{name}");
    }
    assert_eq!(world.server.count(".deb") - before, 5);
    world.open().fetch(&lock, &Silent).unwrap();
    assert_eq!(world.server.count(".deb") - before, 5);
    assert_eq!(files_below(&world.home().join("archive/partial")), [""; 0]);
    let events = recorder.events();
    let total: u64 = lock.packages.values().map(|p| p.size).sum();
    assert!(
        events.iter().any(|e| matches!(e, Event::Advanced { done, total: t, .. } if *done == total && *t == total)),
        "the bar ends full"
    );
    let done: Vec<u64> =
        events.iter().filter_map(|e| if let Event::Advanced { done, .. } = e { Some(*done) } else { None }).collect();
    assert!(done.is_sorted(), "the bar never goes back");
}

#[test]
fn a_flipped_byte_in_a_package_is_refused_naming_the_package() {
    let (world, lock) = prepared();
    world.server.fault(WEB, Fault::Flip(5000));
    let error = world.open().fetch(&lock, &Silent).unwrap_err();
    assert!(
        matches!(&error, Error::PackageDigest { package, url, .. } if package == "web" && url.ends_with(WEB)),
        "{error}"
    );
    let wanted = format!("{}.deb", lock.packages["web"].sha256);
    assert!(
        !files_below(&world.home().join("archive")).iter().any(|f| f.ends_with(&wanted)),
        "nothing of it is stored"
    );
    world.server.mend();
    assert_eq!(world.open().fetch(&lock, &Silent).unwrap().len(), 5);
}

#[test]
fn a_package_of_another_size_is_refused() {
    let (world, lock) = prepared();
    world.server.fault(WEB, Fault::Truncate(1000));
    let error = world.open().fetch(&lock, &Silent).unwrap_err();
    assert!(
        matches!(&error, Error::PackageDigest { reason, .. } if reason.contains("1000 bytes instead of")),
        "{error}"
    );
}

#[test]
fn broken_connections_are_resumed_where_they_broke() {
    let (world, lock) = prepared();
    world.server.fault(WEB, Fault::BreakOff(70_000, 2));
    let asked = world.server.requests().len();
    world.open().fetch(&lock, &Silent).unwrap();
    let offsets: Vec<u64> =
        world.server.requests()[asked..].iter().filter(|r| r.path.ends_with(WEB)).map(|r| r.offset).collect();
    assert_eq!(offsets, [0, 70_000, 140_000]);
}

#[test]
fn a_server_that_cannot_resume_is_served_from_the_beginning() {
    let (world, lock) = prepared();
    world.server.fault(WEB, Fault::BreakOff(70_000, 1));
    world.server.fault(WEB, Fault::NoRange);
    world.open().fetch(&lock, &Silent).unwrap();
    assert_eq!(stored(&world), 5);
}

#[test]
fn passing_trouble_is_waited_out_and_lasting_trouble_told() {
    let (world, lock) = prepared();
    world.server.fault(WEB, Fault::Status(503, 2));
    world.open().fetch(&lock, &Silent).unwrap();

    let (world, lock) = prepared();
    world.server.fault(WEB, Fault::Status(503, usize::MAX));
    let error = world.open().fetch(&lock, &Silent).unwrap_err();
    assert!(
        matches!(&error, Error::Unreachable { url, reason } if url.ends_with(WEB) && reason.contains("503")),
        "{error}"
    );

    let (world, lock) = prepared();
    std::fs::remove_file(world.archive.dir().join("pool/main/w/web").join(WEB)).unwrap();
    let error = world.open().fetch(&lock, &Silent).unwrap_err();
    assert!(matches!(&error, Error::NotFound { url } if url.ends_with(WEB)), "{error}");
}

#[test]
fn a_part_with_wrong_bytes_in_it_is_begun_anew() {
    let (world, lock) = prepared();
    let part = world.home().join("archive/partial").join(format!("{}.part", lock.packages["web"].sha256));
    for bytes in [vec![7; 5000], vec![7; 10_000_000], vec![7; lock.packages["web"].size as usize]] {
        std::fs::create_dir_all(part.parent().unwrap()).unwrap();
        std::fs::write(&part, bytes).unwrap();
        world.open().fetch(&lock, &Silent).unwrap();
        assert!(!part.exists());
        std::fs::remove_dir_all(world.home().join("archive/debs")).unwrap();
    }
}

#[test]
fn a_stored_package_of_another_size_is_fetched_again() {
    let (world, lock) = prepared();
    world.open().fetch(&lock, &Silent).unwrap();
    let web = original(&world, &lock, "web");
    std::fs::write(&web, b"cut off").unwrap();
    world.open().fetch(&lock, &Silent).unwrap();
    assert_eq!(std::fs::metadata(&web).unwrap().len(), lock.packages["web"].size);
}

#[test]
fn two_at_once_fetch_each_package_once() {
    let (world, lock) = prepared();
    world.server.fault(WEB, Fault::Hold(1000));
    let before = world.server.count(".deb");
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..2).map(|_| scope.spawn(|| world.open().fetch(&lock, &Silent).map(|p| p.len()))).collect();
        world.server.wait_for(WEB);
        world.server.release();
        for thread in threads {
            assert_eq!(thread.join().unwrap().unwrap(), 5);
        }
    });
    assert_eq!(world.server.count(".deb") - before, 5);
}

#[test]
fn a_lock_that_leads_out_of_the_mirror_or_the_store_is_refused() {
    let (world, lock) = prepared();
    for (file, sha256) in [("../secret", None), ("/etc/passwd", None), ("pool/web.deb", Some("../../x"))] {
        let mut lock = lock.clone();
        let package = lock.packages.get_mut("web").unwrap();
        package.file = file.to_owned();
        if let Some(sha256) = sha256 {
            package.sha256 = sha256.to_owned();
        }
        assert!(matches!(world.open().fetch(&lock, &Silent), Err(Error::Lock { .. })), "{file}");
    }
    let mut lock = lock;
    lock.packages.get_mut("web").unwrap().archive = "gone".to_owned();
    let error = world.open().fetch(&lock, &Silent).unwrap_err();
    assert!(error.to_string().contains("`gone`"), "{error}");
}

/// The child of [`killed_at_any_moment_the_next_run_goes_on`]: fetches what the lock at `REGROW_TEST_LOCK` names.
fn child() -> bool {
    let Ok(dir) = std::env::var("REGROW_TEST_DIR") else { return false };
    let dir = PathBuf::from(dir);
    let lock = LockFile::parse("lock.toml", &std::fs::read_to_string(dir.join("lock.toml")).unwrap()).unwrap();
    let mirror = std::env::var("REGROW_TEST_MIRROR").unwrap();
    let archive = regrow_config::Archive { mirror, suites: Vec::new(), components: Vec::new(), keyring: String::new() };
    let archives = [("test".to_owned(), archive)].into();
    Archive::open(&dir.join("home"), &archives, "amd64").unwrap().fetch(&lock, &Silent).unwrap();
    true
}

#[test]
fn killed_at_any_moment_the_next_run_goes_on() {
    if child() {
        return;
    }
    let (world, lock) = prepared();
    std::fs::write(world.path("lock.toml"), lock.to_text()).unwrap();
    let part = world.home().join("archive/partial").join(format!("{}.part", lock.packages["web"].sha256));
    let length = || std::fs::metadata(&part).map_or(0, |m| m.len());
    let mut reached = 0;
    for more in [0, 1, 65_536, 30_000] {
        let server = regrow_testkit::FileServer::start(world.archive.dir());
        server.fault(WEB, Fault::Hold(more));
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed_at_any_moment_the_next_run_goes_on"])
            .env("REGROW_TEST_DIR", world.path(""))
            .env("REGROW_TEST_MIRROR", server.url())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        server.wait_for(WEB);
        let request = server.requests().into_iter().find(|r| r.path.ends_with(WEB)).unwrap();
        assert_eq!(request.offset, reached, "it goes on where the last one was killed");
        while length() < reached + more {
            assert!(process.try_wait().unwrap().is_none(), "the child ended early");
            std::thread::yield_now();
        }
        process.kill().unwrap();
        process.wait().unwrap();
        reached = length();
    }
    assert_eq!(reached, 95_537);
    let paths = world.open().fetch(&lock, &Silent).unwrap();
    for name in paths.keys() {
        assert_eq!(std::fs::metadata(original(&world, &lock, name)).unwrap().len(), lock.packages[name].size);
    }
    assert_eq!(files_below(&world.home().join("archive/partial")), [""; 0]);
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    let (world, lock) = prepared();
    let home = world.home();
    let small = world.path("small");
    std::fs::create_dir_all(&small).unwrap();
    // Needs root, as the whole program does.
    Program::new("mount", "mount").args(["-t", "tmpfs", "-o", "size=100k", "tmpfs"]).arg(&small).run().unwrap();
    struct Unmount(PathBuf);
    impl Drop for Unmount {
        fn drop(&mut self) {
            let _ = Program::new("umount", "mount").arg("-l").arg(&self.0).run();
        }
    }
    let unmount = Unmount(small.clone());
    let archive = Archive::open(&small, &world.settings(&["trixie"]), "amd64").unwrap();
    let error = archive.fetch(&lock, &Silent).unwrap_err();
    assert!(matches!(&error, Error::DiskFull { path } if path.starts_with(&small)), "{error}");
    Program::new("mount", "mount").args(["-o", "remount,size=10m"]).arg(&small).run().unwrap();
    assert_eq!(archive.fetch(&lock, &Silent).unwrap().len(), 5);
    drop(unmount);
    assert_eq!(stored(&world), 0, "the other home was not touched: {}", home.display());
}
