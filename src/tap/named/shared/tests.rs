//! Nodes that change one cursor at the same time, over a store that fails, is slow and loses answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use proptest::prelude::*;

use super::shelf::{Created, Shelves};
use super::table::{Surroundings, Table};
use crate::config::limits::CURSOR_SHEETS_KEPT;
use crate::edge::problem::Problem;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock;
use crate::stream::ShardFacts;
use crate::tap::cursor::Cursor;
use crate::tap::named::leases::{Leases, Stretch};
use crate::tap::named::reader::positions;
use crate::testkit::lossy_store::{LossyStore, Weather};

const LEASE: Duration = Duration::from_secs(30);
const SHARDS: u32 = 3;
const NODES: usize = 3;
const WORKERS: usize = 4;

/// The shards, and a clock that stands still while something is done.
#[derive(Debug, Clone)]
struct Around {
    facts: Vec<ShardFacts>,
    now: Arc<Mutex<Instant>>,
}

impl Surroundings for Around {
    fn facts(&self) -> Vec<ShardFacts> {
        self.facts.clone()
    }

    fn now(&self) -> Instant {
        *self.now.lock().unwrap()
    }
}

#[derive(Debug, Clone)]
enum Action {
    /// A worker asks for so many records of each shard.
    Poll(u64),
    /// It says that one of its pages is done.
    Commit(prop::sample::Index),
    Leave,
}

#[derive(Debug, Clone)]
enum Step {
    /// Workers ask nodes, all at the same time. What a worker asks for twice, it asks two nodes.
    Together(Vec<(usize, usize, Action)>),
    Append(u32, u64),
    Wait(u64),
    /// A node begins anew.
    Restart(usize),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0..6_u64).prop_map(Action::Poll),
        5 => any::<prop::sample::Index>().prop_map(Action::Commit),
        1 => Just(Action::Leave),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec((0..WORKERS, 0..NODES, action()), 1..4).prop_map(Step::Together),
        3 => (0..SHARDS, 1..5_u64).prop_map(|(shard, count)| Step::Append(shard, count)),
        2 => (1..45_u64).prop_map(Step::Wait),
        1 => (0..NODES).prop_map(Step::Restart),
    ]
}

/// What has come of an action.
#[derive(Debug)]
enum Outcome {
    /// The worker was sent these records; the number of what says so.
    Sent(u64, Vec<Stretch>, Cursor),
    /// What it has said is done.
    Done,
    Nothing,
}

/// Who was sent records of a shard.
#[derive(Debug, Clone, Copy)]
struct Owner {
    worker: usize,
    /// All before this.
    sent: u64,
    /// The sheet that says so.
    number: u64,
    /// When; `None` if it has left since, or may have.
    granted: Option<Instant>,
}

struct World {
    store: Arc<dyn ObjectStore>,
    ways: Vec<LossyStore>,
    tables: Vec<Table>,
    around: Around,
    names: Vec<Arc<str>>,
    ends: BTreeMap<ShardId, u64>,
    pages: Vec<Vec<Cursor>>,
    handed: BTreeMap<ShardId, BTreeSet<u64>>,
    /// Who was sent records of a shard last.
    owners: BTreeMap<ShardId, Owner>,
    /// Up to where somebody has said, or tried to, that a shard is done.
    said: BTreeMap<ShardId, u64>,
}

fn table(way: &LossyStore) -> Table {
    let store: Arc<dyn ObjectStore> = Arc::new(way.clone());
    Table::new("c", Shelves::of(&store, &Path::from("root"), ("s", "t")).shelf("c"))
}

