//! Objects written through one `git fast-import`: blobs, trees and a commit, however many, in one process.
//!
//! It is asked and answers in turn. Nothing refers to what it wrote until the caller moves a ref: the branch it works
//! on is forgotten again before it ends, and a killed one leaves nothing but unreachable objects.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use regrow_host::program::Output;
use regrow_host::{FsError, fs};

use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::repo::Repo;

/// A running `git fast-import`.
#[derive(Debug)]
pub(crate) struct Import<'r> {
    repo: &'r Repo,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    marks: usize,
}

/// A commit to be made.
#[derive(Debug)]
pub(crate) struct NewCommit<'a> {
    pub(crate) author: &'a Identity,
    pub(crate) committer: &'a Identity,
    /// Seconds since 1970.
    pub(crate) authored: i64,
    pub(crate) committed: i64,
    pub(crate) message: &'a str,
    /// The first parent.
    pub(crate) parent: Option<&'a str>,
    /// The second parent, if it is a merge. Its files are not looked at.
    pub(crate) merges: Option<&'a str>,
    /// The commit whose files it starts from; the parent's, if none is given.
    pub(crate) files_of: Option<&'a str>,
    /// Full paths with mode and blob; `None` removes the file.
    pub(crate) files: &'a [(String, Option<(String, String)>)],
}

/// The branch that commits are made on; it never becomes a ref.
const BRANCH: &str = "refs/regrow/making";

impl<'r> Import<'r> {
    pub(crate) fn start(repo: &'r Repo) -> Result<Import<'r>> {
        let program = repo.call(&["-c", "core.fsync=committed", "-c", "core.fsyncMethod=batch", "fast-import"]);
        let program = program.args(["--quiet", "--done", "--date-format=raw"]);
        let mut command = program.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| program.start_error(e))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => {
                Ok(Import { repo, child, stdin: Some(stdin), stdout: BufReader::new(stdout), marks: 0 })
            }
            _ => Err(Error::Answer("git fast-import")),
        }
    }

    /// Writes a blob; returns its id.
    pub(crate) fn blob(&mut self, bytes: &[u8]) -> Result<String> {
        let mark = self.mark();
        let mut text = format!("blob\nmark :{mark}\ndata {}\n", bytes.len()).into_bytes();
        text.extend_from_slice(bytes);
        text.extend_from_slice(format!("\nget-mark :{mark}\n").as_bytes());
        self.ask(&text)
    }

    /// Mode and id of what lies at a full path of a commit.
    pub(crate) fn find(&mut self, commit: &str, path: &str) -> Result<Option<(String, String)>> {
        let answer = self.ask(format!("ls {commit} {}\n", quote(path)).as_bytes())?;
        if answer.starts_with("missing ") {
            return Ok(None);
        }
        let mut fields = answer.split(['\t', ' ']);
        match (fields.next(), fields.next(), fields.next()) {
            (Some(mode), Some("blob" | "tree" | "commit"), Some(id)) => Ok(Some((mode.to_owned(), id.to_owned()))),
            _ => Err(Error::Answer("git fast-import: ls")),
        }
    }

    /// Makes a commit; returns its id and its tree's.
    pub(crate) fn commit(&mut self, new: &NewCommit<'_>) -> Result<(String, String)> {
        let mark = self.mark();
        let who = |i: &Identity, at: i64| format!("{} <{}> {at} +0000", i.name, i.email);
        // The message is kept as it is but for NUL, which no commit can hold.
        let message = format!("{}\n", new.message.trim_end().replace('\0', ""));
        let mut text = format!(
            "commit {BRANCH}\nmark :{mark}\nauthor {}\ncommitter {}\ndata {}\n{message}",
            who(new.author, new.authored),
            who(new.committer, new.committed),
            message.len(),
        );
        if let Some(parent) = new.parent {
            text.push_str(&format!("from {parent}\n"));
        }
        if let Some(other) = new.merges {
            text.push_str(&format!("merge {other}\n"));
        }
        if let Some(other) = new.files_of.filter(|other| Some(*other) != new.parent) {
            let tree = self.find_root(other)?;
            text.push_str(&format!("deleteall\nM 040000 {tree} \"\"\n"));
        }
        for (path, file) in new.files {
            match file {
                Some((mode, id)) => text.push_str(&format!("M {mode} {id} {}\n", quote(path))),
                None => text.push_str(&format!("D {}\n", quote(path))),
            }
        }
        text.push_str(&format!("\nget-mark :{mark}\n"));
        let commit = self.ask(text.as_bytes())?;
        let tree = self.find_root(&commit)?;
        self.ask_nothing(format!("reset {BRANCH}\n\n").as_bytes())?;
        Ok((commit, tree))
    }

    /// The tree of a commit.
    pub(crate) fn find_root(&mut self, commit: &str) -> Result<String> {
        Ok(self.find(commit, "")?.ok_or(Error::Answer("git fast-import: ls"))?.1)
    }

    /// Lets it write everything out.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.ask_nothing(b"done\n")?;
        drop(self.stdin.take());
        let status = self.child.wait().map_err(|e| self.io(e))?;
        if status.success() { Ok(()) } else { Err(self.failed()) }
    }

    fn mark(&mut self) -> usize {
        self.marks += 1;
        self.marks
    }

    fn ask(&mut self, text: &[u8]) -> Result<String> {
        self.ask_nothing(text)?;
        let mut line = String::new();
        match self.stdout.read_line(&mut line) {
            Ok(0) => Err(self.failed()),
            Ok(_) => Ok(line.trim_end_matches('\n').to_owned()),
            Err(e) => Err(self.io(e)),
        }
    }

    fn ask_nothing(&mut self, text: &[u8]) -> Result<()> {
        let Some(stdin) = &mut self.stdin else { return Err(Error::Answer("git fast-import")) };
        match stdin.write_all(text).and_then(|()| stdin.flush()) {
            Ok(()) => Ok(()),
            // It ended: how, it says itself.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(self.failed()),
            Err(e) => Err(self.io(e)),
        }
    }

    fn io(&self, e: io::Error) -> Error {
        FsError::new("write objects into", &self.repo.git_dir, e).into()
    }

    /// Why it ended.
    fn failed(&mut self) -> Error {
        drop(self.stdin.take());
        let mut stderr = String::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            let _ = pipe.read_to_string(&mut stderr);
        }
        let status = match self.child.wait() {
            Ok(status) => status,
            Err(e) => return self.io(e),
        };
        // Its crash report is for its own developers.
        let _ = fs::remove_file(self.repo.git_dir.join(format!("fast_import_crash_{}", self.child.id())));
        let words = stderr.lines().find(|l| l.starts_with("fatal:") || l.starts_with("error:")).unwrap_or(&stderr);
        let output = Output { status, stdout: Vec::new(), stderr: words.trim().to_owned() };
        Error::of_git(&self.repo.call(&["fast-import"]), &output, &self.repo.git_dir)
    }
}

impl Drop for Import<'_> {
    fn drop(&mut self) {
        if self.stdin.is_some() {
            // Given up half-way: it ends in order, with no ref moved. What it wrote is unreachable.
            let _ = self.ask_nothing(format!("reset {BRANCH}\n\ndone\n").as_bytes());
        }
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// A path as fast-import reads it, whatever is in it.
fn quote(path: &str) -> String {
    let mut out = String::from("\"");
    for byte in path.bytes() {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(byte as char);
            }
            b'\n' => out.push_str("\\n"),
            0x20..0x7f => out.push(byte as char),
            other => out.push_str(&format!("\\{other:03o}")),
        }
    }
    out.push('"');
    out
}
