//! The supervisor with everything real but the machines: processes, sockets, ports, volumes, and kill -9.
//!
//! A machine here is this very program in a network namespace of its own. It writes its name to its state, answers
//! connections to port 80 with it, and dies with its supervisor, as a real one does. An *image* is a directory with the
//! file `behaviour`: `well`, `ill` (fails its check), `dead` (ends at once) or `brief` (ends when asked for "end").
//!
//! This program has a main of its own, because it also is `regrow supervise`, the machine and the command that asks.
//! Needs root and the programs `unshare`, `setpriv` (util-linux) and `ip` (iproute2).

// Its main prints what a test harness would, and the machines talk to their supervisor.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use regrow_config::{Check, Limits};
use regrow_host::lock::{FileLock, Wait};
use regrow_host::progress::Progress;
use regrow_ops::context::Setup;
use regrow_ops::images::ImageRoot;
use regrow_ops::online::control::{Answer, Request};
use regrow_ops::online::driver::Judgement;
use regrow_ops::online::journal::{Generation, Journal, Phase, Step};
use regrow_ops::online::runner::{Machine, Probe, Runner};
use regrow_ops::online::{self, Candidate, SwitchReport, launch};
use regrow_ops::{Clock, Context, Error, Verdict};
use regrow_state::Mount;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

const SOON: Duration = Duration::from_secs(30);
const SERVER: &str = "web1";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["supervise", server] => {
            let home = PathBuf::from(std::env::var_os("REGROW_HOME").unwrap());
            let ctx = context(&home);
            match launch::supervise_with(&ctx, server, Fakes { home }) {
                Ok(()) => ExitCode::SUCCESS,
                Err(e) => {
                    eprintln!("supervisor: {e}: {:?}", e.causes());
                    ExitCode::FAILURE
                }
            }
        }
        ["machine", supervisor, image, state, lock] => {
            // `setpriv` has asked the kernel to be killed with its parent; was it early enough?
            let parent = rustix::process::getppid().map(|p| p.as_raw_nonzero().to_string());
            match parent.as_deref() == Some(supervisor) {
                true => machine(Path::new(image), Path::new(state), Path::new(lock)),
                false => ExitCode::FAILURE,
            }
        }
        ["ask", home, request] => {
            let said = launch::ask(&context(Path::new(home)), SERVER, &serde_json::from_str(request).unwrap());
            ExitCode::from(u8::from(said.is_err()))
        }
        _ => tests(&args),
    }
}

/// What `cargo test` calls; a word among the arguments chooses tests by name.
fn tests(args: &[&str]) -> ExitCode {
    let tests: [(&str, fn()); 9] = [
        ("a_switch_puts_the_first_image_online_and_the_next_one_in_its_place", a_switch_replaces),
        ("what_fails_goes_back_with_its_state_and_is_held", what_fails_goes_back),
        ("a_port_in_use_is_refused_before_anything_is_stopped", a_port_in_use),
        ("a_rollback_brings_back_the_image_and_if_asked_the_state", rollbacks),
        ("a_command_that_is_killed_changes_nothing_about_the_switch", a_killed_command),
        ("a_machine_that_ends_is_started_again_with_what_it_wrote", a_machine_that_ends),
        ("a_person_keeps_or_sends_back_what_is_being_judged", a_person_decides),
        ("stopped_stays_stopped_until_started", stopped_stays_stopped),
        ("whatever_is_killed_whenever_one_of_both_is_online_afterwards", kill_anything),
    ];
    assert!(rustix::process::geteuid().is_root(), "these tests make network namespaces: run them as root");
    let filters: Vec<&&str> = args.iter().filter(|a| !a.starts_with('-')).collect();
    for (name, test) in tests {
        if filters.is_empty() || filters.iter().any(|f| name.contains(**f)) {
            let began = Instant::now();
            test();
            eprintln!("test {name} ... ok ({:.1} s)", began.elapsed().as_secs_f64());
        }
    }
    ExitCode::SUCCESS
}

// ---------------------------------------------------------------------------------------------------------- the fakes

