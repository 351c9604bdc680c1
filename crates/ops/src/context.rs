//! What every verb needs: which fleet, which home, who asks, who looks on, what time it is.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use regrow_host::lock;
use regrow_host::progress::{Progress, Silent};

use crate::cache::{Caches, OnDisk};
use crate::database::Database;
use crate::error::{Error, Result};
use crate::home::Home;
use crate::jobs::Hub;

/// Where the time comes from. Tests fix it.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// Always this instant.
    Fixed(Timestamp),
    /// So many seconds after 1970 as the number says now; a test puts it forward.
    Hands(&'static AtomicI64),
}

impl Clock {
    /// The time now.
    pub fn now(self) -> Timestamp {
        match self {
            Clock::System => Timestamp::now(),
            Clock::Fixed(at) => at,
            Clock::Hands(seconds) => Timestamp::from_second(seconds.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX),
        }
    }
}

/// What every verb needs. Cheap to clone; clones share the database and the running jobs.
#[derive(Clone)]
pub struct Context {
    fleet: Option<PathBuf>,
    actor: Arc<str>,
    from: Arc<str>,
    progress: Arc<dyn Progress>,
    quiet: bool,
    /// See [`Context::looking`].
    since: Option<Instant>,
    /// Of this fleet alone: commits of two fleets in one repository have the same ids.
    caches: Arc<Caches>,
    shared: Arc<Shared>,
}

struct Shared {
    home: Home,
    program: PathBuf,
    clock: Clock,
    database: OnceLock<Database>,
    hub: Hub,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("fleet", &self.fleet).field("home", &self.shared.home).finish_non_exhaustive()
    }
}

/// How long a look may take: what goes on longer is a stream, which has to see changes.
const A_LOOK: Duration = Duration::from_secs(2);

/// How to make a [`Context`].
#[derive(Debug, Clone)]
pub struct Setup {
    /// The fleet's directory, if there is one: see [`find_fleet`].
    pub fleet: Option<PathBuf>,
    /// `REGROW_HOME`.
    pub home: PathBuf,
    /// Who asks, in words: "root".
    pub actor: String,
    /// The program to run for supervisors: normally this very executable.
    pub program: PathBuf,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Context {
    /// A context in which nobody looks on. Touches no file.
    pub fn new(setup: Setup) -> Context {
        let Setup { fleet, home, actor, program, clock } = setup;
        let shared = Shared { home: Home::new(home), program, clock, database: OnceLock::new(), hub: Hub::default() };
        Context {
            fleet,
            actor: actor.into(),
            from: "command".into(),
            progress: Arc::new(Silent),
            quiet: false,
            since: None,
            caches: Arc::default(),
            shared: Arc::new(shared),
        }
    }

    /// The same with somebody looking on.
    pub fn with_progress(&self, progress: Arc<dyn Progress>) -> Context {
        Context { progress, ..self.clone() }
    }

    /// The same for another fleet (a supervisor learns its fleet from the home).
    pub fn with_fleet(&self, fleet: PathBuf) -> Context {
        Context { fleet: Some(fleet), caches: Arc::default(), ..self.clone() }
    }

    /// The same on behalf of somebody else: `actor` as in [`Setup::actor`], `from` as in [`Context::from`].
    pub fn on_behalf_of(&self, actor: &str, from: &str) -> Context {
        Context { actor: actor.into(), from: from.into(), ..self.clone() }
    }

    /// The same for steps of an act that is recorded as a whole: they record no acts of their own. Jobs always do.
    pub fn quietly(&self) -> Context {
        Context { quiet: true, ..self.clone() }
    }

    /// The same for one look that began now: the work tree is looked at once and taken to be the same until the look is
    /// over, seconds later at most. Not for who changes the text and reads it again.
    pub fn looking(&self) -> Context {
        Context { since: Some(Instant::now()), ..self.clone() }
    }

    /// The work tree, read again only if it has changed.
    pub(crate) fn on_disk(&self) -> Result<Arc<OnDisk>> {
        let since = self.since.filter(|since| since.elapsed() < A_LOOK);
        self.caches.on_disk(self.fleet()?, since)
    }

    /// Whether steps record no acts: see [`Context::quietly`].
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The fleet's directory.
    ///
    /// # Errors
    /// [`Error::Mistake`] if there is none.
    pub fn fleet(&self) -> Result<&Path> {
        self.fleet.as_deref().ok_or_else(|| {
            Error::mistake_with(
                "no fleet here: neither this directory nor one above it has a regrow.toml",
                "go into a fleet, name one with `--fleet DIR`, or make one with `regrow init DIR`",
            )
        })
    }

    /// The fleet's directory, if there is one.
    pub fn fleet_optional(&self) -> Option<&Path> {
        self.fleet.as_deref()
    }

    /// `REGROW_HOME`.
    pub fn home(&self) -> &Home {
        &self.shared.home
    }

    /// The fleet's repository. It is looked for once; an interrupted landing is finished each time.
    pub fn repo(&self) -> Result<regrow_history::Repo> {
        self.caches.repo(self.fleet()?)
    }

    /// What was worked out before.
    pub(crate) fn caches(&self) -> &Caches {
        &self.caches
    }

    /// Who asks.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// From where it is asked, in words: `command`, or `page 192.0.2.7` for a browser at that address.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The program to run for supervisors.
    pub fn program(&self) -> &Path {
        &self.shared.program
    }

    /// Who looks on.
    pub fn progress(&self) -> &dyn Progress {
        &*self.progress
    }

    /// Who looks on, to be shared with a thread.
    pub fn progress_shared(&self) -> Arc<dyn Progress> {
        self.progress.clone()
    }

    /// Where the time comes from.
    pub fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// The record of jobs and evidence, opened at the first use.
    pub fn database(&self) -> Result<&Database> {
        if let Some(database) = self.shared.database.get() {
            return Ok(database);
        }
        let opened = Database::open(self.home().database(), self.progress())?;
        Ok(self.shared.database.get_or_init(|| opened))
    }

    /// Cleans up after commands that were killed: scratch directories and control groups whose owner is gone.
    pub fn sweep(&self) -> Result<()> {
        self.home().create()?;
        // Processes first: they may still use the directories.
        if rustix::process::geteuid().is_root() {
            regrow_sandbox::sweep(CGROUPS, owner_lives)?;
        }
        lock::sweep(self.home().scratch())?;
        Ok(())
    }

    /// What every verb that works in the home begins with: [`Context::sweep`], and online servers whose supervisor was
    /// killed come back.
    pub fn recover(&self) -> Result<()> {
        self.sweep()?;
        if rustix::process::geteuid().is_root() {
            crate::online::recover(self)?;
        }
        Ok(())
    }

    /// What every verb that works with sandboxes begins with: are we root? Then [`Context::recover`].
    ///
    /// # Errors
    /// [`Error::Surroundings`] naming `doing` ("building"), if we are not root.
    pub fn begin(&self, doing: &str) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::surroundings(
                format!("{doing} needs root: it mounts images and makes namespaces"),
                "run the command as root, for example with sudo",
            ));
        }
        self.recover()
    }

    /// A name for a control group of this process: `regrow-ROLE-PID-START-N`. When the process is gone,
    /// [`Context::sweep`] removes it.
    pub fn cgroup_name(&self, role: &str) -> String {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let pid = std::process::id();
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        format!("{CGROUPS}{role}-{pid}-{}-{n}", process_start(pid).unwrap_or_default())
    }

    /// The running jobs of this process.
    pub(crate) fn hub(&self) -> &Hub {
        &self.shared.hub
    }
}

