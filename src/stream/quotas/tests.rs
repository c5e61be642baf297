use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::config::checked::{self, ShardQuotas};
use crate::record::{Content, RecordSpans, Source, Span};
use crate::runtime::budget::Budget;
use crate::runtime::clock::UnixMicros;
use crate::stream::reshard::Plan;
use crate::stream::{Backing, Captures, Change, HashKey};
use crate::telemetry::metrics::Registry;

/// What nobody gets for a thousand seconds once it is spent: no test takes so long.
const MUCH: u64 = 1_000 * QUOTA_WRITE_BYTES;

fn stream(quotas: ShardQuotas) -> Stream {
    let config = checked::Stream {
        name: "s".into(),
        shards: 2,
        durability: checked::Durability::Memory,
        retention: Duration::from_secs(60),
        retention_bytes: None,
        idempotency_window: Duration::ZERO,
        log: Default::default(),
        quotas,
    };
    let metrics = Registry::new().unwrap().stream("s");
    Stream::new(&config, Backing::Memory, 0, Captures::default().plan().unwrap(), metrics)
}

/// Records of one byte each, with a key of one byte.
fn batch(shard: u32, records: usize) -> (ShardId, Batch) {
    let source = Source {
        body: Bytes::from_static(b"1k"),
        content: Content::Json,
        side: Bytes::new(),
        arrival: UnixMicros(0),
        permit: Arc::clone(&Budget::new(0)).take_anyway(0),
    };
    let record = RecordSpans { payload: Span::new(0, 1), key: Span::new(1, 2), refusal: Span::ABSENT };
    let records = vec![record; records].into();
    (ShardId(shard), Batch { source: Arc::new(source), records, captures: [].into(), aggregates: [].into() })
}

#[test]
fn a_stream_without_quotas_takes_everything() {
    let stream = stream(ShardQuotas::None);
    for _ in 0..3 {
        assert_eq!(stream.within_quotas(&stream.layout(), &[batch(0, 100_000)]).map(drop), Ok(()));
    }
    assert!(stream.quotas().is_none());
}

#[test]
fn a_full_shard_takes_a_request_of_any_size_and_nothing_more_until_it_is_paid_for() {
    let stream = stream(ShardQuotas::Kinesis);
    let layout = stream.layout();
    assert_eq!(stream.within_quotas(&layout, &[batch(0, 1_000_000)]).map(drop), Ok(()));
    let throttled = stream.within_quotas(&layout, &[batch(0, 1)]).unwrap_err();
    assert_eq!((throttled.shard, throttled.quota), (ShardId(0), Quota::WriteRecords));
    let wait = throttled.wait.as_secs();
    assert!((1..1_000).contains(&wait), "{wait}");
    assert_eq!(stream.within_quotas(&layout, &[batch(1, 1)]).map(drop), Ok(()), "shards have their own");
}

#[test]
fn a_request_that_is_beyond_the_quota_of_one_shard_takes_nothing_from_another() {
    let stream = stream(ShardQuotas::Kinesis);
    let (layout, quotas) = (stream.layout(), stream.quotas().unwrap());
    quotas.writing(&layout).take_record(ShardId(1), MUCH).unwrap();
    for _ in 0..3 {
        let throttled = stream.within_quotas(&layout, &[batch(0, 1_000_000), batch(1, 1)]).unwrap_err();
        assert_eq!((throttled.shard, throttled.quota), (ShardId(1), Quota::WriteBytes));
    }
    assert_eq!(
        stream.within_quotas(&layout, &[batch(0, 1_000_000)]).map(drop),
        Ok(()),
        "the other one was still full"
    );
}

#[tokio::test]
async fn what_was_not_appended_costs_nothing() {
    let stream = stream(ShardQuotas::Kinesis);
    // A shard that does not exist takes no batch, so that the log takes none.
    let batches = || vec![batch(0, 1_000_000), batch(9, 1)];
    for _ in 0..3 {
        let writing = stream.writing().await;
        let spent = stream.within_quotas(writing.layout(), &batches()).unwrap();
        assert!(stream.within_quotas(writing.layout(), &[batch(0, 1)]).is_err(), "spent by now");
        writing.append(batches(), None).inspect_err(|_| stream.refund(&spent)).unwrap_err();
    }
    let layout = stream.layout();
    let mut writes = stream.quotas().unwrap().writing(&layout);
    // As much as there is, and no more than that for all the refunds.
    for _ in 0..QUOTA_WRITE_RECORDS {
        writes.take_record(ShardId(0), 1).unwrap();
    }
    assert_eq!(writes.take_record(ShardId(0), 1).unwrap_err().quota, Quota::WriteRecords);
}

