//! What somebody may do, and to which streams.

use thiserror::Error;

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

/// What can be asked for over the native routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Action {
    /// Records in.
    Ingest,
    /// Records out, and what there is: streams, shards, cursors.
    Tap,
    /// Changes of streams.
    Admin,
    /// Records that could not be delivered, out: whole payloads, also such as taps show no more.
    DeadLetters,
}

impl Action {
    /// How many there are.
    pub const COUNT: usize = 4;
    /// Each, at the place of its number.
    pub const ALL: [Action; Action::COUNT] =
        [Action::Ingest, Action::Tap, Action::Admin, Action::DeadLetters];

    /// Its word in grants and in `[auth]`.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Ingest => "ingest",
            Action::Tap => "tap",
            Action::Admin => "admin",
            Action::DeadLetters => "dead_letters",
        }
    }

    /// What somebody does, as messages have it before the name of a stream.
    pub fn verb(self) -> &'static str {
        match self {
            Action::Ingest => "put records into",
            Action::Tap => "read",
            Action::Admin => "change",
            Action::DeadLetters => "read dead letters of",
        }
    }
}

/// Actions that are allowed for streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    actions: Vec<Pattern>,
    streams: Vec<Pattern>,
}

/// What is wrong with the text of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GrantError {
    /// It has no colon, or nothing at one side of it.
    #[error("a grant is an action and a stream")]
    Form,
    /// Its action is none.
    #[error("there are the actions ingest, tap, admin, dead_letters, and * for all")]
    Action,
    /// Its stream is no pattern.
    #[error(transparent)]
    Stream(#[from] PatternError),
}

impl Grant {
    /// Puts compiled patterns together: see [`action_pattern`] and [`stream_pattern`].
    pub fn new(actions: Vec<Pattern>, streams: Vec<Pattern>) -> Self {
        Self { actions, streams }
    }

    /// Reads `ACTION:STREAM`, such as `ingest:web-*`: an action of the native routes, or `*` for all of them.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, GrantError> {
        let (action, stream) = text.split_once(':').ok_or(GrantError::Form)?;
        if action.is_empty() || stream.is_empty() {
            return Err(GrantError::Form);
        }
        let named = Action::ALL.iter().filter(|known| action == "*" || action == known.as_str());
        let actions: Vec<_> = named.filter_map(|known| action_pattern(known.as_str()).ok()).collect();
        if actions.is_empty() {
            return Err(GrantError::Action);
        }
        Ok(Self { actions, streams: vec![stream_pattern(stream)?] })
    }

    fn bytes(&self) -> usize {
        let patterns = self.actions.iter().chain(&self.streams);
        patterns.map(|pattern| size_of_val(pattern) + pattern.bytes()).sum()
    }

    fn allows(&self, action: &str, stream: Option<&str>) -> bool {
        self.actions.iter().any(|pattern| pattern.matches(action))
            && stream.is_none_or(|stream| self.streams.iter().any(|pattern| pattern.matches(stream)))
    }
}

/// Grants. Somebody may do an action to a stream if one of them has a pattern for the action and one for the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    grants: Vec<Grant>,
}

impl Policy {
    /// Allows what one of `grants` allows.
    pub fn new(grants: Vec<Grant>) -> Self {
        Self { grants }
    }

    /// Bytes of memory that it has taken.
    pub fn bytes(&self) -> usize {
        self.grants.iter().map(|grant| size_of_val(grant) + grant.bytes()).sum()
    }

    /// Whether `action`, such as `kinesis:PutRecord`, is allowed for the stream; without one, for an action that is
    /// about none in particular, only the action counts. Letters of actions are equal in both cases, as in AWS.
    pub fn allows(&self, action: &str, stream: Option<&str>) -> bool {
        let action = action.to_ascii_lowercase();
        self.grants.iter().any(|grant| grant.allows(&action, stream))
    }

    /// The same for an action of the native routes.
    pub fn permits(&self, action: Action, stream: Option<&str>) -> bool {
        self.grants.iter().any(|grant| grant.allows(action.as_str(), stream))
    }
}

/// A pattern of actions: `kinesis:Put*`, `firehose:*`, `*`.
///
/// # Errors
/// For a character that no action has.
pub fn action_pattern(text: &str) -> Result<Pattern, PatternError> {
    Pattern::parse(&text.to_ascii_lowercase(), |letter| {
        letter.is_ascii_alphanumeric() || matches!(letter, ':' | '_')
    })
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
        let streams = streams.iter().map(|text| stream_pattern(text).expect("a stream")).collect();
        Policy::new(vec![Grant::new(actions, streams)])
    }

    fn grants(texts: &[&str]) -> Policy {
        Policy::new(texts.iter().map(|text| Grant::parse(text).expect("a grant")).collect())
    }

    #[test]
    fn a_grant_is_for_its_action_and_its_streams() {
        let policy = grants(&["ingest:web-*", "tap:orders"]);
        assert!(policy.permits(Action::Ingest, Some("web-1")));
        assert!(policy.permits(Action::Tap, Some("orders")));
        assert!(policy.permits(Action::Tap, None), "an action that is about no stream");
        for (action, stream) in [
            (Action::Tap, Some("web-1")),
            (Action::Ingest, Some("orders")),
            (Action::Ingest, Some("web")),
            (Action::Admin, None),
            // What a tap shows for a while is not what was ever refused.
            (Action::DeadLetters, Some("orders")),
            (Action::DeadLetters, None),
        ] {
            assert!(!policy.permits(action, stream), "{action:?} {stream:?}");
        }
        assert!(!policy.allows("kinesis:PutRecord", Some("web-1")));
        let letters = grants(&["dead_letters:web-*"]);
        assert!(letters.permits(Action::DeadLetters, Some("web-1")));
        assert!(!letters.permits(Action::DeadLetters, Some("orders")));
        assert!(
            !letters.permits(Action::Tap, Some("web-1")) && !letters.permits(Action::Admin, Some("web-1"))
        );
        for action in Action::ALL {
            assert!(grants(&["*:a"]).permits(action, Some("a")));
            assert!(!grants(&["*:a"]).permits(action, Some("b")));
        }
    }

    #[test]
    fn a_grant_of_another_form_is_none() {
        for text in ["ingest", "ingest:", ":web", ""] {
            assert_eq!(Grant::parse(text), Err(GrantError::Form), "{text}");
        }
        for text in ["Ingest:web", "in*:web", "kinesis:PutRecord", "dead:web", "dead_*:web"] {
            assert_eq!(Grant::parse(text), Err(GrantError::Action), "{text}");
        }
        assert_eq!(Grant::parse("tap:a/b"), Err(GrantError::Stream(PatternError('/'))));
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
