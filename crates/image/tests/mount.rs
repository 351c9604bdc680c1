//! Images as the kernel sees them: mounted, id-mapped, under a writable overlay, and written out. These tests need root.

use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use regrow_image::{Change, ChangeKind, Entry, MountWay, Store, UpperMode, diff};

mod common;
use common::{Attached, reach, tree_of_everything};

#[test]
fn a_mounted_image_reads_back_as_the_tree_it_was_made_of() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let tree = tree_of_everything(&store);
    let image = store.commit(&tree).unwrap();
    assert_eq!(store.load(&image).unwrap(), tree);
    let mounted = store.mount(&image, None).unwrap();
    let seen = store.read_dir(reach(&mounted)).unwrap();
    assert_eq!(diff(&tree, &seen), []);
    assert_eq!(store.commit(&seen).unwrap(), image, "contents came through the kernel byte for byte");
    let refused = std::fs::write(reach(&mounted).join("new"), b"x").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
}

#[test]
fn mounts_live_without_the_store_and_leave_nothing_attached() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let way = store.probe_mount().unwrap();
    assert!(matches!(way, MountWay::File | MountWay::Loop));
    let image = store.commit(&tree_of_everything(&store)).unwrap();
    let mounted = store.mount(&image, None).unwrap();
    drop(store);
    assert_eq!(std::fs::read(reach(&mounted).join("sizes/4096")).unwrap().len(), 4096);
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(dir.path().to_str().unwrap()), "{mounts}");
}

/// A process in a user namespace of 65,536 ids from [`BASE`].
struct InUserNs(Child);

const BASE: u32 = 1_000_000;

impl InUserNs {
    fn new() -> InUserNs {
        let mut child = Command::new("unshare")
            .args(["--user", "sh", "-c", "echo ready; read end"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is in util-linux");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{}/{map}", child.id()), format!("0 {BASE} 65536")).unwrap();
        }
        InUserNs(child)
    }

    fn fd(&self) -> OwnedFd {
        std::fs::File::open(format!("/proc/{}/ns/user", self.0.id())).unwrap().into()
    }

    fn run(&self, program: &str, args: &[&str]) -> Vec<u8> {
        let pid = self.0.id().to_string();
        let args = [&["--user", "--target", &pid, "--setuid", "0", "--setgid", "0", program], args].concat();
        let output = Command::new("nsenter").args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

impl Drop for InUserNs {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn id_mapped_owners_are_plain_inside_and_shifted_outside() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let tree = tree_of_everything(&store);
    let image = store.commit(&tree).unwrap();
    let inside = InUserNs::new();
    let userns = inside.fd();
    let mounted = store.mount(&image, Some(userns.as_fd())).unwrap();
    let attached = Attached::new(&mounted, &dir.path().join("root"));
    let file = attached.0.join("sizes/100000");
    let outside = std::fs::metadata(&file).unwrap();
    assert_eq!((outside.uid(), outside.gid()), (BASE + 101, BASE + 102));
    let file = file.to_str().unwrap();
    assert_eq!(inside.run("stat", &["-c", "%u:%g %a", file]), b"101:102 640\n");
    // Mode 0640 and another owner: only root of the namespace may read it, and the content comes from the objects.
    assert!(inside.run("cat", &[file]) == store.read(tree.file("/sizes/100000").unwrap()).unwrap());
}

/// Runs a script in a plain overlay over `lower`, in a mount namespace of its own, and reads the result.
fn in_overlay(store: &Store, lower: &Path, dir: &Path, script: &str) -> regrow_image::Tree {
    for name in ["upper", "work", "merged", "seen"] {
        std::fs::create_dir_all(dir.join(name)).unwrap();
    }
    let root = std::fs::metadata(lower).unwrap();
    std::os::unix::fs::chown(dir.join("upper"), Some(root.uid()), Some(root.gid())).unwrap();
    let script = format!(
        "set -e; mount -t overlay overlay -o userxattr,lowerdir={},upperdir=upper,workdir=work merged; \
         (cd merged; {script}); cp -a merged/. seen/; touch -r merged seen",
        lower.display()
    );
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &script]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    store.read_dir(dir.join("seen")).unwrap()
}

