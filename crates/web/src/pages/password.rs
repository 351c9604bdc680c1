//! `/password`: a new password for one's own account. It ends all other sessions of the account.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use regrow_ops::accounts;
use serde::Deserialize;

use crate::app::App;
use crate::outcome::sentence;
use crate::pages::sign_in::{Refusal, judge};
use crate::pages::{layout, message, show, work};
use crate::view::{Layout, Place};
use crate::visitor::Visitor;

#[derive(Debug, Template)]
#[template(path = "password.html")]
struct Page {
    layout: Layout,
    form_token: String,
    actor: String,
    now_error: Option<String>,
    new_error: Option<String>,
}

fn page(app: &App, visitor: &Visitor) -> Page {
    Page {
        layout: layout(app, "Password", Place::Elsewhere),
        form_token: visitor.form_token.clone(),
        actor: visitor.actor.clone(),
        now_error: None,
        new_error: None,
    }
}

/// The form.
pub(crate) async fn get(State(app): State<Arc<App>>, visitor: Visitor) -> Response {
    if !visitor.account {
        return message::missing(&app, "You came by a one-time link: there is no password behind it.");
    }
    show(StatusCode::OK, &page(&app, &visitor))
}

/// What the form sends.
#[derive(Deserialize)]
pub(crate) struct Sent {
    #[serde(default)]
    session: String,
    #[serde(default)]
    now: String,
    #[serde(default)]
    new: String,
    #[serde(default)]
    again: String,
}

/// Changes it.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    sent: Result<Form<Sent>, FormRejection>,
) -> Response {
    let Ok(Form(sent)) = sent else { return message::foreign_form(&app) };
    if !visitor.drew(&sent.session) {
        return message::foreign_form(&app);
    }
    if !visitor.account {
        return message::missing(&app, "You came by a one-time link: there is no password behind it.");
    }
    let mut page = page(&app, &visitor);
    if sent.new != sent.again {
        page.new_error = Some("The two are not the same.".to_owned());
    } else if let Err(e) = accounts::good_password(&visitor.actor, &sent.new) {
        page.new_error = Some(words(&e));
    }
    if page.new_error.is_some() {
        return show(StatusCode::UNPROCESSABLE_ENTITY, &page);
    }
    match judge(&app, &visitor.actor, sent.now, visitor.address).await {
        Ok(_) => {}
        Err(Refusal::Trouble(response)) => return response,
        Err(Refusal::No { wait: Some(_), words }) => {
            page.now_error = Some(words);
            return show(StatusCode::TOO_MANY_REQUESTS, &page);
        }
        Err(Refusal::No { wait: None, .. }) => {
            page.now_error = Some("This is not your password.".to_owned());
            return show(StatusCode::UNPROCESSABLE_ENTITY, &page);
        }
    }
    let (name, state) = (visitor.actor.clone(), app.clone());
    let session = work(&app, move |ctx| {
        accounts::set_password(ctx, &name, &sent.new)?;
        let serial = accounts::get(ctx, &name)?.map_or(0, |a| a.serial);
        Ok(state.sessions.sign_in(&name, serial)?)
    });
    let cookie = match session.await {
        Ok(session) => app.session_cookie(&session),
        Err(response) => return response,
    };
    let Some(cookie) = cookie else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let place = [(header::LOCATION, HeaderValue::from_static("/")), (header::SET_COOKIE, cookie)];
    (StatusCode::SEE_OTHER, place).into_response()
}

/// An error with its way out, in one paragraph.
pub(crate) fn words(e: &regrow_ops::Error) -> String {
    let help = e.help().map(|h| format!(" {}", sentence(&h))).unwrap_or_default();
    format!("{}{help}", sentence(&e.to_string()))
}
