//! What a function is sent, and what it answers: the contract of Firehose's data transformation
//! (<https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-status-model.html>).
//!
//! ```json
//! { "invocationId": …, "deliveryStreamArn": …, "region": …,
//!   "records": [{ "recordId": …, "approximateArrivalTimestamp": 1763000000000, "data": "e30=" }] }
//! { "records": [{ "recordId": …, "result": "Ok" | "Dropped" | "ProcessingFailed", "data": "e30=" }] }
//! ```
//!
//! An answer is right if it has each record once, in any order. One that is not is an error of the whole call.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use thiserror::Error;

use crate::config::limits::FUNCTION_RECORDS_MAX;
use crate::edge::aws::protocol::blobs::decode_base64;
use crate::record::SequenceNumber;
use crate::runtime::clock::UnixMicros;

/// Characters of what others have said that messages show.
const SHOWN_MAX: usize = 200;
/// Bytes of a request beside the data of its records, at most: of each record, and of the rest.
const RECORD_BYTES: usize = 100;
const HEAD_BYTES: usize = 512;
/// Digits of the id of a record: its number in its shard.
const ID_DIGITS: usize = 20;

/// What every request tells of where its records come from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// ARN of the delivery stream.
    pub arn: String,
    /// Its region.
    pub region: String,
}

/// A record as it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// Its number in its shard; those of a request rise.
    pub number: SequenceNumber,
    /// When it came in.
    pub arrival: UnixMicros,
    /// Its bytes.
    pub payload: &'a [u8],
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// These bytes of [`Outcomes::data`] take its place.
    Kept(Range<usize>),
    /// Nothing takes its place.
    Dropped,
    /// The function cannot do anything with it.
    Failed,
}

/// What became of the records of a request, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// The bytes of all that were kept.
    pub data: Vec<u8>,
    /// One a record.
    pub outcomes: Vec<Outcome>,
}

/// Why an answer is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// It does not have the form of one.
    #[error("the answer is not {{\"records\":[…]}} ({0})")]
    Form(String),
    /// The function says that it has failed.
    #[error("the function has failed: {0}")]
    Failed(String),
    /// A record that was not sent.
    #[error("the answer has record {0:?}, which was not sent")]
    Unknown(String),
    /// A record that is there already.
    #[error("the answer has record {0:?} twice")]
    Twice(String),
    /// Records that are not there.
    #[error("the answer lacks {missing} of {sent} records, the first of them {first:?}")]
    Missing {
        /// How many.
        missing: usize,
        /// Of how many.
        sent: usize,
        /// The id of one.
        first: String,
    },
    /// A result that there is not.
    #[error("result {0:?} is none of Ok, Dropped and ProcessingFailed")]
    Result(String),
    /// A record that was kept, without what takes its place.
    #[error("data of record {id:?} is missing or no Base64{why}")]
    Data {
        /// Its id.
        id: String,
        /// Where it is wrong.
        why: String,
    },
}

/// Bytes of a request, at most.
pub fn request_bytes(records: usize, payload_bytes: usize) -> usize {
    // Base64 makes four of three bytes, and fills up the last three.
    HEAD_BYTES + records * (RECORD_BYTES + 4) + payload_bytes.div_ceil(3) * 4
}

/// The body of a request.
pub fn request<'a>(origin: &Origin, records: impl Iterator<Item = Sent<'a>>, bytes: usize) -> Vec<u8> {
    let mut text = String::with_capacity(bytes);
    let string = |text: &mut String, name: &str, value: &str| {
        // `Value` writes a string with all its escapes; writing to a String cannot fail.
        let _ = write!(text, "\"{name}\":{}", serde_json::Value::from(value));
    };
    text.push('{');
    string(&mut text, "invocationId", &invocation_id());
    text.push(',');
    string(&mut text, "deliveryStreamArn", &origin.arn);
    text.push(',');
    string(&mut text, "region", &origin.region);
    text.push_str(",\"records\":[");
    for (index, Sent { number, arrival, payload }) in records.enumerate() {
        if index > 0 {
            text.push(',');
        }
        let arrival = arrival.as_millis();
        let _ = write!(
            text,
            "{{\"recordId\":\"{:0ID_DIGITS$}\",\"approximateArrivalTimestamp\":{arrival},\"data\":\"",
            number.0
        );
        STANDARD.encode_string(payload, &mut text);
        text.push_str("\"}");
    }
    text.push_str("]}");
    text.into_bytes()
}

