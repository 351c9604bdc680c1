//! What is worked out once and asked for often: about revisions, which never change.
//!
//! Everything here is bounded, and anything may be forgotten at any time.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use regrow_config::objects::Objects;
use regrow_config::{Diagnostic, DiskFiles, Fleet};
use regrow_history::Repo;

use crate::compare::{Comparison, Known};
use crate::error::{Error, Result};
use crate::objects::{FileHistory, Versions};
use crate::remember::Kept;
use crate::wanted::{RevisionName, concerning};

/// How many summaries are remembered: about 200 bytes each.
const SUMMARIES: usize = 4096;
/// How many comparisons are remembered.
const COMPARISONS: usize = 8;

/// How many servers are remembered as objects, each of one revision.
const OBJECTS: usize = 64;
/// How many files are remembered with what happened to them.
const HISTORIES: usize = 256;

/// How many revisions are remembered as values: each is megabytes in a large fleet.
const TEXTS: usize = 2;

/// How many servers are remembered as values for comparing: about 20 kB each.
const SERVERS: usize = 600;
/// How many states of what all servers share are remembered.
const SHARED: usize = 16;
/// Of how many locks is remembered what they were made of, and of how many servers which roles they take.
const LOCKS: usize = 4096;

/// A fleet's text as values.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// The work tree.
#[derive(Debug)]
pub(crate) struct OnDisk {
    pub(crate) text: Arc<Text>,
    /// Where HEAD is; none without a repository or before the first commit.
    pub(crate) commit: Option<String>,
    /// The paths that differ from HEAD; none without a repository: then everything does.
    pub(crate) dirty: Option<Vec<String>>,
}

impl OnDisk {
    /// Which text this is, as far as `server` is concerned (`None`: the whole fleet).
    pub(crate) fn revision(&self, server: Option<&str>) -> RevisionName {
        let below = server.map(concerning).unwrap_or_default();
        let is_below = |path: &String| {
            let at = |b: &String| path.strip_prefix(b.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('/'));
            below.is_empty() || below.iter().any(at)
        };
        let edited = self.dirty.as_ref().is_none_or(|dirty| dirty.iter().any(is_below));
        RevisionName { commit: self.commit.clone(), edited }
    }
}

/// The work tree as it was found.
#[derive(Debug)]
struct Seen {
    /// `None`: it had changed just then, and nothing tells whether it still is as it was found.
    stamp: Option<u64>,
    /// When somebody began to look.
    at: Instant,
    found: Arc<OnDisk>,
}

/// The caches of one fleet.
#[derive(Debug)]
pub(crate) struct Caches {
    repo: Mutex<Option<Repo>>,
    disk: Mutex<Option<Seen>>,
    /// Held by whoever reads a revision, so that those who ask for the same one at once wait for it.
    pub(crate) reading: Mutex<()>,
    /// The newest revisions that were read, by full commit id.
    pub(crate) texts: Bounded<Arc<Text>>,
    /// What changesets are called, by full commit id.
    pub(crate) told: Bounded<Arc<str>>,
    /// One line of words, by full commit id.
    pub(crate) summaries: Bounded<Arc<str>>,
    /// By what is compared and how deep.
    pub(crate) comparisons: Bounded<Arc<Comparison>>,
    /// By full commit id and server.
    pub(crate) objects: Bounded<Arc<Objects>>,
    /// By full commit id and path.
    pub(crate) histories: Bounded<Arc<FileHistory>>,
    /// By full commit id.
    pub(crate) versions: Bounded<Arc<Versions>>,
    /// By the object ids of what they are written in.
    pub(crate) servers: Bounded<Arc<Known>>,
    /// Fleets without servers, by the object ids of what they are written in.
    pub(crate) shared: Bounded<Arc<Fleet>>,
    /// By object id.
    pub(crate) lock_inputs: Bounded<Option<Arc<str>>>,
    /// The roles of servers, by the object id of the server's directory.
    pub(crate) roles: Bounded<Arc<[String]>>,
    /// All changesets, if somebody keeps them.
    pub(crate) log: Kept,
}

impl Default for Caches {
    fn default() -> Caches {
        Caches {
            repo: Mutex::default(),
            disk: Mutex::default(),
            reading: Mutex::default(),
            texts: Bounded::new(TEXTS),
            told: Bounded::new(SUMMARIES),
            summaries: Bounded::new(SUMMARIES),
            comparisons: Bounded::new(COMPARISONS),
            objects: Bounded::new(OBJECTS),
            histories: Bounded::new(HISTORIES),
            versions: Bounded::new(TEXTS),
            servers: Bounded::new(SERVERS),
            shared: Bounded::new(SHARED),
            lock_inputs: Bounded::new(LOCKS),
            roles: Bounded::new(LOCKS),
            log: Kept::default(),
        }
    }
}

