//! Making one layer of packages.
//!
//! ```text
//! 1. read      every package file into the store, in parallel
//! 2. waves     packages without `preinst` are unpacked; then, wave by wave, the scripts of the next packages run over
//!              what is there, and those packages are unpacked. A package is in a later wave than one with a script
//!              that it pre-depends on. (The first layer: everything is unpacked, then the scripts run.)
//! 3. dpkg      `dpkg --unpack` for packages that only dpkg can unpack (see `unpack`)
//! 4. configure `dpkg --configure -a`, which also runs triggers
//! 5. normalise
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;
use regrow_config::catalog::{Identity, Shortcut};
use regrow_host::progress::{Step, Unit};
use regrow_image::{Meta, Store, Tree};
use regrow_sandbox::{Entry, Mount, Source};
use sha2::{Digest, Sha256};

use crate::accounts;
use crate::database;
use crate::deb::{self, Control, relation_names};
use crate::error::BuildError;
use crate::inside::{Place, Run};
use crate::normalise;
use crate::plan::{Plan, PlanLayer};
use crate::unpack::{self, Package, Unpacked};

/// What making a layer needs to know.
pub(crate) struct Work<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) planned: &'a PlanLayer,
    pub(crate) store: &'a Store,
    pub(crate) scratch: &'a Path,
    pub(crate) step: &'a Step<'a>,
}

/// Says that nothing may be started during installation (`policy-rc.d`, see Debian policy).
const POLICY: &str = "/usr/sbin/policy-rc.d";
const DENY: &[u8] = b"#!/bin/sh\nexit 101\n";
const NOTHING: &[u8] = b"#!/bin/sh\nexit 0\n";
const UID_POOL: &str = "/run/regrow/uid-pool";
const GID_POOL: &str = "/run/regrow/gid-pool";

/// Reads the packages of a layer into the store, in the order they are to be unpacked. `done` hears of each.
pub(crate) fn read(
    planned: &PlanLayer,
    debs: &BTreeMap<String, PathBuf>,
    store: &Store,
    stop: &AtomicBool,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<Package>, BuildError> {
    unpack::read_all(unpack::order(read_controls(planned, debs)?), store, stop, done)
}

/// Makes the layer of `packages` over `parent` (nothing for the first one).
pub(crate) fn build(work: &Work<'_>, packages: &[Package], parent: Option<Tree>) -> Result<Tree, BuildError> {
    let (store, epoch) = (work.store, work.plan.epoch);
    let is_first = parent.is_none();
    let mut counter = Counter { step: work.step, done: packages.len() as u64, total: 2 * packages.len() as u64 };
    let mut tree = parent.unwrap_or_else(|| empty_root(epoch));
    let mut all = Unpacked::default();
    let place = Place::new(store, work.scratch)?;

    let (waves, plain) = waves(packages);
    if is_first {
        add(&mut tree, &packages.iter().collect::<Vec<_>>(), work, &mut all)?;
        let scripted: Vec<&Package> = packages.iter().filter(|p| p.control.files.contains_key("preinst")).collect();
        tree = preinst(&place, &tree, work, &scripted, "preinst")?;
    } else {
        add(&mut tree, &plain, work, &mut all)?;
        for (i, wave) in waves.iter().enumerate() {
            tree = preinst(&place, &tree, work, wave, &format!("preinst-{i}"))?;
            add(&mut tree, wave, work, &mut all)?;
        }
    }
    let before = tree.clone();
    if !all.for_dpkg.is_empty() {
        tree = dpkg_unpack(&place, &tree, work, &all.for_dpkg)?;
    }
    tree = configure(&place, &tree, work, &mut counter)?;
    accounts::check(&tree, store, &work.plan.ids)?;
    normalise::packages(&mut tree, &before, &all.shipped, &all.keys, work.planned, store, epoch)?;
    Ok(tree)
}

/// Counts packages: each once when it is read and once when it is configured.
struct Counter<'a> {
    step: &'a Step<'a>,
    done: u64,
    total: u64,
}

impl Counter<'_> {
    fn one(&mut self) {
        self.done += 1;
        self.step.advance(self.done.min(self.total), self.total, Unit::Items);
    }
}

