//! `/server/NAME/trial?at=REV|draft=ID`: a copy of a server, booting and being judged; and looked at while it is kept.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use regrow_ops::jobs::JobId;
use regrow_ops::trial::keep::{self, Link};
use regrow_ops::wanted::{Wanted, short};
use regrow_ops::{Context, Error, drafts};
use serde::Deserialize;

use crate::app::App;
use crate::outcome::{Outcome, Report};
use crate::pages::job::{self, Watch};
use crate::pages::{drawn, layout, message, work};
use crate::view::{Layout, Place};
use crate::visitor::{MayEdit, Visitor};

/// What the address asks for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    at: Option<String>,
    draft: Option<String>,
    job: Option<JobId>,
}

/// A trial that runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeptView {
    words: String,
    good: Option<bool>,
    /// Seconds until it ends by itself.
    left: Option<i64>,
    links: Vec<Link>,
}

/// The trial that runs, for the stream.
#[derive(Debug, Template)]
#[template(path = "kept.html")]
pub(crate) struct KeptPiece<'a> {
    pub(crate) server: &'a str,
    pub(crate) form_token: &'a str,
    pub(crate) kept: Option<KeptView>,
}

impl KeptView {
    /// What does not change by time alone.
    pub(crate) fn lasting(&self) -> (&str, bool, &[Link]) {
        (&self.words, self.left.is_some(), &self.links)
    }

    /// Of a server, if a trial of it runs.
    pub(crate) fn of(ctx: &Context, server: &str) -> regrow_ops::Result<Option<KeptView>> {
        let Some(kept) = keep::find(ctx, server)? else { return Ok(None) };
        let revision = short(&kept.revision);
        Ok(Some(KeptView {
            words: match kept.verdict {
                None => format!("A copy of {revision} is running and being judged."),
                Some(verdict) => format!("A copy of {revision} goes on running; its checks said: {verdict}."),
            },
            good: kept.verdict.map(regrow_ops::Verdict::is_good),
            left: kept.ends.map(|ends| (ends - ctx.now().as_second()).max(0)),
            links: kept.links,
        }))
    }
}

#[derive(Debug, Template)]
#[template(path = "trial.html")]
struct Page {
    layout: Layout,
    server: String,
    form_token: String,
    once: String,
    what: String,
    at: Option<String>,
    draft: Option<String>,
    command: String,
    impossible: Option<String>,
    running: bool,
    kept: Option<KeptView>,
    console: String,
    watch: Option<Watch>,
    outcome: Outcome,
    report: Report,
}

/// The page.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let state = app.clone();
    drawn(&app, work(&app, move |ctx| draw(&state, ctx, &visitor, name, asked)).await)
}

fn draw(
    app: &App,
    ctx: &Context,
    visitor: &Visitor,
    name: String,
    asked: Asked,
) -> regrow_ops::Result<Result<Box<Page>, String>> {
    let draft = asked.draft.as_deref().map(|id| drafts::get(ctx, id)).transpose()?;
    // Whoever works on a draft tries that.
    let tip = draft.as_ref().map(|d| d.tip.clone());
    let text = Wanted::read(ctx, tip.as_deref().or(asked.at.as_deref()))?;
    let impossible = match text.server(&name) {
        Ok(_) => visitor.lacks(regrow_ops::accounts::Role::Edit),
        Err(Error::Diagnostics(_)) => Some("Not possible while the text has mistakes.".to_owned()),
        Err(e @ Error::Mistake { .. }) => return Ok(Err(format!("{e}."))),
        Err(e) => return Err(e),
    };
    let revision = text.revision(ctx, Some(&name))?;
    let found = job::Found::of(ctx, &name, asked.job, &["trial"])?;
    let running = found.running();
    let console = match keep::console(ctx, &name, 0)? {
        Some((text, _)) => text,
        None => found.result["console"].as_str().unwrap_or_default().to_owned(),
    };
    Ok(Ok(Box::new(Page {
        layout: layout(app, format!("Trial of {name}"), Place::Servers),
        form_token: visitor.form_token.clone(),
        once: app.form_once()?,
        what: match &draft {
            Some(draft) => format!("draft {}", draft.title),
            None if revision.edited => "what is on disk".to_owned(),
            None => revision.short(),
        },
        at: revision.commit.filter(|_| !revision.edited && draft.is_none()),
        command: match (&draft, &asked.at) {
            (Some(draft), _) => format!("regrow trial {name} --at {} --keep", short(&draft.tip)),
            (None, Some(at)) => format!("regrow trial {name} --at {} --keep", short(at)),
            (None, None) => format!("regrow trial {name} --keep"),
        },
        draft: draft.map(|d| d.id),
        kept: KeptView::of(ctx, &name)?,
        server: name,
        impossible,
        running,
        console,
        watch: found.watch,
        outcome: found.outcome,
        report: found.report,
    })))
}

/// What the form of "End now" sends.
#[derive(Debug, Deserialize)]
pub(crate) struct Sent {
    #[serde(default)]
    session: String,
}

/// "End now". Pressing it twice changes nothing.
pub(crate) async fn end(
    State(app): State<Arc<App>>,
    MayEdit(visitor): MayEdit,
    Path(name): Path<String>,
    form: Result<Form<Sent>, FormRejection>,
) -> Response {
    let Ok(Form(sent)) = form else { return message::foreign_form(&app) };
    if !visitor.drew(&sent.session) {
        return message::foreign_form(&app);
    }
    let server = name.clone();
    let ended = work(&app, move |ctx| {
        // A name that nobody knows gets no directory.
        if !ctx.home().server_names()?.contains(&server) {
            return Ok(false);
        }
        keep::stop(ctx, &server)
    });
    match ended.await {
        Ok(_) => (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/server/{name}/trial"))]).into_response(),
        Err(response) => response,
    }
}
