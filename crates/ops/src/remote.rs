//! `pull` and `push`: other clones of the fleet, by an ordinary git remote.
//!
//! What was done there and here since is merged by key, as a draft is: the work tree follows and keeps its hand edits, locks
//! are made from the merged text, and the merge is a commit with two parents. Nothing is rewritten or forced. What was
//! changed in two ways is decided in a draft that lands as that merge. Results ([`crate::evidence::travel`]) go both ways
//! beside it.

use std::collections::BTreeMap;

use regrow_config::{DiskFiles, Files};
use regrow_history::{Head, Landing, NOTES, NotesMerged, Pushed, Repo, State, Upstream};
use regrow_host::progress;
use regrow_host::words::count;
use serde::Serialize;

use crate::Answer;
use crate::acts::{self, Act};
use crate::context::Context;
use crate::drafts::{self, Conflict, Data, Outcome, TRIES, bytes_at, land};
use crate::error::{Error, Result};
use crate::evidence::{self, Differing};
use crate::lock::LockReport;
use crate::undo::Way;

/// What became of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pulled {
    /// The other clone has no such branch yet.
    NothingThere,
    /// It has nothing that is not here.
    UpToDate,
    /// It had more; the branch moved forward.
    Forwarded,
    /// Both had more; they were merged.
    Merged,
    /// Both changed the same: see [`PullReport::conflicts`]. With a draft they are decided there; without one, edits on
    /// disk are in the way. The branch is where it was.
    Conflicts,
}

/// A changeset that came.
#[derive(Debug, Clone, Serialize)]
pub struct Came {
    /// The full commit id.
    pub revision: String,
    /// The first line of its message.
    pub subject: String,
}

/// What `pull` did.
#[derive(Debug, Serialize)]
pub struct PullReport {
    /// The remote and its branch: `origin/main`.
    pub from: String,
    /// What became of it.
    pub outcome: Pulled,
    /// Where the branch is now.
    pub revision: Option<String>,
    /// The newest changesets that came, newest first; at most 20.
    pub came: Vec<Came>,
    /// How many came.
    pub count: usize,
    /// The draft in which conflicts are decided.
    pub draft: Option<String>,
    /// What was changed in two ways.
    pub conflicts: Vec<Conflict>,
    /// New locks, if the merge made them necessary.
    pub locks: Vec<LockReport>,
    /// Files that keep edits on disk.
    pub still_edited: Vec<String>,
    /// Whether results of others came.
    pub results: bool,
    /// Revisions that came, or the newest one, whose images differ from place to place.
    pub differing: Vec<Differing>,
}

impl Answer for PullReport {
    fn is_yes(&self) -> bool {
        self.outcome != Pulled::Conflicts
    }
}

/// What `push` did.
#[derive(Debug, Serialize)]
pub struct PushReport {
    /// The remote and its branch.
    pub to: String,
    /// What is there now.
    pub revision: String,
    /// How many changesets went there.
    pub count: usize,
    /// Whether results went there.
    pub results: bool,
}

impl Answer for PushReport {}

/// How many changesets a report names.
const NAMED: usize = 20;
/// How often a push that lost a race is tried again.
const PUSHES: usize = 4;

/// Where this clone's branch is pulled from and pushed to.
fn upstream(repo: &Repo, remote: Option<&str>) -> Result<(Head, String, Upstream)> {
    let head = repo.head()?;
    repo.check_can_land(&head)?;
    let branch = head.branch.clone().ok_or(regrow_history::Error::Detached)?;
    let upstream = repo.upstream(&branch, remote)?;
    Ok((head, branch, upstream))
}

fn fetch(ctx: &Context, repo: &Repo, from: &Upstream) -> Result<(regrow_history::There, bool)> {
    let step = progress::step(ctx.progress(), "fetch", format!("Fetch from {}", from.remote));
    let there = repo.fetch(from).map_err(explained)?;
    let results = merge_results(ctx, repo, there.notes.as_deref());
    step.finish("done");
    Ok((there, results))
}

/// Takes over what others noted. Notes that are broken are no reason not to go on.
fn merge_results(ctx: &Context, repo: &Repo, theirs: Option<&str>) -> bool {
    let Some(theirs) = theirs else { return false };
    match repo.merge_notes(theirs, ctx.now()) {
        Ok(merged) => merged == NotesMerged::Gained,
        Err(e) => {
            progress::note(ctx.progress(), format!("the results that the other clone noted were left out: {e}"));
            false
        }
    }
}

/// With what to do about a remote that does not answer.
fn explained(e: regrow_history::Error) -> Error {
    match e {
        regrow_history::Error::Remote { ref remote, .. } => {
            let help = format!(
                "it must work without a question: try `git ls-remote {remote}`, with the key in an SSH agent or a credential helper"
            );
            Error::surroundings(e.to_string(), help)
        }
        e => e.into(),
    }
}

