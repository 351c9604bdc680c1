//! A fleet in a temporary directory, changed through drafts, by an editor, and by both at once.

use regrow_config::edit::Edit;

use super::*;
use crate::evidence::{self, Kind, New, Verdict};
use crate::testing::Repository;

const TEXT: &str = "# The web server.\r\nroles = []\r\n\r\n[network]\r\npublish = [] # nothing yet\r\n\r\n[limits]\r\nmemory = \"1 GiB\"   # enough\r\n";

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
        f.write("servers/web1/server.toml", TEXT);
        f.write("notes.txt", "one\ntwo\nthree\nfour\nfive\n");
        f.commit("first");
        f
    }

    fn head_text(&self, path: &str) -> String {
        String::from_utf8(open(&self.ctx).unwrap().revision("HEAD").unwrap().read(path).unwrap().unwrap()).unwrap()
    }

    fn draft(&self) -> Draft {
        create(&self.ctx, Some("More room"), "bob").unwrap()
    }

    fn set(&self, id: &str, tip: Option<&str>, key: &str, value: &str) -> Edited {
        edit(&self.ctx, id, tip, &[wish(key, value)]).unwrap()
    }

    fn text(&self, id: &str) -> String {
        let bytes = files_of(&self.ctx, id).unwrap().read("servers/web1/server.toml").unwrap().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn land(&self, id: &str) -> land::Landed {
        match land(&self.ctx, id, Some("Make room")).unwrap() {
            Outcome::Landed(landed) => landed,
            other => panic!("{other:?}"),
        }
    }
}

fn wish(key: &str, value: &str) -> Wish {
    let edit = Edit::Set { key: key.to_owned(), value: value.to_owned() };
    Wish { target: Target::Server("web1".to_owned()), edits: vec![edit] }
}

