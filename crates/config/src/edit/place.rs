//! Where a key is, or where a new one belongs.

use super::array::Array;
use super::outline::{Entry, Outline, Section, comment_block_above, first, line_end, line_start, newline};
use super::{EditError, Patch};
use crate::KeyPath;
use crate::keypath::quote_key;
use crate::model::ServerText;
use crate::read::Table;

/// The patch that sets `key` to `literal`.
pub(super) fn set(text: &str, outline: &Outline, key: &KeyPath, literal: &str) -> Result<Patch, EditError> {
    let path = key.0.as_slice();
    for section in outline.sections.iter().filter(|s| path.starts_with(&s.path)) {
        if section.array {
            return Err(EditError::Unsupported { key: key.clone(), reason: "it is in an array of tables" });
        }
        if let Some(patch) = set_among(text, &section.entries, &path[section.path.len()..], key, literal)? {
            return Ok(patch);
        }
    }
    if outline.names_table(path) {
        return Err(EditError::IsTable { key: key.clone() });
    }
    Ok(insert(text, outline, path, literal))
}

/// Replaces the value at `rest` among `entries`, or adds it to the inline table on its way.
fn set_among(
    text: &str,
    entries: &[Entry],
    rest: &[String],
    key: &KeyPath,
    literal: &str,
) -> Result<Option<Patch>, EditError> {
    // Valid TOML has at most one such entry.
    if let Some(entry) = entries.iter().find(|e| rest.starts_with(&e.path)) {
        let deeper = &rest[entry.path.len()..];
        if deeper.is_empty() {
            return Ok(Some(Patch { edits: vec![(entry.value.clone(), literal.to_owned())] }));
        }
        let Some(inline) = &entry.inline else {
            let holder = KeyPath(key.0[..key.0.len() - deeper.len()].to_vec());
            return Err(EditError::NotTable { key: key.clone(), holder });
        };
        if let Some(patch) = set_among(text, inline, deeper, key, literal)? {
            return Ok(Some(patch));
        }
        if inline.iter().any(|e| e.path.starts_with(deeper)) {
            return Err(EditError::IsTable { key: key.clone() });
        }
        let new = format!("{} = {literal}", dotted(deeper));
        if inline.is_empty() {
            // `{}`: all between the braces is blank, or comments, which stay.
            let inside = entry.value.start + 1..entry.value.end - 1;
            let edit = match text[inside.clone()].trim().is_empty() {
                true => (inside, format!(" {new} ")),
                false => (inside.start..inside.start, format!(" {new}")),
            };
            return Ok(Some(Patch { edits: vec![edit] }));
        }
        let elements = inline.iter().map(|e| e.key.start..e.value.end).collect();
        let table = Array { value: entry.value.clone(), elements };
        return Ok(Some(Patch { edits: table.append(text, &new) }));
    }
    Ok(None)
}

/// Adds a key that is not there.
fn insert(text: &str, outline: &Outline, path: &[String], literal: &str) -> Patch {
    // A table made by dotted keys can only be continued by them: as deep as they share the way.
    let dotted_home = outline
        .sections
        .iter()
        .filter(|section| path.starts_with(&section.path))
        .filter_map(|section| {
            let rest = &path[section.path.len()..];
            let shared = |entry: &Entry| {
                let most = (rest.len() - 1).min(entry.path.len() - 1);
                entry.path.iter().zip(rest).take(most).take_while(|(a, b)| a == b).count()
            };
            let (deepest, last) =
                section.entries.iter().map(|e| (shared(e), e)).max_by_key(|(n, e)| (*n, e.key.start))?;
            (deepest > 0).then_some((section, rest, last))
        })
        .next_back();
    if let Some((_, rest, last)) = dotted_home {
        return after_entry(text, last, &dotted(rest), literal);
    }
    let (parent, name) = path.split_at(path.len() - 1);
    let home = outline.sections.iter().find(|section| section.path == parent);
    match home {
        Some(section) => into_section(text, section, &quote_key(&name[0]), literal),
        None => new_section(text, outline, parent, &quote_key(&name[0]), literal),
    }
}

fn dotted(parts: &[String]) -> String {
    KeyPath(parts.to_vec()).to_string()
}

