//! Edits and merges drawn from bytes, and what must hold of them. The property tests and the fuzz targets share it: the
//! first draw the bytes at random, the others let the fuzzer find them.
//!
//! The checks read texts with the `toml` crate and their own eyes only, never with the code they test.

use std::collections::{BTreeMap, BTreeSet};

use regrow_config::KeyPath;
use regrow_config::edit::{Comments, Edit, EditError, Patch, apply, apply_all, key_changes, note, places};
use regrow_config::merge::{Choice, merge, merge_with};
use toml::Value;

/// Decisions, one byte each; zeros when they are used up.
#[derive(Debug)]
pub(crate) struct Bytes<'b> {
    data: &'b [u8],
}

impl<'b> Bytes<'b> {
    pub(crate) fn new(data: &'b [u8]) -> Bytes<'b> {
        Bytes { data }
    }

    fn next(&mut self) -> usize {
        match self.data.split_first() {
            Some((first, rest)) => {
                self.data = rest;
                usize::from(*first)
            }
            None => 0,
        }
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        match n {
            0 | 1 => 0,
            2..=256 => self.next() % n,
            _ => (self.next() * 256 + self.next()) % n,
        }
    }

    fn pick<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.below(list.len())]
    }

    fn name(&mut self) -> &'static str {
        NAMES[self.below(NAMES.len())]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.data.is_empty()
    }
}

const NAMES: &[&str] = &[
    "port",
    "nginx",
    "mode",
    "new-key",
    "with space",
    "/etc/x y",
    "a.b",
    "é",
    "packages",
    "front",
    "limits",
    "quo\"te",
    "tab\tbed",
    "checks",
    "web1",
    "x",
];

const LITERALS: &[&str] = &[
    "8080",
    "\"*\"",
    "true",
    "nginx",
    "two words",
    "[]",
    "[\"a\", \"b\"]",
    "[\"adm\", \"sudo\", \"www-data\"]",
    "[\n  \"a\", # first\n  \"b\",\n]",
    "{ version = \"1.2\", recommends = false }",
    "{}",
    "\"\"\"\nline one\n  line two\n\"\"\"",
    "'''\nraw \\ text\n'''",
    "0o750",
    "1_000",
    "1979-05-27T07:32:00Z",
    "-inf",
    "\"é ☃\\n\"",
    "'it'",
    "",
    "[1, [2, 3], { a = 4 }]",
];

const WORDS: &[&str] =
    &["one line", "two\nlines", "  indented\n\nafter an empty line", "# with a mark", "é", "x,y # z", ""];

/// An edit of any kind, of a key of the text or a new one.
pub(crate) fn edit(text: &str, bytes: &mut Bytes<'_>) -> Edit {
    let known: Vec<KeyPath> = places(text).into_iter().map(|(key, _)| key).collect();
    let mut key = match bytes.below(8) {
        0 | 1 if !known.is_empty() => {
            let table = bytes.pick(&known);
            table.parent().child(bytes.name())
        }
        2 if !known.is_empty() => bytes.pick(&known).child(bytes.name()),
        3 => KeyPath((0..=bytes.below(3)).map(|_| (*bytes.pick(NAMES)).to_owned()).collect()),
        4 if !known.is_empty() => bytes.pick(&known).parent(),
        _ if !known.is_empty() => bytes.pick(&known).clone(),
        _ => KeyPath(vec![(*bytes.pick(NAMES)).to_owned()]),
    };
    if key.0.is_empty() {
        key = KeyPath(vec!["top".to_owned()]);
    }
    let literal = |bytes: &mut Bytes<'_>| (*bytes.pick(LITERALS)).to_owned();
    let name = key.to_string();
    let element = |bytes: &mut Bytes<'_>| match elements(text, &key) {
        elements if !elements.is_empty() && bytes.below(3) > 0 => bytes.pick(&elements).clone(),
        _ => (*bytes.pick(LITERALS)).to_owned(),
    };
    match bytes.below(10) {
        0..=2 => Edit::Set { key: name, value: literal(bytes) },
        3 => Edit::Unset { key: name, comments: *bytes.pick(&[Comments::Keep, Comments::Remove]) },
        4 => Edit::Rename { key: name, to: (*bytes.pick(NAMES)).to_owned() },
        5 => Edit::Add { key: name, value: element(bytes) },
        6 => Edit::Remove { key: name, value: element(bytes) },
        7 => {
            let siblings: Vec<&KeyPath> = known.iter().filter(|k| k.parent() == key.parent()).collect();
            let before = match bytes.below(4) {
                0 => None,
                _ if siblings.is_empty() => None,
                _ => Some(bytes.pick(&siblings).to_string()),
            };
            Edit::Move { key: name, before }
        }
        8 => Edit::Note { key: name, text: Some((*bytes.pick(WORDS)).to_owned()) },
        _ => match bytes.below(3) {
            0 => Edit::Note { key: name, text: None },
            // What a form sends of a list whose elements were changed.
            1 => {
                let mut list = elements(text, &key);
                match bytes.below(3) {
                    0 => drop(list.pop()),
                    1 => list.insert(0, "\"first\"".to_owned()),
                    _ => list.reverse(),
                }
                Edit::Set { key: name, value: format!("[{}]", list.join(", ")) }
            }
            _ => Edit::Set { key: name, value: literal(bytes) },
        },
    }
}

