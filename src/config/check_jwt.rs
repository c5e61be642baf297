//! `[[jwt_issuer]]` of `forebay.toml`: raw → checked.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_access_key::check_patterns;
use super::check_auth::check_grant;
use super::check_jwt_keys::{JwtKeys, check_algorithms, check_keys};
use super::check_limit::{Allowance, LimitTable, QuotaTable, check_allowance};
use super::checker::Checker;
use super::limits::{
    JWT_CLOCK_SKEW_DEFAULT, JWT_CLOCK_SKEW_MAX, JWT_ISSUER_BYTES_MAX, JWT_ISSUERS_MAX, JWT_SCOPES_MAX,
    WEIGHT_MAX,
};
use super::secret::Secret;
use super::shape::last_key;
use crate::edge::identity::jwt::algorithm::Algorithm;
use crate::edge::identity::policy::Grant;
use crate::json::Pointer;

/// One of `[[jwt_issuer]]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JwtIssuerTable {
    /// What tokens have as `iss`, letter by letter. Unique.
    #[schemars(required, example = &"https://login.example.com/")]
    pub issuer: Option<String>,
    /// Whom its tokens must be for: one of these must be in `aud`, or be the `client_id` of a token without `aud`.
    #[schemars(required, extend("examples" = [["forebay"]]))]
    pub audience: Option<Vec<String>>,
    /// What its tokens may be signed with. Default: `HS256` with `secret`; otherwise all that the kind of the key can.
    #[schemars(extend("examples" = [["RS256", "ES256"]]))]
    pub algorithms: Option<Vec<String>>,
    /// Address of its keys, a JSON Web Key Set: `https://`, or `http://` on this machine. Exactly one of `jwks_url`,
    /// `discovery`, `public_key` and `secret` is wanted.
    #[schemars(example = &"https://login.example.com/.well-known/jwks.json")]
    pub jwks_url: Option<Secret>,
    /// Whether the issuer is asked where its keys are, at `/.well-known/openid-configuration` below `issuer`.
    #[schemars(example = true)]
    pub discovery: Option<bool>,
    /// PEM file with its public keys, relative to this file.
    #[schemars(example = &"issuer.pem")]
    pub public_key: Option<String>,
    /// Secret of `HS256`, `HS384` and `HS512`: 32, 48 or 64 bytes at least.
    #[schemars(example = &"${JWT_SECRET}")]
    pub secret: Option<Secret>,
    /// How often keys are fetched: `1s` to `24h`. Default: `15m`.
    #[schemars(example = &"15m")]
    pub refresh: Option<String>,
    /// For how long keys are used that should have been fetched again and cannot be; at most `7d`. Default: `24h`.
    #[schemars(example = &"24h")]
    pub outage_grace: Option<String>,
    /// Whether keys may come over `http://` from other machines. Default: false.
    #[schemars(example = true)]
    pub allow_http: Option<bool>,
    /// How far its clock may be from ours; at most `10m`. Default: `60s`.
    #[schemars(example = &"60s")]
    pub clock_skew: Option<String>,
    /// Whether tokens must have an end (`exp`). Default: true.
    #[schemars(example = true)]
    pub require_expiry: Option<bool>,
    /// Claim with the scopes of a token, as a text with spaces or as a list: a name, or a JSON pointer to a nested one.
    /// Default: `scope`, or `scp` where there is none.
    #[schemars(example = &"/realm_access/roles")]
    pub scope_claim: Option<String>,
    /// What a scope allows, as `action:stream`. One that is not here and is such a text itself allows that.
    #[schemars(extend("examples" = [{ "events.write": ["ingest:*"] }]))]
    pub scopes: Option<BTreeMap<String, Vec<String>>>,
    /// What every token of the issuer may do, as `action:stream`. Default: nothing.
    #[schemars(extend("examples" = [["ingest:web"]]))]
    pub allow: Option<Vec<String>>,
    /// How much each subject may send and, by `tap`, read at a time. Default: any amount.
    pub limit: Option<LimitTable>,
    /// How much is kept of each subject in a day or a month. Default: any amount.
    pub quota: Option<QuotaTable>,
    /// How much of a busy server is the part of each subject, in proportion to those of others, which have 1. Default: 1.
    #[schemars(range(min = 1, max = WEIGHT_MAX), example = 2)]
    pub weight: Option<i64>,
}

/// One of `[[jwt_issuer]]`: whose tokens are taken, and how they are checked.
#[derive(Debug, Clone, PartialEq)]
pub struct JwtIssuer {
    /// What tokens have as `iss`. Unique.
    pub issuer: String,
    /// Whom they must be for; not empty.
    pub audience: Vec<String>,
    /// What they may be signed with; not empty, and of the kind of `keys`.
    pub algorithms: Vec<Algorithm>,
    /// What they are checked with.
    pub keys: JwtKeys,
    /// How far its clock may be from ours.
    pub clock_skew: Duration,
    /// Whether they must have an end.
    pub is_expiry_required: bool,
    /// Claims with scopes, of which the first that is there counts.
    pub scope_claims: Vec<ClaimName>,
    /// What scopes allow, by their names. Others allow what they say themselves, if they are grants.
    pub scopes: HashMap<String, Vec<Grant>>,
    /// What every token allows.
    pub allow: Vec<Grant>,
    /// How much of it each subject.
    pub allowance: Allowance,
}

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimName {
    /// By its name, which may have any characters.
    Plain(String),
    /// Inside others.
    At(Pointer),
}

