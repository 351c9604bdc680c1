//! Who may look: one-time links, the sessions they are exchanged for, and the form tokens derived from a session.
//!
//! Everything lies below `REGROW_HOME/web/`, which only its owner can enter:
//!
//! * `links/<sha256 of the token>`: a link that nobody has opened yet. Opening it *removes* the file, and unlink(2)
//!   succeeds for exactly one caller, so that a link works once however many ask at the same instant.
//! * `sessions/<sha256 of the cookie>`: a browser that came by a link (an empty file) or signed in (the account's name and
//!   serial, see `regrow_ops::accounts`). The files outlive the program, so that a restart of `regrow serve` logs nobody
//!   out; removing one ends that session at once.
//!
//! Only hashes are stored: reading the directory lets nobody in. The age of a file is its age on disk.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use regrow_host::{FsError, fs};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A link that is not opened within this time no longer works.
pub(crate) const LINK_LIFE: Duration = Duration::from_secs(24 * 3600);
/// A session ends this long after its link was opened.
pub(crate) const SESSION_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// 256 random bits as 64 hex digits. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A new one from the kernel.
    ///
    /// # Errors
    /// If the kernel has no randomness to give.
    pub(crate) fn new() -> std::io::Result<Secret> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
        Ok(Secret(hex::encode(bytes)))
    }

    /// Reads one that came over the network; anything but 64 lower-case hex digits is none.
    pub(crate) fn parse(text: &str) -> Option<Secret> {
        let good = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        good.then(|| Secret(text.to_owned()))
    }

    /// The text that goes into a link, a cookie or a form.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    fn file_name(&self) -> String {
        hex::encode(Sha256::digest(self.0.as_bytes()))
    }

    /// The token that forms of this session carry. It follows from the cookie, so nothing more is stored, and does not
    /// give the cookie away.
    pub(crate) fn form_token(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"regrow form token\0");
        hash.update(self.0.as_bytes());
        hex::encode(hash.finalize())
    }
}

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Holder {
    /// Whoever opened a one-time link.
    Link,
    /// An account that signed in.
    Account {
        /// Its name.
        name: String,
        /// Its serial at that time: the session ends when it is another one.
        serial: u64,
    },
}

/// Whether two texts are equal, in a time that depends on their lengths only.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

/// The links and sessions of one home.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    links: PathBuf,
    sessions: PathBuf,
}

impl Sessions {
    /// Opens (or makes) the directories below `home`, and forgets what is too old.
    ///
    /// # Errors
    /// If they cannot be made or listed.
    pub(crate) fn open(home: &Path) -> Result<Sessions, FsError> {
        let (links, sessions) = (home.join("web/links"), home.join("web/sessions"));
        for (dir, life) in [(&links, LINK_LIFE), (&sessions, SESSION_LIFE)] {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(|e| FsError::new("create the directory", dir, e))?;
            for name in fs::list(dir)? {
                let path = dir.join(name);
                if !is_fresh(&path, life) {
                    fs::remove_file(&path)?;
                }
            }
        }
        Ok(Sessions { links, sessions })
    }

    /// Makes a link token.
    ///
    /// # Errors
    /// If it cannot be made durable.
    pub(crate) fn new_link(&self) -> Result<Secret, FsError> {
        Self::new_in(&self.links, b"")
    }

    /// Exchanges a link token for a session; `None` if the link was used, is too old, or never was.
    ///
    /// # Errors
    /// If the new session cannot be made durable; the link is used up then as well.
    pub(crate) fn redeem(&self, link: &Secret) -> Result<Option<Secret>, FsError> {
        let path = self.links.join(link.file_name());
        if !is_fresh(&path, LINK_LIFE) || std::fs::remove_file(&path).is_err() {
            return Ok(None);
        }
        Self::new_in(&self.sessions, b"").map(Some)
    }

    /// Makes a session for an account whose password was right.
    ///
    /// # Errors
    /// If it cannot be made durable.
    pub(crate) fn sign_in(&self, name: &str, serial: u64) -> Result<Secret, FsError> {
        let holder = Holder::Account { name: name.to_owned(), serial };
        Self::new_in(&self.sessions, &serde_json::to_vec(&holder).unwrap_or_default())
    }

