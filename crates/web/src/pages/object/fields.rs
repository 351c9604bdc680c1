//! Values as controls: what the form of an object shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use regrow_config::objects::{Control, Field, From, Object};
use regrow_ops::Context;
use regrow_ops::objects::{self as ops, FileHistory, Text, View};

use super::{Typed, diagnostic, encode, file, href, into, lacks, once, short};
use crate::app::App;
use crate::view::{DiagnosticView, When};
use crate::visitor::Visitor;

/// The form of an object.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) session: String,
    pub(super) once: String,
    pub(super) then: String,
    pub(super) draft: Option<String>,
    pub(super) tip: Option<String>,
    pub(super) into: &'static str,
    pub(super) lacks: Option<String>,
    pub(super) error: Option<String>,
    pub(super) key: String,
    pub(super) name_now: String,
    pub(super) name_error: Option<String>,
    pub(super) fields: Vec<FieldView>,
    pub(super) parts: Vec<Part>,
    pub(super) unknown: Vec<FieldView>,
    pub(super) places: Vec<PlaceView>,
}

/// Fields that are folded away.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) title: String,
    pub(super) open: bool,
    pub(super) fields: Vec<FieldView>,
}

/// Where the object stands, for renaming and deleting it there.
#[derive(Debug)]
pub(super) struct PlaceView {
    pub(super) words: String,
    pub(super) target: String,
    pub(super) file: String,
    pub(super) renames: bool,
    pub(super) cli: String,
}

/// One value.
#[derive(Debug)]
pub(super) struct FieldView {
    pub(super) id: usize,
    pub(super) key: String,
    pub(super) name: String,
    pub(super) server: String,
    pub(super) tag: &'static str,
    pub(super) at: bool,
    pub(super) changed: bool,
    pub(super) in_draft: bool,
    pub(super) open: bool,
    /// The value as written.
    pub(super) old: Option<String>,
    /// Where it stands, if not in the server's own text.
    pub(super) stands: Option<String>,
    pub(super) fixed: bool,
    pub(super) is_select: bool,
    pub(super) is_area: bool,
    pub(super) input: &'static str,
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) rows: usize,
    pub(super) choices: Vec<Choice>,
    pub(super) value: String,
    pub(super) default: Option<String>,
    pub(super) default_value: Option<String>,
    pub(super) unit: Option<&'static str>,
    pub(super) required: bool,
    pub(super) hint: String,
    pub(super) error: Option<String>,
    pub(super) diagnostics: Vec<DiagnosticView>,
    pub(super) described: Option<String>,
    pub(super) written: bool,
    pub(super) role: Option<String>,
    pub(super) to_role: bool,
    pub(super) href: Option<String>,
    pub(super) place: String,
    pub(super) since: Option<Since>,
    pub(super) shadowed: Vec<(String, String)>,
    pub(super) note: String,
    pub(super) note_now: String,
    pub(super) note_rows: usize,
    pub(super) line: Option<String>,
    pub(super) cli: String,
}

#[derive(Debug)]
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) selected: bool,
}

/// The changeset that gave a value.
#[derive(Debug)]
pub(super) struct Since {
    pub(super) revision: String,
    pub(super) when: String,
    pub(super) words: String,
}

/// What all fields of one page have in common.
struct Around<'a> {
    found: &'a View,
    object: &'a Object,
    at: Option<&'a str>,
    typed: &'a Typed,
    histories: BTreeMap<Arc<str>, Arc<FileHistory>>,
    now: jiff::Timestamp,
}

