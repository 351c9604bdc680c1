//! What is no service of the catalog: a package, a user, a timer, an open port, a file.

use regrow_config::catalog::{AskKind, Category};
use regrow_config::{Fleet, Server};

use super::lines::{Lines, list, string};
use super::service::{objection, publish};
use super::{Addition, Answers, Form, Offer, Question, There, Wrong, ports};

/// A kind of thing; it can be added any number of times.
pub(super) struct Thing {
    /// Its name in addresses and commands.
    pub(super) id: &'static str,
    title: &'static str,
    summary: &'static str,
    category: Category,
    remark: &'static str,
    questions: fn(&Fleet) -> Vec<Question>,
    plan: fn(&Fleet, &Server, &mut Draft<'_>),
}

/// All of them.
pub(super) const THINGS: &[Thing] = &[
    Thing {
        id: "user",
        title: "User",
        summary: "A person who may log in.",
        category: Category::Access,
        remark: "",
        questions: user_questions,
        plan: user,
    },
    Thing {
        id: "port",
        title: "Open port",
        summary: "Lets the world reach a port of the server, as one opens it in a firewall.",
        category: Category::Access,
        remark: "There are no firewall rules to keep: nothing from outside reaches a server unless its port is published.",
        questions: port_questions,
        plan: port,
    },
    Thing {
        id: "timer",
        title: "Timer (cron job)",
        summary: "Runs a command at given times.",
        category: Category::Schedules,
        remark: "",
        questions: timer_questions,
        plan: timer,
    },
    Thing {
        id: "file",
        title: "File",
        summary: "A file with this text, at its place on the server.",
        category: Category::Files,
        remark: "Long files and whole trees are better put into root/ beside the server's text, which is laid over the image.",
        questions: file_questions,
        plan: file,
    },
    Thing {
        id: "package",
        title: "Package",
        summary: "Any package of Debian, by its name.",
        category: Category::Packages,
        remark: "",
        questions: package_questions,
        plan: package,
    },
];

/// What comes of the answers to a thing's questions.
struct Draft<'a> {
    answers: &'a Answers,
    lines: Lines,
    wrong: Vec<Wrong>,
    remarks: Vec<String>,
    what: String,
}

impl<'a> Draft<'a> {
    fn answer(&self, question: &str) -> &'a str {
        self.answers.get(question).map(String::as_str).unwrap_or_default()
    }

    fn wrong(&mut self, question: &str, message: impl Into<String>) {
        self.wrong.push(Wrong { question: question.to_owned(), message: message.into() });
    }

    fn judge(&mut self, question: &str, kind: AskKind) {
        if let Some(message) = objection(kind, self.answer(question)) {
            self.wrong(question, message);
        }
    }
}

impl Thing {
    pub(super) fn offer(&self) -> Offer {
        Offer {
            id: self.id.to_owned(),
            title: self.title.to_owned(),
            summary: self.summary.to_owned(),
            category: self.category,
            there: There::No,
        }
    }

    pub(super) fn form(&self, fleet: &Fleet, _: &Server) -> Form {
        let remarks = Some(self.remark.to_owned()).into_iter().filter(|r| !r.is_empty()).collect();
        Form { offer: self.offer(), questions: (self.questions)(fleet), remarks }
    }

    pub(super) fn plan(&self, fleet: &Fleet, server: &Server, answers: &Answers) -> Result<Addition, Vec<Wrong>> {
        let mut draft =
            Draft { answers, lines: Lines::default(), wrong: Vec::new(), remarks: Vec::new(), what: String::new() };
        (self.plan)(fleet, server, &mut draft);
        if !draft.wrong.is_empty() {
            return Err(draft.wrong);
        }
        let message = format!("{}: add {}", server.name, draft.what);
        Ok(Addition { edits: draft.lines.edits, remarks: draft.remarks, message })
    }
}

fn question(name: &str, words: &str, help: &str, default: &str) -> Question {
    Question {
        name: name.to_owned(),
        words: words.to_owned(),
        help: help.to_owned(),
        default: default.to_owned(),
        required: true,
        ..Question::default()
    }
}

fn optional(name: &str, words: &str, help: &str) -> Question {
    Question { required: false, ..question(name, words, help, "") }
}

