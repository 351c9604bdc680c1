//! One suite of one mirror on this machine: its verified index, how it is refreshed and how it is read.
//!
//! ```text
//! indexes/<mirror and suite>/
//!   Release              the text that was verified; renamed into place last, so it is the moment of the change
//!   packages-<sha256>    the Packages files it vouches for, compressed as they came
//!   compiled-<arch>      the compiled index (a cache: made anew when damaged or old)
//!   names-<arch>         its package names, one a line (a cache too)
//!   about-<arch>         what people search in: names, sizes, descriptions (a cache too)
//!   lock                 held by whoever changes the directory
//! ```

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use regrow_host::fs;
use regrow_host::lock::{FileLock, Scratch, Wait};

use crate::digest::{Hasher, Sha256};
use crate::download::{Expected, NotFetched, fetch_bytes, fetch_file};
use crate::error::{Error, Result, show_time};
use crate::index::{self, Index};
use crate::names::Names;
use crate::release::Release;
use crate::search::About;
use crate::signature::{self, Signed};
use crate::transport::Mirror;

/// No Release file is larger; Debian's is 0.2 MB.
const RELEASE_LIMIT: u64 = 16 << 20;
/// No Packages file is larger; Debian's is 55 MB.
const PACKAGES_LIMIT: u64 = 1 << 30;
/// How far a mirror's clock may be ahead of ours, in seconds.
const CLOCK_SKEW: i64 = 6 * 3600;

/// One suite of an archive, as the fleet names it.
#[derive(Debug, Clone)]
pub(crate) struct Suite {
    /// The archive's name in the fleet.
    pub archive: String,
    /// The suite, as asked for.
    pub name: String,
    pub(crate) mirror: Mirror,
    pub(crate) components: Vec<String>,
    pub(crate) keyring: PathBuf,
    pub(crate) architecture: String,
    pub(crate) dir: PathBuf,
}

/// A suite's index, loaded.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Its Release.
    pub release: Release,
    /// The digest of the Release text.
    pub release_sha256: Sha256,
    /// Its packages.
    pub index: Index,
}

/// What a refresh found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The archive has a newer index; it is now ours.
    Updated,
    /// Ours is the newest.
    Unchanged,
    /// The archive showed an older index than ours; ours is kept.
    Older,
}

impl Suite {
    /// The directory of a suite below `indexes`: readable, and distinct for distinct addresses.
    pub(crate) fn directory(indexes: &Path, mirror: &str, suite: &str) -> PathBuf {
        let shown = crate::transport::hide_credentials(mirror);
        let shown = shown.split_once(':').map_or(shown.as_str(), |(_, rest)| rest).trim_matches('/');
        let plain = |s: &str| {
            s.chars()
                .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' })
                .collect::<String>()
        };
        let digest = Sha256::of(format!("{mirror}\n{suite}").as_bytes()).to_string();
        let mut shown = plain(shown);
        shown.truncate(80);
        indexes.join(format!("{shown}_{}-{}", plain(suite), &digest[..12]))
    }

    fn path(&self, file: &str) -> String {
        format!("dists/{}/{file}", self.name)
    }

    /// The address of a file of the suite, for messages.
    pub(crate) fn url(&self, file: &str) -> String {
        self.mirror.url(&self.path(file))
    }

    /// When the archive was last asked, if ever.
    pub(crate) fn checked(&self) -> Option<SystemTime> {
        std::fs::metadata(self.dir.join("checked")).and_then(|m| m.modified()).ok()
    }

    fn index_lock(&self) -> Result<FileLock> {
        fs::create_dir_all(&self.dir)?;
        match FileLock::exclusive(self.dir.join("lock"), Wait::UntilFree)? {
            Some(lock) => Ok(lock),
            None => Err(Error::Cancelled),
        }
    }

