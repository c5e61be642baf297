//! The gate: who may come in, and for what, before a byte of the body is read.
//!
//! ```text
//! facts ─▶ screen ─▶ identity ─▶ policy ─▶ Entry ─▶ throttle ─▶ Charge (─▶ body ─▶ BodyProof)
//!          from where? who?      may they?            how much?              said by them?
//!          what?
//! ```
//!
//! What is asked for is one of four actions ([`Action`]). For each the configuration says which kinds of identity
//! count; a request is let in by the first of them whose proof it shows. One that shows a wrong proof is not tried as
//! nobody's, or as another kind's.

pub mod addresses;
pub mod body_proof;
mod entry;
pub mod facts;
pub mod networks;
pub mod renewal;
pub mod rules;
pub mod screen;
pub mod throttle;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

use self::body_proof::BodyProof;
use self::facts::Facts;
use self::screen::Screen;
use self::throttle::{Levels, Throttle};
use super::identity::api_key::ApiKeys;
use super::identity::authorizer::Authorizer;
use super::identity::basic::BasicUsers;
use super::identity::body_claim::BodyClaim;
use super::identity::certificate::Certificates;
use super::identity::credentials::Credentials;
use super::identity::jwt::Jwt;
use super::identity::policy::Action;
use super::identity::principal::{Attempt, IdentityKind, Principal};
use super::identity::signature_v4::Identities;
use super::identity::webhook::Webhooks;
use super::problem::Problem;
use crate::config::checked::{self, Demand};
use crate::runtime::clock;
use crate::telemetry::audit::Who;
use crate::telemetry::metrics::AuthorizerMetrics;

pub use self::entry::Entry;

/// Who may come in. Made of the configuration, and replaced as a whole.
#[derive(Debug)]
pub struct Gate {
    /// What it was made of.
    settings: checked::Auth,
    demands: [Demand; Action::COUNT],
    /// What a client is told to prove itself by, by action.
    challenges: [Option<HeaderValue>; Action::COUNT],
    are_in_query: bool,
    api_keys: Arc<ApiKeys>,
    basic_users: BasicUsers,
    certificates: Certificates,
    webhooks: Webhooks,
    signatures: Arc<Identities>,
    authorizer: Option<Authorizer>,
    screen: Arc<Screen>,
    levels: Arc<Levels>,
    jwt: Arc<Jwt>,
    /// That no other gate of this process has.
    number: u64,
}

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

impl Gate {
    /// As `[auth]` and the principals of the configuration say; `signatures` are those of access keys. Tokens are checked
    /// by `jwt`, which outlives it, and what principals have taken so far is known to `throttle`.
    pub fn new(
        auth: &checked::Auth,
        (signatures, jwt): (Arc<Identities>, Arc<Jwt>),
        throttle: &Throttle,
        metrics: &AuthorizerMetrics,
    ) -> Self {
        let challenge = |action: Action| match auth.demand(action) {
            Demand::AnyOf(kinds) => challenge(kinds),
            Demand::Open | Demand::Closed => None,
        };
        let api_keys = Arc::new(ApiKeys::new(&auth.api_keys, throttle));
        let authorizer = auth.authorizer.as_ref();
        let authorizer = authorizer
            .and_then(|settings| authorizer_of(settings, (throttle, Arc::clone(&api_keys)), metrics));
        Self {
            settings: auth.clone(),
            demands: Action::ALL.map(|action| auth.demand(action).clone()),
            challenges: Action::ALL.map(challenge),
            are_in_query: auth.are_in_query,
            api_keys,
            basic_users: BasicUsers::new(&auth.basic_users, throttle),
            certificates: Certificates::new(&auth.client_certificates, throttle),
            webhooks: Webhooks::new(&auth.webhooks, throttle),
            signatures,
            authorizer,
            jwt,
            screen: Arc::default(),
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            levels: Arc::clone(&throttle.levels),
        }
    }

