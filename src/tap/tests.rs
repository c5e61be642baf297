//! Live readers of a stream whose shards change.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::feed::{End, Format};
use super::page::tests::{append, batch, edge};
use super::query::{self, Reads};
use super::reader::{Next, Reader};
use crate::edge::Edge;
use crate::record::ShardId;
use crate::runtime::clock;
use crate::stream::reshard::Plan;
use crate::stream::{Change, HashKey, Stream};

/// Far longer than it takes; never waited for in a passing test.
const PATIENCE: Duration = Duration::from_secs(60);

async fn reader(edge: &Edge, stream: &Arc<Stream>, query: &str) -> Reader {
    let reads = query::events(stream, query, None).await.expect("a query");
    let Reads::Live(live) = reads else { panic!("{reads:?}") };
    edge.taps.reader(stream, live, Format::Page)
}

/// The data of so many records, which are numbers.
async fn numbers(reader: &mut Reader, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let next = tokio::time::timeout(PATIENCE, reader.next()).await.expect("in time").expect("readable");
        let Next::Records(piece) = next else { panic!("{next:?}") };
        let page: Value = serde_json::from_slice(&piece.text).expect("JSON");
        let records = page["records"].as_array().expect("a list");
        assert_eq!(records.len() as u64, piece.records);
        numbers.extend(records.iter().map(|record| record["data"].as_u64().expect("a number")));
    }
    numbers
}

fn put(stream: &Stream, shard: u32, number: u64) {
    append(stream, vec![(ShardId(shard), batch(&[(number.to_string().as_bytes(), b"", false)]))]);
}

async fn split(stream: &Stream, shard: ShardId) {
    let range = stream.layout().get(shard).expect("the shard").facts.hash_keys;
    let change = Change::Split { shard, at: HashKey(range.first + (range.last - range.first) / 2 + 1) };
    let resharding = stream.reshard(|layout| Plan::new(layout, &[change])).await.expect("a plan");
    let replacement = resharding.replacement(clock::wall());
    resharding.install(&replacement, Vec::new());
}

/// All are there once, and those of the parent before those of its children.
fn assert_in_order(mut seen: Vec<u64>, parent: &[u64], children: &[u64], others: &[u64]) {
    let place = |number: &u64| seen.iter().position(|seen| seen == number).expect("it is there");
    let last = parent.iter().map(place).max().expect("one");
    assert!(
        parent.iter().map(place).is_sorted() && children.iter().all(|child| place(child) > last),
        "{seen:?}"
    );
    let mut all = [parent, children, others].concat();
    all.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, all);
}

#[tokio::test]
async fn readers_follow_a_split_and_see_the_parent_before_its_children() {
    let edge = edge(2, 16 << 20);
    let stream = Arc::clone(&edge.intake("s").expect("the stream").stream);
    let mut live = reader(&edge, &stream, "from=latest").await;
    let mut filtered = reader(&edge, &stream, "from=latest&key=").await;
    put(&stream, 0, 1);
    put(&stream, 1, 2);
    assert_in_order(numbers(&mut live, 2).await, &[1], &[], &[2]);
    assert_in_order(numbers(&mut filtered, 2).await, &[1], &[], &[2]);
    let before = live.cursor().to_string();
    put(&stream, 0, 3);
    split(&stream, ShardId(0)).await;
    for (shard, number) in [(2, 4), (3, 5), (1, 6), (2, 7)] {
        put(&stream, shard, number);
    }
    assert_in_order(numbers(&mut live, 5).await, &[3], &[4, 5, 7], &[6]);
    assert_in_order(numbers(&mut filtered, 5).await, &[3], &[4, 5, 7], &[6]);
    let mut late = reader(&edge, &stream, "from=earliest").await;
    assert_in_order(numbers(&mut late, 7).await, &[1, 3], &[4, 5, 7], &[2, 6]);
    let mut resumed = reader(&edge, &stream, &format!("after={before}")).await;
    assert_in_order(numbers(&mut resumed, 5).await, &[3], &[4, 5, 7], &[6]);
    // All of them follow the same chunks now.
    put(&stream, 3, 8);
    for reader in [&mut live, &mut filtered, &mut late, &mut resumed] {
        assert_eq!(numbers(reader, 1).await, [8]);
    }
    assert_eq!(live.cursor(), resumed.cursor());
}

#[tokio::test]
async fn readers_of_one_shard_get_only_its_records_and_texts_are_shared_and_paid_for() {
    let edge = edge(2, 16 << 20);
    let stream = Arc::clone(&edge.intake("s").expect("the stream").stream);
    let mut one = reader(&edge, &stream, "from=latest&shard=shardId-000000000001").await;
    let mut all: Vec<Reader> = Vec::new();
    for _ in 0..50 {
        all.push(reader(&edge, &stream, "from=latest").await);
    }
    // Whoever comes reads the log up to where the others are.
    put(&stream, 0, 9);
    for reader in &mut all {
        assert_eq!(numbers(reader, 1).await, [9]);
    }
    for number in 0..6 {
        put(&stream, number % 2, u64::from(number));
    }
    assert_eq!(numbers(&mut one, 3).await, [1, 3, 5]);
    let mut texts = Vec::new();
    for reader in &mut all {
        let next = tokio::time::timeout(PATIENCE, reader.next()).await.expect("in time").expect("readable");
        let Next::Records(piece) = next else { panic!("{next:?}") };
        assert_eq!(piece.records, 6);
        texts.push(piece.text);
    }
    assert!(texts.iter().all(|text| text.as_ptr() == texts[0].as_ptr()), "one text for all");
    let paid = edge.taps_budget.used();
    assert!((texts[0].len() as u64..10 * texts[0].len() as u64).contains(&paid), "{paid}");
    drop((one, all, texts));
    // The pump leaves when nobody reads, and takes the chunks along.
    while edge.taps_budget.used() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn readers_of_a_deleted_stream_end_and_its_feed_lets_go_of_what_it_holds() {
    let edge = edge(2, 16 << 20);
    let stream = Arc::clone(&edge.intake("s").expect("the stream").stream);
    let mut waiting = reader(&edge, &stream, "from=latest").await;
    let mut behind = reader(&edge, &stream, "from=earliest").await;
    put(&stream, 0, 1);
    assert_eq!(numbers(&mut waiting, 1).await, [1]);
    let deletion = stream.deleted();
    stream.delete();
    tokio::time::timeout(PATIENCE, deletion).await.expect("in time");
    for reader in [&mut waiting, &mut behind] {
        let mut ended = false;
        while !ended {
            let next =
                tokio::time::timeout(PATIENCE, reader.next()).await.expect("in time").expect("readable");
            // What was found before it went may still come.
            ended = matches!(next, Next::Ended(End::Deleted));
        }
    }
    // Also where readers have not gone yet.
    while edge.taps_budget.used() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut late = reader(&edge, &stream, "from=latest").await;
    let next = tokio::time::timeout(PATIENCE, late.next()).await.expect("in time").expect("readable");
    assert!(matches!(next, Next::Ended(End::Deleted)), "{next:?}");
}
