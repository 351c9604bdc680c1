//! Who wrote the two values of a conflict, and why: the changesets that they come from.

use jiff::Timestamp;
use regrow_history::{DraftRef, Repo, Version};
use serde::Serialize;

use super::Data;
use super::merge::{Conflict, With};
use crate::context::Context;
use crate::error::Result;
use crate::moves::Step;
use crate::objects;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Who {
    /// The changeset, its full id; `None` for what has not landed.
    pub revision: Option<String>,
    /// Who wrote it; empty if nobody knows (edits on disk).
    pub author: String,
    /// Why: the first line of the message, or what the draft is called.
    pub subject: String,
    /// When.
    pub at: Option<Timestamp>,
}

/// How many changesets of a file are looked through.
const MOST_VERSIONS: usize = 200;

/// Fills in who of a draft's conflicts. `head` is the changeset that it is merged with.
pub(super) fn fill(ctx: &Context, repo: &Repo, draft: &DraftRef, head: &str, conflicts: &mut [Conflict]) -> Result<()> {
    let data = Data::of(draft);
    fill_steps(ctx, repo, head, &data.steps, conflicts)?;
    for c in conflicts.iter_mut().filter(|c| !matches!(c.with, With::Step(_))) {
        c.theirs_by = match c.with {
            With::Disk => {
                Some(Who { revision: None, author: String::new(), subject: "an edit on disk".into(), at: None })
            }
            _ => last(ctx, head, c)?,
        };
        let (author, subject) = (draft.owner.clone(), draft.title.clone());
        c.yours_by = Some(Who { revision: None, author, subject, at: Some(draft.changed) });
    }
    Ok(())
}

/// Fills in who of the conflicts of steps.
pub(crate) fn fill_steps(
    ctx: &Context,
    repo: &Repo,
    head: &str,
    steps: &[Step],
    conflicts: &mut [Conflict],
) -> Result<()> {
    for c in conflicts {
        let With::Step(id) = c.with else { continue };
        c.theirs_by = last(ctx, head, c)?;
        let Some(step) = steps.iter().find(|s| s.id == id) else { continue };
        let commit = repo.commit(&step.of)?;
        c.yours_by = Some(Who {
            revision: Some(commit.id),
            author: commit.author,
            subject: commit.subject,
            at: Some(commit.at),
        });
    }
    Ok(())
}

/// The last changeset that wrote what stands there now.
fn last(ctx: &Context, head: &str, c: &Conflict) -> Result<Option<Who>> {
    let at = ctx.repo()?.at(head);
    let wrote = |version: &Version| {
        let Some(key) = &c.key else { return true };
        objects::touched(&at, version).iter().any(|k| k.0.starts_with(&key.0) || key.0.starts_with(&k.0))
    };
    let version = objects::versions_of(ctx, head, &c.path)?.into_iter().take(MOST_VERSIONS).find(wrote);
    Ok(version.map(|v| Who { revision: Some(v.revision), author: v.author, subject: v.subject, at: Some(v.at) }))
}
