//! `regrow revert`, `regrow pick`: changesets taken back and carried over.

use regrow_ops::moves::{self, MoveReport, Options, StepKind};
use regrow_ops::wanted::short;
use regrow_ops::{Answer, Context};

use super::resolve;
use crate::session::{Outcome, Session};
use crate::words::count;

/// Take changesets back, in a draft that keeps what came after
///
/// Several are taken back the newest first, in whatever order they are named. Keys that nobody changed since are simply
/// put back; where a key was changed again, both values are shown, and `regrow resolve` decides.
///
///     regrow revert HEAD                   makes a draft; look at it with: regrow draft show d1
///     regrow revert 3f2c9a 71b0e2 --land   two at once, landed if there is nothing to decide
///     regrow revert v1..v2                 all that v2 has and v1 has not
///     regrow revert 3f2c9a --with          with the later changesets that stand on it
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Revert {
    #[command(flatten)]
    common: Common,
}

/// Make the changes of changesets once more, wherever they were made
///
/// Several are made the oldest first, in whatever order they are named. It is merged by key: a change that stands beside
/// others is taken alone.
///
///     regrow pick experiment               the last changeset of a branch, into a new draft
///     regrow pick main..experiment --land  all of it, as one changeset
///     regrow pick 3f2c9a --onto d1         into a draft that is there
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Pick {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The revisions, in git's words, or ranges A..B
    #[arg(value_name = "REV", required = true)]
    revisions: Vec<String>,
    /// Add it to this draft [default: a new draft]
    #[arg(long, value_name = "DRAFT")]
    onto: Option<String>,
    /// Land it at once, if there is nothing to decide
    #[arg(long)]
    land: bool,
    /// Move the changesets that belong to it, too
    #[arg(long)]
    with: bool,
    /// Of a merge: which parent the change is taken against, from 1 [default: 1, the branch it was merged into]
    #[arg(long, value_name = "N")]
    parent: Option<usize>,
    /// What the draft is called and the changeset says [default: what is moved]
    #[arg(short, long, value_name = "MSG")]
    message: Option<String>,
}

impl Common {
    fn run(&self, kind: StepKind, ctx: &Context, session: &Session) -> Outcome {
        let revisions: Vec<&str> = self.revisions.iter().map(String::as_str).collect();
        let options = Options {
            onto: self.onto.as_deref(),
            land: self.land,
            with: self.with,
            parent: self.parent,
            message: self.message.as_deref(),
        };
        let report = match kind {
            StepKind::Revert => moves::revert(ctx, &revisions, options)?,
            StepKind::Pick => moves::pick(ctx, &revisions, options)?,
        };
        session.answer(&report, words)
    }
}

pub(crate) fn revert(args: &Revert, ctx: &Context, session: &Session) -> Outcome {
    args.common.run(StepKind::Revert, ctx, session)
}

pub(crate) fn pick(args: &Pick, ctx: &Context, session: &Session) -> Outcome {
    args.common.run(StepKind::Pick, ctx, session)
}

fn words(report: &MoveReport) -> String {
    let mut text = String::new();
    let verb = match report.kind {
        StepKind::Revert => "takes back",
        StepKind::Pick => "picks",
    };
    let what = report.draft.as_ref().map_or_else(
        || format!("changeset {}", report.revision.as_deref().map(short).unwrap_or_default()),
        |draft| format!("draft {}", draft.id),
    );
    for step in &report.steps {
        let nothing = if report.without_effect.contains(&step.id) { ", which changes nothing here" } else { "" };
        text.push_str(&format!("{what} {verb} {} {}{nothing}\n", short(&step.of), step.subject));
    }
    if !report.dependencies.is_empty() {
        let (these, how) = match report.kind {
            StepKind::Revert => ("later changesets stand on it", "take them back, too"),
            StepKind::Pick => ("it stands on changesets that are not here", "pick them, too"),
        };
        text.push_str(&format!("\n{these}:\n"));
        for dependency in &report.dependencies {
            text.push_str(&format!("  {}\n", dependency.words));
        }
        text.push_str(&format!("{how}, with: --with\n"));
    }
    let Some(draft) = &report.draft else { return text };
    let id = &draft.id;
    if report.is_yes() {
        text.push_str(&format!("next: regrow draft show {id}, then regrow draft land {id}\n"));
    } else {
        text.push_str(&resolve::list(id, &report.conflicts));
        text.push_str(&format!("{} to decide before it can land\n", count(report.undecided(), "place")));
    }
    text
}
