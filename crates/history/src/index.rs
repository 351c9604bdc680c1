//! The changesets of a history, in memory: for programs that answer many questions about it.
//!
//! Asking git for the changesets of one server takes it through the whole history each time. An [`Index`] is read by one
//! `git log` and goes on from where it stands when something has landed. What it tells is what [`Repo::log`] tells;
//! where git leaves side branches out (the changesets of some paths in a history with merges) it has no answer, and
//! git is asked.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::error::Result;
use crate::log::{Changeset, PathChange};
use crate::repo::Repo;

/// The changesets that some commits can be reached from. Never more than it was allowed when it was begun.
#[derive(Debug, Default)]
pub struct Index {
    /// A changeset stands after all that it came from.
    entries: Vec<Entry>,
    by_id: HashMap<Arc<str>, u32>,
    /// Texts that many changesets have in common: authors, addresses, paths.
    texts: HashSet<Arc<str>>,
    /// Whether the repository has more than the fleet: then not every changeset is one of the fleet.
    shared: bool,
}

#[derive(Debug)]
struct Entry {
    revision: Arc<str>,
    parents: Vec<Arc<str>>,
    author: Arc<str>,
    email: Arc<str>,
    at: Timestamp,
    subject: Box<str>,
    body: Box<str>,
    paths: Box<[(Arc<str>, &'static str)]>,
}

impl Index {
    /// Whether a full commit id is in it, and with it all that it came from.
    pub fn has(&self, commit: &str) -> bool {
        self.by_id.contains_key(commit)
    }

    /// How many changesets are in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes in a commit and all that it came from. False if that would make more than `most` changesets; then nothing
    /// is taken in.
    ///
    /// # Errors
    /// If git cannot answer.
    pub fn take_in(&mut self, repo: &Repo, commit: &str, most: usize) -> Result<bool> {
        if self.has(commit) {
            return Ok(true);
        }
        let room = most.saturating_sub(self.len());
        let limit = format!("--max-count={}", room.saturating_add(1));
        let mut options = vec!["--topo-order".to_owned(), limit];
        // What nothing came from yet is where git need not go on.
        let inner: HashSet<&str> = self.entries.iter().flat_map(|e| e.parents.iter().map(|p| &**p)).collect();
        let tips = self.entries.iter().filter(|e| !inner.contains(&*e.revision));
        options.extend(tips.rev().take(MOST_TIPS).map(|e| format!("^{}", e.revision)));
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let mut new = repo.raw_log(commit, &[], &options)?;
        new.retain(|c| !self.has(&c.revision));
        if new.len() > room {
            return Ok(false);
        }
        self.shared = !repo.prefix.is_empty();
        for changeset in new.into_iter().rev() {
            self.push(changeset);
        }
        Ok(true)
    }

    fn push(&mut self, c: Changeset) {
        let paths = c.paths.iter().map(|p| (self.once(&p.path), p.change)).collect();
        let entry = Entry {
            revision: c.revision.as_str().into(),
            parents: c
                .parents
                .iter()
                .map(|p| self.by_id.get_key_value(&**p).map_or_else(|| p.as_str().into(), |k| k.0.clone()))
                .collect(),
            author: self.once(&c.author),
            email: self.once(&c.email),
            at: c.at,
            subject: c.subject.into(),
            body: c.body.into(),
            paths,
        };
        // A u32 counts more changesets than fit into memory.
        self.by_id.insert(entry.revision.clone(), self.entries.len() as u32);
        self.entries.push(entry);
    }

    fn once(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.texts.insert(new.clone());
        new
    }

    /// One changeset by its full commit id.
    pub fn show(&self, commit: &str) -> Option<Changeset> {
        Some(self.entries[*self.by_id.get(commit)? as usize].changeset(&[]))
    }

    /// The `limit` changesets from `from` on in the history of `tip`, newest first. With `below`, only those that touch
    /// these fleet paths, with these paths.
    ///
    /// `None` if git must be asked: a commit is not in it, or git would leave side branches out.
    pub fn log(&self, tip: &str, from: &str, below: &[&str], limit: usize) -> Option<Vec<Changeset>> {
        let (tip, from) = (*self.by_id.get(tip)? as usize, *self.by_id.get(from)? as usize);
        // Something beside the history of `tip` has a history of its own.
        self.walk(tip, from, below, limit).or_else(|| self.walk(from, from, below, limit))?
    }

    /// `None` if `from` is not in the history of `tip`.
    fn walk(&self, tip: usize, from: usize, below: &[&str], limit: usize) -> Option<Option<Vec<Changeset>>> {
        let mut reached = vec![false; tip + 1];
        reached[tip] = true;
        let mut found = Vec::new();
        let mut begun = false;
        let limited = self.shared || !below.is_empty();
        for at in (0..=tip).rev() {
            if !reached[at] {
                continue;
            }
            let entry = &self.entries[at];
            for parent in entry.parents.iter().filter_map(|p| self.by_id.get(p)) {
                reached[*parent as usize] = true;
            }
            begun |= at == from;
            if !begun {
                if at < from {
                    return None;
                }
                continue;
            }
            if found.len() == limit {
                break;
            }
            if limited && entry.parents.len() > 1 {
                return Some(None);
            }
            if !limited || entry.paths.iter().any(|(path, _)| below.is_empty() || is_below(path, below)) {
                found.push(entry.changeset(below));
            }
        }
        begun.then_some(Some(found))
    }
}

impl Entry {
    fn changeset(&self, below: &[&str]) -> Changeset {
        let shown = self.paths.iter().filter(|(path, _)| below.is_empty() || is_below(path, below));
        Changeset {
            revision: self.revision.to_string(),
            parents: self.parents.iter().map(|p| p.to_string()).collect(),
            author: self.author.to_string(),
            email: self.email.to_string(),
            at: self.at,
            subject: self.subject.to_string(),
            body: self.body.to_string(),
            paths: shown.map(|(path, change)| PathChange { path: path.to_string(), change }).collect(),
        }
    }
}

fn is_below(path: &str, below: &[&str]) -> bool {
    below.iter().any(|b| path.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// How many commits git is told not to go beyond: more make a long command line, fewer only make it tell what is known.
const MOST_TIPS: usize = 16;

#[cfg(test)]
mod tests {
    use regrow_host::program::Program;

    use super::*;

    fn git(dir: &std::path::Path, args: &[&str]) -> String {
        let program = Program::new("git", "git").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let program = program.args(["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]).dir(dir).args(args);
        String::from_utf8(program.run().unwrap().stdout).unwrap().trim().to_owned()
    }

    fn commit(dir: &std::path::Path, path: &str, n: usize) -> String {
        std::fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
        std::fs::write(dir.join(path), n.to_string()).unwrap();
        git(dir, &["add", "."]);
        git(dir, &["commit", "--quiet", "-m", &format!("Say {n}\n\nBecause.")]);
        git(dir, &["rev-parse", "HEAD"])
    }

    #[test]
    fn it_tells_what_git_tells_also_after_more_has_landed() {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repo::init(dir.path()).unwrap();
        assert_eq!(repo.tip().unwrap(), None);
        let mut index = Index::default();
        let mut ids = Vec::new();
        for n in 0..24 {
            ids.push(commit(dir.path(), ["servers/a/t", "servers/ab/t", "roles/x"][n % 3], n));
            if n % 5 == 4 {
                let tip = repo.tip().unwrap().unwrap();
                assert_eq!(tip, ids[n]);
                assert!(index.take_in(&repo, &tip, 100).unwrap());
            }
            if n == 9 {
                git(dir.path(), &["pack-refs", "--all"]);
            }
        }
        assert_eq!((index.len(), index.has(&ids[23]), index.show(&ids[23])), (20, false, None));
        assert!(!index.take_in(&repo, &ids[23], 23).unwrap(), "no more than allowed");
        assert_eq!(index.len(), 20);
        assert!(index.take_in(&repo, &ids[23], 24).unwrap());
        for from in [23, 11, 0] {
            for below in [&[][..], &["servers/a", "roles"], &["servers/ab/t"], &["nowhere"]] {
                for limit in [1, 5, 50] {
                    let told = index.log(&ids[23], &ids[from], below, limit).unwrap();
                    assert_eq!(told, repo.log(&ids[from], below, limit).unwrap(), "{from} {below:?} {limit}");
                }
            }
        }
        assert_eq!(index.show(&ids[7]).unwrap(), repo.show(&ids[7]).unwrap());
        assert_eq!(index.log(&ids[11], &ids[23], &[], 2).unwrap()[1].revision, ids[22], "what is beside the tip");
    }

    #[test]
    fn merges_are_told_and_side_branches_are_left_to_git() {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repo::init(dir.path()).unwrap();
        commit(dir.path(), "a", 1);
        git(dir.path(), &["checkout", "--quiet", "-b", "side"]);
        let side = commit(dir.path(), "b", 2);
        git(dir.path(), &["checkout", "--quiet", "main"]);
        commit(dir.path(), "a", 3);
        git(dir.path(), &["merge", "--quiet", "--no-edit", "side"]);
        let tip = commit(dir.path(), "a", 4);
        let mut index = Index::default();
        assert!(index.take_in(&repo, &tip, 100).unwrap());
        let sorted = |mut changes: Vec<Changeset>| {
            changes.sort_by(|a, b| a.revision.cmp(&b.revision));
            changes
        };
        let told = index.log(&tip, &tip, &[], 50).unwrap();
        assert_eq!(sorted(told.clone()), sorted(repo.log(&tip, &[], 50).unwrap()));
        // From any place on, what is left of both branches comes.
        for n in 0..told.len() {
            assert_eq!(index.log(&tip, &told[n].revision, &[], 50).unwrap(), told[n..]);
        }
        assert_eq!(index.log(&tip, &tip, &["a"], 1).map(|c| c.len()), Some(1), "as far as no merge was met");
        assert_eq!(index.log(&tip, &tip, &["a"], 2), None);
        assert_eq!(index.log(&side, &side, &["b"], 50).unwrap().len(), 1);
    }

    #[test]
    fn a_fleet_in_a_larger_repository_has_its_own_changesets_only() {
        let dir = tempfile::tempdir().unwrap();
        Repo::init(dir.path()).unwrap();
        for (n, path) in ["fleet/a", "other", "fleet/b", "other"].iter().enumerate() {
            commit(dir.path(), path, n);
        }
        let repo = Repo::open(&dir.path().join("fleet")).unwrap();
        let tip = repo.tip().unwrap().unwrap();
        let mut index = Index::default();
        assert!(index.take_in(&repo, &tip, 100).unwrap());
        for below in [&[][..], &["a"]] {
            assert_eq!(index.log(&tip, &tip, below, 50).unwrap(), repo.log("HEAD", below, 50).unwrap());
        }
    }
}
