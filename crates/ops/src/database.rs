//! The SQLite file with jobs and evidence.
//!
//! It can be deleted at any time: only the history of work is lost. A damaged one is moved aside and a new one made,
//! and that is said. Several processes use it at once (WAL); every transaction is short.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use regrow_host::fs;
use regrow_host::lock::{FileLock, Wait};
use regrow_host::progress::{self, Progress};
use rusqlite::{Connection, ErrorCode};

use crate::error::{Error, Result};

/// The steps from an empty file to the tables of today. How many were done is kept in `user_version`; a step is never
/// changed once it was in use, only followed by another.
const STEPS: [&str; 9] = [WORK, ACTS, ASKED, BY_REVISION, UNDO, HUNTS, TRAVEL, SUMMARIES, HUNTED];
/// The version of the tables.
const VERSION: i64 = STEPS.len() as i64;

/// What was said and done: see [`crate::acts`].
const ACTS: &str = "
CREATE TABLE acts (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      TEXT NOT NULL,
    actor   TEXT NOT NULL,
    origin  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    subject TEXT,
    words   TEXT NOT NULL,
    result  TEXT,
    job     INTEGER REFERENCES jobs (id) ON DELETE CASCADE
);
CREATE INDEX acts_by_subject ON acts (subject, id);
CREATE INDEX acts_by_actor ON acts (actor, id);
CREATE INDEX acts_by_job ON acts (job);
";

/// Jobs and evidence.
const WORK: &str = "
CREATE TABLE jobs (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    verb    TEXT NOT NULL,
    server  TEXT,
    actor   TEXT NOT NULL,
    pid     INTEGER NOT NULL,
    boot    TEXT NOT NULL,
    started TEXT NOT NULL,
    ended   TEXT,
    state   TEXT NOT NULL,
    result  TEXT
);
CREATE INDEX jobs_by_server ON jobs (server, id);
CREATE INDEX jobs_running ON jobs (state) WHERE state = 'running';
CREATE TABLE job_events (
    job  INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    seq  INTEGER NOT NULL,
    at   TEXT NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (job, seq)
) WITHOUT ROWID;
CREATE TABLE evidence (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL,
    server   TEXT NOT NULL,
    revision TEXT NOT NULL,
    image    TEXT,
    verdict  TEXT NOT NULL,
    json     TEXT NOT NULL,
    at       TEXT NOT NULL
);
CREATE INDEX evidence_by_server ON evidence (server, kind, id);
";

/// What is known about a revision is asked for on every timeline.
const BY_REVISION: &str = "
CREATE INDEX evidence_by_revision ON evidence (revision, server, kind, id);
CREATE INDEX evidence_newest ON evidence (server, id);
";

/// How an act is undone, and the act that did it: see [`crate::undo`].
const UNDO: &str = "
ALTER TABLE acts ADD COLUMN undo TEXT;
ALTER TABLE acts ADD COLUMN undone INTEGER;
";

/// Results that are not in git's notes yet have their fleet: see [`crate::evidence::travel`].
const TRAVEL: &str = "
ALTER TABLE evidence ADD COLUMN fleet TEXT;
CREATE INDEX evidence_waiting ON evidence (fleet) WHERE fleet IS NOT NULL;
";

/// What changesets did in one line, worked out once. `place` is where the fleet lies in its repository, `words` the
/// version of the words.
const SUMMARIES: &str = "
CREATE TABLE summaries (
    place    TEXT NOT NULL,
    revision TEXT NOT NULL,
    words    INTEGER NOT NULL,
    line     TEXT NOT NULL,
    PRIMARY KEY (place, revision)
) WITHOUT ROWID;
";

/// What a job was asked to work on.
const ASKED: &str = "
ALTER TABLE jobs ADD COLUMN draft TEXT;
ALTER TABLE jobs ADD COLUMN revision TEXT;
CREATE INDEX jobs_by_draft ON jobs (draft, id) WHERE draft IS NOT NULL;
";

/// Hunts and what they have learned: see [`crate::hunt`].
const HUNTS: &str = "
CREATE TABLE hunts (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    server   TEXT NOT NULL,
    question TEXT NOT NULL,
    actor    TEXT NOT NULL,
    started  TEXT NOT NULL,
    ended    TEXT,
    report   TEXT
);
CREATE INDEX hunts_by_server ON hunts (server, id);
CREATE TABLE hunt_steps (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    hunt    INTEGER NOT NULL REFERENCES hunts (id) ON DELETE CASCADE,
    machine TEXT,
    json    TEXT NOT NULL
);
CREATE INDEX hunt_steps_by_hunt ON hunt_steps (hunt, id);
CREATE INDEX hunt_steps_by_machine ON hunt_steps (machine, id) WHERE machine IS NOT NULL;
";

/// Which hunt a job works on.
const HUNTED: &str = "
ALTER TABLE jobs ADD COLUMN hunt INTEGER;
CREATE INDEX jobs_by_hunt ON jobs (hunt, id) WHERE hunt IS NOT NULL;
";

