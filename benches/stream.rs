//! The log of durability `memory`: appending, reading, and waking those who wait.

#![expect(clippy::unwrap_used, reason = "a bench that cannot run has to stop")]

mod harness;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use forebay::config::limits::DELIVERY_READ_BYTES;
use forebay::edge::decode::Framing;
use forebay::record::{Batch, ShardId};
use forebay::runtime::clock::UnixMicros;
use forebay::stream::{Found, ReadLimit, Stream};
use forebay::testkit::web_events;
use harness::door::Door;
use harness::forebay::Judging;
use mimalloc::MiMalloc;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const SHARDS: [u32; 3] = [1, 4, 64];
/// Requests of one iteration: enough for the clock not to count.
const REQUESTS: u64 = 100;
const BATCH_EVENTS: u64 = 100;
/// 20 MB: half of it is in no cache.
const RETAINED_REQUESTS: u64 = 600;

/// One request's batches, a shard each.
type Request = Vec<(ShardId, Batch)>;

fn requests(door: &Door, count: u64, events: u64) -> Vec<Request> {
    let body = |request| web_events::lines(request * events..(request + 1) * events);
    (0..count).map(|request| door.batches(Framing::Lines, body(request).as_bytes())).collect()
}

fn stream(door: &Door) -> &Stream {
    &door.intake().stream
}

fn append(criterion: &mut Criterion) {
    for (name, events) in [("single", 1), ("batch_of_100", BATCH_EVENTS)] {
        let mut group = criterion.benchmark_group(format!("stream/append/{name}"));
        group.throughput(Throughput::Elements(REQUESTS * events));
        for shards in SHARDS {
            let door = Door::new(shards, Judging::Key);
            group.bench_function(format!("{shards}_shards"), |bencher| {
                bencher.iter_batched(
                    || {
                        // The ring keeps its room, as one that has been running does.
                        stream(&door).reclaim(UnixMicros(i64::MAX));
                        requests(&door, REQUESTS, events)
                    },
                    |requests| {
                        for request in requests {
                            black_box(stream(&door).append(request, None).unwrap());
                        }
                    },
                    BatchSize::PerIteration,
                );
            });
        }
        group.finish();
    }
}

/// As a delivery does it: all shards from the oldest record on, some at a time.
fn read(criterion: &mut Criterion) {
    for (name, events) in [("single", 1), ("batch_of_100", BATCH_EVENTS)] {
        let mut group = criterion.benchmark_group(format!("stream/read/{name}"));
        group.throughput(Throughput::Elements(RETAINED_REQUESTS * BATCH_EVENTS));
        for shards in SHARDS {
            let door = Door::new(shards, Judging::Key);
            for request in requests(&door, RETAINED_REQUESTS * BATCH_EVENTS / events, events) {
                drop(stream(&door).append(request, None).unwrap());
            }
            group.bench_function(format!("{shards}_shards"), |bencher| {
                bencher.iter(|| {
                    let read = read_all(stream(&door));
                    assert_eq!(read, RETAINED_REQUESTS * BATCH_EVENTS);
                });
            });
        }
        group.finish();
    }
}

fn read_all(stream: &Stream) -> u64 {
    let mut records = 0;
    for shard in stream.shard_ids().filter_map(|id| stream.shard(id)) {
        let mut position = shard.bounds().first;
        loop {
            let found = shard.read(position, ReadLimit::bytes(DELIVERY_READ_BYTES));
            let Found::Here(read) = found else { unreachable!("a memory log is in memory") };
            if read.slices.is_empty() {
                break;
            }
            position = read.next;
            records += read.slices.iter().map(|slice| slice.len() as u64).sum::<u64>();
            black_box(read);
        }
    }
    records
}

/// Appends, each of which wakes every tap, and the taps' registering anew.
fn wake(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let Ok(runtime) = runtime else { return };
    let mut group = criterion.benchmark_group("stream/append_and_wake");
    group.throughput(Throughput::Elements(REQUESTS));
    for taps in [0, 1, 10, 100] {
        // Leaked for the taps' tasks: there are four.
        let door: &'static Door = Box::leak(Box::new(Door::new(4, Judging::Key)));
        let waiting: Vec<_> = (0..taps)
            .map(|_| {
                runtime.spawn(async {
                    loop {
                        stream(door).taps().wait().woken().await;
                    }
                })
            })
            .collect();
        group.bench_function(format!("{taps}_taps"), |bencher| {
            bencher.iter_batched(
                || {
                    stream(door).reclaim(UnixMicros(i64::MAX));
                    requests(door, REQUESTS, 1)
                },
                |requests| {
                    runtime.block_on(async {
                        for request in requests {
                            black_box(stream(door).append(request, None).unwrap());
                            // All taps run before this task goes on.
                            tokio::task::yield_now().await;
                        }
                    });
                },
                BatchSize::PerIteration,
            );
        });
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
    }
    group.finish();
}

criterion_group!(benches, append, read, wake);
criterion_main!(benches);
