//! From draft to changeset.
//!
//! The draft's changes are merged into the last changeset, and then into the text on disk, so that hand edits stay hand
//! edits: what is committed has only the draft's changes, what is on disk has both. Where the same key was changed in
//! two ways, nothing lands: the person decides ([`choose`]), and the decision is kept with the draft. A decision holds
//! for the values that it was made about; if one of them changes, it is asked again.

use std::collections::BTreeMap;

use regrow_config::edit::{self as text_edit, Edit};
use regrow_config::merge::Choice;
use regrow_config::{DiskFiles, Files, KeyPath};
use regrow_history::{Change, DraftChange, DraftRef, Head, Landing, Repo, State};
use regrow_host::words::count;
use serde::{Deserialize, Serialize};

use super::merge::{self, Conflict, With};
use super::{DISK, Data, TRIES, bytes_at, open, relock, suggest, who};
use crate::Answer;
use crate::acts::{self, Act};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::evidence;
use crate::lock::LockReport;
use crate::moves::{compose, step};
use crate::undo::Way;

/// A decision about a conflict, with the values that it was made about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The file.
    pub path: String,
    /// The key; `None` for the whole file.
    pub key: Option<KeyPath>,
    /// What the draft was in conflict with.
    pub with: With,
    /// The value there.
    pub theirs: Option<String>,
    /// The draft's value.
    pub yours: Option<String>,
    /// What was chosen.
    pub choice: Choice,
}

/// What became of a landing.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It is a changeset.
    Landed(Landed),
    /// Keys must be decided first; nothing was done.
    Conflicts {
        /// All of them, also those that are decided already.
        conflicts: Vec<Conflict>,
    },
}

impl Answer for Outcome {
    fn is_yes(&self) -> bool {
        matches!(self, Outcome::Landed(_))
    }
}

/// A draft that is a changeset now.
#[derive(Debug, Serialize)]
pub struct Landed {
    /// The changeset.
    pub revision: String,
    /// Its message.
    pub message: String,
    /// The files it changes.
    pub files: Vec<String>,
    /// New locks, if the change made them necessary.
    pub locks: Vec<LockReport>,
    /// Files that keep edits on disk that are not in the changeset.
    pub still_edited: Vec<String>,
}

/// A draft merged with what is there now.
pub(crate) struct Taken {
    pub(crate) head: Head,
    /// The head's commit.
    pub(crate) commit: String,
    /// New bytes by path, over the head.
    pub(crate) files: BTreeMap<String, Option<Vec<u8>>>,
    pub(crate) conflicts: Vec<Conflict>,
}

impl Taken {
    pub(crate) fn is_decided(&self) -> bool {
        self.conflicts.iter().all(|c| c.choice.is_some())
    }
}

/// Merges a draft into the last changeset.
pub(crate) fn take(repo: &Repo, draft: &DraftRef) -> Result<Taken> {
    let head = repo.head()?;
    let Some(commit) = head.commit.clone() else { return Err(regrow_history::Error::Unborn.into()) };
    let (base, tip, now) = (repo.at(&draft.base), repo.at(&draft.tip), repo.at(&commit));
    let Data { decisions, steps, .. } = Data::of(draft);
    // The draft's own edits are what it has beyond what its steps give: these are made anew on the last changeset.
    let was = compose::compose(repo, &draft.base, &steps, &decisions)?;
    let is = if draft.base == commit { was.clone() } else { compose::compose(repo, &commit, &steps, &decisions)? };
    let conflicts = is.conflicts.clone();
    let mut taken = Taken { head, commit: commit.clone(), files: BTreeMap::new(), conflicts };
    for path in compose::paths(draft, &was, &is) {
        let yours = bytes_at(&tip, &path)?;
        let there = bytes_at(&now, &path)?;
        let bytes = if draft.base == commit {
            yours
        } else {
            let (base, theirs) = (was.read(&base, &path)?, is.read(&now, &path)?);
            let texts = [base.as_deref(), theirs.as_deref(), yours.as_deref()];
            let merged = merge::decided(&path, texts, With::Changeset, &decisions)?;
            taken.conflicts.extend(merged.conflicts);
            merged.bytes
        };
        if bytes != there {
            taken.files.insert(path, bytes);
        }
    }
    Ok(taken)
}

/// A file of a landing.
pub(crate) struct Placed {
    pub(crate) change: Change,
    pub(crate) conflicts: Vec<Conflict>,
}

