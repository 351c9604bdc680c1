//! Evidence: the recorded result of a build, trial, switch, rollback… It also goes into git's notes, so that other
//! clones see it: [`travel`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::Result;
use crate::wanted::RevisionName;

pub mod travel;

pub use travel::{Differing, differing, noted, publish};

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// The word in the record, in `--json` and on pages.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// The value of a word.
            pub fn parse(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// What was done.
    Kind {
        /// An image was built.
        Build = "build",
        /// It was rebuilt elsewhere and compared.
        Verify = "verify",
        /// It was booted offline and judged.
        Trial = "trial",
        /// It replaced the online server.
        Switch = "switch",
        /// The online server went back, by request.
        Rollback = "rollback",
        /// A snapshot was restored offline and judged.
        Drill = "drill",
    }
}

words! {
    /// What it proved.
    Verdict {
        /// An image came out.
        Built = "built",
        /// All checks passed.
        Healthy = "healthy",
        /// It did not work.
        Failed = "failed",
        /// It is online and its checks passed.
        Switched = "switched",
        /// It failed after the switch, and the old pair of image and state is online again.
        RolledBack = "rolled back",
    }
}

impl Verdict {
    /// Whether it is what was hoped for.
    pub fn is_good(self) -> bool {
        matches!(self, Verdict::Built | Verdict::Healthy | Verdict::Switched)
    }
}

/// One recorded result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Evidence {
    /// Its number; 0 before it is recorded. Later ones have greater numbers.
    pub id: i64,
    /// What was done.
    pub kind: Kind,
    /// To which server.
    pub server: String,
    /// The revision of the text: a commit id, with `+edits` if the work tree had more.
    pub revision: String,
    /// The image, if there was one: `v1-sha256-12:<hex>`.
    pub image: Option<String>,
    /// What it proved.
    pub verdict: Verdict,
    /// The report of the verb, as its `--json`.
    pub report: serde_json::Value,
    /// When it ended.
    pub at: Timestamp,
}

/// A result to record.
#[derive(Debug)]
pub struct New<'a> {
    /// What was done.
    pub kind: Kind,
    /// To which server.
    pub server: &'a str,
    /// See [`Evidence::revision`].
    pub revision: &'a str,
    /// See [`Evidence::image`].
    pub image: Option<&'a str>,
    /// What it proved.
    pub verdict: Verdict,
}

/// Records a result with the verb's report; returns its number.
pub fn record(ctx: &Context, new: &New<'_>, report: &impl Serialize) -> Result<i64> {
    let json = serde_json::to_string(report).unwrap_or_else(|_| "null".to_owned());
    let at = ctx.now().to_string();
    // What waits to be written into git's notes has its fleet beside it.
    let clean = RevisionName::from(new.revision.to_owned());
    let fleet = if clean.edited || clean.commit.is_none() { None } else { travel::fleet_name(ctx) };
    ctx.database()?.with(|c| {
        c.execute(
            "INSERT INTO evidence (kind, server, revision, image, verdict, json, at, fleet)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![new.kind.as_str(), new.server, new.revision, new.image, new.verdict.as_str(), json, at, fleet],
        )?;
        Ok(c.last_insert_rowid())
    })
}

/// [`record`] after work that must not fail because its result cannot be kept: says so instead.
pub(crate) fn record_or_note(ctx: &Context, new: &New<'_>, report: &impl Serialize) {
    if let Err(e) = record(ctx, new, report) {
        let causes = e.causes().join(": ");
        regrow_host::progress::note(ctx.progress(), format!("the result was not recorded: {e}: {causes}"));
    }
}

/// What was proven about a revision's text holds for another revision with the very same files: a draft that has landed
/// as it was built and tried. The newest result of each such kind for each server is recorded for that one, too.
pub(crate) fn carry(ctx: &Context, from: &str, to: &str) -> Result<()> {
    let kinds = serde_json::to_string(&[Kind::Build, Kind::Verify, Kind::Trial]).unwrap_or_default();
    let fleet = travel::fleet_name(ctx);
    ctx.database()?.with(|c| {
        c.execute(
            "INSERT INTO evidence (kind, server, revision, image, verdict, json, at, fleet)
             SELECT kind, server, ?2, image, verdict, json, at, ?4 FROM evidence WHERE id IN (
                 SELECT max(id) FROM evidence WHERE revision = ?1 AND kind IN (SELECT value FROM json_each(?3))
                 GROUP BY server, kind) ORDER BY id",
            params![from, to, kinds, fleet],
        )
        .map(drop)
    })
}

