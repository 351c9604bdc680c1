//! A running machine, for whoever knows its first process: run programs in it and ask its systemd.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use regrow_sandbox::{Cgroup, Child, Ended, Exec, Exit, Io, Output, Profile, Pty, Stream, exec_in};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::console::plain;
use crate::error::{Error, Result, io};

/// Most bytes kept of each stream of a program run by [`Inside::capture`].
const CAPTURE_LIMIT: usize = 1 << 20;
/// How long our own questions to systemd may take.
const QUESTION: Duration = Duration::from_secs(20);
/// Journal lines that a failed unit brings along.
const JOURNAL_LINES: usize = 20;

/// A running machine. Ends of the machine show as errors of the calls.
#[derive(Debug)]
pub struct Inside {
    pid: i32,
    pidfd: OwnedFd,
    cgroup: Cgroup,
}

/// What a program inside wrote, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// How it ended.
    pub exit: Exit,
    /// Standard output, at most 1 MiB.
    pub stdout: Vec<u8>,
    /// Standard error as plain text, at most 1 MiB.
    pub stderr: String,
}

/// A unit that failed, and what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedUnit {
    /// Its name.
    pub unit: String,
    /// Its newest journal lines.
    pub journal: String,
}

impl Inside {
    /// The machine of a child of this process.
    pub(crate) fn of(child: &Child, cgroup: Cgroup) -> Result<Inside> {
        let pidfd = child.pidfd().try_clone_to_owned().map_err(io("duplicate a file descriptor"))?;
        Ok(Inside { pid: child.pid(), pidfd, cgroup })
    }

    /// The machine whose first process is `pid` and whose control group is `cgroup`, started by whomever. `None` if it
    /// does not run (any more): the process must be in that group.
    ///
    /// # Errors
    /// If the host's control groups cannot be read.
    pub fn find(pid: i32, cgroup: &str) -> Result<Option<Inside>> {
        let Some(cgroup) = Cgroup::open(cgroup)? else { return Ok(None) };
        let Ok(pidfd) = regrow_sandbox::process(pid) else { return Ok(None) };
        // Asked after the process was opened: an id that was given to another process since is seen here.
        Ok(cgroup.contains(pid)?.then_some(Inside { pid, pidfd, cgroup }))
    }

