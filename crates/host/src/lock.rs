//! Advisory locks that end with their holder, and scratch directories that a sweeper can tell from abandoned ones.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::fs::{self, Error, Result};

/// Whether to wait for a lock that somebody else holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until it is free (interrupted by [`crate::cancel`] between polls).
    UntilFree,
    /// Not at all.
    No,
}

/// An flock(2) lock. The kernel releases it when the file is closed, also by kill -9, so it is never stale.
///
/// The file is inherited by no child (`O_CLOEXEC`).
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
}

impl Drop for FileLock {
    /// Lets go of it, also of what a child just started elsewhere in this program has inherited and not closed yet:
    /// otherwise whoever is told that it is free might find it held.
    fn drop(&mut self) {
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl FileLock {
    /// Takes `path` for one holder. `Ok(None)` if it is held and `wait` is [`Wait::No`].
    pub fn exclusive(path: impl AsRef<Path>, wait: Wait) -> Result<Option<FileLock>> {
        Self::take(path.as_ref(), FlockOperation::NonBlockingLockExclusive, wait)
    }

    /// Takes `path` together with other shared holders. `Ok(None)` as for [`FileLock::exclusive`].
    pub fn shared(path: impl AsRef<Path>, wait: Wait) -> Result<Option<FileLock>> {
        Self::take(path.as_ref(), FlockOperation::NonBlockingLockShared, wait)
    }

    fn take(path: &Path, operation: FlockOperation, wait: Wait) -> Result<Option<FileLock>> {
        let err = |e: std::io::Error| Error::new("lock", path, e);
        loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)
                .map_err(err)?;
            match flock(&file, operation) {
                Ok(()) => {
                    // The holder before us may have removed the file: then this lock guards nothing.
                    let same = std::fs::metadata(path)
                        .is_ok_and(|m| file.metadata().is_ok_and(|n| (m.dev(), m.ino()) == (n.dev(), n.ino())));
                    if same {
                        return Ok(Some(FileLock { file, path: path.to_owned() }));
                    }
                }
                Err(rustix::io::Errno::WOULDBLOCK) if wait == Wait::No => return Ok(None),
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    if crate::cancel::requested() {
                        return Err(err(std::io::ErrorKind::Interrupted.into()));
                    }
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(err(e.into())),
            }
        }
    }

    /// The locked file, for a holder that keeps a line about itself in it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A private directory that is removed on drop, and by [`sweep`] if its owner was killed.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _lock: FileLock,
}

impl Scratch {
    /// A new directory below `parent`, whose name starts with `prefix`.
    pub fn new(parent: impl AsRef<Path>, prefix: &str) -> Result<Scratch> {
        let parent = parent.as_ref();
        fs::create_dir_all(parent)?;
        for n in 0.. {
            let name = format!("{prefix}-{}-{n}", std::process::id());
            // The lock comes before the directory, so that a sweeper never sees one without the other.
            let Some(lock) = FileLock::exclusive(parent.join(format!("{name}.lock")), Wait::No)? else { continue };
            let path = parent.join(&name);
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Scratch { path, _lock: lock }),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(Error::new("create the directory", path, e)),
            }
        }
        unreachable!("u64 names are not exhausted")
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_file(self._lock.path());
    }
}

/// Removes the scratch directories below `parent` whose owner is gone; returns how many.
pub fn sweep(parent: impl AsRef<Path>) -> Result<usize> {
    let parent = parent.as_ref();
    let mut swept = 0;
    for name in fs::list(parent)? {
        let Some(stem) = name.to_str().and_then(|n| n.strip_suffix(".lock")) else { continue };
        if let Some(lock) = FileLock::exclusive(parent.join(&name), Wait::No)? {
            fs::remove_dir_all(parent.join(stem))?;
            fs::remove_file(lock.path())?;
            swept += 1;
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_go_is_free_though_a_child_has_inherited_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let lock = FileLock::exclusive(&path, Wait::No).unwrap().unwrap();
        // As in a child between fork and exec.
        let inherited = lock.file.try_clone().unwrap();
        drop(lock);
        assert!(FileLock::exclusive(&path, Wait::No).unwrap().is_some());
        drop(inherited);
    }

    #[test]
    fn a_second_holder_is_refused_until_the_first_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let first = FileLock::exclusive(&path, Wait::No).unwrap().unwrap();
        assert!(FileLock::exclusive(&path, Wait::No).unwrap().is_none());
        drop(first);
        assert!(FileLock::exclusive(&path, Wait::No).unwrap().is_some());
    }

    #[test]
    fn sweep_takes_abandoned_directories_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Scratch::new(dir.path(), "build").unwrap();
        let abandoned = dir.path().join("build-1-9");
        std::fs::create_dir(&abandoned).unwrap();
        std::fs::write(dir.path().join("build-1-9.lock"), b"").unwrap();
        assert_eq!(sweep(dir.path()).unwrap(), 1);
        assert!(!abandoned.exists());
        assert!(kept.path().is_dir());
    }
}
