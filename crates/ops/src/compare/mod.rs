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
mod side;
mod summary;
mod words;

use std::collections::BTreeSet;
use std::sync::Arc;

use regrow_config::{Diagnostic, Fleet, LockFile};
use regrow_history::{Changeset, PathChange, Repo};
use serde::Serialize;

pub use effects::{Effects, FileEffect, PackageEffect, PortEffect, UnitEffect};
pub use keys::FileKeys;
pub use regrow_config::edit::KeyChange;
pub use side::Side;
pub use summary::SUMMARY;

use crate::Answer;
use crate::context::Context;
use crate::error::Result;
use crate::wanted::concerns;
use side::{Narrow, Text};

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
        self.servers.iter().all(|s| s.complete) && self.roles.iter().all(|r| r.unlocked.is_empty())
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
    /// All four layers.
    All,
}

/// Everything that differs between two texts.
///
/// # Errors
/// If a side does not exist or cannot be read. Mistakes in the text are no error: they are counted.
pub fn compare(ctx: &Context, from: &Side, to: &Side) -> Result<Comparison> {
    run(ctx, from, to, Depth::All)
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
    let cache = &ctx.caches().changesets;
    if let Some(known) = cache.get(revision) {
        let (change, found) = (*known).clone();
        return Ok((change, found.with_interruptions(ctx)?));
    }
    let repo = ctx.repo()?;
    let change = repo.show(revision)?;
    let sides = sides_of(&repo, &change);
    let found = between(&repo, &sides, change.paths.clone(), Depth::All)?;
    if found.text.len() <= KEPT {
        cache.put(&change.revision, Arc::new((change.clone(), found.clone())));
    }
    Ok((change, found.with_interruptions(ctx)?))
}

/// The [`summary`] of each of some changesets, as [`Repo::log`] has told them.
pub fn summaries(ctx: &Context, changes: &[Changeset]) -> Result<Vec<Arc<str>>> {
    let cache = &ctx.caches().summaries;
    let repo = ctx.repo()?;
    let mut found = Vec::new();
    for change in changes {
        if let Some(known) = cache.get(&change.revision) {
            found.push(known);
            continue;
        }
        let sides = sides_of(&repo, change);
        let line: Arc<str> = summary::line(&between(&repo, &sides, change.paths.clone(), Depth::Words)?).into();
        cache.put(&change.revision, line.clone());
        found.push(line);
    }
    Ok(found)
}

/// A comparison with a longer text is made anew each time.
const KEPT: usize = 256 << 10;

fn sides_of(repo: &Repo, change: &Changeset) -> (Text, Text) {
    let old = change.parents.first().map_or(Text::Nothing(Default::default()), |parent| Text::at(repo.at(parent)));
    (old, Text::at(repo.at(&change.revision)))
}

fn run(ctx: &Context, from: &Side, to: &Side, depth: Depth) -> Result<Comparison> {
    let repo = ctx.repo()?;
    let sides = (Text::open(&repo, from, to)?, Text::open(&repo, to, from)?);
    let name = match (&sides, depth) {
        ((Text::Commit(old), Text::Commit(new)), Depth::All) => Some(format!("{}..{}", old.commit(), new.commit())),
        _ => None,
    };
    if let Some(known) = name.as_ref().and_then(|name| ctx.caches().comparisons.get(name)) {
        return (*known).clone().with_interruptions(ctx);
    }
    let paths = side::changed(&repo, &sides.0, &sides.1)?;
    let found = between(&repo, &sides, paths, depth)?;
    if let Some(name) = name.filter(|_| found.text.len() <= KEPT) {
        ctx.caches().comparisons.put(&name, Arc::new(found.clone()));
    }
    found.with_interruptions(ctx)
}

/// Between two texts of which the paths that differ are known.
fn between(repo: &Repo, (old, new): &(Text, Text), paths: Vec<PathChange>, depth: Depth) -> Result<Comparison> {
    let mut comparison = Comparison { from: old.name(), to: new.name(), ..Comparison::default() };
    if !paths.is_empty() {
        let scope = Scope::of(&paths);
        let loaded = (Loaded::of(old, &scope), Loaded::of(new, &scope));
        comparison.fleet = words::fleet(&loaded.0.fleet, &loaded.1.fleet, &paths);
        comparison.roles = roles(&loaded, &scope, depth);
        comparison.servers = servers(&loaded, &comparison.roles, &paths, depth);
        if depth == Depth::All {
            comparison.keys = keys::of_files(old, new, &paths)?;
            comparison.text = side::text(repo, old, new, &paths)?;
        }
    }
    comparison.paths = paths;
    Ok(comparison)
}

/// What must be read to know what some paths change.
#[derive(Debug)]
struct Scope {
    /// The servers; all of them if none.
    servers: Option<BTreeSet<String>>,
    /// The roles whose own files differ.
    roles: BTreeSet<String>,
}

