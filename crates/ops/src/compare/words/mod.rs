//! Differences between typed models as sentences: "nginx starts at boot", "Port 8080 opens, 8081 closes".
//!
//! One module per kind of table. What no module has words for is told by [`fallback`] as "`x.y` 1 → 2", so that nothing
//! that differs is ever left out.

mod fallback;
mod files;
mod people;
mod software;
mod surroundings;

use std::collections::BTreeMap;

use regrow_config::{Catalog, Fleet, Server};
use regrow_history::PathChange;

pub(super) use software::of_locks;
pub(super) use surroundings::open_to;

/// What differs between two states of one server.
pub(super) fn of_server(old: &Server, new: &Server, catalog: &Catalog) -> Vec<String> {
    let mut words = Vec::new();
    roles(old, new, &mut words);
    surroundings::system(old, new, &mut words);
    software::packages(old, new, catalog, &mut words);
    software::services(old, new, &mut words);
    software::timers(old, new, &mut words);
    people::users(old, new, &mut words);
    people::groups(old, new, &mut words);
    files::declared(old, new, &mut words);
    files::root(old, new, &mut words);
    surroundings::network(old, new, &mut words);
    surroundings::sysctl(old, new, &mut words);
    surroundings::state(old, new, &mut words);
    surroundings::checks(old, new, &mut words);
    fallback::rest(old, new, &mut words);
    words
}

/// What differs between the accounts.
pub(super) fn accounts(old: &Server, new: &Server, words: &mut Vec<String>) {
    people::users(old, new, words);
    people::groups(old, new, words);
}

/// A server or a role that is new.
pub(super) fn new_object(kind: &str, name: &str, new: &Server) -> Vec<String> {
    let mut parts = Vec::new();
    let mut count = |n: usize, one: &str, many: &str| match n {
        0 => {}
        1 => parts.push(format!("1 {one}")),
        n => parts.push(format!("{n} {many}")),
    };
    count(new.packages.len(), "package", "packages");
    count(new.services.len(), "service", "services");
    count(new.users.len(), "user", "users");
    count(new.files.len() + new.root_files.len(), "file", "files");
    count(new.network.publish.len(), "open port", "open ports");
    count(new.timers.len(), "timer", "timers");
    count(new.state.len(), "state", "states");
    count(new.checks.len(), "check", "checks");
    let about = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    vec![format!("The {kind} {name} is new{about}")]
}

/// What concerns the whole fleet: archives, defaults, files of no server.
pub(super) fn fleet(old: &Fleet, new: &Fleet, paths: &[PathChange]) -> Vec<String> {
    let mut words = Vec::new();
    each(&old.archives, &new.archives, |name, change| match change {
        Change::Added(_) => words.push(format!("Packages also come from the archive {name}")),
        Change::Removed(_) => words.push(format!("Packages no longer come from the archive {name}")),
        Change::Both(old, new) => {
            if old.mirror != new.mirror {
                words.push(format!("The archive {name} is fetched from {}, not {}", new.mirror, old.mirror));
            }
            lists(&mut words, &format!("The archive {name}"), "suite", &old.suites, &new.suites);
            lists(&mut words, &format!("The archive {name}"), "component", &old.components, &new.components);
            if old.keyring != new.keyring {
                words.push(format!("The archive {name} is trusted by the keys in {}", new.keyring));
            }
        }
    });
    if old.defaults.architecture != new.defaults.architecture && !old.defaults.architecture.is_empty() {
        words.push(format!("The architecture {} → {}", old.defaults.architecture, new.defaults.architecture));
    }
    if old.defaults.recommends != new.defaults.recommends {
        words.push(recommends("Packages", new.defaults.recommends));
    }
    for change in paths {
        let name = change.path.strip_prefix("catalog/").and_then(|p| p.strip_suffix(".toml"));
        if let Some(name) = name {
            words.push(format!("What the catalog knows about {name} is {}", change.change));
        } else if !["regrow.toml"].contains(&&*change.path)
            && !change.path.starts_with("servers/")
            && !change.path.starts_with("roles/")
        {
            words.push(format!("{} is {}", change.path, change.change));
        }
    }
    words
}

fn recommends(who: &str, on: bool) -> String {
    if on {
        format!("{who} also bring what they recommend")
    } else {
        format!("{who} no longer bring what they recommend")
    }
}

fn roles(old: &Server, new: &Server, words: &mut Vec<String>) {
    let gone = |a: &Server, b: &Server| a.roles.iter().filter(|r| !b.roles.contains(r)).cloned().collect::<Vec<_>>();
    let (added, removed) = (gone(new, old), gone(old, new));
    words.extend(added.iter().map(|role| format!("It takes the role {role}")));
    words.extend(removed.iter().map(|role| format!("It gives up the role {role}")));
    if added.is_empty() && removed.is_empty() && old.roles != new.roles {
        words.push(format!("Its roles are now in the order {}", new.roles.join(", ")));
    }
    if old.recommends != new.recommends {
        words.push(recommends("Its packages", new.recommends));
    }
}

/// How one object differs.
enum Change<'a, T> {
    Added(&'a T),
    Removed(&'a T),
    Both(&'a T, &'a T),
}

/// Goes through what differs between two tables, by name.
fn each<T: PartialEq>(old: &BTreeMap<String, T>, new: &BTreeMap<String, T>, mut tell: impl FnMut(&str, Change<'_, T>)) {
    for name in
        old.keys().chain(new.keys().filter(|n| !old.contains_key(*n))).collect::<std::collections::BTreeSet<_>>()
    {
        match (old.get(name), new.get(name)) {
            (None, Some(new)) => tell(name, Change::Added(new)),
            (Some(old), None) => tell(name, Change::Removed(old)),
            (Some(old), Some(new)) if old != new => tell(name, Change::Both(old, new)),
            _ => {}
        }
    }
}

/// "WHO has the suite x" and "WHO no longer has the suite y" for two lists.
fn lists(words: &mut Vec<String>, who: &str, what: &str, old: &[String], new: &[String]) {
    for item in new.iter().filter(|i| !old.contains(i)) {
        words.push(format!("{who} has the {what} {item}"));
    }
    for item in old.iter().filter(|i| !new.contains(i)) {
        words.push(format!("{who} no longer has the {what} {item}"));
    }
}

/// A text on one line, cut where it gets long.
fn brief(text: &str) -> String {
    let line = text.trim_end().lines().next().unwrap_or_default();
    let mut out: String = line.chars().filter(|c| !c.is_control()).take(60).collect();
    if out.len() < text.trim_end().len() {
        out.push('…');
    }
    out
}

/// Bytes as people write them in the text: "512M".
fn memory(bytes: u64) -> String {
    for (shift, unit) in [(30, "G"), (20, "M"), (10, "K")] {
        if bytes >> shift > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}
