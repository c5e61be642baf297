//! Who sends a request of an AWS client, and what they may do: Signature Version 4 and access keys.
//!
//! ```text
//! head ─▶ statement ─▶ time ─▶ access key, token ─▶ canonical request ─▶ signature ─▶ body ─▶ Identity ─▶ may?
//!         what it      within     known?              same text             same?      same
//!         says         the skew                                                        hash?
//! └──────────────────── Identities::claim ───────────────────────────────────────┘ └ Claim::prove ┘
//! ```
//!
//! [`Identities::claim`] looks at all that the head alone can tell, so that a request of an unknown key, of another
//! time or in no form at all is refused before memory is spent on its body. Where the head tells the body's hash, that
//! includes the signature; many SDKs do not tell it to Kinesis, and then the signature needs the body. [`Claim::prove`] does
//! the rest.
//!
//! What is protected: method, path, query, the signed headers, the body (unless the client chose not to sign it) and
//! the time. What is not: a request that somebody has caught can be sent again until its time is over, and nobody is
//! kept from reading it. Only TLS protects from both.

mod canonical;
mod chunks;
mod error;
mod signing;
mod statement;
mod time;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use ring::hmac;
use subtle::ConstantTimeEq;

use super::body_claim::BodyClaim;
use super::principal::{Attempt, IdentityKind, Principal};
use crate::config::checked::{self, SignatureRule};
use crate::edge::gate::throttle::Throttle;
use crate::edge::gate::throttle::standing::Standing;
use crate::runtime::clock::UnixMicros;
use chunks::{ChunkSigner, Chunks};
pub use error::IdentityError;
use signing::{Scope, SigningKeys, hex, hex_sha256, string_to_sign};
use statement::{ChunkedPayload, Payload, SIGNATURE_PARAMETER, Statement, UNSIGNED};

/// Whether a parameter of a query belongs to the signature of a presigned request.
pub fn is_parameter(name: &str) -> bool {
    statement::PARAMETERS.contains(&name)
}

/// Everybody whose requests are taken. Made once, shared by all edge threads.
#[derive(Debug)]
pub struct Identities {
    /// What it was made of.
    settings: checked::Access,
    rule: SignatureRule,
    clock_skew: Duration,
    account: Arc<str>,
    keys: HashMap<String, Arc<AccessKey>>,
}

#[derive(Debug)]
struct AccessKey {
    settings: checked::AccessKey,
    /// Who it is on our own routes, and what it has taken everywhere.
    principal: Arc<Principal>,
    signing_keys: SigningKeys,
}

/// Who has sent a request, beyond doubt, and what they may do.
#[derive(Debug, Clone)]
pub struct Identity {
    /// None where signatures are off.
    key: Option<Arc<AccessKey>>,
    account: Arc<str>,
}

/// What a request says about its sender, as far as its head can prove it.
#[derive(Debug)]
pub struct Claim {
    identity: Identity,
    rest: Rest,
}

/// What only the body can prove.
enum Rest {
    /// Nothing.
    Nothing,
    /// That it has the hash that was signed.
    Hash([u8; 32]),
    /// The signature, which is over its hash.
    Signature(Box<Unproven>),
    /// The signatures of its pieces.
    Chunks(Box<Chunks>),
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Rest::Nothing => "Nothing",
            Rest::Hash(_) => "Hash",
            Rest::Signature(_) => "Signature",
            Rest::Chunks(_) => "Chunks",
        })
    }
}

/// A signature and all that it is over, but for the body.
struct Unproven {
    canonical: Vec<u8>,
    signed_at: String,
    scope: Scope,
    signature: [u8; 32],
    access_key: Arc<AccessKey>,
    key: hmac::Key,
    /// Whether the key was derived for this request.
    is_new: bool,
}

/// What a request to one of our own routes is told that is not in the form of Signature Version 4.
const INCOMPLETE: &str =
    "what this request says of its signature is incomplete, or not in the form of AWS4-HMAC-SHA256";

impl Identities {
    /// Everybody that the configuration knows. `account` stands in messages. What access keys have taken so far is known
    /// to `throttle`.
    pub fn new(access: &checked::Access, account: &str, throttle: &Throttle) -> Self {
        let key = |settings: &checked::AccessKey| {
            let allowed = (&settings.policy, settings.allowance);
            AccessKey {
                settings: settings.clone(),
                principal: Principal::named(IdentityKind::SignatureV4, &settings.id, allowed, throttle),
                signing_keys: SigningKeys::default(),
            }
        };
        Self {
            settings: access.clone(),
            rule: access.signature,
            clock_skew: access.clock_skew,
            account: Arc::from(account),
            keys: access.keys.iter().map(|it| (it.id.clone(), Arc::new(key(it)))).collect(),
        }
    }

