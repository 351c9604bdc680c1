//! What the supervisor runs: real machines ([`Boot`]), or small programs in the tests of the supervisor.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use regrow_config::Check;
use regrow_host::progress::{self, Progress};
use regrow_image::ImageId;
use regrow_machine::{Always, CheckResult, Inside, Lower, Start, Volume};
use regrow_state::Mount;
use std::collections::BTreeMap;

use super::driver::Judgement;
use super::journal::Generation;
use crate::build::open_store;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::home::IdRange;
use crate::images::ImageRoot;
use crate::trial::Failed;

/// How long systemd may take to start everything.
const BOOT: Duration = Duration::from_secs(180);
/// How long it may then take to say `running`.
const SETTLE: Duration = Duration::from_secs(60);
/// How long a check may take when a running server is looked at again and again.
const PROBE: u64 = 3;

/// Looks once at a machine, from any thread, while it runs or not.
pub type Probe = Box<dyn FnOnce() -> Judgement + Send>;

/// Starts machines.
pub trait Runner: Send + 'static {
    /// What it starts.
    type Machine: Machine;

    /// Kills whatever an earlier supervisor of this server left. Nothing of it runs afterwards.
    fn sweep(&self) -> Result<()>;
    /// The root of an image, read-only, to fill empty volumes from. Fails if the image is not there.
    fn image_root(&self, image: &str) -> Result<ImageRoot>;
    /// Starts a generation over the writable directory in `run_dir`.
    fn start(&self, generation: &Generation, run_dir: PathBuf, mounts: &[Mount]) -> Result<Self::Machine>;
}

/// A machine that was started. It dies with this process, and when it is dropped.
pub trait Machine: Send + 'static {
    /// The process id of its first process.
    fn pid(&self) -> i32;
    /// The name of its control group.
    fn cgroup(&self) -> String;
    /// A descriptor that becomes readable when it ends.
    fn pidfd(&self) -> Result<OwnedFd>;
    /// Whether it has ended.
    fn ended(&self) -> bool;
    /// Waits until it is up, ended, or `limit` is over.
    fn come_up(&self, limit: Duration, told: &dyn Progress);
    /// Waits until it is up and judges it, telling every check; stops early when `decided` says true.
    fn judge(&self, checks: &BTreeMap<String, Check>, told: &dyn Progress, decided: &dyn Fn() -> bool) -> Judgement;
    /// Looks at it once more later.
    fn probe(&self, checks: &BTreeMap<String, Check>) -> Probe;
    /// Ends it, in order if that takes no longer than `limit`. Nothing of it runs afterwards.
    fn stop(self, limit: Duration) -> Result<()>;
}

/// Boots real machines from the store.
#[derive(Debug)]
pub struct Boot {
    ctx: Context,
    server: String,
}

/// A booted machine.
#[derive(Debug)]
pub struct Booted {
    machine: regrow_machine::Machine,
    /// Held as long as the machine lives.
    _ids: IdRange,
}

impl Boot {
    /// For one server.
    pub fn new(ctx: &Context, server: &str) -> Boot {
        Boot { ctx: ctx.clone(), server: server.to_owned() }
    }

    /// The machine id of the server: made once, kept over all its generations.
    fn machine_id(&self) -> Result<String> {
        let path = self.ctx.home().server(&self.server).join("machine-id");
        if let Some(id) = regrow_host::fs::read_optional(&path)? {
            let id = String::from_utf8_lossy(&id).trim().to_owned();
            if id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                return Ok(id);
            }
        }
        let id = regrow_host::fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().replace('-', "");
        regrow_host::fs::write_atomic(&path, format!("{id}\n").as_bytes())?;
        Ok(id)
    }
}

fn parse(image: &str) -> Result<ImageId> {
    image.parse().map_err(|e| Error::mistake(format!("`{image}` is no image: {e}")))
}

impl Runner for Boot {
    type Machine = Booted;

    fn sweep(&self) -> Result<()> {
        // Groups are named after their process: those of dead processes are emptied and removed.
        self.ctx.sweep()?;
        // Ours as well: there is one machine at a time, and now there is to be none.
        let name = self.ctx.cgroup_name(&format!("online-{}", self.server));
        if let Some((ours, _number)) = name.rsplit_once('-') {
            regrow_sandbox::sweep(&format!("{ours}-"), |_| false)?;
        }
        Ok(())
    }

    fn image_root(&self, image: &str) -> Result<ImageRoot> {
        ImageRoot::open(&open_store(&self.ctx)?, &parse(image)?, &self.ctx.home().scratch())
    }

