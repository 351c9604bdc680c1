//! Acts: who did what, when, from where, and what came of it.
//!
//! Everything that changes something is recorded here once, whether it was asked for on a page or by a command: edits,
//! landings, discards, sign-ins, changes of accounts, and jobs. A job records itself ([`crate::jobs`]); its result is
//! read from the job, so that it is true also after a kill. Everything else calls [`record`] when it is done:
//!
//! ```no_run
//! # fn f(ctx: &regrow_ops::Context) {
//! use regrow_ops::acts::{self, Act};
//! acts::record(ctx, &Act::new("land", "landed the draft “Serve the wiki”").about("web1"));
//! acts::record(ctx, &Act::new("discard", "discarded the draft “Old try”").result("refused"));
//! // With `undone_by` the act says how it can be taken back: see regrow_ops::undo.
//! # }
//! ```
//!
//! Who and from where come from the context: see [`Context::on_behalf_of`]. The words are for people and hold no secrets
//! and no values of text: what changed is in git.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};
use serde::Serialize;

use crate::Answer;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::jobs::JobId;
use crate::undo::Way;

/// Something done, to be recorded.
#[derive(Debug, Clone)]
pub struct Act<'a> {
    kind: &'a str,
    words: String,
    subject: Option<&'a str>,
    result: &'a str,
    undo: Option<Way>,
}

impl<'a> Act<'a> {
    /// `kind` is one word that programs can rely on ("edit", "land", "discard", "sign-in", "account"); `words` say it to a
    /// person, in the past, without who and when. The result is "done" if nothing else is said.
    pub fn new(kind: &'a str, words: impl Into<String>) -> Act<'a> {
        Act { kind, words: words.into(), subject: None, result: "done", undo: None }
    }

    /// How it can be undone: see [`crate::undo`].
    #[must_use]
    pub fn undone_by(self, way: Way) -> Act<'a> {
        Act { undo: Some(way), ..self }
    }

    /// What it was done to: the name of a server, or nothing for the fleet as a whole.
    #[must_use]
    pub fn about(self, subject: &'a str) -> Act<'a> {
        Act { subject: Some(subject), ..self }
    }

    /// What came of it, in a word: "done", "refused", "failed".
    #[must_use]
    pub fn result(self, result: &'a str) -> Act<'a> {
        Act { result, ..self }
    }
}

/// The longest words that are kept, in bytes.
const MOST_WORDS: usize = 400;

/// Records what was done. A record that cannot be written does not undo or stop the act: whoever fills the disk must not
/// keep others from switching back. Says its number, if it was recorded.
pub fn record(ctx: &Context, act: &Act<'_>) -> Option<i64> {
    if ctx.is_quiet() {
        return None;
    }
    let way = act.undo.as_ref().and_then(|way| serde_json::to_string(way).ok());
    let words = clipped(&act.words);
    let row = Row { kind: act.kind, subject: act.subject, words, result: Some(act.result), job: None, undo: way };
    write(ctx, &row).ok()
}

/// Records that a job began; its result is the job's, and so is what there is to undo.
pub(crate) fn of_job(ctx: &Context, verb: &str, server: Option<&str>, job: JobId) -> Result<()> {
    let words = server.map_or_else(|| verb.to_owned(), |server| format!("{verb} of {server}"));
    let row = Row { kind: verb, subject: server, words: &words, result: None, job: Some(job), undo: None };
    write(ctx, &row).map(drop)
}

/// Records that one act was undone by another.
pub(crate) fn mark_undone(ctx: &Context, act: i64, by: Option<i64>) -> Result<()> {
    ctx.database()?.with(|c| c.execute("UPDATE acts SET undone = ? WHERE id = ?", params![by, act])).map(drop)
}

/// What was undone by this act is there again.
pub(crate) fn forget_undone_by(ctx: &Context, act: i64) -> Result<()> {
    ctx.database()?.with(|c| c.execute("UPDATE acts SET undone = NULL WHERE undone = ?", [act])).map(drop)
}

/// The act that a job is.
pub(crate) fn act_of_job(ctx: &Context, job: JobId) -> Result<Option<i64>> {
    ctx.database()?.with(|c| c.query_row("SELECT max(id) FROM acts WHERE job = ?", [job], |row| row.get(0)))
}

struct Row<'a> {
    kind: &'a str,
    subject: Option<&'a str>,
    words: &'a str,
    result: Option<&'a str>,
    job: Option<JobId>,
    undo: Option<String>,
}

fn write(ctx: &Context, row: &Row<'_>) -> Result<i64> {
    let at = ctx.now().to_string();
    ctx.database()?.with(|c| {
        c.prepare_cached(
            "INSERT INTO acts (at, actor, origin, kind, subject, words, result, job, undo)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            at,
            ctx.actor(),
            ctx.from(),
            row.kind,
            row.subject,
            row.words,
            row.result,
            row.job,
            row.undo
        ])?;
        Ok(c.last_insert_rowid())
    })
}

