//! Keys and tables moved among their siblings, with their comments.

use std::ops::Range;

use super::certificate::{Change, certify};
use super::outline::{Entry, Outline, comment_block_above, first, line_end, line_start, newline};
use super::place::section_end;
use super::{EditError, Patch, plain};
use crate::KeyPath;

/// The patch that puts `key` right before its sibling `before`, or after the last sibling that it can follow.
pub(super) fn reorder(text: &str, key: &str, before: Option<&str>) -> Result<Patch, EditError> {
    let key = KeyPath::parse(key)?;
    let outline = Outline::read(text)?;
    let table = plain::parse(text).unwrap_or_default();
    let before = before.map(|before| sibling(&key, before)).transpose()?;
    for there in [Some(&key), before.as_ref()].into_iter().flatten() {
        if plain::get(&table, &there.0).is_none() {
            return Err(EditError::Absent { key: there.clone(), hint: None });
        }
    }
    if outline.in_array(&key.parent().0) {
        return Err(EditError::Unsupported { key, reason: "it is in an array of tables" });
    }
    if before.as_ref() == Some(&key) {
        return Ok(Patch::default());
    }
    let patch = moved(text, &outline, &key, before.as_ref())?;
    match certify(text, &patch, &key, Change::Move(before.as_ref().map(KeyPath::name)), &[]) {
        Ok(()) => Ok(patch),
        Err(_) if mixed(&outline, &key, before.as_ref()) => {
            Err(EditError::Unsupported { key, reason: "plain keys stand above the tables" })
        }
        Err(refused) => Err(refused),
    }
}

/// Whether one of the two is a table with headers and the other is not.
fn mixed(outline: &Outline, key: &KeyPath, before: Option<&KeyPath>) -> bool {
    let header = |path: &KeyPath| outline.sections.iter().any(|section| section.path.starts_with(&path.0));
    before.is_some_and(|before| header(before) != header(key))
}

/// The sibling of `key` that `name` means: a whole key, or a last part.
fn sibling(key: &KeyPath, name: &str) -> Result<KeyPath, EditError> {
    let other = KeyPath::parse(name)?;
    if other.parent() == key.parent() {
        return Ok(other);
    }
    match other.0.as_slice() {
        [name] => Ok(key.parent().child(name)),
        _ => Err(EditError::Unsupported { key: other, reason: "it is in another table" }),
    }
}

fn moved(text: &str, outline: &Outline, key: &KeyPath, before: Option<&KeyPath>) -> Result<Patch, EditError> {
    let headers = outline.sections.iter().any(|section| section.path.starts_with(&key.0));
    let parent = key.parent();
    if let Some(Entry { inline: Some(siblings), value, .. }) = holder(outline, &key.0) {
        let depth = key.0.len() - 1 - holder_depth(outline, &key.0);
        return inline(text, siblings, value, depth, key, before);
    }
    let homes: Vec<usize> = (0..outline.sections.len())
        .filter(|i| {
            let section = &outline.sections[*i];
            key.0.starts_with(&section.path)
                && section.path.len() < key.0.len()
                && section.entries.iter().any(|e| e.path.starts_with(&key.0[section.path.len()..]))
        })
        .collect();
    match (headers, homes.as_slice()) {
        (false, [home]) => lines(text, outline, *home, key, before),
        (true, []) => sections(text, outline, key, &parent, before),
        _ => Err(EditError::Unsupported { key: key.clone(), reason: "it is written in several forms" }),
    }
}

/// The entry with the inline table in which `path` is.
fn holder<'o>(outline: &'o Outline, path: &[String]) -> Option<&'o Entry> {
    (1..path.len()).rev().find_map(|depth| outline.entry(&path[..depth]))
}

fn holder_depth(outline: &Outline, path: &[String]) -> usize {
    (1..path.len()).rev().find(|depth| outline.entry(&path[..*depth]).is_some()).unwrap_or(0)
}

