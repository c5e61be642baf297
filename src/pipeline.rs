//! Checked configuration → running stages, and their end in flow order.
//!
//! ```text
//! listen ─▶ open the logs ─▶ build, the last stage first ─▶ let records in ┄▶ drain, the first stage first
//! 503 starting              503 starting                    200               503 draining
//! ```

mod learned;
pub mod logs;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Runtime;

use crate::config::checked::{self, ColumnsSource, Config};
use crate::delivery::sink::{ObjectSink, SinkError};
use crate::delivery::{LedgerParts, Memory, OpenError, Parts, Slots, Status, StatusReport, Worker};
use crate::edge::accept::Listeners;
use crate::edge::{Edge, Intake};
use crate::node::{CatalogError, NodeError};
use crate::runtime::budget::Share;
use crate::runtime::clock;
use crate::runtime::phases::{Phase, Phases};
use crate::runtime::tasks::Tasks;
use crate::schema::inference::OnConflict;
use crate::schema::validation::SchemaError;
use crate::stream::wal::journals;
use crate::stream::wal::recovery::RecoveryError;
use crate::stream::{Backing, Captures, Stream};
use crate::telemetry::metrics::{MemoryMetrics, Registry};

use logs::{Logs, Recovery};

/// How long blocking calls of the deliveries (file-system writes) may take once their tasks are gone.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the process cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A thread or runtime cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
    /// A schema cannot be compiled.
    #[error("stream '{stream}': {source}")]
    Schema {
        /// The stream.
        stream: String,
        /// What is wrong with it.
        source: SchemaError,
    },
    /// A sink's settings are unusable.
    #[error("delivery '{delivery}' of stream '{stream}': {source}")]
    Sink {
        /// The stream.
        stream: String,
        /// The delivery.
        delivery: String,
        /// What the store's client said.
        source: SinkError,
    },
    /// The node's folder cannot be used.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The node's folder has other streams.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Whoever wanted it to start wants it no more.
    #[error("stopped while starting")]
    Stopped,
    /// The log cannot be recovered or written.
    #[error(transparent)]
    Log(journals::OpenError),
    /// Learned columns cannot be kept.
    #[error("stream '{stream}': the version of its columns cannot be kept: {why}")]
    Learned {
        /// The stream.
        stream: String,
        /// Why.
        why: String,
    },
    /// A delivery cannot go on where it stopped.
    #[error("delivery '{delivery}' of stream '{stream}': {source}")]
    Delivery {
        /// The stream.
        stream: String,
        /// The delivery.
        delivery: String,
        /// Why.
        source: OpenError,
    },
    /// The metrics registry refused its own buckets.
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

impl From<journals::OpenError> for StartError {
    fn from(error: journals::OpenError) -> Self {
        match error {
            journals::OpenError::Recovery(RecoveryError::Stopped) => StartError::Stopped,
            other => StartError::Log(other),
        }
    }
}

/// Everything that runs, and what is needed to watch and to end it.
pub struct Pipelines {
    /// Shared with all stages.
    pub phases: Phases,
    /// All metrics.
    pub registry: Registry,
    edge: Arc<Edge>,
    address: std::net::SocketAddr,
    threads: usize,
    drain_timeout: Duration,
    /// `None` once it is being ended.
    running: Mutex<Option<Running>>,
    workers: Tasks,
    /// Not there before everything is built.
    statuses: OnceLock<Vec<Arc<Status>>>,
    memory: Arc<Memory>,
    memory_metrics: MemoryMetrics,
}

/// What a drain takes apart.
struct Running {
    edge_threads: Vec<thread::JoinHandle<io::Result<()>>>,
    stages: Option<Stages>,
}

/// What is there once everything is built.
struct Stages {
    deliveries: Runtime,
    /// The node's folder is locked for as long as these live.
    logs: Option<Logs>,
}

