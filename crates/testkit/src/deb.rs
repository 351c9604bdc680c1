//! Packages made on the spot.

use std::collections::BTreeMap;
use std::io::Write;

/// What a package is to be.
#[derive(Debug, Clone)]
pub struct PackageSpec {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) fields: BTreeMap<String, String>,
    files: Vec<(String, Vec<u8>, u32)>,
    scripts: Vec<(String, String)>,
    md5sums: bool,
}

impl PackageSpec {
    /// A package of architecture amd64 without files.
    pub fn new(name: &str, version: &str) -> PackageSpec {
        let mut fields = BTreeMap::new();
        for (field, value) in [
            ("Architecture", "amd64"),
            ("Maintainer", "Nobody <nobody@example.invalid>"),
            ("Description", "a test package"),
            ("Priority", "optional"),
            ("Section", "misc"),
        ] {
            fields.insert(field.to_owned(), value.to_owned());
        }
        PackageSpec {
            name: name.to_owned(),
            version: version.to_owned(),
            fields,
            files: Vec::new(),
            scripts: Vec::new(),
            md5sums: true,
        }
    }

    /// Sets any control field: `Depends`, `Provides`, `Essential`, `Multi-Arch`…
    pub fn field(mut self, name: &str, value: &str) -> PackageSpec {
        self.fields.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets `Depends`.
    pub fn depends(self, value: &str) -> PackageSpec {
        self.field("Depends", value)
    }

    /// Sets `Conflicts`.
    pub fn conflicts(self, value: &str) -> PackageSpec {
        self.field("Conflicts", value)
    }

    /// Sets `Provides`.
    pub fn provides(self, value: &str) -> PackageSpec {
        self.field("Provides", value)
    }

    /// Sets `Essential: yes`.
    pub fn essential(self) -> PackageSpec {
        self.field("Essential", "yes")
    }

    /// Adds a file at an absolute path. Its directories are made.
    pub fn file(mut self, path: &str, bytes: &[u8], mode: u32) -> PackageSpec {
        self.files.push((path.to_owned(), bytes.to_vec(), mode));
        self
    }

    /// Adds a maintainer script: `preinst`, `postinst`, `prerm`, `postrm`, `config`.
    pub fn script(mut self, name: &str, text: &str) -> PackageSpec {
        self.scripts.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Leaves out the list of files (`md5sums`), as a few real packages do.
    pub fn without_md5sums(mut self) -> PackageSpec {
        self.md5sums = false;
        self
    }

    /// The paragraph of its control file.
    pub fn control(&self) -> String {
        let mut text = format!("Package: {}\nVersion: {}\n", self.name, self.version);
        for (field, value) in &self.fields {
            text.push_str(&format!("{field}: {value}\n"));
        }
        text
    }

    /// The file name it has in a pool.
    pub fn file_name(&self) -> String {
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_, v)| v);
        format!("{}_{version}_{}.deb", self.name, self.fields["Architecture"])
    }

    /// The bytes of the .deb; the same for the same specification.
    pub fn build(&self) -> Vec<u8> {
        let mut control = vec![("control".to_owned(), self.control().into_bytes(), 0o644)];
        if self.md5sums {
            // The digests themselves are of no interest to anybody here.
            let line = |(path, _, _): &(String, Vec<u8>, u32)| {
                format!("d41d8cd98f00b204e9800998ecf8427e  {}\n", path.trim_start_matches('/'))
            };
            control.push(("md5sums".to_owned(), self.files.iter().map(line).collect::<String>().into_bytes(), 0o644));
        }
        control.extend(self.scripts.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes(), 0o755)));
        let mut builder = ar::Builder::new(Vec::new());
        let mut member = |name: &str, bytes: &[u8]| {
            let mut header = ar::Header::new(name.as_bytes().to_vec(), bytes.len() as u64);
            header.set_mode(0o100644);
            builder.append(&header, bytes).expect("writing to memory");
        };
        member("debian-binary", b"2.0\n");
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(&tar(&control)).expect("writing to memory");
        member("control.tar.gz", &gz.finish().expect("writing to memory"));
        member("data.tar.xz", &xz(&tar(&self.files)));
        builder.into_inner().expect("writing to memory")
    }
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(bytes).expect("writing to memory");
    xz.finish().expect("writing to memory")
}

fn tar(files: &[(String, Vec<u8>, u32)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut directories = std::collections::BTreeSet::new();
    let add = |builder: &mut tar::Builder<Vec<u8>>, path: &str, bytes: &[u8], mode: u32, kind: tar::EntryType| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_577_836_800);
        header.set_username("root").expect("it fits");
        header.set_groupname("root").expect("it fits");
        builder.append_data(&mut header, path, bytes).expect("writing to memory");
    };
    add(&mut builder, "./", b"", 0o755, tar::EntryType::Directory);
    for (path, bytes, mode) in files {
        let path = path.trim_start_matches('/');
        for (i, _) in path.match_indices('/') {
            if directories.insert(path[..i].to_owned()) {
                add(&mut builder, &format!("./{}/", &path[..i]), b"", 0o755, tar::EntryType::Directory);
            }
        }
        add(&mut builder, &format!("./{path}"), bytes, *mode, tar::EntryType::Regular);
    }
    builder.into_inner().expect("writing to memory")
}
