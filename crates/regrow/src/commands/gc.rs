//! `regrow gc`.

use regrow_ops::Context;

use crate::session::{Outcome, Session};
use crate::words::bytes;

/// Free images, layers and packages that nothing refers to
///
/// What is online, what can be gone back to, and the newest build of every server with its layers stay.
///
///     regrow gc --dry-run
///     regrow gc
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Gc {
    /// Only say how much it would be
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Gc, ctx: &Context, session: &Session) -> Outcome {
    let report = regrow_ops::gc(ctx, args.dry_run)?;
    session.answer(&report, |report| {
        let word = if report.dry_run { "would free" } else { "freed" };
        format!(
            "{word} {}: images {}, layers {}, file contents {}, packages {}\n",
            bytes(report.bytes),
            report.images,
            report.layers,
            report.objects,
            report.packages
        )
    })
}
