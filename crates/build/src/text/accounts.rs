//! Users and groups of the text.

use std::collections::BTreeMap;

use regrow_config::{Server, User};
use regrow_image::{Entry, Meta};

use super::Target;
use crate::accounts::{Ids, normalise};
use crate::error::BuildError;

/// Adds what is missing, changes what the text says about accounts that packages made.
pub(super) fn apply(target: &mut Target<'_>, server: &Server, ids: &Ids) -> Result<(), BuildError> {
    let mut files = Files::read(target)?;
    for (name, group) in &server.groups {
        let key = format!("groups.{name}");
        let gid = group.gid.or(ids.groups.get(name).copied());
        files.group(&key, name, gid)?;
    }
    for (name, user) in &server.users {
        files.user(name, user, ids)?;
    }
    // Members come last: a user may be in the own group of a later one.
    for (name, user) in &server.users {
        for group in &user.groups {
            files.member(name, group)?;
        }
    }
    files.write(target)?;
    normalise(&mut target.tree, target.store, target.epoch)?;
    for (name, user) in &server.users {
        home(target, name, user)?;
    }
    Ok(())
}

/// The four account files as lines of fields, by name; `normalise` gives them their order.
struct Files {
    passwd: BTreeMap<String, Vec<String>>,
    shadow: BTreeMap<String, Vec<String>>,
    group: BTreeMap<String, Vec<String>>,
    gshadow: BTreeMap<String, Vec<String>>,
}

impl Files {
    fn read(target: &Target<'_>) -> Result<Files, BuildError> {
        let lines = |path: &str, fields: usize| -> Result<BTreeMap<String, Vec<String>>, BuildError> {
            let text = target.text(path)?;
            Ok(text
                .lines()
                .filter(|l| !l.is_empty())
                .map(|line| {
                    let mut parts: Vec<String> = line.split(':').map(str::to_owned).collect();
                    parts.resize(fields, String::new());
                    (parts[0].clone(), parts)
                })
                .collect())
        };
        Ok(Files {
            passwd: lines("/etc/passwd", 7)?,
            shadow: lines("/etc/shadow", 9)?,
            group: lines("/etc/group", 4)?,
            gshadow: lines("/etc/gshadow", 4)?,
        })
    }

    /// Makes sure of a group and returns its id.
    fn group(&mut self, key: &str, name: &str, wanted: Option<u32>) -> Result<u32, BuildError> {
        if let Some(line) = self.group.get(name) {
            let gid = line[2].parse().map_err(|_| BuildError::text(key, "/etc/group of the image is broken"))?;
            return match wanted {
                Some(wanted) if wanted != gid => {
                    Err(BuildError::text(key, format!("the group has the id {gid} in the packages, not {wanted}")))
                }
                _ => Ok(gid),
            };
        }
        let gid =
            wanted.ok_or_else(|| BuildError::text(key, "the lock has no id for this group; run `regrow lock`"))?;
        if let Some(other) = self.group.values().find(|l| l[2] == gid.to_string()) {
            return Err(BuildError::text(key, format!("the id {gid} is that of the group {}", other[0])));
        }
        self.group.insert(name.to_owned(), vec![name.to_owned(), "x".to_owned(), gid.to_string(), String::new()]);
        self.gshadow.insert(name.to_owned(), vec![name.to_owned(), "!".to_owned(), String::new(), String::new()]);
        Ok(gid)
    }

    fn user(&mut self, name: &str, user: &User, ids: &Ids) -> Result<(), BuildError> {
        let key = format!("users.{name}");
        let wanted = user.uid.or(ids.users.get(name).copied());
        if let Some(line) = self.passwd.get(name).cloned() {
            let uid = line[2].clone();
            if wanted.is_some_and(|wanted| wanted.to_string() != uid) {
                let why = format!("the account has the id {uid} in the packages, not {}", wanted.unwrap_or_default());
                return Err(BuildError::text(key, why));
            }
            let gid = match &user.group {
                Some(group) => Some(self.group(&format!("{key}.group"), group, ids.groups.get(group).copied())?),
                None => None,
            };
            // Only what the text says: the package's own choices stay.
            if let Some(line) = self.passwd.get_mut(name) {
                if let Some(gid) = gid {
                    line[3] = gid.to_string();
                }
                if !user.comment.is_empty() {
                    line[4] = user.comment.clone();
                }
                if let Some(home) = &user.home {
                    line[5] = home.clone();
                }
                if let Some(shell) = &user.shell {
                    line[6] = shell.clone();
                }
            }
            if let (Some(hash), Some(line)) = (&user.password_hash, self.shadow.get_mut(name)) {
                line[1] = hash.clone();
            }
            return Ok(());
        }
        let uid =
            wanted.ok_or_else(|| BuildError::text(&key, "the lock has no id for this user; run `regrow lock`"))?;
        if let Some(other) = self.passwd.values().find(|l| l[2] == uid.to_string()) {
            return Err(BuildError::text(key, format!("the id {uid} is that of the user {}", other[0])));
        }
        let group = user.group.as_deref().unwrap_or(name);
        let gid = self.group(&format!("{key}.group"), group, ids.groups.get(group).copied())?;
        let line =
            [name, "x", &uid.to_string(), &gid.to_string(), &user.comment, &user.home_of(name), user.login_shell()];
        self.passwd.insert(name.to_owned(), line.map(str::to_owned).to_vec());
        // `*` is no password at all, but the account is not locked: keys still open it.
        let hash = user.password_hash.as_deref().unwrap_or("*");
        let line = [name, hash, "", "0", "99999", "7", "", "", ""];
        self.shadow.insert(name.to_owned(), line.map(str::to_owned).to_vec());
        Ok(())
    }

