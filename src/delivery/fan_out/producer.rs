//! The client that sends: what it is made with, and what its answers mean.
//!
//! Calls that wait for a broker run on threads that may wait. What cannot be sent is reported by the client's own thread
//! and kept in [`Reports`] until the transaction is over: where nothing is reported, everything was taken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

use crate::config::checked::{Guarantee, KafkaSink};
use crate::kafka::{Connection, Fault, FaultClass};
use crate::runtime::clock;

/// Messages whose refusal is remembered by number: the others come again, and are refused then.
const REFUSED_MAX: usize = 1_024;
/// Bytes of a message that the client takes: whatever a stream can hold. What the broker takes is its own matter.
const MESSAGE_BYTES_MAX: u64 = 1_000_000_000;

/// How often a wait for what was sent looks whether something was refused.
const FLUSH_LOOK: Duration = Duration::from_millis(100);

/// What was not taken since it was asked last.
#[derive(Debug, Default)]
pub struct Reports {
    failures: AtomicU64,
    found: Mutex<Found>,
}

/// What was not taken.
#[derive(Debug, Default)]
pub struct Found {
    /// Messages that a broker refuses because of what they are, by the numbers that they were sent under.
    pub refused: Vec<(usize, RDKafkaErrorCode)>,
    /// Why another one could not be sent.
    pub other: Option<RDKafkaErrorCode>,
    /// What helps, if a transaction had them.
    pub remedy: Option<Remedy>,
}

impl Reports {
    fn failed(&self, number: usize, code: RDKafkaErrorCode) {
        // Those are what we have given up ourselves.
        if matches!(code, RDKafkaErrorCode::PurgeInflight | RDKafkaErrorCode::PurgeQueue) {
            return;
        }
        self.failures.fetch_add(1, Ordering::Release);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.remedy = found.remedy.max(Some(Remedy::of_lost(code)));
        match FaultClass::of_code(code) {
            FaultClass::Record if found.refused.len() < REFUSED_MAX => found.refused.push((number, code)),
            FaultClass::Record => {}
            _ => found.other = found.other.or(Some(code)),
        }
    }

    /// Whether anything was not taken.
    pub fn has_any(&self) -> bool {
        self.failures.load(Ordering::Acquire) > 0
    }

    /// What was not taken; it is asked for once.
    pub fn take(&self) -> Found {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        self.failures.store(0, Ordering::Release);
        std::mem::take(&mut found)
    }
}

/// What a client is told by.
pub struct Context {
    connection: Arc<Connection>,
    reports: Arc<Reports>,
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.connection.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connection.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.connection.generate_oauth_token(config)
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        if let Err((error, _)) = result {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            self.reports.failed(number, code);
        }
    }
}

/// How a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Bytes of a batch.
    pub batch_bytes: u64,
    /// Whether each message is a batch of its own, so that one that is refused takes no other with it.
    pub one_by_one: bool,
}

/// What helps against a failed call, from the least on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// The same call again.
    Again,
    /// To give the transaction up, and send it once more.
    Abort,
    /// Another client, which finds out what has become of the transaction.
    Reconnect,
}

impl Remedy {
    /// What helps where a transaction has to be given up because of `code`.
    ///
    /// Messages whose fate is not known may lie somewhere on the way, in a connection that was given up, and may come to
    /// the broker at any time. Where the same client ends the transaction, they come behind its end, with the epoch that
    /// still counts, and would be taken for messages of the next one: they would be there twice (KIP-890 has more of it).
    /// Another client has the broker end it with a new epoch, and what comes later is refused.
    pub fn of_lost(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode as Code;
        match code {
            Code::MessageTimedOut
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::BrokerTransportFailure
            | Code::NetworkException => Self::Reconnect,
            _ => Self::Abort,
        }
    }
}

/// A call that has failed.
#[derive(Debug, Clone)]
pub struct Failed {
    /// How.
    pub fault: Fault,
    /// What helps.
    pub remedy: Remedy,
}

/// One message.
#[derive(Debug)]
pub struct Message<'a> {
    /// Where it goes.
    pub topic: &'a str,
    /// The partition; the client chooses it by the key where there is none.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub payload: &'a [u8],
    /// Milliseconds since 1970.
    pub millis: i64,
    /// Its headers.
    pub headers: Option<OwnedHeaders>,
}

/// A client that sends. Clones are the same one.
#[derive(Clone)]
pub struct Producer {
    client: ThreadedProducer<Context>,
    reports: Arc<Reports>,
    connection: Arc<Connection>,
    is_transactional: bool,
}

