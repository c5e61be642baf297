//! `GET /v1/streams/{stream}/pixel.gif?…` and `GET` or `POST /v1/streams/{stream}/event?…`: records out of parameters, for
//! pages and mails that can ask for a picture or send a form, and nothing else.
//!
//! The parameters become one JSON object of strings, in the order of their first appearance; one that is there several
//! times becomes an array. They are read as browsers write them (WHATWG URL, `application/x-www-form-urlencoded`): a `%`
//! that begins no escape is a `%`, and what is no UTF-8 becomes U+FFFD. Credentials that may stand in a query are left
//! out.

use std::borrow::Cow;

use http::{HeaderValue, Method, Response, StatusCode, header};
use hyper::body::Incoming;

use super::append::Done;
use super::body::{Encoding, Paid, shown};
use super::decode::Framing;
use super::ingest::{self, Admitted, Sent};
use super::problem::Problem;
use super::reply::{self, Body};
use super::{Edge, Intake};
use crate::config::limits::{EVENT_FORM_BYTES_MAX, EVENT_PARAMETERS_MAX, REQUEST_OVERHEAD_BYTES};

/// A transparent picture of one pixel (GIF 89a).
const PIXEL: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff\x21\xf9\x04\x01\x00\x00\x00\x00\
    \x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

/// The type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// Bytes of JSON that one byte of a parameter may become: a control character is written as `\u0000`.
const GROWTH: u64 = 6;

/// What a record is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A picture is shown.
    Pixel,
    /// There is nothing to show.
    Event,
}

impl Kind {
    /// Whether a request of that method is such a record; one for the head alone is a `GET` here.
    pub fn takes(self, method: &Method) -> bool {
        method == Method::GET || (self == Kind::Event && method == Method::POST)
    }
}

/// Appends the record of a request, and answers it.
///
/// # Errors
/// Why there is no record of it.
pub async fn take(
    edge: &Edge,
    intake: &Intake,
    (kind, admitted): (Kind, Admitted<'_>),
    body: &mut Incoming,
) -> Result<Response<Body>, Problem> {
    let head = admitted.sender.head;
    if !intake.ingest.takes_clicks {
        return Err(Problem::NotFound);
    }
    // Who asks for the head alone looks whether it is there: nothing has happened.
    if head.method == Method::HEAD {
        return Ok(answer(kind));
    }
    if let Some(proof) = admitted.entry.proof() {
        proof.check_query(head.uri.query())?;
    }
    let key = ingest::request_key(intake, head)?;
    let entry = admitted.entry;
    let competitor = entry.competitor();
    let mut sent = form(edge, intake, admitted, body).await?;
    let query = head.uri.query().unwrap_or_default().as_bytes();
    let told = (query.len() + sent.paid.bytes.len()) as u64;
    let permit = edge.admit(&intake.budget, REQUEST_OVERHEAD_BYTES + told * GROWTH, &competitor);
    let permit = permit.inspect_err(|_| sent.refund())?;
    let bytes = object(query, &sent.paid.bytes, |name| entry.is_credential(name))?;
    sent.paid = Paid { bytes, permit };
    match sent.append(edge, intake, (Framing::Json, key.as_deref())).await? {
        Done::Fresh { body, all_refused: true } => Ok(reply::ingest(body, true)),
        Done::Fresh { .. } | Done::Kept(_) | Done::Replayed(_) => Ok(answer(kind)),
    }
}

fn answer(kind: Kind) -> Response<Body> {
    let mut response = Response::new(Body::default());
    match kind {
        Kind::Pixel => {
            *response.body_mut() = Body::whole(PIXEL);
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("image/gif"));
        }
        Kind::Event => *response.status_mut() = StatusCode::NO_CONTENT,
    }
    response
}

/// The body of a `POST`, which is a form or empty.
async fn form<'a>(
    edge: &Edge,
    intake: &Intake,
    admitted: Admitted<'a>,
    body: &mut Incoming,
) -> Result<Sent<'a>, Problem> {
    let head = admitted.sender.head;
    if head.method != Method::POST {
        return admitted.sent(Paid { bytes: Vec::new(), permit: intake.budget.take_anyway(0) });
    }
    let bytes_max = EVENT_FORM_BYTES_MAX.min(edge.server.body_bytes_max);
    let form = admitted.read(edge, intake, (Encoding::of(&head.headers)?, bytes_max), body).await?;
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let is_form = |value: &HeaderValue| {
        let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(FORM)
    };
    match content_type.filter(|value| !is_form(value)) {
        Some(other) if !form.paid.bytes.is_empty() => Err(Problem::UnsupportedMediaType(shown(other))),
        _ => Ok(form),
    }
}

