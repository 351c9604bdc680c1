//! User and group ids: given out once, in the lock, and never again to anybody else.
//!
//! Fixed ids (base-passwd's 0–99 and 65534) are the system's own and not in the lock. System accounts get 100–999,
//! people 1000 and up; an id that the text or a package demands wins. A user and the group of its name share a number
//! where both are new. Names that are gone keep their ids: files of theirs may still lie in the state.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use regrow_config::lock::LockFile;
use regrow_config::{Catalog, Server};

use crate::accounts::{self, Accounts};
use crate::error::{Error, Result};

const SYSTEM: std::ops::Range<u32> = 100..1000;
const PEOPLE: std::ops::Range<u32> = 1000..60000;

/// One name that needs an id.
#[derive(Debug, Clone, Copy, Default)]
struct Need {
    id: Option<u32>,
    /// Numbered among people, not among the system's own.
    person: bool,
    /// Demanded by the server's text; what a package demands is a wish only.
    firm: bool,
}

/// Adds ids to the lock for every account that its packages, the catalog and the server's text make.
pub(crate) fn give(
    lock: &mut LockFile,
    server: &Server,
    catalog: &Catalog,
    paths: &BTreeMap<String, PathBuf>,
    cache: &Path,
) -> Result<()> {
    let scans: Vec<Result<Accounts>> = lock
        .packages
        .par_iter()
        .map(|(name, package)| match paths.get(name) {
            Some(path) => accounts::scan_cached(path, &package.sha256, cache),
            None => Ok(Accounts::default()),
        })
        .collect();
    let mut made = Accounts::default();
    for scan in scans {
        made.add(scan?);
    }
    let packages: BTreeSet<&str> = lock.packages.keys().map(String::as_str).collect();
    let (users, groups) = needs(&made, server, catalog, &packages);
    allocate(lock, &users, &groups, &made).map_err(|reason| Error::Ids { reason })
}

type Needs = BTreeMap<String, Need>;

fn needs(made: &Accounts, server: &Server, catalog: &Catalog, packages: &BTreeSet<&str>) -> (Needs, Needs) {
    let need = |id: Option<u32>| Need { id, ..Need::default() };
    let mut users: Needs = made.users.iter().map(|(n, a)| (n.clone(), need(a.id))).collect();
    let mut groups: Needs = made.groups.iter().map(|(n, a)| (n.clone(), need(a.id))).collect();
    for entry in catalog.applying(|p| packages.contains(p)) {
        for user in &entry.users {
            users.entry(user.clone()).or_default();
            groups.entry(user.clone()).or_default();
        }
        for group in &entry.groups {
            groups.entry(group.clone()).or_default();
        }
    }
    for (name, group) in &server.groups {
        groups.insert(name.clone(), Need { id: group.gid, person: !group.system, firm: true });
    }
    for (name, user) in &server.users {
        users.insert(name.clone(), Need { id: user.uid, person: !user.system, firm: true });
        if user.group.is_none() {
            // Its own group has its number unless that has one already.
            groups.entry(name.clone()).or_insert(Need { id: None, person: !user.system, firm: false });
        }
        for group in user.groups.iter().chain(&user.group) {
            groups.entry(group.clone()).or_default();
        }
    }
    (users, groups)
}

fn allocate(lock: &mut LockFile, users: &Needs, groups: &Needs, made: &Accounts) -> std::result::Result<(), String> {
    let mut users: Needs = users.clone();
    let mut groups: Needs = groups.clone();
    let firm = |need: &Need, fixed: u32| need.firm && need.id.is_some_and(|id| id != fixed);
    users.retain(|n, need| made.fixed_users.get(n).is_none_or(|fixed| firm(need, *fixed)));
    // A fixed user has the group that base-passwd gave it; no group of its name is made for it.
    groups.retain(|n, need| match made.fixed_groups.get(n) {
        Some(fixed) => firm(need, *fixed),
        None => need.firm || !made.fixed_users.contains_key(n),
    });
    demanded("user", &mut lock.users, &users, &made.fixed_users)?;
    demanded("group", &mut lock.groups, &groups, &made.fixed_groups)?;

    // A number is free if nobody has it or ever had it, as user or group.
    let mut taken: BTreeSet<u32> = [&lock.users, &lock.groups, &made.fixed_users, &made.fixed_groups]
        .into_iter()
        .flat_map(|m| m.values().copied())
        .collect();
    let mut next = |person: bool, kind: &str, name: &str| {
        let mut range = if person { PEOPLE } else { SYSTEM };
        let id = range.find(|id| !taken.contains(id)).ok_or_else(|| {
            let range = if person { "1000-59999" } else { "100-999" };
            format!("there is none left between {range} for the {kind} {name}")
        })?;
        taken.insert(id);
        Ok::<u32, String>(id)
    };
    let names: BTreeSet<&String> = users.keys().chain(groups.keys()).collect();
    for name in names {
        let user = users.get(name).filter(|_| !lock.users.contains_key(name));
        let group = groups.get(name).filter(|_| !lock.groups.contains_key(name));
        match (user, group) {
            (Some(user), Some(_)) => {
                let id = next(user.person, "user", name)?;
                lock.users.insert(name.clone(), id);
                lock.groups.insert(name.clone(), id);
            }
            (Some(user), None) => {
                let id = next(user.person, "user", name)?;
                lock.users.insert(name.clone(), id);
            }
            (None, Some(group)) => {
                // A user who was given a number by demand has its group on the same one, if that is free.
                let same = lock.users.get(name).copied();
                let free = |id: &u32| !lock.groups.values().chain(made.fixed_groups.values()).any(|g| g == id);
                let id = match same.filter(free) {
                    Some(id) => id,
                    None => next(group.person, "group", name)?,
                };
                lock.groups.insert(name.clone(), id);
            }
            (None, None) => {}
        }
    }
    Ok(())
}

