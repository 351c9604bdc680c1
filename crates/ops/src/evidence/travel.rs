//! Evidence that travels: results are also kept as git notes, so that another clone sees what was built, tried and
//! switched to, and with which image.
//!
//! Each note is a set of lines, one result each, as JSON:
//!
//! ```json
//! {"kind":"build","server":"web1","image":"v1-sha256-12:…","verdict":"built","at":"2026-01-02T03:04:05Z","on":"forge","home":"3f2a9c01","by":"ann","with":"0.1.0"}
//! ```
//!
//! Only revisions of the branch have them: not edits, not drafts. Results wait in the record until a job has ended and
//! are then written as one commit, however many they are ([`publish`]). What is said elsewhere is shown as such and
//! never taken for our own: nothing is skipped because somebody else says that it was done. Lines that do not read are
//! somebody else's and are left alone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use regrow_history::{Notes, Repo};
use regrow_host::{FsError, fs};
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::{Brief, Kind, Verdict};
use crate::context::Context;
use crate::error::Result;
use crate::wanted::short;

/// One result as a line of a note.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// What was done.
    pub kind: Kind,
    /// To which server.
    pub server: String,
    /// The image, if there was one.
    pub image: Option<String>,
    /// What it proved.
    pub verdict: Verdict,
    /// When it ended.
    pub at: Timestamp,
    /// The name of the machine.
    pub on: String,
    /// Which home on it: some random digits.
    pub home: String,
    /// Who asked for it.
    pub by: String,
    /// The version of Regrow.
    pub with: String,
}

/// The images of one revision and server differ. They should be the same everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differing {
    /// The revision.
    pub revision: String,
    /// The server.
    pub server: String,
    /// Each image with where it came out.
    pub images: Vec<Made>,
}

/// Where an image came out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Made {
    /// The image.
    pub image: String,
    /// The machine; `None`: this one.
    pub on: Option<String>,
    /// The version of Regrow there.
    pub with: String,
}

impl Differing {
    /// Whether the same version of Regrow made all of them: then nothing explains it.
    pub fn is_same_version(&self) -> bool {
        self.images.iter().all(|made| made.with == self.images[0].with)
    }

    /// In a sentence, with what to do.
    pub fn words(&self) -> String {
        let made = |m: &Made| {
            let place = m.on.as_deref().unwrap_or("here");
            let image = m.image.rsplit(':').next().unwrap_or(&m.image);
            format!("{} on {place} (Regrow {})", image.get(..12).unwrap_or(image), m.with)
        };
        let images: Vec<String> = self.images.iter().map(made).collect();
        let why = if self.is_same_version() {
            "one of them was not built from this text and lock alone: build it again with --no-cache on both"
        } else {
            "other versions of Regrow may build another image: compare with the same one"
        };
        format!("THE IMAGES OF {} AT {} DIFFER: {}; {why}", self.server, short(&self.revision), images.join(", "))
    }
}

/// The random digits that tell this home from others.
fn home_id(ctx: &Context) -> Result<String> {
    let path = ctx.home().path().join("home-id");
    if let Some(text) = fs::read_optional(&path)? {
        return Ok(String::from_utf8_lossy(&text).trim().to_owned());
    }
    fs::create_dir_all(ctx.home().path())?;
    let mut digits = [0u8; 8];
    getrandom::fill(&mut digits).map_err(|e| FsError::new("make", &path, std::io::Error::other(e.to_string())))?;
    fs::write_atomic(&path, format!("{:016x}\n", u64::from_be_bytes(digits)).as_bytes())?;
    // Whoever wrote last counts, also for whoever wrote at the same moment.
    Ok(fs::read_to_string(&path)?.trim().to_owned())
}

/// The fleet as pending results name it.
pub(super) fn fleet_name(ctx: &Context) -> Option<String> {
    let fleet = std::fs::canonicalize(ctx.fleet_optional()?).ok()?;
    fleet.to_str().map(str::to_owned)
}

/// A result that waits.
struct Waiting {
    id: i64,
    kind: Kind,
    server: String,
    revision: String,
    image: Option<String>,
    verdict: Verdict,
    at: Timestamp,
}

