//! What a difference means, in four layers: words, effects, keys, text. The same on a draft, a changeset and a comparison.
//!
//! A page that shows one has a field `preview: Preview` and says in its template:
//!
//! ```html
//! {% include "preview.html" %}
//! ```
//!
//! ```text
//! let found = compare::compare(ctx, &Side::Base, &Side::Draft(id.clone()))?;
//! Page { preview: Preview::new(&found), … }
//! ```
//!
//! Each layer can be folded and has its own address on the page: `#words`, `#effects`, `#keys`, `#text`.

use regrow_config::edit::KeyChange;
use regrow_ops::compare::{Comparison, Effects};

use crate::view::{bytes, count, took};

/// The four layers, in words.
#[derive(Debug, Default)]
pub(crate) struct Preview {
    /// Why not everything is known yet.
    pub(crate) unknown: Vec<String>,
    /// Who changes, and how.
    pub(crate) words: Vec<Group>,
    /// What comes of it, for each of them.
    pub(crate) effects: Vec<Effect>,
    /// The keys that differ, file by file.
    pub(crate) keys: Vec<File>,
    /// How many keys are not shown.
    pub(crate) cut_keys: usize,
    /// The unified diff, line by line.
    pub(crate) text: Vec<Line>,
    /// How many lines of the diff are not shown.
    pub(crate) cut: usize,
    /// What is not told in words.
    pub(crate) left: Vec<String>,
    /// How many files differ whose keys and text are not shown.
    pub(crate) cut_files: usize,
    /// How many keys differ in how many files.
    all_keys: (usize, usize),
    /// How many lines come and go.
    all_lines: (usize, usize),
}

/// What changes for one server, one role, or the fleet.
#[derive(Debug)]
pub(crate) struct Group {
    /// "web1", "Role base".
    pub(crate) name: String,
    /// Its page, if it has one.
    pub(crate) href: Option<String>,
    /// Whom it reaches: "reaches web1, web2".
    pub(crate) note: Option<String>,
    /// The sentences.
    pub(crate) words: Vec<String>,
}

/// What comes of it for one server.
#[derive(Debug)]
pub(crate) struct Effect {
    /// Whose.
    pub(crate) name: String,
    /// Kinds of effect, each with its items; long lists end with how many more there are.
    pub(crate) rows: Vec<(&'static str, Vec<String>)>,
    /// Why it can lock people out.
    pub(crate) access: Option<String>,
}

/// One file's keys.
#[derive(Debug)]
pub(crate) struct File {
    /// Relative to the fleet.
    pub(crate) path: String,
    /// Its keys that differ; none if only comments or layout do.
    pub(crate) keys: Vec<Key>,
}

/// A key that differs.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) key: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    /// Its line, in the newer text if it is there.
    pub(crate) line: Option<usize>,
}

/// A line of the diff.
#[derive(Debug)]
pub(crate) struct Line {
    /// `add`, `del`, `at` (where it is) or nothing.
    pub(crate) class: &'static str,
    /// The line, with its `+` or `-`.
    pub(crate) text: String,
}

/// How many items of one kind of effect are shown.
const MOST_ITEMS: usize = 24;
/// How many servers are shown one by one.
const MOST_SERVERS: usize = 40;
/// How many keys are shown, of all files together.
const MOST_KEYS: usize = 300;
/// How many lines of the diff, and how many bytes of one line, are shown.
const MOST_LINES: usize = 1000;
const MOST_BYTES: usize = 2000;

