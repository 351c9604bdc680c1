//! `check`: read everything, report every diagnostic. Opens neither the database nor a connection: it must be quick.

use regrow_config::{Diagnostic, inputs_digest, load_lock};
use serde::Serialize;

use crate::Answer;
use crate::context::Context;
use crate::error::{Diagnosed, Result};
use crate::evidence;
use crate::wanted::Wanted;

/// What `check` found.
#[derive(Debug, Serialize)]
pub struct CheckReport {
    /// The servers that were read.
    pub servers: Vec<CheckedServer>,
    /// Everything wrong or doubtful, by file and line.
    pub diagnostics: Vec<Diagnostic>,
    /// How many of them are errors.
    pub errors: usize,
    /// How many are warnings.
    pub warnings: usize,
    /// Servers whose images differ from place to place at the last changeset, by git's notes.
    pub differing: Vec<evidence::Differing>,
    /// Whether package names were looked up: false if no index has been fetched yet.
    pub packages_checked: bool,
    /// The diagnostics with their text, to show them.
    #[serde(skip)]
    pub diagnosed: Diagnosed,
}

/// A server that was read.
#[derive(Debug, Serialize)]
pub struct CheckedServer {
    /// Its name.
    pub name: String,
    /// How its lock stands.
    pub lock: LockState,
}

/// How a lock stands to the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LockState {
    /// There is none.
    None,
    /// It was made from other text.
    Stale,
    /// It fits.
    Fresh,
    /// It cannot be read.
    Damaged,
}

impl Answer for CheckReport {
    fn is_yes(&self) -> bool {
        self.errors == 0
    }
}

/// Reads the fleet's work tree and says everything that is wrong with it, or only with what concerns `server`.
pub fn check(ctx: &Context, server: Option<&str>) -> Result<CheckReport> {
    let mut wanted = Wanted::read(ctx, None)?;
    if let Some(server) = server {
        wanted.known(server)?;
    }
    let mut packages_checked = false;
    // An archive that cannot be opened (settings with mistakes) is told by the diagnostics already.
    if let Ok(archive) = crate::lock::open_archive(ctx, &wanted.fleet)
        && let Ok(Some(names)) = archive.package_names()
    {
        for text in wanted.fleet.servers.values() {
            // A package of a role is said once, not for every server that has it.
            for found in regrow_config::check_packages(text, &|n| names.exists(n), &|n| names.near(n)) {
                if !wanted.diagnostics.contains(&found) {
                    wanted.diagnostics.push(found);
                }
            }
        }
        packages_checked = true;
    }
    let mut servers = Vec::new();
    for (name, text) in &wanted.fleet.servers {
        if server.is_some_and(|only| only != name) {
            continue;
        }
        let lock = match load_lock(wanted.files(), name) {
            Ok(None) => LockState::None,
            Ok(Some(lock)) if lock.inputs == inputs_digest(text, &wanted.fleet) => LockState::Fresh,
            Ok(Some(_)) => LockState::Stale,
            Err(diagnostic) => {
                wanted.diagnostics.push(*diagnostic);
                LockState::Damaged
            }
        };
        servers.push(CheckedServer { name: name.clone(), lock });
    }
    let mut diagnostics = std::mem::take(&mut wanted.diagnostics);
    if let Some(server) = server {
        diagnostics.retain(|d| crate::wanted::concerns(&d.file, server));
    }
    diagnostics.sort_by(|a, b| (&a.file, a.span.start).cmp(&(&b.file, b.span.start)));
    let errors = diagnostics.iter().filter(|d| d.is_error()).count();
    let warnings = diagnostics.len() - errors;
    let diagnosed = wanted.diagnosed(diagnostics.clone());
    let commit = ctx.repo().and_then(|repo| Ok(repo.head()?.commit)).ok().flatten();
    let mut differing = commit.map(|commit| evidence::differing(ctx, &[&commit])).unwrap_or_default();
    differing.retain(|d| server.is_none_or(|only| only == d.server));
    Ok(CheckReport { servers, diagnostics, errors, warnings, differing, packages_checked, diagnosed })
}
