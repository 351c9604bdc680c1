//! `regrow draft`: the drafts that pages collect, from the command line.

use regrow_ops::drafts::{self, Comments, Conflict, DISK, Draft, Edit, Edited, Into, Outcome, Seen, Target, Wish};
use regrow_ops::error::Error;
use regrow_ops::wanted::short;
use regrow_ops::{Answer, Context, moves};
use serde::Serialize;

use super::{resolve, steps};
use crate::session::{Outcome as Said, Session};
use crate::words::{bold, count, table, time};

/// Collect changes in a draft, look at it, try it, land it as one changeset
///
/// A draft is text that is not history yet. It has a revision of its own, so it can be built and tried like any other;
/// edits on disk are a draft, too, with the id `disk`.
///
///     regrow draft new "More room"                    makes d1
///     regrow draft set d1 web1 system.limits.memory '"2 GiB"'
///     regrow draft show d1
///     regrow trial web1 --at refs/regrow/drafts/d1
///     regrow draft land d1 -m "Give web1 more room"
///
/// What somebody else changed meanwhile is merged by key. Only where the same key was changed differently, landing says
/// so, and waits until `regrow resolve` has decided.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct DraftArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the drafts, the edits on disk first
    List,
    /// Show what a draft changes, and what must be decided before it can land
    Show {
        /// The draft: d1, or disk
        id: String,
    },
    /// Begin a draft on the last changeset
    New {
        /// What it is for
        title: Option<String>,
    },
    /// Give one key a value in a draft
    #[command(verbatim_doc_comment)]
    Set {
        /// The draft, or `new`
        id: String,
        /// The server; or role:NAME, or file:PATH
        place: String,
        /// The key, with dots: checks.front.status
        key: String,
        /// The value, as in TOML; a plain word is taken as text
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Remove one key in a draft
    Unset {
        /// The draft, or `new`
        id: String,
        /// The server; or role:NAME, or file:PATH
        place: String,
        /// The key, with dots
        key: String,
    },
    /// Decide a key that somebody else changed, too
    #[command(verbatim_doc_comment)]
    Choose {
        /// The draft
        id: String,
        /// The file: servers/web1/server.toml
        path: String,
        /// The key; leave it out to decide about the whole file
        key: Option<String>,
        /// yours, theirs, base, value=…, or open
        #[arg(long)]
        take: String,
    },
    /// List the changesets that a draft takes back or carries over
    Steps {
        /// The draft
        id: String,
    },
    /// Tick one of them on or off, put it elsewhere, or drop it
    Step {
        /// The draft
        id: String,
        /// Its number, as `regrow draft steps` shows it
        step: u32,
        #[command(flatten)]
        what: steps::What,
    },
    /// Make a draft one changeset; edits on disk in the same files are kept
    Land {
        /// The draft: d1, or disk
        id: String,
        /// What the change is for [default: what it does]
        #[arg(short, long, value_name = "MSG")]
        message: Option<String>,
        /// One changeset for each of its steps, with a message of its own; own edits come last
        #[arg(long)]
        separate: bool,
    },
    /// Put some of what a draft changes into a draft of its own
    #[command(verbatim_doc_comment)]
    Split {
        /// The draft
        id: String,
        /// Files, or keys in them: servers/web1/server.toml:checks.front
        #[arg(value_name = "FILE[:KEY]", required = true)]
        parts: Vec<String>,
        /// What the new draft is for
        #[arg(long)]
        title: Option<String>,
    },
    /// Set a draft aside; it can be taken back for 30 days
    Discard {
        /// The draft
        id: String,
    },
    /// Take a discarded draft back
    Restore {
        /// The draft
        id: String,
    },
}

/// A draft with what it changes.
#[derive(Debug, Serialize)]
struct Shown {
    /// `None` for the edits on disk.
    draft: Option<Draft>,
    comparison: regrow_ops::compare::Comparison,
    conflicts: Vec<Conflict>,
    message: String,
}

impl Answer for Shown {}

#[derive(Debug, Serialize)]
struct Decided {
    conflicts: Vec<Conflict>,
}

impl Answer for Decided {}

pub(crate) fn run(args: &DraftArgs, ctx: &Context, session: &Session) -> Said {
    match &args.verb {
        Verb::List => session.answer(&drafts::report(ctx)?, list),
        Verb::Show { id } => session.answer(&shown(ctx, id)?, show),
        Verb::New { title } => {
            session.answer(&drafts::create(ctx, title.as_deref(), ctx.actor())?, |d| format!("{}  {}\n", d.id, d.title))
        }
        Verb::Set { id, place, key, value } => {
            let edit = Edit::Set { key: key.clone(), value: value.clone() };
            change(ctx, session, id, place, edit)
        }
        Verb::Unset { id, place, key } => {
            change(ctx, session, id, place, Edit::Unset { key: key.clone(), comments: Comments::Keep })
        }
        Verb::Choose { id, path, key, take } => choose(ctx, session, id, path, key.as_deref(), take),
        Verb::Steps { id } => steps::list(ctx, session, id),
        Verb::Step { id, step, what } => steps::change(ctx, session, id, *step, what),
        Verb::Split { id, parts, title } => {
            let parts = parts.iter().map(|part| moves::Part::parse(part)).collect::<Result<Vec<_>, _>>()?;
            session.answer(&moves::split(ctx, id, &parts, title.as_deref())?, |d| format!("{}  {}\n", d.id, d.title))
        }
        Verb::Land { id, message, separate: true } => steps::land(ctx, session, id, message.as_deref()),
        Verb::Land { id, message, .. } => {
            session.answer(&drafts::land(ctx, id, message.as_deref())?, |o| landed(id, o))
        }
        Verb::Discard { id } => session.answer(&drafts::discard(ctx, id)?, |d| {
            format!("{} is set aside; take it back with: regrow draft restore {}\n", d.title, d.id)
        }),
        Verb::Restore { id } => {
            session.answer(&drafts::restore(ctx, id)?, |d| format!("{}  {} is back\n", d.id, d.title))
        }
    }
}

