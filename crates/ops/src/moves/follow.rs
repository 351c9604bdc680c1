//! Following what a step changes to where it is now: files that were renamed, servers too, and keys that were moved
//! between a server and its roles or among a server's files.
//!
//! A file is followed from changeset to changeset, each of which removed it and added one with most of its lines: two
//! servers that merely look alike are never taken for each other.

use std::collections::BTreeMap;

use regrow_config::edit::{self as text_edit, Comments, Edit, KeyChange, key_changes};
use regrow_config::{Files, KeyPath, Kind};
use regrow_history::{Blob, Repo, TreeChange};

use crate::drafts::relock::Laid;
use crate::error::Result;

/// How many renames in a row are followed.
const MOST_RENAMES: usize = 16;
/// How far back it is looked for the changeset that made a file.
const MOST_VERSIONS: usize = 500;
/// Larger files are the same only byte by byte.
const MOST_BYTES: usize = 1 << 20;

/// The files that a change renames: from, to.
pub(super) fn renames(repo: &Repo, at: &str, changes: &[TreeChange]) -> BTreeMap<String, String> {
    let file = |blob: &Option<Blob>| blob.clone().filter(Blob::is_file);
    let mut added: Vec<(&str, Blob)> = Vec::new();
    let mut removed: Vec<(&str, Blob)> = Vec::new();
    for change in changes {
        match (file(&change.before), file(&change.after)) {
            (None, Some(new)) => added.push((&change.path, new)),
            (Some(old), None) => removed.push((&change.path, old)),
            _ => {}
        }
    }
    if added.is_empty() || removed.is_empty() {
        return BTreeMap::new();
    }
    let revision = repo.at(at);
    let text = |blob: &Blob| revision.bytes_of(&blob.id).filter(|b| b.len() <= MOST_BYTES).unwrap_or_default();
    let mut pairs: Vec<(usize, bool, usize, usize)> = Vec::new();
    for (r, (from, old)) in removed.iter().enumerate() {
        for (a, (to, new)) in added.iter().enumerate() {
            let alike = if old.id == new.id { 100 } else { similarity(&text(old), &text(new)) };
            if alike >= 50 {
                pairs.push((alike, name(from) == name(to), r, a));
            }
        }
    }
    // The most alike first; among equals those that keep their name.
    pairs.sort_by(|x, y| (y.0, y.1).cmp(&(x.0, x.1)).then_with(|| (x.2, x.3).cmp(&(y.2, y.3))));
    let mut found = BTreeMap::new();
    let (mut gone, mut taken) = (Vec::new(), Vec::new());
    for (_, _, r, a) in pairs {
        if !gone.contains(&r) && !taken.contains(&a) {
            gone.push(r);
            taken.push(a);
            found.insert(removed[r].0.to_owned(), added[a].0.to_owned());
        }
    }
    found
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// How much of the lines of two texts is the same, in per cent of the longer one.
fn similarity(a: &[u8], b: &[u8]) -> usize {
    if a.is_empty() || b.is_empty() {
        return 0;
    }
    let mut lines: BTreeMap<&[u8], isize> = BTreeMap::new();
    for line in a.split(|b| *b == b'\n') {
        *lines.entry(line).or_default() += 1;
    }
    let mut same = 0;
    for line in b.split(|b| *b == b'\n') {
        if let Some(left) = lines.get_mut(line).filter(|left| **left > 0) {
            *left -= 1;
            same += line.len() + 1;
        }
    }
    (same * 100 / (a.len().max(b.len()) + 1)).min(100)
}

/// Where the files of a step are now: through the changesets up to the draft's base, back through those that the step
/// came after, and through the renames of earlier steps.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// What earlier steps renamed: from, to.
    renamed: Vec<(String, String)>,
}