fn choice(name: &str, words: &str, help: &str, choices: &[(&str, &str)]) -> Question {
    let default = choices.first().map_or("", |(value, _)| value);
    let choices = choices.iter().map(|(value, words)| ((*value).to_owned(), (*words).to_owned())).collect();
    Question { choices, ..question(name, words, help, default) }
}

fn user_questions(_: &Fleet) -> Vec<Question> {
    vec![
        question("name", "Name", "Small letters, digits, `-` and `_`.", ""),
        optional("comment", "Full name", ""),
        optional("key", "Public key for SSH", "The line of the .pub file: ssh-ed25519 AAAA… name"),
        choice("admin", "May do what root may", "By the command sudo.", &[("no", "No"), ("yes", "Yes, by sudo")]),
    ]
}

fn user(_: &Fleet, server: &Server, draft: &mut Draft<'_>) {
    let name = draft.answer("name");
    draft.what = format!("the user {name}");
    let fits = name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'));
    if !fits {
        draft.wrong("name", "use small letters, digits, `-` and `_`; at most 32, the first a letter or `_`");
    } else if server.users.contains_key(name) {
        draft.wrong("name", format!("{} has a user {name} already: change that one", server.name));
    }
    let comment = draft.answer("comment");
    if comment.contains(':') {
        draft.wrong("comment", "leave out the `:`; the file of accounts uses it between its fields");
    }
    if draft.answer("admin") == "yes" && !server.packages.contains_key("sudo") {
        draft.lines.set(&["packages", "sudo"], string("*"));
    }
    // Every person's table has a line, so that it is there at all.
    let key = draft.answer("key");
    if !comment.is_empty() || (key.is_empty() && draft.answer("admin") != "yes") {
        draft.lines.set(&["users", name, "comment"], string(comment));
    }
    if draft.answer("admin") == "yes" {
        draft.lines.set(&["users", name, "groups"], list(&["sudo"]));
    }
    if key.is_empty() {
        draft.remarks.push(format!("{name} has neither key nor password, so nobody can log in as {name} yet"));
    } else {
        draft.lines.set(&["users", name, "ssh_keys"], list(&[key]));
        if !server.packages.contains_key("openssh-server") {
            draft.remarks.push("the server has no SSH yet: add OpenSSH server as well".to_owned());
        }
    }
}

fn port_questions(fleet: &Fleet) -> Vec<Question> {
    let free = ports::free(fleet, 80, &[]);
    vec![
        question("inside", "Port inside the server", "Where the service listens.", "80"),
        choice(
            "from",
            "Who may reach it",
            "",
            &[("127.0.0.1", "Only the machine that runs the server"), ("0.0.0.0", "Everyone who reaches that machine")],
        ),
        question("outside", "Port of the machine that runs the server", "", &free.to_string()),
    ]
}

fn port(fleet: &Fleet, server: &Server, draft: &mut Draft<'_>) {
    draft.judge("inside", AskKind::Port);
    draft.judge("outside", AskKind::Port);
    let (inside, outside, from) = (draft.answer("inside"), draft.answer("outside"), draft.answer("from"));
    draft.what = format!("port {inside} published as {from}:{outside}");
    if !draft.wrong.is_empty() {
        return;
    }
    match publish(fleet, &format!("{from}:{outside}"), inside.parse().unwrap_or_default()) {
        Ok(Some(text)) => draft.lines.add(&["network", "publish"], string(&text)),
        Ok(None) => {}
        Err(message) => draft.wrong("outside", message),
    }
    if let Some(known) = server.network.publish.iter().find(|p| p.port.to_string() == inside) {
        draft.remarks.push(format!("port {inside} is published as {} already", known.host));
    }
}

fn timer_questions(_: &Fleet) -> Vec<Question> {
    vec![
        question("name", "Name", "Letters, digits, `-` and `_`.", ""),
        question("when", "When", "As systemd writes it: daily, hourly, Mon *-*-* 03:00, *:0/15.", "daily"),
        question(
            "command",
            "Command",
            "The program with its whole path, and its arguments; quotes keep words together. No shell: write \
             /bin/sh -c '…' for one.",
            "",
        ),
        question("user", "Runs as", "", "root"),
        choice(
            "persistent",
            "A run missed while the server was down",
            "",
            &[("no", "is left out"), ("yes", "is made up for at the next start")],
        ),
    ]
}

