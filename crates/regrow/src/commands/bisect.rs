//! `regrow bisect`.

use std::path::PathBuf;

use regrow_host::fs;
use regrow_host::lock::Wait;
use regrow_ops::Context;
use regrow_ops::hunt::{self, Asked, HuntReport, Options, Outcome, Step, Verdict};
use regrow_ops::jobs::{self, About};
use regrow_ops::wanted::short;

use crate::session::{Outcome as Said, Session};
use crate::words::{bold, count, judged, table, time};

/// Find the changeset that broke a check, by booting revisions offline
///
/// Between the last revision where the check passed and the newest one, it builds, boots and asks as few as it can: 7
/// boots for 100 changesets, 11 for 1,000. What trials and switches have shown already is not booted again. What cannot
/// be built or booted is skipped. The online server is not touched. In the end the culprit is taken back in a draft,
/// which is built and tried.
///
///     regrow bisect web1 --check front
///     regrow bisect web1 --check database --good v1.2 --bad HEAD~3
///     regrow bisect web1 --run 'test -s /etc/motd' --good HEAD~50
///     regrow bisect web1 --failed-unit nginx --good HEAD~50
///     regrow bisect web1 --check-file probe.toml --good HEAD~50
///     regrow bisect web1 --continue
///
/// The last three ask what no revision needs to have in its text: it is asked of the booted machine, and never written
/// into history. An interrupted hunt goes on where it was, when it is asked for again. Exit status 1 if there is no
/// single culprit.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Bisect {
    /// The server
    server: String,
    #[command(flatten)]
    what: What,
    /// A revision where it worked [default: the newest that a trial or a switch has shown]
    #[arg(long, value_name = "REV")]
    good: Option<String>,
    /// A revision where it does not [default: HEAD]
    #[arg(long, value_name = "REV")]
    bad: Option<String>,
    /// How many machines are booted at once, 1 or 2 [default: 2 where memory and processors allow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=2))]
    at_once: Option<u8>,
    /// Only find it: make no draft without it
    #[arg(long)]
    no_proposal: bool,
}

/// What is asked.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// A check of the server's text, or `system`, or `failed-units`
    #[arg(long, value_name = "NAME")]
    check: Option<String>,
    /// A command for the shell of the booted server; exit status 0 is good
    #[arg(long, value_name = "CMD")]
    run: Option<String>,
    /// A file with one check, written as in a server's text: [checks.NAME]
    #[arg(long, value_name = "FILE")]
    check_file: Option<PathBuf>,
    /// A unit that must be active
    #[arg(long, value_name = "UNIT")]
    failed_unit: Option<String>,
    /// Go on with the hunt of this server that was interrupted
    #[arg(long = "continue", conflicts_with_all = ["good", "bad"])]
    resume: bool,
}

pub(crate) fn run(args: &Bisect, ctx: &Context, session: &Session) -> Said {
    let asked = match &args.what {
        What { check: Some(name), .. } => Some(Asked::named(name)),
        What { run: Some(line), .. } => Some(Asked::command(line)),
        What { failed_unit: Some(unit), .. } => Some(Asked::unit(unit)),
        What { check_file: Some(path), .. } => Some(Asked::from_text(path, &fs::read_to_string(path)?)?),
        _ => None,
    };
    let question = match &asked {
        Some(asked) => hunt::question(ctx, &args.server, asked, args.good.as_deref(), args.bad.as_deref())?,
        None => hunt::interrupted(ctx, &args.server)?,
    };
    let options = Options { at_once: args.at_once, no_proposal: args.no_proposal };
    let about = About::hunt(&question, Wait::UntilFree);
    let report = jobs::run(ctx, &about, |ctx| hunt::hunt(ctx, &question, options))?;
    session.answer(&report, words)
}

fn words(report: &HuntReport) -> String {
    let mut text = steps(&report.steps);
    text.push('\n');
    for line in &report.words {
        text.push_str(&format!("{line}\n"));
    }
    for suspect in &report.one_of {
        text.push_str(&format!("    {}  {}\n", short(&suspect.revision), suspect.subject));
    }
    for line in &report.flaky {
        text.push_str(&format!("note: {line}\n"));
    }
    if let Some(found) = &report.found {
        let change = &found.change;
        let about = format!("{}, {}", change.author, time(change.at));
        text.push_str(&format!("\n{}\n{about}\n\n    {}\n", change.revision, bold(&change.subject)));
        for line in change.body.lines() {
            text.push_str(&format!("    {line}\n"));
        }
        text.push('\n');
        for line in &found.words {
            text.push_str(&format!("  {line}\n"));
        }
    }
    let (changesets, boots) = (count(report.changesets, "changeset"), count(report.boots as usize, "boot"));
    text.push_str(&format!("\n{changesets}, {boots}, {:.1} s\n", report.seconds));
    let draft = report.proposal.as_ref().and_then(|proposal| proposal.draft.as_deref());
    if let (Outcome::Found, Some(draft)) = (report.outcome, draft) {
        text.push_str(&format!("next: regrow draft show {draft}, then regrow draft land {draft}\n"));
    }
    text
}

/// What was judged, one revision a line.
fn steps(steps: &[Step]) -> String {
    let row = |step: &Step| {
        let word = match step.verdict {
            Verdict::Skipped => step.verdict.to_string(),
            verdict => judged(verdict == Verdict::Good, verdict.as_str()),
        };
        vec![word, short(&step.revision), step.how.to_string(), format!("{:.1} s", step.seconds), step.subject.clone()]
    };
    table(&steps.iter().map(row).collect::<Vec<_>>())
}
