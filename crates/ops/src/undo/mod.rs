//! Undo: every act that changed something can be taken back, now or later, through the record of acts.
//!
//! An act is recorded together with the [`Way`] to undo it. Undoing never forgets: `main` gets a changeset that takes
//! another one back, a draft that was set aside comes back, a switch is rolled back. It is an act itself, and so can be
//! undone, too. Where it cannot be done any more, the reason is told and nothing is done.
//!
//! [`undo`] does it here; what touches an online server is a job, which a page starts by [`task`].

mod text;
mod way;

use regrow_host::lock::Wait;
use serde::{Deserialize, Serialize};

use crate::Answer;
use crate::accounts;
use crate::acts::{self, Act, Recorded, Which};
use crate::context::Context;
use crate::drafts::Conflict;
use crate::error::{Error, Result};
use crate::jobs::{self, About, Task};
use crate::online::{self, SwitchReport, read_journal};
use crate::wanted::short;

pub use way::Way;

/// What came of an undo.
#[derive(Debug, Serialize)]
pub struct UndoReport {
    /// The act that was undone.
    pub act: i64,
    /// What it was, in words.
    pub words: String,
    /// What was done, in words.
    pub done: String,
    /// The changeset that takes another one back.
    pub revision: Option<String>,
    /// The draft that is concerned; with conflicts, the one in which they are decided.
    pub draft: Option<String>,
    /// What was changed again since and must be decided before the draft can land. Then nothing is undone yet.
    pub conflicts: Vec<Conflict>,
    /// What happened to the online server.
    pub online: Option<Online>,
}

/// What happened to an online server.
#[derive(Debug, Serialize, Deserialize)]
pub struct Online {
    /// `switch`, `rollback`, `start` or `stop`.
    pub verb: String,
    /// The report of a switch or rollback.
    #[serde(flatten)]
    pub report: Option<SwitchReport>,
}

impl Answer for UndoReport {
    fn is_yes(&self) -> bool {
        self.conflicts.is_empty() && self.online.as_ref().and_then(|o| o.report.as_ref()).is_none_or(Answer::is_yes)
    }
}

/// Undoes an act, by default the last one of this person that can be undone and was not. What touches an online server
/// runs as a job.
///
/// # Errors
/// [`Error::Mistake`] with the reason if it cannot be undone (any more); then nothing was done.
pub fn undo(ctx: &Context, act: Option<i64>) -> Result<UndoReport> {
    let act = match act {
        Some(id) => acts::get(ctx, id)?,
        None => last(ctx)?,
    };
    let way = way(&act)?;
    match way.server() {
        Some(server) => {
            let about = About::server("undo", server, Wait::UntilFree);
            jobs::run(ctx, &about, |ctx| perform(ctx, act.id))
        }
        None => perform(ctx, act.id),
    }
}

/// The job that undoes an act, if it touches an online server; other acts are undone at once by [`undo`].
///
/// # Errors
/// As [`undo`].
pub fn task(ctx: &Context, act: i64) -> Result<Option<Task>> {
    let act = acts::get(ctx, act)?;
    let server = way(&act)?.server().map(str::to_owned);
    Ok(server.map(|server| Task::Undo { act: act.id, server }))
}

/// How many of a person's acts are looked through for one to undo.
const LOOKED_AT: usize = 200;

/// The last act of this person that can be undone and was not. Undoing again and again walks back: an undo is undone
/// only by its number.
fn last(ctx: &Context) -> Result<Recorded> {
    let which = Which { actor: Some(ctx.actor().to_owned()), ..Which::default() };
    let fits = |a: &Recorded| {
        a.kind != "undo" && a.undone.is_none() && a.result == "done" && a.undo.as_ref().is_some_and(Way::is_plain)
    };
    acts::list(ctx, &which, LOOKED_AT)?.acts.into_iter().find(fits).ok_or_else(|| {
        Error::mistake_with(
            format!("{} has done nothing that can be undone", ctx.actor()),
            "`regrow acts` lists what was done, by whom: regrow undo NUMBER",
        )
    })
}

/// How an act is undone, if nothing on record stands against it.
///
/// # Errors
/// [`Error::Mistake`] with the reason.
pub fn way(act: &Recorded) -> Result<Way> {
    if let Some(by) = act.undone {
        return Err(Error::mistake_with(
            format!("act {} was undone already, by act {by}", act.id),
            format!("to have it again, undo that one: regrow undo {by}"),
        ));
    }
    if act.result == "running" {
        return Err(Error::mistake_with(format!("act {} is still going on", act.id), "wait until it has ended"));
    }
    act.undo.clone().ok_or_else(|| {
        let reason = match act.kind.as_str() {
            "build" | "trial" | "verify" => "it changed nothing that is wanted or online",
            "sign-in" | "sign-out" => "who was there was there",
            "account" => "a password that was replaced or removed is known to nobody",
            "gc" => "what was freed is gone; building makes it again",
            "pull" => "changesets of others came: take back those that you do not want with `regrow revert`",
            "push" => "what was pushed is with others",
            "keep" => "it is part of a switch: undo that one",
            _ if act.result != "done" => "it changed nothing",
            _ => "nothing is recorded that could be taken back",
        };
        Error::mistake(format!("act {} ({}) cannot be undone: {reason}", act.id, act.words))
    })
}

