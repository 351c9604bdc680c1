//! Maintainer scripts: calls of adduser, addgroup, useradd and groupadd, with names that are literal or come from simple
//! assignments (`NAME=www-data`, `${NAME:-www-data}`).

use std::collections::BTreeMap;

use super::Accounts;

/// Reads one script.
pub(super) fn read(script: &str, into: &mut Accounts) {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    for command in commands(script) {
        // `NAME=value` alone, or before a command, or after `export`, `local`, `readonly`.
        let mut args: Vec<Option<String>> = Vec::new();
        for word in &command {
            let word = expand(word, &mut variables);
            if args.is_empty() {
                if let Some((name, value)) = word.as_deref().and_then(assignment) {
                    variables.insert(name.to_owned(), value.to_owned());
                    continue;
                }
                if word.as_deref().is_some_and(is_prefix) {
                    continue;
                }
            }
            args.push(word);
        }
        let Some(Some(program)) = args.first() else { continue };
        let program = program.rsplit('/').next().unwrap_or_default().to_owned();
        let args = &args[1..];
        match program.as_str() {
            "adduser" | "addgroup" => adduser(program == "addgroup", args, into),
            "useradd" => useradd(args, into),
            "groupadd" => groupadd(args, into),
            _ => {}
        }
    }
}

/// Words that stand before a command without being one.
fn is_prefix(word: &str) -> bool {
    [
        "if", "then", "else", "elif", "do", "while", "until", "!", "{", "export", "local", "readonly", "exec",
        "command", "time",
    ]
    .contains(&word)
}

fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let valid = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.as_bytes()[0].is_ascii_digit();
    valid.then_some((name, value))
}

/// One word in pieces: what is literal, and what the shell would expand.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Variable { name: String, default: Option<String>, assigns: bool },
    Unknown,
}

/// The script as commands of words. Good enough for scripts that set up accounts; what it misreads is not found.
fn commands(script: &str) -> Vec<Vec<Vec<Piece>>> {
    let script = script.replace("\\\n", " ");
    let mut commands = Vec::new();
    let mut command: Vec<Vec<Piece>> = Vec::new();
    let mut word: Option<Vec<Piece>> = None;
    let mut chars = script.chars().peekable();
    let mut quoted = false;
    fn text(word: &mut Option<Vec<Piece>>, c: char) {
        let pieces = word.get_or_insert_default();
        match pieces.last_mut() {
            Some(Piece::Text(t)) => t.push(c),
            _ => pieces.push(Piece::Text(c.to_string())),
        }
    }
    while let Some(c) = chars.next() {
        match c {
            '\'' if !quoted => {
                word.get_or_insert_default();
                for c in chars.by_ref().take_while(|c| *c != '\'') {
                    text(&mut word, c);
                }
            }
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' => {
                if let Some(c) = chars.next() {
                    text(&mut word, c);
                }
            }
            '$' => match chars.peek() {
                Some('{') => {
                    chars.next();
                    let inner: String = chars.by_ref().take_while(|c| *c != '}').collect();
                    word.get_or_insert_default().push(braces(&inner));
                }
                Some('(') => {
                    // A command inside: its words are read as a command of its own, its value is not known.
                    word.get_or_insert_default().push(Piece::Unknown);
                }
                Some(c) if c.is_ascii_alphanumeric() || *c == '_' => {
                    let mut name = String::new();
                    while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                        name.push(c);
                    }
                    word.get_or_insert_default().push(Piece::Variable { name, default: None, assigns: false });
                }
                _ => word.get_or_insert_default().push(Piece::Unknown),
            },
            c if quoted => text(&mut word, c),
            '#' if word.is_none() => {
                // A comment; the line end after it still ends the command.
                while chars.next_if(|c| *c != '\n').is_some() {}
            }
            '\n' | ';' | '|' | '&' | '(' | ')' | '`' => {
                command.extend(word.take());
                if !command.is_empty() {
                    commands.push(std::mem::take(&mut command));
                }
            }
            '<' | '>' => command.extend(word.take()),
            c if c.is_whitespace() => command.extend(word.take()),
            c => text(&mut word, c),
        }
    }
    command.extend(word);
    commands.push(command);
    commands
}

