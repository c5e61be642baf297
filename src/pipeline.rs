//! Checked configuration → running stages, and their end in flow order.
//!
//! ```text
//! listen ─▶ open the logs ─▶ build, the last stage first ─▶ let records in ┄▶ drain, the first stage first
//! 503 starting              503 starting                    200               503 draining
//! ```

pub mod agreement;
mod build;
mod certificates;
pub mod control;
mod drain;
mod error;
mod exports;
mod fan_outs;
pub mod flush;
mod functions;
mod late;
mod learned;
pub mod logs;
pub mod reload;
mod reports;
pub mod running;
mod shared;
mod site;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use http::request::Parts;
use tokio::runtime::Runtime;

use crate::config::checked::Config;
use crate::delivery::Memory;
use crate::edge::Edge;
use crate::edge::aws::firehose::registry::DeliveryStreams;
use crate::edge::gate::facts::Facts;
use crate::edge::gate::screen::Screen;
use crate::edge::identity::policy::Action;
use crate::edge::listen::socket::Peer;
use crate::edge::listen::{Door, Listeners};
use crate::edge::problem::Problem;
use crate::edge::visit::Visit;
use crate::runtime::budget::Share;
use crate::runtime::clock;
use crate::runtime::phases::{Phase, Phases};
use crate::runtime::placement::Placement;
use crate::telemetry::metrics::{MemoryMetrics, Registry};
use crate::telemetry::observer::Observer;

pub use build::{made_by_clients, topic_source};
pub use error::StartError;

use build::Builder;
use control::Control;
use exports::Exports;
use logs::{Logs, Recovery};
use site::Site;

/// Accounts of the ingest share beside those of the pipelines: one for all streams that clients make, one for bodies
/// whose stream is not known yet, and one for taps.
const ACCOUNTS_BESIDES: usize = 3;

/// The account of the streams that clients make.
fn account_of_clients(config: &Config) -> usize {
    config.pipelines.len()
}

/// Everything that runs, and what is needed to watch and to end it.
pub struct Pipelines {
    /// Shared with all stages.
    pub phases: Phases,
    /// All metrics.
    pub registry: Registry,
    site: Arc<Site>,
    /// What the files say that hold.
    config: tokio::sync::Mutex<Config>,
    addresses: Vec<std::net::SocketAddr>,
    places: Vec<String>,
    doors: Vec<Arc<Door>>,
    /// Those of the admin port, once they are known.
    admin_doors: OnceLock<Vec<Arc<Door>>>,
    placement: Placement,
    drain_timeout: Duration,
    /// `None` once it is being ended.
    running: Mutex<Option<Running>>,
    memory_metrics: MemoryMetrics,
    exports: Exports,
}

/// What a drain takes apart.
struct Running {
    edge_threads: Vec<thread::JoinHandle<io::Result<()>>>,
    /// There once everything is built.
    deliveries: Option<Runtime>,
}