impl Caches {
    /// The fleet's repository, found once; an interrupted landing is finished each time.
    pub(crate) fn repo(&self, fleet: &Path) -> Result<Repo> {
        let mut known = self.repo.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(repo) = known.as_ref().filter(|r| r.is_at(fleet)) {
            repo.recover()?;
            return Ok(repo.clone());
        }
        let repo = Repo::open(fleet)?;
        *known = Some(repo.clone());
        Ok(repo)
    }

    /// The work tree as it is now, or was at any time after `since`. It is read only if anything has changed since it was
    /// read last.
    pub(crate) fn on_disk(&self, fleet: &Path, since: Option<Instant>) -> Result<Arc<OnDisk>> {
        let repo = match self.repo(fleet) {
            Ok(repo) => Some(repo),
            Err(Error::History(regrow_history::Error::NoRepository(_))) => None,
            Err(e) => return Err(e),
        };
        // One reads, the others wait for it.
        let mut known = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = known.as_ref().filter(|seen| since.is_some_and(|since| seen.at >= since)) {
            return Ok(seen.found.clone());
        }
        let at = Instant::now();
        // Before reading: what changes while it is read shows in the next stamp.
        let stamp = repo.as_ref().and_then(Repo::stamp);
        if let Some(seen) = known.as_mut().filter(|seen| stamp.is_some() && seen.stamp == stamp) {
            seen.at = at;
            return Ok(seen.found.clone());
        }
        *known = None;
        // First the text: what is edited in between then counts as edited, not as HEAD's.
        let (read, diagnostics) = regrow_config::load_fleet(&DiskFiles::new(fleet)?);
        let (commit, dirty) = match &repo {
            Some(repo) => {
                let (head, dirty) = repo.head_and_dirty()?;
                (head, Some(dirty))
            }
            None => (None, None),
        };
        let text = Arc::new(Text { fleet: Arc::new(read), diagnostics });
        let found = Arc::new(OnDisk { text, commit, dirty });
        *known = Some(Seen { stamp, at, found: found.clone() });
        Ok(found)
    }
}

/// Values by name; when there are too many, the oldest one goes.
#[derive(Debug)]
pub(crate) struct Bounded<T> {
    most: usize,
    held: Mutex<(BTreeMap<String, T>, VecDeque<String>)>,
    /// What is being worked out now.
    flights: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
}

impl<T: Clone> Bounded<T> {
    fn new(most: usize) -> Bounded<T> {
        Bounded { most, held: Mutex::default(), flights: Mutex::default() }
    }

    /// The value, if it is still known.
    pub(crate) fn get(&self, name: &str) -> Option<T> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).0.get(name).cloned()
    }

    /// The name and value that were remembered last.
    pub(crate) fn newest(&self) -> Option<(String, T)> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (values, order) = &*held;
        order.back().and_then(|name| Some((name.clone(), values.get(name)?.clone())))
    }

    /// All of these values, if all are known.
    pub(crate) fn all<'n>(&self, names: impl Iterator<Item = &'n str>) -> Option<Vec<T>> {
        names.map(|name| self.get(name)).collect()
    }

    /// The value, worked out if it is not known. Whoever else asks meanwhile waits for it instead of working it out, too.
    /// What `work` does not remember is worked out for each.
    pub(crate) fn get_or(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if let Some(known) = self.get(name) {
            return Ok(known);
        }
        let flights = || self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let flight = flights().entry(name.to_owned()).or_default().clone();
        let found = {
            let _first = flight.lock().unwrap_or_else(PoisonError::into_inner);
            match self.get(name) {
                Some(known) => Ok(known),
                None => work(),
            }
        };
        let mut flights = flights();
        // Nobody but us and the table holds it any more.
        if flights.get(name).is_some_and(|f| Arc::ptr_eq(f, &flight) && Arc::strong_count(f) == 2) {
            flights.remove(name);
        }
        found
    }

    /// Remembers a value.
    pub(crate) fn put(&self, name: &str, value: T) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (values, order) = &mut *held;
        if values.insert(name.to_owned(), value).is_none() {
            order.push_back(name.to_owned());
        }
        while values.len() > self.most {
            let Some(oldest) = order.pop_front() else { break };
            values.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let cache = Bounded::new(2);
        for (n, name) in ["a", "b", "a", "c"].into_iter().enumerate() {
            cache.put(name, n);
        }
        assert_eq!(["a", "b", "c"].map(|name| cache.get(name)), [None, Some(1), Some(3)]);
    }
}
