//! Reading a package file: an `ar` archive of `debian-binary`, `control.tar.*` and `data.tar.*`.
//!
//! Nothing is unpacked to disk and no path is followed: entries are looked at by name, with limits on their size.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Result};

/// No control member unpacks to more.
const CONTROL_LIMIT: u64 = 64 << 20;
/// No data member unpacks to more.
const DATA_LIMIT: u64 = 64 << 30;
/// No single file of interest is larger.
const FILE_LIMIT: u64 = 8 << 20;

/// A package file, open for reading.
#[derive(Debug)]
pub(crate) struct Deb<'p> {
    path: &'p Path,
}

/// One plain file of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name without a leading `./`.
    pub name: Vec<u8>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl<'p> Deb<'p> {
    /// A package file at `path`; nothing is read yet.
    pub(crate) fn new(path: &'p Path) -> Deb<'p> {
        Deb { path }
    }

    fn error(&self, reason: impl Into<String>) -> Error {
        Error::Deb { path: self.path.to_owned(), reason: reason.into() }
    }

    /// The files of the control member: `control`, `md5sums`, `postinst`…
    pub(crate) fn control(&self) -> Result<Vec<Entry>> {
        self.entries("control.tar", CONTROL_LIMIT, &mut |_| Some(Take::Yes))
    }

    /// The plain files of the data member that `wanted` says yes to; it may end the reading early.
    pub(crate) fn data(&self, wanted: &mut dyn FnMut(&[u8]) -> Option<Take>) -> Result<Vec<Entry>> {
        self.entries("data.tar", DATA_LIMIT, wanted)
    }

    fn entries(&self, member: &str, limit: u64, wanted: &mut dyn FnMut(&[u8]) -> Option<Take>) -> Result<Vec<Entry>> {
        let file = File::open(self.path).map_err(|e| self.error(e.to_string()))?;
        let mut archive = ar::Archive::new(io::BufReader::new(file));
        while let Some(found) = archive.next_entry() {
            let entry = found.map_err(|e| self.error(e.to_string()))?;
            let name = String::from_utf8_lossy(entry.header().identifier()).trim_end_matches('/').to_owned();
            let Some(suffix) = name.strip_prefix(member) else { continue };
            let reader: Box<dyn Read + '_> = match suffix {
                "" => Box::new(entry),
                ".xz" | ".lzma" => Box::new(liblzma::read::XzDecoder::new_multi_decoder(entry)),
                ".gz" => Box::new(flate2::read::MultiGzDecoder::new(entry)),
                ".zst" => Box::new(zstd::stream::read::Decoder::new(entry).map_err(|e| self.error(e.to_string()))?),
                other => return Err(self.error(format!("its {member} has an unknown compression `{other}`"))),
            };
            return self.files(reader.take(limit), wanted);
        }
        Err(self.error(format!("it has no {member}")))
    }

    fn files(&self, reader: impl Read, wanted: &mut dyn FnMut(&[u8]) -> Option<Take>) -> Result<Vec<Entry>> {
        let mut tar = tar::Archive::new(reader);
        let mut files = Vec::new();
        for entry in tar.entries().map_err(|e| self.error(e.to_string()))? {
            let entry = entry.map_err(|e| self.error(e.to_string()))?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let path = entry.path_bytes();
            let name = path.strip_prefix(b"./").unwrap_or(&path).to_vec();
            drop(path);
            match wanted(&name) {
                None => return Ok(files),
                Some(Take::No) => continue,
                Some(Take::Yes) => {}
            }
            if entry.size() > FILE_LIMIT {
                return Err(self.error(format!("its {} is too large", String::from_utf8_lossy(&name))));
            }
            let mut bytes = Vec::new();
            entry.take(FILE_LIMIT).read_to_end(&mut bytes).map_err(|e| self.error(e.to_string()))?;
            files.push(Entry { name, bytes });
        }
        // A tar reader stops at the mark that ends the archive; the checksum over all of it comes after.
        io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(|e| self.error(e.to_string()))?;
        Ok(files)
    }
}

