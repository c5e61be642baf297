//! The checked configuration: what the rest of the program is built from.
//!
//! The node and its pipelines are here. The tables of a pipeline are in `stream`, `ingest`, `delivery` and `fan_out`,
//! those of the node in `server`; what stands beside its checks (`check_*`) is named again here.

mod delivery;
mod fan_out;
mod format;
mod ingest;
mod selection;
mod server;
mod stream;

use std::path::PathBuf;

pub use super::check_access_key::{Access, AccessKey, SignatureRule};
pub use super::check_api_key::ApiKey;
pub use super::check_auth::{Auth, Demand};
pub use super::check_authorizer::{Authorizer, IdentitySource};
pub use super::check_aws::Aws;
pub use super::check_basic_user::{BasicUser, Password};
pub use super::check_cache::{Cache, CachedRoute};
pub use super::check_client_certificate::{CertificateHolder, CertificateName};
pub use super::check_cluster::Cluster;
pub use super::check_cors::Cors;
pub use super::check_firehose::{BucketStore, Table};
pub use super::check_function::Function;
pub use super::check_jwt::{ClaimName, JwtIssuer};
pub use super::check_jwt_keys::{FetchedJwtKeys, JwtKeys, KeysPlace};
pub use super::check_kafka::{KafkaCluster, KafkaSasl, KafkaTls, OAuth};
pub use super::check_limit::{Allowance, Limit, Limits, Period, Quota, Rate, Rates};
pub use super::check_listener::{ClientCertificates, ListenAt, Listener, Tls};
pub use super::check_logs::{AccessLog, LogFile, LogTo};
pub use super::check_mapping::{Add, Fact, OnForged};
pub use super::check_stage::Stage;
pub use super::check_stream_log::{KafkaLog, LogPlace};
pub use super::check_telemetry::Otlp;
pub use super::check_webhook::{HmacAlgorithm, SignatureEncoding, SignedTime, TimestampAt, Webhook};
pub use crate::record::Content;
pub use delivery::{BufferHints, DeadLetters, Delivery, Late, ObjectSink, Placement};
pub use fan_out::{FanOut, Guarantee, KafkaCompression, KafkaSink, MessageHeader, MessageKey, Partitioner};
pub use format::{
    Delimiter, Format, JsonCompression, JsonFormat, OrcCompression, OrcFormat, ParquetCompression,
    ParquetFormat, RawFormat, SortColumn,
};
pub use ingest::{Ingest, OnInvalid, PartitionKeySource};
pub use selection::Selection;
pub use server::{Log, LogWriter, RequestIds, Server};
pub use stream::{Durability, ShardQuotas, Stream};

use crate::edge::gate::addresses::Addresses;
use crate::edge::gate::rules;
use crate::schema::inference::Rules;

/// The node and every pipeline that it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `forebay.toml`, or its defaults.
    pub node: Node,
    /// One a pipeline file. Stream names are unique.
    pub pipelines: Vec<Pipeline>,
}

/// `forebay.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What its folder must be called, if that is to be checked. Same alphabet as a stream's name.
    pub name: Option<String>,
    /// Where the node keeps its state.
    pub data_dir: PathBuf,
    /// The byte budget of the process.
    pub memory_budget_bytes: u64,
    /// `[log]`.
    pub log: Log,
    /// `[server]`.
    pub server: Server,
    /// `[access]`.
    pub access: Addresses,
    /// `[[rule]]` and `[screening]`.
    pub rules: rules::Settings,
    /// `[auth]` and `[[api_key]]`.
    pub auth: Auth,
    /// `[limits]`.
    pub limits: Limits,
    /// `[cache]`, if there is one.
    pub cache: Option<Cache>,
    /// `[cluster]`, if there is one.
    pub cluster: Option<Cluster>,
    /// `[access_log]`, if there is one.
    pub access_log: Option<AccessLog>,
    /// `[audit_log]`.
    pub audit_log: LogTo,
    /// `[telemetry] otlp`, if there is one.
    pub otlp: Option<Otlp>,
    /// `[aws]` and `[[access_key]]`.
    pub aws: Aws,
    /// `[[function]]`. Names are unique.
    pub functions: Vec<Function>,
    /// `[[kafka]]`.
    pub kafka: Vec<KafkaCluster>,
}

impl Node {
    /// Whether what some principal sends is counted for a quota, which has to be kept over a restart.
    pub fn have_quotas(&self) -> bool {
        let api_keys = self.auth.api_keys.iter().map(|key| &key.allowance);
        let access_keys = self.aws.access.keys.iter().map(|key| &key.allowance);
        api_keys.chain(access_keys).any(|allowance| allowance.quota.is_some())
    }
}

/// One pipeline file.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// The file, as it was found.
    pub file: PathBuf,
    /// `[stream]`.
    pub stream: Stream,
    /// `[ingest]`.
    pub ingest: Ingest,
    /// `[[delivery]]` of files, in the order of the file. Names are unique within the stream, those of `fan_outs` included.
    pub deliveries: Vec<Delivery>,
    /// `[[delivery]]` into Kafka, in the order of the file.
    pub fan_outs: Vec<FanOut>,
    /// Where the columns of Parquet files come from, if there are any.
    pub columns_source: Option<ColumnsSource>,
    /// `[access]`.
    pub access: Addresses,
}

/// Where the columns of a pipeline come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnsSource {
    /// `[schema] columns`.
    Declared,
    /// Derived from the JSON Schema of `[ingest]`.
    JsonSchema,
    /// Learned from the records.
    Inferred(Rules),
}
