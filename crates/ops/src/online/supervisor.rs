//! The supervisor: the one process that runs an online server, and the only one that changes what is online.
//!
//! It is started by the first command that finds a server which should run and has no supervisor ([`super::launch`]),
//! outlives that command, and holds `supervisor.lock`: there is never a second one. Its machine dies with it. So after
//! any kill the next supervisor finds nothing running and makes whole what the journal says was going on.
//!
//! One thread does all the work, in the order of events: requests of commands, the end of the machine, a signal. A
//! machine that ends by itself is started again, at once and then less and less often.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use regrow_host::fs;
use regrow_host::lock::{FileLock, Wait};
use regrow_host::progress::{self, CheckState, Progress};

use super::control::{self, Answer, Client, Request};
use super::desk::Desk;
use super::driver::{self, Judgement, Stop, World};
use super::journal::{Candidate, Decision, Generation, Intent, Journal, Phase, Recovery};
use super::report::SwitchReport;
use super::runner::Runner;
use super::site::Site;
use crate::context::Clock;
use crate::error::{Error, Result};

/// How often a running server is looked at.
const PROBE: Duration = Duration::from_secs(30);
/// A machine that lived as long as this is started again at once.
const STEADY: Duration = Duration::from_secs(60);
/// The longest pause before a machine is started again.
const PAUSE: u64 = 60;
/// How long a supervisor with nothing to run waits for something to do.
const IDLE: Duration = Duration::from_secs(10);
/// Size of `supervisor.log` at which it is put aside.
const LOG: u64 = 1 << 20;

/// What happens to a supervisor.
#[derive(Debug)]
pub(super) enum Event {
    /// A command asks for something.
    Request(Request, Arc<Client>),
    /// The machine with this serial number has ended.
    Ended(u64),
    /// SIGTERM: the host goes down, or somebody wants us to end. What should be online stays recorded.
    Terminate,
}

/// Takes the result of a switch or rollback.
pub type Record = Box<dyn Fn(&SwitchReport, Intent)>;

/// What a supervisor is for.
pub struct Setup {
    /// The server's name.
    pub server: String,
    /// Its directory.
    pub dir: PathBuf,
    /// Where the time comes from.
    pub clock: Clock,
    /// Called when what should run has been started, or when that failed and will be tried again.
    pub ready: Box<dyn FnOnce()>,
    /// Records the result of a switch or rollback.
    pub record: Record,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("server", &self.server).finish_non_exhaustive()
    }
}

/// How a supervisor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Another one has the server already.
    NotNeeded,
    /// There is nothing to run any more, or it was asked to end.
    Done,
}

/// Supervises a server until there is nothing to run.
///
/// # Errors
/// If it cannot take over: then nothing runs, and the next command tries again.
pub fn supervise<R: Runner>(setup: Setup, runner: R) -> Result<Ended> {
    let Some(_lock) = FileLock::exclusive(setup.dir.join("supervisor.lock"), Wait::No)? else {
        return Ok(Ended::NotNeeded);
    };
    let log = Arc::new(Log::open(&setup.dir, setup.clock)?);
    log.line(&format!("supervisor of {} starts (process {})", setup.server, std::process::id()));
    more_descriptors();
    let (sender, events) = channel();
    on_termination(sender.clone())?;
    // From here on commands reach us; their requests wait until the server is whole.
    let desk = Arc::new(Desk::default());
    accept(&setup.dir, sender.clone(), desk.clone(), setup.clock)?;
    let site = Site::new(&setup.dir, runner, sender, setup.clock, log.clone(), desk)?;
    let journal = site.journal()?;
    let mut supervisor = Supervisor {
        server: setup.server,
        site,
        journal,
        events,
        log: log.clone(),
        record: setup.record,
        settled: false,
        failures: 0,
        retry_at: Instant::now(),
        probe_at: Instant::now() + PROBE,
        probing: Arc::default(),
        idle_since: Instant::now(),
    };
    let started = supervisor.settle(&log.clone());
    (setup.ready)();
    supervisor.settled(started, &*log.clone());
    let ended = supervisor.run();
    let _ = fs::remove_file(control::socket(&setup.dir));
    log.line("supervisor ends");
    ended
}

struct Supervisor<R: Runner> {
    server: String,
    site: Site<R>,
    journal: Journal,
    events: Receiver<Event>,
    log: Arc<Log>,
    record: Record,
    /// Whether what should run does, with its ports connected.
    settled: bool,
    /// How often in a row the machine ended early or could not be started.
    failures: u32,
    retry_at: Instant,
    probe_at: Instant,
    probing: Arc<AtomicBool>,
    idle_since: Instant,
}

