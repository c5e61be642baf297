//! What a cluster tells of a topic.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigEntry, ResourceSpecifier};
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;

use super::{Connection, Fault, PlainContext};

/// A topic, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFacts {
    /// How many partitions it has. Their ids are the numbers below.
    pub partitions: u32,
    /// The fewest replicas that a partition has.
    pub replicas: usize,
    /// Settings of the topic, as far as the cluster tells them: none where it does not know the question.
    pub settings: TopicSettings,
}

/// Settings of a topic that what we do depends on; `None` where the cluster does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicSettings {
    /// `cleanup.policy`.
    pub cleanup_policy: Option<String>,
    /// `message.timestamp.type`.
    pub timestamp_type: Option<String>,
    /// `max.message.bytes`.
    pub message_bytes_max: Option<u64>,
    /// `min.insync.replicas`.
    pub min_insync_replicas: Option<u32>,
}

/// What a question about a topic that is missing does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing.
    Stays,
    /// Brokers that make topics for whoever wants to write to them do so.
    MayBeMade,
}

/// Asks how many partitions `topic` has; `None` if there is no such topic. Blocks the thread for `timeout` at most.
///
/// # Errors
/// If the cluster does not answer, or does not let us ask.
pub fn partitions<C: ClientContext>(
    client: &Client<C>,
    connection: &Connection,
    topic: &str,
    timeout: Duration,
) -> Result<Option<(u32, usize)>, Fault> {
    let action = || format!("ask about topic '{topic}'");
    let fault = |error: &KafkaError| connection.fault(action(), error);
    let metadata = client.fetch_metadata(Some(topic), timeout).map_err(|error| fault(&error))?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => return Ok(None),
        Some(code) => return Err(fault(&KafkaError::MetadataFetch(code))),
    }
    let count = u32::try_from(found.partitions().len()).unwrap_or(u32::MAX);
    let replicas = found.partitions().iter().map(|partition| partition.replicas().len()).min();
    Ok((count > 0).then_some((count, replicas.unwrap_or(0))))
}

/// Asks all that [`TopicFacts`] tells; `None` if there is no such topic.
///
/// # Errors
/// If the cluster does not answer, or does not let us ask for partitions. Settings that it does not tell are left out.
pub async fn facts(
    connection: &Arc<Connection>,
    (topic, missing): (&str, Missing),
    timeout: Duration,
) -> Result<Option<TopicFacts>, Fault> {
    let fault = |error: &KafkaError| connection.fault("begin a connection", error);
    let config = connection.client_config();
    let asking = {
        let shared = PlainContext(Arc::clone(connection));
        let mut config = config.clone();
        config.set("allow.auto.create.topics", (missing == Missing::MayBeMade).to_string());
        let client: BaseConsumer<PlainContext> =
            config.create_with_context(shared).map_err(|error| fault(&error))?;
        let (connection, topic) = (Arc::clone(connection), topic.to_owned());
        tokio::task::spawn_blocking(move || {
            let found = partitions(client.client(), &connection, &topic, timeout);
            // What has gone wrong meanwhile is told by now.
            for _ in 0..EVENTS_MAX {
                let _ = client.poll(Duration::ZERO);
            }
            found
        })
    };
    let found = asking.await.map_err(|_| fault(&KafkaError::Canceled))??;
    let Some((partitions, replicas)) = found else { return Ok(None) };
    let admin: AdminClient<PlainContext> =
        config.create_with_context(PlainContext(Arc::clone(connection))).map_err(|error| fault(&error))?;
    let options = AdminOptions::new().request_timeout(Some(Timeout::After(timeout)));
    let told = admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await;
    // It joins a thread.
    let _ = tokio::task::spawn_blocking(move || drop(admin)).await;
    let resource = told.ok().and_then(|mut resources| resources.pop()?.ok());
    let settings = resource.map(|resource| settings_of(&resource.entries)).unwrap_or_default();
    Ok(Some(TopicFacts { partitions, replicas, settings }))
}

fn settings_of(entries: &[ConfigEntry]) -> TopicSettings {
    let value = |name: &str| entries.iter().find(|entry| entry.name == name)?.value.clone();
    TopicSettings {
        cleanup_policy: value("cleanup.policy"),
        timestamp_type: value("message.timestamp.type"),
        message_bytes_max: value("max.message.bytes").and_then(|text| text.parse().ok()),
        min_insync_replicas: value("min.insync.replicas").and_then(|text| text.parse().ok()),
    }
}

/// Events that are taken at a time of a client that only asks: each broker tells of a few.
const EVENTS_MAX: usize = 64;
