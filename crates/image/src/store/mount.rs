//! Mounting images: a read-only overlay of an image's EROFS metadata over the objects.
//!
//! Nothing is attached to the host's file tree; the mount is a file descriptor that ends with its last holder. For a
//! server whose root is nobody outside, the EROFS mount is id-mapped before the overlay is made of it: owners on disk stay
//! as the server sees them. (The overlay itself cannot be id-mapped.)
//!
//! What older kernels lack has a way around each:
//! * EROFS straight from a file (6.12): a loop device.
//! * overlays of detached mounts (6.15): attached for a moment in the store's scratch folder.
//! * data-only layers (6.5): an ordinary lower layer; the image hides the object folders' names.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

use regrow_host::fs;
use regrow_host::lock::Scratch;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create, fsconfig_set_fd,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};
use serde::Serialize;

use super::Store;
use crate::error::{Error, Result};
use crate::id::ImageId;
use crate::tree::Tree;

/// How images are mounted on this machine. From [`Store::probe_mount`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MountWay {
    /// EROFS straight from the image's file.
    File,
    /// EROFS through a loop device.
    Loop,
}

impl Store {
    /// Mounts an image read-only and returns the mount, attached nowhere; move it to its place, or hand it to a sandbox.
    /// With a user namespace, id 0 in the image is that namespace's root, and so on.
    ///
    /// Takes root. The image must be a root of [`Store::gc`] as long as the mount is used.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`]; [`Error::Mount`] if this machine cannot do it ([`Error::is_mount_unsupported`]): the way
    /// out is [`Store::checkout`].
    pub fn mount(&self, image: &ImageId, userns: Option<BorrowedFd<'_>>) -> Result<OwnedFd> {
        Ok(self.mount_by(image, userns)?.0)
    }

    /// How [`Store::mount`] works here, found by mounting an image of one empty directory.
    ///
    /// # Errors
    /// What [`Store::mount`] would say.
    pub fn probe_mount(&self) -> Result<MountWay> {
        let image = self.commit(&Tree::default())?;
        Ok(self.mount_by(&image, None)?.1)
    }

    fn mount_by(&self, image: &ImageId, userns: Option<BorrowedFd<'_>>) -> Result<(OwnedFd, MountWay)> {
        /// The same for all images of one machine, and worth finding only once.
        static WAY: OnceLock<MountWay> = OnceLock::new();
        let way = match WAY.get() {
            Some(way) => *way,
            None => {
                let way = self.find_way(image)?;
                *WAY.get_or_init(|| way)
            }
        };
        let metadata = self.metadata(image, way)?;
        if let Some(userns) = userns {
            composefs_ioctls::mount::mount_setattr_idmap(&metadata, userns)
                .map_err(|e| failed("mapping the ids of the EROFS mount", None, e))?;
        }
        Ok((self.overlay(image, &metadata, &Layers::ALL)?, way))
    }

    /// Tries whether EROFS mounts from a file, and whether a further overlay can then stand on ours: some kernels count
    /// the file's file system as one more level, which is one too many.
    fn find_way(&self, image: &ImageId) -> Result<MountWay> {
        let metadata = match self.metadata(image, MountWay::File) {
            Ok(metadata) => metadata,
            // It wants a block device.
            Err(Error::Mount { source, .. }) if source.raw_os_error() == Some(Errno::NOTBLK.raw_os_error()) => {
                return Ok(MountWay::Loop);
            }
            Err(e) => return Err(e),
        };
        let lower = Attached::new(&self.path.join("scratch"), &self.overlay(image, &metadata, &Layers::ALL)?)?;
        let empty = Scratch::new(self.path.join("scratch"), "empty")?;
        let context = Context::new("overlay")?;
        let (lower, empty) = (open_dir(lower.0.path())?, open_dir(empty.path())?);
        let layers = format!("/proc/self/fd/{}:/proc/self/fd/{}", lower.as_raw_fd(), empty.as_raw_fd());
        let stacked = fsconfig_set_string(&context.0, "lowerdir", layers).and_then(|()| fsconfig_create(&context.0));
        Ok(if stacked.is_ok() { MountWay::File } else { MountWay::Loop })
    }

