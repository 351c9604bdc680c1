//! What can go wrong with a build, in words.

use std::path::PathBuf;

use regrow_host::FsError;

use crate::deb::DebError;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A file of the host could not be read or written.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The store said no.
    #[error(transparent)]
    Store(#[from] regrow_image::Error),
    /// The sandbox could not be made or kept.
    #[error(transparent)]
    Sandbox(#[from] regrow_sandbox::Error),
    /// A package file could not be read.
    #[error(transparent)]
    Deb(#[from] DebError),
    /// The caller gave no file for a package of the plan.
    #[error("the package {package} {version} of the lock has no file; run `regrow lock` to fetch it")]
    NoDeb {
        /// Its name.
        package: String,
        /// Its version.
        version: String,
    },
    /// A package's script or dpkg itself said no.
    #[error("{} of the package {package} failed{}{}", script.as_deref().unwrap_or("the installation"), status_words(*status), tail_words(tail))]
    Package {
        /// The package.
        package: String,
        /// The script, such as "the post-installation script", if it was one.
        script: Option<String>,
        /// Its exit status, if it ended by itself.
        status: Option<i32>,
        /// The last lines that dpkg and the scripts wrote.
        tail: Vec<String>,
    },
    /// A program of the build inside the sandbox failed, and it was no single package's fault.
    #[error("`{program}` failed in the sandbox{}{}", status_words(*status), tail_words(tail))]
    Inside {
        /// The program.
        program: String,
        /// Its exit status, if it ended by itself.
        status: Option<i32>,
        /// The last lines written.
        tail: Vec<String>,
    },
    /// Packages are installed in part only.
    #[error("after the layer `{layer}` these packages are not fully installed: {}{}", packages.join(", "), tail_words(tail))]
    Unfinished {
        /// The layer.
        layer: String,
        /// Names, with dpkg's word for their state.
        packages: Vec<String>,
        /// The last lines written.
        tail: Vec<String>,
    },
    /// Accounts were made with ids that the lock does not give them.
    #[error("{}", accounts_words(.0))]
    Accounts(Vec<WrongAccount>),
    /// A private key is in the image.
    #[error(
        "the image would hold a private key: {path} (from {origin}); an image is no place for secrets: remove the file, \
         or let a catalog entry make it at the first start"
    )]
    PrivateKey {
        /// Where.
        path: String,
        /// The package or the part of the text that it comes from.
        origin: String,
    },
    /// A service of the text has no unit file.
    #[error("services.{service}: no unit {unit} is in the image{}", near_words(near))]
    NoSuchUnit {
        /// The key below `services`.
        service: String,
        /// The unit looked for.
        unit: String,
        /// Units of similar name that there are.
        near: Vec<String>,
    },
    /// A file, user or group of the text does not fit the image.
    #[error("{key}: {why}")]
    Text {
        /// The key in the text, such as `files."/etc/motd"`.
        key: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// Somebody asked to stop.
    #[error("the build was stopped; nothing half-made is left in the store")]
    Cancelled,
    /// The catalog cannot be followed.
    #[error("the catalog entry `{entry}`: {why}")]
    Catalog {
        /// The entry's name.
        entry: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// A scratch directory's path cannot be used.
    #[error("the path {} cannot be used for building: it is not valid UTF-8", .0.display())]
    BadPath(PathBuf),
}

/// An account with an id of its own choosing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongAccount {
    /// `user` or `group`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The id it got.
    pub got: u32,
    /// The id that the lock gives it, if it does.
    pub wanted: Option<u32>,
    /// The package that seems to have made it.
    pub package: Option<String>,
}

impl BuildError {
    pub(crate) fn text(key: impl Into<String>, why: impl Into<String>) -> BuildError {
        BuildError::Text { key: key.into(), why: why.into() }
    }
}

fn status_words(status: Option<i32>) -> String {
    status.map(|s| format!(" with exit status {s}")).unwrap_or_default()
}

fn tail_words(tail: &[String]) -> String {
    if tail.is_empty() { String::new() } else { format!("; the last lines it wrote:\n  {}", tail.join("\n  ")) }
}

fn near_words(near: &[String]) -> String {
    if near.is_empty() {
        "; add its package or remove the table".to_owned()
    } else {
        format!("; did you mean {}?", near.join(" or "))
    }
}

fn accounts_words(accounts: &[WrongAccount]) -> String {
    let mut words = "package scripts made accounts whose ids the lock does not hold:".to_owned();
    for account in accounts {
        words.push_str(&format!("\n  the {} {} got the id {}", account.kind, account.name, account.got));
        if let Some(wanted) = account.wanted {
            words.push_str(&format!(" instead of {wanted}"));
        }
        if let Some(package) = &account.package {
            words.push_str(&format!(" (by the package {package})"));
        }
    }
    let table = |a: &WrongAccount| if a.kind == "user" { "users" } else { "groups" };
    let lacking: Vec<_> =
        accounts.iter().filter(|a| a.wanted.is_none()).map(|a| format!("[{}.{}]", table(a), a.name)).collect();
    if lacking.is_empty() {
        words.push_str(
            "\nname the accounts in a catalog entry of the package, so that they are made before its scripts run",
        );
    } else {
        words.push_str(&format!(
            "\ndeclare {} with `system = true`, or name them in a catalog entry of the package, and lock again",
            lacking.join(" and ")
        ));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_script_is_named_with_its_last_words() {
        let e = BuildError::Package {
            package: "broken".to_owned(),
            script: Some("the post-installation script".to_owned()),
            status: Some(7),
            tail: vec!["one".to_owned(), "two".to_owned()],
        };
        let words = "the post-installation script of the package broken failed with exit status 7; the last lines it wrote:\n  one\n  two";
        assert_eq!(e.to_string(), words);
    }

    #[test]
    fn wrong_accounts_come_with_the_way_out() {
        let account = |name: &str, wanted| WrongAccount {
            kind: "user",
            name: name.to_owned(),
            got: 999,
            wanted,
            package: Some("p".to_owned()),
        };
        let e = BuildError::Accounts(vec![account("a", None), account("b", Some(100))]);
        let words = e.to_string();
        assert!(words.contains("user a got the id 999 (by the package p)"), "{words}");
        assert!(words.contains("user b got the id 999 instead of 100"), "{words}");
        assert!(words.contains("declare [users.a] with `system = true`"), "{words}");
    }
}
