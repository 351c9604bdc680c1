//! What a hunt is about: which check, between which revisions, and the changesets that come into question.

use std::collections::BTreeMap;
use std::path::Path;

use regrow_config::{Check, CheckKind, MemoryFiles};
use regrow_history::{Changeset, Repo};
use serde::{Deserialize, Serialize};

use super::known::{self, Known};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::trial::ask::ALWAYS;
use crate::wanted::{Wanted, concerning, short};

/// What is asked of every booted revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "asked", rename_all = "snake_case")]
pub enum Asked {
    /// A check of the text. Each revision is asked as its own text has it; one that does not have it yet, as the bad end
    /// has it. Or one of those that every machine has: `system`, `failed-units`.
    Named {
        /// Its name.
        name: String,
    },
    /// A check given on the spot. It is asked of the booted machine and never written into any text.
    Given {
        /// What it is called.
        name: String,
        /// The check.
        check: Check,
    },
}

impl Asked {
    /// A check of the text by its name.
    pub fn named(name: impl Into<String>) -> Asked {
        Asked::Named { name: name.into() }
    }

    /// A command line, run by the shell of the booted machine; exit status 0 is good. It is run again for a few seconds
    /// until it is.
    pub fn command(line: &str) -> Asked {
        let argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()];
        let kind = CheckKind::Command { argv, exit: 0, stdout: None };
        Asked::Given { name: "command".to_owned(), check: Check { kind, timeout: TIMEOUT } }
    }

    /// Whether a unit is active.
    pub fn unit(unit: &str) -> Asked {
        // As in the text: a name without a suffix is a service.
        let full = if unit.contains('.') { unit.to_owned() } else { format!("{unit}.service") };
        let check = Check { kind: CheckKind::Unit { unit: full.clone() }, timeout: TIMEOUT };
        Asked::Given { name: full, check }
    }

    /// The one check of a TOML file, written as in a server's text: `[checks.NAME]`.
    ///
    /// # Errors
    /// [`Error::Diagnostics`] if the text has mistakes; [`Error::Mistake`] if it has no check, or more than one.
    pub fn from_text(path: &Path, text: &str) -> Result<Asked> {
        let name = path.file_name().map_or("check.toml".into(), |name| name.to_string_lossy());
        let shown = path.display().to_string();
        let place = format!("servers/hunt/{name}");
        let files = MemoryFiles::new()
            .with("regrow.toml", "schema = 1\n".to_owned())
            .with("servers/hunt/server.toml", if name == "server.toml" { text } else { "schema = 1\n" }.to_owned())
            .with(&place, text.to_owned());
        let (fleet, diagnostics) = regrow_config::load_fleet(&files);
        let mistakes: Vec<_> = diagnostics.into_iter().filter(|d| d.is_error() && *d.file == *place).collect();
        if !mistakes.is_empty() {
            return Err(crate::wanted::refusal(&files, mistakes));
        }
        let checks = fleet.servers.get("hunt").map(|server| server.checks.clone()).unwrap_or_default();
        let mut checks = checks.into_iter();
        match (checks.next(), checks.next()) {
            (Some((name, check)), None) => Ok(Asked::Given { name, check }),
            (None, _) => Err(Error::mistake_with(
                format!("{shown} has no check"),
                "write one as in a server's text: [checks.NAME] and what must hold",
            )),
            (Some(_), Some(_)) => {
                Err(Error::mistake_with(format!("{shown} has more than one check"), "leave the one to hunt with"))
            }
        }
    }

    /// The check's name.
    pub fn name(&self) -> &str {
        match self {
            Asked::Named { name } | Asked::Given { name, .. } => name,
        }
    }

    /// What a machine is asked whose own text has these checks.
    pub(super) fn checks(&self, own: &BTreeMap<String, Check>, newest: Option<&Check>) -> BTreeMap<String, Check> {
        let (name, check) = match self {
            Asked::Named { name } => (name, own.get(name).or(newest)),
            Asked::Given { name, check } => (name, Some(check)),
        };
        check.map(|check| (name.clone(), check.clone())).into_iter().collect()
    }
}

/// Seconds for which a command or a unit given on the spot is asked again: everything has started by then.
const TIMEOUT: u64 = 5;

