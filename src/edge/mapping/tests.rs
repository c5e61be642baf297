use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::config::checked::{
    Durability, Fact, Ingest, OnInvalid, PartitionKeySource, Stream as StreamConfig,
};
use crate::config::limits::FACT_BYTES_MAX;
use crate::edge::Intake;
use crate::edge::decode::{self, Framing, Given, RequestKey};
use crate::edge::identity::attributes::{Attributes, Origin};
use crate::edge::judge::Decoded;
use crate::json::Pointer;
use crate::record::{Content, RecordSpans};
use crate::runtime::budget::Budget;
use crate::stream::{Backing, Stream};
use crate::telemetry::metrics::Registry;
use crate::telemetry::request_id::RequestId;

const ARRIVAL: UnixMicros = UnixMicros(1_700_000_000_123_456);
/// Fields that deliveries want: of the record, of the facts, and all facts.
const WANTED: [&str; 5] = ["/a", "/request/method", "/request", "/request/query/q", "/z/0"];

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

fn add(facts: &[Fact], on_conflict: OnForged) -> Add {
    Add { field: pointer("/request"), facts: facts.to_vec(), on_conflict }
}

/// A stream whose records have the key `key`, and are to have no member `n` that is no integer.
fn intake(add: Add, key: &str, on_invalid: OnInvalid) -> Intake {
    let config = StreamConfig {
        name: "s".into(),
        shards: 1,
        durability: Durability::Memory,
        retention: Duration::from_secs(60),
        retention_bytes: None,
        idempotency_window: Duration::ZERO,
        log: Default::default(),
        quotas: Default::default(),
    };
    let plan = Captures::default().plan().unwrap();
    let stream = Stream::new(&config, Backing::Memory, 0, plan, Registry::new().unwrap().stream("s"));
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let ingest = Ingest {
        partition_key: PartitionKeySource::Pointer(pointer(key)),
        schema: Some(Arc::new(schema)),
        on_invalid,
        content: Content::Json,
        record_bytes_max: 400,
        takes_clicks: true,
        add: Some(add),
        stages: Vec::new(),
        limit: crate::config::checked::Limit::default(),
    };
    let mut captures = Captures::default();
    for field in WANTED {
        captures.slot(&pointer(field));
    }
    Intake::new(Arc::new(stream), ingest, (captures, None), Budget::new(u64::MAX)).unwrap()
}

