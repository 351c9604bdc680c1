//! `/job/ID/events`: what a job tells, as server-sent events.
//!
//! | event | data |
//! | --- | --- |
//! | `patch` | finished HTML, either table rows or blocks: elements that replace those with the same id, or are appended to the one they name |
//! | `console-all`, `console` | what a trial wrote to its console: the end of it, or what is to be added |
//! | `say` | words for a screen reader |
//! | `end` | nothing follows |
//!
//! Every `patch` and `end` has the number of the last job event in it as its id. A browser that lost the connection sends it back as
//! `Last-Event-ID`; the first time the page's own `?after=` says it. Either way nothing is lost and nothing is told twice.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use regrow_ops::jobs::{self, Job, JobId, Subscription};
use regrow_ops::trial::keep;
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::app::App;
use crate::outcome::{Outcome, OutcomePiece, Report, ReportPiece, judged};
use crate::pages::hunt::Follow;
use crate::pages::job::goes_back;
use crate::pages::switch::{After, AfterPiece, Decide, DecidePiece};
use crate::pages::trial::{KeptPiece, KeptView};
use crate::pages::{message, work};
use crate::track::{Changed, Track};
use crate::visitor::Visitor;

/// Where to go on.
#[derive(Debug, Deserialize)]
pub(crate) struct Since {
    #[serde(default)]
    after: i64,
}

/// How often the console of a trial, the way of a switch and the steps of a hunt are looked at.
const LOOK_ASIDE: Duration = Duration::from_millis(200);
/// How often a quiet stream looks whether anybody still reads it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The stream.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<Since>,
    headers: HeaderMap,
    visitor: Visitor,
) -> Response {
    let Ok(id) = id.parse::<JobId>() else { return message::missing(&app, "A job has a number.") };
    let resumed = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let after: i64 = resumed.unwrap_or(query.after);
    let Ok(permit) = app.streams.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "Too many pages watch jobs now; close some of them.\n")
            .into_response();
    };
    let opened = work(&app, move |ctx| {
        let Some(job) = jobs::get(ctx, id)? else { return Ok(None) };
        Ok(Some((job, jobs::subscribe(ctx, id, 0)?)))
    });
    let (job, subscription) = match opened.await {
        Ok(Some(opened)) => opened,
        Ok(None) => return message::missing(&app, &format!("There is no job {id}.")),
        Err(response) => return response,
    };
    let (sender, receiver) = mpsc::channel(8);
    let teller = Teller {
        app: app.clone(),
        job,
        subscription,
        after,
        sender,
        track: Track::default(),
        aside: Aside::new(visitor),
    };
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        teller.run();
    });
    let events = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|event| (Ok::<_, Infallible>(event), receiver))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}

/// Follows a job and tells one browser.
struct Teller {
    app: Arc<App>,
    job: Job,
    subscription: Subscription,
    after: i64,
    sender: mpsc::Sender<Event>,
    track: Track,
    aside: Aside,
}

/// What is shown beside the job, which its events do not tell.
struct Aside {
    visitor: Visitor,
    form_token: String,
    /// How much of a trial's console was told.
    console: Option<u64>,
    kept: Option<KeptView>,
    decide: Option<Decide>,
    hunt: Option<Follow>,
}

impl Aside {
    fn new(visitor: Visitor) -> Aside {
        let form_token = visitor.form_token.clone();
        Aside { visitor, form_token, console: None, kept: None, decide: None, hunt: None }
    }
}

impl Teller {
    /// Until the job ends, the browser is gone or the program stops.
    fn run(mut self) {
        while !self.sender.is_closed() && !*self.app.stopping.borrow() {
            let mut changed = BTreeSet::new();
            let mut limit = match &*self.job.verb {
                "trial" | "switch" | "rollback" => LOOK_ASIDE,
                _ => LOOK_EVERY,
            };
            // What is there already goes out as one piece.
            loop {
                match self.subscription.next_within(limit) {
                    Ok(Some(entry)) => {
                        let rows = self.track.apply(&entry);
                        if entry.seq > self.after {
                            changed.extend(rows);
                        }
                        limit = Duration::ZERO;
                    }
                    Ok(None) => break,
                    // The browser tries again by itself.
                    Err(_) => return,
                }
            }
            if self.aside().is_none() || self.track.last() > self.after && self.tell(&changed).is_none() {
                return;
            }
            if self.subscription.ended() {
                let _ = self
                    .sender
                    .blocking_send(Event::default().event("end").id(self.track.last().to_string()).data("end"));
                return;
            }
        }
    }

