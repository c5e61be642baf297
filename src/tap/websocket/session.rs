//! One WebSocket, from the handshake to its close.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::message;
use super::socket::PaidSocket;
use crate::config::limits::{REQUEST_OVERHEAD_BYTES, WEBSOCKET_BUFFER_BYTES, WEBSOCKET_MESSAGES_MAX};
use crate::edge::append::{self, Arrived, Begun};
use crate::edge::body::Paid;
use crate::edge::problem::Problem;
use crate::edge::{Edge, Intake};
use crate::runtime::clock;
use crate::runtime::phases::Phase;
use crate::stream::{ReadError, Stream};
use crate::tap::feed::End as StreamEnd;
use crate::tap::query::Messages;
use crate::tap::reader::{Next, Piece, Reader};
use crate::tap::taps::OpenTap;

/// How long a client may take to answer a close.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<PaidSocket>;

/// What a WebSocket is for.
#[derive(Debug)]
pub struct Session {
    edge: Arc<Edge>,
    stream: Arc<str>,
    reader: Option<Reader>,
    messages: Messages,
    open: OpenTap,
}

/// Why a session ends.
#[derive(Debug)]
enum End {
    /// Told to the client.
    Close(CloseCode, &'static str),
    /// The connection is of no more use.
    Gone,
}

/// A message whose client is not told yet.
#[derive(Debug)]
struct Waiting {
    id: String,
    begun: Result<Begun, Problem>,
}

/// A session that runs.
struct Running {
    socket: Socket,
    edge: Arc<Edge>,
    stream: Arc<str>,
    messages: Messages,
    open: OpenTap,
    /// In the order in which they came.
    waiting: VecDeque<Waiting>,
    /// Messages so far.
    count: u64,
    heard: Instant,
}

impl Session {
    /// Reads what `reader` reads, if there is one, and takes messages for `stream`.
    pub fn new(edge: &Arc<Edge>, stream: &Arc<str>, reader: Option<Reader>, messages: Messages) -> Self {
        let open = OpenTap::new(&edge.taps.websockets, edge.taps.slow_after());
        Self { edge: Arc::clone(edge), stream: Arc::clone(stream), reader, messages, open }
    }

    /// Runs until either side ends it.
    pub async fn run(self, connection: Upgraded) {
        let Session { edge, stream, mut reader, messages, open } = self;
        let Ok(intake) = edge.intake(&stream) else { return };
        let bytes_max = usize::try_from(edge.server.body_bytes_max).unwrap_or(usize::MAX);
        let config = WebSocketConfig::default()
            .read_buffer_size(WEBSOCKET_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(bytes_max))
            .max_frame_size(Some(bytes_max));
        let paid = PaidSocket::new(connection, Arc::clone(&edge), intake.budget.take_anyway(0));
        let socket = WebSocketStream::from_raw_socket(paid, Role::Server, Some(config)).await;
        let (waiting, heard) = (VecDeque::new(), clock::monotonic());
        let mut running =
            Running { socket, edge: Arc::clone(&edge), stream, messages, open, waiting, count: 0, heard };
        let end = running.until_end(reader.as_mut(), &intake.stream).await;
        if let End::Close(code, reason) = end {
            running.close(code, reason).await;
        }
    }
}

/// What comes next; never, if there is nothing to read.
async fn next_of(reader: &mut Option<&mut Reader>) -> Result<Next, ReadError> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}

/// Returns when the oldest message is durable; never, if none waits.
async fn durable(waiting: &mut VecDeque<Waiting>) {
    match waiting.front_mut() {
        Some(Waiting { begun: Ok(begun), .. }) => {
            // What comes of it is asked for once more when it is told.
            let _ = begun.durable().await;
        }
        Some(_) => {}
        None => std::future::pending().await,
    }
}

impl Running {
    async fn until_end(&mut self, mut reader: Option<&mut Reader>, stream: &Stream) -> End {
        let phases = self.edge.phases.clone();
        let stopping = phases.reached(Phase::StoppingEdge);
        let deleted = stream.deleted();
        tokio::pin!(stopping, deleted);
        let mut heartbeats = tokio::time::interval(self.edge.taps.heartbeat());
        heartbeats.reset();
        loop {
            let ended = tokio::select! {
                biased;
                () = durable(&mut self.waiting) => self.acknowledge().await,
                () = &mut stopping => return self.drain(StreamEnd::Draining).await,
                () = &mut deleted => return self.drain(StreamEnd::Deleted).await,
                message = self.socket.next(), if self.waiting.len() < WEBSOCKET_MESSAGES_MAX => self.receive(message).await,
                next = next_of(&mut reader) => self.show(next).await,
                _ = heartbeats.tick() => self.beat().await,
            };
            if let Err(end) = ended {
                return end;
            }
        }
    }

    /// Sends something, unless the client takes nothing for too long.
    async fn send(&mut self, message: Message, records: u64) -> Result<(), End> {
        let bytes = message.len();
        self.open.waits();
        match tokio::time::timeout(self.edge.taps.slow_after(), self.socket.send(message)).await {
            Ok(Ok(())) => {
                self.open.sent(bytes, records);
                Ok(())
            }
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => {
                self.open.is_slow();
                Err(End::Gone)
            }
        }
    }

