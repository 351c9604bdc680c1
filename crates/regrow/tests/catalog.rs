//! Every service of the catalog on the real Debian archive: added as a person adds it, built in two homes, booted and
//! judged. Needs root.
//!
//! All of them take a quarter of an hour: `script/test --all` does that. An ordinary run takes one, and says so.

#![allow(clippy::print_stderr, reason = "a run says what it did and what it left out")]

#[path = "real/fleet.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod fleet;

use std::path::Path;
use std::time::Instant;

use fleet::Real;
use regrow_config::Catalog;
use regrow_config::catalog::CatalogEntry;

/// What an ordinary run takes: it has a file with an answer in it, a check of it, a port, and no state that takes long.
const ORDINARY: &str = "haproxy";

fn services() -> Vec<&'static CatalogEntry> {
    Catalog::builtin().entries().filter(|e| e.category.is_some()).collect()
}

/// What went wrong with one service, if something did.
fn grow(service: &CatalogEntry) -> Result<(), String> {
    let real = Real::new();
    std::fs::write(real.text("server.toml"), "schema = 1\nroles = [\"base\"]\n").unwrap();
    real.commit("an empty server");
    let since = Instant::now();
    let added = real.json(&["add", "web1", &service.name]);
    if added["revision"].is_null() {
        return Err(format!("nothing was added: {added}"));
    }
    let locked = real.json(&["lock", "web1"]);
    let lock_seconds = since.elapsed().as_secs_f64();
    if locked["packages"].as_u64() == Some(0) {
        return Err(format!("nothing was locked: {locked}"));
    }

    // One image in two homes: nothing random and nothing of this machine is in it.
    let since = Instant::now();
    let build =
        |home: &Path| real.json_in(home, &["build", "web1"], 0)["image"].as_str().unwrap_or_default().to_owned();
    let first = build(real.home());
    let other = build(&real.with_fresh_home("elsewhere/b"));
    let build_seconds = since.elapsed().as_secs_f64();
    if first != other {
        return Err(format!("two homes gave {first} and {other}"));
    }

    let since = Instant::now();
    let output = real.run(&["--json", "trial", "web1"]);
    let trial: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let seconds = since.elapsed().as_secs_f64();
    let checks = trial["checks"].as_array().cloned().unwrap_or_default();
    // Those of every trial aside, the entry's own.
    let own = checks.iter().filter(|c| c["kind"] != "system").count();
    if trial["verdict"] != "healthy" || own < service.checks.len() || trial["image"] != first.as_str() {
        return Err(fleet::said(&["trial", "web1"], &output));
    }
    eprintln!(
        "{:26} added and locked in {lock_seconds:.1} s, built twice in {build_seconds:.1} s, tried in {seconds:.1} s",
        service.name
    );
    Ok(())
}

#[test]
fn services_of_the_catalog_grow_alike_and_healthy() {
    let all = std::env::var_os("REGROW_TEST_ALL").is_some();
    let services = services();
    assert!(services.len() >= 12, "the catalog knows {} services", services.len());
    let only = std::env::var("REGROW_TEST_SERVICES").ok();
    let only: Option<Vec<&str>> = only.as_deref().map(|names| names.split(',').collect());
    let taken = |e: &&&CatalogEntry| match &only {
        Some(only) => only.contains(&e.name.as_str()),
        None => all || e.name == ORDINARY,
    };
    let chosen: Vec<_> = services.iter().filter(taken).collect();
    assert!(!chosen.is_empty(), "none of the services is in the catalog");
    let failed: Vec<String> =
        chosen.iter().filter_map(|e| grow(e).err().map(|words| format!("{}: {words}", e.name))).collect();
    if chosen.len() < services.len() {
        let left: Vec<&str> =
            services.iter().filter(|e| !chosen.iter().any(|c| c.name == e.name)).map(|e| e.name.as_str()).collect();
        eprintln!(
            "not run, because all together take a quarter of an hour (script/test --all runs them): {}",
            left.join(", ")
        );
    }
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), chosen.len(), failed.join("\n"));
}