    /// Asks the archive for a newer index, verifies it, and makes it ours. `now` is the time, in seconds since the epoch.
    pub(crate) fn refresh(&self, scratch: &Path, now: i64, tell: &dyn Fn(i64, u64)) -> Result<News> {
        let _lock = self.index_lock()?;
        let (signed, url) = self.fetch_release()?;
        let scratch = Scratch::new(scratch, "verify")?;
        let text = signature::verify(&signed, &self.keyring, scratch.path(), &url)?;
        let bad = |reason: String| Error::Index { url: url.clone(), reason };
        let release = Release::parse(&text).map_err(bad)?;
        self.check(&release, &url, now)?;
        let known = fs::read_optional(self.dir.join("Release"))?;
        if known.as_deref() == Some(text.as_bytes()) && self.load_locked(&text).is_ok() {
            self.mark_checked()?;
            return Ok(News::Unchanged);
        }
        // Whoever stands between us and the archive must not be able to bring back an old index that still is signed; and
        // copies of an archive behind one name are not all equally new.
        if let Some(old) = known.as_deref().and_then(|k| std::str::from_utf8(k).ok())
            && Release::parse(old).is_ok_and(|o| release.date < o.date)
            && self.load_locked(old).is_ok()
        {
            return Ok(News::Older);
        }
        for component in &self.components {
            self.fetch_packages(&release, component, tell)?;
        }
        self.make(&release, &text)?;
        fs::write_atomic(self.dir.join("Release"), text.as_bytes())?;
        self.mark_checked()?;
        self.sweep(&release)?;
        Ok(News::Updated)
    }

    fn mark_checked(&self) -> Result<()> {
        Ok(fs::write_atomic(self.dir.join("checked"), b"")?)
    }

    fn fetch_release(&self) -> Result<(Signed, String)> {
        match fetch_bytes(&self.mirror, &self.path("InRelease"), RELEASE_LIMIT) {
            Ok(bytes) => Ok((Signed::Inline(bytes), self.url("InRelease"))),
            Err(Error::NotFound { .. }) => {
                let release = fetch_bytes(&self.mirror, &self.path("Release"), RELEASE_LIMIT)?;
                let signature = match fetch_bytes(&self.mirror, &self.path("Release.gpg"), RELEASE_LIMIT) {
                    Err(Error::NotFound { .. }) => {
                        let reason = "the archive has neither InRelease nor Release.gpg: it is not signed".to_owned();
                        return Err(Error::Signature { url: self.url("Release"), reason });
                    }
                    other => other?,
                };
                Ok((Signed::Detached { release, signature }, self.url("Release")))
            }
            Err(e) => Err(e),
        }
    }

    fn check(&self, release: &Release, url: &str, now: i64) -> Result<()> {
        let url = url.to_owned();
        if !release.is_suite(&self.name) {
            return Err(Error::WrongSuite { url, asked: self.name.clone(), found: release.names() });
        }
        if let Some(until) = release.valid_until.filter(|u| *u < now) {
            return Err(Error::Expired { url, until: show_time(until) });
        }
        if release.date > now + CLOCK_SKEW {
            return Err(Error::FromTheFuture { url, date: show_time(release.date) });
        }
        if !release.architectures.is_empty() && !release.architectures.contains(&self.architecture) {
            let reason = format!("it has no packages for the architecture {}", self.architecture);
            return Err(Error::Index { url, reason });
        }
        if let Some(missing) =
            self.components.iter().find(|c| !release.components.is_empty() && !release.components.contains(c))
        {
            let reason = format!("it has no component `{missing}` (it has {})", release.components.join(", "));
            return Err(Error::Index { url, reason });
        }
        Ok(())
    }

