//! An image's files to read from, mounted or, where nothing can be mounted, checked out.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use regrow_host::lock::Scratch;
use regrow_image::{ImageId, Store};

use crate::error::Result;

/// The root directory of an image, read-only. What had to be written for it goes when it is dropped.
#[derive(Debug)]
pub struct ImageRoot {
    root: OwnedFd,
    _checkout: Option<Scratch>,
}

impl ImageRoot {
    /// Opens the root of `image`. Scratch files, if any, are made below `scratch`.
    ///
    /// # Errors
    /// If the image is not there or damaged.
    pub fn open(store: &Store, image: &ImageId, scratch: &Path) -> Result<ImageRoot> {
        match store.mount(image, None) {
            Err(e) if e.is_mount_unsupported() => ImageRoot::checked_out(store, image, scratch),
            mounted => Ok(ImageRoot::from(mounted?)),
        }
    }

    fn checked_out(store: &Store, image: &ImageId, scratch: &Path) -> Result<ImageRoot> {
        let checkout = Scratch::new(scratch, "image")?;
        let files = checkout.path().join("root");
        store.checkout(image, &files)?;
        Ok(ImageRoot { root: regrow_host::fs::open(&files)?.into(), _checkout: Some(checkout) })
    }
}

impl From<OwnedFd> for ImageRoot {
    /// Of a directory that is there already.
    fn from(root: OwnedFd) -> ImageRoot {
        ImageRoot { root, _checkout: None }
    }
}

impl AsFd for ImageRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use regrow_image::{Meta, Tree};

    use super::*;

    #[test]
    fn an_image_that_cannot_be_mounted_is_read_from_a_checkout_that_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let mut tree = Tree::new(Meta::new(0o755, 0, 0, 1));
        let content = store.put_bytes(b"hello\n").unwrap();
        tree.insert_file("/etc/motd", Meta::new(0o644, 0, 0, 1), content).unwrap();
        let image = store.commit(&tree).unwrap();
        let scratch = dir.path().join("scratch");
        let root = ImageRoot::checked_out(&store, &image, &scratch).unwrap();
        let motd = rustix::fs::openat(
            root.as_fd(),
            "etc/motd",
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
        assert_eq!(std::io::read_to_string(std::fs::File::from(motd)).unwrap(), "hello\n");
        drop(root);
        assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
    }
}
