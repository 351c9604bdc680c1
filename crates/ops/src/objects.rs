//! One server's objects as a page shows them: which text, how it differs from what runs, and where its values come from
//! in time.
//!
//! Nothing here reads another server. What belongs to a commit never changes, so it is remembered for a while.

use std::collections::BTreeMap;
use std::sync::Arc;

use regrow_config::edit::{KeyChange, key_changes};
use regrow_config::objects::{Difference, Object, Objects, objects};
use regrow_config::{DiskFiles, Files, KeyPath};
use regrow_history::{Repo, Version};
use serde::Serialize;

use crate::context::Context;
use crate::error::Result;

/// Which text is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Text {
    /// The newest changeset.
    Changeset(String),
    /// A draft and its newest commit.
    Draft {
        /// The draft.
        id: String,
        /// Its commit.
        tip: String,
    },
    /// The files on disk: of a fleet without history, a server without one, or edits made by hand.
    Disk,
}

/// A server's objects and how they stand to other texts.
#[derive(Debug, Clone)]
pub struct View {
    /// Which text is shown.
    pub text: Text,
    /// What it says.
    pub objects: Arc<Objects>,
    /// What the newest changeset says, if that is not what is shown.
    pub main: Option<Arc<Objects>>,
    /// The newest changeset.
    pub head: Option<String>,
    /// The revision that is online.
    pub running: Option<String>,
    /// What that revision says; `None` if nothing is online or this fleet does not have it.
    pub runs: Option<Arc<Objects>>,
    /// Whether files that concern the server differ on disk from the newest changeset. Told only for the shown changeset.
    pub hand_edits: bool,
}

/// How one object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Standing {
    /// Against the newest changeset (in a draft).
    pub draft: Option<Difference>,
    /// Against what runs.
    pub online: Option<Difference>,
}

