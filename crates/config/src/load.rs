//! Reading a whole fleet: every file, every mistake.

mod overlay;

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Diagnostic, tidy};
use crate::files::{Files, Kind};
use crate::model::{Fleet, FleetText, Origin, Role, Server, ServerText};
use crate::read::merge::{join, lay_over};
use crate::read::near::did_you_mean;
use crate::read::rules::{ObjectName, Word};
use crate::read::syntax::{Node, Sources, Value, parse};
use crate::read::{Cx, Rule};
use crate::{Catalog, KeyPath, LockFile, validate};

/// The largest file of text that is parsed, in bytes.
const MAX_TEXT: usize = 4 << 20;

/// Reads everything and says everything that is wrong, sorted by file and place.
///
/// What a mistake spoils has its default in the result: use the fleet only when no diagnostic is an error. Mistakes
/// that need the archives (packages that do not exist) are found by [`check_packages`](crate::check_packages).
pub fn load_fleet(files: &dyn Files) -> (Fleet, Vec<Diagnostic>) {
    let mut loader = Loader { files, sources: Sources::default(), diagnostics: Vec::new() };
    let fleet = loader.fleet();
    let mut diagnostics = loader.diagnostics;
    tidy(&mut diagnostics);
    (fleet, diagnostics)
}

/// The names of the servers, without reading them.
pub fn load_server_names(files: &dyn Files) -> Result<Vec<String>, regrow_host::FsError> {
    let entries = files.list("servers")?;
    Ok(entries.into_iter().filter(|e| e.kind == Kind::Dir && !e.name.starts_with('.')).map(|e| e.name).collect())
}

/// The roles that a server's own text names, whether there are such roles or not, without reading anything else.
pub fn load_role_names(files: &dyn Files, server: &str) -> Vec<String> {
    let mut loader = Loader { files, sources: Sources::default(), diagnostics: Vec::new() };
    let Some(Node { value: Value::Table(table), .. }) = loader.own(server) else { return Vec::new() };
    let Some(Value::Array(elements)) = table.get("roles").map(|item| &item.node.value) else { return Vec::new() };
    let names =
        elements.iter().filter_map(|e| if let Value::String(role) = &e.value { Some(role.clone()) } else { None });
    names.collect()
}

/// Reads a server's lock; `None` if it was never locked. A damaged lock is a diagnostic.
pub fn load_lock(files: &dyn Files, server: &str) -> Result<Option<LockFile>, Box<Diagnostic>> {
    let path = lock_path(server);
    match files.read(&path) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => match String::from_utf8(bytes) {
            Ok(text) => LockFile::parse(&path, &text).map(Some),
            Err(_) => Err(Box::new(
                Diagnostic::error("bad-lock", "the lock is not text").in_file(&path).help(crate::lock::RESTORE_HELP),
            )),
        },
        Err(e) => Err(Box::new(unreadable(&path, &e))),
    }
}

/// Where a server's lock is, relative to the fleet.
pub(crate) fn lock_path(server: &str) -> String {
    format!("servers/{server}/lock.toml")
}

fn unreadable(path: &str, error: &regrow_host::FsError) -> Diagnostic {
    match error.source.kind() {
        std::io::ErrorKind::FileTooLarge => {
            Diagnostic::error("file-too-large", format!("{path} is larger than {} MiB", crate::MAX_FILE >> 20))
                .in_file(path)
                .help("put large things into a package or into state")
        }
        _ => Diagnostic::error("unreadable", format!("{path} cannot be read: {}", error.source)).in_file(path),
    }
}

struct Loader<'f> {
    files: &'f dyn Files,
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
}

