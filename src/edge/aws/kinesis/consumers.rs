//! Registered consumers: RegisterStreamConsumer, DeregisterStreamConsumer, DescribeStreamConsumer, ListStreamConsumers.

use std::collections::BTreeMap;

use http::Response;
use serde::{Deserialize, Serialize};

use super::list_shards::refuse_token;
use super::shapes::seconds;
use super::stream::{find, stream_of_arn};
use super::tags::check_tags;
use crate::config::limits::{KINESIS_CONSUMERS_MAX, KINESIS_PAGE_MAX};
use crate::edge::Edge;
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::edge::aws::protocol::validation::{Pattern, Violations};
use crate::edge::aws::protocol::values::Time;
use crate::edge::aws::seal::TokenKind;
use crate::edge::aws::{Caller, Request};
use crate::edge::reply::Body;
use crate::node::Consumer;
use crate::runtime::clock;

/// Consumers of a page where nothing is said.
const PAGE_DEFAULT: usize = 100;

/// Whose name all over the world is `{stream}/consumer/{name}:{created}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerName {
    /// The stream.
    pub stream: String,
    /// Its name there.
    pub name: String,
    /// When it was registered, in seconds; one of the same name that was registered later is another one.
    pub created: Option<u64>,
}

impl ConsumerName {
    /// Reads an ARN.
    pub fn of_arn(arn: &str) -> Option<Self> {
        let (stream, consumer) = stream_of_arn(arn)?.split_once("/consumer/")?;
        let (name, created) = consumer.rsplit_once(':')?;
        Some(Self { stream: stream.to_owned(), name: name.to_owned(), created: Some(created.parse().ok()?) })
    }

    /// What is known of it.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub fn find(&self, edge: &Edge, caller: &Caller<'_>) -> Result<Consumer, Failure> {
        find(edge, caller, &self.stream)?;
        let properties = edge.control()?.properties(&self.stream)?;
        let consumer = properties.consumers.get(&self.name);
        let consumer =
            consumer.filter(|consumer| self.created.is_none_or(|created| created == consumer.created));
        consumer.cloned().ok_or_else(|| {
            Failure::not_found(format!(
                "Consumer {} under stream {} of account {} not found.",
                self.name,
                self.stream,
                caller.account()
            ))
        })
    }
}

/// `Consumer` and `ConsumerDescription`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shape {
    consumer_name: String,
    #[serde(rename = "ConsumerARN")]
    consumer_arn: String,
    consumer_status: &'static str,
    consumer_creation_timestamp: Time,
    #[serde(rename = "StreamARN", skip_serializing_if = "Option::is_none")]
    stream_arn: Option<String>,
}

