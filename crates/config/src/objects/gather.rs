//! From a server's text to its objects.

use std::collections::{BTreeMap, BTreeSet};

use super::control::Control;
use super::{Broken, Field, From, Group, Object, Objects, Place, extent};
use crate::files::Files;
use crate::load::{Alone, load_alone};
use crate::model::Origin;
use crate::read::rules::SysctlValue;
use crate::read::syntax::Item;
use crate::read::{CHECK_KINDS, Hint, KeyInfo, Node, Rule, Value};
use crate::{Diagnostic, KeyPath, schema};

/// Kinds in words, in the order of the schema.
const TITLES: &[(&str, &str)] = &[
    ("system", "System"),
    ("packages", "Packages"),
    ("services", "Services"),
    ("users", "Users"),
    ("groups", "Groups"),
    ("files", "Files"),
    ("network", "Network"),
    ("timers", "Timers"),
    ("sysctl", "Kernel settings"),
    ("state", "State"),
    ("checks", "Checks"),
];

/// Everything of one server, from whatever text there is. Reads nothing of other servers and of no file in `root/`.
pub fn objects(files: &dyn Files, server: &str) -> Objects {
    let alone = load_alone(files, server);
    let notes = alone.sources.files().map(|(_, text)| crate::edit::notes(text)).collect();
    let reading = Reading { alone: &alone, notes, keys: schema::keys(), defaults: schema::defaults() };
    let mut out = reading.objects(server);
    share_out(&mut out, &alone);
    out
}

struct Reading<'a> {
    alone: &'a Alone,
    /// The comments of every file, by its number.
    notes: Vec<BTreeMap<KeyPath, String>>,
    keys: BTreeMap<&'static str, &'static [KeyInfo]>,
    defaults: BTreeMap<&'static str, serde_json::Value>,
}

/// One table of an object: where it is, what keys it has.
struct Shape<'s> {
    /// Its path in the schema: "users.*".
    pattern: &'s str,
    /// Its key.
    key: KeyPath,
    /// Its key within the object, with a final dot; empty for the object itself.
    within: String,
    keys: &'static [KeyInfo],
}