    /// Whether it was made of these settings.
    pub fn is_of(&self, access: &checked::Access) -> bool {
        self.settings == *access
    }

    /// Whether an access key, and its secret, is the same as it was under `before`.
    pub fn knows_as_before(&self, before: &Self, id: &str) -> bool {
        let known = self.keys.get(id).map(|key| &key.settings);
        known.is_some() && known == before.keys.get(id).map(|key| &key.settings)
    }

    /// Checks what the head of a request can tell. `now` is the wall clock's time.
    ///
    /// # Errors
    /// If the request is nobody's. Then its body need not be read.
    pub fn claim(&self, head: &Parts, now: UnixMicros) -> Result<Claim, IdentityError> {
        if self.rule == SignatureRule::Off {
            return self.claim_without_signature(head);
        }
        let statement = Statement::of(head)?;
        statement.check_service(&head.headers)?;
        self.claim_of(statement, head, now)
    }

    /// Who has signed a request to one of our own routes. Whether requests of AWS clients have to be signed is no matter
    /// here.
    pub fn identify(&self, head: &Parts, now: UnixMicros) -> Attempt {
        if !Statement::is_in(head) {
            return Attempt::Absent;
        }
        let claimed = Statement::of(head).and_then(|statement| {
            statement.check_own_service()?;
            self.claim_of(statement, head, now)
        });
        match claimed {
            Ok(Claim { identity: Identity { key: Some(key), .. }, rest }) => {
                let principal = Arc::clone(&key.principal);
                match rest {
                    Rest::Nothing => Attempt::Is(principal),
                    rest => Attempt::IsIf(principal, BodyClaim::Signature(Box::new(SignedBody(rest)))),
                }
            }
            Ok(_) => Attempt::Unknown("what is signed is not known here"),
            // It may quote of the header, and this is put on record.
            Err(IdentityError::Incomplete(_)) => Attempt::Wrong(INCOMPLETE.into()),
            Err(error) => Attempt::Wrong(error.to_string().into()),
        }
    }

    fn claim_of(&self, statement: Statement, head: &Parts, now: UnixMicros) -> Result<Claim, IdentityError> {
        time::check(statement.signed_at.seconds, statement.lifetime, self.clock_skew, now)?;
        let access_key = self.keys.get(&statement.key_id).ok_or(IdentityError::Unrecognized)?;
        access_key.check_token(statement.token.as_deref())?;
        let without = statement.lifetime.map(|_| SIGNATURE_PARAMETER);
        let canonical = canonical::canonical_head(head, &statement.signed_headers, without)?;
        let kept = access_key.signing_keys.get(&statement.scope);
        let is_new = kept.is_none();
        let key = kept.unwrap_or_else(|| statement.scope.derive(&access_key.settings.secret));
        let unproven = Unproven {
            canonical,
            signed_at: statement.signed_at.text,
            scope: statement.scope,
            signature: statement.signature,
            access_key: Arc::clone(access_key),
            key,
            is_new,
        };
        let identity = Identity { key: Some(Arc::clone(access_key)), account: Arc::clone(&self.account) };
        let rest = match statement.payload {
            Payload::Hashed => Rest::Signature(Box::new(unproven)),
            Payload::Told(hash) => {
                unproven.check(&hex(&hash))?;
                Rest::Hash(hash)
            }
            Payload::Unsigned => {
                unproven.check(UNSIGNED.as_bytes())?;
                Rest::Nothing
            }
            Payload::Chunked(payload) => {
                let signer = unproven.check(payload.name.as_bytes())?;
                Rest::Chunks(Box::new(chunks(payload, Some(signer))))
            }
        };
        Ok(Claim { identity, rest })
    }

    /// Everybody is taken; a body in pieces still has to be put together.
    fn claim_without_signature(&self, head: &Parts) -> Result<Claim, IdentityError> {
        let rest = match statement::payload(&head.headers, None) {
            Ok(Payload::Chunked(payload)) => Rest::Chunks(Box::new(chunks(payload, None))),
            _ => Rest::Nothing,
        };
        Ok(Claim { identity: Identity { key: None, account: Arc::clone(&self.account) }, rest })
    }
}

fn chunks(payload: ChunkedPayload, signer: Option<ChunkSigner>) -> Chunks {
    Chunks {
        signer: signer.filter(|_| payload.is_signed),
        has_trailers: payload.has_trailers,
        decoded_bytes: payload.decoded_bytes,
    }
}

