//! What a request says about its signature, in its headers or in its query. Nothing of it is believed yet.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::{AUTHORIZATION, DATE, HOST};
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::canonical::AUTHORITY;
use super::error::{IdentityError, shown};
use super::signing::{Scope, TERMINATOR, unhex};
use super::time::{parse_basic, parse_http_date, print_basic};
use crate::config::limits::{AWS_REGION_BYTES_MAX, PRESIGNED_SECONDS_MAX};

/// Services that requests to our own routes may be signed for.
const OWN_SERVICES: [&str; 4] = ["forebay", "execute-api", "kinesis", "firehose"];
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The query's parameter with the signature of a presigned request.
pub(super) const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";
/// All parameters of a presigned request, those first that it must have.
pub(super) const PARAMETERS: [&str; 8] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    SIGNATURE_PARAMETER,
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
];
const TARGET: &str = "x-amz-target";
const DATE_HEADER: &str = "x-amz-date";
const TOKEN_HEADER: &str = "x-amz-security-token";
const PAYLOAD_HEADER: &str = "x-amz-content-sha256";

/// Who a request says that it is from, and its signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// Id of the access key.
    pub key_id: String,
    /// What the signing key is derived for.
    pub scope: Scope,
    /// Names of the headers that are signed, as the request lists them.
    pub signed_headers: String,
    /// The signature.
    pub signature: [u8; 32],
    /// When it was made.
    pub signed_at: SignedAt,
    /// Seconds after which a presigned request is over.
    pub lifetime: Option<i64>,
    /// The session token.
    pub token: Option<Vec<u8>>,
    /// What the signature says about the body.
    pub payload: Payload,
}

/// When a signature was made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SignedAt {
    /// In seconds since 1970.
    pub seconds: i64,
    /// The same as it is signed: `20130524T000000Z`.
    pub text: String,
}

/// What a signature says about the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Payload {
    /// It is signed with its hash, which the request does not tell.
    Hashed,
    /// It has this hash.
    Told([u8; 32]),
    /// Nothing.
    Unsigned,
    /// It comes in pieces.
    Chunked(ChunkedPayload),
}

/// How a body in pieces is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChunkedPayload {
    /// What stands in the place of the body's hash.
    pub name: &'static str,
    /// Whether each piece is signed.
    pub is_signed: bool,
    /// Whether headers follow the last piece.
    pub has_trailers: bool,
    /// Bytes of all of them, where the request tells it.
    pub decoded_bytes: Option<u64>,
}

const CHUNKED: [(&str, bool, bool); 3] = [
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", true, false),
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", true, true),
    ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", false, true),
];
/// In the place of the hash of a body that is not signed.
pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

impl SignedAt {
    fn of_basic(text: &str) -> Option<Self> {
        parse_basic(text).map(|seconds| Self { seconds, text: text.to_owned() })
    }
}

impl Statement {
    /// Whether a request says anything of the kind.
    pub fn is_in(head: &Parts) -> bool {
        let mut authorizations = head.headers.get_all(AUTHORIZATION).iter();
        authorizations.any(|value| value.as_bytes().trim_ascii_start().starts_with(b"AWS4-"))
            || is_presigned(head)
    }

    /// Reads the `Authorization` header, or the parameters of a presigned request.
    ///
    /// # Errors
    /// If there is neither, both, or what is there is not in the form of AWS.
    pub fn of(head: &Parts) -> Result<Self, IdentityError> {
        let query = head.uri.query().unwrap_or_default();
        let statement = match (single(&head.headers, AUTHORIZATION.as_str())?, is_presigned(head)) {
            (None, false) => return Err(IdentityError::Missing),
            (Some(_), true) => {
                return Err(incomplete(
                    "A request has an 'Authorization' header or a presigned query, not both.",
                ));
            }
            (Some(authorization), false) => of_header(head, authorization)?,
            (None, true) => of_query(head, query)?,
        };
        statement.check_signed_headers(&head.headers)?;
        Ok(statement)
    }

    /// What a proxy or a thief must not change has to be signed: where it goes, when, and what it asks for.
    fn check_signed_headers(&self, headers: &HeaderMap) -> Result<(), IdentityError> {
        let must = |name: &str, shown: &str| match self.signed_headers.split(';').any(|signed| signed == name)
        {
            true => Ok(()),
            false => Err(IdentityError::Invalid(format!(
                "{shown} must be a 'SignedHeader' in the AWS Authorization."
            ))),
        };
        if !self.signed_headers.split(';').any(|signed| signed == AUTHORITY) {
            must(HOST.as_str(), "'Host' or ':authority'")?;
        }
        if headers.contains_key(TARGET) {
            must(TARGET, "'X-Amz-Target'")?;
        }
        match self.lifetime {
            // The query is signed as a whole.
            Some(_) => Ok(()),
            None if headers.contains_key(DATE_HEADER) => must(DATE_HEADER, "'X-Amz-Date'"),
            None => must(DATE.as_str(), "'Date'"),
        }
    }

