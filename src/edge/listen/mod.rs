//! From sockets to connections: listening, the header of a proxy in front, TLS.
//!
//! ```text
//! accept ─▶ place under the caps ─▶ PROXY header ─▶ TLS handshake ─▶ connection
//!           refused: 503            └── both within [server] header_timeout ──┘
//! ```
//!
//! Each edge thread has a TCP socket of its own at each address (`SO_REUSEPORT`), so that the kernel hands connections
//! out, and a duplicate of each Unix socket.

pub mod accept;
pub mod certificate;
pub mod client;
pub mod crowd;
pub mod proxy_protocol;
pub mod socket;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

use self::accept::{Listener, accept};
use self::tls::{Terminator, TlsError};
use super::Edge;
use crate::config::checked::{self, ListenAt};
use crate::runtime::park::ParkingRuntime;
use crate::runtime::phases::Phase;
use crate::runtime::tasks::Tasks;

/// Connections that the kernel may hold until they are accepted.
const BACKLOG: i32 = 4096;

/// How long the answer to what is in flight may take once the edge stops, and which part of the time for the whole
/// drain at most: the rest is for uploads.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// See [`STOP_TIMEOUT`].
const STOP_TIMEOUT_DIVISOR: u32 = 4;

/// Why nobody can come in.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address cannot be bound.
    #[error("cannot listen on {at}: {source}")]
    Bind {
        /// Where.
        at: String,
        /// What the system said.
        source: io::Error,
    },
    /// Its certificates are not usable.
    #[error("cannot listen on {at}: {source}")]
    Tls {
        /// Where.
        at: String,
        /// Why.
        source: Box<TlsError>,
    },
    /// A thread cannot be started.
    #[error("cannot start an edge thread: {0}")]
    Thread(io::Error),
}

/// What holds for all connections of one listener.
#[derive(Debug)]
pub struct Door {
    /// Where it is, as the configuration has it.
    pub at: ListenAt,
    /// There if connections are encrypted.
    pub tls: Option<Terminator>,
    /// Whether each connection begins with a header of the proxy in front.
    pub is_behind_proxy: bool,
}

/// Sockets of all edge threads, bound but not served yet.
#[derive(Debug)]
pub struct Listeners {
    doors: Vec<Bound>,
    threads: usize,
}

/// One listener, with a socket for each thread.
#[derive(Debug)]
struct Bound {
    door: Arc<Door>,
    sockets: Vec<Unserved>,
    /// Where it has been bound, over TCP.
    address: Option<SocketAddr>,
}

#[derive(Debug)]
enum Unserved {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Listeners {
    /// Binds one socket a thread to each place. With port 0 the first one's port counts for all.
    ///
    /// # Errors
    /// The first place that cannot be had.
    pub fn bind(places: &[checked::Listener], threads: usize) -> Result<Self, ListenError> {
        let doors = places.iter().map(|place| Bound::new(place, threads)).collect::<Result<_, _>>()?;
        Ok(Self { doors, threads })
    }

    /// Where the edge listens over TCP, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.doors.iter().filter_map(|bound| bound.address).collect()
    }

    /// What holds for connections, by listener.
    pub fn doors(&self) -> Vec<Arc<Door>> {
        self.doors.iter().map(|bound| Arc::clone(&bound.door)).collect()
    }

    /// Starts the threads. They end once the edge has stopped and all connections are closed.
    ///
    /// # Errors
    /// If one cannot be started.
    pub fn serve(mut self, edge: &Arc<Edge>) -> Result<Vec<thread::JoinHandle<io::Result<()>>>, ListenError> {
        let threads = self.threads;
        let mut share = move || {
            let share = |bound: &mut Bound| Some((bound.sockets.pop()?, Arc::clone(&bound.door)));
            self.doors.iter_mut().filter_map(share).collect::<Vec<_>>()
        };
        let start = |index| {
            let (edge, share) = (Arc::clone(edge), share());
            let thread = thread::Builder::new().name(format!("edge-{index}"));
            thread.spawn(move || run(share, edge, index == 0)).map_err(ListenError::Thread)
        };
        (0..threads).map(start).collect()
    }
}

/// A listener that one thread serves, for as long as this exists. The file of a Unix socket goes with it.
#[derive(Debug)]
pub struct Alone {
    /// Where connections come from.
    pub listener: Listener,
    /// What holds for them.
    pub door: Arc<Door>,
}

impl Drop for Alone {
    fn drop(&mut self) {
        // While the listener is there, so that nobody else's is removed.
        remove(&self.door.at);
    }
}

impl Listeners {
    /// Has the current runtime serve them, of which one thread was to be.
    ///
    /// # Errors
    /// If it does not take a socket.
    pub fn alone(self) -> Result<Vec<Alone>, ListenError> {
        let one = |mut bound: Bound| {
            let (door, socket) = (Arc::clone(&bound.door), bound.sockets.pop()?);
            let failed = |source| ListenError::Bind { at: door.at.to_string(), source };
            Some(
                served(socket)
                    .map_err(failed)
                    .map(|listener| Alone { listener, door: Arc::clone(&bound.door) }),
            )
        };
        self.doors.into_iter().filter_map(one).collect()
    }

    /// Everywhere that they are, as URLs, in the order of the configuration.
    pub fn places(&self) -> Vec<String> {
        self.doors.iter().map(Bound::place).collect()
    }
}

impl Bound {
    fn place(&self) -> String {
        let scheme = if self.door.tls.is_some() { "https" } else { "http" };
        match (&self.door.at, self.address) {
            (ListenAt::Tcp(_), Some(address)) => format!("{scheme}://{address}"),
            (at, _) => at.to_string(),
        }
    }

