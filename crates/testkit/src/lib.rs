//! For tests: a tiny signed Debian archive, and a loopback file server that can misbehave.
//!
//! ```no_run
//! use regrow_testkit::{FileServer, PackageSpec, TestArchive};
//! let dir = std::path::Path::new("/tmp/example");
//! let mut archive = TestArchive::new(dir);
//! archive.add("trixie", PackageSpec::new("hello", "1.0").file("/usr/bin/hello", b"#!/bin/sh\n", 0o755));
//! archive.publish();
//! let server = FileServer::start(dir);
//! println!("mirror {} keyring {}", server.url(), archive.keyring().display());
//! ```
//! Everything panics on failure: a test that cannot be set up has failed.

mod archive;
mod deb;
mod openpgp;
mod server;

pub use archive::{SuiteSpec, TestArchive};
pub use deb::PackageSpec;
pub use openpgp::Key;
pub use server::{Fault, FileServer, Request};
