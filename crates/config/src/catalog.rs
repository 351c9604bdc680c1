//! What is known about services, as data: `catalog/<entry>.toml`, embedded into the program; a fleet adds or replaces
//! entries in its own `catalog/`.
//!
//! ```toml
//! title      = "PostgreSQL"
//! summary    = "A relational database."
//! category   = "databases"                  # offered to people who add something; absent: a helper of others
//! packages   = ["postgresql"]               # what a person adds
//! applies_to = ["postgresql-common"]        # used for an image when its lock has any of these
//! units      = ["postgresql"]
//! users      = ["postgres"]                 # accounts that installation makes
//! ports      = [5432]
//! publish    = []                           # those of its ports that the world is to reach
//!
//! [state.database]                          # proposed for the text
//! paths  = ["/var/lib/postgresql"]
//! engine = "postgresql"
//!
//! [scrub]                                   # made by installation, must not be in an image
//! paths = ["/var/lib/postgresql/*/main"]
//!
//! [seed.cluster]                            # run at first start while `creates` is missing
//! command = ["/usr/bin/pg_createcluster", "17", "main"]
//! creates = "/var/lib/postgresql/17/main/PG_VERSION"
//! before  = ["postgresql.service"]
//!
//! [identity."/etc/ssl/private/ssl-cert-snakeoil.key"]   # in the image a link into the identity volume
//! seed = "certificate"
//! mode = "0640"
//! group = "ssl-cert"
//! ```

mod offer;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::files::MemoryFiles;
use crate::model::{Check, FileText, State};
use crate::read::rules::{
    AbsolutePath, AccountName, Command, EnvName, Mode, ObjectName, OneLine, OneLineText, PackageName, Port,
    ScrubPattern, Seconds, Text, UnitName,
};
use crate::read::{CheckRule, Cx, Rule, Sources, syntax, table};
use offer::CategoryRule;
pub use offer::{Ask, AskKind, Category};

/// Where the identity volume is mounted inside a server; identity files of the image are links into it.
pub const IDENTITY_DIR: &str = "/var/lib/regrow/identity";

table! {
    /// What is known about one service.
    pub struct CatalogEntry {
        /// The entry's own name; the file's name without `.toml` if absent.
        name: String as ObjectName,
        /// How people call it.
        title: String as Text,
        /// What it is, in one sentence.
        summary: String as Text,
        /// What to know before adding it.
        note: String as Text,
        /// Where people look for it. Absent: nobody adds it by itself, it only helps other packages.
        category: Option<Category> as CategoryRule,
        /// Packages that a person adds to have it.
        packages: Vec<String> as Vec<PackageName>,
        /// The entry is used for an image when its lock has any of these packages; absent: any of `packages`.
        applies_to: Vec<String> as Vec<PackageName>,
        /// Units its packages bring, as a person names them.
        units: Vec<String> as Vec<UnitName>,
        /// Users that installation makes.
        users: Vec<String> as Vec<AccountName>,
        /// Groups that installation makes, besides those of the same names as `users`.
        groups: Vec<String> as Vec<AccountName>,
        /// TCP ports it listens on unless told otherwise.
        ports: Vec<u16> as Vec<Port>,
        /// Those of its ports that are proposed to be published.
        publish: Vec<u16> as Vec<Port>,
        /// What is asked before it is added, by the name that stands for the answer.
        asks: BTreeMap<String, Ask> as BTreeMap<ObjectName, Ask>,
        /// Files proposed for a server's text; `{name}` in their content stands for an answer.
        files: BTreeMap<String, FileText> as BTreeMap<AbsolutePath, FileText>,
        /// State it keeps, proposed for a server's text.
        state: BTreeMap<String, State> as BTreeMap<ObjectName, State>,
        /// Checks proposed for a server's text; `{name}` in their texts stands for an answer.
        checks: BTreeMap<String, Check> as BTreeMap<ObjectName, CheckRule>,
        /// What its installation makes that must not be in an image.
        scrub: Scrub as Scrub,
        /// Files that belong to one server alone: in the image each is a link into the identity volume.
        identity: BTreeMap<String, Identity> as BTreeMap<AbsolutePath, Identity>,
        /// Commands that make what is missing at first start.
        seed: BTreeMap<String, Seed> as BTreeMap<ObjectName, Seed>,
        /// How installation behaves inside a build.
        build: BuildHints as BuildHints,
    }
}

