//! The operations that make, change and show delivery streams.

use std::sync::Arc;

use http::Response;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::delivery_stream::{
    CreateInput, DESTINATION_ID, EncryptionKey, Tag, one_destination, validate_tags,
};
use super::destination::Destination;
use super::registry::{DeliveryStreams, Entry};
use super::validation::{Constraints, TAGS_MAX};
use super::{describe, not_found, pipeline, unsupported};
use crate::edge::Edge;
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::edge::aws::{Caller, Request};
use crate::edge::reply::Body;
use crate::runtime::clock;

/// Names of a page where the client does not say how many.
const NAMES_DEFAULT: usize = 10;

type Answer = Result<Response<Body>, Failure>;

/// A request that names a delivery stream. It has other members for other operations.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Named {
    delivery_stream_name: Option<String>,
    allow_force_delete: Option<bool>,
    limit: Option<i64>,
    exclusive_start_tag_key: Option<String>,
    exclusive_start_delivery_stream_name: Option<String>,
    delivery_stream_type: Option<String>,
    tags: Option<Vec<Tag>>,
    tag_keys: Option<Vec<String>>,
    delivery_stream_encryption_configuration_input: Option<EncryptionKey>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Update {
    delivery_stream_name: Option<String>,
    current_delivery_stream_version_id: Option<String>,
    destination_id: Option<String>,
    #[serde(rename = "S3DestinationUpdate")]
    s3_destination_update: Option<Destination>,
    #[serde(rename = "ExtendedS3DestinationUpdate")]
    extended_s3_destination_update: Option<Destination>,
    #[serde(flatten)]
    other: std::collections::BTreeMap<String, Value>,
}

/// Reads members; one that the API does not have is told apart from a wrong shape.
fn members<T: DeserializeOwned>(request: &Request<'_>) -> Result<T, Failure> {
    let value: Value = request.members()?;
    serde_json::from_value(value).map_err(|error| {
        let text = error.to_string();
        match text.starts_with("unknown field") {
            true => Failure::invalid(text),
            false => Failure::new(FailureKind::Serialization, text),
        }
    })
}

fn registry(edge: &Edge) -> Result<&Arc<DeliveryStreams>, Failure> {
    edge.control()?;
    let missing = || Failure::new(FailureKind::ServiceUnavailable, "the node is starting");
    edge.aws.delivery_streams.get().ok_or_else(missing)
}

/// The name, after the constraints of the model; `check` adds more of them.
fn name(named: &Named, check: impl FnOnce(&mut Constraints)) -> Result<String, Failure> {
    let mut constraints = Constraints::new();
    constraints.name("deliveryStreamName", named.delivery_stream_name.as_ref());
    check(&mut constraints);
    constraints.checked()?;
    Ok(named.delivery_stream_name.clone().unwrap_or_default())
}

/// Runs a change to its end, alone.
async fn alone(
    edge: &Edge,
    change: impl FnOnce(&DeliveryStreams, &crate::pipeline::control::Control) -> Result<(), Failure>
    + Send
    + 'static,
) -> Result<(), Failure> {
    let (control, registry) = (Arc::clone(edge.control()?), Arc::clone(registry(edge)?));
    let changed = control.alone(move |control| change(&registry, control)).await;
    changed.map_err(|error| Failure::new(FailureKind::ServiceUnavailable, error.to_string()))?
}

/// One that there is, and that no file says everything about.
fn changeable(edge: &Edge, name: &str, caller: &Caller<'_>) -> Result<Arc<Entry>, Failure> {
    caller.authorize_delivery_stream(name)?;
    if let Some(entry) = registry(edge)?.get(name) {
        return Ok(entry);
    }
    Err(match pipeline(edge, name) {
        Some(_) => Failure::new(
            FailureKind::ResourceInUse,
            format!("Firehose {name} is a pipeline of this node's configuration: change its file"),
        ),
        None => not_found(name, caller.account()),
    })
}

/// CreateDeliveryStream.
///
/// # Errors
/// Why it is refused.
pub async fn create(edge: &Edge, request: &Request<'_>) -> Answer {
    let input: CreateInput = members(request)?;
    let delivery_stream = input.delivery_stream(clock::wall().as_millis())?;
    request.caller.authorize_delivery_stream(&delivery_stream.name)?;
    let (arn, account) =
        (request.caller.delivery_stream_arn(&delivery_stream.name), request.caller.account().to_owned());
    alone(edge, move |registry, control| registry.create(control, delivery_stream, &account)).await?;
    request.reply(&json!({ "DeliveryStreamARN": arn }))
}

