//! The mixing desk: a draft's steps ticked on and off, put in another order, dropped.

use std::collections::BTreeSet;

use regrow_history::DraftRef;
use serde::Serialize;

use super::compose;
use super::step::Step;
use crate::Answer;
use crate::context::Context;
use crate::drafts::{self, Conflict, DISK, Data, Draft, With};
use crate::error::{Error, Result};

/// A draft's steps, with what becomes of each.
#[derive(Debug, Serialize)]
pub struct Steps {
    /// The draft.
    pub draft: Draft,
    /// Its steps in the order in which they are made.
    pub steps: Vec<StepState>,
    /// The files that the person's own edits change beyond what the steps do.
    pub own: Vec<String>,
    /// What is to decide, or was, of steps and of the draft as a whole.
    pub conflicts: Vec<Conflict>,
}

impl Answer for Steps {}

/// A step as it stands.
#[derive(Debug, Serialize)]
pub struct StepState {
    /// The step.
    #[serde(flatten)]
    pub step: Step,
    /// Whether it is ticked and changes nothing here: the text says so already.
    pub without_effect: bool,
    /// How many of its conflicts wait for a decision.
    pub undecided: usize,
}

/// What to do with a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Tick it.
    On,
    /// Leave it out for now.
    Off,
    /// Make it earlier.
    Up,
    /// Make it later.
    Down,
    /// Take it out of the draft.
    Drop,
    /// Land it together with the step before it, or by itself again.
    Squash(bool),
    /// Give its changeset this message; without one, the suggested one.
    Reword(Option<String>),
}

/// A draft's steps.
///
/// # Errors
/// If there is no such draft.
pub fn steps(ctx: &Context, id: &str) -> Result<Steps> {
    let repo = drafts::open(ctx)?;
    let draft = repo.draft(id)?;
    let data = Data::of(&draft);
    let composed = compose::compose(&repo, &draft.base, &data.steps, &data.decisions)?;
    let conflicts = drafts::conflicts(ctx, id)?;
    let (base, tip) = (repo.at(&draft.base), repo.at(&draft.tip));
    let mut own = BTreeSet::new();
    for path in compose::paths(&draft, &composed, &composed) {
        if composed.read(&base, &path)? != drafts::bytes_at(&tip, &path)? {
            own.insert(path);
        }
    }
    let undecided = |id: u32| conflicts.iter().filter(|c| c.with == With::Step(id) && c.choice.is_none()).count();
    let states = data.steps.into_iter().map(|step| StepState {
        without_effect: composed.without_effect.contains(&step.id),
        undecided: undecided(step.id),
        step,
    });
    Ok(Steps { steps: states.collect(), own: own.into_iter().collect(), draft: drafts::get(ctx, id)?, conflicts })
}

/// Changes one step of a draft; its text follows, the person's own edits stay.
///
/// # Errors
/// If there is no such draft or step.
pub fn set_step(ctx: &Context, id: &str, step: u32, change: &Change) -> Result<Steps> {
    if id == DISK {
        return Err(Error::mistake("edits on disk have no steps"));
    }
    let repo = drafts::open(ctx)?;
    drafts::retried(id, || {
        let draft = repo.draft(id)?;
        let mut data = Data::of(&draft);
        let subject = apply(&mut data, id, step, change)?;
        if data == Data::of(&draft) {
            return steps(ctx, id);
        }
        let tip = compose::rewrite(ctx, &repo, &draft, None, &data)?;
        let words = format!("{} \u{201c}{subject}\u{201d} in the draft {id}", said(change));
        drafts::record(ctx, "step", &words, Some(&draft.tip), &DraftRef { tip, ..draft.clone() });
        steps(ctx, id)
    })
}

fn said(change: &Change) -> &'static str {
    match change {
        Change::On => "ticked",
        Change::Off => "left out",
        Change::Up => "moved up",
        Change::Down => "moved down",
        Change::Drop => "dropped",
        Change::Squash(true) => "squashed",
        Change::Squash(false) => "separated",
        Change::Reword(_) => "reworded",
    }
}

/// Changes the data; returns what the step's changeset is called.
fn apply(data: &mut Data, id: &str, step: u32, change: &Change) -> Result<String> {
    let Some(at) = data.steps.iter().position(|s| s.id == step) else {
        return Err(Error::mistake_with(
            format!("the draft {id} has no step {step}"),
            format!("see them with: regrow draft steps {id}"),
        ));
    };
    let subject = data.steps[at].subject.clone();
    match change {
        Change::On => data.steps[at].on = true,
        Change::Off => data.steps[at].on = false,
        Change::Up if at > 0 => data.steps.swap(at, at - 1),
        Change::Down if at + 1 < data.steps.len() => data.steps.swap(at, at + 1),
        Change::Up | Change::Down => {}
        Change::Drop => {
            data.steps.remove(at);
            data.decisions.retain(|d| d.with != With::Step(step));
        }
        Change::Squash(with_before) => {
            if at == 0 && *with_before {
                return Err(Error::mistake_with(
                    "the first step has none before it to land with",
                    "squash the second one into it, or move it down first",
                ));
            }
            data.steps[at].squashed = *with_before;
        }
        Change::Reword(message) => {
            let message = message.as_deref().map(str::trim);
            if message == Some("") {
                return Err(Error::mistake_with("the message is empty", "say in a few words what the change is for"));
            }
            data.steps[at].message = message.map(str::to_owned);
        }
    }
    if let Some(first) = data.steps.first_mut() {
        first.squashed = false;
    }
    Ok(subject)
}
