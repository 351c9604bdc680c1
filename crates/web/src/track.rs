//! A job's events folded into the rows of its progress table.
//!
//! The page and the live stream draw the same rows: the page folds all events so far, the stream folds them too and sends
//! the rows that changed after the number the browser has seen. So a reload, a second window and a broken connection all
//! end up with the same table.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use jiff::Timestamp;
use regrow_host::progress::{CheckSeen, CheckState, Event, Unit};
use regrow_ops::jobs::{Ended, Entry, What};

use crate::view::{self, Mark, Tone};

/// A step or a note.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Its number on the page, from 0; never reused.
    pub(crate) number: usize,
    pub(crate) title: String,
    /// Whether it is a note: it has no state and takes no time.
    note: bool,
    began: Timestamp,
    amount: Option<(u64, u64, Unit)>,
    finished: Option<(String, f64)>,
    /// The job ended before this step did.
    broken: bool,
    /// How long it has been running at the time of drawing, if it is.
    pub(crate) running_seconds: Option<f64>,
}

impl Row {
    pub(crate) fn mark(&self) -> Mark {
        match &self.finished {
            _ if self.note => Mark::new(Tone::None, "note"),
            Some((words, _)) if words == "given up" => Mark::new(Tone::Bad, "given up"),
            Some((words, _)) if words.starts_with("failed") || words.ends_with(" failed") => {
                Mark::new(Tone::Bad, "failed")
            }
            Some(_) => Mark::new(Tone::Good, "done"),
            None if self.broken => Mark::new(Tone::Bad, "broken off"),
            None => Mark::new(Tone::Busy, "running"),
        }
    }

    pub(crate) fn share(&self) -> Option<(u64, u64)> {
        match self.amount {
            Some((done, total, _)) if total > 0 && self.finished.is_none() && !self.broken => {
                Some((done.min(total), total))
            }
            _ => None,
        }
    }

    pub(crate) fn words(&self) -> String {
        match (&self.finished, self.amount) {
            (Some((words, _)), _) => words.clone(),
            (None, Some((done, 0, Unit::Bytes))) => view::bytes(done),
            (None, Some((done, total, Unit::Bytes))) => format!("{} of {}", view::bytes(done), view::bytes(total)),
            (None, Some((done, 0, Unit::Items))) => done.to_string(),
            (None, Some((done, total, Unit::Items))) => format!("{done} of {total}"),
            (None, None) => String::new(),
        }
    }

    pub(crate) fn took(&self) -> String {
        match (&self.finished, self.running_seconds) {
            (Some((_, seconds)), _) => view::took(*seconds),
            (None, Some(seconds)) => format!("{} s", seconds as u64),
            (None, None) => String::new(),
        }
    }
}

/// One row, for the stream.
#[derive(Debug, Template)]
#[template(path = "step.html")]
pub(crate) struct Step<'a> {
    row: &'a Row,
}

/// A check as it ticks.
#[derive(Debug, Clone)]
pub(crate) struct CheckRow {
    /// Its number on the page, from 0.
    pub(crate) number: usize,
    pub(crate) seen: CheckSeen,
    /// When it was last told of.
    at: Timestamp,
    /// The job ended before it had an answer.
    broken: bool,
    /// How long it has been tried at the time of drawing, if it is.
    pub(crate) running_seconds: Option<f64>,
}

impl CheckRow {
    pub(crate) fn mark(&self) -> Mark {
        match self.seen.state {
            CheckState::Passed => Mark::new(Tone::Good, "passed"),
            CheckState::Failed => Mark::new(Tone::Bad, "failed"),
            CheckState::Left => Mark::new(Tone::None, "left off"),
            _ if self.broken => Mark::new(Tone::None, "broken off"),
            CheckState::Waiting => Mark::new(Tone::None, "waiting"),
            CheckState::Running => Mark::new(Tone::Busy, "running"),
        }
    }

    /// Whether it has no answer yet.
    fn open(&self) -> bool {
        matches!(self.seen.state, CheckState::Waiting | CheckState::Running)
    }

    /// The first line of what it saw; the whole is in the report.
    pub(crate) fn saw(&self) -> &str {
        self.seen.detail.lines().next().unwrap_or_default()
    }

    pub(crate) fn took(&self) -> String {
        match (self.running_seconds, self.seen.state) {
            (Some(seconds), _) => format!("{} s", seconds as u64),
            (None, CheckState::Waiting) => String::new(),
            (None, _) => view::took(self.seen.seconds),
        }
    }
}

/// One check's row, for the stream.
#[derive(Debug, Template)]
#[template(path = "tick.html")]
pub(crate) struct Tick<'a> {
    check: &'a CheckRow,
}

