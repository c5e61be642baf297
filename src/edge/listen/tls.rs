//! TLS of a listener: certificates from files, which may change while it listens.
//!
//! Protocols and cipher suites are those of rustls with *ring*: TLS 1.3 and 1.2 with forward secrecy only, no
//! renegotiation, no compression, no early data.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::checked::{ClientCertificates, Tls};

/// What is offered and taken besides TLS itself.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why certificates are not usable.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read, or is not what it should be.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        source: rustls_pki_types::pem::Error,
    },
    /// A file has none.
    #[error("{}: there is no certificate in it", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key is another one's, of a kind that is not known, or the like.
    #[error("{} and {}: {source}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What TLS says.
        source: rustls::Error,
    },
    /// The authorities of clients cannot be used.
    #[error("{}: {why}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// The TLS of one listener.
#[derive(Debug)]
pub struct Terminator {
    settings: Tls,
    /// What new connections get.
    current: RwLock<Arc<ServerConfig>>,
    /// The files as they were read, and as they were when they were looked at last.
    seen: Mutex<Seen>,
}

/// What tells that a file has become another one, or has been written to; none if it is not there.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// See [`Terminator`].
#[derive(Debug)]
struct Seen {
    read: Vec<Stamp>,
    looked_at: Vec<Stamp>,
}

/// The certificate that new connections are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its subject as one line.
    pub subject: String,
    /// When it ends, in words.
    pub until: String,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} until {}", self.subject, self.until)
    }
}

impl Shown {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        // TLS takes certificates that this reader does not: then there is nothing to tell of them.
        X509Certificate::from_der(certificate).map_or_else(
            |_| Self { subject: "a certificate without readable names".to_owned(), until: "?".to_owned() },
            |(_, read)| Self {
                subject: read.subject().to_string(),
                until: read.validity().not_after.to_string(),
            },
        )
    }
}

impl Terminator {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(settings: &Tls) -> Result<Self, TlsError> {
        let stamps = stamps(settings);
        let current = RwLock::new(Arc::new(load(settings)?));
        let seen = Mutex::new(Seen { read: stamps.clone(), looked_at: stamps });
        Ok(Self { settings: settings.clone(), current, seen })
    }

    /// What a new connection gets.
    pub fn current(&self) -> Arc<ServerConfig> {
        // It is replaced as a whole.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again. Connections that there are go on with what they have; where the files are not usable, new
    /// ones do so as well. Returns what new connections are shown.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn reload(&self) -> Result<Shown, TlsError> {
        let mut seen = self.seen();
        self.read_again(&mut seen)
    }

    /// The same if the files have become others since they were read, and have rested since the last look: a certificate and
    /// its key come one after the other. What cannot be used is read once, and again when it changes.
    pub fn look(&self) -> Option<Result<Shown, TlsError>> {
        let mut seen = self.seen();
        let now = stamps(&self.settings);
        let is_resting = now == seen.looked_at;
        let is_other = now != seen.read;
        seen.looked_at = now;
        (is_other && is_resting).then(|| self.read_again(&mut seen))
    }

