//! The main job on real Debian packages: text, lock, image, trial, switch, and the way back.

use std::process::Command;
use std::time::Duration;

use crate::fleet::{Real, said, wait_until};
use crate::one_at_a_time;

#[test]
fn the_demo_ends_well_and_leaves_nothing_behind() {
    let _one = one_at_a_time();
    let dir = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../script/demo");
    let mut demo = Command::new(script);
    demo.arg("--once").env("REGROW", env!("CARGO_BIN_EXE_regrow")).env("REGROW_DEMO", dir.path());
    let first = demo.output().unwrap();
    assert!(first.status.success(), "{}", said(&["demo"], &first));
    let again = demo.output().unwrap();
    assert!(again.status.success(), "a second run: {}", said(&["demo"], &again));
    assert!(!processes_of(dir.path()), "processes of the demo are left");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(dir.path().to_str().unwrap()), "mounts of the demo are left:\n{mounts}");
}

/// Whether any process has the directory in its command line.
fn processes_of(dir: &std::path::Path) -> bool {
    let dir = dir.as_os_str().as_encoded_bytes();
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.windows(dir.len()).any(|w| w == dir)
    })
}

#[test]
fn one_revision_gives_one_image_in_any_home_and_one_byte_gives_another() {
    let _one = one_at_a_time();
    let real = Real::locked();
    let image =
        |home: &std::path::Path| real.json_in(home, &["build", "web1"], 0)["image"].as_str().unwrap().to_owned();
    let (a, b) = (real.with_fresh_home("a"), real.with_fresh_home("elsewhere/b"));
    let first = image(&a);
    assert_eq!(first, image(&b), "two fresh homes, one revision");

    let page = real.text("root/var/www/html/index.html");
    let before = std::fs::read(&page).unwrap();
    let mut flipped = before.clone();
    flipped[0] ^= 1;
    std::fs::write(&page, &flipped).unwrap();
    let other = image(&a);
    assert_ne!(first, other, "one character of a file in root/");
    assert_eq!(other, image(&b));
    std::fs::write(&page, &before).unwrap();
    assert_eq!(first, image(&a), "and back");

    let uncached = real.json_in(&a, &["build", "web1", "--no-cache"], 0);
    assert_eq!(first, uncached["image"], "built again without any cached layer");
    assert!(uncached["layers"].as_array().unwrap().iter().all(|l| l["cached"] == false), "{uncached}");

    // The fleet's own entries take the place of those with shortcuts: the programs themselves give the same image.
    for (name, text) in [
        ("ca-certificates", include_str!("../../../../catalog/ca-certificates.toml")),
        ("postgresql", include_str!("../../../../catalog/postgresql.toml")),
    ] {
        let (before, shortcut) = text.split_once("[build.shortcut.").unwrap();
        let after = shortcut.splitn(3, "'''").nth(2).unwrap();
        real.write(&format!("catalog/{name}.toml"), &format!("{before}{after}"));
    }
    let slow = real.json_in(&b, &["build", "web1"], 0);
    assert!(
        slow["layers"].as_array().unwrap().iter().any(|l| l["cached"] == false),
        "the shortcuts are in no key: {slow}"
    );
    assert_eq!(first, slow["image"], "with the programs that the shortcuts stand in for");
}

