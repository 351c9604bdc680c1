//! Where the text comes from: a directory, a git revision (in another crate), or memory.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use regrow_host::FsError;
use rustix::fs::{Mode, OFlags, ResolveFlags};

/// The largest file of a fleet that is read, in bytes. Larger things belong into packages or state.
pub const MAX_FILE: u64 = 64 << 20;

/// One file of a fleet with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Path relative to the fleet, parts divided by `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A plain file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link, never followed.
    Symlink,
    /// A socket, pipe or device: no part of a fleet.
    Other,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Whether a plain file may be executed by its owner.
    pub executable: bool,
}

/// The files of a fleet, read only. Paths are relative to the fleet with `/` between parts and no `.` or `..`.
///
/// Symbolic links are never followed, in no part of a path: a work tree and a git revision must read the same.
pub trait Files: fmt::Debug {
    /// The bytes of a plain file; `None` if there is nothing of that name. A file larger than [`MAX_FILE`] is an error
    /// of kind [`io::ErrorKind::FileTooLarge`].
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, FsError>;
    /// The entries of a directory sorted by name; none if it is not there. `""` is the fleet itself.
    fn list(&self, dir: &str) -> Result<Vec<Entry>, FsError>;
    /// Where a symbolic link points, as written; `None` if there is no link of that name.
    fn read_link(&self, path: &str) -> Result<Option<String>, FsError>;
}

/// A fleet as a directory on disk.
#[derive(Debug)]
pub struct DiskFiles {
    dir: PathBuf,
    fd: OwnedFd,
}

impl DiskFiles {
    /// Opens the fleet's directory. It may itself be reached through links; below it none is followed.
    pub fn new(dir: impl Into<PathBuf>) -> Result<DiskFiles, FsError> {
        let dir = dir.into();
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
        let fd = rustix::fs::open(&dir, flags, Mode::empty())
            .map_err(|e| FsError::new("open the fleet's directory", &dir, e.into()))?;
        Ok(DiskFiles { dir, fd })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens below the fleet without following links or leaving it.
    fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd, rustix::io::Errno> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let path = if path.is_empty() { "." } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve) {
            // Kernels and sandboxes without openat2: one part at a time.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => self.open_stepwise(path, flags),
            other => other,
        }
    }

    fn open_stepwise(&self, path: &str, flags: OFlags) -> Result<OwnedFd, rustix::io::Errno> {
        let mut dir: Option<OwnedFd> = None;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            if part.is_empty() || part == ".." {
                return Err(rustix::io::Errno::XDEV);
            }
            let at = dir.as_ref().unwrap_or(&self.fd);
            if parts.peek().is_none() {
                return rustix::fs::openat(at, part, flags, Mode::empty());
            }
            let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            dir = Some(rustix::fs::openat(at, part, step, Mode::empty())?);
        }
        Err(rustix::io::Errno::NOENT)
    }

    fn error(&self, doing: &'static str, path: &str, source: impl Into<io::Error>) -> FsError {
        FsError::new(doing, self.dir.join(path), source.into())
    }
}

fn is_absent(e: rustix::io::Errno) -> bool {
    matches!(e, rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR)
}