    fn new(place: &checked::Listener, threads: usize) -> Result<Self, ListenError> {
        let at = || place.at.to_string();
        let tls = place.tls.as_ref().map(Terminator::open).transpose();
        let tls = tls.map_err(|source| ListenError::Tls { at: at(), source: Box::new(source) })?;
        let door = Door { at: place.at.clone(), tls, is_behind_proxy: place.is_behind_proxy };
        let bound = match &place.at {
            ListenAt::Tcp(address) => bind_tcp(*address, threads),
            ListenAt::Unix(path) => bind_unix(path, threads),
        };
        let (sockets, address) = bound.map_err(|source| ListenError::Bind { at: at(), source })?;
        Ok(Self { door: Arc::new(door), sockets, address })
    }
}

fn bind_tcp(address: SocketAddr, threads: usize) -> io::Result<(Vec<Unserved>, Option<SocketAddr>)> {
    if address.port() != 0 {
        // With `SO_REUSEPORT` a second process of the same user would bind as well and take a part of the
        // connections. A socket without it finds that out.
        drop(bind(address, false)?);
    }
    let first = bind(address, true)?;
    let address = first.local_addr()?;
    let mut sockets = vec![Unserved::Tcp(first)];
    for _ in 1..threads {
        sockets.push(Unserved::Tcp(bind(address, true)?));
    }
    Ok((sockets, Some(address)))
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

/// Who may connect: the owner and the group, as the folder of the socket allows besides.
const UNIX_MODE: u32 = 0o660;

fn bind_unix(path: &Path, threads: usize) -> io::Result<(Vec<Unserved>, Option<SocketAddr>)> {
    remove_deserted(path)?;
    let first = std::os::unix::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(UNIX_MODE))?;
    first.set_nonblocking(true)?;
    let mut sockets = Vec::with_capacity(threads);
    for _ in 1..threads {
        sockets.push(Unserved::Unix(first.try_clone()?));
    }
    sockets.push(Unserved::Unix(first));
    Ok((sockets, None))
}

/// Removes the socket that a process has left which was killed.
fn remove_deserted(path: &Path) -> io::Result<()> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file, and it is no socket"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(_) => std::fs::remove_file(path),
    }
}

/// Removes the file of a Unix socket.
fn remove(at: &ListenAt) {
    if let ListenAt::Unix(path) = at {
        let _ = std::fs::remove_file(path);
    }
}

fn run(share: Vec<(Unserved, Arc<Door>)>, edge: Arc<Edge>, is_first: bool) -> io::Result<()> {
    let runtime = ParkingRuntime::build()?;
    runtime.block_on(async {
        let mut listeners = Vec::with_capacity(share.len());
        for (socket, door) in share {
            listeners.push((served(socket)?, door));
        }
        let connections = Tasks::new();
        // One channel a thread: all its connections look at it at each step, and would contend for a common one.
        let stop = watch::Sender::new(false);
        let loops =
            listeners.iter().map(|(listener, door)| accept(listener, door, &edge, &connections, &stop));
        tokio::select! {
            _ = futures_util::future::join_all(loops) => {}
            () = edge.phases.reached(Phase::StoppingEdge) => {}
        }
        if is_first {
            // While the listeners are there, so that nobody else's is removed.
            listeners.iter().for_each(|(_, door)| remove(&door.at));
        }
        drop(listeners);
        stop.send_replace(true);
        let timeout = STOP_TIMEOUT.min(edge.server.drain_timeout / STOP_TIMEOUT_DIVISOR);
        if tokio::time::timeout(timeout, connections.joined()).await.is_err() {
            tracing::warn!(connections = connections.running(), "edge: connections cut off while stopping");
        }
        Ok(())
    })
}

fn served(socket: Unserved) -> io::Result<Listener> {
    Ok(match socket {
        Unserved::Tcp(socket) => Listener::Tcp(TcpListener::from_std(socket)?),
        Unserved::Unix(socket) => Listener::Unix(UnixListener::from_std(socket)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> checked::Listener {
        checked::Listener::plain(address.parse().unwrap())
    }

    #[test]
    fn an_address_that_is_taken_is_refused() {
        let listeners = Listeners::bind(&[at("127.0.0.1:0")], 1).unwrap();
        let taken = checked::Listener::plain(listeners.addresses()[0]);
        let error = Listeners::bind(&[taken], 1).unwrap_err();
        assert!(
            matches!(error, ListenError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
        );
    }

    #[test]
    fn all_threads_listen_on_one_port() {
        let listeners = Listeners::bind(&[at("127.0.0.1:0"), at("127.0.0.1:0")], 3).unwrap();
        assert_eq!(listeners.addresses().len(), 2);
        for bound in &listeners.doors {
            assert_eq!(bound.sockets.len(), 3);
            for socket in &bound.sockets {
                let Unserved::Tcp(socket) = socket else { panic!("{socket:?}") };
                assert_eq!(Some(socket.local_addr().unwrap()), bound.address);
            }
        }
    }

    #[test]
    fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.sock");
        let place = checked::Listener { at: ListenAt::Unix(path.clone()), ..at("127.0.0.1:0") };
        let listeners = Listeners::bind(std::slice::from_ref(&place), 2).unwrap();
        let error = Listeners::bind(std::slice::from_ref(&place), 2).unwrap_err();
        assert!(
            matches!(error, ListenError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
        );
        drop(listeners);
        assert!(path.exists(), "as after a kill");
        drop(Listeners::bind(std::slice::from_ref(&place), 2).unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "not a socket").unwrap();
        assert!(Listeners::bind(&[place], 2).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"not a socket");
    }
}
