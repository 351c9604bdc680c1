//! The format of images is pinned, and every tree survives becoming one.

use std::sync::OnceLock;

use proptest::prelude::*;
use regrow_image::{Content, Leaf, LeafKind, Meta, Store, Tree, diff};

mod common;

/// If this fails, images made before cannot be made again: the same text would give another digest. That is a change of
/// format, to be made on purpose and with a new prefix of `ImageId`, never by a new version of a dependency.
#[test]
fn the_digest_of_a_fixed_tree_is_the_one_spelled_here() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let image = store.commit(&common::tree_of_everything(&store)).unwrap();
    assert_eq!(image.to_string(), "v1-sha256-12:24c2e79c6a95a59f60d991e0a4e9e6f5473ab3375140a421e2066aff6303c31f");
    let empty = store.commit(&Tree::default()).unwrap();
    assert_eq!(empty.to_string(), "v1-sha256-12:14a26c957c84f6eb774b91205476adc13196c7c33b9dd97d08d43725ecb90b63");
}

#[test]
fn the_order_of_making_a_tree_does_not_show_in_its_image() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let names: Vec<String> = (0..50).map(|n| format!("/{}/{n}", n % 3)).collect();
    let make = |names: &mut dyn Iterator<Item = &String>| {
        let mut tree = Tree::default();
        for name in names {
            tree.insert_file(name, Meta::new(0o644, 0, 0, 0), Content::Inline(name.clone().into())).unwrap();
        }
        tree
    };
    let (forth, mut back) = (make(&mut names.iter()), make(&mut names.iter().rev()));
    back.insert_file("/gone", Meta::default(), Content::Inline(vec![])).unwrap();
    back.remove("/gone");
    assert_eq!(store.commit(&forth).unwrap(), store.commit(&back).unwrap());
}

/// One step in making a random tree.
#[derive(Debug, Clone)]
enum Step {
    Leaf(Vec<Vec<u8>>, Kind, Meta),
    Dir(Vec<Vec<u8>>, Meta),
    /// A further link of the nth leaf so far.
    Link(usize, Vec<Vec<u8>>),
}

#[derive(Debug, Clone)]
enum Kind {
    Bytes(Vec<u8>),
    Long(u8, usize),
    Other(LeafKind),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("not in names", |b| !matches!(b, 0 | b'/'));
    let dots = |name: &Vec<u8>| !matches!(name.as_slice(), b"." | b"..");
    prop_oneof![
        3 => prop::sample::select(vec![b"a".to_vec(), b"b".to_vec(), b"etc".to_vec(), b".h".to_vec()]),
        2 => prop::collection::vec(byte.clone(), 1..20).prop_filter("dots", dots),
        1 => prop::collection::vec(byte, 250..=255),
    ]
}

fn meta() -> impl Strategy<Value = Meta> {
    let id = prop_oneof![Just(0), 1..1000u32, any::<u32>()];
    let mtime = prop_oneof![Just(0), Just(1_700_000_000), any::<u32>().prop_map(i64::from), -(1_i64 << 40)..1 << 40];
    let key = prop_oneof![Just("user."), Just("trusted."), Just("security.")];
    let xattr = (key, "[a-z]{1,30}", prop::collection::vec(any::<u8>(), 0..300))
        .prop_map(|(p, n, v)| (format!("{p}{n}").into_bytes(), v));
    let xattrs = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(xattr, 1..6)];
    (0..0o10000u32, id.clone(), id, mtime, xattrs).prop_map(|(mode, uid, gid, mtime, xattrs)| {
        let mut meta = Meta::new(mode, uid, gid, mtime);
        meta.xattrs = xattrs.into_iter().collect();
        meta
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    let device = (0..1_u32 << 12, 1..1_u32 << 20);
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Kind::Bytes),
        2 => (any::<u8>(), 65..20_000_usize).prop_map(|(byte, length)| Kind::Long(byte, length)),
        1 => prop::collection::vec(1..=255_u8, 1..=1024).prop_map(|t| Kind::Other(LeafKind::Symlink(t))),
        1 => device.clone().prop_map(|(major, minor)| Kind::Other(LeafKind::CharDevice { major, minor })),
        1 => device.prop_map(|(major, minor)| Kind::Other(LeafKind::BlockDevice { major, minor })),
        1 => Just(Kind::Other(LeafKind::Fifo)),
        1 => Just(Kind::Other(LeafKind::Socket)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let path = || prop::collection::vec(name(), 1..6);
    prop_oneof![
        5 => (path(), kind(), meta()).prop_map(|(p, k, m)| Step::Leaf(p, k, m)),
        2 => (path(), meta()).prop_map(|(p, m)| Step::Dir(p, m)),
        1 => (any::<usize>(), path()).prop_map(|(n, p)| Step::Link(n, p)),
    ]
}

fn build(store: &Store, steps: Vec<Step>) -> Tree {
    let mut tree = Tree::default();
    let mut made: Vec<Vec<u8>> = Vec::new();
    for step in steps {
        // Steps that cross each other (a file where a directory is) are refused, and change nothing.
        match step {
            Step::Leaf(path, kind, meta) => {
                let path = path.join(&b'/');
                let kind = match kind {
                    Kind::Bytes(bytes) => LeafKind::File(store.put_bytes(&bytes).unwrap()),
                    Kind::Long(byte, length) => LeafKind::File(store.put_bytes(&vec![byte; length]).unwrap()),
                    Kind::Other(kind) => kind,
                };
                if tree.insert_leaf(&path, Leaf { meta, kind }).is_ok() {
                    made.push(path);
                }
            }
            Step::Dir(path, meta) => drop(tree.insert_dir(path.join(&b'/'), meta)),
            Step::Link(n, path) if !made.is_empty() => drop(tree.link(&made[n % made.len()], path.join(&b'/'))),
            Step::Link(..) => {}
        }
    }
    tree
}

/// One store for all cases: making one waits for the disk.
fn store() -> &'static Store {
    static STORE: OnceLock<(tempfile::TempDir, Store)> = OnceLock::new();
    let made = STORE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    });
    &made.1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_tree_survives_becoming_an_image(steps in prop::collection::vec(step(), 0..60)) {
        let store = store();
        let tree = build(store, steps);
        let image = store.commit(&tree).unwrap();
        let loaded = store.load(&image).unwrap();
        prop_assert_eq!(diff(&tree, &loaded), vec![]);
        prop_assert_eq!(&tree, &loaded);
        prop_assert_eq!(store.commit(&loaded).unwrap(), image);
    }

    #[test]
    fn a_diff_is_empty_exactly_for_equal_trees(one in prop::collection::vec(step(), 0..20), two in prop::collection::vec(step(), 0..3)) {
        let store = store();
        let first = build(store, one.clone());
        let second = build(store, one.into_iter().chain(two).collect());
        prop_assert_eq!(diff(&first, &second).is_empty(), first == second);
        prop_assert_eq!(diff(&second, &first).is_empty(), first == second);
        prop_assert_eq!(diff(&first, &first.clone()), vec![]);
    }
}
