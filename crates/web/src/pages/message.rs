//! Pages of words: errors, refusals, and how to get in.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use regrow_ops::accounts::Role;

use crate::app::App;
use crate::outcome::sentence;
use crate::pages::{layout, show};
use crate::view::{DiagnosticView, Layout, Message, Place};
use crate::visitor::Visitor;

fn plain(title: &str, words: &str) -> Message {
    Message {
        layout: Layout::unknown(title),
        words: words.to_owned(),
        causes: Vec::new(),
        help: None,
        command: None,
        link: None,
        forward: None,
        diagnostics: Vec::new(),
    }
}

/// Whether a link on another site leads here: it opens us without our strict cookie.
pub(crate) fn comes_from_elsewhere(request: &Request) -> bool {
    let header = |name: &str| request.headers().get(name).map(|v| v.as_bytes());
    request.method() == Method::GET
        && header("sec-fetch-site") == Some(b"cross-site")
        && header("sec-fetch-mode") == Some(b"navigate")
}

/// Without a session.
pub(crate) fn no_session(request: &Request) -> Response {
    // Asking once more from here brings the cookie along.
    if comes_from_elsewhere(request) {
        let here = request.uri().path_and_query().map_or("/", |p| p.as_str());
        // A path that starts with two slashes would name another machine.
        let here = if here.starts_with("//") { "/" } else { here };
        let page = Message {
            forward: Some(here.to_owned()),
            link: Some((here.to_owned(), "Go on".to_owned())),
            ..plain("One moment", "You come from another site; going on from here.")
        };
        return show(StatusCode::OK, &page);
    }
    let page = Message {
        help: Some(
            "Only who has the one-time link from the terminal gets in. Type this there for a new link:".to_owned(),
        ),
        command: Some("regrow serve".to_owned()),
        ..plain("Not signed in", "This browser has no session here, or it has ended.")
    };
    show(StatusCode::UNAUTHORIZED, &page)
}

/// A link that does not work.
pub(crate) fn used_link() -> Response {
    let page = Message {
        help: Some("A link works once, within a day. Type this in the terminal for a new one:".to_owned()),
        command: Some("regrow serve".to_owned()),
        ..plain("This link does not work", "It was used already, is too old, or is not whole.")
    };
    show(StatusCode::UNAUTHORIZED, &page)
}

/// A change that another site asked for.
pub(crate) fn foreign_origin() -> Response {
    let page = Message {
        link: Some(("/".to_owned(), "Servers".to_owned())),
        ..plain("Refused", "This change was asked for by another site, not by a page of Regrow. Nothing was done.")
    };
    show(StatusCode::FORBIDDEN, &page)
}

/// Something that the visitor's role does not allow.
pub(crate) fn forbidden(app: &App, visitor: &Visitor, needed: Role) -> Response {
    let words =
        format!("This needs the role {needed}; {} has the role {}. Nothing was done.", visitor.actor, visitor.role);
    let page = Message {
        layout: layout(app, "Not allowed", Place::Elsewhere),
        help: Some("Somebody with the role switch can give it, on the page Accounts or by this command:".to_owned()),
        command: Some(format!("regrow account role {} {needed}", visitor.actor)),
        link: Some(("/".to_owned(), "Servers".to_owned())),
        ..plain("", &words)
    };
    show(StatusCode::FORBIDDEN, &page)
}

/// A form without the token of its session.
pub(crate) fn foreign_form(app: &App) -> Response {
    let page = Message {
        layout: layout(app, "Refused", Place::Elsewhere),
        link: Some(("/".to_owned(), "Servers".to_owned())),
        ..plain(
            "",
            "This form does not belong to your session. Nothing was done; go back, load the page again and repeat it.",
        )
    };
    show(StatusCode::FORBIDDEN, &page)
}

/// A form that was drawn before the program started.
pub(crate) fn stale_form(app: &App, back: String) -> Response {
    let page = Message {
        layout: layout(app, "Please look again", Place::Elsewhere),
        link: Some((back, "Back to the page as it is now".to_owned())),
        ..plain("", "Regrow was started anew since this page was drawn, and things may have changed. Nothing was done.")
    };
    show(StatusCode::CONFLICT, &page)
}

