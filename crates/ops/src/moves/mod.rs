//! Moves of history: changesets taken back ([`revert`]) or carried over ([`pick`]), one, several or a range, long after.
//!
//! ```text
//! revisions ──► steps in order (step) ──► merged in memory onto the draft's base (compose) ──► a draft
//!                                                │ conflicts: data, with who and why (who)        │ steps ticked on and off,
//!                                                └ what later changesets need of it (depend)      │ reordered… (desk)
//!                                                                                                 └► landed as any draft
//! ```
//!
//! [`split`] puts a part of a draft into another one; [`land_separately`] makes each step a changeset of its own.
//!
//! A move is a draft until it lands: it is looked at, built, tried and landed as any other. `main` is never rewritten.
//! Nothing here needs a work tree, and until the draft's ref moves (by compare-and-swap) nothing has happened.

pub(crate) mod compose;
pub mod depend;
pub mod desk;
mod follow;
mod separate;
mod split;
pub(crate) mod step;

use regrow_history::{DraftRef, Head, Repo};
use serde::Serialize;

use crate::Answer;
use crate::context::Context;
use crate::drafts::{self, Conflict, DISK, Data, Draft, Landed, Outcome};
use crate::error::{Error, Result};
use crate::wanted::short;
use compose::Composed;

pub use depend::{Dependency, dependencies};
pub use desk::{Change, Steps, set_step, steps};
pub use separate::{Separately, land_separately};
pub use split::{Part, split};
pub use step::{Step, StepKind};

/// How a move is to be made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The draft that the steps are added to; without one, a new draft on the last changeset.
    pub onto: Option<&'a str>,
    /// Whether it lands at once, if there is nothing to decide.
    pub land: bool,
    /// Whether the changesets that depend on it ([`dependencies`]) are moved with it.
    pub with: bool,
    /// Which parent the change of a merge is taken against, from 1; the first, if nothing is said.
    pub parent: Option<usize>,
    /// What the draft is called, and the changeset says; else it is suggested.
    pub message: Option<&'a str>,
}

/// What a move came to.
#[derive(Debug, Serialize)]
pub struct MoveReport {
    /// What was done with the changesets.
    pub kind: StepKind,
    /// The steps that were added, in order.
    pub steps: Vec<Step>,
    /// The draft they are in; `None` if it has landed.
    pub draft: Option<Draft>,
    /// The changeset, if it has landed.
    pub revision: Option<String>,
    /// What landed.
    pub landed: Option<Landed>,
    /// What must be decided first, or was.
    pub conflicts: Vec<Conflict>,
    /// Other changesets that belong to these: of a revert, later ones that stand on them; of a pick, those that it needs.
    pub dependencies: Vec<Dependency>,
    /// The steps that change nothing here, by their ids.
    pub without_effect: Vec<u32>,
}

impl MoveReport {
    /// How many places wait for a decision.
    pub fn undecided(&self) -> usize {
        self.conflicts.iter().filter(|c| c.choice.is_none()).count()
    }
}

impl Answer for MoveReport {
    fn is_yes(&self) -> bool {
        self.undecided() == 0
    }
}

/// Takes changesets back, the newest first, whatever came after them.
///
/// A revision is a changeset in git's words, or a range `A..B`: what B has and A has not.
///
/// # Errors
/// If a revision is unknown or the first changeset, or nothing would change; then nothing was done.
pub fn revert(ctx: &Context, revisions: &[&str], options: Options<'_>) -> Result<MoveReport> {
    make(ctx, StepKind::Revert, revisions, options)
}

/// Makes the changes of changesets once more, the oldest first, wherever they are.
///
/// # Errors
/// As [`revert`].
pub fn pick(ctx: &Context, revisions: &[&str], options: Options<'_>) -> Result<MoveReport> {
    make(ctx, StepKind::Pick, revisions, options)
}

