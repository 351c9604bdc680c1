//! What is said about a mistake: code, place, words, way out. Drawn for terminals here, as JSON by serde.

use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::codes;
use crate::read::{At, Sources};

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Blocks lock and build (never saving).
    Error,
    /// Worth a look; blocks nothing.
    Warning,
}

/// One mistake, or one thing worth a look.
///
/// As JSON: `severity`, `code`, `message`, `file`, `line`, `column`, `label`, `help`, and `span` in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How grave.
    pub severity: Severity,
    /// Stable code, one of [`codes::CODES`].
    pub code: &'static str,
    /// What is wrong, in one sentence without final stop.
    pub message: String,
    /// The file, relative to the fleet; empty if there is none.
    pub file: Arc<str>,
    /// Line from 1.
    pub line: usize,
    /// Column from 1, in characters.
    pub column: usize,
    /// Bytes in the file.
    pub span: Range<usize>,
    /// Words for the place itself; may be empty.
    pub label: String,
    /// The way out.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A diagnostic without a place.
    pub fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Diagnostic {
        debug_assert!(codes::find(code).is_some(), "{code} is not in the list of codes");
        Diagnostic {
            severity,
            code,
            message: message.into(),
            file: "".into(),
            line: 1,
            column: 1,
            span: 0..0,
            label: String::new(),
            help: None,
        }
    }

    /// An error without a place.
    pub fn error(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, code, message)
    }

    /// A warning without a place.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, code, message)
    }

    /// Whether it blocks lock and build.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Gives it a file as its place, without a line.
    pub fn in_file(mut self, file: &str) -> Diagnostic {
        self.file = file.into();
        self
    }

    /// Gives it a place in the text.
    pub(crate) fn at(mut self, sources: &Sources, at: At) -> Diagnostic {
        self.file = sources.path(at.file).clone();
        self.span = at.span();
        (self.line, self.column) = sources.line_column(at.file, at.start as usize);
        self
    }

    /// Words for the place itself.
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    /// The way out.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// Draws it in rustc's manner. `text` is the file's text (empty if it has none); `color` adds ANSI colours.
    pub fn render(&self, text: &str, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(self.message.as_str()).id(self.code));
        let span = clamp(text, &self.span);
        // A line with a secret in it is not repeated; a file as a whole has no line worth showing.
        let shown = self.code != "secret-in-text" && self.span != (0..0) && !text.is_empty();
        if shown && !self.file.is_empty() {
            // Of a span over several lines, the first says where.
            let first_line = text[span.clone()].find('\n').map_or(span.end, |n| span.start + n.max(1));
            let mut annotation = AnnotationKind::Primary.span(span.start..first_line);
            if !self.label.is_empty() {
                annotation = annotation.label(self.label.as_str());
            }
            group = group.element(Snippet::source(text).path(&*self.file).annotation(annotation));
        } else if !self.file.is_empty() {
            let mut origin = annotate_snippets::Origin::path(&*self.file);
            if self.line > 1 || self.span != (0..0) {
                origin = origin.line(self.line).char_column(self.column);
            }
            group = group.element(origin);
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

fn clamp(text: &str, span: &Range<usize>) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    start..floor(span.end).max(start)
}

/// Sorts by file and place and drops what was said twice (a role is read once per server that uses it).
pub(crate) fn tidy(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| {
        let key = |d: &Diagnostic| (d.file.clone(), d.span.start, d.span.end, d.severity, d.code);
        key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
    });
    // What is not TOML has no value worth judging.
    let broken: std::collections::BTreeSet<(Arc<str>, usize)> =
        diagnostics.iter().filter(|d| d.code == "invalid-toml").map(|d| (d.file.clone(), d.line)).collect();
    diagnostics.retain(|d| d.code == "invalid-toml" || !broken.contains(&(d.file.clone(), d.line)));
    diagnostics.dedup_by(|a, b| a.code == b.code && a.file == b.file && a.span == b.span && a.message == b.message);
}