    /// The smallest Packages file of a component that we can read, and its compression.
    fn packages<'r>(&self, release: &'r Release, component: &str) -> Result<(String, &'static str, &'r (u64, Sha256))> {
        for suffix in [".xz", ".gz", ""] {
            let path = format!("{component}/binary-{}/Packages{suffix}", self.architecture);
            if let Some(file) = release.files.get(&path) {
                return Ok((path, suffix, file));
            }
        }
        let reason = format!("it has no Packages file of the component `{component}` for {}", self.architecture);
        Err(Error::Index { url: self.url("Release"), reason })
    }

    fn stored(&self, digest: &Sha256) -> PathBuf {
        self.dir.join(format!("packages-{digest}"))
    }

    fn fetch_packages(&self, release: &Release, component: &str, tell: &dyn Fn(i64, u64)) -> Result<()> {
        let (path, _, &(size, sha256)) = self.packages(release, component)?;
        let target = self.stored(&sha256);
        if std::fs::metadata(&target).is_ok_and(|m| m.len() == size) && file_digest(&target)? == sha256 {
            return Ok(());
        }
        let part = self.dir.join(format!("partial-{sha256}"));
        let (dir, _) = path.rsplit_once('/').unwrap_or_default();
        let by_hash = format!("{dir}/by-hash/SHA256/{sha256}");
        let expected = Expected { size, sha256 };
        let fetch = |file: &str| fetch_file(&self.mirror, &self.path(file), &part, expected, &|n| tell(n, size));
        let mut used = if release.by_hash { by_hash } else { path.clone() };
        let mut fetched = fetch(&used);
        if release.by_hash && matches!(fetched, Err(NotFetched::Error(Error::NotFound { .. }))) {
            // Not every copy of an archive has them.
            used = path;
            fetched = fetch(&used);
        }
        match fetched {
            Ok(()) => Ok(fs::rename(&part, &target)?),
            Err(NotFetched::Wrong(reason)) => Err(Error::IndexDigest { url: self.url(&used), reason }),
            Err(NotFetched::Error(e)) => Err(e),
        }
    }

    /// What a compiled index is made from, as one digest.
    fn made_from(&self, text: &str) -> Sha256 {
        let mut hasher = Hasher::default();
        hasher.update(text.as_bytes());
        hasher.update(format!("\0{}\0{}", self.architecture, self.components.join("\0")).as_bytes());
        hasher.finish()
    }

    /// Compiles the index from the verified files and writes it with its names.
    fn make(&self, release: &Release, text: &str) -> Result<Index> {
        let mut texts = Vec::new();
        for component in &self.components {
            let (path, suffix, (size, sha256)) = self.packages(release, component)?;
            let url = self.url(&path);
            let bad = |reason: String| Error::Index { url: url.clone(), reason };
            let target = self.stored(sha256);
            let bytes = fs::read_optional(&target)?.filter(|b| b.len() as u64 == *size && Sha256::of(b) == *sha256);
            let Some(bytes) = bytes else { return Err(self.no_index()) };
            texts.push(unpack(&bytes, suffix).map_err(bad)?);
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let made_from = self.made_from(text);
        let made = index::compile(&texts, &self.architecture, made_from)
            .map_err(|reason| Error::Index { url: self.url("Packages"), reason })?;
        let path = |kind: &str| self.dir.join(format!("{kind}-{}", self.architecture));
        fs::write_atomic(path("compiled"), &made.index)?;
        fs::write_atomic(path("names"), &Names::encode(&made.names, made_from))?;
        fs::write_atomic(path("about"), &About::encode(&made.about, made_from))?;
        Index::load(made.index, made_from)
            .ok_or_else(|| Error::Index { url: self.url("Packages"), reason: "it is too large".to_owned() })
    }

    fn no_index(&self) -> Error {
        Error::NoIndex { suite: self.name.clone(), mirror: self.mirror.url("").trim_end_matches('/').to_owned() }
    }

    fn load_locked(&self, text: &str) -> Result<Loaded> {
        let release = Release::parse(text).map_err(|_| self.no_index())?;
        let made_from = self.made_from(text);
        let compiled = fs::read_optional(self.dir.join(format!("compiled-{}", self.architecture)))?;
        let index = match compiled.and_then(|bytes| Index::load(bytes, made_from)) {
            Some(index) => index,
            None => self.make(&release, text)?,
        };
        Ok(Loaded { release, release_sha256: Sha256::of(text.as_bytes()), index })
    }

    fn release_text(&self) -> Result<String> {
        let bytes = fs::read_optional(self.dir.join("Release"))?.ok_or_else(|| self.no_index())?;
        String::from_utf8(bytes).map_err(|_| self.no_index())
    }

    /// The index that was verified last, from this machine only.
    pub(crate) fn load(&self) -> Result<Loaded> {
        let text = self.release_text()?;
        let made_from = self.made_from(&text);
        let compiled = fs::read_optional(self.dir.join(format!("compiled-{}", self.architecture)))?;
        if let Some(index) = compiled.and_then(|bytes| Index::load(bytes, made_from)) {
            let release = Release::parse(&text).map_err(|_| self.no_index())?;
            return Ok(Loaded { release, release_sha256: Sha256::of(text.as_bytes()), index });
        }
        // Damaged, old, or just being changed by another process.
        let _lock = self.index_lock()?;
        self.load_locked(&self.release_text()?)
    }

    /// The names of the suite's packages; `None` without a verified index.
    pub(crate) fn names(&self) -> Result<Option<Names>> {
        self.list("names", Names::decode)
    }

    /// What people search in; `None` without a verified index.
    pub(crate) fn about(&self) -> Result<Option<About>> {
        self.list("about", About::decode)
    }

    /// A list that was made beside the compiled index; made anew where it is missing or does not fit.
    fn list<T>(&self, kind: &str, decode: fn(Vec<u8>, Sha256) -> Option<T>) -> Result<Option<T>> {
        let Some(release) = fs::read_optional(self.dir.join("Release"))? else { return Ok(None) };
        let Ok(text) = String::from_utf8(release) else { return Ok(None) };
        let read = || Ok::<_, Error>(fs::read_optional(self.dir.join(format!("{kind}-{}", self.architecture)))?);
        let made_from = self.made_from(&text);
        if let Some(list) = read()?.and_then(|bytes| decode(bytes, made_from)) {
            return Ok(Some(list));
        }
        let _lock = self.index_lock()?;
        let text = self.release_text()?;
        let release = Release::parse(&text).map_err(|_| self.no_index())?;
        match self.make(&release, &text) {
            Ok(_) => Ok(read()?.and_then(|bytes| decode(bytes, self.made_from(&text)))),
            Err(Error::NoIndex { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Removes files of earlier Releases and temporaries of processes that were killed.
    fn sweep(&self, release: &Release) -> Result<()> {
        let kept: Vec<_> = release.files.values().map(|(_, digest)| format!("packages-{digest}")).collect();
        for name in fs::list(&self.dir)? {
            let name = name.to_string_lossy().into_owned();
            let old = name.starts_with("packages-") && !kept.contains(&name);
            if old || name.starts_with("partial-") || name.contains(".tmp-") {
                fs::remove_file(self.dir.join(&name))?;
            }
        }
        Ok(())
    }
}

fn file_digest(path: &Path) -> Result<Sha256> {
    let mut file = fs::open(path)?;
    let (digest, _) = Sha256::of_reader(&mut file).map_err(|e| regrow_host::FsError::new("read", path, e))?;
    Ok(digest)
}

fn unpack(bytes: &[u8], suffix: &str) -> std::result::Result<String, String> {
    let mut text = String::new();
    let read = match suffix {
        ".xz" => liblzma::read::XzDecoder::new(bytes).take(PACKAGES_LIMIT).read_to_string(&mut text),
        ".gz" => flate2::read::GzDecoder::new(bytes).take(PACKAGES_LIMIT).read_to_string(&mut text),
        _ => bytes.take(PACKAGES_LIMIT).read_to_string(&mut text),
    };
    read.map_err(|e| format!("it cannot be unpacked: {e}"))?;
    if text.len() as u64 >= PACKAGES_LIMIT { Err("it is too large".to_owned()) } else { Ok(text) }
}
