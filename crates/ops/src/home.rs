//! `REGROW_HOME`: who owns which directory in it, and which fleet a server belongs to.
//!
//! ```text
//! store/                 images and their objects
//! archive/               verified indexes and packages
//! servers/<name>/        fleet       the canonical path of the fleet that this server belongs to
//!                        job.lock    held by whoever builds, tries or switches this server
//!                        trial.json, trial.lock    the trial that `--keep` left running
//!                        …           the online server's own files
//! scratch/               anything temporary
//! ids/                   which ranges of user ids are in use
//! home-id                random digits that tell this home from others, see evidence/travel.rs
//! accounts.json          who may use the pages (mode 0600)
//! regrow.db              jobs, evidence and acts
//! ```

use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use regrow_host::fs;
use regrow_host::lock::{FileLock, Wait};
use regrow_host::progress::{self, Progress};

use crate::error::{Error, Result};

/// The first host id that machines and builds may use, and how many ids one of them gets.
const FIRST_ID: u32 = 0x1000_0000;
const IDS: u32 = 65_536;
/// How many ranges there are: as many machines may run at once.
const RANGES: u32 = 4096;

/// Paths in `REGROW_HOME`. Making one touches no file.
#[derive(Debug, Clone)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// Of this directory.
    pub fn new(path: PathBuf) -> Home {
        Home { path }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it with its private parts. What is in images and state is for root alone: servers have secrets of their
    /// own, and a set-user-id program must not be within the reach of the host's users.
    pub fn create(&self) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        fs::create_dir_all(&self.path)?;
        for dir in [self.store(), self.servers(), self.scratch()] {
            match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(fs::Error::new("create the directory", dir, e).into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The image store.
    pub fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    /// Temporary directories.
    pub fn scratch(&self) -> PathBuf {
        self.path.join("scratch")
    }

    /// Who may use the pages: see [`crate::accounts`].
    pub fn accounts(&self) -> PathBuf {
        self.path.join("accounts.json")
    }

    /// The record of jobs and evidence.
    pub fn database(&self) -> PathBuf {
        self.path.join("regrow.db")
    }

    /// All servers' directories.
    pub fn servers(&self) -> PathBuf {
        self.path.join("servers")
    }

    /// One server's directory; it may not exist.
    pub fn server(&self, name: &str) -> PathBuf {
        self.servers().join(name)
    }

    /// The names of the servers that have a directory here, sorted.
    pub fn server_names(&self) -> Result<Vec<String>> {
        let names = fs::list(self.servers())?;
        Ok(names.into_iter().filter_map(|n| n.into_string().ok()).filter(|n| !n.starts_with('.')).collect())
    }

    /// Creates a server's directory and records that it belongs to `fleet`.
    ///
    /// # Errors
    /// [`Error::Mistake`] if another fleet has a server of that name here: its state and its online server must not be
    /// mixed up with ours.
    pub fn claim(&self, server: &str, fleet: &Path) -> Result<PathBuf> {
        let fleet = std::fs::canonicalize(fleet).map_err(|e| fs::Error::new("find", fleet, e))?;
        self.create()?;
        let dir = self.server(server);
        fs::create_dir_all(&dir)?;
        let record = dir.join("fleet");
        let lock = FileLock::exclusive(dir.join("fleet.lock"), Wait::UntilFree)?;
        match fs::read_optional(&record)? {
            Some(owner) if owner.trim_ascii_end() == fleet.as_os_str().as_encoded_bytes() => {}
            Some(owner) => {
                let owner = PathBuf::from(String::from_utf8_lossy(owner.trim_ascii_end()).into_owned());
                return Err(Error::mistake_with(
                    format!(
                        "the server {server} in {} belongs to the fleet {}, not to {}",
                        self.path.display(),
                        owner.display(),
                        fleet.display()
                    ),
                    format!(
                        "use another home for this fleet (REGROW_HOME=DIR); or, if the fleet has moved, write its new path into {}",
                        record.display()
                    ),
                ));
            }
            None => {
                let mut line = fleet.into_os_string().into_encoded_bytes();
                line.push(b'\n');
                fs::write_atomic(&record, &line)?;
            }
        }
        drop(lock);
        Ok(dir)
    }

    /// The fleet that a server here belongs to.
    pub fn fleet_of(&self, server: &str) -> Result<Option<PathBuf>> {
        use std::os::unix::ffi::OsStrExt;
        let record = fs::read_optional(self.server(server).join("fleet"))?;
        Ok(record.map(|line| PathBuf::from(std::ffi::OsStr::from_bytes(line.trim_ascii_end()))))
    }

    /// Takes the right to change a server (build, trial, switch, rollback) for as long as the result lives.
    ///
    /// `what` is for others to read: "build, by root". The server's directory must exist ([`Home::claim`]).
    ///
    /// # Errors
    /// [`Error::Busy`] if somebody else has it and `wait` is [`Wait::No`]; otherwise this says whom it waits for.
    pub fn take_server(&self, server: &str, what: &str, wait: Wait, told: &dyn Progress) -> Result<ServerLock> {
        let path = self.server(server).join("job.lock");
        let lock = match FileLock::exclusive(&path, Wait::No)? {
            Some(lock) => lock,
            None => {
                let line = fs::read_optional(&path)?.unwrap_or_default();
                let holder = String::from_utf8_lossy(line.trim_ascii()).into_owned();
                if wait == Wait::No {
                    return Err(Error::Busy { server: server.to_owned(), holder });
                }
                progress::note(told, format!("waiting for another job on {server} to end: {holder}"));
                match FileLock::exclusive(&path, Wait::UntilFree) {
                    Err(_) if regrow_host::cancel::requested() => return Err(Error::Cancelled),
                    taken => taken?.ok_or(Error::Cancelled)?,
                }
            }
        };
        let mut file = lock.file();
        let line = format!("{what} (process {})\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(line.as_bytes()))
            .map_err(|e| fs::Error::new("write", &path, e))?;
        Ok(ServerLock { _lock: lock })
    }

    /// Takes a free range of 65,536 host ids for one machine, for as long as the result lives.
    pub fn take_ids(&self) -> Result<IdRange> {
        let dir = self.path.join("ids");
        fs::create_dir_all(&dir)?;
        for n in 0..RANGES {
            if let Some(lock) = FileLock::exclusive(dir.join(format!("{n}.lock")), Wait::No)? {
                return Ok(IdRange { base: FIRST_ID + n * IDS, _lock: lock });
            }
        }
        Err(Error::surroundings(
            format!("{RANGES} machines run at once: no range of user ids is free"),
            "stop some of them",
        ))
    }
}

/// The right to change one server. Ends on drop, also by kill -9.
#[derive(Debug)]
pub struct ServerLock {
    _lock: FileLock,
}

/// A range of host ids. Ids on disk are unshifted, so a range means nothing once it is free again.
#[derive(Debug)]
pub struct IdRange {
    base: u32,
    _lock: FileLock,
}

impl IdRange {
    /// The host id of id 0 inside.
    pub fn base(&self) -> u32 {
        self.base
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regrow_host::progress::Silent;

    #[test]
    fn a_server_belongs_to_one_fleet() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::create_dir(&a).unwrap();
        std::fs::create_dir(&b).unwrap();
        let home = Home::new(dir.path().join("home"));
        home.claim("web1", &a).unwrap();
        home.claim("web1", &a).unwrap();
        let e = home.claim("web1", &b).unwrap_err();
        assert_eq!(e.exit_code(), 2);
        assert!(e.to_string().contains("belongs to the fleet"), "{e}");
        assert_eq!(home.fleet_of("web1").unwrap(), Some(a.canonicalize().unwrap()));
    }

    #[test]
    fn a_busy_server_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().to_owned());
        home.claim("web1", dir.path()).unwrap();
        let held = home.take_server("web1", "build, by root", Wait::No, &Silent).unwrap();
        let e = home.take_server("web1", "trial, by root", Wait::No, &Silent).unwrap_err();
        assert!(e.to_string().contains("build, by root"), "{e}");
        drop(held);
        home.take_server("web1", "trial, by root", Wait::No, &Silent).unwrap();
    }

    #[test]
    fn two_machines_never_share_ids() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().to_owned());
        let (a, b) = (home.take_ids().unwrap(), home.take_ids().unwrap());
        assert!(a.base().abs_diff(b.base()) >= IDS);
    }
}
