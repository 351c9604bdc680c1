//! The main job on the real Debian archive, with real servers booted; needs root.

#[path = "../../../web/tests/common/browser.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod browser;
mod click;
mod fleet;
mod hunt;
mod hunt_ways;
mod hunting;
mod kill;
mod pages;
mod readme;
mod whole_way;

use std::sync::{Mutex, MutexGuard};

/// Booting several servers at once on two cores would only make every time limit meaningless.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(|e| e.into_inner())
}
