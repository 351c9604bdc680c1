//! Histories made by chance, always the same ones.

use std::collections::BTreeMap;

use super::model::{ROLE, World, set};

/// A small generator of numbers (xorshift): the same in every run.
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Rng {
        let mut rng = Rng((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            rng.next();
        }
        rng
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Keys with one value, and those of objects that come and go.
const KEYS: [&str; 11] = [
    "checks.front.http",
    "checks.front.status",
    "checks.front.timeout",
    "limits.memory",
    "limits.tasks",
    "packages.curl",
    "packages.git",
    "packages.nginx",
    "system.hostname",
    "system.locale",
    "system.timezone",
];
const OBJECT: [&str; 2] = ["checks.extra.port", "checks.extra.timeout"];
const WORDS: [&str; 6] = ["adm", "audio", "ssl", "sudo", "users", "video"];

pub(super) fn first() -> World {
    let mut world = World { names: ["a0".to_owned(), "b0".to_owned()], ..World::default() };
    for place in 0..2 {
        for (n, key) in KEYS.iter().enumerate() {
            world.values.insert((place, (*key).to_owned()), format!("\"first {place} {n}\""));
        }
        // Always there, so that no table of the first level is ever empty.
        world.values.insert((place, "packages.base-files".to_owned()), "\"*\"".to_owned());
        world.values.insert((place, "users.alice.comment".to_owned()), "\"Alice\"".to_owned());
        world.values.insert((place, "users.alice.groups".to_owned()), set(["adm", "sudo"]));
    }
    world.values.insert((ROLE, "packages.tree".to_owned()), "\"*\"".to_owned());
    world
}

/// Another changeset: one or two changes. `n` is its number in all of them.
pub(super) fn changeset(rng: &mut Rng, world: &World, n: usize) -> World {
    let mut world = world.clone();
    let mut renamed = false;
    for _ in 0..=rng.below(2) {
        let place = rng.below(2);
        let value = if rng.below(3) == 0 { format!("\"often {}\"", rng.below(3)) } else { format!("\"value {n}\"") };
        let key = KEYS[rng.below(KEYS.len())].to_owned();
        match rng.below(16) {
            0..6 => drop(world.values.insert((place, key), value)),
            6 => drop(world.values.remove(&(place, key))),
            7 => {
                for key in OBJECT {
                    world.values.insert((place, key.to_owned()), format!("\"object {n}\""));
                }
            }
            8 => OBJECT.iter().for_each(|key| drop(world.values.remove(&(place, (*key).to_owned())))),
            9 | 10 => toggle(rng, &mut world.values, place),
            11 => to_role(&mut world.values, place, ["packages.curl", "packages.git"][rng.below(2)]),
            12 => drop(world.values.insert((ROLE, "packages.tree".to_owned()), value)),
            13 if !renamed => {
                renamed = true;
                world.names[place] = format!("{}{n}", ["a", "b"][place]);
            }
            14 => world.extra = if rng.below(3) == 0 { None } else { Some(format!("extra {n}")) },
            _ => world.lines[rng.below(4)] = n,
        }
    }
    world
}

fn toggle(rng: &mut Rng, values: &mut BTreeMap<(usize, String), String>, place: usize) {
    let Some(list) = values.get_mut(&(place, "users.alice.groups".to_owned())) else { return };
    let mut words: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    let word = WORDS[rng.below(WORDS.len())];
    match words.iter().position(|w| *w == word) {
        Some(at) => drop(words.remove(at)),
        None => words.push(word),
    }
    let new = set(words);
    *list = new;
}

fn to_role(values: &mut BTreeMap<(usize, String), String>, place: usize, key: &str) {
    let role = (ROLE, key.to_owned());
    if !values.contains_key(&role)
        && let Some(value) = values.remove(&(place, key.to_owned()))
    {
        values.insert(role, value);
    }
}