impl<R: Runner> Supervisor<R> {
    fn run(mut self) -> Result<Ended> {
        loop {
            let now = Instant::now();
            if !self.settled && now >= self.retry_at {
                let log = self.log.clone();
                let started = self.settle(&log);
                self.settled(started, &*log);
            }
            if self.settled && now >= self.probe_at {
                self.probe();
            }
            let idle = self.settled && !self.journal.wants_running();
            if idle && self.idle_since.elapsed() >= IDLE {
                return Ok(Ended::Done);
            }
            let next = match (self.settled, idle) {
                (false, _) => self.retry_at,
                (true, true) => self.idle_since + IDLE,
                (true, false) => self.probe_at,
            };
            match self.events.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Event::Request(request, client)) => {
                    self.serve(request, &client);
                    if self.settled && !self.journal.wants_running() {
                        return Ok(Ended::Done);
                    }
                }
                Ok(Event::Ended(serial)) => self.ended(serial),
                Ok(Event::Terminate) => {
                    self.log.line("asked to end; what is online now comes back with the next supervisor");
                    self.site.stop(Stop::Orderly)?;
                    return Ok(Ended::Done);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(Ended::Done),
            }
        }
    }

    /// Makes whole what was interrupted and starts what should run.
    fn settle(&mut self, told: &Arc<Log>) -> Result<Option<Generation>> {
        self.site.told = told.clone();
        driver::settle(&mut self.site, &mut self.journal, &**told)
    }

    /// The second half: connects what was started, or remembers to try again.
    fn settled(&mut self, started: Result<Option<Generation>>, told: &dyn Progress) {
        let connected = started.and_then(|started| match started {
            Some(generation) => driver::connect(&mut self.site, &generation).map(|()| Some(generation)),
            None => Ok(None),
        });
        match connected {
            Ok(generation) => {
                self.settled = true;
                self.idle_since = Instant::now();
                self.probe_at = Instant::now();
                if let Some(generation) = generation {
                    self.log.line(&format!("generation {} is online", generation.id));
                }
                if let Err(e) = self.site.tidy(&self.journal) {
                    progress::note(told, format!("tidying up: {e}"));
                }
            }
            Err(e) => self.try_later(&e),
        }
    }

    fn try_later(&mut self, e: &Error) {
        self.settled = false;
        let pause = self.backoff();
        let causes = e.causes().join(": ");
        self.log.line(&format!("not online: {e} ({causes}); trying again in {} s", pause.as_secs()));
        self.site.health.change(|h| {
            h.judgement =
                Some(Judgement { failed: Some("start".to_owned()), detail: e.to_string(), ..Judgement::default() });
        });
    }

    /// Counts a failure; returns the pause after it, which is also set.
    fn backoff(&mut self) -> Duration {
        let pause = match self.failures {
            0 => 0,
            n => 1u64.checked_shl(n - 1).unwrap_or(PAUSE).min(PAUSE),
        };
        self.failures = self.failures.saturating_add(1);
        let pause = Duration::from_secs(pause);
        self.retry_at = Instant::now() + pause;
        pause
    }

    fn ended(&mut self, serial: u64) {
        let Some(lived) = self.site.ended(serial) else { return };
        if lived >= STEADY {
            self.failures = 0;
        }
        let pause = self.backoff();
        self.settled = false;
        self.log.line(&format!(
            "the server ended by itself after {} s; starting it again in {} s",
            lived.as_secs(),
            pause.as_secs()
        ));
    }

    fn serve(&mut self, request: Request, client: &Arc<Client>) {
        let told = Arc::new(Both { log: self.log.clone(), client: client.clone() });
        self.site.told = told.clone();
        let answer = match self.carry_out(&request, &*told) {
            Ok(answer) => answer,
            Err(e) => {
                self.log.line(&format!("{}: {e}", request_name(&request)));
                // Whatever is left to bring in order is brought in order, at once; if nothing is, this changes nothing.
                self.settled = false;
                self.retry_at = Instant::now();
                Answer::failed(&e)
            }
        };
        self.site.told = self.log.clone();
        client.send(&answer);
    }

    fn carry_out(&mut self, request: &Request, told: &dyn Progress) -> Result<Answer> {
        self.log.line(request_name(request));
        if !matches!(self.journal.recovery(), Recovery::Nothing | Recovery::Start(_)) {
            // An earlier way back is not finished.
            driver::settle(&mut self.site, &mut self.journal, told)?;
        }
        match request {
            Request::Switch { candidate } => self.replace((**candidate).clone(), Intent::Switch, told),
            Request::Rollback { .. } => {
                let Some(previous) = self.journal.previous() else {
                    return Err(Error::No {
                        message: format!("nothing was online on {} before what is online now", self.server),
                        help: Some(
                            "put an earlier revision online with: regrow switch SERVER --at REVISION".to_owned(),
                        ),
                    });
                };
                self.replace(previous.generation.candidate.clone(), request.intent(), told)
            }
            Request::Decide { .. } => Err(driver::illegal("a decision is taken at the desk")),
            Request::Stop => {
                if let Phase::Running { .. } = self.journal.phase {
                    let before = self.journal.clone();
                    self.journal.stop().map_err(driver::illegal)?;
                    if let Err(e) = self.site.save(&self.journal) {
                        self.journal = before;
                        return Err(e);
                    }
                    self.site.stop(Stop::Orderly)?;
                }
                self.settled = true;
                Ok(Answer::Done)
            }
            Request::Start => {
                match self.journal.phase {
                    Phase::Stopped { .. } => self.journal.start().map_err(driver::illegal)?,
                    Phase::Offline => {
                        return Err(Error::mistake_with(
                            format!("{} was never online", self.server),
                            format!("put it online with: regrow switch {}", self.server),
                        ));
                    }
                    _ => {}
                }
                if let Some(generation) = driver::settle(&mut self.site, &mut self.journal, told)? {
                    driver::connect(&mut self.site, &generation)?;
                }
                self.settled = true;
                Ok(Answer::Done)
            }
        }
    }

    fn replace(&mut self, candidate: Candidate, intent: Intent, told: &dyn Progress) -> Result<Answer> {
        let began = Instant::now();
        if intent == Intent::Switch {
            if let Some(report) = self.nothing_to_do(&candidate, told)? {
                return Ok(Answer::Report(Box::new(report)));
            }
            if let Some(held) = self.journal.held(&candidate.revision) {
                let what = held.check.as_deref().unwrap_or("start");
                progress::note(told, format!("this revision is held since `{what}` failed; trying it again, as asked"));
            }
        }
        // What is being replaced may have been ending over and over; that is nothing to the new one.
        self.failures = 0;
        let outcome = driver::switch(&mut self.site, &mut self.journal, candidate, intent, told)?;
        let report = SwitchReport::new(&self.server, outcome, intent, began.elapsed().as_secs_f64());
        self.settled = true;
        // What was judged just now need not be looked at; what came back was not judged yet.
        self.probe_at = Instant::now() + if report.verdict.is_good() { PROBE } else { Duration::ZERO };
        self.log.line(&format!("{}: {} ({})", request_words(intent), report.verdict, report.detail));
        (self.record)(&report, intent);
        if let Err(e) = self.site.tidy(&self.journal) {
            progress::note(told, format!("tidying up: {e}"));
        }
        Ok(Answer::Report(Box::new(report)))
    }

    /// A candidate that runs already, but perhaps under the name of another revision, needs no new machine.
    fn nothing_to_do(&mut self, candidate: &Candidate, told: &dyn Progress) -> Result<Option<SwitchReport>> {
        let Phase::Running { current } = &self.journal.phase else { return Ok(None) };
        let same = Candidate { revision: candidate.revision.clone(), ..current.candidate.clone() } == *candidate;
        if !same || !self.settled || !self.site.runs() {
            return Ok(None);
        }
        let began = Instant::now();
        let Some((_, probe)) = self.site.probe() else { return Ok(None) };
        let judgement = probe();
        if !judgement.healthy {
            progress::note(told, "this is online already, but it is not healthy: starting it afresh");
            return Ok(None);
        }
        let outcome = driver::Outcome {
            from: Some(current.clone()),
            to: Generation { candidate: candidate.clone(), ..current.clone() },
            kept: true,
            down_seconds: 0.0,
            judgement,
        };
        if current.candidate.revision != candidate.revision {
            let before = self.journal.clone();
            self.journal.rename(&candidate.revision).map_err(driver::illegal)?;
            if let Err(e) = self.site.save(&self.journal) {
                self.journal = before;
                return Err(e);
            }
        }
        let mut report = SwitchReport::new(&self.server, outcome, Intent::Switch, began.elapsed().as_secs_f64());
        report.unchanged = true;
        Ok(Some(report))
    }

    /// Looks at the running server, in a thread of its own.
    fn probe(&mut self) {
        self.probe_at = Instant::now() + PROBE;
        let Some((generation, probe)) = self.site.probe() else { return };
        if self.probing.swap(true, Ordering::SeqCst) {
            return;
        }
        let (probing, health, now) = (self.probing.clone(), self.site.health.clone(), self.site.now());
        let spawned = std::thread::Builder::new().name("regrow-probe".to_owned()).spawn(move || {
            let judgement = probe();
            health.change(|h| {
                if h.generation == generation && h.pid != 0 {
                    (h.judgement, h.judged) = (Some(judgement), now);
                }
            });
            probing.store(false, Ordering::SeqCst);
        });
        if spawned.is_err() {
            self.probing.store(false, Ordering::SeqCst);
        }
    }
}

