//! What a fleet's text wants: the work tree's or one revision's, read and judged.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use regrow_config::{Diagnostic, DiskFiles, Entry, Files, Fleet, Kind, LockFile, Server};
use regrow_host::FsError;
use serde::{Deserialize, Serialize};

use crate::cache::Text;
use crate::context::Context;
use crate::error::{Diagnosed, Error, Result};

/// Which text: a commit, or the work tree on top of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct RevisionName {
    /// The full commit id; `None` before the first commit, or without a repository.
    pub commit: Option<String>,
    /// Whether the text has more than the commit.
    pub edited: bool,
}

/// What follows a commit id if the work tree has more.
const EDITS: &str = "+edits";

impl std::fmt::Display for RevisionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let commit = self.commit.as_deref().unwrap_or("none");
        write!(f, "{commit}{}", if self.edited { EDITS } else { "" })
    }
}

impl RevisionName {
    /// For people: 12 digits of the commit.
    pub fn short(&self) -> String {
        short(&self.to_string())
    }
}

/// A revision's name for people: 12 digits of the commit, and whether there were edits.
pub fn short(revision: &str) -> String {
    let (commit, edits) = match revision.strip_suffix(EDITS) {
        Some(commit) => (commit, EDITS),
        None => (revision, ""),
    };
    format!("{}{edits}", commit.get(..12).unwrap_or(commit))
}

impl From<RevisionName> for String {
    fn from(name: RevisionName) -> String {
        name.to_string()
    }
}

impl From<String> for RevisionName {
    fn from(name: String) -> RevisionName {
        let (commit, edited) = match name.strip_suffix(EDITS) {
            Some(commit) => (commit, true),
            None => (&*name, false),
        };
        RevisionName { commit: (commit != "none").then(|| commit.to_owned()), edited }
    }
}

/// A fleet's text, read.
///
/// It borrows the files it was read from, or owns them.
#[derive(Debug)]
pub struct Wanted<'f> {
    /// The values. What mistakes spoil has its default: ask [`Wanted::server`], which refuses them.
    pub fleet: Arc<Fleet>,
    /// Everything that is wrong or doubtful.
    pub diagnostics: Vec<Diagnostic>,
    files: Box<dyn Files + 'f>,
    at: Option<String>,
}

impl Wanted<'static> {
    /// Reads the work tree, or with `at` one revision.
    pub fn read(ctx: &Context, at: Option<&str>) -> Result<Wanted<'static>> {
        match at {
            None => {
                let disk = ctx.on_disk()?;
                Ok(Wanted {
                    fleet: disk.text.fleet.clone(),
                    diagnostics: disk.text.diagnostics.clone(),
                    files: Box::new(DiskFiles::new(ctx.fleet()?)?),
                    at: None,
                })
            }
            Some(at) => {
                let revision = ctx.repo()?.revision(at)?;
                let commit = revision.commit().to_owned();
                let texts = &ctx.caches().texts;
                let text = texts.get(&commit).unwrap_or_else(|| {
                    let _reading = ctx.caches().reading.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(text) = texts.get(&commit) {
                        return text;
                    }
                    let (fleet, diagnostics) = regrow_config::load_fleet(&revision);
                    let text = Arc::new(Text { fleet: Arc::new(fleet), diagnostics });
                    texts.put(&commit, text.clone());
                    text
                });
                let wanted = Wanted {
                    fleet: text.fleet.clone(),
                    diagnostics: text.diagnostics.clone(),
                    files: Box::new(revision),
                    at: Some(commit),
                };
                if wanted.files.read("regrow.toml")?.is_none() {
                    return Err(Error::mistake(format!(
                        "the revision {at} has no regrow.toml: the fleet did not exist yet"
                    )));
                }
                Ok(wanted)
            }
        }
    }
}

impl<'f> Wanted<'f> {
    /// Reads any files; `commit` says of which revision they are.
    pub fn from_files(files: Box<dyn Files + 'f>, commit: Option<String>) -> Wanted<'f> {
        let (fleet, diagnostics) = regrow_config::load_fleet(&*files);
        Wanted { fleet: Arc::new(fleet), diagnostics, files, at: commit }
    }

    /// Reads files with some of them replaced: text that is not saved yet.
    pub fn over(below: &'f dyn Files, replaced: &BTreeMap<String, Vec<u8>>) -> Wanted<'f> {
        Wanted::from_files(Box::new(Overlay::new(below, replaced.clone())), None)
    }

    /// The files that it was read from.
    pub fn files(&self) -> &dyn Files {
        &*self.files
    }

    /// A server whose text has no mistake. Mistakes in other servers' files do not matter to it.
    ///
    /// # Errors
    /// [`Error::Mistake`] if there is none of that name, [`Error::Diagnostics`].
    pub fn server(&self, name: &str) -> Result<&Server> {
        let server = self.known(name)?;
        let ours = |d: &&Diagnostic| d.is_error() && concerns(&d.file, name);
        let diagnostics: Vec<Diagnostic> = self.diagnostics.iter().filter(ours).cloned().collect();
        if diagnostics.is_empty() { Ok(server) } else { Err(self.refusal(diagnostics)) }
    }

    /// A server, whatever its text is like.
    pub fn known(&self, name: &str) -> Result<&Server> {
        self.fleet.servers.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.fleet.servers.keys().map(String::as_str).collect();
            let help = match &names[..] {
                [] => "the fleet has none yet: write servers/NAME/server.toml".to_owned(),
                names => format!("the fleet has {}", names.join(", ")),
            };
            Error::mistake_with(format!("there is no server {name}"), help)
        })
    }

