//! Changes to text as byte patches, each with a certificate. Nothing is ever printed back from values: comments,
//! order, alignment, line ends and quoting of everything that was not asked for stay as they are.
//!
//! ```text
//! text ──► outline (where keys, values, headers and comments are)  ──► place ──► Patch ──► new text
//!   └────► plain value ──► the change made on the value ──► wanted value ── certificate: equal? ──┘
//! ```
//!
//! * [`Edit`] with [`apply`] and [`apply_all`]: every kind of change, by value; [`set`], [`unset`]: the two plain ones.
//! * [`set_in_server`], [`unset_in_server`]: find the file of a server that holds the key;
//!   [`apply_in_server`] does it for many changes.
//! * [`places`], [`note`]: where keys, values and their comments are; [`key_changes`]: what two texts differ in.
//! * `outline`: the structure of a text in bytes, valid or not; all else builds on it, as does [`crate::merge`].

pub(crate) mod array;
mod certificate;
mod change;
mod changes;
mod compose;
pub(crate) mod note;
mod outline;
mod place;
mod places;
pub(crate) mod plain;
mod rename;
mod reorder;
mod server;
mod unset;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{KeyPath, KeyPathError};

pub use change::{Edit, apply, apply_all};
pub use changes::{KeyChange, key_changes};
pub use note::note;
pub(crate) use note::notes;
pub use places::{Place, places};
pub use server::{Edited, apply_in_server, set_in_server, unset_in_server};

/// Replacements in one text: byte ranges of the old text, sorted, not overlapping, with what stands there then.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patch {
    /// The replacements.
    pub edits: Vec<(Range<usize>, String)>,
}

/// What happens to the comments of a key that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comments {
    /// Comment lines above a key stay; a comment on the key's own line, and those inside and right above a whole
    /// table, go with it.
    #[default]
    Keep,
    /// Comment lines right above a key go with it as well.
    Remove,
}

/// Why a change was refused; nothing has happened then.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The key is malformed.
    #[error(transparent)]
    Key(#[from] KeyPathError),
    /// The value is neither a TOML value nor a plain word.
    #[error("{value} is no TOML value: {reason}; strings stand in quotes, lists like [\"a\", \"b\"]")]
    Value {
        /// What was given.
        value: String,
        /// What the parser said.
        reason: String,
    },
    /// The text has mistakes of syntax; it must be mended by hand first.
    #[error("the text is not TOML at line {line}: {reason}; mend it in an editor first")]
    Syntax {
        /// Line from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// The key names a table that is there.
    #[error("`{key}` is a table; set one of its keys, or unset it first")]
    IsTable {
        /// The key.
        key: KeyPath,
    },
    /// A part of the key holds a plain value.
    #[error("`{holder}` is not a table, so `{key}` cannot be in it; unset `{holder}` first")]
    NotTable {
        /// The key.
        key: KeyPath,
        /// The part that is in the way.
        holder: KeyPath,
    },
    /// There is no such key.
    #[error("`{key}` is not in the text{}", hint.as_deref().map(|h| format!("; {h}")).unwrap_or_default())]
    Absent {
        /// The key.
        key: KeyPath,
        /// Where it might be instead.
        hint: Option<String>,
    },
    /// The name is in use.
    #[error("there is a `{key}` already; choose another name, or remove that one first")]
    Taken {
        /// The key in the way.
        key: KeyPath,
    },
    /// The key does not hold an array.
    #[error("`{key}` is no list, so nothing can be added to it or taken from it; set it instead")]
    NotArray {
        /// The key.
        key: KeyPath,
    },
    /// The array has no such element.
    #[error("{value} is not in `{key}`")]
    NoElement {
        /// The key of the array.
        key: KeyPath,
        /// The element.
        value: String,
    },
    /// The text around the key has a form that cannot be edited by key.
    #[error("`{key}` cannot be changed by key here ({reason}); change it in an editor")]
    Unsupported {
        /// The key.
        key: KeyPath,
        /// What is in the way.
        reason: &'static str,
    },
    /// The new text did not prove to be exactly the wanted change; it was thrown away.
    #[error("changing `{key}` would change more than that, so nothing was changed; please change it in an editor")]
    NotCertified {
        /// The key.
        key: KeyPath,
    },
    /// A server that is not in the fleet.
    #[error("there is no server `{server}` in this fleet (no servers/{server}/server.toml)")]
    NoServer {
        /// Its name.
        server: String,
    },
    /// A file cannot be read.
    #[error("a file of the server cannot be read")]
    File(#[from] regrow_host::FsError),
    /// A file is not text.
    #[error("{path} is not UTF-8 text; save it as UTF-8 first")]
    NotText {
        /// The file, relative to the fleet.
        path: String,
    },
}

impl Patch {
    /// The new text.
    pub fn apply(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + self.edits.iter().map(|(_, new)| new.len()).sum::<usize>());
        let mut at = 0;
        for (range, new) in &self.edits {
            out.push_str(&text[at..range.start]);
            out.push_str(new);
            at = range.end;
        }
        out.push_str(&text[at..]);
        out
    }

    /// The patch that leads back from the new text to `old`.
    pub fn inverse(&self, old: &str) -> Patch {
        let mut moved = 0isize;
        let edits = self
            .edits
            .iter()
            .map(|(range, new)| {
                let start = range.start.wrapping_add_signed(moved);
                moved += new.len() as isize - range.len() as isize;
                (start..start + new.len(), old[range.clone()].to_owned())
            })
            .collect();
        Patch { edits }
    }

    /// Comments of `old` that the patch takes away.
    pub fn removed_comments<'t>(&self, old: &'t str) -> Vec<&'t str> {
        let comments = outline::comments(old);
        let gone = |comment: &Range<usize>| {
            self.edits.iter().any(|(range, new)| {
                range.start <= comment.start && comment.end <= range.end && !new.contains(&old[comment.clone()])
            })
        };
        comments.into_iter().filter(gone).map(|comment| &old[comment]).collect()
    }

    /// The line (from 1) of the new text at which the change is; of a new table, that of its key.
    pub fn line(&self, old: &str) -> usize {
        let Some((range, new)) = self.edits.first() else { return 1 };
        let rest = new.trim_start();
        let header = range.is_empty() && rest.starts_with('[');
        let lead = new[..new.len() - rest.len()].matches('\n').count();
        old[..range.start].matches('\n').count() + lead + usize::from(header) + 1
    }
}

