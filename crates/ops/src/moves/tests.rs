//! Moves end to end, through drafts.

use regrow_config::KeyPath;
use regrow_config::edit::Edit;

use super::*;
use crate::drafts::{Choice, Target, Wish, With};
use crate::testing::Repository;

const TEXT: &str = "schema = 1\nroles = []\n\n# What must hold.\n[checks.front]\nhttp = \"http://localhost/\"\nstatus = 200   # fine\ntimeout = 30\n\n[limits]\nmemory = \"1 GiB\"\n";
const SERVER: &str = "servers/web1/server.toml";

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
        f.write(SERVER, TEXT);
        f.commit("first");
        f
    }

    fn disk(&self) -> String {
        self.0.disk(SERVER)
    }

    /// A changeset that replaces a piece of the server's text.
    fn change(&self, from: &str, to: &str, message: &str) -> String {
        let text = self.disk();
        assert!(text.contains(from));
        self.write(SERVER, &text.replace(from, to));
        self.commit(message)
    }

    fn text(&self, draft: &str) -> String {
        let bytes = drafts::files_of(&self.ctx, draft).unwrap().read(SERVER).unwrap().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn set(&self, draft: &str, key: &str, value: &str) {
        let edit = Edit::Set { key: key.to_owned(), value: value.to_owned() };
        let wish = Wish { target: Target::Server("web1".to_owned()), edits: vec![edit] };
        drafts::edit(&self.ctx, draft, None, &[wish]).unwrap();
    }

    fn message(&self) -> String {
        self.git(&["log", "-1", "--format=%B"])
    }
}

fn mistake<T: std::fmt::Debug>(result: Result<T>) -> String {
    let e = result.unwrap_err();
    assert_eq!(e.exit_code(), 2, "{e}");
    e.to_string()
}

#[test]
fn a_revert_lands_at_once_and_says_what_it_takes_back() {
    let f = Fixture::new();
    let broken = f.change("status = 200", "status = 500", "Break it");
    f.change("timeout = 30", "timeout = 60", "Wait longer");
    let report = revert(&f.ctx, &["HEAD~1"], Options { land: true, ..Options::default() }).unwrap();
    assert!(report.is_yes() && report.draft.is_none() && report.dependencies.is_empty(), "{report:?}");
    assert_eq!(f.disk(), TEXT.replace("timeout = 30", "timeout = 60"));
    assert_eq!(f.message(), format!("Revert \"Break it\"\n\nThis takes back {broken}."));
    assert!(drafts::list(&f.ctx).unwrap().is_empty());
    assert!(mistake(revert(&f.ctx, &["HEAD~2"], Options::default())).contains("nothing of it is left"));
    assert!(drafts::list(&f.ctx).unwrap().is_empty(), "nothing is half done");
}

#[test]
fn steps_are_ticked_and_reordered_and_own_edits_stay() {
    let f = Fixture::new();
    f.change("status = 200", "status = 500", "Break it");
    f.change("timeout = 30", "timeout = 60", "Wait longer");
    f.change("1 GiB", "2 GiB", "More room");
    let report = revert(&f.ctx, &["HEAD~3..HEAD~1", "HEAD"], Options::default()).unwrap();
    let id = report.draft.unwrap().id;
    let names: Vec<&str> = report.steps.iter().map(|s| &*s.subject).collect();
    assert_eq!(names, ["More room", "Wait longer", "Break it"], "the newest first by itself");
    assert_eq!(f.text(&id), TEXT);
    f.set(&id, "system.timezone", "Europe/Berlin");
    let own = |f: &Fixture| f.text(&id).contains("timezone");
    let desk = set_step(&f.ctx, &id, 2, &Change::Off).unwrap();
    assert_eq!(desk.own, [SERVER]);
    assert!(f.text(&id).contains("timeout = 60") && f.text(&id).contains("status = 200") && own(&f));
    set_step(&f.ctx, &id, 2, &Change::On).unwrap();
    set_step(&f.ctx, &id, 3, &Change::Up).unwrap();
    let desk = set_step(&f.ctx, &id, 1, &Change::Drop).unwrap();
    assert_eq!(desk.steps.iter().map(|s| s.step.id).collect::<Vec<_>>(), [3, 2]);
    assert!(f.text(&id).contains("2 GiB") && f.text(&id).contains("timeout = 30") && own(&f));
    assert!(mistake(set_step(&f.ctx, &id, 1, &Change::On)).contains("no step 1"));
    assert_eq!(drafts::get(&f.ctx, &id).unwrap().base, f.git(&["rev-parse", "HEAD"]), "one commit on its base");
    // Somebody lands meanwhile: steps and own edits are made on that.
    f.change("roles = []", "roles = [ ]", "Spaces");
    let landed = land_separately(&f.ctx, &id, Some("In Berlin")).unwrap();
    assert_eq!(landed.landed.len(), 3, "{landed:?}");
    let log = f.git(&["log", "-3", "--format=%s"]);
    assert_eq!(log, "In Berlin\nRevert \"Wait longer\"\nRevert \"Break it\"");
    assert_eq!(f.git(&["status", "--porcelain"]), "");
    assert!(f.disk().contains("roles = [ ]") && f.disk().contains("2 GiB") && f.disk().contains("timezone"));
}

