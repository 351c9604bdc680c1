//! Drafts under kill -9: whoever is killed when, an edit and a landing are wholly done or not at all, and what somebody
//! types in an editor meanwhile stays.

mod common;

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::TestEnvironment;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How many moments of a command are tried.
const MOMENTS: u32 = 24;
const FILE: &str = "servers/web1/server.toml";

/// Runs a command to its end, or kills it after `limit`: every second time with its children, else alone, so that a git
/// that it had started goes on.
fn run_or_kill(env: &TestEnvironment, args: &[&str], limit: Option<Duration>, alone: bool) {
    let mut command = env.command(env.path("fleet"));
    // A file and no pipe: a git that outlives the command is not waited for.
    let errors = std::fs::File::create(env.path("errors")).unwrap();
    command.args(args).stdout(Stdio::null()).stderr(errors).process_group(0);
    let mut child = command.spawn().unwrap();
    let group = Pid::from_raw(child.id() as i32).unwrap();
    if let Some(limit) = limit {
        // The moment is what is tried: there is nothing to wait for.
        std::thread::sleep(limit);
        let _ = if alone { kill_process(group, Signal::KILL) } else { kill_process_group(group, Signal::KILL) };
    }
    let status = child.wait().unwrap();
    let said = std::fs::read_to_string(env.path("errors")).unwrap();
    assert!(limit.is_some() || status.success(), "{args:?}: {said}");
}

/// How long a command takes that nobody kills.
fn takes(env: &TestEnvironment, args: &[&str]) -> Duration {
    let since = Instant::now();
    run_or_kill(env, args, None, true);
    since.elapsed()
}

fn drafts(env: &TestEnvironment) -> Vec<String> {
    let report = env.json(["--json", "draft", "list"]);
    report["drafts"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_killed_edit_of_a_draft_is_there_or_not() {
    let env = TestEnvironment::with_fleet();
    let id = env.json(["--json", "draft", "new", "Under fire"])["id"].as_str().unwrap().to_owned();
    let text = || env.git(&["show", &format!("refs/regrow/drafts/{id}:{FILE}")]);
    let long = takes(&env, &["draft", "set", &id, "web1", "checks.front.status", "299"]);
    assert!(text().contains("status = 299"));
    let mut done = 0;
    for moment in 0..MOMENTS {
        let value = format!("{}", 300 + moment);
        let before = text();
        let args = ["draft", "set", &id, "web1", "checks.front.status", &value];
        run_or_kill(&env, &args, Some(long * moment / MOMENTS), moment % 2 == 0);
        assert_eq!(drafts(&env), [&*id], "moment {moment}");
        let now = text();
        let status = before.lines().find(|l| l.starts_with("status")).unwrap();
        let changed = before.replace(status, &format!("status = {value}               # the front page"));
        assert!(now == before || now == changed, "moment {moment}: {now}");
        done += u32::from(now == changed);
    }
    assert!(done < MOMENTS, "no moment was before the end");
    // Nothing is left that would be in the way of the next one.
    run_or_kill(&env, &["draft", "set", &id, "web1", "checks.front.status", "200"], None, true);
    assert!(text().contains("status = 200"));
}

#[test]
fn a_killed_landing_has_landed_or_not_and_hand_edits_stay() {
    let env = TestEnvironment::with_fleet();
    let draft = |value: u32| {
        let id = env.json(["--json", "draft", "new", "Under fire"])["id"].as_str().unwrap().to_owned();
        run_or_kill(&env, &["draft", "set", &id, "web1", "checks.front.status", &value.to_string()], None, true);
        id
    };
    let land = |id: &str, limit: Option<Duration>, alone: bool| {
        run_or_kill(&env, &["draft", "land", id, "-m", "Land it"], limit, alone);
    };
    let first = draft(299);
    let since = Instant::now();
    land(&first, None, true);
    let long = since.elapsed();
    // From now on somebody has the file open in an editor.
    env.edit(FILE, "# What it serves.", "# What it serves to all.");
    let mut landed = 0;
    for moment in 0..MOMENTS {
        let (head, disk) = (env.git(&["rev-parse", "HEAD"]), env.read(FILE));
        let id = draft(300 + moment);
        let value = format!("status = {} ", 300 + moment);
        land(&id, Some(long * moment / MOMENTS), moment % 2 == 0);
        // Whoever comes next finishes what had landed.
        let left = drafts(&env);
        if env.git(&["rev-parse", "HEAD"]) == head {
            assert_eq!(left, [&*id], "moment {moment}: it has not landed, so it is still a draft");
            assert_eq!(env.read(FILE), disk, "moment {moment}");
            land(&id, None, true);
        } else {
            landed += 1;
        }
        assert_eq!(drafts(&env), [""; 0], "moment {moment}: landed and still a draft");
        assert!(env.git(&["show", &format!("HEAD:{FILE}")]).contains(&value), "moment {moment}");
        let now = env.read(FILE);
        assert!(now.contains(&value) && now.contains("# What it serves to all."), "moment {moment}: {now}");
        assert_eq!(env.git(&["diff", "--numstat"]), format!("1\t1\t{FILE}\n"), "moment {moment}: the hand edit alone");
        assert_eq!(env.git(&["diff", "--cached", "--name-only"]), "", "moment {moment}: the index is as it was");
    }
    assert!(landed < MOMENTS, "no moment was before the end");
}