impl Reading<'_> {
    fn objects(&self, server: &str) -> Objects {
        let top = self.keys.get("").copied().unwrap_or_default();
        let mut groups = vec![self.own_keys(top)];
        for key in top {
            if let Some((kind, title)) = TITLES.iter().find(|(kind, _)| *kind == key.name) {
                groups.push(self.group(kind, title, key.doc.trim()));
            }
        }
        let known: BTreeSet<&str> = top.iter().map(|k| k.name).collect();
        let mut unknown = self.unknown(&KeyPath::default(), "", &known);
        // A kind that is no table cannot be shown as objects.
        for (kind, _) in TITLES {
            let item = self.item(&[(*kind).to_owned()]);
            if item.is_some_and(|i| !matches!(i.node.value, Value::Table(_))) {
                unknown.extend(self.field_of_any(KeyPath(vec![(*kind).to_owned()]), (*kind).to_owned()));
            }
        }
        Objects {
            server: server.to_owned(),
            exists: self.alone.exists,
            roles: self.alone.server.roles.clone(),
            groups,
            unknown,
            broken: Vec::new(),
            diagnostics: Vec::new(),
            root_files: self.alone.server.root_files.iter().map(|(p, f)| (p.clone(), f.source.clone())).collect(),
            texts: self.alone.sources.files().map(|(p, t)| (p.clone(), t.clone())).collect(),
        }
    }

    /// The plain keys of the top: form, roles, recommends.
    fn own_keys(&self, top: &'static [KeyInfo]) -> Group {
        let shape = Shape { pattern: "", key: KeyPath::default(), within: String::new(), keys: top };
        let fields = self.fields(&shape, "", "");
        let mut value = String::new();
        for field in &fields {
            if let Some(item) = self.item(&field.key.0) {
                canon(&item.node.value, &mut value);
            }
            value.push(';');
        }
        let mut places: Vec<Place> = Vec::new();
        for field in &fields {
            for place in self.places(&field.key) {
                match places.iter_mut().find(|p| p.origin.path == place.origin.path) {
                    Some(known) => known.extents.extend(place.extents),
                    None => places.push(place),
                }
            }
        }
        for place in &mut places {
            place.extents.sort_by_key(|e| e.first);
        }
        let object = Object {
            kind: "server",
            name: String::new(),
            key: KeyPath::default(),
            places,
            fields,
            unknown: Vec::new(),
            diagnostics: Vec::new(),
            note: None,
            value,
        };
        let help = "What this server is made from.";
        Group { kind: "server", title: "General", help, single: true, objects: vec![object] }
    }

    fn group(&self, kind: &'static str, title: &'static str, help: &'static str) -> Group {
        let single = self.keys.contains_key(kind);
        let objects = if single {
            vec![self.object(kind, "", KeyPath(vec![kind.to_owned()]))]
        } else {
            let names: BTreeSet<&String> = self.layer_tables(kind).flat_map(|table| table.keys()).collect();
            let object = |name: &String| self.object(kind, name, KeyPath(vec![kind.to_owned(), name.clone()]));
            names.into_iter().map(object).collect()
        };
        Group { kind, title, help, single, objects }
    }

    fn layer_tables(&self, kind: &str) -> impl Iterator<Item = &BTreeMap<String, Item>> {
        self.alone.layers.iter().filter_map(move |(_, tree)| match &table(tree)?.get(kind)?.node.value {
            Value::Table(table) => Some(table),
            _ => None,
        })
    }

    fn object(&self, kind: &'static str, name: &str, key: KeyPath) -> Object {
        let item = self.item(&key.0);
        let is_table = item.is_none_or(|i| matches!(i.node.value, Value::Table(_)));
        let pattern =
            if name.is_empty() && self.keys.contains_key(kind) { kind.to_owned() } else { format!("{kind}.*") };
        let keys = self.keys.get(pattern.as_str()).copied().unwrap_or_default();
        let mut fields = Vec::new();
        let mut unknown = Vec::new();
        match kind {
            "sysctl" => {
                let info =
                    value_key("value", "The value: text, a number, or true and false for 1 and 0.", SysctlValue::HINT);
                fields.push(self.field(&info, key.clone(), "value".to_owned(), "", None));
            }
            // "*" or a version, in place of a table with both.
            "packages" if !is_table => {
                let version = keys.iter().find(|k| k.name == "version").copied();
                fields.extend(version.map(|info| self.field(&info, key.clone(), "version".to_owned(), "", None)));
            }
            _ if !is_table => fields.extend(self.field_of_any(key.clone(), "value".to_owned())),
            _ => {
                let shape = Shape { pattern: &pattern, key: key.clone(), within: String::new(), keys };
                fields = self.fields(&shape, kind, name);
                unknown = self.unknown(&key, "", &keys.iter().map(|k| k.name).collect());
                for nested in keys.iter().filter(|k| k.hint == Hint::Table) {
                    if let Some(inner) = self.keys.get(format!("{pattern}.{}", nested.name).as_str()) {
                        let known = inner.iter().map(|k| k.name).collect();
                        unknown.extend(self.unknown(&key.child(nested.name), &format!("{}.", nested.name), &known));
                    }
                }
            }
        }
        let mut value = String::new();
        if let Some(item) = item {
            canon(&item.node.value, &mut value);
        }
        Object {
            kind,
            name: name.to_owned(),
            places: self.places(&key),
            note: item.and_then(|i| self.note(&key, i)),
            key,
            fields,
            unknown,
            diagnostics: Vec::new(),
            value,
        }
    }

    /// The fields of a table, those of the tables in it included.
    fn fields(&self, shape: &Shape<'_>, kind: &str, name: &str) -> Vec<Field> {
        let mut fields = Vec::new();
        for info in shape.keys {
            let key = shape.key.child(info.name);
            let within = format!("{}{}", shape.within, info.name);
            let item = self.item(&key.0);
            if info.hint == Hint::Table && item.is_none_or(|i| matches!(i.node.value, Value::Table(_))) {
                let pattern = format!("{}.{}", shape.pattern, info.name);
                if let Some(keys) = self.keys.get(pattern.as_str()) {
                    let inner = Shape { pattern: &pattern, key, within: format!("{within}."), keys };
                    fields.extend(self.fields(&inner, kind, name).into_iter().map(|f| Field { group: info.name, ..f }));
                }
                continue;
            }
            if info.hint == Hint::Table && shape.pattern.is_empty() {
                continue;
            }
            let mut default = self.defaults.get(shape.pattern).and_then(|d| plain_default(&d[info.name]));
            default = self.default_in_context(kind, name, &within).or(default);
            let group = match kind {
                "checks" => CHECK_KINDS
                    .iter()
                    .find(|(k, keys)| *k == info.name || keys.contains(&info.name))
                    .map_or("", |(k, _)| *k),
                _ => "",
            };
            fields.push(self.field(info, key, within, group, default));
        }
        fields
    }

    /// Defaults that depend on more than the key.
    fn default_in_context(&self, kind: &str, name: &str, field: &str) -> Option<String> {
        let server = &self.alone.server;
        match (kind, field) {
            ("system", "hostname") => Some(server.name.clone()),
            ("users", "group") => Some(name.to_owned()),
            ("users", "home") => server.users.get(name).map(|u| u.home_of(name)),
            ("users", "shell") => server.users.get(name).map(|u| u.login_shell().to_owned()),
            ("files", "mode") => server.files.get(name).map(|f| format!("{:04o}", f.mode)),
            ("packages", "recommends") => Some(server.recommends.to_string()),
            ("checks", "status") => Some("200".to_owned()),
            ("checks", "exit") => Some("0".to_owned()),
            ("checks", "exists") => Some("true".to_owned()),
            ("", "recommends") => Some(server.recommends.to_string()),
            _ => None,
        }
    }

    fn field(&self, info: &KeyInfo, key: KeyPath, name: String, group: &'static str, default: Option<String>) -> Field {
        let item = self.item(&key.0);
        let (control, value, shown) = match item {
            Some(item) => {
                let literal = self.literal(&item.node);
                let (control, shown) = Control::of_value(info.hint, &item.node, &literal);
                (control, Some(literal), Some(shown))
            }
            None => (Control::of_hint(info.hint), None, None),
        };
        let (unit, pattern) = match info.hint {
            Hint::Number { unit, .. } if !unit.is_empty() => (Some(unit), None),
            Hint::Size => (Some("bytes"), Some("[0-9]+ *(B|[KMGT](iB)?)?")),
            Hint::Mode => (None, Some("[0-7]{3,5}")),
            Hint::Line(pattern) => (None, pattern),
            _ => (None, None),
        };
        Field {
            from: item.map_or(From::Default, |i| self.from(i)),
            shadowed: self.shadowed(&key, item),
            note: item.and_then(|i| self.note(&key, i)),
            key,
            name,
            group,
            help: info.doc.trim(),
            control,
            unit,
            pattern,
            required: info.required,
            set: info.set,
            access: info.access,
            value,
            shown,
            default,
            diagnostics: Vec::new(),
        }
    }

    /// A value of which nothing is known.
    fn field_of_any(&self, key: KeyPath, name: String) -> Option<Field> {
        self.item(&key.0)?;
        Some(self.field(&value_key("", "", Hint::Any), key, name, "", None))
    }

    fn unknown(&self, key: &KeyPath, within: &str, known: &BTreeSet<&str>) -> Vec<Field> {
        let found =
            if key.0.is_empty() { table(&self.alone.merged) } else { self.item(&key.0).and_then(|i| table(&i.node)) };
        let names = found.into_iter().flat_map(|t| t.keys()).filter(|name| !known.contains(name.as_str()));
        names.filter_map(|name| self.field_of_any(key.child(name), format!("{within}{name}"))).collect()
    }

    /// What holds at a key.
    fn item(&self, key: &[String]) -> Option<&Item> {
        lookup(&self.alone.merged, key)
    }

    fn literal(&self, node: &Node) -> String {
        self.alone.sources.text(node.at.file).get(node.at.span()).unwrap_or_default().to_owned()
    }

    fn note(&self, key: &KeyPath, item: &Item) -> Option<String> {
        self.notes.get(item.key_at.file as usize)?.get(key).cloned()
    }

    fn from(&self, item: &Item) -> From {
        let path = self.alone.sources.path(item.key_at.file).clone();
        let line = self.alone.sources.line_column(item.key_at.file, item.key_at.start as usize).0;
        let role = path.strip_prefix("roles/").and_then(|p| p.strip_suffix(".toml"));
        match role {
            Some(name) => From::Role { name: name.to_owned(), path, line },
            None => From::Server { path, line },
        }
    }

    /// What lies under the value that holds (or was replaced with its whole object), the topmost first.
    fn shadowed(&self, key: &KeyPath, holds: Option<&Item>) -> Vec<(From, String)> {
        let found = self.alone.layers.iter().rev().filter_map(|(_, tree)| lookup(tree, &key.0));
        let under = found.filter(|item| holds.is_none_or(|h| h.key_at != item.key_at));
        under.map(|item| (self.from(item), self.literal(&item.node))).collect()
    }

    fn places(&self, key: &KeyPath) -> Vec<Place> {
        let mut places = Vec::new();
        for (role, tree) in self.alone.layers.iter().rev() {
            let Some(item) = lookup(tree, &key.0) else { continue };
            let file = item.key_at.file;
            let sources = &self.alone.sources;
            let (line, column) = sources.line_column(file, item.key_at.start as usize);
            let origin = Origin {
                path: sources.path(file).clone(),
                line,
                column,
                key_span: item.key_at.span(),
                span: item.node.at.span(),
            };
            places.push(Place { role: role.clone(), origin, extents: extent::of_item(item, file, sources) });
        }
        places
    }
}