#[test]
fn what_landed_before_a_kill_is_not_landed_again() {
    let f = Fixture::new();
    let one = f.change("status = 200", "status = 500", "Break it");
    let two = f.change("timeout = 30", "timeout = 90", "Wait longer");
    let id = revert(&f.ctx, &[&one, &two], Options::default()).unwrap().draft.unwrap().id;
    // Killed after the first one had landed, before the draft knew of it.
    revert(&f.ctx, &[&two], Options { land: true, ..Options::default() }).unwrap();
    let landed = land_separately(&f.ctx, &id, None).unwrap();
    assert_eq!(landed.landed.len(), 1, "{landed:?}");
    let log = f.git(&["log", "-3", "--format=%s"]);
    assert_eq!(log, "Revert \"Break it\"\nRevert \"Wait longer\"\nWait longer");
    assert_eq!(f.disk(), TEXT);
    assert!(drafts::list(&f.ctx).unwrap().is_empty());
}

#[test]
fn conflicts_are_data_with_who_and_why_and_wait() {
    let f = Fixture::new();
    let old = f.change("status = 200", "status = 500", "Break it");
    let new = f.change("status = 500", "status = 404", "Break it otherwise");
    let report = revert(&f.ctx, &[&old], Options { land: true, ..Options::default() }).unwrap();
    assert!(!report.is_yes() && report.revision.is_none());
    let dependency = &report.dependencies[0];
    assert_eq!((&*dependency.changeset, &dependency.keys[..]), (&*new, &["checks.front.status".to_owned()][..]));
    let id = report.draft.unwrap().id;
    let c = &report.conflicts[0];
    assert_eq!((c.base.as_deref(), c.theirs.as_deref(), c.yours.as_deref()), (Some("500"), Some("404"), Some("200")));
    assert_eq!(c.theirs_by.as_ref().unwrap().subject, "Break it otherwise");
    assert_eq!(c.yours_by.as_ref().unwrap().revision.as_deref(), Some(&*old));
    assert!(!drafts::prepare(&f.ctx, &id).unwrap().is_yes());
    let tip = drafts::get(&f.ctx, &id).unwrap().tip;
    assert!(mistake(drafts::check_decided(&f.ctx, Some(&tip))).contains("1 place to decide"));
    let key = KeyPath::parse("checks.front.status").unwrap();
    let value = Choice::Value("204".to_owned());
    let left = drafts::choose(&f.ctx, &id, SERVER, Some(&key), With::Step(1), Some(value)).unwrap();
    assert!(left.iter().all(|c| c.choice.is_some()));
    assert!(f.text(&id).contains("status = 204   # fine"), "{}", f.text(&id));
    assert!(matches!(drafts::land(&f.ctx, &id, None).unwrap(), Outcome::Landed(_)));
    assert!(f.disk().contains("status = 204   # fine"));
}

