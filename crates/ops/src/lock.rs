//! `lock`: choose the exact packages and ids for a server's text and write them into its lock.toml.
//!
//! The lock lands as a changeset of its own if the rest of the server's text is committed; beside edits it is left as
//! an edit, so that both go into one changeset when the person commits.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use regrow_archive::Archive;
use regrow_config::{Fleet, LockFile, Server};
use regrow_history::{Change, Landing};
use regrow_host::fs;
use regrow_host::words::count;
use serde::Serialize;

use crate::Answer;
use crate::acts::{self, Act};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::undo::Way;
use crate::wanted::{Wanted, concerning};

/// What `lock` did.
#[derive(Debug, Clone, Serialize)]
pub struct LockReport {
    /// The server.
    pub server: String,
    /// How many packages the lock has.
    pub packages: usize,
    /// Those that the previous lock had not.
    pub added: Vec<LockedVersion>,
    /// Those that only the previous lock had.
    pub removed: Vec<LockedVersion>,
    /// Those in another version than before.
    pub upgraded: Vec<Upgrade>,
    /// The lock, relative to the fleet.
    pub file: String,
    /// Whether its bytes changed.
    pub changed: bool,
    /// The changeset that it landed as; `None` if nothing changed, or if it was left beside edits.
    pub revision: Option<String>,
    /// Wall-clock seconds.
    pub seconds: f64,
}

impl Answer for LockReport {}

/// A package in one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockedVersion {
    /// The package.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A package in another version than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upgrade {
    /// The package.
    pub name: String,
    /// The version before.
    pub from: String,
    /// The version now.
    pub to: String,
}

/// How old the indexes may be for a lock that is not asked to upgrade: what was chosen stays chosen anyway.
const INDEX_AGE: Duration = Duration::from_secs(24 * 3600);

/// The archives of a fleet on this machine.
pub(crate) fn open_archive(ctx: &Context, fleet: &Fleet) -> Result<Archive> {
    Ok(Archive::open(ctx.home().path(), &fleet.archives, &fleet.defaults.architecture)?)
}