/// What is between `${` and `}`.
fn braces(inner: &str) -> Piece {
    let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
    let (name, rest) = inner.split_at(end);
    let name = name.to_owned();
    let clean = |s: &str| s.trim_matches(['"', '\'']).to_owned();
    for (operator, assigns) in [(":-", false), ("-", false), (":=", true), ("=", true)] {
        if let Some(default) = rest.strip_prefix(operator) {
            return Piece::Variable { name, default: Some(clean(default)), assigns };
        }
    }
    if rest.is_empty() && !name.is_empty() {
        Piece::Variable { name, default: None, assigns: false }
    } else {
        Piece::Unknown
    }
}

/// The word's value; `None` if the shell alone would know it.
fn expand(word: &[Piece], variables: &mut BTreeMap<String, String>) -> Option<String> {
    let mut out = String::new();
    for piece in word {
        match piece {
            Piece::Text(t) => out.push_str(t),
            Piece::Unknown => return None,
            Piece::Variable { name, default, assigns } => match (variables.get(name), default) {
                (Some(value), _) => out.push_str(value),
                (None, Some(default)) if !default.contains('$') => {
                    if *assigns {
                        variables.insert(name.clone(), default.clone());
                    }
                    out.push_str(default);
                }
                (None, _) => return None,
            },
        }
    }
    Some(out)
}

/// Options and names of a call. `valued` says which options take a value.
struct Call {
    options: BTreeMap<String, Option<String>>,
    names: Vec<Option<String>>,
}

fn call(args: &[Option<String>], valued: &[&str]) -> Call {
    let mut call = Call { options: BTreeMap::new(), names: Vec::new() };
    let mut args = args.iter();
    let mut only_names = false;
    while let Some(arg) = args.next() {
        match arg.as_deref() {
            Some("--") => only_names = true,
            Some(option) if option.starts_with('-') && !only_names => match option.split_once('=') {
                Some((name, value)) => {
                    call.options.insert(name.to_owned(), Some(value.to_owned()));
                }
                None if valued.contains(&option) => {
                    call.options.insert(option.to_owned(), args.next().cloned().flatten());
                }
                // "-rg" and the like: the last letter may take a value.
                None if !option.starts_with("--") && option.len() > 2 => {
                    for letter in option.chars().skip(1) {
                        call.options.insert(format!("-{letter}"), None);
                    }
                    let last = format!("-{}", option.chars().last().unwrap_or_default());
                    if valued.contains(&last.as_str()) {
                        call.options.insert(last, args.next().cloned().flatten());
                    }
                }
                None => {
                    call.options.insert(option.to_owned(), None);
                }
            },
            // A redirection's number and file are no names; `2>/dev/null` leaves both as words.
            Some("2" | "1" | "/dev/null") if !only_names => {}
            _ => call.names.push(arg.clone()),
        }
    }
    call
}

impl Call {
    fn has(&self, options: &[&str]) -> bool {
        options.iter().any(|o| self.options.contains_key(*o))
    }

    fn id(&self, options: &[&str]) -> Option<u32> {
        options.iter().find_map(|o| self.options.get(*o)?.as_deref()?.parse().ok())
    }

    fn name(&self) -> Option<&str> {
        self.names.first()?.as_deref()
    }
}

