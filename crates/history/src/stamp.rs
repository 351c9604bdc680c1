//! Whether anything has changed that the work tree's state depends on, without asking git.
//!
//! A stamp is made of the names, times, sizes and kinds of all files of the fleet and of git's own files that say where
//! HEAD is, what is in the index, and what is ignored. As git itself does, it trusts times of files only once they are
//! old enough that a later change must have another time: until then there is no stamp.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::repo::Repo;

/// Kernels keep times in steps of up to 10 ms; what is younger than this may change again without showing it.
const SETTLED: Duration = Duration::from_millis(40);

impl Repo {
    /// Equal stamps mean an equal state: the same HEAD, index and files on disk. `None` if something changed just now,
    /// or cannot be looked at.
    pub fn stamp(&self) -> Option<u64> {
        let mut stamp = Stamp { hash: DefaultHasher::new(), newest: 0 };
        let common = self.common_dir();
        let head = std::fs::read_to_string(self.git_dir.join("HEAD")).ok()?;
        head.hash(&mut stamp.hash);
        if let Some(branch) = head.strip_prefix("ref: ") {
            // The content as well: a reference that is rewritten keeps its size.
            for dir in [&self.git_dir, &common] {
                std::fs::read(dir.join(branch.trim_end())).ok().hash(&mut stamp.hash);
            }
        }
        for (dir, name) in [
            (&self.git_dir, "index"),
            (&common, "packed-refs"),
            (&common, "reftable/tables.list"),
            (&common, "config"),
            (&common, "info/exclude"),
        ] {
            stamp.file(&dir.join(name))?;
        }
        // Rules of what to ignore count from the top of the work tree on.
        for dir in self.fleet.ancestors().skip(1).take(self.prefix.matches('/').count()) {
            stamp.file(&dir.join(".gitignore"))?;
        }
        stamp.tree(&self.fleet)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let newest = Duration::from_nanos(u64::try_from(stamp.newest).ok()?);
        // A time in the future (a clock put back) says nothing either way; files under our eyes are then compared.
        (newest + SETTLED < now).then(|| stamp.hash.finish())
    }
}

struct Stamp {
    hash: DefaultHasher,
    /// Nanoseconds after 1970 of the youngest change.
    newest: i128,
}

impl Stamp {
    fn file(&mut self, path: &Path) -> Option<()> {
        match std::fs::symlink_metadata(path) {
            Ok(found) => self.found(&found),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0_u8.hash(&mut self.hash),
            Err(_) => return None,
        }
        Some(())
    }

    fn found(&mut self, found: &std::fs::Metadata) {
        let changed = i128::from(found.ctime()) * 1_000_000_000 + i128::from(found.ctime_nsec());
        self.newest = self.newest.max(changed);
        let fields = (found.mode(), found.ino(), found.size(), found.mtime(), found.mtime_nsec(), changed);
        (1_u8, fields).hash(&mut self.hash);
    }

    fn tree(&mut self, top: &Path) -> Option<()> {
        let mut dirs: Vec<PathBuf> = vec![top.to_owned()];
        while let Some(dir) = dirs.pop() {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(&dir).ok()? {
                let entry = entry.ok()?;
                if entry.file_name() == ".git" {
                    continue;
                }
                let found = match entry.metadata() {
                    Ok(found) => found,
                    // Removed between the two calls: the next look has another stamp.
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
                    Err(_) => return None,
                };
                names.push((entry.file_name(), found));
            }
            // The order of a directory is not part of its state.
            names.sort_by(|a, b| a.0.cmp(&b.0));
            dir.hash(&mut self.hash);
            for (name, found) in names {
                name.hash(&mut self.hash);
                self.found(&found);
                if found.is_dir() {
                    dirs.push(dir.join(name));
                }
            }
        }
        Some(())
    }
}