/// What a client of `sink` is made with, under the name `identity`.
pub fn client_config(connection: &Connection, sink: &KafkaSink, identity: &str, pace: Pace) -> ClientConfig {
    let mut config = connection.client_config();
    let mut set = |name: &str, value: String| {
        config.set(name, value);
    };
    // Acks of all replicas that are in sync, order and no doubles of what is sent again follow from this.
    set("enable.idempotence", "true".to_owned());
    match sink.guarantee {
        Guarantee::ExactlyOnce => set("transactional.id", identity.to_owned()),
        // Nothing is given up: whoever waits says so, and records stay in the log.
        Guarantee::AtLeastOnce => set("message.timeout.ms", "0".to_owned()),
    }
    set("partitioner", "murmur2_random".to_owned());
    set("compression.codec", sink.compression.as_str().to_owned());
    if let Some(level) = sink.compression_level {
        set("compression.level", level.to_string());
    }
    // A transaction is bounded by us. It may be a whole request longer than it should, and a letter is sent twice.
    let kilobytes = (sink.transaction_bytes >> 10) * 2 + (MESSAGE_BYTES_MAX >> 10);
    set("queue.buffering.max.kbytes", kilobytes.min(i32::MAX as u64).to_string());
    set("queue.buffering.max.messages", "0".to_owned());
    set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
    set("batch.size", pace.batch_bytes.to_string());
    if pace.one_by_one {
        set("batch.num.messages", "1".to_owned());
    }
    set("delivery.report.only.error", "true".to_owned());
    config
}

impl Producer {
    /// Makes a client. It connects by itself. Blocks the thread for a moment.
    ///
    /// # Errors
    /// If the client does not take its settings, or the system has no thread for it.
    pub fn new(
        connection: &Arc<Connection>,
        config: &ClientConfig,
        guarantee: Guarantee,
    ) -> Result<Self, Fault> {
        let reports = Arc::<Reports>::default();
        let context = Context { connection: Arc::clone(connection), reports: Arc::clone(&reports) };
        let client: ThreadedProducer<Context> = config
            .create_with_context(context)
            .map_err(|error| connection.fault("make a producer", &error))?;
        let is_transactional = guarantee == Guarantee::ExactlyOnce;
        Ok(Self { client, reports, connection: Arc::clone(connection), is_transactional })
    }

    /// What was not taken.
    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Whether what it sends can be given up.
    pub fn is_transactional(&self) -> bool {
        self.is_transactional
    }

    /// The client, to ask by.
    pub fn client(&self) -> &rdkafka::client::Client<Context> {
        self.client.client()
    }

