//! The users and groups that a package will make, as far as its files tell: `sysusers.d` and maintainer scripts.
//!
//! What is missed here gets its id from the build's own order of things; what is found too much only takes a number that
//! nobody uses. So reading scripts by their words is good enough: nothing of them is ever run.

mod scripts;
mod sysusers;

use std::collections::BTreeMap;
use std::path::Path;

use regrow_host::fs;
use serde::{Deserialize, Serialize};

use crate::deb::{Deb, Take};
use crate::error::Result;

/// Raised whenever more or other things are found in the same package.
const CACHE_VERSION: u32 = 1;

/// What a package makes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accounts {
    /// Users by name.
    pub users: BTreeMap<String, Account>,
    /// Groups by name.
    pub groups: BTreeMap<String, Account>,
    /// Users and groups that the system has from the beginning (base-passwd), by name.
    pub fixed_users: BTreeMap<String, u32>,
    /// Groups of the same kind.
    pub fixed_groups: BTreeMap<String, u32>,
}

/// One user or group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// The id that it must have, if any.
    pub id: Option<u32>,
}

impl Accounts {
    fn user(&mut self, name: &str, id: Option<u32>) {
        if is_name(name) {
            let user = self.users.entry(name.to_owned()).or_default();
            user.id = user.id.or(id);
        }
    }

    fn group(&mut self, name: &str, id: Option<u32>) {
        if is_name(name) {
            let group = self.groups.entry(name.to_owned()).or_default();
            group.id = group.id.or(id);
        }
    }

    /// Takes what another package makes.
    pub(crate) fn add(&mut self, other: Accounts) {
        for (name, account) in other.users {
            self.user(&name, account.id);
        }
        for (name, account) in other.groups {
            self.group(&name, account.id);
        }
        self.fixed_users.extend(other.fixed_users);
        self.fixed_groups.extend(other.fixed_groups);
    }
}

/// A name that a user or group can have.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[derive(Serialize, Deserialize)]
struct Cached {
    version: u32,
    accounts: Accounts,
}

/// [`scan`] with its answers kept in `cache`, by the package's digest.
pub(crate) fn scan_cached(deb: &Path, sha256: &str, cache: &Path) -> Result<Accounts> {
    let path = cache.join(format!("{sha256}.json"));
    if let Some(bytes) = fs::read_optional(&path)?
        && let Ok(Cached { version: CACHE_VERSION, accounts }) = serde_json::from_slice(&bytes)
    {
        return Ok(accounts);
    }
    let cached = Cached { version: CACHE_VERSION, accounts: scan(deb)? };
    if let Ok(bytes) = serde_json::to_vec(&cached) {
        fs::create_dir_all(cache)?;
        fs::write_atomic(&path, &bytes)?;
    }
    Ok(cached.accounts)
}

/// Reads what a package will make.
pub(crate) fn scan(deb: &Path) -> Result<Accounts> {
    let deb = Deb::new(deb);
    let mut accounts = Accounts::default();
    let mut listed = None;
    for entry in deb.control()? {
        let text = String::from_utf8_lossy(&entry.bytes);
        match entry.name.as_slice() {
            b"preinst" | b"postinst" | b"config" => scripts::read(&text, &mut accounts),
            b"md5sums" => {
                listed = Some(
                    text.lines().filter_map(|l| l.split_once("  ")).filter(|(_, p)| is_wanted(p.as_bytes())).count(),
                )
            }
            _ => {}
        }
    }
    // The list of files spares us unpacking what has nothing for us; only a package without one is searched through.
    if listed == Some(0) {
        return Ok(accounts);
    }
    let mut found = 0;
    let files = deb.data(&mut |name| {
        if listed.is_some_and(|n| found >= n) {
            return None;
        }
        let wanted = is_wanted(name);
        found += usize::from(wanted);
        Some(if wanted { Take::Yes } else { Take::No })
    })?;
    for file in files {
        let text = String::from_utf8_lossy(&file.bytes);
        match file.name.as_slice() {
            PASSWD => accounts.fixed_users.extend(fixed(&text)),
            GROUP => accounts.fixed_groups.extend(fixed(&text)),
            _ => sysusers::read(&text, &mut accounts),
        }
    }
    Ok(accounts)
}

const PASSWD: &[u8] = b"usr/share/base-passwd/passwd.master";
const GROUP: &[u8] = b"usr/share/base-passwd/group.master";

fn is_wanted(name: &[u8]) -> bool {
    name == PASSWD || name == GROUP || name.starts_with(b"usr/lib/sysusers.d/") && name.ends_with(b".conf")
}

/// The names and ids of a passwd or group file.
fn fixed(text: &str) -> Vec<(String, u32)> {
    let line = |l: &str| {
        let mut fields = l.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        is_name(name).then(|| (name.to_owned(), id))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_ids_are_read() {
        let text = "root:*:0:0:root:/root:/bin/bash\nnobody:*:65534:65534::/:/x\nbroken\n";
        assert_eq!(fixed(text), [("root".to_owned(), 0), ("nobody".to_owned(), 65534)]);
    }

    #[test]
    fn names() {
        for good in ["a", "_apt", "systemd-network", "Debian-exim".to_lowercase().as_str(), "www-data"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "1a", "a b", "a$", "$VAR", "a:b", "%u"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
