//! `regrow log`.

use regrow_ops::Context;
use regrow_ops::wanted::short;

use crate::session::{Outcome, Session};
use crate::words::{bold, judged, proofs, time};

/// List the changesets, newest first
///
///     regrow log
///     regrow log web1 -n 5         only those that can influence web1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Log {
    /// Only changesets that can influence this server
    server: Option<String>,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// From this revision back [default: HEAD]
    #[arg(long, value_name = "REV")]
    from: Option<String>,
}

pub(crate) fn run(args: &Log, ctx: &Context, session: &Session) -> Outcome {
    let report = regrow_ops::log(ctx, args.server.as_deref(), args.from.as_deref(), args.limit)?;
    session.answer(&report, |report| {
        let mut text = String::new();
        for change in &report.changes {
            let revision = short(&change.revision);
            text.push_str(&format!("{revision}  {}  {}  {}\n", time(change.at), change.author, bold(&change.subject)));
            for path in &change.paths {
                let note = if path.change == "changed" { String::new() } else { format!(" ({})", path.change) };
                text.push_str(&format!("              {}{note}\n", path.path));
            }
            text.push_str(&proofs(report.proofs.get(&change.revision).into_iter().flatten(), "              "));
            for differs in report.differing.iter().filter(|d| d.revision == change.revision) {
                text.push_str(&format!("{}\n", judged(false, &differs.words())));
            }
        }
        if report.changes.is_empty() {
            text.push_str("no changesets yet\n");
        } else if report.more {
            text.push_str(&format!("older ones: regrow log -n {}\n", args.limit.saturating_mul(10)));
        }
        text
    })
}
