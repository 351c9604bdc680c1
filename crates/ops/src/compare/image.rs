//! What differs between two images of a server: packages, paths, units, accounts, size. The last layer of a comparison:
//! not what the text says, but what came of it.

use std::collections::{BTreeMap, BTreeSet};

use regrow_image::{ChangeKind, Content, Entry, ImageId, LeafKind, Meta, Store, Tree, diff};
use serde::Serialize;

use crate::Answer;
use crate::build::open_store;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::evidence::{self, Kind};
use crate::remember;
use crate::wanted::short;

/// What differs between two images.
#[derive(Debug, Clone, Serialize)]
pub struct ImageComparison {
    /// The server.
    pub server: String,
    /// The older side.
    pub from: Built,
    /// The newer side.
    pub to: Built,
    /// Whether they are one and the same image.
    pub equal: bool,
    /// Packages that differ, by name.
    pub packages: Vec<PackageDifference>,
    /// Paths that differ, in order; at most [`MOST_PATHS`].
    pub paths: Vec<PathDifference>,
    /// How many more paths differ.
    pub more_paths: usize,
    /// Units that differ, in words.
    pub units: Vec<String>,
    /// Users and groups that differ, in words.
    pub users: Vec<String>,
}

impl Answer for ImageComparison {}

/// One side.
#[derive(Debug, Clone, Serialize)]
pub struct Built {
    /// The full commit id.
    pub revision: String,
    /// The image.
    pub image: String,
    /// Bytes of all its files; a file with several names counts once.
    pub bytes: u64,
    /// How many names it has.
    pub paths: usize,
}

/// A package that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageDifference {
    /// Its name.
    pub name: String,
    /// Its version in the older image; `None` if it is new.
    pub before: Option<String>,
    /// Its version in the newer image; `None` if it is gone.
    pub after: Option<String>,
}

/// A path that differs.
#[derive(Debug, Clone, Serialize)]
pub struct PathDifference {
    /// The absolute path.
    pub path: String,
    /// What is different: `added`, `removed`, `type`, `content`, `mode`, `owner`, …; several can hold at once.
    pub kinds: Vec<ChangeKind>,
    /// What it was.
    pub before: Option<Facts>,
    /// What it is.
    pub after: Option<Facts>,
    /// The lines that go (`-`) and come (`+`), if both sides are short text.
    pub lines: Option<String>,
}

/// What is known about a path in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// `file`, `directory`, `link` or `special`.
    pub kind: &'static str,
    /// Permission bits, as `0644`.
    pub mode: String,
    /// The number of the owner.
    pub uid: u32,
    /// The number of the group.
    pub gid: u32,
    /// Bytes of a file.
    pub size: Option<u64>,
    /// Where a link points.
    pub target: Option<String>,
}

/// So many paths are told one by one.
pub const MOST_PATHS: usize = 2000;
/// Longer files are not compared line by line.
const SHORT: u64 = 64 << 10;
/// So many lines are shown of one file.
const MOST_LINES: usize = 60;

/// Compares the images of a server at two revisions. With `build`, images that are not there are built.
///
/// # Errors
/// [`Error::No`] if an image is not there and must not be built.
pub fn compare(ctx: &Context, server: &str, from: &str, to: &str, build: bool) -> Result<ImageComparison> {
    let ids = (image_of(ctx, server, from, build)?, image_of(ctx, server, to, build)?);
    let store = open_store(ctx)?;
    let _hold = store.hold()?;
    let (old, new) = (store.load(&ids.0.1)?, store.load(&ids.1.1)?);
    let side = |(revision, image): (String, ImageId), tree: &Tree| {
        let (bytes, paths) = size(tree);
        Built { revision, image: image.to_string(), bytes, paths }
    };
    let equal = ids.0.1 == ids.1.1;
    let changes = if equal { Vec::new() } else { diff(&old, &new) };
    let mut paths = Vec::new();
    // A newer time alone is no difference to anybody.
    let telling = |kinds: &[ChangeKind]| kinds.iter().any(|kind| *kind != ChangeKind::Mtime);
    let mut telling: Vec<_> = changes.into_iter().filter(|change| telling(&change.kinds)).collect();
    let more_paths = telling.len().saturating_sub(MOST_PATHS);
    let units = units(&telling);
    telling.truncate(MOST_PATHS);
    for change in telling {
        let path = String::from_utf8_lossy(&change.path).into_owned();
        let lines = match change.kinds.contains(&ChangeKind::Content) {
            true => lines(&store, old.file(&change.path), new.file(&change.path))?,
            false => None,
        };
        let (before, after) = (Facts::of(&old, &change.path), Facts::of(&new, &change.path));
        paths.push(PathDifference { path, kinds: change.kinds, before, after, lines });
    }
    Ok(ImageComparison {
        server: server.to_owned(),
        equal,
        packages: packages(&versions(&store, &old)?, &versions(&store, &new)?),
        paths,
        more_paths,
        units,
        users: users(&store, &old, &new)?,
        from: side(ids.0, &old),
        to: side(ids.1, &new),
    })
}

