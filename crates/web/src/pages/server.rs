//! `/server/NAME`: one server, and the forms that work on it.
//!
//! A form carries the session's token, a token of its own that works once, and the revision that the reader saw: what is
//! switched is what was shown, also if a changeset landed in between.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, Query, State};
use axum::http::Method;
use axum::response::Response;
use regrow_ops::jobs::{self, JobId, Task};
use regrow_ops::wanted::Wanted;
use regrow_ops::{Context, Error, Kind, changes, evidence, online};
use serde::Deserialize;

use crate::app::App;
use crate::form::Went;
use crate::look::{Around, Look, Proof};
use crate::outcome::{Report, verb_noun};
use crate::pages::history::Change;
use crate::pages::object::tree::Tree;
use crate::pages::{drawn, layout, message, work};
use crate::view::{DiagnosticView, Digest, Layout, Place, When};
use crate::visitor::{Visitor, needed};

#[derive(Debug, Template)]
#[template(path = "server.html")]
struct Page {
    layout: Layout,
    look: Look,
    form_token: String,
    actions: Vec<Action>,
    diagnostics: Vec<DiagnosticView>,
    report: Report,
    changes: Vec<Change>,
    more: bool,
    evidence: Vec<Proof>,
    tree: Tree,
}

/// A button with its words and its command.
#[derive(Debug)]
struct Action {
    verb: &'static str,
    label: String,
    does: String,
    command: String,
    once: String,
    at: Option<String>,
    main: bool,
    impossible: bool,
}

/// How many changesets and proofs the page shows.
const CHANGES: usize = 15;
const PROOFS: usize = 10;

/// What of the server is asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    /// Words that its objects are searched for.
    find: Option<String>,
}

/// The page.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let state = app.clone();
    drawn(&app, work(&app, move |ctx| draw(&state, ctx, &name, visitor, asked.find.as_deref())).await)
}

/// The page, or why there is no such server.
fn draw(
    app: &App,
    ctx: &Context,
    name: &str,
    visitor: Visitor,
    find: Option<&str>,
) -> regrow_ops::Result<Result<Box<Page>, String>> {
    let status = match online::status(ctx, Some(name)) {
        Ok(status) => status,
        Err(e @ Error::Mistake { .. }) => {
            return Ok(Err(format!("{e}{}.", e.help().map(|h| format!(" ({h})")).unwrap_or_default())));
        }
        Err(e) => return Err(e),
    };
    let Some(server) = status.servers.first() else { return Ok(Err(format!("there is no server {name}."))) };
    let now = ctx.now();
    let text = Wanted::read(ctx, None)?;
    let diagnostics = match text.server(name) {
        Err(Error::Diagnostics(diagnosed)) => message::diagnostics(&diagnosed),
        _ => Vec::new(),
    };
    let look = Look::at(ctx, server, !diagnostics.is_empty(), &Around::look(ctx, &status)?)?;
    let log = match changes::log(ctx, Some(name), None, CHANGES) {
        Ok(log) => log,
        // A fleet without a repository is looked at and built all the same.
        Err(_) if look.text.as_ref().is_none_or(|t| t.commit.is_none()) => changes::LogReport::default(),
        Err(e) => return Err(e),
    };
    let proofs = evidence::list(ctx, Some(name), PROOFS)?;
    let judged = proofs.iter().find(|e| e.kind != Kind::Build);
    let mut report = Report::new(judged.map_or(&serde_json::Value::Null, |e| &e.report));
    if let Some(e) = judged {
        let (revision, when) = (Digest::new(&e.revision).short(), When::new(e.at, now).ago);
        report.checks_about = format!("of the {} of {revision}, {when}", verb_noun(e.kind.as_str()).to_lowercase());
        report.lead_to_hunts(name, Some(&e.revision));
    }
    let mut actions = actions(app, name, &look, !diagnostics.is_empty())?;
    for action in &mut actions {
        // The words of a button that is not offered say why.
        if let Some(why) = visitor.lacks(needed(&Method::POST, &format!("/server/{name}/{}", action.verb))) {
            (action.does, action.impossible) = (why, true);
        }
    }
    let tree = Tree::new(&regrow_ops::objects::view(ctx, name, visitor.draft.as_deref())?, find);
    Ok(Ok(Box::new(Page {
        tree,
        layout: layout(app, name, Place::Servers),
        form_token: visitor.form_token,
        look,
        actions,
        diagnostics,
        report,
        more: log.more,
        changes: Change::rows(log, now),
        evidence: proofs.iter().map(|e| Proof::new(e, now)).collect(),
    })))
}

