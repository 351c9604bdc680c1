//! An overlay's upper directory, laid over the tree below it.

use std::path::Path;

use super::Store;
use super::scan::{Child, Scan, ScanLeaf};
use crate::error::{Error, Result};
use crate::tree::{Dir, Leaf, LeafId, LeafKind, Node, Tree};

/// What [`Store::apply_upper`] may do to the upper directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpperMode {
    /// Leave it as it is; new contents are copied (or reflinked).
    Copy,
    /// Its files become the store's objects where possible, which writes nothing. They lose owner and mode, and nobody
    /// may write to them any more: for a directory that is thrown away, when everything that used it has ended.
    Take,
}

impl Store {
    /// The tree one sees through an overlay of `upper` over `base`.
    ///
    /// `upper` is read as plain overlays write it (no metacopy, no redirects, in either namespace of attributes):
    /// character devices 0/0 and empty files marked `overlay.whiteout` remove what is below, directories marked
    /// `overlay.opaque` = `y` hide it. What is kept of files is as for [`Store::read_dir`].
    ///
    /// # Errors
    /// As [`Store::read_dir`]; also [`Error::Upper`] if the overlay used features that hide where data is.
    pub fn apply_upper(&self, base: &Tree, upper: impl AsRef<Path>, mode: UpperMode) -> Result<Tree> {
        let upper = upper.as_ref();
        let mut scan = self.scan(upper, mode)?;
        let refuse = |path: &[u8], why: &str| {
            let path = upper.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path));
            Error::Upper { path, why: why.to_owned() }
        };
        for (path, marks) in
            scan.dirs.iter().map(|d| (&d.path, &d.overlay)).chain(scan.leaves.iter().map(|l| (&l.path, &l.overlay)))
        {
            for (name, why) in [
                (b"overlay.redirect".as_slice(), "it was renamed by redirect"),
                (b"overlay.metacopy", "it has metadata only"),
            ] {
                if marks.contains_key(name) {
                    return Err(refuse(path, &format!("{why}; mount the overlay without redirect_dir and metacopy")));
                }
            }
        }
        let mut tree = base.clone();
        // Leaves of the upper directory follow those of the base in one table.
        let first = tree.leaves.len();
        let whiteouts: Vec<bool> = scan.leaves.iter().map(is_whiteout).collect();
        for found in &mut scan.leaves {
            tree.leaves.extend(found.leaf.take());
        }
        merge(&mut tree.root, &scan, 0, first, &whiteouts);
        Ok(tree)
    }
}

fn is_whiteout(found: &ScanLeaf) -> bool {
    match &found.leaf {
        Some(Leaf { kind: LeafKind::CharDevice { major: 0, minor: 0 }, .. }) => true,
        Some(Leaf { kind: LeafKind::File(content), .. }) => {
            content.size() == 0 && found.overlay.contains_key(b"overlay.whiteout".as_slice())
        }
        _ => false,
    }
}

/// Lays directory `at` of the scan over `below`.
fn merge(below: &mut Dir, scan: &Scan, at: usize, first: usize, whiteouts: &[bool]) {
    let over = &scan.dirs[at];
    below.meta = over.meta.clone();
    if over.overlay.get(b"overlay.opaque".as_slice()).is_some_and(|v| v == b"y") {
        below.entries.clear();
    }
    for (name, child) in &over.children {
        match *child {
            Child::Leaf(n) if whiteouts[n] => {
                below.entries.remove(name);
            }
            Child::Leaf(n) => {
                below.entries.insert(name.clone(), Node::Leaf(LeafId(first + n)));
            }
            Child::Dir(n) => {
                let node = below.entries.entry(name.clone()).or_insert_with(|| Node::Dir(Dir::default()));
                if let Node::Leaf(_) = node {
                    *node = Node::Dir(Dir::default());
                }
                if let Node::Dir(dir) = node {
                    merge(dir, scan, n, first, whiteouts);
                }
            }
        }
    }
}