    fn member(&mut self, name: &str, group: &str) -> Result<(), BuildError> {
        let key = format!("users.{name}.groups");
        let Some(line) = self.group.get_mut(group) else {
            let why = format!("there is no group {group}; declare [groups.{group}] or add the package that makes it");
            return Err(BuildError::text(key, why));
        };
        add_member(&mut line[3], name);
        if let Some(line) = self.gshadow.get_mut(group) {
            add_member(&mut line[3], name);
        }
        Ok(())
    }

    fn write(self, target: &mut Target<'_>) -> Result<(), BuildError> {
        let ids = |lines: &BTreeMap<String, Vec<String>>| {
            lines.iter().filter_map(|(name, l)| Some((name.clone(), l[2].parse().ok()?))).collect()
        };
        target.users = ids(&self.passwd);
        target.groups = ids(&self.group);
        let shadow_group = target.groups.get("shadow").copied().unwrap_or(0);
        for (path, lines, mode, gid) in [
            ("/etc/passwd", self.passwd, 0o644, 0),
            ("/etc/group", self.group, 0o644, 0),
            ("/etc/shadow", self.shadow, 0o640, shadow_group),
            ("/etc/gshadow", self.gshadow, 0o640, shadow_group),
        ] {
            if lines.is_empty() {
                continue;
            }
            let text: String = lines.values().map(|l| l.join(":") + "\n").collect();
            let made = Meta::new(mode, 0, gid, target.epoch);
            let meta = target.tree.get(path).map_or(made, |e| Meta { mtime: target.epoch, ..e.meta().clone() });
            target.put(path, path, text.as_bytes(), meta)?;
        }
        Ok(())
    }
}

fn add_member(members: &mut String, name: &str) {
    if members.split(',').all(|m| m != name) {
        if !members.is_empty() {
            members.push(',');
        }
        members.push_str(name);
    }
}

/// Makes the home directory with what new users get (/etc/skel), and the keys that may log in.
fn home(target: &mut Target<'_>, name: &str, user: &User) -> Result<(), BuildError> {
    let key = format!("users.{name}");
    let passwd = target.text("/etc/passwd")?;
    let Some(line) = passwd.lines().find(|l| l.split(':').next() == Some(name)) else { return Ok(()) };
    let fields: Vec<&str> = line.split(':').collect();
    let (Ok(uid), Ok(gid), home) = (fields[2].parse(), fields[3].parse(), fields[5]) else { return Ok(()) };
    let own = |mode: u32| Meta::new(mode, uid, gid, target.epoch);
    let (own_dir, own_key) = (own(0o700), own(0o600));
    let wants_home = !user.system || user.home.is_some();
    if wants_home && home != "/nonexistent" && !target.exists(home) {
        target.put_dir(&key, home, own_dir.clone())?;
        let skeleton: Vec<(Vec<u8>, Meta, Option<regrow_image::Content>)> = target
            .tree
            .walk_below("/etc/skel")
            .skip(1)
            .filter_map(|(path, entry)| match entry {
                Entry::Dir(dir) => Some((path, dir.meta.clone(), None)),
                Entry::Leaf(..) => entry.as_file().map(|c| (path, entry.meta().clone(), Some(c.clone()))),
            })
            .collect();
        let base = target.place(home);
        for (path, meta, content) in skeleton {
            let mut to = base.clone();
            to.extend_from_slice(&path[b"/etc/skel".len()..]);
            let meta = Meta { uid, gid, mtime: target.epoch, ..meta };
            match content {
                Some(content) => target.tree.insert_file(to, meta, content).map(|_| ())?,
                None => target.tree.insert_dir(to, meta)?,
            }
        }
    }
    if !user.ssh_keys.is_empty() {
        if home == "/nonexistent" {
            let why = "a system account has no home directory for keys; give it one with `home`";
            return Err(BuildError::text(format!("{key}.ssh_keys"), why));
        }
        if !target.exists(home) {
            target.put_dir(&key, home, own_dir.clone())?;
        }
        target.put_dir(&key, &format!("{home}/.ssh"), own_dir)?;
        let text: String = user.ssh_keys.iter().flat_map(|k| [k.trim(), "\n"]).collect();
        target.put(&format!("{key}.ssh_keys"), &format!("{home}/.ssh/authorized_keys"), text.as_bytes(), own_key)?;
    }
    Ok(())
}
