//! Whatever stops a writer (kill -9, a full disk, another writer), the store stays usable and holds no half image.
//! The disk test needs root.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use regrow_image::{Content, Error, ImageId, Meta, Store, Tree};

mod common;

/// Where [`worker`] works when it runs as a process of its own.
const STORE: &str = "REGROW_TEST_STORE";

/// A tree whose files are different for every `round`, but for some that are the same in all.
fn tree(store: &Store, round: u32) -> Result<Tree, Error> {
    let mut tree = Tree::default();
    for n in 0..20_u32 {
        let bytes: Vec<u8> = (0..3000 * (n + 1))
            .flat_map(|i| if n < 5 { [n as u8, i as u8] } else { [round as u8, (i ^ n) as u8] })
            .collect();
        tree.insert_file(format!("/{n}"), Meta::new(0o644, 0, 0, i64::from(round)), store.put_bytes(&bytes)?)?;
    }
    Ok(tree)
}

fn round(store: &Store, n: u32) -> Result<ImageId, Error> {
    let image = store.commit(&tree(store, n)?)?;
    store.put_layer(&format!("layer-{n}"), &image)?;
    Ok(image)
}

/// Every image and layer there is can be read with all its contents.
fn assert_whole(store: &Store) {
    for image in store.images().unwrap() {
        for (path, entry) in store.load(&image).unwrap().walk() {
            if let Some(content @ Content::Object { .. }) = entry.as_file() {
                let bytes = store.read(content).unwrap_or_else(|e| panic!("{}: {e}", String::from_utf8_lossy(&path)));
                assert_eq!(&store.put_bytes(&bytes).unwrap(), content);
            }
        }
    }
    for (key, image) in store.layers().unwrap() {
        assert!(store.has_image(&image), "{key}");
    }
}

/// Runs as the process that the other tests kill; by itself it does one round.
#[test]
fn worker() {
    let (dir, rounds) = match std::env::var_os(STORE) {
        Some(path) => (PathBuf::from(path), u32::MAX),
        None => (tempfile::tempdir().unwrap().keep(), 1),
    };
    writeln!(std::io::stdout(), "ready").unwrap();
    for n in 0..rounds {
        let store = Store::open(&dir).unwrap();
        let image = round(&store, n % 40).unwrap();
        assert!(store.has_image(&image));
        if n % 8 == 7 {
            drop(store);
            match Store::open(&dir).unwrap().gc(&[], &BTreeSet::from(["layer-3".to_owned()]), false) {
                Ok(_) | Err(Error::InUse { .. }) => {}
                Err(e) => panic!("{e}"),
            }
        }
    }
    std::fs::remove_dir_all(dir).unwrap();
}

struct Worker(Child);

impl Worker {
    fn start(store: &Path) -> Worker {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker", "--nocapture"])
            .env(STORE, store)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("ready")));
        Worker(child)
    }

    fn kill(mut self) {
        assert!(self.0.try_wait().unwrap().is_none(), "it works until it is killed");
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn kill_9_at_any_moment_leaves_a_store_that_needs_no_repair() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut most = 0;
    for n in 0..60_u64 {
        let worker = Worker::start(&path);
        // Moments spread over the rounds of a worker; what it does at each is up to the machine.
        let until = std::time::Instant::now() + std::time::Duration::from_micros(n * n * 17);
        while std::time::Instant::now() < until {
            std::thread::yield_now();
        }
        worker.kill();
        let store = Store::open(&path).unwrap();
        assert_eq!(std::fs::read_dir(path.join("scratch")).unwrap().count(), 0, "what it left half-written is swept");
        most = most.max(store.images().unwrap().len());
        if n % 10 == 9 {
            assert_whole(&store);
        }
    }
    assert!(most > 0, "some rounds were done");
    let store = Store::open(&path).unwrap();
    assert_whole(&store);
    store.gc(&[], &BTreeSet::new(), false).unwrap();
    assert_eq!(std::fs::read_dir(path.join("images")).unwrap().count(), 0);
    for n in 0..40 {
        round(&store, n).unwrap();
    }
    assert_whole(&store);
}

#[test]
fn two_processes_and_gc_do_not_harm_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let workers = [Worker::start(&path), Worker::start(&path)];
    let store = Store::open(&path).unwrap();
    let (mut done, mut busy) = (0, 0);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while (done < 20 || busy < 20) && std::time::Instant::now() < end {
        match store.gc(&[], &BTreeSet::from(["layer-1".to_owned()]), false) {
            Ok(_) => done += 1,
            Err(Error::InUse { .. }) => busy += 1,
            Err(e) => panic!("{e}"),
        }
    }
    workers.into_iter().for_each(Worker::kill);
    assert!(busy > 0, "workers were there");
    let store = Store::open(&path).unwrap();
    assert_whole(&store);
}

#[test]
fn threads_commit_the_same_tree_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let images: BTreeSet<ImageId> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| round(&store, 1).unwrap())).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(images.len(), 1);
    assert_whole(&store);
}

#[test]
fn a_full_disk_is_said_and_nothing_is_published() {
    use rustix::mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    };
    let dir = tempfile::tempdir().unwrap();
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    fsconfig_set_string(&context, "size", "4m").unwrap();
    fsconfig_create(&context).unwrap();
    let disk = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).unwrap();
    let disk = common::Attached::new(&disk, &dir.path().join("disk"));
    let store = Store::open(disk.0.join("store")).unwrap();
    let mut whole = Vec::new();
    let error =
        (0..100).find_map(|n| round(&store, n).map(|image| whole.push(image)).err()).expect("4 MiB are not enough");
    assert!(error.is_disk_full(), "{error:?}");
    assert!(!whole.is_empty() && store.images().unwrap().iter().all(|i| whole.contains(i)), "no half image");
    assert_whole(&store);
    let big = tempfile::tempfile().unwrap();
    big.set_len(1).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&big, &vec![7; 8 << 20], 0).unwrap();
    assert!(store.put_file(&big).unwrap_err().is_disk_full());
    // With room again, the same value goes on.
    store.gc(&[], &BTreeSet::new(), false).unwrap();
    round(&store, 99).unwrap();
    assert_whole(&store);
}
