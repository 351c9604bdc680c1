//! Packages, services, timers, and what locks say about packages.

use std::collections::BTreeMap;

use regrow_config::{Catalog, LockFile, Server};

use super::{Change, brief, each};

/// How people call a package: the catalog's title, if the package is what one adds to have it.
fn called(name: &str, catalog: &Catalog) -> String {
    let entry = catalog.entries().find(|e| e.packages.iter().any(|p| p == name) && !e.title.is_empty());
    entry.map_or(name, |e| &e.title).to_owned()
}

pub(super) fn packages(old: &Server, new: &Server, catalog: &Catalog, words: &mut Vec<String>) {
    each(&old.packages, &new.packages, |name, change| {
        let called = called(name, catalog);
        match change {
            Change::Added(p) => words.push(match p.exact() {
                Some(version) => format!("{called} is added, in exactly the version {version}"),
                None => format!("{called} is added"),
            }),
            Change::Removed(_) => words.push(format!("{called} is removed")),
            Change::Both(old, new) => {
                match (old.exact(), new.exact()) {
                    (old, new) if old == new => {}
                    (Some(old), Some(new)) => words.push(format!("{called} {old} → {new}")),
                    (None, Some(new)) => words.push(format!("{called} is held at exactly the version {new}")),
                    (_, None) => words.push(format!("{called} follows what the archives offer")),
                }
                if old.recommends != new.recommends {
                    words.push(match new.recommends {
                        Some(true) => format!("{called} also brings what it recommends"),
                        Some(false) => format!("{called} no longer brings what it recommends"),
                        None => format!("{called} brings what it recommends as the server says"),
                    });
                }
            }
        }
    });
}

pub(super) fn services(old: &Server, new: &Server, words: &mut Vec<String>) {
    each(&old.services, &new.services, |name, change| {
        let none = regrow_config::Service::default();
        let (old, new) = match change {
            Change::Added(new) => (&none, new),
            Change::Removed(old) => (old, &none),
            Change::Both(old, new) => (old, new),
        };
        let before = words.len();
        if old.masked != new.masked {
            words.push(if new.masked {
                format!("{name} cannot be started any more")
            } else {
                format!("{name} can be started again")
            });
        }
        if old.enabled != new.enabled {
            words.push(match (old.enabled, new.enabled) {
                (_, Some(true)) => format!("{name} starts at boot"),
                (_, Some(false)) => format!("{name} does not start at boot"),
                (_, None) => format!("{name} starts at boot if its package says so"),
            });
        }
        if old.r#override != new.r#override {
            words.push(match (&old.r#override, &new.r#override) {
                (None, Some(_)) => format!("{name} gets settings laid over its unit"),
                (Some(_), None) => format!("{name} loses the settings laid over its unit"),
                _ => format!("The settings laid over {name} change"),
            });
        }
        if before == words.len() && old != new {
            words.push(format!("The service {name} changes"));
        }
    });
}

pub(super) fn timers(old: &Server, new: &Server, words: &mut Vec<String>) {
    each(&old.timers, &new.timers, |name, change| match change {
        Change::Added(t) => words.push(format!("{name} runs {}: {}", t.on_calendar, brief(&t.command.join(" ")))),
        Change::Removed(_) => words.push(format!("{name} is not run at given times any more")),
        Change::Both(old, new) => {
            if old.on_calendar != new.on_calendar {
                words.push(format!("{name} runs {}, not {}", new.on_calendar, old.on_calendar));
            }
            if old.command != new.command {
                words.push(format!("{name} runs another command: {}", brief(&new.command.join(" "))));
            }
            if old.user != new.user {
                words.push(format!("{name} runs as {}, not {}", new.user, old.user));
            }
            if old.persistent != new.persistent {
                let not = if new.persistent { "" } else { "not " };
                words.push(format!("A run of {name} that was missed is {not}made up for"));
            }
        }
    });
}

/// A Debian version without epoch and Debian's own revision: what people know it by.
pub(crate) fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.rsplit_once('-').map_or(version, |(upstream, _)| upstream)
}

/// "17.2 → 17.4", in full where the short forms are equal.
fn step(old: &str, new: &str) -> String {
    let (short_old, short_new) = (upstream(old), upstream(new));
    if short_old == short_new { format!("{old} → {new}") } else { format!("{short_old} → {short_new}") }
}

/// How many packages are named one by one.
const NAMED: usize = 4;

/// What two locks say about packages: those asked for by name, the rest by number.
pub(crate) fn of_locks(
    (old, new): (Option<&LockFile>, Option<&LockFile>),
    (before, after): (Option<&Server>, Option<&Server>),
    catalog: &Catalog,
) -> Vec<String> {
    let (old, new) = match (old, new) {
        (Some(old), Some(new)) => (old, new),
        (None, Some(new)) => return vec![format!("Its {} packages are chosen and locked", new.packages.len())],
        (Some(_), None) => return vec!["It is not locked any more".to_owned()],
        (None, None) => return Vec::new(),
    };
    let asked = |name: &str| [before, after].into_iter().flatten().any(|s| s.packages.contains_key(name));
    let mut words = Vec::new();
    let versions = |lock: &LockFile| -> BTreeMap<String, String> {
        lock.packages.iter().map(|(name, p)| (name.clone(), p.version.clone())).collect()
    };
    let (mut added, mut removed, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    each(&versions(old), &versions(new), |name, change| match change {
        // Those that were asked for are told by the text.
        Change::Added(_) if asked(name) => {}
        Change::Removed(_) if asked(name) => {}
        Change::Added(_) => added.push(name.to_owned()),
        Change::Removed(_) => removed.push(name.to_owned()),
        Change::Both(old, new) if asked(name) => {
            // A name with its version in it says the same twice.
            words.push(format!("{} {}", called(name, catalog), step(old, new)));
        }
        Change::Both(old, new) => changed.push(format!("{name} {}", step(old, new))),
    });
    if (1..=NAMED).contains(&changed.len()) {
        words.append(&mut changed);
    }
    for (names, one, many) in
        [(changed, "changes", "change"), (added, "comes along", "come along"), (removed, "goes as well", "go as well")]
    {
        match names.len() {
            0 => {}
            1 => words.push(format!("1 further package {one}: {}", names[0])),
            n => words.push(format!("{n} further packages {many}: {}{}", names[..n.min(NAMED)].join(", "), more(n))),
        }
    }
    words
}

fn more(n: usize) -> &'static str {
    if n > NAMED { ", …" } else { "" }
}
