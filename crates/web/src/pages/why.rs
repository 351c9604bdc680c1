//! `/server/NAME/why?path=PATH&at=REV`: what put a path into a server's image.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use regrow_ops::compare::image;
use regrow_ops::why::{self, WhyReport};
use regrow_ops::{Context, Error};
use serde::Deserialize;

use crate::app::App;
use crate::outcome::sentence;
use crate::pages::changeset::is_revision;
use crate::pages::images::{Missing, all};
use crate::pages::object::file::href;
use crate::pages::password::words;
use crate::pages::server::known;
use crate::pages::{layout, message, show, work};
use crate::view::{Digest, Layout, Place, When};
use crate::visitor::Visitor;

/// What is asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    path: String,
    /// The revision; the last changeset, if nothing is said.
    #[serde(default)]
    at: String,
}

#[derive(Debug, Template)]
#[template(path = "why.html")]
struct Page {
    layout: Layout,
    server: String,
    path: String,
    at: String,
    missing: Missing,
    found: Option<Found>,
    error: Option<String>,
    command: Option<String>,
}

/// The answer.
#[derive(Debug)]
struct Found {
    report: WhyReport,
    what: String,
    /// The answer in a sentence.
    words: String,
    /// Where the line of the text is shown.
    line: Option<String>,
    image: Digest,
    changeset: Option<Changeset>,
}

/// The changeset that last touched the line.
#[derive(Debug)]
struct Changeset {
    revision: Digest,
    subject: String,
    author: String,
    when: When,
}

/// The longest path that Linux takes.
const MOST_PATH: usize = 4096;

/// The page.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(server): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let at = if asked.at.is_empty() { "HEAD".to_owned() } else { asked.at.trim().to_owned() };
    if !is_revision(&at) || asked.path.len() > MOST_PATH {
        return message::missing(&app, "What put a path into an image is asked as /server/NAME/why?path=/etc/motd.");
    }
    let state = app.clone();
    match work(&app, move |ctx| draw(&state, ctx, &visitor, server, asked.path.trim().to_owned(), at)).await {
        Ok(Some(page)) => show(if page.error.is_some() { StatusCode::NOT_FOUND } else { StatusCode::OK }, &*page),
        Ok(None) => message::missing(&app, "There is no such server."),
        Err(response) => response,
    }
}

fn draw(
    app: &App,
    ctx: &Context,
    visitor: &Visitor,
    server: String,
    path: String,
    at: String,
) -> regrow_ops::Result<Option<Box<Page>>> {
    if !known(ctx, &server)? {
        return Ok(None);
    }
    let mut page = Page {
        layout: layout(app, format!("Why is it in {server}?"), Place::Servers),
        missing: Missing::default(),
        found: None,
        error: None,
        command: None,
        server,
        path,
        at,
    };
    if page.path.is_empty() {
        return Ok(Some(Box::new(page)));
    }
    let (commit, there) = image::there(ctx, std::slice::from_ref(&page.server), &page.at)?;
    if there.is_empty() {
        page.missing = Missing::new(app, visitor, &page.server, vec![commit])?;
        return Ok(Some(Box::new(page)));
    }
    // A path that needs quoting on a command line is left to the reader.
    let plain = page.path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./@:+".contains(&b));
    page.command =
        plain.then(|| format!("regrow why {} {} --at {}", page.server, page.path, Digest::new(&commit).short()));
    match why::look(ctx, &page.server, &page.path, &commit) {
        Ok(report) => page.found = Some(Found::new(report, ctx)),
        Err(e @ (Error::No { .. } | Error::Mistake { .. })) => page.error = Some(words(&e)),
        Err(e) => return Err(e),
    }
    Ok(Some(Box::new(page)))
}

impl Found {
    fn new(report: WhyReport, ctx: &Context) -> Found {
        let changeset = report.changeset.as_ref().map(|c| Changeset {
            revision: Digest::new(&c.revision),
            subject: c.subject.clone(),
            author: c.author.clone(),
            when: When::new(c.at, ctx.now()),
        });
        Found {
            what: all(&report.facts),
            words: report.words.first().map(|words| sentence(words)).unwrap_or_default(),
            line: report.line.as_ref().map(|l| href(&report.server, &l.file, l.line.unwrap_or(0))),
            image: Digest::new(&report.image),
            changeset,
            report,
        }
    }
}
