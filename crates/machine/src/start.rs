//! Booting a machine, waiting until it runs, and taking it down.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use regrow_host::cancel;
use regrow_host::progress::{Progress, step};
use regrow_image::{ImageId, Store};
use regrow_sandbox::{Cgroup, Child, Entry, Exit, Limits, Mount, Profile, Pty, Root, Source, Spec, Unlimited, UserNs};

use crate::console::ConsoleLog;
use crate::error::{Error, Result, io};
use crate::inside::Inside;
use crate::monitor::{Shared, listen};

/// Ids in a machine's user namespace.
const IDS: u32 = 65_536;

/// Process 1. In a container systemd reads its own arguments where it would read the kernel's command line.
///
/// The image is finished: without the last word every start would run what systemd does once after an update (rebuild
/// the linker's cache and the journal's catalog, make users), because a fresh machine has no `/etc/.updated`.
const COMMAND: [&str; 2] = ["/sbin/init", "systemd.condition_needs_update=no"];

/// Units that cannot work in a container, or have nothing to do in one, and only cost time or fail.
///
/// Masked in /run, which is memory: the image and the writable directory do not change.
const MASKED: &[&str] = &[
    // File systems of the kernel that a user namespace may not mount.
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "sys-kernel-config.mount",
    "sys-fs-fuse-connections.mount",
    "dev-hugepages.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "proc-sys-fs-binfmt_misc.mount",
    // Devices are the host's.
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udev-trigger.service",
    "systemd-udev-settle.service",
    "systemd-hwdb-update.service",
    "systemd-modules-load.service",
    "kmod-static-nodes.service",
    "modprobe@.service",
    "systemd-binfmt.service",
    "keyboard-setup.service",
    "console-setup.service",
    // Disks and their care.
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-growfs-root.service",
    // There is no network to wait for.
    "systemd-networkd-wait-online.service",
    "NetworkManager-wait-online.service",
    "ifupdown-wait-online.service",
    // Nobody sits at the console.
    "console-getty.service",
    "container-getty@.service",
    "getty@.service",
    "serial-getty@.service",
    "getty-static.service",
    "systemd-firstboot.service",
    // Packages come from the text, not from inside.
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
];

/// Where the image comes from.
#[derive(Debug)]
pub enum Lower<'a> {
    /// The store mounts it.
    Image {
        /// Where it is.
        store: &'a Store,
        /// Which.
        image: &'a ImageId,
    },
    /// A detached mount whose ids fit the machine's [`Start::userns`].
    Mount(OwnedFd),
}

/// A directory of state, shared with the machine.
#[derive(Debug, Clone)]
pub struct Volume {
    /// On the host, unshifted: owners on disk are the owners inside.
    pub source: PathBuf,
    /// Where inside, absolute; made if the image does not have it.
    pub target: String,
}

/// A machine to start.
#[derive(Debug)]
pub struct Start<'a> {
    /// Its image.
    pub lower: Lower<'a>,
    /// A directory of the caller: `upper` and `work` of the overlay, `console.log`, the notification socket, and
    /// `image` where the kernel cannot mount images.
    pub run_dir: PathBuf,
    /// State, mounted in this order.
    pub volumes: Vec<Volume>,
    /// The host name inside.
    pub hostname: String,
    /// /etc/machine-id: 32 lower-case hexadecimal digits, the same at every start of one server.
    pub machine_id: String,
    /// The user namespace; see [`Start::namespace`].
    pub userns: UserNs,
    /// Bounds for all processes together.
    pub limits: Limits,
    /// Name of its control group, unique on the host.
    pub cgroup: String,
}

impl Start<'_> {
    /// The user namespace of a machine whose root is the host's id `base`.
    ///
    /// # Errors
    /// As [`UserNs::new`].
    pub fn namespace(base: u32) -> Result<UserNs> {
        Ok(UserNs::new(base, IDS)?)
    }
}

/// A machine that was started by this process. Dropping it kills it and removes its control group.
#[derive(Debug)]
pub struct Machine {
    inside: Inside,
    child: Mutex<Child>,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
    started: Instant,
    unlimited: Vec<Unlimited>,
    checked_out: bool,
}

/// How a machine was taken down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stopped {
    /// Whether it shut down by itself; else it was killed after the time limit.
    pub orderly: bool,
    /// Wall-clock seconds it took.
    pub seconds: f64,
}

