//! The volumes of one server: which there are, and filling them at first start.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use regrow_host::{FsError, fs as host_fs};
use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::copy::{copy_tree, open_dir, retry, sync_file_system};
use crate::name::{check_id, path_to_name};
use crate::{Error, Result};

/// The volume every server has: what is made at first start and must stay the same (host keys, certificates).
pub const IDENTITY_VOLUME: &str = "identity";
/// Where [`IDENTITY_VOLUME`] is mounted inside.
pub const IDENTITY_PATH: &str = "/var/lib/regrow/identity";

/// One directory that a server declares as state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Declared {
    /// The volume's name: the key of its `[state.NAME]` table.
    pub volume: String,
    /// The absolute path inside.
    pub path: String,
}

/// The directories a server declares (`[state.NAME] paths`), with the built-in identity, sorted by path.
///
/// # Errors
/// If a name or path is unusable, or one path contains another.
pub fn declared<'a>(tables: impl IntoIterator<Item = (&'a str, &'a [String])>) -> Result<Vec<Declared>> {
    let mut all = vec![Declared { volume: IDENTITY_VOLUME.to_owned(), path: IDENTITY_PATH.to_owned() }];
    for (volume, paths) in tables {
        check_id("the volume", volume)?;
        for path in paths {
            path_to_name(volume, path)?;
            all.push(Declared { volume: volume.to_owned(), path: path.clone() });
        }
    }
    all.sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')).then_with(|| a.volume.cmp(&b.volume)));
    // Sorted by parts, whatever lies in a directory follows it at once.
    for pair in all.windows(2) {
        let (outer, inner) = (&pair[0].path, &pair[1].path);
        if Path::new(inner).starts_with(outer) {
            return Err(Error::Overlap { outer: outer.clone(), inner: inner.clone() });
        }
    }
    Ok(all)
}

/// A directory to mount into the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The directory on the host; its owners are ids as the server sees them.
    pub source: PathBuf,
    /// The absolute path inside.
    pub target: String,
}

/// What [`State::prepare`] did.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    /// What to mount, parents first.
    pub mounts: Vec<Mount>,
    /// The paths that were filled just now.
    pub seeded: Vec<String>,
}

/// The marker beside a volume's directory.
#[derive(Debug, Serialize, Deserialize)]
struct Seeded {
    path: String,
    image: String,
}

/// The state of one server, below `servers/<name>/`. The holder of this value holds the server's lock.
#[derive(Debug)]
pub struct State {
    dir: PathBuf,
}

impl State {
    /// Opens (and creates, closed to everybody but root) the state of the server whose directory is `server_dir`.
    ///
    /// # Errors
    /// If the directories cannot be created.
    pub fn open(server_dir: impl Into<PathBuf>) -> Result<State> {
        let state = State { dir: server_dir.into() };
        private_dir(&state.dir)?;
        // Whoever made the server's directory first may not have closed it.
        let only_root = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&state.dir, only_root).map_err(|e| FsError::new("set the mode of", &state.dir, e))?;
        private_dir(&state.live())?;
        Ok(state)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory of the live data.
    pub fn live(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Makes every declared directory ready to be mounted; fills those that never were with the image's content.
    ///
    /// `image_root` is the root of the image, mounted read-only; `image` is its name, kept for people. A path that the
    /// image does not have starts as an empty directory of root, mode 0755.
    ///
    /// # Errors
    /// If the image has something other than a directory there, a filled volume vanished, or the disk says no. What was
    /// filled before stays filled.
    pub fn prepare(&self, wanted: &[Declared], image_root: BorrowedFd<'_>, image: &str) -> Result<Prepared> {
        let mut prepared = Prepared::default();
        for declared in wanted {
            check_id("the volume", &declared.volume)?;
            let name = path_to_name(&declared.volume, &declared.path)?;
            let volume = self.live().join(&declared.volume);
            private_dir(&volume)?;
            sweep_hidden(&volume)?;
            if self.seed(declared, &volume, &name, image_root, image)? {
                prepared.seeded.push(declared.path.clone());
            }
            prepared.mounts.push(Mount { source: volume.join(&name), target: declared.path.clone() });
        }
        Ok(prepared)
    }

    /// Fills `volume/name` unless that was done before; true if it was done now.
    fn seed(
        &self,
        declared: &Declared,
        volume: &Path,
        name: &str,
        image_root: BorrowedFd<'_>,
        image: &str,
    ) -> Result<bool> {
        let directory = volume.join(name);
        let marker = volume.join(format!("{name}.seeded"));
        let marked = host_fs::read_optional(&marker)?.is_some();
        let there = match fs::lstat(&directory) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
            Err(Errno::NOENT) => false,
            Err(e) => return Err(FsError::new("examine", directory, e.into()).into()),
        };
        let mut now = false;
        match (there, marked) {
            (true, true) => return Ok(false),
            (false, true) => {
                let (volume, path) = (declared.volume.clone(), declared.path.clone());
                return Err(Error::Lost { volume, path, directory, marker });
            }
            // Interrupted between the rename and the marker: the directory is whole.
            (true, false) => {}
            (false, false) => {
                let temporary = host_fs::temporary_beside(&directory);
                let filled = fill(declared, &temporary, image_root).and_then(|()| {
                    sync_file_system(&temporary)?;
                    Ok(host_fs::rename(&temporary, &directory)?)
                });
                if let Err(e) = filled {
                    let _ = host_fs::remove_dir_all(&temporary);
                    return Err(e);
                }
                now = true;
            }
        }
        let text = serde_json::to_vec(&Seeded { path: declared.path.clone(), image: image.to_owned() })
            .map_err(|source| Error::Description { path: marker.clone(), source })?;
        host_fs::write_atomic_with_mode(&marker, &text, 0o600)?;
        Ok(now)
    }
}

