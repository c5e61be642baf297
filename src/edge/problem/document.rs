//! Problems as documents, and as answers.

use http::{HeaderValue, Response, StatusCode, Version, header};
use serde::Serialize;

use super::Problem;
use crate::edge::reply::Body;
use crate::telemetry::request_id::RequestId;

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    shards: &'a [String],
    /// Which quota or limit is used up.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
    /// The same without names, as the `RateLimit` fields have it.
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    violated_policies: Vec<String>,
    /// Seconds, as in the header, for whoever sees no header.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// As in the header, for whoever reports the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// The problem type of limits, of the draft that the `RateLimit` fields are of.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// Seconds after which a client may try again when memory is short: about the time in which a stalled sink shows
/// whether it comes back, and long enough that refused clients do not add to the load.
const RETRY_AFTER_SECONDS: u64 = 1;

impl Problem {
    /// The problem document. Of a message there is no id of a request.
    pub fn document(&self, request_id: Option<&str>) -> Vec<u8> {
        let (status, code, title) = self.facts();
        let detail = self.detail();
        let (limit, retry_after) = match self {
            Problem::Throttled(throttled) => (Some(throttled.quota.name().to_owned()), self.retry_after()),
            Problem::Limited(refusal) => (Some(refusal.to_string()), self.retry_after()),
            _ => (None, None),
        };
        let (r#type, violated_policies) = match self {
            Problem::Limited(refusal) => (QUOTA_EXCEEDED, vec![refusal.policy_name()]),
            _ => ("about:blank", Vec::new()),
        };
        let shards = match self {
            Problem::LeaseLost { shards } => shards.as_slice(),
            _ => &[],
        };
        let (status, detail) = (status.as_u16(), detail.as_str());
        let document = Document {
            r#type,
            title,
            status,
            code,
            detail,
            shards,
            limit,
            violated_policies,
            retry_after,
            request_id,
        };
        // A struct of strings always serialises.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// The whole answer to the request of that id.
    pub fn into_response(self, request_id: &RequestId) -> Response<Body> {
        let status = self.status();
        let mut response = Response::new(Body::whole(self.document(Some(request_id.as_str()))));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Problem::MethodNotAllowed { allow } = &self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if let Problem::Unauthenticated { challenge: Some(challenge), .. } = &self {
            headers.insert(header::WWW_AUTHENTICATE, challenge.clone());
        }
        if let Problem::Limited(refusal) = &self {
            for (name, value) in
                [("ratelimit-policy", refusal.policy_field()), ("ratelimit", refusal.limit_field())]
            {
                // Names of limits are visible ASCII.
                if let Ok(value) = HeaderValue::try_from(value) {
                    headers.insert(name, value);
                }
            }
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// The same over a version of HTTP. What follows an ambiguous request on its connection is not read.
    pub fn into_response_over(self, version: Version, request_id: &RequestId) -> Response<Body> {
        let is_last = matches!(self, Problem::Ambiguous(_)) && version < Version::HTTP_2;
        let mut response = self.into_response(request_id);
        if is_last {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Seconds after which a client may try again, if it may.
    fn retry_after(&self) -> Option<u64> {
        match (self, self.status()) {
            // Whole ones, rounded up: what is asked for too early is asked for twice.
            (Problem::Throttled(throttled), _) => Some(throttled.wait.as_secs_f64().ceil().max(1.0) as u64),
            (Problem::Limited(refusal), _) => Some(refusal.retry_after_seconds()),
            (Problem::OverFairShare, _) => Some(RETRY_AFTER_SECONDS),
            (_, StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE) => {
                Some(RETRY_AFTER_SECONDS)
            }
            _ => None,
        }
    }
}
