//! Two clones of a fleet and a bare repository between them: pull, push, and results that travel.

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::TestEnvironment;

/// A fleet, `origin` (bare), and another clone of it whose home is another one.
struct Clones {
    env: TestEnvironment,
}

impl Clones {
    fn new() -> Clones {
        let env = TestEnvironment::with_fleet();
        let clones = Clones { env };
        let origin = clones.origin();
        clones.git_in(&clones.env.path(""), &["init", "--quiet", "--bare", "--initial-branch=main", &origin]);
        clones.env.git(&["remote", "add", "origin", &origin]);
        let pushed = clones.env.run(["push"]);
        assert!(pushed.contains("1 changeset to origin/main"), "{pushed}");
        clones.git_in(&clones.env.path(""), &["clone", "--quiet", &origin, "other"]);
        clones
    }

    fn origin(&self) -> String {
        self.env.path("origin.git").display().to_string()
    }

    fn other(&self, path: &str) -> PathBuf {
        self.env.path("other").join(path)
    }

    fn git_in(&self, dir: &std::path::Path, args: &[&str]) -> String {
        let output = Command::new("git").args(args).current_dir(dir).env("HOME", self.env.path("")).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Regrow in the other clone, with its own home.
    fn there(&self, args: &[&str]) -> String {
        let output =
            self.env.command(self.other("")).env("REGROW_HOME", self.env.path("other-home")).args(args).output();
        let output = output.unwrap();
        let status = output.status.code().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        format!("{status}\n{out}{err}")
    }

    fn server(&self) -> PathBuf {
        self.other("servers/web1/server.toml")
    }

    fn edit_there(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.server()).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(self.server(), text.replacen(from, to, 1)).unwrap();
    }

    fn commit_there(&self, message: &str) {
        self.git_in(&self.other(""), &["commit", "--quiet", "--all", "-m", message]);
    }

    fn heads(&self) -> [String; 3] {
        let head = |dir: PathBuf| self.git_in(&dir, &["rev-parse", "main"]);
        [head(self.env.fleet("")), head(self.other("")), head(self.env.path("origin.git"))]
    }
}

const STATUS: &str = "status = 200               # the front page";

