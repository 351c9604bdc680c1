//! The pages together: shared state, routes, and what every request passes.
//!
//! Who asks and what they may do: see [`crate::visitor`].

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use regrow_ops::Context;
use regrow_ops::accounts::{self, Role};
use tokio::sync::{Semaphore, watch};
use tower_http::timeout::TimeoutLayer;

use crate::form::Went;
use crate::guard::{self, Hosts};
use crate::once::Forms;
use crate::pages;
use crate::session::{Holder, Secret, Sessions};
use crate::tries::Tries;
use crate::visitor::{self, Visitor};

/// A form is small; anything larger is no form of ours.
const MOST_BODY: usize = 16 * 1024;
/// A page that takes longer than this has a fault; a live stream is no page.
const MOST_TIME: Duration = Duration::from_secs(30);
/// How many pages are worked out at once at most; the others wait their turn.
const MOST_WORK: usize = 8;
/// How many live streams may be open at once: each holds a thread.
const MOST_STREAMS: usize = 64;

/// How browsers reach us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Over TLS.
    pub(crate) tls: bool,
    /// From this machine only. Elsewhere there are no one-time links, and only who has an account gets in.
    pub(crate) loopback: bool,
}

impl Reach {
    /// The session cookie's name. Under TLS browsers hold, by its beginning, that no other name and no plain connection
    /// has set it.
    fn cookie(self, port: u16) -> String {
        if self.tls { format!("__Host-regrow_{port}") } else { format!("regrow_{port}") }
    }

