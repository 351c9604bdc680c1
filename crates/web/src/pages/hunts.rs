//! `/server/NAME/hunt`: which changeset broke a check? What to ask, between which revisions; and the hunts of before.

use std::path::Path as FilePath;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use regrow_ops::accounts::Role;
use regrow_ops::changes;
use regrow_ops::hunt::{self, Asked, Hunt, HuntId, Question};
use regrow_ops::jobs::{self, Task};
use regrow_ops::wanted::short;
use regrow_ops::{Context, Error, Kind, evidence};
use serde::Deserialize;

use crate::app::App;
use crate::form::{Own, Sent, Went};
use crate::outcome::{plain, sentence};
use crate::pages::history::badges;
use crate::pages::hunt::{standing_of, what};
use crate::pages::server::known;
use crate::pages::{drawn, layout, message, show, work};
use crate::view::{DiagnosticView, Layout, Mark, Place, Tone, When};
use crate::visitor::{MayEdit, Visitor};

#[derive(Debug, Template)]
#[template(path = "hunts.html")]
struct Page {
    layout: Layout,
    server: String,
    session: String,
    once: String,
    lacks: Option<String>,
    trouble: Option<Trouble>,
    checks: Vec<Choice>,
    typed: Typed,
    /// What the good end is if none is named, for the check that is chosen.
    newest: String,
    goods: Vec<Changeset>,
    earlier: Vec<Row>,
    command: String,
}

/// Why a hunt did not begin.
#[derive(Debug)]
struct Trouble {
    words: String,
    help: Option<String>,
    diagnostics: Vec<DiagnosticView>,
}

/// A check that can be asked.
#[derive(Debug)]
struct Choice {
    /// What the form sends.
    value: String,
    name: String,
    /// What it said last.
    mark: Option<Mark>,
}

/// A changeset that can be the good end.
#[derive(Debug)]
struct Changeset {
    revision: String,
    words: String,
}

/// A hunt of before.
#[derive(Debug)]
struct Row {
    id: HuntId,
    what: String,
    mark: Mark,
    good: String,
    bad: String,
    actor: String,
    when: When,
    /// Whether it was interrupted.
    stopped: bool,
}

/// What stands in the form's fields.
#[derive(Debug, Default)]
struct Typed {
    /// `check:NAME`, `command`, `unit` or `text`.
    what: String,
    command: String,
    unit: String,
    text: String,
    /// The good end that was chosen.
    good: String,
    /// The good end that was typed.
    other: String,
    bad: String,
}

/// How many changesets can be chosen, and how many hunts are shown.
const CHANGESETS: usize = 60;
const HUNTS: usize = 20;
/// How many results are looked through for what the checks said last.
const PROOFS: usize = 10;

impl Typed {
    fn of(sent: &Sent) -> Typed {
        let field = |name: &str| sent.get(name).unwrap_or_default().trim().to_owned();
        Typed {
            what: field("what"),
            command: field("command"),
            unit: field("unit"),
            text: sent.get("text").unwrap_or_default().replace("\r\n", "\n"),
            good: field("good"),
            other: field("other"),
            bad: field("bad"),
        }
    }

    fn asked(&self) -> regrow_ops::Result<Asked> {
        match &*self.what {
            "command" if self.command.is_empty() => {
                Err(Error::mistake_with("there is no command", "type the line that shows whether it works"))
            }
            "command" => Ok(Asked::command(&self.command)),
            "unit" if self.unit.is_empty() || self.unit.contains(char::is_whitespace) => {
                Err(Error::mistake_with("there is no unit", "type the name of one unit: nginx"))
            }
            "unit" => Ok(Asked::unit(&self.unit)),
            "text" => Asked::from_text(FilePath::new(TEXT), &self.text),
            what => match what.strip_prefix("check:") {
                Some(name) if !name.is_empty() => Ok(Asked::named(name)),
                _ => Err(Error::mistake_with("no check is chosen", "choose what is asked of each revision")),
            },
        }
    }

