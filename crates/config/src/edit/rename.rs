//! Another name for a key or a table, wherever it is written.

use std::ops::Range;

use super::certificate::{Change, certify};
use super::outline::{Entry, Outline};
use super::{EditError, Patch, plain};
use crate::keypath::quote_key;
use crate::{KeyPath, KeyPathError};

/// The patch that gives the last part of `key` the name `to`.
pub(super) fn rename(text: &str, key: &str, to: &str) -> Result<Patch, EditError> {
    let key = KeyPath::parse(key)?;
    if to.is_empty() {
        return Err(KeyPathError { key: to.to_owned(), reason: "it is empty".to_owned() }.into());
    }
    let outline = Outline::read(text)?;
    let table = plain::parse(text).unwrap_or_default();
    if plain::get(&table, &key.0).is_none() {
        return Err(EditError::Absent { key, hint: None });
    }
    if key.name() == to {
        return Ok(Patch::default());
    }
    let target = key.parent().child(to);
    if plain::get(&table, &target.0).is_some() {
        return Err(EditError::Taken { key: target });
    }
    if outline.in_array(&key.parent().0) {
        return Err(EditError::Unsupported { key, reason: "it is in an array of tables" });
    }
    let mut edits = Vec::new();
    let new = quote_key(to);
    for section in &outline.sections {
        if section.path.starts_with(&key.0) {
            edits.push((section.parts[key.0.len() - 1].clone(), new.clone()));
        } else if key.0.starts_with(&section.path) {
            among(text, &section.entries, &key.0[section.path.len()..], &new, &mut edits);
        }
    }
    let patch = Patch { edits };
    certify(text, &patch, &key, Change::Rename(to), &[])?;
    Ok(patch)
}

fn among(text: &str, entries: &[Entry], rest: &[String], new: &str, edits: &mut Vec<(Range<usize>, String)>) {
    for entry in entries {
        if entry.path.starts_with(rest) {
            edits.push((entry.parts[rest.len() - 1].clone(), new.to_owned()));
            edits.extend(realign(text, entry, &entry.parts[rest.len() - 1], new));
        } else if rest.starts_with(&entry.path)
            && let Some(inline) = &entry.inline
        {
            among(text, inline, &rest[entry.path.len()..], new, edits);
        }
    }
}

/// Keeps the column of an aligned `=` when the blanks before it allow it.
fn realign(text: &str, entry: &Entry, part: &Range<usize>, new: &str) -> Option<(Range<usize>, String)> {
    let gap = text[entry.key.end..].find('=')?;
    let blanks = &text[entry.key.end..entry.key.end + gap];
    if gap < 2 || !blanks.chars().all(|c| c == ' ') {
        return None;
    }
    let old = text[part.clone()].chars().count();
    let width = (gap + old).saturating_sub(new.chars().count()).max(1);
    (width != gap).then(|| (entry.key.end..entry.key.end + gap, " ".repeat(width)))
}
