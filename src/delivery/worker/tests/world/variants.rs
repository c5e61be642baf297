//! The delivery in its variants, and the folders that one of them has for records.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::ARRIVAL;
use super::records::{Kind, Spec};
use crate::config::checked::{
    BufferHints, DeadLetters, Delimiter, Delivery, Format, JsonCompression, Late, ObjectSink,
    ParquetCompression, ParquetFormat, Placement, RawFormat, Selection,
};
use crate::delivery::encode::dead_letter::Envelope;
use crate::delivery::prefix::{PrefixTemplate, Terms, Zone};
use crate::json::Pointer;
use crate::schema::columns::{ColumnDeclaration, Columns};

/// The delivery in its variants. They differ in whatever makes an epoch.
pub fn config(variant: usize) -> Delivery {
    let columns = |id: &str| {
        let column = |name: &str, type_text: &str| ColumnDeclaration::new(name, type_text, true);
        let columns = [column("n", "int64"), column("id", id), column("p", "string")];
        let columns = Arc::new(Columns::declared(&columns).unwrap());
        Format::Parquet(ParquetFormat::new(ParquetCompression::Snappy, columns))
    };
    let plain = Format::from(JsonCompression::None);
    let gzip = Format::from(JsonCompression::Gzip { level: 1 });
    let raw = RawFormat { compression: JsonCompression::Gzip { level: 1 }, delimiter: Delimiter::None };
    let raw = Format::Raw(raw);
    let (format, prefix, error_prefix, folder) = match variant {
        0 => (plain, "p={/p}/", "errors/{reason}/", "lake"),
        1 => (gzip, "v1/{/p}/", "errors/{reason}/", "lake"),
        2 => (columns("int64"), "q={/p}/", "errors/{reason}/", "lake"),
        3 => (plain, "dt={event_time:%Y-%m-%d}/", "errors/{reason}/", "pond"),
        4 => (columns("string"), "q={/p}/", "dead/{shard}/{reason}/", "lake"),
        5 => (gzip, "raw/", "raw/", "lake"),
        6 => (plain, "failed/{shard}/", "failed/", "pond"),
        // By a field that no other variant wants.
        8 => (gzip, "v8/{/id|hash(3)|default(none)}/", "errors/{reason}/", "lake"),
        9 => (raw, "v9/{/p}/", "errors/{reason}/", "lake"),
        _ => (plain, "v5/dt={event_time:%Y-%m-%d}/{/p|upper|default(none)}/", "errors/{reason}/", "lake"),
    };
    let selection = match variant {
        5 => Selection::All,
        6 => Selection::FailedIn(Arc::new(config(2))),
        _ => Selection::Fitting,
    };
    let placement = if variant == 7 { placement() } else { Placement::default() };
    Delivery {
        name: "d".into(),
        sink: ObjectSink {
            url: Url::from_directory_path(Path::new("/").join(folder)).unwrap(),
            options: BTreeMap::new(),
            multipart_bytes: 1 << 20,
        },
        format,
        extension: (variant == 9).then(|| ".bin.gz".into()),
        buffer: BufferHints { size_bytes: 700, interval: Duration::from_millis(200) },
        prefix: PrefixTemplate::parse(prefix, &placement.terms).unwrap(),
        error_prefix: PrefixTemplate::parse(error_prefix, &placement.terms).unwrap(),
        dead_letters: DeadLetters {
            buffer: BufferHints { size_bytes: 500, interval: Duration::from_millis(100) },
            envelope: if variant == 1 { Envelope::Firehose } else { Envelope::Forebay },
        },
        event_time: Some(Pointer::parse("/at").unwrap()),
        placement,
        selection,
        open_partitions_max: 3,
    }
}

/// What is before its arrival is late, and what is more than two days ahead is none.
fn placement() -> Placement {
    let terms = Terms { time_zone: Zone::parse("America/New_York").unwrap(), ..Terms::default() };
    let prefix = PrefixTemplate::parse("v5/late/{/p|hash(3)|default(none)}/", &terms).unwrap();
    let late = Some(Late { allowed: Duration::ZERO, prefix });
    Placement { terms, late, future_max: Some(Duration::from_secs(2 * 86_400)) }
}

/// The folder that variant 7 has for a record; `None` for the dead letters.
pub fn folder_by_time(spec: &Spec, arrival: i64) -> Option<String> {
    let text = if spec.kind == Kind::Homeless { None } else { Some((b'a' + spec.partition) as char) };
    let event_time = ARRIVAL + i64::from(spec.partition) * 86_400_000_000;
    if matches!(spec.kind, Kind::Refused | Kind::Timeless) || event_time - arrival > 2 * 86_400_000_000 {
        return None;
    }
    if event_time < arrival {
        // `printf a | md5sum` begins with 0cc175b9c0f1b6a8; only the first partition is ever late.
        return Some(format!(
            "v5/late/{}/",
            text.map_or("none".to_owned(), |_| (0x0cc1_75b9_c0f1_b6a8_u64 % 3).to_string())
        ));
    }
    // Midnight in UTC is the evening of the day before in New York.
    let day = ["2025-12-31", "2026-01-01", "2026-01-02"][usize::from(spec.partition)];
    let text = text.map_or("none".to_owned(), |text| text.to_uppercase().to_string());
    Some(format!("v5/dt={day}/{text}/"))
}
