//! kill -9 at random moments of every verb, over and over: nothing ever needs a hand to repair.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::fleet::{Real, wait_until};
use crate::one_at_a_time;

/// How often a process is killed.
const KILLS: usize = 100;

/// xorshift64*: small, and its seed is printed, so that a failing run can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % n
    }
}

#[test]
fn a_hundred_kills_never_need_a_hand() {
    let seed = std::env::var("REGROW_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x5eed_0001u64);
    let mut dice = Dice(seed);
    let _one = one_at_a_time();
    let real = Real::locked();
    real.json(&["switch", "web1"]);
    real.ok(&[
        "exec",
        "web1",
        "--",
        "runuser",
        "-u",
        "postgres",
        "--",
        "psql",
        "-XAtc",
        "create table kept as select 42 as n",
    ]);
    let mut images = BTreeSet::from([real.status()["running"]["image"].as_str().unwrap().to_owned()]);

    for n in 0..KILLS {
        // Each round has something new to build, so that no verb ends before it is killed.
        std::fs::write(real.text("root/var/www/html/index.html"), format!("round {n}, grown from text\n")).unwrap();
        real.commit(&format!("round {n}"));
        let (args, at_most): (&[&str], u64) = match dice.below(6) {
            0 => (&["lock", "web1", "--upgrade"], 1500),
            1 => (&["build", "web1"], 500),
            2 => (&["build", "web1", "--no-cache"], 15_000),
            3 => (&["trial", "web1"], 6000),
            _ => (&["switch", "web1"], 9000),
        };
        let context = format!("seed {seed}, round {n}, {args:?}");
        let mut child = real.start(args);
        let moment = Duration::from_millis(dice.below(at_most));
        let since = Instant::now();
        while since.elapsed() < moment && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        // Half the time everything of this home dies at once, as in a power cut; else the command, or the supervisor.
        match dice.below(4) {
            0 | 1 => kill_all_of(real.home(), child.id()),
            2 => kill_supervisor(real.home()),
            _ => kill(child.id()),
        }
        let _ = child.kill();
        child.wait().unwrap();

        // The next command finds the old or the new server, whole, with its data.
        wait_until(&format!("a switch left running ends ({context})"), Duration::from_secs(60), || {
            let status = real.status();
            !status["running"].is_null() && status["phase"] == "running"
        });
        let status = real.status();
        images.insert(status["running"]["image"].as_str().unwrap_or_else(|| panic!("{context}: {status}")).to_owned());
        wait_until(&format!("the port answers ({context})"), Duration::from_secs(30), || {
            real.http().is_ok_and(|(code, _)| code == 200)
        });
        let row =
            real.ok(&["exec", "web1", "--", "runuser", "-u", "postgres", "--", "psql", "-XAtc", "select n from kept"]);
        assert_eq!(row.trim(), "42", "{context}");
        assert_eq!(inits_of(real.home()), 1, "{context}: never none, never both");
    }

    assert!(images.len() > 1, "some switches must have gone through, else this test shows nothing");
    real.json(&["lock", "web1"]);
    real.json(&["trial", "web1"]);
    real.ok(&["stop", "web1"]);
    real.ok(&["gc"]);
    let mut left = Vec::new();
    files_below(&real.home().join("scratch"), &mut left);
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// Files below a directory: an empty directory that every build uses is nothing left behind.
fn files_below(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => files_below(&entry.path(), found),
            false => found.push(entry.path()),
        }
    }
}

fn kill(pid: u32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid as i32) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Processes of this home: those whose environment or command line names it.
fn processes(home: &Path) -> Vec<(u32, Vec<u8>)> {
    let needle = home.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let line = read("cmdline");
        let mut all = line.clone();
        all.extend(read("environ"));
        if pid != std::process::id() && all.windows(needle.len()).any(|w| w == needle) {
            found.push((pid, line));
        }
    }
    found
}

fn kill_all_of(home: &Path, command: u32) {
    kill(command);
    for (pid, _) in processes(home) {
        kill(pid);
    }
}

fn kill_supervisor(home: &Path) {
    for (pid, line) in processes(home) {
        if line.split(|b| *b == 0).any(|word| word == b"supervise") {
            kill(pid);
        }
    }
}

/// How many servers of this home run: the child processes of supervisors that are first in a PID namespace.
fn inits_of(home: &Path) -> usize {
    let supervisors: BTreeSet<u32> = processes(home)
        .into_iter()
        .filter(|(_, line)| line.split(|b| *b == 0).any(|word| word == b"supervise"))
        .map(|(pid, _)| pid)
        .collect();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().to_owned();
            let first_inside = field("NSpid:").split_whitespace().nth(1) == Some("1");
            first_inside && ancestors(&field("PPid:")).iter().any(|p| supervisors.contains(p))
        })
        .count()
}

fn ancestors(parent: &str) -> Vec<u32> {
    let mut found = Vec::new();
    let mut next = parent.trim().parse::<u32>().ok();
    while let Some(pid) = next.filter(|p| *p > 1) {
        found.push(pid);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        next = status.lines().find_map(|l| l.strip_prefix("PPid:")).and_then(|p| p.trim().parse().ok());
    }
    found
}
