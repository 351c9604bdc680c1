//! Notes about commits, as git keeps them: lines of text in `refs/notes/regrow` that travel with the history and are no
//! part of it.
//!
//! A note is a set of lines. Adding and merging are unions, sorted, so that two clones which know the same have the same
//! notes, whatever the order in which they heard of it. Everything is written by plumbing, many notes at once, and the
//! ref moves by compare-and-swap. `git notes --ref=regrow show COMMIT` reads them, too.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::identity;
use crate::import::{Import, NewCommit};
use crate::refs::{Plain, is_full_id};
use crate::repo::Repo;

/// Where they are.
pub const NOTES: &str = "refs/notes/regrow";

/// Lines by the full id of the commit that they are about.
pub type Notes = BTreeMap<String, BTreeSet<String>>;

/// How often it is tried again when somebody else was quicker.
const TRIES: usize = 8;

/// What a merge of notes did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotesMerged {
    /// Ours had everything already.
    Nothing,
    /// There is more now.
    Gained,
}

impl Repo {
    /// Where the notes are now; `None` if there are none.
    pub fn notes_tip(&self) -> Result<Option<String>> {
        match self.plain_ref(NOTES) {
            Plain::At(id) => Ok(Some(id)),
            Plain::Absent => Ok(None),
            Plain::Ask => self.commit_of(NOTES),
        }
    }

