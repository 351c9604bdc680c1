//! systemd's unit files, as far as enabling them needs.

use std::collections::BTreeSet;

use super::Target;
use crate::error::BuildError;

/// Where the administrator's units are.
pub(super) const ADMIN_DIR: &str = "/etc/systemd/system";
/// Where units are looked for, the first one wins.
const DIRS: [&str; 4] = [ADMIN_DIR, "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// A unit that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    /// Its real name, if it was asked for by an alias; an instance's full name.
    pub(super) name: String,
    /// Its file, or that of its template.
    pub(super) path: String,
    pub(super) install: Install,
}

/// The `[Install]` section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Install {
    pub(super) wanted_by: Vec<String>,
    pub(super) required_by: Vec<String>,
    pub(super) upheld_by: Vec<String>,
    pub(super) alias: Vec<String>,
    pub(super) also: Vec<String>,
    pub(super) default_instance: Option<String>,
}

impl Install {
    pub(super) fn parse(text: &str) -> Install {
        let mut install = Install::default();
        let mut is_inside = false;
        for line in text.replace("\\\n", " ").lines().map(str::trim) {
            if line.starts_with('[') {
                is_inside = line == "[Install]";
            }
            let Some((key, value)) = line.split_once('=').filter(|_| is_inside && !line.starts_with(['#', ';'])) else {
                continue;
            };
            let words = value.split_whitespace().map(str::to_owned);
            match key.trim() {
                "WantedBy" => install.wanted_by.extend(words),
                "RequiredBy" => install.required_by.extend(words),
                "UpheldBy" => install.upheld_by.extend(words),
                "Alias" => install.alias.extend(words),
                "Also" => install.also.extend(words),
                "DefaultInstance" => install.default_instance = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        install
    }

    /// Whether there is anything that enabling would do.
    pub(super) fn is_empty(&self) -> bool {
        *self == Install::default()
    }
}

/// Finds the unit `name`; an instance is found by its template.
pub(super) fn find(target: &Target<'_>, name: &str) -> Result<Option<Unit>, BuildError> {
    let template =
        name.split_once('@').and_then(|(stem, rest)| rest.rsplit_once('.').map(|(_, kind)| format!("{stem}@.{kind}")));
    for candidate in [Some(name.to_owned()), template].into_iter().flatten() {
        for dir in DIRS {
            let path = format!("{dir}/{candidate}");
            let Some(real) = target.tree.resolve(&path).filter(|p| target.tree.file(p).is_some()) else { continue };
            let real = String::from_utf8_lossy(&real).into_owned();
            // A link to another unit file is an alias of that.
            let file_name = real.rsplit('/').next().unwrap_or_default();
            let is_alias = file_name != candidate && !file_name.contains('@');
            let install = Install::parse(&target.text(&real)?);
            let name = if is_alias { file_name.to_owned() } else { name.to_owned() };
            return Ok(Some(Unit { name, path: real, install }));
        }
    }
    Ok(None)
}

/// All unit names of the image.
pub(super) fn names(target: &Target<'_>) -> BTreeSet<String> {
    let kinds = ["service", "socket", "timer", "path", "mount", "target"];
    let mut names = BTreeSet::new();
    for dir in DIRS {
        for kind in kinds {
            for path in target.tree.glob(format!("{dir}/*.{kind}")) {
                names.extend(String::from_utf8_lossy(&path).rsplit('/').next().map(str::to_owned));
            }
        }
    }
    names
}

/// Units whose names look like `wanted`, the nearest first, at most three.
pub(super) fn near(target: &Target<'_>, wanted: &str) -> Vec<String> {
    let stem = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
    let base = stem(wanted);
    let mut found: Vec<(usize, String)> = names(target)
        .into_iter()
        .filter_map(|name| {
            let other = stem(&name);
            let distance = distance(&base, &other);
            let is_near = distance <= base.len().div_ceil(3) || (base.len() >= 3 && other.contains(&base));
            is_near.then_some((distance, name))
        })
        .collect();
    found.sort();
    found.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Edits (of bytes) between two names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let up = row[j + 1];
            row[j + 1] = (corner + usize::from(x != y)).min(up + 1).min(row[j] + 1);
            corner = up;
        }
    }
    row[b.len()]
}

/// A word of a command line as systemd reads it back.
pub(super) fn quote(word: &str) -> String {
    let is_plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c));
    if is_plain {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            // Specifiers and variables stand for something else unless doubled.
            '%' | '$' => quoted.extend([c, c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_install_section_is_read_and_nothing_else() {
        let text = "[Unit]\nWantedBy=not-here.target\n[Install]\n# WantedBy=no.target\nWantedBy=a.target b.target\\\n c.target\nAlias=x.service\nAlso=y.socket\n";
        let install = Install::parse(text);
        assert_eq!(install.wanted_by, ["a.target", "b.target", "c.target"]);
        assert_eq!(
            (install.alias.as_slice(), install.also.as_slice()),
            (&["x.service".to_owned()][..], &["y.socket".to_owned()][..])
        );
        assert!(Install::parse("[Unit]\nDescription=x\n[Install]\n").is_empty());
    }

    #[test]
    fn words_are_quoted_as_systemd_reads_them() {
        assert_eq!(quote("/usr/bin/x"), "/usr/bin/x");
        assert_eq!(quote("a b"), "\"a b\"");
        assert_eq!(quote("100% \"$HOME\""), "\"100%% \\\"$$HOME\\\"\"");
        assert_eq!(quote(""), "\"\"");
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("nginx", "ngnix"), 2);
        assert_eq!(distance("ssh", "sshd"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