    /// Whether it is signed for the service that its target belongs to.
    pub fn check_service(&self, headers: &HeaderMap) -> Result<(), IdentityError> {
        let target = single(headers, TARGET)?.unwrap_or_default();
        let wanted = match target {
            _ if target.starts_with(b"Kinesis_") => "kinesis",
            _ if target.starts_with(b"Firehose_") => "firehose",
            _ if matches!(self.scope.service.as_str(), "kinesis" | "firehose") => return Ok(()),
            _ => "kinesis",
        };
        if self.scope.service == wanted {
            return Ok(());
        }
        Err(IdentityError::Invalid(format!("Credential should be scoped to correct service: '{wanted}'.")))
    }

    /// Whether it is signed for a service that our own routes are taken for: clients that can be told any name take
    /// `forebay` or that of API gateways, and others sign as they do for the AWS services.
    pub fn check_own_service(&self) -> Result<(), IdentityError> {
        if OWN_SERVICES.contains(&self.scope.service.as_str()) {
            return Ok(());
        }
        Err(invalid("Credential should be scoped to correct service: 'forebay'."))
    }
}

/// Whether the query has a part of a signature.
fn is_presigned(head: &Parts) -> bool {
    parameters(head.uri.query().unwrap_or_default())
        .any(|(name, _)| matches!(&*name, b"X-Amz-Signature" | b"X-Amz-Algorithm" | b"X-Amz-Credential"))
}

fn of_header(head: &Parts, authorization: &[u8]) -> Result<Statement, IdentityError> {
    let text = str::from_utf8(authorization)
        .map_err(|_| incomplete("Authorization header has characters that are not ASCII."))?
        .trim_ascii();
    let (algorithm, fields) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    if algorithm.starts_with("AWS4-") && algorithm != ALGORITHM {
        return Err(incomplete(&format!("Unsupported AWS 'algorithm': '{}'.", shown(algorithm.as_bytes()))));
    }
    let fields = if algorithm == ALGORITHM { fields.trim_ascii() } else { "" };
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for field in fields.split(',').map(str::trim_ascii).filter(|_| !fields.is_empty()) {
        let Some((name, value)) = field.split_once('=') else {
            let field = shown(field.as_bytes());
            return Err(incomplete(&format!(
                "'{field}' not a valid key=value pair (missing equal-sign) in Authorization header."
            )));
        };
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(incomplete(&format!("Authorization header has more than one '{name}' parameter.")));
        }
    }
    let date = single(&head.headers, DATE_HEADER)?.or(single(&head.headers, DATE.as_str())?);
    let (Some(credential), Some(signed_headers), Some(signature), Some(date)) =
        (credential, signed_headers, signature, date)
    else {
        let parameter = |name: &str| format!("Authorization header requires '{name}' parameter.");
        let missing = [
            credential.is_none().then(|| parameter("Credential")),
            signature.is_none().then(|| parameter("Signature")),
            signed_headers.is_none().then(|| parameter("SignedHeaders")),
            date.is_none().then(|| {
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
                    .to_owned()
            }),
        ];
        return Err(IdentityError::Incomplete(missing.into_iter().flatten().collect::<Vec<_>>().join(" ")));
    };
    let date_text = str::from_utf8(date).unwrap_or_default();
    let mut signed_at = SignedAt::of_basic(date_text);
    if signed_at.is_none() && !head.headers.contains_key(DATE_HEADER) {
        let seconds = parse_http_date(date_text);
        signed_at = seconds.map(|seconds| SignedAt { seconds, text: print_basic(seconds) });
    }
    let signed_at = signed_at.ok_or_else(|| bad_date(date))?;
    Ok(Statement {
        payload: payload(&head.headers, None)?,
        token: single(&head.headers, TOKEN_HEADER)?.map(<[u8]>::to_vec),
        lifetime: None,
        ..put_together(credential, signed_headers, signature, signed_at)?
    })
}

