//! Who a changeset is by.

use regrow_host::fs;

use crate::error::Result;
use crate::git::{Git, person_config};

/// A name and an address, as git wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) email: String,
}

/// From the repository's configuration, else the person's, else user@host.
pub(crate) fn of(git: &Git) -> Result<Identity> {
    let (mut name, mut email) = pair(git.maybe(["config", "--local", "-z", "--get-regexp", ASKED])?);
    if name.is_none() || email.is_none() {
        let (theirs, address) = pair(person_config(ASKED)?);
        (name, email) = (name.or(theirs), email.or(address));
    }
    let user = user_name();
    let email = match email {
        Some(email) => email,
        None => format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy()),
    };
    Ok(Identity { name: clean(&name.unwrap_or(user)), email: clean(&email) })
}

const ASKED: &str = "^user\\.(name|email)$";

/// Name and address from what `git config -z --get-regexp` says; the last value of each counts.
fn pair(said: Option<String>) -> (Option<String>, Option<String>) {
    let said = said.unwrap_or_default();
    let find = |key: &str| {
        let mut lines = said.split('\0').filter_map(|line| line.split_once('\n'));
        lines.rfind(|(k, v)| *k == key && !v.is_empty()).map(|(_, v)| v.to_owned())
    };
    (find("user.name"), find("user.email"))
}

/// The login name of the process's user.
fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    found.unwrap_or_else(|| format!("uid{uid}"))
}

/// Git refuses names that hold nothing else than what it strips.
pub(crate) fn clean(text: &str) -> String {
    let cleaned: String = text.chars().filter(|c| !matches!(c, '<' | '>' | '\n' | '\0')).collect();
    if cleaned.trim().is_empty() { "unknown".to_owned() } else { cleaned }
}
