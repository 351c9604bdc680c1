//! What no single value shows: references between objects, paths that meet, numbers given twice.

mod accounts;
mod paths;
mod ports;
mod units;

pub(crate) mod packages;

use std::cell::OnceCell;

use crate::LockFile;
use crate::diagnostic::{Diagnostic, Severity};
use crate::files::Files;
use crate::model::{Fleet, Server};
use crate::read::syntax::Item;
use crate::read::{At, Node, Report, Sources, Value};

/// Validates one server. `merged` is its text with its roles.
pub(crate) fn server(
    server: &Server,
    fleet: &Fleet,
    files: &dyn Files,
    sources: &Sources,
    merged: &Node,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut scene = Scene { server, fleet, files, sources, merged, diagnostics, lock: OnceCell::new() };
    accounts::validate(&mut scene);
    units::validate(&mut scene);
    paths::validate(&mut scene);
    ports::validate(&mut scene);
    scene.look_at_lock();
}

/// What every validation looks at.
struct Scene<'a> {
    server: &'a Server,
    fleet: &'a Fleet,
    files: &'a dyn Files,
    sources: &'a Sources,
    merged: &'a Node,
    diagnostics: &'a mut Vec<Diagnostic>,
    /// Read only when something asks for it: locks are long.
    lock: OnceCell<Option<LockFile>>,
}

impl<'a> Scene<'a> {
    /// The item at a path of keys.
    fn item(&self, path: &[&str]) -> Option<&'a Item> {
        let (first, rest) = path.split_first()?;
        let mut item = table(self.merged)?.get(*first)?;
        for key in rest {
            item = table(&item.node)?.get(*key)?;
        }
        Some(item)
    }

    /// Where the value at a path is written; the nearest table that is written if it is not.
    fn at(&self, path: &[&str]) -> At {
        (1..=path.len())
            .rev()
            .find_map(|n| self.item(&path[..n]).map(|i| if n == path.len() { i.node.at } else { i.key_at }))
            .unwrap_or(self.merged.at)
    }

    /// Where the key at a path is written.
    fn key_at(&self, path: &[&str]) -> At {
        self.item(path).map_or_else(|| self.at(path), |item| item.key_at)
    }

    /// "file:line" of a key.
    fn place(&self, path: &[&str]) -> String {
        let at = self.key_at(path);
        let (line, _) = self.sources.line_column(at.file, at.start as usize);
        format!("{}:{line}", self.sources.path(at.file))
    }

    fn error(&mut self, at: At, report: Report) {
        self.push(Severity::Error, at, report);
    }

    fn warning(&mut self, at: At, report: Report) {
        self.push(Severity::Warning, at, report);
    }

    fn push(&mut self, severity: Severity, at: At, report: Report) {
        let mut diagnostic = Diagnostic::new(severity, report.code, report.message).at(self.sources, at);
        diagnostic.label = report.label;
        diagnostic.help = report.help;
        self.diagnostics.push(diagnostic);
    }

    /// The server's lock, if it has a good one. A damaged one is reported by [`Self::look_at_lock`].
    fn lock(&self) -> Option<&LockFile> {
        self.lock.get_or_init(|| crate::load_lock(self.files, &self.server.name).ok().flatten()).as_ref()
    }

    /// Reports a lock that is visibly damaged. Locks are long and fleets are large, so one that begins and ends as we
    /// write it is read only by those who need it.
    fn look_at_lock(&mut self) {
        let path = crate::load::lock_path(&self.server.name);
        let sound = match self.files.read(&path) {
            Ok(None) => true,
            Ok(Some(bytes)) => looks_sound(&bytes),
            Err(_) => false,
        };
        if !sound && let Err(found) = crate::load_lock(self.files, &self.server.name) {
            self.diagnostics.push(*found);
        }
    }

    /// Whether an image of this server has a package, as far as can be told.
    fn has_package(&self, name: &str) -> bool {
        self.server.packages.contains_key(name) || self.lock().is_some_and(|lock| lock.packages.contains_key(name))
    }
}

/// Whether a lock begins and ends as we write it, and has no character that only git's conflict markers have.
fn looks_sound(bytes: &[u8]) -> bool {
    bytes.starts_with(crate::lock::HEADER.as_bytes())
        && bytes.ends_with(crate::lock::FOOTER.as_bytes())
        && !bytes.contains(&b'<')
        && !bytes.contains(&b'>')
}

fn table(node: &Node) -> Option<&std::collections::BTreeMap<String, Item>> {
    match &node.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}
