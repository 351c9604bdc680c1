//! Jobs and hunts that pages can show: some that ended, some in the middle.

use std::sync::mpsc;

use regrow_host::lock::Wait;
use regrow_host::progress::{self, Unit};
use regrow_ops::Error;
use regrow_ops::hunt::{self, Asked, HuntId, Question};
use regrow_ops::jobs::{self, About, JobId, Task};
use serde_json::json;

use super::Pages;
use super::fleet::image;

/// A trial that said no.
pub(crate) fn ended_job(pages: &Pages) -> JobId {
    let job = jobs::start(&pages.ctx, "trial", Some("web1"), |ctx| {
        let step = progress::step(ctx.progress(), "boot", "Boot offline");
        step.finish("running after 3.1 s");
        progress::note(ctx.progress(), "this kernel has no fs-verity; going on without");
        progress::step(ctx.progress(), "check front", "Check front").finish("failed: status 200, not 500");
        Ok(No(
            json!({"seconds": 4.2, "ready_seconds": 3.1, "image": image('c'), "revision": "0123456789abcdef0123456789abcdef01234567",
            "checks": [{"name": "front", "passed": false, "detail": "status 200, not 500", "seconds": 0.1},
                       {"name": "running", "passed": true, "detail": "running", "seconds": 3.1}],
            "failed_units": [{"unit": "nginx.service", "journal": "nginx: [emerg] unknown directive \"sevrer\" in /etc/nginx/nginx.conf:7"}]}),
        ))
    });
    let job = job.unwrap();
    assert!(jobs::subscribe(&pages.ctx, job, 0).unwrap().count() > 3);
    job
}

/// A report that says no.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct No(serde_json::Value);

impl regrow_ops::Answer for No {
    fn is_yes(&self) -> bool {
        false
    }
}

/// A build half-way; it ends when told to.
pub(crate) fn running_job(pages: &Pages) -> (JobId, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel();
    let job = jobs::start(&pages.ctx, "build", Some("web1"), move |ctx| {
        progress::step(ctx.progress(), "fetch", "Packages").finish("184 packages, all already here");
        progress::step(ctx.progress(), "layer base", "Layer base").finish("already there");
        let step = progress::step(ctx.progress(), "layer requested", "Layer requested");
        step.advance(61, 143, Unit::Items);
        wait.recv().unwrap();
        step.finish("143 packages");
        Ok(json!({"seconds": 9.4, "image": image('d'), "layers": [
            {"name": "base", "key": "e".repeat(64), "cached": true, "seconds": 0.0},
            {"name": "requested", "key": "f".repeat(64), "cached": false, "seconds": 9.1}]}))
    });
    (job.unwrap(), go)
}

/// The question of a hunt whose ends are what evidence knows.
fn question(pages: &Pages, check: &str) -> Question {
    hunt::question(&pages.ctx, "web1", &Asked::named(check), None, None).unwrap()
}

/// A hunt that came to its end. Where evidence knows both sides of the culprit, nothing is booted.
pub(crate) fn ended_hunt(pages: &Pages, check: &str) -> HuntId {
    let job = jobs::launch(&pages.ctx, &Task::Hunt { question: question(pages, check) }).unwrap();
    assert!(jobs::subscribe(&pages.ctx, job, 0).unwrap().count() > 0);
    hunt::of_job(&pages.ctx, job).unwrap().unwrap()
}

/// A hunt that was stopped before it had learned anything.
pub(crate) fn stopped_hunt(pages: &Pages, check: &str) -> HuntId {
    let (id, _, stop) = running_hunt(pages, check);
    stop();
    id
}

/// A hunt under way, its job, and what stops it and waits for its end.
pub(crate) fn running_hunt(pages: &Pages, check: &str) -> (HuntId, JobId, impl FnOnce() + use<>) {
    let (go, wait) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel::<()>();
    let about = About::hunt(&question(pages, check), Wait::No);
    let ctx = pages.ctx.clone();
    let thread = std::thread::spawn(move || {
        let stopped = jobs::run(&ctx, &about, |_| {
            begun.send(()).unwrap();
            let _ = wait.recv();
            Err::<serde_json::Value, _>(Error::Cancelled)
        });
        assert!(matches!(stopped, Err(Error::Cancelled)));
    });
    begins.recv().unwrap();
    let job = jobs::list(&pages.ctx, Some("web1"), 1).unwrap()[0].id;
    let stop = move || {
        go.send(()).unwrap();
        thread.join().unwrap();
    };
    (hunt::of_job(&pages.ctx, job).unwrap().unwrap(), job, stop)
}
