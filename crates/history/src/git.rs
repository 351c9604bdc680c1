//! How git is called: nobody's hooks, nobody's configuration, one language.

use std::path::{Path, PathBuf};

use regrow_host::program::{self, Output, Program};

use crate::error::{Error, Result};

/// Runs git in one directory.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    dir: PathBuf,
    trusted: Option<PathBuf>,
}

impl Git {
    pub(crate) fn new(dir: &Path) -> Git {
        Git { dir: dir.to_owned(), trusted: None }
    }

    /// A call of git with these arguments.
    pub(crate) fn call<A: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Program {
        let mut program = Program::new("git", "git").dir(&self.dir);
        program = program.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        // Reading must not write (the index is refreshed by whoever commits), and nobody is there to answer a question.
        program = program.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0");
        for setting in ["core.hooksPath=/dev/null", "core.fsmonitor=false", "core.quotePath=false", "gc.auto=0"] {
            program = program.arg("-c").arg(setting);
        }
        self.trusting(program).args(args)
    }

    /// Lets a call work in a repository of another user that the person trusts.
    pub(crate) fn trusting(&self, program: Program) -> Program {
        match &self.trusted {
            Some(trusted) => program.arg("-c").arg(format!("safe.directory={}", trusted.display())),
            None => program,
        }
    }

    /// Runs it; the answer must be UTF-8. Trailing line ends are removed.
    pub(crate) fn text<A: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<String> {
        let output = self.call(args).run()?;
        Ok(text_of(output))
    }

    /// Runs it; any exit status but 0 means "there is none".
    pub(crate) fn maybe<A: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<Option<String>> {
        let output = self.call(args).output()?;
        Ok(output.status.success().then(|| text_of(output)))
    }

    /// Asks git about the repository around the directory: the top of the work tree, git's own directory, the path of
    /// `dir` below the top.
    ///
    /// A repository of another user is trusted only if the person told git so, or is that user under sudo.
    pub(crate) fn locate(&mut self) -> Result<(PathBuf, PathBuf, String)> {
        let ask = |git: &Git| {
            git.call([
                "rev-parse",
                "--path-format=absolute",
                "--show-toplevel",
                "--git-common-dir",
                "--absolute-git-dir",
                "--show-prefix",
            ])
        };
        let mut output = ask(self).output()?;
        if !output.status.success() && output.stderr.contains("dubious ownership") {
            let top = dubious_path(&output.stderr).unwrap_or_else(|| self.dir.clone());
            if !person_trusts(&top)? {
                return Err(Error::Untrusted(top));
            }
            self.trusted = Some(top);
            output = ask(self).output()?;
        }
        if !output.status.success() {
            if output.stderr.contains("not a git repository") || output.stderr.contains("must be run in a work tree") {
                return Err(Error::NoRepository(self.dir.clone()));
            }
            return Err(ask(self).failed(&output).into());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = text.lines();
        let (Some(top), Some(_common), Some(git_dir)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(Error::Answer("git rev-parse --show-toplevel"));
        };
        Ok((top.into(), git_dir.into(), lines.next().unwrap_or_default().to_owned()))
    }

    /// The version of git, as numbers.
    pub(crate) fn version() -> Result<(u32, u32, String)> {
        let output = Program::new("git", "git").arg("version").run()?;
        let text = text_of(output);
        let word = text.split_whitespace().nth(2).unwrap_or_default().to_owned();
        let mut numbers = word.split('.').map(|n| n.parse::<u32>().unwrap_or_default());
        Ok((numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default(), word))
    }
}

fn text_of(output: Output) -> String {
    let mut text =
        String::from_utf8(output.stdout).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    text
}

fn dubious_path(stderr: &str) -> Option<PathBuf> {
    let (_, rest) = stderr.split_once("repository at '")?;
    Some(PathBuf::from(rest.split_once('\'')?.0))
}

/// Whether the person's own or the machine's configuration names `top` as safe, or the person is its owner under sudo.
fn person_trusts(top: &Path) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let sudo = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse::<u32>().ok());
    if sudo.is_some() && sudo == std::fs::metadata(top).ok().map(|m| m.uid()) {
        return Ok(true);
    }
    for scope in ["--global", "--system"] {
        let ask = Program::new("git", "git").args(["config", scope, "-z", "--get-all", "safe.directory"]);
        let said = ask.output()?;
        let mut trusted = false;
        for value in said.stdout.split(|b| *b == 0).filter(|v| !v.is_empty()) {
            let value = String::from_utf8_lossy(value);
            trusted |= value == "*" || Path::new(&*value) == top;
        }
        if trusted {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the person's own git configuration has under keys like these, as `-z --get-regexp` says it.
pub(crate) fn person_config(keys: &str) -> std::result::Result<Option<String>, program::Error> {
    let output = Program::new("git", "git").args(["config", "--global", "-z", "--get-regexp", keys]).output()?;
    Ok(output.status.success().then(|| text_of(output)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_in_gits_complaint_is_found() {
        let said = "fatal: detected dubious ownership in repository at '/srv/fleet'\nTo add an exception…";
        assert_eq!(dubious_path(said), Some(PathBuf::from("/srv/fleet")));
    }
}
