//! The hunt for a culprit: a hundred changesets, two of which do harm, among others that touch the same files. By command,
//! with a kill in between, it takes minutes: `script/test --all`; ordinary runs hunt by clicks (`hunting`).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::fleet::Real;
use crate::one_at_a_time;

const CHANGESETS: u64 = 100;
/// What a hunt among so many may cost.
const BOOTS: u64 = 7;

const PAGE: &str = "root/var/www/html/index.html";
const TUNING: &str = "root/etc/postgresql/17/main/conf.d/tuning.conf";
const ISSUE: &str = "root/etc/issue";

/// A changeset that does harm.
pub(crate) struct Culprit {
    /// It is the one called "Change N".
    pub(crate) number: u64,
    pub(crate) commit: String,
}

/// A fleet that is online and healthy, with a hundred changesets after that; the two that do harm, first the one that
/// breaks the check `front`, then, if there are to be `both`, the one that breaks `database`; and what [`online`] says.
pub(crate) fn fleet(both: bool) -> (Real, [Culprit; 2], (Value, String)) {
    let seed = std::env::var("REGROW_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x5eed_0004u64);
    // Two different numbers, neither of them an end.
    let page = 2 + seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (CHANGESETS - 3);
    let database = if both { 2 + (page + 17 + seed % 60) % (CHANGESETS - 3) } else { u64::MAX };
    let real = Real::locked();
    for (check, seconds) in [("front", "8"), ("database", "15")] {
        real.ok(&["set", "web1", &format!("checks.{check}.timeout"), seconds, "-m", "wait less"]);
    }
    // The good end is what the switch has shown.
    real.json(&["switch", "web1"]);
    let before = online(&real);
    let commits = history(&real, page, database);
    let culprits = [Culprit { number: page, commit: commits.0 }, Culprit { number: database, commit: commits.1 }];
    (real, culprits, before)
}

/// Lands a hundred changesets; the two with these numbers break the page and PostgreSQL's start. Returns their commits.
fn history(real: &Real, page: u64, database: u64) -> (String, String) {
    let mut culprits = (String::new(), String::new());
    let mut harmless: BTreeMap<&str, u64> = BTreeMap::new();
    for n in 1..=CHANGESETS {
        // The culprits change the same files as the harmless ones around them.
        let file = match n {
            _ if n == page => PAGE,
            _ if n == database => TUNING,
            _ => [PAGE, TUNING, ISSUE][n as usize % 3],
        };
        if ![page, database].contains(&n) {
            harmless.insert(file, n);
        }
        let number = harmless.get(file).copied().unwrap_or_default();
        let between = "# Lines that nobody touches\n#\n# lie between the two.\n";
        let text = match file {
            PAGE => {
                let body = if n >= page { "grown by hand" } else { "grown from text" };
                format!("<title>{number}</title>\n<!--\n{between}-->\n<p>This server is {body}.\n")
            }
            TUNING => {
                let memory = if n >= database { "'plenty'" } else { "128MB" };
                format!("work_mem = {}kB\n{between}shared_buffers = {memory}\n", 4096 + number)
            }
            _ => format!("change {number}\n"),
        };
        real.write(&format!("servers/web1/{file}"), &text);
        real.commit(&format!("Change {n}"));
        let commit = || real.git(&["rev-parse", "HEAD"]).trim().to_owned();
        if n == page {
            culprits.0 = commit();
        }
        if n == database {
            culprits.1 = commit();
        }
    }
    culprits
}

/// What tells the online server from any other, or from itself started anew.
pub(crate) fn online(real: &Real) -> (Value, String) {
    let running = real.status()["running"].clone();
    (running, real.ok(&["exec", "web1", "--", "cut", "-d", " ", "-f", "22", "/proc/1/stat"]))
}

fn held(report: &Value, culprit: &str) {
    assert_eq!(report["culprit"], culprit, "{report:#}");
    assert_eq!(report["changesets"], CHANGESETS);
    assert!(report["boots"].as_u64().unwrap() <= BOOTS, "{report:#}");
    assert_eq!(report["proposal"]["mended"], true, "{report:#}");
    assert!(report["flaky"].as_array().unwrap().is_empty(), "{report:#}");
}

#[test]
fn two_culprits_among_a_hundred_changesets_are_named_by_booting_beside_the_online_server() {
    if std::env::var_os("REGROW_TEST_ALL").is_none() {
        return;
    }
    let _one = one_at_a_time();
    let (real, [page, database], before) = fleet(true);

    let found = real.json(&["bisect", "web1", "--check", "front"]);
    held(&found, &page.commit);
    assert_eq!(found["found"]["subject"], format!("Change {}", page.number));
    assert_eq!(online(&real), before, "the online server was never touched");
    assert!(real.http().unwrap().1.contains("grown from text"));
    real.ok(&["draft", "land", found["proposal"]["draft"].as_str().unwrap(), "-m", "Take the page back"]);

    // Killed in the middle, a hunt goes on with what it has learned.
    let mut child = real.command(&["bisect", "web1", "--check", "database"]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let judged = lines.map(Result::unwrap).find(|line| line.contains("try ") && line.contains(": "));
    assert!(judged.is_some(), "the hunt ended before it had judged one");
    child.kill().unwrap();
    child.wait().unwrap();
    let found = real.json(&["bisect", "web1", "--continue"]);
    assert_eq!(found["resumed"], true);
    assert_eq!(found["changesets"], CHANGESETS + 1);
    assert_eq!(found["culprit"], database.commit, "{found:#}");
    assert!(found["boots"].as_u64().unwrap() <= BOOTS, "{found:#}");
    assert_eq!(found["proposal"]["healthy"], true, "{found:#}");
    assert!(found["words"].to_string().contains("all checks pass"), "{found:#}");

    // A check that no revision has in its text; all that was learned is in the record, none of it in history.
    let given = ["bisect", "web1", "--run", "! grep -q plenty /etc/postgresql/17/main/conf.d/tuning.conf"];
    // The page's proposal is the one changeset after the hundred.
    let at = |n: u64| format!("HEAD~{}", CHANGESETS + 1 - n);
    let (good, bad) = (at(database.number.saturating_sub(5)), at((database.number + 3).min(CHANGESETS)));
    let given = [&given[..], &["--good", &good, "--bad", &bad, "--no-proposal"]].concat();
    let found = real.json(&given);
    assert_eq!(found["culprit"], database.commit, "{found:#}");
    let again = real.json(&given);
    assert_eq!((&again["culprit"], again["boots"].as_u64()), (&found["culprit"], Some(0)), "{again:#}");

    assert_eq!(online(&real), before, "the online server was never touched");
}
