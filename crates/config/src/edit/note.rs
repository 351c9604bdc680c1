//! Notes: the comments that belong to a key, read and written without `#`.

use std::ops::Range;

use super::certificate::{Change, certify};
use super::outline::{Outline, comments, line_start, newline};
use super::places::{Words, places, words};
use super::{EditError, Patch};
use crate::KeyPath;

/// The comment that belongs to `key`: the lines right above it (a block set off by a blank line belongs to nobody),
/// then that on its own line. Without `#` and the blank after it; lines end with `\n`, the last with nothing.
pub fn note(text: &str, key: &KeyPath) -> Option<String> {
    let found = find(text, key)?;
    read(text, &found)
}

/// The comments of all keys at once: see [`note`].
pub(crate) fn notes(text: &str) -> std::collections::BTreeMap<KeyPath, String> {
    let of = |(path, place): (KeyPath, super::Place)| {
        let start = place.key.start.min(place.value.start);
        Some((path, read(text, &words(text, start, place.value.end))?))
    };
    places(text).into_iter().filter_map(of).collect()
}

fn find(text: &str, key: &KeyPath) -> Option<Words> {
    let (_, place) = places(text).into_iter().find(|(path, _)| path == key)?;
    // A header's place is its brackets.
    let start = place.key.start.min(place.value.start);
    Some(words(text, start, place.value.end))
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
    let patch = Patch { edits: edits(text, &key, &there, &lines)? };
    let owned: Vec<Range<usize>> = there.above.iter().chain(&there.beside).cloned().collect();
    certify(text, &patch, &key, Change::Nothing, &owned)?;
    let new = patch.apply(text);
    let others = |text: &str, words: &Words| {
        let own =
            |c: &Range<usize>| words.above.iter().chain(&words.beside).any(|r| r.start <= c.start && c.end <= r.end);
        comments(text).into_iter().filter(|c| !own(c)).map(|c| text[c].to_owned()).collect::<Vec<_>>()
    };
    let proven = find(&new, &key).is_some_and(|now| {
        read(&new, &now).map(|w| normal(&w)) == wanted && others(&new, &now) == others(text, &there)
    });
    if proven { Ok(patch) } else { Err(EditError::NotCertified { key }) }
}

/// The same words with `\n` as line end, without blanks at the ends of lines and empty lines at the end.
fn normal(words: &str) -> String {
    let lines: Vec<&str> = words.lines().map(|line| line.trim_end().trim_end_matches('\r')).collect();
    lines.join("\n").trim_end().to_owned()
}

fn edits(text: &str, key: &KeyPath, there: &Words, lines: &[&str]) -> Result<Vec<(Range<usize>, String)>, EditError> {
    let (above, beside) = split(text, there, lines);
    let mut edits = Vec::new();
    let start = find_start(text, key).unwrap_or_default();
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
        (Some(range), Some(words)) if bare(&text[range.clone()]) != words => {
            edits.push((range.clone(), comment(words)));
        }
        (Some(range), None) => {
            let before = text[..range.start].trim_end_matches([' ', '\t']).len();
            edits.push((before..range.end, String::new()));
        }
        _ => {}
    }
    Ok(edits)
}

fn find_start(text: &str, key: &KeyPath) -> Option<usize> {
    let (_, place) = places(text).into_iter().find(|(path, _)| path == key)?;
    Some(place.key.start.min(place.value.start))
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
