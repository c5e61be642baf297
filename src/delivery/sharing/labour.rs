//! The kinds of workers that a shard may have, and how their work ends.

use crate::delivery::{Ended, Stop, Worker, fan_out};
use crate::runtime::phases::Phases;

/// The worker of a shard.
pub(super) enum Labour {
    /// Makes files.
    Files(Box<Worker>),
    /// Makes messages of Kafka.
    Messages(Box<fan_out::Worker>),
}

/// Another node has taken the shard over.
#[derive(Debug)]
pub(super) enum Deposed {
    /// It has written so into the ledger.
    ByLedger { node: String, generation: u64 },
    /// It has taken the transactional id.
    Fenced { id: String, fault: String },
}

impl std::fmt::Display for Deposed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ByLedger { node, generation } => {
                write!(f, "node '{node}' has taken it over (generation {generation})")
            }
            Self::Fenced { id, fault } => {
                write!(f, "another process has taken the transactional id '{id}' ({fault})")
            }
        }
    }
}

impl Labour {
    /// Works until it is told to stop, or until somebody else has taken over.
    pub async fn run(self, phases: Phases, stop: Stop) -> Option<Deposed> {
        match self {
            Self::Files(worker) => match worker.run(phases, stop).await {
                Ended::Deposed(by) => Some(Deposed::ByLedger { node: by.node, generation: by.number }),
                Ended::Drained(_) | Ended::Stopped(_) => None,
            },
            Self::Messages(worker) => {
                let id = worker.identity().to_string();
                let fault = worker.run(phases, stop).await.fenced?;
                Some(Deposed::Fenced { id, fault: fault.to_string() })
            }
        }
    }
}
