//! What the privileged tests share: a tree with everything in it, and mounts that end with their test.
#![allow(dead_code, unreachable_pub, reason = "every test file includes this and uses its own part")]

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use regrow_image::{Content, Leaf, LeafKind, Meta, Store, Tree};
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};

/// Every kind of entry, odd names, links, attributes, a large directory, contents around the inline limit.
pub fn tree_of_everything(store: &Store) -> Tree {
    let mut tree = Tree::new(Meta::new(0o755, 0, 0, 1_700_000_000));
    let meta = |mode, uid, gid| Meta::new(mode, uid, gid, 1_700_000_123);
    let put = |bytes: &[u8]| store.put_bytes(bytes).unwrap();
    for size in [0, 1, 63, 64, 65, 4095, 4096, 4097, 100_000, 2 << 20] {
        let bytes: Vec<u8> = (0..size).map(|i| (i % 253) as u8).collect();
        tree.insert_file(format!("/sizes/{size}"), meta(0o640, 101, 102), put(&bytes)).unwrap();
    }
    tree.link("/sizes/4097", "/links/second").unwrap();
    tree.link("/sizes/4097", "/links/third").unwrap();
    tree.link("/sizes/1", "/links/inline").unwrap();
    tree.insert_symlink("/symlinks/short", meta(0, 5, 6), "../sizes/1").unwrap();
    tree.insert_symlink("/symlinks/long", meta(0, 0, 0), vec![b'l'; 1024]).unwrap();
    tree.insert_symlink("/symlinks/none", meta(0, 0, 0), "/does/not/exist").unwrap();
    for (name, kind) in [
        ("null", LeafKind::CharDevice { major: 1, minor: 3 }),
        ("disk", LeafKind::BlockDevice { major: 259, minor: 70_000 }),
        ("pipe", LeafKind::Fifo),
        ("socket", LeafKind::Socket),
    ] {
        tree.insert_leaf(format!("/special/{name}"), Leaf { meta: meta(0o600, 0, 5), kind }).unwrap();
    }
    for name in [b"sp ace".as_slice(), b"new\nline", b"\xff\xfe", b"\\x00", &[b'n'; 255], "ümlaut".as_bytes()] {
        tree.insert_file([b"/names/".as_slice(), name].concat(), meta(0o644, 0, 0), put(name)).unwrap();
    }
    for n in 0..3000 {
        tree.insert_file(format!("/many/file-{n:04}"), meta(0o644, n, n), Content::Inline(n.to_string().into()))
            .unwrap();
    }
    tree.insert_file("/modes/setuid", meta(0o4755, 0, 0), put(&[1; 200])).unwrap();
    tree.insert_dir("/modes/sticky", meta(0o1777, 0, 0)).unwrap();
    tree.insert_dir("/modes/setgid", meta(0o2775, 0, 50)).unwrap();
    tree.insert_file("/ids/high", meta(0o600, 65_534, 60_000), put(b"")).unwrap();
    tree.insert_file("/attributes/user", meta(0o644, 0, 0), put(&[2; 100])).unwrap();
    tree.insert_file("/attributes/capable", meta(0o755, 0, 0), put(&[3; 100])).unwrap();
    tree.meta_mut("/attributes/user").unwrap().xattrs.insert(b"user.note".to_vec(), b"\0\xffvalue".to_vec());
    let capability = [&[1, 0, 0, 2, 0, 4, 0, 0][..], &[0; 12]].concat();
    tree.meta_mut("/attributes/capable").unwrap().xattrs.insert(b"security.capability".to_vec(), capability);
    tree.insert_file("/times/old", Meta::new(0o644, 0, 0, 0), put(b"1970")).unwrap();
    tree.insert_file("/times/older", Meta::new(0o644, 0, 0, -1_000_000), put(b"1969")).unwrap();
    tree.insert_file("/times/late", Meta::new(0o644, 0, 0, 5_000_000_000), put(b"2128")).unwrap();
    tree
}

/// The path at which this process reaches a mount that is attached nowhere.
pub fn reach(mounted: &OwnedFd) -> PathBuf {
    Path::new("/proc/self/fd").join(mounted.as_raw_fd().to_string())
}

/// A mount attached to a directory until dropped.
pub struct Attached(pub PathBuf);

impl Attached {
    pub fn new(mounted: &OwnedFd, at: &Path) -> Attached {
        std::fs::create_dir_all(at).unwrap();
        move_mount(mounted, "", rustix::fs::CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).unwrap();
        Attached(at.to_owned())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}
