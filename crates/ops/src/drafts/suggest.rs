//! A message for a changeset, suggested from what changed.

use std::collections::BTreeMap;

use regrow_config::edit::{KeyChange, key_changes};
use regrow_config::{DiskFiles, Files};

use super::merge::is_lock;
use super::{DISK, open};
use crate::context::Context;
use crate::error::Result;
use crate::moves::step;

/// A message for landing a draft, from its key changes: "web1: checks.front.status = 404".
pub fn suggested_message(ctx: &Context, id: &str) -> Result<String> {
    let repo = open(ctx)?;
    if id == DISK {
        let Some(head) = repo.head()?.commit else { return Ok("The first text".to_owned()) };
        let disk = DiskFiles::new(ctx.fleet()?)?;
        let mut files = BTreeMap::new();
        for path in repo.dirty(&[])? {
            let bytes = disk.read(&path)?;
            files.insert(path, bytes);
        }
        return of_files(&repo.at(&head), &files);
    }
    let draft = repo.draft(id)?;
    let steps: Vec<_> = super::Data::of(&draft).steps.into_iter().filter(|s| s.on).collect();
    if !steps.is_empty() {
        return step::message(&repo, &steps);
    }
    let tip = repo.at(&draft.tip);
    let mut files = BTreeMap::new();
    for change in &draft.paths {
        files.insert(change.path.clone(), tip.read(&change.path)?);
    }
    of_files(&repo.at(&draft.base), &files)
}

/// How many keys a message names.
const NAMED: usize = 2;

/// A message for these files over `base`.
pub(crate) fn of_files(base: &dyn Files, files: &BTreeMap<String, Option<Vec<u8>>>) -> Result<String> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, new) in files.iter().filter(|(path, _)| !is_lock(path)) {
        let (place, file) = place(path);
        let old = base.read(path)?;
        let texts = (
            old.as_deref().map(std::str::from_utf8).transpose().ok().flatten(),
            new.as_deref().map(std::str::from_utf8).transpose().ok().flatten(),
        );
        let words = match (&old, new, texts) {
            (_, None, _) => vec![format!("remove {file}")],
            (None, Some(_), _) => vec![format!("add {file}")],
            (_, _, (Some(old), Some(new))) if path.ends_with(".toml") => {
                let keys: Vec<String> = key_changes(old, new).iter().map(key_words).collect();
                if keys.is_empty() { vec![format!("edit {file}")] } else { keys }
            }
            _ => vec![format!("edit {file}")],
        };
        places.entry(place).or_default().extend(words);
    }
    if places.is_empty() {
        return Ok("Lock packages anew".to_owned());
    }
    let one = |(place, words): (&String, &Vec<String>)| {
        let named = words.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        match words.len().saturating_sub(NAMED) {
            0 => format!("{place}: {named}"),
            more => format!("{place}: {named} and {more} more"),
        }
    };
    let subject = places.iter().take(2).map(one).collect::<Vec<_>>().join("; ");
    let subject = match places.len().saturating_sub(2) {
        0 => subject,
        more => format!("{subject}; and {more} more"),
    };
    Ok(subject)
}

/// Whose file it is, and what it is called there.
fn place(path: &str) -> (String, String) {
    if let Some((server, file)) = path.strip_prefix("servers/").and_then(|rest| rest.split_once('/')) {
        return (server.to_owned(), file.to_owned());
    }
    if let Some(role) = path.strip_prefix("roles/").and_then(|rest| rest.strip_suffix(".toml")) {
        return (format!("role {role}"), path.to_owned());
    }
    ("fleet".to_owned(), path.to_owned())
}

/// "checks.front.status = 404", "remove packages.redis".
pub(crate) fn key_words(change: &KeyChange) -> String {
    let short = |value: &str| {
        let line = value.lines().next().unwrap_or_default();
        let cut: String = line.chars().take(40).collect();
        if cut.len() < value.len() { format!("{cut}\u{2026}") } else { cut }
    };
    match (&change.before, &change.after) {
        (_, Some(after)) => format!("{} = {}", change.key, short(after)),
        (_, None) => format!("remove {}", change.key),
    }
}
