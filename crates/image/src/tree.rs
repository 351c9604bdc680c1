//! A file tree as a value.
//!
//! Paths are bytes, absolute, with `/` between components; `/` is the root. A missing leading slash, doubled slashes and
//! `.` are accepted when asked for; `..` is never (nothing here climbs). Symbolic links are not followed, except by
//! [`Tree::resolve`].
//!
//! Everything that is not a directory is a [`Leaf`] in a table of the tree; directory entries refer to it by [`LeafId`].
//! Two entries with the same id are hard links of each other. Equality compares what one would see on disk: names,
//! metadata, contents and which names are links of each other, never the numbers of the ids.

use std::collections::{BTreeMap, HashMap};

use crate::error::{Error, Result};
use crate::id::ObjectId;

mod edit;
mod glob;
mod walk;

pub use walk::Walk;

/// Extended attributes: name → value.
pub(crate) type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// What is known about an entry besides its type and content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits with setuid, setgid and sticky (`0o7777`); no type bits.
    pub mode: u32,
    /// Owner, as seen inside the server.
    pub uid: u32,
    /// Group, as seen inside the server.
    pub gid: u32,
    /// Modification time in seconds since 1970; fractions are not kept.
    pub mtime: i64,
    /// Extended attributes, names with their prefix (`user.…`, `security.capability`).
    pub xattrs: Xattrs,
}

impl Meta {
    /// Metadata without extended attributes.
    pub fn new(mode: u32, uid: u32, gid: u32, mtime: i64) -> Meta {
        Meta { mode: mode & 0o7777, uid, gid, mtime, xattrs: Xattrs::new() }
    }
}

/// The content of a regular file.
///
/// Up to [`Content::INLINE_MAX`] bytes are always inline and more never, so that equal content is an equal value.
/// [`crate::Store::put_bytes`] and [`crate::Store::put_file`] choose; build an [`Content::Inline`] by hand only for less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The bytes themselves.
    Inline(Vec<u8>),
    /// An object in the store.
    Object {
        /// Its name there.
        id: ObjectId,
        /// Length in bytes.
        size: u64,
    },
}

impl Content {
    /// The longest content that is kept in the image itself, in bytes.
    pub const INLINE_MAX: usize = composefs::INLINE_CONTENT_MAX_V0;

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Content::Inline(bytes) => bytes.len() as u64,
            Content::Object { size, .. } => *size,
        }
    }
}

/// What a leaf is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeafKind {
    /// A regular file.
    File(Content),
    /// A symbolic link to this target; 1 to 1024 bytes.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
}

/// Anything but a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Owner, mode, time, extended attributes. A symbolic link's mode is 0o777.
    pub meta: Meta,
    /// Type and content.
    pub kind: LeafKind,
}

/// A leaf's place in the tree's table; valid for the tree it came from, until that is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafId(pub(crate) usize);

/// A directory.
#[derive(Debug, Clone, Default)]
pub struct Dir {
    /// Owner, mode, time, extended attributes.
    pub meta: Meta,
    pub(crate) entries: BTreeMap<Vec<u8>, Node>,
}

impl Dir {
    /// An empty directory.
    pub fn new(meta: Meta) -> Dir {
        Dir { meta, entries: BTreeMap::new() }
    }

    /// The names and what they stand for, sorted by bytes.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&[u8], &Node)> {
        self.entries.iter().map(|(name, node)| (name.as_slice(), node))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// What a name in a directory stands for.
#[derive(Debug, Clone)]
pub enum Node {
    /// A directory.
    Dir(Dir),
    /// Anything else; see [`Tree::leaf`].
    Leaf(LeafId),
}

/// What was found at a path.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    /// A directory.
    Dir(&'a Dir),
    /// Anything else, with the id its hard links share.
    Leaf(LeafId, &'a Leaf),
}

impl<'a> Entry<'a> {
    /// Its metadata.
    pub fn meta(&self) -> &'a Meta {
        match self {
            Entry::Dir(dir) => &dir.meta,
            Entry::Leaf(_, leaf) => &leaf.meta,
        }
    }

    /// The directory, if it is one.
    pub fn as_dir(&self) -> Option<&'a Dir> {
        match self {
            Entry::Dir(dir) => Some(dir),
            Entry::Leaf(..) => None,
        }
    }

    /// The content, if it is a regular file.
    pub fn as_file(&self) -> Option<&'a Content> {
        match self {
            Entry::Leaf(_, Leaf { kind: LeafKind::File(content), .. }) => Some(content),
            _ => None,
        }
    }

    /// The target, if it is a symbolic link.
    pub fn as_symlink(&self) -> Option<&'a [u8]> {
        match self {
            Entry::Leaf(_, Leaf { kind: LeafKind::Symlink(target), .. }) => Some(target),
            _ => None,
        }
    }
}

/// A whole file tree.
#[derive(Debug, Clone)]
pub struct Tree {
    pub(crate) root: Dir,
    /// May hold leaves that no entry refers to any more; they never reach an image.
    pub(crate) leaves: Vec<Leaf>,
}

impl Default for Tree {
    /// An empty root directory: mode 0755, owner 0:0, time 0.
    fn default() -> Tree {
        Tree::new(Meta::new(0o755, 0, 0, 0))
    }
}

