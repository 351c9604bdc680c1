//! Names that come from text, made safe as names of directories.

use crate::{Error, Result};

/// Longest name of a directory entry on the file systems we know, in bytes.
const MAX_NAME: usize = 255;

/// Accepts a volume's or a snapshot's name: 1 to 100 of `A-Z a-z 0-9 . _ -`, not beginning with `.` or `-`.
///
/// # Errors
/// [`Error::Name`] with what is wrong.
pub fn check_id(what: &'static str, name: &str) -> Result<()> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > 100 {
        "it is longer than 100 characters"
    } else if name.starts_with(['.', '-']) {
        "it begins with a dot or a dash"
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        "only letters, digits, `.`, `_` and `-` are allowed"
    } else {
        return Ok(());
    };
    Err(Error::Name { what, name: name.to_owned(), why })
}

/// The directory name of an absolute path: `/var/lib/a-b` becomes `var-lib-a\x2db`, as systemd escapes unit names.
///
/// Different paths have different names. `volume` is for the error only.
///
/// # Errors
/// [`Error::Path`] if the path is not absolute and plain, is the root, or is too long for one name.
pub fn path_to_name(volume: &str, path: &str) -> Result<String> {
    let bad = |why| Error::Path { volume: volume.to_owned(), path: path.to_owned(), why };
    let Some(inner) = path.strip_prefix('/') else { return Err(bad("it must begin with `/`")) };
    if inner.is_empty() {
        return Err(bad("the whole root cannot be state"));
    }
    if inner.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(bad("it must not have empty parts, `.`, `..` or a `/` at its end"));
    }
    if inner.contains('\0') {
        return Err(bad("it has a zero byte"));
    }
    let mut name = String::with_capacity(inner.len());
    for c in inner.chars() {
        match c {
            '/' => name.push('-'),
            // A leading dot would make the name one of our temporary ones.
            '.' if name.is_empty() => name.push_str("\\x2e"),
            c if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':') => name.push(c),
            c => {
                let mut utf8 = [0; 4];
                for b in c.encode_utf8(&mut utf8).bytes() {
                    name.push_str(&format!("\\x{b:02x}"));
                }
            }
        }
    }
    // ".seeded" is appended for the marker.
    if name.len() + ".seeded".len() > MAX_NAME {
        return Err(bad("it is too long"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_with_path_syntax_are_refused() {
        for good in ["a", "database", "2026-11-22T10.00.00Z-1", "A_b.c"] {
            check_id("the volume", good).unwrap();
        }
        for bad in ["", ".", "..", ".tmp-x", "-rf", "a/b", "a\0b", "ä", "a b", &"x".repeat(101)] {
            assert!(check_id("the volume", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn paths_become_readable_distinct_names() {
        assert_eq!(path_to_name("v", "/var/lib/postgresql").unwrap(), "var-lib-postgresql");
        assert_eq!(path_to_name("v", "/var/lib/a-b").unwrap(), "var-lib-a\\x2db");
        assert_eq!(path_to_name("v", "/.x").unwrap(), "\\x2ex");
        assert_ne!(path_to_name("v", "/a-b").unwrap(), path_to_name("v", "/a/b").unwrap());
        assert_ne!(path_to_name("v", "/a\\x2db").unwrap(), path_to_name("v", "/a-b").unwrap());
    }

    #[test]
    fn paths_that_are_not_plain_are_refused() {
        for bad in ["", "/", "a", "/a/", "/a//b", "/a/../b", "/./a", "/a\0", &format!("/{}", "é".repeat(100))] {
            assert!(path_to_name("v", bad).is_err(), "{bad:?}");
        }
    }
}
