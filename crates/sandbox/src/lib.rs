//! Namespaces, id-mapped mounts, seccomp and cgroups; the only crate with unsafe code.
//!
//! A *sandbox* is a process tree that sees a root directory of its own and nothing of the host: builds run their
//! package scripts in one, and an offline or online server boots its systemd in one. Root inside is an
//! unprivileged id outside, from the first instruction of foreign code on.
//!
//! * [`UserNs`]: a user namespace kept as a file descriptor, and [`id_mapped_clone`]: a directory seen through it.
//! * [`Spec`] and [`spawn`]: what a sandbox is made of, and starting one. [`run`] also feeds output to a callback.
//! * [`Child`]: the first process inside; it dies with us, and everything inside dies with it.
//! * [`exec_in`]: one more process inside a running sandbox; [`in_network_of`]: our own code in its network.
//! * [`Cgroup`]: a named group of processes that can be limited, waited for and killed as one.
//! * [`probe`]: what this kernel and host allow, in words.
//!
//! # How one starts
//! ```text
//! caller     opens every source, clones mounts with their ids mapped     (privileged, ordinary errors)
//! └ stage 1  own cgroup, mount namespace; attaches root and writable directory; enters the user namespace,
//!            becomes root inside; network, host name, IPC, cgroup and PID namespaces
//!   └ init   mounts overlay, /proc, /sys, /dev, /run, /tmp, binds; pivots; seccomp; exec
//! ```
//! Stage 1 makes `init` a child of the caller (`CLONE_PARENT`) and ends. `init` asks the kernel to be killed when the
//! caller dies and then waits for one byte from it, so a caller that died in between leaves nothing. As `init` is
//! process 1 of its PID namespace, its death is the death of all inside.
//!
//! # fork in a program with threads
//! The children run Rust code between `fork` and `exec`. That is sound here because they allocate only through glibc,
//! whose `fork` leaves the allocator usable in the child, and touch no lock of this program: no standard streams,
//! no environment, no thread-locals with destructors. Panics end the child.

#![allow(unsafe_code)]

mod cgroup;
mod child;
mod error;
mod exec;
mod init;
mod inside;
mod netns;
mod probe;
mod pty;
mod run;
mod seccomp;
mod spawn;
mod spawner;
mod spec;
mod sys;
mod userns;

pub use cgroup::{Cgroup, Limits, Unlimited, sweep};
pub use child::{Child, Exit, poweroff_signal, process, signal_process};
pub use error::{Error, Result};
pub use exec::{Exec, exec_in};
pub use netns::{in_network_of, open_inside};
pub use probe::{Capabilities, Capability, probe};
pub use pty::Pty;
pub use run::{Ended, Output, collect, run};
pub use seccomp::Profile;
pub use spawn::spawn;
pub use spec::{Entry, Io, Mount, Root, Source, Spec, Stream, build_environment};
pub use userns::{UserNs, id_mapped_clone, read_only_clone};
