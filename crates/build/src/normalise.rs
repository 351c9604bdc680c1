//! What packages leave behind that differs from run to run or machine to machine, and what becomes of it.
//!
//! | leaves | cure |
//! | --- | --- |
//! | times | files as shipped: the package's time, never after the epoch; everything else and all directories: the epoch |
//! | logs, caches, lock files, backups | removed ([`REMOVED`]); directories stay |
//! | /run, /tmp, /dev, … | emptied ([`EMPTIED`]): they are mounts of a running system |
//! | compiled Python | removed: it embeds times |
//! | accounts | sorted, timeless ([`crate::accounts::normalise`]) |
//! | /etc/machine-id | empty, which means: not yet initialised |
//! | identity, random state of services | the catalog's `scrub` and `identity` |
//! | private keys | an error |

use std::collections::BTreeMap;

use regrow_config::catalog::Identity;
use regrow_image::{Entry, Meta, Store, Tree};

use crate::accounts;
use crate::error::BuildError;
use crate::plan::PlanLayer;
use crate::private_key;

/// Patterns of what is removed after every layer of packages.
pub(crate) const REMOVED: &[&str] = &[
    // Times of this very build.
    "/var/log/dpkg.log",
    "/var/log/alternatives.log",
    "/var/log/bootstrap.log",
    "/var/log/fontconfig.log",
    "/var/log/apt/*",
    // Inode numbers and times; made again when needed.
    "/var/cache/ldconfig/*",
    "/var/cache/apt/*.bin",
    "/var/cache/apt/archives/*.deb",
    "/var/cache/apt/archives/lock",
    "/var/cache/apt/archives/partial/*",
    "/var/cache/fontconfig/*",
    "/var/cache/swcatalog/*",
    "/var/cache/man/**/index.db",
    "/var/lib/apt/lists/*",
    // Copies from before the last change.
    "/var/cache/debconf/*-old",
    "/var/lib/dpkg/*-old",
    "/var/backups/*",
    "/etc/**/*.dpkg-old",
    "/etc/**/*.dpkg-dist",
    // Locks.
    "/var/lib/dpkg/lock",
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/triggers/Lock",
    "/var/lib/dpkg/triggers/Unincorp",
    // Identity and chance.
    "/etc/ssh/ssh_host_*",
    "/var/lib/dbus/machine-id",
    "/var/lib/systemd/random-seed",
    "/var/lib/systemd/credential.secret",
    "/var/lib/urandom/*",
    "/var/lib/misc/random-seed",
    // Compiled Python.
    "/usr/**/__pycache__",
    "/etc/**/__pycache__",
    "/opt/**/__pycache__",
    "/var/lib/**/__pycache__",
    // What root's programs keep.
    "/root/.cache",
    "/root/.bash_history",
    "/root/.wget-hsts",
    "/root/.gnupg",
];

/// Directories of which nothing inside stays.
pub(crate) const EMPTIED: &[&str] = &["/dev", "/proc", "/sys", "/run", "/tmp", "/var/tmp"];

/// Brings a tree after a layer of packages into its one form. `before` is the tree before scripts of the layer ran,
/// `shipped` the times that packages give their files, `keys` the shipped files that hold private keys.
///
/// # Errors
/// If a private key is found.
pub(crate) fn packages(
    tree: &mut Tree,
    before: &Tree,
    shipped: &BTreeMap<Vec<u8>, i64>,
    keys: &[(Vec<u8>, String)],
    planned: &PlanLayer,
    store: &Store,
    epoch: i64,
) -> Result<(), BuildError> {
    for pattern in REMOVED.iter().copied().chain(planned.hints.scrub.iter().map(String::as_str)) {
        tree.remove_matching(pattern);
    }
    for dir in EMPTIED {
        tree.clear(dir);
    }
    if tree.contains("/etc/machine-id") {
        tree.remove("/etc/machine-id");
        tree.insert_file("/etc/machine-id", Meta::new(0o444, 0, 0, epoch), store.put_bytes(b"")?)?;
    }
    for path in &planned.hints.identity {
        if let Some(Entry::Dir(_)) = tree.get(path) {
            return Err(BuildError::text(path, "is an identity file in the catalog, but packages made it a directory"));
        }
        tree.insert_symlink(path, Meta::new(0o777, 0, 0, epoch), Identity::volume_path(path))?;
    }
    accounts::normalise(tree, store, epoch)?;
    times(tree, before, shipped, epoch);
    private_keys(tree, before, keys, store)
}

/// Sets every time to one that does not depend on the clock.
fn times(tree: &mut Tree, before: &Tree, shipped: &BTreeMap<Vec<u8>, i64>, epoch: i64) {
    let mut changes: Vec<(Vec<u8>, i64)> = Vec::new();
    for (path, entry) in tree.walk() {
        let now = entry.meta().mtime;
        let wanted = match entry {
            Entry::Dir(_) => epoch,
            Entry::Leaf(..) => {
                let untouched = before.get(&path).is_some_and(|e| e.as_dir().is_none() && e.meta().mtime == now);
                let as_shipped = shipped.get(&path) == Some(&now);
                if untouched || as_shipped { now.min(epoch) } else { epoch }
            }
        };
        if wanted != now {
            changes.push((path, wanted));
        }
    }
    for (path, mtime) in changes {
        if let Some(meta) = tree.meta_mut(path) {
            meta.mtime = mtime;
        }
    }
}

/// Refuses a tree in which a package or its scripts left a private key.
fn private_keys(tree: &Tree, before: &Tree, shipped: &[(Vec<u8>, String)], store: &Store) -> Result<(), BuildError> {
    let refuse = |path: &[u8], origin: String| {
        Err(BuildError::PrivateKey { path: String::from_utf8_lossy(path).into_owned(), origin })
    };
    for (path, package) in shipped {
        if tree.file(path).is_some() && !private_key::is_example(path) {
            return refuse(path, format!("the package {package}"));
        }
    }
    for (path, entry) in tree.walk() {
        let Some(content) = entry.as_file() else { continue };
        if content.size() > private_key::MAX as u64 || before.file(&path) == Some(content) {
            continue;
        }
        if private_key::is_in(&store.read(content)?) && !private_key::is_example(&path) {
            return refuse(&path, "made while packages were installed".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