impl World {
    async fn new(seed: u64) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let ways: Vec<_> =
            (0..NODES).map(|node| LossyStore::to(Arc::clone(&store), seed + node as u64)).collect();
        let facts: Vec<_> = ShardFacts::even(SHARDS, 0, SequenceNumber(0)).collect();
        let around = Around { facts, now: Arc::new(Mutex::new(clock::monotonic())) };
        let tables: Vec<_> = ways.iter().map(table).collect();
        let leases = Leases::new(LEASE, &around.facts, |_| None);
        let made = join_all(tables.iter().map(|table| table.begin(&around, &leases))).await;
        assert_eq!(made.into_iter().filter(|made| *made.as_ref().unwrap()).count(), 1, "one makes it");
        Self {
            store,
            ways,
            tables,
            ends: around.facts.iter().map(|shard| (shard.id, 0)).collect(),
            around,
            names: (0..WORKERS).map(|index| format!("w{index}").into()).collect(),
            pages: vec![Vec::new(); WORKERS],
            handed: BTreeMap::new(),
            owners: BTreeMap::new(),
            said: BTreeMap::new(),
        }
    }

    fn weather(&self, weather: &Weather) {
        self.ways.iter().for_each(|way| way.set_weather(weather.clone()));
    }

    async fn act(&self, worker: usize, node: usize, action: &Action) -> Result<Outcome, Problem> {
        let (table, name, around) = (&self.tables[node], &self.names[worker], &self.around);
        match action {
            Action::Poll(limit) => self.poll(worker, node, *limit).await,
            Action::Commit(page) if !self.pages[worker].is_empty() => {
                let page = page.get(&self.pages[worker]);
                table.commit(around, name, page).await.map(|_| Outcome::Done)
            }
            Action::Commit(_) => Ok(Outcome::Nothing),
            Action::Leave => table.leave(around, name).await.map(|_| Outcome::Nothing),
        }
    }

    async fn poll(&self, worker: usize, node: usize, limit: u64) -> Result<Outcome, Problem> {
        let (table, name, around) = (&self.tables[node], &self.names[worker], &self.around);
        let after = self.pages[worker].last().cloned().unwrap_or_default();
        loop {
            let joined = table.join(around, name, None).await?;
            let (start, leaving) = positions(&joined.value.0.held, &after);
            let (mut moved, mut page) = (Vec::new(), start.clone());
            for &(shard, from) in &start.positions {
                let end = self.ends[&shard].min(from.0 + limit).max(from.0);
                if leaving.position(shard).is_none() && end > from.0 {
                    page.move_to(shard, SequenceNumber(end));
                    moved.push(Stretch { shard, from, next: SequenceNumber(end) });
                }
            }
            if moved.is_empty() {
                return Ok(Outcome::Nothing);
            }
            let granted = table.grant(around, name, &moved).await?;
            if granted.value {
                return Ok(Outcome::Sent(granted.number, moved, page));
            }
        }
    }

    async fn together(&mut self, asked: &[(usize, usize, Action)]) {
        for (worker, _, action) in asked {
            match action {
                // Both may be done whatever is answered.
                Action::Commit(page) if !self.pages[*worker].is_empty() => {
                    for &(shard, position) in &page.get(&self.pages[*worker]).positions {
                        let said = self.said.entry(shard).or_default();
                        *said = position.0.max(*said);
                    }
                }
                Action::Leave => self.leaves(*worker),
                _ => {}
            }
        }
        let outcomes = join_all(asked.iter().map(|(worker, node, action)| self.act(*worker, *node, action)));
        let outcomes: Vec<_> = outcomes.await;
        let mut sent = Vec::new();
        for ((worker, _, action), outcome) in asked.iter().zip(outcomes) {
            match outcome {
                Ok(Outcome::Sent(number, moved, page)) => sent.push((number, *worker, moved, page)),
                Ok(_) | Err(Problem::CursorNotKept(_)) => {}
                Err(other) => panic!("{action:?} of w{worker}: {}", other.detail()),
            }
        }
        sent.sort_by_key(|(number, ..)| *number);
        for (number, worker, moved, page) in sent {
            for Stretch { shard, from, next } in moved {
                self.hand_out((number, worker), shard, from.0..next.0);
            }
            self.pages[worker].push(page);
            // It may have left before or behind that.
            let has_left =
                |(who, _, action): &(usize, usize, Action)| *who == worker && matches!(action, Action::Leave);
            if asked.iter().any(has_left) {
                self.leaves(worker);
            }
        }
    }

    /// Nobody is sent records of a shard within a lease after another one was, unless that one has left or all is done.
    fn hand_out(&mut self, (number, worker): (u64, usize), shard: ShardId, records: std::ops::Range<u64>) {
        let now = self.around.now();
        let before = self.owners.get(&shard).copied();
        if let Some(owner) = before.filter(|owner| owner.worker != worker) {
            let is_silent = owner.granted.is_none_or(|granted| granted + LEASE <= now);
            let is_done = self.said.get(&shard).is_some_and(|said| *said >= owner.sent);
            assert!(is_silent || is_done, "{shard} goes from {owner:?} to w{worker} by sheet {number}");
        }
        let same = before.filter(|owner| owner.worker == worker);
        let granted = match same {
            // Sent again: nothing is written for that.
            Some(owner) if owner.number >= number => owner.granted,
            _ => Some(now),
        };
        let sent = records.end.max(same.map_or(0, |owner| owner.sent));
        self.owners.insert(shard, Owner { worker, sent, number, granted });
        self.handed.entry(shard).or_default().extend(records);
    }

    /// A worker leaves, or may have.
    fn leaves(&mut self, worker: usize) {
        self.owners
            .values_mut()
            .filter(|owner| owner.worker == worker)
            .for_each(|owner| owner.granted = None);
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Together(asked) => self.together(asked).await,
            Step::Append(shard, count) => *self.ends.get_mut(&ShardId(*shard)).unwrap() += count,
            Step::Wait(seconds) => *self.around.now.lock().unwrap() += Duration::from_secs(*seconds),
            Step::Restart(node) => self.tables[*node] = table(&self.ways[*node]),
        }
    }

    /// What is done, as a node that knows nothing yet finds it.
    async fn done(&self) -> Cursor {
        let table = table(&LossyStore::to(Arc::clone(&self.store), 0));
        assert!(table.find(&self.around).await.unwrap());
        table.leases().unwrap().done()
    }

    /// Nothing is done that nobody was sent.
    async fn nothing_is_passed_over(&self) {
        for (shard, done) in self.done().await.positions {
            let handed = self.handed.get(&shard).cloned().unwrap_or_default();
            let missed: Vec<_> = (0..done.0).filter(|number| !handed.contains(number)).collect();
            assert_eq!(missed, Vec::<u64>::new(), "of {shard}");
        }
    }

    /// Everybody asks and says that all is done, in fine weather, until it is.
    async fn finish(&mut self) {
        self.weather(&Weather::default());
        *self.around.now.lock().unwrap() += 2 * LEASE;
        for round in 0..12 {
            for worker in 0..2 {
                let node = (worker + round) % NODES;
                self.together(&[(worker, node, Action::Poll(1_000))]).await;
                if let Some(page) = self.pages[worker].last().cloned() {
                    for &(shard, position) in &page.positions {
                        let said = self.said.entry(shard).or_default();
                        *said = position.0.max(*said);
                    }
                    self.tables[node].commit(&self.around, &self.names[worker], &page).await.unwrap();
                }
                *self.around.now.lock().unwrap() += Duration::from_secs(5);
            }
        }
        let done: BTreeMap<_, _> =
            self.done().await.positions.into_iter().map(|(shard, done)| (shard, done.0)).collect();
        assert_eq!(done, self.ends);
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nodes_that_race_give_a_shard_to_one_worker_and_pass_over_nothing(
        seed: u32,
        is_rough: bool,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        run(async {
            let mut world = World::new(seed.into()).await;
            let slow = Weather { millis: 0..50, ..Weather::default() };
            let rough = Weather { fails: 50, loses_answer: 50, is_late: 50, ..slow.clone() };
            world.weather(if is_rough { &rough } else { &slow });
            for step in &steps {
                world.take(step).await;
                world.nothing_is_passed_over().await;
            }
            world.finish().await;
            world.nothing_is_passed_over().await;
        });
    }
}

