//! Jobs: verbs that take a while, with all they tell, for whoever looks now or later.
//!
//! A job's events are numbered without gaps and kept in the database, so that a page can be reloaded, or a second one
//! opened, and go on where it was: [`subscribe`] with the last number seen. Jobs of other processes can be followed the
//! same way. A job whose process ended in the middle is shown as interrupted.
//!
//! [`run`] does the work here and now (the command line). What pages ask for is a [`Task`]: [`launch`] gives it to a
//! process of its own, which goes on when the pages end, and which [`stop`] ends early.

mod task;
mod worker;

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use regrow_host::lock::Wait;
use regrow_host::progress::{Event, Progress};
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use crate::Answer;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::evidence::words;
use crate::home::ServerLock;
use crate::hunt::{self, Question};

pub use task::Task;
pub use worker::{launch, stop, worker};

/// A job's number. Later ones have greater numbers.
pub type JobId = i64;

words! {
    /// How a job stands.
    State {
        /// It works.
        Running = "running",
        /// It ended, the answer is yes.
        Done = "done",
        /// It ended, the answer is no.
        No = "no",
        /// It ended with an error.
        Failed = "failed",
        /// Its process ended in the middle.
        Interrupted = "interrupted",
    }
}

/// A job.
#[derive(Debug, Clone, Serialize)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// What it does: "build".
    pub verb: String,
    /// To which server, if to one.
    pub server: Option<String>,
    /// Who asked for it.
    pub actor: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How it stands.
    pub state: State,
    /// The verb's report, or `{"error": …}`; null while it runs.
    pub result: serde_json::Value,
    /// The draft that it builds in the background, if it does.
    pub draft: Option<String>,
    /// The revision that it was asked to work on, if one was named.
    pub revision: Option<String>,
}

/// One event of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Its number: 1, 2, 3…
    pub seq: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened in a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum What {
    /// The job ended; nothing follows.
    Ended(Ended),
    /// The work told something.
    Told(Event),
}

/// The last event of a job. In JSON: `{"event": "ended", "state": …, "result": …}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename = "ended")]
pub struct Ended {
    /// How it ended.
    pub state: State,
    /// As in [`Job::result`].
    pub result: serde_json::Value,
}

/// Wakes those who follow a job of this process.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    written: Mutex<u64>,
    wake: Condvar,
}

impl Hub {
    fn tell(&self) {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.wake.notify_all();
    }

    fn seen(&self) -> u64 {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is told after `seen`, at most `limit`.
    fn wait(&self, seen: u64, limit: Duration) {
        let guard = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.wake.wait_timeout_while(guard, limit, |now| *now == seen));
    }
}

/// What a job is about.
#[derive(Debug, Clone)]
pub struct About {
    /// What it does: "build".
    pub verb: &'static str,
    /// To which server, if to one.
    pub server: Option<String>,
    /// Whether to wait for another job on the same server. Without a server there is nothing to wait for.
    pub wait: Wait,
    /// See [`Job::draft`].
    pub draft: Option<String>,
    /// See [`Job::revision`].
    pub revision: Option<String>,
    /// What it hunts for: see [`crate::hunt::of_job`].
    pub hunt: Option<Question>,
}

impl About {
    /// A verb on one server.
    pub fn server(verb: &'static str, server: impl Into<String>, wait: Wait) -> About {
        About { verb, server: Some(server.into()), wait, draft: None, revision: None, hunt: None }
    }

    /// A hunt.
    pub fn hunt(question: &Question, wait: Wait) -> About {
        let (revision, hunt) = (Some(question.bad.clone()), Some(question.clone()));
        About { revision, hunt, ..About::server("bisect", question.server.clone(), wait) }
    }
}

/// Runs a job here. What it tells goes to the context's progress as well as into the record.
///
/// # Errors
/// Those of the work; [`Error::Busy`] if another job has the server and [`About::wait`] says no. If only the record
/// cannot be written, the work is done all the same.
pub fn run<T: Answer>(ctx: &Context, about: &About, work: impl FnOnce(&Context) -> Result<T>) -> Result<T> {
    let lock = take(ctx, about)?;
    let recorder = Arc::new(Recording::begin(ctx, about)?);
    perform(lock, &recorder, || work(&ctx.with_progress(recorder.clone())))
}

