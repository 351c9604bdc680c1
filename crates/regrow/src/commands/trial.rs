//! `regrow trial`.

use std::process::ExitCode;

use regrow_host::lock::Wait;
use regrow_ops::jobs::{self, About};
use regrow_ops::trial::{CheckResult, Failed, TrialReport, keep};
use regrow_ops::wanted::short;
use regrow_ops::{Answer, Context};

use crate::session::{Outcome, Session};
use crate::words::{bold, judged, table};

/// Boot a server offline, beside the online one, and judge it by its checks
///
/// Builds it first. The trial has no network but loopback and state of its own, as at a first start. Exit status 1 if
/// it fails. With --keep it goes on running for a look inside, until the next trial or --stop.
///
///     regrow trial web1
///     regrow trial web1 --at HEAD~1
///     regrow trial web1 --keep && regrow exec web1 --trial -- systemctl status
///     regrow trial web1 --stop
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Trial {
    /// The server
    server: String,
    /// The revision [default: the files on disk]
    #[arg(long, value_name = "REV")]
    at: Option<String>,
    /// Let it go on running
    #[arg(long)]
    keep: bool,
    /// With --keep: end it after so many minutes [default: when asked to]
    #[arg(long, value_name = "N", requires = "keep", default_value_t = 0, hide_default_value = true)]
    minutes: u32,
    /// End the trial that was kept
    #[arg(long, conflicts_with_all = ["at", "keep"])]
    stop: bool,
}

/// What `--stop` answers.
#[derive(Debug, serde::Serialize)]
struct StopReport {
    server: String,
    stopped: bool,
}

impl Answer for StopReport {}

pub(crate) fn run(args: &Trial, ctx: &Context, session: &Session) -> Outcome {
    if args.stop {
        let report = StopReport { server: args.server.clone(), stopped: keep::stop(ctx, &args.server)? };
        return session.answer(&report, |report| match report.stopped {
            true => format!("ended the trial of {}", report.server),
            false => format!("no trial of {} was running", report.server),
        });
    }
    let about = About::server("trial", args.server.clone(), Wait::UntilFree);
    let report = jobs::run(ctx, &about, |ctx| {
        regrow_ops::trial(ctx, &args.server, args.at.as_deref(), args.keep.then_some(args.minutes))
    })?;
    session.answer(&report, words)
}

/// What every check saw, one a line.
pub(crate) fn checks(checks: &[CheckResult]) -> String {
    let mut rows = Vec::new();
    for check in checks {
        let word = judged(check.passed, if check.passed { "passed" } else { "failed" });
        rows.push(vec![
            word,
            bold(&check.name),
            check.kind.clone(),
            format!("{:.1} s", check.seconds),
            first_line(&check.detail),
        ]);
    }
    let mut text = table(&rows);
    for check in checks.iter().filter(|c| !c.passed && c.detail.contains('\n')) {
        text.push_str(&format!("\n{}:\n{}\n", bold(&check.name), indent(&check.detail)));
    }
    text
}

/// A unit that failed, with its last words.
pub(crate) fn failed_unit(failed: &Failed) -> String {
    format!("\n{} failed; its last words:\n{}\n", bold(&failed.unit), indent(&failed.journal))
}

fn words(report: &TrialReport) -> String {
    let mut text = checks(&report.checks);
    for failed in &report.failed_units {
        text.push_str(&failed_unit(failed));
    }
    if let Some(reason) = &report.reason {
        text.push_str(&format!("\n{reason}\n"));
    }
    for limit in &report.unlimited {
        text.push_str(&format!("note: a limit could not be held: {limit}\n"));
    }
    let ready = report.ready_seconds.map(|s| format!(", running after {s:.1} s")).unwrap_or_default();
    text.push_str(&format!(
        "{} at {}: {}{ready}, {:.1} s in all\n{}\n",
        report.server,
        short(&report.revision),
        judged(report.verdict.is_good(), report.verdict.as_str()),
        report.seconds,
        report.image,
    ));
    if report.kept {
        let server = &report.server;
        for link in &report.links {
            text.push_str(&format!("port {}: {}\n", link.inside, link.url));
        }
        text.push_str(&format!(
            "it goes on running: regrow exec {server} --trial -- bash; end it: regrow trial {server} --stop\n"
        ));
    }
    text
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// Keep a trial running (called by `trial --keep`)
#[derive(Debug, clap::Args)]
pub(crate) struct KeepTrial {
    /// The server
    server: String,
}

pub(crate) fn run_keeper(args: &KeepTrial, ctx: &Context) -> Outcome {
    keep::keeper(ctx, &args.server)?;
    Ok(ExitCode::SUCCESS)
}
