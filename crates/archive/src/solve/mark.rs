//! apt's way of choosing, as preferences for the solver.
//!
//! apt marks a package, then walks through its relations in depth, always taking the first alternative that is there,
//! and among providers of a name the one it likes most. Which of several right answers people get is decided by this
//! walk, so we walk the same way; whether an answer *is* right is decided by resolvo alone (`super::provider`).
//!
//! A name has a *candidate* (the version that would be taken), perhaps a *current* version (locked, or part of the base
//! that is there already), and the version *chosen* so far.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::space::{Alternative, Dependency, Name, Package, Space};
use crate::index::MultiArch;

/// Deeper chains of dependencies than any archive has.
const MAX_DEPTH: u32 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Keep,
    Install,
    Delete,
}

#[derive(Debug, Clone, Copy)]
struct State {
    candidate: Option<Package>,
    current: Option<Package>,
    chosen: Option<Package>,
    mode: Mode,
    /// Asked for by a person, or under way just now: nobody else may change it.
    protected: bool,
}

/// The walk.
pub(super) struct Marker<'a, 'u> {
    pub space: &'a mut Space<'u>,
    /// Names whose recommendations count as dependencies that may fail.
    recommends: &'a dyn Fn(&str) -> bool,
    /// Never chosen.
    banned: &'a BTreeSet<Package>,
    /// Versions asked for exactly.
    pinned: &'a dyn Fn(Name) -> Option<Package>,
    states: Vec<Option<State>>,
}

impl std::fmt::Debug for Marker<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Marker").finish_non_exhaustive()
    }
}

impl<'a, 'u> Marker<'a, 'u> {
    pub(super) fn new(
        space: &'a mut Space<'u>,
        recommends: &'a dyn Fn(&str) -> bool,
        banned: &'a BTreeSet<Package>,
        pinned: &'a dyn Fn(Name) -> Option<Package>,
    ) -> Self {
        Marker { space, recommends, banned, pinned, states: Vec::new() }
    }

    /// Says that a package is there already.
    pub(super) fn set_current(&mut self, package: Package) {
        let name = self.space.name_of(package);
        let mut state = self.state(name);
        (state.current, state.chosen) = (Some(package), Some(package));
        self.states[name] = Some(state);
    }

    /// Marks what a person asked for, as `apt-get install` does: first each for itself, then each with what it needs.
    ///
    /// What is there already stays as it is, unless another version is asked for; apt would take the newest.
    pub(super) fn install(&mut self, names: &[Name]) {
        let new =
            |m: &mut Self, name: Name| m.state(name).current.is_none_or(|c| (m.pinned)(name).is_some_and(|p| p != c));
        let names: Vec<Name> = names.iter().copied().filter(|n| new(self, *n)).collect();
        for &name in &names {
            self.change(name, |s| s.protected = true);
            self.mark_install(name, false, 0, true);
        }
        for &name in &names {
            self.mark_install(name, true, 0, true);
        }
    }

    /// What is chosen, in no order.
    pub(super) fn chosen(&self) -> Vec<Package> {
        self.states.iter().flatten().filter_map(|s| s.chosen).collect()
    }

    fn state(&mut self, name: Name) -> State {
        if self.states.len() <= name {
            self.states.resize(self.space.name_count().max(name + 1), None);
        }
        if let Some(state) = self.states[name] {
            return state;
        }
        let pinned = (self.pinned)(name);
        let candidate = pinned.or_else(|| self.space.versions(name).iter().copied().find(|p| !self.banned.contains(p)));
        let state = State { candidate, current: None, chosen: None, mode: Mode::Keep, protected: false };
        self.states[name] = Some(state);
        state
    }

    fn change(&mut self, name: Name, f: impl FnOnce(&mut State)) {
        let mut state = self.state(name);
        f(&mut state);
        self.states[name] = Some(state);
    }

    fn is_chosen(&mut self, package: Package) -> bool {
        let name = self.space.name_of(package);
        self.state(name).chosen == Some(package)
    }

    fn is_candidate(&mut self, package: Package) -> bool {
        let name = self.space.name_of(package);
        self.state(name).candidate == Some(package)
    }

    /// Whether the relation holds among what is chosen.
    fn holds(&mut self, dependency: &Dependency) -> bool {
        dependency.targets().any(|t| self.is_chosen(t)) != dependency.is_negative()
    }

    fn counts(&self, name: Name, dependency: &Dependency) -> bool {
        dependency.is_critical() || (self.recommends)(self.space.name_text(name))
    }

