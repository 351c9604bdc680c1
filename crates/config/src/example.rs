//! The fleet that `regrow init` writes: one server, `web1`, with nginx and PostgreSQL, written to be read.

use std::fmt::Write;

use crate::files::Source;
use crate::keypath::{quote_key, quote_string};
use crate::model::Archives;

/// The example's server.
pub const SERVER: &str = "web1";

/// Files as they are in the fleet; `regrow.toml` lacks its archives.
const FILES: &[(&str, &str)] = &[
    ("README.md", include_str!("../example/README.md")),
    ("regrow.toml", include_str!("../example/regrow.toml")),
    ("roles/base.toml", include_str!("../example/roles/base.toml")),
    ("servers/web1/server.toml", include_str!("../example/servers/web1/server.toml")),
    ("servers/web1/root/var/www/html/index.html", include_str!("../example/servers/web1/root/var/www/html/index.html")),
];

/// The example fleet's files, taking packages from `archives`. All are plain files of mode 0644.
pub fn files(archives: &Archives) -> Vec<Source> {
    let archives = archives_text(archives);
    FILES
        .iter()
        .map(|(path, text)| Source { path: (*path).to_owned(), text: text.replace("@ARCHIVES@\n", &archives) })
        .collect()
}

fn archives_text(archives: &Archives) -> String {
    let mut out = String::new();
    for (name, archive) in archives {
        let list = |words: &[String]| words.iter().map(|w| quote_string(w)).collect::<Vec<_>>().join(", ");
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "[archives.{}]\nmirror     = {}\nsuites     = [{}]\ncomponents = [{}]\nkeyring    = {}\n",
            quote_key(name),
            quote_string(&archive.mirror),
            list(&archive.suites),
            list(&archive.components),
            quote_string(&archive.keyring),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{Archive, CheckKind};
    use crate::{MemoryFiles, load_fleet};

    #[test]
    fn the_example_is_free_of_mistakes_and_says_what_it_should() {
        let archive = |suites: &[&str]| Archive {
            mirror: "http://mirror.test/debian".to_owned(),
            suites: suites.iter().map(|s| (*s).to_owned()).collect(),
            components: vec!["main".to_owned()],
            keyring: "/usr/share/keyrings/debian-archive-keyring.gpg".to_owned(),
        };
        let archives = BTreeMap::from([
            ("debian".to_owned(), archive(&["trixie", "trixie-updates"])),
            ("security".to_owned(), archive(&["trixie-security"])),
        ]);
        let mut fleet_files = MemoryFiles::new();
        for source in files(&archives) {
            fleet_files = fleet_files.with(&source.path, source.text);
        }
        let (fleet, diagnostics) = load_fleet(&fleet_files);
        assert_eq!(diagnostics, [], "{diagnostics:#?}");
        assert_eq!(fleet.archives, archives);
        let server = &fleet.servers[SERVER];
        assert_eq!(server.roles, ["base"]);
        assert!(server.packages.contains_key("nginx") && server.packages.contains_key("systemd-sysv"));
        assert!(server.root_files.contains_key("/var/www/html/index.html"));
        assert_eq!(server.network.publish[0].port, 80);
        assert!(matches!(&server.checks["front"].kind, CheckKind::Http { status: 200, .. }));
        assert_eq!(server.checks["database"].timeout, 60);
        assert!(server.state.contains_key("database"));
    }
}
