//! `[[kafka]]`.

use super::{node_complaints as complaints, node_from, printed};
use crate::config::checked::KafkaSasl;

#[test]
fn clusters_have_a_name_brokers_and_what_lets_us_in() {
    let text = "[[kafka]]\nname = \"main\"\nbrokers = [\"b1:9092\", \"[::1]:9092\"]\n\
                sasl = { mechanism = \"SCRAM-SHA-512\", username = \"u\", password = \"p\" }\ntls = {}\n\
                client = { \"linger.ms\" = \"5\", \"debug\" = \"broker\" }\n\
                [[kafka]]\nname = \"tokens\"\nbrokers = [\"b:1\"]\n\
                sasl = { mechanism = \"OAUTHBEARER\", token_endpoint = \"https://i/t\", client_id = \"c\", client_secret = \"hidden-one\" }\n";
    let (node, problems) = node_from(text);
    let clusters = node.unwrap_or_else(|| panic!("{}", printed(&problems))).kafka;
    assert_eq!(clusters[0].label(), "main");
    assert_eq!(clusters[0].brokers, ["b1:9092", "[::1]:9092"]);
    assert!(clusters[0].tls.as_ref().is_some_and(|tls| tls.verify_hostname));
    let client: Vec<_> = clusters[0].client.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(client, ["debug=broker", "linger.ms=5"]);
    assert!(matches!(&clusters[1].sasl, Some(KafkaSasl::OAuth(oauth)) if oauth.client_id == "c"));
    assert!(!format!("{clusters:?}").contains("hidden-one"));
}

#[test]
fn every_wrong_cluster_is_refused() {
    let cluster = |rest: &str| format!("[[kafka]]\nname = \"main\"\nbrokers = [\"b:1\"]\n{rest}\n");
    for (text, message) in [
        (
            "[[kafka]]\nbrokers = [\"b:1\"]\n".to_owned(),
            "1:1: missing \"name\"\n  help: write name = \"main\" or another name",
        ),
        (
            "[[kafka]]\nname = \"main\"\n".to_owned(),
            "1:1: missing \"brokers\"\n  help: write brokers = [\"HOST:9092\"]",
        ),
        (
            "[[kafka]]\nname = \"main\"\nbrokers = []\n".to_owned(),
            "3:11: there must be from 1 to 100 brokers to begin with\n  help: write brokers = [\"HOST:9092\"]",
        ),
        (
            "[[kafka]]\nname = \"main\"\nbrokers = [\"kafka\"]\n".to_owned(),
            "3:11: brokers = \"kafka\" is not HOST:PORT\n  help: write brokers = [\"HOST:9092\"]",
        ),
        (
            cluster("[[kafka]]\nname = \"main\"\nbrokers = [\"b:1\"]"),
            "5:8: name = \"main\" is also that of kafka 1: each needs its own",
        ),
        (
            cluster("sasl = { mechanism = \"GSSAPI\" }"),
            "4:22: mechanism = \"GSSAPI\" is not known: write \"PLAIN\", \"SCRAM-SHA-256\", \"SCRAM-SHA-512\" or \"OAUTHBEARER\"",
        ),
        (
            cluster("sasl = { mechanism = \"PLAIN\", username = \"u\", password = \"p\", scope = \"s\" }"),
            "4:71: scope has no meaning with mechanism = \"PLAIN\"",
        ),
        (
            cluster("sasl = { mechanism = \"PLAIN\", username = \"u\" }"),
            "4:8: missing \"password\"\n  help: write username = \"…\" and password = \"${NAME}\"",
        ),
        (
            cluster("tls = { ca = \"nowhere.pem\" }"),
            "4:14: nowhere.pem cannot be read: No such file or directory (os error 2)",
        ),
        (
            cluster("client = { \"acks\" = \"1\" }"),
            "4:10: \"acks\" is not to be set here\n  help: every replica that is in sync confirms what is sent",
        ),
        (
            cluster("client = { \"group.instance.id\" = \"a\" }"),
            "4:10: \"group.instance.id\" is not to be set here\n  help: the group names its members: the client can die of two that have one name",
        ),
        (
            cluster("client = { \"sasl.password\" = \"p\" }"),
            "4:10: \"sasl.password\" is not to be set here\n  help: write tls and sasl",
        ),
        (
            cluster("client = { \"linger.mss\" = \"1\" }"),
            "1:1: the client does not take these settings: Client config error: No such configuration property: \"linger.mss\" linger.mss 1",
        ),
    ] {
        assert_eq!(complaints(&text), format!("forebay.toml:{message}"), "{text}");
    }
}