fn saved(edited: Edited) -> Saved {
    match edited {
        Edited::Saved(saved) => saved,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_draft_changes_one_line_and_lands_as_one_changeset() {
    let f = Fixture::new();
    let draft = f.draft();
    assert_eq!((&*draft.id, draft.outdated, draft.files.len()), ("d1", false, 0));
    let s = saved(f.set("d1", Some(&draft.tip), "limits.memory", "2 GiB"));
    assert_eq!((s.files.len(), s.files[0].lines, s.files[0].untouched), (1, 1, 7));
    assert_eq!(s.files[0].keys[0].after.as_deref(), Some("\"2 GiB\""));
    assert_eq!(f.disk("servers/web1/server.toml"), TEXT, "a draft touches no file");
    assert_eq!(f.git(&["status", "--porcelain"]), "");
    let wanted = TEXT.replace("1 GiB", "2 GiB");
    assert_eq!(f.text("d1"), wanted);
    assert_eq!(suggested_message(&f.ctx, "d1").unwrap(), "web1: limits.memory = \"2 GiB\"");

    let landed = f.land("d1");
    assert_eq!(f.disk("servers/web1/server.toml"), wanted);
    assert_eq!(f.git(&["status", "--porcelain"]), "");
    assert_eq!(f.git(&["rev-parse", "HEAD"]), landed.revision);
    assert_eq!(f.git(&["log", "-1", "--format=%an|%cn|%s|%P"]), format!("bob|Ann|Make room|{}", draft.base));
    assert_eq!(f.git(&["diff", "--numstat", "HEAD~1", "HEAD"]), "1\t1\tservers/web1/server.toml");
    assert!(list(&f.ctx).unwrap().is_empty(), "what landed is no draft any more");
    assert!(matches!(get(&f.ctx, "d1"), Err(Error::History(regrow_history::Error::NoDraft(_)))));
}

#[test]
fn what_was_proven_about_a_draft_holds_for_its_changeset_only_if_it_lands_as_it_was() {
    let f = Fixture::new();
    f.draft();
    let tried = |revision: &str| {
        let new = New { kind: Kind::Trial, server: "web1", revision, image: Some("i"), verdict: Verdict::Healthy };
        evidence::record(&f.ctx, &new, &()).unwrap();
    };
    let proven = |revision: &str| evidence::of_revision(&f.ctx, "web1", Kind::Trial, revision).unwrap().is_some();
    saved(f.set("d1", None, "limits.memory", "2 GiB"));
    tried(&get(&f.ctx, "d1").unwrap().tip);
    assert!(proven(&f.land("d1").revision));
    // Something else landed meanwhile: what lands was never tried.
    f.draft();
    f.draft();
    saved(f.set("d1", None, "limits.memory", "3 GiB"));
    saved(f.set("d2", None, "system.hostname", "other"));
    tried(&get(&f.ctx, "d2").unwrap().tip);
    f.land("d1");
    assert!(!proven(&f.land("d2").revision));
}

#[test]
fn saying_what_the_text_says_already_changes_nothing() {
    let f = Fixture::new();
    let draft = f.draft();
    assert!(matches!(f.set("d1", None, "limits.memory", "\"1 GiB\""), Edited::Nothing { .. }));
    assert_eq!(get(&f.ctx, "d1").unwrap().tip, draft.tip);
    let owner = Into::New { title: None, owner: "eve" };
    let made = edit_seen(&f.ctx, owner, Seen::default(), &[wish("limits.memory", "1 GiB")]).unwrap();
    assert!(matches!(made, Edited::Nothing { .. }));
    let refused =
        edit_seen(&f.ctx, owner, Seen::default(), &[wish("limits.memory", "[1"), wish("limits", "3")]).unwrap();
    let Edited::Refused { refusals } = refused else { panic!("{refused:?}") };
    assert_eq!(refusals.iter().map(|r| &*r.key).collect::<Vec<_>>(), ["limits.memory", "limits"]);
    assert_eq!(list(&f.ctx).unwrap().len(), 1, "no draft is made for nothing");
    let land = land(&f.ctx, "d1", None).unwrap_err();
    assert_eq!(land.exit_code(), 2, "{land}");
}

#[test]
fn two_browsers_and_an_editor_on_one_file() {
    let f = Fixture::new();
    let seen = f.draft().tip;
    // Two browsers with the same page: different keys both hold.
    saved(f.set("d1", Some(&seen), "limits.memory", "2 GiB"));
    saved(f.set("d1", Some(&seen), "network.publish", "[\"127.0.0.1:80:80\"]"));
    assert!(f.text("d1").contains("2 GiB") && f.text("d1").contains("80:80\"] # nothing yet\r\n"));
    // The same key asks, and keeps all three values.
    let clash = f.set("d1", Some(&seen), "limits.memory", "3 GiB");
    let Edited::Clash { conflicts, .. } = &clash else { panic!("{clash:?}") };
    let c = &conflicts[0];
    assert_eq!((c.with, c.key.as_ref().unwrap().to_string()), (With::Draft, "limits.memory".to_owned()));
    let values = [&c.base, &c.theirs, &c.yours].map(|v| v.as_deref().unwrap());
    assert_eq!(values, ["\"1 GiB\"", "\"2 GiB\"", "\"3 GiB\""]);
    assert!(f.text("d1").contains("2 GiB"), "nothing was overwritten");
    let decision = Decision {
        path: c.path.clone(),
        key: c.key.clone(),
        with: c.with,
        theirs: c.theirs.clone(),
        yours: c.yours.clone(),
        choice: Choice::Ours,
    };
    let seen_then = Seen { tip: Some(&seen), decisions: &[decision] };
    saved(edit_seen(&f.ctx, Into::Draft("d1"), seen_then, &[wish("limits.memory", "3 GiB")]).unwrap());
    assert!(f.text("d1").contains("3 GiB"));

    // An editor on the same file: another key and a comment.
    let edited =
        TEXT.replace("roles = []", "roles = []  # none").replace("# The web server.", "# The web server, by hand.");
    f.write("servers/web1/server.toml", &edited);
    let landed = f.land("d1");
    assert_eq!(landed.still_edited, ["servers/web1/server.toml"]);
    assert_eq!(
        f.disk("servers/web1/server.toml"),
        edited.replace("1 GiB", "3 GiB").replace("[] # nothing", "[\"127.0.0.1:80:80\"] # nothing")
    );
    let committed = f.head_text("servers/web1/server.toml");
    assert!(
        committed.contains("3 GiB") && !committed.contains("by hand") && !committed.contains("# none"),
        "{committed}"
    );
    let on_disk = on_disk(&f.ctx).unwrap().unwrap();
    assert_eq!((on_disk.files.len(), on_disk.keys), (1, 0), "comments only");
}

#[test]
fn a_key_that_is_also_edited_on_disk_asks_before_it_lands() {
    let f = Fixture::new();
    f.draft();
    saved(f.set("d1", None, "limits.memory", "2 GiB"));
    let by_hand = TEXT.replace("1 GiB", "9 GiB").replace("# enough", "# plenty");
    f.write("servers/web1/server.toml", &by_hand);
    let head = f.git(&["rev-parse", "HEAD"]);
    let Outcome::Conflicts { conflicts: open } = land(&f.ctx, "d1", None).unwrap() else { panic!() };
    assert_eq!((open.len(), open[0].with, open[0].choice.is_none()), (1, With::Disk, true));
    assert_eq!((f.git(&["rev-parse", "HEAD"]), f.disk("servers/web1/server.toml")), (head, by_hand.clone()));

    let path = open[0].path.clone();
    let key = open[0].key.clone().unwrap();
    assert!(choose(&f.ctx, "d1", &path, Some(&key), With::Disk, Some(Choice::Value("[1".into()))).is_err());
    let left = choose(&f.ctx, "d1", &path, Some(&key), With::Disk, Some(Choice::Value("4 GiB".into()))).unwrap();
    assert_eq!(left[0].choice, Some(Choice::Value("4 GiB".into())));
    // A decision is about these values: another edit on disk asks again.
    f.write("servers/web1/server.toml", &by_hand.replace("9 GiB", "8 GiB"));
    assert!(conflicts(&f.ctx, "d1").unwrap()[0].choice.is_none());
    f.write("servers/web1/server.toml", &by_hand);
    f.land("d1");
    assert!(f.head_text("servers/web1/server.toml").contains("\"4 GiB\"   # enough"));
    let disk = f.disk("servers/web1/server.toml");
    assert!(disk.contains("4 GiB") && disk.contains("# plenty"), "{disk}");
}

#[test]
fn a_draft_that_fell_behind_is_merged_by_key_or_asks() {
    let f = Fixture::new();
    f.draft();
    saved(f.set("d1", None, "limits.memory", "2 GiB"));
    saved(f.set("d1", None, "system.hostname", "web"));
    write_file(&f.ctx, "d1", None, "notes.txt", Some(b"one\ntwo\nthree\nfour\n5\n")).unwrap();
    f.write(
        "servers/web1/server.toml",
        &TEXT.replace("memory = \"1 GiB\"", "memory = \"7 GiB\"").replace("# nothing yet", "# later"),
    );
    f.write("notes.txt", "1\ntwo\nthree\nfour\nfive\n");
    f.commit("by hand");
    assert!(get(&f.ctx, "d1").unwrap().outdated);
    let prepared = prepare(&f.ctx, "d1").unwrap();
    assert_eq!(prepared.conflicts.len(), 1, "the build waits for a decision");
    let Outcome::Conflicts { conflicts: open } = land(&f.ctx, "d1", None).unwrap() else { panic!() };
    let c = &open[0];
    assert_eq!((open.len(), c.with, c.theirs.as_deref()), (1, With::Changeset, Some("\"7 GiB\"")));
    choose(&f.ctx, "d1", &c.path, c.key.as_ref(), c.with, Some(Choice::Ours)).unwrap();
    // Left and taken up: preparing brings it onto the last changeset.
    let prepared = prepare(&f.ctx, "d1").unwrap();
    assert!(prepared.conflicts.is_empty() && !prepared.draft.outdated);
    let landed = f.land("d1");
    assert_eq!(landed.files, ["notes.txt", "servers/web1/server.toml"]);
    let text = f.head_text("servers/web1/server.toml");
    assert!(
        text.contains("2 GiB") && text.contains("# later\r\n") && text.contains("hostname = \"web\"\r\n"),
        "{text}"
    );
    assert_eq!(f.head_text("notes.txt"), "1\ntwo\nthree\nfour\n5\n", "other text is merged by line");
    assert_eq!(f.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_file_that_is_no_toml_and_changed_twice_is_decided_as_a_whole() {
    let f = Fixture::new();
    f.draft();
    write_file(&f.ctx, "d1", None, "notes.txt", Some(b"ours\n")).unwrap();
    f.write("notes.txt", "theirs\n");
    f.commit("by hand");
    let open = conflicts(&f.ctx, "d1").unwrap();
    assert_eq!((open.len(), open[0].key.is_none(), open[0].theirs.as_deref()), (1, true, Some("theirs\n")));
    choose(&f.ctx, "d1", "notes.txt", None, With::Changeset, Some(Choice::Value("both\n".into()))).unwrap();
    f.land("d1");
    assert_eq!((f.head_text("notes.txt"), f.disk("notes.txt")), ("both\n".into(), "both\n".into()));
    assert!(!f.disk("notes.txt").contains("<<<<"), "conflicts never stand in a file");
}

#[test]
fn discarding_can_be_taken_back() {
    let f = Fixture::new();
    f.draft();
    saved(f.set("d1", None, "limits.memory", "2 GiB"));
    discard(&f.ctx, "d1").unwrap();
    assert!(list(&f.ctx).unwrap().is_empty());
    assert_eq!(report(&f.ctx).unwrap().discarded[0].title, "More room");
    assert_eq!(f.draft().id, "d2", "an id is not given away while it can come back");
    let back = restore(&f.ctx, "d1").unwrap();
    assert_eq!((back.files.len(), &*back.owner), (1, "bob"));
    assert!(f.text("d1").contains("2 GiB"));
    assert!(discard(&f.ctx, DISK).is_err() && discard(&f.ctx, "../main").is_err());
}

#[test]
fn edits_on_disk_are_a_draft_and_land_as_they_are() {
    let f = Fixture::new();
    assert!(on_disk(&f.ctx).unwrap().is_none());
    f.write(
        "servers/web1/server.toml",
        &TEXT.replace("1 GiB", "2 GiB").replace("publish = []", "publish = [\"127.0.0.1:1:1\"]"),
    );
    f.write("new.txt", "new\n");
    let found = on_disk(&f.ctx).unwrap().unwrap();
    assert_eq!((found.keys, found.files.len(), found.files[0].change), (2, 2, "added"));
    assert!(found.newest.is_some());
    assert!(edit(&f.ctx, DISK, None, &[wish("limits.memory", "3 GiB")]).is_err());
    let one = land_disk(&f.ctx, Some(&["new.txt".to_owned()]), None).unwrap();
    assert_eq!((one.files, &*one.message), (vec!["new.txt".to_owned()], "fleet: add new.txt"));
    let landed = f.land(DISK);
    assert_eq!(landed.files, ["servers/web1/server.toml"]);
    assert_eq!(f.git(&["status", "--porcelain"]), "");
    assert!(land(&f.ctx, DISK, None).is_err(), "nothing is left");
}

#[test]
fn hostile_targets_and_ids_lead_nowhere() {
    let f = Fixture::new();
    f.draft();
    for path in ["../x.toml", "/etc/x.toml", ".git/config.toml", "a//b.toml", "servers/web1/../x.toml", "a/.GIT/x.toml"]
    {
        assert!(write_file(&f.ctx, "d1", None, path, Some(b"x = 1\n")).is_err(), "{path}");
        let target = Target::File(path.to_owned());
        let edits = vec![Edit::Set { key: "x".into(), value: "1".into() }];
        assert!(edit(&f.ctx, "d1", None, &[Wish { target, edits }]).is_err(), "{path}");
    }
    std::os::unix::fs::symlink("/etc/passwd", f.ctx.fleet().unwrap().join("link.txt")).unwrap();
    f.commit("a link");
    let draft = create(&f.ctx, None, "").unwrap();
    assert_eq!((&*draft.owner, &*draft.title), ("somebody", "somebody\u{2019}s draft"));
    assert!(write_file(&f.ctx, &draft.id, None, "link.txt", Some(b"x")).is_err(), "links are not written through");
    for id in ["", "../heads/main", "d1\n", "disk", "-d", "no-such"] {
        assert!(get(&f.ctx, id).is_err(), "{id}");
    }
    let big = vec![b'x'; edit::MOST_BYTES + 1];
    assert!(matches!(write_file(&f.ctx, "d1", None, "big.txt", Some(&big)).unwrap(), Edited::Refused { .. }));
    for bad in ["", "web1", "server:", "server:../x", "role:a/b", "disk:x"] {
        assert!(Target::try_from(bad.to_owned()).is_err(), "{bad}");
    }
}

#[test]
fn a_refused_write_of_git_leaves_text_and_history_as_they_were() {
    let f = Fixture::new();
    let draft = f.draft();
    saved(f.set("d1", None, "limits.memory", "2 GiB"));
    let (before, tip) = (f.git(&["rev-parse", "HEAD"]), get(&f.ctx, "d1").unwrap().tip);
    // A directory where git wants the lock of a ref, which no patience takes away: every write of the ref fails.
    let fleet = f.ctx.fleet().unwrap().to_owned();
    std::fs::create_dir(fleet.join(".git/refs/heads/main.lock")).unwrap();
    std::fs::create_dir(fleet.join(".git/refs/regrow/drafts/d1.lock")).unwrap();
    let e = edit(&f.ctx, "d1", None, &[wish("limits.memory", "3 GiB")]).unwrap_err();
    assert!(!e.to_string().is_empty());
    assert!(land(&f.ctx, "d1", None).is_err());
    std::fs::remove_dir(fleet.join(".git/refs/heads/main.lock")).unwrap();
    std::fs::remove_dir(fleet.join(".git/refs/regrow/drafts/d1.lock")).unwrap();
    assert_eq!((f.git(&["rev-parse", "HEAD"]), get(&f.ctx, "d1").unwrap().tip), (before, tip));
    assert_eq!(f.disk("servers/web1/server.toml"), TEXT);
    assert_eq!(f.git(&["status", "--porcelain"]), "");
    assert_ne!(draft.tip, get(&f.ctx, "d1").unwrap().tip);
    f.land("d1");
}
