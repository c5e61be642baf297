//! SubscribeToShard: records of a shard as they come, for five minutes, as a stream of events.
//!
//! The feed of the stream's taps wakes a subscription, and only for records of its own shard: so what an append costs does
//! not grow with the shards that are read.
//!
//! Two events are in memory at a time, paid for from the taps' account: one that the connection is taking, and one that
//! waits for it. A client that does not read holds up its own subscription and nobody else's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::consumers::ConsumerName;
use super::get_records::{Page, PageLimit, PaidBytes};
use super::page_payer::{PagePayer, PagePermit};
use super::position::{Asked, POSITION_TYPES, only_if_wet};
use super::sequence::{Numbering, Printed};
use super::shapes::ChildShape;
use super::stream::{find, find_shard};
use super::subscriptions::{End, Key, Subscription};
use crate::edge::Edge;
use crate::edge::aws::Request;
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::edge::aws::protocol::validation::{Pattern, Violations};
use crate::edge::aws::protocol::values::Time;
use crate::edge::aws::protocol::{self, Encoding, event_stream};
use crate::edge::gate::throttle::charge::{Charge, Held};
use crate::edge::reply::{Body, Pieces};
use crate::record::SequenceNumber;
use crate::runtime::bucket::Bucket;
use crate::runtime::clock;
use crate::runtime::phases::{Phase, Phases};
use crate::stream::quotas::Quotas;
use crate::stream::{ReadError, ShardFacts, Stream};
use crate::tap::taps::{self, OpenTap};

/// How long a subscription lasts.
const LIFETIME: Duration = Duration::from_secs(300);

/// How often a client is told how far it is where there is nothing to read, at least: shorter than its patience. More
/// often where `[server] idle_timeout` is short.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a subscription waits for memory before it asks again.
const MEMORY_WAIT: Duration = Duration::from_millis(50);

