//! The driver against a model of the world in which every act can be the last one.
//!
//! The model keeps apart what survives a crash (journal, state, snapshots) and what does not (processes, ports). It
//! refuses to start a second generation beside a running one, and it notes every write that a generation makes to the
//! state when it starts, so that lost and foreign writes show.

use std::collections::BTreeMap;

use regrow_host::progress::Silent;

use super::super::journal::Step;
use super::super::journal::tests::candidate;
use super::*;

/// When and how the world fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The process dies before the n-th act takes effect.
    CrashBefore(usize),
    /// The process dies right after it.
    CrashAfter(usize),
    /// The act is refused, say by a full disk.
    Refuse(usize),
}

#[derive(Debug, Clone, Default)]
struct Disk {
    journal: Option<String>,
    state: Vec<String>,
    snapshots: BTreeMap<String, Vec<String>>,
    writes: usize,
}

struct Model {
    disk: Disk,
    running: Option<u64>,
    published: Option<u64>,
    fault: Fault,
    acts: usize,
    crashed: bool,
    /// Images that are not healthy.
    ill: Vec<&'static str>,
    /// What a person decides while it is judged.
    decision: Option<bool>,
    /// What who decided has heard: whether the journal has it.
    answered: Option<bool>,
    /// About what decisions are taken.
    listening: Option<u64>,
}

impl Model {
    fn new(disk: Disk, fault: Fault) -> Model {
        Model {
            disk,
            running: None,
            published: None,
            fault,
            acts: 0,
            crashed: false,
            ill: vec!["image-ill"],
            decision: None,
            answered: None,
            listening: None,
        }
    }

    fn act(&mut self, effect: impl FnOnce(&mut Model)) -> Result<()> {
        let failed = |what: &str| Err(Error::surroundings(what, ""));
        if self.crashed {
            return failed("dead");
        }
        self.acts += 1;
        match self.fault {
            Fault::CrashBefore(n) if n == self.acts => {
                self.crash();
                return failed("crash");
            }
            Fault::Refuse(n) if n == self.acts => return failed("refused"),
            _ => effect(self),
        }
        if self.fault == Fault::CrashAfter(self.acts) {
            self.crash();
            return failed("crash");
        }
        Ok(())
    }

    fn crash(&mut self) {
        (self.running, self.published, self.crashed) = (None, None, true);
    }

    fn journal(&self) -> Journal {
        self.disk.journal.as_ref().map(|t| serde_json::from_str(t).unwrap()).unwrap_or_default()
    }
}

impl World for Model {
    fn save(&mut self, journal: &Journal) -> Result<()> {
        let text = serde_json::to_string(journal).unwrap();
        if self.disk.journal.as_ref() == Some(&text) {
            return if self.crashed { Err(Error::surroundings("dead", "")) } else { Ok(()) };
        }
        self.act(|m| m.disk.journal = Some(text))
    }
    fn reserve(&mut self, _: &Generation) -> Result<()> {
        self.act(|_| {})
    }
    fn stop(&mut self, _: Stop) -> Result<()> {
        self.act(|m| (m.running, m.published) = (None, None))
    }
    fn snapshot(&mut self, id: &str, _: Option<&Generation>) -> Result<()> {
        self.act(|m| {
            assert_eq!(m.running, None, "a snapshot is taken at rest");
            let clash = m.disk.snapshots.insert(id.to_owned(), m.disk.state.clone());
            assert!(clash.is_none(), "snapshot {id} taken twice");
        })
    }
    fn restore(&mut self, id: &str) -> Result<()> {
        self.act(|m| {
            assert_eq!(m.running, None, "state is brought back at rest");
            m.disk.state = m.disk.snapshots[id].clone();
        })
    }
    fn start(&mut self, generation: &Generation) -> Result<()> {
        if self.running == Some(generation.id) {
            return Ok(());
        }
        self.act(|m| {
            assert_eq!(m.running, None, "never both");
            m.running = Some(generation.id);
            m.disk.writes += 1;
            m.disk.state.push(format!("{}#{}", generation.id, m.disk.writes));
        })
    }
    fn listen(&mut self, generation: &Generation) {
        let judged = matches!(self.journal().phase, Phase::Switching { step: Step::Checking, .. });
        assert!(self.crashed || !judged, "who reads that {} is being judged can decide", generation.id);
        self.listening = Some(generation.id);
    }
    fn judge(&mut self, generation: &Generation) -> Judgement {
        assert!(self.crashed || self.listening == Some(generation.id));
        assert!(self.crashed || self.running == Some(generation.id));
        let _ = self.act(|_| {});
        let healthy = !self.crashed && !self.ill.contains(&generation.candidate.image.as_str());
        let decision = self.decision.filter(|_| !self.crashed);
        let decision = decision.map(|keep| Decision { keep, by: "ann".to_owned(), at: 1 });
        Judgement { healthy, failed: (!healthy).then(|| "front".to_owned()), decision, ..Judgement::default() }
    }
    fn decided(&mut self, saved: bool) {
        if !self.crashed && self.decision.is_some() {
            self.answered = Some(saved);
        }
    }
    fn come_up(&mut self, _: &Generation) {
        let _ = self.act(|_| {});
    }
    fn publish(&mut self, generation: &Generation) -> Result<()> {
        self.act(|m| {
            assert_eq!(m.running, Some(generation.id), "only what runs is published");
            m.published = Some(generation.id);
        })
    }
    fn unpublish(&mut self, _: Option<&Generation>) {
        let _ = self.act(|_| {});
    }
    fn now(&self) -> i64 {
        1
    }
}

