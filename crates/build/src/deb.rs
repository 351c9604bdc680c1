//! Reading Debian binary packages (`.deb`) without dpkg.
//!
//! A `.deb` is an `ar` archive of three members: `debian-binary` (format version), `control.tar[.xz|.zst|.gz]` (fields and
//! maintainer scripts) and `data.tar[…]` (the files). [`Control`] is what the control member says; [`open_data`] streams
//! the other. The packages were verified against the signed index before; nevertheless nothing here trusts them: sizes
//! are bounded, names are checked, and every error names the package file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::control::Paragraph;

/// No control member of Debian comes near this; it bounds what a broken one can make us hold. Bytes.
const MAX_CONTROL: u64 = 64 << 20;

/// Why a package file could not be used.
#[derive(Debug, thiserror::Error)]
#[error("the package file {} cannot be used: {why}", path.display())]
pub struct DebError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
    /// What the reader said.
    #[source]
    pub source: Option<io::Error>,
}

impl DebError {
    pub(crate) fn new(path: &Path, why: impl Into<String>) -> DebError {
        DebError { path: path.to_owned(), why: why.into(), source: None }
    }

    pub(crate) fn io(path: &Path, why: &str, source: io::Error) -> DebError {
        DebError { path: path.to_owned(), why: why.to_owned(), source: Some(source) }
    }
}

/// One file of the control member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ControlFile {
    /// Its content.
    pub(crate) bytes: Vec<u8>,
    /// Whether it is a program (maintainer scripts are).
    pub(crate) executable: bool,
}

/// What the control member of a package says.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    /// The package file, for errors.
    pub(crate) path: PathBuf,
    /// The fields.
    pub(crate) fields: Paragraph,
    /// Every other file of the member by name: `postinst`, `conffiles`, `triggers`, …
    pub(crate) files: BTreeMap<String, ControlFile>,
}

impl Control {
    /// Reads the control member of the package file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Control, DebError> {
        let file = File::open(path).map_err(|e| DebError::io(path, "it cannot be opened", e))?;
        let mut archive = ar::Archive::new(file);
        while let Some(member) = archive.next_entry() {
            let member = member.map_err(|e| DebError::io(path, "it is no ar archive", e))?;
            let Some(packing) = Packing::of(member.header().identifier(), "control.tar") else { continue };
            let packing = packing.map_err(|why| DebError::new(path, why))?;
            let mut bytes = Vec::new();
            packing
                .reader(member)
                .and_then(|r| r.take(MAX_CONTROL).read_to_end(&mut bytes))
                .map_err(|e| DebError::io(path, "its control member cannot be decoded", e))?;
            return Control::parse(path, &bytes);
        }
        Err(DebError::new(path, "it has no control member"))
    }

    fn parse(path: &Path, tar: &[u8]) -> Result<Control, DebError> {
        let broken = |e| DebError::io(path, "its control member is no tar archive", e);
        let mut fields = None;
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(tar).entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = normal_path(&entry.path_bytes());
            let Ok(name) = String::from_utf8(name[1..].to_vec()) else { continue };
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(broken)?;
            if name == "control" {
                fields = Some(Paragraph::parse(&String::from_utf8_lossy(&bytes)));
            } else if !name.contains('/') {
                let executable = entry.header().mode().map_err(broken)? & 0o111 != 0;
                files.insert(name, ControlFile { bytes, executable });
            }
        }
        let fields = fields.ok_or_else(|| DebError::new(path, "its control member has no file `control`"))?;
        let control = Control { path: path.to_owned(), fields, files };
        for field in ["Package", "Version", "Architecture"] {
            if control.fields.get(field).is_none_or(str::is_empty) {
                return Err(DebError::new(path, format!("its control file has no field `{field}`")));
            }
        }
        Ok(control)
    }

    /// The package's name.
    pub(crate) fn package(&self) -> &str {
        self.fields.get("Package").unwrap_or_default()
    }

    /// The package's architecture, `all` included.
    pub(crate) fn architecture(&self) -> &str {
        self.fields.get("Architecture").unwrap_or_default()
    }

    /// The name dpkg files it under: `name:arch` for packages that may be installed for several architectures.
    pub(crate) fn database_name(&self) -> String {
        match self.fields.get("Multi-Arch") {
            Some("same") => format!("{}:{}", self.package(), self.architecture()),
            _ => self.package().to_owned(),
        }
    }

    /// A file of the control member as text; empty if there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        self.files.get(name).map(|f| String::from_utf8_lossy(&f.bytes).into_owned()).unwrap_or_default()
    }

    /// The paths of configuration files, in the package's order. Those only to be removed at upgrades are left out.
    pub(crate) fn conffiles(&self) -> Vec<String> {
        let text = self.text("conffiles");
        text.lines().map(str::trim_end).filter(|l| l.starts_with('/')).map(str::to_owned).collect()
    }

    /// Names of packages in the relation fields `Pre-Depends` and `Depends`, alternatives included.
    pub(crate) fn dependencies(&self) -> Vec<String> {
        ["Pre-Depends", "Depends"].iter().filter_map(|f| self.fields.get(f)).flat_map(relation_names).collect()
    }

    /// Names that this package stands for besides its own.
    pub(crate) fn provides(&self) -> Vec<String> {
        self.fields.get("Provides").map(relation_names).unwrap_or_default()
    }
}

/// The package names in a relation field, without versions and qualifiers.
pub(crate) fn relation_names(field: &str) -> Vec<String> {
    field
        .split([',', '|'])
        .map(|r| r.trim().split([' ', '(', '[', ':', '<', '\n', '\t']).next().unwrap_or_default().to_owned())
        .filter(|n| !n.is_empty())
        .collect()
}