/// Brings one file's change together with what is on disk.
pub(crate) fn place(path: &str, texts: [Option<Vec<u8>>; 3], decisions: &[Decision]) -> Result<Placed> {
    let [head, disk, new] = texts;
    if disk == head {
        return Ok(Placed { change: Change::new(path, head, new), conflicts: Vec::new() });
    }
    if merge::is_lock(path) {
        // A lock that was made for edits on disk belongs to them.
        let change = Change { path: path.to_owned(), based_on: disk.clone(), committed: new, on_disk: disk };
        return Ok(Placed { change, conflicts: Vec::new() });
    }
    let merged = merge::decided(path, [head.as_deref(), disk.as_deref(), new.as_deref()], With::Disk, decisions)?;
    let mut committed = new;
    if merged.is_decided() {
        for c in &merged.conflicts {
            committed = agree(c, head.as_deref(), disk.as_deref(), committed)?;
        }
    }
    let change = Change { path: path.to_owned(), based_on: disk, committed, on_disk: merged.bytes };
    Ok(Placed { change, conflicts: merged.conflicts })
}

/// What is decided between the draft and an edit on disk holds for both.
fn agree(
    c: &Conflict,
    head: Option<&[u8]>,
    disk: Option<&[u8]>,
    committed: Option<Vec<u8>>,
) -> Result<Option<Vec<u8>>> {
    let Some(choice) = &c.choice else { return Ok(committed) };
    let Some(key) = &c.key else {
        return Ok(match choice {
            Choice::Base => head.map(<[u8]>::to_vec),
            Choice::Theirs => disk.map(<[u8]>::to_vec),
            Choice::Value(text) => Some(text.clone().into_bytes()),
            Choice::Ours => committed,
        });
    };
    let value = match choice {
        Choice::Ours => return Ok(committed),
        Choice::Base => c.base.clone(),
        Choice::Theirs => c.theirs.clone(),
        Choice::Value(value) => Some(value.clone()),
    };
    let Ok(text) = String::from_utf8(committed.clone().unwrap_or_default()) else { return Ok(committed) };
    let key = key.to_string();
    let edit = match value {
        Some(value) => Edit::Set { key, value },
        None => Edit::Unset { key, comments: Default::default() },
    };
    Ok(Some(text_edit::apply(&text, &edit)?.apply(&text).into_bytes()))
}

/// Everything about a landing, worked out; nothing is written yet.
struct Plan {
    draft: DraftRef,
    taken: Taken,
    changes: Vec<Change>,
    conflicts: Vec<Conflict>,
    locks: Vec<LockReport>,
}

fn plan(ctx: &Context, repo: &Repo, id: &str, with_locks: bool) -> Result<Plan> {
    let draft = repo.draft(id)?;
    let mut taken = take(repo, &draft)?;
    let decisions = Data::of(&draft).decisions;
    let disk = DiskFiles::new(ctx.fleet()?)?;
    let now = repo.at(&taken.commit);
    let mut conflicts = taken.conflicts.clone();
    let mut locks = Vec::new();
    if with_locks && taken.is_decided() {
        locks = relock::relock(ctx, &now, &mut taken.files)?;
    }
    let mut changes = Vec::new();
    for (path, new) in &taken.files {
        let texts = [bytes_at(&now, path)?, disk.read(path)?, new.clone()];
        let placed = place(path, texts, &decisions)?;
        conflicts.extend(placed.conflicts);
        changes.push(placed.change);
    }
    Ok(Plan { draft, taken, changes, conflicts, locks })
}

/// What must be decided, or was, before a draft can land: with later changesets, and with edits on disk.
pub fn conflicts(ctx: &Context, id: &str) -> Result<Vec<Conflict>> {
    if id == DISK {
        return Ok(Vec::new());
    }
    let repo = open(ctx)?;
    let Plan { draft, taken, mut conflicts, .. } = plan(ctx, &repo, id, false)?;
    who::fill(ctx, &repo, &draft, &taken.commit, &mut conflicts)?;
    Ok(conflicts)
}