/// Random, in the form of a UUID.
fn invocation_id() -> String {
    let mut digits = format!("{:032x}", fastrand::u128(..));
    for at in [20, 16, 12, 8] {
        digits.insert(at, '-');
    }
    digits
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    records: Option<Records<'a>>,
    #[serde(rename = "errorMessage", default)]
    error_message: Option<serde_json::Value>,
}

/// Not more than may be sent: each takes more memory than its text.
struct Records<'a>(Vec<Answered<'a>>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    #[serde(borrow)]
    record_id: Cow<'a, str>,
    #[serde(borrow)]
    result: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<Text<'a>>,
}

/// Borrowed also where it may be missing.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Records<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = Vec<Answered<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of records")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<Self::Value, A::Error> {
                let mut found = Vec::new();
                while let Some(record) = records.next_element()? {
                    if found.len() >= FUNCTION_RECORDS_MAX {
                        return Err(A::Error::custom("it has more records than are ever sent"));
                    }
                    found.push(record);
                }
                Ok(found)
            }
        }
        deserializer.deserialize_seq(Bounded).map(Self)
    }
}

/// What an answer says of the records of these numbers, which rise.
///
/// # Errors
/// Why it is no answer to them.
pub fn outcomes(answer: &[u8], numbers: &[SequenceNumber]) -> Result<Outcomes, AnswerError> {
    let answer: Answer<'_> =
        serde_json::from_slice(answer).map_err(|error| AnswerError::Form(shown(&error.to_string())))?;
    if let Some(said) = answer.error_message {
        let said = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
        return Err(AnswerError::Failed(shown(&said)));
    }
    let missing = || AnswerError::Form("it has no records".to_owned());
    let Records(records) = answer.records.ok_or_else(missing)?;
    let mut found: Vec<Option<&Answered<'_>>> = vec![None; numbers.len()];
    for (index, record) in records.iter().enumerate() {
        let place = place_of(&record.record_id, index, numbers);
        match place.and_then(|place| found.get_mut(place)) {
            None => return Err(AnswerError::Unknown(shown(&record.record_id))),
            Some(Some(_)) => return Err(AnswerError::Twice(shown(&record.record_id))),
            Some(empty) => *empty = Some(record),
        }
    }
    if let Some(first) = found.iter().position(Option::is_none) {
        let missing = found.iter().filter(|record| record.is_none()).count();
        let first = numbers.get(first).map(|number| format!("{:0ID_DIGITS$}", number.0));
        let first = first.unwrap_or_default();
        return Err(AnswerError::Missing { missing, sent: numbers.len(), first });
    }
    let mut outcomes = Outcomes { data: Vec::new(), outcomes: Vec::with_capacity(numbers.len()) };
    for record in found.into_iter().flatten() {
        let outcome = outcome(record, &mut outcomes.data)?;
        outcomes.outcomes.push(outcome);
    }
    Ok(outcomes)
}

fn outcome(record: &Answered<'_>, data: &mut Vec<u8>) -> Result<Outcome, AnswerError> {
    match &*record.result {
        "Dropped" => Ok(Outcome::Dropped),
        "ProcessingFailed" => Ok(Outcome::Failed),
        "Ok" => {
            let wrong = |why: String| AnswerError::Data { id: shown(&record.record_id), why };
            let text = record.data.as_ref().ok_or_else(|| wrong(String::new()))?;
            let start = data.len();
            decode_base64(&text.0, data).map_err(|error| wrong(format!(" ({error})")))?;
            Ok(Outcome::Kept(start..data.len()))
        }
        other => Err(AnswerError::Result(shown(other))),
    }
}

/// Where the record of an id was in the request; most of the time where it is in the answer.
fn place_of(id: &str, index: usize, numbers: &[SequenceNumber]) -> Option<usize> {
    let digits =
        Some(id).filter(|id| id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_digit()))?;
    let number = SequenceNumber(digits.parse().ok()?);
    if numbers.get(index) == Some(&number) {
        return Some(index);
    }
    numbers.binary_search(&number).ok()
}

/// The beginning of what others have said.
pub fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests;
