//! Landing a changeset: one commit, by compare-and-swap, with the work tree following.
//!
//! The commit is made from objects and a temporary index; the person's index and files are not involved. Then:
//!
//! 1. every touched file must still hold the bytes that the change was based on, and its index entry must be HEAD's:
//!    else nothing lands;
//! 2. a journal of what is about to happen is written into git's directory;
//! 3. `update-ref` moves the branch, if it still is where it was read: **this is the moment of landing**;
//! 4. the touched files and their index entries follow; the journal is removed.
//!
//! A process killed between 3 and 4 leaves the journal; whoever opens the repository next finishes ([`recover`]). Hand
//! edits are never lost: a file that changed meanwhile is left as it is. A file with hand edits elsewhere can be part
//! of a landing: it is committed without them and written with them ([`Change::committed`] and [`Change::on_disk`]).

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use regrow_host::fs;
use regrow_host::lock::{FileLock, Wait};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::identity;
use crate::repo::{Head, Repo};

/// The change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Relative to the fleet.
    pub path: String,
    /// The bytes on disk that the change was based on; `None` if there was no file.
    pub based_on: Option<Vec<u8>>,
    /// The bytes in the new commit; `None` removes the file.
    pub committed: Option<Vec<u8>>,
    /// The bytes on disk afterwards; differs from `committed` if the file has hand edits. `None` removes the file.
    pub on_disk: Option<Vec<u8>>,
}

impl Change {
    /// Of a file without hand edits.
    pub fn new(path: impl Into<String>, before: Option<Vec<u8>>, after: Option<Vec<u8>>) -> Change {
        Change { path: path.into(), based_on: before, committed: after.clone(), on_disk: after }
    }
}

/// What to land.
#[derive(Debug, Clone)]
pub struct Landing<'a> {
    /// The files, each once.
    pub changes: &'a [Change],
    /// The message; its first line says the intention.
    pub message: &'a str,
    /// HEAD as it was when the change was computed.
    pub head: &'a Head,
    /// The time of the commit.
    pub at: Timestamp,
}

/// What landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    /// The new commit.
    pub revision: String,
}

/// What a landing is about to do, for whoever comes after a kill.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    branch: String,
    commit: String,
    files: Vec<JournalFile>,
}

#[derive(Debug, Serialize, Deserialize)]
struct JournalFile {
    path: String,
    /// Object ids of the bytes before, after on disk, and in the commit (with its mode).
    before: Option<String>,
    after: Option<String>,
    committed: Option<(String, String)>,
}

const JOURNAL: &str = "regrow-landing.json";
const LOCK: &str = "regrow-landing.lock";
const INDEX: &str = "regrow-index";

