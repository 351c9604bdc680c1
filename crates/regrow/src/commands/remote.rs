//! `regrow pull` and `regrow push`.

use regrow_ops::Context;
use regrow_ops::remote::{PullReport, Pulled, PushReport};
use regrow_ops::wanted::short;

use crate::session::{Outcome, Session};
use crate::words::{bold, count, judged};

/// Fetch another clone's changesets and merge them by key
///
/// The remote is an ordinary one of git. Hand edits on disk stay; locks are made anew from the merged text; keys that
/// were changed in two ways are decided in a draft (exit status 1 until then). What was built and tried elsewhere comes
/// along (regrow log shows it).
///
///     regrow pull
///     regrow pull backup
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Pull {
    /// The remote [default: that of the branch]
    remote: Option<String>,
}

/// Bring the changesets, and what was proven about them, to another clone
///
/// Nothing is overwritten there: if it has changesets that are not here, pull first (exit status 1).
///
///     regrow push
///     regrow push backup
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Push {
    /// The remote [default: that of the branch]
    remote: Option<String>,
}

pub(crate) fn run_pull(args: &Pull, ctx: &Context, session: &Session) -> Outcome {
    session.answer(&regrow_ops::remote::pull(ctx, args.remote.as_deref())?, pulled)
}

pub(crate) fn run_push(args: &Push, ctx: &Context, session: &Session) -> Outcome {
    session.answer(&regrow_ops::remote::push(ctx, args.remote.as_deref())?, pushed)
}

fn pulled(report: &PullReport) -> String {
    let from = &report.from;
    let mut text = match report.outcome {
        Pulled::NothingThere => format!("{from} is not there yet; bring it there with: regrow push\n"),
        Pulled::UpToDate => format!("{from} has nothing that is not here\n"),
        Pulled::Forwarded | Pulled::Merged => {
            let how = if report.outcome == Pulled::Merged { ", merged with what is here" } else { "" };
            format!("{} from {from}{how}\n", count(report.count, "changeset"))
        }
        Pulled::Conflicts => {
            format!(
                "{} from {from}; {} changed in two ways, so nothing was merged yet\n",
                count(report.count, "changeset"),
                count(report.conflicts.len(), "place")
            )
        }
    };
    if !matches!(report.outcome, Pulled::NothingThere | Pulled::UpToDate) {
        for came in &report.came {
            text.push_str(&format!("  {}  {}\n", short(&came.revision), bold(&came.subject)));
        }
    }
    for path in &report.still_edited {
        text.push_str(&format!("{path} keeps its edits on disk\n"));
    }
    for lock in &report.locks {
        text.push_str(&format!("{} was made anew\n", lock.file));
    }
    if let Some(id) = &report.draft {
        text.push_str(&super::resolve::list(id, &report.conflicts));
        text.push_str(&format!("(yours is what came, theirs what is here), then: regrow draft land {id}\n"));
    } else if report.outcome == Pulled::Conflicts {
        for conflict in &report.conflicts {
            let key = conflict.key.as_ref().map_or_else(String::new, |key| format!("{key} in "));
            text.push_str(&format!("  {key}{}\n", conflict.path));
        }
        text.push_str("they are edits on disk: commit them (git commit), or undo them, then pull again\n");
    }
    if report.results {
        text.push_str("results of other places came along: regrow log\n");
    }
    for differs in &report.differing {
        text.push_str(&format!("{}\n", judged(false, &differs.words())));
    }
    text
}

fn pushed(report: &PushReport) -> String {
    let results = if report.results { ", with results" } else { "" };
    match report.count {
        0 if !report.results => format!("{} has everything already\n", report.to),
        0 => format!("results are at {}\n", report.to),
        n => format!("{} to {}{results}\n", count(n, "changeset"), report.to),
    }
}
