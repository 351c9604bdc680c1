//! Keys as people write them: `checks.front.status`, `files."/etc/motd".mode`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path of keys from the top of a document. Shown and read in TOML's dotted form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeyPath(pub Vec<String>);

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is no key: {reason}; write it like `checks.front.status` or `files.\"/etc/motd\".mode`")]
pub struct KeyPathError {
    /// What was given.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

impl KeyPath {
    /// Reads a dotted key; parts that are not bare words are quoted as in TOML.
    pub fn parse(key: &str) -> Result<KeyPath, KeyPathError> {
        let bad = |reason: &str| KeyPathError { key: key.to_owned(), reason: reason.to_owned() };
        if key.contains(['\n', '\r']) {
            return Err(bad("it spans lines"));
        }
        let mut parts = Vec::new();
        let mut rest = key.trim();
        if rest.is_empty() {
            return Err(bad("it is empty"));
        }
        loop {
            let (part, after) = split_part(rest).map_err(bad)?;
            parts.push(part);
            let after = after.trim_start();
            if after.is_empty() {
                return Ok(KeyPath(parts));
            }
            rest = after.strip_prefix('.').ok_or_else(|| bad("a dot is missing between two parts"))?.trim_start();
        }
    }

    /// This path without its last part; the top's parent is the top.
    pub fn parent(&self) -> KeyPath {
        KeyPath(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    /// Its last part; nothing for the top.
    pub fn name(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// Whether this path is `other` or below it.
    pub fn is_under(&self, other: &KeyPath) -> bool {
        self.0.starts_with(&other.0)
    }

    /// This path with one more part.
    pub fn child(&self, part: &str) -> KeyPath {
        let mut parts = self.0.clone();
        parts.push(part.to_owned());
        KeyPath(parts)
    }
}

/// One part at the start of `text` and what follows it.
fn split_part(text: &str) -> Result<(String, &str), &'static str> {
    let quote = match text.chars().next() {
        None => return Err("a part is empty"),
        Some(quote @ ('"' | '\'')) => quote,
        Some(_) => {
            let end = text.find(|c: char| !is_bare(c)).unwrap_or(text.len());
            return match end {
                0 if text.starts_with('.') => Err("a part is empty"),
                0 => Err("a part with other characters than letters, digits, `_` and `-` must be quoted"),
                _ => Ok((text[..end].to_owned(), &text[end..])),
            };
        }
    };
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => {
                let literal = &text[..=at];
                let value = toml::de::DeValue::parse(literal).map_err(|_| "a quoted part is malformed")?;
                let part = value.get_ref().as_str().ok_or("a quoted part is malformed")?.to_owned();
                return Ok((part, &text[at + 1..]));
            }
            _ => {}
        }
    }
    Err("a quote is not closed")
}

fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// One key part in TOML's form: bare where possible, else quoted.
pub(crate) fn quote_key(part: &str) -> String {
    if !part.is_empty() && part.chars().all(is_bare) { part.to_owned() } else { quote_string(part) }
}

/// A TOML basic string on one line.
pub fn quote_string(text: &str) -> String {
    use fmt::Write;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            f.write_str(&quote_key(part))?;
        }
        Ok(())
    }
}

impl Serialize for KeyPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeyPath, D::Error> {
        let text = String::deserialize(deserializer)?;
        KeyPath::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_shown_in_the_same_form() {
        for key in ["a", "checks.front.status", r#"files."/etc/motd".mode"#, r#"a."b\"c\n".d"#, r#""""#] {
            assert_eq!(KeyPath::parse(key).unwrap().to_string(), key);
        }
        assert_eq!(KeyPath::parse(" a . 'x.y' ").unwrap().0, ["a", "x.y"]);
    }

    #[test]
    fn bad_keys_say_why() {
        for key in ["", ".", "a.", ".a", "a..b", "a b", "/etc", "\"open", "a\nb", "\"\\q\""] {
            assert!(KeyPath::parse(key).is_err(), "{key:?}");
        }
    }
}
