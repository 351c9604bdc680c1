//! `log`, `show`, `diff`: changesets as they are in git. In keys and effects they come with the page of changesets.

use regrow_history::{Changeset, Repo};
use serde::Serialize;

use crate::Answer;
use crate::context::Context;
use crate::error::Result;
use crate::wanted::concerning;

/// Changesets, newest first.
#[derive(Debug, Serialize)]
pub struct LogReport {
    /// The changesets.
    pub changes: Vec<Changeset>,
    /// Whether there are older ones.
    pub more: bool,
}

impl Answer for LogReport {}

/// One changeset.
#[derive(Debug, Serialize)]
pub struct ShowReport {
    /// The one changeset.
    pub changes: Vec<Changeset>,
    /// What it did to the text, as a unified diff.
    pub text: String,
}

impl Answer for ShowReport {}

/// What differs between two texts.
#[derive(Debug, Serialize)]
pub struct DiffReport {
    /// The older revision.
    pub from: String,
    /// The newer one; `None` is the work tree.
    pub to: Option<String>,
    /// What differs, as a unified diff; empty if nothing does.
    pub text: String,
}

impl Answer for DiffReport {}

/// The newest `limit` changesets, or only those that can influence `server`.
pub fn log(ctx: &Context, server: Option<&str>, from: Option<&str>, limit: usize) -> Result<LogReport> {
    let repo = Repo::open(ctx.fleet()?)?;
    let below = server.map(concerning).unwrap_or_default();
    let below: Vec<&str> = below.iter().map(String::as_str).collect();
    // One more than asked for tells whether there are older ones.
    let mut changes = repo.log(from.unwrap_or("HEAD"), &below, limit.saturating_add(1))?;
    let more = changes.len() > limit;
    changes.truncate(limit);
    Ok(LogReport { changes, more })
}

/// One changeset with what it did to the text.
pub fn show(ctx: &Context, revision: &str) -> Result<ShowReport> {
    let repo = Repo::open(ctx.fleet()?)?;
    Ok(ShowReport { changes: vec![repo.show(revision)?], text: repo.diff_of(revision)? })
}

/// What differs between two revisions, or between a revision and the work tree.
pub fn diff(ctx: &Context, from: &str, to: Option<&str>) -> Result<DiffReport> {
    let repo = Repo::open(ctx.fleet()?)?;
    let text = repo.diff(from, to)?;
    Ok(DiffReport { from: repo.resolve(from)?, to: to.map(|to| repo.resolve(to)).transpose()?, text })
}
