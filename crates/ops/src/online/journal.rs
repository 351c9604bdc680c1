//! What is online, what is on its way there, and what to do after a crash: the journal of one server, as a pure value.
//!
//! The supervisor keeps it in `servers/<name>/online.json` and writes it *before* each act that it announces. So whatever
//! the supervisor was doing when it was killed, the journal says how far it may have come, and [`Journal::recovery`] says
//! what makes it whole again. Nothing here touches a file, a process or a clock.
//!
//! ```text
//!             begin                     stopping      snapshotting      starting      checking
//!  Offline ─────────────► Switching: Preparing ─► Stopping ─► Snapshotting ─► Starting ─► Checking
//!  Running ─────────────►     │           │           │            │             │           │ keep
//!  Stopped ─────────────►     └───────────┴───────────┘            └─────────────┤           ▼
//!     ▲                              give_up                            go_back  │        Running
//!     │                                │                                         ▼
//!     └────────────────────────────────┴──────────── went_back ───────────  GoingBack
//! ```
//!
//! The line between the two ways back is the start of the new image: before it nothing has touched the state, so the old
//! generation only has to be started again. From `Starting` on the new image may have changed the state, so the state
//! snapshot goes back together with the image. `stop` and `start` lead from `Running` to `Stopped` and back.

use std::collections::{BTreeMap, BTreeSet};

use regrow_config::{Check, Limits};
use regrow_machine::proxy::Port;
use regrow_state::Declared;
use serde::{Deserialize, Serialize};

/// The format of the journal that this program writes and reads.
pub const SCHEMA: u32 = 1;
/// How many earlier generations can be gone back to.
pub const HISTORY: usize = 3;
/// How many held revisions are remembered.
const HELD: usize = 50;

/// What can be put online: everything that starting and judging it needs, so that recovery reads no fleet text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The revision of the text: a full commit id.
    pub revision: String,
    /// The image, `v1-sha256-12:<hex>`.
    pub image: String,
    /// The host name inside.
    pub hostname: String,
    /// What it may use of the host.
    pub limits: Limits,
    /// What must hold for it to be kept.
    pub checks: BTreeMap<String, Check>,
    /// The ports it publishes.
    pub publish: BTreeSet<Port>,
    /// The directories that are state.
    pub state: Vec<Declared>,
}

/// A candidate that was put online, or is being put.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number on this server: 1, 2, 3… Never used twice. What it writes outside its state is in `runs/<id>/`.
    pub id: u64,
    /// When it was asked for, in seconds since 1970 UTC.
    pub since: i64,
    /// What it is.
    #[serde(flatten)]
    pub candidate: Candidate,
}

/// A generation that was online before, with the state as it left it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Previous {
    /// The generation.
    pub generation: Generation,
    /// The state snapshot taken when it was stopped; the pair is what a rollback with state goes back to.
    pub snapshot: String,
}

/// Why somebody wants another generation online.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// A switch to a revision.
    Switch,
    /// Back to the generation before, with the state as it is now.
    Rollback,
    /// Back to the generation before, with the state as that one left it.
    RollbackWithState,
}

/// What to return to if a switch does not work out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "was", rename_all = "snake_case")]
pub enum Before {
    /// Nothing was online.
    Offline,
    /// This generation was running.
    Running(Generation),
    /// This generation was stopped by request.
    Stopped(Generation),
}

impl Before {
    /// The generation that was there, running or not.
    pub fn generation(&self) -> Option<&Generation> {
        match self {
            Before::Offline => None,
            Before::Running(generation) | Before::Stopped(generation) => Some(generation),
        }
    }
}

/// How far a switch may have come. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Ports and image are looked at; the old generation runs undisturbed.
    Preparing,
    /// The old generation is being stopped.
    Stopping,
    /// The state is being copied.
    Snapshotting,
    /// The new generation may have been started: from here on the state may have changed.
    Starting,
    /// The new generation is being judged.
    Checking,
}

/// What a person decided about a generation while it was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether it stays, though checks were still pending; otherwise it goes back, and its revision is held.
    pub keep: bool,
    /// Who decided.
    pub by: String,
    /// When, in seconds since 1970 UTC.
    pub at: i64,
}