#[test]
fn what_stands_on_a_changeset_is_said_and_taken_back_with_it() {
    let f = Fixture::new();
    f.change("[limits]", "[services.mail]\nenabled = true\n\n[limits]", "Serve mail");
    let later = f.change("enabled = true", "enabled = true\nmasked = false", "Mail is not masked");
    f.change("1 GiB", "2 GiB", "More room");
    let found = dependencies(&f.ctx, "HEAD~2").unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].changeset, &*found[0].keys[0]), (&*later, "services.mail.masked"));
    let looked = preview(&f.ctx, StepKind::Revert, &["HEAD~2"], Options::default()).unwrap();
    assert_eq!(looked.conflicts.len(), 1);
    let with = Options { with: true, land: true, ..Options::default() };
    let report = revert(&f.ctx, &["HEAD~2"], with).unwrap();
    assert!(report.is_yes(), "{report:?}");
    assert_eq!(f.disk(), TEXT.replace("1 GiB", "2 GiB"));
}

#[test]
fn a_branch_is_picked_and_merges_are_taken_back_as_one() {
    let f = Fixture::new();
    f.git(&["switch", "--quiet", "-c", "side"]);
    let one = f.change("status = 200", "status = 204", "No content");
    f.change("1 GiB", "3 GiB", "Much room");
    f.git(&["switch", "--quiet", "main"]);
    f.change("timeout = 30", "timeout = 60", "Wait longer");
    let picked = pick(&f.ctx, &["side~1"], Options { land: true, ..Options::default() }).unwrap();
    assert_eq!(f.message(), format!("No content\n\nPicked from {one}."));
    assert_eq!(picked.landed.unwrap().files, [SERVER]);
    assert!(mistake(pick(&f.ctx, &["side~1"], Options::default())).contains("the text says so already"));
    let report = pick(&f.ctx, &["main..side"], Options::default()).unwrap();
    assert_eq!(report.without_effect, [1], "the first is here already");
    let id = report.draft.unwrap().id;
    let both = Options { onto: Some(&id), ..Options::default() };
    assert!(mistake(pick(&f.ctx, &["side"], both)).contains("already"));
    f.git(&["-c", "merge.default=text", "merge", "--quiet", "--no-edit", "-X", "ours", "side"]);
    let merge = f.git(&["rev-parse", "HEAD"]);
    assert!(mistake(revert(&f.ctx, &["HEAD"], Options { parent: Some(3), ..Options::default() })).contains("has 2"));
    revert(&f.ctx, &["HEAD"], Options { land: true, ..Options::default() }).unwrap();
    assert!(f.message().contains(&merge));
    assert!(f.disk().contains("1 GiB") && f.disk().contains("status = 204"));
}

#[test]
fn a_part_of_a_draft_goes_into_another() {
    let f = Fixture::new();
    let draft = drafts::create(&f.ctx, Some("Two things"), "bob").unwrap();
    f.set(&draft.id, "checks.front.status", "500");
    f.set(&draft.id, "limits.memory", "9 GiB");
    let part = |key: &str| Part { path: SERVER.to_owned(), key: Some(KeyPath::parse(key).unwrap()) };
    assert!(mistake(split(&f.ctx, &draft.id, &[part("system")], None)).contains("does not change system"));
    let other = split(&f.ctx, &draft.id, &[part("limits")], Some("Room")).unwrap();
    assert_eq!(f.text(&other.id), TEXT.replace("1 GiB", "9 GiB"));
    assert_eq!(f.text(&draft.id), TEXT.replace("status = 200", "status = 500"));
    // A table that the draft had added goes with its only key.
    let before = f.text(&draft.id);
    f.set(&draft.id, "sysctl.\"vm.swappiness\"", "\"10\"");
    split(&f.ctx, &draft.id, &[part("sysctl")], None).unwrap();
    assert_eq!(f.text(&draft.id), before);
}

