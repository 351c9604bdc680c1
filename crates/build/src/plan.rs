//! The plan of a build: a pure function of the text and the lock. No clock, environment or file is looked at.
//!
//! # Input × key
//! A layer's image is reused wherever its key is known, so everything that can influence the image must be in the key:
//!
//! | input | layer of packages | last layer (the text) |
//! | --- | --- | --- |
//! | how this version unpacks, runs and normalises ([`BUILDER`]) | in the key | in the parent's key |
//! | how this version applies the text ([`APPLIER`]) | – | in the key |
//! | what is below | the parent's key (the first has none) | the parent's key |
//! | packages: name, version, architecture, SHA-256; sorted by name | in the key | in the parent's key |
//! | order of unpacking | function of the packages | – |
//! | "now" (`SOURCE_DATE_EPOCH`), architecture | in the key | in the key |
//! | catalog: masks, stand-ins, environment, scrubbing, identity of the entries that apply so far | in the key | seeds too: in the key |
//! | ids of accounts that the catalog says these packages make | in the key | in the key (all of the lock's) |
//! | ids of other accounts that scripts make | not foreseeable: see below | in the key |
//! | system, users, groups, services, files, root/, timers, sysctl, state paths | – | in the key |
//! | checks, published ports, limits, comments, `recommends` | – (they are in no image) | – |
//! | environment, host name, network, umask, mounts of the sandbox | constants of [`BUILDER`] | – |
//! | host: kernel, clock, locale, time zone, users, files | kept out by the sandbox, scrubbed where they leak | – |
//!
//! **Accounts not foreseen.** Which accounts a script makes is known only after it ran. Two servers whose locks give such
//! an account different ids have the same key. Therefore a cached layer is taken only if every account in it has the id
//! of the lock at hand (`run` looks); otherwise the layer is built again. As an image is a function of the inputs above
//! and of the ids of exactly the accounts in it, what is taken is what would have been built.

use std::collections::{BTreeMap, BTreeSet};

use regrow_config::catalog::{CatalogEntry, Shortcut};
use regrow_config::{Catalog, FileKind, LockFile, RootContent, Server};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::accounts::Ids;

/// Version of everything that makes layers of packages: raise it when the same inputs may give another image.
pub const BUILDER: u32 = 1;
/// Version of everything that makes the last layer.
pub const APPLIER: u32 = 1;

/// What is to be done for an image, in order.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The server's name.
    pub server: String,
    /// Seconds since 1970 that stand for "now".
    pub epoch: i64,
    /// Debian architecture.
    pub architecture: String,
    /// Layers of packages, each on the one before.
    pub layers: Vec<PlanLayer>,
    /// The text, applied over the last of them.
    pub config: ConfigLayer,
    #[serde(skip)]
    pub(crate) ids: Ids,
}

/// A layer of packages.
#[derive(Debug, Clone, Serialize)]
pub struct PlanLayer {
    /// Its name in the lock.
    pub name: String,
    /// Hash of its inputs, in hex.
    pub key: String,
    /// Its packages, sorted by name.
    pub packages: Vec<PlanPackage>,
    /// What the catalog says about installing the packages so far.
    #[serde(skip)]
    pub(crate) hints: Hints,
}

/// One package of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanPackage {
    /// Its name.
    pub name: String,
    /// Debian version.
    pub version: String,
    /// Debian architecture, or `all`.
    pub architecture: String,
    /// SHA-256 of the package file, in hex.
    pub sha256: String,
}

/// The last layer.
#[derive(Debug, Clone, Serialize)]
pub struct ConfigLayer {
    /// Hash of its inputs, in hex.
    pub key: String,
    /// The text to apply.
    #[serde(skip)]
    pub(crate) server: Box<Server>,
    /// The catalog entries that apply to the image.
    #[serde(skip)]
    pub(crate) entries: Vec<CatalogEntry>,
}

/// What catalog entries say about installing packages, taken together.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Hints {
    /// Programs that do nothing while packages are configured.
    pub(crate) mask: BTreeSet<String>,
    /// Programs with a script standing in for them.
    pub(crate) replace: BTreeMap<String, String>,
    /// Scripts that do the same in less time.
    pub(crate) shortcut: BTreeMap<String, Shortcut>,
    /// Environment of the scripts.
    pub(crate) environment: BTreeMap<String, String>,
    /// Patterns of what must not stay.
    pub(crate) scrub: BTreeSet<String>,
    /// Paths that become links into the identity volume.
    pub(crate) identity: BTreeSet<String>,
    /// Accounts that the packages make.
    pub(crate) users: BTreeSet<String>,
    /// Groups that the packages make.
    pub(crate) groups: BTreeSet<String>,
}

impl Hints {
    fn of<'c>(entries: impl Iterator<Item = &'c CatalogEntry>) -> Hints {
        let mut hints = Hints::default();
        for entry in entries {
            hints.mask.extend(entry.build.mask.iter().cloned());
            hints.replace.extend(entry.build.replace.clone());
            hints.shortcut.extend(entry.build.shortcut.clone());
            hints.environment.extend(entry.build.environment.clone());
            hints.scrub.extend(entry.scrub.paths.iter().cloned());
            hints.identity.extend(entry.identity.keys().cloned());
            hints.users.extend(entry.users.iter().cloned());
            // A user's own group has its name.
            hints.groups.extend(entry.groups.iter().chain(&entry.users).cloned());
        }
        hints
    }
}