impl Preview {
    /// Of a comparison.
    pub(crate) fn new(found: &Comparison) -> Preview {
        let mut preview = Preview::default();
        if !found.fleet.is_empty() {
            preview.words.push(Group {
                name: "Whole fleet".to_owned(),
                href: None,
                note: None,
                words: found.fleet.clone(),
            });
        }
        for role in &found.roles {
            let note = match role.servers.len() {
                0 => "used by no server".to_owned(),
                n if n <= 4 => format!("reaches {}", role.servers.join(", ")),
                n => format!("reaches {n} servers"),
            };
            let name = format!("Role {}", role.name);
            preview.words.push(Group { name: name.clone(), href: None, note: Some(note), words: role.words.clone() });
            preview.effects.extend(Effect::new(&name, &role.effects));
            if !role.unlocked.is_empty() {
                preview.unknown.push(not_locked(&role.unlocked));
            }
        }
        for server in found.servers.iter().take(MOST_SERVERS) {
            preview.words.push(Group {
                name: server.name.clone(),
                href: Some(format!("/server/{}", server.name)),
                note: None,
                words: server.words.clone(),
            });
            preview.effects.extend(Effect::new(&server.name, &server.effects));
        }
        let more = found.servers.len().saturating_sub(MOST_SERVERS);
        if more > 0 {
            preview.left.push(count(more, "more server changes.", "more servers change."));
        }
        let (servers, files) = (found.left_out.servers, found.left_out.files);
        if servers > 0 {
            let more = count(servers, "more server", "more servers");
            preview.left.push(format!("{more} may change as well: not looked at one by one here."));
        }
        preview.cut_files = files;
        let broken: Vec<&str> = found.servers.iter().filter(|s| s.mistakes > 0).map(|s| &*s.name).collect();
        if !broken.is_empty() {
            preview.unknown.push(format!("The text of {} has mistakes; what they spoil is not told.", names(&broken)));
        }
        let unlocked: Vec<String> =
            found.servers.iter().filter(|s| !s.complete && s.mistakes == 0).map(|s| s.name.clone()).collect();
        if !unlocked.is_empty() {
            preview.unknown.push(not_locked(&unlocked));
        }
        preview.unknown.dedup();
        preview.all_keys = (found.keys.iter().map(|f| f.keys.len()).sum(), found.keys.len());
        let mut room = MOST_KEYS;
        for file in &found.keys {
            let shown: Vec<Key> = file.keys.iter().take(room).map(Key::new).collect();
            room -= shown.len();
            preview.cut_keys += file.keys.len() - shown.len();
            // A file without keys has other changes; one whose keys have no room is not shown.
            if !shown.is_empty() || file.keys.is_empty() {
                preview.keys.push(File { path: file.path.clone(), keys: shown });
            }
        }
        for (n, line) in found.text.lines().enumerate() {
            match class(line) {
                "add" => preview.all_lines.0 += 1,
                "del" => preview.all_lines.1 += 1,
                _ => {}
            }
            if n < MOST_LINES {
                preview.text.push(Line::new(line));
            } else {
                preview.cut += 1;
            }
        }
        preview
    }

    /// How many sentences there are.
    pub(crate) fn words_count(&self) -> String {
        count(self.words.iter().map(|g| g.words.len()).sum(), "sentence", "sentences")
    }

    /// How many effects there are.
    pub(crate) fn effects_count(&self) -> String {
        count(self.effects.iter().map(|e| e.rows.len()).sum(), "kind", "kinds")
    }

    /// How many keys differ in how many files.
    pub(crate) fn keys_count(&self) -> String {
        let (keys, files) = self.all_keys;
        format!("{} in {}", count(keys, "key", "keys"), count(files, "file", "files"))
    }

    /// How many lines come and go.
    pub(crate) fn text_count(&self) -> String {
        let (new, gone) = self.all_lines;
        format!("{} in, {gone} out", count(new, "line", "lines"))
    }
}

fn not_locked(servers: &[String]) -> String {
    let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
    let are = if servers.len() == 1 { "is" } else { "are" };
    format!("{} {are} not locked yet: which packages come and go is known after that.", names(&servers))
}

fn names(all: &[&str]) -> String {
    match all {
        few if few.len() <= 4 => few.join(", "),
        many => format!("{} and {} more servers", many[..3].join(", "), many.len() - 3),
    }
}

/// A value on one line.
fn brief(value: &str) -> String {
    let mut line: String = value.chars().take(160).collect();
    if line.len() < value.len() {
        line.push('…');
    }
    line
}