/// UpdateDestination.
///
/// # Errors
/// Why it is refused.
pub async fn update(edge: &Edge, request: &Request<'_>) -> Answer {
    let update: Update = members(request)?;
    let mut constraints = Constraints::new();
    constraints.name("deliveryStreamName", update.delivery_stream_name.as_ref());
    let version = update.current_delivery_stream_version_id;
    constraints.required("currentDeliveryStreamVersionId", version.as_ref());
    constraints.length("currentDeliveryStreamVersionId", version.as_deref(), 1, 50);
    constraints.required("destinationId", update.destination_id.as_ref());
    constraints.length("destinationId", update.destination_id.as_deref(), 1, 100);
    if let Some(plain) = &update.s3_destination_update {
        constraints.destination("s3DestinationUpdate", plain, true);
    }
    if let Some(extended) = &update.extended_s3_destination_update {
        constraints.destination("extendedS3DestinationUpdate", extended, true);
    }
    constraints.checked()?;
    if let Some((member, _)) = update.other.iter().find(|(_, value)| !value.is_null()) {
        return Err(unsupported(member));
    }
    let name = update.delivery_stream_name.unwrap_or_default();
    changeable(edge, &name, &request.caller)?;
    let destination = one_destination(update.s3_destination_update, update.extended_s3_destination_update)?;
    let (account, id) = (request.caller.account().to_owned(), update.destination_id.unwrap_or_default());
    alone(edge, move |registry, control| {
        registry.update_destination(control, (&name, &account), |delivery_stream| {
            if id != DESTINATION_ID {
                let text = format!("Destination Id {id} not found for Firehose {}", delivery_stream.name);
                return Err(Failure::invalid(text));
            }
            let current = delivery_stream.version.to_string();
            if version.as_deref() != Some(current.as_str()) {
                let text = format!(
                    "Cannot update firehose: {} since the current version id: {current} and specified version id: {} do not match",
                    delivery_stream.name,
                    version.unwrap_or_default()
                );
                return Err(Failure::new(FailureKind::ConcurrentModification, text));
            }
            delivery_stream.version += 1;
            delivery_stream.updated_ms = Some(clock::wall().as_millis());
            delivery_stream.destination = delivery_stream.destination.clone().updated(destination);
            Ok(())
        })
    })
    .await?;
    request.reply(&json!({}))
}

/// DeleteDeliveryStream.
///
/// # Errors
/// Why it is refused.
pub async fn delete(edge: &Edge, request: &Request<'_>) -> Answer {
    let named: Named = members(request)?;
    let name = name(&named, |_| {})?;
    changeable(edge, &name, &request.caller)?;
    let (account, is_forced) =
        (request.caller.account().to_owned(), named.allow_force_delete.unwrap_or(false));
    alone(edge, move |registry, control| registry.delete(control, (&name, &account), is_forced)).await?;
    request.reply(&json!({}))
}

/// DescribeDeliveryStream.
///
/// # Errors
/// Why it is refused.
pub fn describe(edge: &Edge, request: &Request<'_>) -> Answer {
    let named: Named = members(request)?;
    let name = name(&named, |constraints| constraints.range("limit", named.limit, 1, 10_000))?;
    request.caller.authorize_delivery_stream(&name)?;
    let description = match registry(edge)?.get(&name) {
        Some(entry) => describe::description(&entry, &request.caller),
        None => {
            let intake = pipeline(edge, &name).ok_or_else(|| not_found(&name, request.caller.account()))?;
            let created = intake.stream.layout().shards().first().map_or(0, |shard| shard.facts.created);
            describe::pipeline_description(&name, created, &request.caller)
        }
    };
    request.reply(&json!({ "DeliveryStreamDescription": description }))
}

/// ListDeliveryStreams.
///
/// # Errors
/// Why it is refused.
pub fn list(edge: &Edge, request: &Request<'_>) -> Answer {
    let named: Named = members(request)?;
    let mut constraints = Constraints::new();
    constraints.range("limit", named.limit, 1, 10_000);
    let kinds = ["DirectPut", "KinesisStreamAsSource", "MSKAsSource", "DatabaseAsSource"];
    constraints.word("deliveryStreamType", named.delivery_stream_type.as_deref(), &kinds);
    constraints.checked()?;
    let is_wanted = |kind: &str| named.delivery_stream_type.as_deref().is_none_or(|wanted| wanted == kind);
    let mut names: Vec<String> = registry(edge)?
        .all()
        .iter()
        .map(|entry| &entry.delivery_stream)
        .filter(|delivery_stream| is_wanted(delivery_stream.kind()))
        .map(|delivery_stream| delivery_stream.name.clone())
        .collect();
    if is_wanted("DirectPut") {
        let streams = edge.intakes();
        let streams = streams.iter().map(|intake| intake.stream.name().to_string());
        names.extend(streams.filter(|name| pipeline(edge, name).is_some()));
    }
    names.retain(|name| request.caller.sees(name));
    names.sort();
    names.dedup();
    let start = named.exclusive_start_delivery_stream_name;
    let begin = start.map_or(0, |start| names.partition_point(|name| *name <= start));
    let page = named.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(NAMES_DEFAULT);
    let rest = names.get(begin..).unwrap_or_default();
    let shown = rest.get(..page).unwrap_or(rest);
    request.reply(&json!({
        "DeliveryStreamNames": shown,
        "HasMoreDeliveryStreams": shown.len() < rest.len(),
    }))
}

