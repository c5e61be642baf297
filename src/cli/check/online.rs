//! `forebay check --online`: asks everything that the configuration names whether it is there, and takes what it is to take.
//!
//! Nothing is written anywhere. A store is asked for a list of one object; a Kafka cluster for its topics.

use std::io;
use std::time::Duration;

use crate::config::checked::{self, Config, KafkaCluster};
use crate::delivery::sink::{ObjectSink, SinkErrorClass};
use crate::kafka::probe::{Finding, Purpose, Severity, Wanted, probe};

/// How long a store may take for its answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(15);
/// What stores answer to keys that are right and may not list: whether they may write shows with the first file.
const MAY_NOT_LIST: &str = "AccessDenied";
/// The code of what is said of a bucket that is not there. Source: "Error responses", Amazon S3 API Reference.
const NO_BUCKET: &str = "NoSuchBucket";

/// Asks. Blocks the thread for as long as the slowest answer takes.
pub(super) fn look(config: &Config) -> io::Result<Vec<Finding>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // A second run in one process finds it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(runtime.block_on(async {
        let mut findings = Vec::new();
        for (cluster, wanted) in wanted(config) {
            findings.extend(probe(&cluster, &wanted).await);
        }
        for (by, sink) in stores(config) {
            findings.extend(look_at_store(&by, sink).await);
        }
        findings
    }))
}

/// What is wanted of each cluster.
fn wanted(config: &Config) -> Vec<(KafkaCluster, Vec<Wanted>)> {
    let mut clusters: Vec<(KafkaCluster, Vec<Wanted>)> = Vec::new();
    let mut want = |cluster: &KafkaCluster, wanted: Wanted| match clusters
        .iter_mut()
        .find(|(known, _)| known == cluster)
    {
        Some((_, list)) if list.contains(&wanted) => {}
        Some((_, list)) => list.push(wanted),
        None => clusters.push((cluster.clone(), vec![wanted])),
    };
    for pipeline in &config.pipelines {
        let record_bytes_max = pipeline.ingest.record_bytes_max;
        if let Some(log) = pipeline.stream.log.kafka() {
            let shards = log.partitions;
            let purpose = match log.is_source {
                true => Purpose::Source { shards },
                false => Purpose::Log { shards, record_bytes_max },
            };
            let by = format!("stream '{}'", pipeline.stream.name);
            want(&log.cluster, Wanted { topic: log.topic.clone(), purpose, by });
        }
        for fan_out in &pipeline.fan_outs {
            let by = format!("delivery '{}' of stream '{}'", fan_out.name, pipeline.stream.name);
            let sink = &fan_out.sink;
            // Those of a template are known only with the records.
            if let Some(topic) = sink.topic.fixed() {
                let shards = pipeline.stream.log.kafka().is_none().then_some(pipeline.stream.shards);
                let purpose = Purpose::Sink { shards, record_bytes_max };
                want(&sink.cluster, Wanted { topic: topic.to_owned(), purpose, by: by.clone() });
            }
            let (topic, purpose) = (sink.progress_topic.clone(), Purpose::Progress);
            want(&sink.cluster, Wanted { topic, purpose, by });
        }
    }
    clusters
}

/// Stores that are not on this machine, each once, with who is the first to name it.
fn stores(config: &Config) -> Vec<(String, &checked::ObjectSink)> {
    let mut stores: Vec<(String, &checked::ObjectSink)> = Vec::new();
    let cluster = config.node.cluster.as_ref();
    let ledgers = cluster.map(|cluster| ("[cluster] ledger".to_owned(), &cluster.ledger));
    let deliveries = config.pipelines.iter().flat_map(|pipeline| {
        let by = |name: &str| format!("delivery '{name}' of stream '{}'", pipeline.stream.name);
        pipeline.deliveries.iter().map(move |delivery| (by(&delivery.name), &delivery.sink))
    });
    for (by, sink) in ledgers.into_iter().chain(deliveries).filter(|(_, sink)| sink.url.scheme() != "file") {
        if stores.iter().all(|(_, known)| *known != sink) {
            stores.push((by, sink));
        }
    }
    stores
}

async fn look_at_store(by: &str, config: &checked::ObjectSink) -> Option<Finding> {
    let place = format!("{by}: {}", config.url);
    let problem = |message: String, help: &str| {
        Some(Finding { severity: Severity::Problem, message, help: help.to_owned() })
    };
    let sink = match ObjectSink::open(config) {
        Ok(sink) => sink,
        Err(error) => {
            return problem(format!("{place} cannot be opened: {error}"), "mend the sink's settings");
        }
    };
    let error = match tokio::time::timeout(STORE_TIMEOUT, sink.list("", 1)).await {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => error,
        Err(_) => {
            let message = format!("{place} has not answered within {} s", STORE_TIMEOUT.as_secs());
            return problem(message, "look whether the endpoint can be reached from here");
        }
    };
    let text = error.to_string();
    match error.class {
        SinkErrorClass::NotFound | SinkErrorClass::Other if text.contains(NO_BUCKET) => {
            problem(format!("{place}: the bucket does not exist"), "make it")
        }
        SinkErrorClass::Denied if text.contains(MAY_NOT_LIST) => Some(Finding {
            severity: Severity::Warning,
            message: format!("{place} may not be listed with these credentials"),
            help: "that is not needed, but whether they may write shows with the first file only".to_owned(),
        }),
        SinkErrorClass::Denied => problem(format!("{place}: {text}"), "look at the credentials"),
        SinkErrorClass::Transient => {
            problem(format!("{place}: {text}"), "look whether the endpoint can be reached from here")
        }
        SinkErrorClass::NotFound | SinkErrorClass::Foreign | SinkErrorClass::Other => {
            problem(format!("{place}: {text}"), "mend what the store does not take")
        }
    }
}

#[cfg(test)]
mod tests;
