//! `/edit`: every form that changes text comes here, and the change goes into a draft.
//!
//! | field | what |
//! | --- | --- |
//! | `session`, `once` | as in every form; a form sent twice is one change |
//! | `draft` | which draft; without it the browser's current one, else a new one; `new` makes a new one |
//! | `tip` | the revision that the form was drawn from: what changed since is merged by key |
//! | `target` | where changes go: `server:NAME`, `role:NAME`, `file:PATH` |
//! | `then` | the page to go to afterwards |
//! | `f:KEY`, `o:KEY`… | an object's form: see [`regrow_config::objects::form`] |
//! | `edit` | JSON of one [`Edit`], as often as wanted |
//! | `wish` | JSON of a target with its edits, as often as wanted |
//! | `do=file`, `path`, `text` | the whole of one file |
//! | `do=remove-file`, `path` | removes a file |
//! | `do=set`, `unset`, `add`, `remove`, `rename`, `move`, `note` with `key`, `value` | one change |
//! | `at:N`, `pick:N`, `value:N` | decisions about a clash, from the page below |
//!
//! What cannot be taken comes back with everything that was typed, on the object's own page where there is one.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use regrow_config::edit::{Comments, Edit};
use regrow_config::objects::form::{self as object_form, Refused};
use regrow_ops::drafts::{self, Choice, Conflict, Decision, Edited, Into, Refusal, Seen, Target, Wish};
use regrow_ops::{Context, Error};

use crate::app::App;
use crate::form::{Own, Sent, Went};
use crate::outcome::sentence;
use crate::pages::draft::start_build;
use crate::pages::{layout, message, object, show, work};
use crate::view::{Layout, Place};
use crate::visitor::{MayEdit, Visitor};

/// The largest form that is taken, in bytes: a file's text, encoded.
pub(crate) const MOST_FORM: usize = 4 * drafts::edit::MOST_BYTES;

/// What a form asks for.
#[derive(Debug, Clone)]
enum Asked {
    Keys(Vec<Wish>),
    File { path: String, text: Option<String> },
}

/// Why a form did not go anywhere.
enum Stop {
    Error(Error),
    Edited(Box<Edited>),
}

impl From<Error> for Stop {
    fn from(e: Error) -> Stop {
        Stop::Error(e)
    }
}

/// The handler.
pub(crate) async fn post(State(app): State<Arc<App>>, MayEdit(visitor): MayEdit, Own(sent): Own) -> Response {
    let then = sent.then().unwrap_or_else(|| "/".to_owned());
    let asked = match asked(&sent) {
        Ok(asked) => asked,
        Err(refused) => return again(app, visitor, sent, refused).await,
    };
    let (state, form, to, who) = (app.clone(), sent.clone(), then.clone(), visitor.clone());
    let done = work(&app, move |ctx| {
        let token = form.get("once").unwrap_or_default().to_owned();
        let went = state.once(&token, "edit", || perform(ctx, &who, &form, &asked, &to));
        match went {
            Err(Stop::Error(e)) => Err(e),
            other => Ok(other.map_err(|stop| match stop {
                Stop::Edited(edited) => edited,
                Stop::Error(_) => Box::new(Edited::Refused { refusals: Vec::new() }),
            })),
        }
    });
    match done.await {
        Ok(Ok(Some(went))) => went.answer(&app),
        Ok(Ok(None)) => message::stale_form(&app, then),
        Ok(Err(edited)) => match *edited {
            Edited::Refused { refusals } => {
                let refused = refusals.into_iter().map(|Refusal { key, message }| Refused { key, message }).collect();
                again(app, visitor, sent, refused).await
            }
            Edited::Clash { conflicts, .. } => clash(&app, &visitor, &sent, &conflicts),
            Edited::Nothing { .. } | Edited::Saved(_) => message::nothing_changed(&app, then),
        },
        Err(response) => response,
    }
}

