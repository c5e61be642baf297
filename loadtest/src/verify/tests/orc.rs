//! Lakes of ORC files.

use forebay::config::checked::{OrcCompression, OrcFormat};
use forebay::schema::columns::{ColumnDeclaration, Columns};

use super::*;

/// The columns of [`super::columns`], as a pipeline file declares them.
fn declared(columns: &[Field]) -> Arc<Columns> {
    fn type_text(kind: &DataType) -> String {
        let fields = |fields: &Fields| {
            let field = |field: &Arc<Field>| format!("{}: {}", field.name(), type_text(field.data_type()));
            fields.iter().map(field).collect::<Vec<_>>().join(", ")
        };
        match kind {
            DataType::Utf8 => "string".into(),
            DataType::Timestamp(TimeUnit::Millisecond, _) => "timestamp_millis".into(),
            DataType::Timestamp(..) => "timestamp_micros".into(),
            DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
            DataType::Struct(inner) => format!("struct<{}>", fields(inner)),
            DataType::List(element) => format!("list<{}>", type_text(element.data_type())),
            DataType::Map(..) => "map<string, string>".into(),
            other => other.to_string().to_lowercase(),
        }
    }
    let declare = |field: &Field| ColumnDeclaration::new(field.name(), type_text(field.data_type()), true);
    Arc::new(Columns::declared(&columns.iter().map(declare).collect::<Vec<_>>()).unwrap())
}

/// In stripes of a few hundred rows.
fn orc(columns: &[Field], compression: OrcCompression, records: &[String]) -> Vec<u8> {
    let format = OrcFormat { stripe_bytes: 64 << 10, ..OrcFormat::new(compression, declared(columns)) };
    let mut encoder = encode::open(&FileFormat::Orc(format));
    let mut file = Vec::new();
    for record in records {
        encoder.push(encode::Row::of_payload(record)).unwrap();
        file.extend(encoder.take_finished());
    }
    file.extend(encoder.finish(&[]).unwrap());
    file.concat()
}

#[test]
fn hashes_are_computed_again_from_orc_of_every_codec() {
    let codecs = [
        OrcCompression::None,
        OrcCompression::Zlib { level: 1 },
        OrcCompression::Snappy,
        OrcCompression::Lz4,
        OrcCompression::Zstd { level: 1 },
    ];
    for (profile, compression) in
        Profile::ALL.into_iter().flat_map(|profile| codecs.map(|codec| (profile, codec)))
    {
        let (lake, made) = (lake(), records(profile));
        put(&lake, "1.orc", &orc(&columns(profile), compression, &made[..2_000]));
        put(&lake, "2.orc", &orc(&columns(profile), compression, &made[2_000..]));
        let verdict = judge(&lake);
        assert!(verdict.ok, "{compression:?}: {verdict}");
        assert_eq!((verdict.records, verdict.hash_unchecked, verdict.order_unchecked), (3_000, 0, 0));
    }
}

#[test]
fn what_is_wrong_in_orc_is_found() {
    let columns = columns(Profile::Clickstream);
    let mut made = first_records(Profile::Clickstream, 900);
    made[5] = made[5].replacen("\"width\":", "\"width\":1", 1);
    made.remove(100);
    made.push(made[200].clone());
    let file = orc(&columns, OrcCompression::Snappy, &made);
    let lake = lake();
    put(&lake, "1.orc", &file);
    let verdict = judge(&lake);
    // The changed record is missing as well as the one that was taken out.
    assert_eq!(counts(&verdict), [2, 1, 0, 1], "{verdict}");
    let damaged = verdict.findings.iter().find(|finding| finding.kind == FindingKind::Damaged).unwrap();
    assert_eq!(damaged.row, Some(6));
    for end in [0, 3, file.len() / 2, file.len() - 1] {
        put(&lake, "1.orc", &file[..end]);
        assert_eq!(judge(&lake).damaged, 1, "cut at {end}");
    }
}

#[test]
fn orc_without_an_envelope_is_foreign() {
    let lake = lake();
    let records: Vec<_> = (0..500).map(|number| format!("{{\"other\":{number}}}")).collect();
    let columns = [column("other", DataType::Int64)];
    put(&lake, "1.orc", &orc(&columns, OrcCompression::None, &records));
    let verdict = judge(&lake);
    assert_eq!((verdict.foreign, counts(&verdict)), (500, [0; 4]));
}