/// Where the story begins.
fn beginnings() -> Vec<(&'static str, Disk)> {
    let put = |disk: Disk, name: &str| {
        let mut m = Model::new(disk, Fault::None);
        let mut j = m.journal();
        settle(&mut m, &mut j, &Silent).unwrap();
        assert!(switch(&mut m, &mut j, candidate(name), Intent::Switch, &Silent).unwrap().kept);
        m.disk
    };
    let one = put(Disk::default(), "a");
    let two = put(one.clone(), "b");
    let mut stopped = two.clone();
    let mut journal: Journal = serde_json::from_str(stopped.journal.as_ref().unwrap()).unwrap();
    journal.stop().unwrap();
    stopped.journal = Some(serde_json::to_string(&journal).unwrap());
    vec![("offline", Disk::default()), ("one", one), ("two", two), ("stopped", stopped)]
}

/// What is tried.
const TRIES: [(&str, Intent); 4] =
    [("new", Intent::Switch), ("ill", Intent::Switch), ("a", Intent::Rollback), ("a", Intent::RollbackWithState)];

fn attempt(m: &mut Model, name: &str, intent: Intent) -> (Journal, Result<Outcome>) {
    let mut j = m.journal();
    if let Err(e) = settle(m, &mut j, &Silent) {
        return (j, Err(e));
    }
    let result = switch(m, &mut j, candidate(name), intent, &Silent);
    (j, result)
}

/// What must hold when everything is settled again.
fn judge_end(story: &str, start: &Disk, m: &Model, intent: Intent) {
    let before: Journal = start.journal.as_ref().map(|t| serde_json::from_str(t).unwrap()).unwrap_or_default();
    let after = m.journal();
    assert!(
        matches!(after.phase, Phase::Offline | Phase::Running { .. } | Phase::Stopped { .. }),
        "{story}: {after:?}"
    );
    let old = before.current().map(|g| g.id);
    let now = after.current().map(|g| g.id);
    assert_eq!(m.running, now, "{story}: what runs is what the journal says");
    assert_eq!(m.published, now, "{story}: and it is published");
    let switched = now.is_some() && now != old;
    if switched {
        let image = &after.current().unwrap().candidate.image;
        assert_ne!(image, "image-ill", "{story}: what failed its checks never stays");
    } else {
        assert_eq!(before.wants_running(), m.running.is_some(), "{story}: never none");
    }
    let writers: Vec<u64> = m.disk.state.iter().map(|w| w.split('#').next().unwrap().parse().unwrap()).collect();
    let kept_until_now = &start.state;
    if switched && intent == Intent::RollbackWithState {
        assert!(
            !writers.contains(&old.unwrap_or(0)),
            "{story}: the abandoned generation's writes are gone: {writers:?}"
        );
    } else {
        assert!(m.disk.state.starts_with(kept_until_now), "{story}: no write is lost: {:?}", m.disk.state);
    }
    if !switched {
        let highest = writers.iter().max().copied().unwrap_or(0);
        let allowed = before.generations().iter().map(|g| g.id).max().unwrap_or(0);
        assert!(highest <= allowed, "{story}: the state has writes of a generation that went back: {writers:?}");
    }
}

