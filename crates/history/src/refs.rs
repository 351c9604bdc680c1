//! Names of commits and refs: what can be one, and what git's own files say about one without starting git.
//!
//! Pages ask all the time where a branch is and whether there are drafts; starting git costs more than the answer.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::repo::Repo;

/// Whether a text is a full object id as git writes it: SHA-1 or SHA-256, in hexadecimal digits without capitals.
pub fn is_full_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Refuses what git would take for an option, a range or several lines instead of one revision.
pub(crate) fn check_name(revision: &str) -> Result<()> {
    if revision.is_empty() || revision.starts_with('-') || revision.contains("..") || revision.contains(['\n', '\0']) {
        return Err(Error::NoRevision(revision.to_owned()));
    }
    Ok(())
}

/// What git's files say about a ref.
pub(crate) enum Plain {
    /// It is at this object.
    At(String),
    /// There is none.
    Absent,
    /// They do not say it plainly: git must be asked.
    Ask,
}

impl Repo {
    /// Git's directory that all work trees of the repository share: where its refs are.
    pub(crate) fn common_dir(&self) -> PathBuf {
        match std::fs::read_to_string(self.git_dir.join("commondir")) {
            Ok(text) => self.git_dir.join(text.trim_end()),
            Err(_) => self.git_dir.clone(),
        }
    }

    /// What git's files say about a full ref (`refs/…`).
    pub(crate) fn plain_ref(&self, name: &str) -> Plain {
        let common = self.common_dir();
        if !name.starts_with("refs/") || name.contains("..") || common.join("reftable").exists() {
            return Plain::Ask;
        }
        match std::fs::read_to_string(common.join(name)) {
            Ok(text) if is_full_id(text.trim_end()) => Plain::At(text.trim_end().to_owned()),
            Ok(_) => Plain::Ask,
            Err(_) if common.join(name).exists() || self.packed_refs_name(name) => Plain::Ask,
            Err(_) => Plain::Absent,
        }
    }

    /// Whether there can be a ref below this beginning (`refs/x/`), or of this name.
    pub(crate) fn may_have_refs(&self, below: &str) -> bool {
        match below.strip_suffix('/') {
            None => !matches!(self.plain_ref(below), Plain::Absent),
            Some(dir) => {
                let common = self.common_dir();
                common.join("reftable").exists()
                    || std::fs::read_dir(common.join(dir)).is_ok_and(|mut found| found.next().is_some())
                    || self.packed_refs_name(below)
            }
        }
    }

    fn packed_refs_name(&self, name: &str) -> bool {
        // A file that cannot be read may name anything.
        match std::fs::read(self.common_dir().join("packed-refs")) {
            Ok(packed) => packed.windows(name.len()).any(|part| part == name.as_bytes()),
            Err(e) => e.kind() != std::io::ErrorKind::NotFound,
        }
    }

    /// The full id of the commit where HEAD is; `None` before the first commit.
    ///
    /// # Errors
    /// If git, asked where its files do not say it plainly, cannot answer.
    pub fn tip(&self) -> Result<Option<String>> {
        let head = std::fs::read_to_string(self.git_dir.join("HEAD")).unwrap_or_default();
        let head = head.trim_end();
        if is_full_id(head) {
            return Ok(Some(head.to_owned()));
        }
        match head.strip_prefix("ref: ").map(|branch| self.plain_ref(branch)) {
            Some(Plain::At(id)) => Ok(Some(id)),
            _ => Ok(self.head()?.commit),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::fixture;

    #[test]
    fn what_git_s_files_say_is_what_git_says_loose_packed_and_in_another_work_tree() {
        let f = fixture();
        let tip = f.git(&["rev-parse", "HEAD"]);
        assert_eq!(f.repo.tip().unwrap().as_deref(), Some(&*tip));
        assert!(!f.repo.may_have_refs("refs/regrow/drafts/") && !f.repo.may_have_refs("refs/regrow/drafts/d1"));
        f.git(&["update-ref", "refs/regrow/drafts/d1", "HEAD"]);
        for name in ["refs/regrow/drafts/", "refs/regrow/drafts/d1"] {
            assert!(f.repo.may_have_refs(name), "loose: {name}");
        }
        f.git(&["pack-refs", "--all", "--prune"]);
        for name in ["refs/regrow/drafts/", "refs/regrow/drafts/d1"] {
            assert!(f.repo.may_have_refs(name), "packed: {name}");
        }
        assert!(!f.repo.may_have_refs("refs/regrow/drafts/d2"));
        assert_eq!(f.repo.tip().unwrap().as_deref(), Some(&*tip));
        let beside = tempfile::tempdir().unwrap();
        let at = beside.path().join("other");
        f.git(&["worktree", "add", "--quiet", "-b", "other", at.to_str().unwrap()]);
        let other = crate::Repo::open(&at).unwrap();
        assert_eq!(other.tip().unwrap().as_deref(), Some(&*tip));
        assert!(other.may_have_refs("refs/regrow/drafts/"));
    }
}
