//! What `tidy` checks. Each rule is one function from the tree to its violations.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The lines of the house, lowest first. A crate uses only crates on lower lines.
const LINES: &[&[&str]] = &[
    &["host"],
    &["config"],
    &["image", "sandbox"],
    &["history", "archive", "build", "machine", "state"],
    &["ops"],
    &["web"],
    &["regrow"],
];

/// Used by tests alone; it may use `host` and nothing above.
const FOR_TESTS: &str = "testkit";

/// The longest file that is still read in one sitting.
const MOST_LINES: usize = 800;

/// Licences that a dependency may have, alone or as one side of an OR.
const PERMISSIVE: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "BSL-1.0",
    "0BSD",
    "CC0-1.0",
    "Unlicense",
    "CDLA-Permissive-2.0",
    "bzip2-1.0.6",
    "OpenSSL",
    "NCSA",
];

/// Runs every rule on the workspace this program was built from.
pub(crate) fn check() -> Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    let metadata = metadata(root)?;
    let files = tracked_files(root)?;
    let mut violations = Vec::new();
    violations.extend(dependency_direction(&metadata)?);
    violations.extend(licences(&metadata)?);
    violations.extend(dependencies_are_explained(root, &metadata)?);
    for file in &files {
        let Ok(text) = std::fs::read_to_string(root.join(file)) else { continue };
        violations.extend(rust_file(file, &text));
        violations.extend(names_no_host(file, &text));
    }
    Ok(violations)
}

fn metadata(root: &Path) -> Result<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata wrote no JSON")
}

/// What git tracks or would track; elsewhere than in a checkout there is nothing to hold to the rules.
fn tracked_files(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    Ok(names.split('\0').filter(|n| !n.is_empty()).map(PathBuf::from).collect())
}

fn packages(metadata: &Value) -> Result<&Vec<Value>> {
    metadata["packages"].as_array().context("cargo metadata lists no packages")
}

fn is_ours(package: &Value) -> bool {
    package["source"].is_null()
}

fn folder(name: &str) -> &str {
    name.strip_prefix("regrow-").unwrap_or(name)
}

fn line_of(folder: &str) -> Option<usize> {
    LINES.iter().position(|line| line.contains(&folder))
}

fn dependency_direction(metadata: &Value) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for package in packages(metadata)?.iter().filter(|p| is_ours(p)) {
        let name = folder(package["name"].as_str().unwrap_or_default());
        if name == "xtask" {
            continue;
        }
        let line = line_of(name);
        if line.is_none() && name != FOR_TESTS {
            violations.push(format!(
                "crates/{name}: stands on no line of the house (xtask/src/rules.rs, docs/ARCHITECTURE.md)"
            ));
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let used = dependency["name"].as_str().unwrap_or_default();
            if !dependency["path"].is_string() {
                continue;
            }
            let used = folder(used);
            if used == FOR_TESTS {
                if dependency["kind"] != "dev" {
                    violations.push(format!("crates/{name}: uses {FOR_TESTS} outside its tests"));
                }
                continue;
            }
            if dependency["kind"] == "dev" {
                continue;
            }
            let below = match (line, line_of(used)) {
                (Some(line), Some(used)) => used < line,
                (None, Some(used)) => used == 0,
                _ => false,
            };
            if !below {
                violations.push(format!("crates/{name}: uses {used}, which is not on a lower line of the house"));
            }
        }
    }
    Ok(violations)
}

fn licences(metadata: &Value) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for package in packages(metadata)?.iter().filter(|p| !is_ours(p)) {
        let licence = package["license"].as_str().unwrap_or("");
        if !is_permissive(licence) {
            let name = package["name"].as_str().unwrap_or_default();
            violations.push(format!("dependency {name}: licence {licence:?} is not known to be permissive"));
        }
    }
    Ok(violations)
}

/// An SPDX expression, the old `MIT/Apache-2.0` spelling included: every AND part needs one permissive OR side.
fn is_permissive(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], "").replace('/', " OR ");
    flat.split(" AND ").all(|part| part.split(" OR ").any(|l| PERMISSIVE.contains(&l.trim())))
}

fn dependencies_are_explained(root: &Path, metadata: &Value) -> Result<Vec<String>> {
    let text =
        std::fs::read_to_string(root.join("docs/dependencies.md")).context("cannot read docs/dependencies.md")?;
    let mut used = BTreeSet::new();
    for package in packages(metadata)?.iter().filter(|p| is_ours(p)) {
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if !dependency["path"].is_string() {
                used.insert(dependency["name"].as_str().unwrap_or_default().to_owned());
            }
        }
    }
    Ok(used
        .iter()
        .filter(|name| !text.contains(&format!("`{name}`")))
        .map(|name| format!("docs/dependencies.md: says nothing about `{name}`"))
        .collect())
}

