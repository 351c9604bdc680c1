//! A directory on disk, read into values.
//!
//! First the names and metadata, in one thread and in the order the file system gives them; then contents and extended
//! attributes, on all cores. The result depends on neither order. The directory must be at rest: a file that is written
//! meanwhile is read as it is at some moment.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use regrow_host::FsError;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};

use super::{Store, UpperMode};
use crate::error::{Error, Result};
use crate::tree::{Dir, Leaf, LeafId, LeafKind, Meta, Node, Tree, Xattrs};

/// What was found: directories (each after its parent, the first is the root) and leaves (each inode once).
pub(super) struct Scan {
    pub(super) dirs: Vec<ScanDir>,
    pub(super) leaves: Vec<ScanLeaf>,
}

pub(super) struct ScanDir {
    /// Below the scanned directory, without a leading slash.
    pub(super) path: Vec<u8>,
    pub(super) meta: Meta,
    pub(super) overlay: Xattrs,
    pub(super) children: Vec<(Vec<u8>, Child)>,
}

#[derive(Clone, Copy)]
pub(super) enum Child {
    Dir(usize),
    Leaf(usize),
}

pub(super) struct ScanLeaf {
    pub(super) path: Vec<u8>,
    stat: Stat,
    /// The leaf, once contents are read.
    pub(super) leaf: Option<Leaf>,
    /// Attributes that an overlay left, names without `user.` or `trusted.`.
    pub(super) overlay: Xattrs,
}

impl Store {
    /// Reads a directory with all below it into the store; the same directory gives an equal tree always.
    ///
    /// Kept: type, content, mode, owner, time in whole seconds, hard links, and the extended attributes `user.*`,
    /// `trusted.*`, POSIX ACLs and file capabilities (in their plain form). Left out: what overlays and security modules
    /// of this host wrote (`*.overlay.*`, `security.selinux`, …).
    ///
    /// # Errors
    /// If something cannot be read, or contents not be written ([`Error::is_disk_full`]).
    pub fn read_dir(&self, dir: impl AsRef<Path>) -> Result<Tree> {
        let scan = self.scan(dir.as_ref(), UpperMode::Copy)?;
        let leaves = scan.leaves.into_iter().filter_map(|l| l.leaf).collect();
        let mut done: Vec<Option<Dir>> = Vec::new();
        done.resize_with(scan.dirs.len(), || None);
        // Children come after their parents, so backwards every directory is whole when its parent takes it.
        for (n, found) in scan.dirs.into_iter().enumerate().rev() {
            let mut dir = Dir::new(found.meta);
            for (name, child) in found.children {
                let node = match child {
                    Child::Dir(below) => Node::Dir(done[below].take().unwrap_or_default()),
                    Child::Leaf(leaf) => Node::Leaf(LeafId(leaf)),
                };
                dir.entries.insert(name, node);
            }
            done[n] = Some(dir);
        }
        let root = done.first_mut().and_then(Option::take).unwrap_or_default();
        Ok(Tree { root, leaves })
    }

    pub(super) fn scan(&self, path: &Path, mode: UpperMode) -> Result<Scan> {
        let root = Root::open(path)?;
        let mut scan = list(&root)?;
        scan.dirs.par_iter_mut().try_for_each(|dir| {
            let full = root.full(&dir.path);
            let fd = root.open_below(&dir.path, OFlags::DIRECTORY)?;
            let (xattrs, overlay) = read_xattrs(&Named::Open(&fd), &full)?;
            (dir.meta.xattrs, dir.overlay) = (xattrs, overlay);
            Ok::<_, Error>(())
        })?;
        scan.leaves.par_iter_mut().try_for_each(|leaf| self.fill(&root, leaf, mode))?;
        Ok(scan)
    }

