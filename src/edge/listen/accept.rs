//! The loop that takes connections, and their places under the cap.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;
use tokio_util::either::Either;

use super::Door;
use super::socket::Plain;
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
    async fn accept(&self) -> io::Result<(Plain, Option<SocketAddr>)> {
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
                if let Some(place) = Place::take(edge, &socket, door) {
                    let arrival = Arrival { socket, address, door: Arc::clone(door) };
                    let serving = connection::serve(Arc::clone(edge), arrival, stop.subscribe());
                    connections.spawn(async move {
                        serving.await;
                        drop(place);
                    });
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
struct Place(Arc<Edge>);

impl Place {
    /// Takes one, or refuses the connection.
    fn take(edge: &Arc<Edge>, socket: &Plain, door: &Door) -> Option<Self> {
        if edge.connections.fetch_add(1, Ordering::Relaxed) >= edge.server.connections_max {
            edge.connections.fetch_sub(1, Ordering::Relaxed);
            edge.connection_metrics.refused.increment(1);
            // Text would be no answer to somebody who waits for a handshake.
            if let (Either::Left(socket), None) = (socket, &door.tls) {
                refuse(socket);
            }
            return None;
        }
        edge.connection_metrics.open.increment(1.0);
        Some(Self(Arc::clone(edge)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.connection_metrics.open.decrement(1.0);
    }
}

/// Tells a client why its connection is closed, as far as one packet does that.
fn refuse(socket: &TcpStream) {
    const BODY: &str = r#"{"type":"about:blank","title":"Too many connections","status":503,"code":"too_many_connections","detail":"the connection cap is reached"}"#;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
         content-type: application/problem+json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let _ = socket.try_write(answer.as_bytes());
}
