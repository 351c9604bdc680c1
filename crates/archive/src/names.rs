//! Which packages there are, by name only: for `check`, which must not wait for a whole index.

use crate::digest::Sha256;

const MAGIC: &str = "regrow names 1 ";

/// The sorted package names of one suite, one a line.
#[derive(Debug)]
pub(crate) struct Names {
    text: String,
    /// Where the names begin.
    start: usize,
}

impl Names {
    /// The file for `names` (sorted, each ended by a line feed).
    pub(crate) fn encode(names: &str, made_from: Sha256) -> Vec<u8> {
        format!("{MAGIC}{made_from}\n{names}\n").into_bytes()
    }

    /// Reads the file; `None` if it is cut off or made from something else.
    pub(crate) fn decode(bytes: Vec<u8>, made_from: Sha256) -> Option<Names> {
        let text = String::from_utf8(bytes).ok()?;
        let rest = text.strip_prefix(MAGIC)?.strip_prefix(&made_from.to_string())?.strip_prefix('\n')?;
        let start = text.len() - rest.len();
        // An empty line at the end, so that a file that was cut off is noticed.
        if !rest.ends_with("\n\n") && rest != "\n" {
            return None;
        }
        Some(Names { text, start })
    }

    fn names(&self) -> &str {
        &self.text[self.start..self.text.len() - 1]
    }

    fn contains(&self, name: &str) -> bool {
        let text = self.names();
        let (mut low, mut high) = (0, text.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let begin = text.as_bytes()[..middle].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
            let end = text.as_bytes()[middle..].iter().position(|b| *b == b'\n').map_or(text.len(), |i| middle + i);
            match text[begin.max(low)..end].cmp(name) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => low = end + 1,
                std::cmp::Ordering::Greater => high = begin,
            }
        }
        false
    }
}

/// The package names of all suites of an archive set.
#[derive(Debug)]
pub struct NameIndex(pub(crate) Vec<Names>);

impl NameIndex {
    /// Whether a suite has a package of this name.
    pub fn exists(&self, name: &str) -> bool {
        self.0.iter().any(|n| n.contains(name))
    }

    /// At most five names like this one, the most alike first.
    pub fn near(&self, name: &str) -> Vec<String> {
        let limit = (name.chars().count() / 3).clamp(1, 3);
        let mut found = std::collections::BTreeSet::new();
        for candidate in self.0.iter().flat_map(|n| n.names().lines()) {
            if candidate.len().abs_diff(name.len()) <= limit {
                if let Some(distance) = distance(name.as_bytes(), candidate.as_bytes(), limit) {
                    found.insert((distance, candidate));
                }
            } else if name.len() >= 4 && candidate.len() <= name.len() + 12 && candidate.starts_with(name) {
                // "postgresq" or "python3-request": the beginning of something.
                found.insert((limit + candidate.len() - name.len(), candidate));
            }
        }
        found.into_iter().take(5).map(|(_, n)| n.to_owned()).collect()
    }

    /// How many names there are; one that several suites have counts for each.
    pub fn len(&self) -> usize {
        self.0.iter().map(|n| n.names().lines().count()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|n| n.names().is_empty())
    }
}

/// The edits (insert, remove, replace, swap neighbours) between two names, if at most `limit`.
fn distance(a: &[u8], b: &[u8], limit: usize) -> Option<usize> {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            row[j + 1] = (last[j] + usize::from(a[i] != b[j])).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        if row.iter().min().is_some_and(|m| *m > limit) {
            return None;
        }
        before = std::mem::replace(&mut last, row);
    }
    (last[b.len()] <= limit).then_some(last[b.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(names: &[&str]) -> NameIndex {
        let digest = Sha256::of(b"x");
        let text: String = names.iter().map(|n| format!("{n}\n")).collect();
        NameIndex(vec![Names::decode(Names::encode(&text, digest), digest).unwrap()])
    }

    #[test]
    fn every_name_is_found_and_no_other() {
        let names = ["a", "aa", "ab", "b", "nginx", "nginx-full", "postgresql", "z"];
        let i = index(&names);
        for name in names {
            assert!(i.exists(name), "{name}");
        }
        for name in ["", "\n", "0", "aaa", "ngin", "nginx-", "zz", "y", "a\naa"] {
            assert!(!i.exists(name), "{name:?}");
        }
        assert!(!index(&[]).exists("a") && index(&[]).is_empty());
    }

    #[test]
    fn near_names_come_nearest_first() {
        let i = index(&["nginx", "nginx-full", "ngircd", "postgresql", "vim"]);
        assert_eq!(i.near("ngnix"), ["nginx"]);
        assert_eq!(i.near("postgres"), ["postgresql"]);
        assert_eq!(i.near("vin"), ["vim"]);
        assert!(i.near("qqqqqqqq").is_empty());
    }

    #[test]
    fn a_file_cut_off_is_noticed() {
        let digest = Sha256::of(b"x");
        let bytes = Names::encode("a\nb\n", digest);
        for end in 0..bytes.len() {
            assert!(Names::decode(bytes[..end].to_vec(), digest).is_none(), "cut at {end}");
        }
    }
}
