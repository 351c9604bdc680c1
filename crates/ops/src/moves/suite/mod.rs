//! Histories made by chance, from which changesets are taken back and into which others are picked, in any order. The
//! result must be what an independent model of the values says, with every comment, and conflicts exactly where values
//! clash. An ordinary run does 60 histories, `REGROW_TEST_ALL=1` 500, `REGROW_HISTORIES=N` does N.

mod generate;
mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use regrow_config::Files;
use regrow_config::edit::key_changes;
use regrow_history::Repo;
use regrow_host::program::Program;

use super::compose::{Composed, compose};
use super::step::{Step, StepKind};
use crate::drafts::relock::Laid;
use crate::testing;
use generate::{Rng, changeset, first};
use model::{Clash, ROLE, World};

/// One history: what was in the fleet at each of its commits, and which commit each came after.
#[derive(Default)]
struct History {
    worlds: Vec<World>,
    parents: Vec<Option<usize>>,
    commits: Vec<String>,
    /// The last commit of the branch that the moves are made on; those behind it are of another branch.
    head: usize,
}

fn generate(rng: &mut Rng) -> History {
    let mut h = History::default();
    h.worlds.push(first());
    h.parents.push(None);
    let add = |h: &mut History, parent: usize, rng: &mut Rng| {
        let mut world = changeset(rng, &h.worlds[parent], h.worlds.len());
        while world == h.worlds[parent] {
            world = changeset(rng, &h.worlds[parent], h.worlds.len());
        }
        h.worlds.push(world);
        h.parents.push(Some(parent));
        h.worlds.len() - 1
    };
    for n in 0..4 + rng.below(8) {
        h.head = add(&mut h, n, rng);
    }
    let mut at = rng.below(h.head + 1);
    for _ in 0..1 + rng.below(4) {
        at = add(&mut h, at, rng);
    }
    h
}

/// All histories in one repository, by one process.
fn write(repo: &std::path::Path, histories: &mut [History]) {
    let mut stream = String::new();
    let mut mark = 0;
    for (k, h) in histories.iter().enumerate() {
        let first = mark + 1;
        for (n, world) in h.worlds.iter().enumerate() {
            mark += 1;
            let message = format!("change {n}");
            let _ = write!(
                stream,
                "commit refs/heads/h{k}-{n}\nmark :{mark}\ncommitter Ann <ann@example.org> {} +0000\ndata {}\n{message}\n",
                1_700_000_000 + mark,
                message.len()
            );
            if let Some(parent) = h.parents[n] {
                let _ = writeln!(stream, "from :{}", first + parent);
            }
            stream.push_str("deleteall\n");
            for (path, text) in world.files() {
                let _ = write!(stream, "M 100644 inline {path}\ndata {}\n{text}\n", text.len());
            }
            stream.push('\n');
        }
    }
    stream.push_str("done\n");
    let git = |args: &[&str]| Program::new("git", "git").env("GIT_CONFIG_GLOBAL", "/dev/null").dir(repo).args(args);
    git(&["init", "--quiet", "--initial-branch=h0-0"]).run().unwrap();
    git(&["fast-import", "--quiet", "--done", "--export-marks=marks"]).input(stream).run().unwrap();
    let marks = std::fs::read_to_string(repo.join("marks")).unwrap();
    std::fs::remove_file(repo.join("marks")).unwrap();
    let mut ids: Vec<(usize, &str)> =
        marks.lines().map(|l| l.split_once(' ').unwrap()).map(|(m, id)| (m[1..].parse().unwrap(), id)).collect();
    ids.sort_unstable();
    let mut ids = ids.into_iter().map(|(_, id)| id.to_owned());
    for h in histories {
        h.commits = ids.by_ref().take(h.worlds.len()).collect();
    }
}

/// Some changesets of the branch to take back, some of the other one to pick.
fn moves(rng: &mut Rng, h: &History) -> Vec<(StepKind, usize)> {
    let mut out: Vec<(StepKind, usize)> = Vec::new();
    for _ in 0..1 + rng.below(4) {
        let n = 1 + rng.below(h.worlds.len() - 1);
        let kind = if n > h.head { StepKind::Pick } else { StepKind::Revert };
        if !out.contains(&(kind, n)) {
            out.push((kind, n));
        }
    }
    out
}

fn steps(repo: &Repo, h: &History, moves: &[(StepKind, usize)]) -> Vec<Step> {
    let made = moves.iter().zip(1..).map(|((kind, n), id)| {
        let mut step = Step::new(*kind, &repo.commit(&h.commits[*n]).unwrap(), None).unwrap();
        step.id = id;
        step
    });
    made.collect()
}

/// Where conflicts are, as the model names the places. A file may be called otherwise than now.
fn clashes(composed: &Composed) -> BTreeSet<Clash> {
    let place = |path: &str| match path.split('/').collect::<Vec<_>>()[..] {
        ["servers", name, ..] => usize::from(name.starts_with('b')),
        ["roles", ..] => ROLE,
        _ => ROLE + 1,
    };
    let name = |path: &str| if path.ends_with("/extra") { "extra".to_owned() } else { path.to_owned() };
    let all = composed.conflicts.iter();
    all.map(|c| (place(&c.path), c.key.as_ref().map_or_else(|| name(&c.path), ToString::to_string))).collect()
}