impl Repo {
    /// Lands one changeset. See the module for its guarantees.
    ///
    /// # Errors
    /// [`Error::Moved`] if HEAD is not where [`Landing::head`] says; [`Error::HandEdits`], [`Error::Staged`],
    /// [`Error::Detached`], [`Error::UnderWay`], [`Error::Nothing`]: then nothing has happened.
    pub fn land(&self, landing: &Landing<'_>) -> Result<Landed> {
        let _lock = FileLock::exclusive(self.git_dir.join(LOCK), Wait::UntilFree)?;
        // Under the lock, whatever lies there was left by a landing that was killed.
        sweep(&self.git_dir, INDEX)?;
        recover_locked(self)?;
        self.refuse_operations()?;
        let branch = landing.head.branch.clone().ok_or(Error::Detached)?;
        if self.head()? != *landing.head {
            return Err(Error::Moved);
        }
        let mut journal = Journal { branch: branch.clone(), commit: String::new(), files: Vec::new() };
        let old = landing.head.commit.as_deref();
        for change in landing.changes {
            let tracked = self.tracked(old, &change.path)?;
            let staged = self.staged(&change.path)?;
            if staged != tracked && !(tracked.is_none() && staged.is_none()) {
                return Err(Error::Staged { path: change.path.clone() });
            }
            let mode = tracked.map_or_else(|| "100644".to_owned(), |(mode, _)| mode);
            let committed = match &change.committed {
                Some(bytes) => Some((mode, self.write_blob(bytes)?)),
                None => None,
            };
            let blob = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|b| self.write_blob(b)).transpose();
            journal.files.push(JournalFile {
                path: change.path.clone(),
                before: blob(&change.based_on)?,
                after: blob(&change.on_disk)?,
                committed,
            });
        }
        journal.commit = self.commit(landing, &journal.files)?;
        for change in landing.changes {
            if read_file(&self.fleet.join(&change.path))? != change.based_on {
                return Err(Error::HandEdits { path: change.path.clone() });
            }
        }
        let json = serde_json::to_vec(&journal).map_err(|_| Error::Answer("the journal"))?;
        fs::write_atomic(self.git_dir.join(JOURNAL), &json)?;
        let subject = landing.message.lines().next().unwrap_or_default();
        let reason = format!("regrow: {subject}");
        // The empty old value means: it must not exist.
        let moved =
            self.call(&["update-ref", "-m", &reason, &branch, &journal.commit, old.unwrap_or_default()]).output()?;
        if !moved.status.success() {
            fs::remove_file(self.git_dir.join(JOURNAL))?;
            let moved_away = self.head()?.commit.as_deref() != old;
            return Err(if moved_away {
                Error::Moved
            } else {
                self.call(&["update-ref", &branch]).failed(&moved).into()
            });
        }
        // From here on it has landed: whatever fails now is finished by the next opening.
        let _ = recover_locked(self);
        Ok(Landed { revision: journal.commit })
    }

    /// Makes the commit object and what it needs; nothing refers to it yet.
    fn commit(&self, landing: &Landing<'_>, files: &[JournalFile]) -> Result<String> {
        let index = fs::temporary_beside(&self.git_dir.join(INDEX));
        let _guard = RemoveOnDrop(index.clone());
        let with_index = |args: &[&str]| self.call(args).env("GIT_INDEX_FILE", &index);
        let old = landing.head.commit.as_deref();
        match old {
            Some(old) => with_index(&["read-tree", old]).run()?,
            None => with_index(&["read-tree", "--empty"]).run()?,
        };
        let mut lines = Vec::new();
        for file in files {
            let full = self.full(&file.path);
            let line = match &file.committed {
                Some((mode, id)) => format!("{mode} {id}\t{full}\0"),
                None => format!("0 {}\t{full}\0", "0".repeat(40)),
            };
            lines.extend_from_slice(line.as_bytes());
        }
        with_index(&["update-index", "-z", "--index-info"]).input(lines).run()?;
        let tree = String::from_utf8_lossy(&with_index(&["write-tree"]).run()?.stdout).trim().to_owned();
        if let Some(old) = old
            && self.git.text(["rev-parse", "--verify", &format!("{old}^{{tree}}")])? == tree
        {
            return Err(Error::Nothing);
        }
        let who = identity::of(&self.git)?;
        let at = format!("@{} +0000", landing.at.as_second());
        let mut args = vec!["commit-tree", "--no-gpg-sign", &tree];
        if let Some(old) = old {
            args.extend(["-p", old]);
        }
        let mut call = self.call(&args).input(format!("{}\n", landing.message.trim_end()));
        for role in ["AUTHOR", "COMMITTER"] {
            call = call
                .env(format!("GIT_{role}_NAME"), &who.name)
                .env(format!("GIT_{role}_EMAIL"), &who.email)
                .env(format!("GIT_{role}_DATE"), &at);
        }
        Ok(String::from_utf8_lossy(&call.run()?.stdout).trim().to_owned())
    }

    fn write_blob(&self, bytes: &[u8]) -> Result<String> {
        let output = self.call(&["hash-object", "-w", "--no-filters", "--stdin"]).input(bytes).run()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn read_blob(&self, id: &str) -> Result<Vec<u8>> {
        Ok(self.call(&["cat-file", "blob", id]).run()?.stdout)
    }

    /// Mode and object id of a path in a commit.
    fn tracked(&self, commit: Option<&str>, path: &str) -> Result<Option<(String, String)>> {
        let Some(commit) = commit else { return Ok(None) };
        let output = self
            .call(&["ls-tree", "-z", "--full-tree", commit, "--", &format!(":(literal){}", self.full(path))])
            .run()?;
        Ok(parse_entry(&output.stdout, 2))
    }

    /// Mode and object id of a path in the person's index.
    fn staged(&self, path: &str) -> Result<Option<(String, String)>> {
        let spec = format!(":(top,literal){}", self.full(path));
        let output = self.call(&["ls-files", "-z", "--stage", "--", &spec]).run()?;
        Ok(parse_entry(&output.stdout, 1))
    }

    fn refuse_operations(&self) -> Result<()> {
        let marks = [
            ("MERGE_HEAD", "merge"),
            ("rebase-merge", "rebase"),
            ("rebase-apply", "rebase"),
            ("CHERRY_PICK_HEAD", "cherry-pick"),
            ("REVERT_HEAD", "revert"),
        ];
        match marks.iter().find(|(mark, _)| self.git_dir.join(mark).exists()) {
            Some((_, operation)) => Err(Error::UnderWay(operation)),
            None => Ok(()),
        }
    }
}

