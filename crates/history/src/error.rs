//! Why git gave no answer.

use std::path::{Path, PathBuf};

use regrow_host::{FsError, program};

use crate::refs::is_full_id;

/// The result of an operation on the history.
pub type Result<T> = std::result::Result<T, Error>;

/// Why git gave no answer. [`Error::is_mistake`] tells the person's mistakes from the surroundings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory is in no repository.
    #[error("{} is in no git repository; make it one with `git init`, or make a fleet with `regrow init`", .0.display())]
    NoRepository(PathBuf),
    /// The repository belongs to somebody else and git was not told to trust it.
    #[error(
        "git does not trust {}, because it belongs to another user; if you do, say so with: git config --global --add safe.directory {}",
        .0.display(), .0.display()
    )]
    Untrusted(PathBuf),
    /// No such revision.
    #[error("there is no revision {0}; `regrow log` lists them, and branches, tags and HEAD~1 are good too")]
    NoRevision(String),
    /// There is no commit yet.
    #[error("there is no changeset yet; make the first one with: git add -A && git commit")]
    Unborn,
    /// No branch to land on.
    #[error(
        "HEAD is on no branch, so a changeset would be lost; go to one with: git switch BRANCH (or make one: git switch -c NAME)"
    )]
    Detached,
    /// A merge, rebase… is under way.
    #[error("a git {0} is under way; end it (git {0} --continue) or give it up (git {0} --abort) first")]
    UnderWay(&'static str),
    /// The branch moved since it was read.
    #[error("somebody else landed a changeset at the same moment, so this one was not landed; run the command again")]
    Moved,
    /// Edits would have been overwritten.
    #[error(
        "{path} has edits that this change would overwrite, so nothing was landed; commit or undo them first (git diff -- {path})"
    )]
    HandEdits {
        /// The file, relative to the fleet.
        path: String,
    },
    /// The index holds something else than HEAD.
    #[error(
        "{path} has staged edits, so nothing was landed; commit them or take them back first (git restore --staged -- {path})"
    )]
    Staged {
        /// The file, relative to the fleet.
        path: String,
    },
    /// No such draft.
    #[error("there is no draft {0}; it was landed or discarded meanwhile, or never was")]
    NoDraft(String),
    /// The draft moved since it was read.
    #[error("somebody else changed the draft {0} at the same moment; nothing was changed by this, try again")]
    DraftMoved(String),
    /// A file that no changeset can hold.
    #[error("{0} is no place for a file of the fleet")]
    BadPath(String),
    /// An object that this clone does not have.
    #[error(
        "this clone has not got {0}, which belongs to its history; if it is a shallow or partial clone, get the rest with: git fetch --unshallow"
    )]
    Missing(String),
    /// No such remote.
    #[error("this clone has no remote {0}; name one with: git remote add {0} ADDRESS")]
    NoRemote(String),
    /// Another clone gave no answer.
    #[error("{remote} did not answer: {said}")]
    Remote {
        /// The remote's name.
        remote: String,
        /// What git said.
        said: String,
    },
    /// Nothing would change.
    #[error("nothing would change")]
    Nothing,
    /// `git` is too old.
    #[error("git {found} is too old, 2.39 or newer is needed")]
    TooOld {
        /// What `git version` says.
        found: String,
    },
    /// Git said something unforeseen.
    #[error("git answered in an unforeseen way to `{0}`")]
    Answer(&'static str),
    /// Git failed or is missing.
    #[error(transparent)]
    Program(#[from] program::Error),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FsError),
}

impl Error {
    /// Why git has failed: a disk that is full or read-only, and objects that are not there, are told as such; everything
    /// else in git's words.
    pub(crate) fn of_git(program: &program::Program, output: &program::Output, dir: &Path) -> Error {
        let said = &output.stderr;
        let has = |words: &[&str]| words.iter().any(|w| said.contains(w));
        let kind = if has(&["No space left on device", "Out of diskspace", "Disk quota exceeded"]) {
            std::io::ErrorKind::StorageFull
        } else if has(&["Read-only file system"]) {
            std::io::ErrorKind::ReadOnlyFilesystem
        } else if has(&["Not a valid commit", "unable to read", "promisor remote", "bad object"]) {
            let lost = said.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| is_full_id(word));
            return Error::Missing(lost.unwrap_or("all of its files").to_owned());
        } else {
            return program.failed(output).into();
        };
        FsError::new("write into", dir, kind.into()).into()
    }

    /// Whether the person can mend it in the repository (else it is the surroundings).
    pub fn is_mistake(&self) -> bool {
        !matches!(
            self,
            Error::Program(_)
                | Error::File(_)
                | Error::TooOld { .. }
                | Error::Answer(_)
                | Error::Missing(_)
                | Error::Remote { .. }
        )
    }
}
