//! The record of hunts: what a hunt has learned is kept at once, so that it goes on after a kill, and the next hunt for the
//! same thing begins with it.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::question::Question;
use crate::context::Context;
use crate::error::Result;
use crate::evidence::words;
use crate::jobs::JobId;

/// A hunt's number. Later ones have greater numbers.
pub type HuntId = i64;

words! {
    /// What a revision was found to be.
    Verdict {
        /// The check passed.
        Good = "good",
        /// It did not.
        Bad = "bad",
        /// It could not be asked.
        Skipped = "skipped",
    }
}

words! {
    /// How that was found.
    How {
        /// It was booted.
        Booted = "booted",
        /// It was booted again, because results disagreed.
        Again = "booted again",
        /// It was booted to see whether the culprit's end mends it.
        Proposal = "booted for the proposal",
        /// A trial or a switch of this revision or image had shown it.
        Known = "known",
        /// A machine just like it had been booted by a hunt.
        Equal = "equal",
        /// There is no image of it.
        NotBuilt = "not built",
    }
}

/// One revision that was judged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// The commit.
    pub revision: String,
    /// The first line of its message.
    pub subject: String,
    /// What it was found to be.
    pub verdict: Verdict,
    /// How.
    pub how: How,
    /// What was seen, in words.
    pub detail: String,
    /// The image, if there is one.
    pub image: Option<String>,
    /// Wall-clock seconds it took, the build among them.
    pub seconds: f64,
    /// Seconds after the boot until the check had its answer.
    pub check_seconds: Option<f64>,
    /// Seconds that the boot took.
    pub ready_seconds: Option<f64>,
}

impl Step {
    /// Without a boot.
    pub(super) fn new(
        revision: &str,
        subject: &str,
        verdict: Verdict,
        how: How,
        detail: String,
        image: Option<String>,
    ) -> Step {
        let (revision, subject) = (revision.to_owned(), subject.to_owned());
        Step { revision, subject, verdict, how, detail, image, seconds: 0.0, check_seconds: None, ready_seconds: None }
    }
}

/// A recorded hunt.
#[derive(Debug, Clone, Serialize)]
pub struct Hunt {
    /// Its number.
    pub id: HuntId,
    /// What it is about.
    pub question: Question,
    /// Who began it.
    pub actor: String,
    /// When.
    pub started: Timestamp,
    /// When it came to its end; `None` while it goes on or can be gone on with.
    pub ended: Option<Timestamp>,
    /// Its report, or null.
    pub report: serde_json::Value,
}

const COLUMNS: &str = "id, question, actor, started, ended, report";

fn read(row: &Row<'_>) -> rusqlite::Result<Hunt> {
    let bad = |column: usize| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, "unreadable".into())
    };
    let (ended, report): (Option<String>, Option<String>) = (row.get(4)?, row.get(5)?);
    Ok(Hunt {
        id: row.get(0)?,
        question: serde_json::from_str(row.get_ref(1)?.as_str()?).map_err(|_| bad(1))?,
        actor: row.get(2)?,
        started: row.get_ref(3)?.as_str()?.parse().map_err(|_| bad(3))?,
        ended: ended.map(|at| at.parse()).transpose().map_err(|_| bad(4))?,
        report: report.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
    })
}

/// One hunt.
pub fn get(ctx: &Context, id: HuntId) -> Result<Option<Hunt>> {
    ctx.database()?.with(|c| {
        let sql = format!("SELECT {COLUMNS} FROM hunts WHERE id = ?");
        c.prepare_cached(&sql)?.query_row([id], read).optional()
    })
}

/// The newest `limit` hunts of a server, newest first.
pub fn list(ctx: &Context, server: &str, limit: usize) -> Result<Vec<Hunt>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    ctx.database()?.with(|c| {
        let sql = format!("SELECT {COLUMNS} FROM hunts WHERE server = ? ORDER BY id DESC LIMIT ?");
        c.prepare_cached(&sql)?.query_map(params![server, limit], read)?.collect()
    })
}

/// The hunt that a job works or worked on.
pub fn of_job(ctx: &Context, job: JobId) -> Result<Option<HuntId>> {
    ctx.database()?.with(|c| {
        let hunt: Option<Option<HuntId>> =
            c.prepare_cached("SELECT hunt FROM jobs WHERE id = ?")?.query_row([job], |row| row.get(0)).optional()?;
        Ok(hunt.flatten())
    })
}

/// The newest job that works or worked on a hunt.
pub fn job_of(ctx: &Context, id: HuntId) -> Result<Option<JobId>> {
    ctx.database()?.with(|c| c.query_row("SELECT max(id) FROM jobs WHERE hunt = ?", [id], |row| row.get(0)))
}

/// What a hunt has judged so far, in its order.
pub fn steps(ctx: &Context, id: HuntId) -> Result<Vec<Step>> {
    ctx.database()?.with(|c| {
        c.prepare_cached("SELECT json FROM hunt_steps WHERE hunt = ? ORDER BY id")?.query_map([id], step)?.collect()
    })
}

/// What hunts have seen of machines that are the same in everything: newest first.
pub(super) fn of_machine(ctx: &Context, machine: &str) -> Result<Vec<Step>> {
    ctx.database()?.with(|c| {
        c.prepare_cached("SELECT json FROM hunt_steps WHERE machine = ? ORDER BY id DESC LIMIT 9")?
            .query_map([machine], step)?
            .collect()
    })
}

fn step(row: &Row<'_>) -> rusqlite::Result<Step> {
    serde_json::from_str(row.get_ref(0)?.as_str()?)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, e.into()))
}

/// The hunt for this question: one that was interrupted, else a new one.
pub(crate) fn begin(ctx: &Context, question: &Question) -> Result<HuntId> {
    let json = json(question);
    let at = ctx.now().to_string();
    ctx.database()?.with(|c| {
        let sql = "SELECT id FROM hunts WHERE server = ? AND question = ? AND ended IS NULL ORDER BY id DESC LIMIT 1";
        if let Some(id) = c.query_row(sql, params![question.server, json], |row| row.get(0)).optional()? {
            return Ok(id);
        }
        let sql = "INSERT INTO hunts (server, question, actor, started) VALUES (?, ?, ?, ?)";
        c.execute(sql, params![question.server, json, ctx.actor(), at])?;
        Ok(c.last_insert_rowid())
    })
}

/// Keeps a step. `machine` is everything that the answer depends on, if a machine was booted.
pub(super) fn keep(ctx: &Context, id: HuntId, step: &Step, machine: Option<&str>) -> Result<()> {
    ctx.database()?.with(|c| {
        c.execute("INSERT INTO hunt_steps (hunt, machine, json) VALUES (?, ?, ?)", params![id, machine, json(step)])
    })?;
    Ok(())
}

/// A hunt is over.
pub(super) fn end(ctx: &Context, id: HuntId, report: &impl Serialize) -> Result<()> {
    let (json, at) = (json(report), ctx.now().to_string());
    ctx.database()?
        .with(|c| c.execute("UPDATE hunts SET ended = ?, report = ? WHERE id = ?", params![at, json, id]))?;
    Ok(())
}

/// Our own values always have a JSON.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
