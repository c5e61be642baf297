//! A connection of bytes: TCP, or TLS over it.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::RunError;
use super::super::plan::{Plan, Target};
use super::HeadError;

/// Where systems keep the certificates that they trust.
const SYSTEM_CA: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// How often a handshake before the load looks whether it is to stop.
const STOP_LOOK: Duration = Duration::from_millis(50);

/// Whom a client of TLS trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// Whom the system trusts.
    #[default]
    System,
    /// Whom the certificates of this file (PEM) vouch for.
    Ca(PathBuf),
    /// Everybody: the load may go to somebody else.
    Everybody,
}

/// Why TLS cannot be spoken.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read, or has no certificates.
    #[error("{path}: {reason}: give a file of certificates in PEM with --ca")]
    Ca {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// There is no such file where systems have it.
    #[error(
        "no file of certificates that the system trusts was found: name one with --ca, or trust all with --insecure"
    )]
    NoSystemCa,
    /// The host of the URL is none.
    #[error("{0:?} is no name that a certificate could have")]
    Name(String),
    /// The library refuses.
    #[error("TLS: {0}")]
    Settings(#[from] rustls::Error),
}

/// How to connect.
#[derive(Clone)]
pub(in crate::run) struct Dialer {
    address: (String, u16),
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Dialer {
    pub(in crate::run) fn new(target: &Target, trust: &Trust, protocol: &[u8]) -> Result<Self, TlsError> {
        let address = (target.host.clone(), target.port);
        if !target.is_tls {
            return Ok(Self { address, tls: None });
        }
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let mut config = match trust {
            Trust::Everybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NoQuestions(provider)))
                .with_no_client_auth(),
            Trust::Ca(path) => builder.with_root_certificates(roots(path)?).with_no_client_auth(),
            Trust::System => {
                let path = SYSTEM_CA.iter().map(PathBuf::from).find(|path| path.exists());
                builder
                    .with_root_certificates(roots(&path.ok_or(TlsError::NoSystemCa)?)?)
                    .with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        let name =
            ServerName::try_from(target.host.clone()).map_err(|_| TlsError::Name(target.host.clone()))?;
        Ok(Self { address, tls: Some((TlsConnector::from(Arc::new(config)), name)) })
    }

    pub(in crate::run) async fn dial(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect((self.address.0.as_str(), self.address.1)).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Stream::Plain(stream),
            Some((connector, name)) => Stream::Tls(Box::new(connector.connect(name.clone(), stream).await?)),
        })
    }
}

/// Opens a connection over TLS, if that is what the plan wants, and closes it: what is wrong with the other side is known
/// before the load begins, by its name. Gives up when it is to `stop`. The outer error is the plan's own.
pub(in crate::run) fn shake_hands(plan: &Plan, stop: &AtomicBool) -> Result<io::Result<()>, RunError> {
    if !plan.target.is_tls {
        return Ok(Ok(()));
    }
    let alpn = plan.classes().first().map_or(&b"http/1.1"[..], |class| class.protocol.alpn());
    let dialer = Dialer::new(&plan.target, &plan.trust, alpn).map_err(HeadError::from)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stopped = async {
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(STOP_LOOK).await;
        }
    };
    let dialed = runtime.block_on(async {
        tokio::select! {
            dialed = dialer.dial() => dialed,
            () = tokio::time::sleep(plan.timeout) => Err(io::ErrorKind::TimedOut.into()),
            () = stopped => Err(io::ErrorKind::Interrupted.into()),
        }
    });
    Ok(dialed.map(drop))
}

fn roots(path: &PathBuf) -> Result<RootCertStore, TlsError> {
    let bad = |reason: String| TlsError::Ca { path: path.clone(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))? {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        // Stores of systems have some that no library reads any more.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() { Err(bad("has no certificates".to_owned())) } else { Ok(roots) }
}

/// Takes every certificate.
#[derive(Debug)]
struct NoQuestions(Arc<CryptoProvider>);

impl ServerCertVerifier for NoQuestions {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// An open connection.
pub(in crate::run) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether the other side has said something, or hung up, although nothing was asked.
    pub(in crate::run) fn has_ended(&self) -> bool {
        let stream = match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        let mut nobody = Context::from_waker(std::task::Waker::noop());
        matches!(stream.poll_read_ready(&mut nobody), Poll::Ready(_)) && {
            // With TLS, the ticket of a session may come at any time; it is not to be read from here.
            let mut byte = [std::mem::MaybeUninit::uninit()];
            let mut byte = ReadBuf::uninit(&mut byte);
            match stream.poll_peek(&mut nobody, &mut byte) {
                Poll::Pending => false,
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => true,
                Poll::Ready(Ok(_)) => matches!(self, Stream::Plain(_)),
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
