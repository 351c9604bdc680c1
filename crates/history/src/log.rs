//! What changed, when, by whom, why.

use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::repo::Repo;

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changeset {
    /// The full commit id.
    pub revision: String,
    /// Its parents; more than one for a merge, whose paths are those that differ from the first parent.
    pub parents: Vec<String>,
    /// Who made it.
    pub author: String,
    /// The address of who made it.
    pub email: String,
    /// When it was made.
    pub at: Timestamp,
    /// The first line of the message.
    pub subject: String,
    /// The rest of the message, trimmed.
    pub body: String,
    /// The fleet's files that it changed, sorted.
    pub paths: Vec<PathChange>,
}

/// How a commit changed a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PathChange {
    /// Relative to the fleet.
    pub path: String,
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
}

impl Repo {
    /// The newest `limit` changesets up to `from` (normally "HEAD"), newest first; none before the first commit.
    ///
    /// With `below`, only those that touch these fleet paths.
    pub fn log(&self, from: &str, below: &[&str], limit: usize) -> Result<Vec<Changeset>> {
        let from = match self.resolve(from) {
            Err(Error::Unborn) => return Ok(Vec::new()),
            from => from?,
        };
        let limit = format!("--max-count={limit}");
        let mut changesets = self.changesets(&from, below, &["--topo-order", &limit])?;
        if !below.is_empty() {
            // Git also lists merges that took one side as it was.
            changesets.retain(|c| !c.paths.is_empty());
        }
        Ok(changesets)
    }

    /// One changeset.
    pub fn show(&self, revision: &str) -> Result<Changeset> {
        let commit = self.resolve(revision)?;
        self.changesets(&commit, &[], &["--no-walk"])?.pop().ok_or(Error::Answer("git log"))
    }

    /// The changesets after `good` up to `bad` (full ids) along first parents that touch these fleet paths, newest first.
    pub fn since(&self, good: &str, bad: &str, below: &[&str]) -> Result<Vec<Changeset>> {
        let mut changesets = self.changesets(bad, below, &["--topo-order", "--first-parent", &format!("^{good}")])?;
        changesets.retain(|c| !c.paths.is_empty());
        Ok(changesets)
    }

    /// The commits from `to` (a full id) back along first parents, newest first; only those after `from`, if that is
    /// given.
    pub fn line(&self, from: Option<&str>, to: &str) -> Result<Vec<String>> {
        let mut args = vec!["rev-list".to_owned(), "--first-parent".to_owned(), to.to_owned()];
        args.extend(from.map(|from| format!("^{from}")));
        args.push("--".to_owned());
        let output = self.git.call(&args).run()?.stdout;
        Ok(String::from_utf8_lossy(&output).lines().map(str::to_owned).collect())
    }

    /// The commit that last touched a line (from 1) of a fleet's file as `revision` has it.
    pub fn blame(&self, revision: &str, path: &str, line: usize) -> Result<Option<String>> {
        let lines = format!("{line},{line}");
        let full = self.resolve(revision)?;
        let said = self.git.maybe(["blame", "--porcelain", "-L", &lines, &full, "--", path])?;
        Ok(said.and_then(|said| said.split_whitespace().next().map(str::to_owned)))
    }

    fn changesets(&self, from: &str, below: &[&str], options: &[&str]) -> Result<Vec<Changeset>> {
        let mut specs: Vec<String> = below.iter().map(|path| format!(":(literal){path}")).collect();
        if specs.is_empty() && !self.prefix.is_empty() {
            specs.push(".".to_owned());
        }
        self.raw_log(from, &specs, options)
    }

    /// What `git log` tells with these pathspecs.
    pub(crate) fn raw_log(&self, from: &str, specs: &[String], options: &[&str]) -> Result<Vec<Changeset>> {
        let mut args =
            vec!["log", "-z", "--raw", "--no-abbrev", "--no-renames", "--diff-merges=first-parent", "--root"];
        args.push("--format=tformat:%x01%H%x02%P%x02%an%x02%ae%x02%at%x02%B%x03");
        args.extend(["--encoding=UTF-8", "--no-show-signature", "--no-notes"]);
        args.extend(options);
        args.extend([from, "--"]);
        args.extend(specs.iter().map(String::as_str));
        parse(&self.call(&args).run()?.stdout, &self.prefix).ok_or(Error::Answer("git log"))
    }

