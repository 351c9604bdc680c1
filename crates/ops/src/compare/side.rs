//! The two sides of a comparison: which text, its files, and which paths differ.

use std::collections::BTreeSet;

use regrow_config::{DiskFiles, Entry, Files, Kind};
use regrow_history::{PathChange, Repo};
use regrow_host::FsError;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::Result;
use crate::remember;

/// One of the two texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "side", content = "of")]
pub enum Side {
    /// A revision in git's words.
    Revision(String),
    /// A draft by its id; `disk` is the same as [`Side::Disk`].
    Draft(String),
    /// The files on disk.
    Disk,
    /// What the draft on the other side is based on; HEAD if there the disk is.
    Base,
    /// No text at all: what the first changeset came after.
    Nothing,
}

impl Side {
    /// From what is typed: `disk`, `draft:ID`, else a revision.
    pub fn parse(text: &str) -> Side {
        match text.strip_prefix("draft:") {
            _ if text == "disk" => Side::Disk,
            Some(id) => Side::Draft(id.to_owned()),
            None => Side::Revision(text.to_owned()),
        }
    }
}

/// Where drafts are.
const DRAFTS: &str = "refs/regrow/drafts/";

/// A side, found.
#[derive(Debug)]
pub(super) enum Text {
    Commit(Box<regrow_history::Revision>),
    Disk(DiskFiles),
    Nothing(regrow_config::MemoryFiles),
}

impl Text {
    pub(super) fn at(revision: regrow_history::Revision) -> Text {
        Text::Commit(Box::new(revision))
    }

    pub(super) fn open(ctx: &Context, repo: &Repo, side: &Side, other: &Side) -> Result<Text> {
        let at = |revision: &str| -> Result<Text> { Ok(Text::at(repo.at(&remember::resolve(ctx, repo, revision)?))) };
        match side {
            Side::Revision(revision) => at(revision),
            Side::Draft(id) if id == "disk" => Text::open(ctx, repo, &Side::Disk, other),
            Side::Draft(id) => at(&format!("{DRAFTS}{id}")),
            Side::Disk => Ok(Text::Disk(DiskFiles::new(repo.fleet())?)),
            Side::Base => match other {
                Side::Draft(id) if id != "disk" => at(&format!("{DRAFTS}{id}^")),
                _ if repo.head()?.commit.is_none() => Ok(Text::Nothing(Default::default())),
                _ => at("HEAD"),
            },
            Side::Nothing => Ok(Text::Nothing(Default::default())),
        }
    }

    /// The revision, if it is one.
    pub(super) fn commit(&self) -> Option<&regrow_history::Revision> {
        match self {
            Text::Commit(files) => Some(files),
            _ => None,
        }
    }

    pub(super) fn files(&self) -> &dyn Files {
        match self {
            Text::Commit(files) => &**files,
            Text::Disk(files) => files,
            Text::Nothing(files) => files,
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Text::Commit(files) => files.commit().to_owned(),
            Text::Disk(_) => "disk".to_owned(),
            Text::Nothing(_) => "nothing".to_owned(),
        }
    }

    fn state(&self) -> regrow_history::State<'_> {
        match self {
            Text::Commit(files) => regrow_history::State::Commit(files.commit()),
            Text::Disk(_) => regrow_history::State::Disk,
            Text::Nothing(_) => regrow_history::State::Nothing,
        }
    }
}

/// The paths that differ, sorted.
pub(super) fn changed(repo: &Repo, old: &Text, new: &Text) -> Result<Vec<PathChange>> {
    Ok(repo.changed(old.state(), new.state())?)
}

/// The unified diff of what differs at `paths`; `some` says that these are not all that differ.
pub(super) fn text(repo: &Repo, old: &Text, new: &Text, paths: &[PathChange], some: bool) -> Result<String> {
    Ok(repo.diff_states(old.state(), new.state(), paths, some)?)
}

/// What the stand-in of a role is called: a server that has only this role. No server can have such a name.
pub(super) fn stand_in(role: &str) -> String {
    format!("{STAND_IN}{role}")
}

/// The role that a server stands in for, if it is a stand-in.
pub(super) fn role_of(server: &str) -> Option<&str> {
    server.strip_prefix(STAND_IN)
}

const STAND_IN: &str = "role ";

/// Files of which only some servers are seen, and a stand-in for each of some roles.
#[derive(Debug)]
pub(super) struct Narrow<'f> {
    below: &'f dyn Files,
    only: Option<BTreeSet<String>>,
    stand_ins: BTreeSet<String>,
}

impl<'f> Narrow<'f> {
    pub(super) fn new(below: &'f dyn Files, only: Option<BTreeSet<String>>, roles: &BTreeSet<String>) -> Narrow<'f> {
        Narrow { below, only, stand_ins: roles.iter().map(|role| stand_in(role)).collect() }
    }

    /// The stand-in that a path lies in, and the rest of the path.
    fn stand_in<'p>(&self, path: &'p str) -> Option<(&'p str, &'p str)> {
        let rest = path.strip_prefix("servers/")?;
        let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
        self.stand_ins.contains(name).then_some((name, rest))
    }
}

impl Files for Narrow<'_> {
    fn read(&self, path: &str) -> std::result::Result<Option<Vec<u8>>, FsError> {
        match self.stand_in(path) {
            Some((name, "server.toml")) => {
                let role = role_of(name).unwrap_or(name);
                Ok(Some(format!("schema = 1\nroles = [{role:?}]\n").into_bytes()))
            }
            Some(_) => Ok(None),
            None => self.below.read(path),
        }
    }

    fn list(&self, dir: &str) -> std::result::Result<Vec<Entry>, FsError> {
        let entry = |name: &str, kind| Entry { name: name.to_owned(), kind, executable: false };
        match self.stand_in(dir) {
            Some((_, "")) => Ok(vec![entry("server.toml", Kind::File)]),
            Some(_) => Ok(Vec::new()),
            None => {
                let mut entries = self.below.list(dir)?;
                if dir == "servers" {
                    if let Some(only) = &self.only {
                        entries.retain(|e| only.contains(&e.name));
                    }
                    entries.extend(self.stand_ins.iter().map(|name| entry(name, Kind::Dir)));
                }
                Ok(entries)
            }
        }
    }

    fn read_link(&self, path: &str) -> std::result::Result<Option<String>, FsError> {
        if self.stand_in(path).is_some() { Ok(None) } else { self.below.read_link(path) }
    }
}