/// Compares what came out with the model, down to the comments.
fn judge(repo: &Repo, base: &str, composed: &Composed, world: &World) -> Result<(), String> {
    let below = repo.at(base);
    let laid = Laid { below: &below, files: composed.files.clone() };
    let read = |path: &str| laid.read(path).unwrap().map(|bytes| String::from_utf8(bytes).unwrap());
    let wanted = world.files();
    for (path, want) in &wanted {
        let Some(text) = read(path) else { return Err(format!("{path} is not there")) };
        if !path.ends_with(".toml") {
            if text != *want {
                return Err(format!("{path} is\n{text}\ninstead of\n{want}"));
            }
            continue;
        }
        let values = |text: &str| -> BTreeMap<String, BTreeSet<String>> {
            let words = |value: String| match value.starts_with('[') {
                true => value.split('"').skip(1).step_by(2).map(str::to_owned).collect(),
                false => BTreeSet::from([value]),
            };
            key_changes("", text).into_iter().map(|c| (c.key.to_string(), words(c.after.unwrap()))).collect()
        };
        if values(&text) != values(want) {
            return Err(format!("{path} is\n{text}\ninstead of\n{want}"));
        }
        for line in want.lines().filter(|l| l.contains('#')) {
            let comment = &line[line.find('#').unwrap()..];
            let value = line.split(" = ").next().unwrap_or_default();
            let found: Vec<&str> = text.lines().filter(|l| l.ends_with(comment)).collect();
            if found.len() != 1 || !found[0].starts_with(value) {
                return Err(format!("the comment {comment} is there {} times in {path}:\n{text}", found.len()));
            }
        }
    }
    for entry in laid.list("servers").unwrap() {
        let path = format!("servers/{}/server.toml", entry.name);
        if read(&path).is_some() && !wanted.contains_key(&path) {
            return Err(format!("{path} is there, too"));
        }
    }
    Ok(())
}

/// Whether git's own merge stops at the first of the moves.
fn git_stops(repo: &std::path::Path, h: &History, (kind, n): (StepKind, usize)) -> bool {
    let (of, parent) = (&h.commits[n], &h.commits[h.parents[n].unwrap()]);
    let (base, theirs) = if kind == StepKind::Pick { (parent, of) } else { (of, parent) };
    let git = Program::new("git", "git").env("GIT_CONFIG_GLOBAL", "/dev/null").dir(repo);
    let base = format!("--merge-base={base}");
    let output = git.args(["merge-tree", "--write-tree", &base, &h.commits[h.head], theirs]).output().unwrap();
    !output.status.success()
}

#[test]
#[allow(clippy::print_stderr, reason = "it tells what git would have done")]
fn moves_of_any_history_in_any_order_come_to_what_a_model_of_the_values_says() {
    let count = match std::env::var("REGROW_HISTORIES").ok().and_then(|n| n.parse().ok()) {
        Some(count) => count,
        None if std::env::var_os("REGROW_TEST_ALL").is_some() => 500,
        None => 60,
    };
    let (_dir, ctx) = testing::context();
    let fleet = ctx.fleet().unwrap();
    let mut histories: Vec<History> = (0..count).map(|seed| generate(&mut Rng::new(seed))).collect();
    write(fleet, &mut histories);
    let repo = Repo::open(fleet).unwrap();
    let (mut wrong, mut made, mut clashed, mut stopped, mut needless) = (Vec::new(), 0, 0, 0, 0);
    for (seed, h) in histories.iter().enumerate() {
        let moves = moves(&mut Rng::new(seed as u64 + 1_000_000), h);
        let steps = steps(&repo, h, &moves);
        let mut world = h.worlds[h.head].clone();
        let mut expected = BTreeSet::new();
        let mut first = None;
        for (kind, n) in &moves {
            let (of, before) = (&h.worlds[*n], &h.worlds[h.parents[*n].unwrap()]);
            let (from, to) = if *kind == StepKind::Pick { (before, of) } else { (of, before) };
            let found = model::step(&mut world, from, to);
            first.get_or_insert(!found.is_empty());
            expected.extend(found);
        }
        let composed = compose(&repo, &h.commits[h.head], &steps, &[]).unwrap();
        let found = clashes(&composed);
        let judged = if found == expected {
            judge(&repo, &h.commits[h.head], &composed, &world)
        } else {
            Err(format!("conflicts are {found:?} instead of {expected:?}"))
        };
        if let Err(e) = judged {
            wrong.push(format!("history {seed}, moves {moves:?}: {e}"));
        }
        made += moves.len();
        clashed += usize::from(!expected.is_empty());
        if git_stops(fleet, h, moves[0]) {
            stopped += 1;
            needless += usize::from(first == Some(false));
        }
    }
    eprintln!(
        "{count} histories, {made} moves: {clashed} histories with a true conflict. Of the first moves git's own merge \
         stops at {stopped}, at {needless} of them without need."
    );
    assert!(
        wrong.is_empty(),
        "{} of {count} are wrong; the first:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(4)].join("\n\n")
    );
}
