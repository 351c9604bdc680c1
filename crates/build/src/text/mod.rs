//! A server's text applied to a tree by our own code: no script runs, nothing is asked of the host, a change of one setting
//! costs milliseconds.
//!
//! The order matters where one thing refers to another: accounts first (files have owners), generated files before
//! declared ones (what a person writes wins), files before services (a unit may be one of them).

mod accounts;
mod files;
mod seeds;
mod services;
mod system;
mod units;

use std::collections::BTreeMap;

use regrow_image::{Meta, Store, Tree};

use crate::database;
use crate::error::BuildError;
use crate::plan::Plan;
use crate::unpack::place_of;

/// Applies the text of `plan` to the tree of its packages.
pub(crate) fn apply(tree: Tree, plan: &Plan, store: &Store) -> Result<Tree, BuildError> {
    let mut target = Target { tree, store, epoch: plan.epoch, users: BTreeMap::new(), groups: BTreeMap::new() };
    let server = &plan.config.server;
    accounts::apply(&mut target, server, &plan.ids)?;
    system::apply(&mut target, server)?;
    seeds::apply(&mut target, &plan.config.entries)?;
    system::timers(&mut target, server)?;
    files::apply(&mut target, server)?;
    services::apply(&mut target, server)?;
    system::mount_points(&mut target, server)?;
    Ok(target.tree)
}

/// The tree under work and what is needed to write into it.
pub(crate) struct Target<'a> {
    pub(crate) tree: Tree,
    store: &'a Store,
    epoch: i64,
    /// Ids by name, of all accounts in the image.
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
}

impl Target<'_> {
    /// Where `path` really lies: links in its parents are followed, in itself not.
    fn place(&self, path: &str) -> Vec<u8> {
        place_of(&self.tree, path.as_bytes())
    }

    fn meta(&self, mode: u32) -> Meta {
        Meta::new(mode, 0, 0, self.epoch)
    }

    /// Puts a file; `key` names what asked for it in errors.
    fn put(&mut self, key: &str, path: &str, bytes: &[u8], meta: Meta) -> Result<(), BuildError> {
        let content = self.store.put_bytes(bytes)?;
        let place = self.place(path);
        self.tree.insert_file(place, meta, content).map(|_| ()).map_err(|e| in_the_way(key, &e))
    }

    /// Puts a root-owned text file of mode 0644.
    fn put_text(&mut self, key: &str, path: &str, text: &str) -> Result<(), BuildError> {
        let meta = self.meta(0o644);
        self.put(key, path, text.as_bytes(), meta)
    }

    fn put_link(&mut self, key: &str, path: &str, to: &str) -> Result<(), BuildError> {
        let (place, meta) = (self.place(path), self.meta(0o777));
        self.tree.insert_symlink(place, meta, to).map(|_| ()).map_err(|e| in_the_way(key, &e))
    }

    fn put_dir(&mut self, key: &str, path: &str, meta: Meta) -> Result<(), BuildError> {
        let place = self.place(path);
        self.tree.insert_dir(place, meta).map_err(|e| in_the_way(key, &e))
    }

    /// Whether there is something at `path`, links in it followed.
    fn exists(&self, path: &str) -> bool {
        self.tree.resolve(path).is_some_and(|p| self.tree.contains(p))
    }

    /// A text file, links followed; empty if there is none.
    fn text(&self, path: &str) -> Result<String, BuildError> {
        match self.tree.resolve(path) {
            Some(real) => database::text(&self.tree, self.store, &String::from_utf8_lossy(&real)),
            None => Ok(String::new()),
        }
    }
}

fn in_the_way(key: &str, error: &regrow_image::Error) -> BuildError {
    BuildError::text(key, format!("the packages have something else in its place: {error}"))
}

#[cfg(test)]
mod tests;
