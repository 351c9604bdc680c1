//! Rules for objects whose text form differs from their value: checks, files, packages, ports.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use schemars::{Schema, SchemaGenerator, json_schema};

use super::near::did_you_mean;
use super::rules::{PackageVersion, words};
use super::{Cx, Hint, Node, Report, Rule, Value};
use crate::model::{Check, CheckKind, CheckText, Engine, FileEntry, FileKind, FileText, Package, PackageText, Publish};

/// The version of the form of text: there is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SchemaVersion;

impl Rule for SchemaVersion {
    type Out = u32;

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<u32> {
        match node.value {
            Value::Integer(1) => Some(1),
            Value::Integer(n) => {
                let message = format!("this text is in form {n}, but this program knows only form 1");
                cx.report(node.at, Report::new("bad-value", message).help("use a newer regrow, or write `schema = 1`"));
                None
            }
            _ => {
                cx.wrong_type(node, "an integer", Some("write `schema = 1`".to_owned()));
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": 1 })
    }

    const HINT: Hint = Hint::Number { min: 1, max: 1, unit: "" };
}

/// A package: `"*"`, a version, or a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackageRule;

impl Rule for PackageRule {
    type Out = Package;

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<Package> {
        match &node.value {
            Value::String(_) => PackageVersion::read(node, cx).map(|version| Package { version, recommends: None }),
            Value::Table(_) => {
                PackageText::read(node, cx).map(|PackageText { version, recommends }| Package { version, recommends })
            }
            Value::Boolean(false) => {
                cx.wrong_type(node, "a version", Some("to leave a package out, remove its line".to_owned()));
                None
            }
            _ => {
                let help = "write \"*\", or one exact version such as \"1.26.3-3+deb13u1\"";
                cx.wrong_type(node, "a version", Some(help.to_owned()));
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let long = PackageText::schema(generator);
        let short = PackageVersion::schema(generator);
        json_schema!({ "anyOf": [short, long] })
    }
}

impl Publish {
    /// Reads a published port as the text has it; `None` if it is none.
    pub fn parse(text: &str) -> Option<Publish> {
        <PublishRule as super::rules::Word>::parse(text).ok()
    }
}

words! {
    /// A published port.
    PublishRule -> Publish, pattern "^(.*:)?[0-9]{1,5}:[0-9]{1,5}$", |text| {
        let bad = |why: String| Report::new("bad-publish", format!("{text:?} is no published port: {why}"))
            .help("write \"ADDRESS:PORT:PORT INSIDE\", such as \"127.0.0.1:8080:80\" or \"[::1]:8080:80\"");
        let port = |part: &str| match part.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(bad(format!("{part:?} is no port from 1 to 65535"))),
        };
        let Some((rest, inside)) = text.rsplit_once(':') else {
            return Err(bad("it names one port only".to_owned()));
        };
        let (host, outside) = rest.rsplit_once(':').unwrap_or(("127.0.0.1", rest));
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let address = match host {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            host => host.parse().map_err(|_| bad(format!("{host:?} is no address of a host")))?,
        };
        Ok(Publish { host: SocketAddr::new(address, port(outside)?), port: port(inside)? })
    };

    /// How state is captured.
    EngineRule -> Engine, choices ENGINES, |text| {
        Ok(match text {
            "files" => Engine::Files,
            "postgresql" => Engine::Postgresql,
            "mariadb" => Engine::Mariadb,
            "sqlite" => Engine::Sqlite,
            "redis" => Engine::Redis,
            _ => {
                let help = did_you_mean(text, ENGINES.iter().copied())
                    .unwrap_or_else(|| format!("known are {}; `files` fits anything", ENGINES.join(", ")));
                return Err(Report::new("bad-value", format!("{text:?} is no way to capture state")).help(help));
            }
        })
    };
}

const ENGINES: &[&str] = &["files", "postgresql", "mariadb", "sqlite", "redis"];

/// Kinds of check with the keys that belong to each.
pub(crate) const CHECK_KINDS: &[(&str, &[&str])] = &[
    ("unit", &[]),
    ("port", &[]),
    ("http", &["status", "body"]),
    ("command", &["exit", "stdout"]),
    ("file", &["exists", "content", "mode"]),
];

/// A check: exactly one kind, and only the keys that belong to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CheckRule;

impl Rule for CheckRule {
    type Out = Check;

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<Check> {
        let text = CheckText::read(node, cx)?;
        let Value::Table(table) = &node.value else { return None };
        let given: Vec<_> = CHECK_KINDS.iter().filter(|(kind, _)| table.contains_key(*kind)).collect();
        let chosen = match given.as_slice() {
            [one] => **one,
            [] => {
                if !cx.partial {
                    let message = format!("`{}` has nothing to check", cx.path());
                    let help = "add one of `unit`, `port`, `http`, `command` and `file`";
                    cx.report(node.at, Report::new("check-kind", message).help(help));
                }
                return None;
            }
            several => {
                let names: Vec<String> = several.iter().map(|(kind, _)| format!("`{kind}`")).collect();
                let message = format!("`{}` has {} at once", cx.path(), names.join(" and "));
                let help = "a check is of one kind; make a second check for the other";
                // The last one written is the one to question.
                let at = several.iter().filter_map(|(kind, _)| table.get(*kind)).map(|i| i.key_at).max();
                cx.report(at.unwrap_or(node.at), Report::new("check-kind", message).help(help));
                return None;
            }
        };
        for (kind, keys) in CHECK_KINDS.iter().filter(|(kind, _)| *kind != chosen.0) {
            for key in *keys {
                if let Some(item) = table.get(*key) {
                    let message = format!("`{key}` belongs to a check of kind `{kind}`, not `{}`", chosen.0);
                    cx.report(item.key_at, Report::new("check-kind", message).help("remove it"));
                }
            }
        }
        let kind = match chosen.0 {
            "unit" => CheckKind::Unit { unit: super::rules::full_unit_name(&text.unit?) },
            "port" => CheckKind::Port { port: text.port? },
            "http" => CheckKind::Http { url: text.http?, status: text.status.unwrap_or(200), body: text.body },
            "command" => CheckKind::Command { argv: text.command?, exit: text.exit.unwrap_or(0), stdout: text.stdout },
            _ => {
                let exists = text.exists.unwrap_or(true);
                for key in ["content", "mode"] {
                    if let Some(item) = table.get(key).filter(|_| !exists) {
                        let message = format!("a file that must not exist has no `{key}`");
                        cx.report(item.key_at, Report::new("conflicting-keys", message).help("remove one of the two"));
                    }
                }
                CheckKind::File { path: text.file?, exists, content: text.content, mode: text.mode }
            }
        };
        Some(Check { kind, timeout: text.timeout })
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        CheckText::schema(generator)
    }

    const HINT: Hint = Hint::Table;
}

/// Keys of which a declared file has exactly one.
pub(super) const FILE_KINDS: &[&str] = &["content", "source", "symlink", "directory"];

/// A declared file; `source` is read from the fleet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerFile;

impl Rule for ServerFile {
    type Out = FileEntry;

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<FileEntry> {
        let text = FileText::read(node, cx)?;
        let Value::Table(table) = &node.value else { return None };
        let given: Vec<&str> = FILE_KINDS
            .iter()
            .copied()
            .filter(|kind| table.get(*kind).is_some_and(|i| !matches!(i.node.value, Value::Boolean(false))))
            .collect();
        match given.as_slice() {
            [_] => {}
            [] => {
                if !cx.partial {
                    let message = format!("`{}` does not say what is there", cx.path());
                    let help = "add one of `content`, `source`, `symlink` and `directory = true`";
                    cx.report(node.at, Report::new("missing-key", message).help(help));
                }
                return None;
            }
            several => {
                let names: Vec<String> = several.iter().map(|kind| format!("`{kind}`")).collect();
                let message = format!("`{}` has {} at once", cx.path(), names.join(" and "));
                let at = several.iter().filter_map(|kind| table.get(*kind)).map(|i| i.key_at).max();
                cx.report(at.unwrap_or(node.at), Report::new("conflicting-keys", message).help("keep one of them"));
                return None;
            }
        }
        let (kind, default_mode) = match given[0] {
            "content" => (FileKind::Regular { content: text.content?.into_bytes(), source: None }, 0o644),
            "source" => {
                let source = text.source?;
                let content = read_source(table.get("source")?, &source, cx)?;
                (FileKind::Regular { content, source: Some(source) }, 0o644)
            }
            "symlink" => {
                if let Some(item) = table.get("mode") {
                    let report = Report::new("conflicting-keys", "a symbolic link has no mode of its own");
                    cx.report(item.key_at, report.help("remove `mode`"));
                }
                (FileKind::Symlink { target: text.symlink? }, 0o777)
            }
            _ => (FileKind::Directory, 0o755),
        };
        Some(FileEntry { kind, mode: text.mode.unwrap_or(default_mode), owner: text.owner, group: text.group })
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        FileText::schema(generator)
    }

    const HINT: Hint = Hint::Table;
}

fn read_source(item: &super::syntax::Item, source: &str, cx: &mut Cx<'_>) -> Option<Vec<u8>> {
    let report = match cx.files.read(source) {
        Ok(Some(bytes)) => return Some(bytes),
        Ok(None) => Report::new("missing-file", format!("the fleet has no file {source:?}"))
            .help("paths of `source` are relative to the fleet's directory"),
        Err(e) if e.source.kind() == std::io::ErrorKind::FileTooLarge => {
            Report::new("file-too-large", format!("{source:?} is larger than {} MiB", crate::MAX_FILE >> 20))
                .help("put large things into a package or into state")
        }
        Err(e) => Report::new("unreadable", format!("{source:?} cannot be read: {}", e.source)),
    };
    cx.report(item.node.at, report);
    None
}
