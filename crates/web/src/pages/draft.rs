//! `/draft/ID`: what a draft means in four layers, its builds and trials, and how it lands; `/draft/ID/conflicts`: what
//! must be decided first. The id `disk` is what was edited on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use regrow_ops::accounts::Role;
use regrow_ops::background::{self, BuildState};
use regrow_ops::compare::{self, Comparison, Side, image};
use regrow_ops::drafts::{self, Conflict, DISK, OnDisk, Outcome};
use regrow_ops::jobs::{self, Task};
use regrow_ops::moves::{self, Steps};
use regrow_ops::wanted::Wanted;
use regrow_ops::{Context, Error, Kind, evidence};

use crate::app::App;
use crate::form::{Own, Sent, Went};
use crate::outcome::sentence;
use crate::pages::desk::{self, Desk, Piece};
use crate::pages::drafts::disk_words;
use crate::pages::edit::{ConflictRow, decisions};
use crate::pages::history::mark as verdict_mark;
use crate::pages::server::KEPT;
use crate::pages::{layout, message, show, work};
use crate::preview::Preview;
use crate::view::{DiagnosticView, Digest, Layout, Mark, Place, Tone, When, count};
use crate::visitor::{MayEdit, Visitor};

#[derive(Debug, Template)]
#[template(path = "draft.html")]
struct Page {
    layout: Layout,
    session: String,
    once: String,
    id: String,
    /// Who, when, what it is based on.
    draft: Option<(String, When, Digest)>,
    /// The files with edits on disk.
    files: Vec<String>,
    current: bool,
    outdated: bool,
    /// How many places are to be decided, and how many are in all.
    open: usize,
    conflicts: usize,
    diagnostics: Vec<DiagnosticView>,
    desk: Desk,
    /// What can be split off.
    pieces: Vec<Piece>,
    preview: Preview,
    servers: Vec<Server>,
    message: String,
    lacks: Option<String>,
    empty: bool,
}

/// A server that the draft changes.
#[derive(Debug)]
struct Server {
    name: String,
    mark: Mark,
    job: Option<i64>,
    /// What a trial of the draft as it is showed, if there was one.
    tried: Option<Mark>,
    /// Where its image is compared with the one of the changeset that the draft is based on, if both are there.
    images: Option<String>,
}

/// How many servers have buttons of their own.
const SERVERS: usize = 8;

/// The page.
pub(crate) async fn get(State(app): State<Arc<App>>, visitor: Visitor, Path(id): Path<String>) -> Response {
    let state = app.clone();
    let drawn = work(&app, move |ctx| {
        gone_is_none(if id == DISK { draw_disk(&state, ctx, &visitor) } else { draw(&state, ctx, &visitor, &id) })
    });
    match drawn.await {
        Ok(Some(page)) => show(StatusCode::OK, &*page),
        Ok(None) => gone(&app),
        Err(response) => response,
    }
}

fn gone_is_none<T>(result: regrow_ops::Result<T>) -> regrow_ops::Result<Option<T>> {
    match result {
        Err(e) if drafts::is_gone(&e) => Ok(None),
        other => other.map(Some),
    }
}

fn gone(app: &App) -> Response {
    message::missing(
        app,
        "There is no such draft: it was landed or discarded, or never was. Discarded ones can be taken back on the page Drafts.",
    )
}

/// The servers that a comparison reaches.
pub(crate) fn reached(found: &Comparison) -> Vec<String> {
    let mut names: Vec<String> = found.servers.iter().map(|s| s.name.clone()).collect();
    names.extend(found.roles.iter().flat_map(|r| r.servers.iter().cloned()));
    names.sort();
    names.dedup();
    names
}

/// A message for the changeset, in words.
fn suggested(ctx: &Context, id: &str, found: &Comparison) -> String {
    let words = compare::summary_of(found);
    if words.is_empty() { drafts::suggested_message(ctx, id).unwrap_or_default() } else { words }
}