/// TagDeliveryStream.
///
/// # Errors
/// Why it is refused.
pub async fn tag(edge: &Edge, request: &Request<'_>) -> Answer {
    let named: Named = members(request)?;
    let name = name(&named, |constraints| {
        constraints.required("tags", named.tags.as_ref());
        validate_tags(named.tags.as_deref().unwrap_or(&[Tag::default()]), constraints);
    })?;
    changeable(edge, &name, &request.caller)?;
    let (tags, account) = (named.tags.unwrap_or_default(), request.caller.account().to_owned());
    alone(edge, move |registry, _| {
        registry.update(&name, &account, |delivery_stream| {
            let new = tags.into_iter().map(|tag| (tag.key.unwrap_or_default(), tag.value));
            delivery_stream.tags.extend(new);
            if delivery_stream.tags.len() > TAGS_MAX {
                let text = format!("A delivery stream can have at most {TAGS_MAX} tags");
                return Err(Failure::new(FailureKind::LimitExceeded, text));
            }
            Ok(())
        })
    })
    .await?;
    request.reply(&json!({}))
}

/// UntagDeliveryStream.
///
/// # Errors
/// Why it is refused.
pub async fn untag(edge: &Edge, request: &Request<'_>) -> Answer {
    let named: Named = members(request)?;
    let name = name(&named, |constraints| {
        constraints.required("tagKeys", named.tag_keys.as_ref());
        constraints.count("tagKeys", named.tag_keys.as_ref().map(Vec::len), 1, TAGS_MAX);
    })?;
    changeable(edge, &name, &request.caller)?;
    let (keys, account) = (named.tag_keys.unwrap_or_default(), request.caller.account().to_owned());
    alone(edge, move |registry, _| {
        registry.update(&name, &account, |delivery_stream| {
            delivery_stream.tags.retain(|key, _| !keys.contains(key));
            Ok(())
        })
    })
    .await?;
    request.reply(&json!({}))
}

/// ListTagsForDeliveryStream.
///
/// # Errors
/// Why it is refused.
pub fn list_tags(edge: &Edge, request: &Request<'_>) -> Answer {
    let named: Named = members(request)?;
    let name = name(&named, |constraints| constraints.range("limit", named.limit, 1, TAGS_MAX as i64))?;
    request.caller.authorize_delivery_stream(&name)?;
    let tags = match registry(edge)?.get(&name) {
        Some(entry) => entry.delivery_stream.tags.clone(),
        None if pipeline(edge, &name).is_some() => Default::default(),
        None => return Err(not_found(&name, request.caller.account())),
    };
    let start = named.exclusive_start_tag_key.unwrap_or_default();
    let rest: Vec<_> = tags.iter().filter(|(key, _)| start.is_empty() || **key > start).collect();
    let page = named.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(TAGS_MAX);
    let shown: Vec<_> = rest
        .iter()
        .take(page)
        .map(|(key, value)| match value {
            Some(value) => json!({ "Key": key, "Value": value }),
            None => json!({ "Key": key }),
        })
        .collect();
    request.reply(&json!({ "Tags": shown, "HasMoreTags": shown.len() < rest.len() }))
}

/// StartDeliveryStreamEncryption, and StopDeliveryStreamEncryption without a key: a label.
///
/// # Errors
/// Why it is refused.
pub async fn encrypt(edge: &Edge, request: &Request<'_>, is_on: bool) -> Answer {
    let named: Named = members(request)?;
    let key = named.delivery_stream_encryption_configuration_input.clone();
    let name = name(&named, |constraints| {
        if let Some(key) = &key {
            key.validate("deliveryStreamEncryptionConfigurationInput", constraints);
        }
    })?;
    let entry = changeable(edge, &name, &request.caller)?;
    if entry.delivery_stream.source.is_some() {
        let text = "Server-side encryption is for delivery streams of type DirectPut: the source has its own";
        return Err(Failure::invalid(text));
    }
    let own = EncryptionKey { key_arn: None, key_type: Some("AWS_OWNED_CMK".to_owned()) };
    let (key, account) = (is_on.then(|| key.unwrap_or(own)), request.caller.account().to_owned());
    alone(edge, move |registry, _| {
        registry.update(&name, &account, |delivery_stream| {
            delivery_stream.encryption = key;
            Ok(())
        })
    })
    .await?;
    request.reply(&json!({}))
}
