//! Going over a whole tree.

use super::{Dir, Entry, Meta, Node, Tree};

/// Every path with what is there, a directory before what is in it, names in byte order. From [`Tree::walk`].
#[derive(Debug)]
pub struct Walk<'a> {
    tree: &'a Tree,
    /// Still to visit, the next one last.
    todo: Vec<(Vec<u8>, Entry<'a>)>,
}

impl<'a> Iterator for Walk<'a> {
    type Item = (Vec<u8>, Entry<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (path, entry) = self.todo.pop()?;
        if let Entry::Dir(dir) = entry {
            let base: &[u8] = if path == b"/" { b"" } else { &path };
            for (name, node) in dir.entries.iter().rev() {
                let mut below = Vec::with_capacity(base.len() + 1 + name.len());
                below.extend_from_slice(base);
                below.push(b'/');
                below.extend_from_slice(name);
                self.todo.push((below, self.tree.entry(node)));
            }
        }
        Some((path, entry))
    }
}

impl Tree {
    /// Everything, the root (`/`) first. A file with several hard links comes once for each.
    pub fn walk(&self) -> Walk<'_> {
        Walk { tree: self, todo: vec![(b"/".to_vec(), Entry::Dir(&self.root))] }
    }

    /// Everything at and below `path`; nothing if there is nothing.
    pub fn walk_below(&self, path: impl AsRef<[u8]>) -> Walk<'_> {
        let path = path.as_ref();
        let start = super::components(path).ok().map(|c| super::join(&c.collect::<Vec<_>>()));
        let todo = start.and_then(|start| self.get(path).map(|entry| (start, entry))).into_iter().collect();
        Walk { tree: self, todo }
    }

    /// Calls `change` once for every directory and every leaf (once for all hard links of it).
    pub fn for_each_meta_mut(&mut self, mut change: impl FnMut(&mut Meta)) {
        fn dirs(dir: &mut Dir, change: &mut impl FnMut(&mut Meta)) {
            change(&mut dir.meta);
            for node in dir.entries.values_mut() {
                if let Node::Dir(dir) = node {
                    dirs(dir, change);
                }
            }
        }
        dirs(&mut self.root, &mut change);
        for leaf in &mut self.leaves {
            change(&mut leaf.meta);
        }
    }

    /// Sum of the sizes of all regular files in bytes, hard links counted once.
    pub fn content_bytes(&self) -> u64 {
        let mut seen = std::collections::HashSet::new();
        self.walk()
            .filter_map(|(_, entry)| match entry {
                Entry::Leaf(id, _) if seen.insert(id) => entry.as_file().map(super::Content::size),
                _ => None,
            })
            .sum()
    }
}
