//! `regrow acts`.

use regrow_ops::Context;
use regrow_ops::acts::{self, Which};

use crate::session::{Outcome, Session};
use crate::words::{bold, judged, table, time};

/// Say who did what, newest first
///
/// In the column after the number: * can be undone (regrow undo NUMBER), - was undone.
///
///     regrow acts
///     regrow acts --by alice --server web1 -n 5
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Acts {
    /// Only by this person
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only to this server
    #[arg(long, value_name = "SERVER")]
    server: Option<String>,
    /// Only of this kind: build, trial, switch, edit, land, discard, sign-in, account, …
    #[arg(long, value_name = "WORD")]
    kind: Option<String>,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

pub(crate) fn run(args: &Acts, ctx: &Context, session: &Session) -> Outcome {
    let which = Which { actor: args.by.clone(), subject: args.server.clone(), kind: args.kind.clone(), before: None };
    session.answer(&acts::list(ctx, &which, args.limit)?, |report| {
        let row = |act: &acts::Recorded| {
            let result = match act.result.as_str() {
                "done" => judged(true, "done"),
                bad @ ("no" | "failed" | "refused") => judged(false, bad),
                other => other.to_owned(),
            };
            let undo = match (&act.undo, act.undone) {
                (_, Some(_)) => "-",
                (Some(_), None) => "*",
                (None, None) => "",
            };
            vec![
                act.id.to_string(),
                undo.to_owned(),
                time(act.at),
                bold(&act.actor),
                act.from.clone(),
                result,
                act.words.clone(),
            ]
        };
        let mut text = table(&report.acts.iter().map(row).collect::<Vec<_>>());
        if report.acts.is_empty() {
            text.push_str("nothing yet\n");
        } else if report.more {
            text.push_str(&format!("older ones: regrow acts -n {}\n", args.limit.saturating_mul(10)));
        }
        text
    })
}
