//! What differs between two texts of a fleet, most important first: in words, in effects, in keys, as text.
//!
//! ```text
//! Side ──► Text (files of a revision, a draft, the disk) ──► paths that differ ──► the servers and roles they reach
//!                                                                                          │
//!        words   from the typed models of both sides (words/)         ◄────────────────────┤
//!        effects from models, locks and evidence (effects)            ◄────────────────────┘
//!        keys    from the TOML files that differ (keys)
//!        text    as git shows it
//! ```
//!
//! * [`compare`]: all four layers. [`summary`]: one line of words for timelines and suggested messages.
//! * A role's change is said once, with the servers it reaches ([`RoleComparison`]), not once for each of them.
//! * What cannot be known yet (a lock that is missing or stale) is said, and [`ServerComparison::complete`] is false.

mod effects;
pub mod image;
mod keys;
mod load;
mod record;
mod side;
mod summary;
mod words;

use std::collections::BTreeSet;
use std::sync::Arc;

use regrow_history::{Changeset, PathChange, Repo};
use serde::Serialize;

pub use effects::{Effects, FileEffect, PackageEffect, PortEffect, UnitEffect};
pub use keys::FileKeys;
pub use regrow_config::edit::KeyChange;
pub use side::Side;
pub use summary::SUMMARY;

use crate::Answer;
use crate::cache::Caches;
use crate::context::Context;
use crate::error::Result;
use crate::remember;
pub(crate) use load::Known;
use load::{Loaded, Scope};
use side::Text;

/// What differs between two texts.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Comparison {
    /// The older text: a commit id, `disk`, or `nothing`.
    pub from: String,
    /// The newer text.
    pub to: String,
    /// Words about what concerns the whole fleet: archives, defaults, the catalog, files of no server.
    pub fleet: Vec<String>,
    /// Roles that differ, by name.
    pub roles: Vec<RoleComparison>,
    /// Servers that differ by more than their roles, by name.
    pub servers: Vec<ServerComparison>,
    /// The files that differ, sorted.
    pub paths: Vec<PathChange>,
    /// The keys that differ, file by file; locks, which no person edits, are left out.
    pub keys: Vec<FileKeys>,
    /// The unified diff; empty if nothing differs.
    pub text: String,
    /// What was not looked at: nothing, unless a [`glance`] was asked for.
    pub left_out: LeftOut,
}

/// What a glance at a large difference left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Servers that differ, or may differ by their roles.
    pub servers: usize,
    /// Files that differ: neither their keys nor their text.
    pub files: usize,
}

impl Answer for Comparison {}

impl Comparison {
    /// With what the former switches say about the next: that can change at any time.
    fn with_interruptions(mut self, ctx: &Context) -> Result<Comparison> {
        for server in &mut self.servers {
            let switches = effects::switches(ctx, &server.name)?;
            server.effects = std::mem::take(&mut server.effects).with_interruption(&switches);
        }
        Ok(self)
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether everything is known: every server that differs is locked on the newer side.
    pub fn is_complete(&self) -> bool {
        self.left_out.servers == 0
            && self.servers.iter().all(|s| s.complete)
            && self.roles.iter().all(|r| r.unlocked.is_empty())
    }
}

/// What differs for one server.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ServerComparison {
    /// Its name.
    pub name: String,
    /// What differs in words, without what its roles bring.
    pub words: Vec<String>,
    /// What comes of it.
    pub effects: Effects,
    /// False until the newer text has no mistakes and a lock that fits: then packages can still differ.
    pub complete: bool,
    /// Mistakes in the newer text of this server.
    pub mistakes: usize,
}

/// What differs for one role, and for which servers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RoleComparison {
    /// Its name.
    pub name: String,
    /// What differs in words.
    pub words: Vec<String>,
    /// What comes of it for a server that has only this role.
    pub effects: Effects,
    /// The servers that have it, by name.
    pub servers: Vec<String>,
    /// Those of them whose lock is missing or stale on the newer side.
    pub unlocked: Vec<String>,
}

/// How much is worked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Words only.
    Words,
    /// All four layers, of as much as a page shows.
    Glance,
    /// All four layers.
    All,
}

/// How many servers a glance looks at one by one, and the keys and the text of how many files it has.
const MOST_SERVERS: usize = 12;
const MOST_FILES: usize = 24;

/// Everything that differs between two texts.
///
/// # Errors
/// If a side does not exist or cannot be read. Mistakes in the text are no error: they are counted.
pub fn compare(ctx: &Context, from: &Side, to: &Side) -> Result<Comparison> {
    run(ctx, from, to, Depth::All)
}

/// As much of [`compare`] as a page shows: of the first servers and files that differ, and how many more there are.
pub fn glance(ctx: &Context, from: &Side, to: &Side) -> Result<Comparison> {
    run(ctx, from, to, Depth::Glance)
}

/// What differs between two texts in one line of at most [`SUMMARY`] characters: "web1: nginx starts at boot and 2 more".
/// Empty if nothing differs.
pub fn summary(ctx: &Context, from: &Side, to: &Side) -> Result<String> {
    Ok(summary::line(&run(ctx, from, to, Depth::Words)?))
}

