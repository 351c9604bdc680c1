//! `regrow exec` and `regrow logs`: look inside.

use std::ffi::OsString;
use std::process::ExitCode;

use regrow_ops::online::Logs;
use regrow_ops::trial::keep;
use regrow_ops::{Context, online};

use crate::session::{Outcome, Session};

/// Run a program inside the online server, as its root
///
/// On a terminal the program gets one too. The exit status is the program's.
///
///     regrow exec web1 -- systemctl status nginx
///     regrow exec web1 -- bash
///     regrow exec web1 --trial -- journalctl -b     inside the trial that was kept
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Exec {
    /// The server
    server: String,
    /// Inside the trial that `trial --keep` left running, not the online server
    #[arg(long)]
    trial: bool,
    /// The program with its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Show the journal of the online server
///
///     regrow logs web1
///     regrow logs web1 --unit nginx --follow
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct LogsOf {
    /// The server
    server: String,
    /// Only of this unit
    #[arg(short, long, value_name = "UNIT")]
    unit: Option<String>,
    /// Only the newest lines
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<u32>,
    /// Go on with new lines until Ctrl-C
    #[arg(short, long)]
    follow: bool,
}

pub(crate) fn run(args: &Exec, ctx: &Context, session: &Session) -> Outcome {
    if session.json() {
        session.note("--json has no meaning for exec: standard output is the program's");
    }
    let code = if args.trial {
        online::run_in(&keep::inside(ctx, &args.server)?, &args.command)?
    } else {
        online::exec(ctx, &args.server, &args.command)?
    };
    Ok(status(code))
}

pub(crate) fn run_logs(args: &LogsOf, ctx: &Context) -> Outcome {
    let logs = Logs { unit: args.unit.clone(), lines: args.lines, follow: args.follow };
    Ok(status(online::logs(ctx, &args.server, &logs)?))
}

fn status(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
