//! Volumes on a real file system, as root: filled once, captured and brought back exactly, whatever a server put there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use regrow_state::{Declared, Error, Note, State, declared};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};

fn must_be_root() {
    assert!(rustix::process::geteuid().is_root(), "this test changes owners: run it as root");
}

/// Everything that makes a tree what it is, found without the code under test.
fn describe(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut first_name: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(relative) = todo.pop() {
        let path = root.join(&relative);
        let m = std::fs::symlink_metadata(&path).unwrap();
        let what = if m.is_dir() {
            for entry in std::fs::read_dir(&path).unwrap() {
                todo.push(relative.join(entry.unwrap().file_name()));
            }
            todo.sort_by(|a, b| b.cmp(a));
            "dir".to_owned()
        } else if m.is_symlink() {
            format!("link to {:?}", std::fs::read_link(&path).unwrap())
        } else if m.is_file() {
            format!("file {:?}", std::fs::read(&path).unwrap())
        } else {
            format!(
                "special fifo={} socket={} char={} rdev={}",
                m.file_type().is_fifo(),
                m.file_type().is_socket(),
                m.file_type().is_char_device(),
                m.rdev()
            )
        };
        let mut names = vec![0; 4096];
        let length = rustix::fs::llistxattr(&path, &mut names[..]).unwrap();
        let mut attributes = BTreeMap::new();
        for name in names[..length].split(|b| *b == 0).filter(|n| !n.is_empty()) {
            let mut value = vec![0; 4096];
            let length = rustix::fs::lgetxattr(&path, OsStr::from_bytes(name), &mut value[..]).unwrap();
            attributes.insert(String::from_utf8_lossy(name).into_owned(), value[..length].to_vec());
        }
        let same_as = if m.is_dir() { None } else { first_name.insert((m.dev(), m.ino()), relative.clone()) };
        if let Some(first) = &same_as {
            first_name.insert((m.dev(), m.ino()), first.clone());
        }
        all.insert(
            relative,
            format!(
                "{what} {:o} {}:{} {}.{:09} {attributes:?} links={} same_as={same_as:?}",
                m.mode(),
                m.uid(),
                m.gid(),
                m.mtime(),
                m.mtime_nsec(),
                if m.is_dir() { 0 } else { m.nlink() },
            ),
        );
    }
    all
}

fn open(path: &Path) -> std::os::fd::OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn database(path: &str) -> Vec<Declared> {
    let paths = [path.to_owned()];
    declared([("database", &paths[..])]).unwrap()
}

/// The volumes of a server, without the directory around them, which is ours.
fn volumes(live: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = describe(live);
    all.remove(Path::new(""));
    all
}

/// An image root with `/var/lib/db` holding one file of owner 105:106.
fn image(dir: &Path) -> PathBuf {
    let root = dir.join("image");
    let db = root.join("var/lib/db");
    std::fs::create_dir_all(&db).unwrap();
    std::fs::write(db.join("conf"), b"from the image").unwrap();
    std::os::unix::fs::chown(db.join("conf"), Some(105), Some(106)).unwrap();
    std::os::unix::fs::chown(&db, Some(105), Some(106)).unwrap();
    std::fs::set_permissions(&db, std::fs::Permissions::from_mode(0o2750)).unwrap();
    root
}

#[test]
fn a_volume_is_filled_from_the_image_once_and_never_again() {
    must_be_root();
    let dir = tempfile::tempdir().unwrap();
    let root = image(dir.path());
    let state = State::open(dir.path().join("web1")).unwrap();
    let prepared = state.prepare(&database("/var/lib/db"), open(&root).as_fd(), "image-1").unwrap();
    assert_eq!(prepared.seeded, ["/var/lib/db", "/var/lib/regrow/identity"]);
    let live = &prepared.mounts.iter().find(|m| m.target == "/var/lib/db").unwrap().source;
    assert_eq!(describe(live), describe(&root.join("var/lib/db")));
    let identity = &prepared.mounts.iter().find(|m| m.target != "/var/lib/db").unwrap().source;
    assert_eq!(std::fs::metadata(identity).unwrap().mode() & 0o7777, 0o755);

    std::fs::remove_file(live.join("conf")).unwrap();
    let again = state.prepare(&database("/var/lib/db"), open(&root).as_fd(), "image-2").unwrap();
    assert!(again.seeded.is_empty());
    assert!(!live.join("conf").exists(), "what the server removed stays removed");
}