/// The words without control characters at the ends and not too long.
fn clipped(words: &str) -> &str {
    let words = words.trim();
    let mut end = words.len().min(MOST_WORDS);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    &words[..end]
}

/// A recorded act.
#[derive(Debug, Clone, Serialize)]
pub struct Recorded {
    /// Its number. Later ones have greater numbers.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who: an account's name, or the person at the terminal.
    pub actor: String,
    /// From where: `command`, or `page` with the address of the browser.
    pub from: String,
    /// What, in one word.
    pub kind: String,
    /// To which server, if to one.
    pub subject: Option<String>,
    /// What, in words.
    pub words: String,
    /// What came of it: `running`, `done`, `no`, `failed`, `interrupted`, `refused`.
    pub result: String,
    /// The job, if it was one and is still recorded.
    pub job: Option<JobId>,
    /// How it can be undone; `None` if it cannot.
    pub undo: Option<Way>,
    /// The act that undid it.
    pub undone: Option<i64>,
}

/// Which acts.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Only by this person.
    pub actor: Option<String>,
    /// Only to this server.
    pub subject: Option<String>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only older than this number.
    pub before: Option<i64>,
}

/// Acts, newest first.
#[derive(Debug, Serialize)]
pub struct ActsReport {
    /// The acts.
    pub acts: Vec<Recorded>,
    /// Whether there are older ones.
    pub more: bool,
}

impl Answer for ActsReport {}

/// The newest `limit` acts.
///
/// # Errors
/// If the record cannot be read.
pub fn list(ctx: &Context, which: &Which, limit: usize) -> Result<ActsReport> {
    crate::jobs::interrupt_dead(ctx)?;
    let most = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
    let mut acts: Vec<Recorded> = ctx.database()?.with(|c| {
        let sql = format!(
            "SELECT {COLUMNS}
             WHERE (?1 IS NULL OR a.actor = ?1) AND (?2 IS NULL OR a.subject = ?2)
               AND (?3 IS NULL OR a.kind = ?3) AND (?4 IS NULL OR a.id < ?4)
             ORDER BY a.id DESC LIMIT ?5"
        );
        c.prepare_cached(&sql)?
            .query_map(params![which.actor, which.subject, which.kind, which.before, most], read)?
            .collect()
    })?;
    let more = acts.len() > limit;
    acts.truncate(limit);
    Ok(ActsReport { acts, more })
}

/// One act.
///
/// # Errors
/// [`Error::Mistake`] if there is none of this number.
pub fn get(ctx: &Context, id: i64) -> Result<Recorded> {
    let found = ctx
        .database()?
        .with(|c| c.prepare_cached(&format!("SELECT {COLUMNS} WHERE a.id = ?"))?.query_row([id], read).optional())?;
    found.ok_or_else(|| Error::mistake_with(format!("there is no act {id}"), "`regrow acts` lists them"))
}

