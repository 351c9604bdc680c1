//! `regrow resolve`: what is in conflict in a draft, and what is decided about it.

use regrow_ops::drafts::{self, Choice, Conflict, Decision, Who};
use regrow_ops::error::Error;
use regrow_ops::wanted::short;
use regrow_ops::{Answer, Context};
use serde::Serialize;

use crate::session::{Outcome, Session};
use crate::words::count;

/// List what is to decide in a draft, and decide it
///
/// Nothing of it stands in a file: a draft with open conflicts can be left and taken up again, on another day. It cannot
/// be built or landed until everything is decided.
///
///     regrow resolve d1                                      list it, with who and why
///     regrow resolve d1 checks.front.status yours            what the draft or its step says
///     regrow resolve d1 checks.front.status theirs           what is there now
///     regrow resolve d1 checks.front.status base             what was there before both
///     regrow resolve d1 checks.front.status value=204        something else
///     regrow resolve d1 servers/web1/server.toml theirs      everything in a file
///     regrow resolve d1 checks.front.status open             think again
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Resolve {
    /// The draft
    draft: String,
    /// The key, or a file for all that is to decide in it; FILE:KEY where several files have the key
    #[arg(requires = "choice")]
    what: Option<String>,
    /// yours, theirs, base, value=…, or open
    choice: Option<String>,
}

#[derive(Debug, Serialize)]
struct Decided {
    conflicts: Vec<Conflict>,
}

impl Answer for Decided {
    fn is_yes(&self) -> bool {
        open(&self.conflicts) == 0
    }
}

fn open(conflicts: &[Conflict]) -> usize {
    conflicts.iter().filter(|c| c.choice.is_none()).count()
}

pub(crate) fn run(args: &Resolve, ctx: &Context, session: &Session) -> Outcome {
    let id = &args.draft;
    let mut conflicts = drafts::conflicts(ctx, id)?;
    if let (Some(what), Some(chosen)) = (&args.what, &args.choice) {
        let meant: Vec<Conflict> = meant(&conflicts, what).cloned().collect();
        let files: std::collections::BTreeSet<&String> = meant.iter().map(|c| &c.path).collect();
        if meant.is_empty() {
            let help = format!("see what is to decide with: regrow resolve {id}");
            return Err(Error::mistake_with(
                format!("there is nothing to decide about {what} in the draft {id}"),
                help,
            ));
        }
        if files.len() > 1 {
            let named: Vec<String> = files.iter().map(|path| format!("{path}:{what}")).collect();
            return Err(Error::mistake_with(
                format!("{what} is to decide in {}", count(files.len(), "file")),
                format!("say in which: {}", named.join(", ")),
            ));
        }
        match choice(chosen)? {
            Some(choice) => {
                let decisions: Vec<Decision> = meant.into_iter().map(|c| decision(c, &choice)).collect();
                conflicts = drafts::decide(ctx, id, &decisions)?;
            }
            None => {
                for c in meant {
                    conflicts = drafts::choose(ctx, id, &c.path, c.key.as_ref(), c.with, None)?;
                }
            }
        }
    }
    session.answer(&Decided { conflicts }, |d| {
        let mut text = list(id, &d.conflicts);
        text.push_str(&match open(&d.conflicts) {
            0 if d.conflicts.is_empty() => format!("there is nothing to decide in the draft {id}\n"),
            0 => format!("everything is decided; land it with: regrow draft land {id}\n"),
            n => format!("{} to decide\n", count(n, "place")),
        });
        text
    })
}

fn decision(c: Conflict, choice: &Choice) -> Decision {
    Decision { path: c.path, key: c.key, with: c.with, theirs: c.theirs, yours: c.yours, choice: choice.clone() }
}

/// The conflicts that a person means by a key, a file, or both.
fn meant<'c>(conflicts: &'c [Conflict], what: &'c str) -> impl Iterator<Item = &'c Conflict> {
    conflicts.iter().filter(move |c| {
        let key = c.key.as_ref().map(ToString::to_string).unwrap_or_default();
        c.path == what || key == what || what.strip_prefix(&*c.path).and_then(|r| r.strip_prefix(':')) == Some(&*key)
    })
}

/// A choice as it is typed; `None` for none yet.
pub(crate) fn choice(text: &str) -> Result<Option<Choice>, Error> {
    Ok(Some(match text {
        "open" => return Ok(None),
        "yours" => Choice::Ours,
        "theirs" => Choice::Theirs,
        "base" => Choice::Base,
        other => match other.strip_prefix("value=") {
            Some(value) => Choice::Value(value.to_owned()),
            None => {
                let help = "it is yours, theirs, base, value=VALUE, or open";
                return Err(Error::mistake_with(format!("{other} is no choice"), help));
            }
        },
    }))
}

/// Conflicts in words, with both sides' who and why.
pub(crate) fn list(id: &str, conflicts: &[Conflict]) -> String {
    let mut text = String::new();
    for c in conflicts {
        let what = c.key.as_ref().map_or_else(|| c.path.clone(), |key| format!("{key} in {}", c.path));
        let state = match &c.choice {
            None => "to decide".to_owned(),
            Some(Choice::Ours) => "decided for yours".to_owned(),
            Some(Choice::Theirs) => "decided for theirs".to_owned(),
            Some(Choice::Base) => "decided for base".to_owned(),
            Some(Choice::Value(value)) => format!("decided for {value}"),
        };
        text.push_str(&format!("\n{state}: {what}\n"));
        let sides = [("base", &c.base, &None), ("theirs", &c.theirs, &c.theirs_by), ("yours", &c.yours, &c.yours_by)];
        for (name, value, who) in sides {
            text.push_str(&format!("  {name:6}  {}{}\n", shown(value), by(who)));
        }
    }
    if open(conflicts) > 0 {
        text.push_str(&format!("\ndecide with: regrow resolve {id} KEY yours|theirs|base|value=…\n"));
    }
    text
}

/// A value in one line.
fn shown(value: &Option<String>) -> String {
    let Some(value) = value else { return "not there".to_owned() };
    let line = value.lines().next().unwrap_or_default();
    let more = value.lines().count().saturating_sub(1);
    if more == 0 { line.to_owned() } else { format!("{line} (and {})", count(more, "more line")) }
}

fn by(who: &Option<Who>) -> String {
    match who {
        None => String::new(),
        Some(Who { author, subject, .. }) if author.is_empty() => format!("   {subject}"),
        Some(Who { revision: Some(revision), author, subject, .. }) => {
            format!("   {} {subject} ({author})", short(revision))
        }
        Some(Who { author, subject, .. }) => format!("   {subject} ({author})"),
    }
}
