//! The files of one commit.
//!
//! One `git cat-file --batch` answers all questions about objects; trees are walked here, so that no name, however
//! strange, is ever parsed by git.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use regrow_config::{Entry, Files, Kind};
use regrow_host::FsError;

use crate::refs::is_full_id;
use crate::repo::Repo;

/// The files of one commit, below the fleet's directory.
#[derive(Debug)]
pub struct Revision {
    repo: Repo,
    commit: String,
    objects: Arc<Mutex<Objects>>,
}

/// Reads objects, and remembers the trees.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    batch: Option<Batch>,
    trees: BTreeMap<String, Arc<Vec<TreeEntry>>>,
    /// How many entries the trees have together.
    entries: usize,
}

#[derive(Debug)]
struct Batch {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
pub(crate) struct TreeEntry {
    pub(crate) mode: u32,
    pub(crate) name: Vec<u8>,
    pub(crate) id: String,
}

/// The part of a git mode that says what something is, and its values.
pub(crate) const FORMAT: u32 = 0o170000;
const FILE: u32 = 0o100000;
const LINK: u32 = 0o120000;
pub(crate) const DIR: u32 = 0o040000;

/// The largest object that is read, in bytes: what `DiskFiles` allows.
const MAX_OBJECT: u64 = 64 << 20;

/// How many entries of trees are remembered: about 4 MB.
const MAX_ENTRIES: usize = 30_000;

impl Revision {
    pub(crate) fn new(repo: Repo, commit: String, objects: Arc<Mutex<Objects>>) -> Revision {
        Revision { repo, commit, objects }
    }

    /// The full commit id.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// The bytes of a file by its object id; `None` if git has no such file.
    pub fn bytes_of(&self, id: &str) -> Option<Vec<u8>> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let (kind, bytes) = is_full_id(id).then(|| objects.read(&self.repo, id).ok()).flatten()?;
        (kind == "blob").then_some(bytes)
    }

    /// Mode and object id of a directory or of something else at a path of the whole repository, not of the fleet.
    pub(crate) fn entry_at_root(&self, path: &str, dir: bool) -> Option<(u32, String)> {
        let found = self.find_below("", path).ok().flatten();
        found.filter(|(mode, _)| (*mode == DIR) == dir)
    }

    /// The object id of what lies at a fleet path; `None` if there is nothing, or it cannot be told.
    pub fn object_id(&self, path: &str) -> Option<String> {
        self.find(path).ok().flatten().map(|(_, id)| id)
    }

    /// What lies at a fleet path: its mode and object id.
    pub(crate) fn find(&self, path: &str) -> io::Result<Option<(u32, String)>> {
        self.find_below(&self.repo.prefix, path)
    }

    fn find_below(&self, prefix: &str, path: &str) -> io::Result<Option<(u32, String)>> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let full = format!("{prefix}{path}");
        let (mut mode, mut id) = (DIR, format!("{}^{{tree}}", self.commit));
        for part in full.split('/').filter(|p| !p.is_empty() && *p != ".") {
            if mode == LINK {
                return Err(behind_link());
            }
            if mode != DIR {
                return Ok(None);
            }
            let tree = objects.tree(&self.repo, &id)?;
            let Some(entry) = tree.iter().find(|e| e.name == part.as_bytes()) else { return Ok(None) };
            (mode, id) = (entry.mode, entry.id.clone());
        }
        Ok(Some((mode, id)))
    }

    fn blob(&self, path: &str) -> io::Result<Option<(u32, Vec<u8>)>> {
        let Some((mode, id)) = self.find(path)? else { return Ok(None) };
        match mode & FORMAT {
            FILE | LINK => {}
            DIR => return Err(io::ErrorKind::IsADirectory.into()),
            _ => return Err(io::Error::other("it is a git submodule, which a fleet cannot have")),
        }
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        match objects.read(&self.repo, &id)? {
            (kind, bytes) if kind == "blob" => Ok(Some((mode, bytes))),
            (kind, _) => Err(io::Error::other(format!("git has a {kind} there"))),
        }
    }

    fn error(&self, doing: &'static str, path: &str, source: io::Error) -> FsError {
        FsError::new(doing, format!("{}:{path}", &self.commit[..self.commit.len().min(12)]), source)
    }
}

impl Objects {
    pub(crate) fn tree(&mut self, repo: &Repo, id: &str) -> io::Result<Arc<Vec<TreeEntry>>> {
        if let Some(tree) = self.trees.get(id) {
            return Ok(tree.clone());
        }
        let (kind, bytes) = self.read(repo, id)?;
        if kind != "tree" {
            return Err(io::Error::other(format!("git has a {kind} where a tree should be")));
        }
        // Object ids are 20 bytes, or 32 in a repository that uses SHA-256; HEAD's own id tells which.
        let id_bytes = id.split('^').next().map_or(20, |id| id.len() / 2);
        let tree =
            Arc::new(parse_tree(&bytes, id_bytes).ok_or_else(|| io::Error::other("git's tree object is damaged"))?);
        // A program that runs for months must not remember every tree it has ever seen.
        self.entries += tree.len();
        if self.entries > MAX_ENTRIES {
            self.entries = tree.len();
            self.trees.clear();
        }
        self.trees.insert(id.to_owned(), tree.clone());
        Ok(tree)
    }

