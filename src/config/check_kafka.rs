//! `[[kafka]]` of `forebay.toml`, and whatever names a cluster: raw → checked.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::check_listener::beside;
use super::checker::Checker;
use super::limits::{KAFKA_BROKERS_MAX, KAFKA_CLUSTERS_MAX};
use super::secret::Secret;
use super::shape::last_key;
use super::suggest::nearest;
use crate::kafka::Connection;

/// One of `[[kafka]]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaTable {
    /// What pipelines call it, in the alphabet of a stream's name. Unique.
    #[schemars(required, example = &"main")]
    pub name: Option<String>,
    /// Brokers that a connection begins with: `HOST:PORT` of each.
    #[schemars(required, extend("examples" = [["kafka-1:9092", "kafka-2:9092"]]))]
    pub brokers: Option<Vec<String>>,
    /// Encryption. Without it everything goes in clear text.
    pub tls: Option<KafkaTlsTable>,
    /// Who we are. Default: nobody asks.
    pub sasl: Option<KafkaSaslTable>,
    /// Further properties of librdkafka, except those that promises rest on.
    #[schemars(extend("examples" = [{ "linger.ms": "5" }]))]
    pub client: Option<BTreeMap<String, String>>,
}

/// `tls` of a cluster.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaTlsTable {
    /// PEM file with the authorities that brokers' certificates are checked against, relative to this file. Default: those
    /// of the system.
    #[schemars(example = &"kafka-ca.pem")]
    pub ca: Option<String>,
    /// PEM file with our certificate, where brokers ask for one.
    #[schemars(example = &"kafka.pem")]
    pub certificate: Option<String>,
    /// PEM file with its private key.
    #[schemars(example = &"kafka.key")]
    pub key: Option<String>,
    /// The password of the key, if it has one.
    #[schemars(example = &"${KAFKA_KEY_PASSWORD}")]
    pub key_password: Option<Secret>,
    /// Whether a broker's certificate must be for the host that was asked for. Default: true.
    #[schemars(example = true)]
    pub verify_hostname: Option<bool>,
}

/// `sasl` of a cluster.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSaslTable {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512` with a name and a password, or `OAUTHBEARER` with tokens of an issuer.
    #[schemars(
        required,
        extend("enum" = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]),
        example = &"SCRAM-SHA-512"
    )]
    pub mechanism: Option<String>,
    /// The name, for `PLAIN` and `SCRAM`.
    #[schemars(example = &"forebay")]
    pub username: Option<String>,
    /// Its password.
    #[schemars(example = &"${KAFKA_PASSWORD}")]
    pub password: Option<Secret>,
    /// Where tokens come from, for `OAUTHBEARER`: the issuer's token endpoint (`client_credentials`).
    #[schemars(example = &"https://login.example.com/oauth2/token")]
    pub token_endpoint: Option<String>,
    /// Id of the client there.
    #[schemars(example = &"forebay")]
    pub client_id: Option<String>,
    /// Its secret.
    #[schemars(example = &"${KAFKA_CLIENT_SECRET}")]
    pub client_secret: Option<Secret>,
    /// What is asked for, in the issuer's words.
    #[schemars(example = &"kafka")]
    pub scope: Option<String>,
}

/// A Kafka cluster, and how to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaCluster {
    /// What the configuration calls it; `None` where a pipeline names brokers itself.
    pub name: Option<String>,
    /// `host:port` of each broker that a connection begins with. Not empty.
    pub brokers: Vec<String>,
    /// Encryption.
    pub tls: Option<KafkaTls>,
    /// Who we are.
    pub sasl: Option<KafkaSasl>,
    /// Further properties of librdkafka.
    pub client: BTreeMap<String, String>,
}

impl KafkaCluster {
    /// How logs and errors call it: its name, or its brokers.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.brokers.join(","))
    }
}

