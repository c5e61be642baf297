//! Request bodies, made ahead of the connections that send them.
//!
//! A connection that had to make its own records would measure itself. A feeder thread keeps a short, bounded queue
//! filled for each of its connections and sleeps while all of them are full.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use bytes::Bytes;
use flate2::write::GzEncoder;
use forebay::runtime::clock::{self, UnixMicros};
use forebay::testkit::generators::{Generator, envelope};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::plan::Compression;
use super::replay::ReplayFile;

/// Bytes of all bodies that wait to be sent, about; each connection has at least one all the same.
const AHEAD_BYTES: usize = 128 << 20;

/// Bodies that wait for one connection.
const AHEAD_MAX: usize = 16;

/// How long a feeder sleeps if nobody wakes it.
const PARK: Duration = Duration::from_millis(50);

/// A request body: records of one producer, in order.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
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

/// Makes the bodies of one connection: its producers take turns.
pub(super) struct BodyMaker {
    /// With the records that each may still send.
    producers: Vec<(Records, u64)>,
    turn: usize,
    batch: u32,
    encoder: Encoder,
    text: Vec<u8>,
}

impl BodyMaker {
    pub(super) fn new(
        producers: Vec<(Records, u64)>,
        batch: u32,
        compression: Compression,
    ) -> io::Result<Self> {
        let encoder = Encoder::new(compression)?;
        Ok(Self { producers, turn: 0, batch, encoder, text: Vec::new() })
    }

    /// The next body; nothing once every producer has sent what it may.
    pub(super) fn next(&mut self) -> io::Result<Option<Body>> {
        let count = self.producers.len();
        let Some(producer) =
            (0..count).map(|step| (self.turn + step) % count).find(|&at| self.producers[at].1 > 0)
        else {
            return Ok(None);
        };
        self.turn = producer + 1;
        let (records, left) = &mut self.producers[producer];
        let batch = u64::from(self.batch).min(*left);
        *left -= batch;
        let first = records.next_sequence();
        let at = clock::wall();
        self.text.clear();
        for _ in 0..batch {
            records.append(at, &mut self.text);
            if self.batch > 1 {
                self.text.push(b'\n');
            }
        }
        let bytes = self.encoder.encode(&self.text)?;
        Ok(Some(Body { bytes, payload_bytes: self.text.len() as u64, producer, first, records: batch }))
    }
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

    fn encode(&mut self, text: &[u8]) -> io::Result<Bytes> {
        Ok(match self {
            Encoder::None => Bytes::copy_from_slice(text),
            Encoder::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(1));
                encoder.write_all(text)?;
                encoder.finish()?.into()
            }
            Encoder::Zstd(compressor) => compressor.compress(text)?.into(),
        })
    }
}

/// How many bodies may wait for a connection.
pub(super) fn ahead(connections: u32, batch: u32, record_bytes: usize) -> usize {
    let body_bytes = batch as usize * record_bytes.max(700);
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

/// A thread that makes bodies for some connections.
pub(super) struct Feeder {
    thread: JoinHandle<io::Result<()>>,
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
        (Self { thread }, receivers.into_iter().map(queue).collect())
    }

    /// Waits for its end. The queues must be gone by then.
    pub(super) fn join(self) -> io::Result<()> {
        self.thread.thread().unpark();
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("a feeder thread panicked")))
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
