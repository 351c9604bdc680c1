//! Drafts: changes that are not history yet.
//!
//! A draft is a ref `refs/regrow/drafts/<id>` at one commit whose only parent is the changeset that the draft is based
//! on. Its tree is the text with the draft's changes, its message what the draft is called, followed by one line of data
//! about it. Changing a draft makes another such commit and moves the ref by compare-and-swap: a draft is always wholly
//! before or wholly after a change, whoever is killed when. The work tree and the index are not involved.
//!
//! A discarded draft moves to `refs/regrow/discarded/<id>`, from where it can be taken back for [`KEPT`]. Ids are never
//! used twice while either of the two refs is there.
//!
//! What a draft was before a change stays, as `refs/regrow/kept/<commit>`, so that the change can be undone; see
//! [`Repo::forget_kept`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use regrow_host::program::{self, Output};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::identity::{self, Identity};
use crate::import::{Import, NewCommit};
use crate::locks;
use crate::refs::is_full_id;
use crate::repo::Repo;
use crate::{PathChange, log};

/// How long a discarded draft can be taken back.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// A draft as it is in git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DraftRef {
    /// Its id: `d1`.
    pub id: String,
    /// Its commit: a revision as any other.
    pub tip: String,
    /// The changeset it is based on.
    pub base: String,
    /// What it is called.
    pub title: String,
    /// Who made it.
    pub owner: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed (or discarded).
    pub changed: Timestamp,
    /// What else is kept with it, as its users wrote it.
    pub data: serde_json::Value,
    /// The fleet's files that differ from the base, sorted.
    pub paths: Vec<PathChange>,
}

impl DraftRef {
    /// A change of this draft as it is: other data, and these files over its own.
    pub fn change<'a>(
        &'a self,
        at: Timestamp,
        data: &'a serde_json::Value,
        files: &'a BTreeMap<String, Option<Vec<u8>>>,
    ) -> DraftChange<'a> {
        DraftChange {
            id: &self.id,
            expected: Some(&self.tip),
            base: &self.base,
            files_of: &self.tip,
            title: &self.title,
            owner: &self.owner,
            created: self.created,
            at,
            data,
            files,
        }
    }
}

/// What a draft is to be after a change.
#[derive(Debug, Clone)]
pub struct DraftChange<'a> {
    /// Its id.
    pub id: &'a str,
    /// The tip that the change was computed from; `None` makes a new draft.
    pub expected: Option<&'a str>,
    /// The changeset it is based on.
    pub base: &'a str,
    /// The commit that the files not named in `files` are taken from.
    pub files_of: &'a str,
    /// What it is called; one line.
    pub title: &'a str,
    /// Who made it.
    pub owner: &'a str,
    /// When it was made.
    pub created: Timestamp,
    /// When this change is made.
    pub at: Timestamp,
    /// What else is kept with it.
    pub data: &'a serde_json::Value,
    /// Fleet paths with their bytes; `None` removes the file.
    pub files: &'a BTreeMap<String, Option<Vec<u8>>>,
}

const DRAFTS: &str = "refs/regrow/drafts/";
const DISCARDED: &str = "refs/regrow/discarded/";
/// Earlier tips of drafts.
const KEPT_TIPS: &str = "refs/regrow/kept/";
/// The line of the message that holds the data.
const DATA: &str = "Regrow-Draft: ";

/// The line of data.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Data {
    pub(crate) owner: String,
    pub(crate) created: Timestamp,
    /// The commit's parent, as it was written: another one there is a person's doing.
    #[serde(default)]
    base: Option<String>,
    #[serde(default)]
    pub(crate) data: serde_json::Value,
}

impl Data {
    /// What a commit's message tells.
    pub(crate) fn in_message(message: &str) -> Option<Data> {
        let json = message.lines().rev().find_map(|line| line.strip_prefix(DATA))?;
        serde_json::from_str(json).ok()
    }
}

/// Whether a text can be a draft's id: letters, digits, `-` and `_`, at most 40, and not the name of the edits on disk.
pub fn is_draft_id(id: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !id.is_empty() && id.len() <= 40 && id.bytes().all(good) && !id.starts_with('-') && id != "disk"
}

impl Repo {
    /// All drafts, the one changed last first.
    pub fn drafts(&self) -> Result<Vec<DraftRef>> {
        let mut drafts = self.draft_refs(DRAFTS)?;
        self.add_paths(&mut drafts)?;
        drafts.sort_by(|a, b| b.changed.cmp(&a.changed).then_with(|| a.id.cmp(&b.id)));
        Ok(drafts)
    }