    /// Tells what changed beside the job; `None` if nobody reads any more.
    fn aside(&mut self) -> Option<()> {
        let (ctx, app) = (&self.app.ctx, self.app.clone());
        let Some(server) = self.job.server.clone() else { return Some(()) };
        let form_token = self.aside.form_token.clone();
        match &*self.job.verb {
            // Of an ended trial nothing runs, or something later.
            "trial" if self.track.ended().is_none() || self.aside.console.is_some() => {
                let kept = KeptView::of(ctx, &server).ok()?;
                if self.aside.kept.as_ref().map(KeptView::lasting) != kept.as_ref().map(KeptView::lasting) {
                    let piece = KeptPiece { server: &server, form_token: &form_token, kept: kept.clone() };
                    self.send(Event::default().event("patch").data(piece.render().ok()?))?;
                    self.aside.kept = kept;
                }
                let from = self.aside.console;
                if let Ok(Some((text, end))) = keep::console(&app.ctx, &server, from.unwrap_or(0)) {
                    let text = text.replace('\r', "");
                    // A log that is shorter than what was told began anew.
                    let event = if from.is_some_and(|from| from <= end) { "console" } else { "console-all" };
                    if from != Some(end) && !text.is_empty() {
                        self.send(Event::default().event(event).data(text))?;
                    }
                    self.aside.console = Some(end);
                }
            }
            "switch" | "rollback" => {
                let decide = Decide::of(ctx, &server).ok()?;
                if self.aside.decide.as_ref() != Some(&decide) {
                    let piece = DecidePiece { server: &server, form_token: &form_token, decide: &decide };
                    self.send(Event::default().event("patch").data(piece.render().ok()?))?;
                    self.aside.decide = Some(decide);
                }
            }
            "bisect" => {
                if self.aside.hunt.is_none() {
                    self.aside.hunt = Follow::of(ctx, self.job.id).ok()?;
                }
                let news = match &mut self.aside.hunt {
                    Some(hunt) => hunt.news(ctx)?,
                    None => Vec::new(),
                };
                for piece in news {
                    self.send(Event::default().event("patch").data(piece))?;
                }
            }
            _ => {}
        }
        Some(())
    }

    /// `None` if nobody reads any more.
    fn tell(&mut self, changed: &BTreeSet<Changed>) -> Option<()> {
        let rows = self.track.pieces(changed, self.app.ctx.now()).ok()?;
        self.after = self.track.last();
        let id = self.after.to_string();
        let countdown = self.track.countdown_piece(changed, goes_back(&self.job.verb), self.app.ctx.now()).ok()?;
        let Some(ended) = self.track.ended() else {
            // HTML's rules for reading `<tr>` forbid blocks beside it: they go first, alone and without the number.
            if let Some(countdown) = countdown {
                self.send(Event::default().event("patch").data(countdown))?;
            }
            self.send(Event::default().event("patch").id(id).data(rows))?;
            return self.track.spoken(changed).map_or(Some(()), |words| self.say(&words));
        };
        // HTML's rules for reading `<tr>` forbid blocks after it, so the rows go first and alone; and without the number, so that who loses the
        // connection between the two hears both again.
        self.send(Event::default().event("patch").data(rows))?;
        let outcome = Outcome::new(&self.job, ended.state, &ended.result);
        let report = Report::of(self.job.server.as_deref(), judged(&self.job.verb, &ended.result));
        let mut blocks = OutcomePiece { outcome: &outcome }.render().ok()?;
        blocks.push_str(&ReportPiece { report: &report }.render().ok()?);
        // Every check's result stands in the report now. There is nothing left to stop, but the button keeps its room, so
        // that nothing moves.
        blocks.push_str("<section id=\"ticking\" hidden></section><form id=\"stop\" class=\"stop\"><button type=\"submit\" disabled>Stop</button><span class=\"soft\">It has ended; there is nothing to stop any more.</span></form>");
        if let (true, Some(server)) = (goes_back(&self.job.verb), &self.job.server) {
            let after = After::of(&self.app, &self.app.ctx, server, Some(&ended.result)).ok()?;
            let piece = AfterPiece { server, form_token: &self.aside.form_token, after };
            blocks.push_str(&piece.render().ok()?);
        }
        if let Some(hunt) = &self.aside.hunt {
            blocks.push_str(&hunt.answer(&self.app, &self.app.ctx, &self.aside.visitor)?);
        }
        self.say(&format!("{}. {}", outcome.mark.word, outcome.words))?;
        self.send(Event::default().event("patch").id(id).data(blocks))
    }

    fn say(&self, words: &str) -> Option<()> {
        // Line breaks would split an event's data.
        self.send(Event::default().event("say").data(words.replace(['\n', '\r'], " ")))
    }

    fn send(&self, event: Event) -> Option<()> {
        self.sender.blocking_send(event).ok()
    }
}
