//! Named groups of processes: limited, waited for and killed as one.
//!
//! A group is a directory `regrow/<name>` of the cgroup2 hierarchy, on hosts that boot with cgroup v1 too (systemd's
//! "hybrid" `unified`, or one mounted by us at `/run/regrow/cgroup2`): killing, waiting and the view inside need nothing else.
//! Limits are set there where the controllers are; where cgroup v1 holds them, in a directory of the same name of the
//! v1 hierarchy; where neither has one, [`Cgroup::limit`] says so.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use regrow_host::fs;

use crate::error::{Error, Result, step};
use crate::sys;
use crate::userns::UserNs;

/// The directory all our groups are in.
const PARENT: &str = "regrow";
/// Where cgroup2 is mounted if the host has not.
pub(crate) const OWN_MOUNT: &str = "/run/regrow/cgroup2";
/// The leaf for processes that join later: once an init system enabled controllers for its children, the group itself
/// must hold no process.
const EXEC_LEAF: &str = "regrow-exec";

/// Upper bounds for all processes of a group together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Bytes of memory, page cache included.
    pub memory: Option<u64>,
    /// Number of processes and threads.
    pub processes: Option<u64>,
    /// Processors' worth of time: 1.5 is one and a half.
    pub cpus: Option<f64>,
}

/// A limit that could not be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlimited {
    /// Which: `memory`, `pids` or `cpu`.
    pub controller: &'static str,
    /// Why, in words.
    pub why: String,
}

/// A group. A handle only: [`Cgroup::remove`] ends it, dropping does not.
#[derive(Debug, Clone)]
pub struct Cgroup {
    name: String,
    path: PathBuf,
    v1: Vec<(&'static str, PathBuf)>,
}

/// The cgroup hierarchies of this host.
#[derive(Debug, Default)]
pub(crate) struct Hierarchies {
    pub(crate) v2: Option<PathBuf>,
    pub(crate) v1: Vec<(&'static str, PathBuf)>,
}

impl Hierarchies {
    /// Reads the mounts of this process.
    pub(crate) fn find() -> Result<Hierarchies> {
        Ok(Self::parse(&fs::read_to_string("/proc/self/mountinfo")?))
    }

