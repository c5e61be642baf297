//! `backup` of `[[delivery]]`: raw → a delivery of its own.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_delivery::{Surroundings, check_buffer};
use super::check_format::{check_json_compression, check_raw};
use super::check_prefix::{PREFIX_DEFAULT, check_template};
use super::check_sink::check_sink;
use super::checked::{DeadLetters, Delivery, Format, JsonFormat, Placement, Selection};
use super::checker::Checker;
use super::raw::{BufferTable, DeliveryTable, SinkTable};
use crate::delivery::encode::dead_letter::Envelope;
use crate::delivery::prefix::{PrefixTemplate, Terms};

/// What the backup's name has behind the delivery's.
const NAME_END: &str = "-backup";

/// Folder of a backup that has no sink of its own.
const FOLDER: &str = "backup/";

/// `backup` of a delivery.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BackupTable {
    /// Which records are kept as they came: `all`, or only those that are `failed`, which are those that the delivery
    /// makes dead letters.
    #[schemars(required, extend("enum" = ["all", "failed"]), example = &"all")]
    pub records: Option<String>,
    /// Where they go. Default: the sink of the delivery.
    pub sink: Option<SinkTable>,
    /// Folder of a file below the sink, without fields of the record, which need not be JSON. Default:
    /// `dt={arrival_time:%Y-%m-%d}/hour={arrival_time:%H}/`, behind `backup/` in the sink of the delivery.
    #[schemars(example = &"backup/dt={arrival_time:%Y-%m-%d}/")]
    pub prefix: Option<String>,
    /// When a file is closed. Default: as the files of the delivery.
    pub buffer: Option<BufferTable>,
    /// What the files are: `json` lines, or the bytes of the records as they came (`raw`). Default: `json`.
    #[schemars(extend("enum" = ["json", "raw"]), example = &"raw")]
    pub format: Option<String>,
    /// Raw only: what stands behind each record, a line feed (`newline`) or nothing (`none`). Default: `newline`.
    #[schemars(extend("enum" = ["newline", "none"]), example = &"newline")]
    pub delimiter: Option<String>,
    /// As for JSON lines. Default: `gzip`.
    #[schemars(example = &"gzip")]
    pub compression: Option<String>,
    /// Level of the codec, as for JSON lines.
    #[schemars(range(min = 1, max = 22), example = 6)]
    pub compression_level: Option<i64>,
}

/// Name of the backup of a delivery.
pub(super) fn backup_name(delivery: &str) -> String {
    format!("{delivery}{NAME_END}")
}

/// The delivery that is the backup of `main`, whose table is at `path`; `None` where a problem was added.
pub(super) fn check_backup(
    raw: BackupTable,
    path: &str,
    main: &Delivery,
    (around, checker): (&Surroundings<'_>, &mut Checker<'_>),
) -> Option<Delivery> {
    let name = checker.name(&format!("{path}.name"), Some(backup_name(&main.name)), "");
    let records_path = format!("{path}.records");
    let help = "write records = \"all\", or \"failed\" for those that become dead letters";
    let records = checker.required(&records_path, raw.records, help);
    let words = [("all", false), ("failed", true)];
    let failed = records.and_then(|word| checker.word(&records_path, Some(&word), false, &words));
    let default_prefix = match raw.sink {
        Some(_) => PREFIX_DEFAULT.to_owned(),
        None => format!("{FOLDER}{PREFIX_DEFAULT}"),
    };
    let sink = match raw.sink {
        Some(sink) => check_sink(sink, &format!("{path}.sink"), around.env, checker),
        None if checker.document.has(&format!("{path}.sink")) => None,
        None => Some(main.sink.clone()),
    };
    let terms = main.placement.terms.clone();
    let prefix = check_prefix(raw.prefix.as_deref().unwrap_or(&default_prefix), &terms, path, checker);
    let buffer = match raw.buffer {
        Some(own) => check_buffer(own, path, (around.memory_budget, sink.as_ref()), checker),
        None => Some(main.buffer),
    };
    // The checks of a delivery's files, in this place.
    let files = DeliveryTable {
        format: raw.format,
        delimiter: raw.delimiter,
        compression: raw.compression,
        compression_level: raw.compression_level,
        ..DeliveryTable::default()
    };
    let format = check_format(&files, path, checker);
    let (prefix, buffer, failed) = (prefix?, buffer?, failed?);
    if failed && main.format.columns().is_some_and(|columns| columns.version().is_some()) {
        // Which records fail depends on the version of the columns at the time, which this delivery does not follow.
        checker.problem_with_help(
            &records_path,
            "records = \"failed\" cannot follow columns that are learned ([ingest] schema = \"infer\")",
            "write records = \"all\"; the dead letters have the records that fail as they came",
        );
        return None;
    }
    Some(Delivery {
        name: name?,
        sink: sink?,
        format: format?,
        extension: None,
        buffer,
        // There are no dead letters but with a clock outside the years 0 to 9999.
        error_prefix: prefix.clone(),
        prefix,
        dead_letters: DeadLetters { buffer, envelope: Envelope::Forebay },
        event_time: None,
        placement: Placement { terms, ..Placement::default() },
        open_partitions_max: main.open_partitions_max,
        selection: match failed {
            true => Selection::FailedIn(Arc::new(main.clone())),
            false => Selection::All,
        },
    })
}

fn check_format(files: &DeliveryTable, path: &str, checker: &mut Checker<'_>) -> Option<Format> {
    let words = [("json", false), ("raw", true)];
    let is_raw = checker.word(&format!("{path}.format"), files.format.as_deref(), false, &words)?;
    if is_raw {
        return check_raw(files, path, checker);
    }
    if files.delimiter.is_some() {
        let message = "delimiter is for format = \"raw\" only";
        checker.problem(&format!("{path}.delimiter"), message);
    }
    let compression = check_json_compression(files, path, "json", checker)?;
    Some(Format::Json(JsonFormat { compression, envelope: false }))
}

fn check_prefix(text: &str, terms: &Terms, path: &str, checker: &mut Checker<'_>) -> Option<PrefixTemplate> {
    let path = format!("{path}.prefix");
    let prefix = check_template(text, terms, &path, checker)?;
    if prefix.pointers().is_empty() && !prefix.uses_event_time() && !prefix.uses_reason() {
        return Some(prefix);
    }
    checker.problem_with_help(
        &path,
        "the prefix of a backup uses a field that a record as it came may not have",
        "use {arrival_time:…}, {stream}, {shard} or {delivery}",
    );
    None
}
