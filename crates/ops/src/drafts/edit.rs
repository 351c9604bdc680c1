//! Changing a draft: by key, each change certified, or a whole file. The draft may have moved since the person looked
//! at it: then both changes are merged by key, and only the same key asks.

use std::collections::BTreeMap;

use regrow_config::edit::{self as text_edit, Edit, EditError, KeyChange, Patch, key_changes};
use regrow_config::{Files, KeyPath, Kind};
use regrow_history::{DraftChange, DraftRef, Repo};
use serde::{Deserialize, Serialize};

use super::land::Decision;
use super::merge::{self, Conflict, With};
use super::{DISK, Data, TRIES, bytes_at, open};
use crate::Answer;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::wanted::Overlay;

/// The largest file that can be written into a draft, in bytes.
pub const MOST_BYTES: usize = 1 << 20;

/// Where a change goes. As text: `server:web1`, `role:base`, `file:servers/web1/server.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// The file of the server that has the key, else the one whose object it belongs to, else its `server.toml`.
    Server(String),
    /// `roles/<name>.toml`.
    Role(String),
    /// A file, relative to the fleet.
    File(String),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Server(name) => write!(f, "server:{name}"),
            Target::Role(name) => write!(f, "role:{name}"),
            Target::File(path) => write!(f, "file:{path}"),
        }
    }
}

impl From<Target> for String {
    fn from(target: Target) -> String {
        target.to_string()
    }
}

impl TryFrom<String> for Target {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Target, String> {
        match text.split_once(':') {
            Some(("server", name)) if is_name(name) => Ok(Target::Server(name.to_owned())),
            Some(("role", name)) if is_name(name) => Ok(Target::Role(name.to_owned())),
            Some(("file", path)) => Ok(Target::File(path.to_owned())),
            _ => Err(format!("{text} is no place for an edit; it is server:NAME, role:NAME or file:PATH")),
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0', '\n'])
}

/// Changes that belong together in one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// Where.
    pub target: Target,
    /// What.
    pub edits: Vec<Edit>,
}

/// A change that was refused; then none was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The key, as it was given.
    pub key: String,
    /// Why, in words.
    pub message: String,
}

/// What became of an edit.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Edited {
    /// It is in the draft.
    Saved(Saved),
    /// The text says so already; nothing was done.
    Nothing {
        /// The draft's tip.
        tip: String,
    },
    /// Some changes cannot be made; none was.
    Refused {
        /// Which, and why.
        refusals: Vec<Refusal>,
    },
    /// Somebody else changed the same keys since; nothing was done.
    Clash {
        /// The draft's tip that it clashes with: sending it again with this tip overwrites knowingly.
        tip: String,
        /// The keys with the value before, theirs now, and yours.
        conflicts: Vec<Conflict>,
    },
}

impl Answer for Edited {
    fn is_yes(&self) -> bool {
        matches!(self, Edited::Saved(_) | Edited::Nothing { .. })
    }
}

/// An edit that is in the draft.
#[derive(Debug, Serialize)]
pub struct Saved {
    /// The draft.
    pub draft: String,
    /// Its new tip.
    pub tip: String,
    /// What changed in which file.
    pub files: Vec<SavedFile>,
}

/// A changed file.
#[derive(Debug, Serialize)]
pub struct SavedFile {
    /// Relative to the fleet.
    pub path: String,
    /// The keys that changed; empty for a change of comments, and for files that are not TOML.
    pub keys: Vec<KeyChange>,
    /// How many lines are not as before.
    pub lines: usize,
    /// How many lines are untouched, byte for byte.
    pub untouched: usize,
}

/// New bytes by path; `None` removes the file.
type NewFiles = BTreeMap<String, Option<Vec<u8>>>;

/// Which draft a change goes into.
#[derive(Debug, Clone, Copy)]
pub enum Into<'a> {
    /// This one.
    Draft(&'a str),
    /// A new one on the last changeset, which is made only if the change is.
    New {
        /// What it is called; without a title it is called after its owner.
        title: Option<&'a str>,
        /// Who makes it.
        owner: &'a str,
    },
}

/// What the person looked at, and what they decided since.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen<'a> {
    /// The revision that the form was drawn from, if it is known: a tip, or a changeset.
    pub tip: Option<&'a str>,
    /// Decisions about clashes that an earlier try said ([`Edited::Clash`]).
    pub decisions: &'a [Decision],
}

/// Makes changes in a draft. `expected` is the revision that the person looked at, if it is known.
///
/// # Errors
/// If there is no such draft, or a target cannot be. Changes that cannot be made are [`Edited::Refused`].
pub fn edit(ctx: &Context, id: &str, expected: Option<&str>, wishes: &[Wish]) -> Result<Edited> {
    edit_seen(ctx, Into::Draft(id), Seen { tip: expected, decisions: &[] }, wishes)
}

