//! Signed text: the verifier that apt calls, called the same way.
//!
//! `InRelease` is split into its message and its signature, and the program gets both as files: so what was verified is
//! exactly what is read afterwards, and nothing before, between or after the armour is ever looked at.
//! `sqv` is preferred (Debian 13's apt uses it), `gpgv` is the fallback; both judge algorithms, expiry and revocation.

use std::path::{Path, PathBuf};

use regrow_host::fs;
use regrow_host::program::{Program, is_installed};

use crate::error::{Error, Result};

/// Something that says whether a detached signature is good.
pub(crate) trait VerifyIndex: Send + Sync + std::fmt::Debug {
    /// `Ok(Ok(()))` if at least one key in `keyring` has signed `message`; `Ok(Err(words))` if not.
    fn verify(&self, keyring: &Path, signature: &Path, message: &Path) -> Result<std::result::Result<(), String>>;
}

/// Sequoia's verifier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sqv;

/// GnuPG's verifier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gpgv;

/// The verifier of this machine: sqv, else gpgv.
pub(crate) fn verifier() -> Result<&'static dyn VerifyIndex> {
    if is_installed("sqv") {
        Ok(&Sqv)
    } else if is_installed("gpgv") {
        Ok(&Gpgv)
    } else {
        Err(Error::NoVerifier)
    }
}

impl VerifyIndex for Sqv {
    fn verify(&self, keyring: &Path, signature: &Path, message: &Path) -> Result<std::result::Result<(), String>> {
        let output = Program::new("sqv", "sqv").arg("--keyring").arg(keyring).arg(signature).arg(message).output()?;
        Ok(if output.status.success() { Ok(()) } else { Err(reason(&output.stderr, "sqv")) })
    }
}

impl VerifyIndex for Gpgv {
    fn verify(&self, keyring: &Path, signature: &Path, message: &Path) -> Result<std::result::Result<(), String>> {
        // gpgv has neither `--keyring` without its home directory nor a default that finds nothing: both are given.
        let home = message.parent().unwrap_or(Path::new("/"));
        let program = Program::new("gpgv", "gpgv").arg("--homedir").arg(home).args([
            "--weak-digest",
            "SHA1",
            "--weak-digest",
            "RIPEMD160",
            "--status-fd",
            "1",
            "--keyring",
        ]);
        let output = program.arg(keyring).arg(signature).arg(message).output()?;
        let status = String::from_utf8_lossy(&output.stdout);
        let lines = || status.lines().filter_map(|l| l.strip_prefix("[GNUPG:] "));
        // Its exit status is not 0 when one of several signatures has an unknown key. As apt does: one good signature is
        // needed (GOODSIG is not said of expired or revoked keys, VALIDSIG is) and no bad one.
        let good = lines().any(|l| l.starts_with("GOODSIG "));
        let bad = lines().any(|l| l.starts_with("BADSIG "));
        Ok(if good && !bad { Ok(()) } else { Err(reason(&output.stderr, "gpgv")) })
    }
}

fn reason(stderr: &str, program: &str) -> String {
    let lines: Vec<_> = stderr.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    if lines.is_empty() { format!("{program} says no") } else { lines.join("; ") }
}