impl Loader<'_> {
    fn fleet(&mut self) -> Fleet {
        let settings = self.settings();
        let catalog = self.catalog();
        let roles = self.role_trees();
        let mut fleet = Fleet { archives: settings.archives, defaults: settings.defaults, catalog, ..Fleet::default() };
        for name in roles.keys() {
            fleet.roles.insert(name.clone(), Role { path: format!("roles/{name}.toml"), servers: Vec::new() });
        }
        for name in self.names("servers", Kind::Dir) {
            let server = self.server(&name, &roles, &fleet);
            for role in &server.roles {
                if let Some(role) = fleet.roles.get_mut(role) {
                    role.servers.push(name.clone());
                }
            }
            fleet.servers.insert(name, server);
        }
        fleet
    }

    /// `regrow.toml`.
    fn settings(&mut self) -> FleetText {
        let path = "regrow.toml";
        let Some(tree) = self.tree(path) else {
            if !self.diagnostics.iter().any(|d| &*d.file == path) {
                let found = Diagnostic::error("missing-file", "this is no fleet: it has no regrow.toml").in_file(path);
                self.diagnostics
                    .push(found.help("go to a fleet's directory, name it with -C, or make one: regrow init DIR"));
            }
            return FleetText::default();
        };
        let mut cx = Cx::new(&self.sources, self.files, false);
        let settings = FleetText::read(&tree, &mut cx).unwrap_or_default();
        let found = cx.diagnostics;
        self.diagnostics.extend(found);
        if settings.archives.is_empty() && !self.diagnostics.iter().any(|d| &*d.file == path) {
            let found = Diagnostic::error("missing-key", "`archives` is missing: no package can come from anywhere");
            self.diagnostics
                .push(found.in_file(path).help("add [archives.debian] with `mirror`, `suites` and `keyring`"));
        }
        settings
    }

    /// The built-in catalog and the fleet's own.
    fn catalog(&mut self) -> Catalog {
        let mut catalog = Catalog::builtin().clone();
        for name in self.names("catalog", Kind::File) {
            let Some(stem) = name.strip_suffix(".toml") else { continue };
            let path = format!("catalog/{name}");
            let Some(tree) = self.tree(&path) else { continue };
            let mut cx = Cx::new(&self.sources, self.files, false);
            if let Some(entry) = crate::catalog::CatalogEntry::read(&tree, &mut cx) {
                catalog.insert(stem, entry);
            }
            let found = cx.diagnostics;
            self.diagnostics.extend(found);
        }
        catalog
    }

    /// Every role as a tree; its own mistakes are told even if no server uses it.
    fn role_trees(&mut self) -> BTreeMap<String, Node> {
        let mut roles = BTreeMap::new();
        for name in self.names("roles", Kind::File) {
            let Some(stem) = name.strip_suffix(".toml") else { continue };
            let path = format!("roles/{name}");
            if let Err(report) = ObjectName::parse(stem) {
                let found = Diagnostic::error(report.code, format!("{path} is no role: {}", report.message));
                self.diagnostics.push(found.in_file(&path));
                continue;
            }
            let Some(mut tree) = self.tree(&path) else { continue };
            let mut cx = Cx::new(&self.sources, self.files, true);
            let _ = ServerText::read(&tree, &mut cx);
            if let Value::Table(table) = &mut tree.value
                && let Some(item) = table.remove("roles")
            {
                let message = "a role cannot take up other roles";
                let report = crate::read::Report::new("conflicting-keys", message);
                cx.report(item.key_at, report.help("name both roles in the server: roles = [\"base\", \"web\"]"));
            }
            let found = cx.diagnostics;
            self.diagnostics.extend(found);
            roles.insert(stem.to_owned(), tree);
        }
        roles
    }

    fn server(&mut self, name: &str, roles: &BTreeMap<String, Node>, fleet: &Fleet) -> Server {
        let dir = format!("servers/{name}");
        if let Err(report) = ObjectName::parse(name) {
            let found = Diagnostic::error(report.code, format!("{dir} is no server: {}", report.message));
            self.diagnostics.push(found.in_file(&dir));
        }
        let Some(own) = self.own(name) else { return Server { name: name.to_owned(), ..Server::default() } };
        let named = self.named_roles(&own, &roles.keys().cloned().collect());
        let merged = merged(&own, &named.iter().map(|role| &roles[role]).collect::<Vec<_>>());
        let server = self.read_server(name, named, &merged, fleet, true);
        validate::server(&server, fleet, self.files, &self.sources, &merged, &mut self.diagnostics);
        server
    }

    /// What a server says itself, in all its files.
    fn own(&mut self, name: &str) -> Option<Node> {
        let dir = format!("servers/{name}");
        let mut parts = Vec::new();
        for file in self.names(&dir, Kind::File) {
            if file.ends_with(".toml") && file != "lock.toml" {
                parts.extend(self.tree(&format!("{dir}/{file}")));
            }
        }
        // server.toml first: it is where people look.
        let main: std::sync::Arc<str> = format!("{dir}/server.toml").into();
        parts.sort_by_key(|part| *self.sources.path(part.at.file) != main);
        let own = join(parts, &self.sources, &mut self.diagnostics);
        if own.is_none() && !self.diagnostics.iter().any(|d| d.file.starts_with(&dir)) {
            let found = Diagnostic::error("missing-file", format!("the server {name} has no server.toml"));
            self.diagnostics.push(found.in_file(&main).help("write one, or remove the directory"));
        }
        own
    }

    /// The value of a server's merged text. Without `contents`, the files of its `root/` are only listed.
    fn read_server(&mut self, name: &str, roles: Vec<String>, merged: &Node, fleet: &Fleet, contents: bool) -> Server {
        let mut cx = Cx::new(&self.sources, self.files, false);
        let text = ServerText::read(merged, &mut cx).unwrap_or_default();
        let found = cx.diagnostics;
        self.diagnostics.extend(found);
        with_hostname(Server {
            name: name.to_owned(),
            roles,
            architecture: fleet.defaults.architecture.clone(),
            recommends: text.recommends.unwrap_or(fleet.defaults.recommends),
            system: text.system,
            packages: text.packages,
            services: text.services,
            users: text.users,
            groups: text.groups,
            files: text.files,
            network: text.network,
            timers: text.timers,
            sysctl: text.sysctl,
            state: text.state,
            checks: text.checks,
            root_files: overlay::read(self.files, &format!("servers/{name}"), contents, &mut self.diagnostics),
            provenance: self.provenance(merged),
        })
    }

    /// The roles a server names that exist; the others are reported.
    fn named_roles(&mut self, own: &Node, roles: &BTreeSet<String>) -> Vec<String> {
        let mut named = Vec::new();
        let Value::Table(table) = &own.value else { return named };
        let Some(Value::Array(elements)) = table.get("roles").map(|item| &item.node.value) else { return named };
        for element in elements {
            let Value::String(role) = &element.value else { continue };
            if !roles.contains(role) {
                let known = || roles.iter().map(String::as_str);
                let help = did_you_mean(role, known()).unwrap_or_else(|| match known().next() {
                    Some(_) => format!("the fleet has {}", known().collect::<Vec<_>>().join(", ")),
                    None => format!("make it: roles/{role}.toml"),
                });
                let found = Diagnostic::error("unknown-role", format!("there is no role `{role}`"));
                self.diagnostics.push(found.at(&self.sources, element.at).label("not in roles/").help(help));
            } else if !named.contains(role) {
                named.push(role.clone());
            }
        }
        named
    }

    fn provenance(&self, merged: &Node) -> BTreeMap<KeyPath, Origin> {
        let mut out = BTreeMap::new();
        collect_origins(merged, &KeyPath::default(), &self.sources, &mut out);
        out
    }

    /// Names in a directory of one kind, sorted; hidden ones and editors' backups are left out.
    fn names(&mut self, dir: &str, kind: Kind) -> Vec<String> {
        let entries = match self.files.list(dir) {
            Ok(entries) => entries,
            Err(e) => {
                self.diagnostics.push(unreadable(dir, &e));
                return Vec::new();
            }
        };
        let mut names = Vec::new();
        for entry in entries {
            if entry.name.starts_with('.') || entry.name.ends_with('~') {
                continue;
            }
            if entry.kind == Kind::Symlink && (kind == Kind::Dir || entry.name.ends_with(".toml")) {
                let path = format!("{dir}/{}", entry.name);
                let found =
                    Diagnostic::error("unreadable", format!("{path} is a symbolic link, which is not followed"));
                self.diagnostics.push(found.in_file(&path).help("put a copy there, or share settings by a role"));
            } else if entry.kind == kind {
                names.push(entry.name);
            }
        }
        names
    }

    /// A file of text as a tree; `None` if it is not there or not text (which is reported).
    fn tree(&mut self, path: &str) -> Option<Node> {
        let bytes = match self.files.read(path) {
            Ok(bytes) => bytes?,
            Err(e) => {
                self.diagnostics.push(unreadable(path, &e));
                return None;
            }
        };
        if bytes.len() > MAX_TEXT {
            let found = Diagnostic::error("file-too-large", format!("{path} is larger than {} MiB", MAX_TEXT >> 20));
            self.diagnostics.push(found.in_file(path).help("put large files into root/ or name them by `source`"));
            return None;
        }
        match String::from_utf8(bytes) {
            // A byte order mark is no text; spans count from after it only if the parser does, so it stays.
            Ok(text) => Some(parse(&mut self.sources, path, &text, &mut self.diagnostics)),
            Err(e) => {
                let valid = e.utf8_error().valid_up_to();
                let bytes = e.into_bytes();
                let line = bytes[..valid].iter().filter(|b| **b == b'\n').count() + 1;
                let mut found = Diagnostic::error("not-text", format!("{path} is not UTF-8 text at line {line}"));
                found.line = line;
                self.diagnostics.push(found.in_file(path).help("save it as UTF-8"));
                None
            }
        }
    }
}

