//! Pseudo-terminals for consoles and interactive commands.

use std::os::fd::OwnedFd;

use rustix::fs::OFlags;
use rustix::pty::OpenptFlags;

use crate::error::{Result, step};
use crate::userns::UserNs;

const FLAGS: OpenptFlags = OpenptFlags::RDWR.union(OpenptFlags::NOCTTY).union(OpenptFlags::CLOEXEC);

/// A terminal: whoever holds the master sees what is written to the other end, and types.
#[derive(Debug)]
pub struct Pty {
    pub(crate) master: OwnedFd,
    pub(crate) slave: OwnedFd,
}

impl Pty {
    /// A new one of the host's, owned by root and group `tty` (5) of the sandbox.
    ///
    /// # Errors
    /// If the host has no devpts or no terminals left.
    pub fn new(userns: &UserNs) -> Result<Pty> {
        let master = rustix::pty::openpt(FLAGS).map_err(step("open a pseudo-terminal"))?;
        Self::of(master, userns.base())
    }

    /// A new one of the sandbox's own, where the process `pid` sees it: programs inside find it in their /dev/pts.
    ///
    /// # Errors
    /// If the process is gone or its sandbox has no /dev/pts.
    pub fn inside(pid: i32) -> Result<Pty> {
        let base = UserNs::base_of(pid)?;
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let master = crate::netns::open_in_root(pid, "/dev/pts/ptmx", flags).map_err(step("open a pseudo-terminal"))?;
        Self::of(master, base)
    }

    fn of(master: OwnedFd, base: u32) -> Result<Pty> {
        rustix::pty::unlockpt(&master).map_err(step("unlock a pseudo-terminal"))?;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, FLAGS).map_err(step("open a pseudo-terminal"))?;
        let (owner, group) = (base, base.saturating_add(5));
        std::os::unix::fs::fchown(&slave, Some(owner), Some(group)).map_err(step("own a pseudo-terminal"))?;
        rustix::fs::fchmod(&slave, rustix::fs::Mode::from_raw_mode(0o620)).map_err(step("own a pseudo-terminal"))?;
        Ok(Pty { master, slave })
    }

    /// Tells programs how large the window is.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        resize(&self.master, rows, columns)
    }

    /// A second handle of the master side.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn master(&self) -> Result<OwnedFd> {
        crate::userns::duplicate(std::os::fd::AsFd::as_fd(&self.master))
    }
}

/// Sets the window size of the terminal whose master is `master`.
fn resize(master: &OwnedFd, rows: u16, columns: u16) -> Result<()> {
    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(master, size).map_err(step("resize the terminal"))
}