/// Plans the image of `server` with its lock.
pub fn plan(server: &Server, lock: &LockFile, catalog: &Catalog) -> Plan {
    let ids = Ids::of(lock);
    let mut layers: Vec<PlanLayer> = Vec::new();
    let mut present: BTreeSet<&str> = BTreeSet::new();
    for (index, layer) in lock.layers.iter().enumerate() {
        let packages: Vec<PlanPackage> = lock
            .packages
            .iter()
            .filter(|(_, p)| p.layer as usize == index)
            .map(|(name, p)| PlanPackage {
                name: name.clone(),
                version: p.version.clone(),
                architecture: p.architecture.clone(),
                sha256: p.sha256.clone(),
            })
            .collect();
        present.extend(lock.packages.iter().filter(|(_, p)| p.layer as usize == index).map(|(name, _)| name.as_str()));
        let hints = Hints::of(catalog.applying(|package| present.contains(package)));
        let mut key = Key::new("layer");
        key.add("builder", BUILDER.to_string());
        key.add("parent", layers.last().map_or("", |l: &PlanLayer| &l.key));
        key.add("epoch", lock.epoch.to_string());
        key.add("architecture", &lock.architecture);
        for package in &packages {
            key.add(
                "package",
                format!("{} {} {} {}", package.name, package.version, package.architecture, package.sha256),
            );
        }
        key.add("hints", json(&hints));
        for (kind, named, locked) in [("user", &hints.users, &ids.users), ("group", &hints.groups, &ids.groups)] {
            for name in named {
                if let Some(id) = locked.get(name) {
                    key.add(kind, format!("{name} {id}"));
                }
            }
        }
        layers.push(PlanLayer { name: layer.name.clone(), key: key.finish(), packages, hints });
    }
    let entries: Vec<CatalogEntry> = catalog.applying(|package| present.contains(package)).cloned().collect();
    let parent = layers.last().map_or("", |l| l.key.as_str());
    let config =
        ConfigLayer { key: config_key(server, lock, &entries, parent), server: Box::new(server.clone()), entries };
    Plan {
        server: server.name.clone(),
        epoch: lock.epoch,
        architecture: lock.architecture.clone(),
        layers,
        config,
        ids,
    }
}

fn config_key(server: &Server, lock: &LockFile, entries: &[CatalogEntry], parent: &str) -> String {
    let mut key = Key::new("config");
    key.add("applier", APPLIER.to_string());
    key.add("parent", parent);
    key.add("epoch", lock.epoch.to_string());
    key.add("architecture", &lock.architecture);
    key.add("users", json(&lock.users));
    key.add("groups", json(&lock.groups));
    for entry in entries {
        key.add("seeds", json(&(&entry.name, &entry.seed, &entry.identity)));
    }
    key.add("hostname", &server.system.hostname);
    key.add("timezone", &server.system.timezone);
    key.add("locale", &server.system.locale);
    key.add("services", json(&server.services));
    key.add("users-of-text", json(&server.users));
    key.add("groups-of-text", json(&server.groups));
    key.add("timers", json(&server.timers));
    key.add("sysctl", json(&server.sysctl));
    for state in server.state.values() {
        key.add("state", json(&state.paths));
    }
    for (path, file) in &server.files {
        // Where in the fleet the bytes were kept is not in the image.
        let (kind, content): (&str, &[u8]) = match &file.kind {
            FileKind::Regular { content, .. } => ("file", content),
            FileKind::Symlink { target } => ("symlink", target.as_bytes()),
            FileKind::Directory => ("directory", b""),
        };
        key.add("file", format!("{path} {kind} {:o} {} {}", file.mode, file.owner, file.group));
        key.add("content", content);
    }
    for (path, file) in &server.root_files {
        let (kind, content): (&str, &[u8]) = match &file.content {
            RootContent::Bytes(bytes) => ("file", bytes),
            RootContent::Symlink(target) => ("symlink", target.as_bytes()),
        };
        key.add("root", format!("{path} {kind} {:o}", file.mode));
        key.add("content", content);
    }
    key.finish()
}

/// JSON of maps and sets that are sorted already, so that equal values have equal text.
fn json(value: &impl Serialize) -> String {
    // Only maps with keys that are no strings can fail, and there are none here; a fault must not pass as an empty text.
    serde_json::to_string(value).unwrap_or_else(|e| format!("unserialisable: {e}"))
}

/// A hash over labelled values, each with its length, so that no two lists of inputs read alike.
struct Key(Sha256);

impl Key {
    fn new(kind: &str) -> Key {
        let mut key = Key(Sha256::new());
        key.add("regrow", kind);
        key
    }

    fn add(&mut self, label: &str, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.0.update((label.len() as u64).to_le_bytes());
        self.0.update(label);
        self.0.update((value.len() as u64).to_le_bytes());
        self.0.update(value);
    }

    fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }
}

#[cfg(test)]
mod tests;
