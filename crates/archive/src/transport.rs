//! Bytes from a mirror: `http://`, `https://`, and directories of this machine (`file:///…`, `copy:/…`).
//!
//! Proxies come from the environment (`http_proxy`, `https_proxy`, `no_proxy`), certificate authorities from the
//! system's store (or `SSL_CERT_FILE`). What arrives here is not trusted: every caller checks digests.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};

/// Where a mirror is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Http,
    Directory(PathBuf),
}

/// A mirror: a base address below which `dists/` and `pool/` lie.
#[derive(Debug, Clone)]
pub(crate) struct Mirror {
    base: String,
    place: Place,
    agent: ureq::Agent,
}

/// An answer with a body to read.
pub(crate) struct Answer {
    /// The bytes, from `offset` on.
    pub body: Box<dyn Read + Send>,
    /// Where the body begins in the file: what was asked for, or 0 if the server cannot begin elsewhere.
    pub offset: u64,
    /// The size of the whole file, where the server says it.
    pub size: Option<u64>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("offset", &self.offset).field("size", &self.size).finish_non_exhaustive()
    }
}

/// Why one try gave nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Worth another try.
    Passing(String),
    /// The file is not there.
    NotFound,
    /// Another try would end the same.
    Lasting(String),
}

impl Failure {
    /// The error for the file at `url`.
    pub(crate) fn into_error(self, url: &str) -> Error {
        match self {
            Failure::Passing(reason) | Failure::Lasting(reason) => Error::Unreachable { url: url.to_owned(), reason },
            Failure::NotFound => Error::NotFound { url: url.to_owned() },
        }
    }
}

impl Mirror {
    /// Reads the address. Credentials in it are used, but never shown.
    pub(crate) fn new(address: &str) -> Result<Mirror> {
        let refuse = |reason: &str| Error::Mirror { mirror: hide_credentials(address), reason: reason.to_owned() };
        let base = address.trim_end_matches('/');
        if base.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(refuse("it has a space or control character"));
        }
        let (scheme, rest) = base.split_once(':').ok_or_else(|| refuse("it is no address such as http://…"))?;
        let place = match scheme {
            "http" | "https" => Place::Http,
            "file" | "copy" => {
                let path = rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
                if !path.starts_with('/') {
                    return Err(refuse("the directory is not absolute"));
                }
                Place::Directory(path.into())
            }
            _ => return Err(refuse("only http, https, file and copy are understood")),
        };
        let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier).build();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls)
            .user_agent(concat!("regrow/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_per_read(Some(Duration::from_secs(60)))
            .max_idle_connections_per_host(8)
            .build()
            .new_agent();
        Ok(Mirror { base: base.to_owned(), place, agent })
    }

    /// The address of a file below the mirror, for messages.
    pub(crate) fn url(&self, path: &str) -> String {
        hide_credentials(&format!("{}/{path}", self.base))
    }

    /// Opens the file at `path` from byte `offset` on. One try.
    pub(crate) fn open(&self, path: &str, offset: u64) -> std::result::Result<Answer, Failure> {
        match &self.place {
            Place::Directory(dir) => open_file(&dir.join(path), offset),
            Place::Http => self.open_http(path, offset),
        }
    }

    fn open_http(&self, path: &str, offset: u64) -> std::result::Result<Answer, Failure> {
        let mut request = self.agent.get(format!("{}/{}", self.base, encode(path)));
        if offset > 0 {
            request = request.header("Range", format!("bytes={offset}-"));
        }
        let response = request.call().map_err(|e| classify(&e))?;
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        match response.status().as_u16() {
            200 => {
                let size = header("content-length").and_then(|v| v.parse().ok());
                Ok(Answer { body: Box::new(response.into_body().into_reader()), offset: 0, size })
            }
            206 => {
                // "bytes 5-9/10"
                let range = header("content-range").unwrap_or_default();
                let (span, size) = range.strip_prefix("bytes ").and_then(|r| r.split_once('/')).unwrap_or_default();
                let start = span.split_once('-').and_then(|(s, _)| s.parse::<u64>().ok());
                if start != Some(offset) {
                    return Err(Failure::Lasting(format!(
                        "the server answered with the wrong part of the file (`{range}`)"
                    )));
                }
                Ok(Answer { body: Box::new(response.into_body().into_reader()), offset, size: size.parse().ok() })
            }
            // What we have is as long as the file, or longer: begin anew.
            416 if offset > 0 => self.open_http(path, 0),
            404 | 410 => Err(Failure::NotFound),
            status @ (408 | 425 | 429 | 500..=599) => Err(Failure::Passing(format!("the server answered {status}"))),
            status => Err(Failure::Lasting(format!("the server answered {status}"))),
        }
    }
}

