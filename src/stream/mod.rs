//! The sharded log.

/// The fields whose raw values every batch carries, so that deliveries need not look for them again.
#[derive(Debug, Clone)]
pub struct Captures {}
