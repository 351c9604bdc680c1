//! `init`: a fleet with the example server, as a git repository with its first changeset.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regrow_archive::HostArchive;
use regrow_config::{Archive, Archives, DiskFiles, example};
use regrow_history::{Change, Landing, Repo};
use regrow_host::{FsError, fs};
use serde::Serialize;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::{Answer, merge_driver};

/// A new fleet.
#[derive(Debug, Serialize)]
pub struct InitReport {
    /// Its directory, absolute.
    pub fleet: PathBuf,
    /// Its first changeset.
    pub revision: String,
    /// Its servers.
    pub servers: Vec<String>,
    /// Where packages come from.
    pub archives: Vec<UsedArchive>,
    /// Whether there was a fleet already: then only its merge by key was seen to.
    pub existed: bool,
    /// How git was told to merge by key.
    pub merging: merge_driver::Installed,
}

/// An archive of the new fleet.
#[derive(Debug, Serialize)]
pub struct UsedArchive {
    /// Its address.
    pub mirror: String,
    /// The suites to take packages from.
    pub suites: Vec<String>,
}

impl Answer for InitReport {}

/// The suite of a fleet that names none.
pub const SUITE: &str = "trixie";

/// Makes a fleet in `dir`, which must be empty or not exist. In a fleet that is there already (a fresh clone), it only
/// tells git to merge the text by key.
///
/// Packages come from `mirror`, or from where the machine's own apt gets them, in any case from `suite`.
///
/// # Errors
/// [`Error::Mistake`] if the directory has something in it or the machine's apt sources tell no Debian archive.
pub fn init(ctx: &Context, dir: &Path, mirror: Option<&str>, suite: Option<&str>) -> Result<InitReport> {
    Repo::check_git()?;
    let suite = suite.unwrap_or(SUITE);
    let archives = archives(mirror, suite)?;
    let files = example::files(&archives);
    refuse_mistakes(&files)?;
    match std::fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return existing(ctx, dir);
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => fs::create_dir_all(dir)?,
        Err(e) => return Err(FsError::new("make a fleet in", dir, e).into()),
    }
    let dir = std::fs::canonicalize(dir).map_err(|e| FsError::new("find", dir, e))?;
    let repo = Repo::init(&dir)?;
    let attributes = (".gitattributes", merge_driver::ATTRIBUTES);
    let texts = files.iter().map(|file| (file.path.as_str(), file.text.as_str())).chain([attributes]);
    let changes: Vec<Change> =
        texts.map(|(path, text)| Change::new(path, None, Some(text.as_bytes().to_vec()))).collect();
    let message = format!("Begin with the example server {}", example::SERVER);
    let landed = repo.land(&Landing::new(&changes, &message, &repo.head()?, ctx.now()))?;
    let merging = merge_driver::install(ctx, &repo)?;
    let used = |a: &Archive| UsedArchive { mirror: a.mirror.clone(), suites: a.suites.clone() };
    Ok(InitReport {
        fleet: dir,
        revision: landed.revision,
        servers: vec![example::SERVER.to_owned()],
        archives: archives.values().map(used).collect(),
        existed: false,
        merging,
    })
}

/// What `init` does in a fleet that is there: nothing that was done before.
fn existing(ctx: &Context, dir: &Path) -> Result<InitReport> {
    let merging = merge_driver::install_in(ctx, dir)?;
    let repo = Repo::open(dir)?;
    let revision = repo.head()?.commit.unwrap_or_default();
    let servers = regrow_config::load_server_names(&DiskFiles::new(dir)?)?;
    Ok(InitReport { fleet: repo.fleet().to_owned(), revision, servers, archives: Vec::new(), existed: true, merging })
}

fn archives(mirror: Option<&str>, suite: &str) -> Result<Archives> {
    let found = regrow_archive::host_sources(suite)?;
    let take = |a: HostArchive| {
        let keyring = a.keyring.to_string_lossy().into_owned();
        (a.name, Archive { mirror: a.mirror, suites: a.suites, components: a.components, keyring })
    };
    let mut archives: Archives = found.into_iter().map(take).collect();
    if let Some(mirror) = mirror {
        // One mirror carries the suite itself; its security archive is another address, which only apt's sources tell.
        let keyring = archives.remove("debian").map_or(KEYRING.to_owned(), |a| a.keyring);
        let mut suites = vec![suite.to_owned()];
        if suite != "sid" {
            suites.push(format!("{suite}-updates"));
        }
        let components = vec!["main".to_owned()];
        archives =
            BTreeMap::from([("debian".to_owned(), Archive { mirror: mirror.to_owned(), suites, components, keyring })]);
    }
    if archives.is_empty() {
        return Err(Error::mistake_with(
            "the apt sources of this machine name no Debian archive",
            "name a mirror: regrow init DIR --mirror URL",
        ));
    }
    Ok(archives)
}

/// Where Debian keeps its archive keys, if the machine's apt sources do not say.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A mirror or suite that the text could not hold is refused before anything is written.
fn refuse_mistakes(files: &[regrow_config::Source]) -> Result<()> {
    let mut memory = regrow_config::MemoryFiles::new();
    for file in files {
        memory = memory.with(&file.path, file.text.clone());
    }
    let (_, diagnostics) = regrow_config::load_fleet(&memory);
    let mistakes: Vec<_> = diagnostics.into_iter().filter(|d| d.is_error()).collect();
    if mistakes.is_empty() { Ok(()) } else { Err(crate::wanted::refusal(&memory, mistakes)) }
}