#[test]
fn an_interrupted_filling_is_done_again_and_a_vanished_volume_is_an_error() {
    must_be_root();
    let dir = tempfile::tempdir().unwrap();
    let root = image(dir.path());
    let state = State::open(dir.path().join("web1")).unwrap();
    let leftover = state.live().join("database/.var-lib-db.tmp-1-0");
    std::fs::create_dir_all(leftover.join("half")).unwrap();
    let prepared = state.prepare(&database("/var/lib/db"), open(&root).as_fd(), "i").unwrap();
    assert!(!leftover.exists());
    assert_eq!(prepared.seeded.len(), 2);

    // Killed between the rename and the marker.
    let marker = state.live().join("database/var-lib-db.seeded");
    std::fs::remove_file(&marker).unwrap();
    std::fs::write(state.live().join("database/var-lib-db/new"), b"written by the server").unwrap();
    state.prepare(&database("/var/lib/db"), open(&root).as_fd(), "i").unwrap();
    assert!(state.live().join("database/var-lib-db/new").exists());
    assert!(marker.exists());

    std::fs::remove_dir_all(state.live().join("database/var-lib-db")).unwrap();
    let e = state.prepare(&database("/var/lib/db"), open(&root).as_fd(), "i").unwrap_err();
    assert!(matches!(e, Error::Lost { .. }), "{e}");
}

#[test]
fn a_state_path_that_is_a_link_or_a_file_in_the_image_is_refused_in_words() {
    must_be_root();
    let dir = tempfile::tempdir().unwrap();
    let root = image(dir.path());
    std::os::unix::fs::symlink("/etc", root.join("var/lib/link")).unwrap();
    std::os::unix::fs::symlink("/etc", root.join("var/up")).unwrap();
    std::os::unix::fs::symlink("../../../..", root.join("var/out")).unwrap();
    let state = State::open(dir.path().join("web1")).unwrap();
    let refuse = |path: &str| state.prepare(&database(path), open(&root).as_fd(), "i").unwrap_err().to_string();
    assert!(refuse("/var/lib/link").contains("a symbolic link to `/etc`"));
    assert!(refuse("/var/lib/db/conf").contains("`/var/lib/db`"));
    // Links on the way lead into the image, never to the host's /etc.
    let prepared = state.prepare(&database("/var/up/passwd"), open(&root).as_fd(), "i").unwrap();
    assert_eq!(
        std::fs::read_dir(&prepared.mounts.iter().find(|m| m.target.contains("up")).unwrap().source).unwrap().count(),
        0
    );
    let prepared = state.prepare(&database("/var/out/etc"), open(&root).as_fd(), "i").unwrap();
    assert_eq!(
        std::fs::read_dir(&prepared.mounts.iter().find(|m| m.target.contains("out")).unwrap().source).unwrap().count(),
        0
    );
}

#[test]
fn links_a_server_planted_are_copied_as_links() {
    must_be_root();
    let dir = tempfile::tempdir().unwrap();
    let root = image(dir.path());
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), b"of the host").unwrap();
    let state = State::open(dir.path().join("web1")).unwrap();
    state.prepare(&database("/var/lib/db"), open(&root).as_fd(), "i").unwrap();
    let live = state.live().join("database/var-lib-db");
    std::os::unix::fs::symlink(&outside, live.join("dir")).unwrap();
    std::os::unix::fs::symlink(outside.join("secret"), live.join("file")).unwrap();
    let before = describe(&live);
    state.snapshot_at_rest("s", Note::default()).unwrap();
    std::fs::remove_dir_all(&live).unwrap();
    state.restore("s").unwrap();
    assert_eq!(describe(&live), before);
    assert_eq!(describe(&outside).len(), 2);
}

