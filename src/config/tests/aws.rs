use std::time::Duration;

use super::node_complaints_by_line as complaints;
use super::*;
use crate::config::checked::SignatureRule;
use crate::config::limits;

/// A key without problems, in four lines.
const KEY: &str = "[[access_key]]\nid = \"a\"\nsecret = \"${SECRET}\"\nallow = [\"kinesis:*\"]\n";

#[test]
fn without_settings_requests_must_be_signed_and_nobody_has_a_key() {
    let aws = node("").aws;
    assert_eq!(
        (aws.access.signature, aws.access.clock_skew),
        (SignatureRule::Required, Duration::from_secs(900))
    );
    assert_eq!((aws.region.as_str(), aws.account.as_str()), ("us-east-1", "000000000000"));
    assert!(aws.access.keys.is_empty());
}

#[test]
fn every_setting_of_access_keys_is_taken_over() {
    let aws = node(
        r#"
        [aws]
        signature = "required"
        clock_skew = "5m"
        region = "eu-central-1"
        account = "123456789012"
        [[access_key]]
        id = "AKIDEXAMPLE"
        secret = "${SECRET}"
        session_token = "token"
        allow = ["kinesis:Put*", "firehose:*"]
        streams = ["click*", "orders"]
        [[access_key]]
        id = "all"
        secret = "s"
        allow = ["*"]
        "#,
    )
    .aws;
    assert_eq!(
        (aws.access.signature, aws.access.clock_skew),
        (SignatureRule::Required, Duration::from_secs(300))
    );
    assert_eq!((aws.region.as_str(), aws.account.as_str()), ("eu-central-1", "123456789012"));
    let [one, all] = aws.access.keys.as_slice() else { panic!("two keys") };
    assert_eq!((one.id.as_str(), one.secret.reveal()), ("AKIDEXAMPLE", "hunter2"));
    assert_eq!(one.session_token.as_ref().map(|token| token.reveal()), Some("token"));
    assert!(one.policy.allows("kinesis:PutRecords", Some("clicks")));
    assert!(one.policy.allows("firehose:PutRecord", Some("orders")));
    assert!(!one.policy.allows("kinesis:GetRecords", Some("clicks")));
    assert!(!one.policy.allows("kinesis:PutRecords", Some("orders2")));
    assert_eq!((all.id.as_str(), all.session_token.is_none()), ("all", true));
    assert!(all.policy.allows("kinesis:DeleteStream", Some("anything")));
    assert!(!format!("{aws:?}").contains("hunter2"), "secrets are hidden");
}

#[test]
fn signatures_are_switched_off_on_loopback_addresses_only() {
    for listen in ["127.0.0.1:0", "127.1.2.3:80", "[::1]:80"] {
        let aws = node(&format!("server.listen = \"{listen}\"\naws.signature = \"off\"")).aws;
        assert_eq!(aws.access.signature, SignatureRule::Off);
    }
    for listen in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80"] {
        assert_eq!(
            complaints(&format!("server.listen = \"{listen}\"\naws.signature = \"off\"\nauth = {{}}")),
            format!(
                "2:17: signature = \"off\" lets everybody who can reach {listen} do everything\n  \
                 help: write signature = \"required\", or listen on a loopback address such as 127.0.0.1:8080"
            )
        );
    }
}

#[test]
fn every_wrong_setting_of_the_aws_table_is_refused() {
    for (text, message) in [
        ("signature = \"on\"", "2:13: signature = \"on\" is not known: write \"required\" or \"off\""),
        ("signature = \"of\"", "2:13: signature = \"of\" is not known: did you mean \"off\"?"),
        ("clock_skew = \"25h\"", "2:14: clock_skew must be at most 1d"),
        ("clock_skew = \"0s\"", "2:14: clock_skew must be at least 1s: requests tell their time in seconds"),
        ("region = \"EU\"", "2:10: region = \"EU\" is no region: write one such as \"us-east-1\""),
        ("region = \"\"", "2:10: region = \"\" is no region: write one such as \"us-east-1\""),
        (
            "account = \"1234-5678-9012\"",
            "2:11: account = \"1234-5678-9012\" is no account: write 12 digits, such as \"000000000000\"",
        ),
    ] {
        assert_eq!(complaints(&format!("[aws]\n{text}")), message, "{text}");
    }
}

