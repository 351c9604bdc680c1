//! What can go wrong, in words a person can act on.

use std::io;

/// Why a sandbox could not be made, entered or taken down.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused one step. `doing` is a verb phrase ("mount the overlay at /").
    #[error("cannot {doing}{}", hint.map(|h| format!(" ({h})")).unwrap_or_default())]
    Step {
        /// What was being done, with the path or name it was done to.
        doing: String,
        /// What to do about it, where the error says enough.
        hint: Option<&'static str>,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file of the host could not be read or written.
    #[error(transparent)]
    File(#[from] regrow_host::FsError),
    /// The caller asked for something that makes no sense; says what.
    #[error("{0}")]
    Invalid(String),
    /// A child ended before it could say what is wrong.
    #[error("the sandbox's set-up process was killed while it prepared {what}; the machine may be out of memory")]
    Vanished {
        /// The program it was to start.
        what: String,
    },
}

/// The result of a sandbox operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Wraps the error of a step of ours in the caller's process.
pub(crate) fn step<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Error {
    let doing = doing.into();
    move |e| {
        let source: io::Error = e.into();
        let hint = hint(&doing, source.raw_os_error().unwrap_or(0));
        Error::Step { doing, hint, source }
    }
}

/// The way out of an error, where the step and the number together mean one thing.
pub(crate) fn hint(doing: &str, errno: i32) -> Option<&'static str> {
    let is = |what: &str| doing.contains(what);
    match errno {
        libc::ENOSYS => {
            Some("the kernel is too old: Regrow needs Linux 5.19 or later, with overlayfs and user namespaces")
        }
        libc::ENOSPC if is("user namespace") => Some("raise it: sysctl user.max_user_namespaces=10000"),
        libc::EPERM if is("user namespace") => Some("run as root, outside of unprivileged containers"),
        libc::EINVAL | libc::EPERM | libc::EOPNOTSUPP if is("map the ids") => Some(
            "this file system has no id-mapped mounts: put REGROW_HOME on ext4, xfs or btrfs, with Linux 5.19 or later",
        ),
        libc::EPERM if is("mount /proc") || is("mount /sys") => Some(
            "the surrounding container hides parts of /proc or /sys; run Regrow on the host or in a privileged container",
        ),
        libc::ENODEV if is("overlay") => Some("the kernel has no overlayfs: modprobe overlay"),
        libc::EINVAL if is("overlay") => Some(
            "overlayfs refused the directories: the writable one must be on a local file system such as ext4, xfs or btrfs",
        ),
        libc::EPERM => Some("run as root"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_step_says_what_and_the_way_out_but_not_the_source_twice() {
        let e = step::<io::Error>("map the ids of the mount of /x")(io::Error::from_raw_os_error(libc::EINVAL));
        let words = e.to_string();
        assert!(words.starts_with("cannot map the ids of the mount of /x (this file system"), "{words}");
        assert!(!words.contains("Invalid argument"), "the source is shown by the caller: {words}");
    }
}