#[test]
fn a_crash_or_refusal_at_any_act_and_at_any_act_of_the_recovery_leaves_exactly_one_on_the_right_state() {
    let mut stories = 0;
    for (begin, disk) in beginnings() {
        for (name, intent) in TRIES {
            let history =
                disk.journal.as_ref().is_some_and(|t| serde_json::from_str::<Journal>(t).unwrap().previous().is_some());
            if intent != Intent::Switch && !history {
                continue;
            }
            let mut whole = Model::new(disk.clone(), Fault::None);
            let _ = attempt(&mut whole, name, intent);
            judge_end(&format!("{begin}, {name}, {intent:?}"), &disk, &whole, intent);
            for n in 1..=whole.acts + 8 {
                for first in [Fault::CrashBefore(n), Fault::CrashAfter(n), Fault::Refuse(n)] {
                    let story = format!("{begin}, {name}, {intent:?}, {first:?}");
                    let mut m = Model::new(disk.clone(), first);
                    let (mut journal, result) = attempt(&mut m, name, intent);
                    assert!(result.is_ok() || m.acts >= n, "{story}: fails only by the fault");
                    if !m.crashed {
                        // As the supervisor does: it goes on until it is settled.
                        m.fault = Fault::None;
                        resume(&mut m, &mut journal, &Silent).unwrap();
                        judge_end(&story, &disk, &m, intent);
                        stories += 1;
                        continue;
                    }
                    // The next supervisor, and it may be killed as well, at every act.
                    for k in 1.. {
                        let mut second = Model::new(m.disk.clone(), Fault::CrashBefore(k));
                        let mut journal = second.journal();
                        let _ = resume(&mut second, &mut journal, &Silent);
                        let done = !second.crashed;
                        let mut third = Model::new(second.disk.clone(), Fault::None);
                        let mut journal = third.journal();
                        resume(&mut third, &mut journal, &Silent).unwrap();
                        judge_end(&format!("{story}, then a crash at act {k}"), &disk, &third, intent);
                        stories += 1;
                        if done {
                            break;
                        }
                    }
                }
            }
        }
    }
    assert!(stories > 500, "only {stories} stories: the enumeration has stopped enumerating");
}

/// The decision that the journal on disk has.
fn decided_on_disk(disk: &Disk) -> Option<bool> {
    let journal: Journal = serde_json::from_str(disk.journal.as_ref()?).ok()?;
    match journal.phase {
        Phase::Switching { decision, .. } => decision.map(|d| d.keep),
        _ => None,
    }
}