/// A hunt, wholly said: the same words are the same hunt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The server.
    pub server: String,
    /// What is asked.
    pub asked: Asked,
    /// The good end: a full commit id.
    pub good: String,
    /// The bad end: a full commit id.
    pub bad: String,
}

/// The good end, and after it the changesets that come into question, oldest first.
#[derive(Debug)]
pub(super) struct Suspects {
    /// The good end.
    pub(super) good: String,
    /// The changesets; the last one has the text of the bad end, as far as the server is concerned.
    pub(super) changes: Vec<Changeset>,
    /// Every commit on the way, newest first, with the number of the item whose text it has.
    pub(super) items: BTreeMap<String, usize>,
}

impl Suspects {
    /// The revision of an item.
    pub(super) fn revision(&self, item: usize) -> &str {
        match item.checked_sub(1) {
            None => &self.good,
            Some(n) => &self.changes[n].revision,
        }
    }

    /// Its first line.
    pub(super) fn subject(&self, item: usize) -> &str {
        match item.checked_sub(1) {
            None => "the good end",
            Some(n) => &self.changes[n].subject,
        }
    }

    /// The good end is another commit than what they come after.
    pub(super) fn begin_at(&mut self, good: String) {
        self.items.insert(good.clone(), 0);
        self.good = good;
    }

    /// Between two commits along first parents, as far as a server is concerned.
    pub(super) fn between(repo: &Repo, server: &str, good: &str, bad: &str) -> Result<Suspects> {
        let below = concerning(server);
        let below: Vec<&str> = below.iter().map(String::as_str).collect();
        let mut changes = repo.since(good, bad, &below)?;
        changes.reverse();
        let touching: BTreeMap<&str, usize> =
            changes.iter().enumerate().map(|(n, change)| (&*change.revision, n + 1)).collect();
        let mut items = BTreeMap::from([(good.to_owned(), 0)]);
        let mut item = 0;
        for commit in repo.line(Some(good), bad)?.iter().rev() {
            item = touching.get(&**commit).copied().unwrap_or(item);
            items.insert(commit.clone(), item);
        }
        Ok(Suspects { good: good.to_owned(), changes, items })
    }
}

/// Which ends a hunt has that names none.
pub(super) fn settle(
    ctx: &Context,
    server: &str,
    asked: &Asked,
    good: Option<&str>,
    bad: Option<&str>,
) -> Result<Question> {
    let repo = ctx.repo()?;
    let bad_name = bad.unwrap_or("HEAD");
    let bad = repo.resolve(bad_name)?;
    let wanted = Wanted::read(ctx, Some(&bad))?;
    let text = wanted.server(server)?;
    let name = asked.name();
    if matches!(asked, Asked::Named { .. }) && !text.checks.contains_key(name) && !ALWAYS.contains(&name) {
        let mut names: Vec<&str> = text.checks.keys().map(String::as_str).collect();
        names.extend(ALWAYS);
        return Err(Error::mistake_with(
            format!("{server} has no check {name} at {}", short(&bad)),
            format!("it has {}; or give one: --run 'CMD', --check-file FILE", names.join(", ")),
        ));
    }
    let good = match good {
        Some(good) => repo.resolve(good)?,
        None => last_good(&repo, &known::all(ctx, server, asked)?, &bad)?.ok_or_else(|| {
            Error::mistake_with(
                format!("no revision of {server} is known at which {name} passed"),
                "name one where it worked: --good REV",
            )
        })?,
    };
    if good == bad {
        return Err(Error::mistake_with(
            format!("the good and the bad end are both {}", short(&bad)),
            "name an older revision where it worked: --good REV",
        ));
    }
    if !repo.is_ancestor(&good, &bad)? {
        return Err(Error::mistake_with(
            format!("{} is not before {}: there is no way from the one to the other", short(&good), short(&bad)),
            "name a good revision that the bad one came from: --good REV",
        ));
    }
    Ok(Question { server: server.to_owned(), asked: asked.clone(), good, bad })
}

/// The newest revision before `bad` at which the check is known to have passed.
fn last_good(repo: &Repo, known: &[Known], bad: &str) -> Result<Option<String>> {
    if known.iter().all(|known| !known.passed) {
        return Ok(None);
    }
    let line = repo.line(None, bad)?;
    let good = |commit: &&String| known.iter().any(|known| known.passed && known.revision == ***commit);
    Ok(line.iter().skip(1).find(good).cloned())
}
