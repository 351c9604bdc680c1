//! Acts on text, taken back at once, later, in any order, and twice.

use regrow_config::Files;
use regrow_config::edit::Edit;

use super::*;
use crate::accounts::Role;
use crate::drafts::{self, Edited, Outcome, Target, Wish};
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
        f.write("regrow.toml", "schema = 1\n");
        f.write("servers/web1/server.toml", "schema = 1\n[limits]\nmemory = \"1 GiB\"\n");
        f.commit("Begin");
        f
    }

    fn edit(&self, draft: &str, key: &str, value: &str) {
        let edit = Edit::Set { key: key.to_owned(), value: value.to_owned() };
        let wish = Wish { target: Target::Server("web1".to_owned()), edits: vec![edit] };
        assert!(matches!(drafts::edit(&self.ctx, draft, None, &[wish]).unwrap(), Edited::Saved(_)));
    }

    fn text(&self, at: &str) -> String {
        let revision = self.ctx.repo().unwrap().revision(at).unwrap();
        String::from_utf8(revision.read("servers/web1/server.toml").unwrap().unwrap()).unwrap()
    }

    fn draft_text(&self, id: &str) -> String {
        self.text(&drafts::get(&self.ctx, id).unwrap().tip)
    }

    fn undo(&self) -> UndoReport {
        undo(&self.ctx, None).unwrap()
    }

    fn newest(&self) -> i64 {
        acts::list(&self.ctx, &Which::default(), 1).unwrap().acts[0].id
    }
}

#[test]
fn undoing_again_and_again_walks_back_to_the_beginning() {
    let f = Fixture::new();
    let begin = f.text("HEAD");
    let id = drafts::create(&f.ctx, Some("Room"), "ann").unwrap().id;
    f.edit(&id, "limits.memory", "\"2 GiB\"");
    let two = f.draft_text(&id);
    f.edit(&id, "system.hostname", "\"big\"");
    drafts::rename(&f.ctx, &id, "More room").unwrap();
    f.undo();
    assert_eq!(drafts::get(&f.ctx, &id).unwrap().title, "Room");
    f.undo();
    assert_eq!(f.draft_text(&id), two);
    f.undo();
    assert_eq!(f.draft_text(&id), begin);
    f.undo();
    assert!(drafts::list(&f.ctx).unwrap().is_empty(), "it was set aside");
    let e = undo(&f.ctx, None).unwrap_err();
    assert!(e.to_string().contains("nothing that can be undone"), "{e}");
    // The last undo, undone: the draft is back.
    undo(&f.ctx, Some(f.newest())).unwrap();
    assert_eq!(f.draft_text(&id), begin);
}

#[test]
fn an_edit_is_taken_out_of_a_draft_that_went_on() {
    let f = Fixture::new();
    let id = drafts::create(&f.ctx, None, "ann").unwrap().id;
    f.edit(&id, "limits.memory", "\"2 GiB\"");
    let first = f.newest();
    f.edit(&id, "system.hostname", "\"big\"");
    let second = f.newest();
    undo(&f.ctx, Some(first)).unwrap();
    let text = f.draft_text(&id);
    assert!(text.contains("1 GiB") && text.contains("big"), "{text}");
    let e = undo(&f.ctx, Some(first)).unwrap_err();
    assert!(e.to_string().contains("undone already"), "{e}");
    f.edit(&id, "system.hostname", "\"small\"");
    let e = undo(&f.ctx, Some(second)).unwrap_err();
    assert!(e.to_string().contains("system.hostname in servers/web1/server.toml was changed again"), "{e}");
}

#[test]
fn a_landing_is_taken_back_by_a_changeset_and_that_one_too() {
    let f = Fixture::new();
    let begin = f.text("HEAD");
    let id = drafts::create(&f.ctx, None, "ann").unwrap().id;
    f.edit(&id, "limits.memory", "\"2 GiB\"");
    let edit = f.newest();
    let Outcome::Landed(landed) = drafts::land(&f.ctx, &id, Some("Make room")).unwrap() else { panic!() };
    let act = f.newest();
    let e = undo(&f.ctx, Some(edit)).unwrap_err();
    assert!(e.to_string().contains("was landed or discarded since"), "{e}");
    let undone = f.undo();
    assert_eq!((undone.act, f.text("HEAD")), (act, begin.clone()));
    let message = f.git(&["log", "-1", "--format=%B"]);
    assert_eq!(message, format!("Revert \"Make room\"\n\nThis takes back {}.", landed.revision));
    assert_eq!(f.git(&["status", "--porcelain"]), "");
    // What was undone once is undone again after the undo was undone.
    let redone = undo(&f.ctx, Some(f.newest())).unwrap();
    assert!(redone.revision.is_some() && f.text("HEAD").contains("2 GiB"));
    undo(&f.ctx, Some(act)).unwrap();
    assert_eq!(f.text("HEAD"), begin);
    // Another draft may have the same id by now: it is not touched.
    drafts::create(&f.ctx, None, "ann").unwrap();
    assert!(undo(&f.ctx, Some(edit)).is_err());
}

#[test]
fn a_landing_that_was_changed_again_asks_and_changes_nothing() {
    let f = Fixture::new();
    crate::set(&f.ctx, "web1", "limits.memory", "\"2 GiB\"", Some("Make room")).unwrap();
    let act = f.newest();
    crate::set(&f.ctx, "web1", "limits.memory", "\"3 GiB\"", Some("Make more room")).unwrap();
    let report = undo(&f.ctx, Some(act)).unwrap();
    assert!(!report.is_yes() && report.conflicts.len() == 1 && report.draft.is_some(), "{report:?}");
    assert!(f.text("HEAD").contains("3 GiB"));
    assert!(acts::get(&f.ctx, act).unwrap().undone.is_none(), "not yet");
}

#[test]
fn accounts_get_their_role_again_and_what_is_lost_says_so() {
    let f = Fixture::new();
    let password = "correct horse battery staple";
    accounts::add(&f.ctx, "alice", Role::View, password).unwrap();
    accounts::set_role(&f.ctx, "alice", Role::Switch).unwrap();
    f.undo();
    assert_eq!(accounts::get(&f.ctx, "alice").unwrap().unwrap().role, Role::View);
    f.undo();
    assert!(accounts::get(&f.ctx, "alice").unwrap().is_none());
    accounts::add(&f.ctx, "bob", Role::View, password).unwrap();
    accounts::remove(&f.ctx, "bob").unwrap();
    let e = undo(&f.ctx, Some(f.newest())).unwrap_err();
    assert!(e.to_string().contains("known to nobody"), "{e}");
    let e = undo(&f.ctx, Some(999)).unwrap_err();
    assert_eq!(e.to_string(), "there is no act 999");
}
