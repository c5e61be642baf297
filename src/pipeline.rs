//! Checked configuration → running stages, and their end in flow order.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Runtime;

use crate::config::checked::{self, Config};
use crate::delivery::sink::{ObjectSink, SinkError};
use crate::delivery::{Memory, OpenError, Parts, Slots, Status, StatusReport, Worker};
use crate::edge::accept::Listeners;
use crate::edge::{Edge, Intake};
use crate::runtime::budget::Share;
use crate::runtime::clock;
use crate::runtime::phases::{Phase, Phases};
use crate::runtime::tasks::Tasks;
use crate::schema::validation::SchemaError;
use crate::stream::{Backing, Captures, Stream};
use crate::telemetry::metrics::{MemoryMetrics, Registry};

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
    /// A stream is durable, and the log for that does not run yet.
    #[error(
        "stream '{stream}' has durability \"{durability}\", and durable streams are not wired yet: write durability = \"memory\""
    )]
    NotWired {
        /// The stream.
        stream: String,
        /// Its durability.
        durability: &'static str,
    },
    /// The metrics registry refused its own buckets.
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

/// Everything that runs, and what is needed to watch and to end it.
pub struct Pipelines {
    /// Shared with all stages.
    pub phases: Phases,
    /// All metrics.
    pub registry: Registry,
    edge: Arc<Edge>,
    address: std::net::SocketAddr,
    drain_timeout: Duration,
    running: Mutex<Option<Running>>,
    workers: Tasks,
    statuses: Vec<Arc<Status>>,
    memory: Arc<Memory>,
    memory_metrics: MemoryMetrics,
}

/// What a drain takes apart.
struct Running {
    edge_threads: Vec<thread::JoinHandle<io::Result<()>>>,
    deliveries: Runtime,
}

