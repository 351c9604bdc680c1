//! What is shown of a server, for good text, hostile values and broken files.

use proptest::prelude::*;

use super::{Control, Difference, From, Object, Objects, objects, paint};
use crate::MemoryFiles;

const FLEET: &str = "schema = 1\n[archives.debian]\nmirror = \"http://mirror.test/debian\"\nsuites = [\"trixie\"]\nkeyring = \"/usr/share/keyrings/x.gpg\"\n";

fn fleet(server: &str, roles: &[(&str, &str)]) -> MemoryFiles {
    let mut files = MemoryFiles::new().with("regrow.toml", FLEET).with("servers/web1/server.toml", server);
    for (name, text) in roles {
        files = files.with(&format!("roles/{name}.toml"), *text);
    }
    files
}

fn of(server: &str) -> Objects {
    objects(&fleet(server, &[]), "web1")
}

fn field<'o>(object: &'o Object, name: &str) -> &'o super::Field {
    object.all_fields().find(|f| f.name == name).unwrap_or_else(|| panic!("no field {name} in {object:#?}"))
}

#[test]
fn every_type_has_its_control_and_what_does_not_fit_is_literal_text() {
    let table: &[(&str, &str, &str, &str, &str)] = &[
        // text, object, field, control, what it shows
        ("[services.a]\nenabled = true", "services/a", "enabled", "switch", "true"),
        ("[services.a]\nenabled = \"yes\"", "services/a", "enabled", "literal", "\"yes\""),
        ("[services.a]\noverride = \"x\\ny\\n\"", "services/a", "override", "lines", "x\ny\n"),
        ("[services.a]\noverride = '''\nx'''", "services/a", "override", "lines", "x"),
        ("[services.a]\noverride = \"a\\u0001\"", "services/a", "override", "literal", "\"a\\u0001\""),
        ("[services.a]\noverride = \"a\\rb\"", "services/a", "override", "literal", "\"a\\rb\""),
        ("[state.a]\nengine = \"sqlite\"", "state/a", "engine", "choice", "sqlite"),
        ("[state.a]\nengine = \"oracle\"", "state/a", "engine", "literal", "\"oracle\""),
        ("[state.a]\npaths = [\n  \"/a\", # one\n  '/b',\n]", "state/a", "paths", "list", "/a\n/b"),
        ("[state.a]\npaths = [1, \"/b\"]", "state/a", "paths", "literal", "[1, \"/b\"]"),
        ("[state.a]\npaths = [\"\"]", "state/a", "paths", "literal", "[\"\"]"),
        ("[state.a]\npaths = \"/b\"", "state/a", "paths", "literal", "\"/b\""),
        ("[state.a]\npaths = []", "state/a", "paths", "list", ""),
        ("[checks.a]\nport = 0x50", "checks/a", "port", "number", "80"),
        ("[checks.a]\nport = 70000", "checks/a", "port", "literal", "70000"),
        ("[checks.a]\nport = 80.5", "checks/a", "port", "literal", "80.5"),
        ("[checks.a]\nport = 2026-01-01", "checks/a", "port", "literal", "2026-01-01"),
        ("[files.\"/x y\"]\nmode = \"0750\"", "files//x y", "mode", "mode", "0750"),
        ("[files.\"/x y\"]\nmode = 0o750", "files//x y", "mode", "literal", "0o750"),
        ("[system.limits]\nmemory = \"512M\"", "system/", "limits.memory", "size", "512M"),
        ("[system.limits]\nmemory = 1_048_576", "system/", "limits.memory", "size", "1048576"),
        ("system.limits.tasks = 10", "system/", "limits.tasks", "number", "10"),
        ("system = { timezone = \"Europe/Berlin\" }", "system/", "timezone", "text", "Europe/Berlin"),
        ("system.hostname = \"a\\nb\"", "system/", "hostname", "lines", "a\nb"),
        ("system.hostname = { x = 1 }", "system/", "hostname", "literal", "{ x = 1 }"),
        ("system.limits = 3", "system/", "limits", "literal", "3"),
        ("[sysctl]\n\"a.b\" = 1", "sysctl/a.b", "value", "scalar", "1"),
        ("[sysctl]\n\"a.b\" = true", "sysctl/a.b", "value", "scalar", "true"),
        ("[sysctl]\n\"a.b\" = [1]", "sysctl/a.b", "value", "literal", "[1]"),
        ("[packages]\nnginx = \"*\"", "packages/nginx", "version", "text", "*"),
        ("[packages.nginx]\nversion = \"1.0\"", "packages/nginx", "version", "text", "1.0"),
        ("[packages]\nnginx = false", "packages/nginx", "version", "literal", "false"),
        ("[users]\nbob = 3", "users/bob", "value", "literal", "3"),
        ("[[users.bob]]\nuid = 3", "users/bob", "value", "fixed", "[[users.bob]]"),
        ("network.publish = [\"80:80\"]", "network/", "publish", "list", "80:80"),
    ];
    for (text, object, name, control, shown) in table {
        let all = of(text);
        let (kind, id) = object.split_once('/').unwrap();
        let object = all.find(kind, id).unwrap_or_else(|| panic!("{text}: no {object} in {all:#?}"));
        let field = field(object, name);
        assert_eq!((field.control.tag(), field.shown.as_deref()), (*control, Some(*shown)), "{text}");
        assert!(field.value.is_some() && matches!(field.from, From::Server { .. }), "{text}");
    }
}