fn draw(app: &App, ctx: &Context, visitor: &Visitor, id: &str) -> regrow_ops::Result<Box<Page>> {
    let Steps { draft, steps, own, conflicts } = moves::steps(ctx, id)?;
    let found = compare::compare(ctx, &Side::Base, &Side::Draft(id.to_owned()))?;
    let builds: BTreeMap<String, BuildState> =
        background::builds(ctx, id)?.into_iter().map(|b| (b.server, b.state)).collect();
    let names: Vec<String> = reached(&found).into_iter().take(SERVERS).collect();
    let is_built = |name: &&String| matches!(builds.get(*name), Some(BuildState::Built { .. }));
    let built: Vec<String> = names.iter().filter(is_built).cloned().collect();
    let both = if built.is_empty() { BTreeSet::new() } else { image::there(ctx, &built, &draft.base)?.1 };
    let mut servers = Vec::new();
    for name in names {
        let (mark, job) = build_mark(builds.get(&name));
        let tried = evidence::of_revision(ctx, &name, Kind::Trial, &draft.tip)?;
        let tried = tried.map(|e| verdict_mark(e.kind, e.verdict));
        let images = both.contains(&name).then(|| format!("/compare/{}..draft:{id}/image/{name}", draft.base));
        servers.push(Server { mark, job, tried, images, name });
    }
    let files = drafts::files_of(ctx, id)?;
    let mut wrong = drafts::diagnostics(ctx, id)?;
    wrong.retain(|d| d.is_error() || draft.files.contains(&d.file.to_string()));
    Ok(Box::new(Page {
        layout: layout(app, draft.title.clone(), Place::Drafts),
        session: visitor.form_token.clone(),
        once: app.form_once()?,
        message: suggested(ctx, id, &found),
        desk: if steps.is_empty() { Desk::default() } else { Desk::new(steps, own) },
        pieces: desk::pieces(&draft, &found),
        preview: Preview::new(&found),
        open: conflicts.iter().filter(|c| c.choice.is_none()).count(),
        conflicts: conflicts.len(),
        diagnostics: message::diagnostics(&drafts::with_text(&*files, wrong)),
        servers,
        lacks: visitor.lacks(Role::Edit),
        empty: draft.files.is_empty(),
        current: visitor.draft.as_deref() == Some(id),
        outdated: draft.outdated,
        files: Vec::new(),
        id: draft.id,
        draft: Some((draft.owner, When::new(draft.changed, ctx.now()), Digest::new(draft.base))),
    }))
}

fn build_mark(state: Option<&BuildState>) -> (Mark, Option<i64>) {
    match state {
        None | Some(BuildState::None) => (Mark::new(Tone::None, "not built"), None),
        Some(BuildState::Waiting { job }) => (Mark::new(Tone::Busy, "waits to be built"), Some(*job)),
        Some(BuildState::Running { job }) => (Mark::new(Tone::Busy, "is being built"), Some(*job)),
        Some(BuildState::Built { .. }) => (Mark::new(Tone::Good, "built"), None),
        Some(BuildState::Failed { job }) => (Mark::new(Tone::Bad, "cannot be built"), Some(*job)),
    }
}

fn draw_disk(app: &App, ctx: &Context, visitor: &Visitor) -> regrow_ops::Result<Box<Page>> {
    let disk: Option<OnDisk> = drafts::on_disk(ctx)?;
    let found = match &disk {
        Some(_) => compare::compare(ctx, &Side::Base, &Side::Disk)?,
        None => Comparison::default(),
    };
    let mut servers = Vec::new();
    for name in reached(&found).into_iter().take(SERVERS) {
        let mark = Mark::new(Tone::None, "built when tried");
        servers.push(Server { name, mark, job: None, tried: None, images: None });
    }
    let title = match &disk {
        Some(disk) => format!("Edits on disk: {}", disk_words(disk)),
        None => "Edits on disk: none".to_owned(),
    };
    let files = drafts::files_of(ctx, DISK)?;
    let mut wrong = drafts::diagnostics(ctx, DISK)?;
    wrong.retain(|d| d.is_error());
    Ok(Box::new(Page {
        layout: layout(app, title, Place::Drafts),
        session: visitor.form_token.clone(),
        once: app.form_once()?,
        message: if disk.is_some() { suggested(ctx, DISK, &found) } else { String::new() },
        desk: Desk::default(),
        pieces: Vec::new(),
        preview: Preview::new(&found),
        open: 0,
        conflicts: 0,
        diagnostics: message::diagnostics(&drafts::with_text(&*files, wrong)),
        servers,
        lacks: visitor.lacks(Role::Edit),
        empty: disk.is_none(),
        current: false,
        outdated: false,
        files: disk.map(|d| d.files.into_iter().map(|f| f.path).collect()).unwrap_or_default(),
        id: DISK.to_owned(),
        draft: None,
    }))
}