/// Calls `with` with the decoded data tar of the package file at `path`.
pub(crate) fn open_data<T>(
    path: &Path,
    with: impl FnOnce(tar::Archive<&mut dyn Read>) -> Result<T, DebError>,
) -> Result<T, DebError> {
    let file = File::open(path).map_err(|e| DebError::io(path, "it cannot be opened", e))?;
    let mut archive = ar::Archive::new(io::BufReader::with_capacity(1 << 18, file));
    while let Some(member) = archive.next_entry() {
        let member = member.map_err(|e| DebError::io(path, "it is no ar archive", e))?;
        let Some(packing) = Packing::of(member.header().identifier(), "data.tar") else { continue };
        let packing = packing.map_err(|why| DebError::new(path, why))?;
        let mut reader =
            packing.reader(member).map_err(|e| DebError::io(path, "its data member cannot be decoded", e))?;
        let made = with(tar::Archive::new(&mut reader))?;
        // A tar reader stops at the mark that ends the archive; the checksum over all of it comes after.
        io::copy(&mut reader, &mut io::sink()).map_err(|e| {
            DebError::io(path, "its data member is damaged: remove the file to have it fetched again", e)
        })?;
        return Ok(made);
    }
    Err(DebError::new(path, "it has no data member"))
}

/// Writes the package again with both members uncompressed, so that dpkg need not decode them (a third of its time).
pub(crate) fn repack(from: &Path, to: &Path) -> Result<(), DebError> {
    let file = File::open(from).map_err(|e| DebError::io(from, "it cannot be opened", e))?;
    let mut archive = ar::Archive::new(io::BufReader::with_capacity(1 << 18, file));
    let out = File::create(to).map_err(|e| DebError::io(to, "it cannot be written", e))?;
    let mut builder = ar::Builder::new(out);
    let written = |e| DebError::io(to, "it cannot be written", e);
    builder.append(&ar::Header::new(b"debian-binary".to_vec(), 4), &b"2.0\n"[..]).map_err(written)?;
    while let Some(member) = archive.next_entry() {
        let member = member.map_err(|e| DebError::io(from, "it is no ar archive", e))?;
        for name in ["control.tar", "data.tar"] {
            let Some(packing) = Packing::of(member.header().identifier(), name) else { continue };
            let packing = packing.map_err(|why| DebError::new(from, why))?;
            let mut bytes = Vec::new();
            packing
                .reader(member)
                .and_then(|mut r| r.read_to_end(&mut bytes))
                .map_err(|e| DebError::io(from, "it cannot be decoded", e))?;
            let header = ar::Header::new(name.as_bytes().to_vec(), bytes.len() as u64);
            builder.append(&header, bytes.as_slice()).map_err(written)?;
            break;
        }
    }
    Ok(())
}

/// `./a//b/` → `/a/b`; the root is `/`. `..` is kept and refused by whoever puts it into a tree.
pub(crate) fn normal_path(path: &[u8]) -> Vec<u8> {
    let mut normal = Vec::with_capacity(path.len() + 1);
    for part in path.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".") {
        normal.push(b'/');
        normal.extend_from_slice(part);
    }
    if normal.is_empty() {
        normal.push(b'/');
    }
    normal
}

/// How a member is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Xz,
    Zstd,
}

impl Packing {
    /// `None` if the member is not `stem`; an error for a compression that Debian packages may not have.
    fn of(identifier: &[u8], stem: &str) -> Option<Result<Packing, String>> {
        let name = identifier.strip_suffix(b"/").unwrap_or(identifier);
        let rest = name.strip_prefix(stem.as_bytes())?;
        Some(match rest {
            b"" => Ok(Packing::Plain),
            b".gz" => Ok(Packing::Gzip),
            b".xz" => Ok(Packing::Xz),
            b".zst" => Ok(Packing::Zstd),
            _ => Err(format!(
                "its member `{}` is compressed in a way Regrow does not know",
                String::from_utf8_lossy(name)
            )),
        })
    }

    fn reader<'a>(self, member: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Packing::Plain => Box::new(member),
            Packing::Gzip => Box::new(flate2::read::GzDecoder::new(member)),
            Packing::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(member)),
            Packing::Zstd => Box::new(zstd::Decoder::new(member)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relation_names_drop_versions_qualifiers_and_architectures() {
        assert_eq!(
            relation_names("libc6 (>= 2.38), perl:any, a | b [amd64],\n c <!nocheck>"),
            ["libc6", "perl", "a", "b", "c"]
        );
        assert!(relation_names("").is_empty());
    }

    #[test]
    fn paths_become_absolute_and_single_slashed() {
        assert_eq!(normal_path(b"./"), b"/");
        assert_eq!(normal_path(b"./usr//bin/"), b"/usr/bin");
        assert_eq!(normal_path(b"usr/./bin"), b"/usr/bin");
    }

    #[test]
    fn an_unknown_compression_is_named() {
        assert_eq!(Packing::of(b"data.tar.xz/", "data.tar"), Some(Ok(Packing::Xz)));
        assert!(Packing::of(b"data.tar.lz4", "data.tar").unwrap().unwrap_err().contains("lz4"));
        assert_eq!(Packing::of(b"control.tar", "data.tar"), None);
    }

    #[test]
    fn what_is_no_package_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.deb");
        std::fs::write(&path, b"!<arch>\n").unwrap();
        let e = Control::read(&path).unwrap_err();
        assert!(e.to_string().contains("x.deb") && e.to_string().contains("no control member"), "{e}");
    }
}