/// The parameters of a query and of a form as one JSON object, without those that are secrets.
fn object(query: &[u8], form: &[u8], is_secret: impl Fn(&str) -> bool) -> Result<Vec<u8>, Problem> {
    let mut members: Vec<(Cow<'_, str>, Vec<Cow<'_, str>>)> = Vec::new();
    let parameters = url::form_urlencoded::parse(query).chain(url::form_urlencoded::parse(form));
    for (index, (name, value)) in parameters.enumerate() {
        if index == EVENT_PARAMETERS_MAX {
            let detail = format!("an event has at most {EVENT_PARAMETERS_MAX} of them");
            return Err(Problem::BadParameter { name: "number of parameters", detail });
        }
        if is_secret(&name) {
            continue;
        }
        match members.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => members.push((name, vec![value])),
        }
    }
    let mut text = Vec::with_capacity(query.len() + form.len() + 2);
    text.push(b'{');
    for (index, (name, values)) in members.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        // A string, or a list of them, always is JSON, and a Vec takes everything.
        let _ = serde_json::to_writer(&mut text, name);
        text.push(b':');
        let _ = match values.as_slice() {
            [value] => serde_json::to_writer(&mut text, value),
            values => serde_json::to_writer(&mut text, values),
        };
    }
    text.push(b'}');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::edge::identity::credentials::is_secret_parameter;

    fn parsed(query: &[u8], form: &[u8]) -> Value {
        serde_json::from_slice(&object(query, form, is_secret_parameter).unwrap()).unwrap()
    }

    #[test]
    fn parameters_become_members_and_several_of_a_name_a_list() {
        assert_eq!(parsed(b"", b""), json!({}));
        assert_eq!(
            parsed(b"e=view&u=a%20b+c&x=1&x=&api_key=secret&e%3D=%22", b"x=3&access_token=secret"),
            json!({"e": "view", "u": "a b c", "x": ["1", "", "3"], "e=": "\""})
        );
        assert_eq!(
            parsed(b"&&=v&name&%zz=%ff%00", b""),
            json!({"": "v", "name": "", "%zz": "\u{fffd}\u{0}"})
        );
    }

    #[test]
    fn a_presigned_address_leaves_nothing_of_its_signature() {
        let query = b"e=view&X-Amz-Credential=AKID&X-Amz-Signature=00&X-Amz-Security-Token=secret&X-Amz-Date=d&x-amz-n=1";
        assert_eq!(parsed(query, b""), json!({"e": "view", "x-amz-n": "1"}));
    }

    #[test]
    fn an_event_has_a_bounded_number_of_parameters() {
        let most = vec!["a=1"; EVENT_PARAMETERS_MAX].join("&");
        assert_eq!(parsed(most.as_bytes(), b"")["a"].as_array().unwrap().len(), EVENT_PARAMETERS_MAX);
        let problem = object(most.as_bytes(), b"b=2", is_secret_parameter).unwrap_err();
        assert_eq!((problem.status().as_u16(), problem.code()), (400, "bad_parameter"));
    }

    proptest! {
        /// Whatever is sent, what comes of it is one object with distinct names, and as large as was paid for at most.
        #[test]
        fn whatever_a_client_sends_becomes_an_object(query in prop::collection::vec(any::<u8>(), 0..200), form in "[a-c=&%0-9+]{0,60}") {
            let text = object(&query, form.as_bytes(), is_secret_parameter).unwrap();
            prop_assert!(text.len() as u64 <= REQUEST_OVERHEAD_BYTES + (query.len() + form.len()) as u64 * GROWTH);
            let Value::Object(members) = serde_json::from_slice(&text).unwrap() else { panic!("no object") };
            let sent = url::form_urlencoded::parse(&query).chain(url::form_urlencoded::parse(form.as_bytes()));
            let sent: Vec<_> = sent.filter(|(name, _)| !is_secret_parameter(name)).collect();
            for (name, value) in &sent {
                let found = &members[&**name];
                prop_assert!(found.as_str() == Some(value) || found.as_array().is_some_and(|all| all.contains(&json!(value))));
            }
            let values: usize = members.values().map(|value| value.as_array().map_or(1, Vec::len)).sum();
            prop_assert_eq!(values, sent.len());
        }
    }
}
