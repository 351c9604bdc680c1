//! Paths of the image: each declared once, none where something else decides, state beside each other.

use std::collections::BTreeMap;

use super::Scene;
use crate::catalog::IDENTITY_DIR;
use crate::diagnostic::Diagnostic;
use crate::model::{FileKind, RootContent};
use crate::read::Report;

/// Directories that are empty at every start, or are the kernel's.
const FLEETING: &[&str] = &["/dev", "/proc", "/run", "/sys", "/tmp"];
/// Links to /usr in Debian's image: a directory laid over one would hide all programs.
const MERGED: &[&str] = &["/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin"];
/// Links in Debian's image that lead to /run.
const MERGED_RUN: &[(&str, &str)] = &[("/var/run", "/run"), ("/var/lock", "/run/lock")];
/// Files that are made from other tables.
const MADE: &[(&str, &str)] = &[
    ("/etc/group", "[groups] and [users]"),
    ("/etc/gshadow", "[groups] and [users]"),
    ("/etc/hostname", "`hostname` in [system]"),
    ("/etc/machine-id", "the first start: it is the machine's identity"),
    ("/etc/passwd", "[users]"),
    ("/etc/shadow", "[users]"),
    ("/var/lib/dpkg/status", "[packages]"),
];
/// Directories that the image must fill: state on one of them would hide it.
const OF_THE_IMAGE: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/tmp",
    "/usr",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/lib/dpkg",
    "/var/lib/regrow",
    "/var/lib/systemd",
];

pub(super) fn validate(scene: &mut Scene<'_>) {
    declared_once(scene);
    places(scene);
    state(scene);
}

/// What stands at a path: whether others may lie below it, and how to name it.
struct Claim<'a> {
    directory: bool,
    key: Option<&'a str>,
    source: &'a str,
}

fn declared_once(scene: &mut Scene<'_>) {
    let server = scene.server;
    let mut claims: BTreeMap<&str, Claim<'_>> = BTreeMap::new();
    for (path, file) in &server.root_files {
        let _ = &file.content;
        claims.insert(path, Claim { directory: false, key: None, source: &file.source });
    }
    for (path, entry) in &server.files {
        if let Some(other) = claims.get(path.as_str()) {
            let report = Report::new("duplicate-file", format!("{path} is declared twice"))
                .label("here")
                .help(format!("it is also the file {}; keep one of them", other.source));
            scene.error(scene.key_at(&["files", path]), report);
            continue;
        }
        let directory = matches!(entry.kind, FileKind::Directory);
        claims.insert(path, Claim { directory, key: Some(path), source: "" });
    }
    let mut below: Vec<(&str, Option<&str>, &str, String)> = Vec::new();
    for (path, claim) in &claims {
        let holder = parents(path).find_map(|parent| claims.get(parent).filter(|c| !c.directory).map(|c| (parent, c)));
        if let Some((parent, holder)) = holder {
            let place = holder.key.map_or_else(|| holder.source.to_owned(), |key| scene.place(&["files", key]));
            below.push((
                path,
                claim.key,
                claim.source,
                format!("{parent} is no directory (it is declared at {place})"),
            ));
        }
    }
    for (path, key, source, why) in below {
        let message = format!("{path} cannot be there: {why}");
        match key {
            Some(key) => scene.error(scene.key_at(&["files", key]), Report::new("bad-path", message)),
            None => scene.diagnostics.push(Diagnostic::error("bad-path", message).in_file(source)),
        }
    }
}

/// The parents of a path, nearest first, without the root.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').rev().map(|(at, _)| &path[..at]).filter(|parent| !parent.is_empty())
}

fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

fn is_at_or_below(path: &str, dir: &str) -> bool {
    path == dir || is_below(path, dir)
}

/// Declared paths where something else decides.
fn places(scene: &mut Scene<'_>) {
    let server = scene.server;
    for path in server.files.keys() {
        if let Some((why, help)) = misplaced(path) {
            let report = Report::new("bad-path", format!("{path} cannot be declared: {why}")).help(help);
            scene.error(scene.key_at(&["files", path]), report);
        } else if let Some((state, dir)) = covering_state(scene, path) {
            let report = Report::new("overlapping-state", format!("{path} lies in the state `{state}`")).help(format!(
                "{dir} is filled from the image only when it is empty: later changes of this file would not arrive"
            ));
            scene.warning(scene.key_at(&["files", path]), report);
        }
    }
    for (path, file) in &server.root_files {
        let (severity, code, message, help) = if let Some((why, help)) = misplaced(path) {
            (crate::Severity::Error, "bad-path", format!("{path} cannot be declared: {why}"), help)
        } else if let Some((state, dir)) = covering_state(scene, path) {
            let help = format!(
                "{dir} is filled from the image only when it is empty: later changes of this file would not arrive"
            );
            (crate::Severity::Warning, "overlapping-state", format!("{path} lies in the state `{state}`"), help)
        } else {
            continue;
        };
        debug_assert!(!matches!(&file.content, RootContent::Symlink(target) if target.is_empty()));
        scene.diagnostics.push(Diagnostic::new(severity, code, message).in_file(&file.source).help(help));
    }
}

