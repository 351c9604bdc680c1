//! A fleet's repository: where it is, where HEAD is, what is edited.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use regrow_host::fs;
use regrow_host::program::Program;

use crate::error::{Error, Result};
use crate::git::Git;
use crate::land;
use crate::refs;
use crate::revision::{Objects, Revision};

/// A fleet's repository. Opening one finishes a landing that was interrupted.
#[derive(Debug, Clone)]
pub struct Repo {
    pub(crate) git: Git,
    /// The fleet's directory.
    pub(crate) fleet: PathBuf,
    /// Git's own directory of this work tree.
    pub(crate) git_dir: PathBuf,
    /// The fleet's path in the repository: empty, or ending with '/'.
    pub(crate) prefix: String,
    /// What answers about objects.
    pub(crate) objects: Arc<Mutex<Objects>>,
}

/// Where HEAD is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The branch as a full ref (`refs/heads/main`); `None` if HEAD is on none.
    pub branch: Option<String>,
    /// The commit; `None` before the first one.
    pub commit: Option<String>,
}

impl Repo {
    /// The repository that `fleet` lies in.
    ///
    /// # Errors
    /// [`Error::NoRepository`], [`Error::Untrusted`], or if git is missing.
    pub fn open(fleet: &Path) -> Result<Repo> {
        let fleet = std::fs::canonicalize(fleet).map_err(|e| fs::Error::new("find", fleet, e))?;
        let mut git = Git::new(&fleet);
        let (_, git_dir, prefix) = git.locate()?;
        let repo = Repo { git, fleet, git_dir, prefix, objects: Arc::default() };
        land::recover(&repo)?;
        Ok(repo)
    }

    /// Whether this is the repository of `fleet`, still where it was.
    pub fn is_at(&self, fleet: &Path) -> bool {
        std::fs::canonicalize(fleet).is_ok_and(|fleet| fleet == self.fleet) && self.git_dir.join("HEAD").exists()
    }

    /// Finishes a landing that was interrupted, as [`Repo::open`] does.
    pub fn recover(&self) -> Result<()> {
        land::recover(self)
    }

    /// Makes `fleet` a repository with the branch `main`; one that is already in a repository stays in it.
    pub fn init(fleet: &Path) -> Result<Repo> {
        match Repo::open(fleet) {
            Err(Error::NoRepository(_)) => {}
            other => return other,
        }
        Git::new(fleet).call(["init", "--quiet", "--initial-branch=main", "--template="]).run()?;
        Repo::open(fleet)
    }

    /// Where the fleet lies in the repository: empty, or ending with '/'. With a commit it names a text.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The fleet's directory, canonical.
    pub fn fleet(&self) -> &Path {
        &self.fleet
    }

    /// Where HEAD is now.
    pub fn head(&self) -> Result<Head> {
        // Both answers from one call, where there are both.
        if let Some(both) = self.git.maybe(["rev-parse", "HEAD", "--symbolic-full-name", "HEAD"])?
            && let Some((commit, name)) = both.split_once('\n')
        {
            let branch = (name != "HEAD").then(|| name.to_owned());
            return Ok(Head { branch, commit: Some(commit.to_owned()) });
        }
        let branch = self.git.maybe(["symbolic-ref", "--quiet", "HEAD"])?;
        let commit = self.git.maybe(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?;
        Ok(Head { branch, commit })
    }

    /// The full commit id of a revision in git's words: an id or its beginning, a branch, a tag, `HEAD~2`…
    pub fn resolve(&self, revision: &str) -> Result<String> {
        let none = || Error::NoRevision(revision.to_owned());
        refs::check_name(revision)?;
        let found = self.git.maybe(["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")])?;
        if let Some(found) = found {
            return Ok(found);
        }
        if revision != "HEAD" {
            return Err(none());
        }
        // A branch that names a commit which is not there is damaged, and not one without commits.
        match self.git.maybe(["rev-parse", "--verify", "--quiet", "HEAD"])? {
            Some(lost) => Err(Error::Missing(lost)),
            None => Err(Error::Unborn),
        }
    }

    /// The files of a revision.
    pub fn revision(&self, revision: &str) -> Result<Revision> {
        Ok(self.at(&self.resolve(revision)?))
    }

    /// Whether a commit is HEAD or one of its ancestors.
    pub fn is_in_head(&self, commit: &str) -> Result<bool> {
        self.is_ancestor(commit, "HEAD")
    }

