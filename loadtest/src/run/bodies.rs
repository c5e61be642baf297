//! Request bodies, made ahead of the connections that send them.
//!
//! A connection that had to make its own records would measure itself. A feeder thread keeps a short, bounded queue
//! filled for each of its connections and sleeps while all of them are full.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use flate2::write::GzEncoder;
use forebay::runtime::clock::{self, UnixMicros};
use forebay::testkit::generators::{Generator, envelope};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::aws::{Caller, Credentials};
use super::link::{IDEMPOTENCY_KEY, RequestHead};
use super::plan::Compression;
use super::replay::ReplayFile;
use super::workload::{Protocol, Span};

/// Bytes of all bodies that wait to be sent, about; each connection has at least one all the same.
const AHEAD_BYTES: usize = 128 << 20;

/// Bodies that wait for one connection.
const AHEAD_MAX: usize = 16;

/// Bytes of the line that tells a body's length, and of the empty one behind it.
const LENGTH_LINE_BYTES: usize = 40;

/// Bytes that are reserved for several short requests together.
const ROOM_BYTES_MAX: usize = 32 << 10;

/// How long a feeder sleeps if nobody wakes it.
const PARK: Duration = Duration::from_millis(50);

/// A request: records of one producer, in order.
#[derive(Debug)]
pub(super) struct Body {
    /// What the connection's protocol sends: for HTTP/1.1 all of the request, its head included.
    pub(super) bytes: Bytes,
    /// Bytes of the body alone.
    pub(super) body_bytes: u64,
    /// Bytes before compression, line feeds included.
    pub(super) payload_bytes: u64,
    /// Place of the producer among those of its connection.
    pub(super) producer: usize,
    /// Sequence of the first record.
    pub(super) first: u64,
    pub(super) records: u64,
}

/// What makes the records of one producer.
pub(super) enum Records {
    /// They are made.
    Made(Box<Generator>),
    /// They are read: every `step`-th object of the file.
    Replayed { file: Arc<ReplayFile>, producer: String, sequence: u64, next: u64, step: u64 },
}

impl Records {
    fn next_sequence(&self) -> u64 {
        match self {
            Records::Made(generator) => generator.next_sequence(),
            Records::Replayed { sequence, .. } => *sequence,
        }
    }

    pub(super) fn producer(&self) -> &str {
        match self {
            Records::Made(generator) => generator.producer(),
            Records::Replayed { producer, .. } => producer,
        }
    }

    fn append(&mut self, at: UnixMicros, out: &mut Vec<u8>) {
        match self {
            Records::Made(generator) => generator.append(at, out),
            Records::Replayed { file, producer, sequence, next, step } => {
                envelope::wrap(out, producer, *sequence, file.members(*next));
                *sequence += 1;
                *next += *step;
            }
        }
    }
}

/// Names a request. A producer counts its records and is of one run alone, so no other request has the name.
pub(super) fn key(producer: &str, first: u64) -> String {
    format!("{producer}/{first}")
}

/// How the requests of a connection are made.
pub(super) struct Recipe {
    pub(super) head: Arc<RequestHead>,
    pub(super) stream: String,
    /// Of the server's URL.
    pub(super) prefix: String,
    pub(super) authority: String,
    pub(super) credentials: Option<Credentials>,
    pub(super) batch: Span,
    pub(super) compression: Compression,
    pub(super) idempotent: bool,
    /// Of the batches.
    pub(super) seed: u64,
}

/// Makes the requests of one connection: its producers take turns.
pub(super) struct BodyMaker {
    /// With the records that each may still send.
    producers: Vec<(Records, u64)>,
    turn: usize,
    recipe: Recipe,
    caller: Caller,
    encoder: Encoder,
    text: Vec<u8>,
    /// Room for several requests, so that not each is an allocation that another thread gives back.
    room: BytesMut,
    /// Where each record in `text` ends.
    ends: Vec<usize>,
}

