//! A trial that goes on running after its verdict, for a look inside.
//!
//! A machine dies with the process that started it. So a kept trial is started by a process of its own, the keeper
//! (`regrow keep-trial`), which tells its progress and its report to the command that wanted it, as JSON lines, and
//! then waits. It ends when it is told to, when the machine ends, or when it is killed; the machine never outlives it.
//!
//! Its web pages can be looked at meanwhile: the keeper listens on [`LOOK`], each port inside at a free port there, and
//! joins connections to the machine ([`Link`]). That is another address than the pages of Regrow have, because browsers
//! send the cookies of an address to all its ports, and what runs in a trial must not get a session of ours.
//!
//! `servers/<name>/trial.lock` is held by the keeper as long as it lives; `trial.json` beside it says what it keeps.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use regrow_host::fs;
use regrow_host::lock::{FileLock, Scratch, Wait};
use regrow_host::progress::{self, Event, Progress};
use regrow_machine::Inside;
use regrow_machine::proxy::{Port, Proxy};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::{Booted, Candidate, TrialReport};
use crate::context::{Context, process_start};
use crate::error::{Error, Result};
use crate::evidence::Verdict;

/// Where the ports of kept trials are.
pub const LOOK: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 2);

/// A port of a kept trial, as it can be reached on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The port inside.
    pub inside: u16,
    /// What to open: `http://127.0.0.2:PORT/`.
    pub url: String,
}

/// A trial that is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// The revision.
    pub revision: String,
    /// The image.
    pub image: String,
    /// Seconds since 1970 when it was started.
    pub since: i64,
    /// When it ends by itself, in seconds since 1970; not known before its verdict, and none if it is kept until it is
    /// ended.
    #[serde(default)]
    pub ends: Option<i64>,
    /// What the checks said, once they have.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// Its ports.
    #[serde(default)]
    pub links: Vec<Link>,
    #[serde(default)]
    console: PathBuf,
    keeper: u32,
    keeper_start: u64,
    pid: i32,
    cgroup: String,
}

/// What the keeper tells, one JSON value a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Progress(Event),
    Report(Box<TrialReport>),
    Failed { message: String, help: Option<String>, exit: u8 },
}

/// How long a keeper may take to end before it is killed.
const END: Duration = Duration::from_secs(20);

/// Starts a keeper and waits for its report.
pub(super) fn start(ctx: &Context, candidate: &Candidate) -> Result<TrialReport> {
    let failed = |e| fs::Error::new("start the keeper", ctx.program(), e);
    let json =
        serde_json::to_vec(candidate).map_err(|source| Error::Json { what: "a candidate".to_owned(), source })?;
    let mut keeper = Command::new(ctx.program())
        .args(["keep-trial", &candidate.server])
        .env("REGROW_HOME", ctx.home().path())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let (Some(mut stdin), Some(stdout)) = (keeper.stdin.take(), keeper.stdout.take()) else {
        return Err(failed(std::io::ErrorKind::BrokenPipe.into()).into());
    };
    // It reads all of it before it does anything.
    stdin.write_all(&json).map_err(failed)?;
    drop(stdin);
    for line in BufReader::new(stdout).lines() {
        match serde_json::from_str(&line.map_err(failed)?) {
            Ok(Told::Progress(event)) => ctx.progress().event(&event),
            Ok(Told::Report(report)) => return Ok(*report),
            Ok(Told::Failed { message, help, exit }) => {
                let _ = keeper.wait();
                return Err(match exit {
                    130 => Error::Cancelled,
                    2 => Error::Mistake { message, help },
                    _ => Error::Surroundings { message, help },
                });
            }
            Err(source) => return Err(Error::Json { what: "what the keeper said".to_owned(), source }),
        }
        if regrow_host::cancel::requested() {
            // It notices that nobody listens any more, but sooner like this.
            let _ = keeper.kill();
            let _ = keeper.wait();
            return Err(Error::Cancelled);
        }
    }
    let status = keeper.wait().map_err(failed)?;
    Err(Error::surroundings(
        format!("the process that keeps the trial ended without a word ({status})"),
        "run the trial again",
    ))
}

