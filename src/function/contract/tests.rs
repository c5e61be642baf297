use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn numbers(numbers: &[u64]) -> Vec<SequenceNumber> {
    numbers.iter().copied().map(SequenceNumber).collect()
}

fn id(number: u64) -> String {
    format!("{number:020}")
}

fn said(answer: &Value, of: &[u64]) -> String {
    outcomes(answer.to_string().as_bytes(), &numbers(of)).unwrap_err().to_string()
}

fn origin() -> Origin {
    let arn = "arn:aws:firehose:us-east-1:000000000000:deliverystream/\"a\"".to_owned();
    Origin { arn, region: "us-east-1".to_owned() }
}

fn sent(payloads: &[Vec<u8>]) -> impl Iterator<Item = Sent<'_>> {
    let sent = |(payload, number)| Sent {
        number: SequenceNumber(number),
        arrival: UnixMicros(1_763_000_000_123_456),
        payload,
    };
    payloads.iter().map(Vec::as_slice).zip(7..).map(sent)
}

#[test]
fn a_request_is_the_one_that_lambda_functions_get() {
    let payloads = [b"{}".to_vec(), vec![0xFF]];
    let mut found: Value = serde_json::from_slice(&request(&origin(), sent(&payloads), 0)).unwrap();
    let invocation = found["invocationId"].take();
    let parts: Vec<_> = invocation.as_str().unwrap().split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12]);
    let expected = json!({
        "invocationId": null, "deliveryStreamArn": origin().arn, "region": "us-east-1",
        "records": [
            { "recordId": id(7), "approximateArrivalTimestamp": 1_763_000_000_123_u64, "data": "e30=" },
            { "recordId": id(8), "approximateArrivalTimestamp": 1_763_000_000_123_u64, "data": "/w==" },
        ],
    });
    assert_eq!(found, expected);
}

#[test]
fn outcomes_are_in_the_order_of_the_request_whatever_that_of_the_answer() {
    let answer = json!({ "more": 1, "records": [
        { "recordId": id(9), "result": "Ok", "data": "WQ==", "metadata": { "partitionKeys": {} } },
        { "recordId": id(5), "result": "ProcessingFailed", "data": "not looked at" },
        { "recordId": id(3), "result": "Ok", "data": "WFg=" },
        { "recordId": id(4), "result": "Dropped" },
        { "recordId": id(6), "result": "Ok", "data": "" },
    ]});
    let found = outcomes(answer.to_string().as_bytes(), &numbers(&[3, 4, 5, 6, 9])).unwrap();
    let kept = |outcome: &Outcome| match outcome {
        Outcome::Kept(range) => std::str::from_utf8(&found.data[range.clone()]).unwrap(),
        Outcome::Dropped => "dropped",
        Outcome::Failed => "failed",
    };
    assert_eq!(found.outcomes.iter().map(kept).collect::<Vec<_>>(), ["XX", "dropped", "failed", "", "Y"]);
}

#[test]
fn an_answer_of_a_wrong_shape_says_what_is_wrong_with_it() {
    let record = |number, result: &str| json!({ "recordId": id(number), "result": result, "data": "WA==" });
    for (answer, wanted) in [
        (json!(1), "the answer is not {\"records\":[…]} (invalid type: integer"),
        (json!("x"), "the answer is not {\"records\":[…]} (invalid type: string"),
        (json!({}), "the answer is not {\"records\":[…]} (it has no records)"),
        (json!({ "records": null }), "the answer is not {\"records\":[…]} (it has no records)"),
        (
            json!({ "records": {} }),
            "the answer is not {\"records\":[…]} (invalid type: map, expected an array",
        ),
        (
            json!({ "records": [{ "result": "Ok" }] }),
            "the answer is not {\"records\":[…]} (missing field `recordId`",
        ),
        (json!({ "errorMessage": "boom", "errorType": "E", "records": [] }), "the function has failed: boom"),
        (json!({ "errorMessage": { "a": 1 } }), "the function has failed: {\"a\":1}"),
        (
            json!({ "records": [record(1, "Ok")] }),
            "the answer lacks 1 of 2 records, the first of them \"00000000000000000002\"",
        ),
        (
            json!({ "records": [] }),
            "the answer lacks 2 of 2 records, the first of them \"00000000000000000001\"",
        ),
        (
            json!({ "records": [record(1, "Ok"), record(3, "Ok")] }),
            "the answer has record \"00000000000000000003\", which was not sent",
        ),
        (
            json!({ "records": [{ "recordId": "1", "result": "Ok", "data": "" }] }),
            "the answer has record \"1\", which was not sent",
        ),
        (
            json!({ "records": [record(2, "Ok"), record(2, "Ok")] }),
            "the answer has record \"00000000000000000002\" twice",
        ),
        (
            json!({ "records": [record(1, "ok"), record(2, "Ok")] }),
            "result \"ok\" is none of Ok, Dropped and ProcessingFailed",
        ),
        (
            json!({ "records": [{ "recordId": id(1), "result": "Ok" }, record(2, "Ok")] }),
            "data of record \"00000000000000000001\" is missing or no Base64",
        ),
        (
            json!({ "records": [{ "recordId": id(1), "result": "Ok", "data": "*" }, record(2, "Ok")] }),
            "data of record \"00000000000000000001\" is missing or no Base64 (",
        ),
    ] {
        let message = said(&answer, &[1, 2]);
        assert!(message.starts_with(wanted), "{message}");
    }
    assert!(outcomes(b"", &[]).is_err());
    assert!(outcomes(b"{\"records\":[]} x", &[]).is_err());
    assert_eq!(outcomes(b"{\"records\":[]}", &[]), Ok(Outcomes::default()));
}

#[test]
fn more_records_than_are_ever_sent_are_not_taken_apart() {
    let records = vec![json!({ "recordId": id(1), "result": "Dropped" }); FUNCTION_RECORDS_MAX + 1];
    let message = said(&json!({ "records": records }), &[1]);
    assert!(message.contains("more records than are ever sent"), "{message}");
}

proptest! {
    #[test]
    fn a_function_that_gives_back_what_it_got_changes_nothing(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40),
    ) {
        let payload_bytes = payloads.iter().map(Vec::len).sum();
        let bytes = request_bytes(payloads.len(), payload_bytes);
        let body = request(&origin(), sent(&payloads), bytes);
        prop_assert!(body.len() <= bytes, "{} {bytes}", body.len());
        let mut answer: Value = serde_json::from_slice(&body).unwrap();
        for record in answer["records"].as_array_mut().unwrap() {
            record["result"] = json!("Ok");
        }
        let of: Vec<_> = (7..7 + payloads.len() as u64).map(SequenceNumber).collect();
        let found = outcomes(answer.to_string().as_bytes(), &of).unwrap();
        let kept: Vec<_> = found
            .outcomes
            .iter()
            .map(|outcome| match outcome {
                Outcome::Kept(range) => found.data[range.clone()].to_vec(),
                other => panic!("{other:?}"),
            })
            .collect();
        prop_assert_eq!(kept, payloads);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = outcomes(&bytes, &numbers(&[1, 2]));
    }
}
