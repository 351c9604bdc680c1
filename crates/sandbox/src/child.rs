//! A running process of a sandbox, as its parent sees it.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};

use crate::error::{Error, Result, hint, step};
use crate::pty::Pty;
use crate::sys;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Whether it ended with status 0.
    pub fn success(self) -> bool {
        self == Exit::Code(0)
    }

    /// The status a shell would report: the code, or 128 + the signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128 + signal,
        }
    }

    fn from_wait(status: i32) -> Exit {
        if libc::WIFSIGNALED(status) {
            Exit::Signal(libc::WTERMSIG(status))
        } else {
            Exit::Code(libc::WEXITSTATUS(status))
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit status {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// The first process of a sandbox ([`crate::spawn`]) or one more inside ([`crate::exec_in`]). Dropping it kills it
/// and waits; for the first process that ends all inside.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    pidfd: OwnedFd,
    /// Where the reaper reports how the program ended.
    exit: Option<File>,
    ended: Option<Exit>,
    /// Our end, if standard input is a pipe.
    pub stdin: Option<File>,
    /// Our end, if standard output is a pipe.
    pub stdout: Option<File>,
    /// Our end, if standard error is a pipe.
    pub stderr: Option<File>,
    /// The master of the terminal, if the program has one.
    pub terminal: Option<File>,
    /// The terminal behind /dev/console, if there is one. Somebody must read it, or the inside blocks when it is full.
    pub console: Option<Pty>,
}

impl Child {
    /// The process id on the host. May be another process's once the child was waited for; [`Child::pidfd`] never is.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The process; readable once it ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits for the end, at most `timeout` (`None`: for ever); `Ok(None)` if it still runs.
    ///
    /// # Errors
    /// If somebody else waited for it: nobody may.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<Exit>> {
        if self.ended.is_some() {
            return Ok(self.ended);
        }
        let deadline = timeout.map(|t| Instant::now() + t);
        let ready = sys::wait_readable(&[self.pidfd.as_fd()], deadline).map_err(step("wait for a process"))?;
        if !ready[0] {
            return Ok(None);
        }
        let status = rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED)
            .map_err(step("wait for a process"))?;
        let mut exit =
            match status.and_then(|s| s.exit_status().map(Exit::Code).or(s.terminating_signal().map(Exit::Signal))) {
                Some(exit) => exit,
                None => return Ok(None),
            };
        // A reaper that was killed reported nothing: then its own end is the answer.
        let mut status = [0u8; 4];
        if self.exit.take().is_some_and(|mut file| file.read_exact(&mut status).is_ok()) {
            exit = Exit::from_wait(i32::from_ne_bytes(status));
        }
        self.ended = Some(exit);
        Ok(self.ended)
    }

    /// Sends a signal by number; one that ended already is no error.
    ///
    /// # Errors
    /// If the number is no signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        signal_process(self.pidfd(), signal)
    }

    /// Kills it (for the first process: all inside) and waits for the end.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn kill(&mut self) -> Result<Exit> {
        loop {
            if let Some(exit) = self.ended {
                return Ok(exit);
            }
            self.signal(libc::SIGKILL)?;
            self.wait(None)?;
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Sends a signal (any number, real-time ones too) to the process behind `pidfd`.
pub fn signal_process(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    match sys::pidfd_send_signal(pidfd, signal) {
        Err(e) if e.raw_os_error() != Some(libc::ESRCH) => Err(step("send a signal")(e)),
        _ => Ok(()),
    }
}

/// What a starting child tells its parent; ends at `exec` because the descriptor is close-on-exec.
pub(crate) mod report {
    use std::os::fd::BorrowedFd;

    pub(crate) const PID: u8 = b'P';
    pub(crate) const FAULT: u8 = b'F';

    /// A step that failed in a child.
    #[derive(Debug)]
    pub(crate) struct Fault {
        pub(crate) doing: String,
        pub(crate) errno: i32,
    }

    /// Wraps an error of a step in a child.
    pub(crate) fn fault<E: Into<std::io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Fault {
        move |e| Fault { doing: doing.into(), errno: e.into().raw_os_error().unwrap_or(libc::EIO) }
    }

    /// Writes one message; small enough to be atomic on a pipe.
    pub(crate) fn send(to: BorrowedFd<'_>, kind: u8, number: i32, words: &str) {
        let words = &words.as_bytes()[..words.len().min(2000)];
        let mut message = vec![kind];
        message.extend(number.to_ne_bytes());
        message.extend((words.len() as u16).to_ne_bytes());
        message.extend(words);
        let _ = rustix::io::write(to, &message);
    }

    /// Reads one message; `None` at the end.
    pub(crate) fn receive(from: &mut impl std::io::Read) -> Option<(u8, i32, String)> {
        let mut head = [0u8; 7];
        from.read_exact(&mut head).ok()?;
        let [kind, a, b, c, d, e, f] = head;
        let mut words = vec![0; usize::from(u16::from_ne_bytes([e, f]))];
        from.read_exact(&mut words).ok()?;
        Some((kind, i32::from_ne_bytes([a, b, c, d]), String::from_utf8_lossy(&words).into_owned()))
    }
}

/// The parent's side of starting: `stage1` is the forked helper, `report` what it and the final process say, `go` lets
/// the final process run.
pub(crate) struct Starting {
    pub(crate) stage1: i32,
    pub(crate) report: File,
    pub(crate) go: File,
    pub(crate) exit: Option<File>,
    pub(crate) what: String,
}

impl Starting {
    /// Waits until the program runs, or says why it does not.
    pub(crate) fn finish(mut self) -> Result<Child> {
        let mut child: Option<Child> = None;
        let mut fault: Option<Error> = None;
        while let Some((kind, number, words)) = report::receive(&mut self.report) {
            match kind {
                report::PID => match adopt(number, self.exit.take()) {
                    Ok(adopted) => {
                        child = Some(adopted);
                        let _ = std::io::Write::write_all(&mut self.go, b"g");
                    }
                    Err(e) => fault = Some(e),
                },
                _ => {
                    let source = std::io::Error::from_raw_os_error(number);
                    fault.get_or_insert(Error::Step { hint: hint(&words, number), doing: words, source });
                }
            }
        }
        // Without the byte the final process ends; stage 1 has no reason to live on.
        drop(self.go);
        let _ = rustix::process::waitpid(Pid::from_raw(self.stage1), rustix::process::WaitOptions::empty());
        match (child, fault) {
            (Some(child), None) => Ok(child),
            (_, Some(fault)) => Err(fault),
            (None, None) => Err(Error::Vanished { what: self.what }),
        }
    }
}

/// Takes hold of our child `pid`, which cannot have been waited for yet.
fn adopt(pid: i32, exit: Option<File>) -> Result<Child> {
    let raw = Pid::from_raw(pid).ok_or_else(|| Error::Invalid("a child without a process id".to_owned()))?;
    let pidfd = rustix::process::pidfd_open(raw, PidfdFlags::empty()).map_err(step("open a process"))?;
    Ok(Child { pid, pidfd, exit, ended: None, stdin: None, stdout: None, stderr: None, terminal: None, console: None })
}

/// A handle of a process of this host by its id, for [`crate::exec_in`] and [`crate::in_network_of`].
///
/// # Errors
/// If there is no such process.
pub fn process(pid: i32) -> Result<OwnedFd> {
    let raw = Pid::from_raw(pid).ok_or_else(|| Error::Invalid(format!("{pid} is no process id")))?;
    rustix::process::pidfd_open(raw, PidfdFlags::empty()).map_err(step(format!("find process {pid}")))
}

/// The signal that systemd as process 1 takes as "halt, all in order" (`SIGRTMIN+3`).
pub fn poweroff_signal() -> i32 {
    libc::SIGRTMIN() + 3
}