    /// Hands one message over, which is copied. Never waits.
    ///
    /// # Errors
    /// Why it was not taken.
    pub fn send(&self, message: Message<'_>, number: usize) -> Result<(), RDKafkaErrorCode> {
        let Message { topic, partition, key, payload, millis, headers } = message;
        let mut record =
            BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, number).payload(payload).timestamp(millis);
        (record.partition, record.key, record.headers) = (partition, key, headers);
        self.client
            .send(record)
            .map_err(|(error, _)| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))
    }

    /// Takes the name, so that whoever had it before can commit nothing any more, and ends what that has left open.
    ///
    /// # Errors
    /// What has happened.
    pub async fn begin_name(&self, patience: Duration) -> Result<(), Failed> {
        if !self.is_transactional {
            return Ok(());
        }
        self.blocking("take the transactional id", move |client| client.init_transactions(patience)).await
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// What has happened.
    pub async fn begin(&self) -> Result<(), Failed> {
        if !self.is_transactional {
            return Ok(());
        }
        self.blocking("begin a transaction", |client| client.begin_transaction()).await
    }

    /// Waits until everything that was sent is taken, and commits it.
    ///
    /// # Errors
    /// What has happened. Where the same call helps it may be repeated.
    pub async fn commit(&self, patience: Duration) -> Result<(), Failed> {
        let is_transactional = self.is_transactional;
        let reports = Arc::clone(&self.reports);
        self.blocking("commit", move |client| {
            let deadline = clock::monotonic() + patience;
            let flushed = loop {
                match client.flush(FLUSH_LOOK) {
                    // What is behind a message that was refused is not sent any more: nothing to wait for.
                    Err(_) if !reports.has_any() && clock::monotonic() < deadline => {}
                    ended => break ended,
                }
            };
            match (flushed, is_transactional) {
                // What was not taken is told by the reports, and the commit would be refused.
                _ if reports.has_any() => Ok(()),
                (Ok(()), true) => client.commit_transaction(patience),
                // Where a transaction has failed and nothing is reported, messages are given up after a minute.
                (flushed, _) => flushed,
            }
        })
        .await
    }

    /// Gives up what was sent since the last commit.
    ///
    /// # Errors
    /// What has happened. It is no use to try again with a client that has not managed it in time: some of what it has sent may
    /// never be told of. A new one takes the id, which ends the transaction as well.
    pub async fn abort(&self, patience: Duration) -> Result<(), Failed> {
        let aborted =
            self.blocking("abort a transaction", move |client| client.abort_transaction(patience)).await;
        aborted.map_err(|failed| match failed.remedy {
            Remedy::Again => Failed { remedy: Remedy::Reconnect, ..failed },
            _ => failed,
        })
    }

    async fn blocking(
        &self,
        action: &'static str,
        call: impl FnOnce(&ThreadedProducer<Context>) -> Result<(), KafkaError> + Send + 'static,
    ) -> Result<(), Failed> {
        let client = self.client.clone();
        let called = tokio::task::spawn_blocking(move || call(&client)).await;
        // Only a panic or the end of the runtime ends it without a result.
        let result = called.unwrap_or(Err(KafkaError::Canceled));
        result.map_err(|error| self.failed(action, &error))
    }

    fn failed(&self, action: &str, error: &KafkaError) -> Failed {
        let remedy = match error {
            KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut) => Remedy::Again,
            KafkaError::Transaction(error) if error.is_fatal() => Remedy::Reconnect,
            KafkaError::Transaction(error) if error.txn_requires_abort() => Remedy::of_lost(error.code()),
            KafkaError::Transaction(error) if error.is_retriable() => Remedy::Again,
            KafkaError::Transaction(error) if error.code() == RDKafkaErrorCode::OperationTimedOut => {
                Remedy::Again
            }
            _ => Remedy::Reconnect,
        };
        let mut fault = self.fault(action, error);
        if let KafkaError::Transaction(error) = error {
            fault.message = format!("{} ({})", fault.message, error.string());
        }
        Failed { fault, remedy }
    }

    /// The fault behind an error: the one that the client cannot go on after, if there is one.
    pub fn fault(&self, action: &str, error: &KafkaError) -> Fault {
        match self.client().fatal_error() {
            Some((code, why)) => {
                let mut fault = self.connection.fault(action, &KafkaError::Global(code));
                fault.message = why;
                fault
            }
            None => self.connection.fault(action, error),
        }
    }

    /// Lets go of the client, with what it has not sent.
    pub async fn close(self) {
        // Only a panic or the end of the runtime ends it without a result.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_tell_what_is_wrong_with_records_from_what_is_wrong_with_the_cluster() {
        let reports = Reports::default();
        assert!(!reports.has_any());
        reports.failed(1, RDKafkaErrorCode::PurgeQueue);
        assert!(!reports.has_any(), "what we have given up is no news");
        reports.failed(2, RDKafkaErrorCode::MessageSizeTooLarge);
        reports.failed(3, RDKafkaErrorCode::TopicAuthorizationFailed);
        reports.failed(4, RDKafkaErrorCode::MessageTimedOut);
        assert!(reports.has_any());
        let found = reports.take();
        assert_eq!(found.refused, [(2, RDKafkaErrorCode::MessageSizeTooLarge)]);
        assert_eq!(found.other, Some(RDKafkaErrorCode::TopicAuthorizationFailed));
        assert!(!reports.has_any() && reports.take().refused.is_empty());
    }

    #[test]
    fn another_client_ends_a_transaction_whose_messages_may_still_come_to_the_broker() {
        let reports = Reports::default();
        let remedy = |codes: &[RDKafkaErrorCode]| {
            codes.iter().for_each(|&code| reports.failed(1, code));
            reports.take().remedy
        };
        let (refused, lost) = (RDKafkaErrorCode::MessageSizeTooLarge, RDKafkaErrorCode::MessageTimedOut);
        assert_eq!(remedy(&[]), None);
        assert_eq!(remedy(&[refused, refused]), Some(Remedy::Abort));
        assert_eq!(remedy(&[refused, lost, refused]), Some(Remedy::Reconnect));
        assert_eq!(remedy(&[RDKafkaErrorCode::TopicAuthorizationFailed, lost]), Some(Remedy::Reconnect));
    }

    #[test]
    fn what_is_remembered_of_refusals_is_bounded() {
        let reports = Reports::default();
        (0..REFUSED_MAX + 10).for_each(|number| reports.failed(number, RDKafkaErrorCode::InvalidRecord));
        assert_eq!(reports.take().refused.len(), REFUSED_MAX);
    }
}
