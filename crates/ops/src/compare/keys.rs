//! The layer of keys: which keys of the TOML files differ, with their values as written.

use regrow_config::KeyPath;
use regrow_history::PathChange;
use serde::Serialize;

use super::side::Text;
use crate::error::Result;

/// The keys of one file that differ.
#[derive(Debug, Clone, Serialize)]
pub struct FileKeys {
    /// The file, relative to the fleet.
    pub path: String,
    /// Its keys; none if only comments or the layout differ, or if a side is not TOML.
    pub keys: Vec<KeyChange>,
}

/// One key that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyChange {
    /// The key.
    pub key: KeyPath,
    /// Its value before, as written; `None` if it was not there.
    pub before: Option<String>,
    /// Its value after.
    pub after: Option<String>,
    /// Its line (from 1) in the older text.
    pub line_before: Option<usize>,
    /// Its line (from 1) in the newer text.
    pub line_after: Option<usize>,
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

fn key_changes(old: &str, new: &str) -> Vec<KeyChange> {
    let read = |text: &str| text.parse::<toml::Table>().map(toml::Value::Table);
    let (Ok(old), Ok(new)) = (read(old), read(new)) else { return Vec::new() };
    let mut changes = Vec::new();
    walk(&KeyPath::default(), Some(&old), Some(&new), &mut changes);
    changes
}

fn walk(at: &KeyPath, old: Option<&toml::Value>, new: Option<&toml::Value>, out: &mut Vec<KeyChange>) {
    if old == new {
        return;
    }
    let table = |value: Option<&toml::Value>| value.and_then(|v| v.as_table().cloned());
    let (old_table, new_table) = (table(old), table(new));
    if (old_table.is_some() || old.is_none()) && (new_table.is_some() || new.is_none()) {
        let (old, new) = (old_table.unwrap_or_default(), new_table.unwrap_or_default());
        for key in new.keys().chain(old.keys().filter(|k| !new.contains_key(*k))) {
            walk(&at.child(key), old.get(key), new.get(key), out);
        }
        return;
    }
    out.push(KeyChange {
        key: at.clone(),
        before: old.map(ToString::to_string),
        after: new.map(ToString::to_string),
        line_before: None,
        line_after: None,
    });
}
