//! The stable codes of diagnostics. Scripts and pages may rely on them; `docs/diagnostics.md` has a paragraph for each.

/// A code and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The code: words joined by hyphens, never changed once published.
    pub name: &'static str,
    /// What it says, in one sentence.
    pub meaning: &'static str,
}

macro_rules! codes {
    ($($name:literal: $meaning:literal,)*) => {
        /// Every code there is, sorted.
        pub const CODES: &[Code] = &[$(Code { name: $name, meaning: $meaning }),*];
    };
}

codes! {
    "bad-lock": "A lock.toml is damaged or was edited by hand.",
    "bad-mode": "Permission bits are not octal text such as \"0644\".",
    "bad-name": "A name has characters or a length that Debian or Regrow cannot take.",
    "bad-path": "A path is not an absolute, plain path of the image, or leads out of it.",
    "bad-publish": "A published port is not \"address:port:port\".",
    "bad-value": "A value has the right type but not a form that means something.",
    "check-kind": "A check has no kind, several kinds, or a key of another kind.",
    "conflicting-keys": "Keys of one table exclude each other.",
    "duplicate-file": "One path of the image is declared twice.",
    "duplicate-id": "Two accounts or groups have the same number.",
    "duplicate-object": "One object is written in two files of a server.",
    "duplicate-port": "Two published ports listen on the same address.",
    "file-too-large": "A file of the fleet is larger than Regrow takes.",
    "invalid-toml": "The text is not TOML at this place.",
    "missing-file": "A file that is referred to, or that every fleet has, is not there.",
    "missing-key": "A table is incomplete without this key.",
    "not-text": "A file that must be text is not UTF-8.",
    "overlapping-state": "State paths lie inside each other, or files are declared where state covers them.",
    "secret-in-text": "A password or a private key stands in the text.",
    "unknown-key": "A key has no meaning here.",
    "unknown-package": "No archive of the fleet has a package of this name.",
    "unknown-role": "A server names a role that is not in roles/.",
    "unknown-service": "A unit is named that nothing is known to bring.",
    "unknown-suite": "An archive names a suite that is not one of Debian's.",
    "unknown-user": "A user or group is named that nothing is known to make.",
    "unreadable": "A file or directory of the fleet cannot be read.",
    "wrong-type": "A value has another type than its key needs.",
}

/// The code called `name`.
pub fn find(name: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(CODES.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
