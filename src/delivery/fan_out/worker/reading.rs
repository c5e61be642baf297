//! Reading from the stream into messages, shard by shard in turn.

use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Headers, OwnedHeaders};

use super::{Round, Worker};
use crate::config::checked::KafkaCompression;
use crate::config::limits::{DELIVERY_READ_BYTES, FAN_OUT_BATCH_OVERHEAD, FAN_OUT_MESSAGE_BYTES};
use crate::delivery::Fields;
use crate::delivery::classify::{Dead, Record};
use crate::delivery::fan_out::producer::{Failed, Message, Remedy};
use crate::delivery::fan_out::progress;
use crate::delivery::fan_out::transaction::Lost;
use crate::delivery::files::Position;
use crate::delivery::prefix::RecordFacts;
use crate::delivery::worker::{Trouble, gaps};
use crate::kafka::Fault;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock;
use crate::stream::{Numbering, Payer, Read, ReadError, ReadLimit, Slice};

/// Reason of a dead letter that no batch of its topic has room for.
const TOO_LARGE: &str = "too_large";
/// Reason of one that a broker refuses for another reason.
const REFUSED: &str = "refused";

/// What has to be done before a record can be sent.
enum Hindrance {
    /// To ask about a topic, known by the bytes in `scratch`.
    Topic(String),
    /// To make the topic of dead letters.
    DeadTopic,
    /// The client does not take it.
    Failed(Failed),
}

impl Worker {
    /// Reads and sends about [`DELIVERY_READ_BYTES`], taking the shards in turn.
    pub(super) async fn read_round(&mut self) -> Result<Round, Failed> {
        let (mut left, mut waits) = (DELIVERY_READ_BYTES, false);
        self.topics.forget_old(clock::monotonic());
        for step in 0..self.places.len() {
            let index = (self.turn + step) % self.places.len();
            if !self.has_more(index) {
                continue;
            }
            if self.is_full() {
                self.turn = index;
                return Ok(Round::MoreToRead);
            }
            let is_in_trouble =
                self.places[index].trouble.as_ref().is_some_and(|trouble| trouble.until().is_some());
            if !is_in_trouble {
                left = left.saturating_sub(self.read_shard(index, left).await?);
            }
            waits |= self.places[index].trouble.is_some();
            if left == 0 {
                self.turn = (index + 1) % self.places.len();
                return Ok(Round::MoreToRead);
            }
        }
        Ok(match left {
            DELIVERY_READ_BYTES if waits => Round::Waiting,
            DELIVERY_READ_BYTES => Round::CaughtUp,
            _ => Round::MoreToRead,
        })
    }

    fn has_more(&self, index: usize) -> bool {
        let Some(place) = self.places.get(index) else { return false };
        let Some(shard) = self.layout.get(place.shard) else { return false };
        let position = |id| self.places.iter().find(|place| place.shard == id).map(|place| place.next);
        shard.log_ref().bounds().next > place.next && self.layout.may_read(&shard.facts, position)
    }

    /// Reads from one shard until the bytes are read, or nothing more may be sent; returns the payload bytes.
    async fn read_shard(&mut self, index: usize, bytes_max: u64) -> Result<u64, Failed> {
        let Some(place) = self.places.get(index) else { return Ok(0) };
        let (shard, from, found) = (place.shard, place.next, place.found);
        let read = match self.read_log((shard, from), bytes_max).await {
            Ok(read) => read,
            Err(why) => {
                let status = &self.parts.status;
                let trouble = || Box::new(Trouble::none(status));
                let place = &mut self.places[index];
                place.trouble.get_or_insert_with(trouble).failed("the log cannot be read", &why);
                return Ok(0);
            }
        };
        if let Some(mut trouble) = self.places[index].trouble.take() {
            trouble.passed();
        }
        self.ensure_open().await?;
        let (mut bytes, mut next, mut result) = (0, read.next, Ok(()));
        for slice in &read.slices {
            bytes += slice.batch.payload_bytes();
            let sent = match self.send_slice(shard, slice).await {
                Ok(sent) => sent,
                Err((sent, failed)) => {
                    result = Err(failed);
                    sent
                }
            };
            self.parts.status.metrics.read.increment(sent as u64);
            if sent < slice.len() {
                next = SequenceNumber(slice.first.0 + sent as u64);
                break;
            }
        }
        if let Some(open) = &mut self.open {
            open.pay();
            // A record that is gone is passed over with those that are not: once.
            for gap in gaps(from, &read).filter_map(|gap| gap.below(next)) {
                if matches!(read.numbering, Numbering::Sparse { .. }) && gap.lost() == 0 {
                    open.unnumbered += gap.numbers.end.0 - gap.numbers.start.0;
                    continue;
                }
                let (records, counted) = (gap.lost(), gap.lost_behind(found));
                open.lost.push(Lost { shard, records, counted });
            }
        }
        self.places[index].next = next;
        result.map(|()| bytes.max(1))
    }

