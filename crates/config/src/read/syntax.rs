//! TOML text as trees that know where each of their parts is written, from whichever file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::diagnostic::Diagnostic;

/// The files read so far; a [`At`] points into one of them.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: Vec<SourceFile>,
}

#[derive(Debug)]
struct SourceFile {
    path: Arc<str>,
    text: Arc<str>,
    /// Byte offset of the start of each line.
    lines: Vec<usize>,
}

impl Sources {
    /// Adds a file; gives its number.
    pub(crate) fn add(&mut self, path: &str, text: &str) -> u32 {
        let mut lines = vec![0];
        lines.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1));
        self.files.push(SourceFile { path: path.into(), text: text.into(), lines });
        (self.files.len() - 1) as u32
    }

    /// The path of a file, relative to the fleet.
    pub(crate) fn path(&self, file: u32) -> &Arc<str> {
        &self.files[file as usize].path
    }

    /// The text of a file.
    pub(crate) fn text(&self, file: u32) -> &Arc<str> {
        &self.files[file as usize].text
    }

    /// Every file read so far: path and text.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.files.iter().map(|f| (&f.path, &f.text))
    }

    /// Line and column of a byte, both from 1; columns count characters.
    pub(crate) fn line_column(&self, file: u32, byte: usize) -> (usize, usize) {
        let file = &self.files[file as usize];
        let line = file.lines.partition_point(|start| *start <= byte).max(1);
        let start = file.lines[line - 1];
        let mut byte = byte.min(file.text.len());
        while !file.text.is_char_boundary(byte) {
            byte -= 1;
        }
        (line, file.text[start.min(byte)..byte].chars().count() + 1)
    }
}

/// A place in the text: file and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    /// Number of the file in its [`Sources`].
    pub(crate) file: u32,
    /// First byte.
    pub(crate) start: u32,
    /// One past the last byte.
    pub(crate) end: u32,
}

impl At {
    fn new(file: u32, span: Range<usize>) -> At {
        At { file, start: span.start as u32, end: span.end as u32 }
    }

    /// The bytes.
    pub(crate) fn span(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A value and where it is written.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where: the value itself, or the header of a table.
    pub(crate) at: At,
    /// What.
    pub(crate) value: Value,
}

/// A key of a table.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Where the key is written.
    pub(crate) key_at: At,
    /// Its value.
    pub(crate) node: Node,
}

/// A TOML value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// A string.
    String(String),
    /// An integer that fits.
    Integer(i64),
    /// Any other number, as written.
    Number(String),
    /// true or false.
    Boolean(bool),
    /// A date or a time, as written.
    Datetime(String),
    /// An array.
    Array(Vec<Node>),
    /// A table of any form.
    Table(BTreeMap<String, Item>),
}

impl Value {
    /// The type in words, with its article.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::String(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Number(_) => "a number",
            Value::Boolean(_) => "a boolean",
            Value::Datetime(_) => "a date",
            Value::Array(_) => "an array",
            Value::Table(_) => "a table",
        }
    }
}

/// Parses one file. What can be read of a broken file is in the tree, each fault is a diagnostic.
pub(crate) fn parse(sources: &mut Sources, path: &str, text: &str, diagnostics: &mut Vec<Diagnostic>) -> Node {
    let file = sources.add(path, text);
    let (tree, errors) = DeTable::parse_recoverable(text);
    let mut seen = Vec::new();
    for error in &errors {
        let mut span = error.span().unwrap_or(0..0);
        span.start = span.start.min(text.len());
        span.end = span.end.clamp(span.start, text.len());
        // One slip often makes several complaints at one place; the first says it best.
        if seen.contains(&span.start) {
            continue;
        }
        seen.push(span.start);
        diagnostics.push(
            Diagnostic::error("invalid-toml", format!("this is not TOML: {}", error.message().trim()))
                .at(sources, At::new(file, span))
                .help("the rest of the file was read; fix this place and check again"),
        );
    }
    let at = At { file, start: 0, end: 0 };
    Node { at, value: Value::Table(convert_table(file, tree.get_ref())) }
}

/// The value of one literal; `None` if it is not TOML. Its places mean nothing.
pub(crate) fn plain_value(literal: &str) -> Option<Value> {
    DeValue::parse(literal).ok().map(|value| convert(0, value.get_ref()))
}

fn convert_table(file: u32, table: &DeTable<'_>) -> BTreeMap<String, Item> {
    table
        .iter()
        .map(|(key, value)| {
            let node = Node { at: At::new(file, value.span()), value: convert(file, value.get_ref()) };
            (key.get_ref().to_string(), Item { key_at: At::new(file, key.span()), node })
        })
        .collect()
}

fn convert(file: u32, value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(s) => Value::String(s.to_string()),
        DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
            Ok(n) => Value::Integer(n),
            Err(_) => Value::Number(i.to_string()),
        },
        DeValue::Float(f) => Value::Number(f.as_str().to_owned()),
        DeValue::Boolean(b) => Value::Boolean(*b),
        DeValue::Datetime(d) => Value::Datetime(d.to_string()),
        DeValue::Array(array) => Value::Array(
            array
                .iter()
                .map(|element| Node { at: At::new(file, element.span()), value: convert(file, element.get_ref()) })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(convert_table(file, table)),
    }
}
