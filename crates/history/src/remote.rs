//! Other clones: an ordinary git remote, fetched from and pushed to by the person's own git with its credentials.
//!
//! Nothing here asks a question: where git would ask for a password, it fails and says so. What comes is kept as git
//! keeps it (`refs/remotes/<remote>/<branch>`), and what others noted about revisions as
//! `refs/regrow/remotes/<remote>/notes`; neither the branch nor the work tree is touched. Nothing is ever forced.

use regrow_host::program::Program;

use crate::error::{Error, Result};
use crate::notes::NOTES;
use crate::repo::Repo;

/// Where a branch is pulled from and pushed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The remote's name: `origin`.
    pub remote: String,
    /// The branch there, as a full ref.
    pub branch: String,
}

impl Upstream {
    /// For people: `origin/main`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.remote, self.branch.strip_prefix("refs/heads/").unwrap_or(&self.branch))
    }
}

/// What another clone has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct There {
    /// The branch's commit; `None` if it is not there yet.
    pub branch: Option<String>,
    /// The commit of its notes.
    pub notes: Option<String>,
}

/// How a push ended. Each ref is for itself: what Moved leaves behind may have come through already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is there.
    Done,
    /// Somebody else pushed meanwhile: look again.
    Moved,
}

impl Repo {
    /// Where `branch` (a full ref) is pulled from and pushed to: the named remote; else what git's configuration says
    /// for the branch, else the only remote, else `origin`.
    ///
    /// # Errors
    /// [`Error::NoRemote`].
    pub fn upstream(&self, branch: &str, remote: Option<&str>) -> Result<Upstream> {
        let known = self.git.text(["remote"])?;
        let known: Vec<&str> = known.lines().collect();
        let short = branch.strip_prefix("refs/heads/").unwrap_or(branch);
        let set = |what: &str| self.git.maybe(["config", "--get", &format!("branch.{short}.{what}")]);
        let usual = set("remote")?;
        let remote = match (remote, &usual, &known[..]) {
            (Some(named), _, _) => named.to_owned(),
            (None, Some(usual), _) => usual.clone(),
            (None, None, [only]) => (*only).to_owned(),
            (None, None, _) => "origin".to_owned(),
        };
        if !known.contains(&&*remote) {
            return Err(Error::NoRemote(remote));
        }
        // What is set for the branch is about its usual remote.
        let there = if usual.as_ref() == Some(&remote) { set("merge")? } else { None };
        Ok(Upstream { remote, branch: there.unwrap_or_else(|| branch.to_owned()) })
    }

    /// Asks what is there now, and fetches it.
    ///
    /// # Errors
    /// [`Error::Remote`] in git's words.
    pub fn fetch(&self, from: &Upstream) -> Result<There> {
        let listed = self.remote_call(from, &["ls-remote", "--refs", &from.remote, &from.branch, NOTES])?;
        let mut there = There::default();
        let mut specs = Vec::new();
        for line in listed.lines() {
            match line.split_once('\t') {
                Some((id, name)) if name == from.branch => {
                    there.branch = Some(id.to_owned());
                    specs.push(format!("+{name}:{}", self.tracking(from)));
                }
                Some((id, NOTES)) => {
                    there.notes = Some(id.to_owned());
                    specs.push(format!("+{NOTES}:refs/regrow/remotes/{}/notes", from.remote));
                }
                _ => {}
            }
        }
        if specs.is_empty() {
            return Ok(there);
        }
        let mut args = vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"];
        args.extend(["--no-recurse-submodules", "--end-of-options", &from.remote]);
        args.extend(specs.iter().map(String::as_str));
        self.remote_call(from, &args)?;
        // It may have moved between the two questions.
        let now = |name: &str| self.commit_of(name);
        there.branch = there.branch.map(|id| Ok::<_, Error>(now(&self.tracking(from))?.unwrap_or(id))).transpose()?;
        let notes = format!("refs/regrow/remotes/{}/notes", from.remote);
        there.notes = there.notes.map(|id| Ok::<_, Error>(now(&notes)?.unwrap_or(id))).transpose()?;
        Ok(there)
    }

    /// Pushes commits (full ids) to full refs, never by force.
    ///
    /// # Errors
    /// [`Error::Remote`] in git's words.
    pub fn push(&self, to: &Upstream, refs: &[(String, String)]) -> Result<Pushed> {
        let specs: Vec<String> = refs.iter().map(|(commit, name)| format!("{commit}:{name}")).collect();
        let mut args = vec!["push", "--porcelain", "--no-verify", "--no-recurse-submodules"];
        args.extend(["--end-of-options", &to.remote]);
        args.extend(specs.iter().map(String::as_str));
        let output = self.as_person(&args)?.output()?;
        if output.status.success() {
            return Ok(Pushed::Done);
        }
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &output.stderr;
        let moved = ["fetch first", "non-fast-forward", "stale info", "cannot lock ref", "failed to update ref"];
        if moved.iter().any(|words| said.contains(words)) {
            return Ok(Pushed::Moved);
        }
        Err(remote_error(to, &said))
    }

    /// Remembers where the branch is pushed to, if nothing is set.
    pub fn set_upstream(&self, branch: &str, to: &Upstream) -> Result<()> {
        let short = branch.strip_prefix("refs/heads/").unwrap_or(branch);
        if self.git.maybe(["config", "--get", &format!("branch.{short}.remote")])?.is_none() {
            self.git.text(["config", "--local", &format!("branch.{short}.remote"), &to.remote])?;
            self.git.text(["config", "--local", &format!("branch.{short}.merge"), &to.branch])?;
        }
        Ok(())
    }

