//! Undoing what was done to the text: changesets and drafts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use regrow_history::{DraftChange, DraftRef, Repo, State};

use super::{UndoReport, Way};
use crate::context::Context;
use crate::drafts::{self, Data, Outcome, With, bytes_at, merge};
use crate::error::{Error, Result};
use crate::moves;
use crate::wanted::short;

/// Takes a changeset back by another one. If keys were changed again since, the draft that does it stays, to be decided.
pub(super) fn landed(ctx: &Context, revision: &str, report: &mut UndoReport) -> Result<Option<Way>> {
    let repo = ctx.repo()?;
    if repo.commit(revision).is_err() {
        return Err(Error::mistake_with(
            format!("the changeset {} is not in this fleet", short(revision)),
            "go to the fleet that it was landed in",
        ));
    }
    if !repo.is_in_head(revision)? {
        return Err(Error::mistake(format!(
            "the changeset {} is not part of the branch any more: there is nothing to undo",
            short(revision)
        )));
    }
    let gone = || Error::mistake(format!("what {} did is gone already: nothing would change", short(revision)));
    let reverted = match moves::revert(ctx, &[revision], moves::Options::default()) {
        Err(Error::Unchanged { .. }) => return Err(gone()),
        reverted => reverted?,
    };
    let Some(draft) = reverted.draft.map(|d| d.id) else { return Err(gone()) };
    if !reverted.conflicts.is_empty() {
        report.done = format!("made the draft {draft}: something was changed again since and must be decided first");
        (report.draft, report.conflicts) = (Some(draft), reverted.conflicts);
        return Ok(None);
    }
    match drafts::land(ctx, &draft, None) {
        Ok(Outcome::Landed(landed)) => {
            let subject = landed.message.lines().next().unwrap_or_default();
            report.done = format!("landed {}: {subject}", short(&landed.revision));
            report.revision = Some(landed.revision.clone());
            Ok(Some(Way::Landed { revision: landed.revision }))
        }
        Ok(Outcome::Conflicts { conflicts }) => {
            report.done = format!("made the draft {draft}: edits on disk change the same and must be decided first");
            (report.draft, report.conflicts) = (Some(draft), conflicts);
            Ok(None)
        }
        Err(e) => {
            drafts::discard(ctx, &draft)?;
            Err(match e {
                Error::Unchanged { .. } => gone(),
                e => e,
            })
        }
    }
}

/// The draft that an act was about.
fn find(repo: &Repo, id: &str, created: Timestamp) -> Result<DraftRef> {
    match repo.draft(id) {
        Ok(draft) if draft.created == created => Ok(draft),
        Ok(_) | Err(regrow_history::Error::NoDraft(_)) => Err(Error::mistake_with(
            format!("the draft {id} was landed or discarded since"),
            "undo that instead: `regrow acts` lists what was done",
        )),
        Err(e) => Err(e.into()),
    }
}

/// Makes a draft what it was before a change; later changes of other keys stay.
pub(super) fn draft(
    ctx: &Context,
    id: &str,
    created: Timestamp,
    before: Option<&str>,
    after: &str,
    report: &mut UndoReport,
) -> Result<Way> {
    let repo = ctx.repo()?;
    report.draft = Some(id.to_owned());
    drafts::retried(id, || {
        let now = find(&repo, id, created)?;
        let Some(before) = before else {
            drafts::discard(ctx, id)?;
            report.done = format!("set the draft {id} aside");
            return Ok(Way::Discarded { draft: id.to_owned(), created });
        };
        let forgotten =
            || Error::mistake(format!("what the draft {id} was then is kept for 30 days, and forgotten now"));
        let was = repo.kept_draft(before)?.ok_or_else(forgotten)?;
        let mut files = BTreeMap::new();
        let exact = now.tip == after;
        if !exact {
            let became = repo.kept_draft(after)?.ok_or_else(forgotten)?;
            if Data::of(&became) != Data::of(&was) || became.base != was.base {
                return Err(Error::mistake_with(
                    format!("the draft {id} was changed since in another way"),
                    "undo the later act first: `regrow acts` lists them",
                ));
            }
            files = without(&repo, &was, &became, &now)?;
        }
        let title = if exact || now.title != was.title && files.is_empty() { &was.title } else { &now.title };
        let (base, files_of, data) =
            if exact { (&was.base, &was.tip, &was.data) } else { (&now.base, &now.tip, &now.data) };
        let change = DraftChange { base, files_of, title, ..now.change(ctx.now(), data, &files) };
        let tip = repo.write_draft(&change)?;
        report.done = format!("made the draft {id} what it was before");
        Ok(Way::Draft { draft: id.to_owned(), created, before: Some(now.tip.clone()), after: tip })
    })
}

/// What takes one change out of a draft that was changed further, by key.
fn without(
    repo: &Repo,
    was: &DraftRef,
    became: &DraftRef,
    now: &DraftRef,
) -> Result<BTreeMap<String, Option<Vec<u8>>>> {
    let mut files = BTreeMap::new();
    let (old, new, current) = (repo.at(&was.tip), repo.at(&became.tip), repo.at(&now.tip));
    for change in repo.changed(State::Commit(&was.tip), State::Commit(&became.tip))? {
        let path = change.path;
        let (base, theirs, yours) = (bytes_at(&new, &path)?, bytes_at(&current, &path)?, bytes_at(&old, &path)?);
        let texts = [base.as_deref(), theirs.as_deref(), yours.as_deref()];
        let merged = merge::merge(&path, texts, With::Draft, &merge::Choices::new())?;
        if let Some(conflict) = merged.conflicts.first() {
            let what = conflict.key.as_ref().map_or_else(|| path.clone(), |key| format!("{key} in {path}"));
            return Err(Error::mistake_with(
                format!("{what} was changed again in the draft {} since", now.id),
                "undo the later act first: `regrow acts` lists them",
            ));
        }
        if merged.bytes != theirs {
            files.insert(path, merged.bytes);
        }
    }
    Ok(files)
}

/// Takes a draft back that was set aside.
pub(super) fn discarded(ctx: &Context, id: &str, created: Timestamp, report: &mut UndoReport) -> Result<Way> {
    let repo = ctx.repo()?;
    let there = repo.discarded_drafts()?.iter().any(|d| d.id == id && d.created == created);
    if !there {
        return Err(Error::mistake(format!(
            "the draft {id} is not among those set aside any more: they are kept for 30 days"
        )));
    }
    let draft = drafts::restore(ctx, id)?;
    report.draft = Some(id.to_owned());
    report.done = format!("took the draft {id} back");
    Ok(Way::Draft { draft: id.to_owned(), created, before: None, after: draft.tip })
}