/// Refuses a revision that is a draft with something to decide: its text is not what anybody wants yet.
pub(crate) fn check_decided(ctx: &Context, revision: Option<&str>) -> Result<()> {
    let Some(revision) = revision else { return Ok(()) };
    let repo = open(ctx)?;
    let commit = repo.resolve(revision)?;
    let Some(draft) = repo.drafts()?.into_iter().find(|d| d.tip == commit) else { return Ok(()) };
    let open = take(&repo, &draft)?.conflicts.iter().filter(|c| c.choice.is_none()).count();
    if open == 0 {
        return Ok(());
    }
    let places = count(open, "place", "places");
    Err(Error::mistake_with(
        format!("the draft {} has {places} to decide before it can be built", draft.id),
        format!("see them with: regrow resolve {}", draft.id),
    ))
}

/// Decides a conflict; the decision is kept with the draft. `None` as the choice takes the decision back.
///
/// # Errors
/// If there is no such conflict, or a value is no value.
pub fn choose(
    ctx: &Context,
    id: &str,
    path: &str,
    key: Option<&KeyPath>,
    with: With,
    choice: Option<Choice>,
) -> Result<Vec<Conflict>> {
    let found = conflicts(ctx, id)?;
    let Some(c) = found.into_iter().find(|c| c.path == path && c.key.as_ref() == key && c.with == with) else {
        return Err(nothing_there(path, key));
    };
    let undo = choice.is_none();
    let choice = choice.unwrap_or(Choice::Ours);
    let decision = Decision { path: c.path, key: c.key, with, theirs: c.theirs, yours: c.yours, choice };
    change_decisions(ctx, id, std::slice::from_ref(&decision), undo)
}

/// Keeps decisions, each about the values that it names; returns all conflicts, decided or not. A decision about other
/// values than those that are there now is not kept: the person has not seen them.
///
/// # Errors
/// If a value is no value; then none is kept.
pub fn decide(ctx: &Context, id: &str, decisions: &[Decision]) -> Result<Vec<Conflict>> {
    change_decisions(ctx, id, decisions, false)
}

fn nothing_there(path: &str, key: Option<&KeyPath>) -> Error {
    let what = key.map_or_else(|| path.to_owned(), |key| format!("{key} in {path}"));
    Error::mistake_with(format!("there is nothing to decide about {what} any more"), "look at the draft again")
}

fn change_decisions(ctx: &Context, id: &str, decisions: &[Decision], undo: bool) -> Result<Vec<Conflict>> {
    if !undo {
        for decision in decisions {
            check_value(&decision.choice, decision.key.as_ref())?;
        }
    }
    let repo = open(ctx)?;
    super::retried(id, || {
        let plan = plan(ctx, &repo, id, false)?;
        let mut data = Data::of(&plan.draft);
        let before = data.clone();
        for decision in decisions {
            let about = |path: &str, key: &Option<KeyPath>, with: With| {
                path == decision.path && *key == decision.key && with == decision.with
            };
            let is_there = plan
                .conflicts
                .iter()
                .any(|c| about(&c.path, &c.key, c.with) && c.theirs == decision.theirs && c.yours == decision.yours);
            if is_there {
                data.decisions.retain(|d| !about(&d.path, &d.key, d.with));
                if !undo {
                    data.decisions.push(decision.clone());
                }
            }
        }
        if data == before {
            return Ok(plan.conflicts);
        }
        let tip = compose::rewrite(ctx, &repo, &plan.draft, None, &data)?;
        let words = if undo { "took a decision back in" } else { "decided a conflict in" };
        let after = DraftRef { tip, ..plan.draft.clone() };
        super::record(ctx, "decide", &format!("{words} the draft {id}"), Some(&plan.draft.tip), &after);
        conflicts(ctx, id)
    })
}

/// Refuses a value that could not stand in a text.
fn check_value(choice: &Choice, key: Option<&KeyPath>) -> Result<()> {
    if let (Choice::Value(value), Some(_)) = (choice, key) {
        text_edit::apply("", &Edit::Set { key: "value".to_owned(), value: value.clone() })?;
    }
    Ok(())
}

