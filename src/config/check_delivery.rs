//! `[[delivery]]`: raw → checked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::check_dead_letters::check_dead_letters;
use super::check_fan_out::refuse_kafka_keys;
use super::check_format::{check_extension, check_format};
use super::check_prefix::{Prefixes, check_prefixes};
use super::check_sink::{Env, check_sink, folder_sink};
use super::checked::{BufferHints, Delivery, KafkaCluster, ObjectSink, Selection};
use super::checker::Checker;
use super::limits;
use super::raw::{BufferTable, DeliveryTable, SinkTable};
use super::size::Size;
use crate::schema::columns::Columns;

/// What a delivery's checks need to know of the rest of the configuration.
pub(super) struct Surroundings<'a> {
    pub data_dir: &'a Path,
    pub memory_budget: Option<u64>,
    pub stream: Option<&'a str>,
    pub columns: PipelineColumns,
    pub clusters: &'a [KafkaCluster],
    pub env: Env<'a>,
}

/// The columns of a pipeline.
#[derive(Clone)]
pub(super) enum PipelineColumns {
    Known(Arc<Columns>),
    /// Neither declared nor to be derived.
    None,
    /// A problem has been added.
    Wrong,
}

/// The delivery at `path`; `None` where a problem was added.
pub(super) fn check_delivery(
    raw: DeliveryTable,
    path: &str,
    around: &Surroundings<'_>,
    checker: &mut Checker<'_>,
) -> Option<Delivery> {
    let name =
        checker.name(&format!("{path}.name"), raw.name.clone(), "write name = \"lake\" or another name");
    let is_refused = refuse_kafka_keys(path, checker);
    let sink = check_sink_or_default(raw.sink.clone(), path, name.as_deref(), around, checker);
    let format = check_format(&raw, path, &around.columns, checker);
    let extension = check_extension(raw.extension.as_deref(), path, checker);
    let buffer = check_buffer(
        raw.buffer.clone().unwrap_or_default(),
        path,
        (around.memory_budget, sink.as_ref()),
        checker,
    );
    let prefixes = check_prefixes(&raw, path, checker);
    let dead_letters = check_dead_letters(&raw, path, (buffer, sink.as_ref()), (around, checker));
    let open = checker.count(
        &format!("{path}.max_open_partitions"),
        raw.max_open_partitions,
        limits::OPEN_PARTITIONS_DEFAULT,
        limits::OPEN_PARTITIONS_MAX,
    );
    let Prefixes { prefix, error_prefix, event_time, placement } = prefixes?;
    if is_refused {
        return None;
    }
    Some(Delivery {
        name: name?,
        sink: sink?,
        format: format?,
        extension: extension?,
        buffer: buffer?,
        prefix,
        error_prefix,
        dead_letters: dead_letters?,
        event_time,
        placement,
        selection: Selection::Fitting,
        open_partitions_max: open?,
    })
}

fn check_sink_or_default(
    raw: Option<SinkTable>,
    path: &str,
    name: Option<&str>,
    around: &Surroundings<'_>,
    checker: &mut Checker<'_>,
) -> Option<ObjectSink> {
    let path = format!("{path}.sink");
    match raw {
        Some(raw) => check_sink(raw, &path, around.env, checker),
        None if checker.document.has(&path) => None,
        None => {
            let folder = around.data_dir.join("lake").join(around.stream?).join(name?);
            folder_sink(&folder, &path, checker)
        }
    }
}

/// Up to the sink's `multipart` an open file is held in memory, so that one of which that is more than half the budget
/// never gets there. What is beyond is sent while the file is filled, but to Azure, whose parts have no upload.
pub(super) fn check_buffer(
    raw: BufferTable,
    path: &str,
    (budget, sink): (Option<u64>, Option<&ObjectSink>),
    checker: &mut Checker<'_>,
) -> Option<BufferHints> {
    let budget = budget.unwrap_or(u64::MAX);
    let size_path = format!("{path}.buffer.size");
    let default = limits::BUFFER_BYTES_DEFAULT.min(budget / 4);
    let size = checker.size_within(&size_path, raw.size.as_deref(), default, 1..=u64::MAX);
    let above = sink.map_or(0, |sink| match sink.url.scheme() {
        "az" => u64::MAX,
        _ => sink.multipart_bytes,
    });
    let part_bytes = above.clamp(1, limits::MULTIPART_PART_BYTES as u64);
    let in_parts = part_bytes.saturating_mul(limits::MULTIPART_PARTS_MAX);
    let size = size.filter(|&size| {
        let held = size.min(above);
        let most = if held > budget / 2 { budget / 2 } else { in_parts };
        let right = held <= budget / 2 && (sink.is_none() || size <= in_parts);
        if !right {
            let (size, most, held, budget) = (Size(size), Size(most), Size(held), Size(budget));
            let why = match most == Size(in_parts) {
                true => format!("more than an object can have parts: write at most {most}"),
                false if held == size => format!("more than half the node's memory_budget = {budget}: write at most {most}, or a larger memory_budget"),
                false => format!("held in memory up to the sink's multipart = {held}, and that is more than half the node's memory_budget = {budget}: write at most {most} for one of them, or a larger memory_budget"),
            };
            checker.problem(&size_path, format!("buffer.size = {size} is {why}"));
        }
        right
    });
    let default = Duration::from_secs(limits::BUFFER_SECONDS_DEFAULT);
    let interval = checker.duration(&format!("{path}.buffer.interval"), raw.interval.as_deref(), default);
    Some(BufferHints { size_bytes: size?, interval: interval? })
}
