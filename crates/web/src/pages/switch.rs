//! `/server/NAME/switch?at=REV`: what will be put online, how it is judged there, and a person's word meanwhile.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use regrow_ops::accounts::Role;
use regrow_ops::jobs::JobId;
use regrow_ops::online::{self, Phase, journal::Step};
use regrow_ops::wanted::Wanted;
use regrow_ops::{Context, Error, Kind, changes, evidence};
use serde::Deserialize;

use crate::app::App;
use crate::look::{HeldView, Proof};
use crate::outcome::{Outcome, Report, askable, hunt_address};
use crate::pages::job::{self, Watch};
use crate::pages::{drawn, layout, message, work};
use crate::view::{Digest, Layout, Place};
use crate::visitor::{MaySwitch, Visitor};

/// What the address asks for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    at: Option<String>,
    job: Option<JobId>,
}

/// The two buttons: whether they can be pressed now, and about what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decide {
    /// The generation that is being judged; 0 if none is.
    generation: u64,
    open: bool,
    words: String,
}

/// The two buttons alone, for the stream.
#[derive(Debug, Template)]
#[template(path = "decide.html")]
pub(crate) struct DecidePiece<'a> {
    pub(crate) server: &'a str,
    pub(crate) form_token: &'a str,
    pub(crate) decide: &'a Decide,
}

impl Decide {
    /// What can be decided about a server now.
    pub(crate) fn of(ctx: &Context, server: &str) -> regrow_ops::Result<Decide> {
        let journal = online::read_journal(&ctx.home().server(server))?;
        let closed = |words: &str| Decide { generation: 0, open: false, words: words.to_owned() };
        Ok(match &journal.phase {
            Phase::Switching { decision: Some(decision), .. } => {
                let what = if decision.keep { "keep it" } else { "go back" };
                closed(&format!("{} decided to {what}.", decision.by))
            }
            Phase::Switching { to, step: Step::Checking, .. } => {
                let words =
                    "It is being judged now. Nobody reaches it before it is accepted; connections wait.".to_owned();
                Decide { generation: to.id, open: true, words }
            }
            Phase::Switching { .. } => closed("You can decide as soon as it is started."),
            Phase::GoingBack { .. } => closed("It is going back."),
            _ => closed("Nothing is being judged now."),
        })
    }
}

/// What can be done when it is over.
#[derive(Debug, Default)]
pub(crate) struct After {
    /// The revision that went back, if the switch did.
    back: Option<Digest>,
    /// What a rollback goes back to.
    previous: Option<Digest>,
    /// Where the changeset that broke it can be looked for.
    hunt: String,
    once: String,
}

/// The same alone, for the stream.
#[derive(Debug, Template)]
#[template(path = "after.html")]
pub(crate) struct AfterPiece<'a> {
    pub(crate) server: &'a str,
    pub(crate) form_token: &'a str,
    pub(crate) after: After,
}

impl After {
    /// After a switch or rollback of a server with this result; `None` while it runs.
    pub(crate) fn of(
        app: &App,
        ctx: &Context,
        server: &str,
        result: Option<&serde_json::Value>,
    ) -> regrow_ops::Result<After> {
        let Some(result) = result else { return Ok(After::default()) };
        let journal = online::read_journal(&ctx.home().server(server))?;
        let back = (result["held"] == true).then(|| result["to_revision"].as_str().map(Digest::new)).flatten();
        let previous = journal.previous().map(|p| Digest::new(&p.generation.candidate.revision));
        let failed = result["failed"].as_str().map(askable);
        let hunt = hunt_address(server, failed, back.as_ref().map(|b| &*b.full));
        let once = app.form_once()?;
        Ok(After { back, previous, hunt, once })
    }
}

#[derive(Debug, Template)]
#[template(path = "switch.html")]
struct Page {
    layout: Layout,
    server: String,
    form_token: String,
    once: String,
    at: Option<String>,
    revision: Option<Digest>,
    subject: String,
    online_now: Option<Digest>,
    proofs: Vec<Proof>,
    held: Option<HeldView>,
    impossible: Option<String>,
    running: bool,
    decide: Decide,
    watch: Option<Watch>,
    outcome: Outcome,
    report: Report,
    after: After,
}