impl std::fmt::Debug for Pipelines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipelines").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Pipelines {
    /// Starts the edge, which refuses everything about streams as `starting` until [`Pipelines::build`] is done.
    /// Whatever follows, [`Pipelines::drain`] ends it.
    pub fn listen(config: &Config) -> Result<Self, StartError> {
        let Config { node, pipelines } = config;
        let threads = node.server.threads.or(thread::available_parallelism().ok()).map_or(1, usize::from);
        let registry = Registry::new()?;
        let phases = Phases::new();
        // Half for what has come in, half for what goes out: see `runtime::budget`.
        let ingest = Share::new(node.memory_budget_bytes / 2, pipelines.len() + 2);
        let deliveries_count = pipelines.iter().map(|pipeline| pipeline.deliveries.len()).sum();
        let memory = Memory::new(node.memory_budget_bytes / 2, deliveries_count);
        let listeners = Listeners::bind(node.server.listen, threads)
            .map_err(|source| StartError::Listen { address: node.server.listen, source })?;
        let address = listeners.address();
        let edge = Arc::new(Edge::new(node.server.clone(), ingest, phases.clone(), &registry));
        // Those that have been started end if one cannot be.
        let edge_threads = listeners.serve(&edge).inspect_err(|_| phases.advance(Phase::StoppingEdge))?;
        let memory_metrics = registry.memory();
        Ok(Self {
            phases,
            registry,
            edge,
            address,
            threads,
            drain_timeout: node.server.drain_timeout,
            running: Mutex::new(Some(Running { edge_threads, stages: None })),
            workers: Tasks::new(),
            statuses: OnceLock::new(),
            memory,
            memory_metrics,
        })
    }

    /// Opens the logs, builds every stage, the last one first, and lets records in at the end. Blocks the thread for
    /// as long as it takes to read the logs; [`Phases::progress`] tells how far that is and takes the wish to stop.
    /// `accept_damage`: damaged parts of the logs are left out instead of being an error.
    ///
    /// # Errors
    /// [`StartError::Stopped`] where that was wished or a drain has begun; any other [`StartError`] but
    /// [`StartError::Listen`]. Nothing of what was built runs then.
    pub fn build(&self, config: Config, accept_damage: bool) -> Result<(), StartError> {
        let recovery = Recovery { accept_damage, phases: &self.phases, registry: &self.registry };
        let mut logs = Logs::open(&config, &recovery)?;
        let deliveries = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.threads)
            .thread_name("delivery")
            .enable_all()
            .build()?;
        let mut builder = Builder {
            registry: &self.registry,
            ingest: &self.edge.budget,
            memory: &self.memory,
            run: clock::wall().0.unsigned_abs(),
            logs: logs.as_mut(),
            statuses: Vec::new(),
            workers: Vec::new(),
        };
        let intakes = config
            .pipelines
            .into_iter()
            .enumerate()
            .map(|(index, pipeline)| builder.build(index, pipeline))
            .collect::<Result<_, _>>()?;
        let Builder { statuses, workers, .. } = builder;
        let mut running = self.lock_running();
        let Some(running) = running.as_mut().filter(|_| !self.phases.progress().is_stopped()) else {
            return Err(StartError::Stopped);
        };
        if let Some(logs) = &mut logs {
            logs.keep_unnamed(&self.registry)
                .map_err(|source| StartError::Schema { stream: "of no pipeline".to_owned(), source })?;
            logs.save_catalog()?;
        }
        let guard = deliveries.enter();
        for worker in workers {
            self.workers.spawn(worker.run(self.phases.clone()));
        }
        drop(guard);
        running.stages = Some(Stages { deliveries, logs });
        self.statuses.get_or_init(|| statuses);
        self.edge.open(intakes);
        self.phases.advance(Phase::Serving);
        Ok(())
    }

    fn lock_running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the edge listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    fn statuses(&self) -> impl Iterator<Item = &Arc<Status>> {
        self.statuses.get().into_iter().flatten()
    }

    /// The balance of each delivery; of none before they are built.
    pub fn reports(&self) -> Vec<StatusReport> {
        self.statuses().map(|status| status.report()).collect()
    }

    /// Why the process should get no traffic at the moment; empty if it should.
    pub fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.phases.current() != Phase::Serving {
            reasons.push(format!("phase: {}", self.phases.describe()));
        }
        let paused = self.reports().into_iter().filter_map(|report| {
            let why = report.paused?;
            Some(format!("delivery '{}' of stream '{}' is paused: {why}", report.delivery, report.stream))
        });
        reasons.extend(paused);
        reasons
    }

    /// Lets streams forget what has outlived its retention, and moves samples into histograms. To be called every
    /// second or so.
    pub fn housekeeping(&self) {
        let now = clock::wall();
        for intake in self.edge.intakes() {
            intake.stream.enforce_retention(now);
        }
        if let Some(logs) =
            self.lock_running().as_ref().and_then(|running| running.stages.as_ref()?.logs.as_ref())
        {
            logs.housekeeping(now);
        }
        self.registry.run_upkeep();
    }

    /// Brings gauges up to date and renders all metrics.
    pub fn render_metrics(&self) -> String {
        for status in self.statuses() {
            status.refresh_gauges();
        }
        for intake in self.edge.intakes() {
            let (records, bytes) = intake.stream.retained();
            intake.stream.metrics.retained_records.set(records as f64);
            intake.stream.metrics.retained_bytes.set(bytes as f64);
        }
        if let Some(logs) =
            self.lock_running().as_ref().and_then(|running| running.stages.as_ref()?.logs.as_ref())
        {
            logs.refresh_gauges(&self.registry);
        }
        let gauges = &self.memory_metrics;
        gauges.ingest_used.set(self.edge.budget.used() as f64);
        gauges.ingest_capacity.set(self.edge.budget.capacity() as f64);
        gauges.delivery_used.set(self.memory.share.used() as f64);
        gauges.delivery_capacity.set(self.memory.share.capacity() as f64);
        let mut text = self.registry.render();
        crate::telemetry::process::render(&mut text);
        text
    }

    /// Ends the stages in flow order: the edge first, then the deliveries, which close their files and upload them
    /// until `[server] drain_timeout` has passed, then the logs. What was not built yet is not there to be ended.
    /// Returns the final balance. Blocks the thread.
    pub fn drain(&self) -> Vec<StatusReport> {
        let started = clock::monotonic();
        let running = self.lock_running().take();
        let Some(Running { edge_threads, stages }) = running else { return self.reports() };
        self.phases.advance(Phase::StoppingEdge);
        for thread in edge_threads {
            if !matches!(thread.join(), Ok(Ok(()))) {
                tracing::error!("an edge thread ended with an error");
            }
        }
        self.phases.advance(Phase::Draining);
        if let Some(Stages { deliveries, logs }) = stages {
            let have_ended =
                self.drain_deliveries(deliveries, self.drain_timeout.saturating_sub(started.elapsed()));
            if let Some(logs) = logs {
                logs.journals().stop();
                if !have_ended {
                    tracing::warn!(
                        "the disk is still at work: the node's folder stays locked until the process ends"
                    );
                    // A write that hangs in the disk can go on at any time, and name a file that the next process has
                    // already begun another one over. Only the end of this process is known to end it.
                    std::mem::forget(logs);
                }
            }
        }
        self.phases.advance(Phase::Stopped);
        self.reports()
    }

    /// Returns whether nothing of the deliveries runs any more.
    fn drain_deliveries(&self, deliveries: Runtime, timeout: Duration) -> bool {
        let workers = self.workers.clone();
        let drained =
            deliveries.block_on(async move { tokio::time::timeout(timeout, workers.joined()).await });
        if drained.is_err() {
            tracing::error!(
                drain_timeout_seconds = self.drain_timeout.as_secs(),
                "the drain deadline has passed"
            );
        }
        let stopping = clock::monotonic();
        deliveries.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
        // It does not tell; but it returns early only if there is nothing left to wait for.
        stopping.elapsed() < RUNTIME_STOP_TIMEOUT
    }
}

