//! `regrow revert`.

use regrow_ops::Context;
use regrow_ops::wanted::short;

use crate::session::{Outcome, Session};
use crate::words::count;

/// Take one changeset back, in a draft that keeps what came after
///
///     regrow revert HEAD
///     regrow revert 3f2c9a
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Revert {
    /// The revision, in git's words
    #[arg(value_name = "REV")]
    revision: String,
}

pub(crate) fn run(args: &Revert, ctx: &Context, session: &Session) -> Outcome {
    let report = regrow_ops::revert(ctx, &args.revision)?;
    session.answer(&report, |report| {
        let id = &report.draft.id;
        let mut text = format!("the draft {id} takes {} back\n", short(&report.reverts));
        if report.conflicts.is_empty() {
            text.push_str(&format!("next: regrow draft show {id}, then regrow draft land {id}\n"));
        } else {
            let keys = count(report.conflicts.len(), "key");
            text.push_str(&format!("{keys} changed again since; decide with: regrow draft conflicts {id}\n"));
        }
        text
    })
}
