//! Landing a draft's steps one by one, each a changeset with a message of its own.

use regrow_history::{DraftChange, Repo};
use serde::Serialize;

use super::compose;
use super::step::{self, Step};
use crate::Answer;
use crate::context::Context;
use crate::drafts::{self, Conflict, DISK, Data, Landed, Outcome, With};
use crate::error::{Error, Result};

/// What became of a landing step by step.
#[derive(Debug, Serialize)]
pub struct Separately {
    /// The changesets, in order.
    pub landed: Vec<Landed>,
    /// What must be decided before the rest can land.
    pub conflicts: Vec<Conflict>,
}

impl Answer for Separately {
    fn is_yes(&self) -> bool {
        self.conflicts.is_empty()
    }
}

/// Makes every ticked step a changeset, in order, squashed ones together with the one before them; the person's own edits
/// are the last one, with `message`.
///
/// # Errors
/// As [`drafts::land`]. If some have landed before, it says so; the draft keeps the rest.
pub fn land_separately(ctx: &Context, id: &str, message: Option<&str>) -> Result<Separately> {
    if id == DISK {
        return Err(Error::mistake("edits on disk have no steps to land one by one"));
    }
    let mut out = Separately { landed: Vec::new(), conflicts: Vec::new() };
    let conflicts = drafts::conflicts(ctx, id)?;
    if conflicts.iter().any(|c| c.choice.is_none()) {
        return Ok(Separately { conflicts, ..out });
    }
    loop {
        match next(ctx, id, message) {
            Ok(Next::Landed(landed)) => out.landed.push(*landed),
            Ok(Next::Last(landed)) => {
                out.landed.extend(landed.map(|l| *l));
                return Ok(out);
            }
            Ok(Next::Conflicts(conflicts)) => return Ok(Separately { conflicts, ..out }),
            Err(e) if out.landed.is_empty() => return Err(e),
            Err(e) => {
                return Err(Error::mistake_with(
                    format!("{} of its changesets landed, then: {e}", out.landed.len()),
                    format!("the draft {id} has the rest; land it again when that is mended"),
                ));
            }
        }
    }
}

enum Next {
    Landed(Box<Landed>),
    Last(Option<Box<Landed>>),
    Conflicts(Vec<Conflict>),
}

/// Lands the first steps that belong together, or what is left when there are no others.
fn next(ctx: &Context, id: &str, message: Option<&str>) -> Result<Next> {
    let repo = drafts::open(ctx)?;
    let draft = repo.draft(id)?;
    let data = Data::of(&draft);
    // On the branch as it is now: what has landed already is not landed again, also if we were killed right after it.
    let now = repo.tip()?.unwrap_or_else(|| draft.base.clone());
    let composed = compose::compose(&repo, &now, &data.steps, &data.decisions)?;
    let useful = |s: &Step| s.on && !composed.without_effect.contains(&s.id);
    let Some(first) = data.steps.iter().position(useful) else {
        // Only own edits are left, or nothing.
        let mut rest = data.clone();
        rest.steps.clear();
        keep(ctx, &repo, &draft.id, &rest, &draft.base)?;
        if drafts::get(ctx, id)?.files.is_empty() {
            drafts::discard(ctx, id)?;
            return Ok(Next::Last(None));
        }
        return Ok(match drafts::land(ctx, id, message)? {
            Outcome::Landed(landed) => Next::Last(Some(Box::new(landed))),
            Outcome::Conflicts { conflicts } => Next::Conflicts(conflicts),
        });
    };
    let with = data.steps[first + 1..].iter().take_while(|s| s.squashed).count();
    let group: Vec<Step> = data.steps[first..=first + with].iter().filter(|s| s.on).cloned().collect();
    let mine = |with: With| group.iter().any(|s| with == With::Step(s.id));
    let decisions: Vec<_> = data.decisions.iter().filter(|d| mine(d.with)).cloned().collect();
    let files = compose::compose(&repo, &draft.base, &group, &decisions)?.files;
    let words = match &group[0].message {
        Some(message) => step::with_provenance(message, &group),
        None => step::message(&repo, &group)?,
    };
    // What merges another clone is the last one.
    let own = Data { decisions, steps: group.clone(), merges: None };
    let title = step::title(&group);
    let part = drafts::create_from(ctx, &repo, &draft.base, &files, &own, Some(&title), &draft.owner)?;
    let landed = match drafts::land(ctx, &part.id, Some(&words)) {
        Ok(Outcome::Landed(landed)) => landed,
        other => {
            drafts::discard(ctx, &part.id)?;
            return match other? {
                Outcome::Conflicts { conflicts } => Ok(Next::Conflicts(conflicts)),
                Outcome::Landed(landed) => Ok(Next::Landed(Box::new(landed))),
            };
        }
    };
    let mut rest = data;
    rest.steps.retain(|s| !group.iter().any(|g| g.id == s.id));
    if let Some(first) = rest.steps.first_mut() {
        first.squashed = false;
    }
    keep(ctx, &repo, id, &rest, &landed.revision)?;
    Ok(Next::Landed(Box::new(landed)))
}

/// The draft with what is left of its steps, on a base.
fn keep(ctx: &Context, repo: &Repo, id: &str, data: &Data, base: &str) -> Result<()> {
    let draft = repo.draft(id)?;
    let files = compose::recompose(repo, &draft, base, data)?;
    let json = data.to_json();
    repo.write_draft(&DraftChange { base, files_of: base, ..draft.change(ctx.now(), &json, &files) })?;
    Ok(())
}
