//! `/acts`: who did what, when, from where, what came of it, and the way back.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use regrow_ops::accounts::Role;
use regrow_ops::acts::{self, Recorded, Which};
use regrow_ops::drafts;
use regrow_ops::jobs;
use regrow_ops::undo::{self, Way};
use regrow_ops::{Context, Error};
use serde::Deserialize;

use crate::app::App;
use crate::form::{Own, Went};
use crate::outcome::sentence;
use crate::pages::draft::start_build;
use crate::pages::password::words;
use crate::pages::{layout, message, show, work};
use crate::view::{Layout, Mark, Place, Tone, When};
use crate::visitor::{MayEdit, Visitor};

/// How many acts one page shows.
const PAGE: usize = 100;

/// Which acts.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    who: String,
    #[serde(default)]
    server: String,
    before: Option<i64>,
    /// The act that was undone just now: what was done is said above the others.
    undone: Option<i64>,
}

#[derive(Debug, Template)]
#[template(path = "acts.html")]
struct Page {
    layout: Layout,
    who: String,
    server: String,
    rows: Vec<Row>,
    older: Option<i64>,
    command: String,
    session: String,
    once: String,
    /// Why nothing can be undone by this visitor.
    lacks: Option<String>,
    /// What was undone just now, in words.
    done: Option<String>,
    /// Why something was not undone.
    error: Option<String>,
}

#[derive(Debug)]
struct Row {
    act: Recorded,
    when: When,
    mark: Mark,
    undo: Undo,
}

/// Whether an act can be undone.
#[derive(Debug)]
enum Undo {
    /// Nothing is there to undo.
    None,
    /// It was, by this act, which stands at this address.
    Was(i64, String),
    /// It can, by doing this.
    Can(String),
    /// Others than this visitor can.
    Lacks(Role),
}

impl Row {
    fn new(act: Recorded, visitor: &Visitor, now: Timestamp) -> Row {
        let undo = match (act.undone, undo::way(&act)) {
            (Some(by), _) => Undo::Was(by, format!("/acts?before={}#act-{by}", by.saturating_add(1))),
            (None, Err(_)) => Undo::None,
            (None, Ok(way)) if visitor.may(way.role()) => Undo::Can(way.words()),
            (None, Ok(way)) => Undo::Lacks(way.role()),
        };
        Row { when: When::new(act.at, now), mark: mark(&act.result), undo, act }
    }
}

/// A result as a mark. Words that nobody knows here are shown as they are.
pub(crate) fn mark(result: &str) -> Mark {
    let tone = match result {
        "done" => Tone::Good,
        "no" | "failed" | "refused" => Tone::Bad,
        "interrupted" => Tone::Held,
        "running" => Tone::Busy,
        _ => Tone::None,
    };
    Mark::new(tone, result)
}

/// A filter that was typed: nothing means all.
fn some(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|t| !t.is_empty())
}

/// The page.
pub(crate) async fn get(State(app): State<Arc<App>>, visitor: Visitor, Query(asked): Query<Asked>) -> Response {
    let state = app.clone();
    match work(&app, move |ctx| draw(&state, ctx, &visitor, asked)).await {
        Ok(page) => show(StatusCode::OK, &page),
        Err(response) => response,
    }
}

