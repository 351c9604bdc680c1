//! What edits look like afterwards: every kind of edit on the shapes that people write, spelled out.

use regrow_config::KeyPath;
use regrow_config::edit::{Comments, Edit, apply, key_changes, note, places};

fn set(key: &str, value: &str) -> Edit {
    Edit::Set { key: key.into(), value: value.into() }
}

fn unset(key: &str) -> Edit {
    Edit::Unset { key: key.into(), comments: Comments::Keep }
}

fn rename(key: &str, to: &str) -> Edit {
    Edit::Rename { key: key.into(), to: to.into() }
}

fn add(key: &str, value: &str) -> Edit {
    Edit::Add { key: key.into(), value: value.into() }
}

fn remove(key: &str, value: &str) -> Edit {
    Edit::Remove { key: key.into(), value: value.into() }
}

fn put(key: &str, before: &str) -> Edit {
    Edit::Move { key: key.into(), before: Some(before.into()) }
}

fn last(key: &str) -> Edit {
    Edit::Move { key: key.into(), before: None }
}

fn words(key: &str, text: &str) -> Edit {
    Edit::Note { key: key.into(), text: (!text.is_empty()).then(|| text.into()) }
}

/// Each text, edited, is the text expected; a refusal is written `refused: …`.
fn all(cases: &[(&str, Edit, &str)]) {
    for (text, edit, expected) in cases {
        let found = match apply(text, edit) {
            Ok(patch) => {
                let new = patch.apply(text);
                assert_eq!(patch.inverse(text).apply(&new), *text, "{edit:?}");
                new
            }
            Err(refused) => format!("refused: {refused}"),
        };
        assert!(
            found == *expected,
            "{edit:?}\n--- text\n{text}\n--- expected\n{expected}\n--- found\n{found}\n{found:?}"
        );
    }
}

#[test]
fn elements_come_and_go_in_the_style_of_their_array() {
    all(&[
        ("x = []\n", add("x", "a"), "x = [\"a\"]\n"),
        ("x = [ ]\n", add("x", "a"), "x = [\"a\"]\n"),
        ("x = [\n]\n", add("x", "a"), "x = [\n  \"a\",\n]\n"),
        ("x = [\n    # none\n]\n", add("x", "1"), "x = [\n    # none\n    1,\n]\n"),
        ("x = [1]\n", add("x", "2"), "x = [1, 2]\n"),
        ("x = [ 1 ]\n", add("x", "2"), "x = [ 1, 2 ]\n"),
        ("x = [1,]\n", add("x", "2"), "x = [1, 2,]\n"),
        ("x = [1, 2]\n", add("x", "2"), "x = [1, 2]\n"),
        ("x = [\n  1, # one\n]\n", add("x", "2"), "x = [\n  1, # one\n  2,\n]\n"),
        ("x = [\n  1 # one\n]\n", add("x", "2"), "x = [\n  1, # one\n  2\n]\n"),
        ("x = [\n  1,\n  # end\n]\n", add("x", "2"), "x = [\n  1,\n  2,\n  # end\n]\n"),
        ("x = [ 1,\n      2 ]\n", add("x", "3"), "x = [ 1,\n      2,\n      3 ]\n"),
        ("x = [\r\n\t1,\r\n]\r\n", add("x", "2"), "x = [\r\n\t1,\r\n\t2,\r\n]\r\n"),
        ("[users.a]\nuid = 1\n", add("users.a.groups", "adm"), "[users.a]\nuid = 1\ngroups = [\"adm\"]\n"),
        ("[packages]\na = \"*\"\n", add("packages.b", "*"), "[packages]\na = \"*\"\nb = \"*\"\n"),
        (
            "x = 1\n",
            add("x", "2"),
            "refused: `x` is no list, so nothing can be added to it or taken from it; set it instead",
        ),
        ("x = [1, 2, 3]\n", remove("x", "1"), "x = [2, 3]\n"),
        ("x = [1, 2, 3]\n", remove("x", "2"), "x = [1, 3]\n"),
        ("x = [1, 2, 3]\n", remove("x", "3"), "x = [1, 2]\n"),
        ("x = [1, 2, 1]\n", remove("x", "1"), "x = [2]\n"),
        ("x = [ 1 ]\n", remove("x", "1"), "x = []\n"),
        ("x = [\n  1, # one\n  2, # two\n  3, # three\n]\n", remove("x", "2"), "x = [\n  1, # one\n  3, # three\n]\n"),
        ("x = [\n  1, # one\n  2 # two\n]\n", remove("x", "2"), "x = [\n  1 # one\n]\n"),
        ("x = [\n  1,\n  # about two\n  2,\n\n  3,\n]\n", remove("x", "2"), "x = [\n  1,\n\n  3,\n]\n"),
        ("x = [\n  # people\n  1,\n  2,\n]\n", remove("x", "1"), "x = [\n  # people\n  2,\n]\n"),
        ("x = [ 1 # one\n    , 2 # two\n    ]\n", remove("x", "2"), "x = [ 1 # one\n      # two\n    ]\n"),
        ("x = [1]\n", remove("x", "2"), "refused: 2 is not in `x`"),
    ]);
}

