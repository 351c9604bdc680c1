//! Reading the two sides: only what the paths that differ reach, and of revisions nothing twice.
//!
//! A server's values follow from its own directory and from everything that servers share (roles, catalog, settings,
//! sources). Git names both by ids, so what was read of one revision stands for every other one with the same ids.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use regrow_config::{FileKind, Files, Fleet, LockFile, RootContent, Server};
use regrow_history::{PathChange, Revision};

use super::side::{self, Narrow, Text};
use crate::cache::Caches;
use crate::wanted::concerns;

/// Servers with larger files than this, together, are read each time.
const KEPT: usize = 64 << 10;

/// What must be read to know what some paths change.
#[derive(Debug)]
pub(super) struct Scope {
    /// The servers; all of them if none.
    pub(super) servers: Option<BTreeSet<String>>,
    /// The roles whose own files differ.
    pub(super) roles: BTreeSet<String>,
    /// Those with a path of their own that differs.
    pub(super) touched: BTreeSet<String>,
}

impl Scope {
    pub(super) fn of(paths: &[PathChange]) -> Scope {
        let mut touched = BTreeSet::new();
        let mut all = false;
        let mut roles = BTreeSet::new();
        for change in paths {
            let mut parts = change.path.split('/');
            match (parts.next(), parts.next(), parts.next()) {
                (Some("servers"), Some(server), Some(_)) => {
                    touched.insert(server.to_owned());
                }
                (Some("roles"), Some(file), None) => {
                    roles.extend(file.strip_suffix(".toml").map(str::to_owned));
                    all = true;
                }
                // Notes for people.
                (Some(file), None, None) if file != "regrow.toml" => {}
                // Archives, the catalog, and files that any server may take as a source.
                _ => all = true,
            }
        }
        Scope { servers: (!all).then(|| touched.clone()), roles, touched }
    }

    /// Looks at no more than `most` servers one by one: first those with paths of their own. Returns how many are left
    /// out of those that `all` has.
    pub(super) fn narrow(&mut self, all: &BTreeSet<String>, most: usize) -> usize {
        let reached = self.servers.as_ref().unwrap_or(all);
        if reached.len() <= most {
            return 0;
        }
        let others = reached.iter().filter(|s| !self.touched.contains(*s));
        let seen: BTreeSet<String> = self.touched.iter().chain(others).take(most).cloned().collect();
        let left = reached.len() - seen.len();
        self.servers = Some(seen);
        left
    }
}

/// A server as it was read.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) server: Server,
    /// Mistakes in its own files.
    mistakes: usize,
    /// What a lock must say to fit.
    inputs: OnceLock<String>,
}

/// One side, read.
pub(super) struct Loaded<'t> {
    text: &'t Text,
    files: Narrow<'t>,
    caches: &'t Caches,
    /// What servers share; it has no servers.
    pub(super) fleet: Arc<Fleet>,
    /// The servers that were asked for, and stand-ins of roles.
    servers: BTreeMap<String, Arc<Known>>,
    /// The names of all servers of the text.
    all: BTreeSet<String>,
    /// Mistakes outside of servers' files.
    mistakes: usize,
}

