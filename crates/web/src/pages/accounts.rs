//! `/accounts`: who may use the pages; for the role switch.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use regrow_ops::accounts::{self, Role};
use regrow_ops::{Context, Error};
use serde::Deserialize;

use crate::app::App;
use crate::form::Went;
use crate::pages::password::words;
use crate::pages::{layout, message, show, work};
use crate::view::{Layout, Place, When};
use crate::visitor::MaySwitch;

#[derive(Debug, Template)]
#[template(path = "accounts.html")]
struct Page {
    layout: Layout,
    form_token: String,
    once: String,
    rows: Vec<Row>,
    roles: [Role; 3],
    /// Whether only this machine reaches the pages.
    loopback: bool,
    /// What was typed into the form for a new account.
    name: String,
    role: Role,
    error: Option<String>,
}

#[derive(Debug)]
struct Row {
    name: String,
    role: Role,
    since: When,
    own: bool,
    /// One for each of its forms.
    once: [String; 4],
}

/// The page.
pub(crate) async fn get(State(app): State<Arc<App>>, MaySwitch(visitor): MaySwitch) -> Response {
    let _ = visitor;
    draw(&app, StatusCode::OK, "", Role::View, None).await
}

async fn draw(app: &Arc<App>, status: StatusCode, name: &str, role: Role, error: Option<String>) -> Response {
    let (state, name) = (app.clone(), name.to_owned());
    let page = work(app, move |ctx| {
        let visitor = crate::visitor::Visitor::current();
        let (form_token, actor) = visitor.map_or_else(Default::default, |v| (v.form_token, v.actor));
        let mut rows = Vec::new();
        for account in accounts::list(ctx)?.accounts {
            rows.push(Row {
                own: account.name == actor,
                name: account.name,
                role: account.role,
                since: When::new(account.since, ctx.now()),
                once: [state.form_once()?, state.form_once()?, state.form_once()?, state.form_once()?],
            });
        }
        Ok(Page {
            layout: layout(&state, "Accounts", Place::Accounts),
            form_token,
            once: state.form_once()?,
            rows,
            roles: Role::ALL,
            loopback: state.reach.loopback,
            name,
            role,
            error,
        })
    });
    match page.await {
        Ok(page) => show(status, &page),
        Err(response) => response,
    }
}

/// What the forms send.
#[derive(Deserialize)]
pub(crate) struct Sent {
    #[serde(default)]
    session: String,
    #[serde(default)]
    once: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    password: String,
}

/// Adds an account.
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    MaySwitch(visitor): MaySwitch,
    sent: Result<Form<Sent>, FormRejection>,
) -> Response {
    let Ok(Form(sent)) = sent else { return message::foreign_form(&app) };
    if !visitor.drew(&sent.session) {
        return message::foreign_form(&app);
    }
    let (name, role) = (sent.name.trim().to_owned(), sent.role.parse());
    let (asked, shown) = (name.clone(), role.as_ref().copied().unwrap_or(Role::View));
    done(&app, sent.once, &name, shown, move |ctx| accounts::add(ctx, &asked, role?, &sent.password).map(drop)).await
}

/// Changes or removes one.
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    MaySwitch(visitor): MaySwitch,
    Path((name, what)): Path<(String, String)>,
    sent: Result<Form<Sent>, FormRejection>,
) -> Response {
    let Ok(Form(sent)) = sent else { return message::foreign_form(&app) };
    if !visitor.drew(&sent.session) {
        return message::foreign_form(&app);
    }
    done(&app, sent.once, "", Role::View, move |ctx| {
        match what.as_str() {
            "role" => accounts::set_role(ctx, &name, sent.role.parse()?),
            "password" => accounts::set_password(ctx, &name, &sent.password),
            "sign-out" => accounts::end_sessions(ctx, &name),
            "remove" => accounts::remove(ctx, &name),
            _ => Err(Error::mistake("there is no such thing to do with an account")),
        }
        .map(drop)
    })
    .await
}

/// Does it once and shows the page again; a mistake is said on it, with what was typed.
async fn done(
    app: &Arc<App>,
    once: String,
    name: &str,
    role: Role,
    act: impl FnOnce(&Context) -> regrow_ops::Result<()> + Send + 'static,
) -> Response {
    let state = app.clone();
    let led = work(app, move |ctx| {
        let led = state.once(&once, "account", || act(ctx).map(|()| Went::to("/accounts")));
        match led {
            Err(e @ (Error::Mistake { .. } | Error::No { .. })) => Ok(Err(words(&e))),
            other => other.map(Ok),
        }
    });
    match led.await {
        Ok(Ok(Some(went))) => went.answer(app),
        Ok(Ok(None)) => message::stale_form(app, "/accounts".to_owned()),
        Ok(Err(words)) => draw(app, StatusCode::UNPROCESSABLE_ENTITY, name, role, Some(words)).await,
        Err(response) => response,
    }
}