#[test]
fn what_is_not_written_shows_its_default_and_is_told_apart_from_what_is() {
    let all = of("[services.a]\nmasked = false\n[users.bob]\n[checks.c]\nunit = \"a\"\n");
    let service = all.find("services", "a").unwrap();
    let (masked, enabled) = (field(service, "masked"), field(service, "enabled"));
    assert_eq!((masked.value.as_deref(), masked.default.as_deref()), (Some("false"), Some("false")));
    assert_eq!((enabled.value.as_deref(), enabled.default.as_deref(), &enabled.from), (None, None, &From::Default));
    let default = |kind, name, key| field(all.find(kind, name).unwrap(), key).default.clone();
    assert_eq!(default("system", "", "hostname").as_deref(), Some("web1"));
    assert_eq!(default("system", "", "timezone").as_deref(), Some("Etc/UTC"));
    assert_eq!(default("users", "bob", "home").as_deref(), Some("/home/bob"));
    assert_eq!(default("checks", "c", "timeout").as_deref(), Some("30"));
    let timeout = field(all.find("checks", "c").unwrap(), "timeout");
    assert_eq!((timeout.unit, &timeout.control), (Some("seconds"), &Control::Number { min: 1, max: 3600 }));
    assert!(timeout.help.starts_with("Seconds within"), "{}", timeout.help);
}

#[test]
fn a_value_says_where_it_comes_from_and_what_lies_under_it() {
    let base = "[system]\n# where we are\ntimezone = \"Etc/UTC\"\n[checks.front]\nhttp = \"http://localhost/\"\nbody = \"x\"\n";
    let web = "[system]\ntimezone = \"Europe/Rome\"\n";
    let own = "roles = [\"base\", \"web\"]\n[checks.front]\nunit = \"nginx\"\n";
    let all = objects(&fleet(own, &[("base", base), ("web", web), ("other", "[")]), "web1");
    assert_eq!(all.roles, ["base", "web"]);
    assert_eq!(all.broken, [], "a role of others is not read");
    let zone = field(all.find("system", "").unwrap(), "timezone");
    assert_eq!(zone.from.role(), Some("web"));
    let (from, text) = &zone.shadowed[0];
    assert_eq!(
        (from.place().map(|(p, l)| (p.to_string(), l)), text.as_str()),
        (Some(("roles/base.toml".into(), 3)), "\"Etc/UTC\"")
    );
    let front = all.find("checks", "front").unwrap();
    let http = field(front, "http");
    assert_eq!((http.value.as_deref(), http.shadowed.len()), (None, 1), "replaced with its kind");
    assert_eq!(front.places.iter().map(|p| p.role.as_deref()).collect::<Vec<_>>(), [None, Some("base")]);
}

#[test]
fn comments_above_are_notes_and_lines_belong_to_their_object() {
    let text = "# the top\nschema = 1\n\n# Bob.\n#\n# Two.\n[users.bob]\n# his number\nuid = 1000\n\n[users.ann]\nuid = 1001\n\n[users.bob.x]\ny = 1\n";
    let all = of(text);
    let bob = all.find("users", "bob").unwrap();
    assert_eq!(bob.note.as_deref(), Some("Bob.\n\nTwo."));
    assert_eq!(field(bob, "uid").note.as_deref(), Some("his number"));
    assert_eq!(field(bob, "x").value.as_deref().map(str::is_empty), Some(false), "unknown keys are kept");
    let lines: Vec<(usize, usize)> = bob.places[0].extents.iter().map(|e| (e.first, e.last)).collect();
    assert_eq!(lines, [(4, 9), (14, 15)]);
}

#[test]
fn a_mistake_is_with_the_value_it_is_about() {
    let all = of("roles = [\"none\"]\nfoo = 1\n[users.bob]\nuid = 5\nshel = \"/bin/sh\"\n[checks.a]\ntimeout = 5\n");
    let bob = all.find("users", "bob").unwrap();
    assert_eq!(field(bob, "uid").diagnostics.len(), 1, "{bob:#?}");
    let unknown = &bob.unknown[0];
    assert_eq!((unknown.name.as_str(), unknown.diagnostics[0].code), ("shel", "unknown-key"));
    assert!(bob.is_wrong());
    assert_eq!(all.find("checks", "a").unwrap().diagnostics[0].code, "check-kind");
    assert_eq!(all.unknown[0].diagnostics[0].code, "unknown-key");
    assert_eq!(field(all.find("server", "").unwrap(), "roles").diagnostics[0].code, "unknown-role");
    assert_eq!(all.diagnostics, []);
}

