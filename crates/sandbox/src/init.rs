//! The children: from a copy of the caller to the first instruction of the program inside.
//!
//! Everything here runs after `fork` (see the crate's documentation for what that forbids). Every failing step is
//! reported to the caller in words and ends the process.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountAttrFlags, MountPropagationFlags, UnmountFlags};

use crate::child::report::{self, Fault, fault};
use crate::inside::{Inside, attach, attach_at, create, file_system, write_all};
use crate::seccomp::Profile;
use crate::spawn::{Launch, Prepared, Ready};
use crate::sys;

type Result<T> = std::result::Result<T, Fault>;

/// Covered in our private mount namespace by the directories below; the namespace ends with this process.
const STAGE: &str = "/tmp";
const LOWER: &str = "/tmp/lower";
const WRITABLE: &str = "/tmp/writable";
const ROOT: &str = "/tmp/root";

/// Parts of /proc that say something about the host and nothing a build may depend on.
const MASKED_IN_BUILDS: &[&str] = &[
    "cmdline",
    "config.gz",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "latency_stats",
    "modules",
    "sched_debug",
    "timer_list",
];

/// The forked helper.
pub(crate) fn stage1(p: &Prepared) -> ! {
    sys::close_all_but(&mut p.descriptors());
    run(&p.launch, || {
        sys::die_with_parent().map_err(fault("watch the parent"))?;
        enter(p)?;
        sibling(&p.launch, || init(p))
    })
}

/// Runs the body of a child, reports its fault and ends the process.
pub(crate) fn run(launch: &Launch, body: impl FnOnce() -> Result<()>) -> ! {
    let body = std::panic::AssertUnwindSafe(body);
    match std::panic::catch_unwind(body) {
        Ok(Ok(())) => sys::exit_now(0),
        Ok(Err(fault)) => report::send(launch.report.as_fd(), report::FAULT, fault.errno, &fault.doing),
        Err(_) => {
            report::send(launch.report.as_fd(), report::FAULT, libc::EFAULT, "set the sandbox up (a fault in Regrow)")
        }
    }
    sys::exit_now(70)
}

/// Makes the final process a child of the caller, tells the caller its id, and lets it run `body` once the caller
/// agreed.
pub(crate) fn sibling(launch: &Launch, body: impl FnOnce() -> Result<()>) -> Result<()> {
    let pid = sys::clone_sibling().map_err(fault(format!("start the process for {}", launch.name)))?;
    if pid != 0 {
        report::send(launch.report.as_fd(), report::PID, pid, "");
        return Ok(());
    }
    run(launch, || {
        // First ask, then look: a caller that died before we asked cannot send the byte.
        sys::die_with_parent().map_err(fault("watch the parent"))?;
        if rustix::io::read(&launch.go, &mut [0u8; 1]) != Ok(1) {
            sys::exit_now(0);
        }
        body()
    })
}

/// Stage 1: cgroup, the host's part of the mounts, the user namespace and all others.
fn enter(p: &Prepared) -> Result<()> {
    for entrance in &p.cgroup {
        rustix::io::write(entrance, b"0").map_err(fault("join the control group"))?;
    }
    sys::unshare(libc::CLONE_NEWNS).map_err(fault("make a mount namespace"))?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(fault("make the mounts private"))?;
    let staging = || fault(format!("prepare the mounts at {STAGE}"));
    let tmpfs = file_system("tmpfs", &[("mode", "755"), ("size", "1m")], MountAttrFlags::empty()).map_err(staging())?;
    attach_at(tmpfs.as_fd(), STAGE).map_err(staging())?;
    for dir in [LOWER, WRITABLE, ROOT] {
        rustix::fs::mkdir(dir, Mode::from_raw_mode(0o755)).map_err(staging())?;
    }
    // Overlayfs cannot use detached mounts as layers.
    attach_at(p.lower.as_fd(), LOWER).map_err(fault("attach the image"))?;
    attach_at(p.writable.as_fd(), WRITABLE).map_err(fault("attach the writable directory"))?;

    sys::setns(p.userns.fd(), libc::CLONE_NEWUSER).map_err(fault("enter the user namespace"))?;
    sys::become_root_inside().map_err(fault("become root of the user namespace"))?;
    sys::undumpable().map_err(fault("hide from the sandbox"))?;
    // The second mount namespace belongs to the user namespace, so that root inside may mount in it.
    let spaces =
        libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWCGROUP;
    sys::unshare(spaces | libc::CLONE_NEWPID).map_err(fault("make the namespaces"))?;
    sys::loopback_up().map_err(fault("bring the loopback interface up"))?;
    sys::set_hostname(&p.hostname).map_err(fault("set the host name"))?;
    Ok(())
}

