//! The gate: who may come in, and for what, before a byte of the body is read.
//!
//! ```text
//! facts ─▶ screen ─▶ identity ─▶ policy ─▶ Entry
//!          from where? what?  who?        may they?
//! ```
//!
//! What is asked for is one of three actions ([`Action`]). For each the configuration says which kinds of identity
//! count; a request is let in by the first of them whose proof it shows. One that shows a wrong proof is not tried as
//! nobody's, or as another kind's.

pub mod addresses;
pub mod facts;
pub mod networks;
pub mod rules;
pub mod screen;

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;

use self::facts::Facts;
use self::screen::Screen;
use super::identity::api_key::ApiKeys;
use super::identity::credentials::Credentials;
use super::identity::jwt::Jwt;
use super::identity::policy::Action;
use super::identity::principal::{Attempt, IdentityKind, Principal};
use super::problem::Problem;
use crate::config::checked::{self, Demand};
use crate::telemetry::audit::Who;

/// Who may come in. Made of the configuration, and replaced as a whole.
#[derive(Debug, Default)]
pub struct Gate {
    demands: [Demand; Action::COUNT],
    /// What a client is told to prove itself by, by action.
    challenges: [Option<HeaderValue>; Action::COUNT],
    are_in_query: bool,
    api_keys: ApiKeys,
    screen: Arc<Screen>,
    jwt: Arc<Jwt>,
}

/// A request that was let in.
#[derive(Debug, Clone)]
pub struct Entry {
    gate: Arc<Gate>,
    /// Where it comes from.
    client: Option<IpAddr>,
    /// Who has sent it, where anybody was asked.
    pub principal: Option<Arc<Principal>>,
}

impl Gate {
    /// As `[auth]` and the principals of the configuration say. Tokens are checked by `jwt`, which outlives it.
    pub fn new(auth: &checked::Auth, jwt: Arc<Jwt>) -> Self {
        let challenge = |action: Action| match auth.demand(action) {
            Demand::AnyOf(kinds) => challenge(kinds),
            Demand::Open | Demand::Closed => None,
        };
        Self {
            demands: Action::ALL.map(|action| auth.demand(action).clone()),
            challenges: Action::ALL.map(challenge),
            are_in_query: auth.are_in_query,
            api_keys: ApiKeys::new(&auth.api_keys),
            jwt,
            screen: Arc::default(),
        }
    }

    /// The same behind lists of addresses and rules.
    pub fn behind(self, screen: Arc<Screen>) -> Self {
        Self { screen, ..self }
    }

    /// What checks tokens.
    pub fn jwt(&self) -> &Arc<Jwt> {
        &self.jwt
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
    /// [`Problem::Unauthenticated`] if it does not prove who has sent it, [`Problem::Forbidden`] if they may not do what
    /// they ask for, [`Problem::IdentityUnavailable`] if that cannot be told at the moment.
    pub async fn enter(self: &Arc<Self>, facts: &Facts<'_>) -> Result<Entry, Problem> {
        let Some(action) = facts.action else { return Ok(self.let_in(facts, None)) };
        let kinds = match &self.demands[action as usize] {
            Demand::Open => return Ok(self.let_in(facts, None)),
            Demand::Closed => return Err(Problem::Forbidden(closed(action))),
            Demand::AnyOf(kinds) => kinds,
        };
        let credentials = Credentials::of(facts.head, self.are_in_query);
        let principal = self
            .identify(kinds, &credentials)
            .await
            .map_err(|refusal| self.refused(action, refusal, &credentials))?;
        if let Some(visit) = facts.visit {
            visit.is_of(Who { name: Arc::clone(&principal.name), identity: principal.kind.as_str() });
        }
        let entry = self.let_in(facts, Some(principal));
        entry.permit(action, facts.stream)?;
        Ok(entry)
    }

    async fn identify(
        &self,
        kinds: &[IdentityKind],
        credentials: &Credentials<'_>,
    ) -> Result<Arc<Principal>, Refused> {
        let mut unknown = if credentials.are_there() { UNKNOWN } else { MISSING };
        for kind in kinds {
            let attempt = match kind {
                IdentityKind::ApiKey => self.api_keys.identify(credentials),
                IdentityKind::Jwt => self.jwt.identify(credentials).await,
            };
            match attempt {
                Attempt::Is(principal) => return Ok(principal),
                Attempt::Wrong(why) => return Err(Refused::Nobody(why)),
                Attempt::Unavailable(why) => return Err(Refused::Unavailable(why)),
                Attempt::Unknown(why) => unknown = why,
                Attempt::Absent => {}
            }
        }
        Err(Refused::Nobody(unknown))
    }

    fn refused(&self, action: Action, refused: Refused, credentials: &Credentials<'_>) -> Problem {
        let why = match refused {
            Refused::Nobody(why) => why,
            Refused::Unavailable(why) => return Problem::IdentityUnavailable(why),
        };
        let challenge = self.challenges[action as usize].clone();
        let challenge = match credentials.bearer() {
            Some(_) => challenge.map(|challenge| with_error(challenge, why)),
            None => challenge,
        };
        Problem::Unauthenticated { challenge, detail: why.to_owned() }
    }

    fn let_in(self: &Arc<Self>, facts: &Facts<'_>, principal: Option<Arc<Principal>>) -> Entry {
        Entry { gate: Arc::clone(self), client: facts.client, principal }
    }
}

/// Why nobody is let in.
enum Refused {
    /// It is known that the request is nobody's. Why, in words without anything of the request.
    Nobody(&'static str),
    /// What would tell is not to be reached.
    Unavailable(&'static str),
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
    format!("nobody may {} here: [auth] {} names no identity", action.verb(), action.as_str())
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

impl Entry {
    /// Whether it may do `action` besides: a connection that stays open may turn to something else.
    ///
    /// # Errors
    /// [`Problem::AddressNotAllowed`] and [`Problem::Forbidden`].
    pub fn permit(&self, action: Action, stream: Option<&str>) -> Result<(), Problem> {
        self.reach(stream)?;
        if self.may(action, stream) {
            return Ok(());
        }
        let who = self.principal.as_ref().map_or("nobody", |principal| &principal.name);
        let what = stream.map_or_else(|| "any stream".to_owned(), |stream| format!("'{stream}'"));
        Err(Problem::Forbidden(format!("'{who}' may not {} {what}", action.verb())))
    }

    /// Whether it may come to a stream from where it is, whoever has sent it.
    ///
    /// # Errors
    /// [`Problem::AddressNotAllowed`].
    pub fn reach(&self, stream: Option<&str>) -> Result<(), Problem> {
        self.gate.screen.reach(self.client, stream)
    }

    /// [`Entry::permit`] as a question.
    pub fn may(&self, action: Action, stream: Option<&str>) -> bool {
        if self.reach(stream).is_err() {
            return false;
        }
        match (&self.gate.demands[action as usize], &self.principal) {
            (Demand::Open, _) => true,
            (Demand::AnyOf(kinds), Some(principal)) => {
                kinds.contains(&principal.kind) && principal.policy.permits(action, stream)
            }
            (Demand::Closed, _) | (Demand::AnyOf(_), None) => false,
        }
    }
}

#[cfg(test)]
mod tests;
