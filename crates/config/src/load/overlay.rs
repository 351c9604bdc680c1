//! The `root/` directory of a server: files laid over the image as they are.

use std::collections::BTreeMap;

use super::unreadable;
use crate::diagnostic::Diagnostic;
use crate::files::{Files, Kind};
use crate::model::{RootContent, RootFile};
use crate::read::rules::normal_path;

/// The most that one server's `root/` may hold, in bytes and in files.
const MAX_TOTAL: u64 = 512 << 20;
const MAX_FILES: usize = 20_000;
/// Deeper than any tree that people write.
const MAX_DEPTH: usize = 64;

/// Everything below `<dir>/root`, by absolute path of the image. Without `contents`, files are listed as if empty.
pub(super) fn read(
    files: &dyn Files,
    dir: &str,
    contents: bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<String, RootFile> {
    let root = format!("{dir}/root");
    let mut walk = Walk { files, root, contents, total: 0, found: BTreeMap::new(), diagnostics, stopped: false };
    walk.dir("", 0);
    walk.found
}

struct Walk<'a> {
    files: &'a dyn Files,
    root: String,
    contents: bool,
    total: u64,
    found: BTreeMap<String, RootFile>,
    diagnostics: &'a mut Vec<Diagnostic>,
    stopped: bool,
}

impl Walk<'_> {
    fn dir(&mut self, below: &str, depth: usize) {
        let dir = format!("{}{below}", self.root);
        let entries = match self.files.list(&dir) {
            Ok(entries) => entries,
            Err(e) => return self.diagnostics.push(unreadable(&dir, &e)),
        };
        for entry in entries {
            if self.stopped {
                return;
            }
            let path = format!("{below}/{}", entry.name);
            let source = format!("{}{path}", self.root);
            if let Err(report) = normal_path(&path) {
                let mut found = Diagnostic::error(report.code, report.message).in_file(&source);
                found.help = report.help;
                self.diagnostics.push(found);
                continue;
            }
            match entry.kind {
                Kind::Dir if depth >= MAX_DEPTH => self.too_large(&source, "is nested too deeply"),
                Kind::Dir => self.dir(&path, depth + 1),
                Kind::File => self.file(path, source, entry.executable),
                Kind::Symlink => self.link(path, source),
                Kind::Other => self.diagnostics.push(
                    Diagnostic::error("unreadable", format!("{source} is neither a file nor a link"))
                        .in_file(&source)
                        .help("pipes, sockets and devices are made at run time; remove it"),
                ),
            }
        }
    }

    fn file(&mut self, path: String, source: String, executable: bool) {
        let bytes = if self.contents { self.files.read(&source) } else { Ok(Some(Vec::new())) };
        match bytes {
            Ok(Some(bytes)) => {
                self.total += bytes.len() as u64;
                let mode = if executable { 0o755 } else { 0o644 };
                self.found.insert(path, RootFile { content: RootContent::Bytes(bytes), mode, source });
                if self.total > MAX_TOTAL {
                    let root = self.root.clone();
                    self.too_large(&root, &format!("holds more than {} MiB", MAX_TOTAL >> 20));
                } else if self.found.len() > MAX_FILES {
                    let root = self.root.clone();
                    self.too_large(&root, &format!("holds more than {MAX_FILES} files"));
                }
            }
            // Removed between listing and reading.
            Ok(None) => {}
            Err(e) => self.diagnostics.push(unreadable(&source, &e)),
        }
    }

    fn link(&mut self, path: String, source: String) {
        match self.files.read_link(&source) {
            Ok(Some(target)) => {
                self.found.insert(path, RootFile { content: RootContent::Symlink(target), mode: 0o777, source });
            }
            Ok(None) => {}
            Err(e) => self.diagnostics.push(unreadable(&source, &e)),
        }
    }

    fn too_large(&mut self, source: &str, why: &str) {
        self.stopped = true;
        self.diagnostics.push(
            Diagnostic::error("file-too-large", format!("{source} {why}"))
                .in_file(source)
                .help("put large things into a package or into state"),
        );
    }
}