impl Names {
    /// Remembers what a step renamed.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        self.renamed.push((from.to_owned(), to.to_owned()));
    }

    /// Where a file is now that is not at its path; `None` if it is nowhere.
    pub(super) fn find(
        &self,
        repo: &Repo,
        (base, of): (&str, &str),
        now: &dyn Files,
        path: &str,
    ) -> Result<Option<String>> {
        let mut seen = vec![path.to_owned()];
        let mut at = 0;
        while at < seen.len().min(MOST_RENAMES) {
            let path = seen[at].clone();
            let mut next: Vec<String> =
                self.renamed.iter().filter(|(from, _)| *from == path).map(|(_, to)| to.clone()).collect();
            next.extend(later_name(repo, base, &path)?);
            next.extend(earlier_name(repo, of, &path)?);
            for name in next {
                if now.read(&name)?.is_some() {
                    return Ok(Some(name));
                }
                if !seen.contains(&name) {
                    seen.push(name);
                }
            }
            at += 1;
        }
        Ok(None)
    }
}

/// What the changeset that removed a file up to a commit named it.
fn later_name(repo: &Repo, commit: &str, path: &str) -> Result<Option<String>> {
    let last = repo.versions(commit, &[path], 1)?.pop();
    let Some(gone) = last.filter(|v| v.after.is_none()) else { return Ok(None) };
    Ok(renamed_by(repo, &gone.revision)?.remove(path))
}

/// What a file was called before the changeset that last made it up to a commit.
fn earlier_name(repo: &Repo, commit: &str, path: &str) -> Result<Option<String>> {
    let versions = repo.versions(commit, &[path], MOST_VERSIONS)?;
    let Some(made) = versions.into_iter().find(|v| v.before.is_none()) else { return Ok(None) };
    Ok(renamed_by(repo, &made.revision)?.into_iter().find(|(_, to)| to == path).map(|(from, _)| from))
}

fn renamed_by(repo: &Repo, commit: &str) -> Result<BTreeMap<String, String>> {
    let parents = repo.commit(commit)?.parents;
    let changes = repo.tree_changes(parents.first().map(String::as_str), Some(commit))?;
    Ok(renames(repo, commit, &changes))
}

/// The server that a path belongs to, and the rest of the path.
pub(super) fn server_of(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("servers/")?.split_once('/')
}

/// All files below a directory.
pub(super) fn files_below(files: &dyn Files, dir: &str) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for entry in files.list(dir)? {
        let path = format!("{dir}/{}", entry.name);
        match entry.kind {
            Kind::Dir => out.extend(files_below(files, &path)?),
            Kind::File => out.push(path),
            _ => {}
        }
    }
    Ok(out)
}

/// A step's change of one text, moved to where its keys are now.
pub(super) struct Moved<'t> {
    pub(super) path: &'t str,
    /// The key in conflict: the text has it no more.
    pub(super) key: &'t KeyPath,
    pub(super) base: &'t str,
    pub(super) yours: &'t str,
}

impl Moved<'_> {
    /// New texts by path if the key was moved elsewhere, with the value that it had; `None` if it was really removed.
    ///
    /// A value that a role gives now is overridden for the server that the step was about, and for no other.
    pub(super) fn elsewhere(&self, now: &Laid<'_>) -> Result<Option<BTreeMap<String, String>>> {
        let under = |c: &KeyChange| c.key.0.starts_with(&self.key.0);
        let had: Vec<KeyChange> = key_changes("", self.base).into_iter().filter(under).collect();
        let changes: Vec<KeyChange> = key_changes(self.base, self.yours).into_iter().filter(under).collect();
        let has = |text: &str| {
            let there: BTreeMap<KeyPath, Option<String>> =
                key_changes("", text).into_iter().map(|c| (c.key, c.after)).collect();
            !had.is_empty() && had.iter().all(|c| there.get(&c.key) == Some(&c.after))
        };
        let mut targets: BTreeMap<String, String> = BTreeMap::new();
        if let Some((server, _)) = server_of(self.path) {
            let files = texts(now, server)?;
            let sibling = files.iter().find(|(path, text)| *path != self.path && has(text));
            let by_role = || -> Result<bool> {
                for role in roles(&files) {
                    if text(now, &format!("roles/{role}.toml"))?.is_some_and(|text| has(&text)) {
                        return Ok(true);
                    }
                }
                Ok(false)
            };
            if let Some((path, text)) = sibling {
                targets.insert(path.clone(), text.clone());
            } else if changes.iter().all(|c| c.after.is_some()) && by_role()? {
                targets.insert(self.path.to_owned(), text(now, self.path)?.unwrap_or_default());
            }
        } else if let Some(role) = self.path.strip_prefix("roles/").and_then(|f| f.strip_suffix(".toml")) {
            for entry in now.list("servers")? {
                let files = texts(now, &entry.name)?;
                if roles(&files).iter().any(|r| r == role) {
                    targets.extend(files.into_iter().filter(|(_, text)| has(text)));
                }
            }
        }
        for text in targets.values_mut() {
            for change in &changes {
                let Some(new) = changed(text, change, self.yours) else { return Ok(None) };
                *text = new;
            }
        }
        Ok(Some(targets).filter(|t| !t.is_empty()))
    }
}