    /// What was typed goes before what was chosen.
    fn good(&self) -> Option<&str> {
        [&*self.other, &*self.good].into_iter().find(|good| !good.is_empty())
    }

    fn bad(&self) -> Option<&str> {
        Some(&*self.bad).filter(|bad| !bad.is_empty())
    }

    fn question(&self, ctx: &Context, server: &str) -> regrow_ops::Result<Question> {
        hunt::question(ctx, server, &self.asked()?, self.good(), self.bad())
    }
}

/// What mistakes in a typed check point into.
const TEXT: &str = "check.toml";

impl Trouble {
    fn new(e: &Error) -> Trouble {
        let mut diagnostics = match e {
            Error::Diagnostics(diagnosed) => message::diagnostics(diagnosed),
            _ => Vec::new(),
        };
        let here = |text: &str| text.replace("servers/hunt/check.toml", "the check");
        for one in &mut diagnostics {
            (one.place, one.shown) = (here(&one.place), one.shown.as_deref().map(here));
        }
        let help = e.help().map(|help| sentence(plain(&help)));
        Trouble { words: sentence(&e.to_string().replace(TEXT, "the check")), help, diagnostics }
    }
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wish {
    check: Option<String>,
    bad: Option<String>,
}

/// The page.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(server): Path<String>,
    Query(wish): Query<Wish>,
) -> Response {
    let state = app.clone();
    let page = work(&app, move |ctx| {
        if !known(ctx, &server)? {
            return Ok(Err("There is no such server.".to_owned()));
        }
        let what = wish.check.map(|name| format!("check:{name}")).unwrap_or_default();
        let typed = Typed { what, bad: wish.bad.unwrap_or_default(), ..Typed::default() };
        draw(&state, ctx, &visitor, server, typed, None).map(Ok)
    });
    drawn(&app, page.await)
}

fn draw(
    app: &App,
    ctx: &Context,
    visitor: &Visitor,
    server: String,
    mut typed: Typed,
    trouble: Option<Trouble>,
) -> regrow_ops::Result<Box<Page>> {
    let now = ctx.now();
    let names = match hunt::names(ctx, &server) {
        Ok(names) => names,
        // One that is online but no longer in the text.
        Err(Error::Mistake { .. }) => Vec::new(),
        Err(e) => return Err(e),
    };
    let checks = choices(ctx, &server, names)?;
    if typed.what.is_empty() || (trouble.is_none() && !checks.iter().any(|c| c.value == typed.what)) {
        let red = checks.iter().find(|c| c.mark.as_ref().is_some_and(|m| m.tone() == Tone::Bad));
        typed.what = red.or(checks.first()).map(|c| c.value.clone()).unwrap_or_default();
    }
    let timeline = changes::timeline(ctx, Some(&server), None, CHANGESETS)?;
    // The newest one needs no name.
    if timeline.changes.first().is_some_and(|newest| newest.change.revision == typed.bad) {
        typed.bad.clear();
    }
    let newest = match typed.asked() {
        Ok(asked @ Asked::Named { .. }) => match hunt::question(ctx, &server, &asked, None, typed.bad()) {
            Ok(question) => {
                format!("{} “{}”", short(&question.good), changes::subject(ctx, &question.good)?)
            }
            Err(_) => "none is known, so choose one".to_owned(),
        },
        _ => "of a check of the text only".to_owned(),
    };
    let goods = timeline.changes.into_iter().map(|told| {
        let mut words = format!("{} {}", short(&told.change.revision), told.change.subject);
        let known: Vec<String> = badges(&told.proofs).into_iter().map(|badge| badge.mark.word).collect();
        if !known.is_empty() {
            words.push_str(&format!(" ({})", known.join(", ")));
        }
        Changeset { revision: told.change.revision, words }
    });
    let goods = goods.collect();
    let mut earlier = Vec::new();
    for hunt in hunt::list(ctx, &server, HUNTS)? {
        earlier.push(Row::new(ctx, hunt, now)?);
    }
    let check = typed.what.strip_prefix("check:").unwrap_or("NAME");
    Ok(Box::new(Page {
        layout: layout(app, format!("Find the culprit in {server}"), Place::Servers),
        session: visitor.form_token.clone(),
        once: app.form_once()?,
        lacks: visitor.lacks(Role::Edit),
        command: format!("regrow bisect {server} --check {check}"),
        trouble,
        checks,
        typed,
        newest,
        goods,
        earlier,
        server,
    }))
}