/// What is read of an act, and from where. The report of a job is large: only what undoing needs is taken from it.
const COLUMNS: &str = "a.id, a.at, a.actor, a.origin, a.kind, a.subject, a.words,
    coalesce(a.result, j.state, 'unknown'), a.job, a.undo, a.undone,
    CASE WHEN a.kind IN ('switch', 'rollback', 'start', 'stop', 'undo') AND j.result IS NOT NULL
         THEN coalesce(json_extract(j.result, '$.online'),
                       json_object('from_revision', json_extract(j.result, '$.from_revision'),
                                   'to_revision', json_extract(j.result, '$.to_revision'),
                                   'unchanged', json_extract(j.result, '$.unchanged'),
                                   'held', json_extract(j.result, '$.held'),
                                   'servers', json_extract(j.result, '$.servers'))) END
    FROM acts a LEFT JOIN jobs j ON j.id = a.job";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Recorded> {
    let at = row
        .get_ref(1)?
        .as_str()?
        .parse()
        .map_err(|_| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, "no time".into()))?;
    // A way that a newer program wrote is none here.
    let written: Option<String> = row.get(9)?;
    let told: Option<String> = row.get(11)?;
    let mut act = Recorded {
        id: row.get(0)?,
        at,
        actor: row.get(2)?,
        from: row.get(3)?,
        kind: row.get(4)?,
        subject: row.get(5)?,
        words: row.get(6)?,
        result: row.get(7)?,
        job: row.get(8)?,
        undo: written.and_then(|json| serde_json::from_str(&json).ok()),
        undone: row.get(10)?,
    };
    if let (Some(told), Some(server)) = (told, &act.subject) {
        act.undo = Way::of_job(&act.kind, server, &act.result, &serde_json::from_str(&told).unwrap_or_default());
    }
    Ok(act)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{jobs, testing};

    #[test]
    fn who_did_what_from_where_and_what_came_of_it() {
        let (_dir, ctx) = testing::context();
        record(&ctx, &Act::new("land", "landed “a”").about("web1"));
        let page = ctx.on_behalf_of("alice", "page 192.0.2.7");
        record(&page, &Act::new("sign-in", "signed in").result("refused"));
        let job =
            jobs::start::<serde_json::Value>(&page, "build", Some("web1"), |_| Err(Error::mistake("no"))).unwrap();
        assert!(jobs::subscribe(&ctx, job, 0).unwrap().all(|e| e.is_ok()));

        let all = list(&ctx, &Which::default(), 10).unwrap();
        let shown: Vec<_> = all
            .acts
            .iter()
            .map(|a| (a.kind.as_str(), a.actor.as_str(), a.from.as_str(), a.result.as_str(), a.job.is_some()))
            .collect();
        assert_eq!(
            shown,
            [
                ("build", "alice", "page 192.0.2.7", "failed", true),
                ("sign-in", "alice", "page 192.0.2.7", "refused", false),
                ("land", "tester", "command", "done", false),
            ]
        );
        let of = |which: Which| list(&ctx, &which, 10).unwrap().acts.len();
        assert_eq!(of(Which { actor: Some("alice".to_owned()), ..Which::default() }), 2);
        assert_eq!(of(Which { subject: Some("web1".to_owned()), ..Which::default() }), 2);
        assert_eq!(of(Which { kind: Some("land".to_owned()), ..Which::default() }), 1);
        assert_eq!(of(Which { before: Some(all.acts[1].id), ..Which::default() }), 1);
        let first = list(&ctx, &Which::default(), 2).unwrap();
        assert!(first.more && first.acts.len() == 2);
    }

    #[test]
    fn long_words_are_clipped_at_a_character() {
        assert_eq!(clipped(&format!(" {} ", "é".repeat(300))).len(), 400);
        assert_eq!(clipped(&format!("a{}", "é".repeat(300))).len(), 399);
    }
}
