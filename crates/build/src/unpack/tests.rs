//! Small packages unpacked into small trees.

use std::io::Write;

use super::*;

const EPOCH: i64 = 1000;

/// A package file under construction.
struct Deb {
    control: String,
    members: Vec<(String, Vec<u8>, u32)>,
    data: tar::Builder<Vec<u8>>,
}

impl Deb {
    fn new(name: &str, fields: &str) -> Deb {
        let control = format!("Package: {name}\nVersion: 1\nArchitecture: all\n{fields}Description: x\n");
        Deb { control, members: vec![], data: tar::Builder::new(vec![]) }
    }

    fn member(mut self, name: &str, text: &str, mode: u32) -> Deb {
        self.members.push((name.to_owned(), text.into(), mode));
        self
    }

    fn entry(mut self, path: &str, kind: tar::EntryType, bytes: &[u8], link: &str, mtime: u64) -> Deb {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_username(if path.contains("owned") { "daemon" } else { "root" }).unwrap();
        header.set_groupname("root").unwrap();
        header.set_size(bytes.len() as u64);
        header.set_mtime(mtime);
        if link.is_empty() {
            self.data.append_data(&mut header, path, bytes).unwrap();
        } else {
            self.data.append_link(&mut header, path, link).unwrap();
        }
        self
    }

    fn dir(self, path: &str) -> Deb {
        self.entry(path, tar::EntryType::Directory, b"", "", 500)
    }

    fn file(self, path: &str, text: &str) -> Deb {
        self.entry(path, tar::EntryType::Regular, text.as_bytes(), "", 500)
    }

    fn write(self, dir: &Path) -> Control {
        let mut control = tar::Builder::new(vec![]);
        let own = ("control".to_owned(), self.control.clone().into_bytes(), 0o644);
        for (name, bytes, mode) in [own].iter().chain(&self.members) {
            let mut header = tar::Header::new_gnu();
            header.set_mode(*mode);
            header.set_size(bytes.len() as u64);
            control.append_data(&mut header, format!("./{name}"), bytes.as_slice()).unwrap();
        }
        let name = Paragraph::parse(&self.control).get("Package").unwrap().to_owned();
        let path = dir.join(format!("{name}.deb"));
        let mut deb = ar::Builder::new(std::fs::File::create(&path).unwrap());
        let mut xz = liblzma::write::XzEncoder::new(vec![], 1);
        xz.write_all(&self.data.into_inner().unwrap()).unwrap();
        for (member, bytes) in [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar.xz", {
                let mut xz = liblzma::write::XzEncoder::new(vec![], 1);
                xz.write_all(&control.into_inner().unwrap()).unwrap();
                xz.finish().unwrap()
            }),
            ("data.tar.xz", xz.finish().unwrap()),
        ] {
            deb.append(&ar::Header::new(member.into(), bytes.len() as u64), bytes.as_slice()).unwrap();
        }
        Control::read(&path).unwrap()
    }
}

struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
    tree: Tree,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let mut tree = Tree::default();
        for (path, text) in [("/etc/passwd", "root:x:0:0::/:/x\ndaemon:x:7:7::/:/x\n"), ("/etc/group", "root:x:0:\n")] {
            database::put(&mut tree, &store, path, text.as_bytes(), 0o644, EPOCH).unwrap();
        }
        Fixture { dir, store, tree }
    }

    fn unpack(&mut self, debs: Vec<Deb>) -> Unpacked {
        let controls = debs.into_iter().map(|d| d.write(self.dir.path())).collect();
        let packages = read_all(controls, &self.store, &AtomicBool::new(false), &|| {}).unwrap();
        unpack(&mut self.tree, &packages.iter().collect::<Vec<_>>(), &self.store, EPOCH).unwrap()
    }

    fn text(&self, path: &str) -> String {
        assert!(self.tree.contains(path), "{path} is missing");
        database::text(&self.tree, &self.store, path).unwrap()
    }
}