/// [`summary`] of a comparison that was made already.
pub fn summary_of(comparison: &Comparison) -> String {
    summary::line(comparison)
}

/// A changeset and what it did: against its first parent, or against nothing.
pub fn of_changeset(ctx: &Context, revision: &str) -> Result<(Changeset, Comparison)> {
    changeset(ctx, revision, Depth::All)
}

/// [`of_changeset`] with a [`glance`].
pub fn glance_at_changeset(ctx: &Context, revision: &str) -> Result<(Changeset, Comparison)> {
    changeset(ctx, revision, Depth::Glance)
}

fn changeset(ctx: &Context, revision: &str, depth: Depth) -> Result<(Changeset, Comparison)> {
    let repo = ctx.repo()?;
    let change = remember::show(ctx, &repo, revision)?;
    let name = format!("{} {depth:?}", change.revision);
    let found = ctx.caches().comparisons.get_or(&name, || {
        let found = between(ctx.caches(), &repo, &sides_of(&repo, &change), change.paths.clone(), depth)?;
        Ok(keep(ctx, &name, found))
    })?;
    Ok((change, (*found).clone().with_interruptions(ctx)?))
}

/// The [`summary`] of each of some changesets; where `below` is given, their paths are only those.
pub(crate) fn summaries(ctx: &Context, changes: &[Changeset], whole: bool) -> Result<Vec<Arc<str>>> {
    let repo = ctx.repo()?;
    let known = ctx.caches().summaries.all(changes.iter().map(|c| &*c.revision));
    if whole && known.is_none() {
        return summaries_in(ctx, &repo, changes);
    }
    match known {
        Some(known) => Ok(known),
        None => {
            let whole: Result<Vec<Changeset>> =
                changes.iter().map(|c| remember::show(ctx, &repo, &c.revision)).collect();
            summaries_in(ctx, &repo, &whole?)
        }
    }
}

/// The [`summary`] of each of some changesets, as [`Repo::log`] has told them: from the record, where they are written
/// down for later, or worked out with this reader.
pub(crate) fn summaries_in(ctx: &Context, repo: &Repo, changes: &[Changeset]) -> Result<Vec<Arc<str>>> {
    let cache = &ctx.caches().summaries;
    let unknown = changes.iter().filter(|c| cache.get(&c.revision).is_none());
    let unknown: Vec<&str> = unknown.map(|c| &*c.revision).collect();
    for (revision, line) in record::read(ctx, repo, &unknown)? {
        cache.put(&revision, line);
    }
    let mut found = Vec::new();
    let mut new = Vec::new();
    for change in changes {
        if let Some(known) = cache.get(&change.revision) {
            found.push(known);
            continue;
        }
        let sides = sides_of(repo, change);
        let words = between(ctx.caches(), repo, &sides, change.paths.clone(), Depth::Words)?;
        let line: Arc<str> = summary::line(&words).into();
        cache.put(&change.revision, line.clone());
        new.push((&*change.revision, line.clone()));
        found.push(line);
    }
    record::write(ctx, repo, &new);
    Ok(found)
}

/// A comparison with a longer text is made anew each time.
const KEPT: usize = 256 << 10;

fn sides_of(repo: &Repo, change: &Changeset) -> (Text, Text) {
    let old = change.parents.first().map_or(Text::Nothing(Default::default()), |parent| Text::at(repo.at(parent)));
    (old, Text::at(repo.at(&change.revision)))
}

/// Remembers a comparison, unless it is large.
fn keep(ctx: &Context, name: &str, found: Comparison) -> Arc<Comparison> {
    let found = Arc::new(found);
    if found.text.len() <= KEPT {
        ctx.caches().comparisons.put(name, found.clone());
    }
    found
}

fn run(ctx: &Context, from: &Side, to: &Side, depth: Depth) -> Result<Comparison> {
    let repo = ctx.repo()?;
    let sides = (Text::open(ctx, &repo, from, to)?, Text::open(ctx, &repo, to, from)?);
    let work = || {
        let paths = side::changed(&repo, &sides.0, &sides.1)?;
        between(ctx.caches(), &repo, &sides, paths, depth)
    };
    match (sides.0.commit(), sides.1.commit(), depth) {
        (Some(old), Some(new), Depth::All | Depth::Glance) => {
            let name = format!("{}..{} {depth:?}", old.commit(), new.commit());
            let found = ctx.caches().comparisons.get_or(&name, || Ok(keep(ctx, &name, work()?)))?;
            (*found).clone().with_interruptions(ctx)
        }
        _ => work()?.with_interruptions(ctx),
    }
}

