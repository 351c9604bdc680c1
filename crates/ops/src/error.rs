//! Why a verb gave no answer, in words for a person and as an exit code.
//!
//! | code | meaning | made of |
//! | --- | --- | --- |
//! | 1 | the answer is no | never an error: a report whose [`crate::Answer::is_yes`] is false; and [`Error::No`] where there is nothing to report |
//! | 2 | the person's mistake | [`Error::Diagnostics`], [`Error::Mistake`], [`Error::Unchanged`] and what lower crates say about the text |
//! | 3 | the surroundings | everything else: files, programs, network, privileges |
//! | 130 | stopped on request | [`Error::Cancelled`] |
//!
//! Lower crates' errors are carried whole. Their `Display` says what happened; [`Error::help`] adds the way out.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::path::PathBuf;

use regrow_build::BuildError;
use regrow_config::Diagnostic;
use regrow_host::{FsError, program};

/// The result of a verb.
pub type Result<T> = std::result::Result<T, Error>;

/// Diagnostics with the text that they point into, so that they can be shown anywhere.
#[derive(Debug, Default, Clone)]
pub struct Diagnosed {
    /// What is wrong or doubtful, in the order of files and lines.
    pub diagnostics: Vec<Diagnostic>,
    /// Text by fleet path.
    pub sources: BTreeMap<String, String>,
}

impl Diagnosed {
    /// All diagnostics as a terminal shows them, one after the other with an empty line between.
    pub fn render(&self, color: bool) -> String {
        let shown = self.diagnostics.iter().map(|d| {
            let text = self.sources.get(&*d.file).map_or("", String::as_str);
            d.render(text, color).trim_end().to_owned()
        });
        shown.collect::<Vec<_>>().join("\n\n")
    }
}