#[test]
fn a_list_that_a_form_sends_keeps_the_comments_of_what_stays() {
    let keys = "k = [\n  \"a\", # laptop\n  \"b\", # desk\n  # old\n  \"c\"\n]\n";
    all(&[
        (keys, set("k", "[\"a\", \"b\", \"c\"]"), keys),
        (keys, set("k", "[\"a\", \"c\"]"), "k = [\n  \"a\", # laptop\n  # old\n  \"c\"\n]\n"),
        (
            keys,
            set("k", "[\"a\", \"b\", \"c\", \"d\"]"),
            "k = [\n  \"a\", # laptop\n  \"b\", # desk\n  # old\n  \"c\",\n  \"d\"\n]\n",
        ),
        (
            keys,
            set("k", "[\"z\", \"a\", \"b\", \"c\"]"),
            "k = [\n  \"z\",\n  \"a\", # laptop\n  \"b\", # desk\n  # old\n  \"c\"\n]\n",
        ),
        (keys, set("k", "[\"a\", \"B\", \"c\"]"), "k = [\n  \"a\", # laptop\n  \"B\", # desk\n  # old\n  \"c\"\n]\n"),
        (keys, set("k", "[]"), "k = [\n]\n"),
        (keys, set("k", "[\"x\"]"), "k = [\"x\"]\n"),
    ]);
}

#[test]
fn names_change_wherever_they_are_written() {
    all(&[
        ("a = 1 # one\n", rename("a", "b"), "b = 1 # one\n"),
        ("nginx     = 1\ncurl      = 2\n", rename("curl", "wget2"), "nginx     = 1\nwget2     = 2\n"),
        ("nginx = 1\n", rename("nginx", "a b"), "\"a b\" = 1\n"),
        (
            "[checks.a] # c\nport = 1\n\n[checks.a.b]\nx = 1\n\n[ checks . a . c ]\n[checks.ab]\n",
            rename("checks.a", "z"),
            "[checks.z] # c\nport = 1\n\n[checks.z.b]\nx = 1\n\n[ checks . z . c ]\n[checks.ab]\n",
        ),
        ("a.b = 1\na.c = 2\n[a2]\n", rename("a", "x"), "x.b = 1\nx.c = 2\n[a2]\n"),
        ("p = { a = 1, b = 2 }\n", rename("p.b", "c"), "p = { a = 1, c = 2 }\n"),
        ("[files.\"/etc/x y\"]\nmode = 1\n", rename("files.\"/etc/x y\"", "/etc/x"), "[files.\"/etc/x\"]\nmode = 1\n"),
        (
            "[[m]]\na = 1\n[[m]]\na = 2\n[m.n]\n",
            rename("m", "mounts"),
            "[[mounts]]\na = 1\n[[mounts]]\na = 2\n[mounts.n]\n",
        ),
        (
            "a = 1\nb = 2\n",
            rename("a", "b"),
            "refused: there is a `b` already; choose another name, or remove that one first",
        ),
    ]);
}

