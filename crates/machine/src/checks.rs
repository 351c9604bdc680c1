//! Judging a machine: the server's own checks, and two that always hold.
//!
//! Every check is tried until it passes or its time is up; what it saw last is its evidence. All run at the same time.
//! Who looks on is told of every change ([`Event::Check`]), and may end the trying when the answer no longer matters.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use regrow_config::model::{Check, CheckKind};
use regrow_host::cancel;
use regrow_host::progress::{CheckSeen, CheckState, Event, Progress, Silent};
use serde::{Deserialize, Serialize};

use crate::console::plain;
use crate::http;
use crate::inside::Inside;

/// Pause after the first try. What is asked (units, ports, files of a foreign system) signals nothing to wait for.
const PAUSE: Duration = Duration::from_millis(20);
/// The pause doubles up to this: tries cost processor time, which a server that is starting needs itself.
const LONGEST_PAUSE: Duration = Duration::from_millis(320);
/// What one try gets at least, also when the time is up.
const SHORTEST: Duration = Duration::from_millis(50);
/// How often it is told at most what a check that goes on sees.
const TELL: Duration = Duration::from_millis(500);
/// How often it is asked whether the answer still matters.
const LOOK: Duration = Duration::from_millis(50);
/// Most bytes of a file that are compared.
const FILE_LIMIT: u64 = 4 << 20;

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Its name in the text, or `system` and `failed-units` for those that always run.
    pub name: String,
    /// `unit`, `port`, `http`, `command`, `file` or `system`.
    pub kind: String,
    /// Whether it held.
    pub passed: bool,
    /// What was seen, in words.
    pub detail: String,
    /// Wall-clock seconds until it held or its time was up.
    pub seconds: f64,
    /// Whether it was left off before its time was up, because the answer no longer mattered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
}

/// The checks that every machine must pass.
#[derive(Debug, Clone, Copy)]
pub struct Always {
    /// How long systemd may take to say `running`.
    pub timeout: Duration,
}

/// What one try saw.
enum Seen {
    Yes(String),
    NotYet(String),
    /// Trying again is of no use.
    Never(String),
}

/// The two that always run, before all others.
const SYSTEM: &str = "system";
const UNITS: &str = "failed-units";
/// How long listing failed units may take.
const UNITS_LIMIT: Duration = Duration::from_secs(10);

/// Tells of all checks that they wait for the machine to come up.
pub fn announce(checks: &BTreeMap<String, Check>, always: Always, told: &dyn Progress) {
    for plan in plans(checks, always) {
        told.event(&plan.event(CheckState::Waiting, "", 0.0));
    }
}

/// A check to be made.
struct Plan {
    name: String,
    kind: String,
    limit: Duration,
    check: Option<Check>,
}

fn plans(checks: &BTreeMap<String, Check>, always: Always) -> Vec<Plan> {
    let own = |(name, check): (&String, &Check)| Plan {
        name: name.clone(),
        kind: check.kind.name().to_owned(),
        limit: Duration::from_secs(check.timeout),
        check: Some(check.clone()),
    };
    let fixed = |name: &str, limit| Plan { name: name.to_owned(), kind: SYSTEM.to_owned(), limit, check: None };
    // The units are looked at when the system has settled.
    let units = always.timeout + always.timeout.min(UNITS_LIMIT);
    let mut plans = vec![fixed(SYSTEM, always.timeout), fixed(UNITS, units)];
    plans.extend(checks.iter().map(own));
    plans
}

impl Plan {
    fn event(&self, state: CheckState, detail: &str, seconds: f64) -> Event {
        Event::Check(CheckSeen {
            check: self.name.clone(),
            kind: self.kind.clone(),
            state,
            detail: detail.to_owned(),
            seconds,
            limit: self.limit.as_secs_f64(),
        })
    }

    fn result(&self, detail: String, seconds: f64, left: bool) -> CheckResult {
        CheckResult { name: self.name.clone(), kind: self.kind.clone(), passed: false, detail, seconds, left }
    }
}

/// What the thread of a check tells: its number and what it sees.
enum Word {
    Sees(usize, String),
    Ends(usize, CheckResult),
}

/// What a thread that tries a check is given.
#[derive(Clone)]
struct Trying {
    stop: Arc<AtomicBool>,
    words: Sender<Word>,
}

impl Inside {
    /// Runs `checks` and the two that always hold (`system`: systemd says `running`; `failed-units`: none). The results
    /// come in the order of names, those two first.
    pub fn run_checks(&self, checks: &BTreeMap<String, Check>, always: Always) -> Vec<CheckResult> {
        self.watch_checks(checks, always, &Silent, &|| false)
    }

