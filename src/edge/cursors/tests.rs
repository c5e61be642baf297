//! What is shown of cursors is paid for.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::*;
use crate::record::{SequenceNumber, ShardId};
use crate::tap::page::tests::edge;

/// Cursors `c0`, `c1`… of the edge's stream, which begin at `from`.
async fn make(edge: &Edge, count: usize, from: u64) {
    let intake = edge.intake("s").unwrap();
    let from = Cursor { positions: vec![(ShardId(0), SequenceNumber(from))] };
    for index in 0..count {
        let name = format!("c{index}{}", "-".repeat(NAME_BYTES_MAX - 4));
        let new = NewCursor { name, from: from.clone(), lease: *CURSOR_LEASE_RANGE.end() };
        intake.cursors.create(new).await.unwrap();
    }
}

async fn text(response: Response<Body>) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

#[tokio::test]
async fn what_is_written_of_cursors_is_never_more_than_was_paid_for_and_that_comes_back() {
    let edge = edge(3, 16 << 20);
    make(&edge, 2, u64::MAX).await;
    let intake = edge.intake("s").unwrap();
    let cursors = intake.cursors.list();
    // Every character of these names is written as two.
    for worker in ["\"", "\\"] {
        let worker: Arc<str> = worker.repeat(64).into();
        cursors[0].join(&worker, None).await.unwrap();
    }
    let response = describe(&edge, &intake, cursors[0].name()).await.unwrap();
    let paid = edge.taps_budget.used();
    let text_of_one = text(response).await;
    assert!((text_of_one.len() as u64) <= paid, "{paid}: {}", String::from_utf8_lossy(&text_of_one));
    let one: Value = serde_json::from_slice(&text_of_one).unwrap();
    let counts = [&one["worker_count"], &one["leased_shard_count"], &one["workers"][0]["shards"]];
    assert_eq!(counts, [&json!(2), &json!(3), &json!(2)], "{one}");
    assert_eq!(edge.taps_budget.used(), 0);

    let response = list(&edge, &intake).await.unwrap();
    let paid = edge.taps_budget.used();
    let text_of_all = text(response).await;
    assert!((text_of_all.len() as u64) <= paid, "{paid}: {}", String::from_utf8_lossy(&text_of_all));
    let all: Value = serde_json::from_slice(&text_of_all).unwrap();
    assert_eq!(all["cursors"].as_array().unwrap().len(), 2);
    assert_eq!(all["cursors"][0]["leased_shard_count"], 3);
    assert_eq!(all["cursors"][0].as_object().unwrap().len(), 5, "nothing that grows with shards or workers");
    assert_eq!(edge.taps_budget.used(), 0);
}

#[tokio::test]
async fn where_memory_is_spent_cursors_are_not_shown() {
    let edge = edge(1, 16 << 20);
    make(&edge, 1, 0).await;
    let intake = edge.intake("s").unwrap();
    let all = edge.taps_budget.take_anyway(32 << 20);
    assert!(matches!(list(&edge, &intake).await, Err(Problem::MemoryFull)));
    let name = Arc::clone(intake.cursors.list()[0].name());
    assert!(matches!(describe(&edge, &intake, &name).await, Err(Problem::MemoryFull)));
    drop(all);
    assert!(list(&edge, &intake).await.is_ok());
}

#[tokio::test]
async fn a_commit_is_paid_for_before_anything_is_moved() {
    let edge = edge(3, 16 << 20);
    make(&edge, 1, 0).await;
    let intake = edge.intake("s").unwrap();
    let cursor = Arc::clone(&intake.cursors.list()[0]);
    // Every character of the name is written as two.
    let worker = "\"".repeat(64);
    cursor.join(&worker.as_str().into(), None).await.unwrap();
    let before = cursor.view().unwrap().done();
    let all = edge.taps_budget.take_anyway(32 << 20);
    let refused = commit((&edge, &intake), cursor.name(), &worker, "").await;
    assert!(matches!(refused, Err(Problem::MemoryFull)));
    assert_eq!(cursor.view().unwrap().done(), before);
    drop(all);
    let response = commit((&edge, &intake), cursor.name(), &worker, "").await.unwrap();
    let paid = edge.taps_budget.used();
    let text = text(response).await;
    assert!((text.len() as u64) <= paid, "{paid}: {}", String::from_utf8_lossy(&text));
    let view: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(view["shards"].as_array().unwrap().len(), 3, "{view}");
    assert_eq!(edge.taps_budget.used(), 0);
}
