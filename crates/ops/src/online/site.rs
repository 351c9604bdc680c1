//! The world of one online server as it really is: its machine, its ports, its volumes, its files.
//!
//! ```text
//! servers/<name>/
//!   online.json         the journal
//!   health.json         what runs now and how it was when last looked at; may be stale or missing
//!   machine-id          the same for all generations
//!   runs/<generation>/  upper and work of the overlay, console.log
//!   state/ snapshots/   see regrow-state
//!   supervisor.lock     held by the supervisor as long as it lives
//!   supervisor.log      what it did; supervisor.log.1 is the older part
//!   control.sock        where commands talk to it
//! ```

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use regrow_host::fs;
use regrow_host::progress::Progress;
use regrow_machine::proxy::{self, Port, Proxy};
use regrow_state::{Note, State};
use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::driver::{Judgement, Stop, World};
use super::journal::{Generation, HISTORY, Journal, SCHEMA};
use super::runner::{Machine, Runner};
use super::supervisor::Event;
use crate::context::Clock;
use crate::error::{Error, Result};

/// How long a machine may take to shut down in order.
const STOP: Duration = Duration::from_secs(45);
/// How long to wait for a machine that was good before, until its ports are connected anyway.
const COME_UP: Duration = Duration::from_secs(90);
/// How many old writable directories and state snapshots are kept beyond those that are needed.
const KEEP: usize = 3;
/// Free space without which a switch is not begun, in bytes.
const ROOM: u64 = 64 << 20;

/// The content of `health.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Health {
    /// The generation that runs.
    pub generation: u64,
    /// Its first process; 0 if nothing runs.
    pub pid: i32,
    /// Its control group.
    pub cgroup: String,
    /// When it was started, in seconds since 1970 UTC.
    pub started: i64,
    /// How often this generation ended by itself since the supervisor was started.
    pub restarts: u32,
    /// Whether its ports are connected.
    pub published: bool,
    /// How it was when last looked at; none before the first look.
    pub judgement: Option<Judgement>,
    /// When that was, in seconds since 1970 UTC.
    pub judged: i64,
}

/// Keeps `health.json` from several threads.
#[derive(Debug)]
pub(super) struct HealthFile {
    path: PathBuf,
    health: Mutex<Health>,
}

impl HealthFile {
    fn new(path: PathBuf) -> HealthFile {
        HealthFile { path, health: Mutex::default() }
    }

    /// Changes what is known. A failed write is of no consequence: it only makes what is shown older.
    pub(super) fn change(&self, change: impl FnOnce(&mut Health)) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut health);
        if let Ok(json) = serde_json::to_vec(&*health) {
            let _ = fs::write_atomic_with_mode(&self.path, &json, 0o600);
        }
    }
}

/// Reads the health of a server that is kept in `dir`.
pub(super) fn read_health(dir: &Path) -> Option<Health> {
    let json = fs::read_optional(dir.join("health.json")).ok()??;
    serde_json::from_slice(&json).ok()
}

/// Reads the journal of a server that is kept in `dir`; the empty one if it never was online.
///
/// # Errors
/// If it cannot be read, or was written by another version of the program.
pub fn read_journal(dir: &Path) -> Result<Journal> {
    let path = dir.join("online.json");
    let Some(json) = fs::read_optional(&path)? else { return Ok(Journal::default()) };
    let unreadable = |source| Error::Json { what: format!("the journal {}", path.display()), source };
    // A newer program's journal must not be mistaken for ours: look at the format before anything else.
    let value: serde_json::Value = serde_json::from_slice(&json).map_err(unreadable)?;
    match value["schema"].as_u64() {
        Some(schema) if schema != u64::from(SCHEMA) => Err(Error::surroundings(
            format!("{} has format {schema}; this program knows format {SCHEMA}", path.display()),
            "use the version of regrow that wrote it, or a newer one",
        )),
        _ => serde_json::from_value(value).map_err(unreadable),
    }
}

/// A machine that runs, or has ended and was not looked after yet.
#[derive(Debug)]
struct Live<M> {
    generation: Generation,
    machine: M,
    serial: u64,
    since: Instant,
}

/// The world of one server. There is one at a time: whoever makes it holds `supervisor.lock`.
pub(super) struct Site<R: Runner> {
    dir: PathBuf,
    runner: R,
    state: State,
    proxy: Proxy,
    live: Option<Live<R::Machine>>,
    /// A machine could not be ended properly: look again before anything is started.
    unclean: bool,
    saved: Vec<u8>,
    events: Sender<Event>,
    serial: u64,
    clock: Clock,
    pub(super) health: Arc<HealthFile>,
    pub(super) told: Arc<dyn Progress>,
    /// Where a person decides about what is being judged.
    desk: Arc<Desk>,
}

