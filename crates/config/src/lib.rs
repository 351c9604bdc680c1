//! The text of a fleet: model, schema, spans, diagnostics, byte patches, lock files, catalog.
//!
//! A fleet is a directory (or a git revision) of TOML files. This crate turns it into values and says what is wrong
//! with it, all mistakes at once; it never prints a document back. Start at [`load_fleet`]:
//!
//! ```text
//! Files (disk or revision) ──► syntax (spanned trees) ──► merge (roles under servers) ──► read (typed model)
//!                                                                                     └─► validate (cross references)
//! ```
//!
//! * [`model`]: the tables people write, one struct per table. The macro `table!` makes the reader, the list of known
//!   keys and the JSON schema from the same lines.
//! * [`diagnostic`], [`codes`]: what is said about a mistake.
//! * [`edit`]: changes to text as byte patches with a certificate.
//! * [`merge`]: three texts merged by key; conflicts are data.
//! * [`lock`]: the machine-written `lock.toml`.
//! * [`catalog`]: what is known about services, as data.
//! * [`objects`]: one server as forms need it: each value with its control, help, place and source.
//! * [`example`]: the fleet that `regrow init` writes.

pub mod catalog;
pub mod codes;
pub mod diagnostic;
pub mod edit;
pub mod example;
mod files;
mod keypath;
mod load;
pub mod lock;
pub mod merge;
pub mod model;
pub mod objects;
mod read;
pub mod schema;
mod validate;

pub use catalog::Catalog;
pub use diagnostic::{Diagnostic, Severity};
pub use files::{DiskFiles, Entry, Files, Kind, MAX_FILE, MemoryFiles, Source};
pub use keypath::{KeyPath, KeyPathError, quote_string as toml_string};
pub use load::{load_fleet, load_lock, load_role_names, load_server_names};
pub use lock::{LockFile, inputs_digest};
pub use model::{
    Archive, Archives, Check, CheckKind, Defaults, Engine, FileEntry, FileKind, Fleet, Group, Limits, Network, Origin,
    Package, Publish, Role, RootContent, RootFile, Server, Service, State, System, Timer, User,
};
pub use validate::packages::check_packages;
