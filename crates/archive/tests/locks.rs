//! What a lock holds, and that it changes only where it must.

mod common;

use common::{World, server};
use regrow_archive::{Changes, Error};
use regrow_config::{Fleet, LockFile, User};
use regrow_host::progress::Silent;
use regrow_testkit::PackageSpec;

fn layers(lock: &LockFile) -> Vec<String> {
    let members = |i: usize| {
        lock.packages.iter().filter(|(_, p)| p.layer == i as u32).map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(" ")
    };
    lock.layers
        .iter()
        .enumerate()
        .map(|(i, l)| format!("{} [{}]: {}", l.name, l.requested.join(" "), members(i)))
        .collect()
}

/// Publishes again, as newer.
fn publish(world: &mut World) {
    world.archive.suite("trixie").date += 60;
    world.archive.publish();
    world.open().refresh(&Silent).unwrap();
}

#[test]
fn a_lock_has_a_base_and_what_was_asked_for() {
    let world = World::new();
    let lock = world.locked(&["web"]);
    assert_eq!(layers(&lock), ["base []: base libbase", "packages [web]: libweb web"]);
    assert_eq!(lock.suites.keys().collect::<Vec<_>>(), ["test/trixie"]);
    assert!(lock.epoch > 0);
    let web = &lock.packages["web"];
    assert_eq!((web.archive.as_str(), web.file.as_str()), ("test", "pool/main/w/web/web_2.0-1_amd64.deb"));
    assert_eq!(LockFile::parse("lock.toml", &lock.to_text()).unwrap(), lock);
}

#[test]
fn the_first_lock_fetches_the_index_by_itself() {
    let world = World::new();
    let (lock, changes) = world.lock(&["web"], None, false).unwrap();
    assert_eq!(changes, Changes { added: lock.packages.keys().cloned().collect(), ..Changes::default() });
}

#[test]
fn locking_again_changes_no_byte_though_the_archive_moved_on() {
    let mut world = World::new();
    let lock = world.locked(&["web", "other"]);
    world.archive.remove("trixie", "libweb").add("trixie", PackageSpec::new("libweb", "2.2"));
    publish(&mut world);
    let (again, changes) = world.lock(&["web", "other"], Some(&lock), false).unwrap();
    assert_eq!(again.to_text(), lock.to_text());
    assert!(changes.is_empty());
}

#[test]
fn another_package_adds_a_layer_and_touches_nothing_else() {
    let mut world = World::new();
    let first = world.locked(&["web"]);
    // libweb 2.1 is in no suite any more, only in our store.
    world.archive.remove("trixie", "libweb").add("trixie", PackageSpec::new("libweb", "2.2"));
    publish(&mut world);
    let (second, changes) = world.lock(&["web", "other"], Some(&first), false).unwrap();
    assert_eq!(layers(&second), ["base []: base libbase", "packages [web]: libweb web", "other [other]: other"]);
    assert_eq!(changes, Changes { added: vec!["other".to_owned()], ..Changes::default() });
    for (name, package) in &first.packages {
        assert_eq!(&second.packages[name], package);
    }
    assert!(second.epoch > first.epoch);
}

#[test]
fn a_locked_version_that_is_nowhere_any_more_is_replaced() {
    let mut world = World::new();
    let first = world.locked(&["web"]);
    world.archive.remove("trixie", "libweb").add("trixie", PackageSpec::new("libweb", "2.2"));
    publish(&mut world);
    std::fs::remove_dir_all(world.home().join("archive/debs")).unwrap();
    let (second, changes) = world.lock(&["web", "other"], Some(&first), false).unwrap();
    assert_eq!(second.packages["libweb"].version, "2.2");
    assert_eq!(
        changes.upgraded.iter().map(|u| format!("{} {} {}", u.name, u.from, u.to)).collect::<Vec<_>>(),
        ["libweb 2.1 2.2"]
    );
}

#[test]
fn upgrade_takes_the_newest_and_keeps_the_layers() {
    let mut world = World::new();
    let first = world.locked(&["web"]);
    let (first, _) = world.lock(&["web", "other"], Some(&first), false).unwrap();
    world.archive.remove("trixie", "libweb").add("trixie", PackageSpec::new("libweb", "2.2").depends("libnew"));
    world.archive.add("trixie", PackageSpec::new("libnew", "1"));
    publish(&mut world);
    let (second, changes) = world.lock(&["web", "other"], Some(&first), true).unwrap();
    assert_eq!(layers(&second), ["base []: base libbase", "packages [web]: libnew libweb web", "other [other]: other"]);
    assert_eq!(changes.added, ["libnew"]);
    assert_eq!(changes.upgraded.len(), 1);
    let (third, changes) = world.lock(&["web", "other"], Some(&second), true).unwrap();
    assert_eq!(third.to_text(), second.to_text(), "nothing newer, nothing changed");
    assert!(changes.is_empty());
}