/// How long it may take at most until there is an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Countdown {
    /// Seconds left; none if nothing is being waited for with a limit.
    pub(crate) left: Option<f64>,
    /// How many checks have passed, and how many there are.
    pub(crate) passed: usize,
    pub(crate) all: usize,
    /// Whether one has failed already: then the answer is known.
    pub(crate) failed: bool,
    /// Whether it goes back by itself when the time is up.
    pub(crate) back: bool,
}

/// The countdown alone, for the stream.
#[derive(Debug, Template)]
#[template(path = "countdown.html")]
pub(crate) struct CountdownPiece<'a> {
    countdown: &'a Countdown,
}

/// What changed on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Changed {
    /// A step's or note's row.
    Row(usize),
    /// A check's row.
    Check(usize),
}

/// A job that tells more than this many things has a fault; a page must not die of it.
const MOST_ROWS: usize = 2000;

/// The rows so far.
#[derive(Debug, Default)]
pub(crate) struct Track {
    rows: Vec<Row>,
    steps: BTreeMap<String, usize>,
    checks: Vec<CheckRow>,
    last: i64,
    ended: Option<Ended>,
}

impl Track {
    /// Folds one event in; returns the rows that changed.
    pub(crate) fn apply(&mut self, entry: &Entry) -> BTreeSet<Changed> {
        self.last = entry.seq;
        let mut changed = BTreeSet::new();
        match &entry.what {
            What::Told(Event::Started { step, title }) => {
                if let Some(number) = self.push(title, false, entry.at) {
                    self.steps.insert(step.clone(), number);
                    changed.insert(Changed::Row(number));
                }
            }
            What::Told(Event::Advanced { step, done, total, unit }) => {
                if let Some(row) = self.step(step) {
                    row.amount = Some((*done, *total, *unit));
                    changed.insert(Changed::Row(row.number));
                }
            }
            What::Told(Event::Finished { step, result, seconds }) => {
                if let Some(row) = self.step(step) {
                    row.finished = Some((result.clone(), *seconds));
                    changed.insert(Changed::Row(row.number));
                }
            }
            What::Told(Event::Note { text }) => changed.extend(self.push(text, true, entry.at).map(Changed::Row)),
            What::Told(Event::Check(seen)) => changed.extend(self.check(seen, entry.at).map(Changed::Check)),
            What::Ended(ended) => {
                self.ended = Some(ended.clone());
                for row in self.rows.iter_mut().filter(|r| !r.note && r.finished.is_none()) {
                    row.broken = true;
                    changed.insert(Changed::Row(row.number));
                }
                for check in self.checks.iter_mut().filter(|c| c.open()) {
                    check.broken = true;
                    changed.insert(Changed::Check(check.number));
                }
            }
        }
        changed
    }

    fn check(&mut self, seen: &CheckSeen, at: Timestamp) -> Option<usize> {
        let number = match self.checks.iter().position(|c| c.seen.check == seen.check) {
            Some(number) => number,
            None if self.checks.len() >= MOST_ROWS => return None,
            None => self.checks.len(),
        };
        let row = CheckRow { number, seen: seen.clone(), at, broken: false, running_seconds: None };
        match self.checks.get_mut(number) {
            Some(old) => *old = row,
            None => self.checks.push(row),
        }
        Some(number)
    }

    fn push(&mut self, title: &str, note: bool, at: Timestamp) -> Option<usize> {
        if self.rows.len() >= MOST_ROWS {
            return None;
        }
        let number = self.rows.len();
        let mut letters = title.chars();
        let title = letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default();
        self.rows.push(Row {
            number,
            title,
            note,
            began: at,
            amount: None,
            finished: None,
            broken: false,
            running_seconds: None,
        });
        Some(number)
    }

    fn step(&mut self, name: &str) -> Option<&mut Row> {
        self.steps.get(name).and_then(|&number| self.rows.get_mut(number))
    }

    /// The rows as they look at `now`.
    pub(crate) fn rows(&mut self, now: Timestamp) -> &[Row] {
        for row in &mut self.rows {
            let runs = !row.note && row.finished.is_none() && !row.broken;
            row.running_seconds = runs.then(|| now.duration_since(row.began).as_secs_f64().max(0.0));
        }
        &self.rows
    }

    /// The checks as they look at `now`.
    pub(crate) fn checks(&mut self, now: Timestamp) -> &[CheckRow] {
        for check in &mut self.checks {
            let runs = check.seen.state == CheckState::Running && !check.broken;
            let since = || now.duration_since(check.at).as_secs_f64().max(0.0);
            check.running_seconds = runs.then(|| check.seen.seconds + since());
        }
        &self.checks
    }

    /// How long there may still be no answer; `back` says what happens then.
    pub(crate) fn countdown(&mut self, back: bool, now: Timestamp) -> Countdown {
        let checks = self.checks(now);
        let left = |c: &CheckRow| c.running_seconds.map(|s| (c.seen.limit - s).max(0.0));
        Countdown {
            left: checks.iter().filter_map(left).reduce(f64::max),
            passed: checks.iter().filter(|c| c.seen.state == CheckState::Passed).count(),
            all: checks.len(),
            back,
            failed: checks.iter().any(|c| c.seen.state == CheckState::Failed),
        }
    }

