//! Kinesis Data Streams (`Kinesis_20131202`), on the streams of this node.

mod consumers;
mod describe;
mod get_records;
mod labels;
mod list_shards;
mod list_streams;
mod manage;
mod page_payer;
mod position;
pub mod put;
mod reshard;
pub mod sequence;
mod shapes;
mod stream;
mod subscribe;
pub mod subscriptions;
mod tags;

use http::Response;

use super::Request;
use super::protocol::failure::Failure;
use crate::edge::Edge;
use crate::edge::aws::operation::operations;
use crate::edge::reply::Body;

/// What stands before an operation's name in the header.
pub const TARGET_PREFIX: &str = "Kinesis_20131202.";

operations! {
    "kinesis":
    AddTagsToStream "kinesis_add_tags_to_stream",
    CreateStream "kinesis_create_stream",
    DecreaseStreamRetentionPeriod "kinesis_decrease_stream_retention_period",
    DeleteStream "kinesis_delete_stream",
    DeregisterStreamConsumer "kinesis_deregister_stream_consumer",
    DescribeLimits "kinesis_describe_limits",
    DescribeStream "kinesis_describe_stream",
    DescribeStreamConsumer "kinesis_describe_stream_consumer",
    DescribeStreamSummary "kinesis_describe_stream_summary",
    DisableEnhancedMonitoring "kinesis_disable_enhanced_monitoring",
    EnableEnhancedMonitoring "kinesis_enable_enhanced_monitoring",
    GetRecords "kinesis_get_records",
    GetShardIterator "kinesis_get_shard_iterator",
    IncreaseStreamRetentionPeriod "kinesis_increase_stream_retention_period",
    ListShards "kinesis_list_shards",
    ListStreamConsumers "kinesis_list_stream_consumers",
    ListStreams "kinesis_list_streams",
    ListTagsForStream "kinesis_list_tags_for_stream",
    MergeShards "kinesis_merge_shards",
    PutRecord "kinesis_put_record",
    PutRecords "kinesis_put_records",
    RegisterStreamConsumer "kinesis_register_stream_consumer",
    RemoveTagsFromStream "kinesis_remove_tags_from_stream",
    SplitShard "kinesis_split_shard",
    StartStreamEncryption "kinesis_start_stream_encryption",
    StopStreamEncryption "kinesis_stop_stream_encryption",
    SubscribeToShard "kinesis_subscribe_to_shard",
    UpdateShardCount "kinesis_update_shard_count",
    UpdateStreamMode "kinesis_update_stream_mode",
}

/// Answers a request for an operation.
///
/// # Errors
/// Why it is refused.
pub async fn answer(
    edge: &Edge,
    operation: Operation,
    request: Request<'_>,
) -> Result<Response<Body>, Failure> {
    match operation {
        Operation::DescribeLimits => describe::limits(edge, &request),
        Operation::DescribeStream => describe::stream(edge, &request),
        Operation::DescribeStreamSummary => describe::summary(edge, &request),
        Operation::GetRecords => get_records::answer(edge, &request).await,
        Operation::GetShardIterator => position::get_shard_iterator(edge, &request).await,
        Operation::ListShards => list_shards::answer(edge, &request),
        Operation::ListStreams => list_streams::answer(edge, &request),
        Operation::ListTagsForStream => tags::list(edge, &request),
        Operation::ListStreamConsumers => consumers::list(edge, &request),
        Operation::DescribeStreamConsumer => consumers::describe(edge, &request),
        Operation::RegisterStreamConsumer => consumers::register(edge, &request).await,
        Operation::DeregisterStreamConsumer => consumers::deregister(edge, &request).await,
        Operation::SubscribeToShard => subscribe::answer(edge, &request).await,
        Operation::AddTagsToStream => tags::add(edge, &request).await,
        Operation::RemoveTagsFromStream => tags::remove(edge, &request).await,
        Operation::CreateStream => manage::create(edge, &request).await,
        Operation::DeleteStream => manage::delete(edge, &request).await,
        Operation::IncreaseStreamRetentionPeriod => manage::retain(edge, &request, true).await,
        Operation::DecreaseStreamRetentionPeriod => manage::retain(edge, &request, false).await,
        Operation::UpdateStreamMode => manage::update_mode(edge, &request).await,
        Operation::SplitShard => reshard::split(edge, &request).await,
        Operation::MergeShards => reshard::merge(edge, &request).await,
        Operation::UpdateShardCount => reshard::update_count(edge, &request).await,
        Operation::StartStreamEncryption => labels::encrypt(edge, &request, true).await,
        Operation::StopStreamEncryption => labels::encrypt(edge, &request, false).await,
        Operation::EnableEnhancedMonitoring => labels::monitor(edge, &request, true).await,
        Operation::DisableEnhancedMonitoring => labels::monitor(edge, &request, false).await,
        Operation::PutRecord => put::record(edge, request).await,
        Operation::PutRecords => put::records(edge, request).await,
    }
}