/// A server's own text over its roles, the later one over the earlier.
fn merged(own: &Node, roles: &[&Node]) -> Node {
    let Some((first, rest)) = roles.split_first() else { return own.clone() };
    let mut merged = (*first).clone();
    for role in rest {
        lay_over(&mut merged, role);
    }
    lay_over(&mut merged, own);
    merged
}

/// One server read alone, for showing: see [`crate::objects`].
#[derive(Debug)]
pub(crate) struct Alone {
    /// The files read.
    pub(crate) sources: Sources,
    /// Whether the fleet has it.
    pub(crate) exists: bool,
    /// Its roles' trees, the later winning, then its own; the last is what it says itself.
    pub(crate) layers: Vec<(Option<String>, Node)>,
    /// All of them laid over each other.
    pub(crate) merged: Node,
    /// Its value; what mistakes spoil has its default.
    pub(crate) server: Server,
    /// Every mistake that concerns it.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Reads one server and nothing of the others.
pub(crate) fn load_alone(files: &dyn Files, name: &str) -> Alone {
    let mut loader = Loader { files, sources: Sources::default(), diagnostics: Vec::new() };
    let exists = ObjectName::parse(name).is_ok() && !loader.names(&format!("servers/{name}"), Kind::File).is_empty();
    // Whatever is said about text that is not there is said about the file where it would be.
    let file = loader.sources.add(&format!("servers/{name}/server.toml"), "");
    let nothing = Node { at: crate::read::At { file, start: 0, end: 0 }, value: Value::Table(BTreeMap::new()) };
    if !exists {
        let Loader { sources, diagnostics, .. } = loader;
        let server = Server::default();
        return Alone { sources, exists, layers: Vec::new(), merged: nothing, server, diagnostics };
    }
    let settings = loader.settings();
    let catalog = loader.catalog();
    let fleet = Fleet { archives: settings.archives, defaults: settings.defaults, catalog, ..Fleet::default() };
    // Only what is in the way of this server is told.
    loader.diagnostics.retain(|d| &*d.file == "regrow.toml" && d.is_error());
    let own = loader.own(name).unwrap_or(nothing);
    let known = loader.names("roles", Kind::File);
    let known = known.iter().filter_map(|n| n.strip_suffix(".toml")).map(str::to_owned).collect();
    let mut layers = Vec::new();
    for role in loader.named_roles(&own, &known) {
        if let Some(mut tree) = loader.tree(&format!("roles/{role}.toml")) {
            if let Value::Table(table) = &mut tree.value {
                table.remove("roles");
            }
            layers.push((Some(role), tree));
        }
    }
    let merged = merged(&own, &layers.iter().map(|(_, tree)| tree).collect::<Vec<_>>());
    let roles = layers.iter().filter_map(|(role, _)| role.clone()).collect();
    let server = loader.read_server(name, roles, &merged, &fleet, false);
    validate::server(&server, &fleet, files, &loader.sources, &merged, &mut loader.diagnostics);
    layers.push((None, own));
    let Loader { sources, mut diagnostics, .. } = loader;
    tidy(&mut diagnostics);
    Alone { sources, exists, layers, merged, server, diagnostics }
}

fn with_hostname(mut server: Server) -> Server {
    if server.system.hostname.is_empty() {
        server.system.hostname = server.name.clone();
    }
    server
}

fn collect_origins(node: &Node, path: &KeyPath, sources: &Sources, out: &mut BTreeMap<KeyPath, Origin>) {
    let Value::Table(table) = &node.value else { return };
    for (key, item) in table {
        let path = path.child(key);
        let (line, column) = sources.line_column(item.key_at.file, item.key_at.start as usize);
        let origin = Origin {
            path: sources.path(item.key_at.file).clone(),
            line,
            column,
            key_span: item.key_at.span(),
            span: item.node.at.span(),
        };
        collect_origins(&item.node, &path, sources, out);
        out.insert(path, origin);
    }
}
