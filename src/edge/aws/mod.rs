//! The APIs of Amazon Web Services that unmodified clients use.

pub mod firehose;
