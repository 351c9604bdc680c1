//! Landing a changeset: one commit, by compare-and-swap, with the work tree following.
//!
//! The commit is made from objects alone; the person's index and files are not involved. Then:
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

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use regrow_host::fs;
use regrow_host::lock::{FileLock, Wait};
use serde::{Deserialize, Serialize};

use crate::drafts;
use crate::error::{Error, Result};
use crate::identity::{self, Identity};
use crate::import::{Import, NewCommit};
use crate::locks::{self, IndexLock};
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
    /// Who it is by, if not by whom git's configuration says (who then is the committer).
    pub author: Option<&'a str>,
    /// The commit that this merges, as the second parent. Then it may also change nothing.
    pub merges: Option<&'a str>,
    /// The draft that this lands, with its tip: its ref goes in the same moment.
    pub draft: Option<(&'a str, &'a str)>,
}

impl<'a> Landing<'a> {
    /// A changeset by whom git's configuration says, that neither merges nor lands a draft.
    pub fn new(changes: &'a [Change], message: &'a str, head: &'a Head, at: Timestamp) -> Landing<'a> {
        Landing { changes, message, head, at, author: None, merges: None, draft: None }
    }
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
    /// The draft that lands, with its tip. Git moves one ref after the other: killed in between, it leaves the draft.
    #[serde(default)]
    draft: Option<(String, String)>,
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
/// The copy of the index that is worked on.
const COPY: &str = "regrow-index";

impl Repo {
    /// Lands one changeset. See the module for its guarantees.
    ///
    /// # Errors
    /// [`Error::Moved`] if HEAD is not where [`Landing::head`] says; [`Error::HandEdits`], [`Error::Staged`],
    /// [`Error::Detached`], [`Error::UnderWay`], [`Error::Nothing`]: then nothing has happened.
    pub fn land(&self, landing: &Landing<'_>) -> Result<Landed> {
        self.land_as(landing, None)
    }

    /// Moves the branch forward to a commit that is there already, with the same guarantees: `landing` has the changes
    /// of the files on the way.
    ///
    /// # Errors
    /// As [`Repo::land`].
    pub fn forward(&self, landing: &Landing<'_>, to: &str) -> Result<Landed> {
        self.land_as(landing, Some(to))
    }

    fn land_as(&self, landing: &Landing<'_>, made: Option<&str>) -> Result<Landed> {
        let _lock = FileLock::exclusive(self.git_dir.join(LOCK), Wait::UntilFree)?;
        recover_locked(self)?;
        self.refuse_operations()?;
        let branch = landing.head.branch.clone().ok_or(Error::Detached)?;
        if self.head()? != *landing.head {
            return Err(Error::Moved);
        }
        let mut journal = Journal {
            branch: branch.clone(),
            commit: String::new(),
            files: Vec::new(),
            draft: landing.draft.map(|(id, tip)| (id.to_owned(), tip.to_owned())),
        };
        let old = landing.head.commit.as_deref();
        let staged = self.staged(landing.changes)?;
        let mut import = Import::start(self)?;
        let mut known = BTreeMap::new();
        for change in landing.changes {
            let full = self.place(&change.path)?;
            let tracked = match old {
                Some(old) => import.find(old, &full)?,
                None => None,
            };
            if staged.get(&full) != tracked.as_ref() {
                return Err(Error::Staged { path: change.path.clone() });
            }
            // A new file comes with its mode from another clone, or from the draft.
            let from = made.or(landing.merges).or(landing.draft.map(|(_, tip)| tip));
            let found = match (tracked, from) {
                (None, Some(other)) => import.find(other, &full)?.filter(|(mode, _)| mode == "100755"),
                (tracked, _) => tracked,
            };
            let mode = found.map_or_else(|| "100644".to_owned(), |(mode, _)| mode);
            let mut blob = |bytes: &Option<Vec<u8>>| -> Result<Option<String>> {
                let Some(bytes) = bytes else { return Ok(None) };
                let id = import.blob(bytes)?;
                known.insert(id.clone(), bytes.clone());
                Ok(Some(id))
            };
            journal.files.push(JournalFile {
                path: change.path.clone(),
                before: blob(&change.based_on)?,
                after: blob(&change.on_disk)?,
                committed: blob(&change.committed)?.map(|id| (mode, id)),
            });
        }
        journal.commit = match made {
            Some(made) => {
                import.finish()?;
                made.to_owned()
            }
            None => self.make_commit(import, landing, &journal.files)?,
        };
        for change in landing.changes {
            if read_file(&self.fleet.join(&change.path))? != change.based_on {
                return Err(Error::HandEdits { path: change.path.clone() });
            }
        }
        let json = serde_json::to_vec(&journal).map_err(|_| Error::Answer("the journal"))?;
        fs::write_atomic(self.git_dir.join(JOURNAL), &json)?;
        let subject = landing.message.lines().next().unwrap_or_default();
        // All zeros as the old value mean: it must not exist.
        let none = "0".repeat(journal.commit.len());
        let mut moves = vec![format!("update {branch} {} {}", journal.commit, old.unwrap_or(&none))];
        if let Some((id, tip)) = landing.draft {
            moves.push(drafts::landed(id, tip));
        }
        if let Some(failed) = self.swap_refs(&moves, &format!("regrow: {subject}"))? {
            fs::remove_file(self.git_dir.join(JOURNAL))?;
            if self.head()?.commit.as_deref() != old {
                return Err(Error::Moved);
            }
            if let Some((id, tip)) = landing.draft
                && self.draft(id)?.tip != tip
            {
                return Err(Error::DraftMoved(id.to_owned()));
            }
            return Err(Error::of_git(&self.call(&["update-ref", &branch]), &failed, &self.git_dir));
        }
        // From here on it has landed: whatever fails now is finished by the next opening.
        let _ = follow(self, &journal, &known).and_then(|()| Ok(fs::remove_file(self.git_dir.join(JOURNAL))?));
        Ok(Landed { revision: journal.commit })
    }

    /// Makes the commit object; nothing refers to it yet.
    fn make_commit(&self, mut import: Import<'_>, landing: &Landing<'_>, files: &[JournalFile]) -> Result<String> {
        let old = landing.head.commit.as_deref();
        let committer = identity::of(&self.git)?;
        let author = match landing.author {
            Some(name) => Identity { name: identity::clean(name), email: committer.email.clone() },
            None => committer.clone(),
        };
        let files: Vec<_> = files.iter().map(|f| (self.full(&f.path), f.committed.clone())).collect();
        let before = old.map(|old| import.find_root(old)).transpose()?;
        let (commit, tree) = import.commit(&NewCommit {
            author: &author,
            committer: &committer,
            authored: landing.at.as_second(),
            committed: landing.at.as_second(),
            message: landing.message,
            parent: old,
            merges: landing.merges,
            files_of: old,
            files: &files,
        })?;
        if before == Some(tree) && landing.merges.is_none() {
            return Err(Error::Nothing);
        }
        import.finish()?;
        Ok(commit)
    }

    fn read_blob(&self, id: &str) -> Result<Vec<u8>> {
        Ok(self.call(&["cat-file", "blob", id]).run()?.stdout)
    }

    /// Modes and object ids, by full path, of what the person's index has at the paths of these changes.
    fn staged(&self, changes: &[Change]) -> Result<BTreeMap<String, (String, String)>> {
        let mut args: Vec<String> = ["ls-files", "-z", "--stage", "--full-name", "--"].map(str::to_owned).into();
        args.extend(changes.iter().map(|c| format!(":(top,literal){}", self.full(&c.path))));
        let output = self.git.call(&args).run()?;
        let mut staged = BTreeMap::new();
        for line in output.stdout.split(|b| *b == 0).filter(|l| !l.is_empty()) {
            let line = String::from_utf8_lossy(line);
            let Some((fields, path)) = line.split_once('\t') else { continue };
            let mut fields = fields.split(' ');
            if let (Some(mode), Some(id)) = (fields.next(), fields.next()) {
                staged.insert(path.to_owned(), (mode.to_owned(), id.to_owned()));
            }
        }
        Ok(staged)
    }

    /// Refuses what [`Repo::land`] would refuse before it looks at the change.
    ///
    /// # Errors
    /// [`Error::Detached`], [`Error::UnderWay`].
    pub fn check_can_land(&self, head: &Head) -> Result<()> {
        // A rebase that is under way is the reason why HEAD is on no branch.
        self.refuse_operations()?;
        head.branch.as_ref().map(drop).ok_or(Error::Detached)
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
        let draft = journal.draft.as_ref().map(|(id, _)| drafts::name_of(id));
        settle_refs(repo, [Some(&*journal.branch), draft.as_deref()].into_iter().flatten())?;
        let head = repo.head()?;
        // If the person has switched branches or committed since, git has already brought the files along.
        if head.branch.as_ref() == Some(&journal.branch) && head.commit.as_ref() == Some(&journal.commit) {
            follow(repo, &journal, &BTreeMap::new())?;
        }
        if let Some((id, tip)) = &journal.draft
            && repo.is_ancestor(&journal.commit, &journal.branch)?
            && repo.resolve(&drafts::name_of(id)).is_ok_and(|at| at == *tip)
            && let Some(failed) = repo.swap_refs(&[drafts::landed(id, tip)], "regrow: finish a landing")?
        {
            return Err(Error::of_git(&repo.call(&["update-ref"]), &failed, &repo.git_dir));
        }
    }
    Ok(fs::remove_file(&path)?)
}

/// Waits while a git that outlived its caller moves these refs, and takes away what a killed one left.
fn settle_refs<'n>(repo: &Repo, refs: impl Iterator<Item = &'n str>) -> Result<()> {
    for name in refs.chain(["HEAD", "packed-refs"]) {
        let lock = repo.git.text(["rev-parse", "--git-path", &format!("{name}.lock")])?;
        locks::settle(&repo.fleet.join(lock))?;
    }
    Ok(())
}

/// Brings the touched files and their index entries along. Doing it twice does no harm. Blobs that are not `known` are
/// read.
fn follow(repo: &Repo, journal: &Journal, known: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    let blob = |id: &String| known.get(id).map_or_else(|| repo.read_blob(id), |bytes| Ok(bytes.clone()));
    let mut lines = String::new();
    for file in &journal.files {
        let path = repo.fleet.join(&file.path);
        if let (Some(dir), Some(name)) = (path.parent(), path.file_name()) {
            sweep(dir, &name.to_string_lossy())?;
        }
        let now = read_file(&path)?;
        let before = file.before.as_ref().map(blob).transpose()?;
        if now == before && file.before != file.after {
            match &file.after {
                Some(id) => {
                    if let Some(dir) = path.parent() {
                        fs::create_dir_all(dir)?;
                    }
                    fs::write_atomic_with_mode(&path, &blob(id)?, mode_on_disk(&path, file))?;
                    give_to_owner(repo, &path);
                }
                None => fs::remove_file(&path)?,
            }
        }
        let full = repo.full(&file.path);
        match &file.committed {
            Some((mode, id)) => lines.push_str(&format!("{mode} {id}\t{full}\0")),
            None => lines.push_str(&format!("0 {}\t{full}\0", "0".repeat(journal.commit.len()))),
        }
    }
    update_index(repo, lines)
}

/// Brings entries of the person's index along: in a copy, under a lock of ours that can be told from anybody else's.
fn update_index(repo: &Repo, lines: String) -> Result<()> {
    sweep(&repo.git_dir, COPY)?;
    let _lock = IndexLock::take(&repo.git_dir)?;
    let index = repo.git_dir.join("index");
    let copy = fs::temporary_beside(&repo.git_dir.join(COPY));
    let failed = |e| fs::Error::new("write", &index, e);
    if index.exists() {
        std::fs::copy(&index, &copy).map_err(failed)?;
    }
    let with_copy = |args: &[&str]| repo.call(args).env("GIT_INDEX_FILE", &copy);
    with_copy(&["update-index", "-z", "--index-info"]).input(lines).run()?;
    // Records the files' times, so that `git status` need not read them. It may say "needs update": fine.
    with_copy(&["update-index", "-q", "--refresh"]).output()?;
    give_to_owner(repo, &copy);
    // Renamed and not written anew: git compares the files' times with that of the index.
    let renamed =
        std::fs::File::open(&copy).and_then(|file| file.sync_all()).and_then(|()| std::fs::rename(&copy, &index));
    Ok(renamed.map_err(failed)?)
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
