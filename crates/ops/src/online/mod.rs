//! The local online server: switch, rollback, and the supervisor that keeps it running.
//!
//! Each online server has one process of its own, the *supervisor* (`regrow supervise NAME`, started when needed). It
//! owns the machine, the published ports and the journal `online.json`; commands talk to it over a socket and may die
//! without changing what they asked for.
//!
//! From the pure to the real:
//! * [`journal`]: what is online and what was going on, as a value; which transitions there are; what a crash leaves to do.
//! * [`driver`]: the order of acts of a switch, a way back and a recovery, over any world.
//! * `site`: the real world: machine, ports, volumes, files. [`runner`]: what starts machines.
//! * [`supervisor`]: the process; [`control`]: its socket; `desk`: a person's word about what is being judged; [`launch`]: starting it, asking it, [`launch::recover`].
//! * the verbs: [`switch`], [`rollback`], [`stop`], [`start`], [`up`], [`status`], [`exec`], [`logs`], [`drift()`].
//!
//! What holds, whatever is killed whenever: after the next command exactly one of the old and the new generation runs, on
//! the state that belongs to it. Never none, never both. The tests of [`driver`] enumerate it, those of `supervisor` kill
//! real processes.

pub mod control;
mod desk;
mod drift;
pub mod driver;
pub mod journal;
pub mod launch;
mod look;
mod report;
pub mod runner;
mod site;
pub mod supervisor;
mod verbs;

pub use drift::{Class, DriftReport, Drifted, drift};
pub use journal::{Candidate, Decision, Held, Intent, Journal, Phase};
pub use launch::{recover, supervise};
pub use look::{
    Logs, Proof, RunningStatus, ServerStatus, StatusReport, WantedStatus, exec, images_in_use, inside, logs, run_in,
    status,
};
pub use report::SwitchReport;
pub use site::Health;
pub use site::read_journal;
pub use verbs::{PowerReport, decide, host_unit, rollback, start, stop, switch, up};
