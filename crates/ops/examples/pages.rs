//! Measures every page of a large fleet: how long the server takes at a steady rate of requests, and its memory.
//!
//! `bench/pages` runs it: pages REGROW [--servers N] [--changesets N] [--rate N] [--seconds N] [--only TEXT]
//!
//! It makes a fleet of 200 servers and 1,000 changesets with `git fast-import` and a record with results for each
//! changeset, starts the real `regrow serve` on it, and asks for each page 50 times a second over connections that stay
//! open, with an ordinary session. Requests are sent when they are due, whether or not earlier ones were answered, and
//! are timed from when they were due: a page that cannot keep up shows it. Pages about one thing (a server, a
//! changeset) go through all things, so most answers are first ones. Fails if a page's p95 is above 50 ms or the
//! process above 100 MB.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use regrow_ops::context::{Clock, Context, Setup};
use regrow_ops::evidence::{self, New};
use regrow_ops::{Kind, Verdict};

mod serving;

use serving::{Connection, Error, Serving};

struct Options {
    regrow: PathBuf,
    servers: usize,
    changesets: usize,
    rate: usize,
    seconds: usize,
    only: Option<String>,
}

fn options() -> Result<Options, Error> {
    let mut args = std::env::args().skip(1);
    let regrow = args.next().ok_or("usage: pages REGROW [--servers N] [--changesets N] [--rate N] [--seconds N]")?;
    let mut options =
        Options { regrow: regrow.into(), servers: 200, changesets: 1000, rate: 50, seconds: 10, only: None };
    while let Some(option) = args.next() {
        let value = args.next().ok_or("a value is missing")?;
        match &*option {
            "--servers" => options.servers = value.parse()?,
            "--changesets" => options.changesets = value.parse()?,
            "--rate" => options.rate = value.parse()?,
            "--seconds" => options.seconds = value.parse()?,
            "--only" => options.only = Some(value),
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    Ok(options)
}

fn main() -> Result<(), Error> {
    let options = options()?;
    let dir = tempfile::tempdir()?;
    let (fleet, home) = (dir.path().join("fleet"), dir.path().join("home"));
    eprintln!("a fleet of {} servers and {} changesets", options.servers, options.changesets);
    let revisions = make_fleet(&fleet, &options)?;
    make_record(&fleet, &home, &options, &revisions)?;
    let server = Serving::start(&options.regrow, &fleet, &home)?;
    let cookie = server.sign_in()?;
    let pages = pages(&options, &revisions);
    println!("| page | requests | p50 ms | p95 ms | max ms | kB |\n|---|---:|---:|---:|---:|---:|");
    let mut slow = Vec::new();
    for (name, paths) in pages.iter().filter(|(name, _)| options.only.as_ref().is_none_or(|o| name.contains(o))) {
        // The first answer of a program that has just started reads everything once.
        let status = Connection::open(&server.address)?.get(&paths[0], &cookie)?.status;
        if status != 200 {
            println!("| {name} | answers {status} | | | | |");
            slow.push(format!("{name} answers {status}"));
            continue;
        }
        let (mut times, size) = measure(&server.address, &cookie, paths, &options)?;
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1000.0;
        println!("| {name} | {} | {:.1} | {:.1} | {:.1} | {} |", times.len(), at(0.5), at(0.95), at(1.0), size / 1000);
        if at(0.95) > 50.0 {
            slow.push(format!("{name}: p95 {:.1} ms", at(0.95)));
        }
    }
    let (now, most) = server.memory()?;
    println!("\nprocess: {now:.1} MB resident at the end, {most:.1} MB at most");
    if most > 100.0 {
        slow.push(format!("{most:.1} MB"));
    }
    if slow.is_empty() { Ok(()) } else { Err(format!("over the limit: {}", slow.join("; ")).into()) }
}

fn server_name(n: usize) -> String {
    format!("srv{n:03}")
}

/// The pages by name, each with the addresses that are asked for in turn.
fn pages(options: &Options, revisions: &[String]) -> Vec<(&'static str, Vec<String>)> {
    let servers: Vec<String> = (0..options.servers).map(server_name).collect();
    let of = |form: &dyn Fn(&str) -> String| servers.iter().map(|s| form(s)).collect::<Vec<_>>();
    // Far apart, so that what was read for one does not help the next.
    let mixed: Vec<&String> = (0..revisions.len()).map(|n| &revisions[n * 389 % revisions.len()]).collect();
    vec![
        ("servers", vec!["/".to_owned()]),
        ("server", of(&|s| format!("/server/{s}"))),
        ("object: form", of(&|s| format!("/server/{s}/checks/front?view=form"))),
        ("object: text", of(&|s| format!("/server/{s}/checks/front?view=text"))),
        ("object: history", of(&|s| format!("/server/{s}/checks/front?view=history"))),
        ("object: effects", of(&|s| format!("/server/{s}/checks/front?view=effects"))),
        ("timeline", vec!["/history".to_owned()]),
        ("timeline, any place", mixed.iter().map(|r| format!("/history?from={r}")).collect()),
        ("timeline of a server", of(&|s| format!("/history?server={s}"))),
        ("changeset", mixed.iter().map(|r| format!("/changeset/{r}")).collect()),
        ("compare", mixed.windows(2).map(|w| format!("/compare/{}..{}", w[0], w[1])).collect()),
        ("drafts", vec!["/drafts".to_owned()]),
        ("add", of(&|s| format!("/add/{s}"))),
        ("jobs", vec!["/jobs".to_owned()]),
        ("acts", vec!["/acts".to_owned()]),
    ]
}

/// A server's text in its `n`th state.
fn server_text(server: usize, n: usize) -> String {
    let mut text = format!(
        "schema = 1\nroles = [\"base\", \"web\"]\n\n# Server {server}.\n[system]\nhostname = \"{}\"\n\n[packages]\n",
        server_name(server)
    );
    for package in ["nginx", "postgresql", "curl", "vim", "git", "rsync"] {
        text.push_str(&format!("{package} = \"*\"\n"));
    }
    text.push_str("\n[services.nginx]\nenabled = true\n\n[network]\n");
    text.push_str(&format!("publish = [\"{}:80\"]\n\n", 8000 + (server * 7 + n) % 1000));
    text.push_str(&format!("[checks.front]\nhttp = \"http://localhost/\"\nstatus = {}\n", 200 + n % 100));
    for k in 0..6 {
        text.push_str(&format!("\n# Of the team {k}.\n[checks.c{k}]\nport = {}\ntimeout = {}\n", 80 + k, 10 + n % 50));
        text.push_str(&format!("\n[users.person{k}]\ncomment = \"Person {k}\"\ngroups = [\"adm\"]\n"));
        text.push_str(&format!(
            "\n[files.\"/etc/app/{k}.conf\"]\ncontent = \"\"\"\nvalue = {n}\nother = {server}\n\"\"\"\n"
        ));
    }
    text
}

fn lock_text(n: usize) -> String {
    let mut lock =
        regrow_config::LockFile { schema: 1, inputs: "sha256:0".into(), epoch: 1_700_000_000, ..Default::default() };
    lock.architecture = "amd64".into();
    lock.layers = vec![regrow_config::lock::Layer { name: "base".into(), requested: Vec::new() }];
    for k in 0..150 {
        let package = regrow_config::lock::LockedPackage {
            version: format!("1.{}-1", if k % 30 == 0 { n } else { 0 }),
            architecture: "amd64".into(),
            archive: "debian".into(),
            file: format!("pool/main/p/package{k}/package{k}_1-1_amd64.deb"),
            size: 100_000 + k,
            sha256: format!("{k:064x}"),
            layer: 0,
        };
        lock.packages.insert(format!("package{k}"), package);
    }
    lock.to_text()
}

/// Makes the fleet and checks it out; the ids of all commits, newest first.
fn make_fleet(fleet: &Path, options: &Options) -> Result<Vec<String>, Error> {
    std::fs::create_dir_all(fleet)?;
    git(fleet, &["init", "--quiet", "--initial-branch=main"])?;
    let mut import =
        Command::new("git").args(["fast-import", "--quiet"]).current_dir(fleet).stdin(Stdio::piped()).spawn()?;
    let mut to = std::io::BufWriter::new(import.stdin.take().ok_or("no pipe")?);
    let mut begin = vec![
        ("regrow.toml".to_owned(), "schema = 1\n\n[archives.debian]\nmirror = \"http://mirror.test/debian\"\nsuites = [\"trixie\"]\nkeyring = \"/usr/share/keyrings/debian-archive-keyring.gpg\"\n".to_owned()),
        ("roles/base.toml".to_owned(), "[packages]\nsystemd-sysv = \"*\"\n".to_owned()),
        ("roles/web.toml".to_owned(), "[packages]\nca-certificates = \"*\"\n".to_owned()),
    ];
    for n in 0..options.servers {
        let dir = format!("servers/{}", server_name(n));
        begin.push((format!("{dir}/server.toml"), server_text(n, 0)));
        begin.push((format!("{dir}/lock.toml"), lock_text(0)));
        begin.push((format!("{dir}/root/etc/motd"), format!("server {n}\n")));
    }
    for n in 0..options.changesets {
        let server = n * 37 % options.servers;
        let dir = format!("servers/{}", server_name(server));
        let (message, files) = match n {
            0 => ("Begin".to_owned(), std::mem::take(&mut begin)),
            n if n % 100 == 50 => {
                let text = format!(
                    "# State {n}.\n[packages]\nsystemd-sysv = \"*\"\n\n[sysctl]\n\"vm.swappiness\" = \"{}\"\n",
                    n % 100
                );
                ("Everywhere another setting".to_owned(), vec![("roles/base.toml".to_owned(), text)])
            }
            n if n % 20 == 5 => ("Newer packages".to_owned(), vec![(format!("{dir}/lock.toml"), lock_text(n))]),
            n => (
                format!("Change {n} of {}", server_name(server)),
                vec![(format!("{dir}/server.toml"), server_text(server, n))],
            ),
        };
        let at = 1_700_000_000 + n * 3600;
        writeln!(
            to,
            "commit refs/heads/main\ncommitter Ann <ann@example.org> {at} +0000\ndata {}\n{message}",
            message.len()
        )?;
        for (path, text) in files {
            write!(to, "M 644 inline {path}\ndata {}\n{text}\n", text.len())?;
        }
    }
    to.flush()?;
    drop(to);
    if !import.wait()?.success() {
        return Err("git fast-import failed".into());
    }
    git(fleet, &["reset", "--quiet", "--hard", "main"])?;
    Ok(git(fleet, &["log", "--format=%H"])?.lines().map(str::to_owned).collect())
}

fn git(dir: &Path, args: &[&str]) -> Result<String, Error> {
    let output = Command::new("git").args(args).current_dir(dir).output()?;
    if !output.status.success() {
        return Err(format!("git {args:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A build and a trial of every changeset, with reports as large as real ones.
fn make_record(fleet: &Path, home: &Path, options: &Options, revisions: &[String]) -> Result<(), Error> {
    let ctx = Context::new(Setup {
        fleet: Some(fleet.to_owned()),
        home: home.to_owned(),
        actor: "ann".to_owned(),
        program: options.regrow.clone(),
        clock: Clock::System,
    });
    let checks: Vec<_> = (0..8)
        .map(|k| serde_json::json!({"name": format!("c{k}"), "kind": "port", "passed": true, "detail": "answers", "seconds": 0.1}))
        .collect();
    let report = serde_json::json!({"seconds": 4.0, "checks": checks, "failed_units": []});
    ctx.database()?.with(|c| c.execute_batch("PRAGMA synchronous = OFF"))?;
    for (n, revision) in revisions.iter().enumerate() {
        let server = server_name(n * 37 % options.servers);
        for (kind, verdict) in [(Kind::Build, Verdict::Built), (Kind::Trial, Verdict::Healthy)] {
            let new = New { kind, server: &server, revision, image: Some("v1-sha256-12:00"), verdict };
            evidence::record(&ctx, &new, &report)?;
        }
    }
    // What HEAD is proven to be, for every server.
    for n in 0..options.servers {
        let new = New {
            kind: Kind::Trial,
            server: &server_name(n),
            revision: &revisions[0],
            image: None,
            verdict: Verdict::Healthy,
        };
        evidence::record(&ctx, &new, &report)?;
    }
    Ok(())
}

/// Asks for the paths in turn at the rate; how long each answer took from when it was due, and the largest page.
fn measure(address: &str, cookie: &str, paths: &[String], options: &Options) -> Result<(Vec<Duration>, usize), Error> {
    let total = options.rate * options.seconds;
    let every = Duration::from_secs(1) / options.rate as u32;
    let next = Arc::new(AtomicUsize::new(0));
    let times = Arc::new(Mutex::new((Vec::with_capacity(total), 0)));
    let begin = Instant::now() + Duration::from_millis(50);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.rate.clamp(4, 32))
            .map(|_| {
                let (next, times) = (next.clone(), times.clone());
                scope.spawn(move || -> Result<(), Error> {
                    let mut connection = Connection::open(address)?;
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= total {
                            return Ok(());
                        }
                        let due = begin + every * n as u32;
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                        let answer = connection.get(&paths[n % paths.len()], cookie)?;
                        if answer.status != 200 {
                            return Err(format!("{} answers {}", paths[n % paths.len()], answer.status).into());
                        }
                        let mut times = times.lock().map_err(|_| "a thread broke off")?;
                        times.0.push(due.elapsed());
                        times.1 = times.1.max(answer.body.len());
                    }
                })
            })
            .collect();
        threads.into_iter().try_for_each(|t| t.join().map_err(|_| "a thread broke off")?)
    })?;
    let mut times = times.lock().map_err(|_| "a thread broke off")?;
    Ok((std::mem::take(&mut times.0), times.1))
}
