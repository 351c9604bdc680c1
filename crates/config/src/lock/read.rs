//! Text as a lock, strictly: a lock that is not exactly what we write is damaged, and nothing is guessed.

use std::collections::BTreeMap;

use super::{Layer, LockFile, LockedPackage, LockedSuite, RESTORE_HELP, SCHEMA};
use crate::Diagnostic;
use crate::read::syntax::{self, Item, Node, Sources, Value};

/// A damage and its place.
type Damage = (crate::read::At, String);
type Table = BTreeMap<String, Item>;

pub(super) fn parse(path: &str, text: &str) -> Result<LockFile, Box<Diagnostic>> {
    let mut sources = Sources::default();
    let mut diagnostics = Vec::new();
    let tree = syntax::parse(&mut sources, path, text, &mut diagnostics);
    if let Some(mut first) = diagnostics.into_iter().next() {
        first.code = "bad-lock";
        let conflict = text.lines().position(|line| line.starts_with("<<<<<<< "));
        first.message = if let Some(line) = conflict {
            (first.line, first.column) = (line + 1, 1);
            let start = text.split_inclusive('\n').take(line).map(str::len).sum();
            first.span = start..start + 7;
            "the lock has git's conflict markers in it".to_owned()
        } else {
            first.message.replacen("this is not TOML", "the lock is not TOML", 1)
        };
        first.help = Some(RESTORE_HELP.to_owned());
        return Err(Box::new(first));
    }
    if !text.ends_with(super::FOOTER) {
        let mut found = Diagnostic::error("bad-lock", "the lock is damaged: its end is missing").in_file(path);
        found.line = text.lines().count().max(1);
        return Err(Box::new(found.help(RESTORE_HELP)));
    }
    read(&tree).map_err(|(at, message)| {
        let found = Diagnostic::error("bad-lock", format!("the lock is damaged: {message}"));
        Box::new(found.at(&sources, at).help(RESTORE_HELP))
    })
}

fn read(tree: &Node) -> Result<LockFile, Damage> {
    let top = Reader::new(tree, "the lock")?;
    let schema = top.number("schema")?;
    if schema != u64::from(SCHEMA) {
        return Err((top.item("schema")?.node.at, format!("it has form {schema}; this program knows form {SCHEMA}")));
    }
    let keys =
        ["schema", "inputs", "epoch", "architecture", "layers", "suites", "users", "groups", "packages"].as_slice();
    top.only(keys)?;
    let layers = layers(top.item("layers")?)?;
    let lock = LockFile {
        schema: SCHEMA,
        inputs: top.text("inputs")?,
        epoch: top.integer("epoch")?,
        architecture: top.text("architecture")?,
        suites: each(top.item("suites")?, |at| {
            at.only(&["date", "sha256"])?;
            Ok(LockedSuite { date: at.text("date")?, sha256: at.digest("sha256")? })
        })?,
        users: ids(top.item("users")?)?,
        groups: ids(top.item("groups")?)?,
        packages: each(top.item("packages")?, |at| {
            at.only(&["version", "architecture", "archive", "layer", "size", "sha256", "file"])?;
            let layer = at.number("layer")?;
            if layer >= layers.len() as u64 {
                return Err((at.item("layer")?.node.at, format!("there is no layer {layer}")));
            }
            let file = at.text("file")?;
            if file.starts_with('/') || file.split('/').any(|part| part.is_empty() || part == "..") {
                return Err((at.item("file")?.node.at, format!("{file:?} is no path below a mirror")));
            }
            Ok(LockedPackage {
                version: at.text("version")?,
                architecture: at.text("architecture")?,
                archive: at.text("archive")?,
                file,
                size: at.number("size")?,
                sha256: at.digest("sha256")?,
                layer: layer as u32,
            })
        })?,
        layers,
    };
    Ok(lock)
}