    fn is_broken(&mut self, name: Name) -> bool {
        let Some(package) = self.state(name).chosen else { return false };
        let dependencies = self.space.dependencies(package);
        dependencies.iter().any(|d| self.counts(name, d) && !self.holds(d))
    }

    fn may_become(&mut self, name: Name, mode: Mode, depth: u32, by_person: bool) -> bool {
        if depth > MAX_DEPTH {
            return false;
        }
        let state = self.state(name);
        if by_person || state.mode == mode {
            return true;
        }
        if state.protected {
            return false;
        }
        let precious = || {
            state.current.is_some_and(|c| {
                let record = self.space.record(c);
                record.is_essential() || record.is_protected()
            })
        };
        mode != Mode::Delete || !precious()
    }

    fn keep(&mut self, name: Name, depth: u32) -> bool {
        if !self.may_become(name, Mode::Keep, depth, false) {
            return false;
        }
        self.change(name, |s| {
            if s.mode != Mode::Keep {
                s.mode = Mode::Keep;
                s.chosen = s.current;
            }
        });
        true
    }

    fn delete(&mut self, name: Name, depth: u32) -> bool {
        if !self.may_become(name, Mode::Delete, depth, false) {
            return false;
        }
        self.change(name, |s| {
            s.mode = Mode::Delete;
            s.chosen = None;
        });
        true
    }

    fn discard_candidate(&mut self, name: Name) {
        self.change(name, |s| s.candidate = s.chosen);
    }

    fn discard_install(&mut self, name: Name) {
        self.change(name, |s| {
            s.chosen = s.current;
            s.mode = Mode::Keep;
            s.candidate = s.chosen;
        });
    }

    fn choose_candidate(&mut self, name: Name) {
        self.change(name, |s| {
            if !(s.protected && s.chosen.is_some() && s.chosen == s.candidate) {
                s.mode = if s.candidate == s.current { Mode::Keep } else { Mode::Install };
                s.chosen = s.candidate;
            }
        });
    }

    /// Whether each dependency of `package` has at least a candidate; if not, it is discarded for good.
    fn can_be_satisfied(&mut self, name: Name, package: Package) -> bool {
        if self.state(name).current == Some(package) {
            return true;
        }
        for d in self.space.dependencies(package).iter().filter(|d| d.is_critical() && !d.is_negative()) {
            if d.targets().any(|t| self.is_chosen(t) || self.is_candidate(t)) {
                continue;
            }
            self.change(name, |s| {
                if !s.protected {
                    s.candidate = s.current;
                    if s.mode != Mode::Delete {
                        s.mode = Mode::Keep;
                    }
                }
            });
            return false;
        }
        true
    }

    /// Marks a name's candidate; with `deep`, all that it needs too. `false` if that is impossible.
    fn mark_install(&mut self, name: Name, deep: bool, depth: u32, by_person: bool) -> bool {
        let s = self.state(name);
        let settled = s.protected && s.mode == Mode::Keep && s.candidate.is_some() && s.candidate == s.current;
        if !settled && !self.may_become(name, Mode::Install, depth, by_person) {
            return false;
        }
        let Some(candidate) = s.candidate else { return false };
        if !s.protected && !self.is_broken(name) {
            if Some(candidate) == s.current {
                return s.chosen.is_some() || self.keep(name, depth + 1);
            }
            if s.mode == Mode::Install {
                return true;
            }
        }
        if deep && !self.can_be_satisfied(name, candidate) {
            return false;
        }
        if by_person {
            self.choose_candidate(name);
        }
        if !deep {
            if !by_person {
                self.choose_candidate(name);
            }
            return true;
        }
        let was_protected = self.state(name).protected;
        let give_up = !was_protected && !by_person;
        let dependencies = self.space.dependencies(candidate);
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for (i, d) in dependencies.iter().enumerate() {
            if (!was_protected && self.holds(d)) || !self.counts(name, d) {
                continue;
            }
            if d.is_negative() { unwanted.push(i) } else { wanted.push(i) }
        }
        let mut failed = false;
        let (mut upgrade, mut removed_later) = (Vec::new(), Vec::new());
        if !self.put_aside(&dependencies, &unwanted, depth, was_protected, by_person, &mut upgrade, &mut removed_later)
        {
            if give_up {
                return false;
            }
            failed = true;
        }
        self.upgrade_dependants(name, candidate, &mut upgrade);
        if !by_person {
            self.choose_candidate(name);
        }
        self.change(name, |s| s.protected = true);
        let done = self.upgrade_or_remove(&upgrade, depth, was_protected, by_person)
            && self.install_wanted(name, &dependencies, &wanted, depth, was_protected, by_person);
        let done = done && removed_later.iter().all(|&r| self.delete(r, depth));
        if !was_protected {
            self.change(name, |s| s.protected = false);
        }
        if !done && give_up {
            self.discard_install(name);
            return false;
        }
        done && !failed
    }

