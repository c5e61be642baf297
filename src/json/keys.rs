//! Finding an object's duplicate keys without keeping the keys.

use std::hash::BuildHasher;

use super::scanner::{Kind, Scanner, SyntaxError, SyntaxErrorKind};
use super::string::RawString;

/// Keys up to which every pair is compared; above it the hashes are sorted. Sixteen keys are 120 comparisons, which
/// the compiler turns into 32 vector ones.
const PAIRWISE_KEYS_MAX: usize = 16;

/// The hashes of the keys of every object that is open at the moment, innermost last. Reused from record to record.
///
/// Two equal 64-bit hashes are taken for two equal keys. The hash is seeded at random a process, so nobody can
/// search for collisions beforehand, and by chance an object of 1,000 keys has one with probability
/// 1000² / 2 / 2⁶⁴ ≈ 3 × 10⁻¹⁴.
#[derive(Debug, Default)]
pub struct KeySet {
    hasher: foldhash::quality::RandomState,
    hashes: Vec<u64>,
}

/// Where an object's keys begin in the [`KeySet`].
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct ObjectMark(usize);

impl KeySet {
    /// An empty set with a seed of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets what an aborted scan left behind. Call it before each record.
    #[inline]
    pub fn clear(&mut self) {
        self.hashes.clear();
    }

    /// To be called after [`Scanner::enter_object`].
    #[inline]
    pub fn open(&self) -> ObjectMark {
        ObjectMark(self.hashes.len())
    }

    /// To be called with each key of the object.
    #[inline]
    pub fn insert(&mut self, key: RawString<'_>) {
        let hash = if key.is_escaped() {
            self.hasher.hash_one(key.decode().as_bytes())
        } else {
            self.hasher.hash_one(key.raw().as_bytes())
        };
        self.hashes.push(hash);
    }

    /// To be called once the object's `}` is consumed: an error if it had a key twice.
    #[inline]
    pub fn close(&mut self, mark: ObjectMark, scanner: &Scanner<'_>) -> Result<(), SyntaxError> {
        let own = &mut self.hashes[mark.0..];
        let duplicate = if own.len() <= PAIRWISE_KEYS_MAX {
            (1..own.len()).any(|index| own[..index].contains(&own[index]))
        } else {
            own.sort_unstable();
            own.windows(2).any(|pair| pair[0] == pair[1])
        };
        self.hashes.truncate(mark.0);
        if duplicate { Err(scanner.error(SyntaxErrorKind::DuplicateKey)) } else { Ok(()) }
    }

    /// Consumes one value of any kind; an object in it that has a key twice is an error.
    pub fn skip_value(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        match scanner.peek()? {
            Kind::Object => {
                scanner.enter_object()?;
                let mark = self.open();
                let mut first = true;
                while let Some(key) = scanner.next_key(&mut first)? {
                    self.insert(key);
                    self.skip_value(scanner)?;
                }
                self.close(mark, scanner)
            }
            Kind::Array => {
                scanner.enter_array()?;
                let mut first = true;
                while scanner.next_element(&mut first)? {
                    self.skip_value(scanner)?;
                }
                Ok(())
            }
            Kind::String => scanner.string().map(drop),
            Kind::Number => scanner.number().map(drop),
            Kind::Bool => scanner.bool().map(drop),
            Kind::Null => scanner.null(),
        }
    }
}