/// Gives what is demanded; says who stands in the way.
fn demanded(
    kind: &str,
    given: &mut BTreeMap<String, u32>,
    needs: &Needs,
    fixed: &BTreeMap<String, u32>,
) -> std::result::Result<(), String> {
    for (name, need) in needs {
        let Some(id) = need.id else { continue };
        if let Some(has) = given.get(name).or(fixed.get(name)).copied() {
            if has != id && need.firm {
                return Err(format!(
                    "the {kind} {name} has the id {has} for ever; {id} cannot be given to it any more"
                ));
            }
            continue;
        }
        match given.iter().chain(fixed).find(|(_, theirs)| **theirs == id) {
            None => {
                given.insert(name.clone(), id);
            }
            Some((other, _)) if need.firm => {
                return Err(format!("the {kind} {name} wants the id {id}, which belongs to {other}"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(id: Option<u32>) -> Need {
        Need { id, ..Need::default() }
    }

    fn person(id: Option<u32>) -> Need {
        Need { id, person: true, firm: true }
    }

    fn map<V: Clone>(list: &[(&str, V)]) -> BTreeMap<String, V> {
        list.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect()
    }

    fn fixed() -> Accounts {
        Accounts {
            fixed_users: map(&[("root", 0), ("nobody", 65534)]),
            fixed_groups: map(&[("root", 0), ("sudo", 27)]),
            ..Accounts::default()
        }
    }

    #[test]
    fn ids_are_given_by_kind_and_shared_by_a_user_and_its_group() {
        let mut lock = LockFile::default();
        let users =
            map(&[("alice", person(None)), ("nginx", system(None)), ("root", system(None)), ("db", system(Some(77)))]);
        let groups = map(&[
            ("alice", person(None)),
            ("nginx", system(None)),
            ("ssl", system(None)),
            ("sudo", system(None)),
            ("db", system(None)),
        ]);
        allocate(&mut lock, &users, &groups, &fixed()).unwrap();
        assert_eq!(lock.users, map(&[("alice", 1000), ("db", 77), ("nginx", 100)]));
        assert_eq!(lock.groups, map(&[("alice", 1000), ("db", 77), ("nginx", 100), ("ssl", 101)]));
    }

    #[test]
    fn ids_are_never_reused_nor_changed() {
        let mut lock = LockFile::default();
        allocate(&mut lock, &map(&[("a", system(None)), ("b", system(None))]), &Needs::new(), &fixed()).unwrap();
        let before = lock.clone();
        allocate(&mut lock, &map(&[("aa", system(None)), ("b", system(None))]), &Needs::new(), &fixed()).unwrap();
        assert_eq!(lock.users, map(&[("a", 100), ("aa", 102), ("b", 101)]));
        let mut again = lock.clone();
        allocate(&mut again, &map(&[("aa", system(None)), ("b", system(None))]), &Needs::new(), &fixed()).unwrap();
        assert_eq!(again, lock);
        assert_ne!(before.users, lock.users);
    }

    #[test]
    fn impossible_demands_are_told() {
        let mut lock = LockFile { users: map(&[("a", 1000)]), ..LockFile::default() };
        let e = allocate(&mut lock, &map(&[("a", person(Some(1001)))]), &Needs::new(), &fixed()).unwrap_err();
        assert!(e.contains("for ever"), "{e}");
        let e = allocate(&mut lock, &map(&[("b", person(Some(1000)))]), &Needs::new(), &fixed()).unwrap_err();
        assert!(e.contains("belongs to a"), "{e}");
        let e = allocate(&mut lock, &map(&[("b", person(Some(0)))]), &Needs::new(), &fixed()).unwrap_err();
        assert!(e.contains("belongs to root"), "{e}");
        let e = allocate(&mut lock, &map(&[("root", person(Some(5)))]), &Needs::new(), &fixed()).unwrap_err();
        assert!(e.contains("has the id 0 for ever"), "{e}");
        // What a package would like gives way.
        allocate(&mut lock, &map(&[("c", system(Some(1000))), ("nobody", system(Some(7)))]), &Needs::new(), &fixed())
            .unwrap();
        assert_eq!(lock.users, map(&[("a", 1000), ("c", 100)]));
    }

    #[test]
    fn running_out_is_told() {
        let many: Needs = (0..901).map(|i| (format!("u{i}"), system(None))).collect();
        let e = allocate(&mut LockFile::default(), &many, &Needs::new(), &fixed()).unwrap_err();
        assert!(e.contains("100-999"), "{e}");
    }
}
