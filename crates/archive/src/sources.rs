//! Where this machine's own apt gets its packages: for `init`, so that no text of ours names an archive host.

use std::path::{Path, PathBuf};

use regrow_host::fs;

use crate::error::Result;
use crate::transport::hide_credentials;

/// One archive that apt uses, turned to another suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostArchive {
    /// A name for the fleet: "debian" or "security".
    pub name: String,
    /// Its address.
    pub mirror: String,
    /// The suites to ask it for.
    pub suites: Vec<String>,
    /// Its components.
    pub components: Vec<String>,
    /// The keyring that signs it.
    pub keyring: PathBuf,
}

/// Where Debian's own keys are.
const KEYRINGS: &[&str] =
    &["usr/share/keyrings/debian-archive-keyring.gpg", "usr/share/keyrings/debian-archive-keyring.pgp"];

/// Debian's releases by code name; a suite of any of them marks an entry as Debian's.
const CODENAMES: &[&str] =
    &["bullseye", "bookworm", "trixie", "forky", "duke", "sid", "stable", "oldstable", "testing", "unstable"];

/// The Debian archives of this machine's apt sources, asked for `suite` instead: the archive with its `-updates`, and the
/// security archive. Empty if apt has none that we understand.
pub fn host_sources(suite: &str) -> Result<Vec<HostArchive>> {
    host_sources_in(Path::new("/"), suite)
}

/// [`host_sources`] of the system at `root`.
pub fn host_sources_in(root: &Path, suite: &str) -> Result<Vec<HostArchive>> {
    let mut entries = Vec::new();
    let dir = root.join("etc/apt/sources.list.d");
    let mut files = vec![root.join("etc/apt/sources.list")];
    files.extend(fs::list(&dir)?.into_iter().map(|n| dir.join(n)));
    for file in files {
        let Some(bytes) = fs::read_optional(&file)? else { continue };
        let text = String::from_utf8_lossy(&bytes);
        match file.extension().and_then(|e| e.to_str()) {
            Some("sources") => entries.extend(deb822(&text)),
            Some("list") => entries.extend(text.lines().filter_map(one_line)),
            _ => {}
        }
    }
    let default_keyring = KEYRINGS.iter().map(|k| root.join(k)).find(|k| k.is_file());
    Ok(select(&entries, suite, default_keyring.unwrap_or_else(|| Path::new("/").join(KEYRINGS[0]))))
}

/// One line or paragraph of apt's sources.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    keyring: Option<PathBuf>,
}

fn deb822(text: &str) -> Vec<Entry> {
    let text: String = text.lines().filter(|l| !l.starts_with('#')).flat_map(|l| [l, "\n"]).collect();
    let mut entries = Vec::new();
    for paragraph in deb822_fast::borrowed::parse_borrowed(&text).unwrap_or_default() {
        let words = |name: &str| -> Vec<String> {
            let lines = paragraph.get(name).unwrap_or_default();
            lines.iter().flat_map(|l| l.split_whitespace()).map(str::to_owned).collect()
        };
        let enabled =
            !words("Enabled").iter().any(|w| ["no", "false", "0", "off"].contains(&w.to_lowercase().as_str()));
        if !enabled || !words("Types").iter().any(|t| t == "deb") {
            continue;
        }
        // A key written out in the file itself is no path; then Debian's own keyring is taken.
        let keyring = words("Signed-By").first().filter(|k| k.starts_with('/')).map(PathBuf::from);
        entries.push(Entry { uris: words("URIs"), suites: words("Suites"), components: words("Components"), keyring });
    }
    entries
}

fn one_line(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(r) => r.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (uri, suite) = (words.next()?, words.next()?);
    let keyring = options.split_whitespace().find_map(|o| o.strip_prefix("signed-by="));
    let keyring = keyring.and_then(|k| k.split(',').next()).filter(|k| k.starts_with('/')).map(PathBuf::from);
    Some(Entry { uris: vec![uri], suites: vec![suite], components: words.collect(), keyring })
}