#[test]
fn keys_and_tables_move_with_their_comments() {
    let tables = "[a]\nx = 1\n\n# about b\n[b]\ny = 1\n# end of b\n\n# standing\n\n[c]\nz = 1\n";
    all(&[
        ("# a\na = 1 # x\nb = 2\n# c\nc = 3\n", put("c", "a"), "# c\nc = 3\n# a\na = 1 # x\nb = 2\n"),
        ("# a\na = 1 # x\nb = 2\nc = 3\n", last("a"), "b = 2\nc = 3\n# a\na = 1 # x\n"),
        ("a = 1\nb = 2", put("b", "a"), "b = 2\na = 1"),
        ("a = 1\nb = 2", last("a"), "b = 2\na = 1"),
        ("a = 1\r\nb = 2", last("a"), "b = 2\r\na = 1"),
        ("a = 1 # a\r\n\r\nb = 2", put("b", "a"), "b = 2\r\na = 1 # a"),
        ("a.x = 1\nb = 2\na.y = 3", last("a"), "b = 2\na.x = 1\na.y = 3"),
        ("a = 1\nb = 2\n", put("a", "b"), "a = 1\nb = 2\n"),
        ("p = { a = 1, b = 2, c = 3 }\n", put("p.c", "a"), "p = { c = 3, a = 1, b = 2 }\n"),
        (tables, put("b", "a"), "# about b\n[b]\ny = 1\n# end of b\n\n[a]\nx = 1\n\n# standing\n\n[c]\nz = 1\n"),
        (tables, last("a"), "# about b\n[b]\ny = 1\n# end of b\n\n# standing\n\n[c]\nz = 1\n\n[a]\nx = 1\n"),
        (tables, put("c", "a"), "[c]\nz = 1\n\n[a]\nx = 1\n\n# about b\n[b]\ny = 1\n# end of b\n\n# standing\n"),
        ("[a]\n[b]\n[a.c]\nx = 1\n[d]", last("a"), "[b]\n[d]\n\n[a]\n\n[a.c]\nx = 1"),
        (
            "x = 1\n[a]\n",
            put("a", "x"),
            "refused: `a` cannot be changed by key here (a table with a header cannot stand before a plain key); change it in an editor",
        ),
    ]);
}

#[test]
fn notes_are_the_comments_of_a_key() {
    let text = "# standing\n\n# one\n#two\nx = 1 # beside\ny = 2\n\n  # on t\n  [t] # header\n  z = 3\n";
    let read = |key: &str| note(text, &KeyPath::parse(key).unwrap());
    assert_eq!(read("x").as_deref(), Some("one\ntwo\nbeside"));
    assert_eq!(read("y"), None);
    assert_eq!(read("t").as_deref(), Some("on t\nheader"));
    all(&[
        ("x = 1\n", words("x", "new"), "# new\nx = 1\n"),
        ("x = 1\n", words("x", "two\n\nlines"), "# two\n#\n# lines\nx = 1\n"),
        ("x = 1 # old\n", words("x", "new"), "x = 1 # new\n"),
        ("x = 1   # old\n", words("x", "now\ntwo"), "# now\n# two\nx = 1\n"),
        ("#old\nx = 1\n", words("x", "old\nmore"), "#old\n# more\nx = 1\n"),
        ("# a\nx = 1 # b\n", words("x", "c\nb"), "# c\nx = 1 # b\n"),
        ("# a\nx = 1 # b\n", words("x", "a\nc"), "# a\nx = 1 # c\n"),
        ("# a\nx = 1 # b\n", words("x", ""), "x = 1\n"),
        ("# s\n\nx = 1\n", words("x", "own"), "# s\n\n# own\nx = 1\n"),
        ("a = 1\r\n[t]\r\n\tx = 1\r\n", words("t.x", "own"), "a = 1\r\n[t]\r\n\t# own\r\n\tx = 1\r\n"),
        ("\u{feff}x = 1\n", words("x", "own"), "\u{feff}# own\nx = 1\n"),
        ("[t]\nx = 1\n", words("t", "own"), "# own\n[t]\nx = 1\n"),
        (
            "p = { a = 1 }\n",
            words("p.a", "own"),
            "refused: `p.a` cannot be changed by key here (it does not begin its line); change it in an editor",
        ),
        (
            "a.b = 1\n",
            words("a", "own"),
            "refused: `a` cannot be changed by key here (the table has no header of its own to write above); change it in an editor",
        ),
    ]);
}