/// Does the work and tells its end. The server is free again before anybody hears of it: who waits for the end of a job
/// may begin the next one.
fn perform<T: Answer>(lock: Option<ServerLock>, recorder: &Recording, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let answer = work();
    drop(lock);
    crate::evidence::travel::publish_or_note(&recorder.ctx);
    recorder.end(&answer);
    answer
}

/// Starts a job in a thread of this process: it ends with it. Tests and programs of one piece use it; pages
/// [`launch`].
///
/// # Errors
/// [`Error::Busy`] at once if another job has the server; whatever else goes wrong is the job's result.
pub fn start<T: Answer>(
    ctx: &Context,
    verb: &'static str,
    server: Option<&str>,
    work: impl FnOnce(&Context) -> Result<T> + Send + 'static,
) -> Result<JobId> {
    let server = server.map(str::to_owned);
    let about = About { verb, server, wait: Wait::No, draft: None, revision: None, hunt: None };
    start_as(ctx, &about, work)
}

fn start_as<T: Answer>(
    ctx: &Context,
    about: &About,
    work: impl FnOnce(&Context) -> Result<T> + Send + 'static,
) -> Result<JobId> {
    let lock = take(ctx, about)?;
    let recorder = Arc::new(Recording::begin(ctx, about)?);
    let job = recorder.job;
    let ctx = ctx.with_progress(recorder.clone());
    let thread = std::thread::Builder::new().name(format!("job-{job}")).spawn({
        let recorder = recorder.clone();
        move || drop(perform(lock, &recorder, || caught(|| work(&ctx))))
    });
    if let Err(e) = thread {
        let error = Error::File(regrow_host::FsError::new("start a thread for", format!("job {job}"), e));
        recorder.end::<serde_json::Value>(&Err(error));
    }
    Ok(job)
}

/// A panic of the work becomes an error like any other.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Error::surroundings("the job broke off by a flaw in Regrow", "please report it with the program's log"))
    })
}

fn take(ctx: &Context, about: &About) -> Result<Option<ServerLock>> {
    let Some(server) = &about.server else { return Ok(None) };
    if let Some(fleet) = ctx.fleet_optional() {
        ctx.home().claim(server, fleet)?;
    }
    let what = format!("{}, by {}", about.verb, ctx.actor());
    ctx.home().take_server(server, &what, about.wait, ctx.progress()).map(Some)
}

/// Writes what a job tells into the database and passes it on.
struct Recording {
    ctx: Context,
    job: JobId,
    /// When each step's advance was last written: a download tells more than anybody wants to read again.
    advanced: Mutex<BTreeMap<String, Instant>>,
}

/// The least time between two recorded advances of one step.
const ADVANCE_EVERY: Duration = Duration::from_millis(200);

impl Recording {
    fn begin(ctx: &Context, about: &About) -> Result<Recording> {
        interrupt_dead(ctx)?;
        let pid = std::process::id();
        // Before the job, so that whoever knows the job knows the hunt.
        let hunt = about.hunt.as_ref().map(|question| hunt::begin(ctx, question)).transpose()?;
        let job = ctx.database()?.with(|c| {
            c.execute(
                "INSERT INTO jobs (verb, server, actor, pid, boot, started, state, draft, revision, hunt)
                 VALUES (?, ?, ?, ?, ?, ?, 'running', ?, ?, ?)",
                params![
                    about.verb,
                    about.server,
                    ctx.actor(),
                    pid,
                    process_identity(pid),
                    ctx.now().to_string(),
                    about.draft,
                    about.revision,
                    hunt
                ],
            )?;
            Ok(c.last_insert_rowid())
        })?;
        crate::acts::of_job(ctx, about.verb, about.server.as_deref(), job)?;
        Ok(Recording { ctx: ctx.clone(), job, advanced: Mutex::default() })
    }

    fn write(&self, what: &What) {
        // A record that cannot be written must not stop the work: a full disk is said by the work itself.
        let _ = append(&self.ctx, self.job, what);
    }

