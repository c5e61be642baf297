//! Where a reader begins: GetShardIterator, and what iterators hold.

use http::Response;
use serde::{Deserialize, Serialize};

use super::sequence::Numbering;
use super::stream::{StreamRef, find_shard};
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::edge::aws::protocol::validation::{Pattern, Violations};
use crate::edge::aws::protocol::values::Time;
use crate::edge::aws::seal::{LIFETIME, TokenError, TokenKind};
use crate::edge::aws::{Caller, Request};
use crate::edge::reply::Body;
use crate::edge::{Edge, Intake};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::{self, UnixMicros};
use crate::stream::Shard;

/// The words of `ShardIteratorType`.
pub const POSITION_TYPES: [&str; 5] =
    ["AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"];

/// A position as it is asked for.
#[derive(Debug)]
pub struct Asked<'a> {
    /// One of [`POSITION_TYPES`].
    pub kind: &'a str,
    /// For the two types that want one.
    pub number: Option<&'a str>,
    /// For the type that wants one.
    pub time: Option<Time>,
    /// The member that the number came in, for messages.
    pub number_name: &'static str,
}

impl Asked<'_> {
    /// Our own number of the first record that it wants.
    ///
    /// # Errors
    /// If what it wants is not told, or the number is none of the shard.
    pub async fn find(
        &self,
        intake: &Intake,
        caller: &Caller<'_>,
        shard: &Shard,
    ) -> Result<SequenceNumber, Failure> {
        let wants_number = matches!(self.kind, "AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER");
        if wants_number != self.number.is_some() {
            let (kind, name) = (self.kind, self.number_name);
            let also = if wants_number { "no" } else { "also a" };
            return Err(Failure::invalid(format!(
                "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and {name} or (2) TRIM_HORIZON \
                 or LATEST and no {name}. Request specified {kind} and {also} {name}."
            )));
        }
        match self.kind {
            "TRIM_HORIZON" => Ok(shard.log_ref().bounds().first),
            "LATEST" => Ok(shard.log_ref().bounds().next),
            "AT_TIMESTAMP" => self.at_time(intake, shard).await,
            kind => {
                let number = self.of_shard(intake, caller, shard)?;
                Ok(SequenceNumber(number.0.saturating_add(u64::from(kind == "AFTER_SEQUENCE_NUMBER"))))
            }
        }
    }

    fn of_shard(
        &self,
        intake: &Intake,
        caller: &Caller<'_>,
        shard: &Shard,
    ) -> Result<SequenceNumber, Failure> {
        let text = self.number.unwrap_or_default();
        Numbering::of(&shard.facts).parse(text).ok_or_else(|| {
            let (stream, account) = (intake.stream.name(), caller.account());
            Failure::invalid(format!(
                "{} {text} used in GetShardIterator on shard {} in stream {stream} under account {account} is invalid \
                 because it did not come from this stream.",
                self.number_name, shard.facts.id
            ))
        })
    }

    async fn at_time(&self, intake: &Intake, shard: &Shard) -> Result<SequenceNumber, Failure> {
        let Some(Time(time)) = self.time else {
            return Err(Failure::invalid(
                "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no \
                 timestamp parameter.",
            ));
        };
        let now = clock::wall();
        if time > now {
            let (time, now) = (time.as_millis(), now.as_millis());
            return Err(Failure::invalid(format!(
                "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. \
                 timestampInMillis: {time}, currentTimestampInMillis: {now}"
            )));
        }
        let found = intake.stream.positions_at(&[shard.facts.id], time).await?;
        Ok(found.first().map_or_else(|| shard.log_ref().bounds().next, |&(_, position)| position))
    }
}

/// What an iterator holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Iterator {
    #[serde(rename = "s")]
    pub stream: String,
    #[serde(rename = "h")]
    pub shard: ShardId,
    /// When the shard was made: one of the same id in a stream of the same name is another one.
    #[serde(rename = "c")]
    pub created: u64,
    /// The number of the next record.
    #[serde(rename = "n")]
    pub next: SequenceNumber,
}

impl Iterator {
    /// The text for the client.
    pub fn seal(&self, edge: &Edge, now: UnixMicros) -> String {
        edge.aws.seal.seal(TokenKind::Iterator, self, now)
    }

    /// Reads the text.
    ///
    /// # Errors
    /// `InvalidArgumentException` or `ExpiredIteratorException`.
    pub fn open(edge: &Edge, text: &str, now: UnixMicros) -> Result<Self, Failure> {
        edge.open_token((TokenKind::Iterator, text), now, |error| match error {
            TokenError::Forged => Failure::invalid("Invalid ShardIterator."),
            TokenError::Expired(made) => {
                let (made, now, millis) = (made.as_millis(), now.as_millis(), LIFETIME.as_millis());
                let text = format!(
                    "Iterator expired. The iterator was created at time {made} while right now it is {now} which is \
                     further in the future than the tolerated delay of {millis} milliseconds."
                );
                Failure::new(FailureKind::ExpiredIterator, text)
            }
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Members {
    #[serde(flatten)]
    stream: StreamRef,
    shard_id: Option<String>,
    shard_iterator_type: Option<String>,
    starting_sequence_number: Option<String>,
    timestamp: Option<Time>,
    dry_run: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reply {
    shard_iterator: String,
}

/// GetShardIterator.
///
/// # Errors
/// Why it is refused.
pub async fn get_shard_iterator(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let members: Members = request.members()?;
    let mut violations = Violations::default();
    members.stream.check(&mut violations);
    violations.required("shardId", &members.shard_id);
    violations.text("shardId", members.shard_id.as_deref(), 1, 128, Some(Pattern::NAME));
    violations.required("shardIteratorType", &members.shard_iterator_type);
    violations.word("shardIteratorType", members.shard_iterator_type.as_deref(), &POSITION_TYPES);
    let number = members.starting_sequence_number.as_deref();
    violations.text("startingSequenceNumber", number, 0, usize::MAX, Some(Pattern::SEQUENCE));
    violations.finish()?;
    let intake = members.stream.find(edge, &request.caller)?;
    let shard = find_shard(&intake, &request.caller, members.shard_id.as_deref().unwrap_or_default())?;
    let asked = Asked {
        kind: members.shard_iterator_type.as_deref().unwrap_or_default(),
        number,
        time: members.timestamp,
        number_name: "StartingSequenceNumber",
    };
    let next = asked.find(&intake, &request.caller, &shard).await?;
    only_if_wet(members.dry_run)?;
    let iterator = Iterator {
        stream: intake.stream.name().to_string(),
        shard: shard.facts.id,
        created: shard.facts.created,
        next,
    };
    request.reply(&Reply { shard_iterator: iterator.seal(edge, clock::wall()) })
}

/// Ends what is only tried out: everything was found well.
///
/// # Errors
/// `DryRunOperationException` if that was asked for.
pub fn only_if_wet(dry_run: Option<bool>) -> Result<(), Failure> {
    match dry_run {
        Some(true) => Err(Failure::new(
            FailureKind::DryRun,
            "The request would have succeeded, but the DryRun parameter was specified.",
        )),
        _ => Ok(()),
    }
}
