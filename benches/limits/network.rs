//! Bytes through a socket of this machine: what receiving a body costs when nothing is done with it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::cores::Cores;
use crate::harness::history::{Better, Figures};
use crate::harness::{Call, clocks, median};

/// What the receiver asks for at a time: one event, a batch of hundred, and more than a socket holds.
const SIZES: [(&str, usize); 3] = [("331 B", 331), ("32 KiB", 32 << 10), ("256 KiB", 256 << 10)];
const ROUNDS: usize = 9;
const ROUND_DURATION: Duration = Duration::from_millis(300);

/// What one round has received.
struct Received {
    bytes: u64,
    wall: Duration,
    cpu: Duration,
}

/// Sender on one core, receiver on the other.
pub fn run(call: &Call, cores: &Cores, figures: &mut Figures) {
    println!(
        "\nnetwork: one connection of this machine to itself; {}; medians of {} rounds",
        cores.describe(),
        call.rounds(ROUNDS)
    );
    println!("  {:<26} {:>9} {:>16}", "read at a time", "MB/s", "CPU s/GB (reader)");
    for (name, size) in SIZES {
        let duration = call.duration(ROUND_DURATION);
        let rounds: Vec<_> = (0..call.rounds(ROUNDS)).map(|_| round(cores, size, duration)).collect();
        let rate = median(rounds.iter().map(|seen| seen.bytes as f64 / 1e6 / seen.wall.as_secs_f64()));
        let cpu = median(rounds.iter().map(|seen| seen.cpu.as_secs_f64() / (seen.bytes as f64 / 1e9)));
        println!("  {name:<26} {rate:>9.0} {cpu:>16.3}");
        figures.add("network", &format!("receive, {name} at a time"), (cpu, "CPU s/GB"), Better::Lower);
    }
}

fn round(cores: &Cores, size: usize, duration: Duration) -> Received {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let receiving = cores.on_server(|| thread::spawn(move || receive(&listener, size)));
    let mut socket = TcpStream::connect(address).unwrap();
    let (block, started) = (vec![b'x'; size], Instant::now());
    while started.elapsed() < duration {
        socket.write_all(&block).unwrap();
    }
    drop(socket);
    receiving.join().unwrap()
}

fn receive(listener: &TcpListener, size: usize) -> Received {
    let (mut socket, _) = listener.accept().unwrap();
    let (mut buffer, mut bytes) = (vec![0; size], 0);
    let (started, cpu) = (Instant::now(), clocks::thread_cpu());
    loop {
        let read = socket.read(&mut buffer).unwrap();
        if read == 0 {
            return Received { bytes, wall: started.elapsed(), cpu: clocks::thread_cpu() - cpu };
        }
        bytes += read as u64;
    }
}
