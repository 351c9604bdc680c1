//! What a fleet's text comes to: roles under servers, files of `root/`, links, the disk, the lock's inputs.

use std::os::unix::fs::{PermissionsExt, symlink};

use regrow_config::edit::{EditError, set_in_server, unset_in_server};
use regrow_config::{
    CheckKind, DiskFiles, FileKind, Files, Fleet, KeyPath, Kind, MemoryFiles, RootContent, inputs_digest, load_fleet,
};

const FLEET: &str = "schema = 1\n[archives.debian]\nmirror = \"http://mirror.test/debian/\"\nsuites = [\"trixie\"]\n\
                     keyring = \"/usr/share/keyrings/debian-archive-keyring.gpg\"\n";

fn web1(text: &str) -> MemoryFiles {
    MemoryFiles::new().with("regrow.toml", FLEET).with("servers/web1/server.toml", text)
}

/// A fleet without a single mistake.
fn load(files: &dyn Files) -> Fleet {
    let (fleet, diagnostics) = load_fleet(files);
    assert_eq!(diagnostics, [], "{diagnostics:#?}");
    fleet
}

#[test]
fn servers_win_over_roles_and_later_roles_over_earlier_ones_key_by_key() {
    let files = web1("roles = [\"one\", \"two\"]\n[system]\nhostname = \"own\"\n[checks.up]\nport = 80\n")
        .with("roles/one.toml", "[system]\nhostname = \"one\"\ntimezone = \"Europe/Berlin\"\nlocale = \"C\"\n[packages]\ncurl = \"*\"\n")
        .with("roles/two.toml", "[system]\nhostname = \"two\"\nlocale = \"POSIX\"\n[checks.up]\nhttp = \"http://a/\"\nstatus = 204\ntimeout = 7\n");
    let fleet = load(&files);
    let server = &fleet.servers["web1"];
    assert_eq!(
        (&*server.system.hostname, &*server.system.timezone, &*server.system.locale),
        ("own", "Europe/Berlin", "POSIX")
    );
    assert!(server.packages.contains_key("curl"));
    // The server says anew what the check is: what the role said about that is gone, the rest holds.
    assert_eq!(server.checks["up"].kind, CheckKind::Port { port: 80 });
    assert_eq!(server.checks["up"].timeout, 7);
    assert_eq!(fleet.roles["two"].servers, ["web1"]);
    let origin = |key: &str| {
        let origin = &server.provenance[&KeyPath::parse(key).unwrap()];
        format!("{}:{}:{}", origin.path, origin.line, origin.column)
    };
    assert_eq!(origin("system.hostname"), "servers/web1/server.toml:3:1");
    assert_eq!(origin("system.timezone"), "roles/one.toml:3:1");
    assert_eq!(origin("system.locale"), "roles/two.toml:3:1");
    assert_eq!(origin("checks.up.timeout"), "roles/two.toml:7:1");
    assert!(!server.provenance.contains_key(&KeyPath::parse("checks.up.http").unwrap()));
}

#[test]
fn what_is_not_said_has_its_default() {
    let fleet = load(&web1("[files.\"/etc/a\"]\ncontent = \"a\"\n[files.\"/etc/d\"]\ndirectory = true\n[users.u]\n"));
    let server = &fleet.servers["web1"];
    assert_eq!(server.system.hostname, "web1");
    assert_eq!(server.architecture, "amd64");
    assert!(!server.recommends);
    assert_eq!((server.files["/etc/a"].mode, server.files["/etc/d"].mode), (0o644, 0o755));
    assert_eq!(server.users["u"].login_shell(), "/bin/bash");
    assert_eq!(server.users["u"].home_of("u"), "/home/u");
    assert_eq!(fleet.archives["debian"].mirror, "http://mirror.test/debian");
    assert_eq!(fleet.archives["debian"].components, ["main"]);
}