impl std::fmt::Debug for Pipelines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipelines").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Pipelines {
    /// Builds every stage, the last one first, and opens the door at the end.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let Config { node, pipelines } = config;
        let threads = node.server.threads.or(thread::available_parallelism().ok()).map_or(1, usize::from);
        let registry = Registry::new()?;
        let phases = Phases::new();
        // Half for what has come in, half for what goes out: see `runtime::budget`.
        let ingest = Share::new(node.memory_budget_bytes / 2, pipelines.len() + 1);
        let deliveries_count = pipelines.iter().map(|pipeline| pipeline.deliveries.len()).sum();
        let memory = Memory::new(node.memory_budget_bytes / 2, deliveries_count);
        let listeners = Listeners::bind(node.server.listen, threads)
            .map_err(|source| StartError::Listen { address: node.server.listen, source })?;
        let address = listeners.address();
        let deliveries = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("delivery")
            .enable_all()
            .build()?;
        let workers = Tasks::new();
        let mut builder = Builder {
            registry: &registry,
            ingest: &ingest,
            memory: &memory,
            run: clock::wall().0.unsigned_abs(),
            statuses: Vec::new(),
            workers: Vec::new(),
        };
        let intakes = pipelines
            .into_iter()
            .enumerate()
            .map(|(index, pipeline)| builder.build(index, pipeline))
            .collect::<Result<_, _>>()?;
        let Builder { statuses, workers: built, .. } = builder;
        let guard = deliveries.enter();
        for worker in built {
            workers.spawn(worker.run(phases.clone()));
        }
        drop(guard);
        let drain_timeout = node.server.drain_timeout;
        let edge = Arc::new(Edge::new(node.server, intakes, ingest, phases.clone(), &registry));
        let edge_threads = listeners.serve(&edge)?;
        let memory_metrics = registry.memory();
        phases.advance(Phase::Serving);
        let running = Mutex::new(Some(Running { edge_threads, deliveries }));
        Ok(Self {
            phases,
            registry,
            edge,
            address,
            drain_timeout,
            running,
            workers,
            statuses,
            memory,
            memory_metrics,
        })
    }

    /// Where the edge listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    /// The balance of each delivery.
    pub fn reports(&self) -> Vec<StatusReport> {
        self.statuses.iter().map(|status| status.report()).collect()
    }

    /// Why the process should get no traffic at the moment; empty if it should.
    pub fn unready(&self) -> Vec<String> {
        let phase = self.phases.current();
        let mut reasons = Vec::new();
        if phase != Phase::Serving {
            reasons.push(format!("phase: {}", phase.as_str()));
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
        for intake in self.edge.intakes.values() {
            intake.stream.enforce_retention(now);
        }
        self.registry.run_upkeep();
    }

    /// Brings gauges up to date and renders all metrics.
    pub fn render_metrics(&self) -> String {
        for status in &self.statuses {
            status.refresh_gauges();
        }
        for intake in self.edge.intakes.values() {
            let (records, bytes) = intake.stream.retained();
            intake.stream.metrics.retained_records.set(records as f64);
            intake.stream.metrics.retained_bytes.set(bytes as f64);
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
    /// until `[server] drain_timeout` has passed. Returns the final balance. Blocks the thread.
    pub fn drain(&self) -> Vec<StatusReport> {
        let started = clock::monotonic();
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { edge_threads, deliveries }) = running else { return self.reports() };
        self.phases.advance(Phase::StoppingEdge);
        for thread in edge_threads {
            if !matches!(thread.join(), Ok(Ok(()))) {
                tracing::error!("an edge thread ended with an error");
            }
        }
        self.phases.advance(Phase::Draining);
        let rest = self.drain_timeout.saturating_sub(started.elapsed());
        let workers = self.workers.clone();
        let drained = deliveries.block_on(async move { tokio::time::timeout(rest, workers.joined()).await });
        if drained.is_err() {
            tracing::error!(
                drain_timeout_seconds = self.drain_timeout.as_secs(),
                "the drain deadline has passed"
            );
        }
        deliveries.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
        self.phases.advance(Phase::Stopped);
        self.reports()
    }
}

struct Builder<'a> {
    registry: &'a Registry,
    ingest: &'a Share,
    memory: &'a Arc<Memory>,
    run: u64,
    statuses: Vec<Arc<Status>>,
    workers: Vec<Worker>,
}

impl Builder<'_> {
    fn build(&mut self, index: usize, pipeline: checked::Pipeline) -> Result<Intake, StartError> {
        let checked::Pipeline { stream, ingest, deliveries, .. } = pipeline;
        if stream.durability.is_durable() {
            let durability = stream.durability.as_str();
            return Err(StartError::NotWired { stream: stream.name, durability });
        }
        let mut captures = Captures::default();
        let slots: Vec<_> = deliveries.iter().map(|config| Slots::of(config, &mut captures)).collect();
        let plan =
            captures.plan().map_err(|source| StartError::Schema { stream: stream.name.clone(), source })?;
        let metrics = self.registry.stream(&stream.name);
        let stream = Arc::new(Stream::new(&stream, Backing::Memory, deliveries.len(), plan, metrics));
        for (reader, (config, slots)) in deliveries.into_iter().zip(slots).enumerate() {
            let sink = ObjectSink::open(&config.sink).map_err(|source| StartError::Sink {
                stream: stream.name().to_string(),
                delivery: config.name.clone(),
                source,
            })?;
            let status = Arc::new(Status::new(Arc::clone(&stream), &config.name, self.registry));
            self.statuses.push(Arc::clone(&status));
            let (stream, memory) = (Arc::clone(&stream), Arc::clone(self.memory));
            let parts = Parts {
                stream,
                reader,
                slots,
                sink,
                status,
                memory,
                budget: self.memory.share.account(self.workers.len()),
                run: self.run,
                node: "0000000000000000".into(),
                ledger: None,
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
        Intake::new(stream, ingest, &captures, self.ingest.account(index))
            .map_err(|source| StartError::Schema { stream: name, source })
    }
}
