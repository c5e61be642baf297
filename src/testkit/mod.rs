//! What tests, benches and the load generator share.

pub mod aggregate;
pub mod broker;
pub mod disk;
pub mod faulty_broker;
pub mod faulty_store;
pub mod generators;
pub mod lossy_store;
pub mod port;
pub mod skip;
pub mod web_events;
