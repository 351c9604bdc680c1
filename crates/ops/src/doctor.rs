//! `doctor`: whether this machine has what Regrow needs, found by trying.

use std::path::{Path, PathBuf};

use regrow_history::Repo;
use regrow_host::lock::Scratch;
use regrow_host::program::is_installed;
use regrow_image::{MountWay, Store, Verity};
use serde::Serialize;

use crate::Answer;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::wanted::Wanted;

/// What was found.
#[derive(Debug, Serialize)]
pub struct DoctorReport {
    /// Whether everything required is there.
    pub ok: bool,
    /// Each thing that was looked at.
    pub checks: Vec<Finding>,
}

impl Answer for DoctorReport {
    fn is_yes(&self) -> bool {
        self.ok
    }
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What.
    pub name: String,
    /// How it stands.
    pub state: FindingState,
    /// What was found; if something is missing, why, and what to do.
    pub detail: String,
}

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    /// It is there.
    Ok,
    /// It is not there; something else is used instead.
    Fallback,
    /// It is not there, and nothing goes without it.
    Missing,
}

/// Space below which a build may not end well, and below which it cannot.
const SCARCE: u64 = 5 << 30;
const TOO_LITTLE: u64 = 1 << 30;

/// Looks at everything. Contacts the fleet's archives, if there is a fleet.
pub fn doctor(ctx: &Context) -> Result<DoctorReport> {
    let mut checks = Vec::new();
    let mut note = |name: &str, state: FindingState, detail: String| {
        checks.push(Finding { name: name.to_owned(), state, detail });
    };
    let root = rustix::process::geteuid().is_root();
    let home = ctx.home().path();
    let made = regrow_host::fs::create_dir_all(home);
    let probed = if made.is_ok() { home.to_owned() } else { existing(home) };
    for capability in regrow_sandbox::probe(&probed).all {
        let state = match (capability.ok, capability.required) {
            (true, _) => FindingState::Ok,
            (false, false) => FindingState::Fallback,
            (false, true) => FindingState::Missing,
        };
        note(capability.name, state, capability.words);
    }
    match made {
        Ok(()) => {
            space(home, &mut note);
            if root {
                store(ctx, &mut note);
            }
        }
        Err(e) => note("home", FindingState::Missing, format!("{e} ({}); run as root, or set REGROW_HOME", e.source)),
    }
    match Repo::check_git() {
        Ok(version) => note("git", FindingState::Ok, format!("git {version}")),
        Err(e) => note("git", FindingState::Missing, e.to_string()),
    }
    match ["sqv", "gpgv"].into_iter().find(|p| is_installed(p)) {
        Some(program) => note("signatures", FindingState::Ok, format!("verified by {program}")),
        None => {
            let words = "nothing here can verify signatures; install the Debian package `sqv` (or `gpgv`)";
            note("signatures", FindingState::Missing, words.to_owned());
        }
    }
    if Path::new("/run/systemd/system").is_dir() {
        note("systemd on the host", FindingState::Ok, "online servers can come back after a reboot".to_owned());
    } else {
        let words =
            "there is none; after a reboot, online servers come back with the next regrow command (`regrow up`)";
        note("systemd on the host", FindingState::Fallback, words.to_owned());
    }
    if ctx.fleet_optional().is_some() {
        git_here(ctx, &mut note);
        archives(ctx, &mut note);
    }
    let ok = checks.iter().all(|c| c.state != FindingState::Missing);
    Ok(DoctorReport { ok, checks })
}

/// The nearest directory at or above `path` that exists.
fn existing(path: &Path) -> PathBuf {
    path.ancestors().find(|p| p.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

type Note<'a> = &'a mut dyn FnMut(&str, FindingState, String);

fn space(home: &Path, note: Note<'_>) {
    match rustix::fs::statvfs(home) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let words = format!("{:.1} GiB free at {}", free as f64 / (1u64 << 30) as f64, home.display());
            match free {
                n if n < TOO_LITTLE => {
                    note("disk space", FindingState::Missing, format!("{words}; a build needs 1 GiB at least"))
                }
                n if n < SCARCE => note("disk space", FindingState::Fallback, format!("{words}; 5 GiB are better")),
                _ => note("disk space", FindingState::Ok, words),
            }
        }
        Err(e) => {
            note("disk space", FindingState::Fallback, format!("{} does not say how much is free: {e}", home.display()))
        }
    }
}