/// Where a server stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Nothing is online, and nothing should be.
    Offline,
    /// This generation is, or should be, running.
    Running {
        /// It.
        current: Generation,
    },
    /// This generation was taken offline by request.
    Stopped {
        /// It.
        current: Generation,
    },
    /// One generation is being replaced by another.
    Switching {
        /// What is there now.
        before: Before,
        /// What shall be there.
        to: Generation,
        /// Why.
        intent: Intent,
        /// The state snapshot: complete from [`Step::Starting`] on.
        snapshot: String,
        /// How far it may have come.
        step: Step,
        /// What a person decided, at [`Step::Checking`]: then the checks are not asked any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<Decision>,
    },
    /// The replacement failed after it was started: state and image go back together.
    GoingBack {
        /// What was there.
        before: Before,
        /// What failed.
        failed: Generation,
        /// The state to bring back.
        snapshot: String,
    },
}

/// A revision that failed after a switch. It is never retried by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The revision.
    pub revision: String,
    /// Its image.
    pub image: String,
    /// The check that failed; none if it did not get as far as being checked, or a person sent it back.
    pub check: Option<String>,
    /// What was seen, in one line.
    pub detail: String,
    /// When, in seconds since 1970 UTC.
    pub at: i64,
    /// Who sent it back, if a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The journal of one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The number of the next generation.
    pub next: u64,
    /// Where the server stands.
    #[serde(flatten)]
    pub phase: Phase,
    /// What was online before, newest last.
    #[serde(default)]
    pub history: Vec<Previous>,
    /// Revisions that failed, newest last.
    #[serde(default)]
    pub held: Vec<Held>,
}

/// What makes a server whole after its supervisor died.
#[derive(Debug, Clone, PartialEq)]
pub enum Recovery {
    /// Nothing is to be done, nothing is to run.
    Nothing,
    /// Start this generation.
    Start(Generation),
    /// A switch was interrupted before it touched the state: [`Journal::give_up`], then recover again.
    GiveUp,
    /// A switch was interrupted after a person had decided that it stays: [`Journal::keep`], then recover again.
    Keep,
    /// A switch was interrupted after it may have touched the state: [`Journal::go_back`] with
    /// [`Journal::sent_back`], then recover again.
    GoBack,
    /// Bring back this state snapshot, then [`Journal::went_back`], then recover again.
    Restore {
        /// The snapshot.
        snapshot: String,
    },
}

/// A transition that the journal does not have from where it is: a mistake in the program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the online server is {phase}: it cannot {transition} now")]
pub struct Illegal {
    /// What was tried, as a verb phrase.
    pub transition: &'static str,
    /// Where the server stands.
    pub phase: &'static str,
}

type Result<T = ()> = std::result::Result<T, Illegal>;

impl Default for Journal {
    fn default() -> Journal {
        Journal { schema: SCHEMA, next: 1, phase: Phase::Offline, history: Vec::new(), held: Vec::new() }
    }
}

impl Journal {
    /// Begins to replace what is there. From: Offline, Running, Stopped.
    pub fn begin(&mut self, candidate: Candidate, intent: Intent, now: i64) -> Result {
        let before = match &self.phase {
            Phase::Offline => Before::Offline,
            Phase::Running { current } => Before::Running(current.clone()),
            Phase::Stopped { current } => Before::Stopped(current.clone()),
            _ => return self.illegal("begin a switch"),
        };
        let to = Generation { id: self.next, since: now, candidate };
        let snapshot = format!("before-{}", to.id);
        self.next += 1;
        self.phase = Phase::Switching { before, to, intent, snapshot, step: Step::Preparing, decision: None };
        Ok(())
    }

    /// The old generation is about to be stopped. From: Preparing.
    pub fn stopping(&mut self) -> Result {
        self.step("stop the old generation", Step::Preparing, Step::Stopping)
    }

    /// The state is about to be copied. From: Stopping.
    pub fn snapshotting(&mut self) -> Result {
        self.step("take a snapshot", Step::Stopping, Step::Snapshotting)
    }

    /// The snapshot is complete and the new generation is about to be started. From: Snapshotting.
    pub fn starting(&mut self) -> Result {
        self.step("start the new generation", Step::Snapshotting, Step::Starting)
    }

