//! Tests of edits: what is said to change changes, and nothing else does.

use proptest::prelude::*;

use super::*;

/// The text after `set`, or the words of the refusal.
fn set_text(text: &str, key: &str, value: &str) -> String {
    match set(text, key, value) {
        Ok(patch) => {
            let new = patch.apply(text);
            assert_eq!(patch.inverse(text).apply(&new), text, "the inverse leads back");
            assert_eq!(set(&new, key, value).unwrap().apply(&new), new, "a second time changes nothing");
            new
        }
        Err(e) => format!("refused: {e}"),
    }
}

fn unset_text(text: &str, key: &str) -> String {
    match unset(text, key) {
        Ok(patch) => patch.apply(text),
        Err(e) => format!("refused: {e}"),
    }
}

#[test]
fn a_value_is_replaced_in_place_with_all_around_it_kept() {
    for (text, key, value, new) in [
        ("port = 22 # default\n", "port", "23", "port = 23 # default\n"),
        ("# above\n[a]\nx   =   1\t# same line\r\n", "a.x", "2", "# above\n[a]\nx   =   2\t# same line\r\n"),
        ("a.b.c = 'x'", "a.b.c", "y", "a.b.c = \"y\""),
        (
            "[files.\"/etc/motd\"]\nmode = \"0644\"\n",
            "files.\"/etc/motd\".mode",
            "0600",
            "[files.\"/etc/motd\"]\nmode = \"0600\"\n",
        ),
        (
            "p = { version = \"1\", recommends = true } # c\n",
            "p.version",
            "\"2\"",
            "p = { version = \"2\", recommends = true } # c\n",
        ),
        ("x = [\n  1, # one\n  2,\n]\ny = 1\n", "x", "[3]", "x = [3]\ny = 1\n"),
        ("x = '''\na\n'''\n", "x", "*", "x = \"*\"\n"),
        (
            "[checks]\n[checks.front]\nstatus = 200",
            "checks.front.status",
            "500",
            "[checks]\n[checks.front]\nstatus = 500",
        ),
    ] {
        assert_eq!(set_text(text, key, value), new, "{key} in {text:?}");
    }
}

#[test]
fn a_new_key_goes_below_its_neighbours_and_looks_like_them() {
    for (text, key, value, new) in [
        ("[a]\nx = 1 # one\n\n[b]\ny = 1\n", "a.z", "2", "[a]\nx = 1 # one\nz = 2\n\n[b]\ny = 1\n"),
        (
            "[packages]\nnginx      = \"*\"\n",
            "packages.curl",
            "*",
            "[packages]\nnginx      = \"*\"\ncurl       = \"*\"\n",
        ),
        ("[a]\r\n  x=1\r\n", "a.y", "2", "[a]\r\n  x=1\r\n  y=2\r\n"),
        ("[a]\nx = 1", "a.y", "2", "[a]\nx = 1\ny = 2"),
        ("[a]\n# standing\n", "a.y", "2", "[a]\ny = 2\n# standing\n"),
        ("a.b = 1\nc = 2\n", "a.d", "3", "a.b = 1\na.d = 3\nc = 2\n"),
        (
            "[s]\nlimits.memory = \"1G\"\nx = 1\n",
            "s.limits.tasks",
            "9",
            "[s]\nlimits.memory = \"1G\"\nlimits.tasks = 9\nx = 1\n",
        ),
        ("p = { a = 1 }\n", "p.b", "2", "p = { a = 1, b = 2 }\n"),
        ("p = {}\n", "p.b", "2", "p = { b = 2 }\n"),
        ("x = 1\n\n[a]\ny = 1\n", "z", "2", "x = 1\nz = 2\n\n[a]\ny = 1\n"),
        ("# a file\n\n[a]\ny = 1\n", "z", "2", "# a file\nz = 2\n\n[a]\ny = 1\n"),
        ("", "z", "2", "z = 2\n"),
        ("x = [\n 1,\n]\n", "y", "2", "x = [\n 1,\n]\ny = 2\n"),
    ] {
        assert_eq!(set_text(text, key, value), new, "{key} in {text:?}");
    }
}

#[test]
fn a_new_table_goes_after_its_relatives_or_in_the_order_of_the_schema() {
    for (text, key, value, new) in [
        (
            "[checks.a]\nunit = \"a\"\n# end of a\n\n# about state\n[state.s]\npaths = []\n",
            "checks.b.port",
            "80",
            "[checks.a]\nunit = \"a\"\n# end of a\n\n[checks.b]\nport = 80\n\n# about state\n[state.s]\npaths = []\n",
        ),
        (
            "[system]\nhostname = \"w\"\n\n[checks.a]\nport = 1\n",
            "packages.nginx",
            "*",
            "[system]\nhostname = \"w\"\n\n[packages]\nnginx = \"*\"\n\n[checks.a]\nport = 1\n",
        ),
        ("[a]\nx = 1", "b.y", "2", "[a]\nx = 1\n\n[b]\ny = 2"),
        ("", "b.y", "2", "[b]\ny = 2\n"),
        ("[checks.a]\nport = 1\n", "system.hostname", "w", "[system]\nhostname = \"w\"\n\n[checks.a]\nport = 1\n"),
        ("[a]\r\nx = 1\r\n", "b.\"c d\".y", "2", "[a]\r\nx = 1\r\n\r\n[b.\"c d\"]\r\ny = 2\r\n"),
        ("[services.x]\n", "services.x.enabled", "true", "[services.x]\nenabled = true\n"),
    ] {
        assert_eq!(set_text(text, key, value), new, "{key} in {text:?}");
    }
}

