//! Users and groups.

use regrow_config::Server;

use super::{Change, each};

pub(super) fn users(old: &Server, new: &Server, words: &mut Vec<String>) {
    each(&old.users, &new.users, |name, change| match change {
        Change::Added(user) => {
            let mut means = Vec::new();
            if !user.ssh_keys.is_empty() {
                means.push(keys(user.ssh_keys.len()));
            }
            if user.password_hash.is_some() {
                means.push("a password".to_owned());
            }
            let kind = if user.system { "system account" } else { "user" };
            words.push(match &means[..] {
                [] => format!("The {kind} {name} is added"),
                means => format!("The {kind} {name} is added and may sign in with {}", means.join(" or ")),
            });
            words.extend(user.groups.iter().map(|group| format!("{name} belongs to {group}")));
        }
        Change::Removed(_) => words.push(format!("The user {name} is removed")),
        Change::Both(old, new) => {
            let come = new.ssh_keys.iter().filter(|k| !old.ssh_keys.contains(k)).count();
            let go = old.ssh_keys.iter().filter(|k| !new.ssh_keys.contains(k)).count();
            match (come, go) {
                (0, 0) => {}
                (n, 0) => words.push(format!("{name} may sign in with {} more", keys(n))),
                (0, n) if new.ssh_keys.is_empty() => {
                    words.push(format!("{name} may no longer sign in with a key ({n} removed)"));
                }
                (0, n) => words.push(format!("{name} may sign in with {} fewer", keys(n))),
                (come, go) => words.push(format!("{name} gets {} and loses {}", keys(come), keys(go))),
            }
            match (&old.password_hash, &new.password_hash) {
                (old, new) if old == new => {}
                (None, _) => words.push(format!("{name} may sign in with a password")),
                (_, None) => words.push(format!("{name} may no longer sign in with a password")),
                _ => words.push(format!("{name} gets another password")),
            }
            for group in new.groups.iter().filter(|g| !old.groups.contains(g)) {
                words.push(format!("{name} joins {group}"));
            }
            for group in old.groups.iter().filter(|g| !new.groups.contains(g)) {
                words.push(format!("{name} leaves {group}"));
            }
            if old.login_shell() != new.login_shell() {
                words.push(format!("{name} works in {}, not {}", new.login_shell(), old.login_shell()));
            }
            if old.home_of(name) != new.home_of(name) {
                words.push(format!("{name} is at home in {}, not {}", new.home_of(name), old.home_of(name)));
            }
            if old.group != new.group {
                let of = |group: &Option<String>| group.clone().unwrap_or_else(|| name.to_owned());
                words.push(format!("The primary group of {name} is {}, not {}", of(&new.group), of(&old.group)));
            }
            if old.uid != new.uid {
                words.push(format!("The number of {name} is {}", number(new.uid)));
            }
            if old.comment != new.comment {
                words.push(format!("{name} is described as {:?}", new.comment));
            }
            if old.system != new.system {
                words.push(format!("{name} becomes a {}", if new.system { "system account" } else { "user" }));
            }
        }
    });
}

pub(super) fn groups(old: &Server, new: &Server, words: &mut Vec<String>) {
    each(&old.groups, &new.groups, |name, change| match change {
        Change::Added(_) => words.push(format!("The group {name} is added")),
        Change::Removed(_) => words.push(format!("The group {name} is removed")),
        Change::Both(old, new) => {
            if old.gid != new.gid {
                words.push(format!("The number of the group {name} is {}", number(new.gid)));
            }
            if old.system != new.system {
                words.push(format!("The group {name} becomes a {}group", if new.system { "system " } else { "" }));
            }
        }
    });
}

fn keys(n: usize) -> String {
    if n == 1 { "one key".to_owned() } else { format!("{n} keys") }
}

fn number(id: Option<u32>) -> String {
    id.map_or_else(|| "given by the lock".to_owned(), |id| id.to_string())
}