/// Boots a machine. Returns as soon as its systemd runs; see [`Machine::wait_running`].
///
/// # Errors
/// If the image cannot be mounted, a volume is missing, or the sandbox cannot be made; nothing is left running.
pub fn start(start: Start<'_>) -> Result<Machine> {
    let started = Instant::now();
    regrow_host::fs::create_dir_all(&start.run_dir)?;
    let (lower, checked_out) = lower(start.lower, &start.run_dir, &start.userns)?;
    let notify_path = start.run_dir.join("notify");
    let notify = notification_socket(&notify_path)?;
    let console = Pty::new(&start.userns)?;
    let master = console.master()?;
    let root = Root { lower, upper: start.run_dir.join("upper"), work: start.run_dir.join("work") };

    let mut spec = Spec::new(root, start.userns, Profile::Machine, COMMAND);
    spec.pid1 = true;
    spec.hostname = start.hostname;
    spec.env = environment(&start.machine_id);
    spec.mounts = mounts(start.volumes, notify_path)?;
    spec.entries = entries(&start.machine_id);
    spec.console = Some(console);
    let cgroup = Cgroup::create(&start.cgroup)?;
    let unlimited = cgroup.limit(&start.limits);
    spec.cgroup = Some(cgroup.clone());
    let child = match regrow_sandbox::spawn(spec) {
        Ok(child) => child,
        Err(e) => {
            let _ = cgroup.remove();
            return Err(e.into());
        }
    };
    let shared = Shared::new(ConsoleLog::new(&start.run_dir.join("console.log")));
    let inside = Inside::of(&child, cgroup)?;
    let child = Mutex::new(child);
    let mut machine =
        Machine { inside, child, shared: shared.clone(), listener: None, started, unlimited, checked_out };
    let pidfd = machine.inside.pidfd()?;
    let listener = std::thread::Builder::new()
        .name("regrow-console".to_owned())
        .spawn(move || listen(&shared, &pidfd, master, &notify))
        .map_err(io("start a thread"))?;
    machine.listener = Some(listener);
    Ok(machine)
}

impl Machine {
    /// The machine as others see it: run programs, checks, journal.
    pub fn inside(&self) -> &Inside {
        &self.inside
    }

    /// The process id of its init on the host.
    pub fn pid(&self) -> i32 {
        self.inside.pid()
    }

    /// Limits this host cannot hold.
    pub fn unlimited(&self) -> &[Unlimited] {
        &self.unlimited
    }

    /// Whether its image had to be checked out as plain files, because this kernel cannot mount it. Slower, and takes
    /// disk space in the run directory.
    pub fn checked_out(&self) -> bool {
        self.checked_out
    }

    /// The newest 64 KiB of what it wrote to its console, as plain text.
    pub fn console(&self) -> String {
        self.shared.console.lock().unwrap_or_else(PoisonError::into_inner).text()
    }

    /// Whether process 1 is gone.
    pub fn ended(&self) -> bool {
        self.shared.life().ended
    }

    /// What systemd last said it is doing.
    pub fn status(&self) -> String {
        self.shared.life().status.clone()
    }

    /// Waits until systemd has started everything (whether all of it worked is for the checks to say). Returns the
    /// seconds since [`start`] was called.
    ///
    /// # Errors
    /// If it ended, did not get there within `timeout`, or somebody asked to stop.
    pub fn wait_running(&self, timeout: Duration, progress: &dyn Progress) -> Result<f64> {
        self.wait_running_unless(timeout, progress, &|| false)?.ok_or(Error::Cancelled)
    }

    /// [`Machine::wait_running`] until `decided` says that nobody waits for the answer any more: then `None`.
    ///
    /// # Errors
    /// As [`Machine::wait_running`].
    pub fn wait_running_unless(
        &self,
        timeout: Duration,
        progress: &dyn Progress,
        decided: &dyn Fn() -> bool,
    ) -> Result<Option<f64>> {
        let step = step(progress, "boot", "starting the server");
        let deadline = Instant::now() + timeout;
        loop {
            let (ready, ended) = {
                let life = self.shared.life();
                (life.ready, life.ended)
            };
            if let Some(ready) = ready {
                let seconds = (ready - self.started).as_secs_f64();
                step.finish(format!("running after {seconds:.1} s"));
                return Ok(Some(seconds));
            }
            if decided() {
                step.finish("not waited for any longer");
                return Ok(None);
            }
            if ended {
                let exit = self.wait(Some(Duration::from_secs(1)))?;
                let exit = exit.map_or("unknown".to_owned(), |e| e.to_string());
                return Err(Error::Ended { exit, console: last_lines(&self.console(), 20) });
            }
            if cancel::requested() {
                return Err(Error::Cancelled);
            }
            if Instant::now() >= deadline {
                let waiting = self.inside.jobs().unwrap_or_default();
                return Err(Error::Timeout { seconds: timeout.as_secs(), waiting });
            }
            // Woken by the listener; the bound is for the wish to stop, which is a flag.
            self.shared.wait_change(Duration::from_millis(100));
        }
    }

