//! Snapshots of all volumes of a stopped server, and bringing one back.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use regrow_host::{FsError, fs as host_fs};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};

use crate::copy::{Copied, copy_tree, open_dir, sync_file_system};
use crate::name::check_id;
use crate::volume::{State, private_dir, sweep_hidden};
use crate::{Error, Result};

/// How many trees that a restore took out of place are kept.
const KEEP_REPLACED: usize = 2;
/// A tree that is whole but perhaps not yet exchanged with the live one.
const READY: &str = ".ready";
/// A tree under construction.
const STAGED: &str = ".staged";

/// What whoever takes a snapshot knows about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The revision that wrote this state; empty if unknown.
    pub revision: String,
    /// The image that wrote this state; empty if unknown.
    pub image: String,
    /// When it was taken, seconds since 1970 UTC.
    pub taken: i64,
}

/// One volume in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Entries that are no directories.
    pub files: u64,
    /// Their content, in bytes, holes included.
    pub bytes: u64,
}

/// One snapshot: the content of `snapshot.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub id: String,
    /// What it belongs to.
    #[serde(flatten)]
    pub note: Note,
    /// Every volume that was on disk, declared at that time or not, sorted by name.
    pub volumes: Vec<Volume>,
}

/// What [`State::prune`] removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The snapshots that are gone.
    pub ids: Vec<String>,
}

impl State {
    fn snapshots(&self) -> PathBuf {
        self.dir().join("snapshots")
    }

    /// Copies all volumes. The server must be stopped: nothing else makes the copy consistent.
    ///
    /// # Errors
    /// [`Error::SnapshotExists`], or what the disk says; then there is no snapshot of that name.
    pub fn snapshot_at_rest(&self, id: &str, note: Note) -> Result<Snapshot> {
        check_id("the snapshot", id)?;
        let snapshots = self.snapshots();
        private_dir(&snapshots)?;
        sweep_hidden(&snapshots)?;
        let path = snapshots.join(id);
        if path.exists() {
            return Err(Error::SnapshotExists { id: id.to_owned() });
        }
        let temporary = host_fs::temporary_beside(&path);
        let taken = self.copy_out(&temporary, id, note).and_then(|snapshot| {
            host_fs::rename(&temporary, &path)?;
            Ok(snapshot)
        });
        if taken.is_err() {
            let _ = host_fs::remove_dir_all(&temporary);
        }
        taken
    }

    fn copy_out(&self, temporary: &Path, id: &str, note: Note) -> Result<Snapshot> {
        let target = temporary.join("state");
        private_dir(&target)?;
        let live = self.live();
        let mut volumes = Vec::new();
        for name in host_fs::list(&live)? {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            private_dir(&target.join(&name))?;
            let copied = copy_dir(&live.join(&name), &target.join(&name))?;
            volumes.push(Volume { name, files: copied.files, bytes: copied.bytes });
        }
        let snapshot = Snapshot { id: id.to_owned(), note, volumes };
        let description = temporary.join("snapshot.json");
        let text = serde_json::to_vec_pretty(&snapshot)
            .map_err(|source| Error::Description { path: description.clone(), source })?;
        host_fs::write_atomic_with_mode(&description, &text, 0o600)?;
        sync_file_system(temporary)?;
        Ok(snapshot)
    }

    /// Makes the live state exactly what it was at snapshot `id`. The server must be stopped.
    ///
    /// What was live is moved to `replaced/`. May be repeated after an interruption.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`], or what the disk says; then the live state is untouched.
    pub fn restore(&self, id: &str) -> Result<Snapshot> {
        let snapshot = self.snapshot(id)?;
        self.sweep_restores()?;
        let (staged, ready, live) = (self.dir().join(STAGED), self.dir().join(READY), self.live());
        private_dir(&staged)?;
        let built = copy_dir(&self.snapshots().join(id).join("state"), &staged).and_then(|_| {
            sync_file_system(&staged)?;
            Ok(host_fs::rename(&staged, &ready)?)
        });
        if let Err(e) = built {
            let _ = host_fs::remove_dir_all(&staged);
            return Err(e);
        }
        private_dir(&live)?;
        renameat_with(CWD, &ready, CWD, &live, RenameFlags::EXCHANGE)
            .map_err(|e| FsError::new("exchange the state at", &live, e.into()))?;
        host_fs::sync_dir(self.dir())?;
        self.sweep_restores()?;
        Ok(snapshot)
    }

    /// Cleans up after an interrupted restore. A ready tree may be the old live one, so it is kept, not removed.
    fn sweep_restores(&self) -> Result<()> {
        host_fs::remove_dir_all(self.dir().join(STAGED))?;
        let ready = self.dir().join(READY);
        let replaced = self.dir().join("replaced");
        let number = |name: &std::ffi::OsString| name.to_str().and_then(|n| n.parse::<u64>().ok());
        if ready.is_dir() {
            private_dir(&replaced)?;
            let next = host_fs::list(&replaced)?.iter().filter_map(number).max().unwrap_or(0) + 1;
            host_fs::rename(&ready, replaced.join(next.to_string()))?;
        }
        let mut numbers: Vec<u64> = host_fs::list(&replaced)?.iter().filter_map(number).collect();
        numbers.sort_unstable();
        for old in numbers.iter().rev().skip(KEEP_REPLACED) {
            host_fs::remove_dir_all(replaced.join(old.to_string()))?;
        }
        Ok(())
    }

    /// The description of snapshot `id`.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`] if it is not there.
    pub fn snapshot(&self, id: &str) -> Result<Snapshot> {
        check_id("the snapshot", id)?;
        let path = self.snapshots().join(id).join("snapshot.json");
        let bytes = host_fs::read_optional(&path)?.ok_or_else(|| Error::NoSnapshot { id: id.to_owned() })?;
        serde_json::from_slice(&bytes).map_err(|source| Error::Description { path, source })
    }

    /// All snapshots, oldest first.
    ///
    /// # Errors
    /// If a description is unreadable.
    pub fn list(&self) -> Result<Vec<Snapshot>> {
        let mut all = Vec::new();
        for name in host_fs::list(self.snapshots())? {
            if let Some(name) = name.to_str().filter(|n| check_id("the snapshot", n).is_ok()) {
                all.push(self.snapshot(name)?);
            }
        }
        all.sort_by(|a: &Snapshot, b: &Snapshot| (a.note.taken, &a.id).cmp(&(b.note.taken, &b.id)));
        Ok(all)
    }

    /// Removes all snapshots but the newest `keep` and those in `protect`.
    ///
    /// # Errors
    /// If the disk says no; each snapshot is whole or gone.
    pub fn prune(&self, keep: usize, protect: &BTreeSet<String>) -> Result<Pruned> {
        let snapshots = self.snapshots();
        sweep_hidden(&snapshots)?;
        let mut pruned = Pruned::default();
        for old in self.list()?.iter().rev().skip(keep).filter(|s| !protect.contains(&s.id)) {
            let path = snapshots.join(&old.id);
            let gone = host_fs::temporary_beside(&path);
            host_fs::rename(&path, &gone)?;
            host_fs::remove_dir_all(&gone)?;
            pruned.ids.push(old.id.clone());
        }
        Ok(pruned)
    }
}

fn copy_dir(from: &Path, to: &Path) -> Result<Copied> {
    let (source, target) = (open_dir(from)?, open_dir(to)?);
    Ok(copy_tree(source.as_fd(), from, target.as_fd(), to)?)
}