fn read_controls(planned: &PlanLayer, debs: &BTreeMap<String, PathBuf>) -> Result<Vec<Control>, BuildError> {
    planned
        .packages
        .par_iter()
        .map(|package| {
            let missing = || BuildError::NoDeb { package: package.name.clone(), version: package.version.clone() };
            let path = debs.get(&package.name).ok_or_else(missing)?;
            let control = Control::read(path)?;
            let is_it = control.package() == package.name && control.fields.get("Version") == Some(&package.version);
            if !is_it {
                let found = format!("{} {}", control.package(), control.fields.get("Version").unwrap_or_default());
                let why = format!("it holds {found}, but the lock says {} {}", package.name, package.version);
                return Err(deb::DebError::new(path, why).into());
            }
            Ok(control)
        })
        .collect()
}

/// A root before the first package: aliases of a merged /usr, which newer base packages ship themselves.
fn empty_root(epoch: i64) -> Tree {
    let mut tree = Tree::new(Meta::new(0o755, 0, 0, epoch));
    for dir in ["bin", "sbin", "lib", "lib64"] {
        let meta = Meta::new(0o755, 0, 0, epoch);
        // Neither can fail: the tree is empty and the names are plain.
        let _ = tree.insert_dir(format!("/usr/{dir}"), meta.clone());
        let _ = tree.insert_symlink(format!("/{dir}"), meta, format!("usr/{dir}"));
    }
    tree
}

/// Packages with a script that runs before they are unpacked, in waves, and the others.
fn waves(packages: &[Package]) -> (Vec<Vec<&Package>>, Vec<&Package>) {
    let (scripted, plain): (Vec<&Package>, Vec<&Package>) =
        packages.iter().partition(|p| p.control.files.contains_key("preinst"));
    let mut waves: Vec<Vec<&Package>> = Vec::new();
    let mut wave_of: BTreeMap<&str, usize> = BTreeMap::new();
    // They are in the order of their dependencies, so what a package needs first has its wave already.
    for package in scripted {
        let field = package.control.fields.get("Pre-Depends").unwrap_or_default();
        let needs = relation_names(field);
        let wave = needs.iter().filter_map(|n| wave_of.get(n.as_str())).max().map_or(0, |w| w + 1);
        wave_of.insert(package.control.package(), wave);
        if waves.len() <= wave {
            waves.resize_with(wave + 1, Vec::new);
        }
        waves[wave].push(package);
    }
    (waves, plain)
}

fn add(tree: &mut Tree, packages: &[&Package], work: &Work<'_>, all: &mut Unpacked) -> Result<(), BuildError> {
    let unpacked = unpack::unpack(tree, packages, work.store, work.plan.epoch)?;
    all.for_dpkg.extend(unpacked.for_dpkg);
    all.shipped.extend(unpacked.shipped);
    all.keys.extend(unpacked.keys);
    Ok(())
}

/// Runs the `preinst` scripts of `packages` over `tree`, in their order, as dpkg would for a first installation.
fn preinst(
    place: &Place<'_>,
    tree: &Tree,
    work: &Work<'_>,
    packages: &[&Package],
    name: &str,
) -> Result<Tree, BuildError> {
    if packages.is_empty() {
        return Ok(tree.clone());
    }
    let mut entries = common_entries(tree, work)?;
    let mut driver =
        String::from("set -e\ncd /\nexport DPKG_MAINTSCRIPT_NAME=preinst DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1\n");
    driver.push_str(
        "export DPKG_MAINTSCRIPT_DEBUG=0 DPKG_ADMINDIR=/var/lib/dpkg DPKG_ROOT= DPKG_RUNNING_VERSION=1.22.0\n",
    );
    for (i, package) in packages.iter().enumerate() {
        let dir = format!("/run/regrow/preinst/{i}");
        let target = format!("{dir}/preinst");
        let (name, arch) = (package.control.package(), package.control.architecture());
        // As in dpkg's own place for it: scripts that ask questions find their templates beside themselves.
        let control = package.control.fields.to_text().into_bytes();
        entries.push(Entry::File { target: format!("{dir}/control"), bytes: control, mode: 0o644 });
        for (member, file) in &package.control.files {
            let mode = if file.executable { 0o755 } else { 0o644 };
            entries.push(Entry::File { target: format!("{dir}/{member}"), bytes: file.bytes.clone(), mode });
        }
        // Package names and architectures are words of [a-z0-9+.-] by policy; anything else is not run.
        let is_word = |w: &str| w.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c));
        if !is_word(name) || !is_word(arch) {
            return Err(deb::DebError::new(&package.control.path, "its name is none that Debian allows").into());
        }
        driver.push_str(&format!(
            "DPKG_MAINTSCRIPT_PACKAGE={name} DPKG_MAINTSCRIPT_ARCH={arch} {target} install || {{ s=$?; \
             echo \"dpkg: error processing package {name} (--unpack):\"; \
             echo \" new {name} package pre-installation script subprocess returned error exit status $s\"; exit 1; }}\n"
        ));
    }
    entries.push(Entry::File { target: "/run/regrow/preinst.sh".to_owned(), bytes: driver.into_bytes(), mode: 0o755 });
    let run = Run {
        argv: vec!["/bin/sh".into(), "/run/regrow/preinst.sh".into()],
        environment: environment(work),
        mounts: common_mounts(tree, work)?,
        entries,
        line: &mut |_| {},
    };
    let (mut after, _) = place.run(tree, name, run)?;
    drop_temporary(&mut after, tree);
    Ok(after)
}

