//! `/add/SERVER` and `/add/SERVER/THING`: adding things the way people think of them.
//!
//! The page shows the very lines that the answers make, worked out here from the draft's text; the form sends answers
//! only. Without scripts: "Show the lines" is the same page by GET, "Add to the draft" a POST.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use regrow_config::Fleet;
use regrow_config::catalog::Category;
use regrow_ops::accounts::Role;
use regrow_ops::add::{self, Addition, Answers, Offer, Piece, Question, There, Wrong};
use regrow_ops::{Context, Error, drafts};

use crate::app::App;
use crate::form::{Own, Went};
use crate::pages::draft::start_build;
use crate::pages::{drawn, layout, message, show, work};
use crate::view::{DiagnosticView, Layout, Mark, Place, Tone};
use crate::visitor::{MayEdit, Visitor};

/// What stands before the name of an answer in a form, so that it cannot be taken for the form's own fields.
const ANSWER: &str = "a:";

#[derive(Debug, Template)]
#[template(path = "add.html")]
struct Cards {
    layout: Layout,
    server: String,
    groups: Vec<(Category, Vec<Card>)>,
}

#[derive(Debug)]
struct Card {
    id: String,
    title: String,
    summary: String,
    there: Option<Mark>,
}

#[derive(Debug, Template)]
#[template(path = "add-thing.html")]
struct Page {
    layout: Layout,
    server: String,
    offer: Offer,
    there: Option<Mark>,
    fields: Vec<Field>,
    remarks: Vec<String>,
    pieces: Vec<Piece>,
    diagnostics: Vec<DiagnosticView>,
    /// Whether something would be added.
    adds: bool,
    /// The name of the draft that it goes into; a new one without.
    draft: Option<String>,
    command: String,
    form_token: String,
    once: String,
    lacks: Option<String>,
    package_search: bool,
}

#[derive(Debug)]
struct Field {
    question: Question,
    id: String,
    name: String,
    value: String,
    error: Option<String>,
}

impl Field {
    /// The ids of what describes it.
    fn described(&self) -> String {
        let help = (!self.question.help.is_empty()).then(|| format!("{}-help", self.id));
        let error = self.error.as_ref().map(|_| format!("{}-error", self.id));
        help.into_iter().chain(error).collect::<Vec<_>>().join(" ")
    }
}

fn mark(there: There) -> Option<Mark> {
    match there {
        There::No => None,
        There::Partly => Some(Mark::new(Tone::Busy, "partly there")),
        There::Whole => Some(Mark::new(Tone::Good, "there")),
    }
}

/// The draft that this browser works on, if it is still there.
fn draft_of(ctx: &Context, visitor: &Visitor) -> Option<drafts::Draft> {
    visitor.draft.as_deref().filter(|id| *id != drafts::DISK).and_then(|id| drafts::get(ctx, id).ok())
}

/// The fleet as the visitor sees it: their draft's, else the last changeset's.
fn fleet(ctx: &Context, draft: Option<&drafts::Draft>) -> regrow_ops::Result<Arc<Fleet>> {
    add::fleet(ctx, draft.map(|d| d.id.as_str()))
}

/// The cards.
pub(crate) async fn cards(
    State(app): State<Arc<App>>,
    Extension(visitor): Extension<Visitor>,
    Path(server): Path<String>,
) -> Response {
    let state = app.clone();
    let page = work(&app, move |ctx| {
        let fleet = fleet(ctx, draft_of(ctx, &visitor).as_ref())?;
        if !fleet.servers.contains_key(&server) {
            return Ok(None);
        }
        let mut groups: BTreeMap<Category, Vec<Card>> = BTreeMap::new();
        for offer in add::offers(&fleet, &server)? {
            let there = mark(offer.there);
            let Offer { id, title, summary, category, .. } = offer;
            groups.entry(category).or_default().push(Card { id, title, summary, there });
        }
        let layout = layout(&state, format!("Add to {server}"), Place::Servers);
        Ok(Some(Cards { layout, server, groups: groups.into_iter().collect() }))
    });
    match page.await {
        Ok(Some(page)) => show(StatusCode::OK, &page),
        Ok(None) => message::missing(&app, "There is no such server."),
        Err(response) => response,
    }
}

/// The answers of a form or an address.
fn answers(sent: &BTreeMap<String, String>) -> Answers {
    let named = sent.iter().filter_map(|(name, answer)| Some((name.strip_prefix(ANSWER)?, answer)));
    named.map(|(name, answer)| (name.to_owned(), answer.clone())).collect()
}

/// One thing, with its questions and the lines that it makes.
pub(crate) async fn thing(
    State(app): State<Arc<App>>,
    Extension(visitor): Extension<Visitor>,
    Path((server, id)): Path<(String, String)>,
    Query(sent): Query<BTreeMap<String, String>>,
) -> Response {
    let state = app.clone();
    let page = work(&app, move |ctx| draw(&state, ctx, &visitor, &server, &id, &answers(&sent), Vec::new()));
    drawn(&app, page.await.map(|page| page.ok_or_else(|| "There is nothing of this name to add.".to_owned())))
}

