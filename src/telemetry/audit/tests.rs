use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::config::checked::LogFile;
use crate::config::limits::{AUDIT_INTERVAL, AUDIT_KINDS_MAX};

const REFUSED: Refused<'_> = Refused {
    status: 401,
    reason: "unauthenticated",
    detail: None,
    identity: "api_key",
    claims: None,
    action: "records",
    stream: Some("s"),
};

fn from<'a>(client: &str, who: Option<&'a Who>) -> Origin<'a> {
    Origin { request_id: "r", trace: None, client: Some(client.parse().unwrap()), who }
}

/// The lines that `play` has written.
fn lines(play: impl FnOnce(&Audit)) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let day = Duration::from_secs(86_400);
    let file =
        LogFile { path: path.clone(), bytes_max: 1 << 30, age_max: day, kept: 1, is_compressed: false };
    let (audit, writer) = Audit::open(&LogTo::File(file), &Registry::new().unwrap()).unwrap();
    play(&audit);
    audit.end();
    writer.end();
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_hundred_thousand_wrong_keys_are_two_lines() {
    let found = lines(|audit| {
        for key in 0..100_000 {
            let claims = format!("key-{key}");
            let stream = format!("stream-{key}");
            let refused = Refused { claims: Some(&claims), stream: Some(&stream), ..REFUSED };
            audit.refused(&refused, &from("192.0.2.1", None));
        }
    });
    assert_eq!(found.len(), 2);
    assert_eq!((&found[0]["event"], &found[0]["claims"]), (&"refused".into(), &"key-0".into()));
    assert_eq!((&found[0]["client"], &found[0]["status"]), (&"192.0.2.1".into(), &401.into()));
    assert_eq!((&found[1]["event"], &found[1]["times"]), (&"refused_again".into(), &99_999.into()));
    assert_eq!(found[1]["client"], "192.0.2.1");
}

#[test]
fn refusals_from_everywhere_are_bounded_and_all_counted() {
    let found = lines(|audit| {
        for client in 0..10_000_u32 {
            let client = std::net::Ipv4Addr::from_bits(client).to_string();
            audit.refused(&REFUSED, &from(&client, None));
            audit.refused(&REFUSED, &from(&client, None));
        }
    });
    assert_eq!(found.len(), 2 * AUDIT_KINDS_MAX + 1);
    let told = found.iter().filter(|line| line["event"] == "refused").count() as u64;
    let counted: u64 = found.iter().filter_map(|line| line["times"].as_u64()).sum();
    assert_eq!(told + counted, 20_000);
    assert!(found.iter().any(|line| line["client"].is_null() && line["times"].as_u64() > Some(19_000)));
}

#[test]
fn addresses_that_one_client_can_choose_from_count_as_one() {
    let found = lines(|audit| {
        for client in 0..1_000 {
            audit.refused(&REFUSED, &from(&format!("2001:db8:0:1::{client:x}"), None));
        }
        audit.refused(&REFUSED, &from("2001:db8:0:2::1", None));
    });
    let clients: Vec<_> = found.iter().map(|line| line["client"].as_str().unwrap()).collect();
    assert_eq!(clients, ["2001:db8:0:1::", "2001:db8:0:2::1", "2001:db8:0:1::"]);
    assert_eq!(found[2]["times"], 999);
}

#[test]
fn an_interval_ends_and_the_next_refusal_of_a_kind_is_told_again() {
    let mut fold = Fold::default();
    let kind = || Kind::of(&REFUSED, &from("192.0.2.1", None));
    let second = 1_000_000;
    assert!(fold.note(kind(), UnixMicros(0)));
    assert!(!fold.note(kind(), UnixMicros(30 * second)));
    assert!(fold.turn(UnixMicros(59 * second)).is_empty());
    let again = fold.turn(UnixMicros(AUDIT_INTERVAL.as_micros() as i64));
    assert_eq!(again.len(), 1);
    let again = serde_json::to_value(&again[0]).unwrap();
    assert_eq!((&again["times"], &again["since"]), (&1.into(), &"1970-01-01T00:00:00.000000Z".into()));
    assert_eq!(again["time"], "1970-01-01T00:00:30.000000Z");
    assert!(fold.note(kind(), UnixMicros(61 * second)), "it is told again");
    // A clock that is set back by a day does not keep lines back for a day.
    assert!(!fold.note(kind(), UnixMicros(-86_400 * second)));
    assert_eq!(fold.turn(UnixMicros(-86_400 * second)).len(), 1);
}

#[test]
fn every_change_is_told_with_who_what_from_where_and_what_became_of_it() {
    let who = Who { name: Arc::from("ops"), identity: "api_key" };
    let found = lines(|audit| {
        let acted = Acted { action: "cursor.delete", stream: Some("s"), target: Some("c"), refused: None };
        for _ in 0..3 {
            audit.acted(&acted, &from("192.0.2.1", Some(&who)));
        }
        audit.acted(&Acted { refused: Some("cannot_change"), ..acted }, &from("192.0.2.1", Some(&who)));
        let forbidden = Refused { status: 403, reason: "forbidden", ..REFUSED };
        audit.refused(&forbidden, &from("192.0.2.1", Some(&who)));
    });
    let facts: Vec<_> = found
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
            ["event", "action", "outcome", "reason", "principal", "identity", "target"].map(text).join(" ")
        })
        .collect();
    let done = "acted cursor.delete done - ops api_key c";
    let refused = "acted cursor.delete refused cannot_change ops api_key c";
    assert_eq!(facts, [done, done, done, refused, "refused records refused forbidden ops api_key -"]);
    assert!(found.iter().all(|line| line["client"] == "192.0.2.1" && line["request_id"] == "r"));
}