/// Fetches a remote (by default that of the branch) and merges what came.
///
/// # Errors
/// If the remote does not answer, or nothing can land here now; then nothing was changed.
pub fn pull(ctx: &Context, remote: Option<&str>) -> Result<PullReport> {
    let repo = ctx.repo()?;
    let (_, _, from) = upstream(&repo, remote)?;
    evidence::travel::publish_or_note(ctx);
    let (there, results) = fetch(ctx, &repo, &from)?;
    let mut report = PullReport {
        from: from.name(),
        outcome: Pulled::UpToDate,
        revision: None,
        came: Vec::new(),
        count: 0,
        draft: None,
        conflicts: Vec::new(),
        locks: Vec::new(),
        still_edited: Vec::new(),
        results,
        differing: Vec::new(),
    };
    match &there.branch {
        None => report.outcome = Pulled::NothingThere,
        Some(theirs) => bring(ctx, &repo, &from, theirs, &mut report)?,
    }
    report.revision = repo.head()?.commit;
    let told: Vec<&str> = report.came.iter().map(|c| &*c.revision).chain(report.revision.as_deref()).collect();
    report.differing = evidence::differing(ctx, &told);
    Ok(report)
}

fn bring(ctx: &Context, repo: &Repo, from: &Upstream, theirs: &str, report: &mut PullReport) -> Result<()> {
    for _ in 0..TRIES {
        let head = repo.head()?;
        let ours = head.commit.as_deref();
        if let Some(ours) = ours
            && repo.is_ancestor(theirs, ours)?
        {
            return Ok(());
        }
        report.count = repo.ahead(ours, theirs)?;
        let came = |(revision, subject)| Came { revision, subject };
        report.came = repo.subjects(ours, theirs, NAMED)?.into_iter().map(came).collect();
        let done = match ours {
            Some(ours) if !repo.is_ancestor(ours, theirs)? => merge(ctx, repo, from, (ours, theirs), report),
            _ => forward(ctx, repo, &head, theirs, report),
        };
        match done {
            // Somebody landed meanwhile, or an editor saved: look again.
            Err(Error::History(regrow_history::Error::Moved | regrow_history::Error::HandEdits { .. })) => {}
            other => return other,
        }
    }
    Err(regrow_history::Error::Moved.into())
}

/// Moves the branch forward, with edits on disk merged into what came.
fn forward(ctx: &Context, repo: &Repo, head: &Head, theirs: &str, report: &mut PullReport) -> Result<()> {
    let by_git = match &head.commit {
        None => true,
        Some(ours) => !repo.only_for_git(ours, theirs)?.is_empty(),
    };
    if by_git {
        repo.forward_by_git(theirs)?;
    } else if let Some(ours) = &head.commit {
        let (old, new, disk) = (repo.at(ours), repo.at(theirs), DiskFiles::new(ctx.fleet()?)?);
        let mut changes = Vec::new();
        for change in repo.changed(State::Commit(ours), State::Commit(theirs))? {
            let path = change.path;
            let texts = [bytes_at(&old, &path)?, disk.read(&path)?, bytes_at(&new, &path)?];
            let placed = land::place(&path, texts, &[])?;
            report.conflicts.extend(placed.conflicts);
            changes.push(placed.change);
        }
        if !report.conflicts.is_empty() {
            report.outcome = Pulled::Conflicts;
            return Ok(());
        }
        let landing = Landing::new(&changes, "pull", head, ctx.now());
        repo.forward(&landing, theirs)?;
        let edited = changes.iter().filter(|c| c.committed != c.on_disk);
        report.still_edited = edited.map(|c| c.path.clone()).collect();
    }
    report.outcome = Pulled::Forwarded;
    acts::record(ctx, &Act::new("pull", format!("pulled {} from {}", changesets(report.count), report.from)));
    Ok(())
}

fn changesets(n: usize) -> String {
    count(n, "changeset", "changesets")
}

