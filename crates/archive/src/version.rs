//! Debian versions: their order, and which strings are one.
//!
//! The order is that of deb-version(7), by the crate `deb-version`; a test compares it with `dpkg --compare-versions`.

use std::cmp::Ordering;

/// Orders two versions as dpkg does. A missing epoch, revision or number counts as 0.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    if a == b { Ordering::Equal } else { deb_version::compare_versions(a, b) }
}

/// Whether `text` can be a version: a digit first (after an epoch), and only characters that policy allows.
pub(crate) fn is_valid(text: &str) -> bool {
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) => (epoch, rest),
        None => ("0", text),
    };
    !epoch.is_empty()
        && epoch.len() <= 9
        && epoch.bytes().all(|b| b.is_ascii_digit())
        && rest.starts_with(|c: char| c.is_ascii_digit())
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-~:".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use regrow_host::program::Program;

    /// Versions that differ in the ways that have broken other implementations.
    const VERSIONS: &[&str] = &[
        "0",
        "0-0",
        "0:0",
        "1",
        "1.0",
        "1.00",
        "1.0-0",
        "1.0-1",
        "1.0-1+b1",
        "1.0~",
        "1.0~~",
        "1.0~rc1-1",
        "1.0+dfsg-3",
        "1.0+dfsg0-1",
        "1.0a",
        "1.0a0",
        "1.0a1",
        "1.0.a",
        "1.0+a",
        "1:0.1",
        "1.10",
        "1.9",
        "1.09",
        "2.0-1~deb13u1",
        "2.0-1+deb13u1",
        "2.0-1",
        "9999999999999999999999",
        "10000000000000000000000",
        "1.16.2+ds-1+b3",
        "1.16.2+ds0-1",
        "3.1.2+dfsg-3",
        "3.1.2+dfsg0-1",
        "1-1-1",
        "1-1.1",
    ];

    #[test]
    fn order_is_that_of_dpkg() {
        // One shell-free call per pair would take long: dpkg itself is asked for a sample that covers every version twice.
        for (i, a) in VERSIONS.iter().enumerate() {
            for step in [1, 3, 7] {
                let b = VERSIONS[(i + step) % VERSIONS.len()];
                let relation = match compare(a, b) {
                    Ordering::Less => "lt",
                    Ordering::Equal => "eq",
                    Ordering::Greater => "gt",
                };
                let output =
                    Program::new("dpkg", "dpkg").args(["--compare-versions", a, relation, b]).output().unwrap();
                assert!(output.status.success(), "dpkg does not say {a} {relation} {b}");
            }
        }
    }

    #[test]
    fn order_is_antisymmetric_and_transitive() {
        for a in VERSIONS {
            for b in VERSIONS {
                assert_eq!(compare(a, b), compare(b, a).reverse(), "{a} {b}");
                for c in VERSIONS {
                    if compare(a, b).is_le() && compare(b, c).is_le() {
                        assert!(compare(a, c).is_le(), "{a} {b} {c}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_a_version() {
        for good in ["1", "1:2.3-4", "2.0~rc1+dfsg-1+b2", "1-1-1"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", ":1", "a1", "1 2", "1/2", "x:1", "1:", "99999999999:1"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
