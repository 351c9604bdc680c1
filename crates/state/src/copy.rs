//! Copies a directory tree with everything that makes it the same tree: owners, modes, times, extended attributes
//! (with them ACLs and capabilities), hard links, holes, symbolic links, devices, pipes and sockets.
//!
//! What is copied was written by a server that nobody needs to trust, so no name in it is ever followed: every directory is
//! opened from the top with `openat2` beneath it and without links, and nothing is opened that could block.
//! File content is shared with the copy where the file system can (reflink), else copied around its holes.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use regrow_host::FsError;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, SeekFrom, Stat, XattrFlags};
use rustix::io::Errno;

/// What was copied.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Entries that are no directories.
    pub(crate) files: u64,
    /// Their content, in bytes, holes included.
    pub(crate) bytes: u64,
}

/// Copies what is in the directory `from` into the empty directory `to`, which also gets the owner, mode, times and
/// attributes of `from`. The paths are for errors only.
pub(crate) fn copy_tree(
    from: BorrowedFd<'_>,
    from_path: &Path,
    to: BorrowedFd<'_>,
    to_path: &Path,
) -> Result<Copied, FsError> {
    Copier { from, from_path, to, to_path, links: BTreeMap::new(), reflink: true, copied: Copied::default() }.run()
}

/// Opens `path` (relative, plain) below `top`, never through a link and never out of it.
pub(crate) fn open_beneath(top: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    retry(|| fs::openat2(top, path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty(), resolve))
}

/// `openat2` answers EAGAIN when something was renamed during the walk.
pub(crate) fn retry<T>(mut act: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match act() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

struct Copier<'a> {
    from: BorrowedFd<'a>,
    from_path: &'a Path,
    to: BorrowedFd<'a>,
    to_path: &'a Path,
    /// Where a file with several names was copied to first, by device and inode.
    links: BTreeMap<(u64, u64), PathBuf>,
    /// Cleared at the first refusal: a file system that cannot share content will not do so for the next file.
    reflink: bool,
    copied: Copied,
}

