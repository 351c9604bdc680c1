//! The system calls that no library of ours wraps, each in the smallest safe shape we need.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// `mount_setattr` attributes (linux/mount.h).
pub(crate) const MOUNT_ATTR_RDONLY: u64 = 0x1;
pub(crate) const MOUNT_ATTR_NODEV: u64 = 0x4;
pub(crate) const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Sets attributes of the detached mount `fd` and of all mounts below it.
pub(crate) fn mount_setattr(fd: BorrowedFd<'_>, set: u64, userns: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut attr = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    if let Some(userns) = userns {
        attr.attr_set |= MOUNT_ATTR_IDMAP;
        attr.userns_fd = userns.as_raw_fd() as u64;
    }
    // SAFETY: the pointers are to a live C string and a live structure whose size is passed along.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &attr as *const libc::mount_attr,
            size_of::<libc::mount_attr>(),
        )
    })?;
    Ok(())
}

/// Forks. In the child returns 0. Only for children that follow the rules in the crate's documentation.
pub(crate) fn fork() -> io::Result<libc::pid_t> {
    // SAFETY: glibc's fork leaves the allocator usable; the children keep to the crate's rules and end with `exit_now`.
    let pid = unsafe { libc::fork() };
    check(pid.into())?;
    Ok(pid)
}

/// Forks a sibling: the new process is a child of *our* parent. In the child returns 0. The caller must be
/// single-threaded, as a freshly forked process is.
pub(crate) fn clone_sibling() -> io::Result<libc::pid_t> {
    // SAFETY: no stack and no shared memory: this is fork with another parent. glibc's fork handlers have no work to do
    // in a single-threaded process; neither process uses glibc's idea of its own thread id afterwards.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_PARENT | libc::SIGCHLD, 0, 0, 0, 0) })?;
    Ok(pid as libc::pid_t)
}

/// Ends this process at once, without destructors or exit handlers.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit is always safe to call.
    unsafe { libc::_exit(code) }
}

/// Joins the namespaces `flags` of the process behind `pidfd`, or the one namespace `fd` is.
pub(crate) fn setns(fd: BorrowedFd<'_>, flags: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::setns(fd.as_raw_fd(), flags) }.into())?;
    Ok(())
}

/// Leaves the namespaces `flags` for new ones.
pub(crate) fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: no memory is passed, and no flag used here breaks Rust's idea of open files (no CLONE_FILES).
    check(unsafe { libc::unshare(flags) }.into())?;
    Ok(())
}

/// Becomes user and group 0 of the current user namespace, without further groups. For single-threaded children.
pub(crate) fn become_root_inside() -> io::Result<()> {
    // SAFETY: raw calls without memory; glibc's wrappers would signal threads that a forked child does not have.
    unsafe {
        check(libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()))?;
        check(libc::syscall(libc::SYS_setresgid, 0, 0, 0))?;
        check(libc::syscall(libc::SYS_setresuid, 0, 0, 0))?;
    }
    Ok(())
}

/// Sends a signal to the process behind `pidfd`.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) })?;
    Ok(())
}

/// Asks for SIGKILL when the thread that is our parent ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }.into())?;
    Ok(())
}

/// Keeps processes in the sandbox we are about to join from tracing us and reading our files before `exec`.
pub(crate) fn undumpable() -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) }.into())?;
    Ok(())
}

/// Gives every signal its default action and unblocks all: what a fresh program expects.
pub(crate) fn reset_signals() {
    // SAFETY: the set is initialised by sigemptyset; setting SIG_DFL installs no code.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

/// Blocks every signal for the calling thread, so that handlers of the program run elsewhere.
pub(crate) fn block_signals() {
    // SAFETY: the set is initialised by sigfillset.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
    }
}

/// Marks every descriptor from `first` on close-on-exec: nothing of ours leaks into a sandbox.
pub(crate) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) })?;
    Ok(())
}

/// Closes every descriptor above the standard streams but those in `keep`. For forked children that never run
/// destructors: a child must not hold locks, or ends of other children's pipes, of the program it was forked from.
pub(crate) fn close_all_but(keep: &mut [RawFd]) {
    keep.sort_unstable();
    let mut first = 3;
    let close = |first: RawFd, last: libc::c_uint| {
        // SAFETY: nothing that owns one of these is used or dropped in this process.
        unsafe {
            libc::syscall(libc::SYS_close_range, first, last, 0);
        }
    };
    for fd in keep.iter().copied().filter(|fd| *fd >= 3) {
        if fd > first {
            close(first, (fd - 1) as libc::c_uint);
        }
        first = fd + 1;
    }
    close(first, libc::c_uint::MAX);
}

/// Makes `fd` the descriptor number `number`, open across `exec`.
pub(crate) fn install(fd: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: dup2 onto the standard numbers 0..=2 of a child that is about to exec.
    unsafe {
        if fd.as_raw_fd() == number {
            let flags = check(libc::fcntl(number, libc::F_GETFD).into())? as i32;
            check(libc::fcntl(number, libc::F_SETFD, flags & !libc::FD_CLOEXEC).into())?;
        } else {
            check(libc::dup2(fd.as_raw_fd(), number).into())?;
        }
    }
    Ok(())
}

