//! The list of a server's objects, as the server's page has it.

use std::collections::BTreeMap;

use regrow_config::objects::{Control, Difference, Object};
use regrow_ops::objects::{Standing, View};

use super::{BrokenView, Shown, address, broken, draft_word, file, href, online_word, shown};
use crate::view::{Mark, Tone, count};

/// Everything a server is made of.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) shown: Shown,
    pub(crate) broken: Vec<BrokenView>,
    pub(crate) find: String,
    pub(crate) found: String,
    pub(crate) groups: Vec<Branch>,
    /// Files of text: name and address.
    pub(crate) files: Vec<(String, String)>,
}

/// The objects of a kind.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) kind: &'static str,
    pub(crate) title: &'static str,
    /// Of a kind that has one object only: its address.
    pub(crate) href: Option<String>,
    pub(crate) count: usize,
    pub(crate) items: Vec<Item>,
}

/// One object.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) href: Option<String>,
    /// The most telling value.
    pub(crate) value: Option<String>,
    /// What a search looks at, in small letters.
    pub(crate) find: String,
    pub(crate) marks: Vec<Mark>,
}

/// How many files of `root/` are listed.
const MOST_FILES: usize = 200;

impl Tree {
    /// The list, or what of it has all words of `find`.
    pub(crate) fn new(found: &View, find: Option<&str>) -> Tree {
        let objects = &found.objects;
        let server = &objects.server;
        let standings = found.standings();
        let find = find.unwrap_or_default().trim();
        let words: Vec<String> = find.to_lowercase().split_whitespace().map(str::to_owned).collect();
        let fits = |item: &Item| words.iter().all(|word| item.find.contains(word.as_str()));
        let mut groups = Vec::new();
        let mut hits = 0;
        for group in &objects.groups {
            let mut items: Vec<Item> = group.objects.iter().map(|o| item(server, group.title, o, &standings)).collect();
            items.extend(removed(server, group.kind, group.title, &standings));
            items.sort_by(|a, b| a.name.cmp(&b.name));
            let all = items.len();
            items.retain(fits);
            hits += items.len();
            if items.is_empty() && !(words.is_empty() && all == 0 && !group.single) {
                continue;
            }
            let one = group.single && items.len() == 1;
            let href = group.objects.first().filter(|_| group.single).map(|o| href(server, o));
            if one && items[0].marks.is_empty() && items[0].value.is_none() {
                items.clear();
            }
            groups.push(Branch {
                kind: group.kind,
                title: group.title,
                href,
                count: if group.single { 0 } else { all },
                items,
            });
        }
        let root: Vec<Item> = objects.root_files.iter().map(|(path, source)| root_file(server, path, source)).collect();
        let all = root.len();
        let items: Vec<Item> = root.into_iter().filter(|i| fits(i)).take(MOST_FILES).collect();
        hits += items.len();
        if !items.is_empty() {
            groups.push(Branch { kind: "root", title: "Files of root/", href: None, count: all, items });
        }
        if words.is_empty() {
            // What there is none of comes last, so that it is not in the way.
            groups.sort_by_key(|g| g.items.is_empty() && g.href.is_none());
        }
        let mut files: Vec<(String, String)> = objects
            .texts
            .keys()
            .filter(|path| path.contains('/'))
            .map(|path| (path.to_string(), file::href(server, path, 0)))
            .collect();
        files.sort_by_key(|(path, _)| !path.starts_with("servers/"));
        Tree {
            shown: shown(found, server),
            broken: broken(objects, server),
            found: if words.is_empty() { String::new() } else { count(hits, "thing found", "things found") },
            find: find.to_owned(),
            groups,
            files,
        }
    }
}

fn item(server: &str, title: &str, object: &Object, standings: &BTreeMap<(&'static str, String), Standing>) -> Item {
    let standing = standings.get(&(object.kind, object.name.clone())).copied().unwrap_or_default();
    let mut marks = Vec::new();
    if object.is_wrong() {
        marks.push(Mark::new(Tone::Bad, "mistake"));
    }
    marks.extend(standing.draft.map(|d| Mark::new(Tone::Busy, draft_word(d))));
    marks.extend(standing.online.map(|d| Mark::new(Tone::None, online_word(d))));
    let value = telling(object);
    let name = if object.name.is_empty() { title.to_owned() } else { object.name.clone() };
    let mut find = format!("{} {} {name}", object.kind, title);
    for field in object.all_fields() {
        find.push(' ');
        find.push_str(&field.name);
        if let Some(shown) = &field.shown {
            find.push(' ');
            find.extend(shown.chars().take(200));
        }
    }
    find.extend(marks.iter().map(|m| format!(" {}", m.word)));
    Item { name, href: Some(href(server, object)), value, find: find.to_lowercase(), marks }
}

/// What the text no longer has and is still there elsewhere.
fn removed(server: &str, kind: &str, title: &str, standings: &BTreeMap<(&'static str, String), Standing>) -> Vec<Item> {
    let gone = standings.iter().filter(|((k, _), s)| {
        *k == kind && (s.draft == Some(Difference::Removed) || s.online == Some(Difference::Removed))
    });
    let item = |((_, name), standing): (&(&'static str, String), &Standing)| {
        let mut marks = Vec::new();
        marks.extend(standing.draft.map(|d| Mark::new(Tone::Busy, draft_word(d))));
        marks.extend(standing.online.map(|d| Mark::new(Tone::None, online_word(d))));
        let words: String = marks.iter().map(|m| format!(" {}", m.word)).collect();
        let find = format!("{kind} {title} {name}{words}").to_lowercase();
        Item { name: name.clone(), href: None, value: None, find, marks }
    };
    let _ = address(server, kind, "");
    gone.map(item).collect()
}

fn root_file(server: &str, path: &str, source: &str) -> Item {
    let find = format!("root files {path}").to_lowercase();
    Item { name: path.to_owned(), href: Some(file::href(server, source, 0)), value: None, find, marks: Vec::new() }
}

/// The value by which people know an object.
fn telling(object: &Object) -> Option<String> {
    let shown =
        |name: &str| object.fields.iter().find(|f| f.name == name && f.value.is_some()).and_then(|f| f.shown.clone());
    let line = |text: String| {
        let line: String = text.lines().next().unwrap_or_default().chars().take(48).collect();
        Some(line).filter(|l| !l.is_empty())
    };
    match object.kind {
        "packages" => shown("version").filter(|v| v != "*"),
        "services" => match (shown("enabled").as_deref(), shown("masked").as_deref()) {
            (_, Some("true")) => Some("masked".to_owned()),
            (Some("true"), _) => Some("starts at boot".to_owned()),
            (Some("false"), _) => Some("does not start at boot".to_owned()),
            _ => None,
        },
        "users" => shown("comment").and_then(line),
        "files" => shown("source").or_else(|| shown("symlink").map(|to| format!("→ {to}"))).and_then(line),
        "timers" => shown("on_calendar").and_then(line),
        "sysctl" => shown("value").and_then(line),
        "state" => shown("engine"),
        "network" => shown("publish").map(|p| p.replace('\n', ", ")).and_then(line),
        "checks" => {
            let kind = object.fields.iter().find(|f| f.value.is_some() && f.group == f.name)?;
            let shown = kind.shown.clone()?;
            Some(match kind.control {
                Control::List => line(shown.replace('\n', " "))?,
                _ => format!("{} {}", kind.name, line(shown)?),
            })
        }
        _ => None,
    }
}