    /// Removes what the relations `unwanted` forbid from what is chosen, or from what may be.
    #[expect(clippy::too_many_arguments, reason = "one step of one function, cut out to be readable")]
    fn put_aside(
        &mut self,
        dependencies: &Rc<Vec<Dependency>>,
        unwanted: &[usize],
        depth: u32,
        protected: bool,
        by_person: bool,
        upgrade: &mut Vec<Name>,
        removed_later: &mut Vec<Name>,
    ) -> bool {
        let mut all = true;
        let mut bad = BTreeSet::new();
        for &i in unwanted {
            let alternative = &dependencies[i].alternatives[0];
            for target in self.sorted_targets(alternative, |s, t| s.is_candidate(t)) {
                let other = self.space.name_of(target);
                let s = self.state(other);
                let ok = if s.current == Some(target) {
                    self.remove_for_good(other, depth, protected, removed_later)
                } else if s.mode == Mode::Install && !self.keep(other, depth) {
                    false
                } else {
                    if protected {
                        self.discard_candidate(other);
                        self.change(other, |s| s.protected |= s.current.is_none());
                    } else {
                        bad.insert(other);
                    }
                    true
                };
                all &= ok;
                if !ok && !protected && !by_person {
                    return false;
                }
            }
            for target in self.sorted_targets(alternative, |s, t| {
                let name = s.space.name_of(t);
                s.state(name).current == Some(t)
            }) {
                let other = self.space.name_of(target);
                let s = self.state(other);
                let ok = if s.candidate.is_some() && s.candidate != Some(target) && !bad.contains(&other) {
                    upgrade.push(other);
                    true
                } else if s.candidate == s.current {
                    true
                } else {
                    self.remove_for_good(other, depth, protected, removed_later)
                };
                all &= ok;
                if !ok && !protected && !by_person {
                    return false;
                }
            }
        }
        all
    }

    fn remove_for_good(&mut self, name: Name, depth: u32, protected: bool, removed_later: &mut Vec<Name>) -> bool {
        let deleted = self.state(name).mode == Mode::Delete;
        if !protected {
            if !deleted {
                if !self.may_become(name, Mode::Delete, depth, false) {
                    return false;
                }
                removed_later.push(name);
            }
            return true;
        }
        if !deleted && !self.delete(name, depth + 1) {
            return false;
        }
        self.discard_candidate(name);
        self.change(name, |s| s.protected = true);
        true
    }

    /// What is there and needs exactly the version that is now replaced must be replaced too.
    fn upgrade_dependants(&mut self, name: Name, candidate: Package, upgrade: &mut Vec<Name>) {
        let Some(current) = self.state(name).current.filter(|c| *c != candidate) else { return };
        for other in 0..self.states.len() {
            let Some(State { current: Some(package), mode, .. }) = self.states[other] else { continue };
            if mode == Mode::Install || upgrade.contains(&other) {
                continue;
            }
            let dependencies = self.space.dependencies(package);
            let hit = |a: &Alternative| a.targets.contains(&current) && !a.targets.contains(&candidate);
            if dependencies.iter().any(|d| !d.is_negative() && self.counts(other, d) && d.alternatives.iter().any(hit))
            {
                upgrade.push(other);
            }
        }
    }

    fn upgrade_or_remove(&mut self, upgrade: &[Name], depth: u32, protected: bool, by_person: bool) -> bool {
        let mut all = true;
        for &name in upgrade {
            if self.state(name).mode == Mode::Install || self.mark_install(name, true, depth + 1, false) {
                continue;
            }
            if self.delete(name, depth + 1) {
                self.change(name, |s| s.protected |= protected);
            } else {
                all = false;
                if !protected && !by_person {
                    return false;
                }
            }
        }
        all
    }

