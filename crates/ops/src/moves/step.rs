//! Steps: changesets that a draft takes back or carries over, each ticked on or off.

use regrow_history::{Commit, Repo};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::wanted::short;

/// What a step does with its changeset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Makes the same change once more.
    Pick,
    /// Takes the change back.
    Revert,
}

/// One changeset in a draft. What it does to the text is worked out each time, from the texts before and after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its number in the draft: never used for another step of it.
    pub id: u32,
    /// What is done.
    pub kind: StepKind,
    /// The changeset, its full id.
    pub of: String,
    /// What the change is taken against; `None` for the first commit, which came after nothing.
    pub parent: Option<String>,
    /// The first line of the changeset's message.
    pub subject: String,
    /// Whether it is ticked: only then it is part of the draft's text.
    pub on: bool,
    /// Whether it becomes one changeset together with the step before it, where steps land one by one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub squashed: bool,
    /// What its changeset is to say instead of what is suggested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Step {
    /// A step for a changeset, ticked. `parent` counts from 1 and is asked for where there are several.
    ///
    /// # Errors
    /// If there is no such parent, or the first commit is to be taken back.
    pub(super) fn new(kind: StepKind, commit: &Commit, parent: Option<usize>) -> Result<Step> {
        let name = short(&commit.id);
        let against = match (parent, commit.parents.len()) {
            (None, 0) => None,
            (None, _) => commit.parents.first(),
            (Some(n), count) => match n.checked_sub(1).and_then(|n| commit.parents.get(n)) {
                Some(parent) => Some(parent),
                None => {
                    let has = match count {
                        0 => "it is the first changeset, which has none".to_owned(),
                        1 => "it has one".to_owned(),
                        count => format!("it has {count}: 1 is the branch that it was merged into"),
                    };
                    return Err(Error::mistake_with(
                        format!("{name} has no parent {n}; {has}"),
                        "leave out --parent to take the change that it made to its own branch",
                    ));
                }
            },
        };
        if against.is_none() && kind == StepKind::Revert {
            return Err(Error::mistake_with(
                format!("{name} is the first changeset: there is nothing before it to go back to"),
                "remove what you do not want in a draft or an editor",
            ));
        }
        Ok(Step {
            id: 0,
            kind,
            of: commit.id.clone(),
            parent: against.cloned(),
            subject: commit.subject.clone(),
            on: true,
            squashed: false,
            message: None,
        })
    }

    /// The texts that its change lies between, as commits: from, to.
    pub(super) fn sides(&self) -> (Option<&str>, Option<&str>) {
        match self.kind {
            StepKind::Pick => (self.parent.as_deref(), Some(&self.of)),
            StepKind::Revert => (Some(&self.of), self.parent.as_deref()),
        }
    }

    /// What it is called: `Revert "Serve the wiki"`.
    pub(super) fn title(&self) -> String {
        match self.kind {
            StepKind::Pick => format!("Pick \"{}\"", self.subject),
            StepKind::Revert => format!("Revert \"{}\"", self.subject),
        }
    }

    /// Where it comes from, as its changeset says it.
    pub(super) fn provenance(&self) -> String {
        match self.kind {
            StepKind::Pick => format!("Picked from {}.", self.of),
            StepKind::Revert => format!("This takes back {}.", self.of),
        }
    }

    /// The message of its changeset.
    pub(super) fn message(&self, repo: &Repo) -> Result<String> {
        let words = match (&self.message, self.kind) {
            (Some(message), _) => message.clone(),
            (None, StepKind::Revert) => self.title(),
            (None, StepKind::Pick) => {
                let commit = repo.commit(&self.of)?;
                if commit.body.is_empty() { commit.subject } else { format!("{}\n\n{}", commit.subject, commit.body) }
            }
        };
        Ok(with_provenance(&words, std::slice::from_ref(self)))
    }
}

/// A message with where its steps come from, each on a line of its own, unless it says so already.
pub(crate) fn with_provenance(message: &str, steps: &[Step]) -> String {
    let lines: Vec<String> =
        steps.iter().map(Step::provenance).filter(|line| !message.contains(line.trim_end_matches('.'))).collect();
    let message = message.trim();
    if lines.is_empty() { message.to_owned() } else { format!("{message}\n\n{}", lines.join("\n")) }
}

/// What a draft of these steps is called, and the first line of the changeset that it becomes.
pub(crate) fn title(steps: &[Step]) -> String {
    let Some(first) = steps.first() else { return String::new() };
    match steps.len() - 1 {
        0 => first.title(),
        1 => format!("{} and 1 more", first.title()),
        more => format!("{} and {more} more", first.title()),
    }
}

/// The message of one changeset with all of these steps.
pub(crate) fn message(repo: &Repo, steps: &[Step]) -> Result<String> {
    match steps {
        [step] => step.message(repo),
        steps => {
            let lines: Vec<String> = steps.iter().map(|s| format!("* {}", s.title())).collect();
            Ok(with_provenance(&format!("{}\n\n{}", title(steps), lines.join("\n")), steps))
        }
    }
}
