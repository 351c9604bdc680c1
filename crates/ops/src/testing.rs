//! For this crate's own tests: a context in a temporary directory with a fixed clock.

use regrow_host::program::Program;

use crate::context::{Clock, Context, Setup};

/// A context with the fleet and the home in a temporary directory, which lives as long as the first value.
pub(crate) fn context() -> (tempfile::TempDir, Context) {
    let dir = tempfile::tempdir().unwrap();
    let fleet = dir.path().join("fleet");
    std::fs::create_dir(&fleet).unwrap();
    let ctx = Context::new(Setup {
        fleet: Some(fleet),
        home: dir.path().join("home"),
        actor: "tester".to_owned(),
        program: "/nonexistent/regrow".into(),
        clock: Clock::Fixed("2026-01-02T03:04:05Z".parse().unwrap()),
    });
    (dir, ctx)
}

/// A fleet in a git repository of its own, in which Ann commits.
pub(crate) struct Repository {
    _dir: tempfile::TempDir,
    pub(crate) ctx: Context,
}

impl Repository {
    /// An empty one, without a commit.
    pub(crate) fn new() -> Repository {
        let (dir, ctx) = context();
        let repository = Repository { _dir: dir, ctx };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.git(&["config", "user.name", "Ann"]);
        repository.git(&["config", "user.email", "ann@example.org"]);
        repository.git(&["config", "core.autocrlf", "false"]);
        repository
    }

    /// Runs git in it, without the settings of whoever runs the tests; what it says, without line ends at its end.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let git = Program::new("git", "git").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let output = git.dir(self.ctx.fleet().unwrap()).args(args).run().unwrap();
        String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
    }

    /// Writes a file of the fleet, with its directories.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.ctx.fleet().unwrap().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A file of the fleet as it is on disk.
    pub(crate) fn disk(&self, path: &str) -> String {
        std::fs::read_to_string(self.ctx.fleet().unwrap().join(path)).unwrap()
    }

    /// Commits everything; the commit's id.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "--quiet", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }
}
