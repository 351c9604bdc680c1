//! What this kernel and host allow, found by trying, in words for `regrow doctor`.

use std::path::Path;

use crate::cgroup::{Cgroup, Hierarchies, Limits};
use crate::seccomp::Profile;
use crate::spawn::spawn;
use crate::spec::{Root, Spec};
use crate::userns::{UserNs, id_mapped_clone, read_only_clone};

/// One thing Regrow needs, or can use.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Capability {
    /// Short name: "user namespaces".
    pub name: &'static str,
    /// Whether nothing works without it.
    pub required: bool,
    /// Whether it is there.
    pub ok: bool,
    /// What was found; if it is missing, why and what to do.
    pub words: String,
}

/// Everything [`probe`] looked at.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Capabilities {
    /// In the order of the house: surroundings first.
    pub all: Vec<Capability>,
}

impl Capabilities {
    /// Whether all that is required is there.
    pub fn ok(&self) -> bool {
        self.all.iter().all(|c| c.ok || !c.required)
    }
}

/// Tries everything a sandbox needs. `home` is where the store is or will be (an existing directory): id-mapped mounts
/// and overlays depend on its file system. Leaves nothing behind.
pub fn probe(home: &Path) -> Capabilities {
    let mut all = Vec::new();
    let mut note = |name, required, result: Result<String, String>| {
        let (ok, words) = match result {
            Ok(words) => (true, words),
            Err(words) => (false, words),
        };
        all.push(Capability { name, required, ok, words });
        ok
    };
    let root = rustix::process::geteuid().is_root();
    note("root", true, if root { Ok("running as root".into()) } else { Err("run Regrow as root".into()) });
    note("kernel", true, kernel());
    let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let has = |kind: &str| filesystems.lines().any(|l| l.split_whitespace().last() == Some(kind));
    let module = |kind: &str, what: &str| {
        if has(kind) {
            Ok(format!("the kernel has {kind}"))
        } else {
            Err(format!("the kernel has no {what} (yet): modprobe {kind}"))
        }
    };
    note("overlayfs", true, module("overlay", "overlayfs"));
    note(
        "erofs",
        false,
        module("erofs", "EROFS; images are checked out as plain files instead, which takes more disk"),
    );
    let userns = UserNs::new(1_000_000, 65_536).map_err(|e| words(&e));
    let have = userns.is_ok();
    note("user namespaces", true, userns.as_ref().map(|_| "65,536 ids can be mapped".to_owned()).map_err(Clone::clone));
    if let (true, Ok(userns)) = (have, &userns) {
        let mapped =
            id_mapped_clone(home, userns).map(|_| format!("{} takes them", home.display())).map_err(|e| words(&e));
        if note("id-mapped mounts", true, mapped) {
            note("sandbox", true, sandbox(home, userns));
        }
    }
    note("control groups", true, group());
    note("resource limits", false, limits());
    Capabilities { all }
}

fn kernel() -> Result<String, String> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    // Overlayfs over id-mapped layers.
    if version >= (5, 19) {
        Ok(format!("Linux {release}"))
    } else {
        Err(format!("Linux {release} is too old; Regrow needs 5.19 or later (Debian 12 has 6.1)"))
    }
}

/// Starts a sandbox that holds nothing: that its program is missing is the last thing the kernel can say.
fn sandbox(home: &Path, userns: &UserNs) -> Result<String, String> {
    let scratch = regrow_host::lock::Scratch::new(home.join("scratch"), "doctor").map_err(|e| words(&e))?;
    let (lower, run) = (scratch.path().join("lower"), scratch.path().join("run"));
    for dir in [&lower, &run] {
        regrow_host::fs::create_dir_all(dir).map_err(|e| words(&e))?;
    }
    let lower = read_only_clone(&lower, Some(userns)).map_err(|e| words(&e))?;
    let root = Root { lower, upper: run.join("upper"), work: run.join("work") };
    match spawn(Spec::new(root, userns.clone(), Profile::Machine, ["/nothing"])) {
        Err(crate::Error::Step { source, .. }) if source.raw_os_error() == Some(libc::ENOENT) => {
            Ok("namespaces, overlay, /proc, /sys and system call filters work together".to_owned())
        }
        Err(e) => Err(words(&e)),
        Ok(_) => Err("a program that does not exist was run".to_owned()),
    }
}

fn group() -> Result<String, String> {
    let name = format!("probe-{}", std::process::id());
    let group = Cgroup::create(&name).map_err(|e| format!("{}; mount cgroup2 or run Regrow on the host", words(&e)))?;
    let found = Hierarchies::find().map_err(|e| words(&e))?;
    let kind = if found.v1.is_empty() { "cgroup v2" } else { "cgroup v1 for limits, v2 for the rest" };
    let result = Ok(format!("{kind}, groups at {}", group.path().parent().unwrap_or(group.path()).display()));
    group.remove().map_err(|e| words(&e))?;
    result
}

fn limits() -> Result<String, String> {
    let group = Cgroup::create(&format!("probe-{}-limits", std::process::id())).map_err(|e| words(&e))?;
    let missing = group.limit(&Limits { memory: Some(1 << 30), processes: Some(1000), cpus: Some(1.0) });
    group.remove().map_err(|e| words(&e))?;
    if missing.is_empty() {
        return Ok("memory, processes and processor time can be limited".to_owned());
    }
    let words: Vec<_> = missing.iter().map(|m| format!("{} ({})", m.controller, m.why)).collect();
    Err(format!("servers run without these limits: {}", words.join("; ")))
}

/// An error with its causes on one line.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}
