//! Where everything is in a text: sections, keys, values and comments as byte ranges.

use std::borrow::Cow;
use std::ops::Range;

use toml_parser::parser::{Event, EventKind, RecursionGuard, parse_document};
use toml_parser::{Source, Span};

use super::EditError;

/// Deeper nesting is refused, as the parser of values does.
const MAX_DEPTH: u32 = 80;

/// The structure of a text.
#[derive(Debug)]
pub(super) struct Outline {
    /// The first section has no header: the keys before any table.
    pub(super) sections: Vec<Section>,
}

/// A header and the keys below it.
#[derive(Debug)]
pub(super) struct Section {
    /// `[a.b]`, from bracket to bracket.
    pub(super) header: Option<Range<usize>>,
    /// The header's path.
    pub(super) path: Vec<String>,
    /// Where each part of the path is written.
    pub(super) parts: Vec<Range<usize>>,
    /// Whether the header is `[[a.b]]`.
    pub(super) array: bool,
    /// Its keys in order.
    pub(super) entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    /// The key's parts; more than one if dotted.
    pub(super) path: Vec<String>,
    /// Where each part is written.
    pub(super) parts: Vec<Range<usize>>,
    /// The whole key.
    pub(super) key: Range<usize>,
    /// The whole value.
    pub(super) value: Range<usize>,
    /// The keys of an inline table.
    pub(super) inline: Option<Vec<Entry>>,
    /// The elements of an array.
    pub(super) elements: Option<Vec<Range<usize>>>,
}

impl Outline {
    /// Reads a text, which must be valid.
    pub(super) fn read(text: &str) -> Result<Outline, EditError> {
        if let Err(error) = toml::de::DeTable::parse(text) {
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
            return Err(EditError::Syntax { line, reason: error.message().trim().to_owned() });
        }
        Ok(Outline::lenient(text))
    }

    /// What can be made out of a text, valid or not.
    pub(super) fn lenient(text: &str) -> Outline {
        let source = Source::new(text);
        let events = events(source);
        let mut reader = Reader { source, events: &events, at: 0 };
        reader.document()
    }

    /// The entry that holds `path` as its value, wherever it is; not one inside an array of tables.
    pub(super) fn entry(&self, path: &[String]) -> Option<&Entry> {
        let sections = self.sections.iter().filter(|s| path.starts_with(&s.path) && !self.in_array(&s.path));
        sections.filter_map(|section| entry_among(&section.entries, &path[section.path.len()..])).next()
    }

    /// Whether a table of this path is, or is in, an array of tables.
    pub(super) fn in_array(&self, path: &[String]) -> bool {
        self.sections.iter().any(|section| section.array && path.starts_with(&section.path))
    }

    /// Whether some header or dotted key makes `path` a table.
    pub(super) fn names_table(&self, path: &[String]) -> bool {
        self.sections.iter().any(|section| {
            section.path.starts_with(path)
                || section
                    .entries
                    .iter()
                    .any(|entry| path.starts_with(&section.path) && entry.path.starts_with(&path[section.path.len()..]))
        })
    }
}

fn entry_among<'e>(entries: &'e [Entry], rest: &[String]) -> Option<&'e Entry> {
    let entry = entries.iter().find(|entry| rest.starts_with(&entry.path))?;
    let deeper = &rest[entry.path.len()..];
    if deeper.is_empty() { Some(entry) } else { entry_among(entry.inline.as_ref()?, deeper) }
}

/// The comments of a text, each from its `#` to the end of its line.
pub(super) fn comments(text: &str) -> Vec<Range<usize>> {
    let of_kind = |event: &&Event| event.kind() == EventKind::Comment;
    events(Source::new(text)).iter().filter(of_kind).map(|event| range(event.span())).collect()
}

fn events(source: Source<'_>) -> Vec<Event> {
    let tokens = source.lex().into_vec();
    let mut events = Vec::with_capacity(tokens.len());
    let mut receiver = RecursionGuard::new(&mut events, MAX_DEPTH);
    parse_document(&tokens, &mut receiver, &mut ());
    events
}

fn range(span: Span) -> Range<usize> {
    span.start()..span.end()
}