    async fn read_log(&self, from: (ShardId, SequenceNumber), bytes_max: u64) -> Result<Read, String> {
        let payer = Payer { budget: Arc::clone(&self.parts.budget), overdraws: true };
        let (stream, limit) = (&self.parts.stream, ReadLimit::bytes(bytes_max));
        let read = match &self.parts.fields {
            Fields::OfStream(slots) => stream.read_captured(from, limit, &payer, *slots).await,
            Fields::Own(plan) => stream.read_with(from, limit, &payer, plan).await,
        };
        let read = read.map_err(|error: ReadError| error.to_string())?;
        // A read of a shard that has more must lead on; otherwise it would be repeated without end.
        if read.slices.is_empty() && read.next <= from.1 {
            return Err(format!("it has records behind {}, but gives none", from.1));
        }
        Ok(read)
    }

    /// Sends records of a slice until nothing more may be added. Returns how many it got to, also where it fails.
    async fn send_slice(&mut self, shard: ShardId, slice: &Slice) -> Result<usize, (usize, Failed)> {
        let (mut sent, arrival) = (0, slice.batch.source.arrival);
        if let Some(open) = &mut self.open {
            open.oldest = Some(open.oldest.map_or(arrival, |oldest| oldest.min(arrival)));
        }
        while sent < slice.len() && !self.has_enough() {
            let number = SequenceNumber(slice.first.0 + sent as u64);
            let position = Position { shard, number, arrival };
            let at = Record { batch: &slice.batch, index: slice.skip + sent, position };
            match self.send(&at) {
                Ok(()) => sent += 1,
                Err(hindrance) => self.remove(hindrance).await.map_err(|failed| (sent, failed))?,
            }
        }
        Ok(sent)
    }

    fn has_enough(&self) -> bool {
        let bytes_max = self.parts.config.sink.transaction_bytes;
        self.is_outpaced || self.open.as_ref().is_none_or(|open| open.bytes >= bytes_max)
    }

    /// Sends one record, or its dead letter.
    fn send(&mut self, at: &Record<'_>) -> Result<(), Hindrance> {
        match self.send_record(at) {
            Ok(()) => Ok(()),
            Err(Unsent::Dead(dead)) => self.send_letter(at, &dead),
            Err(Unsent::Hindered(hindrance)) => Err(hindrance),
        }
    }

    fn send_record(&mut self, at: &Record<'_>) -> Result<(), Unsent> {
        let parts = Arc::clone(&self.parts);
        let (sink, slots) = (&parts.config.sink, &parts.slots);
        let place = (at.position.shard, at.position.number);
        if let Some(dead) = at.refusal() {
            return Err(Unsent::Dead(dead));
        }
        let refusal = self.refusal_of(place);
        let pointer_values = |field: usize| slots.topic.get(field).and_then(|&slot| at.captured(slot));
        let facts = RecordFacts {
            stream: parts.stream.name(),
            delivery: &parts.config.name,
            shard: at.position.shard,
            number: at.position.number,
            arrival: at.position.arrival,
            event_time: None,
            pointer_values: &pointer_values,
            reason: "",
        };
        self.scratch.clear();
        sink.topic.fields().partition_key(&facts, &mut self.scratch).map_err(Dead::from)?;
        let Some(topic) = self.topics.get(&self.scratch) else {
            let name = sink.topic.name(&facts)?;
            self.topics.room()?;
            return Err(Unsent::Hindered(Hindrance::Topic(name)));
        };
        let field = slots.partition.and_then(|slot| at.captured(slot));
        let partition = topic.partition(&sink.partitioner, (at.key(), at.position.shard), field)?;
        let (key, payload) = (self.writer.key(at, slots), at.payload());
        let size = (payload.len() + key.as_ref().map_or(0, |key| key.len())) as u64;
        let too_large = |limit: u64| Dead {
            reason: TOO_LARGE,
            message: format!("{size} bytes, and topic '{}' takes {limit}", topic.name),
        };
        if let Some(limit) = topic.bytes_max.filter(|_| sink.compression == KafkaCompression::None)
            && size + FAN_OUT_BATCH_OVERHEAD > limit
        {
            return Err(too_large(limit).into());
        }
        let headers = self.writer.headers(at, slots);
        let bytes = || size + bytes_of(headers.as_ref());
        // Compressed, it may be the smaller one that is too large.
        let tells_size = sink.compression == KafkaCompression::None;
        if let Some(dead) = refusal {
            if dead.reason == TOO_LARGE && tells_size {
                self.topics.has_refused(&self.scratch, bytes());
            }
            return Err(Unsent::Dead(dead));
        }
        if let Some(refused) = topic.refuses(bytes).filter(|_| tells_size) {
            let message = format!("topic '{}' has refused a message of {refused} bytes", topic.name);
            return Err(Dead { reason: TOO_LARGE, message }.into());
        }
        let (Some(open), Some(producer)) = (&mut self.open, &self.producer) else { return Ok(()) };
        let message = Message {
            topic: &topic.name,
            partition,
            key: key.as_deref(),
            payload,
            millis: at.position.arrival.0.div_euclid(1_000),
            headers,
        };
        match producer.send(message, open.next_message()) {
            Ok(()) => {
                open.sent(place, false, size + FAN_OUT_MESSAGE_BYTES);
                open.bytes += size;
                open.records += 1;
                Ok(())
            }
            Err(RDKafkaErrorCode::MessageSizeTooLarge) => {
                Err(too_large(u64::from(i32::MAX.unsigned_abs())).into())
            }
            Err(code) => {
                let name = topic.name.to_string();
                Err(Unsent::Hindered(Hindrance::Failed(self.not_sent(code, &name))))
            }
        }
    }