/// The keeper itself: reads a [`Candidate`] from standard input, boots and judges it, and waits.
///
/// # Errors
/// Only what happens after the report: everything before it is told to the command that waits.
pub fn keeper(ctx: &Context, server: &str) -> Result<()> {
    // Out of the terminal's session: Ctrl-C there, or its end, is not meant for us. Fails only if we lead a group
    // already.
    let _ = rustix::process::setsid();
    let told = Teller::default();
    let ctx = ctx.with_progress(std::sync::Arc::new(Teller::default()));
    match boot(&ctx, server) {
        Ok(Running { booted, lock, scratch, proxies, minutes, report }) => {
            if !told.tell(&Told::Report(Box::new(report))) {
                return Ok(());
            }
            // Until its time is up, somebody asks us to stop, or it ends by itself (poweroff inside).
            let end = minutes.map(|m| Instant::now() + Duration::from_secs(60 * u64::from(m)));
            while !regrow_host::cancel::requested()
                && end.is_none_or(|end| Instant::now() < end)
                && booted.machine.wait(Some(Duration::from_millis(500)))?.is_none()
            {}
            drop(proxies);
            let ended = booted.end();
            fs::remove_file(ctx.home().server(server).join("trial.json"))?;
            drop((scratch, lock));
            ended
        }
        Err(e) => {
            let mut message = e.to_string();
            for cause in e.causes() {
                if !message.ends_with(&cause) {
                    message.push_str(&format!(": {cause}"));
                }
            }
            told.tell(&Told::Failed { message, help: e.help(), exit: e.exit_code() });
            Ok(())
        }
    }
}

/// What the keeper keeps.
struct Running {
    booted: Booted,
    lock: FileLock,
    scratch: Scratch,
    proxies: Vec<Proxy>,
    minutes: Option<u32>,
    report: TrialReport,
}

/// Listens for each port of a machine. One that cannot be had is said, and is no reason not to try the server.
fn links(ctx: &Context, pid: i32, ports: &BTreeSet<u16>) -> (Vec<Proxy>, Vec<Link>) {
    let mut open = (Vec::new(), Vec::new());
    for &inside in ports {
        let listen = || -> std::result::Result<(Proxy, u16), String> {
            let network = fs::open(format!("/proc/{pid}/ns/net")).map_err(|e| e.to_string())?;
            let proxy = Proxy::new().map_err(|e| e.to_string())?;
            let host = (LOOK, 0).into();
            proxy.add(&BTreeSet::from([Port { host, inside }])).map_err(|e| e.to_string())?;
            proxy.open(network.into()).map_err(|e| e.to_string())?;
            let port = proxy.ports().first().map(|p| p.host.port()).ok_or("no port")?;
            Ok((proxy, port))
        };
        match listen() {
            Ok((proxy, port)) => {
                open.0.push(proxy);
                open.1.push(Link { inside, url: format!("http://{LOOK}:{port}/") });
            }
            Err(why) => {
                progress::note(ctx.progress(), format!("port {inside} of the trial has no address here: {why}"))
            }
        }
    }
    open
}

fn boot(ctx: &Context, server: &str) -> Result<Running> {
    let mut json = Vec::new();
    std::io::stdin().read_to_end(&mut json).map_err(|e| fs::Error::new("read", "standard input", e))?;
    let candidate: Candidate =
        serde_json::from_slice(&json).map_err(|source| Error::Json { what: "the candidate".to_owned(), source })?;
    let dir = ctx.home().server(server);
    let lock = FileLock::exclusive(dir.join("trial.lock"), Wait::No)?.ok_or_else(|| {
        Error::surroundings(
            format!("another trial of {server} is kept"),
            format!("end it with: regrow trial {server} --stop"),
        )
    })?;
    let scratch = Scratch::new(ctx.home().scratch(), &format!("kept-{server}"))?;
    let booted = Booted::start(ctx, &candidate, scratch.path())?;
    let (proxies, links) = links(ctx, booted.machine.pid(), &candidate.ports);
    let mut kept = Kept {
        revision: candidate.revision.clone(),
        image: candidate.image.clone(),
        since: ctx.now().as_second(),
        ends: None,
        verdict: None,
        links,
        console: scratch.path().join("run/console.log"),
        keeper: std::process::id(),
        keeper_start: process_start(std::process::id()).unwrap_or_default(),
        pid: booted.machine.pid(),
        cgroup: booted.cgroup.clone(),
    };
    write(&dir, &kept)?;
    let mut report = booted.judge(ctx, &candidate)?;
    report.kept = !booted.machine.ended();
    report.links = kept.links.clone();
    let minutes = (candidate.minutes > 0).then_some(candidate.minutes);
    kept.verdict = Some(report.verdict);
    kept.ends = minutes.map(|m| ctx.now().as_second() + 60 * i64::from(m));
    write(&dir, &kept)?;
    Ok(Running { booted, lock, scratch, proxies, minutes, report })
}