/// `tls` of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaTls {
    /// Authorities; those of the system where there is none.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The password of the key.
    pub key_password: Option<Secret>,
    /// Whether names are compared.
    pub verify_hostname: bool,
}

/// `sasl` of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KafkaSasl {
    /// A name and a password.
    Password {
        /// `PLAIN` or one of the SCRAMs.
        mechanism: &'static str,
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// Tokens.
    OAuth(OAuth),
}

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    /// The token endpoint.
    pub endpoint: Url,
    /// Id of the client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// What is asked for.
    pub scope: Option<String>,
}

const NAME_HELP: &str = "write name = \"main\" or another name";
const BROKERS_HELP: &str = "write brokers = [\"HOST:9092\"]";

/// Properties that are set by what the program promises, or by tables of their own, and what to do instead.
const OWN_PROPERTIES: &[(&str, &str)] = &[
    ("bootstrap.servers", "write brokers"),
    ("metadata.broker.list", "write brokers"),
    ("client.id", "it is made of the names of the node and of what the connection is for"),
    ("acks", "every replica that is in sync confirms what is sent"),
    ("request.required.acks", "every replica that is in sync confirms what is sent"),
    ("enable.idempotence", "it is always on, so that nothing is doubled"),
    ("enable.gapless.guarantee", "it rests on idempotence"),
    ("max.in.flight", "it is what idempotence allows"),
    ("max.in.flight.requests.per.connection", "it is what idempotence allows"),
    ("retries", "it is tried again until the time is over"),
    ("message.send.max.retries", "it is tried again until the time is over"),
    ("message.timeout.ms", "nothing that was taken may be given up by a client"),
    ("delivery.timeout.ms", "nothing that was taken may be given up by a client"),
    ("transactional.id", "it is made of the names of the stream and of the delivery"),
    ("partitioner", "write partitioner in the sink"),
    ("compression.codec", "write compression in the sink, or in the log of the stream"),
    ("compression.type", "write compression in the sink, or in the log of the stream"),
    ("queue.buffering.max.messages", "memory_budget bounds it"),
    ("queue.buffering.max.kbytes", "memory_budget bounds it"),
    ("queued.max.messages.kbytes", "memory_budget bounds it"),
    ("group.id", "write group in [cluster]"),
    ("group.instance.id", "the group names its members: the client can die of two that have one name"),
    ("group.protocol", "the classic one is used"),
    ("enable.auto.commit", "positions are kept with the data"),
    ("enable.auto.offset.store", "positions are kept with the data"),
    ("auto.offset.reset", "where to begin is what the ledger says"),
    ("isolation.level", "records of transactions that were given up are never read"),
    ("enable.partition.eof", "it is how the end of a partition is found"),
    ("statistics.interval.ms", "metrics are made of it"),
    ("plugin.library.paths", "no other code is loaded into the program"),
];

/// All of `[[kafka]]`; `None` where a problem was added.
pub(super) fn check_clusters(
    tables: Vec<KafkaTable>,
    checker: &mut Checker<'_>,
) -> Option<Vec<KafkaCluster>> {
    if tables.len() > KAFKA_CLUSTERS_MAX {
        let message = format!("{} clusters are too many: there may be {KAFKA_CLUSTERS_MAX}", tables.len());
        checker.problem(&format!("kafka[{KAFKA_CLUSTERS_MAX}]"), message);
        return None;
    }
    let mut seen = HashMap::new();
    let clusters: Vec<_> = tables
        .into_iter()
        .enumerate()
        .map(|(index, table)| check_cluster(table, (&mut seen, index), checker))
        .collect();
    clusters.into_iter().collect()
}

