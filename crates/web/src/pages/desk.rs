//! The mixing desk on a draft's page: its steps, ticked on and off, put in another order, joined, reworded; and its parts,
//! which can become a draft of their own.

use regrow_ops::compare::Comparison;
use regrow_ops::drafts::Draft;
use regrow_ops::moves::desk::StepState;
use regrow_ops::moves::{self, Change, Part, StepKind};
use regrow_ops::{Context, Error};

use crate::form::{Sent, Went};
use crate::pages::draft::start_build;
use crate::view::{Digest, Mark, Tone};

/// What `desk.html` draws; nothing for a draft without steps.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) steps: Vec<Step>,
    /// Files that the draft changes beyond what its steps do.
    pub(crate) own: Vec<String>,
    /// How many steps are ticked.
    pub(crate) ticked: usize,
}

/// A step.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) id: u32,
    pub(crate) on: bool,
    /// Ticked or left out, for those who cannot press the box.
    pub(crate) mark: Mark,
    /// What it does with its changeset.
    pub(crate) does: &'static str,
    pub(crate) of: Digest,
    /// What its changeset will be called.
    pub(crate) name: String,
    /// The message that somebody gave it.
    pub(crate) message: String,
    pub(crate) squashed: bool,
    /// Whether it changes nothing here.
    pub(crate) nothing: bool,
    /// How many of its conflicts wait.
    pub(crate) undecided: usize,
    pub(crate) first: bool,
    pub(crate) last: bool,
}

impl Desk {
    /// Of a draft's steps.
    pub(crate) fn new(found: Vec<StepState>, own: Vec<String>) -> Desk {
        let last = found.len().saturating_sub(1);
        let ticked = found.iter().filter(|s| s.step.on).count();
        let steps = found.into_iter().enumerate().map(|(n, s)| Step::new(s, n == 0, n == last)).collect();
        Desk { steps, own, ticked }
    }
}

impl Step {
    fn new(state: StepState, first: bool, last: bool) -> Step {
        let StepState { step, without_effect, undecided } = state;
        let said = step.message.as_deref().and_then(|m| m.lines().next());
        Step {
            id: step.id,
            on: step.on,
            mark: if step.on { Mark::new(Tone::Good, "ticked") } else { Mark::new(Tone::None, "left out") },
            does: match step.kind {
                StepKind::Revert => "takes back",
                StepKind::Pick => "copies",
            },
            name: said.unwrap_or(&step.subject).to_owned(),
            of: Digest::new(step.of),
            message: step.message.unwrap_or_default(),
            squashed: step.squashed,
            nothing: without_effect,
            undecided,
            first,
            last,
        }
    }
}

/// What a button on a step asks for.
fn change(sent: &Sent) -> Option<Change> {
    Some(match sent.get("do")? {
        "on" => Change::On,
        "off" => Change::Off,
        "up" => Change::Up,
        "down" => Change::Down,
        "drop" => Change::Drop,
        "squash" => Change::Squash(true),
        "separate" => Change::Squash(false),
        "reword" => {
            let message = sent.raw("message").unwrap_or_default().replace("\r\n", "\n");
            Change::Reword(Some(message).filter(|m| !m.trim().is_empty()))
        }
        _ => return None,
    })
}

/// A button on a step: the draft's text follows, and is built as after any edit.
pub(crate) fn step(ctx: &Context, id: &str, sent: &Sent) -> regrow_ops::Result<Went> {
    let asked = sent.get("step").and_then(|n| n.parse::<u32>().ok()).zip(change(sent));
    let (number, change) = asked.ok_or_else(|| Error::mistake("there is no such thing to do with a step"))?;
    let desk = moves::set_step(ctx, id, number, &change)?;
    start_build(ctx, id);
    let there = desk.steps.iter().any(|s| s.step.id == number);
    Ok(Went::to(if there { format!("/draft/{id}#step-{number}") } else { format!("/draft/{id}#steps") }))
}

/// "Land each step as a changeset of its own". `current` says whether the browser works on this draft.
pub(crate) fn land_each(ctx: &Context, id: &str, sent: &Sent, current: bool) -> regrow_ops::Result<Went> {
    let text = sent.raw("message").unwrap_or_default().replace("\r\n", "\n");
    let report = moves::land_separately(ctx, id, Some(&*text).filter(|t| !t.trim().is_empty()))?;
    if !report.conflicts.is_empty() {
        return Ok(Went::to(format!("/draft/{id}/conflicts")));
    }
    // One is shown by itself; several stand on top of the timeline, the last one first.
    let went = match &report.landed[..] {
        [] => Went::to("/drafts"),
        [one] => Went::to(format!("/changeset/{}", one.revision)),
        _ => Went::to("/history"),
    };
    Ok(if current { went.with_draft("") } else { went })
}

/// A part of a draft that can go into another one: its field, what the field says, how it is shown, and whether it stands
/// below a file.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) field: &'static str,
    pub(crate) value: String,
    pub(crate) name: String,
    pub(crate) inside: bool,
}

/// How many parts are offered: their names must fit into one form.
const MOST_PIECES: usize = 60;

/// The files that a draft changes, and the keys of those with several; none if there is nothing to divide.
pub(crate) fn pieces(draft: &Draft, found: &Comparison) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for path in &draft.files {
        pieces.push(Piece { field: "file", value: path.clone(), name: path.clone(), inside: false });
        let keys = found.keys.iter().find(|f| f.path == *path).map_or(&[][..], |f| &f.keys[..]);
        for change in keys.iter().filter(|_| keys.len() > 1) {
            let name = change.key.to_string();
            pieces.push(Piece { field: "key", value: format!("{path}:{name}"), name, inside: true });
        }
    }
    pieces.truncate(MOST_PIECES);
    if pieces.len() < 2 { Vec::new() } else { pieces }
}

/// "Move into a draft of its own": goes to the new one.
pub(crate) fn split(ctx: &Context, id: &str, sent: &Sent) -> regrow_ops::Result<Went> {
    let mut parts: Vec<Part> = sent.all("file").map(|path| Part { path: path.to_owned(), key: None }).collect();
    for text in sent.all("key") {
        let part = Part::parse(text)?;
        // A file that goes as a whole takes its keys with it.
        if !parts.iter().any(|p| p.key.is_none() && p.path == part.path) {
            parts.push(part);
        }
    }
    if parts.is_empty() {
        return Err(Error::mistake_with("nothing is ticked", "tick what is to go into a draft of its own"));
    }
    let made = moves::split(ctx, id, &parts, sent.get("title"))?;
    start_build(ctx, id);
    start_build(ctx, &made.id);
    Ok(Went::to(format!("/draft/{}", made.id)))
}
