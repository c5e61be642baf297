//! What of `forebay verify` asks Kafka: deliveries that one node alone makes of a topic, and deliveries into Kafka.

use std::sync::Arc;

use super::positions::{self, FanOutReport};
use super::topic::Topic;
use super::{Means, Report};
use crate::config::checked::{Config, FanOut, Pipeline};
use crate::delivery::fan_out::{identity, identity_of_shard, origin_of_topic, shared_identity};
use crate::delivery::verify::{self, Evidence, Held, RecordSource, Sorter, StoredLog};
use crate::node::{Catalog, NodeFolder};
use crate::pipeline::agreement;
use crate::runtime::disk::Disk;
use crate::runtime::scratch_disk::ScratchDisk;
use crate::stream::kafka::growth::Agreement;
use crate::stream::wal::journals::Content;

/// A topic that is asked until it does not answer.
pub(super) struct Asked<'a> {
    config: &'a Config,
    pipeline: &'a Pipeline,
    /// Which shards nodes have agreed on; none if it is not asked.
    agreement: Option<Agreement>,
    /// Why it is not asked.
    pub silent: Option<String>,
}

impl<'a> Asked<'a> {
    pub fn new(config: &'a Config, pipeline: &'a Pipeline, means: &Means<'_, '_>) -> Self {
        let log = pipeline.stream.log.kafka().filter(|_| !means.offline);
        let agreed = log.ok_or_else(|| "--offline was given".to_owned()).and_then(|log| {
            let (cluster, layouts) =
                (config.node.cluster.as_ref(), NodeFolder::layouts_of(&config.node.data_dir));
            let of = (&*pipeline.stream.name, log.topic.as_str());
            means.runtime.block_on(agreement::to_look_at(cluster, &layouts, of))
        });
        let (agreement, silent) = match agreed {
            Ok(agreement) => (Some(agreement), None),
            Err(why) => (None, Some(why)),
        };
        Self { config, pipeline, agreement, silent }
    }

    /// What it has by now. What was copied before that is not beyond its end. Blocks the thread.
    pub fn now(&mut self) -> Option<Topic> {
        self.agreement.as_ref()?;
        self.topic().map_err(|why| (self.agreement, self.silent) = (None, Some(why))).ok()
    }

    /// The same for whoever wants to know why it is not told.
    ///
    /// # Errors
    /// Why, in words.
    fn topic(&self) -> Result<Topic, String> {
        let silent = || self.silent.clone().unwrap_or_default();
        let agreement = self.agreement.clone().ok_or_else(silent)?;
        Topic::ask(self.config, self.pipeline, agreement)
    }

    /// What was compared with what.
    pub fn note(&self) -> String {
        let stream = &self.pipeline.stream.name;
        match &self.silent {
            None => format!(
                "stream '{stream}' is in Kafka: its records were read up to where the topic ended when it was asked"
            ),
            Some(why) => format!(
                "stream '{stream}' is in Kafka: ledgers and objects were compared with each other, and not with its \
                 records: {why}"
            ),
        }
    }
}

/// Adds a report of each delivery of a stream in Kafka whose ledger is on this machine, because no cluster shares it.
pub(super) fn verify_alone(config: &Config, folder: &NodeFolder, means: &Means<'_, '_>, report: &mut Report) {
    let is_alone = |pipeline: &&Pipeline| {
        config.node.cluster.is_none()
            && pipeline.stream.log.kafka().is_some()
            && !pipeline.deliveries.is_empty()
    };
    for pipeline in config.pipelines.iter().filter(is_alone) {
        let (stream, mut asked) = (&pipeline.stream.name, Asked::new(config, pipeline, means));
        for delivery in &pipeline.deliveries {
            means.display.of(stream, &delivery.name);
            let topic = asked.now();
            let scratch: Arc<dyn Disk> = Arc::new(ScratchDisk::over(Arc::clone(folder.disk())));
            let evidence = Evidence {
                disk: &*scratch,
                ledger: &folder.ledger(stream, &delivery.name),
                log: topic.as_ref().map(|topic| topic as &dyn RecordSource),
                epochs: &mut Sorter::new(stream, delivery, Arc::clone(&scratch)),
                quick: means.quick,
                progress: means.display,
            };
            let verified = verify::verify(stream, &delivery.name, evidence);
            report.deliveries.push(means.runtime.block_on(verified));
        }
        report.notes.push(asked.note());
    }
}

/// What is known of streams on this machine.
pub(super) struct Local<'a> {
    pub folder: &'a NodeFolder,
    pub catalog: &'a Catalog,
    /// `None` if the log cannot be read.
    pub content: Option<&'a Content>,
}

/// Compares the positions of each delivery into Kafka with what its stream has.
pub(super) fn verify_fan_outs(
    config: &Config,
    local: Option<&Local<'_>>,
    means: &Means<'_, '_>,
    report: &mut Report,
) {
    for pipeline in &config.pipelines {
        for fan_out in &pipeline.fan_outs {
            means.display.of(&pipeline.stream.name, &fan_out.name);
            match verify_fan_out(config, (pipeline, fan_out), local, means) {
                Ok(found) => report.fan_outs.push(found),
                Err(why) => report.notes.push(format!(
                    "delivery '{}' of stream '{}' goes into Kafka: not verified: {why}",
                    fan_out.name, pipeline.stream.name
                )),
            }
        }
    }
}

/// # Errors
/// Why it cannot be, in words.
fn verify_fan_out(
    config: &Config,
    (pipeline, fan_out): (&Pipeline, &FanOut),
    local: Option<&Local<'_>>,
    means: &Means<'_, '_>,
) -> Result<FanOutReport, String> {
    if means.offline {
        return Err("--offline was given".to_owned());
    }
    let stream = &*pipeline.stream.name;
    let names = (stream, &*fan_out.name);
    let Some(log) = pipeline.stream.log.kafka() else {
        let (keys, held) = of_local(pipeline, fan_out, local)?;
        return Ok(positions::compare(names, &positions::read(fan_out, &keys)?, &held));
    };
    // First what is delivered, so that it is not beyond the end.
    let asked = Asked::new(config, pipeline, means);
    let topic = asked.topic()?;
    let keys: Vec<String> = match &config.node.cluster {
        None => vec![identity(&origin_of_topic(&log.topic), names.0, names.1).to_string()],
        Some(cluster) => {
            let shared = shared_identity(&cluster.group, &log.topic, names);
            topic.held().map(|held| identity_of_shard(&shared, held.shard).to_string()).collect()
        }
    };
    let found = positions::read(fan_out, &keys)?;
    let held: Vec<Held> = asked.topic()?.held().collect();
    Ok(positions::compare(names, &found, &held))
}

/// The key of a delivery of a stream on this machine, and what the log has.
fn of_local(
    pipeline: &Pipeline,
    fan_out: &FanOut,
    local: Option<&Local<'_>>,
) -> Result<(Vec<String>, Vec<Held>), String> {
    let stream = &pipeline.stream.name;
    if !pipeline.stream.durability.is_durable() {
        return Err("its stream is in memory, which nobody can look at".to_owned());
    }
    let local = local.ok_or("its stream has taken no record yet")?;
    let known = local.catalog.stream(stream).ok_or("its stream has taken no record yet")?;
    let content = local.content.ok_or("the log cannot be read")?;
    let origin = format!("{}.{}", local.folder.id(), known.number);
    let held = StoredLog::new(known, content).shards();
    Ok((vec![identity(&origin, stream, &fan_out.name).to_string()], held))
}
