//! Tests of merges.

use super::*;

#[test]
fn adjacent_keys_merge_and_the_same_key_asks() {
    let base = "[packages]\na = \"*\"\nb = \"*\"\n";
    let merged = merge(base, "[packages]\na = \"1\"\nb = \"*\"\n", "[packages]\na = \"*\"\nb = \"2\"\n").unwrap();
    assert_eq!(merged.text, "[packages]\na = \"1\"\nb = \"2\"\n");
    assert!(merged.conflicts.is_empty());
    let merged = merge(base, "[packages]\na = \"1\"\nb = \"*\"\n", "[packages]\na = \"3\"\nb = \"2\"\n").unwrap();
    assert_eq!(merged.text, "[packages]\na = \"1\"\nb = \"2\"\n");
    assert_eq!(merged.conflicts[0].theirs.as_deref(), Some("\"3\""));
}