impl<R: Runner> Site<R> {
    /// Kills what an earlier supervisor left and takes over.
    pub(super) fn new(
        dir: &Path,
        runner: R,
        events: Sender<Event>,
        clock: Clock,
        told: Arc<dyn Progress>,
        desk: Arc<Desk>,
    ) -> Result<Site<R>> {
        runner.sweep()?;
        let state = State::open(dir)?;
        let proxy = Proxy::new().map_err(unpublishable)?;
        let health = Arc::new(HealthFile::new(dir.join("health.json")));
        health.change(|_| {});
        Ok(Site {
            dir: dir.to_owned(),
            runner,
            state,
            proxy,
            live: None,
            unclean: false,
            saved: Vec::new(),
            events,
            serial: 0,
            clock,
            health,
            told,
            desk,
        })
    }

    /// The journal. If there is none, generations are counted on from what lies about.
    pub(super) fn journal(&self) -> Result<Journal> {
        let mut journal = read_journal(&self.dir)?;
        // Only whole names: what an interrupted call left has other numbers in its name.
        for (dir, prefix) in [("runs", ""), ("snapshots", "before-")] {
            let number = |name: &std::ffi::OsString| name.to_str()?.strip_prefix(prefix)?.parse::<u64>().ok();
            let used = fs::list(self.dir.join(dir))?.iter().filter_map(number).max();
            journal.next = journal.next.max(used.map_or(1, |n| n + 1));
        }
        Ok(journal)
    }

    /// Whether a machine runs.
    pub(super) fn runs(&self) -> bool {
        self.live.as_ref().is_some_and(|l| !l.machine.ended())
    }

    /// Whether the machine of an end event is the present one; then how long it lived, and it is looked after.
    pub(super) fn ended(&mut self, serial: u64) -> Option<Duration> {
        let lived = self.live.as_ref().filter(|l| l.serial == serial)?.since.elapsed();
        let _ = self.proxy.pause();
        if let Err(e) = self.take_down(Duration::ZERO) {
            self.unclean = true;
            regrow_host::progress::note(&*self.told, format!("cleaning up after it: {e}"));
        }
        self.health.change(|h| h.restarts += 1);
        Some(lived)
    }

    /// Lets somebody look at the running machine.
    pub(super) fn probe(&self) -> Option<(u64, super::runner::Probe)> {
        let live = self.live.as_ref().filter(|l| !l.machine.ended())?;
        Some((live.generation.id, live.machine.probe(&live.generation.candidate.checks)))
    }

    fn take_down(&mut self, limit: Duration) -> Result<()> {
        let stopped = match self.live.take() {
            Some(live) => live.machine.stop(limit),
            None => Ok(()),
        };
        let _ = self.proxy.disconnect();
        self.health.change(|h| (h.pid, h.published) = (0, false));
        stopped
    }

    fn run_dir(&self, generation: u64) -> PathBuf {
        self.dir.join("runs").join(generation.to_string())
    }

    /// Removes the oldest writable directories and snapshots that nothing can need any more.
    pub(super) fn tidy(&self, journal: &Journal) -> Result<()> {
        let needed: BTreeSet<u64> = journal.generations().iter().map(|g| g.id).collect();
        let mut runs: Vec<u64> =
            fs::list(self.dir.join("runs"))?.iter().filter_map(|n| n.to_str()?.parse().ok()).collect();
        runs.sort_unstable();
        let spare: Vec<u64> = runs.into_iter().filter(|id| !needed.contains(id)).collect();
        for id in spare.iter().rev().skip(KEEP) {
            fs::remove_dir_all(self.run_dir(*id))?;
        }
        self.state.prune(HISTORY.max(KEEP), &journal.snapshots())?;
        Ok(())
    }
}

