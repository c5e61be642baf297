//! What an access key may do, and to which streams.

use super::pattern::{Pattern, PatternError};

/// Operations of the Kinesis Data Streams API (2013-12-02), as in its public model, but for those that need a queue or
/// a channel.
const KINESIS_OPERATIONS: &[&str] = &[
    "AddTagsToStream",
    "CreateStream",
    "DecreaseStreamRetentionPeriod",
    "DeleteResourcePolicy",
    "DeleteStream",
    "DeregisterStreamConsumer",
    "DescribeAccountSettings",
    "DescribeLimits",
    "DescribeStream",
    "DescribeStreamConsumer",
    "DescribeStreamSummary",
    "DisableEnhancedMonitoring",
    "EnableEnhancedMonitoring",
    "GetRecords",
    "GetResourcePolicy",
    "GetShardIterator",
    "IncreaseStreamRetentionPeriod",
    "ListShards",
    "ListStreamConsumers",
    "ListStreams",
    "ListTagsForResource",
    "ListTagsForStream",
    "MergeShards",
    "PutRecord",
    "PutRecords",
    "PutResourcePolicy",
    "RegisterStreamConsumer",
    "RemoveTagsFromStream",
    "SplitShard",
    "StartStreamEncryption",
    "StopStreamEncryption",
    "SubscribeToShard",
    "TagResource",
    "UntagResource",
    "UpdateAccountSettings",
    "UpdateMaxRecordSize",
    "UpdateShardCount",
    "UpdateStreamMode",
    "UpdateStreamWarmThroughput",
];

/// Operations of the Data Firehose API (2015-08-04), as in its public model.
const FIREHOSE_OPERATIONS: &[&str] = &[
    "CreateDeliveryStream",
    "DeleteDeliveryStream",
    "DescribeDeliveryStream",
    "ListDeliveryStreams",
    "ListTagsForDeliveryStream",
    "PutRecord",
    "PutRecordBatch",
    "StartDeliveryStreamEncryption",
    "StopDeliveryStreamEncryption",
    "TagDeliveryStream",
    "UntagDeliveryStream",
    "UpdateDestination",
];

/// Every action that a policy can name, as `kinesis:PutRecord`.
pub fn actions() -> impl Iterator<Item = String> {
    let of = |service: &'static str, operations: &'static [&'static str]| {
        operations.iter().map(move |operation| format!("{service}:{operation}"))
    };
    of("kinesis", KINESIS_OPERATIONS).chain(of("firehose", FIREHOSE_OPERATIONS))
}

/// Actions and streams, compiled. A key may do an action to a stream if one pattern stands for the action and one for
/// the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    actions: Vec<Pattern>,
    streams: Vec<Pattern>,
}

impl Policy {
    /// Puts compiled patterns together: see [`action_pattern`] and [`stream_pattern`].
    pub fn new(actions: Vec<Pattern>, streams: Vec<Pattern>) -> Self {
        Self { actions, streams }
    }

    /// Whether `action`, such as `kinesis:PutRecord`, is allowed for the stream; without one, for an action that is
    /// about none in particular, only the action counts. Letters of actions are equal in both cases, as in AWS.
    pub fn allows(&self, action: &str, stream: Option<&str>) -> bool {
        let action = action.to_ascii_lowercase();
        self.actions.iter().any(|pattern| pattern.matches(&action))
            && stream.is_none_or(|stream| self.streams.iter().any(|pattern| pattern.matches(stream)))
    }
}

/// A pattern of actions: `kinesis:Put*`, `firehose:*`, `*`.
///
/// # Errors
/// For a character that no action has.
pub fn action_pattern(text: &str) -> Result<Pattern, PatternError> {
    Pattern::parse(&text.to_ascii_lowercase(), |letter| letter.is_ascii_alphanumeric() || letter == ':')
}

/// A pattern of stream names.
///
/// # Errors
/// For a character that no name has.
pub fn stream_pattern(text: &str) -> Result<Pattern, PatternError> {
    Pattern::parse(text, |letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(actions: &[&str], streams: &[&str]) -> Policy {
        let actions = actions.iter().map(|text| action_pattern(text).expect("an action")).collect();
        Policy::new(actions, streams.iter().map(|text| stream_pattern(text).expect("a stream")).collect())
    }

    #[test]
    fn an_action_needs_a_pattern_for_itself_and_one_for_its_stream() {
        let policy = policy(&["kinesis:Get*", "firehose:putrecord"], &["click*", "Orders"]);
        assert!(policy.allows("kinesis:GetRecords", Some("clicks")));
        assert!(policy.allows("firehose:PutRecord", Some("Orders")));
        assert!(policy.allows("kinesis:GetRecords", None), "an action that is about no stream");
        for (action, stream) in [
            ("kinesis:GetRecords", Some("orders")),
            ("kinesis:PutRecord", Some("clicks")),
            ("firehose:PutRecordBatch", Some("clicks")),
            ("kinesis:PutRecord", None),
            ("GetRecords", Some("clicks")),
        ] {
            assert!(!policy.allows(action, stream), "{action} {stream:?}");
        }
    }

    #[test]
    fn an_empty_policy_allows_nothing() {
        assert!(!Policy::default().allows("kinesis:ListStreams", None));
    }

    #[test]
    fn every_action_is_allowed_by_its_own_name_and_by_stars() {
        for action in actions() {
            for text in [action.as_str(), "*", "*:*", &format!("{}*", &action[..10])] {
                assert!(policy(&[text], &["*"]).allows(&action, Some("s")), "{text} {action}");
            }
        }
    }
}