/// The form.
pub(super) fn form(
    app: &App,
    ctx: &Context,
    visitor: &Visitor,
    found: &View,
    object: &Object,
    at: Option<&str>,
    typed: &Typed,
) -> regrow_ops::Result<Form> {
    let mut histories = BTreeMap::new();
    if let Some(head) = &found.head {
        let places = object.all_fields().filter_map(|f| f.from.place()).map(|(path, _)| path);
        for path in places.collect::<std::collections::BTreeSet<_>>() {
            histories.insert(path.clone(), ops::history(ctx, head, path)?);
        }
    }
    let around = Around { found, object, at, typed, histories, now: ctx.now() };
    let mut id = 0;
    let mut view = |field: &Field| {
        id += 1;
        around.field(id, field)
    };
    let (mut fields, mut parts): (Vec<FieldView>, Vec<Part>) = (Vec::new(), Vec::new());
    // Of a check, only the keys of its kind are of interest; of other things, first what is written.
    let chosen = object.fields.iter().find(|f| f.value.is_some() && f.group == f.name).map(|f| f.group);
    let any = object.fields.iter().any(|f| f.value.is_some());
    for field in &object.fields {
        let is_main = match (object.kind, chosen) {
            ("checks", Some(kind)) => field.group == kind || field.group.is_empty(),
            ("checks", None) => true,
            _ => field.value.is_some() || field.required || !any || object.fields.len() <= 5,
        } || field.value.is_some()
            || !field.diagnostics.is_empty();
        let title = match object.kind {
            "checks" => "Other kinds of check",
            _ => "More that can be said",
        };
        let shown = view(field);
        if is_main {
            fields.push(shown);
            continue;
        }
        if parts.is_empty() {
            parts.push(Part { title: title.to_owned(), open: false, fields: Vec::new() });
        }
        if let Some(part) = parts.last_mut() {
            part.open |= shown.at || shown.error.is_some();
            part.fields.push(shown);
        }
    }
    for part in &mut parts {
        part.title = format!("{} ({})", part.title, part.fields.len());
    }
    let unknown = object.unknown.iter().map(&mut view).collect();
    let key = object.key.to_string();
    let (draft, tip) = match &found.text {
        Text::Draft { id, tip } => (Some(id.clone()), Some(tip.clone())),
        Text::Changeset(head) => (None, Some(head.clone())),
        Text::Disk => (None, None),
    };
    Ok(Form {
        session: visitor.form_token.clone(),
        once: once(app)?,
        then: match at {
            Some(at) => format!("{}?at={}", href(&found.objects.server, object), encode(at)),
            None => href(&found.objects.server, object),
        },
        draft,
        tip,
        into: into(visitor, &found.text),
        lacks: lacks(visitor),
        error: typed.error.clone(),
        name_now: typed.get("rename", &key).unwrap_or(&object.name).to_owned(),
        name_error: typed.error(&key).map(str::to_owned).filter(|_| typed.get("f", &key).is_none()),
        fields,
        parts,
        unknown,
        places: places(&found.objects.server, object, &key),
        key,
    })
}

/// What only exists by being written in one place can be renamed there.
fn places(server: &str, object: &Object, key: &str) -> Vec<PlaceView> {
    if object.name.is_empty() {
        return Vec::new();
    }
    let one = object.places.len() == 1;
    let view = |place: &regrow_config::objects::Place| {
        let path = &place.origin.path;
        PlaceView {
            words: match &place.role {
                Some(role) => format!("In the role {role}: for every server that has it"),
                None => format!("In {server}"),
            },
            target: match &place.role {
                Some(role) => format!("role:{role}"),
                None => format!("file:{path}"),
            },
            file: path.to_string(),
            renames: one,
            cli: match &place.role {
                Some(_) => format!("$EDITOR {path}"),
                None => shell_words(&["regrow", "unset", server, key]),
            },
        }
    };
    object.places.iter().map(view).collect()
}

impl Around<'_> {
    fn field(&self, id: usize, field: &Field) -> FieldView {
        let key = field.key.to_string();
        let server = &self.found.objects.server;
        let typed = self.typed.get("f", &key);
        let shown = field.shown.clone().unwrap_or_default();
        let value = typed.map_or_else(|| shown.clone(), str::to_owned);
        let error = self.typed.error(&key).map(str::to_owned);
        let diagnostics: Vec<DiagnosticView> = field.diagnostics.iter().map(diagnostic).collect();
        let hint = hint(field);
        let mut described: Vec<String> = Vec::new();
        described.extend(error.as_ref().map(|_| format!("e-{id}")));
        described.extend((1..=diagnostics.len()).map(|n| format!("d-{id}-{n}")));
        described.extend((!hint.is_empty()).then(|| format!("h-{id}")));
        let in_draft = self.in_draft(field);
        let note = field.note.clone().unwrap_or_default();
        let note_now = self.typed.get("n", &key).map_or_else(|| note.clone(), str::to_owned);
        let role = field.from.role().map(str::to_owned);
        let stands = match &field.from {
            From::Role { name, .. } => Some(format!("role:{name}")),
            _ => None,
        };
        let (min, max) = match field.control {
            Control::Number { min, max } => (min, max),
            _ => (0, 0),
        };
        let whole = value.is_empty() || value.parse::<i64>().is_ok();
        let area = matches!(field.control, Control::Lines | Control::List)
            || matches!(field.control, Control::Literal) && value.contains('\n');
        FieldView {
            id,
            name: field.name.clone(),
            server: server.clone(),
            tag: field.control.tag(),
            at: self.at == Some(key.as_str()),
            changed: in_draft || typed.is_some_and(|t| t.replace("\r\n", "\n") != shown.replace("\r\n", "\n")),
            in_draft,
            open: note_now != note,
            old: field.value.clone(),
            fixed: field.control == Control::Fixed,
            is_select: matches!(field.control, Control::Switch | Control::Choice(_)),
            is_area: area,
            input: if matches!(field.control, Control::Number { .. }) && whole { "number" } else { "text" },
            min,
            max,
            rows: value.lines().count().clamp(if matches!(field.control, Control::List) { 2 } else { 1 }, 20),
            choices: choices(field, &value),
            default: field.default.clone().filter(|d| !d.contains('\n')),
            default_value: field.default.clone().filter(|d| Some(d) != field.shown.as_ref()),
            unit: field.unit,
            required: field.required,
            hint,
            error,
            diagnostics,
            described: (!described.is_empty()).then(|| described.join(" ")),
            written: field.value.is_some(),
            to_role: role.is_some() && self.typed.get("w", &key) == stands.as_deref(),
            href: field.from.place().map(|(path, line)| file::href(server, path, line)),
            place: field.from.place().map(|(path, line)| place(server, path, line)).unwrap_or_default(),
            since: self.since(field),
            shadowed: field
                .shadowed
                .iter()
                .filter_map(|(from, text)| from.place().map(|(path, line)| (format!("{path}:{line}"), short(text))))
                .collect(),
            note_rows: note_now.lines().count().clamp(1, 10),
            note,
            note_now,
            line: match &field.from {
                From::Default => None,
                From::Role { name, .. } => Some(format!("role:{name}")),
                From::Server { path, .. } => Some(format!("file:{path}")),
            },
            cli: cli(server, &key, field),
            role,
            stands,
            value,
            key,
        }
    }

    /// Whether a draft gave it another value than the newest changeset has.
    fn in_draft(&self, field: &Field) -> bool {
        let Some(main) = &self.found.main else { return false };
        let before = main.find(self.object.kind, &self.object.name);
        let before = before.and_then(|o| o.all_fields().find(|f| f.key == field.key));
        before.map(|f| &f.shown) != Some(&field.shown)
            && (field.value.is_some() || before.is_some_and(|b| b.value.is_some()))
    }

    fn since(&self, field: &Field) -> Option<Since> {
        if self.in_draft(field) {
            return None;
        }
        let (path, _) = field.from.place()?;
        let version = self.histories.get(path)?.since(&field.key)?;
        let when = When::new(version.at, self.now);
        Some(Since {
            revision: version.revision.clone(),
            words: format!("{}, by {}, {}", version.subject, version.author, when.stamp),
            when: when.ago,
        })
    }
}