fn request(target: &str, headers: &[(&str, &[u8])]) -> Parts {
    let mut request = Request::post(target);
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

/// What is found in `body`, and the bytes that the records have in the end.
fn run(intake: &Intake, body: &[u8]) -> (Decoded, Vec<u8>) {
    let head = request("/v1/streams/s/records?q=%22x&q=2", &[]);
    let (principal, attributes) = (Some("me"), None);
    let sender = Sender { head: &head, client: None, principal, attributes, request_id: None, trace: None };
    let mapping = intake.mapping.as_ref().unwrap();
    let added = mapping.render(&sender, ARRIVAL);
    let given = Given { key: RequestKey::FromRecord, added: Some(&added) };
    let mut decoded = decode::decode(intake, Framing::Detect, body, given).unwrap();
    let places = std::mem::take(&mut decoded.places);
    let bytes = decoded.records.iter().zip(&places).map(|(record, place)| {
        added.bytes_of(&body[record.payload.start()..][..record.payload.len()], *place)
    });
    let bytes = bytes.sum();
    let spliced = splice::splice((mapping, &added), &mut decoded, (&places, bytes), body);
    assert_eq!(spliced.len(), bytes);
    (decoded, spliced)
}

fn text<'a>(all: &'a [u8], decoded: &'a Decoded, span: Span) -> Option<&'a str> {
    let (buffer, start) = match span.start().checked_sub(all.len()) {
        Some(start) => (decoded.side.as_slice(), start),
        None => (all, span.start()),
    };
    span.is_present().then(|| str::from_utf8(&buffer[start..start + span.len()]).unwrap())
}

fn payloads(body: &[u8], decoded: &Decoded) -> Vec<Value> {
    let of =
        |record: &RecordSpans| serde_json::from_str(text(body, decoded, record.payload).unwrap()).unwrap();
    decoded.records.iter().map(of).collect()
}

const FACTS: [Fact; 3] = [Fact::Method, Fact::Principal, Fact::ArrivalTime];

fn facts() -> Vec<Fact> {
    [&FACTS[..], &[Fact::Query("q".to_owned())]].concat()
}

fn expected() -> Value {
    json!({"method": "POST", "principal": "me", "arrival_time": "2023-11-14T22:13:20.123456Z", "query": {"q": "\"x"}})
}

#[test]
fn facts_are_what_the_request_says_and_what_it_does_not_say_is_left_out() {
    let all = [
        Fact::ArrivalTime,
        Fact::ClientAddress,
        Fact::ClientNetwork,
        Fact::UserAgent,
        Fact::Method,
        Fact::Principal,
        Fact::RequestId,
        Fact::TraceId,
        Fact::Header("referer".parse().unwrap()),
        Fact::Query("utm source".to_owned()),
    ];
    let intake = intake(add(&all, OnForged::Replace), "/k", OnInvalid::Reject);
    let rendered = |head: &Parts, client: Option<&str>| {
        let (id, trace) = (RequestId::sent(&head.headers), TraceContext::of(&head.headers));
        let sender = Sender {
            head,
            client: client.map(|text| text.parse().unwrap()),
            principal: None,
            attributes: None,
            request_id: id.as_ref().map(RequestId::as_str),
            trace: trace.as_ref(),
        };
        let added = intake.mapping.as_ref().unwrap().render(&sender, ARRIVAL);
        serde_json::from_slice::<Value>(&added.text).unwrap()["request"].clone()
    };
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let long = "ä".repeat(FACT_BYTES_MAX);
    let head = request(
        "/?utm+source=a%20%22b%ff&utm%20source=second&utm=x",
        &[
            ("user-agent", b"x\xff\"\\"),
            ("x-request-id", b"id-1"),
            ("traceparent", parent.as_bytes()),
            ("referer", long.as_bytes()),
        ],
    );
    let expected = json!({
        "arrival_time": "2023-11-14T22:13:20.123456Z",
        "client_address": "2001:db8:1:2::3", "client_network": "2001:db8:1::/48",
        "user_agent": "x\u{fffd}\"\\", "method": "POST", "request_id": "id-1", "trace_id": trace,
        "header": {"referer": "ä".repeat(FACT_BYTES_MAX / 2)}, "query": {"utm source": "a \"b\u{fffd}"},
    });
    assert_eq!(rendered(&head, Some("2001:db8:1:2::3")), expected);
    let head = request(
        "/",
        &[("x-request-id", b"a b"), ("traceparent", b"00-00000000000000000000000000000000-1-01")],
    );
    let expected = json!({
        "arrival_time": "2023-11-14T22:13:20.123456Z", "method": "POST",
        "client_address": "192.0.2.77", "client_network": "192.0.2.0/24",
    });
    assert_eq!(rendered(&head, Some("192.0.2.77")), expected);
    let head = request("/", &[("referer", b"a"), ("referer", b"b")]);
    assert_eq!(rendered(&head, None)["header"], json!({"referer": "a, b"}));
}

#[test]
fn clients_cannot_forge_facts_however_they_spell_the_member() {
    let intake = intake(add(&facts(), OnForged::Replace), "/k", OnInvalid::Reject);
    for forged in [
        r#"{"request":{"principal":"root"},"a":1}"#,
        r#"{"a":1,"\u0072equest":"root"}"#,
        r#"{ "r\u0065\u0071uest" :null , "a":1 }"#,
        r#"{"a":1,"request":[{"request":{}}] }"#,
    ] {
        let (decoded, body) = run(&intake, forged.as_bytes());
        assert_eq!(payloads(&body, &decoded), [json!({"a": 1, "request": expected()})], "{forged}");
        let once = text(&body, &decoded, decoded.records[0].payload).unwrap();
        assert_eq!(once.matches("principal").count(), 1, "{once}");
    }
    // Two of one name are none: readers disagree on which of them counts.
    for twice in [r#"{"request":1,"\u0072equest":2}"#, r#"{"request":1,"request":2,"a":1}"#] {
        let body = format!("{twice}\n{{\"a\":1}}");
        let (decoded, spliced) = run(&intake, body.as_bytes());
        assert_eq!((decoded.rejected, decoded.refused[0].code), (1, "json"), "{twice}");
        assert_eq!(payloads(&spliced, &decoded), [json!({"a": 1, "request": expected()})]);
    }
    // One further down is the client's own.
    let (decoded, body) = run(&intake, br#"{"a":{"request":7}}"#);
    assert_eq!(payloads(&body, &decoded), [json!({"a": {"request": 7}, "request": expected()})]);
}

#[test]
fn a_record_with_the_member_is_kept_or_refused_where_the_stream_says_so() {
    let body = b"{\"request\":{\"method\":\"PUT\"},\"a\":\"x\"}\n{}\n{\"n\":\"no\"}\n";
    let keeps = intake(add(&facts(), OnForged::Keep), "/request/method", OnInvalid::Reject);
    let (decoded, spliced) = run(&keeps, body);
    let own = json!({"request": {"method": "PUT"}, "a": "x"});
    assert_eq!(payloads(&spliced, &decoded), [own, json!({"request": expected()})]);
    let keys: Vec<_> = decoded.records.iter().map(|record| text(&spliced, &decoded, record.key)).collect();
    assert_eq!(keys, [Some("PUT"), Some("POST")]);
    let captured: Vec<_> = decoded.captures.iter().map(|span| text(&spliced, &decoded, *span)).collect();
    assert_eq!(captured[..3], [Some("\"x\""), Some("\"PUT\""), Some("{\"method\":\"PUT\"}")]);

    let rejects = intake(add(&facts(), OnForged::Reject), "/k", OnInvalid::Reject);
    let (decoded, spliced) = run(&rejects, body);
    let refused: Vec<_> = decoded.refused.iter().map(|refused| (refused.index, refused.code)).collect();
    assert_eq!(refused, [(0, "reserved_field"), (2, "schema")]);
    assert_eq!(decoded.refused[0].message, "/request is added by the server, and must not be in the record");
    assert_eq!(payloads(&spliced, &decoded), [json!({"request": expected()})]);

    let to_letters = intake(add(&facts(), OnForged::Reject), "/k", OnInvalid::DeadLetter);
    let (decoded, spliced) = run(&to_letters, body);
    let lines: Vec<_> =
        decoded.records.iter().map(|record| text(&spliced, &decoded, record.payload).unwrap()).collect();
    assert_eq!(lines[0], "{\"request\":{\"method\":\"PUT\"},\"a\":\"x\"}", "dead letters are as they came");
    assert_eq!(lines[2], "{\"n\":\"no\"}");
    let reasons: Vec<_> =
        decoded.records.iter().map(|record| text(&spliced, &decoded, record.refusal)).collect();
    assert!(reasons[0].unwrap().starts_with("reserved_field "), "{reasons:?}");
    assert!(reasons[1].is_none() && reasons[2].unwrap().starts_with("schema "), "{reasons:?}");
}

#[test]
fn the_partition_key_may_be_a_fact_and_never_a_forged_one() {
    let body = br#"[{"request":{"principal":"root","trace_id":"t"}},{"request":1}, {}]"#;
    for (key, expected) in
        [("/request/principal", Some("me")), ("/request/query/q", Some("\"x")), ("/request/trace_id", None)]
    {
        let intake = intake(add(&facts(), OnForged::Replace), key, OnInvalid::Reject);
        let (decoded, spliced) = run(&intake, body);
        for record in &decoded.records {
            assert_eq!(text(&spliced, &decoded, record.key), expected, "{key}");
        }
    }
}

#[test]
fn a_record_that_becomes_too_large_by_its_facts_is_refused() {
    let intake = intake(add(&facts(), OnForged::Replace), "/k", OnInvalid::Reject);
    let grown = serde_json::to_vec(&json!({"request": expected()})).unwrap().len() + 1;
    for (spare, accepted) in [(0, 1), (1, 0)] {
        let filler = "x".repeat(400 - grown - "\"a\":\"\"".len() + spare);
        let (decoded, spliced) = run(&intake, format!("{{\"a\":\"{filler}\"}}").as_bytes());
        assert_eq!((decoded.records.len(), decoded.rejected), (accepted, 1 - accepted), "{spare}");
        assert_eq!(spliced.len(), accepted * 400);
        if accepted == 0 {
            assert_eq!(
                decoded.refused[0].message,
                "401 bytes with what is added to it, at most 400 are taken"
            );
        }
    }
    // One that is smaller with the facts than with what its client has made up is taken.
    let forged = format!("{{\"request\":\"{}\"}}", "x".repeat(380));
    assert_eq!(run(&intake, forged.as_bytes()).0.records.len(), 1);
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[ -~ä\n\"\\\\{}]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object(inner).prop_map(Value::Object)
        ]
    })
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    // The schema has another opinion of `n`.
    let other = "[ -~ä\"\\\\]{0,4}".prop_filter("it is in the schema", |name| name != "n");
    let name = prop_oneof!["[ak]", "z", "request", other];
    prop::collection::btree_map(name, value, 0..5).prop_map(|members| members.into_iter().collect())
}