    /// The unified diff between two revisions, of the fleet's files; or, without `to`, between a revision and the work
    /// tree.
    pub fn diff(&self, from: &str, to: Option<&str>) -> Result<String> {
        let from = self.resolve(from)?;
        let mut args =
            vec!["diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--relative", &from];
        let to = to.map(|to| self.resolve(to)).transpose()?;
        args.extend(to.as_deref());
        args.extend(["--", "."]);
        Ok(String::from_utf8_lossy(&self.call(&args).run()?.stdout).into_owned())
    }

    /// The unified diff that a changeset made (against its first parent).
    pub fn diff_of(&self, revision: &str) -> Result<String> {
        let commit = self.resolve(revision)?;
        let args = [
            "log",
            "--no-walk",
            "--format=",
            "--patch",
            "--root",
            "--diff-merges=first-parent",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--no-renames",
            "--relative",
            &commit,
            "--",
            ".",
        ];
        Ok(String::from_utf8_lossy(&self.call(&args).run()?.stdout).trim_start_matches('\n').to_owned())
    }
}

/// The subject of a commit without a message.
const NO_MESSAGE: &str = "(no message)";
/// Longer messages are cut, in bytes: somebody may have put a file there.
const MOST_SUBJECT: usize = 400;
const MOST_BODY: usize = 64 << 10;

/// The first line of a commit's message, and the rest; neither is longer than anybody reads.
pub(crate) fn subject_and_body(message: &str) -> (String, String) {
    let message = message.trim();
    let (subject, body) = message.split_once('\n').unwrap_or((message, ""));
    let subject = if subject.trim().is_empty() { NO_MESSAGE } else { subject.trim() };
    (clipped(subject, MOST_SUBJECT), clipped(body.trim(), MOST_BODY))
}

/// At most so many bytes, ending at a character.
fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().map(|(at, _)| at).take_while(|at| *at <= most).last() {
        Some(end) if text.len() > most => format!("{}…", &text[..end]),
        _ => text.to_owned(),
    }
}

/// Git's letter for a change, in words.
pub(crate) fn change_word(letter: &str) -> &'static str {
    match letter {
        "A" => "added",
        "D" => "removed",
        _ => "changed",
    }
}

/// Parses `git log -z --raw` with the format above: NUL-separated tokens, a header or a status line followed by a path.
fn parse(output: &[u8], prefix: &str) -> Option<Vec<Changeset>> {
    let mut changesets: Vec<Changeset> = Vec::new();
    let mut tokens = output.split(|b| *b == 0);
    while let Some(token) = tokens.next() {
        let token = String::from_utf8_lossy(token);
        let token = token.trim_start_matches('\n');
        if let Some(status) = token.strip_prefix(':') {
            let path = String::from_utf8_lossy(tokens.next()?).into_owned();
            let change = change_word(status.get(status.len().saturating_sub(1)..).unwrap_or_default());
            if let Some(path) = path.strip_prefix(prefix) {
                changesets.last_mut()?.paths.push(PathChange { path: path.to_owned(), change });
            }
        } else if let Some(header) = token.strip_prefix('\u{1}') {
            let mut fields = header.splitn(6, '\u{2}');
            let mut next = || fields.next();
            let (revision, parents, author, email, at, message) =
                (next()?, next()?, next()?, next()?, next()?, next()?);
            let (subject, body) = subject_and_body(message.trim_end_matches('\u{3}'));
            changesets.push(Changeset {
                revision: revision.to_owned(),
                parents: parents.split_whitespace().map(str::to_owned).collect(),
                author: author.to_owned(),
                email: email.to_owned(),
                at: Timestamp::from_second(at.parse().ok()?).ok()?,
                subject,
                body,
                paths: Vec::new(),
            });
        }
    }
    for changeset in &mut changesets {
        changeset.paths.sort();
    }
    Some(changesets)
}
