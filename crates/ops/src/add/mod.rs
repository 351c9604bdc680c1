//! What a person adds to a server, the way people think: a service of the catalog, a user, a timer, an open port, a
//! file, a package. Each becomes ordinary lines of the server's text; nothing remembers afterwards where they came from.
//!
//! ```text
//! offers ──► what can be added, and what of it the server has
//! form   ──► the questions of one thing, with answers that fit this server
//! plan   ──► the answers become edits of the text, or words at the question that is wrong
//! ```
//! Everything works on a [`Fleet`] that was read already: the work tree's, a revision's or a draft's.

mod lines;
mod ports;
mod service;
mod things;
mod verb;

use std::collections::BTreeMap;

use regrow_config::catalog::Category;
use regrow_config::edit::Edit;
use regrow_config::{Fleet, Server};
use serde::Serialize;

use crate::error::{Error, Result};

pub use lines::{Piece, Preview, preview};
pub use verb::{AddReport, Found, OffersReport, SearchReport, add, fleet, list, search, text, to_draft};

/// One thing that can be added.
#[derive(Debug, Clone, Serialize)]
pub struct Offer {
    /// What it is called in addresses and commands.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// What it is.
    pub summary: String,
    /// Where it is shown.
    pub category: Category,
    /// Whether the server has it.
    pub there: There,
}

/// How much of a thing a server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum There {
    /// Nothing, or it can be added any number of times.
    No,
    /// Its packages, but not all that belongs to it.
    Partly,
    /// All of it.
    Whole,
}

/// A question with the answer that is proposed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Question {
    /// The name of the answer.
    pub name: String,
    /// The question.
    pub words: String,
    /// What to consider.
    pub help: String,
    /// The proposed answer.
    pub default: String,
    /// Value and words of each answer, if there are only these.
    pub choices: Vec<(String, String)>,
    /// Whether the answer has several lines.
    pub lines: bool,
    /// Whether an answer is needed.
    pub required: bool,
}

/// What is asked before a thing is added.
#[derive(Debug, Clone, Serialize)]
pub struct Form {
    /// The thing.
    pub offer: Offer,
    /// The questions, in order.
    pub questions: Vec<Question>,
    /// What to know before adding it.
    pub remarks: Vec<String>,
}

/// What comes of the answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Addition {
    /// The edits of the server's text; none if it has everything already.
    pub edits: Vec<Edit>,
    /// What is there already and stays as it is, and what to look after.
    pub remarks: Vec<String>,
    /// What a changeset of it is called.
    pub message: String,
}

/// An answer that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wrong {
    /// The question.
    pub question: String,
    /// Why, and what to do.
    pub message: String,
}

/// Answers by the names of their questions.
pub type Answers = BTreeMap<String, String>;

fn known<'f>(fleet: &'f Fleet, server: &str) -> Result<&'f Server> {
    fleet.servers.get(server).ok_or_else(|| Error::mistake(format!("there is no server {server}")))
}

fn no_such(id: &str) -> Error {
    Error::mistake_with(
        format!("nothing to add is called {id}"),
        "`regrow add SERVER` lists what there is; `regrow search WORDS` finds packages",
    )
}

/// What can be added to a server, by category.
///
/// # Errors
/// If there is no such server.
pub fn offers(fleet: &Fleet, server: &str) -> Result<Vec<Offer>> {
    let server = known(fleet, server)?;
    let mut offers: Vec<Offer> =
        things::THINGS.iter().map(things::Thing::offer).chain(service::offers(fleet, server)).collect();
    // Stable: things come before services of the same category.
    offers.sort_by_key(|o| o.category);
    Ok(offers)
}

/// The questions of one thing, with proposals that fit this server.
///
/// # Errors
/// If there is no such server or thing.
pub fn form(fleet: &Fleet, server: &str, id: &str) -> Result<Form> {
    let server = known(fleet, server)?;
    if let Some(thing) = things::THINGS.iter().find(|t| t.id == id) {
        return Ok(thing.form(fleet, server));
    }
    service::form(fleet, server, id).ok_or_else(|| no_such(id))
}

/// The edits that add a thing. A question without an answer has its proposed one.
///
/// # Errors
/// If there is no such server or thing; what is wrong with answers is the inner error.
pub fn plan(
    fleet: &Fleet,
    server: &str,
    id: &str,
    answers: &Answers,
) -> Result<std::result::Result<Addition, Vec<Wrong>>> {
    let form = form(fleet, server, id)?;
    let server = known(fleet, server)?;
    if let Some(unknown) = answers.keys().find(|name| !form.questions.iter().any(|q| q.name == **name)) {
        let names: Vec<&str> = form.questions.iter().map(|q| q.name.as_str()).collect();
        let help = match &names[..] {
            [] => format!("{id} asks nothing"),
            names => format!("{id} asks for {}", names.join(", ")),
        };
        return Err(Error::mistake_with(format!("{id} does not ask for `{unknown}`"), help));
    }
    let mut wrong = Vec::new();
    let mut whole = Answers::new();
    for question in &form.questions {
        // Forms send line ends as CR LF.
        let answer = answers.get(&question.name).unwrap_or(&question.default).replace("\r\n", "\n");
        let answer = if question.lines { answer } else { answer.trim().to_owned() };
        let message = if answer.trim().is_empty() && question.required {
            "this is needed"
        } else if !question.lines && answer.chars().any(char::is_control) {
            "this must be one line"
        } else if answer.contains('\0') {
            "this has a NUL character"
        } else if !question.choices.is_empty() && !question.choices.iter().any(|(value, _)| *value == answer) {
            "choose one of the answers"
        } else {
            whole.insert(question.name.clone(), answer);
            continue;
        };
        wrong.push(Wrong { question: question.name.clone(), message: message.to_owned() });
    }
    if !wrong.is_empty() {
        return Ok(Err(wrong));
    }
    Ok(match things::THINGS.iter().find(|t| t.id == id) {
        Some(thing) => thing.plan(fleet, server, &whole),
        None => service::plan(fleet, server, id, &whole).ok_or_else(|| no_such(id))?,
    })
}

#[cfg(test)]
mod tests;
