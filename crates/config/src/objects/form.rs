//! What a form of an object sends back, as edits. Only what a person changed becomes an edit: a form that is sent as it
//! was drawn gives none, whatever the values look like.
//!
//! Fields of a form, each with the key of a value after its first letter:
//!
//! | name | what |
//! | --- | --- |
//! | `t:KEY` | [`Control::tag`](super::Control::tag) of its control |
//! | `o:KEY` | the value as written when the form was drawn; absent or empty if it was not |
//! | `f:KEY` | what the control holds now |
//! | `w:KEY` | where the change goes, if not where the form says (its field `target`) |
//! | `from:KEY` | where the value, its comment and its object stand now, if not where the form says |
//! | `on:KEY`, `n:KEY` | the note when the form was drawn, and now |
//! | `default:KEY` | writes the default, which is the value of this field |
//! | `unset:KEY` | removes the line |
//! | `rename:KEY` | the object's name now; `orename:KEY` its name when the form was drawn |
//! | `delete:KEY` | removes the object with its comments |
//!
//! `default:`, `unset:` and `delete:` are buttons; the value of the latter two is where the line or object stands.

use std::collections::BTreeMap;

use crate::edit::{Comments, Edit};
use crate::keypath::quote_string;
use crate::read::Value;
use crate::read::syntax::plain_value;

use super::control::is_literal;

/// One thing to change, and where if not where the form says.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// `server:NAME`, `role:NAME` or `file:PATH`.
    pub target: Option<String>,
    /// What.
    pub edit: Edit,
}

/// A field whose content cannot be a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The key.
    pub key: String,
    /// Why, and what to write instead.
    pub message: String,
}

/// The changes that a form asks for, in the order of its fields; or every field that cannot be.
///
/// # Errors
/// The fields whose content is no value of their control.
pub fn changes(fields: &[(String, String)]) -> Result<Vec<Change>, Vec<Refused>> {
    let sent: BTreeMap<&str, &str> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let get = |mark: &str, key: &str| sent.get(format!("{mark}:{key}").as_str()).copied();
    let place = |text: Option<&str>| text.filter(|w| w.contains(':')).map(str::to_owned);
    let mut changes = Vec::new();
    let mut refused = Vec::new();
    for (name, value) in fields {
        let Some((mark, key)) = name.split_once(':') else { continue };
        let (goes, stands) = (place(get("w", key)), place(get("from", key)));
        let key_text = key.to_owned();
        match mark {
            "delete" => {
                let edit = Edit::Unset { key: key_text, comments: Comments::Remove };
                changes.push(Change { target: place(Some(value)), edit });
            }
            "unset" => {
                let edit = Edit::Unset { key: key_text, comments: Comments::Keep };
                changes.push(Change { target: place(Some(value)), edit });
            }
            "default" => match get("t", key).map(|tag| literal(tag, value, None)) {
                Some(Ok(Some(value))) => {
                    changes.push(Change { target: goes, edit: Edit::Set { key: key_text, value } })
                }
                _ => refused.push(Refused { key: key_text, message: "there is no default to write".to_owned() }),
            },
            "rename" if get("orename", key) != Some(value) => {
                changes.push(Change { target: stands, edit: Edit::Rename { key: key_text, to: value.clone() } });
            }
            // A button says more about this value than its field.
            "f" if get("unset", key).is_some() || get("default", key).is_some() => {}
            "f" => {
                let old = get("o", key).filter(|o| !o.is_empty());
                // Elements can be taken from and given to a list only where it stands.
                let here = stands.is_none() || stands.as_deref() == goes.as_deref().or(sent.get("target").copied());
                match field(key, get("t", key).unwrap_or("literal"), old, value, here) {
                    Ok(edits) => {
                        changes.extend(edits.into_iter().map(|edit| Change { target: goes.clone(), edit }));
                    }
                    Err(message) => refused.push(Refused { key: key_text, message }),
                }
            }
            "n" => {
                let (old, new) = (plain_lines(get("on", key).unwrap_or_default()), plain_lines(value));
                if old.trim_end() != new.trim_end() {
                    let text = Some(new.trim_end().to_owned()).filter(|t| !t.is_empty());
                    changes.push(Change { target: stands, edit: Edit::Note { key: key_text, text } });
                }
            }
            _ => {}
        }
    }
    if refused.is_empty() { Ok(changes) } else { Err(refused) }
}

/// The edits that lead from `old` (a literal, if anything was written) to what a control holds now.
fn field(key: &str, tag: &str, old: Option<&str>, typed: &str, here: bool) -> Result<Vec<Edit>, String> {
    let typed = plain_lines(typed);
    let before = old.and_then(|old| shown(tag, old));
    match (&before, old) {
        // Nothing was written and nothing is said now.
        (_, None) if typed.is_empty() => return Ok(Vec::new()),
        (Some(before), _) if same(tag, before, &typed) => return Ok(Vec::new()),
        // Drawn as something else than it was written as: then the control showed the literal.
        (None, Some(old)) if plain_lines(old) == typed => return Ok(Vec::new()),
        _ => {}
    }
    let key = key.to_owned();
    if let ("list", Some(old), true) = (tag, old, here)
        && let Some(edits) = elements(&key, old, &typed)
    {
        return Ok(edits);
    }
    match literal(tag, &typed, old)? {
        Some(value) => Ok(vec![Edit::Set { key, value }]),
        None if old.is_some() => Ok(vec![Edit::Unset { key, comments: Comments::Keep }]),
        None => Ok(Vec::new()),
    }
}

