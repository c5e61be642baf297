//! Answers that a client may keep, and asks for again with the tag that they had (RFC 9110, sections 8.8.3 and 13.1.2).
//!
//! The server keeps none of them unless it is told to ([`answer_cache`](super::answer_cache)): making one takes little.
//! What a client has kept is for itself alone (`private`), and it is to ask each time (`no-cache`): streams change with
//! each record.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use xxhash_rust::xxh3::xxh3_128;

use super::reply::{self, Body};

/// The answer to a `GET`: JSON with its tag, or 304 where the client has it already.
pub fn tagged(headers: &HeaderMap, body: Vec<u8>) -> Response<Body> {
    let tag = tag_of(&body);
    let mut response = match tag.as_ref().is_some_and(|tag| is_known(headers, tag)) {
        false => reply::json(StatusCode::OK, body),
        true => {
            let mut response = Response::new(Body::default());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
    };
    let headers = response.headers_mut();
    if let Some(tag) = tag {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

/// The tag of an answer: always there, since digits in quotes are a value.
pub fn tag_of(body: &[u8]) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{:032x}\"", xxh3_128(body))).ok()
}

/// Whether the client names the tag as one that it has, or any.
pub fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut named = values.flat_map(|value| value.split(',')).map(str::trim);
    named.any(|named| named == "*" || named.strip_prefix("W/").unwrap_or(named) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(tags: &[&str], body: &str) -> (u16, String, Option<String>) {
        let mut headers = HeaderMap::new();
        for tag in tags {
            headers.append(header::IF_NONE_MATCH, tag.parse().unwrap());
        }
        let response = tagged(&headers, body.as_bytes().to_vec());
        let text = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(text(header::CACHE_CONTROL).as_deref(), Some("private, no-cache"));
        (response.status().as_u16(), text(header::ETAG).unwrap(), text(header::CONTENT_TYPE))
    }

    #[test]
    fn who_has_it_already_is_told_so() {
        let (status, tag, _) = ask(&[], "{}");
        assert_eq!(status, 200);
        let weak = format!("W/{tag}");
        let listed = format!("\"x\", {tag} ,\"y\"");
        for known in [&[tag.as_str()][..], &[&weak], &["*"], &[&listed], &["\"x\"", &tag]] {
            assert_eq!(ask(known, "{}"), (304, tag.clone(), None), "{known:?}");
        }
        let unquoted = tag.trim_matches('"');
        for other in [&["\"x\""][..], &[unquoted], &["", ","], &["W/*"]] {
            assert_eq!(ask(other, "{}").0, 200, "{other:?}");
        }
        let (status, changed, kind) = ask(&[&tag], "{ }");
        assert_eq!((status, kind.as_deref()), (200, Some("application/json")));
        assert_ne!(changed, tag);
    }
}
