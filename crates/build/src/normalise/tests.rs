//! Every row of the table, on small trees.

use regrow_image::Content;

use super::*;
use crate::plan::{Hints, PlanLayer};

const EPOCH: i64 = 1000;

struct Fixture {
    _dir: tempfile::TempDir,
    store: Store,
    before: Tree,
    after: Tree,
    shipped: BTreeMap<Vec<u8>, i64>,
    keys: Vec<(Vec<u8>, String)>,
    planned: PlanLayer,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let planned =
            PlanLayer { name: "l".to_owned(), key: "k".to_owned(), packages: vec![], hints: Hints::default() };
        Fixture {
            _dir: dir,
            store,
            before: Tree::default(),
            after: Tree::default(),
            shipped: BTreeMap::new(),
            keys: vec![],
            planned,
        }
    }

    /// A file made by a script, at the clock's time.
    fn made(&mut self, path: &str, bytes: &[u8]) {
        let content = self.store.put_bytes(bytes).unwrap();
        self.after.insert_file(path, Meta::new(0o644, 0, 0, 2_000_000_000), content).unwrap();
    }

    fn run(&mut self) -> Result<(), BuildError> {
        packages(&mut self.after, &self.before, &self.shipped, &self.keys, &self.planned, &self.store, EPOCH)
    }

    fn mtime(&self, path: &str) -> i64 {
        self.after.get(path).unwrap().meta().mtime
    }
}

#[test]
fn times_are_the_packages_or_the_epoch() {
    let mut f = Fixture::new();
    let file = |mtime: i64| (Meta::new(0o644, 0, 0, mtime), Content::Inline(b"x".to_vec()));
    for (path, mtime) in [("/usr/old", 10), ("/usr/kept", 20)] {
        let (meta, content) = file(mtime);
        f.before.insert_file(path, meta.clone(), content.clone()).unwrap();
        f.after.insert_file(path, meta, content).unwrap();
    }
    // Unpacked by dpkg while the build ran: the package's own time, once before and once after the epoch.
    for (path, mtime) in [("/usr/dpkg", 30), ("/usr/newer", 5000)] {
        let (meta, content) = file(mtime);
        f.after.insert_file(path, meta, content).unwrap();
        f.shipped.insert(path.into(), mtime);
    }
    // A script wrote over a shipped file.
    f.shipped.insert(b"/usr/changed".to_vec(), 40);
    f.made("/usr/changed", b"new");
    f.made("/etc/made", b"new");
    f.run().unwrap();
    let times = ["/usr/old", "/usr/kept", "/usr/dpkg", "/usr/newer", "/usr/changed", "/etc/made", "/usr", "/"];
    assert_eq!(times.map(|p| f.mtime(p)), [10, 20, 30, EPOCH, EPOCH, EPOCH, EPOCH, EPOCH]);
}

#[test]
fn logs_caches_backups_and_identity_go_and_their_directories_stay() {
    let mut f = Fixture::new();
    let gone = [
        "/var/log/dpkg.log",
        "/var/log/alternatives.log",
        "/var/log/apt/history.log",
        "/var/cache/ldconfig/aux-cache",
        "/var/cache/debconf/config.dat-old",
        "/var/cache/man/de/index.db",
        "/var/cache/apt/pkgcache.bin",
        "/var/lib/apt/lists/x_Packages",
        "/var/lib/dpkg/status-old",
        "/var/lib/dpkg/lock",
        "/var/lib/systemd/random-seed",
        "/var/lib/systemd/credential.secret",
        "/var/lib/dbus/machine-id",
        "/etc/passwd-",
        "/etc/ssh/ssh_host_rsa_key.pub",
        "/etc/ca-certificates.conf.dpkg-old",
        "/usr/lib/python3/__pycache__/x.pyc",
        "/run/x/y",
        "/tmp/z",
        "/var/tmp/z",
    ];
    let kept = ["/var/log/nginx/access.log", "/var/lib/dpkg/status", "/var/cache/debconf/config.dat", "/etc/passwd"];
    for path in gone.iter().chain(&kept) {
        f.made(path, b"x:x:1:");
    }
    f.run().unwrap();
    for path in gone {
        assert!(!f.after.contains(path), "{path} stays");
    }
    for path in kept.iter().chain(&["/var/log/apt", "/var/cache/ldconfig", "/var/lib/apt/lists", "/run", "/tmp"]) {
        assert!(f.after.contains(path), "{path} is gone");
    }
}

#[test]
fn the_machine_id_is_empty_where_there_was_one() {
    let mut f = Fixture::new();
    f.run().unwrap();
    assert!(!f.after.contains("/etc/machine-id"));
    f.made("/etc/machine-id", b"0123456789abcdef0123456789abcdef\n");
    f.run().unwrap();
    assert_eq!(f.after.file("/etc/machine-id").map(Content::size), Some(0));
}

#[test]
fn the_catalogs_scrubbing_and_identity_are_done() {
    let mut f = Fixture::new();
    f.made("/var/lib/db/17/main/control", b"random");
    f.made("/etc/db.key", b"placeholder");
    f.planned.hints.scrub.insert("/var/lib/db/*/*".to_owned());
    f.planned.hints.identity.insert("/etc/db.key".to_owned());
    f.run().unwrap();
    assert!(f.after.contains("/var/lib/db/17") && !f.after.contains("/var/lib/db/17/main"));
    let link = f.after.get("/etc/db.key").unwrap();
    assert_eq!(link.as_symlink(), Some(&b"/var/lib/regrow/identity/etc/db.key"[..]));
    assert_eq!(link.meta().mtime, EPOCH);
}

#[test]
fn a_private_key_is_refused_with_its_origin() {
    let key =
        b"-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n";
    let mut f = Fixture::new();
    f.made("/etc/app/tls.key", key);
    let words = f.run().unwrap_err().to_string();
    assert!(words.contains("/etc/app/tls.key") && words.contains("while packages were installed"), "{words}");

    let mut f = Fixture::new();
    f.made("/usr/lib/app/default.key", key);
    f.before = f.after.clone();
    f.keys.push((b"/usr/lib/app/default.key".to_vec(), "app".to_owned()));
    let words = f.run().unwrap_err().to_string();
    assert!(words.contains("/usr/lib/app/default.key") && words.contains("the package app"), "{words}");

    let mut f = Fixture::new();
    f.made("/usr/share/doc/app/examples/server.key", key);
    f.before = f.after.clone();
    f.keys.push((b"/usr/share/doc/app/examples/server.key".to_vec(), "app".to_owned()));
    f.run().unwrap();
}

#[test]
fn doing_it_twice_changes_nothing() {
    let mut f = Fixture::new();
    f.made("/etc/passwd", b"b:x:2:2::/:/x\na:x:1:1::/:/x\n");
    f.made("/etc/x", b"x");
    f.run().unwrap();
    let once = f.after.clone();
    f.run().unwrap();
    assert!(once == f.after);
}