/// Which of some servers have their image of a revision in the store, beside the full commit id. Nothing is built or made.
pub fn there(ctx: &Context, servers: &[String], revision: &str) -> Result<(String, BTreeSet<String>)> {
    let commit = remember::resolve(ctx, &ctx.repo()?, revision)?;
    let mut known = Vec::new();
    for server in servers {
        known.extend(recorded(ctx, server, &commit)?.map(|image| (server, image)));
    }
    if known.is_empty() {
        return Ok((commit, BTreeSet::new()));
    }
    let store = open_store(ctx)?;
    known.retain(|(_, image)| store.has_image(image));
    Ok((commit, known.into_iter().map(|(server, _)| server.clone()).collect()))
}

/// The image that was built of a commit, as recorded: it may be gone.
fn recorded(ctx: &Context, server: &str, commit: &str) -> Result<Option<ImageId>> {
    let built = evidence::of_revision(ctx, server, Kind::Build, commit)?;
    Ok(built.and_then(|built| built.image?.parse().ok()))
}

/// The commit and the image of a revision.
fn image_of(ctx: &Context, server: &str, revision: &str, build: bool) -> Result<(String, ImageId)> {
    let commit = ctx.repo()?.resolve(revision)?;
    let store = open_store(ctx)?;
    if let Some(image) = recorded(ctx, server, &commit)?.filter(|image| store.has_image(image)) {
        return Ok((commit, image));
    }
    if !build {
        return Err(Error::No {
            message: format!("the image of {server} at {} is not in the store", short(&commit)),
            help: Some(format!("build it: regrow build {server} --at {}, or add --build", short(&commit))),
        });
    }
    let image = crate::build(ctx, server, Some(&commit), true)?.image;
    let image = image.parse().map_err(|e| Error::mistake(format!("{image}: {e}")))?;
    Ok((commit, image))
}

impl Facts {
    /// Of a path, if it is there.
    pub(crate) fn of(tree: &Tree, path: &[u8]) -> Option<Facts> {
        let entry = tree.get(path)?;
        let Meta { mode, uid, gid, .. } = *entry.meta();
        let (kind, size, target) = match entry {
            Entry::Dir(_) => ("directory", None, None),
            Entry::Leaf(_, leaf) => match &leaf.kind {
                LeafKind::File(content) => ("file", Some(content.size()), None),
                LeafKind::Symlink(to) => ("link", None, Some(String::from_utf8_lossy(to).into_owned())),
                _ => ("special", None, None),
            },
        };
        Some(Facts { kind, mode: format!("{mode:04o}"), uid, gid, size, target })
    }
}

/// Bytes of all files, and the number of names.
fn size(tree: &Tree) -> (u64, usize) {
    let (mut bytes, mut names, mut seen) = (0, 0, BTreeSet::new());
    for (_, entry) in tree.walk() {
        names += 1;
        if let Entry::Leaf(id, leaf) = entry
            && let LeafKind::File(content) = &leaf.kind
            && seen.insert(id)
        {
            bytes += content.size();
        }
    }
    (bytes, names)
}

/// A text file of an image; empty if there is none.
pub(crate) fn text(store: &Store, tree: &Tree, path: &str) -> Result<String> {
    Ok(match tree.file(path) {
        Some(content) => String::from_utf8_lossy(&store.read(content)?).into_owned(),
        None => String::new(),
    })
}

/// The installed packages with their versions, from dpkg's own record in the image.
pub(crate) fn versions(store: &Store, tree: &Tree) -> Result<BTreeMap<String, String>> {
    let status = text(store, tree, "/var/lib/dpkg/status")?;
    let mut found = BTreeMap::new();
    for paragraph in status.split("\n\n") {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if let (Some(name), Some(version)) = (field("Package:"), field("Version:")) {
            found.insert(name.to_owned(), version.to_owned());
        }
    }
    Ok(found)
}

fn packages(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<PackageDifference> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differs = |name: &&String| old.get(*name) != new.get(*name);
    let difference = |name: &String| PackageDifference {
        name: name.clone(),
        before: old.get(name).cloned(),
        after: new.get(name).cloned(),
    };
    names.into_iter().filter(differs).map(difference).collect()
}