/// Changes the draft; says where to go.
fn perform(ctx: &Context, visitor: &Visitor, sent: &Sent, asked: &Asked, then: &str) -> Result<Went, Stop> {
    if matches!(asked, Asked::Keys(wishes) if wishes.is_empty()) {
        return Err(Stop::Edited(Box::new(Edited::Nothing { tip: String::new() })));
    }
    let decisions = decisions(sent);
    let seen = Seen { tip: sent.get("tip"), decisions: &decisions };
    let title = sent.get("title").map(str::to_owned).unwrap_or_else(|| title_of(asked));
    let new = Into::New { title: Some(&title), owner: &visitor.actor };
    let into = match sent.get("draft").or(visitor.draft.as_deref()) {
        None | Some("new" | drafts::DISK) => new,
        Some(id) => Into::Draft(id),
    };
    let edited = match edit(ctx, into, seen, asked) {
        // It was landed or discarded meanwhile: what was typed is not lost.
        Err(e) if drafts::is_gone(&e) => edit(ctx, new, seen, asked)?,
        other => other?,
    };
    match edited {
        Edited::Saved(saved) => {
            start_build(ctx, &saved.draft);
            Ok(Went::to(then).with_draft(&saved.draft))
        }
        other => Err(Stop::Edited(Box::new(other))),
    }
}

fn edit(ctx: &Context, into: Into<'_>, seen: Seen<'_>, asked: &Asked) -> regrow_ops::Result<Edited> {
    match asked {
        Asked::Keys(wishes) => drafts::edit_seen(ctx, into, seen, wishes),
        Asked::File { path, text } => drafts::write_file_seen(ctx, into, seen, path, |old| {
            text.as_deref().map(|text| with_line_ends_of(old, text))
        }),
    }
}

/// What a new draft is called that begins with this change: "web1: checks".
fn title_of(asked: &Asked) -> String {
    let (place, what) = match asked {
        Asked::File { path, .. } => (None, path.clone()),
        Asked::Keys(wishes) => {
            let Some(wish) = wishes.first() else { return "Draft".to_owned() };
            let key = wish.edits.first().map(Edit::key).unwrap_or_default();
            let place = match &wish.target {
                Target::Server(name) => name.clone(),
                Target::Role(name) => format!("role {name}"),
                Target::File(path) => path.split('/').nth(1).unwrap_or(path).trim_end_matches(".toml").to_owned(),
            };
            (Some(place), key.split('.').next().unwrap_or_default().to_owned())
        }
    };
    match place {
        Some(place) => format!("{place}: {what}"),
        None => what,
    }
}

/// Reads what a form asks for; or which fields cannot be.
fn asked(sent: &Sent) -> Result<Asked, Vec<Refused>> {
    let refuse = |key: &str, message: String| vec![Refused { key: key.to_owned(), message }];
    let action = sent.get("do").unwrap_or("form");
    let path = sent.get("path").or(sent.get("target").and_then(|t| t.strip_prefix("file:"))).unwrap_or_default();
    match action {
        "file" => {
            return Ok(Asked::File {
                path: path.to_owned(),
                text: Some(sent.raw("text").unwrap_or_default().to_owned()),
            });
        }
        "remove-file" => return Ok(Asked::File { path: path.to_owned(), text: None }),
        _ => {}
    }
    let target = |text: Option<&str>, key: &str| -> Result<Target, Vec<Refused>> {
        let text = text.or(sent.get("target")).unwrap_or_default();
        Target::try_from(text.to_owned()).map_err(|e| refuse(key, e))
    };
    let mut wishes: Vec<Wish> = Vec::new();
    let mut add = |target: Target, edit: Edit| match wishes.last_mut() {
        Some(last) if last.target == target => last.edits.push(edit),
        _ => wishes.push(Wish { target, edits: vec![edit] }),
    };
    for change in object_form::changes(&sent.0)? {
        add(target(change.target.as_deref(), change.edit.key())?, change.edit);
    }
    for json in sent.all("edit").filter(|j| !j.is_empty()) {
        let edit: Edit = serde_json::from_str(json).map_err(|e| refuse("", format!("an edit cannot be read: {e}")))?;
        add(target(None, edit.key())?, edit);
    }
    for json in sent.all("wish").filter(|j| !j.is_empty()) {
        let wish: Wish = serde_json::from_str(json).map_err(|e| refuse("", format!("a wish cannot be read: {e}")))?;
        for edit in wish.edits {
            add(wish.target.clone(), edit);
        }
    }
    if let Some(key) = sent.get("key") {
        let (key, value) = (key.to_owned(), sent.raw("value").unwrap_or_default().to_owned());
        let some = Some(value.clone()).filter(|v| !v.trim().is_empty());
        let edit = match action {
            "set" => Edit::Set { key, value },
            "unset" => Edit::Unset { key, comments: Comments::Keep },
            "add" => Edit::Add { key, value },
            "remove" => Edit::Remove { key, value },
            "rename" => Edit::Rename { key, to: value },
            "move" => Edit::Move { key, before: some },
            "note" => Edit::Note { key, text: some.map(|t| t.replace("\r\n", "\n")) },
            other => return Err(refuse(&key, format!("there is nothing called {other} to do with a key"))),
        };
        add(target(None, edit.key())?, edit);
    }
    Ok(Asked::Keys(wishes))
}

