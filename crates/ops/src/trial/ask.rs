//! One question to a booted image: does this check hold? A hunt asks it of many images, so it ends as soon as the answer
//! is clear. Nothing of the machine is left afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use regrow_config::CheckKind;
use regrow_host::lock::Scratch;
use regrow_host::progress::{CheckState, Event, Progress};
use regrow_machine::{Always, CheckResult};

use super::{BOOT, Booted, Candidate, SETTLE};
use crate::context::Context;
use crate::error::{Error, Result};

/// The checks that every machine has, without being written in any text.
pub(crate) const ALWAYS: [&str; 2] = ["system", "failed-units"];

/// How long is waited for a yes. After a no that may become a yes nothing else helps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For the machine to start everything.
    pub(crate) boot: Duration,
    /// For the check, after that; `None`: as long as its text says.
    pub(crate) check: Option<Duration>,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { boot: BOOT, check: None }
    }
}

/// The answer.
#[derive(Debug, Clone)]
pub(crate) enum Heard {
    /// What the check saw, and how many seconds the boot took, if it came to its end.
    Answer { result: CheckResult, ready: Option<f64> },
    /// The machine did not come so far that the check means anything.
    NoBoot(String),
}

/// Boots a candidate, whose only check is `name` (or none, if that is one of [`ALWAYS`]), and asks it.
///
/// # Errors
/// If no machine can be started here, or somebody asked to stop.
pub(crate) fn ask(ctx: &Context, candidate: &Candidate, name: &str, patience: Patience) -> Result<Heard> {
    let scratch = Scratch::new(ctx.home().scratch(), &format!("hunt-{}", candidate.server))?;
    let booted = Booted::start(ctx, candidate, scratch.path())?;
    let heard = listen(ctx, &booted, candidate, name, patience);
    booted.end()?;
    if regrow_host::cancel::requested() { Err(Error::Cancelled) } else { heard }
}

fn listen(ctx: &Context, booted: &Booted, candidate: &Candidate, name: &str, patience: Patience) -> Result<Heard> {
    let machine = &booted.machine;
    let since = Instant::now();
    // Whether the boot itself is what is asked about.
    let check = candidate.checks.get(name);
    let of_boot = check.is_none_or(|check| matches!(check.kind, CheckKind::Unit { .. }));
    let ready = match machine.wait_running(patience.boot, ctx.progress()) {
        Ok(seconds) => Some(seconds),
        Err(e @ regrow_machine::Error::Ended { .. }) if of_boot => {
            let seconds = since.elapsed().as_secs_f64();
            return Ok(Heard::Answer { result: failed(name, e.to_string(), seconds), ready: None });
        }
        // What hangs may be the unit that is asked about: it is looked at.
        Err(regrow_machine::Error::Timeout { .. }) if of_boot => None,
        Err(e @ (regrow_machine::Error::Ended { .. } | regrow_machine::Error::Timeout { .. })) => {
            return Ok(Heard::NoBoot(e.to_string()));
        }
        Err(e) => return Err(e.into()),
    };
    let most = match (ready, patience.check) {
        (None, _) => Duration::from_secs(1),
        (_, Some(check)) => check,
        (_, None) => Duration::MAX,
    };
    let seen = Listener { name, answered: AtomicBool::new(false), told: ctx.progress() };
    let since = Instant::now();
    let decided =
        || seen.answered.load(Ordering::Relaxed) || since.elapsed() >= most || regrow_host::cancel::requested();
    let results = machine.inside().watch_checks(&candidate.checks, Always { timeout: SETTLE }, &seen, &decided);
    let result = results.into_iter().find(|result| result.name == name);
    let seconds = since.elapsed().as_secs_f64();
    let mut result = result.unwrap_or_else(|| failed(name, "there is no such check".to_owned(), seconds));
    if result.detail.is_empty() {
        result.detail = "it gave no answer".to_owned();
    }
    Ok(Heard::Answer { result, ready })
}

fn failed(name: &str, detail: String, seconds: f64) -> CheckResult {
    CheckResult { name: name.to_owned(), kind: "system".to_owned(), passed: false, detail, seconds, left: false }
}

/// Hears when the check that is asked for has its answer; what the others see is told to nobody.
struct Listener<'a> {
    name: &'a str,
    answered: AtomicBool,
    told: &'a dyn Progress,
}

impl Progress for Listener<'_> {
    fn event(&self, event: &Event) {
        match event {
            Event::Check(seen) if seen.check == self.name => {
                self.told.event(event);
                if matches!(seen.state, CheckState::Passed | CheckState::Failed) {
                    self.answered.store(true, Ordering::Relaxed);
                }
            }
            _ => {}
        }
    }
}
