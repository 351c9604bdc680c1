//! Edits on disk: what somebody changed with an editor and has not made a changeset of. A draft like the others, only
//! that it belongs to whoever edits: it is shown, built, tried and landed from here, and never overwritten.

use std::time::SystemTime;

use jiff::Timestamp;
use regrow_config::{DiskFiles, Files};
use regrow_history::{Change, Landing};
use serde::Serialize;

use super::edit::{SavedFile, saved_file};
use super::land::Landed;
use super::{open, suggest};
use crate::context::Context;
use crate::error::{Error, Result};

/// The edits on disk.
#[derive(Debug, Clone, Serialize)]
pub struct OnDisk {
    /// The files that differ from the last changeset, sorted.
    pub files: Vec<EditedFile>,
    /// How many keys differ in all.
    pub keys: usize,
    /// When the newest of the files was saved; `None` if they were only removed.
    pub newest: Option<Timestamp>,
    /// The last changeset.
    pub base: String,
}

/// A file with edits on disk.
#[derive(Debug, Clone, Serialize)]
pub struct EditedFile {
    /// Relative to the fleet.
    pub path: String,
    /// The keys that differ.
    pub keys: Vec<regrow_config::edit::KeyChange>,
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
}

/// The edits on disk; `None` if there are none, no changeset yet, or no repository.
pub fn on_disk(ctx: &Context) -> Result<Option<OnDisk>> {
    let seen = ctx.on_disk()?;
    let (Some(base), Some(paths)) = (seen.commit.clone(), &seen.dirty) else { return Ok(None) };
    if paths.is_empty() {
        return Ok(None);
    }
    let repo = open(ctx)?;
    let disk = DiskFiles::new(ctx.fleet()?)?;
    let head = repo.at(&base);
    let mut found = OnDisk { files: Vec::new(), keys: 0, newest: None, base };
    for path in paths.clone() {
        // What cannot be read (a link, a pipe) is shown as changed.
        let (old, new) = (head.read(&path).unwrap_or_default(), disk.read(&path).unwrap_or_default());
        let SavedFile { keys, .. } = saved_file(&path, old.as_deref(), new.as_deref());
        found.keys += keys.len();
        let saved = std::fs::symlink_metadata(disk.dir().join(&path)).and_then(|m| m.modified()).ok();
        found.newest = found.newest.max(saved.and_then(timestamp));
        let change = match (&old, &new) {
            (None, Some(_)) => "added",
            (Some(_), None) => "removed",
            _ => "changed",
        };
        found.files.push(EditedFile { path, keys, change });
    }
    Ok(Some(found))
}

fn timestamp(at: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(at).ok()
}

/// Makes the edits on disk, or those of some files, one changeset as they are. The files are not touched.
pub fn land_disk(ctx: &Context, only: Option<&[String]>, message: Option<&str>) -> Result<Landed> {
    let repo = super::open(ctx)?;
    let head = repo.head()?;
    let Some(commit) = &head.commit else { return Err(regrow_history::Error::Unborn.into()) };
    let disk = DiskFiles::new(ctx.fleet()?)?;
    let mut changes = Vec::new();
    let mut files = std::collections::BTreeMap::new();
    for path in repo.dirty(&[])? {
        if only.is_some_and(|only| !only.contains(&path)) {
            continue;
        }
        let bytes = disk.read(&path)?;
        files.insert(path.clone(), bytes.clone());
        changes.push(Change { path, based_on: bytes.clone(), committed: bytes.clone(), on_disk: bytes });
    }
    if changes.is_empty() {
        return Err(Error::mistake("there are no edits on disk to land"));
    }
    let message = match message.map(str::trim) {
        Some("") => {
            return Err(Error::mistake_with("the message is empty", "say in a few words what the change is for"));
        }
        Some(message) => message.to_owned(),
        None => suggest::of_files(&repo.at(commit), &files)?,
    };
    let landing = Landing::new(&changes, &message, &head, ctx.now());
    let landed = repo.land(&landing)?;
    super::land::record(ctx, "edits on disk", &message, &landed.revision);
    Ok(Landed {
        revision: landed.revision,
        message,
        files: changes.into_iter().map(|c| c.path).collect(),
        locks: Vec::new(),
        still_edited: Vec::new(),
    })
}
