//! Puts that come while their delivery stream is deleted.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay::testkit::faulty_store::FaultyStore;
use serde_json::{Value, json};

use super::UNSIGNED;
use super::firehose::{call, done, setup};
use super::live::{create, numbers};
use crate::server::{PATIENCE, Server};

const ROUNDS: u64 = 6;
/// Puts of a round, which begin with the deletion.
const PUTS: u64 = 8;

async fn put(server: &Server, name: &str, id: u64) -> (u16, Value) {
    let data = STANDARD.encode(format!("{{\"id\":{id}}}"));
    call(server, "PutRecord", json!({ "DeliveryStreamName": name, "Record": { "Data": data } })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_races_the_deletion_is_delivered_or_refused_and_none_is_taken_behind_it() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(UNSIGNED).start();
    for round in 0..ROUNDS {
        let name = format!("race{round}");
        done(&server, "CreateDeliveryStream", create(&name, 1)).await;
        let first = round * PUTS;
        let puts = futures_util::future::join_all((first..first + PUTS).map(|id| put(&server, &name, id)));
        let delete = done(&server, "DeleteDeliveryStream", json!({ "DeliveryStreamName": name }));
        let (put_replies, _) = tokio::join!(puts, delete);
        let (status, late) = put(&server, &name, u64::MAX).await;
        assert_eq!((status, &late["__type"]), (400, &json!("ResourceNotFoundException")), "{late}");
        let mut acked = Vec::new();
        for (id, (status, reply)) in (first..).zip(put_replies) {
            match status {
                200 => acked.push(id),
                _ => assert_eq!(reply["__type"], "ResourceNotFoundException", "{reply}"),
            }
        }
        let started = Instant::now();
        while call(&server, "DescribeDeliveryStream", json!({ "DeliveryStreamName": name })).await.0 == 200 {
            assert!(started.elapsed() < PATIENCE, "{name} does not go");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let found = numbers(&store, &format!("{name}/v1/"));
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), acked, "of {name}");
        assert!(found.values().all(|times| *times == 1), "{found:?}");
    }
    server.stop().assert_drained();
}