    /// The newest `limit` commits that `to` has and `from` has not: id and subject, newest first.
    pub fn subjects(&self, from: Option<&str>, to: &str, limit: usize) -> Result<Vec<(String, String)>> {
        let range = from.map_or_else(|| to.to_owned(), |from| format!("{from}..{to}"));
        let limit = format!("--max-count={limit}");
        let text = self.git.text([
            "log",
            "--encoding=UTF-8",
            "--no-show-signature",
            "--format=%H %s",
            &limit,
            &range,
            "--",
        ])?;
        Ok(text.lines().filter_map(|line| line.split_once(' ')).map(|(id, s)| (id.to_owned(), s.to_owned())).collect())
    }

    /// The newest common ancestor of two commits, if there is one.
    pub fn merge_base(&self, a: &str, b: &str) -> Result<Option<String>> {
        self.git.maybe(["merge-base", a, b])
    }

    /// How many commits `to` has that `from` has not.
    pub fn ahead(&self, from: Option<&str>, to: &str) -> Result<usize> {
        let range = from.map_or_else(|| to.to_owned(), |from| format!("{from}..{to}"));
        Ok(self.git.text(["rev-list", "--count", &range, "--"])?.parse().unwrap_or_default())
    }

    /// The paths (of the whole repository) between two commits that only git itself can bring along: outside of the
    /// fleet, symbolic links, submodules, and modes that changed.
    pub fn only_for_git(&self, old: &str, new: &str) -> Result<Vec<String>> {
        let output = self.call(&["diff-tree", "-r", "-z", "--raw", "--no-renames", old, new]).run()?.stdout;
        let mut tokens = output.split(|b| *b == 0).map(String::from_utf8_lossy);
        let mut found = Vec::new();
        while let (Some(status), Some(path)) = (tokens.next(), tokens.next()) {
            let mut modes = status.trim_start_matches(':').split(' ').take(2);
            let (old, new) = (modes.next().unwrap_or_default(), modes.next().unwrap_or_default());
            let plain = |mode: &str| matches!(mode, "100644" | "100755" | "000000");
            let kept = old == new || [old, new].contains(&"000000");
            if !(plain(old) && plain(new) && kept && path.starts_with(&self.prefix)) {
                found.push(path.into_owned());
            }
        }
        Ok(found)
    }

    /// Moves the branch forward to a descendant with git's own means, which refuses where edits would be lost.
    ///
    /// # Errors
    /// If git says no; then nothing was changed.
    pub fn forward_by_git(&self, to: &str) -> Result<()> {
        let program = self.call(&["merge", "--ff-only", "--quiet", "--no-autostash", to]);
        Ok(program.env("GIT_OPTIONAL_LOCKS", "1").run().map(drop)?)
    }

    fn tracking(&self, from: &Upstream) -> String {
        format!("refs/remotes/{}", from.name())
    }

    fn remote_call(&self, with: &Upstream, args: &[&str]) -> Result<String> {
        let output = self.as_person(args)?.output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(remote_error(with, &output.stderr))
    }

    /// A call with the person's own configuration: where their keys, helpers and proxies are. Nobody is asked anything.
    fn as_person(&self, args: &[&str]) -> Result<Program> {
        let mut program = Program::new("git", "git").dir(&self.fleet);
        for key in [
            "USER",
            "LOGNAME",
            "SSH_AUTH_SOCK",
            "SSH_AGENT_PID",
            "XDG_CONFIG_HOME",
            "XDG_RUNTIME_DIR",
            "DBUS_SESSION_BUS_ADDRESS",
            "GIT_CONFIG_GLOBAL",
            "GIT_CONFIG_NOSYSTEM",
            "GIT_SSH",
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "no_proxy",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "NO_PROXY",
        ] {
            if let Some(value) = std::env::var_os(key) {
                program = program.env(key, value);
            }
        }
        program = program.env("GIT_TERMINAL_PROMPT", "0").env("SSH_ASKPASS_REQUIRE", "never");
        if std::env::var_os("GIT_SSH").is_none() {
            let plain = Program::new("git", "git").dir(&self.fleet).args(["config", "--get", "core.sshCommand"]);
            let set = plain.output()?;
            let set = String::from_utf8_lossy(&set.stdout).trim().to_owned();
            let own = std::env::var("GIT_SSH_COMMAND").ok().unwrap_or(set);
            let ssh = if own.is_empty() { "ssh" } else { &own };
            program = program.env("GIT_SSH_COMMAND", format!("{ssh} -oBatchMode=yes"));
        }
        for setting in [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "gc.auto=0",
            "core.askPass=",
            "advice.pushUpdateRejected=true",
        ] {
            program = program.arg("-c").arg(setting);
        }
        Ok(self.git.trusting(program).args(args))
    }
}

/// What git said, without its hints.
fn remote_error(with: &Upstream, said: &str) -> Error {
    let is_reason = |line: &&str| {
        let line = line.trim_start_matches("remote: ");
        line.starts_with("fatal:") || line.starts_with("error:") || line.starts_with('!') || line.contains("denied")
    };
    let mut reasons: Vec<&str> = said.lines().filter(is_reason).take(3).collect();
    if reasons.is_empty() {
        reasons.extend(said.lines().next());
    }
    let said = reasons.join("; ").replace("fatal: ", "").replace("error: ", "");
    Error::Remote { remote: with.remote.clone(), said }
}
