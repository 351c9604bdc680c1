//! `/changeset/REV`: who changed what and why, what it means, what was proven about it, and what can be done with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use regrow_ops::accounts::Role;
use regrow_ops::compare::{self, Comparison};
use regrow_ops::evidence;
use regrow_ops::moves::{self, Options};
use regrow_ops::{Context, Error, Kind};
use serde::Deserialize;

use crate::app::App;
use crate::form::Went;
use crate::outcome::{hunt_address, verb_noun};
use crate::pages::acts::landing;
use crate::pages::draft::start_build;
use crate::pages::history::mark;
use crate::pages::{layout, message, show, work};
use crate::preview::Preview;
use crate::view::{Digest, Layout, Mark, Place, When};
use crate::visitor::{MayEdit, Visitor, needed};

#[derive(Debug, Template)]
#[template(path = "changeset.html")]
struct Page {
    layout: Layout,
    revision: Digest,
    parent: Option<String>,
    body: String,
    author: String,
    email: String,
    when: When,
    preview: Preview,
    proofs: Vec<Proof>,
    servers: Vec<Server>,
    more: usize,
    form_token: String,
    once: String,
    revert_lacks: Option<String>,
    /// The act that landed it, if that is not long ago.
    landed_by: Option<i64>,
}

/// A result.
#[derive(Debug)]
struct Proof {
    what: String,
    server: String,
    mark: Mark,
    image: Option<Digest>,
    job: Option<i64>,
    /// Where the changeset that broke it can be looked for, if it did not work.
    hunt: Option<String>,
    when: When,
}

/// What can be done with this revision of a server.
#[derive(Debug)]
struct Server {
    name: String,
    /// Verb, label, `once` token, why it is not offered.
    actions: Vec<(&'static str, &'static str, String, Option<String>)>,
}

/// How many servers have buttons of their own.
const SERVERS: usize = 6;

/// The page.
pub(crate) async fn get(State(app): State<Arc<App>>, visitor: Visitor, Path(revision): Path<String>) -> Response {
    if !is_revision(&revision) {
        return message::missing(&app, "There is no such changeset.");
    }
    let state = app.clone();
    match work(&app, move |ctx| draw(&state, ctx, &revision, visitor)).await {
        Ok(page) => show(StatusCode::OK, &*page),
        Err(response) => response,
    }
}

pub(crate) fn is_revision(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && !text.starts_with(['-', '.'])
        && !text.contains("..")
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~^".contains(&b))
}

fn draw(app: &App, ctx: &Context, revision: &str, visitor: Visitor) -> regrow_ops::Result<Box<Page>> {
    let (change, found) = compare::glance_at_changeset(ctx, revision)?;
    let now = ctx.now();
    let proofs = evidence::of_revisions(ctx, &[&change.revision])?.remove(&change.revision).unwrap_or_default();
    let touched = touched(&found);
    let mut servers = Vec::new();
    for name in touched.iter().take(SERVERS) {
        let mut actions = Vec::new();
        for (verb, label) in [("build", "Build"), ("trial", "Trial"), ("switch", "Switch")] {
            let lacks = visitor.lacks(needed(&Method::POST, &format!("/server/{name}/{verb}")));
            actions.push((verb, label, app.form_once()?, lacks));
        }
        servers.push(Server { name: name.clone(), actions });
    }
    let proof = |p: &evidence::Brief| -> regrow_ops::Result<Proof> {
        Ok(Proof {
            what: verb_noun(p.kind.as_str()),
            server: p.on.as_ref().map_or(p.server.clone(), |on| format!("{}, elsewhere: {on}", p.server)),
            mark: mark(p.kind, p.verdict),
            image: p.image.as_ref().map(Digest::new),
            job: evidence::job_of(ctx, p)?,
            hunt: (p.on.is_none() && matches!(p.kind, Kind::Trial | Kind::Switch) && !p.verdict.is_good())
                .then(|| hunt_address(&p.server, None, Some(&change.revision))),
            when: When::new(p.at, now),
        })
    };
    Ok(Box::new(Page {
        layout: layout(app, change.subject.clone(), Place::History),
        revision: Digest::new(change.revision.clone()),
        parent: change.parents.first().cloned(),
        body: change.body,
        author: change.author,
        email: change.email,
        when: When::new(change.at, now),
        preview: Preview::new(&found),
        proofs: proofs.iter().rev().map(proof).collect::<Result<_, _>>()?,
        more: touched.len().saturating_sub(SERVERS),
        servers,
        landed_by: if visitor.may(Role::Edit) { landing(ctx, &change.revision)? } else { None },
        revert_lacks: visitor.lacks(needed(&Method::POST, "/changeset/x/revert")),
        form_token: visitor.form_token,
        once: app.form_once()?,
    }))
}

/// The servers that a changeset concerns and that are still in its text.
fn touched(found: &Comparison) -> BTreeSet<String> {
    let gone = |words: &[String], name: &str| words.iter().any(|w| *w == format!("The server {name} is removed"));
    let mut names: BTreeSet<String> =
        found.servers.iter().filter(|s| !gone(&s.words, &s.name)).map(|s| s.name.clone()).collect();
    names.extend(found.roles.iter().flat_map(|r| r.servers.iter().cloned()));
    names
}

/// What the form of "Revert" sends.
#[derive(Debug, Deserialize)]
pub(crate) struct Sent {
    #[serde(default)]
    session: String,
    #[serde(default)]
    once: String,
}

/// "Revert": makes a draft that takes the changeset back, and goes to it.
pub(crate) async fn revert(
    State(app): State<Arc<App>>,
    MayEdit(visitor): MayEdit,
    Path(revision): Path<String>,
    form: Result<Form<Sent>, FormRejection>,
) -> Response {
    let Ok(Form(sent)) = form else { return message::foreign_form(&app) };
    if !visitor.drew(&sent.session) {
        return message::foreign_form(&app);
    }
    if !is_revision(&revision) {
        return message::missing(&app, "There is no such changeset.");
    }
    let (state, back) = (app.clone(), format!("/changeset/{revision}"));
    let made = work(&app, move |ctx| {
        state.once(&sent.once, "revert", || {
            let draft = moves::revert(ctx, &[&revision], Options::default())?.draft;
            let id = draft.map(|d| d.id).unwrap_or_default();
            start_build(ctx, &id);
            // From here on this browser works on the draft.
            Ok::<_, Error>(Went::to(format!("/draft/{id}")).with_draft(&id))
        })
    });
    match made.await {
        Ok(Some(went)) => went.answer(&app),
        Ok(None) => message::stale_form(&app, back),
        Err(response) => response,
    }
}
