//! What a person can ask for, end to end: one function per verb, called by the program and by the pages.
//!
//! Every verb takes a [`Context`] (which fleet, which home, who asks, who looks on) and returns a report: a
//! serialisable struct, which is the `--json` of the command line. A report may say no ([`Answer::is_yes`]): a failed
//! trial is an answer, not an error.
//!
//! * [`context`]: what every verb needs, and the first sweep after a crash.
//! * [`home`]: who owns which directory in `REGROW_HOME`.
//! * [`error`]: why a verb gave no answer, with its exit code.
//! * [`wanted`]: the text of one revision (or of the work tree), read and judged.
//! * [`database`], [`evidence`], [`jobs`], [`acts`]: what was done, by whom, and what it proved. Can be deleted without
//!   harm to any server.
//! * [`remote`]: other clones: pull and push.
//! * [`undo`]: how each act is taken back.
//! * [`accounts`]: who may, where the pages can be reached by others.
//! * [`compare`]: what differs between two texts, in words, effects, keys and text.
//! * [`hunt`]: which changeset broke a check, found by booting.
//! * [`online`]: the local online server: switch, rollback, supervisor.
//! * [`remember`]: what a program that answers many questions keeps.
//! * [`drafts`]: changes that are not history yet, and how they become it.
//! * [`moves`]: changesets taken back and carried over, as steps of a draft.
//! * [`objects`]: one server as a page shows it.
//! * the other modules are one verb each.

pub mod accounts;
pub mod acts;
pub mod add;
pub mod background;
pub mod build;
mod cache;
pub mod changes;
pub mod check;
pub mod compare;
pub mod context;
pub mod database;
pub mod doctor;
pub mod drafts;
pub mod edit;
pub mod error;
pub mod evidence;
pub mod gc;
pub mod home;
pub mod hooks;
pub mod hunt;
pub mod images;
pub mod init;
pub mod jobs;
pub mod lock;
pub mod merge_driver;
pub mod moves;
pub mod objects;
pub mod online;
pub mod remember;
pub mod remote;
pub mod trial;
pub mod undo;
pub mod wanted;
pub mod why;

#[cfg(test)]
mod testing;

pub use add::search;
pub use build::build;
pub use changes::{diff, log, show};
pub use check::check;
pub use context::{Clock, Context};
pub use doctor::doctor;
pub use edit::{set, unset};
pub use error::{Diagnosed, Error, Result};
pub use evidence::{Evidence, Kind, Verdict};
pub use gc::gc;
pub use init::init;
pub use lock::lock;
pub use moves::{pick, revert};
pub use trial::trial;

/// A report's yes or no: exit status 0 or 1.
pub trait Answer: serde::Serialize {
    /// Whether the answer is yes.
    fn is_yes(&self) -> bool {
        true
    }
}

impl Answer for serde_json::Value {}