/// What [`revert`] or [`pick`] would come to, without making anything: on the last changeset, or on a draft as it is.
///
/// # Errors
/// As [`revert`].
pub fn preview(ctx: &Context, kind: StepKind, revisions: &[&str], options: Options<'_>) -> Result<Preview> {
    let repo = ctx.repo()?;
    let (base, text) = match options.onto {
        Some(id) => repo.draft(id).map(|d| (d.base, d.tip))?,
        None => repo.commit("HEAD").map(|head| (head.id.clone(), head.id))?,
    };
    let (mut steps, dependencies) = wanted(ctx, &repo, kind, revisions, options, &base)?;
    number(&mut steps, &[]);
    let Composed { files, mut conflicts, without_effect } = compose::compose(&repo, &text, &steps, &[])?;
    drafts::who::fill_steps(ctx, &repo, &base, &steps, &mut conflicts)?;
    let before = repo.at(&text);
    let mut changed = Vec::new();
    for (path, bytes) in &files {
        changed.push(drafts::saved_file(path, drafts::bytes_at(&before, path)?.as_deref(), bytes.as_deref()));
    }
    Ok(Preview { steps, files: changed, conflicts, dependencies, without_effect: without_effect.into_iter().collect() })
}

/// What a move would come to.
#[derive(Debug, Serialize)]
pub struct Preview {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What they change in which file.
    pub files: Vec<drafts::SavedFile>,
    /// What would have to be decided.
    pub conflicts: Vec<Conflict>,
    /// As in [`MoveReport::dependencies`].
    pub dependencies: Vec<Dependency>,
    /// The steps that change nothing here, by their ids.
    pub without_effect: Vec<u32>,
}

impl Answer for Preview {}

fn make(ctx: &Context, kind: StepKind, revisions: &[&str], options: Options<'_>) -> Result<MoveReport> {
    if options.onto == Some(DISK) {
        return Err(Error::mistake_with(
            "edits on disk take no steps: they are somebody\u{2019}s own work",
            "leave out --onto for a draft of its own, which is merged into the edits when it lands",
        ));
    }
    let repo = ctx.repo()?;
    let head = repo.head()?;
    let Some(commit) = &head.commit else { return Err(regrow_history::Error::Unborn.into()) };
    if options.land {
        repo.check_can_land(&head)?;
    }
    let (added, dependencies) = wanted(ctx, &repo, kind, revisions, options, commit)?;
    let (id, added) = match options.onto {
        Some(id) => (id.to_owned(), add_to(ctx, &repo, id, added)?),
        None => begin(ctx, &repo, &head, added, options.message)?,
    };
    let conflicts = drafts::conflicts(ctx, &id)?;
    let draft = repo.draft(&id)?;
    let without_effect = compose::compose(&repo, &draft.base, &Data::of(&draft).steps, &[])?.without_effect;
    let mut report = MoveReport {
        kind,
        without_effect: added.iter().map(|s| s.id).filter(|id| without_effect.contains(id)).collect(),
        steps: added,
        draft: Some(drafts::get(ctx, &id)?),
        revision: None,
        landed: None,
        conflicts,
        dependencies,
    };
    if options.land && report.undecided() == 0 {
        match drafts::land(ctx, &id, options.message) {
            Ok(Outcome::Landed(landed)) => {
                report.draft = None;
                report.revision = Some(landed.revision.clone());
                report.landed = Some(landed);
            }
            Ok(Outcome::Conflicts { conflicts }) => report.conflicts = conflicts,
            Err(e) => {
                // It was asked for as one: what did not land was not begun either.
                if options.onto.is_none() {
                    let _ = drafts::discard(ctx, &id);
                }
                return Err(e);
            }
        }
    }
    Ok(report)
}

/// The steps that are asked for, in order and not numbered yet, and what belongs to them.
fn wanted(
    ctx: &Context,
    repo: &Repo,
    kind: StepKind,
    revisions: &[&str],
    options: Options<'_>,
    base: &str,
) -> Result<(Vec<Step>, Vec<Dependency>)> {
    let mut commits = named(repo, revisions)?;
    let mut dependencies;
    loop {
        dependencies = depend::of_all(ctx, repo, kind, &commits, base)?;
        if !options.with || dependencies.is_empty() {
            break;
        }
        commits.extend(dependencies.iter().map(|d| d.changeset.clone()));
    }
    commits = repo.newest_first(&commits)?;
    if kind == StepKind::Pick {
        commits.reverse();
    }
    let mut steps = Vec::new();
    for id in &commits {
        let commit = repo.commit(id)?;
        // Only merges have more than one; in a list of changesets the others are meant as they are.
        let parent = options.parent.filter(|_| commits.len() == 1 || commit.parents.len() > 1);
        steps.push(Step::new(kind, &commit, parent)?);
    }
    Ok((steps, dependencies))
}