impl Scope {
    fn of(paths: &[PathChange]) -> Scope {
        let mut servers = Some(BTreeSet::new());
        let mut roles = BTreeSet::new();
        for change in paths {
            let mut parts = change.path.split('/');
            match (parts.next(), parts.next(), parts.next()) {
                (Some("servers"), Some(server), Some(_)) => {
                    if let Some(servers) = &mut servers {
                        servers.insert(server.to_owned());
                    }
                }
                (Some("roles"), Some(file), None) => {
                    roles.extend(file.strip_suffix(".toml").map(str::to_owned));
                    servers = None;
                }
                // Notes for people.
                (Some(file), None, None) if file != "regrow.toml" => {}
                // Archives, the catalog, and files that any server may take as a source.
                _ => servers = None,
            }
        }
        Scope { servers, roles }
    }
}

/// One side, read.
struct Loaded<'t> {
    fleet: Fleet,
    diagnostics: Vec<Diagnostic>,
    files: Narrow<'t>,
}

impl<'t> Loaded<'t> {
    fn of(text: &'t Text, scope: &Scope) -> Loaded<'t> {
        let files = Narrow::new(text.files(), scope.servers.clone(), &scope.roles);
        let (fleet, diagnostics) = regrow_config::load_fleet(&files);
        Loaded { fleet, diagnostics, files }
    }

    fn lock(&self, server: &str) -> Option<LockFile> {
        regrow_config::load_lock(&self.files, server).ok().flatten()
    }

    /// The lock, if it fits the text.
    fn fitting_lock(&self, server: &str) -> Option<LockFile> {
        let text = self.fleet.servers.get(server)?;
        self.lock(server).filter(|lock| lock.inputs == regrow_config::inputs_digest(text, &self.fleet))
    }

    fn mistakes(&self, server: &str) -> usize {
        self.diagnostics.iter().filter(|d| d.is_error() && concerns(&d.file, server)).count()
    }
}

fn roles(loaded: &(Loaded<'_>, Loaded<'_>), scope: &Scope, depth: Depth) -> Vec<RoleComparison> {
    let (old, new) = loaded;
    let mut found = Vec::new();
    for role in &scope.roles {
        let stand_in = side::stand_in(role);
        let before = old.fleet.servers.get(&stand_in).filter(|_| old.fleet.roles.contains_key(role));
        let after = new.fleet.servers.get(&stand_in).filter(|_| new.fleet.roles.contains_key(role));
        let words = match (before, after) {
            (None, Some(after)) => words::new_object("role", role, after),
            (Some(_), None) => vec![format!("The role {role} is removed")],
            (Some(before), Some(after)) => words::of_server(before, after, &new.fleet.catalog),
            (None, None) => Vec::new(),
        };
        let effects = match (depth, before, after) {
            (Depth::All, before, after) => Effects::of(before, after, (None, None), &new.fleet.catalog),
            _ => Effects::default(),
        };
        let has = |fleet: &Fleet, name: &str| fleet.servers.get(name).is_some_and(|s| s.roles.contains(role));
        let real = |name: &&String| !side::is_stand_in(name);
        let servers: Vec<String> = new
            .fleet
            .servers
            .keys()
            .filter(real)
            .filter(|n| has(&new.fleet, n) || has(&old.fleet, n))
            .cloned()
            .collect();
        let unlocked = match depth {
            Depth::Words => Vec::new(),
            Depth::All => servers.iter().filter(|s| new.fitting_lock(s).is_none()).cloned().collect(),
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
    let names: BTreeSet<&String> = old.fleet.servers.keys().chain(new.fleet.servers.keys()).collect();
    let mut found = Vec::new();
    for name in names.into_iter().filter(|name| !side::is_stand_in(name)) {
        let own = format!("servers/{name}/");
        let touched = paths.iter().any(|p| p.path.starts_with(&own));
        let locked = paths.iter().any(|p| p.path.strip_prefix(&own) == Some("lock.toml"));
        let (before, after) = (old.fleet.servers.get(name), new.fleet.servers.get(name));
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
        let locks = match (locked, depth) {
            (false, Depth::Words) => (None, None),
            _ => (old.lock(name), new.lock(name)),
        };
        if before.is_some() && after.is_some() {
            words.extend(words::of_locks((locks.0.as_ref(), locks.1.as_ref()), (before, after), &new.fleet.catalog));
        }
        let mistakes = new.mistakes(name);
        if words.is_empty() && mistakes <= old.mistakes(name) && !touched {
            continue;
        }
        let fits = after.is_none() || new.fitting_lock(name).is_some();
        let effects = match depth {
            Depth::Words => Effects::default(),
            Depth::All => {
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