#[test]
fn a_split_server_is_read_whole_and_root_files_keep_mode_and_links() {
    let files = web1("[system]\nhostname = \"a\"\n")
        .with("servers/web1/users.toml", "schema = 1\n[users.bob]\n[files.\"/etc/s\"]\nsource = \"shared/s\"\n")
        .with("shared/s", b"\x00\xff".to_vec())
        .with("servers/web1/root/etc/conf", "x")
        .with_executable("servers/web1/root/usr/local/bin/tool", "#!/bin/sh\n")
        .with_symlink("servers/web1/root/etc/link", "../../outside");
    let fleet = load(&files);
    let server = &fleet.servers["web1"];
    assert!(server.users.contains_key("bob"));
    assert_eq!(
        server.files["/etc/s"].kind,
        FileKind::Regular { content: b"\x00\xff".to_vec(), source: Some("shared/s".to_owned()) }
    );
    assert_eq!(server.root_files["/etc/conf"].mode, 0o644);
    assert_eq!(server.root_files["/usr/local/bin/tool"].mode, 0o755);
    assert_eq!(server.root_files["/etc/link"].content, RootContent::Symlink("../../outside".to_owned()));
}

#[test]
fn a_fleets_own_catalog_adds_to_the_built_in_one() {
    let files = web1("[packages]\nacme = \"*\"\n[services.acmed]\nenabled = true\n[files.\"/etc/a\"]\ncontent = \"\"\nowner = \"acme\"\n")
        .with("catalog/acme.toml", "packages = [\"acme\"]\nunits = [\"acmed\"]\nusers = [\"acme\"]\n");
    let fleet = load(&files);
    assert!(fleet.catalog.get("acme").is_some());
}

#[test]
fn the_locks_accounts_and_packages_are_known() {
    let text = "[packages]\nbind9 = \"*\"\n[services.odd]\nenabled = true\n[files.\"/etc/a\"]\ncontent = \"\"\nowner = \"oddity\"\n";
    let lock = regrow_config::LockFile {
        schema: 1,
        users: [("oddity".to_owned(), 101)].into(),
        packages: [(
            "odd-server".to_owned(),
            regrow_config::lock::LockedPackage {
                version: "1".to_owned(),
                architecture: "all".to_owned(),
                archive: "debian".to_owned(),
                file: "pool/o.deb".to_owned(),
                size: 1,
                sha256: "00".repeat(32),
                layer: 0,
            },
        )]
        .into(),
        layers: vec![regrow_config::lock::Layer::default()],
        ..Default::default()
    };
    let (_, before) = load_fleet(&web1(text));
    assert_eq!(before.iter().map(|d| d.code).collect::<Vec<_>>(), ["unknown-service", "unknown-user"]);
    load(&web1(text).with("servers/web1/lock.toml", lock.to_text()));
}

