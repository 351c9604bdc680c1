//! The file tree inside, handled from set-up code that must not trust it.
//!
//! An image may hold anything: `/proc` as a symbolic link, `/etc` pointing to `/../../etc`. Every path is therefore
//! resolved by the kernel with the sandbox's root as `/` (`openat2`, `RESOLVE_IN_ROOT`), and every mount and write
//! then goes through the descriptor so obtained, never through the path again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags};

use crate::child::report::{Fault, fault};
use crate::spec::Entry;

type Result<T> = std::result::Result<T, Fault>;

/// The root directory of a sandbox while it is set up.
pub(crate) struct Inside {
    pub(crate) root: OwnedFd,
}

impl Inside {
    /// Opens `target` inside. Follows symbolic links, but never out.
    pub(crate) fn open(&self, target: &str, flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        // A rename elsewhere in the tree makes the kernel unsure about ".."; trying again is what it asks for.
        for _ in 0..16 {
            match rustix::fs::openat2(&self.root, target, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// One of the fixed mount points, which must be a real directory; made if missing.
    pub(crate) fn mount_point(&self, target: &str) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let doing = || format!("use {target} of the image as a mount point (it must be a directory)");
        match self.open(target, flags) {
            Err(Errno::NOENT) => {
                self.directory(target, 0o755)?;
                self.open(target, flags).map_err(fault(doing()))
            }
            other => other.map_err(fault(doing())),
        }
    }

    /// The directory `target`, made with its parents if missing.
    pub(crate) fn directory(&self, target: &str, mode: u32) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let doing = || format!("make the directory {target} inside");
        match self.open(target, flags) {
            Err(Errno::NOENT) => {}
            other => return other.map_err(fault(doing())),
        }
        let (parent, name) = self.parent(target)?;
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(mode)) {
            Ok(()) => rustix::fs::chmodat(&parent, name, Mode::from_raw_mode(mode), AtFlags::empty())
                .map_err(fault(doing()))?,
            Err(Errno::EXIST) => {}
            Err(e) => return Err(fault(doing())(e)),
        }
        self.open(target, flags).map_err(fault(doing()))
    }

    /// The file `target`, made empty with its parents if missing.
    pub(crate) fn file(&self, target: &str) -> Result<OwnedFd> {
        let doing = || format!("make the file {target} inside");
        match self.open(target, OFlags::PATH) {
            Err(Errno::NOENT) => {}
            other => return other.map_err(fault(doing())),
        }
        let (parent, name) = self.parent(target)?;
        create(parent.as_fd(), name, 0o644).map_err(fault(doing()))?;
        self.open(target, OFlags::PATH).map_err(fault(doing()))
    }

    /// The directory that holds `target` (made if missing) and the last part of the name.
    fn parent<'a>(&self, target: &'a str) -> Result<(OwnedFd, &'a str)> {
        let trimmed = target.trim_end_matches('/');
        let (parent, name) = trimmed.rsplit_once('/').unwrap_or(("", trimmed));
        if name.is_empty() || name == "." || name == ".." {
            return Err(fault(format!("use {target:?} as a path inside"))(Errno::INVAL));
        }
        Ok((self.directory(if parent.is_empty() { "/" } else { parent }, 0o755)?, name))
    }

    /// Writes one entry.
    pub(crate) fn write(&self, entry: &Entry) -> Result<()> {
        match entry {
            Entry::Directory { target, mode } => self.directory(target, *mode).map(|_| ()),
            Entry::File { target, bytes, mode } => {
                let (parent, name) = self.clear(target)?;
                let doing = || format!("write {target} inside");
                let file = create(parent.as_fd(), name, *mode).map_err(fault(doing()))?;
                write_all(&file, bytes).map_err(fault(doing()))
            }
            Entry::Symlink { target, to } => {
                let (parent, name) = self.clear(target)?;
                rustix::fs::symlinkat(to.as_str(), &parent, name).map_err(fault(format!("write {target} inside")))
            }
        }
    }

    /// Removes what is at `target` unless it is a directory with content; symbolic links themselves, not their ends.
    fn clear<'a>(&self, target: &'a str) -> Result<(OwnedFd, &'a str)> {
        let (parent, name) = self.parent(target)?;
        match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok((parent, name)),
            Err(e) => Err(fault(format!("replace {target} inside"))(e)),
        }
    }
}

/// A new file in `parent`, for writing; never an existing one.
pub(crate) fn create(parent: BorrowedFd<'_>, name: &str, mode: u32) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    Ok(file)
}

/// Writes all of `bytes`.
pub(crate) fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> std::result::Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// A fresh, detached file system of type `kind`.
pub(crate) fn file_system(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> std::result::Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        if value.is_empty() {
            rustix::mount::fsconfig_set_flag(&context, *key)?;
        } else {
            rustix::mount::fsconfig_set_string(&context, *key, *value)?;
        }
    }
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Attaches the detached `mount` over the open `place`.
pub(crate) fn attach(mount: BorrowedFd<'_>, place: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", place, c"", flags)
}

/// Attaches the detached `mount` over a path of the set-up code's own making.
pub(crate) fn attach_at(mount: BorrowedFd<'_>, path: &str) -> std::result::Result<(), Errno> {
    rustix::mount::move_mount(mount, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Whether an open place is a directory.
pub(crate) fn is_directory(place: BorrowedFd<'_>) -> std::result::Result<bool, Errno> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(place)?.st_mode) == FileType::Directory)
}
