//! TLS of a listener: certificates from files, which may change while it listens.
//!
//! Protocols and cipher suites are those of rustls with *ring*: TLS 1.3 and 1.2 with forward secrecy only, no
//! renegotiation, no compression, no early data.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

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
}

impl Terminator {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(settings: &Tls) -> Result<Self, TlsError> {
        Ok(Self { settings: settings.clone(), current: RwLock::new(Arc::new(load(settings)?)) })
    }

    /// What a new connection gets.
    pub fn current(&self) -> Arc<ServerConfig> {
        // It is replaced as a whole.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again. Connections that there are go on with what they have; where the files are not usable, new
    /// ones do so as well.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let next = Arc::new(load(&self.settings)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }
}

/// What the files and settings come to.
///
/// # Errors
/// [`TlsError`].
pub fn load(settings: &Tls) -> Result<ServerConfig, TlsError> {
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
    let mut config = builder.with_single_cert(certificates(&settings.certificate)?, key).map_err(pair)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    if settings.clients != ClientCertificates::Ignored {
        // A resumed session would be let in by a certificate that was checked against files of another time.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
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
