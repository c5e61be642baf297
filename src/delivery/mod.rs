//! Delivery: a buffered route from a stream to a sink.

pub mod encode;
pub mod prefix;
