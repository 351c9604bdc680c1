//! `/server/NAME/KIND/ID`: one object of a server as Form, Text, History and Effects, with one cursor (`?at=KEY`).
//!
//! The form sends its fields to `/edit` in the way [`regrow_config::objects::form`] reads them; if something typed there
//! cannot be a value, the same page comes back with everything typed: [`refused`].
//!
//! * `fields`: values as controls. `text`: lines with numbers and colours. `tree`: the list on the server's page.
//! * `file`: the whole of one file.

mod fields;
pub(crate) mod file;
mod text;
pub(crate) mod tree;

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use regrow_config::objects::form::Refused;
use regrow_config::objects::{Difference, Field, Object, Objects};
use regrow_ops::Context;
use regrow_ops::accounts::Role;
use regrow_ops::objects::{self as ops, Text, Touch, View};
use serde::Deserialize;

use crate::app::App;
use crate::pages::{layout, message, show, work};
use crate::view::{DiagnosticView, Layout, Mark, Place, Tone, When};
use crate::visitor::Visitor;
use fields::Form;
use text::FileView;

/// What a reader asks for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    view: Option<String>,
    /// The key under the cursor.
    at: Option<String>,
}

/// What was typed and cannot be: fields of the form as sent, and why not.
#[derive(Debug, Default)]
pub(crate) struct Typed {
    /// Name and value of every field.
    pub(crate) fields: Vec<(String, String)>,
    /// Which cannot be.
    pub(crate) refused: Vec<Refused>,
    /// What is wrong with the whole.
    pub(crate) error: Option<String>,
}

impl Typed {
    fn get(&self, mark: &str, key: &str) -> Option<&str> {
        let name = format!("{mark}:{key}");
        self.fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    fn error(&self, key: &str) -> Option<&str> {
        self.refused.iter().find(|r| r.key == key).map(|r| r.message.as_str())
    }
}

#[derive(Debug, Template)]
#[template(path = "object.html")]
struct Page {
    layout: Layout,
    server: String,
    kind: &'static str,
    kind_title: &'static str,
    name: String,
    lead: String,
    marks: Vec<Mark>,
    shown: Shown,
    broken: Vec<BrokenView>,
    diagnostics: Vec<DiagnosticView>,
    tabs: Vec<Tab>,
    view: &'static str,
    form: Option<Box<Form>>,
    text: Vec<FileView>,
    touches: Vec<TouchView>,
    more_history: bool,
    effects: Vec<Effect>,
}

#[derive(Debug)]
struct Tab {
    name: &'static str,
    href: String,
    current: bool,
}

/// Which text the reader looks at, if that needs words.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) notice: Option<String>,
    pub(crate) link: String,
    pub(crate) link_name: &'static str,
}

/// A place that cannot be read.
#[derive(Debug)]
pub(crate) struct BrokenView {
    pub(crate) href: String,
    pub(crate) place: String,
    pub(crate) message: String,
}

#[derive(Debug)]
struct TouchView {
    revision: String,
    subject: String,
    author: String,
    when: When,
    changes: Vec<ChangeView>,
    more: usize,
}

#[derive(Debug)]
struct ChangeView {
    key: String,
    href: String,
    before: Option<String>,
    after: Option<String>,
}

#[derive(Debug)]
struct Effect {
    title: &'static str,
    about: String,
    changes: Vec<ChangeView>,
    link: Option<String>,
    link_name: &'static str,
}

/// The page.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((server, kind, id)): Path<(String, String, String)>,
    Query(asked): Query<Asked>,
) -> Response {
    answer(app, visitor, server, kind, id, asked, Typed::default()).await
}

/// The page again, with what was typed into its form and why that cannot be.
pub(crate) async fn refused(
    app: Arc<App>,
    visitor: Visitor,
    server: String,
    kind: String,
    name: String,
    typed: Typed,
) -> Response {
    let id = if name.is_empty() { "-".to_owned() } else { name };
    answer(app, visitor, server, kind, id, Asked::default(), typed).await
}

