//! Changing a tree.

use super::{Content, Dir, Entry, Leaf, LeafId, LeafKind, Meta, Node, Tree, check_name, components};
use crate::error::{Error, Result};

impl Tree {
    /// Puts a regular file at `path`, replacing any leaf there. Missing parents are made (0755, 0:0, time of the file).
    ///
    /// # Errors
    /// If `path` cannot be used, a directory is there, or a parent is no directory (a symbolic link is none: see
    /// [`Tree::resolve`]).
    pub fn insert_file(&mut self, path: impl AsRef<[u8]>, meta: Meta, content: Content) -> Result<LeafId> {
        self.insert_leaf(path, Leaf { meta, kind: LeafKind::File(content) })
    }

    /// Puts a symbolic link to `target` at `path`, as [`Tree::insert_file`] does. Its mode is always 0777.
    ///
    /// # Errors
    /// As [`Tree::insert_file`]; also for a target that is empty, longer than 1024 bytes, or holds a NUL byte.
    pub fn insert_symlink(&mut self, path: impl AsRef<[u8]>, meta: Meta, target: impl Into<Vec<u8>>) -> Result<LeafId> {
        let target = target.into();
        if target.is_empty() || target.len() > composefs::SYMLINK_MAX || target.contains(&0) {
            return Err(Error::tree(
                path.as_ref(),
                "would be a symbolic link to an empty, too long or impossible path",
            ));
        }
        self.insert_leaf(path, Leaf { meta: Meta { mode: 0o777, ..meta }, kind: LeafKind::Symlink(target) })
    }

    /// Puts any leaf at `path`, as [`Tree::insert_file`] does.
    ///
    /// # Errors
    /// As [`Tree::insert_file`].
    pub fn insert_leaf(&mut self, path: impl AsRef<[u8]>, leaf: Leaf) -> Result<LeafId> {
        let path = path.as_ref();
        let mtime = leaf.meta.mtime;
        let id = LeafId(self.leaves.len());
        let (dir, name) = self.parent_for_insert(path, mtime)?;
        match dir.entries.get(name) {
            Some(Node::Dir(_)) => return Err(Error::tree(path, "is a directory; a file cannot replace it")),
            _ => dir.entries.insert(name.to_vec(), Node::Leaf(id)),
        };
        self.leaves.push(leaf);
        Ok(id)
    }

    /// Makes `path` a directory with this metadata; an existing directory keeps its entries.
    ///
    /// # Errors
    /// As [`Tree::insert_file`]; also if there is a leaf at `path`.
    pub fn insert_dir(&mut self, path: impl AsRef<[u8]>, meta: Meta) -> Result<()> {
        let path = path.as_ref();
        if components(path)?.next().is_none() {
            self.root.meta = meta;
            return Ok(());
        }
        let (dir, name) = self.parent_for_insert(path, meta.mtime)?;
        match dir.entries.entry(name.to_vec()).or_insert_with(|| Node::Dir(Dir::default())) {
            Node::Dir(dir) => dir.meta = meta,
            Node::Leaf(_) => return Err(Error::tree(path, "is not a directory")),
        }
        Ok(())
    }

