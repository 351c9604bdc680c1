//! What the store keeps, what it frees, and what it says when something is wrong.

use std::collections::BTreeSet;

use super::*;
use crate::id::ImageId;
use crate::tree::{Content, Meta, Tree};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    (dir, store)
}

/// A tree with one large file whose content depends on `seed`.
fn tree(store: &Store, seed: u8) -> Tree {
    let mut tree = Tree::default();
    let meta = Meta::new(0o644, 1, 2, 3);
    tree.insert_file("/big", meta.clone(), store.put_bytes(&vec![seed; 10_000]).unwrap()).unwrap();
    tree.insert_file("/small", meta.clone(), store.put_bytes(&[seed; 10]).unwrap()).unwrap();
    tree.insert_file("/shared", meta, store.put_bytes(&[255; 5000]).unwrap()).unwrap();
    tree
}

#[test]
fn what_is_put_is_read_back() {
    let (dir, store) = store();
    for size in [0, 1, 64, 65, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20] {
        let bytes: Vec<u8> = (0..size).map(|i| (i / 5) as u8).collect();
        let content = store.put_bytes(&bytes).unwrap();
        assert_eq!(content.size(), size as u64);
        assert_eq!(store.read(&content).unwrap(), bytes, "{size}");
        let file = dir.path().join("file");
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(store.put_file(&File::open(&file).unwrap()).unwrap(), content, "{size}");
    }
}

#[test]
fn holes_are_kept_as_holes_and_read_as_zeroes() {
    use std::os::unix::fs::{FileExt, MetadataExt};
    let (dir, store) = store();
    let file = File::options().create_new(true).read(true).write(true).open(dir.path().join("sparse")).unwrap();
    file.set_len(64 << 20).unwrap();
    file.write_all_at(b"x", 40 << 20).unwrap();
    let content = store.put_file(&file).unwrap();
    let Content::Object { id, size } = &content else { panic!("{content:?}") };
    assert_eq!(*size, 64 << 20);
    let object = store.open_object(id).unwrap();
    assert!(object.metadata().unwrap().blocks() * 512 <= 4 << 20, "{}", object.metadata().unwrap().blocks());
    let bytes = store.read(&content).unwrap();
    assert_eq!(bytes.iter().position(|b| *b != 0), Some(40 << 20));
}

#[test]
fn committing_again_or_elsewhere_gives_the_same_image() {
    let (_dir, one) = store();
    let (_dir, two) = store();
    let (a, b) = (one.commit(&tree(&one, 1)).unwrap(), two.commit(&tree(&two, 1)).unwrap());
    assert_eq!(a, b);
    assert_eq!(one.commit(&one.load(&a).unwrap()).unwrap(), a);
    assert_ne!(one.commit(&tree(&one, 2)).unwrap(), a);
    assert_eq!(one.load(&a).unwrap(), tree(&one, 1));
}

#[test]
fn an_image_without_its_objects_is_not_made() {
    let (_dir, one) = store();
    let (_other, two) = store();
    assert!(matches!(two.commit(&tree(&one, 1)), Err(Error::MissingObject(_))));
    assert!(two.images().unwrap().is_empty());
}

#[test]
fn layers_and_refs_name_images_that_are_there() {
    let (_dir, store) = store();
    let image = store.commit(&tree(&store, 1)).unwrap();
    store.put_layer("key", &image).unwrap();
    store.set_ref("online@web1", &image).unwrap();
    assert_eq!(store.layer("key").unwrap(), Some(image));
    assert_eq!(store.layer("other").unwrap(), None);
    assert_eq!(store.get_ref("online@web1").unwrap(), Some(image));
    assert_eq!(store.refs().unwrap(), [("online@web1".to_owned(), image)]);
    assert_eq!(store.layers().unwrap(), [("key".to_owned(), image)]);
    let unknown = ImageId([7; 32]);
    assert!(matches!(store.put_layer("key", &unknown), Err(Error::NoSuchImage(_))));
    assert!(matches!(store.set_ref("r", &unknown), Err(Error::NoSuchImage(_))));
    assert!(matches!(store.load(&unknown), Err(Error::NoSuchImage(_))));
    for bad in ["", "../x", "a/b", ".hidden", "a b", &"x".repeat(201)] {
        assert!(matches!(store.put_layer(bad, &image), Err(Error::BadName(_))), "{bad:?}");
        assert!(matches!(store.set_ref(bad, &image), Err(Error::BadName(_))), "{bad:?}");
    }
    assert!(store.remove_ref("online@web1").unwrap() && !store.remove_ref("online@web1").unwrap());
}