/// [`edit`], also into a new draft, and with decisions about clashes.
pub fn edit_seen(ctx: &Context, into: Into<'_>, seen: Seen<'_>, wishes: &[Wish]) -> Result<Edited> {
    change(ctx, into, seen, |files| make(files, wishes))
}

/// Makes a whole file what the person typed; `None` removes it. `expected` is the revision that they looked at.
pub fn write_file(ctx: &Context, id: &str, expected: Option<&str>, path: &str, bytes: Option<&[u8]>) -> Result<Edited> {
    write_file_seen(ctx, Into::Draft(id), Seen { tip: expected, decisions: &[] }, path, |_| bytes.map(<[u8]>::to_vec))
}

/// [`write_file`], also into a new draft, and with decisions about clashes. The new bytes may depend on those that the
/// person saw.
pub fn write_file_seen(
    ctx: &Context,
    into: Into<'_>,
    seen: Seen<'_>,
    path: &str,
    bytes: impl Fn(Option<&[u8]>) -> Option<Vec<u8>>,
) -> Result<Edited> {
    change(ctx, into, seen, |files| {
        let bytes = bytes(files.read(path)?.as_deref());
        if bytes.as_ref().is_some_and(|b| b.len() > MOST_BYTES) {
            let message = format!(
                "{path} would be larger than {} MiB; put large things into a package or into state",
                MOST_BYTES >> 20
            );
            return Ok(Err(vec![Refusal { key: String::new(), message }]));
        }
        Ok(Ok(NewFiles::from([(path.to_owned(), bytes)])))
    })
}

/// Makes a change on the text that the person saw, merges it into the draft as it is, and saves that.
fn change(
    ctx: &Context,
    into: Into<'_>,
    seen: Seen<'_>,
    make: impl Fn(&dyn Files) -> Result<std::result::Result<NewFiles, Vec<Refusal>>>,
) -> Result<Edited> {
    let repo = open(ctx)?;
    for _ in 0..TRIES {
        let (draft, is_new) = match into {
            Into::Draft(DISK) => {
                return Err(Error::mistake_with(
                    "edits on disk are made in an editor",
                    "make a draft for changes from here",
                ));
            }
            Into::Draft(id) => (repo.draft(id)?, false),
            Into::New { title, owner } => (unborn(ctx, &repo, title, owner)?, true),
        };
        let now = repo.at(&draft.tip);
        // A page that is so old that git has forgotten its text is taken as if it had shown the base.
        let shown = seen.tip.filter(|e| *e != draft.tip).map(|e| repo.resolve(e).unwrap_or(draft.base.clone()));
        let made = match &shown {
            None => make(&now)?,
            Some(shown) => make(&repo.at(shown))?,
        };
        let mut new = match made {
            Ok(new) => new,
            Err(refusals) => return Ok(Edited::Refused { refusals }),
        };
        let mut conflicts = Vec::new();
        if let Some(shown) = &shown {
            let shown = repo.at(shown);
            for (path, yours) in &mut new {
                let (base, theirs) = (bytes_at(&shown, path)?, bytes_at(&now, path)?);
                let texts = [base.as_deref(), theirs.as_deref(), yours.as_deref()];
                let merged = merge::decided(path, texts, With::Draft, seen.decisions)?;
                conflicts.extend(merged.conflicts);
                *yours = merged.bytes;
            }
        }
        if conflicts.iter().any(|c| c.choice.is_none()) {
            return Ok(Edited::Clash { tip: draft.tip, conflicts });
        }
        match save(ctx, &repo, &draft, is_new, new) {
            Err(Error::History(regrow_history::Error::DraftMoved(_))) => {}
            other => return other,
        }
    }
    Err(regrow_history::Error::Moved.into())
}

/// A draft that is not there yet.
fn unborn(ctx: &Context, repo: &Repo, title: Option<&str>, owner: &str) -> Result<DraftRef> {
    let Some(head) = repo.head()?.commit else { return Err(regrow_history::Error::Unborn.into()) };
    let (title, owner) = super::named(title, owner);
    Ok(DraftRef {
        id: repo.free_draft_id()?,
        tip: head.clone(),
        base: head,
        title,
        owner,
        created: ctx.now(),
        changed: ctx.now(),
        data: Data::default().to_json(),
        paths: Vec::new(),
    })
}

fn save(ctx: &Context, repo: &Repo, draft: &DraftRef, is_new: bool, mut new: NewFiles) -> Result<Edited> {
    let now = repo.at(&draft.tip);
    let mut files = Vec::new();
    let mut unchanged = Vec::new();
    for (path, after) in &new {
        let before = bytes_at(&now, path)?;
        if before == *after {
            unchanged.push(path.clone());
        } else {
            files.push(saved_file(path, before.as_deref(), after.as_deref()));
        }
    }
    new.retain(|path, _| !unchanged.contains(path));
    if new.is_empty() {
        return Ok(Edited::Nothing { tip: draft.tip.clone() });
    }
    let before = (!is_new).then_some(&*draft.tip);
    let json = Data::of(draft).to_json();
    let tip = repo.write_draft(&DraftChange { expected: before, ..draft.change(ctx.now(), &json, &new) })?;
    super::record(ctx, "edit", &words(&draft.id, &files), before, &DraftRef { tip: tip.clone(), ..draft.clone() });
    Ok(Edited::Saved(Saved { draft: draft.id.clone(), tip, files }))
}

