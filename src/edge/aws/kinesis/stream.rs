//! Which stream a request is about.

use std::sync::Arc;

use serde::Deserialize;

use crate::edge::aws::Caller;
use crate::edge::aws::firehose::is_made_name;
use crate::edge::aws::protocol::failure::Failure;
use crate::edge::aws::protocol::validation::{Pattern, Violations, arn_resource};
use crate::edge::problem::Problem;
use crate::edge::{Edge, Intake};
use crate::record::ShardId;
use crate::stream::Shard;

/// The members that name a stream; every request about one has them.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamRef {
    /// Its name.
    pub stream_name: Option<String>,
    /// Its name all over the world.
    #[serde(rename = "StreamARN")]
    pub stream_arn: Option<String>,
}

impl StreamRef {
    /// Checks the constraints of the model.
    pub fn check(&self, violations: &mut Violations) {
        violations.text("streamName", self.stream_name.as_deref(), 1, 128, Some(Pattern::NAME));
        violations.text("streamARN", self.stream_arn.as_deref(), 1, 2_048, Some(Pattern::STREAM_ARN));
    }

    /// The name that it comes to.
    ///
    /// # Errors
    /// If there is none, or two.
    pub fn name(&self) -> Result<&str, Failure> {
        let from_arn = self.stream_arn.as_deref().and_then(stream_of_arn);
        match (self.stream_name.as_deref(), from_arn) {
            (Some(name), Some(other)) if name != other => {
                Err(Failure::invalid("StreamName and StreamARN do not name the same stream."))
            }
            (Some(name), _) | (None, Some(name)) => Ok(name),
            (None, None) => Err(Failure::invalid("Either StreamName or StreamARN must be provided.")),
        }
    }

    /// The stream itself, if the caller may use it.
    ///
    /// # Errors
    /// If it is not named or not there.
    pub fn find(&self, edge: &Edge, caller: &Caller<'_>) -> Result<Arc<Intake>, Failure> {
        find(edge, caller, self.name()?)
    }
}

/// The stream that an ARN of one names.
pub fn stream_of_arn(arn: &str) -> Option<&str> {
    arn_resource(arn, "kinesis", "stream/")
}

/// The stream of that name.
///
/// # Errors
/// `ResourceNotFoundException` if there is none, `ServiceUnavailableException` before there are any.
pub fn find(edge: &Edge, caller: &Caller<'_>, name: &str) -> Result<Arc<Intake>, Failure> {
    caller.authorize(name)?;
    // The streams of delivery streams are those of another service.
    let found = edge.intake(name).map(|intake| Some(intake).filter(|_| !is_made_name(name)));
    match found {
        Ok(Some(intake)) => Ok(intake),
        Ok(None) | Err(Problem::UnknownStream(_)) => {
            let account = caller.account();
            Err(Failure::not_found(format!("Stream {name} under account {account} not found.")))
        }
        Err(problem) => Err(problem.into()),
    }
}

/// The shard of that id.
///
/// # Errors
/// `ResourceNotFoundException` if the stream has none.
pub fn find_shard(intake: &Intake, caller: &Caller<'_>, id: &str) -> Result<Shard, Failure> {
    let shard = ShardId::parse(id).and_then(|id| intake.stream.layout().get(id).cloned());
    shard.ok_or_else(|| {
        let (stream, account) = (intake.stream.name(), caller.account());
        Failure::not_found(format!("Could not find shard {id} in stream {stream} under account {account}."))
    })
}
