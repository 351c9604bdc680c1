//! A repository in a temporary directory, edited by us and by a person with git.

use std::path::Path;

use regrow_config::{Files, Kind};
use regrow_host::program::Program;

use crate::*;

/// A fleet with one changeset: `a` holds "1\n" and `dir/run` is executable.
pub(crate) struct Fixture {
    dir: tempfile::TempDir,
    pub(crate) repo: Repo,
}

pub(crate) fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let repo = Repo::init(dir.path()).unwrap();
    let f = Fixture { dir, repo };
    f.git(&["config", "user.name", "Ann"]);
    f.git(&["config", "user.email", "ann@example.org"]);
    f.write("a", "1\n");
    f.write("dir/run", "#!/bin/sh\n");
    f.git(&["add", "."]);
    f.git(&["update-index", "--chmod=+x", "dir/run"]);
    f.git(&["commit", "--quiet", "-m", "first"]);
    f.git(&["checkout", "--quiet", "--", "."]);
    f
}

impl Fixture {
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        let program = Program::new("git", "git").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        String::from_utf8(program.dir(self.path()).args(args).run().unwrap().stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn disk(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.path().join(path)).ok()
    }

    fn land(&self, changes: &[Change]) -> Result<Landed> {
        let head = self.repo.head()?;
        self.land_on(&head, changes)
    }

    fn land_on(&self, head: &Head, changes: &[Change]) -> Result<Landed> {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        self.repo.land(&Landing {
            changes,
            message: "Say two\n\nBecause.",
            head,
            at,
            author: None,
            merges: None,
            draft: None,
        })
    }
}

fn change(path: &str, before: Option<&str>, after: Option<&str>) -> Change {
    Change::new(path, before.map(|t| t.as_bytes().to_vec()), after.map(|t| t.as_bytes().to_vec()))
}

#[test]
fn a_revision_reads_as_files() {
    let f = fixture();
    std::os::unix::fs::symlink("a", f.path().join("link")).unwrap();
    f.git(&["add", "link"]);
    f.git(&["commit", "--quiet", "-m", "link"]);
    f.write("a", "edited\n");
    let revision = f.repo.revision("HEAD").unwrap();
    assert_eq!(revision.read("a").unwrap().unwrap(), b"1\n");
    assert_eq!(revision.read("nothing").unwrap(), None);
    assert_eq!(revision.read("a/below-a-file").unwrap(), None);
    assert!(revision.read("link").is_err(), "links are not followed");
    assert!(revision.read("dir").is_err());
    assert_eq!(revision.read("dir/run").unwrap().unwrap(), b"#!/bin/sh\n", "after an error it still answers");
    assert_eq!(revision.read_link("link").unwrap().as_deref(), Some("a"));
    assert_eq!(revision.read_link("a").unwrap(), None);
    let names: Vec<_> = revision.list("").unwrap().into_iter().map(|e| (e.name, e.kind)).collect();
    assert_eq!(names, [("a".into(), Kind::File), ("dir".into(), Kind::Dir), ("link".into(), Kind::Symlink)]);
    assert!(revision.list("dir").unwrap()[0].executable);
}

#[test]
fn strange_names_in_a_revision_are_read_literally() {
    let f = fixture();
    for name in ["with space", "new\nline", "HEAD:a", "-x", ":(glob)*", "ünïcode"] {
        f.write(name, name);
    }
    f.git(&["add", "."]);
    f.git(&["commit", "--quiet", "-m", "names"]);
    let revision = f.repo.revision("HEAD").unwrap();
    for name in ["with space", "new\nline", "HEAD:a", "-x", ":(glob)*", "ünïcode"] {
        assert_eq!(revision.read(name).unwrap().unwrap(), name.as_bytes());
        f.land(&[change(name, Some(name), Some("changed"))]).unwrap();
        assert_eq!(f.disk(name).unwrap(), "changed");
    }
    assert!(f.repo.dirty(&[]).unwrap().is_empty());
}

#[test]
fn landing_makes_one_commit_and_a_clean_work_tree() {
    let f = fixture();
    let landed = f
        .land(&[
            change("a", Some("1\n"), Some("2\n")),
            change("new/file", None, Some("n\n")),
            change("dir/run", Some("#!/bin/sh\n"), None),
        ])
        .unwrap();
    assert_eq!(f.git(&["rev-parse", "main"]), landed.revision);
    assert_eq!(f.git(&["status", "--porcelain"]), "");
    assert_eq!(
        (f.disk("a").unwrap(), f.disk("new/file").unwrap(), f.disk("dir/run")),
        ("2\n".into(), "n\n".into(), None)
    );
    let shown = f.repo.show("HEAD").unwrap();
    assert_eq!(
        (&*shown.author, &*shown.email, &*shown.subject, &*shown.body),
        ("Ann", "ann@example.org", "Say two", "Because.")
    );
    let paths: Vec<_> = shown.paths.iter().map(|p| (&*p.path, p.change)).collect();
    assert_eq!(paths, [("a", "changed"), ("dir/run", "removed"), ("new/file", "added")]);
    assert!(!f.path().join(".git/regrow-landing.json").exists());
}