/// The machine: see the module.
fn machine(image: &Path, state: &Path, lock: &Path) -> ExitCode {
    let name = image.file_name().unwrap().to_str().unwrap();
    let behaviour = std::fs::read_to_string(image.join("behaviour")).unwrap();
    // Held until this process ends: a second machine sees it. One that is being killed may take a moment to be gone.
    let until = Instant::now() + Duration::from_secs(3);
    let _alone = loop {
        match FileLock::exclusive(lock, Wait::No).unwrap() {
            Some(alone) => break alone,
            None if Instant::now() < until => std::thread::yield_now(),
            None => {
                std::fs::write(lock.with_extension("both"), name).unwrap();
                return ExitCode::FAILURE;
            }
        }
    };
    let mut writes = std::fs::File::options().append(true).open(state.join("writes")).unwrap();
    writeln!(writes, "{name}").unwrap();
    if behaviour == "dead" {
        return ExitCode::FAILURE;
    }
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    let listener = TcpListener::bind("127.0.0.1:80").unwrap();
    println!("{behaviour}");
    for stream in listener.incoming().flatten() {
        let mut asked = String::new();
        let _ = BufReader::new(&stream).read_line(&mut asked);
        if behaviour == "brief" && asked.trim() == "end" {
            return ExitCode::SUCCESS;
        }
        let _ = (&stream).write_all(name.as_bytes());
    }
    ExitCode::SUCCESS
}

struct Fakes {
    home: PathBuf,
}

struct Fake {
    child: Mutex<Child>,
    pid: i32,
    /// What it said when it was up; empty if it ended before.
    up: Mutex<Option<String>>,
    stdout: Mutex<Option<BufReader<std::process::ChildStdout>>>,
}

impl Fakes {
    fn pid_file(&self) -> PathBuf {
        self.home.join("machine.pid")
    }
}

impl Runner for Fakes {
    type Machine = Fake;

    fn sweep(&self) -> Result<(), Error> {
        let Ok(pid) = std::fs::read_to_string(self.pid_file()) else { return Ok(()) };
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        // Only if it is a machine of ours: the number may belong to somebody else by now.
        let cmdline = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
        if let Ok(fd) = pidfd_open(pid, PidfdFlags::empty())
            && String::from_utf8_lossy(&cmdline).contains(&*self.home.to_string_lossy())
        {
            let _ = kill_process(pid, Signal::KILL);
            wait(&fd);
        }
        Ok(())
    }

    fn image_root(&self, image: &str) -> Result<ImageRoot, Error> {
        Ok(OwnedFd::from(regrow_host::fs::open(self.home.join("images").join(image))?).into())
    }