    /// The discarded drafts that can still be taken back, the last one first.
    pub fn discarded_drafts(&self) -> Result<Vec<DraftRef>> {
        let mut drafts = self.draft_refs(DISCARDED)?;
        drafts.sort_by(|a, b| b.changed.cmp(&a.changed).then_with(|| a.id.cmp(&b.id)));
        Ok(drafts)
    }

    /// One draft.
    ///
    /// # Errors
    /// [`Error::NoDraft`].
    pub fn draft(&self, id: &str) -> Result<DraftRef> {
        let none = || Error::NoDraft(id.to_owned());
        if !is_draft_id(id) {
            return Err(none());
        }
        let mut drafts = self.draft_refs(&format!("{DRAFTS}{id}"))?;
        self.add_paths(&mut drafts)?;
        drafts.pop().ok_or_else(none)
    }

    /// An id that no draft has: `d1`, `d2`…
    pub fn free_draft_id(&self) -> Result<String> {
        let output = self.call(&["for-each-ref", "--format=%(refname)", DRAFTS, DISCARDED]).run()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let taken: BTreeSet<&str> = text.lines().filter_map(|name| name.rsplit('/').next()).collect();
        let mut n = 1usize;
        while taken.contains(&*format!("d{n}")) {
            n += 1;
        }
        Ok(format!("d{n}"))
    }

    /// Makes or changes a draft; returns its tip. Nothing else is touched.
    ///
    /// # Errors
    /// [`Error::DraftMoved`] if the draft is not where [`DraftChange::expected`] says.
    pub fn write_draft(&self, change: &DraftChange<'_>) -> Result<String> {
        self.write_draft_like(change, &[])
    }

    /// [`Repo::write_draft`]; files that are new in it are executable if they are in one of these commits.
    pub fn write_draft_like(&self, change: &DraftChange<'_>, like: &[&str]) -> Result<String> {
        if !is_draft_id(change.id) {
            return Err(Error::NoDraft(change.id.to_owned()));
        }
        let mut import = Import::start(self)?;
        let mut files = Vec::new();
        for (path, bytes) in change.files {
            let full = self.place(path)?;
            let entry = match bytes {
                Some(bytes) => {
                    let mut found = import.find(change.files_of, &full)?;
                    for other in change.expected.iter().chain(like) {
                        found = if found.is_some() { found } else { import.find(other, &full)? };
                    }
                    let mode = found.map(|(mode, _)| mode).filter(|mode| mode == "100755");
                    let mode = mode.unwrap_or_else(|| "100644".to_owned());
                    Some((mode, import.blob(bytes)?))
                }
                None => None,
            };
            files.push((full, entry));
        }
        let tip = make(import, change, &files)?;
        let none = "0".repeat(tip.len());
        let old = change.expected.unwrap_or(&none);
        let mut lines = vec![format!("update {DRAFTS}{} {tip} {old}", change.id)];
        lines.extend(change.expected.map(keep));
        self.swap(&lines, change.id)?;
        Ok(tip)
    }

    /// What a draft was before a change, by its tip of then; `None` if it was forgotten since.
    pub fn kept_draft(&self, tip: &str) -> Result<Option<DraftRef>> {
        Ok(if is_full_id(tip) { self.draft_refs(&format!("{KEPT_TIPS}{tip}"))?.pop() } else { None })
    }

    /// Forgets earlier tips of drafts that were made longer ago than [`KEPT`]; says how many.
    pub fn forget_kept(&self, at: Timestamp) -> Result<usize> {
        let is_old = |d: &DraftRef| at.as_second() - d.changed.as_second() > KEPT.as_secs() as i64;
        let old: Vec<DraftRef> = self.draft_refs(KEPT_TIPS)?.into_iter().filter(is_old).collect();
        let lines: Vec<String> = old.iter().map(|d| format!("delete {KEPT_TIPS}{} {}", d.tip, d.tip)).collect();
        if !lines.is_empty() && self.swap_refs(&lines, "regrow: forget what drafts were")?.is_some() {
            // Somebody else is doing the same.
            return Ok(0);
        }
        Ok(old.len())
    }

    /// Sets a draft aside; it can be taken back for [`KEPT`]. Those that were set aside longer ago are forgotten.
    ///
    /// # Errors
    /// [`Error::NoDraft`], [`Error::DraftMoved`].
    pub fn discard_draft(&self, id: &str, at: Timestamp) -> Result<DraftRef> {
        let draft = self.draft(id)?;
        let aside = self.again(&draft, at)?;
        let mut lines = vec![
            format!("delete {DRAFTS}{id} {}", draft.tip),
            format!("update {DISCARDED}{id} {aside}"),
            keep(&draft.tip),
        ];
        for old in self.draft_refs(DISCARDED)? {
            let age = at.as_second() - old.changed.as_second();
            if old.id != id && age > KEPT.as_secs() as i64 {
                lines.push(format!("delete {DISCARDED}{} {}", old.id, old.tip));
            }
        }
        self.swap(&lines, id)?;
        Ok(draft)
    }

