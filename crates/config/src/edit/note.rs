//! Notes: the comments that belong to a key, read and written without `#`.

use std::collections::BTreeMap;
use std::ops::Range;

use super::certificate::{Change, certify};
use super::outline::{Outline, comments, line_start, newline};
use super::places::{Words, places, words};
use super::{EditError, Patch, Place};
use crate::KeyPath;

/// The comment that belongs to `key`: the lines right above it (a block set off by a blank line belongs to nobody),
/// then that on its own line. Without `#` and the blank after it; lines end with `\n`, the last with nothing.
pub fn note(text: &str, key: &KeyPath) -> Option<String> {
    let found = find(text, key)?;
    read(text, &found)
}

/// The comments of all keys at once: see [`note`].
pub(crate) fn notes(text: &str) -> BTreeMap<KeyPath, String> {
    places(text).into_iter().filter_map(|(path, place)| Some((path, read(text, &words_at(text, &place))?))).collect()
}

fn find(text: &str, key: &KeyPath) -> Option<Words> {
    let (_, place) = places(text).into_iter().find(|(path, _)| path == key)?;
    Some(words_at(text, &place))
}

fn words_at(text: &str, place: &Place) -> Words {
    // A header's place is its brackets.
    words(text, place.key.start.min(place.value.start), place.value.end)
}

fn read(text: &str, words: &Words) -> Option<String> {
    let above = words.above.iter().flat_map(|range| text[range.clone()].lines()).map(bare);
    let lines: Vec<&str> = above.chain(words.beside.iter().map(|range| bare(&text[range.clone()]))).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The words of a comment line.
fn bare(line: &str) -> &str {
    let line = line.trim();
    let line = line.strip_prefix('#').unwrap_or(line);
    line.strip_prefix(' ').unwrap_or(line).trim_end()
}

/// The patch that writes the comment of `key`.
pub(super) fn write(text: &str, key: &str, wanted: Option<&str>) -> Result<Patch, EditError> {
    let key = KeyPath::parse(key)?;
    let outline = Outline::read(text)?;
    let Some(there) = find(text, &key) else {
        return Err(match outline.names_table(&key.0) {
            true => EditError::Unsupported { key, reason: "the table has no header of its own to write above" },
            false => EditError::Absent { key, hint: None },
        });
    };
    if outline.in_array(&key.0) {
        return Err(EditError::Unsupported { key, reason: "it is in an array of tables" });
    }
    let found = read(text, &there).map(|words| normal(&words));
    let wanted = wanted.map(normal);
    if wanted.is_some() && wanted == found {
        return Ok(Patch::default());
    }
    let wanted = wanted.filter(|words| !words.is_empty());
    if let Some(bad) = wanted.as_ref().and_then(|w| w.chars().find(|c| c.is_control() && !matches!(c, '\t' | '\n'))) {
        return Err(EditError::Value { value: format!("{bad:?}"), reason: "a comment cannot hold it".to_owned() });
    }
    if found == wanted {
        return Ok(Patch::default());
    }
    let lines: Vec<&str> = wanted.as_deref().map(|words| words.split('\n').collect()).unwrap_or_default();
    let (above, beside) = split(text, &there, &lines);
    put(text, &key, &there, above, beside.map(|words| (" ", words)))
}

/// A comment in its two places, without marks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Parts {
    /// The lines above.
    above: Vec<String>,
    /// What is before the mark on the key's own line, and the words after it.
    beside: Option<(String, String)>,
}

/// The comment of `key` by its places; nothing if there is none.
pub(crate) fn parts(text: &str, key: &KeyPath) -> Option<Parts> {
    parts_of(text, &find(text, key)?)
}

/// [`parts`] of every key that has any, found in one reading.
pub(crate) fn all_parts(text: &str) -> BTreeMap<KeyPath, Parts> {
    let mut found: BTreeMap<KeyPath, Option<Parts>> = BTreeMap::new();
    for (path, place) in places(text) {
        found.entry(path).or_insert_with(|| parts_of(text, &words_at(text, &place)));
    }
    found.into_iter().filter_map(|(path, parts)| Some((path, parts?))).collect()
}

fn parts_of(text: &str, words: &Words) -> Option<Parts> {
    let above = words.above.iter().flat_map(|range| text[range.clone()].lines()).map(|line| bare(line).to_owned());
    let beside = words.beside.as_ref().map(|range| {
        let before = &text[..range.start];
        let gap = &before[before.trim_end_matches([' ', '\t']).len()..];
        (gap.to_owned(), bare(&text[range.clone()]).to_owned())
    });
    let parts = Parts { above: above.collect(), beside };
    (parts != Parts::default()).then_some(parts)
}

/// The patch that gives `key` the comment that another key has.
pub(crate) fn write_parts(text: &str, key: &KeyPath, parts: &Parts) -> Result<Patch, EditError> {
    let Some(there) = find(text, key) else { return Err(EditError::Absent { key: key.clone(), hint: None }) };
    let above: Vec<&str> = parts.above.iter().map(String::as_str).collect();
    put(text, key, &there, &above, parts.beside.as_ref().map(|(gap, words)| (gap.as_str(), words.as_str())))
}

