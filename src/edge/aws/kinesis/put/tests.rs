use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minicbor::Encoder;
use proptest::prelude::*;

use super::*;
use crate::edge::aws::protocol::failure::FailureKind;
use crate::record::Span;

/// A record as a client has it.
type Sent<'a> = (&'a [u8], &'a str, Option<&'a str>);

fn json(records: &[Sent<'_>]) -> Vec<u8> {
    let record = |&(data, key, hash): &Sent<'_>| {
        let mut record = serde_json::json!({"Data": STANDARD.encode(data), "PartitionKey": key});
        if let Some(hash) = hash {
            record["ExplicitHashKey"] = hash.into();
        }
        record
    };
    let records: Vec<_> = records.iter().map(record).collect();
    serde_json::to_vec(&serde_json::json!({"Records": records, "StreamName": "s", "New": {"a": [1]}}))
        .unwrap()
}

/// As Jackson writes it: maps and lists without a length.
fn cbor(records: &[Sent<'_>]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    encoder.begin_map().unwrap().str("Records").unwrap().begin_array().unwrap();
    for (data, key, hash) in records {
        encoder.begin_map().unwrap().str("Data").unwrap().bytes(data).unwrap();
        encoder.str("PartitionKey").unwrap().str(key).unwrap();
        if let Some(hash) = hash {
            encoder.str("ExplicitHashKey").unwrap().str(hash).unwrap();
        }
        encoder.end().unwrap();
    }
    encoder.end().unwrap().str("New").unwrap().map(0).unwrap();
    encoder.str("StreamName").unwrap().str("s").unwrap().end().unwrap();
    encoder.into_writer()
}

fn bytes(block: &[u8], span: Span) -> Vec<u8> {
    block[span.start()..span.start() + span.len()].to_vec()
}

/// What is laid out of a body: data, key and hash of each record.
fn laid_out(encoding: Encoding, body: &[u8]) -> Vec<(Vec<u8>, Vec<u8>, Option<u128>)> {
    let put = read(encoding, body, Form::Records).unwrap();
    assert_eq!(put.stream.name(), Ok("s"));
    put.check(Form::Records).unwrap();
    let LaidOut { block, records, hashes } = lay_out(&put, body).unwrap();
    assert!(block.as_ref().is_none_or(|block| block.len() as u64 <= put.laid_out_bytes()));
    let block = block.unwrap_or_else(|| body.to_vec());
    let hash = |index: usize| hashes.get(index).copied().flatten().map(|hash| hash.0);
    let record = |(index, &(data, key)): (usize, &(Span, Span))| {
        (bytes(&block, data), bytes(&block, key), hash(index))
    };
    records.iter().enumerate().map(record).collect()
}

fn failure(encoding: Encoding, body: &[u8], form: Form) -> Failure {
    let read = read(encoding, body, form);
    read.and_then(|put| put.check(form).and_then(|()| lay_out(&put, body).map(drop))).unwrap_err()
}

#[test]
fn records_are_found_in_both_encodings() {
    let records: [Sent<'_>; 3] =
        [(b"{\"a\":1}", "k\u{e9}\"1", None), (b"", "2", Some("17")), (b"\0\xff\n", "3", None)];
    let expected: Vec<_> = records
        .iter()
        .map(|(data, key, hash)| {
            (data.to_vec(), key.as_bytes().to_vec(), hash.map(|hash| hash.parse().unwrap()))
        })
        .collect();
    assert_eq!(laid_out(Encoding::Json, &json(&records)), expected);
    assert_eq!(laid_out(Encoding::Cbor, &cbor(&records)), expected);
}

#[test]
fn base64_with_escaped_slashes_is_taken() {
    let body = br#"{"StreamName":"s","Records":[{"PartitionKey":"k","Data":"Pz8\/Pz8\u002f"}]}"#;
    assert_eq!(laid_out(Encoding::Json, body), [(b"??????".to_vec()[..].to_vec(), b"k".to_vec(), None)]);
}

#[test]
fn bytes_of_cbor_in_pieces_are_put_together() {
    let mut encoder = Encoder::new(Vec::new());
    encoder.map(2).unwrap().str("StreamName").unwrap().str("s").unwrap();
    encoder.str("Records").unwrap().array(1).unwrap().map(2).unwrap();
    encoder
        .str("PartitionKey")
        .unwrap()
        .begin_str()
        .unwrap()
        .str("k")
        .unwrap()
        .str("1")
        .unwrap()
        .end()
        .unwrap();
    encoder
        .str("Data")
        .unwrap()
        .begin_bytes()
        .unwrap()
        .bytes(b"ab")
        .unwrap()
        .bytes(b"c")
        .unwrap()
        .end()
        .unwrap();
    let expected = [(b"abc".to_vec(), b"k1".to_vec(), None)];
    assert_eq!(laid_out(Encoding::Cbor, &encoder.into_writer()), expected);
}

#[test]
fn what_breaks_the_model_is_told_in_its_words() {
    let cases = [
        (
            r#"{"StreamName":"s"}"#,
            "1 validation error detected: Value null at 'records' failed to satisfy constraint: Member must not be null",
        ),
        (
            r#"{"StreamName":"s","Records":[]}"#,
            "1 validation error detected: Value '[]' at 'records' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            r#"{"StreamName":"s","Records":[{"Data":"","PartitionKey":"k"},{"PartitionKey":""}]}"#,
            "2 validation errors detected: Value null at 'records.2.member.data' failed to satisfy constraint: Member \
             must not be null; Value '' at 'records.2.member.partitionKey' failed to satisfy constraint: Member must \
             have length greater than or equal to 1",
        ),
        (
            r#"{"StreamName":"s","Records":[{"Data":"","PartitionKey":"k","ExplicitHashKey":"01"}]}"#,
            "1 validation error detected: Value '01' at 'records.1.member.explicitHashKey' failed to satisfy \
             constraint: Member must satisfy regular expression pattern: 0|([1-9]\\d{0,38})",
        ),
    ];
    for (body, message) in cases {
        let failure = failure(Encoding::Json, body.as_bytes(), Form::Records);
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Validation, message));
    }
    let many: Vec<Sent<'_>> = vec![(b"x", "k", None); 501];
    for (encoding, body) in [(Encoding::Json, json(&many)), (Encoding::Cbor, cbor(&many))] {
        let failure = failure(encoding, &body, Form::Records);
        assert!(
            failure.message.ends_with("Member must have length less than or equal to 500"),
            "{failure:?}"
        );
    }
}

