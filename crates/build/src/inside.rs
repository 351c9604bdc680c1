//! Programs run inside the root under construction.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use regrow_image::{Store, Tree, UpperMode};
use regrow_sandbox::{Ended, Entry, Exit, Mount, Profile, Root, Spec, Stream, UserNs, build_environment};

use crate::error::BuildError;

/// The host's ids that builds run as: a range of its own within those that systemd sets aside for containers.
const ID_BASE: u32 = 0x6ffe_0000;
/// As many as a server has.
const ID_COUNT: u32 = 65536;
/// Longer than any installation takes; a script that waits for an answer would wait for ever.
const LIMIT: Duration = Duration::from_secs(3600);
/// Lines kept for an error.
const TAIL: usize = 15;

/// What programs wrote, last lines first to go.
#[derive(Debug, Default, Clone)]
pub(crate) struct Log {
    lines: VecDeque<String>,
    partial: Vec<u8>,
}

impl Log {
    /// Takes a piece of output and hands each whole line to `line`.
    fn push(&mut self, bytes: &[u8], line: &mut dyn FnMut(&str)) {
        for byte in bytes {
            if *byte != b'\n' {
                self.partial.push(*byte);
                continue;
            }
            let text = String::from_utf8_lossy(&std::mem::take(&mut self.partial)).trim_end().to_owned();
            line(&text);
            if !text.is_empty() {
                self.lines.push_back(text);
            }
            // Enough for the error lines of dpkg to still be there when they are looked for.
            if self.lines.len() > 400 {
                self.lines.pop_front();
            }
        }
    }

    fn finish(&mut self, line: &mut dyn FnMut(&str)) {
        if !self.partial.is_empty() {
            self.push(b"\n", line);
        }
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.lines.iter().skip(self.lines.len().saturating_sub(TAIL)).cloned().collect()
    }

    /// The error for a failed program: the package's whose script dpkg names, else the program's.
    pub(crate) fn failure(&self, program: &str, status: Option<i32>) -> BuildError {
        // dpkg: error processing package NAME (--configure):
        //  installed NAME package post-installation script subprocess returned error exit status 1
        for (i, line) in self.lines.iter().enumerate() {
            let Some(rest) = line
                .split("error processing package ")
                .nth(1)
                .or_else(|| line.split("error processing archive ").nth(1))
            else {
                continue;
            };
            let package = rest.split(" (").next().unwrap_or(rest).to_owned();
            let why = self.lines.get(i + 1).map(|l| l.trim()).unwrap_or_default();
            // A package that only waits for another one is not the one to name.
            if why.starts_with("dependency problems") {
                continue;
            }
            let script = why
                .split(" package ")
                .nth(1)
                .and_then(|w| w.split(" subprocess").next())
                .or_else(|| why.strip_prefix("new ").and_then(|w| w.split(" subprocess").next()))
                .filter(|w| w.contains("script"))
                .map(|w| format!("the {w}"));
            let exit = why.rsplit("exit status ").next().and_then(|n| n.trim().parse().ok());
            let from = i.saturating_sub(TAIL - 2);
            let tail = self.lines.iter().skip(from).take(i + 2 - from).cloned().collect();
            return BuildError::Package { package, script, status: exit, tail };
        }
        BuildError::Inside { program: program.to_owned(), status, tail: self.tail() }
    }
}

/// One run of a program over a tree.
pub(crate) struct Run<'a> {
    /// The program and its arguments.
    pub(crate) argv: Vec<OsString>,
    /// Added to the environment of builds.
    pub(crate) environment: Vec<(String, String)>,
    /// Further mounts.
    pub(crate) mounts: Vec<Mount>,
    /// Files for the time of the run: below /run, or removed from the tree afterwards by the caller.
    pub(crate) entries: Vec<Entry>,
    /// Hears every line of output.
    pub(crate) line: &'a mut dyn FnMut(&str),
}