    fn fill(&self, root: &Root, found: &mut ScanLeaf, mode: UpperMode) -> Result<()> {
        let full = root.full(&found.path);
        let stat = &found.stat;
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let mut file = None;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let open = File::from(root.open_below(&found.path, OFlags::empty())?);
                let content = match mode {
                    UpperMode::Copy => self.put_named(&open, &full)?,
                    UpperMode::Take => self.take(&open, &full)?,
                };
                file = Some(open);
                LeafKind::File(content)
            }
            FileType::Symlink => {
                let target = std::fs::read_link(&full).map_err(|e| FsError::new("read the link", &full, e))?;
                LeafKind::Symlink(target.into_os_string().into_encoded_bytes())
            }
            FileType::CharacterDevice => LeafKind::CharDevice { major, minor },
            FileType::BlockDevice => LeafKind::BlockDevice { major, minor },
            FileType::Fifo => LeafKind::Fifo,
            FileType::Socket => LeafKind::Socket,
            other => return Err(Error::Unrepresentable(format!("{} is a {other:?}", full.display()))),
        };
        // Devices, pipes and links are not opened: their attributes are asked for by name.
        let proc = root.proc(&found.path);
        let named = file.as_ref().map_or(Named::Path(&proc), Named::OpenFile);
        let (xattrs, overlay) = read_xattrs(&named, &full)?;
        found.overlay = overlay;
        found.leaf = Some(Leaf { meta: Meta { xattrs, ..meta(stat) }, kind });
        Ok(())
    }
}

/// The scanned directory: everything is opened below it, never through a symbolic link.
struct Root {
    fd: OwnedFd,
    path: PathBuf,
}

impl Root {
    fn open(path: &Path) -> Result<Root> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| FsError::new("open", path, e.into()))?;
        Ok(Root { fd, path: path.to_owned() })
    }

    fn full(&self, below: &[u8]) -> PathBuf {
        self.path.join(std::ffi::OsStr::from_bytes(below))
    }

    fn proc(&self, below: &[u8]) -> PathBuf {
        Path::new("/proc/self/fd").join(self.fd.as_raw_fd().to_string()).join(std::ffi::OsStr::from_bytes(below))
    }

    fn open_below(&self, below: &[u8], flags: OFlags) -> Result<OwnedFd> {
        let below = if below.is_empty() { b".".as_slice() } else { below };
        let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
        rustix::fs::openat2(&self.fd, below, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
            .map_err(|e| FsError::new("open", self.full(below), e.into()).into())
    }
}

fn list(root: &Root) -> Result<Scan> {
    let stat = rustix::fs::fstat(&root.fd).map_err(|e| FsError::new("look at", &root.path, e.into()))?;
    let first = ScanDir { path: Vec::new(), meta: meta(&stat), overlay: Xattrs::new(), children: Vec::new() };
    let mut scan = Scan { dirs: vec![first], leaves: Vec::new() };
    let mut inodes: HashMap<(u64, u64), usize> = HashMap::new();
    let mut at = 0;
    while at < scan.dirs.len() {
        let path = scan.dirs[at].path.clone();
        let failed = |e: rustix::io::Errno| FsError::new("list the directory", root.full(&path), e.into());
        let fd = root.open_below(&path, OFlags::DIRECTORY)?;
        let mut children = Vec::new();
        for entry in rustix::fs::Dir::read_from(&fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let below = if path.is_empty() { name.to_vec() } else { [&path, b"/".as_slice(), name].concat() };
            let stat = rustix::fs::statat(&fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| FsError::new("look at", root.full(&below), e.into()))?;
            let child = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let (meta, overlay) = (meta(&stat), Xattrs::new());
                scan.dirs.push(ScanDir { path: below, meta, overlay, children: Vec::new() });
                Child::Dir(scan.dirs.len() - 1)
            } else {
                let new = scan.leaves.len();
                let known =
                    if stat.st_nlink > 1 { *inodes.entry((stat.st_dev, stat.st_ino)).or_insert(new) } else { new };
                if known == new {
                    scan.leaves.push(ScanLeaf { path: below, stat, leaf: None, overlay: Xattrs::new() });
                }
                Child::Leaf(known)
            };
            children.push((name.to_vec(), child));
        }
        scan.dirs[at].children = children;
        at += 1;
    }
    Ok(scan)
}