#[test]
fn what_is_of_another_shape_or_no_base64_is_a_serialization_exception() {
    let bodies = [
        "",
        "[]",
        "null",
        "{",
        "{} x",
        r#"{"Records":{}}"#,
        r#"{"Records":[1]}"#,
        r#"{"Records":[null]}"#,
        r#"{"StreamName":1}"#,
        r#"{"DryRun":"yes"}"#,
        r#"{"StreamName":"s","Records":[{"Data":1,"PartitionKey":"k"}]}"#,
        r#"{"StreamName":"s","Records":[{"Data":"!!!!","PartitionKey":"k"}]}"#,
        r#"{"StreamName":"s","Records":[{"Data":"QQ","PartitionKey":"k"}]}"#,
        r#"{"StreamName":"s","Records":[{"Data":"","PartitionKey":["k"]}]}"#,
    ];
    for body in bodies {
        assert_eq!(
            failure(Encoding::Json, body.as_bytes(), Form::Records).kind,
            FailureKind::Serialization,
            "{body}"
        );
    }
    for body in
        [&b""[..], &[0x80], &[0xf6], &[0xa1, 0x67], b"\xa1\x67Records\x9b\x7f\xff\xff\xff\xff\xff\xff\xff"]
    {
        assert_eq!(failure(Encoding::Cbor, body, Form::Records).kind, FailureKind::Serialization, "{body:?}");
    }
}

#[test]
fn a_hash_beyond_the_space_and_records_of_more_than_the_bound_are_refused() {
    let beyond = "340282366920938463463374607431768211456";
    let failed = failure(Encoding::Json, &json(&[(b"x", "k", Some(beyond))]), Form::Records);
    assert!(failed.message.starts_with("Invalid ExplicitHashKey."), "{failed:?}");
    let large = vec![b'x'; 6 << 20];
    for body in
        [json(&[(&large, "k", None), (&large, "k", None)]), cbor(&[(&large, "k", None), (&large, "k", None)])]
    {
        let encoding = if body[0] == b'{' { Encoding::Json } else { Encoding::Cbor };
        assert_eq!(failure(encoding, &body, Form::Records).kind, FailureKind::InvalidArgument);
    }
}

#[test]
fn one_record_is_found_among_the_members_of_its_request() {
    let body = br#"{"Data":"e30=","SequenceNumberForOrdering":"17","PartitionKey":"k","StreamARN":"arn:aws:kinesis:eu-west-1:123456789012:stream/s"}"#;
    let put = read(Encoding::Json, body, Form::Record).unwrap();
    put.check(Form::Record).unwrap();
    assert_eq!((put.stream.name(), put.entries.len()), (Ok("s"), 1));
    let bad = failure(Encoding::Json, br#"{"StreamName":"s","SequenceNumberForOrdering":"x"}"#, Form::Record);
    assert!(bad.message.starts_with("3 validation errors detected: "), "{bad:?}");
}

proptest! {
    #[test]
    fn any_records_come_out_as_they_went_in(
        sent in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..50), ".{1,20}", prop::option::of(any::<u128>())), 1..20),
    ) {
        let texts: Vec<_> = sent.iter().map(|(.., hash)| hash.map(|hash| hash.to_string())).collect();
        let records: Vec<Sent<'_>> =
            sent.iter().zip(&texts).map(|((data, key, _), hash)| (&data[..], &key[..], hash.as_deref())).collect();
        let expected: Vec<_> =
            sent.iter().map(|(data, key, hash)| (data.clone(), key.clone().into_bytes(), *hash)).collect();
        prop_assert_eq!(laid_out(Encoding::Json, &json(&records)), expected.clone());
        prop_assert_eq!(laid_out(Encoding::Cbor, &cbor(&records)), expected);
    }

    #[test]
    fn no_body_brings_the_readers_down(
        body in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            for form in [Form::Record, Form::Records] {
                let _ = read(encoding, &body, form).map(|put| put.check(form));
            }
        }
        let records: [Sent<'_>; 2] = [(b"{}", "a", None), (b"[1]", "b", Some("3"))];
        for (encoding, mut body) in [(Encoding::Json, json(&records)), (Encoding::Cbor, cbor(&records))] {
            let index = at.index(body.len());
            body[index] = byte;
            if let Ok(put) = read(encoding, &body, Form::Records) {
                let _ = put.check(Form::Records).and_then(|()| lay_out(&put, &body));
            }
        }
    }
}