/// Parses `MODE … ID…\tPATH\0` with the id in field number `id`.
fn parse_entry(output: &[u8], id: usize) -> Option<(String, String)> {
    let line = String::from_utf8_lossy(output.split(|b| *b == 0).next()?).into_owned();
    let (fields, _) = line.split_once('\t')?;
    let fields: Vec<&str> = fields.split(' ').collect();
    Some(((*fields.first()?).to_owned(), (*fields.get(id)?).to_owned()))
}

/// A regular file's bytes; anything else there counts as an edit that must not be overwritten.
fn read_file(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => Ok(fs::read_optional(path)?),
        Ok(_) => Ok(Some(b"\0not a regular file\0".to_vec())),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(fs::Error::new("read", path, e).into()),
    }
}

/// Finishes or forgets a landing that was interrupted. Cheap if there is none; does nothing while another process
/// lands.
pub(crate) fn recover(repo: &Repo) -> Result<()> {
    if !repo.git_dir.join(JOURNAL).exists() {
        return Ok(());
    }
    match FileLock::exclusive(repo.git_dir.join(LOCK), Wait::No)? {
        Some(_lock) => recover_locked(repo),
        None => Ok(()),
    }
}

fn recover_locked(repo: &Repo) -> Result<()> {
    let path = repo.git_dir.join(JOURNAL);
    let Some(json) = fs::read_optional(&path)? else { return Ok(()) };
    if let Ok(journal) = serde_json::from_slice::<Journal>(&json) {
        let head = repo.head()?;
        // If the person has switched branches or committed since, git has already brought the files along.
        if head.branch.as_ref() == Some(&journal.branch) && head.commit.as_ref() == Some(&journal.commit) {
            follow(repo, &journal)?;
        }
    }
    Ok(fs::remove_file(&path)?)
}

/// Brings the touched files and their index entries along. Doing it twice does no harm.
fn follow(repo: &Repo, journal: &Journal) -> Result<()> {
    for file in &journal.files {
        let path = repo.fleet.join(&file.path);
        if let (Some(dir), Some(name)) = (path.parent(), path.file_name()) {
            sweep(dir, &name.to_string_lossy())?;
        }
        let now = read_file(&path)?;
        let before = file.before.as_deref().map(|id| repo.read_blob(id)).transpose()?;
        if now == before && file.before != file.after {
            match file.after.as_deref() {
                Some(id) => {
                    if let Some(dir) = path.parent() {
                        fs::create_dir_all(dir)?;
                    }
                    fs::write_atomic_with_mode(&path, &repo.read_blob(id)?, mode_on_disk(&path, file))?;
                    give_to_owner(repo, &path);
                }
                None => fs::remove_file(&path)?,
            }
        }
        let full = repo.full(&file.path);
        let line = match &file.committed {
            Some((mode, id)) => format!("{mode} {id}\t{full}\0"),
            None => format!("0 {}\t{full}\0", "0".repeat(40)),
        };
        repo.call(&["update-index", "-z", "--index-info"]).input(line).run()?;
    }
    // Records the files' times, so that `git status` need not read them. It may say "needs update": fine.
    repo.call(&["update-index", "-q", "--refresh"]).output()?;
    Ok(())
}

/// Removes what killed writers of `name` left beside it. Only the holder of the lock writes there.
fn sweep(dir: &Path, name: &str) -> Result<()> {
    let prefix = format!(".{name}.tmp-");
    for left in fs::list(dir)? {
        if left.to_string_lossy().starts_with(&prefix) {
            fs::remove_file(dir.join(left))?;
        }
    }
    Ok(())
}

fn mode_on_disk(path: &Path, file: &JournalFile) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::metadata(path) {
        Ok(meta) => meta.permissions().mode() & 0o777,
        Err(_) if file.committed.as_ref().is_some_and(|(mode, _)| mode == "100755") => 0o755,
        Err(_) => 0o644,
    }
}

/// Root working in somebody's clone leaves no root-owned files behind there.
fn give_to_owner(repo: &Repo, path: &Path) {
    use std::os::unix::fs::{MetadataExt, chown};
    if let Ok(owner) = std::fs::metadata(&repo.fleet)
        && rustix::process::geteuid().is_root()
    {
        let _ = chown(path, Some(owner.uid()), Some(owner.gid()));
    }
}

struct RemoveOnDrop(PathBuf);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        let mut lock = self.0.as_os_str().to_owned();
        lock.push(".lock");
        let _ = fs::remove_file(PathBuf::from(lock));
    }
}
