//! What can go wrong with trees, the store and images.

use std::io;
use std::path::PathBuf;

use regrow_host::FsError;

use crate::id::{ImageId, ObjectId};

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a tree, the store or an image failed. The message is for a person; causes are in `source`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation on the host failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A path inside a tree that cannot be used.
    #[error("`{path}` cannot be used as a path in an image: {why}")]
    BadPath {
        /// The path, lossily decoded.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Something in a tree is not what the operation needs.
    #[error("`{path}` in the image {why}")]
    Tree {
        /// The path, lossily decoded.
        path: String,
        /// "is a directory", "does not exist", …
        why: &'static str,
    },
    /// An image is not (or no longer) in the store.
    #[error("the image {0} is not in the store; build it again")]
    NoSuchImage(ImageId),
    /// Content that a tree refers to is not in the store.
    #[error("the object {0} is not in the store; the files it belonged to must be built again")]
    MissingObject(ObjectId),
    /// Bytes on disk are not what their name says.
    #[error("{} is damaged: {why}; remove it and build again", path.display())]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// What was seen.
        why: String,
    },
    /// A tree cannot be expressed as an image.
    #[error("this tree cannot be made an image: {0}")]
    Unrepresentable(String),
    /// An upper directory of an overlay holds something that plain overlays do not write.
    #[error("cannot read {} as the upper directory of a plain overlay: {why}", path.display())]
    Upper {
        /// The entry in question.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// A name for a layer or a ref that cannot be used.
    #[error(
        "`{0}` cannot be used as a name in the store; use 1 to 200 letters, digits, `-`, `_`, `.`, `+`, `:` or `@`, not starting with a dot"
    )]
    BadName(String),
    /// Garbage collection needs the store for itself.
    #[error("the store {} is in use by {holders}; try again when that has ended", path.display())]
    InUse {
        /// The store.
        path: PathBuf,
        /// Who uses it, in words.
        holders: String,
    },
    /// The kernel refused a step of mounting an image.
    #[error("cannot mount the image: {step} failed{}", kernel.as_deref().map(|k| format!(" ({k})")).unwrap_or_default())]
    Mount {
        /// The step, in words.
        step: &'static str,
        /// What the kernel wrote about it.
        kernel: Option<String>,
        /// The error number.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Whether the disk (or a quota) is full: nothing was published, and the same call works once there is room.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Error::Fs(e) if e.is_disk_full())
    }

    /// Whether this machine cannot mount images at all (not root, old kernel), so that [`crate::Store::checkout`] is
    /// the way out.
    pub fn is_mount_unsupported(&self) -> bool {
        matches!(self, Error::Mount { .. })
    }

    pub(crate) fn bad_path(path: &[u8], why: &'static str) -> Error {
        Error::BadPath { path: String::from_utf8_lossy(path).into_owned(), why }
    }

    pub(crate) fn tree(path: &[u8], why: &'static str) -> Error {
        Error::Tree { path: String::from_utf8_lossy(path).into_owned(), why }
    }
}
