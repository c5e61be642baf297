//! What all pipelines of the process share, and what is started and ended while they run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use super::fan_outs::RunningFanOut;
use super::functions::RunningFunction;
use super::logs::Logs;
use super::running::Running;
use crate::config::checked::Node;
use crate::delivery::Memory;
use crate::delivery::sharing::Sharing;
use crate::edge::Edge;
use crate::edge::identity::jwt::Jwt;
use crate::node::{NodeError, NodeFolder};
use crate::record::ShardId;
use crate::runtime::clock::{self, UnixMicros};
use crate::runtime::phases::{Phase, Phases};
use crate::runtime::tasks::Tasks;
use crate::stream::Stream;
use crate::telemetry::metrics::Registry;

/// See the module.
pub struct Site {
    /// `forebay.toml`.
    pub node: Node,
    /// All metrics.
    pub registry: Registry,
    /// Where records come in.
    pub edge: Arc<Edge>,
    /// The delivery share of the byte budget.
    pub memory: Arc<Memory>,
    /// Told to stop by it.
    pub phases: Phases,
    /// When this run of the process began, in microseconds.
    pub run: u64,
    /// The deliveries.
    pub workers: Tasks,
    /// The node's folder is locked for as long as these live.
    logs: Mutex<Option<Logs>>,
    /// The deliveries, whose workers may have ended.
    running: Mutex<Vec<Running>>,
    /// Deliveries that other nodes have shards of as well.
    shared: Mutex<Vec<Arc<Sharing>>>,
    /// The deliveries into Kafka, whose workers may have ended.
    fan_outs: Mutex<Vec<RunningFanOut>>,
    /// What runs between two streams, and may have ended.
    functions: Mutex<Vec<RunningFunction>>,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("run", &self.run).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whatever panics under these locks leaves what they guard whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Site {
    /// Nothing runs yet.
    pub fn new(
        node: Node,
        registry: &Registry,
        edge: Arc<Edge>,
        memory: Arc<Memory>,
        phases: Phases,
    ) -> Self {
        Self {
            node,
            registry: registry.clone(),
            edge,
            memory,
            phases,
            run: clock::wall().0.unsigned_abs(),
            workers: Tasks::new(),
            logs: Mutex::new(None),
            running: Mutex::default(),
            shared: Mutex::default(),
            fan_outs: Mutex::default(),
            functions: Mutex::default(),
        }
    }

    /// The deliveries.
    pub(super) fn running(&self) -> MutexGuard<'_, Vec<Running>> {
        lock(&self.running)
    }

    /// Deliveries that other nodes have shards of as well.
    pub(super) fn shared(&self) -> MutexGuard<'_, Vec<Arc<Sharing>>> {
        lock(&self.shared)
    }

    /// The deliveries into Kafka.
    pub(super) fn fan_outs(&self) -> MutexGuard<'_, Vec<RunningFanOut>> {
        lock(&self.fan_outs)
    }

    /// What runs between two streams.
    pub(super) fn functions(&self) -> MutexGuard<'_, Vec<RunningFunction>> {
        lock(&self.functions)
    }

    /// What durable streams live in, if there are any.
    pub fn logs(&self) -> MutexGuard<'_, Option<Logs>> {
        lock(&self.logs)
    }

    /// Has tokens of clients sealed with the node's key. Where there is no folder to keep it in, it ends with the process.
    ///
    /// # Errors
    /// If the folder cannot be read or written.
    pub fn keep_token_key(&self, folder: Option<&NodeFolder>) -> Result<(), NodeError> {
        let seal = &self.edge.aws.seal;
        if let Some(secret) = &self.node.aws.token_secret {
            seal.adopt_secret(secret.reveal().as_bytes());
            return Ok(());
        }
        if let Some(fresh) = seal.fresh_key() {
            seal.adopt(folder.map_or(Ok(fresh), |folder| folder.keep_token_key(fresh))?);
        }
        Ok(())
    }

    /// Keeps what quotas have counted, if that has changed and there is a folder; if it `is_last`, however soon after the
    /// last time. Blocks the thread.
    pub fn keep_usage(&self, is_last: bool) {
        let logs = self.logs();
        let Some(folder) = logs.as_ref().map(|logs| &logs.folder) else { return };
        let standings = &self.edge.throttle.standings;
        let Some(usage) = standings.to_keep(is_last) else { return };
        match folder.keep_usage(&usage) {
            Ok(()) => standings.was_kept(usage),
            // It is tried again in a second.
            Err(error) => tracing::warn!(%error, "what quotas have counted cannot be kept"),
        }
    }

    /// Keeps the keys that issuers of tokens publish, until the edge stops.
    pub fn keep_keys(&self, jwt: &Jwt, runtime: &Handle) {
        let _guard = runtime.enter();
        for keeper in jwt.key_keepers() {
            let phases = self.phases.clone();
            self.workers.spawn(async move {
                tokio::select! {
                    () = phases.reached(Phase::StoppingEdge) => {}
                    () = keeper => {}
                }
            });
        }
    }

    /// Forgets closed shards whose records have all gone.
    pub fn forget_outlived(&self, stream: &Stream, now: UnixMicros) {
        let gone = stream.outlived(now);
        if gone.is_empty() {
            return;
        }
        if let Some(logs) = self.logs().as_mut().filter(|_| stream.is_on_disk())
            && let Err(error) = logs.forget_shards(stream, &gone)
        {
            tracing::warn!(stream = %stream.name(), %error, "closed shards stay beyond their retention for now");
            return;
        }
        let shards: Vec<_> = gone.iter().map(ShardId::to_string).collect();
        tracing::info!(stream = %stream.name(), ?shards, "closed shards have gone with their last records");
        stream.forget(&gone);
    }
}
