//! Names of images: layers (results of build steps, a cache) and refs (kept from garbage collection).
//!
//! Each is a file whose content is the image's id and a newline.

use std::path::PathBuf;

use regrow_host::FsError;
use regrow_host::fs;

use super::Store;
use crate::error::{Error, Result};
use crate::id::ImageId;

impl Store {
    /// The image that the layer with this key has. A layer whose image is gone is none.
    ///
    /// # Errors
    /// For a key that cannot be a name, or if it cannot be read.
    pub fn layer(&self, key: &str) -> Result<Option<ImageId>> {
        Ok(self.read_name("layers", key)?.filter(|image| self.has_image(image)))
    }

    /// Records the image of a layer, in place of an earlier one.
    ///
    /// # Errors
    /// For a key that cannot be a name, an image that is not in the store, or if it cannot be written.
    pub fn put_layer(&self, key: &str, image: &ImageId) -> Result<()> {
        let path = self.name_path("layers", key)?;
        self.with_writer(|writer| {
            // Looked for while gc is held away.
            if !self.has_image(image) {
                return Err(Error::NoSuchImage(*image));
            }
            writer.publish(&path, format!("{image}\n").as_bytes())
        })
    }

    /// All layers with their images, sorted by key.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn layers(&self) -> Result<Vec<(String, ImageId)>> {
        self.read_names("layers")
    }

    /// Gives an image a name that keeps it from garbage collection. When this returns, the image, everything in it and
    /// the name survive a power cut.
    ///
    /// # Errors
    /// For a name that cannot be used, an image that is not in the store, or if it cannot be written.
    pub fn set_ref(&self, name: &str, image: &ImageId) -> Result<()> {
        let path = self.name_path("refs", name)?;
        let _hold = self.hold()?;
        if !self.has_image(image) {
            return Err(Error::NoSuchImage(*image));
        }
        self.sync()?;
        Ok(fs::write_atomic(path, format!("{image}\n").as_bytes())?)
    }

    /// The image with this name.
    ///
    /// # Errors
    /// For a name that cannot be used, or if it cannot be read.
    pub fn get_ref(&self, name: &str) -> Result<Option<ImageId>> {
        self.read_name("refs", name)
    }

    /// Takes a name away; says whether there was one. The image stays until the next [`Store::gc`].
    ///
    /// # Errors
    /// For a name that cannot be used, or if it cannot be removed.
    pub fn remove_ref(&self, name: &str) -> Result<bool> {
        let path = self.name_path("refs", name)?;
        match std::fs::remove_file(&path) {
            Ok(()) => {
                fs::sync_dir(self.path.join("refs"))?;
                Ok(true)
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(FsError::new("remove", path, e).into()),
        }
    }

    /// All refs, sorted by name.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn refs(&self) -> Result<Vec<(String, ImageId)>> {
        self.read_names("refs")
    }

    fn name_path(&self, folder: &str, name: &str) -> Result<PathBuf> {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.+:@".contains(&b);
        if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.bytes().all(fine) {
            return Err(Error::BadName(name.to_owned()));
        }
        Ok(self.path.join(folder).join(name))
    }

    fn read_name(&self, folder: &str, name: &str) -> Result<Option<ImageId>> {
        let path = self.name_path(folder, name)?;
        let Some(bytes) = fs::read_optional(&path)? else { return Ok(None) };
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        match text.strip_suffix('\n').map(str::parse) {
            Some(Ok(image)) => Ok(Some(image)),
            _ => Err(Error::Damaged { path, why: "it does not hold an image id".to_owned() }),
        }
    }

    fn read_names(&self, folder: &str) -> Result<Vec<(String, ImageId)>> {
        let mut names = Vec::new();
        for name in fs::list(self.path.join(folder))? {
            // Names starting with a dot are temporaries of atomic writes.
            let Some(name) = name.to_str().filter(|n| !n.starts_with('.')) else { continue };
            if let Some(image) = self.read_name(folder, name)? {
                names.push((name.to_owned(), image));
            }
        }
        Ok(names)
    }
}
