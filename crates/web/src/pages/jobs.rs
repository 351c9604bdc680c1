//! `/jobs`: the jobs, newest first.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use regrow_ops::jobs::{self, JobId, State as JobState};

use crate::app::App;
use crate::outcome::job_title;
use crate::pages::acts::mark;
use crate::pages::{layout, show, work};
use crate::view::{Layout, Mark, Place, When, took};

/// How many jobs the page shows.
const PAGE: usize = 100;

#[derive(Debug, Template)]
#[template(path = "jobs.html")]
struct Page {
    layout: Layout,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    id: JobId,
    title: String,
    mark: Mark,
    actor: String,
    started: When,
    took: String,
}

/// The page.
pub(crate) async fn get(State(app): State<Arc<App>>) -> Response {
    let listed = match work(&app, |ctx| jobs::list(ctx, None, PAGE)).await {
        Ok(listed) => listed,
        Err(response) => return response,
    };
    let now = app.ctx.now();
    let row = |job: jobs::Job| Row {
        id: job.id,
        title: job_title(&job),
        mark: mark(if job.state == JobState::Running { "running" } else { job.state.as_str() }),
        actor: job.actor,
        started: When::new(job.started, now),
        took: took(job.ended.unwrap_or(now).duration_since(job.started).as_secs_f64()),
    };
    let rows = listed.into_iter().map(row).collect();
    show(StatusCode::OK, &Page { layout: layout(&app, "Jobs", Place::Jobs), rows })
}
