//! Indexes come in only if a trusted key, their digest, their name and their time say so; what was verified stays usable.

mod common;

use common::World;
use regrow_archive::{Error, News};
use regrow_host::progress::Silent;
use regrow_testkit::{Fault, Key, PackageSpec};

fn refresh(world: &World) -> Result<Vec<News>, Error> {
    let refreshed = world.open().refresh(&Silent)?;
    Ok(refreshed.suites.into_iter().map(|s| s.news.expect("the archive answered")).collect())
}

#[test]
fn a_good_index_comes_in_once() {
    let world = World::new();
    assert_eq!(refresh(&world).unwrap(), [News::Updated]);
    assert_eq!(refresh(&world).unwrap(), [News::Unchanged]);
    assert_eq!(
        world.server.requests().iter().filter(|r| r.path.contains("by-hash")).count(),
        1,
        "the second time nothing is fetched again"
    );
    let names = world.open().package_names().unwrap().unwrap();
    assert!(names.exists("web") && !names.exists("wob"));
    assert_eq!(names.near("wob"), ["web"]);
}

#[test]
fn names_are_unknown_before_the_first_refresh() {
    let world = World::new();
    assert!(world.open().package_names().unwrap().is_none());
    let request = regrow_archive::Request { requested: &[], recommends: false, previous: None, upgrade: false };
    assert!(matches!(world.open().resolve(&request), Err(Error::NoIndex { .. })));
}

#[test]
fn every_form_of_publishing_is_understood() {
    for (inline, by_hash, compression) in
        [(true, true, ".xz"), (false, true, ".gz"), (true, false, ".gz"), (false, false, ""), (true, false, "")]
    {
        let mut world = World::new();
        let suite = world.archive.suite("trixie");
        (suite.inline, suite.by_hash) = (inline, by_hash);
        suite.compressions = vec![compression.to_owned()];
        world.archive.publish();
        assert_eq!(refresh(&world).unwrap(), [News::Updated], "{inline} {by_hash} {compression}");
        assert!(world.open().package_names().unwrap().unwrap().exists("web"));
    }
}

#[test]
fn an_armoured_keyring_serves_too() {
    let world = World::new();
    std::fs::write(world.archive.keyring(), Key::new(1).public_armoured()).unwrap();
    assert_eq!(refresh(&world).unwrap(), [News::Updated]);
}

#[test]
fn a_directory_serves_as_mirror() {
    let world = World::new();
    let mut settings = world.settings(&["trixie"]);
    settings.get_mut("test").unwrap().mirror = world.archive.file_url();
    let archive = regrow_archive::Archive::open(&world.home(), &settings, "amd64").unwrap();
    archive.refresh(&Silent).unwrap();
    assert!(archive.package_names().unwrap().unwrap().exists("web"));
    assert!(world.server.requests().is_empty());
}

/// What the refresh of `world` says, after a good one; the good index must stay.
fn refused(world: &World) -> Error {
    let error = refresh(world).unwrap_err();
    assert!(
        !common::files_below(&world.home().join("scratch")).iter().any(|f| !f.ends_with(".lock")),
        "scratch is cleaned"
    );
    error
}

#[test]
fn a_flipped_byte_in_the_signed_text_or_its_signature_is_refused_naming_the_signature() {
    // In the digests, in the dates, in the signature's base64.
    for at in [200, 120, -120] {
        let world = World::new();
        world.server.fault("InRelease", Fault::Flip(at));
        let error = refused(&world);
        assert!(
            matches!(&error, Error::Signature { url, .. } if url.ends_with("/dists/trixie/InRelease")),
            "{at}: {error}"
        );
        assert!(world.open().package_names().unwrap().is_none(), "nothing of it is used");
    }
}

#[test]
fn a_flipped_byte_in_a_detached_signature_or_its_text_is_refused() {
    for file in ["/Release", "/Release.gpg"] {
        let mut world = World::new();
        world.archive.suite("trixie").inline = false;
        world.archive.publish();
        world.server.fault(file, Fault::Flip(100));
        let error = refused(&world);
        assert!(matches!(error, Error::Signature { .. }), "{file}: {error}");
    }
}

#[test]
fn a_flipped_byte_in_an_index_is_refused_naming_the_index() {
    let mut world = World::new();
    world.archive.suite("trixie").by_hash = false;
    world.archive.publish();
    world.server.fault("Packages.xz", Fault::Flip(60));
    let error = refused(&world);
    assert!(
        matches!(&error, Error::IndexDigest { url, .. } if url.ends_with("/main/binary-amd64/Packages.xz")),
        "{error}"
    );
    world.server.mend();
    assert_eq!(refresh(&world).unwrap(), [News::Updated], "the next run is not harmed");
}

