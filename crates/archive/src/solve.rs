//! Which packages, in which versions.
//!
//! Two steps. [`mark`] walks as apt does and so finds the answer that people are used to. [`provider`] has resolvo
//! prove it, or search for one where the walk ended in a contradiction. What is locked already is treated as apt
//! treats what is installed: it stays unless something needs it to change.

mod explain;
mod mark;
mod provider;
mod space;

use std::collections::{BTreeMap, BTreeSet};

use regrow_config::LockFile;

use crate::error::Error;
use crate::universe::Universe;
use mark::Marker;
use provider::{Question, Stopped};
use space::{Name, Package, Space};

/// One package asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, or a name that exactly one package provides.
    pub name: String,
    /// The exact version, if one is asked for.
    pub version: Option<String>,
    /// Whether it brings what it recommends; `None`: as [`Request::recommends`] says.
    pub recommends: Option<bool>,
}

impl Wanted {
    /// Any version of `name`.
    pub fn any(name: impl Into<String>) -> Wanted {
        Wanted { name: name.into(), version: None, recommends: None }
    }
}

/// What to choose packages for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The packages asked for. The essential packages come by themselves.
    pub requested: &'a [Wanted],
    /// Whether packages bring what they recommend, where it can be installed.
    pub recommends: bool,
    /// What is locked: versions stay unless something needs them to change.
    pub previous: Option<&'a LockFile>,
    /// Forget the locked versions and take the newest.
    pub upgrade: bool,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The packages by name.
    pub packages: BTreeMap<String, Choice>,
    /// Which package each name that was asked for means.
    pub requested: BTreeMap<String, String>,
}

/// One package of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its version.
    pub version: String,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// The archive's name in the fleet; empty if only our store still has it.
    pub archive: String,
    /// Its path below the mirror.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest, in hex.
    pub sha256: String,
    /// Whether it belongs to the essential packages and what they need.
    pub base: bool,
    /// What it needs (or recommends, where that counts): per relation, the packages of the answer that fulfil it.
    pub needs: BTreeSet<BTreeSet<String>>,
}

/// There is no answer, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsolvable {
    /// The reasons, the most important first. Never empty.
    pub reasons: Vec<String>,
}

impl std::fmt::Display for Unsolvable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the packages cannot be installed together: {}", self.reasons.join("; "))
    }
}

impl std::error::Error for Unsolvable {}

/// Chooses.
pub(crate) fn resolve(universe: &Universe, request: &Request<'_>) -> Result<Resolution, Error> {
    Resolver::new(universe, request)?.run().map_err(|_| Error::Cancelled)?.map_err(unsolvable)
}

fn unsolvable(reasons: Vec<String>) -> Error {
    Error::Unsolvable(Box::new(Unsolvable { reasons }))
}

struct Resolver<'u> {
    space: Space<'u>,
    essential: Vec<Name>,
    requested: Vec<Name>,
    /// What each name asked for means.
    meant: BTreeMap<String, String>,
    pins: BTreeMap<Name, Package>,
    recommends: bool,
    /// By the name of the package.
    recommends_of: BTreeMap<String, bool>,
    /// What is locked, as far as it is known.
    locked: BTreeSet<Package>,
    /// The names locked in the base layer; `None` at the first lock.
    locked_base: Option<BTreeSet<Name>>,
}