/// What an edit did: which keys it changed, or which files. Not to which values.
fn words(draft: &str, files: &[SavedFile]) -> String {
    let mut what: Vec<String> = files.iter().flat_map(|f| f.keys.iter().map(|k| k.key.to_string())).collect();
    if what.is_empty() {
        what = files.iter().map(|f| f.path.clone()).collect();
    }
    format!("changed {} in the draft {draft}", what.join(", "))
}

/// What changed in a file.
pub(crate) fn saved_file(path: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> SavedFile {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).ok();
    let (Some(old), Some(new)) = (text(before), text(after)) else {
        return SavedFile { path: path.to_owned(), keys: Vec::new(), lines: 0, untouched: 0 };
    };
    let keys = if path.ends_with(".toml") { key_changes(&old, &new) } else { Vec::new() };
    let patch = Patch::between(&old, &new);
    let lines = |text: &str| text.split_inclusive('\n').count();
    let touched = match patch.edits.first() {
        None => 0,
        Some((range, with)) => {
            let start = old[..range.start].rfind('\n').map_or(0, |n| n + 1);
            let end = old[range.end..].find('\n').map_or(old.len(), |n| range.end + n + 1);
            let new_end = old[range.end..end].len() + (range.start - start) + with.len();
            lines(&old[start..end]).max(lines(&new[start..(start + new_end).min(new.len())]))
        }
    };
    SavedFile { path: path.to_owned(), keys, lines: touched, untouched: lines(&new).saturating_sub(touched) }
}

/// Makes the wishes on these files.
fn make(files: &dyn Files, wishes: &[Wish]) -> Result<std::result::Result<NewFiles, Vec<Refusal>>> {
    let mut after: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut refusals = Vec::new();
    for wish in wishes {
        for edit in &wish.edits {
            let refused = |e: &dyn std::fmt::Display| Refusal { key: edit.key().to_owned(), message: e.to_string() };
            let overlay = Overlay::new(files, after.clone());
            let path = match path_of(&overlay, &wish.target, edit)? {
                Ok(path) => path,
                Err(e) => {
                    refusals.push(refused(&e));
                    continue;
                }
            };
            let Ok(text) = String::from_utf8(overlay.read(&path)?.unwrap_or_default()) else {
                refusals.push(refused(&EditError::NotText { path }));
                continue;
            };
            match text_edit::apply(&text, edit) {
                Ok(patch) => {
                    after.insert(path, patch.apply(&text).into_bytes());
                }
                Err(e) => refusals.push(refused(&e)),
            }
        }
    }
    if !refusals.is_empty() {
        return Ok(Err(refusals));
    }
    Ok(Ok(after.into_iter().map(|(path, bytes)| (path, Some(bytes))).collect()))
}

/// The file that an edit goes into.
fn path_of(files: &dyn Files, target: &Target, edit: &Edit) -> Result<std::result::Result<String, EditError>> {
    let path = match target {
        Target::Server(server) => return home(files, server, edit.key()),
        Target::Role(role) => format!("roles/{role}.toml"),
        Target::File(path) => path.clone(),
    };
    if !path.ends_with(".toml") || merge::is_lock(&path) {
        return Err(Error::mistake_with(
            format!("{path} has no keys to change"),
            "change it as text; locks are made with: regrow lock",
        ));
    }
    Ok(Ok(path))
}

/// The file of a server that shares most of the way to a key; without any, `server.toml`.
fn home(files: &dyn Files, server: &str, key: &str) -> Result<std::result::Result<String, EditError>> {
    let dir = format!("servers/{server}");
    let main = format!("{dir}/server.toml");
    let key = match KeyPath::parse(key) {
        Ok(key) => key,
        Err(e) => return Ok(Err(e.into())),
    };
    let mut best = (0, main.clone());
    let mut there = false;
    for entry in files.list(&dir)? {
        let text_file = entry.name.ends_with(".toml") && entry.name != "lock.toml" && !entry.name.starts_with('.');
        if entry.kind != Kind::File || !text_file {
            continue;
        }
        there = true;
        let path = format!("{dir}/{}", entry.name);
        let Ok(text) = String::from_utf8(files.read(&path)?.unwrap_or_default()) else { continue };
        let shared = |found: &KeyPath| found.0.iter().zip(&key.0).take_while(|(a, b)| a == b).count();
        let depth = text_edit::places(&text).iter().map(|(found, _)| shared(found)).max().unwrap_or(0);
        if depth > best.0 || (depth == best.0 && path == main) {
            best = (depth, path);
        }
    }
    if !there {
        return Ok(Err(EditError::NoServer { server: server.to_owned() }));
    }
    Ok(Ok(best.1))
}
