//! Commands' side of the supervisor: start it where it is missing, ask it for things.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use regrow_host::progress::{self, Progress};
use regrow_host::{cancel, fs};

use super::control::{self, Answer, Request};
use super::runner::{Boot, Runner};
use super::site::read_journal;
use super::supervisor::{self, Ended, Setup, append_to};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::evidence::{self, New};

/// How long a starting supervisor may take until it listens.
const START: Duration = Duration::from_secs(30);
/// What a supervisor says on standard output when it has started what should run.
const READY: &str = "ready";
/// What it says if there is another one.
const NOT_NEEDED: &str = "not needed";

/// Brings every server online that should be and has no supervisor: after a kill, or after a boot of the host.
/// Returns their names. What cannot be brought online is said, and does not keep others from being brought.
///
/// Every command that works with servers calls this first, as root.
///
/// # Errors
/// If the home cannot be read.
pub fn recover(ctx: &Context) -> Result<Vec<String>> {
    let mut recovered = Vec::new();
    for server in ctx.home().server_names()? {
        let dir = ctx.home().server(&server);
        let started = read_journal(&dir).and_then(|journal| match journal.wants_running() {
            true => ensure(ctx, &server),
            false => Ok(false),
        });
        match started {
            Ok(true) => {
                progress::note(ctx.progress(), format!("{server} had no supervisor: started one"));
                recovered.push(server);
            }
            Ok(false) => {}
            Err(e) => {
                let causes: String = e.causes().iter().map(|c| format!(": {c}")).collect();
                progress::note(ctx.progress(), format!("{server} could not be brought online: {e}{causes}"));
            }
        }
    }
    Ok(recovered)
}

/// Starts a supervisor unless there is one; true if it was started now. When this returns it has started the machine
/// that should run.
///
/// # Errors
/// If it ended at once; with what it said.
pub fn ensure(ctx: &Context, server: &str) -> Result<bool> {
    let dir = ctx.home().server(server);
    let deadline = Instant::now() + START;
    loop {
        if control::connect(&dir)?.is_some() {
            return Ok(false);
        }
        if start(ctx, server, &dir)? {
            return Ok(true);
        }
        // Another one has the lock: it listens soon, or it is just ending and a new one is needed.
        if listens_within(&dir, Duration::from_millis(500))? {
            return Ok(false);
        }
        if Instant::now() > deadline {
            return Err(Error::surroundings(
                format!("the supervisor does not listen on {}", control::socket(&dir).display()),
                format!("see {}", dir.join("supervisor.log").display()),
            ));
        }
    }
}

/// Starts a supervisor; false if it found another one.
fn start(ctx: &Context, server: &str, dir: &Path) -> Result<bool> {
    let failed = |e| Error::from(fs::Error::new("start the supervisor", ctx.program(), e));
    // It works from another directory.
    let home = std::path::absolute(ctx.home().path()).map_err(failed)?;
    let log = append_to(&dir.join("supervisor.log"))?;
    let mut child = Command::new(ctx.program())
        .args(["supervise", server])
        .env("REGROW_HOME", home)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(failed)?;
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut said).map_err(failed)?;
    }
    // A program that runs for long must not collect ended children; a short one leaves the child to init.
    std::thread::spawn(move || child.wait());
    match said.trim_end() {
        READY => Ok(true),
        NOT_NEEDED => Ok(false),
        said => Err(match serde_json::from_str(said) {
            Ok(Answer::Failed { message, help, exit }) => error_of(message, help, exit),
            _ => Error::surroundings(
                format!("the supervisor of {server} ended at once"),
                format!("see {}", dir.join("supervisor.log").display()),
            ),
        }),
    }
}

