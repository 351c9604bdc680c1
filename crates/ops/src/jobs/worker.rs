//! Jobs in processes of their own: started by a page, and not ended by its end.
//!
//! `regrow run-job` reads an [`Order`] from standard input, enters the job into the record, says its number on standard
//! output and does the work in a session of its own. Everything else it says goes into the record, where every page
//! reads it. So the pages may be stopped, killed and started again meanwhile.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use regrow_host::fs;
use regrow_host::progress::Event;
use rusqlite::OptionalExtension;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::{JobId, Recording, Task, What, append, caught, perform, process_identity, start_as, take};
use crate::context::Context;
use crate::error::{Error, Result};

/// What the process is to do.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    task: Task,
    actor: String,
    from: String,
    fleet: Option<PathBuf>,
}

/// Its first and only line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    /// The job has begun.
    Job(JobId),
    /// Another job has the server.
    Busy { server: String, holder: String },
    /// There is no job.
    Failed { message: String, help: Option<String>, exit: u8 },
}

/// Starts a job in a process of its own. A context whose program is the empty path has no such processes: then a
/// thread does the work.
///
/// # Errors
/// [`Error::Busy`] at once if another job has the server; whatever else goes wrong is the job's result.
pub fn launch(ctx: &Context, task: &Task) -> Result<JobId> {
    if ctx.program().as_os_str().is_empty() {
        let task = task.clone();
        return start_as(ctx, &task.about(), move |ctx| task.perform(ctx));
    }
    let failed = |e| Error::from(fs::Error::new("start a job with", ctx.program(), e));
    let order = Order {
        task: task.clone(),
        actor: ctx.actor().to_owned(),
        from: ctx.from().to_owned(),
        fleet: ctx.fleet_optional().map(std::path::absolute).transpose().map_err(failed)?,
    };
    let json = serde_json::to_vec(&order).map_err(|source| Error::Json { what: "a job".to_owned(), source })?;
    let home = std::path::absolute(ctx.home().path()).map_err(failed)?;
    let mut child = Command::new(ctx.program())
        .arg("run-job")
        .env("REGROW_HOME", home)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(failed(std::io::ErrorKind::BrokenPipe.into()));
    };
    // It reads all of it before it does anything.
    let written = stdin.write_all(&json);
    drop(stdin);
    let mut line = String::new();
    let read = BufReader::new(stdout).read_line(&mut line);
    // A program that runs for long must collect its ended children.
    std::thread::spawn(move || child.wait());
    written.and(read).map_err(failed)?;
    match serde_json::from_str(line.trim_end()) {
        Ok(Said::Job(job)) => Ok(job),
        Ok(Said::Busy { server, holder }) => Err(Error::Busy { server, holder }),
        Ok(Said::Failed { message, help, exit }) => Err(match exit {
            1 => Error::No { message, help },
            2 => Error::Mistake { message, help },
            _ => Error::Surroundings { message, help },
        }),
        Err(_) => Err(Error::surroundings("the process of the job ended at once", "try again")),
    }
}

/// The process itself: `regrow run-job`.
///
/// # Errors
/// If it cannot read its order. Everything else is told to whoever started it, or is the job's result.
pub fn worker(ctx: &Context) -> Result<()> {
    // Out of the session of the pages: Ctrl-C there, or their end, is not meant for us.
    let _ = rustix::process::setsid();
    let mut json = Vec::new();
    std::io::stdin().read_to_end(&mut json).map_err(|e| fs::Error::new("read", "standard input", e))?;
    let order: Order =
        serde_json::from_slice(&json).map_err(|source| Error::Json { what: "the job".to_owned(), source })?;
    let ctx = ctx.on_behalf_of(&order.actor, &order.from);
    let ctx = match order.fleet {
        Some(fleet) => ctx.with_fleet(fleet),
        None => ctx,
    };
    let about = order.task.about();
    let begun = take(&ctx, &about).and_then(|lock| Ok((lock, Arc::new(Recording::begin(&ctx, &about)?))));
    let (lock, recorder) = match begun {
        Ok(begun) => begun,
        Err(Error::Busy { server, holder }) => {
            say(&Said::Busy { server, holder });
            return Ok(());
        }
        Err(e) => {
            let causes: String = e.causes().iter().map(|c| format!(": {c}")).collect();
            say(&Said::Failed { message: format!("{e}{causes}"), help: e.help(), exit: e.exit_code() });
            return Ok(());
        }
    };
    say(&Said::Job(recorder.job));
    let ctx = ctx.with_progress(recorder.clone());
    // How it ended is in the record.
    let _ = perform(lock, &recorder, || caught(|| order.task.perform(&ctx)));
    Ok(())
}

/// One line to the page that started us, if it still listens.
fn say(said: &Said) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", serde_json::to_string(said).unwrap_or_default()).and_then(|()| out.flush());
}

/// Asks a running job to end early, whichever process does it. It unwinds and says how it ended; false if it had ended
/// already.
///
/// # Errors
/// [`Error::Mistake`] if there is no such job; [`Error::No`] if it is a part of this very process.
pub fn stop(ctx: &Context, job: JobId) -> Result<bool> {
    let found: Option<(u32, String, String)> = ctx.database()?.with(|c| {
        c.query_row("SELECT pid, boot, state FROM jobs WHERE id = ?", [job], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
            .optional()
    })?;
    let Some((pid, identity, state)) = found else {
        return Err(Error::mistake(format!("there is no job {job}")));
    };
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let (Some(raw), "running") = (raw, &*state) else { return Ok(false) };
    if pid == std::process::id() {
        return Err(Error::No { message: format!("job {job} is a part of this program and ends with it"), help: None });
    }
    // Opened first, compared then: a number that was given to another process since is seen here.
    let Ok(process) = pidfd_open(raw, PidfdFlags::empty()) else { return Ok(false) };
    if process_identity(pid) != identity {
        return Ok(false);
    }
    append(ctx, job, &What::Told(Event::Note { text: format!("asked to stop by {}", ctx.actor()) }))?;
    match pidfd_send_signal(&process, Signal::TERM) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(e) => Err(fs::Error::new("end the process of", format!("job {job}"), e.into()).into()),
    }
}
