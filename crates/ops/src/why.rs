//! `why`: what put a path into a server's image: a package, a layer, a line of the text, a changeset.

use jiff::Timestamp;
use regrow_config::{KeyPath, Server, toml_string};
use regrow_image::{Entry, ImageId, Store, Tree};
use serde::Serialize;

use crate::Answer;
use crate::build::{BuildReport, open_store};
use crate::compare::image::{Facts, text, versions};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::evidence::{self, Kind};
use crate::wanted::{Wanted, short};

/// What put a path into an image.
#[derive(Debug, Clone, Serialize)]
pub struct WhyReport {
    /// The server.
    pub server: String,
    /// The path as it lies in the image: links on the way are followed.
    pub path: String,
    /// The text: a commit id, with `+edits` if the work tree had more.
    pub revision: String,
    /// The image.
    pub image: String,
    /// What it is.
    pub facts: Facts,
    /// The layer that made it what it is; `config` is the text.
    pub layer: String,
    /// The package that brings it.
    pub package: Option<Package>,
    /// The line of the text that asks for it.
    pub line: Option<Line>,
    /// The changeset that last touched this line.
    pub changeset: Option<Touched>,
    /// All that in words, one sentence each.
    pub words: Vec<String>,
}

impl Answer for WhyReport {}

/// A package in an image.
#[derive(Debug, Clone, Serialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A line of the text.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// The file, relative to the fleet.
    pub file: String,
    /// The line from 1; `None` for a file that is laid over the image as it is.
    pub line: Option<usize>,
    /// The key, if it is one.
    pub key: Option<String>,
}

/// The changeset that last touched a line.
#[derive(Debug, Clone, Serialize)]
pub struct Touched {
    /// Its commit id.
    pub revision: String,
    /// The first line of its message.
    pub subject: String,
    /// Who made it.
    pub author: String,
    /// When.
    pub at: Timestamp,
}

/// Says what put `path` into the image of a server. Builds the image if it is not there.
///
/// # Errors
/// [`Error::No`] if there is no such path in it.
pub fn why(ctx: &Context, server: &str, path: &str, at: Option<&str>) -> Result<WhyReport> {
    ctx.begin("looking into an image")?;
    let wanted = Wanted::read(ctx, at)?;
    let server_text = wanted.server(server)?;
    let build = crate::build::build_wanted(ctx, &wanted, server, true)?;
    tell(ctx, server_text, server, path, build)
}

/// The same of a revision whose image is in the store: nothing is built.
///
/// # Errors
/// As [`why`], and [`Error::No`] if the image is not there.
pub fn look(ctx: &Context, server: &str, path: &str, at: &str) -> Result<WhyReport> {
    let wanted = Wanted::read(ctx, Some(at))?;
    let server_text = wanted.server(server)?;
    let revision = wanted.revision(ctx, Some(server))?.to_string();
    let recorded = evidence::of_revision(ctx, server, Kind::Build, &revision)?;
    let build = recorded.and_then(|built| serde_json::from_value::<BuildReport>(built.report).ok());
    // What a draft had built holds for the changeset that it became: the text is that of the revision asked for.
    let build = build.map(|build| BuildReport { revision: revision.clone(), ..build });
    let image = build.as_ref().and_then(|build| build.image.parse::<ImageId>().ok());
    match (build, image) {
        (Some(build), Some(image)) if open_store(ctx)?.has_image(&image) => tell(ctx, server_text, server, path, build),
        _ => Err(Error::No {
            message: format!("the image of {server} at {} is not in the store", short(&revision)),
            help: Some(format!("build it: regrow build {server} --at {}", short(&revision))),
        }),
    }
}

/// What the image that was built of a text says about a path.
fn tell(ctx: &Context, server_text: &Server, server: &str, path: &str, build: BuildReport) -> Result<WhyReport> {
    let store = open_store(ctx)?;
    let _hold = store.hold()?;
    let image: ImageId = build.image.parse().map_err(|e| Error::mistake(format!("{}: {e}", build.image)))?;
    let tree = store.load(&image)?;
    // As it is named in the image; what is not there leads nowhere, and not to the root.
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let named = format!("/{}", parts.join("/"));
    let place = if tree.contains(&named) { Some(named.into_bytes()) } else { tree.resolve(&named) };
    let found = place.and_then(|place| Facts::of(&tree, &place).map(|facts| (place, facts)));
    let Some((place, facts)) = found else {
        return Err(Error::No {
            message: format!("there is no {path} in the image of {server}"),
            help: Some("name an absolute path; what is written at run time is told by: regrow drift".to_owned()),
        });
    };
    let mut layers = Vec::new();
    for layer in &build.layers {
        if let Some(id) = store.layer(&layer.key)? {
            layers.push((layer.name.clone(), store.load(&id)?));
        }
    }
    // The last layer that made it other than it was below.
    let made = (0..layers.len()).rev().find(|n| match n.checked_sub(1) {
        Some(below) => !same(&layers[*n].1, &layers[below].1, &place),
        None => true,
    });
    let layer = made.map_or(String::new(), |n| layers[n].0.clone());
    let of_text = made.is_some_and(|n| n + 1 == layers.len());
    let path = String::from_utf8_lossy(&place).into_owned();
    let package = owner(&store, &tree, &path)?;
    let line = match (&package, of_text) {
        (_, true) => asked_for(server_text, &path),
        (Some(package), false) => key_line(server_text, &format!("packages.{}", toml_string(&package.name))),
        (None, false) => None,
    };
    let clean = !build.revision.contains('+');
    let changeset = match &line {
        Some(line) if clean => touched(ctx, &build.revision, line)?,
        _ => None,
    };
    let mut report = WhyReport {
        server: server.to_owned(),
        path,
        revision: build.revision,
        image: build.image,
        facts,
        layer,
        package,
        line,
        changeset,
        words: Vec::new(),
    };
    report.words = words(&report, of_text);
    Ok(report)
}