    fn read_again(&self, seen: &mut Seen) -> Result<Shown, TlsError> {
        // Before they are read: what changes meanwhile is seen at the next look.
        seen.read = stamps(&self.settings);
        seen.looked_at.clone_from(&seen.read);
        let (next, leaf) = load_with_leaf(&self.settings)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(Shown::of(&leaf))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Each of its parts is replaced as a whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the files are like at the moment: the targets of links, which is what a new secret of an orchestrator changes.
fn stamps(settings: &Tls) -> Vec<Stamp> {
    let authorities = match &settings.clients {
        ClientCertificates::Ignored => None,
        ClientCertificates::Optional(file) | ClientCertificates::Required(file) => Some(file),
    };
    let stamp = |known: Metadata| (known.dev(), known.ino(), known.len(), known.mtime(), known.mtime_nsec());
    let files = [&settings.certificate, &settings.key].into_iter().chain(authorities);
    files.map(|file| std::fs::metadata(file).ok().map(stamp)).collect()
}

/// What the files and settings come to.
///
/// # Errors
/// [`TlsError`].
pub fn load(settings: &Tls) -> Result<ServerConfig, TlsError> {
    load_with_leaf(settings).map(|(config, _)| config)
}

/// The same, with the server's own certificate.
fn load_with_leaf(settings: &Tls) -> Result<(ServerConfig, CertificateDer<'static>), TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pair = |source| TlsError::Pair {
        certificate: settings.certificate.clone(),
        key: settings.key.clone(),
        source,
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(settings.versions()).map_err(pair)?;
    let builder = match &settings.clients {
        ClientCertificates::Ignored => builder.with_no_client_auth(),
        ClientCertificates::Optional(authorities) | ClientCertificates::Required(authorities) => {
            let unusable = |why: &dyn std::fmt::Display| TlsError::Authorities {
                path: authorities.clone(),
                why: why.to_string(),
            };
            let mut roots = RootCertStore::empty();
            for certificate in certificates(authorities)? {
                roots.add(certificate).map_err(|error| unusable(&error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match settings.clients {
                ClientCertificates::Optional(_) => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| unusable(&error))?)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&settings.key)
        .map_err(|source| TlsError::File { path: settings.key.clone(), source })?;
    let chain = certificates(&settings.certificate)?;
    let leaf = chain.first().cloned();
    let leaf = leaf.ok_or_else(|| TlsError::NoCertificate { path: settings.certificate.clone() })?;
    let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    if settings.clients != ClientCertificates::Ignored {
        // A resumed session would be let in by a certificate that was checked against files of another time.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok((config, leaf))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |source| TlsError::File { path: path.to_owned(), source };
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(file)?.collect::<Result<_, _>>().map_err(file)?;
    match found.is_empty() {
        true => Err(TlsError::NoCertificate { path: path.to_owned() }),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn write(settings: &Tls, name: &str) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        // Another file under the same name, as a program has it that renews certificates.
        let put = |path: &Path, text: &str| {
            let beside = path.with_extension("new");
            std::fs::write(&beside, text).unwrap();
            std::fs::rename(beside, path).unwrap();
        };
        put(&settings.certificate, &params.self_signed(&key).unwrap().pem());
        put(&settings.key, &key.serialize_pem());
    }

    fn settings(folder: &Path) -> Tls {
        let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
        Tls { certificate, key, clients: ClientCertificates::Ignored, only_1_3: false }
    }

    #[test]
    fn files_that_have_changed_are_read_once_they_rest() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        write(&settings, "first");
        let terminator = Terminator::open(&settings).unwrap();
        assert!(terminator.look().is_none() && terminator.look().is_none());
        let before = terminator.current();
        write(&settings, "second");
        assert!(terminator.look().is_none(), "they may still be at it");
        let shown = terminator.look().unwrap().unwrap();
        assert!(shown.subject.contains("CN=second"), "{shown}");
        assert!(!Arc::ptr_eq(&before, &terminator.current()));
        assert!(terminator.look().is_none());
    }

    #[test]
    fn a_broken_file_is_told_once_and_leaves_the_old_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        write(&settings, "first");
        let terminator = Terminator::open(&settings).unwrap();
        let before = terminator.current();
        std::fs::write(&settings.key, "no key").unwrap();
        assert!(terminator.look().is_none());
        assert!(matches!(terminator.look(), Some(Err(TlsError::File { path, .. })) if path == settings.key));
        assert!(terminator.look().is_none(), "as before");
        std::fs::remove_file(&settings.certificate).unwrap();
        assert!(terminator.look().is_none());
        assert!(terminator.look().unwrap().is_err());
        assert!(Arc::ptr_eq(&before, &terminator.current()));
        write(&settings, "third");
        assert!(terminator.look().is_none());
        assert!(terminator.look().unwrap().unwrap().subject.contains("CN=third"));
    }

    #[test]
    fn what_a_signal_has_had_read_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        write(&settings, "first");
        let terminator = Terminator::open(&settings).unwrap();
        write(&settings, "second");
        assert!(terminator.reload().unwrap().subject.contains("CN=second"));
        assert!(terminator.look().is_none() && terminator.look().is_none());
    }
}