#[derive(Debug, Template)]
#[template(path = "conflicts.html")]
struct Conflicts {
    layout: Layout,
    session: String,
    once: String,
    id: String,
    title: String,
    open: String,
    error: Option<String>,
    lacks: Option<String>,
    rows: Vec<ConflictRow>,
}

/// The page of conflicts.
pub(crate) async fn conflicts(State(app): State<Arc<App>>, visitor: Visitor, Path(id): Path<String>) -> Response {
    let state = app.clone();
    let drawn = work(&app, move |ctx| gone_is_none(draw_conflicts(&state, ctx, &visitor, &id)));
    match drawn.await {
        Ok(Some(page)) => show(StatusCode::OK, &page),
        Ok(None) => gone(&app),
        Err(response) => response,
    }
}

fn draw_conflicts(app: &App, ctx: &Context, visitor: &Visitor, id: &str) -> regrow_ops::Result<Conflicts> {
    let found: Vec<Conflict> = drafts::conflicts(ctx, id)?;
    let title = if id == DISK { "Edits on disk".to_owned() } else { drafts::get(ctx, id)?.title };
    let open = found.iter().filter(|c| c.choice.is_none()).count();
    Ok(Conflicts {
        layout: layout(app, "Keys to decide", Place::Drafts),
        session: visitor.form_token.clone(),
        once: app.form_once()?,
        id: id.to_owned(),
        title,
        open: match (open, found.len()) {
            (_, 0) => "Nothing is in conflict.".to_owned(),
            (0, _) => "Everything is decided; the draft can be built and landed.".to_owned(),
            (n, _) => {
                format!("{} to decide before the draft can be built or landed.", count(n, "place is", "places are"))
            }
        },
        lacks: visitor.lacks(Role::Edit),
        error: None,
        rows: found.iter().enumerate().map(|(n, c)| ConflictRow::new(n, c)).collect(),
    })
}

/// Decisions.
pub(crate) async fn decide(
    State(app): State<Arc<App>>,
    MayEdit(visitor): MayEdit,
    Path(id): Path<String>,
    Own(sent): Own,
) -> Response {
    let (state, back) = (app.clone(), format!("/draft/{id}/conflicts"));
    let done = work(&app, move |ctx| {
        let decided = state.once(sent.get("once").unwrap_or_default(), "decide", || {
            let left = drafts::decide(ctx, &id, &decisions(&sent))?;
            start_build(ctx, &id);
            let open = left.iter().any(|c| c.choice.is_none());
            Ok::<_, Error>(Went::to(if open { format!("/draft/{id}/conflicts") } else { format!("/draft/{id}") }))
        });
        match decided {
            // The page again, with what was chosen and typed.
            Err(e @ (Error::Edit(_) | Error::Mistake { .. })) => {
                let mut page = draw_conflicts(&state, ctx, &visitor, &id)?;
                for row in &mut page.rows {
                    row.typed(&sent);
                }
                page.error = Some(sentence(&e.to_string()));
                Ok(Some(Err(page)))
            }
            other => gone_is_none(other.map(Ok)),
        }
    });
    match done.await {
        Ok(Some(Ok(Some(went)))) => went.answer(&app),
        Ok(Some(Ok(None))) => message::stale_form(&app, back),
        Ok(Some(Err(page))) => show(StatusCode::UNPROCESSABLE_ENTITY, &page),
        Ok(None) => gone(&app),
        Err(response) => response,
    }
}

