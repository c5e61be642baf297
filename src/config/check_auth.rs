//! `[auth]` of `forebay.toml`, and who may be let in by it: raw → checked.

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_api_key::{ApiKey, ApiKeyTable, check_api_keys};
use super::check_authorizer::{Authorizer, AuthorizerTable, check_authorizer};
use super::check_basic_user::{BasicUser, BasicUserTable, check_basic_users};
use super::check_client_certificate::{CertificateHolder, ClientCertificateTable, check_client_certificates};
use super::check_jwt::{JwtIssuer, JwtIssuerTable, check_jwt_issuers};
use super::check_listener::ListenAt;
use super::check_webhook::{Webhook, WebhookTable, check_webhooks};
use super::checker::Checker;
use crate::edge::identity::policy::{Action, Grant};
use crate::edge::identity::principal::IdentityKind;

/// `[auth]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthTable {
    /// What lets a producer in: any of these proofs of identity, or `none`, which asks nobody and is taken only where
    /// all listeners are loopback addresses or Unix sockets. Default: nobody may put records.
    #[schemars(extend("examples" = [["api_key"]]))]
    pub ingest: Option<Vec<String>>,
    /// The same for readers. Default: nobody may read.
    #[schemars(extend("examples" = [["api_key"]]))]
    pub tap: Option<Vec<String>>,
    /// The same for changes of streams. Default: nobody may change them.
    #[schemars(extend("examples" = [["api_key"]]))]
    pub admin: Option<Vec<String>>,
    /// The same for who reads records that could not be delivered. Default: nobody may read them, whatever is granted.
    #[schemars(extend("examples" = [["api_key"]]))]
    pub dead_letters: Option<Vec<String>>,
    /// Whether secrets may stand in the query, as `api_key` and `access_token`, for clients that cannot set headers.
    /// Proxies in front may log them. Default: false.
    #[schemars(example = false)]
    pub credentials_in_query: Option<bool>,
}

/// `[auth]` and those whom it knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Auth {
    demands: [Demand; Action::COUNT],
    /// Whether secrets may stand in the query.
    pub are_in_query: bool,
    /// `[[api_key]]`. Names and digests are unique.
    pub api_keys: Vec<ApiKey>,
    /// `[[basic_user]]`. Names are unique.
    pub basic_users: Vec<BasicUser>,
    /// `[[client_certificate]]`, in the order of the file. Names are unique.
    pub client_certificates: Vec<CertificateHolder>,
    /// `[[webhook]]`, in the order of the file. Names are unique.
    pub webhooks: Vec<Webhook>,
    /// `[authorizer]`.
    pub authorizer: Option<Authorizer>,
    /// `[[jwt_issuer]]`. Issuers are unique.
    pub jwt_issuers: Vec<JwtIssuer>,
}

/// What lets somebody in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Demand {
    /// Nobody is asked.
    #[default]
    Open,
    /// Nobody is let in.
    Closed,
    /// A proof of one of these kinds, looked for in this order.
    AnyOf(Vec<IdentityKind>),
}

impl Default for Auth {
    /// Nobody is asked, and nobody is known.
    fn default() -> Self {
        Self::new(std::array::from_fn(|_| Demand::Open), Vec::new())
    }
}

impl Auth {
    /// Demands by action, and keys whose names and digests are unique; no secret stands in the query.
    pub fn new(demands: [Demand; Action::COUNT], api_keys: Vec<ApiKey>) -> Self {
        Self {
            demands,
            are_in_query: false,
            api_keys,
            basic_users: Vec::new(),
            client_certificates: Vec::new(),
            webhooks: Vec::new(),
            authorizer: None,
            jwt_issuers: Vec::new(),
        }
    }

