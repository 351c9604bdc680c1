//! The archives of a fleet on this machine: the crate's front door.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use regrow_config::Archives;
use regrow_host::progress::{Progress, Unit, note, step};

use crate::error::{Error, Result};
use crate::names::NameIndex;
use crate::search::{Found, Search};
use crate::suite::{News, Suite};
use crate::transport::Mirror;
use crate::universe::Universe;

/// The archives of a fleet, for one architecture, with their verified indexes and packages under `REGROW_HOME`.
///
/// Opening it reads nothing and contacts nobody.
#[derive(Debug)]
pub struct Archive {
    home: PathBuf,
    pub(crate) architecture: String,
    pub(crate) suites: Vec<Suite>,
    pub(crate) mirrors: std::collections::BTreeMap<String, Mirror>,
    clock: Option<i64>,
}

/// What [`Archive::refresh`] found, per suite.
#[derive(Debug, Clone)]
pub struct Refreshed {
    /// In the order of the fleet.
    pub suites: Vec<SuiteNews>,
}

/// What a refresh found for one suite.
#[derive(Debug, Clone)]
pub struct SuiteNews {
    /// The suite.
    pub suite: String,
    /// What came of it; in words why the archive gave no answer, if a verified index is there to go on with.
    pub news: std::result::Result<News, String>,
}

impl Archive {
    /// The archives of a fleet. `home` is `REGROW_HOME`.
    ///
    /// # Errors
    /// If a mirror's address is none.
    pub fn open(home: &Path, archives: &Archives, architecture: &str) -> Result<Archive> {
        let indexes = home.join("archive/indexes");
        let mut suites = Vec::new();
        let mut mirrors = std::collections::BTreeMap::new();
        for (archive, settings) in archives {
            let mirror = Mirror::new(&settings.mirror)?;
            mirrors.insert(archive.clone(), mirror.clone());
            for name in &settings.suites {
                suites.push(Suite {
                    archive: archive.clone(),
                    name: name.clone(),
                    mirror: mirror.clone(),
                    components: settings.components.clone(),
                    keyring: PathBuf::from(&settings.keyring),
                    architecture: architecture.to_owned(),
                    dir: Suite::directory(&indexes, &settings.mirror, name),
                });
            }
        }
        Ok(Archive { home: home.to_owned(), architecture: architecture.to_owned(), suites, mirrors, clock: None })
    }

    /// The same, with the time that validity is judged by (seconds since the epoch) instead of the machine's clock.
    pub fn with_clock(mut self, now: i64) -> Archive {
        self.clock = Some(now);
        self
    }

    fn now(&self) -> i64 {
        let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        self.clock.unwrap_or_else(clock)
    }

    pub(crate) fn debs(&self) -> PathBuf {
        self.home.join("archive/debs")
    }

    pub(crate) fn quick(&self) -> PathBuf {
        self.home.join("archive/quick")
    }

    pub(crate) fn partial(&self) -> PathBuf {
        self.home.join("archive/partial")
    }

    pub(crate) fn accounts_cache(&self) -> PathBuf {
        self.home.join("archive/accounts")
    }

    fn scratch(&self) -> PathBuf {
        self.home.join("scratch")
    }

