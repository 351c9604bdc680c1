//! Services of the catalog.

use regrow_config::catalog::{Ask, AskKind, CatalogEntry};
use regrow_config::model::{Check, CheckKind, FileText, Service, State};
use regrow_config::{Fleet, Server};

use super::lines::{Lines, string};
use super::{Addition, Answers, Form, Offer, Question, There, Wrong, ports};

/// The entries that people add.
fn offered(fleet: &Fleet) -> impl Iterator<Item = &CatalogEntry> {
    fleet.catalog.entries().filter(|e| e.category.is_some())
}

/// The entry that a person means: by its name, its title, or a package of it.
fn meant<'f>(fleet: &'f Fleet, id: &str) -> Option<&'f CatalogEntry> {
    let is = |text: &str| text.eq_ignore_ascii_case(id);
    offered(fleet)
        .find(|e| e.name == id)
        .or_else(|| offered(fleet).find(|e| is(&e.name) || is(&e.title)))
        .or_else(|| offered(fleet).find(|e| e.packages.iter().chain(&e.units).any(|p| is(p))))
}

pub(super) fn offers<'f>(fleet: &'f Fleet, server: &'f Server) -> impl Iterator<Item = Offer> + 'f {
    offered(fleet).map(move |entry| offer(fleet, server, entry))
}

fn offer(fleet: &Fleet, server: &Server, entry: &CatalogEntry) -> Offer {
    let there = match &entry.packages[..] {
        packages if !packages.iter().any(|p| server.packages.contains_key(p)) => There::No,
        _ if missing(fleet, server, entry, &defaults(entry)).lines.edits.is_empty() => There::Whole,
        _ => There::Partly,
    };
    Offer {
        id: entry.name.clone(),
        title: entry.title.clone(),
        summary: entry.summary.clone(),
        category: entry.category.unwrap_or(regrow_config::catalog::Category::Packages),
        there,
    }
}

fn defaults(entry: &CatalogEntry) -> Answers {
    entry.asks.iter().map(|(name, ask)| (name.clone(), ask.default.clone())).collect()
}

/// The name of the question where a port is published. No question of an entry has a dot in its name.
fn publish_question(port: u16) -> String {
    format!("publish.{port}")
}

pub(super) fn form(fleet: &Fleet, server: &Server, id: &str) -> Option<Form> {
    let entry = meant(fleet, id)?;
    let mut questions: Vec<Question> = entry.asks.iter().map(|(name, ask)| question(name, ask)).collect();
    // What belongs to files that are there already is not asked.
    if !entry.files.is_empty() && entry.files.keys().all(|path| has_file(server, path)) {
        questions.clear();
    }
    let mut taken = Vec::new();
    for &port in entry.publish.iter().filter(|port| !is_published(server, **port)) {
        let free = ports::free(fleet, port, &taken);
        taken.push(free);
        questions.push(Question {
            name: publish_question(port),
            words: format!("Reached from outside at port (inside it is {port})"),
            help: "A port of the machine that runs the server, on its own address only; ADDRESS:PORT for another. \
                   Empty: reached from inside the server only."
                .to_owned(),
            default: free.to_string(),
            ..Question::default()
        });
    }
    let mut remarks: Vec<String> = Some(entry.note.clone()).into_iter().filter(|n| !n.is_empty()).collect();
    remarks.extend(missing(fleet, server, entry, &defaults(entry)).remarks);
    Some(Form { offer: offer(fleet, server, entry), questions, remarks })
}

fn question(name: &str, ask: &Ask) -> Question {
    Question {
        name: name.to_owned(),
        words: ask.question.clone(),
        help: ask.help.clone(),
        default: ask.default.clone(),
        choices: Vec::new(),
        lines: ask.kind == AskKind::Lines,
        required: true,
    }
}