fn list(report: &drafts::DraftsReport) -> String {
    let mut rows = Vec::new();
    if let Some(disk) = &report.disk {
        let what = format!("{} in {}", count(disk.keys, "key"), count(disk.files.len(), "file"));
        rows.push(vec![bold(DISK), "Edits on disk".to_owned(), what, String::new()]);
    }
    for d in &report.drafts {
        let mut what = count(d.files.len(), "file");
        if d.outdated {
            what.push_str(", a changeset landed since");
        }
        rows.push(vec![bold(&d.id), d.title.clone(), what, format!("{}  {}", d.owner, time(d.changed))]);
    }
    if rows.is_empty() {
        "no drafts; begin one with: regrow draft new \"WHAT IT IS FOR\"\n".to_owned()
    } else {
        table(&rows)
    }
}

fn shown(ctx: &Context, id: &str) -> Result<Shown, Error> {
    use regrow_ops::compare::{Side, compare, summary_of};
    let draft = if id == DISK { None } else { Some(drafts::get(ctx, id)?) };
    let comparison = compare(ctx, &Side::Base, &Side::Draft(id.to_owned()))?;
    let words = summary_of(&comparison);
    let message = if words.is_empty() { drafts::suggested_message(ctx, id)? } else { words };
    Ok(Shown { draft, comparison, conflicts: drafts::conflicts(ctx, id)?, message })
}

fn show(shown: &Shown) -> String {
    let mut text = match &shown.draft {
        Some(d) => format!("{}  {}\nby {}, changed {}\n", bold(&d.id), d.title, d.owner, time(d.changed)),
        None => format!("{}\n", bold("Edits on disk")),
    };
    let words = |name: &str, words: &[String]| words.iter().map(|w| format!("  {name}: {w}\n")).collect::<String>();
    text.push_str(&words("fleet", &shown.comparison.fleet));
    for role in &shown.comparison.roles {
        text.push_str(&words(&format!("role {}", role.name), &role.words));
    }
    for server in &shown.comparison.servers {
        text.push_str(&words(&server.name, &server.words));
    }
    text.push_str(&resolve::list(shown.draft.as_ref().map_or(DISK, |d| &d.id), &shown.conflicts));
    if !shown.comparison.text.is_empty() {
        text.push('\n');
        text.push_str(&shown.comparison.text);
    }
    text
}

fn target(place: &str) -> Result<Target, Error> {
    let text = if place.contains(':') { place.to_owned() } else { format!("server:{place}") };
    Target::try_from(text).map_err(Error::mistake)
}

fn change(ctx: &Context, session: &Session, id: &str, place: &str, edit: Edit) -> Said {
    let into = if id == "new" { Into::New { title: None, owner: ctx.actor() } } else { Into::Draft(id) };
    let wish = Wish { target: target(place)?, edits: vec![edit] };
    let edited = drafts::edit_seen(ctx, into, Seen::default(), &[wish])?;
    if let Edited::Refused { refusals } = &edited {
        let words: Vec<String> = refusals.iter().map(|r| r.message.clone()).collect();
        return Err(Error::mistake(words.join("; ")));
    }
    session.answer(&edited, |edited| match edited {
        Edited::Saved(saved) => saved
            .files
            .iter()
            .map(|f| {
                let (lines, untouched) = (count(f.lines, "line"), count(f.untouched, "other line"));
                format!("draft {} changes {lines} of {}; {untouched} untouched\n", saved.draft, f.path)
            })
            .collect(),
        _ => "nothing to change: the text says so already\n".to_owned(),
    })
}

fn choose(ctx: &Context, session: &Session, id: &str, path: &str, key: Option<&str>, take: &str) -> Said {
    let choice = resolve::choice(take)?;
    let same = |c: &&Conflict| c.path == path && c.key.as_ref().map(ToString::to_string).as_deref() == key;
    let all = drafts::conflicts(ctx, id)?;
    let Some(c) = all.iter().find(same) else {
        let help = format!("see what is to decide with: regrow draft show {id}");
        return Err(Error::mistake_with("there is nothing to decide there", help));
    };
    let left = drafts::choose(ctx, id, path, c.key.as_ref(), c.with, choice)?;
    session.answer(&Decided { conflicts: left }, |d| match d.conflicts.iter().filter(|c| c.choice.is_none()).count() {
        0 => format!("everything is decided; land it with: regrow draft land {id}\n"),
        n => format!("{} left to decide\n", count(n, "place")),
    })
}

fn landed(id: &str, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Landed(l) => {
            let mut text =
                format!("changeset {}: {}\n", short(&l.revision), l.message.lines().next().unwrap_or_default());
            for path in &l.still_edited {
                text.push_str(&format!("{path} keeps its edits on disk\n"));
            }
            text
        }
        Outcome::Conflicts { conflicts: all } => {
            format!("not landed: the same was changed otherwise meanwhile\n{}", resolve::list(id, all))
        }
    }
}
