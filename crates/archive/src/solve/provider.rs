//! Debian's rules as resolvo sees them: the proof that an answer is right, and the search when apt's walk finds none.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::rc::Rc;

use resolvo::utils::{Pool, VersionSet};
use resolvo::{
    Candidates, Condition, ConditionId, ConditionalRequirement, Dependencies, DependencyProvider,
    HintDependenciesAvailable, Interner, KnownDependencies, NameId, Problem, Requirement, SolvableId, Solver,
    SolverCache, StringId, UnsolvableOrCancelled, VersionSetId, VersionSetUnionId,
};

use super::space::{Dependency, Name, Package, Space};

/// Some versions of one name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Set(Rc<[Package]>);

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} versions", self.0.len())
    }
}

impl VersionSet for Set {
    type V = Package;
}

/// What must be in the answer, and what is liked.
pub(super) struct Question<'q> {
    /// Names of which some version must be installed.
    pub required: &'q [Name],
    /// Packages to take where there is a choice.
    pub preferred: &'q BTreeSet<Package>,
    /// Whether all preferred packages are wished for, not only liked where there is a choice.
    pub wish: bool,
    /// Versions asked for exactly.
    pub pinned: &'q dyn Fn(Name) -> Option<Package>,
}

/// Asks resolvo. `Ok(None)`: there is no answer.
pub(super) fn solve(space: &mut Space<'_>, question: &Question<'_>) -> Result<Option<BTreeSet<Package>>, Stopped> {
    let provider = Provider {
        pool: Pool::new(),
        space: RefCell::new(space),
        names: RefCell::default(),
        preferred: question.preferred,
        pinned: question.pinned,
    };
    let mut requirements = Vec::new();
    for &name in question.required {
        let versions = provider.usable(name);
        requirements.push(ConditionalRequirement::from(provider.set(name, versions)));
    }
    let soft: Vec<SolvableId> = if question.wish {
        question.preferred.iter().filter_map(|&p| provider.solvable(p)).collect()
    } else {
        Vec::new()
    };
    let mut solver = Solver::new(provider);
    match solver.solve(Problem::new().requirements(requirements).soft_requirements(soft)) {
        Ok(chosen) => Ok(Some(chosen.into_iter().map(|s| solver.provider().pool.resolve_solvable(s).record).collect())),
        Err(UnsolvableOrCancelled::Unsolvable(_)) => Ok(None),
        Err(UnsolvableOrCancelled::Cancelled(_)) => Err(Stopped),
    }
}

/// Somebody asked to stop.
#[derive(Debug)]
pub(super) struct Stopped;

struct Provider<'a, 'u> {
    pool: Pool<Set>,
    space: RefCell<&'a mut Space<'u>>,
    names: RefCell<Names>,
    preferred: &'a BTreeSet<Package>,
    pinned: &'a dyn Fn(Name) -> Option<Package>,
}

#[derive(Default)]
struct Names {
    by_name: HashMap<Name, (NameId, Rc<[SolvableId]>)>,
    by_id: HashMap<NameId, Name>,
}

impl Provider<'_, '_> {
    /// The versions of a name that may be taken: those of automatic suites, else any; and what is asked for or liked.
    fn usable(&self, name: Name) -> Vec<Package> {
        let space = self.space.borrow();
        let versions = space.versions(name);
        if let Some(pinned) = (self.pinned)(name) {
            return vec![pinned];
        }
        let late = |p: Package| space.universe.member(space.id(p)).not_automatic;
        let all_late = versions.iter().all(|&p| late(p));
        versions.iter().copied().filter(|&p| all_late || !late(p) || self.preferred.contains(&p)).collect()
    }

    fn name(&self, name: Name) -> (NameId, Rc<[SolvableId]>) {
        if let Some(known) = self.names.borrow().by_name.get(&name) {
            return known.clone();
        }
        let id = self.pool.intern_package_name(self.space.borrow().name_text(name));
        let solvables: Rc<[SolvableId]> =
            self.usable(name).into_iter().map(|p| self.pool.intern_solvable(id, p)).collect();
        let mut names = self.names.borrow_mut();
        names.by_name.insert(name, (id, solvables.clone()));
        names.by_id.insert(id, name);
        (id, solvables)
    }

    fn solvable(&self, package: Package) -> Option<SolvableId> {
        let name = self.space.borrow().name_of(package);
        let (_, solvables) = self.name(name);
        solvables.iter().copied().find(|&s| self.pool.resolve_solvable(s).record == package)
    }