    fn start(&self, generation: &Generation, run_dir: PathBuf, mounts: &[Mount]) -> Result<Booted> {
        let wanted = &generation.candidate;
        let store = open_store(&self.ctx)?;
        let image = parse(&wanted.image)?;
        let ids = self.ctx.home().take_ids()?;
        let machine = regrow_machine::start(Start {
            lower: Lower::Image { store: &store, image: &image },
            run_dir,
            volumes: mounts.iter().map(|m| Volume { source: m.source.clone(), target: m.target.clone() }).collect(),
            hostname: wanted.hostname.clone(),
            machine_id: self.machine_id()?,
            userns: Start::namespace(ids.base())?,
            limits: regrow_sandbox::Limits {
                memory: wanted.limits.memory,
                processes: wanted.limits.tasks.map(u64::from),
                cpus: None,
            },
            cgroup: self.ctx.cgroup_name(&format!("online-{}", self.server)),
        })?;
        Ok(Booted { machine, _ids: ids })
    }
}

impl Machine for Booted {
    fn pid(&self) -> i32 {
        self.machine.pid()
    }

    fn cgroup(&self) -> String {
        self.machine.inside().cgroup().name().to_owned()
    }

    fn pidfd(&self) -> Result<OwnedFd> {
        Ok(self.machine.inside().pidfd()?)
    }

    fn ended(&self) -> bool {
        self.machine.ended()
    }

    fn come_up(&self, limit: Duration, told: &dyn Progress) {
        // Why it did not come up is what the next look at it says.
        let _ = self.machine.wait_running(limit, told);
    }

    fn judge(&self, checks: &BTreeMap<String, Check>, told: &dyn Progress, decided: &dyn Fn() -> bool) -> Judgement {
        regrow_machine::announce(checks, Always { timeout: SETTLE }, told);
        match self.machine.wait_running_unless(BOOT, told, decided) {
            Ok(Some(_)) => {}
            Ok(None) => return Judgement::default(),
            Err(e) => {
                let failed_units = failed_units(self.machine.inside());
                return Judgement {
                    failed: Some("boot".to_owned()),
                    detail: e.to_string(),
                    failed_units,
                    ..Judgement::default()
                };
            }
        }
        for unlimited in self.machine.unlimited() {
            progress::note(told, format!("limit not held: {}: {}", unlimited.controller, unlimited.why));
        }
        let inside = self.machine.inside();
        judged(inside, inside.watch_checks(checks, Always { timeout: SETTLE }, told, decided))
    }

    fn probe(&self, checks: &BTreeMap<String, Check>) -> Probe {
        let quick = |check: &Check| Check { timeout: check.timeout.min(PROBE), ..check.clone() };
        let checks: BTreeMap<String, Check> = checks.iter().map(|(name, check)| (name.clone(), quick(check))).collect();
        let (pid, cgroup) = (self.pid(), self.cgroup());
        Box::new(move || match Inside::find(pid, &cgroup) {
            Ok(Some(inside)) => look(&inside, &checks, Duration::from_secs(PROBE)),
            Ok(None) => gone("it does not run"),
            Err(e) => gone(&e.to_string()),
        })
    }

    fn stop(self, limit: Duration) -> Result<()> {
        self.machine.stop(limit)?;
        Ok(())
    }
}

fn gone(why: &str) -> Judgement {
    Judgement { failed: Some("system".to_owned()), detail: why.to_owned(), ..Judgement::default() }
}

fn look(inside: &Inside, checks: &BTreeMap<String, Check>, settle: Duration) -> Judgement {
    judged(inside, inside.run_checks(checks, Always { timeout: settle }))
}

fn judged(inside: &Inside, results: Vec<CheckResult>) -> Judgement {
    // What was left off when somebody decided needs no journal: it did not fail.
    let left = results.iter().any(|c| c.left);
    let mut judgement = verdict(results);
    if !judgement.healthy && !left {
        judgement.failed_units = failed_units(inside);
    }
    judgement
}

/// Healthy if every check passed, else the first that did not.
pub(super) fn verdict(checks: Vec<CheckResult>) -> Judgement {
    let failed = checks.iter().find(|c| !c.passed);
    let (name, detail) = match failed {
        Some(check) => (Some(check.name.clone()), check.detail.clone()),
        None => (None, format!("all {} checks passed", checks.len())),
    };
    Judgement { healthy: failed.is_none(), failed: name, detail, checks, ..Judgement::default() }
}

fn failed_units(inside: &Inside) -> Vec<Failed> {
    let units = inside.failed_units().unwrap_or_default();
    units.into_iter().map(|u| Failed { unit: u.unit, journal: u.journal }).collect()
}
