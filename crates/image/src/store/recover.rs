//! After a power cut: what had not reached the disk is found and removed.
//!
//! Runs when `unsynced/` holds a mark of another boot (see the store's words). It needs the store for itself, and reads
//! all of it: every object and image is compared with its name. Interrupted, it begins again, because the marks go last.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use regrow_host::FsError;
use regrow_host::fs;
use regrow_host::lock::{FileLock, Wait};
use regrow_host::progress::{self, Progress, Unit};

use super::objects::read_at;
use super::{Store, images};
use crate::error::Result;
use crate::id::ObjectId;
use crate::verity::Hasher;

/// Names this boot of the machine. Without one, the answer differs each time, so that marks are never trusted.
pub(super) fn boot_id() -> String {
    match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(id) if !id.trim().is_empty() && id.trim().bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') => {
            id.trim().to_owned()
        }
        _ => format!("unknown-{}", std::process::id()),
    }
}

/// Whether a mark was left in this boot: it is named `BOOT.PID-N`.
pub(super) fn is_of_boot(mark: &OsStr, boot: &str) -> bool {
    mark.to_str().and_then(|name| name.split('.').next()) == Some(boot)
}

impl Store {
    /// Checks the store if the machine went down while it was written.
    pub(super) fn recover(&self, progress: &dyn Progress) -> Result<()> {
        if self.foreign_marks()?.is_empty() {
            return Ok(());
        }
        let Some(_alone) = FileLock::exclusive(self.path.join("lock"), Wait::UntilFree)? else { return Ok(()) };
        // Somebody else may have done it while we waited.
        let marks = self.foreign_marks()?;
        if marks.is_empty() {
            return Ok(());
        }
        let step = progress::step(progress, "store", "checking the store after the machine went down");
        let removed = self.check(&step)?;
        let dir = fs::open(&self.path)?;
        rustix::fs::syncfs(&dir).map_err(|e| FsError::new("write to the disk of", &self.path, e.into()))?;
        for mark in marks {
            fs::remove_file(mark)?;
        }
        step.finish(match removed {
            0 => "everything is whole".to_owned(),
            n => format!("removed {n} damaged or incomplete entries"),
        });
        Ok(())
    }

    fn foreign_marks(&self) -> Result<Vec<PathBuf>> {
        let boot = boot_id();
        let dir = self.path.join("unsynced");
        let names = fs::list(&dir)?.into_iter();
        Ok(names.filter(|name| !is_of_boot(name, &boot)).map(|name| dir.join(name)).collect())
    }

    /// Removes every damaged object and image, every image that lacks an object, every layer without its image; says how
    /// many. Refs stay: whoever set them must learn that the image is gone.
    fn check(&self, step: &progress::Step<'_>) -> Result<u64> {
        let mut objects = Vec::new();
        for folder in fs::list(self.path.join("objects"))? {
            let dir = self.path.join("objects").join(&folder);
            for name in fs::list(&dir)? {
                objects.push((format!("{}{}", folder.to_string_lossy(), name.to_string_lossy()), dir.join(name)));
            }
        }
        let (total, done) = (objects.len() as u64, AtomicU64::new(0));
        let whole: Vec<Option<(ObjectId, u64)>> = objects
            .par_iter()
            .map(|(name, path)| {
                let seen = measure(path)?;
                step.advance(done.fetch_add(1, Ordering::Relaxed) + 1, total, Unit::Items);
                if seen.0.to_string() == *name {
                    return Ok(Some(seen));
                }
                fs::remove_file(path)?;
                Ok(None)
            })
            .collect::<Result<_>>()?;
        let mut removed = whole.iter().filter(|w| w.is_none()).count() as u64;
        let sizes: BTreeMap<ObjectId, u64> = whole.into_iter().flatten().collect();
        for image in self.images()? {
            let complete = match self.load(&image) {
                Ok(tree) => images::objects_of(&tree).iter().all(|(id, size)| sizes.get(id) == Some(size)),
                Err(_) => false,
            };
            if !complete {
                fs::remove_file(self.image_path(&image))?;
                removed += 1;
            }
        }
        for name in fs::list(self.path.join("layers"))? {
            let named = name.to_str().map(|key| self.layer(key));
            if !matches!(named, Some(Ok(Some(_)))) {
                fs::remove_file(self.path.join("layers").join(&name))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Digest and size of a file.
fn measure(path: &std::path::Path) -> Result<(ObjectId, u64)> {
    let file = fs::open(path)?;
    let (mut hasher, mut size, mut buffer) = (Hasher::default(), 0, vec![0; 1 << 18]);
    loop {
        let length = read_at(&file, &mut buffer, size).map_err(|e| FsError::new("read", path, e))?;
        hasher.update(&buffer[..length]);
        size += length as u64;
        if length < buffer.len() {
            return Ok((hasher.finish(), size));
        }
    }
}