    /// The new generation is about to be judged. From: Starting.
    pub fn checking(&mut self) -> Result {
        self.step("judge the new generation", Step::Starting, Step::Checking)
    }

    fn step(&mut self, transition: &'static str, from: Step, to: Step) -> Result {
        match &mut self.phase {
            Phase::Switching { step, .. } if *step == from => {
                *step = to;
                Ok(())
            }
            _ => self.illegal(transition),
        }
    }

    /// A person has decided about the new generation; to be saved before anything follows from it. From: Checking.
    pub fn decide(&mut self, by: Decision) -> Result {
        match &mut self.phase {
            Phase::Switching { step: Step::Checking, decision, .. } => {
                *decision = Some(by);
                Ok(())
            }
            _ => self.illegal("decide about the new generation"),
        }
    }

    /// Why the revision is to be held, if a person has decided that the new generation goes back.
    pub fn sent_back(&self) -> Option<Held> {
        let Phase::Switching { to, intent: Intent::Switch, decision: Some(decision), .. } = &self.phase else {
            return None;
        };
        (!decision.keep).then(|| Held {
            revision: to.candidate.revision.clone(),
            image: to.candidate.image.clone(),
            check: None,
            detail: format!("sent back by {}", decision.by),
            at: decision.at,
            by: Some(decision.by.clone()),
        })
    }

    /// The new generation is good, or a person said that it stays. From: Checking.
    pub fn keep(&mut self) -> Result {
        let Phase::Switching { before, to, intent, snapshot, step: Step::Checking, .. } = &self.phase else {
            return self.illegal("keep the new generation");
        };
        let (current, intent) = (to.clone(), *intent);
        let old = before.generation().map(|g| Previous { generation: g.clone(), snapshot: snapshot.clone() });
        match intent {
            Intent::Switch => self.history.extend(old),
            // Going back twice goes back two steps, not to and fro.
            Intent::Rollback | Intent::RollbackWithState => {
                self.history.pop();
            }
        }
        let excess = self.history.len().saturating_sub(HISTORY);
        self.history.drain(..excess);
        self.held.retain(|h| h.revision != current.candidate.revision);
        self.phase = Phase::Running { current };
        Ok(())
    }

    /// The switch is off before anything touched the state. From: Preparing, Stopping, Snapshotting.
    pub fn give_up(&mut self) -> Result {
        match &self.phase {
            Phase::Switching { before, step: Step::Preparing | Step::Stopping | Step::Snapshotting, .. } => {
                self.phase = settled(before.clone());
                Ok(())
            }
            _ => self.illegal("give the switch up"),
        }
    }

    /// The new generation has failed or is not known to be good: image and state go back. From: Starting, Checking.
    ///
    /// `held` is why, if it is the revision's own fault.
    pub fn go_back(&mut self, held: Option<Held>) -> Result {
        let Phase::Switching { before, to, snapshot, step: Step::Starting | Step::Checking, .. } = &self.phase else {
            return self.illegal("go back");
        };
        self.phase = Phase::GoingBack { before: before.clone(), failed: to.clone(), snapshot: snapshot.clone() };
        if let Some(held) = held {
            self.held.retain(|h| h.revision != held.revision);
            self.held.push(held);
            let excess = self.held.len().saturating_sub(HELD);
            self.held.drain(..excess);
        }
        Ok(())
    }

    /// The state is what it was; what was there may be started. From: GoingBack.
    pub fn went_back(&mut self) -> Result {
        match &self.phase {
            Phase::GoingBack { before, .. } => {
                self.phase = settled(before.clone());
                Ok(())
            }
            _ => self.illegal("end going back"),
        }
    }

    /// Taken offline by request. From: Running.
    pub fn stop(&mut self) -> Result {
        match &self.phase {
            Phase::Running { current } => {
                self.phase = Phase::Stopped { current: current.clone() };
                Ok(())
            }
            _ => self.illegal("stop"),
        }
    }

    /// Brought online again by request. From: Stopped.
    pub fn start(&mut self) -> Result {
        match &self.phase {
            Phase::Stopped { current } => {
                self.phase = Phase::Running { current: current.clone() };
                Ok(())
            }
            _ => self.illegal("start"),
        }
    }

