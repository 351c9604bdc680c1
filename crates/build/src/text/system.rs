//! The machine's own settings: names, time zone, locale, kernel settings, timers, mount points.

use regrow_config::Server;
use regrow_config::catalog::IDENTITY_DIR;

use super::{Target, units};
use crate::error::BuildError;

/// Host name, hosts, time zone, locale, sysctl, and what tells systemd that the image is complete.
pub(super) fn apply(target: &mut Target<'_>, server: &Server) -> Result<(), BuildError> {
    let host = &server.system.hostname;
    target.put_text("system.hostname", "/etc/hostname", &format!("{host}\n"))?;
    let hosts = format!(
        "127.0.0.1\tlocalhost\n127.0.1.1\t{host}\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    );
    target.put_text("system.hostname", "/etc/hosts", &hosts)?;
    timezone(target, &server.system.timezone)?;
    locale(target, &server.system.locale)?;
    if !server.sysctl.is_empty() {
        let text: String = server.sysctl.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        target.put_text("sysctl", "/etc/sysctl.d/99-regrow.conf", &text)?;
    }
    if target.exists("/usr/lib/systemd/systemd") {
        let meta = target.meta(0o444);
        target.put("machine-id", "/etc/machine-id", b"", meta)?;
        // As old as /usr itself: what systemd would make anew after an update of /usr is up to date.
        for dir in ["/etc", "/var"] {
            target.put_text("systemd", &format!("{dir}/.updated"), "")?;
        }
    }
    Ok(())
}

fn timezone(target: &mut Target<'_>, zone: &str) -> Result<(), BuildError> {
    let file = format!("/usr/share/zoneinfo/{zone}");
    if target.exists(&file) {
        target.put_link("system.timezone", "/etc/localtime", &file)?;
    } else if matches!(zone, "Etc/UTC" | "UTC") {
        // Without time zones and without a link, everything is UTC.
        let place = target.place("/etc/localtime");
        target.tree.remove(place);
    } else {
        let why = format!("the image does not know {zone}; add the package tzdata (for old names, tzdata-legacy)");
        return Err(BuildError::text("system.timezone", why));
    }
    target.put_text("system.timezone", "/etc/timezone", &format!("{zone}\n"))
}

fn locale(target: &mut Target<'_>, locale: &str) -> Result<(), BuildError> {
    // Compiled locales are named with the code set in its short form: de_DE.UTF-8 is de_DE.utf8.
    let compiled = match locale.split_once('.') {
        Some((name, codeset)) => format!("{name}.{}", codeset.to_ascii_lowercase().replace('-', "")),
        None => locale.to_owned(),
    };
    let is_there = matches!(locale, "C" | "POSIX" | "C.UTF-8") || target.exists(&format!("/usr/lib/locale/{compiled}"));
    if !is_there {
        let why = format!("the image does not know the locale {locale}; add the package locales-all");
        return Err(BuildError::text("system.locale", why));
    }
    // One of the two is a link to the other, or neither is there.
    let path = match target.tree.resolve("/etc/default/locale") {
        Some(real) => String::from_utf8_lossy(&real).into_owned(),
        None => "/etc/default/locale".to_owned(),
    };
    target.put_text("system.locale", &path, &format!("LANG={locale}\n"))
}

/// Timers of the text: a timer and the service it starts.
pub(super) fn timers(target: &mut Target<'_>, server: &Server) -> Result<(), BuildError> {
    for (name, timer) in &server.timers {
        let key = format!("timers.{name}");
        if !target.users.contains_key(&timer.user) {
            let why = format!("there is no such account in the image: {}", timer.user);
            return Err(BuildError::text(format!("{key}.user"), why));
        }
        let command: Vec<String> = timer.command.iter().map(|w| units::quote(w)).collect();
        let user = if timer.user == "root" { String::new() } else { format!("User={}\n", timer.user) };
        let service = format!(
            "[Unit]\nDescription={name}, started by its timer\n\n[Service]\nType=oneshot\n{user}ExecStart={}\n",
            command.join(" ")
        );
        let persistent = if timer.persistent { "Persistent=true\n" } else { "" };
        let unit = format!(
            "[Unit]\nDescription=When to start {name}\n\n[Timer]\nOnCalendar={}\n{persistent}\n[Install]\nWantedBy=timers.target\n",
            timer.on_calendar
        );
        let path = format!("{}/{name}.timer", units::ADMIN_DIR);
        target.put_text(&key, &format!("{}/{name}.service", units::ADMIN_DIR), &service)?;
        target.put_text(&key, &path, &unit)?;
        target.put_link(&key, &format!("{}/timers.target.wants/{name}.timer", units::ADMIN_DIR), &path)?;
    }
    Ok(())
}

/// Directories that state and identity are mounted on.
pub(super) fn mount_points(target: &mut Target<'_>, server: &Server) -> Result<(), BuildError> {
    let declared = server
        .state
        .iter()
        .flat_map(|(name, state)| state.paths.iter().map(move |p| (format!("state.{name}"), p.as_str())));
    let all: Vec<(String, &str)> = declared.chain([("identity".to_owned(), IDENTITY_DIR)]).collect();
    for (key, path) in all {
        match target.tree.resolve(path).and_then(|p| target.tree.get(p)) {
            Some(entry) if entry.as_dir().is_some() => {}
            Some(_) => return Err(BuildError::text(key, format!("{path} is no directory in the image"))),
            None => {
                let meta = target.meta(0o755);
                target.put_dir(&key, path, meta)?;
            }
        }
    }
    Ok(())
}
