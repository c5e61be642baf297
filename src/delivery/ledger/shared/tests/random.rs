//! Random owners with random bad luck: there is one sequence, and what was promised is in it.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const NODES: usize = 3;

/// What a node does.
#[derive(Debug, Clone)]
enum Op {
    /// Takes the ledger over, whoever has it.
    Open,
    /// Some appends at a time.
    Append { count: u64 },
    /// Appends, and is killed so many milliseconds later.
    Die { millis: u64 },
    /// Its way to the store becomes like this.
    Weather(Weather),
}

#[derive(Debug, Clone)]
enum Step {
    /// All at the same time, each by a node of its own.
    Together([Option<Op>; NODES]),
    Wait {
        millis: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let weather = (0..300_u32, 0..300_u32, 0..200_u32, 0..6_000_u64).prop_map(
        |(fails, loses_answer, is_late, millis)| {
            Op::Weather(Weather { fails, loses_answer, is_late, millis: 0..millis, ..Weather::default() })
        },
    );
    prop_oneof![
        3 => Just(Op::Open),
        8 => (1..4_u64).prop_map(|count| Op::Append { count }),
        1 => (0..3_000_u64).prop_map(|millis| Op::Die { millis }),
        2 => weather,
        1 => Just(Op::Weather(Weather { fails: 1_000, ..Weather::default() })),
        2 => Just(Op::Weather(Weather::default())),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ops = [(); NODES].map(|()| prop::option::of(op()));
    let step = prop_oneof![
        6 => ops.prop_map(Step::Together),
        1 => (1..30_000_u64).prop_map(|millis| Step::Wait { millis }),
    ];
    prop::collection::vec(step, 1..40)
}

/// How an append has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Written,
    /// It may be there or not, until the same owner writes another one: then it is not.
    Failed,
    /// It is not there.
    Deposed,
    Refused,
    /// The process was killed before it knew.
    Unknown,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    number: u64,
    generation: u64,
    outcome: Outcome,
}

/// A node, and the ledger that it believes to own.
struct Node {
    name: String,
    way: LossyStore,
    ledger: Option<Ledger>,
}

struct Run {
    store: Arc<dyn ObjectStore>,
    nodes: Vec<Node>,
    attempts: Vec<Attempt>,
    next: u64,
    seed: u64,
    bounds: SharedBounds,
}

impl Run {
    fn new(seed: u64, bounds: SharedBounds) -> Self {
        let store = memory();
        let node = |index: usize| Node {
            name: format!("n{index}"),
            way: LossyStore::to(Arc::clone(&store), seed.wrapping_add(index as u64)),
            ledger: None,
        };
        let nodes = (0..NODES).map(node).collect();
        Self { store, nodes, attempts: Vec::new(), next: 1, seed, bounds }
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Wait { millis } => tokio::time::sleep(Duration::from_millis(*millis)).await,
            Step::Together(ops) => {
                let (bounds, mut first) = (self.bounds, self.next);
                let mut all = Vec::new();
                for (node, op) in self.nodes.iter_mut().zip(ops) {
                    let Some(op) = op else { continue };
                    // Numbers of each are its own, and increase.
                    all.push(act(node, op.clone(), first, bounds));
                    first += 4;
                }
                let attempts = futures_util::future::join_all(all).await;
                self.attempts.extend(attempts.into_iter().flatten());
                self.next = first;
                for (index, node) in self.nodes.iter_mut().enumerate() {
                    if ops[index].as_ref().is_some_and(|op| matches!(op, Op::Die { .. })) {
                        self.seed = self.seed.wrapping_mul(31).wrapping_add(7);
                        node.way = LossyStore::to(Arc::clone(&self.store), self.seed);
                    }
                }
            }
        }
        self.check().await;
    }

