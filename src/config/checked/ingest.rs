//! `[ingest]` of a pipeline, as it is checked: how records come in.

use std::sync::Arc;

use crate::config::check_limit::Limit;
use crate::config::check_mapping::Add;
use crate::config::check_stage::Stage;
use crate::json::Pointer;
use crate::record::Content;

/// `[ingest]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Ingest {
    /// Where the partition key comes from, unless the request has an `X-Partition-Key`.
    pub partition_key: PartitionKeySource,
    /// The JSON Schema document; its draft is told by `$schema` (2020-12 where that is missing).
    pub schema: Option<Arc<serde_json::Value>>,
    /// What becomes of a record that is no JSON object or breaks the schema.
    pub on_invalid: OnInvalid,
    /// What records may be.
    pub content: Content,
    /// Bytes of one record, with what is added to it.
    pub record_bytes_max: u64,
    /// Whether parameters of a query may be a record.
    pub takes_clicks: bool,
    /// What is added to each record.
    pub add: Option<Add>,
    /// Other ways in to the stream. Names are unique; those of a stage itself has none.
    pub stages: Vec<Stage>,
    /// How much may come in and go out.
    pub limit: Limit,
}

/// Where a record's partition key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionKeySource {
    /// A field of the record: `/client_ip`.
    Pointer(Pointer),
    /// A request header: `header:x-device`.
    Header(http::HeaderName),
    /// A query parameter: `query:device`.
    Query(String),
    /// `random`: records are spread evenly.
    Random,
}

/// What becomes of an invalid record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnInvalid {
    /// It is refused, with its reason in the reply.
    Reject,
    /// It is accepted and goes to the dead letters of each delivery.
    DeadLetter,
}
