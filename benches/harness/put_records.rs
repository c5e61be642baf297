//! The same records as lines, and in PutRecords.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay::testkit::web_events;

/// Records of one PutRecords: as many as there may be.
pub const RECORDS: u64 = 500;
/// Bytes of each.
pub const RECORD_BYTES: usize = 1_024;

/// Bodies of requests with the same records. PutRecords also brings a key for each.
pub struct Bodies {
    pub lines: String,
    pub json: String,
    pub cbor: Vec<u8>,
}

impl Bodies {
    /// For a stream of that name.
    pub fn new(stream: &str) -> Self {
        let records = kilobytes();
        let mut json = format!("{{\"StreamName\":\"{stream}\",\"Records\":[");
        let mut cbor = minicbor::Encoder::new(Vec::new());
        cbor.map(2).unwrap().str("StreamName").unwrap().str(stream).unwrap();
        cbor.str("Records").unwrap().array(RECORDS).unwrap();
        for (index, record) in records.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let data = STANDARD.encode(record);
            json.push_str(&format!("{comma}{{\"Data\":\"{data}\",\"PartitionKey\":\"key-{index}\"}}"));
            cbor.map(2).unwrap().str("Data").unwrap().bytes(record.as_bytes()).unwrap();
            cbor.str("PartitionKey").unwrap().str(&format!("key-{index}")).unwrap();
        }
        json.push_str("]}");
        Self { lines: records.join("\n"), json, cbor: cbor.into_writer() }
    }
}

/// Web events with a text that makes them a kilobyte.
fn kilobytes() -> Vec<String> {
    let lines = web_events::lines(0..RECORDS);
    let padded = |line: &str| {
        let padding = RECORD_BYTES.saturating_sub(line.len() + ",\"padding\":\"\"".len());
        format!("{},\"padding\":\"{}\"}}", line.trim_end().trim_end_matches('}'), "x".repeat(padding))
    };
    lines.lines().map(padded).collect()
}
