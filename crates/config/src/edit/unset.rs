//! Taking keys and tables away.

use std::ops::Range;

use super::array::Array;
use super::outline::{Entry, Outline, comment_block_above, first, line_end, line_start};
use super::{Comments, EditError, Patch};
use crate::KeyPath;

/// The patch that removes `key`.
pub(super) fn unset(text: &str, outline: &Outline, key: &KeyPath, comments: Comments) -> Result<Patch, EditError> {
    let path = key.0.as_slice();
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for (index, section) in outline.sections.iter().enumerate() {
        // An array of tables goes as a whole; what is in one of its tables cannot be named by key.
        if section.array && path.starts_with(&section.path) && path.len() > section.path.len() {
            return Err(EditError::Unsupported { key: key.clone(), reason: "it is in an array of tables" });
        }
        if section.path.starts_with(path) {
            edits.push((section_range(text, outline, index), String::new()));
        } else if path.starts_with(&section.path) {
            among(text, &section.entries, &path[section.path.len()..], comments, &mut edits);
        }
    }
    if edits.is_empty() {
        return Err(EditError::Absent { key: key.clone(), hint: None });
    }
    let mut edits = joined(edits);
    if let Some((range, new)) = edits.last_mut()
        && range.end == text.len()
        && new.is_empty()
    {
        *range = whole_lines(text, range.start, range.end);
    }
    Ok(Patch { edits })
}

/// Sorts removals and joins those that meet: a table and the tables in it may lie anywhere in the text.
fn joined(mut edits: Vec<(Range<usize>, String)>) -> Vec<(Range<usize>, String)> {
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out: Vec<(Range<usize>, String)> = Vec::new();
    for (range, new) in edits {
        match out.last_mut() {
            Some((last, text)) if range.start <= last.end && text.is_empty() && new.is_empty() => {
                last.end = last.end.max(range.end);
            }
            _ => out.push((range, new)),
        }
    }
    out
}

/// Removes what is at `rest` among the entries of a section.
fn among(text: &str, entries: &[Entry], rest: &[String], comments: Comments, edits: &mut Vec<(Range<usize>, String)>) {
    for entry in entries {
        if entry.path.starts_with(rest) {
            edits.push((line_range(text, entry, comments), String::new()));
        } else if rest.starts_with(&entry.path)
            && let Some(inline) = &entry.inline
        {
            among_inline(text, entry, inline, &rest[entry.path.len()..], edits);
        }
    }
}

/// Removes what is at `rest` in an inline table, with the comma that it leaves over.
fn among_inline(
    text: &str,
    table: &Entry,
    entries: &[Entry],
    rest: &[String],
    edits: &mut Vec<(Range<usize>, String)>,
) {
    let goes: Vec<bool> = entries.iter().map(|entry| entry.path.starts_with(rest)).collect();
    if goes.iter().all(|goes| *goes) && !goes.is_empty() {
        edits.push((table.value.clone(), "{}".to_owned()));
        return;
    }
    // Over several lines: as an element of an array, with its own line and comment.
    if text[table.value.clone()].contains('\n')
        && let [index] = goes.iter().enumerate().filter(|(_, goes)| **goes).map(|(i, _)| i).collect::<Vec<_>>()[..]
    {
        let elements = entries.iter().map(|e| e.key.start..e.value.end).collect();
        let table = Array { value: table.value.clone(), elements };
        if let Some(patch) = table.take(text, index) {
            edits.extend(patch.edits);
            return;
        }
    }
    for (i, entry) in entries.iter().enumerate() {
        if goes[i] {
            // With what stands between it and its kept neighbour: the one before, else the one after.
            let kept_before = (0..i).rev().find(|j| !goes[*j]);
            let range = match (kept_before, entries.get(i + 1)) {
                (Some(_), _) => entries[i - 1].value.end..entry.value.end,
                (None, Some(next)) => entry.key.start..next.key.start,
                (None, None) => entry.key.start..entry.value.end,
            };
            edits.push((range, String::new()));
        } else if rest.starts_with(&entry.path)
            && let Some(inline) = &entry.inline
        {
            among_inline(text, entry, inline, &rest[entry.path.len()..], edits);
        }
    }
}

/// The whole lines of an entry, with the comment on its last line.
fn line_range(text: &str, entry: &Entry, comments: Comments) -> Range<usize> {
    let own = line_start(text, entry.key.start);
    let start = match comments {
        Comments::Keep => own,
        Comments::Remove => comment_block_above(text, own),
    };
    whole_lines(text, start, line_end(text, entry.value.end))
}

/// A section with the comments right above its header, down to the next section's own comments; of the blank lines
/// around it, those above go.
fn section_range(text: &str, outline: &Outline, index: usize) -> Range<usize> {
    let section = &outline.sections[index];
    let header = section.header.clone().unwrap_or(first(text)..first(text));
    let mut start = comment_block_above(text, line_start(text, header.start));
    let last = section.entries.last().map_or(header.end, |entry| entry.value.end);
    let mut end = line_end(text, last);
    let limit = match outline.sections.get(index + 1).and_then(|next| next.header.as_ref()) {
        Some(next) => comment_block_above(text, line_start(text, next.start)),
        None => text.len(),
    };
    while end < limit && text[end..].trim_start_matches([' ', '\t']).starts_with('#') {
        end = line_end(text, end);
    }
    // One set of blank lines must stay between what was above and what was below.
    while start > first(text) {
        let above = line_start(text, start - 1);
        if !text[above..start].trim().is_empty() {
            break;
        }
        start = above;
    }
    if start == first(text) {
        // First in the text: the blank lines below go instead.
        while end < text.len() && text[end..line_end(text, end)].trim().is_empty() {
            end = line_end(text, end);
        }
    }
    whole_lines(text, start, end)
}

/// Lines from `start` to `end`; at the end of a text without final line end, the line end before them goes instead.
fn whole_lines(text: &str, start: usize, end: usize) -> Range<usize> {
    let mut start = start;
    if end == text.len() && !text.ends_with('\n') && start > first(text) && text[..start].ends_with('\n') {
        start -= 1;
        if text[..start].ends_with('\r') {
            start -= 1;
        }
    }
    start..end
}