/// A place to run programs in: a user namespace and a directory for what they write.
pub(crate) struct Place<'a> {
    pub(crate) store: &'a Store,
    pub(crate) scratch: &'a Path,
    pub(crate) userns: UserNs,
}

impl<'a> Place<'a> {
    pub(crate) fn new(store: &'a Store, scratch: &'a Path) -> Result<Place<'a>, BuildError> {
        use std::os::unix::fs::PermissionsExt;
        // What packages ship setuid root is so on disk, too: nobody else may get at it.
        std::fs::set_permissions(scratch, std::fs::Permissions::from_mode(0o700))
            .map_err(|e| regrow_host::FsError::new("set the mode of", scratch, e))?;
        Ok(Place { store, scratch, userns: UserNs::new(ID_BASE, ID_COUNT)? })
    }

    /// Runs a program over `tree`; returns the tree as it left it, with its log.
    pub(crate) fn run(&self, tree: &Tree, name: &str, run: Run<'_>) -> Result<(Tree, Log), BuildError> {
        let dir = self.scratch.join(name);
        regrow_host::fs::create_dir_all(&dir)?;
        let (upper, work) = (dir.join("upper"), dir.join("work"));
        let lower = self.store.mount(&self.store.commit(tree)?, Some(self.userns.fd()))?;
        let program = run.argv.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        let mut spec =
            Spec::new(Root { lower, upper: upper.clone(), work }, self.userns.clone(), Profile::Build, run.argv);
        spec.env = build_environment();
        spec.env.extend(run.environment.into_iter().map(|(k, v)| (k.into(), v.into())));
        spec.mounts = run.mounts;
        spec.entries = run.entries;
        // One pipe for both: dpkg writes long messages to standard error in two pieces, and what it wrote to standard
        // output in between, or after, must not be read first.
        spec.io.stderr = Stream::Stdout;
        let mut log = Log::default();
        let line = run.line;
        let ended = regrow_sandbox::run(spec, Some(LIMIT), &mut |_, bytes| log.push(bytes, line))?;
        log.finish(line);
        match ended {
            Ended::Exit(Exit::Code(0)) => {}
            Ended::Exit(Exit::Code(code)) => return Err(log.failure(&program, Some(code))),
            Ended::Cancelled => return Err(BuildError::Cancelled),
            _ => return Err(log.failure(&program, None)),
        }
        let tree = self.store.apply_upper(tree, &upper, UpperMode::Take)?;
        Ok((tree, log))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> Log {
        let mut log = Log::default();
        log.push(text.as_bytes(), &mut |_| {});
        log
    }

    #[test]
    fn the_script_that_failed_is_found_in_what_dpkg_writes() {
        let log = log("Setting up broken (1.0) ...\nno such thing\n\
             dpkg: error processing package broken (--configure):\n\
             \x20installed broken package post-installation script subprocess returned error exit status 7\n\
             dpkg: dependency problems prevent configuration of other:\n other depends on broken\n\
             dpkg: error processing package other (--configure):\n dependency problems - leaving unconfigured\n\
             Errors were encountered while processing:\n broken\n other\n");
        let BuildError::Package { package, script, status, tail } = log.failure("dpkg", Some(1)) else {
            panic!("a package is at fault")
        };
        assert_eq!(
            (package.as_str(), script.as_deref(), status),
            ("broken", Some("the post-installation script"), Some(7))
        );
        assert_eq!(tail[1], "no such thing");
        assert!(tail.last().unwrap().contains("exit status 7"));
    }

    #[test]
    fn what_is_no_packages_fault_is_the_programs() {
        let BuildError::Inside { program, status, tail } = log("dpkg: unrecoverable\n").failure("dpkg", Some(2)) else {
            panic!("no package is at fault")
        };
        assert_eq!((program.as_str(), status, tail), ("dpkg", Some(2), vec!["dpkg: unrecoverable".to_owned()]));
    }
}