pub(super) fn plan(
    fleet: &Fleet,
    server: &Server,
    id: &str,
    answers: &Answers,
) -> Option<Result<Addition, Vec<Wrong>>> {
    let entry = meant(fleet, id)?;
    let mut wrong = Vec::new();
    for (name, ask) in &entry.asks {
        if let Some(message) = answers.get(name).and_then(|answer| objection(ask.kind, answer)) {
            wrong.push(Wrong { question: name.clone(), message: message.to_owned() });
        }
    }
    let mut missing = missing(fleet, server, entry, answers);
    for &port in &entry.publish {
        let name = publish_question(port);
        match answers.get(&name).map(|answer| publish(fleet, answer, port)) {
            None | Some(Ok(None)) => {}
            Some(Ok(Some(text))) => missing.lines.add(&["network", "publish"], string(&text)),
            Some(Err(message)) => wrong.push(Wrong { question: name, message }),
        }
    }
    if !wrong.is_empty() {
        return Some(Err(wrong));
    }
    Some(Ok(Addition {
        edits: missing.lines.edits,
        remarks: missing.remarks,
        message: format!("{}: add {}", server.name, entry.title),
    }))
}

/// Why a text is no answer of this kind.
pub(super) fn objection(kind: AskKind, answer: &str) -> Option<&'static str> {
    let fits = match kind {
        AskKind::Text => answer.chars().all(|c| !c.is_control()),
        AskKind::Lines => true,
        AskKind::Host => {
            !answer.is_empty()
                && answer.len() <= 253
                && answer.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
                && !answer.starts_with(['.', '-'])
        }
        AskKind::Port => answer.parse::<u16>().is_ok_and(|port| port > 0),
        AskKind::Path => answer.starts_with('/') && !answer.split('/').any(|part| part == ".."),
    };
    (!fits).then_some(match kind {
        AskKind::Text => "this must be one line",
        AskKind::Lines => "this cannot be taken",
        AskKind::Host => "use letters, digits, `.` and `-`, as in www.example.org",
        AskKind::Port => "a port is a number from 1 to 65535",
        AskKind::Path => "write the whole path, beginning with `/`",
    })
}

/// What an answer publishes `inside` as: `ADDRESS:PORT:INSIDE`; nothing if it is empty.
pub(super) fn publish(fleet: &Fleet, answer: &str, inside: u16) -> Result<Option<String>, String> {
    if answer.is_empty() {
        return Ok(None);
    }
    let text = match answer.rsplit_once(':') {
        None => format!("127.0.0.1:{answer}:{inside}"),
        Some((address, port)) => format!("{address}:{port}:{inside}"),
    };
    let published = regrow_config::Publish::parse(&text)
        .ok_or_else(|| "write a port from 1 to 65535, or ADDRESS:PORT such as 127.0.0.1:8080".to_owned())?;
    let user = fleet.servers.values().find(|s| s.network.publish.iter().any(|p| clash(p.host, published.host)));
    match user {
        Some(user) => Err(format!("port {} is published by {} already", published.host.port(), user.name)),
        None => Ok(Some(text)),
    }
}

