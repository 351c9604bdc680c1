//! `set`, `unset`: one key of a server's text, as one changeset.
//!
//! The same byte patch is made to the committed text and to the text on disk, so that hand edits elsewhere in the file
//! stay hand edits. Where the patch changes what the lock was resolved from, the new lock is in the same changeset.

use std::collections::{BTreeMap, BTreeSet};

use regrow_config::edit::{Edited, set_in_server, unset_in_server};
use regrow_config::{Diagnostic, DiskFiles, Files, inputs_digest, load_server_names};
use regrow_history::{Change, Landing};
use serde::Serialize;

use crate::Answer;
use crate::acts::{self, Act};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::lock::{self, LockReport};
use crate::undo::Way;
use crate::wanted::{Overlay, Wanted};

/// What an edit landed.
#[derive(Debug, Serialize)]
pub struct EditReport {
    /// The server.
    pub server: String,
    /// The key.
    pub key: String,
    /// The changeset; `None` if the text said so already.
    pub revision: Option<String>,
    /// The file that was patched, relative to the fleet.
    pub file: String,
    /// The line of the first changed byte, from 1.
    pub line: usize,
    /// The new lock, if the edit made one necessary.
    pub lock: Option<LockReport>,
}

impl Answer for EditReport {}

/// What to do with a key.
#[derive(Debug, Clone, Copy)]
enum Edit<'a> {
    Set(&'a str),
    Unset,
}

/// Gives `key` of `server` a value: TOML, or a bare word that is taken as a string.
pub fn set(ctx: &Context, server: &str, key: &str, value: &str, message: Option<&str>) -> Result<EditReport> {
    let words = format!("{server}: set {key} = {value}");
    edit(ctx, server, key, Edit::Set(value), message.unwrap_or(&words))
}

/// Removes `key` from the text of `server`; what its roles say about it holds again.
pub fn unset(ctx: &Context, server: &str, key: &str, message: Option<&str>) -> Result<EditReport> {
    let words = format!("{server}: unset {key}");
    edit(ctx, server, key, Edit::Unset, message.unwrap_or(&words))
}

fn patched(files: &dyn Files, server: &str, key: &str, edit: Edit<'_>) -> Result<Edited> {
    Ok(match edit {
        Edit::Set(value) => set_in_server(files, server, key, value)?,
        Edit::Unset => unset_in_server(files, server, key)?,
    })
}

fn edit(ctx: &Context, server: &str, key: &str, edit: Edit<'_>, message: &str) -> Result<EditReport> {
    if message.trim().is_empty() {
        return Err(Error::mistake_with("the message is empty", "say in a few words what the change is for: -m \"…\""));
    }
    let repo = ctx.repo()?;
    let head = repo.head()?;
    let disk = DiskFiles::new(ctx.fleet()?)?;
    if !load_server_names(&disk)?.iter().any(|name| name == server) {
        Wanted::read(ctx, None)?.known(server)?;
    }
    let Some(commit) = &head.commit else { return Err(regrow_history::Error::Unborn.into()) };

    let on_disk = patched(&disk, server, key, edit)?;
    let base = repo.revision(commit)?;
    let committed = patched(&base, server, key, edit).map_err(|e| in_head(&e, &on_disk.path))?;
    if committed.path != on_disk.path {
        let message = format!("{key} is in {} in the last changeset, and in {} on disk", committed.path, on_disk.path);
        return Err(Error::mistake_with(message, format!("commit the edits below servers/{server} first")));
    }
    let mut report = EditReport {
        server: server.to_owned(),
        key: key.to_owned(),
        revision: None,
        file: on_disk.path.clone(),
        line: on_disk.line,
        lock: None,
    };
    if committed.old == committed.text && on_disk.old == on_disk.text {
        return Ok(report);
    }
    let after = BTreeMap::from([(committed.path, committed.text.clone().into_bytes())]);
    if let Err(e) = refuse_new_mistakes(&base, &after, server) {
        // Fine with the edits on disk, a mistake without them: the mistake would point into text that nobody sees.
        let with_edits = BTreeMap::from([(on_disk.path.clone(), on_disk.text.clone().into_bytes())]);
        let fine = refuse_new_mistakes(&disk, &with_edits, server).is_ok();
        return Err(if fine { in_head(&e, &on_disk.path) } else { e });
    }

    let mut changes = vec![Change {
        path: on_disk.path,
        based_on: Some(on_disk.old.into_bytes()),
        committed: Some(committed.text.into_bytes()),
        on_disk: Some(on_disk.text.into_bytes()),
    }];
    if let Some((change, lock)) = relock(ctx, &base, &after, server)? {
        changes.push(change);
        report.lock = Some(lock);
    }
    match repo.land(&Landing::new(&changes, message, &head, ctx.now())) {
        Ok(landed) => {
            // The key and not the value: that is in git, where whoever may read it finds it.
            let done = if matches!(edit, Edit::Set(_)) { "set" } else { "unset" };
            let way = Way::Landed { revision: landed.revision.clone() };
            acts::record(ctx, &Act::new("edit", format!("{done} {key} of {server}")).about(server).undone_by(way));
            report.revision = Some(landed.revision);
        }
        Err(regrow_history::Error::Nothing) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(report)
}

fn in_head(e: &Error, file: &str) -> Error {
    Error::mistake_with(
        format!("{file} has edits that this change depends on; without them: {e}"),
        format!("commit them first: git commit -m MESSAGE -- {file}"),
    )
}

/// Refuses an edit after which the text of `server` has a mistake that it had not before.
pub(crate) fn refuse_new_mistakes(base: &dyn Files, after: &BTreeMap<String, Vec<u8>>, server: &str) -> Result<()> {
    let mistakes = |files: &dyn Files| -> Vec<Diagnostic> {
        let (_, diagnostics) = regrow_config::load_fleet(files);
        diagnostics.into_iter().filter(|d| d.is_error() && crate::wanted::concerns(&d.file, server)).collect()
    };
    let before: BTreeSet<(&str, String)> = mistakes(base).into_iter().map(|d| (d.code, d.message)).collect();
    let overlay = Overlay::new(base, after.clone());
    let mut new = mistakes(&overlay);
    new.retain(|d| !before.contains(&(d.code, d.message.clone())));
    if new.is_empty() {
        return Ok(());
    }
    Err(crate::wanted::refusal(&overlay, new))
}

/// The new lock, if the server has one and the edit changes what it was resolved from.
fn relock(
    ctx: &Context,
    base: &regrow_history::Revision,
    after: &BTreeMap<String, Vec<u8>>,
    server: &str,
) -> Result<Option<(Change, LockReport)>> {
    let wanted = Wanted::over(base, after);
    let path = format!("servers/{server}/lock.toml");
    let Some(previous) = wanted.lock_or_none(server)? else { return Ok(None) };
    let text = wanted.server(server)?;
    if previous.inputs == inputs_digest(text, &wanted.fleet) {
        return Ok(None);
    }
    ctx.sweep()?;
    let (lock, mut report) = lock::choose(ctx, &wanted, text, Some(&previous), false)?;
    report.changed = true;
    let change = Change::new(path.as_str(), base.read(&path)?, Some(lock.to_text().into_bytes()));
    Ok(Some((change, report)))
}
