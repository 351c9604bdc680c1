//! Paths: of the image, of the fleet, of the host.

use super::words;
use crate::read::Report;

/// Checks that `text` is an absolute path of the image in its plain form; says what is wrong otherwise.
///
/// Plain: no empty, `.` or `..` part, no final `/`, no control characters, not `/` itself.
pub(crate) fn normal_path(text: &str) -> Result<String, Report> {
    let bad = |why: &str| Report::new("bad-path", format!("{text:?} is no path of the image: {why}"));
    if text.chars().any(char::is_control) {
        return Err(bad("it has control characters"));
    }
    let Some(rest) = text.strip_prefix('/') else {
        return Err(bad("it does not begin with `/`").help(format!("write it from the root: \"/{text}\"")));
    };
    if rest.is_empty() {
        return Err(bad("it is the root itself"));
    }
    if text.len() > 4095 || rest.split('/').any(|part| part.len() > 255) {
        return Err(bad("it is too long"));
    }
    if rest.split('/').any(|part| part == "..") {
        return Err(bad("`..` could lead out of the image").help("write the path without `..`"));
    }
    if rest.split('/').any(|part| part.is_empty() || part == ".") {
        let plain: Vec<&str> = rest.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        return Err(bad("it is not in its plain form").help(format!("write it as \"/{}\"", plain.join("/"))));
    }
    Ok(text.to_owned())
}

words! {
    /// An absolute path of the image.
    AbsolutePath -> String, pattern "^/[^\\u0000]+$", |text| normal_path(text);

    /// A path of the image that other programs read from a line of fields (`/etc/passwd`).
    HomePath -> String, pattern "^/[^:\\n]+$", |text| {
        if text.contains(':') {
            return Err(Report::new("bad-path", format!("{text:?} must not contain `:`")));
        }
        if text == "/" { Ok(text.to_owned()) } else { normal_path(text) }
    };

    /// A file of the fleet, relative to it.
    FleetPath -> String, pattern "^[^/].*$", |text| {
        let bad = |why: &str| Err(Report::new("bad-path", format!("{text:?} is no path of the fleet: {why}"))
            .help("write it relative to the fleet's directory, such as \"files/motd\""));
        if text.is_empty() { bad("it is empty") }
        else if text.starts_with('/') { bad("it is absolute") }
        else if text.chars().any(char::is_control) { bad("it has control characters") }
        else if text.split('/').any(|part| part == "..") { bad("`..` could lead out of the fleet") }
        else if text.split('/').any(|part| part.is_empty() || part == ".") { bad("it is not in its plain form") }
        else if text == ".git" || text.starts_with(".git/") { bad("git's own directory is not text") }
        else { Ok(text.to_owned()) }
    };

    /// A file on the host that holds public keys.
    KeyringPath -> String, pattern "^/.+$", |text| {
        if text.starts_with('/') && !text.chars().any(char::is_control) { Ok(text.to_owned()) } else {
            Err(Report::new("bad-path", format!("{text:?} is no absolute path"))
                .help("name the keyring by its whole path, such as \"/usr/share/keyrings/debian-archive-keyring.gpg\""))
        }
    };

    /// Where a symbolic link points: anything, kept as written.
    LinkTarget -> String, |text| {
        if text.is_empty() || text.chars().any(char::is_control) || text.len() > 4095 {
            Err(Report::new("bad-path", format!("{text:?} is no target for a symbolic link")))
        } else { Ok(text.to_owned()) }
    };

    /// An absolute path of the image in which `*` and `?` match within one part.
    ScrubPattern -> String, pattern "^/.+$", |text| normal_path(text);

    /// A pattern below a state path.
    Exclude -> String, |text| {
        if text.is_empty() || text.chars().any(char::is_control) {
            Err(Report::new("bad-value", format!("{text:?} is no pattern")).help("write it like \"cache/**\" or \"*.tmp\""))
        } else { Ok(text.to_owned()) }
    };
}
