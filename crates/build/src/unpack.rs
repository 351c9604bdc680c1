//! Unpacking packages natively: from the package file straight into the store and a [`Tree`], with no file written twice.
//!
//! A package is unpacked natively where the result is what `dpkg --unpack` gives, which can be told beforehand:
//!
//! * its `preinst` script, if it has one, ran before (`layer` sees to that) — but in the first layer, where nothing could
//!   run one anyway, scripts run after the files of all are there, as every bootstrap of Debian does it;
//! * none of its paths is already there as something else than a directory in both (then `Replaces` decides, or it is
//!   an error: dpkg's business).
//!
//! Diversions and overrides of owner and mode already in the tree are honoured. Everything else goes to dpkg.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use md5::{Digest, Md5};
use rayon::prelude::*;
use regrow_image::{Content, Entry, Leaf, LeafKind, Meta, Store, Tree};

use crate::control::Paragraph;
use crate::database::{self, Interests, Rules};
use crate::deb::{self, Control, DebError, normal_path};
use crate::error::BuildError;
use crate::private_key;

/// One entry of a package's data member.
#[derive(Debug, Clone)]
struct Member {
    /// Absolute, normal.
    path: Vec<u8>,
    meta: Meta,
    user: String,
    group: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Directory,
    Leaf(LeafKind),
    /// To an earlier path of the same package.
    HardLink(Vec<u8>),
}

/// A package read into the store.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) control: Control,
    members: Vec<Member>,
    /// MD5 of each conffile.
    conffiles: BTreeMap<String, String>,
    /// Paths whose content holds a private key.
    keys: Vec<Vec<u8>>,
}

/// What came of unpacking a layer's packages.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    /// Files of the packages that dpkg must unpack.
    pub(crate) for_dpkg: Vec<PathBuf>,
    /// Paths shipped by packages, with the time the package gives them.
    pub(crate) shipped: BTreeMap<Vec<u8>, i64>,
    /// Files that hold a private key, with their package.
    pub(crate) keys: Vec<(Vec<u8>, String)>,
}

