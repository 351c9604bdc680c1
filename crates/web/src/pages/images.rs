//! `/compare/A..B/image/SERVER`: what differs between two images of a server, which is what came of the two texts.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::Method;
use axum::response::Response;
use regrow_ops::Context;
use regrow_ops::compare::Comparison;
use regrow_ops::compare::image::{self, Built, Facts, ImageComparison, PackageDifference, PathDifference};
use regrow_ops::wanted::short;
use serde::Deserialize;

use crate::app::App;
use crate::pages::compare::is_side;
use crate::pages::draft::reached;
use crate::pages::server::known;
use crate::pages::{drawn, layout, message, work};
use crate::preview::Line;
use crate::view::{Digest, Layout, Place, bytes, count};
use crate::visitor::{Visitor, needed};

/// A server on the page of a comparison.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) server: String,
    /// Which images are there.
    pub(crate) words: String,
}

/// How many servers the page of a comparison names.
const SERVERS: usize = 12;

/// What a side of a comparison is called in git; the disk has no image that stays.
fn revision(side: &str) -> Option<String> {
    match side.strip_prefix("draft:") {
        _ if side == "disk" => None,
        Some("disk") => None,
        Some(id) => Some(format!("refs/regrow/drafts/{id}")),
        None => Some(side.to_owned()),
    }
}

/// The servers that a comparison reaches, with which of their images are there.
pub(crate) fn rows(ctx: &Context, found: &Comparison, from: &str, to: &str) -> regrow_ops::Result<Vec<Row>> {
    let (Some(from), Some(to)) = (revision(from), revision(to)) else { return Ok(Vec::new()) };
    let servers: Vec<String> = reached(found).into_iter().take(SERVERS).collect();
    if servers.is_empty() {
        return Ok(Vec::new());
    }
    let (from, old) = image::there(ctx, &servers, &from)?;
    let (to, new) = image::there(ctx, &servers, &to)?;
    let row = |server: String| {
        let words = match (old.contains(&server), new.contains(&server)) {
            (true, true) => "both images are there".to_owned(),
            (false, true) => format!("not built at {}", short(&from)),
            (true, false) => format!("not built at {}", short(&to)),
            (false, false) => "not built yet".to_owned(),
        };
        Row { server, words }
    };
    Ok(servers.into_iter().map(row).collect())
}

#[derive(Debug, Template)]
#[template(path = "image.html")]
struct Page {
    layout: Layout,
    server: String,
    /// The address of the comparison of the texts.
    texts: String,
    /// The address of this page.
    here: String,
    from: String,
    to: String,
    missing: Missing,
    found: Option<Found>,
    command: String,
}

/// Images that are not there, with the way to have them. Drawn by `missing.html`.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    pub(crate) server: String,
    /// The commits.
    pub(crate) at: Vec<Digest>,
    pub(crate) session: String,
    pub(crate) once: Vec<String>,
    pub(crate) lacks: Option<String>,
}

impl Missing {
    /// Of a server at some commits.
    pub(crate) fn new(app: &App, visitor: &Visitor, server: &str, at: Vec<String>) -> regrow_ops::Result<Missing> {
        let once = at.iter().map(|_| app.form_once()).collect::<Result<_, _>>()?;
        Ok(Missing {
            server: server.to_owned(),
            at: at.into_iter().map(Digest::new).collect(),
            session: visitor.form_token.clone(),
            once,
            lacks: visitor.lacks(needed(&Method::POST, "/server/x/build")),
        })
    }
}

/// What differs, as far as the page shows it.
#[derive(Debug)]
struct Found {
    equal: bool,
    image: Digest,
    size: String,
    packages: Vec<PackageDifference>,
    more_packages: usize,
    units: Vec<String>,
    users: Vec<String>,
    files: Vec<File>,
    /// How many files differ, and how many of these are not shown.
    all_files: usize,
    more_files: usize,
    /// What the files are narrowed to.
    find: String,
}

/// A path that differs.
#[derive(Debug)]
struct File {
    path: String,
    /// What is different, in words.
    what: String,
    /// How it was and is.
    facts: String,
    lines: Vec<Line>,
    /// The commit in whose image it can be asked after.
    at: String,
}

/// How many packages, and how many files, are shown.
const MOST: usize = 200;
/// How many lines are shown of all files together, and how many letters of one.
const MOST_LINES: usize = 2000;
const MOST_LETTERS: usize = 400;

/// What is asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    /// A piece of the paths that are meant.
    #[serde(default)]
    find: String,
}

/// The page.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((pair, server)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Response {
    let sides = pair.split_once("..").filter(|(a, b)| is_side(a) && is_side(b));
    let Some((from, to)) = sides else {
        return message::missing(&app, "Two images of a server are compared as /compare/A..B/image/SERVER.");
    };
    let (Some(old), Some(new)) = (revision(from), revision(to)) else {
        return message::missing(
            &app,
            "What is on disk has no image that stays. Images are compared between changesets and drafts.",
        );
    };
    let (state, texts) = (app.clone(), format!("/compare/{from}..{to}"));
    drawn(&app, work(&app, move |ctx| draw(&state, ctx, &visitor, &server, texts, (&old, &new), &asked)).await)
}

