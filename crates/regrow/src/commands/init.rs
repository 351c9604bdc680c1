//! `regrow init`.

use std::path::PathBuf;

use regrow_ops::{Context, hooks};

use crate::session::{Outcome, Session};

/// Make a fleet with the example server web1 (nginx and PostgreSQL, with checks)
///
/// The directory must be empty or not exist. In a fleet that is there already, such as a fresh clone, it only tells git
/// to merge the text by key (see regrow merge-driver). Mirror addresses and keyrings are taken from the machine's own apt
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
    /// Also check the text before each commit (see regrow hooks)
    #[arg(long)]
    hooks: bool,
}

pub(crate) fn run(args: &Init, ctx: &Context, session: &Session) -> Outcome {
    let report = regrow_ops::init(ctx, &args.dir, args.mirror.as_deref(), args.suite.as_deref())?;
    if args.hooks {
        let done = hooks::hooks(&ctx.with_fleet(report.fleet.clone()), hooks::Wish::Install)?.done;
        session.say(&done.unwrap_or_default());
    }
    session.answer(&report, |report| {
        if report.existed {
            return existing(report);
        }
        let mut text =
            format!("made the fleet {} with the server {}\n", report.fleet.display(), report.servers.join(", "));
        for archive in &report.archives {
            text.push_str(&format!("packages come from {} ({})\n", archive.mirror, archive.suites.join(", ")));
        }
        text.push_str("git merges its text by key: .gitattributes, and merge.regrow.driver in .git/config\n");
        text.push_str(&format!("\nnext: cd {} && regrow lock web1\n", args.dir.display()));
        text
    })
}

/// Words for a fleet that was there.
fn existing(report: &regrow_ops::init::InitReport) -> String {
    let mut text = format!("{} is a fleet already ({})\n", report.fleet.display(), report.servers.join(", "));
    if report.merging.config {
        text.push_str("git merges its text by key from now on: merge.regrow.driver in .git/config\n");
    } else {
        text.push_str("git merges its text by key\n");
    }
    if report.merging.attributes {
        text.push_str("\nnext: land .gitattributes, so that every clone can: git add .gitattributes && git commit\n");
    }
    text
}
