//! Services of the text: enabled, disabled, masked, overridden, as `systemctl` would do it.

use std::collections::BTreeSet;

use regrow_config::{Server, Service};

use super::Target;
use super::units::{self, ADMIN_DIR, Unit};
use crate::error::BuildError;

pub(super) fn apply(target: &mut Target<'_>, server: &Server) -> Result<(), BuildError> {
    for (key, service) in &server.services {
        let name = Service::unit(key);
        let found = units::find(target, &name)?;
        let is_masked_already =
            target.tree.get(format!("{ADMIN_DIR}/{name}")).and_then(|e| e.as_symlink()) == Some(b"/dev/null");
        let Some(unit) = found.or(is_masked_already.then(|| Unit {
            name: name.clone(),
            path: String::new(),
            install: units::Install::default(),
        })) else {
            let near = units::near(target, &name);
            return Err(BuildError::NoSuchUnit { service: key.clone(), unit: name, near });
        };
        let table = format!("services.{key}");
        if let Some(text) = &service.r#override {
            target.put_text(&format!("{table}.override"), &format!("{ADMIN_DIR}/{}.d/regrow.conf", unit.name), text)?;
        }
        match service.enabled {
            Some(true) => {
                unmask(target, &unit.name);
                let unit = units::find(target, &name)?.unwrap_or_else(|| unit.clone());
                enable(target, &table, &unit, &mut BTreeSet::new())?;
            }
            Some(false) => disable(target, &unit, &mut BTreeSet::new())?,
            None => {}
        }
        if service.masked {
            target.put_link(&format!("{table}.masked"), &format!("{ADMIN_DIR}/{}", unit.name), "/dev/null")?;
        } else {
            unmask(target, &unit.name);
        }
    }
    Ok(())
}

/// Takes a mask away; says nothing if there is none.
fn unmask(target: &mut Target<'_>, unit: &str) {
    let path = format!("{ADMIN_DIR}/{unit}");
    if target.tree.get(&path).and_then(|e| e.as_symlink()) == Some(b"/dev/null") {
        target.tree.remove(path);
    }
}

/// Makes the links that the unit's `[Install]` section asks for.
fn enable(target: &mut Target<'_>, key: &str, unit: &Unit, seen: &mut BTreeSet<String>) -> Result<(), BuildError> {
    if !seen.insert(unit.name.clone()) {
        return Ok(());
    }
    if unit.install.is_empty() {
        let why =
            format!("{} has no [Install] section: other units start it, and it can't be enabled by itself", unit.name);
        return Err(BuildError::text(format!("{key}.enabled"), why));
    }
    // A template is enabled as its default instance.
    let name = match (&unit.install.default_instance, unit.name.split_once("@.")) {
        (Some(instance), Some((stem, kind))) => format!("{stem}@{instance}.{kind}"),
        _ => unit.name.clone(),
    };
    for (kind, targets) in [
        ("wants", &unit.install.wanted_by),
        ("requires", &unit.install.required_by),
        ("upholds", &unit.install.upheld_by),
    ] {
        for wanting in targets {
            target.put_link(key, &format!("{ADMIN_DIR}/{wanting}.{kind}/{name}"), &unit.path)?;
        }
    }
    for alias in &unit.install.alias {
        if *alias != name {
            target.put_link(key, &format!("{ADMIN_DIR}/{alias}"), &unit.path)?;
        }
    }
    for other in &unit.install.also {
        // One that is not installed is no error for systemctl either.
        if let Some(other) = units::find(target, other)?.filter(|u| !u.install.is_empty()) {
            enable(target, key, &other, seen)?;
        }
    }
    Ok(())
}

/// Removes every link by which something starts the unit, and its aliases.
fn disable(target: &mut Target<'_>, unit: &Unit, seen: &mut BTreeSet<String>) -> Result<(), BuildError> {
    if !seen.insert(unit.name.clone()) {
        return Ok(());
    }
    for kind in ["wants", "requires", "upholds"] {
        target.tree.remove_matching(format!("{ADMIN_DIR}/*.{kind}/{}", unit.name));
    }
    for alias in &unit.install.alias {
        let path = format!("{ADMIN_DIR}/{alias}");
        if *alias != unit.name && target.tree.get(&path).is_some_and(|e| e.as_symlink().is_some()) {
            target.tree.remove(path);
        }
    }
    for other in &unit.install.also {
        if let Some(other) = units::find(target, other)? {
            disable(target, &other, seen)?;
        }
    }
    Ok(())
}
