//! Questions, suspects and the record, in a repository but without a boot.

use std::path::Path;

use regrow_config::CheckKind;
use regrow_host::lock::Wait;

use super::question::Suspects;
use super::*;
use crate::evidence::{self, Kind, New};
use crate::jobs::{self, About};
use crate::testing::Repository;

struct Fixture(Repository);

impl std::ops::Deref for Fixture {
    type Target = Repository;

    fn deref(&self) -> &Repository {
        &self.0
    }
}

impl Fixture {
    fn new() -> Fixture {
        let f = Fixture(Repository::new());
        f.write(
            "regrow.toml",
            "schema = 1\n\n[archives.test]\nmirror = \"http://mirror.test/debian\"\nsuites = [\"trixie\"]\nkeyring = \"/k.gpg\"\n",
        );
        f.write("servers/web1/server.toml", "schema = 1\n\n[checks.front]\nport = 80\n");
        f
    }

    fn commit(&self, path: &str, text: &str) -> String {
        self.write(path, text);
        self.0.commit(text)
    }

    fn trial(&self, revision: &str, passed: bool) {
        let verdict = if passed { evidence::Verdict::Healthy } else { evidence::Verdict::Failed };
        let new = New { kind: Kind::Trial, server: "web1", revision, image: Some("i"), verdict };
        let check = serde_json::json!(
            {"name": "front", "kind": "port", "passed": passed, "detail": "seen", "seconds": 0.5}
        );
        evidence::record(&self.ctx, &new, &serde_json::json!({"checks": [check], "ready_seconds": 3.0})).unwrap();
    }

    fn question(&self, good: Option<&str>, bad: Option<&str>) -> Result<Question> {
        question(&self.ctx, "web1", &Asked::named("front"), good, bad)
    }
}

#[test]
fn the_good_end_is_the_newest_revision_that_evidence_knows_as_good() {
    let f = Fixture::new();
    let commits: Vec<String> = (1..=5).map(|n| f.commit("servers/web1/root/etc/a", &format!("{n}\n"))).collect();
    let message = f.question(None, None).unwrap_err();
    assert_eq!((message.exit_code(), message.help().is_some()), (2, true), "{message}");
    f.trial(&commits[1], true);
    f.trial(&commits[0], true);
    f.trial(&commits[2], false);
    let question = f.question(None, None).unwrap();
    assert_eq!((&question.good, &question.bad), (&commits[1], &commits[4]));
    f.trial(&commits[4], true);
    assert_eq!(f.question(None, None).unwrap().good, commits[1], "the bad end is not its own good end");
    assert_eq!(f.question(None, Some("HEAD~2")).unwrap().bad, commits[2]);
}

#[test]
fn mistakes_are_said_with_a_way_out() {
    let f = Fixture::new();
    f.commit("servers/web1/root/etc/a", "1\n");
    f.commit("servers/web1/root/etc/a", "2\n");
    f.git(&["checkout", "--quiet", "--orphan", "other"]);
    f.commit("servers/web1/root/etc/a", "3\n");
    f.git(&["checkout", "--quiet", "main"]);
    let asked = |name: &str| question(&f.ctx, "web1", &Asked::named(name), Some("HEAD~1"), None);
    let mut said = vec![asked("frnt").unwrap_err()];
    said.push(question(&f.ctx, "web2", &Asked::named("front"), None, None).unwrap_err());
    said.extend(
        [(Some("HEAD"), None), (Some("other"), None), (Some("HEAD"), Some("HEAD~1")), (Some("--all"), None)]
            .map(|(good, bad)| f.question(good, bad).unwrap_err()),
    );
    said.push(interrupted(&f.ctx, "web1").unwrap_err());
    for e in said {
        assert_eq!(e.exit_code(), 2, "{e}");
        assert!(e.help().is_some() || e.to_string().contains("regrow log"), "{e}");
    }
    assert!(asked("system").is_ok(), "every machine has that one");
}

#[test]
fn suspects_are_what_can_influence_the_server_and_other_commits_count_as_the_one_before() {
    let f = Fixture::new();
    let first = f.commit("servers/web1/root/etc/a", "1\n");
    let a = f.commit("servers/web1/root/etc/a", "2\n");
    let notes = f.commit("notes.txt", "for people\n");
    f.git(&["checkout", "--quiet", "-b", "side"]);
    f.commit("servers/web1/root/etc/b", "side\n");
    f.git(&["checkout", "--quiet", "main"]);
    let b = f.commit("roles/base.toml", "schema = 1\n");
    f.git(&["merge", "--quiet", "--no-ff", "-m", "bring the side", "side"]);
    let merge = f.git(&["rev-parse", "HEAD"]);
    let suspects = Suspects::between(&f.ctx.repo().unwrap(), "web1", &first, &merge).unwrap();
    let revisions: Vec<&str> = (0..=3).map(|n| suspects.revision(n)).collect();
    assert_eq!(revisions, [&first, &a, &b, &merge], "a merge is one of them");
    assert_eq!((suspects.changes.len(), suspects.items[&notes], suspects.items[&merge]), (3, 1, 3));
}