impl<R: Runner> World for Site<R> {
    fn save(&mut self, journal: &Journal) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(journal)
            .map_err(|source| Error::Json { what: "the journal".to_owned(), source })?;
        json.push(b'\n');
        if json != self.saved {
            fs::write_atomic_with_mode(self.dir.join("online.json"), &json, 0o600)?;
            self.saved = json;
        }
        Ok(())
    }

    fn reserve(&mut self, to: &Generation) -> Result<()> {
        let free = rustix::fs::statvfs(&self.dir).map_err(|e| fs::Error::new("examine", &self.dir, e.into()))?;
        if free.f_bavail.saturating_mul(free.f_frsize) < ROOM {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(fs::Error::new("begin a switch in", &self.dir, full).into());
        }
        self.runner.image_root(&to.candidate.image)?;
        self.proxy.add(&to.candidate.publish).map_err(unpublishable)?;
        Ok(())
    }

    fn stop(&mut self, how: Stop) -> Result<()> {
        self.proxy.pause().map_err(unpublishable)?;
        let limit = match how {
            Stop::Orderly => STOP,
            Stop::AtOnce => Duration::ZERO,
        };
        if let Err(e) = self.take_down(limit) {
            self.unclean = true;
            regrow_host::progress::note(&*self.told, format!("it did not end as it should: {e}"));
        }
        if self.unclean {
            self.runner.sweep()?;
            self.unclean = false;
        }
        Ok(())
    }

    fn snapshot(&mut self, id: &str, of: Option<&Generation>) -> Result<()> {
        let note = Note {
            revision: of.map(|g| g.candidate.revision.clone()).unwrap_or_default(),
            image: of.map(|g| g.candidate.image.clone()).unwrap_or_default(),
            taken: self.now(),
        };
        self.state.snapshot_at_rest(id, note)?;
        Ok(())
    }

    fn restore(&mut self, id: &str) -> Result<()> {
        self.state.restore(id)?;
        Ok(())
    }

    fn start(&mut self, generation: &Generation) -> Result<()> {
        if let Some(live) = &self.live {
            if live.generation.id == generation.id && !live.machine.ended() {
                return Ok(());
            }
            self.stop(Stop::AtOnce)?;
        }
        if self.unclean {
            self.runner.sweep()?;
            self.unclean = false;
        }
        let wanted = &generation.candidate;
        // Early, so that connections wait instead of being refused. A port that cannot be had is no reason not to start;
        // [`World::publish`] says it.
        let _ = self.proxy.add(&wanted.publish);
        let prepared = {
            let root = self.runner.image_root(&wanted.image)?;
            self.state.prepare(&wanted.state, root.as_fd(), &wanted.image)?
        };
        let run_dir = self.run_dir(generation.id);
        fs::create_dir_all(&run_dir)?;
        let machine = self.runner.start(generation, run_dir, &prepared.mounts)?;
        self.serial += 1;
        let (serial, events, pidfd) = (self.serial, self.events.clone(), machine.pidfd()?);
        std::thread::Builder::new()
            .name("regrow-watch".to_owned())
            .spawn(move || {
                wait_readable(&pidfd);
                let _ = events.send(Event::Ended(serial));
            })
            .map_err(|e| fs::Error::new("watch the first process of", &self.dir, e))?;
        let (pid, cgroup, started) = (machine.pid(), machine.cgroup(), self.now());
        self.health.change(|h| {
            let restarts = if h.generation == generation.id { h.restarts } else { 0 };
            *h = Health { generation: generation.id, pid, cgroup, started, restarts, ..Health::default() };
        });
        self.live = Some(Live { generation: generation.clone(), machine, serial, since: Instant::now() });
        Ok(())
    }

    fn listen(&mut self, generation: &Generation) {
        self.desk.open(generation.id);
    }

    fn judge(&mut self, generation: &Generation) -> Judgement {
        let mut judgement = match &self.live {
            Some(live) => live.machine.judge(&generation.candidate.checks, &*self.told, &|| self.desk.decided()),
            None => Judgement {
                failed: Some("boot".to_owned()),
                detail: "it does not run".to_owned(),
                ..Judgement::default()
            },
        };
        judgement.decision = self.desk.take();
        let (now, seen) = (self.now(), judgement.clone());
        self.health.change(|h| (h.judgement, h.judged) = (Some(seen), now));
        judgement
    }

    fn decided(&mut self, saved: bool) {
        self.desk.answer(saved);
    }

    fn come_up(&mut self, _: &Generation) {
        if let Some(live) = &self.live {
            live.machine.come_up(COME_UP, &*self.told);
        }
    }

    fn publish(&mut self, generation: &Generation) -> Result<()> {
        let Some(live) = self.live.as_ref().filter(|l| !l.machine.ended()) else {
            return Err(Error::surroundings(
                "the server ended while it was starting",
                "see `regrow logs` and supervisor.log",
            ));
        };
        let path = format!("/proc/{}/ns/net", live.machine.pid());
        let network = fs::open(&path)?;
        self.proxy.set(&generation.candidate.publish).map_err(unpublishable)?;
        self.proxy.open(network.into()).map_err(unpublishable)?;
        self.health.change(|h| h.published = true);
        Ok(())
    }

    fn unpublish(&mut self, keep: Option<&Generation>) {
        let keep: BTreeSet<Port> = keep.map(|g| g.candidate.publish.clone()).unwrap_or_default();
        if let Err(e) = self.proxy.set(&keep) {
            regrow_host::progress::note(&*self.told, format!("ports: {e}"));
        }
    }

    fn now(&self) -> i64 {
        self.clock.now().as_second()
    }
}

fn wait_readable(fd: &impl AsFd) {
    use rustix::event::{PollFd, PollFlags, poll};
    while let Err(rustix::io::Errno::INTR) = poll(&mut [PollFd::new(fd, PollFlags::IN)], None) {}
}

/// A proxy's refusal as an error of this crate.
fn unpublishable(e: proxy::Error) -> Error {
    let mut message = e.to_string();
    if let Some(cause) = std::error::Error::source(&e) {
        message.push_str(&format!(": {cause}"));
    }
    Error::Surroundings { message, help: None }
}
