//! `/`: all servers, those that need attention first.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use regrow_ops::wanted::Wanted;
use regrow_ops::{Context, Error, online};

use crate::app::App;
use crate::look::{Around, Look};
use crate::pages::{layout, message, show, work};
use crate::view::{self, DiagnosticView, Layout, Place, Tone};

#[derive(Debug, Template)]
#[template(path = "servers.html")]
struct Page {
    layout: Layout,
    summary: String,
    rows: Vec<Look>,
    diagnostics: Vec<DiagnosticView>,
}

/// The page.
pub(crate) async fn get(State(app): State<Arc<App>>) -> Response {
    let (rows, diagnostics) = match work(&app, look).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let page = Page { layout: layout(&app, "Servers", Place::Servers), summary: summary(&rows), rows, diagnostics };
    show(StatusCode::OK, &page)
}

fn look(ctx: &Context) -> regrow_ops::Result<(Vec<Look>, Vec<DiagnosticView>)> {
    let status = online::status(ctx, None)?;
    let text = Wanted::read(ctx, None)?;
    let around = Around::look(ctx, &status)?;
    let mut rows = Vec::new();
    for server in &status.servers {
        let diagnosed = matches!(text.server(&server.name), Err(Error::Diagnostics(_)));
        rows.push(Look::at(ctx, server, diagnosed, &around)?);
    }
    // Red first; the names stay in their order within one state.
    rows.sort_by_key(|look| look.mark.tone());
    let diagnostics = message::diagnostics(&text.diagnosed(text.diagnostics.clone()));
    Ok((rows, diagnostics))
}

/// "3 servers: 1 failed, 2 healthy".
fn summary(rows: &[Look]) -> String {
    let of = |tone: Tone| rows.iter().filter(|r| r.mark.tone() == tone).count();
    let all = view::count(rows.len(), "server", "servers");
    match (of(Tone::Bad), of(Tone::Held)) {
        (0, 0) => format!("{all}; none needs attention."),
        (bad, 0) => format!("{all}; {bad} not as it should be."),
        (0, held) => format!("{all}; {held} held."),
        (bad, held) => format!("{all}; {bad} not as it should be, {held} held."),
    }
}
