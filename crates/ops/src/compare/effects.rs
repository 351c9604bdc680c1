//! What comes of a difference: packages, files, units, ports, accounts, state, interruption, the image.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use regrow_config::{Catalog, FileKind, LockFile, RootContent, Server, Service};
use serde::Serialize;

use super::words::open_to;
use crate::context::Context;
use crate::error::Result;
use crate::evidence;

/// What comes of a difference, for one server.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Effects {
    /// Packages that differ between the locks, by name. Empty too if the newer lock is missing or stale.
    pub packages: Vec<PackageEffect>,
    /// Bytes of the packages that the newer side adds or replaces: what is fetched at most.
    pub download: u64,
    /// Files of the text that differ, by path.
    pub files: Vec<FileEffect>,
    /// Units that the difference touches, by name. Every other unit starts anew with the server, too.
    pub restarts: Vec<UnitEffect>,
    /// Published ports that differ.
    pub ports: Vec<PortEffect>,
    /// Accounts that differ, in words.
    pub users: Vec<String>,
    /// Paths with data that outlives images, and that the difference touches.
    pub state: Vec<String>,
    /// Seconds without answers to expect at a switch: the middle one of the former switches. Unknown before the first.
    pub interruption: Option<f64>,
    /// Of how many former switches that is the middle.
    pub interruption_of: usize,
    /// Why the difference can lock people out: ports, SSH, accounts. Empty if it cannot.
    pub access_critical: Vec<String>,
}

/// A package that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageEffect {
    /// Its name.
    pub name: String,
    /// Its version before; `None` if it is new.
    pub before: Option<String>,
    /// Its version after; `None` if it goes.
    pub after: Option<String>,
    /// The size of its file in bytes: of the newer version, else of the one that goes.
    pub size: u64,
}

/// A file of the text that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileEffect {
    /// The path in the server.
    pub path: String,
    /// `written`, `changed` or `removed`.
    pub change: &'static str,
}

/// A unit that the difference touches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UnitEffect {
    /// The unit, as people write it.
    pub unit: String,
    /// `starts`, `stops` or `restarts`.
    pub does: &'static str,
    /// Why: "its package changes".
    pub why: String,
}

/// A published port that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortEffect {
    /// Where the host listens.
    pub host: SocketAddr,
    /// The port inside.
    pub inside: u16,
    /// `opens`, `closes` or `leads elsewhere`.
    pub change: &'static str,
    /// Who can reach it: `this machine` or `other machines`.
    pub reach: &'static str,
}

impl Effects {
    /// Whether there are none (interruption aside).
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
            && self.files.is_empty()
            && self.restarts.is_empty()
            && self.ports.is_empty()
            && self.users.is_empty()
            && self.state.is_empty()
    }

    /// Between two states of a server; a side without a server has nothing in it. A missing lock tells nothing about
    /// packages.
    pub(super) fn of(
        old: Option<&Server>,
        new: Option<&Server>,
        locks: (Option<&LockFile>, Option<&LockFile>),
        catalog: &Catalog,
    ) -> Effects {
        let nothing = Server::default();
        let gone = new.is_none();
        let (old, new) = (old.unwrap_or(&nothing), new.unwrap_or(&nothing));
        let (packages, download) = match locks {
            (old, Some(new)) => packages(old, Some(new)),
            (Some(old), None) if gone => packages(Some(old), None),
            _ => Default::default(),
        };
        let mut effects = Effects { packages, download, files: files(old, new), ..Effects::default() };
        effects.ports = ports(old, new);
        effects.users = users(old, new);
        effects.state = state(old, new);
        effects.restarts = units(old, new, &effects, catalog);
        effects.access_critical = access(old, new, &effects);
        effects
    }

    /// With what the former switches say about the next.
    pub(super) fn with_interruption(mut self, switches: &[f64]) -> Effects {
        let mut seconds = switches.to_vec();
        seconds.sort_by(f64::total_cmp);
        self.interruption = seconds.get(seconds.len() / 2).copied();
        self.interruption_of = seconds.len();
        self
    }
}

