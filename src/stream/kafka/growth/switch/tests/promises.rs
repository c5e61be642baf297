//! What the protocol promises, asked of a world that has come to its end.

use std::collections::BTreeMap;

use super::world::{Confirmed, KEYS, Sent, World};

impl World {
    /// What of this lies behind the end of its generation.
    pub fn beyond(&self, shown: &BTreeMap<(u32, u32), u64>) -> Option<String> {
        let is_beyond = |(&(number, partition), &up_to): (&(u32, u32), &u64)| {
            let end = self.generations.get(&(number + 1))?.begins_at(partition);
            (up_to > end).then(|| format!("{number}: {partition} was shown up to {up_to} and ends at {end}"))
        };
        shown.iter().find_map(is_beyond)
    }

    /// What does not hold of what the protocol promises.
    pub fn fault(&self) -> Option<String> {
        let begins = |number: u32, partition: u32| {
            self.generations.get(&number).map(|generation| generation.begins_at(partition))
        };
        for record in &self.confirmed {
            let Confirmed { sent: Sent { generation, partition, .. }, offset, .. } = *record;
            let from = begins(generation, partition).unwrap();
            let end = begins(generation + 1, partition).unwrap_or(u64::MAX);
            if offset < from || offset >= end {
                return Some(format!(
                    "not where readers of its generation find it ({from} to {end}): {record:?}"
                ));
            }
        }
        for key in 0..KEYS {
            let of_key = || self.confirmed.iter().filter(move |record| record.sent.key == key);
            for later in of_key() {
                let place = |record: &Confirmed| (record.sent.generation, record.offset);
                let before = of_key().filter(|earlier| earlier.at < later.sent.at);
                if let Some(earlier) =
                    before.max_by_key(|earlier| place(earlier)).filter(|it| place(it) > place(later))
                {
                    return Some(format!("confirmed first, read last: {earlier:?}, {later:?}"));
                }
            }
        }
        None
    }
}
