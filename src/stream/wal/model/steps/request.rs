//! Requests: appended, and what becomes of them.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::Case;
use crate::record::{Batch, ShardId};
use crate::runtime::clock::UnixMicros;
use crate::stream::wal::frame;
use crate::stream::wal::model::expected::{Key, Record, Request};
use crate::stream::wal::samples::{self, Parts};
use crate::stream::wal::segment::SEGMENT_HEADER_BYTES;
use crate::stream::{AppendError, Appended, Claim, Known, NewReply, Replies};

/// Keys that clients use, so that they often use one again.
const KEYS: u8 = 12;
const REPLY_BYTES_MAX: usize = 200;

/// What is known of a key; `None` if a request with it is under way.
fn claim(replies: &Arc<Replies>, key: &[u8], fingerprint: u64, now: UnixMicros) -> Option<Known> {
    match pin!(replies.claim(key, fingerprint, now)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(known) => Some(known),
        Poll::Pending => None,
    }
}

fn key_bytes(key: u8) -> Vec<u8> {
    format!("key-{key}").into_bytes()
}

fn reply_of(key: u8, appended: &[(ShardId, Appended)]) -> Bytes {
    let places = appended.iter().map(|(id, place)| (id.0, place.first.0, place.last.0));
    Bytes::from(format!("{key}: {:?}", places.collect::<Vec<_>>()))
}

/// Where the model expects batches to go.
fn expected_reply(key: u8, batches: &[(usize, u64, Vec<Arc<Record>>)]) -> Bytes {
    let places = batches
        .iter()
        .map(|(shard, first, records)| (*shard as u32, *first, first + records.len() as u64 - 1));
    Bytes::from(format!("{key}: {:?}", places.collect::<Vec<_>>()))
}

impl Case {
    /// One request, with a key or without.
    pub(super) fn append(&mut self) {
        let (stream, _) = self.pick_shard();
        let key = (self.rng.u8(..3) == 0).then(|| (self.rng.u8(..KEYS), self.rng.u64(..2)));
        let reply = match key {
            None => None,
            Some((key, fingerprint)) => match self.claim_new(stream, key, fingerprint) {
                Some(claim) => Some((key, claim)),
                None => return,
            },
        };
        let batches = self.batches(stream);
        let is_too_large = self.is_too_large(&batches, reply.is_some());
        let is_full = self.node().journal.disk_is_full();
        let has_room = is_full && !self.faulty && !self.disk.is_off();
        let expected = self.expect(stream, &batches);
        let new_reply = reply.map(|(key, claim)| NewReply {
            claim,
            arrival: self.now(),
            make: Box::new(move |appended| reply_of(key, appended)),
            bytes_max: REPLY_BYTES_MAX,
        });
        let appended = self.node().streams[stream].append(batches, new_reply);
        self.note(|| {
            let to: Vec<_> = expected.iter().map(|(shard, first, of)| (*shard, *first, of.len())).collect();
            let result = appended.as_ref().map(|_| "taken");
            format!("append to {stream}: {to:?}, key {key:?}: {result:?}")
        });
        match appended {
            Ok(receipt) => {
                assert!(!is_too_large, "a request that does not fit into a segment is refused");
                let places = receipt
                    .appended()
                    .unwrap_or_default()
                    .iter()
                    .map(|(id, place)| (id.0 as usize, place.first.0));
                let wanted = expected.iter().map(|(shard, first, _)| (*shard, *first));
                assert_eq!(places.collect::<Vec<_>>(), wanted.collect::<Vec<_>>(), "numbers");
                let reply = key.map(|(key, _)| expected_reply(key, &expected));
                let ends =
                    expected.iter().map(|(shard, first, records)| (*shard, first + records.len() as u64));
                let key = key.zip(reply).map(|((key, fingerprint), reply)| Key {
                    key,
                    fingerprint,
                    arrival: self.now,
                    reply,
                    ends: ends.collect(),
                });
                let batches = expected;
                self.expected.pending.push_back(Request { stream, batches, key, receipt, has_room });
            }
            Err(AppendError::DiskFull) => {
                assert!(is_full, "there is room");
            }
            Err(
                error @ (AppendError::Resharding | AppendError::NoShard { .. } | AppendError::Deleted { .. }),
            ) => {
                panic!("{error}")
            }
            Err(error @ (AppendError::Busy | AppendError::ReadOnly { .. })) => panic!("{error}"),
            Err(AppendError::TooLarge { .. }) => assert!(is_too_large, "it would have fitted"),
            Err(AppendError::Unavailable(why)) => assert!(self.broken || !self.is_well(), "{why}"),
        }
    }

