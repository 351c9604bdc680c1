//! `trial`: boot an image offline and judge it by the server's checks.
//!
//! The machine has no network but loopback, state of its own, seeded as at a first start, and lives in a scratch
//! directory. Afterwards nothing of it is left, unless it is kept ([`keep`]).

pub(crate) mod ask;
pub mod keep;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use regrow_config::{Check, CheckKind, Limits, Server};
use regrow_host::lock::Scratch;
use regrow_host::progress::step;
use regrow_image::ImageId;
pub use regrow_machine::CheckResult;
use regrow_machine::{Always, Machine, Start, Volume};
use regrow_state::{Declared, State};
use serde::{Deserialize, Serialize};

use crate::Answer;
use crate::build::{BuildReport, build_wanted, open_store};
use crate::context::Context;
use crate::drafts;
use crate::error::{Error, Result};
use crate::evidence::{self, Kind, New, Verdict};
use crate::home::IdRange;
use crate::images::ImageRoot;
use crate::wanted::Wanted;

/// How long systemd may take to start everything.
const BOOT: Duration = Duration::from_secs(180);
/// How long it may then take to say `running`.
const SETTLE: Duration = Duration::from_secs(60);
/// How long an orderly end may take. A trial's state is thrown away, so there is nothing to wait for.
const STOP: Duration = Duration::from_millis(0);

/// What a container cannot show; the verdict says so.
pub const NOT_SHOWN: &str = "kernel, boot loader, hardware and the real network are not tried in a container";

/// The verdict of a trial.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrialReport {
    /// The server.
    pub server: String,
    /// The text: a commit id, with `+edits` if the work tree had more.
    pub revision: String,
    /// The image that was tried.
    pub image: String,
    /// Healthy or failed.
    pub verdict: Verdict,
    /// Why it failed, if not by a check: it did not boot.
    pub reason: Option<String>,
    /// Seconds from its start until systemd had started everything.
    pub ready_seconds: Option<f64>,
    /// Wall-clock seconds of the trial: start, checks, end. Building is not in it.
    pub seconds: f64,
    /// What every check saw.
    pub checks: Vec<CheckResult>,
    /// Units that failed, with their last words.
    pub failed_units: Vec<Failed>,
    /// Limits that this host could not hold, in words.
    pub unlimited: Vec<String>,
    /// What this trial cannot show.
    pub not_shown: String,
    /// Its ports while it is kept: see [`keep::Link`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<keep::Link>,
    /// The end of what it wrote to its console, if it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub console: String,
    /// Whether it still runs, for `exec --trial`.
    pub kept: bool,
    /// The build of the image.
    pub build: Option<BuildReport>,
}

/// A unit that failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failed {
    /// Its name.
    pub unit: String,
    /// Its newest journal lines.
    pub journal: String,
}

impl Answer for TrialReport {
    fn is_yes(&self) -> bool {
        self.verdict.is_good()
    }
}

/// What is to be tried: everything that booting and judging needs, so that it can be handed to another process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Candidate {
    /// The server.
    pub server: String,
    /// See [`TrialReport::revision`].
    pub revision: String,
    /// The image.
    pub image: String,
    /// The host name inside.
    pub hostname: String,
    /// What it may use of the host.
    pub limits: Limits,
    /// What must hold.
    pub checks: BTreeMap<String, Check>,
    /// The directories that are state.
    pub state: Vec<Declared>,
    /// The ports inside that are worth a look while it is kept.
    #[serde(default)]
    pub ports: BTreeSet<u16>,
    /// How many minutes it is kept after its verdict; 0: until it is ended.
    #[serde(default)]
    pub minutes: u32,
}

impl Candidate {
    /// An image of a server at a revision (see [`TrialReport::revision`]).
    pub fn new(server: &Server, revision: &str, image: &str) -> Result<Candidate> {
        let tables = server.state.iter().map(|(name, state)| (name.as_str(), state.paths.as_slice()));
        Ok(Candidate {
            server: server.name.clone(),
            revision: revision.to_owned(),
            image: image.to_owned(),
            hostname: server.system.hostname.clone(),
            limits: server.system.limits.clone(),
            checks: server.checks.clone(),
            state: regrow_state::declared(tables)?,
            ports: ports(server),
            minutes: 0,
        })
    }
}

/// The ports that the text publishes or asks by HTTP.
fn ports(server: &Server) -> BTreeSet<u16> {
    let asked = server.checks.values().filter_map(|check| match &check.kind {
        CheckKind::Http { url, .. } => {
            let host = url.strip_prefix("http://")?.split(['/', '?', '#']).next()?;
            Some(host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(80))
        }
        _ => None,
    });
    server.network.publish.iter().map(|p| p.port).chain(asked).collect()
}

/// Builds a server from the work tree (or with `at` from one revision), boots the image offline and judges it. With
/// `keep` it goes on running afterwards for so many minutes (0: until it is ended). Run it in a job ([`crate::jobs`]).
pub fn trial(ctx: &Context, server: &str, at: Option<&str>, keep: Option<u32>) -> Result<TrialReport> {
    ctx.begin("a trial")?;
    drafts::check_decided(ctx, at)?;
    let wanted = Wanted::read(ctx, at)?;
    let text = wanted.server(server)?;
    let build = build_wanted(ctx, &wanted, server, true)?;
    let mut candidate = Candidate::new(text, &build.revision, &build.image)?;
    candidate.minutes = keep.unwrap_or_default();
    keep::stop(ctx, server)?;
    let mut report = if keep.is_some() { keep::start(ctx, &candidate)? } else { run(ctx, &candidate)? };
    report.build = Some(build);
    let new = New {
        kind: Kind::Trial,
        server,
        revision: &report.revision,
        image: Some(&report.image),
        verdict: report.verdict,
    };
    evidence::record_or_note(ctx, &new, &report);
    Ok(report)
}

