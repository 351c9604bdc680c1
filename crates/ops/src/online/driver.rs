//! Carries a switch, a rollback or a recovery through the [`Journal`]: the order of acts, and nothing else.
//!
//! What the acts do is behind [`World`]: real machines, ports and volumes in the supervisor; a model in the tests, which
//! kills the driver at every single act, recovers, and looks whether exactly one generation runs on the right state.
//!
//! The rule for every act: the journal that announces it is saved first. An act may be repeated after a crash.

use std::time::Instant;

use regrow_host::cancel;
use regrow_host::progress::{self, Progress};
use regrow_machine::CheckResult;
use serde::{Deserialize, Serialize};

use super::journal::{Candidate, Decision, Generation, Held, Intent, Journal, Phase, Recovery};
use crate::error::{Error, Result};
use crate::trial::Failed;

/// How the world judged a generation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Judgement {
    /// Whether it may stay.
    pub healthy: bool,
    /// The first thing that failed: a check's name, `boot` if it did not come up, `start` if it could not be started.
    pub failed: Option<String>,
    /// What was seen.
    pub detail: String,
    /// What every check saw.
    pub checks: Vec<CheckResult>,
    /// Units that failed, with their last words.
    pub failed_units: Vec<Failed>,
    /// What a person decided before the checks had an answer. Then it counts, not [`Judgement::healthy`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

impl Judgement {
    /// What a person's decision makes of it.
    fn obey(&mut self) {
        let Some(decision) = &self.decision else { return };
        let passed = self.checks.iter().filter(|c| c.passed).count();
        let (what, all) = (if decision.keep { "kept" } else { "sent back" }, self.checks.len());
        self.healthy = decision.keep;
        self.failed = None;
        self.detail = match all {
            0 => format!("{what} by {} while it was coming up", decision.by),
            _ => format!("{what} by {} when {passed} of {all} checks had passed", decision.by),
        };
    }
}

/// How to stop a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Services end one after the other and write what they have to write.
    Orderly,
    /// At once: its state is going to be thrown away.
    AtOnce,
}

/// What a switch acts on. Every method may be repeated, and fails with words for a person.
pub trait World {
    /// Saves the journal durably.
    fn save(&mut self, journal: &Journal) -> Result<()>;
    /// Makes sure that `to` can be started: its image is there, its ports are ours. Disturbs nothing.
    fn reserve(&mut self, to: &Generation) -> Result<()>;
    /// Lets connections wait and stops whatever runs; afterwards nothing of the server runs.
    fn stop(&mut self, how: Stop) -> Result<()>;
    /// Copies the state, which `of` has written.
    fn snapshot(&mut self, id: &str, of: Option<&Generation>) -> Result<()>;
    /// Makes the state what it was at a snapshot.
    fn restore(&mut self, id: &str) -> Result<()>;
    /// Starts a generation; nothing is to be done if it runs already.
    fn start(&mut self, generation: &Generation) -> Result<()>;
    /// Takes people's decisions about a generation from now on, for [`World::judge`].
    fn listen(&mut self, generation: &Generation);
    /// Waits for a generation to come up and judges it, or takes a person's decision about it.
    fn judge(&mut self, generation: &Generation) -> Judgement;
    /// Tells who decided, if anybody, whether the journal has the decision. Then nobody can decide any more.
    fn decided(&mut self, saved: bool);
    /// Waits until a generation that was good before has come up again, or a time limit.
    fn come_up(&mut self, generation: &Generation);
    /// Connects the published ports to the running generation.
    fn publish(&mut self, generation: &Generation) -> Result<()>;
    /// Lets go of what only `to` wanted, after it failed.
    fn unpublish(&mut self, keep: Option<&Generation>);
    /// The time, in seconds since 1970 UTC.
    fn now(&self) -> i64;
}

/// What came of a switch.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What was online before.
    pub from: Option<Generation>,
    /// What was to be online.
    pub to: Generation,
    /// Whether it is.
    pub kept: bool,
    /// How long published ports were not connected, in seconds.
    pub down_seconds: f64,
    /// How the new generation was judged; its `detail` says why it could not even be judged.
    pub judgement: Judgement,
}

