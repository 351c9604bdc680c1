//! dpkg's database as files of a tree: what `dpkg --unpack` would have written for a package.
//!
//! | file below /var/lib/dpkg | what we write |
//! | --- | --- |
//! | `info/<name>.list` | every path of the package, directories too, conffiles included |
//! | `info/<name>.<member>` | every file of the control member but `control` |
//! | `status` | the package's fields with `Status: install ok unpacked` and the MD5 sums of its conffiles |
//! | `triggers/File`, `triggers/<trigger>` | which package wants to hear of which path or trigger |
//! | `triggers/Unincorp` | triggers that already installed packages must hear of |
//!
//! dpkg rewrites all of them in its own order and form when it next runs, so only their meaning counts. A conffile with
//! its final sum and no `.dpkg-new` beside it is one that dpkg takes as unpacked and answered for.

use std::collections::{BTreeMap, BTreeSet};

use regrow_image::{Meta, Store, Tree};

use crate::control::Paragraph;
use crate::deb::Control;
use crate::error::BuildError;

/// Where dpkg keeps its database.
pub(crate) const ADMIN: &str = "/var/lib/dpkg";

/// A tree's text file, decoded lossily; empty if there is none.
pub(crate) fn text(tree: &Tree, store: &Store, path: &str) -> Result<String, BuildError> {
    match tree.file(path) {
        Some(content) => Ok(String::from_utf8_lossy(&store.read(content)?).into_owned()),
        None => Ok(String::new()),
    }
}

/// Puts a root-owned text file.
pub(crate) fn put(
    tree: &mut Tree,
    store: &Store,
    path: &str,
    bytes: &[u8],
    mode: u32,
    mtime: i64,
) -> Result<(), BuildError> {
    let content = store.put_bytes(bytes)?;
    tree.insert_file(path, Meta::new(mode, 0, 0, mtime), content)?;
    Ok(())
}

/// What of dpkg's database decides how a package is unpacked over a tree.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Path → (where it goes instead, the package that is exempt).
    pub(crate) diversions: BTreeMap<Vec<u8>, (Vec<u8>, String)>,
    /// Path → (owner, group, mode) laid down by the administrator or a package.
    pub(crate) overrides: BTreeMap<Vec<u8>, (String, String, u32)>,
    /// Account names → ids.
    pub(crate) users: BTreeMap<String, u32>,
    /// Group names → ids.
    pub(crate) groups: BTreeMap<String, u32>,
}

impl Rules {
    /// Reads them from a tree.
    pub(crate) fn read(tree: &Tree, store: &Store) -> Result<Rules, BuildError> {
        let mut rules = Rules::default();
        let diversions = text(tree, store, "/var/lib/dpkg/diversions")?;
        let lines: Vec<&str> = diversions.lines().collect();
        for three in lines.chunks_exact(3) {
            rules.diversions.insert(three[0].into(), (three[1].into(), three[2].to_owned()));
        }
        for line in text(tree, store, "/var/lib/dpkg/statoverride")?.lines() {
            let mut parts = line.splitn(4, ' ');
            if let (Some(user), Some(group), Some(mode), Some(path)) =
                (parts.next(), parts.next(), parts.next(), parts.next())
                && let Ok(mode) = u32::from_str_radix(mode, 8)
            {
                rules.overrides.insert(path.into(), (user.to_owned(), group.to_owned(), mode));
            }
        }
        rules.users = ids(&text(tree, store, "/etc/passwd")?);
        rules.groups = ids(&text(tree, store, "/etc/group")?);
        Ok(rules)
    }
}

/// Names and ids of a passwd or group file.
fn ids(text: &str) -> BTreeMap<String, u32> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
        })
        .collect()
}

/// Which installed packages want to hear of which triggers.
#[derive(Debug, Default)]
pub(crate) struct Interests {
    /// Lines of `triggers/File`: path → packages, with their `/noawait`.
    files: BTreeMap<String, BTreeSet<String>>,
    /// Lines of `triggers/<name>`.
    named: BTreeMap<String, BTreeSet<String>>,
}

impl Interests {
    /// Reads them from a tree.
    pub(crate) fn read(tree: &Tree, store: &Store) -> Result<Interests, BuildError> {
        let mut interests = Interests::default();
        for line in text(tree, store, "/var/lib/dpkg/triggers/File")?.lines() {
            if let Some((path, package)) = line.rsplit_once(' ') {
                interests.files.entry(path.to_owned()).or_default().insert(package.to_owned());
            }
        }
        for path in tree.glob_files("/var/lib/dpkg/triggers/*") {
            let path = String::from_utf8_lossy(&path).into_owned();
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            if matches!(name.as_str(), "File" | "Unincorp" | "Lock") {
                continue;
            }
            let packages = text(tree, store, &path)?.lines().map(str::to_owned).collect();
            interests.named.insert(name, packages);
        }
        Ok(interests)
    }