    fn install_wanted(
        &mut self,
        name: Name,
        dependencies: &Rc<Vec<Dependency>>,
        wanted: &[usize],
        depth: u32,
        protected: bool,
        by_person: bool,
    ) -> bool {
        let mut all = true;
        for &i in wanted {
            let dependency = &dependencies[i];
            if self.holds(dependency) {
                if protected && dependency.is_critical() {
                    all &= self.pass_protection_on(dependency, depth);
                }
                continue;
            }
            // Recommendations of what is there already were declined before.
            if !dependency.is_critical() && self.state(name).current.is_some() {
                continue;
            }
            let solutions = self.solutions(dependency);
            let mut found = false;
            for &solution in &solutions {
                let other = self.space.name_of(solution);
                if self.state(other).candidate != Some(solution) {
                    continue;
                }
                if protected && dependency.is_critical() && solutions.len() == 1 {
                    if !self.mark_install(other, false, depth + 1, false) {
                        continue;
                    }
                    self.change(other, |s| s.protected = true);
                }
                if self.mark_install(other, true, depth + 1, false) {
                    found = true;
                    break;
                }
            }
            if !found && dependency.is_critical() {
                all = false;
                if !protected && !by_person {
                    return false;
                }
            }
        }
        all
    }

    /// What is the only way to fulfil a wish is as good as wished for itself.
    fn pass_protection_on(&mut self, dependency: &Dependency, depth: u32) -> bool {
        let mut ways: Vec<Package> = Vec::new();
        for target in dependency.targets().collect::<Vec<_>>() {
            let name = self.space.name_of(target);
            let s = self.state(name);
            let usable = !(s.protected && (s.mode == Mode::Delete || s.mode == Mode::Keep && s.current.is_none()));
            if (s.candidate == Some(target) || s.current == Some(target)) && usable && !ways.contains(&target) {
                ways.push(target);
            }
        }
        let [only] = ways[..] else { return true };
        let name = self.space.name_of(only);
        if self.state(name).protected {
            return true;
        }
        self.change(name, |s| s.protected = true);
        self.mark_install(name, true, depth + 1, false)
    }

    /// The candidates that would fulfil a dependency, the one to try first first.
    fn solutions(&mut self, dependency: &Dependency) -> Vec<Package> {
        let (mut there, mut new) = (Vec::new(), Vec::new());
        for alternative in &dependency.alternatives {
            for target in self.sorted_targets(alternative, |s, t| s.is_candidate(t)) {
                let name = self.space.name_of(target);
                let list = if self.state(name).current.is_some() { &mut there } else { &mut new };
                list.push(target);
            }
        }
        there.append(&mut new);
        there.dedup();
        there.retain(|&p| {
            let name = self.space.name_of(p);
            let s = self.state(name);
            !(s.protected && (s.mode == Mode::Delete || s.mode == Mode::Keep && s.current.is_none()))
        });
        there
    }

    fn sorted_targets(
        &mut self,
        alternative: &Alternative,
        which: impl Fn(&mut Self, Package) -> bool,
    ) -> Vec<Package> {
        let mut targets: Vec<_> = alternative.targets.iter().copied().filter(|t| which(self, *t)).collect();
        if targets.len() > 1 {
            for &t in &targets {
                let name = self.space.name_of(t);
                self.state(name);
            }
            targets.sort_by(|a, b| self.prefer(&alternative.name, *a, *b));
        }
        targets
    }

    /// apt's order of providers of `wanted`.
    fn prefer(&self, wanted: &str, a: Package, b: Package) -> Ordering {
        let first = |x: bool, y: bool| y.cmp(&x);
        let state = |p: Package| self.states[self.space.name_of(p)];
        let current = |p: Package| state(p).is_some_and(|s| s.current.is_some());
        let (ra, rb) = (self.space.record(a), self.space.record(b));
        let same = |p: Package| self.space.record(p).multi_arch() == MultiArch::Same && current(p);
        first(state(a).is_some_and(|s| s.protected), state(b).is_some_and(|s| s.protected))
            .then_with(|| first(same(a), same(b)))
            .then_with(|| first(current(a), current(b)))
            .then_with(|| first(ra.name() == wanted, rb.name() == wanted))
            .then_with(|| first(ra.is_essential(), rb.is_essential()))
            .then_with(|| first(ra.is_protected(), rb.is_protected()))
            .then_with(|| ra.priority().cmp(&rb.priority()))
            // Whichever apt heard of last.
            .then_with(|| self.space.universe.rank(rb.name()).cmp(&self.space.universe.rank(ra.name())))
            .then_with(|| a.cmp(&b))
    }
}