proptest! {
    /// Whatever is in a record, it is the same afterwards but for the member, and what is captured of it, its key and its
    /// verdict are what another scan of the result finds.
    #[test]
    fn a_record_is_the_same_but_for_the_member(
        objects in prop::collection::vec(object(value()), 1..5),
        (is_pretty, is_array, is_escaped) in any::<(bool, bool, bool)>(),
        on_conflict in prop::sample::select(vec![OnForged::Replace, OnForged::Keep]),
        key in prop::sample::select(vec!["/k", "/request/method"]),
    ) {
        let mut intake = intake(add(&facts(), on_conflict), key, OnInvalid::Reject);
        intake.ingest.record_bytes_max = u64::MAX;
        let line = |object: &Map<String, Value>| {
            let text = if is_pretty && is_array { serde_json::to_string_pretty(object) } else { serde_json::to_string(object) };
            let text = text.unwrap();
            if is_escaped { text.replace("\"request\"", "\"re\\u0071uest\"") } else { text }
        };
        let lines: Vec<_> = objects.iter().map(line).collect();
        let body = if is_array { format!("[{}]", lines.join(" , ")) } else { lines.join("\n") };
        let (decoded, spliced) = run(&intake, body.as_bytes());
        let long_keys = objects.len() - decoded.records.len();
        prop_assert_eq!(long_keys, 0);
        for (object, found) in objects.iter().zip(payloads(&spliced, &decoded)) {
            let mut wanted = object.clone();
            if !(on_conflict == OnForged::Keep && wanted.contains_key("request")) {
                wanted.insert("request".to_owned(), expected());
            }
            prop_assert_eq!(found, Value::Object(wanted));
        }
        let mut again = Vec::new();
        intake.captures.plan().unwrap().capture(&spliced, &decoded.records, &mut again);
        prop_assert_eq!(&decoded.captures, &again);
        // The same records without anything to add have the same keys.
        let mut plain = intake.ingest.clone();
        plain.add = None;
        let plain = Intake::new(Arc::clone(&intake.stream), plain, (intake.captures.clone(), None), Arc::clone(&intake.budget)).unwrap();
        let lines: Vec<_> = decoded.records.iter().map(|record| text(&spliced, &decoded, record.payload).unwrap()).collect();
        let lines = format!("[{}]", lines.join(","));
        let twice = decode::decode(&plain, Framing::Json, lines.as_bytes(), RequestKey::FromRecord).unwrap();
        for (record, again) in decoded.records.iter().zip(&twice.records) {
            prop_assert_eq!(text(&spliced, &decoded, record.key), text(lines.as_bytes(), &twice, again.key));
        }
    }
}