#[test]
fn unset_takes_the_key_and_leaves_the_words_of_others() {
    for (text, key, new) in [
        ("# standing\n\n# about x\nx = 1 # own\ny = 2\n", "x", "# standing\n\n# about x\ny = 2\n"),
        ("x = 1\ny = 2", "y", "x = 1"),
        ("x = 1\r\ny = 2", "y", "x = 1"),
        ("x = 1", "x", ""),
        ("p = { a = 1, b = 2, c = 3 }\n", "p.a", "p = { b = 2, c = 3 }\n"),
        ("p = { a = 1, b = 2, c = 3 }\n", "p.b", "p = { a = 1, c = 3 }\n"),
        ("p = { a = 1, b = 2, c = 3 }\n", "p.c", "p = { a = 1, b = 2 }\n"),
        ("p = { a = 1 }\n", "p.a", "p = {}\n"),
        ("a.b = 1\na.c = 2\nd = 3\n", "a", "d = 3\n"),
        ("a.b = 1\nd = 3\n", "a.b", "d = 3\n"),
        ("x = [\n 1, # one\n]\ny = 1\n", "x", "y = 1\n"),
        (
            "[a]\nx = 1\n\n# about b\n[b]\ny = 1\n\n[b.c]\nz = 1\n\n# about d\n[d]\n",
            "b",
            "[a]\nx = 1\n\n# about d\n[d]\n",
        ),
        ("[a]\nx = 1\n\n[b]\ny = 1\n", "a", "[b]\ny = 1\n"),
        ("[a]\nx = 1\n\n[b]\ny = 1", "b", "[a]\nx = 1"),
        ("[services.x]\nenabled = true\n", "services.x.enabled", "[services.x]\n"),
    ] {
        assert_eq!(unset_text(text, key), new, "{key} in {text:?}");
    }
    let text = "# about x\nx = 1 # own\ny = 2\n";
    let patch = unset_with(text, "x", Comments::Remove).unwrap();
    assert_eq!(patch.apply(text), "y = 2\n");
    assert_eq!(patch.removed_comments(text), ["# about x", "# own"]);
}

#[test]
fn what_cannot_be_done_is_refused_in_words() {
    for (text, key, value, words) in [
        ("[a]\nx = 1\n", "a", "2", "`a` is a table; set one of its keys, or unset it first"),
        ("a = 1\n", "a.b", "2", "`a` is not a table, so `a.b` cannot be in it; unset `a` first"),
        ("x = \n", "a.b", "2", "the text is not TOML at line 1: "),
        ("[[a]]\nx = 1\n", "a.x", "2", "`a.x` cannot be changed by key here (it is in an array of tables); "),
        ("", "a", "[1,", "[1, is no TOML value: "),
        ("", "a..b", "1", "`a..b` is no key: a part is empty; "),
    ] {
        let refused = set(text, key, value).expect_err(text).to_string();
        assert!(refused.starts_with(words), "{refused}");
    }
    assert_eq!(unset("x = 1\n", "y").unwrap_err().to_string(), "`y` is not in the text");
}

#[test]
fn plain_words_are_strings_and_toml_values_are_values() {
    for (value, literal) in [
        ("500", "500"),
        ("true", "true"),
        ("nginx", "\"nginx\""),
        ("*", "\"*\""),
        ("0644", "\"0644\""),
        ("1.26.3-3+deb13u1", "\"1.26.3-3+deb13u1\""),
        ("two words", "\"two words\""),
        ("a \"quoted\" word\n", "\"a \\\"quoted\\\" word\\n\""),
        ("[\"a\", \"b\"]", "[\"a\", \"b\"]"),
        ("'lit'", "'lit'"),
        ("", "\"\""),
        ("x # y", "\"x # y\""),
    ] {
        assert_eq!(set_text("", "k", value), format!("k = {literal}\n"), "{value:?}");
    }
}

#[test]
fn the_line_of_a_change_is_that_in_the_new_text() {
    for (text, key, line) in
        [("a = 1\nb = 2\n", "b", 2), ("a = 1\n", "c", 2), ("[x]\ny = 1\n", "z.k", 5), ("a = 1", "c", 2)]
    {
        let patch = set(text, key, "9").unwrap();
        assert_eq!(patch.line(text), line, "{key}");
        assert!(patch.apply(text).lines().nth(line - 1).unwrap().ends_with("= 9"), "{key}");
    }
}

