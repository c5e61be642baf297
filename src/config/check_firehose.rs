//! What `[aws]` of `forebay.toml` says about delivery streams: where buckets are, and the columns of tables.
//!
//! A delivery stream that is made over the Firehose API names its bucket by an ARN and its columns by a database and a
//! table. Neither says where they are; this does.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_pipeline::check_pipeline;
use super::check_schema::check_declared_at;
use super::check_sink::{Env, check_sink};
use super::checked::{Node, Pipeline};
use super::checker::Checker;
use super::document::Document;
use super::problem::{Problem, Problems};
use super::raw::{ColumnTable, PipelineFile, SchemaTable, SinkTable};
use super::secret::Secret;

/// What the names of streams and deliveries that delivery streams have made begin with. Files cannot have such names, so
/// that both never meet.
pub const MADE_NAME_PREFIX: &str = "firehose.";

/// `s3_sink` of `[aws]`: the store that has the buckets of delivery streams.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct BucketStoreTable {
    /// Endpoint of an S3-compatible store. Default: `AWS_ENDPOINT_URL` of the environment, or AWS itself.
    #[schemars(example = &"http://127.0.0.1:9000")]
    pub endpoint: Option<String>,
    /// Region of the buckets. Default: `AWS_REGION` or `AWS_DEFAULT_REGION` of the environment.
    #[schemars(example = &"eu-central-1")]
    pub region: Option<String>,
    /// Access key. Default: `AWS_ACCESS_KEY_ID` of the environment, or the machine's own role.
    #[schemars(example = &"${LAKE_KEY_ID}")]
    pub access_key_id: Option<Secret>,
    /// Its secret. Default: `AWS_SECRET_ACCESS_KEY` of the environment.
    #[schemars(example = &"${LAKE_SECRET}")]
    pub secret_access_key: Option<Secret>,
    /// Whether a bucket stands in the path (true) or in the host name. Default: true where an endpoint is given.
    #[schemars(example = true)]
    pub path_style: Option<bool>,
    /// Whether plain HTTP is allowed. Default: true where the endpoint begins with `http://`.
    #[schemars(example = true)]
    pub allow_http: Option<bool>,
    /// Objects larger than this are uploaded in parts. Default: `16MiB`.
    #[schemars(example = &"16MiB")]
    pub multipart: Option<String>,
}

/// One of `[[aws.table]]`: what the format conversion of delivery streams finds under a database and a table.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TableTable {
    /// `DatabaseName` of the conversion.
    #[schemars(required, example = &"lake")]
    pub database: Option<String>,
    /// `TableName` of the conversion.
    #[schemars(required, example = &"clicks")]
    pub name: Option<String>,
    /// The columns, as in `[schema]` of a pipeline.
    pub columns: Option<Vec<ColumnTable>>,
    /// `infer`, instead of columns: they are learned from the records of each delivery stream.
    #[schemars(extend("enum" = ["infer"]), example = &"infer")]
    pub schema: Option<String>,
}

/// The store that has the buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct BucketStore {
    table: BucketStoreTable,
    /// What the environment had when it was asked: buckets come later.
    environment: BTreeMap<String, Secret>,
}

impl BucketStore {
    /// The sink of a bucket, to be checked with [`BucketStore::variable`].
    pub(crate) fn sink(&self, bucket: &str) -> SinkTable {
        let table = self.table.clone();
        SinkTable {
            url: Some(format!("s3://{bucket}/")),
            endpoint: table.endpoint,
            region: table.region,
            access_key_id: table.access_key_id,
            secret_access_key: table.secret_access_key,
            path_style: table.path_style,
            allow_http: table.allow_http,
            multipart: table.multipart,
            ..SinkTable::default()
        }
    }

    /// A variable of the environment.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        self.environment.get(name).map(|value| value.reveal().to_owned())
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Its columns; none where they are learned.
    pub(crate) columns: Option<Vec<ColumnTable>>,
}

/// `s3_sink`; `None` where a problem was added.
pub(super) fn check_bucket_store(
    table: BucketStoreTable,
    env: Env<'_>,
    checker: &mut Checker<'_>,
) -> Option<BucketStore> {
    let asked = RefCell::new(BTreeMap::new());
    let env = |name: &str| {
        let value = env(name);
        if let Some(value) = &value {
            asked.borrow_mut().insert(name.to_owned(), Secret::new(value.clone()));
        }
        value
    };
    let store = BucketStore { table, environment: BTreeMap::new() };
    // What is asked of the environment does not depend on the bucket.
    check_sink(store.sink("bucket"), "aws.s3_sink", &env, checker)?;
    Some(BucketStore { environment: asked.into_inner(), ..store })
}

/// `[[aws.table]]`; those that are right.
pub(super) fn check_tables(tables: Vec<TableTable>, checker: &mut Checker<'_>) -> Vec<Table> {
    let mut checked: Vec<Table> = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let path = format!("aws.table[{index}]");
        let table = check_table(table, &path, checker);
        let Some(table) = table else { continue };
        let same = |other: &Table| other.database == table.database && other.name == table.name;
        if checked.iter().any(same) {
            let name = checker.quote(&format!("{path}.name"), &table.name);
            checker.problem(
                &format!("{path}.name"),
                format!("the table {name} of this database is there twice"),
            );
        }
        checked.push(table);
    }
    checked
}

fn check_table(table: TableTable, path: &str, checker: &mut Checker<'_>) -> Option<Table> {
    let name_help = "write database = \"lake\" and name = \"clicks\", or other names";
    let database = checker.required(&format!("{path}.database"), table.database, name_help);
    let name = checker.required(&format!("{path}.name"), table.name, name_help);
    let infers = [("infer", true)];
    let infers = checker.word(&format!("{path}.schema"), table.schema.as_deref(), false, &infers)?;
    let columns_path = format!("{path}.columns");
    if infers {
        if table.columns.is_some() || checker.document.has(&columns_path) {
            let message = "columns are declared, and schema = \"infer\" is to learn them";
            checker.problem_with_help(&columns_path, message, "leave one of them out");
            return None;
        }
        return Some(Table { database: database?, name: name?, columns: None });
    }
    let columns = table.columns.clone();
    let declared = SchemaTable { columns: table.columns, ..SchemaTable::default() };
    check_declared_at(&columns_path, declared, checker).into_columns()?;
    Some(Table { database: database?, name: name?, columns: Some(columns?) })
}

/// Checks a pipeline that is in no file of the configuration, as if it were: `file` is what problems are found in.
///
/// # Errors
/// Every problem; the places are those of an empty file.
pub(crate) fn check_made_pipeline(
    raw: PipelineFile,
    file: &Path,
    node: &Node,
    env: Env<'_>,
) -> Result<Pipeline, Problems> {
    let document = Document::new(file.to_owned(), String::new());
    let mut problems = Vec::new();
    let checked =
        check_pipeline(raw, Some(node), env, &mut Checker { document: &document, problems: &mut problems });
    match checked.pipeline {
        Some(pipeline) if problems.is_empty() => Ok(pipeline),
        _ if problems.is_empty() => {
            let message = "the pipeline cannot be used although nothing is wrong with it: please report this";
            Err(Problems::sorted(vec![Problem::of_file(file, message)]))
        }
        _ => Err(Problems::sorted(problems)),
    }
}
