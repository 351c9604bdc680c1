//! `regrow set` and `regrow unset`.

use regrow_ops::Context;
use regrow_ops::edit::EditReport;
use regrow_ops::lock::summary;
use regrow_ops::wanted::short;

use crate::session::{Outcome, Session};

/// Give one key of a server a value, as one changeset
///
/// Changes exactly the bytes of the value; comments and everything else stay as they are. The value is TOML; a word
/// that is no TOML value is taken as text. If the packages change, the new lock is in the same changeset.
///
///     regrow set web1 system.timezone Europe/Berlin -m "Berlin time"
///     regrow set web1 checks.front.status 200 -m "The front page answers"
///     regrow set web1 packages.redis '"*"' -m "Add redis"
///     regrow set web1 'files."/etc/motd".content' '"hello\n"' -m "Greet"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Set {
    /// The server
    server: String,
    /// The key, with dots: checks.front.status
    key: String,
    /// The value, as in TOML
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// What the change is for [default: what it does]
    #[arg(short, long, value_name = "MSG")]
    message: Option<String>,
}

/// Remove one key of a server, as one changeset
///
/// What the server's roles say about it holds again.
///
///     regrow unset web1 packages.redis -m "Redis was never used"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Unset {
    /// The server
    server: String,
    /// The key, with dots: checks.front.status
    key: String,
    /// What the change is for [default: what it does]
    #[arg(short, long, value_name = "MSG")]
    message: Option<String>,
}

pub(crate) fn run(args: &Set, ctx: &Context, session: &Session) -> Outcome {
    show(&regrow_ops::set(ctx, &args.server, &args.key, &args.value, args.message.as_deref())?, session)
}

pub(crate) fn run_unset(args: &Unset, ctx: &Context, session: &Session) -> Outcome {
    show(&regrow_ops::unset(ctx, &args.server, &args.key, args.message.as_deref())?, session)
}

fn show(report: &EditReport, session: &Session) -> Outcome {
    session.answer(report, |report| {
        let place = format!("{}:{}", report.file, report.line);
        let mut text = match &report.revision {
            Some(revision) => format!("changeset {} changes {place}\n", short(revision)),
            None => format!("nothing to change: {} says so already\n", report.file),
        };
        if let Some(lock) = &report.lock {
            text.push_str(&format!("and locks {}\n", summary(lock)));
        }
        text
    })
}
