//! Hunts by other questions than a check of the text, in other histories than a line: `script/test --all` boots for them.

use serde_json::Value;

use crate::fleet::Real;
use crate::one_at_a_time;

const PAGE: &str = "servers/web1/root/var/www/html/index.html";
const SITE: &str = "servers/web1/root/etc/nginx/conf.d/extra.conf";
const ISSUE: &str = "servers/web1/root/etc/issue";

#[test]
fn a_unit_a_file_a_merge_and_what_cannot_be_built_are_hunted_two_at_once() {
    if std::env::var_os("REGROW_TEST_ALL").is_none() {
        return;
    }
    let _one = one_at_a_time();
    let real = Real::locked();
    real.ok(&["build", "web1"]);
    let commit = |path: &str, text: &str, message: &str| {
        real.write(path, text);
        real.commit(message);
        real.git(&["rev-parse", "HEAD"]).trim().to_owned()
    };
    let good = real.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let hunt = |args: &[&str], boots: u64| -> Value {
        let found = real.json(&[&["bisect", "web1", "--good", &good, "--no-proposal"], args].concat());
        assert!(found["boots"].as_u64().unwrap() <= boots, "{found:#}");
        found
    };

    commit(ISSUE, "one\n", "Harmless");
    // A branch, merged: what broke the page is inside of it.
    real.git(&["checkout", "-q", "-b", "side"]);
    commit(ISSUE, "two\n", "Harmless on the branch");
    let page = commit(PAGE, "<p>grown by hand\n", "Another page");
    commit(ISSUE, "three\n", "Harmless on the branch again");
    real.git(&["checkout", "-q", "main"]);
    commit("servers/web1/root/etc/greeting", "hello\n", "Harmless beside it");
    real.git(&["-c", "user.name=A", "-c", "user.email=a@example.org", "merge", "-q", "--no-ff", "--no-edit", "side"]);
    // Text that nothing can be built of, and its mending.
    let text = std::fs::read_to_string(real.text("server.toml")).unwrap();
    commit("servers/web1/server.toml", &format!("{text}\n[nonsense]\nx = 1\n"), "A slip");
    commit("servers/web1/server.toml", &text, "The slip mended");
    let unit = commit(SITE, "servr {}\n", "A second site");
    commit(ISSUE, "four\n", "Harmless at the end");

    let found = hunt(&["--failed-unit", "nginx", "--at-once", "2"], 8);
    assert_eq!(found["culprit"], unit, "{found:#}");

    // The page as a file asks for it; nginx must run for that.
    let probe = real.home().join("probe.toml");
    std::fs::write(&probe, "[checks.words]\nhttp = \"http://localhost/\"\nstatus = 200\nbody = \"grown from text\"\n")
        .unwrap();
    let before = format!("{unit}~1");
    let probe = ["--check-file", probe.to_str().unwrap(), "--bad", &before];
    let found = hunt(&probe, 6);
    assert_eq!(found["culprit"], page, "{found:#}");
    assert_eq!(found["outcome"], "found", "{found:#}");

    // The slip hides what broke it: one of two.
    let marked = commit("servers/web1/server.toml", &format!("{text}\n[nonsense]\nx = 1\n"), "A slip again");
    real.write("servers/web1/root/etc/marked", "yes\n");
    let mended = commit("servers/web1/server.toml", &text, "Mended, and marked");
    let found =
        real.json_with_exit(&["bisect", "web1", "--good", &unit, "--run", "! test -e /etc/marked", "--no-proposal"], 1);
    let suspects: Vec<&str> =
        found["one_of"].as_array().unwrap().iter().map(|s| s["revision"].as_str().unwrap()).collect();
    assert!(suspects.contains(&&*marked) && suspects.contains(&&*mended), "{found:#}");
}
