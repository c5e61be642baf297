//! Configuration: raw (as written) → checked (every problem found at once) → built.
//!
//! ```text
//! text ─ shape ──▶ raw ─ check_* ──▶ checked
//!        keys, types,    values, and how they
//!        environment     fit each other
//! ```
//!
//! [`load()`] is the way in. Only the checked types of [`checked`] are used by the rest of the program, so no stage can
//! meet a setting that nobody looked at. A problem never ends the search for the next one.

pub mod checked;
pub mod limits;

mod check_access;
mod check_access_key;
mod check_api_key;
mod check_auth;
mod check_authorizer;
mod check_aws;
mod check_backup;
mod check_basic_user;
mod check_cache;
mod check_client_certificate;
mod check_cluster;
mod check_cors;
mod check_dead_letters;
mod check_delivery;
mod check_fan_out;
mod check_firehose;
mod check_format;
mod check_function;
mod check_inference;
mod check_ingest;
mod check_jwt;
mod check_jwt_keys;
mod check_kafka;
mod check_kafka_compression;
mod check_limit;
mod check_listener;
mod check_log;
mod check_logs;
mod check_mapping;
mod check_named_columns;
mod check_node;
mod check_pipeline;
mod check_prefix;
mod check_rule;
mod check_schema;
mod check_shared;
mod check_sink;
mod check_stage;
mod check_stream_log;
mod check_telemetry;
mod check_together;
mod check_webhook;
mod checker;
mod document;
mod duration;
mod interpolate;
mod json_schema;
mod load;
mod problem;
mod quantity;
pub(crate) mod raw;
mod secret;
mod shape;
mod size;
mod suggest;

pub(crate) use check_backup::BackupTable;
pub(crate) use check_dead_letters::DeadLettersTable;
pub use check_firehose::MADE_NAME_PREFIX;
pub(crate) use check_firehose::check_made_pipeline;
pub(crate) use check_format::is_extension;
pub use duration::{parse_duration, print_duration};
pub use json_schema::{node_schema, pipeline_schema};
#[cfg(test)]
pub(crate) use load::node_for_tests;
pub use load::{load, pipeline_of_text};
pub use problem::{Problem, Problems};
pub use quantity::QuantityError;
pub use secret::Secret;
pub use size::{Size, parse_size};
pub use suggest::{listed, nearest};

#[cfg(test)]
mod tests;