impl Tree {
    /// A tree that is only a root directory.
    pub fn new(root: Meta) -> Tree {
        Tree { root: Dir::new(root), leaves: Vec::new() }
    }

    /// The root directory.
    pub fn root(&self) -> &Dir {
        &self.root
    }

    /// The leaf of an id that came from this tree.
    pub fn leaf(&self, id: LeafId) -> &Leaf {
        &self.leaves[id.0]
    }

    /// What is at `path`; no symbolic link is followed.
    pub fn get(&self, path: impl AsRef<[u8]>) -> Option<Entry<'_>> {
        let mut entry = Entry::Dir(&self.root);
        for name in components(path.as_ref()).ok()? {
            entry = self.entry(entry.as_dir()?.entries.get(name)?);
        }
        Some(entry)
    }

    /// Whether there is anything at `path`.
    pub fn contains(&self, path: impl AsRef<[u8]>) -> bool {
        self.get(path).is_some()
    }

    /// The content of the regular file at `path`.
    pub fn file(&self, path: impl AsRef<[u8]>) -> Option<&Content> {
        self.get(path)?.as_file()
    }

    /// Owner and group of what is at `path`.
    pub fn owner(&self, path: impl AsRef<[u8]>) -> Option<(u32, u32)> {
        self.get(path).map(|e| (e.meta().uid, e.meta().gid))
    }

    pub(crate) fn entry<'a>(&'a self, node: &'a Node) -> Entry<'a> {
        match node {
            Node::Dir(dir) => Entry::Dir(dir),
            Node::Leaf(id) => Entry::Leaf(*id, &self.leaves[id.0]),
        }
    }

    /// Where `path` leads when every symbolic link is followed as a process inside this root would: absolute targets
    /// start at this root and `..` stops there. The last component need not exist, its parents must.
    ///
    /// `None` if a parent is missing or no directory, or after 40 links (a loop).
    pub fn resolve(&self, path: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        // Components still to go, the next one last.
        let mut todo: Vec<Vec<u8>> = split(path.as_ref()).rev().map(<[u8]>::to_vec).collect();
        let mut done: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                done.pop();
                continue;
            }
            let dir = self.get(join(&done))?.as_dir()?;
            match dir.entries.get(&name).map(|n| self.entry(n)) {
                None if todo.is_empty() => done.push(name),
                None => return None,
                Some(entry) => match entry.as_symlink() {
                    Some(target) => {
                        links += 1;
                        if links > 40 {
                            return None;
                        }
                        if target.starts_with(b"/") {
                            done.clear();
                        }
                        todo.extend(split(target).rev().map(<[u8]>::to_vec));
                    }
                    None => done.push(name),
                },
            }
        }
        Some(join(&done))
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Tree) -> bool {
        // Links correspond if the ids do, in both directions.
        let (mut there, mut back) = (HashMap::new(), HashMap::new());
        let mut todo = vec![(&self.root, &other.root)];
        while let Some((a, b)) = todo.pop() {
            if a.meta != b.meta || a.entries.len() != b.entries.len() {
                return false;
            }
            for ((name, left), (other_name, right)) in a.entries.iter().zip(&b.entries) {
                if name != other_name {
                    return false;
                }
                match (left, right) {
                    (Node::Dir(left), Node::Dir(right)) => todo.push((left, right)),
                    (Node::Leaf(left), Node::Leaf(right)) => {
                        let known = (*there.entry(*left).or_insert(*right), *back.entry(*right).or_insert(*left));
                        if known != (*right, *left) || self.leaf(*left) != other.leaf(*right) {
                            return false;
                        }
                    }
                    _ => return false,
                }
            }
        }
        true
    }
}

impl Eq for Tree {}

/// The longest path in bytes, as in the kernel. Bounds the depth of trees too, and with it recursion.
pub(crate) const PATH_MAX: usize = 4095;

/// The non-empty components, `.` left out.
fn split(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".")
}

/// The components of a path that may name something in a tree.
pub(crate) fn components(path: &[u8]) -> Result<impl DoubleEndedIterator<Item = &[u8]>> {
    if path.len() > PATH_MAX {
        return Err(Error::bad_path(path, "it is longer than 4095 bytes"));
    }
    for name in split(path) {
        if name == b".." {
            return Err(Error::bad_path(path, "it holds `..`"));
        }
        check_name(name).map_err(|why| Error::bad_path(path, why))?;
    }
    Ok(split(path))
}

/// Whether a name can stand in a directory.
pub(crate) fn check_name(name: &[u8]) -> Result<(), &'static str> {
    match name {
        b"" | b"." | b".." => Err("a name is empty, `.` or `..`"),
        _ if name.len() > 255 => Err("a name is longer than 255 bytes"),
        _ if name.iter().any(|b| matches!(b, 0 | b'/')) => Err("a name holds a NUL byte or a slash"),
        _ => Ok(()),
    }
}

fn join<T: AsRef<[u8]>>(components: &[T]) -> Vec<u8> {
    let mut path = Vec::new();
    for name in components {
        path.push(b'/');
        path.extend_from_slice(name.as_ref());
    }
    if path.is_empty() {
        path.push(b'/');
    }
    path
}

#[cfg(test)]
mod tests;