impl std::fmt::Debug for Pipelines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipelines").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Pipelines {
    /// Starts the edge, which refuses everything about streams as `starting` until [`Pipelines::build`] is done.
    /// Whatever follows, [`Pipelines::drain`] ends it.
    pub fn listen(config: &Config) -> Result<Self, StartError> {
        let Config { node, pipelines } = config;
        let placement = Placement::here(node.server.threads);
        let registry = Registry::new()?;
        let phases = Phases::new();
        // Half for what has come in, half for what goes out: see `runtime::budget`.
        let ingest = Share::new(node.memory_budget_bytes / 2, pipelines.len() + ACCOUNTS_BESIDES);
        let deliveries_count =
            pipelines.iter().map(|pipeline| pipeline.deliveries.len() + pipeline.fan_outs.len()).sum();
        let memory = Memory::new(node.memory_budget_bytes / 2, deliveries_count);
        let listeners = Listeners::bind(&node.server.listeners, placement.edge_threads)?;
        let (addresses, places, doors) = (listeners.addresses(), listeners.places(), listeners.doors());
        let observer = Arc::new(Observer::open(node, &registry)?);
        let screen = Arc::new(Screen::new(config, &registry)?);
        let rules = (&node.auth, &node.limits, &node.aws);
        let edge = Edge::new(node.server.clone(), rules, ingest, phases.clone(), &registry);
        let takes_requests = node.cluster.as_ref().is_none_or(|cluster| cluster.is_edge);
        let edge = edge.observed_by(observer).caching(node.cache.as_ref(), &registry);
        let edge = Arc::new(edge.for_requests(takes_requests));
        let jwt = Arc::clone(edge.gate().jwt());
        edge.replace_gate((&node.auth, &node.limits, &node.aws.access), jwt, screen);
        // Those that have been started end if one cannot be.
        let edge_threads = listeners.serve(&edge).inspect_err(|_| phases.advance(Phase::StoppingEdge))?;
        let memory_metrics = registry.memory();
        let site = Arc::new(Site::new(node.clone(), &registry, edge, memory, phases.clone()));
        Ok(Self {
            phases,
            registry,
            site,
            config: tokio::sync::Mutex::new(config.clone()),
            addresses,
            places,
            doors,
            admin_doors: OnceLock::new(),
            placement,
            drain_timeout: node.server.drain_timeout,
            running: Mutex::new(Some(Running { edge_threads, deliveries: None })),
            memory_metrics,
            exports: Exports::default(),
        })
    }

    /// Opens the logs, builds every stage, the last one first, and lets records in at the end. Blocks the thread for
    /// as long as it takes to read the logs; [`Phases::progress`] tells how far that is and takes the wish to stop.
    /// `accept_damage`: damaged parts of the logs are left out instead of being an error.
    ///
    /// # Errors
    /// [`StartError::Stopped`] where that was wished or a drain has begun; any other [`StartError`] but
    /// [`StartError::Listen`]. Nothing of what was built runs then.
    pub fn build(&self, mut config: Config, accept_damage: bool) -> Result<(), StartError> {
        let clients = account_of_clients(&config);
        let delivery_streams = Arc::new(DeliveryStreams::load(&mut config)?);
        let recovery = Recovery { accept_damage, phases: &self.phases, registry: &self.registry };
        let mut logs = Logs::open(&config, &recovery)?;
        let deliveries = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.placement.delivery_workers)
            .thread_name("delivery")
            .enable_all()
            .build()?;
        self.site.keep_keys(self.site.edge.gate().jwt(), deliveries.handle());
        let control = Arc::new(Control::new(Arc::clone(&self.site), deliveries.handle().clone(), clients));
        let mut builder = Builder::new(&self.site, logs.as_mut()).beginning(delivery_streams.begins());
        let mut intakes = Vec::new();
        for (index, pipeline) in config.pipelines.into_iter().enumerate() {
            intakes.push(builder.build(index.min(clients), pipeline)?);
        }
        let mut made = builder.made_by_clients()?;
        delivery_streams.attach_to_made(&mut made)?;
        for pipeline in made {
            intakes.push(builder.build(clients, pipeline)?);
        }
        let (built, late, to_share, fan_outs) = builder.built();
        let transformations = delivery_streams.transformations();
        let functions = self.site.build_functions(&transformations, &mut intakes)?;
        let mut running = self.lock_running();
        let Some(running) = running.as_mut().filter(|_| !self.phases.progress().is_stopped()) else {
            return Err(StartError::Stopped);
        };
        if let Some(logs) = &mut logs {
            logs.keep_unnamed(&self.registry)
                .map_err(|source| StartError::Schema { stream: "of no pipeline".to_owned(), source })?;
            logs.save_catalog()?;
        }
        self.site.keep_token_key(logs.as_ref().map(|logs| &logs.folder))?;
        let usage = logs.as_ref().map(|logs| logs.folder.read_usage()).transpose()?;
        self.site.edge.throttle.standings.restore(usage.unwrap_or_default());
        let resized = logs.as_ref().map(|logs| logs.resized().to_vec()).unwrap_or_default();
        *self.site.logs() = logs;
        self.site.start(built, deliveries.handle());
        self.site.start_late(late, deliveries.handle());
        self.site.start_shared(to_share, deliveries.handle())?;
        self.site.start_fan_outs(fan_outs, deliveries.handle());
        self.site.start_functions(functions, deliveries.handle());
        deliveries.block_on(control.resize_declared(&intakes, resized));
        running.deliveries = Some(deliveries);
        self.site.edge.obey(control);
        self.site.edge.aws.delivery_streams.get_or_init(|| delivery_streams);
        self.site.edge.open(intakes);
        self.phases.advance(Phase::Serving);
        Ok(())
    }

    fn lock_running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the edge listens first of all.
    pub fn address(&self) -> std::net::SocketAddr {
        self.addresses.first().copied().unwrap_or(self.site.node.server.listen)
    }

    /// Everywhere that it listens, as URLs, in the order of the configuration.
    pub fn places(&self) -> &[String] {
        &self.places
    }

    /// The edge, whose limits hold for connections of the admin port as well.
    pub fn edge(&self) -> &Arc<Edge> {
        &self.site.edge
    }

    /// Opens the files of logs again, because somebody has moved them.
    pub fn reopen_logs(&self) {
        self.site.edge.observer.reopen();
    }

    /// Lets streams forget what has outlived its retention, takes away what is deleted, and moves samples into
    /// histograms. To be called every second or so, and by no task: blocks the thread.
    pub fn housekeeping(&self) {
        let now = clock::wall();
        for intake in self.site.edge.intakes() {
            intake.stream.enforce_retention(now);
            intake.cursors.follow();
            self.site.forget_outlived(&intake.stream, now);
        }
        if let Some(logs) = self.site.logs().as_ref() {
            logs.housekeeping(now);
        }
        self.site.keep_usage(false);
        let delivery_streams = self.site.edge.aws.delivery_streams.get();
        if let (Some(streams), Ok(control)) = (delivery_streams, self.site.edge.control())
            && streams.has_deleted()
            // A drain ends the deliveries by itself; what is to be deleted is so after the next start.
            && self.phases.current() == Phase::Serving
        {
            let streams = Arc::clone(streams);
            control.alone_now(move |control| streams.finish_deleted(control));
        }
        self.site.edge.observer.housekeeping();
        self.registry.run_upkeep();
    }

    /// Lets a request for a change in that came over the admin port: with the proofs that `[auth] admin` names, or, where
    /// nobody is asked, from this machine.
    ///
    /// # Errors
    /// Why not.
    pub async fn enter_admin(&self, (head, peer): (&Parts, &Peer), visit: &Visit) -> Result<(), Problem> {
        let (client, action) = (peer.ip(), Some(Action::Admin));
        let facts = Facts { head, peer, client, route: "admin", action, stream: None, visit: Some(visit) };
        let is_local = client.is_none_or(|address| address.to_canonical().is_loopback());
        let entered = self.site.edge.gate().enter(&facts).await.and_then(|entry| {
            // Nothing of the body is read.
            entry.proof().map_or(Ok(()), |proof| proof.check(b"", visit))?;
            let nobody = || "nobody is asked who they are, so that only this machine may".to_owned();
            (entry.principal.is_some() || is_local).then_some(()).ok_or_else(|| Problem::Forbidden(nobody()))
        });
        if let Err(problem) = &entered {
            visit.refuse_by(&self.site.edge, problem, &facts);
        }
        entered
    }

    /// A request that has come over the admin port.
    pub fn visit(&self, head: &Parts, peer: &Peer) -> Visit {
        Visit::begin(&self.site.edge, peer, head, clock::monotonic())
    }
}

#[cfg(test)]
mod tests;
