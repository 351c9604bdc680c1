//! Summaries of changesets in the record: worked out once, told ever after.

use std::sync::Arc;

use regrow_history::Repo;
use rusqlite::{OptionalExtension, params};

use crate::context::Context;
use crate::error::Result;

/// Goes up whenever a change of the words makes other summaries of old changesets: they are then worked out anew.
const WORDS: i64 = 1;

/// Those of these changesets that are written down, each with its line.
pub(super) fn read(ctx: &Context, repo: &Repo, revisions: &[&str]) -> Result<Vec<(String, Arc<str>)>> {
    if revisions.is_empty() {
        return Ok(Vec::new());
    }
    ctx.database()?.with(|c| {
        let mut ask = c.prepare_cached("SELECT line FROM summaries WHERE place = ? AND revision = ? AND words = ?")?;
        let mut found = Vec::new();
        for revision in revisions {
            let line: Option<String> =
                ask.query_row(params![repo.prefix(), revision, WORDS], |row| row.get(0)).optional()?;
            found.extend(line.map(|line| ((*revision).to_owned(), line.into())));
        }
        Ok(found)
    })
}

/// Writes lines down. If that cannot be done they are worked out again next time.
pub(super) fn write(ctx: &Context, repo: &Repo, lines: &[(&str, Arc<str>)]) {
    if lines.is_empty() {
        return;
    }
    let _ = ctx.database().and_then(|database| {
        database.with(|c| {
            let transaction = c.transaction()?;
            for (revision, line) in lines {
                transaction.execute(
                    "INSERT OR REPLACE INTO summaries (place, revision, words, line) VALUES (?, ?, ?, ?)",
                    params![repo.prefix(), revision, WORDS, &**line],
                )?;
            }
            transaction.commit()
        })
    });
}