    /// A server's lock, which fits the server's text.
    ///
    /// # Errors
    /// [`Error::Mistake`] if there is none or it is stale, [`Error::Diagnostics`] if it is damaged.
    pub fn lock(&self, name: &str) -> Result<LockFile> {
        let server = self.server(name)?;
        let Some(lock) = self.lock_or_none(name)? else {
            return Err(Error::mistake_with(
                format!("{name} has no lock yet"),
                format!("choose its packages with: regrow lock {name}"),
            ));
        };
        if lock.inputs != regrow_config::inputs_digest(server, &self.fleet) {
            return Err(Error::mistake_with(
                format!("the lock of {name} is stale: packages, archives or accounts have changed since it was made"),
                format!("renew it with: regrow lock {name}"),
            ));
        }
        Ok(lock)
    }

    /// A server's lock, stale or not.
    pub fn lock_or_none(&self, name: &str) -> Result<Option<LockFile>> {
        regrow_config::load_lock(self.files(), name).map_err(|d| self.refusal(vec![*d]))
    }

    /// The error that shows these diagnostics with their text.
    pub fn refusal(&self, diagnostics: Vec<Diagnostic>) -> Error {
        refusal(self.files(), diagnostics)
    }

    /// Diagnostics with the text that they point into.
    pub fn diagnosed(&self, diagnostics: Vec<Diagnostic>) -> Diagnosed {
        diagnosed(self.files(), diagnostics)
    }

    /// Which text this is, as far as `server` is concerned (`None`: the whole fleet).
    pub fn revision(&self, ctx: &Context, server: Option<&str>) -> Result<RevisionName> {
        if let Some(commit) = &self.at {
            return Ok(RevisionName { commit: Some(commit.clone()), edited: false });
        }
        Ok(ctx.on_disk()?.revision(server))
    }
}

/// The error that shows these diagnostics with their text.
pub(crate) fn refusal(files: &dyn Files, diagnostics: Vec<Diagnostic>) -> Error {
    Error::Diagnostics(Box::new(diagnosed(files, diagnostics)))
}

pub(crate) fn diagnosed(files: &dyn Files, diagnostics: Vec<Diagnostic>) -> Diagnosed {
    let mut sources = BTreeMap::new();
    for diagnostic in &diagnostics {
        if !sources.contains_key(&*diagnostic.file)
            && let Ok(Some(bytes)) = files.read(&diagnostic.file)
            && let Ok(text) = String::from_utf8(bytes)
        {
            sources.insert(diagnostic.file.to_string(), text);
        }
    }
    Diagnosed { diagnostics, sources }
}

/// The fleet paths that can influence a server.
pub fn concerning(server: &str) -> Vec<String> {
    vec!["regrow.toml".to_owned(), "roles".to_owned(), "catalog".to_owned(), format!("servers/{server}")]
}

/// Whether what is wrong with `file` matters to `server`.
pub(crate) fn concerns(file: &str, server: &str) -> bool {
    match file.strip_prefix("servers/") {
        Some(rest) => rest.split('/').next() == Some(server),
        None => true,
    }
}

/// Files with some of them replaced: text that is not saved yet.
#[derive(Debug)]
pub struct Overlay<'f> {
    below: &'f dyn Files,
    replaced: BTreeMap<String, Vec<u8>>,
}

impl<'f> Overlay<'f> {
    /// Lays these files over others. Directories that only they are in are not listed.
    pub fn new(below: &'f dyn Files, replaced: BTreeMap<String, Vec<u8>>) -> Overlay<'f> {
        Overlay { below, replaced }
    }
}

impl Files for Overlay<'_> {
    fn read(&self, path: &str) -> std::result::Result<Option<Vec<u8>>, FsError> {
        match self.replaced.get(path) {
            Some(bytes) => Ok(Some(bytes.clone())),
            None => self.below.read(path),
        }
    }

    fn list(&self, dir: &str) -> std::result::Result<Vec<Entry>, FsError> {
        let mut entries = self.below.list(dir)?;
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        for path in self.replaced.keys() {
            if let Some(name) = path.strip_prefix(&prefix)
                && !name.contains('/')
                && !entries.iter().any(|e| e.name == name)
            {
                entries.push(Entry { name: name.to_owned(), kind: Kind::File, executable: false });
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn read_link(&self, path: &str) -> std::result::Result<Option<String>, FsError> {
        if self.replaced.contains_key(path) { Ok(None) } else { self.below.read_link(path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revision_names_survive_their_text_form() {
        for name in ["none", "none+edits", "abc", "abc+edits"] {
            assert_eq!(RevisionName::from(name.to_owned()).to_string(), name);
        }
        assert_eq!(short("0123456789abcdef+edits"), "0123456789ab+edits");
    }

    #[test]
    fn mistakes_elsewhere_do_not_concern_a_server() {
        assert!(concerns("regrow.toml", "web1") && concerns("roles/base.toml", "web1"));
        assert!(concerns("servers/web1/server.toml", "web1") && !concerns("servers/web10/server.toml", "web1"));
    }
}
