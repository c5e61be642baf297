//! The Amazon Data Firehose API (`X-Amz-Target: Firehose_20150804.*`): delivery streams are pipelines.
//!
//! ```text
//! CreateDeliveryStream ─ validation ─▶ DeliveryStream ─ mapping ─▶ raw pipeline ─ config::check ─▶ checked pipeline
//! UpdateDestination      constraints   what was given,  what it     one check for files and API     what runs
//!                        of the model  as it is          comes to
//! ```
//!
//! The node keeps what was given, and describes it as it was given. What this server cannot do is refused with
//! `InvalidArgumentException`, which names the member.

mod apart;
mod columns;
mod control;
pub mod conversion;
pub mod delivery_stream;
mod describe;
pub mod destination;
mod folders;
pub mod jq;
pub mod mapping;
pub mod processing;
mod put;
pub mod registry;
pub mod validation;

use std::sync::Arc;

use http::Response;

use super::Request;
use super::protocol::failure::Failure;
use crate::config::MADE_NAME_PREFIX;
use crate::edge::aws::operation::operations;
use crate::edge::reply::Body;
use crate::edge::{Edge, Intake};

/// What stands before an operation's name in the header.
pub const TARGET_PREFIX: &str = "Firehose_20150804.";

operations! {
    "firehose":
    CreateDeliveryStream "firehose_create_delivery_stream",
    DeleteDeliveryStream "firehose_delete_delivery_stream",
    DescribeDeliveryStream "firehose_describe_delivery_stream",
    ListDeliveryStreams "firehose_list_delivery_streams",
    ListTagsForDeliveryStream "firehose_list_tags_for_delivery_stream",
    PutRecord "firehose_put_record",
    PutRecordBatch "firehose_put_record_batch",
    StartDeliveryStreamEncryption "firehose_start_delivery_stream_encryption",
    StopDeliveryStreamEncryption "firehose_stop_delivery_stream_encryption",
    TagDeliveryStream "firehose_tag_delivery_stream",
    UntagDeliveryStream "firehose_untag_delivery_stream",
    UpdateDestination "firehose_update_destination",
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
        Operation::CreateDeliveryStream => control::create(edge, &request).await,
        Operation::DeleteDeliveryStream => control::delete(edge, &request).await,
        Operation::DescribeDeliveryStream => control::describe(edge, &request),
        Operation::ListDeliveryStreams => control::list(edge, &request),
        Operation::ListTagsForDeliveryStream => control::list_tags(edge, &request),
        Operation::PutRecord => put::record(edge, request).await,
        Operation::PutRecordBatch => put::batch(edge, request).await,
        Operation::StartDeliveryStreamEncryption => control::encrypt(edge, &request, true).await,
        Operation::StopDeliveryStreamEncryption => control::encrypt(edge, &request, false).await,
        Operation::TagDeliveryStream => control::tag(edge, &request).await,
        Operation::UntagDeliveryStream => control::untag(edge, &request).await,
        Operation::UpdateDestination => control::update(edge, &request).await,
    }
}

/// A member or a value that the API has and this server has not.
fn unsupported(what: &str) -> Failure {
    Failure::invalid(format!("{what} is not supported by this server"))
}

/// The same, with what there is in its place.
fn unsupported_beside(what: &str, there: &str) -> Failure {
    Failure::invalid(format!("{what} is not supported by this server; supported are {there}"))
}

/// No such delivery stream.
fn not_found(name: &str, account: &str) -> Failure {
    Failure::not_found(format!("Firehose {name} under account {account} not found."))
}

/// The stream of a pipeline file that clients of Firehose see under its name: one with deliveries. Those without, and those
/// that clients of Kinesis have made, are no delivery streams, and one may have the same name.
fn pipeline(edge: &Edge, name: &str) -> Option<Arc<Intake>> {
    let is_seen = |intake: &Arc<Intake>| intake.has_deliveries && !is_made_name(name);
    edge.intake(name).ok().filter(is_seen)
}

/// Whether a stream is the own one of a delivery stream, which clients see under the name of that.
pub fn is_made_name(stream: &str) -> bool {
    stream.starts_with(MADE_NAME_PREFIX)
}
