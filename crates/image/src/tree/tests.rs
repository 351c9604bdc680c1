//! What a tree keeps, and how links are followed in it.

use super::*;

fn file(tree: &mut Tree, path: &str, text: &str) {
    tree.insert_file(path, Meta::new(0o644, 0, 0, 1), Content::Inline(text.into())).unwrap();
}

#[test]
fn parents_are_made_and_walk_is_sorted_depth_first() {
    let mut tree = Tree::default();
    file(&mut tree, "/b/x", "1");
    file(&mut tree, "a", "2");
    file(&mut tree, "/b-", "3");
    let paths: Vec<_> = tree.walk().map(|(p, _)| String::from_utf8(p).unwrap()).collect();
    assert_eq!(paths, ["/", "/a", "/b", "/b/x", "/b-"]);
}

#[test]
fn paths_that_climb_or_cross_a_file_are_refused() {
    let mut tree = Tree::default();
    file(&mut tree, "/f", "1");
    for bad in ["/../x", "/a/../b", "/f/x", "/", "", "/a\0b"] {
        let meta = Meta::new(0o644, 0, 0, 0);
        assert!(tree.insert_file(bad, meta, Content::Inline(vec![])).is_err(), "{bad:?}");
    }
    assert_eq!(tree.walk().count(), 2, "a refused path leaves nothing behind");
}

#[test]
fn resolve_stays_inside_the_root() {
    let mut tree = Tree::default();
    file(&mut tree, "/usr/lib/a", "1");
    let meta = Meta::new(0o777, 0, 0, 0);
    for (path, target) in
        [("/lib", "usr/lib"), ("/abs", "/usr/lib"), ("/up", "../../../usr"), ("/loop", "loop"), ("/usr/lib/b", "a")]
    {
        tree.insert_symlink(path, meta.clone(), target).unwrap();
    }
    let resolve = |p: &str| tree.resolve(p).map(|p| String::from_utf8(p).unwrap());
    assert_eq!(resolve("/lib/a").as_deref(), Some("/usr/lib/a"));
    assert_eq!(resolve("/abs/b").as_deref(), Some("/usr/lib/a"));
    assert_eq!(resolve("/up/lib/new").as_deref(), Some("/usr/lib/new"));
    assert_eq!(resolve("/lib/../../x").as_deref(), Some("/x"));
    assert_eq!(resolve("/loop"), None);
    assert_eq!(resolve("/none/x"), None);
}

#[test]
fn hard_links_share_everything_and_count_in_equality() {
    let mut linked = Tree::default();
    file(&mut linked, "/a", "1");
    let mut copied = linked.clone();
    linked.link("/a", "/b").unwrap();
    file(&mut copied, "/b", "1");
    assert_ne!(linked, copied);
    linked.meta_mut("/b").unwrap().mode = 0o600;
    assert_eq!(linked.get("/a").unwrap().meta().mode, 0o600);
    let mut other_ids = Tree::default();
    file(&mut other_ids, "/gone", "x");
    other_ids.remove("/gone");
    other_ids.graft(&linked, "/", "/").unwrap();
    assert_eq!(other_ids, linked, "ids do not matter");
}

#[test]
fn remove_and_glob() {
    let mut tree = Tree::default();
    for path in ["/var/log/a.log", "/var/log/x/b.log", "/var/log/keep", "/etc/p-", "/etc/q-"] {
        file(&mut tree, path, "");
    }
    assert_eq!(tree.glob("/etc/*-"), [b"/etc/p-".to_vec(), b"/etc/q-".to_vec()]);
    assert_eq!(tree.remove_matching("/var/**/*.log").len(), 2);
    assert!(tree.contains("/var/log/keep") && tree.contains("/var/log/x"));
    assert!(tree.remove("/var") && !tree.remove("/var") && !tree.remove("/"));
    assert_eq!(tree.glob("/**").len(), 4, "root, etc and two files");
    assert_eq!(tree.clear("/etc"), 2);
}

#[test]
fn metadata_is_visited_once_per_inode() {
    let mut tree = Tree::default();
    file(&mut tree, "/d/a", "1");
    tree.link("/d/a", "/d/b").unwrap();
    let mut visits = 0;
    tree.for_each_meta_mut(|meta| {
        visits += 1;
        meta.mtime = 7;
    });
    assert_eq!(visits, 3);
    assert!(tree.walk().all(|(_, e)| e.meta().mtime == 7));
}
