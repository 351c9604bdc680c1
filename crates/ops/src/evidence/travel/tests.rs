//! Results in the record and in the notes of two homes over one repository.

use super::*;
use crate::context::{Clock, Setup};
use crate::evidence::{New, of_revisions, record};
use crate::testing::Repository;

struct Fixture {
    repository: Repository,
    head: String,
}

impl std::ops::Deref for Fixture {
    type Target = Repository;

    fn deref(&self) -> &Repository {
        &self.repository
    }
}

impl Fixture {
    fn new() -> Fixture {
        let repository = Repository::new();
        repository.write("regrow.toml", "schema = 1\n");
        let head = repository.commit("Begin");
        Fixture { repository, head }
    }

    /// The same fleet with another home.
    fn elsewhere(&self) -> Context {
        Context::new(Setup {
            fleet: Some(self.ctx.fleet().unwrap().to_owned()),
            home: self.ctx.fleet().unwrap().with_file_name("other-home"),
            actor: "bob".to_owned(),
            program: "/nonexistent/regrow".into(),
            clock: Clock::Fixed("2026-01-03T03:04:05Z".parse().unwrap()),
        })
    }

    fn built(&self, ctx: &Context, revision: &str, image: &str) {
        let image = Some(image);
        let new = New { kind: Kind::Build, server: "web1", revision, image, verdict: Verdict::Built };
        record(ctx, &new, &serde_json::json!({"large": "report"})).unwrap();
    }
}

#[test]
fn results_wait_and_are_written_as_one_commit_without_reports_edits_and_drafts() {
    let f = Fixture::new();
    f.built(&f.ctx, &f.head, "v1:aaaaaaaaaaaaaaaa");
    f.built(&f.ctx, &f.head, "v1:aaaaaaaaaaaaaaaa");
    f.built(&f.ctx, &format!("{}+edits", f.head), "v1:b");
    f.built(&f.ctx, &"1".repeat(40), "v1:c");
    assert_eq!(publish(&f.ctx).unwrap(), 1);
    assert_eq!(publish(&f.ctx).unwrap(), 0);
    assert_eq!(f.git(&["rev-list", "--count", "refs/notes/regrow"]), "1");
    let note = f.git(&["notes", "--ref=regrow", "show", "HEAD"]);
    assert!(note.lines().count() == 1 && note.contains("\"by\":\"tester\"") && !note.contains("report"), "{note}");
    f.built(&f.ctx, &f.head, "v1:aaaaaaaaaaaaaaaa");
    assert_eq!(publish(&f.ctx).unwrap(), 0, "nothing new");
    let ours = noted(&f.ctx, &[&f.head]);
    assert_eq!(ours[&f.head][0].on, None);
}

#[test]
fn another_place_sees_them_as_such_and_a_differing_image_is_told() {
    let f = Fixture::new();
    f.built(&f.ctx, &f.head, "v1:aaaaaaaaaaaaaaaa");
    publish(&f.ctx).unwrap();
    let other = f.elsewhere();
    let seen = of_revisions(&other, &[&f.head]).unwrap();
    assert_eq!(seen[&f.head][0].on.as_deref(), Some(&*machine()));
    assert!(seen[&f.head][0].words().starts_with("built, elsewhere: "));
    assert!(differing(&other, &[&f.head]).is_empty());
    assert_eq!(against(&other, "web1", &f.head, "v1:aaaaaaaaaaaaaaaa"), None);
    let differs = against(&other, "web1", &f.head, "v1:bbbbbbbbbbbbbbbb").unwrap();
    assert!(differs.is_same_version());
    let words = differs.words();
    assert!(words.starts_with("THE IMAGES OF web1 AT ") && words.contains("bbbbbbbbbbbb on here"), "{words}");
    f.built(&other, &f.head, "v1:bbbbbbbbbbbbbbbb");
    publish(&other).unwrap();
    for ctx in [&f.ctx, &other] {
        assert_eq!(differing(ctx, &[&f.head]).len(), 1);
    }
    // Built again here, with what the other has.
    let later = Context::new(Setup {
        fleet: Some(f.ctx.fleet().unwrap().to_owned()),
        home: f.ctx.home().path().to_owned(),
        actor: "tester".to_owned(),
        program: "/nonexistent/regrow".into(),
        clock: Clock::Fixed("2026-01-04T03:04:05Z".parse().unwrap()),
    });
    f.built(&later, &f.head, "v1:bbbbbbbbbbbbbbbb");
    publish(&later).unwrap();
    assert!(differing(&later, &[&f.head]).is_empty());
}

#[test]
fn foreign_and_broken_notes_are_no_failure() {
    let f = Fixture::new();
    for line in ["typed by hand", "{\"kind\":\"dance\"}", "{\"kind\":\"build\",\"server\":7}", "{}"] {
        f.git(&["notes", "--ref=regrow", "append", "-m", line, "HEAD"]);
        assert!(noted(&f.ctx, &[&f.head]).is_empty());
    }
    f.built(&f.ctx, &f.head, "v1:aaaaaaaaaaaaaaaa");
    publish(&f.ctx).unwrap();
    assert_eq!(noted(&f.ctx, &[&f.head]).len(), 1);
    assert!(f.git(&["notes", "--ref=regrow", "show", "HEAD"]).contains("typed by hand"));
}

#[test]
fn ten_thousand_results_are_one_commit() {
    let f = Fixture::new();
    f.ctx
        .database()
        .unwrap()
        .with(|c| {
            let fleet = fleet_name(&f.ctx).unwrap();
            let transaction = c.transaction()?;
            for n in 0..10_000 {
                transaction.execute(
                    "INSERT INTO evidence (kind, server, revision, image, verdict, json, at, fleet)
                     VALUES ('build', ?, ?, 'v1:a', 'built', 'null', '2026-01-02T03:04:05Z', ?)",
                    params![format!("s{n}"), f.head, fleet],
                )?;
            }
            transaction.commit()
        })
        .unwrap();
    assert_eq!(publish(&f.ctx).unwrap(), 1);
    assert_eq!(f.git(&["rev-list", "--count", "refs/notes/regrow"]), "1");
    assert_eq!(noted(&f.ctx, &[&f.head])[&f.head].len(), 10_000);
}
