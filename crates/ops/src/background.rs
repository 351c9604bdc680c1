//! Builds of drafts that nobody has to ask for: the preview fills in as more is known.
//!
//! [`build_draft`] is called after each edit and returns at once. One build runs at a time for the whole home, the others
//! wait their turn; a draft that has moved on while its build waited is not built, and one that moves on while it is built
//! has that build stopped. What there is to be seen of it is [`builds`]: read from the record, not kept anywhere else.

use std::collections::BTreeSet;

use regrow_host::lock::{FileLock, Wait};
use regrow_host::progress::step;
use serde::Serialize;

use crate::Answer;
use crate::build::BuildReport;
use crate::context::Context;
use crate::drafts::{self, DISK, Draft};
use crate::error::{Error, Result};
use crate::evidence::{self, Kind};
use crate::jobs::{self, Job, JobId, State, Task};
use crate::wanted::Wanted;

/// How many servers of one draft are built without being asked for: a change of a role may concern hundreds.
pub const MOST: usize = 4;

/// How far the build of one server of a draft is, at the draft's tip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum BuildState {
    /// It was not asked for.
    None,
    /// Another build comes first.
    Waiting {
        /// The job.
        job: JobId,
    },
    /// It is being built.
    Running {
        /// The job.
        job: JobId,
    },
    /// It is built.
    Built {
        /// The image.
        image: String,
    },
    /// It could not be built; the job says why.
    Failed {
        /// The job.
        job: JobId,
    },
}

/// One server of a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DraftBuild {
    /// The server.
    pub server: String,
    /// How far its build is.
    #[serde(flatten)]
    pub state: BuildState,
}

/// What a build of a draft made.
#[derive(Debug, Serialize)]
pub struct DraftReport {
    /// The draft.
    pub draft: String,
    /// The revision that was built.
    pub tip: String,
    /// The builds.
    pub builds: Vec<BuildReport>,
}

impl Answer for DraftReport {}

/// Sees to it that a draft's tip is built, and nothing older of it: returns at once. To be called after every change of
/// a draft, as often as one likes.
///
/// # Errors
/// If there is no such draft, or no process can be started.
pub fn build_draft(ctx: &Context, id: &str) -> Result<Option<JobId>> {
    if id == DISK {
        return Ok(None);
    }
    let draft = drafts::get(ctx, id)?;
    let (now, old): (Vec<Job>, Vec<Job>) = jobs::of_draft(ctx, id)?
        .into_iter()
        .filter(|j| j.state == State::Running)
        .partition(|j| j.revision.as_deref() == Some(&*draft.tip));
    for job in old {
        jobs::stop(ctx, job.id)?;
    }
    if let Some(job) = now.first() {
        return Ok(Some(job.id));
    }
    let servers = servers_of(ctx, &draft)?;
    let built = |server: &String| Ok(evidence::of_revision(ctx, server, Kind::Build, &draft.tip)?.is_some());
    let missing = servers.iter().take(MOST).map(built).collect::<Result<Vec<bool>>>()?.contains(&false);
    if !missing {
        return Ok(None);
    }
    jobs::launch(ctx, &Task::Draft { draft: id.to_owned(), tip: draft.tip }).map(Some)
}

/// How far the builds of a draft are, for each server that it changes.
///
/// # Errors
/// If there is no such draft.
pub fn builds(ctx: &Context, id: &str) -> Result<Vec<DraftBuild>> {
    if id == DISK {
        return Ok(Vec::new());
    }
    let draft = drafts::get(ctx, id)?;
    let job = jobs::of_draft(ctx, id)?.into_iter().find(|j| j.revision.as_deref() == Some(&*draft.tip));
    let mut all = Vec::new();
    for server in servers_of(ctx, &draft)? {
        let built = evidence::of_revision(ctx, &server, Kind::Build, &draft.tip)?.and_then(|e| e.image);
        let state = match (built, &job) {
            (Some(image), _) => BuildState::Built { image },
            (None, None) => BuildState::None,
            // Beyond those that are built without being asked for.
            (None, Some(_)) if all.len() >= MOST => BuildState::None,
            (None, Some(job)) if job.state != State::Running => BuildState::Failed { job: job.id },
            // Its first event is the beginning of its wait, the second one the end of it.
            (None, Some(job)) if jobs::events(ctx, job.id, 1)?.is_empty() => BuildState::Waiting { job: job.id },
            (None, Some(job)) => BuildState::Running { job: job.id },
        };
        all.push(DraftBuild { server, state });
    }
    Ok(all)
}

/// The servers whose text a draft may change, by name.
fn servers_of(ctx: &Context, draft: &Draft) -> Result<BTreeSet<String>> {
    let mut servers = BTreeSet::new();
    let mut others = Vec::new();
    for path in &draft.files {
        match path.strip_prefix("servers/").and_then(|rest| rest.split_once('/')) {
            Some((server, _)) => {
                servers.insert(server.to_owned());
            }
            None => others.push(path.as_str()),
        }
    }
    let fleet = Wanted::read(ctx, Some(&draft.tip))?.fleet;
    // A server that the draft takes away is not built.
    servers.retain(|name| fleet.servers.contains_key(name));
    let role = |path: &str| Some(path.strip_prefix("roles/")?.strip_suffix(".toml")?.to_owned());
    for (name, server) in &fleet.servers {
        let concerned = |path: &&str| role(path).is_none_or(|role| server.roles.contains(&role));
        if others.iter().any(concerned) {
            servers.insert(name.clone());
        }
    }
    Ok(servers)
}

/// Makes a draft ready to be built or tried; returns its tip.
///
/// # Errors
/// [`Error::No`] if conflicts must be decided first.
pub(crate) fn ready(ctx: &Context, id: &str) -> Result<String> {
    let prepared = drafts::prepare(ctx, id)?;
    match prepared.conflicts.len() {
        0 => Ok(prepared.draft.tip),
        n => Err(Error::No {
            message: format!("the draft {id} has {n} conflicts that must be decided first"),
            help: Some(format!("decide them on the page of the draft {id}")),
        }),
    }
}

/// The job: waits for its turn and builds every server of a draft.
pub(crate) fn build(ctx: &Context, id: &str, tip: &str) -> Result<DraftReport> {
    ctx.begin("building")?;
    let turn = step(ctx.progress(), "turn", "Wait for other builds in the background");
    let lock = ctx.home().path().join("background.lock");
    let _turn = match FileLock::exclusive(&lock, Wait::UntilFree) {
        Err(_) if regrow_host::cancel::requested() => return Err(Error::Cancelled),
        taken => taken?,
    };
    if drafts::get(ctx, id)?.tip != tip {
        turn.finish("the draft has moved on: there is a later build");
        return Err(Error::Cancelled);
    }
    turn.finish("its turn");
    let now = ready(ctx, id)?;
    jobs::moved(ctx, id, tip, &now)?;
    let draft = drafts::get(ctx, id)?;
    let mut builds = Vec::new();
    let mut failed = None;
    for server in servers_of(ctx, &draft)?.iter().take(MOST) {
        match crate::build(ctx, server, Some(&now), true) {
            Ok(report) => builds.push(report),
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            // The others are worth knowing all the same.
            Err(e) => failed = failed.or(Some(e)),
        }
    }
    match failed {
        Some(e) => Err(e),
        None => Ok(DraftReport { draft: id.to_owned(), tip: now, builds }),
    }
}