fn check_cluster(
    table: KafkaTable,
    (seen, index): (&mut HashMap<String, usize>, usize),
    checker: &mut Checker<'_>,
) -> Option<KafkaCluster> {
    let path = format!("kafka[{index}]");
    let name = checker.unique_name(&format!("{path}.name"), table.name, NAME_HELP, (seen, index));
    let brokers = checker.required(&format!("{path}.brokers"), table.brokers, BROKERS_HELP);
    let brokers = brokers.and_then(|brokers| check_brokers(brokers, &format!("{path}.brokers"), checker));
    let tls = match table.tls {
        Some(tls) => check_tls(tls, &format!("{path}.tls"), checker).map(Some),
        None => Some(None),
    };
    let sasl = match table.sasl {
        Some(sasl) => check_sasl(sasl, &format!("{path}.sasl"), checker).map(Some),
        None => Some(None),
    };
    let client = check_client(table.client.unwrap_or_default(), &format!("{path}.client"), checker);
    let cluster =
        KafkaCluster { name: Some(name?), brokers: brokers?, tls: tls?, sasl: sasl?, client: client? };
    if let Err(error) = Connection::check(&cluster) {
        checker.problem(&path, format!("the client does not take these settings: {error}"));
        return None;
    }
    Some(cluster)
}

fn check_brokers(brokers: Vec<String>, path: &str, checker: &mut Checker<'_>) -> Option<Vec<String>> {
    if brokers.is_empty() || brokers.len() > KAFKA_BROKERS_MAX {
        let message = format!("there must be from 1 to {KAFKA_BROKERS_MAX} brokers to begin with");
        checker.problem_with_help(path, message, BROKERS_HELP);
        return None;
    }
    for broker in &brokers {
        if !is_broker(broker) {
            let quoted = checker.quote(path, broker);
            let message = format!("{} = {quoted} is not HOST:PORT", last_key(path));
            checker.problem_with_help(path, message, BROKERS_HELP);
            return None;
        }
    }
    Some(brokers)
}

/// `host:port`; an address of IPv6 stands in brackets.
fn is_broker(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host_is_right = match host.strip_prefix('[') {
        Some(address) => {
            address.strip_suffix(']').is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
        }
        None => {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            !host.is_empty() && host.bytes().all(allowed)
        }
    };
    host_is_right && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn check_tls(table: KafkaTlsTable, path: &str, checker: &mut Checker<'_>) -> Option<KafkaTls> {
    let mut file = |key: &str, name: Option<String>| {
        let Some(name) = name else { return Some(None) };
        let file = beside(&name, checker);
        if let Err(error) = std::fs::File::open(&file) {
            checker.problem(&format!("{path}.{key}"), format!("{} cannot be read: {error}", file.display()));
            return None;
        }
        Some(Some(file))
    };
    let ca = file("ca", table.ca);
    let certificate = file("certificate", table.certificate);
    let key = file("key", table.key);
    let identity = match (certificate?, key?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            checker
                .problem(&format!("{path}.certificate"), "certificate is given without key: write key too");
            return None;
        }
        (None, Some(_)) => {
            checker
                .problem(&format!("{path}.key"), "key is given without certificate: write certificate too");
            return None;
        }
    };
    let verify_hostname = table.verify_hostname.unwrap_or(true);
    Some(KafkaTls { ca: ca?, identity, key_password: table.key_password, verify_hostname })
}

