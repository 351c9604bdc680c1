//! `hooks`: what of Regrow runs inside the person's own git, in the open. Both are optional: the merge by key (a line of
//! `.gitattributes` and a command in the clone's configuration, see [`crate::merge_driver`]) and a check before each
//! commit. Hooks of the person are listed and never touched.

use std::path::PathBuf;

use serde::Serialize;

use crate::acts::{self, Act};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::{Answer, merge_driver};

/// The hook that is offered.
pub const PRE_COMMIT: &str = "pre-commit";

/// The hooks of this clone.
#[derive(Debug, Serialize)]
pub struct HooksReport {
    /// Where git looks for them.
    pub dir: PathBuf,
    /// Those there are, by name.
    pub hooks: Vec<Found>,
    /// Whether git merges the text by key here.
    pub merges_by_key: bool,
    /// What was done, in words; nothing if only looked at.
    pub done: Option<String>,
}

/// A hook.
#[derive(Debug, Serialize)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Whether it is Regrow's.
    pub ours: bool,
}

impl Answer for HooksReport {}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To see them.
    List,
    /// To have the check before each commit.
    Install,
    /// To have it no more.
    Remove,
}

/// Lists, installs or removes.
///
/// # Errors
/// [`Error::Mistake`] if a hook of the person is in the way, or hooks are kept at a place for all repositories.
pub fn hooks(ctx: &Context, wish: Wish) -> Result<HooksReport> {
    let repo = ctx.repo()?;
    let (dir, own) = repo.hooks_dir()?;
    let done = match wish {
        Wish::List => None,
        Wish::Install => {
            let fleet = repo.prefix();
            let place =
                if fleet.is_empty() { String::new() } else { format!(" --fleet {}", merge_driver::quoted(fleet)) };
            let command = format!("exec {} check{place}", merge_driver::spoken(ctx.program()));
            if !own {
                return Err(Error::mistake_with(
                    format!("git looks for hooks in {}, which is not this clone\u{2019}s own place", dir.display()),
                    format!("put this into its {PRE_COMMIT} yourself: {command}"),
                ));
            }
            let about = "It refuses a commit whose text has mistakes; all the same: git commit --no-verify";
            if !repo.write_hook(PRE_COMMIT, about, &command)? {
                return Err(Error::mistake_with(
                    format!("there is a {PRE_COMMIT} hook of yours, which was not touched"),
                    format!("put this into it yourself: {command}"),
                ));
            }
            acts::record(ctx, &Act::new("hooks", format!("installed the {PRE_COMMIT} hook")));
            Some(format!("the text is checked before each commit: {}", dir.join(PRE_COMMIT).display()))
        }
        Wish::Remove => {
            let removed = repo.remove_hook(PRE_COMMIT)?;
            if removed {
                acts::record(ctx, &Act::new("hooks", format!("removed the {PRE_COMMIT} hook")));
            }
            Some(
                if removed { "the text is not checked before a commit any more" } else { "there was no hook of ours" }
                    .to_owned(),
            )
        }
    };
    let hooks = repo.hooks()?.into_iter().map(|h| Found { name: h.name, ours: h.is_ours }).collect();
    Ok(HooksReport { dir, hooks, merges_by_key: repo.has_merge_driver("regrow")?, done })
}