#[test]
fn a_restore_brings_back_exactly_what_was_there_and_keeps_what_it_replaced() {
    must_be_root();
    let dir = tempfile::tempdir().unwrap();
    let root = image(dir.path());
    let state = State::open(dir.path().join("web1")).unwrap();
    state.prepare(&database("/var/lib/db"), open(&root).as_fd(), "i").unwrap();
    let live = state.live();
    let before = volumes(&live);
    let taken = state.snapshot_at_rest("s1", Note { revision: "r".into(), image: "i".into(), taken: 7 }).unwrap();
    assert_eq!(
        taken.volumes.iter().map(|v| (v.name.as_str(), v.files)).collect::<Vec<_>>(),
        [("database", 2), ("identity", 1)]
    );
    assert!(matches!(state.snapshot_at_rest("s1", Note::default()), Err(Error::SnapshotExists { .. })));

    std::fs::write(live.join("database/var-lib-db/migrated"), b"x").unwrap();
    std::fs::create_dir_all(live.join("added/srv")).unwrap();
    let after = volumes(&live);
    assert_eq!(state.restore("s1").unwrap(), taken);
    assert_eq!(volumes(&live), before);
    assert_eq!(volumes(&dir.path().join("web1/replaced/1")), after, "nothing is lost");
    // Repeated, as a recovery does.
    state.restore("s1").unwrap();
    assert_eq!(volumes(&live), before);
    assert!(matches!(state.restore("s2"), Err(Error::NoSnapshot { .. })));
    assert!(matches!(state.restore("../s1"), Err(Error::Name { .. })));
}

#[test]
fn a_restore_interrupted_anywhere_leaves_old_or_new_and_is_cleaned_up() {
    must_be_root();
    let dir = tempfile::tempdir().unwrap();
    let root = image(dir.path());
    let server = dir.path().join("web1");
    let state = State::open(&server).unwrap();
    state.prepare(&database("/var/lib/db"), open(&root).as_fd(), "i").unwrap();
    let before = volumes(&state.live());
    state.snapshot_at_rest("s1", Note::default()).unwrap();
    // Killed while building the tree, and killed after the exchange, before the old tree was put away.
    std::fs::create_dir_all(server.join(".staged/database/half")).unwrap();
    std::fs::create_dir_all(server.join(".ready/database/old")).unwrap();
    state.restore("s1").unwrap();
    assert_eq!(volumes(&state.live()), before);
    assert!(!server.join(".staged").exists() && !server.join(".ready").exists());
    assert!(server.join("replaced/1/database/old").exists());
}

#[test]
fn an_unfinished_snapshot_is_none_and_pruning_keeps_the_newest_and_the_protected() {
    must_be_root();
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path().join("web1")).unwrap();
    std::fs::create_dir_all(dir.path().join("web1/snapshots/.s9.tmp-1-0/state")).unwrap();
    assert!(state.list().unwrap().is_empty());
    for (id, taken) in [("a", 3), ("b", 1), ("c", 2), ("d", 4)] {
        state.snapshot_at_rest(id, Note { taken, ..Note::default() }).unwrap();
    }
    let pruned = state.prune(2, &["b".to_owned()].into()).unwrap();
    assert_eq!(pruned.ids, ["c"]);
    assert_eq!(state.list().unwrap().iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["b", "a", "d"]);
    assert!(!dir.path().join("web1/snapshots/.s9.tmp-1-0").exists());
}

#[test]
fn holes_stay_holes() {
    must_be_root();
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path().join("web1")).unwrap();
    let file = state.live().join("v/p/sparse");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let f = std::fs::File::create(&file).unwrap();
    std::os::unix::fs::FileExt::write_at(&f, b"middle", 1 << 30).unwrap();
    f.set_len(2 << 30).unwrap();
    drop(f);
    state.snapshot_at_rest("s", Note::default()).unwrap();
    let copy = std::fs::metadata(dir.path().join("web1/snapshots/s/state/v/p/sparse")).unwrap();
    assert_eq!(copy.len(), 2 << 30);
    assert!(copy.blocks() * 512 < 1 << 20, "{} bytes on disk", copy.blocks() * 512);
}

#[test]
fn only_root_may_enter_the_directories() {
    must_be_root();
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path().join("web1")).unwrap();
    state.snapshot_at_rest("s", Note::default()).unwrap();
    for path in ["web1", "web1/state", "web1/snapshots"] {
        assert_eq!(std::fs::metadata(dir.path().join(path)).unwrap().mode() & 0o077, 0, "{path}");
    }
}

