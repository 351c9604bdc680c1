//! The versions that files went through, fast: one `git log` for what changed when. The bytes are read by
//! [`Revision::bytes_of`](crate::Revision::bytes_of).

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
    /// The changes of files at or below these paths by the newest `limit` changesets that made any, up to `from`; newest
    /// first, against the first parent.
    pub fn versions(&self, from: &str, paths: &[&str], limit: usize) -> Result<Vec<Version>> {
        self.versions_since(None, from, paths, limit)
    }

    /// As [`versions`](Repo::versions), of those that `since` (a full id) has not.
    pub fn versions_since(
        &self,
        since: Option<&str>,
        from: &str,
        paths: &[&str],
        limit: usize,
    ) -> Result<Vec<Version>> {
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
        args.extend(["--no-notes", "--topo-order", &limit, &from]);
        let without = since.map(|since| format!("^{since}"));
        args.extend(without.as_deref());
        args.push("--");
        let specs: Vec<String> = paths.iter().map(|path| format!(":(literal){path}")).collect();
        args.extend(specs.iter().map(String::as_str));
        parse(&self.call(&args).run()?.stdout, &self.prefix).ok_or(Error::Answer("git log"))
    }
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
