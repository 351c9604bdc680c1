//! A fleet on the real Debian archive, for tests that walk the whole way.
//!
//! Each test has a `REGROW_HOME` of its own; only verified downloads are shared, below the cache directory of whoever
//! runs the tests, so that a second run needs no network and a cold one works.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A home, a fleet and the program.
pub(crate) struct Real {
    dir: tempfile::TempDir,
    fleet: PathBuf,
    home: PathBuf,
    /// The published port of `web1`, free when the fleet was made.
    pub(crate) port: u16,
}

impl Real {
    /// A new home with the example fleet in it, unlocked.
    pub(crate) fn new() -> Real {
        let dir = tempfile::Builder::new().prefix("regrow-real-").tempdir().unwrap();
        let real = Real { fleet: dir.path().join("fleet"), home: dir.path().join("home"), port: free_port(), dir };
        share_downloads(&real.home);
        real.ok(&["init", real.fleet.to_str().unwrap(), "--suite", "trixie"]);
        let published = format!("[\"127.0.0.1:{}:80\"]", real.port);
        real.ok(&["set", "web1", "network.publish", &published, "-m", "publish on a free port"]);
        real
    }

    /// A new home with the example fleet locked: downloads are there, nothing is built.
    pub(crate) fn locked() -> Real {
        let real = Real::new();
        real.json(&["lock", "web1"]);
        real
    }

    /// Another empty home for the same fleet.
    pub(crate) fn with_fresh_home(&self, name: &str) -> PathBuf {
        let home = self.dir.path().join(name);
        share_downloads(&home);
        home
    }

    /// The home.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// The program with this fleet and home.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.command_in(&self.home, args)
    }

    /// The program with this fleet and another home.
    pub(crate) fn command_in(&self, home: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regrow"));
        if self.fleet.exists() {
            command.arg("-C").arg(&self.fleet);
        }
        command.args(args).env("REGROW_HOME", home).env("HOME", self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs it; anything but exit 0 fails the test with all it said.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{}", said(args, &output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs it with `--json`; anything but exit 0 fails the test.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        self.json_with_exit(args, 0)
    }

    /// Runs it with `--json` and holds it to an exit status.
    pub(crate) fn json_with_exit(&self, args: &[&str], exit: i32) -> Value {
        self.json_in(&self.home, args, exit)
    }

    /// [`Real::json_with_exit`] in another home.
    pub(crate) fn json_in(&self, home: &Path, args: &[&str], exit: i32) -> Value {
        let mut all = vec!["--json"];
        all.extend(args);
        let output = self.command_in(home, &all).output().unwrap();
        assert_eq!(output.status.code(), Some(exit), "{}", said(args, &output));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("no JSON: {e}\n{}", said(args, &output)))
    }

    /// Starts it and leaves it running.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What `web1` is, from `status`.
    pub(crate) fn status(&self) -> Value {
        let status = self.json(&["status", "web1"]);
        status["servers"][0].clone()
    }

    /// One HTTP request to the published port: the status line's code and the body.
    pub(crate) fn http(&self) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], self.port).into(), Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let code = text.split(' ').nth(1).and_then(|c| c.parse().ok());
        let code = code.ok_or_else(|| std::io::Error::other(format!("no HTTP answer: {text:?}")))?;
        Ok((code, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
    }

    /// The path of a text file of `web1`.
    pub(crate) fn text(&self, name: &str) -> PathBuf {
        self.fleet.join("servers/web1").join(name)
    }

    /// Writes a file of the fleet, with its directory.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.fleet.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// What git says in the fleet.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git").arg("-C").arg(&self.fleet).args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Lands what was edited by hand, as a person would.
    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", message]);
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // Nothing of a test outlives it, also when it failed.
        let _ = self.command(&["trial", "web1", "--stop"]).output();
        let _ = self.command(&["stop", "web1"]).output();
    }
}

/// What a command said, for a failed assertion.
pub(crate) fn said(args: &[&str], output: &Output) -> String {
    format!(
        "`regrow {}` ended with {}\n--- stdout\n{}\n--- stderr\n{}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Waits until `condition` holds; fails the test with `what` after `limit`.
pub(crate) fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < limit, "after {limit:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn share_downloads(home: &Path) {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|h| Path::new(&h).join(".cache")))
        .unwrap_or_else(|| "/var/cache".into())
        .join("regrow-tests/archive");
    std::fs::create_dir_all(&cache).unwrap();
    std::fs::create_dir_all(home).unwrap();
    std::os::unix::fs::symlink(&cache, home.join("archive")).unwrap();
}
