//! Forms sent as drawn change nothing; what is typed becomes what was meant.

use proptest::prelude::*;

use super::form::{Change, changes};
use super::{Control, Object, objects};
use crate::MemoryFiles;
use crate::edit::{Edit, apply, apply_all};

/// The fields of an object's form as a browser sends them.
fn form_of(object: &Object) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for field in object.all_fields().filter(|f| f.control != Control::Fixed) {
        let key = field.key.to_string();
        out.push((format!("t:{key}"), field.control.tag().to_owned()));
        if let Some(value) = &field.value {
            out.push((format!("o:{key}"), crlf(value)));
            let note = field.note.clone().unwrap_or_default();
            out.extend([(format!("on:{key}"), crlf(&note)), (format!("n:{key}"), crlf(&note))]);
        }
        out.push((format!("f:{key}"), crlf(&field.shown.clone().unwrap_or_default())));
    }
    out
}

/// Line ends as browsers send them.
fn crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n")
}

fn one(tag: &str, old: Option<&str>, typed: &str) -> Result<Vec<Edit>, String> {
    let mut fields = vec![("t:a".to_owned(), tag.to_owned()), ("f:a".to_owned(), typed.to_owned())];
    fields.extend(old.map(|old| ("o:a".to_owned(), old.to_owned())));
    match changes(&fields) {
        Ok(changes) => Ok(changes.into_iter().map(|c| c.edit).collect()),
        Err(refused) => Err(refused[0].message.clone()),
    }
}

fn set(value: &str) -> Vec<Edit> {
    vec![Edit::Set { key: "a".to_owned(), value: value.to_owned() }]
}