/// Replaces what is online by `candidate`, or leaves everything as it was.
///
/// # Errors
/// If it could not be tried, or failed for a reason that is not the candidate's. What was online before is online
/// again, unless that failed too: then the error says both, and the journal tells the supervisor to go on trying.
pub fn switch(
    world: &mut dyn World,
    journal: &mut Journal,
    candidate: Candidate,
    intent: Intent,
    told: &dyn Progress,
) -> Result<Outcome> {
    let restore = match intent {
        Intent::RollbackWithState => journal.previous().map(|p| p.snapshot.clone()),
        Intent::Switch | Intent::Rollback => None,
    };
    let untouched = journal.clone();
    journal.begin(candidate, intent, world.now()).map_err(illegal)?;
    let Phase::Switching { before, to, snapshot, .. } = journal.phase.clone() else {
        return Err(illegal("begin leads to a switch"));
    };
    let from = before.generation().cloned();
    if let Err(e) = world.save(journal) {
        *journal = untouched;
        return Err(e);
    }

    // Nothing is disturbed yet.
    let step = progress::step(told, "prepare", format!("checking ports and image of {}", short(&to)));
    let prepared = world.reserve(&to).and_then(|()| {
        journal.stopping().map_err(illegal)?;
        world.save(journal)
    });
    if let Err(e) = prepared {
        give_up(world, journal, from.as_ref(), told)?;
        return Err(e);
    }
    step.finish("ready");

    // Nobody is served from here on.
    let down = Instant::now();
    let step = progress::step(
        told,
        "stop",
        match &from {
            Some(from) => format!("stopping {}", short(from)),
            None => "nothing is online yet".to_owned(),
        },
    );
    let at_rest = world.stop(Stop::Orderly).and_then(|()| {
        step.finish("stopped");
        journal.snapshotting().map_err(illegal)?;
        world.save(journal)?;
        let step = progress::step(told, "snapshot", "copying the state while nothing writes to it");
        world.snapshot(&snapshot, from.as_ref())?;
        step.finish(format!("snapshot {snapshot}"));
        journal.starting().map_err(illegal)?;
        world.save(journal)
    });
    if let Err(e) = at_rest {
        return Err(match journal.recovery() {
            // The journal is at Starting in memory but perhaps not on disk; the state is untouched either way.
            Recovery::GoBack => after(e, back(world, journal, None, from.as_ref(), told)),
            _ => after(e, give_up(world, journal, from.as_ref(), told)),
        });
    }

    // From here on the state may change: whatever fails, image and state go back together.
    let judgement = match bring_up(world, journal, &to, restore.as_deref(), told) {
        Ok(judgement) => judgement,
        Err(e) => return Err(after(e, back(world, journal, None, from.as_ref(), told))),
    };
    if !judgement.healthy && judgement.decision.is_none() && cancel::requested() {
        // It was we who were asked to end; that says nothing about the revision.
        return Err(after(Error::Cancelled, back(world, journal, None, from.as_ref(), told)));
    }
    if !judgement.healthy {
        let sent_back = journal.sent_back();
        let held = (intent == Intent::Switch).then(|| Held {
            revision: to.candidate.revision.clone(),
            image: to.candidate.image.clone(),
            check: judgement.failed.clone(),
            // The whole of it, with the console, is in the evidence.
            detail: judgement.detail.lines().next().unwrap_or_default().trim_end_matches(':').to_owned(),
            at: world.now(),
            by: None,
        });
        let held = sent_back.or(held);
        back(world, journal, held, from.as_ref(), told)?;
        return Ok(Outcome { from, to, kept: false, down_seconds: down.elapsed().as_secs_f64(), judgement });
    }

    let kept = journal.clone();
    let saved = journal.keep().map_err(illegal).and_then(|()| world.save(journal));
    if let Err(e) = saved {
        // On disk it is still being judged, so that is what it is.
        *journal = kept;
        return Err(after(e, back(world, journal, None, from.as_ref(), told)));
    }
    world.publish(&to)?;
    Ok(Outcome { from, to, kept: true, down_seconds: down.elapsed().as_secs_f64(), judgement })
}

fn bring_up(
    world: &mut dyn World,
    journal: &mut Journal,
    to: &Generation,
    restore: Option<&str>,
    told: &dyn Progress,
) -> Result<Judgement> {
    if let Some(snapshot) = restore {
        let step = progress::step(told, "restore", format!("bringing back the state of snapshot {snapshot}"));
        world.restore(snapshot)?;
        step.finish("state is back");
    }
    let step = progress::step(told, "start", format!("starting {}", short(to)));
    if let Err(e) = world.start(to) {
        if e.is_disk_full() {
            return Err(e);
        }
        step.finish("did not start");
        let mut detail = e.to_string();
        for cause in e.causes() {
            detail.push_str(": ");
            detail.push_str(&cause);
        }
        return Ok(Judgement { failed: Some("start".to_owned()), detail, ..Judgement::default() });
    }
    step.finish("started");
    journal.checking().map_err(illegal)?;
    // Whoever reads in the journal that it is being judged can decide already.
    world.listen(to);
    if let Err(e) = world.save(journal) {
        world.decided(false);
        return Err(e);
    }
    let step = progress::step(told, "check", "waiting for it to come up and judging it");
    let mut judgement = world.judge(to);
    if let Some(decision) = judgement.decision.clone() {
        // A decision is in the journal before anything follows from it, and before anybody is told that it was taken.
        journal.decide(decision).map_err(illegal)?;
        let saved = world.save(journal);
        world.decided(saved.is_ok());
        saved?;
        judgement.obey();
    }
    step.finish(if judgement.healthy { "healthy".to_owned() } else { judgement.detail.clone() });
    Ok(judgement)
}

