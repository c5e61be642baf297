//! One pipeline file: raw → checked.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::check_access::check_access;
use super::check_backup::{backup_name, check_backup};
use super::check_delivery::{PipelineColumns, Surroundings, check_delivery};
use super::check_fan_out::{check_fan_out, is_fan_out};
use super::check_inference::{INFER, check_inference, refuse_without_inference};
use super::check_ingest::{check_ingest, check_stream};
use super::check_schema::{check_against, check_declared, check_declared_names, check_derived_names};
use super::check_shared::{Said, refuse_in_cluster};
use super::check_sink::Env;
use super::check_stage::check_stages;
use super::check_stream_log::refuse_intake_settings;
use super::checked::{Add, ColumnsSource, Content, Delivery, FanOut, Ingest, Node, Pipeline};
use super::checker::Checker;
use super::limits::{EXTENSION_BYTES_SPARE, FILE_NAME_BYTES_MAX};
use super::raw::{PipelineFile, SchemaTable};
use crate::schema::columns::Columns;
use crate::schema::inference::OnConflict;

/// What became of one file. The parts are there for the checks over all files even if others of it are wrong.
pub(super) struct CheckedFile {
    pub stream_name: Option<String>,
    /// Deliveries without problems, with their paths in the file.
    pub deliveries: Vec<(String, Delivery)>,
    /// The same of those into Kafka.
    pub fan_outs: Vec<(String, FanOut)>,
    /// There if there was no problem at all.
    pub pipeline: Option<Pipeline>,
}

/// Every setting of the file. `node` is missing where the node's file has problems of its own.
pub(super) fn check_pipeline(
    raw: PipelineFile,
    node: Option<&Node>,
    env: Env<'_>,
    checker: &mut Checker<'_>,
) -> CheckedFile {
    let help = "write [stream] with a name";
    let stream_name = raw.stream.as_ref().and_then(|stream| stream.name.clone());
    let body_bytes_max = node.map(|node| node.server.body_bytes_max);
    let clusters = node.map(|node| &*node.kafka);
    refuse_intake_settings(&raw, checker);
    let stream = checker
        .required("stream", raw.stream, help)
        .and_then(|stream| check_stream(stream, (body_bytes_max, clusters), checker));
    let raw_deliveries = raw.delivery.unwrap_or_default();
    let infers = raw.ingest.as_ref().is_some_and(|ingest| ingest.schema.as_deref() == Some(INFER));
    let schema_file = raw.ingest.as_ref().and_then(|ingest| ingest.schema.clone());
    let bounds = (raw_deliveries.len(), body_bytes_max);
    let raw_ingest = raw.ingest.unwrap_or_default();
    let mut ingest = check_ingest(raw_ingest.clone(), "ingest", bounds, checker);
    // What is wrong with `[ingest]` is not said once more of each stage.
    let stages = raw.stage.unwrap_or_default();
    if let Some(ingest) = &mut ingest
        && let Some(stages) = check_stages(stages, &raw_ingest, bounds, checker)
    {
        ingest.stages = stages;
    }
    let said = Said { stream: stream.as_ref(), infers, deliveries: raw_deliveries.len() };
    refuse_in_cluster(node.and_then(|node| node.cluster.as_ref()), &said, checker);
    let columnar = |format: &str| matches!(format, "parquet" | "orc");
    let columnar = raw_deliveries.iter().any(|delivery| delivery.format.as_deref().is_some_and(columnar));
    let (columns, columns_source) = if infers {
        match check_inference(raw.schema, columnar, checker) {
            Some(rules) => {
                let columns = PipelineColumns::Known(Arc::new(Columns::unlearned()));
                (columns, Some(ColumnsSource::Inferred(rules)))
            }
            None => (PipelineColumns::Wrong, None),
        }
    } else {
        check_columns((raw.schema, schema_file.as_deref()), ingest.as_ref(), columnar, checker)
    };
    if let (Some(ingest), Some(ColumnsSource::Inferred(rules))) = (&ingest, &columns_source)
        && (ingest.content, rules.on_conflict) == (Content::Any, OnConflict::Reject)
    {
        checker.problem_with_help(
            "schema.on_conflict",
            "on_conflict = \"reject\" refuses records, and content = \"any\" takes all of them",
            "write on_conflict = \"dead_letter\" or another word, or [ingest] content = \"json\"",
        );
    }
    let columns = match columns {
        // The schema was to be read, and could not be.
        PipelineColumns::None if schema_file.is_some() && ingest.is_none() => PipelineColumns::Wrong,
        columns => columns,
    };
    let around = Surroundings {
        data_dir: node.map_or(Path::new("data"), |node| &node.data_dir),
        memory_budget: node.map(|node| node.memory_budget_bytes),
        stream: stream_name.as_deref(),
        columns,
        clusters: node.map_or(&[], |node| &node.kafka),
        env,
    };
    let count = raw_deliveries.len();
    let mut names = HashMap::new();
    let (mut deliveries, mut fan_outs, mut checked) = (Vec::with_capacity(count), Vec::new(), 0);
    for (index, raw) in raw_deliveries.into_iter().enumerate() {
        let path = format!("delivery[{index}]");
        check_name_is_new(raw.name.as_deref(), &path, &mut names, checker);
        if is_fan_out(&path, checker) {
            let Some(fan_out) = check_fan_out(raw, &path, (&around, ingest.as_ref()), checker) else {
                continue;
            };
            fan_outs.push((path, fan_out));
            checked += 1;
            continue;
        }
        let both = (stream_name.as_deref(), raw.name.as_deref());
        check_file_name(both, raw.extension.as_deref(), &path, checker);
        let backup = raw.backup.clone();
        if let (Some(name), Some(_)) = (raw.name.as_deref(), &backup) {
            let name = backup_name(name);
            check_name_is_new(Some(&name), &path, &mut names, checker);
            check_file_name((stream_name.as_deref(), Some(&name)), None, &path, checker);
        }
        let Some(delivery) = check_delivery(raw, &path, &around, checker) else { continue };
        let backup = backup.map(|table| {
            let path = format!("{path}.backup");
            let backup = check_backup(table, &path, &delivery, (&around, checker));
            backup.map(|backup| (path, backup))
        });
        deliveries.push((path, delivery));
        checked += 1;
        deliveries.extend(backup.flatten());
    }
    let access = check_access(raw.access, checker);
    let complete = checker.problems.is_empty() && checked == count;
    let pipeline = match (stream, ingest, access) {
        (Some(stream), Some(ingest), Some(access)) if complete => Some(Pipeline {
            file: checker.document.file().to_owned(),
            stream,
            ingest,
            deliveries: deliveries.iter().map(|(_, delivery)| delivery.clone()).collect(),
            fan_outs: fan_outs.iter().map(|(_, fan_out)| fan_out.clone()).collect(),
            columns_source,
            access,
        }),
        _ => None,
    };
    CheckedFile { stream_name, deliveries, fan_outs, pipeline }
}

