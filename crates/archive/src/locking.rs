//! From a server's text to its lock: resolve, download, put packages into layers, give out ids.

use std::collections::{BTreeMap, BTreeSet};

use regrow_config::lock::{Layer, LockFile, LockedPackage, LockedSuite, SCHEMA};
use regrow_config::{Fleet, Server, inputs_digest};
use regrow_host::progress::{Progress, step};
use serde::Serialize;

use crate::archive::Archive;
use crate::deb::Deb;
use crate::debs;
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::ids;
use crate::index::{self, Index};
use crate::release::Release;
use crate::solve::{self, Choice, Request, Resolution, Wanted};
use crate::universe::Universe;

/// What a new lock changes against the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Packages that are new.
    pub added: Vec<String>,
    /// Packages that are gone.
    pub removed: Vec<String>,
    /// Packages in another version, also an earlier one.
    pub upgraded: Vec<Upgraded>,
}

/// A package in another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upgraded {
    /// Its name.
    pub name: String,
    /// The version locked before.
    pub from: String,
    /// The version locked now.
    pub to: String,
}

impl Changes {
    /// Whether the packages are the same.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.upgraded.is_empty()
    }

    fn between(before: Option<&LockFile>, after: &LockFile) -> Changes {
        let nothing = BTreeMap::new();
        let before = before.map_or(&nothing, |l| &l.packages);
        let upgraded = after.packages.iter().filter_map(|(name, now)| {
            let then = before.get(name).filter(|then| then.version != now.version)?;
            Some(Upgraded { name: name.clone(), from: then.version.clone(), to: now.version.clone() })
        });
        Changes {
            added: after.packages.keys().filter(|n| !before.contains_key(*n)).cloned().collect(),
            removed: before.keys().filter(|n| !after.packages.contains_key(*n)).cloned().collect(),
            upgraded: upgraded.collect(),
        }
    }
}

impl Archive {
    /// The lock of a server, with every package of it in the store.
    ///
    /// Works from the verified indexes on this machine; where there are none yet it refreshes first. `previous` keeps
    /// what is locked: packages stay in their versions (unless `upgrade`, or something needs another one) and in their
    /// layers, ids stay for ever. If what the lock is made from has not changed, the answer is `previous` itself.
    ///
    /// # Errors
    /// [`Error::Unsolvable`] in words, or what went wrong with an archive; `previous` then stays what holds.
    pub fn lock(
        &self,
        server: &Server,
        fleet: &Fleet,
        previous: Option<&LockFile>,
        upgrade: bool,
        progress: &dyn Progress,
    ) -> Result<(LockFile, Changes)> {
        let inputs = inputs_digest(server, fleet);
        if let Some(previous) = previous.filter(|p| !upgrade && p.inputs == inputs && p.schema == SCHEMA) {
            self.fetch(previous, progress)?;
            return Ok((previous.clone(), Changes::default()));
        }
        let previous = previous.filter(|p| p.architecture == self.architecture);
        let universe = match self.universe() {
            Err(Error::NoIndex { .. }) => {
                self.refresh(progress)?;
                self.universe()?
            }
            other => other?,
        };
        let universe = self.with_stored(universe, previous.filter(|_| !upgrade));
        let resolving = step(progress, "resolve", "choosing packages");
        let requested: Vec<Wanted> = server
            .packages
            .iter()
            .map(|(name, p)| Wanted {
                name: name.clone(),
                version: p.exact().map(str::to_owned),
                recommends: p.recommends,
            })
            .collect();
        let request = Request { requested: &requested, recommends: server.recommends, previous, upgrade };
        let resolution = solve::resolve(&universe, &request)?;
        resolving.finish(format!("{} packages", resolution.packages.len()));

        let mut lock = LockFile {
            schema: SCHEMA,
            inputs,
            epoch: 0,
            architecture: self.architecture.clone(),
            suites: suites(&universe),
            users: previous.map(|p| p.users.clone()).unwrap_or_default(),
            groups: previous.map(|p| p.groups.clone()).unwrap_or_default(),
            ..LockFile::default()
        };
        put_into_layers(&mut lock, &resolution, &requested, previous);
        match previous {
            Some(p) if p.packages == lock.packages => (lock.epoch, lock.suites) = (p.epoch, p.suites.clone()),
            _ => {
                let newest =
                    universe.members.iter().filter(|m| !m.suite.is_empty()).map(|m| m.loaded.release.date).max();
                lock.epoch = newest.unwrap_or_default().max(previous.map_or(0, |p| p.epoch));
            }
        }
        let paths = self.fetch(&lock, progress)?;
        let giving = step(progress, "ids", "reading users and groups of the packages");
        let before = (lock.users.len(), lock.groups.len());
        ids::give(&mut lock, server, &fleet.catalog, &paths, &self.accounts_cache())?;
        let new = (lock.users.len() - before.0, lock.groups.len() - before.1);
        giving.finish(format!("{} new user ids, {} new group ids", new.0, new.1));
        let changes = Changes::between(previous, &lock);
        Ok((lock, changes))
    }

