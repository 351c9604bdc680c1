//! One run of the program: where words go, how errors look, which exit status comes of it.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use regrow_ops::context::{Clock, Context, Setup, find_fleet};
use regrow_ops::{Answer, Error};

use crate::cli::Global;
use crate::progress::Shown;

/// What a verb ends with: its exit status, or why it gave no answer.
pub(crate) type Outcome = Result<ExitCode, Error>;

/// Where Regrow keeps images, state and the record, if `REGROW_HOME` does not say.
const HOME: &str = "/var/lib/regrow";

/// One run of the program.
#[derive(Debug)]
pub(crate) struct Session {
    json: bool,
    verbose: bool,
    shown: Arc<Shown>,
}

impl Session {
    pub(crate) fn new(global: &Global) -> Session {
        Session { json: global.json, verbose: global.verbose, shown: Arc::new(Shown::new(global.verbose)) }
    }

    /// The context for the verbs.
    pub(crate) fn start(&self, global: &Global) -> Result<Context, Error> {
        let here = std::env::current_dir().map_err(|e| regrow_host::FsError::new("find", ".", e))?;
        let fleet = match &global.fleet {
            Some(dir) => Some(find_fleet(dir).ok_or_else(|| {
                let message =
                    format!("{} is no fleet: neither it nor a directory above it has a regrow.toml", dir.display());
                Error::mistake_with(message, "make one with: regrow init DIR")
            })?),
            None => find_fleet(&here),
        };
        let home = std::env::var_os("REGROW_HOME").filter(|h| !h.is_empty()).unwrap_or_else(|| HOME.into());
        let home =
            std::path::absolute(&home).map_err(|e| regrow_host::FsError::new("find", PathBuf::from(&home), e))?;
        let program = std::env::current_exe().map_err(|e| regrow_host::FsError::new("find", "this program", e))?;
        let actor =
            ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|key| std::env::var(key).ok().filter(|v| !v.is_empty()));
        let actor = actor.unwrap_or_else(|| "root".to_owned());
        let ctx = Context::new(Setup { fleet, home, actor, program, clock: Clock::System });
        Ok(ctx.with_progress(self.shown.clone()))
    }

    /// Prints a verb's report: as JSON, or as `words`. The exit status is the report's answer.
    pub(crate) fn answer<T: Answer>(&self, report: &T, words: impl FnOnce(&T) -> String) -> Outcome {
        self.shown.clear();
        if self.json {
            let json = serde_json::to_string_pretty(report)
                .map_err(|source| Error::Json { what: "our own report".to_owned(), source })?;
            print(&format!("{json}\n"));
        } else {
            let mut text = words(report);
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            print(&text);
        }
        Ok(if report.is_yes() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    /// Whether standard output is for programs.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Says words that are part of the answer, to a person who reads along.
    pub(crate) fn say(&self, text: &str) {
        if !text.is_empty() {
            self.shown.say(text);
        }
    }

    /// Says something that is no answer.
    pub(crate) fn note(&self, text: &str) {
        self.shown.say(&format!("note: {text}"));
    }

    /// Shows what went wrong, if something did; returns the exit status.
    pub(crate) fn end(&self, outcome: Outcome) -> ExitCode {
        self.shown.clear();
        match outcome {
            Ok(code) => code,
            Err(e) => {
                // Whatever an interrupted step says about itself: the person asked to stop.
                let e = if regrow_host::cancel::requested() { Error::Cancelled } else { e };
                self.shown.say(self.error(&e).trim_end());
                if self.json {
                    print(&format!("{}\n", serde_json::json!({ "error": e.to_json() })));
                }
                ExitCode::from(e.exit_code())
            }
        }
    }

    fn error(&self, e: &Error) -> String {
        let (red, plain) = ("\x1b[1;31m", "\x1b[0m");
        let mut text = String::new();
        if let Error::Diagnostics(diagnosed) = e {
            text.push_str(&diagnosed.render(std::io::stderr().is_terminal()));
            text.push_str("\n\n");
        }
        text.push_str(&format!("{red}error{plain}: {e}\n"));
        let mut last = e.to_string();
        for cause in e.causes() {
            // Wrappers that pass a message on unchanged would show it twice.
            if cause != last {
                text.push_str(&format!("  because: {cause}\n"));
            }
            last = cause;
        }
        if let Some(help) = e.help() {
            text.push_str(&format!("help: {help}\n"));
        }
        if self.verbose {
            text.push_str(&format!("details: {e:?}\n"));
        }
        text
    }
}

/// Writes to standard output. A reader that went away ends the program quietly, as `head` expects.
pub(crate) fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    if let Err(e) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        let code = if e.kind() == std::io::ErrorKind::BrokenPipe { 0 } else { 3 };
        if code != 0 {
            let _ = writeln!(anstream::stderr(), "error: cannot write to standard output: {e}");
        }
        std::process::exit(code);
    }
}