fn rust_file(file: &Path, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    if file.extension().is_none_or(|e| e != "rs") {
        return violations;
    }
    let name = file.display();
    if !text.starts_with("//!") {
        violations.push(format!("{name}: opens with no `//!` line"));
    }
    let lines = text.lines().count();
    if lines > MOST_LINES {
        violations.push(format!("{name}: {lines} lines; more than {MOST_LINES} cannot be read in one sitting"));
    }
    for (number, line) in text.lines().enumerate() {
        // Spelled in two halves, so that this file keeps its own rules.
        for banned in [concat!("#[ign", "ore"), concat!("to", "do!("), concat!("unimple", "mented!(")] {
            if line.contains(banned) {
                violations.push(format!("{name}:{}: `{banned}` is unfinished or silenced", number + 1));
            }
        }
        let allows_unsafe = line.contains(concat!("allow(unsafe", "_code)"));
        if allows_unsafe && !file.starts_with("crates/sandbox") {
            violations.push(format!("{name}:{}: unsafe code outside crates/sandbox", number + 1));
        }
    }
    violations
}

/// Addresses that documents and tests may name: reserved ones, and pages about standards and licences.
const KNOWN_HOSTS: &[&str] = &[
    "localhost",
    "127.0.0.1",
    "[::1]",
    "0.0.0.0",
    "example",
    "example.org",
    "example.com",
    "example.net",
    "json-schema.org",
    "www.w3.org",
    "www.apache.org",
    "spdx.org",
];

fn names_no_host(file: &Path, text: &str) -> Vec<String> {
    let vendored = file.components().any(|c| c.as_os_str() == "vendor");
    if vendored || file.ends_with("Cargo.lock") || file.ends_with("LICENSE-APACHE") {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for scheme in ["http://", "https://"] {
            for (at, _) in line.match_indices(scheme) {
                let rest = &line[at + scheme.len()..];
                let end = rest.find(|c: char| !(c.is_alphanumeric() || "-.[]:".contains(c))).unwrap_or(rest.len());
                let host = rest[..end].trim_end_matches(['.', ':']);
                let host = host
                    .rsplit_once(':')
                    .filter(|(_, p)| p.chars().all(|c| c.is_ascii_digit()))
                    .map_or(host, |(h, _)| h);
                let reserved = [".example", ".test", ".invalid", ".localhost", ".example.org", ".example.com"];
                // A host without a dot names no machine of the internet: placeholders of documents and tests.
                let harmless =
                    !host.contains('.') || KNOWN_HOSTS.contains(&host) || reserved.iter().any(|r| host.ends_with(r));
                // 192.0.2.0/24 is for documentation (RFC 5737).
                if !harmless && !host.starts_with("127.") && !host.starts_with("192.0.2.") {
                    violations.push(format!("{}:{}: names the host {host}", file.display(), number + 1));
                }
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_in_order() {
        let violations = check().unwrap();
        assert!(violations.is_empty(), "{}", violations.join("\n"));
    }

    #[test]
    fn an_upward_dependency_is_found() {
        let package = |name: &str, uses: &str| {
            serde_json::json!({"packages": [{"name": name, "source": null,
                "dependencies": [{"name": uses, "path": "/x", "kind": null}]}]})
        };
        assert_eq!(dependency_direction(&package("regrow-image", "regrow-build")).unwrap().len(), 1);
        assert_eq!(dependency_direction(&package("regrow-image", "regrow-sandbox")).unwrap().len(), 1, "same line");
        assert_eq!(dependency_direction(&package("regrow-build", "regrow-image")).unwrap().len(), 0);
        assert_eq!(dependency_direction(&package("regrow-build", "regrow-testkit")).unwrap().len(), 1);
    }

    #[test]
    fn licence_expressions_are_understood() {
        for good in
            ["MIT", "MIT OR Apache-2.0", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND Unicode-3.0", "LGPL-3.0 OR MIT"]
        {
            assert!(is_permissive(good), "{good}");
        }
        for bad in ["", "GPL-3.0-only", "MIT AND GPL-2.0"] {
            assert!(!is_permissive(bad), "{bad}");
        }
    }

    #[test]
    fn hosts_are_found_and_placeholders_are_not() {
        let found = |text: &str| names_no_host(Path::new("a.md"), text).len();
        assert_eq!(found(concat!("see http", "://archive.some-distribution.org/x")), 1);
        assert_eq!(found("http://localhost/ http://127.0.0.1:8080/ https://mirror.example/debian https://…/x"), 0);
    }

    #[test]
    fn a_rust_file_must_introduce_itself() {
        assert_eq!(rust_file(Path::new("crates/x/src/a.rs"), "fn a() {}\n").len(), 1);
        assert_eq!(rust_file(Path::new("crates/x/src/a.rs"), "//! A.\nfn a() {}\n").len(), 0);
    }
}
