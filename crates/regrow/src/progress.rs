//! Progress on standard error: bars where a terminal is, plain lines with the elapsed time elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use regrow_host::progress::{CheckSeen, CheckState, Event, Progress, Unit};

/// Shows what the work tells.
#[derive(Debug)]
pub(crate) struct Shown {
    began: Instant,
    verbose: bool,
    bars: Option<Bars>,
}

#[derive(Debug)]
struct Bars {
    multi: MultiProgress,
    steps: Mutex<BTreeMap<String, ProgressBar>>,
}

/// Steps shorter than this leave no line, unless more words are asked for.
const WORTH_A_LINE: f64 = 0.1;

impl Shown {
    pub(crate) fn new(verbose: bool) -> Shown {
        let bars =
            std::io::stderr().is_terminal().then(|| Bars { multi: MultiProgress::new(), steps: Mutex::default() });
        Shown { began: Instant::now(), verbose, bars }
    }

    /// Writes a line, above the bars if there are some.
    pub(crate) fn say(&self, text: &str) {
        let write = || {
            // If nobody reads standard error there is nobody to tell.
            let _ = writeln!(anstream::stderr(), "{text}");
        };
        match &self.bars {
            Some(bars) => bars.multi.suspend(write),
            None => write(),
        }
    }

    /// Takes the bars away.
    pub(crate) fn clear(&self) {
        if let Some(bars) = &self.bars {
            bars.steps.lock().unwrap_or_else(PoisonError::into_inner).clear();
            let _ = bars.multi.clear();
        }
    }

    /// A check: a spinner while it goes on, a line when it has an answer.
    fn check(&self, seen: &CheckSeen) {
        let name = format!("check {}", seen.check);
        let words = seen.detail.lines().next().unwrap_or_default();
        let running = matches!(seen.state, CheckState::Waiting | CheckState::Running);
        if let Some(bars) = &self.bars {
            let mut steps = bars.steps.lock().unwrap_or_else(PoisonError::into_inner);
            if running {
                let bar = steps.entry(name).or_insert_with(|| {
                    let bar = bars.multi.add(ProgressBar::no_length());
                    bar.set_style(style("{spinner} {msg} {elapsed:.dim}"));
                    bar.enable_steady_tick(Duration::from_millis(120));
                    bar
                });
                let left = (seen.limit - seen.seconds).max(0.0);
                let words: String = words.chars().take(90).collect();
                bar.set_message(match seen.state {
                    CheckState::Waiting => format!("check {}: waits for the boot", seen.check),
                    _ => format!("check {} (at most {left:.0} s): {words}", seen.check),
                });
                return;
            }
            if let Some(bar) = steps.remove(&name) {
                bar.finish_and_clear();
                bars.multi.remove(&bar);
            }
        }
        let word = match seen.state {
            CheckState::Waiting | CheckState::Running => return,
            CheckState::Passed => "passed",
            CheckState::Failed => "failed",
            CheckState::Left => "left off",
        };
        self.line(&format!("check {}: {word}: {words} ({:.1} s)", seen.check, seen.seconds));
    }

    fn line(&self, text: &str) {
        self.say(&format!("{:>7.1}s  {text}", self.began.elapsed().as_secs_f64()));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ ")
}

impl Progress for Shown {
    fn event(&self, event: &Event) {
        let bar = |step: &str| {
            let bars = self.bars.as_ref()?;
            bars.steps.lock().unwrap_or_else(PoisonError::into_inner).get(step).cloned()
        };
        match event {
            Event::Started { step, title } => match &self.bars {
                Some(bars) => {
                    let bar = bars.multi.add(ProgressBar::no_length());
                    bar.set_style(style("{spinner} {msg} {elapsed:.dim}"));
                    bar.set_message(title.clone());
                    bar.enable_steady_tick(Duration::from_millis(120));
                    bars.steps.lock().unwrap_or_else(PoisonError::into_inner).insert(step.clone(), bar);
                }
                None => self.line(title),
            },
            Event::Advanced { step, done, total, unit } => {
                if let Some(bar) = bar(step) {
                    if *total > 0 && bar.length() != Some(*total) {
                        bar.set_length(*total);
                        bar.set_style(style(match unit {
                            Unit::Bytes => "{spinner} {msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta:.dim}",
                            Unit::Items => "{spinner} {msg} {bar:30} {pos}/{len} {elapsed:.dim}",
                        }));
                    } else if *total == 0 && *unit == Unit::Bytes {
                        bar.set_style(style(&format!("{{spinner}} {{msg}} {}", HumanBytes(*done))));
                    }
                    bar.set_position(*done);
                }
            }
            Event::Finished { step, result, seconds } => {
                if let Some(bars) = &self.bars {
                    let bar = bars.steps.lock().unwrap_or_else(PoisonError::into_inner).remove(step);
                    if let Some(bar) = bar {
                        bar.finish_and_clear();
                        bars.multi.remove(&bar);
                    }
                }
                if *seconds >= WORTH_A_LINE || self.verbose || self.bars.is_none() {
                    let took = if *seconds >= WORTH_A_LINE { format!(" ({seconds:.1} s)") } else { String::new() };
                    self.line(&format!("{step}: {result}{took}"));
                }
            }
            Event::Check(seen) => self.check(seen),
            Event::Note { text } => self.say(&format!("note: {text}")),
        }
    }
}
