//! `regrow run-job`: the process of a job that a page asked for.

use std::process::ExitCode;

use regrow_ops::{Context, jobs};

use crate::session::Outcome;

/// Do one job (started by the pages)
#[derive(Debug, clap::Args)]
pub(crate) struct RunJob {}

pub(crate) fn run(ctx: &Context) -> Outcome {
    jobs::worker(ctx)?;
    Ok(ExitCode::SUCCESS)
}
