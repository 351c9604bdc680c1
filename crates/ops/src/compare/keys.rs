//! The layer of keys: which keys of the TOML files differ, with their values as written.

use regrow_config::edit::{KeyChange, key_changes};
use regrow_history::PathChange;
use serde::Serialize;

use super::side::Text;
use crate::error::Result;

/// The keys of one file that differ.
#[derive(Debug, Clone, Serialize)]
pub struct FileKeys {
    /// The file, relative to the fleet.
    pub path: String,
    /// Its keys; none if only comments or the layout differ.
    pub keys: Vec<KeyChange>,
}

/// Of all TOML files among `paths` but locks.
pub(super) fn of_files(old: &Text, new: &Text, paths: &[PathChange]) -> Result<Vec<FileKeys>> {
    let mut found = Vec::new();
    for change in paths {
        if !change.path.ends_with(".toml") || change.path.ends_with("/lock.toml") {
            continue;
        }
        let text = |side: &Text| -> Result<String> {
            let bytes = side.files().read(&change.path)?.unwrap_or_default();
            Ok(String::from_utf8(bytes).unwrap_or_default())
        };
        found.push(FileKeys { path: change.path.clone(), keys: key_changes(&text(old)?, &text(new)?) });
    }
    Ok(found)
}
