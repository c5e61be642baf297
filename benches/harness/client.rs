//! A client that does next to nothing: requests are prepared, answers are only framed.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::clocks;

/// Time until the connections of a closed loop have warmed up.
const WARM_UP: Duration = Duration::from_millis(200);

/// A `POST` of records.
pub fn post(stream: &str, content_type: &str, body: &str) -> Bytes {
    let length = body.len();
    Bytes::from(format!(
        "POST /v1/streams/{stream}/records HTTP/1.1\r\nHost: bench\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    ))
}

/// A `GET` of that path.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n")
}

/// Start and end of the body, once the answer is complete. Any status but 200 is an error: then nothing was measured.
fn framed(answer: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(head_bytes) = memchr::memmem::find(answer, b"\r\n\r\n") else { return Ok(None) };
    let (head, body_start) = (&answer[..head_bytes], head_bytes + 4);
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err(io::Error::other(String::from_utf8_lossy(answer).into_owned()));
    }
    const LENGTH: &[u8] = b"content-length: ";
    let length = memchr::memmem::find(head, LENGTH).map(|start| {
        let digits = head[start + LENGTH.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
    });
    let length = length.ok_or_else(|| io::Error::other("an answer without content-length"))?;
    Ok((answer.len() >= body_start + length).then_some((body_start, body_start + length)))
}

/// A connection for one request at a time, which blocks.
pub struct Connection {
    socket: std::net::TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = std::net::TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, answer: Vec::new() })
    }

    /// Sends a request and returns the body of its answer.
    pub fn exchange(&mut self, request: &[u8]) -> io::Result<&[u8]> {
        self.socket.write_all(request)?;
        self.answer.clear();
        let mut buffer = [0; 16 << 10];
        loop {
            match self.socket.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.answer.extend_from_slice(&buffer[..length]),
            }
            if let Some((start, end)) = framed(&self.answer)? {
                return Ok(&self.answer[start..end]);
            }
        }
    }
}

/// What a closed loop has seen.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub requests: u64,
    pub wall: Duration,
    /// CPU time of every thread of this process but the client's.
    pub server_cpu: Duration,
}

impl Seen {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.wall.as_secs_f64()
    }

    /// Microseconds of server CPU a request.
    pub fn cpu_us(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.requests as f64
    }

    /// Share of one core that the server has used: near 1, the server was the bottleneck.
    pub fn busy(&self) -> f64 {
        self.server_cpu.as_secs_f64() / self.wall.as_secs_f64()
    }
}

/// Sends one request over and over on each of `connections`, from the calling thread.
pub fn closed_loop(address: SocketAddr, request: &Bytes, connections: usize, duration: Duration) -> Seen {
    in_loops((address, request), connections, duration, false)
}

/// The same without ever going to sleep. It takes a core of its own. A server that is slower than this client pays for
/// waking it otherwise, and a faster one does not, which is no difference of the servers.
pub fn closed_loop_awake(
    address: SocketAddr,
    request: &Bytes,
    connections: usize,
    duration: Duration,
) -> Seen {
    in_loops((address, request), connections, duration, true)
}

fn in_loops(
    (address, request): (SocketAddr, &Bytes),
    connections: usize,
    duration: Duration,
    is_awake: bool,
) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let answered = Arc::new(AtomicU64::new(0));
        let mut loops = tokio::task::JoinSet::new();
        let (has_begun, mut begun) = tokio::sync::mpsc::channel(connections.max(1));
        for _ in 0..connections {
            loops.spawn(repeat(address, request.clone(), Arc::clone(&answered), has_begun.clone()));
        }
        if is_awake {
            loops.spawn(async {
                loop {
                    tokio::task::yield_now().await;
                }
            });
        }
        let look = || (answered.load(Ordering::Relaxed), Instant::now(), clocks::others_cpu());
        let measured = async {
            // A crowd takes its time: each has had an answer before the time counts.
            for _ in 0..connections {
                begun.recv().await;
            }
            tokio::time::sleep(WARM_UP).await;
            let before = look();
            tokio::time::sleep(duration).await;
            (before, look())
        };
        let (before, after) = tokio::select! {
            measured = measured => measured,
            Some(ended) = loops.join_next() => panic!("a connection has ended: {ended:?}"),
        };
        // A server that waits for its disk all the time has used next to nothing: see `others_cpu`.
        let server_cpu = after.2.saturating_sub(before.2);
        Seen { requests: after.0 - before.0, wall: after.1 - before.1, server_cpu }
    })
}

async fn repeat(
    address: SocketAddr,
    request: Bytes,
    answered: Arc<AtomicU64>,
    has_begun: tokio::sync::mpsc::Sender<()>,
) -> io::Result<()> {
    let mut socket = tokio::net::TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let mut answer = Vec::with_capacity(8 << 10);
    let mut has_begun = Some(has_begun);
    loop {
        socket.write_all(&request).await?;
        answer.clear();
        while framed(&answer)?.is_none() {
            if socket.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        answered.fetch_add(1, Ordering::Relaxed);
        if let Some(has_begun) = has_begun.take() {
            // Nobody asks any more once the round is over.
            let _ = has_begun.send(()).await;
        }
    }
}
