//! One pipeline of the configuration → its running stages, the last one first.

use std::sync::Arc;
use std::time::Duration;

use super::fan_outs::{BuiltFanOut, NewFanOut};
use super::late::Late;
use super::logs::Logs;
use super::running::Built;
use super::shared::ToShare;
use super::site::Site;
use super::{StartError, learned};
use crate::config::MADE_NAME_PREFIX;
use crate::config::checked::{
    self, ColumnsSource, Content, Delivery, Durability, LogPlace, Node, ShardQuotas,
};
use crate::config::limits::{KAFKA_START_WAIT, KINESIS_BYTES_MAX};
use crate::delivery::fan_out;
use crate::delivery::sink::ObjectSink;
use crate::delivery::{Begin, Fields, LedgerParts, Parts, Slots, Status, Worker};
use crate::edge::Intake;
use crate::node::{Catalog, CatalogStream, StreamOrigin};
use crate::runtime::budget::Budget;
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::RealDisk;
use crate::schema::registry::Registry;
use crate::schema::validation::SchemaError;
use crate::stream::kafka::growth::Agreement;
use crate::stream::kafka::{Judge, Source};
use crate::stream::{Backing, Captures, ReaderId, Stream};
use crate::tap::named::all::NamedCursors;

/// Builds pipelines, and gathers what is to be started.
pub(super) struct Builder<'a> {
    site: &'a Site,
    logs: Option<&'a mut Logs>,
    /// The account of the delivery share that pays for the next delivery.
    account: usize,
    /// Since when some deliveries deliver: stream, delivery and that.
    begins: Vec<(String, String, UnixMicros)>,
    built: Vec<Built>,
    late: Vec<Late>,
    to_share: Vec<ToShare>,
    fan_outs: Vec<BuiltFanOut>,
}

/// A delivery of a stream, to be built.
pub(super) struct NewDelivery {
    /// What it is.
    pub config: Delivery,
    /// Its number among the stream's readers.
    pub reader: ReaderId,
    /// Where its fields are.
    pub slots: Slots,
    /// The same.
    pub fields: Fields,
    /// The columns that are learned of the stream.
    pub schema: Option<Arc<Registry>>,
    /// Where it begins.
    pub begin: Begin,
}

