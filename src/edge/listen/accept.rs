//! The loop that takes connections, and their places under the cap.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_util::either::Either;

use super::Door;
use super::crowd::Member;
use super::socket::Plain;
use crate::edge::desk::Clients;
use crate::edge::{Edge, connection};
use crate::runtime::tasks::Tasks;

/// How long the accept loop rests when the process is out of file descriptors: long enough not to spin, short
/// enough that a client does not notice.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// What connections come from.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// The next connection, with its other end.
    ///
    /// # Errors
    /// What the system says; it is about one connection, or there are no file descriptors left.
    pub async fn accept(&self) -> io::Result<(Plain, Option<SocketAddr>)> {
        match self {
            Listener::Tcp(listener) => {
                let (socket, address) = listener.accept().await?;
                // Small replies must not wait for the client's delayed acks. A failure only costs latency.
                let _ = socket.set_nodelay(true);
                Ok((Either::Left(socket), Some(address)))
            }
            Listener::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                Ok((Either::Right(socket), None))
            }
        }
    }
}

/// A connection that nobody has read from yet.
#[derive(Debug)]
pub struct Arrival {
    /// The connection.
    pub socket: Plain,
    /// Its other end.
    pub address: Option<SocketAddr>,
    /// Which it has come to.
    pub door: Arc<Door>,
    /// Its place among those of its address, where that is known.
    pub member: Option<Member>,
    /// Its place among all connections, where they are counted.
    pub place: Option<Place>,
}

/// Takes connections for as long as it is polled.
pub async fn accept(
    listener: &Listener,
    door: &Arc<Door>,
    edge: &Arc<Edge>,
    connections: &Tasks,
    stop: &watch::Sender<bool>,
) {
    loop {
        match listener.accept().await {
            Ok((socket, address)) => {
                if let Some((place, member)) = Place::take(edge, (&socket, address), door) {
                    let place = Some(place);
                    let arrival = Arrival { socket, address, door: Arc::clone(door), member, place };
                    connections.spawn(connection::serve(
                        Arc::clone(edge),
                        arrival,
                        Clients,
                        stop.subscribe(),
                    ));
                }
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "edge: cannot accept connections, trying again");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// A connection's place under the cap, given back when it is dropped.
pub struct Place(Arc<Edge>);

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

impl Place {
    /// Takes one, or refuses the connection.
    fn take(
        edge: &Arc<Edge>,
        (socket, address): (&Plain, Option<SocketAddr>),
        door: &Door,
    ) -> Option<(Self, Option<Member>)> {
        if edge.connections.fetch_add(1, Ordering::Relaxed) >= edge.server.connections_max {
            edge.connections.fetch_sub(1, Ordering::Relaxed);
            edge.connection_metrics.refused.increment(1);
            refuse(socket, door, "the connection cap is reached");
            return None;
        }
        edge.connection_metrics.open.increment(1.0);
        let place = Self(Arc::clone(edge));
        // Behind a proxy nobody knows yet who it is.
        let address = address.filter(|_| !door.is_behind_proxy).map(|address| address.ip());
        let Ok(member) = edge.crowd.enter(address) else {
            edge.connection_metrics.refused_by_address.increment(1);
            refuse(socket, door, "this address has as many connections as it may");
            return None;
        };
        Some((place, member))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.connection_metrics.open.decrement(1.0);
    }
}

/// Tells a client why its connection is closed, as far as one packet does that.
fn refuse(socket: &Plain, door: &Door, why: &str) {
    // Text would be no answer to somebody who waits for a handshake.
    let (Either::Left(socket), None) = (socket, &door.tls) else { return };
    let body = format!(
        r#"{{"type":"about:blank","title":"Too many connections","status":503,"code":"too_many_connections","detail":"{why}"}}"#
    );
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
         content-type: application/problem+json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = socket.try_write(answer.as_bytes());
}