    /// Why a broker has refused this record, if one has.
    fn refusal_of(&self, place: (ShardId, SequenceNumber)) -> Option<Dead> {
        if self.refused.is_empty() {
            return None;
        }
        let &code = self.refused.get(&place)?;
        let is_size =
            matches!(code, RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge);
        let reason = if is_size { TOO_LARGE } else { REFUSED };
        Some(Dead { reason, message: format!("the broker refuses it: {code}") })
    }

    /// Sends what cannot be delivered to the topic of dead letters: all of it, in parts where it is large.
    fn send_letter(&mut self, at: &Record<'_>, dead: &Dead) -> Result<(), Hindrance> {
        if !self.has_dead_topic {
            return Err(Hindrance::DeadTopic);
        }
        let parts = Arc::clone(&self.parts);
        let (Some(open), Some(producer)) = (&mut self.open, &self.producer) else { return Ok(()) };
        let (place, payload) = ((at.position.shard, at.position.number), at.payload());
        let count = payload.len().div_ceil(self.letter_bytes).max(1);
        let key = self.writer.letter_key(at, &parts.slots);
        let mut failed = None;
        for part in 0..count {
            let from = part * self.letter_bytes;
            let piece = payload.get(from..payload.len().min(from + self.letter_bytes)).unwrap_or_default();
            let message = Message {
                topic: &parts.config.dead_topic,
                partition: None,
                key: Some(&key),
                payload: piece,
                millis: at.position.arrival.0.div_euclid(1_000),
                headers: Some(self.writer.letter_headers(at, dead, (part, count))),
            };
            match producer.send(message, open.next_message()) {
                Ok(()) => open.sent(place, true, piece.len() as u64 + FAN_OUT_MESSAGE_BYTES),
                Err(code) => {
                    failed = Some(code);
                    break;
                }
            }
        }
        if let Some(code) = failed {
            // Some parts may be sent, so that all of it has to go.
            return Err(Hindrance::Failed(self.not_sent(code, &parts.config.dead_topic)));
        }
        open.bytes += payload.len() as u64;
        *open.dead.entry(dead.reason).or_default() += 1;
        Ok(())
    }

    /// Does what has to be done before a record can be sent.
    async fn remove(&mut self, hindrance: Hindrance) -> Result<(), Failed> {
        let again = |fault: Fault| Failed { fault, remedy: Remedy::Again };
        match hindrance {
            Hindrance::Topic(name) => {
                let key = std::mem::take(&mut self.scratch);
                let asked = self.topics.ask(&self.connection, &key, &name, clock::monotonic()).await;
                self.scratch = key;
                asked.map_err(again)?;
                if let Some(limit) = self.topics.bytes_max().filter(|&limit| limit < self.pace.batch_bytes) {
                    self.pace.batch_bytes = limit;
                    self.is_outpaced = true;
                }
                Ok(())
            }
            Hindrance::DeadTopic => {
                progress::make_dead_topic(&self.connection, &self.parts.config.dead_topic)
                    .await
                    .map_err(again)?;
                self.has_dead_topic = true;
                Ok(())
            }
            Hindrance::Failed(failed) => Err(failed),
        }
    }
}

/// Why a record was not sent.
enum Unsent {
    Dead(Dead),
    Hindered(Hindrance),
}

impl From<Dead> for Unsent {
    fn from(dead: Dead) -> Self {
        Self::Dead(dead)
    }
}

/// Bytes of the names and values of headers.
fn bytes_of(headers: Option<&OwnedHeaders>) -> u64 {
    let headers = headers.into_iter().flat_map(|headers| headers.iter());
    headers.map(|header| (header.key.len() + header.value.map_or(0, <[u8]>::len)) as u64).sum()
}
