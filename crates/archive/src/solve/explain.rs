//! Why there is no answer, in words.
//!
//! What is wished for forces some packages, these force others, and so on; the first relation that cannot hold among
//! what is forced is told with the way that leads to it. That explains nearly every real case; where the contradiction
//! lies deeper, the smallest set of wishes that cannot be had together is named.

use std::collections::BTreeMap;

use super::provider::{Question, solve};
use super::space::{Dependency, Name, Package, Space};

/// Why a package is needed.
#[derive(Debug, Clone)]
enum Cause {
    Asked,
    Essential,
    By(Name),
}

struct Forced {
    /// The versions that are still possible.
    versions: Vec<Package>,
    cause: Cause,
}

/// Explains why `asked` (with `essential`) has no answer.
pub(super) fn explain(
    space: &mut Space<'_>,
    essential: &[Name],
    asked: &[Name],
    pinned: &dyn Fn(Name) -> Option<Package>,
) -> Vec<String> {
    let core = smallest(space, essential, asked, pinned);
    if let Some(words) = propagate(space, essential, &core, pinned) {
        return words;
    }
    let names: Vec<_> = core.iter().map(|n| space.name_text(*n)).collect();
    match names.as_slice() {
        [] => vec!["the essential packages of these suites cannot be installed together".to_owned()],
        [one] => vec![format!("what {one} needs cannot be installed together")],
        [rest @ .., last] => {
            vec![format!("{} and {last} need things that cannot be installed together", rest.join(", "))]
        }
    }
}

/// The wishes without which there would be an answer.
fn smallest(
    space: &mut Space<'_>,
    essential: &[Name],
    asked: &[Name],
    pinned: &dyn Fn(Name) -> Option<Package>,
) -> Vec<Name> {
    let mut core = asked.to_vec();
    let nothing = Default::default();
    for &name in asked {
        let without: Vec<Name> = core.iter().copied().filter(|n| *n != name).collect();
        let required: Vec<Name> = essential.iter().chain(&without).copied().collect();
        let question = Question { required: &required, preferred: &nothing, wish: false, pinned };
        if let Ok(None) = solve(space, &question) {
            core = without;
        }
    }
    core
}

fn propagate(
    space: &mut Space<'_>,
    essential: &[Name],
    asked: &[Name],
    pinned: &dyn Fn(Name) -> Option<Package>,
) -> Option<Vec<String>> {
    let mut forced: BTreeMap<Name, Forced> = BTreeMap::new();
    let mut queue = Vec::new();
    let roots = essential.iter().map(|n| (*n, Cause::Essential)).chain(asked.iter().map(|n| (*n, Cause::Asked)));
    for (name, cause) in roots {
        let versions = pinned(name).map_or_else(|| space.versions(name).to_vec(), |p| vec![p]);
        forced.insert(name, Forced { versions, cause });
        queue.push(name);
    }
    let mut steps = 0;
    while let Some(name) = queue.pop() {
        steps += 1;
        if steps > 20_000 {
            return None;
        }
        // Conflicts of what is forced to one version take versions away from others.
        let versions = forced.get(&name)?.versions.clone();
        if let [only] = versions[..] {
            for d in space.dependencies(only).iter().filter(|d| d.is_negative()) {
                for target in d.targets() {
                    let other = space.name_of(target);
                    let Some(f) = forced.get_mut(&other) else { continue };
                    let before = f.versions.len();
                    f.versions.retain(|v| *v != target);
                    if f.versions.is_empty() {
                        return Some(conflict(space, &forced, name, only, other, target, d));
                    }
                    if f.versions.len() < before {
                        queue.push(other);
                    }
                }
            }
            for (&other, f) in &forced {
                if let ([theirs], true) = (&f.versions[..], other != name)
                    && let Some(d) =
                        space.dependencies(*theirs).iter().find(|d| d.is_negative() && d.targets().any(|t| t == only))
                {
                    return Some(conflict(space, &forced, other, *theirs, name, only, d));
                }
            }
        }
        // A version some dependency of which cannot hold is out; if it was the last one, that is the reason.
        for &package in &versions {
            for d in space.dependencies(package).iter().filter(|d| d.is_critical() && !d.is_negative()) {
                let possible: Vec<Package> = d.targets().filter(|t| is_possible(space, &forced, *t)).collect();
                let Some(&first) = possible.first() else {
                    let f = forced.get_mut(&name)?;
                    f.versions.retain(|v| *v != package);
                    if f.versions.is_empty() {
                        return Some(unmet(space, &forced, name, package, d));
                    }
                    queue.push(name);
                    break;
                };
                let target = space.name_of(first);
                if versions.len() > 1 || possible.iter().any(|p| space.name_of(*p) != target) {
                    continue;
                }
                match forced.get_mut(&target) {
                    None => {
                        forced.insert(target, Forced { versions: possible, cause: Cause::By(name) });
                        queue.push(target);
                    }
                    Some(f) => {
                        let before = f.versions.len();
                        f.versions.retain(|v| possible.contains(v));
                        if f.versions.len() < before {
                            queue.push(target);
                        }
                    }
                }
            }
        }
    }
    None
}

