//! What clients append: events of the load generator, about 600 bytes each.

use std::sync::Arc;

use bytes::Bytes;
use forebay::edge::decode::{Framing, RequestKey};
use forebay::record::{Batch, Content, RecordSpans, ShardId, Source, Span};
use forebay::runtime::clock::{self, UnixMicros};
use forebay::testkit::generators::{Generator, KeyPicker, Profile, Settings};

use crate::harness::door::Door;

const EVENT_BYTES: usize = 600;
const KEYS: u32 = 10_000;
/// Different bodies: with batches of 100, 2 MB.
const BODIES: usize = 32;

/// NDJSON bodies of `events` events each.
pub fn bodies(events: usize) -> Vec<Bytes> {
    let keys = Arc::new(KeyPicker::new(KEYS, 0.0).unwrap());
    let settings = Settings { profile: Profile::Clickstream, seed: 1, keys, record_bytes: EVENT_BYTES };
    let mut generator = Generator::new(&settings, "clickstream/bench/0").unwrap();
    let mut body = |_| {
        let mut body = Vec::new();
        for _ in 0..events {
            generator.append(UnixMicros(1_770_000_000_000_000), &mut body);
            body.push(b'\n');
        }
        Bytes::from(body)
    };
    (0..BODIES).map(&mut body).collect()
}

/// Where requests come from.
pub enum Feed {
    /// Decoded ahead: appending them costs what the log costs.
    Ready(Vec<Ready>),
    /// As they come from a socket: they are paid for, copied, decoded and cut into batches first.
    Bodies(Vec<Bytes>),
    /// The same, each with a key of its own for all its records, as from a device: it goes to one shard.
    Keyed(Vec<Bytes>),
}

/// A request of which everything is there but its time and its permit.
pub struct Ready {
    body: Bytes,
    side: Bytes,
    parts: Vec<Part>,
}

/// A batch without its source.
type Part = (ShardId, Box<[RecordSpans]>, Box<[Span]>);

impl Feed {
    /// [`Feed::Ready`] for a stream as `door` has it.
    pub fn ready(door: &Door, bodies: &[Bytes]) -> Self {
        Self::Ready(bodies.iter().map(|body| Ready::of(door.batches(Framing::Lines, body))).collect())
    }

    /// Request number `index`, and the bytes of its body.
    pub fn request(&self, door: &Door, index: usize) -> (Vec<(ShardId, Batch)>, u64) {
        match self {
            Feed::Ready(requests) => {
                let ready = &requests[index % requests.len()];
                (ready.batches(door), ready.body.len() as u64)
            }
            Feed::Bodies(bodies) => {
                let body = &bodies[index % bodies.len()];
                (door.batches(Framing::Lines, body), body.len() as u64)
            }
            Feed::Keyed(bodies) => {
                let body = &bodies[index % bodies.len()];
                let key = index.to_le_bytes();
                (door.batches_of(Framing::Lines, body, RequestKey::Given(&key)), body.len() as u64)
            }
        }
    }

    /// Bytes of a body, on average.
    pub fn body_bytes(&self) -> u64 {
        let (bytes, count) = match self {
            Feed::Ready(requests) => {
                (requests.iter().map(|ready| ready.body.len()).sum::<usize>(), requests.len())
            }
            Feed::Bodies(bodies) | Feed::Keyed(bodies) => (bodies.iter().map(Bytes::len).sum(), bodies.len()),
        };
        (bytes / count) as u64
    }
}

impl Ready {
    fn of(batches: Vec<(ShardId, Batch)>) -> Self {
        let source = Arc::clone(&batches[0].1.source);
        let part = |(shard, batch): (ShardId, Batch)| (shard, batch.records, batch.captures);
        let parts = batches.into_iter().map(part).collect();
        Self { body: source.body.clone(), side: source.side.clone(), parts }
    }

    fn batches(&self, door: &Door) -> Vec<(ShardId, Batch)> {
        let permit = door.admit(self.body.len() as u64);
        let (body, side) = (self.body.clone(), self.side.clone());
        let source = Arc::new(Source { body, content: Content::Json, side, arrival: clock::wall(), permit });
        let batch = |(shard, records, captures): &Part| {
            let (source, records, captures) = (Arc::clone(&source), records.clone(), captures.clone());
            (*shard, Batch { source, records, captures, aggregates: Box::default() })
        };
        self.parts.iter().map(batch).collect()
    }
}