struct Builder<'a> {
    registry: &'a Registry,
    ingest: &'a Share,
    memory: &'a Arc<Memory>,
    run: u64,
    logs: Option<&'a mut Logs>,
    statuses: Vec<Arc<Status>>,
    workers: Vec<Worker>,
}

impl Builder<'_> {
    fn build(&mut self, index: usize, pipeline: checked::Pipeline) -> Result<Intake, StartError> {
        let checked::Pipeline { stream, ingest, deliveries, columns_source, .. } = pipeline;
        let schema = match columns_source {
            Some(ColumnsSource::Inferred(rules)) => {
                Some(learned::open(self.logs.as_deref(), &stream, rules)?)
            }
            _ => None,
        };
        let mut captures = Captures::default();
        let slots: Vec<_> = deliveries.iter().map(|config| Slots::of(config, &mut captures)).collect();
        let plan =
            captures.plan().map_err(|source| StartError::Schema { stream: stream.name.clone(), source })?;
        let metrics = self.registry.stream(&stream.name);
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
            let status = Arc::new(Status::new(Arc::clone(&stream), &config.name, self.registry));
            self.statuses.push(Arc::clone(&status));
            let (stream, memory) = (Arc::clone(&stream), Arc::clone(self.memory));
            let ledger = self.logs.as_ref().filter(|_| stream.is_durable()).map(|logs| LedgerParts {
                disk: Arc::clone(logs.folder.disk()),
                folder: logs.folder.ledger(stream.name(), &config.name),
            });
            let parts = Parts {
                stream,
                reader,
                slots,
                sink,
                status,
                memory,
                budget: self.memory.share.account(self.workers.len()),
                run: self.run,
                node: self.logs.as_ref().map_or_else(String::new, |logs| logs.folder.id().to_string()).into(),
                schema: schema.clone(),
                ledger,
                config,
            };
            let worker = Worker::new(&parts).map_err(|source| StartError::Delivery {
                stream: parts.stream.name().to_string(),
                delivery: parts.config.name.clone(),
                source,
            })?;
            self.workers.push(worker);
        }
        let name = stream.name().to_string();
        let failed = |source| StartError::Schema { stream: name.clone(), source };
        let budget = self.ingest.account(index);
        let mut intake = Intake::new(stream, ingest, &captures, budget).map_err(failed)?;
        if let Some(schema) = schema.filter(|schema| schema.rules().on_conflict == OnConflict::Reject) {
            intake.enforce(schema, &captures).map_err(failed)?;
        }
        Ok(intake)
    }
}

#[cfg(test)]
mod tests;