/// Why a path cannot be declared, and the way out.
fn misplaced(path: &str) -> Option<(String, String)> {
    if let Some(dir) = FLEETING.iter().find(|dir| is_at_or_below(path, dir)) {
        let help = "make such files at start, by a tmpfiles.d file or a service".to_owned();
        return Some((format!("{dir} is empty at every start"), help));
    }
    if let Some(dir) = MERGED.iter().find(|dir| is_at_or_below(path, dir)) {
        return Some((format!("{dir} is a link to /usr{dir}"), format!("write it as /usr{path}")));
    }
    if let Some((dir, target)) = MERGED_RUN.iter().find(|(dir, _)| is_at_or_below(path, dir)) {
        let help = "make such files at start, by a tmpfiles.d file or a service".to_owned();
        return Some((format!("{dir} is a link to {target}, which is empty at every start"), help));
    }
    if let Some((_, from)) = MADE.iter().find(|(made, _)| path == *made) {
        return Some((format!("it is made from {from}"), "say it there and remove this".to_owned()));
    }
    if is_at_or_below(path, IDENTITY_DIR) {
        return Some((
            "it is the machine's identity".to_owned(),
            "remove it; identity is made at the first start".to_owned(),
        ));
    }
    None
}

fn covering_state<'a>(scene: &Scene<'a>, path: &str) -> Option<(&'a str, &'a str)> {
    scene.server.state.iter().find_map(|(name, state)| {
        let dir = state.paths.iter().find(|dir| is_at_or_below(path, dir))?;
        Some((name.as_str(), dir.as_str()))
    })
}

/// State: absolute directories beside each other, none of which the image needs.
fn state(scene: &mut Scene<'_>) {
    let server = scene.server;
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (name, state) in &server.state {
        if state.paths.is_empty() && scene.item(&["state", name, "paths"]).is_some() {
            let report = Report::new("bad-value", format!("the state `{name}` has no paths"));
            scene.error(scene.at(&["state", name, "paths"]), report.help("name at least one directory"));
        }
        for path in &state.paths {
            let at = element_at(scene, name, path);
            let taken = OF_THE_IMAGE.contains(&path.as_str())
                || ["/usr", "/proc", "/sys", "/dev", "/run", "/tmp", "/boot", "/var/lib/dpkg", IDENTITY_DIR]
                    .iter()
                    .any(|dir| is_at_or_below(path, dir))
                || MERGED.iter().any(|dir| is_at_or_below(path, dir));
            if taken {
                let report = Report::new(
                    "bad-path",
                    format!("{path} cannot be state: it belongs to the image or to the system"),
                );
                scene.error(
                    at,
                    report.help("name the directory in which the service keeps its data, such as /var/lib/NAME"),
                );
            }
            let other = seen.iter().find(|(_, p)| is_at_or_below(path, p) || is_below(p, path));
            if let Some((other_name, other_path)) = other {
                let message = match (path == other_path, name == other_name) {
                    (true, _) => format!("{path} is declared as state twice"),
                    (false, _) => format!("the state paths {path} and {other_path} lie inside each other"),
                };
                let place = scene.place(&["state", other_name, "paths"]);
                let help = format!("the other is at {place}; keep the outer one, or give each a directory of its own");
                scene.error(at, Report::new("overlapping-state", message).help(help));
            }
            seen.push((name, path));
        }
    }
}

/// Where one path of a state is written; of equal ones the last.
fn element_at(scene: &Scene<'_>, name: &str, path: &str) -> crate::read::At {
    match scene.item(&["state", name, "paths"]).map(|item| &item.node.value) {
        Some(crate::read::Value::Array(elements)) => elements
            .iter()
            .rev()
            .find(|e| matches!(&e.value, crate::read::Value::String(s) if s == path))
            .map_or_else(|| scene.at(&["state", name, "paths"]), |e| e.at),
        _ => scene.at(&["state", name, "paths"]),
    }
}
