//! Which file of a server holds a key.

use super::{Edit, EditError, Patch, plain};
use crate::KeyPath;
use crate::files::{Files, Kind, Source};

/// A change made to one file of a server; nothing is written yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The file, relative to the fleet.
    pub path: String,
    /// Line of the change in the new text, from 1.
    pub line: usize,
    /// The change.
    pub patch: Patch,
    /// The file's text before.
    pub old: String,
    /// The file's text after.
    pub text: String,
}

/// Sets a key of a server: in the file that has the key, else in the one that has most of its way (the object it
/// belongs to), else in `server.toml`. What a role says is left alone: the server's own text wins over it.
pub fn set_in_server(files: &dyn Files, server: &str, key: &str, value: &str) -> Result<Edited, EditError> {
    let path = KeyPath::parse(key)?;
    let source = home(files, server, &path)?.0;
    edited(source, |text| super::set(text, key, value))
}

/// Removes a key of a server from the file that has it.
pub fn unset_in_server(files: &dyn Files, server: &str, key: &str) -> Result<Edited, EditError> {
    let path = KeyPath::parse(key)?;
    let (source, depth) = home(files, server, &path)?;
    if depth < path.0.len() {
        return Err(EditError::Absent { hint: role_hint(files, &source, &path), key: path });
    }
    edited(source, |text| super::unset(text, key))
}

/// Makes all changes to the text of a server, or none: each in the file that a key of it belongs in, one result a file.
///
/// A comment ([`Edit::Note`]) goes to the file of its key, also if the key is made by a change before it.
pub fn apply_in_server(files: &dyn Files, server: &str, edits: &[Edit]) -> Result<Vec<Edited>, EditError> {
    let mut changed: Vec<Edited> = Vec::new();
    for edit in edits {
        let now = Changed { below: files, changed: &changed };
        let key = KeyPath::parse(edit.key())?;
        let source = home(&now, server, &key)?.0;
        let patch = super::apply(&source.text, edit)?;
        let text = patch.apply(&source.text);
        match changed.iter_mut().find(|e| e.path == source.path) {
            Some(known) => {
                known.patch = known.patch.then(&known.old, &patch);
                known.line = known.patch.line(&known.old);
                known.text = text;
            }
            None => {
                let line = patch.line(&source.text);
                changed.push(Edited { line, path: source.path, patch, old: source.text, text });
            }
        }
    }
    Ok(changed)
}

/// Files as they are after some changes.
#[derive(Debug)]
struct Changed<'a> {
    below: &'a dyn Files,
    changed: &'a [Edited],
}

impl Files for Changed<'_> {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, regrow_host::FsError> {
        match self.changed.iter().find(|e| e.path == path) {
            Some(edited) => Ok(Some(edited.text.clone().into_bytes())),
            None => self.below.read(path),
        }
    }

    fn list(&self, dir: &str) -> Result<Vec<crate::files::Entry>, regrow_host::FsError> {
        self.below.list(dir)
    }

    fn read_link(&self, path: &str) -> Result<Option<String>, regrow_host::FsError> {
        self.below.read_link(path)
    }
}

fn edited(source: Source, change: impl FnOnce(&str) -> Result<Patch, EditError>) -> Result<Edited, EditError> {
    let patch = change(&source.text)?;
    let text = patch.apply(&source.text);
    Ok(Edited { line: patch.line(&source.text), path: source.path, patch, old: source.text, text })
}

/// The file that shares most of the way to `key`, and how many parts of it.
fn home(files: &dyn Files, server: &str, key: &KeyPath) -> Result<(Source, usize), EditError> {
    let dir = format!("servers/{server}");
    let main = format!("{dir}/server.toml");
    let no_server = || EditError::NoServer { server: server.to_owned() };
    if server.is_empty() || server.starts_with('.') || server.contains('/') {
        return Err(no_server());
    }
    let mut best: Option<(usize, Source)> = None;
    for entry in files.list(&dir)? {
        let text_file = entry.name.ends_with(".toml") && entry.name != "lock.toml" && !entry.name.starts_with('.');
        if entry.kind != Kind::File || !text_file {
            continue;
        }
        let path = format!("{dir}/{}", entry.name);
        let text = read_text(files, &path)?.ok_or_else(no_server)?;
        // A broken file is not chosen unless it is the main one; then the edit says what is broken.
        let depth = plain::parse(&text).map_or(0, |table| depth(&table, &key.0));
        let better = match &best {
            None => true,
            Some((most, _)) => depth > *most || (depth == *most && path == main),
        };
        if better {
            best = Some((depth, Source { path, text }));
        }
    }
    let (depth, source) = best.ok_or_else(no_server)?;
    if depth == 0 && source.path != main {
        let text = read_text(files, &main)?.ok_or_else(no_server)?;
        return Ok((Source { path: main, text }, 0));
    }
    Ok((source, depth))
}

fn read_text(files: &dyn Files, path: &str) -> Result<Option<String>, EditError> {
    match files.read(path)? {
        None => Ok(None),
        Some(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| EditError::NotText { path: path.to_owned() }),
    }
}

fn depth(table: &std::collections::BTreeMap<String, plain::Plain>, path: &[String]) -> usize {
    let Some((first, rest)) = path.split_first() else { return 0 };
    match table.get(first) {
        None => 0,
        Some(plain::Plain::Table(inner)) => 1 + depth(inner, rest),
        Some(_) => 1,
    }
}

/// Says which role has the key that the server itself does not have.
fn role_hint(files: &dyn Files, source: &Source, key: &KeyPath) -> Option<String> {
    let own = plain::parse(&source.text)?;
    let plain::Plain::Array(roles) = own.get("roles")? else { return None };
    roles.iter().rev().find_map(|role| {
        let plain::Plain::Scalar(_, name) = role else { return None };
        let path = format!("roles/{name}.toml");
        let text = String::from_utf8(files.read(&path).ok()??).ok()?;
        (depth(&plain::parse(&text)?, &key.0) == key.0.len())
            .then(|| format!("it comes from the role `{name}`: change {path}, or set it for this server"))
    })
}
