//! Other programs, run without a shell and in a fixed environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a program gave no good answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not installed.
    #[error("the program `{program}` is not installed; install the Debian package `{package}`")]
    Missing {
        /// Its name.
        program: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// It could not be started or its output not be read.
    #[error("cannot run `{program}`")]
    Run {
        /// Its name.
        program: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// It ran and said no.
    #[error("`{command}` failed ({status}): {stderr}")]
    Failed {
        /// The command as one would type it.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it wrote to standard error, trimmed.
        stderr: String,
    },
}

/// What a program wrote, with its exit status.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: std::process::ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, lossily decoded.
    pub stderr: String,
}

/// A program to run. The environment is empty but for `PATH`, `HOME`, `LC_ALL=C.UTF-8` and what [`Program::env`] adds.
#[derive(Debug, Clone)]
pub struct Program {
    name: String,
    package: &'static str,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    dir: Option<PathBuf>,
    input: Option<Vec<u8>>,
}

impl Program {
    /// `name` is looked up in `PATH`; `package` is the Debian package to name when it is missing.
    pub fn new(name: &str, package: &'static str) -> Program {
        let mut env = BTreeMap::new();
        let path = std::env::var_os("PATH")
            .unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
        env.insert("PATH".into(), path);
        env.insert("HOME".into(), std::env::var_os("HOME").unwrap_or_else(|| "/".into()));
        env.insert("LC_ALL".into(), "C.UTF-8".into());
        Program { name: name.to_owned(), package, args: Vec::new(), env, dir: None, input: None }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Program {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Program {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Program {
        self.env.insert(key.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Runs it in `dir`.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Program {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// Gives it standard input; without this it has none.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Program {
        self.input = Some(bytes.into());
        self
    }

    /// The prepared [`Command`], for callers that stream.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.name);
        command.args(&self.args).env_clear().envs(&self.env).stdin(Stdio::null());
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    /// The error for a failed start.
    pub fn start_error(&self, source: std::io::Error) -> Error {
        if source.kind() == std::io::ErrorKind::NotFound && self.dir.as_deref().is_none_or(Path::is_dir) {
            Error::Missing { program: self.name.clone(), package: self.package }
        } else {
            Error::Run { program: self.name.clone(), source }
        }
    }

    /// Runs it to its end and returns what it wrote, whatever its exit status.
    pub fn output(&self) -> Result<Output, Error> {
        let run = |source| Error::Run { program: self.name.clone(), source };
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().map_err(|e| self.start_error(e))?;
        // Written from a thread of its own: a program that writes before it has read all would block us both.
        let writer = self.input.clone().zip(child.stdin.take()).map(|(bytes, mut stdin)| {
            std::thread::spawn(move || {
                // A program that stops reading early says why by its exit status.
                let _ = stdin.write_all(&bytes);
            })
        });
        let output = child.wait_with_output().map_err(run)?;
        if let Some(writer) = writer {
            let _ = writer.join();
        }
        Ok(Output {
            status: output.status,
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Runs it; an exit status other than 0 is an error with its standard error.
    pub fn run(&self) -> Result<Output, Error> {
        let output = self.output()?;
        if output.status.success() { Ok(output) } else { Err(self.failed(&output)) }
    }

    /// The error that says how `output` ended.
    pub fn failed(&self, output: &Output) -> Error {
        let mut command = self.name.clone();
        for arg in &self.args {
            command.push(' ');
            command.push_str(&arg.to_string_lossy());
        }
        Error::Failed { command, status: output.status, stderr: output.stderr.clone() }
    }
}

/// Whether a program of this name is in `PATH`.
pub fn is_installed(name: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|d| d.join(name).is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let e = Program::new("no-such-program", "some-package").run().unwrap_err();
        assert_eq!(
            e.to_string(),
            "the program `no-such-program` is not installed; install the Debian package `some-package`"
        );
    }

    #[test]
    fn large_input_to_an_echoing_program_does_not_deadlock() {
        let input = vec![b'x'; 1 << 20];
        let output = Program::new("cat", "coreutils").input(input.clone()).run().unwrap();
        assert_eq!(output.stdout, input);
    }

    #[test]
    fn failure_carries_standard_error() {
        let e = Program::new("ls", "coreutils").arg("/nowhere-at-all").run().unwrap_err();
        assert!(e.to_string().contains("/nowhere-at-all"), "{e}");
    }
}