/// Keys of an inline table: the texts change their slots, what is between the slots stays.
fn inline(
    text: &str,
    siblings: &[Entry],
    value: &Range<usize>,
    depth: usize,
    key: &KeyPath,
    before: Option<&KeyPath>,
) -> Result<Patch, EditError> {
    if text[value.clone()].contains('#') {
        return Err(EditError::Unsupported { key: key.clone(), reason: "the inline table may have comments in it" });
    }
    let from = key.0.len() - 1 - depth;
    let is = |entry: &Entry, path: &KeyPath| entry.path.starts_with(&path.0[from..]);
    let (moving, others): (Vec<&Entry>, Vec<&Entry>) = siblings.iter().partition(|entry| is(entry, key));
    let at = match before {
        Some(before) => others.iter().position(|entry| is(entry, before)),
        None => Some(others.len()),
    };
    let at = at.ok_or_else(|| EditError::Absent { key: key.clone(), hint: None })?;
    let order = others[..at].iter().chain(&moving).chain(&others[at..]);
    let span = |entry: &Entry| entry.key.start..entry.value.end;
    let edits = siblings.iter().zip(order).filter(|(slot, entry)| slot.key != entry.key);
    Ok(Patch { edits: edits.map(|(slot, entry)| (span(slot), text[span(entry)].to_owned())).collect() })
}

/// An entry's lines and the comments right above.
fn entry_lines(text: &str, entry: &Entry) -> Range<usize> {
    comment_block_above(text, line_start(text, entry.key.start))..line_end(text, entry.value.end)
}

/// Keys on lines of their own in one section.
fn lines(
    text: &str,
    outline: &Outline,
    home: usize,
    key: &KeyPath,
    before: Option<&KeyPath>,
) -> Result<Patch, EditError> {
    let section = &outline.sections[home];
    let depth = section.path.len();
    let under = |path: &KeyPath| {
        let rest = path.0[depth..].to_vec();
        section.entries.iter().filter(move |entry| entry.path.starts_with(&rest))
    };
    let units: Vec<Range<usize>> = under(key).map(|entry| entry_lines(text, entry)).collect();
    let target = before.and_then(|before| under(before).next());
    let at = match (target, before) {
        (Some(entry), _) => entry_lines(text, entry).start,
        (None, _) => {
            // Before a table means: last of the plain keys; the certificate sees whether that is right before it.
            let parent = KeyPath(key.0[..key.0.len() - 1].to_vec());
            let siblings: Vec<&Entry> = under(&parent).filter(|e| !e.path.starts_with(&key.0[depth..])).collect();
            match siblings.last() {
                Some(last) => line_end(text, last.value.end),
                None => return Ok(Patch::default()),
            }
        }
    };
    Ok(transfer(text, &units, at, None))
}

/// Tables with headers.
fn sections(
    text: &str,
    outline: &Outline,
    key: &KeyPath,
    parent: &KeyPath,
    before: Option<&KeyPath>,
) -> Result<Patch, EditError> {
    let of = |path: &KeyPath| {
        let path = path.0.clone();
        (0..outline.sections.len()).filter(move |i| outline.sections[*i].path.starts_with(&path))
    };
    let top = |index: usize| {
        let header = outline.sections[index].header.as_ref().map_or(0, |header| header.start);
        comment_block_above(text, line_start(text, header))
    };
    let mut units: Vec<Range<usize>> = Vec::new();
    for index in of(key) {
        let range = top(index)..section_end(text, outline, index);
        match units.last_mut() {
            Some(last) if text[last.end..range.start].trim().is_empty() => last.end = range.end,
            _ => units.push(range),
        }
    }
    let at = match before {
        Some(before) => match of(before).next() {
            Some(index) => top(index),
            None => {
                let reason = "a table with a header cannot stand before a plain key";
                return Err(EditError::Unsupported { key: key.clone(), reason });
            }
        },
        None => {
            let strict = |i: &usize| outline.sections[*i].path.len() > parent.0.len();
            let mut others = of(parent).filter(|i| strict(i) && !outline.sections[*i].path.starts_with(&key.0));
            match others.next_back() {
                Some(index) => section_end(text, outline, index),
                None => return Ok(Patch::default()),
            }
        }
    };
    let blank = newline(text, at.saturating_sub(1));
    Ok(transfer(text, &units, at, Some(blank)))
}

