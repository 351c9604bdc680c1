//! `regrow lock`.

use regrow_host::lock::Wait;
use regrow_ops::Context;
use regrow_ops::jobs::{self, About};
use regrow_ops::lock::summary;
use regrow_ops::wanted::short;

use crate::session::{Outcome, Session};

/// Choose the exact packages and ids of a server, and fetch them
///
/// Writes servers/SERVER/lock.toml. Without a change of the text nothing changes; what is locked stays in its version
/// until --upgrade. The lock is a changeset of its own if the rest of the server's text is committed; otherwise it is
/// left beside the edits.
///
///     regrow lock web1
///     regrow lock web1 --upgrade
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Lock {
    /// The server
    server: String,
    /// Take the newest versions
    #[arg(long)]
    upgrade: bool,
}

pub(crate) fn run(args: &Lock, ctx: &Context, session: &Session) -> Outcome {
    let about = About::server("lock", args.server.clone(), Wait::UntilFree);
    let report = jobs::run(ctx, &about, |ctx| regrow_ops::lock(ctx, &args.server, args.upgrade))?;
    session.answer(&report, |report| {
        let mut text = String::new();
        for package in &report.upgraded {
            text.push_str(&format!("  {} {} -> {}\n", package.name, package.from, package.to));
        }
        for package in &report.removed {
            text.push_str(&format!("- {} {}\n", package.name, package.version));
        }
        // The first lock adds everything; nobody reads that.
        if report.added.len() < report.packages {
            for package in &report.added {
                text.push_str(&format!("+ {} {}\n", package.name, package.version));
            }
        }
        let words = summary(report);
        text.push_str(&match (&report.revision, report.changed) {
            (_, false) => format!("{}: {words}, nothing changed\n", report.server),
            (Some(revision), true) => format!("{}: locked {words}, changeset {}\n", report.server, short(revision)),
            (None, true) => format!(
                "{}: locked {words}; {} is not committed, because there are other edits\n",
                report.server, report.file
            ),
        });
        text
    })
}