/// The open database. One connection, used by one thread at a time.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Database {
    /// Opens or creates it. A damaged one is moved aside as `regrow.db.damaged-N`, which `told` hears.
    ///
    /// # Errors
    /// If the file cannot be used, or was made by a newer version.
    pub fn open(path: PathBuf, told: &dyn Progress) -> Result<Database> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        // Nobody may open it while another moves it aside.
        let _lock = FileLock::exclusive(path.with_extension("db.lock"), Wait::UntilFree)?;
        let connection = match connect(&path) {
            Err(e) if is_damaged(&e) => {
                let aside = move_aside(&path)?;
                progress::note(
                    told,
                    format!(
                        "the record of jobs and evidence was damaged: it is kept as {}, and a new one begins (servers and text are not touched)",
                        aside.display()
                    ),
                );
                connect(&path)
            }
            other => other,
        };
        let connection = connection.map_err(|source| Error::Database { path: path.clone(), source })?;
        let found: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(|source| Error::Database { path: path.clone(), source })?;
        if found > VERSION {
            return Err(Error::surroundings(
                format!(
                    "{} was made by a newer Regrow (tables version {found}, this one knows {VERSION})",
                    path.display()
                ),
                "use the newer program, or another REGROW_HOME",
            ));
        }
        Ok(Database { path, connection: Mutex::new(connection) })
    }

    /// Uses the connection.
    pub fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut connection).map_err(|source| Error::Database { path: self.path.clone(), source })
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // With WAL a power cut may lose the last transactions but never damages the file.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found < VERSION {
        for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    if found != 0 {
        // Reads the schema and the first pages, where damage mostly shows.
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        transaction.query_row("SELECT max(id) FROM jobs", [], |_| Ok(()))?;
        transaction.query_row("SELECT max(id) FROM evidence", [], |_| Ok(()))?;
    }
    transaction.commit()?;
    Ok(connection)
}

fn is_damaged(e: &rusqlite::Error) -> bool {
    match e {
        rusqlite::Error::SqliteFailure(e, message) => {
            matches!(e.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                || message.as_deref().is_some_and(|m| m.starts_with("no such table") || m.starts_with("malformed"))
                || message.as_deref().is_some_and(|m| m.contains("already exists"))
        }
        rusqlite::Error::SqlInputError { msg, .. } => {
            msg.starts_with("no such table") || msg.contains("already exists")
        }
        _ => false,
    }
}

fn move_aside(path: &Path) -> Result<PathBuf> {
    let with = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let mut n = 1;
    while with(&format!(".damaged-{n}")).exists() {
        n += 1;
    }
    for part in ["-wal", "-shm"] {
        if with(part).exists() {
            fs::rename(with(part), with(&format!(".damaged-{n}{part}")))?;
        }
    }
    let aside = with(&format!(".damaged-{n}"));
    fs::rename(path, &aside)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use regrow_host::progress::{Event, Recorder, Silent};

    fn count(database: &Database) -> i64 {
        database.with(|c| c.query_row("SELECT count(*) FROM jobs", [], |row| row.get(0))).unwrap()
    }

    #[test]
    fn a_damaged_file_is_moved_aside_and_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("regrow.db");
        std::fs::write(&path, b"this is no database, not at all, never was one").unwrap();
        let told = Recorder::default();
        let database = Database::open(path, &told).unwrap();
        assert_eq!(count(&database), 0);
        assert!(dir.path().join("regrow.db.damaged-1").exists());
        assert!(matches!(&told.events()[..], [Event::Note { text }] if text.contains("damaged")));
    }

    #[test]
    fn missing_tables_count_as_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("regrow.db");
        drop(Database::open(path.clone(), &Silent).unwrap());
        Connection::open(&path).unwrap().execute_batch("DROP TABLE evidence").unwrap();
        assert_eq!(count(&Database::open(path, &Silent).unwrap()), 0);
    }

    #[test]
    fn an_older_file_gets_the_tables_that_it_lacks_and_keeps_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("regrow.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(WORK).unwrap();
        old.execute(
            "INSERT INTO jobs (verb, actor, pid, boot, started, state) VALUES ('build', 'x', 1, 'b', '2026-01-01T00:00:00Z', 'done')",
            [],
        )
        .unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        drop(old);
        let database = Database::open(path, &Silent).unwrap();
        assert_eq!(count(&database), 1);
        let acts = database.with(|c| c.query_row("SELECT count(*) FROM acts", [], |row| row.get::<_, i64>(0)));
        assert_eq!(acts.unwrap(), 0);
    }

    #[test]
    fn a_newer_file_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("regrow.db");
        drop(Database::open(path.clone(), &Silent).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let e = Database::open(path.clone(), &Silent).unwrap_err();
        assert_eq!(e.exit_code(), 3);
        assert!(path.exists());
    }
}