/// The decisions that the page of a clash sends.
pub(crate) fn decisions(sent: &Sent) -> Vec<Decision> {
    let mut decisions = Vec::new();
    for (n, json) in sent.marked("at") {
        let Ok(conflict) = serde_json::from_str::<Decision>(json) else { continue };
        let choice = match sent.get(&format!("pick:{n}")) {
            Some("base") => Choice::Base,
            Some("theirs") => Choice::Theirs,
            Some("yours") => Choice::Ours,
            Some("value") => Choice::Value(sent.raw(&format!("value:{n}")).unwrap_or_default().replace("\r\n", "\n")),
            _ => continue,
        };
        decisions.push(Decision { choice, ..conflict });
    }
    decisions
}

/// A browser sends every line end as CRLF and may drop a byte order mark: what the file had stays, line by line.
pub(crate) fn with_line_ends_of(old: Option<&[u8]>, typed: &str) -> Vec<u8> {
    let typed = typed.replace("\r\n", "\n");
    let Some(old) = old.and_then(|old| std::str::from_utf8(old).ok()) else { return typed.into_bytes() };
    let mut out = String::with_capacity(typed.len() + 64);
    if old.starts_with('\u{feff}') && !typed.starts_with('\u{feff}') {
        out.push('\u{feff}');
    }
    let plain = |line: &str| line.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']).to_owned();
    let before: Vec<&str> = old.split_inclusive('\n').collect();
    let now: Vec<&str> = typed.split_inclusive('\n').collect();
    let is_crlf = |line: &&str| line.ends_with("\r\n");
    let same = |pairs: &mut dyn Iterator<Item = (&str, &str)>| pairs.take_while(|(a, b)| plain(a) == plain(b)).count();
    let head = same(&mut before.iter().copied().zip(now.iter().copied()));
    let most = before.len().min(now.len()) - head;
    let tail = same(&mut before.iter().rev().copied().zip(now.iter().rev().copied())).min(most);
    // New lines end as those that they replace, else as the one above, else as the first.
    let model = before.get(head).or(before.get(head.wrapping_sub(1))).or(before.first());
    let new_ends = before.len() > head + tail && model.is_some_and(is_crlf)
        || before.len() == head + tail && before.get(head.saturating_sub(1)).is_some_and(is_crlf);
    for (n, line) in now.iter().enumerate() {
        let crlf = if n < head {
            is_crlf(&before[n])
        } else if now.len() - n <= tail {
            is_crlf(&before[before.len() - (now.len() - n)])
        } else {
            new_ends
        };
        match line.strip_suffix('\n') {
            Some(text) if crlf => {
                out.push_str(text);
                out.push_str("\r\n");
            }
            _ => out.push_str(line),
        }
    }
    out.into_bytes()
}

