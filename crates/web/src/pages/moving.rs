//! `/move`: ticked changesets taken back or copied into a draft, looked at before the draft is made.

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use regrow_ops::drafts::{self, Conflict};
use regrow_ops::moves::{self, Options, StepKind};
use regrow_ops::{Context, Error};

use crate::app::App;
use crate::form::{Own, Went};
use crate::pages::changeset::is_revision;
use crate::pages::draft::start_build;
use crate::pages::{layout, message, show, work};
use crate::view::{Digest, Layout, Place, count};
use crate::visitor::{MayEdit, Visitor, needed};

/// The most changesets that one form moves: their ids fit into an address.
const MOST: usize = 40;

#[derive(Debug, Template)]
#[template(path = "move.html")]
struct Page {
    layout: Layout,
    kind: &'static str,
    lead: String,
    steps: Vec<Step>,
    needs: Vec<Need>,
    /// The address of this page with what belongs to them.
    with_all: String,
    files: Vec<String>,
    conflicts: Vec<String>,
    drafts: Vec<(String, String)>,
    form_token: String,
    once: String,
    lacks: Option<String>,
    command: String,
}

/// A changeset that is moved.
#[derive(Debug)]
struct Step {
    revision: Digest,
    subject: String,
    nothing: bool,
}

/// A changeset that belongs to them.
#[derive(Debug)]
struct Need {
    revision: Digest,
    words: String,
}

/// What is asked for: how and which.
fn asked<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Option<(StepKind, Vec<String>)> {
    let (mut kind, mut picked) = (None, Vec::new());
    for (name, value) in fields {
        match (name, value) {
            ("kind", "revert") => kind = Some(StepKind::Revert),
            ("kind", "pick") => kind = Some(StepKind::Pick),
            ("pick", revision) if is_revision(revision) => picked.push(revision.to_owned()),
            _ => {}
        }
    }
    kind.filter(|_| !picked.is_empty() && picked.len() <= MOST).map(|kind| (kind, picked))
}

/// Where something must be decided.
fn place(conflict: &Conflict) -> String {
    match &conflict.key {
        Some(key) => format!("{key} in {}", conflict.path),
        None => conflict.path.clone(),
    }
}

fn verb(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Revert => "revert",
        StepKind::Pick => "pick",
    }
}

/// The page.
pub(crate) async fn get(State(app): State<Arc<App>>, visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let Some((kind, picked)) = asked(query.split('&').filter_map(|part| part.split_once('='))) else {
        return message::advice(
            &app,
            "Tick changesets",
            &format!("Go back and tick the changesets that are meant, {MOST} at most."),
            ("/history", "Changesets"),
        );
    };
    let state = app.clone();
    match work(&app, move |ctx| draw(&state, ctx, &visitor, kind, &picked)).await {
        Ok(page) => show(StatusCode::OK, &*page),
        Err(response) => response,
    }
}

fn draw(
    app: &App,
    ctx: &Context,
    visitor: &Visitor,
    kind: StepKind,
    picked: &[String],
) -> regrow_ops::Result<Box<Page>> {
    let revisions: Vec<&str> = picked.iter().map(String::as_str).collect();
    let found = moves::preview(ctx, kind, &revisions, Options::default())?;
    let many = count(found.steps.len(), "changeset", "changesets");
    let (title, lead) = match kind {
        StepKind::Revert => (
            format!("Take back {many}"),
            "A draft that undoes what they changed and keeps what came after, the newest first.",
        ),
        StepKind::Pick => (format!("Copy {many}"), "A draft that makes their changes once more, the oldest first."),
    };
    let all = picked.iter().map(|p| &**p).chain(found.dependencies.iter().map(|d| &*d.changeset));
    let with_all = all.map(|revision| format!("&pick={revision}")).collect::<String>();
    let short: Vec<String> = found.steps.iter().map(|s| Digest::new(&s.of).short()).collect();
    Ok(Box::new(Page {
        layout: layout(app, title, Place::History),
        kind: verb(kind),
        lead: lead.to_owned(),
        steps: found
            .steps
            .iter()
            .map(|s| Step {
                revision: Digest::new(&s.of),
                subject: s.subject.clone(),
                nothing: found.without_effect.contains(&s.id),
            })
            .collect(),
        needs: found
            .dependencies
            .iter()
            .map(|d| Need { revision: Digest::new(&d.changeset), words: d.words.clone() })
            .collect(),
        with_all: format!("/move?kind={}{with_all}", verb(kind)),
        files: found.files.iter().map(|f| f.path.clone()).collect(),
        conflicts: found.conflicts.iter().map(place).collect(),
        drafts: drafts::list(ctx)?.into_iter().map(|d| (d.id, d.title)).collect(),
        form_token: visitor.form_token.clone(),
        once: app.form_once()?,
        lacks: visitor.lacks(needed(&Method::POST, "/move")),
        command: format!("regrow {} {}", verb(kind), short.join(" ")),
    }))
}

/// The form: makes the draft, or adds the steps to one, and goes to it.
pub(crate) async fn post(State(app): State<Arc<App>>, MayEdit(_): MayEdit, Own(sent): Own) -> Response {
    let Some((kind, picked)) = asked(sent.0.iter().map(|(n, v)| (&**n, &**v))) else {
        return message::foreign_form(&app);
    };
    let state = app.clone();
    let made = work(&app, move |ctx| {
        state.once(sent.get("once").unwrap_or_default(), verb(kind), || {
            let revisions: Vec<&str> = picked.iter().map(String::as_str).collect();
            let options = Options { onto: sent.get("onto"), ..Options::default() };
            let report = match kind {
                StepKind::Revert => moves::revert(ctx, &revisions, options)?,
                StepKind::Pick => moves::pick(ctx, &revisions, options)?,
            };
            let decide = report.undecided() > 0;
            let id = report.draft.map(|d| d.id).unwrap_or_default();
            if decide {
                return Ok::<_, Error>(Went::to(format!("/draft/{id}/conflicts")).with_draft(&id));
            }
            start_build(ctx, &id);
            Ok(Went::to(format!("/draft/{id}")).with_draft(&id))
        })
    });
    match made.await {
        Ok(Some(went)) => went.answer(&app),
        Ok(None) => message::stale_form(&app, "/history".to_owned()),
        Err(response) => response,
    }
}