fn check_sasl(table: KafkaSaslTable, path: &str, checker: &mut Checker<'_>) -> Option<KafkaSasl> {
    const MECHANISMS: [(&str, Option<&'static str>); 4] = [
        ("PLAIN", Some("PLAIN")),
        ("SCRAM-SHA-256", Some("SCRAM-SHA-256")),
        ("SCRAM-SHA-512", Some("SCRAM-SHA-512")),
        ("OAUTHBEARER", None),
    ];
    let mechanism_path = format!("{path}.mechanism");
    let help = "write mechanism = \"SCRAM-SHA-512\" or another";
    let mechanism = checker.required(&mechanism_path, table.mechanism, help)?;
    let password_mechanism = checker.word(&mechanism_path, Some(&mechanism), None, &MECHANISMS)?;
    let others = match password_mechanism {
        Some(_) => vec![
            ("token_endpoint", table.token_endpoint.is_some()),
            ("client_id", table.client_id.is_some()),
            ("client_secret", table.client_secret.is_some()),
            ("scope", table.scope.is_some()),
        ],
        None => vec![("username", table.username.is_some()), ("password", table.password.is_some())],
    };
    let mut is_refused = false;
    for (key, _) in others.into_iter().filter(|(_, is_given)| *is_given) {
        checker.problem(
            &format!("{path}.{key}"),
            format!("{key} has no meaning with mechanism = {mechanism:?}"),
        );
        is_refused = true;
    }
    let Some(mechanism) = password_mechanism else {
        let endpoint_path = format!("{path}.token_endpoint");
        let help = "write token_endpoint = \"https://ISSUER/token\"";
        let endpoint = checker.required(&endpoint_path, table.token_endpoint, help);
        let endpoint = endpoint.and_then(|text| {
            let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            if url.is_none() {
                checker.problem_with_help(&endpoint_path, "token_endpoint is no http or https URL", help);
            }
            url
        });
        let help = "write client_id and client_secret";
        let client_id = checker.required(&format!("{path}.client_id"), table.client_id, help);
        let client_secret = checker.required(&format!("{path}.client_secret"), table.client_secret, help);
        let (endpoint, client_id, client_secret) = (endpoint?, client_id?, client_secret?);
        let oauth = OAuth { endpoint, client_id, client_secret, scope: table.scope };
        return (!is_refused).then_some(KafkaSasl::OAuth(oauth));
    };
    let help = "write username = \"…\" and password = \"${NAME}\"";
    let username = checker.required(&format!("{path}.username"), table.username, help);
    let password = checker.required(&format!("{path}.password"), table.password, help);
    let (username, password) = (username?, password?);
    (!is_refused).then_some(KafkaSasl::Password { mechanism, username, password })
}

fn check_client(
    properties: BTreeMap<String, String>,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<BTreeMap<String, String>> {
    let mut is_refused = false;
    for name in properties.keys() {
        let own = OWN_PROPERTIES.iter().find(|(own, _)| own == name).map(|(_, instead)| *instead);
        let family = ["sasl.", "ssl.", "security."].iter().any(|family| name.starts_with(family));
        let instead = own.or(family.then_some("write tls and sasl"));
        if let Some(instead) = instead {
            checker.problem_with_help(path, format!("{name:?} is not to be set here"), instead);
            is_refused = true;
        }
    }
    (!is_refused).then_some(properties)
}

/// The cluster that a pipeline means with `kafka = "…"`: one of `clusters` by name, or brokers in clear text.
pub(super) fn check_kafka(
    text: &str,
    path: &str,
    clusters: &[KafkaCluster],
    checker: &mut Checker<'_>,
) -> Option<KafkaCluster> {
    if let Some(cluster) = clusters.iter().find(|cluster| cluster.name.as_deref() == Some(text)) {
        return Some(cluster.clone());
    }
    let brokers: Vec<_> = text.split(',').map(|broker| broker.trim().to_owned()).collect();
    if brokers.iter().all(|broker| is_broker(broker)) && brokers.len() <= KAFKA_BROKERS_MAX {
        let (tls, sasl, client) = (None, None, BTreeMap::new());
        return Some(KafkaCluster { name: None, brokers, tls, sasl, client });
    }
    let quoted = checker.quote(path, text);
    let names = || clusters.iter().filter_map(|cluster| cluster.name.as_deref());
    let message = match nearest(text, names()).filter(|_| checker.document.written(path).is_none()) {
        Some(near) => format!("kafka = {quoted} is no cluster of [[kafka]]: did you mean {near:?}?"),
        None => format!("kafka = {quoted} is neither a cluster of [[kafka]] nor brokers"),
    };
    checker.problem_with_help(
        path,
        message,
        "write the name of a [[kafka]] of forebay.toml, or \"HOST:9092\"",
    );
    None
}
