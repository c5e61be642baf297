//! TLS and logins towards a broker: the client library that the binary is built with, and the door of the proxy.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use forebay::testkit::broker::Broker;
use forebay::testkit::faulty_broker::{Api, Door, FaultyBroker, Login};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::topic_reader::TopicReader;

/// Longest wait for what must come.
const WAIT: Duration = Duration::from_secs(20);

/// An authority that signs certificates for 127.0.0.1.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        // Or it and those that it signs would have one name, and these would be taken for signed by themselves.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn pem(&self) -> String {
        self.certificate.pem()
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }

    /// A server for `name`; with `clients`, for those alone whom that authority knows.
    fn server(&self, name: &str, clients: Option<&Authority>) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.certificate.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (certificate, key) = self.sign(name);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}

/// Shows a token, and takes down what the library complains of.
struct Bearer {
    token: &'static str,
    complaints: Mutex<String>,
}

impl ClientContext for Bearer {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, _: RDKafkaLogLevel, _: &str, message: &str) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        complaints.push_str(message);
        complaints.push('\n');
    }

    fn error(&self, _: KafkaError, reason: &str) {
        self.log(RDKafkaLogLevel::Error, "", reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let (token, principal_name) = (self.token.to_owned(), "somebody".to_owned());
        let until = SystemTime::now() + Duration::from_secs(3_600);
        let lifetime_ms = i64::try_from(until.duration_since(UNIX_EPOCH)?.as_millis())?;
        Ok(OAuthToken { token, principal_name, lifetime_ms })
    }
}

impl ProducerContext for Bearer {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &rdkafka::message::DeliveryResult<'_>, (): ()) {}
}

fn producer(proxy: &FaultyBroker, properties: &[(&str, &str)], token: &'static str) -> BaseProducer<Bearer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", proxy.servers()).set("acks", "all");
    for (name, value) in properties {
        config.set(*name, *value);
    }
    config.create_with_context(Bearer { token, complaints: Mutex::default() }).unwrap()
}

/// Produces one text to the topic.
fn enters(proxy: &FaultyBroker, properties: &[(&str, &str)], token: &'static str, topic: &str) {
    let producer = producer(proxy, properties, token);
    producer.send(BaseRecord::<(), str>::to(topic).partition(0).payload("in")).unwrap();
    let flushed = producer.flush(WAIT);
    assert!(flushed.is_ok(), "{}", producer.context().complaints.lock().unwrap());
}

/// A client does not get in, and complains of `why`.
fn stays_out(proxy: &FaultyBroker, properties: &[(&str, &str)], token: &'static str, why: &str) {
    let before = proxy.asked(Api::Metadata);
    let producer = producer(proxy, properties, token);
    let began = Instant::now();
    loop {
        producer.poll(Duration::from_millis(20));
        let complaints = producer.context().complaints.lock().unwrap();
        if complaints.contains(why) {
            break;
        }
        assert!(began.elapsed() < WAIT, "no '{why}' in '{complaints}'");
    }
    assert_eq!(proxy.asked(Api::Metadata), before);
}

#[test]
fn a_client_goes_through_tls_to_a_broker_that_it_can_trust_and_to_no_other() {
    let (Some(broker), Some(reader)) = (Broker::shared(), TopicReader::of_environment()) else { return };
    let topic = broker.topic("tls", 1, &[]).unwrap();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (ours, theirs) = (authority.pem(), stranger.pem());
    let open = |name, clients| {
        let tls = Some(authority.server(name, clients));
        FaultyBroker::with(broker.servers(), Door { tls, login: None }, 0).unwrap()
    };
    let ssl = ("security.protocol", "ssl");
    let (trusting, misled) = (("ssl.ca.pem", ours.as_str()), ("ssl.ca.pem", theirs.as_str()));

    let proxy = open("127.0.0.1", None);
    enters(&proxy, &[ssl, trusting], "", &topic);
    stays_out(&proxy, &[ssl, misled], "", "certificate verify failed");
    stays_out(&proxy, &[], "", "brokers are down");
    // It has a certificate, of an authority that is trusted, of another machine.
    stays_out(&open("127.0.0.2", None), &[ssl, trusting], "", "certificate verify failed");

    let known = open("127.0.0.1", Some(&stranger));
    let (certificate, key) = stranger.sign("client");
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    let identity = [("ssl.certificate.pem", certificate.as_str()), ("ssl.key.pem", key.as_str())];
    enters(&known, &[ssl, trusting, identity[0], identity[1]], "", &topic);
    stays_out(&known, &[ssl, trusting], "", "certificate required");
    assert_eq!(reader.texts(broker.servers(), &topic), ["in", "in"]);
}

#[test]
fn a_client_logs_in_as_the_door_wants_it() {
    let (Some(broker), Some(reader)) = (Broker::shared(), TopicReader::of_environment()) else { return };
    let topic = broker.topic("logins", 1, &[]).unwrap();
    // A comma and an equals sign mean something to SCRAM.
    let (username, password) = ("some,one=else".to_owned(), "p,=ss".to_owned());
    let scram = |bits| Login::Scram { bits, username: username.clone(), password: password.clone() };
    let authority = Authority::new();
    let pem = authority.pem();
    for (mechanism, login) in [
        ("PLAIN", Login::Plain { username: username.clone(), password: password.clone() }),
        ("SCRAM-SHA-256", scram(256)),
        ("SCRAM-SHA-512", scram(512)),
        ("OAUTHBEARER", Login::OAuthBearer { token: "token".to_owned() }),
    ] {
        let tls = Some(authority.server("127.0.0.1", None));
        let proxy = FaultyBroker::with(broker.servers(), Door { tls, login: Some(login) }, 0).unwrap();
        let ssl = [("security.protocol", "sasl_ssl"), ("ssl.ca.pem", pem.as_str())];
        let mut properties = ssl.to_vec();
        properties.extend([("sasl.mechanism", mechanism), ("sasl.username", &username)]);
        properties.push(("sasl.password", &password));
        enters(&proxy, &properties, "token", &topic);
        properties.pop();
        properties.push(("sasl.password", "wrong"));
        stays_out(&proxy, &properties, "wrong", "the testkit does not know this client");
        // Who does not log in at all does not get in either.
        stays_out(&proxy, &[("security.protocol", "ssl"), ssl[1]], "", "brokers are down");
        assert_eq!(proxy.problems(), [""; 0]);
    }
    assert_eq!(reader.texts(broker.servers(), &topic), ["in"; 4]);
}