/// The first process of the PID namespace.
fn init(p: &Prepared) -> Result<()> {
    sys::umask(0o022);
    let overlay = [
        ("source", "regrow"),
        ("lowerdir", LOWER),
        ("upperdir", &format!("{WRITABLE}/{}", p.upper)),
        ("workdir", &format!("{WRITABLE}/{}", p.work)),
        ("userxattr", ""),
    ];
    let root =
        file_system("overlay", &overlay, MountAttrFlags::empty()).map_err(fault("mount the overlay of the root"))?;
    attach_at(root.as_fd(), ROOT).map_err(fault("mount the overlay of the root"))?;
    let root = rustix::fs::openat(CWD, ROOT, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(fault("open the root"))?;
    let inside = Inside { root };
    kernel_mounts(p, &inside)?;
    devices(p, &inside)?;
    for mount in &p.mounts {
        further(mount, &inside)?;
    }
    pivot(&inside)?;
    for entry in &p.entries {
        inside.write(entry)?;
    }
    rustix::process::chdir(p.cwd.as_str()).map_err(fault(format!("enter the working directory {}", p.cwd)))?;
    if p.profile == Profile::Build {
        sys::set_limit(libc::RLIMIT_CORE, 0, 0).map_err(fault("forbid core dumps"))?;
    }
    sys::set_limit(libc::RLIMIT_NOFILE, p.launch.open_files.min(1024), p.launch.open_files)
        .map_err(fault("limit open files"))?;
    for program in &p.seccomp {
        sys::install_seccomp(program).map_err(fault("install the system call filter"))?;
    }
    if p.pid1 {
        return Err(start(&p.launch));
    }
    let pid = sys::fork().map_err(fault(format!("start the process for {}", p.launch.name)))?;
    if pid == 0 {
        return Err(start(&p.launch));
    }
    reap(&p.launch, pid)
}

/// Becomes the program; returns only to say why not.
pub(crate) fn start(launch: &Launch) -> Fault {
    let prepare = || {
        sys::reset_signals();
        sys::close_on_exec_from(3)?;
        for (number, stream) in launch.streams.iter().enumerate() {
            sys::install(stream.as_fd(), number as i32)?;
        }
        if launch.terminal {
            sys::take_terminal()?;
        } else {
            sys::new_session();
        }
        Ok::<(), std::io::Error>(())
    };
    match prepare() {
        Err(e) => fault("prepare the standard streams")(e),
        Ok(()) => fault(format!("run {} inside", launch.name))(launch.program.exec()),
    }
}

/// Process 1 of a sandbox without an init system: reaps what is orphaned, ends with the program, and with it all.
fn reap(launch: &Launch, program: i32) -> Result<()> {
    // Holding the ends of pipes would keep their readers waiting, and the parent from seeing that the program runs.
    sys::close_all_but(&mut launch.exit.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>());
    let null = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty()).map_err(fault("open /dev/null"))?;
    for number in 0..3 {
        sys::install(null.as_fd(), number).map_err(fault("let go of the standard streams"))?;
    }
    loop {
        let mut status = 0;
        // SAFETY: the status outlives the call.
        let pid = unsafe { libc::waitpid(-1, &mut status, 0) };
        if pid == program {
            if let Some(exit) = &launch.exit {
                let _ = rustix::io::write(exit, &status.to_ne_bytes());
            }
            sys::exit_now(0);
        }
        if pid < 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD) {
            sys::exit_now(71);
        }
    }
}

/// /proc, and for machines /sys and the control group.
fn kernel_mounts(p: &Prepared, inside: &Inside) -> Result<()> {
    let quiet =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let place = inside.mount_point("/proc")?;
    let proc = file_system("proc", &[("source", "proc")], quiet).map_err(fault("mount /proc"))?;
    attach(proc.as_fd(), place.as_fd()).map_err(fault("mount /proc"))?;
    if p.profile == Profile::Build {
        return Ok(());
    }
    let place = inside.mount_point("/sys")?;
    // Read-only /sys is how an init system knows that devices are not its business.
    let sys = file_system("sysfs", &[("source", "sysfs")], quiet | MountAttrFlags::MOUNT_ATTR_RDONLY)
        .map_err(fault("mount /sys"))?;
    attach(sys.as_fd(), place.as_fd()).map_err(fault("mount /sys"))?;
    if !p.cgroup.is_empty() {
        let place = inside.mount_point("/sys/fs/cgroup")?;
        let cgroup = file_system("cgroup2", &[("source", "cgroup2")], quiet).map_err(fault("mount /sys/fs/cgroup"))?;
        attach(cgroup.as_fd(), place.as_fd()).map_err(fault("mount /sys/fs/cgroup"))?;
    }
    Ok(())
}

