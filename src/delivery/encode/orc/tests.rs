use super::super::{Encoder, PushError, Row};
use super::*;
use crate::schema::columns::{ColumnDeclaration, Columns};
use crate::testkit::web_events;

const CODECS: [OrcCompression; 5] = [
    OrcCompression::None,
    OrcCompression::Zlib { level: 1 },
    OrcCompression::Snappy,
    OrcCompression::Lz4,
    OrcCompression::Zstd { level: 1 },
];

fn columns(declarations: &[(&str, &str)]) -> Arc<Columns> {
    let declaration = |(name, type_text): &(&str, &str)| ColumnDeclaration::new(*name, *type_text, true);
    Arc::new(Columns::declared(&declarations.iter().map(declaration).collect::<Vec<_>>()).unwrap())
}

fn events(compression: OrcCompression, stripe_bytes: u64) -> Box<OrcEncoder> {
    let columns = Arc::new(Columns::declared(&web_events::columns()).unwrap());
    Box::new(OrcWriter::encoder(OrcFormat { stripe_bytes, ..OrcFormat::new(compression, columns) }))
}

fn size(pieces: &[Bytes]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

#[test]
fn times_that_orc_cannot_hold_are_refused_and_their_neighbours_stay() {
    let types =
        [("timestamp_millis", 1_000), ("timestamp_micros", 1_000_000), ("timestamp_nanos", 1_000_000_000)];
    for (type_text, per_second) in types {
        let format =
            OrcFormat::new(OrcCompression::None, columns(&[("at", type_text), ("in", "list<json>")]));
        let mut encoder = Box::new(OrcWriter::encoder(format));
        let mut push = |time: i64| encoder.push(Row::of_payload(&format!(r#"{{"at":{time}}}"#)));
        let first_refused = per_second / 1_000 - per_second;
        for held in [0, 1, first_refused - 1, -per_second, -per_second - 1, i64::MAX, i64::MIN] {
            push(held).unwrap();
        }
        for refused in [first_refused, -1] {
            let PushError::Misfit(misfit) = push(refused).unwrap_err() else {
                panic!("not the record's fault")
            };
            assert_eq!(misfit.pointer, "/at");
            assert!(misfit.found.contains("1969"), "{misfit}");
        }
        assert!(size(&encoder.finish(&[]).unwrap()) > 0);
    }
}

#[test]
fn a_file_without_rows_is_still_a_file() {
    for compression in CODECS {
        let file = events(compression, 16 << 20).finish(&[]).unwrap().concat();
        assert!(file.starts_with(MAGIC));
        let postscript = usize::from(file[file.len() - 1]);
        assert!(file[..file.len() - 1].ends_with(MAGIC) && postscript < 100, "{postscript}");
    }
}

#[test]
fn the_end_of_a_file_tells_its_rows() {
    for compression in CODECS {
        let mut encoder = events(compression, 1 << 20);
        for index in 0..5_000 {
            encoder.push(Row::of_payload(&web_events::event(index))).unwrap();
        }
        let file = encoder.finish(&[]).unwrap().concat();
        let postscript = reading::Postscript::read(&file[file.len() - 256..]).unwrap();
        let end = file.len() - postscript.bytes_behind_footer as usize;
        let footer = &file[end - postscript.footer_bytes as usize..end];
        assert_eq!(postscript.rows(footer).unwrap(), 5_000, "{compression:?}");
        for damaged in 0..footer.len() {
            // Whatever comes of it, it comes without a panic.
            let mut footer = footer.to_vec();
            footer[damaged] ^= 0x55;
            let _ = postscript.rows(&footer);
        }
        assert!(reading::Postscript::read(&file[..file.len() - 1]).is_err());
    }
    assert!(reading::Postscript::read(&[]).is_err());
    assert!(reading::Postscript::read(&[200]).is_err());
}

#[test]
fn a_file_of_any_size_holds_no_more_than_a_stripe() {
    const STRIPE_BYTES: u64 = 1 << 20;
    let mut encoder = events(OrcCompression::Snappy, STRIPE_BYTES);
    let (mut stored, mut highest) = (0, 0);
    for index in 0..60_000 {
        encoder.push(Row::of_payload(&web_events::event(index))).unwrap();
        stored += size(&encoder.take_finished());
        highest = highest.max(encoder.writer().memory_bytes());
    }
    assert!(stored > 0, "stripes were handed over before the end");
    // A batch on top of a stripe that is almost full, and what vectors have in reserve.
    assert!(highest < 3 * STRIPE_BYTES, "{highest}");
    let last = size(&encoder.finish(&[]).unwrap());
    assert!(last < 2 * STRIPE_BYTES, "{last} of {} were left to the end", stored + last);
}

#[test]
fn the_stored_size_is_told_within_a_tenth() {
    let of_one_stripe = CODECS.map(|compression| (compression, 16 << 20));
    for (compression, stripe_bytes) in of_one_stripe.into_iter().chain([(OrcCompression::Snappy, 2 << 20)]) {
        let mut encoder = events(compression, stripe_bytes);
        for index in 0..60_000 {
            encoder.push(Row::of_payload(&web_events::event(index))).unwrap();
        }
        let told = encoder.stored_bytes() as f64;
        let stored = size(&encoder.finish(&[]).unwrap()) as f64;
        assert!((stored / told - 1.0).abs() < 0.1, "{compression:?}: told {told}, stored {stored}");
    }
}

#[test]
fn what_many_columns_need_beside_their_values_is_told() {
    let columns: Vec<_> = (0..1_000)
        .map(|number| ColumnDeclaration::new(&format!("measurement_number_{number}"), "int64", true))
        .collect();
    let columns = Arc::new(Columns::declared(&columns).unwrap());
    for compression in CODECS {
        let format = OrcFormat::new(compression, Arc::clone(&columns));
        let mut encoder = Box::new(OrcWriter::encoder(format));
        for row in 0..200 {
            let fields: Vec<_> =
                (0..1_000).map(|at| format!("\"measurement_number_{at}\":{}", row * at % 97)).collect();
            encoder.push(Row::of_payload(&format!("{{{}}}", fields.join(",")))).unwrap();
        }
        let told = encoder.stored_bytes() as f64;
        let stored = size(&encoder.finish(&[]).unwrap()) as f64;
        assert!((stored / told - 1.0).abs() < 0.2, "{compression:?}: told {told}, stored {stored}");
    }
}

#[test]
fn pieces_that_were_taken_and_those_of_the_end_are_the_file() {
    let write = |takes: bool| {
        let mut encoder = events(OrcCompression::None, 256 << 10);
        let mut pieces = Vec::new();
        for index in 0..20_000 {
            encoder.push(Row::of_payload(&web_events::event(index))).unwrap();
            if takes {
                pieces.extend(encoder.take_finished());
            }
        }
        let taken = pieces.len();
        pieces.extend(encoder.finish(&[("name".to_owned(), "value".to_owned())]).unwrap());
        (taken, pieces.concat())
    };
    let ((taken, in_pieces), (_, whole)) = (write(true), write(false));
    assert!(taken > 0);
    assert!(in_pieces == whole, "the same records make the same file");
}

#[test]
fn a_batch_of_other_columns_is_refused() {
    let mut writer = OrcWriter::new(OrcFormat::new(OrcCompression::None, columns(&[("a", "int64")])));
    let batch = |name: &str, data_type: DataType| {
        let field = arrow::datatypes::Field::new(name, data_type, true);
        RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::new(vec![field])))
    };
    writer.write(&batch("a", DataType::Int64)).unwrap();
    let error = writer.write(&batch("a", DataType::Int32)).unwrap_err();
    assert!(matches!(error, EncodeError::Orc(OrcError::OtherColumns)), "{error}");
    let mut writer = OrcWriter::new(OrcFormat::new(OrcCompression::None, columns(&[("a", "int64")])));
    let error = writer.write(&batch("a", DataType::LargeUtf8)).unwrap_err();
    assert_eq!(error.to_string(), "orc writer: column a: ORC files do not hold LargeUtf8 here");
}
