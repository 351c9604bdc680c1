//! Drafts: changes collected by clicking, looked at, built and tried before they become history.
//!
//! ```text
//! create ──► edit / write_file (as often as wanted) ──► prepare (merge, lock) ──► build, trial at its tip ──► land
//!                └─ moved meanwhile? merged by key; only the same key asks                  └─ hand edits are kept
//! ```
//!
//! A draft is a commit beside the branch ([`regrow_history::drafts`]): its [`Draft::tip`] is a revision as any other.
//! What can be changed by two at once is merged by key; what cannot is a [`Conflict`]: data that is worked out from the
//! texts each time and never stands in a file. Only the decisions about conflicts are kept, with the draft.
//!
//! The edits that somebody makes on disk are a draft too, with the id [`DISK`]: see [`disk`].
//!
//! * [`edit`]: changes by key and of whole files. * [`merge`]: three texts of one file. * [`land`]: from draft to
//!   changeset, and conflicts. * [`relock`]: locks that a draft makes stale. * [`suggest`]: a message in words.
//! * [`who`]: who wrote what is in conflict. Changesets taken back or carried over in a draft are its steps:
//!   [`crate::moves`].

pub mod disk;
pub mod edit;
pub mod land;
pub mod merge;
pub mod relock;
pub mod suggest;
pub mod who;

use jiff::Timestamp;
use regrow_config::{Diagnostic, DiskFiles, Files};
use regrow_history::{DraftChange, DraftRef, Repo, Revision};
use serde::{Deserialize, Serialize};

use crate::Answer;
use crate::acts::{self, Act};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::moves::{Step, compose};
use crate::undo::Way;

pub use disk::{OnDisk, land_disk, on_disk};
pub use edit::{
    Edited, Into, Refusal, Saved, SavedFile, Seen, Target, Wish, edit, edit_seen, write_file, write_file_seen,
};
pub use land::{Decision, Landed, Outcome, choose, conflicts, decide, land};
pub use merge::{Conflict, With};
pub use regrow_config::edit::{Comments, Edit};
pub use regrow_config::merge::Choice;
pub use relock::{Prepared, prepare};
pub use suggest::suggested_message;
pub use who::Who;

pub(crate) use edit::saved_file;
pub(crate) use land::check_decided;

/// The id of the edits on disk.
pub const DISK: &str = "disk";

/// A draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Draft {
    /// Its id: `d1`.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// Who made it.
    pub owner: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
    /// The changeset it is based on.
    pub base: String,
    /// Its commit: a revision to build, try and compare.
    pub tip: String,
    /// The fleet's files that it changes, sorted.
    pub files: Vec<String>,
    /// Whether changesets landed since it was made: it is merged with them before it is built or landed.
    pub outdated: bool,
}

/// All drafts.
#[derive(Debug, Serialize)]
pub struct DraftsReport {
    /// The edits on disk, if there are any.
    pub disk: Option<OnDisk>,
    /// The drafts, the one changed last first.
    pub drafts: Vec<Draft>,
    /// Discarded ones that can be taken back.
    pub discarded: Vec<Draft>,
}

impl Answer for DraftsReport {}
impl Answer for Draft {}

/// What is kept with a draft beside its text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Data {
    /// Decisions about conflicts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) decisions: Vec<Decision>,
    /// Changesets that are taken back or carried over, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) steps: Vec<Step>,
    /// The commit of another clone that this merges: it becomes the second parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) merges: Option<String>,
}