    /// Waits for the end of process 1, at most `timeout` (`None`: for ever); `Ok(None)` if it still runs.
    ///
    /// # Errors
    /// If waiting fails.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Option<Exit>> {
        Ok(self.child.lock().unwrap_or_else(PoisonError::into_inner).wait(timeout)?)
    }

    /// Shuts it down in order, and kills it after `timeout`. Nothing of it runs afterwards.
    ///
    /// # Errors
    /// If processes hang in the kernel.
    pub fn stop(self, timeout: Duration) -> Result<Stopped> {
        let since = Instant::now();
        regrow_sandbox::signal_process(self.inside.as_fd(), regrow_sandbox::poweroff_signal())?;
        let orderly = self.wait(Some(timeout))?.is_some();
        self.kill()?;
        Ok(Stopped { orderly, seconds: since.elapsed().as_secs_f64() })
    }

    /// Kills it, with everything inside.
    ///
    /// # Errors
    /// As [`Machine::stop`].
    pub fn kill(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).kill()?;
        if let Some(listener) = self.listener.take() {
            // It ends with process 1; a panic there lost log lines and nothing else.
            let _ = listener.join();
        }
        Ok(self.inside.cgroup().remove()?)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.listener.is_some() {
            let _ = self.end();
        }
    }
}

/// The image as a detached mount for the user namespace, and whether it had to be checked out for that.
fn lower(lower: Lower<'_>, run_dir: &Path, userns: &UserNs) -> Result<(OwnedFd, bool)> {
    let (store, image) = match lower {
        Lower::Mount(mount) => return Ok((mount, false)),
        Lower::Image { store, image } => (store, image),
    };
    let error = |source| Error::Image { image: image.to_string(), source };
    match store.mount(image, Some(userns.fd())) {
        Err(e) if e.is_mount_unsupported() => {
            let files = run_dir.join("image");
            store.checkout(image, &files).map_err(error)?;
            Ok((regrow_sandbox::read_only_clone(&files, Some(userns))?, true))
        }
        mounted => Ok((mounted.map_err(error)?, false)),
    }
}

/// What process 1 gets to know. Its words go to the console without colours.
fn environment(machine_id: &str) -> BTreeMap<OsString, OsString> {
    [
        ("container", "regrow"),
        ("container_uuid", machine_id),
        ("NOTIFY_SOCKET", "/run/host/notify"),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("SYSTEMD_COLORS", "0"),
        ("TERM", "dumb"),
    ]
    .into_iter()
    .map(|(k, v)| (k.into(), v.into()))
    .collect()
}

fn mounts(volumes: Vec<Volume>, notify: PathBuf) -> Result<Vec<Mount>> {
    let mut mounts: Vec<Mount> = volumes
        .into_iter()
        .map(|v| Mount::Bind {
            source: Source::Path(v.source),
            target: v.target,
            read_only: false,
            id_mapped: true,
            create: true,
        })
        .collect();
    mounts.push(Mount::Bind {
        source: Source::Path(notify),
        target: "/run/host/notify".to_owned(),
        read_only: false,
        id_mapped: false,
        create: true,
    });
    // systemd tells boots apart by this id (journalctl -b); the host's own would be the same for every start.
    let id = regrow_host::fs::read("/proc/sys/kernel/random/uuid")?;
    mounts.push(Mount::Content { target: "/proc/sys/kernel/random/boot_id".to_owned(), bytes: id });
    Ok(mounts)
}

fn entries(machine_id: &str) -> Vec<Entry> {
    let mut entries = vec![
        Entry::File {
            target: "/etc/machine-id".to_owned(),
            bytes: format!("{machine_id}\n").into_bytes(),
            mode: 0o444,
        },
        Entry::File { target: "/run/host/container-manager".to_owned(), bytes: b"regrow\n".to_vec(), mode: 0o444 },
    ];
    entries.extend(
        MASKED
            .iter()
            .map(|unit| Entry::Symlink { target: format!("/run/systemd/system/{unit}"), to: "/dev/null".to_owned() }),
    );
    entries
}

/// A datagram socket at `path` that everybody inside may write to.
fn notification_socket(path: &Path) -> Result<UnixDatagram> {
    use std::os::fd::AsRawFd;
    regrow_host::fs::remove_file(path)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::File(regrow_host::FsError::new(
            "make a socket at",
            path,
            std::io::ErrorKind::InvalidInput.into(),
        )));
    };
    // Socket addresses are short; the way through the open directory always fits.
    let parent = regrow_host::fs::open(parent)?;
    let short = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(name);
    let made = UnixDatagram::bind(&short).and_then(|socket| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
        Ok(socket)
    });
    Ok(made.map_err(|e| regrow_host::FsError::new("make a socket at", path, e))?)
}

/// The last `count` lines of a text.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
