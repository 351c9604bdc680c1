//! The proof of a change: the new text parses, has exactly the wanted value at the key, and differs nowhere else.

use std::collections::BTreeMap;

use super::plain::{self, Plain};
use super::{EditError, Patch};
use crate::KeyPath;

/// Refuses a patch whose result is not `text` with `key` set to `wanted` (or, if `None`, without it).
///
/// The wanted value is made from the old value alone, by another way than the patch was.
pub(super) fn certify(text: &str, patch: &Patch, key: &KeyPath, wanted: Option<Plain>) -> Result<(), EditError> {
    let refused = || EditError::NotCertified { key: key.clone() };
    let ordered = patch.edits.windows(2).all(|pair| pair[0].0.end <= pair[1].0.start);
    let inside = patch.edits.iter().all(|(range, _)| text.get(range.clone()).is_some());
    if !ordered || !inside {
        return Err(refused());
    }
    let mut expected = plain::parse(text).ok_or_else(refused)?;
    match wanted {
        Some(value) => put(&mut expected, &key.0, value).ok_or_else(refused)?,
        None => take(&mut expected, &key.0).ok_or_else(refused)?,
    }
    let found = plain::parse(&patch.apply(text)).ok_or_else(refused)?;
    if found == expected {
        return Ok(());
    }
    // Tables that only the removed key made (by dots) go with it: the innermost, or more of them.
    for depth in (1..key.0.len()).rev() {
        if !remove_empty(&mut expected, &key.0[..depth]) {
            break;
        }
        if found == expected {
            return Ok(());
        }
    }
    Err(refused())
}

fn put(table: &mut BTreeMap<String, Plain>, path: &[String], value: Plain) -> Option<()> {
    let (first, rest) = path.split_first()?;
    if rest.is_empty() {
        table.insert(first.clone(), value);
        return Some(());
    }
    match table.entry(first.clone()).or_insert_with(|| Plain::Table(BTreeMap::new())) {
        Plain::Table(inner) => put(inner, rest, value),
        _ => None,
    }
}

fn take(table: &mut BTreeMap<String, Plain>, path: &[String]) -> Option<()> {
    let (first, rest) = path.split_first()?;
    if rest.is_empty() {
        return table.remove(first).map(|_| ());
    }
    match table.get_mut(first)? {
        Plain::Table(inner) => take(inner, rest),
        _ => None,
    }
}

/// Removes the table at `path` if it is empty.
fn remove_empty(table: &mut BTreeMap<String, Plain>, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    match table.get_mut(first) {
        Some(Plain::Table(inner)) if rest.is_empty() => inner.is_empty() && table.remove(first).is_some(),
        Some(Plain::Table(inner)) => remove_empty(inner, rest),
        _ => false,
    }
}