/// Writes the lines above and what stands beside, with the proof that nothing else changes.
fn put(
    text: &str,
    key: &KeyPath,
    there: &Words,
    above: &[&str],
    beside: Option<(&str, &str)>,
) -> Result<Patch, EditError> {
    let patch = Patch { edits: edits(text, key, there, above, beside)? };
    let owned: Vec<Range<usize>> = there.above.iter().chain(&there.beside).cloned().collect();
    certify(text, &patch, key, Change::Nothing, &owned)?;
    let new = patch.apply(text);
    let others = |text: &str, words: &Words| {
        let own =
            |c: &Range<usize>| words.above.iter().chain(&words.beside).any(|r| r.start <= c.start && c.end <= r.end);
        comments(text).into_iter().filter(|c| !own(c)).map(|c| text[c].to_owned()).collect::<Vec<_>>()
    };
    let lines: Vec<&str> = above.iter().copied().chain(beside.map(|(_, words)| words)).collect();
    let wanted = (!lines.is_empty()).then(|| normal(&lines.join("\n")));
    let proven = find(&new, key)
        .is_some_and(|now| read(&new, &now).map(|w| normal(&w)) == wanted && others(&new, &now) == others(text, there));
    if proven { Ok(patch) } else { Err(EditError::NotCertified { key: key.clone() }) }
}

/// The same words with `\n` as line end, without blanks at the ends of lines and empty lines at the end.
fn normal(words: &str) -> String {
    let lines: Vec<&str> = words.lines().map(|line| line.trim_end().trim_end_matches('\r')).collect();
    lines.join("\n").trim_end().to_owned()
}

fn edits(
    text: &str,
    key: &KeyPath,
    there: &Words,
    above: &[&str],
    beside: Option<(&str, &str)>,
) -> Result<Vec<(Range<usize>, String)>, EditError> {
    let mut edits = Vec::new();
    let (start, _) = found_place(text, key)?;
    let line = line_start(text, start);
    if !above.is_empty() && !there.begins_line {
        return Err(EditError::Unsupported { key: key.clone(), reason: "it does not begin its line" });
    }
    let old = there.above.clone().unwrap_or(line..line);
    let new = block(text, &old, start, above);
    if text[old.clone()] != new {
        edits.push((old, new));
    }
    match (&there.beside, beside) {
        (Some(range), Some((_, words))) if bare(&text[range.clone()]) != words => {
            edits.push((range.clone(), comment(words)));
        }
        (Some(range), None) => {
            let before = text[..range.start].trim_end_matches([' ', '\t']).len();
            edits.push((before..range.end, String::new()));
        }
        (None, Some((gap, words))) => {
            let (_, place) = found_place(text, key)?;
            let end = super::outline::line_end(text, place);
            let at = place + text[place..end].trim_end_matches([' ', '\t', '\r', '\n']).len();
            let gap = if gap.is_empty() { " " } else { gap };
            edits.push((at..at, format!("{gap}{}", comment(words))));
        }
        _ => {}
    }
    Ok(edits)
}

/// Where the key (or its header) begins, and where its value ends.
fn found_place(text: &str, key: &KeyPath) -> Result<(usize, usize), EditError> {
    let found = places(text).into_iter().find(|(path, _)| path == key);
    let (_, place) = found.ok_or_else(|| EditError::Absent { key: key.clone(), hint: None })?;
    Ok((place.key.start.min(place.value.start), place.value.end))
}

/// Which lines stand above and which beside: a comment beside stays there if it is one of the lines, or if it is the
/// only one and one line replaces it.
fn split<'l>(text: &str, there: &Words, lines: &'l [&'l str]) -> (&'l [&'l str], Option<&'l str>) {
    let Some(beside) = &there.beside else { return (lines, None) };
    let old = bare(&text[beside.clone()]);
    let above: Vec<&str> = there.above.iter().flat_map(|range| text[range.clone()].lines()).map(bare).collect();
    match lines.split_last() {
        None => (lines, None),
        // The lines above are left alone and the last is gone.
        Some(_) if lines == above.as_slice() => (lines, None),
        Some((last, rest)) if *last == old || rest.len() == above.len() || !there.begins_line => (rest, Some(last)),
        Some(_) => (lines, None),
    }
}

/// The lines above, indented like the key; lines that say the same as before stay as written.
fn block(text: &str, old: &Range<usize>, start: usize, lines: &[&str]) -> String {
    let indent = &text[line_start(text, start)..start];
    let end = newline(text, start);
    let kept: Vec<&str> = text[old.clone()].split_inclusive('\n').collect();
    let mut from = 0;
    let mut out = String::new();
    for words in lines {
        match kept[from..].iter().position(|line| bare(line) == *words) {
            Some(at) => {
                out.push_str(kept[from + at]);
                from += at + 1;
            }
            None => {
                out.push_str(indent);
                out.push_str(&comment(words));
                out.push_str(end);
            }
        }
    }
    out
}

fn comment(words: &str) -> String {
    if words.is_empty() { "#".to_owned() } else { format!("# {words}") }
}
