//! The merge by key with real git: merge, rebase, cherry-pick and revert of changes that stand side by side.

mod common;

use std::process::{Command, Output};

use common::{MIRROR, TestEnvironment};

const SERVER: &str = "servers/web1/server.toml";

/// Runs git in the fleet, however it ends.
fn git(env: &TestEnvironment, args: &[&str]) -> Output {
    let mut git = Command::new("git");
    git.args(args).current_dir(env.path("fleet")).env("HOME", env.path("")).env("GIT_EDITOR", "true");
    git.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Commits an edit on the branch `name`, which begins at `main`.
fn branch(env: &TestEnvironment, name: &str, edits: &[(&str, &str)]) {
    env.git(&["checkout", "--quiet", "-b", name, "main"]);
    for (from, to) in edits {
        env.edit(SERVER, from, to);
    }
    env.commit(name);
}

/// Two branches whose changes are on neighbouring lines.
fn neighbours() -> TestEnvironment {
    let env = TestEnvironment::with_fleet();
    branch(
        &env,
        "status",
        &[("status = 200               # the front page", "status = 204               # no content")],
    );
    branch(&env, "body", &[("body   = \"grown from text\"", "body   = \"grown\"\ntimeout = 9 # slow today")]);
    env
}

/// As if `init` had told git nothing.
fn plain(env: &TestEnvironment) {
    env.git(&["config", "--local", "--remove-section", "merge.regrow"]);
}

const BOTH: &str = r#"[checks.front]
http   = "http://localhost/"
status = 204               # no content
body   = "grown"
timeout = 9 # slow today
"#;

#[test]
fn neighbouring_lines_merge_where_plain_git_conflicts() {
    let env = neighbours();
    plain(&env);
    assert_eq!(git(&env, &["merge", "--quiet", "status"]).status.code(), Some(1), "plain git conflicts");
    env.git(&["merge", "--abort"]);

    let env = neighbours();
    let merged = git(&env, &["merge", "--quiet", "--no-edit", "status"]);
    assert!(merged.status.success(), "{}", stderr(&merged));
    assert!(env.read(SERVER).ends_with(BOTH), "{}", env.read(SERVER));
    assert_eq!(env.git(&["status", "--porcelain"]), "");
}

#[test]
fn neighbouring_lines_rebase_and_cherry_pick_where_plain_git_conflicts() {
    for how in [&["rebase", "--quiet", "status"][..], &["cherry-pick", "status"]] {
        let env = neighbours();
        plain(&env);
        assert!(!git(&env, how).status.success(), "plain git conflicts at {how:?}");
        let env = neighbours();
        let done = git(&env, how);
        assert!(done.status.success(), "{how:?}: {}", stderr(&done));
        assert!(env.read(SERVER).ends_with(BOTH), "{how:?}: {}", env.read(SERVER));
    }
}

#[test]
fn an_older_change_is_reverted_below_newer_neighbours() {
    let make = || {
        let env = TestEnvironment::with_fleet();
        env.edit(SERVER, "status = 200", "status = 500");
        env.commit("first");
        env.edit(SERVER, "body   = \"grown from text\"", "body   = \"grown\"");
        env.edit(SERVER, "http   = \"http://localhost/\"", "http   = \"http://localhost/health\"");
        env.commit("second");
        env
    };
    let env = make();
    plain(&env);
    assert!(!git(&env, &["revert", "--no-edit", "HEAD~1"]).status.success(), "plain git conflicts");
    let env = make();
    let done = git(&env, &["revert", "--no-edit", "HEAD~1"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let text = env.read(SERVER);
    let front =
        "http   = \"http://localhost/health\"\nstatus = 200               # the front page\nbody   = \"grown\"\n";
    assert!(text.ends_with(front), "{text}");
}

#[test]
fn the_same_key_on_both_sides_is_told_in_words_and_nothing_is_marked() {
    let env = TestEnvironment::with_fleet();
    branch(
        &env,
        "theirs",
        &[("status = 200", "status = 301"), ("nginx = \"*\"", "nginx = \"*\"\ncurl = \"*\" # by hand")],
    );
    branch(&env, "ours", &[("status = 200", "status = 404")]);
    let merged = git(&env, &["merge", "--quiet", "--no-edit", "theirs"]);
    assert_eq!(merged.status.code(), Some(1));
    insta::assert_snapshot!(stderr(&merged), @r#"
    regrow: servers/web1/server.toml: both sides changed `checks.front.status`
        before  200
        ours    404
        theirs  301
    help: servers/web1/server.toml has our value and everything else of both; decide, edit the file if need be, then git add servers/web1/server.toml
    "#);
    let text = env.read(SERVER);
    assert!(text.contains("status = 404 ") && text.contains("curl = \"*\" # by hand\n"), "{text}");
    assert!(!text.contains("<<<<") && !text.contains(">>>>"), "{text}");
    assert!(env.git(&["status", "--porcelain"]).contains("UU servers/web1/server.toml"));
}

#[test]
fn locks_are_not_mixed() {
    let env = TestEnvironment::with_fleet();
    let lock = "servers/web1/lock.toml";
    std::fs::write(env.fleet(lock), "schema = 1\na = 1\nb = 1\n").unwrap();
    env.commit("lock");
    let on = |name: &str, text: &str| {
        env.git(&["checkout", "--quiet", "-b", name, "main"]);
        std::fs::write(env.fleet(lock), text).unwrap();
        env.commit(name);
    };
    env.git(&["branch", "--force", "start", "main"]);
    on("theirs", "schema = 1\na = 2\nb = 1\n");
    on("ours", "schema = 1\na = 1\nb = 2\n");
    let merged = git(&env, &["merge", "--quiet", "--no-edit", "theirs"]);
    insta::assert_snapshot!(stderr(&merged), @r"
    regrow: servers/web1/lock.toml was not merged: a lock is chosen as a whole, so two of them cannot be mixed
    help: merge the rest, then choose packages anew: regrow lock web1, and git add servers/web1/lock.toml
    ");
    assert_eq!(env.read(lock), "schema = 1\na = 1\nb = 2\n");
}

#[test]
fn init_in_a_clone_tells_git_and_a_second_time_changes_nothing() {
    let env = TestEnvironment::with_fleet();
    env.git(&["clone", "--quiet", ".", "../clone"]);
    let clone = env.path("clone");
    insta::assert_snapshot!(env.run_in(&clone, ["init", "."]), @r"
    exit status: 0
    ----- stdout
    [DIR]/clone is a fleet already (web1)
    git merges its text by key from now on: merge.regrow.driver in .git/config
    ----- stderr
    ");
    insta::assert_snapshot!(env.run_in(&clone, ["init", ".", "--mirror", MIRROR]), @r"
    exit status: 0
    ----- stdout
    [DIR]/clone is a fleet already (web1)
    git merges its text by key
    ----- stderr
    ");
    // A fleet from before the merge by key, with attributes of its own.
    std::fs::write(clone.join(".gitattributes"), "*.png binary").unwrap();
    let said = env.run_in(&clone, ["init", "."]);
    assert!(said.contains("next: land .gitattributes"), "{said}");
    assert_eq!(std::fs::read_to_string(clone.join(".gitattributes")).unwrap(), "*.png binary\n*.toml merge=regrow\n");
}

#[test]
fn what_is_no_toml_is_left_as_ours() {
    let env = TestEnvironment::with_fleet();
    for (name, text) in [("base", "a = 1\n"), ("ours", "a = 2\n"), ("theirs", "a = = 3\n")] {
        std::fs::write(env.path(name), text).unwrap();
    }
    insta::assert_snapshot!(env.run_in(&env.path(""), ["merge-driver", "base", "ours", "theirs", "roles/a.toml"]), @r"
    exit status: 1
    ----- stdout
    ----- stderr
    regrow: roles/a.toml was not merged: their side is not TOML at line 1: extra `=`, expected nothing; mend it in an editor, then merge again
    help: our version is left as it was; put in what is missing of theirs, then git add roles/a.toml
    ");
    assert_eq!(std::fs::read_to_string(env.path("ours")).unwrap(), "a = 2\n");
}