/// Lets dpkg unpack what only it can.
fn dpkg_unpack(place: &Place<'_>, tree: &Tree, work: &Work<'_>, debs: &[PathBuf]) -> Result<Tree, BuildError> {
    let dir = work.scratch.join("debs");
    regrow_host::fs::create_dir_all(&dir)?;
    let names: Vec<String> = (0..debs.len()).map(|i| format!("{i:04}.deb")).collect();
    debs.par_iter().zip(&names).try_for_each(|(deb, name)| deb::repack(deb, &dir.join(name)))?;
    let mut argv: Vec<OsString> =
        ["dpkg", "--force-unsafe-io", "--force-depends", "--unpack"].map(OsString::from).to_vec();
    argv.extend(names.iter().map(|n| format!("/run/regrow/debs/{n}").into()));
    let mut mounts = common_mounts(tree, work)?;
    mounts.push(Mount::Bind {
        source: Source::Path(dir),
        target: "/run/regrow/debs".to_owned(),
        read_only: true,
        id_mapped: true,
        create: true,
    });
    let run =
        Run { argv, environment: environment(work), mounts, entries: common_entries(tree, work)?, line: &mut |_| {} };
    let (mut after, _) = place.run(tree, "unpack", run)?;
    drop_temporary(&mut after, tree);
    Ok(after)
}

fn configure(place: &Place<'_>, tree: &Tree, work: &Work<'_>, counter: &mut Counter<'_>) -> Result<Tree, BuildError> {
    let hints = &work.planned.hints;
    let mut mounts = common_mounts(tree, work)?;
    let masked = hints.mask.iter().map(|program| (program, NOTHING.to_vec()));
    let replaced = hints.replace.iter().map(|(program, script)| (program, script.trim_start().as_bytes().to_vec()));
    for (program, bytes) in masked.chain(replaced) {
        if tree.resolve(program).is_some_and(|p| tree.file(p).is_some()) {
            mounts.push(Mount::Content { target: program.clone(), bytes });
        }
    }
    let mut entries = common_entries(tree, work)?;
    entries.extend(sysusers(tree, work)?);
    entries.extend(identity(&hints.identity));
    let mut real = Vec::new();
    for (program, shortcut) in &hints.shortcut {
        let Some(bytes) = shortened(tree, work.store, program, shortcut)? else { continue };
        mounts
            .push(Mount::Content { target: program.clone(), bytes: shortcut.script.trim_start().as_bytes().to_vec() });
        let beside = format!("{program}.regrow-real");
        entries.push(Entry::File { target: beside.clone(), bytes, mode: 0o755 });
        real.push(beside);
    }
    let argv = ["dpkg", "--force-unsafe-io", "--force-confold", "--configure", "-a"].map(OsString::from).to_vec();
    let mut line = |line: &str| {
        if line.starts_with("Setting up ") {
            counter.one();
        }
    };
    let run = Run { argv, environment: environment(work), mounts, entries, line: &mut line };
    let (mut after, log) = place.run(tree, "configure", run)?;
    drop_temporary(&mut after, tree);
    for path in real {
        if let Some(path) = tree.resolve(&path) {
            after.remove(path);
        }
    }
    let status = database::text(&after, work.store, "/var/lib/dpkg/status")?;
    let unfinished = unpack::unfinished(&status);
    if !unfinished.is_empty() {
        let packages = unfinished.into_iter().map(|(name, state)| format!("{name} ({state})")).collect();
        return Err(BuildError::Unfinished { layer: work.planned.name.clone(), packages, tail: log.tail() });
    }
    Ok(after)
}

