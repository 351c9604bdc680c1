//! One module per page.

pub(crate) mod accounts;
pub(crate) mod acts;
pub(crate) mod add;
pub(crate) mod banner;
pub(crate) mod changeset;
pub(crate) mod compare;
pub(crate) mod desk;
pub(crate) mod draft;
pub(crate) mod drafts;
pub(crate) mod edit;
pub(crate) mod go;
pub(crate) mod history;
pub(crate) mod hunt;
pub(crate) mod hunts;
pub(crate) mod images;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod live;
pub(crate) mod message;
pub(crate) mod moving;
pub(crate) mod object;
pub(crate) mod packages;
pub(crate) mod password;
pub(crate) mod server;
pub(crate) mod servers;
pub(crate) mod sign_in;
pub(crate) mod switch;
pub(crate) mod trial;
pub(crate) mod why;

use std::sync::Arc;

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use regrow_ops::Context;

use crate::app::App;
use crate::view::{Layout, Place};
use crate::visitor::Visitor;

/// The frame of a page for somebody with a session.
pub(crate) fn layout(app: &App, title: impl Into<String>, place: Place) -> Layout {
    let fleet = app.ctx.fleet_optional().map_or_else(String::new, |f| f.display().to_string());
    let visitor = Visitor::current();
    let banner = visitor.as_ref().and_then(|v| banner::of(app, v));
    Layout { title: title.into(), place, fleet, known: true, visitor, banner }
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

/// A page that was drawn, or in words that there is no such thing, or what [`work`] answers instead.
pub(crate) fn drawn<T: Template>(app: &App, page: Result<Result<Box<T>, String>, Response>) -> Response {
    match page {
        Ok(Ok(page)) => show(StatusCode::OK, &*page),
        Ok(Err(words)) => message::missing(app, &words),
        Err(response) => response,
    }
}

/// Does blocking work away from the threads that answer. Its context acts on behalf of the visitor.
///
/// # Errors
/// The response that says what went wrong.
pub(crate) async fn work<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&Context) -> regrow_ops::Result<T> + Send + 'static,
) -> Result<T, Response> {
    let ctx = app.ctx.clone();
    let visitor = Visitor::current();
    let work = move || match visitor {
        Some(visitor) => {
            let ctx = visitor.context(&ctx);
            visitor.during_work(|| work(&ctx))
        }
        None => work(&ctx),
    };
    // It is never closed.
    let permit = app.working.clone().acquire_owned().await.ok();
    let work = move || {
        let _permit = permit;
        work()
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(message::trouble(app, &e, true)),
        Err(_) => {
            let e = regrow_ops::Error::surroundings("the page broke off by a flaw in Regrow", "please report it");
            Err(message::trouble(app, &e, true))
        }
    }
}
