//! What every rule needs at hand: where it is, where to report, and the fleet's files.

use std::collections::BTreeMap;

use super::near::did_you_mean;
use super::syntax::Item;
use super::{At, KeyInfo, Node, Rule, Sources, Value};
use crate::diagnostic::{Diagnostic, Severity};
use crate::files::Files;
use crate::{KeyPath, codes};

/// The surroundings of a reading.
#[derive(Debug)]
pub(crate) struct Cx<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) files: &'a dyn Files,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// A role read alone: what is missing may be said elsewhere.
    pub(crate) partial: bool,
    path: KeyPath,
}

/// A mistake before it has a place.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) label: String,
    pub(crate) help: Option<String>,
}

impl Report {
    /// A mistake with a stable code (see [`codes`]).
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Report {
        debug_assert!(codes::find(code).is_some(), "{code} is not in the list of codes");
        Report { code, message: message.into(), label: String::new(), help: None }
    }

    /// Words for the place itself.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Report {
        self.label = label.into();
        self
    }

    /// The way out.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Report {
        self.help = Some(help.into());
        self
    }

    /// The way out, if one is known.
    pub(crate) fn maybe_help(mut self, help: Option<String>) -> Report {
        self.help = help.or(self.help);
        self
    }
}

impl<'a> Cx<'a> {
    /// Surroundings with no mistakes yet.
    pub(crate) fn new(sources: &'a Sources, files: &'a dyn Files, partial: bool) -> Cx<'a> {
        Cx { sources, files, diagnostics: Vec::new(), partial, path: KeyPath::default() }
    }

    /// The key being read.
    pub(crate) fn path(&self) -> &KeyPath {
        &self.path
    }

    /// Runs `f` one key deeper.
    pub(crate) fn within<T>(&mut self, key: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        self.path.0.push(key.to_owned());
        let out = f(self);
        self.path.0.pop();
        out
    }

    /// Reports an error at a place.
    pub(crate) fn report(&mut self, at: At, report: Report) {
        self.report_as(Severity::Error, at, report);
    }

    /// Reports at a place with a severity.
    pub(crate) fn report_as(&mut self, severity: Severity, at: At, report: Report) {
        let mut diagnostic = Diagnostic::new(severity, report.code, report.message).at(self.sources, at);
        diagnostic.label = report.label;
        diagnostic.help = report.help;
        self.diagnostics.push(diagnostic);
    }

    /// Reports that `node` has another type than wanted (with article: "a string").
    pub(crate) fn wrong_type(&mut self, node: &Node, wanted: &str, help: Option<String>) {
        let found = node.value.type_name();
        let message = format!("`{}` must be {wanted}, not {found}", self.path);
        let report = Report::new("wrong-type", message).label(format!("this is {found}")).maybe_help(help);
        self.report(node.at, report);
    }

    /// The table in `node`; anything else is reported.
    pub(crate) fn table<'n>(&mut self, node: &'n Node) -> Option<&'n BTreeMap<String, Item>> {
        match &node.value {
            Value::Table(table) => Some(table),
            _ => {
                self.wrong_type(node, "a table", Some(format!("write a table: [{}]", self.path)));
                None
            }
        }
    }

    /// The table in `node`, which may have only `keys` and must have the required ones.
    pub(crate) fn fixed_table<'n>(
        &mut self,
        node: &'n Node,
        keys: &'static [KeyInfo],
    ) -> Option<&'n BTreeMap<String, Item>> {
        let table = self.table(node)?;
        for (key, item) in table {
            if !keys.iter().any(|known| known.name == key) {
                self.unknown_key(key, item.key_at, keys);
            }
        }
        let partial = self.partial;
        for key in keys.iter().filter(|key| key.required && !partial && !table.contains_key(key.name)) {
            let message = match self.path.0.is_empty() {
                true => format!("`{}` is missing", key.name),
                false => format!("`{}` is missing in `{}`", key.name, self.path),
            };
            let doc = key.doc.trim();
            let value = if key.name == "schema" { "1" } else { "…" };
            self.report(
                node.at,
                Report::new("missing-key", message).help(format!("add `{} = {value}`: {doc}", key.name)),
            );
        }
        Some(table)
    }

    fn unknown_key(&mut self, key: &str, at: At, keys: &[KeyInfo]) {
        let message = match self.path.0.is_empty() {
            true => format!("unknown key `{key}`"),
            false => format!("unknown key `{key}` in `{}`", self.path),
        };
        let help = did_you_mean(key, keys.iter().map(|k| k.name)).unwrap_or_else(|| {
            let names: Vec<String> = keys.iter().map(|k| format!("`{}`", k.name)).collect();
            format!("known here: {}", names.join(", "))
        });
        self.report(at, Report::new("unknown-key", message).label("not known").help(help));
    }

    /// Reads one key of a table by its rule, if it is there.
    pub(crate) fn key<R: Rule>(&mut self, table: &BTreeMap<String, Item>, key: &str) -> Option<R::Out> {
        let item = table.get(key)?;
        self.within(key, |cx| R::read(&item.node, cx))
    }
}