impl Effect {
    fn new(name: &str, effects: &Effects) -> Option<Effect> {
        let mut rows = Vec::new();
        let mut row = |what: &'static str, all: Vec<String>| {
            let more = all.len().saturating_sub(MOST_ITEMS);
            let mut items: Vec<String> = all.into_iter().take(MOST_ITEMS).collect();
            if more > 0 {
                items.push(format!("and {more} more"));
            }
            if !items.is_empty() {
                rows.push((what, items));
            }
        };
        let packages = effects.packages.iter().map(|p| {
            let size = bytes(p.size);
            match (&p.before, &p.after) {
                (Some(before), Some(after)) => format!("{} {before} → {after} ({size})", p.name),
                (None, Some(after)) => format!("{} {after} is added ({size})", p.name),
                (Some(before), None) => format!("{} {before} is removed", p.name),
                (None, None) => p.name.clone(),
            }
        });
        row("Packages", packages.collect());
        if effects.download > 0 {
            row("To fetch", vec![format!("at most {}", bytes(effects.download))]);
        }
        row("Units", effects.restarts.iter().map(|u| format!("{} {}: {}", u.unit, u.does, u.why)).collect());
        let ports =
            effects.ports.iter().map(|p| format!("{} {} (to {} inside), for {}", p.host, p.change, p.inside, p.reach));
        row("Ports", ports.collect());
        row("Accounts", effects.users.clone());
        row("Files", effects.files.iter().map(|f| format!("{} is {}", f.path, f.change)).collect());
        row("Kept data touched", effects.state.clone());
        if rows.is_empty() && effects.access_critical.is_empty() {
            return None;
        }
        let interruption = match (effects.interruption, effects.interruption_of) {
            (Some(seconds), n) => {
                format!("about {}, by the last {}", took(seconds), count(n, "switch", "switches"))
            }
            (None, _) => "not known before the first switch; connections wait meanwhile".to_owned(),
        };
        rows.push(("Interruption", vec![interruption]));
        let access = (!effects.access_critical.is_empty())
            .then(|| format!("This can lock people out: {}.", effects.access_critical.join(", ")));
        Some(Effect { name: name.to_owned(), rows, access })
    }
}

impl Key {
    fn new(k: &KeyChange) -> Key {
        Key {
            key: k.key.to_string(),
            before: k.before.as_deref().map(brief),
            after: k.after.as_deref().map(brief),
            line: k.line_after.or(k.line_before),
        }
    }
}

/// What a line of a unified diff is.
fn class(line: &str) -> &'static str {
    match line.as_bytes() {
        [b'd', b'i', b'f', b'f', b' ', ..] => "at",
        [b'+', b'+', b'+', b' ', ..] | [b'-', b'-', b'-', b' ', ..] => "at",
        [b'@', b'@', ..] => "at",
        [b'+', ..] => "add",
        [b'-', ..] => "del",
        _ => "",
    }
}

impl Line {
    fn new(line: &str) -> Line {
        let mut text: String = line.chars().take(MOST_BYTES).collect();
        if text.len() < line.len() {
            text.push('…');
        }
        Line { class: class(line), text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regrow_config::KeyPath;
    use regrow_ops::compare::{FileKeys, RoleComparison, ServerComparison};

    #[test]
    fn a_preview_says_what_is_not_known_and_cuts_what_is_long() {
        let words = vec!["nginx is added".to_owned()];
        let servers = vec![ServerComparison { name: "web1".into(), words: words.clone(), ..Default::default() }];
        let reached: Vec<String> = (0..9).map(|n| format!("web{n}")).collect();
        let roles = vec![RoleComparison {
            name: "base".into(),
            words,
            servers: reached.clone(),
            unlocked: reached,
            ..Default::default()
        }];
        let text = format!("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n{}", "+line\n".repeat(5000));
        let preview = Preview::new(&Comparison { servers, roles, text, ..Default::default() });
        assert_eq!(preview.words.iter().map(|g| &*g.name).collect::<Vec<_>>(), ["Role base", "web1"]);
        assert_eq!(preview.words[0].note.as_deref(), Some("reaches 9 servers"));
        assert_eq!(preview.unknown.len(), 2, "{:?}", preview.unknown);
        assert!(preview.unknown[0].starts_with("web0, web1, web2 and 6 more servers are not locked yet"));
        assert_eq!((preview.text.len(), preview.cut), (MOST_LINES, 5004 - MOST_LINES));
        assert_eq!(preview.text[4].class, "add");
        assert_eq!(preview.text_count(), "5000 lines in, 0 out", "what is not shown is counted all the same");

        let key = |n: usize| KeyChange {
            key: KeyPath(vec![format!("k{n}")]),
            before: None,
            after: Some(n.to_string()),
            line_before: None,
            line_after: Some(n),
        };
        let file = |path: &str, n: usize| FileKeys { path: path.to_owned(), keys: (0..n).map(key).collect() };
        let keys = vec![file("a", 0), file("b", MOST_KEYS - 1), file("c", 3), file("d", 2)];
        let preview = Preview::new(&Comparison { keys, ..Default::default() });
        let shown: Vec<_> = preview.keys.iter().map(|f| (&*f.path, f.keys.len())).collect();
        assert_eq!(shown, [("a", 0), ("b", MOST_KEYS - 1), ("c", 1)]);
        assert_eq!((preview.cut_keys, &*preview.keys_count()), (4, "304 keys in 4 files"));
    }
}