    /// A `Set-Cookie` of ours.
    pub(crate) fn set_cookie(self, name: &str, value: &str, seconds: u64) -> Option<HeaderValue> {
        let secure = if self.tls { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
        HeaderValue::from_str(&text).ok()
    }
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct App {
    /// Every operation goes through it.
    pub(crate) ctx: Context,
    /// Who may look.
    pub(crate) sessions: Sessions,
    /// Which names we answer to.
    pub(crate) hosts: Hosts,
    /// The session cookie's name: browsers share cookies between the ports of one machine.
    pub(crate) cookie: String,
    /// The name of the cookie that holds the id of the draft a browser works on.
    pub(crate) draft_cookie: String,
    /// How often who has tried to sign in.
    pub(crate) tries: Tries,
    /// Passwords being hashed: each takes memory and time.
    pub(crate) hashing: Arc<Semaphore>,
    /// How browsers reach us.
    pub(crate) reach: Reach,
    /// Pages being worked out: each of a large fleet takes memory.
    pub(crate) working: Arc<Semaphore>,
    /// Open live streams.
    pub(crate) streams: Arc<Semaphore>,
    /// Turns true when the program is to end.
    pub(crate) stopping: watch::Receiver<bool>,
    /// The forms that were drawn and sent.
    forms: Forms,
}

impl App {
    pub(crate) fn new(
        ctx: Context,
        sessions: Sessions,
        hosts: Hosts,
        reach: Reach,
        port: u16,
        stopping: watch::Receiver<bool>,
    ) -> std::io::Result<App> {
        Ok(App {
            ctx,
            sessions,
            hosts,
            cookie: reach.cookie(port),
            reach,
            tries: Tries::default(),
            hashing: Arc::new(Semaphore::new(2)),
            draft_cookie: format!("regrow_draft_{port}"),
            working: Arc::new(Semaphore::new(at_once())),
            streams: Arc::new(Semaphore::new(MOST_STREAMS)),
            stopping,
            forms: Forms::new()?,
        })
    }

    /// See [`Forms::token`].
    pub(crate) fn form_once(&self) -> regrow_ops::Result<String> {
        self.forms.token()
    }

    /// The cookie of a new session.
    pub(crate) fn session_cookie(&self, session: &Secret) -> Option<HeaderValue> {
        self.reach.set_cookie(&self.cookie, session.reveal(), crate::session::SESSION_LIFE.as_secs())
    }

    /// See [`Forms::once`].
    pub(crate) fn once<E>(
        &self,
        token: &str,
        action: &str,
        act: impl FnOnce() -> Result<Went, E>,
    ) -> Result<Option<Went>, E> {
        self.forms.once(token, action, act)
    }
}

/// How many pages are worked out at once: one waits for git or the disk while each processor has another. More at once
/// only take more memory each, and none is ready sooner.
fn at_once() -> usize {
    std::thread::available_parallelism().map_or(2, |n| n.get() + 1).min(MOST_WORK)
}

/// All routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    let pages = Router::new()
        .route("/", get(pages::servers::get))
        .route("/server/{name}", get(pages::server::get))
        .route("/server/{name}/{verb}", post(pages::server::post))
        .route("/server/{name}/why", get(pages::why::get))
        // Objects.
        .route("/server/{name}/file", get(pages::object::file::get))
        .route("/server/{name}/{kind}/{id}", get(pages::object::get))
        // jobs, trials, switches, hunts: what runs and is watched
        .route("/job/{id}", get(pages::job::get))
        .route("/job/{id}/events", get(pages::live::get))
        .route("/job/{id}/stop", post(pages::job::stop))
        .route("/server/{name}/trial", get(pages::trial::get).post(pages::server::post_trial))
        .route("/server/{name}/trial/end", post(pages::trial::end))
        .route("/server/{name}/switch", get(pages::switch::get).post(pages::server::post_switch))
        .route("/server/{name}/hunt", get(pages::hunts::get).post(pages::hunts::post))
        .route("/server/{name}/hunt/{id}", get(pages::hunt::get))
        .route("/server/{name}/keep", post(pages::switch::keep))
        .route("/server/{name}/go-back", post(pages::switch::go_back))
        // history: timeline, changesets, comparisons
        .route("/history", get(pages::history::get))
        .route("/changeset/{rev}", get(pages::changeset::get))
        .route("/changeset/{rev}/revert", post(pages::changeset::revert))
        .route("/move", get(pages::moving::get).post(pages::moving::post))
        .route("/compare", get(pages::compare::pick))
        .route("/compare/{pair}", get(pages::compare::get))
        .route("/compare/{pair}/image/{server}", get(pages::images::get))
        // adding things, and packages to add
        .route("/add/{server}", get(pages::add::cards))
        .route(
            "/add/{server}/{thing}",
            get(pages::add::thing).post(pages::add::post).layer(DefaultBodyLimit::max(pages::edit::MOST_FORM)),
        )
        .route("/packages", get(pages::packages::get))
        // Who may, who did what, and the way to anywhere.
        .route("/acts", get(pages::acts::get))
        .route("/acts/{id}/undo", post(pages::acts::post))
        .route("/jobs", get(pages::jobs::get))
        .route("/go", get(pages::go::get))
        .route("/sign-out", post(pages::sign_in::sign_out))
        .route("/password", get(pages::password::get).post(pages::password::post))
        .route("/accounts", get(pages::accounts::get).post(pages::accounts::add))
        .route("/accounts/{name}/{what}", post(pages::accounts::change))
        // drafts: edits collect, are looked at, and land
        .route("/edit", post(pages::edit::post).layer(DefaultBodyLimit::max(pages::edit::MOST_FORM)))
        .route("/drafts", get(pages::drafts::get).post(pages::drafts::post))
        .route("/draft/{id}", get(pages::draft::get))
        .route("/draft/{id}/conflicts", get(pages::draft::conflicts).post(pages::draft::decide))
        .route("/draft/{id}/{what}", post(pages::draft::post))
        .fallback(pages::message::not_found)
        .method_not_allowed_fallback(pages::message::wrong_method)
        .layer(middleware::from_fn_with_state(app.clone(), admit));
    Router::new()
        .merge(pages)
        .route("/sign-in", get(pages::sign_in::get).post(pages::sign_in::post))
        .route("/assets/{file}", get(crate::assets::get))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, MOST_TIME))
        .layer(middleware::from_fn_with_state(app.clone(), gate))
        .with_state(app)
}

