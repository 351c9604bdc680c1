//! A signed Debian archive: fetch, verify, index; choose versions and write the lock.
//!
//! The only crate that opens connections to the outside. What comes from there is believed only so far as a key of the
//! keyring vouches for it, and everything fails closed:
//!
//! ```text
//! keyring ──signs──► Release ──SHA-256──► Packages ──► compiled index ──► resolution ──► lock ──SHA-256──► .deb
//!         (signature)       (suite)              (index)          (solve)         (lock)          (debs)
//! ```
//!
//! * [`Archive`] is the way in: [`Archive::refresh`], [`Archive::lock`], [`Archive::fetch`], [`Archive::package_names`].
//! * `signature`, `release`, `suite`: verified indexes, kept under `archive/indexes/`.
//! * `index`: the compiled form of a suite's packages; `universe`: all suites together.
//! * `solve`: which versions, by resolvo, with apt's preferences; explained in words if there is no answer.
//! * `download`, `debs`: packages into the content-addressed store under `archive/debs/`.
//! * `search`: packages by name and description, for people.
//! * `repack`: the same packages in a form that a build reads fast.
//! * `deb`, `accounts`: what a package file says about the users and groups it will make.
//! * `sources`: what the machine's own apt is set up with, for `init`.

mod accounts;
mod archive;
mod deb;
mod debs;
mod digest;
mod download;
mod error;
mod ids;
mod index;
mod locking;
mod names;
mod relation;
mod release;
mod repack;
mod search;
mod signature;
mod solve;
mod sources;
mod suite;
mod transport;
mod universe;
mod version;

pub use archive::{Archive, Refreshed, SuiteNews};
pub use error::{Error, Result};
pub use locking::Changes;
pub use names::NameIndex;
pub use search::Found;
pub use solve::{Choice, Request, Resolution, Unsolvable, Wanted};
pub use sources::{HostArchive, host_sources, host_sources_in};
pub use suite::News;
