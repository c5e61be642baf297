//! A topic that gets more partitions: what a reshard is for a log of our own.
//!
//! - [`generations`]: which shards there are then, and where each of them begins and ends in its partition.
//! - [`switch`]: how all nodes come to the same, and none appends to a shard that is closed.
//! - [`objects`]: where they write down what they agree on.
//! - [`window`]: a part of a partition as the log of a shard.
//!
//! No stream does this yet: its shards are the partitions that its topic had when the node started.

pub mod generations;
pub mod objects;
pub mod switch;
pub mod window;
