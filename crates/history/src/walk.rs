//! Commits and what they changed, read from their objects by the process that is running anyway: a move of history that
//! is only looked at starts no git of its own for them.

use std::collections::BTreeMap;
use std::io;
use std::sync::PoisonError;

use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::log::subject_and_body;
use crate::refs::{check_name, is_full_id};
use crate::repo::Repo;
use crate::revision::{DIR, FORMAT, Objects, TreeEntry};

/// A commit as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// Its full id.
    pub id: String,
    /// Its parents, full ids; none of the first one.
    pub parents: Vec<String>,
    /// Who made the change.
    pub author: String,
    /// When the change was made.
    pub at: Timestamp,
    /// The first line of the message.
    pub subject: String,
    /// The rest of the message, trimmed.
    pub body: String,
}

/// A file of a tree: what it is and its bytes' object id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Git's mode: 0o100644, 0o100755, 0o120000 (a link), 0o160000 (a submodule).
    pub mode: u32,
    /// The full object id.
    pub id: String,
}

impl Blob {
    /// Whether it is a file, executable or not.
    pub fn is_file(&self) -> bool {
        self.mode & FORMAT == 0o100_000
    }
}

/// A file that differs between two commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeChange {
    /// Relative to the fleet.
    pub path: String,
    /// What was there.
    pub before: Option<Blob>,
    /// What is there.
    pub after: Option<Blob>,
}

impl Repo {
    /// A commit by a revision in git's words.
    ///
    /// # Errors
    /// [`Error::NoRevision`], [`Error::Unborn`]; [`Error::Missing`] if only its id is known here.
    pub fn commit(&self, revision: &str) -> Result<Commit> {
        check_name(revision)?;
        let asked = {
            let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
            objects.find(self, &format!("{revision}^{{commit}}"))
        };
        match asked {
            Ok((id, _, bytes)) => parse(&id, &bytes).ok_or(Error::Answer("git cat-file")),
            // A name that means nothing, or a commit that is not here: which, this tells.
            Err(e) if e.kind() == io::ErrorKind::NotFound => match is_full_id(revision) && self.is_shallow() {
                true => Err(Error::Missing(revision.to_owned())),
                false => Err(self.resolve(revision).err().unwrap_or_else(|| Error::Missing(revision.to_owned()))),
            },
            Err(e) => Err(self.unread(revision, e)),
        }
    }

    /// The commits that `to` has and `from` has not, along first parents, the newest first.
    pub fn range(&self, from: &str, to: &str) -> Result<Vec<String>> {
        let (from, to) = (self.resolve(from)?, self.resolve(to)?);
        self.line(Some(&from), &to)
    }

    /// Full ids so that none comes before a descendant of it: the newest first.
    pub fn newest_first(&self, commits: &[String]) -> Result<Vec<String>> {
        if commits.len() < 2 {
            return Ok(commits.to_vec());
        }
        let mut args = vec!["rev-list", "--topo-order"];
        args.extend(commits.iter().map(String::as_str));
        args.push("--");
        let text = self.git.text(args)?;
        let wanted: std::collections::BTreeSet<&str> = commits.iter().map(String::as_str).collect();
        Ok(text.lines().filter(|id| wanted.contains(id)).map(str::to_owned).collect())
    }

    /// Whether one commit is another or comes before it (full ids, or a name that git knows).
    pub fn is_ancestor(&self, old: &str, new: &str) -> Result<bool> {
        Ok(self.git.maybe(["merge-base", "--is-ancestor", old, new])?.is_some())
    }

    /// The fleet's files that differ between two commits (full ids; `None`: no files), sorted by path.
    ///
    /// # Errors
    /// [`Error::Missing`] if a tree is not there.
    pub fn tree_changes(&self, old: Option<&str>, new: Option<&str>) -> Result<Vec<TreeChange>> {
        let root = |commit: Option<&str>| -> Result<Option<String>> {
            let Some(commit) = commit else { return Ok(None) };
            let found = self.at(commit).find("").map_err(|e| self.unread(commit, e))?;
            Ok(found.filter(|(mode, _)| *mode == DIR).map(|(_, id)| id))
        };
        let (old, new) = (root(old)?, root(new)?);
        let mut out = Vec::new();
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        self.trees(&mut objects, "", (old.as_deref(), new.as_deref()), &mut out)?;
        out.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(out)
    }

    fn trees(
        &self,
        objects: &mut Objects,
        prefix: &str,
        (old, new): (Option<&str>, Option<&str>),
        out: &mut Vec<TreeChange>,
    ) -> Result<()> {
        if old == new {
            return Ok(());
        }
        let mut read = |id: Option<&str>| match id {
            Some(id) => objects.tree(self, id).map(Some).map_err(|e| self.unread(id, e)),
            None => Ok(None),
        };
        let (old, new) = (read(old)?, read(new)?);
        let mut both: BTreeMap<&[u8], [Option<&TreeEntry>; 2]> = BTreeMap::new();
        for (side, tree) in [&old, &new].into_iter().enumerate() {
            for entry in tree.iter().flat_map(|tree| tree.iter()) {
                both.entry(&entry.name).or_default()[side] = Some(entry);
            }
        }
        for (name, [before, after]) in both {
            if before.map(|e| (e.mode, &e.id)) == after.map(|e| (e.mode, &e.id)) {
                continue;
            }
            let Ok(name) = std::str::from_utf8(name) else {
                return Err(Error::BadPath(format!("{prefix}{}", String::from_utf8_lossy(name))));
            };
            let dir = |e: Option<&TreeEntry>| e.filter(|e| e.mode == DIR).map(|e| e.id.clone());
            let blob =
                |e: Option<&TreeEntry>| e.filter(|e| e.mode != DIR).map(|e| Blob { mode: e.mode, id: e.id.clone() });
            let (before, after) = ((dir(before), blob(before)), (dir(after), blob(after)));
            if before.1.is_some() || after.1.is_some() {
                out.push(TreeChange { path: format!("{prefix}{name}"), before: before.1, after: after.1 });
            }
            self.trees(objects, &format!("{prefix}{name}/"), (before.0.as_deref(), after.0.as_deref()), out)?;
        }
        Ok(())
    }

    fn unread(&self, id: &str, e: io::Error) -> Error {
        if e.kind() == io::ErrorKind::NotFound {
            return Error::Missing(id.split('^').next().unwrap_or(id).to_owned());
        }
        regrow_host::FsError::new("read objects of", &self.git_dir, e).into()
    }

    /// Whether this clone has only a part of the history.
    pub fn is_shallow(&self) -> bool {
        self.git_dir.join("shallow").exists()
    }
}

fn parse(id: &str, bytes: &[u8]) -> Option<Commit> {
    let text = String::from_utf8_lossy(bytes);
    let (head, message) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut parents = Vec::new();
    let mut author = None;
    for line in head.lines() {
        match line.split_once(' ') {
            Some(("parent", id)) => parents.push(id.to_owned()),
            Some(("author", who)) => author = Some(who),
            _ => {}
        }
    }
    let (who, when) = author?.rsplit_once('>')?;
    let name = who.split_once('<').map_or(who, |(name, _)| name).trim();
    let seconds: i64 = when.split_whitespace().next()?.parse().ok()?;
    let (subject, body) = subject_and_body(message);
    Some(Commit {
        id: id.to_owned(),
        parents,
        author: name.to_owned(),
        at: Timestamp::from_second(seconds).ok()?,
        subject,
        body,
    })
}