/// One entry of a random tree.
#[derive(Debug, Clone)]
enum Node {
    Dir(Vec<(Vec<u8>, Meta, Node)>),
    File(Vec<u8>),
    /// Another name of the n-th file made so far, if there is one.
    Hard(usize),
    Link(Vec<u8>),
    Fifo,
    Socket,
    Null,
}

#[derive(Debug, Clone)]
struct Meta {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: (i64, i64),
    attribute: Option<Vec<u8>>,
    capability: bool,
}

fn meta() -> impl Strategy<Value = Meta> {
    (
        0u32..0o10000,
        0u32..70000,
        0u32..70000,
        (-1000i64..4_000_000_000, 0i64..1_000_000_000),
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200)),
        any::<bool>(),
    )
        .prop_map(|(mode, uid, gid, mtime, attribute, capability)| Meta {
            mode,
            uid,
            gid,
            mtime,
            attribute,
            capability,
        })
}

fn file_name() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>().prop_map(|b| if b == 0 || b == b'/' { b'_' } else { b }), 1..20)
        .prop_filter("no dot names", |n| n != b"." && n != b"..")
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..3000).prop_map(Node::File),
        2 => any::<usize>().prop_map(Node::Hard),
        2 => proptest::collection::vec(1u8..=255, 1..100).prop_map(Node::Link),
        1 => Just(Node::Fifo), 1 => Just(Node::Socket), 1 => Just(Node::Null),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        proptest::collection::vec((file_name(), meta(), inner), 0..6).prop_map(Node::Dir)
    })
}

fn build(path: &Path, meta: &Meta, node: &Node, files: &mut Vec<PathBuf>) {
    if path.symlink_metadata().is_ok() {
        return;
    }
    match node {
        Node::Dir(entries) => {
            std::fs::create_dir(path).unwrap();
            for (name, meta, node) in entries {
                build(&path.join(std::ffi::OsString::from_vec(name.clone())), meta, node, files);
            }
        }
        Node::File(bytes) => {
            std::fs::write(path, bytes).unwrap();
            files.push(path.to_owned());
        }
        Node::Hard(n) => {
            if let Some(first) = files.get(n % files.len().max(1)) {
                std::fs::hard_link(first, path).unwrap();
            }
            return;
        }
        Node::Link(to) => std::os::unix::fs::symlink(OsStr::from_bytes(to), path).unwrap(),
        Node::Fifo => rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap(),
        Node::Socket => rustix::fs::mknodat(CWD, path, FileType::Socket, Mode::RWXU, 0).unwrap(),
        Node::Null => rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::RWXU, 0).unwrap(),
    }
    std::os::unix::fs::lchown(path, Some(meta.uid), Some(meta.gid)).unwrap();
    let link = matches!(node, Node::Link(_));
    if !link {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(meta.mode)).unwrap();
    }
    let set = |name: &str, value: &[u8]| rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
    if let Some(value) = &meta.attribute {
        set("trusted.test", value);
        if matches!(node, Node::Dir(_) | Node::File(_)) {
            set("user.test", value);
        }
    }
    if meta.capability && matches!(node, Node::File(_)) {
        // cap_net_bind_service, version 2: what a package's programs carry.
        set("security.capability", &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    let time = Timespec { tv_sec: meta.mtime.0, tv_nsec: meta.mtime.1 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_survives_filling_snapshot_and_restore(entries in proptest::collection::vec((file_name(), meta(), node()), 0..6), top in meta()) {
        must_be_root();
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("image");
        std::fs::create_dir_all(root.join("srv")).unwrap();
        build(&root.join("srv/data"), &top, &Node::Dir(entries), &mut Vec::new());
        let original = describe(&root.join("srv/data"));

        let state = State::open(dir.path().join("web1")).unwrap();
        let prepared = state.prepare(&database("/srv/data"), open(&root).as_fd(), "i").unwrap();
        let live = prepared.mounts.iter().find(|m| m.target == "/srv/data").unwrap().source.clone();
        prop_assert_eq!(&describe(&live), &original);
        state.snapshot_at_rest("s", Note::default()).unwrap();
        std::fs::remove_dir_all(&live).unwrap();
        state.restore("s").unwrap();
        prop_assert_eq!(&describe(&live), &original);
    }
}
