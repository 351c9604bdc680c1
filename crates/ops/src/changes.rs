//! `log`, `show`, `diff`: changesets as they are in git. In keys and effects they come with the page of changesets.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::Answer;
use crate::compare::{self, Comparison, Side};
use crate::context::Context;
use crate::error::Result;
use crate::evidence;
use crate::remember;
use crate::wanted::concerning;

pub use regrow_history::Changeset;

/// The names of the servers in the work tree, without reading them.
pub fn server_names(ctx: &Context) -> Result<Vec<String>> {
    Ok(regrow_config::load_server_names(&regrow_config::DiskFiles::new(ctx.fleet()?)?)?)
}

/// Changesets, newest first.
#[derive(Debug, Default, Serialize)]
pub struct LogReport {
    /// The changesets.
    pub changes: Vec<Changeset>,
    /// Whether there are older ones.
    pub more: bool,
    /// What git's notes say was proven, by revision: see [`evidence::travel`].
    pub proofs: BTreeMap<String, Vec<evidence::Brief>>,
    /// Revisions whose images differ from place to place.
    pub differing: Vec<evidence::Differing>,
}

impl Answer for LogReport {}

/// One changeset.
#[derive(Debug, Serialize)]
pub struct ShowReport {
    /// The one changeset.
    pub changes: Vec<Changeset>,
    /// What git's notes say was proven.
    pub proofs: Vec<evidence::Brief>,
    /// Servers whose images differ from place to place.
    pub differing: Vec<evidence::Differing>,
    /// What it did; its `text` is the unified diff.
    #[serde(flatten)]
    pub found: Comparison,
}

impl Answer for ShowReport {}

/// Changesets in words, with what was proven about them.
#[derive(Debug, Serialize)]
pub struct TimelineReport {
    /// The changesets, newest first.
    pub changes: Vec<Told>,
    /// The one after them, if there are older ones.
    pub next: Option<String>,
}

impl Answer for TimelineReport {}

/// A changeset in words.
#[derive(Debug, Serialize)]
pub struct Told {
    /// The changeset.
    #[serde(flatten)]
    pub change: Changeset,
    /// What it did, in one line.
    pub summary: Arc<str>,
    /// The newest result of each kind for each server.
    pub proofs: Vec<evidence::Brief>,
}

/// [`log`] in words, with what was proven.
pub fn timeline(ctx: &Context, server: Option<&str>, from: Option<&str>, limit: usize) -> Result<TimelineReport> {
    let below = server.map(concerning).unwrap_or_default();
    let below: Vec<&str> = below.iter().map(String::as_str).collect();
    let mut changes = remember::log(ctx, &ctx.repo()?, from, &below, limit.saturating_add(1))?;
    let next = if changes.len() > limit { changes.pop().map(|c| c.revision) } else { None };
    let summaries = compare::summaries(ctx, &changes, below.is_empty())?;
    let revisions: Vec<&str> = changes.iter().map(|c| &*c.revision).collect();
    let mut proofs = evidence::of_revisions(ctx, &revisions)?;
    let told = changes.into_iter().zip(summaries).map(|(change, summary)| {
        let proofs = proofs.remove(&change.revision).unwrap_or_default();
        Told { change, summary, proofs }
    });
    Ok(TimelineReport { changes: told.collect(), next })
}

/// The newest `limit` changesets, or only those that can influence `server`.
pub fn log(ctx: &Context, server: Option<&str>, from: Option<&str>, limit: usize) -> Result<LogReport> {
    let repo = ctx.repo()?;
    let below = server.map(concerning).unwrap_or_default();
    let below: Vec<&str> = below.iter().map(String::as_str).collect();
    // One more than asked for tells whether there are older ones.
    let mut changes = remember::log(ctx, &repo, from, &below, limit.saturating_add(1))?;
    let more = changes.len() > limit;
    changes.truncate(limit);
    let revisions: Vec<&str> = changes.iter().map(|c| &*c.revision).collect();
    let (proofs, differing) = (evidence::noted(ctx, &revisions), evidence::differing(ctx, &revisions));
    Ok(LogReport { changes, more, proofs, differing })
}

/// The first line of a changeset's message, by its full commit id.
pub fn subject(ctx: &Context, commit: &str) -> Result<String> {
    let told = &ctx.caches().told;
    if let Some(known) = told.get(commit) {
        return Ok(known.to_string());
    }
    let subject = remember::show(ctx, &ctx.repo()?, commit)?.subject;
    told.put(commit, subject.as_str().into());
    Ok(subject)
}

/// One changeset with what it did.
pub fn show(ctx: &Context, revision: &str) -> Result<ShowReport> {
    let (change, found) = compare::of_changeset(ctx, revision)?;
    let proofs = evidence::noted(ctx, &[&change.revision]).remove(&change.revision).unwrap_or_default();
    let differing = evidence::differing(ctx, &[&change.revision]);
    Ok(ShowReport { changes: vec![change], proofs, differing, found })
}

/// What differs between two texts, or between a text and the files on disk. A text is a revision, `draft:ID` or `disk`.
pub fn diff(ctx: &Context, from: &str, to: Option<&str>) -> Result<Comparison> {
    compare::compare(ctx, &Side::parse(from), &to.map_or(Side::Disk, Side::parse))
}
