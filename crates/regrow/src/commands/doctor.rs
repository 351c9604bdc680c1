//! `regrow doctor`.

use std::process::ExitCode;

use regrow_ops::Context;
use regrow_ops::doctor::FindingState;

use crate::session::{Outcome, Session};
use crate::words::{judged, table};

/// Say whether this machine has what Regrow needs, and what to do where it has not
///
/// Everything is found by trying. In a fleet its archives are asked too. Exit status 3 if something is missing that
/// nothing goes without.
///
///     regrow doctor
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Doctor {}

pub(crate) fn run(_: &Doctor, ctx: &Context, session: &Session) -> Outcome {
    let report = regrow_ops::doctor(ctx)?;
    session.answer(&report, |report| {
        let mut rows = Vec::new();
        for check in &report.checks {
            let word = match check.state {
                FindingState::Ok => judged(true, "ok"),
                FindingState::Fallback => "fallback".to_owned(),
                FindingState::Missing => judged(false, "missing"),
            };
            rows.push(vec![word, check.name.clone(), check.detail.clone()]);
        }
        let verdict = if report.ok { "this machine has what Regrow needs" } else { "something is missing" };
        format!("{}\n{verdict}\n", table(&rows))
    })?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