    /// Takes a discarded draft back.
    ///
    /// # Errors
    /// [`Error::NoDraft`] if there is none of that id, or it was forgotten.
    pub fn restore_draft(&self, id: &str, at: Timestamp) -> Result<()> {
        let none = || Error::NoDraft(id.to_owned());
        if !is_draft_id(id) {
            return Err(none());
        }
        let draft = self.draft_refs(&format!("{DISCARDED}{id}"))?.pop().ok_or_else(none)?;
        let back = self.again(&draft, at)?;
        let free = "0".repeat(back.len());
        let lines = [format!("delete {DISCARDED}{id} {}", draft.tip), format!("update {DRAFTS}{id} {back} {free}")];
        self.swap(&lines, id)
    }

    /// The same draft with another time.
    fn again(&self, draft: &DraftRef, at: Timestamp) -> Result<String> {
        let files = BTreeMap::new();
        let change = DraftChange { expected: None, ..draft.change(at, &draft.data, &files) };
        make(Import::start(self)?, &change, &[])
    }

    /// Moves refs, all or none.
    fn swap(&self, lines: &[String], id: &str) -> Result<()> {
        let moved = self.swap_refs(lines, "regrow: draft")?;
        match moved {
            None => Ok(()),
            Some(failed) => {
                let told = Error::of_git(&self.call(&["update-ref", "--stdin"]), &failed, &self.git_dir);
                let raced = matches!(told, Error::Program(_)) && failed.stderr.contains("cannot lock ref");
                Err(match raced {
                    false => told,
                    true if self.draft_refs(&format!("{DRAFTS}{id}"))?.is_empty() => Error::NoDraft(id.to_owned()),
                    true => Error::DraftMoved(id.to_owned()),
                })
            }
        }
    }

    /// Moves refs by one transaction; what git said if it would not.
    ///
    /// Git is told to commit only once it holds the locks of all refs: if we are killed before, it gives up by itself;
    /// if after, whoever sees the lock of a ref knows that it is just being moved.
    ///
    /// Locks that others hold are waited for; those that a killed git left are removed.
    pub(crate) fn swap_refs(&self, lines: &[String], reason: &str) -> Result<Option<Output>> {
        // No more locks than these are taken: one for each ref, HEAD's, and that of the packed ones.
        for _ in 0..lines.len() + 2 {
            let failed = self.try_to_swap_refs(lines, reason)?;
            match failed.as_ref().and_then(|failed| locks::in_the_way(&failed.stderr)) {
                Some(lock) => locks::settle(&self.fleet.join(lock))?,
                None => return Ok(failed),
            }
        }
        self.try_to_swap_refs(lines, reason)
    }