/// Whether a control holds what it showed.
fn same(tag: &str, before: &str, typed: &str) -> bool {
    match tag {
        "list" => lines(before).eq(lines(typed)),
        // A browser sends no line end that it was not given, nor one too many.
        "lines" => before == typed,
        _ => before == typed || before.trim() == typed.trim() && tag != "text" && tag != "literal",
    }
}

/// Line ends as the text of a form has them: one way.
fn plain_lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').map(str::trim).filter(|line| !line.is_empty())
}

/// What the control of this name shows of a literal; `None` if it cannot.
fn shown(tag: &str, literal: &str) -> Option<String> {
    let value = plain_value(literal)?;
    let text = match (tag, &value) {
        ("literal", _) => return Some(plain_lines(literal)),
        ("list", Value::Array(elements)) => {
            let strings: Option<Vec<&str>> = elements
                .iter()
                .map(|e| if let Value::String(s) = &e.value { Some(s.as_str()) } else { None })
                .collect();
            strings?.join("\n")
        }
        ("switch" | "scalar", Value::Boolean(b)) => b.to_string(),
        ("number" | "size" | "scalar", Value::Integer(n)) => n.to_string(),
        (_, Value::String(text)) => text.clone(),
        _ => return None,
    };
    Some(plain_lines(&text))
}

/// The literal for what a control holds; `None` if that means that nothing is to be written.
fn literal(tag: &str, typed: &str, old: Option<&str>) -> Result<Option<String>, String> {
    let typed = plain_lines(typed);
    let word = typed.trim();
    let was_text = old.and_then(plain_value).is_some_and(|v| matches!(v, Value::String(_)));
    if let Some(bad) = typed.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(format!("the character U+{:04X} cannot be typed here; change it in the text", u32::from(bad)));
    }
    Ok(Some(match tag {
        "switch" | "choice" | "number" | "size" | "mode" | "scalar" if word.is_empty() => return Ok(None),
        "switch" => match word {
            "true" | "false" => word.to_owned(),
            _ => return Err("choose yes or no".to_owned()),
        },
        "number" => match word.parse::<i64>() {
            Ok(n) => n.to_string(),
            Err(_) => return Err(format!("{word:?} is no whole number")),
        },
        "size" | "scalar" => match (word.parse::<i64>(), word) {
            (Ok(n), _) if !was_text && n.to_string() == word => word.to_owned(),
            (_, "true" | "false") if tag == "scalar" && !was_text => word.to_owned(),
            _ if word.contains('\n') => return Err("write it on one line".to_owned()),
            _ => quote_string(word),
        },
        "choice" | "mode" => quote_string(word),
        "text" if typed.contains('\n') => return Err("write it on one line".to_owned()),
        "text" => quote_string(&typed),
        "lines" => multi_line(&typed, old),
        "list" => {
            let elements: Vec<String> = lines(&typed).map(quote_string).collect();
            format!("[{}]", elements.join(", "))
        }
        _ if is_literal(word) => word.to_owned(),
        _ if word.is_empty() => return Ok(None),
        _ => return Err("this is no TOML value; text stands in quotes, lists like [\"a\", \"b\"]".to_owned()),
    }))
}

/// Text of several lines stands as such in the file; with the line ends that it had.
fn multi_line(text: &str, old: Option<&str>) -> String {
    let crlf = old.and_then(plain_value).is_some_and(|v| matches!(v, Value::String(s) if s.contains("\r\n")));
    let text = if crlf { text.replace('\n', "\r\n") } else { text.to_owned() };
    // Several lines in between: then the file shows them as they are.
    if crlf || text.trim_end_matches('\n').matches('\n').count() == 0 {
        return quote_string(&text);
    }
    if !text.contains("'''") && !text.ends_with('\'') {
        return format!("'''\n{text}'''");
    }
    let escaped = text.replace('\\', "\\\\").replace("\"\"\"", "\"\"\\\"");
    match escaped.strip_suffix('"') {
        Some(rest) => format!("\"\"\"\n{rest}\\\"\"\"\""),
        None => format!("\"\"\"\n{escaped}\"\"\""),
    }
}

/// The edits of single elements, if the list only lost some and got others at its end: so comments in it stay.
fn elements(key: &str, old: &str, typed: &str) -> Option<Vec<Edit>> {
    let before = shown("list", old)?;
    let before: Vec<&str> = before.split('\n').filter(|l| !l.is_empty()).collect();
    let after: Vec<&str> = lines(typed).collect();
    let once = |list: &[&str]| list.iter().collect::<std::collections::BTreeSet<_>>().len() == list.len();
    if before.is_empty() || after.is_empty() || !once(&before) || !once(&after) {
        return None;
    }
    let kept: Vec<&str> = before.iter().copied().filter(|e| after.contains(e)).collect();
    let added = after.strip_prefix(kept.as_slice())?;
    let removed = before.iter().filter(|e| !after.contains(e));
    let change = |element: &&str| (key.to_owned(), quote_string(element));
    let removed = removed.map(change).map(|(key, value)| Edit::Remove { key, value });
    Some(removed.chain(added.iter().map(change).map(|(key, value)| Edit::Add { key, value })).collect())
}