fn check_name_is_new(
    name: Option<&str>,
    path: &str,
    names: &mut HashMap<String, usize>,
    checker: &mut Checker<'_>,
) {
    let Some(name) = name else { return };
    let path = format!("{path}.name");
    let (line, _) = checker.document.place_of(&path);
    match names.get(name) {
        None => {
            names.insert(name.to_owned(), line);
        }
        Some(first) => {
            let message = format!(
                "delivery name {} is used twice: it is also in line {first}",
                checker.quote(&path, name)
            );
            checker.problem_with_help(&path, message, "write another name");
        }
    }
}

/// Both names are part of each file's name, and so is the extension.
fn check_file_name(
    (stream, delivery): (Option<&str>, Option<&str>),
    extension: Option<&str>,
    path: &str,
    checker: &mut Checker<'_>,
) {
    let bytes = stream.map_or(0, str::len) + delivery.map_or(0, str::len);
    let beyond = extension.map_or(0, str::len).saturating_sub(EXTENSION_BYTES_SPARE);
    if beyond > 0 && bytes + beyond > FILE_NAME_BYTES_MAX {
        let most = (FILE_NAME_BYTES_MAX + EXTENSION_BYTES_SPARE).saturating_sub(bytes);
        let message = format!(
            "extension is too long for the name of a file with the names of stream and delivery, which have {bytes} characters together: at most {most} are left for it"
        );
        checker.problem_with_help(&format!("{path}.extension"), message, "write a shorter one");
    }
    if bytes > FILE_NAME_BYTES_MAX {
        let message = format!(
            "the names of stream and delivery have {bytes} characters together, at most {FILE_NAME_BYTES_MAX} go into the name of a file"
        );
        checker.problem_with_help(&format!("{path}.name"), message, "write a shorter name");
    }
}

/// Declared columns; or those of the JSON Schema, if a delivery needs them.
fn check_columns(
    (declared, schema_file): (Option<SchemaTable>, Option<&str>),
    ingest: Option<&Ingest>,
    columnar: bool,
    checker: &mut Checker<'_>,
) -> (PipelineColumns, Option<ColumnsSource>) {
    if let Some(declared) = declared {
        refuse_without_inference(&declared, checker);
        let declared = check_declared(declared, checker);
        if columnar {
            check_declared_names(&declared, checker);
        }
        let schema = ingest.and_then(|ingest| ingest.schema.as_deref());
        if let (Some(schema), Some(file)) = (schema, schema_file) {
            let added = ingest.and_then(|ingest| ingest.add.as_ref()).map(Add::name);
            check_against(schema, file, (&declared, added), checker);
        }
        let columns = declared
            .into_columns()
            .map_or(PipelineColumns::Wrong, |columns| PipelineColumns::Known(Arc::new(columns)));
        return (columns, Some(ColumnsSource::Declared));
    }
    if checker.document.has("schema") {
        return (PipelineColumns::Wrong, None);
    }
    let schema = ingest.and_then(|ingest| ingest.schema.as_deref());
    let Some(schema) = schema.filter(|_| columnar) else {
        return (PipelineColumns::None, None);
    };
    match Columns::derive(schema) {
        Ok(columns) => {
            check_derived_names(&columns, checker);
            (PipelineColumns::Known(Arc::new(columns)), Some(ColumnsSource::JsonSchema))
        }
        Err(error) => {
            checker.problem_with_help(
                "ingest.schema",
                format!("no columns can be derived from the JSON Schema: {error}"),
                "declare them: [schema] columns = [{ name = \"id\", type = \"int64\" }]",
            );
            (PipelineColumns::Wrong, None)
        }
    }
}