/// Makes a draft one changeset. Without a message, one is suggested in words.
///
/// # Errors
/// If the draft changes nothing, the branch cannot take a changeset now, or a file cannot be written: then text and
/// history are as they were.
pub fn land(ctx: &Context, id: &str, message: Option<&str>) -> Result<Outcome> {
    if message.is_some_and(|m| m.trim().is_empty()) {
        return Err(Error::mistake_with("the message is empty", "say in a few words what the change is for"));
    }
    if id == DISK {
        return super::disk::land_disk(ctx, None, message).map(Outcome::Landed);
    }
    let repo = open(ctx)?;
    for _ in 0..TRIES {
        let plan = plan(ctx, &repo, id, true)?;
        if plan.conflicts.iter().any(|c| c.choice.is_none()) {
            return Ok(Outcome::Conflicts { conflicts: plan.conflicts });
        }
        // It may have been merged by git meanwhile.
        let merges = match Data::of(&plan.draft).merges {
            Some(other) if !repo.is_in_head(&other)? => Some(other),
            _ => None,
        };
        if plan.taken.files.is_empty() && merges.is_none() {
            return Err(Error::unchanged(
                format!("the draft {id} changes nothing"),
                format!("change something in it first, or discard it: regrow draft discard {id}"),
            ));
        }
        let steps: Vec<_> = Data::of(&plan.draft).steps.into_iter().filter(|s| s.on).collect();
        let message = match message {
            Some(message) => step::with_provenance(message, &steps),
            None if !steps.is_empty() => step::message(&repo, &steps)?,
            None => suggest::of_files(&repo.at(&plan.taken.commit), &plan.taken.files)?,
        };
        let landed = repo.land(&Landing {
            author: Some(&plan.draft.owner),
            merges: merges.as_deref(),
            draft: Some((&plan.draft.id, &plan.draft.tip)),
            ..Landing::new(&plan.changes, &message, &plan.taken.head, ctx.now())
        });
        match landed {
            Ok(landed) => {
                record(ctx, &format!("the draft {id}"), &message, &landed.revision);
                // It has landed, whatever fails from here on.
                let differs = repo.changed(State::Commit(&plan.draft.tip), State::Commit(&landed.revision));
                if differs.is_ok_and(|paths| paths.is_empty()) {
                    let _ = evidence::carry(ctx, &plan.draft.tip, &landed.revision);
                }
                let edited = |c: &&Change| c.committed != c.on_disk;
                return Ok(Outcome::Landed(Landed {
                    revision: landed.revision,
                    message,
                    files: plan.changes.iter().map(|c| c.path.clone()).collect(),
                    locks: plan.locks,
                    still_edited: plan.changes.iter().filter(edited).map(|c| c.path.clone()).collect(),
                }));
            }
            // Somebody was quicker, or an editor saved in between: look again.
            Err(
                regrow_history::Error::Moved
                | regrow_history::Error::DraftMoved(_)
                | regrow_history::Error::HandEdits { .. },
            ) => {}
            Err(regrow_history::Error::Nothing) => {
                return Err(Error::unchanged(
                    format!("the last changeset says already what the draft {id} says"),
                    format!("it can be discarded: regrow draft discard {id}"),
                ));
            }
            Err(e) => return Err(e.into()),
        }
    }
    Err(regrow_history::Error::Moved.into())
}

/// Records that something became a changeset.
pub(crate) fn record(ctx: &Context, what: &str, message: &str, revision: &str) {
    let subject = message.lines().next().unwrap_or_default();
    let act = Act::new("land", format!("landed {what} as a changeset: {subject}"));
    acts::record(ctx, &act.undone_by(Way::Landed { revision: revision.to_owned() }));
}

/// Brings a draft onto the last changeset, with its decisions. Returns what is left to decide; then nothing is done.
pub(crate) fn refresh(
    ctx: &Context,
    repo: &Repo,
    id: &str,
    locks: bool,
) -> Result<(DraftRef, Vec<LockReport>, Vec<Conflict>)> {
    super::retried(id, || {
        let draft = repo.draft(id)?;
        let mut taken = take(repo, &draft)?;
        if !taken.is_decided() {
            return Ok((draft, Vec::new(), taken.conflicts));
        }
        let before = taken.files.clone();
        let reports = if locks { relock::relock(ctx, &repo.at(&taken.commit), &mut taken.files)? } else { Vec::new() };
        if draft.base == taken.commit && before == taken.files {
            return Ok((draft, reports, Vec::new()));
        }
        let mut data = Data::of(&draft);
        data.decisions.retain(|d| d.with != With::Changeset);
        let json = data.to_json();
        let change = draft.change(draft.changed, &json, &taken.files);
        repo.write_draft(&DraftChange { base: &taken.commit, files_of: &taken.commit, ..change })?;
        Ok((repo.draft(id)?, reports, Vec::new()))
    })
}
