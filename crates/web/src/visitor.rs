//! Who asks: what every page knows of the person in front of it.
//!
//! * A handler that shows something takes [`Visitor`] and asks [`Visitor::may`] which buttons to offer; where one is not
//!   offered, [`Visitor::lacks`] has the words why.
//! * A handler that changes something takes [`MayEdit`] or [`MaySwitch`] instead: others get a page that says so, and the
//!   handler is not reached. (A POST of somebody who may only look is refused even where this was forgotten: see
//!   [`needed`].)
//! * [`crate::pages::work`] gives its closure a context on behalf of the visitor, so that jobs and acts have the right
//!   name without further ado; [`crate::pages::layout`] shows who is signed in.
//!
//! ```text
//! pub(crate) async fn post(State(app): State<Arc<App>>, MayEdit(visitor): MayEdit, form: Form<Sent>) -> Response {
//!     if !visitor.drew(&form.session) { return message::foreign_form(&app); }
//!     work(&app, move |ctx| drafts::discard(ctx, &id)).await   // ctx.actor() is the visitor
//! }
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use regrow_ops::Context;
use regrow_ops::accounts::Role;

use crate::app::App;
use crate::pages::message;
use crate::session::same;

/// Somebody with a session. Handlers that take it are not reached without one.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// Who: the account's name, or who started the program if they came by its link.
    pub(crate) actor: String,
    /// What they may do.
    pub(crate) role: Role,
    /// What this session's forms carry as `session`.
    pub(crate) form_token: String,
    /// Whether there is an account behind it; otherwise it was a one-time link.
    pub(crate) account: bool,
    /// The draft that this browser works on, from its cookie. It may be gone.
    pub(crate) draft: Option<String>,
    /// Where the request came from.
    pub(crate) address: IpAddr,
    /// Whether the request changes nothing.
    pub(crate) looks: bool,
}

tokio::task_local! {
    /// The visitor of the request that this task answers.
    static CURRENT: Visitor;
}

impl Visitor {
    /// Whether the visitor may do what needs this role.
    pub(crate) fn may(&self, role: Role) -> bool {
        self.role >= role
    }

    /// Why the visitor may not do what needs this role, for a button that is not offered; `None` if they may.
    pub(crate) fn lacks(&self, role: Role) -> Option<String> {
        (!self.may(role)).then(|| format!("Needs the role {role}; {} has the role {}.", self.actor, self.role))
    }

    /// Whether a form with this `session` field was drawn for this visitor.
    pub(crate) fn drew(&self, token: &str) -> bool {
        same(token, &self.form_token)
    }

    /// The context in which the visitor's wishes are done.
    pub(crate) fn context(&self, ctx: &Context) -> Context {
        let ctx = ctx.on_behalf_of(&self.actor, &format!("page {}", self.address));
        if self.looks { ctx.looking() } else { ctx }
    }

    /// The visitor whom this task answers, if there is a session.
    pub(crate) fn current() -> Option<Visitor> {
        CURRENT.try_with(Visitor::clone).ok()
    }

    /// Answers a request of this visitor: [`Visitor::current`] is them meanwhile.
    pub(crate) async fn during<T>(self, answer: impl Future<Output = T>) -> T {
        CURRENT.scope(self, answer).await
    }

    /// The same for work in another thread.
    pub(crate) fn during_work<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Visitor, Response> {
        // Always there below the layer that admits; without it nobody is let in.
        parts.extensions.get::<Visitor>().cloned().ok_or_else(|| StatusCode::UNAUTHORIZED.into_response())
    }
}

/// A visitor who may make drafts, land changesets, build and try. Others get a page that says what they lack.
#[derive(Debug, Clone)]
pub(crate) struct MayEdit(pub(crate) Visitor);

/// A visitor who may change what is online, and accounts. Others get a page that says what they lack.
#[derive(Debug, Clone)]
pub(crate) struct MaySwitch(pub(crate) Visitor);

async fn at_least(role: Role, parts: &mut Parts, app: &Arc<App>) -> Result<Visitor, Response> {
    let visitor = Visitor::from_request_parts(parts, app).await?;
    if visitor.may(role) { Ok(visitor) } else { Err(message::forbidden(app, &visitor, role)) }
}

impl FromRequestParts<Arc<App>> for MayEdit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<MayEdit, Response> {
        at_least(Role::Edit, parts, app).await.map(MayEdit)
    }
}

impl FromRequestParts<Arc<App>> for MaySwitch {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<MaySwitch, Response> {
        at_least(Role::Switch, parts, app).await.map(MaySwitch)
    }
}

/// The last parts of addresses below `/server/NAME/` whose forms change what is online.
const ONLINE: [&str; 4] = ["switch", "rollback", "keep", "go-back"];

/// The least role for a request, whatever its handler asks for: the second lock on the door.
pub(crate) fn needed(method: &Method, path: &str) -> Role {
    let mut parts = path.split('/').skip(1);
    let (first, last) = (parts.next().unwrap_or_default(), path.rsplit('/').next().unwrap_or_default());
    match first {
        "accounts" => Role::Switch,
        _ if !crate::guard::changes(method) => Role::View,
        // One's own session and password.
        "sign-out" | "password" => Role::View,
        "server" if ONLINE.contains(&last) => Role::Switch,
        _ => Role::Edit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_needs_a_role_even_if_nobody_thought_of_it() {
        let post = |path: &str| needed(&Method::POST, path);
        for path in ["/server/web1/switch", "/server/web1/rollback", "/accounts", "/accounts/alice/role"] {
            assert_eq!(post(path), Role::Switch, "{path}");
        }
        for path in ["/server/web1/build", "/server/web1/trial", "/edit", "/draft/1/land", "/what-comes-next", "/"] {
            assert_eq!(post(path), Role::Edit, "{path}");
        }
        assert_eq!(post("/sign-out"), Role::View);
        assert_eq!(needed(&Method::GET, "/server/web1"), Role::View);
        assert_eq!(needed(&Method::GET, "/accounts"), Role::Switch);
        assert_eq!(needed(&Method::DELETE, "/server/web1"), Role::Edit);
    }
}