    /// Takes up what a package asks for in its `triggers` member.
    pub(crate) fn add(&mut self, control: &Control) {
        for (directive, trigger) in directives(control) {
            let package = match directive.as_str() {
                "interest" | "interest-await" => control.database_name(),
                "interest-noawait" => format!("{}/noawait", control.database_name()),
                _ => continue,
            };
            let map = if trigger.starts_with('/') { &mut self.files } else { &mut self.named };
            map.entry(trigger).or_default().insert(package);
        }
    }

    /// The file triggers that `path` sets off.
    pub(crate) fn hit<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        self.files.keys().map(String::as_str).filter(move |wanted| {
            path.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Writes them into a tree.
    pub(crate) fn write(&self, tree: &mut Tree, store: &Store, mtime: i64) -> Result<(), BuildError> {
        let mut text = String::new();
        for (path, packages) in &self.files {
            for package in packages {
                text.push_str(&format!("{path} {package}\n"));
            }
        }
        put(tree, store, "/var/lib/dpkg/triggers/File", text.as_bytes(), 0o644, mtime)?;
        for (name, packages) in &self.named {
            let text: String = packages.iter().map(|p| format!("{p}\n")).collect();
            put(tree, store, &format!("/var/lib/dpkg/triggers/{name}"), text.as_bytes(), 0o644, mtime)?;
        }
        Ok(())
    }
}

/// The triggers a package sets off by being unpacked, whatever its files are.
pub(crate) fn activations(control: &Control) -> impl Iterator<Item = String> {
    directives(control).filter(|(d, _)| d.starts_with("activate")).map(|(_, trigger)| trigger)
}

fn directives(control: &Control) -> impl Iterator<Item = (String, String)> {
    let text = control.text("triggers");
    let parsed: Vec<_> = text
        .lines()
        .map(|l| l.split('#').next().unwrap_or_default())
        .filter_map(|l| {
            let mut words = l.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        })
        .collect();
    parsed.into_iter()
}

/// The stanza of an unpacked package in `status`.
pub(crate) fn stanza(control: &Control, conffiles: &BTreeMap<String, String>) -> String {
    let mut fields = Paragraph::default();
    fields.set("Package", control.package());
    fields.set("Status", "install ok unpacked");
    let shipped = control.conffiles();
    let sums = shipped.iter().filter_map(|p| conffiles.get(p).map(|sum| format!("\n {p} {sum}")));
    // Listed too, as dpkg does: what a later version must not bring back.
    let text = control.text("conffiles");
    let gone = text.lines().filter_map(|l| l.trim().strip_prefix("remove-on-upgrade "));
    let listed: String = sums.chain(gone.map(|p| format!("\n {} newconffile remove-on-upgrade", p.trim()))).collect();
    if !listed.is_empty() {
        fields.set("Conffiles", listed);
    }
    let mut text = fields.to_text();
    text.pop();
    for line in control.fields.to_text().lines().skip_while(|l| !l.is_empty() && l.starts_with("Package:")) {
        if !line.is_empty() {
            text.push_str(line);
            text.push('\n');
        }
    }
    text.push('\n');
    text
}

/// Puts the `info/` files of a package.
pub(crate) fn put_info(
    tree: &mut Tree,
    store: &Store,
    control: &Control,
    list: &str,
    mtime: i64,
) -> Result<(), BuildError> {
    let base = format!("{ADMIN}/info/{}", control.database_name());
    put(tree, store, &format!("{base}.list"), list.as_bytes(), 0o644, mtime)?;
    for (member, file) in &control.files {
        let mode = if file.executable { 0o755 } else { 0o644 };
        put(tree, store, &format!("{base}.{member}"), &file.bytes, mode, mtime)?;
    }
    Ok(())
}

/// Makes the database's directories and the files that dpkg insists on.
pub(crate) fn initialise(tree: &mut Tree, store: &Store, mtime: i64) -> Result<(), BuildError> {
    for dir in ["", "/alternatives", "/info", "/parts", "/triggers", "/updates"] {
        let path = format!("{ADMIN}{dir}");
        if !tree.contains(&path) {
            tree.insert_dir(&path, Meta::new(0o755, 0, 0, mtime))?;
        }
    }
    for (file, text) in [("status", ""), ("available", ""), ("info/format", "1\n")] {
        let path = format!("{ADMIN}/{file}");
        if !tree.contains(&path) {
            put(tree, store, &path, text.as_bytes(), 0o644, mtime)?;
        }
    }
    Ok(())
}