#[test]
fn what_is_typed_becomes_a_literal_of_its_kind() {
    for (tag, old, typed, wanted) in [
        ("switch", None, "", vec![]),
        ("switch", None, "true", set("true")),
        ("switch", Some("true"), "false", set("false")),
        ("switch", Some("true"), "", vec![Edit::Unset { key: "a".to_owned(), comments: Default::default() }]),
        ("number", Some("0x50"), "80", vec![]),
        ("number", Some("80"), " 81 ", set("81")),
        ("text", Some("'a'"), "a", vec![]),
        ("text", Some("'a'"), "say \"b\"", set(r#""say \"b\"""#)),
        ("text", Some("'a'"), "", set("\"\"")),
        ("text", None, "", vec![]),
        ("size", Some("\"512M\""), "1G", set("\"1G\"")),
        ("size", Some("1048576"), "2097152", set("2097152")),
        ("mode", None, "0644", set("\"0644\"")),
        ("scalar", Some("1"), "0", set("0")),
        ("scalar", Some("\"1\""), "0", set("\"0\"")),
        ("scalar", Some("1"), "4096 87380", set("\"4096 87380\"")),
        ("choice", None, "redis", set("\"redis\"")),
        ("lines", Some("\"a\\nb\\n\""), "a\r\nb\r\n", vec![]),
        ("lines", Some("\"a\\n\""), "a\r\nb\r\n", set("'''\na\nb\n'''")),
        ("lines", Some("\"a\\r\\nb\\r\\n\""), "a\r\nc\r\n", set("\"a\\r\\nc\\r\\n\"")),
        ("lines", None, "a'''\r\nb", set("\"\"\"\na'''\nb\"\"\"")),
        ("list", None, "a\r\n\r\n b ", set("[\"a\", \"b\"]")),
        ("list", Some("[\"a\", \"b\"]"), "b\r\na", set("[\"b\", \"a\"]")),
        ("list", Some("[\"a\"]"), "", set("[]")),
        ("literal", Some("0o644"), "0o644", vec![]),
        ("literal", Some("0o644"), "0o755", set("0o755")),
        ("literal", Some("3"), "{ x = 1 }", set("{ x = 1 }")),
    ] {
        assert_eq!(one(tag, old, typed), Ok(wanted), "{tag} {old:?} {typed:?}");
    }
    let gone = Edit::Remove { key: "a".to_owned(), value: "\"b\"".to_owned() };
    let more = Edit::Add { key: "a".to_owned(), value: "\"d\"".to_owned() };
    assert_eq!(one("list", Some("[\"a\", \"b\", \"c\"]"), "a\nc\nd"), Ok(vec![gone, more]), "comments in it stay");
}

#[test]
fn what_cannot_be_is_told_at_its_field() {
    for (tag, typed) in [
        ("switch", "maybe"),
        ("number", "ten"),
        ("number", "1.5"),
        ("text", "a\nb"),
        ("text", "a\u{1}"),
        ("literal", "nothing of this"),
        ("literal", "1\nb = 2"),
        ("scalar", "a\nb"),
    ] {
        assert!(one(tag, None, typed).is_err(), "{tag} {typed:?}");
    }
}

#[test]
fn buttons_and_notes_say_more_than_fields() {
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let fields = [
        field("target", "server:web1"),
        field("t:a", "text"),
        field("o:a", "\"x\""),
        field("f:a", "y"),
        field("unset:a", "role:base"),
        field("from:b", "role:base"),
        field("on:b", "old"),
        field("n:b", "new\r\n"),
        field("t:c", "list"),
        field("o:c", "[\"x\"]"),
        field("f:c", "x\r\ny"),
        field("from:c", "role:base"),
        field("t:d", "number"),
        field("default:d", "30"),
        field("f:d", "40"),
        field("orename:users.bob", "bob"),
        field("rename:users.bob", "rob"),
    ];
    let found = changes(&fields).unwrap();
    let role = Some("role:base".to_owned());
    let all = [
        Change { target: role.clone(), edit: Edit::Unset { key: "a".into(), comments: Default::default() } },
        Change { target: role, edit: Edit::Note { key: "b".into(), text: Some("new".into()) } },
        // The role's list is replaced for this server, not added to.
        Change { target: None, edit: Edit::Set { key: "c".into(), value: "[\"x\", \"y\"]".into() } },
        Change { target: None, edit: Edit::Set { key: "d".into(), value: "30".into() } },
        Change { target: None, edit: Edit::Rename { key: "users.bob".into(), to: "rob".into() } },
    ];
    assert_eq!(found, all);
}

#[test]
fn every_form_of_the_example_sent_as_drawn_changes_nothing() {
    let mut files = MemoryFiles::new();
    for source in crate::example::files(&Default::default()) {
        files = files.with(&source.path, source.text);
    }
    let all = objects(&files, "web1");
    assert!(all.all().count() > 20);
    for object in all.all() {
        assert_eq!(changes(&form_of(object)), Ok(vec![]), "{} {}", object.kind, object.name);
    }
}

/// Values of all kinds, odd ones too.
fn literal() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "true",
        "0x1F",
        "1_000",
        "+5",
        "-0",
        "1e3",
        "inf",
        "1979-05-27",
        "''",
        "\"\"",
        "[]",
        "{}",
        "[[]]",
        "[ 1, \"a\" ]",
        "'a\tb'",
        "\"a\\nb\"",
        "\"a\\r\\nb\\r\\n\"",
        "\"\\u0000\"",
        "\"\\r\"",
        "\"\\uFEFF\"",
        "\"\"\"\n\n a\\\n  b\n\"\"\"",
        "'''\n\n\nx '''",
        "[\n  \"a\", # one\n  'b',\n]",
        "[\" a\"]",
        "[\"a\\nb\"]",
        "{ a = 1, b = [2] }",
        "\"\u{2028}é\"",
        "0o17777",
        "99999999999999999999",
    ]);
    prop_oneof![odd.prop_map(str::to_owned), any::<String>().prop_map(|s| crate::keypath::quote_string(&s))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_form_sent_as_drawn_changes_nothing_whatever_the_values(values in prop::collection::vec(literal(), 8), note in "[^\\r\\n\u{0}-\u{1f}\u{7f}]{0,12}") {
        let v = |n: usize| values[n].as_str();
        let text = format!(
            "#{note}\n[system]\nhostname = {}\nlimits.memory = {}\n[users.bob]\ngroups = {}\nuid = {}\nodd = {}\n[services.a]\nenabled = {}\noverride = {}\n[state.s]\nengine = {}\n",
            v(0), v(1), v(2), v(3), v(4), v(5), v(6), v(7),
        );
        let files = MemoryFiles::new().with("servers/web1/server.toml", text.as_str());
        let all = objects(&files, "web1");
        for object in all.all() {
            prop_assert_eq!(changes(&form_of(object)), Ok(vec![]), "{}", text);
        }
    }

    #[test]
    fn any_text_typed_into_a_field_is_what_the_file_says_then(typed in "\\PC{0,20}(\n\\PC{0,20}){0,3}", old in literal()) {
        let before = format!("# top\na = {old}\nb = 1 # same\n");
        prop_assume!(toml::de::DeTable::parse(&before).is_ok());
        if let Ok(edits) = one("lines", Some(&old), &crlf(&typed)) {
            let (after, _) = apply_all(&before, &edits).unwrap();
            let read = toml::de::DeTable::parse(&after).unwrap();
            if !edits.is_empty() {
                let value = read.get_ref().get("a").unwrap().get_ref().as_str().unwrap().replace("\r\n", "\n");
                prop_assert_eq!(value, typed);
            }
        }
    }

    #[test]
    fn no_form_makes_it_panic(fields in prop::collection::vec(("(t|o|f|w|from|n|on|unset|default|rename|delete)?:?[a-b.\"é]{0,4}", "\\PC{0,8}|list|number|switch|lines|literal|\\[\"a\"\\]"), 0..12)) {
        let fields: Vec<(String, String)> = fields;
        if let Ok(changes) = changes(&fields) {
            for change in changes {
                let _ = apply("a = [\"x\"]\n[b]\n", &change.edit);
            }
        }
    }
}
