use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;

use rdkafka::types::RDKafkaErrorCode;
use url::Url;

use super::*;
use crate::config::Secret;
use crate::config::checked::{KafkaTls, OAuth};

fn cluster() -> KafkaCluster {
    let (tls, sasl, client) = (None, None, BTreeMap::new());
    KafkaCluster {
        name: Some("main".to_owned()),
        brokers: vec!["b1:9092".into(), "b2:9092".into()],
        tls,
        sasl,
        client,
    }
}

fn property(connection: &Connection, name: &str) -> Option<String> {
    connection.client_config().get(name).map(str::to_owned)
}

#[test]
fn a_client_is_named_for_its_purpose_and_begins_with_the_brokers() {
    let connection = Connection::new(cluster(), "fan-out orders/bus");
    assert_eq!(property(&connection, "client.id").as_deref(), Some("forebay.fan-out.orders.bus"));
    assert_eq!(property(&connection, "bootstrap.servers").as_deref(), Some("b1:9092,b2:9092"));
    assert_eq!(property(&connection, "security.protocol").as_deref(), Some("plaintext"));
    Connection::check(&cluster()).unwrap();
}

#[test]
fn tls_and_passwords_become_properties_and_are_not_shown() {
    let mut cluster = cluster();
    cluster.tls = Some(KafkaTls {
        ca: Some("/ca.pem".into()),
        identity: None,
        key_password: None,
        verify_hostname: false,
    });
    let password = Secret::new("hunter2");
    cluster.sasl = Some(KafkaSasl::Password { mechanism: "SCRAM-SHA-512", username: "u".into(), password });
    let connection = Connection::new(cluster, "test");
    for (name, value) in [
        ("security.protocol", "sasl_ssl"),
        ("ssl.ca.location", "/ca.pem"),
        ("ssl.endpoint.identification.algorithm", "none"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "u"),
        ("sasl.password", "hunter2"),
    ] {
        assert_eq!(property(&connection, name).as_deref(), Some(value), "{name}");
    }
    assert!(!format!("{connection:?}").contains("hunter2"));
}

#[test]
fn a_property_that_the_client_does_not_know_is_refused() {
    let mut cluster = cluster();
    cluster.client.insert("linger.mss".to_owned(), "5".to_owned());
    let error = Connection::check(&cluster).unwrap_err();
    assert!(error.contains("linger.mss"), "{error}");
    cluster.client = BTreeMap::from([("linger.ms".to_owned(), "5".to_owned())]);
    Connection::check(&cluster).unwrap();
    // Every mechanism is built in.
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] {
        cluster.client = BTreeMap::from([("sasl.mechanism".to_owned(), mechanism.to_owned())]);
        Connection::check(&cluster).unwrap();
    }
}

#[test]
fn an_error_stays_until_something_works() {
    let connection = Connection::new(cluster(), "test");
    assert_eq!(connection.trouble(), None);
    connection.error(KafkaError::Global(RDKafkaErrorCode::PartitionEOF), "");
    assert_eq!(connection.trouble(), None, "the end of a partition is no error");
    connection.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "2/2 brokers are down");
    let trouble = connection.trouble().unwrap();
    assert_eq!(trouble.class, FaultClass::Transient);
    assert!(trouble.to_string().contains("2/2 brokers are down"), "{trouble}");
    let refused = KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure);
    connection.error(refused, "b1:9092: connection refused");
    connection.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "2/2 brokers are down");
    assert!(connection.trouble().unwrap().to_string().contains("connection refused"));
    connection.is_well();
    assert_eq!(connection.trouble(), None);
}

#[test]
fn a_message_is_said_once_in_a_while() {
    let connection = Connection::new(cluster(), "test");
    assert!(connection.may_say("FAIL"));
    assert!(!connection.may_say("FAIL"));
    assert!(connection.may_say("REQTMOUT"));
}

/// An issuer that answers one request with `status` and `body`; the address, and what it was asked.
fn issuer(status: &'static str, body: &'static str) -> (Url, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/token", listener.local_addr().unwrap())).unwrap();
    let asked = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let (mut request, mut piece) = (Vec::new(), [0; 4096]);
        while !request.ends_with(b"scope=kafka+read") {
            let count = socket.read(&mut piece).unwrap();
            assert!(count > 0, "the request ends with its form: {}", String::from_utf8_lossy(&request));
            request.extend_from_slice(&piece[..count]);
        }
        let length = body.len();
        write!(socket, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
            .unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, asked)
}

fn with_issuer(endpoint: Url) -> Arc<Connection> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let scope = Some("kafka read".to_owned());
    let oauth = OAuth { endpoint, client_id: "forebay".into(), client_secret: Secret::new("s3cret"), scope };
    Connection::new(KafkaCluster { sasl: Some(KafkaSasl::OAuth(oauth)), ..cluster() }, "test")
}

#[test]
fn tokens_come_from_the_issuer() {
    let (endpoint, asked) =
        issuer("200 OK", r#"{"access_token":"t0k","token_type":"Bearer","expires_in":60}"#);
    let before = clock::wall().0 / 1000;
    let token = with_issuer(endpoint).generate_oauth_token(None).unwrap();
    assert_eq!((token.token.as_str(), token.principal_name.as_str()), ("t0k", "forebay"));
    assert!((before + 60_000..=clock::wall().0 / 1000 + 60_000).contains(&token.lifetime_ms));
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("POST /token HTTP/1.1\r\n"), "{asked}");
    // `forebay:s3cret` in base64.
    assert!(asked.contains("Basic Zm9yZWJheTpzM2NyZXQ="), "{asked}");
    assert!(asked.ends_with("grant_type=client_credentials&scope=kafka+read"), "{asked}");
}

#[test]
fn an_issuer_that_refuses_is_told_without_secrets() {
    let (endpoint, asked) = issuer("401 Unauthorized", r#"{"error":"invalid_client","echo":"s3cret"}"#);
    let error = with_issuer(endpoint).generate_oauth_token(None).err().unwrap().to_string();
    asked.join().unwrap();
    assert_eq!(error, "the token endpoint has answered with status 401 Unauthorized");
    let (endpoint, asked) = issuer("200 OK", "no token");
    let error = with_issuer(endpoint).generate_oauth_token(None).err().unwrap().to_string();
    asked.join().unwrap();
    assert_eq!(error, "the token endpoint has not answered with a token");
}
