//! The parts of a text, for colouring it. Works on broken text as well.

use std::ops::Range;

use toml_parser::parser::{Event, EventKind, RecursionGuard, parse_document};
use toml_parser::{ParseError, Source};

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A comment.
    Comment,
    /// The key of a value.
    Key,
    /// A table's header, brackets included.
    Header,
    /// A string.
    Text,
    /// A number, a date, true or false.
    Plain,
    /// Where the text is not TOML.
    Broken,
}

/// Deeper nesting is not coloured.
const MAX_DEPTH: u32 = 80;

/// The parts of a text in order, not overlapping.
pub fn parts(text: &str) -> Vec<(Range<usize>, Part)> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut events: Vec<Event> = Vec::with_capacity(tokens.len());
    let mut faults: Vec<ParseError> = Vec::new();
    parse_document(&tokens, &mut RecursionGuard::new(&mut events, MAX_DEPTH), &mut faults);
    let mut out: Vec<(Range<usize>, Part)> = Vec::new();
    let mut header: Option<usize> = None;
    for event in &events {
        let span = event.span().start()..event.span().end();
        let part = match event.kind() {
            EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                header = Some(span.start);
                continue;
            }
            EventKind::StdTableClose | EventKind::ArrayTableClose => match header.take() {
                Some(start) => {
                    out.push((start..span.end, Part::Header));
                    continue;
                }
                None => continue,
            },
            EventKind::SimpleKey if header.is_some() => continue,
            EventKind::SimpleKey => Part::Key,
            EventKind::Comment => Part::Comment,
            EventKind::Scalar => match text.as_bytes().get(span.start) {
                Some(b'"' | b'\'') => Part::Text,
                _ => Part::Plain,
            },
            EventKind::Error => Part::Broken,
            _ => continue,
        };
        out.push((span, part));
    }
    let faults = faults.iter().filter_map(ParseError::unexpected).filter(|span| span.start() < span.end());
    out.extend(faults.map(|span| (span.start()..span.end(), Part::Broken)));
    tidy(text, out)
}

/// In order, within the text, on the borders of characters, none over another.
fn tidy(text: &str, mut parts: Vec<(Range<usize>, Part)>) -> Vec<(Range<usize>, Part)> {
    parts.sort_by_key(|(span, _)| (span.start, span.end));
    let mut end = 0;
    parts.retain(|(span, _)| {
        let whole = span.start >= end && span.start < span.end && text.get(span.clone()).is_some();
        if whole {
            end = span.end;
        }
        whole
    });
    parts
}
