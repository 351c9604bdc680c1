//! `/job/ID`: one job, live.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use regrow_ops::jobs::{self, Job, JobId};

use crate::app::App;
use crate::outcome::{Outcome, Report, job_title};
use crate::pages::{layout, message, show, work};
use crate::track::{Row, Track};
use crate::view::{Layout, Place, When};

#[derive(Debug, Template)]
#[template(path = "job.html")]
struct Page {
    layout: Layout,
    id: JobId,
    server: Option<String>,
    actor: String,
    started: When,
    running: bool,
    last: i64,
    outcome: Outcome,
    rows: Vec<Row>,
    report: Report,
}

/// The page.
pub(crate) async fn get(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<JobId>() else { return message::missing(&app, "A job has a number.") };
    let found = work(&app, move |ctx| {
        // The job before its events: what ends in between is then shown as running, and the stream tells the end.
        let Some(job) = jobs::get(ctx, id)? else { return Ok(None) };
        Ok(Some((job, jobs::events(ctx, id, 0)?)))
    });
    match found.await {
        Ok(Some((job, events))) => draw(&app, &job, &events),
        Ok(None) => message::missing(&app, &format!("There is no job {id}.")),
        Err(response) => response,
    }
}

fn draw(app: &App, job: &Job, events: &[jobs::Entry]) -> Response {
    let now = app.ctx.now();
    let mut track = Track::default();
    for entry in events {
        track.apply(entry);
    }
    // The record's end and the last event are written one after the other; either one is the end.
    let (state, result) = match track.ended() {
        Some(ended) => (ended.state, ended.result.clone()),
        None => (job.state, job.result.clone()),
    };
    let page = Page {
        layout: layout(app, job_title(job), Place::Servers),
        id: job.id,
        server: job.server.clone(),
        actor: job.actor.clone(),
        started: When::new(job.started, now),
        running: state == jobs::State::Running,
        last: track.last(),
        outcome: Outcome::new(job, state, &result),
        rows: track.rows(now).to_vec(),
        report: Report::new(&result),
    };
    show(StatusCode::OK, &page)
}