fn request_name(request: &Request) -> &'static str {
    match request {
        Request::Switch { .. } => "switch",
        Request::Rollback { with_state: false } => "rollback",
        Request::Rollback { with_state: true } => "rollback with state",
        Request::Stop => "stop",
        Request::Start => "start",
        Request::Decide { .. } => "decide",
    }
}

fn request_words(intent: Intent) -> &'static str {
    match intent {
        Intent::Switch => "switch",
        Intent::Rollback => "rollback",
        Intent::RollbackWithState => "rollback with state",
    }
}

/// Every carried connection needs two descriptors: take what the host allows.
fn more_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // With fewer, fewer connections are carried at a time.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// SIGTERM becomes an event. A closed terminal (SIGHUP) and Ctrl-C are not meant for us.
fn on_termination(events: Sender<Event>) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let failed = |e| Error::from(fs::Error::new("handle signals of", "/proc/self", e));
    let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
    signal_hook::low_level::pipe::register(SIGTERM, theirs).map_err(failed)?;
    for signal in [SIGHUP, SIGINT] {
        signal_hook::flag::register(signal, Arc::default()).map_err(failed)?;
    }
    let listen = move || {
        while ours.read_exact(&mut [0]).is_ok() {
            if events.send(Event::Terminate).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("regrow-signals".to_owned()).spawn(listen).map_err(failed)?;
    Ok(())
}

/// Takes commands' requests in a thread, each connection in one of its own.
fn accept(dir: &Path, events: Sender<Event>, desk: Arc<Desk>, clock: Clock) -> Result<()> {
    let listener = control::listen(dir)?;
    let take = move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let (events, desk) = (events.clone(), desk.clone());
            // One that sends nothing must not keep the others waiting.
            let _ = std::thread::Builder::new().name("regrow-command".to_owned()).spawn(move || {
                let Some(request) = control::read_request(&stream) else { return };
                let client = Arc::new(Client::new(stream));
                match request {
                    // Not for the thread of work: it is busy with what this is about.
                    Request::Decide { generation, keep, by } => {
                        desk.decide(generation, Decision { keep, by, at: clock.now().as_second() }, client);
                    }
                    request => {
                        let _ = events.send(Event::Request(request, client));
                    }
                }
            });
        }
    };
    let spawned = std::thread::Builder::new().name("regrow-control".to_owned()).spawn(take);
    spawned.map_err(|e| fs::Error::new("listen on", control::socket(dir), e))?;
    Ok(())
}

