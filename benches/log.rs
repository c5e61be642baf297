//! The durable log beside what the disk, the memory log and a plain reader do in the same run.
//!
//! ```text
//! cargo bench --bench log                         # everything, about seven minutes and up to 10 GB of disk at a time
//! cargo bench --bench log -- append latency       # or only: append, latency, recovery, shards, reader, http
//! cargo bench --bench log -- --quick              # one short round of each, to see that it works
//! FOREBAY_BENCH_DIR=/mnt/disk cargo bench --bench log    # on that disk, not on that of the build
//! ```
//!
//! | part | shows | goal |
//! | --- | --- | --- |
//! | `append` | throughput, CPU time and commits of clients that wait for their acks | 70 % of the disk's 1 MiB blocks |
//! | `latency` | ack times at half load, and of small requests | p99 of twice the disk's for the same bytes |
//! | `recovery` | a start with and without indexes, from the page cache | 1 GB/s |
//! | `shards` | CPU time and commits a gigabyte with 1, 100 and 4,000 shards | within 20 % of each other |
//! | `reader` | appends while a reader reads the whole log back from the disk | 10 % slower at most |
//! | `http` | CPU time of NDJSON ingest over sockets, durable beside memory | 1.25 times |
//!
//! Whatever is compared takes turns, and medians are printed; ratios are medians of the ratios within a round. Gigabytes
//! are 10^9 bytes of request bodies.
//!
//! # Ingest of a process of its own
//!
//! What `http` shows within one process, the release binary shows under the load generator, as in
//! `docs/performance.md`. `web-memory.toml` and `web-fsync.toml` differ in the stream's name and durability alone:
//!
//! ```text
//! # pipelines/web-fsync.toml                      # pipelines/web-memory.toml: "web-memory" and "memory"
//! [stream]
//! name = "web-fsync"
//! shards = 4
//! durability = "fsync"
//! retention = "10m"
//! retention_bytes = "2GiB"
//!
//! taskset -c 0 target/release/forebay serve pipelines --config forebay.toml       # [server] threads = 1
//! for round in 1 2 3 4 5; do
//!   for durability in memory fsync; do
//!     taskset -c 1 target/release/forebay-load run --stream web-$durability --batch 100 --record-size 600 \
//!       --connections 32 --duration 8s --server-pid PID --settle 1s
//!   done
//! done
//! ```
//!
//! The report's CPU-seconds a GB of the one over those of the other, round by round, is the ratio that should be 1.25 at
//! most.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has to stop and reports on its own output"
)]

#[path = "log/append.rs"]
mod append;
#[path = "log/contest.rs"]
mod contest;
#[path = "log/feed.rs"]
mod feed;
mod harness;
#[path = "log/http.rs"]
mod http;
#[path = "log/latency.rs"]
mod latency;
#[path = "log/load.rs"]
mod load;
#[path = "log/reader.rs"]
mod reader;
#[path = "log/recovery.rs"]
mod recovery;
#[path = "log/shards.rs"]
mod shards;

use harness::Call;
use mimalloc::MiMalloc;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// By the names that can be asked for.
const PARTS: [(&str, Run); 6] = [
    ("append", append::run),
    ("latency", latency::run),
    ("recovery", recovery::run),
    ("shards", shards::run),
    ("reader", reader::run),
    ("http", http::run),
];

type Run = fn(&Call);

fn main() {
    let call = Call::read();
    println!("{}; load average {}", harness::machine(), harness::load_average());
    println!("log and disk are measured in {}", harness::disk_folder().display());
    for (name, run) in PARTS {
        if call.wants(name) {
            run(&call);
        }
    }
    println!("\nload average {}", harness::load_average());
}
