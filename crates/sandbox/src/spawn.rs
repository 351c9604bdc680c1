//! Starting a sandbox: everything that can be done, checked and explained before the fork.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use seccompiler::BpfProgram;

use crate::child::{Child, Starting};
use crate::error::{Error, Result, step};
use crate::init;
use crate::inside::is_directory;
use crate::seccomp::Profile;
use crate::spawner::on_spawner;
use crate::spec::{Entry, Io, Mount, Source, Spec, Stream};
use crate::sys::{self, Program};
use crate::userns::{UserNs, clone_mount, duplicate, open_path, pipe};

/// The device files a sandbox has, bound from the host.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// One further mount, ready to attach.
pub(crate) enum Ready {
    Bind { mount: OwnedFd, directory: bool, target: String, create: bool },
    Tmpfs { target: String, mode: String, size: Option<String> },
    Content { target: String, bytes: Vec<u8> },
}

/// Everything the children need, with nothing left to look up on the host.
pub(crate) struct Prepared {
    pub(crate) lower: OwnedFd,
    pub(crate) writable: OwnedFd,
    pub(crate) upper: String,
    pub(crate) work: String,
    pub(crate) userns: UserNs,
    pub(crate) cgroup: Vec<OwnedFd>,
    pub(crate) devices: Vec<(&'static str, OwnedFd)>,
    pub(crate) console: Option<OwnedFd>,
    pub(crate) mounts: Vec<Ready>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) hostname: String,
    pub(crate) cwd: String,
    pub(crate) pid1: bool,
    pub(crate) profile: Profile,
    pub(crate) seccomp: Vec<BpfProgram>,
    pub(crate) launch: Launch,
}

impl Prepared {
    /// Every descriptor the children use.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        let mut all = self.launch.descriptors();
        all.extend([self.lower.as_raw_fd(), self.writable.as_raw_fd(), self.userns.fd().as_raw_fd()]);
        all.extend(self.cgroup.iter().chain(&self.console).map(AsRawFd::as_raw_fd));
        all.extend(self.devices.iter().map(|(_, fd)| fd.as_raw_fd()));
        all.extend(self.mounts.iter().filter_map(|m| match m {
            Ready::Bind { mount, .. } => Some(mount.as_raw_fd()),
            _ => None,
        }));
        all
    }
}

impl Launch {
    /// Every descriptor the last part uses.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        let ends = [&self.report, &self.go].into_iter().chain(&self.exit).chain(&self.streams);
        ends.map(AsRawFd::as_raw_fd).collect()
    }
}

/// The last part of every start: streams, program, and the pipes to the parent.
pub(crate) struct Launch {
    pub(crate) program: Program,
    pub(crate) name: String,
    pub(crate) streams: [OwnedFd; 3],
    pub(crate) terminal: bool,
    pub(crate) report: OwnedFd,
    pub(crate) go: OwnedFd,
    pub(crate) exit: Option<OwnedFd>,
    pub(crate) open_files: u64,
}

/// Our ends of a child's streams.
#[derive(Default)]
pub(crate) struct Ends {
    stdin: Option<File>,
    stdout: Option<File>,
    stderr: Option<File>,
    terminal: Option<File>,
}

impl Ends {
    pub(crate) fn give(self, child: &mut Child) {
        child.stdin = self.stdin;
        child.stdout = self.stdout;
        child.stderr = self.stderr;
        child.terminal = self.terminal;
    }
}

/// The parent's ends of the pipes in [`Launch`].
pub(crate) struct Wires {
    pub(crate) report: File,
    pub(crate) go: File,
    pub(crate) exit: Option<File>,
}

/// Pipes, streams and program of a start.
pub(crate) fn launch(program: Program, name: String, io: Io, reaper: bool) -> Result<(Launch, Wires, Ends)> {
    let mut ends = Ends::default();
    let streams = match io.terminal {
        Some(pty) => {
            let of = || duplicate(pty.slave.as_fd());
            let streams = [of()?, of()?, of()?];
            ends.terminal = Some(pty.master.into());
            streams
        }
        None => {
            let (stdin, end) = stream(io.stdin, true)?;
            ends.stdin = end;
            let (stdout, end) = stream(io.stdout, false)?;
            ends.stdout = end;
            let (stderr, end) = match io.stderr {
                Stream::Stdout => (duplicate(stdout.as_fd())?, None),
                other => stream(other, false)?,
            };
            ends.stderr = end;
            [stdin, stdout, stderr]
        }
    };
    let (report_read, report) = pipe()?;
    let (go, go_write) = pipe()?;
    let (exit_read, exit) = if reaper { pipe().map(|(r, w)| (Some(r), Some(w)))? } else { (None, None) };
    let hard = sys::hard_limit(libc::RLIMIT_NOFILE).map_err(step("read the limit of open files"))?;
    let launch = Launch {
        program,
        name,
        streams,
        terminal: ends.terminal.is_some(),
        report,
        go,
        exit,
        open_files: hard.min(524_288),
    };
    Ok((launch, Wires { report: report_read.into(), go: go_write.into(), exit: exit_read.map(File::from) }, ends))
}

/// The child's end of a stream and, for a pipe, ours. Numbers above 2, so that installing one never overwrites another.
fn stream(stream: Stream, input: bool) -> Result<(OwnedFd, Option<File>)> {
    let (fd, ours) = match stream {
        Stream::Null => {
            let null = File::options().read(true).write(true).open("/dev/null").map_err(step("open /dev/null"))?;
            (OwnedFd::from(null), None)
        }
        Stream::File(fd) => (fd, None),
        Stream::Stdout => {
            return Err(Error::Invalid("only standard error can go where standard output goes".to_owned()));
        }
        Stream::Pipe => {
            let (read, write) = pipe()?;
            if input { (read, Some(File::from(write))) } else { (write, Some(File::from(read))) }
        }
    };
    Ok((duplicate(fd.as_fd())?, ours))
}