/// Tells the log and the command that asked.
struct Both {
    log: Arc<Log>,
    client: Arc<Client>,
}

impl Progress for Both {
    fn event(&self, event: &progress::Event) {
        self.log.event(event);
        self.client.event(event);
    }
}

/// `supervisor.log`: one line per event with its time; never more than twice [`LOG`] bytes on disk.
struct Log {
    path: PathBuf,
    clock: Clock,
    file: Mutex<(File, u64)>,
}

impl Log {
    fn open(dir: &Path, clock: Clock) -> Result<Log> {
        let path = dir.join("supervisor.log");
        let file = append_to(&path)?;
        let size = file.metadata().map_or(0, |m| m.len());
        Ok(Log { path, clock, file: Mutex::new((file, size)) })
    }

    fn line(&self, text: &str) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.1 > LOG
            && fs::rename(&self.path, self.path.with_extension("log.1")).is_ok()
            && let Ok(new) = append_to(&self.path)
        {
            *file = (new, 0);
        }
        let line = format!("{} {}\n", self.clock.now().strftime("%FT%TZ"), text.replace('\n', "\n    "));
        // A log that cannot be written must not stop a server.
        if file.0.write_all(line.as_bytes()).is_ok() {
            file.1 += line.len() as u64;
        }
    }
}

/// Opens a log for appending.
pub(super) fn append_to(path: &Path) -> Result<File> {
    let opened = File::options().append(true).create(true).open(path);
    Ok(opened.map_err(|e| fs::Error::new("open", path, e))?)
}

impl Progress for Log {
    fn event(&self, event: &progress::Event) {
        match event {
            progress::Event::Started { title, .. } => self.line(title),
            progress::Event::Finished { step, result, seconds } => {
                self.line(&format!("{step}: {result} ({seconds:.2} s)"))
            }
            progress::Event::Note { text } => self.line(text),
            progress::Event::Check(seen) if seen.state == CheckState::Failed => {
                self.line(&format!("check {} failed: {}", seen.check, seen.detail))
            }
            progress::Event::Advanced { .. } | progress::Event::Check(_) => {}
        }
    }
}
