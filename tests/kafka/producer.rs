//! A plain producer: what it sends is what a broker is asked to take, and it tells what became of each message.

use std::sync::Mutex;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};

/// Longest wait for messages to be settled.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Its content, as far as it is text.
    pub text: String,
    /// Its partition and offset, or why it has none.
    pub place: Result<(i32, i64), RDKafkaErrorCode>,
}

/// Takes down what becomes of messages.
#[derive(Default)]
pub struct Notes(Mutex<Vec<Settled>>);

impl ClientContext for Notes {}

impl ProducerContext for Notes {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let (message, place) = match result {
            Ok(message) => (message, Ok((message.partition(), message.offset()))),
            Err((error, message)) => (message, Err(error.rdkafka_error_code().unwrap())),
        };
        let text = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
        self.0.lock().unwrap().push(Settled { text, place });
    }
}

/// An idempotent producer with `acks=all`, without compression.
pub struct Producer {
    inner: ThreadedProducer<Notes>,
}

impl Producer {
    /// With further properties of librdkafka.
    pub fn new(servers: &str, properties: &[(&str, &str)]) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers).set("enable.idempotence", "true").set("linger.ms", "0");
        // After an outage it looks again soon, instead of after up to ten seconds.
        config.set("reconnect.backoff.max.ms", "100").set("retry.backoff.ms", "10");
        config.set("retry.backoff.max.ms", "100");
        for (name, value) in properties {
            config.set(*name, *value);
        }
        Self { inner: config.create_with_context(Notes::default()).unwrap() }
    }

    /// Gives a text without a key to the producer.
    pub fn send(&self, topic: &str, partition: i32, text: &str) {
        self.send_record(BaseRecord::<(), str>::to(topic).partition(partition).payload(text)).unwrap();
    }

    /// Gives a message to the producer, which may refuse it.
    pub fn send_record<K, P>(&self, record: BaseRecord<'_, K, P>) -> Result<(), KafkaError>
    where
        K: rdkafka::message::ToBytes + ?Sized,
        P: rdkafka::message::ToBytes + ?Sized,
    {
        self.inner.send(record).map_err(|(error, _)| error)
    }

    /// Waits until every message is settled, and tells what became of those since the last time, in that order.
    pub fn settle(&self) -> Vec<Settled> {
        self.inner.flush(PATIENCE).unwrap();
        self.settled()
    }

    /// The same without waiting.
    pub fn settled(&self) -> Vec<Settled> {
        std::mem::take(&mut *self.inner.context().0.lock().unwrap())
    }

    /// The producer itself, for transactions.
    pub fn inner(&self) -> &ThreadedProducer<Notes> {
        &self.inner
    }
}
