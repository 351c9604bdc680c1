//! A signed archive in a directory: `dists/` and `pool/` as apt expects them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::Digest;

use crate::deb::{PackageSpec, xz};
use crate::openpgp::Key;

/// How a suite presents itself.
#[derive(Debug, Clone)]
pub struct SuiteSpec {
    /// `Suite`.
    pub suite: String,
    /// `Codename`.
    pub codename: String,
    /// `Date`, in seconds since the epoch.
    pub date: i64,
    /// `Valid-Until`, in seconds since the epoch.
    pub valid_until: Option<i64>,
    /// `Acquire-By-Hash: yes`, with the files.
    pub by_hash: bool,
    /// `NotAutomatic: yes`.
    pub not_automatic: bool,
    /// Whether there is an `InRelease`; else there are `Release` and `Release.gpg`.
    pub inline: bool,
    /// Suffixes of the Packages files that exist: ".xz", ".gz", "".
    pub compressions: Vec<String>,
}

impl SuiteSpec {
    fn new(name: &str) -> SuiteSpec {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        SuiteSpec {
            suite: name.to_owned(),
            codename: name.to_owned(),
            date: now - 3600,
            valid_until: None,
            by_hash: true,
            not_automatic: false,
            inline: true,
            compressions: vec![".xz".to_owned(), ".gz".to_owned()],
        }
    }
}

/// An archive under construction; [`TestArchive::publish`] writes it, again after each change.
#[derive(Debug)]
pub struct TestArchive {
    dir: PathBuf,
    keyring: PathBuf,
    key: Key,
    suites: BTreeMap<String, (SuiteSpec, Vec<PackageSpec>)>,
}

impl TestArchive {
    /// An empty archive in `dir`; its keyring is `keyring.gpg` there.
    pub fn new(dir: &Path) -> TestArchive {
        std::fs::create_dir_all(dir).expect("the archive's directory");
        let keyring = dir.join("keyring.gpg");
        let key = Key::new(1);
        std::fs::write(&keyring, key.public()).expect("the keyring");
        TestArchive { dir: dir.to_owned(), keyring, key, suites: BTreeMap::new() }
    }

    /// Signs with another key from now on; the keyring stays.
    pub fn sign_with(&mut self, key: Key) {
        self.key = key;
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The keyring that its users trust.
    pub fn keyring(&self) -> &Path {
        &self.keyring
    }

    /// Its address as a directory.
    pub fn file_url(&self) -> String {
        format!("file://{}", self.dir.display())
    }

    /// The suite `name`, to change how it presents itself.
    pub fn suite(&mut self, name: &str) -> &mut SuiteSpec {
        &mut self.suites.entry(name.to_owned()).or_insert_with(|| (SuiteSpec::new(name), Vec::new())).0
    }

    /// Adds a package to a suite.
    pub fn add(&mut self, suite: &str, package: PackageSpec) -> &mut Self {
        self.suite(suite);
        if let Some((_, packages)) = self.suites.get_mut(suite) {
            packages.push(package);
        }
        self
    }

    /// Takes a package out of a suite.
    pub fn remove(&mut self, suite: &str, name: &str) -> &mut Self {
        if let Some((_, packages)) = self.suites.get_mut(suite) {
            packages.retain(|p| p.name != name);
        }
        self
    }

    /// The path of a package below the archive.
    pub fn pool_path(package: &PackageSpec) -> String {
        format!("pool/main/{}/{}/{}", &package.name[..1], package.name, package.file_name())
    }

    /// Writes everything: packages, indexes, signatures. Packages of before stay in the pool, indexes do not.
    pub fn publish(&self) {
        for (name, (spec, packages)) in &self.suites {
            let dists = self.dir.join("dists").join(name);
            let _ = std::fs::remove_dir_all(&dists);
            let index: String = packages.iter().map(|p| self.publish_package(p)).collect();
            let binary = dists.join("main/binary-amd64");
            std::fs::create_dir_all(&binary).expect("the suite's directory");
            let mut digests = String::new();
            for suffix in &spec.compressions {
                let bytes = compress(index.as_bytes(), suffix);
                let digest = hex::encode(sha2::Sha256::digest(&bytes));
                digests.push_str(&format!(" {digest} {} main/binary-amd64/Packages{suffix}\n", bytes.len()));
                std::fs::write(binary.join(format!("Packages{suffix}")), &bytes).expect("the index");
                if spec.by_hash {
                    std::fs::create_dir_all(binary.join("by-hash/SHA256")).expect("the by-hash directory");
                    std::fs::write(binary.join("by-hash/SHA256").join(digest), &bytes).expect("the index by hash");
                }
            }
            let mut release = format!(
                "Origin: Test\nSuite: {}\nCodename: {}\nDate: {}\n",
                spec.suite,
                spec.codename,
                date(spec.date)
            );
            if let Some(until) = spec.valid_until {
                release.push_str(&format!("Valid-Until: {}\n", date(until)));
            }
            for (on, line) in [(spec.by_hash, "Acquire-By-Hash: yes\n"), (spec.not_automatic, "NotAutomatic: yes\n")] {
                release.push_str(if on { line } else { "" });
            }
            release.push_str(&format!("Architectures: all amd64\nComponents: main\nSHA256:\n{digests}"));
            if spec.inline {
                std::fs::write(dists.join("InRelease"), self.key.clear_sign(&release, spec.date)).expect("InRelease");
            } else {
                std::fs::write(dists.join("Release"), &release).expect("Release");
                std::fs::write(dists.join("Release.gpg"), self.key.detach_sign(release.as_bytes(), spec.date))
                    .expect("Release.gpg");
            }
        }
    }

    fn publish_package(&self, package: &PackageSpec) -> String {
        let (path, bytes) = (Self::pool_path(package), package.build());
        let file = self.dir.join(&path);
        std::fs::create_dir_all(file.parent().expect("it has one")).expect("the pool");
        std::fs::write(&file, &bytes).expect("the package");
        let digest = hex::encode(sha2::Sha256::digest(&bytes));
        format!("{}Filename: {path}\nSize: {}\nSHA256: {digest}\n\n", package.control(), bytes.len())
    }
}

fn compress(bytes: &[u8], suffix: &str) -> Vec<u8> {
    match suffix {
        ".xz" => xz(bytes),
        ".gz" => {
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            gz.write_all(bytes).expect("writing to memory");
            gz.finish().expect("writing to memory")
        }
        "" => bytes.to_vec(),
        other => panic!("unknown compression {other}"),
    }
}

/// `Sat, 12 Sep 2026 07:55:41 UTC`
fn date(seconds: i64) -> String {
    let (days, time) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
    // Civil from days, after the proleptic Gregorian calendar with years that begin in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = year_of_era + era * 400 + i64::from(month >= 10);
    let names = ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let (weekday, month) = (weekdays[days.rem_euclid(7) as usize], names[month as usize]);
    format!("{weekday}, {day:02} {month} {year} {:02}:{:02}:{:02} UTC", time / 3600, time / 60 % 60, time % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_archives_do() {
        assert_eq!(date(1_789_199_741), "Sat, 12 Sep 2026 07:55:41 UTC");
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 UTC");
        assert_eq!(date(951_782_400), "Tue, 29 Feb 2000 00:00:00 UTC");
    }
}
