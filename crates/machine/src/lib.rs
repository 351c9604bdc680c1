//! A running server from an image: start, stop, exec, checks, published ports.
//!
//! A *machine* is a sandbox ([`regrow_sandbox`]) whose process 1 is the image's systemd: a read-only image, a writable
//! directory over it, state volumes, loopback and nothing else of a network. The same code runs offline trials and
//! online servers.
//!
//! * [`start`] boots one; [`Machine::wait_running`] waits for the word of systemd, not for time to pass.
//! * [`Inside`] is a running machine as any process of the host can use it: run programs, read the journal, list
//!   failed units, judge it by [checks](Inside::run_checks).
//! * [`Machine::stop`] shuts it down in order; dropping it kills it. Either way nothing is left but the files in its run
//!   directory, which belong to the caller.
//! * [`proxy`] joins published ports of the host to ports inside.
//!
//! The machine dies with the process that started it, also by kill -9. What that leaves (an empty control group) is
//! swept by [`regrow_sandbox::sweep`].

mod checks;
mod console;
mod error;
mod http;
mod inside;
mod monitor;
pub mod proxy;
mod start;
mod terminal;

pub use checks::{Always, CheckResult, announce};
pub use console::plain;
pub use error::{Error, Result};
pub use inside::{Captured, FailedUnit, Inside};
pub use start::{Lower, Machine, Start, Stopped, Volume, start};
pub use terminal::interactive;
