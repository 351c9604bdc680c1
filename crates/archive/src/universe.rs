//! All suites of a fleet together: which versions of a package there are, and who provides a name.

use crate::index::{Index, Record};
use crate::suite::Loaded;
use crate::version;

/// A package and version: the number of its suite and of its record there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PackageId {
    pub(crate) suite: u16,
    pub(crate) record: u32,
}

/// One suite of the universe.
#[derive(Debug)]
pub(crate) struct Member {
    /// The archive's name in the fleet.
    pub archive: String,
    /// The suite's name in the fleet.
    pub suite: String,
    /// Its index.
    pub loaded: Loaded,
    /// Whether its packages are taken only where asked for by version.
    pub not_automatic: bool,
}

/// The suites, in the order of the fleet.
#[derive(Debug)]
pub(crate) struct Universe {
    pub(crate) members: Vec<Member>,
    pub(crate) architecture: String,
}

impl Universe {
    /// Suites as (archive, suite, index).
    pub(crate) fn new(suites: Vec<(String, String, Loaded)>, architecture: &str) -> Universe {
        let members = suites
            .into_iter()
            .map(|(archive, suite, loaded)| Member {
                not_automatic: loaded.release.not_automatic,
                archive,
                suite,
                loaded,
            })
            .collect();
        Universe { members, architecture: architecture.to_owned() }
    }

    /// Adds packages that are in no suite (any more) but in our store, so that what is locked can stay.
    pub(crate) fn add_stored(&mut self, index: Index, release: crate::release::Release) {
        let loaded = Loaded { release, release_sha256: crate::digest::Sha256([0; 32]), index };
        self.members.push(Member { archive: String::new(), suite: String::new(), loaded, not_automatic: true });
    }

    fn index(&self, suite: u16) -> &Index {
        &self.members[usize::from(suite)].loaded.index
    }

    /// The package's record.
    pub(crate) fn record(&self, id: PackageId) -> Record<'_> {
        self.index(id.suite).record(id.record as usize)
    }

    /// Its suite.
    pub(crate) fn member(&self, id: PackageId) -> &Member {
        &self.members[usize::from(id.suite)]
    }

    /// All versions of `name`, the one to take first first: newest first, those of suites that are not automatic last.
    /// A version that several suites have counts for the first of them.
    pub(crate) fn versions(&self, name: &str) -> Vec<PackageId> {
        let mut found: Vec<PackageId> = Vec::new();
        for (suite, member) in (0..).zip(&self.members) {
            for record in member.loaded.index.named(name) {
                found.push(PackageId { suite, record: record as u32 });
            }
        }
        let version = |id: &PackageId| self.record(*id).version();
        found.sort_by(|a, b| {
            let late = |id: &PackageId| self.member(*id).not_automatic;
            late(a).cmp(&late(b)).then_with(|| version::compare(version(b), version(a))).then(a.suite.cmp(&b.suite))
        });
        let mut seen: Vec<&str> = Vec::new();
        found.retain(|id| {
            let new = !seen.contains(&version(id));
            seen.push(version(id));
            new
        });
        found
    }

    /// The packages that provide `name`, with the version they provide it in.
    pub(crate) fn providers(&self, name: &str) -> Vec<(PackageId, Option<&str>)> {
        let mut found = Vec::new();
        for (suite, member) in (0..).zip(&self.members) {
            for (record, version) in member.loaded.index.providers(name) {
                found.push((PackageId { suite, record: record as u32 }, version));
            }
        }
        found
    }

    /// When `name` is first mentioned in the indexes, in the order in which apt reads them.
    pub(crate) fn rank(&self, name: &str) -> (usize, u32) {
        let ranked = self.members.iter().enumerate().find_map(|(i, m)| m.loaded.index.rank(name).map(|r| (i, r)));
        ranked.unwrap_or((usize::MAX, 0))
    }

    /// The names of the packages that every system has, sorted.
    pub(crate) fn essential(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for member in self.members.iter().filter(|m| !m.not_automatic) {
            let index = &member.loaded.index;
            names.extend((0..index.len()).map(|i| index.record(i)).filter(|r| r.is_essential()).map(|r| r.name()));
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}
