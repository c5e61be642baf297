//! Those whom `[auth]` may name besides API keys.

use super::{node_complaints_by_line as complaints, node_from, printed};
use crate::config::checked::{Auth, CertificateName, Demand, TimestampAt};
use crate::edge::identity::policy::Action;
use crate::edge::identity::principal::IdentityKind;

fn auth(text: &str) -> Auth {
    let (node, problems) = node_from(text);
    node.unwrap_or_else(|| panic!("{}", printed(&problems))).auth
}

const NO_GRANT: &str = "help: write one such as \"ingest:web\", \"tap:*\" or \"*:web-*\"";

const CERTIFICATES: &str = "[auth]\ningest = [\"client_certificate\"]\n\
    [[client_certificate]]\nname = \"sensors\"\ncommon_name = \"sensor-*\"\nallow = [\"ingest:s\"]\n";

#[test]
fn certificates_are_known_by_one_of_their_names() {
    let found = auth(CERTIFICATES);
    assert_eq!(*found.demand(Action::Ingest), Demand::AnyOf(vec![IdentityKind::ClientCertificate]));
    let [holder] = found.client_certificates.as_slice() else { panic!("{found:?}") };
    assert!(matches!(&holder.shown, CertificateName::CommonLike(pattern) if pattern.matches("sensor-7")));
    assert!(holder.policy.permits(Action::Ingest, Some("s")) && holder.name == "sensors");
    let found =
        auth(&CERTIFICATES.replace("common_name = \"sensor-*\"", "alternative_name = \"spiffe://a/ä\""));
    assert_eq!(found.client_certificates[0].shown, CertificateName::Alternative("spiffe://a/ä".to_owned()));
}

#[test]
fn every_wrong_certificate_is_refused() {
    let with = |from: &str, to: &str| CERTIFICATES.replace(from, to);
    let one = "write common_name or alternative_name, one of them\n  help: common_name = \"sensor-*\"";
    for (text, message) in [
        (with("common_name = \"sensor-*\"\n", ""), format!("3:1: {one}")),
        (with("allow", "alternative_name = \"a\"\nallow"), format!("3:1: {one}")),
        (
            with("sensor-*", ""),
            "5:15: common_name has 1 to 1024 characters, none of them a control character".into(),
        ),
        (
            with("sensor-*", "a\\u0000"),
            "5:15: common_name has 1 to 1024 characters, none of them a control character".into(),
        ),
        (
            with("name = \"sensors\"\n", ""),
            "3:1: missing \"name\"\n  help: write name = \"mobile\" or another name".into(),
        ),
        (
            with("ingest:s\"", "put:s\""),
            format!(
                "6:10: \"put:s\" is no grant: there are the actions ingest, tap, admin, dead_letters, and * for all\n  {NO_GRANT}"
            ),
        ),
    ] {
        assert_eq!(complaints(&text), message, "{text}");
    }
    let twice = format!("{CERTIFICATES}{}", &CERTIFICATES[CERTIFICATES.find("[[").unwrap()..]);
    assert_eq!(
        complaints(&twice),
        "8:8: name = \"sensors\" is also that of client_certificate 1: each needs its own"
    );
    let many: String = (0..=100)
        .map(|n| {
            format!(
                "[[client_certificate]]\nname = \"n{n}\"\ncommon_name = \"{n}*\"\nallow = [\"ingest:s\"]\n"
            )
        })
        .collect();
    let said = complaints(&format!("[auth]\ningest = [\"client_certificate\"]\n{many}"));
    assert!(said.ends_with("there may be 100 names with * in them"), "{said}");
}

const USERS: &str = "[auth]\ningest = [\"basic\"]\n\
    [[basic_user]]\nname = \"partner\"\npassword = \"hunter2\"\nallow = [\"ingest:s\"]\n";