#[test]
fn gc_frees_what_nothing_refers_to_and_only_that() {
    let (_dir, store) = store();
    let images: Vec<ImageId> = (0..5).map(|n| store.commit(&tree(&store, n)).unwrap()).collect();
    store.put_layer("kept", &images[1]).unwrap();
    store.put_layer("dropped", &images[2]).unwrap();
    store.set_ref("ref", &images[3]).unwrap();
    store.put_bytes(&[77; 9000]).unwrap();
    let keep = BTreeSet::from(["kept".to_owned()]);
    let would = store.gc(&images[..1], &keep, true).unwrap();
    assert_eq!(store.images().unwrap().len(), 5, "a dry run frees nothing");
    let freed = store.gc(&images[..1], &keep, false).unwrap();
    assert_eq!(freed, would);
    assert_eq!((freed.images, freed.objects, freed.layers), (2, 3, 1));
    for (n, image) in images.iter().enumerate() {
        assert_eq!(store.has_image(image), [0, 1, 3].contains(&n), "image {n}");
    }
    for n in [0, 1, 3] {
        let tree = store.load(&images[n]).unwrap();
        assert_eq!(store.read(tree.file("/big").unwrap()).unwrap(), vec![n as u8; 10_000]);
        assert_eq!(store.read(tree.file("/shared").unwrap()).unwrap(), vec![255; 5000]);
        assert_eq!(store.commit(&tree).unwrap(), images[n]);
    }
    assert_eq!(store.gc(&images[..1], &keep, false).unwrap(), Freed::default(), "a second run has nothing to do");
    let all = store.gc(&[], &BTreeSet::new(), false).unwrap();
    assert_eq!((all.images, all.layers), (2, 1), "the ref still keeps one");
}

#[test]
fn gc_stays_away_while_somebody_works() {
    let (_dir, store) = store();
    let other = Store::open(store.path()).unwrap();
    other.put_bytes(&[1; 100]).unwrap();
    let error = store.gc(&[], &BTreeSet::new(), false).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }));
    assert!(error.to_string().contains("this process"), "{error}");
    drop(other);
    let hold = store.hold().unwrap();
    assert!(store.gc(&[], &BTreeSet::new(), true).is_err());
    drop(hold);
    assert_eq!(store.gc(&[], &BTreeSet::new(), false).unwrap().objects, 1);
}

#[test]
fn what_a_gc_freed_can_be_put_again_by_the_same_value() {
    let (_dir, store) = store();
    let content = store.put_bytes(&[9; 100]).unwrap();
    store.gc(&[], &BTreeSet::new(), false).unwrap();
    assert!(store.read(&content).is_err());
    store.put_bytes(&[9; 100]).unwrap();
    assert_eq!(store.read(&content).unwrap(), [9; 100]);
}

/// Makes the store look as if the machine had gone down since the last write.
fn power_cut(store: Store) -> PathBuf {
    let path = store.path().to_owned();
    drop(store);
    let marks = path.join("unsynced");
    let names = fs::list(&marks).unwrap();
    assert!(!names.is_empty(), "a write leaves a mark");
    for name in names {
        let other = name.to_str().unwrap().replace(&recover::boot_id(), "00000000-0000-0000-0000-000000000000");
        std::fs::rename(marks.join(&name), marks.join(other)).unwrap();
    }
    path
}

