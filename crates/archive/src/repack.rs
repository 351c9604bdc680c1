//! Packages made quick to read: `archive/quick/<first two digits>/<sha256>.deb`.
//!
//! Half of the work of a cold build is decoding xz. A download waits for the network anyway, so each package that comes
//! in is written a second time with its data member in zstd, which decodes about ten times as fast. The key is the
//! digest of the package itself. The copy is a convenience: where it is missing the package serves. zstd's checksum
//! over the content keeps a damaged copy from being taken for the real thing.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::path::Path;

use regrow_host::fs;

use crate::error::Result;

/// zstd's fastest ordinary level: a higher one costs more here than it saves there.
const LEVEL: i32 = 1;
/// What is unpacked in an instant is not worth a second file. Bytes of the package.
const WORTHWHILE: u64 = 64 << 10;

/// Writes the quick form of the package at `deb` to `quick`, if it is worth it; whether it did.
///
/// # Errors
/// If the disk refuses. A package that cannot be read is left to those who need it: they name it.
pub(crate) fn repack(deb: &Path, quick: &Path) -> Result<bool> {
    let large = std::fs::metadata(deb).is_ok_and(|m| m.len() >= WORTHWHILE);
    if !large || quick.exists() {
        return Ok(false);
    }
    if let Some(dir) = quick.parent() {
        fs::create_dir_all(dir)?;
    }
    let temporary = fs::temporary_beside(quick);
    let written = write(deb, &temporary);
    match written {
        Ok(true) => {
            fs::rename(&temporary, quick)?;
            Ok(true)
        }
        Ok(false) => {
            fs::remove_file(&temporary)?;
            Ok(false)
        }
        Err(e) => {
            fs::remove_file(&temporary)?;
            match e.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Err(fs::Error::new("write", quick, e).into())
                }
                _ => Ok(false),
            }
        }
    }
}

fn write(deb: &Path, to: &Path) -> io::Result<bool> {
    let mut members = ar::Archive::new(BufReader::new(File::open(deb)?));
    let mut quick = ar::Builder::new(BufWriter::new(File::create_new(to)?));
    let mut found = false;
    while let Some(member) = members.next_entry() {
        let mut member = member?;
        if member.header().identifier() != b"data.tar.xz" {
            let header = member.header().clone();
            quick.append(&header, &mut member)?;
            continue;
        }
        found = true;
        // An ar header tells the size first, so the member is made beside it.
        let mut data = nameless_file(to)?;
        let mut encoder = zstd::Encoder::new(&mut data, LEVEL)?;
        encoder.include_checksum(true)?;
        io::copy(&mut liblzma::read::XzDecoder::new_multi_decoder(member), &mut encoder)?;
        encoder.finish()?.flush()?;
        let size = data.stream_position()?;
        data.rewind()?;
        quick.append(&ar::Header::new(b"data.tar.zst".to_vec(), size), &mut data)?;
    }
    let file = quick.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(found)
}

/// A nameless file in the directory of `beside`, gone with its last descriptor.
fn nameless_file(beside: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let dir = beside.parent().unwrap_or(Path::new("."));
    match rustix::fs::open(dir, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(File::from(file)),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deb::{Deb, Take};

    fn package(dir: &Path, content: &[u8]) -> std::path::PathBuf {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, "./usr/bin/a", content).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
        xz.write_all(&tar.into_inner().unwrap()).unwrap();
        let mut deb = ar::Builder::new(Vec::new());
        for (name, bytes) in [("debian-binary", b"2.0\n".to_vec()), ("data.tar.xz", xz.finish().unwrap())] {
            deb.append(&ar::Header::new(name.into(), bytes.len() as u64), &bytes[..]).unwrap();
        }
        let path = dir.join("a.deb");
        std::fs::write(&path, deb.into_inner().unwrap()).unwrap();
        path
    }

    /// Bytes that no compression makes small.
    fn noise() -> Vec<u8> {
        let mut x = 1u64;
        let step = |_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as u8
        };
        (0..200_000).map(step).collect()
    }

    #[test]
    fn the_quick_form_holds_the_same_files_and_damage_to_it_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let content = noise();
        let deb = package(dir.path(), &content);
        let quick = dir.path().join("q/a.deb");
        assert!(repack(&deb, &quick).unwrap());
        let files = |path: &Path| Deb::new(path).data(&mut |_| Some(Take::Yes));
        assert_eq!(files(&quick).unwrap(), files(&deb).unwrap());
        assert!(!repack(&deb, &quick).unwrap(), "once is enough");
        assert_eq!(fs::list(dir.path().join("q")).unwrap(), ["a.deb"]);

        let mut bytes = std::fs::read(&quick).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&quick, &bytes).unwrap();
        let damaged = files(&quick);
        assert!(damaged.is_err(), "a flipped bit must not pass");
    }

    #[test]
    fn small_packages_and_what_is_no_package_have_no_quick_form() {
        let dir = tempfile::tempdir().unwrap();
        let quick = dir.path().join("q/a.deb");
        assert!(!repack(&package(dir.path(), b"small"), &quick).unwrap());
        let junk = dir.path().join("junk.deb");
        std::fs::write(&junk, noise()).unwrap();
        assert!(!repack(&junk, &quick).unwrap());
        assert!(fs::list(dir.path().join("q")).unwrap().is_empty());
    }
}
