//! Garbage collection: freeing what nothing refers to, and only that.
//!
//! It has the store for itself, so nobody is between putting an object and committing the image that needs it. Names go
//! before images and images before objects; a kill in between leaves only things that the next run frees.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use regrow_host::FsError;
use regrow_host::fs;
use regrow_host::lock::{FileLock, Wait};
use serde::Serialize;

use super::{Store, images};
use crate::error::{Error, Result};
use crate::id::ImageId;

/// What garbage collection freed, or would free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Freed {
    /// Contents of files.
    pub objects: u64,
    /// Images.
    pub images: u64,
    /// Names of layers.
    pub layers: u64,
    /// Bytes of the objects and images.
    pub bytes: u64,
}

impl Store {
    /// Frees every layer whose key is not in `keep_layers`, every image that is neither in `roots` nor named by a ref or
    /// a kept layer, and every object that no kept image needs. With `dry` nothing is removed, only counted.
    ///
    /// Roots that are not in the store are passed over. `roots` must name every running image. What this value has put
    /// and not committed is freed too.
    ///
    /// # Errors
    /// [`Error::InUse`] if somebody works in the store; [`Error::Damaged`] if a kept image cannot be read, because what
    /// it needs is unknown then. Nothing is freed in both cases.
    pub fn gc(&self, roots: &[ImageId], keep_layers: &BTreeSet<String>, dry: bool) -> Result<Freed> {
        let mut writer = self.writer.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Our own shared lock would stand in our way; with it goes what we knew to be there. The mark stays on disk.
        *writer = None;
        self.known().clear();
        let Some(_alone) = FileLock::exclusive(self.path.join("lock"), Wait::No)? else { return Err(self.in_use()) };

        let mut freed = Freed::default();
        let mut kept: BTreeSet<ImageId> =
            roots.iter().copied().chain(self.refs()?.into_iter().map(|(_, id)| id)).collect();
        let mut gone: Vec<PathBuf> = Vec::new();
        for name in fs::list(self.path.join("layers"))? {
            let path = self.path.join("layers").join(&name);
            let image = match name.to_str() {
                Some(key) if keep_layers.contains(key) => self.layer(key)?,
                _ => None,
            };
            match image {
                Some(image) => {
                    kept.insert(image);
                }
                None => {
                    freed.layers += 1;
                    gone.push(path);
                }
            }
        }
        let mut needed = BTreeSet::new();
        for image in self.images()? {
            let path = self.image_path(&image);
            if kept.contains(&image) {
                needed.extend(images::objects_of(&self.load(&image)?).into_iter().map(|(id, _)| id.pathname()));
            } else {
                freed.images += 1;
                freed.bytes += size(&path)?;
                gone.push(path);
            }
        }
        for folder in fs::list(self.path.join("objects"))? {
            let dir = self.path.join("objects").join(&folder);
            for name in fs::list(&dir)? {
                if !needed.contains(&format!("{}/{}", folder.to_string_lossy(), name.to_string_lossy())) {
                    let path = dir.join(name);
                    freed.objects += 1;
                    freed.bytes += size(&path)?;
                    gone.push(path);
                }
            }
        }
        if !dry && !gone.is_empty() {
            // A power cut could undo the removal of an image but not that of its objects: the mark has it checked.
            let _mark = self.mark()?;
            for path in gone {
                fs::remove_file(path)?;
            }
        }
        Ok(freed)
    }

    /// The error that says who uses the store.
    pub(super) fn in_use(&self) -> Error {
        Error::InUse { path: self.path.clone(), holders: self.holders() }
    }

    /// Who holds the lock, as far as the kernel tells.
    fn holders(&self) -> String {
        let lock = std::fs::metadata(self.path.join("lock"))
            .map(|m| (rustix::fs::major(m.dev()), rustix::fs::minor(m.dev()), m.ino()));
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        let mut holders = BTreeSet::new();
        if let Ok((major, minor, ino)) = lock {
            let wanted = format!("{major:02x}:{minor:02x}:{ino}");
            for line in locks.lines().filter(|l| l.contains("FLOCK") && !l.contains("->")) {
                let words: Vec<&str> = line.split_whitespace().collect();
                if let (Some(at), Some(pid)) = (words.iter().position(|w| *w == wanted), words.get(4)) {
                    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                    if at == 5 && *pid == std::process::id().to_string() {
                        holders.insert("this process".to_owned());
                    } else if at == 5 && !name.is_empty() {
                        holders.insert(format!("`{}` (process {pid})", name.trim()));
                    }
                }
            }
        }
        if holders.is_empty() {
            "another process".to_owned()
        } else {
            holders.into_iter().collect::<Vec<_>>().join(", ")
        }
    }
}

fn size(path: &std::path::Path) -> Result<u64> {
    Ok(std::fs::symlink_metadata(path).map_err(|e| FsError::new("look at", path, e))?.len())
}
