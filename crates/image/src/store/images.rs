//! Trees made images, and images read back.
//!
//! An image is EROFS metadata in the layout composefs calls version 1. The version is named in every call: the library's
//! default may change, and every version gives the same tree another digest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use composefs::erofs::format::FormatVersion;
use composefs::erofs::reader::erofs_to_filesystem;
use composefs::erofs::writer::{ValidatedFileSystem, mkfs_erofs_versioned};
use composefs::fsverity::{FsVerityHashValue, Sha256HashValue};
use composefs::generic_tree::{self, Stat};
use composefs::tree::{self as cfs, LeafContent, RegularFile};
use regrow_host::fs;

use super::Store;
use crate::error::{Error, Result};
use crate::id::{ImageId, ObjectId};
use crate::tree::{Content, Dir, Leaf, LeafId, LeafKind, Meta, Node, PATH_MAX, Tree};
use crate::verity::digest;

const FORMAT: FormatVersion = FormatVersion::V1;

type FileSystem = cfs::FileSystem<Sha256HashValue>;
type Directory = cfs::Directory<Sha256HashValue>;
type Inode = cfs::Inode<Sha256HashValue>;

impl Store {
    /// Makes an image of a tree and returns its name. The same tree gives the same image, always and everywhere; an image
    /// that is there already is left alone.
    ///
    /// A kill at any moment leaves the whole image or none. Call [`Store::sync`] (or [`Store::set_ref`]) before something
    /// that must survive a power cut depends on it.
    ///
    /// # Errors
    /// [`Error::MissingObject`] if contents are not in the store, [`Error::Unrepresentable`] for what EROFS cannot hold,
    /// [`Error::is_disk_full`].
    pub fn commit(&self, tree: &Tree) -> Result<ImageId> {
        let bytes = image_bytes(tree)?;
        let image = ImageId(digest(&bytes).0);
        let path = self.image_path(&image);
        self.with_writer(|writer| {
            // Objects first: an image that is there is whole.
            for (id, size) in &objects_of(tree) {
                if !self.has_object(writer, id, *size) {
                    return Err(Error::MissingObject(*id));
                }
            }
            let there = std::fs::symlink_metadata(&path).is_ok_and(|m| m.len() == bytes.len() as u64);
            if there { Ok(()) } else { writer.publish(&path, &bytes) }
        })?;
        Ok(image)
    }

    /// Reads an image back; committing the result gives the same image.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`], or [`Error::Damaged`] if its bytes are not what its name says.
    pub fn load(&self, image: &ImageId) -> Result<Tree> {
        let path = self.image_path(image);
        let bytes = match fs::read(&path) {
            Err(e) if e.is_not_found() => return Err(Error::NoSuchImage(*image)),
            bytes => bytes?,
        };
        if digest(&bytes).0 != image.0 {
            return Err(Error::Damaged { path, why: "its bytes are not those it is named after".to_owned() });
        }
        let read = erofs_to_filesystem::<Sha256HashValue>(&bytes);
        let read = read.map_err(|e| Error::Damaged { path: path.clone(), why: format!("{e:#}") })?;
        let mut leaves = Vec::with_capacity(read.leaves.len());
        for leaf in read.leaves {
            let kind = kind(leaf.content).map_err(|why| Error::Damaged { path: path.clone(), why: why.to_owned() })?;
            leaves.push(Leaf { meta: meta(leaf.stat), kind });
        }
        Ok(Tree { root: directory(&read.root), leaves })
    }

    /// Whether an image is there.
    pub fn has_image(&self, image: &ImageId) -> bool {
        self.image_path(image).is_file()
    }

    /// All images, sorted.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn images(&self) -> Result<Vec<ImageId>> {
        let names = fs::list(self.path.join("images"))?;
        let mut images: Vec<ImageId> = names.iter().filter_map(|n| n.to_str()?.parse().ok()).collect();
        images.sort();
        Ok(images)
    }

    pub(super) fn image_path(&self, image: &ImageId) -> PathBuf {
        self.path.join("images").join(image.to_string())
    }
}

fn image_bytes(tree: &Tree) -> Result<Box<[u8]>> {
    let mut out = FileSystem::new(stat(&tree.root.meta, b"/")?);
    // Taken out while it is filled, because the table of leaves is in the same value.
    let mut root = std::mem::replace(&mut out.root, Directory::new(Stat::uninitialized()));
    fill(tree, &tree.root, &mut Vec::new(), &mut root, &mut out, &mut HashMap::new())?;
    out.root = root;
    let valid = ValidatedFileSystem::new(out).map_err(|e| Error::Unrepresentable(format!("{e:#}")))?;
    Ok(mkfs_erofs_versioned(&valid, FORMAT))
}

/// Copies the entries of `dir`, which is at `path`, to `into`; leaves are numbered as they are met, once each.
fn fill(
    tree: &Tree,
    dir: &Dir,
    path: &mut Vec<u8>,
    into: &mut Directory,
    out: &mut FileSystem,
    ids: &mut HashMap<LeafId, generic_tree::LeafId>,
) -> Result<()> {
    for (name, node) in &dir.entries {
        let before = path.len();
        path.push(b'/');
        path.extend_from_slice(name);
        if path.len() > PATH_MAX {
            return Err(Error::tree(path, "has a path longer than 4095 bytes"));
        }
        let inode = match node {
            Node::Dir(below) => {
                let mut directory = Directory::new(stat(&below.meta, path)?);
                fill(tree, below, path, &mut directory, out, ids)?;
                Inode::Directory(Box::new(directory))
            }
            Node::Leaf(id) => match ids.get(id) {
                Some(known) => Inode::leaf(*known),
                None => {
                    let leaf = tree.leaf(*id);
                    let new = out.push_leaf(stat(&leaf.meta, path)?, leaf_content(leaf, path)?);
                    ids.insert(*id, new);
                    Inode::leaf(new)
                }
            },
        };
        into.insert(OsStr::from_bytes(name), inode);
        path.truncate(before);
    }
    Ok(())
}

