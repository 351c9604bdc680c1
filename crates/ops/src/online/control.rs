//! How commands talk to a supervisor: one request per connection over `control.sock`, as JSON lines.
//!
//! The command sends one [`Request`]; the supervisor answers with any number of [`Answer::Progress`] and then one
//! [`Answer::Report`] or [`Answer::Failed`]. A command that goes away changes nothing about what it asked for.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use regrow_host::fs;
use regrow_host::progress::{Event, Progress};
use serde::{Deserialize, Serialize};

use super::journal::{Candidate, Intent};
use super::report::SwitchReport;
use crate::error::Error;

/// Longest request in bytes: a candidate with all its checks.
const REQUEST: u64 = 4 << 20;
/// How long a client may keep the supervisor from writing.
const SLOW: Duration = Duration::from_secs(2);

/// What a command asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Put this online.
    Switch {
        /// What.
        candidate: Box<Candidate>,
    },
    /// Go back to the generation before.
    Rollback {
        /// Whether the state goes back as well.
        with_state: bool,
    },
    /// Take the server offline, until [`Request::Start`] or a switch.
    Stop,
    /// Bring it online again.
    Start,
    /// Decide about the generation that is being judged now.
    Decide {
        /// Which; `None`: whichever it is.
        generation: Option<u64>,
        /// Whether it stays.
        keep: bool,
        /// Who decides.
        by: String,
    },
}

impl Request {
    /// The intent of a request that replaces what is online.
    pub fn intent(&self) -> Intent {
        match self {
            Request::Rollback { with_state: true } => Intent::RollbackWithState,
            Request::Rollback { with_state: false } => Intent::Rollback,
            _ => Intent::Switch,
        }
    }
}

/// What the supervisor answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// What is going on.
    Progress(Event),
    /// What came of it.
    Report(Box<SwitchReport>),
    /// Stopped or started.
    Done,
    /// It could not be done.
    Failed {
        /// What happened, with its causes.
        message: String,
        /// The way out.
        help: Option<String>,
        /// The exit code.
        exit: u8,
    },
}

impl Answer {
    /// An error as an answer.
    pub fn failed(e: &Error) -> Answer {
        let mut message = e.to_string();
        for cause in e.causes() {
            if !message.ends_with(&cause) {
                message.push_str(": ");
                message.push_str(&cause);
            }
        }
        Answer::Failed { message, help: e.help(), exit: e.exit_code() }
    }
}

/// Where the socket is.
pub fn socket(dir: &Path) -> PathBuf {
    dir.join("control.sock")
}

/// Socket addresses are short (108 bytes); the way through the open directory always fits.
fn short(dir: &Path) -> Result<(std::fs::File, PathBuf), fs::Error> {
    let open = fs::open(dir)?;
    let path = Path::new("/proc/self/fd").join(open.as_raw_fd().to_string()).join("control.sock");
    Ok((open, path))
}

/// Listens. The caller holds the server's lock, so what is there is left over.
pub fn listen(dir: &Path) -> Result<UnixListener, fs::Error> {
    use std::os::unix::fs::PermissionsExt;
    let path = socket(dir);
    fs::remove_file(&path)?;
    let (_open, short) = short(dir)?;
    let error = |e| fs::Error::new("listen on", &path, e);
    let listener = UnixListener::bind(short).map_err(error)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(error)?;
    Ok(listener)
}

/// Connects to the supervisor; `None` if there is none (yet, or any more).
pub fn connect(dir: &Path) -> Result<Option<UnixStream>, fs::Error> {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    let (_open, short) = match short(dir) {
        Ok(short) => short,
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e) => return Err(e),
    };
    match UnixStream::connect(short) {
        Ok(stream) => Ok(Some(stream)),
        Err(e) if matches!(e.kind(), NotFound | ConnectionRefused) => Ok(None),
        Err(e) => Err(fs::Error::new("connect to", socket(dir), e)),
    }
}

/// Reads the request of a client that has connected; `None` if it makes no sense.
pub fn read_request(stream: &UnixStream) -> Option<Request> {
    stream.set_read_timeout(Some(SLOW)).ok()?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST)).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// A command that waits for answers; it may go away at any time.
#[derive(Debug)]
pub struct Client(Mutex<Option<UnixStream>>);

impl Client {
    /// Over this connection.
    pub fn new(stream: UnixStream) -> Client {
        let stream = stream.set_write_timeout(Some(SLOW)).is_ok().then_some(stream);
        Client(Mutex::new(stream))
    }

    /// Sends one answer, unless the command is gone.
    pub fn send(&self, answer: &Answer) {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(mut line) = serde_json::to_vec(answer) else { return };
        line.push(b'\n');
        if stream.as_mut().is_some_and(|s| s.write_all(&line).is_err()) {
            *stream = None;
        }
    }
}

impl Progress for Client {
    fn event(&self, event: &Event) {
        self.send(&Answer::Progress(event.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_goes_away_is_forgotten() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let client = Client::new(ours);
        client.send(&Answer::Done);
        let mut line = String::new();
        BufReader::new(&theirs).read_line(&mut line).unwrap();
        assert_eq!(line, "\"done\"\n");
        drop(theirs);
        client.send(&Answer::Done);
        client.send(&Answer::Done);
        assert!(client.0.lock().unwrap().is_none());
    }

    #[test]
    fn nobody_listening_is_no_error_and_a_leftover_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than a socket address may be.
        let deep = dir.path().join("a".repeat(120));
        assert!(connect(&deep).unwrap().is_none());
        std::fs::create_dir(&deep).unwrap();
        assert!(connect(&deep).unwrap().is_none());
        drop(listen(&deep).unwrap());
        assert!(connect(&deep).unwrap().is_none(), "a socket that nobody listens on");
        let listener = listen(&deep).unwrap();
        let mut stream = connect(&deep).unwrap().unwrap();
        stream.write_all(b"{\"request\":\"stop\"}\n").unwrap();
        assert!(matches!(read_request(&listener.accept().unwrap().0), Some(Request::Stop)));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in ["", "\n", "{}\n", "{\"request\":\"destroy\"}\n", "\u{0}\n"] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(text.as_bytes()).unwrap();
            drop(theirs);
            assert!(read_request(&ours).is_none(), "{text:?}");
        }
    }
}
