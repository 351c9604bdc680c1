//! What the solvers reason about: packages and their relations as small numbers, read from the universe as needed.

use std::collections::HashMap;
use std::rc::Rc;

use crate::index::{MultiArch, Record};
use crate::relation::{self, Relation};
use crate::universe::{PackageId, Universe};

/// A package name that has at least one version.
pub(super) type Name = usize;
/// A package and version.
pub(super) type Package = usize;

/// What a relation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `Pre-Depends` and `Depends`.
    Depends,
    /// `Conflicts` and `Breaks`; `true` for Breaks.
    Conflicts(bool),
    /// `Recommends`.
    Recommends,
}

/// One alternative of a relation with what would satisfy (or violate) it.
#[derive(Debug, Clone)]
pub(super) struct Alternative {
    /// As written.
    pub text: String,
    /// The name it aims at.
    pub name: String,
    /// The packages that are meant.
    pub targets: Vec<Package>,
}

/// One relation of a package.
#[derive(Debug)]
pub(super) struct Dependency {
    /// What it is for.
    pub kind: Kind,
    /// Its alternatives; exactly one for conflicts.
    pub alternatives: Vec<Alternative>,
}

impl Dependency {
    /// All that is meant by any alternative.
    pub(super) fn targets(&self) -> impl Iterator<Item = Package> + '_ {
        self.alternatives.iter().flat_map(|a| a.targets.iter().copied())
    }

    /// Whether it forbids.
    pub(super) fn is_negative(&self) -> bool {
        matches!(self.kind, Kind::Conflicts(_))
    }

    /// Whether the package is broken without it.
    pub(super) fn is_critical(&self) -> bool {
        self.kind != Kind::Recommends
    }

    /// As written.
    pub(super) fn text(&self) -> String {
        self.alternatives.iter().map(|a| a.text.as_str()).collect::<Vec<_>>().join(" | ")
    }
}

struct NameInfo<'u> {
    name: &'u str,
    /// The one to take first first.
    versions: Vec<Package>,
}

struct PackageInfo {
    id: PackageId,
    name: Name,
    dependencies: Option<Rc<Vec<Dependency>>>,
}

/// The part of the universe that was looked at.
pub(super) struct Space<'u> {
    pub universe: &'u Universe,
    names: Vec<NameInfo<'u>>,
    by_name: HashMap<&'u str, Option<Name>>,
    packages: Vec<PackageInfo>,
    by_id: HashMap<PackageId, Package>,
}

impl<'u> Space<'u> {
    pub(super) fn new(universe: &'u Universe) -> Space<'u> {
        Space { universe, names: Vec::new(), by_name: HashMap::new(), packages: Vec::new(), by_id: HashMap::new() }
    }

    /// The number of a name; `None` if no suite has a package of it.
    pub(super) fn name(&mut self, name: &str) -> Option<Name> {
        if let Some(&known) = self.by_name.get(name) {
            return known;
        }
        let versions = self.universe.versions(name);
        let first = *versions.first()?;
        // The copy in the index outlives us, the caller's does not.
        let name = self.universe.record(first).name();
        let number = self.names.len();
        let packages = versions.into_iter().map(|id| {
            let package = self.packages.len();
            self.packages.push(PackageInfo { id, name: number, dependencies: None });
            self.by_id.insert(id, package);
            package
        });
        let versions = packages.collect();
        self.names.push(NameInfo { name, versions });
        self.by_name.insert(name, Some(number));
        Some(number)
    }

    pub(super) fn name_count(&self) -> usize {
        self.names.len()
    }

    pub(super) fn name_text(&self, name: Name) -> &'u str {
        self.names[name].name
    }

    /// All versions of a name, the one to take first first.
    pub(super) fn versions(&self, name: Name) -> &[Package] {
        &self.names[name].versions
    }

    /// The version of a name, if there is such a one.
    pub(super) fn version_of(&self, name: Name, version: &str) -> Option<Package> {
        self.versions(name).iter().copied().find(|&p| self.record(p).version() == version)
    }