fn open_file(path: &std::path::Path, offset: u64) -> std::result::Result<Answer, Failure> {
    let open = || -> io::Result<(File, u64)> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(offset.min(size)))?;
        Ok((file, size))
    };
    match open() {
        Ok((file, size)) => Ok(Answer { body: Box::new(file), offset: offset.min(size), size: Some(size) }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Failure::NotFound),
        Err(e) => Err(Failure::Lasting(e.to_string())),
    }
}

fn classify(error: &ureq::Error) -> Failure {
    match error {
        ureq::Error::HostNotFound => Failure::Passing("the host's address is not known".to_owned()),
        ureq::Error::Io(e) => Failure::Passing(e.to_string()),
        ureq::Error::Timeout(_) => Failure::Passing("the server did not answer in time".to_owned()),
        ureq::Error::ConnectionFailed => Failure::Passing("no connection".to_owned()),
        ureq::Error::Protocol(_) => Failure::Passing(error.to_string()),
        other => {
            let words = other.to_string();
            let help =
                if words.contains("CA certificates") { "; install the Debian package `ca-certificates`" } else { "" };
            Failure::Lasting(words + help)
        }
    }
}

/// Percent-encodes what may not stand in a path of an address (`~` and `+` may).
fn encode(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~+:@!$&'()*,;=".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The address without `user:password@`.
pub(crate) fn hide_credentials(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        None => address.to_owned(),
    }
}

/// Whether `path` is plain: relative, no empty, `.` or `..` parts, nothing that a file system or header could misread.
pub(crate) fn is_plain_path(path: &str) -> bool {
    !path.is_empty()
        && path.len() < 1024
        && path.bytes().all(|b| (0x21..0x7f).contains(&b) && !b"\\\"?#%".contains(&b))
        && path.split('/').all(|p| !p.is_empty() && p != "." && p != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_or_refused() {
        assert_eq!(Mirror::new("file:///srv/x/").unwrap().place, Place::Directory("/srv/x".into()));
        assert_eq!(Mirror::new("copy:/srv/x").unwrap().place, Place::Directory("/srv/x".into()));
        assert_eq!(Mirror::new("http://h/debian/").unwrap().url("a"), "http://h/debian/a");
        for bad in ["", "ftp://h/", "file:x", "cdrom:/x", "http://h/a b", "nonsense"] {
            assert!(matches!(Mirror::new(bad), Err(Error::Mirror { .. })), "{bad}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(Mirror::new("https://u:p@h/d").unwrap().url("x"), "https://h/d/x");
        assert_eq!(hide_credentials("http://h/a@b"), "http://h/a@b");
    }

    #[test]
    fn paths_stay_below_the_mirror() {
        for good in ["pool/main/g/g++/g++_4%3a1_amd64.deb".replace('%', "~").as_str(), "a", "pool/x_1.0~rc1+b1_all.deb"]
        {
            assert!(is_plain_path(good), "{good}");
        }
        for bad in ["", "/a", "a//b", "../a", "a/../b", "a/.", "a b", "a\n", "a?b", "a#b"] {
            assert!(!is_plain_path(bad), "{bad}");
        }
        assert_eq!(encode("a/b c%é"), "a/b%20c%25%C3%A9");
    }
}
