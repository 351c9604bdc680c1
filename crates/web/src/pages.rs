//! One module per page.

pub(crate) mod history;
pub(crate) mod job;
pub(crate) mod live;
pub(crate) mod message;
pub(crate) mod server;
pub(crate) mod servers;

use std::sync::Arc;

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use regrow_ops::Context;

use crate::app::App;
use crate::view::{Layout, Place};

/// The frame of a page for somebody with a session.
pub(crate) fn layout(app: &App, title: impl Into<String>, place: Place) -> Layout {
    let fleet = app.ctx.fleet_optional().map_or_else(String::new, |f| f.display().to_string());
    Layout { title: title.into(), place, fleet, known: true }
}

/// A page as an answer.
pub(crate) fn show(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "The page could not be drawn; please report it.\n").into_response()
        }
    }
}

/// Does blocking work away from the threads that answer.
///
/// # Errors
/// The response that says what went wrong.
pub(crate) async fn work<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&Context) -> regrow_ops::Result<T> + Send + 'static,
) -> Result<T, Response> {
    let ctx = app.ctx.clone();
    match tokio::task::spawn_blocking(move || work(&ctx)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(message::trouble(app, &e, true)),
        Err(_) => {
            let e = regrow_ops::Error::surroundings("the page broke off by a flaw in Regrow", "please report it");
            Err(message::trouble(app, &e, true))
        }
    }
}