/// Writes the results of this fleet that wait into its notes, as one commit; says how many revisions have new ones.
///
/// # Errors
/// If the record cannot be read or git cannot write; they then go on waiting.
pub fn publish(ctx: &Context) -> Result<usize> {
    let Some(fleet) = fleet_name(ctx) else { return Ok(0) };
    let waiting = waiting(ctx, &fleet)?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let repo = ctx.repo()?;
    let commits: BTreeSet<&str> = waiting.iter().map(|w| &*w.revision).collect();
    let ours = repo.in_head(&commits)?;
    let (on, home) = (machine(), home_id(ctx)?);
    let known = lines_of(&repo, &commits.iter().copied().collect::<Vec<_>>())?;
    let mut notes = Notes::new();
    for w in &waiting {
        let line = Line {
            kind: w.kind,
            server: w.server.clone(),
            image: w.image.clone(),
            verdict: w.verdict,
            at: w.at,
            on: on.clone(),
            home: home.clone(),
            by: ctx.actor().to_owned(),
            with: env!("CARGO_PKG_VERSION").to_owned(),
        };
        // Once is enough: a note stays small however often the same comes out.
        let same = |l: &&Line| (l.kind, &l.server, &l.home) == (line.kind, &line.server, &line.home);
        let last = known.get(&w.revision).and_then(|lines| lines.iter().filter(same).max_by_key(|l| l.at));
        let again = last.is_some_and(|l| (&l.image, l.verdict, &l.with) == (&line.image, line.verdict, &line.with));
        if ours.contains(&w.revision)
            && !again
            && let Ok(json) = serde_json::to_string(&line)
        {
            notes.entry(w.revision.clone()).or_default().insert(json);
        }
    }
    if !notes.is_empty() {
        repo.add_notes(&notes, ctx.now())?;
    }
    let ids: Vec<i64> = waiting.iter().map(|w| w.id).collect();
    let ids = serde_json::to_string(&ids).unwrap_or_default();
    ctx.database()?
        .with(|c| c.execute("UPDATE evidence SET fleet = NULL WHERE id IN (SELECT value FROM json_each(?))", [ids]))?;
    Ok(notes.len())
}

/// [`publish`] after work that must not fail because of it: says so instead.
pub(crate) fn publish_or_note(ctx: &Context) {
    if let Err(e) = publish(ctx) {
        let words = format!("results are not in git\u{2019}s notes yet, they go with the next ones: {e}");
        regrow_host::progress::note(ctx.progress(), words);
    }
}

fn waiting(ctx: &Context, fleet: &str) -> Result<Vec<Waiting>> {
    ctx.database()?.with(|c| {
        let sql = "SELECT id, kind, server, revision, image, verdict, at FROM evidence WHERE fleet = ? ORDER BY id";
        c.prepare_cached(sql)?
            .query_map(params![fleet], |row| {
                Ok(Waiting {
                    id: row.get(0)?,
                    kind: Kind::parse(row.get_ref(1)?.as_str()?).ok_or_else(|| super::word(1, "kind"))?,
                    server: row.get(2)?,
                    revision: row.get(3)?,
                    image: row.get(4)?,
                    verdict: Verdict::parse(row.get_ref(5)?.as_str()?).ok_or_else(|| super::word(5, "verdict"))?,
                    at: row.get_ref(6)?.as_str()?.parse().map_err(|_| super::word(6, "time"))?,
                })
            })?
            .collect()
    })
}

fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// All that notes say about some revisions (full commit ids).
fn lines_of(repo: &Repo, revisions: &[&str]) -> Result<BTreeMap<String, Vec<Line>>> {
    let Some(tip) = repo.notes_tip()? else { return Ok(BTreeMap::new()) };
    let read = |(revision, lines): (String, BTreeSet<String>)| {
        let lines: Vec<Line> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (revision, lines)
    };
    Ok(repo.notes_of(&tip, revisions).into_iter().map(read).filter(|(_, lines)| !lines.is_empty()).collect())
}