    fn end<T: Answer>(&self, answer: &Result<T>) {
        let (state, result) = match answer {
            Ok(report) => {
                let state = if report.is_yes() { State::Done } else { State::No };
                (state, serde_json::to_value(report).unwrap_or_default())
            }
            Err(Error::Cancelled) => (State::Interrupted, serde_json::json!({ "error": Error::Cancelled.to_json() })),
            Err(e) => (State::Failed, serde_json::json!({ "error": e.to_json() })),
        };
        let at = self.ctx.now().to_string();
        let _ = self.ctx.database().and_then(|d| {
            d.with(|c| {
                c.execute(
                    "UPDATE jobs SET ended = ?, state = ?, result = ? WHERE id = ?",
                    params![at, state.as_str(), result.to_string(), self.job],
                )
            })
        });
        self.write(&What::Ended(Ended { state, result }));
    }
}

/// Writes one more event of a job, from whichever process.
fn append(ctx: &Context, job: JobId, what: &What) -> Result<()> {
    let json =
        serde_json::to_string(what).map_err(|source| Error::Json { what: "an event of a job".to_owned(), source })?;
    let at = ctx.now().to_string();
    // Numbered by the record itself, so that readers never see a gap and writers never a clash.
    ctx.database()?.with(|c| {
        c.prepare_cached(
            "INSERT INTO job_events (job, seq, at, json)
             SELECT ?1, coalesce(max(seq), 0) + 1, ?2, ?3 FROM job_events WHERE job = ?1",
        )?
        .execute(params![job, at, json])
    })?;
    ctx.hub().tell();
    Ok(())
}

impl Progress for Recording {
    fn event(&self, event: &Event) {
        self.ctx.progress().event(event);
        if let Event::Advanced { step, done, total, .. } = event {
            let mut advanced = self.advanced.lock().unwrap_or_else(PoisonError::into_inner);
            let last = advanced.get(step);
            if done != total && last.is_some_and(|at| at.elapsed() < ADVANCE_EVERY) {
                return;
            }
            advanced.insert(step.clone(), Instant::now());
        }
        self.write(&What::Told(event.clone()));
    }
}

/// The newest job of a verb on a server.
pub(crate) fn newest(ctx: &Context, server: &str, verb: &str) -> Result<Option<JobId>> {
    ctx.database()?.with(|c| {
        let sql = "SELECT max(id) FROM jobs WHERE server = ? AND verb = ?";
        c.query_row(sql, params![server, verb], |row| row.get(0))
    })
}

/// Marks jobs as interrupted whose process is gone.
pub fn interrupt_dead(ctx: &Context) -> Result<()> {
    let at = ctx.now().to_string();
    let ended = ctx.database()?.with(|c| {
        let running: Vec<(JobId, u32, String)> = c
            .prepare_cached("SELECT id, pid, boot FROM jobs WHERE state = 'running'")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut ended = 0;
        for (job, pid, start) in running {
            if process_identity(pid) == start && !start.is_empty() {
                continue;
            }
            let transaction = c.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let changed = transaction.execute(
                "UPDATE jobs SET ended = ?, state = 'interrupted', result = 'null' WHERE id = ? AND state = 'running'",
                params![at, job],
            )?;
            if changed > 0 {
                let what = What::Ended(Ended { state: State::Interrupted, result: serde_json::Value::Null });
                transaction.execute(
                    "INSERT INTO job_events (job, seq, at, json)
                     SELECT ?1, coalesce(max(seq), 0) + 1, ?2, ?3 FROM job_events WHERE job = ?1",
                    params![job, at, serde_json::to_string(&what).unwrap_or_default()],
                )?;
                ended += 1;
            }
            transaction.commit()?;
        }
        Ok(ended)
    })?;
    if ended > 0 {
        ctx.hub().tell();
    }
    Ok(())
}

/// What tells one process from all others: the boot and its start after it. Empty if there is no such process.
fn process_identity(pid: u32) -> String {
    let Some(start) = crate::context::process_start(pid) else { return String::new() };
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{}-{start}", boot.trim())
}

/// One job.
pub fn get(ctx: &Context, job: JobId) -> Result<Option<Job>> {
    interrupt_dead(ctx)?;
    ctx.database()?.with(|c| {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE id = ?");
        c.prepare_cached(&sql)?.query_row([job], read).optional()
    })
}

