//! The text of a draft with steps, in memory: the base, then each ticked step merged in, in order.
//!
//! ```text
//! base ──► step 1 ──► step 2 ──► … ──► what the steps give ──► the person's own edits ──► the draft's text
//!            │ by key (TOML), by line (other text), else as a whole; a clash is a conflict of that step
//! ```
//!
//! The own edits are nowhere kept by themselves: they are what the draft's text has beyond what its steps give. So they
//! stay when a step is ticked off, and whoever amends a draft with git has made own edits.

use std::collections::{BTreeMap, BTreeSet};

use regrow_config::merge::Choice;
use regrow_config::{Files, KeyPath, LockFile};
use regrow_history::{Blob, DraftChange, DraftRef, Repo, TreeChange};

use super::follow::{self, Moved, Names, Side};
use super::step::Step;
use crate::context::Context;
use crate::drafts::land::Decision;
use crate::drafts::merge::{self, Choices, Conflict, With};
use crate::drafts::relock::Laid;
use crate::drafts::{Data, bytes_at};
use crate::error::{Error, Result};
use crate::wanted::short;

/// New bytes by path; `None` removes the file.
pub(crate) type NewFiles = BTreeMap<String, Option<Vec<u8>>>;

/// What steps give on a base.
#[derive(Debug, Clone, Default)]
pub(crate) struct Composed {
    /// What differs from the base. Keys in conflict are as before the step, or as decided.
    pub(crate) files: NewFiles,
    /// What steps change that was changed otherwise meanwhile, decided or not.
    pub(crate) conflicts: Vec<Conflict>,
    /// Ticked steps that change nothing here: somebody did it already.
    pub(crate) without_effect: BTreeSet<u32>,
}

impl Composed {
    /// The bytes of a file.
    pub(crate) fn read(&self, base: &dyn Files, path: &str) -> Result<Option<Vec<u8>>> {
        match self.files.get(path) {
            Some(bytes) => Ok(bytes.clone()),
            None => Ok(base.read(path)?),
        }
    }
}

/// Works out what the ticked steps give on a commit (its full id).
pub(crate) fn compose(repo: &Repo, base: &str, steps: &[Step], decisions: &[Decision]) -> Result<Composed> {
    let mut out = Composed::default();
    let below = repo.at(base);
    let mut names = Names::default();
    for step in steps.iter().filter(|s| s.on) {
        let files = std::mem::take(&mut out.files);
        let laid = Laid { below: &below, files };
        let (conflicts, servers) = (Vec::new(), BTreeMap::new());
        let mut at = At { repo, base, laid, step, decisions, conflicts, servers, names: &mut names };
        let before = at.laid.files.clone();
        at.run()?;
        let At { laid, conflicts, .. } = at;
        if laid.files == before && conflicts.is_empty() {
            out.without_effect.insert(step.id);
        }
        out.conflicts.extend(conflicts);
        out.files = laid.files;
    }
    let mut same = Vec::new();
    for (path, bytes) in &out.files {
        if bytes_at(&below, path)? == *bytes {
            same.push(path.clone());
        }
    }
    out.files.retain(|path, _| !same.contains(path));
    Ok(out)
}

/// One step on the way.
struct At<'a> {
    repo: &'a Repo,
    base: &'a str,
    laid: Laid<'a>,
    step: &'a Step,
    decisions: &'a [Decision],
    conflicts: Vec<Conflict>,
    /// Where servers are now whose directory is gone.
    servers: BTreeMap<String, Option<String>>,
    names: &'a mut Names,
}

/// What a step does to one file.
struct Wish {
    /// Where it is now.
    path: String,
    /// Where it shall be then.
    to: String,
    base: Option<Vec<u8>>,
    yours: Option<Vec<u8>>,
}

