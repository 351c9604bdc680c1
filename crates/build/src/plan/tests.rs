//! The plan is a function of its inputs, and every input counts where the table says so.

use proptest::prelude::*;
use regrow_config::lock::{Layer, LockedPackage};
use regrow_config::{Check, CheckKind, FileEntry, Group, RootFile, State, Timer, User};

use super::*;

const CATALOG: &str = r#"
packages = ["db"]
users = ["db"]
[build]
mask = ["/usr/bin/keygen"]
[scrub]
paths = ["/var/lib/db/*"]
[identity."/etc/db.key"]
seed = "key"
[seed.key]
command = ["/usr/bin/keygen"]
creates = "/var/lib/regrow/identity/etc/db.key"
"#;

fn catalog(text: &str) -> Catalog {
    let (catalog, diagnostics) = Catalog::read_all(&[("db", text)]);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    catalog
}

fn package(version: &str, layer: u32) -> LockedPackage {
    LockedPackage {
        version: version.to_owned(),
        architecture: "amd64".to_owned(),
        archive: "debian".to_owned(),
        file: "pool/x.deb".to_owned(),
        size: 1,
        sha256: format!("{version:0>64}"),
        layer,
    }
}

fn lock() -> LockFile {
    let layer = |name: &str| Layer { name: name.to_owned(), requested: Vec::new() };
    LockFile {
        schema: 1,
        epoch: 1000,
        architecture: "amd64".to_owned(),
        layers: vec![layer("base"), layer("packages"), layer("more")],
        packages: BTreeMap::from([
            ("bash".to_owned(), package("5", 0)),
            ("db".to_owned(), package("1", 1)),
            ("web".to_owned(), package("2", 1)),
            ("tool".to_owned(), package("3", 2)),
        ]),
        users: BTreeMap::from([("db".to_owned(), 101), ("alice".to_owned(), 1000)]),
        groups: BTreeMap::from([("db".to_owned(), 102)]),
        ..LockFile::default()
    }
}

fn server() -> Server {
    let mut server = Server { name: "web1".to_owned(), ..Server::default() };
    server.system.hostname = "web1".to_owned();
    server
}

/// The keys, the text's last.
fn keys(server: &Server, lock: &LockFile, catalog: &Catalog) -> Vec<String> {
    let plan = plan(server, lock, catalog);
    plan.layers.iter().map(|l| l.key.clone()).chain([plan.config.key.clone()]).collect()
}

/// Which keys differ from those of the unchanged inputs.
fn changed(change: impl FnOnce(&mut Server, &mut LockFile, &mut String)) -> Vec<bool> {
    let (mut s, mut l, mut c) = (server(), lock(), CATALOG.to_owned());
    let before = keys(&s, &l, &catalog(&c));
    change(&mut s, &mut l, &mut c);
    let after = keys(&s, &l, &catalog(&c));
    before.iter().zip(&after).map(|(a, b)| a != b).collect()
}

#[test]
fn packages_are_in_their_layers_sorted_by_name() {
    let plan = plan(&server(), &lock(), &catalog(CATALOG));
    let names: Vec<Vec<&str>> =
        plan.layers.iter().map(|l| l.packages.iter().map(|p| p.name.as_str()).collect()).collect();
    assert_eq!(names, [vec!["bash"], vec!["db", "web"], vec!["tool"]]);
    assert_eq!(plan.layers[0].hints, Hints::default());
    assert!(plan.layers[1].hints.mask.contains("/usr/bin/keygen"));
    assert_eq!(plan.layers[1].hints, plan.layers[2].hints, "what holds for a package holds for later layers");
}

#[test]
fn what_is_in_every_layer_changes_every_key() {
    assert_eq!(changed(|_, l, _| l.epoch += 1), [true; 4]);
    assert_eq!(changed(|_, l, _| l.architecture = "arm64".to_owned()), [true; 4]);
    assert_eq!(changed(|_, l, _| l.packages.get_mut("bash").unwrap().sha256.replace_range(0..1, "f")), [true; 4]);
}

#[test]
fn a_package_changes_its_layer_and_those_above() {
    let here = [false, true, true, true];
    assert_eq!(changed(|_, l, _| l.packages.get_mut("web").unwrap().sha256.replace_range(0..1, "f")), here);
    assert_eq!(changed(|_, l, _| l.packages.get_mut("web").unwrap().version.push('1')), here);
    assert_eq!(changed(|_, l, _| l.packages.get_mut("web").unwrap().architecture = "all".to_owned()), here);
    assert_eq!(changed(|_, l, _| drop(l.packages.remove("web"))), here);
    assert_eq!(changed(|_, l, _| drop(l.packages.insert("x".to_owned(), package("1", 1)))), here);
    assert_eq!(changed(|_, l, _| l.packages.get_mut("tool").unwrap().layer = 1), here);
    assert_eq!(changed(|_, l, _| drop(l.packages.insert("x".to_owned(), package("1", 2)))), [false, false, true, true]);
}

#[test]
fn catalog_entries_change_the_layers_they_apply_to() {
    let here = [false, true, true, true];
    assert_eq!(changed(|_, _, c| *c = c.replace("keygen\"]\n[scrub]", "other\"]\n[scrub]")), here);
    assert_eq!(changed(|_, _, c| *c = c.replace("/var/lib/db/*", "/var/lib/db")), here);
    assert_eq!(changed(|_, _, c| *c = c.replace("/etc/db.key\"]", "/etc/db2.key\"]")), here);
    let seed =
        |c: &mut String| *c = c.replace("command = [\"/usr/bin/keygen\"]", "command = [\"/usr/bin/keygen\", \"-q\"]");
    assert_eq!(changed(|_, _, c| seed(c)), [false, false, false, true], "seeds are made by the text's layer");
    assert_eq!(changed(|_, _, c| c.insert_str(0, "title = \"Database\"\n")), [false; 4], "words are in no image");
    assert_eq!(changed(|_, _, c| *c = c.replace("[\"db\"]\nusers", "[\"absent\"]\nusers")), here);
}

