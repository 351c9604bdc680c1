//! One more process in a running sandbox.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use seccompiler::BpfProgram;

use crate::cgroup::Cgroup;
use crate::child::report::fault;
use crate::child::{Child, Starting};
use crate::error::{Result, step};
use crate::init;
use crate::seccomp::Profile;
use crate::spawn::{Launch, launch};
use crate::spawner::on_spawner;
use crate::spec::Io;
use crate::sys::{self, Program};
use crate::userns::duplicate;

/// What to run inside.
#[derive(Debug)]
pub struct Exec {
    /// Program and arguments; looked up as in [`crate::Spec`].
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: BTreeMap<OsString, OsString>,
    /// The working directory inside.
    pub cwd: String,
    /// Standard streams.
    pub io: Io,
    /// The sandbox's group of processes; the new one joins a leaf `regrow-exec` of it.
    pub cgroup: Option<Cgroup>,
    /// The filter of system calls.
    pub profile: Profile,
}

struct Prepared {
    target: OwnedFd,
    entrances: Vec<OwnedFd>,
    cwd: String,
    seccomp: Vec<BpfProgram>,
    launch: Launch,
}

/// Starts a process as root inside the sandbox whose first process is `target` (a pidfd; see [`crate::process`]). It
/// dies with us, and with the sandbox.
///
/// # Errors
/// If the sandbox is gone, or the program cannot be run.
pub fn exec_in(target: BorrowedFd<'_>, exec: Exec) -> Result<Child> {
    let program = Program::new(&exec.argv, &exec.env)?;
    let name = exec.argv.first().map(|a| a.to_string_lossy().into_owned()).unwrap_or_default();
    let entrances = exec.cgroup.as_ref().map(Cgroup::exec_entrances).transpose()?.unwrap_or_default();
    let (launch, wires, ends) = launch(program, name.clone(), exec.io, false)?;
    let target = duplicate(target)?;
    let prepared = Prepared { target, entrances, cwd: exec.cwd, seccomp: exec.profile.programs()?, launch };
    let stage1 = on_spawner(move || match sys::fork() {
        Ok(0) => stage1(&prepared),
        other => other,
    })?
    .map_err(step("fork"))?;
    let mut child = Starting { stage1, report: wires.report, go: wires.go, exit: None, what: name }.finish()?;
    ends.give(&mut child);
    Ok(child)
}

fn stage1(p: &Prepared) -> ! {
    let mut keep = p.launch.descriptors();
    keep.extend(p.entrances.iter().chain([&p.target]).map(AsRawFd::as_raw_fd));
    sys::close_all_but(&mut keep);
    init::run(&p.launch, || {
        sys::die_with_parent().map_err(fault("watch the parent"))?;
        for entrance in &p.entrances {
            rustix::io::write(entrance, b"0").map_err(fault("join the control group"))?;
        }
        sys::undumpable().map_err(fault("hide from the sandbox"))?;
        let all = libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWCGROUP;
        sys::setns(p.target.as_fd(), all).map_err(fault("enter the sandbox; has it ended?"))?;
        sys::become_root_inside().map_err(fault("become root of the user namespace"))?;
        sys::undumpable().map_err(fault("hide from the sandbox"))?;
        init::sibling(&p.launch, || {
            sys::umask(0o022);
            rustix::process::chdir(p.cwd.as_str()).map_err(fault(format!("enter the working directory {}", p.cwd)))?;
            for program in &p.seccomp {
                sys::install_seccomp(program).map_err(fault("install the system call filter"))?;
            }
            Err(init::start(&p.launch))
        })
    })
}