    /// Another handle of the same machine.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn try_clone(&self) -> Result<Inside> {
        Ok(Inside { pid: self.pid, pidfd: self.pidfd()?, cgroup: self.cgroup.clone() })
    }

    /// The process id of its init on the host.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its first process.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// A handle of its first process to keep.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn pidfd(&self) -> Result<OwnedFd> {
        self.pidfd.try_clone().map_err(io("duplicate a file descriptor"))
    }

    /// Whether its first process is still there.
    pub fn is_alive(&self) -> bool {
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        !matches!(poll(&mut ended, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1))
    }

    /// Its control group.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Starts a program as root inside, with these streams.
    ///
    /// # Errors
    /// If the machine is gone or has no such program.
    pub fn exec(&self, argv: &[impl Into<OsString> + Clone], io: Io) -> Result<Child> {
        self.exec_with(argv, io, &[])
    }

    /// [`Inside::exec`] with further environment variables.
    pub(crate) fn exec_with(
        &self,
        argv: &[impl Into<OsString> + Clone],
        io: Io,
        env: &[(&str, OsString)],
    ) -> Result<Child> {
        let mut all = environment();
        all.extend(env.iter().map(|(k, v)| (OsString::from(k), v.clone())));
        let exec = Exec {
            argv: argv.iter().cloned().map(Into::into).collect(),
            env: all,
            cwd: "/".to_owned(),
            io,
            cgroup: Some(self.cgroup.clone()),
            profile: Profile::Machine,
        };
        Ok(exec_in(self.pidfd.as_fd(), exec)?)
    }

    /// Starts a program on a terminal of its own, whose master is [`Child::terminal`].
    ///
    /// # Errors
    /// As [`Inside::exec`].
    pub fn exec_on_terminal(
        &self,
        argv: &[impl Into<OsString> + Clone],
        size: (u16, u16),
        term: &str,
    ) -> Result<Child> {
        let pty = Pty::inside(self.pid)?;
        pty.resize(size.0, size.1)?;
        let io = Io { terminal: Some(pty), ..Io::default() };
        self.exec_with(argv, io, &[("TERM", term.into())])
    }

    /// Runs a program to its end and returns what it wrote.
    ///
    /// # Errors
    /// If it cannot be run, does not end within `limit`, or somebody asked to stop.
    pub fn capture(&self, argv: &[impl Into<OsString> + Clone], limit: Duration) -> Result<Captured> {
        let io = Io { stdout: Stream::Pipe, stderr: Stream::Pipe, ..Io::default() };
        let mut child = self.exec(argv, io)?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let ended = regrow_sandbox::collect(&mut child, Some(limit), &mut |stream, bytes| {
            let into = if stream == Output::Stdout { &mut stdout } else { &mut stderr };
            into.extend(&bytes[..bytes.len().min(CAPTURE_LIMIT - into.len())]);
        })?;
        match ended {
            Ended::Exit(exit) => Ok(Captured { exit, stdout, stderr: plain(&String::from_utf8_lossy(&stderr)) }),
            Ended::TimedOut => {
                let program = argv.first().cloned().map(Into::into).unwrap_or_default();
                Err(Error::Slow { program: program.to_string_lossy().into_owned(), seconds: limit.as_secs() })
            }
            Ended::Cancelled => Err(Error::Cancelled),
        }
    }

    /// What a program that must succeed writes, as plain text.
    pub(crate) fn ask(&self, argv: &[&str]) -> Result<String> {
        let captured = self.capture(argv, QUESTION)?;
        if !captured.exit.success() {
            return Err(Error::Failed {
                program: argv.join(" "),
                exit: captured.exit.to_string(),
                stderr: captured.stderr.trim().to_owned(),
            });
        }
        Ok(plain(&String::from_utf8_lossy(&captured.stdout)))
    }

    /// What systemd says of the whole: `running`, `degraded`, `starting`, …
    ///
    /// # Errors
    /// If it does not answer.
    pub fn system_state(&self) -> Result<String> {
        // Its exit status repeats the word.
        let captured = self.capture(&["systemctl", "is-system-running"], QUESTION)?;
        Ok(plain(&String::from_utf8_lossy(&captured.stdout)).trim().to_owned())
    }

    /// The units that failed, by name, each with its newest journal lines.
    ///
    /// # Errors
    /// If systemd does not answer.
    pub fn failed_units(&self) -> Result<Vec<FailedUnit>> {
        let list = self.ask(&["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager"])?;
        let mut units: Vec<_> = list.lines().filter_map(|l| l.split_whitespace().next()).collect();
        units.sort_unstable();
        let with_journal = |unit: &str| FailedUnit {
            unit: unit.to_owned(),
            journal: self.journal(unit, JOURNAL_LINES).unwrap_or_else(|e| format!("(no journal: {e})")),
        };
        Ok(units.into_iter().map(with_journal).collect())
    }

    /// The newest `lines` journal lines of a unit in this boot.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn journal(&self, unit: &str, lines: usize) -> Result<String> {
        let (unit, lines) = (format!("--unit={unit}"), format!("--lines={lines}"));
        let text = self.ask(&[
            "journalctl",
            "--boot",
            "--no-pager",
            "--quiet",
            "--output=short",
            "--no-hostname",
            &unit,
            &lines,
        ])?;
        Ok(text.trim_end().to_owned())
    }

    /// What systemd is waiting for, one job on a line; empty if for nothing.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn jobs(&self) -> Result<String> {
        Ok(self.ask(&["systemctl", "list-jobs", "--plain", "--no-legend", "--no-pager"])?.trim_end().to_owned())
    }
}

/// The environment of programs run inside from outside.
fn environment() -> BTreeMap<OsString, OsString> {
    [
        ("HOME", "/root"),
        ("LANG", "C.UTF-8"),
        ("LOGNAME", "root"),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("SHELL", "/bin/sh"),
        ("SYSTEMD_COLORS", "0"),
        ("TERM", "dumb"),
        ("USER", "root"),
        ("container", "regrow"),
    ]
    .into_iter()
    .map(|(k, v)| (k.into(), v.into()))
    .collect()
}
