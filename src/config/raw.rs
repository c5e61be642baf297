//! The files as they are written. Everything is optional here: what is missing or wrong is reported by the checks,
//! all at once, and not by the first failure of a deserialiser. The comments are the descriptions that editors show
//! (see [`super::json_schema`]).
//!
//! The two kinds of files are here; the tables of a pipeline are in [`stream`], [`delivery`], [`sink`] and [`schema`],
//! those of the node in [`server`]. Tables with checks of their own stand beside them (`check_*`).

mod delivery;
mod schema;
mod server;
mod sink;
mod stream;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_access::AccessTable;
use super::check_access_key::AccessKeyTable;
use super::check_api_key::ApiKeyTable;
use super::check_auth::AuthTable;
use super::check_authorizer::AuthorizerTable;
use super::check_aws::AwsTable;
use super::check_basic_user::BasicUserTable;
use super::check_cache::CacheTable;
use super::check_client_certificate::ClientCertificateTable;
use super::check_cluster::ClusterTable;
use super::check_function::FunctionTable;
use super::check_jwt::JwtIssuerTable;
use super::check_kafka::KafkaTable;
use super::check_limit::LimitsTable;
use super::check_listener::ListenerTable;
use super::check_logs::{AccessLogTable, AuditLogTable};
use super::check_rule::{RuleTable, ScreeningTable};
use super::check_stage::StageTable;
use super::check_telemetry::TelemetryTable;
use super::check_webhook::WebhookTable;

pub use delivery::{BufferTable, DeliveryTable};
pub use schema::{ColumnTable, SchemaTable};
pub use server::{LogTable, ServerTable};
pub use sink::SinkTable;
pub use stream::{IngestTable, StreamTable};

/// A pipeline: one stream, how records come in, and where they are delivered.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Forebay pipeline")]
pub struct PipelineFile {
    /// The stream that records are appended to.
    #[schemars(required)]
    pub stream: Option<StreamTable>,
    /// How records come in.
    pub ingest: Option<IngestTable>,
    /// Where records are delivered. Each delivery has its own files, its own pace and its own dead letters.
    pub delivery: Option<Vec<DeliveryTable>>,
    /// Other ways in to the same stream, each with settings of its own.
    pub stage: Option<Vec<StageTable>>,
    /// The columns of Parquet files. Without it they are derived from the JSON Schema of `[ingest]`.
    pub schema: Option<SchemaTable>,
    /// Which addresses clients of the stream may come from, besides what the node says.
    pub access: Option<AccessTable>,
}

/// The node: `forebay.toml`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Forebay node")]
pub struct NodeFile {
    /// Name of the node, in the alphabet of a stream's name. A folder that belongs to a node of another name is then
    /// refused. Default: the folder is taken whatever its node is called.
    #[schemars(example = &"node-1")]
    pub node: Option<String>,
    /// Folder of the node's state; a relative one counts from the working folder. Default: `./data`.
    #[schemars(example = &"./data")]
    pub data_dir: Option<String>,
    /// Bytes of records that the process holds at most. Default: `256MiB`.
    #[schemars(example = &"256MiB")]
    pub memory_budget: Option<String>,
    /// How the log of durable streams is written.
    pub log: Option<LogTable>,
    /// The listeners and their bounds.
    pub server: Option<ServerTable>,
    /// Answers that are kept for a while, and given again to those who ask for the same. Default: none are.
    pub cache: Option<CacheTable>,
    /// One line of JSON a request. Default: none is written.
    pub access_log: Option<AccessLogTable>,
    /// One line of JSON for each identity that is refused, and for each change that somebody asks for.
    pub audit_log: Option<AuditLogTable>,
    /// What is told to collectors of traces and metrics.
    pub telemetry: Option<TelemetryTable>,
    /// Where producers and consumers come in besides `[server] listen`.
    pub listener: Option<Vec<ListenerTable>>,
    /// Which addresses clients may come from.
    pub access: Option<AccessTable>,
    /// Rules about requests, asked in their order before anybody asks who has sent one: the first that allows or blocks
    /// it is the last.
    pub rule: Option<Vec<RuleTable>>,
    /// Rules that are there already.
    pub screening: Option<ScreeningTable>,
    /// Which proofs of identity count for what.
    pub auth: Option<AuthTable>,
    /// How much may come in and go out, of everybody together and of each client.
    pub limits: Option<LimitsTable>,
    /// Clients that send a secret along.
    pub api_key: Option<Vec<ApiKeyTable>>,
    /// Clients that show a name and a password.
    pub basic_user: Option<Vec<BasicUserTable>>,
    /// Clients that sign bodies.
    pub webhook: Option<Vec<WebhookTable>>,
    /// A service that says who requests are from.
    pub authorizer: Option<AuthorizerTable>,
    /// Clients that show a certificate.
    pub client_certificate: Option<Vec<ClientCertificateTable>>,
    /// Issuers of JSON Web Tokens that are taken.
    pub jwt_issuer: Option<Vec<JwtIssuerTable>>,
    /// The Kinesis and Firehose APIs.
    pub aws: Option<AwsTable>,
    /// Who may use them.
    pub access_key: Option<Vec<AccessKeyTable>>,
    /// Many nodes over streams that are in Kafka. Default: the node is alone.
    pub cluster: Option<ClusterTable>,
    /// What records of delivery streams may go through: what a Lambda processor of the Firehose API names.
    pub function: Option<Vec<FunctionTable>>,
    /// Kafka clusters, by the names that pipelines call them.
    pub kafka: Option<Vec<KafkaTable>>,
}