    /// The commit of a full ref, if there is one.
    pub fn commit_of(&self, name: &str) -> Result<Option<String>> {
        self.git.maybe(["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")])
    }

    /// The notes at `tip` about some commits. Those that cannot be read, and what is not UTF-8, are left out: notes of
    /// others are no reason to fail.
    pub fn notes_of(&self, tip: &str, commits: &[&str]) -> Notes {
        let mut found = Notes::new();
        for commit in commits {
            let lines = self.note_place(tip, commit).and_then(|(_, blob)| self.note_lines(&blob));
            if let Some(lines) = lines.filter(|lines| !lines.is_empty()) {
                found.insert((*commit).to_owned(), lines);
            }
        }
        found
    }

    /// Adds lines to notes, as one commit; says whether anything was new.
    ///
    /// # Errors
    /// If git cannot write; then no note has changed.
    pub fn add_notes(&self, notes: &Notes, at: Timestamp) -> Result<bool> {
        for _ in 0..TRIES {
            let old = self.notes_tip()?;
            if self.write_notes(notes, old.as_deref(), None, at)? {
                return Ok(self.notes_tip()? != old);
            }
        }
        Err(Error::Moved)
    }

    /// Takes over all notes at `theirs` (a commit id), as a union of sets.
    ///
    /// # Errors
    /// As [`Repo::add_notes`].
    pub fn merge_notes(&self, theirs: &str, at: Timestamp) -> Result<NotesMerged> {
        for _ in 0..TRIES {
            let Some(old) = self.notes_tip()? else {
                if self.move_notes(theirs, None)? { return Ok(NotesMerged::Gained) } else { continue }
            };
            if old == theirs || self.is_ancestor(theirs, &old)? {
                return Ok(NotesMerged::Nothing);
            }
            if self.is_ancestor(&old, theirs)? {
                if self.move_notes(theirs, Some(&old))? { return Ok(NotesMerged::Gained) } else { continue }
            }
            let (ours, all) = (self.note_blobs(&old)?, self.note_blobs(theirs)?);
            let mut notes = Notes::new();
            for (commit, blob) in all {
                if ours.get(&commit) != Some(&blob)
                    && let Some(lines) = self.note_lines(&blob)
                {
                    notes.insert(commit, lines);
                }
            }
            if self.write_notes(&notes, Some(&old), Some(theirs), at)? {
                return Ok(NotesMerged::Gained);
            }
        }
        Err(Error::Moved)
    }

    /// Writes the union of what is at `old` and `notes`; false if the ref has moved meanwhile.
    fn write_notes(&self, notes: &Notes, old: Option<&str>, merges: Option<&str>, at: Timestamp) -> Result<bool> {
        let mut import = Import::start(self)?;
        let mut files = Vec::new();
        for (commit, lines) in notes.iter().filter(|(commit, _)| is_full_id(commit)) {
            let there = old.and_then(|old| self.note_place(old, commit));
            let before = match &there {
                // What is no text is somebody else's: it is not replaced.
                Some((_, blob)) => match self.note_lines(blob) {
                    Some(before) => before,
                    None => continue,
                },
                None => BTreeSet::new(),
            };
            if lines.is_subset(&before) {
                continue;
            }
            let text: String = before.union(lines).flat_map(|line| [line, "\n"]).collect();
            let place = format!("{}/{}", &commit[..2], &commit[2..]);
            // A person's `git notes` may have put it at another depth.
            files.extend(there.filter(|(at, _)| *at != place).map(|(at, _)| (at, None)));
            files.push((place, Some(("100644".to_owned(), import.blob(text.as_bytes())?))));
        }
        if files.is_empty() && merges.is_none() {
            return Ok(true);
        }
        let who = identity::of(&self.git)?;
        let message = match (merges, notes.len()) {
            (Some(_), _) => "Merge results of another clone".to_owned(),
            (None, 1) => "Results of 1 revision".to_owned(),
            (None, n) => format!("Results of {n} revisions"),
        };
        let (commit, _) = import.commit(&NewCommit {
            author: &who,
            committer: &who,
            authored: at.as_second(),
            committed: at.as_second(),
            message: &message,
            parent: old,
            merges,
            files_of: old,
            files: &files,
        })?;
        import.finish()?;
        self.move_notes(&commit, old)
    }

    fn move_notes(&self, to: &str, from: Option<&str>) -> Result<bool> {
        let none = "0".repeat(to.len());
        let line = format!("update {NOTES} {to} {}", from.unwrap_or(&none));
        match self.swap_refs(&[line], "regrow: results")? {
            None => Ok(true),
            Some(failed) if failed.stderr.contains("cannot lock ref") => Ok(false),
            Some(failed) => Err(Error::of_git(&self.call(&["update-ref", NOTES]), &failed, &self.git_dir)),
        }
    }

    /// Path and blob of the note about a commit, at whatever depth it lies.
    fn note_place(&self, tip: &str, commit: &str) -> Option<(String, String)> {
        if !is_full_id(commit) {
            return None;
        }
        let tree = self.at(tip);
        let (mut path, mut rest) = (String::new(), commit);
        // At most as deep as the id has pairs of digits.
        while rest.len() > 2 {
            if let Some((_, blob)) = tree.entry_at_root(&format!("{path}{rest}"), false) {
                return Some((format!("{path}{rest}"), blob));
            }
            path.push_str(&rest[..2]);
            tree.entry_at_root(&path, true)?;
            path.push('/');
            rest = &rest[2..];
        }
        None
    }

    fn note_lines(&self, blob: &str) -> Option<BTreeSet<String>> {
        let bytes = self.at(blob).bytes_of(blob)?;
        let text = String::from_utf8(bytes).ok()?;
        Some(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect())
    }

    /// All notes' blobs by the commit that they are about.
    fn note_blobs(&self, tip: &str) -> Result<BTreeMap<String, String>> {
        let output = self.call(&["ls-tree", "-r", "-z", "--full-tree", tip]).run()?.stdout;
        let mut blobs = BTreeMap::new();
        for line in output.split(|b| *b == 0) {
            let line = String::from_utf8_lossy(line);
            let Some((fields, path)) = line.split_once('\t') else { continue };
            let commit = path.replace('/', "");
            if let Some(blob) = fields.split(' ').nth(2).filter(|_| is_full_id(&commit)) {
                blobs.insert(commit, blob.to_owned());
            }
        }
        Ok(blobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fixture;

    fn notes(of: &[(&str, &str)]) -> Notes {
        let mut notes = Notes::new();
        for (commit, line) in of {
            notes.entry((*commit).to_owned()).or_default().insert((*line).to_owned());
        }
        notes
    }

    #[test]
    fn notes_are_read_by_git_and_gits_by_us() {
        let f = fixture();
        let head = f.git(&["rev-parse", "HEAD"]);
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        assert!(f.repo.add_notes(&notes(&[(&head, "b"), (&head, "a")]), at).unwrap());
        assert!(!f.repo.add_notes(&notes(&[(&head, "a")]), at).unwrap(), "it is there already");
        assert_eq!(f.git(&["notes", "--ref=regrow", "show", "HEAD"]), "a\nb");
        f.git(&["notes", "--ref=regrow", "append", "-m", "typed by hand", "HEAD"]);
        assert!(f.repo.add_notes(&notes(&[(&head, "c")]), at).unwrap());
        let tip = f.repo.notes_tip().unwrap().unwrap();
        let found = f.repo.notes_of(&tip, &[&head, &"0".repeat(40), "--all"]);
        assert_eq!(found, notes(&[(&head, "a"), (&head, "b"), (&head, "c"), (&head, "typed by hand")]));
        assert_eq!(f.git(&["status", "--porcelain"]), "");
    }

    #[test]
    fn many_notes_are_one_commit_and_diverged_ones_a_union_that_is_the_same_for_both() {
        let f = fixture();
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        // About commits that this clone does not have, too.
        let id = |n: usize| format!("{n:040x}");
        let many: Notes = (0..2000).map(|n| (id(n), BTreeSet::from([format!("{{\"n\":{n}}}")]))).collect();
        f.repo.add_notes(&many, at).unwrap();
        let base = f.repo.notes_tip().unwrap().unwrap();
        assert_eq!(f.git(&["rev-list", "--count", &base]), "1");
        f.repo.add_notes(&notes(&[(&id(7), "ours"), (&id(5000), "ours")]), at).unwrap();
        let ours = f.repo.notes_tip().unwrap().unwrap();
        f.git(&["update-ref", NOTES, &base]);
        f.repo.add_notes(&notes(&[(&id(7), "theirs"), (&id(6000), "theirs")]), at).unwrap();
        let theirs = f.repo.notes_tip().unwrap().unwrap();
        assert_eq!(f.repo.merge_notes(&ours, at).unwrap(), NotesMerged::Gained);
        let merged = f.repo.notes_tip().unwrap().unwrap();
        let expected = notes(&[
            (&id(7), "{\"n\":7}"),
            (&id(7), "ours"),
            (&id(7), "theirs"),
            (&id(5000), "ours"),
            (&id(6000), "theirs"),
        ]);
        assert_eq!(f.repo.notes_of(&merged, &[&id(7), &id(5000), &id(6000)]), expected);
        assert_eq!(f.repo.merge_notes(&ours, at).unwrap(), NotesMerged::Nothing);
        // The other way round it is the same tree.
        f.git(&["update-ref", NOTES, &ours]);
        f.repo.merge_notes(&theirs, at).unwrap();
        let tree = |tip: &str| f.git(&["rev-parse", &format!("{tip}^{{tree}}")]);
        assert_eq!(tree(&f.repo.notes_tip().unwrap().unwrap()), tree(&merged));
        f.git(&["fsck", "--strict", "--no-dangling"]);
    }

    #[test]
    fn broken_notes_are_no_notes() {
        let f = fixture();
        let head = f.git(&["rev-parse", "HEAD"]);
        f.git(&["update-ref", NOTES, &head]);
        let tip = f.repo.notes_tip().unwrap().unwrap();
        assert!(f.repo.notes_of(&tip, &[&head]).is_empty(), "a commit of the fleet is no notes");
        std::fs::write(f.path().join("bytes"), b"\xff\xfe").unwrap();
        let blob = f.git(&["hash-object", "-w", "bytes"]);
        f.git(&["update-ref", "-d", NOTES]);
        f.git(&["notes", "--ref=regrow", "add", "-C", &blob, "HEAD"]);
        let tip = f.repo.notes_tip().unwrap().unwrap();
        assert!(f.repo.notes_of(&tip, &[&head]).is_empty());
        assert!(!f.repo.add_notes(&notes(&[(&head, "ours")]), "2026-01-02T03:04:05Z".parse().unwrap()).unwrap());
        assert_eq!(f.repo.notes_tip().unwrap().unwrap(), tip, "it was left alone");
    }
}