    /// The same behind lists of addresses and rules.
    pub fn behind(self, screen: Arc<Screen>) -> Self {
        Self { screen, ..self }
    }

    /// What is asked about addresses, and rules.
    pub fn screen(&self) -> &Screen {
        &self.screen
    }

    /// The same with other limits of what all requests have in common.
    pub fn limited(self, levels: Arc<Levels>) -> Self {
        Self { levels, ..self }
    }

    /// The limits of what all requests have in common.
    pub fn levels(&self) -> &Arc<Levels> {
        &self.levels
    }

    /// Whose signatures are known.
    pub fn signatures(&self) -> &Arc<Identities> {
        &self.signatures
    }

    /// What checks tokens.
    pub fn jwt(&self) -> &Arc<Jwt> {
        &self.jwt
    }

    /// Forgets what the authorizer has decided. Returns how many decisions there were.
    pub fn forget_decisions(&self) -> usize {
        self.authorizer.as_ref().map_or(0, Authorizer::forget)
    }

    /// Asks where a request of the edge comes from, and the rules, whoever has sent it. To be called before
    /// [`Gate::enter`]; the admin port has no such lists.
    ///
    /// # Errors
    /// [`Problem::AddressNotAllowed`] and [`Problem::Blocked`].
    pub fn judge(&self, facts: &Facts<'_>) -> Result<(), Problem> {
        self.screen.judge(facts)
    }

    /// Lets a request in, or says why not.
    ///
    /// # Errors
    /// [`Problem::Unauthenticated`] if it does not prove who has sent it, [`Problem::IdentityUnavailable`] if that cannot be
    /// told, [`Problem::Forbidden`] if they may not do what they ask for.
    pub async fn enter(self: &Arc<Self>, facts: &Facts<'_>) -> Result<Entry, Problem> {
        let Some(action) = facts.action else { return Ok(self.let_in(None, facts)) };
        let kinds = match &self.demands[action as usize] {
            Demand::Open => return Ok(self.let_in(None, facts)),
            Demand::Closed => return Err(Problem::Forbidden(closed(action))),
            Demand::AnyOf(kinds) => kinds,
        };
        let credentials = Credentials::of(facts.head, self.are_in_query);
        let (principal, claim) =
            self.identify((action, kinds), &credentials, facts).await.map_err(|why| match why {
                Refusal::Wrong(why) => self.unauthenticated(action, why, &credentials),
                Refusal::Denied(why) => Problem::Forbidden(why.to_owned()),
                Refusal::Unavailable(why) => Problem::IdentityUnavailable(why),
            })?;
        let who = Who { name: Arc::clone(&principal.name), identity: principal.kind.as_str() };
        if let Some(visit) = facts.visit {
            match claim {
                None => visit.is_of(who.clone()),
                // It is not known before the body is: what is forged must not be on record as theirs.
                Some(_) => visit.claims_to_be_of(who.clone()),
            }
        }
        let mut entry = self.let_in(Some(principal), facts);
        let challenge = || self.challenges[action as usize].clone();
        entry.proof = claim.map(|claim| Arc::new(BodyProof::new(claim, challenge(), who)));
        entry.permit(action, facts.stream)?;
        Ok(entry)
    }

