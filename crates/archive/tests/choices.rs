//! Which packages are chosen: the rules of Debian's relations, and apt's manner among several right answers.

mod common;

use common::World;
use regrow_archive::{Request, Wanted};
use regrow_host::progress::Silent;
use regrow_testkit::PackageSpec;

fn p(name: &str) -> PackageSpec {
    PackageSpec::new(name, "1")
}

/// Publishes these packages and resolves; "name=version", sorted, or the reasons.
fn choose(packages: Vec<PackageSpec>, requested: &[&str], recommends: bool) -> String {
    let mut world = World::empty();
    for package in packages {
        world.archive.add("trixie", package);
    }
    world.archive.publish();
    world.open().refresh(&Silent).unwrap();
    answer(&world.open(), requested, recommends)
}

fn answer(archive: &regrow_archive::Archive, requested: &[&str], recommends: bool) -> String {
    let wanted: Vec<Wanted> = requested.iter().copied().map(Wanted::any).collect();
    match archive.resolve(&Request { requested: &wanted, recommends, previous: None, upgrade: false }) {
        Ok(r) => r
            .packages
            .iter()
            .map(|(n, c)| if c.version == "1" { n.clone() } else { format!("{n}={}", c.version) })
            .collect::<Vec<_>>()
            .join(" "),
        Err(e) => e.to_string(),
    }
}

#[test]
fn the_first_alternative_that_can_be_is_taken() {
    let all = || {
        vec![
            p("a").depends("b | c"),
            p("b"),
            p("c"),
            p("x").depends("gone | c"),
            p("y").depends("broken | c"),
            p("broken").depends("gone"),
        ]
    };
    assert_eq!(choose(all(), &["a"], false), "a b");
    assert_eq!(choose(all(), &["x"], false), "c x");
    assert_eq!(choose(all(), &["y"], false), "c y");
}

#[test]
fn an_alternative_that_is_asked_for_serves() {
    let all = || vec![p("a").depends("b | c"), p("b"), p("c"), p("d").depends("c")];
    assert_eq!(choose(all(), &["a", "c"], false), "a c");
    assert_eq!(choose(all(), &["d", "a"], false), "a c d", "d comes first and has brought c");
    assert_eq!(choose(all(), &["a", "d"], false), "a b c d", "as apt: what comes first chooses first");
}

#[test]
fn conflicts_lead_to_the_other_alternative() {
    let all = || vec![p("a").depends("b | c"), p("b"), p("c"), p("hater").conflicts("b")];
    assert_eq!(choose(all(), &["a", "hater"], false), "a c hater");
    assert_eq!(choose(all(), &["hater", "a"], false), "a c hater");
    let breaks = || vec![p("a").depends("b | c"), p("b"), p("c"), p("hater").field("Breaks", "b (<< 2)")];
    assert_eq!(choose(breaks(), &["a", "hater"], false), "a c hater");
}

#[test]
fn provided_names_serve_where_versions_allow() {
    let all = |provides: &str| vec![p("a").depends("virt (>= 2)"), p("b").provides(provides), p("c").depends("virt")];
    assert_eq!(choose(all("virt (= 2)"), &["a"], false), "a b");
    assert_eq!(choose(all("virt (= 1)"), &["c"], false), "b c");
    assert!(choose(all("virt (= 1)"), &["a"], false).contains("which no suite has"));
    assert!(
        choose(all("virt"), &["a"], false).contains("which no suite has"),
        "a name without version fulfils no versioned wish"
    );
}

#[test]
fn a_package_does_not_conflict_with_itself() {
    let all = vec![p("m1").provides("mta").conflicts("mta").field("Replaces", "mta"), p("a").depends("mta")];
    assert_eq!(choose(all, &["a"], false), "a m1");
}

#[test]
fn any_is_served_only_by_those_that_allow_it() {
    let all = |multi: &str| vec![p("a").depends("py:any"), p("py").field("Multi-Arch", multi)];
    assert_eq!(choose(all("allowed"), &["a"], false), "a py");
    assert!(choose(all("foreign"), &["a"], false).contains("py:any"));
    let native = vec![p("a").depends("py:amd64, py:native"), p("py").field("Multi-Arch", "same")];
    assert_eq!(choose(native, &["a"], false), "a py");
}

#[test]
fn recommendations_come_only_where_wanted_and_possible() {
    let all = || {
        vec![
            p("a").field("Recommends", "r, gone, q | s"),
            p("r").field("Recommends", "rr"),
            p("rr"),
            p("q").conflicts("a"),
            p("s"),
        ]
    };
    assert_eq!(choose(all(), &["a"], false), "a");
    assert_eq!(choose(all(), &["a"], true), "a r rr s");
}

#[test]
fn circles_end() {
    assert_eq!(choose(vec![p("a").depends("b"), p("b").depends("c"), p("c").depends("a")], &["a"], false), "a b c");
}

#[test]
fn an_older_version_is_taken_where_the_newest_cannot_be() {
    let all = vec![PackageSpec::new("a", "2").depends("gone"), p("a"), p("b").depends("a")];
    assert_eq!(choose(all, &["b"], false), "a b");
}

#[test]
fn essential_packages_always_come() {
    assert_eq!(choose(vec![p("e").essential().field("Pre-Depends", "le"), p("le"), p("a")], &["a"], false), "a e le");
}

#[test]
fn security_wins_by_version_and_backports_only_when_asked() {
    let mut world = World::empty();
    world
        .archive
        .add("trixie", p("a").depends("lib"))
        .add("trixie", p("lib"))
        .add("trixie", p("onlyhere").depends("late"))
        .add("trixie-security", PackageSpec::new("lib", "1+deb13u1"))
        .add("trixie-backports", PackageSpec::new("lib", "9"))
        .add("trixie-backports", p("late"))
        .suite("trixie-backports")
        .not_automatic = true;
    world.archive.publish();
    let archive = world.open_suites(&["trixie", "trixie-security", "trixie-backports"]);
    archive.refresh(&Silent).unwrap();
    assert_eq!(answer(&archive, &["a"], false), "a lib=1+deb13u1");
    assert_eq!(answer(&archive, &["onlyhere"], false), "late onlyhere");
    let wanted = [Wanted::any("a"), Wanted { name: "lib".to_owned(), version: Some("9".to_owned()), recommends: None }];
    let r =
        archive.resolve(&Request { requested: &wanted, recommends: false, previous: None, upgrade: false }).unwrap();
    assert_eq!(r.packages["lib"].version, "9");
}

#[test]
fn a_search_that_apt_gives_up_on_still_finds_an_answer() {
    // Whoever takes the first alternatives ends in a contradiction.
    let all = vec![
        p("a").depends("x1 | x2"),
        p("b").depends("y1 | y2"),
        p("x1").depends("z (= 1)"),
        p("x2"),
        p("y1").depends("z (= 2)"),
        p("y2").depends("z (= 1)"),
        p("z"),
        PackageSpec::new("z", "2"),
    ];
    let found = choose(all, &["a", "b"], false);
    assert!(["a b x2 y1 z=2", "a b x1 y2 z", "a b x2 y2 z"].contains(&found.as_str()), "{found}");
}