fn of_query(head: &Parts, query: &str) -> Result<Statement, IdentityError> {
    let mut values: [Option<Cow<'_, [u8]>>; PARAMETERS.len()] = Default::default();
    for (name, value) in parameters(query) {
        let Some(index) = PARAMETERS.iter().position(|known| *known.as_bytes() == *name) else { continue };
        if values.get_mut(index).and_then(|slot| slot.replace(value)).is_some() {
            let name = PARAMETERS.get(index).unwrap_or(&"");
            return Err(incomplete(&format!("AWS query-string parameters have more than one '{name}'.")));
        }
    }
    let missing: Vec<String> = PARAMETERS
        .iter()
        .zip(&values)
        .take(6)
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| format!("AWS query-string parameters must include '{name}'."))
        .collect();
    if !missing.is_empty() {
        return Err(IdentityError::Incomplete(
            missing.join(" ") + " Re-examine the query-string parameters.",
        ));
    }
    let [algorithm, credential, date, expires, signed_headers, signature, token, hash] = values;
    let text = |value: &Option<Cow<'_, [u8]>>| {
        let value = value.as_deref().unwrap_or_default();
        str::from_utf8(value)
            .map(str::to_owned)
            .map_err(|_| incomplete("AWS query-string parameters have characters that are not ASCII."))
    };
    let algorithm = text(&algorithm)?;
    if algorithm != ALGORITHM {
        return Err(incomplete(&format!("Unsupported AWS 'algorithm': '{}'.", shown(algorithm.as_bytes()))));
    }
    let date = text(&date)?;
    let signed_at = SignedAt::of_basic(&date).ok_or_else(|| bad_date(date.as_bytes()))?;
    let lifetime =
        text(&expires)?.parse().ok().filter(|seconds| (1..=PRESIGNED_SECONDS_MAX).contains(seconds));
    let lifetime = lifetime.ok_or_else(|| {
        incomplete(&format!("'X-Amz-Expires' must be a number of seconds from 1 to {PRESIGNED_SECONDS_MAX}."))
    })?;
    let token = match token {
        Some(token) => Some(token.into_owned()),
        None => single(&head.headers, TOKEN_HEADER)?.map(<[u8]>::to_vec),
    };
    let (credential, signed_headers, signature) =
        (text(&credential)?, text(&signed_headers)?, text(&signature)?);
    Ok(Statement {
        payload: payload(&head.headers, hash.as_deref())?,
        token,
        lifetime: Some(lifetime),
        ..put_together(&credential, &signed_headers, &signature, signed_at)?
    })
}

/// Names and values of a query, decoded.
fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (percent_decode_str(name).into(), percent_decode_str(value).into()))
}

/// What both forms have; the rest is to be filled in.
fn put_together(
    credential: &str,
    signed_headers: &str,
    signature: &str,
    signed_at: SignedAt,
) -> Result<Statement, IdentityError> {
    let parts: Vec<&str> = credential.split('/').collect();
    let &[key_id, date, region, service, terminator] = parts.as_slice() else {
        return Err(incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
        ));
    };
    if terminator != TERMINATOR {
        return Err(invalid(&format!(
            "Credential should be scoped with a valid terminator: '{TERMINATOR}'."
        )));
    }
    let text = &signed_at.text;
    if text.get(..8) != Some(date) {
        let (date, signed_date) = (shown(date.as_bytes()), text.get(..8).unwrap_or_default());
        return Err(invalid(&format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
             '{date}' != '{signed_date}', from '{text}'."
        )));
    }
    let is_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.is_empty() || region.len() > AWS_REGION_BYTES_MAX || !region.bytes().all(is_region) {
        return Err(invalid("Credential should be scoped to a valid region."));
    }
    Ok(Statement {
        key_id: key_id.to_owned(),
        scope: Scope { date: date.to_owned(), region: region.to_owned(), service: service.to_owned() },
        signed_headers: signed_headers.to_owned(),
        signature: unhex(signature.as_bytes()).ok_or_else(IdentityError::mismatch)?,
        signed_at,
        lifetime: None,
        token: None,
        payload: Payload::Hashed,
    })
}

/// `X-Amz-Content-Sha256` of the headers, or else of the query.
pub(super) fn payload(headers: &HeaderMap, of_query: Option<&[u8]>) -> Result<Payload, IdentityError> {
    let Some(value) = single(headers, PAYLOAD_HEADER)?.or(of_query) else { return Ok(Payload::Hashed) };
    if value == UNSIGNED.as_bytes() {
        return Ok(Payload::Unsigned);
    }
    if let Some(&(name, is_signed, has_trailers)) = CHUNKED.iter().find(|known| known.0.as_bytes() == value) {
        let decoded_bytes = match single(headers, "x-amz-decoded-content-length")? {
            None => None,
            Some(length) => {
                let length = str::from_utf8(length).ok().and_then(|length| length.parse().ok());
                Some(length.ok_or_else(|| incomplete("'X-Amz-Decoded-Content-Length' must be a number."))?)
            }
        };
        return Ok(Payload::Chunked(ChunkedPayload { name, is_signed, has_trailers, decoded_bytes }));
    }
    match unhex(value) {
        Some(hash) => Ok(Payload::Told(hash)),
        None => Err(incomplete(&format!(
            "'X-Amz-Content-Sha256' must be the SHA-256 of the body, or {UNSIGNED}, {}, {} or {}.",
            CHUNKED[0].0, CHUNKED[1].0, CHUNKED[2].0
        ))),
    }
}

/// The value of a header that a request may have once.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h [u8]>, IdentityError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(|value| value.as_bytes());
    match values.next() {
        None => Ok(first),
        Some(_) => Err(incomplete(&format!("The request has more than one '{name}' header."))),
    }
}

fn bad_date(found: &[u8]) -> IdentityError {
    incomplete(&format!(
        "Date must be in ISO-8601 'basic format'. Got '{}'. See http://en.wikipedia.org/wiki/ISO_8601",
        shown(found)
    ))
}

fn incomplete(message: &str) -> IdentityError {
    IdentityError::Incomplete(message.to_owned())
}

fn invalid(message: &str) -> IdentityError {
    IdentityError::Invalid(message.to_owned())
}