impl At<'_> {
    fn run(&mut self) -> Result<()> {
        let mut wishes = self.wishes()?;
        let taken = self.carry(&mut wishes)?;
        // Locks last: whether their servers are there is known then.
        wishes.sort_by_key(|w| merge::is_lock(&w.path));
        for wish in &wishes {
            match merge::is_lock(&wish.path) {
                true => self.lock(wish)?,
                false => self.file(wish, taken.get(&wish.path).map_or(&[], Vec::as_slice))?,
            }
        }
        for wish in wishes.iter().filter(|w| w.to != w.path) {
            self.names.rename(&wish.path, &wish.to);
            self.rest_of_server(&wish.path, &wish.to)?;
        }
        Ok(())
    }

    /// What the step does, at the paths where things are now.
    fn wishes(&mut self) -> Result<Vec<Wish>> {
        let (from, to) = self.step.sides();
        let changes = self.repo.tree_changes(from, to)?;
        let renamed = follow::renames(self.repo, &self.step.of, &changes);
        let mut wishes = Vec::new();
        for change in &changes {
            if renamed.values().any(|to| *to == change.path) {
                continue;
            }
            let base = self.bytes(change, change.before.as_ref())?;
            let path = self.now(&change.path, base.is_some())?;
            let (to, yours) = match renamed.get(&change.path) {
                None => (path.clone(), self.bytes(change, change.after.as_ref())?),
                Some(to) => {
                    let new = changes.iter().find(|c| c.path == *to).unwrap_or(change);
                    let yours = self.bytes(new, new.after.as_ref())?;
                    // A file that was renamed otherwise since keeps its name, and one that stands there is not replaced.
                    let free = path == change.path && self.laid.read(to)?.is_none();
                    (if free { to.clone() } else { path.clone() }, yours)
                }
            };
            wishes.push(Wish { path, to, base, yours });
        }
        Ok(wishes)
    }

    /// Where a file of the step is now; its own path if nobody knows better.
    fn now(&mut self, path: &str, was_there: bool) -> Result<String> {
        if self.laid.read(path)?.is_some() {
            return Ok(path.to_owned());
        }
        if let Some((server, rest)) = follow::server_of(path) {
            if let Some(now) = self.server(server)? {
                return Ok(format!("servers/{now}/{rest}"));
            }
        } else if was_there && let Some(now) = self.find(path)? {
            return Ok(now);
        }
        Ok(path.to_owned())
    }

    /// What a server is called now that is not there by its name.
    fn server(&mut self, name: &str) -> Result<Option<String>> {
        if let Some(known) = self.servers.get(name) {
            return Ok(known.clone());
        }
        let main = format!("servers/{name}/server.toml");
        let found = match self.laid.read(&main)? {
            Some(_) => None,
            None => self.find(&main)?,
        };
        let found = found.and_then(|path| Some(follow::server_of(&path)?.0.to_owned()));
        self.servers.insert(name.to_owned(), found.clone());
        Ok(found)
    }

    fn find(&self, path: &str) -> Result<Option<String>> {
        self.names.find(self.repo, (self.base, &self.step.of), &self.laid, path)
    }

    /// Moves of keys from one text to another take the values of now along.
    fn carry(&self, wishes: &mut [Wish]) -> Result<BTreeMap<String, Vec<KeyPath>>> {
        let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap_or_default()).ok();
        let mut sides = Vec::new();
        for wish in wishes.iter().filter(|w| w.path.ends_with(".toml") && !merge::is_lock(&w.path)) {
            if let (Some(base), Some(yours)) = (text(&wish.base), text(&wish.yours)) {
                sides.push(Side { path: wish.path.clone(), base, yours });
            }
        }
        if sides.len() < 2 {
            return Ok(BTreeMap::new());
        }
        let taken = follow::carry(&mut sides, &self.laid)?;
        for wish in wishes.iter_mut().filter(|w| w.yours.is_some()) {
            if let Some(side) = sides.iter().find(|s| s.path == wish.path) {
                wish.yours = Some(side.yours.clone().into_bytes());
            }
        }
        Ok(taken)
    }

    /// Merges one file; keys in `taken` go without asking, because their values went elsewhere.
    fn file(&mut self, wish: &Wish, taken: &[KeyPath]) -> Result<()> {
        let theirs = self.laid.read(&wish.path)?;
        let texts = [wish.base.as_deref(), theirs.as_deref(), wish.yours.as_deref()];
        let with = With::Step(self.step.id);
        let mut merged = merge::decided(&wish.to, texts, with, self.decisions)?;
        if !taken.is_empty() {
            let choices: Choices = taken.iter().map(|key| (Some(key.clone()), Choice::Ours)).collect();
            merged = merge::merge(&wish.to, texts, with, &choices)?;
            merged.conflicts.retain(|c| c.key.as_ref().is_none_or(|key| !taken.contains(key)));
        }
        if wish.to != wish.path {
            self.laid.files.insert(wish.path.clone(), None);
        }
        if wish.to != wish.path || merged.bytes != theirs {
            self.laid.files.insert(wish.to.clone(), merged.bytes);
        }
        for conflict in merged.conflicts {
            if !self.elsewhere(&conflict, wish)? {
                self.conflicts.push(conflict);
            }
        }
        Ok(())
    }

    /// A lock is made, not merged: the step's own if nobody made another one since, else the one of now; it is made anew
    /// from the merged text where that needs it. Ids that were ever given stay given.
    fn lock(&mut self, wish: &Wish) -> Result<()> {
        let now = self.laid.read(&wish.path)?;
        let server = wish.to.strip_suffix("lock.toml").unwrap_or_default();
        let there = self.laid.read(&format!("{server}server.toml"))?.is_some();
        let mut bytes = if now == wish.base { wish.yours.clone() } else { now.clone() };
        let read = |bytes: &Option<Vec<u8>>| {
            let text = String::from_utf8(bytes.clone()?).ok()?;
            LockFile::parse(&wish.path, &text).ok()
        };
        // One that does not read has no ids to keep.
        if bytes.is_none() && there && read(&now).is_some() {
            bytes.clone_from(&now);
        }
        if !there && wish.yours.is_none() {
            bytes = None;
        }
        if bytes != now
            && let (Some(mut lock), Some(old)) = (read(&bytes), read(&now))
        {
            lock.users.extend(old.users);
            lock.groups.extend(old.groups);
            bytes = Some(lock.to_text().into_bytes());
        }
        if wish.to != wish.path {
            self.laid.files.insert(wish.path.clone(), None);
        }
        if wish.to != wish.path || bytes != now {
            self.laid.files.insert(wish.to.clone(), bytes);
        }
        Ok(())
    }

    /// What a server got since goes with it when the step renames it.
    fn rest_of_server(&mut self, from: &str, to: &str) -> Result<()> {
        let (Some((old, "server.toml")), Some((new, "server.toml"))) = (follow::server_of(from), follow::server_of(to))
        else {
            return Ok(());
        };
        let (old, new) = (format!("servers/{old}"), format!("servers/{new}"));
        for path in follow::files_below(&self.laid, &old)? {
            let to = format!("{new}{}", &path[old.len()..]);
            if let (Some(bytes), None) = (self.laid.read(&path)?, self.laid.read(&to)?) {
                self.laid.files.insert(path, None);
                self.laid.files.insert(to, Some(bytes));
            }
        }
        Ok(())
    }

    /// A key in conflict because it was moved since is changed where it is now.
    fn elsewhere(&mut self, c: &Conflict, wish: &Wish) -> Result<bool> {
        let (Some(key), None, None) = (&c.key, &c.theirs, &c.choice) else { return Ok(false) };
        let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap_or_default()).unwrap_or_default();
        let (base, yours) = (text(&wish.base), text(&wish.yours));
        let moved = Moved { path: &wish.to, key, base: &base, yours: &yours };
        let Some(texts) = moved.elsewhere(&self.laid)? else { return Ok(false) };
        self.laid.files.extend(texts.into_iter().map(|(path, text)| (path, Some(text.into_bytes()))));
        Ok(true)
    }

    /// The bytes of one side of the step.
    fn bytes(&self, change: &TreeChange, blob: Option<&Blob>) -> Result<Option<Vec<u8>>> {
        let Some(blob) = blob else { return Ok(None) };
        if !blob.is_file() {
            return Err(Error::mistake_with(
                format!(
                    "{} changes {}, which is a link or a submodule there; such a change is not made by itself",
                    short(&self.step.of),
                    change.path
                ),
                "make it with git, or make the other changes in a draft by hand",
            ));
        }
        let missing = || regrow_history::Error::Missing(blob.id.clone());
        Ok(Some(self.repo.at(&self.step.of).bytes_of(&blob.id).ok_or_else(missing)?))
    }
}

