//! What long work tells whoever is looking: a terminal, a page, a test.

use std::sync::Mutex;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// One thing that happened. Events of one piece of work are totally ordered by their sender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A named step began. `step` is stable within one piece of work ("download", "layer base").
    Started {
        /// Its name.
        step: String,
        /// What it does, in words.
        title: String,
    },
    /// How far a step has come.
    Advanced {
        /// Its name.
        step: String,
        /// Units done.
        done: u64,
        /// Units in all; 0 if unknown.
        total: u64,
        /// What is counted.
        unit: Unit,
    },
    /// A step ended.
    Finished {
        /// Its name.
        step: String,
        /// What came of it, in words.
        result: String,
        /// Wall-clock seconds it took.
        seconds: f64,
    },
    /// A check is about to be made, being made, or made. Every change is told whole.
    Check(CheckSeen),
    /// Something worth saying that is no step.
    Note {
        /// In words.
        text: String,
    },
}

/// How a check stands, in [`Event::Check`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckSeen {
    /// Its name in the text, or that of one that always runs.
    pub check: String,
    /// What kind of check it is: `unit`, `http`, …
    pub kind: String,
    /// How it stands.
    pub state: CheckState,
    /// What it saw last, in words; empty before its first try.
    pub detail: String,
    /// Wall-clock seconds since it began.
    pub seconds: f64,
    /// How many seconds after its beginning it fails if it has not passed by then.
    pub limit: f64,
}

/// How a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// What it looks at is not there yet.
    Waiting,
    /// It is tried again and again.
    Running,
    /// It held.
    Passed,
    /// It did not hold, and is not tried any more.
    Failed,
    /// It was left off before it could say either.
    Left,
}

/// What [`Event::Advanced`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things: packages, checks, steps.
    Items,
}

/// Receives events. Called from any thread; must not block for long.
pub trait Progress: Send + Sync {
    /// Takes one event.
    fn event(&self, event: &Event);
}

/// Nobody is looking.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: &Event) {}
}

/// Keeps every event, for tests.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    /// What was told so far.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().map(|e| e.clone()).unwrap_or_default()
    }
}

impl Progress for Recorder {
    fn event(&self, event: &Event) {
        if let Ok(mut events) = self.0.lock() {
            events.push(event.clone());
        }
    }
}

/// A step under way, from [`step`]. Dropped without [`Step::finish`] it says that it was given up.
pub struct Step<'a> {
    progress: &'a dyn Progress,
    name: String,
    since: Instant,
    finished: bool,
}

impl std::fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Begins a step.
pub fn step<'a>(progress: &'a dyn Progress, name: impl Into<String>, title: impl Into<String>) -> Step<'a> {
    let name = name.into();
    progress.event(&Event::Started { step: name.clone(), title: title.into() });
    Step { progress, name, since: Instant::now(), finished: false }
}

/// Says something that is no step.
pub fn note(progress: &dyn Progress, text: impl Into<String>) {
    progress.event(&Event::Note { text: text.into() });
}

impl Step<'_> {
    /// Says how far it has come; `total` 0 means unknown.
    pub fn advance(&self, done: u64, total: u64, unit: Unit) {
        self.progress.event(&Event::Advanced { step: self.name.clone(), done, total, unit });
    }

    /// Ends it; returns the wall-clock seconds it took.
    pub fn finish(mut self, result: impl Into<String>) -> f64 {
        self.end(result.into())
    }

    fn end(&mut self, result: String) -> f64 {
        self.finished = true;
        let seconds = self.since.elapsed().as_secs_f64();
        self.progress.event(&Event::Finished { step: self.name.clone(), result, seconds });
        seconds
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.end("given up".to_owned());
        }
    }
}