impl<'u> Resolver<'u> {
    fn new(universe: &'u Universe, request: &Request<'_>) -> Result<Resolver<'u>, Error> {
        let mut space = Space::new(universe);
        let essential = universe.essential().into_iter().filter_map(|n| space.name(n)).collect();
        let (mut requested, mut pins, mut recommends_of) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let (mut missing, mut meant) = (Vec::new(), BTreeMap::new());
        for wanted in request.requested {
            let name = match find(&mut space, &wanted.name) {
                Ok(name) => name,
                Err(reason) => {
                    missing.push(reason);
                    continue;
                }
            };
            requested.push(name);
            meant.insert(wanted.name.clone(), space.name_text(name).to_owned());
            if let Some(recommends) = wanted.recommends {
                recommends_of.insert(space.name_text(name).to_owned(), recommends);
            }
            if let Some(version) = &wanted.version {
                match space.version_of(name, version) {
                    Some(package) => {
                        pins.insert(name, package);
                    }
                    None => missing.push(no_such_version(&space, name, version)),
                }
            }
        }
        if !missing.is_empty() {
            return Err(unsolvable(missing));
        }
        let mut locked = BTreeSet::new();
        let mut locked_base = None;
        if let Some(previous) = request.previous {
            let mut base = BTreeSet::new();
            for (name, package) in &previous.packages {
                let Some(name) = space.name(name) else { continue };
                if package.layer == 0 {
                    base.insert(name);
                }
                if !request.upgrade {
                    locked.extend(space.version_of(name, &package.version));
                }
            }
            locked_base = Some(base);
        }
        let recommends = request.recommends;
        Ok(Resolver { space, essential, requested, meant, pins, recommends, recommends_of, locked, locked_base })
    }

    fn run(mut self) -> Result<Result<Resolution, Vec<String>>, Stopped> {
        let required: Vec<Name> = self.essential.iter().chain(&self.requested).copied().collect();
        let kept = self.needed(&self.locked.clone(), &required);
        let mut banned = BTreeSet::new();
        let (mut base, mut chosen) = self.walk(&kept, &banned);
        if !self.is_consistent(&chosen) {
            let pins = self.pins.clone();
            let pinned = |n: Name| pins.get(&n).copied();
            let liked: BTreeSet<Package> = chosen.union(&kept).copied().collect();
            let question = Question { required: &required, preferred: &liked, wish: false, pinned: &pinned };
            let Some(found) = provider::solve(&mut self.space, &question)? else {
                let reasons = explain::explain(&mut self.space, &self.essential, &self.requested, &pinned);
                return Ok(Err(reasons));
            };
            // What apt's walk would have chosen had it known what cannot be.
            banned.extend(chosen.difference(&found).copied().filter(|p| self.clashes(*p, &found)).collect::<Vec<_>>());
            let (other_base, walked) = self.walk(&kept, &banned);
            let walked = self.needed(&walked, &required);
            let all = required.iter().all(|n| walked.iter().any(|p| self.space.name_of(*p) == *n));
            chosen = if all && self.is_consistent(&walked) { walked } else { self.needed(&found, &required) };
            base = other_base;
        } else {
            chosen = self.needed(&chosen, &required);
        }
        let pins = self.pins.clone();
        let pinned = |n: Name| pins.get(&n).copied();
        let question = Question { required: &required, preferred: &chosen, wish: true, pinned: &pinned };
        let Some(proven) = provider::solve(&mut self.space, &question)? else {
            let reasons = explain::explain(&mut self.space, &self.essential, &self.requested, &pinned);
            return Ok(Err(reasons));
        };
        Ok(Ok(self.resolution(&proven, &base)))
    }

    /// apt's walk: first the base, then what is asked for on top of it. Returns what is new in the base, and everything.
    fn walk(&mut self, kept: &BTreeSet<Package>, banned: &BTreeSet<Package>) -> (BTreeSet<Name>, BTreeSet<Package>) {
        let (default, of) = (self.recommends, &self.recommends_of);
        let recommends = |name: &str| of.get(name).copied().unwrap_or(default);
        let pins = &self.pins;
        let pinned = |n: Name| pins.get(&n).copied();
        // The base of a server does not depend on what else it has: its layer can be shared.
        let no_recommends = |_: &str| false;
        let mut marker = Marker::new(&mut self.space, &no_recommends, banned, &pinned);
        kept.iter().for_each(|p| marker.set_current(*p));
        marker.install(&self.essential);
        let base: BTreeSet<Package> = marker.chosen().into_iter().collect();
        let mut marker = Marker::new(&mut self.space, &recommends, banned, &pinned);
        base.iter().for_each(|p| marker.set_current(*p));
        marker.install(&self.requested);
        let chosen = marker.chosen().into_iter().collect();
        (base.difference(kept).map(|p| self.space.name_of(*p)).collect(), chosen)
    }

    /// Whether every relation holds among these packages, and they are all that is asked for.
    fn is_consistent(&mut self, packages: &BTreeSet<Package>) -> bool {
        let names: BTreeSet<Name> = packages.iter().map(|p| self.space.name_of(*p)).collect();
        let asked = self.essential.iter().chain(&self.requested).all(|n| names.contains(n));
        let pins = self.pins.values().all(|p| packages.contains(p));
        asked
            && pins
            && packages.iter().all(|p| {
                let dependencies = self.space.dependencies(*p);
                dependencies
                    .iter()
                    .filter(|d| d.is_critical())
                    .all(|d| d.targets().any(|t| packages.contains(&t)) != d.is_negative())
            })
    }

    /// Whether a package cannot be installed beside these.
    fn clashes(&mut self, package: Package, others: &BTreeSet<Package>) -> bool {
        let name = self.space.name_of(package);
        let own = self.space.dependencies(package);
        own.iter().any(|d| d.is_negative() && d.targets().any(|t| others.contains(&t)))
            || others.iter().any(|o| {
                self.space.name_of(*o) == name
                    || self.space.dependencies(*o).iter().any(|d| d.is_negative() && d.targets().any(|t| t == package))
            })
    }

    /// Those of `packages` that the names need, directly or not.
    fn needed(&mut self, packages: &BTreeSet<Package>, names: &[Name]) -> BTreeSet<Package> {
        let mut needed = BTreeSet::new();
        let mut queue: Vec<Package> =
            packages.iter().copied().filter(|p| names.contains(&self.space.name_of(*p))).collect();
        while let Some(package) = queue.pop() {
            if !needed.insert(package) {
                continue;
            }
            queue.extend(self.needs(package).into_iter().flatten().filter(|t| packages.contains(t)));
        }
        needed
    }

    /// What a package needs, or recommends where that counts: per relation, all that would fulfil it.
    fn needs(&mut self, package: Package) -> Vec<Vec<Package>> {
        let name = self.space.record(package).name();
        let recommends = self.recommends_of.get(name).copied().unwrap_or(self.recommends);
        let dependencies = self.space.dependencies(package);
        dependencies
            .iter()
            .filter(|d| !d.is_negative() && (d.is_critical() || recommends))
            .map(|d| d.targets().collect())
            .collect()
    }

    fn resolution(mut self, packages: &BTreeSet<Package>, new_base: &BTreeSet<Name>) -> Resolution {
        let mut all = BTreeMap::new();
        for &package in packages {
            let mut needs = BTreeSet::new();
            for targets in self.needs(package) {
                let there = targets.into_iter().filter(|t| packages.contains(t));
                needs.insert(there.map(|t| self.space.record(t).name().to_owned()).collect());
            }
            needs.remove(&BTreeSet::new());
            let record = self.space.record(package);
            let name = self.space.name_of(package);
            let base_before = self.locked_base.as_ref().is_some_and(|b| b.contains(&name));
            all.insert(
                record.name().to_owned(),
                Choice {
                    version: record.version().to_owned(),
                    architecture: record.architecture().to_owned(),
                    archive: self.space.universe.member(self.space.id(package)).archive.clone(),
                    file: record.filename().to_owned(),
                    size: record.size(),
                    sha256: record.sha256().to_string(),
                    base: base_before || new_base.contains(&name),
                    needs,
                },
            );
        }
        Resolution { packages: all, requested: self.meant }
    }
}

