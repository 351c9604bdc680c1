//! From our text to the wanted value, taking from theirs as much of the writing as can be taken.

use std::collections::BTreeMap;

use super::value::{Three, Wanted};
use super::{Sides, lines};
use crate::KeyPath;
use crate::edit::array;
use crate::edit::note::{all_parts, parts, write_parts};
use crate::edit::plain::{self, Plain};
use crate::edit::{Comments, Edit, EditError, apply, note, places};

type Table = BTreeMap<String, Plain>;

/// The merged text. What cannot be brought into the text by key becomes a conflict in `wanted`, as in ours.
pub(super) fn weave(sides: &Sides<'_>, values: &Three, wanted: &mut Wanted) -> String {
    let lined = lines::merge(sides.base, sides.ours, sides.theirs);
    if let Some(value) = plain::parse(&lined) {
        let same = value == wanted.value;
        if let Ok(text) = (Weaver { sides, values, wanted, text: lined.clone() }).run() {
            return text;
        }
        if same {
            return lined;
        }
    }
    let mut refused = wanted.clone();
    loop {
        match (Weaver { sides, values, wanted: &refused, text: sides.ours.to_owned() }).run() {
            Ok(text) => {
                *wanted = refused;
                return text;
            }
            Err(key) => {
                // It stays as in ours, and a person is told.
                let key = top_change(&key, values);
                if refused.conflicts.contains(&key) {
                    refused.value.clone_from(&values.ours);
                } else {
                    restore(&mut refused.value, &key.0, plain::get(&values.ours, &key.0));
                    refused.conflicts.retain(|c| !c.is_under(&key));
                    refused.conflicts.push(key);
                    refused.conflicts.sort();
                }
            }
        }
    }
}

/// The key as far as it is there in some text.
fn top_change(key: &KeyPath, values: &Three) -> KeyPath {
    let there = |depth: &usize| {
        let path = &key.0[..*depth];
        [&values.base, &values.ours, &values.theirs].into_iter().any(|table| plain::get(table, path).is_some())
    };
    KeyPath(key.0[..(1..=key.0.len()).rev().find(there).unwrap_or(1)].to_vec())
}

fn restore(table: &mut Table, path: &[String], value: Option<&Plain>) {
    let Some((first, rest)) = path.split_first() else { return };
    if !rest.is_empty() {
        if let Plain::Table(inner) = table.entry(first.clone()).or_insert_with(|| Plain::Table(Table::new())) {
            restore(inner, rest, value);
        }
        return;
    }
    match value {
        Some(value) => drop(table.insert(first.clone(), value.clone())),
        None => drop(table.remove(first)),
    }
}

struct Weaver<'w, 't> {
    sides: &'w Sides<'t>,
    values: &'w Three,
    wanted: &'w Wanted,
    text: String,
}