#[test]
fn files_links_and_the_database_are_as_dpkg_writes_them() {
    let mut f = Fixture::new();
    let deb = Deb::new("tool", "Multi-Arch: foreign\n")
        .member("conffiles", "/etc/tool.conf\nremove-on-upgrade /etc/old.conf\n", 0o644)
        .member("postinst", "#!/bin/sh\n", 0o755)
        .dir("./")
        .dir("./etc/")
        .file("./etc/tool.conf", "setting\n")
        .dir("./usr/")
        .file("./usr/tool", "program")
        .entry("./usr/alias", tar::EntryType::Symlink, b"", "tool", 500)
        .entry("./usr/hard", tar::EntryType::Link, b"", "./usr/tool", 500)
        .entry("./usr/owned", tar::EntryType::Regular, b"x", "", 5000);
    let unpacked = f.unpack(vec![deb]);
    assert!(unpacked.for_dpkg.is_empty() && unpacked.keys.is_empty());
    assert_eq!(f.text("/usr/tool"), "program");
    assert_eq!(f.tree.get("/usr/alias").unwrap().as_symlink(), Some(&b"tool"[..]));
    let id = |path: &str| match f.tree.get(path) {
        Some(Entry::Leaf(id, _)) => id,
        _ => panic!("{path} is no leaf"),
    };
    assert_eq!(id("/usr/hard"), id("/usr/tool"));
    let meta = f.tree.get("/usr/owned").unwrap().meta();
    assert_eq!((meta.uid, meta.mtime), (7, EPOCH), "owner by name, no time after the epoch");
    assert_eq!(f.tree.get("/usr/tool").unwrap().meta().mtime, 500);
    assert_eq!(
        f.text("/var/lib/dpkg/info/tool.list"),
        "/.\n/etc\n/etc/tool.conf\n/usr\n/usr/tool\n/usr/alias\n/usr/hard\n/usr/owned\n"
    );
    assert_eq!(f.tree.get("/var/lib/dpkg/info/tool.postinst").unwrap().meta().mode, 0o755);
    let status = f.text("/var/lib/dpkg/status");
    // md5("setting\n")
    let sum = hex::encode(Md5::digest(b"setting\n"));
    let start = format!(
        "Package: tool\nStatus: install ok unpacked\nConffiles:\n /etc/tool.conf {sum}\n /etc/old.conf newconffile remove-on-upgrade\nVersion: 1\n"
    );
    assert!(status.starts_with(&start), "{status}");
    assert_eq!(unfinished(&status), [("tool".to_owned(), "install ok unpacked".to_owned())]);
    assert_eq!(unpacked.shipped.get(&b"/usr/owned"[..]), Some(&5000));
}

#[test]
fn a_merged_usr_is_followed_and_directories_keep_their_meta() {
    let mut f = Fixture::new();
    f.tree.insert_dir("/usr/bin", Meta::new(0o711, 5, 5, 1)).unwrap();
    f.tree.insert_symlink("/bin", Meta::new(0o777, 0, 0, 1), "usr/bin").unwrap();
    let deb = Deb::new("old", "").dir("./").dir("./bin/").file("./bin/sh", "x").dir("./usr/").dir("./usr/bin/");
    let again = Deb::new("base", "").entry("./bin", tar::EntryType::Symlink, b"", "usr/bin", 500);
    assert!(f.unpack(vec![deb, again]).for_dpkg.is_empty());
    assert_eq!(f.text("/usr/bin/sh"), "x");
    assert_eq!(f.tree.get("/usr/bin").unwrap().meta().mode, 0o711);
    assert!(f.tree.get("/bin").unwrap().as_symlink().is_some());
}

#[test]
fn what_only_dpkg_can_decide_is_left_to_it_and_leaves_no_trace() {
    let mut f = Fixture::new();
    let first = Deb::new("first", "").dir("./usr/").file("./usr/both", "1");
    let second = Deb::new("second", "Replaces: first\n").file("./usr/other", "2").file("./usr/both", "2");
    let unpacked = f.unpack(vec![first, second]);
    assert_eq!(unpacked.for_dpkg, [f.dir.path().join("second.deb")]);
    assert_eq!(f.text("/usr/both"), "1");
    assert!(!f.tree.contains("/usr/other") && !f.tree.contains("/var/lib/dpkg/info/second.list"));
    assert!(!f.text("/var/lib/dpkg/status").contains("second"));
}

