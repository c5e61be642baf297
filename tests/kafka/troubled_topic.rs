//! What becomes of readers and writers whose topic loses records, is deleted, or is made again.

use std::time::{Duration, Instant};

use forebay::testkit::broker::Broker;
use serde_json::json;

use crate::cursors::Cursor;
use crate::readers::{Events, lines, numbers, pipeline};
use crate::server::{PATIENCE, Setup};

/// Retention passes over what readers have not read yet.
#[tokio::test]
async fn what_retention_takes_from_a_reader_that_is_behind_is_told_and_it_goes_on() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.topic("retained", 1, &[]).unwrap();
    let server = Setup::pipeline(pipeline(&broker, &topic)).start();
    for start in (0..100).step_by(10) {
        server.accept("s", lines(start..start + 10)).await;
    }
    let (_, first) = server.get("/v1/streams/s/records?from=earliest&limit=10&wait=5s").await;
    assert_eq!(numbers(&first), (0..10).collect::<Vec<_>>());
    let mut events = Events::open(&server, "from=earliest", "").await;
    assert_eq!(events.numbers(10).await, (0..10).collect::<Vec<_>>());
    let id = events.id.clone();
    drop(events);
    let cursor = Cursor { server: &server };
    cursor.make("earliest", "30s").await;
    assert_eq!(cursor.commit("w", &cursor.page("w", "&limit=10&wait=5s").await).await.0, 200);
    assert_eq!(broker.remove_records(&topic, 0, 40).unwrap(), 40);
    // The node learns of it within seconds, or when it asks for what is gone.
    let after = format!("/v1/streams/s/records?after={}&limit=5&wait=1s", first["next"].as_str().unwrap());
    let began = Instant::now();
    let page = loop {
        let (status, page) = server.get(&after).await;
        if status == 200 && page["skipped"] != 0 {
            break page;
        }
        assert!(status == 200 || page["code"] == "log_unreadable", "{status} {page}");
        assert!(began.elapsed() < PATIENCE, "{page}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!((numbers(&page), &page["skipped"]), ((40..45).collect(), &json!(30)), "{page}");
    let mut events = Events::open(&server, "", &id).await;
    let (name, data) = events.next().await.unwrap();
    assert_eq!((name.as_str(), &data["skipped"]), ("gap", &json!(30)));
    assert_eq!(events.numbers(60).await, (40..100).collect::<Vec<_>>());
    let page = cursor.page("w", "").await;
    assert_eq!((numbers(&page), &page["skipped"]), ((40..100).collect(), &json!(30)), "{page}");
    assert_eq!(cursor.commit("w", &page).await.0, 200);
    assert_eq!(cursor.view().await["lag"], 0);
    drop(events);
    server.stop().assert_drained();
}

#[tokio::test]
async fn a_topic_that_is_deleted_is_told_to_writers_and_readers_and_one_that_is_made_again_as_well() {
    let Some(broker) = Broker::own().unwrap() else { return };
    let topic = broker.topic("deleted", 1, &[]).unwrap();
    let server = Setup::pipeline(pipeline(&broker, &topic)).start();
    server.accept("s", lines(0..50)).await;
    let mut events = Events::open(&server, "from=earliest", "").await;
    events.numbers(50).await;
    broker.remove_topic(&topic).unwrap();
    // A writer is told that it is not kept, and why.
    let began = Instant::now();
    let problem = loop {
        let (status, problem) = server.post("s", "application/x-ndjson", lines(50..51)).await;
        assert_eq!(status, 503, "{problem}");
        if problem["code"] == "log_failed" || problem["code"] == "log_unavailable" {
            break problem;
        }
        assert!(began.elapsed() < 2 * PATIENCE, "{problem}");
    };
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&topic) && detail.contains("was it deleted?"), "{detail}");
    server.until("forebay_stream_topic_up", "stream=\"s\"", |up| up == 0.0).await;
    let (status, why) = server.admin_get("/readyz").await;
    assert!(status == 503 && why.contains("stream 's'"), "{status} {why}");
    // A reader of what was there is not left to wait.
    let asked = Instant::now();
    let (status, page) = server.get("/v1/streams/s/records?from=earliest&limit=1000").await;
    assert!(asked.elapsed() < PATIENCE, "{status} {page}");
    let cpu = server.metric("process_cpu_seconds_total", "").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let spent = server.metric("process_cpu_seconds_total", "").await - cpu;
    assert!(spent < 1.5, "{spent} s of CPU in 3 s: it does not sleep");
    // Another one of its name has other numbers: nobody goes on as if nothing had happened.
    broker.make_again(&topic, 1).unwrap();
    let began = Instant::now();
    loop {
        let (status, why) = server.admin_get("/readyz").await;
        if status == 503 && why.contains("it was made again") && why.contains("restart") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{status} {why}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (status, problem) = server.post("s", "application/x-ndjson", lines(51..52)).await;
    assert_eq!((status, &problem["code"]), (503, &json!("log_unavailable")), "{problem}");
    drop(events);
    let stopped = server.stop();
    let folder = stopped.folder;
    // What it says helps.
    let server = Setup::pipeline(pipeline(&broker, &topic)).in_folder(folder).start();
    server.accept("s", lines(0..5)).await;
    let (_, page) = server.get("/v1/streams/s/records?from=earliest&wait=5s").await;
    assert_eq!(numbers(&page), (0..5).collect::<Vec<_>>());
    server.stop().assert_drained();
}