fn write(dir: &Path, kept: &Kept) -> Result<()> {
    let json = serde_json::to_vec(kept).map_err(|source| Error::Json { what: "a kept trial".to_owned(), source })?;
    Ok(fs::write_atomic(dir.join("trial.json"), &json)?)
}

/// What a kept trial, or one that is just booting, wrote to its console after byte `from`, as plain text of at most
/// 64 KiB, and where it ends. A place after the end means that the log began anew. `None` if no trial runs.
///
/// # Errors
/// If the log cannot be read.
pub fn console(ctx: &Context, server: &str, from: u64) -> Result<Option<(String, u64)>> {
    const MOST: u64 = 64 << 10;
    let Some(kept) = find(ctx, server)? else { return Ok(None) };
    let failed = |e| fs::Error::new("read", &kept.console, e);
    let mut file = match File::open(&kept.console) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let len = file.metadata().map_err(failed)?.len();
    let from = if from > len { 0 } else { from }.max(len.saturating_sub(MOST));
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from)).and_then(|_| file.take(len - from).read_to_end(&mut bytes)).map_err(failed)?;
    Ok(Some((regrow_machine::plain(&String::from_utf8_lossy(&bytes)), from + bytes.len() as u64)))
}

/// Tells progress as JSON lines on standard output.
#[derive(Debug, Default)]
struct Teller(Mutex<()>);

impl Teller {
    /// Says it; false if nobody listens.
    fn tell(&self, told: &Told) -> bool {
        let _one_at_a_time = self.0.lock();
        let Ok(mut line) = serde_json::to_vec(told) else { return false };
        line.push(b'\n');
        let mut out = std::io::stdout().lock();
        out.write_all(&line).and_then(|()| out.flush()).is_ok()
    }
}

impl Progress for Teller {
    fn event(&self, event: &Event) {
        if !self.tell(&Told::Progress(event.clone())) {
            // The command that wanted us was killed.
            regrow_host::cancel::request();
        }
    }
}

/// The kept trial of a server, if there is one.
pub fn find(ctx: &Context, server: &str) -> Result<Option<Kept>> {
    let dir = ctx.home().server(server);
    let Some(json) = fs::read_optional(dir.join("trial.json"))? else { return Ok(None) };
    let Ok(kept) = serde_json::from_slice::<Kept>(&json) else { return Ok(None) };
    Ok((process_start(kept.keeper) == Some(kept.keeper_start)).then_some(kept))
}

/// The inside of a kept trial.
///
/// # Errors
/// [`Error::No`] if none is kept.
pub fn inside(ctx: &Context, server: &str) -> Result<Inside> {
    let found = match find(ctx, server)? {
        Some(kept) => Inside::find(kept.pid, &kept.cgroup)?,
        None => None,
    };
    found.ok_or_else(|| Error::No {
        message: format!("no trial of {server} is running"),
        help: Some(format!("keep one with: regrow trial {server} --keep")),
    })
}

/// Ends the kept trial of a server; returns whether there was one.
pub fn stop(ctx: &Context, server: &str) -> Result<bool> {
    let dir = ctx.home().server(server);
    let Some(kept) = find(ctx, server)? else {
        fs::remove_file(dir.join("trial.json"))?;
        return Ok(false);
    };
    let step = progress::step(ctx.progress(), "kept trial", "End the trial that was kept");
    let Some(pid) = i32::try_from(kept.keeper).ok().and_then(Pid::from_raw) else { return Ok(false) };
    let lives = || process_start(kept.keeper) == Some(kept.keeper_start);
    // Once: a second one would end it at once, without cleaning up.
    let _ = kill_process(pid, Signal::TERM);
    let until = Instant::now() + END;
    // The kernel frees the keeper's lock at the instant it is gone.
    while lives() && FileLock::exclusive(dir.join("trial.lock"), Wait::No)?.is_none() {
        if Instant::now() > until {
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    fs::remove_file(dir.join("trial.json"))?;
    ctx.sweep()?;
    step.finish("ended");
    Ok(true)
}
