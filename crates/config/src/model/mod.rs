//! The tables people write, as values. Every mistake in them has been reported by the time one is seen here, but a
//! [`Fleet`] may hold defaults where the text was wrong: use it only when no diagnostic is an error.

mod check;
mod file;
mod fleet;
mod server;

pub use check::{Check, CheckKind, CheckText};
pub use file::{FileEntry, FileKind, FileText};
pub use fleet::{Archive, Archives, Defaults, Fleet, FleetText, Role};
pub use server::{
    Engine, Group, Limits, Network, Origin, Package, PackageText, Publish, RootContent, RootFile, Server, ServerText,
    Service, State, System, Timer, User,
};
