//! How far a hunt has come, for who looks on: every changeset in question, and what is known of it.

use regrow_host::words::count;

use super::question::{Question, Suspects};
use super::record::{Step, Verdict};
use super::search::{Next, Search, Seen};
use crate::context::Context;
use crate::error::Result;

/// The changesets that a hunt looks among. They stay the same while it goes on.
#[derive(Debug)]
pub struct Among(Suspects);

/// How far a hunt has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The changesets in their order, the oldest first.
    pub places: Vec<Place>,
    /// The one that did it, as a place, if that is known.
    pub culprit: Option<usize>,
    /// What there is still to do, in words.
    pub words: String,
}

/// A changeset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The commit.
    pub revision: String,
    /// The first line of its message.
    pub subject: String,
    /// What it was judged to be, if it was.
    pub verdict: Option<Verdict>,
    /// Whether it can still be the one that did it.
    pub open: bool,
}

impl Among {
    /// Of a question.
    ///
    /// # Errors
    /// If its ends are no longer in the repository, or belong to another one.
    pub fn of(ctx: &Context, question: &Question) -> Result<Among> {
        Suspects::between(&ctx.repo()?, &question.server, &question.good, &question.bad).map(Among)
    }

    /// What is known of them after these steps.
    pub fn standing(&self, steps: &[Step]) -> Standing {
        let Among(suspects) = self;
        let last = suspects.changes.len();
        let mut search = Search::new(last);
        for step in steps {
            // What was booted again in the end shows whether the check is flaky; the search went by the first.
            if let Some(item) = suspects.items.get(&step.revision).filter(|item| search.seen(**item).is_none()) {
                search.learn(*item, step.verdict.into());
            }
        }
        let next = search.next(false);
        let (good, bad) = search.bounds();
        let place = |item: usize| Place {
            revision: suspects.revision(item).to_owned(),
            subject: suspects.subject(item).to_owned(),
            verdict: search.seen(item).map(Verdict::from),
            open: good.is_none_or(|good| item > good) && item <= bad,
        };
        let words = match &next {
            _ if last == 0 => "no changeset between the two can influence the server".to_owned(),
            Next::Try(_) => search.left(),
            Next::Found(_) => "every other one is ruled out".to_owned(),
            Next::OneOf(items) => {
                format!(
                    "{} are left, and those between cannot be asked",
                    count(items.clone().count(), "changeset", "changesets")
                )
            }
            Next::GoodIsBad | Next::BadIsGood | Next::NoEnd(_) => "an end is not what it should be".to_owned(),
        };
        let culprit = if let Next::Found(item) = next { item.checked_sub(1) } else { None };
        Standing { places: (1..=last).map(place).collect(), culprit, words }
    }
}

impl From<Verdict> for Seen {
    fn from(verdict: Verdict) -> Seen {
        match verdict {
            Verdict::Good => Seen::Good,
            Verdict::Bad => Seen::Bad,
            Verdict::Skipped => Seen::Skipped,
        }
    }
}

impl From<Seen> for Verdict {
    fn from(seen: Seen) -> Verdict {
        match seen {
            Seen::Good => Verdict::Good,
            Seen::Bad => Verdict::Bad,
            Seen::Skipped => Verdict::Skipped,
        }
    }
}