/// Lets a draft be built in the background. The draft is saved whether or not that can be.
pub(crate) fn start_build(ctx: &Context, id: &str) {
    if rustix::process::geteuid().is_root() {
        let _ = background::build_draft(ctx, id);
    }
}

/// What can be done with a draft.
const DO: [&str; 10] =
    ["open", "leave", "discard", "restore", "rename", "land", "try", "step", "land-separately", "split"];

/// What the buttons do.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    MayEdit(visitor): MayEdit,
    Path((id, what)): Path<(String, String)>,
    Own(sent): Own,
) -> Response {
    if !DO.contains(&&*what) {
        return message::missing(&app, "There is no such thing to do.");
    }
    let (state, back) = (app.clone(), format!("/draft/{id}"));
    let done = work(&app, move |ctx| {
        let field = |name| sent.get(name).unwrap_or_default();
        let action = format!("{what} {id} {} {} {}", field("server"), field("step"), field("do"));
        let token = sent.get("once").unwrap_or_default();
        gone_is_none(state.once(token, &action, || act(ctx, &visitor, &id, &what, &sent)))
    });
    match done.await {
        Ok(Some(Some(went))) => went.answer(&app),
        Ok(Some(None)) => message::stale_form(&app, back),
        Ok(None) => gone(&app),
        Err(response) => response,
    }
}

fn act(ctx: &Context, visitor: &Visitor, id: &str, what: &str, sent: &Sent) -> regrow_ops::Result<Went> {
    let here = format!("/draft/{id}");
    let current = visitor.draft.as_deref() == Some(id);
    Ok(match what {
        "open" => {
            drafts::get(ctx, id)?;
            Went::to(sent.then().unwrap_or(here)).with_draft(id)
        }
        "leave" => Went::to(sent.then().unwrap_or_else(|| "/drafts".to_owned())).with_draft(""),
        "discard" => {
            drafts::discard(ctx, id)?;
            let went = Went::to("/drafts");
            if current { went.with_draft("") } else { went }
        }
        "restore" => {
            drafts::restore(ctx, id)?;
            start_build(ctx, id);
            Went::to(here).with_draft(id)
        }
        "rename" => {
            drafts::rename(ctx, id, sent.get("title").unwrap_or_default())?;
            Went::to(here)
        }
        "land" => land(ctx, id, sent, current)?,
        "step" => desk::step(ctx, id, sent)?,
        "land-separately" => desk::land_each(ctx, id, sent, current)?,
        "split" => desk::split(ctx, id, sent)?,
        _ => {
            let server = sent.get("server").unwrap_or_default().to_owned();
            let draft = (id != DISK).then(|| id.to_owned());
            let tip = draft.as_deref().map(|id| drafts::get(ctx, id)).transpose()?.map(|d| d.tip);
            Wanted::read(ctx, tip.as_deref())?.server(&server)?;
            let of = draft.as_ref().map(|id| format!("draft={id}&")).unwrap_or_default();
            let at = format!("/server/{server}/trial?{of}job=");
            let task = Task::Trial { server, at: None, draft, minutes: Some(KEPT) };
            Went::to(format!("{at}{}", jobs::launch(ctx, &task)?))
        }
    })
}

fn land(ctx: &Context, id: &str, sent: &Sent, current: bool) -> regrow_ops::Result<Went> {
    let text = sent.raw("message").unwrap_or_default().replace("\r\n", "\n");
    let outcome = if id == DISK {
        let files: Vec<String> = sent.all("file").map(str::to_owned).collect();
        if files.is_empty() {
            return Err(Error::mistake_with("no file is chosen", "tick the files that the changeset shall have"));
        }
        Outcome::Landed(drafts::land_disk(ctx, Some(&files), Some(&text))?)
    } else {
        drafts::land(ctx, id, Some(&text))?
    };
    match outcome {
        Outcome::Landed(landed) => {
            let went = Went::to(format!("/changeset/{}", landed.revision));
            Ok(if current { went.with_draft("") } else { went })
        }
        Outcome::Conflicts { .. } => Ok(Went::to(format!("/draft/{id}/conflicts"))),
    }
}