#[test]
fn the_executable_bit_stays() {
    let f = fixture();
    f.land(&[change("dir/run", Some("#!/bin/sh\n"), Some("#!/bin/dash\n"))]).unwrap();
    assert!(f.repo.revision("HEAD").unwrap().list("dir").unwrap()[0].executable);
    assert_eq!(f.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_file_that_comes_back_is_as_executable_as_it_was() {
    let f = fixture();
    let first = f.repo.resolve("HEAD").unwrap();
    f.git(&["rm", "--quiet", "dir/run"]);
    f.git(&["commit", "--quiet", "-m", "gone"]);
    let head = f.repo.head().unwrap();
    let (base, at) = (head.commit.clone().unwrap(), "2026-01-02T03:04:05Z".parse().unwrap());
    let draft = DraftChange {
        id: "d1",
        expected: None,
        base: &base,
        files_of: &base,
        title: "Back",
        owner: "bob",
        created: at,
        at,
        data: &serde_json::Value::Null,
        files: &[("dir/run".to_owned(), Some(b"#!/bin/sh\n".to_vec()))].into(),
    };
    let tip = f.repo.write_draft_like(&draft, &[&first]).unwrap();
    let changes = [change("dir/run", None, Some("#!/bin/sh\n"))];
    let landing = Landing {
        changes: &changes,
        message: "Back",
        head: &head,
        at,
        author: None,
        merges: None,
        draft: Some(("d1", &tip)),
    };
    f.repo.land(&landing).unwrap();
    assert!(f.git(&["ls-tree", "HEAD", "dir/run"]).starts_with("100755"));
    assert_eq!(f.git(&["status", "--porcelain"]), "");
}

#[test]
fn the_first_changeset_can_be_landed() {
    let dir = tempfile::tempdir().unwrap();
    let repo = Repo::init(dir.path()).unwrap();
    let f = Fixture { dir, repo };
    assert_eq!(f.repo.head().unwrap().commit, None);
    assert!(matches!(f.repo.revision("HEAD"), Err(Error::Unborn)));
    assert!(f.repo.log("HEAD", &[], 9).unwrap().is_empty());
    f.land(&[change("a", None, Some("1\n"))]).unwrap();
    assert_eq!(f.git(&["status", "--porcelain"]), "");
    assert_eq!(f.repo.log("HEAD", &[], 9).unwrap().len(), 1);
}

#[test]
fn hand_edits_are_refused_or_merged_never_lost() {
    let f = fixture();
    f.write("a", "1\nmine\n");
    let e = f.land(&[change("a", Some("1\n"), Some("2\n"))]).unwrap_err();
    assert!(matches!(&e, Error::HandEdits { path } if path == "a"), "{e}");
    assert_eq!(f.git(&["rev-list", "--count", "HEAD"]), "1", "nothing landed");
    let merged = Change {
        path: "a".into(),
        based_on: Some(b"1\nmine\n".to_vec()),
        committed: Some(b"2\n".to_vec()),
        on_disk: Some(b"2\nmine\n".to_vec()),
    };
    f.land(&[merged]).unwrap();
    assert_eq!(f.disk("a").unwrap(), "2\nmine\n");
    assert_eq!(f.git(&["show", "HEAD:a"]), "2");
    assert_eq!(f.repo.dirty(&[]).unwrap(), ["a"]);
}

#[test]
fn other_peoples_edits_and_staged_files_stay_as_they_are() {
    let f = fixture();
    f.write("dir/run", "edited\n");
    f.write("staged", "s\n");
    f.git(&["add", "staged"]);
    f.land(&[change("a", Some("1\n"), Some("2\n"))]).unwrap();
    assert_eq!(f.git(&["status", "--porcelain"]), "M dir/run\nA  staged".trim());
    assert_eq!(f.git(&["show", "--name-only", "--format=", "HEAD"]), "a");
}

#[test]
fn staged_edits_of_the_same_file_are_refused() {
    let f = fixture();
    f.write("a", "staged\n");
    f.git(&["add", "a"]);
    let e = f.land(&[change("a", Some("staged\n"), Some("2\n"))]).unwrap_err();
    assert!(matches!(e, Error::Staged { .. }), "{e}");
}

#[test]
fn a_moved_head_is_refused() {
    let f = fixture();
    let head = f.repo.head().unwrap();
    f.git(&["commit", "--quiet", "--allow-empty", "-m", "meanwhile"]);
    assert!(matches!(f.land_on(&head, &[change("a", Some("1\n"), Some("2\n"))]), Err(Error::Moved)));
    assert_eq!(f.disk("a").unwrap(), "1\n");
}

#[test]
fn nothing_to_change_makes_no_commit() {
    let f = fixture();
    assert!(matches!(f.land(&[change("a", Some("1\n"), Some("1\n"))]), Err(Error::Nothing)));
}

#[test]
fn no_branch_and_unfinished_merges_are_refused() {
    let f = fixture();
    f.git(&["checkout", "--quiet", "--detach"]);
    assert!(matches!(f.land(&[change("a", Some("1\n"), Some("2\n"))]), Err(Error::Detached)));
    f.git(&["checkout", "--quiet", "main"]);
    let head = f.git(&["rev-parse", "HEAD"]);
    std::fs::write(f.path().join(".git/MERGE_HEAD"), format!("{head}\n")).unwrap();
    assert!(matches!(f.land(&[change("a", Some("1\n"), Some("2\n"))]), Err(Error::UnderWay("merge"))));
}

/// The state after `update-ref` and before the work tree followed: made by moving files and index back.
#[test]
fn an_interrupted_landing_is_finished_by_the_next_opening() {
    let f = fixture();
    let before = f.git(&["rev-parse", "HEAD"]);
    f.land(&[change("a", Some("1\n"), Some("2\n")), change("b", None, Some("b\n"))]).unwrap();
    let commit = f.git(&["rev-parse", "HEAD"]);
    let blob = |text: &str| {
        std::fs::write(f.path().join(".git/t"), text).unwrap();
        f.git(&["hash-object", "-w", ".git/t"])
    };
    let file = |path: &str, before: Option<String>, after: String| {
        let committed = ["100644", &*after];
        serde_json::json!({"path": path, "before": before, "after": after, "committed": committed})
    };
    let journal = serde_json::json!({"branch": "refs/heads/main", "commit": commit,
        "files": [file("a", Some(blob("1\n")), blob("2\n")), file("b", None, blob("b\n"))],
        "draft": ["d1", &commit]});
    // Git was killed after the branch and before the draft.
    f.git(&["update-ref", "refs/regrow/drafts/d1", &commit]);
    f.git(&["read-tree", &before]);
    f.write("a", "1\n");
    std::fs::remove_file(f.path().join("b")).unwrap();
    f.write(".a.tmp-1-0", "half of it");
    std::fs::write(f.path().join(".git/regrow-landing.json"), journal.to_string()).unwrap();
    Repo::open(f.path()).unwrap();
    assert_eq!(f.git(&["status", "--porcelain"]), "");
    assert_eq!((f.disk("a").unwrap(), f.disk("b").unwrap()), ("2\n".into(), "b\n".into()));
    assert!(!f.path().join(".git/regrow-landing.json").exists());
    assert_eq!(f.git(&["for-each-ref", "refs/regrow/drafts"]), "", "what has landed is no draft");
    f.land(&[change("a", Some("2\n"), Some("3\n"))]).unwrap();
}

#[test]
fn a_draft_that_landed_when_git_was_killed_goes_also_after_somebody_committed() {
    let f = fixture();
    let landed = f.git(&["rev-parse", "HEAD"]);
    let journal =
        serde_json::json!({"branch": "refs/heads/main", "commit": landed, "files": [], "draft": ["d1", &landed]});
    for (tip, left) in [(&*landed, ""), ("HEAD", "refs/regrow/drafts/d1")] {
        f.git(&["commit", "--quiet", "--allow-empty", "-m", "by hand"]);
        f.git(&["update-ref", "refs/regrow/drafts/d1", tip]);
        std::fs::write(f.path().join(".git/regrow-landing.json"), journal.to_string()).unwrap();
        Repo::open(f.path()).unwrap();
        assert_eq!(f.git(&["for-each-ref", "--format=%(refname)", "refs/regrow/drafts"]), left, "another one stays");
        assert!(!f.path().join(".git/regrow-landing.json").exists());
    }
}

#[test]
fn the_log_shows_merges_limits_and_paths() {
    let f = fixture();
    f.git(&["checkout", "--quiet", "-b", "side"]);
    f.write("side", "s\n");
    f.git(&["add", "."]);
    f.git(&["commit", "--quiet", "-m", "side"]);
    f.git(&["checkout", "--quiet", "main"]);
    f.write("a", "2\n");
    f.git(&["commit", "--quiet", "-am", "two"]);
    f.git(&["merge", "--quiet", "--no-edit", "-m", "join", "side"]);
    let log = f.repo.log("HEAD", &[], 9).unwrap();
    assert_eq!(log.len(), 4);
    assert_eq!((&*log[0].subject, log[0].parents.len(), &*log[0].paths[0].path), ("join", 2, "side"));
    assert_eq!(f.repo.log("HEAD", &[], 2).unwrap().len(), 2);
    let below: Vec<_> = f.repo.log("HEAD", &["a"], 9).unwrap().into_iter().map(|c| c.subject).collect();
    assert_eq!(below, ["two", "first"]);
    assert!(f.repo.diff_of("HEAD~1").unwrap().contains("+2"));
    assert!(f.repo.diff("HEAD~1", Some("HEAD")).unwrap().contains("+s"));
}

#[test]
fn a_fleet_may_lie_below_the_top_of_its_repository() {
    let f = fixture();
    f.write("fleets/one/x", "x\n");
    f.git(&["add", "."]);
    f.git(&["commit", "--quiet", "-m", "fleet"]);
    let repo = Repo::open(&f.path().join("fleets/one")).unwrap();
    assert_eq!(repo.revision("HEAD").unwrap().read("x").unwrap().unwrap(), b"x\n");
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    let changes = [change("x", Some("x\n"), Some("y\n"))];
    repo.land(&Landing {
        changes: &changes,
        message: "y",
        head: &repo.head().unwrap(),
        at,
        author: None,
        merges: None,
        draft: None,
    })
    .unwrap();
    assert_eq!(f.git(&["status", "--porcelain"]), "");
    let log = repo.log("HEAD", &[], 9).unwrap();
    assert_eq!(log.iter().map(|c| &*c.paths[0].path).collect::<Vec<_>>(), ["x", "x"]);
    f.write("fleets/one/x", "z\n");
    f.write("a", "outside\n");
    assert_eq!(repo.dirty(&[]).unwrap(), ["x"]);
    assert!(repo.diff("HEAD", None).unwrap().contains("+z"));
}

#[test]
fn hostile_words_for_revisions_are_no_options() {
    let f = fixture();
    for word in ["", "--all", "-h", "HEAD..HEAD", "nothing", "HEAD\n", "HEAD:a"] {
        assert!(matches!(f.repo.resolve(word), Err(Error::NoRevision(_))), "{word:?}");
    }
}

#[test]
fn a_directory_without_a_repository_says_so() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Repo::open(dir.path()), Err(Error::NoRepository(_))));
}