    /// [`Inside::run_checks`], telling every change. When `decided` says true, what has no result yet is left off: it
    /// is returned as [`CheckResult::left`] at once, also if its last try hangs.
    pub fn watch_checks(
        &self,
        checks: &BTreeMap<String, Check>,
        always: Always,
        told: &dyn Progress,
        decided: &dyn Fn() -> bool,
    ) -> Vec<CheckResult> {
        let plans = plans(checks, always);
        let since = Instant::now();
        let seconds = || since.elapsed().as_secs_f64();
        let (words, heard) = channel();
        let trying = Trying { stop: Arc::default(), words };
        for plan in &plans {
            told.event(&plan.event(CheckState::Running, "", 0.0));
        }
        let mut seen = vec![String::new(); plans.len()];
        let mut results: Vec<Option<CheckResult>> = vec![None; plans.len()];
        if let Err(why) = self.try_all(&plans, always, trying.clone()) {
            seen.fill(why);
        }
        let stop = trying.stop.clone();
        // What is left holds the senders: when the last thread is gone, the channel says so.
        drop(trying);
        while results.iter().any(Option::is_none) {
            match heard.recv_timeout(LOOK) {
                Ok(Word::Sees(n, detail)) => {
                    told.event(&plans[n].event(CheckState::Running, &detail, seconds()));
                    seen[n] = detail;
                }
                Ok(Word::Ends(n, result)) => {
                    let state = if result.passed { CheckState::Passed } else { CheckState::Failed };
                    told.event(&plans[n].event(state, &result.detail, result.seconds));
                    results[n] = Some(result);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if decided() {
                stop.store(true, Ordering::Relaxed);
                break;
            }
        }
        let left = stop.load(Ordering::Relaxed);
        let end = |(n, result): (usize, Option<CheckResult>)| {
            result.unwrap_or_else(|| {
                let (state, detail) = match (left, std::mem::take(&mut seen[n])) {
                    (true, seen) => (CheckState::Left, seen),
                    (false, seen) if seen.is_empty() => (CheckState::Failed, "the check broke off".to_owned()),
                    (false, seen) => (CheckState::Failed, seen),
                };
                told.event(&plans[n].event(state, &detail, seconds()));
                plans[n].result(detail, seconds(), left)
            })
        };
        results.into_iter().enumerate().map(end).collect()
    }

    /// Tries all of them, each in a thread of its own that nobody waits for: a try may hang in what it asks.
    fn try_all(&self, plans: &[Plan], always: Always, trying: Trying) -> std::result::Result<(), String> {
        let inside = Arc::new(self.try_clone().map_err(|e| e.to_string())?);
        for (n, plan) in plans.iter().enumerate().filter(|(n, _)| *n != 1) {
            let (inside, trying, name, limit) = (inside.clone(), trying.clone(), plan.name.clone(), plan.limit);
            let check = plan.check.clone();
            let thread = std::thread::Builder::new().name("regrow-check".to_owned()).spawn(move || match check {
                Some(check) => {
                    trying.end(n, inside.judge(&name, &check, limit, &mut |w| trying.sees(n, w), &trying.stop))
                }
                None => inside.judge_system(always, &trying),
            });
            thread.map_err(|e| format!("no thread for it: {e}"))?;
        }
        Ok(())
    }

    fn judge(
        &self,
        name: &str,
        check: &Check,
        limit: Duration,
        seen: &mut dyn FnMut(&str),
        stop: &AtomicBool,
    ) -> CheckResult {
        self.until(name, check.kind.name(), limit, seen, stop, |left| match &check.kind {
            CheckKind::Unit { unit } => self.see_unit(unit),
            CheckKind::Port { port } => self.see_port(*port, left),
            CheckKind::Http { url, status, body } => self.see_http(url, *status, body.as_deref(), left),
            CheckKind::Command { argv, exit, stdout } => self.see_command(argv, *exit, stdout.as_deref(), left),
            CheckKind::File { path, exists, content, mode } => self.see_file(path, *exists, content.as_deref(), *mode),
        })
    }

    fn judge_system(&self, always: Always, trying: &Trying) {
        let mut seen = |words: &str| trying.sees(0, words);
        let system = self.until(SYSTEM, SYSTEM, always.timeout, &mut seen, &trying.stop, |_| {
            match self.system_state() {
                Ok(state) if state == "running" => Seen::Yes("systemd says running".to_owned()),
                // Units failed: time does not heal that, and which ones is the other check's answer.
                Ok(state) if state == "degraded" => Seen::Never("systemd says degraded".to_owned()),
                Ok(state) => Seen::NotYet(format!("systemd says {state}")),
                Err(e) => Seen::NotYet(e.to_string()),
            }
        });
        trying.end(0, system);
        let mut seen = |words: &str| trying.sees(1, words);
        let limit = always.timeout.min(UNITS_LIMIT);
        let units = self.until(UNITS, SYSTEM, limit, &mut seen, &trying.stop, |_| match self.failed_units() {
            Ok(units) if units.is_empty() => Seen::Yes("no unit failed".to_owned()),
            Ok(units) => {
                let words: Vec<_> = units.iter().map(|u| format!("{} failed:\n{}", u.unit, u.journal)).collect();
                Seen::Never(words.join("\n"))
            }
            Err(e) => Seen::NotYet(e.to_string()),
        });
        trying.end(1, units);
    }

    /// [`until`], but a machine that ended is not waited for.
    fn until(
        &self,
        name: &str,
        kind: &str,
        limit: Duration,
        seen: &mut dyn FnMut(&str),
        stop: &AtomicBool,
        mut attempt: impl FnMut(Duration) -> Seen,
    ) -> CheckResult {
        until(name, kind, limit, seen, stop, |left| match attempt(left) {
            Seen::NotYet(words) if !self.is_alive() => Seen::Never(format!("the server has ended; last seen: {words}")),
            seen => seen,
        })
    }

    fn see_unit(&self, unit: &str) -> Seen {
        let asked = self.ask(&["systemctl", "show", "--property=LoadState,ActiveState,SubState,Result", "--", unit]);
        let text = match asked {
            Ok(text) => text,
            Err(e) => return Seen::NotYet(e.to_string()),
        };
        let value = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('=')).unwrap_or("");
        let words = format!("{unit} is {} ({})", value("ActiveState"), value("SubState"));
        match (value("LoadState"), value("ActiveState")) {
            ("not-found", _) => Seen::Never(format!("there is no unit {unit}")),
            (_, "active") => Seen::Yes(words),
            (_, "failed") => {
                let journal = self.journal(unit, 10).unwrap_or_default();
                Seen::NotYet(format!("{words}, result {}\n{journal}", value("Result")))
            }
            _ => Seen::NotYet(words),
        }
    }

    fn see_port(&self, port: u16, left: Duration) -> Seen {
        let connect = || {
            let mut refused = Vec::new();
            for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
                let address = SocketAddr::new(address, port);
                match TcpStream::connect_timeout(&address, left.max(SHORTEST)) {
                    Ok(_) => return Ok(address),
                    Err(e) => refused.push(format!("{address}: {e}")),
                }
            }
            Err(refused.join("; "))
        };
        match regrow_sandbox::in_network_of(self.as_fd(), connect) {
            Ok(Ok(address)) => Seen::Yes(format!("{address} accepts connections")),
            Ok(Err(words)) => Seen::NotYet(words),
            Err(e) => Seen::NotYet(e.to_string()),
        }
    }

