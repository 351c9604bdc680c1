//! `/server/NAME/file?path=PATH`: the whole of one file that a server is made from, to read and to edit as text.

use std::sync::Arc;

use askama::Template;
use axum::extract::Path as UrlPath;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use regrow_ops::Context;
use regrow_ops::objects::{self as ops, Text};
use serde::Deserialize;

use super::text::{self, FileView, Line};
use super::{BrokenView, Shown, broken, encode, into, lacks, once, shown};
use crate::app::App;
use crate::pages::{layout, message, show, work};
use crate::view::{Layout, Place};
use crate::visitor::Visitor;

/// The largest text that a page takes, in bytes.
const MOST: usize = 256 * 1024;
/// How many lines are shown with numbers.
const MOST_LINES: usize = 2000;

/// Which file.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    path: String,
    line: Option<usize>,
}

#[derive(Debug, Template)]
#[template(path = "file.html")]
struct Page {
    layout: Layout,
    server: String,
    session: String,
    once: String,
    then: String,
    draft: Option<String>,
    tip: Option<String>,
    base: Option<String>,
    into: &'static str,
    shown: Shown,
    broken: Vec<BrokenView>,
    closed: Option<String>,
    error: Option<String>,
    rows: usize,
    content: String,
    file: FileView,
    cut: bool,
}

/// The address of a line of a file; line 0 is the file.
pub(crate) fn href(server: &str, path: &str, line: usize) -> String {
    let file = format!("/server/{}/file?path={}", encode(server), encode(path).replace("%2F", "/"));
    if line == 0 { file } else { format!("{file}&line={line}#L{line}") }
}

/// The page.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    UrlPath(server): UrlPath<String>,
    Query(asked): Query<Asked>,
) -> Response {
    answer(app, visitor, server, asked, None).await
}

/// The page again, with what was typed and why it was not taken.
pub(crate) async fn refused(
    app: Arc<App>,
    visitor: Visitor,
    server: String,
    path: String,
    typed: String,
    error: String,
) -> Response {
    answer(app, visitor, server, Asked { path, line: None }, Some((typed, error))).await
}

async fn answer(
    app: Arc<App>,
    visitor: Visitor,
    server: String,
    asked: Asked,
    typed: Option<(String, String)>,
) -> Response {
    let state = app.clone();
    let status = if typed.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    match work(&app, move |ctx| draw(&state, ctx, &visitor, &server, &asked, typed)).await {
        Ok(Ok(page)) => show(status, &*page),
        Ok(Err(words)) => message::missing(&app, &words),
        Err(response) => response,
    }
}

/// Whether a server is made from this file, so that its page shows it.
fn concerns(server: &str, path: &str) -> bool {
    let plain =
        !path.is_empty() && path.split('/').all(|p| !p.is_empty() && !p.starts_with('.')) && !path.contains('\0');
    let own = path.strip_prefix("servers/").and_then(|p| p.split_once('/')).is_some_and(|(name, _)| name == server);
    plain
        && (own
            || path == "regrow.toml"
            || path.starts_with("roles/")
            || path.starts_with("catalog/")
            || path.starts_with("files/"))
}

fn draw(
    app: &App,
    ctx: &Context,
    visitor: &Visitor,
    server: &str,
    asked: &Asked,
    typed: Option<(String, String)>,
) -> regrow_ops::Result<Result<Box<Page>, String>> {
    let found = ops::view(ctx, server, visitor.draft.as_deref())?;
    let path = asked.path.as_str();
    if !found.objects.exists || !concerns(server, path) {
        return Ok(Err(format!("{server} is made from no file of this name.")));
    }
    let bytes = match ops::files_of(ctx, &found.text)?.read(path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Err(format!("There is no file {path} in this text."))),
        Err(e) => return Ok(Err(format!("{path} cannot be shown: {}.", e.source))),
    };
    let base = ops::blob_of(ctx, &found.text, path)?;
    let lock = path.ends_with("/lock.toml");
    let (content, closed) = match String::from_utf8(bytes) {
        Ok(_) if lock => (None, Some("The lock is written by regrow lock; nobody edits it by hand.".to_owned())),
        Ok(text) if text.len() > MOST => {
            (None, Some(format!("It is too large for a page ({} kB); edit it on disk.", text.len() / 1000)))
        }
        Ok(text) if text.contains('\0') => (None, Some("It is no text; edit it on disk.".to_owned())),
        Ok(text) => (Some(text), lacks(visitor)),
        Err(e) => {
            let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            (None, Some(format!("It is not UTF-8 text at line {line}; edit it on disk.")))
        }
    };
    let text = content.clone().unwrap_or_default();
    let (mut lines, cut) = match path.ends_with(".toml") {
        true => text::of_file(&text, MOST_LINES),
        false => plain_lines(&text),
    };
    for line in &mut lines {
        line.at = asked.line == Some(line.number);
        line.wrong = found.objects.broken.iter().any(|b| *b.path == *path && b.line == line.number);
        line.href = Some(href(server, path, line.number));
    }
    let mut broken = broken(&found.objects, server);
    broken.retain(|b| b.place.starts_with(&format!("{path}:")));
    let (content, error) = match typed {
        Some((typed, error)) => (typed, Some(error)),
        None => (text, None),
    };
    let (draft, tip) = match &found.text {
        Text::Draft { id, tip } => (Some(id.clone()), Some(tip.clone())),
        Text::Changeset(head) => (None, Some(head.clone())),
        Text::Disk => (None, None),
    };
    Ok(Ok(Box::new(Page {
        layout: layout(app, path, Place::Servers),
        server: server.to_owned(),
        session: visitor.form_token.clone(),
        once: once(app)?,
        then: href(server, path, 0),
        draft,
        tip,
        base,
        into: into(visitor, &found.text),
        shown: shown(&found, server),
        broken,
        closed,
        error,
        rows: content.lines().count().clamp(8, 40),
        content,
        file: FileView { path: path.to_owned(), href: String::new(), role: None, anchor: String::new(), lines },
        cut,
    })))
}

fn plain_lines(text: &str) -> (Vec<Line>, bool) {
    let line = |(at, line): (usize, &str)| Line {
        number: at + 1,
        at: false,
        wrong: false,
        key: None,
        href: None,
        parts: vec![("", line.to_owned())],
    };
    (text.lines().enumerate().take(MOST_LINES).map(line).collect(), text.lines().nth(MOST_LINES).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_a_server_is_made_from_are_shown() {
        for good in ["servers/web1/server.toml", "servers/web1/root/etc/x y", "roles/base.toml", "regrow.toml"] {
            assert!(concerns("web1", good), "{good}");
        }
        for bad in [
            "",
            "servers/web2/server.toml",
            "servers/web1",
            "../x",
            "servers/web1/../web2/server.toml",
            ".git/config",
            "servers/web1/.git/x",
            "/etc/passwd",
            "servers//web1/x",
        ] {
            assert!(!concerns("web1", bad), "{bad}");
        }
    }

    #[test]
    fn the_address_of_a_line_leads_to_it() {
        assert_eq!(href("web1", "roles/a b.toml", 3), "/server/web1/file?path=roles/a%20b.toml&line=3#L3");
    }
}
