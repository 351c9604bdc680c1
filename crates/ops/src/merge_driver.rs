//! `merge-driver`: git asks how three versions of a file merge, and gets the answer by key.
//!
//! Git calls it for paths that `.gitattributes` gives to it, with three files: the common ancestor, ours (which is also
//! where the result goes) and theirs. Ours is replaced atomically; a conflict leaves in it ours with all that could be
//! taken, never marks, and is told in words. `install` is how a repository comes to ask.

use std::path::Path;

pub use regrow_config::merge::Conflict;
use regrow_config::merge::{MergeError, Merged, merge};
use regrow_history::Repo;
use regrow_host::fs;
use serde::Serialize;

use crate::Answer;
use crate::context::Context;
use crate::error::{Error, Result};

/// How a merge of one file went.
#[derive(Debug, Serialize)]
pub struct MergeReport {
    /// The file, as git names it.
    pub path: String,
    /// Keys taken from theirs, or that came of both.
    pub taken: Vec<String>,
    /// Keys that a person must decide.
    pub conflicts: Vec<Conflict>,
    /// Why nothing was merged, and what to do now.
    pub refused: Option<Refused>,
}

/// A file that was not merged.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// Why.
    pub reason: String,
    /// What to do now.
    pub help: String,
}

impl Answer for MergeReport {
    fn is_yes(&self) -> bool {
        self.conflicts.is_empty() && self.refused.is_none()
    }
}

/// Merges `theirs` into the file `ours`; `path` is the file's name in the repository. Ours is written only if it
/// changes.
pub fn merge_driver(base: &Path, ours: &Path, theirs: &Path, path: Option<&str>) -> Result<MergeReport> {
    let path = path.map_or_else(|| ours.display().to_string(), str::to_owned);
    let sides = [fs::read(base)?, fs::read(ours)?, fs::read(theirs)?];
    let mut report = MergeReport { path, taken: Vec::new(), conflicts: Vec::new(), refused: None };
    let [base, mine, other] = &sides;
    // One side alone changed, or both the same: no need to understand the file.
    if mine == other || other == base {
        return Ok(report);
    }
    if mine == base {
        fs::write_atomic(ours, other)?;
        return Ok(report);
    }
    match merged(&report.path, &sides) {
        Ok(merged) => {
            if merged.text.as_bytes() != mine.as_slice() {
                fs::write_atomic(ours, merged.text.as_bytes())?;
            }
            report.taken = merged.taken.iter().map(ToString::to_string).collect();
            report.conflicts = merged.conflicts;
        }
        Err(refused) => report.refused = Some(refused),
    }
    Ok(report)
}

fn merged(path: &str, sides: &[Vec<u8>; 3]) -> std::result::Result<Merged, Refused> {
    if let Some(lock) = path.strip_suffix("lock.toml").filter(|dir| dir.is_empty() || dir.ends_with('/')) {
        let server = lock.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let help = format!("merge the rest, then choose packages anew: regrow lock {server}, and git add {path}");
        return Err(Refused { reason: "a lock is chosen as a whole, so two of them cannot be mixed".to_owned(), help });
    }
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).ok();
    let [Some(base), Some(ours), Some(theirs)] = sides.each_ref().map(text) else {
        let help = format!("take one side: git checkout --ours {path}, or --theirs, then git add {path}");
        return Err(Refused { reason: "it is not UTF-8 text on every side".to_owned(), help });
    };
    merge(&base, &ours, &theirs).map_err(|e: MergeError| Refused {
        reason: e.to_string(),
        help: format!("our version is left as it was; put in what is missing of theirs, then git add {path}"),
    })
}

/// The line of `.gitattributes` that gives a fleet's text to the merge by key.
pub const ATTRIBUTES: &str = "*.toml merge=regrow\n";

/// What [`install`] did.
#[derive(Debug, Serialize)]
pub struct Installed {
    /// Whether git's configuration of this clone was changed.
    pub config: bool,
    /// Whether `.gitattributes` on disk was changed (a new fleet has it in its first changeset).
    pub attributes: bool,
}

/// Makes git merge the text of this clone by key: the program in the clone's own configuration, the line in
/// `.gitattributes`. What is so already is left alone; other lines of the file stay.
pub fn install(ctx: &Context, repo: &Repo) -> Result<Installed> {
    let command = format!("{} merge-driver %O %A %B %P", spoken(ctx.program()));
    let config = repo.set_merge_driver("regrow", "by key, with comments (Regrow)", &command)?;
    let path = repo.fleet().join(".gitattributes");
    let found = fs::read_optional(&path)?.unwrap_or_default();
    let known = found.split(|b| *b == b'\n').any(|line| line.trim_ascii() == ATTRIBUTES.trim_end().as_bytes());
    if !known {
        let mut text = found;
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        text.extend_from_slice(ATTRIBUTES.as_bytes());
        fs::write_atomic(&path, &text)?;
    }
    Ok(Installed { config, attributes: !known })
}

/// How a shell finds this program: by its name if that leads to it, else by its path.
pub(crate) fn spoken(program: &Path) -> String {
    let name = program.file_name().unwrap_or_default();
    let dirs = std::env::var_os("PATH").unwrap_or_default();
    let first = std::env::split_paths(&dirs).map(|dir| dir.join(name)).find(|path| path.is_file());
    let same = |found: &Path| std::fs::canonicalize(found).ok() == std::fs::canonicalize(program).ok();
    match first {
        Some(found) if same(&found) => name.to_string_lossy().into_owned(),
        _ => quoted(&program.to_string_lossy()),
    }
}

/// A word as a shell takes it literally.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Makes sure of the driver in an existing fleet: what `init` does in one.
///
/// # Errors
/// [`Error::Mistake`] if the directory is no fleet's.
pub fn install_in(ctx: &Context, dir: &Path) -> Result<Installed> {
    if !dir.join("regrow.toml").is_file() {
        return Err(Error::mistake_with(
            format!("{} is not empty", dir.display()),
            "name a directory that does not exist yet: regrow init NEW",
        ));
    }
    install(ctx, &Repo::open(dir)?)
}