fn draw(
    app: &App,
    ctx: &Context,
    visitor: &Visitor,
    server: &str,
    id: &str,
    given: &Answers,
    mut wrong: Vec<Wrong>,
) -> regrow_ops::Result<Option<Box<Page>>> {
    let draft = draft_of(ctx, visitor);
    let files = add::text(ctx, draft.as_ref().map(|d| d.id.as_str()))?;
    let fleet = fleet(ctx, draft.as_ref())?;
    let form = match add::form(&fleet, server, id) {
        Ok(form) => form,
        Err(Error::Mistake { .. }) => return Ok(None),
        Err(e) => return Err(e),
    };
    // What is asked no more (somebody added it meanwhile) is left out.
    let given: Answers = given
        .iter()
        .filter(|(name, _)| form.questions.iter().any(|q| q.name == **name))
        .map(|(n, a)| (n.clone(), a.clone()))
        .collect();
    let mut addition = Addition { remarks: form.remarks.clone(), ..Addition::default() };
    // A form that nobody filled in yet is not wrong.
    let blank = given.is_empty() && form.questions.iter().any(|q| q.required && q.default.is_empty());
    if wrong.is_empty() && !blank {
        match add::plan(&fleet, server, id, &given)? {
            Ok(planned) => {
                let new = planned.remarks.iter().filter(|r| !addition.remarks.contains(r)).cloned();
                addition.remarks.extend(new.collect::<Vec<_>>());
                addition.edits = planned.edits;
            }
            Err(found) => wrong = found,
        }
    }
    let preview = add::preview(&*files, server, &addition.edits)?;
    let mut command = format!("regrow add {server} {}", form.offer.id);
    let fields: Vec<Field> = form
        .questions
        .into_iter()
        .map(|question| {
            let value = given.get(&question.name).cloned();
            if let Some(value) = value.as_ref().filter(|v| **v != question.default) {
                command.push_str(&format!(" --with {}", shell_word(&format!("{}={value}", question.name))));
            }
            Field {
                id: format!("a-{}", question.name.replace('.', "-")),
                name: format!("{ANSWER}{}", question.name),
                value: value.unwrap_or_else(|| question.default.clone()),
                error: wrong.iter().find(|w| w.question == question.name).map(|w| w.message.clone()),
                question,
            }
        })
        .collect();
    if let Some(draft) = &draft {
        command.push_str(&format!(" --draft {}", draft.id));
    }
    Ok(Some(Box::new(Page {
        layout: layout(app, format!("Add {} to {server}", form.offer.title), Place::Servers),
        server: server.to_owned(),
        there: mark(form.offer.there),
        package_search: form.offer.id == "package",
        // Pressing the button answers what is blank with what is wrong.
        adds: blank || !wrong.is_empty() || !addition.edits.is_empty(),
        offer: form.offer,
        fields,
        remarks: addition.remarks,
        pieces: preview.pieces,
        diagnostics: message::diagnostics(&preview.mistakes),
        draft: draft.map(|d| d.title),
        command,
        form_token: visitor.form_token.clone(),
        once: app.form_once()?,
        lacks: visitor.lacks(Role::Edit),
    })))
}

/// A word of a command line.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@,+".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// "Add to the draft".
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    MayEdit(visitor): MayEdit,
    Path((server, id)): Path<(String, String)>,
    Own(sent): Own,
) -> Response {
    let given: Answers = sent.marked("a").map(|(name, answer)| (name.to_owned(), answer.to_owned())).collect();
    let (state, back) = (app.clone(), format!("/add/{server}/{id}"));
    let done = work(&app, move |ctx| {
        let token = sent.get("once").unwrap_or_default();
        let went = state.once(token, &format!("add {server} {id}"), || put(ctx, &visitor, &server, &id, &given));
        let wrong = match went {
            Ok(went) => return Ok(Ok(went)),
            Err(Not::Wrong(wrong)) => wrong,
            // What the text would not take is shown beside the answers, which are kept.
            Err(Not::Error(Error::Diagnostics(_))) => Vec::new(),
            Err(Not::Error(e)) => return Err(e),
        };
        Ok(Err(draw(&state, ctx, &visitor, &server, &id, &given, wrong)?))
    });
    match done.await {
        Ok(Ok(Some(went))) => went.answer(&app),
        Ok(Ok(None)) => message::stale_form(&app, back),
        Ok(Err(Some(page))) => show(StatusCode::UNPROCESSABLE_ENTITY, &*page),
        Ok(Err(None)) => message::missing(&app, "There is nothing of this name to add."),
        Err(response) => response,
    }
}

/// Why nothing was added.
enum Not {
    /// These answers; none: there is nothing to add.
    Wrong(Vec<Wrong>),
    Error(Error),
}

/// Adds it to the visitor's draft, or to a new one.
fn put(ctx: &Context, visitor: &Visitor, server: &str, id: &str, given: &Answers) -> Result<Went, Not> {
    let draft = draft_of(ctx, visitor).map(|d| d.id);
    let added = add::to_draft(ctx, draft.as_deref(), &visitor.actor, server, id, given).map_err(Not::Error)?;
    let report = added.map_err(Not::Wrong)?;
    let Some(draft) = report.draft.filter(|_| !report.pieces.is_empty()) else { return Err(Not::Wrong(Vec::new())) };
    start_build(ctx, &draft);
    Ok(Went::to(format!("/draft/{draft}")).with_draft(&draft))
}