/// The program at `path`, if the shortcut's script may stand in for it: see [`Shortcut`].
fn shortened(tree: &Tree, store: &Store, path: &str, shortcut: &Shortcut) -> Result<Option<Vec<u8>>, BuildError> {
    let read = |path: &str| match tree.resolve(path).and_then(|p| tree.file(p)) {
        Some(content) => store.read(content).map(Some),
        None => Ok(None),
    };
    for (path, known) in &shortcut.given {
        let Some(bytes) = read(path)? else { return Ok(None) };
        if !known.contains(&hex::encode(Sha256::digest(&bytes))) {
            return Ok(None);
        }
    }
    Ok(read(path)?)
}

fn environment(work: &Work<'_>) -> Vec<(String, String)> {
    let mut environment = vec![
        ("SOURCE_DATE_EPOCH".to_owned(), work.plan.epoch.to_string()),
        ("DEBIAN_PRIORITY".to_owned(), "critical".to_owned()),
    ];
    environment.extend(work.planned.hints.environment.clone());
    environment
}

/// Files for the time of a run. Those that are not below /run are in [`drop_temporary`].
fn common_entries(tree: &Tree, work: &Work<'_>) -> Result<Vec<Entry>, BuildError> {
    let ids = &work.plan.ids;
    let mut entries = vec![
        Entry::File { target: UID_POOL.to_owned(), bytes: accounts::pool(&ids.users).into_bytes(), mode: 0o644 },
        Entry::File { target: GID_POOL.to_owned(), bytes: accounts::pool(&ids.groups).into_bytes(), mode: 0o644 },
    ];
    if !tree.contains(POLICY) {
        entries.push(Entry::File { target: POLICY.to_owned(), bytes: DENY.to_vec(), mode: 0o755 });
    }
    Ok(entries)
}

fn common_mounts(tree: &Tree, work: &Work<'_>) -> Result<Vec<Mount>, BuildError> {
    let mut mounts = Vec::new();
    if tree.contains(POLICY) {
        mounts.push(Mount::Content { target: POLICY.to_owned(), bytes: DENY.to_vec() });
    }
    if tree.file("/etc/adduser.conf").is_some() {
        let shipped = database::text(tree, work.store, "/etc/adduser.conf")?;
        let conf = accounts::adduser_conf(&shipped, UID_POOL, GID_POOL);
        mounts.push(Mount::Content { target: "/etc/adduser.conf".to_owned(), bytes: conf.into_bytes() });
    }
    Ok(mounts)
}

/// Removes what [`common_entries`] put outside of /run.
fn drop_temporary(after: &mut Tree, before: &Tree) {
    if !before.contains(POLICY) {
        after.remove(POLICY);
    }
    let identity = regrow_config::catalog::IDENTITY_DIR;
    after.remove(if before.contains("/var/lib/regrow") { identity } else { "/var/lib/regrow" });
}

/// Every sysusers.d file with the lock's ids, where systemd-sysusers finds it first.
fn sysusers(tree: &Tree, work: &Work<'_>) -> Result<Vec<Entry>, BuildError> {
    let mut entries = Vec::new();
    for path in tree.glob_files("/usr/lib/sysusers.d/*.conf") {
        let path = String::from_utf8_lossy(&path).into_owned();
        let shipped = database::text(tree, work.store, &path)?;
        let name = path.rsplit('/').next().unwrap_or_default();
        entries.push(Entry::File {
            target: format!("/run/sysusers.d/{name}"),
            bytes: accounts::sysusers(&shipped, &work.plan.ids).into_bytes(),
            mode: 0o644,
        });
    }
    Ok(entries)
}

/// Placeholders where identity files will be, so that scripts of later layers find what the links point to.
fn identity(paths: &BTreeSet<String>) -> Vec<Entry> {
    let place = |path: &String| Entry::File {
        target: Identity::volume_path(path),
        bytes: b"placeholder\n".to_vec(),
        mode: 0o644,
    };
    paths.iter().map(place).collect()
}