fn adduser(group_program: bool, args: &[Option<String>], into: &mut Accounts) {
    let valued = [
        "--home",
        "--shell",
        "--uid",
        "--gid",
        "--ingroup",
        "--gecos",
        "--comment",
        "--firstuid",
        "--lastuid",
        "--firstgid",
        "--lastgid",
        "--conf",
        "--add-extra-groups",
    ];
    let call = call(args, &valued);
    // Two names: the first joins the second, which must be there.
    let (Some(name), 1) = (call.name(), call.names.len()) else { return };
    if group_program || call.has(&["--group"]) && !call.has(&["--system"]) {
        return into.group(name, call.id(&["--gid"]));
    }
    into.user(name, call.id(&["--uid"]));
    let joins = call.has(&["--ingroup", "--gid"]);
    // A system user without a group of its own is in nogroup; a person has one.
    if call.has(&["--group"]) || !call.has(&["--system"]) && !joins {
        into.group(name, call.id(&["--uid"]));
    }
}

fn useradd(args: &[Option<String>], into: &mut Accounts) {
    let valued = [
        "-b",
        "--base-dir",
        "-c",
        "--comment",
        "-d",
        "--home-dir",
        "--home",
        "-e",
        "--expiredate",
        "-f",
        "--inactive",
        "-g",
        "--gid",
        "-G",
        "--groups",
        "-k",
        "--skel",
        "-K",
        "--key",
        "-p",
        "--password",
        "-R",
        "--root",
        "-P",
        "--prefix",
        "-s",
        "--shell",
        "-u",
        "--uid",
        "-Z",
        "--selinux-user",
    ];
    let call = call(args, &valued);
    let Some(name) = call.name() else { return };
    into.user(name, call.id(&["-u", "--uid"]));
    if !call.has(&["-g", "--gid", "-N", "--no-user-group"]) {
        into.group(name, call.id(&["-u", "--uid"]));
    }
}

fn groupadd(args: &[Option<String>], into: &mut Accounts) {
    let call = call(
        args,
        &["-g", "--gid", "-K", "--key", "-p", "--password", "-R", "--root", "-P", "--prefix", "-U", "--users"],
    );
    if let Some(name) = call.name() {
        into.group(name, call.id(&["-g", "--gid"]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(script: &str) -> String {
        let mut accounts = Accounts::default();
        read(script, &mut accounts);
        let list = |m: &BTreeMap<String, crate::accounts::Account>| {
            m.iter().map(|(n, a)| a.id.map_or(n.clone(), |id| format!("{n}={id}"))).collect::<Vec<_>>().join(" ")
        };
        format!("u: {} g: {}", list(&accounts.users), list(&accounts.groups))
    }

    #[test]
    fn ways_that_scripts_make_accounts() {
        for (script, want) in [
            ("adduser --quiet --system --group --home /var/lib/x x\n", "u: x g: x"),
            ("adduser --system --no-create-home --home /run/sshd --shell /usr/sbin/nologin sshd", "u: sshd g: "),
            ("if ! getent passwd a >/dev/null; then\n  adduser \\\n  --system --ingroup \"b c\" a\nfi", "u: a g: "),
            ("addgroup --system --quiet ssl-cert || true", "u:  g: ssl-cert"),
            ("getent group x >/dev/null || addgroup --gid 77 x 2>/dev/null", "u:  g: x=77"),
            ("USER=foo; GROUP=\"bar\"\nadduser --system --ingroup $GROUP \"${USER}\"", "u: foo g: "),
            ("adduser --system --group ${WHO:-baz}", "u: baz g: baz"),
            (": ${WHO:=baz}\naddgroup $WHO", "u:  g: baz"),
            ("adduser www-data ssl-cert", "u:  g: "),
            ("adduser --system $(cat /etc/name)", "u:  g: "),
            ("adduser --system $UNKNOWN", "u:  g: "),
            ("# adduser --system x\necho 'adduser --system y'", "u:  g: "),
            ("useradd -r -g mail -d /x -s /bin/false z && groupadd -rg 50 q", "u: z g: q=50"),
            ("/usr/sbin/useradd --system --user-group --uid=99 z", "u: z=99 g: z=99"),
            ("( groupadd --system crontab; )", "u:  g: crontab"),
            ("adduser --system --group --gecos \"a b\" -- n", "u: n g: n"),
        ] {
            assert_eq!(show(script), want, "{script}");
        }
    }
}