    /// Makes `path` a further hard link of the leaf at `existing`.
    ///
    /// # Errors
    /// As [`Tree::insert_file`]; also if there is no leaf at `existing`.
    pub fn link(&mut self, existing: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> Result<()> {
        let path = path.as_ref();
        let (id, mtime) = match self.get(&existing) {
            Some(Entry::Leaf(id, leaf)) => (id, leaf.meta.mtime),
            Some(Entry::Dir(_)) => return Err(Error::tree(existing.as_ref(), "is a directory and cannot be linked")),
            None => return Err(Error::tree(existing.as_ref(), "does not exist")),
        };
        let (dir, name) = self.parent_for_insert(path, mtime)?;
        if let Some(Node::Dir(_)) = dir.entries.get(name) {
            return Err(Error::tree(path, "is a directory; a file cannot replace it"));
        }
        dir.entries.insert(name.to_vec(), Node::Leaf(id));
        Ok(())
    }

    /// Removes what is at `path` with all below it; says whether there was anything. The root cannot be removed.
    pub fn remove(&mut self, path: impl AsRef<[u8]>) -> bool {
        let Ok(mut names) = components(path.as_ref()).map(Iterator::collect::<Vec<_>>) else { return false };
        let Some(last) = names.pop() else { return false };
        self.dir_mut(&names).is_some_and(|dir| dir.entries.remove(last).is_some())
    }

    /// Removes everything in the directory at `path`, but not itself; says how many entries it had.
    pub fn clear(&mut self, path: impl AsRef<[u8]>) -> usize {
        let Ok(names) = components(path.as_ref()).map(Iterator::collect::<Vec<_>>) else { return 0 };
        self.dir_mut(&names).map_or(0, |dir| std::mem::take(&mut dir.entries).len())
    }

    /// The metadata of what is at `path`, to change it (for all hard links of it).
    pub fn meta_mut(&mut self, path: impl AsRef<[u8]>) -> Option<&mut Meta> {
        let path = path.as_ref();
        match self.get(path)? {
            Entry::Leaf(id, _) => Some(&mut self.leaves[id.0].meta),
            Entry::Dir(_) => {
                let names: Vec<_> = components(path).ok()?.collect();
                self.dir_mut(&names).map(|dir| &mut dir.meta)
            }
        }
    }

    /// The leaf at `path`, to change it (for all hard links of it).
    pub fn leaf_mut(&mut self, path: impl AsRef<[u8]>) -> Option<&mut Leaf> {
        match self.get(path)? {
            Entry::Leaf(id, _) => Some(&mut self.leaves[id.0]),
            Entry::Dir(_) => None,
        }
    }

    /// Copies what is at `from` in `other` to `path` here, with all below it, replacing what is there. Hard links
    /// within the copied part are kept.
    ///
    /// # Errors
    /// If there is nothing at `from`, or `path` cannot be used.
    pub fn graft(&mut self, other: &Tree, from: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> Result<()> {
        let Some(source) = other.get(&from) else { return Err(Error::tree(from.as_ref(), "does not exist")) };
        let mut ids = std::collections::HashMap::new();
        let mut leaves = std::mem::take(&mut self.leaves);
        let node = copy(other, source, &mut leaves, &mut ids);
        self.leaves = leaves;
        let path = path.as_ref();
        if components(path)?.next().is_none() {
            return match node {
                Node::Dir(dir) => {
                    self.root = dir;
                    Ok(())
                }
                Node::Leaf(_) => Err(Error::tree(path, "is the root and must stay a directory")),
            };
        }
        let (dir, name) = self.parent_for_insert(path, source.meta().mtime)?;
        dir.entries.insert(name.to_vec(), node);
        Ok(())
    }

    pub(crate) fn dir_mut(&mut self, names: &[&[u8]]) -> Option<&mut Dir> {
        let mut dir = &mut self.root;
        for name in names {
            match dir.entries.get_mut(*name) {
                Some(Node::Dir(below)) => dir = below,
                _ => return None,
            }
        }
        Some(dir)
    }

    /// The directory that is to hold `path`, made if missing, and the last name.
    fn parent_for_insert<'t, 'p>(&'t mut self, path: &'p [u8], mtime: i64) -> Result<(&'t mut Dir, &'p [u8])> {
        let mut names: Vec<&[u8]> = components(path)?.collect();
        let Some(last) = names.pop() else { return Err(Error::bad_path(path, "it is the root")) };
        check_name(last).map_err(|why| Error::bad_path(path, why))?;
        let mut dir = &mut self.root;
        for name in names {
            let made = || Node::Dir(Dir::new(Meta::new(0o755, 0, 0, mtime)));
            match dir.entries.entry(name.to_vec()).or_insert_with(made) {
                Node::Dir(below) => dir = below,
                Node::Leaf(_) => return Err(Error::tree(path, "cannot be made: one of its parents is no directory")),
            }
        }
        Ok((dir, last))
    }
}

fn copy(
    from: &Tree,
    entry: Entry<'_>,
    leaves: &mut Vec<Leaf>,
    ids: &mut std::collections::HashMap<LeafId, LeafId>,
) -> Node {
    match entry {
        Entry::Leaf(id, leaf) => Node::Leaf(*ids.entry(id).or_insert_with(|| {
            leaves.push(leaf.clone());
            LeafId(leaves.len() - 1)
        })),
        Entry::Dir(dir) => {
            let mut to = Dir::new(dir.meta.clone());
            for (name, node) in &dir.entries {
                to.entries.insert(name.clone(), copy(from, from.entry(node), leaves, ids));
            }
            Node::Dir(to)
        }
    }
}