    /// Mounts an image's EROFS.
    fn metadata(&self, image: &ImageId, way: MountWay) -> Result<OwnedFd> {
        let file = match fs::open(self.image_path(image)) {
            Err(e) if e.is_not_found() => return Err(Error::NoSuchImage(*image)),
            file => file?,
        };
        match way {
            MountWay::File => erofs(&file),
            MountWay::Loop => {
                let device = composefs_ioctls::loop_device::loopify(&file);
                erofs(&File::from(device.map_err(|e| failed("making a loop device", None, e))?))
            }
        }
    }

    /// Makes the overlay, by the first of these ways of naming its layers that the kernel takes.
    fn overlay(&self, image: &ImageId, metadata: &OwnedFd, ways: &[Layers]) -> Result<OwnedFd> {
        let objects = open_dir(&self.path.join("objects"))?;
        let mut attached = None;
        let mut first_error = None;
        for way in ways {
            let context = new_overlay(image)?;
            let named = match way {
                Layers::Detached => fsconfig_set_fd(&context.0, "lowerdir+", metadata)
                    .and_then(|()| fsconfig_set_fd(&context.0, "datadir+", &objects)),
                Layers::DataOnly | Layers::Plain => {
                    // Kept until the overlay has its own hold of it.
                    let place = match &mut attached {
                        Some(place) => place,
                        none => none.insert(Attached::new(&self.path.join("scratch"), metadata)?),
                    };
                    let lower = open_dir(place.0.path())?;
                    let separator = if matches!(way, Layers::DataOnly) { "::" } else { ":" };
                    let (lower, data) = (lower.as_raw_fd(), objects.as_raw_fd());
                    fsconfig_set_string(
                        &context.0,
                        "lowerdir",
                        format!("/proc/self/fd/{lower}{separator}/proc/self/fd/{data}"),
                    )
                }
            };
            let made = named
                .map_err(|e| context.failed("naming the layers of the overlay", e))
                .and_then(|()| create(&context));
            match made {
                Ok(mounted) => return Ok(mounted),
                // What the kernel says to the newest form is worth most.
                Err(e) => first_error = first_error.or(Some(e)),
            }
        }
        Err(first_error.unwrap_or_else(|| failed("making the overlay", None, io::ErrorKind::Unsupported.into())))
    }
}

/// How an overlay is told its two layers, newest first.
#[derive(Debug, Clone, Copy)]
enum Layers {
    /// File descriptors, of mounts that need not be attached.
    Detached,
    /// Paths, objects as a data-only layer.
    DataOnly,
    /// Paths, objects as an ordinary layer whose names the image hides.
    Plain,
}

impl Layers {
    const ALL: [Layers; 3] = [Layers::Detached, Layers::DataOnly, Layers::Plain];
}

fn open_dir(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| regrow_host::FsError::new("open", path, e.into()).into())
}

/// Mounts EROFS from a file or block device.
fn erofs(source: &File) -> Result<OwnedFd> {
    let context = Context::new("erofs")?;
    let steps = fsconfig_set_flag(&context.0, "ro")
        .and_then(|()| fsconfig_set_string(&context.0, "source", format!("/proc/self/fd/{}", source.as_raw_fd())))
        .and_then(|()| fsconfig_create(&context.0))
        .and_then(|()| fsmount(&context.0, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY));
    steps.map_err(|e| context.failed("mounting EROFS", e))
}

/// A file system being configured; the kernel writes its complaints there.
struct Context(OwnedFd);

impl Context {
    fn new(kind: &str) -> Result<Context> {
        let step = if kind == "erofs" { "opening EROFS" } else { "opening overlayfs" };
        let fd = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(|e| failed(step, None, e.into()))?;
        Ok(Context(fd))
    }

    fn failed(&self, step: &'static str, errno: Errno) -> Error {
        let mut said = Vec::new();
        let mut line = [0; 1024];
        while let Ok(length @ 1..) = rustix::io::read(&self.0, &mut line) {
            said.push(String::from_utf8_lossy(&line[..length]).trim().to_owned());
        }
        failed(step, (!said.is_empty()).then(|| said.join("; ")), errno.into())
    }
}

/// An overlay without its layers.
fn new_overlay(image: &ImageId) -> Result<Context> {
    let context = Context::new("overlay")?;
    for (key, value) in
        [("source", format!("regrow:{}", image.short())), ("metacopy", "on".into()), ("redirect_dir", "on".into())]
    {
        fsconfig_set_string(&context.0, key, value).map_err(|e| context.failed("configuring the overlay", e))?;
    }
    Ok(context)
}