fn elements(text: &str, key: &KeyPath) -> Vec<String> {
    match parse(text).as_ref().and_then(|table| get(table, &key.0)) {
        Some(Value::Array(elements)) => {
            elements.iter().map(ToString::to_string).filter(|e| !e.contains('\n')).collect()
        }
        _ => Vec::new(),
    }
}

fn parse(text: &str) -> Option<Value> {
    toml::from_str::<toml::Table>(text).ok().map(Value::Table)
}

fn get<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, part| value.as_table()?.get(part))
}

/// The leaves below a value: what is no table, and empty tables.
fn leaves(value: &Value) -> BTreeMap<Vec<String>, Value> {
    fn walk(value: &Value, path: &mut Vec<String>, out: &mut BTreeMap<Vec<String>, Value>) {
        match value {
            Value::Table(table) if !table.is_empty() || path.is_empty() => {
                for (key, value) in table {
                    path.push(key.clone());
                    walk(value, path, out);
                    path.pop();
                }
            }
            _ => drop(out.insert(path.clone(), value.clone())),
        }
    }
    let mut out = BTreeMap::new();
    walk(value, &mut Vec::new(), &mut out);
    out
}

/// Equal with NaN equal to itself.
fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    a.map(|v| format!("{v:?}")) == b.map(|v| format!("{v:?}"))
}

fn require(holds: bool, words: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(words.to_owned()) }
}

/// Makes one edit and checks it: the new text, or the refusal. `Err`: something that must hold does not.
pub(crate) fn check_edit(text: &str, edit: &Edit) -> Result<Result<(String, Patch), EditError>, String> {
    let patch = match apply(text, edit) {
        Ok(patch) => patch,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut at = 0;
    for (range, _) in &patch.edits {
        require(range.start >= at && range.end >= range.start, "the ranges of a patch are sorted and apart")?;
        require(text.get(range.clone()).is_some(), "the ranges of a patch lie in the text")?;
        at = range.end;
    }
    let new = patch.apply(text);
    require(patch.inverse(text).apply(&new) == text, "the inverse restores every byte")?;
    let (Some(old_value), Some(new_value)) = (parse(text), parse(&new)) else {
        return Err("the new text is not TOML".to_owned());
    };
    check_value(edit, &old_value, &new_value)?;
    match apply(&new, edit) {
        Ok(again) => require(again.apply(&new) == new, "the same edit again changes nothing")?,
        Err(EditError::Absent { .. } | EditError::NoElement { .. }) => {
            let gone = matches!(edit, Edit::Unset { .. } | Edit::Rename { .. } | Edit::Remove { .. });
            require(gone, "only what is gone is refused the second time")?;
        }
        Err(refused) => return Err(format!("the same edit again is refused: {refused}")),
    }
    let crlf = |text: &str| text.contains("\r\n") && !text.replace("\r\n", "").contains('\n');
    let brings_lines = matches!(edit, Edit::Set { value, .. } | Edit::Add { value, .. } if value.contains('\n'));
    require(!crlf(text) || brings_lines || crlf(&new) || !new.contains('\n'), "line ends stay CRLF")?;
    require(text.contains('\r') || brings_lines || !new.contains('\r'), "line ends stay LF")?;
    require(text.starts_with('\u{feff}') == new.starts_with('\u{feff}'), "a byte order mark stays")?;
    let blank = |text: &str| text.trim_start_matches('\u{feff}').trim().is_empty();
    let open = |text: &str| !text.ends_with('\n');
    require(open(text) == open(&new) || blank(text) || blank(&new), "the end of the text stays open or closed")?;
    Ok(Ok((new, patch)))
}

/// All keys but the edited one have their values; the edited one has what was wanted.
fn check_value(edit: &Edit, old: &Value, new: &Value) -> Result<(), String> {
    let key = KeyPath::parse(edit.key()).map_err(|e| e.to_string())?;
    let (mut before, mut after) = (leaves(old), leaves(new));
    let found = get(new, &key.0);
    match edit {
        Edit::Set { value, .. } => {
            let literal = format!("x = {}", value.trim());
            let wanted = match toml::from_str::<toml::Table>(&literal) {
                Ok(table) if table.len() == 1 => table["x"].clone(),
                _ => Value::String(value.clone()),
            };
            require(same(found, Some(&wanted)), "the key has the wanted value")?;
        }
        Edit::Unset { .. } => require(found.is_none(), "the key is gone")?,
        Edit::Rename { to, .. } => {
            let target = key.parent().child(to);
            require(same(get(new, &target.0), get(old, &key.0)), "the new name has the value")?;
            require(found.is_none() || key == target, "the old name is gone")?;
            after.retain(|path, _| !path.starts_with(&target.0));
        }
        Edit::Add { .. } | Edit::Remove { .. } => {}
        Edit::Move { .. } | Edit::Note { .. } => require(same(Some(old), Some(new)), "the value is the same")?,
    }
    let near = |path: &[String]| path.starts_with(&key.0) || key.0.starts_with(path);
    before.retain(|path, _| !near(path));
    after.retain(|path, _| !near(path));
    require(format!("{before:?}") == format!("{after:?}"), "all other keys have their values")
}

/// What a sequence did, for counting.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) edits: usize,
    pub(crate) refused: usize,
    pub(crate) not_certified: Vec<String>,
}