fn draw(app: &App, ctx: &Context, visitor: &Visitor, asked: Asked) -> regrow_ops::Result<Page> {
    let which = Which { actor: some(&asked.who), subject: some(&asked.server), before: asked.before, kind: None };
    let mut command = "regrow acts".to_owned();
    for (option, value) in [("by", &which.actor), ("server", &which.subject)] {
        // What needs quoting on a command line is nobody's name.
        let plain = value.as_ref().filter(|v| v.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
        command.push_str(&plain.map_or_else(String::new, |v| format!(" --{option} {v}")));
    }
    let report = acts::list(ctx, &which, PAGE)?;
    let older = report.acts.last().filter(|_| report.more).map(|a| a.id);
    let here: Vec<i64> = report.acts.iter().map(|a| a.id).collect();
    let mut rows: Vec<Row> = report.acts.into_iter().map(|a| Row::new(a, visitor, ctx.now())).collect();
    for row in &mut rows {
        if let Undo::Was(by, href) = &mut row.undo
            && here.contains(by)
        {
            *href = format!("#act-{by}");
        }
    }
    let by = asked.undone.and_then(|id| acts::get(ctx, id).ok()).and_then(|act| act.undone);
    let done = by.and_then(|by| acts::get(ctx, by).ok()).map(|act| sentence(&act.words));
    Ok(Page {
        layout: layout(app, "Acts", Place::Acts),
        who: asked.who,
        server: asked.server,
        rows,
        older,
        command,
        session: visitor.form_token.clone(),
        once: app.form_once()?,
        lacks: visitor.lacks(Role::Edit),
        done,
        error: None,
    })
}

/// What came of a press of "Undo".
enum Pressed {
    Went(Option<Went>),
    Missing(String),
    Forbidden(Role),
    /// It cannot be undone: the page again, with the reason.
    Refused(Box<Page>),
}

/// "Undo".
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    MayEdit(visitor): MayEdit,
    Path(id): Path<String>,
    Own(sent): Own,
) -> Response {
    let Ok(id) = id.parse::<i64>() else { return message::missing(&app, "An act has a number.") };
    let (state, asking) = (app.clone(), visitor.clone());
    let pressed = work(&app, move |ctx| {
        let act = match acts::get(ctx, id) {
            Err(e @ Error::Mistake { .. }) => return Ok(Pressed::Missing(sentence(&e.to_string()))),
            act => act?,
        };
        // What is undone says who may, not the button.
        if let Some(role) = act.undo.as_ref().map(Way::role).filter(|role| !asking.may(*role)) {
            return Ok(Pressed::Forbidden(role));
        }
        let token = sent.get("once").unwrap_or_default();
        match state.once(token, &format!("undo {id}"), || undo_it(ctx, &act, asking.draft.as_deref())) {
            Err(e) if matches!(e, Error::Busy { .. } | Error::No { .. }) || e.exit_code() == 2 => {
                let page = draw(&state, ctx, &asking, Asked::default())?;
                Ok(Pressed::Refused(Box::new(Page { error: Some(words(&e)), ..page })))
            }
            went => went.map(Pressed::Went),
        }
    });
    match pressed.await {
        Ok(Pressed::Went(Some(went))) => went.answer(&app),
        Ok(Pressed::Went(None)) => message::stale_form(&app, "/acts".to_owned()),
        Ok(Pressed::Missing(words)) => message::missing(&app, &words),
        Ok(Pressed::Forbidden(role)) => message::forbidden(&app, &visitor, role),
        Ok(Pressed::Refused(page)) => show(StatusCode::CONFLICT, &*page),
        Err(response) => response,
    }
}

/// Undoes an act and goes to what came of it. `current` is the draft that the browser works on.
fn undo_it(ctx: &Context, act: &Recorded, current: Option<&str>) -> regrow_ops::Result<Went> {
    if let Some(task) = undo::task(ctx, act.id)? {
        return Ok(Went::to(format!("/job/{}", jobs::launch(ctx, &task)?)));
    }
    let report = undo::undo(ctx, Some(act.id))?;
    if let Some(revision) = &report.revision {
        return Ok(Went::to(format!("/changeset/{revision}")));
    }
    let Some(id) = &report.draft else { return Ok(Went::to(format!("/acts?undone={}", act.id))) };
    if !report.conflicts.is_empty() {
        return Ok(Went::to(format!("/draft/{id}/conflicts")).with_draft(id));
    }
    match drafts::get(ctx, id) {
        Ok(_) => {
            start_build(ctx, id);
            Ok(Went::to(format!("/draft/{id}")))
        }
        // It was set aside.
        Err(e) if drafts::is_gone(&e) => {
            let went = Went::to(format!("/acts?undone={}", act.id));
            Ok(if current == Some(id) { went.with_draft("") } else { went })
        }
        Err(e) => Err(e),
    }
}

/// How many of the last acts are looked through for the one that landed a changeset.
const RECENT: usize = 40;

/// The act that landed a changeset, if it is one of the last ones and was not undone.
pub(crate) fn landing(ctx: &Context, revision: &str) -> regrow_ops::Result<Option<i64>> {
    let landed = |act: &Recorded| matches!(&act.undo, Some(Way::Landed { revision: r }) if r == revision);
    let recent = acts::list(ctx, &Which::default(), RECENT)?.acts;
    Ok(recent.into_iter().find(|act| act.undone.is_none() && landed(act)).map(|act| act.id))
}