    /// The HTML of some rows as they look at `now`.
    pub(crate) fn pieces(&mut self, changed: &BTreeSet<Changed>, now: Timestamp) -> Result<String, askama::Error> {
        self.rows(now);
        self.checks(now);
        let mut html = String::new();
        for one in changed {
            match one {
                Changed::Row(n) => {
                    if let Some(row) = self.rows.get(*n) {
                        html.push_str(&Step { row }.render()?);
                    }
                }
                Changed::Check(n) => {
                    if let Some(check) = self.checks.get(*n) {
                        html.push_str(&Tick { check }.render()?);
                    }
                }
            }
        }
        Ok(html)
    }

    /// The countdown as a block, if the checks changed.
    pub(crate) fn countdown_piece(
        &mut self,
        changed: &BTreeSet<Changed>,
        back: bool,
        now: Timestamp,
    ) -> Result<Option<String>, askama::Error> {
        if !changed.iter().any(|c| matches!(c, Changed::Check(_))) {
            return Ok(None);
        }
        let countdown = self.countdown(back, now);
        CountdownPiece { countdown: &countdown }.render().map(Some)
    }

    /// The words to say aloud about some rows: what began or ended, never a percentage.
    pub(crate) fn spoken(&self, changed: &BTreeSet<Changed>) -> Option<String> {
        let words = |changed: &Changed| match changed {
            Changed::Row(n) => {
                let row = self.rows.get(*n).filter(|r| r.note || r.finished.is_some() || r.amount.is_none())?;
                Some(match &row.finished {
                    Some((words, _)) => format!("{}: {words}", row.title),
                    None => row.title.clone(),
                })
            }
            Changed::Check(n) => {
                let check = self.checks.get(*n).filter(|c| !c.open())?;
                Some(format!("Check {}: {}", check.seen.check, check.mark().word))
            }
        };
        changed.iter().rev().find_map(words)
    }

    /// The number of the last event.
    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// The end, once it came.
    pub(crate) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regrow_ops::jobs::State;

    fn entry(seq: i64, what: What) -> Entry {
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        Entry { seq, at: at + jiff::SignedDuration::from_secs(seq), what }
    }

    fn started(step: &str, title: &str) -> What {
        What::Told(Event::Started { step: step.into(), title: title.into() })
    }

    #[test]
    fn steps_advance_in_their_own_row_and_end_with_words() {
        let mut track = Track::default();
        track.apply(&entry(1, started("a", "Download")));
        track.apply(&entry(2, started("b", "Unpack")));
        let changed = track
            .apply(&entry(3, What::Told(Event::Advanced { step: "a".into(), done: 5, total: 10, unit: Unit::Items })));
        assert_eq!(changed, BTreeSet::from([Changed::Row(0)]));
        let now = entry(11, started("", "")).at;
        let html = track.pieces(&changed, now).unwrap();
        assert!(html.contains(r#"<progress max="10" value="5""#) && html.contains(r#"data-seconds="10""#), "{html}");
        track.apply(&entry(
            4,
            What::Told(Event::Finished { step: "a".into(), result: "12 packages".into(), seconds: 2.0 }),
        ));
        let html = track.pieces(&changed, now).unwrap();
        assert!(html.contains("12 packages") && html.contains("2.0 s") && !html.contains("<progress"), "{html}");
        assert_eq!(track.last(), 4);
    }

    #[test]
    fn what_a_job_leaves_unfinished_is_broken_off() {
        let mut track = Track::default();
        track.apply(&entry(1, started("a", "Boot")));
        let end = Ended { state: State::Failed, result: serde_json::Value::Null };
        let changed = track.apply(&entry(2, What::Ended(end)));
        assert!(track.pieces(&changed, entry(3, started("", "")).at).unwrap().contains("broken off"));
        assert!(track.ended().is_some());
    }

    #[test]
    fn hostile_words_stay_words() {
        let mut track = Track::default();
        let changed = track.apply(&entry(1, What::Told(Event::Note { text: "<script>alert(1)</script>".into() })));
        let html = track.pieces(&changed, entry(2, started("", "")).at).unwrap();
        assert!(!html.contains("<script") && html.contains("script"), "{html}");
    }

    #[test]
    fn a_talkative_job_does_not_fill_memory() {
        let mut track = Track::default();
        for n in 0..MOST_ROWS as i64 + 10 {
            track.apply(&entry(n, What::Told(Event::Note { text: "x".into() })));
        }
        assert_eq!(track.rows(entry(9001, started("", "")).at).len(), MOST_ROWS);
    }
}
