//! User namespaces as file descriptors, and mounts seen through them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::OpenTreeFlags;

use crate::error::{Error, Result, hint, step};
use crate::spawner::on_spawner;
use crate::sys;

/// A user namespace in which ids 0..count are the host's base..base+count. Cheap to clone; gone with the last clone.
#[derive(Debug, Clone)]
pub struct UserNs {
    fd: Arc<OwnedFd>,
    base: u32,
    count: u32,
}

impl UserNs {
    /// A new one; `base` is the host's id of root inside.
    ///
    /// # Errors
    /// If we are not root, `base + count` is no valid id, or the kernel has no (more) user namespaces.
    pub fn new(base: u32, count: u32) -> Result<UserNs> {
        if count == 0 || base.checked_add(count).is_none_or(|end| end == u32::MAX) {
            return Err(Error::Invalid(format!("{base}+{count} is no range of user ids")));
        }
        // A process that does nothing but be in the namespace while its map is written.
        let (ready, ready_write) = pipe()?;
        let (hold_read, hold) = pipe()?;
        let pid = on_spawner(move || match sys::fork() {
            Ok(0) => {
                use std::os::fd::AsRawFd;
                sys::close_all_but(&mut [ready_write.as_raw_fd(), hold_read.as_raw_fd()]);
                let done = sys::die_with_parent().and_then(|()| sys::unshare(libc::CLONE_NEWUSER));
                let errno = done.err().and_then(|e| e.raw_os_error()).unwrap_or(0);
                let _ = rustix::io::write(&ready_write, &errno.to_ne_bytes());
                let _ = rustix::io::read(&hold_read, &mut [0u8; 1]);
                sys::exit_now(0)
            }
            other => other.map(|pid| (pid, hold)),
        })?;
        let (pid, hold) = pid.map_err(step("fork"))?;
        let result = (|| {
            let mut errno = [0u8; 4];
            let read = rustix::io::read(&ready, &mut errno).map_err(step("wait for the user namespace"))?;
            let errno = if read == 4 { i32::from_ne_bytes(errno) } else { libc::EIO };
            if errno != 0 {
                return Err(step::<std::io::Error>("make a user namespace")(std::io::Error::from_raw_os_error(errno)));
            }
            let map = format!("0 {base} {count}\n");
            for file in ["uid_map", "gid_map"] {
                std::fs::write(format!("/proc/{pid}/{file}"), &map)
                    .map_err(step(format!("write {file} of the new user namespace")))?;
            }
            let file =
                std::fs::File::open(format!("/proc/{pid}/ns/user")).map_err(step("open the new user namespace"))?;
            Ok(UserNs { fd: Arc::new(file.into()), base, count })
        })();
        drop(hold);
        let pid = rustix::process::Pid::from_raw(pid);
        let _ = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty());
        result
    }

    /// The host's id of root in the user namespace of the process `pid`.
    ///
    /// # Errors
    /// If the process is gone or maps no root.
    pub fn base_of(pid: i32) -> Result<u32> {
        let path = format!("/proc/{pid}/uid_map");
        let map = regrow_host::fs::read_to_string(&path)?;
        let root = map.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()).find(|l| l.first() == Some(&"0"));
        root.and_then(|l| l.get(1)?.parse().ok()).ok_or_else(|| Error::Invalid(format!("{path} maps no root")))
    }

    /// The namespace, for calls that take one.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The host's id of root inside.
    pub fn base(&self) -> u32 {
        self.base
    }

    /// How many ids there are inside.
    pub fn count(&self) -> u32 {
        self.count
    }
}

/// A detached clone of the mount at `path` in which the host's ids 0.. on disk are the namespace's ids 0..: what lies
/// there unshifted is owned inside as it reads outside. Not recursive; `nodev`.
///
/// # Errors
/// If `path` is missing or its file system has no id-mapped mounts.
pub fn id_mapped_clone(path: impl AsRef<Path>, userns: &UserNs) -> Result<OwnedFd> {
    let path = path.as_ref();
    clone_mount(open_path(path)?.as_fd(), sys::MOUNT_ATTR_NODEV, Some(userns)).map_err(|e| e.at(path))
}

/// A detached read-only clone of the mount at `path`, ids mapped if `userns` is given. Not recursive.
///
/// # Errors
/// As [`id_mapped_clone`].
pub fn read_only_clone(path: impl AsRef<Path>, userns: Option<&UserNs>) -> Result<OwnedFd> {
    let path = path.as_ref();
    clone_mount(open_path(path)?.as_fd(), sys::MOUNT_ATTR_NODEV | sys::MOUNT_ATTR_RDONLY, userns)
        .map_err(|e| e.at(path))
}

/// Opens anything as a place only.
pub(crate) fn open_path(path: &Path) -> Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| regrow_host::FsError::new("open", path, e.into()).into())
}

/// Why a mount could not be cloned; [`CloneError::at`] adds where.
pub(crate) struct CloneError {
    doing: &'static str,
    source: std::io::Error,
}

impl CloneError {
    pub(crate) fn at(self, path: &Path) -> Error {
        let doing = format!("{} {}", self.doing, path.display());
        let hint = hint(&doing, self.source.raw_os_error().unwrap_or(0));
        Error::Step { doing, hint, source: self.source }
    }
}

/// A detached clone of the mount that `place` is on, rooted at `place`, with attributes `set`.
pub(crate) fn clone_mount(
    place: BorrowedFd<'_>,
    set: u64,
    userns: Option<&UserNs>,
) -> std::result::Result<OwnedFd, CloneError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = rustix::mount::open_tree(place, c"", flags)
        .map_err(|e| CloneError { doing: "clone the mount of", source: e.into() })?;
    if set != 0 || userns.is_some() {
        sys::mount_setattr(mount.as_fd(), set, userns.map(UserNs::fd)).map_err(|source| CloneError {
            doing: if userns.is_some() { "map the ids of the mount of" } else { "set attributes of the mount of" },
            source,
        })?;
    }
    Ok(mount)
}

/// A pipe (read, write) that no child inherits by accident.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(step("make a pipe"))
}

/// Duplicates a descriptor, close-on-exec, with a number above the standard streams.
pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC returns a new descriptor that nobody else owns.
    let new = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) };
    if new < 0 {
        return Err(step::<std::io::Error>("duplicate a file descriptor")(std::io::Error::last_os_error()));
    }
    // SAFETY: see above.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}