impl<'t> Weaver<'_, 't> {
    /// The text, or the key that could not be brought in.
    fn run(mut self) -> Result<String, KeyPath> {
        let mut last = KeyPath::default();
        // Each round mends at least one key; the bound only guards against a patch that undoes another.
        for _ in 0..10_000 {
            let now = plain::parse(&self.text).ok_or_else(|| last.clone())?;
            let Some(key) = difference(&KeyPath::default(), &now, &self.wanted.value, &|key| self.may_lack(key)) else {
                self.notes();
                return Ok(self.text);
            };
            self.mend(&now, &key).map_err(|_| key.clone())?;
            if key == last {
                return Err(key);
            }
            last = key;
        }
        Err(last)
    }

    /// Whether the table at `key` may be missing when it is empty: one that held something on all sides.
    fn may_lack(&self, key: &KeyPath) -> bool {
        let sides = [&self.values.base, &self.values.ours, &self.values.theirs];
        let there = || sides.into_iter().filter_map(|table| plain::get(table, &key.0));
        let empty = |value: &Plain| matches!(value, Plain::Table(inner) if inner.is_empty());
        there().count() > 0 && !there().any(empty)
    }

    fn mend(&mut self, now: &Table, key: &KeyPath) -> Result<(), EditError> {
        let want = plain::get(&self.wanted.value, &key.0);
        match (plain::get(now, &key.0), want) {
            (Some(Plain::Array(has)), Some(Plain::Array(want))) if crate::schema::is_set(key) => {
                self.set_array(key, has, want)
            }
            (Some(Plain::Table(_)), Some(value)) | (Some(_), Some(value @ Plain::Table(_))) => {
                self.edit(&Edit::Unset { key: key.to_string(), comments: Comments::Keep })?;
                self.add(key, value)
            }
            (Some(_), Some(value)) => {
                let literal = self.written(key, value);
                match self.edit(&Edit::Set { key: key.to_string(), value: literal }) {
                    // An array of tables cannot be replaced in place.
                    Err(EditError::Unsupported { .. }) => {
                        self.edit(&Edit::Unset { key: key.to_string(), comments: Comments::Keep })?;
                        self.add(key, value)
                    }
                    done => done,
                }
            }
            (Some(_), None) => self.remove(key),
            (None, Some(value)) => self.add(key, value),
            (None, None) => Ok(()),
        }
    }

    fn edit(&mut self, edit: &Edit) -> Result<(), EditError> {
        let patch = apply(&self.text, edit)?;
        self.text = patch.apply(&self.text);
        Ok(())
    }

    /// Element by element, so that the others stay as written; as a whole where that does not lead to the wanted list.
    fn set_array(&mut self, key: &KeyPath, has: &[Plain], want: &[Plain]) -> Result<(), EditError> {
        let before = self.text.clone();
        let now = |text: &str| plain::get(&plain::parse(text).unwrap_or_default(), &key.0).cloned();
        let wanted = Plain::Array(want.to_vec());
        if self.element_by_element(key, has, want).is_err() || now(&self.text).as_ref() != Some(&wanted) {
            self.text = before;
            let value = self.written(key, &wanted);
            self.edit(&Edit::Set { key: key.to_string(), value })?;
        }
        Ok(())
    }

    fn element_by_element(&mut self, key: &KeyPath, has: &[Plain], want: &[Plain]) -> Result<(), EditError> {
        for (at, gone) in has.iter().enumerate().filter(|(_, element)| !want.contains(element)) {
            if !has[..at].contains(gone) {
                self.edit(&Edit::Remove { key: key.to_string(), value: gone.literal() })?;
            }
        }
        for new in want.iter().filter(|element| !has.contains(element)) {
            let found = array::written(self.sides.theirs, key, new);
            let (literal, words) = found.unwrap_or_else(|| (new.literal(), None));
            self.edit(&Edit::Add { key: key.to_string(), value: literal })?;
            let worded = words.and_then(|words| array::comment(&self.text, key, new, &words));
            if let Some(patch) = worded {
                self.text = patch.apply(&self.text);
            }
        }
        Ok(())
    }

    /// A comment above goes with its key if it stood there before both changes.
    fn remove(&mut self, key: &KeyPath) -> Result<(), EditError> {
        let own = note(&self.text, key).is_some() && note(&self.text, key) == note(self.sides.base, key);
        let comments = if own { Comments::Remove } else { Comments::Keep };
        self.edit(&Edit::Unset { key: key.to_string(), comments })
    }

    fn add(&mut self, key: &KeyPath, value: &Plain) -> Result<(), EditError> {
        let (source, _) = self.source(key, value);
        match value {
            Plain::Table(inner) if !inner.is_empty() && !is_inline(source, key) => {
                for child in children(source, key, inner) {
                    let path = key.child(&child);
                    self.add(&path, &inner[&child])?;
                }
                self.take_note(source, key);
                Ok(())
            }
            _ => {
                let literal = self.written(key, value);
                self.edit(&Edit::Set { key: key.to_string(), value: literal })?;
                self.take_note(source, key);
                Ok(())
            }
        }
    }

    fn take_note(&mut self, source: &str, key: &KeyPath) {
        if let Some(words) = parts(source, key)
            // A comment that cannot stand here is no reason to refuse the value.
            && let Ok(patch) = write_parts(&self.text, key, &words)
        {
            self.text = patch.apply(&self.text);
        }
    }

    /// The text from which a value is taken.
    fn source(&self, key: &KeyPath, value: &Plain) -> (&'t str, bool) {
        let sides = [
            (self.sides.theirs, &self.values.theirs),
            (self.sides.ours, &self.values.ours),
            (self.sides.base, &self.values.base),
        ];
        match sides.into_iter().find(|(_, table)| plain::get(table, &key.0) == Some(value)) {
            Some((text, _)) => (text, true),
            None => (self.sides.theirs, false),
        }
    }

    /// The value as written where it comes from.
    fn written(&self, key: &KeyPath, value: &Plain) -> String {
        let (text, same) = self.source(key, value);
        let place = places(text).into_iter().find(|(path, place)| path == key && place.key.end <= place.value.start);
        match place {
            Some((_, place)) if same => text[place.value].to_owned(),
            _ => value.literal(),
        }
    }

    /// Comments that only theirs changed.
    fn notes(&mut self) {
        let [base, ours, theirs] = [self.sides.base, self.sides.ours, self.sides.theirs].map(all_parts);
        for (key, _) in places(self.sides.theirs) {
            let (base, ours, theirs) = (base.get(&key), ours.get(&key), theirs.get(&key));
            let known = |table| plain::get(table, &key.0).is_some();
            if theirs == base || ours != base || !known(&self.values.base) || !known(&self.values.ours) {
                continue;
            }
            if parts(&self.text, &key).as_ref() == base
                && let Ok(patch) = write_parts(&self.text, &key, &theirs.cloned().unwrap_or_default())
            {
                self.text = patch.apply(&self.text);
            }
        }
    }
}

