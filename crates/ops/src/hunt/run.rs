//! A hunt from its question to its end.

use std::time::Instant;

use regrow_host::progress::note;

use super::judge::{Judge, Ready};
use super::known::{self, Known};
use super::propose::propose;
use super::question::{Asked, Question, Suspects};
use super::record::{self, How, HuntId, Step, Verdict};
use super::report::{HuntReport, Proposal};
use super::search::{Next, Search, Seen};
use super::{Options, report};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::trial::ask::Patience;
use crate::wanted::short;

/// A hunt under way.
pub(super) struct Run<'a> {
    pub(super) ctx: &'a Context,
    pub(super) id: HuntId,
    pub(super) question: &'a Question,
    judge: Judge<'a>,
    known: &'a [Known],
    /// What was judged, in its order.
    pub(super) steps: Vec<Step>,
    /// Where results disagreed, in words.
    pub(super) flaky: Vec<String>,
    two: bool,
}

/// What a search among some suspects ended with.
pub(super) struct Ended {
    pub(super) suspects: Suspects,
    pub(super) next: Next,
}

/// A revision on its way to its verdict.
enum Way {
    /// It has one.
    Known(Verdict),
    /// It must be booted.
    Boot(Box<Boot>),
}

/// A revision to be booted.
struct Boot {
    ready: Ready,
    /// Why.
    how: How,
    /// How often it was seen good before, and bad, if that disagrees.
    before: (usize, usize),
}

pub(super) fn run(ctx: &Context, question: &Question, options: Options) -> Result<HuntReport> {
    let began = Instant::now();
    let known = known::all(ctx, &question.server, &question.asked)?;
    let id = record::begin(ctx, question)?;
    let steps = record::steps(ctx, id)?;
    let resumed = !steps.is_empty();
    let judge = Judge::new(ctx, question, &known)?;
    let two = options.at_once.map_or_else(|| judge.room_for_two(), |n| n > 1);
    let mut run = Run { ctx, id, question, judge, known: &known, steps, flaky: Vec::new(), two };
    if resumed {
        note(ctx.progress(), format!("going on with an interrupted hunt: {} revisions are judged", run.steps.len()));
    }
    let (ended, changesets) = run.find()?;
    let seconds = began.elapsed().as_secs_f64();
    let mut report = report::of(&run, &ended, changesets, seconds, resumed)?;
    if let (Some(culprit), false) = (report.culprit.clone(), options.no_proposal) {
        let proposal = run.propose(&culprit)?;
        report.words.push(proposal.words.clone());
        if proposal.mended == Some(false) {
            report.words.extend(run.doubt(&ended)?);
        }
        report.proposal = Some(proposal);
    }
    report.finish(run.steps, run.flaky);
    record::end(ctx, id, &report)?;
    Ok(report)
}

