//! For this crate's own tests: a context in a temporary directory with a fixed clock.

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