/// Cuts whole lines out and puts them in at `at`; with `blank`, they are set off by one blank line each.
fn transfer(text: &str, units: &[Range<usize>], at: usize, blank: Option<&str>) -> Patch {
    let units = joined(units);
    // Already there: in one piece, with nothing but blanks between it and its place.
    if let [unit] = units.as_slice() {
        let between = if at >= unit.end { unit.end..at } else { at..unit.start.max(at) };
        if text[between].trim().is_empty() {
            return Patch::default();
        }
    }
    let end = newline(text, at.saturating_sub(1));
    let open_end = !text.is_empty() && !text.ends_with('\n');
    let mut block = String::new();
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for unit in &units {
        if let Some(blank) = blank.filter(|_| !block.is_empty()) {
            block.push_str(blank);
        }
        block.push_str(&text[unit.clone()]);
        if !block.ends_with('\n') {
            block.push_str(end);
        }
        edits.push((cut(text, unit, blank.is_some()), String::new()));
    }
    // Where a unit is cut from an open end, the place right before it is the end.
    let cut_from_end = units.last().filter(|unit| open_end && unit.end == text.len());
    let tail = cut_from_end.map(|unit| cut(text, unit, blank.is_some()).start).filter(|start| *start <= at);
    let new = match (at == text.len() || tail.is_some(), blank) {
        (true, blank) => {
            let lead = match tail {
                Some(start) if start <= first(text) => String::new(),
                _ => format!("{}{}", if open_end { end } else { "" }, blank.unwrap_or_default()),
            };
            if open_end {
                block.truncate(block.trim_end_matches(['\r', '\n']).len());
            }
            format!("{lead}{block}")
        }
        (false, Some(blank)) => {
            let starts_line = text[at..].starts_with(['\n', '\r']);
            if starts_line { format!("{blank}{block}") } else { format!("{block}{blank}") }
        }
        (false, None) => block,
    };
    edits.push((at..at, new));
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out: Vec<(Range<usize>, String)> = Vec::new();
    for (range, new) in edits {
        match out.last_mut() {
            Some((last, text)) if range.start <= last.end => {
                last.end = last.end.max(range.end);
                text.push_str(&new);
            }
            _ => out.push((range, new)),
        }
    }
    Patch { edits: out }
}

/// The same lines, those that meet as one.
fn joined(units: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    for unit in units {
        match out.last_mut() {
            Some(last) if last.end == unit.start => last.end = unit.end,
            _ => out.push(unit.clone()),
        }
    }
    out
}

/// What goes with lines that are cut out: for tables the blank lines below (above, if they were last).
fn cut(text: &str, unit: &Range<usize>, blanks: bool) -> Range<usize> {
    let (mut start, mut end) = (unit.start, unit.end);
    while blanks && end < text.len() && text[end..line_end(text, end)].trim().is_empty() {
        end = line_end(text, end);
    }
    if end < text.len() {
        return start..end;
    }
    while blanks && start > first(text) && text[line_start(text, start - 1)..start].trim().is_empty() {
        start = line_start(text, start - 1);
    }
    // An open end stays open: the lines that become the last ones, blank or not, lose their ends.
    while !text.ends_with('\n') && start > first(text) && text[..start].ends_with('\n') {
        start -= 1;
        if text[..start].ends_with('\r') {
            start -= 1;
        }
    }
    start..end
}