impl Data {
    pub(crate) fn of(draft: &DraftRef) -> Data {
        serde_json::from_value(draft.data.clone()).unwrap_or_default()
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Draft {
    fn new(draft: DraftRef, head: Option<&str>) -> Draft {
        Draft {
            outdated: head != Some(&*draft.base),
            id: draft.id,
            title: draft.title,
            owner: draft.owner,
            created: draft.created,
            changed: draft.changed,
            base: draft.base,
            tip: draft.tip,
            files: draft.paths.into_iter().map(|p| p.path).collect(),
        }
    }
}

pub(crate) fn open(ctx: &Context) -> Result<Repo> {
    ctx.repo()
}

/// All drafts, the one changed last first. None where there is no repository.
pub fn list(ctx: &Context) -> Result<Vec<Draft>> {
    let repo = match ctx.repo() {
        Err(Error::History(regrow_history::Error::NoRepository(_))) => return Ok(Vec::new()),
        repo => repo?,
    };
    let refs = repo.drafts()?;
    if refs.is_empty() {
        return Ok(Vec::new());
    }
    let head = repo.head()?.commit;
    Ok(refs.into_iter().map(|d| Draft::new(d, head.as_deref())).collect())
}

/// The edits on disk, all drafts, and those that can be taken back.
pub fn report(ctx: &Context) -> Result<DraftsReport> {
    let drafts = list(ctx)?;
    let discarded = match ctx.repo() {
        Err(Error::History(regrow_history::Error::NoRepository(_))) => Vec::new(),
        repo => repo?.discarded_drafts()?.into_iter().map(|d| Draft::new(d, None)).collect(),
    };
    Ok(DraftsReport { disk: on_disk(ctx)?, drafts, discarded })
}

/// One draft.
///
/// # Errors
/// [`regrow_history::Error::NoDraft`].
pub fn get(ctx: &Context, id: &str) -> Result<Draft> {
    let repo = open(ctx)?;
    let draft = repo.draft(id)?;
    let head = repo.head()?.commit;
    Ok(Draft::new(draft, head.as_deref()))
}

/// Makes an empty draft on the last changeset. Without a title it is called after its owner.
pub fn create(ctx: &Context, title: Option<&str>, owner: &str) -> Result<Draft> {
    let repo = open(ctx)?;
    let Some(head) = repo.head()?.commit else { return Err(regrow_history::Error::Unborn.into()) };
    create_on(ctx, &repo, &head, title, owner)
}

/// How often it is tried again when somebody else was quicker.
pub(crate) const TRIES: usize = 8;

pub(crate) fn create_on(ctx: &Context, repo: &Repo, head: &str, title: Option<&str>, owner: &str) -> Result<Draft> {
    create_from(ctx, repo, head, &Default::default(), &Data::default(), title, owner)
}

/// Makes a draft on any changeset, with these files different.
pub(crate) fn create_from(
    ctx: &Context,
    repo: &Repo,
    base: &str,
    files: &compose::NewFiles,
    data: &Data,
    title: Option<&str>,
    owner: &str,
) -> Result<Draft> {
    let (title, owner) = named(title, owner);
    let mut last = None;
    for _ in 0..TRIES {
        let id = repo.free_draft_id()?;
        let like = data.steps.iter().flat_map(|s| [Some(&*s.of), s.parent.as_deref()]).flatten().collect::<Vec<_>>();
        let change = DraftChange {
            id: &id,
            expected: None,
            base,
            files_of: base,
            title: &title,
            owner: &owner,
            created: ctx.now(),
            at: ctx.now(),
            data: &data.to_json(),
            files,
        };
        match repo.write_draft_like(&change, &like) {
            Ok(_) => {
                let made = repo.draft(&id)?;
                record(ctx, "draft", &format!("began the draft {id}: {title}"), None, &made);
                return Ok(Draft::new(made, repo.head()?.commit.as_deref()));
            }
            Err(e @ regrow_history::Error::DraftMoved(_)) => last = Some(e),
            Err(e) => return Err(e.into()),
        }
    }
    Err(last.unwrap_or(regrow_history::Error::Nothing).into())
}

/// Does something to a draft as it is, again if somebody else was quicker.
///
/// # Errors
/// [`regrow_history::Error::DraftMoved`] if others were quicker all the time.
pub(crate) fn retried<T>(id: &str, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..TRIES {
        match attempt() {
            Err(Error::History(regrow_history::Error::DraftMoved(_))) => {}
            other => return other,
        }
    }
    Err(regrow_history::Error::DraftMoved(id.to_owned()).into())
}

/// Records what was done to a draft, with the way back to what it was.
pub(crate) fn record(ctx: &Context, kind: &str, words: &str, before: Option<&str>, after: &DraftRef) {
    let way = Way::Draft {
        draft: after.id.clone(),
        created: after.created,
        before: before.map(str::to_owned),
        after: after.tip.clone(),
    };
    acts::record(ctx, &Act::new(kind, words).undone_by(way));
}

/// Title and owner, as they are kept.
fn named(title: Option<&str>, owner: &str) -> (String, String) {
    let owner = if owner.trim().is_empty() { "somebody" } else { owner.trim() };
    let title = match title.map(str::trim) {
        Some(title) if !title.is_empty() => title.to_owned(),
        _ => format!("{owner}\u{2019}s draft"),
    };
    (title, owner.to_owned())
}

/// Whether an error says that there is no such draft (any more).
pub fn is_gone(error: &Error) -> bool {
    matches!(error, Error::History(regrow_history::Error::NoDraft(_)))
}

/// Gives a draft another title.
pub fn rename(ctx: &Context, id: &str, title: &str) -> Result<Draft> {
    if title.trim().is_empty() {
        return Err(Error::mistake_with("the title is empty", "say in a few words what the draft is for"));
    }
    let repo = open(ctx)?;
    retried(id, || {
        let draft = repo.draft(id)?;
        let tip = compose::rewrite(ctx, &repo, &draft, Some(title), &Data::of(&draft))?;
        let words = format!("renamed the draft {id}: {}", title.trim());
        record(ctx, "draft", &words, Some(&draft.tip), &DraftRef { tip, ..draft.clone() });
        get(ctx, id)
    })
}

/// Sets a draft aside; [`restore`] takes it back, for 30 days.
pub fn discard(ctx: &Context, id: &str) -> Result<Draft> {
    if id == DISK {
        return Err(Error::mistake_with(
            "edits on disk are not discarded from here: they are somebody\u{2019}s work that is nowhere else",
            "undo them in the editor, or with: git restore -- FILE",
        ));
    }
    let draft = open(ctx)?.discard_draft(id, ctx.now())?;
    let way = Way::Discarded { draft: draft.id.clone(), created: draft.created };
    acts::record(ctx, &Act::new("discard", format!("discarded the draft {id}: {}", draft.title)).undone_by(way));
    Ok(Draft::new(draft, None))
}

/// Takes a discarded draft back.
pub fn restore(ctx: &Context, id: &str) -> Result<Draft> {
    let repo = open(ctx)?;
    repo.restore_draft(id, ctx.now())?;
    record(ctx, "draft", &format!("took the draft {id} back"), None, &repo.draft(id)?);
    get(ctx, id)
}

/// A draft's text; with [`DISK`], what is on disk.
pub fn files_of(ctx: &Context, id: &str) -> Result<Box<dyn Files>> {
    if id == DISK {
        return Ok(Box::new(DiskFiles::new(ctx.fleet()?)?));
    }
    let repo = open(ctx)?;
    let tip = repo.draft(id)?.tip;
    Ok(Box::new(repo.at(&tip)))
}

/// What is wrong or doubtful in a draft's text. It never keeps a draft from being saved.
pub fn diagnostics(ctx: &Context, id: &str) -> Result<Vec<Diagnostic>> {
    Ok(regrow_config::load_fleet(&*files_of(ctx, id)?).1)
}

/// Diagnostics with the text that they point into.
pub fn with_text(files: &dyn Files, diagnostics: Vec<Diagnostic>) -> crate::Diagnosed {
    crate::wanted::diagnosed(files, diagnostics)
}

/// The bytes of a file; a link or a directory in the way counts as a mistake.
pub(crate) fn bytes_at(revision: &Revision, path: &str) -> Result<Option<Vec<u8>>> {
    Ok(revision.read(path)?)
}

#[cfg(test)]
mod tests;
