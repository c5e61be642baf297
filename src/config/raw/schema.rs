//! `[schema]` of a pipeline, as it is written: the columns of its Parquet and ORC files.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::schema::columns::COLUMN_LEAVES_MAX;

/// `[schema]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SchemaTable {
    /// The columns, in the order of the file. Needed unless `[ingest] schema` is `infer`.
    pub columns: Option<Vec<ColumnTable>>,
    /// With `schema = "infer"`, what becomes of a value that its column cannot be widened for. `widen`: the column becomes
    /// `json` (one of times `string`). `suffix`: a second column takes it. `string`: the column becomes `string` and
    /// takes the text of any value. `dead_letter`: its record is a dead letter. `reject`: its record is refused at the
    /// edge. Default: `widen`.
    #[schemars(extend("enum" = ["reject", "dead_letter", "widen", "suffix", "string"]), example = &"widen")]
    pub on_conflict: Option<String>,
    /// With `schema = "infer"`, scalar columns that are learned at most; a record that would need more is a dead letter.
    /// Default: 1000.
    #[schemars(range(min = 1, max = COLUMN_LEAVES_MAX), example = 1_000)]
    pub max_columns: Option<i64>,
}

/// One of `columns`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnTable {
    /// The name of the column, and of the record's field unless `key` names that.
    #[schemars(required, example = &"price")]
    pub name: Option<String>,
    /// `bool`, `int8` to `int64`, `uint8` to `uint64`, `float32`, `float64`, `decimal(p, s)`, `string`, `binary`,
    /// `date`, `timestamp_seconds`, `_millis`, `_micros` or `_nanos`, `list<T>`, `map<string, T>`,
    /// `struct<name: T, …>`, or `json` for the value's text.
    #[serde(rename = "type")]
    #[schemars(required, example = &"decimal(12, 2)")]
    pub type_text: Option<String>,
    /// Whether the field may be null or missing. Default: true.
    #[schemars(example = false)]
    pub nullable: Option<bool>,
    /// The record's field, where the column is called otherwise. Default: `name`.
    #[schemars(example = &"user-id")]
    pub key: Option<String>,
    /// Which values are taken: `strict` takes those of the type's own kind, `lenient` also those of another kind that
    /// say the same, such as a number in a string. Default: `strict`.
    #[schemars(extend("enum" = ["strict", "lenient"]), example = &"lenient")]
    pub coerce: Option<String>,
    /// The unit of numbers that stand for timestamps. Default: the unit of the type.
    #[schemars(extend("enum" = ["seconds", "millis", "micros", "nanos"]), example = &"millis")]
    pub epoch: Option<String>,
}
