//! Replies to PutRecords and PutRecordBatch.

mod cbor;

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use super::{Answer, Protocol, Retry, bad_reply};

/// Errors after which another try may help, and of which nothing is there.
const TRY_AGAIN: [&str; 4] = [
    "ProvisionedThroughputExceededException",
    "LimitExceededException",
    "ThrottlingException",
    "ServiceUnavailableException",
];

/// The members of both APIs.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Success<'a> {
    #[serde(alias = "FailedPutCount")]
    failed_record_count: u64,
    #[serde(alias = "RequestResponses", borrow)]
    records: Vec<One<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct One<'a> {
    #[serde(default, borrow)]
    error_code: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(rename = "__type", borrow)]
    kind: Cow<'a, str>,
}

pub(super) fn read(
    protocol: Protocol,
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
    records: u64,
) -> Answer {
    let is_cbor = protocol == Protocol::KinesisCbor;
    if status == 200 {
        let taken = if is_cbor { cbor::success(body) } else { read_success(body) };
        return taken.and_then(|taken| taken.answer(records)).unwrap_or_else(bad_reply);
    }
    let failure = if is_cbor { cbor::failure(body) } else { None };
    // What stands in front of the API answers in JSON, whatever it was sent.
    let in_json = || Some(serde_json::from_slice::<Failure<'_>>(body).ok()?.kind.into_owned());
    let code = match failure.or_else(in_json) {
        // A name may have its namespace in front.
        Some(kind) => kind.rsplit('#').next().unwrap_or_default().to_owned(),
        None => format!("http_{status}"),
    };
    let retry = Some(Retry { after: retry_after });
    match status {
        _ if TRY_AGAIN.contains(&code.as_str()) => Answer::Refused { code, retry },
        500.. => Answer::Unknown { code, retry },
        _ => Answer::Refused { code, retry: None },
    }
}

/// What a success says.
#[derive(Debug, Default)]
struct Taken {
    failed: u64,
    records: u64,
    /// Place in the request, and code.
    refused: Vec<(u64, String)>,
}

impl Taken {
    /// Nothing if it does not add up.
    fn answer(self, records: u64) -> Option<Answer> {
        let adds_up = self.records == records && self.refused.len() as u64 == self.failed;
        adds_up.then_some(Answer::Taken { refused: self.refused, unlisted: 0, durability: None })
    }
}

fn read_success(body: &[u8]) -> Option<Taken> {
    let success: Success<'_> = serde_json::from_slice(body).ok()?;
    let of = |(index, one): (usize, One<'_>)| Some((index as u64, one.error_code?.into_owned()));
    let records = success.records.len() as u64;
    let refused = success.records.into_iter().enumerate().filter_map(of).collect();
    Some(Taken { failed: success.failed_record_count, records, refused })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_names_what_was_refused() {
        let kinesis = br#"{"FailedRecordCount":1,"Records":[{"SequenceNumber":"1"},{"ErrorCode":"E"}]}"#;
        let firehose = br#"{"FailedPutCount":1,"RequestResponses":[{"RecordId":"1"},{"ErrorCode":"E"}]}"#;
        let expected = Answer::Taken { refused: vec![(1, "E".to_owned())], unlisted: 0, durability: None };
        assert_eq!(read(Protocol::Kinesis, 200, None, kinesis, 2), expected);
        assert_eq!(read(Protocol::Firehose, 200, None, firehose, 2), expected);
        for (body, records) in [(&kinesis[..], 3), (b"{}", 2), (b"", 0)] {
            assert_eq!(read(Protocol::Kinesis, 200, None, body, records), bad_reply());
        }
    }

    #[test]
    fn errors_are_told_by_their_type() {
        let of = |status, body: &str| read(Protocol::Kinesis, status, None, body.as_bytes(), 2);
        let retry = Some(Retry { after: None });
        let spent = "{\"__type\":\"com.amazonaws.kinesis#ProvisionedThroughputExceededException\"}";
        let code = "ProvisionedThroughputExceededException".to_owned();
        assert_eq!(of(400, spent), Answer::Refused { code, retry });
        let code = "ResourceNotFoundException".to_owned();
        assert_eq!(
            of(400, "{\"__type\":\"ResourceNotFoundException\"}"),
            Answer::Refused { code, retry: None }
        );
        let code = "InternalFailureException".to_owned();
        assert_eq!(of(500, "{\"__type\":\"InternalFailureException\"}"), Answer::Unknown { code, retry });
    }
}
