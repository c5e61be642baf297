//! Kinesis Data Streams (`Kinesis_20131202`), on the streams of this node.

mod describe;
mod get_records;
mod list_shards;
mod list_streams;
mod position;
pub mod put;
pub mod sequence;
mod shapes;
mod stream;

use http::Response;

use super::Request;
use super::protocol::failure::Failure;
use crate::edge::Edge;
use crate::edge::reply::Body;

/// What stands before an operation's name in the header.
pub const TARGET_PREFIX: &str = "Kinesis_20131202.";

macro_rules! operations {
    ($($name:ident $label:literal,)*) => {
        /// An operation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Operation {
            $(#[doc = stringify!($name)] $name,)*
        }

        impl Operation {
            /// All that there are.
            pub const ALL: [Self; [$(stringify!($name)),*].len()] = [$(Self::$name),*];

            /// The operation of that name.
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its name in metrics.
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

operations! {
    DescribeLimits "kinesis_describe_limits",
    DescribeStream "kinesis_describe_stream",
    DescribeStreamSummary "kinesis_describe_stream_summary",
    GetRecords "kinesis_get_records",
    GetShardIterator "kinesis_get_shard_iterator",
    ListShards "kinesis_list_shards",
    ListStreams "kinesis_list_streams",
    ListTagsForStream "kinesis_list_tags_for_stream",
    PutRecord "kinesis_put_record",
    PutRecords "kinesis_put_records",
}

/// Answers a request for an operation.
///
/// # Errors
/// Why it is refused.
pub async fn answer(edge: &Edge, operation: Operation, request: Request) -> Result<Response<Body>, Failure> {
    match operation {
        Operation::DescribeLimits => describe::limits(edge, &request),
        Operation::DescribeStream => describe::stream(edge, &request),
        Operation::DescribeStreamSummary => describe::summary(edge, &request),
        Operation::GetRecords => get_records::answer(edge, &request).await,
        Operation::GetShardIterator => position::get_shard_iterator(edge, &request).await,
        Operation::ListShards => list_shards::answer(edge, &request),
        Operation::ListStreams => list_streams::answer(edge, &request),
        Operation::ListTagsForStream => describe::tags(edge, &request),
        Operation::PutRecord => put::record(edge, request).await,
        Operation::PutRecords => put::records(edge, request).await,
    }
}