    async fn show(&mut self, next: Result<Next, ReadError>) -> Result<(), End> {
        match next {
            Ok(Next::Records(Piece { text, records })) => {
                // A page is UTF-8 as its records are; one of other bytes must not break the connection.
                let text = Utf8Bytes::try_from(text.clone())
                    .unwrap_or_else(|_| Utf8Bytes::from(String::from_utf8_lossy(&text).into_owned()));
                self.send(Message::Text(text), records).await
            }
            Ok(Next::Gap(skipped)) => {
                self.send(Message::text(format!("{{\"records\":[],\"skipped\":{skipped}}}")), 0).await
            }
            Ok(Next::Ended(end)) => Err(self.drain(end).await),
            Err(ReadError::NoMemory { .. }) => Err(End::Close(CloseCode::Again, "memory_full")),
            Err(_) => Err(End::Close(CloseCode::Error, "log_unreadable")),
        }
    }

    /// Tells about the messages that are durable, oldest first.
    async fn acknowledge(&mut self) -> Result<(), End> {
        let Some(Waiting { id, begun }) = self.waiting.pop_front() else { return Ok(()) };
        let done = match begun {
            Ok(begun) => begun.done().await,
            Err(problem) => Err(problem),
        };
        self.send(Message::text(message::ack(&id, &done)), 0).await
    }

    async fn receive(&mut self, message: Option<Result<Message, Error>>) -> Result<(), End> {
        self.heard = clock::monotonic();
        let message = match message {
            Some(Ok(message)) => message,
            None => return Err(End::Gone),
            Some(Err(error)) => return Err(self.end_of(&error)),
        };
        match message {
            Message::Text(text) => {
                let content = Bytes::from(text);
                self.begin(&content).await;
            }
            Message::Binary(content) => self.begin(&content).await,
            // The answer to a ping or a close is sent with the next flush.
            Message::Ping(_) | Message::Close(_) => return self.flush().await,
            Message::Pong(_) | Message::Frame(_) => {}
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), End> {
        match tokio::time::timeout(self.edge.taps.slow_after(), self.socket.flush()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone),
        }
    }

    /// Puts the records of a message into the log, or the reason why not in line.
    async fn begin(&mut self, content: &Bytes) {
        self.count += 1;
        let (id, message) = message::read(self.messages, content, self.count);
        let edge = Arc::clone(&self.edge);
        let begun = match (edge.intake(&self.stream), message) {
            (Ok(intake), Ok(message)) => begin(&edge, &intake, message).await,
            (Err(problem), _) | (_, Err(problem)) => Err(problem),
        };
        self.socket.get_mut().taken();
        self.waiting.push_back(Waiting { id, begun });
    }

    fn end_of(&mut self, error: &Error) -> End {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                End::Close(CloseCode::Size, "body_too_large")
            }
            Error::Protocol(_) => End::Close(CloseCode::Protocol, "protocol"),
            Error::Utf8(_) => End::Close(CloseCode::Invalid, "utf-8"),
            _ if self.socket.get_ref().is_refused() => End::Close(CloseCode::Again, "memory_full"),
            _ => End::Gone,
        }
    }

    /// Asks for a sign of life, and gives up a client that gives none.
    async fn beat(&mut self) -> Result<(), End> {
        if self.heard.elapsed() >= self.edge.taps.slow_after() && self.waiting.is_empty() {
            return Err(End::Close(CloseCode::Policy, "silent"));
        }
        self.send(Message::Ping(Bytes::new()), 0).await
    }

    /// Tells about what is in the log, and takes no more.
    async fn drain(&mut self, why: StreamEnd) -> End {
        while !self.waiting.is_empty() {
            if let Err(end) = self.acknowledge().await {
                return end;
            }
        }
        let code = match why {
            StreamEnd::Draining => CloseCode::Away,
            // There is nothing to come back for.
            StreamEnd::Deleted => CloseCode::Normal,
        };
        End::Close(code, why.word())
    }

    async fn close(&mut self, code: CloseCode, reason: &'static str) {
        let closing = async {
            if self.socket.close(Some(CloseFrame { code, reason: reason.into() })).await.is_ok() {
                // Until the client has answered, or has gone. What it sends is nobody's.
                while let Some(Ok(_)) = self.socket.next().await {
                    self.socket.get_mut().taken();
                }
            }
        };
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, closing).await;
    }
}

/// Pays for the records of a message, as for a body, and appends them.
async fn begin(edge: &Edge, intake: &Intake, message: message::Message<'_>) -> Result<Begun, Problem> {
    let message::Message { framing, records, key, idempotency_key } = message;
    let permit = edge.admit(&intake.budget, REQUEST_OVERHEAD_BYTES + records.len() as u64)?;
    // A copy, because the message may be a small part of a large buffer.
    let paid = Paid { bytes: records.to_vec(), permit };
    let idempotency_key = idempotency_key.as_deref().map(str::as_bytes);
    append::begin(edge, intake, Arrived { framing, key: key.as_deref(), idempotency_key, paid }).await
}