/// Ends a switch that touched no state; what was there runs again.
fn give_up(world: &mut dyn World, journal: &mut Journal, from: Option<&Generation>, told: &dyn Progress) -> Result<()> {
    journal.give_up().map_err(illegal)?;
    // Should this fail, the journal on disk leads a later recovery to the same place.
    let saved = world.save(journal);
    world.unpublish(from);
    resume(world, journal, told)?;
    saved
}

/// Takes the new generation down and brings state and image back.
fn back(
    world: &mut dyn World,
    journal: &mut Journal,
    held: Option<Held>,
    from: Option<&Generation>,
    told: &dyn Progress,
) -> Result<()> {
    let step = progress::step(
        told,
        "back",
        match from {
            Some(from) => format!("going back to {} with its state", short(from)),
            None => "taking it offline again".to_owned(),
        },
    );
    journal.go_back(held).map_err(illegal)?;
    // A full disk may refuse this. What is on disk then still says that the new generation is not known to be good, and
    // that leads to the same place.
    let saved = world.save(journal);
    world.stop(Stop::AtOnce)?;
    world.unpublish(from);
    resume(world, journal, told)?;
    step.finish("back");
    saved
}

/// Does what [`Journal::recovery`] says until nothing is left to do, and starts what should run, which is returned.
///
/// To be called when nothing of the server runs, or only what should. [`connect`] is the next thing to do.
///
/// # Errors
/// If an act fails; calling again goes on where it failed.
pub fn settle(world: &mut dyn World, journal: &mut Journal, told: &dyn Progress) -> Result<Option<Generation>> {
    loop {
        match journal.recovery() {
            Recovery::Nothing => {
                world.save(journal)?;
                return Ok(None);
            }
            Recovery::Start(generation) => {
                // What it writes from now on must never be taken back, so this must be on disk before it starts.
                world.save(journal)?;
                world.start(&generation)?;
                return Ok(Some(generation));
            }
            Recovery::GiveUp => {
                progress::note(told, "a switch was interrupted before it had changed anything");
                journal.give_up().map_err(illegal)?;
            }
            Recovery::Keep => {
                progress::note(told, "a switch was interrupted after somebody had decided to keep it");
                journal.keep().map_err(illegal)?;
            }
            Recovery::GoBack => {
                let sent_back = journal.sent_back();
                progress::note(
                    told,
                    match &sent_back {
                        Some(held) => format!("a switch was interrupted after it was {}", held.detail),
                        None => "a switch was interrupted before its result was known: going back".to_owned(),
                    },
                );
                journal.go_back(sent_back).map_err(illegal)?;
            }
            Recovery::Restore { snapshot } => {
                // Going back may have failed before it could stop the new generation.
                world.stop(Stop::AtOnce)?;
                world.restore(&snapshot)?;
                journal.went_back().map_err(illegal)?;
            }
        }
    }
}

/// Waits for what [`settle`] started and connects its ports.
///
/// # Errors
/// If the ports cannot be connected; calling again tries again.
pub fn connect(world: &mut dyn World, generation: &Generation) -> Result<()> {
    world.come_up(generation);
    world.publish(generation)
}

fn resume(world: &mut dyn World, journal: &mut Journal, told: &dyn Progress) -> Result<()> {
    match settle(world, journal, told)? {
        Some(generation) => connect(world, &generation),
        None => Ok(()),
    }
}

pub(super) fn illegal(e: impl std::fmt::Display) -> Error {
    Error::surroundings(format!("internal mistake: {e}"), "please report this with the supervisor's log")
}

/// The first error, and whether going back worked.
fn after(first: Error, back: Result<()>) -> Error {
    match back {
        Ok(()) => first,
        Err(second) => Error::surroundings(
            format!("{first}; and what was online before could not be started again: {second}"),
            "the supervisor goes on trying; `regrow status` and the server's supervisor.log say more",
        ),
    }
}

fn short(generation: &Generation) -> String {
    let revision = crate::wanted::short(&generation.candidate.revision);
    format!("generation {} (revision {revision})", generation.id)
}

#[cfg(test)]
mod tests;