/// How long the last switches of a server interrupted it, in seconds.
pub(super) fn switches(ctx: &Context, server: &str) -> Result<Vec<f64>> {
    evidence::interruptions(ctx, server, SWITCHES)
}

/// How many former switches are looked at.
const SWITCHES: usize = 5;

fn packages(old: Option<&LockFile>, new: Option<&LockFile>) -> (Vec<PackageEffect>, u64) {
    let none = BTreeMap::new();
    let (old, new) = (old.map_or(&none, |l| &l.packages), new.map_or(&none, |l| &l.packages));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut found = Vec::new();
    let mut download = 0;
    for name in names {
        let (before, after) = (old.get(name), new.get(name));
        if before.map(|p| &p.version) == after.map(|p| &p.version) {
            continue;
        }
        download += after.map_or(0, |p| p.size);
        found.push(PackageEffect {
            name: name.clone(),
            before: before.map(|p| p.version.clone()),
            after: after.map(|p| p.version.clone()),
            size: after.or(before).map_or(0, |p| p.size),
        });
    }
    (found, download)
}

fn files(old: &Server, new: &Server) -> Vec<FileEffect> {
    let mut found = BTreeMap::new();
    let mut tell = |path: &String, before: bool, after: bool, same: bool| {
        let change = match (before, after) {
            (true, true) if same => return,
            (true, true) => "changed",
            (false, _) => "written",
            (true, false) => "removed",
        };
        found.insert(path.clone(), change);
    };
    for path in old.files.keys().chain(new.files.keys()) {
        let (a, b) = (old.files.get(path), new.files.get(path));
        // The same bytes from another place in the text are no difference in the server.
        let same = match (a, b) {
            (Some(a), Some(b)) => {
                let bytes = |kind: &FileKind| match kind {
                    FileKind::Regular { content, .. } => FileKind::Regular { content: content.clone(), source: None },
                    other => other.clone(),
                };
                (bytes(&a.kind), a.mode, &a.owner, &a.group) == (bytes(&b.kind), b.mode, &b.owner, &b.group)
            }
            _ => false,
        };
        tell(path, a.is_some(), b.is_some(), same);
    }
    for path in old.root_files.keys().chain(new.root_files.keys()) {
        let (a, b) = (old.root_files.get(path), new.root_files.get(path));
        let value = |f: &regrow_config::RootFile| -> (RootContent, u32) { (f.content.clone(), f.mode) };
        tell(path, a.is_some(), b.is_some(), a.map(value) == b.map(value));
    }
    found.into_iter().map(|(path, change)| FileEffect { path, change }).collect()
}

fn ports(old: &Server, new: &Server) -> Vec<PortEffect> {
    let by_host =
        |s: &Server| -> BTreeMap<SocketAddr, u16> { s.network.publish.iter().map(|p| (p.host, p.port)).collect() };
    let (old, new) = (by_host(old), by_host(new));
    let hosts: BTreeSet<&SocketAddr> = old.keys().chain(new.keys()).collect();
    let mut found = Vec::new();
    for host in hosts {
        let (change, inside) = match (old.get(host), new.get(host)) {
            (None, Some(inside)) => ("opens", inside),
            (Some(inside), None) => ("closes", inside),
            (Some(a), Some(b)) if a != b => ("leads elsewhere", b),
            _ => continue,
        };
        found.push(PortEffect { host: *host, inside: *inside, change, reach: open_to(host) });
    }
    found
}

fn users(old: &Server, new: &Server) -> Vec<String> {
    let mut words = Vec::new();
    super::words::accounts(old, new, &mut words);
    words
}

fn state(old: &Server, new: &Server) -> Vec<String> {
    let paths = |s: &Server| -> BTreeMap<String, regrow_config::State> {
        s.state.values().flat_map(|state| state.paths.iter().map(|p| (p.clone(), state.clone()))).collect()
    };
    let (a, b) = (paths(old), paths(new));
    let mut touched: BTreeSet<String> =
        a.keys().chain(b.keys()).filter(|path| a.get(*path) != b.get(*path)).cloned().collect();
    // Files of the text that lie in data which is kept.
    let inside =
        |path: &String, dir: &String| path.strip_prefix(dir.as_str()).is_some_and(|rest| rest.starts_with('/'));
    let differing = files(old, new);
    touched.extend(b.keys().filter(|dir| differing.iter().any(|f| inside(&f.path, dir))).cloned());
    touched.into_iter().collect()
}