    fn see_http(&self, url: &str, status: u16, body: Option<&str>, left: Duration) -> Seen {
        let answer = match http::get(self, url, left.max(SHORTEST)) {
            Ok(answer) => answer,
            Err(words) => return Seen::NotYet(words),
        };
        let to = answer.location.map(|l| format!(", redirecting to {}", quote(&l))).unwrap_or_default();
        let mut words = format!("{url} answered {}{to}, {} bytes", answer.status, answer.body.len());
        if answer.status != status {
            words.push_str(&format!("; expected {status}"));
            return Seen::NotYet(words);
        }
        match body {
            Some(text) if !contains(&answer.body, text) => Seen::NotYet(format!(
                "{words}; the body does not contain {text:?}, it begins {}",
                quote_bytes(&answer.body)
            )),
            Some(text) => Seen::Yes(format!("{words}, containing {text:?}")),
            None => Seen::Yes(words),
        }
    }

    fn see_command(&self, argv: &[String], exit: u8, stdout: Option<&str>, left: Duration) -> Seen {
        let captured = match self.capture(argv, left.max(SHORTEST)) {
            Ok(captured) => captured,
            Err(e) => return Seen::NotYet(e.to_string()),
        };
        let output = if captured.stdout.is_empty() { captured.stderr.as_bytes() } else { &captured.stdout };
        let words = format!("{}, wrote {}", captured.exit, quote_bytes(output));
        if captured.exit != regrow_sandbox::Exit::Code(exit.into()) {
            return Seen::NotYet(format!("{words}; expected exit status {exit}"));
        }
        match stdout {
            Some(text) if !contains(&captured.stdout, text) => {
                Seen::NotYet(format!("{words}; its output does not contain {text:?}"))
            }
            _ => Seen::Yes(words),
        }
    }

