//! Sessions with a fleet's text: init, check, set, unset, log, show, diff.

mod common;

use common::{MIRROR, TestEnvironment};

#[test]
fn init_makes_a_clean_repository() {
    let env = TestEnvironment::new();
    insta::assert_snapshot!(env.run(["init", "fleet", "--mirror", MIRROR]), @r#"
    exit status: 0
    ----- stdout
    made the fleet [DIR]/fleet with the server web1
    packages come from http://mirror.test/debian (trixie, trixie-updates)
    git merges its text by key: .gitattributes, and merge.regrow.driver in .git/config

    next: cd fleet && regrow lock web1
    ----- stderr
    "#);
    assert_eq!(env.git(&["status", "--porcelain"]), "");
    insta::assert_snapshot!(env.run(["log"]), @r#"
    exit status: 0
    ----- stdout
    [REV]  [TIME]  Ann  Begin with the example server web1
                  .gitattributes (added)
                  README.md (added)
                  regrow.toml (added)
                  roles/base.toml (added)
                  servers/web1/root/var/www/html/index.html (added)
                  servers/web1/server.toml (added)
    ----- stderr
    "#);
}

#[test]
fn init_refuses_what_it_would_overwrite() {
    let env = TestEnvironment::new();
    std::fs::create_dir(env.path("full")).unwrap();
    std::fs::write(env.path("full/notes"), "mine").unwrap();
    insta::assert_snapshot!(env.run(["init", "full", "--mirror", MIRROR]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: full is not empty
    help: name a directory that does not exist yet: regrow init NEW
    "#);
}

#[test]
fn init_refuses_settings_that_are_mistakes() {
    let env = TestEnvironment::new();
    insta::assert_snapshot!(env.run(["init", "fleet", "--mirror", "gopher://old", "--suite", "trixie"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error[bad-value]: "gopher://old" is no address of an archive
     --> regrow.toml:7:14
      |
    7 | mirror     = "gopher://old"
      |              ^^^^^^^^^^^^^^
      |
      = help: write it like "https://HOST/debian", up to and without /dists

    error: the text has a mistake
    "#);
    insta::assert_snapshot!(env.run(["init", "fleet", "--mirror", MIRROR, "--suite", "trixy"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error[unknown-suite]: "trixy" is not a suite of Debian
     --> regrow.toml:8:15
      |
    8 | suites     = ["trixy", "trixy-updates"]
      |               ^^^^^^^ not known
      |
      = help: did you mean `trixie`?

    error[unknown-suite]: "trixy-updates" is not a suite of Debian
     --> regrow.toml:8:24
      |
    8 | suites     = ["trixy", "trixy-updates"]
      |                        ^^^^^^^^^^^^^^^ not known
      |
      = help: did you mean `trixie-updates`?

    error: the text has 2 mistakes
    "#);
    assert!(!env.path("fleet").exists());
}

#[test]
fn check_says_all_mistakes_at_once() {
    let env = TestEnvironment::with_fleet();
    insta::assert_snapshot!(env.run(["check"]), @r#"
    exit status: 0
    ----- stdout
    web1: no mistakes
    web1 has no lock yet: regrow lock web1
    package names were not checked: no package index has been fetched yet (regrow lock does)
    ----- stderr
    "#);
    env.edit("servers/web1/server.toml", "\n[checks.front]", "\n[chekcs.front]");
    env.edit("servers/web1/server.toml", "[services.nginx]", "[services.nginx]\nenabeld = true");
    insta::assert_snapshot!(env.run(["check", "web1"]), @r#"
    exit status: 1
    ----- stdout
    error[unknown-key]: unknown key `enabeld` in `services.nginx`
     --> servers/web1/server.toml:8:1
      |
    8 | enabeld = true
      | ^^^^^^^ not known
      |
      = help: did you mean `enabled`?

    error[unknown-key]: unknown key `chekcs`
      --> servers/web1/server.toml:11:2
       |
    11 | [chekcs.front]
       |  ^^^^^^ not known
       |
       = help: did you mean `checks`?

    web1: 2 mistakes
    web1 has no lock yet: regrow lock web1
    package names were not checked: no package index has been fetched yet (regrow lock does)
    ----- stderr
    "#);
    let json = env.json(["check", "--json"]);
    assert_eq!(json["errors"], 2);
    let first = &json["diagnostics"][0];
    assert_eq!((&first["code"], &first["severity"]), (&"unknown-key".into(), &"error".into()));
    assert_eq!(first["file"], "servers/web1/server.toml");
    assert!(first["line"].is_u64() && first["column"].is_u64(), "{first}");
}

#[test]
fn check_needs_no_database() {
    let env = TestEnvironment::with_fleet();
    env.run(["check"]);
    assert!(!env.path("home").exists());
}

#[test]
fn set_lands_exactly_one_changed_value() {
    let env = TestEnvironment::with_fleet();
    insta::assert_snapshot!(env.run(["set", "web1", "checks.front.status", "404", "-m", "The page is gone"]), @r#"
    exit status: 0
    ----- stdout
    changeset [REV] changes servers/web1/server.toml:12
    ----- stderr
    "#);
    insta::assert_snapshot!(env.run(["diff", "HEAD~1", "HEAD"]), @r#"
    exit status: 0
    ----- stdout
    web1
      The check front now wants status 404
      not locked yet: packages can still differ

    diff --git a/servers/web1/server.toml b/servers/web1/server.toml
    index [BLOBS] 100644
    --- a/servers/web1/server.toml
    +++ b/servers/web1/server.toml
    @@ -9,5 +9,5 @@ enabled = true
     
     [checks.front]
     http   = "http://localhost/"
    -status = 200               # the front page
    +status = 404               # the front page
     body   = "grown from text"
    ----- stderr
    "#);
    insta::assert_snapshot!(env.run(["log", "-n", "1"]), @r#"
    exit status: 0
    ----- stdout
    [REV]  [TIME]  Ann  The page is gone
                  servers/web1/server.toml
    older ones: regrow log -n 10
    ----- stderr
    "#);
    insta::assert_snapshot!(env.run(["set", "web1", "checks.front.status", "404", "-m", "Again"]), @r#"
    exit status: 0
    ----- stdout
    nothing to change: servers/web1/server.toml says so already
    ----- stderr
    "#);
    assert_eq!(env.git(&["status", "--porcelain"]), "");
}

#[test]
fn unset_takes_a_key_away() {
    let env = TestEnvironment::with_fleet();
    insta::assert_snapshot!(env.run(["unset", "web1", "checks.front.body", "-m", "Any page will do"]), @r#"
    exit status: 0
    ----- stdout
    changeset [REV] changes servers/web1/server.toml:13
    ----- stderr
    "#);
    insta::assert_snapshot!(env.run(["show", "HEAD"]), @r#"
    exit status: 0
    ----- stdout
    [COMMIT]
    Ann, [TIME]

        Any page will do

    web1
      The check front now takes any answer
      not locked yet: packages can still differ

    diff --git a/servers/web1/server.toml b/servers/web1/server.toml
    index [BLOBS] 100644
    --- a/servers/web1/server.toml
    +++ b/servers/web1/server.toml
    @@ -10,4 +10,3 @@ enabled = true
     [checks.front]
     http   = "http://localhost/"
     status = 200               # the front page
    -body   = "grown from text"
    ----- stderr
    "#);
    insta::assert_snapshot!(env.run(["unset", "web1", "checks.front.body", "-m", "Again"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: `checks.front.body` is not in the text
    "#);
}

#[test]
fn set_keeps_hand_edits_and_commits_none_of_them() {
    let env = TestEnvironment::with_fleet();
    env.edit("servers/web1/server.toml", "schema = 1", "schema = 1 # mine");
    let report = env.json(["set", "web1", "checks.front.status", "404", "-m", "x", "--json"]);
    assert_eq!(report["file"], "servers/web1/server.toml");
    let text = env.read("servers/web1/server.toml");
    assert!(text.contains("schema = 1 # mine") && text.contains("status = 404"), "{text}");
    assert!(!env.git(&["show", "HEAD:servers/web1/server.toml"]).contains("# mine"));
    assert_eq!(env.git(&["status", "--porcelain"]), " M servers/web1/server.toml\n");
}

#[test]
fn set_on_top_of_an_uncommitted_object_says_what_to_do() {
    let env = TestEnvironment::with_fleet();
    let text = env.read("servers/web1/server.toml");
    std::fs::write(env.fleet("servers/web1/server.toml"), text + "\n[checks.mine]\nport = 80\n").unwrap();
    insta::assert_snapshot!(env.run(["set", "web1", "checks.mine.timeout", "5", "-m", "x"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: servers/web1/server.toml has edits that this change depends on; without them: the text has a mistake
    help: commit them first: git commit -m MESSAGE -- servers/web1/server.toml
    "#);
    assert_eq!(env.git(&["rev-list", "--count", "HEAD"]), "1\n");
}

#[test]
fn set_refuses_values_that_are_mistakes() {
    let env = TestEnvironment::with_fleet();
    insta::assert_snapshot!(env.run(["set", "web1", "checks.front.status", "banana", "-m", "x"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error[wrong-type]: `checks.front.status` must be an HTTP status, not a string
      --> servers/web1/server.toml:12:10
       |
    12 | status = "banana"               # the front page
       |          ^^^^^^^^ this is a string

    error: the text has a mistake
    "#);
    insta::assert_snapshot!(env.run(["set", "web1", "chekcs.front.status", "200", "-m", "x"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error[unknown-key]: unknown key `chekcs`
      --> servers/web1/server.toml:15:2
       |
    15 | [chekcs.front]
       |  ^^^^^^ not known
       |
       = help: did you mean `checks`?

    error: the text has a mistake
    "#);
    insta::assert_snapshot!(env.run(["set", "web1", "a..b", "1", "-m", "x"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: `a..b` is no key: a part is empty; write it like `checks.front.status` or `files."/etc/motd".mode`
    "#);
    insta::assert_snapshot!(env.run(["set", "web1", "checks.front.status", "200", "-m", " "]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: the message is empty
    help: say in a few words what the change is for: -m "…"
    "#);
    insta::assert_snapshot!(env.run(["set", "web2", "checks.front.status", "200", "-m", "x"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: there is no server web2
    help: the fleet has web1
    "#);
    assert_eq!(env.git(&["rev-list", "--count", "HEAD"]), "1\n");
}

#[test]
fn crlf_files_stay_crlf() {
    let env = TestEnvironment::with_fleet();
    let text = env.read("servers/web1/server.toml").replace('\n', "\r\n");
    std::fs::write(env.fleet("servers/web1/server.toml"), &text).unwrap();
    env.commit("CRLF");
    env.run(["set", "web1", "checks.front.status", "404", "-m", "x"]);
    assert_eq!(env.read("servers/web1/server.toml"), text.replace("status = 200", "status = 404"));
}

#[test]
fn a_detached_head_and_a_merge_are_refused_with_words() {
    let env = TestEnvironment::with_fleet();
    env.git(&["checkout", "--quiet", "--detach"]);
    insta::assert_snapshot!(env.run(["set", "web1", "checks.front.status", "404", "-m", "x"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: HEAD is on no branch, so a changeset would be lost; go to one with: git switch BRANCH (or make one: git switch -c NAME)
    "#);
    env.git(&["checkout", "--quiet", "main"]);
    std::fs::write(env.fleet(".git/MERGE_HEAD"), env.git(&["rev-parse", "HEAD"])).unwrap();
    insta::assert_snapshot!(env.run(["set", "web1", "checks.front.status", "404", "-m", "x"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: a git merge is under way; end it (git merge --continue) or give it up (git merge --abort) first
    "#);
}

#[test]
fn a_difference_is_said_in_words_keys_and_text() {
    let env = TestEnvironment::with_fleet();
    env.edit("servers/web1/server.toml", "nginx = \"*\"", "nginx = \"*\"\nvim = \"*\"");
    env.edit("servers/web1/server.toml", "[checks.front]", "[network]\npublish = [\"8080:80\"]\n\n[checks.front]");
    insta::assert_snapshot!(env.run(["diff", "HEAD"]), @r#"
    exit status: 0
    ----- stdout
    web1
      vim is added
      Port 8080 opens
      not locked yet: packages can still differ
      can lock people out: published ports change

    diff --git a/servers/web1/server.toml b/servers/web1/server.toml
    index [BLOBS] 100644
    --- a/servers/web1/server.toml
    +++ b/servers/web1/server.toml
    @@ -3,10 +3,14 @@ schema = 1
     # What it serves.
     [packages]
     nginx = "*"
    +vim = "*"
     
     [services.nginx]
     enabled = true
     
    +[network]
    +publish = ["8080:80"]
    +
     [checks.front]
     http   = "http://localhost/"
     status = 200               # the front page
    ----- stderr
    "#);
    let json = env.json(["diff", "HEAD", "--json"]);
    assert_eq!(json["to"], "disk");
    assert_eq!(json["servers"][0]["words"][0], "vim is added");
    assert_eq!(json["servers"][0]["complete"], false);
    assert_eq!(json["servers"][0]["effects"]["ports"][0]["change"], "opens");
    assert_eq!(json["keys"][0]["keys"][0]["key"], "packages.vim");
    assert!(json["text"].as_str().unwrap().starts_with("diff --git"));
}

#[test]
fn a_changeset_is_taken_back_without_what_came_after() {
    let env = TestEnvironment::with_fleet();
    env.run(["set", "web1", "checks.front.status", "500", "-m", "Break it"]);
    env.run(["set", "web1", "checks.front.timeout", "60", "-m", "Wait longer"]);
    let report = env.json(["revert", "HEAD~1", "--json"]);
    assert_eq!(report["draft"]["title"], "Revert \"Break it\"");
    assert_eq!(report["conflicts"].as_array().unwrap().len(), 0, "{report}");
    assert!(env.read("servers/web1/server.toml").contains("status = 500"), "nothing has landed yet");
    insta::assert_snapshot!(env.run(["revert", "HEAD~2"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: [REV] is the first changeset: there is nothing before it to go back to
    help: remove what you do not want in a draft or an editor
    "#);
}

#[test]
fn steps_and_conflicts_are_handled_from_the_command_line() {
    let env = TestEnvironment::with_fleet();
    env.run(["set", "web1", "checks.front.status", "500", "-m", "Break it"]);
    env.run(["set", "web1", "checks.front.status", "404", "-m", "Break it otherwise"]);
    env.run(["set", "web1", "checks.front.timeout", "60", "-m", "Wait longer"]);
    let report = env.json(["revert", "HEAD~2", "HEAD", "--land", "--json"]);
    assert!(report["revision"].is_null(), "{report}");
    assert_eq!(report["steps"][0]["subject"], "Wait longer");
    assert_eq!(report["conflicts"][0]["theirs_by"]["subject"], "Break it otherwise");
    assert_eq!(report["dependencies"][0]["subject"], "Break it otherwise");
    let listed = env.run(["resolve", "d1"]);
    assert!(listed.starts_with("exit status: 1") && listed.contains("yours   200"), "{listed}");
    assert!(env.run(["draft", "land", "d1"]).contains("exit status: 1"), "nothing lands undecided");
    let refused = env.run(["resolve", "d1", "checks.front.body", "yours"]);
    assert!(refused.contains("exit status: 2") && refused.contains("nothing to decide"), "{refused}");
    let decided = env.run(["resolve", "d1", "checks.front.status", "value=201"]);
    assert!(decided.contains("everything is decided"), "{decided}");
    assert_eq!(env.json(["draft", "step", "d1", "1", "--off", "--json"])["steps"][0]["on"], false);
    let landed = env.json(["draft", "land", "d1", "--separate", "--json"]);
    assert_eq!(landed["landed"].as_array().unwrap().len(), 1, "{landed}");
    let text = env.read("servers/web1/server.toml");
    assert!(text.contains("status = 201") && text.contains("timeout = 60"), "{text}");
    let picked = env.json(["pick", "HEAD~1", "--json"]);
    assert_eq!(picked["error"]["exit"], 2, "{picked}");
}