fn meta(stat: &Stat) -> Meta {
    Meta::new(stat.st_mode & 0o7777, stat.st_uid, stat.st_gid, stat.st_mtime)
}

/// How an entry's attributes are asked for.
enum Named<'a> {
    Open(&'a OwnedFd),
    OpenFile(&'a File),
    Path(&'a Path),
}

impl Named<'_> {
    fn list(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            Named::Open(fd) => rustix::fs::flistxattr(fd, buffer),
            Named::OpenFile(file) => rustix::fs::flistxattr(file, buffer),
            Named::Path(path) => rustix::fs::llistxattr(*path, buffer),
        }
    }

    fn get(&self, name: &[u8], buffer: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            Named::Open(fd) => rustix::fs::fgetxattr(fd, name, buffer),
            Named::OpenFile(file) => rustix::fs::fgetxattr(file, name, buffer),
            Named::Path(path) => rustix::fs::lgetxattr(*path, name, buffer),
        }
    }
}

/// Kernel limit of a list of names, and of one value.
const XATTR_MAX: usize = 65536;

/// The attributes to keep, and those that an overlay wrote (names without the first component).
fn read_xattrs(named: &Named<'_>, full: &Path) -> Result<(Xattrs, Xattrs)> {
    let (mut kept, mut overlay) = (Xattrs::new(), Xattrs::new());
    let failed = |e: rustix::io::Errno| FsError::new("read the extended attributes of", full, e.into());
    let mut names = [0; 256];
    let mut long = Vec::new();
    let names: &[u8] = match named.list(&mut names) {
        Ok(length) => &names[..length],
        Err(rustix::io::Errno::NOTSUP) => return Ok((kept, overlay)),
        Err(rustix::io::Errno::RANGE) => {
            long.resize(XATTR_MAX, 0);
            let length = named.list(&mut long).map_err(failed)?;
            &long[..length]
        }
        Err(e) => return Err(failed(e).into()),
    };
    for name in names.split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let of_overlay = [b"user.".as_slice(), b"trusted."]
            .iter()
            .find_map(|p| name.strip_prefix(*p))
            .filter(|rest| rest.starts_with(b"overlay."));
        if of_overlay.is_none() && !is_kept(name) {
            continue;
        }
        let mut value = vec![0; XATTR_MAX];
        match named.get(name, &mut value) {
            Ok(length) => value.truncate(length),
            // Removed meanwhile, or not for us.
            Err(rustix::io::Errno::NODATA) => continue,
            Err(e) => return Err(failed(e).into()),
        }
        match of_overlay {
            Some(rest) => overlay.insert(rest.to_vec(), value),
            None if name == b"security.capability" => kept.insert(name.to_vec(), plain_capability(value)),
            None => kept.insert(name.to_vec(), value),
        };
    }
    Ok((kept, overlay))
}

fn is_kept(name: &[u8]) -> bool {
    matches!(name, b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default")
        || name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
}

/// Revision 3 of a file capability names the root user it is good for; root 0 means the same as revision 2, which is
/// what a package's script writes outside of a user namespace. One form, so that where it was built does not show.
fn plain_capability(mut value: Vec<u8>) -> Vec<u8> {
    if value.len() == 24 && value[3] == 3 && value[20..] == [0; 4] {
        value[3] = 2;
        value.truncate(20);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_of_root_have_one_form() {
        let mut v3 = vec![1, 0, 0, 3];
        v3.extend_from_slice(&[7; 16]);
        let mut other_root = v3.clone();
        v3.extend_from_slice(&[0; 4]);
        other_root.extend_from_slice(&[1, 0, 0, 0]);
        let plain = plain_capability(v3);
        assert_eq!((plain.len(), plain[3]), (20, 2));
        assert_eq!(plain_capability(plain.clone()), plain);
        assert_eq!(plain_capability(other_root.clone()), other_root, "another root is another capability");
    }
}