/// Whether a package can stand beside what is forced.
fn is_possible(space: &mut Space<'_>, forced: &BTreeMap<Name, Forced>, package: Package) -> bool {
    let name = space.name_of(package);
    if let Some(f) = forced.get(&name) {
        return f.versions.contains(&package);
    }
    let clashes = |a: &[Dependency], b: Package| a.iter().any(|d| d.is_negative() && d.targets().any(|t| t == b));
    let own = space.dependencies(package);
    for f in forced.values() {
        if let [only] = f.versions[..]
            && (clashes(&own, only) || clashes(&space.dependencies(only), package))
        {
            return false;
        }
    }
    true
}

fn verb(d: &Dependency) -> &'static str {
    if d.kind == super::space::Kind::Conflicts(true) { "breaks" } else { "conflicts with" }
}

fn conflict(
    space: &Space<'_>,
    forced: &BTreeMap<Name, Forced>,
    name: Name,
    package: Package,
    other: Name,
    target: Package,
    d: &Dependency,
) -> Vec<String> {
    let what = if d.alternatives[0].name == space.name_text(other) {
        d.text()
    } else {
        format!("{} (which {} is)", d.text(), space.name_text(other))
    };
    let mut words = vec![format!(
        "{} {} {what}; {} cannot be installed beside it",
        space.text(package),
        verb(d),
        space.text(target)
    )];
    words.extend(way(space, forced, name));
    words.extend(way(space, forced, other));
    words
}

fn unmet(
    space: &mut Space<'_>,
    forced: &BTreeMap<Name, Forced>,
    name: Name,
    package: Package,
    d: &Dependency,
) -> Vec<String> {
    let needs = format!("{} needs {}", space.text(package), d.text());
    let mut words = Vec::new();
    if d.targets().next().is_none() {
        let mut there = Vec::new();
        for alternative in &d.alternatives {
            let Some(n) = space.name(&alternative.name) else { continue };
            for &p in space.versions(n) {
                let suite = &space.universe.member(space.id(p)).suite;
                there.push(if suite.is_empty() { space.text(p) } else { format!("{} is in {suite}", space.text(p)) });
            }
        }
        let there = if there.is_empty() { String::new() } else { format!("; {}", there.join(", ")) };
        words.push(format!("{needs}, which no suite has{there}"));
    } else {
        let mut reasons = Vec::new();
        for target in d.targets() {
            let other = space.name_of(target);
            reasons.push(match forced.get(&other) {
                Some(f) => match f.versions.first() {
                    Some(v) => {
                        format!("{} must be installed instead of {}", space.text(*v), space.record(target).version())
                    }
                    None => format!("{} cannot be installed", space.text(target)),
                },
                None => {
                    let certain =
                        forced.values().filter(|f| f.versions.len() == 1).filter_map(|f| f.versions.first().copied());
                    let clash = certain.collect::<Vec<_>>().into_iter().find_map(|v| {
                        let hit = |space: &mut Space<'_>, a: Package, b: Package| {
                            let dependencies = space.dependencies(a);
                            let d = dependencies.iter().find(|d| d.is_negative() && d.targets().any(|t| t == b))?;
                            Some(format!("{} {} {}", space.text(a), verb(d), d.text()))
                        };
                        hit(space, v, target).or_else(|| hit(space, target, v))
                    });
                    clash.unwrap_or_else(|| format!("{} cannot be installed", space.text(target)))
                }
            });
        }
        words.push(format!("{needs}, but {}", reasons.join("; ")));
    }
    words.extend(way(space, forced, name));
    words
}

/// How a package came to be needed: "libfoo is needed by bar, which you asked for".
fn way(space: &Space<'_>, forced: &BTreeMap<Name, Forced>, name: Name) -> Option<String> {
    let mut words = space.name_text(name).to_owned();
    let mut at = name;
    let mut first = true;
    for _ in 0..20 {
        match forced.get(&at)?.cause {
            Cause::Asked if first => return None,
            Cause::Asked => return Some(format!("{words}, which was asked for")),
            Cause::Essential => return Some(format!("{words}, which every system has")),
            Cause::By(next) => {
                let by = space.name_text(next);
                words = if first { format!("{words} is needed by {by}") } else { format!("{words}, needed by {by}") };
                first = false;
                at = next;
            }
        }
    }
    Some(words)
}
