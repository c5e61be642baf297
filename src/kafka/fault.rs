//! What goes wrong with Kafka, sorted by what helps.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

/// What helps against an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultClass {
    /// Waiting, and trying again: a broker or the way to it is gone, a leader moves, time was short.
    Transient,
    /// Nothing but another record: a broker does not take this one, however often it comes.
    Record,
    /// The operator: we are not let in, or may not do it.
    Denied,
    /// The operator: what we want to use is not there.
    Missing,
    /// Nothing: another one has taken our place.
    Fenced,
    /// Nothing within this client: a new one may work.
    Broken,
}

impl FaultClass {
    /// Sorts an error code.
    pub fn of_code(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode as Code;
        match code {
            Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::InvalidTimestamp => Self::Record,
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::SecurityDisabled
            | Code::PolicyViolation
            | Code::SSL => Self::Denied,
            Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::InvalidTopic => Self::Missing,
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::FencedInstanceId => {
                Self::Fenced
            }
            Code::Fatal
            | Code::UnknownProducerId
            | Code::OutOfOrderSequenceNumber
            | Code::InvalidProducerIdMapping
            | Code::InvalidTransactionalState
            | Code::Inconsistent
            | Code::State => Self::Broken,
            _ => Self::Transient,
        }
    }
}

/// An error of Kafka, with what was tried.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("Kafka cluster '{cluster}': {action}: {message}")]
pub struct Fault {
    /// What helps.
    pub class: FaultClass,
    /// How the configuration calls the cluster.
    pub cluster: String,
    /// What was tried.
    pub action: String,
    /// What the client or the broker says.
    pub message: String,
}

impl Fault {
    /// The fault behind `error`, which came of doing `action`.
    pub fn new(cluster: impl Into<String>, action: impl Into<String>, error: &KafkaError) -> Self {
        let (class, message) = match error.rdkafka_error_code() {
            Some(code) => (FaultClass::of_code(code), code.to_string()),
            None => (FaultClass::Broken, error.to_string()),
        };
        Self { class, cluster: cluster.into(), action: action.into(), message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_what_helps() {
        let classes = [
            (RDKafkaErrorCode::AllBrokersDown, FaultClass::Transient),
            (RDKafkaErrorCode::NotLeaderForPartition, FaultClass::Transient),
            (RDKafkaErrorCode::NotEnoughReplicas, FaultClass::Transient),
            (RDKafkaErrorCode::InvalidMessage, FaultClass::Transient),
            (RDKafkaErrorCode::MessageSizeTooLarge, FaultClass::Record),
            (RDKafkaErrorCode::TopicAuthorizationFailed, FaultClass::Denied),
            (RDKafkaErrorCode::UnknownTopicOrPartition, FaultClass::Missing),
            (RDKafkaErrorCode::ProducerFenced, FaultClass::Fenced),
            (RDKafkaErrorCode::OutOfOrderSequenceNumber, FaultClass::Broken),
        ];
        for (code, class) in classes {
            assert_eq!(FaultClass::of_code(code), class, "{code:?}");
        }
    }

    #[test]
    fn a_fault_says_where_and_what() {
        let error = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
        let fault = Fault::new("main", "produce to topic 'clicks'", &error);
        assert_eq!(fault.class, FaultClass::Record);
        let said = fault.to_string();
        assert!(said.starts_with("Kafka cluster 'main': produce to topic 'clicks': "), "{said}");
        let error = KafkaError::Canceled;
        assert_eq!(Fault::new("main", "wait", &error).class, FaultClass::Broken);
    }
}