table! {
    /// What installation makes that must not be in an image.
    pub struct Scrub {
        /// Absolute paths to remove with all below; `*` and `?` match within one part of the path.
        paths: Vec<String> as Vec<ScrubPattern>,
    }
}

table! {
    /// A file that belongs to one server alone (a host key, a certificate).
    pub struct Identity {
        /// The seed of this entry that makes it.
        [required] seed: String as ObjectName,
        /// Owner of the file in the volume.
        owner: String as AccountName = "root".to_owned(),
        /// Group of the file in the volume.
        group: String as AccountName = "root".to_owned(),
        /// Permission bits of the file in the volume.
        mode: u32 as Mode = 0o600,
    }
}

impl Identity {
    /// Where the file at `path` of the image really is: `/var/lib/regrow/identity/<path>`.
    pub fn volume_path(path: &str) -> String {
        format!("{IDENTITY_DIR}{path}")
    }
}

table! {
    /// A command that makes what is missing, run at first start as a oneshot unit.
    pub struct Seed {
        /// What it does, for the unit's description.
        description: String as OneLine,
        /// Program (absolute path) and arguments; no shell.
        [required] command: Vec<String> as Command,
        /// The account it runs as.
        user: String as AccountName = "root".to_owned(),
        /// Further commands, each run once the one before succeeded.
        then: Vec<Vec<String>> as Vec<Command>,
        /// A pattern of image paths: the seed is made once for each match, and `{1}`, `{2}`, … elsewhere in it stand for
        /// what the pattern's stars matched.
        each: Option<String> as ScrubPattern,
        /// Absolute path whose absence makes it run.
        [required] creates: String as AbsolutePath,
        /// Units that wait for it.
        before: Vec<String> as Vec<UnitName>,
        /// Units it waits for.
        after: Vec<String> as Vec<UnitName>,
        /// Environment of the command.
        environment: BTreeMap<String, String> as BTreeMap<EnvName, OneLineText>,
        /// Seconds after which it has failed.
        timeout: u64 as Seconds = 120,
    }
}

table! {
    /// How installation behaves inside a build.
    pub struct BuildHints {
        /// Absolute paths of programs replaced by one that does nothing while packages are configured.
        mask: Vec<String> as Vec<AbsolutePath>,
        /// Text of scripts that stand in for the programs at these absolute paths while packages are configured.
        replace: BTreeMap<String, String> as BTreeMap<AbsolutePath, Text>,
        /// Scripts that do the same as the programs at these absolute paths in less time.
        shortcut: BTreeMap<String, Shortcut> as BTreeMap<AbsolutePath, Shortcut>,
        /// Environment added while packages are configured.
        environment: BTreeMap<String, String> as BTreeMap<EnvName, OneLineText>,
    }
}

table! {
    /// A script that gives what a program gives, in less time. It stands in for the program while packages are
    /// configured, where the files it was compared with are the ones in the image; anywhere else the program itself
    /// runs. The program is then beside its place as `<path>.regrow-real`, for what the script leaves to it.
    pub struct Shortcut {
        /// The SHA-256 digests that files of the image must have, by absolute path: for each path those of the versions
        /// whose results were compared.
        [required] given: BTreeMap<String, Vec<String>> as BTreeMap<AbsolutePath, Vec<Text>>,
        /// The script.
        [required] script: String as Text,
    }
}