#[test]
fn an_interrupted_hunt_is_found_again_and_an_ended_one_begins_anew() {
    let f = Fixture::new();
    f.commit("servers/web1/root/etc/a", "1\n");
    f.commit("servers/web1/root/etc/a", "2\n");
    let question = f.question(Some("HEAD~1"), None).unwrap();
    let id = record::begin(&f.ctx, &question).unwrap();
    let step = Step::new("abc", "Change it", Verdict::Bad, How::Booted, "refused".to_owned(), Some("i".to_owned()));
    record::keep(&f.ctx, id, &step, Some("machine")).unwrap();
    assert_eq!(record::begin(&f.ctx, &question).unwrap(), id);
    assert_eq!(interrupted(&f.ctx, "web1").unwrap(), question);
    assert_eq!(steps(&f.ctx, id).unwrap()[0].subject, "Change it");
    assert_eq!(record::of_machine(&f.ctx, "machine").unwrap().len(), 1);
    record::end(&f.ctx, id, &serde_json::json!({"culprit": "abc"})).unwrap();
    assert_ne!(record::begin(&f.ctx, &question).unwrap(), id);
    assert_eq!(get(&f.ctx, id).unwrap().unwrap().report["culprit"], "abc");
}

#[test]
fn a_check_is_given_by_a_command_a_unit_or_a_file_as_in_a_servers_text() {
    let text = "[checks.page]\nhttp = \"http://localhost/\"\nbody = \"hello\"\n";
    let Asked::Given { name, check } = Asked::from_text(Path::new("/tmp/probe.toml"), text).unwrap() else { panic!() };
    assert_eq!(name, "page");
    assert!(matches!(check.kind, CheckKind::Http { status: 200, .. }));
    for (text, said) in [
        ("[checks.page]\nhtp = \"http://localhost/\"\n", "mistake"),
        ("", "no check"),
        ("[checks.a]\nport = 1\n[checks.b]\nport = 2\n", "more than one"),
    ] {
        let e = Asked::from_text(Path::new("probe.toml"), text).unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains(said), "{e}");
    }
    let Asked::Given { check, .. } = Asked::unit("nginx") else { panic!() };
    assert_eq!(check.kind, CheckKind::Unit { unit: "nginx.service".to_owned() });
    assert_eq!(Asked::command("true").name(), "command");
}

#[test]
fn a_job_and_its_hunt_lead_to_each_other() {
    let f = Fixture::new();
    f.commit("servers/web1/root/etc/a", "1\n");
    f.commit("servers/web1/root/etc/a", "2\n");
    let question = f.question(Some("HEAD~1"), None).unwrap();
    let stopped = || {
        let about = About::hunt(&question, Wait::No);
        jobs::run(&f.ctx, &about, |_| Err::<serde_json::Value, _>(Error::Cancelled)).unwrap_err();
        jobs::newest(&f.ctx, "web1", "bisect").unwrap().unwrap()
    };
    let (first, second) = (stopped(), stopped());
    let id = of_job(&f.ctx, first).unwrap().unwrap();
    assert_eq!(of_job(&f.ctx, second).unwrap(), Some(id), "the second one goes on with it");
    assert_eq!(job_of(&f.ctx, id).unwrap(), Some(second));
    assert_eq!((of_job(&f.ctx, 99).unwrap(), job_of(&f.ctx, 99).unwrap()), (None, None));
    assert_eq!(interrupted(&f.ctx, "web1").unwrap(), question);
}

#[test]
fn who_looks_on_sees_which_changesets_are_still_in_question() {
    let f = Fixture::new();
    let commits: Vec<String> = (0..=4).map(|n| f.commit("servers/web1/root/etc/a", &format!("{n}\n"))).collect();
    let question = f.question(Some(&commits[0]), None).unwrap();
    let among = Among::of(&f.ctx, &question).unwrap();
    let step = |n: usize, verdict, how| Step::new(&commits[n], "", verdict, how, String::new(), None);
    let open = |steps: &[Step]| -> Vec<bool> { among.standing(steps).places.iter().map(|p| p.open).collect() };
    let began = among.standing(&[]);
    assert_eq!(began.places.iter().map(|p| &*p.revision).collect::<Vec<_>>(), &commits[1..]);
    assert_eq!((began.culprit, &*began.words), (None, "4 changesets left, about 3 boots to go"));
    let mut steps = vec![step(0, Verdict::Good, How::Known), step(4, Verdict::Bad, How::Booted)];
    assert_eq!(open(&steps), [true; 4]);
    steps.push(step(3, Verdict::Bad, How::Booted));
    assert_eq!(open(&steps), [true, true, true, false]);
    steps.push(step(2, Verdict::Good, How::Booted));
    assert_eq!((open(&steps), among.standing(&steps).culprit), (vec![false, false, true, false], Some(2)));
    steps.push(step(2, Verdict::Bad, How::Again));
    assert_eq!(among.standing(&steps).culprit, Some(2), "what is seen after the end moves nothing");
    assert_eq!(among.standing(&steps[2..4]).places[1].verdict, Some(Verdict::Good));
    assert!(names(&f.ctx, "web1").unwrap().iter().map(|n| &**n).eq(["front", "system", "failed-units"]));
    assert!(names(&f.ctx, "web2").is_err());
}
