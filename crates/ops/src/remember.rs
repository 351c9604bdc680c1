//! What a program that answers many questions keeps about changesets: the log in memory, their words in the record.
//!
//! A command reads what it shows from git and ends. `regrow serve` calls [`changesets`] once, in a thread of its own:
//! from then on no page asks git what it was told before.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use regrow_history::{Changeset, Index, Repo};

use crate::compare;
use crate::context::Context;
use crate::error::Result;

/// The most changesets that are kept: about 300 bytes each. Of a longer history git is asked as before.
const MOST: usize = 50_000;
/// Of how many of the newest ones the words are worked out ahead of time.
const AHEAD: usize = 4000;
/// How many are worked out before they are written down.
const STEP: usize = 25;
/// How often is looked whether something has landed.
const LOOK: Duration = Duration::from_millis(500);
/// How much longer than its work the thread rests: pages come first.
const REST: u32 = 1;

/// The log in memory, once somebody keeps it.
#[derive(Debug, Default)]
pub(crate) struct Kept(RwLock<Option<Index>>);

impl Kept {
    /// Asks the log. `None` if it is not kept, or has no answer.
    fn ask<T>(&self, repo: &Repo, tip: &str, ask: impl Fn(&Index) -> Option<T>) -> Result<Option<T>> {
        {
            let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
            match kept.as_ref() {
                None => return Ok(None),
                Some(index) if index.has(tip) => return Ok(ask(index)),
                Some(_) => {}
            }
        }
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = kept.as_mut() else { return Ok(None) };
        if !index.take_in(repo, tip, MOST)? {
            *kept = None;
            return Ok(None);
        }
        Ok(ask(index))
    }

    /// Whether this is the full id of a changeset in it.
    fn knows(&self, commit: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|index| index.has(commit))
    }
}

/// [`Repo::log`], where `from` is HEAD if not given.
pub(crate) fn log(
    ctx: &Context,
    repo: &Repo,
    from: Option<&str>,
    below: &[&str],
    limit: usize,
) -> Result<Vec<Changeset>> {
    if let Some(tip) = repo.tip()?
        && let Some(found) = ctx.caches().log.ask(repo, &tip, |i| i.log(&tip, from.unwrap_or(&tip), below, limit))?
    {
        return Ok(found);
    }
    Ok(repo.log(from.unwrap_or("HEAD"), below, limit)?)
}

/// [`Repo::show`].
pub(crate) fn show(ctx: &Context, repo: &Repo, revision: &str) -> Result<Changeset> {
    if let Some(tip) = repo.tip()?
        && let Some(found) = ctx.caches().log.ask(repo, &tip, |i| i.show(revision))?
    {
        return Ok(found);
    }
    Ok(repo.show(revision)?)
}

/// [`Repo::resolve`].
pub(crate) fn resolve(ctx: &Context, repo: &Repo, revision: &str) -> Result<String> {
    if ctx.caches().log.knows(revision) { Ok(revision.to_owned()) } else { Ok(repo.resolve(revision)?) }
}

/// Keeps the changesets of the fleet from now on, and works their words out, newest first, until `stopped`. Returns at
/// once without a fleet or a repository.
pub fn changesets(ctx: &Context, stopped: &dyn Fn() -> bool) {
    let Some(fleet) = ctx.fleet_optional() else { return };
    // Readers of its own, so that no page waits for this one.
    let Ok(repo) = Repo::open(fleet) else { return };
    let mut done = None;
    while !stopped() {
        // What cannot be read now may be readable later, and the pages say what is wrong.
        if let Ok(Some(tip)) = repo.tip()
            && done.as_ref() != Some(&tip)
            && keep(ctx, &repo, &tip, stopped).is_ok()
        {
            done = Some(tip);
        }
        std::thread::sleep(LOOK);
    }
}

fn keep(ctx: &Context, repo: &Repo, tip: &str, stopped: &dyn Fn() -> bool) -> Result<()> {
    let kept = &ctx.caches().log.0;
    if kept.read().unwrap_or_else(PoisonError::into_inner).is_none() {
        let mut index = Index::default();
        if !index.take_in(repo, tip, MOST)? {
            return Ok(());
        }
        *kept.write().unwrap_or_else(PoisonError::into_inner) = Some(index);
    }
    let changes = log(ctx, repo, Some(tip), &[], AHEAD)?;
    for some in changes.chunks(STEP) {
        if stopped() {
            break;
        }
        let begun = std::time::Instant::now();
        compare::summaries_in(ctx, repo, some)?;
        std::thread::sleep(begun.elapsed() * REST);
    }
    Ok(())
}
