//! Looking at the online server: `status`, `exec`, `logs`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use regrow_machine::Inside;
use regrow_sandbox::{Io, Stream};
use serde::{Deserialize, Serialize};

use super::control;
use super::drift;
use super::driver::Judgement;
use super::journal::{Generation, Held, Journal, Phase};
use super::launch::recover;
use super::site::{read_health, read_journal};
use crate::Answer;
use crate::cache::OnDisk;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::evidence::{self, Brief, Kind};

/// `status`.
#[derive(Debug, Clone, Serialize)]
pub struct StatusReport {
    /// The servers of the fleet, and those that are online without being in it, by name.
    pub servers: Vec<ServerStatus>,
}

impl Answer for StatusReport {}

/// One server: what is wanted, what runs, what is proven.
#[derive(Debug, Clone, Serialize)]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// What the fleet's text wants; none if the server is not in this fleet.
    pub wanted: Option<WantedStatus>,
    /// What is online; none if nothing is.
    pub running: Option<RunningStatus>,
    /// Where it stands, in words: `running`, `offline`, `stopped`, `judging the new generation`, …
    pub phase: String,
    /// Revisions that failed after a switch, newest last.
    pub held: Vec<Held>,
    /// Whether it runs, its ports are connected and its checks passed when last looked at. False if nothing is online.
    pub healthy: bool,
    /// The first check that failed, with what was seen.
    pub failing: Option<String>,
    /// The revision that a rollback goes back to, if there is one.
    pub previous: Option<String>,
    /// How many paths it wrote outside its state.
    pub drift: usize,
    /// The newest trial of the wanted revision.
    pub trial: Option<Proof>,
    /// What was proven about the wanted revision elsewhere.
    pub elsewhere: Vec<Brief>,
    /// Other places have another image of the wanted revision.
    pub differing: Option<evidence::Differing>,
}

/// What the text wants.
#[derive(Debug, Clone, Serialize)]
pub struct WantedStatus {
    /// The revision.
    pub revision: String,
    /// Its image, if it was built.
    pub image: Option<String>,
    /// Whether the work tree has edits beyond it.
    pub edited: bool,
    /// Whether that is what runs.
    pub online: bool,
    /// Whether it is held.
    pub held: bool,
}

/// What runs.
#[derive(Debug, Clone, Serialize)]
pub struct RunningStatus {
    /// The revision.
    pub revision: String,
    /// The image.
    pub image: String,
    /// The generation's number.
    pub generation: u64,
    /// Since when it is online, in seconds since 1970 UTC.
    pub since: i64,
    /// When its machine was last started, in seconds since 1970 UTC; 0 if it does not run now.
    pub started: i64,
    /// How often it ended by itself.
    pub restarts: u32,
    /// Its published ports: host address and port inside.
    pub publish: BTreeMap<String, u16>,
    /// The process id of its init on the host; 0 if it does not run now.
    pub pid: i32,
}

/// A recorded result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Proof {
    /// The revision.
    pub revision: String,
    /// The image.
    pub image: Option<String>,
    /// The verdict.
    pub verdict: String,
    /// When.
    pub at: String,
}

impl Proof {
    fn new(revision: &str, e: &Brief) -> Proof {
        let (verdict, at) = (e.verdict.to_string(), e.at.to_string());
        Proof { revision: revision.to_owned(), image: e.image.clone(), verdict, at }
    }
}

/// `status [SERVER]`: every server of the fleet, or one.
///
/// # Errors
/// If there is no such server, or the home cannot be read.
pub fn status(ctx: &Context, only: Option<&str>) -> Result<StatusReport> {
    if rustix::process::geteuid().is_root() {
        recover(ctx)?;
    }
    let wanted = match ctx.fleet_optional() {
        Some(_) => Some(ctx.on_disk()?),
        None => None,
    };
    // What is known about HEAD, for all servers at once.
    let (proofs, differing) = match wanted.as_ref().and_then(|w| w.commit.as_deref()) {
        Some(commit) => (
            evidence::of_revisions(ctx, &[commit])?.remove(commit).unwrap_or_default(),
            evidence::differing(ctx, &[commit]),
        ),
        None => (Vec::new(), Vec::new()),
    };
    let mut names: Vec<String> = wanted.iter().flat_map(|w| w.text.fleet.servers.keys().cloned()).collect();
    for name in ctx.home().server_names()? {
        let foreign = match (ctx.fleet_optional(), ctx.home().fleet_of(&name)?) {
            (Some(ours), Some(theirs)) => std::fs::canonicalize(ours).is_ok_and(|ours| ours != theirs),
            _ => false,
        };
        if !foreign && !names.contains(&name) && read_journal(&ctx.home().server(&name))?.current().is_some() {
            names.push(name);
        }
    }
    names.sort();
    if let Some(only) = only {
        if !names.iter().any(|n| n == only) {
            return Err(Error::mistake_with(
                format!("there is no server {only}"),
                format!("there are: {}", names.join(", ")),
            ));
        }
        names.retain(|n| n == only);
    }
    let mut servers = Vec::new();
    for name in &names {
        let mut status = server_status(ctx, name, wanted.as_deref(), &proofs)?;
        status.differing = differing.iter().find(|d| d.server == *name).cloned();
        servers.push(status);
    }
    Ok(StatusReport { servers })
}

