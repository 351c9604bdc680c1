//! A file tree as a value; the content store; composefs images; garbage collection.
//!
//! The way of a root file system through this crate:
//!
//! ```text
//! directory on disk ──read_dir──►  Tree  ──commit──►  image (EROFS metadata, named by its digest)
//! overlay's upper ──apply_upper──►  │  ▲                │  └──mount──► composefs (read-only), id-mapped if wanted
//!                                   ▼  └─────load───────┘  └─checkout─► plain directory, where mounting is impossible
//!                                objects: file contents, each once, named by digest
//! ```
//!
//! * [`Tree`] is a plain value: names are bytes, entries are sorted, hard links are kept. No host path is in it.
//! * [`Store`] keeps contents, images, and the names given to images (layers, refs); its module says what survives a
//!   kill or a power cut, and why. [`Store::gc`] frees what nothing refers to.
//! * [`diff`] says how two trees differ.
//!
//! The layout of images is pinned: EROFS as composefs version 1 writes it, SHA-256 fs-verity digests ([`ImageId`]). A
//! test spells the digest of a fixed tree, so that a new version of a dependency cannot change it unseen.

mod diff;
mod error;
mod id;
mod store;
mod tree;
mod verity;

pub use diff::{Change, ChangeKind, diff};
pub use error::{Error, Result};
pub use id::{BadImageId, IMAGE_PREFIX, ImageId, ObjectId};
pub use store::{Freed, Hold, MountWay, Store, UpperMode, Verity};
pub use tree::{Content, Dir, Entry, Leaf, LeafId, LeafKind, Meta, Node, Tree, Walk};
