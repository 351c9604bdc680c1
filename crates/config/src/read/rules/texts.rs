//! Words of other programs: host names, time zones, addresses, keys, commands.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::words;
use crate::read::{Cx, Hint, Node, Report, Rule};

fn bad(text: &str, what: &str, help: &str) -> Report {
    Report::new("bad-value", format!("{text:?} is no {what}")).help(help)
}

words! {
    /// Any text without NUL.
    Text -> String, hint Hint::Lines, |text| {
        if text.contains('\0') { Err(bad(text, "text", "it has a NUL character")) } else { Ok(text.to_owned()) }
    };

    /// The name of an environment variable.
    EnvName -> String, pattern "^[A-Za-z_][A-Za-z0-9_]*$", |text| {
        let fits = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if fits { Ok(text.to_owned()) } else { Err(bad(text, "name of a variable", "use letters, digits and `_`")) }
    };

    /// Any text of one line.
    OneLineText -> String, pattern "^[^\\n\\r]*$", |text| {
        if text.chars().any(char::is_control) { Err(bad(text, "text of one line", "remove the line breaks")) } else { Ok(text.to_owned()) }
    };

    /// One line that may stand in `/etc/passwd`.
    OneLine -> String, pattern "^[^:\\n\\r]*$", |text| {
        if text.chars().any(|c| c == ':' || c.is_control()) {
            Err(bad(text, "comment for an account", "use one line without `:`"))
        } else { Ok(text.to_owned()) }
    };

    /// A host name, with or without domain.
    Hostname -> String, pattern "^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$", |text| {
        let fits = !text.is_empty() && text.len() <= 64 && text.split('.').all(|label| {
            (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        });
        if fits { Ok(text.to_owned()) } else if text.is_empty() {
            Err(Report::new("bad-value", "the host name is empty").help("name the machine, or leave the key out: then it is the server's name"))
        } else {
            Err(bad(text, "host name", "use letters, digits and `-`, with dots between the parts; at most 64"))
        }
    };

    /// A time zone as the tz database names it.
    Timezone -> String, pattern "^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$", |text| {
        let fits = text.starts_with(|c: char| c.is_ascii_uppercase()) && text.split('/').count() <= 3
            && text.split('/').all(|part| !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-')));
        if fits { Ok(text.to_owned()) } else {
            Err(bad(text, "time zone", "write it as the tz database does, such as \"Europe/Berlin\" or \"Etc/UTC\""))
        }
    };

    /// A locale of glibc.
    Locale -> String, pattern "^(C|POSIX|C\\.UTF-8|[a-z]{2,3}_[A-Z]{2}(\\.[A-Za-z0-9-]+)?(@[a-z]+)?)$", |text| {
        let (base, modifier) = text.split_once('@').unwrap_or((text, "x"));
        let (base, charset) = base.split_once('.').unwrap_or((base, "UTF-8"));
        let known = matches!(base, "C" | "POSIX") || base.split_once('_').is_some_and(|(language, land)| {
            (2..=3).contains(&language.len()) && language.chars().all(|c| c.is_ascii_lowercase())
                && land.len() == 2 && land.chars().all(|c| c.is_ascii_uppercase())
        });
        let fits = known && !charset.is_empty() && charset.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !modifier.is_empty() && modifier.chars().all(|c| c.is_ascii_lowercase());
        if fits { Ok(text.to_owned()) } else {
            Err(bad(text, "locale", "write it like \"C.UTF-8\" or \"de_DE.UTF-8\""))
        }
    };

    /// When a timer runs. systemd has the last word on its grammar.
    Calendar -> String, |text| {
        let fits = !text.trim().is_empty() && text.len() <= 256
            && text.chars().all(|c| c.is_ascii_alphanumeric() || " *-:,./~+_".contains(c));
        if fits { Ok(text.to_owned()) } else {
            Err(bad(text, "time", "write it as systemd's OnCalendar, such as \"daily\" or \"Mon *-*-* 03:00\""))
        }
    };

    /// A password as a crypt(5) hash.
    CryptHash -> String, |text| {
        let locked = matches!(text, "!" | "*" | "!*");
        let fits = text.starts_with('$') && text.split('$').count() >= 4 && text.len() <= 512
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "$./=,-_+".contains(c));
        if fits || locked { Ok(text.to_owned()) } else {
            // The value may be a password: it is not repeated.
            Err(Report::new("secret-in-text", "this is no password hash; it may be a password")
                .help("put the output of `mkpasswd -m yescrypt` here, never the password itself"))
        }
    };

    /// A public key for SSH, as in authorized_keys.
    SshKey -> String, |text| {
        if text.contains("PRIVATE KEY") {
            return Err(Report::new("secret-in-text", "a private key stands here")
                .help("put the public half here (the file ending in .pub), and treat this private key as lost"));
        }
        let mut words = text.split(' ');
        let known = |word: &str| word.starts_with("ssh-") || word.starts_with("ecdsa-sha2-") || word.starts_with("sk-");
        let body = words.by_ref().find(|word| known(word)).and_then(|_| words.next());
        let fits = !text.chars().any(char::is_control)
            && body.is_some_and(|b| b.len() >= 16 && b.chars().all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c)));
        if fits { Ok(text.to_owned()) } else {
            let shown: String = text.chars().take(24).collect();
            Err(bad(&shown, "public key for SSH", "copy the whole line of the .pub file: \"ssh-ed25519 AAAA… name\""))
        }
    };

    /// The address of an archive.
    MirrorUrl -> String, pattern "^(https?|file)://.+$", |text| {
        let rest = ["http://", "https://", "file:///"].iter().find_map(|scheme| text.strip_prefix(scheme));
        match rest {
            Some(rest) if !rest.is_empty() && !rest.contains('@')
                && !text.chars().any(|c| c.is_whitespace() || c.is_control() || "?#\"<>".contains(c)) => {
                Ok(text.trim_end_matches('/').to_owned())
            }
            Some(rest) if rest.contains('@') => Err(Report::new("secret-in-text", "the address holds a user name or password")
                .help("secrets do not belong in the fleet; use an archive that needs none")),
            _ => Err(bad(text, "address of an archive", "write it like \"https://HOST/debian\", up to and without /dists")),
        }
    };

    /// An `http://` address that a check asks.
    Url -> String, pattern "^http://.+$", |text| {
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(bad(text, "address for a check", "write it like \"http://localhost/\"; https is not checked yet"));
        };
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let port_fits = match host.rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => port.parse::<u16>().is_ok_and(|p| p > 0),
            _ => true,
        };
        let fits = !host.is_empty() && !host.starts_with(':') && port_fits && !host.contains('@')
            && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        if fits { Ok(text.to_owned()) } else { Err(bad(text, "address for a check", "write it like \"http://localhost:8080/health\"")) }
    };
}

/// A program by its absolute path, and its arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Command;

impl Rule for Command {
    type Out = Vec<String>;

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<Vec<String>> {
        let help = "write program and arguments one by one: [\"/usr/bin/curl\", \"-f\", \"http://localhost/\"]";
        if !matches!(node.value, crate::read::Value::Array(_)) {
            cx.wrong_type(node, "an array of strings", Some(help.to_owned()));
            return None;
        }
        let argv = <Vec<Text> as Rule>::read(node, cx)?;
        let message = match argv.first() {
            None => format!("`{}` has no program", cx.path()),
            Some(program) if !program.starts_with('/') => {
                format!("the program of `{}` must be an absolute path, not {program:?}", cx.path())
            }
            Some(_) => return Some(argv),
        };
        cx.report(node.at, Report::new("bad-value", message).help(help));
        None
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": { "type": "string" }, "minItems": 1 })
    }

    const HINT: Hint = Hint::List(&Hint::Line(None));
}