/// A new session whose controlling terminal is standard input.
pub(crate) fn take_terminal() -> io::Result<()> {
    // SAFETY: no memory is passed.
    unsafe {
        check(libc::setsid().into())?;
        check(libc::ioctl(0, libc::TIOCSCTTY, 0).into())?;
    }
    Ok(())
}

/// A new session without a controlling terminal.
pub(crate) fn new_session() {
    // SAFETY: no memory is passed. It fails only for a process that leads its group already, which is as good.
    unsafe {
        libc::setsid();
    }
}

/// Sets soft and hard limit of `resource` (one of `libc::RLIMIT_*`).
pub(crate) fn set_limit(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the structure lives through the call.
    check(unsafe { libc::setrlimit(resource, &limit) }.into())?;
    Ok(())
}

/// The hard limit of `resource` of this process.
pub(crate) fn hard_limit(resource: libc::__rlimit_resource_t) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure lives through the call and is written by it.
    check(unsafe { libc::getrlimit(resource, &mut limit) }.into())?;
    Ok(limit.rlim_max)
}

/// Sets the file mode creation mask.
pub(crate) fn umask(mask: libc::mode_t) {
    // SAFETY: cannot fail, no memory.
    unsafe {
        libc::umask(mask);
    }
}

/// Installs a seccomp program without `no_new_privs`, so that set-user-id programs inside keep working; needs
/// CAP_SYS_ADMIN in the current user namespace.
pub(crate) fn install_seccomp(program: &[seccompiler::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?,
        // seccompiler's type is the kernel's `struct sock_filter`, as libc's is; the kernel only reads it.
        filter: program.as_ptr() as *mut libc::sock_filter,
    };
    // SAFETY: the program outlives the call, which copies it.
    check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            &program as *const libc::sock_fprog,
        )
    })?;
    Ok(())
}

/// Brings the loopback interface of the current network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    // SAFETY: the request is a zeroed C structure that lives through the calls; the socket is closed by OwnedFd.
    unsafe {
        let socket = check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0).into())? as RawFd;
        let socket = OwnedFd::from_raw_fd(socket);
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &mut request).into())?;
        request.ifr_ifru.ifru_flags |= (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request).into())?;
    }
    Ok(())
}

/// Sets the host name of the current UTS namespace.
pub(crate) fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length describe a live string.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }.into())?;
    Ok(())
}

/// A program with arguments and environment, ready for `exec` without any further allocation.
pub(crate) struct Program {
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    /// Looks `argv[0]` up in the `PATH` of `env` (not ours) unless it has a slash.
    pub(crate) fn new(
        argv: &[std::ffi::OsString],
        env: &std::collections::BTreeMap<std::ffi::OsString, std::ffi::OsString>,
    ) -> Result<Program> {
        let c = |bytes: &[u8]| {
            CString::new(bytes).map_err(|_| {
                Error::Invalid(format!("an argument or variable has a NUL byte: {:?}", String::from_utf8_lossy(bytes)))
            })
        };
        let first = argv.first().ok_or_else(|| Error::Invalid("there is no program to run".to_owned()))?.as_bytes();
        let path =
            env.get(std::ffi::OsStr::new("PATH")).map_or(b"/usr/sbin:/usr/bin:/sbin:/bin".as_slice(), |p| p.as_bytes());
        let candidates = if first.contains(&b'/') {
            vec![c(first)?]
        } else {
            path.split(|b| *b == b':').map(|dir| c(&[dir, b"/", first].concat())).collect::<Result<_>>()?
        };
        Ok(Program {
            candidates,
            argv: argv.iter().map(|a| c(a.as_bytes())).collect::<Result<_>>()?,
            env: env.iter().map(|(k, v)| c(&[k.as_bytes(), b"=", v.as_bytes()].concat())).collect::<Result<_>>()?,
        })
    }

    /// Becomes the program; returns only to say why not.
    pub(crate) fn exec(&self) -> io::Error {
        let pointers = |strings: &[CString]| {
            strings.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect::<Vec<_>>()
        };
        let (argv, env) = (pointers(&self.argv), pointers(&self.env));
        let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
        for candidate in &self.candidates {
            // SAFETY: all strings and both null-terminated arrays outlive the call.
            unsafe {
                libc::execve(candidate.as_ptr(), argv.as_ptr(), env.as_ptr());
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                Some(libc::EACCES) => worst = error,
                _ => return error,
            }
        }
        worst
    }
}

/// Waits until one of `fds` is readable (or hung up), or until `deadline`; returns which.
pub(crate) fn wait_readable(fds: &[BorrowedFd<'_>], deadline: Option<Instant>) -> io::Result<Vec<bool>> {
    wait_for(fds, libc::POLLIN, deadline)
}

/// [`wait_readable`] for any `events` of poll(2).
pub(crate) fn wait_for(fds: &[BorrowedFd<'_>], events: i16, deadline: Option<Instant>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<libc::pollfd> =
        fds.iter().map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 }).collect();
    loop {
        let timeout = match deadline {
            // Rounded up: poll must not spin through the last millisecond.
            Some(d) => (d.saturating_duration_since(Instant::now()) + Duration::from_micros(999))
                .as_millis()
                .min(i32::MAX as u128) as i32,
            None => -1,
        };
        // SAFETY: the array and its length describe live memory.
        match check(unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) }.into()) {
            Ok(_) => return Ok(polled.iter().map(|p| p.revents != 0).collect()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
