//! Which control shows a value, and the value as that control holds it.

use serde::Serialize;

use crate::read::{Hint, Node, Value};

/// How a value is shown and typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Control {
    /// true or false.
    Switch,
    /// One of these.
    Choice(Vec<&'static str>),
    /// A whole number between two bounds, both included.
    Number {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A number of bytes: digits, or digits with K, M, G or T.
    Size,
    /// One line of text.
    Text,
    /// Text of any number of lines.
    Lines,
    /// Permission bits in octal.
    Mode,
    /// A number, true or false, or one line of text.
    Scalar,
    /// Lines of text, each one element.
    List,
    /// The TOML text of the value itself: what no other control can show.
    Literal,
    /// A value that can be changed in the text only, such as a table.
    Fixed,
}

impl Control {
    /// Its name in forms.
    pub fn tag(&self) -> &'static str {
        match self {
            Control::Switch => "switch",
            Control::Choice(_) => "choice",
            Control::Number { .. } => "number",
            Control::Size => "size",
            Control::Text => "text",
            Control::Lines => "lines",
            Control::Mode => "mode",
            Control::Scalar => "scalar",
            Control::List => "list",
            Control::Literal => "literal",
            Control::Fixed => "fixed",
        }
    }

    /// The control for a value that is not there.
    pub(super) fn of_hint(hint: Hint) -> Control {
        match hint {
            Hint::Switch => Control::Switch,
            Hint::Choice(words) => Control::Choice(words.to_vec()),
            Hint::Number { min, max, .. } => Control::Number { min, max },
            Hint::Size => Control::Size,
            Hint::Line(_) => Control::Text,
            Hint::Lines => Control::Lines,
            Hint::Mode => Control::Mode,
            Hint::Scalar => Control::Scalar,
            Hint::List(_) => Control::List,
            Hint::Table | Hint::Any => Control::Literal,
        }
    }

    /// The control for a value that is there, and the value as it shows it. What does not fit is literal text.
    pub(super) fn of_value(hint: Hint, node: &Node, literal: &str) -> (Control, String) {
        match fitting(hint, &node.value) {
            Some(shown) => {
                let control = match (&node.value, Control::of_hint(hint)) {
                    (Value::String(text), Control::Text | Control::Scalar) if text.contains('\n') => Control::Lines,
                    (_, control) => control,
                };
                (control, shown)
            }
            None if is_literal(literal) => (Control::Literal, literal.to_owned()),
            None => (Control::Fixed, literal.to_owned()),
        }
    }
}

/// The value as the control of its hint shows it, if it fits in there without loss.
fn fitting(hint: Hint, value: &Value) -> Option<String> {
    match (hint, value) {
        (Hint::Switch | Hint::Scalar, Value::Boolean(b)) => Some(b.to_string()),
        (Hint::Choice(words), Value::String(text)) => words.contains(&text.as_str()).then(|| text.clone()),
        (Hint::Number { min, max, .. }, Value::Integer(n)) => (min..=max).contains(n).then(|| n.to_string()),
        (Hint::Size | Hint::Scalar, Value::Integer(n)) => Some(n.to_string()),
        (Hint::Mode, Value::String(text)) => {
            ((1..=5).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b))).then(|| text.clone())
        }
        (Hint::Line(_) | Hint::Lines | Hint::Size | Hint::Scalar, Value::String(text)) => {
            is_showable(text).then(|| text.clone())
        }
        (Hint::List(_), Value::Array(elements)) => {
            let lines: Option<Vec<&str>> = elements.iter().map(element).collect();
            lines.map(|lines| lines.join("\n"))
        }
        _ => None,
    }
}

/// An element that can be a line of its own.
fn element(node: &Node) -> Option<&str> {
    match &node.value {
        Value::String(text) if is_showable(text) && !text.contains(['\n', '\r']) => {
            (!text.is_empty() && text.trim() == text).then_some(text.as_str())
        }
        _ => None,
    }
}

/// Whether a form brings this text back as it is: browsers drop or replace other control characters, and they say line
/// ends in one way only.
pub(super) fn is_showable(text: &str) -> bool {
    let plain = !text.chars().any(|c| (c.is_control() && !matches!(c, '\n' | '\t' | '\r')) || c == '\u{feff}');
    plain
        && (!text.contains('\r') || text.matches('\r').count() == text.matches("\r\n").count())
        && (!text.contains("\r\n") || text.matches('\n').count() == text.matches("\r\n").count())
}

/// Whether this is the text of one value.
pub(super) fn is_literal(text: &str) -> bool {
    is_showable(text) && toml::de::DeValue::parse(text).is_ok()
}
