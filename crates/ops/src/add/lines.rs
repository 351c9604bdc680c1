//! Lines of text: how values are written, where edits go, and what they look like before anything is saved.

use std::collections::BTreeMap;

use regrow_config::edit::{self, Edit, Patch};
use regrow_config::model::{Check, CheckKind, Engine, FileText, State};
use regrow_config::{Files, KeyPath};
use serde::Serialize;

use crate::edit::refuse_new_mistakes;
use crate::error::{Diagnosed, Error, Result};

/// Edits in the order in which a person would write them.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) edits: Vec<Edit>,
}

impl Lines {
    /// A key with its value as TOML.
    pub(super) fn set(&mut self, key: &[&str], value: String) {
        self.edits.push(Edit::Set { key: path(key), value });
    }

    /// One more element of a list.
    pub(super) fn add(&mut self, key: &[&str], value: String) {
        self.edits.push(Edit::Add { key: path(key), value });
    }

    /// The comment above a key that was set before.
    pub(super) fn note(&mut self, key: &[&str], text: &str) {
        self.edits.push(Edit::Note { key: path(key), text: Some(text.to_owned()) });
    }

    pub(super) fn state(&mut self, name: &str, state: &State) {
        self.set(&["state", name, "paths"], list(&state.paths));
        if state.engine != Engine::Files {
            let engine = serde_json::to_value(state.engine).unwrap_or_default();
            self.set(&["state", name, "engine"], string(engine.as_str().unwrap_or_default()));
        }
        if !state.exclude.is_empty() {
            self.set(&["state", name, "exclude"], list(&state.exclude));
        }
    }

    pub(super) fn check(&mut self, name: &str, check: &Check) {
        let mut set = |key: &str, value: String| self.set(&["checks", name, key], value);
        match &check.kind {
            CheckKind::Unit { unit } => set("unit", string(unit.strip_suffix(".service").unwrap_or(unit))),
            CheckKind::Port { port } => set("port", port.to_string()),
            CheckKind::Http { url, status, body } => {
                set("http", string(url));
                set("status", status.to_string());
                body.iter().for_each(|body| set("body", string(body)));
            }
            CheckKind::Command { argv, exit, stdout } => {
                set("command", list(argv));
                if *exit != 0 {
                    set("exit", exit.to_string());
                }
                stdout.iter().for_each(|text| set("stdout", string(text)));
            }
            CheckKind::File { path, exists, content, mode } => {
                set("file", string(path));
                if !exists {
                    set("exists", "false".to_owned());
                }
                content.iter().for_each(|text| set("content", string(text)));
                mode.iter().for_each(|mode| set("mode", octal(*mode)));
            }
        }
        if check.timeout != DEFAULT_TIMEOUT {
            set("timeout", check.timeout.to_string());
        }
    }

    pub(super) fn file(&mut self, path: &str, file: &FileText) {
        let mut set = |key: &str, value: String| self.set(&["files", path, key], value);
        if file.directory {
            set("directory", "true".to_owned());
        }
        file.content.iter().for_each(|text| set("content", string(text)));
        file.source.iter().for_each(|source| set("source", string(source)));
        file.symlink.iter().for_each(|target| set("symlink", string(target)));
        file.mode.iter().for_each(|mode| set("mode", octal(*mode)));
        if file.owner != "root" {
            set("owner", string(&file.owner));
        }
        if file.group != "root" {
            set("group", string(&file.group));
        }
    }
}

/// Seconds of a check that says nothing about them.
const DEFAULT_TIMEOUT: u64 = 30;

fn path(parts: &[&str]) -> String {
    KeyPath(parts.iter().map(|p| (*p).to_owned()).collect()).to_string()
}

fn octal(mode: u32) -> String {
    format!("\"{mode:04o}\"")
}

/// A string as TOML: on one line, or as it stands if it has several.
pub(super) fn string(text: &str) -> String {
    let plain = |c: char| c == '\n' || c == '\t' || !c.is_control();
    if !text.trim_end_matches('\n').contains('\n') || !text.chars().all(plain) {
        return regrow_config::toml_string(text);
    }
    // Without anything that needs escaping, text reads best between single quotes; the first line end is not part of it.
    if text.contains('\\') && !text.contains("'''") && !text.ends_with('\'') {
        return format!("'''\n{text}'''");
    }
    format!("\"\"\"\n{}\"\"\"", text.replace('\\', "\\\\").replace("\"\"\"", "\"\"\\\""))
}

/// A list of strings on one line.
pub(super) fn list<S: AsRef<str>>(items: &[S]) -> String {
    let items: Vec<String> = items.iter().map(|s| regrow_config::toml_string(s.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

/// What edits make of a server's text, with nothing saved.
#[derive(Debug, Clone, Default)]
pub struct Preview {
    /// What is new, file by file, from top to bottom.
    pub pieces: Vec<Piece>,
    /// Mistakes that the text has only with the edits.
    pub mistakes: Diagnosed,
}

/// Lines that are added or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// The file, relative to the fleet.
    pub path: String,
    /// Number of the first line in the new text, from 1.
    pub line: usize,
    /// The lines, whole.
    pub text: String,
}

/// What `edits` make of the text of `server` in `files`.
///
/// # Errors
/// If the text cannot be edited that way.
pub fn preview(files: &dyn Files, server: &str, edits: &[Edit]) -> Result<Preview> {
    let edited = edit::apply_in_server(files, server, edits)?;
    let mut preview = Preview::default();
    let mut after = BTreeMap::new();
    for one in edited {
        pieces(&one.path, &one.old, &one.patch, &mut preview.pieces);
        after.insert(one.path, one.text.into_bytes());
    }
    match refuse_new_mistakes(files, &after, server) {
        Ok(()) => {}
        Err(Error::Diagnostics(mistakes)) => preview.mistakes = *mistakes,
        Err(e) => return Err(e),
    }
    Ok(preview)
}

/// The whole lines that a patch touches, in the new text; what touches each other is one piece.
fn pieces(path: &str, old: &str, patch: &Patch, out: &mut Vec<Piece>) {
    let text = patch.apply(old);
    let line_of = |at: usize| text[..at].matches('\n').count();
    let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
    let mut grown = 0isize;
    for (range, new) in &patch.edits {
        let start = range.start.wrapping_add_signed(grown);
        grown += new.len() as isize - range.len() as isize;
        // Line ends at its ends belong to its neighbours.
        let (trimmed, ends) = (new.trim_start_matches(['\n', '\r']), new.trim_end());
        if trimmed.is_empty() {
            continue;
        }
        let lines = line_of(start + new.len() - trimmed.len())..line_of(start + ends.len()) + 1;
        match ranges.last_mut() {
            Some(last) if lines.start <= last.end => last.end = last.end.max(lines.end),
            _ => ranges.push(lines),
        }
    }
    let lines: Vec<&str> = text.lines().collect();
    out.extend(ranges.into_iter().filter_map(|range| {
        let shown = lines.get(range.clone())?.join("\n");
        Some(Piece { path: path.to_owned(), line: range.start + 1, text: shown })
    }));
}