/// Reads packages into the store, in parallel, large ones first; the result is in the order given. Gives up when `stop` is
/// set.
pub(crate) fn read_all(
    controls: Vec<Control>,
    store: &Store,
    stop: &AtomicBool,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<Package>, BuildError> {
    let mut order: Vec<usize> = (0..controls.len()).collect();
    let size = |c: &Control| std::fs::metadata(&c.path).map_or(0, |m| m.len());
    order.sort_by_key(|i| std::cmp::Reverse(size(&controls[*i])));
    let mut read: Vec<(usize, Package)> = order
        .into_par_iter()
        // One at a time from the front: the largest package must not wait behind small ones of its share.
        .with_max_len(1)
        .map(|i| {
            if stop.load(Ordering::Relaxed) || regrow_host::cancel::requested() {
                return Err(BuildError::Cancelled);
            }
            let package = Package::read(controls[i].clone(), store)?;
            done();
            Ok((i, package))
        })
        .collect::<Result<_, BuildError>>()?;
    read.sort_by_key(|(i, _)| *i);
    Ok(read.into_iter().map(|(_, package)| package).collect())
}

impl Package {
    /// Reads the data member; contents go into the store.
    fn read(control: Control, store: &Store) -> Result<Package, BuildError> {
        let path = control.path.clone();
        let wanted: BTreeSet<Vec<u8>> = control.conffiles().into_iter().map(String::into_bytes).collect();
        let mut package = Package { control, members: Vec::new(), conffiles: BTreeMap::new(), keys: Vec::new() };
        let mut failed = None;
        deb::open_data(&path, |mut archive| {
            let broken = |e| DebError::io(&path, "its data member is no tar archive", e);
            let mut bytes = Vec::new();
            for entry in archive.entries().map_err(broken)? {
                let mut entry = entry.map_err(broken)?;
                bytes.clear();
                if entry.header().entry_type().is_file() {
                    entry.read_to_end(&mut bytes).map_err(broken)?;
                }
                let Some(member) = Member::of(&entry, &path)? else { continue };
                if let Kind::Leaf(LeafKind::File(_)) = &member.kind {
                    if wanted.contains(&member.path) {
                        let name = String::from_utf8_lossy(&member.path).into_owned();
                        package.conffiles.insert(name, hex::encode(Md5::digest(&bytes)));
                    }
                    if private_key::is_in(&bytes) {
                        package.keys.push(member.path.clone());
                    }
                    match store.put_bytes(&bytes) {
                        Ok(content) => {
                            package.members.push(Member { kind: Kind::Leaf(LeafKind::File(content)), ..member })
                        }
                        Err(e) => {
                            failed = Some(e);
                            return Err(DebError::new(&path, "its files cannot be stored"));
                        }
                    }
                } else {
                    package.members.push(member);
                }
            }
            Ok(())
        })
        .map_err(|e| failed.map_or_else(|| e.into(), BuildError::from))?;
        Ok(package)
    }
}

impl Member {
    fn of<R: Read>(entry: &tar::Entry<'_, R>, deb: &Path) -> Result<Option<Member>, DebError> {
        let header = entry.header();
        let broken = |e| DebError::io(deb, "its data member has a broken header", e);
        let path = normal_path(&entry.path_bytes());
        if path.split(|b| *b == b'/').any(|p| p == b"..") {
            return Err(DebError::new(deb, format!("it holds the path {}", String::from_utf8_lossy(&path))));
        }
        let link = || -> Result<Vec<u8>, DebError> {
            entry
                .link_name_bytes()
                .map(|l| l.into_owned())
                .ok_or_else(|| DebError::new(deb, "it holds a link to nothing"))
        };
        let device = || -> Result<(u32, u32), DebError> {
            let major = header.device_major().map_err(broken)?.unwrap_or(0);
            Ok((major, header.device_minor().map_err(broken)?.unwrap_or(0)))
        };
        let kind = match header.entry_type() {
            tar::EntryType::Directory => Kind::Directory,
            t if t.is_file() => Kind::Leaf(LeafKind::File(Content::Inline(Vec::new()))),
            tar::EntryType::Symlink => Kind::Leaf(LeafKind::Symlink(link()?)),
            tar::EntryType::Link => Kind::HardLink(normal_path(&link()?)),
            tar::EntryType::Fifo => Kind::Leaf(LeafKind::Fifo),
            tar::EntryType::Char => device().map(|(major, minor)| Kind::Leaf(LeafKind::CharDevice { major, minor }))?,
            tar::EntryType::Block => {
                device().map(|(major, minor)| Kind::Leaf(LeafKind::BlockDevice { major, minor }))?
            }
            other => return Err(DebError::new(deb, format!("it holds an entry of the unknown type {other:?}"))),
        };
        let id = |n: u64| u32::try_from(n).map_err(|_| DebError::new(deb, "it holds an owner that is no id"));
        let uid = id(header.uid().map_err(broken)?)?;
        let gid = id(header.gid().map_err(broken)?)?;
        let mtime = i64::try_from(header.mtime().map_err(broken)?).unwrap_or(i64::MAX);
        let meta = Meta::new(header.mode().map_err(broken)?, uid, gid, mtime);
        let name = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default();
        Ok(Some(Member {
            path,
            meta,
            user: name(header.username_bytes()),
            group: name(header.groupname_bytes()),
            kind,
        }))
    }

    /// Metadata as dpkg would set it: names before numbers, overrides before both, no time after the epoch.
    fn meta(&self, rules: &Rules, epoch: i64) -> Meta {
        let mut meta = self.meta.clone();
        meta.mtime = meta.mtime.min(epoch);
        if let Some(uid) = rules.users.get(&self.user) {
            meta.uid = *uid;
        }
        if let Some(gid) = rules.groups.get(&self.group) {
            meta.gid = *gid;
        }
        if let Some((user, group, mode)) = rules.overrides.get(&self.path) {
            meta.mode = *mode;
            let id = |name: &str, ids: &BTreeMap<String, u32>| match name.strip_prefix('#') {
                Some(number) => number.parse().ok(),
                None => ids.get(name).copied(),
            };
            meta.uid = id(user, &rules.users).unwrap_or(meta.uid);
            meta.gid = id(group, &rules.groups).unwrap_or(meta.gid);
        }
        meta
    }
}

/// Puts packages into `tree` in the order given, with dpkg's database.
pub(crate) fn unpack(
    tree: &mut Tree,
    packages: &[&Package],
    store: &Store,
    epoch: i64,
) -> Result<Unpacked, BuildError> {
    let rules = Rules::read(tree, store)?;
    let mut interests = Interests::read(tree, store)?;
    let mut unpacked = Unpacked::default();
    let mut triggers = BTreeSet::new();
    let mut status = database::text(tree, store, "/var/lib/dpkg/status")?;
    for package in packages {
        for member in &package.members {
            if !matches!(member.kind, Kind::Directory) {
                unpacked.shipped.insert(member.path.clone(), member.meta.mtime);
            }
        }
        let name = package.control.database_name();
        let Some(places) = places(tree, package, &rules, &name) else {
            unpacked.for_dpkg.push(package.control.path.clone());
            continue;
        };
        let mut list = String::new();
        for (member, place) in package.members.iter().zip(&places) {
            put_member(tree, package, member, place, &rules, epoch)?;
            let path = String::from_utf8_lossy(&member.path);
            triggers.extend(interests.hit(&path).map(str::to_owned));
            list.push_str(if member.path == b"/" { "/." } else { &path });
            list.push('\n');
        }
        triggers.extend(database::activations(&package.control));
        interests.add(&package.control);
        database::put_info(tree, store, &package.control, &list, epoch)?;
        if !status.is_empty() && !status.ends_with("\n\n") {
            status.push('\n');
        }
        status.push_str(&database::stanza(&package.control, &package.conffiles));
        unpacked.keys.extend(package.keys.iter().map(|path| (path.clone(), name.clone())));
    }
    database::initialise(tree, store, epoch)?;
    database::put(tree, store, "/var/lib/dpkg/status", status.as_bytes(), 0o644, epoch)?;
    interests.write(tree, store, epoch)?;
    if !triggers.is_empty() {
        let lines: String = triggers.iter().map(|t| format!("{t} -\n")).collect();
        database::put(tree, store, "/var/lib/dpkg/triggers/Unincorp", lines.as_bytes(), 0o644, epoch)?;
    }
    Ok(unpacked)
}

/// Where each member goes, or `None` if this package is not one to unpack natively.
fn places(tree: &Tree, package: &Package, rules: &Rules, name: &str) -> Option<Vec<Vec<u8>>> {
    let mut places = Vec::with_capacity(package.members.len());
    for member in &package.members {
        let wanted = match rules.diversions.get(&member.path) {
            Some((to, exempt)) if exempt != name && exempt != package.control.package() => to,
            _ => &member.path,
        };
        let place = place_of(tree, wanted);
        let free = match (tree.get(&place), &member.kind) {
            (None, _) | (Some(Entry::Dir(_)), Kind::Directory) => true,
            // A directory stays when a package ships a link to a directory in its place, and the other way round.
            (Some(entry @ Entry::Leaf(..)), Kind::Directory) => {
                entry.as_symlink().is_some()
                    && tree.resolve(&place).and_then(|p| tree.get(p)).is_some_and(|e| e.as_dir().is_some())
            }
            (Some(entry), Kind::Leaf(LeafKind::Symlink(target))) => entry.as_symlink() == Some(target),
            (Some(_), _) => false,
        };
        if !free {
            return None;
        }
        places.push(place);
    }
    Some(places)
}

/// The path with links in its parents followed; as it is where the parents are not there yet.
pub(crate) fn place_of(tree: &Tree, path: &[u8]) -> Vec<u8> {
    let Some(slash) = path.iter().rposition(|b| *b == b'/').filter(|_| path.len() > 1) else { return path.to_vec() };
    let (mut parent, mut rest) = (&path[..slash], path[slash..].to_vec());
    // Parents that are to be made below a link (an aliased directory) are found from the nearest one there is.
    loop {
        if let Some(mut found) =
            tree.resolve(if parent.is_empty() { b"/" } else { parent }).filter(|p| tree.contains(p))
        {
            if found == b"/" {
                found.clear();
            }
            found.extend_from_slice(&rest);
            return found;
        }
        let Some(slash) = parent.iter().rposition(|b| *b == b'/') else { return path.to_vec() };
        let mut longer = parent[slash..].to_vec();
        longer.extend_from_slice(&rest);
        (parent, rest) = (&parent[..slash], longer);
    }
}

fn put_member(
    tree: &mut Tree,
    package: &Package,
    member: &Member,
    place: &[u8],
    rules: &Rules,
    epoch: i64,
) -> Result<(), BuildError> {
    let meta = member.meta(rules, epoch);
    match &member.kind {
        Kind::Directory if tree.contains(place) && place != b"/" => {}
        Kind::Directory => tree.insert_dir(place, meta)?,
        Kind::Leaf(kind) => {
            let mode = if matches!(kind, LeafKind::Symlink(_)) { 0o777 } else { meta.mode };
            tree.insert_leaf(place, Leaf { meta: Meta { mode, ..meta }, kind: kind.clone() })?;
        }
        Kind::HardLink(to) => {
            let to = place_of(tree, to);
            tree.link(&to, place).map_err(|e| {
                BuildError::from(DebError::new(
                    &package.control.path,
                    format!("its hard link {}: {e}", String::from_utf8_lossy(&member.path)),
                ))
            })?;
        }
    }
    Ok(())
}

/// Packages in the order they are unpacked: what a package depends on before it, else by name; cycles are cut at the
/// package whose name comes first.
pub(crate) fn order(controls: Vec<Control>) -> Vec<Control> {
    let mut provider: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut controls = controls;
    controls.sort_by(|a, b| a.package().cmp(b.package()));
    for (i, control) in controls.iter().enumerate() {
        provider.entry(control.package().to_owned()).or_default().push(i);
        for name in control.provides() {
            provider.entry(name).or_default().push(i);
        }
    }
    let mut state = vec![0u8; controls.len()];
    let mut sorted = Vec::with_capacity(controls.len());
    for start in 0..controls.len() {
        // An explicit stack: a chain of dependencies may be long.
        let mut stack = vec![(start, None::<Vec<usize>>)];
        while let Some((i, needs)) = stack.pop() {
            let mut needs = match needs {
                Some(needs) => needs,
                None if state[i] != 0 => continue,
                None => {
                    state[i] = 1;
                    let names = controls[i].dependencies();
                    names.iter().filter_map(|n| provider.get(n)).flatten().copied().rev().collect()
                }
            };
            match needs.pop() {
                Some(next) => {
                    stack.push((i, Some(needs)));
                    if state[next] == 0 {
                        stack.push((next, None));
                    }
                }
                None => {
                    state[i] = 2;
                    sorted.push(i);
                }
            }
        }
    }
    let mut slots: Vec<Option<Control>> = controls.into_iter().map(Some).collect();
    sorted.into_iter().filter_map(|i| slots[i].take()).collect()
}

/// Names of the packages of a tree that are not fully installed, with their state, from dpkg's status.
pub(crate) fn unfinished(status: &str) -> Vec<(String, String)> {
    Paragraph::parse_all(status)
        .iter()
        .filter_map(|p| {
            let state = p.get("Status")?;
            (state != "install ok installed")
                .then(|| (p.get("Package").unwrap_or_default().to_owned(), state.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests;
