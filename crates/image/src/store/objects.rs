//! Contents: putting them in and reading them back.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use regrow_host::FsError;
use regrow_host::fs;

use super::{Store, Writer, create};
use crate::error::{Error, Result};
use crate::id::ObjectId;
use crate::tree::Content;
use crate::verity::{Hasher, digest};

/// Files up to this size are read whole; larger ones go through a buffer of this size.
const WHOLE: usize = 1 << 20;

impl Store {
    /// Keeps bytes; short ones stay in the tree.
    ///
    /// # Errors
    /// If they cannot be written ([`Error::is_disk_full`]).
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Content> {
        if bytes.len() <= Content::INLINE_MAX {
            return Ok(Content::Inline(bytes.to_vec()));
        }
        let id = digest(bytes);
        let size = bytes.len() as u64;
        self.with_writer(|writer| {
            if !self.has_object(writer, &id, size) {
                writer.publish(&self.object_path(&id), bytes)?;
                self.known().insert(id);
            }
            Ok(Content::Object { id, size })
        })
    }

    /// Keeps a copy of an open file's whole content, wherever its cursor is. Holes stay holes, and no more than 1 MiB of
    /// it is in memory at once.
    ///
    /// # Errors
    /// If it cannot be read, or the copy not be written ([`Error::is_disk_full`]).
    pub fn put_file(&self, file: &File) -> Result<Content> {
        self.put_named(file, Path::new("an open file"))
    }

    /// [`Store::put_file`] with a name for errors.
    pub(super) fn put_named(&self, file: &File, name: &Path) -> Result<Content> {
        let reading = |e| FsError::new("read", name, e);
        // One byte more than the size says, so that a whole read of it is one call.
        let size = file.metadata().map_err(reading)?.len();
        let mut buffer = vec![0; size.saturating_add(1).min(WHOLE as u64) as usize];
        let length = read_at(file, &mut buffer, 0).map_err(reading)?;
        if length < buffer.len() {
            return self.put_bytes(&buffer[..length]);
        }
        buffer.resize(WHOLE, 0);
        self.put_stream(file, &mut buffer, name)
    }

    fn put_stream(&self, file: &File, buffer: &mut [u8], name: &Path) -> Result<Content> {
        self.with_writer(|writer| {
            let temporary = writer.temporary();
            let failed = |e| {
                let _ = std::fs::remove_file(&temporary);
                Error::from(FsError::new("write", &temporary, e))
            };
            let mut copy = create(&temporary).map_err(failed)?;
            // A shared copy costs nothing; what is hashed is the copy, which no one else changes.
            let shared = rustix::fs::ioctl_ficlone(&copy, file).is_ok();
            let mut hasher = Hasher::default();
            let mut size = 0;
            loop {
                let source = if shared { &copy } else { file };
                let length = read_at(source, buffer, size).map_err(|e| {
                    let _ = std::fs::remove_file(&temporary);
                    FsError::new("read", name, e)
                })?;
                hasher.update(&buffer[..length]);
                size += length as u64;
                if !shared {
                    let hole = buffer[..length].iter().all(|b| *b == 0);
                    let written = if hole {
                        copy.seek(SeekFrom::Current(length as i64)).map(drop)
                    } else {
                        copy.write_all(&buffer[..length])
                    };
                    written.map_err(failed)?;
                }
                if length < buffer.len() {
                    break;
                }
            }
            let id = hasher.finish();
            if self.has_object(writer, &id, size) {
                let _ = std::fs::remove_file(&temporary);
            } else {
                writer.finish(&temporary, &self.object_path(&id), copy.set_len(size))?;
                self.known().insert(id);
            }
            Ok(Content::Object { id, size })
        })
    }

    /// Makes the file at `path` itself an object if possible, else a copy of it. Its owner and mode are lost then.
    ///
    /// Nobody may write to it any more.
    pub(super) fn take(&self, file: &File, path: &Path) -> Result<Content> {
        let reading = |e| FsError::new("read", path, e);
        let metadata = file.metadata().map_err(reading)?;
        if metadata.len() <= 4096 {
            // As cheap to copy, and an inode with links outside is avoided.
            return self.put_named(file, path);
        }
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; metadata.len().min(WHOLE as u64) as usize];
        let mut size = 0;
        loop {
            let length = read_at(file, &mut buffer, size).map_err(reading)?;
            hasher.update(&buffer[..length]);
            size += length as u64;
            if length < buffer.len() || size == metadata.len() {
                break;
            }
        }
        let id = hasher.finish();
        let linked = self.with_writer(|writer| {
            if self.has_object(writer, &id, size) {
                return Ok(true);
            }
            let temporary = writer.temporary();
            if std::fs::hard_link(path, &temporary).is_err() {
                return Ok(false);
            }
            let plain = (|| {
                if metadata.mode() & 0o7777 != 0o444 {
                    file.set_permissions(std::fs::Permissions::from_mode(0o444))?;
                }
                let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
                if (metadata.uid(), metadata.gid()) != (uid, gid) {
                    std::os::unix::fs::fchown(file, Some(uid), Some(gid))?;
                }
                Ok(())
            })();
            writer.finish(&temporary, &self.object_path(&id), plain)?;
            // Renaming onto another name of the same file does nothing at all, and leaves the temporary.
            let _ = std::fs::remove_file(&temporary);
            self.known().insert(id);
            Ok(true)
        })?;
        if linked { Ok(Content::Object { id, size }) } else { self.put_named(file, path) }
    }

    /// The bytes of a content.
    ///
    /// # Errors
    /// [`Error::MissingObject`] if it is not in the store.
    pub fn read(&self, content: &Content) -> Result<Vec<u8>> {
        match content {
            Content::Inline(bytes) => Ok(bytes.clone()),
            Content::Object { id, size } => {
                let mut bytes = Vec::with_capacity(usize::try_from(*size).unwrap_or(0));
                let path = self.object_path(id);
                self.open_object(id)?.read_to_end(&mut bytes).map_err(|e| FsError::new("read", &path, e))?;
                if bytes.len() as u64 != *size {
                    let why = format!("it has {} bytes instead of {size}", bytes.len());
                    return Err(Error::Damaged { path, why });
                }
                Ok(bytes)
            }
        }
    }

    /// An object's file, open for reading.
    ///
    /// # Errors
    /// [`Error::MissingObject`] if it is not in the store.
    pub fn open_object(&self, id: &ObjectId) -> Result<File> {
        match fs::open(self.object_path(id)) {
            Ok(file) => Ok(file),
            Err(e) if e.is_not_found() => Err(Error::MissingObject(*id)),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether an object is there with the right size; one of another size is damaged and will be replaced.
    ///
    /// Needs a writer, which keeps gc from making the answer wrong.
    pub(super) fn has_object(&self, _: &Writer, id: &ObjectId, size: u64) -> bool {
        if self.known().contains(id) {
            return true;
        }
        let there = std::fs::symlink_metadata(self.object_path(id)).is_ok_and(|m| m.is_file() && m.len() == size);
        if there {
            self.known().insert(*id);
        }
        there
    }
}

/// Fills `buffer` as far as the file goes.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(length)
}