impl<'a> Builder<'a> {
    /// Nothing is built yet. Each delivery has an account of its own, if there are as many.
    pub fn new(site: &'a Site, logs: Option<&'a mut Logs>) -> Self {
        let (built, late, to_share, fan_outs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { site, logs, account: 0, begins: Vec::new(), built, late, to_share, fan_outs }
    }

    /// Has some deliveries begin later than with the oldest record: stream, delivery, and since when they deliver.
    pub fn beginning(self, begins: Vec<(String, String, UnixMicros)>) -> Self {
        Self { begins, ..self }
    }

    fn begin_of(&self, stream: &str, delivery: &str) -> Begin {
        let is_it = |(of, name, _): &&(String, String, UnixMicros)| of == stream && name == delivery;
        self.begins.iter().find(is_it).map_or(Begin::Oldest, |&(.., since)| Begin::At(since))
    }

    /// The same for what is made while the process runs: all of that shares the last account.
    pub fn later(site: &'a Site, logs: Option<&'a mut Logs>) -> Self {
        Self { account: usize::MAX, ..Self::new(site, logs) }
    }

    /// All of it: what this node alone delivers, what of that cannot be built yet, what it shares with others, and what
    /// goes into Kafka.
    pub fn built(self) -> (Vec<Built>, Vec<Late>, Vec<ToShare>, Vec<BuiltFanOut>) {
        (self.built, self.late, self.to_share, self.fan_outs)
    }

    /// The pipelines of streams that clients have made, and that no pipeline file names.
    ///
    /// # Errors
    /// If one is not what pipeline files can say any more.
    pub fn made_by_clients(&self) -> Result<Vec<checked::Pipeline>, StartError> {
        let catalog = self.logs.as_ref().map(|logs| &logs.catalog);
        catalog.map_or(Ok(Vec::new()), |catalog| made_by_clients(catalog, &self.site.node))
    }

    /// Builds one; `account` of the ingest share pays for its records. To be called once a stream.
    ///
    /// # Errors
    /// What does not let it start.
    pub fn build(&mut self, account: usize, pipeline: checked::Pipeline) -> Result<Intake, StartError> {
        let checked::Pipeline { stream, ingest, deliveries, fan_outs, columns_source, .. } = pipeline;
        let schema = match columns_source {
            Some(ColumnsSource::Inferred(rules)) => {
                Some(learned::open(self.logs.as_deref(), &stream, rules, &self.site.registry)?)
            }
            _ => None,
        };
        let mut captures = Captures::default();
        let slots: Vec<_> = deliveries.iter().map(|config| Slots::of(config, &mut captures)).collect();
        let fan_out_slots: Vec<_> =
            fan_outs.iter().map(|config| fan_out::Slots::of(config, &mut captures)).collect();
        let plan =
            captures.plan().map_err(|source| StartError::Schema { stream: stream.name.clone(), source })?;
        let metrics = self.site.registry.stream(&stream.name);
        let (files, readers) = (deliveries.len(), deliveries.len() + fan_outs.len());
        let has_deliveries = deliveries.iter().any(is_of_pipeline) || !fan_outs.is_empty();
        let backing = match &stream.log {
            LogPlace::Local => {
                self.logs.as_mut().map_or(Backing::Memory, |logs| logs.backing(&stream, readers))
            }
            LogPlace::Kafka(log) => {
                let agreement = self.site.agreement(self.logs.as_deref(), &stream.name, log)?;
                let budget = self.site.edge.budget.account(account);
                let source = self.site.topic((log, agreement), &ingest, budget);
                let failed = |source| StartError::Schema { stream: stream.name.clone(), source };
                Backing::Kafka(Box::new(source.map_err(failed)?))
            }
        };
        let stream = Arc::new(Stream::new(&stream, backing, readers, plan, metrics));
        stream.begin_log(KAFKA_START_WAIT);
        if let Some(known) = self.logs.as_ref().and_then(|logs| logs.catalog.stream(stream.name())) {
            stream.label_encrypted(known.properties.encryption_key.is_some());
        }
        let fields = Fields::of_stream(&captures);
        for (reader, (config, slots)) in deliveries.into_iter().zip(slots).enumerate() {
            let begin = self.begin_of(stream.name(), &config.name);
            let (fields, schema) = (fields.clone(), schema.clone());
            let new = NewDelivery { config, reader, slots, fields, schema, begin };
            let budget = self.site.memory.share.account(self.account);
            self.account = self.account.saturating_add(1);
            if let Some(cluster) = self.site.cluster().filter(|_| stream.topic().is_some()) {
                // A node that only takes records in needs no sink, and no way to it.
                if cluster.delivers {
                    self.to_share.push(self.site.share(cluster, &stream, new, budget)?);
                }
                continue;
            }
            if stream.topic().is_some_and(|topic| topic.partitions().is_empty()) {
                self.late.push(Late { stream: Arc::clone(&stream), new, budget });
                continue;
            }
            let parts = Arc::new(self.site.parts(self.logs.as_deref(), &stream, new, budget)?);
            let worker = self.site.worker(&parts)?;
            self.built.push((parts, worker));
        }
        for (index, (config, slots)) in fan_outs.into_iter().zip(fan_out_slots).enumerate() {
            let (begin, fields) = (self.begin_of(stream.name(), &config.name), fields.clone());
            let budget = self.site.memory.share.account(self.account);
            self.account = self.account.saturating_add(1);
            let (config, reader) = (Arc::new(config), files + index);
            let new = NewFanOut { config, reader, slots, fields, budget, begin };
            if let Some(cluster) = self.site.cluster().filter(|_| stream.topic().is_some()) {
                let delivers = cluster.delivers;
                let shared = delivers.then(|| self.site.share_fan_out(cluster, &stream, &new));
                self.to_share.extend(shared.flatten());
                continue;
            }
            self.fan_outs.push(self.site.fan_out(self.logs.as_deref(), &stream, new));
        }
        let name = stream.name().to_string();
        let failed = |source| StartError::Schema { stream: name.clone(), source };
        let budget = self.site.edge.budget.account(account);
        let mut intake = Intake::new(stream, ingest, (captures, schema), budget).map_err(failed)?;
        let (disk, data_dir) = (Arc::new(RealDisk), &self.site.node.data_dir);
        intake.cursors = match intake.stream.topic() {
            None => NamedCursors::open(&intake.stream, disk, data_dir, &self.site.registry)?,
            Some(topic) => {
                let together = self
                    .site
                    .cursors_together((&name, topic.name()))
                    .map_err(|source| StartError::CursorStore { stream: name.clone(), source })?;
                let of = (&intake.stream, topic.name());
                NamedCursors::open_of_topic(of, together, (disk, data_dir), &self.site.registry)?
            }
        };
        intake.has_deliveries = has_deliveries.into();
        Ok(intake)
    }
}

impl Site {
    /// What a stream on a topic is made of. `budget` pays for its records.
    ///
    /// # Errors
    /// If its schema cannot be compiled.
    fn topic(
        &self,
        (log, agreement): (&checked::KafkaLog, Agreement),
        ingest: &checked::Ingest,
        budget: Arc<Budget>,
    ) -> Result<Source, SchemaError> {
        topic_source((log, agreement), ingest, (budget, self.node.server.body_bytes_max))
    }

