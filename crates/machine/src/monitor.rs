//! The thread that listens to a machine: its console, and what its systemd says about itself.
//!
//! systemd as process 1 tells a container manager through `$NOTIFY_SOCKET` when it is done starting (`READY=1`) and
//! what it is doing (`STATUS=`). Both channels must be drained for as long as the machine lives: a full socket or
//! terminal would block process 1.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::console::{ConsoleLog, plain};

/// What is known of a machine's life.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// When systemd said that it is done starting.
    pub(crate) ready: Option<Instant>,
    /// Whether process 1 is gone.
    pub(crate) ended: bool,
    /// The newest thing systemd said it is doing.
    pub(crate) status: String,
}

/// Shared between the thread and the machine.
#[derive(Debug)]
pub(crate) struct Shared {
    life: Mutex<Life>,
    changed: Condvar,
    pub(crate) console: Mutex<ConsoleLog>,
}

impl Shared {
    pub(crate) fn new(console: ConsoleLog) -> Arc<Shared> {
        Arc::new(Shared { life: Mutex::default(), changed: Condvar::new(), console: Mutex::new(console) })
    }

    pub(crate) fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something changes, at most `limit`.
    pub(crate) fn wait_change(&self, limit: Duration) {
        let life = self.life();
        if life.ready.is_none() && !life.ended {
            let _ = self.changed.wait_timeout(life, limit);
        }
    }

    fn change(&self, f: impl FnOnce(&mut Life)) {
        f(&mut self.life());
        self.changed.notify_all();
    }
}

/// Runs until process 1 (behind `pidfd`) is gone and all it said was read.
pub(crate) fn listen(shared: &Shared, pidfd: &OwnedFd, console: OwnedFd, notify: &UnixDatagram) {
    let mut console = std::fs::File::from(console);
    let mut buffer = vec![0u8; 16 << 10];
    while let Some([ended, wrote, said]) = ready([pidfd.as_fd(), console.as_fd(), notify.as_fd()]) {
        if wrote && let Ok(n) = console.read(&mut buffer) {
            shared.console.lock().unwrap_or_else(PoisonError::into_inner).add(&buffer[..n]);
        }
        if said && let Ok(n) = notify.recv(&mut buffer) {
            hear(shared, &String::from_utf8_lossy(&buffer[..n]));
        }
        if ended && !wrote && !said {
            break;
        }
    }
    shared.change(|life| life.ended = true);
}

/// Waits for input; which of the three have some.
fn ready(fds: [BorrowedFd<'_>; 3]) -> Option<[bool; 3]> {
    let mut polled = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    loop {
        match poll(&mut polled, None) {
            Ok(_) => return Some(polled.each_ref().map(|p| p.revents().contains(PollFlags::IN))),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

/// Takes one message of systemd's notification protocol: lines of `KEY=value`.
fn hear(shared: &Shared, message: &str) {
    for line in message.lines() {
        match line.split_once('=') {
            Some(("READY", "1")) => shared.change(|life| {
                life.ready.get_or_insert_with(Instant::now);
            }),
            Some(("STATUS", status)) => shared.change(|life| status_of(life, status)),
            _ => {}
        }
    }
}

fn status_of(life: &mut Life, status: &str) {
    life.status = plain(status).chars().take(200).collect();
}