    pub(super) fn name_of(&self, package: Package) -> Name {
        self.packages[package].name
    }

    pub(super) fn id(&self, package: Package) -> PackageId {
        self.packages[package].id
    }

    pub(super) fn record(&self, package: Package) -> Record<'u> {
        self.universe.record(self.packages[package].id)
    }

    /// "nginx 1.26.3-3"
    pub(super) fn text(&self, package: Package) -> String {
        format!("{} {}", self.record(package).name(), self.record(package).version())
    }

    /// A package's relations, in the order in which apt looks at them: dependencies, conflicts, recommendations.
    pub(super) fn dependencies(&mut self, package: Package) -> Rc<Vec<Dependency>> {
        if let Some(known) = &self.packages[package].dependencies {
            return known.clone();
        }
        let record = self.record(package);
        let fields = [
            (Kind::Depends, record.pre_depends()),
            (Kind::Depends, record.depends()),
            (Kind::Conflicts(false), record.conflicts()),
            (Kind::Conflicts(true), record.breaks()),
            (Kind::Recommends, record.recommends()),
        ];
        let mut dependencies = Vec::new();
        for (kind, field) in fields {
            if field.is_empty() {
                continue;
            }
            for group in relation::parse(field, &self.universe.architecture) {
                let mut alternatives = group.into_iter().map(|r| self.alternative(package, kind, r));
                if matches!(kind, Kind::Conflicts(_)) {
                    // Forbidding "a or b" forbids both.
                    dependencies.extend(alternatives.map(|a| Dependency { kind, alternatives: vec![a] }));
                } else {
                    let alternatives = alternatives.by_ref().collect();
                    dependencies.push(Dependency { kind, alternatives });
                }
            }
        }
        let dependencies = Rc::new(dependencies);
        self.packages[package].dependencies = Some(dependencies.clone());
        dependencies
    }

    fn alternative(&mut self, package: Package, kind: Kind, relation: Relation<'_>) -> Alternative {
        let own = matches!(kind, Kind::Conflicts(_)).then(|| self.name_of(package));
        let targets = self.targets(relation, own);
        Alternative { text: relation.to_string(), name: relation.name.to_owned(), targets }
    }

    /// The packages that a relation means: those of the name, then those that provide it. `except` is left out: a
    /// package never conflicts with itself, neither by its name nor by what it provides.
    pub(super) fn targets(&mut self, relation: Relation<'_>, except: Option<Name>) -> Vec<Package> {
        let universe = self.universe;
        let serves = |record: Record<'_>| match relation.qualifier {
            None | Some("native") => true,
            // As apt: only a package that allows it serves `:any`.
            Some("any") => record.multi_arch() == MultiArch::Allowed,
            Some(arch) => arch == universe.architecture || arch == record.architecture(),
        };
        let mut targets = Vec::new();
        if let Some(name) = self.name(relation.name).filter(|n| Some(*n) != except) {
            for &p in self.versions(name) {
                let record = self.record(p);
                if serves(record) && relation.version.is_none_or(|(op, v)| op.holds(record.version(), v)) {
                    targets.push(p);
                }
            }
        }
        for (id, provided) in universe.providers(relation.name) {
            let record = universe.record(id);
            let holds = match (relation.version, provided) {
                (None, _) => true,
                (Some((op, wanted)), Some(provided)) => op.holds(provided, wanted),
                (Some(_), None) => false,
            };
            if !holds || !serves(record) {
                continue;
            }
            let Some(name) = self.name(record.name()).filter(|n| Some(*n) != except) else { continue };
            // A version that two suites have is known by the first.
            let Some(p) = self.by_id.get(&id).copied().or_else(|| self.version_of(name, record.version())) else {
                continue;
            };
            if !targets.contains(&p) {
                targets.push(p);
            }
        }
        targets
    }
}

impl std::fmt::Debug for Space<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Space").field("names", &self.names.len()).finish_non_exhaustive()
    }
}