/// Sets `key` to `value` in `text`. A `value` that is no TOML value but a plain word is taken as a string.
///
/// An existing value is replaced in place. A new key goes after the last key of its table; a new table goes after its
/// nearest relative, tables of the first level in the order of the schema.
pub fn set(text: &str, key: &str, value: &str) -> Result<Patch, EditError> {
    let key = KeyPath::parse(key)?;
    let literal = literal(value)?;
    let outline = outline::Outline::read(text)?;
    let wanted = plain::parse_value(&literal).ok_or_else(|| EditError::NotCertified { key: key.clone() })?;
    let entry = outline.entry(&key.0);
    if let Some(patch) = entry.and_then(|entry| array::set(text, entry, &key, &literal, &wanted)) {
        return Ok(patch);
    }
    let patch = place::set(text, &outline, &key, &literal)?;
    let owned: Vec<Range<usize>> = entry.map(|entry| entry.value.clone()).into_iter().collect();
    certificate::certify(text, &patch, &key, certificate::Change::Put(wanted), &owned)?;
    Ok(patch)
}

/// Removes `key` from `text`: a value, or a table with all that is in it.
pub fn unset(text: &str, key: &str) -> Result<Patch, EditError> {
    unset_with(text, key, Comments::default())
}

/// [`unset`] with a choice for the comments.
pub fn unset_with(text: &str, key: &str, comments: Comments) -> Result<Patch, EditError> {
    let key = KeyPath::parse(key)?;
    let outline = outline::Outline::read(text)?;
    let patch = unset::unset(text, &outline, &key, comments)?;
    let owned: Vec<Range<usize>> = patch.edits.iter().map(|(range, _)| range.clone()).collect();
    certificate::certify(text, &patch, &key, certificate::Change::Take, &owned)?;
    Ok(patch)
}

/// The first mistake of syntax: its line (from 1) and what the parser says.
pub(crate) fn syntax(text: &str) -> Option<(usize, String)> {
    match outline::Outline::read(text) {
        Err(EditError::Syntax { line, reason }) => Some((line, reason)),
        _ => None,
    }
}

/// `value` as a TOML literal.
pub(crate) fn literal(value: &str) -> Result<String, EditError> {
    let trimmed = value.trim();
    let error = match toml::de::DeValue::parse(trimmed) {
        Ok(_) => return Ok(trimmed.to_owned()),
        Err(error) => error,
    };
    // What begins like a list, a table or a quoted string was meant as one.
    if trimmed.starts_with(['[', '{', '"', '\'']) {
        return Err(EditError::Value { value: value.to_owned(), reason: error.message().trim().to_owned() });
    }
    if value.contains('\0') {
        return Err(EditError::Value { value: value.to_owned(), reason: "it has a NUL character".to_owned() });
    }
    Ok(crate::keypath::quote_string(value))
}

#[cfg(test)]
mod tests;
