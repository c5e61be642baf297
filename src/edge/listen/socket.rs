//! What a connection is made of: TCP or a Unix socket, with TLS on it or without.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::certificate::ClientCertificate;

/// As the system gives it.
pub type Plain = Either<TcpStream, UnixStream>;

/// As requests come over it.
pub type Socket = Either<Plain, Box<TlsStream<Plain>>>;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Where it connects from; what a proxy has told of it where one is believed. None over a Unix socket.
    pub address: Option<SocketAddr>,
    /// Whether what it sends is encrypted.
    pub is_encrypted: bool,
    /// The certificate that it has proved to hold.
    pub certificate: Option<Arc<ClientCertificate>>,
}

impl Peer {
    /// Its address without the port.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}
