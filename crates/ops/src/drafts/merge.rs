//! Three texts of one file merged: TOML by key, other text by line, anything else as one piece.

use std::collections::BTreeMap;

use regrow_config::KeyPath;
use regrow_config::merge::{Choice, MergeError, merge_with};
use regrow_host::program::Program;
use serde::{Deserialize, Serialize};

use super::land::Decision;
use super::who::Who;
use crate::error::Result;

/// What a draft's change is in conflict with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum With {
    /// A changeset that landed since the draft was made.
    Changeset,
    /// An edit on disk.
    Disk,
    /// Another edit of the same draft.
    Draft,
    /// What stands where a step of the draft is made, by the step's number: its value is yours.
    Step(u32),
}

/// One place that was changed in two ways. Values are TOML literals, of a whole file its text; `None`: not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The file, relative to the fleet.
    pub path: String,
    /// The key; `None` if the file as a whole cannot be merged.
    pub key: Option<KeyPath>,
    /// The value before both changes.
    pub base: Option<String>,
    /// The value that is there now.
    pub theirs: Option<String>,
    /// The draft's value (of a clash while editing: the one just typed).
    pub yours: Option<String>,
    /// Who changed it too.
    pub with: With,
    /// What was decided: `Ours` is yours.
    pub choice: Option<Choice>,
    /// Who wrote theirs, and why, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theirs_by: Option<Who>,
    /// Who wrote yours, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub yours_by: Option<Who>,
}

/// Choices by key; the whole file has no key.
pub(crate) type Choices = BTreeMap<Option<KeyPath>, Choice>;

/// A merged file.
#[derive(Debug)]
pub(crate) struct Merged {
    /// What stands there then; keys in conflict are as `theirs`.
    pub(crate) bytes: Option<Vec<u8>>,
    /// What was changed in two ways, decided or not.
    pub(crate) conflicts: Vec<Conflict>,
}

impl Merged {
    /// Those that nobody decided yet.
    pub(crate) fn is_decided(&self) -> bool {
        self.conflicts.iter().all(|c| c.choice.is_some())
    }
}

/// Merges what `yours` changed since `base` into `theirs`. The result keeps the bytes of `theirs` where it can.
pub(crate) fn merge(
    path: &str,
    [base, theirs, yours]: [Option<&[u8]>; 3],
    with: With,
    choices: &Choices,
) -> Result<Merged> {
    let done = |bytes: Option<&[u8]>| Ok(Merged { bytes: bytes.map(<[u8]>::to_vec), conflicts: Vec::new() });
    if theirs == base || theirs == yours {
        return done(yours);
    }
    if yours == base {
        return done(theirs);
    }
    // A lock is made, not merged: the newer one stands until a new one is made from the merged text.
    if is_lock(path) {
        return done(theirs.or(yours));
    }
    let texts = [base.unwrap_or_default(), theirs.unwrap_or_default(), yours.unwrap_or_default()];
    let texts = texts.map(std::str::from_utf8);
    // A file that one side removed is decided as a whole.
    let both = theirs.is_some() && yours.is_some();
    if let ([Ok(base), Ok(theirs), Ok(yours)], true) = (&texts, both) {
        if path.ends_with(".toml") {
            match by_key(path, [base, theirs, yours], with, choices) {
                Ok(merged) => return Ok(merged),
                // Not TOML: as any text. A choice that is no value is told.
                Err(MergeError::Syntax { .. }) => {}
                Err(e @ MergeError::Choice { .. }) => {
                    let help = std::error::Error::source(&e).map(ToString::to_string).unwrap_or_default();
                    return Err(crate::Error::mistake_with(e.to_string(), help));
                }
                #[allow(unreachable_patterns, reason = "further reasons are told as they are")]
                Err(e) => return Err(crate::Error::mistake(e.to_string())),
            }
        }
        if let Some(bytes) = by_line([base, theirs, yours])? {
            return Ok(Merged { bytes: Some(bytes), conflicts: Vec::new() });
        }
    }
    let shown = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned());
    let choice = choices.get(&None).cloned();
    let bytes = match &choice {
        Some(Choice::Base) => base.map(<[u8]>::to_vec),
        Some(Choice::Ours) => yours.map(<[u8]>::to_vec),
        Some(Choice::Value(text)) => Some(text.clone().into_bytes()),
        Some(Choice::Theirs) | None => theirs.map(<[u8]>::to_vec),
    };
    let conflict = Conflict {
        path: path.to_owned(),
        key: None,
        base: shown(base),
        theirs: shown(theirs),
        yours: shown(yours),
        with,
        choice,
        theirs_by: None,
        yours_by: None,
    };
    Ok(Merged { bytes, conflicts: vec![conflict] })
}

