//! `regrow undo`.

use regrow_ops::Context;
use regrow_ops::undo::UndoReport;

use crate::session::{Outcome, Session};
use crate::words::{bold, count};

/// Take back what was done: a landing, a draft, a switch
///
/// Without a number, the last thing that you did and that can be undone; again, the one before it. Nothing is forgotten:
/// a changeset is taken back by another one, a discarded draft comes back, a switch is rolled back. An undo can be undone
/// by its number, too.
///
///     regrow undo
///     regrow acts                  the numbers, and what can be undone
///     regrow undo 41
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Undo {
    /// The number of the act [default: your last one]
    #[arg(value_name = "ACT")]
    act: Option<i64>,
}

pub(crate) fn run(args: &Undo, ctx: &Context, session: &Session) -> Outcome {
    session.answer(&regrow_ops::undo::undo(ctx, args.act)?, words)
}

fn words(report: &UndoReport) -> String {
    let what = format!("act {} ({})", report.act, report.words);
    if report.conflicts.is_empty() {
        return format!("undid {what}: {}\n", report.done);
    }
    let draft = report.draft.as_deref().unwrap_or_default();
    format!(
        "{} yet: {}\n{} to decide: regrow draft show {draft}; then: regrow draft land {draft}\n",
        bold(&format!("did not undo {what}")),
        report.done,
        count(report.conflicts.len(), "place")
    )
}
