//! Cross-origin requests of browsers (the Fetch standard's CORS protocol).

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::reply::Body;
use crate::config::checked::Cors;

/// What a browser may send.
const ALLOWED_HEADERS: &str = "content-type, content-encoding, x-partition-key, idempotency-key, authorization, x-api-key, last-event-id, \
     if-none-match, cache-control, x-request-id, traceparent, tracestate";
/// What a script may read of an answer.
const EXPOSED_HEADERS: &str =
    "retry-after, www-authenticate, ratelimit, ratelimit-policy, etag, age, cache-status, x-request-id";

/// The value of `Access-Control-Allow-Origin` for this request, if its origin is allowed.
pub fn allowed_origin(cors: Option<&Cors>, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let origins = &cors?.origins;
    if origins.iter().any(|allowed| allowed == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

/// Marks an answer as readable for `origin`, and where it is asked for also for requests with credentials.
pub fn decorate(response: &mut Response<Body>, origin: HeaderValue, cors: Option<&Cors>) {
    let headers = response.headers_mut();
    if cors.is_some_and(|cors| cors.takes_credentials) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

/// The answer to `OPTIONS`. Without an allowed origin it carries no permission, and the browser refuses.
pub fn preflight(cors: Option<&Cors>, allow: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    if let Some(cors) = cors {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(allow));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_HEADERS));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(cors.max_age.as_secs()));
    }
    response
}