#[test]
fn a_broken_file_degrades_only_itself() {
    let files = fleet("[users.bob]\nuid = 1000\n[users.ann\nuid = \n[checks.a]\nunit = \"a\"\n", &[]);
    let files = files
        .with("servers/web1/more.toml", "[services.nginx]\nenabled = true\n")
        .with("servers/web1/bytes.toml", b"\xff".to_vec());
    let all = objects(&files, "web1");
    assert!(all.find("users", "bob").is_some() && all.find("checks", "a").is_some(), "what can be read is shown");
    assert!(all.find("services", "nginx").is_some());
    let places: Vec<(&str, usize)> = all.broken.iter().map(|b| (&*b.path, b.line)).collect();
    assert!(
        places.contains(&("servers/web1/server.toml", 3)) && places.contains(&("servers/web1/bytes.toml", 1)),
        "{places:?}"
    );
}

#[test]
fn what_differs_is_told_by_value_not_by_spelling() {
    let old = of("[users.bob]\nuid = 1000\n[users.ann]\n[services.a]\nenabled = true\n");
    let new = of("# moved\n[services]\na = { enabled = true }\n[users.bob]\nuid = 1001\n[users.eve]\n");
    let told: Vec<_> = new.differences(&old).into_iter().map(|((kind, name), d)| (kind, name, d)).collect();
    let user = |name: &str, d| ("users", name.to_owned(), d);
    assert_eq!(
        told,
        [user("ann", Difference::Removed), user("bob", Difference::Changed), user("eve", Difference::Added)]
    );
}

#[test]
fn a_server_that_is_not_there_is_empty() {
    for name in ["nowhere", "", "..", "a/b", "../web1"] {
        let all = objects(&fleet("", &[]), name);
        assert!(!all.exists, "{name}");
        assert!(all.all().all(|o| o.places.is_empty()), "{name}");
    }
}

#[test]
fn the_example_shows_every_value_it_writes() {
    let mut files = MemoryFiles::new();
    for source in crate::example::files(&Default::default()) {
        files = files.with(&source.path, source.text);
    }
    let all = objects(&files, "web1");
    assert_eq!((all.broken.len(), all.unknown.len()), (0, 0));
    let written = all.all().flat_map(Object::all_fields).filter(|f| f.value.is_some());
    let (good, bad): (Vec<_>, Vec<_>) = written.partition(|f| !matches!(f.control, Control::Literal | Control::Fixed));
    assert_eq!((good.len(), bad.len()), (32, 0), "{bad:#?}");
    assert!(all.root_files.contains_key("/var/www/html/index.html"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_it_panic(text in any_text(), role in any_text()) {
        let files = fleet(&text, &[("base", &role)]).with("servers/web1/more.toml", format!("roles = [\"base\"]\n{role}"));
        let all = objects(&files, "web1");
        for field in all.all().flat_map(Object::all_fields) {
            if let Some((path, line)) = field.from.place() {
                prop_assert!(line <= all.texts[path].lines().count().max(1));
            }
        }
        let mut end = 0;
        for (span, _) in paint::parts(&text) {
            prop_assert!(span.start >= end && span.end <= text.len());
            end = span.end;
        }
    }
}

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "roles = [\"base\"]\n",
        "[system]\n",
        "[users.a]\n",
        "[[users.a]]\n",
        "users.a.uid = 1\n",
        "uid = 1000\n",
        "[checks]\n",
        "a = { unit = \"x\" }\n",
        "unit = \"",
        "port = 80 # x\n",
        "\"\"\"\n",
        "'''",
        "\r\n",
        "\u{feff}",
        "é = 1\n",
        "[",
        "]",
        "{",
        "=",
        "\n",
        "# note\n",
        "[files.\"/a b\"]\n",
        "content = \"\"\"\nx\n\"\"\"\n",
        "mode = \"9\"\n",
        "[packages]\nnginx = \"*\"\n",
        "[packages.nginx]\n",
        "sysctl = 3\n",
        "[sysctl]\n\"a.b\" = 1979-05-27\n",
        "network = []\n",
        "[network]\npublish = [\n \"1:1\", # a\n]\n",
        "\u{0}",
        "system.limits.memory = \"1G\"\n",
        "'a.b'.c = 1\n",
    ]);
    prop_oneof![
        4 => prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
    ]
}