/// Whether to read an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    /// Read it.
    Yes,
    /// Skip it.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;
    use regrow_testkit::PackageSpec;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, bytes).unwrap();
        file
    }

    fn good() -> Vec<u8> {
        let package = PackageSpec::new("a", "1").file("/usr/bin/a", b"hello", 0o755).file("/etc/b", b"b", 0o644);
        package.script("postinst", "#!/bin/sh\n").build()
    }

    fn names(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(|e| String::from_utf8_lossy(&e.name).into_owned()).collect()
    }

    #[test]
    fn members_are_read() {
        let file = file(&good());
        let deb = Deb::new(file.path());
        assert_eq!(names(&deb.control().unwrap()), ["control", "md5sums", "postinst"]);
        let data = deb.data(&mut |n| Some(if n == b"etc/b" { Take::Yes } else { Take::No })).unwrap();
        assert_eq!(data, [Entry { name: b"etc/b".to_vec(), bytes: b"b".to_vec() }]);
        assert!(deb.data(&mut |_| None).unwrap().is_empty());
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let good = good();
        for bytes in [&b""[..], b"!<arch>\n", b"no archive at all", &good[..100], &good[..good.len() / 2]] {
            let file = file(bytes);
            let deb = Deb::new(file.path());
            assert!(deb.control().is_err() || deb.data(&mut |_| Some(Take::Yes)).is_err());
        }
        for at in (0..good.len()).step_by(7) {
            let mut bytes = good.clone();
            bytes[at] ^= 0x55;
            let file = file(&bytes);
            let deb = Deb::new(file.path());
            let _ = deb.control();
            let _ = deb.data(&mut |_| Some(Take::Yes));
        }
        assert!(Deb::new(Path::new("/nowhere")).control().is_err());
    }

    /// A package whose data member is this tar archive.
    fn with_data(name: &str, tar: &[u8]) -> tempfile::NamedTempFile {
        let mut builder = ar::Builder::new(Vec::new());
        for (name, bytes) in [("debian-binary", &b"2.0\n"[..]), (name, tar)] {
            builder.append(&ar::Header::new(name.as_bytes().to_vec(), bytes.len() as u64), bytes).unwrap();
        }
        file(&builder.into_inner().unwrap())
    }

    #[test]
    fn paths_and_links_are_looked_at_but_never_followed() {
        let mut tar = tar::Builder::new(Vec::new());
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        tar.append_link(&mut link, "usr/lib/sysusers.d/x.conf", "/etc/passwd").unwrap();
        let mut outside = tar::Header::new_gnu();
        outside.as_gnu_mut().unwrap().name[..10].copy_from_slice(b"../../evil");
        outside.set_size(4);
        outside.set_cksum();
        tar.append(&outside, &b"evil"[..]).unwrap();
        let file = with_data("data.tar", &tar.into_inner().unwrap());
        let found = Deb::new(file.path()).data(&mut |_| Some(Take::Yes)).unwrap();
        assert_eq!(names(&found), ["../../evil"], "a name only; the link is no file");
    }

    #[test]
    fn a_file_larger_than_any_of_interest_is_refused_before_it_is_read() {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(FILE_LIMIT + 1);
        header.set_path("big").unwrap();
        header.set_cksum();
        tar.append(&header, io::repeat(0).take(FILE_LIMIT + 1)).unwrap();
        let tar = tar.into_inner().unwrap();
        for (name, bytes) in [("data.tar", tar.clone()), ("data.tar.zst", zstd::encode_all(&tar[..], 1).unwrap())] {
            let file = with_data(name, &bytes);
            let error = Deb::new(file.path()).data(&mut |_| Some(Take::Yes)).unwrap_err();
            assert!(error.to_string().contains("too large"), "{error}");
            assert!(Deb::new(file.path()).data(&mut |_| Some(Take::No)).unwrap().is_empty());
        }
        let file = with_data("data.tar.rar", b"");
        assert!(Deb::new(file.path()).data(&mut |_| None).unwrap_err().to_string().contains("unknown compression"));
    }
}
