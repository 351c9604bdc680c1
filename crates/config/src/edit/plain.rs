//! The value of a text without places, for comparing.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use crate::KeyPath;
use crate::keypath::{quote_key, quote_string};

/// A plain TOML value; numbers and dates as written, so that equality is exact.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plain {
    /// A scalar: its type and its content.
    Scalar(&'static str, String),
    /// An array.
    Array(Vec<Plain>),
    /// A table.
    Table(BTreeMap<String, Plain>),
}

/// The value of a text; `None` if it is not TOML.
pub(crate) fn parse(text: &str) -> Option<BTreeMap<String, Plain>> {
    DeTable::parse(text).ok().map(|table| from_table(table.get_ref()))
}

/// The value of one literal; `None` if it is not TOML.
pub(crate) fn parse_value(literal: &str) -> Option<Plain> {
    DeValue::parse(literal).ok().map(|value| from_value(value.get_ref()))
}

pub(crate) fn from_table(table: &DeTable<'_>) -> BTreeMap<String, Plain> {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), from_value(value.get_ref()))).collect()
}

fn from_value(value: &DeValue<'_>) -> Plain {
    let content = match value {
        DeValue::Array(elements) => return Plain::Array(elements.iter().map(|e| from_value(e.get_ref())).collect()),
        DeValue::Table(table) => return Plain::Table(from_table(table)),
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(number) => number.to_string(),
            Err(_) => n.to_string(),
        },
        DeValue::Float(n) => n.as_str().to_owned(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(date) => date.to_string(),
    };
    Plain::Scalar(value.type_str(), content)
}

/// The value at `path`.
pub(crate) fn get<'p>(table: &'p BTreeMap<String, Plain>, path: &[String]) -> Option<&'p Plain> {
    let (first, rest) = path.split_first()?;
    let value = table.get(first)?;
    match value {
        _ if rest.is_empty() => Some(value),
        Plain::Table(inner) => get(inner, rest),
        _ => None,
    }
}

/// The leaves of a text (values that are no tables, and empty tables) in the order in which they are written; nothing
/// if it is not TOML.
pub(crate) fn order(text: &str) -> Vec<KeyPath> {
    let mut leaves = Vec::new();
    if let Ok(table) = DeTable::parse(text) {
        collect(table.get_ref(), &KeyPath::default(), &mut leaves);
    }
    leaves.sort();
    leaves.into_iter().map(|(_, path)| path).collect()
}

fn collect(table: &DeTable<'_>, path: &KeyPath, out: &mut Vec<(usize, KeyPath)>) {
    for (key, value) in table.iter() {
        let path = path.child(key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => collect(inner, &path, out),
            _ => out.push((key.span().start, path)),
        }
    }
}

impl Plain {
    /// The value as a TOML literal on one line.
    pub(crate) fn literal(&self) -> String {
        match self {
            Plain::Scalar("string", text) => quote_string(text),
            Plain::Scalar(_, text) => text.clone(),
            Plain::Array(elements) => {
                let elements: Vec<String> = elements.iter().map(Plain::literal).collect();
                format!("[{}]", elements.join(", "))
            }
            Plain::Table(table) if table.is_empty() => "{}".to_owned(),
            Plain::Table(table) => {
                let keys: Vec<String> =
                    table.iter().map(|(key, value)| format!("{} = {}", quote_key(key), value.literal())).collect();
                format!("{{ {} }}", keys.join(", "))
            }
        }
    }
}