/// Edits one after the other; then all as one, and back.
pub(crate) fn check_sequence(
    text: &str,
    bytes: &mut Bytes<'_>,
    most: usize,
    seen: &mut Seen,
) -> Result<String, String> {
    let mut now = text.to_owned();
    let mut made: Vec<Edit> = Vec::new();
    let mut back: Vec<Patch> = Vec::new();
    for _ in 0..most {
        let edit = edit(&now, bytes);
        match check_edit(&now, &edit).map_err(|words| format!("{words}\nedit: {edit:?}\ntext:\n{now}"))? {
            Ok((new, patch)) => {
                back.push(patch.inverse(&now));
                now = new;
                made.push(edit);
                seen.edits += 1;
            }
            Err(EditError::NotCertified { .. }) => seen.not_certified.push(format!("{edit:?}\n{now}")),
            Err(_) => seen.refused += 1,
        }
        if bytes.is_empty() {
            break;
        }
    }
    let all = |words: &str| format!("{words}\nedits: {made:#?}\ntext:\n{text}\nafter:\n{now}");
    let (new, patch) = apply_all(text, &made).map_err(|e| all(&format!("all edits at once are refused: {e}")))?;
    require(new == now && patch.apply(text) == now, "all edits at once give the same text").map_err(|w| all(&w))?;
    require(patch.inverse(text).apply(&now) == text, "the inverse of all restores every byte").map_err(|w| all(&w))?;
    let restored = back.iter().rev().fold(now.clone(), |text, patch| patch.apply(&text));
    require(restored == text, "the inverses one after the other restore every byte").map_err(|w| all(&w))?;
    let changes = key_changes(text, &now);
    let (old, new) = (parse(text).ok_or("not TOML")?, parse(&now).ok_or("not TOML")?);
    let (old, new) = (leaves(&old), leaves(&new));
    let differ = old.keys().chain(new.keys()).filter(|key| !same(old.get(*key), new.get(*key)));
    let differ: BTreeSet<KeyPath> = differ.map(|key| KeyPath(key.clone())).collect();
    let told: BTreeSet<KeyPath> = changes.into_iter().map(|change| change.key).collect();
    require(differ == told, "the changed keys are those whose values differ").map_err(|w| all(&w))?;
    Ok(now)
}

/// What must hold of any text, TOML or not.
pub(crate) fn check_reading(text: &str) -> Result<(), String> {
    for (key, place) in places(text) {
        require(
            text.get(place.key.clone()).is_some() && text.get(place.value.clone()).is_some(),
            "places are in the text",
        )?;
        require(place.note.is_none_or(|range| text[range].starts_with('#')), "a note begins with its mark")?;
        let _ = note(text, &key);
        if let (Some(words), true) = (note(text, &key), parse(text).is_some()) {
            let edit = Edit::Note { key: key.to_string(), text: Some(words) };
            if let Ok(patch) = apply(text, &edit) {
                require(patch.apply(text) == text, "a note written as it was read changes nothing")?;
            }
        }
    }
    require(key_changes(text, text).is_empty(), "a text does not differ from itself")
}