#[test]
fn what_is_no_longer_asked_for_goes_with_its_layer() {
    let world = World::new();
    let first = world.locked(&["web"]);
    let (second, _) = world.lock(&["other", "web"], Some(&first), false).unwrap();
    let (third, changes) = world.lock(&["other"], Some(&second), false).unwrap();
    assert_eq!(layers(&third), ["base []: base libbase", "other [other]: other"]);
    assert_eq!(changes.removed, ["libweb", "web"]);
    let (fourth, _) = world.lock(&[], Some(&third), false).unwrap();
    assert_eq!(layers(&fourth), ["base []: base libbase"]);
}

#[test]
fn asking_for_what_is_there_as_a_dependency_moves_nothing() {
    let world = World::new();
    let first = world.locked(&["web"]);
    let (second, changes) = world.lock(&["libweb", "web"], Some(&first), false).unwrap();
    assert_eq!(layers(&second), ["base []: base libbase", "packages [libweb web]: libweb web"]);
    assert!(changes.is_empty());
    assert_eq!((second.epoch, &second.suites), (first.epoch, &first.suites));
    let (third, _) = world.lock(&["libweb"], Some(&second), false).unwrap();
    assert_eq!(layers(&third), ["base []: base libbase", "packages [libweb]: libweb"]);
}

#[test]
fn what_a_lower_layer_needs_now_moves_down() {
    let mut world = World::new();
    let first = world.locked(&["web"]);
    let (second, _) = world.lock(&["other", "web"], Some(&first), false).unwrap();
    world.archive.remove("trixie", "libweb").add("trixie", PackageSpec::new("libweb", "2.2").depends("other"));
    publish(&mut world);
    let (third, _) = world.lock(&["other", "web"], Some(&second), true).unwrap();
    assert_eq!(layers(&third), ["base []: base libbase", "packages [other web]: libweb other web"]);
}

#[test]
fn the_base_does_not_depend_on_what_is_asked_for() {
    let mut world = World::new();
    // Alone, the base would take mawk; what is asked for would rather have gawk.
    world
        .archive
        .add("trixie", PackageSpec::new("awkuser", "1").essential().depends("mawk | awk"))
        .add("trixie", PackageSpec::new("mawk", "1").provides("awk"))
        .add("trixie", PackageSpec::new("gawk", "1").provides("awk"));
    world.archive.publish();
    let one = world.locked(&["gawk"]);
    let two = world.locked(&["other"]);
    assert_eq!(layers(&one)[0], "base []: awkuser base libbase mawk");
    assert_eq!(layers(&one)[0], layers(&two)[0]);
}

#[test]
fn exact_versions_are_taken_and_kept() {
    let mut world = World::new();
    world.archive.add("trixie", PackageSpec::new("other", "2"));
    world.archive.publish();
    let lock = world.locked(&["other=1"]);
    assert_eq!(lock.packages["other"].version, "1");
    let (lock, _) = world.lock(&["other"], Some(&lock), false).unwrap();
    assert_eq!(lock.packages["other"].version, "1", "what is locked stays");
    let (lock, changes) = world.lock(&["other=2"], Some(&lock), false).unwrap();
    assert_eq!((lock.packages["other"].version.as_str(), changes.upgraded.len()), ("2", 1));
    let error = world.lock(&["other=3"], None, false).unwrap_err();
    assert!(error.to_string().contains("no suite has other 3; other 2 is in trixie, other 1 is in trixie"), "{error}");
}

