//! Repositories as people leave them: in the middle of a merge, damaged, shallow, huge, on a disk that is full or
//! read-only. Each gets a clear answer, and where the answer is no, nothing was done.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::TestEnvironment;

/// Runs commands in the fleet, one a line, and shows for each its exit status and the first line of what it says.
fn told(env: &TestEnvironment, commands: &str) -> String {
    told_in(env, &env.path("fleet"), commands)
}

fn told_in(env: &TestEnvironment, dir: &Path, commands: &str) -> String {
    let mut all = String::new();
    for command in commands.lines().map(str::trim).filter(|c| !c.is_empty()) {
        let args: Vec<&str> = command.split(' ').collect();
        let output = env.command(dir).args(&args).output().unwrap();
        let status = output.status.code().expect("it ends by itself");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!err.contains("panicked"), "{command}: {err}");
        let said = err.lines().find(|l| l.starts_with("error")).or(out.lines().next()).unwrap_or_default();
        let said: String = said.chars().take(220).collect();
        all.push_str(&format!("{command}\n  {status}: {said}\n"));
    }
    all
}

/// All that a refused command must leave as it was.
fn state(env: &TestEnvironment) -> [String; 3] {
    let refs = env.git(&["for-each-ref"]);
    let head = std::fs::read_to_string(env.fleet(".git/HEAD")).unwrap();
    [refs, head, env.git(&["--no-optional-locks", "status", "--porcelain"])]
}

