//! The proof of a change: the new text parses, has exactly the wanted value, keeps the order of all other keys and
//! their comments, and differs nowhere outside the patch.

use std::collections::BTreeMap;
use std::ops::Range;

use super::plain::{self, Plain};
use super::{EditError, Patch, outline};
use crate::KeyPath;

/// What a change shall do to the value of a text.
#[derive(Debug)]
pub(super) enum Change<'c> {
    /// The key gets this value.
    Put(Plain),
    /// The key goes.
    Take,
    /// The key gets another last part.
    Rename(&'c str),
    /// The key stands right before this sibling, or after all siblings that it can follow.
    Move(Option<&'c str>),
    /// Nothing: only comments change.
    Nothing,
}

/// Refuses a patch whose result is not `text` with `change` made to `key`. Comments may only go if they are inside
/// `owned`, ranges of the old text. The wanted value is made from the old value alone, by another way than the patch.
pub(super) fn certify(
    text: &str,
    patch: &Patch,
    key: &KeyPath,
    change: Change<'_>,
    owned: &[Range<usize>],
) -> Result<(), EditError> {
    let refused = || EditError::NotCertified { key: key.clone() };
    let ordered = patch.edits.windows(2).all(|pair| pair[0].0.end <= pair[1].0.start);
    let inside = patch.edits.iter().all(|(range, _)| text.get(range.clone()).is_some());
    if !ordered || !inside {
        return Err(refused());
    }
    let new = patch.apply(text);
    let mut expected = plain::parse(text).ok_or_else(refused)?;
    let found = plain::parse(&new).ok_or_else(refused)?;
    let removes = matches!(change, Change::Take);
    let to = match &change {
        Change::Rename(to) => key.parent().child(to),
        _ => key.clone(),
    };
    match &change {
        Change::Put(value) => put(&mut expected, &key.0, value.clone()).ok_or_else(refused)?,
        Change::Take => drop(take(&mut expected, &key.0).ok_or_else(refused)?),
        Change::Rename(_) => {
            let value = take(&mut expected, &key.0).ok_or_else(refused)?;
            put(&mut expected, &to.0, value).ok_or_else(refused)?;
        }
        Change::Move(_) | Change::Nothing => {}
    }
    if !equal(&found, &mut expected, key, removes) || !keeps_order(text, &new, key, &to, &change) {
        return Err(refused());
    }
    if !matches!(change, Change::Nothing) && !keeps_comments(text, &new, owned) {
        return Err(refused());
    }
    Ok(())
}

fn equal(
    found: &BTreeMap<String, Plain>,
    expected: &mut BTreeMap<String, Plain>,
    key: &KeyPath,
    removes: bool,
) -> bool {
    if found == expected {
        return true;
    }
    // Tables that only the removed key made (by dots) go with it: the innermost, or more of them.
    for depth in (1..key.0.len()).rev() {
        if !removes || !remove_empty(expected, &key.0[..depth]) {
            break;
        }
        if found == expected {
            return true;
        }
    }
    false
}

/// Whether all keys but those of the change stand in the old order.
fn keeps_order(old: &str, new: &str, key: &KeyPath, to: &KeyPath, change: &Change<'_>) -> bool {
    let (before, after) = (plain::order(old), plain::order(new));
    if let Change::Rename(_) = change {
        let renamed = before.into_iter().map(|mut path| {
            if path.is_under(key) {
                path.0[key.0.len() - 1].clone_from(&to.0[key.0.len() - 1]);
            }
            path
        });
        return renamed.eq(after);
    }
    // An emptied table is a leaf that was none before; that is no matter of order.
    let others = |paths: Vec<KeyPath>| paths.into_iter().filter(|p| !p.is_under(key) && !key.is_under(p));
    let same = others(before).eq(others(after.clone()));
    let Change::Move(before) = change else { return same };
    same && stands_before(&after, key, *before)
}

/// Whether the first of `key`'s siblings after it is `before`.
fn stands_before(order: &[KeyPath], key: &KeyPath, before: Option<&str>) -> bool {
    let parent = key.parent();
    let depth = parent.0.len();
    let mut siblings: Vec<&str> = Vec::new();
    for path in order.iter().filter(|path| path.is_under(&parent) && path.0.len() > depth) {
        if !siblings.contains(&path.0[depth].as_str()) {
            siblings.push(&path.0[depth]);
        }
    }
    let Some(at) = siblings.iter().position(|name| *name == key.name()) else { return false };
    match before {
        Some(before) => siblings.get(at + 1) == Some(&before),
        // What is written as a table cannot be followed by plain keys; the reorder itself saw to that.
        None => true,
    }
}

/// Whether every comment of the old text that is not inside `owned` is in the new text, as often.
fn keeps_comments(old: &str, new: &str, owned: &[Range<usize>]) -> bool {
    let mut there: BTreeMap<&str, usize> = BTreeMap::new();
    for comment in outline::comments(new) {
        *there.entry(&new[comment]).or_default() += 1;
    }
    let own = |comment: &Range<usize>| owned.iter().any(|r| r.start <= comment.start && comment.end <= r.end);
    outline::comments(old).into_iter().filter(|comment| !own(comment)).all(|comment| {
        let left = there.get_mut(&old[comment]);
        left.is_some_and(|count| std::mem::replace(count, count.saturating_sub(1)) > 0)
    })
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

fn take(table: &mut BTreeMap<String, Plain>, path: &[String]) -> Option<Plain> {
    let (first, rest) = path.split_first()?;
    if rest.is_empty() {
        return table.remove(first);
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
