//! Trees written out as plain files: where images cannot be mounted, and to fill a volume with what an image has.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use regrow_host::FsError;
use regrow_host::fs;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, UTIME_OMIT, XattrFlags};

use super::Store;
use crate::error::{Error, Result};
use crate::id::ImageId;
use crate::tree::{Content, Entry, LeafId, LeafKind, Meta, Tree};

impl Store {
    /// Writes an image as plain files into the directory `dir`, which must be empty or absent. Contents are shared with
    /// the store where the file system can (reflink), else copied. Takes root.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`]; if something cannot be written ([`Error::is_disk_full`]), part of it stays in `dir`.
    pub fn checkout(&self, image: &ImageId, dir: impl AsRef<Path>) -> Result<()> {
        let _hold = self.hold()?;
        self.checkout_tree(&self.load(image)?, "/", dir)
    }

    /// Writes what is at `path` in `tree` to `to`: a directory's content and metadata into a directory that must be empty
    /// or absent, anything else to a name that must not exist. Owners, modes, times, attributes and hard links within
    /// are kept.
    ///
    /// Nothing waits for the disk; write to a scratch place and rename, if half of it would be wrong.
    ///
    /// # Errors
    /// [`Error::Tree`] if there is nothing at `path`; else as [`Store::checkout`].
    pub fn checkout_tree(&self, tree: &Tree, path: impl AsRef<[u8]>, to: impl AsRef<Path>) -> Result<()> {
        let (path, to) = (path.as_ref(), to.as_ref());
        let mut entries = tree.walk_below(path).peekable();
        let Some((start, _)) = entries.peek() else { return Err(Error::tree(path, "does not exist")) };
        let prefix = if start == b"/" { 1 } else { start.len() + 1 };
        if fs::list(to).is_ok_and(|names| !names.is_empty()) {
            let full = io::ErrorKind::DirectoryNotEmpty;
            return Err(FsError::new("write into", to, full.into()).into());
        }
        let mut links: HashMap<LeafId, PathBuf> = HashMap::new();
        let mut dirs: Vec<(PathBuf, &Meta)> = Vec::new();
        for (at, entry) in entries {
            let below = at.get(prefix..).unwrap_or_default();
            let full = if below.is_empty() { to.to_owned() } else { to.join(std::ffi::OsStr::from_bytes(below)) };
            let failed = |e: io::Error| FsError::new("write", &full, e);
            match entry {
                Entry::Dir(dir) => {
                    match std::fs::create_dir(&full) {
                        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && below.is_empty() => {}
                        made => made.map_err(failed)?,
                    }
                    dirs.push((full, &dir.meta));
                }
                Entry::Leaf(id, leaf) => {
                    if let Some(first) = links.get(&id) {
                        std::fs::hard_link(first, &full).map_err(failed)?;
                        continue;
                    }
                    self.write_leaf(&leaf.kind, &full)?;
                    set_meta(&full, &leaf.meta, matches!(leaf.kind, LeafKind::Symlink(_))).map_err(failed)?;
                    links.insert(id, full);
                }
            }
        }
        // Last and from the bottom, because writing into a directory changes its time.
        for (full, meta) in dirs.into_iter().rev() {
            set_meta(&full, meta, false).map_err(|e| FsError::new("set owner, mode and time of", &full, e))?;
        }
        Ok(())
    }

    fn write_leaf(&self, kind: &LeafKind, full: &Path) -> Result<()> {
        let failed = |e: io::Error| FsError::new("write", full, e);
        let node = |kind: FileType, major: u32, minor: u32| {
            rustix::fs::mknodat(CWD, full, kind, Mode::from_raw_mode(0o600), rustix::fs::makedev(major, minor))
                .map_err(|e| failed(e.into()))
        };
        match kind {
            LeafKind::File(content) => {
                let mut file = File::options().write(true).create_new(true).mode(0o600).open(full).map_err(failed)?;
                match content {
                    Content::Inline(bytes) => io::Write::write_all(&mut file, bytes).map_err(failed)?,
                    Content::Object { id, .. } => {
                        let mut object = self.open_object(id)?;
                        if rustix::fs::ioctl_ficlone(&file, &object).is_err() {
                            // In the kernel where it can.
                            io::copy(&mut object, &mut file).map_err(failed)?;
                        }
                    }
                }
            }
            LeafKind::Symlink(target) => {
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), full).map_err(failed)?;
            }
            LeafKind::CharDevice { major, minor } => node(FileType::CharacterDevice, *major, *minor)?,
            LeafKind::BlockDevice { major, minor } => node(FileType::BlockDevice, *major, *minor)?,
            LeafKind::Fifo => node(FileType::Fifo, 0, 0)?,
            LeafKind::Socket => node(FileType::Socket, 0, 0)?,
        }
        Ok(())
    }
}

/// Owner first: changing it clears setuid bits and capabilities.
fn set_meta(path: &Path, meta: &Meta, symlink: bool) -> io::Result<()> {
    std::os::unix::fs::lchown(path, Some(meta.uid), Some(meta.gid))?;
    if !symlink {
        rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(meta.mode), AtFlags::empty())?;
    }
    for (name, value) in &meta.xattrs {
        rustix::fs::lsetxattr(path, name.as_slice(), value, XattrFlags::empty())?;
    }
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: meta.mtime, tv_nsec: 0 },
    };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
