//! The distinct texts of a column in a stripe.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// Texts, each with a number in the order of coming.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    hasher: RandomState,
    /// Open addressing, a power of two of places, at most half of them full: the number of a text plus one, or 0.
    places: Vec<u32>,
    /// The upper half of each text's hash, to compare before the text and to grow without hashing again.
    hashes: Vec<u32>,
    /// Where each text ends in `bytes`.
    ends: Vec<u32>,
    bytes: Vec<u8>,
    /// The row group in which each text came last.
    last_seen: Vec<u32>,
}

const PLACES_MIN: usize = 64;

impl Dictionary {
    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The length of all texts together.
    pub fn text_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The text of a number that [`Dictionary::number`] gave.
    pub fn text(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] as usize };
        &self.bytes[start..self.ends[number] as usize]
    }

    /// The number of `text`, and whether it comes for the first time in row group `group`.
    ///
    /// The caller keeps [`Dictionary::text_bytes`] far below 4 GiB.
    #[inline]
    pub fn number(&mut self, text: &[u8], group: u32) -> (u32, bool) {
        if self.len() * 2 >= self.places.len() {
            self.grow();
        }
        let hash = (self.hasher.hash_one(text) >> 32) as u32;
        let mask = self.places.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            match self.places[place] {
                0 => return (self.insert(text, hash, place, group), true),
                taken => {
                    let number = taken - 1;
                    if self.hashes[number as usize] == hash && self.text(number) == text {
                        let last_seen = &mut self.last_seen[number as usize];
                        let is_new_here = *last_seen != group;
                        *last_seen = group;
                        return (number, is_new_here);
                    }
                }
            }
            place = (place + 1) & mask;
        }
    }

    fn insert(&mut self, text: &[u8], hash: u32, place: usize, group: u32) -> u32 {
        let number = self.len() as u32;
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u32);
        self.hashes.push(hash);
        self.last_seen.push(group);
        self.places[place] = number + 1;
        number
    }

    fn grow(&mut self) {
        let places = (self.places.len() * 2).max(PLACES_MIN);
        self.places.clear();
        self.places.resize(places, 0);
        for (number, hash) in self.hashes.iter().enumerate() {
            let mut place = *hash as usize & (places - 1);
            while self.places[place] != 0 {
                place = (place + 1) & (places - 1);
            }
            self.places[place] = number as u32 + 1;
        }
    }

    /// The numbers of all texts, in the order of the texts.
    pub fn sorted(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..self.len() as u32).collect();
        numbers.sort_unstable_by(|left, right| self.text(*left).cmp(self.text(*right)));
        numbers
    }

    /// Memory held, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let numbers = self.places.capacity()
            + self.hashes.capacity()
            + self.ends.capacity()
            + self.last_seen.capacity();
        numbers * size_of::<u32>() + self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_number() {
        let mut dictionary = Dictionary::default();
        let text = |index: usize| format!("text {}", index * 7_919);
        for round in 0..2 {
            for index in 0..20_000 {
                let (number, is_new_here) = dictionary.number(text(index).as_bytes(), round);
                assert_eq!((number as usize, is_new_here), (index, true));
            }
        }
        assert_eq!(dictionary.number(b"text 0", 1), (0, false));
        assert_eq!(dictionary.number(b"", 1), (20_000, true));
        assert_eq!((dictionary.text(20_000), dictionary.text(1)), (&b""[..], &b"text 7919"[..]));
        assert_eq!(dictionary.len(), 20_001);
        let sorted = dictionary.sorted();
        assert!(sorted.windows(2).all(|pair| dictionary.text(pair[0]) < dictionary.text(pair[1])));
        assert_eq!(sorted[0], 20_000);
    }
}