/// The form again, with everything typed and the reasons at their fields.
async fn again(app: Arc<App>, visitor: Visitor, sent: Sent, refused: Vec<Refused>) -> Response {
    // An object's page, and that of a file, show mistakes at their fields.
    let get = |name: &str| sent.raw(name).map(str::to_owned);
    if let (Some(server), Some(kind), Some(name)) = (get("server"), get("kind"), get("name")) {
        let placed = |r: &Refused| {
            sent.raw(&format!("f:{}", r.key)).is_some() || sent.raw(&format!("rename:{}", r.key)).is_some()
        };
        let (at_fields, others): (Vec<Refused>, Vec<Refused>) = refused.into_iter().partition(placed);
        let error = others.iter().map(|r| sentence(&r.message)).collect::<Vec<_>>().join(" ");
        let error = Some(error).filter(|e| !e.is_empty());
        let typed = object::Typed { fields: sent.0, refused: at_fields, error };
        return object::refused(app, visitor, server, kind, name, typed).await;
    }
    if let (Some(server), Some("file"), Some(path)) = (get("server"), sent.get("do"), get("path")) {
        let error = refused.iter().map(|r| sentence(&r.message)).collect::<Vec<_>>().join(" ");
        return object::file::refused(app, visitor, server, path, get("text").unwrap_or_default(), error).await;
    }
    let then = sent.then().unwrap_or_else(|| "/".to_owned());
    let once = match app.form_once() {
        Ok(once) => once,
        Err(e) => return message::trouble(&app, &e, true),
    };
    let named = |key: &str| {
        let candidates = [format!("f:{key}"), format!("rename:{key}"), "value".to_owned(), "text".to_owned()];
        candidates.into_iter().find(|name| sent.raw(name).is_some())
    };
    let mut fields = Vec::new();
    let mut words = Vec::new();
    for Refused { key, message } in &refused {
        match named(key) {
            Some(name) if !fields.iter().any(|f: &AgainField| f.name == name) => fields.push(AgainField {
                label: if key.is_empty() { "The whole file".to_owned() } else { key.clone() },
                value: sent.raw(&name).unwrap_or_default().to_owned(),
                rows: sent.raw(&name).unwrap_or_default().lines().count().clamp(1, 30),
                error: sentence(message),
                name,
            }),
            _ => words.push(if key.is_empty() { sentence(message) } else { format!("{key}: {}", sentence(message)) }),
        }
    }
    let hidden = hidden(&sent, |name| !fields.iter().any(|f| f.name == name));
    let layout = layout(&app, "Not saved yet", Place::Drafts);
    let session = layout.visitor.as_ref().map(|v| v.form_token.clone()).unwrap_or_default();
    show(StatusCode::UNPROCESSABLE_ENTITY, &Again { layout, session, once, then, fields, words, hidden })
}

/// The fields that go along unseen; the tokens are made anew.
fn hidden(sent: &Sent, keep: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let ours = |name: &str| {
        matches!(name, "session" | "once") || ["at:", "pick:", "value:"].iter().any(|mark| name.starts_with(mark))
    };
    sent.0.iter().filter(|(name, _)| !ours(name) && keep(name)).cloned().collect()
}

#[derive(Debug, Template)]
#[template(path = "again.html")]
struct Again {
    layout: Layout,
    session: String,
    once: String,
    then: String,
    fields: Vec<AgainField>,
    words: Vec<String>,
    hidden: Vec<(String, String)>,
}

#[derive(Debug)]
struct AgainField {
    name: String,
    label: String,
    value: String,
    rows: usize,
    error: String,
}

#[derive(Debug, Template)]
#[template(path = "clash.html")]
struct ClashPage {
    layout: Layout,
    session: String,
    once: String,
    then: String,
    hidden: Vec<(String, String)>,
    rows: Vec<ConflictRow>,
}

/// A place that was changed in two ways, as a row with its choices.
#[derive(Debug)]
pub(crate) struct ConflictRow {
    pub(crate) n: usize,
    /// The key, or the file.
    pub(crate) what: String,
    /// The file, if `what` is a key.
    pub(crate) path: Option<String>,
    pub(crate) with: &'static str,
    pub(crate) base: Option<String>,
    pub(crate) theirs: Option<String>,
    pub(crate) yours: Option<String>,
    /// The conflict as the form sends it back.
    pub(crate) at: String,
    /// `base`, `theirs`, `yours`, `value` or nothing.
    pub(crate) pick: &'static str,
    /// The free value.
    pub(crate) value: String,
    pub(crate) rows: usize,
}

impl ConflictRow {
    /// Number `n` of the page.
    pub(crate) fn new(n: usize, c: &Conflict) -> ConflictRow {
        let decision = Decision {
            path: c.path.clone(),
            key: c.key.clone(),
            with: c.with,
            theirs: c.theirs.clone(),
            yours: c.yours.clone(),
            choice: Choice::Ours,
        };
        let (pick, value) = match &c.choice {
            None => ("", None),
            Some(Choice::Base) => ("base", None),
            Some(Choice::Theirs) => ("theirs", None),
            Some(Choice::Ours) => ("yours", None),
            Some(Choice::Value(value)) => ("value", Some(value.clone())),
        };
        let value = value.or_else(|| c.yours.clone()).unwrap_or_default();
        ConflictRow {
            n,
            what: c.key.as_ref().map_or_else(|| c.path.clone(), ToString::to_string),
            path: c.key.as_ref().map(|_| c.path.clone()),
            with: match c.with {
                drafts::With::Changeset => "a later changeset",
                drafts::With::Disk => "an edit on disk",
                drafts::With::Draft => "another edit of this draft",
                drafts::With::Step(_) => "what stands there now",
            },
            base: c.base.clone(),
            theirs: c.theirs.clone(),
            yours: c.yours.clone(),
            at: serde_json::to_string(&decision).unwrap_or_default(),
            pick,
            rows: value.lines().count().clamp(1, 12),
            value,
        }
    }
}