    fn try_to_swap_refs(&self, lines: &[String], reason: &str) -> Result<Option<Output>> {
        let program = self.call(&["update-ref", "-m", &one_line(reason), "--stdin"]);
        let broken = |source| program::Error::Run { program: "git".to_owned(), source };
        let mut command = program.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| program.start_error(e))?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Answer("git update-ref"));
        };
        // A git that ends early says why by its exit status.
        let _ = stdin.write_all(format!("start\n{}\nprepare\n", lines.join("\n")).as_bytes());
        let mut stdout = BufReader::new(stdout);
        let ready = stdout.by_ref().lines().map_while(|line| line.ok()).any(|line| line == "prepare: ok");
        if ready {
            let _ = stdin.write_all(b"commit\n");
        }
        drop(stdin);
        // It still says that it has committed: somebody must be there to hear it.
        let _ = stdout.read_to_end(&mut Vec::new());
        let output = child.wait_with_output().map_err(broken)?;
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let done = ready && output.status.success();
        Ok((!done).then_some(Output { status: output.status, stdout: Vec::new(), stderr }))
    }

    fn draft_refs(&self, below: &str) -> Result<Vec<DraftRef>> {
        if !self.may_have_refs(below) {
            return Ok(Vec::new());
        }
        let format = "--format=%(refname)%00%(objectname)%00%(parent)%00%(committerdate:unix)%00%(contents)%00";
        let output = self.call(&["for-each-ref", format, below]).run()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let fields: Vec<&str> = text.split('\0').collect();
        let mut drafts = Vec::new();
        for f in fields.chunks_exact(5) {
            let name = f[0].trim_start_matches('\n');
            match parse(name, f[1], f[2], f[3], f[4]) {
                Some(draft) => drafts.push(draft),
                // A person worked on it with git.
                None => drafts.extend(self.adopted(name, f[1])?),
            }
        }
        Ok(drafts)
    }

    /// Fills in what differs from the base, for all drafts at once.
    fn add_paths(&self, drafts: &mut [DraftRef]) -> Result<()> {
        if drafts.is_empty() {
            return Ok(());
        }
        let input: String = drafts.iter().map(|d| format!("{} {}\n", d.tip, d.base)).collect();
        let output =
            self.call(&["diff-tree", "--stdin", "-r", "-z", "--name-status", "--no-renames"]).input(input).run()?;
        let mut tokens = output.stdout.split(|b| *b == 0).map(|t| String::from_utf8_lossy(t).into_owned());
        let mut current: Option<String> = None;
        while let Some(token) = tokens.next() {
            let token = token.trim_start_matches('\n');
            match token {
                "" => {}
                "A" | "D" | "M" | "T" => {
                    let path = tokens.next().unwrap_or_default();
                    let draft = drafts.iter_mut().find(|d| Some(&d.tip) == current.as_ref());
                    if let (Some(draft), Some(path)) = (draft, path.strip_prefix(&self.prefix)) {
                        draft.paths.push(PathChange { path: path.to_owned(), change: log::change_word(token) });
                    }
                }
                id => current = Some(id.split(' ').next().unwrap_or(id).to_owned()),
            }
        }
        for draft in drafts {
            draft.paths.sort();
        }
        Ok(())
    }

    /// A fleet path as the repository names it, if a file can be there.
    pub(crate) fn place(&self, path: &str) -> Result<String> {
        let bad = |part: &str| {
            part.is_empty() || part == "." || part == ".." || part.eq_ignore_ascii_case(".git") || part.contains('\0')
        };
        if path.split('/').any(bad) { Err(Error::BadPath(path.to_owned())) } else { Ok(self.full(path)) }
    }
}

/// What keeps a tip that a draft had.
fn keep(tip: &str) -> String {
    format!("update {KEPT_TIPS}{tip} {tip}")
}

/// The ref of a draft.
pub(crate) fn name_of(id: &str) -> String {
    format!("{DRAFTS}{id}")
}

/// What removes the ref of a draft that has landed, for [`Repo::swap_refs`].
pub(crate) fn landed(id: &str, tip: &str) -> String {
    format!("delete {DRAFTS}{id} {tip}")
}

/// A file as fast-import takes it: full path, and mode and blob unless it is removed.
type ImportFile = (String, Option<(String, String)>);

/// Makes the commit of a draft; nothing refers to it yet.
fn make(mut import: Import<'_>, change: &DraftChange<'_>, files: &[ImportFile]) -> Result<String> {
    let data = Data {
        owner: change.owner.to_owned(),
        created: change.created,
        base: Some(change.base.to_owned()),
        data: change.data.clone(),
    };
    let data = serde_json::to_string(&data).map_err(|_| Error::Answer("the draft's data"))?;
    let who = Identity { name: identity::clean(change.owner), email: "draft@regrow".to_owned() };
    let (tip, _) = import.commit(&NewCommit {
        author: &who,
        committer: &who,
        authored: change.created.as_second(),
        committed: change.at.as_second(),
        message: &format!("{}\n\n{DATA}{data}", one_line(change.title)),
        parent: Some(change.base),
        merges: None,
        files_of: Some(change.files_of),
        files,
    })?;
    import.finish()?;
    Ok(tip)
}

/// A draft's id in the name of its ref.
pub(crate) fn id_of(name: &str) -> Option<&str> {
    [DRAFTS, DISCARDED, KEPT_TIPS].iter().find_map(|below| name.strip_prefix(below))
}

fn parse(name: &str, tip: &str, parent: &str, changed: &str, message: &str) -> Option<DraftRef> {
    let id = id_of(name)?;
    let data = Data::in_message(message)?;
    // One parent, and the one that it was written with.
    let base = Some(parent).filter(|p| !p.is_empty() && !p.contains(' '))?;
    if data.base.as_ref().is_some_and(|written| written != base) {
        return None;
    }
    Some(DraftRef {
        id: id.to_owned(),
        tip: tip.to_owned(),
        base: base.to_owned(),
        title: message.lines().next().unwrap_or_default().trim().to_owned(),
        owner: data.owner,
        created: data.created,
        changed: Timestamp::from_second(changed.parse().ok()?).ok()?,
        data: data.data,
        paths: Vec::new(),
    })
}

fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.trim();
    if line.is_empty() { "Draft".to_owned() } else { line.chars().take(200).collect() }
}