fn actions(app: &App, name: &str, look: &Look, mistakes: bool) -> regrow_ops::Result<Vec<Action>> {
    let short = look
        .text
        .as_ref()
        .map_or_else(String::new, |t| t.short().replace("+edits", " with edits").replace("none", "the text"));
    let committed = look.text.as_ref().filter(|t| !t.edited).and_then(|t| t.commit.clone());
    // A server that is online but no longer in the text cannot be made, only gone back with.
    let gone = look.text.is_none();
    let mistakes = mistakes || gone;
    let mut actions = Vec::new();
    let mut add = |verb, label: String, does: &str, command: String, at: Option<String>, main, impossible| {
        let once = app.form_once()?;
        actions.push(Action { verb, label, does: does.to_owned(), command, once, at, main, impossible });
        Ok::<_, Error>(())
    };
    let at = committed.clone();
    add(
        "build",
        format!("Build {short}"),
        "Makes the image from text and lock, with no network.",
        format!("regrow build {name}"),
        at,
        false,
        mistakes,
    )?;
    let at = committed.clone();
    add(
        "trial",
        format!("Trial {short}"),
        "Boots the image offline and judges it by its checks.",
        format!("regrow trial {name}"),
        at,
        false,
        mistakes,
    )?;
    let (label, does) = match (&committed, mistakes) {
        _ if gone => ("Switch".to_owned(), "The text has no such server."),
        (_, true) => ("Switch".to_owned(), "Not possible while the text has mistakes."),
        (None, _) => ("Switch".to_owned(), "Only changesets go online: commit the edits first."),
        (Some(_), _) => (format!("Switch to {short}"), "Puts it online; goes back by itself if it is not healthy."),
    };
    add(
        "switch",
        label,
        does,
        format!("regrow switch {name}"),
        committed.clone(),
        true,
        mistakes || committed.is_none(),
    )?;
    let (label, does, possible) = match &look.back {
        Some(back) => (
            format!("Roll back to {}", back.short()),
            "Puts the one before online again, with the state as it is now.",
            true,
        ),
        None => ("Roll back".to_owned(), "There is nothing before it to go back to.", false),
    };
    add("rollback", label, does, format!("regrow rollback {name}"), None, false, !possible)?;
    Ok(actions)
}

/// What a form sends.
#[derive(Debug, Deserialize)]
pub(crate) struct Sent {
    #[serde(default)]
    session: String,
    #[serde(default)]
    once: String,
    at: Option<String>,
    draft: Option<String>,
    minutes: Option<String>,
}

/// A form: starts a job and goes to its page.
pub(crate) async fn post(
    app: State<Arc<App>>,
    visitor: Visitor,
    Path((name, verb)): Path<(String, String)>,
    form: Result<Form<Sent>, FormRejection>,
) -> Response {
    submit(app, visitor, name, verb, form).await
}

/// The form of a trial.
pub(crate) async fn post_trial(
    app: State<Arc<App>>,
    visitor: Visitor,
    Path(name): Path<String>,
    form: Result<Form<Sent>, FormRejection>,
) -> Response {
    submit(app, visitor, name, "trial".to_owned(), form).await
}

/// The form of a switch.
pub(crate) async fn post_switch(
    app: State<Arc<App>>,
    visitor: Visitor,
    Path(name): Path<String>,
    form: Result<Form<Sent>, FormRejection>,
) -> Response {
    submit(app, visitor, name, "switch".to_owned(), form).await
}

async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    name: String,
    verb: String,
    form: Result<Form<Sent>, FormRejection>,
) -> Response {
    let Ok(Form(sent)) = form else { return message::foreign_form(&app) };
    if !visitor.drew(&sent.session) {
        return message::foreign_form(&app);
    }
    let Some(verb) = ["build", "trial", "switch", "rollback"].into_iter().find(|v| *v == verb) else {
        return message::missing(&app, "There is no such thing to do.");
    };
    let state = app.clone();
    let server = name.clone();
    let started = work(&app, move |ctx| {
        // Looked up before a job is made: a name that nobody knows gets no directory.
        if !known(ctx, &server)? {
            return Err(Error::mistake(format!("there is no server {server}")));
        }
        state.once(&sent.once, verb, || {
            let job = start(ctx, verb, &server, &sent)?;
            Ok::<_, Error>(Went::to(match verb {
                "trial" => format!("/server/{server}/trial?job={job}"),
                "switch" | "rollback" => format!("/server/{server}/switch?job={job}"),
                _ => format!("/job/{job}"),
            }))
        })
    });
    match started.await {
        Ok(Some(went)) => went.answer(&app),
        Ok(None) => message::stale_form(&app, format!("/server/{name}")),
        Err(response) => response,
    }
}

/// Whether the fleet or the home has a server of this name.
pub(crate) fn known(ctx: &Context, server: &str) -> regrow_ops::Result<bool> {
    Ok(Wanted::read(ctx, None)?.fleet.servers.contains_key(server)
        || ctx.home().server_names()?.iter().any(|n| n == server))
}

/// How long a trial is kept if nothing is said, and at most, in minutes.
pub(crate) const KEPT: u32 = 30;
const MOST_KEPT: u32 = 24 * 60;

/// Starts the job of a verb. `at` is the revision that the reader saw; without it the text on disk is meant.
fn start(ctx: &Context, verb: &str, server: &str, sent: &Sent) -> regrow_ops::Result<JobId> {
    let server = server.to_owned();
    let at = sent.at.clone();
    let minutes = match sent.minutes.as_deref().map(str::trim) {
        None | Some("") => KEPT,
        Some(words) => words
            .parse()
            .ok()
            .filter(|m| *m <= MOST_KEPT)
            .ok_or_else(|| Error::mistake(format!("`{words}`: a trial is kept for 0 to {MOST_KEPT} minutes")))?,
    };
    let task = match verb {
        "build" => Task::Build { server, at },
        "trial" => Task::Trial { server, at, draft: sent.draft.clone(), minutes: (minutes > 0).then_some(minutes) },
        "switch" => Task::Switch { server, at },
        "rollback" => Task::Rollback { server, with_state: false },
        _ => return Err(Error::mistake("there is no such thing to do")),
    };
    jobs::launch(ctx, &task)
}
