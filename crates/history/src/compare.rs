//! Which files differ between two states of the fleet, and how.
//!
//! A state is a commit, the disk, or nothing (what the first commit came after). Files on disk that git does not know
//! count; files that it was told to ignore do not.

use std::fmt::Write;

use crate::error::{Error, Result};
use crate::log::PathChange;
use crate::repo::Repo;
use crate::walk::TreeChange;

/// A state of the fleet's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State<'a> {
    /// A full commit id.
    Commit(&'a str),
    /// The files on disk.
    Disk,
    /// No files.
    Nothing,
}

/// A new file of more bytes than this is named in a diff, but not shown.
const MAX_SHOWN: usize = 256 << 10;

impl Repo {
    /// The fleet's files that differ, sorted by path.
    pub fn changed(&self, old: State<'_>, new: State<'_>) -> Result<Vec<PathChange>> {
        // Of two commits the objects tell, without starting git. What they do not tell, git explains.
        if let (State::Commit(old), State::Commit(new)) = (old, new)
            && let Ok(found) = self.tree_changes(Some(old), Some(new))
        {
            let change = |c: &TreeChange| match (&c.before, &c.after) {
                (None, _) => "added",
                (_, None) => "removed",
                _ => "changed",
            };
            return Ok(found.into_iter().map(|c| PathChange { change: change(&c), path: c.path }).collect());
        }
        let Some(sides) = self.sides(old, new)? else { return Ok(Vec::new()) };
        let mut args = vec!["diff", "--raw", "-z", "--no-abbrev", "--no-renames", "--no-ext-diff", "--relative"];
        args.extend(sides.iter().map(String::as_str));
        args.extend(["--", "."]);
        let output = self.answer(&args)?;
        let mut changes = Vec::new();
        let mut tokens = output.split(|b| *b == 0).filter(|t| !t.is_empty());
        while let (Some(status), Some(path)) = (tokens.next(), tokens.next()) {
            let change = match status.last() {
                Some(b'A') => "added",
                Some(b'D') => "removed",
                Some(_) if status.first() == Some(&b':') => "changed",
                _ => return Err(Error::Answer("git diff --raw")),
            };
            changes.push(PathChange { path: String::from_utf8_lossy(path).into_owned(), change });
        }
        let strange = match (old, new) {
            (_, State::Disk) => Some("added"),
            (State::Disk, _) => Some("removed"),
            _ => None,
        };
        if let Some(change) = strange {
            for path in self.unknown()? {
                // A file that one side has and the index does not was listed as removed by git.
                match changes.iter_mut().find(|c| c.path == path) {
                    Some(known) => known.change = "changed",
                    None => changes.push(PathChange { path, change }),
                }
            }
        }
        changes.sort();
        Ok(changes)
    }

    /// The unified diff of the files in `changes`, as [`Repo::changed`] found them; files that git does not know are in
    /// it as new ones. `some` says that these are not all that differ.
    pub fn diff_states(&self, old: State<'_>, new: State<'_>, changes: &[PathChange], some: bool) -> Result<String> {
        let Some(sides) = self.sides(old, new)? else { return Ok(String::new()) };
        let mut args = vec!["diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--relative"];
        args.extend(sides.iter().map(String::as_str));
        let specs: Vec<String> = match some {
            true => changes.iter().map(|c| format!(":(literal){}", c.path)).collect(),
            false => vec![".".to_owned()],
        };
        if specs.is_empty() {
            return Ok(String::new());
        }
        args.push("--");
        args.extend(specs.iter().map(String::as_str));
        let mut text = String::from_utf8_lossy(&self.answer(&args)?).into_owned();
        if new == State::Disk {
            for path in self.unknown()? {
                if changes.iter().any(|c| c.path == path && c.change == "added") {
                    text.push_str(&self.new_file(&path));
                }
            }
        }
        Ok(text)
    }

    /// What git says; an object that is not there is told as such.
    fn answer(&self, args: &[&str]) -> Result<Vec<u8>> {
        let asked = self.call(args);
        let output = asked.output()?;
        if output.status.success() { Ok(output.stdout) } else { Err(Error::of_git(&asked, &output, &self.git_dir)) }
    }

    /// The arguments of `git diff` for two states; `None` if they are the same one.
    fn sides(&self, old: State<'_>, new: State<'_>) -> Result<Option<Vec<String>>> {
        let name = |state| -> Result<String> {
            match state {
                State::Commit(commit) => Ok(commit.to_owned()),
                _ => self.empty_tree(),
            }
        };
        Ok(match (old, new) {
            (old, new) if old == new => None,
            (old, State::Disk) => Some(vec![name(old)?]),
            (State::Disk, new) => Some(vec!["-R".to_owned(), name(new)?]),
            (old, new) => Some(vec![name(old)?, name(new)?]),
        })
    }

    /// The id of the tree without entries; git knows it without having it.
    fn empty_tree(&self) -> Result<String> {
        self.git.text(["hash-object", "-t", "tree", "--stdin"])
    }

    /// The fleet's files on disk that git does not know, and was not told to ignore.
    fn unknown(&self) -> Result<Vec<String>> {
        let output = self.call(&["ls-files", "-z", "--others", "--exclude-standard", "--", "."]).run()?.stdout;
        let paths = output.split(|b| *b == 0).filter(|p| !p.is_empty());
        Ok(paths.map(|p| String::from_utf8_lossy(p).into_owned()).collect())
    }

    /// A file on disk as a unified diff from nothing.
    fn new_file(&self, path: &str) -> String {
        let mut text = format!("diff --git a/{path} b/{path}\nnew file\n");
        let full = self.fleet.join(path);
        let plain = std::fs::symlink_metadata(&full).is_ok_and(|m| m.is_file() && m.len() <= MAX_SHOWN as u64);
        let content = if plain { std::fs::read(&full).ok() } else { None };
        match content.map(String::from_utf8) {
            Some(Ok(content)) if !content.contains('\0') => {
                let lines = content.split_inclusive('\n').count();
                let _ = write!(text, "--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{lines} @@\n");
                for line in content.split_inclusive('\n') {
                    let _ = write!(text, "+{line}");
                }
                if !content.is_empty() && !content.ends_with('\n') {
                    text.push_str("\n\\ No newline at end of file\n");
                }
            }
            _ => {
                let _ = writeln!(text, "Binary or large file b/{path} is new");
            }
        }
        text
    }
}
