//! Accounts: ids come from the lock, files are sorted, nothing depends on when or in which order they were made.
//!
//! How packages make accounts, and how the lock's ids reach them before they do:
//!
//! | way | cure |
//! | --- | --- |
//! | `adduser`, `addgroup` | its `UID_POOL` and `GID_POOL` (adduser ≥ 3.137), through [`pool`] and [`adduser_conf`] |
//! | `systemd-sysusers NAME.conf` | a copy of the package's file with the ids filled in, in `/run/sysusers.d` ([`sysusers`]) |
//! | `useradd`, `groupadd`, edits | nothing: [`check`] finds ids that differ and the build fails in words |
//!
//! Ids that Debian gives out for all machines (below 100, 60000–64999, 65534) are the same everywhere already.

use std::collections::BTreeMap;

use regrow_config::LockFile;
use regrow_image::{Store, Tree};

use crate::database::text;
use crate::error::{BuildError, WrongAccount};

/// Names and ids of a lock, for users and groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) users: BTreeMap<String, u32>,
    pub(crate) groups: BTreeMap<String, u32>,
}

impl Ids {
    pub(crate) fn of(lock: &LockFile) -> Ids {
        Ids { users: lock.users.clone(), groups: lock.groups.clone() }
    }
}

/// Whether Debian's policy gives this id to one name for ever.
pub(crate) fn is_static(id: u32) -> bool {
    id < 100 || (60000..65000).contains(&id) || id == 65534
}

/// A pool file of adduser: `name:id` lines.
pub(crate) fn pool(ids: &BTreeMap<String, u32>) -> String {
    ids.iter().map(|(name, id)| format!("{name}:{id}\n")).collect()
}

/// An `/etc/adduser.conf` with the pools in it, for the time of the build.
pub(crate) fn adduser_conf(shipped: &str, users: &str, groups: &str) -> String {
    let kept = shipped.lines().filter(|l| !["UID_POOL", "GID_POOL", "RESERVE_"].iter().any(|k| l.starts_with(k)));
    let mut conf: String = kept.flat_map(|l| [l, "\n"]).collect();
    conf.push_str(&format!("UID_POOL={users}\nGID_POOL={groups}\n"));
    conf
}

