//! With the broker that librdkafka has for tests; with a real one see `tests/kafka/faults.rs`.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use proptest::prelude::{any, prop, proptest};
use rdkafka::ClientConfig;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::answers::{Place, Refusal, api_versions, fetch, find_coordinator, list_offsets, metadata};
use super::wire::{Fields, Head};
use super::*;

const WAIT: Duration = Duration::from_secs(30);
const TOPIC: &str = "topic";

/// The offsets that a producer was told.
#[derive(Default)]
struct Offsets(Mutex<Vec<Option<i64>>>);

impl rdkafka::ClientContext for Offsets {}

impl ProducerContext for Offsets {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.lock().unwrap().push(result.as_ref().ok().map(|message| message.offset()));
    }
}

fn producer(proxy: &FaultyBroker, idempotence: &str) -> BaseProducer<Offsets> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", proxy.servers()).set("enable.idempotence", idempotence);
    config.set("retry.backoff.ms", "10").set("reconnect.backoff.max.ms", "100").set("linger.ms", "0");
    config.create_with_context(Offsets::default()).unwrap()
}

/// Sends one message; the offset that it was told.
fn send(producer: &BaseProducer<Offsets>) -> Option<i64> {
    producer
        .send(BaseRecord::<(), str>::to(TOPIC).partition(0).payload("x"))
        .map_err(|(error, _)| error)
        .unwrap();
    producer.flush(WAIT).unwrap();
    let told = std::mem::take(&mut *producer.context().0.lock().unwrap());
    let [offset] = told[..] else { panic!("{told:?}") };
    offset
}

fn cluster() -> MockCluster<'static, rdkafka::producer::DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    cluster
}

#[test]
fn a_client_stays_with_the_proxy_and_is_refused_when_the_link_is_cut() {
    let cluster = cluster();
    let proxy = FaultyBroker::before(&cluster.bootstrap_servers()).unwrap();
    let producer = producer(&proxy, "true");
    assert_eq!(send(&producer), Some(0));
    assert_eq!(proxy.asked(Api::Produce), 1);
    for _ in 0..2 {
        proxy.link(Link::Cut).unwrap();
        let refused = TcpStream::connect(proxy.servers()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        producer.send(BaseRecord::<(), str>::to(TOPIC).partition(0).payload("x")).unwrap();
        assert!(producer.flush(Duration::from_millis(100)).is_err());
        proxy.link(Link::Open).unwrap();
        producer.flush(WAIT).unwrap();
    }
    assert_eq!(*producer.context().0.lock().unwrap(), [Some(1), Some(2)]);
    assert_eq!(proxy.problems(), [""; 0]);
}

#[test]
fn rules_strike_before_and_after_the_broker_has_done_what_it_is_asked() {
    let cluster = cluster();
    let proxy = FaultyBroker::before(&cluster.bootstrap_servers()).unwrap();
    let producer = producer(&proxy, "false");
    assert_eq!(send(&producer), Some(0));
    // (rule, the offset behind it, requests that the broker has got by then)
    for (rule, offset, asked) in [
        (Rule::new(Api::Produce, Fault::Drop), 1, 2),
        (Rule::new(Api::Produce, Fault::Drop).once_done(), 3, 4),
        (Rule::new(Api::Produce, Fault::NOT_LEADER).times(2), 4, 5),
        (Rule::new(Api::Produce, Fault::REQUEST_TIMED_OUT).once_done(), 6, 7),
    ] {
        proxy.rule(rule.clone());
        assert_eq!((send(&producer), proxy.asked(Api::Produce)), (Some(offset), asked), "{rule:?}");
    }
    assert_eq!(proxy.struck(), 5);
    proxy.rule(Rule::new(Api::Produce, Fault::MESSAGE_TOO_LARGE).always());
    assert_eq!(send(&producer), None);
    proxy.heal();
    assert_eq!(send(&producer), Some(7));
    assert_eq!(proxy.problems(), [""; 0]);
}

proptest! {
    #[test]
    fn no_bytes_bring_it_down(
        bytes in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 2, 5, 0x7f, 0x80, 0xff]), 0..80),
        api in 0_i16..40,
        version in 0_i16..14,
        code in any::<i16>(),
    ) {
        let place = Place { host: "127.0.0.1".to_owned(), port: 9 };
        let refusal = Refusal { code, topic: None };
        for refusal in [None, Some(&refusal)] {
            metadata(version, &bytes, &place, refusal);
            find_coordinator(version, &bytes, &place, refusal);
        }
        fetch(version, &bytes, &refusal);
        list_offsets(version, &bytes, &refusal);
        api_versions(version, &bytes);
        let head = Head { api, version, correlation: 7 };
        refusals::refusal(head, Fields(&bytes), code);
        refusals::is_answered(head, Fields(&bytes));
        Talk::new(Login::OAuthBearer { token: String::new() }).answer(head, Fields(&bytes));
    }
}