fn server_status(ctx: &Context, name: &str, wanted: Option<&OnDisk>, proofs: &[Brief]) -> Result<ServerStatus> {
    let dir = ctx.home().server(name);
    let journal = read_journal(&dir)?;
    let health = read_health(&dir).unwrap_or_default();
    let supervised = control::connect(&dir)?.is_some();
    let running = journal.current();
    let here = running.is_some_and(|g| supervised && health.generation == g.id && health.pid != 0);
    let judged = health.judgement.filter(|_| running.is_some_and(|g| g.id == health.generation));
    let passed = judged.as_ref().is_some_and(|j: &Judgement| j.healthy);
    let failing = match (&judged, running) {
        (_, None) => None,
        (_, Some(_)) if !supervised => Some("it has no supervisor".to_owned()),
        (Some(j), _) if !j.healthy => Some(format!("{}: {}", j.failed.as_deref().unwrap_or("checks"), j.detail)),
        (None, _) => Some("it is starting".to_owned()),
        _ => None,
    };
    let wanted = match wanted {
        Some(wanted) if wanted.text.fleet.servers.contains_key(name) => {
            Some(wanted_status(name, wanted, proofs, &journal))
        }
        _ => None,
    };
    let proof = |kind| proofs.iter().rev().find(|p| p.server == name && p.kind == kind && p.on.is_none());
    let trial = match &wanted {
        Some(w) => proof(Kind::Trial).map(|p| Proof::new(&w.revision, p)),
        None => None,
    };
    let drift = running.map_or(Ok(0), |g| drift::of_generation(&dir, g).map(|d| d.len()))?;
    Ok(ServerStatus {
        name: name.to_owned(),
        wanted,
        running: running.map(|g| RunningStatus {
            revision: g.candidate.revision.clone(),
            image: g.candidate.image.clone(),
            generation: g.id,
            since: g.since,
            started: if here { health.started } else { 0 },
            restarts: if here { health.restarts } else { 0 },
            publish: g.candidate.publish.iter().map(|p| (p.host.to_string(), p.inside)).collect(),
            pid: if here { health.pid } else { 0 },
        }),
        phase: journal.phase_name().to_owned(),
        held: journal.held.clone(),
        healthy: here && passed && health.published,
        failing,
        previous: journal.previous().map(|p| p.generation.candidate.revision.clone()),
        drift,
        trial,
        elsewhere: proofs.iter().filter(|p| p.server == name && p.on.is_some()).cloned().collect(),
        differing: None,
    })
}

fn wanted_status(name: &str, wanted: &OnDisk, proofs: &[Brief], journal: &Journal) -> WantedStatus {
    let text = wanted.revision(Some(name));
    let revision = text.commit.clone().unwrap_or_else(|| "none".to_owned());
    let built = proofs.iter().rev().find(|p| p.server == name && p.kind == Kind::Build && p.on.is_none());
    WantedStatus {
        image: built.and_then(|p| p.image.clone()),
        edited: text.edited,
        online: journal.current().is_some_and(|g| g.candidate.revision == revision),
        held: journal.held(&revision).is_some(),
        revision,
    }
}

