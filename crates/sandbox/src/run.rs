//! Running a sandboxed program to its end, with its output as it comes.

use std::io::Read;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::child::{Child, Exit};
use crate::error::{Result, step};
use crate::spawn::spawn;
use crate::spec::{Spec, Stream};
use crate::sys;

/// Which stream a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a watched program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Exit(Exit),
    /// Killed by us: it took longer than allowed.
    TimedOut,
    /// Killed by us: somebody asked to stop ([`regrow_host::cancel`]).
    Cancelled,
}

impl Ended {
    /// Whether the program ended by itself with status 0.
    pub fn success(self) -> bool {
        self == Ended::Exit(Exit::Code(0))
    }
}

/// Starts a sandbox with its output piped, hands every piece to `output` as it comes, and waits for the end, at most
/// `limit`. A program that does not end in time, or when somebody asks to stop, is killed with all inside. Standard
/// error has a pipe of its own, unless the caller lets it go with standard output ([`Stream::Stdout`]).
///
/// # Errors
/// As [`spawn`].
pub fn run(mut spec: Spec, limit: Option<Duration>, output: &mut dyn FnMut(Output, &[u8])) -> Result<Ended> {
    spec.io.stdout = Stream::Pipe;
    if !matches!(spec.io.stderr, Stream::Stdout) {
        spec.io.stderr = Stream::Pipe;
    }
    collect(&mut spawn(spec)?, limit, output)
}

/// [`run`] for a child that runs already, with the streams it has.
///
/// # Errors
/// If waiting fails.
pub fn collect(child: &mut Child, limit: Option<Duration>, output: &mut dyn FnMut(Output, &[u8])) -> Result<Ended> {
    let deadline = limit.map(|l| Instant::now() + l);
    let mut streams = [(Output::Stdout, child.stdout.take()), (Output::Stderr, child.stderr.take())];
    let mut buffer = vec![0u8; 64 << 10];
    let mut ended = None;
    loop {
        let expired = deadline.is_some_and(|d| Instant::now() >= d);
        if ended.is_none() && (expired || regrow_host::cancel::requested()) {
            child.kill()?;
            ended = Some(if expired { Ended::TimedOut } else { Ended::Cancelled });
        }
        // What was written before the end is in the pipes by now; a grandchild that lives on (in an init system's
        // care) could keep them open for ever.
        let drained = read_ready(&mut streams, &mut buffer, output)?;
        if let Some(ended) = ended {
            if drained {
                return Ok(ended);
            }
            continue;
        }
        if let Some(exit) = child.wait(Some(Duration::ZERO))? {
            ended = Some(Ended::Exit(exit));
            continue;
        }
        // Woken now and then to look whether somebody asked to stop: that is a flag, not a descriptor.
        let soon = Instant::now() + Duration::from_millis(100);
        let mut fds = vec![child.pidfd()];
        fds.extend(streams.iter().filter_map(|(_, s)| s.as_ref().map(AsFd::as_fd)));
        sys::wait_readable(&fds, Some(deadline.map_or(soon, |d| d.min(soon)))).map_err(step("wait for output"))?;
    }
}

/// Reads once from every stream that has something; true if none had.
fn read_ready(
    streams: &mut [(Output, Option<std::fs::File>); 2],
    buffer: &mut [u8],
    output: &mut dyn FnMut(Output, &[u8]),
) -> Result<bool> {
    let mut drained = true;
    for (which, slot) in streams {
        let Some(file) = slot else { continue };
        if !sys::wait_readable(&[file.as_fd()], Some(Instant::now())).map_err(step("wait for output"))?[0] {
            continue;
        }
        drained = false;
        match file.read(buffer) {
            Ok(0) => *slot = None,
            Ok(n) => output(*which, &buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => *slot = None,
        }
    }
    Ok(drained)
}
