//! `[aws]` of `forebay.toml`: raw → checked.

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_firehose::{
    BucketStore, BucketStoreTable, Table, TableTable, check_bucket_store, check_tables,
};
use super::check_sink::Env;
use super::checker::Checker;

/// `[aws]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AwsTable {
    /// The store that has the buckets of delivery streams. Without it none can be made over the Firehose API.
    #[schemars(extend("examples" = [{ "endpoint": "http://127.0.0.1:9000" }]))]
    pub s3_sink: Option<BucketStoreTable>,
    /// What the format conversion of delivery streams finds under a database and a table.
    pub table: Option<Vec<TableTable>>,
}

/// `[aws]`.
#[derive(Debug, Clone)]
pub struct Aws {
    /// Where the buckets of delivery streams are, if that is known.
    pub bucket_store: Option<BucketStore>,
    /// What their format conversion finds.
    pub tables: Vec<Table>,
}

/// `[aws]`; `None` where a problem was added.
pub(super) fn check_aws(raw: AwsTable, env: Env<'_>, checker: &mut Checker<'_>) -> Option<Aws> {
    let bucket_store = match raw.s3_sink {
        None => Some(None),
        Some(table) => check_bucket_store(table, env, checker).map(Some),
    };
    let tables = check_tables(raw.table.unwrap_or_default(), checker);
    Some(Aws { bucket_store: bucket_store?, tables })
}