struct Reader<'t> {
    source: Source<'t>,
    events: &'t [Event],
    at: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Option<&'t Event> {
        let event = self.events.get(self.at)?;
        self.at += 1;
        Some(event)
    }

    fn peek(&self) -> Option<&'t Event> {
        self.events.get(self.at)
    }

    fn document(&mut self) -> Outline {
        let mut sections =
            vec![Section { header: None, path: Vec::new(), parts: Vec::new(), array: false, entries: Vec::new() }];
        while let Some(event) = self.next() {
            match event.kind() {
                EventKind::StdTableOpen | EventKind::ArrayTableOpen => sections.push(self.header(event)),
                EventKind::SimpleKey => {
                    if let (Some(entry), Some(section)) = (self.entry(event, false), sections.last_mut()) {
                        section.entries.push(entry);
                    }
                }
                _ => {}
            }
        }
        Outline { sections }
    }

    fn header(&mut self, open: &Event) -> Section {
        let array = open.kind() == EventKind::ArrayTableOpen;
        let (mut path, mut parts) = (Vec::new(), Vec::new());
        let mut end = open.span().end();
        while let Some(event) = self.peek() {
            match event.kind() {
                EventKind::SimpleKey => {
                    path.push(self.key_text(event));
                    parts.push(range(event.span()));
                    end = event.span().end();
                }
                EventKind::StdTableClose | EventKind::ArrayTableClose => {
                    end = event.span().end();
                    self.at += 1;
                    break;
                }
                // A header that is not closed.
                EventKind::Newline => break,
                _ => {}
            }
            self.at += 1;
        }
        Section { header: Some(open.span().start()..end), path, parts, array, entries: Vec::new() }
    }

    /// A key whose first part is `first`, and its value; nothing if the line ends before a value. In an inline table
    /// the parser lets a key go on after the end of a line; there the next comma or the bracket ends it.
    fn entry(&mut self, first: &Event, inline: bool) -> Option<Entry> {
        let ends = |kind| match kind {
            EventKind::Newline => !inline,
            EventKind::ValueSep | EventKind::InlineTableClose => inline,
            _ => false,
        };
        let mut path = vec![self.key_text(first)];
        let mut parts = vec![range(first.span())];
        let mut key = range(first.span());
        loop {
            let event = self.peek()?;
            match event.kind() {
                EventKind::SimpleKey => {
                    path.push(self.key_text(event));
                    parts.push(range(event.span()));
                    key.end = event.span().end();
                }
                EventKind::KeyValSep => break,
                kind if ends(kind) => return None,
                _ => {}
            }
            self.at += 1;
        }
        self.at += 1;
        let mut entry = Entry { path, parts, key, value: 0..0, inline: None, elements: None };
        loop {
            let event = self.peek()?;
            if ends(event.kind()) {
                return None;
            }
            self.at += 1;
            match event.kind() {
                EventKind::Scalar => entry.value = range(event.span()),
                EventKind::ArrayOpen => {
                    let (elements, end) = self.array(event.span().end());
                    entry.value = event.span().start()..end;
                    entry.elements = Some(elements);
                }
                EventKind::InlineTableOpen => {
                    let (entries, end) = self.inline_table(event.span().end());
                    entry.value = event.span().start()..end;
                    entry.inline = Some(entries);
                }
                _ => continue,
            }
            return Some(entry);
        }
    }

    /// The elements of an array, and its end.
    fn array(&mut self, fallback: usize) -> (Vec<Range<usize>>, usize) {
        let mut opened = Vec::new();
        let mut elements = Vec::new();
        let mut last = fallback;
        while let Some(event) = self.next() {
            last = last.max(event.span().end());
            match event.kind() {
                EventKind::Scalar if opened.is_empty() => elements.push(range(event.span())),
                EventKind::ArrayOpen | EventKind::InlineTableOpen => opened.push(event.span().start()),
                EventKind::ArrayClose | EventKind::InlineTableClose => match opened.pop() {
                    None => return (elements, event.span().end()),
                    Some(start) if opened.is_empty() => elements.push(start..event.span().end()),
                    Some(_) => {}
                },
                _ => {}
            }
        }
        (elements, last)
    }

    fn inline_table(&mut self, fallback: usize) -> (Vec<Entry>, usize) {
        let mut entries = Vec::new();
        let mut last = fallback;
        while let Some(event) = self.next() {
            last = last.max(event.span().end());
            match event.kind() {
                EventKind::SimpleKey => entries.extend(self.entry(event, true)),
                EventKind::InlineTableClose => return (entries, event.span().end()),
                _ => {}
            }
        }
        (entries, last)
    }

    fn key_text(&self, event: &Event) -> String {
        let mut out = Cow::Borrowed("");
        if let Some(raw) = self.source.get(event) {
            raw.decode_key(&mut out, &mut ());
        }
        out.into_owned()
    }
}

/// Where a text begins: after its byte order mark, if it has one.
pub(super) fn first(text: &str) -> usize {
    if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }
}

/// The start of the line that holds byte `at`.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().rposition(|b| *b == b'\n').map_or(first(text).min(at), |n| n + 1)
}

/// One past the line that holds byte `at`, its line end included.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    text.as_bytes()[at..].iter().position(|b| *b == b'\n').map_or(text.len(), |n| at + n + 1)
}

/// The line end used around byte `at`: that of its line, else that of the first line, else `\n`.
pub(super) fn newline(text: &str, at: usize) -> &'static str {
    let end = line_end(text, at);
    let line = if text[..end].ends_with('\n') { &text[..end] } else { &text[..line_end(text, 0)] };
    if line.ends_with("\r\n") { "\r\n" } else { "\n" }
}

/// Start of the block of comment lines that stands right above the line starting at `start`, without a blank between.
pub(super) fn comment_block_above(text: &str, start: usize) -> usize {
    let mut top = start;
    while top > first(text) {
        let above = line_start(text, top - 1);
        if !text[above..top].trim_start().starts_with('#') {
            break;
        }
        top = above;
    }
    top
}