/// Merges what was done there and here since, by a draft that lands at once if nothing is to be decided.
fn merge(
    ctx: &Context,
    repo: &Repo,
    from: &Upstream,
    (ours, theirs): (&str, &str),
    report: &mut PullReport,
) -> Result<()> {
    let Some(base) = repo.merge_base(ours, theirs)? else {
        return Err(Error::mistake_with(
            format!("{} and this branch have no changeset in common", from.name()),
            "look whether it is the right remote (git remote -v); what belongs together anyway is merged by git",
        ));
    };
    let strange = repo.only_for_git(&base, theirs)?;
    if let Some(first) = strange.first() {
        let more = if strange.len() > 1 { format!(" and {} more", strange.len() - 1) } else { String::new() };
        return Err(Error::mistake_with(
            format!(
                "{} changed {first}{more}: links, modes and files outside of the fleet are merged by git alone",
                from.name()
            ),
            format!("merge with git, which merges the text by key as well: git pull --no-rebase {}", from.remote),
        ));
    }
    let quiet = ctx.quietly();
    let mut data = Data { merges: Some(theirs.to_owned()), ..Data::default() };
    // What was decided about an earlier pull holds as long as the values are the same.
    for draft in repo.drafts()? {
        let earlier = Data::of(&draft);
        if earlier.merges.is_some_and(|m| repo.is_ancestor(&m, theirs).unwrap_or(false)) {
            data.decisions.extend(earlier.decisions);
            drafts::discard(&quiet, &draft.id)?;
        }
    }
    let id = draft_of(&quiet, repo, &format!("Merge {}", from.name()), &base, theirs, &data)?;
    let message = message(from, report);
    match drafts::land(&quiet, &id, Some(&message)) {
        Ok(Outcome::Landed(landed)) => {
            let words = format!("merged {} from {}", changesets(report.count), report.from);
            let way = Way::Landed { revision: landed.revision };
            acts::record(ctx, &Act::new("pull", words).undone_by(way));
            report.outcome = Pulled::Merged;
            report.locks = landed.locks;
            report.still_edited = landed.still_edited;
            Ok(())
        }
        Ok(Outcome::Conflicts { conflicts }) => {
            let words = format!("pulled {}: the draft {id} merges it once its conflicts are decided", report.from);
            drafts::record(ctx, "pull", &words, None, &repo.draft(&id)?);
            report.outcome = Pulled::Conflicts;
            report.draft = Some(id);
            report.conflicts = conflicts;
            Ok(())
        }
        Err(e) => {
            drafts::discard(&quiet, &id)?;
            Err(e)
        }
    }
}

/// A draft with the files that another clone changed since `base`; its id.
fn draft_of(ctx: &Context, repo: &Repo, title: &str, base: &str, theirs: &str, data: &Data) -> Result<String> {
    let there = repo.at(theirs);
    let mut files = BTreeMap::new();
    for change in repo.changed(State::Commit(base), State::Commit(theirs))? {
        let bytes = bytes_at(&there, &change.path)?;
        files.insert(change.path, bytes);
    }
    Ok(drafts::create_from(ctx, repo, base, &files, data, Some(title), ctx.actor())?.id)
}

fn message(from: &Upstream, report: &PullReport) -> String {
    let mut message = format!("Merge {}\n", from.name());
    for came in &report.came {
        message.push_str(&format!("\n* {}", came.subject));
    }
    if report.count > report.came.len() {
        message.push_str(&format!("\n* and {} more", report.count - report.came.len()));
    }
    message
}

/// Brings the branch and the results to a remote (by default that of the branch). Nothing is overwritten there.
///
/// # Errors
/// [`Error::No`] if there are changesets that are not here.
pub fn push(ctx: &Context, remote: Option<&str>) -> Result<PushReport> {
    let repo = ctx.repo()?;
    let (head, branch, to) = upstream(&repo, remote)?;
    let Some(ours) = head.commit else { return Err(regrow_history::Error::Unborn.into()) };
    evidence::travel::publish_or_note(ctx);
    let mut report = PushReport { to: to.name(), revision: ours.clone(), count: 0, results: false };
    for _ in 0..PUSHES {
        let (there, _) = fetch(ctx, &repo, &to)?;
        if let Some(theirs) = &there.branch
            && !repo.is_ancestor(theirs, &ours)?
        {
            let count = changesets(repo.ahead(Some(&ours), theirs)?);
            return Err(Error::No {
                message: format!("{} has {count} that this clone has not, so nothing was pushed", to.name()),
                help: Some(format!("pull first, which merges by key: regrow pull {}", to.remote)),
            });
        }
        let mut refs = Vec::new();
        if there.branch.as_ref() != Some(&ours) {
            report.count = repo.ahead(there.branch.as_deref(), &ours)?;
            refs.push((ours.clone(), to.branch.clone()));
        }
        if let Some(notes) = repo.notes_tip()?.filter(|tip| Some(tip) != there.notes.as_ref()) {
            report.results = true;
            refs.push((notes, NOTES.to_owned()));
        }
        if refs.is_empty() {
            return Ok(report);
        }
        let step = progress::step(ctx.progress(), "push", format!("Push to {}", to.remote));
        let pushed = repo.push(&to, &refs).map_err(explained)?;
        step.finish("done");
        if pushed == Pushed::Done {
            repo.set_upstream(&branch, &to)?;
            acts::record(ctx, &Act::new("push", format!("pushed {} to {}", changesets(report.count), report.to)));
            return Ok(report);
        }
    }
    Err(Error::No {
        message: format!("others push to {} all the time, so nothing could be pushed", to.remote),
        help: Some("run the command again".to_owned()),
    })
}
