//! `limit`, `quota` and `weight`, and `[limits]`.

use super::{complaints_below_stream, node_from, pipeline, printed};
use crate::config::checked::{Allowance, Limit, Period, Quota, Rate, Rates};

/// A key with these settings, which begin in line 6.
fn key(settings: &str) -> String {
    format!(
        "[auth]\ningest = [\"api_key\"]\n[[api_key]]\nname = \"a\"\nkey = \"0123456789abcdef\"\n{settings}\nallow = [\"*:*\"]\n"
    )
}

fn allowance(settings: &str) -> Allowance {
    let (node, problems) = node_from(&key(settings));
    node.unwrap_or_else(|| panic!("{}", printed(&problems))).auth.api_keys[0].allowance
}

/// What is wrong with the settings of a key.
fn wrong(text: &str) -> String {
    let (node, problems) = node_from(text);
    assert!(node.is_none(), "{text}");
    printed(&problems)
}

#[test]
fn a_burst_is_a_second_of_its_rate_unless_it_is_given() {
    let text = "limit = { records_per_second = 100, burst = 200, bytes_per_second = \"1MiB\", tap = { requests_per_second = 5 } }";
    let ingest = Rates {
        requests: None,
        records: Some(Rate { a_second: 100, burst: 200 }),
        bytes: Some(Rate { a_second: 1 << 20, burst: 1 << 20 }),
    };
    let tap = Rates { requests: Some(Rate { a_second: 5, burst: 5 }), ..Rates::default() };
    assert_eq!(allowance(text), Allowance { limit: Limit { ingest, tap }, ..Allowance::default() });
    let quota = Quota { records: Some(10_000_000), bytes: None, period: Period::Month };
    let with_quota = allowance("quota = { records = 10_000_000, period = \"month\" }\nweight = 3");
    assert_eq!(with_quota, Allowance { quota: Some(quota), weight: 3, ..Allowance::default() });
    assert_eq!(allowance(""), Allowance::default());
}

#[test]
fn everybody_whom_a_table_names_has_the_same_words() {
    let text = "[auth]\ningest = [\"basic\", \"client_certificate\", \"hmac\", \"jwt\", \"http\"]\n\
        [[basic_user]]\nname = \"u\"\npassword = \"p\"\nallow = [\"*:*\"]\nLIMITS\n\
        [[client_certificate]]\nname = \"c\"\ncommon_name = \"c\"\nallow = [\"*:*\"]\nLIMITS\n\
        [[webhook]]\nname = \"w\"\nform = \"github\"\nsecret = \"12345678\"\nallow = [\"ingest:*\"]\nLIMITS\n\
        [[jwt_issuer]]\nissuer = \"i\"\naudience = [\"a\"]\nsecret = \"0123456789abcdef0123456789abcdef\"\nLIMITS\n\
        [authorizer]\nurl = \"http://127.0.0.1:1/\"\nLIMITS\n";
    let limits = "limit = { records_per_second = 7 }\nquota = { records = 9, period = \"day\" }\nweight = 3";
    let (node, problems) = node_from(&text.replace("LIMITS", limits));
    let auth = node.unwrap_or_else(|| panic!("{}", printed(&problems))).auth;
    let records = Some(Rate { a_second: 7, burst: 7 });
    let wanted = Allowance {
        limit: Limit { ingest: Rates { records, ..Rates::default() }, tap: Rates::default() },
        quota: Some(Quota { records: Some(9), bytes: None, period: Period::Day }),
        weight: 3,
    };
    let named =
        [auth.basic_users[0].allowance, auth.client_certificates[0].allowance, auth.webhooks[0].allowance];
    assert_eq!(named, [wanted; 3]);
    let others = [auth.jwt_issuers[0].allowance, auth.authorizer.as_ref().unwrap().allowance];
    assert_eq!(others, [wanted; 2]);
    let sources: Vec<_> = auth.sources().map(|(kind, name)| (kind.as_str(), name)).collect();
    assert_eq!(sources, [("jwt", "i"), ("http", "authorizer")]);
    let names: Vec<_> = auth.named().map(|(kind, name)| (kind.as_str(), name)).collect();
    assert_eq!(names, [("basic", "u"), ("client_certificate", "c"), ("hmac", "w")]);
    for (table, line) in [("basic_user", 9), ("client_certificate", 16), ("webhook", 24)] {
        let mut parts = text.split("LIMITS").collect::<Vec<_>>();
        let place =
            ["basic_user", "client_certificate", "webhook"].iter().position(|it| *it == table).unwrap();
        let wrong_weight = format!("{limits}\n").replace("weight = 3", "weight = 0");
        let (before, after) = parts.split_at_mut(place + 1);
        let text = format!("{}{wrong_weight}{}", before.join(limits), after.join(limits));
        let said = wrong(&text);
        assert!(said.contains(&format!(":{line}:10: weight must")), "{table}: {said}");
    }
}

#[test]
fn streams_and_everybody_are_limited_by_the_same_words() {
    let records = |a_second| Rates { records: Some(Rate { a_second, burst: a_second }), ..Rates::default() };
    let checked = pipeline("stream = { name = \"s\" }\ningest = { limit = { records_per_second = 7 } }\n");
    assert_eq!(checked.ingest.limit, Limit { ingest: records(7), tap: Rates::default() });
    let text = "[limits]\nglobal = { records_per_second = 1 }\nclient_address = { tap = { records_per_second = 2 } }\n\
                [limits.route]\nkinesis_put_record = { records_per_second = 3 }\n";
    let (node, problems) = node_from(text);
    let limits = node.unwrap_or_else(|| panic!("{}", printed(&problems))).limits;
    assert_eq!(limits.global, Limit { ingest: records(1), tap: Rates::default() });
    assert_eq!(limits.client_address, Limit { ingest: Rates::default(), tap: records(2) });
    let route = Limit { ingest: records(3), tap: Rates::default() };
    assert_eq!(limits.routes, [("kinesis_put_record", route)]);
}

#[test]
fn every_wrong_limit_is_refused_where_it_stands() {
    for (settings, message) in [
        ("limit = {}", "6:9: a limit without a rate limits nothing"),
        (
            "limit = { burst = 5 }",
            "6:19: burst needs the rate at which it comes back: write records_per_second",
        ),
        (
            "limit = { records_per_second = 0 }",
            "6:32: records_per_second must be from 1 to 1099511627776, found 0",
        ),
        (
            "limit = { tap = { burst_bytes = \"1B\" } }",
            "6:33: burst_bytes needs the rate at which it comes back: write bytes_per_second",
        ),
        ("quota = { period = \"day\" }", "6:9: a quota of nothing"),
        ("quota = { records = 1 }", "6:9: missing \"period\""),
        (
            "quota = { records = 1, period = \"week\" }",
            "6:33: period = \"week\" is not known: write \"day\" or \"month\"",
        ),
        ("weight = 0", "6:10: weight must be from 1 to 1000, found 0"),
    ] {
        let found = wrong(&key(settings));
        assert!(found.starts_with(&format!("forebay.toml:{message}")), "{settings}: {found}");
    }
    let found = wrong("[limits]\nroute = { record = { records_per_second = 1 } }\n");
    assert!(
        found.contains("there is no route \"record\"") && found.contains("did you mean \"records\"?"),
        "{found}"
    );
    let found = complaints_below_stream("[ingest]\nlimit = { tap = {} }\n");
    assert!(found.contains("a limit without a rate limits nothing"), "{found}");
}
