//! What goes wrong with an archive, for a person: what, where, and what to do.

use std::path::PathBuf;

use regrow_host::FsError;
use regrow_host::program;

use crate::solve::Unsolvable;

/// Why an archive could not be used or a server not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The network or the server did not do its part, also after several tries.
    #[error("cannot fetch {url}: {reason}; check the network and the mirror in regrow.toml")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What happened, in words.
        reason: String,
    },
    /// The server does not have the file.
    #[error("{url} does not exist on the server; check the mirror, suites and components in regrow.toml")]
    NotFound {
        /// What was asked for.
        url: String,
    },
    /// A mirror address that we do not understand.
    #[error("the mirror `{mirror}` cannot be used: {reason}")]
    Mirror {
        /// As written in the fleet.
        mirror: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No key of the keyring has signed the suite's index.
    #[error("the signature of {url} is not good, so the index is refused: {reason}")]
    Signature {
        /// The signed file.
        url: String,
        /// What the verifier said.
        reason: String,
    },
    /// The keyring cannot be read.
    #[error("the keyring {} cannot be used: {reason}; install `debian-archive-keyring` or correct `keyring` in regrow.toml", path.display())]
    Keyring {
        /// Where it should be.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither sqv nor gpgv is there.
    #[error("nothing here can verify signatures; install the Debian package `sqv` (or `gpgv`)")]
    NoVerifier,
    /// The signed index is not the suite that was asked for.
    #[error("{url} is the index of {found}, not of `{asked}`, so it is refused; check `suites` in regrow.toml")]
    WrongSuite {
        /// The signed file.
        url: String,
        /// What regrow.toml asks for.
        asked: String,
        /// What the file says it is.
        found: String,
    },
    /// The index was valid once.
    #[error(
        "the index {url} has expired (it was valid until {until}), so it is refused; the mirror is out of date or this machine's clock is wrong"
    )]
    Expired {
        /// The signed file.
        url: String,
        /// The end of its validity.
        until: String,
    },
    /// The index comes from the future.
    #[error("the index {url} is dated {date}, in the future, so it is refused; this machine's clock is wrong")]
    FromTheFuture {
        /// The signed file.
        url: String,
        /// Its date.
        date: String,
    },
    /// A signed index that we cannot read or that lacks what was asked for.
    #[error("the index {url} cannot be used: {reason}")]
    Index {
        /// The file.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An index whose bytes are not those the signed Release vouches for.
    #[error("the index {url} is not what its signed Release vouches for ({reason}), so it is refused")]
    IndexDigest {
        /// The file.
        url: String,
        /// The difference.
        reason: String,
    },
    /// A package whose bytes are not those the index or the lock vouches for.
    #[error("the package {package} from {url} is not what the lock vouches for ({reason}), so it is refused")]
    PackageDigest {
        /// Its name.
        package: String,
        /// Where it came from.
        url: String,
        /// The difference.
        reason: String,
    },
    /// There is no verified index yet.
    #[error("there is no verified index of {suite} ({mirror}) yet; run `regrow lock` with the archive reachable")]
    NoIndex {
        /// The suite.
        suite: String,
        /// The mirror.
        mirror: String,
    },
    /// A package file that is none.
    #[error("the package file {} cannot be read: {reason}", path.display())]
    Deb {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A lock that names an archive which the fleet no longer has, or an impossible path.
    #[error("the lock cannot be used: {reason}; run `regrow lock` again")]
    Lock {
        /// What is wrong with it.
        reason: String,
    },
    /// The wanted packages cannot be installed together.
    #[error(transparent)]
    Unsolvable(#[from] Box<Unsolvable>),
    /// User or group ids ran out, or two explicit ones are equal.
    #[error("cannot give out user and group ids: {reason}")]
    Ids {
        /// What is wrong.
        reason: String,
    },
    /// The disk is full. Nothing is lost: the next run goes on where this one stopped.
    #[error("the disk with {} is full; free some space (`regrow gc` helps) and run the command again", path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },
    /// Somebody asked to stop.
    #[error("stopped on request; the next run goes on where this one stopped")]
    Cancelled,
    /// A file operation failed.
    #[error(transparent)]
    Fs(FsError),
    /// A program failed.
    #[error(transparent)]
    Program(#[from] program::Error),
}

impl From<FsError> for Error {
    fn from(e: FsError) -> Self {
        if e.is_disk_full() {
            Error::DiskFull { path: e.path }
        } else if e.source.kind() == std::io::ErrorKind::Interrupted && regrow_host::cancel::requested() {
            Error::Cancelled
        } else {
            Error::Fs(e)
        }
    }
}

impl Error {
    /// Whether the surroundings are at fault (network, disk, missing program), not the fleet's text.
    pub fn is_surroundings(&self) -> bool {
        !matches!(self, Error::Unsolvable(_) | Error::Mirror { .. } | Error::Lock { .. } | Error::Ids { .. })
    }
}

/// The result of working with an archive.
pub type Result<T> = std::result::Result<T, Error>;

/// A point in time as people write it, for messages.
pub(crate) fn show_time(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(t) => t.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => format!("{seconds} seconds after 1970"),
    }
}
