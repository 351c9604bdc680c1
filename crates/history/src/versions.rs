//! The versions that single files went through, fast: one `git log` for what changed when, one `git cat-file` for the
//! bytes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::repo::Repo;

/// One changeset that changed one of the files asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// The full commit id.
    pub revision: String,
    /// Who made it.
    pub author: String,
    /// When.
    pub at: Timestamp,
    /// The first line of its message.
    pub subject: String,
    /// The file, relative to the fleet.
    pub path: String,
    /// The object id of the file before; `None` if it was not there.
    pub before: Option<String>,
    /// The object id of the file after; `None` if it was removed.
    pub after: Option<String>,
}

impl Repo {
    /// The newest `limit` changes of these files up to `from`, newest first; against the first parent.
    pub fn versions(&self, from: &str, paths: &[&str], limit: usize) -> Result<Vec<Version>> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let from = match self.resolve(from) {
            Err(Error::Unborn) => return Ok(Vec::new()),
            from => from?,
        };
        let limit = format!("--max-count={limit}");
        let mut args =
            vec!["log", "-z", "--raw", "--no-abbrev", "--no-renames", "--diff-merges=first-parent", "--root"];
        args.extend(["--format=tformat:%x01%H%x02%an%x02%at%x02%s%x03", "--encoding=UTF-8", "--no-show-signature"]);
        args.extend(["--no-notes", "--topo-order", &limit, &from, "--"]);
        let specs: Vec<String> = paths.iter().map(|path| format!(":(literal){path}")).collect();
        args.extend(specs.iter().map(String::as_str));
        parse(&self.call(&args).run()?.stdout, &self.prefix).ok_or(Error::Answer("git log"))
    }

    /// The bytes of these objects by id; those that are no files are left out.
    pub fn blobs<'i>(&self, ids: impl IntoIterator<Item = &'i str>) -> Result<BTreeMap<String, Vec<u8>>> {
        let broken = || Error::Answer("git cat-file");
        let ids: std::collections::BTreeSet<&str> =
            ids.into_iter().filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit())).collect();
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let program = self.call(&["cat-file", "--batch", "--buffer"]);
        let mut command = program.command();
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.map_err(|e| Error::from(program.start_error(e)))?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else { return Err(broken()) };
        let asked: String = ids.iter().map(|id| format!("{id}\n")).collect();
        // Written beside reading: neither side can wait for the other for ever.
        let writer = std::thread::spawn(move || stdin.write_all(asked.as_bytes()));
        let found = read(&mut BufReader::new(stdout));
        let _ = child.kill();
        let _ = child.wait();
        let _ = writer.join();
        found.ok_or_else(broken)
    }
}

fn read(from: &mut impl BufRead) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut out = BTreeMap::new();
    let mut header = String::new();
    while from.read_line(&mut header).ok()? > 0 {
        let fields: Vec<&str> = header.split_whitespace().collect();
        if let [id, kind, size] = fields[..] {
            let mut bytes = vec![0; size.parse().ok().filter(|n: &usize| *n <= 64 << 20)?];
            from.read_exact(&mut bytes).ok()?;
            from.read_exact(&mut [0]).ok()?;
            if kind == "blob" {
                out.insert(id.to_owned(), bytes);
            }
        }
        header.clear();
    }
    Some(out)
}

/// NUL-separated tokens: a header, or a status line followed by a path.
fn parse(output: &[u8], prefix: &str) -> Option<Vec<Version>> {
    let mut out: Vec<Version> = Vec::new();
    let mut tokens = output.split(|b| *b == 0);
    let mut header: Option<(String, String, Timestamp, String)> = None;
    while let Some(token) = tokens.next() {
        let token = String::from_utf8_lossy(token);
        let token = token.trim_start_matches('\n');
        if let Some(words) = token.strip_prefix('\u{1}') {
            let mut fields = words.splitn(4, '\u{2}');
            let (revision, author, at) = (fields.next()?, fields.next()?, fields.next()?);
            let subject = fields.next()?.trim_end_matches('\u{3}').trim();
            let at = Timestamp::from_second(at.parse().ok()?).ok()?;
            header = Some((revision.to_owned(), author.to_owned(), at, subject.to_owned()));
        } else if let Some(status) = token.strip_prefix(':') {
            let path = String::from_utf8_lossy(tokens.next()?).into_owned();
            let (revision, author, at, subject) = header.clone()?;
            let mut fields = status.split(' ').skip(2);
            let id = |id: &str| Some(id.to_owned()).filter(|id| id.bytes().any(|b| b != b'0'));
            let (before, after) = (id(fields.next()?), id(fields.next()?));
            if let Some(path) = path.strip_prefix(prefix) {
                out.push(Version { revision, author, at, subject, path: path.to_owned(), before, after });
            }
        }
    }
    Some(out)
}
