//! Deliveries of durable streams over restarts: after a kill, after a drain that came too late, and with another
//! configuration.

use forebay::testkit::faulty_store::{Fault, FaultyStore, Operation, Rule};

use crate::lake;
use crate::server::{Setup, Stopped, durable_stream};

fn lines(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|n| format!("{{\"n\":{n},\"p\":{}}}\n", n % 7)).collect()
}

/// A delivery into a folder.
fn delivery(lines: &str) -> String {
    format!("[[delivery]]\nname = \"d\"\nsink = {{ path = \"lake\" }}\nformat = \"json\"\n{lines}\n")
}

/// The numbers in all files below a folder, in ascending order.
fn numbers(stopped: &Stopped, folder: &str) -> Vec<u64> {
    let number =
        |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap()["n"].as_u64().unwrap();
    let mut numbers: Vec<_> = lake::gunzip_all(&stopped.path(folder)).iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn a_process_that_is_killed_has_every_record_in_one_file_after_the_next_one() {
    let config = durable_stream("s", 2, "fsync")
        + &delivery("prefix = \"p={/p}/\"\nbuffer = { size = \"64MiB\", interval = \"1s\" }");
    let server = Setup::pipeline(config.as_str()).start();
    server.accept("s", lines(0..500)).await;
    // Some of it is stored, some is in open files.
    server.until("forebay_delivery_delivered_records_total", "", |count| count >= 500.0).await;
    server.accept("s", lines(500..800)).await;
    let folder = server.kill();
    let server = Setup::pipeline(config.as_str()).in_folder(folder).start();
    server.accept("s", lines(800..1000)).await;
    let stopped = server.stop();
    stopped.assert_drained();
    assert_eq!(numbers(&stopped, "lake"), (0..1000).collect::<Vec<_>>());
    let line = "s/d: accepted 200 + 300 from before = delivered 500 + dead-lettered 0 + pending 0";
    assert!(stopped.stdout.contains(line), "{}", stopped.stdout);
}

#[tokio::test]
async fn what_a_drain_could_not_store_stays_in_the_log_and_is_delivered_after_the_next_start() {
    let store = FaultyStore::start().unwrap();
    store.rule(Rule::new(Operation::Put, Fault::SLOW_DOWN).always());
    let sink = format!("[[delivery]]\nname = \"d\"\nformat = \"json\"\n{}\n", store.sink_line("lake/"));
    let config = durable_stream("s", 1, "os") + &sink;
    let server = Setup::pipeline(config.as_str()).server("drain_timeout = \"1s\"").start();
    server.accept("s", lines(0..100)).await;
    let stopped = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.stderr);
    let kept = "100 records stay in the log and are delivered after the next start";
    assert!(stopped.stdout.contains(kept), "{}", stopped.stdout);
    assert!(store.objects().is_empty());

    store.heal();
    let server = Setup::pipeline(config).in_folder(stopped.folder).start();
    server.until("forebay_delivery_delivered_records_total", "", |count| count >= 100.0).await;
    assert_eq!(server.metric("forebay_delivery_backlog_records", "").await, 100.0);
    let stopped = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    stopped.assert_drained();
    let line = "s/d: accepted 0 + 100 from before = delivered 100 + dead-lettered 0 + pending 0";
    assert!(stopped.stdout.contains(line), "{}", stopped.stdout);
    assert_eq!(store.objects().len(), 1, "closed before the stop, and stored under the same key");
}

#[tokio::test]
async fn another_configuration_takes_over_behind_what_was_closed_under_the_one_before() {
    let stream = durable_stream("s", 2, "fsync");
    let first = stream.clone() + &delivery("prefix = \"p={/p}/\"");
    let server = Setup::pipeline(first).start();
    server.accept("s", lines(0..300)).await;
    let folder = server.kill();
    let second = stream + &delivery("prefix = \"v2/p={/p}/\"");
    let server = Setup::pipeline(second).in_folder(folder).start();
    server.accept("s", lines(300..500)).await;
    let stopped = server.stop();
    stopped.assert_drained();
    assert_eq!(numbers(&stopped, "lake"), (0..500).collect::<Vec<_>>());
    // Nothing had been closed, so that everything could go by the new one.
    assert_eq!(numbers(&stopped, "lake/v2"), (0..500).collect::<Vec<_>>());
    for path in lake::files(&stopped.path("lake"), ".json.gz") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let series = name.split('-').nth(2).unwrap();
        assert!(series.len() == 9 && series.ends_with('2'), "node and epoch: {name}");
    }
}

#[tokio::test]
async fn a_log_that_has_lost_its_end_gives_no_number_twice() {
    let config = durable_stream("s", 2, "os") + &delivery("prefix = \"\"");
    let server = Setup::pipeline(config.as_str()).start();
    server.accept("s", lines(0..100)).await;
    let stopped = server.stop();
    stopped.assert_drained();
    // As after a power failure, which a stream of durability `os` need not survive.
    for path in std::fs::read_dir(stopped.path("data/log/os")).unwrap() {
        std::fs::remove_file(path.unwrap().path()).unwrap();
    }
    let mut folder = stopped.folder;
    for round in [100..150, 150..180] {
        let server = Setup::pipeline(config.as_str()).in_folder(folder).start();
        server.accept("s", lines(round)).await;
        let stopped = server.stop();
        stopped.assert_drained();
        folder = stopped.folder;
    }
    let server = Setup::pipeline(config.as_str()).in_folder(folder).start();
    let stopped = server.stop();
    stopped.assert_drained();
    assert_eq!(numbers(&stopped, "lake"), (0..180).collect::<Vec<_>>());
    assert!(stopped.stdout.contains("accepted 0 = delivered 0"), "{}", stopped.stdout);
}
