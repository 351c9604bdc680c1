//! `/sign-in` and `/sign-out`: a name and a password for a session, and its end.
//!
//! Whoever asks for any page without a session gets this form in its place, if there are accounts; otherwise the words on
//! how to get a one-time link. The answers for a wrong password and for a name that nobody has are the same, in words and
//! in time; how often one may try: see [`crate::tries`].

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use regrow_ops::accounts::{self, Account};
use regrow_ops::acts::{self, Act};
use serde::Deserialize;

use crate::app::{App, Peer};
use crate::form::is_ours;
use crate::guard;
use crate::pages::{message, show, work};
use crate::session::Secret;
use crate::view::Layout;
use crate::visitor::Visitor;

#[derive(Debug, Template)]
#[template(path = "sign-in.html")]
struct Page {
    layout: Layout,
    name: String,
    then: String,
    error: Option<String>,
    /// Whether a one-time link is another way in.
    link: bool,
}

fn form(app: &App, name: &str, then: &str, error: Option<String>) -> Page {
    Page {
        layout: Layout::unknown("Sign in"),
        name: name.to_owned(),
        then: local(then).to_owned(),
        error,
        link: app.reach.loopback,
    }
}

/// An address of ours, or the first page.
fn local(then: &str) -> &str {
    if is_ours(then) { then } else { "/" }
}

/// What whoever has no session gets for any page.
pub(crate) fn asked(app: &App, request: &Request) -> Response {
    let there = accounts::list(&app.ctx).is_ok_and(|list| !list.accounts.is_empty());
    if !there || message::comes_from_elsewhere(request) {
        return message::no_session(request);
    }
    let then = request.uri().path_and_query().map_or("/", |p| p.as_str());
    let then = if request.method() == Method::GET { then } else { "/" };
    show(StatusCode::UNAUTHORIZED, &form(app, "", then, None))
}

/// Where to go on.
#[derive(Debug, Deserialize)]
pub(crate) struct Then {
    #[serde(default)]
    then: String,
}

/// The form.
pub(crate) async fn get(State(app): State<Arc<App>>, Query(query): Query<Then>) -> Response {
    show(StatusCode::OK, &form(&app, "", &query.then, None))
}

/// What the form sends.
#[derive(Deserialize)]
pub(crate) struct Sent {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    then: String,
}

/// Signs in.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    sent: Result<Form<Sent>, FormRejection>,
) -> Response {
    // Another site must not sign a browser in either: the person would then work under a foreign name.
    if !guard::is_same_origin(&headers) {
        return message::foreign_origin();
    }
    let Ok(Form(sent)) = sent else { return show(StatusCode::BAD_REQUEST, &form(&app, "", "/", None)) };
    let address = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |p| p.0.0);
    let name = sent.name.trim().to_lowercase();
    let account = match judge(&app, &name, sent.password, address).await {
        Ok(account) => account,
        Err(Refusal::Trouble(response)) => return response,
        Err(Refusal::No { words, wait }) => {
            let status = if wait.is_some() { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::UNAUTHORIZED };
            let mut response = show(status, &form(&app, &name, &sent.then, Some(words)));
            if let Some(wait) = wait {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
            }
            return response;
        }
    };
    let cookie = match app.sessions.sign_in(&account.name, account.serial) {
        Ok(session) => app.session_cookie(&session),
        Err(e) => return message::trouble(&app, &e.into(), false),
    };
    let Some(cookie) = cookie else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    // A session that this browser had before does not go on beside the new one.
    if let Some(old) = guard::cookie(&headers, &app.cookie).and_then(Secret::parse) {
        let _ = app.sessions.end(&old);
    }
    let Ok(place) = HeaderValue::from_str(local(&sent.then)) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    (StatusCode::SEE_OTHER, [(header::LOCATION, place), (header::SET_COOKIE, cookie)]).into_response()
}

/// Why nobody is let in.
pub(crate) enum Refusal {
    /// The password was wrong, or it is too early: after so many seconds.
    No {
        /// For the person.
        words: String,
        /// Seconds to wait.
        wait: Option<i64>,
    },
    /// It could not be found out.
    Trouble(Response),
}

/// Whether the password is right, as often as one may ask. Both answers are recorded.
pub(crate) async fn judge(app: &Arc<App>, name: &str, password: String, address: IpAddr) -> Result<Account, Refusal> {
    if let Err(wait) = app.tries.begin(name, address, app.ctx.now()) {
        let words = format!(
            "There were too many tries. Wait {} and try again.",
            if wait == 1 { "a second".to_owned() } else { format!("{wait} seconds") }
        );
        return Err(Refusal::No { words, wait: Some(wait) });
    }
    let wrong = || Refusal::No { words: "The name or the password is wrong.".to_owned(), wait: None };
    // Hashing takes memory: no more than a few at once, however many ask.
    let Ok(_turn) = app.hashing.clone().acquire_owned().await else { return Err(wrong()) };
    let asked = name.to_owned();
    let checked = work(app, move |ctx| {
        let account = accounts::check(ctx, &asked, &password)?;
        // Who tries has no name yet; what was typed might be a password in the wrong field.
        let actor = account.as_ref().map_or("nobody", |a| &a.name);
        let ctx = ctx.on_behalf_of(actor, &format!("page {address}"));
        acts::record(
            &ctx,
            &match &account {
                Some(_) => Act::new("sign-in", "signed in"),
                None if accounts::get(&ctx, &asked)?.is_some() => {
                    Act::new("sign-in", format!("tried to sign in as {asked}")).result("refused")
                }
                None => Act::new("sign-in", "tried to sign in with a name that nobody has").result("refused"),
            },
        );
        Ok(account)
    });
    match checked.await {
        Ok(Some(account)) => {
            app.tries.succeeded(name, address, app.ctx.now());
            Ok(account)
        }
        Ok(None) => Err(wrong()),
        Err(response) => Err(Refusal::Trouble(response)),
    }
}

/// What a form of one button sends.
#[derive(Debug, Deserialize)]
pub(crate) struct Button {
    #[serde(default)]
    session: String,
}

/// Ends this session.
pub(crate) async fn sign_out(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    headers: HeaderMap,
    form: Result<Form<Button>, FormRejection>,
) -> Response {
    if !form.is_ok_and(|Form(sent)| visitor.drew(&sent.session)) {
        return message::foreign_form(&app);
    }
    if let Some(session) = guard::cookie(&headers, &app.cookie).and_then(Secret::parse) {
        let ended = work(&app, {
            let app = app.clone();
            move |ctx| {
                app.sessions.end(&session)?;
                acts::record(ctx, &Act::new("sign-out", "signed out"));
                Ok(())
            }
        });
        if let Err(response) = ended.await {
            return response;
        }
    }
    let Some(cookie) = app.reach.set_cookie(&app.cookie, "", 0) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let place = [(header::LOCATION, HeaderValue::from_static("/")), (header::SET_COOKIE, cookie)];
    (StatusCode::SEE_OTHER, place).into_response()
}
