//! The machine Regrow runs on.
//!
//! Everything that touches the host and is not Regrow's own business, in one place, so that every error names its path
//! or program and every write survives a power cut:
//!
//! * [`fs`]: files read and written with the path in the error; writes are temporary + fsync + rename.
//! * [`lock`]: advisory locks that the kernel releases when their holder dies, and scratch directories built on them.
//! * [`program`]: other programs run without a shell, in a fixed environment.
//! * [`progress`]: what long work tells whoever is looking.
//! * [`cancel`]: the wish to stop, from Ctrl-C or a page.
//! * [`words`]: how numbers are said.

pub mod cancel;
pub mod fs;
pub mod lock;
pub mod program;
pub mod progress;
pub mod words;

pub use fs::Error as FsError;
