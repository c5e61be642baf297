//! What tests, benches and the load generator share.

pub mod faulty_store;
pub mod disk;
pub mod generators;
pub mod skip;
pub mod web_events;