    /// Whose session this cookie is; `None` if it is none.
    pub(crate) fn holder(&self, session: &Secret) -> Option<Holder> {
        let path = self.sessions.join(session.file_name());
        if !is_fresh(&path, SESSION_LIFE) {
            return None;
        }
        let bytes = fs::read_optional(&path).ok().flatten()?;
        if bytes.is_empty() { Some(Holder::Link) } else { serde_json::from_slice(&bytes).ok() }
    }

    /// Ends a session.
    ///
    /// # Errors
    /// If the file cannot be removed: then the session still holds.
    pub(crate) fn end(&self, session: &Secret) -> Result<(), FsError> {
        fs::remove_file(self.sessions.join(session.file_name()))
    }

    fn new_in(dir: &Path, bytes: &[u8]) -> Result<Secret, FsError> {
        let secret = Secret::new().map_err(|e| FsError::new("get random bytes for", dir, e))?;
        fs::write_atomic_with_mode(dir.join(secret.file_name()), bytes, 0o600)?;
        Ok(secret)
    }
}

fn is_fresh(path: &Path, life: Duration) -> bool {
    let Ok(modified) = std::fs::symlink_metadata(path).and_then(|m| m.modified()) else { return false };
    // A clock that was set back makes a file look younger than it is, never older: nobody is thrown out by it.
    SystemTime::now().duration_since(modified).map_or(true, |age| age < life)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_one_session_and_no_second() {
        let home = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(home.path()).unwrap();
        let link = sessions.new_link().unwrap();
        let session = sessions.redeem(&link).unwrap().expect("the first use");
        assert_eq!(sessions.holder(&session), Some(Holder::Link));
        assert_eq!(sessions.redeem(&link).unwrap(), None, "the second use");
        assert_eq!(sessions.holder(&link), None, "a link is not a session");
        let again = Sessions::open(home.path()).unwrap();
        assert_eq!(again.holder(&session), Some(Holder::Link), "a restart keeps sessions");
        again.end(&session).unwrap();
        assert_eq!(sessions.holder(&session), None);
    }

    #[test]
    fn a_session_knows_its_account_and_a_broken_one_is_none() {
        let home = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(home.path()).unwrap();
        let session = sessions.sign_in("alice", 7).unwrap();
        assert_eq!(sessions.holder(&session), Some(Holder::Account { name: "alice".to_owned(), serial: 7 }));
        std::fs::write(sessions.sessions.join(session.file_name()), "{\"Account\":{\"na").unwrap();
        assert_eq!(sessions.holder(&session), None);
    }

    #[test]
    fn of_many_who_use_a_link_at_once_one_gets_in() {
        let home = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(home.path()).unwrap();
        let link = sessions.new_link().unwrap();
        let won: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| sessions.redeem(&link).unwrap().is_some() as usize)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
    }

    #[test]
    fn what_is_too_old_no_longer_works_and_is_swept() {
        let home = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(home.path()).unwrap();
        let link = sessions.new_link().unwrap();
        let path = sessions.links.join(link.file_name());
        let old = SystemTime::now() - LINK_LIFE - Duration::from_secs(1);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        assert_eq!(sessions.redeem(&link).unwrap(), None);
        Sessions::open(home.path()).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn nobody_else_can_enter_and_no_secret_is_on_disk() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(home.path()).unwrap();
        let link = sessions.new_link().unwrap();
        for dir in ["web", "web/links", "web/sessions"] {
            let mode = home.path().join(dir).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{dir}");
        }
        let names = fs::list(&sessions.links).unwrap();
        assert!(names.iter().all(|n| n.to_str() != Some(link.reveal())));
    }

    #[test]
    fn a_secret_is_64_hex_digits_and_nothing_else() {
        assert!(Secret::parse(Secret::new().unwrap().reveal()).is_some());
        for bad in ["", "../../etc/passwd", &"A".repeat(64), &"a".repeat(63), &"é".repeat(32)] {
            assert!(Secret::parse(bad).is_none(), "{bad}");
        }
        assert!(!format!("{:?}", Secret::parse(&"a".repeat(64))).contains("aaaa"));
    }

    #[test]
    fn texts_are_the_same_only_if_every_byte_is() {
        assert!(same("abc", "abc"));
        for (a, b) in [("abc", "abd"), ("abc", "ab"), ("", "a")] {
            assert!(!same(a, b));
        }
    }
}
