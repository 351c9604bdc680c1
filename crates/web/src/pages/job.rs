//! `/job/ID`: one job, live. The pages of a trial and of a switch show one in the same way.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use regrow_ops::accounts::Role;
use regrow_ops::jobs::{self, Job, JobId};
use regrow_ops::{Context, hunt};
use serde::Deserialize;

use crate::app::App;
use crate::outcome::{Outcome, Report, job_title, judged};
use crate::pages::{layout, message, show, work};
use crate::track::{CheckRow, Countdown, Row, Track};
use crate::view::{Layout, Place, When};
use crate::visitor::{MayEdit, Visitor};

/// A job as it is watched: what `watch.html` draws, beside its `outcome` and its `report`.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) id: JobId,
    pub(crate) running: bool,
    /// Whether it runs checks.
    pub(crate) judges: bool,
    /// The number of the last event that is drawn.
    pub(crate) last: i64,
    pub(crate) rows: Vec<Row>,
    pub(crate) checks: Vec<CheckRow>,
    pub(crate) countdown: Countdown,
}

/// Whether what a verb puts online goes back by itself.
pub(crate) fn goes_back(verb: &str) -> bool {
    matches!(verb, "switch" | "rollback")
}

/// Whether a verb changes what is online: only then it is ended by those who may change that.
fn changes_online(verb: &str) -> bool {
    goes_back(verb) || verb == "undo"
}

/// Reads a job with all it told; `None` if there is none of that number.
pub(crate) fn read(ctx: &Context, id: JobId) -> regrow_ops::Result<Option<(Job, Vec<jobs::Entry>)>> {
    // The job before its events: what ends in between is then shown as running, and the stream tells the end.
    let Some(job) = jobs::get(ctx, id)? else { return Ok(None) };
    Ok(Some((job, jobs::events(ctx, id, 0)?)))
}

/// What there is to be seen of a job at `now`.
pub(crate) fn watch(job: &Job, events: &[jobs::Entry], now: Timestamp) -> (Watch, Outcome, Report) {
    let mut track = Track::default();
    for entry in events {
        track.apply(entry);
    }
    // The record's end and the last event are written one after the other; either one is the end.
    let (state, result) = match track.ended() {
        Some(ended) => (ended.state, ended.result.clone()),
        None => (job.state, job.result.clone()),
    };
    let watch = Watch {
        id: job.id,
        running: state == jobs::State::Running,
        judges: job.verb == "trial" || changes_online(&job.verb),
        last: track.last(),
        rows: track.rows(now).to_vec(),
        checks: track.checks(now).to_vec(),
        countdown: track.countdown(goes_back(&job.verb), now),
    };
    let report = Report::of(job.server.as_deref(), judged(&job.verb, &result));
    (watch, Outcome::new(job, state, &result), report)
}

/// A job as the pages of a trial and of a switch show it; empty where there was none.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) watch: Option<Watch>,
    pub(crate) outcome: Outcome,
    pub(crate) report: Report,
    /// As in [`Job::result`].
    pub(crate) result: serde_json::Value,
}

impl Found {
    /// The job of a server that was asked for, else the last one with one of these verbs.
    pub(crate) fn of(ctx: &Context, server: &str, asked: Option<JobId>, verbs: &[&str]) -> regrow_ops::Result<Found> {
        let id = match asked {
            Some(id) => Some(id),
            None => jobs::list(ctx, Some(server), 30)?.into_iter().find(|j| verbs.contains(&&*j.verb)).map(|j| j.id),
        };
        let found = match id {
            Some(id) => read(ctx, id)?.filter(|(job, _)| job.server.as_deref() == Some(server)),
            None => None,
        };
        let Some((job, events)) = found else {
            let (outcome, report) = (Outcome::nothing(), Report::default());
            return Ok(Found { watch: None, outcome, report, result: serde_json::Value::Null });
        };
        let (watch, outcome, report) = watch(&job, &events, ctx.now());
        Ok(Found { watch: Some(watch), outcome, report, result: job.result })
    }

    /// Whether it runs now.
    pub(crate) fn running(&self) -> bool {
        self.watch.as_ref().is_some_and(|w| w.running)
    }
}

/// The address of the hunt that a job works on.
fn hunt_of(ctx: &Context, job: &Job) -> regrow_ops::Result<Option<String>> {
    let hunt = hunt::of_job(ctx, job.id)?;
    Ok(hunt.zip(job.server.as_deref()).map(|(id, server)| format!("/server/{server}/hunt/{id}")))
}

#[derive(Debug, Template)]
#[template(path = "job.html")]
struct Page {
    layout: Layout,
    server: Option<String>,
    actor: String,
    started: When,
    form_token: String,
    /// The address of the hunt that it works on.
    hunt: Option<String>,
    watch: Watch,
    outcome: Outcome,
    report: Report,
}

/// The page.
pub(crate) async fn get(State(app): State<Arc<App>>, visitor: Visitor, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<JobId>() else { return message::missing(&app, "A job has a number.") };
    let found = work(&app, move |ctx| match read(ctx, id)? {
        Some((job, events)) => Ok(Some((hunt_of(ctx, &job)?, job, events))),
        None => Ok(None),
    });
    let (hunt, job, events) = match found.await {
        Ok(Some(found)) => found,
        Ok(None) => return message::missing(&app, &format!("There is no job {id}.")),
        Err(response) => return response,
    };
    let now = app.ctx.now();
    let (watch, outcome, report) = watch(&job, &events, now);
    let page = Page {
        layout: layout(&app, job_title(&job), Place::Servers),
        started: When::new(job.started, now),
        form_token: visitor.form_token,
        server: job.server,
        actor: job.actor,
        hunt,
        watch,
        outcome,
        report,
    };
    show(StatusCode::OK, &page)
}

/// What the form of the Stop button sends.
#[derive(Debug, Deserialize)]
pub(crate) struct Sent {
    #[serde(default)]
    session: String,
}

/// What became of a press of the Stop button.
enum Stop {
    /// With the page where one sees what becomes of it.
    Asked(String),
    Missing,
    /// The job changes what is online.
    Forbidden,
}

/// The Stop button: asks a job to end early, and goes back to its page. Pressing it twice changes nothing.
pub(crate) async fn stop(
    State(app): State<Arc<App>>,
    MayEdit(visitor): MayEdit,
    Path(id): Path<String>,
    form: Result<Form<Sent>, FormRejection>,
) -> Response {
    let Ok(Form(sent)) = form else { return message::foreign_form(&app) };
    if !visitor.drew(&sent.session) {
        return message::foreign_form(&app);
    }
    let Ok(id) = id.parse::<JobId>() else { return message::missing(&app, "A job has a number.") };
    let may_switch = visitor.may(Role::Switch);
    let stopped = work(&app, move |ctx| match jobs::get(ctx, id)? {
        None => Ok(Stop::Missing),
        Some(job) if changes_online(&job.verb) && !may_switch => Ok(Stop::Forbidden),
        Some(job) => {
            jobs::stop(ctx, id)?;
            Ok(Stop::Asked(hunt_of(ctx, &job)?.unwrap_or_else(|| format!("/job/{id}"))))
        }
    });
    match stopped.await {
        Ok(Stop::Asked(then)) => (StatusCode::SEE_OTHER, [(header::LOCATION, then)]).into_response(),
        Ok(Stop::Missing) => message::missing(&app, &format!("There is no job {id}.")),
        Ok(Stop::Forbidden) => message::forbidden(&app, &visitor, Role::Switch),
        Err(response) => response,
    }
}
