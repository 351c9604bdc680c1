//! Searching packages by name and description.
//!
//! Beside each compiled index lies `about-<arch>`, made with it: one line a package, sorted by name, tabs between name,
//! version, installed size in KiB, size in bytes and the first line of the description. A search reads it from end to end
//! (some 7 MB for all of Debian) and keeps nothing in memory afterwards.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::digest::Sha256;
use crate::version;

const MAGIC: &str = "regrow about 1 ";

/// The line about one package.
pub(crate) fn line(name: &str, version: &str, installed: u64, size: u64, summary: &str) -> String {
    let summary: String = summary.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{name}\t{version}\t{installed}\t{size}\t{}\n", summary.trim())
}

/// The lines about the packages of one suite.
#[derive(Debug)]
pub(crate) struct About {
    text: String,
    start: usize,
}

impl About {
    /// The file for these lines.
    pub(crate) fn encode(lines: &str, made_from: Sha256) -> Vec<u8> {
        format!("{MAGIC}{made_from}\n{lines}\n").into_bytes()
    }

    /// Reads the file; `None` if it is cut off or made from something else.
    pub(crate) fn decode(bytes: Vec<u8>, made_from: Sha256) -> Option<About> {
        let text = String::from_utf8(bytes).ok()?;
        let rest = text.strip_prefix(MAGIC)?.strip_prefix(&made_from.to_string())?.strip_prefix('\n')?;
        let start = text.len() - rest.len();
        // An empty line at the end, so that a file that was cut off is noticed.
        (rest.ends_with("\n\n") || rest == "\n").then_some(About { text, start })
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        self.text[self.start..self.text.len() - 1].lines()
    }
}

/// A package that fits a search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its newest version.
    pub version: String,
    /// What it is, in one line.
    pub summary: String,
    /// What it takes on a server, in bytes, by its maker's account.
    pub installed_size: u64,
    /// What is downloaded for it, in bytes.
    pub size: u64,
    /// The suite that has this version.
    pub suite: String,
}

/// How well a package fits, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Exact,
    Begins,
    WordOfName,
    InName,
    WordOfSummary,
    InSummary,
}

/// A search on its way through the suites.
#[derive(Debug)]
pub(crate) struct Search {
    words: Vec<String>,
    /// By name; a name that several suites have is there with its newest version.
    found: BTreeMap<String, (Fit, Found)>,
}

impl Search {
    /// For what a person typed.
    pub(crate) fn new(query: &str) -> Search {
        let words = query.split_whitespace().map(str::to_ascii_lowercase).collect();
        Search { words, found: BTreeMap::new() }
    }

    /// Takes in what fits.
    pub(crate) fn look_through(&mut self, about: &About, suite: &str) {
        if self.words.is_empty() {
            return;
        }
        let mut lower = String::new();
        for line in about.lines() {
            // One pass over the bytes before anything else: nearly all lines end here.
            lower.clear();
            lower.push_str(line);
            lower.make_ascii_lowercase();
            if !self.words.iter().all(|word| lower.contains(word.as_str())) {
                continue;
            }
            let fields: Vec<&str> = line.splitn(5, '\t').collect();
            let [name, version, installed, size, summary] = fields[..] else { continue };
            let summary_lower = &lower[line.len() - summary.len()..];
            // The worst of the words decides; one that is in a version or a size only does not count.
            let fits: Option<Vec<Fit>> = self.words.iter().map(|word| fit(word, name, summary_lower)).collect();
            let Some(fit) = fits.and_then(|fits| fits.into_iter().max()) else { continue };
            let exact = self.words.len() > 1 && self.words.join("-") == name;
            let fit = if exact { Fit::Exact } else { fit };
            match self.found.get(name) {
                Some((_, known)) if version::compare(&known.version, version).is_ge() => {}
                _ => {
                    let found = Found {
                        name: name.to_owned(),
                        version: version.to_owned(),
                        summary: summary.to_owned(),
                        installed_size: installed.parse::<u64>().unwrap_or(0).saturating_mul(1024),
                        size: size.parse().unwrap_or(0),
                        suite: suite.to_owned(),
                    };
                    self.found.insert(name.to_owned(), (fit, found));
                }
            }
        }
    }

