//! `regrow show`.

use regrow_ops::Context;

use crate::session::{Outcome, Session};
use crate::words::{bold, in_words, judged, proofs, time};

/// Show one changeset: who, when, why, what it means, and what it did to the text
///
///     regrow show HEAD
///     regrow show 3f2c9a
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Show {
    /// The revision, in git's words
    #[arg(value_name = "REV")]
    revision: String,
}

pub(crate) fn run(args: &Show, ctx: &Context, session: &Session) -> Outcome {
    let report = regrow_ops::show(ctx, &args.revision)?;
    session.answer(&report, |report| {
        let mut text = String::new();
        for change in &report.changes {
            text.push_str(&format!(
                "{}\n{}, {}\n\n    {}\n",
                change.revision,
                change.author,
                time(change.at),
                bold(&change.subject)
            ));
            for line in change.body.lines() {
                text.push_str(&format!("    {line}\n"));
            }
            text.push('\n');
        }
        text.push_str(&proofs(&report.proofs, ""));
        for differs in &report.differing {
            text.push_str(&format!("{}\n", judged(false, &differs.words())));
        }
        if !report.proofs.is_empty() {
            text.push('\n');
        }
        text.push_str(&in_words(&report.found));
        text.push_str(&report.found.text);
        text
    })
}
