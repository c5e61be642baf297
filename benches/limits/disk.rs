//! What the disk does: blocks written one after the other to a file of zeros, each durable before the next.

use crate::harness::disk::{Method, Written, ZeroedFile};
use crate::harness::history::{Better, Figures};
use crate::harness::{Call, disk_folder, median, quantile_us};
use std::time::Duration;

const BLOCKS: [(&str, usize); 4] =
    [("4 KiB", 4 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20), ("4 MiB", 4 << 20)];
const FILE_BYTES: u64 = 256 << 20;
const ROUNDS: usize = 9;
const ROUND_DURATION: Duration = Duration::from_millis(500);

/// Both methods take turns with each block.
pub fn run(call: &Call, figures: &mut Figures) {
    println!(
        "\ndisk: a file of zeros in {}, written block by block; medians of {} rounds of {:?}, taking turns",
        disk_folder().display(),
        call.rounds(ROUNDS),
        call.duration(ROUND_DURATION)
    );
    println!(
        "  {:<26} {:>7} {:>9} {:>9} {:>8} {:>9} {:>14}",
        "", "block", "p50 us", "p99 us", "MB/s", "blocks/s", "CPU us/block"
    );
    let mut files = Vec::new();
    for method in Method::ALL {
        match ZeroedFile::create(method, call.amount(FILE_BYTES, FILE_BYTES / 16)) {
            Ok(file) => files.push((method, file, BLOCKS.map(|_| Vec::new()))),
            Err(error) => println!("  {:<26} cannot be measured here: {error}", method.name()),
        }
    }
    for _ in 0..call.rounds(ROUNDS) {
        for (number, (_, block)) in BLOCKS.into_iter().enumerate() {
            for (_, file, rounds) in &mut files {
                rounds[number].push(file.back_to_back(block, call.duration(ROUND_DURATION)));
            }
        }
    }
    for (method, _, rounds) in &files {
        for ((block, _), rounds) in BLOCKS.iter().zip(rounds) {
            print(method.name(), block, rounds);
        }
    }
    for (number, (block, _)) in BLOCKS.into_iter().enumerate() {
        keep(block, files.iter().map(|(method, _, rounds)| (*method, &rounds[number][..])), figures);
    }
}

/// Our writer beside the plain way to write a block durably.
fn keep<'a>(
    block: &str,
    mut seen: impl Iterator<Item = (Method, &'a [Written])> + Clone,
    figures: &mut Figures,
) {
    let of = |wanted: Method| move |&(method, _): &(Method, &[Written])| method == wanted;
    let rates = |rounds: &[Written]| rounds.iter().map(Written::rate).collect::<Vec<_>>();
    let Some((plain, limit)) = seen.clone().find(of(Method::WriteAndSync)) else { return };
    let (limit_name, limit) = (format!("{}, {block}", plain.name()), rates(limit));
    figures.add("disk", &limit_name, (median(limit.iter().copied()), "MB/s"), Better::Higher);
    if let Some((ring, ours)) = seen.find(of(Method::Ring)) {
        let ours = rates(ours);
        let share = median(ours.iter().zip(&limit).map(|(ours, limit)| ours / limit));
        let (name, figure) = (format!("{}, {block}", ring.name()), (median(ours), "MB/s"));
        figures.add_beside("disk", &name, figure, Better::Higher, (&limit_name, share));
    }
}

fn print(method: &str, block: &str, rounds: &[Written]) {
    let median = |of: &dyn Fn(&Written) -> f64| median(rounds.iter().map(of));
    println!(
        "  {method:<26} {block:>7} {:>9.0} {:>9.0} {:>8.0} {:>9.0} {:>14.1}",
        median(&|seen| quantile_us(&seen.times, 0.5)),
        median(&|seen| quantile_us(&seen.times, 0.99)),
        median(&Written::rate),
        median(&|seen| seen.times.len() as f64 / seen.wall.as_secs_f64()),
        median(&Written::cpu_us),
    );
}
