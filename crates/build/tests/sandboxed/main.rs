//! Builds in the sandbox, with the real base packages of Debian and small packages with scripts of every kind.
//!
//! Takes root, and this machine's apt sources for the packages (kept in the target directory).

mod fixture;

use std::time::{Duration, Instant};

use fixture::{Case, base, scratch};
use regrow_build::{BuildError, Options};
use regrow_config::Catalog;
use regrow_sandbox::{Profile, Root, Spec, UserNs};
use regrow_testkit::PackageSpec;
use sha2::{Digest, Sha256};

fn package(name: &str) -> PackageSpec {
    PackageSpec::new(name, "1.0")
}

fn postinst(name: &str, text: &str) -> PackageSpec {
    package(name).script("postinst", &format!("#!/bin/sh\nset -e\n{text}\n"))
}

#[test]
fn two_homes_give_the_same_image_and_dpkg_is_content_with_it() {
    let first = Case::new(vec![]);
    let built = first.build().unwrap();
    let other = Case::new(vec![]).in_fresh_home();
    let again = other.build_with(Options { use_cache: false }).unwrap();
    assert_eq!(again.image, built.image);
    assert!(again.layers.iter().all(|l| !l.cached));
    assert!(first.build().unwrap().layers.iter().all(|l| l.cached), "nothing is made twice");

    let tree = first.store().load(&built.image).unwrap();
    let status = first.text(&tree, "/var/lib/dpkg/status");
    assert_eq!(status.matches("\nStatus: install ok installed\n").count(), first.lock.packages.len());
    assert!(!tree.contains("/usr/sbin/policy-rc.d"));
    assert!(tree.walk().all(|(_, e)| e.meta().mtime <= first.lock.epoch), "nothing is younger than the epoch");
    for command in [vec!["dpkg", "--audit"], vec!["dpkg", "-V"]] {
        let (store, dir) = (first.store(), tempfile::tempdir().unwrap());
        let userns = UserNs::new(0x6fff_0000, 65536).unwrap();
        let lower = store.mount(&built.image, Some(userns.fd())).unwrap();
        let root = Root { lower, upper: dir.path().join("upper"), work: dir.path().join("work") };
        let mut said = Vec::new();
        let spec = Spec::new(root, userns, Profile::Build, command.clone());
        let ended =
            regrow_sandbox::run(spec, Some(Duration::from_secs(60)), &mut |_, b| said.extend_from_slice(b)).unwrap();
        assert!(ended.success() && said.is_empty(), "{command:?}: {}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn a_failing_script_is_named_with_its_status_and_last_words() {
    let case = Case::new(vec![postinst("broken", "echo about to fail >&2\nexit 7")]);
    let error = case.build().unwrap_err();
    let BuildError::Package { package: name, script, status, tail } = &error else { panic!("{error:?}") };
    assert_eq!((name.as_str(), script.as_deref(), *status), ("broken", Some("the post-installation script"), Some(7)));
    assert!(tail.iter().any(|l| l == "about to fail"), "{tail:?}");
    let early = Case::new(vec![package("early").script("preinst", "#!/bin/sh\necho no >&2\nexit 3\n")]);
    let error = early.build().unwrap_err();
    let BuildError::Package { package, script, status, .. } = &error else { panic!("{error:?}") };
    assert_eq!((package.as_str(), script.as_deref(), *status), ("early", Some("the pre-installation script"), Some(3)));
}

#[test]
fn what_scripts_say_on_both_streams_is_kept_in_its_order() {
    // With a pipe for each stream, what waits in one is read before what was written earlier to the other, and half a
    // line of one is glued to a line of the other.
    let script = "for i in 1 2 3 4; do echo out $i; printf 'half ' >&2; sleep 0; echo \"of $i\" >&2; done\nexit 9";
    let error = Case::new(vec![postinst("chatty", script)]).build().unwrap_err();
    let BuildError::Package { tail, status: Some(9), .. } = &error else { panic!("{error:?}") };
    let said: Vec<&str> = tail.iter().map(String::as_str).filter(|l| l.contains("of ") || l.contains("out ")).collect();
    assert_eq!(said, ["out 1", "half of 1", "out 2", "half of 2", "out 3", "half of 3", "out 4", "half of 4"]);
}

#[test]
fn scripts_see_no_host_no_network_and_no_clock_of_the_environment() {
    let script = "{ hostname; echo \"$TZ $LC_ALL $HOME $DEBIAN_FRONTEND $SOURCE_DATE_EPOCH\"; umask; \
                  tail -n +3 /proc/net/dev | cut -d: -f1; ls /home /root /mnt /srv; id -u; \
                  /usr/sbin/policy-rc.d || echo policy $?; env | grep -c '^CARGO' || true; } > /etc/seen";
    let case = Case::new(vec![postinst("nosy", script)]);
    let tree = case.tree();
    let seen = case.text(&tree, "/etc/seen");
    let epoch = case.lock.epoch;
    let expected = format!(
        "localhost\nUTC C.UTF-8 /root noninteractive {epoch}\n0022\n    lo\n/home:\n\n/mnt:\n\n/root:\n\n/srv:\n0\npolicy 101\n0\n"
    );
    assert_eq!(seen.replace("    lo", "lo"), expected.replace("    lo", "lo"));
    assert_eq!(tree.get("/etc/seen").unwrap().meta().mtime, epoch);
}

#[test]
fn accounts_have_the_ids_of_the_lock_or_the_build_fails() {
    let script = "adduser --system --quiet --group --home /var/lib/svc svc\naddgroup --system --quiet extra\nchown svc:extra /usr/share/svc";
    let svc = || postinst("svc", script).depends("adduser").file("/usr/share/svc", b"x", 0o640);
    let mut case = Case::new(vec![svc()]);
    let error = case.build().unwrap_err();
    let BuildError::Accounts(wrong) = &error else { panic!("{error:?}") };
    let found: Vec<_> = wrong.iter().map(|w| (w.kind, w.name.as_str(), w.package.as_deref())).collect();
    assert_eq!(found, [("user", "svc", Some("svc")), ("group", "svc", Some("svc")), ("group", "extra", Some("svc"))]);
    assert!(error.to_string().contains("[users.svc]"), "{error}");

    case.lock.users.insert("svc".to_owned(), 321);
    case.lock.groups.insert("svc".to_owned(), 654);
    case.lock.groups.insert("extra".to_owned(), 655);
    let tree = case.tree();
    assert!(case.text(&tree, "/etc/passwd").contains("svc:x:321:654:"));
    assert_eq!(tree.owner("/usr/share/svc"), Some((321, 655)));
    assert!(!case.text(&tree, "/etc/adduser.conf").contains("/run/regrow"));

    // Another server's lock with other ids must not be given this layer.
    case.lock.users.insert("svc".to_owned(), 322);
    assert_eq!(case.tree().owner("/usr/share/svc"), Some((322, 655)));
}

#[test]
fn replaced_files_diversions_and_triggers_are_dpkgs_business() {
    let old = package("old").file("/usr/share/both", b"old", 0o644).file("/usr/share/kept", b"old", 0o644);
    let new = package("zz-new").field("Replaces", "old").file("/usr/share/both", b"new", 0o644);
    let divert =
        "#!/bin/sh\nset -e\ndpkg-divert --package diverter --rename --divert /usr/share/x.old --add /usr/share/x\n";
    let diverter = package("diverter").script("preinst", divert).file("/usr/share/x", b"diverter's", 0o644);
    let owner = package("owner").file("/usr/share/x", b"owner's", 0o644);
    let case = Case::new(vec![old, new, diverter, owner]);
    let tree = case.tree();
    assert_eq!(case.text(&tree, "/usr/share/both"), "new");
    assert!(!case.text(&tree, "/var/lib/dpkg/info/old.list").contains("/usr/share/both"));
    assert!(case.text(&tree, "/var/lib/dpkg/info/zz-new.list").contains("/usr/share/both"));
    assert_eq!(case.text(&tree, "/usr/share/x"), "diverter's");
    assert_eq!(case.text(&tree, "/usr/share/x.old"), "owner's");
    assert!(case.text(&tree, "/var/lib/dpkg/diversions").contains("/usr/share/x\n/usr/share/x.old\ndiverter\n"));
    assert!(!case.text(&tree, "/var/lib/dpkg/status").contains("not-installed"));
}

#[test]
fn two_packages_with_the_same_file_are_refused_by_name() {
    let one = package("one").file("/usr/share/same", b"1", 0o644);
    let two = package("two").file("/usr/share/same", b"2", 0o644);
    let error = Case::new(vec![one, two]).build().unwrap_err().to_string();
    assert!(error.contains("/usr/share/same") && error.contains("one"), "{error}");
}

#[test]
fn the_catalog_masks_stands_in_scrubs_and_gives_identity() {
    let text = r##"
packages = ["keyed"]
[build]
mask = ["/usr/bin/slow-key"]
[build.replace]
"/usr/bin/fast-key" = """
#!/bin/sh
echo placeholder > /etc/keyed.key
"""
[scrub]
paths = ["/var/lib/keyed/*"]
[identity."/etc/keyed.key"]
seed = "key"
[seed.key]
command = ["/usr/bin/fast-key"]
creates = "/var/lib/regrow/identity/etc/keyed.key"
"##;
    let program = |name: &str| format!("#!/bin/sh\necho {name} ran >> /etc/ran\n");
    let script = "slow-key\nfast-key\ntest -s /etc/keyed.key\nmkdir -p /var/lib/keyed/a\necho $$ > /var/lib/keyed/a/b";
    let keyed = postinst("keyed", script).file("/usr/bin/slow-key", program("slow").as_bytes(), 0o755).file(
        "/usr/bin/fast-key",
        program("fast").as_bytes(),
        0o755,
    );
    let mut case = Case::new(vec![keyed]);
    case.catalog = Catalog::read_all(&[("keyed", text)]).0;
    let tree = case.tree();
    assert!(!tree.contains("/etc/ran"), "neither real program ran");
    assert!(case.text(&tree, "/usr/bin/slow-key").contains("slow ran"), "both are in the image");
    assert!(tree.contains("/var/lib/keyed") && !tree.contains("/var/lib/keyed/a"));
    assert_eq!(tree.get("/etc/keyed.key").unwrap().as_symlink(), Some(&b"/var/lib/regrow/identity/etc/keyed.key"[..]));
    assert!(
        case.text(&tree, "/etc/systemd/system/regrow-seed-keyed-key.service").contains("ExecStart=/usr/bin/fast-key\n")
    );
    assert!(tree.contains("/var/lib/regrow/identity") && tree.glob("/var/lib/regrow/identity/*").is_empty());
}

#[test]
fn a_shortcut_stands_in_for_the_program_it_was_compared_with_and_no_other() {
    let slow = b"#!/bin/sh\necho slow $* >> /etc/ran\n";
    let entry = |digest: &str| {
        format!(
            "packages = [\"worker\"]\n[build.shortcut.\"/usr/bin/work\"]\n\
             given.\"/usr/bin/work\" = [\"{digest}\"]\n\
             script = '''\n#!/bin/sh\necho fast >> /etc/ran\nexec $0.regrow-real more\n'''\n"
        )
    };
    let built = |digest: &str| {
        let worker = postinst("worker", "work a").file("/usr/bin/work", slow, 0o755);
        let mut case = Case::new(vec![worker]);
        let (catalog, mistakes) = Catalog::read_all(&[("worker", &entry(digest))]);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        case.catalog = catalog;
        let tree = case.tree();
        assert_eq!(case.text(&tree, "/usr/bin/work").as_bytes(), slow, "the program itself is in the image");
        assert!(!tree.contains("/usr/bin/work.regrow-real"));
        case.text(&tree, "/etc/ran")
    };
    assert_eq!(built(&hex::encode(Sha256::digest(slow))), "fast\nslow more\n");
    assert_eq!(built(&hex::encode(Sha256::digest(b"another version"))), "slow a\n");
}

#[test]
fn a_private_key_made_by_a_script_is_refused() {
    let body = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
    let script =
        format!("printf -- '-----BEGIN PRIVATE KEY-----\\n{body}\\n-----END PRIVATE KEY-----\\n' > /etc/tls.key");
    let error = Case::new(vec![postinst("leaky", &script)]).build().unwrap_err();
    assert!(matches!(&error, BuildError::PrivateKey { path, .. } if path == "/etc/tls.key"), "{error}");
}

#[test]
fn a_change_of_the_text_makes_only_the_last_layer() {
    let mut case = Case::new(vec![]);
    let before = case.build().unwrap();
    case.server.system.hostname = "other".to_owned();
    let built = case.build().unwrap();
    let cached: Vec<bool> = built.layers.iter().map(|l| l.cached).collect();
    assert_eq!(cached, [true, true, false]);
    assert_ne!(built.image, before.image);
    case.server.system.hostname = "web1".to_owned();
    assert_eq!(case.build().unwrap().image, before.image, "changing it back gives the old image");
}

#[test]
fn two_builds_at_once_share_the_work() {
    let case = Case::new(vec![postinst("slowish", "sleep 1; echo done > /etc/slowish")]);
    let built: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| case.build().unwrap())).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(built[0].image, built[1].image);
    let made = built.iter().filter(|b| b.layers.iter().any(|l| l.name == "test" && !l.cached)).count();
    assert_eq!(made, 1, "the second waits for the first and takes its layer");
}