/// Chooses packages and ids for `server`. With `upgrade` the newest ones, else what is locked already stays where it
/// can.
pub fn lock(ctx: &Context, server: &str, upgrade: bool) -> Result<LockReport> {
    let began = Instant::now();
    ctx.recover()?;
    let wanted = Wanted::read(ctx, None)?;
    let text = wanted.server(server)?;
    let previous = wanted.lock_or_none(server)?;
    let (lock, mut report) = choose(ctx, &wanted, text, previous.as_ref(), upgrade)?;
    let before = wanted.files().read(&report.file)?;
    let after = lock.to_text().into_bytes();
    report.changed = before.as_deref() != Some(&after[..]);
    if report.changed {
        report.revision = write(ctx, server, &report, before, after)?;
    }
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

/// Chooses without writing. Refuses package names that no archive has, with the near ones, before anything is resolved.
pub(crate) fn choose(
    ctx: &Context,
    wanted: &Wanted,
    server: &Server,
    previous: Option<&LockFile>,
    upgrade: bool,
) -> Result<(LockFile, LockReport)> {
    let archive = open_archive(ctx, &wanted.fleet)?;
    let progress = ctx.progress();
    let refreshed =
        if upgrade { archive.refresh(progress).map(Some) } else { archive.refresh_if_older(INDEX_AGE, progress) };
    let _ = refreshed?;
    if let Some(names) = archive.package_names()? {
        let unknown = regrow_config::check_packages(server, &|n| names.exists(n), &|n| names.near(n));
        if !unknown.is_empty() {
            return Err(wanted.refusal(unknown));
        }
    }
    let (lock, _) = archive.lock(server, &wanted.fleet, previous, upgrade, progress)?;
    let report = compare(&server.name, previous, &lock);
    Ok((lock, report))
}

fn compare(server: &str, previous: Option<&LockFile>, lock: &LockFile) -> LockReport {
    let none = BTreeMap::new();
    let old = previous.map_or(&none, |p| &p.packages);
    let version = |name: &String, version: &String| LockedVersion { name: name.clone(), version: version.clone() };
    let mut report = LockReport {
        server: server.to_owned(),
        packages: lock.packages.len(),
        added: Vec::new(),
        removed: Vec::new(),
        upgraded: Vec::new(),
        file: format!("servers/{server}/lock.toml"),
        changed: false,
        revision: None,
        seconds: 0.0,
    };
    for (name, package) in &lock.packages {
        match old.get(name) {
            None => report.added.push(version(name, &package.version)),
            Some(before) if before.version != package.version => report.upgraded.push(Upgrade {
                name: name.clone(),
                from: before.version.clone(),
                to: package.version.clone(),
            }),
            Some(_) => {}
        }
    }
    for (name, package) in old {
        if !lock.packages.contains_key(name) {
            report.removed.push(version(name, &package.version));
        }
    }
    report
}

/// Lands the lock, or writes it beside edits.
fn write(
    ctx: &Context,
    server: &str,
    report: &LockReport,
    before: Option<Vec<u8>>,
    after: Vec<u8>,
) -> Result<Option<String>> {
    let path = ctx.fleet()?.join(&report.file);
    let repo = match ctx.repo() {
        Ok(repo) => repo,
        Err(Error::History(regrow_history::Error::NoRepository(_))) => {
            fs::write_atomic(path, &after)?;
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    let head = repo.head()?;
    let below = concerning(server);
    let below: Vec<&str> = below.iter().map(String::as_str).collect();
    if head.commit.is_none() || head.branch.is_none() || !repo.dirty(&below)?.is_empty() {
        fs::write_atomic(path, &after)?;
        return Ok(None);
    }
    let changes = [Change::new(&report.file, before, Some(after))];
    let message = message(server, report);
    match repo.land(&Landing::new(&changes, &message, &head, ctx.now())) {
        Ok(landed) => {
            let words = format!("landed a new lock of {server}: {}", summary(report));
            let way = Way::Landed { revision: landed.revision.clone() };
            acts::record(ctx, &Act::new("land", words).about(server).undone_by(way));
            Ok(Some(landed.revision))
        }
        Err(regrow_history::Error::Nothing) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The most packages that a message names.
const NAMED: usize = 40;

fn message(server: &str, report: &LockReport) -> String {
    let mut message = format!("{server}: lock {}", summary(report));
    let added = report.added.iter().map(|p| format!("add {} {}", p.name, p.version));
    let removed = report.removed.iter().map(|p| format!("remove {} {}", p.name, p.version));
    let upgraded = report.upgraded.iter().map(|p| format!("{} {} -> {}", p.name, p.from, p.to));
    let lines: Vec<String> = upgraded.chain(removed).chain(added).collect();
    if !lines.is_empty() {
        message.push_str("\n\n");
        message.push_str(&lines[..lines.len().min(NAMED)].join("\n"));
        if lines.len() > NAMED {
            message.push_str(&format!("\nand {} more", lines.len() - NAMED));
        }
    }
    message
}

/// A lock's changes in a few words: "57 packages (3 added, 1 upgraded)".
pub fn summary(report: &LockReport) -> String {
    let counts =
        [(report.added.len(), "added"), (report.removed.len(), "removed"), (report.upgraded.len(), "upgraded")];
    let parts: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let packages = count(report.packages, "package", "packages");
    if parts.is_empty() { packages } else { format!("{packages} ({})", parts.join(", ")) }
}

impl From<regrow_archive::Error> for Error {
    fn from(e: regrow_archive::Error) -> Error {
        match e {
            regrow_archive::Error::Cancelled => Error::Cancelled,
            e => Error::Archive(Box::new(e)),
        }
    }
}