async fn answer(
    app: Arc<App>,
    visitor: Visitor,
    server: String,
    kind: String,
    id: String,
    asked: Asked,
    typed: Typed,
) -> Response {
    let state = app.clone();
    let status = if typed.refused.is_empty() && typed.error.is_none() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    match work(&app, move |ctx| draw(&state, ctx, &visitor, (&server, &kind, &id), &asked, &typed)).await {
        Ok(Ok(page)) => show(status, &*page),
        Ok(Err(Gone::Missing(words))) => message::missing(&app, &words),
        Ok(Err(Gone::To(place))) => (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response(),
        Err(response) => response,
    }
}

/// Why there is no page.
enum Gone {
    /// There is no such thing.
    Missing(String),
    /// It is not there any more; this is the nearest place.
    To(String),
}

fn draw(
    app: &App,
    ctx: &Context,
    visitor: &Visitor,
    (server, kind, id): (&str, &str, &str),
    asked: &Asked,
    typed: &Typed,
) -> regrow_ops::Result<Result<Box<Page>, Gone>> {
    let found = ops::view(ctx, server, visitor.draft.as_deref())?;
    if !found.objects.exists {
        return Ok(Err(Gone::Missing(format!("There is no server {server}."))));
    }
    let Some(group) = found.objects.group(kind) else {
        return Ok(Err(Gone::Missing(format!("A server has nothing called {kind}."))));
    };
    let named = |name: &str| group.objects.iter().find(|o| o.name == name);
    let Some(object) = named(id).or_else(|| if id == "-" { named("") } else { None }) else {
        // Renamed or deleted in the draft, perhaps just now: back to where its kind is listed.
        if found.main.as_ref().is_some_and(|main| main.find(kind, id).is_some()) {
            return Ok(Err(Gone::To(format!("/server/{}#{kind}", encode(server)))));
        }
        let words = format!("{server} has no {} called {id} in this text.", one_of(kind));
        return Ok(Err(Gone::Missing(words)));
    };
    let view = match asked.view.as_deref() {
        Some("text") => "text",
        Some("history") => "history",
        Some("effects") => "effects",
        _ => "form",
    };
    let here = href(server, object);
    let at = asked.at.as_deref();
    let with = |view: &str| match at {
        Some(at) => format!("{here}?view={view}&at={}", encode(at)),
        None => format!("{here}?view={view}"),
    };
    let tabs = [("Form", "form"), ("Text", "text"), ("History", "history"), ("Effects", "effects")];
    let now = ctx.now();
    let (mut touches, mut more_history) = (Vec::new(), false);
    if let ("history", Some(head)) = (view, &found.head) {
        let (all, more) = ops::object_history(ctx, head, object)?;
        more_history = more || all.len() > TOUCHES;
        touches = all.into_iter().take(TOUCHES).map(|t| TouchView::new(t, &here, now)).collect();
    }
    let form = match view {
        "form" => Some(Box::new(fields::form(app, ctx, visitor, &found, object, at, typed)?)),
        _ => None,
    };
    let text = if matches!(view, "form" | "text") {
        text::of_object(&found.objects, object, &here, view, at)
    } else {
        Vec::new()
    };
    let title = if object.name.is_empty() { group.title.to_owned() } else { object.name.clone() };
    Ok(Ok(Box::new(Page {
        layout: layout(app, title, Place::Servers),
        server: server.to_owned(),
        kind: object.kind,
        kind_title: group.title,
        name: object.name.clone(),
        lead: object.note.clone().unwrap_or_else(|| group.help.to_owned()),
        marks: marks(&found, object),
        shown: shown(&found, server),
        broken: broken(&found.objects, server),
        diagnostics: object.diagnostics.iter().map(diagnostic).collect(),
        tabs: tabs.iter().map(|(name, tab)| Tab { name, href: with(tab), current: *tab == view }).collect(),
        effects: if view == "effects" { effects(&found, object, server) } else { Vec::new() },
        view,
        form,
        text,
        touches,
        more_history,
    })))
}

/// How many changesets the history of an object shows.
const TOUCHES: usize = 50;
/// How many keys of one changeset.
const KEYS: usize = 12;

impl TouchView {
    fn new(touch: Touch, here: &str, now: jiff::Timestamp) -> TouchView {
        let more = touch.changes.len().saturating_sub(KEYS);
        let changes = touch.changes.into_iter().take(KEYS).map(|c| ChangeView {
            href: format!("{here}?at={}", encode(&c.key.to_string())),
            key: c.key.to_string(),
            before: c.before.map(|b| short(&b)),
            after: c.after.map(|a| short(&a)),
        });
        TouchView {
            changes: changes.collect(),
            more,
            revision: touch.version.revision,
            subject: touch.version.subject,
            author: touch.version.author,
            when: When::new(touch.version.at, now),
        }
    }
}

/// What differs from the newest changeset and from what runs.
fn effects(found: &View, object: &Object, server: &str) -> Vec<Effect> {
    let mut out = Vec::new();
    let here = href(server, object);
    if let Some(main) = &found.main {
        let (link, link_name) = match &found.text {
            Text::Draft { id, .. } => (Some(format!("/draft/{id}")), "All effects of the draft"),
            _ => (Some("/drafts".to_owned()), "Drafts"),
        };
        let changes = changes(main.find(object.kind, &object.name), object, &here);
        out.push(Effect {
            title: "In the draft",
            about: "against the newest changeset".to_owned(),
            changes,
            link,
            link_name,
        });
    }
    match (&found.runs, &found.running) {
        (Some(runs), Some(revision)) => {
            let changes = changes(runs.find(object.kind, &object.name), object, &here);
            let about = format!("against what runs, {}", crate::view::Digest::new(revision).short());
            let link = found.head.as_ref().map(|head| format!("/compare/{revision}..{head}"));
            out.push(Effect { title: "Not online yet", about, changes, link, link_name: "All that is not online yet" });
        }
        _ => out.push(Effect {
            title: "Not online yet",
            about: "nothing of this fleet is online: all of it takes effect with the first switch".to_owned(),
            changes: changes(None, object, &here),
            link: None,
            link_name: "",
        }),
    }
    out
}

fn changes(before: Option<&Object>, after: &Object, here: &str) -> Vec<ChangeView> {
    let value =
        |object: &Object, key: &Field| object.all_fields().find(|f| f.key == key.key).and_then(|f| f.value.clone());
    let gone = before.into_iter().flat_map(Object::all_fields).filter(|f| !after.all_fields().any(|a| a.key == f.key));
    let all = after.all_fields().chain(gone);
    let differ = all.filter_map(|field| {
        let (old, new) = (before.and_then(|b| value(b, field)), value(after, field));
        (old != new).then(|| ChangeView {
            key: field.name.clone(),
            href: format!("{here}?at={}", encode(&field.key.to_string())),
            before: old.map(|o| short(&o)),
            after: new.map(|n| short(&n)),
        })
    });
    differ.collect()
}

/// How an object stands: marks only where something is to be said.
fn marks(found: &View, object: &Object) -> Vec<Mark> {
    let standing = found.standings().remove(&(object.kind, object.name.clone())).unwrap_or_default();
    let mut out = Vec::new();
    if object.is_wrong() {
        out.push(Mark::new(Tone::Bad, "mistake"));
    }
    out.extend(standing.draft.map(|d| Mark::new(Tone::Busy, draft_word(d))));
    out.extend(standing.online.map(|d| Mark::new(Tone::Busy, online_word(d))));
    out
}

fn draft_word(difference: Difference) -> &'static str {
    match difference {
        Difference::Added => "new in the draft",
        Difference::Changed => "changed in the draft",
        Difference::Removed => "removed in the draft",
    }
}

