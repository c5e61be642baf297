//! `[cluster]`.

use std::collections::BTreeMap;

use super::{node_from, printed};
use crate::config::checked::Cluster;

fn cluster(text: &str) -> Option<Cluster> {
    let (node, problems) = node_from(text);
    node.unwrap_or_else(|| panic!("{}", printed(&problems))).cluster
}

#[test]
fn a_node_is_alone_unless_there_is_the_table() {
    assert_eq!(cluster(""), None);
    let found = cluster("[cluster]\nledger = \"file:///shared/ledgers\"\n").unwrap();
    let ledger = found.ledger;
    assert_eq!((ledger.url.as_str(), ledger.options), ("file:///shared/ledgers/", BTreeMap::new()));
    assert_eq!((found.is_edge, found.delivers, found.group.as_str()), (true, true, "forebay"));
}

#[test]
fn each_setting_is_taken() {
    let text = "[cluster]\nledger = \"s3://lake/ledgers\"\nendpoint = \"http://127.0.0.1:9000\"\nregion = \"eu-1\"\n\
                access_key_id = \"me\"\nsecret_access_key = \"hunter2\"\nroles = [\"delivery\", \"delivery\"]\ngroup = \"blue\"\n";
    let found = cluster(text).unwrap();
    let ledger = found.ledger;
    assert_eq!(ledger.url.as_str(), "s3://lake/ledgers/");
    let option = |key: &str| ledger.options.get(key).map(String::as_str);
    assert_eq!(option("aws_endpoint"), Some("http://127.0.0.1:9000"));
    assert_eq!((option("aws_region"), option("aws_allow_http")), (Some("eu-1"), Some("true")));
    assert_eq!((option("aws_access_key_id"), option("aws_secret_access_key")), (Some("me"), Some("hunter2")));
    assert_eq!((found.is_edge, found.delivers, found.group.as_str()), (false, true, "blue"));
}

#[test]
fn a_node_that_does_not_deliver_needs_the_store_as_well() {
    let found = cluster("[cluster]\nroles = [\"edge\"]\nledger = \"file:///l/\"\n").unwrap();
    assert_eq!((found.ledger.url.as_str(), found.is_edge, found.delivers), ("file:///l/", true, false));
}

#[test]
fn what_cannot_be_is_told_once() {
    const GOOD: &str = "ledger = \"file:///l/\"";
    for (text, wanted) in [
        ("", "missing \"ledger\""),
        ("roles = [\"delivery\"]", "missing \"ledger\""),
        ("roles = [\"edge\"]", "missing \"ledger\""),
        ("ledger = 5", "ledger"),
        ("ledger = \"ledgers\"", "ledger is no URL"),
        ("ledger = \"\"", "ledger is no URL"),
        ("ledger = \"s3://\"", "the URL has no bucket"),
        ("ledger = \"ftp://host/l/\"", "the URL's scheme is not known"),
        ("ledger = \"http://127.0.0.1:9000/l/\"", "an http URL is the endpoint of a store"),
        ("ledger = \"kafka://b/l\"", "ledgers are not kept in Kafka"),
        ("ledger = \"file:l/\"", "a file URL begins with file:///"),
        ("ledger = \"s3://me:pass@lake/\"", "a URL must not hold credentials"),
        ("ledger = \"s3://lake/?a=b\"", "a URL must not have a query"),
        ("ledger = \"az://l/\"", "needs AZURE_STORAGE_ACCOUNT_NAME"),
        (
            "ledger = \"file:///l/\"\nendpoint = \"http://h\"",
            "endpoint is for s3:// ledgers, not for file://",
        ),
        ("ledger = \"gs://l/\"\npath_style = true", "path_style is for s3:// ledgers, not for gs://"),
        ("ledger = \"s3://l/\"\nendpoint = \"h:9000\"", "endpoint is no http or https URL"),
        ("ledger = \"s3://l/\"\nendpoint = \"http://h\"\nallow_http = false", "allow_http = false"),
        ("ledger = \"s3://l/\"\naccess_key_id = \"me\"", "access_key_id is given without secret_access_key"),
        (
            "ledger = \"s3://l/\"\nsecret_access_key = \"me\"",
            "secret_access_key is given without access_key_id",
        ),
        (&format!("{GOOD}\nroles = []"), "roles names none"),
        (&format!("{GOOD}\nroles = [\"edges\"]"), "\"edges\" is not known"),
        (&format!("{GOOD}\nroles = \"edge\""), "roles"),
        (&format!("{GOOD}\ngroup = \"\""), "a name must not be empty"),
        (&format!("{GOOD}\ngroup = \"a b\""), "a name consists of"),
        (&format!("{GOOD}\nledgers = \"x\""), "ledgers"),
    ] {
        let (node, problems) = node_from(&format!("[cluster]\n{text}\n"));
        let found = printed(&problems);
        assert!(problems.len() == 1 && found.contains(wanted), "{text}: {found}");
        assert!(node.is_none() || text.contains("ledgers ="), "{text}: {found}");
        assert!(!found.contains("pass@"), "{found}");
    }
}