/// The newest `limit` results of a server (or of all), newest first.
pub fn list(ctx: &Context, server: Option<&str>, limit: usize) -> Result<Vec<Evidence>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    ctx.database()?.with(|c| {
        let sql = format!("SELECT {COLUMNS} FROM evidence WHERE (?1 IS NULL OR server = ?1) ORDER BY id DESC LIMIT ?2");
        c.prepare_cached(&sql)?.query_map(params![server, limit], read)?.collect()
    })
}

/// The newest `limit` results of a server of these kinds, newest first.
pub(crate) fn list_of(ctx: &Context, server: &str, kinds: &[Kind], limit: usize) -> Result<Vec<Evidence>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let kinds = serde_json::to_string(kinds).unwrap_or_default();
    ctx.database()?.with(|c| {
        let sql = format!(
            "SELECT {COLUMNS} FROM evidence WHERE server = ? AND kind IN (SELECT value FROM json_each(?))
             ORDER BY id DESC LIMIT ?"
        );
        c.prepare_cached(&sql)?.query_map(params![server, kinds, limit], read)?.collect()
    })
}

/// The newest result of one kind for one revision.
pub fn of_revision(ctx: &Context, server: &str, kind: Kind, revision: &str) -> Result<Option<Evidence>> {
    ctx.database()?.with(|c| {
        let sql = format!(
            "SELECT {COLUMNS} FROM evidence WHERE server = ? AND kind = ? AND revision = ? ORDER BY id DESC LIMIT 1"
        );
        c.prepare_cached(&sql)?.query_row(params![server, kind.as_str(), revision], read).optional()
    })
}

/// The newest result of one kind.
pub fn latest(ctx: &Context, server: &str, kind: Kind) -> Result<Option<Evidence>> {
    ctx.database()?.with(|c| {
        let sql = format!("SELECT {COLUMNS} FROM evidence WHERE server = ? AND kind = ? ORDER BY id DESC LIMIT 1");
        c.prepare_cached(&sql)?.query_row(params![server, kind.as_str()], read).optional()
    })
}

/// The newest result of one kind for one image: what was proven about exactly these bytes.
pub fn of_image(ctx: &Context, server: &str, kind: Kind, image: &str) -> Result<Option<Evidence>> {
    ctx.database()?.with(|c| {
        let sql = format!(
            "SELECT {COLUMNS} FROM evidence WHERE server = ? AND kind = ? AND image = ? ORDER BY id DESC LIMIT 1"
        );
        c.prepare_cached(&sql)?.query_row(params![server, kind.as_str(), image], read).optional()
    })
}

/// One result by its number.
pub fn get(ctx: &Context, id: i64) -> Result<Option<Evidence>> {
    ctx.database()?.with(|c| {
        let sql = format!("SELECT {COLUMNS} FROM evidence WHERE id = ?");
        c.prepare_cached(&sql)?.query_row([id], read).optional()
    })
}

/// A result without its report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Brief {
    /// See [`Evidence::id`].
    pub id: i64,
    /// What was done.
    pub kind: Kind,
    /// To which server.
    pub server: String,
    /// What it proved.
    pub verdict: Verdict,
    /// See [`Evidence::image`].
    pub image: Option<String>,
    /// When it ended.
    pub at: Timestamp,
    /// The machine where it was, if it was not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
}

impl Brief {
    /// What it is, in words: "trial healthy, elsewhere: forge".
    pub fn words(&self) -> String {
        let words = match self.kind {
            Kind::Build => self.verdict.to_string(),
            kind => format!("{kind} {}", self.verdict),
        };
        self.on.as_ref().map_or(words.clone(), |on| format!("{words}, elsewhere: {on}"))
    }
}

/// The job that came to a result, if its record is still there.
pub fn job_of(ctx: &Context, brief: &Brief) -> Result<Option<crate::jobs::JobId>> {
    if brief.on.is_some() {
        return Ok(None);
    }
    ctx.database()?.with(|c| {
        let sql =
            "SELECT id FROM jobs WHERE server = ?1 AND verb = ?2 AND started <= ?3 AND (ended IS NULL OR ended >= ?3)
             ORDER BY id DESC LIMIT 1";
        let words = params![brief.server, brief.kind.as_str(), brief.at.to_string()];
        c.prepare_cached(sql)?.query_row(words, |row| row.get(0)).optional()
    })
}

/// The newest `limit` results of each of these servers, newest first. Reports are there only of those that are not good.
pub fn newest(ctx: &Context, servers: &[&str], limit: usize) -> Result<BTreeMap<String, Vec<Evidence>>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    ctx.database()?.with(|c| {
        let sql = "SELECT id, kind, server, revision, image, verdict,
                 CASE WHEN verdict IN (?3, ?4) THEN json ELSE 'null' END, at
             FROM evidence WHERE server = ?1 ORDER BY id DESC LIMIT ?2";
        let bad = (Verdict::Failed.as_str(), Verdict::RolledBack.as_str());
        let mut statement = c.prepare_cached(sql)?;
        let mut found = BTreeMap::new();
        for server in servers {
            let rows = statement.query_map(params![server, limit, bad.0, bad.1], read)?;
            found.insert((*server).to_owned(), rows.collect::<rusqlite::Result<Vec<Evidence>>>()?);
        }
        Ok(found)
    })
}

