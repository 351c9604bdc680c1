//! Finding private keys in files.
//!
//! A key is looked for by its armour (RFC 7468 and the same form of OpenSSH and PGP): a header line, a body of base64,
//! a footer line. A program or a page that merely mentions the header is none.

/// Files longer than this are not looked into, in bytes: no key is so long, and big files are archives and programs.
pub(crate) const MAX: usize = 1 << 20;

const MARK: &[u8] = b"PRIVATE KEY";

/// Whether `bytes` hold an armoured private key.
pub(crate) fn is_in(bytes: &[u8]) -> bool {
    bytes.len() <= MAX && memchr::memmem::find_iter(bytes, MARK).any(|at| is_header(bytes, at))
}

/// Whether the mark at `at` stands in a header that a body and a footer follow.
fn is_header(bytes: &[u8], at: usize) -> bool {
    let line = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let rest = &bytes[at + MARK.len()..];
    let rest = rest.strip_prefix(b" BLOCK").unwrap_or(rest);
    let Some(rest) = rest.strip_prefix(b"-----") else { return false };
    let Some(begin) = memchr::memmem::rfind(&bytes[line..at], b"-----BEGIN ") else { return false };
    let label = &bytes[line + begin + 11..at];
    if !label.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b' ') {
        return false;
    }
    let Some(end) = memchr::memmem::find(rest, b"-----END ") else { return false };
    // Only lines of base64 count; headers of old PEM and PGP ("Proc-Type: …") stand before them.
    let body: usize = rest[..end]
        .split(|b| *b == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|l| l.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')))
        .map(<[u8]>::len)
        .sum();
    body >= 40
}

/// Whether a path is where packages ship examples and test data: keys there are public already and serve nobody.
pub(crate) fn is_example(path: &[u8]) -> bool {
    path.starts_with(b"/usr/share/doc/")
        || path.split(|b| *b == b'/').any(|part| {
            let part = part.to_ascii_lowercase();
            matches!(
                part.as_slice(),
                b"example" | b"examples" | b"test" | b"tests" | b"testdata" | b"testing" | b"demo" | b"demos"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armoured(label: &str, body: &str) -> Vec<u8> {
        format!("some text\n-----BEGIN {label}-----\n{body}\n-----END {label}-----\n").into_bytes()
    }

    #[test]
    fn keys_of_all_common_forms_are_found() {
        let body = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
        for label in [
            "PRIVATE KEY",
            "RSA PRIVATE KEY",
            "EC PRIVATE KEY",
            "OPENSSH PRIVATE KEY",
            "ENCRYPTED PRIVATE KEY",
            "PGP PRIVATE KEY BLOCK",
        ] {
            assert!(is_in(&armoured(label, body)), "{label}");
            assert!(is_in(&armoured(label, &format!("Proc-Type: 4,ENCRYPTED\n\n{body}"))), "{label} with headers");
        }
    }

    #[test]
    fn mentions_and_public_keys_are_not() {
        let body = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
        assert!(!is_in(&armoured("PUBLIC KEY", body)));
        assert!(!is_in(&armoured("CERTIFICATE", body)));
        assert!(!is_in(b"grep -q -e '-----BEGIN PRIVATE KEY-----' file"));
        assert!(!is_in(&armoured("PRIVATE KEY", "...")));
        assert!(!is_in(b"the PRIVATE KEY is secret"));
        assert!(!is_in(b"PRIVATE KEY-----"));
    }

    #[test]
    fn examples_are_told_by_their_path() {
        assert!(is_example(b"/usr/share/doc/x/key.pem"));
        assert!(is_example(b"/usr/share/perl5/Net/SSL/t/../tests/key.pem"));
        assert!(!is_example(b"/etc/ssl/private/ssl-cert-snakeoil.key"));
    }
}