/// Not a test of its own: the program that [`a_killed_build_leaves_nothing_to_repair`] kills.
#[test]
fn killed_from_outside() {
    if let Some(home) = std::env::var_os("REGROW_BUILD_KILLED_IN") {
        let mut case = killed_case();
        case.home = home.into();
        let _ = case.build();
    }
}

fn killed_case() -> Case {
    Case::new(vec![
        postinst("victim", "echo x > /etc/victim"),
        package("bystander").file("/usr/share/b", &[7; 9999], 0o644),
    ])
}

#[test]
fn a_killed_build_leaves_nothing_to_repair() {
    let mut case = killed_case().in_fresh_home();
    let reference = killed_case().build().unwrap().image;
    let run = |case: &Case| {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed_from_outside"])
            .env("REGROW_BUILD_KILLED_IN", &case.home)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    // One undisturbed run says how long it takes here; the kills are spread over that time.
    let since = Instant::now();
    assert!(run(&case).wait().unwrap().success());
    let whole = since.elapsed();
    let homes = tempfile::tempdir().unwrap();
    let times = if std::env::var_os("REGROW_TEST_ALL").is_some() { 50 } else { 6 };
    case.home = homes.path().join("killed");
    for i in 0..times {
        let mut child = run(&case);
        let _ = rustix::event::poll(&mut [], Some(&(whole * (2 * i + 1) / (2 * times)).try_into().unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(case.build().unwrap().image, reference);
    assert_eq!(scratch(&case.home), [""; 0], "scratch directories of killed builds are swept");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&*case.home.to_string_lossy()), "no mount stays");
}

#[test]
fn a_package_without_a_file_or_with_the_wrong_one_is_named() {
    let mut case = Case::new(vec![package("lost")]);
    let path = case.debs.remove("lost").unwrap();
    assert!(matches!(case.build(), Err(BuildError::NoDeb { package, .. }) if package == "lost"));
    let other = Case::new(vec![package("other")]);
    case.debs.insert("lost".to_owned(), other.debs["other"].clone());
    let error = case.build().unwrap_err().to_string();
    assert!(error.contains("it holds other 1.0, but the lock says lost 1.0"), "{error}");
    std::fs::write(&path, b"not a package").unwrap();
    case.debs.insert("lost".to_owned(), path);
    assert!(case.build().unwrap_err().to_string().contains("lost_1.0_amd64.deb"));
    assert_eq!(base().lock.layers.len(), 2);
}