/// The page.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let state = app.clone();
    drawn(&app, work(&app, move |ctx| draw(&state, ctx, &visitor, name, asked)).await)
}

fn draw(
    app: &App,
    ctx: &Context,
    visitor: &Visitor,
    name: String,
    asked: Asked,
) -> regrow_ops::Result<Result<Box<Page>, String>> {
    let text = Wanted::read(ctx, asked.at.as_deref())?;
    let mut impossible = match text.server(&name) {
        Ok(_) => None,
        Err(Error::Diagnostics(_)) => Some("Not possible while the text has mistakes.".to_owned()),
        Err(e @ Error::Mistake { .. }) if !ctx.home().server_names()?.contains(&name) => {
            return Ok(Err(format!("{e}.")));
        }
        Err(Error::Mistake { .. }) => Some("The text has no such server.".to_owned()),
        Err(e) => return Err(e),
    };
    let revision = text.revision(ctx, Some(&name))?;
    if revision.edited {
        impossible = Some("Only changesets go online: land the edits on disk first.".to_owned());
    }
    let impossible = visitor.lacks(Role::Switch).or(impossible);
    let now = ctx.now();
    let commit = revision.commit.clone();
    let subject = match &commit {
        Some(commit) => changes::log(ctx, None, Some(commit), 1)?.changes.pop().map(|c| c.subject),
        None => None,
    };
    let mut proofs = Vec::new();
    for kind in [Kind::Build, Kind::Trial, Kind::Switch] {
        if let Some(commit) = &commit
            && let Some(e) = evidence::of_revision(ctx, &name, kind, commit)?
        {
            proofs.push(Proof::new(&e, now));
        }
    }
    let journal = online::read_journal(&ctx.home().server(&name))?;
    let found = job::Found::of(ctx, &name, asked.job, &["switch", "rollback"])?;
    let running = found.running();
    let after = After::of(app, ctx, &name, (!running).then_some(&found.result))?;
    Ok(Ok(Box::new(Page {
        layout: layout(app, format!("Switch {name}"), Place::Servers),
        form_token: visitor.form_token.clone(),
        once: app.form_once()?,
        subject: subject.unwrap_or_default(),
        held: commit.as_deref().and_then(|c| journal.held(c)).map(|h| HeldView::new(h, now)),
        at: commit.clone(),
        revision: commit.map(Digest::new),
        online_now: journal.current().map(|g| Digest::new(&g.candidate.revision)),
        proofs,
        impossible,
        running,
        decide: Decide::of(ctx, &name)?,
        server: name,
        watch: found.watch,
        outcome: found.outcome,
        report: found.report,
        after,
    })))
}

/// What the forms of "Keep" and "Go back now" send.
#[derive(Debug, Deserialize)]
pub(crate) struct Sent {
    #[serde(default)]
    session: String,
    generation: Option<u64>,
}

/// "Keep".
pub(crate) async fn keep(
    app: State<Arc<App>>,
    visitor: MaySwitch,
    name: Path<String>,
    form: Result<Form<Sent>, FormRejection>,
) -> Response {
    decide(app, visitor, name, form, true).await
}

/// "Go back now".
pub(crate) async fn go_back(
    app: State<Arc<App>>,
    visitor: MaySwitch,
    name: Path<String>,
    form: Result<Form<Sent>, FormRejection>,
) -> Response {
    decide(app, visitor, name, form, false).await
}

async fn decide(
    State(app): State<Arc<App>>,
    MaySwitch(visitor): MaySwitch,
    Path(name): Path<String>,
    form: Result<Form<Sent>, FormRejection>,
    keep: bool,
) -> Response {
    let Ok(Form(sent)) = form else { return message::foreign_form(&app) };
    if !visitor.drew(&sent.session) {
        return message::foreign_form(&app);
    }
    let server = name.clone();
    // What was shown is what is decided about: a press that comes late decides nothing about a later switch.
    let generation = sent.generation.filter(|g| *g > 0);
    match work(&app, move |ctx| online::decide(ctx, &server, generation, keep)).await {
        Ok(()) => (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/server/{name}/switch"))]).into_response(),
        Err(response) => response,
    }
}
