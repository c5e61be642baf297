//! Files that are closed, or called by their name before: key, identity, metadata.

use super::Intake;
use crate::delivery::files::{BegunFile, Files, OpenFile};
use crate::delivery::ledger::{Seal, SealedRange};
use crate::delivery::seal::{self, Origin, SealReason, Sealed};
use crate::runtime::clock;

impl Intake {
    /// Who has stored the object of a seal: see [`Origin::identity`].
    pub fn identity(&self, seal: &Seal) -> String {
        let guard = seal.guard.unwrap_or_else(|| seal::guard(&seal.ranges));
        self.origin.identity(seal.number, guard)
    }

    /// How a file with this number is called that is not closed yet, and who will have stored its object.
    pub fn begin(&self, number: u64, file: &OpenFile) -> (BegunFile, String) {
        let guard = seal::guard_so_far(file.ranges.as_slice(), clock::wall());
        let key = self.origin.key(number, guard, &file.folder, &file.extension);
        (BegunFile { number, key, guard }, self.origin.identity(number, guard))
    }

    /// Closes the file of `key`: `None` if there is none, or if nothing is in it because no record has fitted yet.
    pub fn seal(&mut self, files: &mut Files, key: &[u8], reason: SealReason) -> Option<Sealed> {
        let mut file = files.remove(key).filter(|file| file.records > 0)?;
        let ranges = std::mem::take(&mut file.ranges).into_vec();
        let begun = file.begun.take();
        let guard = begun.as_ref().map(|begun| begun.guard);
        let passed = file.passed;
        let (number, key_of_object) = match begun {
            Some(BegunFile { number, key, .. }) => (number, key),
            None if passed => (files.next_number(), String::new()),
            None => {
                let number = files.next_number();
                let guard = seal::guard(&ranges);
                (number, self.origin.key(number, guard, &file.folder, &file.extension))
            }
        };
        let seal = Seal {
            number,
            epoch: self.origin.series.epoch(),
            partition: key.to_vec(),
            folder: file.folder.clone(),
            records: file.records,
            key: key_of_object,
            guard,
            ranges,
            dead: file.dead.clone(),
            passed,
            reason: reason.as_str().to_owned(),
            oldest: file.oldest,
        };
        let sealed = self.finish(seal, file, None)?;
        if !passed {
            self.status.sealed(reason);
        }
        let Seal { key, records, reason, .. } = &sealed.seal;
        tracing::debug!(stream = %self.origin.stream, delivery = %self.origin.delivery, key, records, reason, "sealed");
        Some(sealed)
    }

    /// What a file tells of itself: all of it follows from what is in it, so that a file that is made once more is the
    /// same.
    fn metadata(&self, seal: &Seal) -> Vec<(String, String)> {
        let Origin { stream, delivery, .. } = &self.origin;
        let mut metadata = vec![
            ("forebay.stream".to_owned(), stream.to_string()),
            ("forebay.delivery".to_owned(), delivery.to_string()),
            ("forebay.ranges".to_owned(), ranges_text(&seal.ranges)),
            ("forebay.writer".to_owned(), concat!("forebay ", env!("CARGO_PKG_VERSION")).to_owned()),
        ];
        let version = self.config.format.columns().and_then(|columns| columns.version());
        metadata.extend(version.map(|version| ("forebay.schema_version".to_owned(), version.to_string())));
        metadata
    }

    /// Closes a file as `seal`. `leftovers` are uploads in parts that an earlier process has noted for it; `None` if
    /// none has closed it.
    pub fn finish(&mut self, seal: Seal, file: OpenFile, leftovers: Option<Vec<String>>) -> Option<Sealed> {
        match file.finish(&self.metadata(&seal)) {
            Ok((chunks, permit)) => {
                let identity = self.identity(&seal);
                let sink = self.sink.clone();
                Some(Sealed { seal, identity, chunks, sink, leftovers, permit })
            }
            Err(error) => {
                self.dropped.push(seal.number);
                self.lost_encoder(seal.records, &error.to_string());
                None
            }
        }
    }
}

/// `[{"shard":"shardId-000000000000","first":"1","last":"9","records":9}]`. Sequence numbers are strings, because a
/// JSON number is exact only to 2⁵³.
fn ranges_text(ranges: &[SealedRange]) -> String {
    let range = |range: &SealedRange| {
        let SealedRange { shard, first, last, records } = range;
        format!("{{\"shard\":\"{shard}\",\"first\":\"{first}\",\"last\":\"{last}\",\"records\":{records}}}")
    };
    format!("[{}]", ranges.iter().map(range).collect::<Vec<_>>().join(","))
}
