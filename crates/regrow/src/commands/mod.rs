//! One file per verb.

pub(crate) mod account;
pub(crate) mod acts;
pub(crate) mod add;
pub(crate) mod bisect;
pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod draft;
pub(crate) mod drift;
pub(crate) mod exec;
pub(crate) mod gc;
pub(crate) mod hooks;
pub(crate) mod init;
pub(crate) mod job;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod merge_driver;
pub(crate) mod online;
pub(crate) mod remote;
pub(crate) mod resolve;
pub(crate) mod revert;
pub(crate) mod serve;
pub(crate) mod set;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod steps;
pub(crate) mod trial;
pub(crate) mod undo;
pub(crate) mod why;

use regrow_ops::Context;

use crate::cli::Command;
use crate::session::{Outcome, Session};

/// Does what the command line says.
pub(crate) fn run(command: &Command, ctx: &Context, session: &Session) -> Outcome {
    match command {
        Command::Init(args) => init::run(args, ctx, session),
        Command::Check(args) => check::run(args, ctx, session),
        Command::Lock(args) => lock::run(args, ctx, session),
        Command::Set(args) => set::run(args, ctx, session),
        Command::Unset(args) => set::run_unset(args, ctx, session),
        Command::Add(args) => add::run(args, ctx, session),
        Command::Search(args) => add::run_search(args, ctx, session),
        Command::Build(args) => build::run(args, ctx, session),
        Command::Trial(args) => trial::run(args, ctx, session),
        Command::KeepTrial(args) => trial::run_keeper(args, ctx),
        Command::Switch(args) => online::run_switch(args, ctx, session),
        Command::Rollback(args) => online::run_rollback(args, ctx, session),
        Command::Status(args) => status::run(args, ctx, session),
        Command::Exec(args) => exec::run(args, ctx, session),
        Command::Logs(args) => exec::run_logs(args, ctx),
        Command::Draft(args) => draft::run(args, ctx, session),
        Command::Drift(args) => drift::run(args, ctx, session),
        Command::Start(args) => online::run_start(args, ctx, session),
        Command::Stop(args) => online::run_stop(args, ctx, session),
        Command::Up(args) => online::run_up(args, ctx, session),
        Command::Supervise(args) => online::run_supervise(args, ctx),
        Command::Hooks(args) => hooks::run(args, ctx, session),
        Command::MergeDriver(args) => merge_driver::run(args, session),
        Command::RunJob(_) => job::run(ctx),
        Command::Gc(args) => gc::run(args, ctx, session),
        Command::Doctor(args) => doctor::run(args, ctx, session),
        Command::Serve(args) => serve::run(args, ctx, session),
        Command::Account(args) => account::run(args, ctx, session),
        Command::Acts(args) => acts::run(args, ctx, session),
        Command::Pull(args) => remote::run_pull(args, ctx, session),
        Command::Push(args) => remote::run_push(args, ctx, session),
        Command::Undo(args) => undo::run(args, ctx, session),
        Command::Log(args) => log::run(args, ctx, session),
        Command::Revert(args) => revert::revert(args, ctx, session),
        Command::Pick(args) => revert::pick(args, ctx, session),
        Command::Resolve(args) => resolve::run(args, ctx, session),
        Command::Why(args) => why::run(args, ctx, session),
        Command::Bisect(args) => bisect::run(args, ctx, session),
        Command::Show(args) => show::run(args, ctx, session),
        Command::Diff(args) => diff::run(args, ctx, session),
    }
}
