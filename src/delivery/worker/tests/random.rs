//! Random schedules of records, crashes, faults and changed configurations: at the end every record is in exactly one
//! file.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{CONFIGS, Kind, SHARDS, Spec, World, config};
use crate::config::checked::Delivery;
use crate::runtime::clock::UnixMicros;
use crate::testkit::disk::{Failure, Fault, Operation};

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    /// A request comes.
    Send(Vec<Spec>),
    /// The process is woken so many times at most.
    Work { polls: u64 },
    /// Time passes.
    Wait { millis: u64 },
    /// The process is killed, or the power fails; the next one has another configuration, perhaps.
    Kill { power: bool, variant: usize, memory: u64 },
    /// The delivery is stopped, and goes on as another one, while the process runs.
    Change { variant: usize, memory: u64 },
    /// The process is told to stop and has so much time for it.
    Stop { millis: u64, variant: usize, memory: u64 },
    /// An operation on the disk fails from some time on, so many times.
    Fault { operation: Operation, full: bool, after: u64, times: u64, content: bool },
    /// Reading the log fails so many times.
    Unreadable { times: u64 },
    /// A shard is split, or merged with its neighbour.
    Reshard { shard: u32, splits: bool },
    /// Memory is short: the log lets go of what it need not hold.
    Reclaim,
    /// The disks work again.
    Heal,
}

fn spec() -> impl Strategy<Value = Spec> {
    let kind = prop_oneof![
        6 => Just(Kind::Number),
        2 => Just(Kind::Text),
        1 => Just(Kind::Homeless),
        1 => Just(Kind::Timeless),
        1 => Just(Kind::Refused),
    ];
    (0..SHARDS, 0..5_u8, kind).prop_map(|(shard, partition, kind)| Spec { shard, partition, kind })
}

/// From one that holds a file to one that holds everything.
fn memory() -> impl Strategy<Value = u64> {
    prop_oneof![Just(2 << 10), Just(20 << 10), Just(64 << 20)]
}

fn operation() -> impl Strategy<Value = Operation> {
    let operations = [
        Operation::Create,
        Operation::Rename,
        Operation::SyncFolder,
        Operation::Write,
        Operation::Sync,
        Operation::Read,
        Operation::Open,
    ];
    prop::sample::select(operations.to_vec())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(spec(), 1..40).prop_map(Step::Send),
        8 => (1..30_u64).prop_map(|polls| Step::Work { polls }),
        3 => (1..400_u64).prop_map(|millis| Step::Wait { millis }),
        4 => (any::<bool>(), 0..CONFIGS, memory())
            .prop_map(|(power, variant, memory)| Step::Kill { power, variant, memory }),
        4 => (0..CONFIGS, memory()).prop_map(|(variant, memory)| Step::Change { variant, memory }),
        1 => (1..2_000_u64, 0..CONFIGS, memory())
            .prop_map(|(millis, variant, memory)| Step::Stop { millis, variant, memory }),
        3 => (operation(), any::<bool>(), 0..20_u64, 1..10_u64, any::<bool>())
            .prop_map(|(operation, full, after, times, content)| Step::Fault { operation, full, after, times, content }),
        1 => (1..4_u64).prop_map(|times| Step::Unreadable { times }),
        1 => (0..8_u32, any::<bool>()).prop_map(|(shard, splits)| Step::Reshard { shard, splits }),
        2 => Just(Step::Reclaim),
        1 => Just(Step::Heal),
    ]
}

/// How large everything is.
#[derive(Clone, Copy)]
struct Scale {
    /// Bytes that every record has besides its fields.
    pad: usize,
    /// Of [`memory`].
    memory_factor: u64,
    config: fn(usize) -> Delivery,
}

const SMALL: Scale = Scale { pad: 60, memory_factor: 1, config };
/// Files of more than a chunk, which are sent while they are filled.
const LARGE: Scale = Scale { pad: 90_000, memory_factor: 150, config: large };