#[test]
fn after_a_power_cut_images_are_whole_or_gone() {
    let (_dir, store) = store();
    let images: Vec<ImageId> = (0..4).map(|n| store.commit(&tree(&store, n)).unwrap()).collect();
    for (n, image) in images.iter().enumerate() {
        store.put_layer(&n.to_string(), image).unwrap();
    }
    let object = |n: usize| {
        let tree = store.load(&images[n]).unwrap();
        match tree.file("/big") {
            Some(Content::Object { id, .. }) => store.object_path(id),
            other => panic!("{other:?}"),
        }
    };
    // Same size and other bytes; cut short; an image cut short.
    use std::os::unix::fs::PermissionsExt;
    for n in [0, 1] {
        std::fs::set_permissions(object(n), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    std::fs::write(object(0), vec![0xaa; 10_000]).unwrap();
    File::options().write(true).open(object(1)).unwrap().set_len(0).unwrap();
    let image = store.image_path(&images[2]);
    std::fs::set_permissions(&image, std::fs::Permissions::from_mode(0o644)).unwrap();
    File::options().write(true).open(&image).unwrap().set_len(100).unwrap();

    let store = Store::open(power_cut(store)).unwrap();
    assert_eq!(store.images().unwrap(), [images[3]]);
    assert_eq!(store.layers().unwrap(), [("3".to_owned(), images[3])]);
    assert!(fs::list(store.path().join("unsynced")).unwrap().is_empty());
    for (n, image) in images.iter().enumerate() {
        assert_eq!(store.commit(&tree(&store, n as u8)).unwrap(), *image, "everything can be made again");
    }
}

#[test]
fn sync_settles_its_own_marks_and_those_of_the_dead_only() {
    let (_dir, store) = store();
    let marks = || fs::list(store.path().join("unsynced")).unwrap().len();
    let living = Store::open(store.path()).unwrap();
    living.put_bytes(&[1; 100]).unwrap();
    let dead = Store::open(store.path()).unwrap();
    dead.put_bytes(&[2; 100]).unwrap();
    store.put_bytes(&[3; 100]).unwrap();
    assert_eq!(marks(), 3);
    drop(dead);
    let heir = Store::open(store.path()).unwrap();
    heir.put_bytes(&[4; 100]).unwrap();
    assert_eq!(marks(), 3, "the mark of one that has ended is taken over");
    drop(heir);
    store.sync().unwrap();
    assert_eq!(marks(), 1, "who still writes keeps its mark");
    store.put_bytes(&[5; 100]).unwrap();
    assert_eq!(marks(), 2, "a write after a sync is marked again");
}

#[test]
fn an_object_cut_short_is_written_again() {
    let (_dir, store) = store();
    let content = store.put_bytes(&[5; 5000]).unwrap();
    let Content::Object { id, .. } = &content else { panic!("{content:?}") };
    let path = store.object_path(id);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"short").unwrap();
    let other = Store::open(store.path()).unwrap();
    assert!(matches!(other.read(&content), Err(Error::Damaged { .. })));
    other.put_bytes(&[5; 5000]).unwrap();
    assert_eq!(other.read(&content).unwrap(), [5; 5000]);
}

#[test]
fn a_damaged_image_is_refused() {
    let (_dir, store) = store();
    let image = store.commit(&tree(&store, 1)).unwrap();
    let path = store.image_path(&image);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let error = store.load(&image).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    let error = store.gc(&[image], &BTreeSet::new(), false).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "gc does not guess what a damaged image needs: {error}");
}

#[test]
fn a_store_of_another_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("format"), "something else").unwrap();
    assert!(matches!(Store::open(dir.path()), Err(Error::Damaged { .. })));
}

