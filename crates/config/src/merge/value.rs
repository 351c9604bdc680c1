//! The three-way merge of values. It knows nothing of text; the text must come to the same value by its own way.

use std::collections::{BTreeMap, BTreeSet};

use super::{Chosen, Side};
use crate::edit::plain::Plain;
use crate::{KeyPath, schema};

type Table = BTreeMap<String, Plain>;

/// The values of the three texts.
#[derive(Debug, Clone, Default)]
pub(super) struct Three {
    pub(super) base: Table,
    pub(super) ours: Table,
    pub(super) theirs: Table,
}

/// What the merged text shall be.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Wanted {
    pub(super) value: Table,
    pub(super) conflicts: Vec<KeyPath>,
    /// Keys in conflict that were decided, and how.
    pub(super) decided: BTreeMap<KeyPath, Chosen>,
}

/// Merges; what is in conflict and not chosen is as in ours.
pub(super) fn merge(three: &Three, choices: &BTreeMap<KeyPath, Chosen>) -> Wanted {
    let mut merge = Merge { choices, out: Wanted::default() };
    merge.out.value = merge.tables(&KeyPath::default(), Some(&three.base), &three.ours, &three.theirs);
    merge.out
}

struct Merge<'c> {
    choices: &'c BTreeMap<KeyPath, Chosen>,
    out: Wanted,
}

impl Merge<'_> {
    fn tables(&mut self, path: &KeyPath, base: Option<&Table>, ours: &Table, theirs: &Table) -> Table {
        let none = Table::new();
        let base = base.unwrap_or(&none);
        let keys: BTreeSet<&String> = base.keys().chain(ours.keys()).chain(theirs.keys()).collect();
        let mut out = Table::new();
        for key in keys {
            let merged = self.one(&path.child(key), base.get(key), ours.get(key), theirs.get(key));
            out.extend(merged.map(|value| (key.clone(), value)));
        }
        out
    }

    fn one(
        &mut self,
        path: &KeyPath,
        base: Option<&Plain>,
        ours: Option<&Plain>,
        theirs: Option<&Plain>,
    ) -> Option<Plain> {
        if ours == theirs || base == theirs {
            return ours.cloned();
        }
        if base == ours {
            return theirs.cloned();
        }
        let is_table = |value: Option<&Plain>| matches!(value, Some(Plain::Table(_)));
        // A table of the first level that is not there is an empty one: `[packages]` is no object.
        let like_table = |value: Option<&Plain>| is_table(value) || value.is_none();
        let top = path.0.len() == 1 && [base, ours, theirs].into_iter().all(like_table);
        let table = |value: Option<&Plain>| match value {
            Some(Plain::Table(table)) => table.clone(),
            _ => Table::new(),
        };
        if top || (is_table(ours) && is_table(theirs)) {
            let merged = self.tables(path, Some(&table(base)), &table(ours), &table(theirs));
            let there = if ours.is_some() == theirs.is_some() || base.is_some() == theirs.is_some() {
                ours.is_some()
            } else {
                theirs.is_some()
            };
            return (there || !merged.is_empty()).then_some(Plain::Table(merged));
        }
        if let (Some(Plain::Array(ours)), Some(Plain::Array(theirs))) = (ours, theirs)
            && schema::is_set(path)
        {
            let base: &[Plain] = if let Some(Plain::Array(base)) = base { base } else { &[] };
            return Some(Plain::Array(set(base, ours, theirs)));
        }
        let Some(choice) = self.choices.get(path) else {
            self.out.conflicts.push(path.clone());
            return ours.cloned();
        };
        self.out.decided.insert(path.clone(), choice.clone());
        match choice {
            Chosen::Side(Side::Base) => base.cloned(),
            Chosen::Side(Side::Ours) => ours.cloned(),
            Chosen::Side(Side::Theirs) => theirs.cloned(),
            Chosen::Value(value) => Some(value.clone()),
        }
    }
}

/// Ours without what theirs removed, then what theirs added.
fn set(base: &[Plain], ours: &[Plain], theirs: &[Plain]) -> Vec<Plain> {
    let kept = ours.iter().filter(|e| theirs.contains(e) || !base.contains(e));
    let mut out: Vec<Plain> = kept.cloned().collect();
    for element in theirs {
        if !base.contains(element) && !out.contains(element) {
            out.push(element.clone());
        }
    }
    out
}