    /// The best that were found.
    pub(crate) fn best(self, limit: usize) -> Vec<Found> {
        let mut found: Vec<(Fit, Found)> = self.found.into_values().collect();
        // Libraries, debugging and development files are seldom what a person means; a short name is the main one.
        found.sort_by_cached_key(|(fit, f)| (*fit, is_by_product(&f.name), f.name.len(), f.name.clone()));
        found.into_iter().take(limit).map(|(_, f)| f).collect()
    }
}

/// How well one word fits a name and a description in small letters.
fn fit(word: &str, name: &str, summary: &str) -> Option<Fit> {
    Some(if name == word {
        Fit::Exact
    } else if name.starts_with(word) {
        Fit::Begins
    } else if name.split(['-', '.', '+']).any(|part| part == word) {
        Fit::WordOfName
    } else if name.contains(word) {
        Fit::InName
    } else if summary.split(|c: char| !c.is_alphanumeric()).any(|part| part == word) {
        Fit::WordOfSummary
    } else if summary.contains(word) {
        Fit::InSummary
    } else {
        return None;
    })
}

fn is_by_product(name: &str) -> bool {
    ["-dev", "-dbg", "-dbgsym", "-doc", "-common", "-data"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(lines: &[(&str, &str, &str)]) -> About {
        let digest = Sha256::of(b"x");
        let text: String = lines.iter().map(|(name, version, summary)| line(name, version, 3, 5, summary)).collect();
        About::decode(About::encode(&text, digest), digest).unwrap()
    }

    fn names(query: &str, lines: &[(&str, &str, &str)]) -> Vec<String> {
        let mut search = Search::new(query);
        search.look_through(&about(lines), "trixie");
        search.best(10).into_iter().map(|f| f.name).collect()
    }

    #[test]
    fn names_come_before_descriptions_and_the_main_package_before_its_parts() {
        let lines = [
            ("apache2", "1", "Web server, unlike nginx"),
            ("libnginx-mod-x", "1", "A module"),
            ("nginx", "1", "Small web server"),
            ("nginx-dev", "1", "Headers"),
            ("nginx-light", "1", "Smaller web server"),
            ("python3-certbot-nginx", "1", "Plugin"),
        ];
        let wanted = ["nginx", "nginx-light", "nginx-dev", "python3-certbot-nginx", "libnginx-mod-x", "apache2"];
        // libnginx is a word that has nginx in it; certbot-nginx has it as a word of its own.
        assert_eq!(names("NGINX", &lines), wanted);
        assert_eq!(names("small web", &lines), ["nginx", "nginx-light"]);
        assert_eq!(names("nginx light", &lines), ["nginx-light"]);
        assert_eq!(names("web nothing", &lines), [""; 0]);
        assert_eq!(names("  ", &lines), [""; 0]);
    }

    #[test]
    fn versions_and_sizes_are_not_searched_and_the_newest_version_of_all_suites_is_shown() {
        assert_eq!(names("1.26", &[("nginx", "1.26", "x")]), [""; 0]);
        let mut search = Search::new("nginx");
        search.look_through(&about(&[("nginx", "1", "old")]), "trixie");
        search.look_through(&about(&[("nginx", "1+deb13u1", "new")]), "trixie-security");
        search.look_through(&about(&[("nginx", "0.9", "oldest")]), "trixie-updates");
        let found = search.best(5);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].suite.as_str(), found[0].summary.as_str()), ("trixie-security", "new"));
        assert_eq!((found[0].installed_size, found[0].size), (3072, 5));
    }

    #[test]
    fn a_file_cut_off_is_noticed() {
        let digest = Sha256::of(b"x");
        let bytes = About::encode(&line("a", "1", 1, 1, "ä"), digest);
        for end in 0..bytes.len() {
            assert!(About::decode(bytes[..end].to_vec(), digest).is_none(), "cut at {end}");
        }
        assert!(About::decode(bytes, Sha256::of(b"y")).is_none());
    }
}