    /// Those whom its tables name, by kind. Subjects of issuers and principals of an authorizer have no tables, and
    /// access keys are not a part of it.
    pub fn named(&self) -> impl Iterator<Item = (IdentityKind, &str)> {
        let keys = self.api_keys.iter().map(|key| (IdentityKind::ApiKey, key.name.as_str()));
        let users = self.basic_users.iter().map(|user| (IdentityKind::Basic, user.name.as_str()));
        let holders = self.client_certificates.iter();
        let holders = holders.map(|holder| (IdentityKind::ClientCertificate, holder.name.as_str()));
        let webhooks = self.webhooks.iter().map(|webhook| (IdentityKind::Hmac, webhook.name.as_str()));
        keys.chain(users).chain(holders).chain(webhooks)
    }

    /// Those who name principals that have no table, by kind: issuers, and the authorizer.
    pub fn sources(&self) -> impl Iterator<Item = (IdentityKind, &str)> {
        let issuers = self.jwt_issuers.iter().map(|issuer| (IdentityKind::Jwt, issuer.issuer.as_str()));
        issuers.chain(self.authorizer.iter().map(|_| (IdentityKind::Http, Authorizer::NAME)))
    }

    /// What an action takes.
    pub fn demand(&self, action: Action) -> &Demand {
        &self.demands[action as usize]
    }
}

/// The tables of those whom `[auth]` may name.
#[derive(Debug, Default)]
pub(super) struct Principals {
    /// `[[api_key]]`.
    pub api_keys: Vec<ApiKeyTable>,
    /// `[[basic_user]]`.
    pub basic_users: Vec<BasicUserTable>,
    /// `[[client_certificate]]`.
    pub client_certificates: Vec<ClientCertificateTable>,
    /// `[[webhook]]`.
    pub webhooks: Vec<WebhookTable>,
    /// Whether there is any `[[access_key]]`, which are used without `[auth]` as well.
    pub has_access_keys: bool,
    /// `[authorizer]`.
    pub authorizer: Option<AuthorizerTable>,
    /// `[[jwt_issuer]]`.
    pub jwt_issuers: Vec<JwtIssuerTable>,
}

impl Principals {
    /// The first table of a kind.
    fn first_of(&self, kind: IdentityKind) -> Option<&'static str> {
        let (is_there, path) = match kind {
            IdentityKind::ApiKey => (!self.api_keys.is_empty(), "api_key[0]"),
            IdentityKind::Jwt => (!self.jwt_issuers.is_empty(), "jwt_issuer[0]"),
            IdentityKind::Basic => (!self.basic_users.is_empty(), "basic_user[0]"),
            IdentityKind::ClientCertificate => {
                (!self.client_certificates.is_empty(), "client_certificate[0]")
            }
            IdentityKind::Http => (self.authorizer.is_some(), "authorizer"),
            IdentityKind::Hmac => (!self.webhooks.is_empty(), "webhook[0]"),
            IdentityKind::SignatureV4 => (self.has_access_keys, "access_key[0]"),
        };
        is_there.then_some(path)
    }
}

/// For the name of any principal.
pub(super) const NAME_HELP: &str = "write name = \"mobile\" or another name";
const NONE: &str = "none";

/// `[auth]` with its principals. `exposed` is a listener that others than this machine reach; `None` where a problem was
/// added.
pub(super) fn check_auth(
    raw: Option<AuthTable>,
    principals: Principals,
    exposed: Option<&ListenAt>,
    checker: &mut Checker<'_>,
) -> Option<Auth> {
    let Some(raw) = raw else {
        return check_no_auth(&principals, exposed, checker);
    };
    let given = [raw.ingest, raw.tap, raw.admin, raw.dead_letters];
    let mut demands = Vec::with_capacity(Action::COUNT);
    for (action, words) in Action::ALL.into_iter().zip(given) {
        demands.push(match words {
            None => Some(Demand::Closed),
            Some(words) => check_demand(action, &words, (&principals, exposed), checker),
        });
    }
    let api_keys = check_api_keys(principals.api_keys, checker);
    let basic_users = check_basic_users(principals.basic_users, checker);
    let client_certificates = check_client_certificates(principals.client_certificates, checker);
    let webhooks = check_webhooks(principals.webhooks, checker);
    let authorizer = match principals.authorizer {
        None => Some(None),
        Some(table) => check_authorizer(table, checker).map(Some),
    };
    let jwt_issuers = check_jwt_issuers(principals.jwt_issuers, checker);
    let demands: Option<Vec<Demand>> = demands.into_iter().collect();
    let are_in_query = raw.credentials_in_query.unwrap_or(false);
    Some(Auth {
        are_in_query,
        basic_users: basic_users?,
        client_certificates: client_certificates?,
        webhooks: webhooks?,
        authorizer: authorizer?,
        jwt_issuers: jwt_issuers?,
        ..Auth::new(demands?.try_into().ok()?, api_keys?)
    })
}