#[test]
fn what_differs_between_commits_is_as_git_says() {
    let f = fixture();
    f.write("both", "x\n");
    f.write("dir/gone", "x\n");
    f.write("ünï code", "x\n");
    std::os::unix::fs::symlink("a", f.path().join("link")).unwrap();
    f.git(&["add", "."]);
    f.git(&["commit", "--quiet", "-m", "before"]);
    f.write("a", "2\n");
    f.git(&["rm", "--quiet", "dir/gone", "both", "link", "ünï code"]);
    f.write("both/now-a-directory", "x\n");
    f.write("link", "a file now\n");
    f.write("new", "x\n");
    f.git(&["add", "."]);
    f.git(&["update-index", "--chmod=-x", "dir/run"]);
    f.git(&["commit", "--quiet", "-m", "after"]);
    for (old, new) in [("HEAD~1", "HEAD"), ("HEAD", "HEAD~2"), ("HEAD", "HEAD")] {
        let (a, b) = (f.git(&["rev-parse", old]), f.git(&["rev-parse", new]));
        let found = f.repo.changed(State::Commit(&a), State::Commit(&b)).unwrap();
        let found: Vec<String> = found.iter().map(|c| format!("{}\t{}", &c.change, c.path)).collect();
        let said = f.git(&["-c", "core.quotePath=false", "diff", "--no-renames", "--name-status", old, new]);
        let word = |line: &str| match line.split_once('\t').unwrap() {
            ("A", path) => format!("added\t{path}"),
            ("D", path) => format!("removed\t{path}"),
            (_, path) => format!("changed\t{path}"),
        };
        assert_eq!(found, said.lines().map(word).collect::<Vec<_>>(), "{old} to {new}");
    }
    let missing = "0123456789012345678901234567890123456789";
    let e = f.repo.changed(State::Commit(missing), State::Commit(&f.git(&["rev-parse", "HEAD"]))).unwrap_err();
    assert!(e.to_string().contains(missing), "{e}");
}