/// A tmpfs attached over a directory; returns it opened.
fn tmpfs(inside: &Inside, target: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> Result<()> {
    let doing = || fault(format!("mount a tmpfs at {target}"));
    let place = inside.mount_point(target)?;
    let mut all = vec![("source", "tmpfs")];
    all.extend(options);
    let mount = file_system("tmpfs", &all, attributes).map_err(doing())?;
    attach(mount.as_fd(), place.as_fd()).map_err(doing())
}

/// /dev with the few harmless devices, terminals of its own; /run and /tmp.
fn devices(p: &Prepared, inside: &Inside) -> Result<()> {
    let nosuid = MountAttrFlags::MOUNT_ATTR_NOSUID;
    let nodev = nosuid | MountAttrFlags::MOUNT_ATTR_NODEV;
    tmpfs(inside, "/dev", &[("mode", "755"), ("size", "4m")], nosuid | MountAttrFlags::MOUNT_ATTR_NOEXEC)?;
    let dev = inside.open("/dev", OFlags::PATH | OFlags::DIRECTORY).map_err(fault("open /dev"))?;
    let bind = |name: &str, mount: &OwnedFd| {
        create(dev.as_fd(), name, 0o666)
            .and_then(|_| rustix::fs::openat(&dev, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()))
            .and_then(|place| attach(mount.as_fd(), place.as_fd()))
            .map_err(fault(format!("bind /dev/{name}")))
    };
    for (name, mount) in &p.devices {
        bind(name, mount)?;
    }
    if let Some(console) = &p.console {
        bind("console", console)?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        rustix::fs::symlinkat(to, &dev, name).map_err(fault(format!("make /dev/{name}")))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        rustix::fs::mkdirat(&dev, name, Mode::from_raw_mode(0o755)).map_err(fault(format!("make /dev/{name}")))?;
    }
    let options = [("source", "devpts"), ("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
    let pts =
        file_system("devpts", &options, nosuid | MountAttrFlags::MOUNT_ATTR_NOEXEC).map_err(fault("mount /dev/pts"))?;
    attach(pts.as_fd(), inside.mount_point("/dev/pts")?.as_fd()).map_err(fault("mount /dev/pts"))?;
    tmpfs(inside, "/dev/shm", &[("mode", "1777")], nodev)?;
    tmpfs(inside, "/run", &[("mode", "755")], nodev)?;
    tmpfs(inside, "/tmp", &[("mode", "1777")], nodev)?;
    if p.profile == Profile::Build {
        for name in MASKED_IN_BUILDS {
            mask(inside, &format!("/proc/{name}"))?;
        }
    }
    Ok(())
}

/// Lays /dev/null over a file, if it is there.
fn mask(inside: &Inside, target: &str) -> Result<()> {
    let Ok(place) = inside.open(target, OFlags::PATH) else { return Ok(()) };
    let null = inside.open("/dev/null", OFlags::PATH).map_err(fault("open /dev/null"))?;
    bind_inside(&null, &place).map_err(fault(format!("hide {target}")))
}

/// Binds one place inside over another.
fn bind_inside(from: &OwnedFd, to: &OwnedFd) -> std::result::Result<(), rustix::io::Errno> {
    use rustix::mount::OpenTreeFlags;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = rustix::mount::open_tree(from, c"", flags)?;
    attach(mount.as_fd(), to.as_fd())
}

/// One of the caller's mounts.
fn further(mount: &Ready, inside: &Inside) -> Result<()> {
    match mount {
        Ready::Bind { mount, directory, target, create } => {
            let place = match (create, directory) {
                (false, _) => inside.open(target, OFlags::PATH).map_err(fault(format!("find {target} inside")))?,
                (true, true) => inside.directory(target, 0o755)?,
                (true, false) => inside.file(target)?,
            };
            attach(mount.as_fd(), place.as_fd()).map_err(fault(format!("mount {target} inside")))
        }
        Ready::Tmpfs { target, mode, size } => {
            let mut options = vec![("mode", mode.as_str())];
            options.extend(size.as_deref().map(|size| ("size", size)));
            inside.directory(target, 0o755)?;
            tmpfs(inside, target, &options, MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV)
        }
        Ready::Content { target, bytes } => {
            let place = inside.open(target, OFlags::PATH).map_err(fault(format!("find {target} inside")))?;
            // A file of /run, unlinked once it is mounted: it lives as long as the mount.
            let run = inside.open("/run", OFlags::PATH | OFlags::DIRECTORY).map_err(fault("open /run"))?;
            let doing = || fault(format!("lay a file over {target}"));
            let file = create(run.as_fd(), ".regrow-content", 0o555).map_err(doing())?;
            write_all(&file, bytes).map_err(doing())?;
            let from = rustix::fs::openat(&run, ".regrow-content", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                .map_err(doing())?;
            bind_inside(&from, &place).map_err(doing())?;
            rustix::fs::unlinkat(&run, ".regrow-content", rustix::fs::AtFlags::empty()).map_err(doing())
        }
    }
}

/// Makes the new root ours and forgets the host's.
fn pivot(inside: &Inside) -> Result<()> {
    rustix::process::fchdir(&inside.root).map_err(fault("enter the new root"))?;
    // The old root lands on top of the new one, at ".", and is taken off there.
    rustix::process::pivot_root(".", ".").map_err(fault("change the root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(fault("let go of the host's files"))?;
    rustix::process::chdir("/").map_err(fault("enter the new root"))
}
