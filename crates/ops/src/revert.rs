//! `revert`: takes one changeset back, as a draft that is looked at before it lands.
//!
//! The draft is based on the changeset itself and has the files of its parent. Merging it with what is wanted now, as
//! every draft is, takes back by key exactly what the changeset did and keeps what came after. Keys that were changed
//! again since are conflicts, shown as those of any draft.

use std::collections::BTreeMap;

use regrow_config::Files;
use serde::Serialize;

use crate::Answer;
use crate::context::Context;
use crate::drafts::{self, Conflict, Draft};
use crate::error::{Error, Result};
use crate::wanted::short;

/// A changeset taken back in a draft.
#[derive(Debug, Serialize)]
pub struct RevertReport {
    /// The changeset.
    pub reverts: String,
    /// The draft that takes it back; land it to make it so.
    pub draft: Draft,
    /// What was changed again since, and must be decided first.
    pub conflicts: Vec<Conflict>,
}

impl Answer for RevertReport {
    fn is_yes(&self) -> bool {
        self.conflicts.is_empty()
    }
}

/// Makes a draft called `Revert "…"` that takes a changeset back.
///
/// # Errors
/// If there is no such changeset, or it is the first one.
pub fn revert(ctx: &Context, revision: &str) -> Result<RevertReport> {
    let repo = ctx.repo()?;
    let change = repo.show(revision)?;
    let Some(parent) = change.parents.first() else {
        return Err(Error::mistake_with(
            format!("{} is the first changeset: there is nothing before it to go back to", short(&change.revision)),
            "remove what you do not want in a draft or an editor",
        ));
    };
    let before = repo.at(parent);
    let mut files = BTreeMap::new();
    for path in &change.paths {
        files.insert(path.path.clone(), before.read(&path.path)?);
    }
    if files.is_empty() {
        return Err(Error::mistake(format!("{} changed no file of the fleet", short(&change.revision))));
    }
    let title = format!("Revert \"{}\"", change.subject);
    let draft = drafts::create_from(ctx, &repo, &change.revision, &files, Some(&title), ctx.actor())?;
    let conflicts = drafts::conflicts(ctx, &draft.id)?;
    Ok(RevertReport { reverts: change.revision, draft, conflicts })
}
