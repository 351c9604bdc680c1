//! What is worked out once and asked for often: about revisions, which never change.
//!
//! Everything here is bounded, and anything may be forgotten at any time.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use regrow_history::{Changeset, Repo};

use crate::compare::Comparison;
use crate::error::Result;

/// How many summaries are remembered: about 200 bytes each.
const SUMMARIES: usize = 4096;
/// How many comparisons are remembered.
const COMPARISONS: usize = 64;

/// What a changeset is and did.
pub(crate) type Shown = Arc<(Changeset, Comparison)>;

/// The caches of one program.
#[derive(Debug)]
pub(crate) struct Caches {
    repo: Mutex<Option<Repo>>,
    /// One line of words, by full commit id.
    pub(crate) summaries: Bounded<Arc<str>>,
    /// By full commit id.
    pub(crate) changesets: Bounded<Shown>,
    /// By both full commit ids.
    pub(crate) comparisons: Bounded<Arc<Comparison>>,
}

impl Default for Caches {
    fn default() -> Caches {
        Caches {
            repo: Mutex::default(),
            summaries: Bounded::new(SUMMARIES),
            changesets: Bounded::new(COMPARISONS),
            comparisons: Bounded::new(COMPARISONS),
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
}

/// Values by name; when there are too many, the oldest one goes.
#[derive(Debug)]
pub(crate) struct Bounded<T> {
    most: usize,
    held: Mutex<(BTreeMap<String, T>, VecDeque<String>)>,
}

impl<T: Clone> Bounded<T> {
    fn new(most: usize) -> Bounded<T> {
        Bounded { most, held: Mutex::default() }
    }

    /// The value, if it is still known.
    pub(crate) fn get(&self, name: &str) -> Option<T> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).0.get(name).cloned()
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