/// Merges with those decisions that were made about these very values.
pub(crate) fn decided(path: &str, texts: [Option<&[u8]>; 3], with: With, decisions: &[Decision]) -> Result<Merged> {
    let open = merge(path, texts, with, &Choices::new())?;
    let mut choices = Choices::new();
    for c in &open.conflicts {
        let fits = |d: &&Decision| {
            d.path == path && d.key == c.key && d.with == with && d.theirs == c.theirs && d.yours == c.yours
        };
        if let Some(decision) = decisions.iter().find(fits) {
            choices.insert(c.key.clone(), decision.choice.clone());
        }
    }
    if choices.is_empty() { Ok(open) } else { merge(path, texts, with, &choices) }
}

/// In `config::merge` the text that is changed is "ours": here that is theirs, and yours is merged into it.
fn by_key(
    path: &str,
    [base, theirs, yours]: [&str; 3],
    with: With,
    choices: &Choices,
) -> std::result::Result<Merged, MergeError> {
    let swapped = |choice: &Choice| match choice {
        Choice::Ours => Choice::Theirs,
        Choice::Theirs => Choice::Ours,
        other => other.clone(),
    };
    let keyed: BTreeMap<KeyPath, Choice> =
        choices.iter().filter_map(|(key, choice)| Some((key.clone()?, swapped(choice)))).collect();
    let merged = merge_with(base, theirs, yours, &keyed)?;
    // Without choices it says every conflict, with them only what is left.
    let all = if keyed.is_empty() {
        merged.conflicts.clone()
    } else {
        merge_with(base, theirs, yours, &BTreeMap::new())?.conflicts
    };
    let open: Vec<&KeyPath> = merged.conflicts.iter().map(|c| &c.key).collect();
    let conflicts = all.iter().map(|c| Conflict {
        path: path.to_owned(),
        choice: if open.contains(&&c.key) { None } else { choices.get(&Some(c.key.clone())).cloned() },
        key: Some(c.key.clone()),
        base: c.base.clone(),
        theirs: c.ours.clone(),
        yours: c.theirs.clone(),
        with,
        theirs_by: None,
        yours_by: None,
    });
    Ok(Merged { conflicts: conflicts.collect(), bytes: Some(merged.text.into_bytes()) })
}

/// Merges lines with `git merge-file`; `None` if the same lines were changed in two ways.
fn by_line(texts: [&str; 3]) -> Result<Option<Vec<u8>>> {
    let dir = std::env::temp_dir().join(format!("regrow-merge-{}-{}", std::process::id(), counter()));
    let _remove = RemoveDir(&dir);
    regrow_host::fs::create_dir_all(&dir)?;
    for (name, text) in ["base", "theirs", "yours"].iter().zip(texts) {
        std::fs::write(dir.join(name), text).map_err(|e| regrow_host::FsError::new("write", dir.join(name), e))?;
    }
    let output = Program::new("git", "git")
        .args(["merge-file", "-p", "--quiet", "theirs", "base", "yours"])
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .dir(&dir)
        .output()?;
    Ok(output.status.success().then_some(output.stdout))
}

fn counter() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    COUNTER.fetch_add(1, Ordering::Relaxed)
}

struct RemoveDir<'p>(&'p std::path::Path);

impl Drop for RemoveDir<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0);
    }
}

/// Whether a path is a server's lock.
pub(crate) fn is_lock(path: &str) -> bool {
    path.starts_with("servers/") && path.ends_with("/lock.toml")
}