impl<'t> Loaded<'t> {
    pub(super) fn of(text: &'t Text, scope: &Scope, caches: &'t Caches) -> Loaded<'t> {
        let files = Narrow::new(text.files(), scope.servers.clone(), &scope.roles);
        let all = regrow_config::load_server_names(text.files()).unwrap_or_default().into_iter().collect();
        let mut loaded =
            Loaded { text, files, caches, fleet: Arc::default(), servers: BTreeMap::new(), all, mistakes: 0 };
        let Some((revision, shared)) = text.commit().and_then(|r| Some((r, shared_key(r)?))) else {
            loaded.read(scope.servers.clone(), &scope.roles, |_| None);
            return loaded;
        };
        let key = |name: &str| match side::role_of(name) {
            Some(role) => Some(format!("{shared} role {role}")),
            None => Some(format!("{shared} {} {name}", revision.object_id(&format!("servers/{name}"))?)),
        };
        let mut missing = BTreeSet::new();
        let asked = loaded.all.iter().filter(|n| scope.servers.as_ref().is_none_or(|s| s.contains(*n)));
        let asked = asked.cloned().chain(scope.roles.iter().map(|role| side::stand_in(role)));
        for name in asked.collect::<Vec<_>>() {
            match key(&name).and_then(|key| caches.servers.get(&key)) {
                Some(known) => {
                    loaded.servers.insert(name, known);
                }
                None => {
                    missing.insert(name);
                }
            }
        }
        match caches.shared.get(&shared) {
            Some(fleet) if missing.is_empty() => loaded.fleet = fleet,
            _ => {
                let roles = missing.iter().filter_map(|n| side::role_of(n)).map(str::to_owned).collect();
                let real = missing.into_iter().filter(|n| side::role_of(n).is_none()).collect();
                loaded.read(Some(real), &roles, key);
                // What has mistakes that may be of others is told right only when all is read together.
                if loaded.mistakes == 0 {
                    caches.shared.put(&shared, loaded.fleet.clone());
                }
            }
        }
        loaded
    }

    /// Reads these servers and remembers each by its key.
    fn read(&mut self, only: Option<BTreeSet<String>>, roles: &BTreeSet<String>, key: impl Fn(&str) -> Option<String>) {
        let (mut fleet, diagnostics) = regrow_config::load_fleet(&Narrow::new(self.text.files(), only, roles));
        self.mistakes = diagnostics.iter().filter(|d| d.is_error() && !d.file.starts_with("servers/")).count();
        for (name, server) in std::mem::take(&mut fleet.servers) {
            let own = |file: &str| file.starts_with("servers/") && concerns(file, &name);
            let mistakes = diagnostics.iter().filter(|d| d.is_error() && own(&d.file)).count();
            let small = weight(&server) <= KEPT;
            let known = Arc::new(Known { server, mistakes, inputs: OnceLock::new() });
            if small
                && self.mistakes == 0
                && let Some(key) = key(&name)
            {
                self.caches.servers.put(&key, known.clone());
            }
            self.servers.insert(name, known);
        }
        self.fleet = Arc::new(fleet);
    }

    /// The names of the servers, and of stand-ins.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.servers.keys()
    }

    pub(super) fn server(&self, name: &str) -> Option<&Server> {
        self.servers.get(name).map(|known| &known.server)
    }

    /// Whether the text has this server, read or not.
    pub(super) fn has(&self, server: &str) -> bool {
        self.all.contains(server)
    }

    /// Whether a server, read or not, takes this role.
    pub(super) fn takes(&self, server: &str, role: &str) -> bool {
        if let Some(known) = self.servers.get(server) {
            return known.server.roles.iter().any(|r| r == role);
        }
        if !self.has(server) {
            return false;
        }
        let read = || Arc::<[String]>::from(regrow_config::load_role_names(self.text.files(), server));
        let id = self.text.commit().and_then(|r| r.object_id(&format!("servers/{server}")));
        let Some(id) = id else { return read().iter().any(|r| r == role) };
        let known = self.caches.roles.get(&id).unwrap_or_else(|| {
            let found = read();
            self.caches.roles.put(&id, found.clone());
            found
        });
        known.iter().any(|r| r == role)
    }

    pub(super) fn lock(&self, server: &str) -> Option<LockFile> {
        regrow_config::load_lock(&self.files, server).ok().flatten()
    }

    /// Whether there is a lock that fits the text.
    pub(super) fn is_locked(&self, server: &str) -> bool {
        let Some(known) = self.servers.get(server) else { return false };
        let inputs = known.inputs.get_or_init(|| regrow_config::inputs_digest(&known.server, &self.fleet));
        self.lock_inputs(server).is_some_and(|lock| *lock == **inputs)
    }

    /// What the lock was made of; `None` if there is none, or it is damaged.
    fn lock_inputs(&self, server: &str) -> Option<Arc<str>> {
        let read = || self.lock(server).map(|lock| Arc::<str>::from(lock.inputs));
        let Some(revision) = self.text.commit() else { return read() };
        let id = revision.object_id(&format!("servers/{server}/lock.toml"))?;
        if let Some(known) = self.caches.lock_inputs.get(&id) {
            return known;
        }
        let found = read();
        self.caches.lock_inputs.put(&id, found.clone());
        found
    }

    pub(super) fn mistakes(&self, server: &str) -> usize {
        self.mistakes + self.servers.get(server).map_or(0, |known| known.mistakes)
    }
}

/// What names everything that servers share, in one revision; `None` if it cannot be told.
fn shared_key(revision: &Revision) -> Option<String> {
    let mut key = String::new();
    for entry in revision.list("").ok()?.into_iter().filter(|e| e.name != "servers") {
        key.push_str(&format!("{:?} {} ", entry.name, revision.object_id(&entry.name)?));
    }
    Some(key)
}

/// The bytes of its files.
fn weight(server: &Server) -> usize {
    let declared = server.files.values().map(|f| match &f.kind {
        FileKind::Regular { content, .. } => content.len(),
        _ => 0,
    });
    let root = server.root_files.values().map(|f| match &f.content {
        RootContent::Bytes(bytes) => bytes.len(),
        RootContent::Symlink(_) => 0,
    });
    declared.sum::<usize>() + root.sum::<usize>()
}
