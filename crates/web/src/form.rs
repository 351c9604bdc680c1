//! What forms send, and the answers that all of them have in common.

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::app::{App, Reach};
use crate::pages::message;
use crate::visitor::Visitor;

/// The fields of a form in their order; a name may occur more than once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sent(pub(crate) Vec<(String, String)>);

impl Sent {
    /// The first field of a name; an empty one is as good as none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|v| !v.is_empty())
    }

    /// The first field of a name, also if it is empty.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All fields of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The fields whose name begins with `mark:`, with what follows.
    pub(crate) fn marked<'a>(&'a self, mark: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(n, v)| Some((n.strip_prefix(mark)?.strip_prefix(':')?, v.as_str())))
    }

    /// Where the form wants to go afterwards, if that is a page of ours.
    pub(crate) fn then(&self) -> Option<String> {
        self.get("then").filter(|to| is_ours(to)).map(str::to_owned)
    }
}

/// Whether an address is a path on this very server. One that begins with two slashes (browsers take `\` for one) would
/// name another machine.
pub(crate) fn is_ours(to: &str) -> bool {
    to.starts_with('/')
        && !to[1..].starts_with(['/', '\\'])
        && to.len() <= 2000
        && to.bytes().all(|b| b.is_ascii_graphic())
}

/// A form that was drawn for the visitor who sends it. Anything else gets its answer without the handler.
#[derive(Debug)]
pub(crate) struct Own(pub(crate) Sent);

impl FromRequest<Arc<App>> for Own {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Own, Response> {
        let visitor = request.extensions().get::<Visitor>().cloned();
        let form = Form::<Vec<(String, String)>>::from_request(request, app).await;
        let sent = match form {
            Ok(Form(fields)) => Sent(fields),
            Err(FormRejection::BytesRejection(e)) if e.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                return Err(message::too_large(app));
            }
            Err(_) => return Err(message::foreign_form(app)),
        };
        match visitor {
            Some(visitor) if visitor.drew(sent.raw("session").unwrap_or_default()) => Ok(Own(sent)),
            _ => Err(message::foreign_form(app)),
        }
    }
}

/// Where a form went: what the same form gets when it is sent again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Went {
    /// The address.
    pub(crate) to: String,
    /// The draft that the browser works on from now on; an empty one: none.
    pub(crate) draft: Option<String>,
}

impl Went {
    /// To an address.
    pub(crate) fn to(to: impl Into<String>) -> Went {
        Went { to: to.into(), draft: None }
    }

    /// And with this draft; `""` leaves the current one.
    pub(crate) fn with_draft(self, id: &str) -> Went {
        Went { draft: Some(id.to_owned()), ..self }
    }

    /// The answer.
    pub(crate) fn answer(&self, app: &App) -> Response {
        let Ok(to) = HeaderValue::from_str(&self.to) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
        let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response();
        if let Some(cookie) = self.cookie(app.reach, &app.draft_cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    /// The cookie that tells the browser which draft it works on, if that changes.
    fn cookie(&self, reach: Reach, name: &str) -> Option<HeaderValue> {
        let id = self.draft.as_ref()?;
        let life = if id.is_empty() { 0 } else { crate::session::SESSION_LIFE.as_secs() };
        reach.set_cookie(name, id, life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_ours_are_gone_to() {
        assert!(is_ours("/server/web1?view=form&at=checks.front"));
        assert!(is_ours("/") && is_ours("/go?q=a%20b"));
        for bad in ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb", "server", "/é"] {
            assert!(!is_ours(bad), "{bad}");
        }
    }

    #[test]
    fn the_cookie_of_a_draft_is_as_well_kept_as_any_other() {
        let cookie = |went: Went, tls| {
            went.cookie(Reach { tls, loopback: !tls }, "draft").map(|c| c.to_str().unwrap().to_owned())
        };
        assert_eq!(cookie(Went::to("/"), true), None);
        let kept = cookie(Went::to("/").with_draft("d1"), true).unwrap();
        assert!(kept.starts_with("draft=d1; ") && kept.contains("; HttpOnly; SameSite=Strict"), "{kept}");
        assert!(kept.ends_with("; Secure") && !kept.contains("Max-Age=0"), "{kept}");
        assert!(cookie(Went::to("/").with_draft(""), false).unwrap().contains("Max-Age=0"));
    }
}
