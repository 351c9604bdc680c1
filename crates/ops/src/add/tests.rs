//! What additions make of a text.

use regrow_config::{MemoryFiles, load_fleet};

use super::*;

const FLEET: &str = "schema = 1\n\n[archives.debian]\nmirror = \"http://mirror.test/debian\"\nsuites = [\"trixie\"]\n\
    keyring = \"/usr/share/keyrings/debian-archive-keyring.gpg\"\n";

/// A fleet with `web1`, whose text is this.
fn files(text: &str) -> MemoryFiles {
    MemoryFiles::new().with("regrow.toml", FLEET).with("servers/web1/server.toml", text)
}

fn answers(given: &[(&str, &str)]) -> Answers {
    given.iter().map(|(name, answer)| ((*name).to_owned(), (*answer).to_owned())).collect()
}

/// The text after adding a thing, which must be free of mistakes, and the remarks.
fn added(text: &str, id: &str, given: &[(&str, &str)]) -> (String, Vec<String>) {
    let files = files(text);
    let (fleet, _) = load_fleet(&files);
    let addition = plan(&fleet, "web1", id, &answers(given)).unwrap().unwrap_or_else(|wrong| panic!("{id}: {wrong:?}"));
    let shown = preview(&files, "web1", &addition.edits).unwrap();
    assert!(shown.mistakes.diagnostics.is_empty(), "{id}: {}", shown.mistakes.render(false));
    let edited = regrow_config::edit::apply_in_server(&files, "web1", &addition.edits).unwrap();
    let after = edited.into_iter().next().map_or(text.to_owned(), |e| e.text);
    for piece in shown.pieces {
        assert_eq!(piece.path, "servers/web1/server.toml");
        let lines: Vec<&str> = after.lines().skip(piece.line - 1).take(piece.text.lines().count()).collect();
        assert_eq!(lines.join("\n"), piece.text, "the preview shows the lines as they will stand");
    }
    let (_, diagnostics) = load_fleet(&self::files(&after));
    assert_eq!(diagnostics, [], "{id}:\n{after}");
    (after, addition.remarks)
}

fn wrong(text: &str, id: &str, given: &[(&str, &str)]) -> Vec<(String, String)> {
    let (fleet, _) = load_fleet(&files(text));
    let wrong = plan(&fleet, "web1", id, &answers(given)).unwrap().unwrap_err();
    wrong.into_iter().map(|w| (w.question, w.message)).collect()
}

#[test]
fn every_service_fits_an_empty_server_and_is_there_afterwards() {
    let (fleet, _) = load_fleet(&files("schema = 1\n"));
    let services: Vec<Offer> =
        offers(&fleet, "web1").unwrap().into_iter().filter(|o| fleet.catalog.get(&o.id).is_some()).collect();
    assert!(services.len() >= 12, "{services:?}");
    for service in services {
        assert_eq!(service.there, There::No, "{}", service.id);
        let (text, _) = added("schema = 1\n", &service.id, &[]);
        let (again, _) = added(&text, &service.id, &[]);
        assert_eq!(again, text, "{}: added twice is added once", service.id);
        let (fleet, _) = load_fleet(&files(&text));
        let now = offers(&fleet, "web1").unwrap().into_iter().find(|o| o.id == service.id).unwrap();
        assert_eq!(now.there, There::Whole, "{}", service.id);
        assert!(form(&fleet, "web1", &service.id).unwrap().questions.is_empty(), "{}: nothing is asked again", now.id);
    }
}

#[test]
fn a_service_is_written_as_a_person_would() {
    let before = "schema = 1\n\n[packages]\ncurl = \"*\"\n\n[checks.shell]\ncommand = [\"/bin/true\"]\n";
    let (text, remarks) = added(before, "nginx", &[("publish.80", "127.0.0.1:8123")]);
    assert_eq!(remarks, [""; 0]);
    assert_eq!(
        text,
        r#"schema = 1

[packages]
curl = "*"
nginx = "*"

# nginx: A web server and reverse proxy.
[services.nginx]
enabled = true

[network]
publish = ["127.0.0.1:8123:80"]

[checks.shell]
command = ["/bin/true"]

[checks.nginx]
http = "http://localhost/"
status = 200
"#
    );
}

