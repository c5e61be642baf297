//! One pipeline of the configuration → its running stages, the last one first.

use std::sync::Arc;
use std::time::Duration;

use super::logs::Logs;
use super::site::Site;
use super::{StartError, learned};
use crate::config::checked::{self, ColumnsSource, Durability};
use crate::config::limits::KINESIS_BYTES_MAX;
use crate::delivery::sink::ObjectSink;
use crate::delivery::{LedgerParts, Parts, Slots, Status, Worker};
use crate::edge::Intake;
use crate::node::{CatalogStream, StreamOrigin};
use crate::runtime::disk::RealDisk;
use crate::schema::inference::OnConflict;
use crate::stream::{Backing, Captures, Stream};
use crate::tap::named::all::NamedCursors;

/// Builds pipelines, and gathers what is to be started.
pub(super) struct Builder<'a> {
    site: &'a Site,
    logs: Option<&'a mut Logs>,
    built: Built,
}

/// What was built and does not run yet.
#[derive(Default)]
pub(super) struct Built {
    /// What the rest of the process sees of the deliveries.
    pub statuses: Vec<Arc<Status>>,
    /// The deliveries, each with its stream.
    pub workers: Vec<(Arc<str>, Worker)>,
}

impl<'a> Builder<'a> {
    /// Nothing is built yet.
    pub fn new(site: &'a Site, logs: Option<&'a mut Logs>) -> Self {
        Self { site, logs, built: Built::default() }
    }

    /// All of it.
    pub fn built(self) -> Built {
        self.built
    }

    /// The pipelines of streams that clients have made, and that no pipeline file names.
    ///
    /// # Errors
    /// If one is not what pipeline files can say any more.
    pub fn made_by_clients(&self) -> Result<Vec<checked::Pipeline>, StartError> {
        let streams = self.logs.iter().flat_map(|logs| logs.catalog.streams());
        let made = streams.filter(|stream| stream.properties.origin == StreamOrigin::Client);
        let pipeline = |stream: &CatalogStream| {
            let CatalogStream { name, declared_shards, retention, durability, .. } = stream;
            self.site.pipeline_of_client(name, *declared_shards, *retention, *durability)
        };
        made.map(pipeline).collect()
    }

    /// Builds one; `account` of the ingest share pays for its records. To be called once a stream.
    ///
    /// # Errors
    /// What does not let it start.
    pub fn build(&mut self, account: usize, pipeline: checked::Pipeline) -> Result<Intake, StartError> {
        let checked::Pipeline { stream, ingest, deliveries, columns_source, .. } = pipeline;
        let schema = match columns_source {
            Some(ColumnsSource::Inferred(rules)) => {
                Some(learned::open(self.logs.as_deref(), &stream, rules, &self.site.registry)?)
            }
            _ => None,
        };
        let mut captures = Captures::default();
        let slots: Vec<_> = deliveries.iter().map(|config| Slots::of(config, &mut captures)).collect();
        let plan =
            captures.plan().map_err(|source| StartError::Schema { stream: stream.name.clone(), source })?;
        let metrics = self.site.registry.stream(&stream.name);
        let readers = deliveries.len();
        let backing = self.logs.as_mut().map_or(Backing::Memory, |logs| logs.backing(&stream, readers));
        let stream = Arc::new(Stream::new(&stream, backing, readers, plan, metrics));
        for (reader, (mut config, slots)) in deliveries.into_iter().zip(slots).enumerate() {
            if let Some(schema) = &schema {
                config.format = config.format.with_columns(Arc::clone(&schema.latest().columns));
            }
            let sink = ObjectSink::open(&config.sink).map_err(|source| StartError::Sink {
                stream: stream.name().to_string(),
                delivery: config.name.clone(),
                source,
            })?;
            let status = Arc::new(Status::new(Arc::clone(&stream), &config.name, &self.site.registry));
            self.built.statuses.push(Arc::clone(&status));
            let ledger = self.logs.as_ref().filter(|_| stream.is_durable()).map(|logs| LedgerParts {
                disk: Arc::clone(logs.folder.disk()),
                folder: logs.folder.ledger(stream.name(), &config.name),
            });
            let node = self.logs.as_ref().map_or_else(String::new, |logs| logs.folder.id().to_string());
            let memory = Arc::clone(&self.site.memory);
            let parts = Parts {
                stream: Arc::clone(&stream),
                reader,
                slots,
                sink,
                status,
                budget: memory.share.account(self.built.workers.len()),
                memory,
                run: self.site.run,
                node: node.into(),
                schema: schema.clone(),
                ledger,
                config,
            };
            let worker = Worker::new(&parts).map_err(|source| StartError::Delivery {
                stream: parts.stream.name().to_string(),
                delivery: parts.config.name.clone(),
                source,
            })?;
            self.built.workers.push((Arc::clone(stream.name()), worker));
        }
        let name = stream.name().to_string();
        let failed = |source| StartError::Schema { stream: name.clone(), source };
        let budget = self.site.edge.budget.account(account);
        let mut intake = Intake::new(stream, ingest, &captures, budget).map_err(failed)?;
        let (disk, data_dir) = (Arc::new(RealDisk), &self.site.node.data_dir);
        intake.cursors = NamedCursors::open(&intake.stream, disk, data_dir, &self.site.registry)?;
        if let Some(schema) = schema.filter(|schema| schema.rules().on_conflict == OnConflict::Reject) {
            intake.enforce(schema, &captures).map_err(failed)?;
        }
        Ok(intake)
    }
}

impl Site {
    /// The pipeline of a stream that a client makes: it keeps records of any bytes, and delivers them nowhere.
    ///
    /// # Errors
    /// If it is not what pipeline files can say.
    pub(super) fn pipeline_of_client(
        &self,
        name: &str,
        shards: u32,
        retention: Duration,
        durability: Durability,
    ) -> Result<checked::Pipeline, StartError> {
        let (seconds, durability) = (retention.as_secs(), durability.as_str());
        let record_bytes = self.node.server.body_bytes_max.min(KINESIS_BYTES_MAX);
        let text = format!(
            "[stream]\nname = \"{name}\"\nshards = {shards}\nretention = \"{seconds}s\"\n\
             durability = \"{durability}\"\n[ingest]\ncontent = \"any\"\nmax_record = \"{record_bytes}B\"\n"
        );
        crate::config::pipeline_of_text(&text, &self.node)
            .map_err(|problems| StartError::MadeByClient { stream: name.to_owned(), problems })
    }
}
