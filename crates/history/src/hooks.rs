//! The person's hooks: where they are, and one of ours among them if they want it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use regrow_host::fs;
use regrow_host::program::Program;

use crate::error::Result;
use crate::repo::Repo;

/// The line by which a hook of ours is known.
const MARK: &str = "# Made by Regrow.";

/// A hook of this clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its name: `pre-commit`.
    pub name: String,
    /// Whether we made it.
    pub is_ours: bool,
}

impl Repo {
    /// Where git looks for hooks, by the person's own configuration; and whether that is this clone's own place.
    pub fn hooks_dir(&self) -> Result<(PathBuf, bool)> {
        let ask = Program::new("git", "git").dir(&self.fleet);
        let ask = self.git.trusting(ask).args(["rev-parse", "--path-format=absolute", "--git-path", "hooks"]);
        let dir = PathBuf::from(String::from_utf8_lossy(&ask.run()?.stdout).trim_end_matches('\n'));
        let common = self.git.text(["rev-parse", "--path-format=absolute", "--git-common-dir"])?;
        let own = dir == Path::new(&common).join("hooks");
        Ok((dir, own))
    }

    /// The hooks that git would run here, by name.
    pub fn hooks(&self) -> Result<Vec<Hook>> {
        let (dir, _) = self.hooks_dir()?;
        let mut found = Vec::new();
        for name in fs::list(&dir)? {
            let (path, name) = (dir.join(&name), name.to_string_lossy().into_owned());
            let runs = std::fs::metadata(&path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
            if runs && !name.ends_with(".sample") && !name.starts_with('.') {
                found.push(Hook { name, is_ours: is_ours(&path) });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Writes a hook of ours; one of the person's is never touched. Says whether it is there now.
    pub fn write_hook(&self, name: &str, about: &str, command: &str) -> Result<bool> {
        let path = self.hooks_dir()?.0.join(name);
        if std::fs::symlink_metadata(&path).is_ok() && !is_ours(&path) {
            return Ok(false);
        }
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let text = format!("#!/bin/sh\n{MARK} {about}\n{command}\n");
        fs::write_atomic_with_mode(&path, text.as_bytes(), 0o755)?;
        Ok(true)
    }

    /// Removes a hook of ours; one of the person's stays. Says whether there was one.
    pub fn remove_hook(&self, name: &str) -> Result<bool> {
        let path = self.hooks_dir()?.0.join(name);
        let ours = is_ours(&path);
        if ours {
            fs::remove_file(&path)?;
        }
        Ok(ours)
    }
}

fn is_ours(path: &Path) -> bool {
    std::fs::read(path)
        .is_ok_and(|bytes| bytes.split(|b| *b == b'\n').nth(1).is_some_and(|l| l.starts_with(MARK.as_bytes())))
}