/// No such page.
pub(crate) async fn not_found(State(app): State<Arc<App>>) -> Response {
    missing(&app, "There is no such page.")
}

/// What to do instead.
pub(crate) fn advice(app: &App, title: &str, words: &str, (to, name): (&str, &str)) -> Response {
    let page = Message {
        layout: layout(app, title, Place::Elsewhere),
        link: Some((to.to_owned(), name.to_owned())),
        ..plain("", words)
    };
    show(StatusCode::BAD_REQUEST, &page)
}

/// A form that is larger than any of ours.
pub(crate) fn too_large(app: &App) -> Response {
    let page = Message {
        layout: layout(app, "Too large", Place::Elsewhere),
        link: Some(("/".to_owned(), "Servers".to_owned())),
        ..plain(
            "",
            "The form is larger than can be taken; nothing was changed. Put large things into a package or into state.",
        )
    };
    show(StatusCode::PAYLOAD_TOO_LARGE, &page)
}

/// A form that asked for nothing.
pub(crate) fn nothing_changed(app: &App, back: String) -> Response {
    let page = Message {
        layout: layout(app, "Nothing was changed", Place::Drafts),
        link: Some((back, "Back".to_owned())),
        ..plain("", "The text says already what the form says, so not one byte was touched.")
    };
    show(StatusCode::OK, &page)
}

/// No such thing.
pub(crate) fn missing(app: &App, words: &str) -> Response {
    let page = Message {
        layout: layout(app, "Not found", Place::Elsewhere),
        link: Some(("/".to_owned(), "Servers".to_owned())),
        ..plain("", words)
    };
    show(StatusCode::NOT_FOUND, &page)
}

/// A page asked for in a way that it does not know.
pub(crate) async fn wrong_method(State(app): State<Arc<App>>) -> Response {
    let page = Message {
        layout: layout(&app, "Not like this", Place::Elsewhere),
        link: Some(("/".to_owned(), "Servers".to_owned())),
        ..plain("", "This address takes forms only; open the server's page and press the button there.")
    };
    show(StatusCode::METHOD_NOT_ALLOWED, &page)
}

/// An operation that gave no answer. `known` says whether the reader has a session.
pub(crate) fn trouble(app: &App, error: &regrow_ops::Error, known: bool) -> Response {
    use regrow_ops::Error;
    let (title, status) = match error {
        Error::Diagnostics(_) => ("The text has mistakes", StatusCode::OK),
        Error::Busy { .. } => ("Busy", StatusCode::CONFLICT),
        Error::Mistake { .. } | Error::Unchanged { .. } | Error::No { .. } => ("Not possible", StatusCode::CONFLICT),
        // What a person can mend is no failure of ours.
        e if e.exit_code() == 2 => ("Not possible", StatusCode::CONFLICT),
        _ => ("That did not work", StatusCode::INTERNAL_SERVER_ERROR),
    };
    let frame = layout(app, title, Place::Elsewhere);
    let page = Message {
        layout: Layout { known, ..frame },
        causes: error.causes().iter().map(|c| sentence(c)).collect(),
        help: error.help().map(|h| sentence(&h)),
        link: Some(("/".to_owned(), "Servers".to_owned())),
        diagnostics: match error {
            Error::Diagnostics(diagnosed) => diagnostics(diagnosed),
            _ => Vec::new(),
        },
        ..plain(title, &sentence(&error.to_string()))
    };
    show(status, &page)
}

/// Mistakes with the text they point into.
pub(crate) fn diagnostics(diagnosed: &regrow_ops::Diagnosed) -> Vec<DiagnosticView> {
    let one = |d: &regrow_config::Diagnostic| {
        let mut view = DiagnosticView::from_json(&serde_json::to_value(d).unwrap_or_default());
        view.shown = diagnosed.sources.get(&*d.file).map(|text| d.render(text, false).trim_end().to_owned());
        view
    };
    diagnosed.diagnostics.iter().map(one).collect()
}
