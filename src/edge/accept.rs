//! Listening, and handing each connection to the thread that accepted it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Edge, connection};
use crate::runtime::park::ParkingRuntime;
use crate::runtime::phases::Phase;
use crate::runtime::tasks::Tasks;

/// Connections that the kernel may hold until they are accepted.
const BACKLOG: i32 = 4096;

/// How long the accept loop rests when the process is out of file descriptors: long enough not to spin, short
/// enough that a client does not notice.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// How long the answer to what is in flight may take once the edge stops, and which part of the time for the whole
/// drain at most: the rest is for uploads.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// See [`STOP_TIMEOUT`].
const STOP_TIMEOUT_DIVISOR: u32 = 4;

/// Sockets of all edge threads, bound but not served yet.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<std::net::TcpListener>,
    address: SocketAddr,
}

impl Listeners {
    /// Binds one socket a thread to `address`. With port 0 the first one's port counts for all.
    pub fn bind(address: SocketAddr, threads: usize) -> io::Result<Self> {
        if address.port() != 0 {
            // With `SO_REUSEPORT` a second process of the same user would bind as well and take a part of the
            // connections. A socket without it finds that out.
            drop(bind(address, false)?);
        }
        let first = bind(address, true)?;
        let address = first.local_addr()?;
        let mut sockets = vec![first];
        for _ in 1..threads {
            sockets.push(bind(address, true)?);
        }
        Ok(Self { sockets, address })
    }

    /// Where the edge listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts one thread a socket. They end once the edge has stopped and all connections are closed.
    pub fn serve(self, edge: &Arc<Edge>) -> io::Result<Vec<thread::JoinHandle<io::Result<()>>>> {
        let start = |(index, socket): (usize, std::net::TcpListener)| {
            let edge = Arc::clone(edge);
            thread::Builder::new().name(format!("edge-{index}")).spawn(move || run(socket, edge))
        };
        self.sockets.into_iter().enumerate().map(start).collect()
    }
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn run(socket: std::net::TcpListener, edge: Arc<Edge>) -> io::Result<()> {
    let runtime = ParkingRuntime::build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(socket)?;
        let connections = Tasks::new();
        // One channel a thread: all its connections look at it at each step, and would contend for a common one.
        let stop = watch::Sender::new(false);
        tokio::select! {
            () = accept(&listener, &edge, &connections, &stop) => {}
            () = edge.phases.reached(Phase::StoppingEdge) => {}
        }
        drop(listener);
        stop.send_replace(true);
        let timeout = STOP_TIMEOUT.min(edge.server.drain_timeout / STOP_TIMEOUT_DIVISOR);
        if tokio::time::timeout(timeout, connections.joined()).await.is_err() {
            tracing::warn!(connections = connections.running(), "edge: connections cut off while stopping");
        }
        Ok(())
    })
}

async fn accept(listener: &TcpListener, edge: &Arc<Edge>, connections: &Tasks, stop: &watch::Sender<bool>) {
    loop {
        match listener.accept().await {
            Ok((socket, client)) => {
                if let Some(place) = Place::take(edge, &socket) {
                    // Small replies must not wait for the client's delayed acks. A failure only costs latency.
                    let _ = socket.set_nodelay(true);
                    let serving = connection::serve(Arc::clone(edge), socket, client, stop.subscribe());
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
    fn take(edge: &Arc<Edge>, socket: &TcpStream) -> Option<Self> {
        if edge.connections.fetch_add(1, Ordering::Relaxed) >= edge.server.connections_max {
            edge.connections.fetch_sub(1, Ordering::Relaxed);
            edge.connection_metrics.refused.increment(1);
            refuse(socket);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_taken_is_refused() {
        let listeners = Listeners::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let error = Listeners::bind(listeners.address(), 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn all_threads_listen_on_one_port() {
        let listeners = Listeners::bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert_eq!(listeners.sockets.len(), 3);
        for socket in &listeners.sockets {
            assert_eq!(socket.local_addr().unwrap(), listeners.address());
        }
    }
}