impl Shape {
    fn of(caller: &Caller<'_>, stream: &str, name: &str, created: u64) -> Self {
        Self {
            consumer_name: name.to_owned(),
            consumer_arn: format!("{}/consumer/{name}:{created}", caller.stream_arn(stream)),
            consumer_status: "ACTIVE",
            consumer_creation_timestamp: seconds(created),
            stream_arn: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RegisterMembers {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    consumer_name: Option<String>,
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Registered {
    consumer: Shape,
}

/// RegisterStreamConsumer.
///
/// # Errors
/// Why it is refused.
pub async fn register(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let members: RegisterMembers = request.members()?;
    let mut violations = Violations::default();
    violations.required("streamARN", &members.stream_arn);
    violations.text("streamARN", members.stream_arn.as_deref(), 1, 2_048, Some(Pattern::STREAM_ARN));
    violations.required("consumerName", &members.consumer_name);
    violations.text("consumerName", members.consumer_name.as_deref(), 1, 128, Some(Pattern::NAME));
    let tags = members.tags.unwrap_or_default();
    check_tags(&tags, 0, &mut violations);
    violations.finish()?;
    let stream = members.stream_arn.as_deref().and_then(stream_of_arn).unwrap_or_default();
    let name = members.consumer_name.unwrap_or_default();
    find(edge, &request.caller, stream)?;
    let created = u64::try_from(clock::wall().0 / 1_000_000).unwrap_or_default();
    let account = request.caller.account().to_owned();
    let (of, new) = (stream.to_owned(), name.clone());
    let registering = edge.control()?.update(stream, move |properties| {
        if properties.consumers.contains_key(&new) {
            let text = format!("Consumer {new} under stream {of} of account {account} already exists.");
            return Err(Failure::new(FailureKind::ResourceInUse, text));
        }
        if properties.consumers.len() >= KINESIS_CONSUMERS_MAX {
            let text = format!("A stream has {KINESIS_CONSUMERS_MAX} consumers at most.");
            return Err(Failure::new(FailureKind::LimitExceeded, text));
        }
        properties.consumers.insert(new, Consumer { created, tags });
        Ok(())
    });
    registering.await??;
    request.reply(&Registered { consumer: Shape::of(&request.caller, stream, &name, created) })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NameMembers {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    consumer_name: Option<String>,
    #[serde(rename = "ConsumerARN")]
    consumer_arn: Option<String>,
}

impl NameMembers {
    fn name(self) -> Result<ConsumerName, Failure> {
        let mut violations = Violations::default();
        violations.text("streamARN", self.stream_arn.as_deref(), 1, 2_048, Some(Pattern::STREAM_ARN));
        violations.text("consumerName", self.consumer_name.as_deref(), 1, 128, Some(Pattern::NAME));
        violations.text("consumerARN", self.consumer_arn.as_deref(), 1, 2_048, Some(Pattern::CONSUMER_ARN));
        violations.finish()?;
        let by_arn = self.consumer_arn.as_deref().and_then(ConsumerName::of_arn);
        let stream = self.stream_arn.as_deref().and_then(stream_of_arn);
        let by_name = stream.zip(self.consumer_name).map(|(stream, name)| ConsumerName {
            stream: stream.to_owned(),
            name,
            created: None,
        });
        by_arn.or(by_name).ok_or_else(|| {
            Failure::invalid("Either ConsumerARN, or StreamARN and ConsumerName must be provided.")
        })
    }
}

/// DeregisterStreamConsumer.
///
/// # Errors
/// Why it is refused.
pub async fn deregister(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let name = request.members::<NameMembers>()?.name()?;
    name.find(edge, &request.caller)?;
    let consumer = name.name.clone();
    let removing = edge.control()?.update(&name.stream, move |properties| {
        properties.consumers.remove(&consumer);
        Ok::<_, Failure>(())
    });
    removing.await??;
    edge.aws.subscriptions.end(&name.stream, &name.name);
    Ok(request.empty())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    consumer_description: Shape,
}

/// DescribeStreamConsumer.
///
/// # Errors
/// Why it is refused.
pub fn describe(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let name = request.members::<NameMembers>()?.name()?;
    let consumer = name.find(edge, &request.caller)?;
    let stream_arn = Some(request.caller.stream_arn(&name.stream));
    let shape = Shape::of(&request.caller, &name.stream, &name.name, consumer.created);
    request.reply(&Described { consumer_description: Shape { stream_arn, ..shape } })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListMembers {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    consumers: Vec<Shape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// ListStreamConsumers.
///
/// # Errors
/// Why it is refused.
pub fn list(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let members: ListMembers = request.members()?;
    let mut violations = Violations::default();
    violations.required("streamARN", &members.stream_arn);
    violations.text("streamARN", members.stream_arn.as_deref(), 1, 2_048, Some(Pattern::STREAM_ARN));
    violations.text("nextToken", members.next_token.as_deref(), 1, 1 << 20, None);
    violations.number("maxResults", members.max_results, 1, KINESIS_PAGE_MAX as i64);
    violations.finish()?;
    let stream = members.stream_arn.as_deref().and_then(stream_of_arn).unwrap_or_default();
    find(edge, &request.caller, stream)?;
    let now = clock::wall();
    let after: Option<(String, String)> = match members.next_token.as_deref() {
        Some(token) => Some(edge.open_token((TokenKind::Consumers, token), now, refuse_token)?),
        None => None,
    };
    if after.as_ref().is_some_and(|(of, _)| of != stream) {
        return Err(Failure::invalid("NextToken does not belong to the stream that is named."));
    }
    let after = after.map(|(_, name)| name).unwrap_or_default();
    let page = members.max_results.and_then(|max| usize::try_from(max).ok()).unwrap_or(PAGE_DEFAULT);
    let properties = edge.control()?.properties(stream)?;
    let mut rest = properties.consumers.iter().filter(|(name, _)| **name > after);
    let shape =
        |(name, consumer): (&String, &Consumer)| Shape::of(&request.caller, stream, name, consumer.created);
    let consumers: Vec<_> = rest.by_ref().take(page).map(shape).collect();
    let last = consumers.last().filter(|_| rest.next().is_some());
    let next_token =
        last.map(|last| edge.aws.seal.seal(TokenKind::Consumers, &(stream, &last.consumer_name), now));
    request.reply(&Listed { consumers, next_token })
}
