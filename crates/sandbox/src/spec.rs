//! What a sandbox is made of.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::cgroup::Cgroup;
use crate::pty::Pty;
use crate::seccomp::Profile;
use crate::userns::UserNs;

/// The root file system: a read-only mount with a writable directory over it (overlayfs with `userxattr`).
#[derive(Debug)]
pub struct Root {
    /// A detached mount whose owners are already ids of the sandbox's user namespace (an image's mount, or
    /// [`crate::read_only_clone`]).
    pub lower: OwnedFd,
    /// Where whatever is written inside lies, unshifted; made if missing. On a file system with id-mapped mounts.
    pub upper: PathBuf,
    /// Overlayfs's working directory: empty, made if missing, with the same parent directory as `upper`.
    pub work: PathBuf,
}

/// Where a bind mount comes from.
#[derive(Debug)]
pub enum Source {
    /// A path of the host, opened before the sandbox starts.
    Path(PathBuf),
    /// An open file or directory (`O_PATH` is enough).
    Place(OwnedFd),
    /// A detached mount of the caller's own making, attached as it is.
    Mount(OwnedFd),
}

/// One mount inside. Targets are resolved inside the sandbox's root: an image's symbolic links cannot lead outside.
#[derive(Debug)]
pub enum Mount {
    /// Something of the host.
    Bind {
        /// What.
        source: Source,
        /// Where inside, absolute.
        target: String,
        /// Whether the inside may only read it.
        read_only: bool,
        /// Whether ids on disk are ids inside (state volumes); else the host's ids show through, mostly as nobody.
        id_mapped: bool,
        /// Whether a missing target is made (in the writable directory). The kind follows the source.
        create: bool,
    },
    /// Fresh memory.
    Tmpfs {
        /// Where inside, absolute.
        target: String,
        /// Permission bits of its root.
        mode: u32,
        /// Upper bound in bytes; `None` is half of the memory.
        size: Option<u64>,
    },
    /// Bytes that appear as a read-only file (mode 0555: it may be a script) over an existing one, without touching the
    /// writable directory.
    Content {
        /// The existing file inside, absolute.
        target: String,
        /// What reading it gives.
        bytes: Vec<u8>,
    },
}

/// Something written inside by root inside after all mounts, before the program starts. Parents are made if missing;
/// a file or link that is in the way is replaced.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A directory; an existing one is left as it is.
    Directory {
        /// Where inside, absolute.
        target: String,
        /// Permission bits.
        mode: u32,
    },
    /// A file.
    File {
        /// Where inside, absolute.
        target: String,
        /// Its content.
        bytes: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Symlink {
        /// Where inside, absolute.
        target: String,
        /// What it points to.
        to: String,
    },
}

/// One standard stream of a program.
#[derive(Debug, Default)]
pub enum Stream {
    /// /dev/null.
    #[default]
    Null,
    /// A pipe; our end is in the [`crate::Child`].
    Pipe,
    /// This file.
    File(OwnedFd),
    /// For standard error: wherever standard output goes. What is written to both is then read in the order it was
    /// written, which two pipes cannot tell.
    Stdout,
}

/// The standard streams of a program.
#[derive(Debug, Default)]
pub struct Io {
    /// Standard input.
    pub stdin: Stream,
    /// Standard output.
    pub stdout: Stream,
    /// Standard error.
    pub stderr: Stream,
    /// Makes this terminal all three streams, and the controlling terminal.
    pub terminal: Option<Pty>,
}

/// A sandbox to start. Its network is always its own, with loopback only.
#[derive(Debug)]
pub struct Spec {
    /// The root file system.
    pub root: Root,
    /// Whose root is root inside.
    pub userns: UserNs,
    /// Further mounts, in order, after /proc, /sys, /dev, /run and /tmp.
    pub mounts: Vec<Mount>,
    /// Files written inside before the program starts.
    pub entries: Vec<Entry>,
    /// The host name inside.
    pub hostname: String,
    /// Program and arguments; without a slash it is looked up in the `PATH` of `env`, inside.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: BTreeMap<OsString, OsString>,
    /// The working directory inside.
    pub cwd: String,
    /// Whether the program itself is process 1 (an init system). Else a small reaper is, and its exit is the program's.
    pub pid1: bool,
    /// The group of processes it is in; with one, /sys/fs/cgroup inside is that group ([`Profile::Machine`] only).
    pub cgroup: Option<Cgroup>,
    /// Standard streams.
    pub io: Io,
    /// A terminal that appears as /dev/console.
    pub console: Option<Pty>,
    /// Which system calls are refused and what of the kernel is shown.
    pub profile: Profile,
}

impl Spec {
    /// A sandbox for one program with defaults: no further mounts, `/` as working directory, host name `localhost`,
    /// no cgroup, the reaper as process 1, null streams.
    pub fn new(
        root: Root,
        userns: UserNs,
        profile: Profile,
        argv: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Spec {
        Spec {
            root,
            userns,
            mounts: Vec::new(),
            entries: Vec::new(),
            hostname: "localhost".to_owned(),
            argv: argv.into_iter().map(Into::into).collect(),
            env: build_environment(),
            cwd: "/".to_owned(),
            pid1: false,
            cgroup: None,
            io: Io::default(),
            console: None,
            profile,
        }
    }
}

/// The environment of builds: nothing of the host's, UTC, and the C locale with UTF-8.
pub fn build_environment() -> BTreeMap<OsString, OsString> {
    [
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
        ("HOME", "/root"),
        ("LC_ALL", "C.UTF-8"),
        ("LANG", "C.UTF-8"),
        ("LOGNAME", "root"),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("SHELL", "/bin/sh"),
        ("TERM", "dumb"),
        ("TZ", "UTC"),
        ("USER", "root"),
    ]
    .into_iter()
    .map(|(k, v)| (k.into(), v.into()))
    .collect()
}