impl View {
    /// How every object that differs from something stands, by kind and name.
    pub fn standings(&self) -> BTreeMap<(&'static str, String), Standing> {
        let mut out: BTreeMap<(&'static str, String), Standing> = BTreeMap::new();
        if let Some(main) = &self.main {
            for (key, difference) in self.objects.differences(main) {
                out.entry(key).or_default().draft = Some(difference);
            }
        }
        if let Some(runs) = &self.runs {
            for (key, difference) in self.objects.differences(runs) {
                out.entry(key).or_default().online = Some(difference);
            }
        }
        out
    }
}

/// One server's objects: as a draft has them, else as the newest changeset has them.
///
/// # Errors
/// If the fleet cannot be read. A server that is not there is no error: see [`Objects::exists`].
pub fn view(ctx: &Context, server: &str, draft: Option<&str>) -> Result<View> {
    let running = running(ctx, server)?;
    let now = ctx.on_disk()?;
    // Without a repository, or before its first changeset.
    let Some(head) = now.commit.clone() else { return disk(ctx, server, running) };
    let repo = ctx.caches().repo(ctx.fleet()?)?;
    let main = at_commit(ctx, &repo, &head, server)?;
    let runs = match &running {
        // A revision of another fleet, or one that is gone.
        Some(revision) if regrow_history::is_full_id(revision) => {
            at_commit(ctx, &repo, revision, server).ok().filter(|o| o.exists)
        }
        _ => None,
    };
    let dirty = || now.revision(Some(server)).edited;
    let found = View {
        text: Text::Changeset(head.clone()),
        objects: main.clone(),
        main: None,
        head: Some(head),
        running,
        runs,
        hand_edits: false,
    };
    match draft {
        Some("disk") => Ok(View { text: Text::Disk, objects: on_disk(ctx, server)?, main: Some(main), ..found }),
        Some(id) if is_word(id) => match repo.resolve(&format!("refs/regrow/drafts/{id}")) {
            Ok(tip) => {
                let objects = at_commit(ctx, &repo, &tip, server)?;
                Ok(View { text: Text::Draft { id: id.to_owned(), tip }, objects, main: Some(main), ..found })
            }
            // Landed or discarded meanwhile.
            Err(_) => Ok(View { hand_edits: dirty(), ..found }),
        },
        _ if !main.exists => Ok(View { text: Text::Disk, objects: on_disk(ctx, server)?, ..found }),
        _ => Ok(View { hand_edits: dirty(), ..found }),
    }
}

fn disk(ctx: &Context, server: &str, running: Option<String>) -> Result<View> {
    let objects = on_disk(ctx, server)?;
    Ok(View { text: Text::Disk, objects, main: None, head: None, running, runs: None, hand_edits: false })
}

fn on_disk(ctx: &Context, server: &str) -> Result<Arc<Objects>> {
    Ok(Arc::new(objects(&DiskFiles::new(ctx.fleet()?)?, server)))
}

/// The files of the text that is shown.
///
/// # Errors
/// If the fleet or the revision cannot be read.
pub fn files_of(ctx: &Context, text: &Text) -> Result<Box<dyn Files>> {
    let commit = match text {
        Text::Disk => return Ok(Box::new(DiskFiles::new(ctx.fleet()?)?)),
        Text::Changeset(commit) | Text::Draft { tip: commit, .. } => commit,
    };
    Ok(Box::new(ctx.caches().repo(ctx.fleet()?)?.at(commit)))
}

/// The object id of a file of the text that is shown; `None` if git does not have this text.
///
/// # Errors
/// If the fleet or the revision cannot be read.
pub fn blob_of(ctx: &Context, text: &Text, path: &str) -> Result<Option<String>> {
    let commit = match text {
        Text::Disk => return Ok(None),
        Text::Changeset(commit) | Text::Draft { tip: commit, .. } => commit,
    };
    Ok(ctx.caches().repo(ctx.fleet()?)?.at(commit).object_id(path))
}

/// The revision that is online; `None` if nothing is.
fn running(ctx: &Context, server: &str) -> Result<Option<String>> {
    if !is_word(server) || !ctx.home().server(server).exists() {
        return Ok(None);
    }
    let journal = crate::online::read_journal(&ctx.home().server(server))?;
    Ok(journal.current().map(|g| g.candidate.revision.clone()))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// What one changeset did to a file, key by key.
#[derive(Debug, Clone, Serialize)]
pub struct Touch {
    /// The changeset.
    pub version: Version,
    /// The keys, in the order of the newer text.
    #[serde(skip)]
    pub changes: Vec<KeyChange>,
}

impl Touch {
    /// Its changes of a key, or of anything below it.
    pub fn of<'t>(&'t self, key: &'t KeyPath) -> impl Iterator<Item = &'t KeyChange> {
        self.changes.iter().filter(move |c| c.key.0.starts_with(&key.0) || key.0.starts_with(&c.key.0))
    }
}

/// What happened to one file, newest first.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FileHistory {
    /// What each changeset did to it.
    pub touches: Vec<Touch>,
    /// Whether there are older ones that were not looked at.
    pub more: bool,
}

impl FileHistory {
    /// The newest changeset that gave a key the value it has.
    pub fn since(&self, key: &KeyPath) -> Option<&Version> {
        self.touches.iter().find(|touch| touch.of(key).next().is_some()).map(|touch| &touch.version)
    }
}

/// What changed when, by file.
pub(crate) type Versions = BTreeMap<String, Vec<Version>>;

/// Where the text of the fleet is that people edit.
const TEXT: [&str; 3] = ["servers", "roles", "regrow.toml"];
/// How many changesets of one file are looked through.
const MOST_VERSIONS: usize = 200;
/// How many changesets of the fleet are looked through.
const MOST_CHANGESETS: usize = 20_000;
/// Files larger than this have no history by key, in bytes.
const MOST_TEXT: usize = 1 << 20;

/// What happened to a file up to a commit.
///
/// # Errors
/// If git cannot answer.
pub fn history(ctx: &Context, commit: &str, path: &str) -> Result<Arc<FileHistory>> {
    let key = format!("{commit} {path}");
    if let Some(known) = ctx.caches().histories.get(&key) {
        return Ok(known);
    }
    let repo = ctx.caches().repo(ctx.fleet()?)?;
    let mut versions = versions(ctx, &repo, commit)?.get(path).cloned().unwrap_or_default();
    let more = versions.len() > MOST_VERSIONS;
    versions.truncate(MOST_VERSIONS);
    let at = repo.at(commit);
    let touch = |version: Version| Touch { changes: keys_of(&at, &version), version };
    let found = Arc::new(FileHistory { touches: versions.into_iter().map(touch).collect(), more });
    ctx.caches().histories.put(&key, found.clone());
    Ok(found)
}

/// The changesets up to a commit that changed a file, newest first; of old ones only so many.
pub(crate) fn versions_of(ctx: &Context, commit: &str, path: &str) -> Result<Vec<Version>> {
    let repo = ctx.caches().repo(ctx.fleet()?)?;
    if TEXT.iter().any(|below| path.strip_prefix(below).is_some_and(|r| r.is_empty() || r.starts_with('/'))) {
        return Ok(versions(ctx, &repo, commit)?.get(path).cloned().unwrap_or_default());
    }
    Ok(repo.versions(commit, &[path], MOST_VERSIONS)?)
}

/// The keys that one changeset changed in a file, read from its repository's objects; none if it is no TOML.
pub(crate) fn keys_of(at: &regrow_history::Revision, version: &Version) -> Vec<KeyChange> {
    if !version.path.ends_with(".toml") {
        return Vec::new();
    }
    let (before, after) = texts_of(at, version);
    key_changes(&before, &after)
}

fn texts_of(at: &regrow_history::Revision, version: &Version) -> (String, String) {
    let text = |id: &Option<String>| {
        let bytes = id.as_ref().and_then(|id| at.bytes_of(id)).filter(|b| b.len() <= MOST_TEXT);
        bytes.and_then(|b| String::from_utf8(b).ok()).unwrap_or_default()
    };
    (text(&version.before), text(&version.after))
}

/// The keys that one changeset changed in a file, quickly: only the tables in which the texts differ are read.
pub(crate) fn touched(at: &regrow_history::Revision, version: &Version) -> Vec<KeyPath> {
    if !version.path.ends_with(".toml") {
        return Vec::new();
    }
    let (before, after) = texts_of(at, version);
    let (before, after) = tables_that_differ(&before, &after);
    key_changes(before, after).into_iter().map(|c| c.key).collect()
}

/// The parts of two texts in which they differ, from header to header; all of them where that cannot be told line by
/// line.
fn tables_that_differ<'t>(old: &'t str, new: &'t str) -> (&'t str, &'t str) {
    let hard = |text: &str| text.contains("\"\"\"") || text.contains("'''") || text.contains("\n[[");
    if hard(old) || hard(new) {
        return (old, new);
    }
    let header = |line: &str| {
        let name = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        name.is_some_and(|(_, rest)| rest.trim().is_empty() || rest.trim_start().starts_with('#'))
    };
    let starts = |text: &str| -> Vec<usize> {
        let mut at = 0;
        let mut out = vec![0];
        for line in text.split_inclusive('\n') {
            if at > 0 && header(line) {
                out.push(at);
            }
            at += line.len();
        }
        out
    };
    let (old_starts, new_starts) = (starts(old), starts(new));
    let (a, b) = (old.as_bytes(), new.as_bytes());
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let start = old_starts.iter().rev().find(|s| **s <= same && new_starts.contains(s)).copied().unwrap_or(0);
    let most = (a.len() - start).min(b.len() - start);
    let tail = a.iter().rev().zip(b.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let end = |text: &str, starts: &[usize]| {
        let from = text.len() - tail;
        starts.iter().copied().find(|s| *s >= from).unwrap_or(text.len())
    };
    (&old[start..end(old, &old_starts)], &new[start..end(new, &new_starts)])
}

/// What changed when, of all text of the fleet, by file: asked of git once, and then for what was added since.
fn versions(ctx: &Context, repo: &Repo, commit: &str) -> Result<Arc<Versions>> {
    if let Some(known) = ctx.caches().versions.get(commit) {
        return Ok(known);
    }
    let (mut since, mut older) = (None, None);
    if let Some((newest, versions)) = ctx.caches().versions.newest()
        && repo.is_ancestor(&newest, commit)?
    {
        (since, older) = (Some(newest), Some(versions));
    }
    let mut by_path = Versions::new();
    for version in repo.versions_since(since.as_deref(), commit, &TEXT, MOST_CHANGESETS)? {
        // Locks are made, not written.
        if !version.path.ends_with("/lock.toml") {
            by_path.entry(version.path.clone()).or_default().push(version);
        }
    }
    for (path, versions) in older.iter().flat_map(|older| older.iter()) {
        by_path.entry(path.clone()).or_default().extend(versions.iter().cloned());
    }
    let found = Arc::new(by_path);
    ctx.caches().versions.put(commit, found.clone());
    Ok(found)
}

/// What happened to an object: of every file it is written in, the changesets that changed a key of it, newest first.
///
/// # Errors
/// If git cannot answer.
pub fn object_history(ctx: &Context, commit: &str, object: &Object) -> Result<(Vec<Touch>, bool)> {
    let mut out: Vec<Touch> = Vec::new();
    let mut more = false;
    let mut paths: Vec<&str> = object.places.iter().map(|p| &*p.origin.path).collect();
    paths.dedup();
    for path in paths {
        let file = history(ctx, commit, path)?;
        more |= file.more;
        for touch in &file.touches {
            let changes: Vec<KeyChange> = match object.key.0.is_empty() {
                true => {
                    touch.changes.iter().filter(|c| object.fields.iter().any(|f| f.key == c.key)).cloned().collect()
                }
                false => touch.of(&object.key).cloned().collect(),
            };
            if !changes.is_empty() {
                out.push(Touch { version: touch.version.clone(), changes });
            }
        }
    }
    out.sort_by_key(|t| std::cmp::Reverse(t.version.at));
    Ok((out, more))
}

/// The objects of a server at a commit.
fn at_commit(ctx: &Context, repo: &Repo, commit: &str, server: &str) -> Result<Arc<Objects>> {
    let key = format!("{commit} {server}");
    if let Some(known) = ctx.caches().objects.get(&key) {
        return Ok(known);
    }
    let found = Arc::new(objects(&repo.at(commit), server));
    ctx.caches().objects.put(&key, found.clone());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Repository;

    #[test]
    fn versions_found_since_the_last_look_are_as_if_asked_anew() {
        let fleet = Repository::new();
        let server = |n: u32| fleet.write("servers/web1/server.toml", &format!("schema = 1\n[sysctl]\nx = \"{n}\"\n"));
        let look = || {
            let repo = fleet.ctx.repo().unwrap();
            let head = fleet.git(&["rev-parse", "HEAD"]);
            let found = versions(&fleet.ctx, &repo, &head).unwrap();
            let mut anew = Versions::new();
            for version in repo.versions(&head, &TEXT, MOST_CHANGESETS).unwrap() {
                anew.entry(version.path.clone()).or_default().push(version);
            }
            assert_eq!(*found, anew);
            anew["servers/web1/server.toml"].len()
        };
        fleet.write("regrow.toml", "schema = 1\n");
        server(1);
        fleet.commit("First");
        assert_eq!(look(), 1);
        server(2);
        fleet.commit("Second");
        fleet.write("roles/base.toml", "[sysctl]\n");
        fleet.commit("A role");
        assert_eq!(look(), 2);
        // One that was seen is no part of history any more.
        fleet.git(&["reset", "--quiet", "--hard", "HEAD~2"]);
        server(3);
        fleet.commit("Another second");
        assert_eq!(look(), 2);
        fleet.git(&["checkout", "--quiet", "-b", "side", "HEAD~1"]);
        fleet.write("roles/side.toml", "[sysctl]\n");
        fleet.commit("Beside");
        fleet.git(&["checkout", "--quiet", "main"]);
        fleet.git(&["merge", "--quiet", "--no-edit", "side"]);
        assert_eq!(look(), 2);
    }

    #[test]
    fn only_the_tables_that_differ_are_read_and_no_key_is_missed() {
        let text = "a = 1\n\n[b]\nx = 1\ny = 2\n\n[c] # third\nx = 1\n\n[d.e]\nx = [\n  1,\n]\n";
        let changes = [
            ("y = 2", "y = 3"),
            ("y = 2\n", ""),
            ("a = 1", "a = 2"),
            ("[b]", "[bb]"),
            ("[c] # third\nx = 1\n", ""),
            ("  1,\n", "  1,\n  2,\n"),
            ("[c] # third", "[new]\nz = 1\n\n[c] # third"),
            ("x = 1", "x = 2"),
        ];
        for (from, to) in changes {
            let new = text.replace(from, to);
            let (old_part, new_part) = tables_that_differ(text, &new);
            let keys = |a: &str, b: &str| key_changes(a, b).into_iter().map(|c| c.key).collect::<Vec<_>>();
            assert_eq!(keys(old_part, new_part), keys(text, &new), "{from} -> {to}: {old_part:?} {new_part:?}");
        }
        let changed = text.replace("y = 2", "y = 3");
        assert_eq!(tables_that_differ(text, &changed).1, "[b]\nx = 1\ny = 3\n\n");
    }
}