#[test]
fn what_diverged_is_merged_by_key_with_two_parents_and_hand_edits_stay() {
    let c = Clones::new();
    c.edit_there(STATUS, "status = 204               # the front page");
    c.commit_there("Answer without a body");
    assert!(c.there(&["push"]).starts_with("0\n"));
    // Here: the line below it, which git alone takes for a conflict, and an edit that is no changeset.
    c.env.edit("servers/web1/server.toml", "grown from text", "grown here");
    c.env.commit("Say where");
    c.env.edit("servers/web1/server.toml", "# What it serves.", "# What it serves to all.");
    let refused = c.env.run(["push"]);
    assert!(refused.starts_with("exit status: 1") && refused.contains("regrow pull origin"), "{refused}");
    insta::assert_snapshot!(c.env.run(["pull"]), @r"
    exit status: 0
    ----- stdout
    1 changeset from origin/main, merged with what is here
      [REV]  Answer without a body
    servers/web1/server.toml keeps its edits on disk
    ----- stderr
    ");
    assert_eq!(c.env.git(&["log", "-1", "--format=%s%n%P"]).split_whitespace().count(), 4, "two parents");
    let committed = c.env.git(&["show", "HEAD:servers/web1/server.toml"]);
    assert!(committed.contains("status = 204") && committed.contains("grown here"), "{committed}");
    assert!(!committed.contains("to all") && c.env.read("servers/web1/server.toml").contains("to all"));
    assert!(c.env.run(["push"]).starts_with("exit status: 0"));
    // There it only moves forward, with an edit on disk of its own.
    c.edit_there("[packages]", "[packages] # from Debian");
    let pulled = c.there(&["pull"]);
    assert!(pulled.starts_with("0\n") && pulled.contains("keeps its edits"), "{pulled}");
    let text = std::fs::read_to_string(c.server()).unwrap();
    assert!(text.contains("# from Debian") && text.contains("grown here"), "{text}");
    let heads = c.heads();
    assert!(heads.iter().all(|h| *h == heads[0]), "{heads:?}");
    assert_eq!(c.git_in(&c.other(""), &["diff", "--name-only"]), "servers/web1/server.toml");
    assert!(c.env.run(["pull"]).contains("has nothing that is not here"));
    // The merge is an act that can be taken back.
    let undone = c.env.run(["undo"]);
    assert!(undone.starts_with("exit status: 0"), "{undone}");
    assert!(c.env.git(&["show", "HEAD:servers/web1/server.toml"]).contains("status = 200"));
}

#[test]
fn the_same_key_is_decided_in_a_draft_that_lands_as_the_merge() {
    let c = Clones::new();
    c.edit_there(STATUS, "status = 204");
    c.commit_there("Two hundred and four");
    c.there(&["push"]);
    c.env.edit("servers/web1/server.toml", STATUS, "status = 301");
    c.env.commit("Three hundred and one");
    let before = c.heads();
    let pulled = c.env.run(["pull"]);
    assert!(pulled.starts_with("exit status: 1") && pulled.contains("to decide: checks.front.status"), "{pulled}");
    assert_eq!(c.heads(), before, "nothing was merged yet");
    assert_eq!(c.env.git(&["status", "--porcelain"]), "");
    // Pulling again does not make a second one.
    c.env.run(["pull"]);
    assert_eq!(c.env.json(["draft", "list", "--json"])["drafts"].as_array().unwrap().len(), 1);
    let id = c.env.json(["draft", "list", "--json"])["drafts"][0]["id"].as_str().unwrap().to_owned();
    let key = ["draft", "choose", &id, "servers/web1/server.toml", "checks.front.status", "--take", "yours"];
    assert!(c.env.run(key).starts_with("exit status: 0"));
    let landed = c.env.run(["draft", "land", &id, "-m", "Merge origin/main"]);
    assert!(landed.starts_with("exit status: 0"), "{landed}");
    assert_eq!(c.env.git(&["log", "-1", "--format=%P"]).split_whitespace().count(), 2);
    assert!(c.env.read("servers/web1/server.toml").contains("status = 204"));
    assert!(c.env.run(["push"]).starts_with("exit status: 0"));
    assert!(c.there(&["pull"]).starts_with("0\n"));
    let heads = c.heads();
    assert!(heads.iter().all(|h| *h == heads[0]), "{heads:?}");
}

#[test]
fn edits_on_disk_in_the_way_of_what_comes_stop_the_pull_before_anything_is_done() {
    let c = Clones::new();
    c.edit_there(STATUS, "status = 204");
    c.commit_there("Two hundred and four");
    c.there(&["push"]);
    c.env.edit("servers/web1/server.toml", STATUS, "status = 301");
    let before = (c.heads(), c.env.read("servers/web1/server.toml"));
    let pulled = c.env.run(["pull"]);
    assert!(pulled.starts_with("exit status: 1") && pulled.contains("they are edits on disk"), "{pulled}");
    assert_eq!((c.heads(), c.env.read("servers/web1/server.toml")), before);
}

#[test]
fn results_travel_and_a_differing_image_is_told_loudly() {
    let c = Clones::new();
    let head = c.env.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let line = |home: &str, image: &str| {
        serde_json::json!({"kind": "build", "server": "web1", "image": format!("v1-sha256-12:{}", image.repeat(64)),
            "verdict": "built", "at": "2026-01-02T03:04:05Z", "on": "forge", "home": home, "by": "bob",
            "with": env!("CARGO_PKG_VERSION")})
        .to_string()
    };
    c.git_in(&c.other(""), &["notes", "--ref=regrow", "add", "-m", &line("1111", "a"), &head]);
    let pushed = c.there(&["push"]);
    assert!(pushed.contains("results are at origin/main"), "{pushed}");
    let pulled = c.env.run(["pull"]);
    assert!(pulled.contains("results of other places came along"), "{pulled}");
    let log = c.env.run(["log", "-n", "1"]);
    assert!(log.contains("              web1: built, elsewhere: forge (aaaaaaaaaaaa)\n"), "{log}");
    let status = c.env.run(["status"]);
    assert!(status.contains("built, elsewhere: forge"), "{status}");
    // Somebody else has another one.
    c.env.git(&["notes", "--ref=regrow", "append", "-m", &line("2222", "b"), &head]);
    let pushed = c.env.run(["push"]);
    assert!(pushed.contains("results are at origin/main"), "{pushed}");
    let pulled = c.there(&["pull"]);
    assert!(pulled.contains("THE IMAGES OF web1 AT"), "{pulled}");
    for verb in ["log", "show", "status", "check"] {
        let args: &[&str] = if verb == "show" { &["show", "HEAD"] } else { &[verb] };
        let said = c.there(args);
        assert!(said.contains("THE IMAGES OF web1 AT"), "{verb}: {said}");
    }
    assert!(c.there(&["check"]).starts_with("0\n"), "the text has no mistake");
    // Notes that diverge are a union.
    c.git_in(&c.other(""), &["notes", "--ref=regrow", "append", "-m", "typed there", &head]);
    c.env.git(&["notes", "--ref=regrow", "append", "-m", "typed here", &head]);
    assert!(c.there(&["push"]).starts_with("0\n"));
    assert!(c.env.run(["push"]).starts_with("exit status: 0"));
    let all = c.env.git(&["notes", "--ref=regrow", "show", &head]);
    assert!(all.contains("typed here") && all.contains("typed there") && all.contains("2222"), "{all}");
}

#[test]
fn remotes_that_are_not_there_are_told() {
    let env = TestEnvironment::with_fleet();
    insta::assert_snapshot!(env.run(["pull"]), @r"
    exit status: 2
    ----- stdout
    ----- stderr
    error: this clone has no remote origin; name one with: git remote add origin ADDRESS
    ");
    env.git(&["remote", "add", "origin", "/nowhere/at/all"]);
    insta::assert_snapshot!(env.run(["push"]), @r"
    exit status: 3
    ----- stdout
    ----- stderr
    error: origin did not answer: '/nowhere/at/all' does not appear to be a git repository; Could not read from remote repository.
    help: it must work without a question: try `git ls-remote origin`, with the key in an SSH agent or a credential helper
    ");
    let hostile = env.run(["pull", "--", "--upload-pack=x"]);
    assert!(hostile.starts_with("exit status: 2") && hostile.contains("no remote --upload-pack=x"), "{hostile}");
    let empty = env.path("empty.git");
    env.git(&["init", "--quiet", "--bare", empty.to_str().unwrap()]);
    env.git(&["remote", "set-url", "origin", empty.to_str().unwrap()]);
    insta::assert_snapshot!(env.run(["pull"]), @r"
    exit status: 0
    ----- stdout
    origin/main is not there yet; bring it there with: regrow push
    ----- stderr
    ");
}

#[test]
fn a_link_from_git_alone_is_left_to_git() {
    let c = Clones::new();
    std::os::unix::fs::symlink("notes.txt", c.other("link")).unwrap();
    c.git_in(&c.other(""), &["add", "link"]);
    c.commit_there("A link");
    c.there(&["push"]);
    // Forward it comes along.
    assert!(c.env.run(["pull"]).starts_with("exit status: 0"));
    assert!(c.env.fleet("link").is_symlink());
    assert_eq!(c.env.git(&["status", "--porcelain"]), "");
    // Diverged it is said, and nothing is done.
    std::fs::remove_file(c.other("link")).unwrap();
    std::os::unix::fs::symlink("other.txt", c.other("link")).unwrap();
    c.commit_there("Another link");
    c.there(&["push"]);
    c.env.edit("servers/web1/server.toml", "grown from text", "grown here");
    c.env.commit("Say where");
    let before = c.heads();
    let pulled = c.env.run(["pull"]);
    assert!(pulled.starts_with("exit status: 2") && pulled.contains("git pull --no-rebase origin"), "{pulled}");
    assert_eq!(c.heads(), before);
    assert_eq!(c.env.json(["draft", "list", "--json"])["drafts"].as_array().unwrap().len(), 0);
}
