//! `regrow why`.

use regrow_ops::Context;

use crate::session::{Outcome, Session};
use crate::words::bold;

/// Say what put a path into a server's image: package, layer, line of the text, changeset
///
/// The image is built if it is not there.
///
///     regrow why web1 /etc/motd
///     regrow why web1 /usr/sbin/nginx --at HEAD~3
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Why {
    /// The server
    server: String,
    /// The absolute path in the server
    path: String,
    /// The revision [default: the files on disk]
    #[arg(long, value_name = "REV")]
    at: Option<String>,
}

pub(crate) fn run(args: &Why, ctx: &Context, session: &Session) -> Outcome {
    let report = regrow_ops::why::why(ctx, &args.server, &args.path, args.at.as_deref())?;
    session.answer(&report, |report| {
        let facts = &report.facts;
        let mut text =
            format!("{}  {}, mode {}, owner {}:{}\n", bold(&report.path), facts.kind, facts.mode, facts.uid, facts.gid);
        for words in &report.words {
            text.push_str(&format!("    {words}\n"));
        }
        text
    })
}