    async fn identify(
        &self,
        (action, kinds): (Action, &[IdentityKind]),
        credentials: &Credentials<'_>,
        facts: &Facts<'_>,
    ) -> Result<(Arc<Principal>, Option<BodyClaim>), Refusal> {
        let mut unknown = if credentials.are_there() { UNKNOWN } else { MISSING };
        for kind in kinds {
            let attempt = match kind {
                IdentityKind::ApiKey => self.api_keys.identify(credentials),
                IdentityKind::Jwt => self.jwt.identify(credentials).await,
                IdentityKind::Basic => self.basic_users.identify(credentials).await,
                IdentityKind::ClientCertificate => {
                    self.certificates.identify(facts.peer.certificate.as_deref())
                }
                IdentityKind::Http => match &self.authorizer {
                    Some(authorizer) => authorizer.identify(facts, action).await,
                    None => Attempt::Unavailable("the authorizer cannot be asked"),
                },
                IdentityKind::Hmac => self.webhooks.identify(facts.head, facts.stream, clock::wall()),
                IdentityKind::SignatureV4 => self.signatures.identify(facts.head, clock::wall()),
            };
            match attempt {
                Attempt::Is(principal) => return Ok((principal, None)),
                Attempt::IsIf(principal, claim) => return Ok((principal, Some(claim))),
                Attempt::Wrong(why) => return Err(Refusal::Wrong(why)),
                Attempt::Denied(why) => return Err(Refusal::Denied(why)),
                Attempt::Unavailable(why) => return Err(Refusal::Unavailable(why)),
                Attempt::Unknown(why) => unknown = why,
                Attempt::Absent => {}
            }
        }
        Err(Refusal::Wrong(unknown.into()))
    }

    fn unauthenticated(
        &self,
        action: Action,
        why: Cow<'static, str>,
        credentials: &Credentials<'_>,
    ) -> Problem {
        let challenge = self.challenges[action as usize].clone();
        let challenge = match credentials.bearer() {
            Some(_) => challenge.map(|challenge| with_error(challenge, &why)),
            None => challenge,
        };
        Problem::Unauthenticated { challenge, detail: why.into_owned() }
    }

    fn let_in(self: &Arc<Self>, principal: Option<Arc<Principal>>, facts: &Facts<'_>) -> Entry {
        let (client, route) = (facts.client, facts.route);
        Entry { gate: Arc::clone(self), principal, proof: None, client, route }
    }
}

/// Why it is not known who has sent a request.
enum Refusal {
    /// The proof is missing or wrong.
    Wrong(Cow<'static, str>),
    /// It is known, and they may not.
    Denied(&'static str),
    /// It cannot be told at the moment.
    Unavailable(&'static str),
}

/// The authorizer; without an HTTP client it lets nobody in.
fn authorizer_of(
    settings: &checked::Authorizer,
    with: (&Throttle, Arc<ApiKeys>),
    metrics: &AuthorizerMetrics,
) -> Option<Authorizer> {
    let made = Authorizer::new(settings, with, metrics.clone());
    made.inspect_err(|error| tracing::error!(%error, "there is no HTTP client for the authorizer")).ok()
}

/// The challenge with what is wrong with a bearer token that was shown (RFC 6750, section 3). Where there are several
/// challenges, that of bearer tokens has to be the last for it.
fn with_error(challenge: HeaderValue, why: &str) -> HeaderValue {
    let text = challenge.to_str().ok().filter(|text| text.starts_with("Bearer "));
    let text = text.map(|text| format!("{text}, error=\"invalid_token\", error_description=\"{why}\""));
    text.and_then(|text| HeaderValue::from_str(&text).ok()).unwrap_or(challenge)
}

/// What a request without any proof is told.
const MISSING: &str = "this request does not say who has sent it";
/// What one is told whose proof is none of those that count.
const UNKNOWN: &str = "what this request shows of its sender is not known here";

fn closed(action: Action) -> String {
    format!("nobody may {} streams here: [auth] {} names no identity", action.verb(), action.as_str())
}

/// The value of `WWW-Authenticate`, with each scheme once.
fn challenge(kinds: &[IdentityKind]) -> Option<HeaderValue> {
    let mut schemes: Vec<&str> = Vec::with_capacity(kinds.len());
    for kind in kinds {
        if !schemes.contains(&kind.challenge()) {
            schemes.push(kind.challenge());
        }
    }
    HeaderValue::from_str(&schemes.join(", ")).ok()
}

#[cfg(test)]
mod tests;
