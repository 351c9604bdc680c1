//! One revision: its image, and what the check says in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use regrow_config::Check;
use regrow_host::progress::{Event, Progress, step};

use super::known::Known;
use super::question::Question;
use super::record::{self, How, Step, Verdict};
use crate::build::build_wanted;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::trial::Candidate;
use crate::trial::ask::{Heard, Patience, ask};
use crate::wanted::{Wanted, short};

/// What judging needs besides the revision.
pub(super) struct Judge<'a> {
    ctx: &'a Context,
    /// The same, where only what takes long is told: one line for each revision is enough.
    quiet: Context,
    question: &'a Question,
    /// The check as the bad end has it.
    newest: Option<Check>,
    /// Bytes of memory that one machine may take.
    memory: u64,
    known: &'a [Known],
}

/// A revision that has an image.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    candidate: Candidate,
    /// Everything that the answer depends on: equal ones are booted once.
    pub(super) machine: String,
    seconds: f64,
}

/// Waiting for a yes takes as long as the slowest yes so far, with this to spare.
const SPARE: f64 = 4.0;
/// But at least so long.
const LEAST_CHECK: Duration = Duration::from_secs(3);
const LEAST_BOOT: Duration = Duration::from_secs(30);

impl<'a> Judge<'a> {
    pub(super) fn new(ctx: &'a Context, question: &'a Question, known: &'a [Known]) -> Result<Judge<'a>> {
        let newest = Wanted::read(ctx, Some(&question.bad))?;
        let server = newest.known(&question.server)?;
        let newest = server.checks.get(question.asked.name()).cloned();
        let memory = server.system.limits.memory.unwrap_or(1 << 30);
        let quiet = ctx.with_progress(Arc::new(Long(ctx.progress_shared())));
        Ok(Judge { ctx, quiet, question, newest, memory, known })
    }

    /// Whether two machines have room beside each other, and enough processors that this is faster.
    pub(super) fn room_for_two(&self) -> bool {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        processors >= 4 && free_memory().is_some_and(|free| free >= self.memory.saturating_mul(2))
    }

    /// Builds a revision; or says why there is no image of it.
    ///
    /// # Errors
    /// If nothing at all can be built here, or somebody asked to stop.
    pub(super) fn ready(&self, revision: &str) -> Result<std::result::Result<Ready, String>> {
        let began = Instant::now();
        let made = Wanted::read(&self.quiet, Some(revision)).and_then(|wanted| {
            let build = build_wanted(&self.quiet, &wanted, &self.question.server, true)?;
            self.candidate(&wanted, &build.revision, &build.image)
        });
        match made {
            Ok((candidate, machine)) => Ok(Ok(Ready { candidate, machine, seconds: began.elapsed().as_secs_f64() })),
            Err(_) if regrow_host::cancel::requested() => Err(Error::Cancelled),
            // Of this revision alone.
            Err(e @ (Error::Mistake { .. } | Error::Diagnostics(_) | Error::Build(_) | Error::Archive(_))) => {
                let causes: String = e.causes().iter().map(|cause| format!(": {cause}")).collect();
                Ok(Err(format!("{e}{causes}")))
            }
            Err(e) => Err(e),
        }
    }

    fn candidate(&self, wanted: &Wanted<'_>, revision: &str, image: &str) -> Result<(Candidate, String)> {
        let server = wanted.server(&self.question.server)?;
        let mut candidate = Candidate::new(server, revision, image)?;
        candidate.checks = self.question.asked.checks(&server.checks, self.newest.as_ref());
        candidate.ports.clear();
        let same = Candidate { revision: String::new(), ..candidate.clone() };
        let machine = serde_json::to_string(&(self.question.asked.name(), same))
            .map_err(|source| Error::Json { what: "a candidate".to_owned(), source })?;
        Ok((candidate, machine))
    }

    /// What is known about a machine without booting it: from hunts, then from evidence of the same image.
    pub(super) fn recall(&self, ready: &Ready) -> Result<Recalled> {
        let mut recalled = Recalled::default();
        for step in record::of_machine(self.ctx, &ready.machine)? {
            recalled.add(&step.verdict, How::Equal, format!("{} (as {})", step.detail, short(&step.revision)));
        }
        for known in self.known.iter().filter(|known| known.image.as_deref() == Some(&*ready.candidate.image)) {
            // What was tried with edits cannot be read again.
            let Ok(wanted) = Wanted::read(self.ctx, Some(&known.revision)) else { continue };
            if self.candidate(&wanted, "", &ready.candidate.image).is_ok_and(|(_, machine)| machine == ready.machine) {
                let verdict = if known.passed { Verdict::Good } else { Verdict::Bad };
                recalled.add(&verdict, How::Known, format!("{} of {}", known.source, short(&known.revision)));
            }
        }
        Ok(recalled)
    }

    /// How long it is worth to wait, from what is known of a yes.
    pub(super) fn patience(&self, steps: &[Step]) -> Patience {
        let good = steps.iter().filter(|step| step.verdict == Verdict::Good);
        let (mut check, mut boot) = (None::<f64>, None::<f64>);
        let good = good.map(|step| (step.check_seconds, step.ready_seconds));
        let known = self.known.iter().filter(|known| known.passed).map(|known| (Some(known.seconds), known.ready));
        for (seconds, ready) in good.chain(known) {
            check = seconds.into_iter().chain(check).reduce(f64::max);
            boot = ready.into_iter().chain(boot).reduce(f64::max);
        }
        let spare = |seconds: f64| Duration::try_from_secs_f64(seconds * SPARE).unwrap_or(Duration::MAX);
        let longest = Patience::default();
        Patience {
            boot: boot.map_or(longest.boot, |boot| spare(boot).max(LEAST_BOOT).min(longest.boot)),
            check: check.map(|check| spare(check).max(LEAST_CHECK)),
        }
    }

    /// Boots it and asks.
    pub(super) fn boot(&self, ready: &Ready, subject: &str, how: How, patience: Patience) -> Result<Step> {
        let began = Instant::now();
        let revision = &ready.candidate.revision;
        let told = step(
            self.ctx.progress(),
            format!("try {}", short(revision)),
            format!("Try {} “{subject}”", short(revision)),
        );
        let heard = ask(&self.quiet, &ready.candidate, self.question.asked.name(), patience)?;
        let (verdict, detail, check_seconds, ready_seconds) = match heard {
            Heard::Answer { result, ready } => {
                let verdict = if result.passed { Verdict::Good } else { Verdict::Bad };
                (verdict, result.detail, Some(result.seconds), ready)
            }
            Heard::NoBoot(why) => (Verdict::Skipped, why, None, None),
        };
        told.finish(format!("{verdict}: {}", detail.lines().next().unwrap_or_default()));
        Ok(Step {
            revision: revision.clone(),
            subject: subject.to_owned(),
            verdict,
            how,
            detail,
            image: Some(ready.candidate.image.clone()),
            seconds: ready.seconds + began.elapsed().as_secs_f64(),
            check_seconds,
            ready_seconds,
        })
    }
}

impl Ready {
    /// The image.
    pub(super) fn image(&self) -> &str {
        &self.candidate.image
    }
}

/// Bytes of memory that programs can still have.
fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// What was seen before of the same machine.
#[derive(Debug, Default)]
pub(super) struct Recalled {
    seen: BTreeMap<&'static str, usize>,
    newest: Option<(Verdict, How, String)>,
}

impl Recalled {
    fn add(&mut self, verdict: &Verdict, how: How, detail: String) {
        *self.seen.entry(verdict.as_str()).or_default() += 1;
        self.newest.get_or_insert((*verdict, how, detail));
    }

    /// Whether good and bad were seen.
    pub(super) fn disagrees(&self) -> bool {
        self.count(Verdict::Good) > 0 && self.count(Verdict::Bad) > 0
    }

    /// How often this was seen.
    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.seen.get(verdict.as_str()).copied().unwrap_or_default()
    }

    /// What was seen, if all agree.
    pub(super) fn agreed(self) -> Option<(Verdict, How, String)> {
        let disagrees = self.disagrees();
        self.newest.filter(|_| !disagrees)
    }
}

/// Passes on what may take long inside of a step: downloads and layers of packages.
struct Long(Arc<dyn Progress>);

impl Progress for Long {
    fn event(&self, event: &Event) {
        let long = match event {
            Event::Started { step, .. } | Event::Advanced { step, .. } | Event::Finished { step, .. } => {
                ["download", "index"].contains(&&**step) || (step.starts_with("layer ") && step != "layer config")
            }
            Event::Check(_) => false,
            Event::Note { .. } => true,
        };
        if long {
            self.0.event(event);
        }
    }
}
