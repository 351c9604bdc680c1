//! What the tests of this crate share: a tiny archive, its server, and a home.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::{Path, PathBuf};

use regrow_archive::{Archive, Changes, Error};
use regrow_config::{Archives, Fleet, LockFile, Package, Server};
use regrow_host::progress::Silent;
use regrow_testkit::{FileServer, PackageSpec, TestArchive};

/// An archive with its server, and a home to use it from.
pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) archive: TestArchive,
    pub(crate) server: FileServer,
}

impl World {
    /// A suite "trixie" with an essential package and a few more.
    pub(crate) fn new() -> World {
        let mut world = World::empty();
        world
            .archive
            .add(
                "trixie",
                PackageSpec::new("base", "1").essential().depends("libbase").file("/etc/base", b"base\n", 0o644),
            )
            .add("trixie", PackageSpec::new("libbase", "1"))
            .add(
                "trixie",
                PackageSpec::new("web", "2.0-1").depends("libweb (>= 2)").file("/usr/bin/web", &noise(200_000), 0o755),
            )
            .add("trixie", PackageSpec::new("libweb", "2.1"))
            .add("trixie", PackageSpec::new("other", "1").file("/usr/share/other", &noise(50_000), 0o644));
        world.archive.publish();
        world
    }

    /// A suite "trixie" of nothing, not published.
    pub(crate) fn empty() -> World {
        let dir = tempfile::tempdir().unwrap();
        let mut archive = TestArchive::new(&dir.path().join("mirror"));
        archive.suite("trixie");
        let server = FileServer::start(archive.dir());
        World { dir, archive, server }
    }

    /// A path below a directory of the test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    pub(crate) fn settings(&self, suites: &[&str]) -> Archives {
        let archive = regrow_config::Archive {
            mirror: self.server.url(),
            suites: suites.iter().map(|s| (*s).to_owned()).collect(),
            components: vec!["main".to_owned()],
            keyring: self.archive.keyring().display().to_string(),
        };
        [("test".to_owned(), archive)].into()
    }

    pub(crate) fn open(&self) -> Archive {
        self.open_suites(&["trixie"])
    }

    pub(crate) fn open_suites(&self, suites: &[&str]) -> Archive {
        Archive::open(&self.home(), &self.settings(suites), "amd64").unwrap()
    }

    pub(crate) fn fleet(&self) -> Fleet {
        Fleet { archives: self.settings(&["trixie"]), ..Fleet::default() }
    }

    /// Locks a server with these packages ("name" or "name=version").
    pub(crate) fn lock(
        &self,
        packages: &[&str],
        previous: Option<&LockFile>,
        upgrade: bool,
    ) -> Result<(LockFile, Changes), Error> {
        self.open().lock(&server(packages), &self.fleet(), previous, upgrade, &Silent)
    }

    /// [`World::lock`] after a refresh; it must succeed.
    pub(crate) fn locked(&self, packages: &[&str]) -> LockFile {
        self.open().refresh(&Silent).unwrap();
        self.lock(packages, None, false).unwrap().0
    }
}

/// A server with these packages ("name" or "name=version").
pub(crate) fn server(packages: &[&str]) -> Server {
    let mut server = Server { name: "s".to_owned(), architecture: "amd64".to_owned(), ..Server::default() };
    for package in packages {
        let (name, version) = package.split_once('=').unwrap_or((package, "*"));
        server.packages.insert(name.to_owned(), Package { version: version.to_owned(), recommends: None });
    }
    server
}

/// Bytes that do not compress.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let step = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}

/// The names below a directory, with those of its directories.
pub(crate) fn files_below(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut queue = vec![dir.to_owned()];
    while let Some(at) = queue.pop() {
        for entry in std::fs::read_dir(&at).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                queue.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(dir).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}