fn large(variant: usize) -> Delivery {
    // The others write next to nothing of such a record.
    let mut config = config(if variant.is_multiple_of(2) { 0 } else { 3 });
    config.buffer.size_bytes = 1_500_000;
    config.sink.multipart_bytes = 200_000;
    config
}

/// Starts a process; one that cannot, because the disk fails, is not there until it works.
fn start(world: &mut World, scale: Scale, (variant, memory): (usize, u64)) {
    let _ = world.start((scale.config)(variant), memory * scale.memory_factor);
}

async fn take(world: &mut World, scale: Scale, step: &Step) {
    match *step {
        Step::Send(ref specs) => world.send(specs).await,
        Step::Work { polls } => world.run(polls, Duration::from_secs(1)).await,
        Step::Wait { millis } => world.run(u64::MAX, Duration::from_millis(millis)).await,
        Step::Kill { power, variant, memory } => {
            world.kill(power);
            start(world, scale, (variant, memory));
        }
        Step::Change { variant, memory } => {
            world.stop().await;
            start(world, scale, (variant, memory));
        }
        Step::Stop { millis, variant, memory } => {
            if world.is_running() {
                let (report, has_ended) = world.drain(Duration::from_millis(millis)).await;
                assert!(!has_ended || report.pending == 0, "ended too early: {report:?}");
            }
            world.kill(false);
            start(world, scale, (variant, memory));
        }
        Step::Fault { operation, full, after, times, content } => {
            let failure = if full { Failure::Full } else { Failure::Io };
            let fault = Fault::new(operation, failure).after(after).times(times);
            // Files get their content, and keep their handles, under temporary names.
            world.disk.inject(if content { fault.on(".tmp") } else { fault });
        }
        Step::Unreadable { times } => {
            world.log_disk.inject(Fault::new(Operation::Read, Failure::Io).on(".segment").times(times));
        }
        Step::Reshard { shard, splits } => world.reshard(shard, splits).await,
        Step::Reclaim => world.stream.reclaim(UnixMicros(i64::MAX)),
        Step::Heal => {
            world.disk.heal();
            world.log_disk.heal();
        }
    }
}

async fn check(steps: Vec<Step>, scale: Scale, variant: usize, seed: u64) {
    // The log's segments are too small for large records.
    let in_memory = seed.is_multiple_of(2) || scale.pad == LARGE.pad;
    let mut world = if in_memory { World::new(seed) } else { World::durable(seed) };
    world.pad = scale.pad;
    // Some must live with a ledger that may remember next to nothing.
    world.settled_max = if seed.is_multiple_of(3) { 4 } else { world.settled_max };
    start(&mut world, scale, (0, 64 << 20));
    for step in &steps {
        take(&mut world, scale, step).await;
    }
    world.disk.heal();
    world.log_disk.heal();
    if !world.is_running() {
        world.start((scale.config)(variant), (64 << 20) * scale.memory_factor).unwrap();
    }
    let (report, has_ended) = world.drain(Duration::from_secs(600)).await;
    assert!(has_ended, "{report:?}");
    assert_eq!(report.pending, 0, "{report:?}");
    assert_eq!((report.skipped, report.paused.as_deref()), (0, None));
    assert_eq!(report.accepted + report.backlog, report.delivered + report.dead_lettered + report.passed);
    world.check_lake();
    world.check_ledger();
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_in_exactly_one_file_whatever_happens(
        steps in prop::collection::vec(step(), 1..60),
        variant in 0..CONFIGS,
        seed in any::<u64>(),
    ) {
        runtime().block_on(check(steps, SMALL, variant, seed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_in_exactly_one_large_file_whatever_happens(
        steps in prop::collection::vec(step(), 1..40),
        variant in 0..CONFIGS,
        seed in any::<u64>(),
    ) {
        runtime().block_on(check(steps, LARGE, variant, seed));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}
