//! `forebay-load generate`: records as NDJSON.

use std::io::{self, Write};
use std::sync::Arc;

use forebay::runtime::clock::UnixMicros;
use forebay::testkit::generators::{
    Generator, GeneratorError, KeyPicker, KeyPickerError, Profile, Settings, producer_name,
};
use thiserror::Error;

/// The run in the names of producers that [`write()`] uses.
pub const SAMPLE_RUN: &str = "sample";

/// 2026-01-01 00:00:00 UTC: when generated records begin unless told otherwise, so that one seed means one text.
pub const START_DEFAULT: UnixMicros = UnixMicros(1_767_225_600_000_000);

/// What to write.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the records are about.
    pub profile: Profile,
    /// How many.
    pub count: u64,
    /// Seed of the records.
    pub seed: u64,
    /// Number of partition keys.
    pub keys: u32,
    /// Zipf exponent of the keys; 0 means all alike.
    pub zipf: f64,
    /// Bytes of a record, about; 0 for the natural size.
    pub record_bytes: usize,
    /// Event time of the first record.
    pub start: UnixMicros,
    /// Microseconds of event time from record to record.
    pub step_micros: i64,
}

/// Why nothing is written any more.
#[derive(Debug, Error)]
pub enum GenerateError {
    /// The keys make no sense.
    #[error(transparent)]
    Keys(#[from] KeyPickerError),
    /// The records make no sense.
    #[error(transparent)]
    Generator(#[from] GeneratorError),
    /// The output is gone.
    #[error("writing records: {0}")]
    Io(#[from] io::Error),
}

/// Bytes that are gathered for one write.
const CHUNK_BYTES: usize = 64 << 10;

/// Writes the records of `plan`, one a line.
pub fn write(plan: &Plan, out: &mut impl Write) -> Result<(), GenerateError> {
    let keys = Arc::new(KeyPicker::new(plan.keys, plan.zipf)?);
    let settings = Settings { profile: plan.profile, seed: plan.seed, keys, record_bytes: plan.record_bytes };
    let producer = producer_name(plan.profile.name(), SAMPLE_RUN, 0);
    let mut generator = Generator::new(&settings, &producer)?;
    let mut chunk = Vec::with_capacity(CHUNK_BYTES + 4_096);
    let mut at = plan.start;
    for _ in 0..plan.count {
        generator.append(at, &mut chunk);
        chunk.push(b'\n');
        at.0 = at.0.saturating_add(plan.step_micros);
        if chunk.len() >= CHUNK_BYTES {
            out.write_all(&chunk)?;
            chunk.clear();
        }
    }
    out.write_all(&chunk)?;
    out.flush()?;
    Ok(())
}
