//! Text with line numbers, colours and the cursor.

use std::ops::Range;
use std::sync::Arc;

use regrow_config::objects::paint::{self, Part};
use regrow_config::objects::{Extent, Object, Objects};

use super::{encode, file};

/// Lines of one file.
#[derive(Debug, Default)]
pub(super) struct FileView {
    pub(super) path: String,
    pub(super) href: String,
    pub(super) role: Option<String>,
    /// What tells the anchors of this file from those of another on the page.
    pub(super) anchor: String,
    pub(super) lines: Vec<Line>,
}

/// One line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) at: bool,
    pub(super) wrong: bool,
    /// The key whose value it is part of.
    pub(super) key: Option<String>,
    pub(super) href: Option<String>,
    /// Class and words.
    pub(super) parts: Vec<(&'static str, String)>,
}

/// The lines of an object in every file that has some.
pub(super) fn of_object(objects: &Objects, object: &Object, here: &str, view: &str, at: Option<&str>) -> Vec<FileView> {
    let mut out: Vec<FileView> = Vec::new();
    for place in &object.places {
        let path = &place.origin.path;
        let Some(text) = objects.texts.get(path) else { continue };
        let keys = keys(objects, object, path);
        let lines = place.extents.iter().flat_map(|e| lines(text, *e)).map(|(number, parts)| {
            let key = keys.iter().find(|(span, _)| span.contains(&number)).map(|(_, key)| key.clone());
            Line {
                at: at.is_some() && key.as_deref() == at,
                wrong: objects.broken.iter().any(|b| b.path == *path && b.line == number),
                href: key.as_ref().map(|key| format!("{here}?view={view}&at={}", encode(key))),
                number,
                key,
                parts,
            }
        });
        out.push(FileView {
            path: path.to_string(),
            href: file::href(&objects.server, path, place.origin.line),
            role: place.role.clone(),
            anchor: format!("p{}-", out.len()),
            lines: lines.collect(),
        });
    }
    out
}

/// Which lines of a file show which key of the object.
fn keys(objects: &Objects, object: &Object, path: &Arc<str>) -> Vec<(Range<usize>, String)> {
    let _ = objects;
    let shown = |field: &regrow_config::objects::Field| {
        let (at, line) = field.from.place()?;
        let lines = field.value.as_deref().map_or(1, |v| v.matches('\n').count() + 1);
        (at == path).then(|| (line..line + lines, field.key.to_string()))
    };
    object.all_fields().filter_map(shown).collect()
}

/// All lines of a text, at most `most`; whether some are left out.
pub(super) fn of_file(text: &str, most: usize) -> (Vec<Line>, bool) {
    let count = text.lines().count();
    let found = lines(text, Extent { first: 1, last: count.min(most) });
    let line = |(number, parts)| Line { number, at: false, wrong: false, key: None, href: None, parts };
    (found.into_iter().map(line).collect(), count > most)
}

/// These lines of a text: number, and pieces with their class.
fn lines(text: &str, extent: Extent) -> Vec<(usize, Vec<(&'static str, String)>)> {
    let painted = paint::parts(text);
    let mut out = Vec::new();
    let mut start = 0;
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let number = at + 1;
        let end = start + line.trim_end_matches(['\n', '\r']).len();
        if (extent.first..=extent.last).contains(&number) {
            out.push((number, pieces(text, start..end, &painted)));
        }
        start += line.len();
    }
    out
}

fn pieces(text: &str, line: Range<usize>, painted: &[(Range<usize>, Part)]) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    let mut at = line.start;
    let first = painted.partition_point(|(span, _)| span.end <= line.start);
    for (span, part) in painted[first..].iter().take_while(|(span, _)| span.start < line.end) {
        let (start, end) = (span.start.max(line.start), span.end.min(line.end));
        if at < start {
            out.push(("", text[at..start].to_owned()));
        }
        out.push((class(*part), text[start..end].to_owned()));
        at = end;
    }
    if at < line.end {
        out.push(("", text[at..line.end].to_owned()));
    }
    out
}

fn class(part: Part) -> &'static str {
    match part {
        Part::Comment => "t-c",
        Part::Key => "t-k",
        Part::Header => "t-h",
        Part::Text => "t-s",
        Part::Plain => "t-n",
        Part::Broken => "t-x",
    }
}