/// Boots and judges a candidate; nothing of it is left afterwards.
fn run(ctx: &Context, candidate: &Candidate) -> Result<TrialReport> {
    let began = Instant::now();
    let scratch = Scratch::new(ctx.home().scratch(), &format!("trial-{}", candidate.server))?;
    let booted = Booted::start(ctx, candidate, scratch.path())?;
    let mut report = booted.judge(ctx, candidate)?;
    booted.end()?;
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

/// A candidate's machine.
struct Booted {
    machine: Machine,
    cgroup: String,
    began: Instant,
    _ids: IdRange,
}

impl Booted {
    fn start(ctx: &Context, candidate: &Candidate, dir: &Path) -> Result<Booted> {
        let began = Instant::now();
        let image =
            candidate.image.parse::<ImageId>().map_err(|e| Error::mistake(format!("{}: {e}", candidate.image)))?;
        let store = open_store(ctx)?;
        let state = State::open(dir.join("server"))?;
        let prepared = {
            let root = ImageRoot::open(&store, &image, &ctx.home().scratch())?;
            state.prepare(&candidate.state, root.as_fd(), &candidate.image)?
        };
        let ids = ctx.home().take_ids()?;
        let cgroup = ctx.cgroup_name(&format!("trial-{}", candidate.server));
        let machine = regrow_machine::start(Start {
            lower: regrow_machine::Lower::Image { store: &store, image: &image },
            run_dir: dir.join("run"),
            volumes: prepared.mounts.into_iter().map(|m| Volume { source: m.source, target: m.target }).collect(),
            hostname: candidate.hostname.clone(),
            machine_id: random_machine_id()?,
            userns: Start::namespace(ids.base())?,
            limits: regrow_sandbox::Limits {
                memory: candidate.limits.memory,
                processes: candidate.limits.tasks.map(u64::from),
                cpus: None,
            },
            cgroup: cgroup.clone(),
        })?;
        Ok(Booted { machine, cgroup, began, _ids: ids })
    }

    /// Waits until it runs and looks at everything. A server that does not boot is an answer, not an error.
    fn judge(&self, ctx: &Context, candidate: &Candidate) -> Result<TrialReport> {
        let machine = &self.machine;
        let mut report = TrialReport {
            server: candidate.server.clone(),
            revision: candidate.revision.clone(),
            image: candidate.image.clone(),
            verdict: Verdict::Failed,
            reason: None,
            ready_seconds: None,
            seconds: 0.0,
            checks: Vec::new(),
            failed_units: Vec::new(),
            unlimited: machine.unlimited().iter().map(|u| format!("{}: {}", u.controller, u.why)).collect(),
            not_shown: NOT_SHOWN.to_owned(),
            links: Vec::new(),
            console: String::new(),
            kept: false,
            build: None,
        };
        regrow_machine::announce(&candidate.checks, Always { timeout: SETTLE }, ctx.progress());
        match machine.wait_running(BOOT, ctx.progress()) {
            Ok(seconds) => report.ready_seconds = Some(seconds),
            Err(e @ (regrow_machine::Error::Ended { .. } | regrow_machine::Error::Timeout { .. })) => {
                report.reason = Some(e.to_string());
            }
            Err(e) => return Err(e.into()),
        }
        if !machine.ended() {
            if report.reason.is_none() {
                let step = step(ctx.progress(), "checks", "Check");
                report.checks = machine.inside().watch_checks(
                    &candidate.checks,
                    Always { timeout: SETTLE },
                    ctx.progress(),
                    &|| false,
                );
                let failed = report.checks.iter().filter(|c| !c.passed).count();
                step.finish(match failed {
                    0 => format!("all {} passed", report.checks.len()),
                    n => format!("{n} of {} failed", report.checks.len()),
                });
            }
            let units = machine.inside().failed_units().unwrap_or_default();
            report.failed_units = units.into_iter().map(|u| Failed { unit: u.unit, journal: u.journal }).collect();
        }
        if regrow_host::cancel::requested() {
            return Err(Error::Cancelled);
        }
        if report.reason.is_none() && report.checks.iter().all(|c| c.passed) {
            report.verdict = Verdict::Healthy;
        } else {
            report.console = last_lines(&machine.console());
        }
        report.seconds = self.began.elapsed().as_secs_f64();
        Ok(report)
    }

    fn end(self) -> Result<()> {
        self.machine.stop(STOP)?;
        Ok(())
    }
}

/// The end of a console, for the report: at most 16 KiB in whole lines.
fn last_lines(console: &str) -> String {
    const MOST: usize = 16 << 10;
    let text = console.trim_end();
    let from = text.len().saturating_sub(MOST);
    let from = (from..=text.len()).find(|&n| text.is_char_boundary(n)).unwrap_or(0);
    let tail = &text[from..];
    let cut = if from == 0 { 0 } else { tail.find('\n').map_or(0, |n| n + 1) };
    tail[cut..].to_owned()
}

/// A machine id for one trial: 32 hexadecimal digits.
fn random_machine_id() -> Result<String> {
    let uuid = regrow_host::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(uuid.trim().replace('-', ""))
}
