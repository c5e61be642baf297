//! Records that can be told apart: clickstream, iot and telemetry events made from a seed.
//!
//! Every record begins with the [`envelope`]: who produced it, its number at that producer, and a hash over its
//! content in [`canonical`] form. The verifier reads a lake back and needs nothing else to say which records are
//! missing, duplicated, out of order or damaged.
//!
//! Two generators made with the same settings and fed with the same times write the same bytes.

use std::sync::Arc;

use thiserror::Error;

use crate::runtime::clock::UnixMicros;

pub mod canonical;
mod clickstream;
mod draft;
pub mod envelope;
mod iot;
mod random;
mod telemetry;
mod words;
mod zipf;

use canonical::Field;
use draft::Draft;
use random::Random;
pub use random::mix;
pub use zipf::{KEYS_MAX, KeyPicker, KeyPickerError};

/// Bytes of a record that may be asked for: what a stream takes by default.
pub const RECORD_BYTES_MAX: usize = crate::config::limits::RECORD_BYTES_DEFAULT as usize;

/// Bytes of a producer's name. It is part of every record.
pub const PRODUCER_BYTES_MAX: usize = 128;

/// Records that are made, and thrown away, to learn how long one is without padding.
const PROBE_RECORDS: usize = 128;

/// What the events are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Page views, clicks and purchases of a shop; the key is `session_id`.
    Clickstream,
    /// Measurements of devices; the key is `device_id`.
    Iot,
    /// Log lines of services; the key is `host`.
    Telemetry,
}

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 3] = [Profile::Clickstream, Profile::Iot, Profile::Telemetry];

    /// The word on command lines and at the start of producer names.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Clickstream => "clickstream",
            Profile::Iot => "iot",
            Profile::Telemetry => "telemetry",
        }
    }

    /// The profile of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The member that is the partition key: a string at the top level.
    pub fn key_field(self) -> &'static str {
        match self {
            Profile::Clickstream => "session_id",
            Profile::Iot => "device_id",
            Profile::Telemetry => "host",
        }
    }

    /// The members behind the envelope, in the order in which the hash covers them.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Profile::Clickstream => clickstream::FIELDS,
            Profile::Iot => iot::FIELDS,
            Profile::Telemetry => telemetry::FIELDS,
        }
    }
}

/// What a generator makes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the events are about.
    pub profile: Profile,
    /// Two generators of one seed and producer make the same records. Keys are drawn from the seed alone, so that
    /// all producers of a run share them.
    pub seed: u64,
    /// Which keys there are and how often each is used; shared by the producers of a run.
    pub keys: Arc<KeyPicker>,
    /// Bytes of a record, on average and about; a text is padded to get there. 0, and anything below the natural
    /// size, means no padding.
    pub record_bytes: usize,
}

/// Why a generator cannot be made.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum GeneratorError {
    /// The name would need escapes, or is too long.
    #[error(
        "producer name {0:?} cannot be used: give 1 to {PRODUCER_BYTES_MAX} of a-z A-Z 0-9 _ . - and / instead"
    )]
    Producer(String),
    /// More bytes than a stream takes.
    #[error("records of {0} bytes are too large: ask for at most {RECORD_BYTES_MAX}")]
    RecordBytes(usize),
}

/// One producer.
#[derive(Debug)]
pub struct Generator {
    maker: Maker,
    producer: String,
    sequence: u64,
    canonical: Vec<u8>,
}

/// What makes the members behind the envelope.
#[derive(Debug, Clone)]
struct Maker {
    profile: Profile,
    seed: u64,
    keys: Arc<KeyPicker>,
    random: Random,
    pad_bytes: usize,
}

impl Generator {
    /// A producer that begins at sequence 0. The verifier tells the profile from the producer's name, which
    /// therefore has to begin with [`Profile::name`] and `/`; see [`producer_name`].
    pub fn new(settings: &Settings, producer: &str) -> Result<Self, GeneratorError> {
        if !is_producer_name(producer) {
            return Err(GeneratorError::Producer(producer.to_owned()));
        }
        if settings.record_bytes > RECORD_BYTES_MAX {
            return Err(GeneratorError::RecordBytes(settings.record_bytes));
        }
        let of_producer = xxhash_rust::xxh3::xxh3_64(producer.as_bytes());
        let maker = Maker {
            profile: settings.profile,
            seed: settings.seed,
            keys: Arc::clone(&settings.keys),
            random: Random::new(mix(settings.seed) ^ of_producer),
            pad_bytes: 0,
        };
        let mut generator = Self { maker, producer: producer.to_owned(), sequence: 0, canonical: Vec::new() };
        if settings.record_bytes > 0 {
            generator.maker.pad_bytes = settings.record_bytes.saturating_sub(generator.natural_bytes());
        }
        Ok(generator)
    }

    /// The producer's name.
    pub fn producer(&self) -> &str {
        &self.producer
    }

    /// The sequence that the next record will have.
    pub fn next_sequence(&self) -> u64 {
        self.sequence
    }

    /// Writes one record behind `out`, without a line feed. Its event time is at most a few milliseconds before
    /// `at`.
    pub fn append(&mut self, at: UnixMicros, out: &mut Vec<u8>) {
        let hash = envelope::open(out, &self.producer, self.sequence);
        self.canonical.clear();
        canonical::begin(&mut self.canonical, &self.producer, self.sequence);
        self.maker.members(at, &mut Draft::new(out, &mut self.canonical));
        out.push(b'}');
        envelope::seal(out, hash, xxhash_rust::xxh3::xxh3_64(&self.canonical));
        self.sequence += 1;
    }

    /// How long a record is on average when nothing is padded. Leaves the generator as it was.
    fn natural_bytes(&mut self) -> usize {
        let before = self.maker.clone();
        let mut probe = Vec::new();
        for _ in 0..PROBE_RECORDS {
            self.append(UnixMicros(0), &mut probe);
        }
        self.maker = before;
        self.sequence = 0;
        probe.len() / PROBE_RECORDS
    }
}

impl Maker {
    fn members(&mut self, at: UnixMicros, draft: &mut Draft<'_>) {
        let key = self.keys.pick(self.random.next());
        let subject = Subject {
            key,
            traits: mix(self.seed ^ mix(u64::from(key))),
            at: UnixMicros(at.0 - self.random.below(5_000) as i64),
            pad_bytes: self.pad_bytes,
        };
        match self.profile {
            Profile::Clickstream => clickstream::members(&subject, &mut self.random, draft),
            Profile::Iot => iot::members(&subject, &mut self.random, draft),
            Profile::Telemetry => telemetry::members(&subject, &mut self.random, draft),
        }
    }
}

/// Whom a record is about: the same key always has the same traits.
struct Subject {
    /// Number of the key.
    key: u32,
    /// 64 bits that belong to the key: what does not change from record to record is taken from them.
    traits: u64,
    /// Event time.
    at: UnixMicros,
    /// Bytes to add to a text.
    pad_bytes: usize,
}

/// Whether `name` is 1 to [`PRODUCER_BYTES_MAX`] of `a-z A-Z 0-9 _ . - /`.
pub fn is_producer_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte);
    (1..=PRODUCER_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

/// `{profile}/{run}/{index}`: the profile tells the verifier what the hash covers, the run keeps two runs into one
/// stream apart.
pub fn producer_name(profile: &str, run: &str, index: u32) -> String {
    format!("{profile}/{run}/{index}")
}

/// The profile that a producer's name begins with.
pub fn profile_of_producer(producer: &str) -> Option<Profile> {
    producer.split_once('/').and_then(|(profile, _)| Profile::parse(profile))
}

#[cfg(test)]
mod tests;
