//! One WebSocket, from the handshake to its close.

mod taken;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use tokio::io::AsyncWriteExt;
use tokio::time::error::Elapsed;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::fragments;
use super::socket::PaidSocket;
use crate::config::limits::{WEBSOCKET_BUFFER_BYTES, WEBSOCKET_MESSAGES_MAX};
use crate::edge::Edge;
use crate::edge::gate::Entry;
use crate::edge::gate::renewal::Renewal;
use crate::edge::identity::policy::Action;
use crate::edge::mapping::Asked;
use crate::edge::problem::Problem;
use crate::edge::upgrade::Left;
use crate::runtime::clock;
use crate::runtime::phases::Phase;
use crate::stream::Stream;
use crate::tap::feed::End as StreamEnd;
use crate::tap::named::cursor::NamedCursor;
use crate::tap::paced::Paced;
use crate::tap::query::Messages;
use crate::tap::reader::{Next, Piece};
use crate::tap::taps::OpenTap;
use crate::tap::text::write_shards;

use taken::{Waiting, durable};

/// How long a client may take to answer a close.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<PaidSocket>;

/// What a WebSocket is for.
#[derive(Debug)]
pub struct Session {
    edge: Arc<Edge>,
    stream: Arc<str>,
    entry: Entry,
    /// What its request was like, where that is added to records.
    asked: Option<Asked>,
    reader: Option<Paced>,
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
    /// The client takes nothing.
    Slow,
}

/// A session that runs.
struct Running {
    socket: Socket,
    edge: Arc<Edge>,
    stream: Arc<str>,
    entry: Entry,
    asked: Option<Asked>,
    messages: Messages,
    /// The worker that it is, and its named cursor.
    worker: Option<(Arc<NamedCursor>, Arc<str>)>,
    open: OpenTap,
    /// What it is for, which has to be allowed for as long as it is open.
    purpose: Action,
    /// In the order in which they came.
    waiting: VecDeque<Waiting>,
    /// Messages so far.
    count: u64,
    heard: Instant,
}

impl Session {
    /// Reads what `reader` reads, if there is one, and takes messages for `stream`.
    pub fn new(
        edge: &Arc<Edge>,
        (stream, entry, asked): (&Arc<str>, &Entry, Option<Asked>),
        reader: Option<Paced>,
        messages: Messages,
    ) -> Self {
        let open = OpenTap::new(&edge.taps.websockets, edge.taps.slow_after());
        let (edge, stream, entry) = (Arc::clone(edge), Arc::clone(stream), entry.clone());
        Self { edge, stream, entry, asked, reader, messages, open }
    }

    /// Runs until either side ends it. `is_stream` if it has a stream of an HTTP/2 connection.
    pub async fn run(self, connection: Upgraded, is_stream: bool) -> Left {
        let Session { edge, stream, entry, asked, mut reader, messages, open } = self;
        let Ok(intake) = edge.intake(&stream) else { return Left::Nothing };
        let bytes_max = usize::try_from(edge.server.body_bytes_max).unwrap_or(usize::MAX);
        let config = WebSocketConfig::default()
            .read_buffer_size(WEBSOCKET_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(bytes_max))
            .max_frame_size(Some(bytes_max));
        let paid =
            PaidSocket::new(connection, Arc::clone(&edge), entry.competitor(), intake.budget.take_anyway(0));
        let socket = WebSocketStream::from_raw_socket(paid, Role::Server, Some(config)).await;
        let (waiting, heard) = (VecDeque::new(), clock::monotonic());
        let worker = reader.as_ref().and_then(Paced::worker);
        // One that reads and may not put records is told so for each message.
        let purpose = if reader.is_some() { Action::Tap } else { Action::Ingest };
        let (edge, count) = (Arc::clone(&edge), 0);
        let mut running = Running {
            socket,
            edge,
            stream,
            entry,
            asked,
            messages,
            worker,
            open,
            purpose,
            waiting,
            count,
            heard,
        };
        let end = running.until_end(reader.as_mut(), &intake.stream).await;
        // A worker's shards are for others from here on.
        drop(reader);
        match end {
            // Bytes of a socket go with it.
            End::Slow if !is_stream => return Left::Nothing,
            End::Slow => return Left::Stuck,
            End::Close(code, reason) => running.close(code, reason).await,
            End::Gone => {}
        }
        if is_stream { running.let_go().await } else { Left::Nothing }
    }
}

/// What comes next; never, if there is nothing to read.
async fn next_of(reader: &mut Option<&mut Paced>) -> Result<Next, Problem> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}

