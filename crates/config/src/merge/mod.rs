//! Three texts merged by key. The merged text is ours with what only theirs changed; a key that both changed
//! differently is a conflict: data for a person, never marks in a text.
//!
//! ```text
//! values:  base, ours, theirs ──► wanted value + conflicts           (`value`: knows nothing of text)
//! text:    ours + theirs' lines that ours left alone (`lines`)
//!            └─► key by key up to the wanted value, with comments (`weave`)
//!                  └─► certificate: the value of the text is the wanted value
//! ```
//!
//! Tables merge key by key; arrays that the schema calls sets merge as sets; any other value is one piece. A table
//! below the first level (an object such as `[checks.front]`) that one side removed and the other changed is a conflict.

pub(crate) mod lines;
mod value;
mod weave;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::KeyPath;
use crate::edit::plain::{self, Plain};
use crate::edit::{EditError, key_changes};

/// A key that both sides changed, and not to the same. Values are TOML literals, `None`: the key is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The key; of a table, if one side removed it.
    pub key: KeyPath,
    /// Its value before both changes.
    pub base: Option<String>,
    /// Our value.
    pub ours: Option<String>,
    /// Their value.
    pub theirs: Option<String>,
}

/// The outcome of a merge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// Ours with all that only theirs changed; keys in conflict are as in ours.
    pub text: String,
    /// What a person must decide, in the order of the keys.
    pub conflicts: Vec<Conflict>,
    /// Keys that differ from ours now.
    pub taken: Vec<KeyPath>,
}

/// What a person decided for a key in conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// As it was before both.
    Base,
    /// Ours.
    Ours,
    /// Theirs.
    Theirs,
    /// Another value: a TOML literal or a plain word.
    Value(String),
}

/// One of the three texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The common ancestor.
    Base,
    /// The text that is changed.
    Ours,
    /// The text whose changes are taken.
    Theirs,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Side::Base => "the common base",
            Side::Ours => "our side",
            Side::Theirs => "their side",
        })
    }
}

/// Why texts cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// One of them is not TOML.
    #[error("{side} is not TOML at line {line}: {reason}; mend it in an editor, then merge again")]
    Syntax {
        /// Which.
        side: Side,
        /// Line from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// A chosen value is no value.
    #[error("the value chosen for `{key}` cannot be taken")]
    Choice {
        /// The key in conflict.
        key: KeyPath,
        /// What is wrong with the value.
        source: EditError,
    },
}

/// Merges what `theirs` changed since `base` into `ours`.
pub fn merge(base: &str, ours: &str, theirs: &str) -> Result<Merged, MergeError> {
    merge_with(base, ours, theirs, &BTreeMap::new())
}

/// [`merge`], with conflicts decided by `choices`; those without a choice remain conflicts. A choice for a key that is
/// not in conflict is ignored.
pub fn merge_with(
    base: &str,
    ours: &str,
    theirs: &str,
    choices: &BTreeMap<KeyPath, Choice>,
) -> Result<Merged, MergeError> {
    let sides = Sides { base, ours, theirs };
    let values = value::Three {
        base: parse(base, Side::Base)?,
        ours: parse(ours, Side::Ours)?,
        theirs: parse(theirs, Side::Theirs)?,
    };
    let chosen =
        choices.iter().map(|(key, choice)| Ok((key.clone(), choose(key, choice)?))).collect::<Result<_, _>>()?;
    let mut wanted = value::merge(&values, &chosen);
    let text = match () {
        // Texts that are equal have no conflicts, so nothing was chosen either.
        () if ours == theirs || theirs == base => ours.to_owned(),
        () if ours == base => theirs.to_owned(),
        () => weave::weave(&sides, &values, &mut wanted),
    };
    let taken = key_changes(ours, &text).into_iter().map(|change| change.key).collect();
    let conflicts = wanted.conflicts.iter().map(|key| sides.conflict(key, &values)).collect();
    Ok(Merged { text, conflicts, taken })
}

/// A choice with its value read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Chosen {
    Side(Side),
    Value(Plain),
}

fn choose(key: &KeyPath, choice: &Choice) -> Result<Chosen, MergeError> {
    Ok(match choice {
        Choice::Base => Chosen::Side(Side::Base),
        Choice::Ours => Chosen::Side(Side::Ours),
        Choice::Theirs => Chosen::Side(Side::Theirs),
        Choice::Value(text) => {
            let bad = |source| MergeError::Choice { key: key.clone(), source };
            let literal = crate::edit::literal(text).map_err(bad)?;
            Chosen::Value(
                plain::parse_value(&literal).ok_or_else(|| bad(EditError::NotCertified { key: key.clone() }))?,
            )
        }
    })
}

fn parse(text: &str, side: Side) -> Result<BTreeMap<String, Plain>, MergeError> {
    match crate::edit::syntax(text) {
        Some((line, reason)) => Err(MergeError::Syntax { side, line, reason }),
        None => Ok(plain::parse(text).unwrap_or_default()),
    }
}

/// The three texts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides<'t> {
    pub(crate) base: &'t str,
    pub(crate) ours: &'t str,
    pub(crate) theirs: &'t str,
}

impl Sides<'_> {
    fn conflict(&self, key: &KeyPath, values: &value::Three) -> Conflict {
        Conflict {
            key: key.clone(),
            base: weave::literal(self.base, &values.base, key),
            ours: weave::literal(self.ours, &values.ours, key),
            theirs: weave::literal(self.theirs, &values.theirs, key),
        }
    }
}

#[cfg(test)]
mod tests;
