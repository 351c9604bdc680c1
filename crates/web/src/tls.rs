//! The certificate of the pages where they are reached from other machines: read from two PEM files, and read again when
//! they change, so that whoever renews it need not start us anew.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use regrow_host::{FsError, fs};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig, crypto};

/// Where the certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the certificate, then those that lead to a known one.
    pub certificate: PathBuf,
    /// PEM: its private key (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FsError),
    /// There is nothing of the kind in it.
    #[error("{} has no {what} in PEM", path.display())]
    Nothing {
        /// The file.
        path: PathBuf,
        /// "certificate" or "private key".
        what: &'static str,
    },
    /// The two do not go together, or are of a kind that TLS does not take.
    #[error("the certificate {} cannot be used with the key {}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
}

impl Error {
    /// The exit code of the program.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::File(e) if !e.is_not_found() => 3,
            _ => 2,
        }
    }
}

/// The certificate in use.
pub(crate) struct Certificate {
    files: TlsFiles,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    /// What the files looked like when they were read.
    seen: [Option<Seen>; 2],
}

/// What tells a file from the one that was there before.
type Seen = (u64, u64, Option<SystemTime>);

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn load(files: TlsFiles) -> Result<Certificate, Error> {
        // Looked at before reading: what changes in between is then seen as changed.
        let seen = files.seen();
        let config = files.read()?;
        Ok(Certificate { files, current: Mutex::new(Current { config, seen }) })
    }

    /// For one connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.lock().unwrap_or_else(PoisonError::into_inner).config.clone())
    }

    /// Reads the files again if they look other than before, or if that was asked for. Whether there is a new certificate
    /// in use; files that do not go together (yet) change nothing and are looked at again.
    pub(crate) fn look_again(&self, asked: bool) -> bool {
        let seen = self.files.seen();
        if !asked && seen == self.current.lock().unwrap_or_else(PoisonError::into_inner).seen {
            return false;
        }
        let Ok(config) = self.files.read() else { return false };
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Current { config, seen };
        true
    }
}

impl TlsFiles {
    fn seen(&self) -> [Option<Seen>; 2] {
        use std::os::unix::fs::MetadataExt;
        let look = |path: &Path| std::fs::metadata(path).ok().map(|m| (m.ino(), m.len(), m.modified().ok()));
        [look(&self.certificate), look(&self.key)]
    }

    fn read(&self) -> Result<Arc<ServerConfig>, Error> {
        let nothing = |path: &Path, what| Error::Nothing { path: path.to_owned(), what };
        let pem = fs::read(&self.certificate)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let chain = chain.ok().filter(|c| !c.is_empty()).ok_or_else(|| nothing(&self.certificate, "certificate"))?;
        let pem = fs::read(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| nothing(&self.key, "private key"))?;
        let unusable =
            |source| Error::Unusable { certificate: self.certificate.clone(), key: self.key.clone(), source };
        let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(files: &TlsFiles) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles { certificate: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
        assert!(matches!(Certificate::load(files.clone()), Err(Error::File(_))));
        write(&files);
        let certificate = Certificate::load(files.clone()).unwrap();
        assert!(!certificate.look_again(false), "nothing has changed");
        assert!(certificate.look_again(true), "asked for");
        write(&files);
        assert!(certificate.look_again(false), "both are new");
        std::fs::write(&files.key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
        assert!(!certificate.look_again(true), "it goes on with the one before");
        std::fs::write(&files.key, "nothing").unwrap();
        let e = Certificate::load(files.clone()).unwrap_err();
        assert!(e.to_string().contains("no private key") && e.exit_code() == 2, "{e}");
        write(&files);
        let key = std::fs::read(&files.key).unwrap();
        write(&files);
        std::fs::write(&files.key, key).unwrap();
        assert!(matches!(Certificate::load(files), Err(Error::Unusable { .. })), "the key of another one");
    }
}