    /// Whether nothing was told to fail.
    pub(super) fn is_well(&self) -> bool {
        !self.faulty && !self.bounded && !self.disk.is_off()
    }

    /// Claims a key if the model says that it is free, and checks the answer if not.
    fn claim_new(&mut self, stream: usize, key: u8, fingerprint: u64) -> Option<Claim> {
        let now = self.now();
        let known = claim(self.node().streams[stream].replies(), &key_bytes(key), fingerprint, now);
        let oldest = now.0 - self.profile.window.as_micros() as i64;
        let answered = self.expected.keys.get(&(stream, key)).filter(|answered| answered.arrival >= oldest);
        let mut pending = self.expected.pending.iter().filter(|request| request.stream == stream);
        let is_under_way = pending.any(|request| request.key.as_ref().is_some_and(|of| of.key == key));
        let is_new = matches!(known, Some(Known::New(_)));
        self.trace.push(format!("key {key} of {stream}: under way {}, new {is_new}", known.is_none()));
        match (known, answered) {
            (None, _) => assert!(is_under_way, "nobody has the key"),
            (Some(Known::New(claim)), None) => {
                assert!(!is_under_way, "another request has the key");
                return Some(claim);
            }
            (Some(Known::Answered(reply)), Some(answered)) => {
                assert_eq!((reply, fingerprint), (answered.reply.clone(), answered.fingerprint));
            }
            (Some(Known::Other), Some(answered)) => assert_ne!(answered.fingerprint, fingerprint),
            (known, answered) => panic!("{known:?}, not {answered:?}"),
        }
        None
    }

    /// What is found of the keys of the model after a start: the key and its records, or neither.
    pub(super) fn check_keys(&mut self) {
        let now = self.now();
        let oldest = now.0 - self.profile.window.as_micros() as i64;
        for stream in 0..self.profile.streams.len() {
            for key in 0..KEYS {
                let expected = self.expected.keys.get(&(stream, key)).cloned();
                let expected = expected.filter(|expected| expected.arrival >= oldest);
                let fingerprint = expected.as_ref().map_or(0, |expected| expected.fingerprint);
                let replies = Arc::clone(self.node().streams[stream].replies());
                match (claim(&replies, &key_bytes(key), fingerprint, now), expected) {
                    (Some(Known::Answered(reply)), Some(expected)) => assert_eq!(reply, expected.reply),
                    (Some(Known::New(_)), None) => {}
                    (Some(Known::New(_)), Some(expected)) => {
                        let shards = &self.expected.shards[stream];
                        let is_gone = |(shard, end): &(usize, u64)| {
                            shards[*shard].first >= *end || !shards[*shard].records.contains_key(&(end - 1))
                        };
                        assert!(expected.ends.iter().all(is_gone), "key {key} is lost, its records are not");
                        self.expected.keys.remove(&(stream, key));
                    }
                    (known, expected) => panic!("key {key}: {known:?}, not {expected:?}"),
                }
            }
        }
    }

    /// Random batches, one a shard.
    fn batches(&mut self, stream: usize) -> Vec<(ShardId, Batch)> {
        let count = self.profile.streams[stream];
        let mut batches = Vec::new();
        for shard in 0..count {
            if batches.is_empty() && shard + 1 == count || self.rng.bool() {
                let records = self.records();
                let lengths: Vec<_> = (0..self.rng.usize(..4)).map(|_| self.rng.usize(..4)).collect();
                let batch = samples::batch_with_aggregates(&records, &lengths, self.now);
                batches.push((ShardId(shard), batch));
            }
        }
        batches
    }