impl ConflictRow {
    /// Takes over what was chosen and typed in a form of this page.
    pub(crate) fn typed(&mut self, sent: &Sent) {
        let Some((n, _)) = sent.marked("at").find(|(_, at)| *at == self.at) else { return };
        let picked = sent.get(&format!("pick:{n}")).unwrap_or_default();
        self.pick = ["yours", "theirs", "base", "value"].into_iter().find(|p| *p == picked).unwrap_or(self.pick);
        if let Some(value) = sent.raw(&format!("value:{n}")) {
            self.value = value.to_owned();
        }
    }
}

/// Somebody else changed the same keys: base, theirs and yours, and everything that was typed.
fn clash(app: &App, visitor: &Visitor, sent: &Sent, conflicts: &[Conflict]) -> Response {
    let once = match app.form_once() {
        Ok(once) => once,
        Err(e) => return message::trouble(app, &e, true),
    };
    let page = ClashPage {
        layout: layout(app, "Changed by somebody else, too", Place::Drafts),
        session: visitor.form_token.clone(),
        once,
        then: sent.then().unwrap_or_else(|| "/".to_owned()),
        hidden: hidden(sent, |_| true),
        rows: conflicts.iter().enumerate().map(|(n, c)| ConflictRow::new(n, c)).collect(),
    };
    show(StatusCode::CONFLICT, &page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(old: &str, typed: &str) -> String {
        String::from_utf8(with_line_ends_of(Some(old.as_bytes()), typed)).unwrap()
    }

    #[test]
    fn a_browsers_line_ends_do_not_reach_the_file() {
        for old in ["a\nb\nc\n", "a\r\nb\r\nc\r\n", "a\r\nb\nc", "\u{feff}a\r\nb\nc\r\n", "", "\n", "a", "a\r\n\r\nb\n"]
        {
            let sent = old.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\n', "\r\n");
            assert_eq!(ends(old, &sent), old, "{old:?} opened and saved");
        }
        assert_eq!(ends("a\r\nb\nc\r\n", "a\r\nX\r\nc\r\n"), "a\r\nX\nc\r\n", "a changed line keeps its own end");
        assert_eq!(ends("a\r\nb\r\n", "a\r\nnew\r\nb\r\n"), "a\r\nnew\r\nb\r\n");
        assert_eq!(ends("a\nb\n", "a\r\nb\r\nnew\r\n"), "a\nb\nnew\n");
        assert_eq!(ends("a\nb\n", ""), "");
        assert_eq!(with_line_ends_of(None, "a\r\nb"), b"a\nb");
    }

    #[test]
    fn a_form_is_read_as_edits() {
        let form = |fields: &[(&str, &str)]| Sent(fields.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect());
        let keys = |sent: Sent| match asked(&sent) {
            Ok(Asked::Keys(wishes)) => wishes,
            other => panic!("{other:?}"),
        };
        let base = [("target", "server:web1"), ("then", "/server/web1")];
        assert!(keys(form(&base)).is_empty(), "a form without changes asks for nothing");
        let one = keys(form(&[base[0], ("do", "set"), ("key", "limits.memory"), ("value", "2 GiB")]));
        assert_eq!(one[0].edits, [Edit::Set { key: "limits.memory".into(), value: "2 GiB".into() }]);
        let json = serde_json::to_string(&one[0].edits[0]).unwrap();
        assert_eq!(keys(form(&[base[0], ("edit", &json), ("edit", &json)]))[0].edits.len(), 2);
        let wish = serde_json::to_string(&one[0]).unwrap();
        assert_eq!(keys(form(&[("wish", &wish)])), one);
        for bad in
            [&[("do", "set"), ("key", "a")][..], &[base[0], ("edit", "{")], &[base[0], ("do", "eat"), ("key", "a")]]
        {
            assert!(asked(&form(bad)).is_err(), "{bad:?}");
        }
    }
}