impl BodyMaker {
    pub(super) fn new(producers: Vec<(Records, u64)>, recipe: Recipe) -> io::Result<Self> {
        let encoder = Encoder::new(recipe.compression)?;
        let credentials = recipe.credentials.clone();
        let caller = Caller::new(recipe.head.protocol, recipe.authority.clone(), credentials);
        Ok(Self {
            producers,
            turn: 0,
            recipe,
            caller,
            encoder,
            text: Vec::new(),
            room: BytesMut::new(),
            ends: Vec::new(),
        })
    }

    /// The next request; nothing once every producer has sent what it may.
    pub(super) fn next(&mut self) -> io::Result<Option<Body>> {
        let count = self.producers.len();
        let Some(producer) =
            (0..count).map(|step| (self.turn + step) % count).find(|&at| self.producers[at].1 > 0)
        else {
            return Ok(None);
        };
        self.turn = producer + 1;
        let (records, left) = &mut self.producers[producer];
        let first = records.next_sequence();
        let batch = self.recipe.batch.draw(self.recipe.seed ^ first.rotate_left(20) ^ producer as u64);
        let batch = u64::from(batch).min(*left);
        *left -= batch;
        let at = clock::wall();
        let protocol = self.recipe.head.protocol;
        let is_framed = matches!(protocol, Protocol::Native | Protocol::Http2) && self.recipe.batch.high > 1;
        self.text.clear();
        self.ends.clear();
        for _ in 0..batch {
            records.append(at, &mut self.text);
            if is_framed {
                self.text.push(b'\n');
            } else {
                self.ends.push(self.text.len());
            }
        }
        let (bytes, body_bytes) = self.dress(producer, first)?;
        let payload_bytes = self.text.len() as u64;
        Ok(Some(Body { bytes, body_bytes, payload_bytes, producer, first, records: batch }))
    }

    /// What the connection sends, and how many bytes of it are body.
    fn dress(&mut self, producer: usize, first: u64) -> io::Result<(Bytes, u64)> {
        let Recipe { head, stream, prefix, idempotent, .. } = &self.recipe;
        let name = self.producers[producer].0.producer();
        let (text, mut start) = (&self.text, 0);
        let each = self.ends.iter().map(|&end| &text[std::mem::replace(&mut start, end)..end]);
        match head.protocol {
            Protocol::Native => {
                let key = match *idempotent {
                    true => format!("{IDEMPOTENCY_KEY}: {}\r\n", key(name, first)),
                    false => String::new(),
                };
                Ok(match self.encoder.encode(text)? {
                    Some(body) => request(&mut self.room, &head.lines, &key, &body),
                    None => request(&mut self.room, &head.lines, &key, text),
                })
            }
            Protocol::Http2 => {
                let body =
                    self.encoder.encode(text)?.map_or_else(|| Bytes::copy_from_slice(text), Bytes::from);
                let length = body.len() as u64;
                Ok((body, length))
            }
            Protocol::WebSocket => {
                let mut array = Vec::with_capacity(text.len() + self.ends.len() + 1);
                for record in each {
                    array.push(if array.is_empty() { b'[' } else { b',' });
                    array.extend_from_slice(record);
                }
                array.push(b']');
                let length = array.len() as u64;
                Ok((array.into(), length))
            }
            Protocol::Kinesis | Protocol::KinesisCbor | Protocol::Firehose => {
                self.caller.body(stream, name, each);
                let now = DateTime::from_timestamp_micros(clock::wall().0).unwrap_or_default();
                let lines = self.caller.headers(&format!("{prefix}/"), now);
                Ok(request(&mut self.room, &head.lines, &lines, self.caller.made()))
            }
        }
    }
}

/// A request of HTTP/1.1, whole.
fn request(room: &mut BytesMut, lines: &str, more: &str, body: &[u8]) -> (Bytes, u64) {
    let length = lines.len() + more.len() + body.len() + LENGTH_LINE_BYTES;
    if room.capacity() < length {
        // Kept until the last of its requests has gone, so that a lane has little more than its bodies ahead.
        *room = BytesMut::with_capacity(length.max((8 * length).min(ROOM_BYTES_MAX)));
    }
    room.extend_from_slice(lines.as_bytes());
    room.extend_from_slice(more.as_bytes());
    room.extend_from_slice(b"content-length: ");
    room.extend_from_slice(itoa::Buffer::new().format(body.len()).as_bytes());
    room.extend_from_slice(b"\r\n\r\n");
    room.extend_from_slice(body);
    (room.split().freeze(), body.len() as u64)
}