/// Between two texts of which the paths that differ are known.
fn between(
    caches: &Caches,
    repo: &Repo,
    (old, new): &(Text, Text),
    paths: Vec<PathChange>,
    depth: Depth,
) -> Result<Comparison> {
    let mut comparison = Comparison { from: old.name(), to: new.name(), ..Comparison::default() };
    if !paths.is_empty() {
        let mut scope = Scope::of(&paths);
        let names = |text: &Text| regrow_config::load_server_names(text.files()).unwrap_or_default();
        let all: BTreeSet<String> = names(old).into_iter().chain(names(new)).collect();
        if depth == Depth::Glance {
            comparison.left_out.servers = scope.narrow(&all, MOST_SERVERS);
        }
        let loaded = (Loaded::of(old, &scope, caches), Loaded::of(new, &scope, caches));
        comparison.fleet = words::fleet(&loaded.0.fleet, &loaded.1.fleet, &paths);
        comparison.roles = roles(&loaded, &scope, &all, depth);
        comparison.servers = servers(&loaded, &comparison.roles, &paths, depth);
        let seen = match depth {
            Depth::Words => 0,
            Depth::Glance => paths.len().min(MOST_FILES),
            Depth::All => paths.len(),
        };
        comparison.left_out.files = paths.len() - seen;
        if depth != Depth::Words {
            comparison.keys = keys::of_files(old, new, &paths[..seen])?;
            comparison.text = side::text(repo, old, new, &paths[..seen], seen < paths.len())?;
        }
    }
    comparison.paths = paths;
    Ok(comparison)
}

fn roles(
    loaded: &(Loaded<'_>, Loaded<'_>),
    scope: &Scope,
    all: &BTreeSet<String>,
    depth: Depth,
) -> Vec<RoleComparison> {
    let (old, new) = loaded;
    let mut found = Vec::new();
    for role in &scope.roles {
        let stand_in = side::stand_in(role);
        let before = old.server(&stand_in).filter(|_| old.fleet.roles.contains_key(role));
        let after = new.server(&stand_in).filter(|_| new.fleet.roles.contains_key(role));
        let words = match (before, after) {
            (None, Some(after)) => words::new_object("role", role, after),
            (Some(_), None) => vec![format!("The role {role} is removed")],
            (Some(before), Some(after)) => words::of_server(before, after, &new.fleet.catalog),
            (None, None) => Vec::new(),
        };
        let effects = match (depth, before, after) {
            (Depth::Words, ..) => Effects::default(),
            (_, before, after) => Effects::of(before, after, (None, None), &new.fleet.catalog),
        };
        let in_text = |name: &&String| new.has(name) && (new.takes(name, role) || old.takes(name, role));
        let servers: Vec<String> = all.iter().filter(in_text).cloned().collect();
        let unlocked = match depth {
            Depth::Words => Vec::new(),
            _ => servers.iter().filter(|s| new.server(s).is_some() && !new.is_locked(s)).cloned().collect(),
        };
        found.push(RoleComparison { name: role.clone(), words, effects, servers, unlocked });
    }
    found
}

fn servers(
    loaded: &(Loaded<'_>, Loaded<'_>),
    roles: &[RoleComparison],
    paths: &[PathChange],
    depth: Depth,
) -> Vec<ServerComparison> {
    let (old, new) = loaded;
    let names: BTreeSet<&String> = old.names().chain(new.names()).collect();
    let mut found = Vec::new();
    for name in names.into_iter().filter(|name| side::role_of(name).is_none()) {
        let own = format!("servers/{name}/");
        let touched = paths.iter().any(|p| p.path.starts_with(&own));
        let locked = paths.iter().any(|p| p.path.strip_prefix(&own) == Some("lock.toml"));
        let (before, after) = (old.server(name), new.server(name));
        let mut words = match (before, after) {
            (None, Some(after)) => words::new_object("server", name, after),
            (Some(_), None) => vec![format!("The server {name} is removed")],
            (Some(before), Some(after)) => words::of_server(before, after, &new.fleet.catalog),
            (None, None) => continue,
        };
        // What a role brings is said with the role.
        let brought: BTreeSet<&String> =
            roles.iter().filter(|r| r.servers.contains(name)).flat_map(|r| &r.words).collect();
        words.retain(|word| !brought.contains(word));
        // One that does not differ has nothing to tell.
        let locks = if locked { (old.lock(name), new.lock(name)) } else { (None, None) };
        if before.is_some() && after.is_some() {
            words.extend(words::of_locks((locks.0.as_ref(), locks.1.as_ref()), (before, after), &new.fleet.catalog));
        }
        let mistakes = new.mistakes(name);
        if words.is_empty() && mistakes <= old.mistakes(name) && !touched {
            continue;
        }
        let fits = after.is_none() || new.is_locked(name);
        let effects = match depth {
            Depth::Words => Effects::default(),
            _ => {
                // A lock that does not fit any more says nothing about the packages to come.
                let after_lock = locks.1.as_ref().filter(|_| fits);
                Effects::of(before, after, (locks.0.as_ref(), after_lock), &new.fleet.catalog)
            }
        };
        found.push(ServerComparison { name: name.clone(), words, effects, complete: fits && mistakes == 0, mistakes });
    }
    found
}

#[cfg(test)]
mod tests;
