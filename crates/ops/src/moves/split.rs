//! Splitting a draft: files, or keys of files, go into another draft and out of this one.

use regrow_config::KeyPath;
use regrow_config::edit::{self as text_edit, Comments, Edit, KeyChange, key_changes};
use regrow_history::{DraftRef, Repo};

use super::compose::NewFiles;
use super::follow;
use crate::context::Context;
use crate::drafts::{self, DISK, Data, Draft};
use crate::error::{Error, Result};

/// What goes into the other draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The file, relative to the fleet.
    pub path: String,
    /// The key, or a table for all keys in it; `None` for the whole file.
    pub key: Option<KeyPath>,
}

impl Part {
    /// From what is typed: `servers/web1/server.toml`, or with a key `servers/web1/server.toml:checks.front`.
    ///
    /// # Errors
    /// If the key is none.
    pub fn parse(text: &str) -> Result<Part> {
        let Some((path, key)) = text.split_once(':') else { return Ok(Part { path: text.to_owned(), key: None }) };
        let key = KeyPath::parse(key).map_err(regrow_config::edit::EditError::from)?;
        Ok(Part { path: path.to_owned(), key: Some(key) })
    }
}

/// Moves a part of what a draft changes into a new draft on the same base; returns that. What it takes from steps is, in
/// the first draft, an own edit that leaves it out.
///
/// # Errors
/// If the draft does not change such a part, or a key cannot be taken alone; then nothing was done.
pub fn split(ctx: &Context, id: &str, parts: &[Part], title: Option<&str>) -> Result<Draft> {
    if id == DISK {
        return Err(Error::mistake_with(
            "edits on disk are not split from here: they are somebody\u{2019}s own work",
            "land some of the files, or move edits with an editor",
        ));
    }
    let repo = drafts::open(ctx)?;
    drafts::retried(id, || {
        let draft = repo.draft(id)?;
        let (out, left) = divide(&repo, &draft, parts)?;
        let title = title.map_or_else(|| format!("Part of: {}", draft.title), str::to_owned);
        let owner = &draft.owner;
        let made = drafts::create_from(ctx, &repo, &draft.base, &out, &Data::default(), Some(&title), owner)?;
        match repo.write_draft(&draft.change(ctx.now(), &draft.data, &left)) {
            Ok(tip) => {
                let words = format!("split the draft {} from the draft {id}", made.id);
                drafts::record(ctx, "step", &words, Some(&draft.tip), &DraftRef { tip, ..draft.clone() });
                Ok(made)
            }
            Err(e) => {
                drafts::discard(ctx, &made.id)?;
                Err(e.into())
            }
        }
    })
}

/// The files of the new draft over the base, and those of the old one over its tip.
fn divide(repo: &Repo, draft: &DraftRef, parts: &[Part]) -> Result<(NewFiles, NewFiles)> {
    let (base, tip) = (repo.at(&draft.base), repo.at(&draft.tip));
    let (mut out, mut left) = (NewFiles::new(), NewFiles::new());
    for part in parts {
        let path = &part.path;
        let nothing = || {
            let what = part.key.as_ref().map_or_else(|| path.clone(), |key| format!("{key} in {path}"));
            Error::mistake_with(
                format!("the draft {} does not change {what}", draft.id),
                format!("see what it changes with: regrow draft show {}", draft.id),
            )
        };
        let (old, new) = (drafts::bytes_at(&base, path)?, drafts::bytes_at(&tip, path)?);
        if old == new {
            return Err(nothing());
        }
        let Some(key) = &part.key else {
            out.insert(path.clone(), new);
            left.insert(path.clone(), old);
            continue;
        };
        let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap_or_default());
        let (Ok(old), Ok(new)) = (text(old), text(new)) else {
            return Err(Error::mistake(format!("{path} is no text: it goes as a whole, or not")));
        };
        let now = |files: &NewFiles, otherwise: &str| {
            let bytes = files.get(path).cloned().flatten();
            bytes.and_then(|b| String::from_utf8(b).ok()).unwrap_or_else(|| otherwise.to_owned())
        };
        let (taken, kept) = (now(&out, &old), now(&left, &new));
        let under = |c: &KeyChange| c.key.0.starts_with(&key.0);
        let there: Vec<KeyChange> = key_changes(&old, &new).into_iter().filter(under).collect();
        let back: Vec<KeyChange> = key_changes(&new, &old).into_iter().filter(under).collect();
        if there.is_empty() {
            return Err(nothing());
        }
        let (Some(taken), Some(kept)) = (all(taken, &there, &new), all(kept, &back, &old)) else {
            return Err(Error::mistake_with(
                format!("{key} of {path} cannot be taken out alone"),
                "take the table around it, or the whole file",
            ));
        };
        out.insert(path.clone(), Some(taken.into_bytes()));
        left.insert(path.clone(), Some(without_empty(kept, &there, &old).into_bytes()));
    }
    Ok((out, left))
}

/// Without the tables that these changes had added and that have no key any more.
fn without_empty(mut kept: String, gone: &[KeyChange], base: &str) -> String {
    let unset = |table: &KeyPath| Edit::Unset { key: table.to_string(), comments: Comments::Remove };
    for change in gone.iter().filter(|c| c.before.is_none()) {
        for depth in (1..change.key.0.len()).rev() {
            let table = KeyPath(change.key.0[..depth].to_vec());
            let below = |c: &KeyChange| c.key.0.len() > depth && c.key.0.starts_with(&table.0);
            let has_keys = key_changes("", &kept).iter().any(below);
            if has_keys || text_edit::apply(base, &unset(&table)).is_ok() {
                break;
            }
            if let Ok(patch) = text_edit::apply(&kept, &unset(&table)) {
                kept = patch.apply(&kept);
            }
        }
    }
    kept
}

fn all(text: String, changes: &[KeyChange], from: &str) -> Option<String> {
    changes.iter().try_fold(text, |text, change| follow::changed(&text, change, from))
}