/// The first key in which two values differ, as deep as both are tables.
fn difference(path: &KeyPath, now: &Table, want: &Table, may_lack: &dyn Fn(&KeyPath) -> bool) -> Option<KeyPath> {
    let empty = |value: &Plain| matches!(value, Plain::Table(table) if table.is_empty());
    for (key, value) in now {
        let path = path.child(key);
        match (value, want.get(key)) {
            (Plain::Table(now), Some(Plain::Table(want))) => {
                if let Some(found) = difference(&path, now, want, may_lack) {
                    return Some(found);
                }
            }
            (value, Some(want)) if value == want => {}
            (value, None) if empty(value) && may_lack(&path) => {}
            _ => return Some(path),
        }
    }
    let missing = want.iter().find(|(key, value)| {
        let path = path.child(key);
        let lacking = empty(value) && may_lack(&path);
        !lacking && !now.contains_key(*key)
    });
    missing.map(|(key, _)| path.child(key))
}

/// Whether `key` is one value in the text, not made by headers or dots.
fn is_inline(text: &str, key: &KeyPath) -> bool {
    places(text).iter().any(|(path, place)| path == key && place.key.end <= place.value.start)
}

/// The children of a table in the order in which `text` has them.
fn children(text: &str, key: &KeyPath, table: &Table) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let depth = key.0.len();
    for path in plain::order(text).into_iter().filter(|path| path.is_under(key) && path.0.len() > depth) {
        if table.contains_key(&path.0[depth]) && !out.contains(&path.0[depth]) {
            out.push(path.0[depth].clone());
        }
    }
    out.extend(table.keys().filter(|name| !out.contains(name)).cloned().collect::<Vec<_>>());
    out
}

/// The value of a key as a literal: as written if it is one piece in the text.
pub(super) fn literal(text: &str, table: &Table, key: &KeyPath) -> Option<String> {
    let value = plain::get(table, &key.0)?;
    let place = places(text).into_iter().find(|(path, place)| path == key && place.key.end <= place.value.start);
    Some(place.map_or_else(|| value.literal(), |(_, place)| text[place.value].to_owned()))
}
