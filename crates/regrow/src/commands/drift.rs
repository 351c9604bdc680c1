//! `regrow drift`.

use regrow_ops::{Context, online};

use crate::session::{Outcome, Session};
use crate::words::{bytes, table};

/// List what the online server wrote outside its state
///
/// All of it is left behind by the next switch. What should stay belongs into the text: as a file, or as state.
///
///     regrow drift web1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Drift {
    /// The server
    server: String,
}

pub(crate) fn run(args: &Drift, ctx: &Context, session: &Session) -> Outcome {
    let report = online::drift(ctx, &args.server)?;
    session.answer(&report, |report| {
        let mut rows = Vec::new();
        for drifted in &report.paths {
            let size = if drifted.removed { "removed".to_owned() } else { bytes(drifted.bytes) };
            rows.push(vec![drifted.class.as_str().to_owned(), size, drifted.path.clone()]);
        }
        if rows.is_empty() { format!("{}: nothing\n", report.server) } else { table(&rows) }
    })
}