#[test]
fn passwords_are_given_as_they_are_or_as_hashes_and_never_shown() {
    let hash = "$pbkdf2-sha256$i=600000$c2FsdHNhbHRzYWx0$47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
    let hashed = USERS.replace("password = \"hunter2\"", &format!("password_hash = \"{hash}\""));
    for text in [USERS, &hashed] {
        let found = auth(text);
        assert_eq!((found.basic_users.len(), found.basic_users[0].name.as_str()), (1, "partner"));
        let shown = format!("{found:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("47DEQ") && !shown.contains("c2Fsd"),
            "{shown}"
        );
    }
    let with = |to: &str| USERS.replace("password = \"hunter2\"", to);
    let help = "help: forebay hash-password prints it";
    for (text, message) in [
        (with(""), "3:1: missing \"password\"\n  help: write password = \"${NAME}\" and put it into the environment, or password_hash = \"…\"".to_owned()),
        (with("password = \"\""), "5:12: password has 0 bytes: it may have 1 to 1024".to_owned()),
        (
            with("password_hash = \"$argon2id$v=19$m=65536$c2FsdA$aGFzaA\""),
            format!("5:17: a password's hash has the form $pbkdf2-sha256$i=600000$SALT$HASH\n  {help}"),
        ),
        (
            with(&format!("password_hash = \"{}\"", hash.replace("600000", "1000"))),
            format!("5:17: a password's hash has from 100000 to 10000000 iterations\n  {help}"),
        ),
        (
            with(&format!("password = \"a\"\npassword_hash = \"{hash}\"")),
            "6:17: password_hash stands in the place of password: write one of them".to_owned(),
        ),
    ] {
        assert_eq!(complaints(&text), message, "{text}");
    }
}

const WEBHOOK: &str = "[auth]\ningest = [\"hmac\"]\n\
    [[webhook]]\nname = \"slack\"\nsecret = \"slack-secret\"\nheader = \"X-Slack-Signature\"\nprefix = \"v0=\"\n\
    timestamp_header = \"X-Slack-Request-Timestamp\"\nsigned = \"v0:{timestamp}:{body}\"\nallow = [\"ingest:s\"]\n";

#[test]
fn webhooks_are_as_their_form_says_or_as_they_say_themselves() {
    let found = auth(WEBHOOK);
    let [slack] = found.webhooks.as_slice() else { panic!("{found:?}") };
    assert_eq!((slack.header.as_str(), slack.prefix.as_str()), ("x-slack-signature", "v0="));
    let time = slack.time.as_ref().unwrap();
    assert_eq!((time.before.as_str(), time.behind.as_str(), time.tolerance.as_secs()), ("v0:", ":", 300));
    assert!(!format!("{found:?}").contains("slack-secret"));
    let form = |form: &str| {
        let text = format!(
            "[auth]\ningest = [\"hmac\"]\n[[webhook]]\nname = \"a\"\nform = \"{form}\"\nsecrets = [\"12345678\", \"abcdefgh\"]\nallow = [\"ingest:s\"]\n"
        );
        auth(&text).webhooks.remove(0)
    };
    let (github, stripe) = (form("github"), form("stripe"));
    assert_eq!((github.header.as_str(), github.prefix.as_str()), ("x-hub-signature-256", "sha256="));
    assert!(github.time.is_none() && github.secrets.len() == 2);
    assert_eq!(stripe.header.as_str(), "stripe-signature");
    assert!(stripe.time.is_some_and(|time| time.at == TimestampAt::Signature));
}

#[test]
fn every_wrong_webhook_is_refused() {
    let with = |from: &str, to: &str| WEBHOOK.replace(from, to);
    for (text, message) in [
        (
            with("ingest = [\"hmac\"]", "tap = [\"hmac\"]"),
            "2:8: \"hmac\" is a signature of a body: it proves who puts records, and no more",
        ),
        (
            with("secret = \"slack-secret\"\n", ""),
            "3:1: missing \"secret\"\n  help: write secret = \"${NAME}\" and put it into the environment",
        ),
        (with("slack-secret", "short"), "5:10: a secret has 8 to 1024 bytes"),
        (with("secret = \"slack-secret\"", "secrets = []"), "5:11: there may be 1 to 4 secrets"),
        (
            with("header = \"X-Slack-Signature\"\n", ""),
            "3:1: missing \"header\"\n  help: write header = \"X-Signature\"",
        ),
        (with("X-Slack-Signature", "X Slack"), "6:10: \"X Slack\" is no name of a header"),
        (
            with("v0:{timestamp}:{body}", "{timestamp}"),
            "9:10: signed is a text with {timestamp} in it that ends with {body}, without other braces",
        ),
        (
            with("v0:{timestamp}:{body}", "{body}{timestamp}{body}"),
            "9:10: signed is a text with {timestamp} in it that ends with {body}, without other braces",
        ),
        (with("allow", "tolerance = \"0s\"\nallow"), "10:13: tolerance must be at least 1s"),
        (with("allow", "tolerance = \"2h\"\nallow"), "10:13: tolerance must be at most 1h"),
        (
            with("timestamp_header = \"X-Slack-Request-Timestamp\"\n", ""),
            "8:10: signed is about the time of a signature: write timestamp_header, too",
        ),
        (
            with("prefix = \"v0=\"", "form = \"github\""),
            "6:10: header is what the form says: leave it out, or write form = \"any\"\n\
             8:20: timestamp_header is what the form says: leave it out, or write form = \"any\"\n\
             9:10: signed is what the form says: leave it out, or write form = \"any\"",
        ),
    ] {
        assert_eq!(complaints(&text), message, "{text}");
    }
}