fn timer(_: &Fleet, server: &Server, draft: &mut Draft<'_>) {
    let name = draft.answer("name");
    draft.what = format!("the timer {name}");
    if !is_object_name(name) {
        draft.wrong("name", "use letters, digits, `-` and `_`; at most 63, the first a letter or digit");
    } else if server.timers.contains_key(name) {
        draft.wrong("name", format!("{} has a timer {name} already: change that one", server.name));
    }
    let argv = match words(draft.answer("command")) {
        Ok(argv) => argv,
        Err(message) => {
            draft.wrong("command", message);
            Vec::new()
        }
    };
    if argv.first().is_some_and(|program| !program.starts_with('/')) {
        draft.wrong("command", "write the program's whole path, such as /usr/bin/rsync");
    }
    draft.lines.set(&["timers", name, "on_calendar"], string(draft.answer("when")));
    draft.lines.set(&["timers", name, "command"], list(&argv));
    if draft.answer("user") != "root" {
        draft.lines.set(&["timers", name, "user"], string(draft.answer("user")));
    }
    if draft.answer("persistent") == "yes" {
        draft.lines.set(&["timers", name, "persistent"], "true".to_owned());
    }
}

fn is_object_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// A command line as words: blanks part them, quotes keep them together, `\` takes the next character as it is.
fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().push(chars.next().ok_or("nothing follows the last `\\`")?),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_some() { Err("a quote is not closed") } else { Ok(words) }
}

fn file_questions(_: &Fleet) -> Vec<Question> {
    vec![
        question("path", "Path", "On the server, from `/`.", ""),
        Question { lines: true, required: false, ..question("content", "Text", "", "") },
        question("mode", "Permissions", "In octal: 0644 all may read, 0600 only the owner, 0755 a program.", "0644"),
        question("owner", "Owner", "", "root"),
    ]
}

fn file(_: &Fleet, server: &Server, draft: &mut Draft<'_>) {
    let path = draft.answer("path");
    draft.what = path.to_owned();
    draft.judge("path", AskKind::Path);
    if path.ends_with('/') || path.contains("//") {
        draft.wrong("path", "write the path of a file: no `/` at its end, none twice");
    } else if server.files.contains_key(path) {
        draft.wrong("path", format!("{path} is in the text of {} already: change it there", server.name));
    } else if let Some(known) = server.root_files.get(path) {
        draft.wrong("path", format!("{path} is a file of the fleet already: {}", known.source));
    }
    let mode = draft.answer("mode");
    if !(3..=5).contains(&mode.len()) || u32::from_str_radix(mode, 8).is_ok_and(|m| m > 0o7777) {
        draft.wrong("mode", "write three or four digits from 0 to 7, such as 0644");
    } else if u32::from_str_radix(mode, 8).is_err() {
        draft.wrong("mode", "only the digits 0 to 7 can be in it, such as 0644");
    }
    let mut content = draft.answer("content").to_owned();
    if !content.is_empty() && !content.ends_with('\n') {
        content.push('\n');
    }
    draft.lines.set(&["files", path, "content"], string(&content));
    if mode != "0644" {
        draft.lines.set(&["files", path, "mode"], string(mode));
    }
    if draft.answer("owner") != "root" {
        draft.lines.set(&["files", path, "owner"], string(draft.answer("owner")));
    }
}

fn package_questions(_: &Fleet) -> Vec<Question> {
    vec![question("name", "Name", "As Debian calls it; `regrow search WORDS` and the search above find it.", "")]
}

fn package(_: &Fleet, server: &Server, draft: &mut Draft<'_>) {
    let name = draft.answer("name");
    draft.what = format!("the package {name}");
    let fits = name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c));
    if !fits {
        draft.wrong("name", "a package's name has small letters, digits, `+`, `-` and `.`");
    } else if server.packages.contains_key(name) {
        draft.remarks.push(format!("{} has {name} already", server.name));
    } else {
        draft.lines.set(&["packages", name], string("*"));
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_command_line_is_taken_apart_as_a_shell_would() {
        assert_eq!(words("/bin/a b  'c d' \"e 'f'\" g\\ h ''").unwrap(), ["/bin/a", "b", "c d", "e 'f'", "g h", ""]);
        assert_eq!(words("  ").unwrap(), [""; 0]);
        for bad in ["'a", "\"a", "a\\"] {
            assert!(words(bad).is_err(), "{bad}");
        }
    }
}
