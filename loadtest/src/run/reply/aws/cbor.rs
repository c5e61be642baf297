//! Replies to PutRecords in CBOR.

use minicbor::Decoder;
use minicbor::data::Type;

use super::Taken;

/// What a success says; nothing if it is no such reply.
pub(super) fn success(body: &[u8]) -> Option<Taken> {
    let mut taken = Taken::default();
    let (mut has_count, mut has_records) = (false, false);
    let mut decoder = Decoder::new(body);
    members(&mut decoder, |name, decoder| match name {
        "FailedRecordCount" => {
            taken.failed = decoder.u64().ok()?;
            has_count = true;
            Some(())
        }
        "Records" => {
            has_records = true;
            records(decoder, &mut taken)
        }
        _ => decoder.skip().ok(),
    })?;
    (has_count && has_records && decoder.position() == body.len()).then_some(taken)
}

/// The name of an error.
pub(super) fn failure(body: &[u8]) -> Option<String> {
    let mut kind = None;
    members(&mut Decoder::new(body), |name, decoder| match name {
        "__type" => {
            kind = Some(text(decoder)?);
            Some(())
        }
        _ => decoder.skip().ok(),
    })?;
    kind
}

fn records(decoder: &mut Decoder<'_>, taken: &mut Taken) -> Option<()> {
    let mut left = decoder.array().ok()?;
    while has_more(decoder, &mut left)? {
        members(decoder, |name, decoder| match name {
            "ErrorCode" if decoder.datatype().ok()? != Type::Null => {
                taken.refused.push((taken.records, text(decoder)?));
                Some(())
            }
            _ => decoder.skip().ok(),
        })?;
        taken.records += 1;
    }
    Some(())
}

/// Calls `each` for every member of a map, whose value it has to read.
fn members<'a>(
    decoder: &mut Decoder<'a>,
    mut each: impl FnMut(&str, &mut Decoder<'a>) -> Option<()>,
) -> Option<()> {
    let mut left = decoder.map().ok()?;
    while has_more(decoder, &mut left)? {
        let name = text(decoder)?;
        each(&name, decoder)?;
    }
    Some(())
}

/// Whether an array or map goes on: a number of items is left, or there is no break yet.
fn has_more(decoder: &mut Decoder<'_>, left: &mut Option<u64>) -> Option<bool> {
    match left {
        Some(0) => Some(false),
        Some(left) => {
            *left -= 1;
            Some(true)
        }
        None if decoder.datatype().ok()? == Type::Break => {
            decoder.set_position(decoder.position() + 1);
            Some(false)
        }
        None => Some(true),
    }
}

fn text(decoder: &mut Decoder<'_>) -> Option<String> {
    let parts: Result<Vec<_>, _> = decoder.str_iter().ok()?.collect();
    Some(parts.ok()?.concat())
}

#[cfg(test)]
mod tests {
    use minicbor::Encoder;

    use super::super::super::{Answer, Retry, bad_reply};
    use super::super::{Protocol, read};

    /// With lengths in front, or with breaks behind.
    fn reply(codes: &[Option<&str>], failed: u64, has_lengths: bool) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        let open = |encoder: &mut Encoder<Vec<u8>>, length: u64| {
            let _ = if has_lengths { encoder.map(length) } else { encoder.begin_map() };
        };
        open(&mut encoder, 3);
        encoder.str("FailedRecordCount").unwrap().u64(failed).unwrap().str("Records").unwrap();
        let _ = if has_lengths { encoder.array(codes.len() as u64) } else { encoder.begin_array() };
        for code in codes {
            open(&mut encoder, 2);
            encoder.str("SequenceNumber").unwrap().str("1").unwrap().str("ErrorCode").unwrap();
            match code {
                Some(code) => drop(encoder.str(code).unwrap()),
                None => drop(encoder.null().unwrap()),
            }
            let _ = has_lengths || encoder.end().is_err();
        }
        let _ = has_lengths || encoder.end().is_err();
        encoder.str("EncryptionType").unwrap().str("NONE").unwrap();
        let _ = has_lengths || encoder.end().is_err();
        encoder.into_writer()
    }

    fn told(status: u16, body: &[u8], records: u64) -> Answer {
        read(Protocol::KinesisCbor, status, None, body, records)
    }

    #[test]
    fn a_success_names_what_was_refused_however_long_it_says_to_be() {
        for has_lengths in [true, false] {
            let body = reply(&[None, Some("E"), None], 1, has_lengths);
            let expected =
                Answer::Taken { refused: vec![(1, "E".to_owned())], unlisted: 0, durability: None };
            assert_eq!(told(200, &body, 3), expected);
            // Another number of records, another number of refusals, bytes behind it, and an end too early.
            assert_eq!(told(200, &body, 2), bad_reply());
            assert_eq!(told(200, &reply(&[None, Some("E"), None], 0, has_lengths), 3), bad_reply());
            assert_eq!(told(200, &[&body[..], &[0]].concat(), 3), bad_reply());
            for end in 0..body.len() {
                assert_eq!(told(200, &body[..end], 3), bad_reply(), "{end}");
            }
        }
        assert_eq!(told(200, b"{}", 0), bad_reply());
    }

    #[test]
    fn errors_are_told_by_their_type() {
        let mut encoder = Encoder::new(Vec::new());
        encoder.map(2).unwrap().str("message").unwrap().str("slower").unwrap().str("__type").unwrap();
        encoder.str("ProvisionedThroughputExceededException").unwrap();
        let code = "ProvisionedThroughputExceededException".to_owned();
        let retry = Some(Retry { after: None });
        assert_eq!(told(400, &encoder.into_writer(), 1), Answer::Refused { code, retry });
        let code = "AccessDeniedException".to_owned();
        let refused = Answer::Refused { code, retry: None };
        assert_eq!(told(400, b"{\"__type\":\"AccessDeniedException\"}", 1), refused);
        let code = "http_404".to_owned();
        assert_eq!(told(404, b"\xff", 1), Answer::Refused { code, retry: None });
    }
}