#[test]
fn an_unsigned_archive_is_refused() {
    let mut world = World::new();
    world.archive.suite("trixie").inline = false;
    world.archive.publish();
    std::fs::remove_file(world.archive.dir().join("dists/trixie/Release.gpg")).unwrap();
    let error = refused(&world);
    assert!(error.to_string().contains("not signed"), "{error}");
}

#[test]
fn the_keys_of_others_and_expired_keys_are_refused() {
    let mut world = World::new();
    world.archive.sign_with(Key::new(2));
    world.archive.publish();
    assert!(matches!(refused(&world), Error::Signature { .. }));

    let world = World::new();
    // Made in 2020, expired a day later; the signature is of today.
    std::fs::write(world.archive.keyring(), Key::new(1).expiring_after(86400).public()).unwrap();
    assert!(matches!(refused(&world), Error::Signature { .. }));
}

#[test]
fn a_missing_or_empty_keyring_is_told_as_such() {
    let world = World::new();
    std::fs::remove_file(world.archive.keyring()).unwrap();
    assert!(matches!(refused(&world), Error::Keyring { .. }));
    std::fs::write(world.archive.keyring(), b"").unwrap();
    assert!(matches!(refused(&world), Error::Keyring { .. }));
}

#[test]
fn gpgv_and_sqv_judge_alike() {
    // The unit under test chooses sqv where it is; here both are asked.
    let world = World::new();
    let path = world.path("only-gpgv");
    std::fs::create_dir_all(&path).unwrap();
    std::os::unix::fs::symlink("/usr/bin/gpgv", path.join("gpgv")).unwrap();
    let child = |fault: &str| {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_of_gpgv_test", "--nocapture"])
            .env("PATH", &path)
            .env("REGROW_TEST_FAULT", fault)
            .status()
            .unwrap()
            .success()
    };
    for fault in ["none", "flip", "key", "expired", "detached", "armour"] {
        assert!(child(fault), "{fault}");
    }
}

/// Runs in a child of [`gpgv_and_sqv_judge_alike`] with only gpgv in its path; alone it runs with what the machine has.
#[test]
fn child_of_gpgv_test() {
    let fault = std::env::var("REGROW_TEST_FAULT").unwrap_or_else(|_| "flip".to_owned());
    let mut world = World::new();
    match fault.as_str() {
        "flip" => world.server.fault("InRelease", Fault::Flip(200)),
        "key" => {
            world.archive.sign_with(Key::new(2));
            world.archive.publish();
        }
        "expired" => std::fs::write(world.archive.keyring(), Key::new(1).expiring_after(86400).public()).unwrap(),
        "armour" => std::fs::write(world.archive.keyring(), Key::new(1).public_armoured()).unwrap(),
        "detached" => {
            world.archive.suite("trixie").inline = false;
            world.archive.publish();
        }
        _ => {}
    }
    let good = ["none", "detached", "armour"].contains(&fault.as_str());
    match refresh(&world) {
        Ok(_) => assert!(good, "{fault} was accepted"),
        Err(e) => assert!(!good && matches!(e, Error::Signature { .. }), "{fault}: {e}"),
    }
}

#[test]
fn an_expired_index_is_refused_by_the_clock_that_is_given() {
    let mut world = World::new();
    let suite = world.archive.suite("trixie");
    suite.valid_until = Some(suite.date + 7 * 86400);
    let until = suite.date + 7 * 86400;
    world.archive.publish();
    let error = world.open().with_clock(until + 1).refresh(&Silent).unwrap_err();
    assert!(matches!(error, Error::Expired { .. }), "{error}");
    world.open().with_clock(until - 1).refresh(&Silent).unwrap();
}

#[test]
fn an_index_from_the_future_is_refused() {
    let world = World::new();
    let error = world.open().with_clock(1_600_000_000).refresh(&Silent).unwrap_err();
    assert!(matches!(error, Error::FromTheFuture { .. }), "{error}");
}

#[test]
fn another_suite_than_asked_for_is_refused() {
    let mut world = World::new();
    let suite = world.archive.suite("trixie");
    (suite.suite, suite.codename) = ("oldstable".to_owned(), "bookworm".to_owned());
    world.archive.publish();
    let error = refused(&world);
    assert_eq!(
        error.to_string(),
        format!(
            "{}/dists/trixie/InRelease is the index of bookworm (oldstable), not of `trixie`, so it is refused; check `suites` in regrow.toml",
            world.server.url()
        )
    );
}

