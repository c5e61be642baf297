//! Signed webhooks: an HMAC of the body, by a secret that sender and node share.
//!
//! ```text
//! head ─▶ webhook of this header ─▶ signatures, timestamp ─▶ within the tolerance? ─▶ body ─▶ same HMAC?
//! ```
//! It proves the body, and its time where the sender signs one, but neither method nor path: a request that somebody has
//! caught can be sent again, until the tolerance is over if there is one. So it lets in who puts records only, and
//! `idempotency_header` is what makes a second delivery harmless.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use ring::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256, HMAC_SHA512};
use subtle::ConstantTimeEq;

use super::body_claim::BodyClaim;
use super::policy::Action;
use super::principal::{Attempt, IdentityKind, Principal};
use crate::config::checked::{self, HmacAlgorithm, SignatureEncoding, SignedTime, TimestampAt};
use crate::config::limits::WEBHOOK_SIGNATURES_MAX;
use crate::edge::gate::throttle::Throttle;
use crate::runtime::clock::UnixMicros;

/// Senders pad the text, or do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// All of `[[webhook]]`, in the order of the file.
#[derive(Debug, Default)]
pub struct Webhooks(Vec<Arc<Webhook>>);

/// One of them.
pub struct Webhook {
    principal: Arc<Principal>,
    settings: checked::Webhook,
    keys: Vec<hmac::Key>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("name", &self.principal.name).finish_non_exhaustive()
    }
}

/// A request that says that it is from a webhook.
#[derive(Debug)]
pub struct Delivery {
    webhook: Arc<Webhook>,
    /// Any of them may be right: senders that change their secret sign with both for a while.
    signatures: Vec<Vec<u8>>,
    /// What is signed before the body.
    lead: String,
}

impl Webhooks {
    /// As the configuration has them. What they have taken so far is known to `throttle`.
    pub fn new(webhooks: &[checked::Webhook], throttle: &Throttle) -> Self {
        let webhook = |settings: &checked::Webhook| {
            let algorithm = match settings.algorithm {
                HmacAlgorithm::Sha1 => HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                HmacAlgorithm::Sha256 => HMAC_SHA256,
                HmacAlgorithm::Sha512 => HMAC_SHA512,
            };
            let allowed = (&settings.policy, settings.allowance);
            let key = |secret: &crate::config::Secret| hmac::Key::new(algorithm, secret.reveal().as_bytes());
            Arc::new(Webhook {
                principal: Principal::named(IdentityKind::Hmac, &settings.name, allowed, throttle),
                keys: settings.secrets.iter().map(key).collect(),
                settings: settings.clone(),
            })
        };
        Self(webhooks.iter().map(webhook).collect())
    }

    /// Which webhook a request says that it is from: of those whose header it has, the first that may put records into
    /// the stream.
    pub fn identify(&self, head: &Parts, stream: Option<&str>, now: UnixMicros) -> Attempt {
        let shown = || self.0.iter().filter(|webhook| head.headers.contains_key(&webhook.settings.header));
        let may = |webhook: &&Arc<Webhook>| webhook.principal.policy.permits(Action::Ingest, stream);
        let Some(webhook) = shown().find(may).or_else(|| shown().next()) else { return Attempt::Absent };
        match webhook.read(&head.headers, now) {
            Ok((signatures, lead)) => {
                let delivery = Delivery { webhook: Arc::clone(webhook), signatures, lead };
                Attempt::IsIf(Arc::clone(&webhook.principal), BodyClaim::Webhook(delivery))
            }
            Err(why) => Attempt::Wrong(why.into()),
        }
    }
}

const UNREADABLE: &str = "the header with the signature cannot be read";
const NO_TIME: &str = "the time of the signature is missing or cannot be read";

impl Webhook {
    /// The signatures, and what is signed before the body.
    fn read(&self, headers: &HeaderMap, now: UnixMicros) -> Result<(Vec<Vec<u8>>, String), &'static str> {
        let shown = only(headers, &self.settings.header).ok_or(UNREADABLE)?;
        let Some(time) = &self.settings.time else {
            return Ok((vec![self.signature(shown)?], String::new()));
        };
        let (signatures, timestamp) = match &time.at {
            TimestampAt::Header(name) => (vec![self.signature(shown)?], only(headers, name).ok_or(NO_TIME)?),
            TimestampAt::Signature => self.read_list(shown)?,
        };
        check_time(time, timestamp, now)?;
        Ok((signatures, format!("{}{timestamp}{}", time.before, time.behind)))
    }

    /// `t=1492774577,v1=5257a8…,v1=…,v0=…`, as Stripe has it.
    fn read_list<'h>(&self, shown: &'h str) -> Result<(Vec<Vec<u8>>, &'h str), &'static str> {
        let (mut signatures, mut timestamp) = (Vec::new(), None);
        for part in shown.split(',') {
            match part.trim_ascii().split_once('=') {
                Some(("t", text)) if timestamp.is_none() => timestamp = Some(text),
                Some(("t", _)) => return Err(UNREADABLE),
                Some(("v1", text)) if signatures.len() < WEBHOOK_SIGNATURES_MAX => {
                    signatures.push(self.signature(text)?);
                }
                Some(("v1", _)) => return Err("the header has too many signatures"),
                _ => {}
            }
        }
        if signatures.is_empty() {
            return Err(UNREADABLE);
        }
        Ok((signatures, timestamp.ok_or(NO_TIME)?))
    }

    fn signature(&self, text: &str) -> Result<Vec<u8>, &'static str> {
        let text = text.strip_prefix(self.settings.prefix.as_str()).ok_or(UNREADABLE)?;
        match self.settings.encoding {
            SignatureEncoding::Hex => unhex(text).ok_or(UNREADABLE),
            SignatureEncoding::Base64 => BASE64.decode(text).map_err(|_| UNREADABLE),
        }
    }
}

/// Whether the time is about now. It is signed, and only believed when the body is there.
fn check_time(time: &SignedTime, timestamp: &str, now: UnixMicros) -> Result<(), &'static str> {
    let is_number =
        (1..=12).contains(&timestamp.len()) && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: i64 = timestamp.parse().ok().filter(|_| is_number).ok_or(NO_TIME)?;
    let apart = seconds.abs_diff(now.0.div_euclid(1_000_000));
    if apart > time.tolerance.as_secs() {
        return Err("the signature is of another time than now");
    }
    Ok(())
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().map(str::trim_ascii),
        _ => None,
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

impl Delivery {
    /// Whether one of the signatures is that of the body, in a time that tells nothing of how far one is right.
    ///
    /// # Errors
    /// If none is, or there is no body: its signature would be the same for every request.
    pub fn check(&self, body: &[u8]) -> Result<(), &'static str> {
        if body.is_empty() {
            return Err("the signature of an empty body proves nothing");
        }
        let mut is_right = subtle::Choice::from(0);
        for key in &self.webhook.keys {
            let mut signed = hmac::Context::with_key(key);
            signed.update(self.lead.as_bytes());
            signed.update(body);
            let tag = signed.sign();
            for signature in &self.signatures {
                is_right |= tag.as_ref().ct_eq(signature);
            }
        }
        if bool::from(is_right) { Ok(()) } else { Err("the signature is not that of this body") }
    }

    /// The header by which the sender tells one delivery from another.
    pub fn idempotency_header(&self) -> Option<&HeaderName> {
        self.webhook.settings.idempotency_header.as_ref()
    }
}

#[cfg(test)]
mod tests;