/// Entries by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    entries: BTreeMap<String, CatalogEntry>,
}

impl Catalog {
    /// What the program itself knows.
    pub fn builtin() -> &'static Catalog {
        static BUILTIN: OnceLock<Catalog> = OnceLock::new();
        BUILTIN.get_or_init(|| Catalog::read_all(BUILTIN_FILES).0)
    }

    /// Reads entries from (name, text) pairs; mistakes come beside what could be read.
    pub fn read_all(files: &[(&str, &str)]) -> (Catalog, Vec<crate::Diagnostic>) {
        let mut catalog = Catalog::default();
        let mut sources = Sources::default();
        let mut diagnostics = Vec::new();
        let no_files = MemoryFiles::new();
        for (stem, text) in files {
            let tree = syntax::parse(&mut sources, &format!("catalog/{stem}.toml"), text, &mut diagnostics);
            let mut cx = Cx::new(&sources, &no_files, false);
            if let Some(entry) = CatalogEntry::read(&tree, &mut cx) {
                catalog.insert(stem, entry);
            }
            diagnostics.append(&mut cx.diagnostics);
        }
        (catalog, diagnostics)
    }

    /// Adds or replaces an entry; an empty name becomes the file's.
    pub(crate) fn insert(&mut self, stem: &str, mut entry: CatalogEntry) {
        if entry.name.is_empty() {
            entry.name = stem.to_owned();
        }
        if entry.applies_to.is_empty() {
            entry.applies_to = entry.packages.clone();
        }
        self.entries.insert(entry.name.clone(), entry);
    }

    /// All entries, by name.
    pub fn entries(&self) -> impl Iterator<Item = &CatalogEntry> {
        self.entries.values()
    }

    /// The entry called `name`.
    pub fn get(&self, name: &str) -> Option<&CatalogEntry> {
        self.entries.get(name)
    }

    /// The entries that apply to an image for which `has` says whether a package is in it, by name.
    pub fn applying<'c>(&'c self, has: impl Fn(&str) -> bool + 'c) -> impl Iterator<Item = &'c CatalogEntry> {
        self.entries().filter(move |entry| entry.applies_to.iter().any(|package| has(package)))
    }
}

const BUILTIN_FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalog.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_entry_is_free_of_mistakes() {
        let (catalog, diagnostics) = Catalog::read_all(BUILTIN_FILES);
        let words: Vec<String> = diagnostics.iter().map(|d| format!("{}:{}: {}", d.file, d.line, d.message)).collect();
        assert!(words.is_empty(), "{words:#?}");
        for entry in catalog.entries() {
            assert!(!entry.applies_to.is_empty(), "{} applies to nothing", entry.name);
            if entry.category.is_some() {
                let whole = !entry.title.is_empty() && !entry.summary.is_empty() && !entry.packages.is_empty();
                assert!(whole && !entry.checks.is_empty(), "{}: nobody could add and judge it", entry.name);
                assert!(entry.publish.iter().all(|p| entry.ports.contains(p)), "{}: publishes other ports", entry.name);
            }
            for (path, identity) in &entry.identity {
                assert!(entry.seed.contains_key(&identity.seed), "{}: nothing makes {path}", entry.name);
            }
        }
    }

    #[test]
    fn an_entry_applies_by_its_packages() {
        let text = "packages = [\"a-server\"]\napplies_to = [\"a-common\"]\n";
        let (catalog, diagnostics) = Catalog::read_all(&[("a", text), ("b", "packages = [\"bb\"]\n")]);
        assert!(diagnostics.is_empty());
        let names = |package: &str| -> Vec<String> {
            let has = |p: &str| p == package;
            catalog.applying(has).map(|e| e.name.clone()).collect()
        };
        assert_eq!(names("a-common"), ["a"]);
        assert_eq!(names("a-server"), [""; 0]);
        assert_eq!(names("bb"), ["b"]);
    }
}