#[test]
fn diversions_and_overrides_hold() {
    let mut f = Fixture::new();
    let store = &f.store;
    database::put(&mut f.tree, store, "/var/lib/dpkg/diversions", b"/usr/a\n/usr/a.diverted\nother\n", 0o644, 1)
        .unwrap();
    database::put(&mut f.tree, store, "/var/lib/dpkg/statoverride", b"daemon root 4750 /usr/s\n", 0o644, 1).unwrap();
    f.unpack(vec![Deb::new("p", "").dir("./usr/").file("./usr/a", "a").file("./usr/s", "s")]);
    assert!(!f.tree.contains("/usr/a"));
    assert_eq!(f.text("/usr/a.diverted"), "a");
    let meta = f.tree.get("/usr/s").unwrap().meta();
    assert_eq!((meta.mode, meta.uid), (0o4750, 7));
    // The package that diverts is exempt.
    f.unpack(vec![Deb::new("other", "").dir("./usr/").file("./usr/a", "mine")]);
    assert_eq!(f.text("/usr/a"), "mine");
}

#[test]
fn triggers_reach_those_who_want_them() {
    let mut f = Fixture::new();
    let wants = "interest-noawait /usr/share/man\ninterest update-me # a comment\n";
    f.unpack(vec![Deb::new("man", "").member("triggers", wants, 0o644)]);
    assert_eq!(f.text("/var/lib/dpkg/triggers/File"), "/usr/share/man man/noawait\n");
    assert_eq!(f.text("/var/lib/dpkg/triggers/update-me"), "man\n");
    assert!(!f.tree.contains("/var/lib/dpkg/triggers/Unincorp"));
    let page = Deb::new("page", "")
        .member("triggers", "activate-noawait update-me\n", 0o644)
        .dir("./usr/share/man/")
        .file("./usr/share/man/x.1", "x")
        .file("./usr/share/manual", "x");
    f.unpack(vec![page]);
    assert_eq!(f.text("/var/lib/dpkg/triggers/Unincorp"), "/usr/share/man -\nupdate-me -\n");
}

#[test]
fn a_shipped_private_key_is_noted() {
    let mut f = Fixture::new();
    let key =
        "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n";
    let unpacked = f.unpack(vec![Deb::new("p", "").file("./etc/p.key", key)]);
    assert_eq!(unpacked.keys, [(b"/etc/p.key".to_vec(), "p".to_owned())]);
}

#[test]
fn dependencies_come_first_and_cycles_end() {
    let dir = tempfile::tempdir().unwrap();
    let control = |name: &str, fields: &str| Deb::new(name, fields).write(dir.path());
    let controls = vec![
        control("a", "Depends: virtual (>= 1), z | y\n"),
        control("c1", "Depends: c2\n"),
        control("c2", "Depends: c1\n"),
        control("p", "Provides: virtual (= 2)\n"),
        control("y", ""),
        control("z", "Pre-Depends: y\n"),
    ];
    let names: Vec<String> = order(controls).iter().map(|c| c.package().to_owned()).collect();
    assert_eq!(names, ["p", "y", "z", "a", "c2", "c1"]);
}

#[test]
fn a_path_that_climbs_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let mut deb = Deb::new("evil", "");
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..12].copy_from_slice(b"./../etc/x\0\0");
    header.set_size(0);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    deb.data.append(&header, &b""[..]).unwrap();
    let read = read_all(vec![deb.write(dir.path())], &store, &AtomicBool::new(false), &|| {});
    assert!(read.unwrap_err().to_string().contains("/../etc/x"));
}

#[test]
fn repacking_keeps_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let control =
        Deb::new("p", "").member("postinst", "#!/bin/sh\n", 0o755).file("./usr/x", "content").write(dir.path());
    let to = dir.path().join("plain.deb");
    deb::repack(&control.path, &to).unwrap();
    let again = Control::read(&to).unwrap();
    assert_eq!((again.fields, again.files), (control.fields, control.files));
    let mut found = Vec::new();
    deb::open_data(&to, |mut archive| {
        for entry in archive.entries().unwrap() {
            entry.unwrap().read_to_end(&mut found).unwrap();
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(found, b"content");
}