#[test]
fn what_was_taken_record_by_record_is_given_back_as_one() {
    let (stream, free) = (stream(ShardQuotas::Kinesis), stream(ShardQuotas::None));
    let (layout, quotas) = (stream.layout(), stream.quotas().unwrap());
    let batches = [batch(0, QUOTA_WRITE_RECORDS as usize)];
    {
        let mut writes = quotas.writing(&layout);
        for _ in 0..QUOTA_WRITE_RECORDS {
            writes.take_record(ShardId(0), 2).unwrap();
        }
        assert!(writes.take_record(ShardId(0), 2).is_err());
    }
    stream.refund(&stream.spent_by(&batches));
    let mut writes = quotas.writing(&layout);
    for _ in 0..QUOTA_WRITE_RECORDS {
        writes.take_record(ShardId(0), 2).unwrap();
    }
    assert!(free.spent_by(&batches).0.is_empty(), "without quotas nothing is counted");
}

#[test]
fn bytes_of_keys_count() {
    let (_, batch) = batch(0, 10);
    let cost = Cost::of(&batch);
    assert_eq!((cost.records, cost.bytes), (10, 20));
}

#[test]
fn records_are_taken_one_by_one_for_as_long_as_there_is_room() {
    let stream = stream(ShardQuotas::Kinesis);
    let (layout, quotas) = (stream.layout(), stream.quotas().unwrap());
    let mut writes = quotas.writing(&layout);
    // The time of one request stands still.
    let taken = |writes: &mut Writes<'_>, bytes| writes.take_record(ShardId(0), bytes);
    assert_eq!(taken(&mut writes, QUOTA_WRITE_BYTES - 10), Ok(()));
    assert_eq!(taken(&mut writes, 11).unwrap_err().quota, Quota::WriteBytes);
    assert_eq!(taken(&mut writes, 10), Ok(()), "a smaller one behind it has room");
    let throttled = taken(&mut writes, 1).unwrap_err();
    assert_eq!((throttled.quota, throttled.wait), (Quota::WriteBytes, Duration::from_micros(1)));
    for _ in 2..QUOTA_WRITE_RECORDS {
        assert_eq!(taken(&mut writes, 0), Ok(()));
    }
    let throttled = taken(&mut writes, 0).unwrap_err();
    assert_eq!((throttled.quota, throttled.wait), (Quota::WriteRecords, Duration::from_millis(1)));
    assert_eq!(
        writes.take_record(ShardId(1), 10 * QUOTA_WRITE_BYTES),
        Ok(()),
        "a single record always has room"
    );
}

#[test]
fn bytes_that_were_read_are_owed() {
    let stream = stream(ShardQuotas::Kinesis);
    let (layout, quotas) = (stream.layout(), stream.quotas().unwrap());
    assert_eq!(quotas.begin_read(&layout, ShardId(0)), Ok(()));
    quotas.end_read(ShardId(0), MUCH);
    let throttled = quotas.begin_read(&layout, ShardId(0)).unwrap_err();
    assert_eq!((throttled.shard, throttled.quota), (ShardId(0), Quota::ReadBytes));
    assert_eq!(quotas.begin_read(&layout, ShardId(1)), Ok(()));
    // Reading and writing have nothing to do with each other.
    assert_eq!(quotas.writing(&layout).take_record(ShardId(0), 1), Ok(()));
}

#[tokio::test]
async fn the_children_of_a_split_have_full_buckets() {
    let stream = stream(ShardQuotas::Kinesis);
    let quotas = stream.quotas().unwrap();
    quotas.writing(&stream.layout()).take_record(ShardId(0), MUCH).unwrap();
    quotas.writing(&stream.layout()).take_record(ShardId(1), MUCH).unwrap();
    let change = Change::Split { shard: ShardId(0), at: HashKey(7) };
    let resharding = stream.reshard(|layout| Plan::new(layout, &[change])).await.unwrap();
    let replacement = resharding.replacement(clock::wall());
    resharding.install(&replacement, Vec::new());
    let layout = stream.layout();
    for child in layout.children(ShardId(0)) {
        let taken = quotas.writing(&layout).take_record(child.facts.id, 10 * QUOTA_WRITE_BYTES);
        assert_eq!(taken, Ok(()), "{}", child.facts.id);
    }
    stream.forget(&[ShardId(0)]);
    drop(quotas.writing(&stream.layout()));
    assert!(!quotas.lock().contains_key(&ShardId(0)), "what is gone needs no bucket");
}