/// What changed paths mean for units.
fn units(changes: &[regrow_image::Change]) -> Vec<String> {
    let mut words = BTreeSet::new();
    for change in changes {
        let path = String::from_utf8_lossy(&change.path);
        let below = ["/etc/systemd/system/", "/usr/lib/systemd/system/"];
        let Some(rest) = below.iter().find_map(|dir| path.strip_prefix(dir)) else { continue };
        let (added, removed) = (change.kinds.contains(&ChangeKind::Added), change.kinds.contains(&ChangeKind::Removed));
        words.extend(match rest.split_once('/') {
            Some((wants, unit)) if wants.ends_with(".wants") || wants.ends_with(".requires") => {
                match (added, removed) {
                    (true, _) => Some(format!("{unit} starts with the system")),
                    (_, true) => Some(format!("{unit} no longer starts with the system")),
                    _ => None,
                }
            }
            Some((drop_in, _)) => drop_in.strip_suffix(".d").map(|unit| format!("{unit} is configured differently")),
            None if rest.contains('.') && !rest.ends_with(".d") && !rest.ends_with(".wants") => {
                Some(match (added, removed) {
                    (true, _) => format!("{rest} is new"),
                    (_, true) => format!("{rest} is gone"),
                    _ => format!("{rest} is changed"),
                })
            }
            None => None,
        });
    }
    words.into_iter().collect()
}

/// Accounts that differ.
fn users(store: &Store, old: &Tree, new: &Tree) -> Result<Vec<String>> {
    let mut words = Vec::new();
    for (what, path) in [("user", "/etc/passwd"), ("group", "/etc/group")] {
        let read = |tree| -> Result<BTreeMap<String, String>> {
            let text = text(store, tree, path)?;
            let named = |line: &str| line.split_once(':').map(|(name, rest)| (name.to_owned(), rest.to_owned()));
            Ok(text.lines().filter_map(named).collect())
        };
        let (old, new) = (read(old)?, read(new)?);
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            match (old.get(name), new.get(name)) {
                (None, Some(_)) => words.push(format!("the {what} {name} is new")),
                (Some(_), None) => words.push(format!("the {what} {name} is gone")),
                (old, new) if old != new => words.push(format!("the {what} {name} is changed")),
                _ => {}
            }
        }
    }
    Ok(words)
}

/// The lines between the common beginning and the common end of two short texts.
fn lines(store: &Store, old: Option<&Content>, new: Option<&Content>) -> Result<Option<String>> {
    let (Some(old), Some(new)) = (old, new) else { return Ok(None) };
    if old.size() > SHORT || new.size() > SHORT {
        return Ok(None);
    }
    let (Ok(old), Ok(new)) = (String::from_utf8(store.read(old)?), String::from_utf8(store.read(new)?)) else {
        return Ok(None);
    };
    Ok(Some(differing_lines(&old, &new)))
}

fn differing_lines(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let begin = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - begin;
    let end = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let side = |sign: char, lines: &[&str]| -> Vec<String> {
        let lines = &lines[begin..lines.len() - end];
        let mut shown: Vec<String> = lines.iter().take(MOST_LINES).map(|line| format!("{sign}{line}")).collect();
        if lines.len() > MOST_LINES {
            shown.push(format!("{sign}… {} lines more", lines.len() - MOST_LINES));
        }
        shown
    };
    let mut all = side('-', &old);
    all.extend(side('+', &new));
    all.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_that_differ_are_shown() {
        for (old, new, shown) in [
            ("a\nb\nc\n", "a\nx\nc\n", "-b\n+x"),
            ("a\n", "a\nb\n", "+b"),
            ("a\na\n", "a\n", "-a"),
            ("", "a\n", "+a"),
            ("a\nb", "a\nb\n", ""),
        ] {
            assert_eq!(differing_lines(old, new), shown, "{old:?} {new:?}");
        }
    }

    #[test]
    fn packages_that_come_go_and_change_are_told() {
        let of = |list: &[(&str, &str)]| list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let found = packages(&of(&[("a", "1"), ("b", "1"), ("c", "1")]), &of(&[("a", "1"), ("b", "2"), ("d", "1")]));
        let told: Vec<_> = found.iter().map(|p| (&*p.name, p.before.as_deref(), p.after.as_deref())).collect();
        assert_eq!(told, [("b", Some("1"), Some("2")), ("c", Some("1"), None), ("d", None, Some("1"))]);
    }

    #[test]
    fn links_that_start_a_unit_are_told_as_that() {
        let change = |path: &str, kind| regrow_image::Change { path: path.as_bytes().to_vec(), kinds: vec![kind] };
        let told = units(&[
            change("/etc/systemd/system/multi-user.target.wants/nginx.service", ChangeKind::Added),
            change("/etc/systemd/system/backup.timer", ChangeKind::Content),
            change("/etc/systemd/system/nginx.service.d", ChangeKind::Added),
            change("/etc/systemd/system/nginx.service.d/regrow.conf", ChangeKind::Added),
            change("/etc/motd", ChangeKind::Content),
        ]);
        assert_eq!(
            told,
            [
                "backup.timer is changed",
                "nginx.service is configured differently",
                "nginx.service starts with the system"
            ]
        );
    }
}