impl Running {
    async fn until_end(&mut self, mut reader: Option<&mut Paced>, stream: &Stream) -> End {
        let phases = self.edge.phases.clone();
        let stopping = phases.reached(Phase::StoppingEdge);
        let deleted = stream.deleted();
        let renewal = Renewal::new(&self.edge, &self.entry, self.purpose, &self.stream).next();
        tokio::pin!(stopping, deleted, renewal);
        let mut heartbeats = tokio::time::interval(self.edge.taps.heartbeat());
        heartbeats.reset();
        loop {
            let ended = tokio::select! {
                biased;
                () = durable(&mut self.waiting) => self.acknowledge().await,
                () = &mut stopping => return self.drain(StreamEnd::Draining).await,
                () = &mut deleted => return self.drain(StreamEnd::Deleted).await,
                (again, entry) = &mut renewal => {
                    renewal.set(again.next());
                    self.renew(entry).await
                }
                message = self.socket.next(), if self.waiting.len() < WEBSOCKET_MESSAGES_MAX => self.receive(message).await,
                next = next_of(&mut reader) => {
                    let at = match (&next, &reader) {
                        (Ok(Next::Shards(_) | Next::Gap(_)), Some(reader)) => reader.cursor().to_string(),
                        _ => String::new(),
                    };
                    self.show(next, &at).await
                }
                _ = heartbeats.tick() => self.beat().await,
            };
            if let Err(end) = ended {
                return end;
            }
        }
    }

    /// Goes on if it would be let in now as well. What was taken before is told about at the end.
    async fn renew(&mut self, entry: Option<Entry>) -> Result<(), End> {
        if let Some(entry) = entry {
            self.entry = entry;
            return Ok(());
        }
        while !self.waiting.is_empty() {
            self.acknowledge().await?;
        }
        Err(End::Close(CloseCode::Policy, "forbidden"))
    }

    /// Sends a text, which is UTF-8, unless the client takes nothing for too long.
    async fn send(&mut self, text: impl Into<Bytes>, records: u64) -> Result<(), End> {
        let text = text.into();
        self.open.waits();
        let sent =
            tokio::time::timeout(self.edge.taps.slow_after(), fragments::send(&mut self.socket, &text)).await;
        self.was_taken(sent)?;
        self.open.sent(text.len(), records);
        Ok(())
    }

    fn was_taken(&mut self, sent: Result<Result<(), Error>, Elapsed>) -> Result<(), End> {
        match sent {
            Ok(sent) => sent.map_err(|_| End::Gone),
            Err(_) => {
                self.open.is_slow();
                Err(End::Slow)
            }
        }
    }

    async fn show(&mut self, next: Result<Next, Problem>, at: &str) -> Result<(), End> {
        match next {
            Ok(Next::Records(Piece { text, records })) => {
                // A page is UTF-8 as its records are; one of other bytes must not break the connection.
                let text = match str::from_utf8(&text) {
                    Ok(_) => text,
                    Err(_) => String::from_utf8_lossy(&text).into_owned().into(),
                };
                self.send(text, records).await
            }
            Ok(Next::Gap(skipped)) => {
                self.send(format!("{{\"records\":[],\"next\":\"{at}\",\"skipped\":{skipped}}}"), 0).await
            }
            Ok(Next::Ended(end)) => Err(self.drain(end).await),
            Ok(Next::Shards(shards)) => {
                let mut text =
                    format!("{{\"records\":[],\"next\":\"{at}\",\"skipped\":0,\"shards\":").into_bytes();
                write_shards(&mut text, &shards);
                text.push(b'}');
                self.send(text, 0).await
            }
            Err(Problem::MemoryFull) => Err(End::Close(CloseCode::Again, "memory_full")),
            Err(Problem::CursorNotKept(_)) => Err(End::Close(CloseCode::Again, "cursor_not_kept")),
            Err(Problem::UnknownCursor(_)) => Err(End::Close(CloseCode::Policy, "unknown_cursor")),
            Err(_) => Err(End::Close(CloseCode::Error, "log_unreadable")),
        }
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
        let sent = tokio::time::timeout(self.edge.taps.slow_after(), self.socket.flush()).await;
        self.was_taken(sent)
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
        self.open.waits();
        let ping = self.socket.send(Message::Ping(Bytes::new()));
        let sent = tokio::time::timeout(self.edge.taps.slow_after(), ping).await;
        self.was_taken(sent)?;
        self.open.sent(0, 0);
        Ok(())
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
            StreamEnd::Deleted | StreamEnd::WorkerLeft => CloseCode::Normal,
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

    /// Waits until hyper has passed on what was written to the stream: it has no other end but that of the connection.
    async fn let_go(self) -> Left {
        let Running { mut socket, edge, open, waiting, .. } = self;
        // It reads no more, and what it has begun is in the log.
        drop((open, waiting));
        let stopped = async {
            edge.phases.reached(Phase::StoppingEdge).await;
            tokio::time::sleep(GOODBYE_TIMEOUT).await;
        };
        tokio::select! {
            biased;
            // An error is a stream that is gone.
            _ = socket.get_mut().shutdown() => Left::Nothing,
            () = tokio::time::sleep(edge.taps.slow_after()) => Left::Stuck,
            () = stopped => Left::Stuck,
        }
    }
}
