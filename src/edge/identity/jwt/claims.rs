//! What a token says (RFC 7519, section 4), once its signature is known to be right.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::config::checked::{ClaimName, JwtIssuer};
use crate::config::limits::{JWT_SCOPES_MAX, JWT_SUBJECT_BYTES_MAX};
use crate::edge::identity::attributes::{Attributes, Origin};
use crate::json;
use crate::runtime::clock::UnixMicros;

/// The claims of a token.
#[derive(Debug)]
pub(super) struct Claims {
    fields: Map<String, Value>,
}

/// The times at which a token is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    /// From here on.
    pub begins: UnixMicros,
    /// Up to here, and not at it.
    pub ends: UnixMicros,
}

impl Validity {
    /// Whether it is taken at this time.
    ///
    /// # Errors
    /// [`Refusal::NotYetValid`] and [`Refusal::Expired`].
    pub fn check(self, now: UnixMicros) -> Result<(), Refusal> {
        match () {
            () if now >= self.ends => Err(Refusal::Expired),
            () if now < self.begins => Err(Refusal::NotYetValid),
            () => Ok(()),
        }
    }
}

impl Claims {
    /// Reads the payload of a token.
    ///
    /// # Errors
    /// [`Refusal::Malformed`]: it is no JSON object, is nested without end or has a name twice.
    pub fn read(payload: &[u8]) -> Result<Self, Refusal> {
        let text = json::document(payload).map_err(|_| Refusal::Malformed)?;
        let fields = serde_json::from_str(text).map_err(|_| Refusal::Malformed)?;
        Ok(Self { fields })
    }

    /// Who has issued it, as it says.
    ///
    /// # Errors
    /// [`Refusal::BadClaim`] where it does not say it.
    pub fn issuer(&self) -> Result<&str, Refusal> {
        self.fields.get("iss").and_then(Value::as_str).ok_or(Refusal::BadClaim)
    }

    /// Who it is about.
    ///
    /// # Errors
    /// [`Refusal::BadClaim`] where it does not say it, or in characters that no log may have.
    pub fn subject(&self) -> Result<&str, Refusal> {
        let subject = self.fields.get("sub").and_then(Value::as_str).ok_or(Refusal::BadClaim)?;
        let is_right = !subject.is_empty()
            && subject.len() <= JWT_SUBJECT_BYTES_MAX
            && !subject.chars().any(char::is_control);
        if is_right { Ok(subject) } else { Err(Refusal::BadClaim) }
    }

    /// Whether it is for one of `audience`. Where it does not say whom it is for, it must be of a client among these:
    /// access tokens of Amazon Cognito are like that, and API Gateway takes them so.
    ///
    /// # Errors
    /// [`Refusal::WrongAudience`], and [`Refusal::BadClaim`] where it says it in no way that is known.
    pub fn check_audience(&self, audience: &[String]) -> Result<(), Refusal> {
        let is_one = |found: &str| audience.iter().any(|one| one == found);
        let is_right = match self.fields.get("aud") {
            Some(Value::String(found)) => is_one(found),
            Some(Value::Array(found)) => {
                let texts: Option<Vec<&str>> = found.iter().map(Value::as_str).collect();
                texts.ok_or(Refusal::BadClaim)?.into_iter().any(is_one)
            }
            Some(_) => return Err(Refusal::BadClaim),
            None => self.fields.get("client_id").and_then(Value::as_str).is_some_and(is_one),
        };
        if is_right { Ok(()) } else { Err(Refusal::WrongAudience) }
    }

    /// When it is taken, as its issuer and the rules for that say. A token of the future is not taken either.
    ///
    /// # Errors
    /// [`Refusal::BadClaim`] where a time is none, or missing.
    pub fn validity(&self, rules: &JwtIssuer) -> Result<Validity, Refusal> {
        let skew = i64::try_from(rules.clock_skew.as_micros()).unwrap_or(i64::MAX);
        let ends = match self.time("exp")? {
            Some(time) => UnixMicros(time.0.saturating_add(skew)),
            None if rules.is_expiry_required => return Err(Refusal::BadClaim),
            None => UnixMicros(i64::MAX),
        };
        let begins = self.time("nbf")?.max(self.time("iat")?);
        let begins = begins.map_or(i64::MIN, |time| time.0.saturating_sub(skew));
        Ok(Validity { begins: UnixMicros(begins), ends })
    }

    /// Seconds since 1970, perhaps with a fraction (RFC 7519, section 2).
    fn time(&self, name: &str) -> Result<Option<UnixMicros>, Refusal> {
        const MICROS: f64 = 1e6;
        match self.fields.get(name) {
            None => Ok(None),
            // What is out of the range of the clock is as far as it goes.
            Some(Value::Number(seconds)) => {
                let seconds = seconds.as_f64().ok_or(Refusal::BadClaim)?;
                Ok(Some(UnixMicros((seconds * MICROS) as i64)))
            }
            Some(_) => Err(Refusal::BadClaim),
        }
    }

    /// Those that records may have.
    pub fn attributes(&self) -> Option<Arc<Attributes>> {
        Attributes::of(Origin::Claims, &self.fields)
    }

    /// What it may do, in words of its issuer. What is no text is passed over: it allows nothing.
    ///
    /// # Errors
    /// [`Refusal::BadClaim`] where they are no words, or more than anybody needs.
    pub fn scopes(&self, names: &[ClaimName]) -> Result<Vec<&str>, Refusal> {
        let found = names.iter().find_map(|name| self.named(name));
        let scopes: Vec<&str> = match found {
            None => Vec::new(),
            Some(Value::String(texts)) => texts.split_ascii_whitespace().take(JWT_SCOPES_MAX + 1).collect(),
            Some(Value::Array(texts)) => {
                texts.iter().filter_map(Value::as_str).take(JWT_SCOPES_MAX + 1).collect()
            }
            Some(_) => return Err(Refusal::BadClaim),
        };
        if scopes.len() > JWT_SCOPES_MAX { Err(Refusal::BadClaim) } else { Ok(scopes) }
    }

    fn named(&self, name: &ClaimName) -> Option<&Value> {
        let path = match name {
            ClaimName::Plain(name) => return self.fields.get(name),
            ClaimName::At(pointer) => pointer.tokens(),
        };
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.fields.get(first)?, |value, token| value.as_object()?.get(token))
    }
}
