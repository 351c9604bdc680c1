//! The program `regrow`: words in, words out, no logic.
//!
//! Each verb is one file in [`commands`]: its arguments, whose doc comments are the manual, and the words for its
//! report. What a verb does is one function in `regrow_ops`. Data goes to standard output; progress, notes and errors
//! to standard error. With `--json` standard output is exactly one JSON object, also for a failure.

mod cli;
mod commands;
mod progress;
mod session;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Rust ignores SIGPIPE; a reader that went away is then an error of `write`, which the session takes for the end.
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let session = session::Session::new(&cli.global);
    if let Err(e) = regrow_host::cancel::on_signals() {
        session.note(&format!("Ctrl-C will end the program at once: {e}"));
    }
    let code = session.start(&cli.global).and_then(|ctx| commands::run(&cli.command, &ctx, &session));
    session.end(code)
}
