//! `[[stage]]` of a pipeline: other ways in to its stream, raw → checked.

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_inference::INFER;
use super::check_ingest::check_ingest;
use super::check_mapping::AddTable;
use super::checked::Ingest;
use super::checker::Checker;
use super::limits::STAGES_MAX;
use super::raw::IngestTable;

/// One of `[[stage]]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StageTable {
    /// The first part of its URLs, in the place of `v1`: `/NAME/streams/STREAM/records`. Unique within the pipeline; same
    /// alphabet as a stream's name.
    #[schemars(required, example = &"beta")]
    pub name: Option<String>,
    /// Percent of the requests to `/v1` that are taken as if they had come here. Default: 0.
    #[schemars(range(min = 0, max = 100), example = 10)]
    pub canary: Option<i64>,
    /// What is different here. Default: nothing.
    pub ingest: Option<StageIngestTable>,
}

/// `ingest` of a stage: what is left out is as in `[ingest]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StageIngestTable {
    /// Where the partition key comes from.
    #[schemars(example = &"header:x-device")]
    pub partition_key: Option<String>,
    /// JSON Schema file that records must fit.
    #[schemars(example = &"clickstream-2.schema.json")]
    pub schema: Option<String>,
    /// What becomes of a record that breaks the schema.
    #[schemars(extend("enum" = ["reject", "dead_letter"]), example = &"dead_letter")]
    pub on_invalid: Option<String>,
    /// Largest record.
    #[schemars(example = &"256KiB")]
    pub max_record: Option<String>,
    /// Whether parameters of a query may be a record.
    #[schemars(example = true)]
    pub pixel: Option<bool>,
    /// Facts of the request that are added to each of its records.
    pub add: Option<AddTable>,
}

/// Another way in to a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The first part of its URLs.
    pub name: String,
    /// Percent of the requests to `/v1` that it takes.
    pub canary: u8,
    /// How records come in.
    pub ingest: Ingest,
}

const NAME_HELP: &str = "write name = \"beta\" or another name";

/// `[[stage]]`, each with what `[ingest]` says where it says nothing; `None` where a problem was added.
pub(super) fn check_stages(
    tables: Vec<StageTable>,
    ingest: &IngestTable,
    (deliveries, body_bytes_max): (usize, Option<u64>),
    checker: &mut Checker<'_>,
) -> Option<Vec<Stage>> {
    let found = tables.len();
    if found > STAGES_MAX {
        let message = format!("{found} stages are too many: there may be {STAGES_MAX}");
        checker.problem(&format!("stage[{STAGES_MAX}]"), message);
        return None;
    }
    let mut stages: Vec<Stage> = Vec::with_capacity(found);
    for (index, table) in tables.into_iter().enumerate() {
        let path = format!("stage[{index}]");
        let name = check_name(table.name, &path, &stages, checker);
        let canary = check_canary(table.canary, &path, &stages, checker);
        let own = table.ingest.unwrap_or_default();
        let merged = check_overrides(&own, ingest, &path, checker).then(|| merged(own, ingest));
        let bounds = (deliveries, body_bytes_max);
        let ingest =
            merged.and_then(|merged| check_ingest(merged, &format!("{path}.ingest"), bounds, checker));
        if let (Some(name), Some(canary), Some(ingest)) = (name, canary, ingest) {
            stages.push(Stage { name, canary, ingest });
        }
    }
    (stages.len() == found).then_some(stages)
}

fn check_name(
    text: Option<String>,
    path: &str,
    others: &[Stage],
    checker: &mut Checker<'_>,
) -> Option<String> {
    let path = format!("{path}.name");
    let name = checker.name(&path, text, NAME_HELP)?;
    let is_version = name
        .strip_prefix('v')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    if is_version {
        let message = format!("name = {name:?} is that of a version of the API, which stages stand beside");
        checker.problem_with_help(&path, message, NAME_HELP);
        return None;
    }
    if others.iter().any(|other| other.name == name) {
        checker.problem_with_help(&path, format!("stage {name:?} is there twice"), "write another name");
        return None;
    }
    Some(name)
}

fn check_canary(value: Option<i64>, path: &str, others: &[Stage], checker: &mut Checker<'_>) -> Option<u8> {
    let path = format!("{path}.canary");
    let taken: u8 = others.iter().map(|other| other.canary).sum();
    let left = 100 - taken;
    match u8::try_from(value.unwrap_or_default()).ok().filter(|percent| *percent <= left) {
        Some(percent) => Some(percent),
        None if taken > 0 => {
            checker.problem(
                &path,
                format!("canary is a whole number of percent: {left} are left by the stages before"),
            );
            None
        }
        None => {
            checker.problem(&path, "canary is a whole number of percent, from 0 to 100");
            None
        }
    }
}

/// Whether what a stage overrides can be overridden.
fn check_overrides(
    own: &StageIngestTable,
    ingest: &IngestTable,
    path: &str,
    checker: &mut Checker<'_>,
) -> bool {
    let path = format!("{path}.ingest.schema");
    let is_learned = ingest.schema.as_deref() == Some(INFER);
    match own.schema.as_deref() {
        Some(INFER) => {
            let message =
                "columns are learned from the records of all stages: schema = \"infer\" stands in [ingest]";
            checker.problem_with_help(&path, message, "leave it out, or name the file of a JSON Schema");
            false
        }
        Some(_) if is_learned => {
            let message =
                "columns are learned from the records, and a stage cannot have a JSON Schema besides";
            checker.problem_with_help(&path, message, "leave it out");
            false
        }
        _ => true,
    }
}

/// What is said of a stage, and where it says nothing, of all.
fn merged(own: StageIngestTable, ingest: &IngestTable) -> IngestTable {
    let StageIngestTable { partition_key, schema, on_invalid, max_record, pixel, add } = own;
    let all = ingest.clone();
    IngestTable {
        partition_key: partition_key.or(all.partition_key),
        schema: schema.or(all.schema),
        on_invalid: on_invalid.or(all.on_invalid),
        content: all.content,
        max_record: max_record.or(all.max_record),
        // What a stream may take is the same by whichever way it comes.
        limit: None,
        pixel: pixel.or(all.pixel),
        add: add.or(all.add),
    }
}