/// Undoes an act here and now. Of a server, under its lock.
pub(crate) fn perform(ctx: &Context, id: i64) -> Result<UndoReport> {
    // Read again: it may have been undone while the server was waited for.
    let act = acts::get(ctx, id)?;
    let way = way(&act)?;
    let quiet = ctx.quietly();
    let mut report = UndoReport {
        act: id,
        words: act.words.clone(),
        done: String::new(),
        revision: None,
        draft: None,
        conflicts: Vec::new(),
        online: None,
    };
    let mut back = None;
    match &way {
        Way::Landed { revision } => back = text::landed(&quiet, revision, &mut report)?,
        Way::Draft { draft, created, before, after } => {
            back = Some(text::draft(&quiet, draft, *created, before.as_deref(), after, &mut report)?);
        }
        Way::Discarded { draft, created } => back = Some(text::discarded(&quiet, draft, *created, &mut report)?),
        Way::Account { name, before, after } => back = account(&quiet, name, *before, *after, &mut report)?,
        _ => server(&quiet, &way, &mut report)?,
    }
    if !report.is_yes() {
        return Ok(report);
    }
    let by = match way.server() {
        // The job is the act.
        Some(server) => jobs::newest(ctx, server, "undo")?.map(|job| acts::act_of_job(ctx, job)).transpose()?.flatten(),
        None => {
            let mut undoing = Act::new("undo", format!("undid act {id} ({}): {}", act.words, report.done));
            if let Some(subject) = &act.subject {
                undoing = undoing.about(subject);
            }
            acts::record(ctx, &back.into_iter().fold(undoing, Act::undone_by))
        }
    };
    acts::mark_undone(ctx, id, by)?;
    if act.kind == "undo" {
        // What that one had undone is there again, and can be undone again.
        acts::forget_undone_by(ctx, id)?;
    }
    Ok(report)
}

fn account(
    ctx: &Context,
    name: &str,
    before: Option<accounts::Role>,
    after: accounts::Role,
    report: &mut UndoReport,
) -> Result<Option<Way>> {
    match accounts::get(ctx, name)? {
        Some(found) if found.role == after => {}
        found => {
            let now = found.map_or("was removed".to_owned(), |a| format!("has the role {} now", a.role));
            return Err(Error::mistake(format!("the account {name} {now}: there is nothing to undo any more")));
        }
    }
    let name = name.to_owned();
    Ok(match before {
        None => {
            accounts::remove(ctx, &name)?;
            report.done = format!("removed the account {name}");
            None
        }
        Some(role) => {
            accounts::set_role(ctx, &name, role)?;
            report.done = format!("gave {name} the role {role} again");
            Some(Way::Account { name, before: Some(after), after: role })
        }
    })
}

/// Brings an online server to where it was before, if nobody brought it elsewhere since.
fn server(ctx: &Context, way: &Way, report: &mut UndoReport) -> Result<()> {
    let (verb, said) = match way {
        Way::Switched { server, from, to } => {
            still(ctx, server, to)?;
            match from {
                Some(_) => ("rollback", Some(online::rollback(ctx, server, false)?)),
                None => {
                    online::stop(ctx, server)?;
                    ("stop", None)
                }
            }
        }
        Way::RolledBack { server, from, to } => {
            still(ctx, server, to)?;
            ("switch", Some(online::switch(ctx, server, Some(from))?))
        }
        Way::Held { server, revision } => {
            let journal = read_journal(&ctx.home().server(server))?;
            if journal.held(revision).is_none() {
                let message = format!("{} is not held on {server} any more", short(revision));
                return Err(Error::mistake_with(message, "see where it stands with: regrow status"));
            }
            ("switch", Some(online::switch(ctx, server, Some(revision))?))
        }
        Way::Stopped { server } => {
            online::start(ctx, server)?;
            ("start", None)
        }
        Way::Started { server } => {
            online::stop(ctx, server)?;
            ("stop", None)
        }
        _ => return Ok(()),
    };
    report.done = match &said {
        Some(said) => format!("{verb} of {} to {}: {}", said.server, short(&said.to_revision), said.verdict),
        None => way.words(),
    };
    report.online = Some(Online { verb: verb.to_owned(), report: said });
    Ok(())
}

/// Refuses if something else is online than what the act brought there.
fn still(ctx: &Context, server: &str, revision: &str) -> Result<()> {
    let journal = read_journal(&ctx.home().server(server))?;
    let now = journal.current().map(|g| g.candidate.revision.as_str());
    if now == Some(revision) {
        return Ok(());
    }
    let now = now.map_or("nothing is online".to_owned(), |now| format!("{} is online", short(now)));
    Err(Error::mistake_with(
        format!("{now} on {server} since, not {}: there is nothing to undo any more", short(revision)),
        format!(
            "undo the later act first (regrow acts --server {server}), or say what to put online: regrow switch {server} --at REV"
        ),
    ))
}

#[cfg(test)]
mod tests;