#[test]
fn nothing_outside_the_fleet_is_read_through_links_and_no_pipe_stops_us() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    std::fs::create_dir(outside.path().join("dir")).unwrap();
    std::fs::write(outside.path().join("dir/server.toml"), "[system]\n").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    for path in ["servers/web1/root/etc", "roles"] {
        std::fs::create_dir_all(at(path)).unwrap();
    }
    std::fs::write(at("regrow.toml"), FLEET).unwrap();
    std::fs::write(
        at("servers/web1/server.toml"),
        "[files.\"/etc/a\"]\nsource = \"link\"\n[files.\"/etc/b\"]\nsource = \"way/secret\"\n",
    )
    .unwrap();
    symlink(outside.path().join("secret"), at("link")).unwrap();
    symlink(outside.path(), at("way")).unwrap();
    symlink(outside.path().join("dir"), at("servers/web2")).unwrap();
    symlink(outside.path().join("secret"), at("roles/base.toml")).unwrap();
    symlink("/etc/shadow", at("servers/web1/root/etc/link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, at("servers/web1/pipe.toml"), 0o600.into()).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, at("servers/web1/root/pipe"), 0o600.into()).unwrap();
    std::fs::write(at("servers/web1/root/run.sh"), "x").unwrap();
    std::fs::set_permissions(at("servers/web1/root/run.sh"), PermissionsExt::from_mode(0o755)).unwrap();

    let files = DiskFiles::new(dir.path()).unwrap();
    assert!(files.read("link").unwrap_err().to_string().starts_with("cannot read "));
    assert!(files.read("way/secret").is_err());
    assert!(files.read("../x").is_err(), "not even by ..");
    assert_eq!(files.read("regrow.toml/below").unwrap(), None);
    assert_eq!(files.list("nowhere").unwrap(), []);
    assert_eq!(files.read_link("link").unwrap().unwrap(), outside.path().join("secret").to_str().unwrap());
    assert_eq!(files.read_link("regrow.toml").unwrap(), None);
    assert!(files.list("").unwrap().iter().any(|e| e.name == "link" && e.kind == Kind::Symlink));

    let (fleet, diagnostics) = load_fleet(&files);
    let said: Vec<String> = diagnostics.iter().map(|d| format!("{} {}", d.code, d.message)).collect();
    assert_eq!(said.len(), 5, "{said:#?}");
    assert!(diagnostics.iter().all(|d| d.code == "unreadable"), "{said:#?}");
    let server = &fleet.servers["web1"];
    assert_eq!(server.root_files["/etc/link"].content, RootContent::Symlink("/etc/shadow".to_owned()));
    assert_eq!(server.root_files["/run.sh"].mode, 0o755);
}

#[test]
fn a_lock_is_stale_only_when_what_it_was_resolved_from_differs() {
    let digest = |text: &str, roles: &str| {
        let fleet = load(&web1(text).with("roles/base.toml", roles));
        inputs_digest(&fleet.servers["web1"], &fleet)
    };
    let base = digest("[packages]\nnginx = \"*\"\n", "");
    assert_eq!(base, digest("# a comment\n[packages]\nnginx = \"*\"\n[checks.a]\nport = 1\n", ""));
    assert_eq!(base, digest("roles = [\"base\"]\n", "[packages]\nnginx = \"*\"\n"), "where it is said does not matter");
    for other in [
        "[packages]\nnginx = \"1.26\"\n",
        "[packages]\nnginx = { recommends = true }\n",
        "[packages]\nnginx = \"*\"\ncurl = \"*\"\n",
        "recommends = true\n[packages]\nnginx = \"*\"\n",
        "[packages]\nnginx = \"*\"\n[users.u]\n",
        "[packages]\nnginx = \"*\"\n[groups.g]\n",
    ] {
        assert_ne!(base, digest(other, ""), "{other}");
    }
}

#[test]
fn a_key_is_set_where_its_object_lives() {
    let files = web1("roles = [\"base\"]\n[system]\nhostname = \"a\"\n")
        .with("roles/base.toml", "[system]\ntimezone = \"Etc/UTC\"\n")
        .with("servers/web1/checks.toml", "[checks.front]\nhttp = \"http://a/\"\nstatus = 200 # ok\n")
        .with("servers/web1/lock.toml", "[checks.front]\nstatus = 1\n");
    let edited = set_in_server(&files, "web1", "checks.front.status", "500").unwrap();
    assert_eq!((&*edited.path, edited.line), ("servers/web1/checks.toml", 3));
    assert_eq!(edited.text, "[checks.front]\nhttp = \"http://a/\"\nstatus = 500 # ok\n");
    // A new object of a kind that lives in another file goes there; anything else into server.toml.
    assert_eq!(set_in_server(&files, "web1", "checks.new.port", "80").unwrap().path, "servers/web1/checks.toml");
    let edited = set_in_server(&files, "web1", "packages.nginx", "*").unwrap();
    assert_eq!((&*edited.path, edited.line), ("servers/web1/server.toml", 6));
    // What a role says is overridden, and cannot be unset here.
    let edited = set_in_server(&files, "web1", "system.timezone", "Europe/Berlin").unwrap();
    assert_eq!(edited.text, "roles = [\"base\"]\n[system]\nhostname = \"a\"\ntimezone = \"Europe/Berlin\"\n");
    let refused = unset_in_server(&files, "web1", "system.timezone").unwrap_err().to_string();
    assert!(refused.contains("it comes from the role `base`"), "{refused}");
    let edited = unset_in_server(&files, "web1", "checks.front.status").unwrap();
    assert_eq!(edited.text, "[checks.front]\nhttp = \"http://a/\"\n");
    assert!(matches!(set_in_server(&files, "web9", "a.b", "1"), Err(EditError::NoServer { .. })));
    assert!(matches!(set_in_server(&files, "../web1", "a.b", "1"), Err(EditError::NoServer { .. })));
}

#[test]
fn an_error_in_one_file_leaves_the_other_files_editable() {
    let files = web1("[system\n").with("servers/web1/checks.toml", "[checks.front]\nport = 80\n");
    assert!(set_in_server(&files, "web1", "checks.front.port", "81").is_ok());
    assert!(matches!(set_in_server(&files, "web1", "system.hostname", "a"), Err(EditError::Syntax { line: 1, .. })));
}