/// The checks with what they said last.
fn choices(ctx: &Context, server: &str, names: Vec<String>) -> regrow_ops::Result<Vec<Choice>> {
    let proofs = evidence::list(ctx, Some(server), PROOFS)?;
    let judged = proofs.iter().find(|e| e.kind != Kind::Build && e.report["checks"].is_array());
    let said = |name: &str| {
        let check = judged?.report["checks"].as_array()?.iter().find(|c| c["name"] == name && c["left"] != true)?;
        Some(match check["passed"].as_bool()? {
            true => Mark::new(Tone::Good, "passed last"),
            false => Mark::new(Tone::Bad, "failed last"),
        })
    };
    Ok(names.into_iter().map(|name| Choice { value: format!("check:{name}"), mark: said(&name), name }).collect())
}

impl Row {
    fn new(ctx: &Context, hunt: Hunt, now: jiff::Timestamp) -> regrow_ops::Result<Row> {
        let (mark, stopped) = standing_of(ctx, &hunt)?;
        Ok(Row {
            id: hunt.id,
            what: what(&hunt.question.asked),
            mark,
            good: short(&hunt.question.good),
            bad: short(&hunt.question.bad),
            actor: hunt.actor,
            when: When::new(hunt.started, now),
            stopped,
        })
    }
}

/// The form, and "Go on": begins or goes on, and goes to the hunt's page.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    MayEdit(visitor): MayEdit,
    Path(server): Path<String>,
    Own(sent): Own,
) -> Response {
    let (state, back) = (app.clone(), format!("/server/{server}/hunt"));
    let done = work(&app, move |ctx| {
        if !known(ctx, &server)? {
            return Ok(None);
        }
        let typed = Typed::of(&sent);
        let resume = sent.get("resume");
        let action = format!("hunt {}", resume.unwrap_or_default());
        let begun = state.once(sent.get("once").unwrap_or_default(), &action, || {
            let question = match resume {
                Some(id) => interrupted(ctx, &server, id)?,
                None => typed.question(ctx, &server)?,
            };
            let job = jobs::launch(ctx, &Task::Hunt { question })?;
            Ok::<_, Error>(Went::to(match hunt::of_job(ctx, job)? {
                Some(hunt) => format!("/server/{server}/hunt/{hunt}"),
                None => format!("/job/{job}"),
            }))
        });
        match begun {
            // The page again, with what was chosen and typed.
            Err(e) if e.exit_code() == 2 && resume.is_none() => {
                draw(&state, ctx, &visitor, server, typed, Some(Trouble::new(&e))).map(|page| Some(Err(page)))
            }
            other => other.map(|went| Some(Ok(went))),
        }
    });
    match done.await {
        Ok(Some(Ok(Some(went)))) => went.answer(&app),
        Ok(Some(Ok(None))) => message::stale_form(&app, back),
        Ok(Some(Err(page))) => show(StatusCode::UNPROCESSABLE_ENTITY, &*page),
        Ok(None) => message::missing(&app, "There is no such server."),
        Err(response) => response,
    }
}

/// The question of a hunt that did not come to its end.
fn interrupted(ctx: &Context, server: &str, id: &str) -> regrow_ops::Result<Question> {
    let found = match id.parse::<HuntId>() {
        Ok(id) => hunt::get(ctx, id)?,
        Err(_) => None,
    };
    let found = found.filter(|hunt| hunt.question.server == server && hunt.ended.is_none());
    found.map(|hunt| hunt.question).ok_or_else(|| {
        Error::mistake_with("this hunt cannot be gone on with", "it has come to its end; look at its page")
    })
}
