//! Changesets in git.
//!
//! The fleet is an ordinary git clone: people commit, branch, push and pull as ever. This crate reads revisions and
//! lands changesets through git's plumbing (the program `git`, 2.39 or newer), with nobody's hooks and nobody's
//! configuration in the way.
//!
//! * [`Repo`]: a fleet's repository. [`Repo::head`], [`Repo::resolve`], [`Repo::dirty`].
//! * [`Revision`]: the files of one commit, as [`regrow_config::Files`].
//! * [`Repo::land`]: one changeset by compare-and-swap. The work tree follows; hand edits are never lost. See [`land`].
//! * [`drafts`]: changes that are not history yet, each a commit of its own beside the branch.
//! * [`Repo::hooks`]: what else runs in the person's git.
//! * [`Repo::log`], [`Repo::show`], [`Repo::diff`]: what changed, when, by whom, why. [`Repo::changed`]: between any two states.
//! * [`Repo::add_notes`], [`Repo::merge_notes`]: lines about commits that travel with the history.
//! * [`Repo::fetch`], [`Repo::push`]: other clones.
//! * [`Index`]: all changesets in memory, for who asks often.
//! * [`Repo::versions`]: what files went through, fast.
//! * [`Repo::commit`], [`Repo::tree_changes`]: what a commit is and changed, without a git process of its own.
//!
//! A fleet may lie in a subdirectory of its repository; all paths here are relative to the fleet.

mod adopt;
mod compare;
pub mod drafts;
mod error;
mod git;
mod hooks;
mod identity;
mod import;
mod index;
pub mod land;
mod locks;
mod log;
mod notes;
mod refs;
mod remote;
mod repo;
mod revision;
mod stamp;
mod versions;
mod walk;

pub use compare::State;
pub use drafts::{DraftChange, DraftRef, is_draft_id};
pub use error::{Error, Result};
pub use hooks::Hook;
pub use index::Index;
pub use land::{Change, Landed, Landing};
pub use log::{Changeset, PathChange};
pub use notes::{NOTES, Notes, NotesMerged};
pub use refs::is_full_id;
pub use remote::{Pushed, There, Upstream};
pub use repo::{Head, Repo};
pub use revision::Revision;
pub use versions::Version;
pub use walk::{Blob, Commit, TreeChange};

#[cfg(test)]
mod tests;
