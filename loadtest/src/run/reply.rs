//! What a server's reply says about the records of a request.

mod aws;

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use super::workload::Protocol;

/// Longest pause that a server may ask for; more is taken as this much.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// Codes of requests of which records may be there, or come to be: they were appended and have not become durable,
/// nobody knows, or a topic has refused some of them.
const OPEN: [&str; 3] = ["log_failed", "outcome_unknown", "refused_by_log"];

/// What became of a request that was answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The server has all records but those at `refused` (place in the request, code). Of `unlisted` more it only
    /// said that it has them not, without saying which.
    Taken { refused: Vec<(u64, String)>, unlisted: u64, durability: Option<String> },
    /// The server has none of them.
    Refused { code: String, retry: Option<Retry> },
    /// The server failed, and may have them or not.
    Unknown { code: String, retry: Option<Retry> },
}

/// The server asks for another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retry {
    /// Not before.
    pub(super) after: Option<Duration>,
}

#[derive(Deserialize)]
struct Success<'a> {
    accepted: u64,
    #[serde(default)]
    rejected: u64,
    #[serde(default, borrow)]
    errors: Vec<RecordError<'a>>,
    #[serde(default, borrow)]
    durability: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct RecordError<'a> {
    index: u64,
    #[serde(borrow)]
    code: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
}

/// Reads the reply to a request of `records` records.
pub(super) fn read(
    protocol: Protocol,
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
    records: u64,
) -> Answer {
    if protocol.is_aws() {
        return aws::read(protocol, status, retry_after, body, records);
    }
    if (200..300).contains(&status) {
        return read_success(body, records).unwrap_or_else(bad_reply);
    }
    let code = match serde_json::from_slice::<Problem<'_>>(body) {
        Ok(problem) => problem.code.into_owned(),
        Err(_) => format!("http_{status}"),
    };
    let retry = Some(Retry { after: retry_after });
    let is_open = OPEN.contains(&&*code);
    match status {
        503 if is_open => Answer::Unknown { code, retry },
        413 if is_open => Answer::Unknown { code, retry: None },
        429 | 503 | 507 => Answer::Refused { code, retry },
        500.. => Answer::Unknown { code, retry: None },
        _ => Answer::Refused { code, retry: None },
    }
}

fn read_success(body: &[u8], records: u64) -> Option<Answer> {
    let success: Success<'_> = serde_json::from_slice(body).ok()?;
    let unlisted = success.rejected.checked_sub(success.errors.len() as u64)?;
    let adds_up = success.accepted.checked_add(success.rejected) == Some(records);
    let mut refused = Vec::with_capacity(success.errors.len());
    for error in success.errors {
        if error.index >= records {
            return None;
        }
        refused.push((error.index, error.code.into_owned()));
    }
    refused.sort_unstable();
    let has_twice = refused.windows(2).any(|pair| pair[0].0 == pair[1].0);
    let durability = success.durability.map(Cow::into_owned);
    (adds_up && !has_twice).then_some(Answer::Taken { refused, unlisted, durability })
}

/// A success that proves nothing.
fn bad_reply() -> Answer {
    Answer::Unknown { code: "bad_reply".into(), retry: None }
}

/// The value of `Retry-After` in seconds. A date, which HTTP allows too, counts as not given.
pub(super) fn retry_after(value: &str) -> Option<Duration> {
    let seconds = value.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&str>, body: &str) -> Answer {
        let after = retry_after.and_then(super::retry_after);
        read(Protocol::Native, status, after, body.as_bytes(), 10)
    }

    fn unknown(code: &str) -> Answer {
        Answer::Unknown { code: code.into(), retry: None }
    }

    #[test]
    fn a_success_names_what_was_refused() {
        let whole =
            r#"{"accepted":10,"rejected":0,"durability":"memory","shards":[{"shard":"s","count":10}]}"#;
        let durability = Some("memory".to_owned());
        let expected = Answer::Taken { refused: vec![], unlisted: 0, durability };
        assert_eq!(answer(200, None, whole), expected);
        let some = r#"{"accepted":7,"rejected":3,"errors":[{"index":9,"code":"b"},{"index":3,"code":"a"}]}"#;
        let refused = vec![(3, "a".to_owned()), (9, "b".to_owned())];
        assert_eq!(answer(200, None, some), Answer::Taken { refused, unlisted: 1, durability: None });
    }

    #[test]
    fn a_success_that_does_not_add_up_proves_nothing() {
        for body in [
            "",
            "ok",
            r#"{"accepted":9}"#,
            r#"{"accepted":11,"rejected":0}"#,
            r#"{"accepted":10,"rejected":0,"errors":[{"index":1,"code":"a"}]}"#,
            r#"{"accepted":9,"rejected":1,"errors":[{"index":10,"code":"a"}]}"#,
            r#"{"accepted":8,"rejected":2,"errors":[{"index":1,"code":"a"},{"index":1,"code":"a"}]}"#,
        ] {
            assert_eq!(answer(200, None, body), unknown("bad_reply"), "{body}");
        }
    }

    #[test]
    fn errors_are_told_by_status_and_code() {
        let refused = |code: &str, retry| Answer::Refused { code: code.into(), retry };
        let after = |seconds| Some(Retry { after: Some(Duration::from_secs(seconds)) });
        assert_eq!(answer(400, None, r#"{"code":"schema","status":400}"#), refused("schema", None));
        assert_eq!(answer(404, None, "not here"), refused("http_404", None));
        assert_eq!(answer(429, Some("2"), r#"{"code":"throttled"}"#), refused("throttled", after(2)));
        assert_eq!(answer(507, Some("1"), r#"{"code":"disk_full"}"#), refused("disk_full", after(1)));
        assert_eq!(answer(503, Some("99999999"), ""), refused("http_503", after(3_600)));
        assert_eq!(answer(503, Some("soon"), ""), refused("http_503", Some(Retry { after: None })));
        assert_eq!(answer(500, Some("1"), r#"{"code":"internal"}"#), unknown("internal"));
        for code in ["log_failed", "outcome_unknown"] {
            let open = Answer::Unknown { code: code.into(), retry: after(1) };
            assert_eq!(answer(503, Some("1"), &format!("{{\"code\":\"{code}\"}}")), open);
        }
        assert_eq!(answer(413, None, r#"{"code":"refused_by_log"}"#), unknown("refused_by_log"));
    }
}
