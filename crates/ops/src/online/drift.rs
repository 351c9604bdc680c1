//! `drift`: what the online server wrote outside its state.
//!
//! The upper directory of a machine's overlay *is* that: whole files, whiteouts for what was removed. It is read as it
//! lies on disk while the server goes on writing to it, so nothing in it is trusted: names are never followed, and what
//! vanishes meanwhile is left out.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use regrow_host::FsError;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::journal::Generation;
use super::launch::recover;
use super::site::read_journal;
use crate::Answer;
use crate::context::Context;
use crate::error::{Error, Result};

/// What a path outside the state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Configuration, programs: what the text should say.
    Config,
    /// Data that nobody declared as state and that the next switch leaves behind.
    UndeclaredState,
    /// Can be made again.
    Cache,
    /// Logs.
    Log,
    /// What every start writes: locks, spools of the system, seeds, stamps.
    Runtime,
}

impl Class {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Config => "config",
            Class::UndeclaredState => "undeclared state",
            Class::Cache => "cache",
            Class::Log => "log",
            Class::Runtime => "runtime",
        }
    }
}

/// One path that differs from the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drifted {
    /// The path inside.
    pub path: String,
    /// What it is.
    pub class: Class,
    /// Its size; 0 for what is no file.
    pub bytes: u64,
    /// Whether the server removed it: the image has it.
    pub removed: bool,
    /// `file`, `directory`, `link`, `special`, or `removed`.
    pub kind: String,
}

/// `drift SERVER`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DriftReport {
    /// The server.
    pub server: String,
    /// The revision that runs.
    pub revision: String,
    /// Every path, in the order of paths.
    pub paths: Vec<Drifted>,
    /// Bytes of all of it per class.
    pub bytes: BTreeMap<String, u64>,
}

impl Answer for DriftReport {}

/// Lists what the online server wrote outside its state.
///
/// # Errors
/// [`Error::No`] if nothing is online.
pub fn drift(ctx: &Context, server: &str) -> Result<DriftReport> {
    recover(ctx)?;
    let dir = ctx.home().server(server);
    let journal = read_journal(&dir)?;
    let Some(generation) = journal.current() else {
        return Err(Error::No {
            message: format!("{server} is not online"),
            help: Some(format!("put it online with: regrow switch {server}")),
        });
    };
    let paths = of_generation(&dir, generation)?;
    let mut bytes = BTreeMap::new();
    for path in &paths {
        *bytes.entry(path.class.as_str().to_owned()).or_default() += path.bytes;
    }
    Ok(DriftReport { server: server.to_owned(), revision: generation.candidate.revision.clone(), paths, bytes })
}

/// What a generation wrote outside its state, in the order of paths.
pub(super) fn of_generation(dir: &Path, generation: &Generation) -> Result<Vec<Drifted>> {
    let upper = dir.join("runs").join(generation.id.to_string()).join("upper");
    let state: Vec<&str> = generation.candidate.state.iter().map(|d| d.path.as_str()).collect();
    read_upper(&upper, &state)
}

/// Most entries that are listed: a server that fills its disk with files must not fill our memory.
const MOST: usize = 200_000;

fn read_upper(upper: &Path, state: &[&str]) -> Result<Vec<Drifted>> {
    let top = match rustix::fs::open(upper, dir_flags(), Mode::empty()) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(e) => return Err(FsError::new("open the directory", upper, e.into()).into()),
    };
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        let Some(fd) = open_beneath(&top, &dir) else { continue };
        let Ok(entries) = rustix::fs::Dir::read_from(&fd) else { continue };
        for entry in entries {
            let Ok(entry) = entry else { break };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") || found.len() >= MOST {
                continue;
            }
            let Ok(stat) = rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let path = dir.join(OsStr::from_bytes(name.to_bytes()));
            let inside = format!("/{}", path.to_string_lossy());
            // Directories on the way to a mount of ours, and all below it.
            if state.iter().any(|s| under(&inside, s) || (is_dir(&stat) && under(s, &inside))) || ours(&inside) {
                if is_dir(&stat) && !state.iter().any(|s| under(&inside, s)) && !ours(&inside) {
                    todo.push(path);
                }
                continue;
            }
            let kind = kind_of(&fd, name, &stat);
            if kind == "directory" {
                todo.push(path.clone());
                // A directory is in the upper one because something in it changed; by itself it says nothing, unless it
                // stays empty.
                if !is_empty(&top, &path) {
                    continue;
                }
            }
            let removed = kind == "removed";
            let bytes = if kind == "file" { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
            found.push(Drifted { class: class(&inside), path: inside, bytes, removed, kind: kind.to_owned() });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn dir_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW
}

fn open_beneath(top: &OwnedFd, path: &Path) -> Option<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(top, path, dir_flags(), Mode::empty(), resolve).ok()
}

fn is_empty(top: &OwnedFd, path: &Path) -> bool {
    let Some(fd) = open_beneath(top, path) else { return false };
    let Ok(entries) = rustix::fs::Dir::read_from(&fd) else { return false };
    !entries.flatten().any(|e| !matches!(e.file_name().to_bytes(), b"." | b".."))
}

fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// A whiteout is a character device 0/0, or an empty file with the attribute `user.overlay.whiteout`.
fn kind_of(dir: &OwnedFd, name: &CStr, stat: &Stat) -> &'static str {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice if stat.st_rdev == 0 => "removed",
        FileType::RegularFile if stat.st_size == 0 && is_whiteout(dir, name) => "removed",
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "link",
        _ => "special",
    }
}

fn is_whiteout(dir: &OwnedFd, name: &CStr) -> bool {
    use std::os::fd::AsRawFd;
    let path = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(OsStr::from_bytes(name.to_bytes()));
    rustix::fs::lgetxattr(&path, "user.overlay.whiteout", &mut [0u8; 16][..]).is_ok()
}

/// Whether `path` is `dir` or lies in it.
fn under(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What Regrow itself puts there at a start, and where memory or a volume of ours is mounted.
fn ours(path: &str) -> bool {
    const OURS: [&str; 7] = ["/etc/machine-id", "/run", "/tmp", "/dev", "/proc", "/sys", "/var/lib/regrow"];
    OURS.iter().any(|o| under(path, o))
}

/// What a path is, by the rules of the file system hierarchy.
fn class(path: &str) -> Class {
    const RUNTIME: [&str; 14] = [
        "/var/lib/systemd",
        "/var/lib/dbus",
        "/var/lib/private/systemd",
        "/var/lib/polkit-1",
        "/var/lib/logrotate",
        "/var/lib/dpkg/lock",
        "/var/lib/dpkg/lock-frontend",
        "/var/lib/apt/daily_lock",
        "/var/lib/misc",
        "/var/lib/urandom",
        "/var/spool/cron/crontabs/.keep",
        "/var/lock",
        "/var/run",
        "/etc/.pwd.lock",
    ];
    const GENERATED: [&str; 4] = ["/etc/ld.so.cache", "/etc/mtab", "/etc/.updated", "/var/.updated"];
    let in_any = |dirs: &[&str]| dirs.iter().any(|d| under(path, d));
    if in_any(&RUNTIME) || in_any(&GENERATED) {
        Class::Runtime
    } else if under(path, "/var/log") {
        Class::Log
    } else if in_any(&["/var/cache", "/var/tmp", "/root/.cache"])
        || path.split('/').any(|p| p == ".cache" || p == "__pycache__")
    {
        Class::Cache
    } else if in_any(&["/var", "/srv", "/home", "/root", "/opt", "/mnt", "/media"]) {
        Class::UndeclaredState
    } else {
        Class::Config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn what_was_written_is_listed_with_its_class_and_what_is_declared_or_ours_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, "etc/nginx/nginx.conf", "worker_processes 1;\n");
        write(root, "etc/machine-id", "x");
        write(root, "var/log/syslog", "line\n");
        write(root, "var/cache/apt/pkgcache.bin", "xx");
        write(root, "var/lib/app/data.db", "12345");
        write(root, "var/lib/postgresql/17/main/PG_VERSION", "17");
        write(root, "var/lib/postgresql-old/f", "");
        write(root, "var/lib/systemd/random-seed", "r");
        std::fs::create_dir_all(root.join("srv/empty")).unwrap();
        symlink("/etc/shadow", root.join("etc/link")).unwrap();
        let found = read_upper(root, &["/var/lib/postgresql"]).unwrap();
        let shown: Vec<(&str, Class, u64, &str)> =
            found.iter().map(|d| (&*d.path, d.class, d.bytes, &*d.kind)).collect();
        assert_eq!(
            shown,
            [
                ("/etc/link", Class::Config, 0, "link"),
                ("/etc/nginx/nginx.conf", Class::Config, 20, "file"),
                ("/srv/empty", Class::UndeclaredState, 0, "directory"),
                ("/var/cache/apt/pkgcache.bin", Class::Cache, 2, "file"),
                ("/var/lib/app/data.db", Class::UndeclaredState, 5, "file"),
                ("/var/lib/postgresql-old/f", Class::UndeclaredState, 0, "file"),
                ("/var/lib/systemd/random-seed", Class::Runtime, 1, "file"),
                ("/var/log/syslog", Class::Log, 5, "file"),
            ]
        );
    }

    #[test]
    fn removals_show_in_both_forms_of_whiteout() {
        assert!(rustix::process::geteuid().is_root(), "making devices needs root");
        let dir = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("gone"), FileType::CharacterDevice, Mode::empty(), 0)
            .unwrap();
        std::fs::write(dir.path().join("also"), "").unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(dir.path().join("also"), "user.overlay.whiteout", b"y", flags).unwrap();
        let found = read_upper(dir.path(), &[]).unwrap();
        assert_eq!(found.iter().map(|d| (&*d.path, d.removed)).collect::<Vec<_>>(), [("/also", true), ("/gone", true)]);
    }

    #[test]
    fn links_lead_nowhere_and_nothing_there_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let upper = dir.path().join("upper");
        assert!(read_upper(&upper, &[]).unwrap().is_empty());
        std::fs::create_dir(&upper).unwrap();
        write(dir.path(), "outside/secret", "s");
        symlink("../outside", upper.join("etc")).unwrap();
        let found = read_upper(&upper, &[]).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].kind, "link");
    }
}