impl Run<'_> {
    /// Searches from the ends, and then in what a merge brought. Returns how many changesets came into question at first.
    fn find(&mut self) -> Result<(Ended, usize)> {
        let repo = self.ctx.repo()?;
        let question = self.question;
        let suspects = Suspects::between(&repo, &question.server, &question.good, &question.bad)?;
        let changesets = suspects.changes.len();
        if changesets == 0 {
            let message = format!("no changeset after {} can influence {}", short(&question.good), question.server);
            return Err(Error::mistake_with(message, "name an older revision where it worked: --good REV"));
        }
        let mut ended = self.search(suspects)?;
        while let Next::Found(item) = ended.next
            && let [one, other, ..] = &ended.suspects.changes[item - 1].parents[..]
            && let Some(fork) = repo.merge_base(one, other)?
        {
            let mut inner = Suspects::between(&repo, &question.server, one, other)?;
            inner.begin_at(fork);
            let merge = short(ended.suspects.revision(item));
            if inner.changes.is_empty() {
                break;
            }
            note(self.ctx.progress(), format!("{merge} is a merge: looking along the branch that it brought"));
            let found = self.search(inner)?;
            // If the branch alone is good, or was bad all along, it is the merge.
            if !matches!(found.next, Next::Found(_) | Next::OneOf(_)) {
                break;
            }
            ended = found;
        }
        Ok((ended, changesets))
    }

    /// Searches among suspects until there is nothing left to try.
    fn search(&mut self, suspects: Suspects) -> Result<Ended> {
        let mut search = Search::new(suspects.changes.len());
        self.remember(&suspects, &mut search)?;
        loop {
            if regrow_host::cancel::requested() {
                return Err(Error::Cancelled);
            }
            let items = match search.next(self.two) {
                Next::Try(items) => items,
                next => return Ok(Ended { suspects, next }),
            };
            note(self.ctx.progress(), search.left());
            let mut boots: Vec<(usize, Box<Boot>)> = Vec::new();
            for item in items {
                match self.way(suspects.revision(item), suspects.subject(item))? {
                    Way::Known(verdict) => search.learn(item, verdict.into()),
                    // Of two that are the same machine one is booted; the other is known then.
                    Way::Boot(boot) if boots.iter().any(|(_, other)| other.ready.machine == boot.ready.machine) => {}
                    Way::Boot(boot) => boots.push((item, boot)),
                }
            }
            let patience = self.judge.patience(&self.steps);
            let asked: Vec<_> = boots.iter().map(|(n, boot)| (&boot.ready, suspects.subject(*n), boot.how)).collect();
            let booted = self.boot(&asked, patience)?;
            for (step, (item, boot)) in booted.into_iter().zip(boots) {
                let mut verdict = step.verdict;
                if boot.how == How::Booted {
                    search.booted(1);
                } else if verdict != Verdict::Skipped {
                    // Which it was more often; if both, there is something wrong with it.
                    let good = boot.before.0 + usize::from(verdict == Verdict::Good);
                    let bad = boot.before.1 + usize::from(verdict == Verdict::Bad);
                    verdict = if good > bad { Verdict::Good } else { Verdict::Bad };
                }
                self.keep(Step { verdict, ..step }, Some(&boot.ready.machine))?;
                search.learn(item, verdict.into());
            }
        }
    }

    /// Takes in what the record and evidence know of the suspects. Of evidence, the steps name only what bounds the
    /// search.
    fn remember(&mut self, suspects: &Suspects, search: &mut Search) -> Result<()> {
        let mut of_evidence: Vec<Vec<&Known>> = vec![Vec::new(); suspects.changes.len() + 1];
        for known in self.known {
            if let Some(item) = suspects.items.get(&known.revision) {
                of_evidence[*item].push(known);
            }
        }
        for (item, known) in of_evidence.iter().enumerate() {
            let passed = known.iter().filter(|known| known.passed).count();
            match (passed, known.len() - passed) {
                (0, 0) => {}
                (_, 0) => search.learn(item, Seen::Good),
                (0, _) => search.learn(item, Seen::Bad),
                (good, bad) => self.doubtful(suspects.revision(item), good, bad),
            }
        }
        for step in &self.steps {
            if let Some(item) = suspects.items.get(&step.revision) {
                search.learn(*item, step.verdict.into());
                search.booted(u32::from(step.how == How::Booted));
            }
        }
        let (good, bad) = search.bounds();
        for item in good.into_iter().chain([bad]) {
            let Some(known) = of_evidence.get(item).and_then(|known| known.first()) else { continue };
            let revision = suspects.revision(item);
            if search.seen(item).is_none() || self.steps.iter().any(|step| step.revision == revision) {
                continue;
            }
            let verdict = if known.passed { Verdict::Good } else { Verdict::Bad };
            let detail = format!("{} of {}", known.source, short(&known.revision));
            let step = Step::new(revision, suspects.subject(item), verdict, How::Known, detail, known.image.clone());
            self.keep(step, None)?;
        }
        Ok(())
    }

    /// Builds a revision and looks whether its verdict is known already.
    fn way(&mut self, revision: &str, subject: &str) -> Result<Way> {
        if let Some(step) = self.steps.iter().rev().find(|step| step.revision == revision) {
            return Ok(Way::Known(step.verdict));
        }
        let ready = match self.judge.ready(revision)? {
            Ok(ready) => ready,
            Err(why) => {
                note(self.ctx.progress(), format!("{} is skipped: {why}", short(revision)));
                let step = Step::new(revision, subject, Verdict::Skipped, How::NotBuilt, why, None);
                self.keep(step, None)?;
                return Ok(Way::Known(Verdict::Skipped));
            }
        };
        let recalled = self.judge.recall(&ready)?;
        let (good, bad) = (recalled.count(Verdict::Good), recalled.count(Verdict::Bad));
        if recalled.disagrees() {
            self.doubtful(revision, good, bad);
            return Ok(Way::Boot(Box::new(Boot { ready, how: How::Again, before: (good, bad) })));
        }
        let Some((verdict, how, detail)) = recalled.agreed() else {
            return Ok(Way::Boot(Box::new(Boot { ready, how: How::Booted, before: (0, 0) })));
        };
        let image = Some(ready.image().to_owned());
        self.keep(Step::new(revision, subject, verdict, how, detail, image), None)?;
        Ok(Way::Known(verdict))
    }

    /// Boots all of these at once.
    fn boot(&self, asked: &[(&Ready, &str, How)], patience: Patience) -> Result<Vec<Step>> {
        if let [(ready, subject, how)] = asked {
            return Ok(vec![self.judge.boot(ready, subject, *how, patience)?]);
        }
        std::thread::scope(|scope| {
            let boot = |(ready, subject, how): &(&Ready, &str, How)| self.judge.boot(ready, subject, *how, patience);
            let threads: Vec<_> = asked.iter().map(|asked| scope.spawn(move || boot(asked))).collect();
            let broken = || Error::surroundings("a boot broke off by a flaw in Regrow", "please report it");
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(broken()))).collect()
        })
    }

    /// The culprit taken back, and whether the check passes then.
    fn propose(&mut self, culprit: &str) -> Result<Proposal> {
        let mut proposal = propose(self.ctx, self.question, culprit)?;
        if let (Asked::Given { name, .. }, Some(tip)) = (&self.question.asked, proposal.revision.clone()) {
            // Its trial does not know a check that was given on the spot.
            let subject = "without the culprit";
            let verdict = match self.way(&tip, subject)? {
                Way::Known(verdict) => verdict,
                Way::Boot(boot) => {
                    let how = if boot.how == How::Booted { How::Proposal } else { boot.how };
                    let step = self.judge.boot(&boot.ready, subject, how, Patience::default())?;
                    let verdict = step.verdict;
                    self.keep(step, Some(&boot.ready.machine))?;
                    verdict
                }
            };
            proposal.mended = Some(verdict == Verdict::Good);
            let says = if verdict == Verdict::Good { "passes" } else { "fails still" };
            proposal.words = format!("{}; {name} {says}", proposal.words);
        }
        Ok(proposal)
    }

    /// The check fails without the culprit, too: either something else breaks it as well, or it says now this, now that.
    /// Both sides of the culprit are booted again, with all the time that the text gives.
    fn doubt(&mut self, ended: &Ended) -> Result<Vec<String>> {
        let Next::Found(item) = ended.next else { return Ok(Vec::new()) };
        let name = self.question.asked.name();
        let flaky = self.flaky.len();
        for (item, expected) in [(item - 1, Verdict::Good), (item, Verdict::Bad)] {
            let (revision, subject) = (ended.suspects.revision(item), ended.suspects.subject(item));
            let Ok(ready) = self.judge.ready(revision)? else { continue };
            let step = self.judge.boot(&ready, subject, How::Again, Patience::default())?;
            if step.verdict != expected && step.verdict != Verdict::Skipped {
                self.doubtful(revision, 1, 1);
            }
            self.keep(step, Some(&ready.machine))?;
        }
        Ok(vec![match self.flaky.len() > flaky {
            true => format!("{name} is flaky: the same machine passed once and failed once, so do not rely on this"),
            false => format!("another changeset breaks {name}, too: land the draft and hunt again"),
        }])
    }

    /// Remembers that a revision was seen both good and bad.
    fn doubtful(&mut self, revision: &str, good: usize, bad: usize) {
        let times = |n| if n == 1 { "once".to_owned() } else { format!("{n} times") };
        let words = format!(
            "{} is flaky at {}: it passed {} and failed {}",
            self.question.asked.name(),
            short(revision),
            times(good),
            times(bad)
        );
        note(self.ctx.progress(), words.clone());
        self.flaky.push(words);
    }

    fn keep(&mut self, step: Step, machine: Option<&str>) -> Result<()> {
        record::keep(self.ctx, self.id, &step, machine)?;
        self.steps.push(step);
        Ok(())
    }
}