fn alone() -> (Arc<dyn ObjectStore>, Around) {
    let facts = ShardFacts::even(1, 0, SequenceNumber(0)).collect();
    (Arc::new(InMemory::new()), Around { facts, now: Arc::new(Mutex::new(clock::monotonic())) })
}

fn table_of(store: &Arc<dyn ObjectStore>) -> Table {
    Table::new("c", Shelves::of(store, &Path::from("root"), ("s", "t")).shelf("c"))
}

#[tokio::test]
async fn a_node_that_was_asleep_while_sheets_went_does_not_write_over_what_others_have_done() {
    let (store, around) = alone();
    let (asleep, awake) = (table_of(&store), table_of(&store));
    let leases = Leases::new(LEASE, &around.facts, |_| None);
    assert!(asleep.begin(&around, &leases).await.unwrap());
    assert!(!awake.begin(&around, &leases).await.unwrap());
    let (sleeper, worker): (Arc<str>, Arc<str>) = ("sleeper".into(), "worker".into());
    for n in 0..3 * CURSOR_SHEETS_KEPT {
        awake.join(&around, &worker, None).await.unwrap();
        let records = [Stretch { shard: ShardId(0), from: SequenceNumber(n), next: SequenceNumber(n + 1) }];
        assert!(awake.grant(&around, &worker, &records).await.unwrap().value);
        let next = Cursor::parse(&format!("0-{}", n + 1)).unwrap();
        assert!(awake.commit(&around, &worker, &next).await.unwrap().value.lost.is_empty());
    }
    let shelf = Shelves::of(&store, &Path::from("root"), ("s", "t")).shelf("c");
    let newest = shelf.newest(None).await.unwrap().unwrap();
    // The number that it would write next was there and is gone.
    let again = super::sheet::Sheet { number: 2, ..newest.clone() };
    assert_eq!(shelf.create(&again).await.unwrap(), Created::Others);
    // It believes that nobody has anything.
    let (joined, _) = asleep.join(&around, &sleeper, None).await.unwrap().value;
    assert_eq!(joined.held, []);
    let done = table_of(&store);
    assert!(done.find(&around).await.unwrap());
    assert_eq!(done.leases().unwrap().done().to_string(), format!("0-{}", 3 * CURSOR_SHEETS_KEPT));
}

