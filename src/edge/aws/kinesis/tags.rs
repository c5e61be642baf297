//! AddTagsToStream, RemoveTagsFromStream, ListTagsForStream.

use std::collections::BTreeMap;

use http::Response;
use serde::{Deserialize, Serialize};

use super::stream::StreamRef;
use crate::config::limits::KINESIS_TAGS_MAX;
use crate::edge::Edge;
use crate::edge::aws::Request;
use crate::edge::aws::protocol::failure::Failure;
use crate::edge::aws::protocol::validation::Violations;
use crate::edge::reply::Body;

/// Tags of a page where nothing is said.
const PAGE_DEFAULT: usize = 10;

/// Checks tags of a request, of which there are at least `min`.
pub fn check_tags(tags: &BTreeMap<String, String>, min: usize, violations: &mut Violations) {
    violations.count("tags", tags.len(), min, KINESIS_TAGS_MAX);
    for (key, value) in tags {
        violations.text("tags.key", Some(key), 1, 128, None);
        violations.text("tags.value", Some(value), 0, 256, None);
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AddMembers {
    #[serde(flatten)]
    stream: StreamRef,
    tags: Option<BTreeMap<String, String>>,
}

/// AddTagsToStream.
///
/// # Errors
/// Why it is refused.
pub async fn add(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let members: AddMembers = request.members()?;
    let mut violations = Violations::default();
    members.stream.check(&mut violations);
    violations.required("tags", &members.tags);
    let tags = members.tags.unwrap_or_default();
    check_tags(&tags, 1, &mut violations);
    violations.finish()?;
    let intake = members.stream.find(edge, &request.caller)?;
    let adding = edge.control()?.update(intake.stream.name(), move |properties| {
        properties.tags.extend(tags);
        if properties.tags.len() > KINESIS_TAGS_MAX {
            let text = format!("A stream cannot have more than {KINESIS_TAGS_MAX} tags associated with it.");
            return Err(Failure::invalid(text));
        }
        Ok(())
    });
    adding.await??;
    Ok(request.empty())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RemoveMembers {
    #[serde(flatten)]
    stream: StreamRef,
    tag_keys: Option<Vec<String>>,
}

/// RemoveTagsFromStream.
///
/// # Errors
/// Why it is refused.
pub async fn remove(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let members: RemoveMembers = request.members()?;
    let mut violations = Violations::default();
    members.stream.check(&mut violations);
    violations.required("tagKeys", &members.tag_keys);
    let keys = members.tag_keys.unwrap_or_default();
    violations.count("tagKeys", keys.len(), 1, 50);
    for key in &keys {
        violations.text("tagKeys.member", Some(key), 1, 128, None);
    }
    violations.finish()?;
    let intake = members.stream.find(edge, &request.caller)?;
    let removing = edge.control()?.update(intake.stream.name(), move |properties| {
        for key in &keys {
            properties.tags.remove(key);
        }
        Ok::<_, Failure>(())
    });
    removing.await??;
    Ok(request.empty())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListMembers {
    #[serde(flatten)]
    stream: StreamRef,
    exclusive_start_tag_key: Option<String>,
    limit: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    tags: Vec<Tag>,
    has_more_tags: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

/// ListTagsForStream.
///
/// # Errors
/// Why it is refused.
pub fn list(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let members: ListMembers = request.members()?;
    let mut violations = Violations::default();
    members.stream.check(&mut violations);
    violations.text("exclusiveStartTagKey", members.exclusive_start_tag_key.as_deref(), 1, 128, None);
    violations.number("limit", members.limit, 1, 50);
    violations.finish()?;
    let intake = members.stream.find(edge, &request.caller)?;
    let properties = edge.control()?.properties(intake.stream.name())?;
    let after = members.exclusive_start_tag_key.unwrap_or_default();
    let page = members.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_DEFAULT);
    let mut rest = properties.tags.into_iter().filter(|(key, _)| *key > after);
    let tags = rest.by_ref().take(page).map(|(key, value)| Tag { key, value }).collect();
    let has_more_tags = rest.next().is_some();
    request.reply(&Listed { tags, has_more_tags })
}
