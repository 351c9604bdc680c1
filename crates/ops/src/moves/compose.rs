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

use regrow_config::Files;
use regrow_config::merge::Choice;
use regrow_history::{Blob, DraftChange, DraftRef, Repo, TreeChange};

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
    for step in steps.iter().filter(|s| s.on) {
        let files = std::mem::take(&mut out.files);
        let mut at = At { repo, laid: Laid { below: &below, files }, step, decisions, conflicts: Vec::new() };
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
    laid: Laid<'a>,
    step: &'a Step,
    decisions: &'a [Decision],
    conflicts: Vec<Conflict>,
}

impl At<'_> {
    fn run(&mut self) -> Result<()> {
        let (from, to) = self.step.sides();
        for change in self.repo.tree_changes(from, to)? {
            self.file(&change)?;
        }
        Ok(())
    }

    fn file(&mut self, change: &TreeChange) -> Result<()> {
        let (base, yours) = (self.bytes(change, change.before.as_ref())?, self.bytes(change, change.after.as_ref())?);
        let theirs = self.laid.read(&change.path)?;
        let texts = [base.as_deref(), theirs.as_deref(), yours.as_deref()];
        let merged = merge::decided(&change.path, texts, With::Step(self.step.id), self.decisions)?;
        self.conflicts.extend(merged.conflicts);
        self.write(&change.path, theirs.as_deref(), merged.bytes);
        Ok(())
    }

    fn write(&mut self, path: &str, before: Option<&[u8]>, bytes: Option<Vec<u8>>) {
        if bytes.as_deref() != before {
            self.laid.files.insert(path.to_owned(), bytes);
        }
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
    Ok(repo.write_draft(&DraftChange {
        id: &draft.id,
        expected: Some(&draft.tip),
        base: &draft.base,
        files_of,
        title: title.unwrap_or(&draft.title),
        owner: &draft.owner,
        created: draft.created,
        at: ctx.now(),
        data: &data.to_json(),
        files: &files,
    })?)
}