fn write(env: &TestEnvironment, path: &str, text: &str) {
    let path = env.fleet(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

const SERVER: &str = "servers/web1/server.toml";

/// Two branches that git alone cannot merge; `side` is the other one.
fn diverged() -> TestEnvironment {
    let env = TestEnvironment::with_fleet();
    env.git(&["config", "--remove-section", "merge.regrow"]);
    env.git(&["checkout", "--quiet", "-b", "side"]);
    env.edit(SERVER, "status = 200", "status = 204");
    env.commit("Side");
    env.git(&["checkout", "--quiet", "main"]);
    env.edit(SERVER, "status = 200", "status = 301");
    env.commit("Main");
    env
}

/// Runs git where it is expected to fail.
fn git_stops(env: &TestEnvironment, args: &[&str]) {
    let output = Command::new("git").args(args).current_dir(env.fleet("")).env("HOME", env.path("")).output().unwrap();
    assert!(!output.status.success());
}

#[test]
fn in_the_middle_of_a_merge_looking_works_and_landing_waits() {
    let env = diverged();
    env.run(["draft", "new", "X"]);
    env.run(["draft", "set", "d1", "web1", "system.hostname", "\"x\""]);
    git_stops(&env, &["merge", "side"]);
    let before = state(&env);
    insta::assert_snapshot!(told(&env, "
        log -n 1
        show HEAD
        status
        check
        draft land d1
        set web1 system.hostname \"y\"
        revert HEAD --land
        pull
        push
    "), @r#"
    log -n 1
      0: [REV]  [TIME]  Ann  Main
    show HEAD
      0: [COMMIT]
    status
      0: web1 (offline)
    check
      1: error[invalid-toml]: this is not TOML: invalid unquoted key, expected letters, numbers, `-`, `_`
    draft land d1
      2: error: a git merge is under way; end it (git merge --continue) or give it up (git merge --abort) first
    set web1 system.hostname "y"
      2: error: the text is not TOML at line 12: key with no value, expected `=`; mend it in an editor first
    revert HEAD --land
      2: error: a git merge is under way; end it (git merge --continue) or give it up (git merge --abort) first
    pull
      2: error: a git merge is under way; end it (git merge --continue) or give it up (git merge --abort) first
    push
      2: error: a git merge is under way; end it (git merge --continue) or give it up (git merge --abort) first
    "#);
    assert_eq!(state(&env), before);
}

#[test]
fn in_the_middle_of_a_rebase_it_is_the_rebase_that_is_told() {
    let env = diverged();
    git_stops(&env, &["rebase", "side"]);
    let before = state(&env);
    insta::assert_snapshot!(told(&env, "
        log -n 1
        set web1 system.hostname \"y\"
        pull
        push
    "), @r#"
    log -n 1
      0: [REV]  [TIME]  Ann  Side
    set web1 system.hostname "y"
      2: error: the text is not TOML at line 12: key with no value, expected `=`; mend it in an editor first
    pull
      2: error: a git rebase is under way; end it (git rebase --continue) or give it up (git rebase --abort) first
    push
      2: error: a git rebase is under way; end it (git rebase --continue) or give it up (git rebase --abort) first
    "#);
    assert_eq!(state(&env), before);
}

#[test]
fn a_detached_head_and_a_branch_without_commits() {
    let env = TestEnvironment::with_fleet();
    env.git(&["checkout", "--quiet", "--detach"]);
    env.run(["draft", "new", "X"]);
    env.run(["draft", "set", "d1", "web1", "system.hostname", "\"x\""]);
    let before = state(&env);
    insta::assert_snapshot!(told(&env, "
        log -n 1
        draft land d1
        set web1 system.hostname \"y\"
        pull
        push
    "), @r#"
    log -n 1
      0: [REV]  [TIME]  Ann  Begin
    draft land d1
      2: error: HEAD is on no branch, so a changeset would be lost; go to one with: git switch BRANCH (or make one: git switch -c NAME)
    set web1 system.hostname "y"
      2: error: HEAD is on no branch, so a changeset would be lost; go to one with: git switch BRANCH (or make one: git switch -c NAME)
    pull
      2: error: HEAD is on no branch, so a changeset would be lost; go to one with: git switch BRANCH (or make one: git switch -c NAME)
    push
      2: error: HEAD is on no branch, so a changeset would be lost; go to one with: git switch BRANCH (or make one: git switch -c NAME)
    "#);
    assert_eq!(state(&env), before);
    let empty = env.path("empty");
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(empty.join("regrow.toml"), "schema = 1\n").unwrap();
    assert!(Command::new("git").args(["init", "--quiet", "-b", "main"]).arg(&empty).status().unwrap().success());
    insta::assert_snapshot!(told_in(&env, &empty, "
        log
        status
        show HEAD
        draft new X
        revert HEAD
        pick HEAD
        push
    "), @r#"
    log
      0: no changesets yet
    status
      0: no servers
    show HEAD
      2: error: there is no changeset yet; make the first one with: git add -A && git commit
    draft new X
      2: error: there is no changeset yet; make the first one with: git add -A && git commit
    revert HEAD
      2: error: there is no changeset yet; make the first one with: git add -A && git commit
    pick HEAD
      2: error: there is no changeset yet; make the first one with: git add -A && git commit
    push
      2: error: this clone has no remote origin; name one with: git remote add origin ADDRESS
    "#);
}

#[test]
fn foreign_commits_are_shown_and_taken_back() {
    let env = TestEnvironment::with_fleet();
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"bad\xffname");
    std::fs::write(env.path("fleet").join(name), "x").unwrap();
    env.commit("A bad name");
    env.git(&["commit", "--quiet", "--allow-empty", "--allow-empty-message", "-m", ""]);
    std::fs::write(env.path("huge"), "m".repeat(2 << 20)).unwrap();
    env.git(&["commit", "--quiet", "--allow-empty", "-F", env.path("huge").to_str().unwrap()]);
    let log = env.run(["log"]);
    assert!(log.contains("(no message)") && log.contains("A bad name") && log.len() < 4000, "{}", log.len());
    insta::assert_snapshot!(told(&env, "
        show HEAD~1
        show HEAD~2
        check
        revert HEAD~1
        pick HEAD~1
        revert HEAD~3
        revert nothing
        revert -- --all
        pick HEAD~2
    "), @r#"
    show HEAD~1
      0: [COMMIT]
    show HEAD~2
      0: [COMMIT]
    check
      0: web1: no mistakes
    revert HEAD~1
      2: error: [REV] would change nothing: nothing of it is left to take back
    pick HEAD~1
      2: error: [REV] would change nothing: the text says so already
    revert HEAD~3
      2: error: [REV] is the first changeset: there is nothing before it to go back to
    revert nothing
      2: error: there is no revision nothing; `regrow log` lists them, and branches, tags and HEAD~1 are good too
    revert -- --all
      2: error: there is no revision --all; `regrow log` lists them, and branches, tags and HEAD~1 are good too
    pick HEAD~2
      2: error: bad�name is no place for a file of the fleet
    "#);
}

#[test]
fn a_merge_made_by_git_is_shown_and_taken_back_against_its_first_parent() {
    let env = TestEnvironment::with_fleet();
    env.git(&["checkout", "--quiet", "-b", "side"]);
    write(&env, "side.txt", "side\n");
    env.commit("Side");
    env.git(&["checkout", "--quiet", "main"]);
    write(&env, "main.txt", "main\n");
    env.commit("Main");
    env.git(&["merge", "--quiet", "--no-edit", "side"]);
    insta::assert_snapshot!(told(&env, "
        show HEAD
        revert HEAD --land
        revert HEAD --land --parent 7
    "), @r#"
    show HEAD
      0: [COMMIT]
    revert HEAD --land
      0: changeset [REV] takes back [REV] Merge branch 'side'
    revert HEAD --land --parent 7
      2: error: [REV] has no parent 7; it has one
    "#);
    assert!(!env.fleet("side.txt").exists() && env.fleet("main.txt").exists());
}

#[test]
fn shallow_partial_and_damaged_clones_name_what_is_missing() {
    let env = TestEnvironment::with_fleet();
    for n in ["one", "two", "three"] {
        write(&env, "notes.txt", n);
        env.commit(n);
    }
    env.git(&["config", "uploadpack.allowFilter", "true"]);
    let origin = format!("file://{}", env.fleet("").display());
    let clone = |how: &str, name: &str| -> PathBuf {
        let to = env.path(name);
        let args = ["clone", "--quiet", how, &*origin, to.to_str().unwrap()];
        let output = Command::new("git").args(args).env("HOME", env.path("")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        to
    };
    let (shallow, partial) = (clone("--depth=1", "shallow"), clone("--filter=blob:none", "partial"));
    insta::assert_snapshot!(told_in(&env, &shallow, "
        log
        show HEAD
        diff HEAD~1
        revert HEAD
    "), @r#"
    log
      0: [REV]  [TIME]  Ann  three
    show HEAD
      0: [COMMIT]
    diff HEAD~1
      2: error: there is no revision HEAD~1; `regrow log` lists them, and branches, tags and HEAD~1 are good too
    revert HEAD
      3: error: this clone has not got [COMMIT], which belongs to its history; if it is a shallow or partial clone, get the rest with: git fetch --unshallow
    "#);
    // What a partial clone fetches when it is asked for, it cannot fetch now.
    std::fs::rename(env.fleet(""), env.path("gone")).unwrap();
    insta::assert_snapshot!(told_in(&env, &partial, "
        log -n 1
        show HEAD
        revert HEAD~1
        pull
    "), @r#"
    log -n 1
      0: [REV]  [TIME]  Ann  three
    show HEAD
      3: error: this clone has not got [COMMIT], which belongs to its history; if it is a shallow or partial clone, get the rest with: git fetch --unshallow
    revert HEAD~1
      3: error: this clone has not got [COMMIT], which belongs to its history; if it is a shallow or partial clone, get the rest with: git fetch --unshallow
    pull
      3: error: origin did not answer: '[DIR]/fleet/' does not appear to be a git repository; Could not read from remote repository.
    "#);
    std::fs::rename(env.path("gone"), env.fleet("")).unwrap();
    let blob = env.git(&["rev-parse", "HEAD~1:notes.txt"]);
    let (dir, file) = blob.trim().split_at(2);
    std::fs::remove_file(env.fleet(&format!(".git/objects/{dir}/{file}"))).unwrap();
    insta::assert_snapshot!(told(&env, "
        log -n 1
        show HEAD
        revert HEAD
    "), @r#"
    log -n 1
      0: [REV]  [TIME]  Ann  three
    show HEAD
      3: error: this clone has not got [COMMIT], which belongs to its history; if it is a shallow or partial clone, get the rest with: git fetch --unshallow
    revert HEAD
      3: error: this clone has not got [COMMIT], which belongs to its history; if it is a shallow or partial clone, get the rest with: git fetch --unshallow
    "#);
    std::fs::write(env.fleet(".git/refs/heads/main"), "0123456789012345678901234567890123456789\n").unwrap();
    insta::assert_snapshot!(told(&env, "
        log
        check
        draft new X
    "), @r#"
    log
      3: error: this clone has not got [COMMIT], which belongs to its history; if it is a shallow or partial clone, get the rest with: git fetch --unshallow
    check
      3: error: this clone has not got [COMMIT], which belongs to its history; if it is a shallow or partial clone, get the rest with: git fetch --unshallow
    draft new X
      3: error: this clone has not got [COMMIT], which belongs to its history; if it is a shallow or partial clone, get the rest with: git fetch --unshallow
    "#);
}

#[test]
fn a_broken_lock_and_a_deleted_server() {
    let env = TestEnvironment::with_fleet();
    write(&env, "servers/web1/lock.toml", "<<<<<<< ours\n");
    env.commit("A lock with marks");
    insta::assert_snapshot!(told(&env, "
        check
        build web1
        log -n 1
        show HEAD
        status
        revert HEAD --land
    "), @r#"
    check
      1: error[bad-lock]: the lock has git's conflict markers in it
    build web1
      2: error[bad-lock]: the lock has git's conflict markers in it
    log -n 1
      0: [REV]  [TIME]  Ann  A lock with marks
    show HEAD
      0: [COMMIT]
    status
      0: web1 (offline)
    revert HEAD --land
      0: changeset [REV] takes back [REV] A lock with marks
    "#);
    env.git(&["rm", "-r", "--quiet", "servers/web1"]);
    env.commit("Remove web1");
    insta::assert_snapshot!(told(&env, "
        log web1 -n 1
        build web1
        set web1 system.hostname \"y\"
        status
        revert HEAD --land
        check
    "), @r#"
    log web1 -n 1
      0: [REV]  [TIME]  Ann  Remove web1
    build web1
      2: error: there is no server web1
    set web1 system.hostname "y"
      2: error: there is no server web1
    status
      0: no servers
    revert HEAD --land
      0: changeset [REV] takes back [REV] Remove web1
    check
      0: web1: no mistakes
    "#);
}

#[test]
fn a_history_of_twenty_thousand_changesets_is_shown_from_both_ends() {
    let env = TestEnvironment::with_fleet();
    let mut stream = String::new();
    for n in 0..20_000 {
        let from = if n == 0 { "from refs/heads/main^0\n" } else { "" };
        let subject = format!("Change {n}");
        stream.push_str(&format!(
            "commit refs/heads/main\ncommitter Ann <ann@example.org> {} +0000\ndata {}\n{subject}\n{from}M 100644 inline n{}.txt\ndata {}\n{n}\n",
            1_700_000_000 + n,
            subject.len(),
            n % 100,
            n.to_string().len(),
        ));
    }
    let mut import = Command::new("git")
        .args(["fast-import", "--quiet"])
        .current_dir(env.fleet(""))
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut import.stdin.take().unwrap(), stream.as_bytes()).unwrap();
    assert!(import.wait().unwrap().success());
    env.git(&["reset", "--quiet", "--hard"]);
    insta::assert_snapshot!(told(&env, "
        log -n 3
        log web1
        show HEAD~19999
        revert HEAD~50 --land
        status
    "), @r#"
    log -n 3
      0: [REV]  [TIME]  Ann  Change 19999
    log web1
      0: [REV]  [TIME]  Ann  Begin
    show HEAD~19999
      0: [COMMIT]
    revert HEAD~50 --land
      0: changeset [REV] takes back [REV] Change 19949
    status
      0: web1 (offline)
    "#);
}

/// A small file system of its own, gone with the value.
struct Disk(PathBuf);

impl Disk {
    fn new(at: PathBuf, options: &str) -> Disk {
        std::fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at).status().unwrap();
        assert!(mounted.success(), "mounting needs root, as script/test says");
        Disk(at)
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_read_only_or_full_disk_leaves_text_and_history_as_they_were() {
    let env = TestEnvironment::new();
    let disk = Disk::new(env.path("fleet"), "size=4m");
    assert!(env.run(["init", ".", "--mirror", common::MIRROR]).starts_with("exit status: 0"));
    env.run(["draft", "new", "X"]);
    env.run(["draft", "set", "d1", "web1", "system.hostname", "\"x\""]);
    let before = state(&env);
    let commands = "
        log -n 1
        check
        status
        draft new Y
        draft set d1 web1 system.hostname \"y\"
        draft discard d1
        draft land d1
        set web1 system.hostname \"y\"
        undo
    ";
    disk.remount("ro");
    let read_only = told(&env, commands);
    assert!(env.run(["draft", "new", "Y"]).contains("mounted read-only, so nothing was changed"));
    disk.remount("rw");
    assert_eq!(state(&env), before);
    insta::assert_snapshot!(read_only, @r#"
    log -n 1
      0: [REV]  [TIME]  Ann  Begin with the example server web1
    check
      0: web1: no mistakes
    status
      0: web1 (offline)
    draft new Y
      3: error: cannot write into [DIR]/fleet/.git
    draft set d1 web1 system.hostname "y"
      3: error: cannot write into [DIR]/fleet/.git
    draft discard d1
      3: error: cannot write into [DIR]/fleet/.git
    draft land d1
      3: error: cannot lock [DIR]/fleet/.git/regrow-landing.lock
    set web1 system.hostname "y"
      3: error: cannot lock [DIR]/fleet/.git/regrow-landing.lock
    undo
      3: error: cannot write into [DIR]/fleet/.git
    "#);
    let fill = |n: usize, size: usize| std::fs::write(env.fleet(&format!(".git/fill{n}")), vec![1; size]).is_ok();
    // Whole pages until nothing fits, not even an empty file's name.
    (0..5000).take_while(|n| fill(*n, 4096)).for_each(drop);
    let full = told(&env, commands);
    assert_eq!(state(&env), before);
    // Which write does not fit any more is by chance; that it is the surroundings is not.
    let statuses: String = full.lines().filter_map(|l| l.strip_prefix("  ")?.chars().next()).collect();
    assert_eq!(statuses, "000333333", "{full}");
    assert!(full.contains("cannot write into"), "{full}");
    (0..5000).for_each(|n| drop(std::fs::remove_file(env.fleet(&format!(".git/fill{n}")))));
    let landed = env.run(["draft", "land", "d1"]);
    assert!(landed.starts_with("exit status: 0"), "{landed}");
    assert_eq!(env.git(&["status", "--porcelain"]), "");
}

#[test]
fn the_hook_is_optional_visible_and_never_in_the_way_of_the_persons() {
    let env = TestEnvironment::with_fleet();
    insta::assert_snapshot!(env.run(["hooks", "--install"]), @r#"
    exit status: 0
    ----- stdout
    the text is checked before each commit: [DIR]/fleet/.git/hooks/pre-commit
    pre-commit  Regrow: checks the text
    git merges the text by key (merge.regrow.driver)
    ----- stderr
    "#);
    env.edit(SERVER, "status = 200", "status = \"banana\"");
    git_stops(&env, &["commit", "--all", "-m", "A mistake"]);
    env.git(&["commit", "--quiet", "--all", "--no-verify", "-m", "A mistake all the same"]);
    assert!(env.run(["hooks", "--remove"]).contains("not checked before a commit any more"));
    write(&env, ".git/hooks/pre-commit", "#!/bin/sh\necho mine\n");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(env.fleet(".git/hooks/pre-commit"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = env.run(["hooks", "--install"]);
    assert!(refused.starts_with("exit status: 2") && refused.contains("of yours, which was not touched"), "{refused}");
    assert!(env.run(["hooks"]).contains("pre-commit  yours"));
    assert!(env.run(["hooks", "--remove"]).contains("no hook of ours"));
    assert_eq!(env.read(".git/hooks/pre-commit"), "#!/bin/sh\necho mine\n");
}

#[test]
fn a_draft_that_was_worked_on_with_git_lands_as_a_whole() {
    let env = TestEnvironment::with_fleet();
    env.run(["draft", "new", "X"]);
    env.run(["draft", "set", "d1", "web1", "system.hostname", "\"x\""]);
    env.git(&["checkout", "--quiet", "--detach", "refs/regrow/drafts/d1"]);
    write(&env, "more.txt", "more\n");
    env.commit("And more");
    env.git(&["update-ref", "refs/regrow/drafts/d1", "HEAD"]);
    env.git(&["checkout", "--quiet", "main"]);
    let landed = env.run(["draft", "land", "d1", "-m", "Both"]);
    assert!(landed.starts_with("exit status: 0"), "{landed}");
    assert!(env.read(SERVER).contains("hostname") && env.fleet("more.txt").exists());
    assert_eq!(env.git(&["log", "--format=%s", "-n", "2"]), "Both\nBegin\n");
}
