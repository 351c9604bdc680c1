//! `add`, `search`: from answers to a draft or a changeset, and packages by what people call them.

pub use regrow_archive::Found;
use std::sync::Arc;

use regrow_config::{DiskFiles, Files, Fleet, load_fleet};
use serde::Serialize;

use super::lines::Piece;
use super::{Addition, Answers, Offer, Wrong};
use crate::Answer;
use crate::context::Context;
use crate::drafts::{self, Edited, Into, Outcome, Seen, Target, Wish};
use crate::error::{Error, Result};
use crate::lock::LockReport;
use crate::wanted::Wanted;

/// What adding came to.
#[derive(Debug, Serialize)]
pub struct AddReport {
    /// The server.
    pub server: String,
    /// What was added.
    pub added: String,
    /// The new lines; none if all was there already.
    pub pieces: Vec<Piece>,
    /// What is there already and stays as it is, and what to look after.
    pub remarks: Vec<String>,
    /// The draft that has it now, if it is in one.
    pub draft: Option<String>,
    /// The changeset, if it is one.
    pub revision: Option<String>,
    /// New locks of the changeset.
    pub locks: Vec<LockReport>,
}

impl Answer for AddReport {}

/// What can be added.
#[derive(Debug, Serialize)]
pub struct OffersReport {
    /// The server.
    pub server: String,
    /// Everything, by category.
    pub offers: Vec<Offer>,
}

impl Answer for OffersReport {}

/// What can be added to a server, and what of it is there. With `draft`: in its text.
pub fn list(ctx: &Context, server: &str, draft: Option<&str>) -> Result<OffersReport> {
    let fleet = fleet(ctx, draft)?;
    Ok(OffersReport { server: server.to_owned(), offers: super::offers(&fleet, server)? })
}

/// The text that something is added to: a draft's, else the last changeset's; what is on disk where there is no history.
pub fn text(ctx: &Context, draft: Option<&str>) -> Result<Box<dyn Files>> {
    if let Some(draft) = draft {
        return drafts::files_of(ctx, draft);
    }
    let disk = || Ok::<Box<dyn Files>, Error>(Box::new(DiskFiles::new(ctx.fleet()?)?));
    match ctx.repo() {
        Err(Error::History(regrow_history::Error::NoRepository(_))) => disk(),
        repo => {
            let repo = repo?;
            match repo.head()?.commit {
                Some(commit) => Ok(Box::new(repo.at(&commit))),
                None => disk(),
            }
        }
    }
}

/// The values of that text. Those of a draft, whose mistakes may be just being typed, are read as far as they go.
pub fn fleet(ctx: &Context, draft: Option<&str>) -> Result<Arc<Fleet>> {
    if draft.is_some() {
        return Ok(Arc::new(load_fleet(&*text(ctx, draft)?).0));
    }
    let disk = ctx.on_disk()?;
    match &disk.commit {
        Some(commit) if disk.dirty.as_ref().is_none_or(|dirty| !dirty.is_empty()) => {
            Ok(Wanted::read(ctx, Some(commit))?.fleet)
        }
        _ => Ok(disk.text.fleet.clone()),
    }
}

/// Adds a thing to a server in a draft; without one, in a new draft of `owner`. What is wrong with answers is the inner
/// error; nothing was done then.
pub fn to_draft(
    ctx: &Context,
    draft: Option<&str>,
    owner: &str,
    server: &str,
    id: &str,
    answers: &Answers,
) -> Result<std::result::Result<AddReport, Vec<Wrong>>> {
    let files = text(ctx, draft)?;
    let (fleet, _) = load_fleet(&*files);
    let form = super::form(&fleet, server, id)?;
    let Addition { edits, remarks, message } = match super::plan(&fleet, server, id, answers)? {
        Ok(addition) => addition,
        Err(wrong) => return Ok(Err(wrong)),
    };
    let mut report = AddReport {
        server: server.to_owned(),
        added: form.offer.id,
        pieces: Vec::new(),
        remarks,
        draft: draft.map(str::to_owned),
        revision: None,
        locks: Vec::new(),
    };
    if edits.is_empty() {
        return Ok(Ok(report));
    }
    let preview = super::preview(&*files, server, &edits)?;
    if !preview.mistakes.diagnostics.is_empty() {
        return Err(Error::Diagnostics(Box::new(preview.mistakes)));
    }
    report.pieces = preview.pieces;
    let into = match draft {
        Some(draft) => Into::Draft(draft),
        None => Into::New { title: Some(&message), owner },
    };
    let wish = Wish { target: Target::Server(server.to_owned()), edits };
    match drafts::edit_seen(ctx, into, Seen::default(), &[wish])? {
        Edited::Saved(saved) => report.draft = Some(saved.draft),
        // Somebody added it at the same moment.
        Edited::Nothing { .. } => report.pieces.clear(),
        Edited::Refused { refusals } => {
            let words: Vec<String> = refusals.into_iter().map(|r| r.message).collect();
            return Err(Error::mistake(words.join("; ")));
        }
        Edited::Clash { .. } => {
            return Err(Error::mistake_with("the draft was changed at the same moment", "look at it and try again"));
        }
    }
    Ok(Ok(report))
}