/// What a field is for, and what its control cannot say.
fn hint(field: &Field) -> String {
    let mut out = field.help.to_owned();
    let mut add = |words: &str| {
        if !out.is_empty() && !out.ends_with('.') {
            out.push('.');
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(words);
    };
    match field.control {
        Control::List if field.set => add("One per line; their order means nothing."),
        Control::List => add("One per line, in order."),
        Control::Literal => add("Shown as it is written: its form is not the usual one."),
        Control::Fixed => add("It can be changed in the text only."),
        _ => {}
    }
    if field.access {
        add("A slip here can lock people out.");
    }
    out
}

fn choices(field: &Field, value: &str) -> Vec<Choice> {
    let words: Vec<(String, String)> = match &field.control {
        Control::Switch => vec![("true".into(), "yes".into()), ("false".into(), "no".into())],
        Control::Choice(words) => words.iter().map(|w| ((*w).to_owned(), (*w).to_owned())).collect(),
        _ => return Vec::new(),
    };
    let label =
        |value: &str| words.iter().find(|(v, _)| v == value).map_or(value.to_owned(), |(_, label)| label.clone());
    let default =
        field.default.as_deref().map_or_else(|| "not written".to_owned(), |d| format!("not written: {}", label(d)));
    let none = Choice { value: String::new(), label: default, selected: value.is_empty() };
    // What was typed and is none of them stays as well.
    let other = (!value.is_empty() && !words.iter().any(|(v, _)| v == value)).then(|| value.to_owned());
    let other = other.map(|v| Choice { label: v.clone(), value: v, selected: true });
    let known = words.iter().map(|(v, l)| Choice { value: v.clone(), label: l.clone(), selected: v == value });
    std::iter::once(none).chain(known).chain(other).collect()
}

/// Where a value is, as short as it can be told.
fn place(server: &str, path: &str, line: usize) -> String {
    let own = format!("servers/{server}/");
    format!("{}:{line}", path.strip_prefix(&own).unwrap_or(path))
}

fn cli(server: &str, key: &str, field: &Field) -> String {
    let value = field.value.clone().or_else(|| field.default.clone()).unwrap_or_else(|| "…".to_owned());
    // A command of many lines is none that anybody types.
    let value = if value.contains('\n') || value.chars().count() > 200 { "…".to_owned() } else { value };
    match field.from.role() {
        Some(_) => format!("{}   # for {server} only", shell_words(&["regrow", "set", server, key, &value])),
        None => shell_words(&["regrow", "set", server, key, &value]),
    }
}

/// Words as one types them into a shell.
fn shell_words(words: &[&str]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let word = |w: &&str| match !w.is_empty() && (w.chars().all(plain) || *w == "…") {
        true => (*w).to_owned(),
        false => format!("'{}'", w.replace('\'', "'\\''")),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_means_to_the_shell_what_it_says() {
        let words = ["regrow", "set", "web1", "files.\"/etc/motd\".mode", "it's"];
        assert_eq!(shell_words(&words), r#"regrow set web1 'files."/etc/motd".mode' 'it'\''s'"#);
        assert_eq!(shell_words(&["", "*"]), "'' '*'");
    }
}