fn find(space: &mut Space<'_>, name: &str) -> Result<Name, String> {
    if let Some(found) = space.name(name) {
        return Ok(found);
    }
    let relation = crate::relation::Relation { name, qualifier: None, version: None };
    let mut providers: Vec<Name> = space.targets(relation, None).into_iter().map(|p| space.name_of(p)).collect();
    providers.sort_unstable();
    providers.dedup();
    match providers[..] {
        [] => Err(format!("no suite has a package `{name}`")),
        [only] => Ok(only),
        _ => {
            let mut names: Vec<_> = providers.iter().map(|n| space.name_text(*n)).collect();
            names.sort_unstable();
            let more = names.len().saturating_sub(8);
            names.truncate(8);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            Err(format!("`{name}` is no package, but provided by {}{more}; ask for one of these", names.join(", ")))
        }
    }
}

fn no_such_version(space: &Space<'_>, name: Name, version: &str) -> String {
    let mut there = Vec::new();
    for &p in space.versions(name) {
        let suite = &space.universe.member(space.id(p)).suite;
        there.push(if suite.is_empty() { space.text(p) } else { format!("{} is in {suite}", space.text(p)) });
    }
    format!("no suite has {} {version}; {}", space.name_text(name), there.join(", "))
}

#[cfg(test)]
mod tests;