const ISSUER_HELP: &str = "write issuer = \"https://login.example.com/\", as tokens have it as \"iss\"";
const AUDIENCE_HELP: &str = "write audience = [\"forebay\"], as tokens have it as \"aud\": without it tokens that the issuer made for others would be taken";

/// Every table; `None` where a problem was added.
pub(super) fn check_jwt_issuers(
    tables: Vec<JwtIssuerTable>,
    checker: &mut Checker<'_>,
) -> Option<Vec<JwtIssuer>> {
    if tables.len() > JWT_ISSUERS_MAX {
        let message = format!("{} issuers are too many: there may be {JWT_ISSUERS_MAX}", tables.len());
        checker.problem(&format!("jwt_issuer[{JWT_ISSUERS_MAX}]"), message);
        return None;
    }
    let mut seen = HashSet::new();
    let mut issuers = Vec::with_capacity(tables.len());
    for (index, table) in tables.into_iter().enumerate() {
        let path = format!("jwt_issuer[{index}]");
        if let Some(issuer) = table.issuer.as_ref().filter(|issuer| !seen.insert((*issuer).clone())) {
            let path = format!("{path}.issuer");
            let quoted = checker.quote(&path, issuer);
            checker.problem(&path, format!("issuer = {quoted} is also that of another [[jwt_issuer]]"));
        }
        issuers.push(check_issuer(table, &path, checker));
    }
    issuers.into_iter().collect()
}

fn check_issuer(table: JwtIssuerTable, path: &str, checker: &mut Checker<'_>) -> Option<JwtIssuer> {
    let issuer = check_text(table.issuer.clone(), &format!("{path}.issuer"), ISSUER_HELP, checker);
    let audience = check_audience(table.audience.clone(), &format!("{path}.audience"), checker);
    let keys = check_keys(&table, issuer.as_deref(), path, checker);
    let algorithms_path = format!("{path}.algorithms");
    let algorithms =
        keys.as_ref().and_then(|keys| check_algorithms(table.algorithms, keys, &algorithms_path, checker));
    let skew = table.clock_skew.as_deref();
    let skew_path = format!("{path}.clock_skew");
    let clock_skew = checker.duration_up_to(&skew_path, skew, JWT_CLOCK_SKEW_DEFAULT, JWT_CLOCK_SKEW_MAX);
    let scope_claims = check_scope_claim(table.scope_claim, &format!("{path}.scope_claim"), checker);
    let scopes = check_scopes(table.scopes, &format!("{path}.scopes"), checker);
    let allow_path = format!("{path}.allow");
    let allow = match table.allow {
        None => Some(Vec::new()),
        Some(texts) => check_patterns(&texts, &allow_path, check_grant, checker),
    };
    let allowance = check_allowance((table.limit, table.quota, table.weight), path, checker);
    Some(JwtIssuer {
        issuer: issuer?,
        audience: audience?,
        algorithms: algorithms?,
        keys: keys?,
        clock_skew: clock_skew?,
        is_expiry_required: table.require_expiry.unwrap_or(true),
        scope_claims: scope_claims?,
        scopes: scopes?,
        allow: allow?,
        allowance: allowance?,
    })
}

fn check_text(text: Option<String>, path: &str, help: &str, checker: &mut Checker<'_>) -> Option<String> {
    let text = checker.required(path, text, help)?;
    let is_right = (1..=JWT_ISSUER_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    if is_right {
        return Some(text);
    }
    let message =
        format!("{} has 1 to {JWT_ISSUER_BYTES_MAX} characters, and none that controls", last_key(path));
    checker.problem_with_help(path, message, help);
    None
}

fn check_audience(texts: Option<Vec<String>>, path: &str, checker: &mut Checker<'_>) -> Option<Vec<String>> {
    let texts = checker.required(path, texts, AUDIENCE_HELP)?;
    if texts.is_empty() || texts.iter().any(String::is_empty) || texts.len() > JWT_SCOPES_MAX {
        let message = format!("audience must have 1 to {JWT_SCOPES_MAX} texts that are not empty");
        checker.problem_with_help(path, message, AUDIENCE_HELP);
        return None;
    }
    Some(texts)
}

fn check_scopes(
    table: Option<BTreeMap<String, Vec<String>>>,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<HashMap<String, Vec<Grant>>> {
    let table = table.unwrap_or_default();
    if table.len() > JWT_SCOPES_MAX {
        let message = format!("{} scopes are too many: write at most {JWT_SCOPES_MAX}", table.len());
        checker.problem(path, message);
        return None;
    }
    let checked: Vec<_> = table
        .into_iter()
        .map(|(scope, texts)| {
            let grants = check_patterns(&texts, &format!("{path}.{scope}"), check_grant, checker);
            Some((scope, grants?))
        })
        .collect();
    checked.into_iter().collect()
}

fn check_scope_claim(text: Option<String>, path: &str, checker: &mut Checker<'_>) -> Option<Vec<ClaimName>> {
    let Some(text) = text else {
        return Some(["scope", "scp"].map(|name| ClaimName::Plain(name.to_owned())).into());
    };
    if text.starts_with('/') {
        let pointer = Pointer::parse(&text).map_err(|error| checker.refused(path, &error)).ok()?;
        return Some(vec![ClaimName::At(pointer)]);
    }
    if text.is_empty() {
        checker.problem(path, "scope_claim must not be empty: leave it away for the default");
        return None;
    }
    Some(vec![ClaimName::Plain(text)])
}