/// Ugly but valid texts: random sections of random keys with comments, blank lines, CRLF, tabs, inline tables.
fn document() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec!["a", "b", "c", "\"q.r\"", "d-e"]);
    let value = prop::sample::select(vec![
        "1",
        "'s'",
        "true",
        "[ 1,\n  2, # two\n]",
        "{ x = 1, y = [2] }",
        "{}",
        "\"\"\"\nm\n\"\"\"",
        "1979-05-27",
        "0x1F",
        "-inf",
    ]);
    let line = (key.clone(), value, prop::sample::select(vec![" = ", "=", "\t= ", "   =   "]), 0..6u8).prop_map(
        |(k, v, eq, style)| match style {
            0 => format!("# about {k}\n{k}{eq}{v}\n"),
            1 => format!("{k}{eq}{v} # own\n"),
            2 => format!("\n# standing\n\n{k}{eq}{v}\n"),
            3 => format!("  {k}{eq}{v}\n"),
            4 => format!("{k}.sub{eq}{v}\n"),
            _ => format!("{k}{eq}{v}\n"),
        },
    );
    let section =
        (prop::sample::select(vec!["t", "t.u", "v", "t.a.w", "\"x y\""]), prop::collection::vec(line.clone(), 0..4));
    (prop::collection::vec(line, 0..4), prop::collection::vec(section, 0..4), any::<bool>(), any::<bool>()).prop_map(
        |(root, sections, crlf, open_end)| {
            let mut text = root.concat();
            for (name, lines) in sections {
                text.push_str(&format!("\n# on {name}\n[{name}] # header\n{}", lines.concat()));
            }
            let mut text = if crlf { text.replace('\n', "\r\n") } else { text };
            if open_end {
                text.truncate(text.trim_end().len());
            }
            text
        },
    )
}

fn any_key() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "\"q.r\"", "d-e", "t", "u", "v", "sub", "x", "new", "\"x y\"", "w"]);
    prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("."))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    /// Bytes outside the patch stay, comments stay, the value is the wanted one, the inverse restores, a second time
    /// changes nothing; and where the way to the key is free, the change is never refused.
    #[test]
    fn a_set_changes_only_what_it_says(text in document(), key in any_key(), value in prop::sample::select(vec!["7", "w", "[1, 2]"])) {
        prop_assume!(plain::parse(&text).is_some());
        match set(&text, &key, value) {
            Ok(patch) => {
                let new = patch.apply(&text);
                prop_assert_eq!(patch.inverse(&text).apply(&new), text.clone());
                prop_assert_eq!(set(&new, &key, value).unwrap().apply(&new), new.clone());
                if patch.edits.is_empty() {
                    prop_assert_eq!(plain::parse(&new), plain::parse(&text));
                    return Ok(());
                }
                let (range, _) = &patch.edits[0];
                prop_assert_eq!(patch.edits.len(), 1);
                prop_assert_eq!(&new[..range.start], &text[..range.start]);
                prop_assert!(new.ends_with(&text[range.end..]));
                if range.is_empty() {
                    prop_assert!(patch.removed_comments(&text).is_empty());
                }
                if text.contains("\r\n") {
                    prop_assert!(!new.replace("\r\n", "").contains('\n'), "line ends are mixed: {:?}", new);
                }
            }
            Err(EditError::IsTable { .. } | EditError::NotTable { .. }) => {}
            Err(e) => prop_assert!(false, "{} = {}: {}\n{}", key, value, e, text),
        }
    }

    /// What was added can be taken away again, and then the values are the old ones.
    #[test]
    fn unset_undoes_a_set_of_a_new_key(text in document(), key in any_key()) {
        prop_assume!(plain::parse(&text).is_some());
        prop_assume!(unset(&text, &key).is_err());
        if let Ok(patch) = set(&text, &key, "7") {
            let new = patch.apply(&text);
            let back = unset(&new, &key).unwrap().apply(&new);
            let comments = |text: &str| outline::comments(text).into_iter().map(|c| text[c].to_owned()).collect::<Vec<_>>();
            prop_assert_eq!(comments(&back), comments(&text));
            let again = set(&back, &key, "7").unwrap().apply(&back);
            prop_assert_eq!(plain::parse(&again), plain::parse(&new));
        }
    }

    /// Removing whatever there is works or is refused in words, and never takes more.
    #[test]
    fn unset_takes_only_what_it_says(text in document(), key in any_key()) {
        prop_assume!(plain::parse(&text).is_some());
        match unset(&text, &key) {
            Ok(patch) => prop_assert_eq!(patch.inverse(&text).apply(&patch.apply(&text)), text),
            Err(EditError::Absent { .. }) => {}
            Err(e) => prop_assert!(false, "{}: {}\n{}", key, e, text),
        }
    }

    /// No text and no key makes an edit panic.
    #[test]
    fn edits_of_anything_end(text in "[ -~\r\n\t#\\[\\]={}\"'.äß]{0,80}", key in "[a-c.\"' \\\\]{0,9}", value in "\\PC{0,12}") {
        let _ = set(&text, &key, &value);
        let _ = unset(&text, &key);
    }
}
