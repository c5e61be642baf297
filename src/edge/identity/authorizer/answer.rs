//! What an authorizer answers: our own form, and those of Lambda authorizers.
//!
//! ```json
//! { "allow": true, "principal": "anna", "grants": ["ingest:web"], "ttl": 60 }
//! { "principalId": "anna", "policyDocument": { "Statement": [{ "Effect": "Allow", "Action": "execute-api:Invoke",
//!   "Resource": "arn:aws:execute-api:*/POST/v1/streams/web/records" }] } }
//! { "isAuthorized": true }
//! ```
//! `context` of any of them is what [records may have](crate::edge::identity::attributes) of their sender.
//! `usageIdentifierKey` of the second form is an API key: its owner's limits and quota are those of the principal.
//!
//! An answer that is none of these, that is two of them, or that says something that is not understood here is no answer:
//! what it means to forbid must not be let in.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::limits::{ACCESS_KEY_PATTERNS_MAX, AUTHORIZER_NAME_BYTES_MAX};
use crate::edge::identity::attributes::{Attributes, Origin};
use crate::edge::identity::credentials::{Digest, sha256};
use crate::edge::identity::policy::{Action, Grant, Policy, action_pattern, stream_pattern};

/// What was asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What the request is for.
    pub action: Action,
    /// The stream that its path names.
    pub stream: Option<&'a str>,
    /// The name of method and path in policies of API gateways.
    pub arn: &'a str,
}

/// What it says.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who it is, and what they may do; nothing where they are refused.
    pub allowed: Option<Allowed>,
    /// How long that holds, if it says so.
    pub ttl: Option<Duration>,
}

/// Who is let in.
#[derive(Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Their name, if it tells one.
    pub name: Option<String>,
    /// What they may do.
    pub policy: Policy,
    /// Digest of the API key whose limits and quota are theirs.
    pub usage_key: Option<Digest>,
    /// What it says of them besides.
    pub attributes: Option<Arc<Attributes>>,
}

/// All members that there are. Unknown ones may say what is not understood here, and are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    allow: Option<bool>,
    principal: Option<String>,
    grants: Option<Vec<String>>,
    ttl: Option<u64>,
    #[serde(rename = "isAuthorized")]
    is_authorized: Option<bool>,
    #[serde(rename = "principalId")]
    principal_id: Option<String>,
    #[serde(rename = "policyDocument")]
    policy: Option<Document>,
    #[serde(rename = "context")]
    context: Option<Map<String, Value>>,
    #[serde(rename = "usageIdentifierKey")]
    usage_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Document {
    #[serde(rename = "Version")]
    _version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    statement: OneOrMore<Statement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Statement {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    effect: Effect,
    action: OneOrMore<String>,
    resource: OneOrMore<String>,
}

#[derive(Deserialize, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            OneOrMore::One(one) => std::slice::from_ref(one),
            OneOrMore::More(more) => more,
        }
    }
}

impl Answer {
    /// Reads it.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(text: &[u8], asked: Asked<'_>) -> Result<Self, &'static str> {
        let written: Written = serde_json::from_slice(text).map_err(|_| "its answer is none")?;
        let forms =
            [written.allow, written.is_authorized, written.policy.as_ref().map(|it| it.allows(asked.arn))];
        let mut said = forms.into_iter().flatten();
        let is_allowed = match (said.next(), said.next()) {
            (Some(is_allowed), None) => is_allowed,
            _ => return Err("its answer is none, or two at once"),
        };
        let principal = match (written.principal, written.principal_id) {
            (Some(_), Some(_)) => return Err("its answer names two principals"),
            (one, other) => one.or(other),
        };
        let is_name = |name: &String| {
            (1..=AUTHORIZER_NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
        };
        if !principal.iter().all(is_name) {
            return Err("the name of its principal is none");
        }
        let ttl = written.ttl.map(Duration::from_secs);
        if !is_allowed {
            if written.grants.is_some_and(|grants| !grants.is_empty()) {
                return Err("its answer refuses and grants");
            }
            return Ok(Self { allowed: None, ttl });
        }
        let policy = match written.grants {
            None => asked.policy(),
            Some(grants) => policy(&grants)?,
        };
        let usage_key = written.usage_key.map(|key| sha256(key.as_bytes()));
        let attributes = written.context.and_then(|it| Attributes::of(Origin::Context, &it));
        Ok(Self { allowed: Some(Allowed { name: principal, policy, usage_key, attributes }), ttl })
    }
}