#[test]
fn a_server_is_tried_switched_held_and_rolled_back() {
    let _one = one_at_a_time();
    let real = Real::locked();

    let trial = real.json(&["trial", "web1"]);
    assert_eq!(trial["verdict"], "healthy", "{trial}");
    let passed =
        |name: &str| trial["checks"].as_array().unwrap().iter().any(|c| c["name"] == name && c["passed"] == true);
    for check in ["front", "database"] {
        assert!(passed(check), "{check}: {trial}");
    }

    let first = real.json(&["switch", "web1"]);
    assert_eq!(first["to"], trial["image"], "what was tried is what is switched");
    assert_eq!(real.http().unwrap().0, 200);
    let status = real.status();
    assert_eq!(status["healthy"], true, "{status}");

    // State outlives a switch: a row written now must be there afterwards.
    let sql = |statement: &str| {
        real.ok(&["exec", "web1", "--", "runuser", "-u", "postgres", "--", "psql", "-XAtc", statement])
            .trim()
            .to_owned()
    };
    sql("create table kept (n int); insert into kept values (42)");

    let page = real.text("root/var/www/html/index.html");
    std::fs::write(&page, "<!doctype html><title>second</title>second, grown from text\n").unwrap();
    real.commit("web1: another page");
    let second = real.json(&["switch", "web1"]);
    assert_eq!(second["from"], first["to"]);
    assert!(real.http().unwrap().1.contains("second"));
    assert_eq!(sql("select n from kept"), "42");

    // A revision that fails its checks goes back by itself and is held.
    real.json(&["set", "web1", "checks.front.status", "500", "-m", "x"]);
    real.json(&["build", "web1"]);
    let refused = real.json_with_exit(&["switch", "web1"], 1);
    assert_eq!(refused["verdict"], "rolled back", "{refused}");
    assert!(real.http().unwrap().1.contains("second"), "the old image still answers");
    let status = real.status();
    assert_eq!(status["running"]["image"], second["to"], "{status}");
    let held = status["held"].as_array().unwrap();
    assert_eq!(held.len(), 1, "{status}");
    assert!(held[0].to_string().contains("front"), "the failing check is named: {status}");
    assert_eq!(sql("select n from kept"), "42", "state went back with its image");

    // What it wrote outside its state is seen.
    real.ok(&["exec", "web1", "--", "touch", "/etc/left-by-hand"]);
    let drift = real.json(&["drift", "web1"]);
    let paths: Vec<_> = drift["paths"].as_array().unwrap().iter().map(|p| p["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"/etc/left-by-hand"), "{drift}");
    assert!(!paths.iter().any(|p| p.starts_with("/var/lib/postgresql")), "declared state is no drift: {drift}");

    let back = real.json(&["rollback", "web1"]);
    assert_eq!(back["to"], first["to"], "{back}");
    assert!(!real.http().unwrap().1.contains("second"));
    assert_eq!(sql("select n from kept"), "42", "a plain rollback keeps state");

    // Each of these acts is undone in one word, and the undoing as well.
    let undone = |act: &[&str], verb: &str| {
        let report = real.json(&[&["undo"], act].concat());
        assert_eq!(report["online"]["verb"], verb, "{report}");
        report
    };
    undone(&[], "switch");
    assert!(real.http().unwrap().1.contains("second"), "the rollback was undone");
    real.ok(&["stop", "web1"]);
    undone(&[], "start");
    assert!(real.http().unwrap().1.contains("second"));
    let act = |kind: &str| {
        let acts = real.json(&["acts", "--server", "web1"]);
        let of_kind = acts["acts"].as_array().unwrap().iter().find(|a| a["kind"] == kind && a["result"] == "done");
        of_kind.unwrap_or_else(|| panic!("no {kind}: {acts}"))["id"].to_string()
    };
    // What stands against it is said, and nothing is done.
    let refused = real.json_with_exit(&["undo", &act("rollback")], 2);
    assert!(refused["error"].to_string().contains("undone already"), "{refused}");
    undone(&[&act("switch")], "rollback");
    assert!(!real.http().unwrap().1.contains("second"), "the switch was undone");
    assert_eq!(sql("select n from kept"), "42", "no undoing touched the data");
}

#[test]
fn what_an_image_is_made_of_and_what_a_change_makes_of_it_is_told() {
    let _one = one_at_a_time();
    let real = Real::locked();
    real.json(&["build", "web1"]);
    real.write("servers/web1/root/var/www/html/index.html", "<title>other</title>\nother\n");
    real.commit("web1: another page");
    real.ok(&["set", "web1", "users.eve.shell", "\"/bin/bash\"", "-m", "Let Eve in"]);
    real.json(&["build", "web1"]);

    let why = |path: &str| real.json(&["why", "web1", path]);
    let page = why("/var/www/html/index.html");
    assert_eq!(page["layer"], "config", "{page}");
    assert_eq!(page["line"]["file"], "servers/web1/root/var/www/html/index.html", "{page}");
    assert_eq!(page["changeset"]["subject"], "web1: another page", "{page}");
    let nginx = why("/usr/sbin/nginx");
    assert_eq!(nginx["package"]["name"], "nginx", "{nginx}");
    // Packages name it below /bin, which is a link.
    let shell = why("/bin/bash");
    assert_eq!((&shell["path"], &shell["package"]["name"]), (&"/usr/bin/bash".into(), &"bash".into()), "{shell}");
    let none = real.json_with_exit(&["why", "web1", "/usr/bin/nothing"], 1);
    assert!(none.to_string().contains("there is no /usr/bin/nothing"), "{none}");

    let diff = real.json(&["diff", "HEAD~2", "HEAD", "--image", "web1"]);
    let paths: Vec<&str> = diff["paths"].as_array().unwrap().iter().map(|p| p["path"].as_str().unwrap()).collect();
    for path in ["/var/www/html/index.html", "/etc/passwd", "/etc/shadow", "/etc/group"] {
        assert!(paths.contains(&path), "{path}: {diff:#}");
    }
    assert!(!paths.iter().any(|p| p.starts_with("/usr/")), "{diff:#}");
    assert!(diff["packages"].as_array().unwrap().is_empty(), "{diff:#}");
    assert!(diff.to_string().contains("eve"), "{diff:#}");
    let same = real.json(&["diff", "HEAD", "HEAD", "--image", "web1"]);
    assert!(same["paths"].as_array().unwrap().is_empty(), "{same:#}");
}

#[test]
fn inside_a_server_there_is_no_way_out_and_root_is_nobody() {
    let _one = one_at_a_time();
    let real = Real::locked();
    real.json(&["switch", "web1"]);
    let inside = |argv: &[&str]| {
        let mut args = vec!["exec", "web1", "--"];
        args.extend(argv);
        real.run(&args)
    };
    let links = inside(&["ls", "/sys/class/net"]);
    assert_eq!(
        String::from_utf8_lossy(&links.stdout).split_whitespace().collect::<Vec<_>>(),
        ["lo"],
        "{}",
        said(&[], &links)
    );
    let map = String::from_utf8(inside(&["cat", "/proc/self/uid_map"]).stdout).unwrap();
    let fields: Vec<u64> = map.split_whitespace().map(|n| n.parse().unwrap()).collect();
    assert_eq!((fields[0], fields[2]), (0, 65536), "{map}");
    assert!(fields[1] >= 65536, "root inside must be nobody outside: {map}");
    assert!(inside(&["dpkg", "-l", "nginx"]).status.success(), "scanners find the packages");
    assert!(inside(&["dpkg", "--audit"]).stdout.is_empty(), "the package database is sound");
    assert!(!inside(&["mknod", "/tmp/disk", "b", "8", "0"]).status.success(), "no devices");
    real.ok(&["stop", "web1"]);
    wait_until("the port is closed", Duration::from_secs(5), || real.http().is_err());
}