/// One line for each claim about what libraries that print documents back are known to damage.
#[test]
fn what_others_damage_stays() {
    all(&[
        ("a = 1\n\n[[m]]\nx = 1\n\n[b]\n\n[[m]]\nx = 2\n", unset("m"), "a = 1\n\n[b]\n"),
        ("x = 1 # after the value\n", set("x", "2"), "x = 2 # after the value\n"),
        ("# above\nx = 1\n", set("x", "2"), "# above\nx = 2\n"),
        ("# above a\na = 1\n# above c\nc = 3\n", set("b", "2"), "# above a\na = 1\n# above c\nc = 3\nb = 2\n"),
        ("[a]\nx = 1\n# closes a\n\n[b]\ny = 1\n", unset("b"), "[a]\nx = 1\n# closes a\n"),
        ("a.x = 1\nb = 2\na.y = 3\n", set("a.x", "4"), "a.x = 4\nb = 2\na.y = 3\n"),
        ("a.x = 1\nb = 2\na.y = 3\n", set("a.z", "4"), "a.x = 1\nb = 2\na.y = 3\na.z = 4\n"),
        ("x = 1", set("x", "2"), "x = 2"),
        ("x = 0o750\ny = 1_000\nz = '''a'''", set("x", "7"), "x = 7\ny = 1_000\nz = '''a'''"),
        ("[b]\nx = 1\n[a]\ny = 1\n", set("c.z", "1"), "[b]\nx = 1\n[a]\ny = 1\n\n[c]\nz = 1\n"),
        ("x = 1\r\ny = 2\r\n", set("z", "3"), "x = 1\r\ny = 2\r\nz = 3\r\n"),
        ("p = { a = 1 } # c\n", set("p.a", "2"), "p = { a = 2 } # c\n"),
        ("'q' = 1\n\"r\" = 2\n", set("q", "3"), "'q' = 3\n\"r\" = 2\n"),
        ("x = \"\"\"\\\n  folded\\\n  \"\"\"\ny = 1\n", set("y", "2"), "x = \"\"\"\\\n  folded\\\n  \"\"\"\ny = 2\n"),
        ("# only comments\n", set("x", "1"), "# only comments\nx = 1\n"),
        ("[a]\n# nothing in it\n\n[b]\n", unset("a"), "[b]\n"),
        ("p = {\n  a = 1, # one\n  b = 2,\n}\n", set("p.b", "3"), "p = {\n  a = 1, # one\n  b = 3,\n}\n"),
        ("p = {\n  a = 1, # one\n  b = 2,\n}\n", set("p.c", "3"), "p = {\n  a = 1, # one\n  b = 2,\n  c = 3,\n}\n"),
        ("p = {\n  a = 1, # one\n  b = 2, # two\n}\n", unset("p.b"), "p = {\n  a = 1, # one\n}\n"),
    ]);
}

#[test]
fn changes_are_told_in_the_order_of_the_new_text() {
    let old = "a = 1\nb = { x = 1 }\nc = 3\n\n[t]\nk = [1]\n";
    let new = "b.x = 1\nd = 4\na = 0x1\nb.y = 2\n\n[t]\nk = [ 1, 2 ]\n";
    let told: Vec<String> = key_changes(old, new)
        .into_iter()
        .map(|c| {
            let side = |value: Option<String>, line: Option<usize>| match (value, line) {
                (Some(value), Some(line)) => format!("{value}@{line}"),
                _ => "-".to_owned(),
            };
            format!("{} {} {}", c.key, side(c.before, c.line_before), side(c.after, c.line_after))
        })
        .collect();
    assert_eq!(told, ["c 3@3 -", "d - 4@2", "b.y - 2@4", "t.k [1]@6 [ 1, 2 ]@7"]);
    assert!(key_changes("[a]\nx = 1\n", "a = { x = 1 } # other form\n").is_empty());
}

#[test]
fn an_array_that_keeps_none_of_its_lines_becomes_what_was_asked_for() {
    all(&[
        ("x = ['it', [\n  \"a\", # first\n]]\n", set("x", "[\"it\"]"), "x = [\"it\"]\n"),
        ("x = [\n  'it', # stays\n  'b',\n]\n", set("x", "[\"it\"]"), "x = [\n  'it', # stays\n]\n"),
    ]);
}

/// No specification allows it, but the parser takes it.
#[test]
fn a_value_on_a_later_line_of_an_inline_table_is_a_value() {
    let told = |old: &str, new: &str| -> Vec<String> {
        key_changes(old, new).into_iter().map(|c| format!("{} {:?} {:?}", c.key, c.before, c.after)).collect()
    };
    let text = "t = {\n  a = 1,\n  b =\n\n3,\n}\n";
    assert_eq!(told(text, "t = { a = 1 }\n"), ["t.b Some(\"3\") None"]);
    assert_eq!(told(text, &text.replace('3', "4")), ["t.b Some(\"3\") Some(\"4\")"]);
}

#[test]
fn places_of_a_broken_text_are_those_of_its_sound_lines() {
    let text = "a = 1\nb =\n[t\n# on c\nc = 3\n[u]\nd = 'x\ne = 5\n";
    let found: Vec<(String, usize)> =
        places(text).into_iter().map(|(key, place)| (key.to_string(), place.line)).collect();
    assert!(found.contains(&("a".to_owned(), 1)), "{found:?}");
    assert!(found.iter().any(|(key, line)| key.ends_with('e') && *line == 8), "{found:?}");
}