#[test]
fn ids_change_the_layer_that_makes_the_account() {
    assert_eq!(changed(|_, l, _| _ = l.users.insert("db".to_owned(), 111)), [false, true, true, true]);
    assert_eq!(changed(|_, l, _| _ = l.groups.insert("db".to_owned(), 111)), [false, true, true, true]);
    assert_eq!(changed(|_, l, _| _ = l.users.insert("alice".to_owned(), 1001)), [false, false, false, true]);
}

#[test]
fn the_text_changes_only_its_own_layer() {
    let last = [false, false, false, true];
    let file = |content: &str| FileEntry {
        kind: FileKind::Regular { content: content.into(), source: None },
        mode: 0o644,
        owner: "root".to_owned(),
        group: "root".to_owned(),
    };
    let root =
        |content: &str| RootFile { content: RootContent::Bytes(content.into()), mode: 0o644, source: "s".to_owned() };
    assert_eq!(changed(|s, _, _| s.system.hostname = "x".to_owned()), last);
    assert_eq!(changed(|s, _, _| s.system.timezone = "Europe/Berlin".to_owned()), last);
    assert_eq!(changed(|s, _, _| s.system.locale = "C".to_owned()), last);
    assert_eq!(changed(|s, _, _| drop(s.services.insert("a".to_owned(), Default::default()))), last);
    assert_eq!(changed(|s, _, _| drop(s.users.insert("a".to_owned(), User::default()))), last);
    assert_eq!(changed(|s, _, _| _ = s.groups.insert("a".to_owned(), Group::default())), last);
    assert_eq!(changed(|s, _, _| drop(s.files.insert("/a".to_owned(), file("x")))), last);
    assert_eq!(changed(|s, _, _| drop(s.root_files.insert("/a".to_owned(), root("x")))), last);
    assert_eq!(changed(|s, _, _| drop(s.timers.insert("a".to_owned(), Timer::default()))), last);
    assert_eq!(changed(|s, _, _| drop(s.sysctl.insert("a".to_owned(), "1".to_owned()))), last);
    let state = State { paths: vec!["/srv".to_owned()], ..State::default() };
    assert_eq!(changed(|s, _, _| drop(s.state.insert("a".to_owned(), state))), last);
    let key = |content: &str, path: &str| {
        let mut server = server();
        server.files.insert(path.to_owned(), file(content));
        keys(&server, &lock(), &catalog(CATALOG))[3].clone()
    };
    assert_ne!(key("x", "/a"), key("y", "/a"), "one byte of a file");
    assert_ne!(key("x", "/a"), key("x", "/b"), "its path");
    let key = |content: &str| {
        let mut server = server();
        server.root_files.insert("/a".to_owned(), root(content));
        keys(&server, &lock(), &catalog(CATALOG))[3].clone()
    };
    assert_ne!(key("x"), key("y"), "one byte of a file in root/");
}

#[test]
fn what_is_in_no_image_changes_no_key() {
    let check = Check { kind: CheckKind::Unit { unit: "a.service".to_owned() }, timeout: 5 };
    assert_eq!(changed(|s, _, _| drop(s.checks.insert("a".to_owned(), check))), [false; 4]);
    assert_eq!(changed(|s, _, _| s.network.publish = vec![]), [false; 4]);
    assert_eq!(changed(|s, _, _| s.recommends = true), [false; 4]);
    assert_eq!(changed(|s, _, _| s.system.limits.tasks = Some(5)), [false; 4]);
    assert_eq!(changed(|_, l, _| l.packages.get_mut("web").unwrap().file = "elsewhere".to_owned()), [false; 4]);
    assert_eq!(changed(|_, l, _| l.inputs = "x".to_owned()), [false; 4]);
}

#[test]
fn keys_can_be_names_in_the_store() {
    for key in keys(&server(), &lock(), &catalog(CATALOG)) {
        assert!(key.len() == 64 && key.bytes().all(|b| b.is_ascii_hexdigit()), "{key}");
    }
}

proptest! {
    /// Lists of inputs that differ anywhere have different keys, however their values are cut.
    #[test]
    fn values_do_not_run_into_each_other(a in "[a-z ]{0,6}", b in "[a-z ]{0,6}", c in "[a-z ]{0,6}", d in "[a-z ]{0,6}") {
        let key = |one: &str, two: &str| {
            let mut key = Key::new("x");
            key.add("one", one);
            key.add("two", two);
            key.finish()
        };
        prop_assert_eq!(key(&a, &b) == key(&c, &d), (a, b) == (c, d));
    }

    /// The same inputs give the same plan, whatever they are.
    #[test]
    fn planning_twice_gives_the_same(versions in proptest::collection::vec("[0-9]{1,3}", 1..8), epoch in 0i64..9_999_999) {
        let mut lock = lock();
        lock.epoch = epoch;
        for (i, version) in versions.iter().enumerate() {
            lock.packages.insert(format!("p{i}"), package(version, u32::try_from(i % 3).unwrap()));
        }
        prop_assert_eq!(keys(&server(), &lock, &catalog(CATALOG)), keys(&server(), &lock, &catalog(CATALOG)));
    }
}
