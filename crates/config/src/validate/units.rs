//! Units: every one that is named is brought by something.

use super::Scene;
use crate::model::CheckKind;
use crate::read::Report;
use crate::read::near::did_you_mean;
use crate::read::rules::full_unit_name;

/// Units that packages bring under a name that is not the package's.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("apt-daily", "apt"),
    ("apt-daily-upgrade", "apt"),
    ("bacula-fd", "bacula-fd"),
    ("containerd", "containerd"),
    ("e2scrub_all", "e2fsprogs"),
    ("fstrim", "util-linux"),
    ("gdm", "gdm3"),
    ("ifup", "ifupdown"),
    ("mysql", "mariadb-server"),
    ("named", "bind9"),
    ("networking", "ifupdown"),
    ("nfs-server", "nfs-kernel-server"),
    ("nmbd", "samba"),
    ("smbd", "samba"),
    ("ssh", "openssh-server"),
    ("sshd", "openssh-server"),
    ("virtlogd", "libvirt-daemon"),
    ("wg-quick", "wireguard-tools"),
    ("zfs-mount", "zfsutils-linux"),
];

/// Units of systemd itself (beside those called systemd-*).
const OF_SYSTEMD: &[&str] = &[
    "autovt",
    "console-getty",
    "container-getty",
    "dbus",
    "debug-shell",
    "emergency",
    "getty",
    "init",
    "initrd-cleanup",
    "kmod",
    "ldconfig",
    "modprobe",
    "proc-sys-fs-binfmt_misc",
    "rc-local",
    "rescue",
    "serial-getty",
    "sys-fs-fuse-connections",
    "tmp",
    "udev",
    "user",
    "user-runtime-dir",
    "dev-hugepages",
    "dev-mqueue",
];

pub(super) fn validate(scene: &mut Scene<'_>) {
    let server = scene.server;
    for (name, service) in &server.services {
        if !is_known(scene, name) {
            report_unknown(scene, scene.key_at(&["services", name]), name);
        }
        if service.masked && service.enabled == Some(true) {
            let report = Report::new("conflicting-keys", format!("`services.{name}` is both enabled and masked"));
            scene.error(scene.key_at(&["services", name, "masked"]), report.help("keep one of them"));
        }
    }
    for (name, check) in &server.checks {
        if let CheckKind::Unit { unit } = &check.kind
            && !is_known(scene, unit)
        {
            report_unknown(scene, scene.at(&["checks", name, "unit"]), unit);
        }
    }
    for name in server.timers.keys() {
        let taken = ["service", "timer"].map(|suffix| format!("{name}.{suffix}"));
        if server.services.contains_key(name)
            || taken.iter().any(|unit| brought_by_file(scene, unit))
            || catalog_has(scene, name)
        {
            let message = format!("the timer `{name}` would take the place of the unit {name}.service");
            let report = Report::new("bad-name", message).help("give the timer another name");
            scene.error(scene.key_at(&["timers", name]), report);
        }
    }
}

/// The name without instance and suffix: `postgresql@17-main.service` is `postgresql`.
fn stem(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once('.') {
        Some((stem, suffix)) if full_unit_name(name) == name && !suffix.is_empty() => stem,
        _ => name,
    }
}

fn is_known(scene: &Scene<'_>, name: &str) -> bool {
    let unit = full_unit_name(name);
    let stem = stem(name);
    unit.ends_with(".target")
        || unit.ends_with(".slice")
        || stem.starts_with("systemd-")
        || stem.starts_with("regrow-")
        || OF_SYSTEMD.contains(&stem)
        || scene.server.timers.contains_key(stem)
        || brought_by_file(scene, &unit)
        // From here on the lock may be asked, which is long: what needs none comes first.
        || scene.server.packages.keys().any(|package| is_of(package, stem))
        || catalog_has(scene, stem)
        || OTHER_NAMES.iter().any(|(other, package)| *other == stem && scene.has_package(package))
        || scene.lock().is_some_and(|lock| lock.packages.keys().any(|package| is_of(package, stem)))
}

/// Whether a package of this name may well bring a unit of this name: one is the beginning of the other
/// (`mariadb-server` brings `mariadb`, `redis` pulls in `redis-server`).
fn is_of(package: &str, stem: &str) -> bool {
    let begins = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(['-', '.', '@', '_']) || rest.starts_with(|c: char| c.is_ascii_digit())
        })
    };
    begins(package, stem) || begins(stem, package) || package.strip_prefix("openssh-") == Some(stem)
}

fn brought_by_file(scene: &Scene<'_>, unit: &str) -> bool {
    let template = unit.split_once('@').and_then(|(name, rest)| Some(format!("{name}@.{}", rest.rsplit_once('.')?.1)));
    ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"].iter().any(|dir| {
        [Some(unit.to_owned()), template.clone()].into_iter().flatten().any(|unit| {
            let path = format!("{dir}/{unit}");
            scene.server.files.contains_key(&path) || scene.server.root_files.contains_key(&path)
        })
    })
}

fn catalog_has(scene: &Scene<'_>, name: &str) -> bool {
    scene
        .fleet
        .catalog
        .entries()
        .filter(|entry| entry.units.iter().any(|unit| stem(unit) == name))
        .any(|entry| entry.packages.iter().chain(&entry.applies_to).any(|package| scene.has_package(package)))
}

fn report_unknown(scene: &mut Scene<'_>, at: crate::read::At, name: &str) {
    let catalog = scene.fleet.catalog.entries().flat_map(|entry| &entry.units);
    let candidates = scene.server.packages.keys().chain(catalog).map(String::as_str).chain(OF_SYSTEMD.iter().copied());
    let help = did_you_mean(stem(name), candidates).unwrap_or_else(|| {
        "add the package that brings it, or the unit's file below root/etc/systemd/system/".to_owned()
    });
    let message = format!("nothing is known to bring the unit {}", full_unit_name(name));
    // Only a warning: what a package brings is certain only once it is unpacked.
    scene.warning(at, Report::new("unknown-service", message).label("not known").help(help));
}
