//! What belongs to a changeset before it is moved: later changesets that stand on it, or earlier ones that it needs.
//!
//! It is worked out by keys: who wrote the same key later, or anything below a table that the changeset made; of files
//! that are no TOML, who changed a file later that it made. A change that was itself undone since does not count.

use std::collections::BTreeMap;

use regrow_config::KeyPath;
use regrow_config::edit::{KeyChange, key_changes};
use regrow_history::{Repo, Version};
use serde::Serialize;

use super::step::StepKind;
use crate::context::Context;
use crate::drafts::merge::is_lock;
use crate::error::Result;
use crate::objects;
use crate::wanted::short;

/// A changeset that another one stands on, or that stands on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// The changeset, its full id.
    pub changeset: String,
    /// The first line of its message.
    pub subject: String,
    /// Who made it.
    pub author: String,
    /// Why it belongs here: `3f2c9a1 "Open port 25" changes services.mail.port, which this one made`.
    pub words: String,
    /// The keys, or paths of files, that both concern.
    pub keys: Vec<String>,
}

/// Later changesets up to the last one that stand on a changeset, the newest first: taking it back is likely to clash
/// with them, or to leave them without sense.
///
/// # Errors
/// If there is no such revision.
pub fn dependencies(ctx: &Context, revision: &str) -> Result<Vec<Dependency>> {
    let repo = ctx.repo()?;
    let commit = repo.commit(revision)?.id;
    let head = repo.commit("HEAD")?.id;
    of_all(ctx, &repo, StepKind::Revert, &[commit], &head)
}

/// What belongs to these changesets (full ids) and is not among them.
pub(super) fn of_all(
    ctx: &Context,
    repo: &Repo,
    kind: StepKind,
    commits: &[String],
    base: &str,
) -> Result<Vec<Dependency>> {
    let mut found: BTreeMap<String, (Version, Vec<String>, String)> = BTreeMap::new();
    for commit in commits {
        for (version, keys) in match kind {
            StepKind::Revert => later(ctx, repo, commit, base)?,
            StepKind::Pick => needed(repo, commit, base)?,
        } {
            if commits.contains(&version.revision) {
                continue;
            }
            let entry = found.entry(version.revision.clone()).or_insert_with(|| (version, Vec::new(), commit.clone()));
            entry.1.extend(keys);
        }
    }
    let mut out: Vec<(jiff::Timestamp, Dependency)> = Vec::new();
    for (version, mut keys, of) in found.into_values() {
        keys.sort();
        keys.dedup();
        let (names, it) = (named(&keys), short(&version.revision));
        let words = match kind {
            StepKind::Revert => format!("{it} \"{}\" changes {names} after {}", version.subject, short(&of)),
            StepKind::Pick => format!("{} changes {names}, which {it} \"{}\" made", short(&of), version.subject),
        };
        let (changeset, subject, author) = (version.revision, version.subject, version.author);
        out.push((version.at, Dependency { changeset, subject, author, words, keys }));
    }
    out.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.changeset.cmp(&b.1.changeset)));
    Ok(out.into_iter().map(|(_, d)| d).collect())
}

/// How many changesets of a file are looked through for the one that made a table.
const MOST_VERSIONS: usize = 500;

/// How many keys are named in words.
const NAMED: usize = 3;