    async fn check(&self) {
        let state = stored(&self.store).await;
        for attempt in &self.attempts {
            let is_there = state.open.contains_key(&attempt.number);
            let later = |other: &&Attempt| {
                other.generation == attempt.generation
                    && other.number > attempt.number
                    && other.outcome == Outcome::Written
            };
            let has_later = self.attempts.iter().any(|other| later(&other));
            match attempt.outcome {
                Outcome::Written => assert!(is_there, "lost: {attempt:?}"),
                Outcome::Deposed | Outcome::Refused => assert!(!is_there, "should not be there: {attempt:?}"),
                Outcome::Failed => assert!(!(is_there && has_later), "has come back: {attempt:?}"),
                Outcome::Unknown => {}
            }
        }
        for node in &self.nodes {
            let Some(ledger) = &node.ledger else { continue };
            let known = ledger.state();
            let generation = known.generation.as_ref().unwrap().number;
            let latest = state.generation.as_ref().unwrap().number;
            assert!(generation <= latest);
            let last = self.attempts.iter().rev().find(|attempt| attempt.generation == generation);
            let is_sure = last.is_none_or(|last| last.outcome == Outcome::Written);
            if generation == latest && is_sure {
                assert_eq!(state, known, "{}", node.name);
            }
            if last.is_some_and(|last| last.outcome == Outcome::Deposed) {
                assert!(latest > generation);
            }
        }
    }
}

async fn act(node: &mut Node, op: Op, first: u64, bounds: SharedBounds) -> Vec<Attempt> {
    match op {
        Op::Weather(weather) => node.way.set_weather(weather),
        Op::Open => {
            let store: Arc<dyn ObjectStore> = Arc::new(node.way.clone());
            match open(&store, &node.name, bounds).await {
                Ok((ledger, state)) => {
                    assert_eq!(state.generation.as_ref().unwrap().node, node.name);
                    node.ledger = Some(ledger);
                }
                Err(error) => {
                    let is_known = matches!(error, LedgerError::Store { .. } | LedgerError::Contended { .. });
                    assert!(is_known, "{error}");
                }
            }
        }
        Op::Append { count } => {
            let Some(ledger) = node.ledger.clone() else { return Vec::new() };
            let appends = (first..first + count).map(|number| append(&ledger, number));
            return futures_util::future::join_all(appends).await;
        }
        Op::Die { millis } => {
            let Some(ledger) = node.ledger.take() else { return Vec::new() };
            let generation = ledger.state().generation.unwrap().number;
            let attempt = tokio::select! {
                attempt = append(&ledger, first) => attempt,
                () = tokio::time::sleep(Duration::from_millis(millis)) => {
                    Attempt { number: first, generation, outcome: Outcome::Unknown }
                }
            };
            node.way.cut();
            return vec![attempt];
        }
    }
    Vec::new()
}

async fn append(ledger: &Ledger, number: u64) -> Attempt {
    let state = ledger.state();
    let mut entries = vec![seal(number)];
    if state.epochs.is_empty() {
        entries.insert(0, epoch());
    }
    let outcome = match ledger.append(entries).await {
        Ok(()) => Outcome::Written,
        Err(LedgerError::Deposed { .. }) => Outcome::Deposed,
        // One of several that all bring the epoch.
        Err(LedgerError::Refused(_)) => Outcome::Refused,
        Err(LedgerError::Store { .. }) => Outcome::Failed,
        Err(error) => panic!("{error}"),
    };
    Attempt { number, generation: state.generation.unwrap().number, outcome }
}

async fn check(steps: Vec<Step>, seed: u64) {
    fastrand::seed(seed);
    let bounds = if seed.is_multiple_of(2) { SMALL } else { SharedBounds::default() };
    let mut run = Run::new(seed, bounds);
    for step in &steps {
        run.step(step).await;
    }
    // Everything that is late arrives, and somebody goes on.
    tokio::time::sleep(Duration::from_secs(60)).await;
    run.check().await;
    let before = stored(&run.store).await;
    let (ledger, mut state) = open(&run.store, "last", bounds).await.unwrap();
    assert_eq!(
        state.generation.as_ref().unwrap().number,
        before.generation.as_ref().map_or(1, |last| last.number + 1)
    );
    state.generation = before.generation.clone();
    assert_eq!(state, before);
    let attempt = append(&ledger, run.next).await;
    assert_eq!(attempt.outcome, Outcome::Written);
    run.attempts.push(attempt);
    for node in 0..NODES {
        run.nodes[node].way.set_weather(Weather::default());
        let late = act(&mut run.nodes[node], Op::Append { count: 1 }, run.next + 1, bounds).await;
        assert!(late.iter().all(|attempt| matches!(attempt.outcome, Outcome::Deposed)), "{late:?}");
        run.next += 4;
    }
    run.check().await;
    assert_eq!(stored(&run.store).await, ledger.state());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn there_is_one_sequence_whoever_writes_and_what_was_promised_is_in_it(
        steps in steps(),
        seed in any::<u64>(),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(check(steps, seed));
    }
}
