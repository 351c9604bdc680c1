//! Declared data that outlives images: volumes, seeding, snapshots at rest.
//!
//! A server's text names the paths whose content is *state*; everything else comes from its image and is thrown away at
//! the next switch. State lies beside the server, one directory per path, with the owners as the server sees them
//! (ids unshifted):
//!
//! ```text
//! servers/<server>/
//!   state/<volume>/<path>/          the live data, mounted over <path> inside; the name is the path, escaped
//!   state/<volume>/<path>.seeded    says that this directory was filled once, and from which image
//!   snapshots/<id>/snapshot.json    what the snapshot is; a snapshot without it does not exist
//!   snapshots/<id>/state/…          the same tree as state/
//!   replaced/<n>/…                  what a restore took out of place; the last ones are kept
//! ```
//!
//! Rules:
//!
//! * A volume is filled **once**, from the image's content at its path, in a temporary directory that is renamed into
//!   place. What the server later deletes stays deleted. A directory that was filled and has vanished is an error, not a
//!   reason to start empty.
//! * A snapshot copies all volumes while the server is stopped, and appears by one rename.
//! * A restore builds the whole tree beside `state/` and exchanges the two in one system call: interrupted at any point
//!   the server has all of the old data or all of the new.
//! * Whoever calls holds the server's lock; names beginning with `.` in these directories are leftovers of an interrupted
//!   call and are cleaned up by the next one.
//! * The directories are closed to everybody but root (0700): a server could otherwise leave a set-user-id program where
//!   the host's users can run it.

mod copy;
mod name;
mod snapshot;
mod volume;

pub use name::{check_id, path_to_name};
pub use snapshot::{Note, Pruned, Snapshot, Volume as SnapshotVolume};
pub use volume::{Declared, IDENTITY_PATH, IDENTITY_VOLUME, Mount, Prepared, State, declared};

/// Why state could not be prepared, captured or brought back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] regrow_host::FsError),
    /// A name that cannot be a directory's name.
    #[error("{what} `{name}` cannot be used as a name: {why}")]
    Name {
        /// What it names: "the volume", "the snapshot".
        what: &'static str,
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A state path that is not absolute, or has `.`, `..` or empty parts.
    #[error("the state path `{path}` of `{volume}` is not usable: {why}")]
    Path {
        /// The volume.
        volume: String,
        /// The path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two state paths of which one contains the other.
    #[error("the state path `{inner}` lies in `{outer}`, which is state already; remove one of them")]
    Overlap {
        /// The containing path.
        outer: String,
        /// The contained path.
        inner: String,
    },
    /// The image has something other than a directory at a state path.
    #[error(
        "the state path `{path}` of `{volume}` is {found} in the image; state is kept per directory, so name {instead}"
    )]
    NotADirectory {
        /// The volume.
        volume: String,
        /// The path.
        path: String,
        /// What is there: "a file", "a symbolic link to …".
        found: String,
        /// What to name instead.
        instead: String,
    },
    /// A volume that was filled once is no longer there.
    #[error(
        "the data of the volume `{volume}` ({path}) should be at {} and is not there; restore it, or remove {} to start with the image's content again",
        directory.display(), marker.display()
    )]
    Lost {
        /// The volume.
        volume: String,
        /// The path inside.
        path: String,
        /// Where the data should be.
        directory: std::path::PathBuf,
        /// The file that says it was there.
        marker: std::path::PathBuf,
    },
    /// No snapshot of that name.
    #[error("there is no state snapshot `{id}`")]
    NoSnapshot {
        /// The name asked for.
        id: String,
    },
    /// A snapshot of that name is there already.
    #[error("there is already a state snapshot `{id}`")]
    SnapshotExists {
        /// The name.
        id: String,
    },
    /// A snapshot's description cannot be read.
    #[error("the state snapshot's description {} is not readable", path.display())]
    Description {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// The result of a state operation.
pub type Result<T> = std::result::Result<T, Error>;