    /// An object's type and bytes.
    pub(crate) fn read(&mut self, repo: &Repo, id: &str) -> io::Result<(String, Vec<u8>)> {
        self.find(repo, id).map(|(_, kind, bytes)| (kind, bytes))
    }

    /// An object's id, type and bytes, by any name that git knows for it.
    pub(crate) fn find(&mut self, repo: &Repo, id: &str) -> io::Result<(String, String, Vec<u8>)> {
        let asked_before = self.batch.is_some();
        match self.ask(repo, id) {
            // The process of an earlier question may have ended meanwhile.
            Err(e) if asked_before && e.kind() != io::ErrorKind::NotFound => self.ask(repo, id),
            answer => answer,
        }
    }

    fn ask(&mut self, repo: &Repo, id: &str) -> io::Result<(String, String, Vec<u8>)> {
        let mut batch = match self.batch.take() {
            Some(batch) => batch,
            None => start(repo)?,
        };
        writeln!(batch.stdin, "{id}")?;
        batch.stdin.flush()?;
        let mut header = String::new();
        batch.stdout.read_line(&mut header)?;
        let fields: Vec<&str> = header.split_whitespace().collect();
        let [found, kind, size] = fields[..] else {
            let missing = fields.last() == Some(&"missing");
            let words = format!(
                "this clone has no object {id}: it is shallow, partial or damaged (git fetch --unshallow; git fsck)"
            );
            if missing {
                self.batch = Some(batch);
            }
            return Err(io::Error::new(if missing { io::ErrorKind::NotFound } else { io::ErrorKind::Other }, words));
        };
        let size: u64 = size.parse().map_err(io::Error::other)?;
        if size > MAX_OBJECT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = Vec::new();
        (&mut batch.stdout).take(size).read_to_end(&mut bytes)?;
        let mut end = [0];
        batch.stdout.read_exact(&mut end)?;
        // Only a process in a known state is used again.
        let (found, kind) = (found.to_owned(), kind.to_owned());
        self.batch = Some(batch);
        Ok((found, kind, bytes))
    }
}

fn start(repo: &Repo) -> io::Result<Batch> {
    let program = repo.call(&["cat-file", "--batch"]);
    let mut command = program.command();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| io::Error::other(program.start_error(e)))?;
    match (child.stdin.take(), child.stdout.take()) {
        (Some(stdin), Some(stdout)) => Ok(Batch { child, stdin, stdout: BufReader::new(stdout) }),
        _ => Err(io::Error::other("no pipes to git")),
    }
}

fn parse_tree(mut bytes: &[u8], id_bytes: usize) -> Option<Vec<TreeEntry>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|b| *b == b' ')?;
        let mode = u32::from_str_radix(std::str::from_utf8(&bytes[..space]).ok()?, 8).ok()?;
        bytes = &bytes[space + 1..];
        let nul = bytes.iter().position(|b| *b == 0)?;
        let name = bytes[..nul].to_vec();
        bytes = &bytes[nul + 1..];
        let id = hex::encode(bytes.get(..id_bytes)?);
        bytes = &bytes[id_bytes..];
        entries.push(TreeEntry { mode, name, id });
    }
    Some(entries)
}

fn behind_link() -> io::Error {
    io::Error::other("it is, or lies behind, a symbolic link")
}

impl Files for Revision {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, FsError> {
        match self.blob(path) {
            Ok(Some((mode, _))) if mode == LINK => Err(self.error("read", path, behind_link())),
            Ok(found) => Ok(found.map(|(_, bytes)| bytes)),
            Err(e) => Err(self.error("read", path, e)),
        }
    }

    fn list(&self, dir: &str) -> Result<Vec<Entry>, FsError> {
        let list = || {
            let id = match self.find(dir)? {
                Some((DIR, id)) => id,
                Some((LINK, _)) => return Err(behind_link()),
                _ => return Ok(Vec::new()),
            };
            let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
            let tree = objects.tree(&self.repo, &id)?;
            let mut entries = Vec::new();
            for entry in tree.iter() {
                let name = std::str::from_utf8(&entry.name).map_err(|_| {
                    io::Error::other(format!("the name {:?} in it is not UTF-8", String::from_utf8_lossy(&entry.name)))
                })?;
                let kind = match entry.mode & FORMAT {
                    DIR => Kind::Dir,
                    FILE => Kind::File,
                    LINK => Kind::Symlink,
                    _ => Kind::Other,
                };
                let executable = kind == Kind::File && entry.mode & 0o100 != 0;
                entries.push(Entry { name: name.to_owned(), kind, executable });
            }
            entries.sort();
            Ok(entries)
        };
        list().map_err(|e| self.error("list the directory", dir, e))
    }

    fn read_link(&self, path: &str) -> Result<Option<String>, FsError> {
        let read = || match self.find(path)? {
            Some((LINK, _)) => {
                let Some((_, target)) = self.blob(path)? else { return Ok(None) };
                String::from_utf8(target).map(Some).map_err(|_| io::Error::other("its target is not UTF-8"))
            }
            _ => Ok(None),
        };
        read().map_err(|e| self.error("read the symbolic link", path, e))
    }
}