/// The page, or why there is no such server.
fn draw(
    app: &App,
    ctx: &Context,
    visitor: &Visitor,
    server: &str,
    texts: String,
    (from, to): (&str, &str),
    asked: &Asked,
) -> regrow_ops::Result<Result<Box<Page>, String>> {
    let one = [server.to_owned()];
    let mut missing = Vec::new();
    let mut commits = Vec::new();
    for side in [from, to] {
        let (commit, there) = image::there(ctx, &one, side)?;
        if there.is_empty() && !missing.contains(&commit) {
            missing.push(commit.clone());
        }
        commits.push(commit);
    }
    if !missing.is_empty() && !known(ctx, server)? {
        return Ok(Err(format!("There is no server {server}.")));
    }
    let (from, to) = (&commits[0], &commits[1]);
    let found = match missing.is_empty() {
        true => Some(Found::new(image::compare(ctx, server, from, to, false)?, asked.find.trim())),
        false => None,
    };
    Ok(Ok(Box::new(Page {
        layout: layout(app, format!("Images of {server}"), Place::History),
        here: format!("{texts}/image/{server}"),
        texts,
        command: format!("regrow diff {} {} --image {server}", short(from), short(to)),
        from: short(from),
        to: short(to),
        missing: Missing::new(app, visitor, server, missing)?,
        found,
        server: server.to_owned(),
    })))
}

impl Found {
    fn new(found: ImageComparison, find: &str) -> Found {
        let ImageComparison { from, to, equal, mut packages, paths, more_paths, units, users, .. } = found;
        let all_files = paths.len() + more_paths;
        let more_packages = packages.len().saturating_sub(MOST);
        packages.truncate(MOST);
        let wanted: Vec<PathDifference> = paths.into_iter().filter(|p| p.path.contains(find)).collect();
        // Those that were not told one by one may be meant, too.
        let more_files = wanted.len().saturating_sub(MOST) + more_paths;
        let mut room = MOST_LINES;
        let file = |p: PathDifference| File::new(p, &from, &to, &mut room);
        Found {
            files: wanted.into_iter().take(MOST).map(file).collect(),
            equal,
            size: size(&from, &to),
            image: Digest::new(to.image),
            packages,
            more_packages,
            units,
            users,
            all_files,
            more_files,
            find: find.to_owned(),
        }
    }
}

/// How much larger or smaller the newer side is.
fn size(from: &Built, to: &Built) -> String {
    let difference = match to.bytes.abs_diff(from.bytes) {
        0 => "as large as before".to_owned(),
        n if to.bytes > from.bytes => format!("{} larger", bytes(n)),
        n => format!("{} smaller", bytes(n)),
    };
    let names = count(to.paths, "path", "paths");
    format!("{} ({} → {}), {names}", difference, bytes(from.bytes), bytes(to.bytes))
}

impl File {
    /// `room` is how many lines still have a place on the page.
    fn new(found: PathDifference, from: &Built, to: &Built, room: &mut usize) -> File {
        let kinds = found.kinds.iter().filter_map(|kind| {
            Some(match kind.word() {
                // A newer time beside something else says nothing.
                "mtime" => return None,
                "type" => "another kind of thing",
                "xattr" => "attributes",
                "links" => "other names of the same file",
                word => word,
            })
        });
        let what = kinds.collect::<Vec<_>>().join(", ");
        let facts = match (&found.before, &found.after) {
            (None, Some(facts)) | (Some(facts), None) => all(facts),
            (Some(before), Some(after)) => differing(before, after),
            (None, None) => String::new(),
        };
        let lines: Vec<Line> = found.lines.iter().flat_map(|l| l.lines()).take(*room).map(line).collect();
        *room -= lines.len();
        let at = if found.after.is_some() { to } else { from };
        File { path: found.path, what, facts, lines, at: at.revision.clone() }
    }
}

fn line(text: &str) -> Line {
    let class = if text.starts_with('+') { "add" } else { "del" };
    let mut shown: String = text.chars().take(MOST_LETTERS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    Line { class, text: shown }
}

/// What something is.
pub(crate) fn all(facts: &Facts) -> String {
    let Facts { kind, mode, uid, gid, size, target } = facts;
    let target = target.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
    let size = size.map(|n| format!(", {}", bytes(n))).unwrap_or_default();
    format!("{kind}{target}, mode {mode}, owner {uid}:{gid}{size}")
}

/// What something was and is, where that differs.
fn differing(before: &Facts, after: &Facts) -> String {
    if before.kind != after.kind {
        return format!("{} → {}", all(before), all(after));
    }
    let size = |facts: &Facts| facts.size.map(bytes).unwrap_or_default();
    let pairs = [
        ("mode", before.mode.clone(), after.mode.clone()),
        ("owner", format!("{}:{}", before.uid, before.gid), format!("{}:{}", after.uid, after.gid)),
        ("to", before.target.clone().unwrap_or_default(), after.target.clone().unwrap_or_default()),
        ("size", size(before), size(after)),
    ];
    let changed = pairs.into_iter().filter(|(_, before, after)| before != after);
    changed.map(|(name, before, after)| format!("{name} {before} → {after}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_said_of_a_file() {
        let file = Facts { kind: "file", mode: "0644".into(), uid: 0, gid: 0, size: Some(5), target: None };
        let other = Facts { mode: "0755".into(), uid: 33, ..file.clone() };
        assert_eq!(differing(&file, &file), "");
        assert_eq!(differing(&file, &other), "mode 0644 → 0755, owner 0:0 → 33:0");
        let link = Facts { kind: "link", mode: "0777".into(), uid: 0, gid: 0, size: None, target: Some("x".into()) };
        assert_eq!(differing(&file, &link), "file, mode 0644, owner 0:0, 5 B → link to x, mode 0777, owner 0:0");
    }
}
