//! A TCP proxy in front of a store, which can stop giving bytes, or be cut.

use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Bytes that are taken at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// What the proxy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It lets everything through.
    Free,
    /// Nothing goes on; connections stay, and new ones are taken.
    Stalled,
    /// All connections are cut, and new ones as well.
    Cut,
    /// It ends.
    Ended,
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    flow: watch::Sender<Flow>,
    /// Where it listens.
    pub address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Flow::Ended);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Proxy {
    /// `text` is `LISTEN=UPSTREAM`.
    pub fn start(text: &str) -> io::Result<Self> {
        let bad =
            || io::Error::new(io::ErrorKind::InvalidInput, format!("{text:?}: give HOST:PORT=HOST:PORT"));
        let (listen, upstream) = text.split_once('=').ok_or_else(bad)?;
        let upstream = upstream.to_owned();
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (flow, told) = watch::channel(Flow::Free);
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                if let Ok(listener) = TcpListener::from_std(listener) {
                    listen_on(listener, &upstream, told).await;
                }
            });
        });
        Ok(Self { flow, address, thread: Some(thread) })
    }

    /// Says what to do from now on.
    pub fn set(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }
}

async fn listen_on(listener: TcpListener, upstream: &str, mut told: watch::Receiver<Flow>) {
    let flow = told.clone();
    loop {
        tokio::select! {
            _ = told.wait_for(|flow| *flow == Flow::Ended) => return,
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                if *flow.borrow() != Flow::Cut {
                    tokio::spawn(join(client, upstream.to_owned(), flow.clone()));
                }
            }
        }
    }
}

async fn join(client: TcpStream, upstream: String, mut flow: watch::Receiver<Flow>) {
    let Ok(server) = TcpStream::connect(&upstream).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let out = copy(from_client, to_server, flow.clone());
    let back = copy(from_server, to_client, flow.clone());
    tokio::select! {
        _ = flow.wait_for(|flow| matches!(flow, Flow::Cut | Flow::Ended)) => {}
        _ = async { tokio::join!(out, back) } => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut flow: watch::Receiver<Flow>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let Ok(count) = from.read(&mut chunk).await else { return };
        if flow.wait_for(|flow| *flow == Flow::Free).await.is_err() {
            return;
        }
        if count == 0 || to.write_all(&chunk[..count]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    /// Sends back what it gets, until it is cut off.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || {
                    let mut byte = [0; 1];
                    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
                });
            }
        });
        address
    }

    fn ask(stream: &mut TcpStream) -> io::Result<u8> {
        let mut byte = [7];
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    #[test]
    fn a_stall_ends_with_all_bytes_and_a_cut_ends_connections() {
        let proxy = Proxy::start(&format!("127.0.0.1:0={}", echo())).unwrap();
        let mut stream = TcpStream::connect(proxy.address).unwrap();
        assert_eq!(ask(&mut stream).unwrap(), 7);
        proxy.set(Flow::Stalled);
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(ask(&mut stream).is_err());
        proxy.set(Flow::Free);
        stream.set_read_timeout(None).unwrap();
        // The answer to what was asked during the stall.
        stream.read_exact(&mut [0]).unwrap();
        proxy.set(Flow::Cut);
        assert!(ask(&mut stream).is_err());
        assert!(TcpStream::connect(proxy.address).map_or(true, |mut stream| ask(&mut stream).is_err()));
        proxy.set(Flow::Free);
        assert_eq!(ask(&mut TcpStream::connect(proxy.address).unwrap()).unwrap(), 7);
        assert!(Proxy::start("nothing").is_err());
    }
}