fn named(keys: &[String]) -> String {
    let first = keys.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match keys.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// The changes of one file by one changeset.
struct Own {
    path: String,
    /// By key; none if it is no TOML.
    changes: Vec<KeyChange>,
    /// Tables that it made: everything below is its own.
    made: Vec<KeyPath>,
    /// The text before it, and the bytes after it.
    before: String,
    after: Vec<u8>,
}

impl Own {
    /// Whether a key is one that it wrote, or stands in a table that it made.
    fn concerns(&self, key: &KeyPath) -> bool {
        let wrote = |c: &KeyChange| c.key.0.starts_with(&key.0) || key.0.starts_with(&c.key.0);
        self.changes.iter().any(wrote) || self.made.iter().any(|table| key.0.starts_with(&table.0))
    }
}

fn own(repo: &Repo, commit: &str) -> Result<Vec<Own>> {
    let parents = repo.commit(commit)?.parents;
    let at = repo.at(commit);
    let mut out = Vec::new();
    for change in repo.tree_changes(parents.first().map(String::as_str), Some(commit))? {
        if is_lock(&change.path) {
            continue;
        }
        let bytes = |blob: &Option<regrow_history::Blob>| {
            blob.as_ref().filter(|b| b.is_file()).and_then(|b| at.bytes_of(&b.id)).unwrap_or_default()
        };
        let (before, after) = (bytes(&change.before), bytes(&change.after));
        let before = String::from_utf8(before).unwrap_or_default();
        let mut changes = Vec::new();
        let mut made = Vec::new();
        if change.path.ends_with(".toml") {
            changes = key_changes(&before, &String::from_utf8_lossy(&after));
            let was = tables(&before);
            for key in changes.iter().filter(|c| c.before.is_none()).map(|c| &c.key) {
                let table = (2..key.0.len()).map(|n| KeyPath(key.0[..n].to_vec())).find(|table| !was.contains(table));
                made.extend(table.filter(|table| !made.contains(table)));
            }
        }
        out.push(Own { path: change.path, changes, made, before, after });
    }
    Ok(out)
}

/// Every table that has a key.
fn tables(text: &str) -> std::collections::BTreeSet<KeyPath> {
    let leaves = key_changes("", text);
    leaves.iter().flat_map(|c| (1..c.key.0.len()).map(|n| KeyPath(c.key.0[..n].to_vec()))).collect()
}

fn later(ctx: &Context, repo: &Repo, commit: &str, head: &str) -> Result<Vec<(Version, Vec<String>)>> {
    let now = repo.at(head);
    let mut out = Vec::new();
    for own in own(repo, commit)? {
        let bytes = crate::drafts::bytes_at(&now, &own.path).unwrap_or_default().unwrap_or_default();
        if bytes == own.after {
            continue;
        }
        // What is as the changeset left it was not changed by anybody, or was put back.
        let is_toml = own.path.ends_with(".toml");
        let mut differ: Vec<KeyPath> = Vec::new();
        if is_toml {
            let changed = key_changes(&String::from_utf8_lossy(&own.after), &String::from_utf8_lossy(&bytes));
            differ.extend(changed.into_iter().map(|c| c.key).filter(|key| own.concerns(key)));
        }
        // Of another file, all that changed it stand on the changeset that made it.
        if differ.is_empty() && (is_toml || !own.before.is_empty()) {
            continue;
        }
        let mut versions = objects::versions_of(ctx, head, &own.path)?;
        // Of a changeset that is not part of this history, nothing here is later.
        let Some(at) = versions.iter().position(|v| v.revision == commit) else { continue };
        versions.truncate(at);
        for version in versions {
            let keys: Vec<String> = match is_toml {
                true => {
                    let changes = objects::touched(&now, &version).into_iter();
                    changes.filter(|key| differ.contains(key)).map(|key| key.to_string()).collect()
                }
                false => vec![own.path.clone()],
            };
            if !keys.is_empty() {
                out.push((version, keys));
            }
        }
    }
    Ok(out)
}

/// The changesets that made the tables which a changeset changes, and which are not there.
fn needed(repo: &Repo, commit: &str, head: &str) -> Result<Vec<(Version, Vec<String>)>> {
    let now = repo.at(head);
    let mut out = Vec::new();
    for own in own(repo, commit)? {
        let Some(bytes) = crate::drafts::bytes_at(&now, &own.path).unwrap_or_default() else { continue };
        let (has, had) = (tables(&String::from_utf8_lossy(&bytes)), tables(&own.before));
        let mut missing: Vec<KeyPath> = Vec::new();
        for change in &own.changes {
            let lacks =
                |n: usize| Some(KeyPath(change.key.0[..n].to_vec())).filter(|t| had.contains(t) && !has.contains(t));
            let table = (2..change.key.0.len()).find_map(lacks);
            missing.extend(table.filter(|table| !missing.contains(table)));
        }
        if missing.is_empty() {
            continue;
        }
        let at = repo.at(commit);
        let versions = repo.versions(commit, &[&own.path], MOST_VERSIONS)?;
        let changes: Vec<Vec<KeyChange>> = versions.iter().map(|v| objects::keys_of(&at, v)).collect();
        for table in missing {
            let wrote = |n: &usize| changes[*n].iter().any(|c| c.key.0.starts_with(&table.0) && c.before.is_none());
            // The oldest that wrote into it made it.
            if let Some(n) = (0..versions.len()).rev().find(wrote).filter(|n| versions[*n].revision != commit) {
                out.push((versions[n].clone(), vec![table.to_string()]));
            }
        }
    }
    Ok(out)
}
