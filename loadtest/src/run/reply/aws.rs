//! Replies to PutRecords and PutRecordBatch.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use super::{Answer, Retry, bad_reply};

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

pub(super) fn read(status: u16, retry_after: Option<Duration>, body: &[u8], records: u64) -> Answer {
    if status == 200 {
        return read_success(body, records).unwrap_or_else(bad_reply);
    }
    let code = match serde_json::from_slice::<Failure<'_>>(body) {
        // A name may have its namespace in front.
        Ok(failure) => failure.kind.rsplit('#').next().unwrap_or_default().to_owned(),
        Err(_) => format!("http_{status}"),
    };
    let retry = Some(Retry { after: retry_after });
    match status {
        _ if TRY_AGAIN.contains(&code.as_str()) => Answer::Refused { code, retry },
        500.. => Answer::Unknown { code, retry },
        _ => Answer::Refused { code, retry: None },
    }
}

fn read_success(body: &[u8], records: u64) -> Option<Answer> {
    let success: Success<'_> = serde_json::from_slice(body).ok()?;
    let of = |(index, one): (usize, One<'_>)| Some((index as u64, one.error_code?.into_owned()));
    let count = success.records.len() as u64;
    let refused: Vec<_> = success.records.into_iter().enumerate().filter_map(of).collect();
    let adds_up = count == records && refused.len() as u64 == success.failed_record_count;
    adds_up.then_some(Answer::Taken { refused, unlisted: 0, durability: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_names_what_was_refused() {
        let kinesis = br#"{"FailedRecordCount":1,"Records":[{"SequenceNumber":"1"},{"ErrorCode":"E"}]}"#;
        let firehose = br#"{"FailedPutCount":1,"RequestResponses":[{"RecordId":"1"},{"ErrorCode":"E"}]}"#;
        let expected = Answer::Taken { refused: vec![(1, "E".to_owned())], unlisted: 0, durability: None };
        assert_eq!(read(200, None, kinesis, 2), expected);
        assert_eq!(read(200, None, firehose, 2), expected);
        for (body, records) in [(&kinesis[..], 3), (b"{}", 2), (b"", 0)] {
            assert_eq!(read(200, None, body, records), bad_reply());
        }
    }

    #[test]
    fn errors_are_told_by_their_type() {
        let of = |status, body: &str| read(status, None, body.as_bytes(), 2);
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
