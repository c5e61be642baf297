use super::*;
use crate::config::{node_for_tests, pipeline_of_text};

fn config(node: &str, pipelines: &[&str]) -> Config {
    let node = node_for_tests(node);
    let pipeline =
        |text: &&str| pipeline_of_text(text, &node).unwrap_or_else(|problems| panic!("{problems}"));
    let pipelines = pipelines.iter().map(pipeline).collect();
    Config { node, pipelines }
}

const WEB: &str = "[stream]\nname = \"web\"\n[[delivery]]\nname = \"lake\"\n[[delivery]]\nname = \"old\"\n";

fn lines(old: &str, new: &[&str]) -> Result<Vec<String>, Vec<String>> {
    Plan::between(&config("", &[old]), &config("", new)).map(|plan| plan.lines())
}

#[test]
fn nothing_lies_between_a_configuration_and_itself() {
    assert_eq!(lines(WEB, &[WEB]), Ok(vec![]));
}

#[test]
fn each_difference_is_told_in_a_line() {
    let new = "[stream]\nname = \"web\"\nshards = 3\nretention = \"2h\"\n[ingest]\npartition_key = \"/id\"\n\
               [[delivery]]\nname = \"lake\"\nbuffer = { interval = \"7s\" }\ncompression = \"zstd\"\n\
               [[delivery]]\nname = \"fresh\"\n";
    let orders = "[stream]\nname = \"orders\"\n";
    let lines = lines(WEB, &[new, orders]).unwrap();
    assert_eq!(
        lines,
        [
            "stream 'web': 3 shards",
            "stream 'web': retention 2h",
            "stream 'web': [ingest]",
            "stream 'web': delivery 'lake': format, buffer, dead letters",
            "stream 'web': delivery 'fresh': new",
            "stream 'web': delivery 'old': gone",
            "stream 'orders': new",
        ]
    );
}

#[test]
fn a_stream_that_goes_keeps_its_records_unless_they_are_in_memory() {
    let gone = lines(WEB, &[]).unwrap();
    assert_eq!(gone, ["stream 'web': gone; its records stay until their retention is over"]);
    let in_memory = "[stream]\nname = \"web\"\ndurability = \"memory\"\n[[delivery]]\nname = \"lake\"\n";
    assert_eq!(
        lines(in_memory, &[]),
        Err(vec!["stream 'web' goes, whose records are in memory only".to_owned()])
    );
    let without = "[stream]\nname = \"web\"\ndurability = \"memory\"\n";
    assert!(lines(in_memory, &[without]).is_err());
}

#[test]
fn all_that_takes_a_restart_is_named_at_once() {
    let new = "[stream]\nname = \"web\"\ndurability = \"os\"\nquotas = \"kinesis\"\n[[delivery]]\nname = \"lake\"\n\
               [[delivery]]\nname = \"old\"\n";
    let plan = Plan::between(&config("", &[WEB]), &config("memory_budget = \"64MiB\"", &[new]));
    let fixed = plan.unwrap_err();
    assert!(fixed.iter().any(|what| what == "memory_budget has changed"), "{fixed:?}");
    assert!(fixed.iter().any(|what| what == "durability of stream 'web' has changed"), "{fixed:?}");
    assert!(fixed.iter().any(|what| what == "quotas of stream 'web' has changed"), "{fixed:?}");
}

#[test]
fn where_requests_come_from_and_what_rules_say_may_change() {
    let access = format!("{WEB}[access]\nallow_addresses = [\"10.0.0.0/8\"]\n");
    let line = "[access], a [[rule]] or [screening]".to_owned();
    assert_eq!(lines(WEB, &[&access]), Ok(vec![line.clone()]));
    assert_eq!(lines(&access, &[&access]), Ok(vec![]));
    let rules = "[access]\ndeny_addresses = [\"10.0.0.1\"]\n[screening]\ninjection = \"count\"\n";
    let plan = Plan::between(&config("", &[WEB]), &config(rules, &[WEB])).unwrap();
    assert_eq!((plan.lines(), plan.parts), (vec![line], vec![Part::Screen]));
}

#[test]
fn who_may_come_in_may_change() {
    let auth = "[auth]\ningest = [\"api_key\"]\n[[api_key]]\nname = \"a\"\nkey = \"0123456789abcdef\"\nallow = [\"*:*\"]\n";
    let plan = Plan::between(&config("", &[WEB]), &config(auth, &[WEB])).unwrap();
    assert!(plan.steps.is_empty() && plan.parts == [Part::Auth]);
}

#[test]
fn keys_limits_and_what_is_put_on_record_may_change_and_the_rest_of_aws_may_not() {
    let between = |old: &str, new: &str| Plan::between(&config(old, &[WEB]), &config(new, &[WEB]));
    let key = "[[access_key]]\nid = \"AKIDEXAMPLE000000000\"\nsecret = \"0123456789abcdef0123\"\nallow = [\"kinesis:*\"]\n";
    for (text, part) in [
        (key, Part::AccessKeys),
        ("aws.clock_skew = \"1m\"", Part::AccessKeys),
        ("limits.global = { records_per_second = 9 }", Part::Limits),
        ("access_log = { path = \"a.log\" }", Part::AccessLog),
        ("audit_log = { path = \"b.log\" }", Part::AuditLog),
        ("telemetry.otlp = { endpoint = \"http://127.0.0.1:4318\" }", Part::Telemetry),
    ] {
        for (old, new) in [("", text), (text, "")] {
            let plan = between(old, new).unwrap();
            assert_eq!((plan.parts.as_slice(), plan.lines()), (&[part][..], vec![part.line().to_owned()]));
        }
    }
    let fixed = between("", "aws.region = \"eu-west-1\"").unwrap_err();
    assert_eq!(fixed, ["[aws] has changed"]);
}