/// Whether a path is the same in two trees.
fn same(a: &Tree, b: &Tree, path: &[u8]) -> bool {
    match (a.get(path), b.get(path)) {
        (Some(Entry::Leaf(_, a)), Some(Entry::Leaf(_, b))) => a == b,
        (Some(Entry::Dir(a)), Some(Entry::Dir(b))) => a.meta == b.meta,
        (None, None) => true,
        _ => false,
    }
}

/// The package whose list in dpkg's record names the path; as it was packed, too: `/bin` for `/usr/bin`.
fn owner(store: &Store, tree: &Tree, path: &str) -> Result<Option<Package>> {
    let packed = path.strip_prefix("/usr").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    for (list, _) in tree.walk_below("/var/lib/dpkg/info") {
        let list = String::from_utf8_lossy(&list).into_owned();
        let Some(name) = list.strip_prefix("/var/lib/dpkg/info/").and_then(|name| name.strip_suffix(".list")) else {
            continue;
        };
        if text(store, tree, &list)?.lines().any(|line| line == path || line == packed) {
            let name = name.split(':').next().unwrap_or(name).to_owned();
            let version = versions(store, tree)?.remove(&name).unwrap_or_default();
            return Ok(Some(Package { name, version }));
        }
    }
    Ok(None)
}

/// What in the text asks for a path: a declared file, a file of `root/`, a unit, a timer.
fn asked_for(server: &Server, path: &str) -> Option<Line> {
    if server.files.contains_key(path) {
        return key_line(server, &format!("files.{}", toml_string(path)));
    }
    if let Some(file) = server.root_files.get(path) {
        return Some(Line { file: file.source.clone(), line: None, key: None });
    }
    let unit = path.strip_prefix("/etc/systemd/system/")?.rsplit('/').next()?;
    let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
    let names = [("services", unit), ("services", stem), ("timers", stem)];
    names.iter().find_map(|(table, name)| key_line(server, &format!("{table}.{}", toml_string(name))))
}

fn key_line(server: &Server, key: &str) -> Option<Line> {
    let path = KeyPath::parse(key).ok()?;
    let origin = server.provenance.get(&path)?;
    Some(Line { file: origin.path.to_string(), line: Some(origin.line), key: Some(path.to_string()) })
}

fn touched(ctx: &Context, revision: &str, line: &Line) -> Result<Option<Touched>> {
    let repo = ctx.repo()?;
    let commit = match line.line {
        Some(n) => repo.blame(revision, &line.file, n)?,
        None => repo.log(revision, &[&line.file], 1)?.pop().map(|change| change.revision),
    };
    let Some(commit) = commit else { return Ok(None) };
    let change = repo.show(&commit)?;
    Ok(Some(Touched { revision: change.revision, subject: change.subject, author: change.author, at: change.at }))
}

fn words(report: &WhyReport, of_text: bool) -> Vec<String> {
    let mut words = Vec::new();
    match (&report.package, of_text) {
        (Some(package), false) => words
            .push(format!("the package {} {} brings it, in the layer {}", package.name, package.version, report.layer)),
        (Some(package), true) => words.push(format!("the text has changed what the package {} brings", package.name)),
        (None, true) => words.push("the text asks for it".to_owned()),
        (None, false) => words.push(format!("a package's script made it, in the layer {}", report.layer)),
    }
    if let Some(line) = &report.line {
        let at = line.line.map(|n| format!(":{n}")).unwrap_or_default();
        let key = line.key.as_ref().map(|key| format!(", key {key}")).unwrap_or_default();
        words.push(format!("{}{at}{key}", line.file));
    }
    if let Some(change) = &report.changeset {
        let revision = short(&change.revision);
        words.push(format!(
            "last touched by {revision} “{}”, {}, {}",
            change.subject,
            change.author,
            change.at.strftime("%Y-%m-%d")
        ));
    }
    words
}
