//! A stripe on its way into the file: the streams of the index, those of the data, and the footer that says which is
//! where.

use super::super::EncodeError;
use super::compress::Codec;
use super::output::Output;
use super::protobuf::Message;
use super::statistics::Statistics;

/// What a stream holds; the format's numbers (`Stream.Kind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamKind {
    Present = 0,
    Data = 1,
    Length = 2,
    DictionaryData = 3,
    Secondary = 5,
    RowIndex = 6,
    BloomFilterUtf8 = 8,
}

/// How a column is encoded in a stripe (`ColumnEncoding`).
#[derive(Debug, Clone, Copy)]
pub(super) struct ColumnEncoding {
    kind: u64,
    dictionary_texts: Option<usize>,
    /// Whether the column has bloom filters; theirs is the encoding with UTF-8 and times in UTC.
    pub has_bloom_filters: bool,
}

impl ColumnEncoding {
    /// Without integer runs.
    pub const DIRECT: Self = Self { kind: 0, dictionary_texts: None, has_bloom_filters: false };
    /// With integer runs of version 2.
    pub const DIRECT_V2: Self = Self { kind: 2, ..Self::DIRECT };

    /// Numbers of a dictionary with `texts` entries, in integer runs of version 2.
    pub fn dictionary(texts: usize) -> Self {
        Self { kind: 3, dictionary_texts: Some(texts), ..Self::DIRECT }
    }

    fn encode(self) -> Message {
        let mut message = Message::default();
        message.uint(1, self.kind);
        if let Some(texts) = self.dictionary_texts {
            message.uint(2, texts as u64);
        }
        if self.has_bloom_filters {
            message.uint(3, 1);
        }
        message
    }
}

/// The time zone of times without one. There are none, but readers look it up for each stripe.
const WRITER_TIME_ZONE: &[u8] = b"UTC";

/// What the columns hand over at the end of a stripe.
#[derive(Debug)]
pub(super) struct StripeParts {
    codec: Codec,
    has_row_index: bool,
    index: Vec<u8>,
    index_streams: Vec<Message>,
    data: Vec<Vec<u8>>,
    data_streams: Vec<Message>,
    encodings: Vec<Message>,
    statistics: Message,
}

/// A stripe that is in the file.
#[derive(Debug)]
pub(super) struct StoredStripe {
    /// The message `StripeInformation`.
    pub information: Message,
    /// The message `StripeStatistics`.
    pub statistics: Message,
}

impl StripeParts {
    pub fn new(codec: Codec, has_row_index: bool) -> Self {
        Self {
            codec,
            has_row_index,
            index: Vec::new(),
            index_streams: Vec::new(),
            data: Vec::new(),
            data_streams: Vec::new(),
            encodings: Vec::new(),
            statistics: Message::default(),
        }
    }

    /// Adds a stream of the index, which is not compressed yet.
    pub fn index(&mut self, column: u32, kind: StreamKind, content: &Message) -> Result<(), EncodeError> {
        if !self.has_row_index {
            return Ok(());
        }
        let start = self.index.len();
        self.codec.append(content.as_slice(), &mut self.index)?;
        self.index_streams.push(stream(column, kind, self.index.len() - start));
        Ok(())
    }

    /// Adds a stream of the data, as it is stored.
    pub fn data(&mut self, column: u32, kind: StreamKind, stored: Vec<u8>) {
        self.data_streams.push(stream(column, kind, stored.len()));
        self.data.push(stored);
    }

    /// Adds the encoding of the next column.
    pub fn encoding(&mut self, encoding: ColumnEncoding) {
        self.encodings.push(encoding.encode());
    }

    /// Adds the statistics of the next column.
    pub fn statistics(&mut self, statistics: &Statistics) {
        self.statistics.message(1, &statistics.encode());
    }

    /// Writes the stripe, of `rows` rows.
    pub fn store(self, rows: u64, output: &mut Output) -> Result<StoredStripe, EncodeError> {
        let mut footer = Message::default();
        self.index_streams.iter().chain(&self.data_streams).for_each(|stream| {
            footer.message(1, stream);
        });
        self.encodings.iter().for_each(|encoding| {
            footer.message(2, encoding);
        });
        footer.bytes(3, WRITER_TIME_ZONE);
        let mut stored_footer = Vec::new();
        self.codec.append(footer.as_slice(), &mut stored_footer)?;

        let start = output.length();
        let index_bytes = self.index.len() as u64;
        let footer_bytes = stored_footer.len() as u64;
        output.append(self.index);
        self.data.into_iter().for_each(|stream| output.append(stream));
        let data_bytes = output.length() - start - index_bytes;
        output.append(stored_footer);
        let mut information = Message::default();
        information
            .uint(1, start)
            .uint(2, index_bytes)
            .uint(3, data_bytes)
            .uint(4, footer_bytes)
            .uint(5, rows);
        Ok(StoredStripe { information, statistics: self.statistics })
    }
}

/// The message `Stream`.
fn stream(column: u32, kind: StreamKind, bytes: usize) -> Message {
    let mut message = Message::default();
    message.uint(1, kind as u64).uint(2, u64::from(column)).uint(3, bytes as u64);
    message
}