    /// Asks every archive for newer indexes, verifies them and makes them ours.
    ///
    /// An archive that does not answer is no error where a verified index is there already: the answer says so, and a
    /// note goes to `progress`. What is answered wrongly (signature, digest, suite, validity) always is an error.
    ///
    /// # Errors
    /// See [`Error`]; the indexes verified before stay usable.
    pub fn refresh(&self, progress: &dyn Progress) -> Result<Refreshed> {
        let step = step(progress, "index", "refreshing the package indexes");
        let counts = Mutex::new((0i64, std::collections::BTreeMap::new()));
        let mut results = Vec::new();
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .suites
                .iter()
                .enumerate()
                .map(|(i, suite)| {
                    let (counts, step) = (&counts, &step);
                    scope.spawn(move || {
                        let tell = |gained: i64, size: u64| {
                            let mut c = counts.lock().unwrap_or_else(|e| e.into_inner());
                            c.0 += gained;
                            c.1.insert(i, size);
                            let total = c.1.values().sum();
                            step.advance(c.0.max(0) as u64, total, Unit::Bytes);
                        };
                        suite.refresh(&self.scratch(), self.now(), &tell)
                    })
                })
                .collect();
            for thread in threads {
                results.push(thread.join().unwrap_or(Err(Error::Cancelled)));
            }
        });
        let mut news = Vec::new();
        for (suite, result) in self.suites.iter().zip(results) {
            let found = match result {
                Ok(found) => Ok(found),
                Err(e @ Error::Unreachable { .. }) => match suite.load() {
                    Ok(_) => {
                        let words = format!("{e}; going on with the index of {} verified before", suite.name);
                        note(progress, words.clone());
                        Err(words)
                    }
                    Err(_) => return Err(e),
                },
                Err(e) => return Err(e),
            };
            news.push(SuiteNews { suite: suite.name.clone(), news: found });
        }
        let updated = news.iter().filter(|n| n.news == Ok(News::Updated)).count();
        step.finish(match (updated, news.iter().any(|n| n.news.is_err())) {
            (_, true) => "an archive did not answer; its index from before is used".to_owned(),
            (0, _) => "nothing new".to_owned(),
            (n, _) => format!("{n} of {} suites have news", news.len()),
        });
        Ok(Refreshed { suites: news })
    }

    /// [`Archive::refresh`] if an index is missing, or if an archive was not asked for `age`.
    pub fn refresh_if_older(&self, age: Duration, progress: &dyn Progress) -> Result<Option<Refreshed>> {
        let fresh = |s: &Suite| s.checked().and_then(|t| t.elapsed().ok()).is_some_and(|e| e < age) && s.load().is_ok();
        if self.suites.iter().all(fresh) { Ok(None) } else { self.refresh(progress).map(Some) }
    }

    /// The names of all packages, without reading whole indexes; `None` before the first refresh of any suite.
    pub fn package_names(&self) -> Result<Option<NameIndex>> {
        let mut all = Vec::new();
        for suite in &self.suites {
            match suite.names()? {
                Some(names) => all.push(names),
                None => return Ok(None),
            }
        }
        Ok((!all.is_empty()).then_some(NameIndex(all)))
    }

    /// Packages that fit what a person typed, the best first, at most `limit`; `None` before the first refresh of any
    /// suite.
    ///
    /// Every word must be in the name or in the description. First comes the package of exactly this name, then names that
    /// begin with it, names that have it, and descriptions.
    pub fn search(&self, query: &str, limit: usize) -> Result<Option<Vec<Found>>> {
        let mut search = Search::new(query);
        for suite in &self.suites {
            let Some(about) = suite.about()? else { return Ok(None) };
            search.look_through(&about, &suite.name);
        }
        Ok((!self.suites.is_empty()).then(|| search.best(limit)))
    }

    pub(crate) fn universe(&self) -> Result<Universe> {
        let mut suites = Vec::new();
        let loaded: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = self.suites.iter().map(|s| scope.spawn(|| s.load())).collect();
            threads.into_iter().map(|t| t.join().unwrap_or(Err(Error::Cancelled))).collect()
        });
        for (suite, loaded) in self.suites.iter().zip(loaded) {
            suites.push((suite.archive.clone(), suite.name.clone(), loaded?));
        }
        Ok(Universe::new(suites, &self.architecture))
    }

    /// What this machine's own files of the index of `suite` are, for other programs to read: the directory of
    /// `archive/indexes` that holds `Release` and the `packages-<sha256>` files.
    pub fn index_directories(&self) -> impl Iterator<Item = (&str, &str, &Path)> {
        self.suites.iter().map(|s| (s.archive.as_str(), s.name.as_str(), s.dir.as_path()))
    }
}
