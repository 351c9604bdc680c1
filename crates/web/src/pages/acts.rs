//! `/acts`: who did what, when, from where, and what came of it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use regrow_ops::acts::{self, Recorded, Which};
use serde::Deserialize;

use crate::app::App;
use crate::pages::{layout, show, work};
use crate::view::{Layout, Mark, Place, Tone, When};

/// How many acts one page shows.
const PAGE: usize = 100;

/// Which acts.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    who: String,
    #[serde(default)]
    server: String,
    before: Option<i64>,
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
}

#[derive(Debug)]
struct Row {
    act: Recorded,
    when: When,
    mark: Mark,
}

impl Row {
    fn new(act: Recorded, now: Timestamp) -> Row {
        Row { when: When::new(act.at, now), mark: mark(&act.result), act }
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
pub(crate) async fn get(State(app): State<Arc<App>>, Query(asked): Query<Asked>) -> Response {
    let which = Which { actor: some(&asked.who), subject: some(&asked.server), before: asked.before, kind: None };
    let mut command = "regrow acts".to_owned();
    for (option, value) in [("by", &which.actor), ("server", &which.subject)] {
        // What needs quoting on a command line is nobody's name.
        let plain = value.as_ref().filter(|v| v.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
        command.push_str(&plain.map_or_else(String::new, |v| format!(" --{option} {v}")));
    }
    match work(&app, move |ctx| acts::list(ctx, &which, PAGE)).await {
        Ok(report) => {
            let now = app.ctx.now();
            let older = report.acts.last().filter(|_| report.more).map(|a| a.id);
            let rows = report.acts.into_iter().map(|a| Row::new(a, now)).collect();
            let layout = layout(&app, "Acts", Place::Acts);
            show(StatusCode::OK, &Page { layout, who: asked.who, server: asked.server, rows, older, command })
        }
        Err(response) => response,
    }
}
