//! A delivery of a stream in Kafka, whose shards are shared by all nodes that have the role `delivery`.
//!
//! ```text
//! consumer group ──take, let go──▶ Sharing ──▶ keeper of a shard ──▶ worker on a view of the stream with that shard
//!        ▲                            │             ▲    │ deposed, failed        │
//!        └──positions, given back─────┘             └────┘ again, after a while   ├──▶ ledger of the shard, in a store
//!                                                                                 └──▶ its transactions, in Kafka
//! ```
//!
//! The group says which shards this node should work on. Each has a worker of its own, with a ledger of its own in a
//! store that all nodes reach: opening it takes it over, so that whoever worked with it before can write nothing more.
//! Two nodes that both believe to own a shard therefore do no harm: one of them is deposed, lets go, and tries again
//! only while the group still says that the shard is its own.
//!
//! What the group shares are the partitions of the topic, each named like the shard that it is as long as the topic has never
//! got more of them. Once it has, a partition holds shards that follow each other: see [`turn`].
//!
//! Where a delivery goes into Kafka there is no ledger: each shard has a transactional id, and positions of its own in the
//! progress topic. Whoever takes the shard takes the id, after which no other process can commit under it, and reads
//! the positions behind that. What it lets go of is committed before, or given up. With `guarantee = "at_least_once"`
//! nothing is fenced: as long as two nodes believe to own a shard both send its records.
//!
//! A shard that is let go of is left as a crash would leave it, but for what is stored by then: open files are given up,
//! and read again by the next owner from its cursor. Closing them instead would make a small file a partition whenever a
//! node comes or goes, for ever, where reading again costs at most one buffer of each, once. The same is done when the
//! node stops: its shards are with other nodes within seconds.

mod keeper;
mod keepers;
mod labour;
mod opening;
mod report;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use self::keepers::Keepers;
pub use self::opening::{Ledgers, Recipe, Template};
use self::report::Settled;
pub use self::report::{ShardReport, SharingReport, Work};
use super::dead_letters::letter_box::LetterBox;
use super::status::Status;
use crate::config::limits::OWNERSHIP_COMMIT_EVERY;
use crate::kafka::ownership::{Change, Group, LettingGo, Ownership, Standing};
use crate::record::ShardId;
use crate::runtime::clock::{self, UnixMicros};
use crate::runtime::phases::{Phase, Phases};
use crate::telemetry::metrics::{PartGauges, SharingMetrics};

/// See the module.
#[derive(Debug)]
pub struct Sharing {
    template: Template,
    metrics: SharingMetrics,
    /// By partition.
    shards: Mutex<BTreeMap<ShardId, Owned>>,
    /// Closed shards of which everything is delivered, as far as somebody has asked. Not more than there are closed shards.
    finished: Mutex<BTreeSet<ShardId>>,
    /// What was done with shards that other workers go on with.
    settled: Mutex<Settled>,
    standing: OnceLock<Standing>,
    /// Whether it has ended before it was told to.
    is_broken: AtomicBool,
}

/// What is told of a delivery that has ended before it was told to.
const BROKEN: &str = "this node is no member of the consumer group of the delivery any more, and delivers nothing of it: \
                      restart it";

/// A partition that the group has given to this node.
#[derive(Debug)]
struct Owned {
    since: UnixMicros,
    state: State,
}

/// How the work on a partition stands.
#[derive(Debug)]
enum State {
    /// A ledger is being taken over, or what is to come before is with another node.
    Opening,
    /// A shard of it is at work.
    Working { shard: ShardId, status: Arc<Status>, gauges: Arc<PartGauges> },
    /// It has failed, and is tried again.
    Waiting { why: String },
}

