//! `regrow build`.

use regrow_host::lock::Wait;
use regrow_ops::Context;
use regrow_ops::build::BuildReport;
use regrow_ops::jobs::{self, About};
use regrow_ops::wanted::short;

use crate::session::{Outcome, Session};
use crate::words::{count, table};

/// Build the image of a server
///
/// From the files on disk, or with --at from a changeset. Layers that are known already are taken from the cache: after
/// a change of one setting only the last one is made again. The same text and lock give the same image everywhere.
///
///     regrow build web1
///     regrow build web1 --at HEAD~1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Build {
    /// The server
    server: String,
    /// The revision [default: the files on disk]
    #[arg(long, value_name = "REV")]
    at: Option<String>,
    /// Make every layer again
    #[arg(long)]
    no_cache: bool,
}

pub(crate) fn run(args: &Build, ctx: &Context, session: &Session) -> Outcome {
    let about = About::server("build", args.server.clone(), Wait::UntilFree);
    let report =
        jobs::run(ctx, &about, |ctx| regrow_ops::build(ctx, &args.server, args.at.as_deref(), !args.no_cache))?;
    session.answer(&report, |report| format!("{}{}\n", layers(report), report.image))
}

/// A build's layers, one a line, with a line for the whole.
pub(crate) fn layers(report: &BuildReport) -> String {
    let mut rows = Vec::new();
    for layer in &report.layers {
        let took = if layer.cached { "cached".to_owned() } else { format!("{:.2} s", layer.seconds) };
        rows.push(vec![format!("layer {}", layer.name), took]);
    }
    format!(
        "{}{} at {}: {}, {:.2} s\n",
        table(&rows),
        report.server,
        short(&report.revision),
        count(report.packages, "package"),
        report.seconds
    )
}
