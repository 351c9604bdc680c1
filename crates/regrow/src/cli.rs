//! The command line: global options and the list of verbs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::commands;

/// Cut the server down; it grows back from text.
///
/// A fleet is a git repository that describes servers in text. Regrow builds an image from the text, tries it offline,
/// and makes it the online server, with an automatic way back.
///
/// A first walk:
///
///     regrow init fleet && cd fleet
///     regrow lock web1             choose exact packages
///     regrow trial web1            build, boot offline, judge
///     regrow switch web1           make it the online server
///     regrow set web1 files."/etc/motd".content '"hello\n"' -m "Greet"
///
/// Exit status: 0 yes or done; 1 the answer is no (a trial failed, a switch went back); 2 a mistake in the text or the
/// command; 3 the surroundings (not root, a program missing, network, full disk); 130 stopped by Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "regrow", version, verbatim_doc_comment, disable_help_subcommand = true, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every verb.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The fleet's directory [default: the one around the current directory]
    #[arg(short = 'C', long, value_name = "DIR", global = true)]
    pub(crate) fleet: Option<PathBuf>,
    /// One JSON object on standard output, also for a failure; words go to standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// More words: every step, with causes
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(commands::init::Init),
    Check(commands::check::Check),
    Lock(commands::lock::Lock),
    Set(commands::set::Set),
    Unset(commands::set::Unset),
    Add(commands::add::Add),
    Search(commands::add::Search),
    Build(commands::build::Build),
    Trial(commands::trial::Trial),
    Switch(commands::online::Switch),
    Rollback(commands::online::Rollback),
    Status(commands::status::Status),
    Exec(commands::exec::Exec),
    Logs(commands::exec::LogsOf),
    Drift(commands::drift::Drift),
    Start(commands::online::Start),
    Stop(commands::online::Stop),
    Up(commands::online::Up),
    Draft(commands::draft::DraftArgs),
    Log(commands::log::Log),
    Show(commands::show::Show),
    Diff(commands::diff::Diff),
    Revert(commands::revert::Revert),
    Pick(commands::revert::Pick),
    Resolve(commands::resolve::Resolve),
    Bisect(commands::bisect::Bisect),
    Why(commands::why::Why),
    Gc(commands::gc::Gc),
    Doctor(commands::doctor::Doctor),
    Serve(commands::serve::ServeArgs),
    Account(commands::account::Account),
    Acts(commands::acts::Acts),
    Undo(commands::undo::Undo),
    Pull(commands::remote::Pull),
    Push(commands::remote::Push),
    Hooks(commands::hooks::Hooks),
    MergeDriver(commands::merge_driver::MergeDriver),
    #[command(hide = true)]
    KeepTrial(commands::trial::KeepTrial),
    #[command(hide = true)]
    Supervise(commands::online::Supervise),
    #[command(hide = true)]
    RunJob(commands::job::RunJob),
}

/// Parses the command line. A mistake in it is told here, as words and, where asked for, as JSON.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Cli, ExitCode> {
    let args: Vec<OsString> = args.collect();
    Cli::try_parse_from(&args).map_err(|e| {
        let asked_for = !e.use_stderr();
        // Printing fails only if nobody reads.
        let _ = e.print();
        if asked_for {
            return ExitCode::SUCCESS;
        }
        if args.iter().take_while(|a| *a != "--").any(|a| a == "--json") {
            let text = e.render().to_string();
            let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let error = serde_json::json!({"error": {"code": "usage", "message": message, "causes": [], "exit": 2}});
            crate::session::print(&format!("{error}\n"));
        }
        ExitCode::from(2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