    /// Which of these commits (full ids) are HEAD or one of its ancestors. Words that are no ids are not.
    pub fn in_head(&self, commits: &BTreeSet<&str>) -> Result<BTreeSet<String>> {
        /// Up to so many are asked for one by one.
        const FEW: usize = 4;
        let ids = commits.iter().filter(|c| refs::is_full_id(c));
        if commits.len() <= FEW {
            let mut found = BTreeSet::new();
            for commit in ids {
                if self.is_in_head(commit)? {
                    found.insert((*commit).to_owned());
                }
            }
            return Ok(found);
        }
        let all = self.git.text(["rev-list", "HEAD", "--"])?;
        let all: BTreeSet<&str> = all.lines().collect();
        Ok(ids.filter(|c| all.contains(*c)).map(|c| (*c).to_owned()).collect())
    }

    /// The files of a commit whose full id is known. Revisions of one `Repo` share the process that reads.
    pub fn at(&self, commit: &str) -> Revision {
        Revision::new(self.clone(), commit.to_owned(), self.objects.clone())
    }

    /// Where HEAD is, and all paths of the fleet that differ from it as [`Repo::dirty`] tells them, in one call.
    pub fn head_and_dirty(&self) -> Result<(Option<String>, Vec<String>)> {
        let args = ["status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--no-renames", "--", "."];
        let asked = self.call(&args);
        let output = asked.output()?;
        if output.stderr.contains("bad object HEAD") {
            return Err(Error::Missing(self.git.text(["rev-parse", "HEAD"])?));
        }
        if !output.status.success() {
            return Err(asked.failed(&output).into());
        }
        let mut commit = None;
        let mut paths = Vec::new();
        for entry in output.stdout.split(|b| *b == 0) {
            let entry = String::from_utf8_lossy(entry);
            if let Some(id) = entry.strip_prefix("# branch.oid ") {
                commit = Some(id.to_owned()).filter(|id| id != "(initial)");
                continue;
            }
            // How many fields stand before the path.
            let fields = match entry.chars().next() {
                Some('1') => 8,
                Some('u') => 10,
                Some('?') => 1,
                _ => continue,
            };
            if let Some(path) = entry.splitn(fields + 1, ' ').nth(fields) {
                paths.push(path.strip_prefix(&self.prefix).unwrap_or(path).to_owned());
            }
        }
        paths.sort();
        paths.dedup();
        Ok((commit, paths))
    }

    /// The paths, below any of `below` (all, if empty), whose content on disk or in the index differs from HEAD.
    /// Sorted. Files that git does not know count, files that it was told to ignore do not.
    pub fn dirty(&self, below: &[&str]) -> Result<Vec<String>> {
        let mut args = vec!["status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--"];
        let specs: Vec<String> = below.iter().map(|path| format!(":(literal){path}")).collect();
        if specs.is_empty() {
            args.push(".");
        }
        args.extend(specs.iter().map(String::as_str));
        let output = self.git.call(args).run()?;
        let mut paths = Vec::new();
        for entry in output.stdout.split(|b| *b == 0).filter(|e| e.len() > 3) {
            let path = String::from_utf8_lossy(&entry[3..]).into_owned();
            paths.push(path.strip_prefix(&self.prefix).map(str::to_owned).unwrap_or(path));
        }
        paths.sort();
        paths.dedup();
        Ok(paths)
    }

    /// Checks that git is new enough; returns its version.
    ///
    /// # Errors
    /// [`Error::TooOld`], or if it is missing.
    pub fn check_git() -> Result<String> {
        let (major, minor, found) = Git::version()?;
        if (major, minor) < (2, 39) { Err(Error::TooOld { found }) } else { Ok(found) }
    }

    /// Tells git, in this clone's own configuration, which command merges files with the attribute `merge=driver`.
    /// Says whether that changed anything.
    pub fn set_merge_driver(&self, driver: &str, name: &str, command: &str) -> Result<bool> {
        let mut changed = false;
        for (key, value) in [("name", name), ("driver", command)] {
            let key = format!("merge.{driver}.{key}");
            if self.git.maybe(["config", "--local", "--get", &key])?.as_deref() != Some(value) {
                self.git.text(["config", "--local", &key, value])?;
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Whether git has such a command for merging in this clone.
    pub fn has_merge_driver(&self, driver: &str) -> Result<bool> {
        Ok(self.git.maybe(["config", "--local", "--get", &format!("merge.{driver}.driver")])?.is_some())
    }

    pub(crate) fn call(&self, args: &[&str]) -> Program {
        self.git.call(args)
    }

    /// A fleet path as the repository names it.
    pub(crate) fn full(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}
