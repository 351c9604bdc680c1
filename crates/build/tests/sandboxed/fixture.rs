//! The real base packages of Debian from this machine's own apt sources, and small packages made on the spot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use regrow_archive::{Archive, host_sources};
use regrow_build::{BuildError, Built, Options, plan, run};
use regrow_config::lock::{Layer, LockedPackage};
use regrow_config::{Archives, Catalog, Fleet, LockFile, Package, Server};
use regrow_host::progress::Silent;
use regrow_image::{Store, Tree};
use regrow_testkit::PackageSpec;
use sha2::{Digest, Sha256};

/// The lock of a server with `adduser`, and the files of its packages.
pub(crate) struct Base {
    pub(crate) server: Server,
    pub(crate) lock: LockFile,
    pub(crate) debs: BTreeMap<String, PathBuf>,
    /// A home in which its layers are built.
    pub(crate) home: PathBuf,
}

/// Locks once for all tests; package files are kept from run to run.
pub(crate) fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
        let archives: Archives = host_sources("trixie")
            .expect("apt's sources can be read")
            .into_iter()
            .map(|a| {
                let keyring = a.keyring.to_string_lossy().into_owned();
                (
                    a.name,
                    regrow_config::Archive { mirror: a.mirror, suites: a.suites, components: a.components, keyring },
                )
            })
            .collect();
        assert!(!archives.is_empty(), "this machine's apt has no Debian archive: see /etc/apt");
        let mut server = server();
        server.packages.insert("adduser".to_owned(), Package { version: "*".to_owned(), recommends: None });
        let fleet = Fleet { archives: archives.clone(), ..Fleet::default() };
        let archive = Archive::open(&packages, &archives, "amd64").expect("the archive opens");
        let (lock, _) = archive.lock(&server, &fleet, None, false, &Silent).expect("the base can be locked");
        let debs = archive.fetch(&lock, &Silent).expect("the packages are there");
        let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Homes of earlier runs: nobody removes them when a run ends.
        for name in regrow_host::fs::list(tmp).expect("can be listed") {
            let name = name.to_string_lossy().into_owned();
            let owner = name.strip_prefix("base-home-");
            if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                regrow_host::fs::remove_dir_all(tmp.join(name)).expect("can be removed");
            }
        }
        let home = tmp.join(format!("base-home-{}", std::process::id()));
        Base { server, lock, debs, home }
    })
}

/// A server of no packages.
pub(crate) fn server() -> Server {
    let mut server = Server { name: "web1".to_owned(), architecture: "amd64".to_owned(), ..Server::default() };
    server.system.hostname = "web1".to_owned();
    server.system.timezone = "Etc/UTC".to_owned();
    server.system.locale = "C.UTF-8".to_owned();
    server
}

/// One build to be: the base, and a layer of small packages over it.
pub(crate) struct Case {
    dir: tempfile::TempDir,
    pub(crate) home: PathBuf,
    pub(crate) server: Server,
    pub(crate) lock: LockFile,
    pub(crate) debs: BTreeMap<String, PathBuf>,
    pub(crate) catalog: Catalog,
}

impl Case {
    /// In the home that all tests share, so that the base is built once.
    pub(crate) fn new(packages: Vec<PackageSpec>) -> Case {
        let base = base();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut case = Case {
            dir,
            home: base.home.clone(),
            server: base.server.clone(),
            lock: base.lock.clone(),
            debs: base.debs.clone(),
            catalog: Catalog::default(),
        };
        if !packages.is_empty() {
            case.lock.layers.push(Layer { name: "test".to_owned(), requested: vec![] });
        }
        let layer = u32::try_from(case.lock.layers.len() - 1).expect("few layers");
        for package in packages {
            let bytes = package.build();
            let path = case.dir.path().join(package.file_name());
            std::fs::write(&path, &bytes).expect("the package can be written");
            let control = package.control();
            let field = |name: &str| {
                let prefix = format!("{name}: ");
                control.lines().find_map(|l| l.strip_prefix(&prefix)).unwrap_or_default().to_owned()
            };
            let locked = LockedPackage {
                version: field("Version"),
                architecture: field("Architecture"),
                archive: "test".to_owned(),
                file: package.file_name(),
                size: bytes.len() as u64,
                sha256: hex::encode(Sha256::digest(&bytes)),
                layer,
            };
            case.lock.packages.insert(field("Package"), locked);
            case.debs.insert(field("Package"), path);
        }
        case
    }

    /// In a home of its own.
    pub(crate) fn in_fresh_home(mut self) -> Case {
        self.home = self.dir.path().join("home");
        self
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.home.join("store")).expect("the store opens")
    }

    pub(crate) fn build_with(&self, options: Options) -> Result<Built, BuildError> {
        let plan = plan(&self.server, &self.lock, &self.catalog);
        run(&plan, &self.debs, &self.store(), &self.home, options, &Silent)
    }

    pub(crate) fn build(&self) -> Result<Built, BuildError> {
        self.build_with(Options::default())
    }

    /// The image's tree.
    pub(crate) fn tree(&self) -> Tree {
        let built = self.build().unwrap_or_else(|e| panic!("{e}"));
        self.store().load(&built.image).expect("the image is whole")
    }

    /// A text file of a tree.
    pub(crate) fn text(&self, tree: &Tree, path: &str) -> String {
        let content = tree.file(path).unwrap_or_else(|| panic!("{path} is missing"));
        String::from_utf8(self.store().read(content).expect("the file is whole")).expect("text")
    }
}

/// What a build left in its home besides the store.
pub(crate) fn scratch(home: &Path) -> Vec<String> {
    let names = regrow_host::fs::list(home.join("scratch")).expect("can be listed");
    names.into_iter().map(|n| n.to_string_lossy().into_owned()).filter(|n| n != "layer-locks").collect()
}