    /// What a delivery of a stream is built from.
    ///
    /// # Errors
    /// If its sink cannot be opened.
    pub(super) fn parts(
        &self,
        logs: Option<&Logs>,
        stream: &Arc<Stream>,
        new: NewDelivery,
        budget: Arc<Budget>,
    ) -> Result<Parts, StartError> {
        let NewDelivery { mut config, reader, slots, fields, schema, begin } = new;
        if let Some(schema) = &schema {
            config.format = config.format.with_columns(Arc::clone(&schema.latest().columns));
        }
        let sink = ObjectSink::open(&config.sink).map_err(|source| StartError::Sink {
            stream: stream.name().to_string(),
            delivery: config.name.clone(),
            source,
        })?;
        let ledger = logs.filter(|_| stream.outlives_process()).map(|logs| LedgerParts::Folder {
            disk: Arc::clone(logs.folder.disk()),
            folder: logs.folder.ledger(stream.name(), &config.name),
        });
        Ok(Parts {
            stream: Arc::clone(stream),
            reader,
            slots,
            fields,
            sink,
            status: Arc::new(Status::new(Arc::clone(stream), &config.name, &self.registry)),
            budget,
            memory: Arc::clone(&self.memory),
            run: self.run,
            node: logs.map_or_else(String::new, |logs| logs.folder.id().to_string()).into(),
            schema,
            begin,
            ledger,
            config,
        })
    }

    /// The worker of a delivery.
    ///
    /// # Errors
    /// If it cannot go on where its ledger says.
    pub(super) fn worker(&self, parts: &Parts) -> Result<Worker, StartError> {
        Worker::new(parts).map_err(|source| StartError::Delivery {
            stream: parts.stream.name().to_string(),
            delivery: parts.config.name.clone(),
            source,
        })
    }
}

/// What a stream on a topic is made of. `budget` pays for its records, and requests have `request_bytes` at most.
///
/// # Errors
/// If its schema cannot be compiled.
pub fn topic_source(
    (log, agreement): (&checked::KafkaLog, Agreement),
    ingest: &checked::Ingest,
    (budget, request_bytes): (Arc<Budget>, u64),
) -> Result<Source, SchemaError> {
    let any = std::iter::once(ingest).chain(ingest.stages.iter().map(|stage| &stage.ingest));
    let content = match any.map(|ingest| ingest.content).any(|content| content == Content::Any) {
        true => Content::Any,
        false => Content::Json,
    };
    // What an edge has taken was judged there.
    let schema = ingest.schema.as_deref().filter(|_| log.is_source);
    let judge = Judge::new(content, schema)?;
    Ok(Source { log: log.clone(), judge, budget, request_bytes, agreement })
}

/// Whether a delivery is one of its stream's pipeline, and not of a delivery stream that reads it.
pub(super) fn is_of_pipeline(delivery: &Delivery) -> bool {
    !delivery.name.starts_with(MADE_NAME_PREFIX)
}

/// The pipelines of streams that clients have made, and that no pipeline file names.
///
/// # Errors
/// If one is not what pipeline files can say any more.
pub fn made_by_clients(catalog: &Catalog, node: &Node) -> Result<Vec<checked::Pipeline>, StartError> {
    let made = catalog.streams().filter(|stream| stream.properties.origin == StreamOrigin::Client);
    let pipeline = |stream: &CatalogStream| {
        let CatalogStream { name, declared_shards, retention, durability, .. } = stream;
        pipeline_of_client(node, name, *declared_shards, (*retention, *durability))
    };
    made.map(pipeline).collect()
}

/// The pipeline of a stream that a client makes: it keeps records of any bytes, and delivers them nowhere.
///
/// # Errors
/// If it is not what pipeline files can say.
pub(super) fn pipeline_of_client(
    node: &Node,
    name: &str,
    shards: u32,
    (retention, durability): (Duration, Durability),
) -> Result<checked::Pipeline, StartError> {
    let (seconds, durability) = (retention.as_secs(), durability.as_str());
    let is_limited = node.aws.quotas.iter().any(|pattern| pattern.matches(name));
    let quotas = if is_limited { ShardQuotas::Kinesis } else { ShardQuotas::None }.as_str();
    let record_bytes = node.server.body_bytes_max.min(KINESIS_BYTES_MAX);
    let text = format!(
        "[stream]\nname = \"{name}\"\nshards = {shards}\nretention = \"{seconds}s\"\n\
         durability = \"{durability}\"\nquotas = \"{quotas}\"\n[ingest]\ncontent = \"any\"\nmax_record = \"{record_bytes}B\"\n"
    );
    crate::config::pipeline_of_text(&text, node)
        .map_err(|problems| StartError::MadeByClient { stream: name.to_owned(), problems })
}
