//! `regrow diff`.

use regrow_ops::Context;

use crate::session::{Outcome, Session};
use crate::words::in_words;

/// Show what differs between two revisions, or between a revision and the files on disk: in words, then as text
///
///     regrow diff HEAD~3 HEAD
///     regrow diff HEAD             edits that are no changeset yet
///     regrow diff HEAD draft:d1    a draft
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Diff {
    /// The older revision
    #[arg(value_name = "A")]
    from: String,
    /// The newer revision [default: the files on disk]
    #[arg(value_name = "B")]
    to: Option<String>,
}

pub(crate) fn run(args: &Diff, ctx: &Context, session: &Session) -> Outcome {
    let report = regrow_ops::diff(ctx, &args.from, args.to.as_deref())?;
    session.answer(&report, |report| format!("{}{}", in_words(report), report.text))
}
