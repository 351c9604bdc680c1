//! Which lines of a file belong to an object.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::read::syntax::Item;
use crate::read::{Sources, Value};

/// Lines of one file, from 1, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// The first.
    pub first: usize,
    /// The last.
    pub last: usize,
}

/// The lines of an item and everything below it in the file `file`, with the comments above. Runs that only blank lines
/// and comments part are one.
pub(super) fn of_item(item: &Item, file: u32, sources: &Sources) -> Vec<Extent> {
    let mut lines = BTreeSet::new();
    collect(item, file, sources, &mut lines);
    let text: Vec<&str> = sources.text(file).lines().collect();
    let quiet = |line: usize| text.get(line - 1).is_none_or(|l| l.trim().is_empty() || l.trim_start().starts_with('#'));
    let comment = |line: usize| text.get(line - 1).is_some_and(|l| l.trim_start().starts_with('#'));
    let mut out: Vec<Extent> = Vec::new();
    for line in lines {
        match out.last_mut() {
            Some(run) if (run.last + 1..line).all(quiet) => run.last = line,
            _ => {
                let mut first = line;
                while first > 1 && comment(first - 1) {
                    first -= 1;
                }
                out.push(Extent { first, last: line });
            }
        }
    }
    out
}

fn collect(item: &Item, file: u32, sources: &Sources, lines: &mut BTreeSet<usize>) {
    for at in [item.key_at, item.node.at] {
        if at.file == file {
            let first = sources.line_column(file, at.start as usize).0;
            let last = sources.line_column(file, (at.end as usize).saturating_sub(1).max(at.start as usize)).0;
            lines.extend(first..=last);
        }
    }
    if let Value::Table(table) = &item.node.value {
        for item in table.values() {
            collect(item, file, sources, lines);
        }
    }
}
