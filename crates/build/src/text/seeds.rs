//! Units that make, at a server's first start, what must not be in an image.
//!
//! A seed of the catalog becomes `regrow-seed-<entry>-<seed>.service`, a oneshot that runs while what it makes is not there.
//! Each unit in its `before` that is in the image gets a drop-in that requires it, so that it starts only with those who
//! need it, and they only after it; without any, it starts with the system.

use std::collections::BTreeSet;

use regrow_config::catalog::{CatalogEntry, IDENTITY_DIR, Identity, Seed};

use super::Target;
use super::units::{self, ADMIN_DIR, quote};
use crate::error::BuildError;

pub(super) fn apply(target: &mut Target<'_>, entries: &[CatalogEntry]) -> Result<(), BuildError> {
    for entry in entries {
        for (name, seed) in &entry.seed {
            let unit = format!("regrow-seed-{}-{name}", entry.name);
            match &seed.each {
                None => put(target, entry, name, seed, &unit)?,
                Some(pattern) => {
                    for path in target.tree.glob(pattern) {
                        let path = String::from_utf8_lossy(&path).into_owned();
                        let Some(parts) = captures(pattern, &path) else { continue };
                        let unit = format!("{unit}-{}", parts.join("-"));
                        put(target, entry, name, &filled(seed, &parts), &unit)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// What the components of `path` that stand where `pattern` has stars are.
fn captures(pattern: &str, path: &str) -> Option<Vec<String>> {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    if pattern.len() != path.len() {
        return None;
    }
    let mut parts = Vec::new();
    for (wanted, found) in pattern.iter().zip(&path) {
        if let Some((before, after)) = wanted.split_once('*') {
            parts.push(found.strip_prefix(before)?.strip_suffix(after)?.to_owned());
        }
    }
    Some(parts)
}

/// The seed with `{1}`, `{2}`, … replaced.
fn filled(seed: &Seed, parts: &[String]) -> Seed {
    let fill = |text: &String| {
        parts.iter().enumerate().fold(text.clone(), |text, (i, part)| text.replace(&format!("{{{}}}", i + 1), part))
    };
    let mut filled = seed.clone();
    filled.description = fill(&seed.description);
    filled.creates = fill(&seed.creates);
    filled.command = seed.command.iter().map(fill).collect();
    filled.then = seed.then.iter().map(|c| c.iter().map(fill).collect()).collect();
    filled.before = seed.before.iter().map(fill).collect();
    filled.after = seed.after.iter().map(fill).collect();
    filled
}

fn put(target: &mut Target<'_>, entry: &CatalogEntry, name: &str, seed: &Seed, unit: &str) -> Result<(), BuildError> {
    let key = format!("the catalog entry {}", entry.name);
    let program = |argv: &[String]| argv.iter().map(|w| quote(w)).collect::<Vec<_>>().join(" ");
    let files: Vec<(&String, &Identity)> = entry.identity.iter().filter(|(_, i)| i.seed == name).collect();
    let mut text = format!("[Unit]\nDescription={}\n", seed.description.replace('%', "%%"));
    text.push_str(&format!("ConditionPathExists=!{}\n", seed.creates));
    text.push_str(&format!("RequiresMountsFor={IDENTITY_DIR}\n"));
    for after in &seed.after {
        text.push_str(&format!("After={after}\n"));
    }
    // A template cannot be ordered after; its drop-in does that.
    for before in seed.before.iter().filter(|b| !b.contains("@.")) {
        text.push_str(&format!("Before={before}\n"));
    }
    text.push_str("\n[Service]\nType=oneshot\nRemainAfterExit=yes\n");
    if seed.user != "root" {
        text.push_str(&format!("User={}\n", seed.user));
    }
    for (variable, value) in &seed.environment {
        text.push_str(&format!("Environment={}\n", quote(&format!("{variable}={value}"))));
    }
    text.push_str(&format!("TimeoutStartSec={}\n", seed.timeout));
    // In the identity volume, the directories of the links' targets are made first, whoever the seed runs as.
    let parents: BTreeSet<String> = files
        .iter()
        .filter_map(|(path, _)| Identity::volume_path(path).rsplit_once('/').map(|(parent, _)| parent.to_owned()))
        .collect();
    if !parents.is_empty() {
        let argv: Vec<String> = ["/usr/bin/mkdir".to_owned(), "-p".to_owned()].into_iter().chain(parents).collect();
        text.push_str(&format!("ExecStartPre=+{}\n", program(&argv)));
    }
    for argv in std::iter::once(&seed.command).chain(&seed.then) {
        text.push_str(&format!("ExecStart={}\n", program(argv)));
    }
    for (path, identity) in files {
        if identity.owner != "root" || identity.group != "root" {
            let place = Identity::volume_path(path);
            let owner = format!("{}:{}", identity.owner, identity.group);
            text.push_str(&format!(
                "ExecStartPost=+{}\n",
                program(&["/usr/bin/chown".to_owned(), owner, place.clone()])
            ));
            let mode = format!("{:04o}", identity.mode);
            text.push_str(&format!("ExecStartPost=+{}\n", program(&["/usr/bin/chmod".to_owned(), mode, place])));
        }
    }
    let path = format!("{ADMIN_DIR}/{unit}.service");
    target.put_text(&key, &path, &text)?;
    let mut is_wanted = false;
    for before in &seed.before {
        if let Some(needing) = units::find(target, before)? {
            let drop_in = format!("{ADMIN_DIR}/{}.d/{unit}.conf", needing.name);
            target.put_text(&key, &drop_in, &format!("[Unit]\nRequires={unit}.service\nAfter={unit}.service\n"))?;
            is_wanted = true;
        }
    }
    if !is_wanted {
        target.put_link(&key, &format!("{ADMIN_DIR}/multi-user.target.wants/{unit}.service"), &path)?;
    }
    Ok(())
}
