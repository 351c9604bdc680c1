//! A fleet with a history and proofs, so that pages have something to show.

use std::path::Path;
use std::process::Command;

use regrow_config::model::{Archive, Archives};
use regrow_ops::evidence::{self, Kind, New, Verdict};
use regrow_ops::{Context, changes};
use serde_json::json;

/// Writes the example fleet and some changesets, the later ones to `web1`.
pub(crate) fn write(fleet: &Path) {
    for source in regrow_config::example::files(&archives()) {
        put(fleet, &source.path, &source.text);
    }
    git(fleet, &["init", "--quiet", "--initial-branch=main"]);
    commit(fleet, "A web server with a database");
    edit(fleet, "servers/web1/server.toml", "comment = \"Alice Example\"", "comment = \"Alice Exampleson\"");
    commit(fleet, "Alice has married");
    edit(fleet, "servers/web1/server.toml", "change the text, not the server", "mend the text, not the server");
    commit(fleet, "Word the greeting of the day anew\n\nThe old one was taken for an order.");
}

/// Writes a fleet that has no server yet.
pub(crate) fn write_empty(fleet: &Path) {
    let sources = regrow_config::example::files(&archives());
    for source in sources.iter().filter(|s| s.path == "regrow.toml") {
        put(fleet, &source.path, &source.text);
    }
    git(fleet, &["init", "--quiet", "--initial-branch=main"]);
    commit(fleet, "A fleet");
}

/// The revision of the newest changeset.
pub(crate) fn head(fleet: &Path) -> String {
    let output = Command::new("git").arg("-C").arg(fleet).args(["rev-parse", "HEAD"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn archives() -> Archives {
    let archive = Archive {
        mirror: "http://mirror.test/debian".to_owned(),
        suites: vec!["trixie".to_owned()],
        components: vec!["main".to_owned()],
        keyring: "/usr/share/keyrings/debian-archive-keyring.gpg".to_owned(),
    };
    Archives::from([("debian".to_owned(), archive)])
}

/// Writes one file.
pub(crate) fn put(fleet: &Path, path: &str, text: &str) {
    let path = fleet.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Replaces a piece of a file that must be there.
pub(crate) fn edit(fleet: &Path, path: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(fleet.join(path)).unwrap();
    assert!(text.contains(from), "{path} has no {from}");
    std::fs::write(fleet.join(path), text.replace(from, to)).unwrap();
}

/// Commits all there is.
pub(crate) fn commit(fleet: &Path, message: &str) {
    git(fleet, &["add", "--all"]);
    git(fleet, &["commit", "--quiet", "-m", message]);
}

fn git(fleet: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(fleet).args(["-c", "user.name=Robin Doe", "-c", "user.email=robin@example.org"]).args(args);
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The digest of an image that looks like one.
pub(crate) fn image(digit: char) -> String {
    format!("v1-sha256-12:{}", digit.to_string().repeat(64))
}

/// Proofs of the newest two changesets: the older one healthy, the newest one failed.
pub(crate) fn prove(ctx: &Context) {
    let log = changes::log(ctx, Some("web1"), None, 2).unwrap().changes;
    let record = |kind, revision: usize, digit, verdict, report: &serde_json::Value| {
        let (revision, image) = (&log[revision].revision, image(digit));
        evidence::record(ctx, &New { kind, server: "web1", revision, image: Some(&image), verdict }, report).unwrap();
    };
    let checks = |front: bool| {
        json!({"seconds": 4.1, "ready_seconds": 3.12, "checks": [
            {"name": "database", "kind": "command", "passed": true, "detail": "exit 0, stdout 42", "seconds": 0.21},
            {"name": "front", "kind": "http", "passed": front, "seconds": 0.05,
             "detail": if front { "status 200, body has \"grown from text\"" } else { "status 200, but \"grown from text\" is not in the body" }},
            {"name": "nginx", "kind": "unit", "passed": true, "detail": "active (running)", "seconds": 0.02},
            {"name": "running", "kind": "system", "passed": front, "detail": if front { "running" } else { "degraded" }, "seconds": 3.1}],
          "failed_units": if front { json!([]) } else { json!([{"unit": "certbot.service", "journal": "certbot[212]: no network here\ncertbot.service: Failed with result 'exit-code'."}]) }})
    };
    record(Kind::Build, 1, 'a', Verdict::Built, &json!({"seconds": 42.7}));
    record(Kind::Trial, 1, 'a', Verdict::Healthy, &checks(true));
    record(Kind::Switch, 1, 'a', Verdict::Switched, &checks(true));
    record(Kind::Build, 0, 'b', Verdict::Built, &json!({"seconds": 0.31}));
    record(Kind::Trial, 0, 'b', Verdict::Failed, &checks(false));
}