/// What is known about some revisions (full commit ids) by git's notes alone: the newest result of each kind for each
/// server and place, oldest first. Nothing where there is no repository.
pub fn noted(ctx: &Context, revisions: &[&str]) -> BTreeMap<String, Vec<Brief>> {
    // Notes are an addition: what cannot be read is not there.
    let lines = ctx.repo().and_then(|repo| lines_of(&repo, revisions)).unwrap_or_default();
    let ours = if lines.is_empty() { None } else { home_id(ctx).ok() };
    lines.into_iter().map(|(revision, lines)| (revision, newest(lines, ours.as_deref()))).collect()
}

fn newest(mut lines: Vec<Line>, ours: Option<&str>) -> Vec<Brief> {
    lines.sort_by_key(|line| line.at);
    let mut newest: BTreeMap<(Kind, String, String), (usize, Brief)> = BTreeMap::new();
    for (n, line) in lines.into_iter().enumerate() {
        let on = (ours != Some(&*line.home)).then_some(line.on);
        let brief = Brief {
            id: 0,
            kind: line.kind,
            server: line.server.clone(),
            verdict: line.verdict,
            image: line.image,
            at: line.at,
            on,
        };
        newest.insert((line.kind, line.server, line.home), (n, brief));
    }
    let mut found: Vec<(usize, Brief)> = newest.into_values().collect();
    found.sort_by_key(|(n, _)| *n);
    found.into_iter().map(|(_, brief)| brief).collect()
}

/// The revisions (full commit ids) whose images differ from place to place, for each server.
pub fn differing(ctx: &Context, revisions: &[&str]) -> Vec<Differing> {
    let lines = ctx.repo().and_then(|repo| lines_of(&repo, revisions)).unwrap_or_default();
    if lines.is_empty() {
        return Vec::new();
    }
    let ours = home_id(ctx).ok();
    lines.iter().flat_map(|(revision, lines)| apart(revision, lines, ours.as_deref())).collect()
}

fn apart(revision: &str, lines: &[Line], ours: Option<&str>) -> Vec<Differing> {
    // The newest image of each place: what an older version made here before is no contradiction.
    let mut newest: BTreeMap<(&str, &str), &Line> = BTreeMap::new();
    for line in lines.iter().filter(|l| l.image.is_some() && matches!(l.kind, Kind::Build | Kind::Trial | Kind::Switch))
    {
        let place = newest.entry((&line.server, &line.home)).or_insert(line);
        if place.at < line.at {
            *place = line;
        }
    }
    let mut by_server: BTreeMap<&str, BTreeSet<Made>> = BTreeMap::new();
    for ((server, home), line) in newest {
        let on = (ours != Some(home)).then(|| line.on.clone());
        let made = Made { image: line.image.clone().unwrap_or_default(), on, with: line.with.clone() };
        by_server.entry(server).or_default().insert(made);
    }
    let differ = |made: &BTreeSet<Made>| made.iter().map(|m| &m.image).collect::<BTreeSet<_>>().len() > 1;
    let found = by_server.into_iter().filter(|(_, made)| differ(made));
    found
        .map(|(server, made)| Differing {
            revision: revision.to_owned(),
            server: server.to_owned(),
            images: made.into_iter().collect(),
        })
        .collect()
}

/// Whether an image that was just built differs from what came out elsewhere for the same revision.
pub(crate) fn against(ctx: &Context, server: &str, revision: &str, image: &str) -> Option<Differing> {
    let repo = ctx.repo().ok()?;
    let lines = lines_of(&repo, &[revision]).ok()?.remove(revision)?;
    let home = home_id(ctx).ok()?;
    let mut others: Vec<Line> = lines.into_iter().filter(|l| l.server == server && l.home != home).collect();
    others.push(Line {
        kind: Kind::Build,
        server: server.to_owned(),
        image: Some(image.to_owned()),
        verdict: Verdict::Built,
        at: Timestamp::MAX,
        on: machine(),
        home: home.clone(),
        by: String::new(),
        with: env!("CARGO_PKG_VERSION").to_owned(),
    });
    apart(revision, &others, Some(&home)).pop()
}

#[cfg(test)]
mod tests;