fn layers(item: &Item) -> Result<Vec<Layer>, Damage> {
    let Value::Array(elements) = &item.node.value else { return Err(not(&item.node, "layers", "an array")) };
    elements
        .iter()
        .map(|element| {
            let at = Reader::new(element, "a layer")?;
            at.only(&["name", "requested"])?;
            Ok(Layer { name: at.text("name")?, requested: at.texts("requested")? })
        })
        .collect()
}

fn each<T>(item: &Item, read: impl Fn(&Reader<'_>) -> Result<T, Damage>) -> Result<BTreeMap<String, T>, Damage> {
    let table = table_of(&item.node, "this")?;
    table.iter().map(|(name, item)| Ok((name.clone(), read(&Reader::new(&item.node, name)?)?))).collect()
}

/// Ids; two names of one id would give one's files to the other.
fn ids(item: &Item) -> Result<BTreeMap<String, u32>, Damage> {
    let mut taken: BTreeMap<u32, &str> = BTreeMap::new();
    let mut out = BTreeMap::new();
    for (name, item) in table_of(&item.node, "this")? {
        let id = match item.node.value {
            Value::Integer(n) => u32::try_from(n).map_err(|_| not(&item.node, name, "an id"))?,
            _ => return Err(not(&item.node, name, "an id")),
        };
        if let Some(other) = taken.insert(id, name) {
            return Err((item.node.at, format!("`{name}` and `{other}` have the same id {id}")));
        }
        out.insert(name.clone(), id);
    }
    Ok(out)
}

fn table_of<'n>(node: &'n Node, what: &str) -> Result<&'n Table, Damage> {
    match &node.value {
        Value::Table(table) => Ok(table),
        _ => Err(not(node, what, "a table")),
    }
}

fn not(node: &Node, what: &str, wanted: &str) -> Damage {
    (node.at, format!("`{what}` must be {wanted}, not {}", node.value.type_name()))
}

struct Reader<'n> {
    node: &'n Node,
    table: &'n Table,
    what: &'n str,
}

impl<'n> Reader<'n> {
    fn new(node: &'n Node, what: &'n str) -> Result<Reader<'n>, Damage> {
        Ok(Reader { node, table: table_of(node, what)?, what })
    }

    fn only(&self, keys: &[&str]) -> Result<(), Damage> {
        match self.table.iter().find(|(key, _)| !keys.contains(&key.as_str())) {
            Some((key, item)) => Err((item.key_at, format!("unknown key `{key}` in `{}`", self.what))),
            None => Ok(()),
        }
    }

    fn item(&self, key: &str) -> Result<&'n Item, Damage> {
        self.table.get(key).ok_or_else(|| (self.node.at, format!("`{key}` is missing in `{}`", self.what)))
    }

    fn text(&self, key: &str) -> Result<String, Damage> {
        let node = &self.item(key)?.node;
        match &node.value {
            Value::String(text) => Ok(text.clone()),
            _ => Err(not(node, key, "a string")),
        }
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, Damage> {
        let node = &self.item(key)?.node;
        let Value::Array(elements) = &node.value else { return Err(not(node, key, "an array")) };
        elements
            .iter()
            .map(|element| match &element.value {
                Value::String(text) => Ok(text.clone()),
                _ => Err(not(element, key, "an array of strings")),
            })
            .collect()
    }

    fn integer(&self, key: &str) -> Result<i64, Damage> {
        let node = &self.item(key)?.node;
        match node.value {
            Value::Integer(n) => Ok(n),
            _ => Err(not(node, key, "an integer")),
        }
    }

    fn number(&self, key: &str) -> Result<u64, Damage> {
        let n = self.integer(key)?;
        u64::try_from(n).map_err(|_| (self.node.at, format!("`{key}` of `{}` is below zero", self.what)))
    }

    fn digest(&self, key: &str) -> Result<String, Damage> {
        let text = self.text(key)?;
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(text);
        }
        Err((self.item(key)?.node.at, format!("`{key}` of `{}` is no SHA-256 digest in hex", self.what)))
    }
}
