//! `gc`: free what nothing refers to, and only that.
//!
//! Kept are: images that are online or can be gone back to, kept trials, the newest build of every server with its
//! layers, and the packages of every lock that is wanted (on disk, in the newest changeset, in the newest build). While
//! it works nobody builds: it holds every server's lock.

use std::collections::BTreeSet;

use regrow_config::{DiskFiles, Files, LockFile, load_lock, load_server_names};
use regrow_history::Repo;
use regrow_host::lock::Wait;
use regrow_host::{FsError, fs, progress};
use regrow_image::ImageId;
use serde::Serialize;

use crate::Answer;
use crate::build::{newest, open_store};
use crate::context::Context;
use crate::error::Result;
use crate::trial::keep;
use crate::wanted::RevisionName;

/// What was freed, or would be.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GcReport {
    /// Images.
    pub images: u64,
    /// Cached layers.
    pub layers: u64,
    /// Contents of files.
    pub objects: u64,
    /// Package files.
    pub packages: u64,
    /// Bytes of all that.
    pub bytes: u64,
    /// Nothing was removed, only counted.
    pub dry_run: bool,
}

impl Answer for GcReport {}

/// How many jobs keep their events; the jobs and their results stay.
const JOBS_WITH_EVENTS: i64 = 500;

/// Frees what nothing refers to; with `dry_run` only says how much that is.
///
/// # Errors
/// [`crate::Error::Busy`] if somebody works on a server.
pub fn gc(ctx: &Context, dry_run: bool) -> Result<GcReport> {
    ctx.begin("freeing images")?;
    let servers = ctx.home().server_names()?;
    let mut locks = Vec::new();
    for server in &servers {
        let what = format!("gc, by {}", ctx.actor());
        locks.push(ctx.home().take_server(server, &what, Wait::No, ctx.progress())?);
    }
    let step = progress::step(ctx.progress(), "gc", "Free what nothing refers to");
    let mut images: BTreeSet<String> = crate::online::images_in_use(ctx)?.into_iter().collect();
    let mut layers = BTreeSet::new();
    for server in &servers {
        images.extend(keep::find(ctx, server)?.map(|kept| kept.image));
    }
    for build in newest(ctx, &servers)?.into_values() {
        images.insert(build.image);
        layers.extend(build.layers.into_iter().map(|layer| layer.key));
    }
    let roots: Vec<ImageId> = images.iter().filter_map(|image| image.parse().ok()).collect();
    let freed = open_store(ctx)?.gc(&roots, &layers, dry_run)?;
    let mut report = GcReport {
        images: freed.images,
        layers: freed.layers,
        objects: freed.objects,
        packages: 0,
        bytes: freed.bytes,
        dry_run,
    };
    if let Some(wanted) = wanted_packages(ctx, &servers)? {
        free_packages(ctx, &wanted, &mut report)?;
    }
    if !dry_run {
        if let Ok(repo) = ctx.repo() {
            repo.forget_kept(ctx.now())?;
        }
        ctx.database()?.with(|c| {
            c.execute("DELETE FROM job_events WHERE job <= (SELECT max(id) FROM jobs) - ?", [JOBS_WITH_EVENTS])
        })?;
    }
    step.finish("done");
    Ok(report)
}

/// The SHA-256 of every package that a wanted lock names. `None`, after saying why, if not all locks could be read:
/// then no package is freed.
fn wanted_packages(ctx: &Context, servers: &[String]) -> Result<Option<BTreeSet<String>>> {
    let mut fleets = BTreeSet::new();
    fleets.extend(ctx.fleet_optional().and_then(|fleet| std::fs::canonicalize(fleet).ok()));
    for server in servers {
        fleets.extend(ctx.home().fleet_of(server)?);
    }
    let builds = newest(ctx, servers)?;
    let mut wanted = BTreeSet::new();
    let mut keep = |lock: Option<LockFile>| {
        for package in lock.into_iter().flat_map(|lock| lock.packages.into_values()) {
            wanted.insert(package.sha256);
        }
    };
    for fleet in fleets {
        let kept = |why: &str| {
            progress::note(ctx.progress(), format!("packages are not freed: the fleet {} {why}", fleet.display()));
        };
        let Ok(disk) = DiskFiles::new(&fleet) else {
            kept("is not there");
            return Ok(None);
        };
        let mut texts: Vec<Box<dyn Files>> = vec![Box::new(disk)];
        if let Ok(repo) = Repo::open(&fleet) {
            let built = builds.values().filter_map(|b| RevisionName::from(b.revision.clone()).commit);
            for revision in built.chain(["HEAD".to_owned()]) {
                // A revision of another fleet, or one that was rewritten since, has no lock that could be wanted.
                texts.extend(repo.revision(&revision).ok().map(|r| Box::new(r) as Box<dyn Files>));
            }
        }
        for files in &texts {
            for server in load_server_names(&**files)? {
                match load_lock(&**files, &server) {
                    Ok(lock) => keep(lock),
                    Err(_) => {
                        kept(&format!("has a damaged lock of {server}"));
                        return Ok(None);
                    }
                }
            }
        }
    }
    Ok(Some(wanted))
}

fn free_packages(ctx: &Context, wanted: &BTreeSet<String>, report: &mut GcReport) -> Result<()> {
    // The packages, and their quick forms under the same names.
    for store in ["archive/debs", "archive/quick"] {
        free_packages_in(&ctx.home().path().join(store), wanted, report)?;
    }
    Ok(())
}

fn free_packages_in(debs: &std::path::Path, wanted: &BTreeSet<String>, report: &mut GcReport) -> Result<()> {
    for dir in fs::list(debs)? {
        for name in fs::list(debs.join(&dir))? {
            let Some(sha256) = name.to_str().and_then(|n| n.strip_suffix(".deb")) else { continue };
            if wanted.contains(sha256) {
                continue;
            }
            let path = debs.join(&dir).join(&name);
            let meta = std::fs::symlink_metadata(&path).map_err(|e| FsError::new("examine", &path, e))?;
            report.packages += 1;
            report.bytes += meta.len();
            if !report.dry_run {
                fs::remove_file(&path)?;
            }
        }
    }
    Ok(())
}