/// Without `[auth]` nobody is asked, which is for this machine alone.
fn check_no_auth(
    principals: &Principals,
    exposed: Option<&ListenAt>,
    checker: &mut Checker<'_>,
) -> Option<Auth> {
    let help = "write [auth] with ingest = [\"api_key\"], tap = [\"api_key\"], and an [[api_key]]";
    if let Some((word, path)) = IdentityKind::WORDS
        .iter()
        .filter(|(_, kind)| *kind != IdentityKind::SignatureV4)
        .find_map(|(word, kind)| Some((word, principals.first_of(*kind)?)))
    {
        checker.problem_with_help(path, format!("nobody is asked for a proof of the kind {word:?}"), help);
        return None;
    }
    if let Some(listen) = exposed {
        checker.problem_with_help(
            "server.listen",
            format!("everybody who can reach {listen} may put records into all streams and read them: [auth] is missing"),
            format!("{help}, or listen on a loopback address such as 127.0.0.1:8080"),
        );
        return None;
    }
    Some(Auth::default())
}

fn check_demand(
    action: Action,
    words: &[String],
    (principals, exposed): (&Principals, Option<&ListenAt>),
    checker: &mut Checker<'_>,
) -> Option<Demand> {
    let path = format!("auth.{}", action.as_str());
    if words == [NONE] {
        return match exposed {
            None => Some(Demand::Open),
            Some(listen) => {
                checker.problem_with_help(
                    &path,
                    format!("\"none\" lets everybody who can reach {listen} {} all streams", action.verb()),
                    "name a proof of identity, or listen on a loopback address such as 127.0.0.1:8080",
                );
                None
            }
        };
    }
    if words.is_empty() {
        let message = format!("{} must not be empty", action.as_str());
        checker.problem_with_help(
            &path,
            message,
            "leave it out, and nobody may, or name a proof of identity",
        );
        return None;
    }
    let mut kinds = Vec::with_capacity(words.len());
    for (index, word) in words.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if word == NONE {
            checker.problem(&path, "\"none\" asks nobody: it stands alone");
            continue;
        }
        let Some(kind) = checker.word(&path, Some(word), IdentityKind::ApiKey, &IdentityKind::WORDS) else {
            continue;
        };
        if kinds.contains(&kind) {
            checker.problem(&path, format!("{word:?} is named twice"));
        } else if kind == IdentityKind::Hmac && action != Action::Ingest {
            checker
                .problem(&path, "\"hmac\" is a signature of a body: it proves who puts records, and no more");
        } else if principals.first_of(kind).is_none() {
            checker.problem(&path, format!("there is no {}, so that this lets nobody in", kind.table()));
        } else {
            kinds.push(kind);
        }
    }
    (kinds.len() == words.len()).then_some(Demand::AnyOf(kinds))
}

/// One of `allow`; `None` where a problem was added.
pub(super) fn check_grant(text: &str, path: &str, checker: &mut Checker<'_>) -> Option<Grant> {
    match Grant::parse(text) {
        Ok(grant) => Some(grant),
        Err(error) => {
            let quoted = checker.quote(path, text);
            checker.problem_with_help(
                path,
                format!("{quoted} is no grant: {error}"),
                "write one such as \"ingest:web\", \"tap:*\" or \"*:web-*\"",
            );
            None
        }
    }
}
