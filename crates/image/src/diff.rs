//! How two trees differ.

use serde::Serialize;

use crate::tree::{Dir, Entry, LeafId, Meta, Node, Tree};

/// One difference between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The absolute path.
    pub path: Vec<u8>,
    /// What is different there; several kinds can hold at once.
    pub kinds: Vec<ChangeKind>,
}

/// How an entry differs. In JSON a lower-case word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Only in the second tree. What is below a new directory is listed too.
    Added,
    /// Only in the first tree. What was below a removed directory is listed too.
    Removed,
    /// Another type of entry (file, directory, link, …); nothing else is compared then.
    Type,
    /// Another content, link target or device number.
    Content,
    /// Other permission bits.
    Mode,
    /// Another owner or group.
    Owner,
    /// Another modification time.
    Mtime,
    /// Other extended attributes.
    Xattr,
    /// The same file, but not the same hard links.
    Links,
}

impl ChangeKind {
    /// The word used in JSON.
    pub fn word(self) -> &'static str {
        match self {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Type => "type",
            ChangeKind::Content => "content",
            ChangeKind::Mode => "mode",
            ChangeKind::Owner => "owner",
            ChangeKind::Mtime => "mtime",
            ChangeKind::Xattr => "xattr",
            ChangeKind::Links => "links",
        }
    }
}

/// What must change to make `old` equal to `new`, in path order (see [`Tree::walk`]). Empty exactly if they are equal.
pub fn diff(old: &Tree, new: &Tree) -> Vec<Change> {
    let mut walk =
        Differ { old, new, old_first: Default::default(), new_first: Default::default(), changes: Vec::new() };
    let kinds = metas(&old.root.meta, &new.root.meta);
    walk.push(b"/", kinds);
    walk.dirs(b"", &old.root, &new.root);
    walk.changes
}

struct Differ<'a> {
    old: &'a Tree,
    new: &'a Tree,
    /// The first path at which each leaf was seen: two names are links of each other if it is the same.
    old_first: std::collections::HashMap<LeafId, Vec<u8>>,
    new_first: std::collections::HashMap<LeafId, Vec<u8>>,
    changes: Vec<Change>,
}

impl<'a> Differ<'a> {
    fn push(&mut self, path: &[u8], kinds: Vec<ChangeKind>) {
        if !kinds.is_empty() {
            self.changes.push(Change { path: path.to_vec(), kinds });
        }
    }

    fn dirs(&mut self, at: &[u8], old: &'a Dir, new: &'a Dir) {
        let mut names: Vec<&Vec<u8>> = old.entries.keys().chain(new.entries.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let path = [at, b"/", name].concat();
            match (old.entries.get(name), new.entries.get(name)) {
                (Some(o), Some(n)) => self.both(&path, o, n),
                (Some(o), None) => self.subtree(&path, o, ChangeKind::Removed),
                (None, Some(n)) => self.subtree(&path, n, ChangeKind::Added),
                (None, None) => {}
            }
        }
    }

    fn both(&mut self, path: &[u8], old: &'a Node, new: &'a Node) {
        match (self.old.entry(old), self.new.entry(new)) {
            (Entry::Dir(o), Entry::Dir(n)) => {
                self.push(path, metas(&o.meta, &n.meta));
                self.dirs(path, o, n);
            }
            (Entry::Leaf(old_id, o), Entry::Leaf(new_id, n)) => {
                let mut kinds = Vec::new();
                if std::mem::discriminant(&o.kind) != std::mem::discriminant(&n.kind) {
                    kinds.push(ChangeKind::Type);
                } else {
                    if o.kind != n.kind {
                        kinds.push(ChangeKind::Content);
                    }
                    kinds.extend(metas(&o.meta, &n.meta));
                }
                let old_first = self.old_first.entry(old_id).or_insert_with(|| path.to_vec());
                let new_first = self.new_first.entry(new_id).or_insert_with(|| path.to_vec());
                if old_first != new_first {
                    kinds.push(ChangeKind::Links);
                }
                self.push(path, kinds);
            }
            _ => {
                self.push(path, vec![ChangeKind::Type]);
                for (node, kind) in [(old, ChangeKind::Removed), (new, ChangeKind::Added)] {
                    let before = self.changes.len();
                    self.subtree(path, node, kind);
                    // The entry itself has just been listed by its type.
                    self.changes.remove(before);
                }
            }
        }
    }

    fn subtree(&mut self, path: &[u8], node: &'a Node, kind: ChangeKind) {
        self.push(path, vec![kind]);
        match node {
            Node::Leaf(id) => {
                let first = if kind == ChangeKind::Added { &mut self.new_first } else { &mut self.old_first };
                first.entry(*id).or_insert_with(|| path.to_vec());
            }
            Node::Dir(dir) => {
                for (name, below) in &dir.entries {
                    self.subtree(&[path, b"/", name].concat(), below, kind);
                }
            }
        }
    }
}

fn metas(old: &Meta, new: &Meta) -> Vec<ChangeKind> {
    let mut kinds = Vec::new();
    if old.mode != new.mode {
        kinds.push(ChangeKind::Mode);
    }
    if (old.uid, old.gid) != (new.uid, new.gid) {
        kinds.push(ChangeKind::Owner);
    }
    if old.mtime != new.mtime {
        kinds.push(ChangeKind::Mtime);
    }
    if old.xattrs != new.xattrs {
        kinds.push(ChangeKind::Xattr);
    }
    kinds
}