#[test]
fn strange_histories_are_answered_in_words() {
    let f = Fixture::new();
    let first = f.git(&["rev-parse", "HEAD"]);
    assert!(mistake(revert(&f.ctx, &[&first], Options::default())).contains("first changeset"));
    assert!(mistake(revert(&f.ctx, &["nonsense"], Options::default())).contains("no revision nonsense"));
    assert!(mistake(revert(&f.ctx, &["--all"], Options::default())).contains("no revision --all"));
    assert!(mistake(revert(&f.ctx, &["HEAD..HEAD"], Options::default())).contains("no changeset in HEAD..HEAD"));
    assert!(mistake(revert(&f.ctx, &[], Options::default())).contains("no changeset is named"));
    assert!(mistake(pick(&f.ctx, &["HEAD"], Options { onto: Some("disk"), ..Options::default() })).contains("disk"));
    f.git(&["commit", "--quiet", "--allow-empty", "-m", "Nothing"]);
    assert!(mistake(pick(&f.ctx, &["HEAD"], Options::default())).contains("would change nothing"));
    let broken = f.change("status = 200", "status = 500", "Break it");
    f.write("servers/web1/server.toml", &f.disk().replace("timeout = 30", "timeout = 31"));
    std::fs::write(f.ctx.fleet().unwrap().join(".git/MERGE_HEAD"), format!("{first}\n")).unwrap();
    let land = Options { land: true, ..Options::default() };
    assert!(mistake(revert(&f.ctx, &[&broken], land)).contains("a git merge is under way"));
    std::fs::remove_file(f.ctx.fleet().unwrap().join(".git/MERGE_HEAD")).unwrap();
    assert!(drafts::list(&f.ctx).unwrap().is_empty(), "nothing is half done");
    // Hand edits beside it stay hand edits.
    revert(&f.ctx, &[&broken], land).unwrap();
    assert_eq!(f.disk(), TEXT.replace("timeout = 30", "timeout = 31"));
    f.git(&["checkout", "--quiet", "--", "."]);
    f.git(&["rm", "-r", "--quiet", "servers/web1"]);
    f.commit("Remove web1");
    // The server is gone: that is somebody's change, too, and is asked.
    let report = revert(&f.ctx, &[&broken], Options::default()).unwrap();
    let c = &report.conflicts[0];
    assert_eq!((&c.key, &c.theirs, &*c.theirs_by.as_ref().unwrap().subject), (&None, &None, "Remove web1"));
    f.git(&["switch", "--quiet", "--orphan", "nowhere"]);
    assert!(mistake(revert(&f.ctx, &[&broken], Options::default())).contains("no changeset yet"));
}

/// A lock of the server with packages and ids.
fn lock(version: &str, users: &[(&str, u32)]) -> String {
    let mut lock = regrow_config::LockFile { schema: 1, inputs: "sha256:0".into(), ..Default::default() };
    (lock.epoch, lock.architecture) = (1_700_000_000, "amd64".into());
    lock.layers = vec![regrow_config::lock::Layer { name: "base".into(), requested: Vec::new() }];
    let package = regrow_config::lock::LockedPackage {
        version: version.into(),
        architecture: "amd64".into(),
        archive: "debian".into(),
        file: "pool/main/h/hello/hello_1_amd64.deb".into(),
        size: 1,
        sha256: "0".repeat(64),
        layer: 0,
    };
    lock.packages.insert("hello".into(), package);
    lock.users = users.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect();
    lock.to_text()
}

#[test]
fn a_lock_is_taken_back_with_its_versions_and_without_its_ids() {
    let f = Fixture::new();
    let path = "servers/web1/lock.toml";
    f.write(path, &lock("1", &[("alice", 1000)]));
    f.commit("Lock web1");
    f.write(path, &lock("2", &[("alice", 1000), ("bob", 1001)]));
    let upgrade = f.commit("Newer packages, and bob");
    let report = revert(&f.ctx, &[&upgrade], Options::default()).unwrap();
    let read =
        |id: &str| String::from_utf8(drafts::files_of(&f.ctx, id).unwrap().read(path).unwrap().unwrap()).unwrap();
    let id = report.draft.unwrap().id;
    assert_eq!(read(&id), lock("1", &[("alice", 1000), ("bob", 1001)]), "an id never gets another owner");
    f.write(path, &lock("3", &[("alice", 1000), ("bob", 1001)]));
    f.commit("Newest packages");
    let later = revert(&f.ctx, &[&upgrade], Options::default());
    assert!(mistake(later).contains("nothing of it is left"), "a lock of now stays");
}