/// The inside of the online server.
///
/// # Errors
/// [`Error::No`] if nothing is online or it is starting.
pub fn inside(ctx: &Context, server: &str) -> Result<Inside> {
    recover(ctx)?;
    let dir = ctx.home().server(server);
    let journal = read_journal(&dir)?;
    if let Some(health) = read_health(&dir)
        && health.pid != 0
        && let Some(inside) = Inside::find(health.pid, &health.cgroup)?
    {
        return Ok(inside);
    }
    let (message, help) = match journal.phase {
        Phase::Offline => (format!("{server} is not online"), format!("put it online with: regrow switch {server}")),
        Phase::Stopped { .. } => (format!("{server} was stopped"), format!("start it with: regrow start {server}")),
        _ => (
            format!("{server} is {} and does not run just now", journal.phase_name()),
            "try again in a moment".to_owned(),
        ),
    };
    Err(Error::No { message, help: Some(help) })
}

/// `exec SERVER -- CMD…`: runs a program inside with our own standard streams, or on a terminal of its own if standard
/// input is one. Returns its exit status as a shell would.
///
/// # Errors
/// If nothing is online, or there is no such program inside.
pub fn exec(ctx: &Context, server: &str, argv: &[OsString]) -> Result<i32> {
    run_in(&inside(ctx, server)?, argv)
}

/// Runs a program in any machine: see [`exec`].
///
/// # Errors
/// If there is no such program inside.
pub fn run_in(inside: &Inside, argv: &[OsString]) -> Result<i32> {
    use std::io::IsTerminal;
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        return Ok(regrow_machine::interactive(inside, argv)?.shell_code());
    }
    stream_in(inside, argv, Stream::File(ours(std::io::stdin())?))
}

fn stream_in(inside: &Inside, argv: &[OsString], stdin: Stream) -> Result<i32> {
    let io = Io {
        stdin,
        stdout: Stream::File(ours(std::io::stdout())?),
        stderr: Stream::File(ours(std::io::stderr())?),
        terminal: None,
    };
    let mut child = inside.exec(argv, io)?;
    loop {
        if let Some(exit) = child.wait(Some(std::time::Duration::from_millis(200)))? {
            return Ok(exit.shell_code());
        }
        if regrow_host::cancel::requested() {
            child.kill()?;
            return Err(Error::Cancelled);
        }
    }
}

fn ours(stream: impl std::os::fd::AsFd) -> Result<std::os::fd::OwnedFd> {
    let cloned = stream.as_fd().try_clone_to_owned();
    Ok(cloned.map_err(|e| regrow_host::FsError::new("duplicate", "a standard stream", e))?)
}

/// What `logs` shows.
#[derive(Debug, Clone, Default)]
pub struct Logs {
    /// Of one unit only.
    pub unit: Option<String>,
    /// How many of the newest lines; none for all of this boot.
    pub lines: Option<u32>,
    /// Goes on with new ones until stopped.
    pub follow: bool,
}

/// `logs SERVER`: the journal of the online server, written to standard output as it is. Returns the exit status.
///
/// # Errors
/// If nothing is online.
pub fn logs(ctx: &Context, server: &str, logs: &Logs) -> Result<i32> {
    stream_in(&inside(ctx, server)?, &journalctl(logs), Stream::Null)
}

fn journalctl(logs: &Logs) -> Vec<OsString> {
    let mut argv =
        vec!["journalctl".to_owned(), "--boot".to_owned(), "--no-pager".to_owned(), "--no-hostname".to_owned()];
    argv.extend(logs.unit.iter().map(|u| format!("--unit={u}")));
    argv.extend(logs.lines.iter().map(|n| format!("--lines={n}")));
    argv.extend(logs.follow.then(|| "--follow".to_owned()));
    argv.into_iter().map(OsString::from).collect()
}

/// The images that gc must keep: of everything that may have to be started again, on every server.
///
/// # Errors
/// If a journal cannot be read: then nothing may be freed.
pub fn images_in_use(ctx: &Context) -> Result<Vec<String>> {
    let mut images = Vec::new();
    for server in ctx.home().server_names()? {
        let journal = read_journal(&ctx.home().server(&server))?;
        images.extend(journal.generations().into_iter().map(|g: &Generation| g.candidate.image.clone()));
    }
    images.sort();
    images.dedup();
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_of_the_journal_cannot_become_another_option() {
        let logs = Logs { unit: Some("--flush".into()), lines: Some(5), follow: true };
        let argv = journalctl(&logs);
        assert!(argv.contains(&"--unit=--flush".into()) && argv.contains(&"--lines=5".into()));
        assert_eq!(argv.last().unwrap(), "--follow");
    }
}