    fn see_file(&self, path: &str, exists: bool, content: Option<&str>, mode: Option<u32>) -> Seen {
        let file = match regrow_sandbox::open_inside(self.pid(), path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !exists => {
                return Seen::Yes(format!("{path} does not exist"));
            }
            Err(e) => return Seen::NotYet(format!("{path}: {e}")),
            Ok(_) if !exists => return Seen::NotYet(format!("{path} exists")),
            Ok(file) => file,
        };
        let meta = match file.metadata() {
            Ok(meta) => meta,
            Err(e) => return Seen::NotYet(format!("{path}: {e}")),
        };
        let bits = meta.mode() & 0o7777;
        let words = format!("{path} exists, mode {bits:04o}, {} bytes", meta.len());
        if let Some(mode) = mode.filter(|mode| *mode != bits) {
            return Seen::NotYet(format!("{words}; expected mode {mode:04o}"));
        }
        let Some(text) = content else { return Seen::Yes(words) };
        if !meta.is_file() {
            return Seen::NotYet(format!("{path} is no regular file"));
        }
        let mut bytes = Vec::new();
        match file.take(FILE_LIMIT).read_to_end(&mut bytes) {
            Err(e) => Seen::NotYet(format!("{path}: {e}")),
            Ok(_) if contains(&bytes, text) => Seen::Yes(format!("{words}, containing {text:?}")),
            Ok(_) => Seen::NotYet(format!("{words}; it does not contain {text:?}")),
        }
    }
}

impl Trying {
    fn sees(&self, n: usize, words: &str) {
        let _ = self.words.send(Word::Sees(n, words.to_owned()));
    }

    fn end(&self, n: usize, result: CheckResult) {
        let _ = self.words.send(Word::Ends(n, result));
    }
}

/// Tries until it is seen, is hopeless, or the time is up. There is always one try; each is told the time left. What is
/// seen meanwhile is told now and then.
fn until(
    name: &str,
    kind: &str,
    limit: Duration,
    seen: &mut dyn FnMut(&str),
    stop: &AtomicBool,
    mut attempt: impl FnMut(Duration) -> Seen,
) -> CheckResult {
    let since = Instant::now();
    let result = |passed, detail: String| CheckResult {
        name: name.to_owned(),
        kind: kind.to_owned(),
        passed,
        detail,
        seconds: since.elapsed().as_secs_f64(),
        left: false,
    };
    let mut pause = PAUSE;
    let mut last: Option<(Instant, String)> = None;
    loop {
        match attempt(limit.saturating_sub(since.elapsed())) {
            Seen::Yes(words) => return result(true, words),
            Seen::Never(words) => return result(false, words),
            Seen::NotYet(words) if cancel::requested() || stop.load(Ordering::Relaxed) => {
                return result(false, format!("{words} (stopped, as asked)"));
            }
            Seen::NotYet(words) if since.elapsed() >= limit => {
                return result(false, format!("{words} (tried for {} s)", limit.as_secs()));
            }
            Seen::NotYet(words) => {
                if last.as_ref().is_none_or(|(at, told)| *told != words && at.elapsed() >= TELL) {
                    seen(&words);
                    last = Some((Instant::now(), words));
                }
                std::thread::sleep(pause.min(limit.saturating_sub(since.elapsed())));
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    text.is_empty() || bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

/// The beginning of foreign text, harmless on a terminal.
fn quote(text: &str) -> String {
    let text = plain(text);
    let text = text.trim();
    let short: String = text.chars().take(200).collect();
    if short.len() < text.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

fn quote_bytes(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        "nothing".to_owned()
    } else {
        quote(&String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static NEVER: AtomicBool = AtomicBool::new(false);

    #[test]
    fn the_first_success_passes_and_ends_the_trying() {
        let mut tries = 0;
        let result = until("x", "file", Duration::from_secs(60), &mut |_| {}, &NEVER, |_| {
            tries += 1;
            if tries < 3 { Seen::NotYet("no".to_owned()) } else { Seen::Yes("yes".to_owned()) }
        });
        assert!(result.passed && result.detail == "yes" && result.seconds < 30.0);
        assert_eq!(tries, 3);
    }

    #[test]
    fn a_check_without_time_is_tried_once_and_says_what_it_saw() {
        let result =
            until("x", "file", Duration::ZERO, &mut |_| {}, &NEVER, |_| Seen::NotYet("the door is shut".to_owned()));
        assert!(!result.passed && result.detail.starts_with("the door is shut"), "{}", result.detail);
    }

    #[test]
    fn hopeless_checks_do_not_wait() {
        let result = until("x", "unit", Duration::from_secs(3600), &mut |_| {}, &NEVER, |_| {
            Seen::Never("no such unit".to_owned())
        });
        assert!(!result.passed && result.seconds < 1.0);
    }

    #[test]
    fn foreign_output_is_quoted_short_and_without_control_sequences() {
        assert_eq!(quote_bytes(b"\x1b[31mred\x1b[0m\n"), "\"red\"");
        assert!(quote_bytes(&[b'a'; 5000]).chars().count() < 250);
        assert_eq!(quote_bytes(b""), "nothing");
        assert!(contains(b"abc", "bc") && contains(b"", "") && !contains(b"abc", "cb"));
    }
}