fn units(old: &Server, new: &Server, effects: &Effects, catalog: &Catalog) -> Vec<UnitEffect> {
    let mut found: BTreeMap<String, (&'static str, String)> = BTreeMap::new();
    let none = Service::default();
    for name in old.services.keys().chain(new.services.keys()) {
        let (a, b) = (old.services.get(name).unwrap_or(&none), new.services.get(name).unwrap_or(&none));
        if a == b {
            continue;
        }
        let (runs_before, runs_after) = (a.enabled != Some(false) && !a.masked, b.enabled != Some(false) && !b.masked);
        let (does, why) = match (runs_before, runs_after) {
            (true, false) => ("stops", if b.masked { "it is masked" } else { "it is disabled" }),
            (false, true) => ("starts", "it is enabled"),
            _ if a.enabled != b.enabled && b.enabled == Some(true) => ("starts", "it is enabled"),
            _ if a.r#override != b.r#override => ("restarts", "its settings change"),
            _ => continue,
        };
        found.insert(short(name), (does, why.to_owned()));
    }
    for name in old.timers.keys().chain(new.timers.keys()) {
        let does = match (old.timers.get(name), new.timers.get(name)) {
            (None, Some(_)) => "starts",
            (Some(_), None) => "stops",
            (a, b) if a != b => "restarts",
            _ => continue,
        };
        found.entry(format!("{name}.timer")).or_insert((does, "the text says so".to_owned()));
    }
    for entry in catalog.entries() {
        let package =
            effects.packages.iter().find(|p| entry.packages.contains(&p.name) || entry.applies_to.contains(&p.name));
        let text = effects.files.iter().find(|f| {
            let mut parts = f.path.trim_start_matches('/').split('/');
            parts.next() == Some("etc") && parts.next().is_some_and(|dir| dir == entry.name)
        });
        let (does, why) = match (package, text) {
            (Some(p), _) if p.before.is_none() => ("starts", format!("{} is added", p.name)),
            (Some(p), _) if p.after.is_none() => ("stops", format!("{} is removed", p.name)),
            (Some(p), _) => ("restarts", format!("{} changes", p.name)),
            (None, Some(file)) => ("restarts", format!("{} is {}", file.path, file.change)),
            (None, None) => continue,
        };
        for unit in &entry.units {
            found.entry(short(unit)).or_insert((does, why.clone()));
        }
    }
    found.into_iter().map(|(unit, (does, why))| UnitEffect { unit, does, why }).collect()
}

/// `nginx` and `nginx.service` are one.
fn short(unit: &str) -> String {
    unit.strip_suffix(".service").unwrap_or(unit).to_owned()
}

/// Why people may find themselves locked out.
fn access(old: &Server, new: &Server, effects: &Effects) -> Vec<String> {
    let mut why = Vec::new();
    if !effects.ports.is_empty() {
        why.push("published ports change".to_owned());
    }
    let is_ssh = |name: &str| ["ssh", "sshd", "openssh-server"].contains(&name);
    if effects.packages.iter().any(|p| is_ssh(&p.name))
        || effects.restarts.iter().any(|u| is_ssh(&u.unit))
        || effects.files.iter().any(|f| f.path.starts_with("/etc/ssh/"))
        || old.packages.contains_key("openssh-server") != new.packages.contains_key("openssh-server")
    {
        why.push("SSH changes".to_owned());
    }
    if !effects.users.is_empty() {
        why.push("accounts change".to_owned());
    }
    let sudo = |path: &str| {
        ["/etc/sudoers", "/etc/pam.d/", "/etc/passwd", "/etc/nsswitch.conf"].iter().any(|p| path.starts_with(p))
    };
    if effects.files.iter().any(|f| sudo(&f.path)) {
        why.push("files decide who may do what".to_owned());
    }
    why
}
