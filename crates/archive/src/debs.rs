//! The store of package files: `archive/debs/<first two digits>/<sha256>.deb`, verified when they come in.
//!
//! A file gets its name by a rename, after it was verified and synced: one that is there is whole. Parts of downloads lie
//! in `archive/partial/`, each guarded by a lock, so that two processes that want the same file fetch it once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use regrow_config::lock::{LockFile, LockedPackage};
use regrow_host::fs;
use regrow_host::lock::{FileLock, Wait};
use regrow_host::progress::{Progress, Unit, step};

use crate::archive::Archive;
use crate::digest::Sha256;
use crate::download::{Expected, NotFetched, fetch_file};
use crate::error::{Error, Result};
use crate::repack::repack;
use crate::transport::is_plain_path;

/// Downloads at a time. More connections to one server are no faster and not polite.
const THREADS: usize = 8;
/// How long a part waits for somebody to go on with it.
const KEPT: Duration = Duration::from_secs(7 * 86400);

/// Where the package with this digest is, or will be.
pub(crate) fn path(debs: &Path, sha256: &Sha256) -> PathBuf {
    let digest = sha256.to_string();
    debs.join(&digest[..2]).join(format!("{digest}.deb"))
}

/// Whether the store has the package. Its bytes were verified when it came; its size is looked at each time.
fn is_stored(path: &Path, size: u64) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == size)
}

struct Wanted<'l> {
    name: &'l str,
    package: &'l LockedPackage,
    sha256: Sha256,
    target: PathBuf,
}

impl Archive {
    /// The package files of a lock, by package name. Only those that the store lacks are downloaded. Where there is a
    /// quick form ([`crate::repack`]), its path is told: the same control and data members, packed otherwise.
    ///
    /// # Errors
    /// [`Error::PackageDigest`] if an archive serves other bytes than the lock says; what is whole stays stored.
    pub fn fetch(&self, lock: &LockFile, progress: &dyn Progress) -> Result<BTreeMap<String, PathBuf>> {
        let debs = self.debs();
        let (mut paths, mut missing) = (BTreeMap::new(), Vec::new());
        for (name, package) in &lock.packages {
            let bad = |reason: String| Error::Lock { reason };
            let sha256 = Sha256::parse(&package.sha256).ok_or_else(|| bad(format!("the digest of {name} is none")))?;
            if !is_plain_path(&package.file) {
                return Err(bad(format!("the file of {name} is not a path below a mirror")));
            }
            let target = path(&debs, &sha256);
            if !is_stored(&target, package.size) {
                missing.push(Wanted { name, package, sha256, target: target.clone() });
            }
            paths.insert(name.clone(), target);
        }
        if !missing.is_empty() {
            self.download(&missing, progress)?;
        }
        for path in paths.values_mut() {
            let quick = self.quick_of(path);
            if quick.is_file() {
                *path = quick;
            }
        }
        Ok(paths)
    }

    /// Where the quick form of the stored package at `deb` is, or would be.
    fn quick_of(&self, deb: &Path) -> PathBuf {
        let below = deb.strip_prefix(self.debs()).unwrap_or(deb);
        self.quick().join(below)
    }

    fn download(&self, missing: &[Wanted<'_>], progress: &dyn Progress) -> Result<()> {
        let total: u64 = missing.iter().map(|w| w.package.size).sum();
        let title = match missing {
            [one] => format!("downloading {}", one.name),
            many => format!("downloading {} packages", many.len()),
        };
        let step = step(progress, "download", title);
        step.advance(0, total, Unit::Bytes);
        fs::create_dir_all(self.partial())?;
        let (next, failed, done) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(0i64));
        let tell = |gained: i64| {
            let mut done = done.lock().unwrap_or_else(|e| e.into_inner());
            *done += gained;
            step.advance((*done).clamp(0, total as i64) as u64, total, Unit::Bytes);
        };
        // The large ones first, so that no thread is left with one at the end.
        let mut order: Vec<&Wanted<'_>> = missing.iter().collect();
        order.sort_by(|a, b| b.package.size.cmp(&a.package.size).then(a.name.cmp(b.name)));
        let work = || -> Result<()> {
            while !failed.load(Ordering::Relaxed) {
                let Some(wanted) = order.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                self.download_one(wanted, &tell).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            }
            Ok(())
        };
        let results: Vec<Result<()>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS.min(missing.len())).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|t| t.join().unwrap_or(Err(Error::Cancelled))).collect()
        });
        // The most telling one: that others were stopped for it is no news.
        let error = results.into_iter().filter_map(Result::err).min_by_key(|e| match e {
            Error::PackageDigest { .. } => 0,
            Error::Cancelled => 2,
            _ => 1,
        });
        if let Some(error) = error {
            return Err(error);
        }
        step.finish(format!("{} packages, {} MB", missing.len(), total.div_ceil(1_000_000)));
        self.sweep_partial()
    }

    /// Removes what killed processes left in `partial/`: locks without a part, and parts that nobody came back for.
    fn sweep_partial(&self) -> Result<()> {
        let dir = self.partial();
        for name in fs::list(&dir)? {
            let Some(stem) = name.to_str().and_then(|n| n.strip_suffix(".lock")) else { continue };
            let part = dir.join(format!("{stem}.part"));
            let age = std::fs::metadata(&part).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
            if age.is_some_and(|a| a < KEPT) {
                continue;
            }
            if let Some(guard) = FileLock::exclusive(dir.join(&name), Wait::No)? {
                fs::remove_file(&part)?;
                fs::remove_file(guard.path())?;
            }
        }
        Ok(())
    }

    fn download_one(&self, wanted: &Wanted<'_>, tell: &dyn Fn(i64)) -> Result<()> {
        let Wanted { name, package, sha256, target } = wanted;
        let Some(mirror) = self.mirrors.get(&package.archive) else {
            let reason =
                format!("{name} comes from the archive `{}`, which regrow.toml does not have", package.archive);
            return Err(Error::Lock { reason });
        };
        let part = self.partial().join(format!("{sha256}.part"));
        let Some(guard) = FileLock::exclusive(self.partial().join(format!("{sha256}.lock")), Wait::UntilFree)? else {
            return Err(Error::Cancelled);
        };
        if is_stored(target, package.size) {
            // Another process was faster.
            tell(package.size as i64);
            fs::remove_file(guard.path())?;
            return Ok(());
        }
        let expected = Expected { size: package.size, sha256: *sha256 };
        match fetch_file(mirror, &package.file, &part, expected, tell) {
            Ok(()) => {}
            Err(NotFetched::Error(e)) => return Err(e),
            Err(NotFetched::Wrong(reason)) => {
                fs::remove_file(guard.path())?;
                return Err(Error::PackageDigest {
                    package: (*name).to_owned(),
                    url: mirror.url(&package.file),
                    reason,
                });
            }
        }
        if let Some(dir) = target.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::rename(&part, target)?;
        repack(target, &self.quick_of(target))?;
        Ok(fs::remove_file(guard.path())?)
    }
}