    fn records(&mut self) -> Vec<Parts> {
        let usable = (self.profile.segment_bytes - SEGMENT_HEADER_BYTES) as usize;
        let count = if self.rng.u8(..8) == 0 { self.rng.usize(1..40) } else { self.rng.usize(1..4) };
        (0..count)
            .map(|_| {
                let bytes = match self.rng.u8(..64) {
                    0 => self.rng.usize(..usable + usable / 8),
                    1..=4 => self.rng.usize(..usable / 2),
                    5..=16 => self.rng.usize(..2_000),
                    _ => self.rng.usize(1..60),
                };
                self.record(bytes)
            })
            .collect()
    }

    fn record(&mut self, bytes: usize) -> Parts {
        self.requests += 1;
        let mut payload = self.requests.to_le_bytes().to_vec();
        let fill = self.rng.u8(..);
        payload.resize(bytes, fill);
        let key = match self.rng.u8(..3) {
            0 => None,
            1 => Some(b"k".to_vec()),
            _ => Some(vec![fill; usize::from(fill % 20)]),
        };
        let refusal = (self.rng.u8(..10) == 0).then(|| b"schema broken".to_vec());
        Parts { payload, key, refusal }
    }

    fn is_too_large(&self, batches: &[(ShardId, Batch)], has_key: bool) -> bool {
        let frames: u64 =
            batches.iter().map(|(_, batch)| frame::BatchSizes::of(batch).frame_bytes(batch)).sum();
        let reply = if has_key { frame::reply_bytes(&key_bytes(KEYS - 1), REPLY_BYTES_MAX) } else { 0 };
        let usable = self.profile.segment_bytes - SEGMENT_HEADER_BYTES;
        // Keys differ by a digit.
        frame::COMMIT_HEADER_BYTES as u64 + frames + reply > usable
    }

    fn expect(&self, stream: usize, batches: &[(ShardId, Batch)]) -> Vec<(usize, u64, Vec<Arc<Record>>)> {
        let records = |batch: &Batch| {
            let arrival = batch.source.arrival.0;
            let bytes = samples::kept_bytes(batch);
            let parts = samples::parts_of(batch).into_iter().zip(bytes);
            parts.map(|(parts, bytes)| Arc::new(Record { parts, bytes, arrival })).collect()
        };
        let place = |(id, batch): &(ShardId, Batch)| {
            let shard = id.0 as usize;
            (shard, self.expected.next_number(stream, shard), records(batch))
        };
        batches.iter().map(place).collect()
    }

    /// Takes over what was told about requests. Those that were taken first are told first, and when writing fails
    /// nothing is left.
    pub(super) fn hear(&mut self) {
        let mut failed = Vec::new();
        while let Some(request) = self.expected.pending.front_mut() {
            let told = pin!(&mut request.receipt).poll(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(result) = told else { break };
            let Some(request) = self.expected.pending.pop_front() else { break };
            match result {
                Ok(committed) => {
                    let reply = request.key.as_ref().map(|key| &key.reply);
                    assert_eq!(committed.reply.as_ref(), reply);
                    assert!(
                        failed.is_empty(),
                        "what comes behind a request that has failed has failed as well"
                    );
                    self.expected.commit(request);
                }
                Err(error) => {
                    assert!(
                        !request.has_room || self.faulty || self.disk.is_off(),
                        "there was room: {error}"
                    );
                    failed.push(request);
                }
            }
        }
        if failed.is_empty() {
            return;
        }
        self.trace.push(format!("{} requests have failed", failed.len()));
        assert!(self.expected.pending.is_empty(), "nothing waits once writing has failed");
        self.broken = true;
        self.nervous = 12;
        self.expected.limbo.extend(failed);
    }
}
