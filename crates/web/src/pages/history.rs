//! `/history`: the timeline. Every changeset in words, with what was proven about it; two of them ticked are compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use regrow_ops::changes::{self, LogReport, Told};
use regrow_ops::evidence::Brief;
use regrow_ops::{Kind, Verdict};
use serde::Deserialize;

use crate::app::App;
use crate::pages::{layout, show, work};
use crate::view::{self, Digest, Layout, Mark, Place, Tone, When};

/// How many changesets one page shows.
const PAGE: usize = 50;

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
    servers: Vec<String>,
    rows: Vec<Row>,
    older: Option<String>,
}

/// A changeset of the timeline.
#[derive(Debug)]
struct Row {
    change: Change,
    summary: String,
    badges: Vec<Badge>,
}

/// What was proven, about one or several servers.
#[derive(Debug)]
pub(crate) struct Badge {
    pub(crate) mark: Mark,
    /// Of which servers, if the page is not about one.
    pub(crate) of: Option<String>,
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
        log.changes.into_iter().map(|c| Change::new(c, now)).collect()
    }

    fn new(c: regrow_ops::changes::Changeset, now: Timestamp) -> Change {
        Change {
            revision: Digest::new(c.revision),
            subject: c.subject,
            body: c.body,
            files: match &c.paths[..] {
                [one] => one.path.clone(),
                many => view::count(many.len(), "file", "files"),
            },
            author: c.author,
            when: When::new(c.at, now),
        }
    }
}

impl Row {
    fn new(told: Told, now: Timestamp) -> Row {
        let badges = badges(&told.proofs);
        // What somebody wrote themselves may say the same as our words.
        let summary = if *told.summary == told.change.subject { String::new() } else { told.summary.to_string() };
        Row { change: Change::new(told.change, now), summary, badges }
    }
}

/// What was proven in badges: the same about several servers is one.
pub(crate) fn badges(proofs: &[Brief]) -> Vec<Badge> {
    let mut by_mark: BTreeMap<(Kind, Verdict, Option<&str>), Vec<&str>> = BTreeMap::new();
    for proof in proofs {
        by_mark.entry((proof.kind, proof.verdict, proof.on.as_deref())).or_default().push(&proof.server);
    }
    let badge = |((kind, verdict, on), servers): ((Kind, Verdict, Option<&str>), Vec<&str>)| {
        let of = if servers.len() > 2 { format!("{} servers", servers.len()) } else { servers.join(", ") };
        let of = on.map_or(of.clone(), |on| format!("{of}, elsewhere: {on}"));
        Badge { mark: mark(kind, verdict), of: Some(of) }
    };
    by_mark.into_iter().map(badge).collect()
}

/// A result in one word.
pub(crate) fn mark(kind: Kind, verdict: Verdict) -> Mark {
    match (kind, verdict) {
        (Kind::Build, Verdict::Built) => Mark::new(Tone::Good, "built"),
        (Kind::Build, _) => Mark::new(Tone::Bad, "not built"),
        (Kind::Verify, v) if v.is_good() => Mark::new(Tone::Good, "verified"),
        (Kind::Verify, _) => Mark::new(Tone::Bad, "not verified"),
        (Kind::Trial, v) if v.is_good() => Mark::new(Tone::Good, "trialled"),
        (Kind::Trial, _) => Mark::new(Tone::Bad, "trial failed"),
        (Kind::Switch, Verdict::Switched) => Mark::new(Tone::Good, "switched"),
        (Kind::Switch, Verdict::RolledBack) => Mark::new(Tone::Held, "held"),
        (Kind::Switch, _) => Mark::new(Tone::Bad, "switch failed"),
        (Kind::Rollback, v) if v.is_good() => Mark::new(Tone::Good, "gone back to"),
        (Kind::Rollback, _) => Mark::new(Tone::Bad, "not gone back to"),
        (Kind::Drill, v) if v.is_good() => Mark::new(Tone::Good, "drilled"),
        (Kind::Drill, _) => Mark::new(Tone::Bad, "drill failed"),
    }
}

/// The page.
pub(crate) async fn get(State(app): State<Arc<App>>, Query(which): Query<Which>) -> Response {
    // What can be no server's name and no revision is as good as not asked for.
    let server =
        which.server.filter(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
    let from = which.from.filter(|f| f.bytes().all(|b| b.is_ascii_hexdigit()) && !f.is_empty());
    let asked = server.clone();
    let found = work(&app, move |ctx| {
        Ok((changes::timeline(ctx, asked.as_deref(), from.as_deref(), PAGE)?, changes::server_names(ctx)?))
    });
    let (timeline, servers) = match found.await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let older = timeline.next.map(|next| match &server {
        Some(server) => format!("/history?server={server}&from={next}"),
        None => format!("/history?from={next}"),
    });
    let now = app.ctx.now();
    let rows = timeline.changes.into_iter().map(|told| Row::new(told, now)).collect();
    show(StatusCode::OK, &Page { layout: layout(&app, "Changesets", Place::History), server, servers, rows, older })
}
