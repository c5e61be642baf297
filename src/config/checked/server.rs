//! `[log]` and `[server]` of the node, as they are checked.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::check_cors::Cors;
use crate::config::check_listener::{ListenAt, Listener};

/// `[log]`: how the log of durable streams is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// Bytes of a segment file; a multiple of 4,096, and enough for two requests of [`Server::body_bytes_max`] where
    /// that is possible at all.
    pub segment_bytes: u64,
    /// What writes it.
    pub writer: LogWriter,
}

/// What writes the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogWriter {
    /// io_uring where the kernel has it, a plain thread elsewhere.
    Auto,
    /// io_uring; it is an error if the kernel does not have it.
    IoUring,
    /// A plain thread.
    Thread,
}

impl LogWriter {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            LogWriter::Auto => "auto",
            LogWriter::IoUring => "io_uring",
            LogWriter::Thread => "thread",
        }
    }
}

/// `[server]`: the listeners and their bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Public address of the edge.
    pub listen: SocketAddr,
    /// Everywhere that connections to the edge come in, `listen` first.
    pub listeners: Vec<Listener>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Everywhere that the admin port is, `[server] admin` first.
    pub admin: Vec<Listener>,
    /// Edge threads; one a core where it is not given.
    pub threads: Option<NonZeroUsize>,
    /// Open connections over all threads.
    pub connections_max: usize,
    /// Open connections of one client address, or /64 of IPv6.
    pub address_connections_max: Option<usize>,
    /// Requests after which a connection is closed.
    pub connection_requests_max: Option<u64>,
    /// Bytes of request line and headers.
    pub header_bytes_max: usize,
    /// Bytes of a body, compressed or not: the bound holds for the decoded form.
    pub body_bytes_max: u64,
    /// Time from the first byte of a request to the end of its headers.
    pub header_timeout: Duration,
    /// Time for the whole body to come in.
    pub body_timeout: Duration,
    /// Time that a connection may be kept open with nothing on it.
    pub idle_timeout: Duration,
    /// Time that a shutdown may take until what is not delivered is given up (and reported).
    pub drain_timeout: Duration,
    /// Cross-origin rules; none means that browsers of other origins are refused.
    pub cors: Option<Cors>,
    /// Whose `X-Request-Id` is taken.
    pub request_ids: RequestIds,
}

/// Whose `X-Request-Id` becomes the id of a request. Otherwise it gets one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestIds {
    /// That of proxies that are trusted.
    Proxies,
    /// That of every client.
    Everybody,
    /// Nobody's.
    Nobody,
}

impl Server {
    /// Where programs on the same machine reach the edge; `None` where the system chooses its port.
    pub fn url(&self) -> Option<String> {
        let mut listen = self.listen;
        if listen.ip().is_unspecified() {
            listen.set_ip(match listen.is_ipv4() {
                true => Ipv4Addr::LOCALHOST.into(),
                false => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let is_encrypted = self.listeners.first().is_some_and(|main| main.tls.is_some());
        let scheme = if is_encrypted { "https" } else { "http" };
        (listen.port() != 0).then(|| format!("{scheme}://{listen}"))
    }

    /// A listener that is reached from other machines, if there is one.
    pub fn exposed(&self) -> Option<&ListenAt> {
        self.listeners.iter().map(|listener| &listener.at).find(|at| !at.is_local())
    }
}