#[test]
fn what_cannot_be_is_explained_in_words() {
    let mut world = World::new();
    world
        .archive
        .add("trixie", PackageSpec::new("needy", "1").depends("libweb (>= 3)"))
        .add("trixie", PackageSpec::new("needier", "1").depends("needy"))
        .add("trixie", PackageSpec::new("lost", "1").depends("nowhere | elsewhere"))
        .add("trixie", PackageSpec::new("hermit", "1").conflicts("libweb (<< 3)"))
        .add("trixie", PackageSpec::new("mta1", "1").provides("mta").conflicts("mta"))
        .add("trixie", PackageSpec::new("mta2", "1").provides("mta").conflicts("mta"));
    world.archive.publish();
    world.open().refresh(&Silent).unwrap();
    let words = |packages: &[&str]| match world.lock(packages, None, false) {
        Err(Error::Unsolvable(u)) => u.reasons.join("; "),
        other => panic!("{packages:?}: {other:?}"),
    };
    assert_eq!(
        words(&["web", "needier"]),
        "needy 1 needs libweb (>= 3), which no suite has; libweb 2.1 is in trixie; needy is needed by needier, which was asked for"
    );
    assert_eq!(words(&["lost"]), "lost 1 needs nowhere | elsewhere, which no suite has");
    let conflict = words(&["hermit", "other", "web"]);
    assert_eq!(conflict, "web 2.0-1 needs libweb (>= 2), but hermit 1 conflicts with libweb (<< 3)");
    assert!(words(&["mta1", "mta2"]).contains("conflicts with mta (which mta"), "{}", words(&["mta1", "mta2"]));
    assert_eq!(words(&["webb"]), "no suite has a package `webb`");
    assert_eq!(words(&["mta"]), "`mta` is no package, but provided by mta1, mta2; ask for one of these");
}

#[test]
fn ids_come_from_packages_catalog_and_text_and_stay() {
    let mut world = World::new();
    let passwd = b"root:*:0:0:root:/root:/bin/bash\nwww-data:*:33:33::/:/x\nnobody:*:65534:65534::/:/x\n";
    let group = b"root:*:0:\nwww-data:*:33:\nsudo:*:27:\nnogroup:*:65534:\n";
    world
        .archive
        .add(
            "trixie",
            PackageSpec::new("base-passwd", "1")
                .essential()
                .file("/usr/share/base-passwd/passwd.master", passwd, 0o644)
                .file("/usr/share/base-passwd/group.master", group, 0o644),
        )
        .add(
            "trixie",
            PackageSpec::new("daemon", "1").file(
                "/usr/lib/sysusers.d/daemon.conf",
                b"u! daemon-net - \"x\"\ng render -\nu nobody 65534\n",
                0o644,
            ),
        )
        .add(
            "trixie",
            PackageSpec::new("bare", "1").without_md5sums().file("/usr/lib/sysusers.d/bare.conf", b"u bare -\n", 0o644),
        )
        .add(
            "trixie",
            PackageSpec::new("db", "1")
                .script("postinst", "#!/bin/sh\nset -e\nadduser --system --group db\nadduser db ssl-cert\n"),
        );
    world.archive.publish();
    world.open().refresh(&Silent).unwrap();
    let mut s = server(&["daemon", "bare", "db"]);
    s.users
        .insert("alice".to_owned(), User { groups: vec!["sudo".to_owned(), "render".to_owned()], ..User::default() });
    s.users.insert("robot".to_owned(), User { system: true, uid: Some(345), ..User::default() });
    let fleet = Fleet { archives: world.settings(&["trixie"]), ..Fleet::default() };
    let lock = |s: &regrow_config::Server, previous: Option<&LockFile>| {
        world.open().lock(s, &fleet, previous, false, &Silent).unwrap().0
    };
    let first = lock(&s, None);
    let show = |m: &std::collections::BTreeMap<String, u32>| {
        m.iter().map(|(n, i)| format!("{n}={i}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(show(&first.users), "alice=1000 bare=100 daemon-net=101 db=102 robot=345");
    assert_eq!(show(&first.groups), "alice=1000 bare=100 daemon-net=101 db=102 render=103 robot=345");
    // Removed and added: old ids stay, new names get new ones.
    s.packages.remove("db");
    s.users.insert("zoe".to_owned(), User::default());
    s.users.remove("alice");
    let second = lock(&s, Some(&first));
    assert_eq!(show(&second.users), "alice=1000 bare=100 daemon-net=101 db=102 robot=345 zoe=1001");
    s.packages.insert("db".to_owned(), regrow_config::Package { version: "*".to_owned(), recommends: None });
    assert_eq!(lock(&s, Some(&second)).users["db"], 102);
}

#[test]
fn two_homes_lock_the_same() {
    let world = World::new();
    let one = world.locked(&["web", "other"]);
    std::fs::remove_dir_all(world.home()).unwrap();
    assert_eq!(world.locked(&["other", "web"]).to_text(), one.to_text());
}
