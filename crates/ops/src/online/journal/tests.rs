//! Every transition from every place.

use super::*;

/// A candidate with nothing in it but its name.
pub(in crate::online) fn candidate(name: &str) -> Candidate {
    Candidate {
        revision: format!("rev-{name}"),
        image: format!("image-{name}"),
        hostname: "web1".to_owned(),
        limits: Limits { memory: None, tasks: None },
        checks: BTreeMap::new(),
        publish: BTreeSet::new(),
        state: Vec::new(),
    }
}

fn running(name: &str) -> Journal {
    let mut j = Journal::default();
    switch_to(&mut j, name, Intent::Switch, &ALL);
    j.keep().unwrap();
    j
}

type Act = fn(&mut Journal) -> Result;
const ALL: [Act; 4] = [Journal::stopping, Journal::snapshotting, Journal::starting, Journal::checking];

fn switch_to(j: &mut Journal, name: &str, intent: Intent, steps: &[Act]) {
    j.begin(candidate(name), intent, 7).unwrap();
    for step in steps {
        step(j).unwrap();
    }
}

/// A journal in every place there is: from offline, from running and from stopped.
fn places() -> Vec<(String, Journal)> {
    let mut starts = vec![("offline", Journal::default()), ("running", running("a"))];
    let mut stopped = running("a");
    stopped.stop().unwrap();
    starts.push(("stopped", stopped));
    let mut all: Vec<(String, Journal)> = Vec::new();
    for (name, start) in starts {
        all.push((name.to_owned(), start.clone()));
        for steps in 0..=ALL.len() {
            let mut j = start.clone();
            switch_to(&mut j, "b", Intent::Switch, &ALL[..steps]);
            all.push((format!("{name}, {}", j.phase_name()), j.clone()));
            if steps >= 3 {
                j.go_back(None).unwrap();
                all.push((format!("{name}, {} from step {steps}", j.phase_name()), j));
            }
        }
    }
    all
}

#[test]
fn every_transition_is_legal_from_exactly_the_places_drawn() {
    // "running" is the phase of that name; "starting the new" and so on are steps of a switch.
    let acts: [(&str, Act, &[&str]); 12] = [
        ("begin", |j| j.begin(candidate("c"), Intent::Switch, 8), &["offline", "running", "stopped"]),
        ("stopping", Journal::stopping, &["preparing"]),
        ("snapshotting", Journal::snapshotting, &["stopping the old"]),
        ("starting", Journal::starting, &["taking a state"]),
        ("checking", Journal::checking, &["starting the new"]),
        ("keep", Journal::keep, &["judging"]),
        ("give_up", Journal::give_up, &["preparing", "stopping the old", "taking a state"]),
        ("go_back", |j| j.go_back(None), &["starting the new", "judging"]),
        ("went_back", Journal::went_back, &["going back"]),
        ("stop", Journal::stop, &["running"]),
        ("start", Journal::start, &["stopped"]),
        ("rename", |j| j.rename("rev-c"), &["running"]),
    ];
    for (place, journal) in places() {
        for (name, act, from) in &acts {
            let mut after = journal.clone();
            let legal = act(&mut after).is_ok();
            let drawn = from.iter().any(|f| journal.phase_name().starts_with(f));
            assert_eq!(legal, drawn, "{name} from {place}");
            if !legal {
                assert_eq!(after, journal, "{name} from {place}: a refused transition changes nothing");
            }
        }
    }
}

#[test]
fn recovery_ends_with_what_was_there_before_from_every_place() {
    for (place, journal) in places() {
        let mut j = journal.clone();
        let mut restored = 0;
        let end = loop {
            match j.recovery() {
                Recovery::GiveUp => j.give_up().unwrap(),
                Recovery::GoBack => j.go_back(None).unwrap(),
                Recovery::Restore { snapshot } => {
                    assert!(journal.snapshots().contains(&snapshot), "{place}");
                    restored += 1;
                    j.went_back().unwrap();
                }
                end => break end,
            }
        };
        let expected = if place.starts_with("running") { Some("image-a".to_owned()) } else { None };
        let found = match end {
            Recovery::Start(generation) => Some(generation.candidate.image),
            _ => None,
        };
        assert_eq!(found, expected, "{place}");
        let may_have_changed_state =
            ["starting the new", "judging", "going back"].iter().any(|p| journal.phase_name().starts_with(p));
        assert_eq!(restored, usize::from(may_have_changed_state), "{place}");
        assert!(j.held.is_empty(), "{place}: an interruption is nobody's fault");
    }
}

#[test]
fn every_place_survives_being_written_and_read() {
    for (place, journal) in places() {
        let text = serde_json::to_string(&journal).unwrap();
        assert_eq!(serde_json::from_str::<Journal>(&text).unwrap(), journal, "{place}: {text}");
    }
}

#[test]
fn rollbacks_go_back_step_by_step_and_the_history_is_bounded() {
    let mut j = running("a");
    for name in ["b", "c", "d", "e"] {
        switch_to(&mut j, name, Intent::Switch, &ALL);
        j.keep().unwrap();
    }
    let history = |j: &Journal| j.history.iter().map(|p| p.generation.candidate.image.clone()).collect::<Vec<_>>();
    assert_eq!(history(&j), ["image-b", "image-c", "image-d"]);
    assert_eq!(j.previous().unwrap().snapshot, "before-5", "taken when d was stopped for generation 5");
    switch_to(&mut j, "d", Intent::Rollback, &ALL);
    j.keep().unwrap();
    assert_eq!(history(&j), ["image-b", "image-c"]);
    assert_eq!(j.current().unwrap().id, 6, "numbers are never used twice");
}

#[test]
fn a_failed_revision_is_held_once_until_it_succeeds() {
    let held = |detail: &str| Held {
        by: None,
        revision: "rev-b".into(),
        image: "image-b".into(),
        check: Some("front".into()),
        detail: detail.into(),
        at: 9,
    };
    let mut j = running("a");
    for detail in ["first", "second"] {
        switch_to(&mut j, "b", Intent::Switch, &ALL);
        j.go_back(Some(held(detail))).unwrap();
        j.went_back().unwrap();
    }
    assert_eq!(j.held, [held("second")]);
    assert!(j.held("rev-b").is_some() && j.held("rev-a").is_none());
    switch_to(&mut j, "b", Intent::Switch, &ALL);
    j.keep().unwrap();
    assert!(j.held.is_empty());
}