#[test]
fn what_is_there_stays_and_names_in_use_get_company() {
    let before = "schema = 1\n\n[packages]\npostgresql = \"*\"\n\n[services.postgresql]\nenabled = false\n\n\
                  [state.database]\npaths = [\"/srv/other\"]\n\n[checks.postgresql]\nunit = \"postgresql\"\n";
    let (text, remarks) = added(before, "PostgreSQL", &[]);
    assert!(remarks.iter().any(|r| r.contains("switched off")), "{remarks:?}");
    assert!(text.starts_with(before.trim_end()) || text.contains("enabled = false"), "{text}");
    assert!(text.contains("[state.postgresql]\npaths = [\"/var/lib/postgresql\"]\nengine = \"postgresql\""), "{text}");
    assert!(text.contains("[checks.postgresql-2]\nport = 5432"), "{text}");
}

#[test]
fn two_services_on_one_port_are_told_of() {
    let (_, remarks) = added("schema = 1\n\n[packages]\nnginx = \"*\"\n", "caddy", &[("publish.80", "")]);
    assert!(remarks.iter().any(|r| r.contains("nginx listens on port 80 as well")), "{remarks:?}");
}

#[test]
fn answers_stand_in_files_and_bad_ones_are_told_at_their_question() {
    let (text, _) = added("schema = 1\n", "haproxy", &[("target", "10.0.0.7:8000")]);
    assert!(text.contains("    server one 10.0.0.7:8000 check\n"), "{text}");
    let found = wrong("schema = 1\n", "haproxy", &[("target", "a\nb"), ("publish.80", "99999")]);
    assert_eq!(found, [("target".to_owned(), "this must be one line".to_owned())]);
    let found = wrong("schema = 1\n", "haproxy", &[("publish.80", "99999")]);
    assert_eq!(found[0].0, "publish.80");
    assert_eq!(wrong("schema = 1\n", "postfix", &[("domain", "a b")])[0].0, "domain");
    let published = "schema = 1\n\n[network]\npublish = [\"8080:81\"]\n";
    assert!(wrong(published, "nginx", &[("publish.80", "8080")])[0].1.contains("by web1 already"));
}

#[test]
fn things_are_written_and_judged() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 ann@laptop";
    let (text, remarks) = added("schema = 1\n", "user", &[("name", "ann"), ("key", key), ("admin", "yes")]);
    assert!(text.contains("[users.ann]\ngroups = [\"sudo\"]\nssh_keys = [\""), "{text}");
    assert!(text.contains("sudo = \"*\"") && remarks[0].contains("no SSH yet"), "{text}{remarks:?}");
    assert_eq!(wrong(&text, "user", &[("name", "ann")])[0].0, "name");

    let (text, _) =
        added("schema = 1\n", "timer", &[("name", "copy"), ("command", "/usr/bin/rsync -a '/srv/a b' /mnt")]);
    assert!(text.contains("command = [\"/usr/bin/rsync\", \"-a\", \"/srv/a b\", \"/mnt\"]"), "{text}");
    assert_eq!(wrong("schema = 1\n", "timer", &[("name", "copy"), ("command", "rsync")])[0].0, "command");

    let (text, _) = added("schema = 1\n", "port", &[("inside", "8000"), ("from", "0.0.0.0"), ("outside", "80")]);
    assert!(text.contains("publish = [\"0.0.0.0:80:8000\"]"), "{text}");
    assert_eq!(wrong(&text, "port", &[("outside", "80")])[0].0, "outside");

    let file = [("path", "/etc/a b"), ("content", "one \\ \"\"\"\r\ntwo\t'''"), ("mode", "0600")];
    let (text, _) = added("schema = 1\n", "file", &file);
    let (fleet, _) = load_fleet(&files(&text));
    let written = &fleet.servers["web1"].files["/etc/a b"];
    let regrow_config::FileKind::Regular { content, .. } = &written.kind else { panic!("{written:?}") };
    assert_eq!(String::from_utf8_lossy(content), "one \\ \"\"\"\ntwo\t'''\n");
    assert_eq!(written.mode, 0o600);
    for path in ["etc/motd", "/etc/../x", "/etc/", "/"] {
        assert_eq!(wrong("schema = 1\n", "file", &[("path", path)])[0].0, "path", "{path}");
    }

    let (text, _) = added("schema = 1\n", "package", &[("name", "vim")]);
    assert!(text.contains("[packages]\nvim = \"*\""), "{text}");
    assert!(plan(&load_fleet(&files("")).0, "web1", "package", &answers(&[("nam", "x")])).is_err());
    assert!(plan(&load_fleet(&files("")).0, "web1", "nothing", &Answers::new()).is_err());
}