const CHANGES: &str = "
    echo changed > sizes/65; rm sizes/64; rm -r many; mkdir many; echo new > many/new;
    rm -r links; echo a file now > links; rm special/null; mkdir special/null; echo x > special/null/x;
    chmod 4711 sizes/4096; chown 7:8 symlinks; touch -d @1600000000 times/late;
    mkdir -p deep/er/still; echo 1 > deep/hard; ln deep/hard deep/er/harder; ln sizes/4095 deep/to-base; ln -sfn elsewhere symlinks/short;
    mv attributes/user attributes/moved; cp -a attributes/capable attributes/copied; rm -r attributes/capable;
    rm -r names; mkfifo newpipe; mknod newdev c 1 5; truncate -s 5M sparse; rm times/old; rmdir modes/sticky";

#[test]
fn an_upper_directory_over_its_base_is_what_the_overlay_showed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let image = store.commit(&tree_of_everything(&store)).unwrap();
    let base = store.load(&image).unwrap();
    let mounted = store.mount(&image, None).unwrap();
    let attached = Attached::new(&mounted, &dir.path().join("root"));
    let seen = in_overlay(&store, &attached.0, dir.path(), CHANGES);

    let copied = store.apply_upper(&base, dir.path().join("upper"), UpperMode::Copy).unwrap();
    // A link made to a file of the base: the overlay reports two inodes for the one that it has in its upper directory.
    let differences = diff(&seen, &copied);
    let links = Change { path: b"/sizes/4095".to_vec(), kinds: vec![ChangeKind::Links] };
    assert!(differences.iter().all(|d| *d == links), "{differences:?}");
    let leaf = |path: &str| match copied.get(path) {
        Some(Entry::Leaf(id, _)) => id,
        other => panic!("{path}: {other:?}"),
    };
    assert_eq!(leaf("/sizes/4095"), leaf("/deep/to-base"), "in the tree they are links");
    let before = std::fs::metadata(dir.path().join("upper/sizes/4096")).unwrap();
    assert_eq!(before.mode() & 0o7777, 0o4711, "copying leaves the upper directory as it is");

    let other = Store::open(dir.path().join("other")).unwrap();
    assert_eq!(tree_of_everything(&other), base);
    let taken = other.apply_upper(&base, dir.path().join("upper"), UpperMode::Take).unwrap();
    assert_eq!(taken, copied, "taking gives the same tree");
    drop(std::fs::remove_dir_all(dir.path().join("upper")));
    let sparse = other.read(taken.file("/sparse").unwrap()).unwrap();
    assert!(sparse.len() == 5 << 20 && sparse.iter().all(|b| *b == 0), "what was taken outlives the directory");
    let image = other.commit(&taken).unwrap();
    assert_eq!(image, store.commit(&copied).unwrap());
    let mounted = other.mount(&image, None).unwrap();
    assert_eq!(diff(&taken, &store.read_dir(reach(&mounted)).unwrap()), [], "and the kernel reads what was taken");
}

#[test]
fn a_checkout_is_the_tree_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let tree = tree_of_everything(&store);
    let image = store.commit(&tree).unwrap();
    store.checkout(&image, dir.path().join("out")).unwrap();
    assert_eq!(diff(&tree, &store.read_dir(dir.path().join("out")).unwrap()), []);
    assert!(
        store.checkout(&image, dir.path().join("out")).is_err(),
        "a directory that has something is not written into"
    );
    store.checkout_tree(&tree, "/links", dir.path().join("links")).unwrap();
    let mut part = regrow_image::Tree::default();
    part.graft(&tree, "/links", "/").unwrap();
    assert_eq!(store.read_dir(dir.path().join("links")).unwrap(), part);
    store.checkout_tree(&tree, "/sizes/65", dir.path().join("one")).unwrap();
    assert_eq!(std::fs::read(dir.path().join("one")).unwrap(), store.read(tree.file("/sizes/65").unwrap()).unwrap());
    assert!(store.checkout_tree(&tree, "/nothing", dir.path().join("none")).is_err());
}

#[test]
fn fsck_erofs_accepts_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let image = store.commit(&tree_of_everything(&store)).unwrap();
    let file = store.path().join("images").join(image.to_string());
    let output = Command::new("fsck.erofs").arg(&file).output().expect("fsck.erofs is in the package erofs-utils");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
