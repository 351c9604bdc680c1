//! Our own code in a sandbox's network, and looking at its files.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use crate::error::{Result, step};
use crate::sys;

/// Runs `f` on a thread of its own in the network namespace of the process behind `pidfd`, and waits for it. Sockets
/// made by `f` stay in that network and may be used from anywhere afterwards.
///
/// # Errors
/// If the process is gone.
pub fn in_network_of<T: Send>(pidfd: BorrowedFd<'_>, f: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("regrow-network".to_owned())
            .spawn_scoped(scope, || sys::setns(pidfd, libc::CLONE_NEWNET).map(|()| f()))
            .map_err(step("start a thread"))?;
        match thread.join() {
            Ok(result) => result.map_err(step("enter the sandbox's network")),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Opens `path` as the process `pid` sees it, for reading, following symbolic links inside its root and never out of
/// it. Does not block on FIFOs and never opens a terminal as ours.
///
/// # Errors
/// If the process or the file is gone, or cannot be read.
pub fn open_inside(pid: i32, path: &str) -> std::io::Result<std::fs::File> {
    Ok(open_in_root(pid, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?.into())
}

/// Opens `path` with the root of the process `pid` as `/`.
pub(crate) fn open_in_root(pid: i32, path: &str, flags: OFlags) -> std::io::Result<OwnedFd> {
    let root = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, format!("/proc/{pid}/root"), root, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(&root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}