/// What the names of all our control groups begin with.
const CGROUPS: &str = "regrow-";

/// Whether the process that a control group is named after still runs. Groups that we cannot have named are left alone.
fn owner_lives(name: &str) -> bool {
    let mut parts = name.rsplit('-');
    let (_, start, pid) =
        (parts.next(), parts.next().and_then(|p| p.parse().ok()), parts.next().and_then(|p| p.parse().ok()));
    match (pid, start) {
        (Some(pid), Some(start)) => process_start(pid) == Some(start),
        _ => true,
    }
}

/// When a process began, in clock ticks after the boot: what tells it from a later one with the same number. `None` if
/// there is none.
pub(crate) fn process_start(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold spaces and brackets itself.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    // Dead, and only its parent has not asked how it ended.
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The fleet that `from` lies in: the nearest directory at or above it with a `regrow.toml`.
pub fn find_fleet(from: &Path) -> Option<PathBuf> {
    let from = std::path::absolute(from).ok()?;
    from.ancestors().find(|dir| dir.join("regrow.toml").is_file()).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_is_owned_as_long_as_its_process_lives() {
        let (_dir, ctx) = crate::testing::context();
        assert!(owner_lives(&ctx.cgroup_name("trial-web1")));
        let start = process_start(std::process::id()).unwrap();
        assert!(
            !owner_lives(&format!("regrow-trial-web1-{}-{}-0", std::process::id(), start + 1)),
            "a later process of that number"
        );
        assert!(owner_lives("regrow-of-somebody-else"));
    }

    #[test]
    fn the_nearest_fleet_above_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("servers/web1");
        std::fs::create_dir_all(&deep).unwrap();
        assert_eq!(find_fleet(&deep), None, "assuming that the temporary directory lies in no fleet");
        std::fs::write(dir.path().join("regrow.toml"), "schema = 1\n").unwrap();
        assert_eq!(find_fleet(&deep).as_deref(), Some(dir.path()));
    }
}
