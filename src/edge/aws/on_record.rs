//! What of these requests is put on record: refused signatures, and changes.

use http::{header, request};

use super::protocol::failure::{Failure, FailureKind};
use super::{Asked, Target};
use crate::config::limits::ACCESS_KEY_ID_BYTES_MAX;
use crate::edge::Edge;
use crate::telemetry::audit::{Acted, Refused};

/// What proves who has sent such a request: the word of the configuration.
pub(super) const IDENTITY: &str = "signature_v4";

/// Beginnings of operations that change nothing but what is in a stream.
const NO_CHANGES: [&str; 5] = ["Describe", "List", "Get", "Put", "Subscribe"];

/// Puts a request that was answered on record, where that is due.
pub(super) fn tell(edge: &Edge, asked: Asked<'_>, failure: Option<&Failure>) {
    let Asked { target, head, visit, .. } = asked;
    let reason = failure.map(|failure| failure.kind.name());
    if let Some(failure) = failure {
        visit.is_refused(failure.kind.name());
        if is_about_identity(failure.kind) {
            let refused = Refused {
                status: failure.kind.status().as_u16(),
                reason: failure.kind.name(),
                detail: None,
                identity: IDENTITY,
                claims: key_id(head),
                action: target.name(),
                stream: visit.stream(),
            };
            return visit.refuse(edge, refused);
        }
    }
    if is_change(target) {
        let stream = visit.stream();
        visit.act(edge, &Acted { action: target.action(), stream, target: None, refused: reason });
    }
}

fn is_about_identity(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::MissingAuthenticationToken
            | FailureKind::IncompleteSignature
            | FailureKind::UnrecognizedClient
            | FailureKind::InvalidSignature
            | FailureKind::AccessDenied
    )
}

fn is_change(target: Target) -> bool {
    let operation = target.action().split_once(':').map_or("", |(_, operation)| operation);
    !operation.is_empty() && !NO_CHANGES.iter().any(|start| operation.starts_with(start))
}

/// The id of the access key that a request says it was signed with. It is no secret.
fn key_id(head: &request::Parts) -> Option<&str> {
    let text = head.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, rest) = text.split_once("Credential=")?;
    let id = rest.split(['/', ',', ' ']).next()?;
    let is_id = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    (is_id && (1..=ACCESS_KEY_ID_BYTES_MAX).contains(&id.len())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::aws::{firehose, kinesis};

    #[test]
    fn what_changes_a_stream_is_told_from_what_reads_or_fills_it() {
        let kinesis = kinesis::Operation::ALL.map(Target::Kinesis);
        let firehose = firehose::Operation::ALL.map(Target::Firehose);
        let no_changes: Vec<_> = kinesis
            .into_iter()
            .chain(firehose)
            .filter(|&target| !is_change(target))
            .map(Target::action)
            .collect();
        assert_eq!(
            no_changes,
            [
                "kinesis:DescribeLimits",
                "kinesis:DescribeStream",
                "kinesis:DescribeStreamConsumer",
                "kinesis:DescribeStreamSummary",
                "kinesis:GetRecords",
                "kinesis:GetShardIterator",
                "kinesis:ListShards",
                "kinesis:ListStreamConsumers",
                "kinesis:ListStreams",
                "kinesis:ListTagsForStream",
                "kinesis:PutRecord",
                "kinesis:PutRecords",
                "kinesis:SubscribeToShard",
                "firehose:DescribeDeliveryStream",
                "firehose:ListDeliveryStreams",
                "firehose:ListTagsForDeliveryStream",
                "firehose:PutRecord",
                "firehose:PutRecordBatch",
            ]
        );
        assert!(!is_change(Target::Unknown));
    }

    #[test]
    fn the_id_of_the_key_is_told_and_nothing_else_of_the_header() {
        let head = |value: &str| {
            http::Request::get("/").header("authorization", value).body(()).unwrap().into_parts().0
        };
        let signed = "AWS4-HMAC-SHA256 Credential=AKID/20261122/r/kinesis/aws4_request, SignedHeaders=host, Signature=00";
        assert_eq!(key_id(&head(signed)), Some("AKID"));
        for other in ["Bearer secret", "Basic c2VjcmV0", "Credential=", "Credential=a\"b/x"] {
            assert_eq!(key_id(&head(other)), None, "{other}");
        }
    }
}
