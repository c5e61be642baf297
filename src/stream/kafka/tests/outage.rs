//! Brokers that are away for a while.

use rdkafka::consumer::Consumer;

use super::super::client::{self, Reader};
use super::*;

#[tokio::test]
async fn kafka_what_a_reader_has_to_say_of_an_outage_is_not_told_behind_it() {
    let mock = mock(1);
    let mut log = kafka_log(&mock.bootstrap_servers(), false);
    log.cluster.client = [("reconnect.backoff.ms", "10"), ("reconnect.backoff.max.ms", "20")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let node = node_with(log, &Budget::new(BUDGET), Duration::from_secs(30));
    let reader = || client::reader(node.topic().unwrap().connection(), 1 << 20).unwrap();
    let [heard, forgetful, other] = [reader(), reader(), reader()];
    let answers = |reader: &Reader| reader.fetch_watermarks(TOPIC, 0, Duration::from_secs(1)).is_ok();
    while [&heard, &forgetful, &other].into_iter().any(|reader| !answers(reader)) {}
    mock.broker_down(1).unwrap();
    let mut told = 0;
    while told < 20 {
        told += usize::from(matches!(heard.poll(Duration::from_millis(100)), Some(Err(_))));
    }
    mock.broker_up(1).unwrap();
    while !answers(&forgetful) || !answers(&other) {}
    client::forget_errors(&forgetful);
    let moment = Duration::from_millis(500);
    assert!(forgetful.poll(moment).is_none());
    assert!(matches!(other.poll(moment), Some(Err(_))), "nobody has anything to say of it");
}