/// How images are mounted here, tried with an empty one in a scratch store.
fn store(ctx: &Context, note: Note<'_>) {
    let tried = || -> Result<(Verity, regrow_image::Result<MountWay>)> {
        let scratch = Scratch::new(ctx.home().scratch(), "doctor-store")?;
        let store = Store::open(scratch.path().join("store"))?;
        Ok((store.verity(), store.probe_mount()))
    };
    match tried() {
        Ok((verity, way)) => {
            match way {
                Ok(MountWay::File) => note("images", FindingState::Ok, "mounted straight from their files".to_owned()),
                Ok(MountWay::Loop) => {
                    note(
                        "images",
                        FindingState::Fallback,
                        "mounted through loop devices: this kernel mounts no EROFS from a file".to_owned(),
                    );
                }
                Err(e) => {
                    let words = format!("checked out as plain files, which takes time and disk: {}", chain(&e));
                    note("images", FindingState::Fallback, words);
                }
            }
            match verity {
                Verity::Supported => {
                    note("fs-verity", FindingState::Ok, "the kernel checks contents when they are read".to_owned())
                }
                Verity::Missing => {
                    let words =
                        "this file system has none: contents are checked when they are stored, not when they are read";
                    note("fs-verity", FindingState::Fallback, words.to_owned());
                }
            }
        }
        Err(e) => note("images", FindingState::Missing, chain(&e)),
    }
}

/// What runs inside the person's git here; all of it is optional.
fn git_here(ctx: &Context, note: Note<'_>) {
    let Ok(report) = crate::hooks::hooks(ctx, crate::hooks::Wish::List) else { return };
    let ours = report.hooks.iter().any(|h| h.ours);
    let check =
        if ours { "checks the text before each commit" } else { "no check before commits (regrow hooks --install)" };
    let merge =
        if report.merges_by_key { "merges the text by key" } else { "merges the text by lines (regrow init .)" };
    let state = if report.merges_by_key { FindingState::Ok } else { FindingState::Fallback };
    note("git in this clone", state, format!("{merge}; {check}"));
}

fn archives(ctx: &Context, note: Note<'_>) {
    let wanted = match Wanted::read(ctx, None) {
        Ok(wanted) => wanted,
        Err(e) => return note("fleet", FindingState::Missing, chain(&e)),
    };
    for (name, archive) in &wanted.fleet.archives {
        match std::fs::File::open(&archive.keyring) {
            Ok(_) => note(&format!("keyring of {name}"), FindingState::Ok, archive.keyring.clone()),
            Err(e) => {
                let words = format!(
                    "{}: {e}; install `debian-archive-keyring` or correct `keyring` in regrow.toml",
                    archive.keyring
                );
                note(&format!("keyring of {name}"), FindingState::Missing, words);
            }
        }
    }
    let refreshed = crate::lock::open_archive(ctx, &wanted.fleet)
        .and_then(|archive| archive.refresh(ctx.progress()).map_err(Error::from));
    match refreshed {
        Ok(refreshed) => {
            for suite in refreshed.suites {
                match suite.news {
                    Ok(_) => note(
                        &format!("archive {}", suite.suite),
                        FindingState::Ok,
                        "answers, and its signature is good".to_owned(),
                    ),
                    Err(why) => {
                        let words = format!("{why}; the index that was verified before is used");
                        note(&format!("archive {}", suite.suite), FindingState::Fallback, words);
                    }
                }
            }
        }
        Err(e) => note("archives", FindingState::Missing, chain(&e)),
    }
}

fn chain(e: &dyn std::error::Error) -> String {
    let mut words = e.to_string();
    let mut next = e.source();
    while let Some(cause) = next {
        let cause_words = cause.to_string();
        if !words.ends_with(&cause_words) {
            words.push_str(&format!(": {cause_words}"));
        }
        next = cause.source();
    }
    words
}
