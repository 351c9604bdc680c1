//! The content store, and the names of images in it.
//!
//! ```text
//! store/
//!   format            what this folder is, in one line
//!   lock              shared by whoever works in the store, exclusive for gc and repair
//!   objects/ab/cdef…  file contents, named by their fs-verity digest, never changed once there
//!   images/<id>       EROFS metadata, named by its digest
//!   layers/<key>      the id of the image that a build step gave
//!   refs/<name>       an image that gc keeps
//!   scratch/          half-written files of living processes
//!   unsynced/         who wrote since the last sync, and in which boot of the machine
//! ```
//!
//! **A killed process** leaves nothing half-done: every file is written in `scratch/` and renamed into place, an object
//! before the image that needs it, an image before the layer or ref that names it. What it left in `scratch/` is swept
//! by the next [`Store::open`].
//!
//! **A power cut** is another matter: renamed files may be empty after it. Waiting for the disk after every one of 20,000
//! objects would take minutes, so nothing waits. Instead, the first write after a [`Store::sync`] leaves a mark in
//! `unsynced/`, itself waited for, that names the boot of the machine; [`Store::sync`] waits for the whole file system
//! once and takes the mark away. A mark from another boot means that the machine went down with writes under way: then
//! `open` checks every object and image against its name and removes what is damaged or incomplete, with the layers
//! naming it. So an image is there whole or not at all. What must not be lost (an image going online) is synced by
//! [`Store::set_ref`] or [`Store::sync`] before anything depends on it.
//!
//! **Garbage collection** needs the store for itself. A store value that has written keeps it away until it is dropped;
//! work that only reads, or reads before it writes, takes a [`Hold`]. A *running* image is nobody's hold: its owner names
//! it as a root.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use regrow_host::FsError;
use regrow_host::fs;
use regrow_host::lock::{FileLock, Scratch, Wait};
use regrow_host::progress::{Progress, Silent};

use crate::error::{Error, Result};
use crate::id::ObjectId;

mod checkout;
mod gc;
mod images;
mod mount;
mod names;
mod objects;
mod recover;
mod scan;
mod upper;

pub use gc::Freed;
pub use mount::MountWay;
pub use upper::UpperMode;

/// The content of the file `format`.
const FORMAT: &str = "regrow store 1: objects by fs-verity digest (sha256, blocks of 4096), images EROFS composefs 1\n";

/// A content store on disk. Cheap to open; can be shared between threads.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// Present once this value has written. Putters read-lock, `sync` write-locks.
    writer: RwLock<Option<Writer>>,
    /// Objects seen while gc was held away by `writer`, so that they are not looked for again.
    known: Mutex<HashSet<ObjectId>>,
}

/// What a value that writes holds.
#[derive(Debug)]
struct Writer {
    /// Keeps gc away.
    _hold: Hold,
    /// Its mark in `unsynced/`, present and locked from the first write after a sync to the next sync.
    mark: Option<FileLock>,
    scratch: Scratch,
    counter: AtomicU64,
}

/// Keeps garbage collection away while it lives. From [`Store::hold`].
#[derive(Debug, Clone)]
pub struct Hold(#[allow(dead_code, reason = "held for its destructor")] Arc<FileLock>);

/// Whether the kernel itself could check contents (fs-verity) whenever they are read.
///
/// It is not switched on for objects yet, so for now this is only something to tell: contents are checked by us, images
/// whenever they are loaded and objects after a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verity {
    /// The file system under the store has it.
    Supported,
    /// It has not.
    Missing,
}

impl Store {
    /// Opens the store in `path`, making it if it is not there; sweeps what killed writers left, and after a power cut
    /// checks everything (which reads the whole store).
    ///
    /// # Errors
    /// If the folder cannot be made or read, or holds a store of another format.
    pub fn open(path: impl AsRef<Path>) -> Result<Store> {
        Store::open_with(path, &Silent)
    }