    fn set(&self, name: Name, mut members: Vec<Package>) -> VersionSetId {
        members.sort_unstable();
        self.pool.intern_version_set(self.name(name).0, Set(members.into()))
    }

    /// What a dependency accepts, in the order in which to try.
    fn requirement(&self, dependency: &Dependency) -> Requirement {
        let mut by_name: Vec<(Name, Vec<Package>)> = Vec::new();
        for target in dependency.targets() {
            let name = self.space.borrow().name_of(target);
            match by_name.iter_mut().find(|(n, _)| *n == name) {
                Some((_, members)) => members.push(target),
                None => by_name.push((name, vec![target])),
            }
        }
        // Stable: among equals the order of the alternatives stays.
        by_name.sort_by_key(|(_, members)| !members.iter().any(|m| self.preferred.contains(m)));
        let mut sets = by_name.into_iter().map(|(name, members)| self.set(name, members));
        match sets.next() {
            // A name that nobody has: no candidates.
            None => {
                let nobody = self.pool.intern_package_name(format!("({})", dependency.text()));
                self.pool.intern_version_set(nobody, Set(Rc::new([]))).into()
            }
            Some(first) => {
                let rest: Vec<_> = sets.collect();
                if rest.is_empty() {
                    first.into()
                } else {
                    self.pool.intern_version_set_union(first, rest.into_iter()).into()
                }
            }
        }
    }

    fn constraints(&self, dependency: &Dependency, into: &mut Vec<VersionSetId>) {
        let mut done = BTreeSet::new();
        for target in dependency.targets() {
            let name = self.space.borrow().name_of(target);
            if done.insert(name) {
                let allowed =
                    self.usable(name).into_iter().filter(|p| !dependency.targets().any(|t| t == *p)).collect();
                into.push(self.set(name, allowed));
            }
        }
    }
}

impl Interner for Provider<'_, '_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl fmt::Display + '_ {
        self.space.borrow().text(self.pool.resolve_solvable(solvable).record)
    }

    fn display_name(&self, name: NameId) -> impl fmt::Display + '_ {
        self.pool.resolve_package_name(name).clone()
    }

    fn display_version_set(&self, version_set: VersionSetId) -> impl fmt::Display + '_ {
        self.pool.resolve_version_set(version_set).clone()
    }

    fn display_string(&self, string_id: StringId) -> impl fmt::Display + '_ {
        self.pool.resolve_string(string_id).to_owned()
    }

    fn version_set_name(&self, version_set: VersionSetId) -> NameId {
        self.pool.resolve_version_set_package_name(version_set)
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        self.pool.resolve_solvable(solvable).name
    }

    fn version_sets_in_union(&self, union: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        self.pool.resolve_version_set_union(union)
    }

    fn resolve_condition(&self, condition: ConditionId) -> Condition {
        self.pool.resolve_condition(condition).clone()
    }
}

impl DependencyProvider for Provider<'_, '_> {
    async fn filter_candidates(&self, candidates: &[SolvableId], set: VersionSetId, inverse: bool) -> Vec<SolvableId> {
        let members = &self.pool.resolve_version_set(set).0;
        let is_member = |s: SolvableId| members.binary_search(&self.pool.resolve_solvable(s).record).is_ok();
        candidates.iter().copied().filter(|&s| is_member(s) != inverse).collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates> {
        let number = *self.names.borrow().by_id.get(&name)?;
        let (_, solvables) = self.name(number);
        Some(Candidates {
            candidates: solvables.to_vec(),
            hint_dependencies_available: HintDependenciesAvailable::None,
            ..Candidates::default()
        })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        let package = |s: &SolvableId| self.pool.resolve_solvable(*s).record;
        // Packages are numbered in the order in which to take them.
        solvables.sort_by_key(|s| (!self.preferred.contains(&package(s)), package(s)));
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        let package = self.pool.resolve_solvable(solvable).record;
        let dependencies = self.space.borrow_mut().dependencies(package);
        let mut known = KnownDependencies::default();
        for dependency in dependencies.iter().filter(|d| d.is_critical()) {
            if dependency.is_negative() {
                self.constraints(dependency, &mut known.constrains);
            } else {
                known.requirements.push(ConditionalRequirement::from(self.requirement(dependency)));
            }
        }
        Dependencies::Known(known)
    }

    fn should_cancel_with_value(&self) -> Option<Box<dyn Any>> {
        regrow_host::cancel::requested().then(|| Box::new(()) as Box<dyn Any>)
    }
}