    /// What runs is also what another revision wants, to the last bit. From: Running.
    pub fn rename(&mut self, revision: &str) -> Result {
        match &mut self.phase {
            Phase::Running { current } => {
                current.candidate.revision = revision.to_owned();
                self.held.retain(|h| h.revision != revision);
                Ok(())
            }
            _ => self.illegal("take another revision's name"),
        }
    }

    /// What makes the server whole, given that nothing of it runs now. Each answer leads to a smaller one, so doing what
    /// it says until [`Recovery::Nothing`] or [`Recovery::Start`] ends; being interrupted meanwhile changes nothing.
    pub fn recovery(&self) -> Recovery {
        match &self.phase {
            Phase::Offline | Phase::Stopped { .. } => Recovery::Nothing,
            Phase::Running { current } => Recovery::Start(current.clone()),
            Phase::Switching { step, .. } if *step < Step::Starting => Recovery::GiveUp,
            Phase::Switching { step: Step::Checking, decision: Some(Decision { keep: true, .. }), .. } => {
                Recovery::Keep
            }
            Phase::Switching { .. } => Recovery::GoBack,
            Phase::GoingBack { snapshot, .. } => Recovery::Restore { snapshot: snapshot.clone() },
        }
    }

    /// The generation that is or should be online; during a switch the one to fall back to.
    pub fn current(&self) -> Option<&Generation> {
        match &self.phase {
            Phase::Offline | Phase::Stopped { .. } => None,
            Phase::Running { current } => Some(current),
            Phase::Switching { before, .. } | Phase::GoingBack { before, .. } => before.generation(),
        }
    }

    /// Whether something should be running once everything is settled.
    pub fn wants_running(&self) -> bool {
        !matches!(self.phase, Phase::Offline | Phase::Stopped { .. })
    }

    /// The pair that a rollback goes back to.
    pub fn previous(&self) -> Option<&Previous> {
        self.history.last()
    }

    /// Why a revision is held, if it is.
    pub fn held(&self, revision: &str) -> Option<&Held> {
        self.held.iter().find(|h| h.revision == revision)
    }

    /// Every generation that may have to be started again, now or by a rollback.
    pub fn generations(&self) -> Vec<&Generation> {
        let mut all: Vec<&Generation> = self.history.iter().map(|p| &p.generation).collect();
        match &self.phase {
            Phase::Offline => {}
            Phase::Running { current } | Phase::Stopped { current } => all.push(current),
            Phase::Switching { before, to, .. } | Phase::GoingBack { before, failed: to, .. } => {
                all.extend(before.generation());
                all.push(to);
            }
        }
        all
    }

    /// The state snapshots that recovery or a rollback may need.
    pub fn snapshots(&self) -> BTreeSet<String> {
        let mut all: BTreeSet<String> = self.history.iter().map(|p| p.snapshot.clone()).collect();
        if let Phase::Switching { snapshot, .. } | Phase::GoingBack { snapshot, .. } = &self.phase {
            all.insert(snapshot.clone());
        }
        all
    }

    /// Where the server stands, in one or two words.
    pub fn phase_name(&self) -> &'static str {
        match &self.phase {
            Phase::Offline => "offline",
            Phase::Running { .. } => "running",
            Phase::Stopped { .. } => "stopped",
            Phase::Switching { step, .. } => match step {
                Step::Preparing => "preparing a switch",
                Step::Stopping => "stopping the old generation",
                Step::Snapshotting => "taking a state snapshot",
                Step::Starting => "starting the new generation",
                Step::Checking => "judging the new generation",
            },
            Phase::GoingBack { .. } => "going back",
        }
    }

    fn illegal<T>(&self, transition: &'static str) -> Result<T> {
        Err(Illegal { transition, phase: self.phase_name() })
    }
}

fn settled(before: Before) -> Phase {
    match before {
        Before::Offline => Phase::Offline,
        Before::Running(current) => Phase::Running { current },
        Before::Stopped(current) => Phase::Stopped { current },
    }
}

#[cfg(test)]
pub(super) mod tests;
