//! Tests of the lock.

use super::*;

fn lock() -> LockFile {
    let package = |version: &str, layer: u32| LockedPackage {
        version: version.to_owned(),
        architecture: "amd64".to_owned(),
        archive: "debian".to_owned(),
        file: format!("pool/main/x/x_{version}.deb"),
        size: 1234,
        sha256: "ab".repeat(32),
        layer,
    };
    LockFile {
        schema: SCHEMA,
        inputs: "sha256:00".to_owned(),
        epoch: 1_700_000_000,
        architecture: "amd64".to_owned(),
        suites: BTreeMap::from([(
            "debian/trixie".to_owned(),
            LockedSuite { date: "Sat, 06 Sep 2025 08:12:34 UTC".to_owned(), sha256: "cd".repeat(32) },
        )]),
        layers: vec![
            Layer { name: "base".to_owned(), requested: vec![] },
            Layer { name: "packages".to_owned(), requested: vec!["g++".to_owned(), "nginx".to_owned()] },
        ],
        users: BTreeMap::from([("alice".to_owned(), 1000), ("postgres".to_owned(), 100)]),
        groups: BTreeMap::from([("alice".to_owned(), 1000)]),
        packages: BTreeMap::from([
            ("g++".to_owned(), package("4:14.2.0-1", 1)),
            ("libc6".to_owned(), package("2.41-12", 0)),
        ]),
    }
}

#[test]
fn the_text_of_a_lock_is_this_one() {
    let golden = "\
# Written by `regrow lock`: exact packages and ids. Do not edit; ids must never change.
schema = 1
inputs = \"sha256:00\"
epoch = 1700000000
architecture = \"amd64\"
layers = [
    { name = \"base\", requested = [] },
    { name = \"packages\", requested = [\"g++\", \"nginx\"] },
]

[suites]
\"debian/trixie\" = { date = \"Sat, 06 Sep 2025 08:12:34 UTC\", sha256 = \"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\" }

[users]
alice = 1000
postgres = 100

[groups]
alice = 1000

[packages]
\"g++\" = { version = \"4:14.2.0-1\", architecture = \"amd64\", archive = \"debian\", layer = 1, size = 1234, sha256 = \"abababababababababababababababababababababababababababababababab\", file = \"pool/main/x/x_4:14.2.0-1.deb\" }
libc6 = { version = \"2.41-12\", architecture = \"amd64\", archive = \"debian\", layer = 0, size = 1234, sha256 = \"abababababababababababababababababababababababababababababababab\", file = \"pool/main/x/x_2.41-12.deb\" }
# end
";
    assert_eq!(lock().to_text(), golden);
}

#[test]
fn text_and_lock_lead_to_each_other() {
    let text = lock().to_text();
    let read = LockFile::parse("lock.toml", &text).unwrap();
    assert_eq!(read, lock());
    assert_eq!(read.to_text(), text);
}

#[test]
fn damage_is_refused_with_its_place() {
    let text = lock().to_text();
    for (from, to, words) in [
        ("schema = 1", "schema = 2", "it has form 2; this program knows form 1"),
        ("epoch = 1700000000\n", "", "`epoch` is missing in `the lock`"),
        ("layer = 1", "layer = 7", "there is no layer 7"),
        ("size = 1234", "size = -1", "`size` of `g++` is below zero"),
        ("abab", "xbab", "`sha256` of `g++` is no SHA-256 digest in hex"),
        ("pool/main", "../main", "is no path below a mirror"),
        ("postgres = 100", "postgres = 1000", "`postgres` and `alice` have the same id 1000"),
        ("[groups]", "[group]", "unknown key `group` in `the lock`"),
        ("requested = []", "requested = [1]", "`requested` must be an array of strings, not an integer"),
        ("alice = 1000", "alice = \"x\"", "`alice` must be an id, not a string"),
        ("[suites]", "<<<<<<< ours\n[suites]", "git's conflict markers"),
        ("[suites]", "[suites", "the lock is not TOML"),
        ("# end\n", "", "its end is missing"),
    ] {
        let broken = text.replacen(from, to, 1);
        assert_ne!(broken, text, "{from}");
        let found = LockFile::parse("servers/a/lock.toml", &broken).expect_err(to);
        assert_eq!(found.code, "bad-lock");
        assert!(found.message.contains(words), "{}", found.message);
        assert!(found.is_error() && found.help.is_some());
    }
    for end in 0..text.len() {
        assert!(LockFile::parse("lock.toml", &text[..end]).is_err(), "cut at {end}");
    }
}
