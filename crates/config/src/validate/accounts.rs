//! Users and groups: every name that is used is made by someone, every number has one name.

use std::collections::BTreeMap;

use super::Scene;
use crate::model::Server;
use crate::read::Report;
use crate::read::near::did_you_mean;

/// Users of every Debian system (package base-passwd) and those of systemd itself.
const USERS: &[&str] = &[
    "root",
    "daemon",
    "bin",
    "sys",
    "sync",
    "games",
    "man",
    "lp",
    "mail",
    "news",
    "uucp",
    "proxy",
    "www-data",
    "backup",
    "list",
    "irc",
    "_apt",
    "nobody",
    "messagebus",
    "systemd-network",
    "systemd-resolve",
    "systemd-timesync",
    "systemd-coredump",
];

/// Groups of every Debian system, and those of systemd and udev.
const GROUPS: &[&str] = &[
    "root",
    "daemon",
    "bin",
    "sys",
    "adm",
    "tty",
    "disk",
    "lp",
    "mail",
    "news",
    "uucp",
    "man",
    "proxy",
    "kmem",
    "dialout",
    "fax",
    "voice",
    "cdrom",
    "floppy",
    "tape",
    "sudo",
    "audio",
    "dip",
    "www-data",
    "backup",
    "operator",
    "list",
    "irc",
    "src",
    "shadow",
    "utmp",
    "video",
    "sasl",
    "plugdev",
    "staff",
    "games",
    "users",
    "nogroup",
    "messagebus",
    "systemd-journal",
    "systemd-network",
    "systemd-resolve",
    "systemd-timesync",
    "systemd-coredump",
    "input",
    "kvm",
    "render",
    "sgx",
    "clock",
    "netdev",
    "crontab",
];

#[derive(Clone, Copy, PartialEq)]
enum Sort {
    User,
    Group,
}

/// Names that are used: where, and of which sort.
fn used(server: &Server) -> Vec<(Vec<&str>, Sort, &str)> {
    let mut uses: Vec<(Vec<&str>, Sort, &str)> = Vec::new();
    for (path, file) in &server.files {
        uses.push((vec!["files", path, "owner"], Sort::User, &file.owner));
        uses.push((vec!["files", path, "group"], Sort::Group, &file.group));
    }
    for (name, timer) in &server.timers {
        uses.push((vec!["timers", name, "user"], Sort::User, &timer.user));
    }
    for (name, user) in &server.users {
        uses.extend(
            user.group.iter().map(|group| (vec!["users", name.as_str(), "group"], Sort::Group, group.as_str())),
        );
        uses.extend(user.groups.iter().map(|g| (vec!["users", name.as_str(), "groups"], Sort::Group, g.as_str())));
    }
    uses
}

pub(super) fn validate(scene: &mut Scene<'_>) {
    for (path, sort, name) in used(scene.server) {
        if !is_known(scene, sort, name) {
            report_unknown(scene, &path, sort, name);
        }
    }
    numbers(scene);
}

fn is_known(scene: &Scene<'_>, sort: Sort, name: &str) -> bool {
    let server = scene.server;
    let fixed = match sort {
        Sort::User => USERS.contains(&name) || server.users.contains_key(name),
        Sort::Group => {
            // A user without `group` brings a group of its own name.
            let own = server.users.get(name).is_some_and(|user| user.group.is_none());
            GROUPS.contains(&name) || server.groups.contains_key(name) || own
        }
    };
    fixed
        || scene.fleet.catalog.entries().any(|entry| {
            entry.users.iter().any(|n| n == name) || (sort == Sort::Group && entry.groups.iter().any(|n| n == name))
        })
        || scene.lock().is_some_and(|lock| match sort {
            Sort::User => lock.users.contains_key(name),
            Sort::Group => lock.groups.contains_key(name),
        })
}

fn report_unknown(scene: &mut Scene<'_>, path: &[&str], sort: Sort, name: &str) {
    let what = if sort == Sort::User { "user" } else { "group" };
    let (fixed, declared): (&[&str], Vec<&str>) = match sort {
        Sort::User => (USERS, scene.server.users.keys().map(String::as_str).collect()),
        Sort::Group => {
            (GROUPS, scene.server.groups.keys().chain(scene.server.users.keys()).map(String::as_str).collect())
        }
    };
    let catalog = scene.fleet.catalog.entries().flat_map(|e| &e.users).map(String::as_str);
    let help = did_you_mean(name, fixed.iter().copied().chain(declared).chain(catalog)).unwrap_or_else(|| {
        format!(
            "declare it: [{what}s.{name}]; if a package makes it, declare it too (system = true), so that its id stays"
        )
    });
    let message = format!("nothing is known to make the {what} `{name}`");
    // Of a list, the very element.
    let at = match scene.item(path).map(|item| &item.node.value) {
        Some(crate::read::Value::Array(elements)) => elements
            .iter()
            .find(|e| matches!(&e.value, crate::read::Value::String(s) if s == name))
            .map_or_else(|| scene.at(path), |e| e.at),
        _ => scene.at(path),
    };
    // Only a warning: a package's script may make it.
    scene.warning(at, Report::new("unknown-user", message).label("not known").help(help));
}

/// Numbers given in the text: each to one name, and in the range of its sort.
fn numbers(scene: &mut Scene<'_>) {
    let server = scene.server;
    let users: Vec<_> = server.users.iter().map(|(n, u)| (n.as_str(), u.uid, u.system)).collect();
    let groups: Vec<_> = server.groups.iter().map(|(n, g)| (n.as_str(), g.gid, g.system)).collect();
    for (table, key, accounts, fixed) in [("users", "uid", users, USERS), ("groups", "gid", groups, GROUPS)] {
        let mut taken: BTreeMap<u32, &str> = BTreeMap::new();
        for (name, id, system) in accounts {
            let Some(id) = id else { continue };
            let at = scene.at(&[table, name, key]);
            if fixed.contains(&name) {
                let report = Report::new("bad-value", format!("Debian itself gives `{name}` its id"));
                scene.error(at, report.help(format!("remove `{key}`")));
            } else if system != (id < 1000) {
                let message = match system {
                    true => format!("the system account `{name}` cannot have the id {id}: theirs are below 1000"),
                    false => format!("`{name}` has the id {id}, which is one for system accounts"),
                };
                let help = if system {
                    "leave the id to the lock"
                } else {
                    "add `system = true`, or leave the id to the lock"
                };
                scene.error(at, Report::new("bad-value", message).help(help));
            }
            if let Some(other) = taken.insert(id, name) {
                let message = format!("`{name}` and `{other}` have the same id {id}");
                let place = scene.place(&[table, other, key]);
                let report = Report::new("duplicate-id", message).label("given twice");
                scene.error(at, report.help(format!("the other is at {place}; leave one of them to the lock")));
            }
        }
    }
}
