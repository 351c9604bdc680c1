//! Lock files that a killed git leaves behind.
//!
//! Git takes a lock by making a file `X.lock`, and gives it up by renaming or removing it. Killed in between (kill -9, a
//! power cut) it leaves the file, and from then on every git refuses to touch X.
//!
//! * Refs: git holds their locks for moments. One that stays unchanged for [`DEAD`] is nobody's: [`settle`].
//! * The index: a person's git may hold its lock for as long as an editor is open, so it is not judged by age. We take it
//!   ourselves, as a second name of a file of ours; what a killed landing leaves of it is known by that: [`IndexLock`].

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use regrow_host::fs;

use crate::error::Result;

/// How long the lock of a ref may stay as it is.
const DEAD: Duration = Duration::from_secs(3);
/// How long a lock that somebody holds is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked at. No event tells of it where inotify is not.
const LOOK: Duration = Duration::from_millis(2);

/// Waits until a ref's lock is gone; one that nobody works on any more is removed.
pub(crate) fn settle(lock: &Path) -> Result<()> {
    let since = Instant::now();
    while let Ok(found) = std::fs::symlink_metadata(lock) {
        // By its own time, so that of several that were left together only the first is waited for.
        let still = found.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_else(|| since.elapsed());
        if still >= DEAD {
            return Ok(fs::remove_file(lock)?);
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// The lock that kept a git from its work, if that is what it says.
pub(crate) fn in_the_way(stderr: &str) -> Option<PathBuf> {
    let (_, rest) = stderr.split_once("Unable to create '")?;
    let (path, _) = rest.split_once("': File exists")?;
    path.ends_with(".lock").then(|| PathBuf::from(path))
}

/// The lock of the index, held by us.
#[derive(Debug)]
pub(crate) struct IndexLock {
    lock: PathBuf,
    mark: PathBuf,
}

impl IndexLock {
    /// Takes it. Only the holder of the lock of landings may ask: what it finds of an earlier holder is a dead one's.
    ///
    /// # Errors
    /// If somebody's git holds it.
    pub(crate) fn take(git_dir: &Path) -> Result<IndexLock> {
        let taken = IndexLock { lock: git_dir.join("index.lock"), mark: git_dir.join("regrow-index-lock") };
        let id = |path: &Path| std::fs::symlink_metadata(path).ok().map(|m| (m.dev(), m.ino()));
        if let Some(ours) = id(&taken.mark) {
            if id(&taken.lock) == Some(ours) {
                fs::remove_file(&taken.lock)?;
            }
            fs::remove_file(&taken.mark)?;
        }
        let failed = |e| fs::Error::new("take", &taken.lock, e);
        std::fs::File::create_new(&taken.mark).map_err(failed)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match std::fs::hard_link(&taken.mark, &taken.lock) {
                Ok(()) => return Ok(taken),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && Instant::now() < until => {
                    std::thread::sleep(LOOK);
                }
                Err(e) => {
                    let error = failed(e);
                    let _ = fs::remove_file(&taken.mark);
                    // It is not ours to remove.
                    std::mem::forget(taken);
                    return Err(error.into());
                }
            }
        }
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.lock);
        let _ = fs::remove_file(&self.mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_stays_is_removed_and_one_that_goes_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("main.lock");
        settle(&lock).unwrap();
        std::fs::write(&lock, "").unwrap();
        let since = Instant::now();
        settle(&lock).unwrap();
        // The clock of files is some milliseconds behind the one that is read here.
        let slack = Duration::from_millis(100);
        assert!(!lock.exists() && since.elapsed() + slack >= DEAD);
        std::fs::write(&lock, "").unwrap();
        let path = lock.clone();
        let other = std::thread::spawn(move || std::fs::remove_file(path).unwrap());
        settle(&lock).unwrap();
        other.join().unwrap();
        assert!(!lock.exists());
    }

    #[test]
    fn the_lock_of_the_index_is_taken_back_from_the_dead_and_never_from_the_living() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("index.lock");
        // Killed while it held it.
        std::mem::forget(IndexLock::take(dir.path()).unwrap());
        assert!(lock.exists());
        drop(IndexLock::take(dir.path()).unwrap());
        assert!(!lock.exists());
        // Somebody's git.
        std::fs::write(&lock, "theirs").unwrap();
        assert!(IndexLock::take(dir.path()).is_err());
        assert_eq!(std::fs::read_to_string(&lock).unwrap(), "theirs");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no mark is left");
    }

    #[test]
    fn what_git_says_names_the_lock() {
        let said = "fatal: prepare: cannot lock ref 'refs/heads/main': Unable to create '/x/.git/refs/heads/main.lock': File exists.\n\nAnother git process seems to be running";
        assert_eq!(in_the_way(said), Some(PathBuf::from("/x/.git/refs/heads/main.lock")));
        assert_eq!(in_the_way("fatal: cannot lock ref 'x': is at 1 but expected 2"), None);
    }
}
