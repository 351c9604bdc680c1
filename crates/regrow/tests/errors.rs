//! What a person's mistakes and bad surroundings look like.

mod common;

use common::TestEnvironment;

#[test]
fn outside_of_a_fleet_the_way_in_is_told() {
    let env = TestEnvironment::new();
    insta::assert_snapshot!(env.run(["check"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: no fleet here: neither this directory nor one above it has a regrow.toml
    help: go into a fleet, name one with `--fleet DIR`, or make one with `regrow init DIR`
    "#);
    insta::assert_snapshot!(env.run(["check", "-C", "nowhere"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: nowhere is no fleet: neither it nor a directory above it has a regrow.toml
    help: make one with: regrow init DIR
    "#);
}

#[test]
fn an_unknown_server_is_named_with_those_there_are() {
    let env = TestEnvironment::with_fleet();
    insta::assert_snapshot!(env.run(["check", "web2"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: there is no server web2
    help: the fleet has web1
    "#);
    insta::assert_snapshot!(env.run(["build", "web2"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: there is no server web2
    help: the fleet has web1
    "#);
}

#[test]
fn an_unknown_revision_is_told() {
    let env = TestEnvironment::with_fleet();
    insta::assert_snapshot!(env.run(["show", "nothing"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: there is no revision nothing; `regrow log` lists them, and branches, tags and HEAD~1 are good too
    "#);
    insta::assert_snapshot!(env.run(["show", "--", "--all"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: there is no revision --all; `regrow log` lists them, and branches, tags and HEAD~1 are good too
    "#);
}

#[test]
fn json_is_one_object_also_for_failures() {
    let env = TestEnvironment::with_fleet();
    let error = &env.json(["show", "nothing", "--json"])["error"];
    assert_eq!((&error["code"], &error["exit"]), (&"history".into(), &2.into()), "{error}");
    let error = &env.json(["--json", "no-such-verb"])["error"];
    assert_eq!((&error["code"], &error["exit"]), (&"usage".into(), &2.into()), "{error}");
    let error = &env.json(["--json", "set", "web1", "checks.front.status", "banana"])["error"];
    assert_eq!(error["diagnostics"][0]["code"], "wrong-type", "{error}");
}

#[test]
fn building_without_a_lock_says_how_to_get_one() {
    let env = TestEnvironment::with_fleet();
    insta::assert_snapshot!(env.run(["build", "web1"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: web1 has no lock yet
    help: choose its packages with: regrow lock web1
    "#);
}

#[test]
fn looking_into_what_is_not_online_says_so() {
    let env = TestEnvironment::with_fleet();
    insta::assert_snapshot!(env.run(["exec", "web1", "--", "true"]), @r#"
    exit status: 1
    ----- stdout
    ----- stderr
    error: web1 is not online
    help: put it online with: regrow switch web1
    "#);
    insta::assert_snapshot!(env.run(["exec", "web1", "--trial", "--", "true"]), @r#"
    exit status: 1
    ----- stdout
    ----- stderr
    error: no trial of web1 is running
    help: keep one with: regrow trial web1 --keep
    "#);
    insta::assert_snapshot!(env.run(["trial", "web1", "--stop"]), @r#"
    exit status: 0
    ----- stdout
    no trial of web1 was running
    ----- stderr
    "#);
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    use std::process::Stdio;
    let env = TestEnvironment::with_fleet();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = env.command(env.path("fleet")).arg("log").stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn without_git_the_package_is_named() {
    let env = TestEnvironment::with_fleet();
    let output = env.command(env.path("fleet")).arg("log").env("PATH", env.path("empty")).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("the program `git` is not installed"), "{words}");
}

#[test]
fn every_verb_has_help_with_an_example() {
    let env = TestEnvironment::new();
    for verb in [
        "init", "check", "lock", "set", "unset", "build", "trial", "switch", "status", "exec", "logs", "log", "gc",
        "doctor", "serve",
    ] {
        let help = env.run([verb, "--help"]);
        assert!(help.starts_with("exit status: 0") && help.contains(&format!("    regrow {verb}")), "{help}");
    }
}
