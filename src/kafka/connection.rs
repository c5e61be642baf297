//! One client of a cluster: what it is created with, and what it says.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::fault::{Fault, FaultClass};
use super::oauth;
use crate::config::checked::{KafkaCluster, KafkaSasl};
use crate::runtime::clock;

/// The same kind of message is logged at most this often: a client repeats itself for as long as a broker is gone.
const SAME_MESSAGE_EVERY: Duration = Duration::from_secs(60);
/// Kinds of messages that are known to have been logged; the facilities and codes of librdkafka are fewer.
const MESSAGES_MAX: usize = 256;

/// See the module. Cheap to share: each client has its own.
#[derive(Debug)]
pub struct Connection {
    cluster: KafkaCluster,
    purpose: String,
    said: Mutex<HashMap<String, Instant>>,
    trouble: Mutex<Option<Fault>>,
}

impl Connection {
    /// A connection for `purpose`, such as `fan-out orders/bus`: it is part of the client's name, and of log lines.
    pub fn new(cluster: KafkaCluster, purpose: impl Into<String>) -> Arc<Self> {
        let (said, trouble) = (Mutex::default(), Mutex::default());
        Arc::new(Self { cluster, purpose: purpose.into(), said, trouble })
    }

    /// Checks that the client takes the settings of `cluster`, without asking a broker.
    ///
    /// # Errors
    /// What it does not take.
    pub fn check(cluster: &KafkaCluster) -> Result<(), String> {
        let connection = Self::new(cluster.clone(), "check");
        connection.client_config().create_native_config().map(drop).map_err(|error| error.to_string())
    }

    /// The cluster.
    pub fn cluster(&self) -> &KafkaCluster {
        &self.cluster
    }

    /// Properties that every client is created with; what it is for adds its own.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Kafka allows names of any kind, but operators filter by them.
        let name = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '.' };
        config.set("client.id", format!("forebay.{}", self.purpose.chars().map(name).collect::<String>()));
        config.set("bootstrap.servers", self.cluster.brokers.join(","));
        // Of a broker that comes back after an outage, nobody wants to wait for longer than this.
        config.set("reconnect.backoff.max.ms", "2000");
        config.set("socket.keepalive.enable", "true");
        config.set("socket.nagle.disable", "true");
        let Self { cluster: KafkaCluster { tls, sasl, client, .. }, .. } = self;
        for (property, value) in client {
            config.set(property, value);
        }
        config.set(
            "security.protocol",
            match (tls, sasl) {
                (None, None) => "plaintext",
                (Some(_), None) => "ssl",
                (None, Some(_)) => "sasl_plaintext",
                (Some(_), Some(_)) => "sasl_ssl",
            },
        );
        if let Some(tls) = tls {
            let mut file = |property: &str, path: &std::path::Path| {
                config.set(property, path.to_string_lossy());
            };
            tls.ca.iter().for_each(|path| file("ssl.ca.location", path));
            if let Some((certificate, key)) = &tls.identity {
                file("ssl.certificate.location", certificate);
                file("ssl.key.location", key);
            }
            if let Some(password) = &tls.key_password {
                config.set("ssl.key.password", password.reveal());
            }
            let algorithm = if tls.verify_hostname { "https" } else { "none" };
            config.set("ssl.endpoint.identification.algorithm", algorithm);
        }
        match sasl {
            None => {}
            Some(KafkaSasl::Password { mechanism, username, password }) => {
                config.set("sasl.mechanism", *mechanism);
                config.set("sasl.username", username);
                config.set("sasl.password", password.reveal());
            }
            Some(KafkaSasl::OAuth(_)) => {
                config.set("sasl.mechanism", "OAUTHBEARER");
            }
        }
        config
    }

    /// The fault of doing `action`.
    pub fn fault(&self, action: impl Into<String>, error: &KafkaError) -> Fault {
        Fault::new(self.cluster.label(), action, error)
    }

    /// Says that something was not done, if only the operator can help; not for each time that it happens.
    pub fn tell(&self, fault: &Fault) {
        if matches!(fault.class, FaultClass::Denied | FaultClass::Missing) && self.may_say(&fault.action) {
            let purpose = self.purpose.as_str();
            tracing::error!(purpose, error = %fault, "Kafka does not do what it is asked for");
        }
    }

    /// What the client has said last is wrong, until [`Connection::is_well`].
    pub fn trouble(&self) -> Option<Fault> {
        lock(&self.trouble).clone()
    }

    /// Something has worked: whatever was wrong is no longer.
    pub fn is_well(&self) {
        lock(&self.trouble).take();
    }

    /// Whether it is time to say something of this kind again.
    fn may_say(&self, kind: &str) -> bool {
        let (mut said, now) = (lock(&self.said), clock::monotonic());
        if said.get(kind).is_some_and(|&at| now.saturating_duration_since(at) < SAME_MESSAGE_EVERY) {
            return false;
        }
        if said.len() >= MESSAGES_MAX {
            said.retain(|_, at| now.saturating_duration_since(*at) < SAME_MESSAGE_EVERY);
        }
        said.len() < MESSAGES_MAX && said.insert(kind.to_owned(), now).is_none_or(|_| true)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Connection {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel as Level;
        let (cluster, purpose) = (self.cluster.label(), self.purpose.as_str());
        match level {
            Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning => {
                if self.may_say(facility) {
                    tracing::warn!(cluster, purpose, facility, message, "the Kafka client has trouble");
                }
            }
            Level::Notice | Level::Info | Level::Debug => {
                tracing::debug!(cluster, purpose, facility, message, "the Kafka client says");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Readers that asked to be told of the end of a partition are told so here as well.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        let mut fault = self.fault("talk to it", &error);
        if !reason.is_empty() {
            fault.message = format!("{} ({reason})", fault.message);
        }
        let kind = format!("error {}", error.rdkafka_error_code().map_or(0, |code| code as i32));
        if self.may_say(&kind) {
            let purpose = self.purpose.as_str();
            match fault.class {
                FaultClass::Transient => {
                    tracing::warn!(purpose, error = %fault, "Kafka has trouble: trying again")
                }
                _ => tracing::error!(purpose, error = %fault, "Kafka does not do what it is asked for"),
            }
        }
        let mut trouble = lock(&self.trouble);
        // That all brokers are gone says less than why one is.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) || trouble.is_none() {
            *trouble = Some(fault);
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let Some(KafkaSasl::OAuth(oauth)) = &self.cluster.sasl else {
            return Err("no issuer of tokens is configured".into());
        };
        // A null character would end the process.
        oauth::fetch_token(oauth).map_err(|error| error.replace('\0', " ").into())
    }
}

#[cfg(test)]
mod tests;