/// The newest `limit` jobs of a server (or of all), newest first.
pub fn list(ctx: &Context, server: Option<&str>, limit: usize) -> Result<Vec<Job>> {
    interrupt_dead(ctx)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    ctx.database()?.with(|c| {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE (?1 IS NULL OR server = ?1) ORDER BY id DESC LIMIT ?2");
        c.prepare_cached(&sql)?.query_map(params![server, limit], read)?.collect()
    })
}

/// The jobs that run now, newest first.
pub fn running(ctx: &Context) -> Result<Vec<Job>> {
    interrupt_dead(ctx)?;
    ctx.database()?.with(|c| {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE state = 'running' ORDER BY id DESC");
        c.prepare_cached(&sql)?.query_map([], read)?.collect()
    })
}

/// The jobs that build a draft, newest first.
pub fn of_draft(ctx: &Context, draft: &str) -> Result<Vec<Job>> {
    interrupt_dead(ctx)?;
    ctx.database()?.with(|c| {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE draft = ? ORDER BY id DESC LIMIT 20");
        c.prepare_cached(&sql)?.query_map([draft], read)?.collect()
    })
}

/// A draft got another tip by what its own job did.
pub(crate) fn moved(ctx: &Context, draft: &str, from: &str, to: &str) -> Result<()> {
    ctx.database()?.with(|c| {
        c.execute(
            "UPDATE jobs SET revision = ? WHERE draft = ? AND revision = ? AND state = 'running'",
            [to, draft, from],
        )
    })?;
    Ok(())
}

/// The events of a job after number `after`, oldest first.
pub fn events(ctx: &Context, job: JobId, after: i64) -> Result<Vec<Entry>> {
    ctx.database()?.with(|c| {
        c.prepare_cached("SELECT seq, at, json FROM job_events WHERE job = ? AND seq > ? ORDER BY seq")?
            .query_map(params![job, after], |row| {
                let bad = |column: usize| {
                    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, "unreadable".into())
                };
                Ok(Entry {
                    seq: row.get(0)?,
                    at: row.get_ref(1)?.as_str()?.parse().map_err(|_| bad(1))?,
                    what: serde_json::from_str(row.get_ref(2)?.as_str()?).map_err(|_| bad(2))?,
                })
            })?
            .collect()
    })
}

/// Follows a job from the event after number `after` (0: from the beginning).
///
/// # Errors
/// [`Error::Mistake`] if there is no such job.
pub fn subscribe(ctx: &Context, job: JobId, after: i64) -> Result<Subscription> {
    if get(ctx, job)?.is_none() {
        return Err(Error::mistake(format!("there is no job {job}")));
    }
    Ok(Subscription { ctx: ctx.clone(), job, after, ended: false, waiting: Vec::new() })
}

/// Follows one job; see [`subscribe`]. As an iterator it blocks until the job ends.
#[derive(Debug)]
pub struct Subscription {
    ctx: Context,
    job: JobId,
    after: i64,
    ended: bool,
    waiting: Vec<Entry>,
}

/// How often to look for events of a job that another process runs, which cannot wake us.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Subscription {
    /// The next event; `None` if there was none within `limit` or the job has ended (then [`Subscription::ended`]).
    pub fn next_within(&mut self, limit: Duration) -> Result<Option<Entry>> {
        let until = Instant::now() + limit;
        loop {
            if self.waiting.is_empty() && !self.ended {
                let seen = self.ctx.hub().seen();
                self.waiting = events(&self.ctx, self.job, self.after)?;
                self.waiting.reverse();
                if self.waiting.is_empty() {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    self.ctx.hub().wait(seen, left.min(LOOK_EVERY));
                    interrupt_dead(&self.ctx)?;
                    continue;
                }
            }
            let Some(entry) = self.waiting.pop() else { return Ok(None) };
            self.after = entry.seq;
            self.ended = matches!(entry.what, What::Ended(_));
            return Ok(Some(entry));
        }
    }

    /// Whether the last event has been handed out.
    pub fn ended(&self) -> bool {
        self.ended
    }
}

impl Iterator for Subscription {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.next_within(Duration::from_secs(60)) {
                Ok(None) => {}
                other => return other.transpose(),
            }
        }
        None
    }
}

