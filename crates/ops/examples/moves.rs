//! Measures moves of history in a large fleet: what a revert or a pick would come to, with conflicts and dependencies.
//!
//! `bench/moves` runs it: moves [--servers N] [--changesets N] [--runs N]
//!
//! It makes a fleet of 200 servers and 10,000 changesets with `git fast-import`, each changing one or two keys of a
//! server's text of 4 kB, some the role of all, and a branch of 400 more from half-way. Then previews are asked for, each
//! of another changeset, spread over the whole history: *warm* in a program that runs and has looked at one before,
//! *cold* in one that has just started. Fails if the warm p95 is above 30 ms.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use regrow_ops::context::{Clock, Context, Setup};
use regrow_ops::moves::{self, Options, StepKind};

type Error = Box<dyn std::error::Error>;

/// What a preview may take at most, 95 of 100 times.
const LIMIT: Duration = Duration::from_millis(30);
/// How many changesets the other branch has.
const BRANCH: usize = 400;
/// How many keys of a server change.
const KEYS: usize = 30;

fn main() -> Result<(), Error> {
    let (mut servers, mut changesets, mut runs) = (200, 10_000, 400);
    let mut args = std::env::args().skip(1);
    while let Some(option) = args.next() {
        let value = args.next().ok_or("a value is missing")?.parse()?;
        match &*option {
            "--servers" => servers = value,
            "--changesets" => changesets = value,
            "--runs" => runs = value,
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    let dir = tempfile::tempdir()?;
    let fleet = dir.path().join("fleet");
    eprintln!("a fleet of {servers} servers and {changesets} changesets");
    make(&fleet, servers, changesets)?;
    let main = revisions(&fleet, "main")?;
    let side: Vec<String> = revisions(&fleet, "side")?.into_iter().take(BRANCH).collect();
    let start = || {
        Context::new(Setup {
            fleet: Some(fleet.clone()),
            home: dir.path().join("home"),
            actor: "bench".to_owned(),
            program: "/nonexistent/regrow".into(),
            clock: Clock::System,
        })
    };
    println!("| preview | runs | median ms | p95 ms | max ms | with conflicts | with dependencies |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let mut slow = false;
    for (kind, name, all) in
        [(StepKind::Revert, "revert", &main[..main.len() - 1]), (StepKind::Pick, "pick", &side[..])]
    {
        let running = start();
        let at = |n: usize| &all[n * 6151 % all.len()];
        let _ = look(&running, kind, at(runs + 1))?;
        slow |= measure(&format!("{name}, warm"), runs, |n| look(&running, kind, at(n)))? > LIMIT;
        measure(&format!("{name}, cold"), runs / 20, |n| look(&start(), kind, at(n)))?;
    }
    if slow { Err("a warm preview is above the limit of 30 ms".into()) } else { Ok(()) }
}

/// How long a preview took, and whether there were conflicts and dependencies.
type Look = (Duration, bool, bool);

fn look(ctx: &Context, kind: StepKind, revision: &str) -> Result<Look, Error> {
    let began = Instant::now();
    let preview = moves::preview(ctx, kind, &[revision], Options::default())?;
    Ok((began.elapsed(), !preview.conflicts.is_empty(), !preview.dependencies.is_empty()))
}

/// Prints one row; returns the p95.
fn measure(name: &str, runs: usize, look: impl Fn(usize) -> Result<Look, Error>) -> Result<Duration, Error> {
    let looks = (0..runs).map(look).collect::<Result<Vec<_>, _>>()?;
    let mut times: Vec<Duration> = looks.iter().map(|l| l.0).collect();
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    let (conflicts, dependencies) = (looks.iter().filter(|l| l.1).count(), looks.iter().filter(|l| l.2).count());
    println!(
        "| {name} | {runs} | {:.1} | {:.1} | {:.1} | {conflicts} | {dependencies} |",
        ms(at(0.5)),
        ms(at(0.95)),
        ms(at(1.0))
    );
    Ok(at(0.95))
}

/// The text of a server whose keys have these values.
fn text(server: usize, values: &[usize; KEYS]) -> String {
    let mut text =
        format!("schema = 1\nroles = [\"base\"]\n\n# Server {server}.\n[system]\nhostname = \"srv{server:03}\"\n");
    for (n, value) in values.iter().enumerate() {
        match n % 3 {
            0 => text.push_str(&format!("\n# Of the team {n}.\n[checks.c{n}]\nport = {}\ntimeout = {value}\n", 80 + n)),
            1 => text.push_str(&format!(
                "\n[users.person{n}]\ncomment = \"Person {value}\"   # by name\ngroups = [\"adm\"]\n"
            )),
            _ => text.push_str(&format!(
                "\n[files.\"/etc/app/{n}.conf\"]\ncontent = \"value = {value}\\n\"\nmode = \"0644\"\n"
            )),
        }
    }
    text
}

fn make(fleet: &Path, servers: usize, changesets: usize) -> Result<(), Error> {
    std::fs::create_dir_all(fleet)?;
    git(fleet, &["init", "--quiet", "--initial-branch=main"])?;
    let mut import =
        Command::new("git").args(["fast-import", "--quiet"]).current_dir(fleet).stdin(Stdio::piped()).spawn()?;
    let mut to = std::io::BufWriter::new(import.stdin.take().ok_or("no pipe")?);
    let mut values = vec![[0; KEYS]; servers];
    let path = |server: usize| format!("servers/srv{server:03}/server.toml");
    let mut half = Vec::new();
    for n in 0..changesets + BRANCH {
        let side = n >= changesets;
        let server = n * 37 % servers;
        if n == changesets {
            values.clone_from(&half);
        }
        let mut files = Vec::new();
        if n == 0 {
            files.push(("regrow.toml".to_owned(), "schema = 1\n".to_owned()));
            files.extend((0..servers).map(|server| (path(server), text(server, &values[server]))));
        }
        if n == 0 || n % 100 == 50 {
            files.push(("roles/base.toml".to_owned(), format!("[sysctl]\n\"vm.swappiness\" = \"{}\"\n", n % 100)));
        } else {
            values[server][n * 7919 % KEYS] = n;
            if n % 3 == 0 {
                values[server][n * 104_729 % KEYS] = n;
            }
            files.push((path(server), text(server, &values[server])));
        }
        let message = format!("Change {n} of srv{server:03}");
        writeln!(to, "commit refs/heads/{}", if side { "side" } else { "main" })?;
        writeln!(to, "mark :{}", n + 1)?;
        writeln!(to, "committer Ann <ann@example.org> {} +0000", 1_700_000_000 + n * 600)?;
        writeln!(to, "data {}\n{message}", message.len())?;
        if n == changesets {
            writeln!(to, "from :{}", changesets / 2 + 1)?;
        }
        for (path, text) in files {
            write!(to, "M 644 inline {path}\ndata {}\n{text}\n", text.len())?;
        }
        if n == changesets / 2 {
            half.clone_from(&values);
        }
    }
    to.flush()?;
    drop(to);
    if !import.wait()?.success() {
        return Err("git fast-import failed".into());
    }
    git(fleet, &["reset", "--quiet", "--hard", "main"])?;
    Ok(())
}

/// The newest first.
fn revisions(fleet: &Path, branch: &str) -> Result<Vec<String>, Error> {
    Ok(git(fleet, &["rev-list", branch])?.lines().map(str::to_owned).collect())
}

fn git(dir: &Path, args: &[&str]) -> Result<String, Error> {
    let output = Command::new("git").args(args).current_dir(dir).output()?;
    if !output.status.success() {
        return Err(format!("git {args:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