#[test]
fn all_problems_of_all_keys_are_found_at_once() {
    let text =
        format!("{KEY}{}", KEY.replace("kinesis:*", "kinesis:PutRecrod")) + "[[access_key]]\nid = \"a b\"\n";
    assert_eq!(
        complaints(&text),
        "6:6: id = \"a\" is also that of access key 1: each needs its own\n\
         8:10: \"kinesis:PutRecrod\" stands for no action: did you mean \"kinesis:PutRecord\"?\n\
         9:1: missing \"allow\"\n  help: write allow = [\"kinesis:*\"], or the actions that the key is for\n\
         9:1: missing \"secret\"\n  help: write secret = \"${NAME}\" and put it into the environment\n\
         10:6: id = \"a b\": an id consists of a-z, A-Z, 0-9, '_' and '-'"
    );
}

#[test]
fn patterns_that_stand_for_no_action_name_what_was_meant() {
    for (pattern, near) in [
        ("kinesis:PutRecrod", "kinesis:PutRecord"),
        ("kinesis:PutRecors*", "kinesis:PutRecord"),
        ("PutRecords", "kinesis:PutRecords"),
        ("UpdateDestination", "firehose:UpdateDestination"),
        ("kinesi:*", "kinesis:*"),
        ("firehose.*", "firehose:*"),
    ] {
        let said = complaints(&KEY.replace("kinesis:*", pattern));
        assert_eq!(said, format!("4:10: {pattern:?} stands for no action: did you mean {near:?}?"));
    }
    let far = complaints(&KEY.replace("kinesis:*", "s3:GetObject"));
    assert_eq!(
        far,
        "4:10: \"s3:GetObject\" stands for no action: write one such as \"kinesis:PutRecord\", \"kinesis:*\" or \"firehose:PutRecord*\""
    );
}

#[test]
fn every_wrong_setting_of_a_key_is_refused_without_showing_a_secret() {
    let secret = |text: &str| KEY.replace("${SECRET}", text);
    let long = "x".repeat(limits::SECRET_BYTES_MAX + 1);
    for (text, message) in [
        (secret(""), "3:10: secret must not be empty"),
        (
            secret("hunter 2"),
            "3:10: secret has white space or other characters that are not printable ASCII in it",
        ),
        (secret(&long), "3:10: secret has 257 bytes: it may have 256"),
        (format!("{KEY}session_token = \"\""), "5:17: session_token must not be empty"),
        (KEY.replace("[\"kinesis:*\"]", "[]"), "4:9: allow must not be empty"),
        (format!("{KEY}streams = []"), "5:11: streams must not be empty"),
        (
            format!("{KEY}streams = [\"a\", \"b c\"]"),
            "5:17: \"b c\" is no name of a stream: it consists of a-z, A-Z, 0-9, '_', '.', '-', and * for any characters",
        ),
        (KEY.replace("\"a\"", "\"\""), "2:6: id = \"\": an id must not be empty"),
        (
            KEY.replace("id", "ident"),
            "1:1: missing \"id\"\n  help: write id = \"AKIDEXAMPLE\" or another name\n2:1: unknown key \"ident\" in [[access_key]]\n  help: the keys here are \"id\", \"secret\", \"session_token\", \"allow\", \"streams\", \"limit\", \"quota\" or \"weight\"",
        ),
        (
            KEY.replace("[[access_key]]", "[access_key]"),
            "1:1: \"access_key\" must be an array of tables, found a table\n  help: write [[access_key]] instead of [access_key]",
        ),
    ] {
        let said = complaints(&text);
        assert_eq!(said, message, "{text}");
        assert!(!said.contains("hunter"), "{said}");
    }
}

#[test]
fn a_node_has_a_bounded_number_of_keys_and_patterns() {
    let keys: String =
        (0..=limits::ACCESS_KEYS_MAX).map(|id| KEY.replace("\"a\"", &format!("\"k{id}\""))).collect();
    assert!(complaints(&keys).ends_with("1001 access keys are too many: there may be 1000"));
    let patterns = vec!["\"a\""; limits::ACCESS_KEY_PATTERNS_MAX + 1].join(", ");
    assert_eq!(
        complaints(&format!("{KEY}streams = [{patterns}]")),
        "5:11: streams has 101 entries: write at most 100, with * for several"
    );
}

#[test]
fn quotas_of_streams_that_clients_make_are_patterns_of_names() {
    assert!(node("").aws.quotas.is_empty());
    let quotas = node("aws.quotas = [\"rehearse-*\", \"orders\"]").aws.quotas;
    let has = |name: &str| quotas.iter().any(|pattern| pattern.matches(name));
    assert!(has("rehearse-1") && has("orders") && !has("orders2"));
    for wrong in ["aws.quotas = []", "aws.quotas = [\"a b\"]", "aws.quotas = [\"\"]"] {
        assert!(
            complaints(wrong).contains("quotas") || complaints(wrong).contains("is no name of a stream"),
            "{wrong}"
        );
    }
}