    /// Chooses the packages that fulfil a request, from the verified indexes on this machine; nothing is downloaded.
    ///
    /// # Errors
    /// [`Error::Unsolvable`] says in words why there is no choice; [`Error::NoIndex`] before the first refresh.
    pub fn resolve(&self, request: &Request<'_>) -> Result<Resolution> {
        let universe = self.with_stored(self.universe()?, request.previous.filter(|_| !request.upgrade));
        solve::resolve(&universe, request)
    }

    /// Adds what is locked and in our store, but in no suite any more: an archive moving on is no reason to upgrade.
    fn with_stored(&self, mut universe: Universe, previous: Option<&LockFile>) -> Universe {
        let mut text = String::new();
        for (name, package) in previous.into_iter().flat_map(|p| &p.packages) {
            let known = universe.versions(name).iter().any(|id| universe.record(*id).version() == package.version);
            if !known {
                text.extend(self.stored_paragraph(package));
            }
        }
        if text.is_empty() {
            return universe;
        }
        let nothing = Sha256([0; 32]);
        let compiled = index::compile(&[&text], &self.architecture, nothing);
        if let Some(index) = compiled.ok().and_then(|made| Index::load(made.index, nothing)) {
            universe.add_stored(index, Release::unpublished());
        }
        universe
    }

    /// The paragraph that an index would have for a locked package, from the package itself. `None` if that is not to
    /// be had: then the package cannot stay as it is.
    fn stored_paragraph(&self, package: &LockedPackage) -> Option<String> {
        let path = debs::path(&self.debs(), &Sha256::parse(&package.sha256)?);
        let control = Deb::new(&path).control().ok()?.into_iter().find(|e| e.name == b"control")?;
        let control = String::from_utf8(control.bytes).ok()?;
        let LockedPackage { file, size, sha256, .. } = package;
        Some(format!("{}\nFilename: {file}\nSize: {size}\nSHA256: {sha256}\n\n", control.trim()))
    }
}

fn suites(universe: &Universe) -> BTreeMap<String, LockedSuite> {
    let members = universe.members.iter().filter(|m| !m.suite.is_empty());
    members
        .map(|m| {
            let suite =
                LockedSuite { date: m.loaded.release.date_text.clone(), sha256: m.loaded.release_sha256.to_string() };
            (format!("{}/{}", m.archive, m.suite), suite)
        })
        .collect()
}

