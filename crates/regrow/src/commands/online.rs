//! `regrow switch`, `rollback`, `start`, `stop`, `up`: what is online.

use std::process::ExitCode;

use regrow_host::lock::Wait;
use regrow_ops::jobs::{self, About};
use regrow_ops::online::{PowerReport, SwitchReport};
use regrow_ops::wanted::short;
use regrow_ops::{Answer, Context, online};

use crate::session::{Outcome, Session};
use crate::words::{bold, judged};

/// Make a revision the online server, or leave what was there if it is not healthy
///
/// Builds it, takes a snapshot of the state, stops the old server, starts the new one and checks it. If it fails, the
/// old image and the old state are online again: exit status 1, and the revision is held. Takes committed text only.
/// Connections to published ports wait meanwhile.
///
///     regrow switch web1
///     regrow switch web1 --at HEAD~1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Switch {
    /// The server
    server: String,
    /// The revision [default: HEAD]
    #[arg(long, value_name = "REV")]
    at: Option<String>,
}

/// Go back to what was online before the last switch
///
/// The state stays as it is; with --with-state it goes back too, to the moment of the switch.
///
///     regrow rollback web1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Rollback {
    /// The server
    server: String,
    /// Bring the state back as well
    #[arg(long)]
    with_state: bool,
}

/// Bring a stopped server online again, as it was
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    /// The server
    server: String,
}

/// Take a server offline, in order, until `start` or `switch`
#[derive(Debug, clap::Args)]
pub(crate) struct Stop {
    /// The server
    server: String,
}

/// Bring every server online that should be, for instance after a boot of this machine
///
/// Every command does it; this one does nothing else. With --unit it prints a systemd unit that runs it at boot.
///
///     regrow up
///     regrow up --unit > /etc/systemd/system/regrow.service && systemctl enable regrow
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Up {
    /// Print a systemd unit for this machine
    #[arg(long)]
    unit: bool,
}

/// Run one online server (started when it is needed)
#[derive(Debug, clap::Args)]
pub(crate) struct Supervise {
    /// The server
    server: String,
}

pub(crate) fn run_switch(args: &Switch, ctx: &Context, session: &Session) -> Outcome {
    let report = job(ctx, "switch", &args.server, |ctx| online::switch(ctx, &args.server, args.at.as_deref()))?;
    session.answer(&report, words)
}

pub(crate) fn run_rollback(args: &Rollback, ctx: &Context, session: &Session) -> Outcome {
    let report = job(ctx, "rollback", &args.server, |ctx| online::rollback(ctx, &args.server, args.with_state))?;
    session.answer(&report, words)
}

pub(crate) fn run_start(args: &Start, ctx: &Context, session: &Session) -> Outcome {
    let report = job(ctx, "start", &args.server, |ctx| online::start(ctx, &args.server))?;
    session.answer(&report, |_| format!("{} is online\n", args.server))
}

pub(crate) fn run_stop(args: &Stop, ctx: &Context, session: &Session) -> Outcome {
    let report = job(ctx, "stop", &args.server, |ctx| online::stop(ctx, &args.server))?;
    session.answer(&report, |report| match report.servers.is_empty() {
        true => format!("{} was not online\n", args.server),
        false => format!("{} is stopped; start it again with: regrow start {}\n", args.server, args.server),
    })
}

pub(crate) fn run_up(args: &Up, ctx: &Context, session: &Session) -> Outcome {
    if args.unit {
        crate::session::print(&online::host_unit(ctx.program(), ctx.home().path()));
        return Ok(ExitCode::SUCCESS);
    }
    let report: PowerReport = online::up(ctx)?;
    session.answer(&report, |report| match &report.servers[..] {
        [] => "everything that should be online has a supervisor\n".to_owned(),
        servers => format!("brought online: {}\n", servers.join(", ")),
    })
}

pub(crate) fn run_supervise(args: &Supervise, ctx: &Context) -> Outcome {
    online::supervise(ctx, &args.server)?;
    Ok(ExitCode::SUCCESS)
}

fn job<T: Answer>(
    ctx: &Context,
    verb: &'static str,
    server: &str,
    work: impl FnOnce(&Context) -> regrow_ops::Result<T>,
) -> regrow_ops::Result<T> {
    jobs::run(ctx, &About::server(verb, server.to_owned(), Wait::UntilFree), work)
}

fn words(report: &SwitchReport) -> String {
    let server = &report.server;
    let to = short(&report.to_revision);
    if report.unchanged {
        return format!("{server}: {to} is online already\n{}\n", report.to);
    }
    let mut text = super::trial::checks(&report.checks);
    for failed in &report.failed_units {
        text.push_str(&super::trial::failed_unit(failed));
    }
    let verdict = judged(report.verdict.is_good(), report.verdict.as_str());
    if report.verdict.is_good() {
        let from = report.from_revision.as_deref().map(|r| format!(" from {}", short(r))).unwrap_or_default();
        text.push_str(&format!(
            "{server}: {verdict}{from} to {to}, ports were not connected for {:.1} s, {:.1} s in all\n{}\n",
            report.down_seconds, report.seconds, report.to
        ));
    } else {
        let why = report.failed.as_deref().map(|f| format!(" ({} failed)", bold(f))).unwrap_or_default();
        text.push_str(&format!("{server}: {to} was not healthy{why}: {}\n", report.detail));
        let back = match &report.from_revision {
            Some(from) => format!("{} is online again", short(from)),
            None => "nothing is online, as before".to_owned(),
        };
        text.push_str(&format!("{server}: {verdict}; {back}\n"));
        if report.held {
            text.push_str(&format!("{to} is held: it is not retried by itself\n"));
        }
    }
    text
}