fn online_word(difference: Difference) -> &'static str {
    match difference {
        Difference::Added => "not online yet",
        Difference::Changed => "runs with other values",
        Difference::Removed => "still online",
    }
}

/// Words about which text this is.
pub(crate) fn shown(found: &View, server: &str) -> Shown {
    match &found.text {
        Text::Disk if found.main.is_some() => Shown {
            notice: Some("This is the text on disk, with edits made by hand.".to_owned()),
            link: "/draft/disk".to_owned(),
            link_name: "Edits on disk",
        },
        Text::Disk => Shown::default(),
        _ if found.hand_edits => Shown {
            notice: Some(format!("Files that concern {server} have edits on disk; they are not shown here.")),
            link: "/draft/disk".to_owned(),
            link_name: "Edits on disk",
        },
        _ => Shown::default(),
    }
}

/// The places that cannot be read, with links to the text.
pub(crate) fn broken(objects: &Objects, server: &str) -> Vec<BrokenView> {
    let view = |b: &regrow_config::objects::Broken| BrokenView {
        href: file::href(server, &b.path, b.line),
        place: format!("{}:{}", b.path, b.line),
        message: b.message.clone(),
    };
    objects.broken.iter().map(view).collect()
}

fn diagnostic(found: &regrow_config::Diagnostic) -> DiagnosticView {
    DiagnosticView::from_json(&serde_json::to_value(found).unwrap_or_default())
}

/// The address of an object.
pub(crate) fn href(server: &str, object: &Object) -> String {
    address(server, object.kind, &object.name)
}

/// The address of an object by kind and name.
pub(crate) fn address(server: &str, kind: &str, name: &str) -> String {
    let id = if name.is_empty() { "-".to_owned() } else { encode(name) };
    format!("/server/{}/{kind}/{id}", encode(server))
}

/// Percent-encodes everything that could mean something in an address.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(byte.into()),
            // A part of dots alone would be a step in the path.
            b'.' if !text.bytes().all(|b| b == b'.') => out.push('.'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// A value short enough for a table.
fn short(literal: &str) -> String {
    let line: String = literal.chars().take(120).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if literal.chars().nth(120).is_some() { format!("{line}…") } else { line }
}

fn one_of(kind: &str) -> &str {
    match kind {
        "packages" => "package",
        "services" => "service",
        "users" => "user",
        "groups" => "group",
        "files" => "file",
        "timers" => "timer",
        "sysctl" => "kernel setting",
        "state" => "state",
        "checks" => "check",
        other => other,
    }
}

/// What saving goes to.
fn into(visitor: &Visitor, text: &Text) -> &'static str {
    match (text, &visitor.draft) {
        (Text::Draft { .. }, _) => "the draft",
        _ => "a draft",
    }
}

fn lacks(visitor: &Visitor) -> Option<String> {
    visitor.lacks(Role::Edit)
}

fn once(app: &App) -> regrow_ops::Result<String> {
    app.form_once()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_an_address_elsewhere() {
        assert_eq!(address("web1", "files", "/etc/motd"), "/server/web1/files/%2Fetc%2Fmotd");
        assert_eq!(address("web1", "users", ".."), "/server/web1/users/%2E%2E");
        assert_eq!(address("web1", "users", "a?b#c\"<é"), "/server/web1/users/a%3Fb%23c%22%3C%C3%A9");
        assert_eq!(address("web1", "system", ""), "/server/web1/system/-");
    }
}
