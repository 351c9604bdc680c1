//! The one thread that forks.
//!
//! `PR_SET_PDEATHSIG` means the death of the *thread* that forked, not of the process. Sandboxes are started from
//! threads that come and go (requests, jobs), so all forks happen on one thread that lives as long as the process.
//! After a bare `fork` of this program that thread is missing in the child: do not spawn sandboxes there.

use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use crate::error::{Result, step};
use crate::sys;

type Job = Box<dyn FnOnce() + Send>;

/// Runs `f` on the spawner thread and returns what it returns. `f` must be quick: fork and little else.
pub(crate) fn on_spawner<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    static JOBS: OnceLock<Sender<Job>> = OnceLock::new();
    let gone = |_| std::io::Error::other("the spawner thread is gone");
    let jobs = match JOBS.get() {
        Some(jobs) => jobs,
        None => {
            let (sender, receiver) = channel::<Job>();
            std::thread::Builder::new()
                .name("regrow-spawner".to_owned())
                .spawn(move || {
                    sys::block_signals();
                    for job in receiver {
                        job();
                    }
                })
                .map_err(step("start a thread"))?;
            // Of two first callers one wins; the loser's thread ends as its sender is dropped.
            JOBS.get_or_init(|| sender)
        }
    };
    let (answer, result) = channel();
    let job: Job = Box::new(move || {
        let _ = answer.send(f());
    });
    jobs.send(job).map_err(|_| gone(())).map_err(step("reach the spawner thread"))?;
    result.recv().map_err(|_| gone(())).map_err(step("reach the spawner thread"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_jobs_run_on_one_thread_whoever_asks() {
        let id = || on_spawner(|| std::thread::current().id()).unwrap();
        let here = id();
        let elsewhere = std::thread::spawn(id).join().unwrap();
        assert_eq!(here, elsewhere);
        assert_ne!(here, std::thread::current().id());
    }
}
