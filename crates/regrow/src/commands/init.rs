//! `regrow init`.

use std::path::PathBuf;

use regrow_ops::Context;

use crate::session::{Outcome, Session};

/// Make a fleet with the example server web1 (nginx and PostgreSQL, with checks)
///
/// The directory must be empty or not exist. Mirror addresses and keyrings are taken from the machine's own apt
/// sources; name a mirror where the machine is not a Debian.
///
///     regrow init fleet
///     regrow init fleet --suite bookworm
///     regrow init fleet --mirror http://mirror.example.org/debian
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Init {
    /// Where to make it
    dir: PathBuf,
    /// The address of a Debian mirror [default: as in the machine's apt sources]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// The Debian suite [default: trixie]
    #[arg(long, value_name = "SUITE")]
    suite: Option<String>,
}

pub(crate) fn run(args: &Init, ctx: &Context, session: &Session) -> Outcome {
    let report = regrow_ops::init(ctx, &args.dir, args.mirror.as_deref(), args.suite.as_deref())?;
    session.answer(&report, |report| {
        let mut text =
            format!("made the fleet {} with the server {}\n", report.fleet.display(), report.servers.join(", "));
        for archive in &report.archives {
            text.push_str(&format!("packages come from {} ({})\n", archive.mirror, archive.suites.join(", ")));
        }
        text.push_str(&format!("\nnext: cd {} && regrow lock web1\n", args.dir.display()));
        text
    })
}
