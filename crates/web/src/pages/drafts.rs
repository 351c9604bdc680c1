//! `/drafts`: all drafts. "Edits on disk" is always the first one.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use regrow_ops::accounts::Role;
use regrow_ops::drafts::{self, Draft};
use regrow_ops::{Context, Error};

use crate::app::App;
use crate::form::{Own, Went};
use crate::pages::{layout, message, show, work};
use crate::view::{Layout, Place, When, count};
use crate::visitor::{MayEdit, Visitor};

#[derive(Debug, Template)]
#[template(path = "drafts.html")]
struct Page {
    layout: Layout,
    session: String,
    once: String,
    lacks: Option<String>,
    /// What is edited on disk, in words and when.
    disk: Option<(String, Option<When>)>,
    drafts: Vec<Row>,
    discarded: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    id: String,
    title: String,
    owner: String,
    files: String,
    when: When,
    outdated: bool,
    current: bool,
}

/// "Edits on disk: 3 keys in 2 files".
pub(crate) fn disk_words(disk: &drafts::OnDisk) -> String {
    let files = count(disk.files.len(), "file", "files");
    match disk.keys {
        0 => files,
        keys => format!("{} in {files}", count(keys, "key", "keys")),
    }
}

/// The page.
pub(crate) async fn get(State(app): State<Arc<App>>, visitor: Visitor) -> Response {
    let state = app.clone();
    match work(&app, move |ctx| draw(&state, ctx, &visitor)).await {
        Ok(page) => show(StatusCode::OK, &page),
        Err(response) => response,
    }
}

fn draw(app: &App, ctx: &Context, visitor: &Visitor) -> regrow_ops::Result<Page> {
    let report = drafts::report(ctx)?;
    let now = ctx.now();
    let row = |d: Draft| Row {
        current: visitor.draft.as_deref() == Some(&*d.id),
        id: d.id,
        title: d.title,
        owner: d.owner,
        files: match &d.files[..] {
            [] => "nothing yet".to_owned(),
            [one] => one.clone(),
            many => count(many.len(), "file", "files"),
        },
        when: When::new(d.changed, now),
        outdated: d.outdated,
    };
    Ok(Page {
        layout: layout(app, "Drafts", Place::Drafts),
        session: visitor.form_token.clone(),
        once: app.form_once()?,
        lacks: visitor.lacks(Role::Edit),
        disk: report.disk.map(|d| (disk_words(&d), d.newest.map(|at| When::new(at, now)))),
        drafts: report.drafts.into_iter().map(row).collect(),
        discarded: report.discarded.into_iter().map(row).collect(),
    })
}

/// Makes a new, empty draft and works on it.
pub(crate) async fn post(State(app): State<Arc<App>>, MayEdit(visitor): MayEdit, Own(sent): Own) -> Response {
    let state = app.clone();
    let done = work(&app, move |ctx| {
        state.once(sent.get("once").unwrap_or_default(), "new draft", || {
            let draft = drafts::create(ctx, sent.get("title"), &visitor.actor)?;
            Ok::<_, Error>(Went::to("/").with_draft(&draft.id))
        })
    });
    match done.await {
        Ok(Some(went)) => went.answer(&app),
        Ok(None) => message::stale_form(&app, "/drafts".to_owned()),
        Err(response) => response,
    }
}