    /// [`Store::open`], telling how far a check has come.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(path: impl AsRef<Path>, progress: &dyn Progress) -> Result<Store> {
        use std::os::unix::fs::PermissionsExt;
        let path = path.as_ref();
        fs::create_dir_all(path)?;
        // Made absolute so that a later change of directory does not move the store.
        let path = path.canonicalize().map_err(|e| FsError::new("find", path, e))?;
        let store = Store { path, writer: RwLock::new(None), known: Mutex::default() };
        match fs::read_optional(store.path.join("format"))? {
            Some(format) if format == FORMAT.as_bytes() => {}
            Some(_) => {
                let why = "it belongs to another version of this program".to_owned();
                return Err(Error::Damaged { path: store.path.join("format"), why });
            }
            None => {
                // Contents include files that only root inside may read; images of other users' servers too.
                std::fs::set_permissions(&store.path, std::fs::Permissions::from_mode(0o700))
                    .map_err(|e| FsError::new("set the mode of", &store.path, e))?;
                for name in ["images", "layers", "refs", "scratch", "unsynced"] {
                    fs::create_dir_all(store.path.join(name))?;
                }
                for n in 0..=255 {
                    fs::create_dir_all(store.path.join(format!("objects/{n:02x}")))?;
                }
                // The format comes last: with it, everything is there.
                fs::write_atomic(store.path.join("format"), FORMAT.as_bytes())?;
            }
        }
        mount::sweep(&store.path.join("scratch"));
        regrow_host::lock::sweep(store.path.join("scratch"))?;
        store.recover(progress)?;
        Ok(store)
    }

    /// Where it lies, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps [`Store::gc`] of everybody away until the hold is dropped; waits for one under way.
    ///
    /// # Errors
    /// If the lock cannot be taken, or stopping was asked for while waiting.
    pub fn hold(&self) -> Result<Hold> {
        let lock = FileLock::shared(self.path.join("lock"), Wait::UntilFree)?;
        match lock {
            Some(lock) => Ok(Hold(Arc::new(lock))),
            None => Err(self.in_use()),
        }
    }

    /// Whether the kernel can check contents here.
    pub fn verity(&self) -> Verity {
        // FS_VERITY_FL shows only on files that have it; asking for the digest of one that has none tells
        // "not enabled" from "not supported".
        let probe = File::open(self.path.join("format"));
        let measured = probe.map(|f| composefs::fsverity::measure_verity::<composefs::fsverity::Sha256HashValue>(&f));
        match measured {
            Ok(Err(composefs::fsverity::MeasureVerityError::VerityMissing) | Ok(_)) => Verity::Supported,
            _ => Verity::Missing,
        }
    }

    /// Waits until everything this machine has written to the store's file system is on the disk. After that, nothing
    /// that is in the store now can be lost to a power cut.
    ///
    /// # Errors
    /// If the disk reports that something could not be written.
    pub fn sync(&self) -> Result<()> {
        let mut writer = self.writer.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Marks of processes that have ended are settled by this sync too, if they ended before it.
        let mut settled = Vec::new();
        for name in fs::list(self.path.join("unsynced"))? {
            let path = self.path.join("unsynced").join(name);
            let ours = writer.as_ref().and_then(|w| w.mark.as_ref()).is_some_and(|mark| mark.path() == path);
            if !ours && let Some(lock) = FileLock::exclusive(&path, Wait::No)? {
                settled.push(lock);
            }
        }
        let dir = fs::open(&self.path)?;
        rustix::fs::syncfs(&dir).map_err(|e| FsError::new("write to the disk of", &self.path, e.into()))?;
        for lock in settled {
            fs::remove_file(lock.path())?;
        }
        if let Some(mark) = writer.as_mut().and_then(|w| w.mark.take()) {
            fs::remove_file(mark.path())?;
        }
        Ok(())
    }

    /// Runs `work` with a writer, made if there is none. Must not be nested: a [`Store::sync`] waiting in between would
    /// wait for the outer one, and the inner one for it.
    fn with_writer<T>(&self, work: impl FnOnce(&Writer) -> Result<T>) -> Result<T> {
        loop {
            {
                let writer = self.writer.read().unwrap_or_else(std::sync::PoisonError::into_inner);
                if let Some(writer) = &*writer
                    && writer.mark.is_some()
                {
                    return work(writer);
                }
            }
            let mut writer = self.writer.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            match &mut *writer {
                Some(writer) if writer.mark.is_some() => {}
                Some(writer) => writer.mark = Some(self.mark()?),
                None => {
                    let hold = self.hold()?;
                    let mark = Some(self.mark()?);
                    let scratch = Scratch::new(self.path.join("scratch"), "put")?;
                    *writer = Some(Writer { _hold: hold, mark, scratch, counter: AtomicU64::new(0) });
                }
            }
        }
    }

    /// Leaves a durable mark that writes are under way, or takes over one whose owner has ended.
    fn mark(&self) -> Result<FileLock> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let dir = self.path.join("unsynced");
        let boot = recover::boot_id();
        // Waiting for the disk is what costs. A mark gets its content only after that, so one with content is durable.
        for name in fs::list(&dir)? {
            if recover::is_of_boot(&name, &boot)
                && let Some(lock) = FileLock::exclusive(dir.join(&name), Wait::No)?
                && lock.file().metadata().is_ok_and(|m| m.len() > 0)
            {
                return Ok(lock);
            }
        }
        loop {
            let n = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = dir.join(format!("{boot}.{}-{n}", std::process::id()));
            let Some(lock) = FileLock::exclusive(&path, Wait::No)? else { continue };
            let writing = |e| FsError::new("write", &path, e);
            lock.file().sync_all().map_err(writing)?;
            fs::sync_dir(&dir)?;
            (&mut lock.file()).write_all(b"durable\n").map_err(writing)?;
            return Ok(lock);
        }
    }

    fn known(&self) -> MutexGuard<'_, HashSet<ObjectId>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn object_path(&self, id: &ObjectId) -> PathBuf {
        self.path.join("objects").join(id.pathname())
    }
}

impl Writer {
    /// A name nobody else uses, on the store's file system.
    fn temporary(&self) -> PathBuf {
        self.scratch.path().join(self.counter.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Puts `bytes` at `path` in one step. Not waited for: see the module's words on power cuts.
    fn publish(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let temporary = self.temporary();
        let written = create(&temporary).and_then(|mut file| file.write_all(bytes));
        self.finish(&temporary, path, written)
    }

    /// Renames a written temporary into place, or removes it if it could not be written.
    fn finish(&self, temporary: &Path, path: &Path, written: std::io::Result<()>) -> Result<()> {
        let done = written.and_then(|()| std::fs::rename(temporary, path));
        done.map_err(|e| {
            let _ = std::fs::remove_file(temporary);
            FsError::new("write", path, e).into()
        })
    }
}

/// A new file that everybody may read once its folder lets them, and nobody should change.
fn create(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).read(true).create_new(true).mode(0o444).open(path)
}

#[cfg(test)]
mod tests;