fn listens_within(dir: &Path, limit: Duration) -> Result<bool> {
    let deadline = Instant::now() + limit;
    while control::connect(dir)?.is_none() {
        if cancel::requested() {
            return Err(Error::Cancelled);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        // A socket that appears is no event one could wait for without watching the directory.
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}

/// Asks the supervisor for something and waits for the answer; what goes on meanwhile is told to `ctx.progress()`.
///
/// # Errors
/// What the supervisor says; [`Error::Cancelled`] if somebody asked this command to stop: what was asked for goes on.
pub fn ask(ctx: &Context, server: &str, request: &Request) -> Result<Answer> {
    let dir = ctx.home().server(server);
    // A supervisor that ends just now (it had nothing to run) closes the connection without a word.
    for _ in 0..5 {
        ensure(ctx, server)?;
        let Some(stream) = control::connect(&dir)? else { continue };
        if let Some(answer) = ask_over(stream, request, ctx.progress())? {
            return match answer {
                Answer::Failed { message, help, exit } => Err(error_of(message, help, exit)),
                answer => Ok(answer),
            };
        }
    }
    Err(Error::surroundings(
        format!("the supervisor of {server} ends again and again"),
        format!("see {}", dir.join("supervisor.log").display()),
    ))
}

/// Decides about the generation that is being judged now; returns when the journal has it.
///
/// # Errors
/// [`Error::No`] if nothing is being judged, or somebody has decided otherwise.
pub(super) fn decide(ctx: &Context, server: &str, generation: Option<u64>, keep: bool) -> Result<()> {
    let nothing = || Error::No {
        message: format!("nothing of {server} is being judged now: it is decided already"),
        help: Some("see what `regrow status` says".to_owned()),
    };
    let request = Request::Decide { generation, keep, by: ctx.actor().to_owned() };
    let stream = control::connect(&ctx.home().server(server))?.ok_or_else(nothing)?;
    // The connection closed without a word: it ended in between, and what is online comes back by itself.
    let ended = || Error::surroundings("the supervisor ended before it took the decision", "see `regrow status`");
    match ask_over(stream, &request, ctx.progress())?.ok_or_else(ended)? {
        Answer::Failed { message, help, exit } => Err(error_of(message, help, exit)),
        _ => Ok(()),
    }
}

/// `None` if the connection was closed before the first answer.
fn ask_over(mut stream: UnixStream, request: &Request, told: &dyn Progress) -> Result<Option<Answer>> {
    let lost = |e| Error::from(fs::Error::new("talk to the supervisor over", "control.sock", e));
    let mut line =
        serde_json::to_vec(request).map_err(|source| Error::Json { what: "a request".to_owned(), source })?;
    line.push(b'\n');
    if stream.write_all(&line).is_err() {
        return Ok(None);
    }
    // So that a wish to stop is noticed; the request goes on without us.
    stream.set_read_timeout(Some(Duration::from_millis(250))).map_err(lost)?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    let mut heard = false;
    loop {
        match reader.read_until(b'\n', &mut line) {
            Ok(0) if !heard && line.is_empty() => return Ok(None),
            Ok(_) if line.ends_with(b"\n") => {
                heard = true;
                let answer = serde_json::from_slice(&line)
                    .map_err(|source| Error::Json { what: "what the supervisor said".to_owned(), source })?;
                line.clear();
                match answer {
                    Answer::Progress(event) => told.event(&event),
                    answer => return Ok(Some(answer)),
                }
            }
            Ok(_) => {
                return Err(Error::surroundings(
                    "the supervisor was killed in the middle",
                    "run `regrow status`: it starts a new one, which keeps or brings back what was online",
                ));
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                if cancel::requested() {
                    progress::note(
                        told,
                        "the supervisor goes on without this command; `regrow status` shows what comes of it",
                    );
                    return Err(Error::Cancelled);
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset && !heard => return Ok(None),
            Err(e) => return Err(lost(e)),
        }
    }
}

fn error_of(message: String, help: Option<String>, exit: u8) -> Error {
    match exit {
        1 => Error::No { message, help },
        2 => Error::Mistake { message, help },
        130 => Error::Cancelled,
        _ => Error::Surroundings { message, help },
    }
}

/// The supervisor process itself: `regrow supervise NAME`. Returns when there is nothing to run any more.
///
/// # Errors
/// What kept it from taking over; the command that started it has been told as well.
pub fn supervise(ctx: &Context, server: &str) -> Result<()> {
    supervise_with(ctx, server, Boot::new(ctx, server))
}

/// [`supervise`] with other machines.
///
/// # Errors
/// As [`supervise`].
pub fn supervise_with<R: Runner>(ctx: &Context, server: &str, runner: R) -> Result<()> {
    // Out of the session of the terminal that the command was typed in. Fails only if we lead a group already.
    let _ = rustix::process::setsid();
    let setup = Setup {
        server: server.to_owned(),
        dir: ctx.home().server(server),
        clock: ctx.clock(),
        ready: Box::new(|| say(READY)),
        record: {
            let ctx = ctx.clone();
            Box::new(move |report, intent| {
                let kind = report.evidence_kind(intent);
                let (server, revision, image) = (&*report.server, &*report.to_revision, Some(&*report.to));
                evidence::record_or_note(&ctx, &New { kind, server, revision, image, verdict: report.verdict }, report);
            })
        },
    };
    match supervisor::supervise(setup, runner) {
        Ok(Ended::NotNeeded) => {
            say(NOT_NEEDED);
            Ok(())
        }
        Ok(Ended::Done) => Ok(()),
        Err(e) => {
            say(&serde_json::to_string(&Answer::failed(&e)).unwrap_or_default());
            Err(e)
        }
    }
}

/// One line to the command that started us, if it still listens.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