#[tokio::test]
async fn a_deleted_cursor_is_gone_for_every_node_and_one_of_its_name_is_another_one() {
    let (store, around) = alone();
    let (a, b) = (table_of(&store), table_of(&store));
    let worker: Arc<str> = "w".into();
    let begin = |at: u64| Leases::new(LEASE, &around.facts, move |_| Some(SequenceNumber(at)));
    assert!(a.begin(&around, &begin(7)).await.unwrap());
    assert!(b.find(&around).await.unwrap());
    let joined = b.join(&around, &worker, None).await.unwrap();
    assert_eq!(joined.value.0.held[0].done, SequenceNumber(7));
    a.remove(&around).await.unwrap();
    let gone = b.commit(&around, &worker, &Cursor::parse("0-9").unwrap()).await;
    assert!(matches!(gone, Err(Problem::UnknownCursor(_))), "{gone:?}");
    assert!(!b.find(&around).await.unwrap());
    assert!(b.begin(&around, &begin(3)).await.unwrap());
    assert!(!a.begin(&around, &begin(5)).await.unwrap());
    assert_eq!(a.leases().unwrap().done().to_string(), "0-3");
}

#[tokio::test]
async fn a_worker_that_leaves_by_one_node_has_left_its_connections_at_others() {
    let (store, around) = alone();
    let (a, b) = (table_of(&store), table_of(&store));
    let worker: Arc<str> = "w".into();
    a.begin(&around, &Leases::new(LEASE, &around.facts, |_| None)).await.unwrap();
    let joined = a.join(&around, &worker, None).await.unwrap();
    b.leave(&around, &worker).await.unwrap();
    a.refresh(&around).await.unwrap();
    let again = a.join(&around, &worker, Some(joined.number)).await.unwrap();
    assert!(again.value.0.has_left && again.value.0.held.is_empty());
    let anew = a.join(&around, &worker, None).await.unwrap();
    assert_eq!((anew.value.0.has_left, anew.value.0.held.len()), (false, 1));
}

#[tokio::test]
async fn what_no_node_has_written_is_told_and_not_taken() {
    use object_store::ObjectStoreExt;
    let (store, around) = alone();
    let key = Path::from("root/cursors/s/t/c/00000000000000000005.cursor");
    for content in ["", "{}", "{\"format\":2,\"number\":5,\"writer\":1,\"cursor\":\"c\",\"content\":{}}"] {
        store.put(&key, content.into()).await.unwrap();
        let told = table_of(&store).find(&around).await.unwrap_err().detail();
        assert!(told.contains("00000000000000000005.cursor is not what it should be"), "{told}");
    }
}