fn select(entries: &[Entry], suite: &str, default_keyring: PathBuf) -> Vec<HostArchive> {
    let mut found: Vec<HostArchive> = Vec::new();
    for entry in entries {
        let is_debian = entry.suites.iter().any(|s| {
            let base = s.split(['-', '/']).next().unwrap_or_default();
            CODENAMES.contains(&base)
        });
        if !is_debian {
            continue;
        }
        for uri in &entry.uris {
            let shown = hide_credentials(uri);
            let path = shown.split_once(':').map_or("", |(_, p)| p).trim_end_matches('/');
            let Some(last) = path.rsplit('/').find(|p| !p.is_empty()) else { continue };
            let security = last.contains("security")
                || entry.suites.iter().all(|s| s.ends_with("-security") || s.ends_with("/updates"));
            let name = if security { "security" } else { "debian" };
            // Other archives can have suites of these names; Debian's path says that it is Debian.
            if !path.contains("debian") || found.iter().any(|f| f.name == name) {
                continue;
            }
            let rolling = ["sid", "unstable"].contains(&suite);
            let suites = match (security, rolling) {
                (true, true) => continue,
                (true, false) => vec![format!("{suite}-security")],
                (false, true) => vec![suite.to_owned()],
                (false, false) => vec![suite.to_owned(), format!("{suite}-updates")],
            };
            let mut components = entry.components.clone();
            if components.is_empty() {
                components.push("main".to_owned());
            }
            let keyring = entry.keyring.clone().unwrap_or_else(|| default_keyring.clone());
            found.push(HostArchive {
                name: name.to_owned(),
                mirror: uri.trim_end_matches('/').to_owned(),
                suites,
                components,
                keyring,
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn show(found: &[HostArchive]) -> Vec<String> {
        let line = |a: &HostArchive| {
            format!("{} {} {} {} {}", a.name, a.mirror, a.suites.join(","), a.components.join(","), a.keyring.display())
        };
        found.iter().map(line).collect()
    }

    #[test]
    fn paragraphs_and_lines_are_understood_and_turned_to_the_suite() {
        let sources = "Types: deb\n# an older copy\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\nComponents: main contrib\nSigned-By: /usr/share/keyrings/k.gpg\n\nTypes: deb\nURIs: http://mirror.test/debian-security/\nSuites: bookworm-security\nComponents: main\nSigned-By: /usr/share/keyrings/k.gpg\n\nTypes: deb\nEnabled: no\nURIs: http://x.test/debian\nSuites: sid\nComponents: main\n";
        let other = "deb [arch=amd64 signed-by=/k2.gpg] https://vendor.test/tools bookworm main\ndeb https://v.test/debian nodistro main\n";
        let dir = root(&[("etc/apt/sources.list.d/debian.sources", sources), ("etc/apt/sources.list.d/v.list", other)]);
        assert_eq!(
            show(&host_sources_in(dir.path(), "trixie").unwrap()),
            [
                "debian http://mirror.test/debian trixie,trixie-updates main,contrib /usr/share/keyrings/k.gpg",
                "security http://mirror.test/debian-security trixie-security main /usr/share/keyrings/k.gpg",
            ]
        );
        assert_eq!(show(&host_sources_in(dir.path(), "sid").unwrap()).len(), 1);
    }

    #[test]
    fn old_style_lists_and_no_keyring() {
        let list = "# comment\ndeb-src http://h/debian bookworm main\ndeb http://h/debian/ bookworm main # x\ndeb http://security.test/debian-security bookworm-security main\n";
        let dir = root(&[("etc/apt/sources.list", list), ("usr/share/keyrings/debian-archive-keyring.gpg", "")]);
        let found = host_sources_in(dir.path(), "bookworm").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].mirror, "http://h/debian");
        assert!(found[0].keyring.ends_with("usr/share/keyrings/debian-archive-keyring.gpg"));
    }

    #[test]
    fn nothing_is_nothing() {
        assert!(host_sources_in(root(&[]).path(), "trixie").unwrap().is_empty());
    }
}
