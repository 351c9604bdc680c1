//! A suite's `Release` file: what it is, how long it holds, and the digests of its indexes.
//!
//! Nothing here checks signatures: [`crate::signature`] hands over only text that a key of the keyring has signed.

use std::collections::BTreeMap;

use crate::digest::Sha256;

/// A `Release` file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    /// `Suite`: `stable`, `trixie-updates`…
    pub suite: Option<String>,
    /// `Codename`: `trixie`, `trixie-security`…
    pub codename: Option<String>,
    /// `Date`, in seconds since the epoch.
    pub date: i64,
    /// `Date`, as written.
    pub date_text: String,
    /// `Valid-Until`, in seconds since the epoch.
    pub valid_until: Option<i64>,
    /// `NotAutomatic: yes`: its packages are taken only where they are asked for by version (backports).
    pub not_automatic: bool,
    /// `Acquire-By-Hash: yes`: indexes can be fetched by their digest, which cannot race with an update of the mirror.
    pub by_hash: bool,
    /// `Architectures`.
    pub architectures: Vec<String>,
    /// `Components`, without a leading `updates/` that old security suites had.
    pub components: Vec<String>,
    /// The files it vouches for, by their path below the suite.
    pub files: BTreeMap<String, (u64, Sha256)>,
}

impl Release {
    /// Reads the text. The error says in words what is missing.
    pub(crate) fn parse(text: &str) -> Result<Release, String> {
        let paragraphs =
            deb822_fast::borrowed::parse_borrowed(text).map_err(|e| format!("it is no Release file: {e}"))?;
        let [p] = paragraphs.as_slice() else {
            return Err(format!("it has {} paragraphs instead of one", paragraphs.len()));
        };
        let get = |name: &str| p.get_single(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let words =
            |name: &str| get(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let time = |name: &str| match get(name) {
            None => Ok(None),
            Some(v) => parse_date(&v).map(Some).ok_or_else(|| format!("its {name} `{v}` is no date")),
        };
        let mut files = BTreeMap::new();
        for line in p.get("SHA256").ok_or("it has no SHA256 digests")? {
            let mut fields = line.split_whitespace();
            let (Some(digest), Some(size), Some(path), None) =
                (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                if line.trim().is_empty() {
                    continue;
                }
                return Err(format!("the line `{line}` of its SHA256 list cannot be read"));
            };
            let digest = Sha256::parse(digest).ok_or_else(|| format!("`{digest}` is no SHA-256 digest"))?;
            let size = size.parse().map_err(|_| format!("`{size}` is no size"))?;
            files.insert(path.to_owned(), (size, digest));
        }
        Ok(Release {
            suite: get("Suite"),
            codename: get("Codename"),
            date: time("Date")?.ok_or("it has no Date")?,
            date_text: get("Date").unwrap_or_default(),
            valid_until: time("Valid-Until")?,
            not_automatic: get("NotAutomatic").as_deref() == Some("yes"),
            by_hash: get("Acquire-By-Hash").as_deref() == Some("yes"),
            architectures: words("Architectures"),
            components: words("Components").into_iter().map(|c| c.trim_start_matches("updates/").to_owned()).collect(),
            files,
        })
    }

    /// What stands for the Release of packages that no suite has any more.
    pub(crate) fn unpublished() -> Release {
        Release {
            suite: None,
            codename: None,
            date: 0,
            date_text: String::new(),
            valid_until: None,
            not_automatic: true,
            by_hash: false,
            architectures: Vec::new(),
            components: Vec::new(),
            files: BTreeMap::new(),
        }
    }

    /// Whether it is the suite that was asked for, by suite or code name.
    pub(crate) fn is_suite(&self, asked: &str) -> bool {
        [&self.suite, &self.codename].into_iter().flatten().any(|name| name == asked)
    }

    /// Its names, for messages.
    pub(crate) fn names(&self) -> String {
        match (&self.suite, &self.codename) {
            (Some(s), Some(c)) if s != c => format!("{c} ({s})"),
            (Some(n), _) | (None, Some(n)) => n.clone(),
            (None, None) => "a suite without a name".to_owned(),
        }
    }
}

/// `Sat, 12 Sep 2026 07:55:41 UTC` in seconds since the epoch.
fn parse_date(text: &str) -> Option<i64> {
    let text = text.trim();
    let text =
        text.strip_suffix("UTC").or_else(|| text.strip_suffix("GMT")).map_or(text.to_owned(), |t| format!("{t}+0000"));
    let (_, rest) = text.split_once(',')?;
    let broken = jiff::fmt::strtime::parse("%d %b %Y %H:%M:%S %z", rest.trim()).ok()?;
    Some(broken.to_timestamp().ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Origin: Debian\nSuite: stable-updates\nCodename: trixie-updates\nDate: Sat, 12 Sep 2026 07:55:41 UTC\nValid-Until: Sat, 19 Sep 2026 07:55:41 UTC\nAcquire-By-Hash: yes\nArchitectures: all amd64\nComponents: main contrib\nSHA256:\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        0 main/binary-amd64/Packages\n";

    #[test]
    fn fields_are_read() {
        let r = Release::parse(TEXT).unwrap();
        assert_eq!(r.date, 1_789_199_741);
        assert_eq!(r.valid_until, Some(1_789_199_741 + 7 * 86400));
        assert!(r.by_hash && !r.not_automatic);
        assert!(r.is_suite("trixie-updates") && r.is_suite("stable-updates") && !r.is_suite("trixie"));
        assert_eq!(r.files["main/binary-amd64/Packages"].0, 0);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (from, to, word) in [
            ("Date: Sat", "X: Sat", "no Date"),
            ("Sat, 12 Sep", "Sat, 12 Foo", "is no date"),
            ("SHA256:", "SHA1:", "no SHA256"),
            ("e3b0", "e3bg", "no SHA-256"),
            ("        0 main", " x main", "no size"),
        ] {
            let e = Release::parse(&TEXT.replacen(from, to, 1)).unwrap_err();
            assert!(e.contains(word), "{e}");
        }
    }
}
