//! Names: of objects, accounts, packages, units, suites.

use super::words;
use crate::read::Report;
use crate::read::near::did_you_mean;

fn bad_name(what: &str, text: &str, rule: &str) -> Report {
    Report::new("bad-name", format!("{text:?} is no {what}")).help(rule)
}

fn is_lower_alnum(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

words! {
    /// The name of an object of ours (a check, a state, a timer, an archive, a server).
    ObjectName -> String, pattern "^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$", |text| {
        let fits = text.len() <= 63 && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if fits { Ok(text.to_owned()) } else {
            Err(bad_name("name for this", text, "use letters, digits, `-` and `_`; at most 63, the first a letter or digit"))
        }
    };

    /// The name of a role: `roles/<name>.toml`.
    RoleName -> String, pattern "^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$", |text| <ObjectName as super::Word>::parse(text);

    /// A user or group name as Debian takes it.
    AccountName -> String, pattern "^[a-z_][a-z0-9_-]{0,31}$", |text| {
        let fits = text.len() <= 32 && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && text.chars().all(|c| is_lower_alnum(c) || matches!(c, '_' | '-'));
        // Debian itself has a few names of another form.
        if fits || text == "Debian-exim" { Ok(text.to_owned()) } else {
            let rule = "use small letters, digits, `-` and `_`; at most 32, the first a letter or `_`";
            Err(bad_name("user or group name", text, rule))
        }
    };

    /// A Debian package name, without architecture.
    PackageName -> String, pattern "^[a-z0-9][a-z0-9+.-]+$", |text| {
        let fits = text.len() >= 2 && text.starts_with(is_lower_alnum)
            && text.chars().all(|c| is_lower_alnum(c) || matches!(c, '+' | '-' | '.'));
        if fits { Ok(text.to_owned()) } else if text.contains(':') {
            Err(bad_name("package name", text, "an architecture cannot be chosen per package"))
        } else {
            let rule = "use small letters, digits, `+`, `-` and `.`; at least two, the first a letter or digit";
            Err(bad_name("package name", text, rule))
        }
    };

    /// `*` or one Debian version.
    PackageVersion -> String, pattern "^(\\*|([0-9]+:)?[0-9][A-Za-z0-9.+~-]*)$", |text| {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let exact = epoch.parse::<u32>().is_ok() && rest.starts_with(|c: char| c.is_ascii_digit())
            && rest.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '~' | '-'));
        if text == "*" || exact { Ok(text.to_owned()) } else {
            let message = format!("{text:?} is neither `*` nor a Debian version");
            Err(Report::new("bad-value", message).help("write \"*\", or one exact version such as \"1.26.3-3+deb13u1\""))
        }
    };

    /// A systemd unit name; without suffix a service is meant.
    UnitName -> String, pattern "^[A-Za-z0-9:_.@\\\\-]{1,255}$", |text| {
        let fits = !text.is_empty() && text.len() <= 255 && !text.starts_with('.')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '.' | '@' | '\\' | '-'));
        if fits { Ok(text.to_owned()) } else {
            Err(bad_name("unit name", text, "write it as systemd does, such as `nginx` or `postgresql@17-main.service`"))
        }
    };

    /// A kernel setting: `net.ipv4.ip_forward`.
    SysctlName -> String, pattern "^[A-Za-z0-9_.*/-]+$", |text| {
        let fits = !text.is_empty() && text.contains(['.', '/']) && !text.contains("..")
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '*' | '/' | '-'));
        if fits { Ok(text.to_owned()) } else {
            let help = "write it in quotes with its dots, such as \"net.ipv4.ip_forward\" = 1";
            Err(bad_name("kernel setting", text, help))
        }
    };

    /// A suite of Debian.
    SuiteName -> String, |text| {
        let (release, pocket) = text.split_once('-').unwrap_or((text, ""));
        let pockets = if release == "sid" { &POCKETS[..1] } else { POCKETS };
        if RELEASES.contains(&release) && pockets.contains(&pocket) {
            return Ok(text.to_owned());
        }
        let known: Vec<String> = known_suites();
        let report = Report::new("unknown-suite", format!("{text:?} is not a suite of Debian")).label("not known");
        let help = match text {
            "stable" | "testing" | "unstable" | "oldstable" | "experimental" => {
                format!("`{text}` means another release every few years; name the release: {}", RELEASES.join(", "))
            }
            _ => did_you_mean(text, known.iter().map(String::as_str)).unwrap_or_else(|| {
                format!("known are {}, each also with -updates, -security and -backports", RELEASES.join(", "))
            }),
        };
        Err(report.help(help))
    };

    /// A component of an archive.
    Component -> String, pattern "^[a-z][a-z0-9-]*(/[a-z0-9-]+)*$", |text| {
        let fits = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| is_lower_alnum(c) || matches!(c, '-' | '/'))
            && !text.ends_with('/') && !text.contains("//");
        if fits { Ok(text.to_owned()) } else {
            Err(bad_name("component", text, "Debian has `main`, `contrib`, `non-free` and `non-free-firmware`"))
        }
    };

    /// A Debian architecture.
    Architecture -> String, choices ARCHITECTURES, |text| {
        if ARCHITECTURES.contains(&text) { return Ok(text.to_owned()) }
        let help = did_you_mean(text, ARCHITECTURES.iter().copied())
            .unwrap_or_else(|| format!("Debian has {}", ARCHITECTURES.join(", ")));
        Err(Report::new("bad-value", format!("{text:?} is not an architecture of Debian")).help(help))
    };
}

/// Releases that are known.
const RELEASES: &[&str] = &["bookworm", "trixie", "forky", "sid"];
const POCKETS: &[&str] = &["", "updates", "security", "backports"];
const ARCHITECTURES: &[&str] =
    &["amd64", "arm64", "armel", "armhf", "i386", "loong64", "mips64el", "ppc64el", "riscv64", "s390x"];

fn known_suites() -> Vec<String> {
    let with = |release: &str| -> Vec<String> {
        POCKETS.iter().map(|p| if p.is_empty() { release.to_owned() } else { format!("{release}-{p}") }).collect()
    };
    RELEASES.iter().flat_map(|release| if *release == "sid" { vec!["sid".to_owned()] } else { with(release) }).collect()
}

const UNIT_SUFFIXES: &[&str] = &[
    ".service",
    ".socket",
    ".timer",
    ".target",
    ".path",
    ".mount",
    ".automount",
    ".slice",
    ".scope",
    ".device",
    ".swap",
];

/// A unit name with its suffix; `.service` if it has none.
pub(crate) fn full_unit_name(name: &str) -> String {
    if UNIT_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) { name.to_owned() } else { format!("{name}.service") }
}