#[test]
fn a_decision_that_was_acknowledged_holds_whatever_is_killed_or_refused_afterwards() {
    let mut stories = 0;
    let mut kept_though_ill = 0;
    for (begin, disk) in beginnings() {
        let before: Journal = disk.journal.as_ref().map(|t| serde_json::from_str(t).unwrap()).unwrap_or_default();
        for (name, keep) in [("new", false), ("ill", true), ("new", true), ("ill", false)] {
            let mut whole = Model::new(disk.clone(), Fault::None);
            whole.decision = Some(keep);
            let (journal, outcome) = attempt(&mut whole, name, Intent::Switch);
            assert_eq!(outcome.unwrap().kept, keep, "{begin}, {name}");
            assert_eq!(whole.answered, Some(true));
            assert_eq!(journal.held.first().and_then(|h| h.by.as_deref()), (!keep).then_some("ann"));
            for n in 1..=whole.acts + 8 {
                for fault in [Fault::CrashBefore(n), Fault::CrashAfter(n), Fault::Refuse(n)] {
                    let story = format!("{begin}, {name}, keep {keep}, {fault:?}");
                    let mut m = Model::new(disk.clone(), fault);
                    m.decision = Some(keep);
                    let (mut journal, _) = attempt(&mut m, name, Intent::Switch);
                    let known = decided_on_disk(&m.disk);
                    let answered = m.answered;
                    let mut m = if m.crashed { Model::new(m.disk, Fault::None) } else { m };
                    m.fault = Fault::None;
                    if answered.is_none() || known.is_some() {
                        // The next supervisor reads what is on disk; the same one goes on with what it knows.
                        journal = m.journal();
                    }
                    m.running = None;
                    m.published = None;
                    resume(&mut m, &mut journal, &Silent).unwrap();
                    let now = m.journal();
                    let new = now.current().map(|g| g.candidate.image == format!("image-{name}")).unwrap_or(false);
                    assert_eq!(m.running, now.current().map(|g| g.id), "{story}: what runs is what the journal says");
                    if known == Some(true) {
                        assert!(new, "{story}: a journalled Keep is kept");
                        kept_though_ill += usize::from(name == "ill");
                    }
                    if known == Some(false) {
                        assert_eq!(now.held.last().and_then(|h| h.by.as_deref()), Some("ann"), "{story}");
                    }
                    if !keep {
                        assert!(!new, "{story}: what is sent back never stays");
                    }
                    if !new {
                        assert_eq!(before.wants_running(), m.running.is_some(), "{story}: never none");
                        assert!(!m.disk.state.iter().any(|w| w.starts_with(&format!("{}#", before.next))), "{story}");
                    }
                    stories += 1;
                }
            }
        }
    }
    assert!(stories > 300 && kept_though_ill > 0, "{stories} stories, {kept_though_ill} of them kept");
}

#[test]
fn a_decision_that_cannot_be_written_is_not_acknowledged() {
    let (_, disk) = beginnings().swap_remove(1);
    let mut refused = 0;
    for n in 1..20 {
        let mut m = Model::new(disk.clone(), Fault::Refuse(n));
        m.decision = Some(true);
        let (_, outcome) = attempt(&mut m, "ill", Intent::Switch);
        if m.answered == Some(false) {
            refused += 1;
            assert!(outcome.is_err());
            assert_eq!(m.journal().current().unwrap().candidate.image, "image-a", "it went back");
        }
    }
    assert_eq!(refused, 2, "one of the acts says that it is judged, another writes the decision");
}

#[test]
fn a_failing_candidate_goes_back_and_is_held_and_says_why() {
    let (_, disk) = beginnings().swap_remove(1);
    let mut m = Model::new(disk, Fault::None);
    let (journal, outcome) = attempt(&mut m, "ill", Intent::Switch);
    let outcome = outcome.unwrap();
    assert!(!outcome.kept);
    assert_eq!(outcome.judgement.failed.as_deref(), Some("front"));
    assert_eq!(journal.held[0].check.as_deref(), Some("front"));
    assert_eq!(journal.current().unwrap().candidate.image, "image-a");
}

#[test]
fn a_failing_rollback_returns_to_what_was_running_and_holds_nothing() {
    let (_, disk) = beginnings().swap_remove(2);
    for intent in [Intent::Rollback, Intent::RollbackWithState] {
        let mut m = Model::new(disk.clone(), Fault::None);
        m.ill.push("image-a");
        let (journal, outcome) = attempt(&mut m, "a", intent);
        assert!(!outcome.unwrap().kept);
        assert!(journal.held.is_empty());
        assert_eq!(journal.current().unwrap().candidate.image, "image-b");
        judge_end("failed rollback", &disk, &m, intent);
    }
}

#[test]
fn a_rollback_with_state_has_the_state_as_the_old_generation_left_it() {
    let (_, disk) = beginnings().swap_remove(2);
    let mut m = Model::new(disk, Fault::None);
    let (_, outcome) = attempt(&mut m, "a", Intent::RollbackWithState);
    assert!(outcome.unwrap().kept);
    assert!(!m.disk.state.iter().any(|w| w.starts_with("2#")), "{:?}", m.disk.state);
    assert!(m.disk.state[0].starts_with("1#"));
}
