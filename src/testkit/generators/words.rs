//! Filler for records that have to be of a given size.

use std::sync::OnceLock;

use super::random::Random;

/// Bytes of the filler that slices are cut from: large enough that two records rarely share one.
const FILLER_BYTES: usize = 256 << 10;

const WORDS: [&str; 48] = [
    "amber", "basin", "canal", "delta", "ebb", "flume", "gauge", "head", "inlet", "jetty", "keel", "lock",
    "mill", "notch", "outfall", "penstock", "quay", "race", "sluice", "turbine", "upstream", "valve", "weir",
    "yield", "anchor", "bridge", "current", "dam", "estuary", "ford", "gate", "harbour", "island", "joint",
    "kelp", "ledge", "meander", "narrows", "oxbow", "pool", "rapids", "silt", "tide", "undertow", "vortex",
    "wave", "spill", "surge",
];

fn filler() -> &'static [u8] {
    static FILLER: OnceLock<Vec<u8>> = OnceLock::new();
    FILLER.get_or_init(|| {
        let mut random = Random::new(0);
        let mut text = Vec::with_capacity(FILLER_BYTES + 16);
        while text.len() < FILLER_BYTES {
            text.extend_from_slice(random.pick(&WORDS).as_bytes());
            text.push(b'-');
            if random.percent(20) {
                text.extend_from_slice(itoa::Buffer::new().format(random.below(10_000)).as_bytes());
                text.push(b'-');
            }
        }
        text
    })
}

/// Adds `bytes` bytes of words, joined by `-`.
#[inline]
pub(super) fn pad(out: &mut Vec<u8>, random: &mut Random, bytes: usize) {
    let mut left = bytes;
    while left > 0 {
        let filler = filler();
        let start = random.below(filler.len() as u64 / 2) as usize;
        let take = left.min(filler.len() - start);
        out.extend_from_slice(&filler[start..start + take]);
        left -= take;
    }
}
