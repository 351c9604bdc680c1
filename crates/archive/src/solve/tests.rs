//! The solver against all answers there are, on worlds small enough to try them all.

use proptest::prelude::*;

use super::*;
use crate::digest::Sha256;
use crate::index::{self, Index};
use crate::release::Release;
use crate::suite::Loaded;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// A relation: a name, and whether any version, only the first, or only the second will do.
#[derive(Debug, Clone)]
struct Relation {
    name: usize,
    version: Option<u8>,
}

impl Relation {
    fn text(&self) -> String {
        let version = self.version.map(|v| format!(" (= {})", v + 1)).unwrap_or_default();
        format!("{}{version}", NAMES[self.name])
    }

    fn holds(&self, world: &World, choice: &[Option<u8>]) -> bool {
        let real = choice[self.name].is_some_and(|v| self.version.is_none_or(|w| w == v));
        // Names are provided without a version.
        let provided = || {
            choice
                .iter()
                .enumerate()
                .any(|(n, v)| v.is_some_and(|v| world[n][usize::from(v)].provides == Some(self.name)))
        };
        real || self.version.is_none() && provided()
    }
}

#[derive(Debug, Clone)]
struct Made {
    depends: Vec<Vec<Relation>>,
    conflicts: Vec<Relation>,
    provides: Option<usize>,
}

/// For each name its versions, "1" first.
type World = Vec<Vec<Made>>;

fn relation() -> impl Strategy<Value = Relation> {
    (0..NAMES.len(), prop::option::weighted(0.3, 0..2u8)).prop_map(|(name, version)| Relation { name, version })
}

fn made() -> impl Strategy<Value = Made> {
    let depends = prop::collection::vec(prop::collection::vec(relation(), 1..3), 0..3);
    let conflicts = prop::collection::vec(relation(), 0..2);
    (depends, conflicts, prop::option::weighted(0.2, 0..NAMES.len())).prop_map(|(depends, conflicts, provides)| Made {
        depends,
        conflicts,
        provides,
    })
}

fn world() -> impl Strategy<Value = World> {
    prop::collection::vec(prop::collection::vec(made(), 1..3), NAMES.len())
}

fn universe(world: &World) -> Universe {
    let mut text = String::new();
    for (name, versions) in NAMES.iter().zip(world) {
        for (i, made) in versions.iter().enumerate() {
            let digest = Sha256::of(format!("{name}{i}").as_bytes());
            text.push_str(&format!("Package: {name}\nVersion: {}\nArchitecture: amd64\n", i + 1));
            let list = |field: &str, items: Vec<String>| {
                if items.is_empty() { String::new() } else { format!("{field}: {}\n", items.join(", ")) }
            };
            let group = |g: &Vec<Relation>| g.iter().map(Relation::text).collect::<Vec<_>>().join(" | ");
            text.push_str(&list("Depends", made.depends.iter().map(group).collect()));
            text.push_str(&list("Conflicts", made.conflicts.iter().map(Relation::text).collect()));
            text.push_str(&list("Provides", made.provides.iter().map(|p| NAMES[*p].to_owned()).collect()));
            text.push_str(&format!("Filename: {name}\nSize: 1\nSHA256: {digest}\n\n"));
        }
    }
    let bytes = index::compile(&[&text], "amd64", Sha256::of(b"")).unwrap().index;
    let index = Index::load(bytes, Sha256::of(b"")).unwrap();
    let release = Release { not_automatic: false, ..Release::unpublished() };
    let loaded = Loaded { release, release_sha256: Sha256::of(b""), index };
    Universe::new(vec![("test".to_owned(), "trixie".to_owned(), loaded)], "amd64")
}

/// Whether every relation holds in a choice of versions.
fn is_right(world: &World, choice: &[Option<u8>]) -> bool {
    choice.iter().enumerate().all(|(name, version)| {
        let Some(version) = version else { return true };
        let made = &world[name][usize::from(*version)];
        let without_itself: Vec<Option<u8>> = choice.iter().enumerate().map(|(n, v)| v.filter(|_| n != name)).collect();
        made.depends.iter().all(|group| group.iter().any(|r| r.holds(world, choice)))
            && made.conflicts.iter().all(|r| !r.holds(world, &without_itself))
    })
}

/// All choices of versions.
fn choices(world: &World) -> Vec<Vec<Option<u8>>> {
    let mut all = vec![Vec::new()];
    for versions in world {
        let options: Vec<Option<u8>> = std::iter::once(None).chain((0..versions.len() as u8).map(Some)).collect();
        all = all.iter().flat_map(|c| options.iter().map(|o| [c.as_slice(), &[*o]].concat())).collect();
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn there_is_an_answer_exactly_if_trying_all_finds_one(world in world(), asked in prop::collection::btree_set(0..NAMES.len(), 1..4)) {
        let wanted: Vec<Wanted> = asked.iter().map(|n| Wanted::any(NAMES[*n])).collect();
        let request = Request { requested: &wanted, recommends: false, previous: None, upgrade: false };
        let fulfils = |c: &[Option<u8>]| asked.iter().all(|n| c[*n].is_some());
        let possible = choices(&world).into_iter().any(|c| fulfils(&c) && is_right(&world, &c));
        match resolve(&universe(&world), &request) {
            Ok(answer) => {
                let choice: Vec<Option<u8>> =
                    NAMES.iter().map(|n| answer.packages.get(*n).map(|c| c.version.parse::<u8>().unwrap() - 1)).collect();
                prop_assert!(fulfils(&choice) && is_right(&world, &choice), "{choice:?}");
            }
            Err(Error::Unsolvable(why)) => {
                prop_assert!(!possible, "{why}");
                prop_assert!(!why.reasons.is_empty() && why.reasons.iter().all(|r| !r.is_empty()));
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn the_same_question_has_the_same_answer(world in world(), asked in 0..NAMES.len()) {
        let wanted = [Wanted::any(NAMES[asked])];
        let request = Request { requested: &wanted, recommends: false, previous: None, upgrade: false };
        let answer = || resolve(&universe(&world), &request).map_err(|e| e.to_string());
        prop_assert_eq!(answer(), answer());
    }
}