#[test]
fn access_keys_are_for_our_own_routes_where_they_say_so() {
    let text = "[auth]\ntap = [\"signature_v4\"]\n[[access_key]]\nid = \"AKID\"\nsecret = \"s\"\n\
        allow = [\"kinesis:Get*\", \"tap:web-*\", \"dead_letters:web-*\"]\nstreams = [\"clicks\"]\n";
    let (node, problems) = node_from(text);
    let node = node.unwrap_or_else(|| panic!("{}", printed(&problems)));
    let policy = &node.aws.access.keys[0].policy;
    assert!(
        policy.permits(Action::Tap, Some("web-1")) && policy.allows("kinesis:GetRecords", Some("clicks"))
    );
    assert!(!policy.permits(Action::Tap, Some("clicks")) && !policy.permits(Action::Ingest, Some("web-1")));
    assert!(!policy.allows("kinesis:GetRecords", Some("web-1")));
    assert!(policy.permits(Action::DeadLetters, Some("web-1")));
    assert!(!policy.permits(Action::DeadLetters, Some("clicks")));
    let none = "[auth]\ntap = [\"signature_v4\"]\n";
    assert_eq!(complaints(none), "2:8: there is no [[access_key]], so that this lets nobody in");
    assert_eq!(
        complaints(&text.replace("tap:web-*", "tap:a/b")),
        "6:26: \"tap:a/b\" is no grant: '/' is in no name: a pattern is a name in which * stands for any characters\n  \
         help: write one such as \"ingest:web\", \"tap:*\" or \"*:web-*\""
    );
}

const AUTHORIZER: &str = "[auth]\ntap = [\"http\"]\n[authorizer]\nurl = \"http://user:pass@127.0.0.1:1/a\"\n\
    headers = { X-Token = \"hunter2\" }\nidentity = [\"header:X-Token\", \"query:t\"]\n";

#[test]
fn the_authorizer_has_bounds_and_hides_its_secrets() {
    let found = auth(AUTHORIZER);
    let shown = format!("{found:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("pass"), "{shown}");
    let authorizer = found.authorizer.unwrap();
    assert_eq!(
        authorizer.identity.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["header:x-token", "query:t"]
    );
    assert_eq!(
        (authorizer.timeout.as_secs(), authorizer.cache_ttl.as_secs(), authorizer.cache_size),
        (2, 60, 10_000)
    );
    let with = |from: &str, to: &str| AUTHORIZER.replace(from, to);
    for (text, message) in [
        (
            "[auth]\ntap = [\"http\"]\n".to_owned(),
            "2:8: there is no [authorizer], so that this lets nobody in",
        ),
        (
            with("http://user", "ftp://user"),
            "4:7: url is no http:// or https:// address\n  help: write url = \"http://HOST:PORT/…\"",
        ),
        (
            with("\"query:t\"", "\"query:\""),
            "6:31: \"query:\" is none: write \"header:NAME\" or \"query:NAME\"",
        ),
        (with("[\"header:X-Token\", \"query:t\"]", "[]"), "6:12: identity has 1 to 8 entries"),
        (with("identity", "timeout = \"31s\"\nidentity"), "6:11: timeout must be at most 30s"),
        (with("identity", "timeout = \"0s\"\nidentity"), "6:11: timeout must be longer than zero"),
        (with("identity", "cache_ttl = \"2h\"\nidentity"), "6:13: cache_ttl must be at most 1h"),
        (with("identity", "cache_size = 0\nidentity"), "6:14: cache_size must be from 1 to 100000, found 0"),
    ] {
        assert_eq!(complaints(&text), message, "{text}");
    }
}