/// A sysusers.d file with the lock's ids for those accounts that have none of their own.
pub(crate) fn sysusers(shipped: &str, ids: &Ids) -> String {
    let mut out = String::new();
    for line in shipped.lines() {
        let words = split_words(line);
        let (Some(kind), Some(name), Some(id)) = (words.first(), words.get(1), words.get(2)) else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let (uid, gid) = (ids.users.get(*name), ids.groups.get(*name));
        let rest = line[id.as_ptr() as usize - line.as_ptr() as usize + id.len()..].to_owned();
        match kind.trim_end_matches(['!', '-']) {
            "u" if *id == "-" => {
                if let Some(gid) = gid {
                    out.push_str(&format!("g {name} {gid}\n"));
                }
                match (uid, gid) {
                    (Some(uid), Some(_)) => out.push_str(&format!("{kind} {name} {uid}:{name}{rest}\n")),
                    (Some(uid), None) => out.push_str(&format!("{kind} {name} {uid}{rest}\n")),
                    _ => out.push_str(&format!("{line}\n")),
                }
            }
            "u" if id.starts_with("-:") && uid.is_some() => {
                out.push_str(&format!("{kind} {name} {}{}{rest}\n", uid.copied().unwrap_or_default(), &id[1..]));
            }
            "g" if *id == "-" && gid.is_some() => {
                out.push_str(&format!("{kind} {name} {}{rest}\n", gid.copied().unwrap_or_default()));
            }
            _ => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

/// The words of a line, quotes kept; a comment has none.
fn split_words(line: &str) -> Vec<&str> {
    if line.trim_start().starts_with('#') { Vec::new() } else { line.split_whitespace().collect() }
}

/// One line of passwd, group, shadow or gshadow.
fn name_of(line: &str) -> &str {
    line.split(':').next().unwrap_or_default()
}

fn id_of(line: &str) -> Option<u32> {
    line.split(':').nth(2)?.parse().ok()
}

/// Sorts the account files of a tree by id (shadow files in the order of theirs), sets the last change of passwords
/// to nothing, and removes the backups and locks that tools leave.
pub(crate) fn normalise(tree: &mut Tree, store: &Store, epoch: i64) -> Result<(), BuildError> {
    for (main, shadow) in [("/etc/passwd", "/etc/shadow"), ("/etc/group", "/etc/gshadow")] {
        if !tree.contains(main) {
            continue;
        }
        let mut lines: Vec<String> = text(tree, store, main)?.lines().map(str::to_owned).collect();
        lines.sort_by(|a, b| (id_of(a), name_of(a)).cmp(&(id_of(b), name_of(b))));
        if main == "/etc/group" {
            lines.iter_mut().for_each(|l| *l = sort_members(l, 3));
        }
        let rank: BTreeMap<String, usize> = lines.iter().enumerate().map(|(i, l)| (name_of(l).to_owned(), i)).collect();
        rewrite(tree, store, main, &lines, epoch)?;
        if tree.contains(shadow) {
            let mut lines: Vec<String> = text(tree, store, shadow)?.lines().map(str::to_owned).collect();
            lines.sort_by_key(|l| (rank.get(name_of(l)).copied().unwrap_or(usize::MAX), name_of(l).to_owned()));
            if shadow == "/etc/shadow" {
                lines.iter_mut().for_each(|l| *l = without_last_change(l));
            } else {
                lines.iter_mut().for_each(|l| *l = sort_members(l, 3));
            }
            rewrite(tree, store, shadow, &lines, epoch)?;
        }
    }
    for name in ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"] {
        tree.remove(format!("/etc/{name}-"));
        tree.remove(format!("/etc/{name}.lock"));
    }
    tree.remove("/etc/.pwd.lock");
    Ok(())
}

/// Puts lines into an existing file with its owner and mode.
fn rewrite(tree: &mut Tree, store: &Store, path: &str, lines: &[String], epoch: i64) -> Result<(), BuildError> {
    let text: String = lines.iter().flat_map(|l| [l.as_str(), "\n"]).collect();
    let mut meta = tree.get(path).map(|e| e.meta().clone()).unwrap_or_default();
    meta.mtime = epoch;
    let content = store.put_bytes(text.as_bytes())?;
    tree.insert_file(path, meta, content)?;
    Ok(())
}

fn sort_members(line: &str, field: usize) -> String {
    let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
    if let Some(members) = fields.get_mut(field) {
        let mut names: Vec<&str> = members.split(',').filter(|n| !n.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        *members = names.join(",");
    }
    fields.join(":")
}

fn without_last_change(line: &str) -> String {
    let mut fields: Vec<&str> = line.split(':').collect();
    if let Some(day) = fields.get_mut(2) {
        *day = "";
    }
    fields.join(":")
}

/// Every account of the tree must have the lock's id or one of Debian's fixed ones.
pub(crate) fn check(tree: &Tree, store: &Store, ids: &Ids) -> Result<(), BuildError> {
    let mut wrong = Vec::new();
    for (kind, path, locked) in [("user", "/etc/passwd", &ids.users), ("group", "/etc/group", &ids.groups)] {
        for line in text(tree, store, path)?.lines() {
            let (name, Some(got)) = (name_of(line), id_of(line)) else { continue };
            let wanted = locked.get(name).copied();
            let is_right = match wanted {
                Some(wanted) => wanted == got,
                // users (100) is static too, by base-passwd.
                None => is_static(got) || (kind == "group" && got == 100),
            };
            if !is_right {
                wrong.push(WrongAccount {
                    kind,
                    name: name.to_owned(),
                    got,
                    wanted,
                    package: maker(tree, store, name)?,
                });
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(BuildError::Accounts(wrong)) }
}

/// The package whose script or sysusers.d file names the account.
fn maker(tree: &Tree, store: &Store, name: &str) -> Result<Option<String>, BuildError> {
    let names = |text: &str| text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).any(|w| w == name);
    for script in ["postinst", "preinst"] {
        for path in tree.glob_files(format!("/var/lib/dpkg/info/*.{script}")) {
            let path = String::from_utf8_lossy(&path).into_owned();
            let script_text = text(tree, store, &path)?;
            let makes = script_text.contains("useradd")
                || script_text.contains("groupadd")
                || script_text.contains("adduser")
                || script_text.contains("addgroup")
                || script_text.contains("sysusers");
            if makes && names(&script_text) {
                let file = path.rsplit('/').next().unwrap_or_default();
                return Ok(Some(file.trim_end_matches(&format!(".{script}")).to_owned()));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::put;

    fn ids() -> Ids {
        Ids {
            users: BTreeMap::from([("messagebus".to_owned(), 101), ("sshd".to_owned(), 102)]),
            groups: BTreeMap::from([("messagebus".to_owned(), 103), ("render".to_owned(), 104)]),
        }
    }

    #[test]
    fn sysusers_lines_get_the_ids_of_the_lock() {
        let shipped = "# comment u messagebus -\nu messagebus - \"System Bus\" /nonexistent\nu sshd -:nogroup \"sshd user\" /run/sshd\n\
                       g render - -\ng other - -\nu root 0 - /root\nm a b\n";
        let expected = "# comment u messagebus -\ng messagebus 103\nu messagebus 101:messagebus \"System Bus\" /nonexistent\n\
                        u sshd 102:nogroup \"sshd user\" /run/sshd\ng render 104 -\ng other - -\nu root 0 - /root\nm a b\n";
        assert_eq!(sysusers(shipped, &ids()), expected);
    }

    #[test]
    fn pools_replace_what_the_configuration_says() {
        assert_eq!(pool(&ids().users), "messagebus:101\nsshd:102\n");
        let conf = adduser_conf("# x\nUID_POOL=/old\nDSHELL=/bin/bash\n", "/run/u", "/run/g");
        assert_eq!(conf, "# x\nDSHELL=/bin/bash\nUID_POOL=/run/u\nGID_POOL=/run/g\n");
    }

    fn tree(store: &Store, files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in files {
            put(&mut tree, store, path, text.as_bytes(), 0o644, 99).unwrap();
        }
        tree
    }

    #[test]
    fn account_files_are_sorted_and_timeless() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut tree = tree(
            &store,
            &[
                ("/etc/passwd", "z:x:5:5::/:/x\nroot:x:0:0::/:/x\na:x:101:1::/:/x\n"),
                ("/etc/shadow", "a:!:19000::::::\nroot:*:20000:0:99999:7:::\nz:*:1::::::\n"),
                ("/etc/group", "g:x:7:z,a\nroot:x:0:\n"),
                ("/etc/gshadow", "g:!::z,a\nroot:*::\n"),
                ("/etc/passwd-", "old"),
                ("/etc/.pwd.lock", ""),
            ],
        );
        normalise(&mut tree, &store, 7).unwrap();
        assert_eq!(text(&tree, &store, "/etc/passwd").unwrap(), "root:x:0:0::/:/x\nz:x:5:5::/:/x\na:x:101:1::/:/x\n");
        assert_eq!(text(&tree, &store, "/etc/shadow").unwrap(), "root:*::0:99999:7:::\nz:*:::::::\na:!:::::::\n");
        assert_eq!(text(&tree, &store, "/etc/group").unwrap(), "root:x:0:\ng:x:7:a,z\n");
        assert_eq!(text(&tree, &store, "/etc/gshadow").unwrap(), "root:*::\ng:!::a,z\n");
        assert!(!tree.contains("/etc/passwd-") && !tree.contains("/etc/.pwd.lock"));
        assert_eq!(tree.get("/etc/shadow").unwrap().meta().mtime, 7);
    }

    #[test]
    fn an_id_that_the_lock_does_not_hold_is_found_with_its_package() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let tree = tree(
            &store,
            &[
                (
                    "/etc/passwd",
                    "root:x:0:0::/:/x\nmessagebus:x:101:103::/:/x\nsshd:x:999:1::/:/x\nmystery:x:998:1::/:/x\n",
                ),
                ("/etc/group", "root:x:0:\nusers:x:100:\nmessagebus:x:103:\n"),
                ("/var/lib/dpkg/info/odd.postinst", "#!/bin/sh\nuseradd -r mystery\n"),
            ],
        );
        let Err(BuildError::Accounts(wrong)) = check(&tree, &store, &ids()) else { panic!("must be refused") };
        let found: Vec<_> = wrong.iter().map(|w| (w.name.as_str(), w.got, w.wanted, w.package.as_deref())).collect();
        assert_eq!(found, [("sshd", 999, Some(102), None), ("mystery", 998, None, Some("odd"))]);
    }
}
