//! Rules for plain values, arrays and maps.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, json_schema};

use super::cx::Report;
use super::rules::Word;
use super::{Cx, Hint, Node, Rule, Value};

impl Rule for bool {
    type Out = bool;

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<bool> {
        match &node.value {
            Value::Boolean(b) => Some(*b),
            Value::String(s) if matches!(s.as_str(), "true" | "false") => {
                cx.wrong_type(node, "true or false", Some(format!("write {s} without quotes")));
                None
            }
            _ => {
                cx.wrong_type(node, "true or false", None);
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "boolean" })
    }

    const HINT: Hint = Hint::Switch;
}

/// Words: strings of a certain form.
impl<W: Word> Rule for W {
    type Out = W::Out;

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<W::Out> {
        let text = match &node.value {
            Value::String(text) => text,
            other => {
                let help = match other {
                    Value::Integer(n) => Some(format!("write it in quotes: \"{n}\"")),
                    Value::Number(n) | Value::Datetime(n) => Some(format!("write it in quotes: \"{n}\"")),
                    _ => None,
                };
                cx.wrong_type(node, W::WANTED, help);
                return None;
            }
        };
        match W::parse(text) {
            Ok(out) => Some(out),
            Err(report) => {
                cx.report(node.at, report);
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = json_schema!({ "type": "string" });
        if let Some(pattern) = W::PATTERN {
            schema.insert("pattern".to_owned(), pattern.into());
        }
        if !W::CHOICES.is_empty() {
            schema.insert("enum".to_owned(), W::CHOICES.into());
        }
        schema
    }

    const HINT: Hint = match (W::HINT, W::CHOICES) {
        (Some(hint), _) => hint,
        (None, []) => Hint::Line(W::PATTERN),
        (None, choices) => Hint::Choice(choices),
    };
}

impl<R: Rule> Rule for Vec<R> {
    type Out = Vec<R::Out>;

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<Vec<R::Out>> {
        match &node.value {
            Value::Array(elements) => Some(elements.iter().filter_map(|element| R::read(element, cx)).collect()),
            Value::String(text) => {
                let help = format!("write it in brackets: [{}]", crate::keypath::quote_string(text));
                cx.wrong_type(node, "an array", Some(help));
                None
            }
            _ => {
                cx.wrong_type(node, "an array", None);
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let items = R::schema(generator);
        json_schema!({ "type": "array", "items": items })
    }

    const HINT: Hint = Hint::List(&R::HINT);
}

impl<K: Word<Out = String>, R: Rule> Rule for BTreeMap<K, R> {
    type Out = BTreeMap<String, R::Out>;

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<Self::Out> {
        let mut out = BTreeMap::new();
        for (key, item) in cx.table(node)? {
            let name = match K::parse(key) {
                Ok(name) => Some(name),
                Err(report) => {
                    cx.report(item.key_at, report);
                    None
                }
            };
            // Read even below a bad name: its mistakes are worth telling as well.
            let value = cx.within(key, |cx| R::read(&item.node, cx));
            if let (Some(name), Some(value)) = (name, value) {
                out.insert(name, value);
            }
        }
        Some(out)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let values = R::schema(generator);
        let mut schema = json_schema!({ "type": "object", "additionalProperties": values });
        if let Some(pattern) = K::PATTERN {
            schema.insert("propertyNames".to_owned(), serde_json::json!({ "pattern": pattern }));
        }
        schema
    }

    const HINT: Hint = Hint::Table;
}

/// Reads a whole number from `range`; `wanted` is what it is called, with article.
pub(super) fn integer(node: &Node, cx: &mut Cx<'_>, range: (i64, i64), wanted: &str) -> Option<i64> {
    match &node.value {
        Value::Integer(n) if (range.0..=range.1).contains(n) => Some(*n),
        Value::Integer(n) => {
            let message = format!("`{}` must be {wanted} from {} to {}, not {n}", cx.path(), range.0, range.1);
            cx.report(node.at, Report::new("bad-value", message).label("out of range"));
            None
        }
        Value::String(text) if text.parse::<i64>().is_ok() => {
            cx.wrong_type(node, wanted, Some(format!("write {text} without quotes")));
            None
        }
        _ => {
            cx.wrong_type(node, wanted, None);
            None
        }
    }
}
