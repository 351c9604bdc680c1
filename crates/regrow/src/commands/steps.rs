//! `regrow draft steps` and `regrow draft step`: the mixing desk of a draft.

use regrow_ops::Context;
use regrow_ops::drafts::Landed;
use regrow_ops::moves::{self, Change, StepKind, Steps};
use regrow_ops::wanted::short;

use super::resolve;
use crate::session::{Outcome, Session};
use crate::words::{bold, count, table};

/// What to do with one step; exactly one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct What {
    /// Leave it out for now
    #[arg(long)]
    off: bool,
    /// Take it in again
    #[arg(long)]
    on: bool,
    /// Make it earlier
    #[arg(long)]
    up: bool,
    /// Make it later
    #[arg(long)]
    down: bool,
    /// Take it out of the draft
    #[arg(long)]
    drop: bool,
    /// Land it together with the step before it (for: draft land --separate)
    #[arg(long)]
    squash: bool,
    /// Land it by itself again
    #[arg(long)]
    unsquash: bool,
    /// What its changeset is to say; empty for what is suggested
    #[arg(long, value_name = "MSG")]
    reword: Option<String>,
}

impl What {
    fn change(&self) -> Change {
        match self {
            What { off: true, .. } => Change::Off,
            What { up: true, .. } => Change::Up,
            What { down: true, .. } => Change::Down,
            What { drop: true, .. } => Change::Drop,
            What { squash: true, .. } => Change::Squash(true),
            What { unsquash: true, .. } => Change::Squash(false),
            What { reword: Some(message), .. } => Change::Reword(Some(message.clone()).filter(|m| !m.is_empty())),
            _ => Change::On,
        }
    }
}

pub(crate) fn list(ctx: &Context, session: &Session, id: &str) -> Outcome {
    session.answer(&moves::steps(ctx, id)?, words)
}

pub(crate) fn change(ctx: &Context, session: &Session, id: &str, step: u32, what: &What) -> Outcome {
    session.answer(&moves::set_step(ctx, id, step, &what.change())?, words)
}

pub(crate) fn land(ctx: &Context, session: &Session, id: &str, message: Option<&str>) -> Outcome {
    session.answer(&moves::land_separately(ctx, id, message)?, |report| {
        let line = |l: &Landed| {
            format!("changeset {}: {}\n", short(&l.revision), l.message.lines().next().unwrap_or_default())
        };
        let mut text: String = report.landed.iter().map(line).collect();
        text.push_str(&resolve::list(id, &report.conflicts));
        text
    })
}

fn words(report: &Steps) -> String {
    let id = &report.draft.id;
    let mut rows = Vec::new();
    for state in &report.steps {
        let step = &state.step;
        let mut notes = Vec::new();
        if step.squashed {
            notes.push("with the one before".to_owned());
        }
        if state.without_effect {
            notes.push("changes nothing here".to_owned());
        }
        if state.undecided > 0 {
            notes.push(format!("{} to decide", count(state.undecided, "place")));
        }
        let kind = match step.kind {
            StepKind::Pick => "pick",
            StepKind::Revert => "revert",
        };
        let tick = if step.on { "[x]" } else { "[ ]" };
        let name = step.message.as_ref().and_then(|m| m.lines().next()).unwrap_or(&step.subject);
        rows.push(vec![
            bold(&step.id.to_string()),
            tick.to_owned(),
            kind.to_owned(),
            short(&step.of),
            name.to_owned(),
            notes.join(", "),
        ]);
    }
    let mut text = format!("{}  {}\n", bold(id), report.draft.title);
    if rows.is_empty() {
        text.push_str("no steps; add some with: regrow pick REV --onto ");
        text.push_str(&format!("{id}, or regrow revert REV --onto {id}\n"));
    } else {
        text.push_str(&table(&rows));
    }
    if !report.own.is_empty() {
        text.push_str(&format!("own edits in {}\n", report.own.join(", ")));
    }
    text.push_str(&resolve::list(id, &report.conflicts));
    text
}