impl Asked<'_> {
    /// What was asked for, and nothing else.
    fn policy(&self) -> Policy {
        let action = action_pattern(self.action.as_str()).ok();
        let stream = self.stream.and_then(|stream| stream_pattern(stream).ok());
        Policy::new(vec![Grant::new(action.into_iter().collect(), stream.into_iter().collect())])
    }
}

fn policy(grants: &[String]) -> Result<Policy, &'static str> {
    if grants.len() > ACCESS_KEY_PATTERNS_MAX {
        return Err("its answer has too many grants");
    }
    let grants: Result<_, _> = grants.iter().map(|text| Grant::parse(text)).collect();
    Ok(Policy::new(grants.map_err(|_| "one of its grants is none")?))
}

impl Document {
    /// As IAM decides: one statement has to allow it, and none to deny it.
    fn allows(&self, arn: &str) -> bool {
        let is_about = |statement: &&Statement| {
            let is_invoke = |text: &String| is_like(&text.to_ascii_lowercase(), "execute-api:invoke");
            statement.action.as_slice().iter().any(is_invoke)
                && statement.resource.as_slice().iter().any(|text| is_like(text, arn))
        };
        let about = || self.statement.as_slice().iter().filter(is_about);
        about().any(|statement| statement.effect == Effect::Allow)
            && !about().any(|statement| statement.effect == Effect::Deny)
    }
}