fn leaf_content(leaf: &Leaf, path: &[u8]) -> Result<LeafContent<Sha256HashValue>> {
    let device = |major: u32, minor: u32| {
        // What fits the 32 bits that a device number has on disk.
        if major < 1 << 12 && minor < 1 << 20 {
            Ok(u64::from((minor & 0xff) | major << 8 | (minor & !0xff) << 12))
        } else {
            Err(Error::tree(path, "has a device number that is too large"))
        }
    };
    Ok(match &leaf.kind {
        LeafKind::File(Content::Inline(bytes)) if bytes.len() > Content::INLINE_MAX => {
            return Err(Error::tree(path, "has inline content that is too long; put it into the store"));
        }
        LeafKind::File(Content::Inline(bytes)) => LeafContent::Regular(RegularFile::Inline(bytes.as_slice().into())),
        LeafKind::File(Content::Object { id, size }) => {
            LeafContent::Regular(RegularFile::External(external(id)?, *size))
        }
        LeafKind::Symlink(target) => {
            if target.is_empty() || target.len() > composefs::SYMLINK_MAX {
                return Err(Error::tree(path, "is a symbolic link of 0 or more than 1024 bytes"));
            }
            LeafContent::Symlink(OsStr::from_bytes(target).into())
        }
        LeafKind::CharDevice { major, minor } => LeafContent::CharacterDevice(device(*major, *minor)?),
        LeafKind::BlockDevice { major, minor } => LeafContent::BlockDevice(device(*major, *minor)?),
        LeafKind::Fifo => LeafContent::Fifo,
        LeafKind::Socket => LeafContent::Socket,
    })
}

fn external(id: &ObjectId) -> Result<Sha256HashValue> {
    Sha256HashValue::from_hex(id.to_string()).map_err(|e| Error::Unrepresentable(format!("object {id}: {e}")))
}

/// The objects a tree needs, with their sizes.
pub(super) fn objects_of(tree: &Tree) -> BTreeSet<(ObjectId, u64)> {
    tree.walk()
        .filter_map(|(_, entry)| match entry.as_file()? {
            Content::Object { id, size } => Some((*id, *size)),
            Content::Inline(_) => None,
        })
        .collect()
}

fn stat(meta: &Meta, path: &[u8]) -> Result<Stat> {
    let mut total = 0;
    let mut xattrs: BTreeMap<Box<OsStr>, Box<[u8]>> = BTreeMap::new();
    for (name, value) in &meta.xattrs {
        let known = [b"user.".as_slice(), b"trusted.", b"security."]
            .iter()
            .any(|p| name.len() > p.len() && name.starts_with(p));
        let acl = matches!(name.as_slice(), b"system.posix_acl_access" | b"system.posix_acl_default");
        if !known && !acl {
            return Err(Error::tree(path, "has an extended attribute of a kind that an image cannot hold"));
        }
        total += name.len() + value.len() + 8;
        if name.len() > 255 || name.contains(&0) || total > 60_000 {
            return Err(Error::tree(path, "has extended attributes that are too long for an image"));
        }
        xattrs.insert(OsStr::from_bytes(name).into(), value.as_slice().into());
    }
    Ok(Stat {
        st_mode: meta.mode & 0o7777,
        st_uid: meta.uid,
        st_gid: meta.gid,
        st_mtim_sec: meta.mtime,
        st_mtim_nsec: 0,
        xattrs,
    })
}

fn meta(stat: Stat) -> Meta {
    let xattrs = stat.xattrs.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value.into_vec())).collect();
    Meta { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid, mtime: stat.st_mtim_sec, xattrs }
}

fn directory(from: &Directory) -> Dir {
    let mut dir = Dir::new(meta(from.stat.clone()));
    for (name, inode) in from.entries() {
        let node = match inode {
            Inode::Directory(below) => Node::Dir(directory(below)),
            Inode::Leaf(id, _) => Node::Leaf(LeafId(id.0)),
        };
        dir.entries.insert(name.as_bytes().to_vec(), node);
    }
    dir
}

fn kind(content: LeafContent<Sha256HashValue>) -> Result<LeafKind, &'static str> {
    let split = |device: u64| {
        let device = device as u32;
        ((device >> 8) & 0xfff, (device & 0xff) | (device >> 12) & 0xf_ff00)
    };
    Ok(match content {
        LeafContent::Regular(RegularFile::Inline(bytes)) => LeafKind::File(Content::Inline(bytes.into_vec())),
        LeafContent::Regular(RegularFile::External(id, size)) => {
            let mut digest = [0; 32];
            hex::decode_to_slice(id.to_hex(), &mut digest).map_err(|_| "a file in it has a digest of another kind")?;
            LeafKind::File(Content::Object { id: ObjectId(digest), size })
        }
        LeafContent::Regular(_) => return Err("a file in it has no content"),
        LeafContent::Symlink(target) => LeafKind::Symlink(target.as_bytes().to_vec()),
        LeafContent::CharacterDevice(device) => {
            let (major, minor) = split(device);
            LeafKind::CharDevice { major, minor }
        }
        LeafContent::BlockDevice(device) => {
            let (major, minor) = split(device);
            LeafKind::BlockDevice { major, minor }
        }
        LeafContent::Fifo => LeafKind::Fifo,
        LeafContent::Socket => LeafKind::Socket,
    })
}
