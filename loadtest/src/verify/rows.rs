//! Rows of a columnar file, and what they say of their records.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::Schema;
use forebay::testkit::generators::canonical::{self, Form};
use forebay::testkit::generators::{Profile, envelope};
use xxhash_rust::xxh3::xxh3_64;

use super::columns::{covers, integer_at, text_at, value};
use super::key::KeyRule;
use super::sighting::{OriginKind, Reporter};

/// Names of the columns that are needed.
pub(super) fn wanted(key: &KeyRule) -> BTreeSet<&str> {
    let of_profiles = Profile::ALL.iter().flat_map(|profile| profile.fields()).map(|field| field.name);
    let of_key = key.path(None).and_then(|path| path.first().copied());
    ["producer", "sequence", "hash"].into_iter().chain(of_profiles).chain(of_key).collect()
}

/// The columns of a batch, by what they are for.
pub(super) struct Rows<'a> {
    envelope: Option<[&'a ArrayRef; 3]>,
    rows: usize,
    profiles: [ProfileColumns<'a>; Profile::ALL.len()],
    /// The key of replayed records.
    replay_key: Option<&'a dyn Array>,
    /// Text that a hash covers, made anew for each row.
    canonical: Vec<u8>,
}

struct ProfileColumns<'a> {
    profile: Profile,
    /// With their forms; nothing if not all of them are there.
    hashed: Option<Vec<(Form, &'a ArrayRef)>>,
    key: Option<&'a dyn Array>,
}

impl<'a> Rows<'a> {
    /// `key` tells where the partition key is.
    pub(super) fn new(batch: &'a RecordBatch, key: &KeyRule) -> Self {
        let column = |name: &str| batch.column_by_name(name);
        let envelope = match (column("producer"), column("sequence"), column("hash")) {
            (Some(producer), Some(sequence), Some(hash)) => Some([producer, sequence, hash]),
            _ => None,
        };
        let profiles = Profile::ALL.map(|profile| ProfileColumns {
            profile,
            hashed: hashed_columns(profile, batch, &batch.schema()),
            key: key_column(batch, key.path(Some(profile))),
        });
        let replay_key = key_column(batch, key.path(None));
        Self { envelope, rows: batch.num_rows(), profiles, replay_key, canonical: Vec::new() }
    }

    /// `rows_before` rows of the file were in batches before this one.
    pub(super) fn inspect(&mut self, rows_before: u64, to: &mut Reporter) {
        let Some(envelope) = self.envelope else {
            (0..self.rows).for_each(|_| to.foreign());
            return;
        };
        for row in 0..self.rows {
            self.inspect_row(envelope, row, rows_before + row as u64 + 1, to);
        }
    }

    fn inspect_row(&mut self, envelope: [&ArrayRef; 3], row: usize, number: u64, to: &mut Reporter) {
        let [producer, sequence, hash] = envelope;
        if envelope.iter().all(|column| column.is_null(row)) {
            return to.foreign();
        }
        let sequence = integer_at(sequence, row).and_then(|sequence| u64::try_from(sequence).ok());
        let hash = text_at(hash, row).and_then(envelope::parse_hash);
        let (Some(producer), Some(sequence), Some(hash)) = (text_at(producer, row), sequence, hash) else {
            return to.damaged(number, "producer, sequence or hash is not what it has to be");
        };
        let origin = to.origin(producer);
        match origin.kind {
            OriginKind::Foreign => to.foreign(),
            OriginKind::Replay => {
                to.unhashed();
                to.seen(origin, sequence, self.replay_key.and_then(|key| key_hash(key, row)), number);
            }
            OriginKind::Profile(profile) => {
                let Some(columns) = self.profiles.iter().find(|columns| columns.profile == profile) else {
                    return to.foreign();
                };
                match &columns.hashed {
                    None => to.unhashed(),
                    Some(hashed) => {
                        self.canonical.clear();
                        canonical::begin(&mut self.canonical, producer, sequence);
                        let is_of_form = hashed
                            .iter()
                            .all(|(form, column)| value(&mut self.canonical, *form, column, row));
                        if !is_of_form || xxh3_64(&self.canonical) != hash {
                            return to.damaged(number, "the hash does not match the content");
                        }
                    }
                }
                to.seen(origin, sequence, columns.key.and_then(|key| key_hash(key, row)), number);
            }
        }
    }
}

fn hashed_columns<'a>(
    profile: Profile,
    batch: &'a RecordBatch,
    schema: &Schema,
) -> Option<Vec<(Form, &'a ArrayRef)>> {
    let one = |field: &canonical::Field| {
        let index = schema.index_of(field.name).ok()?;
        let column = batch.column(index);
        covers(field.form, column.data_type()).then_some((field.form, column))
    };
    profile.fields().iter().map(one).collect()
}

fn key_column<'a>(batch: &'a RecordBatch, path: Option<Vec<&str>>) -> Option<&'a dyn Array> {
    let path = path?;
    let (first, rest) = path.split_first()?;
    let column: &dyn Array = batch.column_by_name(first)?;
    rest.iter().try_fold(column, |column, name| {
        let column: &dyn Array = column.as_struct_opt()?.column_by_name(name)?;
        Some(column)
    })
}

fn key_hash(column: &dyn Array, row: usize) -> Option<u64> {
    match text_at(column, row) {
        Some(text) => Some(xxh3_64(text.as_bytes())),
        None => integer_at(column, row).map(|number| xxh3_64(number.to_string().as_bytes())),
    }
}