/// Creates `temporary` with the content that the image has at the declared path.
fn fill(declared: &Declared, temporary: &Path, image_root: BorrowedFd<'_>) -> Result<()> {
    std::fs::create_dir(temporary).map_err(|e| FsError::new("create the directory", temporary, e))?;
    let target = open_dir(temporary)?;
    match image_dir(declared, image_root)? {
        Some(source) => {
            copy_tree(source.as_fd(), Path::new(&declared.path), target.as_fd(), temporary)?;
        }
        None => {
            // The umask of whoever runs us must not show inside the server.
            fs::fchmod(&target, Mode::from_raw_mode(0o755))
                .map_err(|e| FsError::new("set the mode of", temporary, e.into()))?;
        }
    }
    Ok(())
}

/// The image's directory at the declared path; `None` if the image has nothing there.
fn image_dir(declared: &Declared, root: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    let path = &declared.path;
    let error = |e: Errno| FsError::new("open in the image", path, e.into());
    // Links on the way are the image's own and are resolved inside it, as the server itself would.
    let open = |flags| {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        retry(|| fs::openat2(root, path.as_str(), flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty(), resolve))
    };
    let found = match open(OFlags::PATH) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(error(e).into()),
    };
    let stat = fs::fstat(&found).map_err(error)?;
    let not_a_directory = |found, instead| {
        Err(Error::NotADirectory { volume: declared.volume.clone(), path: path.clone(), found, instead })
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Ok(Some(open(OFlags::RDONLY | OFlags::DIRECTORY).map_err(error)?)),
        FileType::Symlink => {
            let link = fs::readlinkat(&found, "", Vec::new()).map_err(error)?;
            let link = link.to_string_lossy().into_owned();
            not_a_directory(format!("a symbolic link to `{link}`"), "the directory it leads to".to_owned())
        }
        _ => {
            let parent = Path::new(path).parent().unwrap_or(Path::new("/")).display().to_string();
            not_a_directory("no directory".to_owned(), format!("`{parent}` or a directory made for it"))
        }
    }
}

/// Creates a directory (and its parents) that only root may enter.
pub(crate) fn private_dir(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| FsError::new("create the directory", path, e).into())
}

/// Removes what an interrupted call left in `dir`: names beginning with a dot.
pub(crate) fn sweep_hidden(dir: &Path) -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    for name in host_fs::list(dir)? {
        if name.as_bytes().starts_with(b".") {
            let path = dir.join(&name);
            if path.is_dir() && !path.is_symlink() {
                host_fs::remove_dir_all(&path)?;
            } else {
                host_fs::remove_file(&path)?;
            }
        }
    }
    Ok(())
}

/// The paths of `declared` per volume, for showing.
impl Declared {
    /// Groups a sorted list by volume.
    pub fn by_volume(all: &[Declared]) -> BTreeMap<&str, Vec<&str>> {
        let mut map: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for declared in all {
            map.entry(&declared.volume).or_default().push(&declared.path);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(list: &[(&str, &[&str])]) -> Result<Vec<Declared>> {
        let owned: Vec<(String, Vec<String>)> =
            list.iter().map(|(n, p)| (n.to_string(), p.iter().map(|p| p.to_string()).collect())).collect();
        declared(owned.iter().map(|(n, p)| (n.as_str(), p.as_slice())))
    }

    #[test]
    fn identity_is_always_declared() {
        let all = tables(&[("database", &["/var/lib/postgresql"])]).unwrap();
        assert_eq!(Declared::by_volume(&all)["identity"], ["/var/lib/regrow/identity"]);
        assert_eq!(Declared::by_volume(&all)["database"], ["/var/lib/postgresql"]);
    }

    #[test]
    fn paths_that_contain_one_another_are_refused_and_neighbours_are_not() {
        tables(&[("a", &["/srv/a", "/srv/a-b", "/srv/a.b"])]).unwrap();
        for bad in [
            &["/srv", "/srv/a"][..],
            &["/srv/a", "/srv/a"],
            &["/var/lib/regrow"],
            &["/srv/a/b/c", "/srv/a-b", "/srv/a"],
        ] {
            let e = tables(&[("a", bad)]).unwrap_err();
            assert!(matches!(e, Error::Overlap { .. }), "{bad:?}: {e}");
        }
    }
}