enum Encoder {
    None,
    Gzip,
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Encoder {
    fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Encoder::None,
            Compression::Gzip => Encoder::Gzip,
            Compression::Zstd => Encoder::Zstd(zstd::bulk::Compressor::new(1)?),
        })
    }

    /// Nothing if `text` stays as it is.
    fn encode(&mut self, text: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(match self {
            Encoder::None => None,
            Encoder::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(1));
                encoder.write_all(text)?;
                Some(encoder.finish()?)
            }
            Encoder::Zstd(compressor) => Some(compressor.compress(text)?),
        })
    }
}

/// How many bodies may wait for a connection.
pub(super) fn ahead(connections: u32, batch: u32, record_bytes: u32) -> usize {
    let body_bytes = batch as usize * record_bytes.max(700) as usize;
    (AHEAD_BYTES / body_bytes / connections as usize).clamp(1, AHEAD_MAX)
}

/// The end at which a connection takes its bodies.
pub(super) struct Queue {
    bodies: mpsc::Receiver<Body>,
    feeder: Thread,
    low: usize,
}

impl Queue {
    /// A body that is there already.
    pub(super) fn try_next(&mut self) -> Option<Body> {
        let body = self.bodies.try_recv().ok();
        self.wake();
        body
    }

    /// The next body, when it is made; nothing if there will be none.
    pub(super) async fn next(&mut self) -> Option<Body> {
        let body = self.bodies.recv().await;
        self.wake();
        body
    }

    /// Lets the feeder sleep until it can make several bodies in a row.
    fn wake(&self) {
        if self.bodies.len() <= self.low {
            self.feeder.unpark();
        }
    }
}

/// A thread that makes bodies for some connections. The queues must be gone before this is.
pub(super) struct Feeder {
    /// Nothing once it was joined.
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Drop for Feeder {
    fn drop(&mut self) {
        // A failure has a cause elsewhere that is told.
        let _ = self.end();
    }
}

impl Feeder {
    /// Starts to make bodies, at most `ahead` of them for each connection, until there are no more to make or
    /// nobody takes them. The queues are in the order of the makers.
    pub(super) fn start(makers: Vec<BodyMaker>, ahead: usize) -> (Self, Vec<Queue>) {
        let (senders, receivers): (Vec<_>, Vec<_>) = makers.iter().map(|_| mpsc::channel(ahead)).unzip();
        let lanes: Vec<_> = makers.into_iter().zip(senders).collect();
        let thread = thread::spawn(move || feed(lanes));
        let feeder = thread.thread().clone();
        let low = ahead / 2;
        let queue = |bodies| Queue { bodies, feeder: feeder.clone(), low };
        (Self { thread: Some(thread) }, receivers.into_iter().map(queue).collect())
    }

    /// Waits for its end. The queues must be gone by then.
    pub(super) fn join(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.thread().unpark();
        thread.join().unwrap_or_else(|_| Err(io::Error::other("a feeder thread panicked")))
    }
}

fn feed(mut lanes: Vec<(BodyMaker, mpsc::Sender<Body>)>) -> io::Result<()> {
    while !lanes.is_empty() {
        let mut has_made = false;
        let mut failure = None;
        lanes.retain_mut(|(maker, queue)| match queue.try_reserve() {
            Ok(slot) => match maker.next() {
                Ok(Some(body)) => {
                    slot.send(body);
                    has_made = true;
                    true
                }
                Ok(None) => false,
                Err(error) => {
                    failure = Some(error);
                    false
                }
            },
            Err(TrySendError::Full(())) => true,
            Err(TrySendError::Closed(())) => false,
        });
        if let Some(error) = failure {
            return Err(error);
        }
        if !has_made {
            thread::park_timeout(PARK);
        }
    }
    Ok(())
}