/// Outermost: our names only, our headers on everything.
async fn gate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = if app.hosts.accepts(request.headers()) {
        next.run(request).await
    } else {
        // Plain words: whoever asks by a foreign name gets no page of ours.
        let words =
            "Regrow does not answer to this name. Open it as http://127.0.0.1:PORT/ or http://localhost:PORT/.\n";
        (StatusCode::MISDIRECTED_REQUEST, words).into_response()
    };
    guard::harden(response.headers_mut());
    if app.reach.tls && !app.reach.loopback {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

/// Sessions, and changes only from our own pages.
async fn admit(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    if request.uri().path() == "/" && request.uri().query().is_some_and(|q| q.starts_with("token=")) {
        return redeem(&app, &request);
    }
    let visitor = match recognise(&app, &request) {
        Ok(Some(visitor)) => visitor,
        Ok(None) => return pages::sign_in::asked(&app, &request),
        Err(e) => return pages::message::trouble(&app, &e, false),
    };
    if guard::changes(request.method()) && !guard::is_same_origin(request.headers()) {
        return pages::message::foreign_origin();
    }
    request.extensions_mut().insert(visitor.clone());
    let needed = visitor::needed(request.method(), request.uri().path());
    let answer = async {
        if !visitor.may(needed) {
            return pages::message::forbidden(&app, &visitor, needed);
        }
        next.run(request).await
    };
    visitor.clone().during(answer).await
}

/// Who asks, if there is a session behind the request's cookie.
fn recognise(app: &App, request: &Request) -> regrow_ops::Result<Option<Visitor>> {
    let Some(session) = guard::cookie(request.headers(), &app.cookie).and_then(Secret::parse) else { return Ok(None) };
    let Some(holder) = app.sessions.holder(&session) else { return Ok(None) };
    let (actor, role, account) = match holder {
        Holder::Link if !app.reach.loopback => return Ok(None),
        // The link was on the terminal of whoever started this.
        Holder::Link => (app.ctx.actor().to_owned(), Role::Switch, false),
        Holder::Account { name, serial } => match accounts::get(&app.ctx, &name)? {
            Some(account) if account.serial == serial => (name, account.role, true),
            _ => return Ok(None),
        },
    };
    let draft = guard::cookie(request.headers(), &app.draft_cookie).filter(|d| is_plain(d)).map(str::to_owned);
    let address = request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |p| p.0);
    let looks = !guard::changes(request.method());
    Ok(Some(Visitor { actor, role, form_token: session.form_token(), account, draft, address, looks }))
}

/// Whether a cookie's value can be the name of something of ours.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// Where a connection comes from; every request has it as an extension.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Exchanges the token of a link for a session cookie.
fn redeem(app: &App, request: &Request) -> Response {
    // A browser that fetches ahead would use the link up before the person has asked for it.
    let ahead = request.headers().get("sec-purpose").is_some_and(|v| v.as_bytes().starts_with(b"prefetch"));
    if ahead || request.method() != Method::GET {
        return (StatusCode::SERVICE_UNAVAILABLE, "Not ahead of time.\n").into_response();
    }
    let token = request.uri().query().and_then(|q| q.strip_prefix("token=")).and_then(Secret::parse);
    match token.filter(|_| app.reach.loopback).map(|t| app.sessions.redeem(&t)) {
        Some(Ok(Some(session))) => {
            let Some(cookie) = app.session_cookie(&session) else {
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            };
            // See other, without the token: it stays out of the address line and of bookmarks.
            let place = [(header::LOCATION, HeaderValue::from_static("/")), (header::SET_COOKIE, cookie)];
            (StatusCode::SEE_OTHER, place).into_response()
        }
        Some(Err(e)) => pages::message::trouble(app, &regrow_ops::Error::from(e), false),
        // Whoever is in already and opens an old link just gets in.
        _ if guard::cookie(request.headers(), &app.cookie)
            .and_then(Secret::parse)
            .is_some_and(|s| app.sessions.holder(&s).is_some()) =>
        {
            (StatusCode::SEE_OTHER, [(header::LOCATION, "/")]).into_response()
        }
        _ => pages::message::used_link(),
    }
}