fn value_key(name: &'static str, doc: &'static str, hint: Hint) -> KeyInfo {
    KeyInfo { name, doc, required: false, hint, set: false, access: false }
}

fn table(node: &Node) -> Option<&BTreeMap<String, Item>> {
    match &node.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

fn lookup<'n>(node: &'n Node, key: &[String]) -> Option<&'n Item> {
    let (first, rest) = key.split_first()?;
    let item = table(node)?.get(first)?;
    if rest.is_empty() { Some(item) } else { lookup(&item.node, rest) }
}

fn plain_default(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()).filter(|t| !t.is_empty()),
        serde_json::Value::Bool(b) => Some(b.to_string()),
        serde_json::Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}

/// A value in one form, whatever way it is written.
fn canon(value: &Value, out: &mut String) {
    match value {
        Value::Table(table) => {
            out.push('{');
            for (key, item) in table {
                out.push_str(&crate::keypath::quote_key(key));
                out.push('=');
                canon(&item.node.value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push('[');
            for element in elements {
                canon(&element.value, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::String(text) => out.push_str(&crate::keypath::quote_string(text)),
        Value::Integer(n) => out.push_str(&n.to_string()),
        Value::Number(text) | Value::Datetime(text) => out.push_str(text),
        Value::Boolean(b) => out.push_str(if *b { "true" } else { "false" }),
    }
}

/// Gives every diagnostic to the value or object it is about.
fn share_out(out: &mut Objects, alone: &Alone) {
    for found in &alone.diagnostics {
        if matches!(found.code, "invalid-toml" | "not-text" | "unreadable" | "file-too-large") {
            let message = match &found.help {
                Some(help) => format!("{} ({help})", found.message),
                None => found.message.clone(),
            };
            out.broken.push(Broken { path: found.file.clone(), line: found.line, message });
            continue;
        }
        let home = out.groups.iter_mut().flat_map(|g| &mut g.objects).find_map(|object| home_of(object, found));
        match home {
            Some(home) => home.push(found.clone()),
            None => match out.unknown.iter_mut().find(|f| is_about(f, found)) {
                Some(field) => field.diagnostics.push(found.clone()),
                None => out.diagnostics.push(found.clone()),
            },
        }
    }
}

fn home_of<'o>(object: &'o mut Object, found: &Diagnostic) -> Option<&'o mut Vec<Diagnostic>> {
    let within = |place: &Place| {
        *place.origin.path == *found.file && place.extents.iter().any(|e| (e.first..=e.last).contains(&found.line))
    };
    if !object.places.iter().any(within) {
        return None;
    }
    let fields = object.fields.iter_mut().chain(object.unknown.iter_mut());
    let field = fields.into_iter().find(|f| is_about(f, found));
    match field {
        Some(field) => Some(&mut field.diagnostics),
        // Two objects on one line: the one whose key it is.
        None if object.key.0.is_empty() => None,
        None => Some(&mut object.diagnostics),
    }
}

/// Whether a diagnostic lies on the lines of a value.
fn is_about(field: &Field, found: &Diagnostic) -> bool {
    let lines = field.value.as_deref().map_or(1, |v| v.lines().count().max(1));
    field.from.place().is_some_and(|(path, line)| **path == *found.file && (line..line + lines).contains(&found.line))
}
