//! How requests and replies of the services stand in bodies: JSON 1.1, and CBOR 1.1 as the SDKs for Java have it.

pub mod blobs;
pub mod cbor;
pub mod event_stream;
pub mod failure;
pub mod validation;
pub mod values;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::edge::reply::Body;
use failure::{Failure, FailureKind};

/// How a body is written. The reply is written as the request was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-amz-json-1.1`.
    Json,
    /// `application/x-amz-cbor-1.1`.
    Cbor,
}

impl Encoding {
    /// Reads `Content-Type`. Other media types of JSON are taken as well; anything else is `None`.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        match text.split(';').next().unwrap_or_default().trim() {
            "application/x-amz-json-1.1" | "application/x-amz-json-1.0" | "application/json" => {
                Some(Encoding::Json)
            }
            "application/x-amz-cbor-1.1" => Some(Encoding::Cbor),
            _ => None,
        }
    }

    /// The media type of what is written so.
    pub fn media_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/x-amz-json-1.1",
            Encoding::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    /// Reads a request. An empty body stands for no members.
    ///
    /// # Errors
    /// `SerializationException` if it is none of this encoding or of another shape.
    pub fn read<'a, T: Deserialize<'a>>(self, body: &'a [u8]) -> Result<T, Failure> {
        let unreadable = |what: String| Failure::new(FailureKind::Serialization, what);
        match self {
            Encoding::Json if body.is_empty() => {
                serde_json::from_slice(b"{}").map_err(|e| unreadable(e.to_string()))
            }
            Encoding::Json if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') => {
                Err(unreadable("the body is no structure".to_owned()))
            }
            Encoding::Json => serde_json::from_slice(body).map_err(|error| unreadable(error.to_string())),
            Encoding::Cbor if body.is_empty() => {
                cbor::from_slice(&[0xa0]).map_err(|e| unreadable(e.to_string()))
            }
            // The first byte of a map, with or without a length.
            Encoding::Cbor if !matches!(body.first(), Some(0xa0..=0xbf)) => {
                Err(unreadable("the body is no structure".to_owned()))
            }
            Encoding::Cbor => cbor::from_slice(body).map_err(|error| unreadable(error.to_string())),
        }
    }

    /// Writes a value.
    ///
    /// # Errors
    /// `InternalFailureException` if it is of a kind that cannot be written; no reply is.
    pub fn write(self, value: &impl Serialize) -> Result<Vec<u8>, Failure> {
        let written = match self {
            Encoding::Json => serde_json::to_vec(value).map_err(|error| error.to_string()),
            Encoding::Cbor => cbor::to_vec(value).map_err(|error| error.to_string()),
        };
        written.map_err(|error| Failure::new(FailureKind::InternalFailure, error))
    }
}

/// A 200 with a body of this encoding.
pub fn reply(encoding: Encoding, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(encoding.media_type()));
    name(&mut response);
    response
}

#[derive(Serialize)]
struct Document<'a> {
    __type: &'static str,
    message: &'a str,
}

/// The answer to a request that is refused.
pub fn refusal(encoding: Encoding, failure: &Failure) -> Response<Body> {
    let document = Document { __type: failure.kind.name(), message: &failure.message };
    // Two texts always serialise.
    let mut response = reply(encoding, encoding.write(&document).unwrap_or_default());
    *response.status_mut() = failure.kind.status();
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(failure.kind.name()));
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Gives an answer the second name under which the services log theirs. The first is the id of the request, which every
/// answer of the edge has.
fn name(response: &mut Response<Body>) {
    let random = [fastrand::u128(..).to_be_bytes(), fastrand::u128(..).to_be_bytes()].concat();
    if let Ok(value) = HeaderValue::from_str(&STANDARD.encode(random)) {
        response.headers_mut().insert("x-amz-id-2", value);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_refusal_tells_its_type_in_the_body_and_in_a_header() {
        let failure = Failure::not_found("Stream a under account 1 not found.");
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let response = refusal(encoding, &failure);
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
            assert_eq!(response.headers()["x-amzn-errortype"], "ResourceNotFoundException");
            assert_eq!(response.headers()["content-type"], encoding.media_type());
            assert_eq!(response.headers()["x-amz-id-2"].len(), 44);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let read: serde_json::Value = encoding.read(&body).unwrap();
            assert_eq!(read["__type"], "ResourceNotFoundException");
            assert_eq!(read["message"], "Stream a under account 1 not found.");
        }
    }

    #[test]
    fn json_of_another_shape_is_a_serialization_exception() {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Request {
            #[expect(dead_code, reason = "only that it is read counts")]
            stream_name: Option<String>,
        }
        for body in ["{\"StreamName\":1}", "[", "[]", "null", "{\"StreamName\":[]}", "{} x"] {
            let failure = Encoding::Json.read::<Request>(body.as_bytes()).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Serialization, "{body}");
        }
        assert!(Encoding::Json.read::<Request>(b"").is_ok());
        assert!(Encoding::Cbor.read::<Request>(b"").is_ok());
        assert!(Encoding::Json.read::<Request>(b"{\"StreamName\":null,\"Other\":[{}]}").is_ok());
    }
}