/// Gives each package its layer: the one it had, a lower one if something there needs it now, the base, or the new layer
/// of what is newly asked for.
fn put_into_layers(lock: &mut LockFile, resolution: &Resolution, requested: &[Wanted], previous: Option<&LockFile>) {
    let mut layers: Vec<Layer> = match previous {
        Some(p) if !p.layers.is_empty() => p.layers.clone(),
        _ => vec![Layer { name: "base".to_owned(), requested: Vec::new() }],
    };
    let old_layers = layers.len() as u32;
    let known: BTreeSet<&str> = layers.iter().flat_map(|l| &l.requested).map(String::as_str).collect();
    let new: Vec<&Wanted> = requested.iter().filter(|w| !known.contains(w.name.as_str())).collect();
    let name = if old_layers == 1 { "packages".to_owned() } else { layer_name(&new, &layers) };
    layers.push(Layer { name, requested: Vec::new() });

    let locked = |name: &str| previous.and_then(|p| p.packages.get(name));
    let mut at: BTreeMap<&str, u32> = BTreeMap::new();
    for (name, choice) in &resolution.packages {
        let layer = if choice.base { 0 } else { locked(name).map_or(old_layers, |p| p.layer.min(old_layers)) };
        at.insert(name, layer);
    }
    // What a layer needs must be there when it is built.
    let mut queue: Vec<&str> = at.keys().copied().collect();
    while let Some(name) = queue.pop() {
        let layer = at.get(name).copied().unwrap_or(old_layers);
        for group in resolution.packages.get(name).into_iter().flat_map(|c| &c.needs) {
            // One that fulfils it must be there by then: the one in the lowest layer.
            let lowest = group.iter().min_by_key(|n| at.get(n.as_str()).copied());
            let Some(needed) = lowest.filter(|n| at.get(n.as_str()).is_some_and(|l| *l > layer)) else { continue };
            at.insert(needed, layer);
            queue.push(needed);
        }
    }
    for layer in &mut layers {
        layer.requested.clear();
    }
    for wanted in requested {
        let layer = resolution.requested.get(&wanted.name).and_then(|package| at.get(package.as_str()));
        // The base is the same whatever is asked for.
        if let Some(layer) = layer.copied().filter(|l| *l > 0) {
            layers[layer as usize].requested.push(wanted.name.clone());
        }
    }
    let mut numbers = vec![0; layers.len()];
    let mut kept = Vec::new();
    for (i, layer) in layers.into_iter().enumerate() {
        numbers[i] = kept.len() as u32;
        if i == 0 || at.values().any(|l| *l == i as u32) {
            kept.push(layer);
        }
    }
    lock.layers = kept;
    lock.packages = resolution
        .packages
        .iter()
        .map(|(name, choice)| (name.clone(), locked_package(choice, numbers[at[name.as_str()] as usize], locked(name))))
        .collect();
}

fn locked_package(choice: &Choice, layer: u32, before: Option<&LockedPackage>) -> LockedPackage {
    // What only our store has keeps its origin; what is unchanged keeps it too, so that a package which moves from one
    // suite to another (security to stable) is no change.
    let (archive, file) = match before.filter(|b| choice.archive.is_empty() || b.sha256 == choice.sha256) {
        Some(before) => (before.archive.clone(), before.file.clone()),
        None => (choice.archive.clone(), choice.file.clone()),
    };
    LockedPackage {
        version: choice.version.clone(),
        architecture: choice.architecture.clone(),
        archive,
        file,
        size: choice.size,
        sha256: choice.sha256.clone(),
        layer,
    }
}

/// A name for the layer of what is newly asked for, unlike those of the other layers.
fn layer_name(new: &[&Wanted], layers: &[Layer]) -> String {
    let name = match new {
        [] => "more".to_owned(),
        [one] => one.name.clone(),
        [one, two] => format!("{} {}", one.name, two.name),
        [one, two, rest @ ..] => format!("{} {} +{}", one.name, two.name, rest.len()),
    };
    let taken = |n: &str| layers.iter().any(|l| l.name == n);
    let mut unique = name.clone();
    let mut n = 2;
    while taken(&unique) {
        unique = format!("{name} ({n})");
        n += 1;
    }
    unique
}
