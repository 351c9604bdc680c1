//! What a page can ask for, as data: so that another process can do it.

use regrow_host::lock::Wait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::About;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::{Answer, background, online, undo};

/// A piece of work that [`super::launch`] gives to a process of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// [`crate::build()`].
    Build {
        /// The server.
        server: String,
        /// The revision; without one the text on disk.
        at: Option<String>,
    },
    /// [`crate::trial()`].
    Trial {
        /// The server.
        server: String,
        /// The revision; without one the text on disk.
        at: Option<String>,
        /// The draft to try instead: it is made ready first.
        draft: Option<String>,
        /// How many minutes it goes on running after its verdict; `None`: it ends with it.
        minutes: Option<u32>,
    },
    /// [`crate::background`]: all servers that a draft changes.
    Draft {
        /// The draft.
        draft: String,
        /// Its tip when this was asked for: if it has another one by then, nothing is built.
        tip: String,
    },
    /// [`online::switch`].
    Switch {
        /// The server.
        server: String,
        /// The revision; without one the newest.
        at: Option<String>,
    },
    /// [`crate::hunt::hunt`].
    Hunt {
        /// What it is about: see [`crate::hunt::question`] and [`crate::hunt::interrupted`].
        question: crate::hunt::Question,
    },
    /// [`online::rollback`].
    Rollback {
        /// The server.
        server: String,
        /// Whether the state goes back as well.
        with_state: bool,
    },
    /// [`undo::undo`] of what was done to an online server.
    Undo {
        /// The act.
        act: i64,
        /// The server.
        server: String,
    },
}

impl Task {
    /// What the record says about it.
    pub(super) fn about(&self) -> About {
        let named = |verb, server: &String, at: &Option<String>| About {
            revision: at.clone(),
            ..About::server(verb, server.clone(), Wait::No)
        };
        match self {
            Task::Build { server, at } => named("build", server, at),
            Task::Trial { server, at, .. } => named("trial", server, at),
            Task::Draft { draft, tip } => About {
                verb: "build",
                server: None,
                wait: Wait::No,
                draft: Some(draft.clone()),
                revision: Some(tip.clone()),
                hunt: None,
            },
            Task::Switch { server, at } => named("switch", server, at),
            Task::Hunt { question } => About::hunt(question, Wait::No),
            Task::Rollback { server, .. } => About::server("rollback", server.clone(), Wait::No),
            Task::Undo { server, .. } => About::server("undo", server.clone(), Wait::No),
        }
    }

    /// Does it.
    pub(super) fn perform(&self, ctx: &Context) -> Result<Report> {
        match self {
            Task::Build { server, at } => Report::of(&crate::build(ctx, server, at.as_deref(), true)?),
            Task::Trial { server, at, draft, minutes } => {
                let tip = draft.as_deref().map(|draft| background::ready(ctx, draft)).transpose()?;
                let at = tip.as_deref().or(at.as_deref());
                Report::of(&crate::trial(ctx, server, at, *minutes)?)
            }
            Task::Draft { draft, tip } => Report::of(&background::build(ctx, draft, tip)?),
            Task::Switch { server, at } => Report::of(&online::switch(ctx, server, at.as_deref())?),
            Task::Hunt { question } => Report::of(&crate::hunt::hunt(ctx, question, Default::default())?),
            Task::Rollback { server, with_state } => Report::of(&online::rollback(ctx, server, *with_state)?),
            Task::Undo { act, .. } => Report::of(&undo::perform(ctx, *act)?),
        }
    }
}

/// The report of any verb.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Report {
    value: Value,
    #[serde(skip)]
    yes: bool,
}

impl Report {
    fn of(report: &impl Answer) -> Result<Report> {
        let value =
            serde_json::to_value(report).map_err(|source| Error::Json { what: "our own report".to_owned(), source })?;
        Ok(Report { value, yes: report.is_yes() })
    }
}

impl Answer for Report {
    fn is_yes(&self) -> bool {
        self.yes
    }
}