/// What is known about some revisions (full commit ids): the newest result of each kind for each server, oldest first;
/// those of other places ([`Brief::on`]) come before ours.
pub fn of_revisions(ctx: &Context, revisions: &[&str]) -> Result<BTreeMap<String, Vec<Brief>>> {
    let wanted = serde_json::to_string(revisions).unwrap_or_default();
    let found: Vec<(String, Brief)> = ctx.database()?.with(|c| {
        let sql = "SELECT revision, max(id), kind, server, verdict, image, at FROM evidence
             WHERE revision IN (SELECT value FROM json_each(?)) GROUP BY revision, server, kind ORDER BY id";
        c.prepare_cached(sql)?
            .query_map([wanted], |row| {
                let brief = Brief {
                    id: row.get(1)?,
                    kind: Kind::parse(row.get_ref(2)?.as_str()?).ok_or_else(|| word(2, "kind"))?,
                    server: row.get(3)?,
                    verdict: Verdict::parse(row.get_ref(4)?.as_str()?).ok_or_else(|| word(4, "verdict"))?,
                    image: row.get(5)?,
                    at: row.get_ref(6)?.as_str()?.parse().map_err(|_| word(6, "time"))?,
                    on: None,
                };
                Ok((row.get(0)?, brief))
            })?
            .collect()
    })?;
    let mut by_revision = noted(ctx, revisions);
    for briefs in by_revision.values_mut() {
        // The record knows our own ones, with their jobs.
        briefs.retain(|brief| brief.on.is_some());
    }
    by_revision.retain(|_, briefs| !briefs.is_empty());
    for (revision, brief) in found {
        by_revision.entry(revision).or_default().push(brief);
    }
    Ok(by_revision)
}

fn word(column: usize, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, format!("unknown {what}").into())
}

/// For how many seconds the newest `limit` switches of a server that worked interrupted it, newest first.
pub fn interruptions(ctx: &Context, server: &str, limit: usize) -> Result<Vec<f64>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    ctx.database()?.with(|c| {
        let sql = "SELECT json_extract(json, '$.down_seconds') FROM evidence
             WHERE server = ? AND kind = ? AND verdict = ? AND json_extract(json, '$.from') IS NOT NULL
             ORDER BY id DESC LIMIT ?";
        let words = params![server, Kind::Switch.as_str(), Verdict::Switched.as_str(), limit];
        let found: rusqlite::Result<Vec<Option<f64>>> =
            c.prepare_cached(sql)?.query_map(words, |row| row.get(0))?.collect();
        Ok(found?.into_iter().flatten().collect())
    })
}

const COLUMNS: &str = "id, kind, server, revision, image, verdict, json, at";

fn read(row: &Row<'_>) -> rusqlite::Result<Evidence> {
    Ok(Evidence {
        id: row.get(0)?,
        kind: Kind::parse(row.get_ref(1)?.as_str()?).ok_or_else(|| word(1, "kind"))?,
        server: row.get(2)?,
        revision: row.get(3)?,
        image: row.get(4)?,
        verdict: Verdict::parse(row.get_ref(5)?.as_str()?).ok_or_else(|| word(5, "verdict"))?,
        report: serde_json::from_str(row.get_ref(6)?.as_str()?).unwrap_or_default(),
        at: row.get_ref(7)?.as_str()?.parse().map_err(|_| word(7, "time"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::context;

    #[test]
    fn what_is_recorded_is_found_again_newest_first() {
        let (_dir, ctx) = context();
        let mut new =
            New { kind: Kind::Build, server: "web1", revision: "abc", image: Some("i1"), verdict: Verdict::Built };
        let first = record(&ctx, &new, &serde_json::json!({"n": 1})).unwrap();
        new.image = Some("i2");
        let second = record(&ctx, &new, &serde_json::json!({"n": 2})).unwrap();
        assert_eq!(list(&ctx, Some("web1"), 9).unwrap().iter().map(|e| e.id).collect::<Vec<_>>(), [second, first]);
        assert_eq!(latest(&ctx, "web1", Kind::Build).unwrap().unwrap().report["n"], 2);
        assert_eq!(of_image(&ctx, "web1", Kind::Build, "i1").unwrap().unwrap().id, first);
        assert!(latest(&ctx, "web2", Kind::Build).unwrap().is_none());
        assert_eq!(get(&ctx, first).unwrap().unwrap().at, ctx.now());
    }
}