#[test]
fn claims_and_context_are_facts_of_whoever_has_said_them_and_of_nobody_else() {
    let wanted = ["tenant", "level", "is_admin", "roles", "forged"];
    let facts: Vec<Fact> = wanted
        .iter()
        .flat_map(|name| [Fact::Claim((*name).to_owned()), Fact::Context((*name).to_owned())])
        .collect();
    let intake = intake(add(&facts, OnForged::Replace), "/a", OnInvalid::Reject);
    let head =
        request("/?claim=x&claim:forged=x&forged=x", &[("claim:forged".replace(':', "-").as_str(), b"x")]);
    let said = json!({ "tenant": "a\"ä", "level": 7, "is_admin": false, "roles": ["x"], "other": 1 });
    let rendered = |attributes: Option<&Arc<Attributes>>| {
        let sender =
            Sender { head: &head, client: None, principal: None, attributes, request_id: None, trace: None };
        let added = intake.mapping.as_ref().unwrap().render(&sender, ARRIVAL);
        serde_json::from_slice::<Value>(&added.text).unwrap()["request"].clone()
    };
    for (origin, name) in [(Origin::Claims, "claim"), (Origin::Context, "context")] {
        let attributes = Attributes::of(origin, said.as_object().unwrap());
        let found = rendered(attributes.as_ref());
        assert_eq!(found, json!({ name: { "tenant": "a\"ä", "level": 7, "is_admin": false } }));
    }
    assert_eq!(rendered(None), json!({}));
    let others = json!({ "other": 1 });
    assert_eq!(rendered(Attributes::of(Origin::Claims, others.as_object().unwrap()).as_ref()), json!({}));
}
