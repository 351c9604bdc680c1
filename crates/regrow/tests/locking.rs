//! Sessions with locks, over a small signed archive on loopback.

mod common;

use common::World;

#[test]
fn the_first_lock_is_a_changeset_and_the_second_changes_nothing() {
    let world = World::new();
    let env = &world.env;
    insta::assert_snapshot!(env.run(["lock", "web1"]), @r#"
    exit status: 0
    ----- stdout
    web1: locked 3 packages (3 added), changeset [REV]
    ----- stderr
    "#);
    let lock = env.read("servers/web1/lock.toml");
    insta::assert_snapshot!(env.run(["lock", "web1"]), @r#"
    exit status: 0
    ----- stdout
    web1: 3 packages, nothing changed
    ----- stderr
    "#);
    assert_eq!(env.read("servers/web1/lock.toml"), lock);
    assert_eq!(env.git(&["status", "--porcelain"]), "");
    insta::assert_snapshot!(env.run(["log", "web1", "-n", "1"]), @r#"
    exit status: 0
    ----- stdout
    [REV]  [TIME]  Ann  web1: lock 3 packages (3 added)
                  servers/web1/lock.toml (added)
    older ones: regrow log -n 10
    ----- stderr
    "#);
    insta::assert_snapshot!(env.run(["check"]), @r#"
    exit status: 0
    ----- stdout
    web1: no mistakes
    ----- stderr
    "#);
}

#[test]
fn a_new_package_and_its_lock_are_one_changeset() {
    let world = World::new();
    let env = &world.env;
    env.run(["lock", "web1"]);
    insta::assert_snapshot!(env.run(["set", "web1", "packages.tool", "*", "-m", "Add the tool"]), @r#"
    exit status: 0
    ----- stdout
    changeset [REV] changes servers/web1/server.toml:5
    and locks 4 packages (1 added)
    ----- stderr
    "#);
    insta::assert_snapshot!(env.run(["log", "-n", "1"]), @r#"
    exit status: 0
    ----- stdout
    [REV]  [TIME]  Ann  Add the tool
                  servers/web1/lock.toml
                  servers/web1/server.toml
    older ones: regrow log -n 10
    ----- stderr
    "#);
    assert_eq!(env.json(["check", "--json"])["servers"][0]["lock"], "fresh");
    insta::assert_snapshot!(env.run(["unset", "web1", "packages.tool", "-m", "Nobody used it"]), @r#"
    exit status: 0
    ----- stdout
    changeset [REV] changes servers/web1/server.toml:5
    and locks 3 packages (1 removed)
    ----- stderr
    "#);
}

#[test]
fn beside_edits_the_lock_is_left_as_an_edit() {
    let world = World::new();
    let env = &world.env;
    env.edit("servers/web1/server.toml", "web = ", "tool = \"*\"\nweb = ");
    insta::assert_snapshot!(env.run(["lock", "web1"]), @r#"
    exit status: 0
    ----- stdout
    web1: locked 4 packages (4 added); servers/web1/lock.toml is not committed, because there are other edits
    ----- stderr
    "#);
    assert_eq!(env.git(&["status", "--porcelain"]), " M servers/web1/server.toml\n?? servers/web1/lock.toml\n");
}

#[test]
fn a_stale_lock_is_told() {
    let world = World::new();
    let env = &world.env;
    env.run(["lock", "web1"]);
    env.edit("servers/web1/server.toml", "web = ", "tool = \"*\"\nweb = ");
    insta::assert_snapshot!(env.run(["check"]), @r#"
    exit status: 0
    ----- stdout
    web1: no mistakes
    the lock of web1 is stale: regrow lock web1
    ----- stderr
    "#);
    insta::assert_snapshot!(env.run(["build", "web1"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: the lock of web1 is stale: packages, archives or accounts have changed since it was made
    help: renew it with: regrow lock web1
    "#);
}

#[test]
fn packages_that_do_not_exist_or_fit_are_told() {
    let world = World::new();
    let env = &world.env;
    env.run(["lock", "web1"]);
    insta::assert_snapshot!(env.run(["set", "web1", "packages.tol", "*", "-m", "x"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error[unknown-package]: no archive of this fleet has a package `tol`
     --> servers/web1/server.toml:5:1
      |
    5 | tol = "*"
      | ^^^ not found
      |
      = help: did you mean `tool`?

    error: the text has a mistake
    "#);
    insta::assert_snapshot!(env.run(["set", "web1", "packages.broken", "*", "-m", "x"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: the packages cannot be installed together: broken 1 needs gone, which no suite has
    "#);
    assert_eq!(env.git(&["status", "--porcelain"]), "");
}

#[test]
fn upgrade_names_what_changes() {
    let mut world = World::new();
    world.env.run(["lock", "web1"]);
    world.archive.remove("trixie", "libweb").add("trixie", regrow_testkit::PackageSpec::new("libweb", "2.1"));
    world.archive.publish();
    let env = &world.env;
    insta::assert_snapshot!(env.run(["lock", "web1"]), @r#"
    exit status: 0
    ----- stdout
    web1: 3 packages, nothing changed
    ----- stderr
    "#);
    insta::assert_snapshot!(env.run(["lock", "web1", "--upgrade"]), @r#"
    exit status: 0
    ----- stdout
      libweb 2.0 -> 2.1
    web1: locked 3 packages (1 upgraded), changeset [REV]
    ----- stderr
    "#);
}

#[test]
fn another_fleets_server_of_that_name_is_refused() {
    let world = World::new();
    let env = &world.env;
    env.run(["lock", "web1"]);
    assert!(env.output(env.path(""), &["init", "second", "--mirror", common::MIRROR]).status.success());
    insta::assert_snapshot!(env.run_in(&env.path("second"), ["lock", "web1"]), @r#"
    exit status: 2
    ----- stdout
    ----- stderr
    error: the server web1 in [DIR]/home belongs to the fleet [DIR]/fleet, not to [DIR]/second
    help: use another home for this fleet (REGROW_HOME=DIR); or, if the fleet has moved, write its new path into [DIR]/home/servers/web1/fleet
    "#);
}

#[test]
fn jobs_are_recorded_and_a_damaged_record_is_replaced() {
    let world = World::new();
    let env = &world.env;
    env.run(["lock", "web1"]);
    for name in ["regrow.db-wal", "regrow.db-shm"] {
        let _ = std::fs::remove_file(env.path("home").join(name));
    }
    std::fs::write(env.path("home/regrow.db"), "rubbish, rubbish, rubbish").unwrap();
    insta::assert_snapshot!(env.run(["lock", "web1"]), @r#"
    exit status: 0
    ----- stdout
    web1: 3 packages, nothing changed
    ----- stderr
    note: the record of jobs and evidence was damaged: it is kept as [DIR]/home/regrow.db.damaged-1, and a new one begins (servers and text are not touched)
    "#);
}