impl Copier<'_> {
    fn run(mut self) -> Result<Copied, FsError> {
        // No recursion and two descriptors at a time: a server can nest directories deeper than any stack.
        let mut made = Vec::new();
        let mut todo = vec![PathBuf::new()];
        while let Some(dir) = todo.pop() {
            let source = self.open_source(&dir)?;
            let target = open_beneath(self.to, &dir, OFlags::RDONLY | OFlags::DIRECTORY)
                .map_err(|e| self.target_error("open the directory", &dir, e))?;
            for name in self.names(&source, &dir)? {
                let path = dir.join(OsStr::from_bytes(name.to_bytes()));
                if self.entry(&source, &target, &name, &path)? {
                    todo.push(path);
                }
            }
            made.push(dir);
        }
        // Children before parents, because writing into a directory changes its time and a default ACL would be inherited.
        for dir in made.iter().rev() {
            let source = self.open_source(dir)?;
            let target = open_beneath(self.to, dir, OFlags::RDONLY | OFlags::DIRECTORY)
                .map_err(|e| self.target_error("open the directory", dir, e))?;
            self.metadata(&source, &target, dir)?;
        }
        Ok(self.copied)
    }

    fn open_source(&self, dir: &Path) -> Result<OwnedFd, FsError> {
        open_beneath(self.from, dir, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|e| self.source_error("open the directory", dir, e))
    }

    fn names(&self, dir: &OwnedFd, path: &Path) -> Result<Vec<CString>, FsError> {
        let error = |e| self.source_error("list the directory", path, e);
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(dir).map_err(error)? {
            let name = entry.map_err(error)?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Copies one entry; true if it is a directory whose content is still to be copied.
    fn entry(&mut self, source: &OwnedFd, target: &OwnedFd, name: &CStr, path: &Path) -> Result<bool, FsError> {
        let stat =
            fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| self.source_error("examine", path, e))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            fs::mkdirat(target, name, Mode::RWXU).map_err(|e| self.target_error("create the directory", path, e))?;
            return Ok(true);
        }
        self.copied.files += 1;
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                fs::linkat(self.to, first, target, name, AtFlags::empty())
                    .map_err(|e| self.target_error("link", path, e))?;
                return Ok(false);
            }
            self.links.insert((stat.st_dev, stat.st_ino), path.to_owned());
        }
        match kind {
            FileType::RegularFile => self.file(source, target, name, path)?,
            FileType::Symlink => {
                let link = fs::readlinkat(source, name, Vec::new())
                    .map_err(|e| self.source_error("read the symbolic link", path, e))?;
                fs::symlinkat(&link, target, name)
                    .map_err(|e| self.target_error("create the symbolic link", path, e))?;
                self.metadata_at(source, target, name, &stat, path)?;
            }
            _ => {
                fs::mknodat(target, name, kind, Mode::RUSR | Mode::WUSR, stat.st_rdev)
                    .map_err(|e| self.target_error("create the special file", path, e))?;
                self.metadata_at(source, target, name, &stat, path)?;
            }
        }
        Ok(false)
    }

    fn file(&mut self, source: &OwnedFd, target: &OwnedFd, name: &CStr, path: &Path) -> Result<(), FsError> {
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let from = fs::openat(source, name, OFlags::RDONLY | flags, Mode::empty())
            .map_err(|e| self.source_error("open", path, e))?;
        let to =
            fs::openat(target, name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | flags, Mode::RUSR | Mode::WUSR)
                .map_err(|e| self.target_error("create", path, e))?;
        let size = fs::fstat(&from).map_err(|e| self.source_error("examine", path, e))?.st_size.max(0) as u64;
        self.copied.bytes += size;
        if self.reflink && size > 0 {
            self.reflink = fs::ioctl_ficlone(&to, &from).is_ok();
        }
        if !self.reflink && size > 0 {
            copy_content(&from, &to, size).map_err(|e| self.target_error("copy into", path, e))?;
        }
        self.metadata(&from, &to, path)
    }

    /// Owner, mode, attributes and times, in the order in which none undoes another: a change of owner clears
    /// set-user-id bits and capabilities, a change of mode rewrites the ACL.
    fn metadata(&self, from: &OwnedFd, to: &OwnedFd, path: &Path) -> Result<(), FsError> {
        let stat = fs::fstat(from).map_err(|e| self.source_error("examine", path, e))?;
        (|| {
            fs::fchown(to, owner(&stat).0, owner(&stat).1)?;
            fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
            for name in attribute_names(|buffer| fs::flistxattr(from, buffer), || fs::flistxattr_query(from))? {
                let value =
                    attribute_value(|buffer| fs::fgetxattr(from, &name, buffer), || fs::fgetxattr_query(from, &name))?;
                fs::fsetxattr(to, &name, &value, XattrFlags::empty())?;
            }
            fs::futimens(to, &times(&stat))
        })()
        .map_err(|e| self.target_error("set the owner, mode and attributes of", path, e))
    }

    /// [`Copier::metadata`] for what cannot be opened without side effects.
    fn metadata_at(
        &self,
        source: &OwnedFd,
        target: &OwnedFd,
        name: &CStr,
        stat: &Stat,
        path: &Path,
    ) -> Result<(), FsError> {
        (|| {
            fs::chownat(target, name, owner(stat).0, owner(stat).1, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                fs::chmodat(target, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?;
            }
            // There are no *at calls for attributes; the l* calls do not follow the last name.
            let (from, to) = (through_fd(source, name), through_fd(target, name));
            for attribute in attribute_names(|b| fs::llistxattr(&from, b), || fs::llistxattr_query(&from))? {
                let value = attribute_value(
                    |b| fs::lgetxattr(&from, &attribute, b),
                    || fs::lgetxattr_query(&from, &attribute),
                )?;
                fs::lsetxattr(&to, &attribute, &value, XattrFlags::empty())?;
            }
            fs::utimensat(target, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
        })()
        .map_err(|e| self.target_error("set the owner, mode and attributes of", path, e))
    }

    fn source_error(&self, doing: &'static str, path: &Path, e: Errno) -> FsError {
        FsError::new(doing, self.from_path.join(path), e.into())
    }

    fn target_error(&self, doing: &'static str, path: &Path, e: Errno) -> FsError {
        FsError::new(doing, self.to_path.join(path), e.into())
    }
}

fn owner(stat: &Stat) -> (Option<fs::Uid>, Option<fs::Gid>) {
    (Some(fs::Uid::from_raw(stat.st_uid)), Some(fs::Gid::from_raw(stat.st_gid)))
}

fn times(stat: &Stat) -> fs::Timestamps {
    let spec = |tv_sec: i64, tv_nsec: i64| fs::Timespec { tv_sec, tv_nsec };
    fs::Timestamps {
        last_access: spec(stat.st_atime, stat.st_atime_nsec as i64),
        last_modification: spec(stat.st_mtime, stat.st_mtime_nsec as i64),
    }
}

fn through_fd(dir: &OwnedFd, name: &CStr) -> PathBuf {
    Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(OsStr::from_bytes(name.to_bytes()))
}

/// The names of all extended attributes; none where the file system has none.
fn attribute_names(
    read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    size: impl Fn() -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<CString>> {
    let names = match attribute_value(read, size) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    Ok(names.split(|b| *b == 0).filter(|n| !n.is_empty()).filter_map(|n| CString::new(n).ok()).collect())
}

/// Reads into a buffer of the right size, again if it grew meanwhile.
fn attribute_value(
    read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    size: impl Fn() -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<u8>> {
    loop {
        let mut buffer = vec![0; size()?];
        if buffer.is_empty() {
            return Ok(buffer);
        }
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Copies the data of `from` and leaves its holes holes.
fn copy_content(from: &OwnedFd, to: &OwnedFd, size: u64) -> rustix::io::Result<()> {
    fs::ftruncate(to, size)?;
    let mut position = 0;
    while position < size {
        let start = match fs::seek(from, SeekFrom::Data(position)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            // The file system knows no holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => position,
            Err(e) => return Err(e),
        };
        let end = fs::seek(from, SeekFrom::Hole(start)).unwrap_or(size).min(size);
        copy_range(from, to, start, end)?;
        position = end.max(start + 1);
    }
    Ok(())
}

fn copy_range(from: &OwnedFd, to: &OwnedFd, start: u64, end: u64) -> rustix::io::Result<()> {
    let (mut read_at, mut write_at) = (start, start);
    while read_at < end {
        let length = usize::try_from(end - read_at).unwrap_or(usize::MAX).min(1 << 30);
        match fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), length) {
            // Some file systems answer 0 instead of an error; plain reading tells an end from that.
            Ok(0) | Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::TXTBSY) => {
                break;
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    let mut buffer = vec![0u8; if read_at < end { 1 << 18 } else { 0 }];
    while read_at < end {
        let length = usize::try_from(end - read_at).unwrap_or(usize::MAX).min(buffer.len());
        let read = match rustix::io::pread(from, &mut buffer[..length], read_at) {
            Ok(0) => break,
            Ok(read) => read,
            Err(Errno::INTR) => continue,
            Err(e) => return Err(e),
        };
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            match rustix::io::pwrite(to, rest, read_at) {
                Ok(written) => {
                    rest = &rest[written..];
                    read_at += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}

/// Opens a directory of ours by its path.
pub(crate) fn open_dir(path: &Path) -> Result<OwnedFd, FsError> {
    fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
        .map_err(|e| FsError::new("open the directory", path, e.into()))
}

/// Makes everything written to the file system of `dir` durable; cheaper than one call per file.
pub(crate) fn sync_file_system(dir: &Path) -> Result<(), FsError> {
    let fd = open_dir(dir)?;
    fs::syncfs(fd.as_fd()).map_err(|e| FsError::new("sync the file system of", dir, e.into()))
}