/// What an event takes: at 100 MB/s a hundred of them a second, and 1.4 MB of memory each.
const EVENT: PageLimit = PageLimit { records: 10_000, bytes: 1 << 20 };

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Members {
    #[serde(rename = "ConsumerARN")]
    consumer_arn: Option<String>,
    shard_id: Option<String>,
    starting_position: Option<Starting>,
    dry_run: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Starting {
    r#type: Option<String>,
    sequence_number: Option<String>,
    timestamp: Option<Time>,
}

/// SubscribeToShard.
///
/// # Errors
/// Why it is refused.
pub async fn answer(edge: &Edge, mut request: Request<'_>) -> Result<Response<Body>, Failure> {
    let mut charge = std::mem::replace(&mut request.charge, Charge::free());
    let members: Members = request.members()?;
    check(&members)?;
    let consumer = members.consumer_arn.as_deref().and_then(ConsumerName::of_arn);
    let consumer = consumer.ok_or_else(|| Failure::invalid("ConsumerARN names no consumer."))?;
    consumer.find(edge, &request.caller)?;
    let intake = find(edge, &request.caller, &consumer.stream)?;
    let shard = find_shard(&intake, &request.caller, members.shard_id.as_deref().unwrap_or_default())?;
    let starting = members.starting_position.as_ref();
    let asked = Asked {
        kind: starting.and_then(|starting| starting.r#type.as_deref()).unwrap_or_default(),
        number: starting.and_then(|starting| starting.sequence_number.as_deref()),
        time: starting.and_then(|starting| starting.timestamp),
        number_name: "SequenceNumber",
    };
    let position = asked.find(&intake, &request.caller, &shard).await?;
    only_if_wet(members.dry_run)?;
    charge.join(intake.account.clone().map(Held::Account))?;
    let key = Key { stream: consumer.stream, consumer: consumer.name, shard: shard.facts.id };
    let subscription = edge.aws.subscriptions.begin(key, clock::monotonic())?;
    let feed = Feed {
        stream: Arc::clone(&intake.stream),
        tap: edge.taps.subscribe(&intake.stream),
        facts: shard.facts,
        encoding: request.encoding,
        payer: PagePayer::new(edge),
        phases: edge.phases.clone(),
        position,
        open: OpenTap::new(&edge.taps.subscriptions, edge.taps.slow_after()),
        heartbeat: edge.taps.heartbeat().min(HEARTBEAT),
        pace: intake.stream.quotas().map(|_| Quotas::of_subscription()),
        charge,
    };
    let mut response = protocol::reply(request.encoding, Bytes::new());
    *response.body_mut() = Body::streamed(|pieces| feed.run(pieces, subscription));
    let media_type = HeaderValue::from_static(event_stream::MEDIA_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    Ok(response)
}

fn check(members: &Members) -> Result<(), Failure> {
    let mut violations = Violations::default();
    violations.required("consumerARN", &members.consumer_arn);
    violations.text("consumerARN", members.consumer_arn.as_deref(), 1, 2_048, Some(Pattern::CONSUMER_ARN));
    violations.required("shardId", &members.shard_id);
    violations.text("shardId", members.shard_id.as_deref(), 1, 128, Some(Pattern::NAME));
    violations.required("startingPosition", &members.starting_position);
    if let Some(starting) = &members.starting_position {
        violations.required("startingPosition.type", &starting.r#type);
        violations.word("startingPosition.type", starting.r#type.as_deref(), &POSITION_TYPES);
        let number = starting.sequence_number.as_deref();
        violations.text("startingPosition.sequenceNumber", number, 0, usize::MAX, Some(Pattern::SEQUENCE));
    }
    violations.finish()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event<'a> {
    records: &'a Page,
    /// Not there once the shard is read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    continuation_sequence_number: Option<Printed>,
    millis_behind_latest: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    child_shards: Vec<ChildShape>,
}

/// A shard on its way to a client.
struct Feed {
    stream: Arc<Stream>,
    tap: taps::Subscription,
    facts: ShardFacts,
    encoding: Encoding,
    payer: PagePayer,
    phases: Phases,
    position: SequenceNumber,
    /// What it may read, where there are quotas.
    pace: Option<Bucket>,
    /// What it owes of the limits of its reader and others.
    charge: Charge,
    heartbeat: Duration,
    open: OpenTap,
}

impl Feed {
    async fn run(mut self, pieces: Pieces, mut subscription: Subscription) {
        pieces.send(event_stream::initial_response(self.encoding)).await;
        let ends = Instant::now() + LIFETIME;
        let phases = self.phases.clone();
        let ending = tokio::select! {
            biased;
            end = &mut subscription.stopped => self.ended(end.unwrap_or(End::Gone)),
            () = tokio::time::sleep_until(ends) => None,
            // A subscription must not hold up a shutdown.
            () = phases.reached(Phase::StoppingEdge) => None,
            fed = self.feed(&pieces) => fed.err(),
        };
        if let Some(failure) = ending {
            pieces.send(event_stream::exception(&failure, self.encoding)).await;
        }
    }

    fn ended(&self, end: End) -> Option<Failure> {
        Some(match end {
            End::TakenOver => Failure::new(
                FailureKind::ResourceInUse,
                "Another subscription of this consumer has taken its place.",
            ),
            End::Gone => Failure::not_found("The consumer or its stream does not exist any more."),
        })
    }

    /// Sends what there is until the shard ends.
    async fn feed(&mut self, pieces: &Pieces) -> Result<(), Failure> {
        let (stream, taps) = (Arc::clone(&self.stream), Arc::clone(self.tap.feed()));
        let numbering = Numbering::of(&self.facts);
        let mut is_first = true;
        loop {
            self.keep_pace().await;
            let waiter = taps.signal(Some(self.facts.id)).wait();
            let from = (self.facts.id, numbering);
            let page = match self.payer.find(&stream, from, self.position, EVENT).await {
                Ok(page) => page,
                Err(ReadError::NoMemory { .. }) => {
                    tokio::time::sleep(MEMORY_WAIT).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let has_moved = page.next != self.position;
            self.position = page.next;
            let is_at_end = self.is_at_end()?;
            if page.records > 0 || is_at_end || is_first {
                if let Some(bucket) = &mut self.pace {
                    bucket.spend(page.data, clock::monotonic());
                }
                self.charge.owe(page.records as u64, page.data);
                self.send(pieces, &page, is_at_end).await?;
                is_first = false;
            } else if has_moved {
                // All that was looked at are records that readers do not get; others may stand behind them.
                tokio::task::yield_now().await;
            } else if tokio::time::timeout(self.heartbeat, waiter.woken()).await.is_err() {
                self.send(pieces, &page, false).await?;
            }
            if is_at_end {
                return Ok(());
            }
        }
    }

    /// Waits until what was sent is within the quota and the limits.
    async fn keep_pace(&mut self) {
        let by_quota = self.pace.as_mut().and_then(|bucket| bucket.is_paid(clock::monotonic()).err());
        if let Some(wait) = by_quota.max(self.charge.owed_for()) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Whether the shard is closed and read. A shard that is gone can only have been read by this one.
    fn is_at_end(&mut self) -> Result<bool, Failure> {
        let layout = self.stream.layout();
        let Some(shard) = layout.get(self.facts.id) else {
            return Err(Failure::not_found("The shard does not exist any more."));
        };
        self.facts = shard.facts;
        Ok(self.facts.end.is_some_and(|end| self.position >= end))
    }

    async fn send(&mut self, pieces: &Pieces, page: &Page, is_at_end: bool) -> Result<(), Failure> {
        let permit = self.pay(page.written_bytes(self.encoding)).await;
        // The record before the next one: whoever goes on after it, or at it, misses nothing.
        let before = SequenceNumber(self.position.0.saturating_sub(1));
        let event = Event {
            records: page,
            continuation_sequence_number: (!is_at_end).then(|| Numbering::of(&self.facts).print(before)),
            millis_behind_latest: page.millis_behind(&self.stream, self.facts.id),
            child_shards: match is_at_end {
                true => ChildShape::all(&self.stream.layout(), &self.facts),
                false => Vec::new(),
            },
        };
        let payload = self.encoding.write(&event)?;
        let bytes = event_stream::event("SubscribeToShardEvent", self.encoding, &payload);
        drop(payload);
        let len = bytes.len();
        self.open.waits();
        pieces.send(Bytes::from_owner(PaidBytes::new(bytes, permit))).await;
        self.open.sent(len, page.records as u64);
        Ok(())
    }

    async fn pay(&mut self, bytes: u64) -> PagePermit {
        loop {
            if let Some(permit) = self.payer.pay(bytes) {
                return permit;
            }
            tokio::time::sleep(MEMORY_WAIT).await;
        }
    }
}
