//! The whole fleet and `regrow.toml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Server;
use crate::Catalog;
use crate::read::SchemaVersion;
use crate::read::rules::{Architecture, Component, KeyringPath, MirrorUrl, ObjectName, SuiteName};
use crate::read::table;

/// Signed archives by the name the fleet gives them ("debian", "security").
pub type Archives = BTreeMap<String, Archive>;

/// Everything a fleet says.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// Where packages come from.
    pub archives: Archives,
    /// What holds for servers that do not say otherwise.
    pub defaults: Defaults,
    /// Servers by name, each with its roles merged under it.
    pub servers: BTreeMap<String, Server>,
    /// Roles by name.
    pub roles: BTreeMap<String, Role>,
    /// What is known about services: the built-in knowledge, overlaid by the fleet's own `catalog/`.
    pub catalog: Catalog,
}

/// A role: where it is and who uses it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its file, relative to the fleet.
    pub path: String,
    /// Servers that name it.
    pub servers: Vec<String>,
}

table! {
    /// The fleet's `regrow.toml`.
    pub struct FleetText {
        /// Version of this form of text.
        [required] schema: u32 as SchemaVersion = 1,
        /// Signed Debian archives by a name of your choice.
        archives: BTreeMap<String, Archive> as BTreeMap<ObjectName, Archive>,
        /// What holds for servers that do not say otherwise.
        defaults: Defaults as Defaults,
    }
}

table! {
    /// One signed Debian archive.
    pub struct Archive {
        /// Its address, up to and without `/dists`.
        [required] mirror: String as MirrorUrl,
        /// Suites to take packages from.
        [required set] suites: Vec<String> as Vec<SuiteName>,
        /// Components.
        [set] components: Vec<String> as Vec<Component> = vec!["main".to_owned()],
        /// File of public keys on the host that indexes must be signed with.
        [required] keyring: String as KeyringPath,
    }
}

table! {
    /// What holds for servers that do not say otherwise.
    pub struct Defaults {
        /// Debian architecture.
        architecture: String as Architecture = "amd64".to_owned(),
        /// Whether packages bring what they recommend.
        recommends: bool as bool,
    }
}