/// Whether `text` is like `pattern`, where `*` stands for any characters and `?` for any one.
fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read, mut star) = (0, 0, None);
    while let Some(byte) = text.get(read) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                at += 1;
                read += 1;
            }
            // The last star takes one more.
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    read = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:execute-api:us-east-1:000000000000:forebay/v1/POST/v1/streams/web/records";
    const ASKED: Asked<'_> = Asked { action: Action::Ingest, stream: Some("web"), arn: ARN };

    fn read(text: &str) -> Result<Answer, &'static str> {
        Answer::read(text.as_bytes(), ASKED)
    }

    fn allowed(text: &str) -> Option<Allowed> {
        read(text).unwrap_or_else(|why| panic!("{text}: {why}")).allowed
    }

    #[test]
    fn what_is_allowed_without_grants_is_what_was_asked_for() {
        for text in ["{\"allow\":true}", "{\"isAuthorized\":true,\"context\":{\"a\":1}}"] {
            let Allowed { name, policy, .. } = allowed(text).unwrap();
            assert!(name.is_none() && policy.permits(Action::Ingest, Some("web")));
            assert!(
                !policy.permits(Action::Ingest, Some("other")) && !policy.permits(Action::Tap, Some("web"))
            );
        }
        let text = "{\"allow\":true,\"principal\":\"anna\",\"grants\":[\"tap:*\"],\"ttl\":5}";
        let Allowed { name, policy, usage_key, .. } = allowed(text).unwrap();
        assert_eq!(usage_key, None);
        assert_eq!((name.as_deref(), read(text).unwrap().ttl), (Some("anna"), Some(Duration::from_secs(5))));
        assert!(policy.permits(Action::Tap, Some("x")) && !policy.permits(Action::Ingest, Some("web")));
        let letters = Asked { action: Action::DeadLetters, ..ASKED };
        let policy = Answer::read(b"{\"allow\":true}", letters).unwrap().allowed.unwrap().policy;
        assert!(
            policy.permits(Action::DeadLetters, Some("web")) && !policy.permits(Action::Tap, Some("web"))
        );
        let with_key = "{\"isAuthorized\":true,\"usageIdentifierKey\":\"a-key-0123456789\"}";
        assert_eq!(allowed(with_key).unwrap().usage_key, Some(sha256(b"a-key-0123456789")));
        assert!(allowed("{\"allow\":false}").is_none() && allowed("{\"isAuthorized\":false}").is_none());
    }

    fn by_policy(statements: &str) -> Result<bool, &'static str> {
        let text = format!(
            "{{\"principalId\":\"anna\",\"policyDocument\":{{\"Version\":\"2012-10-17\",\"Statement\":{statements}}}}}"
        );
        read(&text).map(|answer| answer.allowed.is_some())
    }

    #[test]
    fn policies_of_lambda_authorizers_decide_as_iam_does() {
        let statement = |effect: &str, action: &str, resource: &str| {
            format!("{{\"Effect\":\"{effect}\",\"Action\":{action},\"Resource\":{resource}}}")
        };
        let invoke = "\"execute-api:Invoke\"";
        let allow = statement("Allow", invoke, "\"*\"");
        for (statements, is_allowed) in [
            (allow.clone(), true),
            (format!("[{allow}]"), true),
            (statement("Allow", "[\"execute-api:*\"]", "[\"arn:aws:execute-api:*/POST/*/records\"]"), true),
            (statement("Allow", invoke, "\"arn:aws:execute-api:*/P??T/*\""), true),
            (statement("Allow", invoke, "\"*/GET/*\""), false),
            (statement("Allow", "\"kinesis:*\"", "\"*\""), false),
            (statement("Deny", invoke, "\"*\""), false),
            (format!("[{allow},{}]", statement("Deny", invoke, "\"*/web/records\"")), false),
            (format!("[{allow},{}]", statement("Deny", invoke, "\"*/other/records\"")), true),
            ("[]".to_owned(), false),
        ] {
            assert_eq!(by_policy(&statements), Ok(is_allowed), "{statements}");
        }
        for statements in [
            "{\"Effect\":\"allow\",\"Action\":\"*\",\"Resource\":\"*\"}",
            "{\"Effect\":\"Allow\",\"Action\":\"*\",\"NotResource\":\"*\"}",
            "{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\",\"Condition\":{}}",
            "{\"Effect\":\"Allow\",\"Resource\":\"*\"}",
        ] {
            assert!(by_policy(statements).is_err(), "{statements}");
        }
    }

    #[test]
    fn an_answer_that_is_none_or_two_lets_nobody_in() {
        for text in [
            "",
            "true",
            "{}",
            "{\"allow\":\"true\"}",
            "{\"allow\":1}",
            "{\"allow\":null}",
            "{\"Allow\":true}",
            "{\"allow\":true,\"allow\":false}",
            "{\"allow\":true,\"isAuthorized\":false}",
            "{\"allow\":true,\"isAuthorized\":true}",
            "{\"allow\":false,\"grants\":[\"ingest:web\"]}",
            "{\"allow\":true,\"grants\":[\"everything\"]}",
            "{\"allow\":true,\"principal\":\"\"}",
            "{\"allow\":true,\"principal\":\"a\\nb\"}",
            "{\"allow\":true,\"principal\":\"a\",\"principalId\":\"b\"}",
            "{\"allow\":true,\"unless\":\"raining\"}",
            "{\"allow\":true,\"context\":[1]}",
            "{\"allow\":true,\"context\":\"a\"}",
            "{\"allow\":true,\"ttl\":-1}",
            "{\"allow\":true,\"usageIdentifierKey\":7}",
            "{\"allow\":true} x",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let long =
            format!("{{\"allow\":true,\"principal\":\"{}\"}}", "x".repeat(AUTHORIZER_NAME_BYTES_MAX + 1));
        assert!(read(&long).is_err());
    }

    proptest::proptest! {
        #[test]
        fn whatever_it_answers_is_an_answer_or_none(
            bytes: Vec<u8>,
            context in "[ -~]{0,200}",
            key in "[ -~]{0,40}",
        ) {
            let _ = Answer::read(&bytes, ASKED);
            let text = format!("{{\"allow\":true,\"usageIdentifierKey\":{key},\"context\":{context}}}");
            let _ = Answer::read(text.as_bytes(), ASKED);
            let texts = serde_json::json!({ "allow": true, "usageIdentifierKey": key, "context": { "k": context } });
            let allowed = Answer::read(texts.to_string().as_bytes(), ASKED).unwrap().allowed.unwrap();
            proptest::prop_assert_eq!(allowed.usage_key, Some(sha256(key.as_bytes())));
            proptest::prop_assert!(allowed.attributes.unwrap().get(Origin::Context, "k").is_some());
        }
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_its_length_times_the_texts() {
        let text = "a".repeat(2_000);
        assert!(!is_like(&format!("{}b", "a*".repeat(500)), &text));
        assert!(is_like("**a*?*", &text) && !is_like("a", "") && is_like("*", "") && !is_like("?", ""));
    }
}