/// A text with one key changed as in `from`, which has the change already: a key that it has not comes with its comment.
/// `None` if the text cannot take it.
pub(super) fn changed(text: &str, change: &KeyChange, from: &str) -> Option<String> {
    let key = change.key.to_string();
    let edited = |text: &str, edit: &Edit| Some(text_edit::apply(text, edit).ok()?.apply(text));
    let Some(value) = &change.after else {
        return edited(text, &Edit::Unset { key, comments: Comments::Remove });
    };
    if key_changes("", text).iter().any(|c| c.key == change.key) {
        return edited(text, &Edit::Set { key, value: value.clone() });
    }
    let without = edited(from, &Edit::Unset { key, comments: Comments::Remove })?;
    let merged = regrow_config::merge::merge(&without, text, from).ok()?;
    merged.conflicts.is_empty().then_some(merged.text)
}

fn text(files: &dyn Files, path: &str) -> Result<Option<String>> {
    Ok(files.read(path)?.and_then(|bytes| String::from_utf8(bytes).ok()))
}

/// The texts of a server that people edit.
fn texts(files: &dyn Files, server: &str) -> Result<BTreeMap<String, String>> {
    let dir = format!("servers/{server}");
    let mut out = BTreeMap::new();
    for entry in files.list(&dir)? {
        let path = format!("{dir}/{}", entry.name);
        if entry.kind == Kind::File && path.ends_with(".toml") && entry.name != "lock.toml" {
            out.extend(text(files, &path)?.map(|text| (path, text)));
        }
    }
    Ok(out)
}

/// The roles that a server's texts name.
fn roles(files: &BTreeMap<String, String>) -> Vec<String> {
    let all = files.values().flat_map(|text| key_changes("", text));
    let lists = all.filter(|c| c.key.0 == ["roles"]).filter_map(|c| c.after);
    lists.flat_map(|list| list.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Keys that a change moves from one text to another: what is moved is the key with the value that it has now, not the
/// one that it had then. Changes the texts that the step wants, and returns the keys that it takes away, by path.
pub(super) fn carry(sides: &mut [Side], now: &Laid<'_>) -> Result<BTreeMap<String, Vec<KeyPath>>> {
    let mut taken: BTreeMap<String, Vec<KeyPath>> = BTreeMap::new();
    let changes: Vec<Vec<KeyChange>> = sides.iter().map(|s| key_changes(&s.base, &s.yours)).collect();
    for from in 0..sides.len() {
        for gone in changes[from].iter().filter(|c| c.after.is_none()) {
            let put = |to: &usize| {
                *to != from
                    && changes[*to].iter().any(|c| c.before.is_none() && c.key == gone.key && c.after == gone.before)
            };
            let Some(to) = (0..sides.len()).find(put) else { continue };
            let Some(there) = text(now, &sides[from].path)? else { continue };
            let value = key_changes("", &there).into_iter().find(|c| c.key == gone.key).and_then(|c| c.after);
            if let Some(value) = value.filter(|value| Some(value) != gone.before.as_ref()) {
                let edit = Edit::Set { key: gone.key.to_string(), value };
                if let Ok(patch) = text_edit::apply(&sides[to].yours, &edit) {
                    sides[to].yours = patch.apply(&sides[to].yours);
                    taken.entry(sides[from].path.clone()).or_default().push(gone.key.clone());
                }
            }
        }
    }
    Ok(taken)
}

/// What a step does to one TOML text.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub(super) path: String,
    pub(super) base: String,
    pub(super) yours: String,
}
