//! `/compare/A..B`: what differs between two texts. `/compare?pick=B&pick=A` (two ticked in the timeline) leads there.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use regrow_ops::compare::{self, Side};
use regrow_ops::wanted::short;

use crate::app::App;
use crate::pages::images::{self, Row};
use crate::pages::{layout, message, show, work};
use crate::preview::Preview;
use crate::view::{Layout, Place};

#[derive(Debug, Template)]
#[template(path = "compare.html")]
struct Page {
    layout: Layout,
    from: String,
    to: String,
    swap: String,
    preview: Preview,
    /// The address of this page.
    here: String,
    /// The servers whose images can be compared, or could be.
    images: Vec<Row>,
    command: String,
}

/// What was ticked: the newer one stands first in the timeline.
pub(crate) async fn pick(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let picked: Vec<&str> =
        query.split('&').filter_map(|part| part.strip_prefix("pick=")).filter(|p| is_side(p)).collect();
    match picked[..] {
        [newer, older] => {
            (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/compare/{older}..{newer}"))]).into_response()
        }
        _ => message::advice(
            &app,
            "Tick two changesets",
            "Go back and tick exactly two changesets; then they are compared.",
            ("/history", "Changesets"),
        ),
    }
}

/// Whether a text can stand for a side in an address: no path, no range, no option.
pub(crate) fn is_side(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~^:".contains(&b);
    !text.is_empty()
        && text.len() <= 200
        && !text.starts_with(['-', '.'])
        && !text.contains("..")
        && text.bytes().all(plain)
}

/// The page.
pub(crate) async fn get(State(app): State<Arc<App>>, Path(pair): Path<String>) -> Response {
    let Some((from, to)) = pair.split_once("..").filter(|(a, b)| is_side(a) && is_side(b)) else {
        return message::missing(&app, "Two texts are compared as /compare/A..B.");
    };
    let (from, to) = (from.to_owned(), to.to_owned());
    let sides = (from.clone(), to.clone());
    let looked = work(&app, move |ctx| {
        let found = compare::glance(ctx, &Side::parse(&sides.0), &Side::parse(&sides.1))?;
        let images = images::rows(ctx, &found, &sides.0, &sides.1)?;
        Ok((found, images))
    });
    let (found, images) = match looked.await {
        Ok(looked) => looked,
        Err(response) => return response,
    };
    let command = match (&*from, &*to) {
        (from, "disk") => format!("regrow diff {}", short(from)),
        (from, to) => format!("regrow diff {} {}", short(from), short(to)),
    };
    let page = Page {
        layout: layout(&app, "Compare", Place::History),
        swap: format!("/compare/{to}..{from}"),
        here: format!("/compare/{from}..{to}"),
        images,
        from: short(&from),
        to: short(&to),
        preview: Preview::new(&found),
        command,
    };
    show(StatusCode::OK, &page)
}
