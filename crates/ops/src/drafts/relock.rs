//! Locks that a draft's text makes stale are made anew before it is built or landed. Locks are never merged.

use std::collections::{BTreeMap, BTreeSet};

use regrow_config::edit::key_changes;
use regrow_config::{Files, inputs_digest};
use regrow_history::Revision;
use serde::Serialize;

use super::merge::{Conflict, is_lock};
use super::{DISK, Draft, get, land, open};
use crate::Answer;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::lock::{self, LockReport};
use crate::wanted::Wanted;

/// A draft that is ready to be built, or what is in the way.
#[derive(Debug, Serialize)]
pub struct Prepared {
    /// The draft; build and try its tip.
    pub draft: Draft,
    /// The locks that were made.
    pub locks: Vec<LockReport>,
    /// What must be decided first; empty if it is ready.
    pub conflicts: Vec<Conflict>,
}

impl Answer for Prepared {
    fn is_yes(&self) -> bool {
        self.conflicts.is_empty()
    }
}

/// Gets a draft ready to be built: merges later changesets into it, and makes locks that it needs. May download
/// packages' indexes: run it in a job.
pub fn prepare(ctx: &Context, id: &str) -> Result<Prepared> {
    if id == DISK {
        return Err(Error::mistake("edits on disk are built as they are"));
    }
    let repo = open(ctx)?;
    let (_, locks, conflicts) = land::refresh(ctx, &repo, id, true)?;
    Ok(Prepared { draft: get(ctx, id)?, locks, conflicts })
}

/// The tables that never change what a lock is resolved from.
const WITHOUT_LOCK: [&str; 9] =
    ["files", "services", "timers", "sysctl", "network", "state", "checks", "system", "limits"];

/// Makes the locks anew that `files`, laid over `base`, make stale, and adds them to `files`.
///
/// Servers without a lock stay without one; servers whose text has mistakes keep theirs until it is mended.
pub(crate) fn relock(
    ctx: &Context,
    base: &Revision,
    files: &mut BTreeMap<String, Option<Vec<u8>>>,
) -> Result<Vec<LockReport>> {
    let mut servers = BTreeSet::new();
    let mut all = false;
    for (path, new) in &*files {
        match path.strip_prefix("servers/").and_then(|rest| rest.split_once('/')) {
            Some(_) if is_lock(path) => {}
            Some((server, _)) if touches(base, path, new.as_deref())? => {
                servers.insert(server.to_owned());
            }
            Some(_) => {}
            None => all |= touches(base, path, new.as_deref())?,
        }
    }
    if !all && servers.is_empty() {
        return Ok(Vec::new());
    }
    let laid = Laid { below: base, files: files.clone() };
    let wanted = Wanted::from_files(Box::new(laid), None);
    if all {
        servers.extend(wanted.fleet.servers.keys().cloned());
    }
    let mut reports = Vec::new();
    for name in servers {
        let Ok(server) = wanted.server(&name) else { continue };
        let Ok(Some(previous)) = wanted.lock_or_none(&name) else { continue };
        if previous.inputs == inputs_digest(server, &wanted.fleet) {
            continue;
        }
        ctx.sweep()?;
        let (lock, mut report) = lock::choose(ctx, &wanted, server, Some(&previous), false)?;
        report.changed = true;
        files.insert(report.file.clone(), Some(lock.to_text().into_bytes()));
        reports.push(report);
    }
    Ok(reports)
}

/// Whether a change of a file can matter to a lock.
fn touches(base: &Revision, path: &str, new: Option<&[u8]>) -> Result<bool> {
    if !path.ends_with(".toml") {
        return Ok(false);
    }
    let old = base.read(path)?;
    let (Some(Ok(old)), Some(Ok(new))) = (old.as_deref().map(std::str::from_utf8), new.map(std::str::from_utf8)) else {
        return Ok(true);
    };
    let matters = |first: &str| !WITHOUT_LOCK.contains(&first);
    Ok(key_changes(old, new).iter().any(|c| c.key.0.first().is_none_or(|first| matters(first))))
}

/// Files laid over a revision; some may be gone.
#[derive(Debug)]
pub(crate) struct Laid<'f> {
    pub(crate) below: &'f dyn Files,
    pub(crate) files: BTreeMap<String, Option<Vec<u8>>>,
}

impl Files for Laid<'_> {
    fn read(&self, path: &str) -> std::result::Result<Option<Vec<u8>>, regrow_host::FsError> {
        match self.files.get(path) {
            Some(bytes) => Ok(bytes.clone()),
            None => self.below.read(path),
        }
    }

    fn list(&self, dir: &str) -> std::result::Result<Vec<regrow_config::Entry>, regrow_host::FsError> {
        use regrow_config::{Entry, Kind};
        let mut entries = self.below.list(dir)?;
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        for (path, bytes) in &self.files {
            let Some(rest) = path.strip_prefix(&prefix) else { continue };
            let (name, kind) = match rest.split_once('/') {
                Some((name, _)) => (name, Kind::Dir),
                None => (rest, Kind::File),
            };
            let there = entries.iter().any(|e| e.name == name);
            if bytes.is_some() && !there {
                entries.push(Entry { name: name.to_owned(), kind, executable: false });
            } else if bytes.is_none() && kind == Kind::File {
                entries.retain(|e| e.name != name);
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn read_link(&self, path: &str) -> std::result::Result<Option<String>, regrow_host::FsError> {
        if self.files.contains_key(path) { Ok(None) } else { self.below.read_link(path) }
    }
}
