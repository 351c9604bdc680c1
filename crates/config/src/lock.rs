//! `lock.toml`: exact packages, ids and layers of one server. Machine-written, one line per package, so that git shows
//! what changed; the same lock always has the same text.

mod digest;
mod read;
mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use digest::inputs_digest;

/// The way out when a lock is damaged.
pub(crate) const RESTORE_HELP: &str =
    "take the last good one from git (git checkout -- PATH), or remove it and lock again; ids are lost with it";

/// The first line of every lock.
pub(crate) const HEADER: &str =
    "# Written by `regrow lock`: exact packages and ids. Do not edit; ids must never change.\n";

/// The last line of every lock: without it, the file was cut short.
pub(crate) const FOOTER: &str = "# end\n";

/// The form of lock this program writes.
pub const SCHEMA: u32 = 1;

/// What a server is built from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LockFile {
    /// Form of the lock, [`SCHEMA`].
    pub schema: u32,
    /// Digest of what was resolved ([`inputs_digest`]); another one means that the lock is stale.
    pub inputs: String,
    /// Seconds since 1970 that stand for "now" in the build (SOURCE_DATE_EPOCH): the newest date of the suites.
    pub epoch: i64,
    /// Debian architecture.
    pub architecture: String,
    /// The suites' indexes, by `archive/suite`.
    pub suites: BTreeMap<String, LockedSuite>,
    /// Layers in order; the first is "base".
    pub layers: Vec<Layer>,
    /// User ids by name: only ever added, never reused.
    pub users: BTreeMap<String, u32>,
    /// Group ids by name: only ever added, never reused.
    pub groups: BTreeMap<String, u32>,
    /// Packages by name.
    pub packages: BTreeMap<String, LockedPackage>,
}

/// The state of one suite when the lock was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedSuite {
    /// The `Date` of its Release file, as written there.
    pub date: String,
    /// SHA-256 of its InRelease file, in hex.
    pub sha256: String,
}

/// One exact package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedPackage {
    /// Debian version.
    pub version: String,
    /// Debian architecture of the package, or `all`.
    pub architecture: String,
    /// The archive's name in regrow.toml.
    pub archive: String,
    /// Path below the mirror's address; no host.
    pub file: String,
    /// Size of the .deb in bytes.
    pub size: u64,
    /// SHA-256 of the .deb, in hex.
    pub sha256: String,
    /// Index into [`LockFile::layers`].
    pub layer: u32,
}

/// One layer: what was asked for when it was added.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Layer {
    /// "base", then "packages", then one per later addition.
    pub name: String,
    /// The requested packages whose closure it holds.
    pub requested: Vec<String>,
}

impl LockFile {
    /// Reads a lock. Any damage is a diagnostic naming the place; `path` is used in it.
    pub fn parse(path: &str, text: &str) -> Result<LockFile, Box<crate::Diagnostic>> {
        read::parse(path, text)
    }

    /// The one text of this lock.
    pub fn to_text(&self) -> String {
        write::to_text(self)
    }
}

#[cfg(test)]
mod tests;