/// A new line below the line on which `last` ends, aligned like it.
fn after_entry(text: &str, last: &Entry, key: &str, literal: &str) -> Patch {
    let indent_from = line_start(text, last.key.start);
    let indent = &text[indent_from..last.key.start];
    let mut line = if indent.trim().is_empty() { indent.to_owned() } else { String::new() };
    line.push_str(key);
    // The column of `=` when the neighbour is aligned by blanks and the key leaves room.
    let gap = text[last.key.end..].find('=').unwrap_or(0);
    let width = text[last.key.clone()].chars().count() + gap;
    let used = key.chars().count();
    let blank_gap = text[last.key.end..last.key.end + gap].chars().all(|c| c == ' ');
    let pad = if gap > 1 && blank_gap && width > used { width - used } else { usize::from(gap > 0) };
    line.push_str(&" ".repeat(pad));
    line.push('=');
    line.push_str(if gap == 0 { "" } else { " " });
    line.push_str(literal);
    insert_line(text, line_end(text, last.value.end), &line)
}

/// A line of its own at `at`, which is the start of a line or the end of the text.
fn insert_line(text: &str, at: usize, line: &str) -> Patch {
    let end = newline(text, at.saturating_sub(1));
    let open_end = at == text.len() && at > first(text) && !text.ends_with('\n');
    let new = if open_end { format!("{end}{line}") } else { format!("{line}{end}") };
    Patch { edits: vec![(at..at, new)] }
}

fn into_section(text: &str, section: &Section, key: &str, literal: &str) -> Patch {
    if let Some(last) = section.entries.last() {
        return after_entry(text, last, key, literal);
    }
    let line = format!("{key} = {literal}");
    match &section.header {
        Some(header) => insert_line(text, line_end(text, header.end), &line),
        None => first_key(text, &line),
    }
}

/// A key before any table in a text that has none yet: after the opening comment, set off from what follows.
fn first_key(text: &str, line: &str) -> Patch {
    let mut at = first(text);
    while at < text.len() && text[at..].trim_start_matches([' ', '\t']).starts_with('#') {
        at = line_end(text, at);
    }
    // A comment right above the first header belongs to that header.
    let header_follows = text[at..].trim_start_matches([' ', '\t']).starts_with('[');
    if header_follows {
        at = first(text);
    }
    let end = newline(text, 0);
    let blank_follows = text[at..].is_empty() || text[at..].starts_with(['\n', '\r']);
    if at == text.len() || blank_follows {
        return insert_line(text, at, line);
    }
    Patch { edits: vec![(at..at, format!("{line}{end}{end}"))] }
}

/// A new table with its first key, after its nearest relative.
fn new_section(text: &str, outline: &Outline, parent: &[String], key: &str, literal: &str) -> Patch {
    let shared = |section: &Section| section.path.iter().zip(parent).take_while(|(a, b)| a == b).count();
    let order = |section: &Section| section.path.first().map_or(0, |top| top_order(top) + 1);
    let wanted = parent.first().map_or(0, |top| top_order(top) + 1);
    let nearest = outline.sections.iter().map(shared).max().unwrap_or(0);
    let relatives = outline.sections.iter().enumerate();
    let after = match nearest {
        0 => relatives.filter(|(_, s)| order(s) <= wanted).map(|(i, _)| i).next_back(),
        n => relatives.filter(|(_, s)| shared(s) == n).map(|(i, _)| i).next_back(),
    };
    let index = after.unwrap_or(0);
    let at = section_end(text, outline, index);
    let end = newline(text, at.saturating_sub(1));
    let open_end = at == text.len() && at > first(text) && !text.ends_with('\n');
    let mut new = String::new();
    if open_end {
        new.push_str(end);
    }
    if at > first(text) {
        new.push_str(end);
    }
    new.push_str(&format!("[{}]{end}{key} = {literal}", dotted(parent)));
    if !open_end {
        new.push_str(end);
    }
    // Nothing above it (a text that begins with tables): set off from what follows instead.
    if at == first(text) && at < text.len() {
        new.push_str(end);
    }
    Patch { edits: vec![(at..at, new)] }
}

/// Place of a table of the first level in the order of the schema; what is not known comes last.
fn top_order(top: &str) -> usize {
    ServerText::KEYS.iter().position(|key| key.name == top).unwrap_or(ServerText::KEYS.len())
}

/// Where section `index` ends: after its last line and the comments right below it that do not belong to the next.
pub(super) fn section_end(text: &str, outline: &Outline, index: usize) -> usize {
    let section = &outline.sections[index];
    let limit = match outline.sections.get(index + 1).and_then(|next| next.header.as_ref()) {
        Some(header) => comment_block_above(text, line_start(text, header.start)),
        None => text.len(),
    };
    let mut at = match (section.entries.last(), &section.header) {
        (Some(last), _) => line_end(text, last.value.end),
        (None, Some(header)) => line_end(text, header.end),
        (None, None) => first(text),
    };
    while at < limit && text[at..].trim_start_matches([' ', '\t']).starts_with('#') {
        at = line_end(text, at);
    }
    at.min(limit.max(at.min(text.len())))
}