    fn start(&self, generation: &Generation, run_dir: PathBuf, mounts: &[Mount]) -> Result<Fake, Error> {
        let state = &mounts.iter().find(|m| m.target == "/data").unwrap().source;
        std::fs::write(run_dir.join("started"), "").unwrap();
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--net"])
            .arg(std::env::current_exe().unwrap())
            .args(["machine", &std::process::id().to_string()])
            .arg(self.home.join("images").join(&generation.candidate.image))
            .arg(state)
            .arg(self.home.join("machine.lock"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        regrow_host::fs::write_atomic(self.pid_file(), pid.to_string().as_bytes()).unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        Ok(Fake { child: Mutex::new(child), pid, up: Mutex::default(), stdout: Mutex::new(stdout) })
    }
}

impl Fake {
    /// Waits for the word that it is up.
    fn up(&self) -> String {
        let mut up = self.up.lock().unwrap();
        up.get_or_insert_with(|| {
            let mut said = String::new();
            let _ = self.stdout.lock().unwrap().as_mut().unwrap().read_line(&mut said);
            said.trim().to_owned()
        })
        .clone()
    }
}

impl Machine for Fake {
    fn pid(&self) -> i32 {
        self.pid
    }
    fn cgroup(&self) -> String {
        "none".to_owned()
    }
    fn pidfd(&self) -> Result<OwnedFd, Error> {
        Ok(pidfd_open(Pid::from_raw(self.pid).unwrap(), PidfdFlags::empty()).unwrap())
    }
    fn ended(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_some()
    }
    fn come_up(&self, _: Duration, _: &dyn Progress) {
        self.up();
    }
    fn judge(&self, _: &BTreeMap<String, Check>, _: &dyn Progress, decided: &dyn Fn() -> bool) -> Judgement {
        let up = self.up();
        while up == "slow" && !decided() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (failed, detail) = match &*up {
            "ill" => (Some("front"), "answers 500"),
            "" => (Some("boot"), "ended while it was starting"),
            _ => (None, "answers 200"),
        };
        Judgement {
            healthy: failed.is_none(),
            failed: failed.map(Into::into),
            detail: detail.into(),
            ..Judgement::default()
        }
    }
    fn probe(&self, checks: &BTreeMap<String, Check>) -> Probe {
        let judgement = self.judge(checks, &regrow_host::progress::Silent, &|| true);
        Box::new(move || judgement)
    }
    fn stop(self, _: Duration) -> Result<(), Error> {
        let mut child = self.child.into_inner().unwrap();
        let _ = child.kill();
        child.wait().unwrap();
        Ok(())
    }
}

fn wait(fd: &OwnedFd) {
    use rustix::event::{PollFd, PollFlags, poll};
    while let Err(rustix::io::Errno::INTR) = poll(&mut [PollFd::new(fd, PollFlags::IN)], None) {}
}

// ---------------------------------------------------------------------------------------------------------- the stage

fn context(home: &Path) -> Context {
    Context::new(Setup {
        fleet: None,
        home: home.to_owned(),
        actor: "tester".to_owned(),
        program: std::env::current_exe().unwrap(),
        clock: Clock::System,
    })
}

/// A home with the images `a`, `b` (well), `ill`, `dead` and `brief`, and a free port. Ends its supervisor when dropped.
struct Stage {
    _dir: tempfile::TempDir,
    home: PathBuf,
    ctx: Context,
    port: SocketAddr,
}

impl Stage {
    fn new() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        for (image, behaviour) in [
            ("a", "well"),
            ("b", "well"),
            ("ill", "ill"),
            ("dead", "dead"),
            ("brief", "brief"),
            ("slow", "slow"),
            ("slow2", "slow"),
        ] {
            let root = home.join("images").join(image);
            std::fs::create_dir_all(root.join("data")).unwrap();
            std::fs::write(root.join("behaviour"), behaviour).unwrap();
            std::fs::write(root.join("data/writes"), "seeded\n").unwrap();
        }
        std::fs::create_dir_all(home.join("servers").join(SERVER)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Stage { _dir: dir, ctx: context(&home), home, port }
    }

    fn server(&self) -> PathBuf {
        self.home.join("servers").join(SERVER)
    }

    fn candidate(&self, image: &str) -> Candidate {
        Candidate {
            revision: format!("revision-{image}"),
            image: image.to_owned(),
            hostname: SERVER.to_owned(),
            limits: Limits { memory: None, tasks: None },
            checks: BTreeMap::new(),
            publish: BTreeSet::from([regrow_machine::proxy::Port { host: self.port, inside: 80 }]),
            state: vec![regrow_state::Declared { volume: "data".to_owned(), path: "/data".to_owned() }],
        }
    }

    fn ask(&self, request: &Request) -> Result<Answer, Error> {
        launch::ask(&self.ctx, SERVER, request)
    }

    fn switch(&self, image: &str) -> SwitchReport {
        self.report(&Request::Switch { candidate: Box::new(self.candidate(image)) })
    }

    fn report(&self, request: &Request) -> SwitchReport {
        match self.ask(request).unwrap_or_else(|e| panic!("{e}: {:?}\n{}", e.causes(), self.log())) {
            Answer::Report(report) => *report,
            other => panic!("{other:?}"),
        }
    }

    /// A command in a process of its own.
    fn ask_aside(&self, request: &Request) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .arg("ask")
            .arg(&self.home)
            .arg(serde_json::to_string(request).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Who answers on the published port.
    fn who(&self) -> Option<String> {
        self.say("who")
    }

    fn say(&self, word: &str) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.port, SOON).ok()?;
        stream.set_read_timeout(Some(SOON)).unwrap();
        writeln!(stream, "{word}").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer).filter(|a| !a.is_empty())
    }

