//! What goes wrong, and when.

use std::time::Duration;

/// What a request asks for: those that tests make go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
#[allow(missing_docs, reason = "the names are those of Kafka's protocol")]
pub enum Api {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    SyncGroup = 14,
    InitProducerId = 22,
    AddPartitionsToTxn = 24,
    EndTxn = 26,
}

impl Api {
    const ALL: [Self; 11] = [
        Self::Produce,
        Self::Fetch,
        Self::ListOffsets,
        Self::Metadata,
        Self::FindCoordinator,
        Self::JoinGroup,
        Self::Heartbeat,
        Self::SyncGroup,
        Self::InitProducerId,
        Self::AddPartitionsToTxn,
        Self::EndTxn,
    ];

    pub(super) fn of(key: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|api| *api as i16 == key)
    }
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The answer has this error code, for each partition where there are partitions. What only asks
    /// ([`Api::Fetch`], [`Api::ListOffsets`], [`Api::Metadata`], [`Api::FindCoordinator`]) is answered by the broker first, in any case.
    Error(i16),
    /// The connection is closed.
    Drop,
    /// The answer, and those behind it on the connection, come later by so much. What is not done first is asked of the
    /// broker only then.
    Late(Duration),
}

impl Fault {
    /// Something that the broker did not expect.
    pub const UNKNOWN_SERVER_ERROR: Fault = Fault::Error(-1);
    /// The topic is not there (any more).
    pub const UNKNOWN_TOPIC: Fault = Fault::Error(3);
    /// The leader has moved.
    pub const NOT_LEADER: Fault = Fault::Error(6);
    /// Replicas did not follow in time; whether the records are there is not known.
    pub const REQUEST_TIMED_OUT: Fault = Fault::Error(7);
    /// A message is larger than the topic takes.
    pub const MESSAGE_TOO_LARGE: Fault = Fault::Error(10);
    /// The coordinator of a group or of transactions has moved.
    pub const NOT_COORDINATOR: Fault = Fault::Error(16);
    /// Too few replicas are in sync for `acks=all`.
    pub const NOT_ENOUGH_REPLICAS: Fault = Fault::Error(19);
    /// The group's members are being told anew what is theirs.
    pub const REBALANCE_IN_PROGRESS: Fault = Fault::Error(27);
    /// The topic may not be used, or not any more.
    pub const TOPIC_AUTHORIZATION_FAILED: Fault = Fault::Error(29);
    /// The group may not be joined, or not any more.
    pub const GROUP_AUTHORIZATION_FAILED: Fault = Fault::Error(30);
    /// Transactions of this id may not be made, or not any more.
    pub const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: Fault = Fault::Error(53);
    /// Another producer has taken over.
    pub const PRODUCER_FENCED: Fault = Fault::Error(90);
}

/// When a fault strikes. As made by [`Rule::new`]: once, at the next request, before the broker hears of it.
#[derive(Debug, Clone)]
pub struct Rule {
    api: Option<Api>,
    pub(super) fault: Fault,
    pub(super) done_first: bool,
    pub(super) topic: Option<String>,
    larger_than: usize,
    skip: u64,
    times: u64,
    per_mille: u32,
}

impl Rule {
    /// For requests of one kind.
    pub fn new(api: Api, fault: Fault) -> Self {
        Self { api: Some(api), ..Self::any(fault) }
    }

    /// For requests of all kinds that have a name here.
    pub fn any(fault: Fault) -> Self {
        let (done_first, topic, larger_than) = (false, None, 0);
        Self { api: None, fault, done_first, topic, larger_than, skip: 0, times: 1, per_mille: 1_000 }
    }

    /// The broker does what it is asked for, and only its answer is lost, late or wrong.
    #[must_use]
    pub fn once_done(mut self) -> Self {
        self.done_first = true;
        self
    }

    /// Only for requests that name this topic; with [`Fault::Error`], only its partitions have the error.
    #[must_use]
    pub fn of_topic(mut self, name: &str) -> Self {
        self.topic = Some(name.to_owned());
        self
    }

    /// Only for requests of more bytes.
    #[must_use]
    pub fn larger_than(mut self, bytes: usize) -> Self {
        self.larger_than = bytes;
        self
    }

    /// Lets some requests of the kind pass first.
    #[must_use]
    pub fn after(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// Strikes so many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Strikes until [`super::FaultyBroker::heal`].
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    /// Strikes so many of a thousand requests, at random.
    #[must_use]
    pub fn in_thousand(mut self, requests: u32) -> Self {
        self.per_mille = requests;
        self
    }

    /// Whether it strikes at a request, which it then has seen.
    pub(super) fn strikes(&mut self, api: Api, request: &[u8], random: &mut fastrand::Rng) -> bool {
        let is_meant = self.times > 0
            && self.api.is_none_or(|wanted| wanted == api)
            && request.len() > self.larger_than
            && self.topic.as_ref().is_none_or(|topic| names(request, topic));
        if !is_meant {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if random.u32(..1_000) >= self.per_mille {
            return false;
        }
        self.times = self.times.saturating_sub(u64::from(self.times != u64::MAX));
        true
    }

    pub(super) fn is_over(&self) -> bool {
        self.times == 0
    }
}

/// Whether a request names a topic: whether its bytes are there as a string, wherever. Names of topics in tests are long
/// and random.
fn names(request: &[u8], topic: &str) -> bool {
    let mut wanted = bytes::BytesMut::new();
    super::wire::put_string(&mut wanted, topic);
    memchr::memmem::find(request, &wanted).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(rule: &mut Rule, api: Api, request: &[u8]) -> bool {
        rule.strikes(api, request, &mut fastrand::Rng::with_seed(1))
    }

    #[test]
    fn a_rule_strikes_once_at_its_kind_of_request() {
        let mut rule = Rule::new(Api::Produce, Fault::Drop).after(1);
        assert!(!strikes(&mut rule, Api::Fetch, b""));
        assert!(!strikes(&mut rule, Api::Produce, b"0") && !rule.is_over());
        assert!(strikes(&mut rule, Api::Produce, b"1") && rule.is_over());
        assert!(!strikes(&mut rule, Api::Produce, b"2"));
    }

    #[test]
    fn a_rule_strikes_at_its_topic_and_size_alone() {
        let mut rule = Rule::any(Fault::NOT_LEADER).of_topic("clicks").larger_than(9).always();
        assert!(!strikes(&mut rule, Api::Produce, b"\0\x07clicks2\0\0\0"));
        assert!(!strikes(&mut rule, Api::Produce, b"\0\x06clicks"));
        assert!(strikes(&mut rule, Api::Fetch, b"\0\0\x06clicks\0\0"));
    }
}
