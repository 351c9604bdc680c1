//! A tiny root file system from programs of this machine, and sandboxes over it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use regrow_sandbox::{Profile, Root, Spec, UserNs, read_only_clone};

/// The programs inside; they come from packages every Debian has.
const PROGRAMS: &[&str] = &[
    "sh", "cat", "ls", "id", "sleep", "mkdir", "rm", "ln", "echo", "stat", "hostname", "mount", "readlink", "sync",
    "mknod", "touch", "chown", "tty", "kill",
];

/// A root directory, a place for what is written, and a user namespace.
pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) userns: UserNs,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        let dir = tempfile::Builder::new().prefix("sandbox-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let root = dir.path().join("root");
        for name in ["usr/bin", "etc", "proc", "sys", "dev", "run", "tmp", "root", "var/lib"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::os::unix::fs::symlink("usr/bin", root.join("bin")).unwrap();
        let mut wanted = BTreeSet::new();
        for program in PROGRAMS {
            let path = ["/bin", "/usr/bin"].iter().map(|d| Path::new(d).join(program)).find(|p| p.exists());
            let path = path.unwrap_or_else(|| panic!("{program} is missing on this machine")).canonicalize().unwrap();
            std::fs::copy(&path, root.join("usr/bin").join(program)).unwrap();
            let ldd = Command::new("ldd").arg(&path).output().unwrap();
            for word in String::from_utf8_lossy(&ldd.stdout).split_whitespace().filter(|w| w.starts_with('/')) {
                wanted.insert(PathBuf::from(word));
            }
        }
        for library in wanted {
            let to = root.join(library.strip_prefix("/").unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(&library, to).unwrap();
        }
        std::fs::write(root.join("etc/motd"), "hello\n").unwrap();
        Fixture { dir, userns: UserNs::new(1_000_000, 65_536).unwrap() }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.dir.path().join("run/upper")
    }

    /// A sandbox that runs `script` with the shell inside.
    pub(crate) fn shell(&self, profile: Profile, script: &str) -> Spec {
        let run = self.dir.path().join("run");
        std::fs::create_dir_all(&run).unwrap();
        let lower = read_only_clone(self.root(), Some(&self.userns)).unwrap();
        let root = Root { lower, upper: run.join("upper"), work: run.join("work") };
        Spec::new(root, self.userns.clone(), profile, ["sh", "-c", script])
    }

    /// Runs a script; its exit status as a shell has it, and all it wrote.
    pub(crate) fn output(&self, spec: Spec) -> (i32, String) {
        let mut text = Vec::new();
        let ended =
            regrow_sandbox::run(spec, Some(std::time::Duration::from_secs(20)), &mut |_, bytes| text.extend(bytes))
                .unwrap();
        let text = String::from_utf8_lossy(&text).into_owned();
        match ended {
            regrow_sandbox::Ended::Exit(exit) => (exit.shell_code(), text),
            other => panic!("{other:?}: {text}"),
        }
    }
}