/// Three texts merged, and what must hold of it.
pub(crate) fn check_merge(base: &str, ours: &str, theirs: &str) -> Result<usize, String> {
    let context = |words: &str| format!("{words}\n--- base\n{base}\n--- ours\n{ours}\n--- theirs\n{theirs}");
    let values = (parse(base), parse(ours), parse(theirs));
    let (Some(b), Some(o), Some(t)) = values else {
        return Ok(0);
    };
    // What the parser of spans refuses, the one of values may take (nesting); then nothing is merged.
    let Ok(merged) = merge(base, ours, theirs) else { return Ok(0) };
    let context = |words: &str| format!("{}\n--- merged\n{}", context(words), merged.text);
    let Some(m) = parse(&merged.text) else { return Err(context("the merged text is not TOML")) };
    let quick = |b: &str, o: &str, t: &str| merge(b, o, t).map(|m| (m.text, m.conflicts.len())).ok();
    require(quick(base, ours, base) == Some((ours.to_owned(), 0)), "theirs unchanged gives ours")
        .map_err(|w| context(&w))?;
    require(quick(base, base, theirs) == Some((theirs.to_owned(), 0)), "ours unchanged gives theirs")
        .map_err(|w| context(&w))?;
    require(quick(base, ours, ours) == Some((ours.to_owned(), 0)), "the same on both sides is ours")
        .map_err(|w| context(&w))?;

    let (b, o, t, m) = (leaves(&b), leaves(&o), leaves(&t), leaves(&m));
    let conflict =
        |path: &[String]| merged.conflicts.iter().any(|c| path.starts_with(&c.key.0) || c.key.0.starts_with(path));
    let keys: BTreeSet<&Vec<String>> = b.keys().chain(o.keys()).chain(t.keys()).chain(m.keys()).collect();
    for key in keys {
        let (b, o, t, m) = (b.get(key), o.get(key), t.get(key), m.get(key));
        // An emptied table and sets have rules of their own.
        let table = [b, o, t, m].into_iter().flatten().any(Value::is_table);
        if table || regrow_config::schema::is_set(&KeyPath(key.clone())) {
            continue;
        }
        let name = KeyPath(key.clone());
        if conflict(key) {
            require(same(m, o), &format!("in conflict, ours stays: {name}")).map_err(|w| context(&w))?;
        } else if same(b, o) {
            require(same(m, t), &format!("what only theirs changed is taken: {name}")).map_err(|w| context(&w))?;
        } else {
            require(same(m, o), &format!("what ours changed stays: {name}")).map_err(|w| context(&w))?;
            require(same(t, o) || same(t, b), &format!("a clash is told: {name}")).map_err(|w| context(&w))?;
        }
    }
    if let Ok(turned) = merge(base, theirs, ours) {
        let keys =
            |merged: &regrow_config::merge::Merged| merged.conflicts.iter().map(|c| c.key.clone()).collect::<Vec<_>>();
        require(keys(&turned) == keys(&merged), "conflicts do not depend on the direction").map_err(|w| context(&w))?;
    }
    if !merged.conflicts.is_empty() {
        let choices = merged.conflicts.iter().map(|c| (c.key.clone(), Choice::Theirs)).collect();
        let chosen = merge_with(base, ours, theirs, &choices).map_err(|e| context(&e.to_string()))?;
        let Some(value) = parse(&chosen.text) else { return Err(context("the decided text is not TOML")) };
        let value = leaves(&value);
        for conflict in merged.conflicts.iter().filter(|c| !chosen.conflicts.iter().any(|left| left.key == c.key)) {
            let under = |leaves: &BTreeMap<Vec<String>, Value>| -> Vec<String> {
                let below = leaves.iter().filter(|(path, _)| path.starts_with(&conflict.key.0));
                below.map(|(path, value)| format!("{path:?} {value:?}")).collect()
            };
            let words = format!("the choice holds: {}\n--- decided\n{}", conflict.key, chosen.text);
            require(under(&value) == under(&t), &words).map_err(|w| context(&w))?;
        }
    }
    Ok(merged.conflicts.len())
}
