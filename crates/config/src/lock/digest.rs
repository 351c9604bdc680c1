//! What a lock was resolved from, as a digest.

use sha2::{Digest, Sha256};

use crate::model::{Fleet, Server};

/// Digest of everything that resolving and giving ids looks at; a lock with another one is stale.
///
/// In it: requested packages with versions and Recommends, architecture, the archives' names, suites and components,
/// and declared accounts with their numbers. Not in it: mirrors and keyrings (another mirror of the same archive has
/// the same packages) and everything that only the last layer uses.
pub fn inputs_digest(server: &Server, fleet: &Fleet) -> String {
    let mut hash = Fields(Sha256::new());
    hash.field(&["regrow lock inputs 1", &server.architecture, flag(server.recommends)]);
    for (name, archive) in &fleet.archives {
        hash.field(&["archive", name]);
        hash.list("suite", &archive.suites);
        hash.list("component", &archive.components);
    }
    for (name, package) in &server.packages {
        let recommends = package.recommends.map_or("", flag);
        hash.field(&["package", name, &package.version, recommends]);
    }
    for (name, user) in &server.users {
        let uid = user.uid.map(|n| n.to_string()).unwrap_or_default();
        hash.field(&["user", name, &uid, flag(user.system), user.group.as_deref().unwrap_or_default()]);
    }
    for (name, group) in &server.groups {
        let gid = group.gid.map(|n| n.to_string()).unwrap_or_default();
        hash.field(&["group", name, &gid, flag(group.system)]);
    }
    format!("sha256:{}", hex::encode(hash.0.finalize()))
}

fn flag(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

/// Fields with their lengths before them, so that no two inputs run together.
struct Fields(Sha256);

impl Fields {
    fn field(&mut self, words: &[&str]) {
        self.0.update((words.len() as u64).to_le_bytes());
        for word in words {
            self.0.update((word.len() as u64).to_le_bytes());
            self.0.update(word);
        }
    }

    fn list(&mut self, kind: &str, words: &[String]) {
        for word in words {
            self.field(&[kind, word]);
        }
    }
}
