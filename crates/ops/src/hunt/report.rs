//! What a hunt ends with, as `--json` shows it.

use regrow_history::Changeset;
use serde::{Deserialize, Serialize};

use super::question::Question;
use super::record::{How, HuntId, Step, Verdict};
use super::run::{Ended, Run};
use super::search::Next;
use crate::Answer;
use crate::compare::{self, Effects};
use crate::error::Result;
use crate::evidence::words;
use crate::moves::Dependency;
use crate::trial::CheckResult;
use crate::wanted::short;

words! {
    /// How a hunt ended.
    Outcome {
        /// One changeset is the culprit.
        Found = "found",
        /// It is one of some changesets; those between could not be asked.
        OneOf = "one of",
        /// The check fails at the good end, too.
        GoodIsBad = "good is bad",
        /// The check passes at the bad end.
        BadIsGood = "bad is good",
        /// An end could not be asked.
        NoAnswer = "no answer",
    }
}

/// What a hunt came to.
#[derive(Debug, Serialize)]
pub struct HuntReport {
    /// Its number in the record.
    pub hunt: HuntId,
    /// What it was about.
    #[serde(flatten)]
    pub question: Question,
    /// The name of the check.
    pub check: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What it came to, in words: one sentence each.
    pub words: Vec<String>,
    /// The commit that did it, if it is one.
    pub culprit: Option<String>,
    /// The same with who, why and what it does.
    pub found: Option<Culprit>,
    /// If several come into question: the first lines of each.
    pub one_of: Vec<Suspect>,
    /// How many changesets came into question.
    pub changesets: usize,
    /// How many machines were booted to find it.
    pub boots: u32,
    /// How many were booted again because results disagreed.
    pub boots_again: u32,
    /// Wall-clock seconds until it was found, without the proposal: of this run, if the hunt was interrupted.
    pub seconds: f64,
    /// Whether it went on with an interrupted hunt.
    pub resumed: bool,
    /// What was judged, in its order.
    pub steps: Vec<Step>,
    /// Where results disagreed, in words.
    pub flaky: Vec<String>,
    /// The server without the culprit, tried.
    pub proposal: Option<Proposal>,
}

impl HuntReport {
    /// With all that was done, also after the culprit was found.
    pub(super) fn finish(&mut self, steps: Vec<Step>, flaky: Vec<String>) {
        self.boots_again = boots(&steps, How::Again);
        self.steps = steps;
        self.flaky = flaky;
    }
}

fn boots(steps: &[Step], how: How) -> u32 {
    steps.iter().map(|step| u32::from(step.how == how)).sum()
}

/// The report of a search that came to its end.
pub(super) fn of(run: &Run<'_>, ended: &Ended, changesets: usize, seconds: f64, resumed: bool) -> Result<HuntReport> {
    let name = run.question.asked.name();
    let suspects = &ended.suspects;
    let mut report = HuntReport {
        hunt: run.id,
        question: run.question.clone(),
        check: name.to_owned(),
        outcome: Outcome::NoAnswer,
        words: Vec::new(),
        culprit: None,
        found: None,
        one_of: Vec::new(),
        changesets,
        boots: boots(&run.steps, How::Booted),
        boots_again: 0,
        seconds,
        resumed,
        steps: Vec::new(),
        flaky: Vec::new(),
        proposal: None,
    };
    let said = |item: usize| -> Option<&Step> {
        let revision = suspects.revision(item);
        run.steps.iter().rev().find(|step| step.revision == revision)
    };
    let seen = |item| said(item).map_or(String::new(), |step| format!(": {}", first_line(&step.detail)));
    match &ended.next {
        Next::Found(item) => {
            let revision = suspects.revision(*item).to_owned();
            let (change, found) = compare::of_changeset(run.ctx, &revision)?;
            report.outcome = Outcome::Found;
            report.words.push(format!(
                "{} “{}” by {} broke {name}{}",
                short(&revision),
                change.subject,
                change.author,
                seen(*item)
            ));
            report.culprit = Some(revision);
            report.found = Some(Culprit::new(change, found, &run.question.server));
        }
        Next::OneOf(items) => {
            report.outcome = Outcome::OneOf;
            let suspect = |item: usize| Suspect {
                revision: suspects.revision(item).to_owned(),
                subject: suspects.subject(item).to_owned(),
            };
            report.one_of = items.clone().map(suspect).collect();
            report.words.push(format!(
                "one of these {} broke {name}; those before the last one could not be built or booted",
                report.one_of.len()
            ));
        }
        Next::GoodIsBad => {
            report.outcome = Outcome::GoodIsBad;
            let good = short(suspects.revision(0));
            report.words.push(format!("{name} fails at the good end {good}, too{}", seen(0)));
            report.words.push("name an older revision where it worked: --good REV".to_owned());
        }
        Next::BadIsGood => {
            report.outcome = Outcome::BadIsGood;
            report.words.push(format!("{name} passes at the bad end {}{}", short(&run.question.bad), seen(changesets)));
            report.words.push("if it fails only now and then, it is flaky: no changeset is to blame".to_owned());
        }
        Next::NoEnd(item) => {
            let end = if *item == 0 { "good" } else { "bad" };
            report.words.push(format!(
                "the {end} end {} could not be asked{}",
                short(suspects.revision(*item)),
                seen(*item)
            ));
            report.words.push(format!("name another one: --{end} REV"));
        }
        Next::Try(_) => {}
    }
    let skipped = run.steps.iter().filter(|step| step.verdict == Verdict::Skipped).count();
    if skipped > 0 {
        report.words.push(format!("{skipped} could not be built or booted and were skipped"));
    }
    Ok(report)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

impl Culprit {
    fn new(change: Changeset, found: compare::Comparison, server: &str) -> Culprit {
        let mut words = found.fleet;
        let mut effects = Effects::default();
        for role in found.roles {
            words.extend(role.words);
            if role.servers.iter().any(|name| name == server) {
                effects = role.effects;
            }
        }
        for one in found.servers {
            if one.name == server {
                words.extend(one.words);
                effects = one.effects;
            }
        }
        Culprit { change, words, effects }
    }
}

impl Answer for HuntReport {
    fn is_yes(&self) -> bool {
        self.outcome == Outcome::Found
    }
}

/// The changeset that did it.
#[derive(Debug, Serialize)]
pub struct Culprit {
    /// Who, when, why.
    #[serde(flatten)]
    pub change: Changeset,
    /// What it does, in words.
    pub words: Vec<String>,
    /// What comes of it for this server.
    pub effects: Effects,
}

/// A changeset that comes into question.
#[derive(Debug, Clone, Serialize)]
pub struct Suspect {
    /// The commit.
    pub revision: String,
    /// The first line of its message.
    pub subject: String,
}

/// A draft that takes the culprit back, built and tried.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Proposal {
    /// The draft; `None` if there could be none.
    pub draft: Option<String>,
    /// Its tip, if it could be tried.
    pub revision: Option<String>,
    /// Whether the check that was asked passes in it; `None` if that was not seen.
    pub mended: Option<bool>,
    /// Whether its trial was healthy: all checks passed.
    pub healthy: bool,
    /// What it showed, in one sentence: "without 0123456789ab: all checks pass".
    pub words: String,
    /// Conflicts that must be decided before it can be tried.
    pub conflicts: usize,
    /// Later changesets that stand on the culprit.
    pub dependencies: Vec<Dependency>,
    /// The checks that fail without the culprit.
    pub failing: Vec<CheckResult>,
    /// Wall-clock seconds of its build and trial.
    pub seconds: f64,
}
