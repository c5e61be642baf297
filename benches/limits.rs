//! What this machine can do at all, measured in the same run as our stages, so that every figure is a ratio.
//!
//! ```text
//! cargo bench --bench limits                 # everything, about three minutes; `make bench` has an S3 server beside it
//! cargo bench --bench limits -- stages       # or only: stages, network, disk, http, tap, upload
//! ```
//!
//! - `stages`: each stage on one thread beside the best that a simpler thing does with the same bytes;
//! - `network`: bytes through a socket of this machine, in the sizes of bodies;
//! - `disk`: what it writes durably, with blocks of several sizes (in the folder FOREBAY_BENCH_DIR, or that of the build);
//! - `http`: our edge beside a bare hyper server that reads the body and answers 200;
//! - `tap`: from an append to the reader that waits for it;
//! - `upload`: our sink beside a bare PUT of the same bytes, where FOREBAY_S3_ENDPOINT names a server.
//!
//! At the end one table has all figures and what earlier runs have shown of them (see `harness::history`).
//!
//! Whatever is compared takes turns with what it is compared with, and medians are printed: what else the machine
//! does then hits both. The load average tells how much that was.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has to stop and reports on its own output"
)]

#[path = "limits/bare_server.rs"]
mod bare_server;
#[path = "limits/disk.rs"]
mod disk;
mod harness;
#[path = "limits/http.rs"]
mod http;
#[path = "limits/network.rs"]
mod network;
#[path = "limits/stages.rs"]
mod stages;
#[path = "limits/tap.rs"]
mod tap;
#[path = "limits/upload.rs"]
mod upload;

use harness::Call;
use harness::cores::Cores;
use harness::history::Figures;
use mimalloc::MiMalloc;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() {
    let call = Call::read();
    let cores = Cores::of_this_machine();
    println!("{}; load average {}", harness::machine(), harness::load_average());
    cores.be_client();
    let mut figures = Figures::default();
    if call.wants("stages") {
        stages::run(&call, &mut figures);
    }
    if call.wants("network") {
        network::run(&call, &cores, &mut figures);
    }
    if call.wants("disk") {
        disk::run(&call, &mut figures);
    }
    if call.wants("http") {
        http::run(&call, &cores, &mut figures);
    }
    if call.wants("tap") {
        tap::run(&call, &cores, &mut figures);
    }
    if call.wants("upload") {
        upload::run(&call, &mut figures);
    }
    println!("\n{}\nload average {}", figures.finish(&call, "limits"), harness::load_average());
}
