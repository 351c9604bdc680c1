//! Every kind of change as a value, so that it can travel (in a form, in a draft) and be made as one of many.

use serde::{Deserialize, Serialize};

use super::{Comments, EditError, Patch, array, note, rename, reorder};

/// One change of one text. Keys are written as in [`crate::KeyPath`].
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Edit {
    /// Gives a key a value; makes the key, and the tables on its way, if they are not there.
    Set {
        /// The key.
        key: String,
        /// A TOML value, or a plain word, which is taken as a string.
        value: String,
    },
    /// Removes a key, or a table with all that is in it.
    Unset {
        /// The key.
        key: String,
        /// What happens to the comments above it.
        #[serde(default)]
        comments: Comments,
    },
    /// Gives a key or a table another name in the same table; its value, place and comments stay.
    Rename {
        /// The key.
        key: String,
        /// The new last part, plain (not quoted).
        to: String,
    },
    /// Adds an element at the end of an array, unless it is in it. If the key is not there: an array with this one
    /// element is made, or, directly in a table whose names are free (such as `packages`), the key with this value.
    Add {
        /// The key of the array.
        key: String,
        /// The element.
        value: String,
    },
    /// Removes an element from an array, wherever and however often it is in it.
    Remove {
        /// The key of the array.
        key: String,
        /// The element.
        value: String,
    },
    /// Moves a key or a table, with its comments, among the keys of its table.
    Move {
        /// The key.
        key: String,
        /// The key (or only its last part) before which it shall stand; `None`: last.
        before: Option<String>,
    },
    /// Writes the comment that belongs to a key (see [`super::note`]).
    Note {
        /// The key.
        key: String,
        /// The comment without `#`, one or more lines; `None` removes it.
        text: Option<String>,
    },
}

impl Edit {
    /// The key that is changed, as written.
    pub fn key(&self) -> &str {
        match self {
            Edit::Set { key, .. }
            | Edit::Unset { key, .. }
            | Edit::Rename { key, .. }
            | Edit::Add { key, .. }
            | Edit::Remove { key, .. }
            | Edit::Move { key, .. }
            | Edit::Note { key, .. } => key,
        }
    }
}

/// The patch that makes one change, proven to make nothing else (see the module); a refusal has changed nothing.
///
/// Making the same change again changes nothing more: it gives an empty patch or, for what is then no longer there
/// (`Unset`, `Rename`, `Remove`), a refusal.
pub fn apply(text: &str, edit: &Edit) -> Result<Patch, EditError> {
    match edit {
        Edit::Set { key, value } => super::set(text, key, value),
        Edit::Unset { key, comments } => super::unset_with(text, key, *comments),
        Edit::Rename { key, to } => rename::rename(text, key, to),
        Edit::Add { key, value } => array::add(text, key, value),
        Edit::Remove { key, value } => array::remove(text, key, value),
        Edit::Move { key, before } => reorder::reorder(text, key, before.as_deref()),
        Edit::Note { key, text: words } => note::write(text, key, words.as_deref()),
    }
}

/// Makes all changes, one after the other, or none: the new text, and one patch from the old text to it.
pub fn apply_all(text: &str, edits: &[Edit]) -> Result<(String, Patch), EditError> {
    let mut now = text.to_owned();
    let mut all = Patch::default();
    for edit in edits {
        let patch = apply(&now, edit)?;
        if patch.edits.is_empty() {
            continue;
        }
        now = patch.apply(&now);
        all = all.then(text, &patch);
    }
    Ok((now, all))
}
