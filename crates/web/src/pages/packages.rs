//! `/packages?q=WORDS&server=NAME`: packages of the archives by name and description.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use regrow_ops::{Error, add, drafts};
use serde::Deserialize;

use crate::app::App;
use crate::pages::{layout, show, work};
use crate::view::{Layout, Place, bytes};
use crate::visitor::Visitor;

/// How many are shown.
const MOST: usize = 50;

/// What is looked for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    server: String,
}

#[derive(Debug, Template)]
#[template(path = "packages.html")]
struct Page {
    layout: Layout,
    q: String,
    server: String,
    servers: Vec<String>,
    rows: Vec<Row>,
    /// Why nothing could be looked for, and the way out.
    trouble: Option<(String, String)>,
    most: bool,
}

#[derive(Debug)]
struct Row {
    name: String,
    summary: String,
    version: String,
    installed: String,
    download: String,
    there: bool,
    catalog: Option<String>,
}

/// The page.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
) -> Response {
    let state = app.clone();
    let page = work(&app, move |ctx| {
        let draft = visitor.draft.as_deref().filter(|id| drafts::get(ctx, id).is_ok());
        let fleet = add::fleet(ctx, draft)?;
        let servers: Vec<String> = fleet.servers.keys().cloned().collect();
        let server = match fleet.servers.get(&asked.server) {
            Some(server) => server.name.clone(),
            None => servers.first().cloned().unwrap_or_default(),
        };
        let has = |name: &str| fleet.servers.get(&server).is_some_and(|s| s.packages.contains_key(name));
        let (mut found, mut trouble) = (Vec::new(), None);
        if !asked.q.trim().is_empty() {
            match add::search(ctx, &asked.q, MOST) {
                Ok(report) => found = report.found,
                Err(e @ Error::Mistake { .. }) => {
                    trouble = Some((crate::outcome::sentence(&e.to_string()), e.help().unwrap_or_default()));
                }
                Err(e) => return Err(e),
            }
        }
        let rows: Vec<Row> = found
            .into_iter()
            .map(|f| Row {
                there: has(&f.name),
                catalog: fleet
                    .catalog
                    .entries()
                    .find(|e| e.category.is_some() && e.packages.first() == Some(&f.name))
                    .map(|e| e.name.clone()),
                installed: bytes(f.installed_size),
                download: bytes(f.size),
                name: f.name,
                summary: f.summary,
                version: f.version,
            })
            .collect();
        let layout = layout(&state, "Packages", Place::Elsewhere);
        Ok(Page { layout, q: asked.q, server, servers, most: rows.len() == MOST, rows, trouble })
    });
    match page.await {
        Ok(page) => show(StatusCode::OK, &page),
        Err(response) => response,
    }
}
