//! The hunt for a culprit: which changeset broke a check? Found by booting, offline, beside the online server.
//!
//! ```text
//! question (check, good end, bad end) ──► suspects (changesets that can influence the server, in order)
//!                                              │
//!     search (pure: what next) ◄── verdicts ◄──┤ known:  trials, switches, earlier hunts, equal machines
//!          │                                   │ judge:  read text ─► build (cached) ─► boot ─► ask the one check
//!          ▼                                   │
//!     culprit in words ──► proposal: a draft that takes it back, built and tried
//! ```
//!
//! * What is learned is in the record at once ([`steps`]): a hunt that was killed goes on when it is asked for again.
//! * A boot is never spent on what is known: the same revision, or one whose machine is the same in everything.
//! * What cannot be built or booted is skipped; if that hides the culprit, the answer is "one of these".
//! * Where results disagree, it boots again, and says that the check is flaky.
//! * A culprit that is a merge is looked into: along the branch that it brought.
//! * It changes nothing but the record and makes one draft at the end.

mod judge;
mod known;
mod look;
mod propose;
mod question;
mod record;
mod report;
mod run;
pub mod search;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::trial::ask::ALWAYS;
use crate::wanted::Wanted;

pub use look::{Among, Place, Standing};
pub use question::{Asked, Question};
pub(crate) use record::begin;
pub use record::{How, Hunt, HuntId, Step, Verdict, get, job_of, list, of_job, steps};
pub use report::{Culprit, HuntReport, Outcome, Proposal, Suspect};

/// How a hunt is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Boot so many machines at once, 1 or 2; without it two where memory and processors allow.
    pub at_once: Option<u8>,
    /// Find the culprit only; make no draft.
    pub no_proposal: bool,
}

/// The question of a hunt whose ends may be left to be found: the good end is the newest revision at which the check is
/// known to have passed, the bad end is HEAD.
///
/// # Errors
/// [`Error::Mistake`] if there is no such server, check or revision, or nothing is known to have been good.
pub fn question(ctx: &Context, server: &str, asked: &Asked, good: Option<&str>, bad: Option<&str>) -> Result<Question> {
    question::settle(ctx, server, asked, good, bad)
}

/// The names that [`Asked::named`] takes: the checks of a server's newest text, and those that every machine has.
///
/// # Errors
/// [`Error::Mistake`] if there is no such server in it.
pub fn names(ctx: &Context, server: &str) -> Result<Vec<String>> {
    let text = Wanted::read(ctx, Some("HEAD"))?;
    let own = text.known(server)?.checks.keys().cloned();
    Ok(own.chain(ALWAYS.map(str::to_owned)).collect())
}

/// The newest hunt of a server that did not come to its end.
///
/// # Errors
/// [`Error::Mistake`] if there is none.
pub fn interrupted(ctx: &Context, server: &str) -> Result<Question> {
    let found = list(ctx, server, 20)?.into_iter().find(|hunt| hunt.ended.is_none());
    found.map(|hunt| hunt.question).ok_or_else(|| {
        Error::mistake_with(
            format!("no hunt of {server} was interrupted"),
            format!("begin one: regrow bisect {server} --check NAME"),
        )
    })
}

/// Hunts. Goes on if the same hunt was interrupted. Run it in a job ([`crate::jobs`]).
///
/// # Errors
/// If nothing can be built or booted here, or somebody asked to stop; what was learned until then is kept.
pub fn hunt(ctx: &Context, question: &Question, options: Options) -> Result<HuntReport> {
    ctx.begin("a hunt")?;
    run::run(ctx, question, options)
}

#[cfg(test)]
mod tests;