/// Starts a sandbox. Returns once the program runs (its `exec` succeeded).
///
/// # Errors
/// The first step that failed, with its path and the way out where one is known. Nothing is left running.
pub fn spawn(spec: Spec) -> Result<Child> {
    let program = Program::new(&spec.argv, &spec.env)?;
    let name = spec.argv.first().map(|a| a.to_string_lossy().into_owned()).unwrap_or_default();
    if spec.hostname.is_empty() || spec.hostname.len() > 64 || spec.hostname.contains('\0') {
        return Err(Error::Invalid(format!("{:?} is no host name of 1 to 64 bytes", spec.hostname)));
    }
    let (parent, upper, work) = writable_names(&spec.root.upper, &spec.root.work)?;
    let writable = clone_mount(open_path(parent)?.as_fd(), 0, Some(&spec.userns)).map_err(|e| e.at(parent))?;

    let device = |path: &Path| clone_mount(open_path(path)?.as_fd(), 0, None).map_err(|e| e.at(path));
    let mut devices = Vec::new();
    for name in DEVICES {
        devices.push((*name, device(&Path::new("/dev").join(name))?));
    }
    let console = match &spec.console {
        Some(pty) => Some(clone_mount(pty.slave.as_fd(), 0, None).map_err(|e| e.at(Path::new("the console")))?),
        None => None,
    };
    let mounts = spec.mounts.into_iter().map(|m| ready(m, &spec.userns)).collect::<Result<Vec<_>>>()?;
    let cgroup = match &spec.cgroup {
        Some(cgroup) => {
            cgroup.delegate(&spec.userns)?;
            cgroup.entrances()?
        }
        None => Vec::new(),
    };
    let seccomp = spec.profile.programs()?;
    let (launch, wires, ends) = launch(program, name.clone(), spec.io, !spec.pid1)?;
    let prepared = Prepared {
        lower: spec.root.lower,
        writable,
        upper,
        work,
        userns: spec.userns,
        cgroup,
        devices,
        console,
        mounts,
        entries: spec.entries,
        hostname: spec.hostname,
        cwd: spec.cwd,
        pid1: spec.pid1,
        profile: spec.profile,
        seccomp,
        launch,
    };
    let stage1 = on_spawner(move || match sys::fork() {
        Ok(0) => init::stage1(&prepared),
        other => other,
    })?
    .map_err(step("fork"))?;
    let mut child = Starting { stage1, report: wires.report, go: wires.go, exit: wires.exit, what: name }.finish()?;
    ends.give(&mut child);
    child.console = spec.console;
    Ok(child)
}

/// The common parent directory of upper and work, and their names in it; both exist afterwards.
fn writable_names<'a>(upper: &'a Path, work: &'a Path) -> Result<(&'a Path, String, String)> {
    let name = |path: &'a Path| {
        let name = path.file_name()?.to_str()?;
        // These become overlayfs options, where commas, colons and backslashes have a meaning.
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        plain.then(|| name.to_owned())
    };
    let (Some(parent), Some(upper_name), Some(work_name)) = (upper.parent(), name(upper), name(work)) else {
        return Err(Error::Invalid(format!("{} and {} need plain names", upper.display(), work.display())));
    };
    if work.parent() != Some(parent) || upper_name == work_name {
        return Err(Error::Invalid(format!(
            "{} and {} must be two names in one directory: overlayfs wants them in one mount",
            upper.display(),
            work.display()
        )));
    }
    regrow_host::fs::create_dir_all(upper)?;
    regrow_host::fs::create_dir_all(work)?;
    Ok((parent, upper_name, work_name))
}

fn ready(mount: Mount, userns: &UserNs) -> Result<Ready> {
    Ok(match mount {
        Mount::Bind { source, target, read_only, id_mapped, create } => {
            let set = sys::MOUNT_ATTR_NODEV | if read_only { sys::MOUNT_ATTR_RDONLY } else { 0 };
            let mapped = id_mapped.then_some(userns);
            let mount = match source {
                Source::Path(path) => clone_mount(open_path(&path)?.as_fd(), set, mapped).map_err(|e| e.at(&path))?,
                Source::Place(fd) => clone_mount(fd.as_fd(), set, mapped).map_err(|e| e.at(Path::new(&target)))?,
                Source::Mount(fd) => fd,
            };
            let directory = is_directory(mount.as_fd()).map_err(step(format!("look at the mount for {target}")))?;
            Ready::Bind { mount, directory, target, create }
        }
        Mount::Tmpfs { target, mode, size } => {
            Ready::Tmpfs { target, mode: format!("{mode:o}"), size: size.map(|s| s.to_string()) }
        }
        Mount::Content { target, bytes } => Ready::Content { target, bytes },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_and_work_must_share_a_directory_and_have_plain_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert!(writable_names(&at("upper"), &at("work")).is_ok());
        assert!(at("upper").is_dir() && at("work").is_dir());
        for (upper, work) in [("a", "a"), ("a,b", "w"), ("a:b", "w"), ("a", "x/w")] {
            assert!(matches!(writable_names(&at(upper), &at(work)), Err(Error::Invalid(_))), "{upper} {work}");
        }
    }
}
