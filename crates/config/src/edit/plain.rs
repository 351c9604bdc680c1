//! The value of a text without places, for comparing.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

/// A plain TOML value; numbers and dates as written, so that equality is exact.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plain {
    /// A scalar: its type and its content.
    Scalar(&'static str, String),
    /// An array.
    Array(Vec<Plain>),
    /// A table.
    Table(BTreeMap<String, Plain>),
}

/// The value of a text; `None` if it is not TOML.
pub(super) fn parse(text: &str) -> Option<BTreeMap<String, Plain>> {
    DeTable::parse(text).ok().map(|table| from_table(table.get_ref()))
}

/// The value of one literal; `None` if it is not TOML.
pub(super) fn parse_value(literal: &str) -> Option<Plain> {
    DeValue::parse(literal).ok().map(|value| from_value(value.get_ref()))
}

fn from_table(table: &DeTable<'_>) -> BTreeMap<String, Plain> {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), from_value(value.get_ref()))).collect()
}

fn from_value(value: &DeValue<'_>) -> Plain {
    let content = match value {
        DeValue::Array(elements) => return Plain::Array(elements.iter().map(|e| from_value(e.get_ref())).collect()),
        DeValue::Table(table) => return Plain::Table(from_table(table)),
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(n) => n.to_string(),
        DeValue::Float(n) => n.as_str().to_owned(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(date) => date.to_string(),
    };
    Plain::Scalar(value.type_str(), content)
}