    fn wait_for(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let until = Instant::now() + SOON;
        while !holds() {
            assert!(Instant::now() < until, "{what}, but:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn journal(&self) -> Journal {
        serde_json::from_slice(&std::fs::read(self.server().join("online.json")).unwrap()).unwrap()
    }

    fn writes(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.server().join("state/data/data/writes")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.server().join("supervisor.log")).unwrap_or_default()
    }

    /// The process that supervises, by its lock.
    fn supervisor(&self) -> Option<Pid> {
        let log = self.log();
        let start = log.lines().rfind(|l| l.contains("starts (process "))?;
        let pid = start.rsplit_once("(process ")?.1.trim_end_matches(')').parse().ok()?;
        let held = FileLock::exclusive(self.server().join("supervisor.lock"), Wait::No).unwrap().is_none();
        if held { Pid::from_raw(pid) } else { None }
    }

    fn kill_supervisor(&self) {
        if let Some(pid) = self.supervisor()
            && let Ok(fd) = pidfd_open(pid, PidfdFlags::empty())
        {
            let _ = kill_process(pid, Signal::KILL);
            wait(&fd);
        }
    }

    fn never_both(&self) {
        let both = std::fs::read_to_string(self.home.join("machine.both"));
        assert!(both.is_err(), "{both:?} was started beside another one:\n{}", self.log());
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.kill_supervisor();
        let _ = Fakes { home: self.home.clone() }.sweep();
    }
}

// ---------------------------------------------------------------------------------------------------------- the tests

fn a_switch_replaces() {
    let stage = Stage::new();
    let first = stage.switch("a");
    assert_eq!((first.verdict, first.from, &*first.to), (Verdict::Switched, None, "a"));
    assert_eq!(stage.who().as_deref(), Some("a"));
    let second = stage.switch("b");
    assert_eq!((second.verdict, second.from.as_deref()), (Verdict::Switched, Some("a")));
    assert_eq!(stage.who().as_deref(), Some("b"));
    assert_eq!(stage.writes(), ["seeded", "a", "b"], "state is seeded once and goes on");
    assert!(second.down_seconds > 0.0 && second.down_seconds <= second.seconds);
    let again = stage.switch("b");
    assert!(again.unchanged && again.down_seconds == 0.0);
    // Another revision of the same image and settings needs no new machine.
    let mut renamed = stage.candidate("b");
    renamed.revision = "revision-b-with-a-comment".to_owned();
    let report = stage.report(&Request::Switch { candidate: Box::new(renamed) });
    assert!(report.unchanged);
    assert_eq!(stage.journal().current().unwrap().candidate.revision, "revision-b-with-a-comment");
    assert_eq!(stage.writes(), ["seeded", "a", "b"], "it was not started again");
    stage.never_both();
}

fn what_fails_goes_back() {
    let stage = Stage::new();
    // With nothing to go back to: offline again.
    let first = stage.switch("ill");
    assert_eq!((first.verdict, first.held, first.failed.as_deref()), (Verdict::RolledBack, true, Some("front")));
    assert!(matches!(stage.journal().phase, Phase::Offline));
    assert!(stage.who().is_none());
    stage.switch("a");
    for bad in ["ill", "dead"] {
        let report = stage.switch(bad);
        assert_eq!((report.verdict, report.held), (Verdict::RolledBack, true), "{bad}");
        assert_eq!(stage.who().as_deref(), Some("a"));
        let journal = stage.journal();
        assert_eq!(journal.held.last().unwrap().revision, format!("revision-{bad}"));
        assert_eq!(journal.current().unwrap().candidate.image, "a");
        assert!(!stage.writes().iter().any(|w| w == bad), "{:?}", stage.writes());
    }
    assert!(stage.writes().starts_with(&["seeded".to_owned(), "a".to_owned()]));
    // An image that is not there fails before anything is stopped.
    let before = stage.writes();
    let missing = Request::Switch { candidate: Box::new(stage.candidate("missing")) };
    assert_eq!(stage.ask(&missing).unwrap_err().exit_code(), 3);
    assert_eq!(stage.writes(), before);
    assert_eq!(stage.who().as_deref(), Some("a"));
    stage.never_both();
}

fn a_port_in_use() {
    let stage = Stage::new();
    stage.switch("a");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = taken.local_addr().unwrap();
    let mut candidate = stage.candidate("b");
    candidate.publish.insert(regrow_machine::proxy::Port { host, inside: 80 });
    let request = Request::Switch { candidate: Box::new(candidate) };
    let e = stage.ask(&request).unwrap_err();
    assert!(e.to_string().contains(&host.to_string()), "{e}");
    assert_eq!(stage.writes(), ["seeded", "a"], "nothing was restarted");
    assert_eq!(stage.who().as_deref(), Some("a"));
    drop(taken);
    assert_eq!(stage.report(&request).verdict, Verdict::Switched);
    // The next one does not want that port: it is free again.
    stage.switch("a");
    TcpListener::bind(host).unwrap();
}

fn rollbacks() {
    let stage = Stage::new();
    let nothing = stage.ask(&Request::Rollback { with_state: false }).unwrap_err();
    assert_eq!(nothing.exit_code(), 1);
    stage.switch("a");
    stage.switch("b");
    let back = stage.report(&Request::Rollback { with_state: false });
    assert_eq!((back.verdict, &*back.to, back.from.as_deref()), (Verdict::Switched, "a", Some("b")));
    assert_eq!(stage.writes(), ["seeded", "a", "b", "a"], "the state goes on");
    stage.switch("b");
    let back = stage.report(&Request::Rollback { with_state: true });
    assert!(back.state_restored);
    assert_eq!(stage.writes(), ["seeded", "a", "b", "a", "a"], "the state is as a left it, and a has written since");
    assert_eq!(stage.who().as_deref(), Some("a"));
    stage.never_both();
}

fn a_killed_command() {
    let stage = Stage::new();
    stage.switch("a");
    let mut command = stage.ask_aside(&Request::Switch { candidate: Box::new(stage.candidate("b")) });
    stage.wait_for("the switch begins", || stage.log().matches("checking ports").count() == 2);
    command.kill().unwrap();
    command.wait().unwrap();
    stage.wait_for("b is online", || stage.who().as_deref() == Some("b"));
}

fn a_person_decides() {
    let stage = Stage::new();
    stage.switch("a");
    let judging = || matches!(stage.journal().phase, Phase::Switching { step: Step::Checking, .. });
    let decide = |keep, generation| online::decide(&stage.ctx, SERVER, generation, keep);
    assert!(matches!(decide(true, None), Err(Error::No { .. })), "nothing is being judged");

    let asked = stage.ask_aside(&Request::Switch { candidate: Box::new(stage.candidate("slow")) });
    stage.wait_for("it is judged", judging);
    assert!(matches!(decide(true, Some(1)), Err(Error::No { .. })), "a page that shows an earlier one");
    decide(false, Some(2)).unwrap();
    assert!(asked.wait_with_output().unwrap().status.success());
    assert_eq!(stage.who().as_deref(), Some("a"));
    let held = stage.journal().held("revision-slow").cloned().unwrap();
    assert_eq!((held.by.as_deref(), held.check), (Some("tester"), None));

    let asked = stage.ask_aside(&Request::Switch { candidate: Box::new(stage.candidate("slow2")) });
    stage.wait_for("it is judged", judging);
    decide(true, None).unwrap();
    assert!(asked.wait_with_output().unwrap().status.success());
    assert_eq!(stage.who().as_deref(), Some("slow2"), "kept, and its port is connected");
    assert!(stage.journal().held("revision-slow2").is_none());
    assert!(matches!(decide(false, None), Err(Error::No { .. })), "it is decided");
    stage.never_both();
}

fn a_machine_that_ends() {
    let stage = Stage::new();
    stage.switch("brief");
    let marker = stage.server().join("runs/1/upper-marker");
    std::fs::write(&marker, "").unwrap();
    for n in 2..4 {
        stage.say("end");
        stage.wait_for("it is started again", || stage.writes().len() == n + 1);
        stage.wait_for("it answers again", || stage.who().as_deref() == Some("brief"));
    }
    assert!(marker.exists(), "a restart keeps the writable directory");
    // Half a snapshot of a killed supervisor: a name whose numbers are not generations' numbers.
    std::fs::create_dir_all(stage.server().join("snapshots/.before-2.tmp-4711-900")).unwrap();
    // Killed together with its supervisor, it comes back with the next command.
    stage.kill_supervisor();
    assert!(stage.who().is_none());
    assert_eq!(launch::recover(&stage.ctx).unwrap(), [SERVER]);
    assert_eq!(stage.who().as_deref(), Some("brief"));
    assert!(launch::recover(&stage.ctx).unwrap().is_empty(), "once is enough");
    stage.switch("a");
    assert_eq!(stage.journal().current().unwrap().id, 2, "generations are counted on, leftover names do not count");
    stage.never_both();
}

fn stopped_stays_stopped() {
    let stage = Stage::new();
    stage.switch("a");
    assert!(matches!(stage.ask(&Request::Stop).unwrap(), Answer::Done));
    stage.wait_for("its supervisor ends", || stage.supervisor().is_none());
    assert!(stage.who().is_none());
    assert!(launch::recover(&stage.ctx).unwrap().is_empty());
    assert!(matches!(stage.ask(&Request::Start).unwrap(), Answer::Done));
    assert_eq!(stage.who().as_deref(), Some("a"));
    // SIGTERM ends the supervisor and its machine, and what should be online comes back.
    let pid = stage.supervisor().unwrap();
    let fd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    wait(&fd);
    assert!(stage.who().is_none());
    launch::recover(&stage.ctx).unwrap();
    assert_eq!(stage.who().as_deref(), Some("a"));
    // A switch that fails while stopped leaves it stopped.
    stage.ask(&Request::Stop).unwrap();
    assert_eq!(stage.switch("ill").verdict, Verdict::RolledBack);
    assert!(matches!(stage.journal().phase, Phase::Stopped { .. }));
}

/// A generator of numbers that need only look random; printed with a failure it repeats the failure.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn kill_anything() {
    let rounds = std::env::var("REGROW_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let mut dice = Dice(20_261_122);
    let stage = Stage::new();
    stage.switch("a");
    let mut kept: Vec<String> = stage.writes();
    for round in 0..rounds {
        let old = stage.journal().current().unwrap().candidate.image.clone();
        let request = match dice.roll(5) {
            0 => Request::Switch { candidate: Box::new(stage.candidate("ill")) },
            1 => Request::Rollback { with_state: false },
            _ => Request::Switch { candidate: Box::new(stage.candidate(if old == "a" { "b" } else { "a" })) },
        };
        let pause = Duration::from_micros(dice.roll(120_000));
        let victim = dice.roll(4);
        let story = format!("round {round}: {old}, {request:?}, {pause:?}, victim {victim}");
        let mut command = stage.ask_aside(&request);
        std::thread::sleep(pause);
        match victim {
            0 | 1 => stage.kill_supervisor(),
            2 => {
                command.kill().unwrap();
            }
            _ => {
                if let Ok(pid) = std::fs::read_to_string(stage.home.join("machine.pid")) {
                    let _ = kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), Signal::KILL);
                }
            }
        }
        command.wait().unwrap();
        // The next command.
        launch::recover(&stage.ctx).unwrap();
        stage.wait_for(&format!("{story}: somebody is online"), || stage.who().is_some());
        stage.wait_for(&format!("{story}: it is settled"), || matches!(stage.journal().phase, Phase::Running { .. }));
        let now = stage.who().unwrap();
        let journal = stage.journal();
        assert!(now == "a" || now == "b", "{story}: {now} is online\n{}", stage.log());
        assert_eq!(journal.current().unwrap().candidate.image, now, "{story}");
        stage.never_both();
        let writes = stage.writes();
        assert!(writes.starts_with(&kept), "{story}: writes were lost\n{kept:?}\n{writes:?}\n{}", stage.log());
        assert!(!writes.iter().any(|w| w == "ill"), "{story}: {writes:?}");
        kept = writes;
    }
}