impl Sharing {
    /// A delivery that has no shards yet.
    pub fn new(template: Template) -> Arc<Self> {
        let names = (&**template.recipe.stream().name(), template.recipe.name());
        let metrics = match &template.recipe {
            Recipe::Files { .. } => template.registry.sharing(names.0, names.1),
            Recipe::Messages { .. } => template.registry.sharing_into_kafka(names),
        };
        metrics.owned.set(0.0);
        let (shards, settled, standing) = (Mutex::default(), Mutex::default(), OnceLock::new());
        let (finished, is_broken) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { template, metrics, shards, finished, settled, standing, is_broken })
    }

    /// Name of the stream.
    pub fn stream_name(&self) -> &Arc<str> {
        self.template.recipe.stream().name()
    }

    /// Name of the delivery.
    pub fn name(&self) -> &str {
        self.template.recipe.name()
    }

    /// Its dead letters, found by what is in the sink; `None` for a backup, which has none, and for a delivery into Kafka,
    /// whose dead letters are in a topic.
    pub fn letter_box(&self) -> Option<LetterBox> {
        match &self.template.recipe {
            Recipe::Files { parts, .. } => LetterBox::of(parts),
            Recipe::Messages { .. } => None,
        }
    }

    /// The group that shares its shards.
    pub fn group(&self) -> &Group {
        &self.template.group
    }

    fn shards(&self) -> MutexGuard<'_, BTreeMap<ShardId, Owned>> {
        lock(&self.shards)
    }

    fn set_state(&self, partition: ShardId, state: State) {
        if let Some(owned) = self.shards().get_mut(&partition) {
            owned.state = state;
        }
    }

    /// Works on the shards that the group gives to this node, until a drain begins: then they are given back, and the
    /// group is left.
    pub async fn run(self: Arc<Self>, mut ownership: Ownership, phases: Phases) {
        let standing = self.standing.get_or_init(|| ownership.standing()).clone();
        let mut keepers = Keepers::new(Arc::clone(&self));
        let mut tell = tokio::time::interval(OWNERSHIP_COMMIT_EVERY / 2);
        let mut leaves = false;
        loop {
            tokio::select! {
                change = ownership.next() => match change {
                    Some(Change::Take(shards)) => keepers.take(&shards),
                    Some(Change::LetGo(letting_go)) => self.let_go(&mut keepers, letting_go),
                    None => break,
                },
                () = keepers.ended(), if !keepers.is_empty() => {}
                _ = tell.tick() => self.tell(&standing),
                () = phases.reached(Phase::Draining), if !leaves => {
                    leaves = true;
                    ownership.leave();
                }
            }
            self.metrics.owned.set(self.shards().len() as f64);
        }
        keepers.end_all().await;
        self.metrics.owned.set(0.0);
        // Only a panic or the end of the runtime ends it without a result.
        let _ = tokio::task::spawn_blocking(move || ownership.ended()).await;
        if !leaves {
            self.is_broken.store(true, Ordering::Relaxed);
            tracing::error!(stream = %self.stream_name(), delivery = self.name(), "{BROKEN}");
        }
    }

    fn let_go(&self, keepers: &mut Keepers, letting_go: LettingGo) {
        if letting_go.is_lost {
            self.metrics.lost.increment(letting_go.shards.len() as u64);
            tracing::warn!(
                stream = %self.stream_name(), delivery = self.name(), shards = letting_go.shards.len(),
                "the consumer group has not heard of this node for too long: its shards are with other nodes"
            );
        }
        keepers.let_go(letting_go);
    }

    /// Tells the group where the work stands.
    fn tell(&self, standing: &Standing) {
        for (&partition, owned) in self.shards().iter() {
            if let State::Working { shard, status, .. } = &owned.state
                && let Some(position) = status.cursor(*shard)
            {
                standing.tell(partition, position);
            }
        }
    }

    fn begin(&self, partition: ShardId) {
        self.shards().insert(partition, Owned { since: clock::wall(), state: State::Opening });
    }

    fn forget(&self, partition: ShardId) {
        self.shards().remove(&partition);
    }

    /// The worker of a shard has ended: what it has done stays in the balance, what it has not is another one's.
    fn retire(&self, (partition, shard): (ShardId, ShardId), status: &Status) {
        lock(&self.settled).add(&status.report());
        if let (Some(standing), Some(position)) = (self.standing.get(), status.cursor(shard)) {
            standing.tell(partition, position);
        }
    }
}

/// After this time without trouble the next one is news again.
const QUIET: Duration = Duration::from_secs(60);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whatever panics under these locks leaves what they guard whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