impl Files for DiskFiles {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, FsError> {
        use std::io::Read;
        // NONBLOCK: a pipe in the way must not stop us.
        let fd = match self.open(path, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(e) if is_absent(e) => return Ok(None),
            Err(rustix::io::Errno::LOOP) => {
                return Err(self.error("read", path, io::Error::other("it is, or lies behind, a symbolic link")));
            }
            Err(e) => return Err(self.error("read", path, e)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|e| self.error("read", path, e))?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(self.error("read", path, io::Error::other("it is not a plain file")));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        let mut bytes = Vec::with_capacity(size.min(MAX_FILE) as usize + 1);
        let file = std::fs::File::from(fd);
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|e| self.error("read", path, e))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(self.error("read", path, io::Error::from(io::ErrorKind::FileTooLarge)));
        }
        Ok(Some(bytes))
    }

    fn list(&self, dir: &str) -> Result<Vec<Entry>, FsError> {
        let doing = "list the directory";
        let fd = match self.open(dir, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => fd,
            Err(e) if is_absent(e) => return Ok(Vec::new()),
            Err(rustix::io::Errno::LOOP) => {
                return Err(self.error(doing, dir, io::Error::other("it is, or lies behind, a symbolic link")));
            }
            Err(e) => return Err(self.error(doing, dir, e)),
        };
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(&fd).map_err(|e| self.error(doing, dir, e))? {
            let entry = entry.map_err(|e| self.error(doing, dir, e))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match rustix::fs::statat(&fd, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // Removed between the two calls.
                Err(rustix::io::Errno::NOENT) => continue,
                Err(e) => return Err(self.error(doing, dir, e)),
            };
            let kind = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
                rustix::fs::FileType::RegularFile => Kind::File,
                rustix::fs::FileType::Directory => Kind::Dir,
                rustix::fs::FileType::Symlink => Kind::Symlink,
                _ => Kind::Other,
            };
            let name = name.to_str().map_err(|_| {
                let name = String::from_utf8_lossy(name.to_bytes()).into_owned();
                self.error(doing, dir, io::Error::other(format!("the name {name:?} in it is not UTF-8")))
            })?;
            entries.push(Entry {
                name: name.to_owned(),
                kind,
                executable: kind == Kind::File && stat.st_mode & 0o100 != 0,
            });
        }
        entries.sort();
        Ok(entries)
    }

    fn read_link(&self, path: &str) -> Result<Option<String>, FsError> {
        let doing = "read the symbolic link";
        let fd = match self.open(path, OFlags::PATH) {
            Ok(fd) => fd,
            Err(e) if is_absent(e) => return Ok(None),
            // openat2 refuses the link itself too; go by its directory.
            Err(rustix::io::Errno::LOOP) => {
                let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
                let dir = self.open(dir, OFlags::PATH | OFlags::DIRECTORY).map_err(|e| self.error(doing, path, e))?;
                return link_target(rustix::fs::readlinkat(dir, name, Vec::new()))
                    .map_err(|e| self.error(doing, path, e));
            }
            Err(e) => return Err(self.error(doing, path, e)),
        };
        link_target(rustix::fs::readlinkat(fd, "", Vec::new())).map_err(|e| self.error(doing, path, e))
    }
}

fn link_target(read: rustix::io::Result<std::ffi::CString>) -> io::Result<Option<String>> {
    match read {
        Ok(target) => match target.into_string() {
            Ok(target) => Ok(Some(target)),
            Err(_) => Err(io::Error::other("its target is not UTF-8")),
        },
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::INVAL) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// A fleet in memory: for tests, and for text that is not saved yet.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles {
    files: BTreeMap<String, MemoryFile>,
}

#[derive(Debug, Clone)]
enum MemoryFile {
    Bytes { bytes: Vec<u8>, executable: bool },
    Symlink(String),
}

impl MemoryFiles {
    /// No files.
    pub fn new() -> MemoryFiles {
        MemoryFiles::default()
    }

    /// Adds or replaces a plain file.
    pub fn with(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> MemoryFiles {
        self.files.insert(path.to_owned(), MemoryFile::Bytes { bytes: bytes.into(), executable: false });
        self
    }

    /// Adds or replaces an executable file.
    pub fn with_executable(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> MemoryFiles {
        self.files.insert(path.to_owned(), MemoryFile::Bytes { bytes: bytes.into(), executable: true });
        self
    }

    /// Adds or replaces a symbolic link.
    pub fn with_symlink(mut self, path: &str, target: &str) -> MemoryFiles {
        self.files.insert(path.to_owned(), MemoryFile::Symlink(target.to_owned()));
        self
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, FsError> {
        match self.files.get(path) {
            None => Ok(None),
            Some(MemoryFile::Symlink(_)) => {
                Err(FsError::new("read", path, io::Error::other("it is, or lies behind, a symbolic link")))
            }
            Some(MemoryFile::Bytes { bytes, .. }) if bytes.len() as u64 > MAX_FILE => {
                Err(FsError::new("read", path, io::Error::from(io::ErrorKind::FileTooLarge)))
            }
            Some(MemoryFile::Bytes { bytes, .. }) => Ok(Some(bytes.clone())),
        }
    }

    fn list(&self, dir: &str) -> Result<Vec<Entry>, FsError> {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let mut entries = BTreeMap::new();
        for (path, file) in self.files.range(prefix.clone()..) {
            let Some(rest) = path.strip_prefix(&prefix) else { break };
            let (name, kind, executable) = match (rest.split_once('/'), file) {
                (Some((name, _)), _) => (name, Kind::Dir, false),
                (None, MemoryFile::Bytes { executable, .. }) => (rest, Kind::File, *executable),
                (None, MemoryFile::Symlink(_)) => (rest, Kind::Symlink, false),
            };
            entries.insert(name.to_owned(), Entry { name: name.to_owned(), kind, executable });
        }
        Ok(entries.into_values().collect())
    }

    fn read_link(&self, path: &str) -> Result<Option<String>, FsError> {
        match self.files.get(path) {
            Some(MemoryFile::Symlink(target)) => Ok(Some(target.clone())),
            _ => Ok(None),
        }
    }
}