    fn parse(mountinfo: &str) -> Hierarchies {
        let mut found = Hierarchies::default();
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let (Some(point), mut right) = (left.split(' ').nth(4), right.split(' ')) else { continue };
            let (kind, options) = (right.next(), right.nth(1).unwrap_or(""));
            match kind {
                Some("cgroup2") if found.v2.is_none() => found.v2 = Some(point.into()),
                Some("cgroup") => {
                    for controller in ["memory", "pids", "cpu"] {
                        if options.split(',').any(|o| o == controller) {
                            found.v1.push((controller, point.into()));
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// The cgroup2 hierarchy, mounted by us if nobody has.
    fn v2(&self) -> Result<PathBuf> {
        if let Some(v2) = &self.v2 {
            return Ok(v2.clone());
        }
        fs::create_dir_all(OWN_MOUNT)?;
        match rustix::mount::mount("cgroup2", OWN_MOUNT, "cgroup2", rustix::mount::MountFlags::empty(), None) {
            // Another one of us was quicker.
            Ok(()) | Err(rustix::io::Errno::BUSY) => {}
            Err(e) => return Err(step(format!("mount cgroup2 at {OWN_MOUNT}"))(e)),
        }
        Ok(OWN_MOUNT.into())
    }
}

impl Cgroup {
    /// A new, empty group. An empty one of that name is replaced.
    ///
    /// # Errors
    /// If a group of that name has processes, or we may not make one.
    pub fn create(name: &str) -> Result<Cgroup> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if name.is_empty() || name.starts_with('.') || name.len() > 200 || !name.bytes().all(plain) {
            return Err(Error::Invalid(format!("{name:?} is no name for a control group")));
        }
        let hierarchies = Hierarchies::find()?;
        let root = hierarchies.v2()?;
        let group = Cgroup {
            name: name.to_owned(),
            path: root.join(PARENT).join(name),
            v1: hierarchies.v1.iter().map(|(c, at)| (*c, at.join(PARENT).join(name))).collect(),
        };
        if group.path.exists() {
            if !group.is_empty()? {
                return Err(Error::Invalid(format!("the control group {} is in use", group.path.display())));
            }
            group.remove()?;
        }
        fs::create_dir_all(&group.path)?;
        // Each on its own: one that a host does not have must not keep the others away.
        for dir in [root.as_path(), &root.join(PARENT)] {
            for controller in ["+memory", "+pids", "+cpu"] {
                let _ = std::fs::write(dir.join("cgroup.subtree_control"), controller);
            }
        }
        Ok(group)
    }

    /// A group that exists (made by another process of ours).
    pub fn open(name: &str) -> Result<Option<Cgroup>> {
        let hierarchies = Hierarchies::find()?;
        let Some(root) = &hierarchies.v2 else { return Ok(None) };
        let path = root.join(PARENT).join(name);
        let v1 = hierarchies.v1.iter().map(|(c, at)| (*c, at.join(PARENT).join(name))).collect();
        Ok(path.is_dir().then(|| Cgroup { name: name.to_owned(), path, v1 }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its directory in the cgroup2 hierarchy.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets limits; returns those that this host cannot hold.
    pub fn limit(&self, limits: &Limits) -> Vec<Unlimited> {
        let mut unlimited = Vec::new();
        let mut set = |controller: &'static str, v2: &[(&str, String)], v1: &[(&str, String)]| {
            if let Err(why) = self.set(controller, v2, v1) {
                unlimited.push(Unlimited { controller, why });
            }
        };
        if let Some(bytes) = limits.memory {
            let bytes = bytes.to_string();
            // Without the swap bound a group would only be slowed down at its limit.
            let v2 = [("memory.max", bytes.clone()), ("?memory.swap.max", "0".to_owned())];
            set("memory", &v2, &[("memory.limit_in_bytes", bytes.clone()), ("?memory.memsw.limit_in_bytes", bytes)]);
        }
        if let Some(count) = limits.processes {
            set("pids", &[("pids.max", count.to_string())], &[("pids.max", count.to_string())]);
        }
        if let Some(cpus) = limits.cpus {
            let quota = ((cpus * 100_000.0) as u64).max(1000);
            let v1 = [("cpu.cfs_period_us", "100000".to_owned()), ("cpu.cfs_quota_us", quota.to_string())];
            set("cpu", &[("cpu.max", format!("{quota} 100000"))], &v1);
        }
        unlimited
    }

    /// Writes the files of one controller; names with `?` may be missing.
    fn set(&self, controller: &str, v2: &[(&str, String)], v1: &[(&str, String)]) -> std::result::Result<(), String> {
        let write = |dir: &Path, files: &[(&str, String)]| {
            for (name, value) in files {
                let path = dir.join(name.trim_start_matches('?'));
                match std::fs::write(&path, value) {
                    Err(e) if !name.starts_with('?') => return Err(format!("{}: {e}", path.display())),
                    _ => {}
                }
            }
            Ok(())
        };
        if v2.iter().all(|(name, _)| name.starts_with('?') || self.path.join(name).exists()) {
            return write(&self.path, v2);
        }
        match self.v1.iter().find(|(c, _)| *c == controller) {
            Some((_, dir)) => {
                std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
                write(dir, v1)
            }
            None => Err(format!("no cgroup hierarchy of this host has the {controller} controller for us")),
        }
    }

    /// Lets root of `userns` manage groups below this one; limits stay ours.
    pub(crate) fn delegate(&self, userns: &UserNs) -> Result<()> {
        let id = Some(userns.base());
        for name in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
            let path = self.path.join(name);
            chown(&path, id, id).map_err(|e| regrow_host::FsError::new("change the owner of", path, e))?;
        }
        Ok(())
    }

    /// The files through which a process (writing "0") enters the group.
    pub(crate) fn entrances(&self) -> Result<Vec<OwnedFd>> {
        self.entrances_of(&self.path)
    }

    /// [`Cgroup::entrances`] of the leaf for later processes, which is made if missing.
    pub(crate) fn exec_entrances(&self) -> Result<Vec<OwnedFd>> {
        use std::os::unix::fs::MetadataExt;
        let leaf = self.path.join(EXEC_LEAF);
        fs::create_dir_all(&leaf)?;
        let owner = std::fs::metadata(&self.path).map_err(|e| regrow_host::FsError::new("look at", &self.path, e))?;
        for path in [leaf.clone(), leaf.join("cgroup.procs")] {
            chown(&path, Some(owner.uid()), Some(owner.gid()))
                .map_err(|e| regrow_host::FsError::new("change the owner of", path, e))?;
        }
        self.entrances_of(&leaf)
    }

    fn entrances_of(&self, v2: &Path) -> Result<Vec<OwnedFd>> {
        let v1 = self.v1.iter().map(|(_, dir)| dir.as_path()).filter(|dir| dir.is_dir());
        std::iter::once(v2)
            .chain(v1)
            .map(|dir| {
                let path = dir.join("cgroup.procs");
                let file = File::options().write(true).open(&path);
                Ok(file.map_err(|e| regrow_host::FsError::new("open", path, e))?.into())
            })
            .collect()
    }

    /// Whether the process `pid` is in it or below.
    ///
    /// # Errors
    /// If the kernel's file cannot be read; a process that is gone is not in it.
    pub fn contains(&self, pid: i32) -> Result<bool> {
        let Some(text) = fs::read_optional(format!("/proc/{pid}/cgroup"))? else { return Ok(false) };
        // The path in the hierarchy of our own view: a mount of it from within a container starts elsewhere.
        let ours = format!("/{PARENT}/{}", self.name);
        let text = String::from_utf8_lossy(&text);
        let path = text.lines().find_map(|l| l.strip_prefix("0::")).unwrap_or("");
        Ok(path.match_indices(&ours).any(|(at, _)| matches!(path.as_bytes().get(at + ours.len()), None | Some(b'/'))))
    }

    /// Whether no process is in it or below. A group that does not exist is empty.
    ///
    /// # Errors
    /// If the kernel's file cannot be read.
    pub fn is_empty(&self) -> Result<bool> {
        let events = fs::read_optional(self.path.join("cgroup.events"))?;
        Ok(events.is_none_or(|text| text.split(|b| *b == b'\n').any(|line| line == b"populated 0")))
    }

    /// Kills every process in it and below and waits until the last is gone.
    ///
    /// # Errors
    /// If one does not end within 10 s (it hangs in the kernel).
    pub fn kill_all(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let events = match File::open(self.path.join("cgroup.events")) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(regrow_host::FsError::new("open", self.path.join("cgroup.events"), e).into()),
        };
        while !self.is_empty()? {
            if std::fs::write(self.path.join("cgroup.kill"), "1").is_err() {
                // Before Linux 5.14. A fork can slip through one round, not through all.
                kill_below(&self.path)?;
            }
            if Instant::now() >= deadline {
                return Err(Error::Invalid(format!(
                    "processes in the control group {} do not end; they hang in the kernel, see /proc/PID/stack",
                    self.path.display()
                )));
            }
            // The kernel signals a change of the file as exceptional condition. The short bound covers a change
            // between our reading and polling.
            let soon = Instant::now() + Duration::from_millis(50);
            sys::wait_for(&[events.as_fd()], libc::POLLPRI, Some(soon.min(deadline)))
                .map_err(step("wait for a control group"))?;
        }
        Ok(())
    }

    /// Kills what is in it and removes it, with what was made below.
    ///
    /// # Errors
    /// As [`Cgroup::kill_all`], or if the kernel keeps the directory.
    pub fn remove(&self) -> Result<()> {
        self.kill_all()?;
        for dir in std::iter::once(&self.path).chain(self.v1.iter().map(|(_, dir)| dir)) {
            remove_tree(dir)?;
        }
        Ok(())
    }
}

/// Removes every group whose name starts with `prefix` and for which `owned` says no; returns their names.
///
/// # Errors
/// The first group that resists; the others are still removed.
pub fn sweep(prefix: &str, owned: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let hierarchies = Hierarchies::find()?;
    let mut names = std::collections::BTreeSet::new();
    for root in hierarchies.v2.iter().chain(hierarchies.v1.iter().map(|(_, at)| at)) {
        for name in fs::list(root.join(PARENT))? {
            if let Some(name) = name.to_str().filter(|n| n.starts_with(prefix) && root.join(PARENT).join(n).is_dir()) {
                names.insert(name.to_owned());
            }
        }
    }
    let (mut swept, mut first_error) = (Vec::new(), None);
    for name in names {
        if owned(&name) {
            continue;
        }
        let group = Cgroup {
            path: hierarchies.v2()?.join(PARENT).join(&name),
            v1: hierarchies.v1.iter().map(|(c, at)| (*c, at.join(PARENT).join(&name))).collect(),
            name: name.clone(),
        };
        match group.remove() {
            Ok(()) => swept.push(name),
            Err(e) => first_error = first_error.or(Some(e)),
        }
    }
    first_error.map_or(Ok(swept), Err)
}

/// Sends SIGKILL to every process listed in the group and below.
fn kill_below(dir: &Path) -> Result<()> {
    for child in below(dir)? {
        kill_below(&child)?;
    }
    for line in fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines() {
        if let Some(pid) = line.parse().ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    Ok(())
}

fn below(dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(fs::list(dir)?.into_iter().map(|name| dir.join(name)).filter(|path| path.is_dir()).collect())
}

/// Removes the directories of a group, deepest first; the kernel's files in them go with them.
fn remove_tree(dir: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        // Each time: what was dying may have made another one.
        for child in below(dir)? {
            remove_tree(&child)?;
        }
        match std::fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            // A process that was just reaped can hold the group for an instant; nothing signals the end of that.
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(e) => return Err(regrow_host::FsError::new("remove the control group", dir, e).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found_on_unified_hybrid_and_bare_hosts() {
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = Hierarchies::parse(unified);
        assert_eq!((found.v2.as_deref(), found.v1.len()), (Some(Path::new("/sys/fs/cgroup")), 0));
        let hybrid = "31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      33 30 0:29 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n";
        let found = Hierarchies::parse(hybrid);
        assert_eq!(found.v2.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(found.v1.iter().map(|(c, _)| *c).collect::<Vec<_>>(), ["cpu", "memory"]);
        assert!(Hierarchies::parse("1 1 0:1 / / rw - ext4 /dev/vda rw\n").v2.is_none());
    }

    #[test]
    fn names_that_would_leave_the_directory_are_refused() {
        for name in ["", ".", "..", "a/b", "../x", ".hidden", "a b"] {
            assert!(matches!(Cgroup::create(name), Err(Error::Invalid(_))), "{name:?}");
        }
    }
}
