//! The end of a file, which readers begin with: statistics of the stripes, footer and postscript.

use super::super::EncodeError;
use super::compress::{BLOCK_BYTES, Codec};
use super::output::Output;
use super::protobuf::Message;
use super::stripe::StoredStripe;
use super::types::OrcType;

/// The first bytes of a file, and the last but one of its postscript.
pub(super) const MAGIC: &[u8] = b"ORC";

/// The version of the format: Hive 0.12's, which has integer runs of version 2.
const FORMAT_VERSION: [u64; 2] = [0, 12];

/// Who wrote the file. Programs have registered numbers, by which readers tell the writers whose errors they work
/// around; some readers refuse to name any other. We take that of ORC's C++ library (1) at its first version (6), the
/// least that a writer can claim that has none of the old errors: bounds of text are in UTF-8 and of times in UTC.
const WRITER: u64 = 1;
const WRITER_VERSION: u64 = 6;

/// Our own name is where the writer's version in words goes.
const SOFTWARE: &str = concat!("forebay ", env!("CARGO_PKG_VERSION"));

/// Days are those of today's calendar, also before there was one.
const PROLEPTIC_GREGORIAN: u64 = 2;

/// Statistics of a column, before the first stripe is there to tell: a count, and two bounds of some bytes each.
const STATISTICS_BYTES_GUESS: usize = 32;

/// The size of the types in a footer.
#[derive(Debug, Clone, Copy)]
pub(super) struct EncodedTypes {
    columns: usize,
    bytes: usize,
}

impl EncodedTypes {
    /// Of all columns below `root`, and itself.
    pub fn of(root: &OrcType) -> Self {
        let mut message = Message::default();
        root.encode(4, &mut message);
        Self { columns: root.columns(), bytes: message.as_slice().len() }
    }
}

/// What the stripes have left for the end of the file.
#[derive(Debug, Default)]
pub(super) struct Tail {
    rows: u64,
    stripes: Message,
    /// The message `Metadata`.
    stripe_statistics: Message,
    /// Bytes of the statistics of the last stripe.
    of_last_stripe: Option<usize>,
}

impl Tail {
    /// Adds a stripe of `rows` rows.
    pub fn add_stripe(&mut self, rows: u64, stripe: &StoredStripe) {
        self.rows += rows;
        self.stripes.message(3, &stripe.information);
        self.stripe_statistics.message(1, &stripe.statistics);
        self.of_last_stripe = Some(stripe.statistics.as_slice().len());
    }

    /// Memory held, in bytes.
    pub fn bytes(&self) -> usize {
        self.stripes.as_slice().len() + self.stripe_statistics.as_slice().len()
    }

    /// How many bytes come behind the last stripe, about. `has_open_stripe`: another stripe has rows already.
    pub fn stored_bytes(&self, types: &EncodedTypes, codec: Codec, has_open_stripe: bool) -> u64 {
        let of_stripe = self.of_last_stripe.unwrap_or(types.columns * STATISTICS_BYTES_GUESS);
        // Those of the whole file are as large as those of a stripe.
        let statistics = of_stripe * (1 + usize::from(has_open_stripe));
        let bytes = (self.bytes() + types.bytes + statistics) as u64;
        match codec {
            Codec::None => bytes,
            // Names that differ by little, and small numbers: the fast codecs leave more of them.
            Codec::Snappy | Codec::Lz4 => bytes / 4 * 3,
            Codec::Zlib { .. } | Codec::Zstd { .. } => bytes / 2,
        }
    }

    /// Writes the end of the file. `statistics` is the `ColumnStatistics` of each column.
    pub fn store(
        &self,
        root: &OrcType,
        statistics: &[Message],
        format: &TailFormat<'_>,
        output: &mut Output,
    ) -> Result<(), EncodeError> {
        let content_bytes = output.length();
        let mut stored = Vec::new();
        format.codec.append(self.stripe_statistics.as_slice(), &mut stored)?;
        let metadata_bytes = stored.len();

        let mut footer = Message::default();
        footer.uint(1, MAGIC.len() as u64).uint(2, content_bytes);
        footer.append(&self.stripes);
        root.encode(4, &mut footer);
        for (name, value) in format.metadata {
            let mut item = Message::default();
            item.bytes(1, name.as_bytes()).bytes(2, value.as_bytes());
            footer.message(5, &item);
        }
        footer.uint(6, self.rows);
        statistics.iter().for_each(|statistics| {
            footer.message(7, statistics);
        });
        footer.uint(8, u64::from(format.row_index_stride)).uint(9, WRITER);
        footer.uint(11, PROLEPTIC_GREGORIAN).bytes(12, SOFTWARE.as_bytes());
        format.codec.append(footer.as_slice(), &mut stored)?;

        let mut postscript = Message::default();
        postscript.uint(1, (stored.len() - metadata_bytes) as u64).uint(2, format.codec.kind());
        postscript.uint(3, BLOCK_BYTES as u64).packed(4, &FORMAT_VERSION).uint(5, metadata_bytes as u64);
        postscript.uint(6, WRITER_VERSION).bytes(8_000, MAGIC);
        stored.extend_from_slice(postscript.as_slice());
        // Nine short fields: about 40 bytes.
        stored.push(postscript.as_slice().len() as u8);
        output.append(stored);
        Ok(())
    }
}

/// What the end of a file says of the whole.
#[derive(Debug)]
pub(super) struct TailFormat<'a> {
    pub codec: Codec,
    /// 0 where there is no row index.
    pub row_index_stride: u32,
    pub metadata: &'a [(String, String)],
}