/// Mounts an overlay whose layers are set.
fn create(overlay: &Context) -> Result<OwnedFd> {
    // No device nodes: whoever makes one in a build must not reach the host's devices through it.
    let flags = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsconfig_create(&overlay.0)
        .and_then(|()| fsmount(&overlay.0, FsMountFlags::FSMOUNT_CLOEXEC, flags))
        .map_err(|e| overlay.failed("making the overlay", e))
}

fn failed(step: &'static str, kernel: Option<String>, source: io::Error) -> Error {
    Error::Mount { step, kernel, source }
}

/// A mount attached to a scratch folder, until this is dropped.
struct Attached(Scratch);

impl Attached {
    fn new(scratch: &Path, mounted: &OwnedFd) -> Result<Attached> {
        let place = Scratch::new(scratch, PREFIX)?;
        move_mount(mounted.as_fd(), "", CWD, place.path(), MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(|e| failed("attaching the EROFS mount", None, e.into()))?;
        Ok(Attached(place))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

const PREFIX: &str = "mount";

/// Takes away the mounts of killed processes, so that their folders can be swept.
pub(super) fn sweep(scratch: &Path) {
    let names = fs::list(scratch).unwrap_or_default();
    for name in names.iter().filter_map(|n| n.to_str()).filter(|n| n.starts_with(PREFIX)) {
        let Some(stem) = name.strip_suffix(".lock") else { continue };
        let free = regrow_host::lock::FileLock::exclusive(scratch.join(name), regrow_host::lock::Wait::No);
        if let Ok(Some(_lock)) = free {
            // Not mounted is the usual case.
            let _ = unmount(scratch.join(stem), UnmountFlags::DETACH);
        }
    }
}

#[cfg(test)]
mod tests {
    //! What older kernels take works on newer ones too, so every way is tried here. Needs root.

    use super::*;
    use crate::diff;
    use crate::tree::Meta;

    #[test]
    fn every_way_of_mounting_shows_the_same_tree() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("a store: with, odd name")).unwrap();
        let mut tree = Tree::default();
        for n in 0..300_u32 {
            let content = store.put_bytes(&n.to_le_bytes().repeat(50)).unwrap();
            tree.insert_file(format!("/d/{n}"), Meta::new(0o644, n, n, 1), content).unwrap();
        }
        let image = store.commit(&tree).unwrap();
        for way in [MountWay::File, MountWay::Loop] {
            for layers in Layers::ALL {
                let metadata = match store.metadata(&image, way) {
                    // Kernels before 6.12; then there is only the other one.
                    Err(Error::Mount { source, .. }) if source.raw_os_error() == Some(Errno::NOTBLK.raw_os_error()) => {
                        continue;
                    }
                    metadata => metadata.unwrap(),
                };
                let mounted = match store.overlay(&image, &metadata, &[layers]) {
                    Err(_) if !matches!(layers, Layers::Plain) => continue,
                    mounted => mounted.unwrap(),
                };
                drop(metadata);
                let seen = store.read_dir(Path::new("/proc/self/fd").join(mounted.as_raw_fd().to_string())).unwrap();
                assert_eq!(diff(&tree, &seen), [], "{way:?} {layers:?}");
            }
        }
        let left = std::fs::read_dir(store.path().join("scratch"))
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().starts_with(PREFIX));
        assert_eq!(left.count(), 0, "nothing stays attached");
    }

    #[test]
    fn a_mount_that_a_killed_process_left_attached_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let image = store.commit(&Tree::default()).unwrap();
        let metadata = store.metadata(&image, store.probe_mount().unwrap()).unwrap();
        let scratch = dir.path().join("scratch");
        // What a kill leaves: folder and lock file, but nobody who holds the lock.
        std::fs::create_dir(scratch.join("mount-1-0")).unwrap();
        std::fs::write(scratch.join("mount-1-0.lock"), b"").unwrap();
        move_mount(&metadata, "", CWD, scratch.join("mount-1-0"), MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).unwrap();
        Store::open(dir.path()).unwrap();
        assert!(!scratch.join("mount-1-0").exists());
    }

    #[test]
    fn what_the_kernel_says_is_in_the_error() {
        let context = Context::new("overlay").unwrap();
        let refused = fsconfig_set_string(&context.0, "no-such-option", "1").unwrap_err();
        let error = context.failed("configuring the overlay", refused);
        assert!(error.to_string().contains("no-such-option"), "{error}");
        assert!(error.is_mount_unsupported());
    }
}