#[test]
fn what_an_image_cannot_hold_is_an_error_with_its_path() {
    use crate::tree::{Leaf, LeafKind};
    let (_dir, store) = store();
    let meta = Meta::new(0o644, 0, 0, 0);
    let leaves = [
        LeafKind::Symlink(vec![b'x'; 1025]),
        LeafKind::Symlink(vec![]),
        LeafKind::CharDevice { major: 1 << 12, minor: 0 },
        LeafKind::File(Content::Inline(vec![0; 65])),
    ];
    for kind in leaves {
        let mut tree = Tree::default();
        tree.insert_leaf("/there", Leaf { meta: meta.clone(), kind: kind.clone() }).unwrap();
        assert!(store.commit(&tree).unwrap_err().to_string().contains("/there"), "{kind:?}");
    }
    for (name, value) in [("odd.name", 1), ("user.", 1), ("user.x", 65_000)] {
        let mut tree = Tree::default();
        tree.meta_mut("/").unwrap().xattrs.insert(name.into(), vec![0; value]);
        assert!(matches!(store.commit(&tree), Err(Error::Tree { .. })), "{name}");
    }
}

#[test]
fn the_deepest_tree_there_can_be_survives() {
    let (_dir, store) = store();
    let deep = "/d".repeat(2046);
    let mut tree = Tree::default();
    tree.insert_file(format!("{deep}/f"), Meta::new(0o644, 0, 0, 0), Content::Inline(vec![])).unwrap();
    assert!(tree.insert_dir(format!("{deep}/eee"), Meta::default()).is_err(), "one more byte is too many");
    let image = store.commit(&tree).unwrap();
    assert_eq!(store.load(&image).unwrap(), tree);
    assert_eq!(crate::diff(&Tree::default(), &tree).len(), 2047);
    let mut deeper = Tree::default();
    deeper.graft(&tree, "/", "/and/more").unwrap();
    assert!(matches!(store.commit(&deeper), Err(Error::Tree { .. })));
}

#[test]
fn marks_of_unprivileged_overlays_are_understood_and_features_that_hide_data_refused() {
    let (dir, store) = store();
    let mut base = Tree::default();
    for path in ["/gone", "/stays", "/emptied/a", "/emptied/b", "/merged/old"] {
        base.insert_file(path, Meta::default(), Content::Inline(b"base".to_vec())).unwrap();
    }
    let upper = dir.path().join("upper");
    let set = |path: &str, name: &str, value: &[u8]| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::lsetxattr(upper.join(path), name, value, flags).expect("user attributes work here");
    };
    for path in ["emptied", "merged"] {
        std::fs::create_dir_all(upper.join(path)).unwrap();
    }
    for path in ["gone", "emptied/new", "merged/new", "merged/old"] {
        std::fs::write(upper.join(path), "").unwrap();
    }
    set("gone", "user.overlay.whiteout", b"y");
    set("merged", "user.overlay.opaque", b"x");
    set("merged/old", "user.overlay.whiteout", b"y");
    set("emptied", "user.overlay.opaque", b"y");
    set("emptied/new", "user.overlay.origin", b"\0");
    set("emptied/new", "user.kept", b"1");
    let tree = store.apply_upper(&base, &upper, UpperMode::Copy).unwrap();
    let paths: Vec<_> = tree.walk().map(|(path, _)| String::from_utf8(path).unwrap()).collect();
    assert_eq!(paths, ["/", "/emptied", "/emptied/new", "/merged", "/merged/new", "/stays"]);
    let kept: Vec<_> = tree.get("/emptied/new").unwrap().meta().xattrs.keys().cloned().collect();
    assert_eq!(kept, [b"user.kept".to_vec()]);
    for name in ["user.overlay.metacopy", "user.overlay.redirect"] {
        set("merged/new", name, b"");
        let error = store.apply_upper(&base, &upper, UpperMode::Copy).unwrap_err();
        assert!(error.to_string().contains("merged/new"), "{error}");
        rustix::fs::lremovexattr(upper.join("merged/new"), name).unwrap();
    }
}