/// The keyring as the programs want it: binary. An armoured one (`.asc`, `.pgp`) is decoded into `scratch`.
pub(crate) fn binary_keyring(keyring: &Path, scratch: &Path) -> Result<PathBuf> {
    let unusable = |reason: String| Error::Keyring { path: keyring.to_owned(), reason };
    let bytes = match fs::read(keyring) {
        Ok(bytes) => bytes,
        Err(e) if e.is_not_found() => return Err(unusable("it does not exist".to_owned())),
        Err(e) => return Err(unusable(format!("{}", e.source))),
    };
    if bytes.is_empty() {
        return Err(unusable("it is empty".to_owned()));
    }
    if !contains(&bytes, b"-----BEGIN PGP") {
        return Ok(keyring.to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|_| unusable("its armour is damaged".to_owned()))?;
    let mut binary = Vec::new();
    for block in text.split("-----BEGIN PGP PUBLIC KEY BLOCK-----").skip(1) {
        let body = block.split("-----END PGP PUBLIC KEY BLOCK-----").next().unwrap_or_default();
        binary.extend(dearmor(body).ok_or_else(|| unusable("its armour is damaged".to_owned()))?);
    }
    if binary.is_empty() {
        return Err(unusable("it holds no public key".to_owned()));
    }
    let path = scratch.join("keyring.gpg");
    fs::write_atomic(&path, &binary)?;
    Ok(path)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

/// The bytes of one armoured body: headers up to an empty line, base64, an optional `=checksum`.
fn dearmor(body: &str) -> Option<Vec<u8>> {
    let mut lines = body.lines().map(str::trim).skip_while(|l| l.is_empty()).peekable();
    if lines.peek().is_some_and(|l| l.contains(": ")) {
        for line in lines.by_ref() {
            if line.is_empty() {
                break;
            }
        }
    }
    let digits: String = lines.filter(|l| !(l.starts_with('=') && l.len() == 5)).collect();
    base64(&digits)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let (mut bits, mut held, mut out) = (0u32, 0, Vec::with_capacity(text.len() * 3 / 4));
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}

/// Splits a clear-signed text into its message and its armoured signature.
///
/// Strict: the text begins with the armour, has one message and one signature, and ends with it.
pub(crate) fn split_clear_signed(text: &str) -> std::result::Result<(String, String), &'static str> {
    const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
    const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
    const END: &str = "-----END PGP SIGNATURE-----";
    let mut lines = text.lines().map(|l| l.trim_end_matches([' ', '\t', '\r']));
    if lines.next() != Some(BEGIN) {
        return Err("it does not begin with a signed message");
    }
    for line in lines.by_ref() {
        if line.is_empty() {
            break;
        }
        if !line.starts_with("Hash: ") {
            return Err("its armour has an unknown header");
        }
    }
    let mut message = Vec::new();
    let mut signed = false;
    for line in lines.by_ref() {
        if line == SIGNATURE {
            signed = true;
            break;
        }
        match line.strip_prefix("- ") {
            Some(escaped) => message.push(escaped),
            None if line.starts_with('-') => return Err("its message has an unescaped dash"),
            None => message.push(line),
        }
    }
    if !signed {
        return Err("it has no signature");
    }
    let mut signature = vec![SIGNATURE];
    let mut ended = false;
    for line in lines.by_ref() {
        signature.push(line);
        if line == END {
            ended = true;
            break;
        }
    }
    if !ended {
        return Err("its signature is cut off");
    }
    if lines.any(|l| !l.is_empty()) {
        return Err("something follows its signature");
    }
    // The line end before the signature belongs to the armour, not to the message.
    Ok((message.join("\n"), signature.join("\n") + "\n"))
}

/// Verifies the files of a suite's index and returns the text that was signed.
///
/// `in_release` is the content of `InRelease`, or `detached` that of `Release` and `Release.gpg`. `scratch` is an empty
/// directory of the caller; `url` names the file in errors.
pub(crate) fn verify(signed: &Signed, keyring: &Path, scratch: &Path, url: &str) -> Result<String> {
    let refuse = |reason: &str| Error::Signature { url: url.to_owned(), reason: reason.to_owned() };
    let not_text = || refuse("it is no text");
    let (message, signature) = match signed {
        Signed::Inline(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|_| not_text())?;
            let (message, signature) = split_clear_signed(text).map_err(refuse)?;
            (message, signature.into_bytes())
        }
        Signed::Detached { release, signature } => {
            let message = String::from_utf8(release.clone()).map_err(|_| not_text())?;
            // gpgv wants binary or armour, as it comes; sqv too.
            (message, signature.clone())
        }
    };
    let keyring = binary_keyring(keyring, scratch)?;
    let (message_path, signature_path) = (scratch.join("Release"), scratch.join("Release.gpg"));
    fs::write_atomic(&message_path, message.as_bytes())?;
    fs::write_atomic(&signature_path, &signature)?;
    match verifier()?.verify(&keyring, &signature_path, &message_path)? {
        Ok(()) => Ok(message),
        Err(reason) => Err(refuse(&reason)),
    }
}

/// A signed file as it came from the server.
#[derive(Debug)]
pub(crate) enum Signed {
    /// `InRelease`.
    Inline(Vec<u8>),
    /// `Release` with `Release.gpg`.
    Detached {
        /// The text.
        release: Vec<u8>,
        /// Its signature, binary or armoured.
        signature: Vec<u8>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nA: 1 \n- -b\n-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n";

    #[test]
    fn message_and_signature_are_parted() {
        let (message, signature) = split_clear_signed(TEXT).unwrap();
        assert_eq!(message, "A: 1\n-b");
        assert!(signature.starts_with("-----BEGIN PGP SIGNATURE") && signature.ends_with("SIGNATURE-----\n"));
        assert_eq!(split_clear_signed(&TEXT.replace('\n', "\r\n")).unwrap().0, "A: 1\n-b");
    }

    #[test]
    fn text_outside_the_armour_is_refused() {
        for (text, word) in [
            (format!("X: 1\n{TEXT}"), "begin"),
            (format!("{TEXT}X: 1\n"), "follows"),
            (TEXT.replace("Hash: SHA256", "X: 1"), "header"),
            (TEXT.replace("- -b", "-b"), "dash"),
            (TEXT.replace("-----END PGP SIGNATURE-----\n", ""), "cut off"),
            (TEXT[..TEXT.find("-----BEGIN PGP SIGNATURE").unwrap()].to_owned(), "no signature"),
        ] {
            let e = split_clear_signed(&text).unwrap_err();
            assert!(e.contains(word), "{e} for {text}");
        }
    }

    #[test]
    fn armour_is_decoded() {
        assert_eq!(dearmor("\nComment: x\n\nSGVsbG8=\n=ABCD\n").unwrap(), b"Hello");
        assert_eq!(dearmor("\n\nSGVs\nbG8h\n").unwrap(), b"Hello!");
        assert!(dearmor("\n\nSG*s\n").is_none());
    }
}