/// Checks a request whose body is there: [`Identities::claim`] and [`Claim::prove`] in one.
///
/// # Errors
/// As theirs.
pub fn authenticate(
    identities: &Identities,
    head: &Parts,
    body: &mut Vec<u8>,
    now: UnixMicros,
) -> Result<Identity, IdentityError> {
    identities.claim(head, now)?.prove(body)
}

impl AccessKey {
    /// Whether the request carries the token that it must, and none where it must not.
    fn check_token(&self, token: Option<&[u8]>) -> Result<(), IdentityError> {
        let wanted = self.settings.session_token.as_ref().map(|token| token.reveal().as_bytes());
        let is_right = match (wanted, token) {
            (None, None) => true,
            (Some(wanted), Some(token)) => bool::from(wanted.ct_eq(token)),
            _ => false,
        };
        if is_right { Ok(()) } else { Err(IdentityError::Unrecognized) }
    }
}

impl Unproven {
    /// Whether the signature is that of the request with `payload_hash` as its last line; gives what signs its pieces.
    fn check(&self, payload_hash: &[u8]) -> Result<ChunkSigner, IdentityError> {
        let text = string_to_sign((&self.canonical, payload_hash), &self.signed_at, &self.scope);
        // In a time that does not depend on where the first difference is.
        hmac::verify(&self.key, text.as_bytes(), &self.signature).map_err(|_| IdentityError::mismatch())?;
        let signer = ChunkSigner {
            key: self.key.clone(),
            context: format!("{}\n{}", self.signed_at, self.scope),
            previous: hex(&self.signature),
        };
        if self.is_new {
            self.access_key.signing_keys.keep(self.scope.clone(), self.key.clone());
        }
        Ok(signer)
    }
}

impl Claim {
    /// Whether the signature is right already, and only the body has to be what was signed.
    pub fn is_signature_proven(&self) -> bool {
        !matches!(self.rest, Rest::Signature(_))
    }

    /// Checks what needs the body, as it came (it is signed before any `Content-Encoding` but `aws-chunked`). A body in
    /// `aws-chunked` form is replaced by what its pieces hold, in the same memory.
    ///
    /// # Errors
    /// If the request is nobody's.
    pub fn prove(self, body: &mut Vec<u8>) -> Result<Identity, IdentityError> {
        match self.rest {
            Rest::Chunks(chunks) => chunks.decode(body)?,
            rest => rest.check(body)?,
        }
        Ok(self.identity)
    }
}

impl Rest {
    /// Whether a body that comes in one piece proves it.
    fn check(&self, body: &[u8]) -> Result<(), IdentityError> {
        match self {
            Rest::Nothing => Ok(()),
            Rest::Hash(hash) if bool::from(hex(hash).ct_eq(&hex_sha256(body))) => Ok(()),
            Rest::Hash(_) => Err(IdentityError::mismatch()),
            Rest::Signature(unproven) => unproven.check(&hex_sha256(body)).map(drop),
            Rest::Chunks(_) => Err(IdentityError::Chunks("this route takes a body in one piece")),
        }
    }
}

/// What only the body can prove of a request to one of our own routes.
#[derive(Debug)]
pub struct SignedBody(Rest);

impl SignedBody {
    /// Whether the body, as it came, is the one that was signed.
    ///
    /// # Errors
    /// If it is not, or the signature is wrong.
    pub fn check(&self, body: &[u8]) -> Result<(), IdentityError> {
        self.0.check(body)
    }
}

impl Identity {
    /// What its access key has taken, and may; nothing limits it where signatures are off.
    pub fn standing(&self) -> Standing {
        self.key.as_ref().map(|key| key.principal.standing.clone()).unwrap_or_default()
    }

    /// The id of the access key; none where signatures are off.
    pub fn access_key_id(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.settings.id.as_str())
    }

    /// Whether `action`, such as `kinesis:PutRecord`, is allowed for the stream, or at all where it is about none.
    pub fn may(&self, action: &str, stream: Option<&str>) -> bool {
        self.key.as_ref().is_none_or(|key| key.settings.policy.allows(action, stream))
    }

    /// The same as an error. `resource` is the ARN that the message names, or `*`.
    ///
    /// # Errors
    /// [`IdentityError::Denied`].
    pub fn authorize(
        &self,
        action: &str,
        stream: Option<&str>,
        resource: impl FnOnce() -> String,
    ) -> Result<(), IdentityError> {
        if self.may(action, stream) {
            return Ok(());
        }
        let id = self.access_key_id().unwrap_or_default();
        Err(IdentityError::Denied {
            user: format!("arn:aws:iam::{}:user/{id}", self.account),
            action: action.to_owned(),
            resource: resource(),
        })
    }
}

#[cfg(test)]
mod tests;