/// The changesets that revisions and ranges name, each once.
fn named(repo: &Repo, revisions: &[&str]) -> Result<Vec<String>> {
    let mut commits: Vec<String> = Vec::new();
    for revision in revisions {
        let found = match revision.split_once("..") {
            None => vec![repo.commit(revision)?.id],
            Some((from, to)) => {
                let end = |end: &str| if end.is_empty() { "HEAD".to_owned() } else { end.to_owned() };
                let range = repo.range(&end(from), &end(to.trim_start_matches('.')))?;
                if range.is_empty() {
                    return Err(Error::mistake_with(
                        format!("there is no changeset in {revision}"),
                        "A..B means what B has and A has not; A itself is not in it",
                    ));
                }
                range
            }
        };
        for commit in found {
            if !commits.contains(&commit) {
                commits.push(commit);
            }
        }
    }
    if commits.is_empty() {
        return Err(Error::mistake_with("no changeset is named", "name one as git does: HEAD~1, 3f2c9a, A..B"));
    }
    Ok(commits)
}

/// Gives new steps their numbers.
fn number(steps: &mut [Step], there: &[Step]) {
    let last = there.iter().map(|s| s.id).max().unwrap_or_default();
    for (step, id) in steps.iter_mut().zip(last + 1..) {
        step.id = id;
    }
}

/// Refuses steps that do nothing at all.
fn check_effect(steps: &[Step], composed: &Composed) -> Result<()> {
    if steps.iter().any(|s| !composed.without_effect.contains(&s.id)) {
        return Ok(());
    }
    let names: Vec<String> = steps.iter().map(|s| short(&s.of)).collect();
    let what = match steps.first().map(|s| s.kind) {
        Some(StepKind::Revert) => "nothing of it is left to take back",
        _ => "the text says so already",
    };
    Err(Error::unchanged(
        format!("{} would change nothing: {what}", names.join(", ")),
        "see what it did with: regrow show REV",
    ))
}

/// A new draft with these steps.
fn begin(
    ctx: &Context,
    repo: &Repo,
    head: &Head,
    mut steps: Vec<Step>,
    message: Option<&str>,
) -> Result<(String, Vec<Step>)> {
    let Some(base) = &head.commit else { return Err(regrow_history::Error::Unborn.into()) };
    number(&mut steps, &[]);
    let composed = compose::compose(repo, base, &steps, &[])?;
    check_effect(&steps, &composed)?;
    let title = match message.and_then(|m| m.trim().lines().next()) {
        Some(line) if !line.is_empty() => line.to_owned(),
        _ => step::title(&steps),
    };
    let data = Data { steps: steps.clone(), ..Data::default() };
    let draft = drafts::create_from(ctx, repo, base, &composed.files, &data, Some(&title), ctx.actor())?;
    Ok((draft.id, steps))
}

/// Adds steps to a draft.
fn add_to(ctx: &Context, repo: &Repo, id: &str, added: Vec<Step>) -> Result<Vec<Step>> {
    drafts::retried(id, || {
        let draft = repo.draft(id)?;
        let mut data = Data::of(&draft);
        let mut added = added.clone();
        if let Some(step) = added.iter().find(|s| data.steps.iter().any(|t| t.of == s.of && t.kind == s.kind)) {
            return Err(Error::mistake_with(
                format!("{} is in the draft {id} already", step.title()),
                format!("see its steps with: regrow draft steps {id}"),
            ));
        }
        number(&mut added, &data.steps);
        data.steps.extend(added.iter().cloned());
        check_effect(&added, &compose::compose(repo, &draft.base, &data.steps, &data.decisions)?)?;
        let tip = compose::rewrite(ctx, repo, &draft, None, &data)?;
        let names: Vec<String> = added.iter().map(Step::title).collect();
        let words = format!("added to the draft {id}: {}", names.join(", "));
        drafts::record(ctx, "step", &words, Some(&draft.tip), &DraftRef { tip, ..draft.clone() });
        Ok(added)
    })
}

#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;
