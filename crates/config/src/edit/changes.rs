//! What two texts differ in, key by key.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeTable;

use super::outline::{Entry, Outline};
use super::plain::{self, Plain};
use crate::KeyPath;

/// A key whose value is not the same in two texts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct KeyChange {
    /// The key of a value that is no table, or of an empty table.
    pub key: KeyPath,
    /// The old value as written; `None`: it was not there.
    pub before: Option<String>,
    /// The new value as written; `None`: it is gone.
    pub after: Option<String>,
    /// Line of the key in the old text, from 1.
    pub line_before: Option<usize>,
    /// Line of the key in the new text, from 1.
    pub line_after: Option<usize>,
}

/// The keys whose values differ, in the order of the new text; a key that is gone comes after the one that was above
/// it. How a value or a table is written is no difference. Of texts with mistakes, what can be read is compared.
pub fn key_changes(old: &str, new: &str) -> Vec<KeyChange> {
    let (before, after) = (leaves(old), leaves(new));
    let index: BTreeMap<&KeyPath, usize> = after.iter().enumerate().map(|(i, leaf)| (&leaf.key, i)).collect();
    let old_index: BTreeMap<&KeyPath, usize> = before.iter().enumerate().map(|(i, leaf)| (&leaf.key, i)).collect();
    let mut changes: Vec<((usize, usize), KeyChange)> = Vec::new();
    let mut above = 0;
    for (i, leaf) in before.iter().enumerate() {
        match index.get(&leaf.key) {
            Some(at) => above = at + 1,
            None => changes.push(((above, i + 1), change(Some(leaf), None))),
        }
    }
    for (i, leaf) in after.iter().enumerate() {
        let was = old_index.get(&leaf.key).map(|at| &before[*at]);
        if was.is_none_or(|was| was.value != leaf.value) {
            changes.push(((i + 1, 0), change(was, Some(leaf))));
        }
    }
    changes.sort_by_key(|(order, _)| *order);
    changes.into_iter().map(|(_, change)| change).collect()
}

fn change(before: Option<&Leaf>, after: Option<&Leaf>) -> KeyChange {
    KeyChange {
        key: after.or(before).map(|leaf| leaf.key.clone()).unwrap_or_default(),
        before: before.map(|leaf| leaf.literal.clone()),
        after: after.map(|leaf| leaf.literal.clone()),
        line_before: before.map(|leaf| leaf.line),
        line_after: after.map(|leaf| leaf.line),
    }
}

struct Leaf {
    key: KeyPath,
    literal: String,
    value: Plain,
    line: usize,
}

fn leaves(text: &str) -> Vec<Leaf> {
    let outline = Outline::lenient(text);
    let (table, _) = DeTable::parse_recoverable(text);
    let table = plain::from_table(table.get_ref());
    let mut out: Vec<Leaf> = Vec::new();
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    for section in &outline.sections {
        let Some(header) = section.header.clone() else {
            among(text, &section.entries, &KeyPath::default(), &table, &mut out);
            continue;
        };
        let path = &section.path;
        // An array of tables is one value; its first header stands for it.
        let array = outline.sections.iter().find(|s| s.array && path.starts_with(&s.path));
        let key = KeyPath(array.map_or_else(|| path.clone(), |array| array.path.clone()));
        let leaf = match plain::get(&table, &key.0) {
            Some(value @ Plain::Array(_)) => Some(value),
            Some(value @ Plain::Table(inner)) if inner.is_empty() => Some(value),
            _ => None,
        };
        if let Some(value) = leaf
            && !out.iter().any(|leaf| leaf.key == key)
        {
            out.push(Leaf { key, literal: value.literal(), value: value.clone(), line: line(header.start) });
        }
        if array.is_none() {
            among(text, &section.entries, &KeyPath(path.clone()), &table, &mut out);
        }
    }
    // A text with mistakes may have a key twice: the first counts, as it does in its value.
    let mut seen = BTreeSet::new();
    out.retain(|leaf| seen.insert(leaf.key.clone()));
    out
}

fn among(text: &str, entries: &[Entry], parent: &KeyPath, table: &BTreeMap<String, Plain>, out: &mut Vec<Leaf>) {
    for entry in entries {
        let mut key = parent.clone();
        key.0.extend(entry.path.iter().cloned());
        match &entry.inline {
            Some(inline) if !inline.is_empty() => among(text, inline, &key, table, out),
            _ => {
                let literal = text.get(entry.value.clone()).unwrap_or_default().to_owned();
                let Some(value) = plain::get(table, &key.0).cloned().or_else(|| plain::parse_value(&literal)) else {
                    continue;
                };
                let line = text[..entry.key.start].matches('\n').count() + 1;
                out.push(Leaf { key, literal, value, line });
            }
        }
    }
}