/// Why a verb gave no answer. See the module for exit codes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text has mistakes.
    #[error("{}", mistakes(.0))]
    Diagnostics(Box<Diagnosed>),
    /// A mistake outside the text: an unknown server, a bad argument, uncommitted edits.
    #[error("{message}")]
    Mistake {
        /// What is wrong, and where.
        message: String,
        /// What to do now.
        help: Option<String>,
    },
    /// What was asked for is so already: nothing would change.
    #[error("{message}")]
    Unchanged {
        /// What would not change.
        message: String,
        /// What to do now.
        help: String,
    },
    /// The answer is no and there is nothing more to report.
    #[error("{message}")]
    No {
        /// What was asked and why the answer is no.
        message: String,
        /// What to do now.
        help: Option<String>,
    },
    /// The machine lacks something: privileges, a kernel feature, a free place.
    #[error("{message}")]
    Surroundings {
        /// What is missing.
        message: String,
        /// What to do now.
        help: Option<String>,
    },
    /// Another job works on the same server.
    #[error("another job works on {server} now: {holder}")]
    Busy {
        /// The server.
        server: String,
        /// Who holds it, in words.
        holder: String,
    },
    /// Somebody asked to stop.
    #[error("stopped on request")]
    Cancelled,
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FsError),
    /// A program failed or is missing.
    #[error(transparent)]
    Program(#[from] program::Error),
    /// The history gave no answer.
    #[error(transparent)]
    History(#[from] regrow_history::Error),
    /// An edit of the text was refused.
    #[error(transparent)]
    Edit(#[from] regrow_config::edit::EditError),
    /// Packages could not be chosen or fetched.
    #[error(transparent)]
    Archive(Box<regrow_archive::Error>),
    /// There is no image.
    #[error(transparent)]
    Build(Box<BuildError>),
    /// The store said no.
    #[error(transparent)]
    Image(#[from] regrow_image::Error),
    /// A machine could not be started or used.
    #[error(transparent)]
    Machine(Box<regrow_machine::Error>),
    /// A sandbox could not be made or entered.
    #[error(transparent)]
    Sandbox(#[from] regrow_sandbox::Error),
    /// State could not be prepared, captured or brought back.
    #[error(transparent)]
    State(#[from] regrow_state::Error),
    /// The record of jobs and evidence could not be used.
    #[error("cannot use the record of jobs and evidence {}", path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// JSON that we wrote ourselves does not read.
    #[error("cannot read {what}")]
    Json {
        /// What was read.
        what: String,
        /// Where it stops making sense.
        #[source]
        source: serde_json::Error,
    },
}

fn mistakes(diagnosed: &Diagnosed) -> String {
    let errors = diagnosed.diagnostics.iter().filter(|d| d.is_error()).count();
    if errors == 1 { "the text has a mistake".to_owned() } else { format!("the text has {errors} mistakes") }
}

impl From<regrow_machine::Error> for Error {
    fn from(e: regrow_machine::Error) -> Error {
        match e {
            regrow_machine::Error::Cancelled => Error::Cancelled,
            e => Error::Machine(Box::new(e)),
        }
    }
}

impl Error {
    /// The person's mistake, with no further advice.
    pub fn mistake(message: impl Into<String>) -> Error {
        Error::Mistake { message: message.into(), help: None }
    }

    /// The person's mistake, with the way out.
    pub fn mistake_with(message: impl Into<String>, help: impl Into<String>) -> Error {
        Error::Mistake { message: message.into(), help: Some(help.into()) }
    }

    /// Nothing would change, with what to do instead.
    pub fn unchanged(message: impl Into<String>, help: impl Into<String>) -> Error {
        Error::Unchanged { message: message.into(), help: help.into() }
    }

    /// A lack of the surroundings, with the way out.
    pub fn surroundings(message: impl Into<String>, help: impl Into<String>) -> Error {
        Error::Surroundings { message: message.into(), help: Some(help.into()) }
    }

    /// The exit code of the program, as the module's table says.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::No { .. } => 1,
            Error::Diagnostics(_) | Error::Mistake { .. } | Error::Unchanged { .. } => 2,
            Error::Cancelled => 130,
            Error::Edit(_) => 2,
            Error::History(e) if e.is_mistake() => 2,
            Error::History(_) => 3,
            Error::Archive(e) if e.is_surroundings() => 3,
            Error::Archive(_) => 2,
            Error::Build(e) => match **e {
                // The text was fine and the answer is no: some package cannot be installed like this.
                BuildError::Package { .. } | BuildError::Inside { .. } | BuildError::Unfinished { .. } => 1,
                BuildError::Accounts(_)
                | BuildError::PrivateKey { .. }
                | BuildError::NoSuchUnit { .. }
                | BuildError::Text { .. }
                | BuildError::Catalog { .. } => 2,
                _ => 3,
            },
            Error::State(regrow_state::Error::Fs(_)) => 3,
            Error::State(_) => 2,
            Error::Surroundings { .. }
            | Error::Busy { .. }
            | Error::File(_)
            | Error::Program(_)
            | Error::Sandbox(_)
            | Error::Image(_)
            | Error::Machine(_)
            | Error::Database { .. }
            | Error::Json { .. } => 3,
        }
    }

    /// A stable word for programs that read `--json`.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Diagnostics(_) => "diagnostics",
            Error::Mistake { .. } => "mistake",
            Error::Unchanged { .. } => "unchanged",
            Error::No { .. } => "no",
            Error::Surroundings { .. } => "surroundings",
            Error::Busy { .. } => "busy",
            Error::Cancelled => "cancelled",
            Error::File(_) => "file",
            Error::Program(_) => "program",
            Error::History(_) => "history",
            Error::Edit(_) => "edit",
            Error::Archive(_) => "archive",
            Error::Build(_) => "build",
            Error::Image(_) => "image",
            Error::Machine(_) => "machine",
            Error::Sandbox(_) => "sandbox",
            Error::State(_) => "state",
            Error::Database { .. } => "database",
            Error::Json { .. } => "json",
        }
    }

    /// The way out, where one is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Error::Mistake { help, .. } | Error::No { help, .. } | Error::Surroundings { help, .. }
                if help.is_some() =>
            {
                help.clone()
            }
            Error::Unchanged { help, .. } => Some(help.clone()),
            Error::Busy { .. } => Some("wait until it has ended; `regrow status` shows what is going on".to_owned()),
            Error::Database { path, .. } => Some(format!(
                "delete {} to start a new one: only the history of work is lost, no server and no text",
                path.display()
            )),
            _ if self.is_disk_full() => Some(
                "free some space (`regrow gc` frees what nothing uses) and run the command again: nothing was lost"
                    .to_owned(),
            ),
            _ if self.io_kind(&[std::io::ErrorKind::ReadOnlyFilesystem]) => {
                Some("the disk is mounted read-only, so nothing was changed; looking works all the same".to_owned())
            }
            _ if self.is_permission_denied() => Some("run the command as root".to_owned()),
            _ => None,
        }
    }

    /// The causes below this error, outermost first, in words.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }

    /// This error as `--json` shows it and as jobs keep it.
    pub fn to_json(&self) -> serde_json::Value {
        let mut error = serde_json::json!({
            "code": self.code(),
            "message": self.to_string(),
            "causes": self.causes(),
            "exit": self.exit_code(),
        });
        if let Some(help) = self.help() {
            error["help"] = help.into();
        }
        if let Error::Diagnostics(diagnosed) = self {
            error["diagnostics"] = serde_json::to_value(&diagnosed.diagnostics).unwrap_or_default();
        }
        error
    }

    fn io_kind(&self, wanted: &[std::io::ErrorKind]) -> bool {
        let mut next: Option<&(dyn StdError + 'static)> = Some(self);
        while let Some(e) = next {
            if e.downcast_ref::<std::io::Error>().is_some_and(|e| wanted.contains(&e.kind())) {
                return true;
            }
            next = e.source();
        }
        false
    }

    /// Whether somewhere below the disk (or a quota) was full.
    pub fn is_disk_full(&self) -> bool {
        self.io_kind(&[std::io::ErrorKind::StorageFull, std::io::ErrorKind::QuotaExceeded])
    }

    /// Whether somewhere below the kernel refused for lack of privileges.
    pub fn is_permission_denied(&self) -> bool {
        self.io_kind(&[std::io::ErrorKind::PermissionDenied])
    }
}
