//! Where keys, values and their comments are in a text, valid or not.

use std::ops::Range;

use super::outline::{Entry, Outline, comment_block_above, line_end, line_start};
use crate::KeyPath;

/// Where one key is written. All ranges are bytes of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The key, all its parts; of a table, what is between the brackets of its header.
    pub key: Range<usize>,
    /// The value; of a table, its header from bracket to bracket.
    pub value: Range<usize>,
    /// Line of the key, from 1.
    pub line: usize,
    /// The comment lines right above (from the first `#` to the end of the last), else the comment on the same line.
    pub note: Option<Range<usize>>,
}

/// Every key and every table with a header of its own, in the order of the text; of a text with mistakes, what could
/// be read. Keys in an array of tables carry the array's path without a position, so that they come several times.
pub fn places(text: &str) -> Vec<(KeyPath, Place)> {
    let mut out = Vec::new();
    let breaks: Vec<usize> = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect();
    for section in &Outline::lenient(text).sections {
        if let Some(header) = section.header.clone() {
            let first = section.parts.first().map_or(header.start, |part| part.start);
            let last = section.parts.last().map_or(first, |part| part.end);
            out.push((KeyPath(section.path.clone()), place(text, &breaks, first..last, header)));
        }
        entries(text, &breaks, &section.entries, &KeyPath(section.path.clone()), &mut out);
    }
    out
}

fn entries(text: &str, breaks: &[usize], list: &[Entry], parent: &KeyPath, out: &mut Vec<(KeyPath, Place)>) {
    for entry in list {
        let mut path = parent.clone();
        path.0.extend(entry.path.iter().cloned());
        out.push((path.clone(), place(text, breaks, entry.key.clone(), entry.value.clone())));
        entries(text, breaks, entry.inline.as_deref().unwrap_or_default(), &path, out);
    }
}

fn place(text: &str, breaks: &[usize], key: Range<usize>, value: Range<usize>) -> Place {
    let words = words(text, key.start.min(value.start), value.end);
    let line = breaks.partition_point(|at| *at < key.start) + 1;
    let above = words.above.map(|lines| lines.start + indent(&text[lines.clone()])..trimmed_end(text, lines));
    Place { key, value, line, note: above.or(words.beside) }
}

fn indent(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

fn trimmed_end(text: &str, range: Range<usize>) -> usize {
    range.start + text[range].trim_end().len()
}

/// The comments that belong to something written from `start` to `end`.
#[derive(Debug)]
pub(super) struct Words {
    /// Whole comment lines right above, line ends included.
    pub(super) above: Option<Range<usize>>,
    /// The comment on the same line, from `#` on.
    pub(super) beside: Option<Range<usize>>,
    /// Whether it begins its line, so that lines can stand above it.
    pub(super) begins_line: bool,
}

pub(super) fn words(text: &str, start: usize, end: usize) -> Words {
    let line = line_start(text, start);
    let lead = text[line..start].trim_matches([' ', '\t']);
    let begins_line = lead.is_empty();
    let top = if begins_line { comment_block_above(text, line) } else { line };
    let rest = &text[end..line_end(text, end)];
    let after = rest.trim_start_matches([' ', '\t']);
    let after = after.strip_prefix(',').map_or(after, |rest| rest.trim_start_matches([' ', '\t']));
    let hash = end + rest.len() - after.len();
    let beside = after.starts_with('#').then(|| hash..hash + after.trim_end_matches(['\r', '\n']).len());
    Words { above: (top < line).then_some(top..line), begins_line, beside }
}