const COLUMNS: &str = "id, verb, server, actor, started, ended, state, result, draft, revision";

fn read(row: &Row<'_>) -> rusqlite::Result<Job> {
    let bad = |column: usize| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, "unreadable".into())
    };
    let result: Option<String> = row.get(7)?;
    let ended: Option<String> = row.get(5)?;
    Ok(Job {
        id: row.get(0)?,
        verb: row.get(1)?,
        server: row.get(2)?,
        actor: row.get(3)?,
        started: row.get_ref(4)?.as_str()?.parse().map_err(|_| bad(4))?,
        ended: ended.map(|at| at.parse()).transpose().map_err(|_| bad(5))?,
        state: State::parse(row.get_ref(6)?.as_str()?).ok_or_else(|| bad(6))?,
        result: result.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
        draft: row.get(8)?,
        revision: row.get(9)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::context;
    use regrow_host::progress;

    fn told(entry: &Entry) -> String {
        match &entry.what {
            What::Told(Event::Note { text }) => text.clone(),
            What::Ended(ended) => ended.state.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn events_can_be_followed_from_any_number() {
        let (_dir, ctx) = context();
        let job = start(&ctx, "build", Some("web1"), |ctx| {
            progress::note(ctx.progress(), "one");
            progress::note(ctx.progress(), "two");
            Ok(serde_json::json!({"image": "i"}))
        })
        .unwrap();
        let all: Vec<_> = subscribe(&ctx, job, 0).unwrap().map(|e| told(&e.unwrap())).collect();
        assert_eq!(all, ["one", "two", "done"]);
        let rest: Vec<_> = subscribe(&ctx, job, 1).unwrap().map(|e| told(&e.unwrap())).collect();
        assert_eq!(rest, ["two", "done"]);
        let job = get(&ctx, job).unwrap().unwrap();
        assert_eq!((job.state, job.result["image"].as_str()), (State::Done, Some("i")));
    }

    #[test]
    fn a_second_job_on_a_busy_server_is_refused_with_the_holder() {
        let (_dir, ctx) = context();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let job = start(&ctx, "build", Some("web1"), move |_| {
            let _ = wait.recv();
            Ok(serde_json::Value::Null)
        })
        .unwrap();
        let e = start(&ctx, "trial", Some("web1"), |_| Ok(serde_json::Value::Null)).unwrap_err();
        assert!(matches!(&e, Error::Busy { holder, .. } if holder.starts_with("build, by tester")), "{e}");
        go.send(()).unwrap();
        assert!(subscribe(&ctx, job, 0).unwrap().all(|e| e.is_ok()));
    }

    #[test]
    fn who_hears_of_the_end_finds_the_server_free() {
        let (_dir, ctx) = context();
        for _ in 0..50 {
            let job = start(&ctx, "build", Some("web1"), |_| Ok(serde_json::Value::Null)).unwrap();
            assert!(subscribe(&ctx, job, 0).unwrap().all(|e| e.is_ok()));
        }
    }

    #[test]
    fn a_job_whose_process_is_gone_is_interrupted() {
        let (_dir, ctx) = context();
        ctx.database()
            .unwrap()
            .with(|c| {
                c.execute(
                    "INSERT INTO jobs (verb, actor, pid, boot, started, state) VALUES ('build', 'x', 1, 'other', '2026-01-01T00:00:00Z', 'running')",
                    [],
                )
            })
            .unwrap();
        assert_eq!(get(&ctx, 1).unwrap().unwrap().state, State::Interrupted);
        assert_eq!(subscribe(&ctx, 1, 0).unwrap().map(|e| told(&e.unwrap())).collect::<Vec<_>>(), ["interrupted"]);
    }

    #[test]
    fn errors_and_breaks_become_results() {
        let (_dir, ctx) = context();
        let job = start::<serde_json::Value>(&ctx, "build", None, |_| Err(Error::mistake("no such server"))).unwrap();
        assert!(subscribe(&ctx, job, 0).unwrap().all(|e| e.is_ok()));
        let job = get(&ctx, job).unwrap().unwrap();
        assert_eq!((job.state, job.result["error"]["message"].as_str()), (State::Failed, Some("no such server")));
    }
}
