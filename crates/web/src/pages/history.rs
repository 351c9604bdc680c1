//! `/history`: the changesets.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use regrow_ops::changes::{self, LogReport};
use serde::Deserialize;

use crate::app::App;
use crate::pages::{layout, show, work};
use crate::view::{self, Digest, Layout, Place, When};

/// How many changesets one page shows.
const PAGE: usize = 100;

/// Which changesets.
#[derive(Debug, Deserialize)]
pub(crate) struct Which {
    server: Option<String>,
    /// The newest one to show.
    from: Option<String>,
}

#[derive(Debug, Template)]
#[template(path = "history.html")]
struct Page {
    layout: Layout,
    server: Option<String>,
    changes: Vec<Change>,
    older: Option<String>,
}

/// One changeset as a row.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: Digest,
    pub(crate) subject: String,
    pub(crate) body: String,
    pub(crate) files: String,
    pub(crate) author: String,
    pub(crate) when: When,
}

impl Change {
    /// The rows of a log.
    pub(crate) fn rows(log: LogReport, now: Timestamp) -> Vec<Change> {
        let rows = log.changes.into_iter().map(|c| Change {
            revision: Digest::new(c.revision),
            subject: c.subject,
            body: c.body,
            files: match &c.paths[..] {
                [one] => one.path.clone(),
                many => view::count(many.len(), "file", "files"),
            },
            author: c.author,
            when: When::new(c.at, now),
        });
        rows.collect()
    }
}

/// The page.
pub(crate) async fn get(State(app): State<Arc<App>>, Query(which): Query<Which>) -> Response {
    // What can be no server's name and no revision is as good as not asked for.
    let server =
        which.server.filter(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
    let from = which.from.filter(|f| f.bytes().all(|b| b.is_ascii_hexdigit()) && !f.is_empty());
    let asked = server.clone();
    let log = work(&app, move |ctx| changes::log(ctx, asked.as_deref(), from.as_deref(), PAGE + 1));
    let mut log = match log.await {
        Ok(log) => log,
        Err(response) => return response,
    };
    // The first one of the next page is where its link goes.
    let next = if log.changes.len() > PAGE { log.changes.pop() } else { None };
    let older = next.map(|next| match &server {
        Some(server) => format!("/history?server={server}&from={}", next.revision),
        None => format!("/history?from={}", next.revision),
    });
    let changes = Change::rows(log, app.ctx.now());
    show(StatusCode::OK, &Page { layout: layout(&app, "Changesets", Place::History), server, changes, older })
}