/// A draft's text on another base, or with other steps or decisions: what its steps give then, with the person's own
/// edits. These win over steps without asking, because they were made last.
pub(crate) fn recompose(repo: &Repo, draft: &DraftRef, base: &str, data: &Data) -> Result<NewFiles> {
    let old = Data::of(draft);
    let was = compose(repo, &draft.base, &old.steps, &old.decisions)?;
    let is = compose(repo, base, &data.steps, &data.decisions)?;
    let (before, now, tip) = (repo.at(&draft.base), repo.at(base), repo.at(&draft.tip));
    let mut out = NewFiles::new();
    for path in paths(draft, &was, &is) {
        let texts = [was.read(&before, &path)?, is.read(&now, &path)?, bytes_at(&tip, &path)?];
        let bytes = own_edits(&path, &texts)?;
        if bytes != bytes_at(&now, &path)? {
            out.insert(path, bytes);
        }
    }
    Ok(out)
}

/// All files that a draft or its steps touch.
pub(crate) fn paths(draft: &DraftRef, was: &Composed, is: &Composed) -> BTreeSet<String> {
    let own = draft.paths.iter().map(|p| &p.path);
    own.chain(was.files.keys()).chain(is.files.keys()).cloned().collect()
}

fn own_edits(path: &str, [was, is, tip]: &[Option<Vec<u8>>; 3]) -> Result<Option<Vec<u8>>> {
    let texts = [was.as_deref(), is.as_deref(), tip.as_deref()];
    let open = merge::merge(path, texts, With::Draft, &Choices::new())?;
    if open.conflicts.is_empty() {
        return Ok(open.bytes);
    }
    let own: Choices = open.conflicts.into_iter().map(|c| (c.key, Choice::Ours)).collect();
    Ok(merge::merge(path, texts, With::Draft, &own)?.bytes)
}

/// Writes a draft with other data: with its steps as they are then, if it has any. Returns its tip.
pub(crate) fn rewrite(
    ctx: &Context,
    repo: &Repo,
    draft: &DraftRef,
    title: Option<&str>,
    data: &Data,
) -> Result<String> {
    let unchanged = Data::of(draft).steps.is_empty() && data.steps.is_empty();
    let (files_of, files) = match unchanged {
        true => (&draft.tip, NewFiles::new()),
        false => (&draft.base, recompose(repo, draft, &draft.base, data)?),
    };
    let like = data.steps.iter().flat_map(|s| [Some(&*s.of), s.parent.as_deref()]).flatten().collect::<Vec<_>>();
    let json = data.to_json();
    let title = title.unwrap_or(&draft.title);
    let change = DraftChange { files_of, title, ..draft.change(ctx.now(), &json, &files) };
    Ok(repo.write_draft_like(&change, &like)?)
}
