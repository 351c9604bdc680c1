//! What must hold for a server to be healthy.

use serde::{Deserialize, Serialize};

use crate::read::rules::{AbsolutePath, Command, ExitStatus, HttpStatus, Mode, Port, Seconds, Text, UnitName, Url};
use crate::read::table;

/// One check: what is looked at, and how long it may take to become true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is looked at.
    #[serde(flatten)]
    pub kind: CheckKind,
    /// Seconds within which it must pass; it is tried again until then.
    pub timeout: u64,
}

/// The kinds of check. All run inside the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum CheckKind {
    /// A systemd unit is active.
    Unit {
        /// Full unit name.
        unit: String,
    },
    /// Something listens on a TCP port of the loopback address.
    Port {
        /// The port.
        port: u16,
    },
    /// A GET request is answered as expected.
    Http {
        /// `http://` address; host `localhost` or an address of the server.
        url: String,
        /// Expected status code.
        status: u16,
        /// Text that the body must contain.
        body: Option<String>,
    },
    /// A program ends as expected.
    Command {
        /// Program (absolute path) and arguments; no shell.
        argv: Vec<String>,
        /// Expected exit status.
        exit: u8,
        /// Text that its standard output must contain.
        stdout: Option<String>,
    },
    /// A file is there (or is not) and is as expected.
    File {
        /// Absolute path.
        path: String,
        /// Whether it must exist.
        exists: bool,
        /// Text that it must contain.
        content: Option<String>,
        /// Its permission bits.
        mode: Option<u32>,
    },
}

impl CheckKind {
    /// The key that chooses the kind: "unit", "port", "http", "command" or "file".
    pub fn name(&self) -> &'static str {
        match self {
            CheckKind::Unit { .. } => "unit",
            CheckKind::Port { .. } => "port",
            CheckKind::Http { .. } => "http",
            CheckKind::Command { .. } => "command",
            CheckKind::File { .. } => "file",
        }
    }
}

table! {
    /// A check: exactly one of `unit`, `port`, `http`, `command`, `file`, and what is expected of it.
    pub struct CheckText {
        /// A systemd unit that must be active.
        unit: Option<String> as UnitName,
        /// A TCP port that must be listened on.
        port: Option<u16> as Port,
        /// An address that must answer a GET request, such as "http://localhost/".
        http: Option<String> as Url,
        /// With `http`: the status code expected.
        status: Option<u16> as HttpStatus,
        /// With `http`: text that the answer must contain.
        body: Option<String> as Text,
        /// A program (absolute path) and its arguments; no shell.
        command: Option<Vec<String>> as Command,
        /// With `command`: the exit status expected.
        exit: Option<u8> as ExitStatus,
        /// With `command`: text that standard output must contain.
        stdout: Option<String> as Text,
        /// A file that must be there.
        file: Option<String> as AbsolutePath,
        /// With `file`: whether it must exist.
        exists: Option<bool> as bool,
        /// With `file`: text that it must contain.
        content: Option<String> as Text,
        /// With `file`: its permission bits, such as "0644".
        mode: Option<u32> as Mode,
        /// Seconds within which the check must pass.
        timeout: u64 as Seconds = 30,
    }
}