fn clash(a: std::net::SocketAddr, b: std::net::SocketAddr) -> bool {
    a.port() == b.port() && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

pub(super) fn is_published(server: &Server, port: u16) -> bool {
    server.network.publish.iter().any(|p| p.port == port)
}

fn has_file(server: &Server, path: &str) -> bool {
    server.files.contains_key(path) || server.root_files.contains_key(path)
}

/// What a server lacks of an entry, ports to publish aside.
#[derive(Debug, Default)]
struct Missing {
    lines: Lines,
    remarks: Vec<String>,
}

fn missing(fleet: &Fleet, server: &Server, entry: &CatalogEntry, answers: &Answers) -> Missing {
    let mut m = Missing::default();
    for package in entry.packages.iter().filter(|p| !server.packages.contains_key(*p)) {
        m.lines.set(&["packages", package], string("*"));
    }
    let mut noted = false;
    for unit in &entry.units {
        let known = server.services.iter().find(|(name, _)| Service::unit(name) == Service::unit(unit));
        match known {
            Some((name, service)) if service.masked || service.enabled == Some(false) => {
                m.remarks.push(format!("services.{name} is switched off in the text; that stays so"));
            }
            Some((_, service)) if service.enabled == Some(true) => {}
            known => {
                let name = known.map_or(unit, |(name, _)| name);
                m.lines.set(&["services", name, "enabled"], "true".to_owned());
                if known.is_none() && !noted {
                    noted = true;
                    m.lines.note(&["services", name], &format!("{}: {}", entry.title, entry.summary));
                }
            }
        }
    }
    for (path, file) in &entry.files {
        if has_file(server, path) {
            m.remarks.push(format!("{path} is in the text already; it stays as it is"));
        } else {
            let content = file.content.as_deref().map(|text| filled(text, answers));
            m.lines.file(path, &FileText { content, ..file.clone() });
        }
    }
    for (name, state) in &entry.state {
        state_of(server, entry, name, state, &mut m);
    }
    for (name, check) in &entry.checks {
        let check = Check { kind: filled_check(&check.kind, answers), timeout: check.timeout };
        // A check of the same thing, whatever it expects of it, is somebody's better knowledge.
        if !server.checks.values().any(|c| same_subject(&c.kind, &check.kind)) {
            let name = free_name(name, &entry.name, |n| server.checks.contains_key(n));
            m.lines.check(&name, &check);
        }
    }
    others(fleet, server, entry, &mut m);
    m
}

/// The paths of a state that no state of the server holds yet.
fn state_of(server: &Server, entry: &CatalogEntry, name: &str, state: &State, m: &mut Missing) {
    let below = |a: &str, b: &str| a == b || a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
    let held = |path: &str| server.state.values().flat_map(|s| &s.paths).find(|p| below(path, p) || below(p, path));
    let mut free = state.clone();
    free.paths.retain(|path| held(path).is_none());
    if !free.paths.is_empty() {
        let name = free_name(name, &entry.name, |n| server.state.contains_key(n));
        m.lines.state(&name, &free);
    }
}

/// Other services of this server that want the same port inside.
fn others(fleet: &Fleet, server: &Server, entry: &CatalogEntry, m: &mut Missing) {
    if entry.packages.iter().all(|p| server.packages.contains_key(p)) {
        return;
    }
    for other in offered(fleet).filter(|o| o.name != entry.name) {
        let is_there = other.packages.iter().any(|p| server.packages.contains_key(p));
        if let Some(port) = other.ports.iter().find(|p| is_there && entry.ports.contains(p)) {
            m.remarks.push(format!(
                "{} listens on port {port} as well: only one of the two can, so one needs another port",
                other.title
            ));
        }
    }
}

fn free_name(wanted: &str, second: &str, taken: impl Fn(&str) -> bool) -> String {
    let more = (2..).map(|n| format!("{second}-{n}"));
    [wanted.to_owned(), second.to_owned()].into_iter().chain(more).find(|n| !taken(n)).unwrap_or_default()
}

fn filled(text: &str, answers: &Answers) -> String {
    answers.iter().fold(text.to_owned(), |text, (name, answer)| text.replace(&format!("{{{name}}}"), answer))
}

fn filled_check(kind: &CheckKind, answers: &Answers) -> CheckKind {
    let fill = |text: &String| filled(text, answers);
    let mut kind = kind.clone();
    match &mut kind {
        CheckKind::Unit { .. } | CheckKind::Port { .. } => {}
        CheckKind::Http { url, body, .. } => {
            *url = fill(url);
            *body = body.as_ref().map(fill);
        }
        CheckKind::Command { argv, stdout, .. } => {
            argv.iter_mut().for_each(|word| *word = fill(word));
            *stdout = stdout.as_ref().map(fill);
        }
        CheckKind::File { path, content, .. } => {
            *path = fill(path);
            *content = content.as_ref().map(fill);
        }
    }
    kind
}

fn same_subject(a: &CheckKind, b: &CheckKind) -> bool {
    match (a, b) {
        (CheckKind::Unit { unit: a }, CheckKind::Unit { unit: b }) => a == b,
        (CheckKind::Port { port: a }, CheckKind::Port { port: b }) => a == b,
        (CheckKind::Http { url: a, .. }, CheckKind::Http { url: b, .. }) => a == b,
        (CheckKind::Command { argv: a, .. }, CheckKind::Command { argv: b, .. }) => a == b,
        (CheckKind::File { path: a, .. }, CheckKind::File { path: b, .. }) => a == b,
        _ => false,
    }
}
