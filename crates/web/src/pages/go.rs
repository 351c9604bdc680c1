//! `/go`: the way to anywhere: pages, servers, objects of servers; and the keys.
//!
//! With scripts the same pieces (`?piece=`) fill the window that `Ctrl+K` and `?` open.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use regrow_ops::Context;
use regrow_ops::wanted::Wanted;
use serde::Deserialize;

use crate::app::App;
use crate::pages::object::address;
use crate::pages::{layout, show, work};
use crate::view::{Layout, Place};

/// How many places are shown.
const MOST: usize = 12;
/// The longest search, in characters.
const MOST_QUERY: usize = 100;

/// What is searched for.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    piece: String,
}

#[derive(Debug, Template)]
#[template(path = "go.html")]
struct Page {
    layout: Layout,
    q: String,
    found: Vec<Spot>,
    more: bool,
}

#[derive(Debug, Template)]
#[template(path = "go-window.html")]
struct Window {
    q: String,
    found: Vec<Spot>,
    more: bool,
}

#[derive(Debug, Template)]
#[template(path = "go-found.html")]
struct Found {
    q: String,
    found: Vec<Spot>,
    more: bool,
}

#[derive(Debug, Template)]
#[template(path = "go-keys.html")]
struct Keys {
    window: bool,
}

/// Somewhere to go.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spot {
    name: String,
    /// What it is: "page", "server", "service of web1".
    what: String,
    href: String,
}

/// The page, or a piece of it.
pub(crate) async fn get(State(app): State<Arc<App>>, Query(asked): Query<Asked>) -> Response {
    if asked.piece == "keys" {
        return show(StatusCode::OK, &Keys { window: true });
    }
    let q: String = asked.q.trim().chars().take(MOST_QUERY).collect();
    let words = q.to_lowercase();
    let mut found = match work(&app, move |ctx| Ok(search(&spots(ctx), &words))).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let more = found.len() > MOST;
    found.truncate(MOST);
    match asked.piece.as_str() {
        "go" => show(StatusCode::OK, &Window { q, found, more }),
        "found" => show(StatusCode::OK, &Found { q, found, more }),
        _ => show(StatusCode::OK, &Page { layout: layout(&app, "Go to", Place::Elsewhere), q, found, more }),
    }
}

/// Everywhere one can go. A fleet that cannot be read has its pages all the same.
fn spots(ctx: &Context) -> Vec<Spot> {
    let spot = |name: &str, what: &str, href: String| Spot { name: name.to_owned(), what: what.to_owned(), href };
    let mut spots = Vec::new();
    for (name, href) in
        [("Servers", "/"), ("Drafts", "/drafts"), ("Changesets", "/history"), ("Jobs", "/jobs"), ("Acts", "/acts")]
    {
        spots.push(spot(name, "page", href.to_owned()));
    }
    let Ok(text) = Wanted::read(ctx, None) else { return spots };
    for name in text.fleet.servers.keys() {
        spots.push(spot(name, "server", format!("/server/{name}")));
    }
    for (name, server) in &text.fleet.servers {
        let mut add = |kind: &str, id: &str| {
            let shown = if id.is_empty() { kind } else { id };
            spots.push(spot(shown, &format!("{kind} of {name}"), address(name, kind, id)));
        };
        for single in ["system", "network"] {
            add(single, "");
        }
        server.services.keys().for_each(|id| add("services", id));
        server.users.keys().for_each(|id| add("users", id));
        server.files.keys().for_each(|id| add("files", id));
        server.state.keys().for_each(|id| add("state", id));
        server.checks.keys().for_each(|id| add("checks", id));
        server.timers.keys().for_each(|id| add("timers", id));
        server.packages.keys().for_each(|id| add("packages", id));
    }
    spots
}

/// Those in which every word occurs; names that begin with the first word come first.
fn search(spots: &[Spot], words: &str) -> Vec<Spot> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let Some(first) = words.first() else {
        return spots.iter().filter(|s| s.what == "page" || s.what == "server").cloned().collect();
    };
    let mut found: Vec<(usize, &Spot)> = Vec::new();
    for spot in spots {
        let name = spot.name.to_lowercase();
        let all = format!("{name} {}", spot.what.to_lowercase());
        if words.iter().all(|w| all.contains(w)) {
            let rank = match name {
                n if n == *first => 0,
                n if n.starts_with(first) => 1,
                n if n.contains(first) => 2,
                _ => 3,
            };
            found.push((rank, spot));
        }
    }
    // Stable: within one rank as in the list, pages before servers before objects.
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, spot)| spot.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_like_it_comes_first_and_all_words_must_occur() {
        let spot = |name: &str, what: &str| Spot { name: name.into(), what: what.into(), href: "/".into() };
        let all = [
            spot("Servers", "page"),
            spot("web1", "server"),
            spot("nginx", "services of web1"),
            spot("nginx", "services of web2"),
        ];
        let names =
            |q: &str| search(&all, q).into_iter().map(|s| format!("{}, {}", s.name, s.what)).collect::<Vec<_>>();
        assert_eq!(names("web1"), ["web1, server", "nginx, services of web1"]);
        assert_eq!(names("nginx web2"), ["nginx, services of web2"]);
        assert_eq!(names("  "), ["Servers, page", "web1, server"]);
        assert!(names("nginx web3").is_empty());
    }
}