#[test]
fn properties_of_a_kafka_client_are_texts() {
    let text = "[[kafka]]\nname = \"main\"\nbrokers = [\"b:9092\"]\n\
                client = { \"linger.ms\" = \"5\", \"log.connection.close\" = \"false\", \"client.rack\" = \"a\" }\n";
    let (node, problems) = node_from(text);
    let client = node.unwrap_or_else(|| panic!("{}", printed(&problems))).kafka.remove(0).client;
    let property = |name: &str| client.get(name).map(String::as_str);
    let found = ["linger.ms", "log.connection.close", "client.rack"].map(property);
    assert_eq!(found, [Some("5"), Some("false"), Some("a")]);
}

fn refused(node: &str, pipeline: &str) -> String {
    let (node, problems) = node_from(node);
    let node = node.unwrap_or_else(|| panic!("{}", printed(&problems)));
    match crate::config::pipeline_of_text(pipeline, &node) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn a_node_serves_only_what_its_roles_can() {
    let local = "[stream]\nname = \"s\"\n";
    let delivered = "[stream]\nname = \"s\"\n[[delivery]]\nname = \"lake\"\n";
    let shared = "[stream]\nname = \"s\"\nlog = { kafka = \"b:9092\", topic = \"t\" }\n[[delivery]]\nname = \"lake\"\n";
    let fanned = "[stream]\nname = \"s\"\nlog = { kafka = \"b:9092\", topic = \"t\" }\n[[delivery]]\nname = \"bus\"\n\
                  sink = { kafka = \"b:9092\", topic = \"u\" }\n";
    let edge = "[cluster]\nroles = [\"edge\"]\nledger = \"file:///ledgers/\"\n";
    let delivery = "[cluster]\nroles = [\"delivery\"]\nledger = \"file:///ledgers/\"\n";
    for (node, pipeline, said) in [
        (edge, local, ""),
        (edge, shared, ""),
        (delivery, shared, ""),
        ("", fanned, ""),
        (delivery, fanned, ""),
        (edge, fanned, ""),
        (edge, delivered, "nobody delivers it"),
        (delivery, local, "takes no records"),
    ] {
        let refused = refused(node, pipeline);
        assert_eq!(refused.is_empty(), said.is_empty(), "{refused}");
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn nodes_that_share_deliveries_learn_no_columns() {
    let node = "[cluster]\nledger = \"file:///ledgers/\"\n";
    let learned = "[stream]\nname = \"s\"\nlog = { kafka = \"b:9092\", topic = \"t\" }\n[ingest]\nschema = \"infer\"\n\
                   [[delivery]]\nname = \"lake\"\nformat = \"parquet\"\n";
    let refused = refused(node, learned);
    assert!(refused.contains("learn columns of its own"), "{refused}");
}