#[test]
fn an_older_index_does_not_replace_a_newer_one() {
    let mut world = World::new();
    refresh(&world).unwrap();
    world.archive.suite("trixie").date -= 86400;
    world.archive.remove("trixie", "web");
    world.archive.publish();
    assert_eq!(refresh(&world).unwrap(), [News::Older]);
    assert!(world.open().package_names().unwrap().unwrap().exists("web"));
}

#[test]
fn components_and_architectures_that_are_not_there_are_told() {
    let world = World::new();
    let mut settings = world.settings(&["trixie"]);
    settings.get_mut("test").unwrap().components = vec!["main".to_owned(), "contrib".to_owned()];
    let archive = regrow_archive::Archive::open(&world.home(), &settings, "amd64").unwrap();
    let error = archive.refresh(&Silent).unwrap_err();
    assert!(error.to_string().contains("no component `contrib` (it has main)"), "{error}");
    let archive = regrow_archive::Archive::open(&world.home(), &world.settings(&["trixie"]), "arm64").unwrap();
    let error = archive.refresh(&Silent).unwrap_err();
    assert!(error.to_string().contains("architecture arm64"), "{error}");
}

#[test]
fn an_archive_that_does_not_answer_is_an_error_only_without_an_index() {
    let world = World::new();
    world.server.fault("InRelease", Fault::Status(503, usize::MAX));
    let error = world.open().refresh(&Silent).unwrap_err();
    assert!(matches!(&error, Error::Unreachable { reason, .. } if reason.contains("503")), "{error}");
    world.server.mend();
    refresh(&world).unwrap();
    world.server.fault("InRelease", Fault::Status(503, usize::MAX));
    let refreshed = world.open().refresh(&Silent).unwrap();
    let words = refreshed.suites[0].news.clone().unwrap_err();
    assert!(words.contains("503") && words.contains("verified before"), "{words}");
    assert!(world.open().package_names().unwrap().unwrap().exists("web"));
}

#[test]
fn a_suite_that_does_not_exist_is_told_with_its_address() {
    let world = World::new();
    let error = world.open_suites(&["trixie", "trixie-updates"]).refresh(&Silent).unwrap_err();
    assert!(matches!(&error, Error::NotFound { url } if url.ends_with("/dists/trixie-updates/Release")), "{error}");
}

#[test]
fn damaged_caches_are_made_anew_without_the_network() {
    let world = World::new();
    refresh(&world).unwrap();
    let asked = world.server.requests().len();
    let dir = std::fs::read_dir(world.home().join("archive/indexes")).unwrap().next().unwrap().unwrap().path();
    for damage in [&b""[..], b"garbage"] {
        for file in ["compiled-amd64", "names-amd64"] {
            std::fs::write(dir.join(file), damage).unwrap();
        }
        assert!(world.open().package_names().unwrap().unwrap().exists("web"));
        let request = regrow_archive::Request { requested: &[], recommends: false, previous: None, upgrade: false };
        assert_eq!(world.open().resolve(&request).unwrap().packages.len(), 2);
    }
    assert_eq!(world.server.requests().len(), asked);
    // A verified file that was damaged on disk is not believed either.
    let packages = common::files_below(&dir).into_iter().find(|f| f.starts_with("packages-")).unwrap();
    std::fs::write(dir.join(packages), b"garbage").unwrap();
    std::fs::remove_file(dir.join("compiled-amd64")).unwrap();
    let request = regrow_archive::Request { requested: &[], recommends: false, previous: None, upgrade: false };
    assert!(matches!(world.open().resolve(&request), Err(Error::NoIndex { .. })));
    assert_eq!(refresh(&world).unwrap(), [News::Updated], "a refresh repairs it");
}

#[test]
fn a_new_index_replaces_the_old_one_and_its_files() {
    let mut world = World::new();
    refresh(&world).unwrap();
    world.archive.add("trixie", PackageSpec::new("brandnew", "1"));
    world.archive.suite("trixie").date += 60;
    world.archive.publish();
    assert_eq!(refresh(&world).unwrap(), [News::Updated]);
    assert!(world.open().package_names().unwrap().unwrap().exists("brandnew"));
    let files = common::files_below(&world.home().join("archive/indexes"));
    assert_eq!(files.iter().filter(|f| f.contains("packages-")).count(), 1, "{files:?}");
}
