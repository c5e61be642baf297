//! What is taken and what is refused, judged by signatures that others have made: AWS's published examples and
//! botocore.

mod botocore;
mod hostile;
mod javascript;
mod requests;
mod tampering;
mod vectors;

use super::*;
use crate::config::Secret;
use crate::edge::identity::policy;
use crate::telemetry::metrics::Registry;

const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// 2015-08-30T12:36:00Z, when the examples were signed.
const NOW: UnixMicros = UnixMicros(1_440_938_160_000_000);

fn seconds_later(seconds: i64) -> UnixMicros {
    UnixMicros(NOW.0 + seconds * 1_000_000)
}

/// What a configuration file makes of these settings.
fn settings(session_token: Option<&str>) -> checked::Access {
    let action = |text: &str| policy::action_pattern(text).expect("a pattern of actions");
    let streams = vec![policy::stream_pattern("click*").expect("a pattern of streams")];
    checked::Access {
        signature: SignatureRule::Required,
        clock_skew: Duration::from_secs(15 * 60),
        keys: vec![checked::AccessKey {
            id: KEY_ID.to_owned(),
            secret: Secret::new(SECRET),
            session_token: session_token.map(Secret::new),
            policy: policy::Policy::new(vec![policy::Grant::new(
                vec![action("kinesis:Put*"), action("kinesis:List*")],
                streams,
            )]),
            allowance: checked::Allowance::default(),
        }],
    }
}

fn everybody_of(access: &checked::Access) -> Identities {
    let throttle =
        Throttle::new(&checked::Limits::default(), &Registry::new().expect("its buckets are right"));
    Identities::new(access, "123456789012", &throttle)
}

fn identities() -> Identities {
    everybody_of(&settings(None))
}

/// A request as it comes from a connection.
#[derive(Debug, Clone)]
struct Sent {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Sent {
    fn new(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers.collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    /// Its head, unless HTTP does not know such a one.
    fn head(&self) -> Option<Parts> {
        let mut request = http::Request::builder().method(self.method.as_str()).uri(self.target.as_str());
        for (name, value) in &self.headers {
            request = request.header(name, value.as_slice());
        }
        Some(request.body(()).ok()?.into_parts().0)
    }

    /// The same with another value of a header.
    fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.retain(|(known, _)| known != name);
        other.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        other
    }

    fn without(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.headers.retain(|(known, _)| known != name);
        other
    }

    /// Who has sent it, and what its body is then.
    fn judged_by(&self, identities: &Identities, now: UnixMicros) -> Result<Vec<u8>, IdentityError> {
        let head = self.head().expect("a head");
        let mut body = self.body.clone();
        authenticate(identities, &head, &mut body, now).map(|identity| {
            assert_eq!(identity.access_key_id(), Some(KEY_ID));
            body
        })
    }
}
