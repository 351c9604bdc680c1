//! The model: values without text. It knows nothing of the code that it judges.

use std::collections::{BTreeMap, BTreeSet};

/// The two servers are 0 and 1.
pub(super) const ROLE: usize = 2;

/// What is in the fleet at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct World {
    /// What the servers are called.
    pub(super) names: [String; 2],
    /// By place and key, as written.
    pub(super) values: BTreeMap<(usize, String), String>,
    /// The lines of a text that change.
    pub(super) lines: [usize; 4],
    /// A file of the first server.
    pub(super) extra: Option<String>,
}

/// Where something is that must be decided: place and key or table; a text that is no TOML has its name.
pub(super) type Clash = (usize, String);

/// Makes the change from `base` to `wanted` on `now`; returns what clashes, which stays as it was.
pub(super) fn step(now: &mut World, base: &World, wanted: &World) -> BTreeSet<Clash> {
    let mut clashes = BTreeSet::new();
    let mut wanted = wanted.clone();
    let mut forced = Vec::new();
    for ((place, key), value) in &base.values {
        let gone = !wanted.values.contains_key(&(*place, key.clone()));
        let to = (0..=ROLE).find(|to| {
            let at = (*to, key.clone());
            to != place && !base.values.contains_key(&at) && wanted.values.get(&at) == Some(value)
        });
        // A key that is moved takes the value of now along.
        if let (true, Some(to), Some(newer)) = (gone, to, now.values.get(&(*place, key.clone())))
            && newer != value
        {
            wanted.values.insert((to, key.clone()), newer.clone());
            forced.push((*place, key.clone()));
        }
    }
    for at in forced {
        now.values.remove(&at);
        // Nothing is left to be changed there.
        wanted.values.remove(&at);
    }
    for place in [ROLE, 0, 1] {
        let tables: BTreeSet<String> = base
            .values
            .keys()
            .chain(wanted.values.keys())
            .chain(now.values.keys())
            .filter(|(p, _)| *p == place)
            .map(|(_, key)| table(key).to_owned())
            .collect();
        for name in tables {
            self::one_table(now, base, &wanted, place, &name, &mut clashes);
        }
    }
    for n in 0..2 {
        if base.names[n] != wanted.names[n] && now.names[n] == base.names[n] {
            now.names[n].clone_from(&wanted.names[n]);
        }
    }
    let changed = |a: &World, b: &World, n: usize| a.lines[n] != b.lines[n];
    let clash = (0..4).any(|n| changed(base, &wanted, n) && changed(base, now, n) && changed(now, &wanted, n));
    if clash {
        clashes.insert((ROLE + 1, "notes.txt".to_owned()));
    } else {
        for n in (0..4).filter(|n| changed(base, &wanted, *n)) {
            now.lines[n] = wanted.lines[n];
        }
    }
    if base.extra != wanted.extra && now.extra != wanted.extra {
        if now.extra == base.extra {
            now.extra.clone_from(&wanted.extra);
        } else {
            clashes.insert((0, "extra".to_owned()));
        }
    }
    clashes
}

fn one_table(now: &mut World, base: &World, wanted: &World, place: usize, name: &str, clashes: &mut BTreeSet<Clash>) {
    let of = |world: &World| -> BTreeMap<String, String> {
        let mine = world.values.iter().filter(|((p, key), _)| *p == place && table(key) == name);
        mine.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    };
    let (b, s, t) = (of(base), of(now), of(wanted));
    if b == t || s == t {
        return;
    }
    // An object is there or not; a table of the first level is always there.
    let object = name.contains('.');
    if object && s != b && (s.is_empty() || t.is_empty()) {
        clashes.insert((place, name.to_owned()));
        return;
    }
    let keys: BTreeSet<&String> = b.keys().chain(t.keys()).collect();
    for key in keys {
        let at = (place, key.clone());
        let (b, s, t) = (b.get(key), s.get(key), t.get(key));
        if b == t || s == t {
            continue;
        }
        if s == b {
            put(now, at, t.cloned());
        } else if let (Some(b), Some(s), Some(t), true) = (b, s, t, key.ends_with(".groups")) {
            let (b, s, t) = (elements(b), elements(s), elements(t));
            let merged: BTreeSet<&str> =
                s.difference(&b).chain(s.intersection(&t)).chain(t.difference(&b)).copied().collect();
            put(now, at, Some(set(merged)));
        } else if let (Some(b), None, Some(t)) = (b, s, t)
            && elsewhere(now, &at, b, t)
        {
        } else {
            clashes.insert(at);
        }
    }
}

/// A key that was moved since: a role's is changed at the servers that have it now, a server's stands beside the role's.
fn elsewhere(now: &mut World, (place, key): &(usize, String), base: &str, wanted: &str) -> bool {
    let has = |now: &World, place: usize| now.values.get(&(place, key.clone())).is_some_and(|v| v == base);
    if *place != ROLE {
        let there = has(now, ROLE);
        if there {
            put(now, (*place, key.clone()), Some(wanted.to_owned()));
        }
        return there;
    }
    let servers: Vec<usize> = (0..2).filter(|server| has(now, *server)).collect();
    for server in &servers {
        put(now, (*server, key.clone()), Some(wanted.to_owned()));
    }
    !servers.is_empty()
}

fn put(world: &mut World, at: (usize, String), value: Option<String>) {
    match value {
        Some(value) => drop(world.values.insert(at, value)),
        None => drop(world.values.remove(&at)),
    }
}

/// All of a key but its last part.
pub(super) fn table(key: &str) -> &str {
    key.rsplit_once('.').map_or("", |(table, _)| table)
}

fn elements(list: &str) -> BTreeSet<&str> {
    list.split('"').skip(1).step_by(2).collect()
}

/// A list of words, as written.
pub(super) fn set<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|w| format!("\"{w}\"")).collect();
    format!("[{}]", words.join(", "))
}

impl World {
    /// The files of this moment, as a person would have written them.
    pub(super) fn files(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        out.insert("regrow.toml".to_owned(), "schema = 1\n".to_owned());
        for place in 0..=ROLE {
            let head = if place == ROLE {
                "# What all have.\n".to_owned()
            } else {
                format!("# The server {place}.\nschema = 1\nroles = [\"base\"]\n")
            };
            let mut text = head;
            let mut last = "";
            for ((_, key), value) in self.values.iter().filter(|((p, _), _)| *p == place) {
                if table(key) != last {
                    last = table(key);
                    text.push_str(&format!("\n# The table {last}.\n[{last}]\n"));
                }
                let name = &key[last.len() + 1..];
                text.push_str(&format!("{name} = {value}   # about {key}\n"));
            }
            out.insert(self.path(place), text);
        }
        let lines = self.lines.iter().map(|n| format!("one\ntwo\nvalue {n}\nthree\nfour\nfive\n"));
        out.insert("notes.txt".to_owned(), lines.collect());
        if let Some(extra) = &self.extra {
            out.insert(format!("servers/{}/root/etc/extra", self.names[0]), format!("{extra}\n"));
        }
        out
    }

    /// Where a place's text is.
    pub(super) fn path(&self, place: usize) -> String {
        match place {
            ROLE => "roles/base.toml".to_owned(),
            server => format!("servers/{}/server.toml", self.names[server]),
        }
    }
}