/// `add`: in a draft, or at once as one changeset.
///
/// # Errors
/// Answers that cannot be taken are an [`Error::Mistake`] here.
pub fn add(
    ctx: &Context,
    server: &str,
    id: &str,
    answers: &Answers,
    draft: Option<&str>,
    message: Option<&str>,
) -> Result<AddReport> {
    if message.is_some_and(|m| m.trim().is_empty()) {
        return Err(Error::mistake_with("the message is empty", "say in a few words what the change is for: -m \"…\""));
    }
    // The draft that is only the way to a changeset is no act of its own.
    let quiet = ctx.quietly();
    let steps = if draft.is_some() { ctx } else { &quiet };
    let mut report = match to_draft(steps, draft, ctx.actor(), server, id, answers)? {
        Ok(report) => report,
        Err(wrong) => {
            let words: Vec<String> = wrong.iter().map(|w| format!("{}: {}", w.question, w.message)).collect();
            let names: Vec<String> = wrong.iter().map(|w| format!("--with {}=…", w.question)).collect();
            return Err(Error::mistake_with(words.join("; "), format!("give {}", names.join(" "))));
        }
    };
    let (None, Some(own)) = (draft, report.draft.take()) else { return Ok(report_of(report, draft)) };
    // Whatever happens: a draft that was only the way to a changeset does not stay.
    let landed = drafts::get(ctx, &own).and_then(|d| drafts::land(ctx, &own, Some(message.unwrap_or(&d.title))));
    match landed {
        Ok(Outcome::Landed(landed)) => {
            report.revision = Some(landed.revision);
            report.locks = landed.locks;
            Ok(report)
        }
        Ok(Outcome::Conflicts { conflicts }) => {
            drafts::discard(&quiet, &own)?;
            let keys: Vec<String> =
                conflicts.iter().map(|c| c.key.as_ref().map_or(c.path.clone(), ToString::to_string)).collect();
            Err(Error::mistake_with(
                format!("edits on disk change the same: {}", keys.join(", ")),
                "commit or undo them first, or add it to a draft with --draft",
            ))
        }
        Err(e) => {
            drafts::discard(&quiet, &own)?;
            Err(e)
        }
    }
}

fn report_of(mut report: AddReport, draft: Option<&str>) -> AddReport {
    report.draft = draft.map(str::to_owned);
    report
}

/// Packages that were found.
#[derive(Debug, Serialize)]
pub struct SearchReport {
    /// What was looked for.
    pub query: String,
    /// The best fits, best first.
    pub found: Vec<Found>,
}

impl Answer for SearchReport {
    fn is_yes(&self) -> bool {
        !self.found.is_empty()
    }
}

/// Packages by words in their names and descriptions, the best first, at most `limit`.
///
/// # Errors
/// [`Error::Mistake`] before the first index was fetched.
pub fn search(ctx: &Context, query: &str, limit: usize) -> Result<SearchReport> {
    let (fleet, _) = load_fleet(&DiskFiles::new(ctx.fleet()?)?);
    let archive = crate::lock::open_archive(ctx, &fleet)?;
    match archive.search(query, limit)? {
        Some(found) => Ok(SearchReport { query: query.to_owned(), found }),
        None => {
            let server = fleet.servers.keys().next().map_or("SERVER", String::as_str);
            Err(Error::mistake_with(
                "no package index was fetched yet, so there is nothing to search in",
                format!("fetch it by choosing the packages of a server: regrow lock {server}"),
            ))
        }
    }
}
